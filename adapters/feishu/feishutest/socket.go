package feishutest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// The long connection: https://open.feishu.cn/document/server-docs/event-subscription-guide/event-subscription-configure-/request-url-configuration-case

// The codes of the endpoint and of the handshake.
const (
	wsBusy      = 1 // to be tried again
	wsForbidden = 403
	wsAuth      = 514
	wsTooMany   = 1000040350
	mostLinks   = 50 // of one app
)

// link is one connection of a client.
type link struct {
	ws   *websocket.Conn
	mu   sync.Mutex // guards writes and waits
	acks map[string]chan Frame
	done chan struct{}
	once sync.Once
}

func (l *link) close() {
	l.once.Do(func() { close(l.done) })
	if err := l.ws.Close(); err != nil {
		return // closed by the other side
	}
}

func (l *link) send(f Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ws.WriteMessage(websocket.BinaryMessage, f.Marshal())
}

// clientConfig is what a client is told about pings and reconnecting.
func (s *Server) clientConfig() object {
	return object{
		"ReconnectCount": -1, "ReconnectInterval": int(s.opt.ReconnectEvery / time.Second), "ReconnectNonce": 0,
		"PingInterval": int(s.opt.PingEvery / time.Second),
	}
}

// serveEndpoint tells a client where to connect.
func (s *Server) serveEndpoint(w http.ResponseWriter, r *http.Request) {
	const name = "ws.endpoint"
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the caller is gone
	}
	s.mu.Lock()
	s.calls[name]++
	s.mu.Unlock()
	f := s.fault(name)
	if f != nil && !s.meet(w, r, f) {
		return
	}
	var in struct{ AppID, AppSecret string }
	o := object{"code": 0, "msg": "ok"}
	s.mu.Lock()
	switch {
	case json.Unmarshal(body, &in) != nil || in.AppID == "":
		o = object{"code": wsForbidden, "msg": "invalid request"}
	case s.suspended != 0, in.AppID != s.opt.AppID, in.AppSecret != s.opt.AppSecret:
		o = object{"code": wsAuth, "msg": "auth failed"}
	default:
		o["data"] = object{
			"URL":          fmt.Sprintf("ws%s/ws/v2?device_id=%s&service_id=33554678&ticket=%s", strings.TrimPrefix(s.URL, "http"), s.id("")[:16], s.id("tk")),
			"ClientConfig": s.clientConfig(),
		}
	}
	s.mu.Unlock()
	if f != nil && f.Kind == CutAfter {
		hang(w)
		return
	}
	b, err := json.Marshal(o)
	if err != nil {
		http.Error(w, "emulator: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	answer(w, http.StatusOK, b, f)
}

func (s *Server) serveLink(w http.ResponseWriter, r *http.Request) {
	refuse := func(status, auth int, msg string) {
		w.Header().Set("Handshake-Status", strconv.Itoa(status))
		w.Header().Set("Handshake-Msg", msg)
		if auth != 0 {
			w.Header().Set("Handshake-Autherrcode", strconv.Itoa(auth))
		}
		w.WriteHeader(http.StatusForbidden)
	}
	s.mu.Lock()
	s.calls["ws.handshake"]++
	open := len(s.links)
	s.mu.Unlock()
	f := s.fault("ws.handshake")
	switch q := r.URL.Query(); {
	case f != nil && f.Kind == Refused:
		refuse(wsAuth, f.Code, "refused")
		return
	case f != nil && !s.meet(w, r, f):
		return
	case q.Get("ticket") == "" || q.Get("device_id") == "" || q.Get("service_id") == "":
		refuse(wsForbidden, 0, "no ticket")
		return
	case open >= mostLinks:
		refuse(wsAuth, wsTooMany, "too many connections")
		return
	}
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered already
	}
	l := &link{ws: ws, acks: map[string]chan Frame{}, done: make(chan struct{})}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		l.close()
		return
	}
	s.links = append(s.links, l)
	close(s.linkUp)
	s.linkUp = make(chan struct{})
	s.mu.Unlock()
	for {
		kind, b, err := ws.ReadMessage()
		if err != nil {
			break
		}
		f, err := ParseFrame(b)
		if kind != websocket.BinaryMessage || err != nil {
			break // who does not speak the protocol is disconnected
		}
		s.hear(l, f)
	}
	s.remove(l)
}

