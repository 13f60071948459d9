//go:build unix

package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// sandbox is a chat that does what a test tells it to.
type sandbox struct {
	mu      sync.Mutex // guards what follows
	next    []error    // what the next sends return
	posts   []string   // titles of what was posted, first line of the body where there is none
	updates int
	shown   map[MessageRef]cards.Card
	once    map[string]MessageRef
	lost    bool // the next post is made, and its answer is lost
}

var chat = Install{"chat", "one"}

func (*sandbox) Caps() cards.Caps                                { return cards.Caps{Threads: true, Edits: true} }
func (*sandbox) Verify(r Raw, _ time.Time) ([]byte, error)       { return r.Body, nil }
func (*sandbox) Decode(Raw, []byte) (Inbound, error)             { return Inbound{}, nil }
func (*sandbox) Reply(w http.ResponseWriter, _ Inbound, _ Reply) { w.WriteHeader(http.StatusOK) }
func (s *sandbox) Find(_ context.Context, _ Dest, once string) (MessageRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.once[once], nil
}

func (s *sandbox) fail() error {
	if len(s.next) == 0 {
		return nil
	}
	err := s.next[0]
	s.next = s.next[1:]
	return err
}

func (s *sandbox) Post(_ context.Context, to Dest, once string, c cards.Card) (MessageRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fail(); err != nil && !s.lost {
		return "", err
	}
	ref := MessageRef(fmt.Sprintf("%s/%d", to.Conv, len(s.posts)+1))
	text := c.Title
	if c.Ticket == "" {
		text += ": " + c.Body
	}
	s.posts = append(s.posts, text)
	s.shown[ref], s.once[once] = c, ref
	if s.lost {
		s.lost = false
		return "", fmt.Errorf("answer cut: %w", ErrUnknown)
	}
	return ref, nil
}

func (s *sandbox) Update(_ context.Context, ref MessageRef, c cards.Card) (MessageRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fail(); err != nil {
		return "", err
	}
	s.updates++
	s.shown[ref] = c
	return ref, nil
}

type noJobs struct{}

func (noJobs) InsertManyTx(context.Context, *sqldb.Tx, []river.InsertManyParams) error { return nil }

// bench is a bot with one desk, whose team reads lane.
type bench struct {
	t    *testing.T
	b    *Bot
	db   *sqldb.DB
	chat *sandbox
	now  time.Time
	n    int
}

const lane = "chat/one/team"

func newBench(t *testing.T) *bench {
	x := &bench{t: t, now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), chat: &sandbox{shown: map[MessageRef]cards.Card{}, once: map[string]MessageRef{}}}
	x.db = ticketstest.Open(t, ticketstest.SQLite(t))
	log := slog.New(slog.DiscardHandler)
	svc := tickets.NewService(x.db, noJobs{}, log)
	x.b = New(Config{
		Tickets: svc, Outbox: tickets.NewOutbox(x.db, noJobs{}), Sealer: NewSealer([]byte(strings.Repeat("k", 32))),
		Now: func() time.Time { return x.now }, Lang: cards.ZH, Log: log, Holder: "test",
	})
	x.b.Add(chat, x.chat)
	err := svc.Configure(t.Context(), tickets.Setup{Desks: []tickets.DeskSetup{{
		Desk: tickets.Desk{Key: "it", Name: "IT"}, Triage: []string{lane}, Agents: []string{"chat/one/li"},
	}}}, x.now)
	if err != nil {
		t.Fatal(err)
	}
	for id, name := range map[string]string{"wang": "王芳", "li": "李四"} {
		if _, err := svc.EnsureAccount(t.Context(), tickets.Profile{Account: "chat/one/" + id, Name: name}, x.now); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// do does a command as somebody, and returns its ticket.
func (x *bench) do(who string, id tickets.TicketID, c tickets.Command) tickets.TicketID {
	x.t.Helper()
	x.n++
	res, err := x.b.svc.Do(x.t.Context(), tickets.Request{
		Once: fmt.Sprint("act ", x.n), Account: "chat/one/" + who, Ticket: id, Command: c, Now: x.now, Via: "chat/one/elsewhere",
	})
	if err != nil {
		x.t.Fatal(err)
	}
	return res.Ticket.ID
}

func (x *bench) open() tickets.TicketID {
	x.t.Helper()
	return x.do("wang", "", tickets.Open{Desk: "it", Title: "VPN"})
}

func (x *bench) drain() {
	x.t.Helper()
	w := deliverer{b: x.b}
	if err := w.Work(x.t.Context(), &river.Job[tickets.Deliver]{Args: tickets.Deliver{Lanes: []string{lane}}}); err != nil {
		x.t.Fatal(err)
	}
}

func (x *bench) one(query string) string {
	x.t.Helper()
	var rows []string
	if err := x.db.Select(x.t.Context(), &rows, query); err != nil {
		x.t.Fatal(err)
	}
	return strings.Join(rows, ", ")
}

func TestAVerdictDecidesWhatBecomesOfARow(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		row     string        // its state afterwards
		rests   time.Duration // for which the lane is left alone
		install time.Duration // for which the install is
		later   bool          // it arrives when that is over
	}{
		{"told to wait", RateLimited{After: 3 * time.Second}, "sending 0", 3 * time.Second, 0, true},
		{"the whole install is told to wait", RateLimited{After: 3 * time.Second, All: true}, "sending 0", 3 * time.Second, 3 * time.Second, true},
		{"our credentials are refused", fmt.Errorf("post: %w", ErrUnauthorized), "sending 0", pauseFor, pauseFor, true},
		{"the place is gone", fmt.Errorf("post: %w", ErrGone), "dead 1", 0, 0, false},
		{"it will never be accepted", fmt.Errorf("post: %w", ErrRejected), "dead 1", 0, 0, false},
		{"nobody knows", fmt.Errorf("post: %w", ErrUnknown), "sending 1", time.Second, 0, true},
		{"anything else", errors.New("no route to host"), "sending 1", time.Second, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newBench(t)
			x.open()
			x.chat.next = []error{c.err}
			x.drain()
			if got := x.one(`SELECT state || ' ' || attempts FROM outbox`); got != c.row {
				t.Errorf("the row is %q, want %q", got, c.row)
			}
			want := ""
			if c.rests > 0 {
				want = fmt.Sprint(int64(tickets.At(x.now.Add(c.rests))))
			}
			if got := x.one(`SELECT cast(blocked as text) FROM lanes WHERE blocked > 0`); got != want {
				t.Errorf("the lane rests until %q, want %q", got, want)
			}
			if got := x.b.limits.blocked(chat, x.now); got != c.install {
				t.Errorf("the install is left alone for %s, want %s", got, c.install)
			}
			x.now = x.now.Add(max(c.rests, time.Second))
			x.drain()
			arrived := len(x.chat.posts) == 1
			if arrived != c.later {
				t.Errorf("posted %q when the rest was over", x.chat.posts)
			}
		})
	}
}

