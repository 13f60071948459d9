//go:build unix

package bot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
)

// answering is a chat that shows in the answer to a press what the card is now.
type answering struct{ *sandbox }

func (answering) Inline(e Event) Inline { return Inline{Card: e.Kind == Click} }

// press presses the first button with a label on the card that ref shows.
func (x *bench) press(who string, ref MessageRef, label string) Reply {
	x.t.Helper()
	x.n++
	for _, a := range x.chat.shown[ref].Actions {
		if a.Label != label {
			continue
		}
		r, err := x.b.Dispatch(x.t.Context(), chat, Inbound{Events: []Event{{
			ID: fmt.Sprint("press ", x.n), Kind: Click, At: x.now, User: UserRef{chat, who}, Conv: ConvRef{chat, "team"}, Message: ref, Token: a.Token,
		}}})
		if err != nil {
			x.t.Fatal(err)
		}
		return r
	}
	x.t.Fatalf("%s has no button %q", ref, label)
	return Reply{}
}

func (x *bench) written(r Reply, err error) {
	x.t.Helper()
	if r.Written == nil {
		x.t.Fatal("nobody wants to know whether the answer went out")
	}
	r.Written(err)
	x.b.Wait()
}

func answerBench(t *testing.T) (*bench, tickets.TicketID) {
	x := newBench(t)
	x.b.Add(chat, answering{x.chat})
	id := x.open()
	x.drain()
	return x, id
}

func TestTheAnswerToAPressShowsTheCard(t *testing.T) {
	x, _ := answerBench(t)
	r := x.press("li", "team/1", "接单")
	if r.Card == nil || r.Card.Badges[1] != "处理中" {
		t.Fatalf("the answer carries %+v, want the claimed card", r.Card)
	}
	for _, a := range r.Card.Actions {
		if a.Token == "" {
			t.Errorf("button %q carries nothing", a.Label)
		}
	}
	x.drain()
	if x.chat.updates != 0 {
		t.Error("the card was sent while the answer was under way")
	}
	x.written(r, nil)
	x.now = x.now.Add(time.Minute)
	x.drain()
	if x.chat.updates != 0 {
		t.Error("the card was sent besides the answer")
	}
	if got := x.one(`SELECT shown || ' ' || (SELECT count(*) FROM outbox) FROM places WHERE ref = 'team/1'`); got != "2 0" {
		t.Errorf("version shown and rows left: %q, want 2 0", got)
	}
}

func TestACardIsSentWhenTheAnswerDidNotArrive(t *testing.T) {
	for name, failed := range map[string]func(x *bench, r Reply){
		"the connection broke": func(x *bench, r Reply) { x.written(r, errors.New("broken pipe")) },
		"the process died":     func(*bench, Reply) {},
	} {
		t.Run(name, func(t *testing.T) {
			x, _ := answerBench(t)
			failed(x, x.press("li", "team/1", "接单"))
			x.drain()
			if x.chat.updates != 0 {
				t.Error("sent before it was known to be lost")
			}
			x.now = x.now.Add(tickets.AnswerWithin)
			x.drain()
			if got := x.chat.shown["team/1"].Badges[1]; got != "处理中" {
				t.Errorf("the card says %q", got)
			}
		})
	}
}

func TestWhatChangesBesidesAnAnswerIsNotHeldUp(t *testing.T) {
	x, id := answerBench(t)
	r := x.press("li", "team/1", "接单")
	x.do("li", id, tickets.SetPriority{Priority: 1})
	x.drain()
	if got := x.chat.shown["team/1"].Badges[0]; got != "P1" {
		t.Errorf("the card says %q while an answer is under way", got)
	}
	x.written(r, nil) // an older version: it must not be recorded over the newer one
	if got := x.one(`SELECT cast(shown as text) FROM places WHERE ref = 'team/1'`); got != "3" {
		t.Errorf("version %s is recorded, want 3", got)
	}
}

func TestWhatChangedAfterTheAnswerWasDrawnIsSent(t *testing.T) {
	x, id := answerBench(t)
	r := x.press("li", "team/1", "接单")
	x.do("li", id, tickets.SetPriority{Priority: 1})
	x.written(r, nil) // before the sender came
	x.drain()
	if got := x.chat.shown["team/1"].Badges[0]; got != "P1" || x.chat.updates != 1 {
		t.Errorf("the card says %q after %d updates", got, x.chat.updates)
	}
}

func TestARefusedPressIsAnsweredWithTheCardToo(t *testing.T) {
	x, id := answerBench(t)
	x.do("li", id, tickets.Claim{})
	r := x.press("wang", "team/1", "接单")
	if r.Card == nil || r.Card.Badges[1] != "处理中" {
		t.Errorf("a stale card is answered with %+v, want the ticket as it is", r.Card)
	}
}

