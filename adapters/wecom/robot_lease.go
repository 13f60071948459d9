package wecom

import (
	"context"
	"crypto/rand"
	mrand "math/rand/v2"
	"sync"
	"time"
)

// lease is a place that one of several processes holds: whoever put his name on
// the Shelf, as long as he keeps renewing it.
type lease struct {
	s     *shared
	key   string
	me    string
	lasts time.Duration
	lost  chan struct{} // closed when it cannot be counted on any more
	quit  chan struct{}
	once  sync.Once
	done  sync.WaitGroup
}

// shelfPatience is for one call of the Shelf outside of anybody's context.
const shelfPatience = 3 * time.Second

// processID tells this process from all others.
func processID() string { return rand.Text() }

// acquire takes a place that is free. It returns nil when somebody has it.
func (s *shared) acquire(ctx context.Context, key, me string, lasts, renew time.Duration) (*lease, error) {
	asked := time.Now()
	ok, err := s.shelf.Swap(ctx, key, "", me, lasts)
	if err != nil || !ok {
		return nil, err
	}
	l := &lease{s: s, key: key, me: me, lasts: lasts, lost: make(chan struct{}), quit: make(chan struct{})}
	l.done.Go(func() { l.renew(asked, renew) })
	return l, nil
}

// renew puts the end off until release. It counts from before each question, so
// that it never believes in the lease longer than the Shelf does.
func (l *lease) renew(since time.Time, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		end := time.NewTimer(l.lasts - time.Since(since) - every/2)
		select {
		case <-l.quit:
			end.Stop()
			return
		case <-end.C:
			close(l.lost)
			return
		case <-tick.C:
			end.Stop()
		}
		asked := time.Now()
		ok, err := l.mine()
		switch {
		case err != nil:
			l.s.log.Warn("lease not renewed", "install", l.s.install.String(), "lease", l.key, "error", err)
		case !ok:
			close(l.lost)
			return
		default:
			since = asked
		}
	}
}

// mine renews the lease and reports whether it is still ours. Where the Shelf has
// forgotten it and nobody else has taken it, it is: the Shelf's clock may have
// been put forward, or a database restored, and no other has come in between.
func (l *lease) mine() (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(shelfPatience, l.lasts/4))
	defer cancel()
	ok, err := l.s.shelf.Swap(ctx, l.key, l.me, l.me, l.lasts)
	if err != nil || ok {
		return ok, err
	}
	return l.s.shelf.Swap(ctx, l.key, "", l.me, l.lasts)
}

// release gives the place up, so that nobody has to wait for its end.
func (l *lease) release() {
	l.once.Do(func() {
		close(l.quit)
		l.done.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), shelfPatience)
		defer cancel()
		if _, err := l.s.shelf.Swap(ctx, l.key, l.me, "", 0); err != nil {
			l.s.log.Warn("lease not given up", "install", l.s.install.String(), "lease", l.key, "error", err)
		}
	})
}

// backoff is how long to wait before the n-th try: 1 s to 30 s, at random
// between half of that and the whole.
func backoff(n int) time.Duration {
	d := min(time.Second<<min(n, 6), 30*time.Second)
	return d/2 + mrand.N(d/2+1)
}

// sleep reports whether the whole time went by.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
