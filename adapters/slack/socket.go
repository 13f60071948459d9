package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/paidan/paidan/bot"
)

// Socket Mode has its own small client, because slack-go's acknowledges by its
// own rules and starts a goroutine for every event. Here a frame is
// acknowledged when it has been dealt with and not before, and no more than
// atOnce frames are dealt with together.
// https://docs.slack.dev/apis/events-api/using-socket-mode

const (
	atOnce   = 16
	maxFrame = 1 << 20
	// maxAck is the size from which Slack drops an acknowledgement without a word.
	maxAck       = 20_480
	dialPatience = 15 * time.Second
)

func backoff(n int) time.Duration {
	d := min(time.Second<<min(n, 6), 30*time.Second)
	return d/2 + rand.N(d/2+1)
}

// Stream receives events over Socket Mode. It returns nil when ctx ends, and an
// error only when Slack refuses the app token.
func (a *Adapter) Stream(ctx context.Context, sink func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error) error {
	if a.conf.AppToken == "" {
		return fmt.Errorf("app_token is not set: %w", bot.ErrUnauthorized)
	}
	if self := a.self.Load(); self.botUser == "" {
		if err := a.Prepare(ctx); err != nil {
			if errors.Is(err, bot.ErrUnauthorized) {
				return err
			}
			a.log.Warn("workspace not known yet", "install", a.install.String(), "error", err)
		}
	}
	var current *socket
	defer func() {
		if current != nil {
			current.retire()
		}
	}()
	tries := 0
	for ctx.Err() == nil {
		next, err := a.connect(ctx, sink)
		if err != nil {
			if errors.Is(err, bot.ErrUnauthorized) || errors.Is(err, bot.ErrRejected) {
				return err
			}
			wait := a.pause(tries)
			var limited bot.RateLimited
			if errors.As(err, &limited) {
				wait = max(wait, limited.After)
			}
			if ctx.Err() == nil {
				a.log.Warn("socket not opened", "install", a.install.String(), "error", err, "again", wait)
			}
			tries++
			if !sleep(ctx, wait) {
				return nil
			}
			continue
		}
		// The old connection goes only now that there is a new one.
		if current != nil {
			current.retire()
		}
		current = next
		opened := a.now()
		select {
		case <-ctx.Done():
			return nil
		case <-current.warned:
			tries = 0
		case <-current.ended:
			if a.now().Sub(opened) > time.Minute {
				tries = 0
			}
			current.retire()
			current = nil
			if !sleep(ctx, a.pause(tries)) {
				return nil
			}
			tries++
		}
	}
	return nil
}

// sleep reports whether the whole time went by.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// socket is one open connection.
type socket struct {
	a      *Adapter
	ws     *websocket.Conn
	sink   func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error
	slots  chan struct{}
	work   sync.WaitGroup // frames in hand
	write  sync.Mutex     // guards writes to ws
	warned chan struct{}  // closed when Slack is about to close
	ended  chan struct{}  // closed when nothing more is read
	stop   chan struct{}  // closed by retire
	once   sync.Once
}

// connect opens a connection and waits until Slack greets.
func (a *Adapter) connect(ctx context.Context, sink func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error) (*socket, error) {
	ctx2, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	_, address, err := a.api.StartSocketModeContext(ctx2)
	if err != nil {
		return nil, verdict("apps.connections.open", err)
	}
	u, err := url.Parse(address)
	if err != nil || !a.socketHost(u) {
		return nil, fmt.Errorf("apps.connections.open: address is not Slack's: %w", bot.ErrRejected)
	}
	dialer := websocket.Dialer{HandshakeTimeout: dialPatience}
	if t, ok := a.http.Transport.(*http.Transport); ok && t != nil {
		dialer.Proxy, dialer.TLSClientConfig = t.Proxy, t.TLSClientConfig
	}
	ws, resp, err := dialer.DialContext(ctx2, address, nil)
	if err != nil {
		// The address holds a ticket: only the status is told.
		if resp != nil {
			return nil, fmt.Errorf("socket refused with status %d", resp.StatusCode)
		}
		return nil, errors.New("socket not reached")
	}
	s := &socket{a: a, ws: ws, sink: sink, slots: make(chan struct{}, atOnce), warned: make(chan struct{}), ended: make(chan struct{}), stop: make(chan struct{})}
	ws.SetReadLimit(maxFrame)
	if err := s.hello(); err != nil {
		return nil, errors.Join(err, ws.Close())
	}
	ws.SetPingHandler(func(data string) error {
		s.alive()
		s.write.Lock()
		defer s.write.Unlock()
		err := ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(5*time.Second))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil
		}
		return err
	})
	s.alive()
	go s.read(ctx)
	return s, nil
}

