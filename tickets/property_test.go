package tickets_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// command draws a command that may or may not make sense for a ticket.
func (h *house) command(r *rapid.T, t *tickets.Ticket, others []tickets.TicketID) tickets.Command {
	text := rapid.SampledFrom([]string{"谢谢", "还是不行", "E07\x00\xff", "好的", "打印机", ""}).Draw(r, "text")
	reason := rapid.SampledFrom([]string{"", "因为", "下班"}).Draw(r, "reason")
	person := h.people[rapid.SampledFrom([]string{wang, li, zhang, zhao, zhou}).Draw(r, "person")]
	other := rapid.SampledFrom(others).Draw(r, "other")
	span := rapid.SampledFrom([]time.Duration{-time.Hour, 0, time.Minute, 3 * time.Hour}).Draw(r, "span")
	until := tickets.Time(0)
	if span != 0 {
		until = tickets.At(h.now).Add(span)
	}
	var hold tickets.Time
	if t.Hold != nil {
		hold = t.Hold.Until
	}
	seq := rapid.Int64Range(0, t.Version+1).Draw(r, "seq")
	return rapid.SampledFrom([]tickets.Command{
		tickets.Say{Text: text}, tickets.Claim{}, tickets.Release{Reason: reason}, tickets.Assign{To: person, Reason: reason},
		tickets.ConsultOn{Expert: person, Question: reason, Within: span}, tickets.Answer{Text: text}, tickets.Answer{Expert: person, Due: until},
		tickets.Reply{Text: text}, tickets.Retract{Seq: seq}, tickets.Note{Text: text}, tickets.SetPriority{Priority: tickets.Priority(seq % 5)},
		tickets.SetType{Type: "account"}, tickets.SetField{Key: "system", Value: "ERP"}, tickets.SetField{Key: "phone", Value: reason},
		tickets.Tag{Add: []string{reason}}, tickets.Tag{Remove: []string{"因为"}}, tickets.HoldUntil{Until: until, Reason: reason},
		tickets.HoldUntil{Customer: true}, tickets.Resume{Due: hold}, tickets.Urge{}, tickets.Escalate{Team: "二线", Reason: reason},
		tickets.Escalate{Person: person, Reason: reason}, tickets.Solve{Text: text}, tickets.Confirm{}, tickets.Reject{Reason: reason},
		tickets.Close{Lapsed: t.SolvedAt}, tickets.Reopen{Reason: reason}, tickets.Merge{Into: other}, tickets.Unmerge{}, tickets.LinkTo{Other: other},
		tickets.Split{Title: text}, tickets.Archive{Closed: t.ClosedAt}, tickets.Undo{}, tickets.Amend{Seq: seq, Text: text},
		tickets.Attach{Files: []tickets.File{{Ref: reason, Name: "f"}}}, tickets.Reveal{Field: "system", Reason: reason},
		tickets.Withdraw{}, tickets.Breach{Target: t.SolveBy}, tickets.Breach{Target: t.RespondBy},
	}).Draw(r, "command")
}

