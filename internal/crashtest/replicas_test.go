//go:build unix

package crashtest

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/tickets/ticketstest"
)

// Three processes share a database. Deliveries go round, a third of them to two
// processes at once; one process is killed and one is stopped in the middle
// (F01, F29, F44).
func TestReplicasShareTheWorkAndOneMayDie(t *testing.T) {
	t.Parallel()
	url := ticketstest.Postgres(t)
	h := newHouse(t, url)
	n := seed(t)
	killed, stopped, stays := h.open(), h.open(), h.open()
	h.door.twice = 0.3
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	load := h.crowd(n, 5, 4)
	var loading sync.WaitGroup
	loading.Go(func() { load.run(ctx) })
	load.feed(120)
	load.enough()
	h.awaitPasses(50)
	killed.kill()
	h.awaitPasses(30)
	took := stopped.stop()
	loading.Wait()
	quiet := h.quiesce(60 * time.Second)
	stays.stop()
	rep := h.check(url)
	t.Logf("cards were all right %s after the load ended; the stopped process took %s; %d deliveries met a process that died", quiet.Round(time.Second/10), took.Round(time.Millisecond), h.door.status(0))
	t.Log(rep)
	rep.fail(t)
}

// A process that is asked to stop finishes what it has begun and tells nobody
// that it could not (F44).
func TestStoppedUnderLoadItLeavesWell(t *testing.T) {
	t.Parallel()
	ticketstest.EachURL(t, func(t *testing.T, url string) {
		h := newHouse(t, url)
		p := h.open()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		load := h.crowd(seed(t), 5, 4)
		var loading sync.WaitGroup
		loading.Go(func() { load.run(ctx) })
		var longest time.Duration
		for range 3 {
			load.feed(30)
			h.awaitPasses(20)
			longest = max(longest, p.stop())
			p = h.open()
		}
		load.enough()
		loading.Wait()
		quiet := h.quiesce(60 * time.Second)
		p.stop()
		rep := h.check(url)
		t.Logf("stopped 3 times, in %s at most; cards were all right %s after the load ended", longest.Round(time.Millisecond), quiet.Round(time.Second/10))
		t.Log(rep)
		rep.fail(t)
		if n := h.door.status(http.StatusInternalServerError); n > 0 {
			t.Errorf("%d deliveries were answered with 500", n)
		}
	})
}
