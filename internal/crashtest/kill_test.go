//go:build unix

package crashtest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// The program is killed at random moments under load, a little after it started,
// in the middle of a delivery, or right after the platform did what it was asked
// and before that could be recorded (G01: F06, F07, F20, F50, F51, F55).
func TestKilledAtAnyMomentItLosesAndDoublesNothing(t *testing.T) {
	t.Parallel() // most of the time is spent waiting for a platform's pace
	kills := int(envNumber(t, envKills, 8))
	ticketstest.EachURL(t, func(t *testing.T, url string) {
		h := newHouse(t, url)
		n := seed(t)
		r := rand.New(rand.NewPCG(n, 0))
		begin := time.Now()
		p := h.open()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		load := h.crowd(n, 5, 4)
		var loading sync.WaitGroup
		loading.Go(func() { load.run(ctx) })
		for range kills {
			load.feed(15)
			h.killAt(r, p)
			p = h.open()
		}
		// One good while, so that the last kill is followed by work too.
		load.feed(25)
		load.enough()
		loading.Wait()
		quiet := h.quiesce(60 * time.Second)
		stopped := p.stop()
		rep := h.check(url)
		t.Logf("%d kills in %s; cards were all right %s after the load ended; stopped in %s", kills, time.Since(begin).Round(time.Second), quiet.Round(time.Second/10), stopped.Round(time.Millisecond))
		t.Log(rep)
		rep.fail(t)
		if rep.acked < 5*kills || rep.cards < kills {
			t.Errorf("there was hardly any load: %s", rep)
		}
	})
}

// killAt kills the process at a moment that r chooses.
func (h *house) killAt(r *rand.Rand, p *process) {
	now := make(chan struct{}, 1)
	left := 1 + r.IntN(40)
	count := func() {
		if left--; left == 0 {
			now <- struct{}{}
		}
	}
	after := 400 * time.Millisecond
	switch r.IntN(3) {
	case 0:
		after = time.Duration(20+r.IntN(380)) * time.Millisecond
	case 1: // a delivery is on its way
		h.door.onPass(count)
	case 2: // the platform has done something, and nobody knows yet
		h.slack.OnArrival(func(slacktest.Arrival) { count() })
	}
	late := time.NewTimer(after)
	defer late.Stop()
	select {
	case <-now:
	case <-late.C:
	}
	p.kill()
	h.door.onPass(nil)
	h.slack.OnArrival(func(slacktest.Arrival) {})
}

// awaitPasses waits until n more deliveries have come.
func (h *house) awaitPasses(n int) {
	done := make(chan struct{})
	h.door.onPass(func() {
		if n--; n == 0 {
			close(done)
		}
	})
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		h.t.Error("no load any more")
	}
	h.door.onPass(nil)
}
