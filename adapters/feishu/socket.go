package feishu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/paidan/paidan/bot"
)

// The long connection has its own small client, because the SDK's starts a
// goroutine for every event, drops card frames, acknowledges by its own rules,
// and pings without a pause when its settings are missing. Here a frame is
// acknowledged when it has been dealt with and not before, and no more than
// atOnce frames are dealt with together.
// https://open.feishu.cn/document/server-docs/event-subscription-guide/event-subscription-configure-/request-url-configuration-case

const (
	atOnce       = 16
	maxFrame     = 1 << 20
	dialPatience = 15 * time.Second
	writeTime    = 5 * time.Second
	// mergeTime is how long the parts of a split frame are waited for.
	mergeTime = 5 * time.Second
	maxParts  = 256
	maxSplit  = 64 // split frames that are incomplete
)

func backoff(n int) time.Duration {
	d := min(time.Second<<min(n, 7), 2*time.Minute)
	return d/2 + rand.N(d/2+1)
}

// The codes of the endpoint and of the handshake.
const (
	endpointBusy     = 1
	endpointInternal = 1000040343
	handshakeTooMany = 1000040350
	handshakeRefused = 403
)

// clientConfig is what the server says about pings and reconnecting. Fields may
// be missing. When to connect again is our own affair.
type clientConfig struct {
	PingInterval int // seconds
}

const (
	defaultPing = 120 * time.Second
	leastPing   = time.Second
	mostPing    = 10 * time.Minute
)

// ping is the interval to keep; ok is false when none was told.
func (c clientConfig) ping() (d time.Duration, ok bool) {
	if c.PingInterval <= 0 {
		return defaultPing, false
	}
	return min(max(time.Duration(min(c.PingInterval, 3600))*time.Second, leastPing), mostPing), true
}

// Stream receives events over the long connection. It returns nil when ctx ends,
// and an error only when Feishu refuses the app for good.
func (a *Adapter) Stream(ctx context.Context, sink func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error) error {
	if a.conf.Mode != ModeStream {
		return fmt.Errorf("mode is not stream: %w", bot.ErrUnauthorized)
	}
	if a.self.Load().bot == "" {
		if err := a.Prepare(ctx); err != nil {
			if errors.Is(err, bot.ErrUnauthorized) {
				return err
			}
			a.log.Warn("bot not known yet", "install", a.install.String(), "error", err)
		}
	}
	tries := 0
	for ctx.Err() == nil {
		s, err := a.connect(ctx, sink)
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
				a.log.Warn("long connection not opened", "install", a.install.String(), "error", err, "again", wait)
			}
			tries++
			if !sleep(ctx, wait) {
				return nil
			}
			continue
		}
		opened := time.Now()
		select {
		case <-ctx.Done():
		case <-s.ended:
		}
		s.retire()
		if time.Since(opened) > time.Minute {
			tries = 0
		}
		if ctx.Err() == nil {
			a.log.Info("long connection ended", "install", a.install.String())
		}
		if !sleep(ctx, a.pause(tries)) {
			return nil
		}
		tries++
	}
	return nil
}

// endpoint asks where to connect.
func (a *Adapter) endpoint(ctx context.Context) (*url.URL, clientConfig, error) {
	const name = "ws.endpoint"
	body := encode(map[string]string{"AppID": a.conf.AppID, "AppSecret": a.conf.AppSecret})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base.JoinPath("callback/ws/endpoint").String(), bytes.NewReader(body))
	if err != nil {
		return nil, clientConfig{}, fmt.Errorf("%s: %w", name, bot.ErrRejected)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Locale", "zh")
	resp, err := (doer{a.http}).Do(req)
	if err != nil {
		return nil, clientConfig{}, undoubted(failed(name, err))
	}
	b, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, clientConfig{}, undoubted(failed(name, err))
	}
	var out struct {
		Code *int
		Data struct {
			URL          string
			ClientConfig clientConfig
		}
	}
	switch err := json.Unmarshal(b, &out); {
	case resp.StatusCode == http.StatusTooManyRequests:
		return nil, clientConfig{}, fmt.Errorf("%s: %w", name, bot.RateLimited{After: retryAfter(resp.Header.Get(resetHeader)), All: true})
	case resp.StatusCode != http.StatusOK || err != nil || out.Code == nil:
		return nil, clientConfig{}, fmt.Errorf("%s: status %d", name, resp.StatusCode)
	case *out.Code == endpointBusy || *out.Code == endpointInternal:
		return nil, clientConfig{}, fmt.Errorf("%s: code %d", name, *out.Code)
	case *out.Code != 0:
		return nil, clientConfig{}, fmt.Errorf("%s: code %d: %w", name, *out.Code, bot.ErrUnauthorized)
	}
	u, err := url.Parse(out.Data.URL)
	if err != nil || !a.socketHost(u) {
		return nil, clientConfig{}, fmt.Errorf("%s: the address is not Feishu's: %w", name, bot.ErrRejected)
	}
	return u, out.Data.ClientConfig, nil
}

