package slacktest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Answer is what came back for one delivery.
type Answer struct {
	Kind     string // "app_mention", "block_actions" …
	Status   int    // 0 = no answer in time
	Body     []byte
	Attempts int
	Err      error
}

// OK reports whether Slack would take the answer for "received".
func (a Answer) OK() bool { return a.Err == nil && a.Status/100 == 2 }

// Sign returns the headers that prove a body to be Slack's.
func Sign(secret string, at time.Time, contentType string, body []byte) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + stamp + ":"))
	mac.Write(body)
	return http.Header{
		"Content-Type":              {contentType},
		"X-Slack-Request-Timestamp": {stamp},
		"X-Slack-Signature":         {"v0=" + hex.EncodeToString(mac.Sum(nil))},
	}
}

// The content types of Slack's requests.
const (
	JSON = "application/json"
	Form = "application/x-www-form-urlencoded"
)

// Post signs a body and sends it to the hook once. kind names it in the answer.
func (s *Server) Post(kind, contentType string, body []byte, more http.Header) Answer {
	s.mu.Lock()
	target := s.target
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.Deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return Answer{Kind: kind, Err: err}
	}
	req.Header = Sign(s.opt.SigningSecret, s.opt.Now(), contentType, body)
	req.Header.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	for k, v := range more {
		req.Header[k] = v
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return Answer{Kind: kind, Err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return Answer{Kind: kind, Err: err}
	}
	a := Answer{Kind: kind, Status: resp.StatusCode, Body: b}
	if resp.Header.Get("X-Slack-No-Retry") == "1" && !a.OK() {
		a.Err = errNoRetry
	}
	return a
}

var (
	errNoRetry = errors.New("not to be repeated")
	errDropped = errors.New("lost on the way")
	errNoHook  = errors.New("neither a hook nor a socket to deliver to")
	errNoAck   = errors.New("not acknowledged")
)

// event sends one event, again up to three times until it is received.
func (s *Server) event(kind string, event object) Answer {
	s.mu.Lock()
	id := s.id("Ev")
	body, err := json.Marshal(object{
		"token": "verification", "team_id": s.opt.Team, "context_team_id": s.opt.Team, "api_app_id": s.opt.App, "event": event,
		"type": "event_callback", "event_id": id, "event_time": s.opt.Now().Unix(), "is_ext_shared_channel": false,
		"authorizations": []object{{"enterprise_id": nil, "team_id": s.opt.Team, "user_id": s.opt.BotUser, "is_bot": true, "is_enterprise_install": false}},
	})
	twice := s.double > 0
	if twice {
		s.double--
	}
	if s.hold > 0 {
		s.hold--
		s.held = append(s.held, func() { s.repeat(kind, body, false) })
		var all []func()
		if s.hold == 0 {
			all, s.held = s.held, nil
		}
		s.mu.Unlock()
		slices.Reverse(all)
		for _, send := range all {
			send()
		}
		return Answer{Kind: kind, Status: http.StatusOK}
	}
	s.mu.Unlock()
	if err != nil {
		return Answer{Kind: kind, Err: err}
	}
	a := s.repeat(kind, body, true)
	if twice {
		a = s.repeat(kind, body, false)
	}
	return a
}

// repeat is Slack's patience with events: at once, then after 0 s, 1 min, 5 min.
func (s *Server) repeat(kind string, body []byte, mayDrop bool) Answer {
	var a Answer
	for n := range 4 {
		var more http.Header
		if n > 0 {
			s.opt.Wait(n)
			reason := "http_error"
			switch {
			case errors.Is(a.Err, context.DeadlineExceeded):
				reason = "http_timeout"
			case a.Status == 0:
				reason = "connection_failed"
			}
			more = http.Header{"X-Slack-Retry-Num": {strconv.Itoa(n)}, "X-Slack-Retry-Reason": {reason}}
		}
		s.mu.Lock()
		lost := mayDrop && n == 0 && s.drop > 0
		if lost {
			s.drop--
		}
		socket := s.target == ""
		s.mu.Unlock()
		switch {
		case lost:
			a = Answer{Kind: kind, Err: errDropped}
		case socket:
			a = s.overSocket(kind, "events_api", body, n, false)
		default:
			a = s.Post(kind, JSON, body, more)
		}
		a.Attempts = n + 1
		if a.OK() || errors.Is(a.Err, errNoRetry) || errors.Is(a.Err, errNoHook) {
			return a
		}
	}
	return a
}

// interact sends what a person pressed or submitted. Slack tries that once only.
func (s *Server) interact(payload object) Answer {
	kind, _ := payload["type"].(string)
	body, err := json.Marshal(payload)
	if err != nil {
		return Answer{Kind: kind, Err: err}
	}
	s.mu.Lock()
	socket := s.target == ""
	s.mu.Unlock()
	var a Answer
	if socket {
		a = s.overSocket(kind, "interactive", body, 0, true)
	} else {
		a = s.Post(kind, Form, []byte("payload="+url.QueryEscape(string(body))), nil)
	}
	a.Attempts = 1
	return a
}

