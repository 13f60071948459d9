//go:build unix

package bot

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
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

// wordy is a chat that shows text and nothing else.
type wordy struct {
	caps cards.Caps
	mu   sync.Mutex // guards what follows
	mail []mail
	fail error // what the next post returns
}

// mail is what was shown somewhere.
type mail struct {
	lane string
	ref  MessageRef
	card cards.Card
	text string
}

func (w *wordy) Caps() cards.Caps                              { return w.caps }
func (*wordy) Verify(r Raw, _ time.Time) ([]byte, error)       { return r.Body, nil }
func (*wordy) Decode(Raw, []byte) (Inbound, error)             { return Inbound{}, nil }
func (*wordy) Reply(w http.ResponseWriter, _ Inbound, _ Reply) { w.WriteHeader(http.StatusOK) }

func (w *wordy) Post(_ context.Context, to Dest, _ string, c cards.Card) (MessageRef, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fail; err != nil {
		w.fail = nil
		return "", err
	}
	ref := MessageRef(fmt.Sprintf("m%d", len(w.mail)+1))
	text, _ := cards.Numbered(c)
	w.mail = append(w.mail, mail{to.Lane(), ref, c, text})
	return ref, nil
}

func (w *wordy) Update(_ context.Context, ref MessageRef, c cards.Card) (MessageRef, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.mail {
		if w.mail[i].ref == ref {
			w.mail[i].card = c
			w.mail[i].text, _ = cards.Numbered(c)
			return ref, nil
		}
	}
	return "", ErrGone
}

// FindUser knows two people who have never spoken.
func (*wordy) FindUser(_ context.Context, u UserRef) (User, error) {
	if name := map[string]string{"new.one": "新来的", "qian": "钱八"}[u.ID]; name != "" {
		return User{Ref: u, Name: name}, nil
	}
	return User{}, fmt.Errorf("no user: %w", ErrRejected)
}

// words is a bot on a wordy chat. The desk has two types, the second with a
// field of every kind.
type words struct {
	t    *testing.T
	b    *Bot
	chat *wordy
	mu   sync.Mutex // guards now
	now  time.Time
	n    int
	read map[string]int // messages of a lane that the test has seen
}

var allKinds = []tickets.Field{
	{Key: "count", Label: "数量", Kind: tickets.FieldNumber, Required: true},
	{Key: "model", Label: "型号", Kind: tickets.FieldChoice, Options: []string{"台式机", "笔记本", "笔记本电源"}, Required: true},
	{Key: "who", Label: "使用人", Kind: tickets.FieldPerson, Required: true},
	{Key: "day", Label: "购买日期", Kind: tickets.FieldDate, Required: true},
	{Key: "phone", Label: "电话", Kind: tickets.FieldPhone, Required: true},
	{Key: "mail", Label: "邮箱", Kind: tickets.FieldEmail, Required: true},
	{Key: "place", Label: "位置", Kind: tickets.FieldLocation},
}

func numberedCaps() cards.Caps {
	return cards.Caps{Buttons: 5, MenuOptions: 9, Label: 20, Title: 80, Text: 1500, Facts: 12, Rows: 15, Total: 3500, Numbered: true}
}

func eachTalk(t *testing.T, test func(t *testing.T, x *words)) {
	t.Helper()
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) { test(t, newWords(t, db)) })
}

func newWords(t *testing.T, db *sqldb.DB) *words {
	x := &words{t: t, now: time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC), chat: &wordy{caps: numberedCaps()}, read: map[string]int{}} // a Monday, 9:00 in Shanghai
	log := slog.New(slog.DiscardHandler)
	svc := tickets.NewService(db, noJobs{}, log)
	x.b = New(Config{
		Tickets: svc, Outbox: tickets.NewOutbox(db, noJobs{}), Sealer: NewSealer([]byte(strings.Repeat("k", 32))),
		Now: x.clock, Zone: time.FixedZone("CST", 8*3600), Lang: cards.ZH, Log: log, Holder: "test",
	})
	x.b.Add(chat, x.chat)
	err := svc.Configure(t.Context(), tickets.Setup{Desks: []tickets.DeskSetup{{
		Desk:   tickets.Desk{Key: "it", Name: "IT", Types: []tickets.Type{{Key: "account", Name: "账号"}, {Key: "device", Name: "设备", Fields: allKinds}}, Causes: []string{"配置", "硬件"}},
		Triage: []string{"chat/one/team"}, Intake: []string{"chat/one/all"}, Agents: []string{"chat/one/li", "chat/one/zhao", "chat/one/qian"},
	}, {
		Desk: tickets.Desk{Key: "hr", Name: "HR"}, Agents: []string{"chat/one/li"}, Intake: []string{"chat/one/people"},
	}}}, x.now)
	if err != nil {
		t.Fatal(err)
	}
	for id, name := range map[string]string{"wang": "王芳", "li": "李四", "zhao": "赵六", "sun1": "孙七", "sun2": "孙七"} {
		if _, err := svc.EnsureAccount(t.Context(), tickets.Profile{Account: "chat/one/" + id, Name: name}, x.now); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func (x *words) clock() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.now
}