// socketHost allows wss to the platform's own hosts, and the emulator while the
// API itself is on loopback.
func (a *Adapter) socketHost(u *url.URL) bool {
	if loopback(a.base.Hostname()) && u.Host == a.base.Host && (u.Scheme == "ws" || u.Scheme == "wss") {
		return true
	}
	if u.Scheme != "wss" || u.User != nil {
		return false
	}
	_, parent, _ := strings.Cut(a.base.Hostname(), ".")
	h := strings.ToLower(u.Hostname())
	for _, domain := range []string{"feishu.cn", "larksuite.com", "larkoffice.com", parent} {
		if strings.Contains(domain, ".") && strings.HasSuffix(h, "."+domain) {
			return true
		}
	}
	return false
}

// socket is one open connection.
type socket struct {
	a       *Adapter
	ws      *websocket.Conn
	service int32
	sink    func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error
	every   atomic.Int64 // nanoseconds between pings
	changed chan struct{}
	slots   chan struct{}
	work    sync.WaitGroup // frames in hand, and the pings
	write   sync.Mutex     // guards writes to ws
	ended   chan struct{}  // closed when nothing more is read
	stop    chan struct{}  // closed by retire
	parts   map[string]*split

	watch   sync.Mutex // guards the deadline for reading, and what follows
	stopped bool       // nothing more shall be read
}

// split is a payload that comes in several frames.
type split struct {
	parts [][]byte
	have  int
	bytes int
	since time.Time
}

// connect opens a connection.
func (a *Adapter) connect(ctx context.Context, sink func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error) (*socket, error) {
	dialing, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	u, conf, err := a.endpoint(dialing)
	if err != nil {
		return nil, err
	}
	dialer := websocket.Dialer{HandshakeTimeout: dialPatience}
	if t, ok := a.http.Transport.(*http.Transport); ok && t != nil {
		dialer.Proxy, dialer.TLSClientConfig = t.Proxy, t.TLSClientConfig
	}
	ws, resp, err := dialer.DialContext(dialing, u.String(), nil)
	if err != nil {
		return nil, handshake(resp)
	}
	service, err := strconv.ParseInt(u.Query().Get("service_id"), 10, 32)
	if err != nil {
		service = 0
	}
	s := &socket{
		a: a, ws: ws, service: int32(service), sink: sink, changed: make(chan struct{}, 1), slots: make(chan struct{}, atOnce),
		ended: make(chan struct{}), stop: make(chan struct{}), parts: map[string]*split{},
	}
	ping, _ := conf.ping()
	s.every.Store(int64(ping))
	ws.SetReadLimit(maxFrame)
	s.alive()
	s.work.Go(s.ping)
	go s.read(ctx)
	return s, nil
}

// handshake says why a connection was refused. The address holds a ticket: only
// codes are told.
func handshake(resp *http.Response) error {
	if resp == nil {
		return errors.New("long connection not reached")
	}
	status, auth := number(resp.Header.Get("Handshake-Status")), number(resp.Header.Get("Handshake-Autherrcode"))
	err := fmt.Errorf("long connection refused with status %d, %d, code %d", resp.StatusCode, status, auth)
	switch {
	case auth == handshakeTooMany:
		return fmt.Errorf("%w: more than 50 connections of this app: %w", err, bot.ErrRejected)
	case status == handshakeRefused:
		return fmt.Errorf("%w: %w", err, bot.ErrUnauthorized)
	}
	return err
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// alive moves the watchdog on: a connection that answers no pings is dead,
// however open it looks.
func (s *socket) alive() {
	s.watch.Lock()
	defer s.watch.Unlock()
	if s.stopped {
		return
	}
	if err := s.ws.SetReadDeadline(time.Now().Add(2*time.Duration(s.every.Load()) + 5*time.Second)); err != nil {
		s.a.log.Debug("socket deadline not set", "error", err)
	}
}

// ping says that we are there: at once, and then at the interval that the server
// names.
func (s *socket) ping() {
	for {
		if err := s.send(frame{service: s.service, method: controlFrame, headers: []frameHeader{{"type", "ping"}}}); err != nil {
			s.halt()
			return
		}
		t := time.NewTimer(time.Duration(s.every.Load()))
	wait:
		for {
			select {
			case <-s.stop:
				t.Stop()
				return
			case <-s.ended:
				t.Stop()
				return
			case <-s.changed:
				t.Reset(time.Duration(s.every.Load()))
			case <-t.C:
				break wait
			}
		}
	}
}

func (s *socket) send(f frame) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.ws.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err := s.ws.WriteMessage(websocket.BinaryMessage, f.marshal()); err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	return nil
}

