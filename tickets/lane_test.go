package tickets_test

import (
	"testing"
	"time"

	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

func TestALeaseIsRenewedOnlyByItsHolder(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		h.open("printer")
		h.take(triage) // until now+1m
		renew := func(holder string, until time.Duration, want bool) {
			t.Helper()
			ours, err := h.out.Renew(t.Context(), triage, holder, tickets.At(h.now.Add(until)))
			if err != nil || ours != want {
				t.Errorf("renew by %s: %v, %v, want %v", holder, ours, err, want)
			}
		}
		other := func(want bool) {
			t.Helper()
			_, ok, _, err := h.out.Take(t.Context(), triage, "other", tickets.At(h.now), time.Minute)
			if err != nil || ok != want {
				t.Errorf("%s later another one takes it: %v, %v, want %v", h.now.Sub(start), ok, err, want)
			}
		}
		renew("other", time.Hour, false)
		renew("sender", 2*time.Minute, true)
		h.later(90 * time.Second)
		other(false)
		h.later(time.Minute)
		other(true)
		renew("sender", time.Hour, false) // he was too slow
	})
}

func TestACardUnderWayIsKnownToBe(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		posting := func(lane string, since time.Time, want bool) {
			t.Helper()
			got, err := h.s.Posting(t.Context(), lane, tickets.At(since))
			if err != nil || got != want {
				t.Errorf("a card may just stand in %s: %v, %v, want %v", lane, got, err, want)
			}
		}
		h.open("printer")
		posting(triage, start, false) // nobody has begun to post it
		rows := h.take(triage)
		posting(triage, start, true) // it may be there already
		posting(intake, start, false)
		posting(triage, start.Add(time.Minute), false) // it would have come to be known by then
		for _, r := range rows {
			if err := h.out.Done(t.Context(), r, tickets.Sent{Ref: "m1", Root: "m1", Shown: 1, Hash: "x"}, tickets.At(h.now)); err != nil {
				t.Fatal(err)
			}
		}
		posting(triage, start, false)
	})
}

func TestWhatIsDueNextWaitsForItsLane(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		next := func(want time.Duration) {
			t.Helper()
			at, err := h.out.NextDue(t.Context(), tickets.At(h.now))
			if err != nil {
				t.Fatal(err)
			}
			if got := at.Sub(tickets.At(h.now)); at == 0 && want != 0 || at != 0 && got != want {
				t.Errorf("next due in %s, want %s", got, want)
			}
		}
		next(0)
		tk := h.open("printer")
		next(0) // due now, not next
		h.take(triage)
		next(time.Minute) // when the lease ends
		if err := h.out.Block(t.Context(), triage, "sender", tickets.At(h.now.Add(5*time.Second))); err != nil {
			t.Fatal(err)
		}
		next(5 * time.Second)
		if n, err := h.out.Sweep(t.Context(), tickets.At(h.now.Add(5*time.Second))); err != nil || n != 2 {
			t.Errorf("woken %d lanes, %v, want triage and intake", n, err)
		}
		h.later(5 * time.Second)
		h.deliver(triage)
		h.deliver(intake)
		h.do(li, tk.ID, tickets.Claim{})
		h.do(li, tk.ID, tickets.Reply{Text: "try again"})
		next(h.s.HoldReplies)
	})
}