func (x *words) after(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now = x.now.Add(d)
}

// event is a message of who's in private, or with a group in that group.
func (x *words) event(who, group, text string) Event {
	x.n++
	ev := Event{ID: fmt.Sprint("e", x.n), Kind: Message, At: x.clock(), User: UserRef{chat, who}, Message: MessageRef(fmt.Sprint("u", x.n)), Text: text, ToBot: true}
	if group == "" {
		ev.Private, ev.Conv = true, ConvRef{chat, "dm-" + who}
	} else {
		ev.Conv = ConvRef{chat, group}
	}
	return ev
}

// hears delivers an event and everything that comes of it.
func (x *words) hears(ev Event) {
	x.t.Helper()
	if _, err := x.b.Dispatch(x.t.Context(), chat, Inbound{Events: []Event{ev}}); err != nil {
		x.t.Fatalf("%q: %v", ev.Text, err)
	}
	x.settle()
}

func (x *words) settle() {
	x.t.Helper()
	x.b.Wait()
	w := deliverer{b: x.b}
	for _, lane := range x.waiting() {
		if err := w.Work(x.t.Context(), &river.Job[tickets.Deliver]{Args: tickets.Deliver{Lanes: []string{lane}}}); err != nil {
			x.t.Fatal(err)
		}
	}
}

// waiting are the lanes that something is to be sent to.
func (x *words) waiting() []string {
	x.t.Helper()
	return []string{"chat/one/team", "chat/one/all", "chat/one/people", "chat/one/@wang", "chat/one/@li", "chat/one/@zhao"}
}

// says has somebody write in private, lets half a minute pass, and returns what
// he was shown because of it.
func (x *words) says(who, text string) string {
	x.t.Helper()
	x.hears(x.event(who, "", text))
	x.after(30 * time.Second)
	return x.news(who)
}

// news is what somebody was shown in private since he last looked.
func (x *words) news(who string) string {
	x.chat.mu.Lock()
	defer x.chat.mu.Unlock()
	var out []string
	for _, m := range x.chat.mail[x.read[who]:] {
		if m.lane == "chat/one/@"+who || m.lane == "chat/one/dm-"+who {
			out = append(out, m.text)
		}
	}
	x.read[who] = len(x.chat.mail)
	return strings.Join(out, "\n")
}

// group is what a group was shown last about something.
func (x *words) group(name, what string) mail {
	x.t.Helper()
	x.chat.mu.Lock()
	defer x.chat.mu.Unlock()
	for _, m := range slices.Backward(x.chat.mail) {
		if m.lane == "chat/one/"+name && strings.Contains(m.text, what) {
			return m
		}
	}
	x.t.Fatalf("%s was not shown %q", name, what)
	return mail{}
}

// ticket is a ticket by its number.
func (x *words) ticket(number int64) *tickets.Ticket {
	x.t.Helper()
	a, err := x.b.svc.ActorOf(x.t.Context(), "chat/one/li")
	if err != nil {
		x.t.Fatal(err)
	}
	tk, err := x.b.svc.Find(x.t.Context(), a, number)
	if err != nil {
		x.t.Fatal(err)
	}
	return tk
}

// count is how many tickets there are.
func (x *words) count() int {
	x.t.Helper()
	for n := int64(1); ; n++ {
		a, err := x.b.svc.ActorOf(x.t.Context(), "chat/one/li")
		if err != nil {
			x.t.Fatal(err)
		}
		if _, err := x.b.svc.Find(x.t.Context(), a, n); err != nil {
			return int(n - 1)
		}
	}
}

func (x *words) want(got string, parts ...string) {
	x.t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			x.t.Errorf("%q is not in\n%s", p, got)
		}
	}
}
