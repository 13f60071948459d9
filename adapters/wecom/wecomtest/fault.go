package wecomtest

import (
	"net/http"
	"time"
)

// FaultKind is a way in which a call can go wrong.
type FaultKind string

// The ways. Those that have a connection for their subject end the robot's
// connection when the call came over it.
const (
	Refused     FaultKind = "refused"     // errcode Code and errmsg Text, nothing done
	Busy        FaultKind = "busy"        // errcode -1, nothing done
	Limited     FaultKind = "limited"     // errcode 45009, nothing done
	ServerError FaultKind = "500"         // 5xx with a page of HTML, nothing done
	Empty       FaultKind = "{}"          // 200 with an empty object, nothing done
	NotJSON     FaultKind = "not json"    // 200 with a page of HTML, nothing done
	CutBefore   FaultKind = "cut before"  // the connection ends, nothing done
	CutAfter    FaultKind = "cut after"   // done, but the connection ends before the answer
	HalfAnswer  FaultKind = "half answer" // done, but the answer ends in the middle
	Slow        FaultKind = "slow"        // done at once, answered after Delay
	Silent      FaultKind = "silent"      // done, never answered; over the robot's connection only
	Warned      FaultKind = "warned"      // done, with a warning in errmsg beside errcode 0
)

// Fault is what the next calls meet.
type Fault struct {
	Kind   FaultKind
	Method string // "message/send", "aibot_send_msg" …; "" = any
	Times  int    // 0 = once, < 0 = until Heal
	Code   int    // errcode of Refused
	Text   string // errmsg of Refused
	Status int    // of ServerError; 0 = 500
	Delay  time.Duration
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
	s.faults, s.drop, s.double, s.vary = nil, 0, 0, nil
}

// Drop loses the first attempt of the next n deliveries. What is delivered
// once only is lost.
func (s *Server) Drop(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop = n
}

// Double sends the next n deliveries twice: the same message, newly signed.
func (s *Server) Double(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.double = n
}

// Hold keeps the next n deliveries back, and then sends them in reverse order.
func (s *Server) Hold(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = n
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

// refusal is what a fault that does nothing answers, or nil.
func (f *Fault) refusal() error {
	switch f.Kind {
	case Refused:
		text := f.Text
		if text == "" {
			text = texts[f.Code]
		}
		return refuse{code: f.Code, text: text}
	case Busy:
		return no(-1)
	case Limited:
		return no(45009)
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