// link is one connection of Socket Mode.
type link struct {
	ws   *websocket.Conn
	mu   sync.Mutex // guards writes and waits
	acks map[string]chan []byte
	done chan struct{}
	once sync.Once
}

func (l *link) close() {
	l.once.Do(func() { close(l.done) })
	if err := l.ws.Close(); err != nil {
		return // closed by the other side
	}
}

func (l *link) send(v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ws.WriteJSON(v)
}

func (s *Server) serveLink(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("ticket") == "" {
		http.Error(w, "no ticket", http.StatusForbidden)
		return
	}
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered already
	}
	l := &link{ws: ws, acks: map[string]chan []byte{}, done: make(chan struct{})}
	s.mu.Lock()
	n := len(s.sockets) + 1
	s.mu.Unlock()
	if err := l.send(object{"type": "hello", "num_connections": n, "debug_info": object{"host": "applink-1", "build_number": 1, "approximate_connection_time": 18060}, "connection_info": object{"app_id": s.opt.App}}); err != nil {
		l.close()
		return
	}
	s.mu.Lock()
	s.sockets = append(s.sockets, l)
	close(s.socketUp)
	s.socketUp = make(chan struct{})
	s.mu.Unlock()
	var pinging sync.WaitGroup
	pinging.Go(func() {
		t := time.NewTicker(s.opt.PingEvery)
		defer t.Stop()
		for {
			select {
			case <-l.done:
				return
			case <-t.C:
				if err := ws.WriteControl(websocket.PingMessage, []byte("Ping from applink-1"), time.Now().Add(time.Second)); err != nil {
					return
				}
			}
		}
	})
	for {
		_, frame, err := ws.ReadMessage()
		if err != nil {
			break
		}
		var ack struct {
			ID      string          `json:"envelope_id"`
			Payload json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(frame, &ack); err != nil || len(frame) >= 20_480 {
			continue // Slack says nothing either
		}
		l.mu.Lock()
		if wait := l.acks[ack.ID]; wait != nil {
			delete(l.acks, ack.ID)
			wait <- ack.Payload
		}
		l.mu.Unlock()
	}
	s.remove(l)
	pinging.Wait()
}

// Sockets says how many connections of Socket Mode are open.
func (s *Server) Sockets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sockets)
}

// WaitSocket waits until at least n connections are open.
func (s *Server) WaitSocket(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		open, up := len(s.sockets), s.socketUp
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

// Frame sends any frame to the newest connection, well-formed or not.
func (s *Server) Frame(text string) error {
	l := s.newest()
	if l == nil {
		return errNoHook
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ws.WriteMessage(websocket.TextMessage, []byte(text))
}

// Disconnect announces to the newest connection that it will be closed.
func (s *Server) Disconnect(reason string) error {
	l := s.newest()
	if l == nil {
		return errNoHook
	}
	return l.send(object{"type": "disconnect", "reason": reason, "debug_info": object{"host": "applink-1"}})
}

// CutSockets ends all connections without a word.
func (s *Server) CutSockets() {
	s.mu.Lock()
	links := slices.Clone(s.sockets)
	s.mu.Unlock()
	for _, l := range links {
		s.remove(l)
	}
}

// remove ends a connection; nothing is sent over it any more.
func (s *Server) remove(l *link) {
	s.mu.Lock()
	s.sockets = slices.DeleteFunc(s.sockets, func(other *link) bool { return other == l })
	s.mu.Unlock()
	l.close()
}

func (s *Server) newest() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sockets) == 0 {
		return nil
	}
	return s.sockets[len(s.sockets)-1]
}

// overSocket sends one envelope and waits for its acknowledgement.
func (s *Server) overSocket(kind, envelope string, payload []byte, attempt int, answers bool) Answer {
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.Deadline)
	defer cancel()
	if err := s.WaitSocket(ctx, 1); err != nil {
		return Answer{Kind: kind, Err: errNoHook}
	}
	l := s.newest()
	if l == nil {
		return Answer{Kind: kind, Err: errNoAck}
	}
	s.mu.Lock()
	id := s.id("env-")
	s.mu.Unlock()
	o := object{"envelope_id": id, "type": envelope, "accepts_response_payload": answers, "payload": json.RawMessage(payload)}
	if envelope == "events_api" {
		o["retry_attempt"], o["retry_reason"] = attempt, ""
		if attempt > 0 {
			o["retry_reason"] = "timeout"
		}
	}
	got := make(chan []byte, 1)
	l.mu.Lock()
	l.acks[id] = got
	l.mu.Unlock()
	if err := l.send(o); err != nil {
		s.remove(l)
		return Answer{Kind: kind, Err: err}
	}
	select {
	case b := <-got:
		return Answer{Kind: kind, Status: http.StatusOK, Body: b}
	case <-l.done:
		return Answer{Kind: kind, Err: errNoAck}
	case <-ctx.Done():
		return Answer{Kind: kind, Err: errNoAck}
	}
}
