package feishutest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Answer is what came back for one delivery.
type Answer struct {
	Kind     string // "im.message.receive_v1", "card.action.trigger" …
	Status   int    // 0 = no answer in time
	Body     []byte
	Attempts int
	Code     int           // what the person was shown when a press failed: 200340 …
	Took     time.Duration // of the last attempt
	Err      error
}

// OK reports whether Feishu would take the answer for "received": only 200 is.
func (a Answer) OK() bool { return a.Err == nil && a.Status == http.StatusOK }

// Post sends a body to the hook once, just as it is: forged, replayed or
// broken, as a test likes. kind names it in the answer. See Seal and Sign.
func (s *Server) Post(kind string, body []byte, head http.Header) Answer {
	s.mu.Lock()
	target := s.target
	s.mu.Unlock()
	if target == "" {
		return Answer{Kind: kind, Err: errNoHook}
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.Deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return Answer{Kind: kind, Err: err}
	}
	req.Header = head.Clone()
	began := time.Now()
	resp, err := s.client.Do(req)
	if err != nil {
		return Answer{Kind: kind, Took: time.Since(began), Err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return Answer{Kind: kind, Took: time.Since(began), Err: err}
	}
	return Answer{Kind: kind, Status: resp.StatusCode, Body: b, Attempts: 1, Took: time.Since(began)}
}

var (
	errDropped = errors.New("lost on the way")
	errNoHook  = errors.New("neither a hook nor a client to deliver to")
	errNoAck   = errors.New("not acknowledged")
)

// Envelope is the plain text of an event: https://open.feishu.cn/document/server-docs/event-subscription-guide/overview
func (s *Server) Envelope(kind string, event map[string]any) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.envelope(kind, event)
}

// envelope needs s.mu.
func (s *Server) envelope(kind string, event object) []byte {
	b, err := json.Marshal(object{"schema": "2.0", "header": s.header(kind), "event": event})
	if err != nil {
		panic(err) // events are made of strings
	}
	return b
}

// header needs s.mu.
func (s *Server) header(kind string) object {
	at := ms(s.opt.Now())
	if kind == cardAction { // callbacks count microseconds
		at = strconv.FormatInt(s.opt.Now().UnixMicro(), 10)
	}
	return object{
		"event_id": s.id(""), "event_type": kind, "create_time": at, "token": s.opt.VerificationToken,
		"app_id": s.opt.AppID, "tenant_key": s.opt.Tenant,
	}
}

const (
	messageEvent = "im.message.receive_v1"
	cardAction   = "card.action.trigger"
)

// Verify sends what the console sends when a request address is entered, and
// checks that the challenge comes back.
func (s *Server) Verify() Answer {
	const challenge = `ajls384kdjx98XX "quoted"`
	plain, err := json.Marshal(object{"challenge": challenge, "token": s.opt.VerificationToken, "type": "url_verification"})
	if err != nil {
		return Answer{Kind: "url_verification", Err: err}
	}
	body := s.Seal(plain)
	a := s.Post("url_verification", body, s.Sign(body))
	var got struct{ Challenge string }
	switch {
	case !a.OK():
	case json.Unmarshal(a.Body, &got) != nil || got.Challenge != challenge:
		a.Err = fmt.Errorf("the challenge did not come back: %.200s", a.Body)
	case a.Took > time.Second:
		a.Err = fmt.Errorf("the challenge came back after %s, more than 1 s", a.Took)
	}
	return a
}