// hear takes what a client says.
func (s *Server) hear(l *link, f Frame) {
	if f.Method == Control {
		if f.Header("type") != "ping" {
			return
		}
		s.mu.Lock()
		s.pings++
		s.mu.Unlock()
		conf, err := json.Marshal(s.clientConfig())
		if err != nil {
			return
		}
		f.Headers, f.Payload = []FrameHeader{{"type", "pong"}}, conf
		if err := l.send(f); err != nil {
			s.remove(l)
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := l.acks[f.Header("message_id")]; wait != nil {
		delete(l.acks, f.Header("message_id"))
		wait <- f
	}
}

// Sockets says how many clients are connected.
func (s *Server) Sockets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links)
}

// Pings says how many pings clients have sent.
func (s *Server) Pings() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pings
}

// WaitSocket waits until at least n clients are connected.
func (s *Server) WaitSocket(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		open, up := len(s.links), s.linkUp
		s.mu.Unlock()
		if open >= n {
			return nil
		}
		select {
		case <-up:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Split sends what follows in so many frames each; 0 = one.
func (s *Server) Split(parts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.split = parts
}

// Frame sends any message to the newest client, well-formed or not.
func (s *Server) Frame(raw []byte) error {
	s.mu.Lock()
	n := len(s.links)
	if n == 0 {
		s.mu.Unlock()
		return errNoHook
	}
	l := s.links[n-1]
	s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ws.WriteMessage(websocket.BinaryMessage, raw)
}

// Disconnect closes the newest connection as the server does when it is
// restarted: with a word of farewell.
func (s *Server) Disconnect() error {
	s.mu.Lock()
	n := len(s.links)
	if n == 0 {
		s.mu.Unlock()
		return errNoHook
	}
	l := s.links[n-1]
	s.mu.Unlock()
	defer s.remove(l)
	return l.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, "bye"), time.Now().Add(time.Second))
}

// CutSockets ends all connections without a word.
func (s *Server) CutSockets() {
	s.mu.Lock()
	links := slices.Clone(s.links)
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
	l.close()
}

// frames are what carries a payload: in one piece, or split.
func (s *Server) frames(id string, payload []byte, parts int) []Frame {
	parts = max(1, min(parts, len(payload)))
	var out []Frame
	for i := range parts {
		from, to := len(payload)*i/parts, len(payload)*(i+1)/parts
		out = append(out, Frame{Seq: uint64(i), Service: 33554678, Method: Data, Payload: payload[from:to], Headers: []FrameHeader{
			{"type", "event"}, {"message_id", id}, {"sum", strconv.Itoa(parts)}, {"seq", strconv.Itoa(i)},
			{"trace_id", "trace-" + id}, {"timestamp", ms(s.opt.Now())},
		}})
	}
	return out
}

// overLink sends an event to one of the clients, whichever, and waits for its
// reply.
func (s *Server) overLink(kind string, payload []byte) Answer {
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.Deadline)
	defer cancel()
	if err := s.WaitSocket(ctx, 1); err != nil {
		return Answer{Kind: kind, Err: errNoHook}
	}
	s.mu.Lock()
	if len(s.links) == 0 {
		s.mu.Unlock()
		return Answer{Kind: kind, Err: errNoAck}
	}
	l := s.links[rand.IntN(len(s.links))]
	id, parts := s.id(""), s.split
	s.mu.Unlock()
	got := make(chan Frame, 1)
	l.mu.Lock()
	l.acks[id] = got
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.acks, id)
		l.mu.Unlock()
	}()
	began := time.Now()
	for _, f := range s.frames(id, payload, parts) {
		if err := l.send(f); err != nil {
			s.remove(l)
			return Answer{Kind: kind, Err: errNoAck}
		}
	}
	select {
	case f := <-got:
		a := reply(kind, f)
		a.Took = time.Since(began)
		return a
	case <-l.done:
	case <-ctx.Done():
	}
	return Answer{Kind: kind, Took: time.Since(began), Err: errNoAck}
}

// reply reads what a client answers: {"code":200,"headers":…,"data":base64}.
func reply(kind string, f Frame) Answer {
	var r struct {
		Code int    `json:"code"`
		Data string `json:"data"`
	}
	if err := json.Unmarshal(f.Payload, &r); err != nil {
		return Answer{Kind: kind, Err: fmt.Errorf("reply: %w", err)}
	}
	a := Answer{Kind: kind, Status: r.Code}
	if f.Header("biz_rt") == "" {
		a.Err = errors.New("reply: no header biz_rt")
	}
	b, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil {
		a.Err = fmt.Errorf("reply: %w", err)
	}
	a.Body = b
	return a
}
