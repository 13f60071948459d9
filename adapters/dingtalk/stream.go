package dingtalk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// Stream mode has a client of its own. DingTalk's SDK (dingtalk-stream-sdk-go)
// ends the whole process when a pong is missed and loses acknowledgements in a
// burst (v0.9.1), or drops frames when more than its limit are in hand
// (v0.9.2-beta.1); it acknowledges before the work is done, and what a robot is
// told is never sent again. Here a frame is acknowledged when it has been dealt
// with, none is dropped, and two connections are open all the time: what is
// pushed while one of them breaks goes to the other.
// https://opensource.dingtalk.com/developerpedia/docs/learn/stream/protocol

const (
	atOnce       = 16   // messages and events of one connection in hand together
	pressesAtOne = 8    // presses likewise: they do not wait behind a burst of messages
	queueSize    = 4096 // frames that wait; beyond it nothing more is read, and TCP holds the rest
	maxFrame     = 1 << 20
	handTries    = 8 // how often a message is handed over before it is given up
	dialPatience = 15 * time.Second
	lastWork     = 5 * time.Second // for what is in hand when everything ends
	// settle is how long after the answer to a press its card is left alone.
	settle   = 100 * time.Millisecond
	seenKept = 90 * 24 * time.Hour
)

func backoff(n int) time.Duration {
	d := min(500*time.Millisecond<<min(n, 8), 30*time.Second)
	return d/2 + rand.N(d/2+1)
}

// sink takes a frame.
type sink func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error

// Stream receives messages, presses and events over connections of our own. It
// returns nil when ctx ends, and an error only when DingTalk refuses the
// credentials.
func (a *Adapter) Stream(ctx context.Context, take func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error) error {
	if a.conf.Mode != ModeStream {
		return fmt.Errorf("mode is not stream: %w", bot.ErrRejected)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// What is in hand when everything ends is finished: it is never sent again.
	hand, drop := context.WithCancel(context.WithoutCancel(ctx))
	defer drop()
	unhook := context.AfterFunc(ctx, func() { time.AfterFunc(lastWork, drop) })
	defer unhook()
	s := &stream{a: a, take: take, hand: hand}
	var all sync.WaitGroup
	for range a.lines {
		all.Go(func() {
			if err := s.keep(ctx); err != nil {
				cancel(err)
			}
		})
	}
	all.Go(func() { s.watch(ctx) })
	all.Wait()
	s.retired.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, bot.ErrUnauthorized) || errors.Is(cause, bot.ErrRejected) {
		return cause
	}
	return nil
}

// stream is what the connections have in common.
type stream struct {
	a       *Adapter
	take    sink
	hand    context.Context // of what is in hand: it outlives Stream's own by lastWork
	retired sync.WaitGroup  // connections that are being ended
	opening sync.Mutex      // held while the gap before a connection is looked at
	frames  atomic.Int64    // that came over all connections
	alive   atomic.Int64    // when anything was heard last, in Unix nanoseconds of the adapter's clock
}