func TestAPressOnAnotherMessageDoesNotTurnItIntoTheCard(t *testing.T) {
	x, _ := answerBench(t)
	x.chat.shown["list/1"] = x.chat.shown["team/1"]
	if r := x.press("li", "list/1", "接单"); r.Card != nil {
		t.Errorf("a message that shows no ticket is answered with %q", r.Card.Title)
	}
}

// fixed is a chat whose messages cannot be changed.
type fixed struct{ *sandbox }

func (fixed) Inline(e Event) Inline { return Inline{Card: e.Kind == Click} }
func (f fixed) Update(context.Context, MessageRef, cards.Card) (MessageRef, error) {
	return "", fmt.Errorf("no code left: %w", ErrFixed)
}

func TestWhatCannotBeChangedHasOneSuccessorADayAndOneAtTheEnd(t *testing.T) {
	x := newBench(t)
	x.b.Add(chat, fixed{x.chat})
	id := x.open()
	x.drain()
	x.do("li", id, tickets.Claim{})
	x.drain()
	if len(x.chat.posts) != 1 {
		t.Fatalf("posted %q on the first day, want the card alone", x.chat.posts)
	}
	x.now = x.now.Add(successorAfter)
	x.drain()
	if len(x.chat.posts) != 2 {
		t.Fatalf("posted %q after a day, want a successor", x.chat.posts)
	}
	c := x.chat.shown["team/2"]
	if c.Badges[1] != "处理中" || !strings.Contains(c.Note, "以这张为准") || c.Body != "" {
		t.Errorf("the successor is %+v", c)
	}
	if r := x.press("li", "team/1", "接单"); r.Card == nil || r.Card.Badges[1] != "处理中" {
		t.Errorf("a press on the old message is answered with %+v, want the ticket as it is", r.Card)
	}
	x.do("li", id, tickets.SetPriority{Priority: 1})
	x.do("li", id, tickets.SetPriority{Priority: 2})
	x.drain()
	x.do("li", id, tickets.Solve{Text: "换了电源"})
	x.drain()
	if len(x.chat.posts) != 3 || x.chat.shown["team/3"].Badges[1] != "待确认" {
		t.Errorf("posted %q, want one more at the end", x.chat.posts)
	}
	x.do("wang", id, tickets.Confirm{})
	x.drain()
	if len(x.chat.posts) != 3 {
		t.Errorf("posted %q, want no more", x.chat.posts)
	}
	if n := x.one(`SELECT count(*) || '' FROM outbox WHERE kind = 'card' AND state <> 'done'`); n != "0" {
		t.Errorf("%s rows wait for another day: the end has been told", n)
	}
	x.do("wang", id, tickets.Reopen{Reason: "又坏了"})
	x.drain()
	x.now = x.now.Add(successorAfter)
	x.drain()
	if len(x.chat.posts) < 4 || x.chat.shown[MessageRef(fmt.Sprint("team/", len(x.chat.posts)))].Ticket != id {
		t.Errorf("posted %q, want the reopened ticket shown after a day", x.chat.posts)
	}
}

