package dingtalktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Answer is what came back for one delivery.
type Answer struct {
	Kind     string // "message", "press", "ping", or an event's type
	Status   int    // of the hook's answer, or the code of the acknowledgement; 0 = none in time
	Body     []byte // of the hook's answer, or the data of the acknowledgement
	Attempts int
	Took     time.Duration // of the last attempt
	Err      error         // none, or a wrong, answer
}

// OK reports whether DingTalk would take the answer for "received".
func (a Answer) OK() bool { return a.Err == nil && a.Status/100 == 2 }

var (
	errNoConnection = errors.New("no connection to send it over")
	errNoHook       = errors.New("no hook to send it to")
	errNoAck        = errors.New("not acknowledged in time")
	errDropped      = errors.New("lost on the way")
	errLater        = errors.New("asked to send it again later")
)

// deadline is for an answer over Stream.
func (s *Server) deadline() time.Duration {
	if s.opt.Deadline != 0 {
		return s.opt.Deadline
	}
	return 3 * time.Second
}

// Request is one request of HTTP mode.
type Request struct {
	URL    string // "" = where Deliver points
	Query  url.Values
	Header http.Header
	Body   []byte
}

// RobotRequest signs a message of a person to the robot
// (https://open.dingtalk.com/document/dingstart/robot-receive-message).
func (s *Server) RobotRequest(body []byte, at time.Time) Request {
	return Request{Header: SignRobot(s.opt.ClientSecret, at), Body: body}
}

// EventRequest encrypts and signs an event
// (https://open.dingtalk.com/document/development/develop-stream-mode-push-server).
func (s *Server) EventRequest(plain []byte, at time.Time) (Request, error) {
	sealed, err := Encrypt(s.opt.AESKey, s.opt.ClientID, random16(), plain)
	if err != nil {
		return Request{}, err
	}
	stamp, nonce := strconv.FormatInt(at.UnixMilli(), 10), uuid()[:8]
	body, err := json.Marshal(object{"encrypt": sealed})
	if err != nil {
		return Request{}, err
	}
	sig := Signature(s.opt.EventToken, stamp, nonce, sealed)
	return Request{
		Query:  url.Values{"msg_signature": {sig}, "signature": {sig}, "timestamp": {stamp}, "nonce": {nonce}},
		Header: http.Header{"Content-Type": {"application/json"}}, Body: body,
	}, nil
}

// CardRequest signs a press on a card by the secret of a callback route
// (https://open.dingtalk.com/document/development/event-callback-card).
func (s *Server) CardRequest(routeKey string, body []byte, at time.Time) Request {
	s.mu.Lock()
	rt := s.routes[routeKey]
	s.mu.Unlock()
	return Request{URL: rt.url, Header: SignCard(rt.secret, at), Body: body}
}

// Forged is the request with a signature that is none.
func (r Request) Forged() Request {
	r.Query, r.Header = url.Values(http.Header(r.Query).Clone()), r.Header.Clone()
	for _, set := range []map[string][]string{r.Query, r.Header} {
		for _, name := range []string{"msg_signature", "signature", "Sign", "X-Ddpaas-Signature"} {
			if v := set[name]; len(v) > 0 && v[0] != "" {
				b := []byte(v[0])
				b[0] ^= 1
				set[name] = []string{string(b)}
			}
		}
	}
	return r
}

// Post sends a request once. kind names it in the answer.
func (s *Server) Post(kind string, r Request) Answer {
	most := 2500 * time.Millisecond
	if s.opt.Deadline != 0 {
		most = s.opt.Deadline
	}
	if kind == "press" {
		most = s.opt.CardDeadline
	}
	s.mu.Lock()
	target := s.target
	s.mu.Unlock()
	if target == "" {
		target = r.URL
	}
	if target == "" {
		return Answer{Kind: kind, Err: errNoHook}
	}
	u, err := url.Parse(target)
	if err != nil {
		return Answer{Kind: kind, Err: err}
	}
	q := u.Query()
	for k, v := range r.Query {
		q[k] = v
	}
	u.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(r.Body))
	if err != nil {
		return Answer{Kind: kind, Err: err}
	}
	for k, v := range r.Header {
		req.Header[k] = v
	}
	begin := time.Now()
	resp, err := s.client.Do(req)
	if err != nil {
		return Answer{Kind: kind, Err: err, Took: time.Since(begin)}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return Answer{Kind: kind, Status: resp.StatusCode, Body: b, Err: err, Took: time.Since(begin)}
}

