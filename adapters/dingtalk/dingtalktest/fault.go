package dingtalktest

import (
	"io"
	"net/http"
	"time"
)

// FaultKind is a way in which a call can go wrong.
type FaultKind string

// The ways.
const (
	Limited     FaultKind = "limited"     // too many calls a second of this API, nothing done
	AllLimited  FaultKind = "all limited" // too many calls of this API by everybody, nothing done
	Banned      FaultKind = "banned"      // this address called too often: an answer of the firewall, nothing done
	ServerError FaultKind = "500"         // a page of HTML, nothing done
	Empty       FaultKind = "{}"          // 200 with an empty object, nothing done
	CutBefore   FaultKind = "cut before"  // the connection ends, nothing done
	CutAfter    FaultKind = "cut after"   // done, but the connection ends before the answer
	HalfAnswer  FaultKind = "half answer" // done, but the answer ends in the middle
	Slow        FaultKind = "slow"        // done after Delay
	Refused     FaultKind = "refused"     // the error in Code, nothing done
	Undelivered FaultKind = "undelivered" // a card is made, but 200 says that it reached nobody
)

// Fault is what the next calls meet.
type Fault struct {
	Kind   FaultKind
	Method string // as Calls names it; "" = any
	Times  int    // 0 = once, < 0 = until Heal
	Code   string // of Refused: "system.busy", or of oapi a number; with a dot it is a sub_code: "88.40014"
	Status int    // of ServerError and Refused; 0 = 500 and 400
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
	s.faults, s.drop, s.double, s.deaf = nil, 0, 0, false
}

// Drop loses the first attempt of the next n deliveries. DingTalk sends events
// again; messages and presses are lost for good.
func (s *Server) Drop(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop = n
}

// Double sends the next n messages, presses or events twice.
func (s *Server) Double(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.double = n
}

// Hold keeps the next n messages or events back, and then sends them in reverse order.
func (s *Server) Hold(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = n
}

func (s *Server) fault(method string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Method != "" && f.Method != method || f.Kind == Undelivered && method != "card/instances/createAndDeliver" && method != "card/instances/deliver" {
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

// meet lets a call meet a fault, and reports whether it goes on.
func (s *Server) meet(w http.ResponseWriter, r *http.Request, f *Fault, refuse func(error)) bool {
	say := func(status int, kind, body string) bool {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		if _, err := io.WriteString(w, body); err != nil {
			return false // the caller is gone
		}
		return false
	}
	switch f.Kind {
	case Limited:
		refuse(errTooFast)
		return false
	case AllLimited:
		refuse(errAllTooFast)
		return false
	case Refused:
		e := fail(f.Code, f.Code)
		if f.Status != 0 {
			e.status = f.Status
		}
		refuse(e)
		return false
	case Banned:
		return say(http.StatusOK, "application/json", `{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"`+uuid()+`"}`)
	case ServerError:
		status := f.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		return say(status, "text/html", "<html>server error</html>")
	case Empty:
		return say(http.StatusOK, "application/json", "{}")
	case CutBefore:
		hang(w)
		return false
	case Slow:
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		}
	}
	return true
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
