package tickets_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/jobs"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

func TestMain(m *testing.M) {
	if task := os.Getenv(racerEnv); task != "" {
		os.Exit(racer(task))
	}
	ticketstest.Main(m, func() error { return goleak.Find() })
}

// The accounts of the house that most tests play in. Zhou works at another desk.
const (
	wang  = "chat/one/wang"  // asks
	sun   = "chat/one/sun"   // asks as well
	li    = "chat/one/li"    // agent
	zhang = "chat/one/zhang" // agent
	zhao  = "chat/one/zhao"  // lead
	zhou  = "chat/one/zhou"  // agent of hr
	chen  = "chat/one/chen"  // admin
	wu    = "chat/one/wu"    // auditor

	triage = "chat/one/triage"
	intake = "chat/one/intake"
)

var start = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// house is a service with a desk and its people on one database.
type house struct {
	t      testing.TB
	db     *sqldb.DB
	s      *tickets.Service
	out    *tickets.Outbox
	now    time.Time
	asked  int
	people map[string]tickets.PersonID
}

func setup() tickets.Setup {
	return tickets.Setup{
		Desks: []tickets.DeskSetup{
			{
				Desk: tickets.Desk{Key: "it", Name: "IT 服务台", Teams: []string{"二线"}, Types: []tickets.Type{
					{Key: "account", Name: "账号", Fields: []tickets.Field{
						{Key: "system", Label: "系统", Kind: tickets.FieldChoice, Required: true, Options: []string{"ERP", "VPN"}},
						{Key: "phone", Label: "电话", Kind: tickets.FieldPhone},
					}},
				}},
				Triage: []string{triage}, Intake: []string{intake},
				Agents: []string{li, zhang}, Leads: []string{zhao}, Auditors: []string{wu},
			},
			{Desk: tickets.Desk{Key: "hr", Name: "人事"}, Triage: []string{"chat/one/hr"}, Agents: []string{zhou}},
		},
		Admins: []string{chen},
	}
}

func newHouse(t testing.TB, db *sqldb.DB) *house {
	t.Helper()
	client, err := jobs.New(db, clock.New(), nil, jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{
		t: t, db: db, now: start, people: map[string]tickets.PersonID{},
		s: tickets.NewService(db, client, slog.New(slog.DiscardHandler)), out: tickets.NewOutbox(db, client),
	}
	if err := h.s.Configure(t.Context(), setup(), h.now); err != nil {
		t.Fatal(err)
	}
	for account, name := range map[string]string{
		wang: "王芳", sun: "孙悦", li: "李四", zhang: "张三", zhao: "赵六", zhou: "周七", chen: "陈总", wu: "吴审",
	} {
		id, err := h.s.EnsureAccount(t.Context(), tickets.Profile{Account: account, Name: name}, h.now)
		if err != nil {
			t.Fatal(err)
		}
		h.people[account] = id
	}
	return h
}

func (h *house) request(account string, id tickets.TicketID, c tickets.Command) tickets.Request {
	h.asked++
	return tickets.Request{
		Once: fmt.Sprintf("request-%d", h.asked), Account: account, Ticket: id, Command: c, Via: triage, Now: h.now,
		System: account == "", Origin: tickets.Origin{Lane: intake, Thread: fmt.Sprintf("thread-%d", h.asked)},
	}
}

// do does a command that must succeed.
func (h *house) do(account string, id tickets.TicketID, c tickets.Command) tickets.Result {
	h.t.Helper()
	r, err := h.s.Do(h.t.Context(), h.request(account, id, c))
	if err != nil {
		h.t.Fatalf("%s %s: %v", account, c.Verb(), describe(err))
	}
	return r
}

// refused does a command that must be refused with a code.
func (h *house) refused(account string, id tickets.TicketID, c tickets.Command, code tickets.Code) *tickets.Error {
	h.t.Helper()
	_, err := h.s.Do(h.t.Context(), h.request(account, id, c))
	if tickets.CodeOf(err) != code {
		h.t.Fatalf("%s %s: got %v, want refusal %s", account, c.Verb(), describe(err), code)
	}
	var e *tickets.Error
	errors.As(err, &e)
	return e
}

func describe(err error) string {
	var e *tickets.Error
	if errors.As(err, &e) {
		return fmt.Sprintf("%s %v", e.Code, e.Args)
	}
	return fmt.Sprint(err)
}

// open opens a ticket of Wang's in the intake group.
func (h *house) open(title string) *tickets.Ticket {
	h.t.Helper()
	r := h.request(wang, "", tickets.Open{Desk: "it", Title: title})
	r.Via, r.Message = intake, r.Origin.Thread
	res, err := h.s.Do(h.t.Context(), r)
	if err != nil {
		h.t.Fatal(describe(err))
	}
	return res.Ticket
}

func (h *house) actor(account string) tickets.Actor {
	h.t.Helper()
	a, err := h.s.ActorOf(h.t.Context(), account)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *house) later(d time.Duration) { h.now = h.now.Add(d) }

func (h *house) ticket(id tickets.TicketID) *tickets.Ticket {
	h.t.Helper()
	t, err := h.s.Ticket(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return t
}

// take is what a sender of a lane would get now.
func (h *house) take(lane string) []tickets.Out {
	h.t.Helper()
	rows, ok, _, err := h.out.Take(h.t.Context(), lane, "sender", tickets.At(h.now), time.Minute)
	if err != nil || !ok {
		h.t.Fatalf("take %s: ok %v, %v", lane, ok, err)
	}
	return rows
}

// deliver sends everything that is due in a lane, and returns it.
func (h *house) deliver(lane string) []tickets.Out {
	h.t.Helper()
	rows := h.take(lane)
	for _, r := range rows {
		t := h.ticket(r.Ticket)
		sent := tickets.Sent{Ref: "ref-" + r.ID, Root: "ref-" + r.ID, Shown: t.Version, Hash: "hash"}
		if err := h.out.Done(h.t.Context(), r, sent, tickets.At(h.now)); err != nil {
			h.t.Fatal(err)
		}
	}
	if len(rows) > 0 {
		if err := h.out.Release(h.t.Context(), lane, "sender"); err != nil {
			h.t.Fatal(err)
		}
	}
	return rows
}

// kinds are the kinds of rows, sorted as they come.
func kinds(rows []tickets.Out) string {
	s := ""
	for i, r := range rows {
		if i > 0 {
			s += " "
		}
		s += string(r.Kind)
	}
	return s
}

func (h *house) count(query string, args ...any) int {
	h.t.Helper()
	var n int
	if err := h.db.Get(h.t.Context(), &n, query, args...); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// exec changes the database behind the service's back.
func (h *house) exec(query string, args ...any) {
	h.t.Helper()
	err := h.db.Tx(h.t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(h.t.Context(), query, args...)
		return err
	})
	if err != nil {
		h.t.Fatalf("%s: %v", query, err)
	}
}