// dispatch sends something as often as it takes, loses it, doubles it, or holds
// it back, as it was asked for. patience is how often it is tried.
func (s *Server) dispatch(kind string, patience int, once func() Answer) Answer {
	s.mu.Lock()
	twice := s.double > 0
	if twice {
		s.double--
	}
	if s.hold > 0 && kind != "press" {
		s.hold--
		s.held = append(s.held, func() { s.attempts(kind, patience, once, false) })
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
	a := s.attempts(kind, patience, once, true)
	if twice {
		a = s.attempts(kind, patience, once, false)
	}
	return a
}

func (s *Server) attempts(kind string, patience int, once func() Answer, mayDrop bool) Answer {
	var a Answer
	for n := range patience {
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
			a = once()
		}
		a.Attempts = n + 1
		if a.OK() {
			break
		}
	}
	return a
}

// message pushes what a person said, once: robot messages are never repeated.
func (s *Server) message(body []byte) Answer {
	return s.dispatch("message", 1, func() Answer {
		f, a := s.launchMessage(body)
		if f != nil {
			a = f.wait()
		}
		return a
	})
}

// launchMessage returns a flight over Stream, or the hook's answer.
func (s *Server) launchMessage(body []byte) (*flight, Answer) {
	s.mu.Lock()
	stream := s.target == ""
	s.mu.Unlock()
	if !stream {
		return nil, s.Post("message", s.RobotRequest(body, s.opt.Now()))
	}
	f, err := s.launch("message", "CALLBACK", MessageTopic, nil, body, s.deadline(), func(data []byte) error {
		var o map[string]any
		if len(data) > 0 && json.Unmarshal(data, &o) != nil {
			return fmt.Errorf("acknowledged with data that is no object: %.100s", data)
		}
		return nil
	})
	return f, Answer{Kind: "message", Err: err}
}

// patience is how often an event is sent until it is received.
const patience = 4

// Event tells the app what happened in the company, again and again until it is
// received. data is what HTTP mode's body has; kind is put into it there.
func (s *Server) Event(kind string, data map[string]any) Answer {
	s.mu.Lock()
	eventID := s.id("event")
	stream := s.target == ""
	topic := s.variant.EventTopic
	now := s.opt.Now()
	s.mu.Unlock()
	if topic == "" {
		topic = "*"
	}
	if !stream {
		all := object{"EventType": kind}
		for k, v := range data {
			all[k] = v
		}
		plain, err := json.Marshal(all)
		if err != nil {
			return Answer{Kind: kind, Err: err}
		}
		return s.dispatch(kind, patience, func() Answer { return s.postEvent(kind, plain) })
	}
	body, err := json.Marshal(data)
	if err != nil {
		return Answer{Kind: kind, Err: err}
	}
	head := object{
		"eventId": eventID, "eventType": kind, "eventCorpId": s.opt.CorpID, "eventBornTime": strconv.FormatInt(now.UnixMilli(), 10), "eventUnifiedAppId": "unified-" + s.opt.ClientID,
	}
	return s.dispatch(kind, patience, func() Answer {
		f, err := s.launch(kind, "EVENT", topic, head, body, s.deadline(), func(got []byte) error {
			var status struct{ Status string }
			if err := json.Unmarshal(got, &status); err != nil {
				return fmt.Errorf("acknowledge event: %w", err)
			}
			switch status.Status {
			case "SUCCESS":
				return nil
			case "LATER":
				return errLater
			}
			return fmt.Errorf("acknowledged with status %q", status.Status)
		})
		if err != nil {
			return Answer{Kind: kind, Err: err}
		}
		return f.wait()
	})
}

// CheckURL is what DingTalk sends when an administrator saves the address of
// the hook.
func (s *Server) CheckURL() Answer {
	return s.postEvent("check_url", []byte(`{"EventType":"check_url"}`))
}

// postEvent sends an event to the hook, which has to answer "success",
// encrypted and signed as the event was.
func (s *Server) postEvent(kind string, plain []byte) Answer {
	r, err := s.EventRequest(plain, s.opt.Now())
	if err != nil {
		return Answer{Kind: kind, Err: err}
	}
	a := s.Post(kind, r)
	if !a.OK() {
		return a
	}
	a.Err = s.checkReply(a.Body)
	return a
}

func (s *Server) checkReply(body []byte) error {
	var reply struct {
		Signature string `json:"msg_signature"`
		Stamp     string `json:"timeStamp"`
		Nonce     string `json:"nonce"`
		Encrypt   string `json:"encrypt"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return fmt.Errorf("answer to an event: %w", err)
	}
	if reply.Signature != Signature(s.opt.EventToken, reply.Stamp, reply.Nonce, reply.Encrypt) {
		return errors.New("answer to an event: the signature does not match")
	}
	plain, owner, err := Decrypt(s.opt.AESKey, reply.Encrypt)
	switch {
	case err != nil:
		return fmt.Errorf("answer to an event: %w", err)
	case owner != s.opt.ClientID || string(plain) != "success":
		return fmt.Errorf("answer to an event: %q of %q", plain, owner)
	}
	return nil
}
