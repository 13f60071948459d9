//go:build unix

package crashtest

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/tickets/ticketstest"
)

// Three in ten calls of the platform go wrong in some way; all cards come out
// right, nothing is dropped, and nothing stands there twice (F51, F52, F53).
func TestInBadWeatherEveryCardArrivesOnce(t *testing.T) {
	t.Parallel()
	ticketstest.EachURL(t, func(t *testing.T, url string) {
		h := newHouse(t, url)
		n := seed(t)
		p := h.open()
		r := rand.New(rand.NewPCG(n, 1))
		bare, refusals := 1, 1                       // without Retry-After a caller stays away for half a minute: once is enough
		h.weather.become(func(method string) fault { // called under the weather's lock
			if !strings.HasPrefix(method, "chat.") {
				return fine
			}
			switch x := r.IntN(100); {
			case x < 8:
				return broken
			case x < 16:
				return lostAnswer
			case x < 22:
				return slow
			case x < 25:
				return cutBefore
			case x < 29:
				return limited
			case x == 29 && bare > 0 && method == "chat.postMessage":
				bare--
				return limitedBare
			case x < 35 && refusals > 0 && method == "chat.postMessage":
				refusals--
				return rejected
			}
			return fine
		})
		load := h.crowd(n, 3, 3)
		load.feed(45)
		load.enough()
		begin := time.Now()
		var loading sync.WaitGroup
		loading.Go(func() { load.run(context.Background()) })
		loading.Wait()
		quiet := h.quiesce(2 * time.Minute)
		p.stop()
		rep := h.check(url)
		t.Logf("load of %s; cards were all right %s later; the calls met %v", time.Since(begin).Round(time.Second), quiet.Round(time.Second/10), h.weather.met)
		t.Log(rep)
		rep.fail(t, dead, said) // a message that is refused for good is given up, and said so
		if want := 1 - refusals; rep.parked != want {
			t.Errorf("%d dead letters, want %d: only what the platform refuses for good is given up", rep.parked, want)
		}
		for _, line := range h.log.said() {
			if !strings.Contains(line, "message was given up") {
				t.Errorf("error in the log: %s", line)
			}
		}
	})
}
