package tickets_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/paidan/paidan/tickets"
)

var update = flag.Bool("update", false, "write the golden files anew")

// stage is a ticket on its way, for rules that need no database.
type stage struct {
	t    testing.TB
	tk   *tickets.Ticket
	desk tickets.Desk
	now  tickets.Time
	last *tickets.Event
}

var (
	asker = tickets.Actor{Person: "wang"}
	agent = tickets.Actor{Person: "li", Roles: map[tickets.DeskKey][]tickets.Role{"it": {tickets.Agent}}}
	other = tickets.Actor{Person: "zhang", Roles: map[tickets.DeskKey][]tickets.Role{"it": {tickets.Agent}}}
	lead  = tickets.Actor{Person: "zhao", Roles: map[tickets.DeskKey][]tickets.Role{"it": {tickets.Lead}}}
	timer = tickets.Actor{System: true}
)

func newStage(t testing.TB) *stage {
	s := &stage{t: t, tk: &tickets.Ticket{ID: "t", Desk: "it", Number: 7}, desk: setup().Desks[0].Desk, now: tickets.At(start)}
	s.must(asker, tickets.Open{Desk: "it", Title: "打印机"})
	return s
}

func (s *stage) decide(a tickets.Actor, c tickets.Command) (tickets.Decision, error) {
	return tickets.Decide(s.tk, c, tickets.Scene{
		Now: s.now, Actor: a, Desk: s.desk, To: &other, About: s.last,
		Other: &tickets.Ticket{ID: "u", Desk: "it", Number: 8, Core: tickets.Core{Status: tickets.New}},
	})
}

// must does a command and applies what comes of it.
func (s *stage) must(a tickets.Actor, c tickets.Command) tickets.Decision {
	s.t.Helper()
	d, err := s.decide(a, c)
	if err != nil {
		s.t.Fatalf("%s on %s: %s", c.Verb(), s.tk.Status, describe(err))
	}
	for _, e := range d.Events {
		e.Ticket, e.Seq = s.tk.ID, s.tk.Version+1
		tickets.Apply(s.tk, e)
		s.last = &e
	}
	return d
}

func (s *stage) later(d time.Duration) { s.now = s.now.Add(d) }

// at brings a fresh ticket to a status.
func at(t testing.TB, status tickets.Status) *stage {
	s := newStage(t)
	if status == tickets.New {
		return s
	}
	s.must(agent, tickets.Claim{})
	switch status {
	case tickets.Waiting:
		s.must(agent, tickets.HoldUntil{Customer: true, Reason: "等截图"})
	case tickets.Held:
		s.must(agent, tickets.HoldUntil{Until: s.now.Add(time.Hour), Reason: "等备件"})
	case tickets.Solved:
		s.must(agent, tickets.Solve{Text: "好了"})
	case tickets.Closed:
		s.must(agent, tickets.Close{})
	case tickets.Archived:
		s.must(agent, tickets.Close{})
		s.must(lead, tickets.Archive{})
	}
	return s
}

var statuses = []tickets.Status{tickets.New, tickets.Active, tickets.Waiting, tickets.Held, tickets.Solved, tickets.Closed, tickets.Archived}

// acts are the commands by those who usually give them.
var acts = []struct {
	name string
	by   tickets.Actor
	c    tickets.Command
}{
	{"say 谢谢", asker, tickets.Say{Text: "谢谢"}}, {"say 还是不行", asker, tickets.Say{Text: "还是不行"}},
	{"claim, owner", agent, tickets.Claim{}}, {"claim, another", other, tickets.Claim{}},
	{"release", agent, tickets.Release{Reason: "下班"}}, {"assign", lead, tickets.Assign{To: "zhang"}},
	{"consult", agent, tickets.ConsultOn{Expert: "zhang", Question: "?"}}, {"answer, nobody asked", agent, tickets.Answer{}},
	{"reply", agent, tickets.Reply{Text: "请重启"}}, {"note", agent, tickets.Note{Text: "换线"}},
	{"priority", agent, tickets.SetPriority{Priority: 1}}, {"priority, same", agent, tickets.SetPriority{Priority: 3}},
	{"type", agent, tickets.SetType{Type: "account"}}, {"field, no type", agent, tickets.SetField{Key: "phone", Value: "1"}},
	{"tag", agent, tickets.Tag{Add: []string{"ERP"}}},
	{"hold", agent, tickets.HoldUntil{Reason: "等"}}, {"hold, past", agent, tickets.HoldUntil{Until: 1}},
	{"resume", agent, tickets.Resume{}}, {"resume, timer of no hold", timer, tickets.Resume{Due: 1}},
	{"urge", asker, tickets.Urge{}}, {"escalate", agent, tickets.Escalate{Team: "二线", Reason: "难"}},
	{"escalate, no team", agent, tickets.Escalate{Team: "九线", Reason: "难"}}, {"escalate, person", agent, tickets.Escalate{Person: "zhang", Reason: "难"}},
	{"solve", agent, tickets.Solve{Text: "好了"}}, {"solve, lead", lead, tickets.Solve{Text: "好了"}}, {"solve, another", other, tickets.Solve{Text: "好了"}},
	{"confirm", asker, tickets.Confirm{}}, {"reject", asker, tickets.Reject{Reason: "没好"}},
	{"close", agent, tickets.Close{}}, {"close, requester", asker, tickets.Close{}}, {"close, old timer", timer, tickets.Close{Lapsed: 1}},
	{"withdraw", asker, tickets.Withdraw{}}, {"withdraw, agent", agent, tickets.Withdraw{}}, {"reopen", asker, tickets.Reopen{Reason: "又坏"}},
	{"merge", agent, tickets.Merge{Into: "u"}}, {"unmerge", agent, tickets.Unmerge{}}, {"link", agent, tickets.LinkTo{Other: "u"}},
	{"split", agent, tickets.Split{Title: "另一件"}}, {"archive", lead, tickets.Archive{}}, {"archive, old timer", timer, tickets.Archive{Closed: 1}},
	{"undo", agent, tickets.Undo{}}, {"attach", agent, tickets.Attach{Files: []tickets.File{{Ref: "f"}}}},
	{"reveal, empty", agent, tickets.Reveal{Field: "phone", Reason: "回电"}}, {"breach, too early", timer, tickets.Breach{Target: 1}},
}