// A crash between the change of a message and its record, and then the ticket
// looks again as it is recorded: the message must not keep what was in between.
func TestARecordIsNotBelievedAfterAnAttemptThatNobodyRecorded(t *testing.T) {
	x := newBench(t)
	id := x.open()
	x.drain()
	x.do("li", id, tickets.Claim{})
	x.chat.next = []error{fmt.Errorf("answer cut: %w", ErrUnknown)}
	x.drain()
	x.now = x.now.Add(time.Minute)
	tk, err := x.b.svc.Ticket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	v, err := x.b.svc.View(t.Context(), tk, x.now, x.b.zone)
	if err != nil {
		t.Fatal(err)
	}
	c := cards.Ticket(v, cards.ZH)
	c.Version = tk.Version
	err = x.db.Tx(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE places SET hash = ?`, fingerprint(c))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	x.drain()
	if x.chat.updates != 1 {
		t.Errorf("%d updates: the message shows what nobody knows", x.chat.updates)
	}
}

// shy is a chat where people must write in private first.
type shy struct{ *sandbox }

func (s shy) Post(ctx context.Context, to Dest, once string, c cards.Card) (MessageRef, error) {
	if to.User != "" {
		return "", ErrMustSpeak
	}
	return s.sandbox.Post(ctx, to, once, c)
}

func TestWhoCannotBeAnsweredInPrivateIsToldWhyOnceADay(t *testing.T) {
	x := newBench(t)
	x.b.Add(chat, shy{x.chat})
	ask := func(n int) {
		t.Helper()
		_, err := x.b.Dispatch(t.Context(), chat, Inbound{Events: []Event{{
			ID: fmt.Sprint("help ", n), Kind: Message, At: x.now, User: UserRef{chat, "wang"}, Conv: ConvRef{chat, "hall"}, Text: "帮助", ToBot: true,
		}}})
		if err != nil {
			t.Fatal(err)
		}
		x.b.Wait()
	}
	ask(1)
	ask(2)
	if len(x.chat.posts) != 1 || !strings.Contains(x.chat.posts[0], "王芳，有话要单独告诉您") {
		t.Errorf("said %q in the group", x.chat.posts)
	}
	x.now = x.now.Add(24 * time.Hour)
	if ask(3); len(x.chat.posts) != 2 {
		t.Errorf("said %q by the next day", x.chat.posts)
	}
}

// numbers is a chat of texts, in which nothing ever changes.
type numbers struct{ fixed }

func (numbers) Caps() cards.Caps { return cards.Caps{Numbered: true} }

func TestWhereNothingIsEverPressedATurnIsShown(t *testing.T) {
	x := newBench(t)
	x.b.Add(chat, numbers{fixed{x.chat}})
	id := x.open()
	x.drain()
	x.do("li", id, tickets.Note{Text: "n"})
	x.drain()
	cardsNow := func() (n int) {
		for _, c := range x.chat.shown {
			if c.Ticket == id {
				n++
			}
		}
		return n
	}
	if n := cardsNow(); n != 1 {
		t.Errorf("%d cards after a note, want 1", n)
	}
	x.do("li", id, tickets.Claim{})
	x.drain()
	if n := cardsNow(); n != 2 {
		t.Errorf("%d cards after a claim, want 2: %q", n, x.chat.posts)
	}
	x.do("li", id, tickets.SetPriority{Priority: 1})
	x.drain()
	if n := cardsNow(); n != 2 {
		t.Errorf("%d cards after another priority, want 2", n)
	}
}

func TestWhatMustWaitForThemGoesOutWhenTheyWrite(t *testing.T) {
	x := newBench(t)
	id := x.do("wang", "", tickets.Open{Desk: "it", Title: "VPN"})
	x.drain()
	x.do("li", id, tickets.Claim{})
	x.drain()
	x.do("wang", id, tickets.Say{Text: "还没好"})
	x.chat.next = []error{ErrMustSpeak}
	x.drain()
	posts := len(x.chat.posts)
	if got := x.one(`SELECT kind FROM outbox WHERE state = 'waiting'`); got == "" {
		t.Fatalf("nothing waits; posted %q", x.chat.posts)
	}
	x.now = x.now.Add(time.Hour)
	x.drain()
	if len(x.chat.posts) != posts {
		t.Errorf("posted %q before anybody wrote", x.chat.posts[posts:])
	}
	_, err := x.b.Dispatch(t.Context(), chat, Inbound{Events: []Event{{
		ID: "they write", Kind: Message, At: x.now, User: UserRef{chat, "wang"}, Conv: ConvRef{chat, "team"}, Text: "在吗",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	x.drain()
	if len(x.chat.posts) == posts || x.one(`SELECT kind FROM outbox WHERE state = 'waiting'`) != "" {
		t.Errorf("what waited did not go out: %q", x.chat.posts)
	}
}

// remote is a chat that another process holds the connection of.
type remote struct {
	*sandbox
	here bool
}

func (r *remote) Here(Dest) bool { return r.here }

func TestALaneOfAnotherProcessIsLeftAlone(t *testing.T) {
	x := newBench(t)
	r := &remote{sandbox: x.chat}
	x.b.Add(chat, r)
	x.open()
	x.drain()
	if len(x.chat.posts) != 0 || x.one(`SELECT cast(attempts as text) FROM outbox`) != "0" {
		t.Errorf("posted %q without a connection", x.chat.posts)
	}
	r.here = true
	x.drain()
	if len(x.chat.posts) != 1 {
		t.Errorf("posted %q", x.chat.posts)
	}
}

func TestWhatARequestBroughtIsKept(t *testing.T) {
	x := newBench(t)
	in := Inbound{Keep: []Kept{
		{Key: "session", Value: "a", For: time.Hour}, {Key: "code", Value: "1", For: time.Hour, Push: true}, {Key: "code", Value: "2", For: 2 * time.Hour, Push: true},
	}}
	for range 2 { // told twice, kept once
		if _, err := x.b.Dispatch(t.Context(), chat, in); err != nil {
			t.Fatal(err)
		}
	}
	s := x.b.svc.Shelf(chat.String(), x.b.now)
	for _, want := range []string{"2", "1", ""} {
		if got, err := s.Pop(t.Context(), "code"); err != nil || got != want {
			t.Errorf("popped %q, %v; want %q", got, err, want)
		}
	}
	x.now = x.now.Add(time.Hour)
	if got, err := s.Get(t.Context(), "session"); err != nil || got != "" {
		t.Errorf("%q, %v is kept longer than it is good", got, err)
	}
}