func TestARowIsGivenUpAfterManyTries(t *testing.T) {
	x := newBench(t)
	x.open()
	for range maxTries + 3 {
		x.chat.next = []error{errors.New("no route to host")}
		x.drain()
		x.now = x.now.Add(time.Hour)
	}
	if got, want := x.one(`SELECT state || ' ' || attempts FROM outbox`), fmt.Sprintf("dead %d", maxTries); got != want {
		t.Errorf("the row is %q, want %q", got, want)
	}
	x.chat.next = nil
	if ok, err := x.b.out.Resend(t.Context(), x.one(`SELECT id FROM outbox`), tickets.At(x.now)); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if x.drain(); len(x.chat.posts) != 1 {
		t.Errorf("posted %q after it was sent again by hand", x.chat.posts)
	}
}

func TestFiveQuickChangesAreOneUpdate(t *testing.T) {
	x := newBench(t)
	id := x.open()
	x.drain()
	x.do("li", id, tickets.Claim{})
	for p := range 4 {
		x.do("li", id, tickets.SetPriority{Priority: tickets.Priority(4 - p)})
	}
	x.drain()
	if len(x.chat.posts) != 1 || x.chat.updates != 1 {
		t.Errorf("%d posts and %d updates, want one of each", len(x.chat.posts), x.chat.updates)
	}
	if got := x.chat.shown["team/1"].Badges; got[0] != "P1" {
		t.Errorf("the card shows %q, want the newest state", got)
	}
}

func TestALaneKeepsItsOrderWhenASendFails(t *testing.T) {
	x := newBench(t)
	id := x.open()
	x.drain()
	var want []string
	for i := range 6 {
		text := fmt.Sprint("第 ", i+1, " 句")
		x.do("wang", id, tickets.Say{Text: text})
		want = append(want, "王芳: "+text)
	}
	x.chat.next = []error{nil, nil, errors.New("no route to host"), nil, RateLimited{After: time.Second}}
	for range 4 {
		x.drain()
		x.now = x.now.Add(5 * time.Second)
	}
	if got := strings.Join(x.chat.posts[1:], "\n"); got != strings.Join(want, "\n") {
		t.Errorf("said\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestADeletedCardIsPostedAnewOnce(t *testing.T) {
	x := newBench(t)
	id := x.open()
	x.drain()
	x.do("li", id, tickets.Claim{})
	x.chat.next = []error{fmt.Errorf("update: %w", ErrGone)}
	x.drain()
	x.do("li", id, tickets.Note{Text: "n"})
	x.drain()
	if cards := len(x.chat.shown); cards != 2+1 { // and the note, said in the thread
		t.Errorf("%d messages, want the card, its successor and a note: %q", cards, x.chat.posts)
	}
	if x.chat.posts[0] != x.chat.posts[1] {
		t.Errorf("posted %q, want the same card twice", x.chat.posts[:2])
	}
	if x.chat.updates == 0 {
		t.Error("the card that was posted anew is not kept true")
	}
}

func TestALostAnswerIsLookedForBeforeItIsSentAgain(t *testing.T) {
	x := newBench(t)
	x.open()
	x.chat.lost = true
	x.drain()
	x.now = x.now.Add(time.Minute)
	x.drain()
	if len(x.chat.posts) != 1 {
		t.Errorf("posted %q, want one card", x.chat.posts)
	}
	if got := x.one(`SELECT ref FROM places`); got != "team/1" {
		t.Errorf("the place shows %q", got)
	}
}

func TestAnInstallIsToldToRestOnce(t *testing.T) {
	l, now := newLimits(), time.Unix(1_700_000_000, 0)
	if !l.block(chat, now, now.Add(time.Minute)) {
		t.Error("the first refusal is news")
	}
	if l.block(chat, now.Add(time.Second), now.Add(2*time.Minute)) {
		t.Error("the second one is none")
	}
	if got := l.blocked(chat, now.Add(time.Minute)); got != time.Minute {
		t.Errorf("left alone for another %s, want a minute", got)
	}
	if !l.block(chat, now.Add(time.Hour), now.Add(2*time.Hour)) {
		t.Error("it is news again when the rest is over")
	}
	l.pause(chat, now)
	if got := l.blocked(chat, now.Add(30*24*time.Hour)); got != time.Hour {
		t.Errorf("%s, want at most an hour told at once", got)
	}
}