// read hands frames on until the connection ends.
func (s *socket) read(ctx context.Context) {
	defer close(s.ended)
	unhook := context.AfterFunc(ctx, s.halt)
	defer unhook()
	for {
		kind, b, err := s.ws.ReadMessage()
		if err != nil {
			return
		}
		s.alive()
		f, err := parseFrame(b)
		if kind != websocket.BinaryMessage || err != nil {
			s.a.log.Warn("socket frame unreadable", "install", s.a.install.String(), "bytes", len(b))
			continue
		}
		if f.method == controlFrame {
			s.control(f)
			continue
		}
		switch f.header("type") {
		case "event", "card": // the SDK drops the latter
		default:
			s.a.log.Warn("socket frame of unknown type", "install", s.a.install.String(), "bytes", len(b))
			continue
		}
		payload, whole := s.merge(f)
		if !whole {
			continue
		}
		select {
		case s.slots <- struct{}{}:
		case <-s.stop:
			return
		case <-ctx.Done():
			return
		}
		s.work.Go(func() {
			defer func() { <-s.slots }()
			s.handle(ctx, f, payload)
		})
	}
}

// control reads a pong, which may bring new settings.
func (s *socket) control(f frame) {
	if f.header("type") != "pong" || len(f.payload) == 0 {
		return
	}
	var conf clientConfig
	if err := json.Unmarshal(f.payload, &conf); err != nil {
		s.a.log.Debug("pong unreadable", "install", s.a.install.String())
		return
	}
	if d, ok := conf.ping(); ok && s.every.Swap(int64(d)) != int64(d) {
		s.alive()
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

// merge puts the parts of a payload together. Only read calls it.
func (s *socket) merge(f frame) (payload []byte, whole bool) {
	sum, seq, id := number(f.header("sum")), number(f.header("seq")), f.header("message_id")
	if sum <= 1 {
		return f.payload, true
	}
	now := s.a.now()
	for key, p := range s.parts {
		if now.Sub(p.since) > mergeTime {
			delete(s.parts, key)
		}
	}
	p := s.parts[id]
	if p == nil {
		if sum > maxParts || len(s.parts) >= maxSplit {
			s.a.log.Warn("split frame not taken", "install", s.a.install.String(), "parts", sum)
			return nil, false
		}
		p = &split{parts: make([][]byte, sum), since: now}
		s.parts[id] = p
	}
	if seq < 0 || seq >= len(p.parts) || sum != len(p.parts) || p.parts[seq] != nil {
		return nil, false
	}
	if p.bytes += len(f.payload); p.bytes > maxFrame {
		delete(s.parts, id)
		return nil, false
	}
	if p.parts[seq] = f.payload; p.parts[seq] == nil {
		p.parts[seq] = []byte{}
	}
	if p.have++; p.have < sum {
		return nil, false
	}
	delete(s.parts, id)
	return bytes.Join(p.parts, nil), true
}

// handle deals with one payload and says so; otherwise Feishu sends it again
// later.
func (s *socket) handle(ctx context.Context, f frame, payload []byte) {
	began := time.Now()
	w := &recorder{header: http.Header{}}
	answer := struct {
		Code    int               `json:"code"`
		Headers map[string]string `json:"headers"`
		Data    []byte            `json:"data"`
	}{Code: http.StatusOK}
	if err := s.safely(ctx, w, bot.Raw{Socket: true, Body: payload}); err != nil {
		s.a.log.Warn("socket frame not handled", "install", s.a.install.String(), "error", err)
		answer.Code = http.StatusInternalServerError
	} else if w.status >= 300 {
		answer.Code = w.status
	} else {
		answer.Data = w.body.Bytes()
	}
	f.headers = append(f.headers, frameHeader{"biz_rt", strconv.FormatInt(time.Since(began).Milliseconds(), 10)})
	f.payload = encode(answer)
	if err := s.send(f); err != nil {
		s.a.log.Warn("socket answer not sent", "install", s.a.install.String(), "error", err)
	}
}

func (s *socket) safely(ctx context.Context, w http.ResponseWriter, r bot.Raw) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %T", p)
		}
	}()
	s.a.Preload(ctx, r.Body)
	return s.sink(ctx, w, r)
}

// halt stops reading; what is in hand goes on.
func (s *socket) halt() {
	s.watch.Lock()
	defer s.watch.Unlock()
	s.stopped = true
	if err := s.ws.SetReadDeadline(time.Unix(1, 0)); err != nil {
		s.a.log.Debug("socket deadline not set", "error", err)
	}
}

// retire ends a connection once everything in hand is answered. What was not
// read any more comes again on another connection.
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

// recorder is the ResponseWriter of a frame: what is written becomes the answer.
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