// keep keeps one connection open: when it is announced to end, or brings
// nothing, the next one is opened first.
func (s *stream) keep(ctx context.Context) error {
	var current *link
	defer func() {
		if current != nil {
			current.retire(0)
		}
	}()
	tries := 0
	for ctx.Err() == nil {
		next, err := s.connect(ctx)
		if err != nil {
			if errors.Is(err, bot.ErrUnauthorized) || errors.Is(err, bot.ErrRejected) {
				return err
			}
			wait := s.a.pause(tries)
			var limited bot.RateLimited
			if errors.As(err, &limited) {
				wait = max(wait, limited.After)
			}
			if ctx.Err() == nil {
				s.a.log.Warn("stream not opened", "install", s.a.install.String(), "error", err, "again", wait)
			}
			tries++
			if !sleep(ctx, wait) {
				return nil
			}
			continue
		}
		if current != nil {
			old := current
			s.retired.Go(func() { old.retire(s.a.drain) })
		}
		current = next
		opened := s.a.now()
		select {
		case <-ctx.Done():
			return nil
		case <-current.leave:
			tries = 0
		case <-current.ended:
			old := current
			current = nil
			s.retired.Go(func() { old.retire(0) })
			if s.a.now().Sub(opened) > time.Minute {
				tries = 0
			}
			if tries > 0 && !sleep(ctx, s.a.pause(tries)) {
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

// heard notes a sign of life.
func (s *stream) heard() { s.alive.Store(s.a.now().UnixNano()) }

// watch writes down every few seconds that we are listening, so that a gap is
// noticed even after a restart.
func (s *stream) watch(ctx context.Context) {
	tick := time.NewTicker(s.a.beat)
	defer tick.Stop()
	written := int64(0)
	for {
		select {
		case <-ctx.Done():
			// Until the very end: what follows is the gap.
			s.seen(context.WithoutCancel(ctx), &written)
			return
		case <-tick.C:
			s.seen(ctx, &written)
		}
	}
}

// seen writes down when something was heard last.
func (s *stream) seen(ctx context.Context, written *int64) {
	at := s.alive.Load()
	if at == *written {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.a.shelf.Put(ctx, "seen", time.Unix(0, at).UTC().Format(time.RFC3339Nano), seenKept); err != nil {
		s.a.log.Warn("time of the stream not kept", "install", s.a.install.String(), "error", err)
		return
	}
	*written = at
}

// opened is called for every new connection. When nobody has listened for a
// while, what people said meanwhile is lost: DingTalk does not send it again.
func (s *stream) opened(ctx context.Context) {
	s.opening.Lock()
	defer s.opening.Unlock()
	text, err := s.a.shelf.Get(ctx, "seen")
	if err != nil {
		s.a.log.Warn("time of the stream not known", "install", s.a.install.String(), "error", err)
		return
	}
	now := s.a.now().UTC()
	if last, err := time.Parse(time.RFC3339Nano, text); err == nil {
		if here := time.Unix(0, s.alive.Load()); here.After(last) {
			last = here.UTC()
		}
		if now.Sub(last) > s.a.gap {
			from, to := last.Format(time.RFC3339), now.Format(time.RFC3339)
			s.a.log.Error("nobody listened for a while; what was said meanwhile is lost", "install", s.a.install.String(), "from", from, "to", to)
			s.a.alarm(ctx, bot.Alarm{Once: "gap/" + from, What: cards.AlarmGap, Args: map[string]string{"from": from, "to": to}})
		}
	}
	s.heard()
	// Written at once, so that the other connection and other processes do not tell it too.
	if err := s.a.shelf.Put(ctx, "seen", now.Format(time.RFC3339Nano), seenKept); err != nil {
		s.a.log.Warn("time of the stream not kept", "install", s.a.install.String(), "error", err)
	}
}

// subscriptions are what is to be pushed.
var subscriptions = []map[string]string{
	{"type": "EVENT", "topic": "*"}, {"type": "CALLBACK", "topic": messageTopic}, {"type": "CALLBACK", "topic": cardTopic},
}

// ticket asks for an address to connect to. It serves once, within 90 seconds.
func (a *Adapter) ticket(ctx context.Context) (*url.URL, error) {
	const method = "gateway/connections/open"
	doc, err := a.post(ctx, http.MethodPost, a.api.JoinPath("v1.0", method), nil, object{
		"clientId": a.conf.ClientID, "clientSecret": a.conf.ClientSecret, "subscriptions": subscriptions, "ua": "paidan/1",
	})
	if err == nil {
		err = newError(doc, http.StatusOK)
	}
	if err != nil {
		return nil, verdict(method, err)
	}
	u, err := url.Parse(doc.at("endpoint").str())
	ticket := doc.at("ticket").str()
	if err != nil || ticket == "" || !a.streamHost(u) {
		return nil, fmt.Errorf("%s: address is not DingTalk's: %w", method, bot.ErrRejected)
	}
	q := u.Query()
	q.Set("ticket", ticket) // escaped, whatever is in it
	u.RawQuery = q.Encode()
	return u, nil
}

// streamHost allows wss to DingTalk's own hosts, and the emulator while the API
// itself is on loopback.
func (a *Adapter) streamHost(u *url.URL) bool {
	if u.User != nil || u.Fragment != "" {
		return false
	}
	h := strings.ToLower(u.Hostname())
	if u.Scheme == "wss" && (u.Port() == "" || u.Port() == "443") && strings.HasSuffix(h, ".dingtalk.com") {
		return true
	}
	return loopback(a.api.Hostname()) && u.Host == a.api.Host && (u.Scheme == "ws" || u.Scheme == "wss")
}

// connect opens a connection.
func (s *stream) connect(ctx context.Context) (*link, error) {
	dialing, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	u, err := s.a.ticket(dialing)
	if err != nil {
		return nil, err
	}
	dialer := websocket.Dialer{HandshakeTimeout: dialPatience}
	if t, ok := s.a.http.Transport.(*http.Transport); ok && t != nil {
		dialer.Proxy, dialer.TLSClientConfig = t.Proxy, t.TLSClientConfig
	}
	ws, resp, err := dialer.DialContext(dialing, u.String(), nil)
	if err != nil {
		// The address holds a ticket: only the status is told.
		if resp != nil {
			return nil, fmt.Errorf("stream refused with status %d", resp.StatusCode)
		}
		return nil, errors.New("stream not reached")
	}
	ws.SetReadLimit(maxFrame)
	s.opened(ctx)
	l := &link{
		s: s, a: s.a, ws: ws, frames: make(chan frame, queueSize), pressed: make(chan frame, queueSize), out: make(chan outgoing, 64),
		leave: make(chan struct{}), ended: make(chan struct{}), broken: make(chan struct{}), stop: make(chan struct{}), finish: make(chan struct{}),
	}
	l.brought.Store(time.Now().UnixNano())
	l.count.Store(s.frames.Load())
	ws.SetPongHandler(func(string) error {
		s.heard()
		l.extend()
		return nil
	})
	ws.SetPingHandler(func(data string) error {
		s.heard()
		l.extend()
		return ignoreClosing(ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(5*time.Second)))
	})
	l.writing.Go(l.write)
	for range atOnce {
		l.work.Go(func() { l.serve(s.hand, l.frames) })
	}
	for range pressesAtOne {
		l.work.Go(func() { l.serve(s.hand, l.pressed) })
	}
	go l.read(ctx)
	return l, nil
}

func ignoreClosing(err error) error {
	if errors.Is(err, websocket.ErrCloseSent) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// link is one connection. read reads, write writes, and no other goroutine
// touches ws but for control frames, which it allows; serve deals with frames.
type link struct {
	s       *stream
	a       *Adapter
	ws      *websocket.Conn
	frames  chan frame    // messages and events, closed by read
	pressed chan frame    // presses, closed by read
	out     chan outgoing // never closed: whoever sends may be late
	leave   chan struct{} // closed when another connection shall take over
	ended   chan struct{} // closed when nothing more is read
	broken  chan struct{} // closed when nothing more can be written
	stop    chan struct{} // closed when reading shall end
	finish  chan struct{} // closed when everything is written
	work    sync.WaitGroup
	writing sync.WaitGroup
	leaving sync.Once
	stopped sync.Once
	brought atomic.Int64 // when the last frame came, in Unix nanoseconds of the machine's clock
	count   atomic.Int64 // stream.frames when it came
}

// outgoing is an acknowledgement on its way; sent is closed when it has left.
type outgoing struct {
	frame []byte
	sent  chan struct{}
}

// frame is one frame that was read.
type frame struct {
	kind, topic, id string
	body            []byte
}

// extend moves the deadline of reading on: a connection that does not answer
// our pings is dead, however open it looks.
func (l *link) extend() {
	select {
	case <-l.stop:
		return
	default:
	}
	if err := l.ws.SetReadDeadline(time.Now().Add(l.a.silence)); err != nil {
		l.a.log.Debug("stream deadline not set", "error", err)
	}
}

// read hands frames on until the connection ends.
func (l *link) read(ctx context.Context) {
	defer close(l.ended)
	defer close(l.frames)
	defer close(l.pressed)
	unhook := context.AfterFunc(ctx, l.halt)
	defer unhook()
	for {
		l.extend() // however long the last frame waited for its place
		_, b, err := l.ws.ReadMessage()
		if err != nil {
			return
		}
		l.s.heard()
		l.brought.Store(time.Now().UnixNano())
		l.count.Store(l.s.frames.Add(1))
		doc, err := parseJSON(string(b))
		if err != nil {
			l.a.log.Warn("stream frame unreadable", "install", l.a.install.String(), "bytes", len(b))
			continue
		}
		f := frame{kind: doc.at("type").str(), topic: doc.at("headers", "topic").str(), id: doc.at("headers", "messageId").str(), body: b}
		queue := l.frames
		switch {
		case f.kind == "SYSTEM" && f.topic == "ping":
			l.ack(f, http.StatusOK, doc.at("data").str())
			continue
		case f.kind == "SYSTEM" && f.topic == "disconnect":
			l.a.log.Info("stream will end", "install", l.a.install.String())
			l.ack(f, http.StatusOK, "{}")
			l.yield()
			continue
		case f.kind == "EVENT", f.kind == "CALLBACK" && f.topic == messageTopic:
		case f.kind == "CALLBACK" && f.topic == cardTopic:
			queue = l.pressed
		default:
			l.a.log.Warn("stream frame of unknown kind", "install", l.a.install.String(), "bytes", len(b))
			if f.id != "" && f.kind != "SYSTEM" {
				l.ack(f, http.StatusNotFound, "{}")
			}
			continue
		}
		select {
		case queue <- f:
		case <-l.stop:
			return
		}
	}
}

// yield asks for another connection to take over.
func (l *link) yield() { l.leaving.Do(func() { close(l.leave) }) }

// serve deals with the frames of a queue until there are no more.
func (l *link) serve(ctx context.Context, queue <-chan frame) {
	for f := range queue {
		switch {
		case f.topic == cardTopic && f.kind == "CALLBACK":
			l.press(ctx, f)
		case f.kind == "EVENT":
			l.event(ctx, f)
		default:
			l.message(ctx, f)
		}
	}
}

// message hands a message over. It is never sent again, so when it was not
// taken it is handed over anew, a few times, before it is given up.
func (l *link) message(ctx context.Context, f frame) {
	for try := 0; ; try++ {
		err := l.safely(ctx, &recorder{header: http.Header{}}, f)
		switch {
		case err == nil:
			l.ack(f, http.StatusOK, `{"response":null}`)
			return
		case errors.Is(err, bot.ErrFrame):
			l.a.log.Error("message refused", "install", l.a.install.String(), "error", err)
			l.ack(f, http.StatusOK, `{"response":null}`) // trying again would not help
			return
		case try+1 >= handTries, !sleep(ctx, l.a.pause(try)):
			l.a.log.Error("message given up: DingTalk will not send it again", "install", l.a.install.String(), "tries", try+1, "error", err)
			l.ack(f, http.StatusInternalServerError, `{"response":null}`)
			return
		}
		l.a.log.Warn("message not taken, handing it over again", "install", l.a.install.String(), "error", err)
	}
}

// event hands an event over. DingTalk sends it again, about a minute later, when
// it is told so.
func (l *link) event(ctx context.Context, f frame) {
	err := l.safely(ctx, &recorder{header: http.Header{}}, f)
	if err != nil && !errors.Is(err, bot.ErrFrame) {
		l.a.log.Warn("event not taken, to be sent again", "install", l.a.install.String(), "error", err)
		l.ack(f, http.StatusOK, `{"status":"LATER","message":"try again"}`)
		return
	}
	if err != nil {
		l.a.log.Error("event refused", "install", l.a.install.String(), "error", err)
	}
	l.ack(f, http.StatusOK, `{"status":"SUCCESS","message":"success"}`)
}

// press hands a press over and answers it in time: with what became of the
// card, or, when that takes too long, with nothing. It is dealt with to its end
// in either case, and the card then shows it by an update.
func (l *link) press(ctx context.Context, f frame) {
	end := func() {}
	if doc, err := parseJSON(string(f.body)); err == nil {
		if data, err := parseJSON(doc.at("data").str()); err == nil {
			end = sync.OnceFunc(l.a.presses.begin(data.at("outTrackId").str()))
		}
	}
	// The answer must have changed the card before anything else does.
	defer func() { time.AfterFunc(settle, end) }()
	w := &recorder{header: http.Header{}}
	done := make(chan error, 1)
	go func() { done <- l.safely(ctx, w, f) }()
	t := time.NewTimer(l.a.answer)
	defer t.Stop()
	select {
	case err := <-done:
		if err != nil {
			l.a.log.Warn("press not dealt with", "install", l.a.install.String(), "error", err)
			l.ack(f, http.StatusInternalServerError, `{"response":{}}`)
			return
		}
		l.ack(f, http.StatusOK, w.response())
	case <-t.C:
		if !w.close() { // it was written at that moment
			l.ack(f, http.StatusOK, w.response())
		} else {
			l.a.log.Warn("press answered without its card: it took too long", "install", l.a.install.String())
			l.ack(f, http.StatusOK, `{"response":{}}`)
		}
		time.AfterFunc(settle, end)
		if err := <-done; err != nil {
			l.a.log.Warn("press not dealt with", "install", l.a.install.String(), "error", err)
		}
	}
}

func (l *link) safely(ctx context.Context, w http.ResponseWriter, f frame) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return l.s.take(ctx, w, bot.Raw{Socket: true, Body: f.body})
}

// ack answers a frame and returns when the answer has left. One that finds its
// connection gone is of no use any more.
func (l *link) ack(f frame, code int, data string) {
	message := "OK"
	if code != http.StatusOK {
		message = "not dealt with"
	}
	b, err := json.Marshal(object{"code": code, "headers": map[string]string{"messageId": f.id, "contentType": "application/json"}, "message": message, "data": data})
	if err != nil {
		l.a.log.Error("stream acknowledgement not made", "install", l.a.install.String(), "error", err)
		return
	}
	o := outgoing{b, make(chan struct{})}
	select {
	case l.out <- o:
		select {
		case <-o.sent:
			return
		case <-l.broken:
		}
	case <-l.broken:
	}
	l.a.log.Debug("stream acknowledgement not sent", "install", l.a.install.String())
}

// passedOver is how many frames in a row may come over the other connections
// before one that brought none of them is taken for dead: DingTalk deals them
// out at random.
const passedOver = 32

// silent reports whether a connection brings nothing although it answers pings.
// Time alone is a poor sign, for nights are quiet, and nobody knows whether
// DingTalk counts the call that opens a connection against the quota.
func (l *link) silent() bool {
	return l.s.frames.Load()-l.count.Load() >= passedOver || time.Since(time.Unix(0, l.brought.Load())) > l.a.idle
}

// write is the only one who writes frames. It also asks now and then whether
// the connection is alive, and has one replaced that brings nothing.
func (l *link) write() {
	defer close(l.broken)
	// Every write has its deadline; with the connection closed reading ends too.
	defer func() {
		if err := l.ws.Close(); err != nil {
			l.a.log.Debug("stream not closed", "error", err)
		}
	}()
	tick := time.NewTicker(l.a.ping)
	defer tick.Stop()
	send := func(kind int, b []byte) bool {
		if err := l.ws.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
			l.a.log.Debug("stream deadline not set", "error", err)
		}
		if err := l.ws.WriteMessage(kind, b); err != nil {
			l.a.log.Warn("stream not written", "install", l.a.install.String())
			return false
		}
		return true
	}
	for {
		select {
		case o := <-l.out:
			if !send(websocket.TextMessage, o.frame) {
				return
			}
			close(o.sent)
		case <-tick.C:
			if !send(websocket.PingMessage, nil) {
				return
			}
			if l.silent() {
				l.yield()
			}
		case <-l.finish:
			send(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
			return
		}
	}
}

// halt ends reading; what is in hand goes on.
func (l *link) halt() {
	l.stopped.Do(func() { close(l.stop) })
	if err := l.ws.SetReadDeadline(time.Unix(1, 0)); err != nil {
		l.a.log.Debug("stream deadline not set", "error", err)
	}
}

// retire ends a connection. For a while it is still read: what DingTalk had on
// its way when the next one was opened is never sent again. Then everything in
// hand is dealt with and acknowledged.
func (l *link) retire(patience time.Duration) {
	if patience > 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		select {
		case <-l.ended: // by DingTalk, or because everything ends
		case <-t.C:
		}
	}
	l.halt()
	<-l.ended
	l.work.Wait()
	close(l.finish)
	l.writing.Wait()
}

// errLate is what writing an answer returns when there is nobody to read it.
var errLate = errors.New("the answer comes too late")

// recorder is the ResponseWriter of a frame: what is written to it becomes the
// data of the acknowledgement.
type recorder struct {
	mu     sync.Mutex // guards what follows
	header http.Header
	body   bytes.Buffer
	late   bool
	took   bool // something was written
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter; a frame has no status.
func (r *recorder) WriteHeader(int) {}

// Write implements http.ResponseWriter. It fails when the frame has been
// acknowledged without an answer.
func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.late {
		return 0, errLate
	}
	r.took = true
	return r.body.Write(b)
}

// close reports whether nothing was written, and lets nothing be written any more.
func (r *recorder) close() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = true
	return !r.took
}

// response is what was written, as the data of an acknowledgement.
func (r *recorder) response() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body.Len() == 0 || !json.Valid(r.body.Bytes()) {
		return `{"response":{}}`
	}
	return `{"response":` + r.body.String() + `}`
}