// TestDecisions: every command on every status. What comes of it is the event,
// the status after it where it changes, and the refusal's code.
func TestDecisions(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-26s", "#")
	for _, s := range statuses {
		fmt.Fprintf(&b, " %-24s", s)
	}
	for _, act := range acts {
		fmt.Fprintf(&b, "\n%-26s", act.name)
		for _, status := range statuses {
			fmt.Fprintf(&b, " %-24s", outcome(at(t, status), act.by, act.c))
		}
	}
	b.WriteString("\n")
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	got := strings.Join(lines, "\n")
	const golden = "testdata/decide.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("decisions have changed (-want +got); go test ./tickets -run TestDecisions -update\n%s", diff)
	}
}

func outcome(s *stage, a tickets.Actor, c tickets.Command) string {
	was := s.tk.Status
	d, err := s.decide(a, c)
	switch {
	case err != nil:
		return "! " + string(tickets.CodeOf(err))
	case d.Open != nil:
		return "new ticket, " + string(d.Open.From.Kind)
	case len(d.Events) == 0:
		return "-"
	}
	out := string(d.Events[0].Kind)
	s.must(a, c)
	if s.tk.Status != was {
		out += " > " + string(s.tk.Status)
	}
	return out
}

func TestClocksStandStillExactly(t *testing.T) {
	s := at(t, tickets.Active)
	respond, solve := s.tk.RespondBy, s.tk.SolveBy
	for i, span := range []time.Duration{time.Second, 37 * time.Minute, 50 * time.Hour} {
		s.must(agent, tickets.HoldUntil{Customer: i == 1, Reason: "等"})
		s.later(span)
		s.must(agent, tickets.HoldUntil{Reason: "再等"}) // holding on stops no clock twice
		s.later(time.Minute)
		s.must(agent, tickets.Resume{})
		respond, solve = respond.Add(span+time.Minute), solve.Add(span+time.Minute)
		equal(t, "respond by", s.tk.RespondBy, respond)
		equal(t, "solve by", s.tk.SolveBy, solve)
		s.later(time.Hour)
	}
	s.must(agent, tickets.Reply{Text: "在看"})
	s.must(agent, tickets.HoldUntil{})
	s.later(time.Hour)
	s.must(agent, tickets.Resume{})
	equal(t, "respond by, once responded", s.tk.RespondBy, respond)
}

func TestPriorityMovesTheTargets(t *testing.T) {
	s := at(t, tickets.Active) // P3: 2 h and 24 h
	s.must(agent, tickets.HoldUntil{})
	s.later(3 * time.Hour)
	s.must(agent, tickets.Resume{})
	s.must(agent, tickets.SetPriority{Priority: 1}) // P1: 15 min and 4 h
	equal(t, "respond by", s.tk.RespondBy, s.tk.Created.Add(3*time.Hour+15*time.Minute))
	equal(t, "solve by", s.tk.SolveBy, s.tk.Created.Add(7*time.Hour))
	s.must(agent, tickets.SetPriority{Priority: 3})
	equal(t, "solve by, back", s.tk.SolveBy, s.tk.Created.Add(27*time.Hour))
}

func TestUndoPutsEverythingBack(t *testing.T) {
	for _, act := range acts {
		for _, status := range statuses {
			s := at(t, status)
			s.must(agent, tickets.Attach{}) // an act that no undo is about
			before := core(t, s.tk)
			d, err := s.decide(act.by, act.c)
			if err != nil || len(d.Events) == 0 || !undoable[act.c.Verb()] {
				continue
			}
			s.must(act.by, act.c)
			s.later(10 * time.Minute)
			s.must(act.by, tickets.Undo{})
			if diff := cmp.Diff(before, core(t, s.tk)); diff != "" {
				t.Errorf("%s on %s, undone (-before +after):\n%s", act.name, status, diff)
			}
			if _, err := s.decide(act.by, tickets.Undo{}); tickets.CodeOf(err) != tickets.NothingToUndo {
				t.Errorf("%s on %s was undone twice: %v", act.name, status, err)
			}
		}
	}
}