// TestAnyCommandsKeepTheRecord: whatever anybody does to some tickets, each of
// them is its events and nothing else, and its state makes sense.
func TestAnyCommandsKeepTheRecord(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		rapid.Check(t, func(r *rapid.T) {
			var ids []tickets.TicketID
			for i := range 3 {
				ids = append(ids, h.open(fmt.Sprintf("第 %d 张", i)).ID)
			}
			for range rapid.IntRange(1, 25).Draw(r, "steps") {
				h.later(rapid.SampledFrom([]time.Duration{0, time.Second, 11 * time.Minute, 5 * time.Hour, 8 * 24 * time.Hour}).Draw(r, "later"))
				id := rapid.SampledFrom(ids).Draw(r, "ticket")
				account := rapid.SampledFrom([]string{wang, li, li, li, zhang, zhao, sun, zhou, wu, ""}).Draw(r, "account")
				before := h.ticket(id)
				c := h.command(r, before, ids)
				if account == "" && !byTimer(c) {
					account = li
				}
				h.step(r, account, before, c)
			}
			for _, id := range ids {
				h.checkRecord(r, id)
			}
		})
		if _, err := h.s.VerifyAll(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// byTimer reports whether a timer does such commands.
func byTimer(c tickets.Command) bool {
	switch c.(type) {
	case tickets.Resume, tickets.Close, tickets.Archive, tickets.Answer, tickets.Breach:
		return true
	}
	return false
}

// step does one command and checks what may have come of it.
func (h *house) step(r *rapid.T, account string, before *tickets.Ticket, c tickets.Command) {
	events := h.count(`SELECT count(*) FROM events`)
	res, err := h.s.Do(h.t.Context(), h.request(account, before.ID, c))
	added := h.count(`SELECT count(*) FROM events`) - events
	after := h.ticket(before.ID)
	switch {
	case err != nil && tickets.CodeOf(err) == "":
		r.Fatalf("%s: %v", c.Verb(), err)
	case err != nil && added != 0:
		r.Fatalf("%s was refused with %s and left %d events", c.Verb(), describe(err), added)
	case after.Version-before.Version > int64(added) || after.Version < before.Version:
		r.Fatalf("%s: version %d became %d by %d events", c.Verb(), before.Version, after.Version, added)
	case err == nil && res.Opened == nil && after.Version-before.Version != int64(len(res.Events)):
		r.Fatalf("%s: version %d became %d, events told: %d", c.Verb(), before.Version, after.Version, len(res.Events))
	}
	checkSense(r, c, after)
}

// checkSense checks what holds for every ticket at any time.
func checkSense(r *rapid.T, c tickets.Command, t *tickets.Ticket) {
	owned := t.Status == tickets.Active || t.Status.Paused()
	switch {
	case owned && t.Owner == "":
		r.Fatalf("after %s: %s without an owner", c.Verb(), t.Status)
	case t.Status == tickets.New && t.Owner != "":
		r.Fatalf("after %s: new, but owned by %s", c.Verb(), t.Owner)
	case t.Status.Paused() != (t.PausedAt != 0) || t.Status.Paused() != (t.Hold != nil):
		r.Fatalf("after %s: %s, paused at %d, hold %v", c.Verb(), t.Status, t.PausedAt, t.Hold)
	case (t.Status == tickets.Closed || t.Status == tickets.Archived) != (t.ClosedAt != 0):
		r.Fatalf("after %s: %s, closed at %d", c.Verb(), t.Status, t.ClosedAt)
	case t.Status == tickets.Solved && t.SolvedAt == 0:
		r.Fatalf("after %s: solved at no time", c.Verb())
	case t.Status.Open() && t.SolvedAt != 0:
		r.Fatalf("after %s: %s, but solved at %d", c.Verb(), t.Status, t.SolvedAt)
	}
}

// checkRecord replays a ticket's events and compares with everything stored of it.
func (h *house) checkRecord(r *rapid.T, id tickets.TicketID) {
	events, err := h.s.History(h.t.Context(), id)
	if err != nil {
		r.Fatal(err)
	}
	var row struct {
		Doc     string           `db:"doc"`
		Status  tickets.Status   `db:"status"`
		Owner   tickets.PersonID `db:"owner"`
		Due     tickets.Time     `db:"due"`
		Version int64            `db:"version"`
		Head    string           `db:"head"`
	}
	if err := h.db.Get(h.t.Context(), &row, `SELECT doc, status, owner, due, version, head FROM tickets WHERE id = ?`, id); err != nil {
		r.Fatal(err)
	}
	replayed := tickets.Replay(events)
	doc, err := json.Marshal(replayed)
	if err != nil {
		r.Fatal(err)
	}
	if diff := cmp.Diff(row.Doc, string(doc)); diff != "" {
		r.Fatalf("replaying gives another ticket (-stored +replayed):\n%s", diff)
	}
	if row.Status != replayed.Status || row.Owner != replayed.Owner || row.Version != replayed.Version || row.Head != replayed.Head {
		r.Fatalf("the columns say %+v, the events %+v", row, replayed)
	}
	if row.Due != 0 && (!row.Status.Open() || row.Status.Paused()) {
		r.Fatalf("%s, but something is due at %d", row.Status, row.Due)
	}
}

// TestApplyTakesAnyEvents: not even a senseless order of events stops a replay.
func TestApplyTakesAnyEvents(t *testing.T) {
	kinds := []tickets.Kind{
		tickets.Opened, tickets.SaidMore, tickets.Thanked, tickets.ClaimedBy, tickets.Released, tickets.Assigned, tickets.Consulted,
		tickets.Answered, tickets.Replied, tickets.Retracted, tickets.Noted, tickets.Prioritised, tickets.Typed, tickets.FieldSet,
		tickets.Tagged, tickets.HeldUntil, tickets.Resumed, tickets.Urged, tickets.Escalated, tickets.SolvedBy, tickets.Confirmed,
		tickets.Rejected, tickets.ClosedBy, tickets.Reopened, tickets.MergedInto, tickets.MergedFrom, tickets.Unmerged, tickets.UnmergedFrom,
		tickets.Linked, tickets.SplitOff, tickets.ArchivedNow, tickets.Undone, tickets.Attached, tickets.Amended, tickets.Revealed,
		tickets.Withdrawn, tickets.TargetMissed, tickets.Moved,
	}
	rapid.Check(t, func(r *rapid.T) {
		var events []tickets.Event
		for i := range rapid.IntRange(0, 30).Draw(r, "events") {
			e := tickets.Event{Ticket: "t", Seq: int64(i + 1), Kind: rapid.SampledFrom(kinds).Draw(r, "kind"), By: tickets.PersonID(rapid.SampledFrom([]string{"", "a", "b"}).Draw(r, "by")), At: tickets.Time(i)}
			e.Facts.Seq = rapid.Int64Range(0, 5).Draw(r, "about")
			e.Facts.Status = rapid.SampledFrom([]tickets.Status{"", tickets.New, tickets.Active, tickets.Waiting, tickets.Closed}).Draw(r, "status")
			if rapid.Bool().Draw(r, "link") {
				e.Facts.Link = &tickets.Link{Kind: tickets.Related, Ticket: "u"}
			}
			if rapid.Bool().Draw(r, "words") {
				e.Words = &tickets.Words{Text: "文", Value: "v", Add: []string{"x"}, Files: []tickets.File{{Ref: "f"}}, Fields: map[string]string{"k": "v"}}
			}
			events = append(events, e)
		}
		if got := tickets.Replay(events); got.Version != int64(len(events)) {
			r.Fatalf("version %d after %d events", got.Version, len(events))
		}
	})
}