// event sends one event, again up to four times until it is received.
func (s *Server) event(kind string, event object) Answer {
	s.mu.Lock()
	body := s.envelope(kind, event)
	again := body
	twice := s.double > 0
	if twice {
		s.double--
		if kind == messageEvent {
			again = s.envelope(kind, event)
		}
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
	a := s.repeat(kind, body, true)
	if twice {
		a = s.repeat(kind, again, false)
	}
	return a
}

// repeat is Feishu's patience with events: at once, then after 15 s, 5 min, 1 h
// and 6 h.
func (s *Server) repeat(kind string, plain []byte, mayDrop bool) Answer {
	var a Answer
	for n := range 5 {
		if n > 0 {
			s.opt.Wait(n)
		}
		s.mu.Lock()
		lost := mayDrop && n == 0 && s.drop > 0
		if lost {
			s.drop--
		}
		s.mu.Unlock()
		if lost {
			a = Answer{Kind: kind, Err: errDropped}
		} else {
			a = s.once(kind, plain)
		}
		a.Attempts = n + 1
		if a.OK() || errors.Is(a.Err, errNoHook) {
			return a
		}
	}
	return a
}

// once delivers one time, over whichever way there is.
func (s *Server) once(kind string, plain []byte) Answer {
	s.mu.Lock()
	socket := s.target == ""
	s.mu.Unlock()
	if socket {
		return s.overLink(kind, plain)
	}
	body := s.Seal(plain)
	return s.Post(kind, body, s.Sign(body))
}

// What a person is shown when a press comes to nothing.
// https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/handle-card-callbacks
const (
	codeUnreachable = 200340
	codeTimeout     = 200341
	codeNot200      = 200671
	codeNotJSON     = 200672
	codeBadCard     = 200673
)

// press sends what a person pressed, once, and shows him what is answered.
func (s *Server) press(user, token string, event object) Answer {
	s.mu.Lock()
	plain := s.envelope(cardAction, event)
	s.mu.Unlock()
	a := s.once(cardAction, plain)
	a.Attempts = 1
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.cardTokens[token]
	m := s.messages[t.message]
	if t.early && !t.answered { // whatever came before the answer is undone by it
		m.Content = t.was
		s.arrived("card.revert", m)
	}
	t.answered = true
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(a.Err, errNoAck), errors.As(a.Err, &timeout) && timeout.Timeout():
		a.Code = codeTimeout
	case a.Err != nil:
		a.Code = codeUnreachable
	case a.Status != http.StatusOK:
		a.Code, a.Err = codeNot200, fmt.Errorf("status %d", a.Status)
	default:
		a.Code, a.Err = s.apply(user, m, a.Body)
	}
	return a
}

// apply does what the answer to a press says. It is as strict as it can be: an
// object of toast and card and nothing else. It needs s.mu.
func (s *Server) apply(user string, m *Message, body []byte) (int, error) {
	var reply struct {
		Toast *struct {
			Type    string            `json:"type"`
			Content string            `json:"content"`
			I18n    map[string]string `json:"i18n"`
		} `json:"toast"`
		Card *struct {
			Type string          `json:"type"`
			Data json.RawMessage `json:"data"`
		} `json:"card"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 || trimmed[0] != '{' {
		return codeNotJSON, fmt.Errorf("the answer is no object: %.200s", body)
	}
	if err := d.Decode(&reply); err != nil {
		return codeNotJSON, fmt.Errorf("the answer is not as agreed: %w", err)
	}
	if d.More() {
		return codeNotJSON, fmt.Errorf("more than one answer: %.200s", body)
	}
	if t := reply.Toast; t != nil {
		switch {
		case !slices.Contains([]string{"success", "error", "warning", "info"}, t.Type):
			return codeNotJSON, fmt.Errorf("toast.type %q", t.Type)
		case t.Content == "" && len(t.I18n) == 0:
			return codeNotJSON, errors.New("toast.content is empty")
		}
	}
	if c := reply.Card; c != nil {
		if c.Type != "raw" {
			return codeBadCard, fmt.Errorf("card.type %q", c.Type)
		}
		if err := (&call{s: s}).card(c.Data); err != nil {
			return codeBadCard, fmt.Errorf("card: %w", err)
		}
		s.show("card.action", m, string(c.Data))
	}
	if t := reply.Toast; t != nil {
		text := t.Content
		if text == "" {
			text = t.I18n["zh_cn"]
		}
		s.toasts[user] = append(s.toasts[user], Toast{Type: t.Type, Text: text})
	}
	return 0, nil
}