var undoable = map[tickets.Verb]bool{
	tickets.VerbClaim: true, tickets.VerbRelease: true, tickets.VerbAssign: true, tickets.VerbConsult: true, tickets.VerbPriority: true,
	tickets.VerbType: true, tickets.VerbTag: true, tickets.VerbHold: true, tickets.VerbResume: true, tickets.VerbEscalate: true,
	tickets.VerbSolve: true, tickets.VerbConfirm: true, tickets.VerbReject: true, tickets.VerbClose: true, tickets.VerbWithdraw: true,
}

func core(t testing.TB, tk *tickets.Ticket) string {
	t.Helper()
	doc, err := json.MarshalIndent(tk.Core, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

func TestUndoIsBarred(t *testing.T) {
	s := at(t, tickets.Active)
	s.must(agent, tickets.SetPriority{Priority: 1})
	s.later(10*time.Minute + time.Microsecond)
	if _, err := s.decide(agent, tickets.Undo{}); tickets.CodeOf(err) != tickets.TooLate {
		t.Errorf("after ten minutes: %v", err)
	}
	s.must(agent, tickets.SetPriority{Priority: 2})
	s.must(other, tickets.Note{Text: "看"})
	if _, err := s.decide(other, tickets.Undo{}); tickets.CodeOf(err) != tickets.NothingToUndo {
		t.Errorf("of another's act: %v", err)
	}
	s.must(asker, tickets.Say{Text: "快点"}) // changes nothing that an undo would touch
	s.must(agent, tickets.Undo{})
	s.must(agent, tickets.HoldUntil{Customer: true})
	s.must(asker, tickets.Say{Text: "截图在此"}) // the ticket goes on
	if _, err := s.decide(agent, tickets.Undo{}); tickets.CodeOf(err) != tickets.NothingToUndo {
		t.Errorf("after the requester's answer: %v", err)
	}
}

func TestUrgeCoolsDown(t *testing.T) {
	s := at(t, tickets.Active)
	s.must(asker, tickets.Urge{})
	s.later(10*time.Minute - 1*time.Microsecond)
	if _, err := s.decide(asker, tickets.Urge{}); tickets.CodeOf(err) != tickets.TooSoon {
		t.Errorf("within ten minutes: %v", err)
	}
	s.later(time.Microsecond)
	s.must(asker, tickets.Urge{})
	equal(t, "urges", s.tk.Urges, 2)
}

func TestRequiredFieldsBeforeSolving(t *testing.T) {
	s := at(t, tickets.Active)
	s.must(agent, tickets.SetType{Type: "account"})
	if _, err := s.decide(agent, tickets.Solve{Text: "好"}); tickets.CodeOf(err) != tickets.FieldRequired {
		t.Errorf("with an empty required field: %v", err)
	}
	s.must(agent, tickets.SetField{Key: "system", Value: "ERP"})
	s.must(agent, tickets.Solve{Text: "好"})
}

func TestReopenHasItsTime(t *testing.T) {
	s := at(t, tickets.Closed)
	s.later(7 * 24 * time.Hour)
	if d, err := s.decide(asker, tickets.Reopen{Reason: "又坏"}); err != nil || d.Open != nil {
		t.Errorf("on the last moment: %+v, %v", d, err)
	}
	s.later(time.Microsecond)
	if d, err := s.decide(asker, tickets.Say{Text: "又坏了"}); err != nil || d.Open == nil || d.Open.Body != "又坏了" || d.Open.For != "wang" {
		t.Errorf("too late: %+v, %v", d, err)
	}
	s.desk.Types = nil // what the old ticket was has been done away with since
	s.tk.Type, s.tk.Fields = "account", map[string]string{"system": "ERP"}
	if d, err := s.decide(asker, tickets.Reopen{Reason: "又坏"}); err != nil || d.Open.Type != "" || len(d.Open.Fields) > 0 {
		t.Errorf("with a type that is gone: %+v, %v", d, err)
	}
}

func TestReopenedTicketIsNotLateAtOnce(t *testing.T) {
	s := at(t, tickets.Active)
	s.later(30 * time.Hour)
	s.must(timer, tickets.Breach{Target: s.tk.RespondBy})
	s.must(timer, tickets.Breach{Target: s.tk.SolveBy})
	equal(t, "missed", strings.Join(s.tk.Missed, " "), "respond solve")
	s.must(agent, tickets.Solve{Text: "好了", Quiet: true})
	s.must(asker, tickets.Reject{Reason: "没好"})
	if s.tk.Overdue(s.now) {
		t.Error("overdue the moment it was reopened")
	}
	s.later(30 * time.Hour)
	d := s.must(timer, tickets.Breach{Target: s.tk.SolveBy})
	equal(t, "breaches after the reopening", len(d.Events), 1)
	if !slices.Contains(s.tk.Missed, "solve") {
		t.Error("the second miss is not noted")
	}
}
