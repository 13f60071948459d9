package feishutest

import (
	"net/http"
	"time"
)

// FaultKind is a way in which a call of the API can go wrong.
type FaultKind string

// The ways.
const (
	Limited     FaultKind = "429"         // 429 with 99991400; RetryAfter is x-ogw-ratelimit-reset, "" = none
	LimitedChat FaultKind = "230020"      // 400 with 230020: too much for one chat, no header
	ServerError FaultKind = "500"         // Status (500) with a page of HTML, nothing done
	Empty       FaultKind = "{}"          // 200 with an empty object, nothing done
	NotJSON     FaultKind = "not json"    // 200 with text/plain, nothing done
	CutBefore   FaultKind = "cut before"  // the connection ends, nothing done
	CutAfter    FaultKind = "cut after"   // done, but the connection ends before the answer
	HalfAnswer  FaultKind = "half answer" // done, but the answer ends in the middle
	Slow        FaultKind = "slow"        // done after Delay
	Refused     FaultKind = "refused"     // Status (400) with Code, nothing done
)

// Fault is what the next calls meet.
type Fault struct {
	Kind       FaultKind
	Method     string // "message.create", "token" …; "" = any
	Times      int    // 0 = once, < 0 = until Heal
	RetryAfter string // seconds
	Code       int    // of Refused
	Status     int    // of ServerError and Refused; 0 = 500 and 400
	Delay      time.Duration
}

// Fail adds a fault; faults are met in the order they were added.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults = append(s.faults, &f)
}

// Heal takes all faults away.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.drop, s.double = nil, 0, 0
}

// Drop loses the first attempt of the next n events: Feishu sends them again.
func (s *Server) Drop(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop = n
}

// Double sends the next n events twice. A message comes the second time under
// another event_id, as Feishu warns: only its message_id is the same.
func (s *Server) Double(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.double = n
}

// Hold keeps the next n events back, and then sends them in reverse order.
func (s *Server) Hold(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = n
}

// ExpireTokens makes all tokens invalid that were handed out (99991663); a new
// one can be had.
func (s *Server) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = nil
}

// Suspend makes all tokens invalid, and every request for a new one fail with
// this code (10014: the secret is wrong), until it is called with 0.
func (s *Server) Suspend(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspended, s.tokens = code, nil
}

func (s *Server) fault(method string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Method != "" && f.Method != method {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		copied := *f
		return &copied
	}
	return nil
}

// hang ends a connection in the middle of a request.
func hang(w http.ResponseWriter) {
	hj, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := hj.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if err := conn.Close(); err != nil {
		return // it is gone, as it should be
	}
}
