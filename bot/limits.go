package bot

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Pace is how often a platform lets us post. Changing what is posted is not
// counted: platforms allow that more often, and say so when it is too often.
type Pace struct {
	Conv    rate.Limit // posts a second into one conversation; 0 = no limit
	Install rate.Limit // posts a second altogether; 0 = no limit
	Burst   int        // of either
}

// Paced is a platform that says how often it lets us post.
type Paced interface {
	Pace() Pace
}

// limits holds installs and conversations to their pace. It is per process and
// in memory: the platforms' own refusals are the law, this only avoids them.
type limits struct {
	mu       *sync.Mutex // guards what follows
	until    map[Install]time.Time
	limiters map[string]*rate.Limiter
}

func newLimits() limits {
	return limits{mu: &sync.Mutex{}, until: map[Install]time.Time{}, limiters: map[string]*rate.Limiter{}}
}

// block leaves an install alone until a time, and reports whether it was not
// left alone already.
func (l limits) block(i Install, now, until time.Time) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = !l.until[i].After(now)
	if until.After(l.until[i]) {
		l.until[i] = until
	}
	return first
}

// pause leaves an install alone until the program is started again.
func (l limits) pause(i Install, now time.Time) { l.block(i, now, now.Add(100*365*24*time.Hour)) }

// blocked is how long an install is still left alone; at most an hour is told,
// so that whoever waits looks again.
func (l limits) blocked(i Install, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(max(l.until[i].Sub(now), 0), time.Hour)
}

// maxLimiters bounds the memory that conversations nobody posts to any more take.
const maxLimiters = 10_000

func (l limits) limiter(key string, r rate.Limit, burst int) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	have, ok := l.limiters[key]
	if !ok {
		if len(l.limiters) >= maxLimiters {
			clear(l.limiters)
		}
		have = rate.NewLimiter(r, max(burst, 1))
		l.limiters[key] = have
	}
	return have
}

// patience is how long a sender waits for its turn; when it would be longer the
// lane rests, so that the sender is free for others.
const patience = 500 * time.Millisecond

// wait returns nil when a post to a destination is in keeping with its pace, and
// RateLimited when that will be so only later.
func (l limits) wait(ctx context.Context, a Adapter, to Dest) error {
	p, ok := a.(Paced)
	if !ok {
		return nil
	}
	pace := p.Pace()
	if err := l.turn(ctx, to.Lane(), pace.Conv, pace.Burst); err != nil {
		return err
	}
	return l.turn(ctx, to.Install.String(), pace.Install, pace.Burst*10)
}

func (l limits) turn(ctx context.Context, key string, r rate.Limit, burst int) error {
	if r <= 0 {
		return nil
	}
	turn := l.limiter(key, r, burst).Reserve()
	delay := turn.Delay()
	if delay > patience {
		turn.Cancel()
		return RateLimited{After: delay}
	}
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		turn.Cancel()
		return ctx.Err()
	}
}
