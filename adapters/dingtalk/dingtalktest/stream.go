package dingtalktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// The topics of callbacks.
const (
	MessageTopic = "/v1.0/im/bot/messages/get"
	CardTopic    = "/v1.0/card/instances/callback"
)

// ticketLife is how long a ticket waits for its one connection.
const ticketLife = 90 * time.Second

// patient is how long a frame may take to be written.
const patient = 10 * time.Second

// leaving is how long a connection that was announced to be closed stays open.
const leaving = 10 * time.Second

type subscription struct{ Type, Topic string }

type ticket struct {
	until time.Time
	subs  []subscription
}

func (c *call) openConnection() (any, error) {
	var in struct {
		ClientID      string `json:"clientId"`
		ClientSecret  string
		Subscriptions []subscription
		UA            string `json:"ua"`
		LocalIP       string `json:"localIp"`
		Extras        any    `json:"extras"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if len(in.Subscriptions) == 0 {
		return nil, fail("param.error", "subscriptions不能为空")
	}
	for _, sub := range in.Subscriptions {
		if !slices.Contains([]string{"SYSTEM", "EVENT", "CALLBACK"}, sub.Type) || sub.Topic == "" {
			return nil, fail("param.error", "subscriptions: "+sub.Type+" "+sub.Topic)
		}
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.known(in.ClientID, in.ClientSecret) {
		return nil, refusal{status: http.StatusUnauthorized, code: "authFailed", message: "鉴权失败"}
	}
	id := uuid()
	s.tickets[id] = &ticket{until: s.opt.Now().Add(ticketLife), subs: in.Subscriptions}
	endpoint := "ws" + strings.TrimPrefix(s.api.URL, "http") + "/connect"
	if !strings.Contains(c.r.Header.Get("Accept"), "application/json") {
		return xmlAnswer("<OpenConnectionResponse><endpoint>" + endpoint + "</endpoint><ticket>" + id + "</ticket></OpenConnectionResponse>"), nil
	}
	return object{"endpoint": endpoint, "ticket": id}, nil
}

// link is one Stream connection.
type link struct {
	ws      *websocket.Conn
	subs    []subscription
	done    chan struct{}
	once    sync.Once
	n       int  // the how-manieth it is; guarded by Server.mu
	leaving bool // guarded by Server.mu: nothing is sent over it any more

	mu    sync.Mutex // guards writes and waits
	waits map[string]*flight
}

func (l *link) hears(kind, topic string) bool {
	return kind == "SYSTEM" || slices.ContainsFunc(l.subs, func(s subscription) bool { return s.Type == kind && (s.Topic == topic || s.Topic == "*") })
}

// write needs l.mu. An app that reads nothing is given up.
func (l *link) write(frame []byte) error {
	if err := l.ws.SetWriteDeadline(time.Now().Add(patient)); err != nil {
		return err
	}
	return l.ws.WriteMessage(websocket.TextMessage, frame)
}

func (s *Server) serveConnect(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("ticket")
	s.mu.Lock()
	t := s.tickets[id]
	delete(s.tickets, id)
	ok := t != nil && !s.opt.Now().After(t.until) && !s.closed
	s.mu.Unlock()
	if !ok {
		http.Error(w, "ticket is unknown, used or expired", http.StatusUnauthorized)
		return
	}
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered already
	}
	l := &link{ws: ws, subs: t.subs, done: make(chan struct{}), waits: map[string]*flight{}}
	pong := ws.PingHandler()
	ws.SetPingHandler(func(data string) error {
		s.mu.Lock()
		deaf := s.deaf
		s.mu.Unlock()
		if deaf {
			return nil
		}
		return pong(data)
	})
	s.mu.Lock()
	s.opened++
	l.n = s.opened
	s.links = append(s.links, l)
	close(s.linkUp)
	s.linkUp = make(chan struct{})
	s.mu.Unlock()
	for {
		_, frame, err := ws.ReadMessage()
		if err != nil {
			break
		}
		s.acknowledged(l, frame)
	}
	s.remove(l)
}

// ack is what an app answers to a frame.
type ack struct {
	Code    int               `json:"code"`
	Headers map[string]string `json:"headers"`
	Message string            `json:"message"`
	Data    *string           `json:"data"`
}

// flight is a frame that is not acknowledged yet.
type flight struct {
	kind     string
	id       string
	link     *link
	sent     time.Time
	deadline time.Duration
	got      chan Answer
	take     func(data []byte) error // checks and applies the data of an acknowledgement
}

func (s *Server) acknowledged(l *link, frame []byte) {
	now := time.Now()
	var a ack
	if err := json.Unmarshal(frame, &a); err != nil {
		s.complain("an acknowledgement that cannot be read: %v", err)
		return
	}
	id := a.Headers["messageId"]
	l.mu.Lock()
	f := l.waits[id]
	delete(l.waits, id)
	l.mu.Unlock()
	if f == nil {
		s.complain("an acknowledgement of %q, which nobody waits for (any more)", id)
		return
	}
	out := Answer{Kind: f.kind, Status: a.Code, Took: now.Sub(f.sent)}
	switch {
	case a.Code != http.StatusOK:
		out.Err = fmt.Errorf("acknowledged with code %d: %s", a.Code, a.Message)
	case a.Headers["contentType"] != "application/json":
		out.Err = fmt.Errorf("acknowledged with contentType %q", a.Headers["contentType"])
	case a.Data == nil:
		out.Err = errors.New("acknowledged without data")
	default:
		out.Body = []byte(*a.Data)
		out.Err = f.take(out.Body)
	}
	f.got <- out
}

// launch sends a frame over one connection of those that hear it, at random.
func (s *Server) launch(kind, frameType, topic string, more object, data []byte, deadline time.Duration, take func([]byte) error) (*flight, error) {
	s.mu.Lock()
	var open []*link
	for _, l := range s.links {
		if !l.leaving && l.hears(frameType, topic) {
			open = append(open, l)
		}
	}
	f := &flight{kind: kind, id: s.id("m") + "_" + strconv.Itoa(rand.IntN(1e6)), deadline: deadline, got: make(chan Answer, 1), take: take}
	head := object{"topic": topic, "messageId": f.id, "contentType": "application/json", "appId": s.opt.ClientID}
	ms := s.opt.Now().UnixMilli()
	head["time"] = strconv.FormatInt(ms, 10)
	if s.variant.NumericTime {
		head["time"] = ms
	}
	s.mu.Unlock()
	for k, v := range more {
		head[k] = v
	}
	if len(open) == 0 {
		return nil, errNoConnection
	}
	frame, err := json.Marshal(object{"specVersion": "1.0", "type": frameType, "headers": head, "data": string(data)})
	if err != nil {
		return nil, err
	}
	f.link = open[rand.IntN(len(open))]
	f.link.mu.Lock()
	f.sent = time.Now()
	f.link.waits[f.id] = f
	err = f.link.write(frame)
	f.link.mu.Unlock()
	if err != nil {
		s.remove(f.link)
		return nil, fmt.Errorf("%w: %w", errNoAck, err)
	}
	return f, nil
}

// wait waits for the acknowledgement.
func (f *flight) wait() Answer {
	t := time.NewTimer(f.deadline - time.Since(f.sent))
	defer t.Stop()
	select {
	case a := <-f.got:
		return a
	case <-f.link.done:
	case <-t.C:
	}
	f.link.mu.Lock()
	delete(f.link.waits, f.id)
	f.link.mu.Unlock()
	select {
	case a := <-f.got: // it came at that moment
		return a
	default:
		return Answer{Kind: f.kind, Err: errNoAck, Took: time.Since(f.sent)}
	}
}

// Connections says how many Stream connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links)
}

// WaitConnection waits until at least n connections are open that are not about
// to be closed.
func (s *Server) WaitConnection(ctx context.Context, n int) error {
	return s.waitLinks(ctx, func() bool {
		open := 0
		for _, l := range s.links {
			if !l.leaving {
				open++
			}
		}
		return open >= n
	})
}

// Opened says how many connections were opened so far, ended ones included.
func (s *Server) Opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// WaitOpened waits until at least n connections were opened.
func (s *Server) WaitOpened(ctx context.Context, n int) error {
	return s.waitLinks(ctx, func() bool { return s.opened >= n })
}

// waitLinks waits until ok, which is called with s.mu held.
func (s *Server) waitLinks(ctx context.Context, ok func() bool) error {
	for {
		s.mu.Lock()
		done, up := ok(), s.linkUp
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-up:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Variant is how frames may differ from the usual: both are seen in DingTalk's
// own examples.
type Variant struct {
	NumericTime bool   // headers.time is a number
	EventTopic  string // of events; "" = "*"
}

// Vary changes how frames look.
func (s *Server) Vary(v Variant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.variant = v
}

// SwallowPings leaves WebSocket pings unanswered, as a connection that is dead
// without knowing it, until Heal.
func (s *Server) SwallowPings() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = true
}

// Frame sends any frame to the newest connection, well-formed or not.
func (s *Server) Frame(text string) error {
	l := s.newest()
	if l == nil {
		return errNoConnection
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write([]byte(text))
}

// Ping asks one connection whether it is alive, as DingTalk does by a frame of
// its own. The same data has to come back.
func (s *Server) Ping() Answer {
	data := []byte(`{"opaque":"` + uuid() + `"}`)
	f, err := s.launch("ping", "SYSTEM", "ping", nil, data, s.deadline(), func(got []byte) error {
		if !sameJSON(got, data) {
			return fmt.Errorf("ping %s was answered with %s", data, got)
		}
		return nil
	})
	if err != nil {
		return Answer{Kind: "ping", Err: err}
	}
	return f.wait()
}

func sameJSON(a, b []byte) bool {
	var x, y map[string]any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil || len(x) != len(y) {
		return false
	}
	for k, v := range x {
		if y[k] != v {
			return false
		}
	}
	return true
}

// Disconnect announces to the newest connection that it will be closed. Nothing
// is sent over it any more, and about 10 seconds later (Options.After) it ends.
func (s *Server) Disconnect(reason string) error {
	s.mu.Lock()
	i := len(s.links) - 1
	for i >= 0 && s.links[i].leaving {
		i--
	}
	if i < 0 || s.closed {
		s.mu.Unlock()
		return errNoConnection
	}
	l := s.links[i]
	l.leaving = true
	id := s.id("m")
	data, err := json.Marshal(object{"reason": reason})
	s.running.Add(1)
	s.mu.Unlock()
	defer s.running.Done()
	if err != nil {
		return err
	}
	frame, err := json.Marshal(object{"specVersion": "1.0", "type": "SYSTEM", "headers": object{"topic": "disconnect", "messageId": id, "contentType": "application/json"}, "data": string(data)})
	if err != nil {
		return err
	}
	l.mu.Lock()
	// An app may acknowledge it or not.
	l.waits[id] = &flight{kind: "disconnect", id: id, got: make(chan Answer, 1), take: func([]byte) error { return nil }}
	err = l.write(frame)
	l.mu.Unlock()
	if err != nil {
		s.remove(l)
		return err
	}
	over := s.opt.After(leaving)
	s.running.Go(func() {
		select {
		case <-over:
			s.remove(l)
		case <-l.done:
		}
	})
	return nil
}

// Cut ends all connections without a word.
func (s *Server) Cut() { s.CutFirst(s.Opened()) }

// CutFirst ends those of the first n connections that are still open.
func (s *Server) CutFirst(n int) {
	s.mu.Lock()
	links := slices.DeleteFunc(slices.Clone(s.links), func(l *link) bool { return l.n > n })
	s.mu.Unlock()
	for _, l := range links {
		s.remove(l)
	}
}

// remove ends a connection; nothing is sent over it any more.
func (s *Server) remove(l *link) {
	s.mu.Lock()
	s.links = slices.DeleteFunc(s.links, func(other *link) bool { return other == l })
	s.mu.Unlock()
	l.once.Do(func() { close(l.done) })
	if err := l.ws.Close(); err != nil {
		return // closed by the other side
	}
}

func (s *Server) newest() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.links) == 0 {
		return nil
	}
	return s.links[len(s.links)-1]
}