// socketHost allows wss to Slack's own hosts, and the emulator while the API
// itself is on loopback.
func (a *Adapter) socketHost(u *url.URL) bool {
	h := strings.ToLower(u.Hostname())
	if u.Scheme == "wss" && u.User == nil && (strings.HasSuffix(h, ".slack.com") || strings.HasSuffix(h, ".slack-gov.com")) {
		return true
	}
	return loopback(a.base.Hostname()) && u.Host == a.base.Host && (u.Scheme == "ws" || u.Scheme == "wss")
}

// alive moves the watchdog on: a connection without pings is dead, however
// open it looks.
func (s *socket) alive() {
	select {
	case <-s.stop:
		return
	default:
	}
	if err := s.ws.SetReadDeadline(time.Now().Add(s.a.silence)); err != nil {
		s.a.log.Debug("socket deadline not set", "error", err)
	}
}

func (s *socket) hello() error {
	if err := s.ws.SetReadDeadline(time.Now().Add(dialPatience)); err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	_, frame, err := s.ws.ReadMessage()
	if err != nil {
		return errors.New("socket closed before hello")
	}
	if doc, err := parseJSON(string(frame)); err != nil || doc.at("type").str() != "hello" {
		return errors.New("socket did not say hello")
	}
	return nil
}

// read hands frames on until the connection ends.
func (s *socket) read(ctx context.Context) {
	defer close(s.ended)
	unhook := context.AfterFunc(ctx, s.halt)
	defer unhook()
	for {
		_, frame, err := s.ws.ReadMessage()
		if err != nil {
			return
		}
		s.alive()
		doc, err := parseJSON(string(frame))
		if err != nil {
			s.a.log.Warn("socket frame unreadable", "install", s.a.install.String(), "bytes", len(frame))
			continue
		}
		id := doc.at("envelope_id").str()
		switch kind := doc.at("type").str(); kind {
		case "hello":
		case "disconnect":
			s.a.log.Info("socket will close", "install", s.a.install.String(), "reason", cutBytes(doc.at("reason").str(), 40))
			s.once.Do(func() { close(s.warned) })
		case "events_api", "interactive", "slash_commands":
			select {
			case s.slots <- struct{}{}:
			case <-s.stop:
				return
			case <-ctx.Done():
				return
			}
			s.work.Go(func() {
				defer func() { <-s.slots }()
				s.handle(ctx, frame, id, doc.at("accepts_response_payload").yes())
			})
		default:
			s.a.log.Warn("socket frame of unknown kind", "install", s.a.install.String(), "bytes", len(frame))
			if id != "" {
				s.ack(id, nil)
			}
		}
	}
}

// handle deals with one frame and acknowledges it when that went well;
// otherwise Slack sends it again.
func (s *socket) handle(ctx context.Context, frame []byte, id string, answers bool) {
	w := &recorder{header: http.Header{}}
	err := s.safely(ctx, w, bot.Raw{Socket: true, Body: frame})
	if err != nil {
		s.a.log.Warn("socket frame not handled", "install", s.a.install.String(), "error", err)
		return
	}
	if id == "" {
		return
	}
	var payload []byte
	if answers && w.status < 300 && w.body.Len() > 0 {
		if payload = w.body.Bytes(); !json.Valid(payload) {
			payload = nil
		}
	}
	s.ack(id, payload)
}

func (s *socket) safely(ctx context.Context, w http.ResponseWriter, r bot.Raw) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return s.sink(ctx, w, r)
}

func (s *socket) ack(id string, payload []byte) {
	type ack struct {
		ID      string          `json:"envelope_id"`
		Payload json.RawMessage `json:"payload,omitempty"`
	}
	b, err := json.Marshal(ack{id, payload})
	if err == nil && len(b) >= maxAck {
		s.a.log.Warn("answer too long for a socket", "install", s.a.install.String(), "bytes", len(b))
		b, err = json.Marshal(ack{ID: id})
	}
	if err != nil {
		s.a.log.Error("socket acknowledgement not made", "install", s.a.install.String(), "error", err)
		return
	}
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.ws.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
		s.a.log.Debug("socket deadline not set", "error", err)
	}
	if err := s.ws.WriteMessage(websocket.TextMessage, b); err != nil {
		s.a.log.Warn("socket acknowledgement not sent", "install", s.a.install.String(), "error", err)
	}
}

// halt stops reading; what is in hand goes on.
func (s *socket) halt() {
	if err := s.ws.SetReadDeadline(time.Unix(1, 0)); err != nil {
		s.a.log.Debug("socket deadline not set", "error", err)
	}
}

// retire ends a connection once everything in hand is acknowledged. What was
// not read any more comes again on another connection.
func (s *socket) retire() {
	close(s.stop)
	s.halt()
	<-s.ended
	s.work.Wait()
	s.write.Lock()
	defer s.write.Unlock()
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := s.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second)); err != nil {
		s.a.log.Debug("socket not closed politely", "error", err)
	}
	if err := s.ws.Close(); err != nil {
		s.a.log.Debug("socket not closed", "error", err)
	}
}

// recorder is the ResponseWriter of a frame: what is written becomes the
// payload of its acknowledgement.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}
