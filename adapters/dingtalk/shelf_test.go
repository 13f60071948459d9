package dingtalk

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/paidan/paidan/bot"
)

var _ bot.Shelf = (*memShelf)(nil)

// memShelf is a shelf in memory. Several adapters may share one, as several
// processes share a database.
type memShelf struct {
	now func() time.Time

	mu   sync.Mutex // guards what follows
	m    map[string][]laid
	fail error // set: what every call answers
}

type laid struct {
	value string
	until time.Time
}

func newShelf(now func() time.Time) *memShelf {
	if now == nil {
		now = time.Now
	}
	return &memShelf{now: now, m: map[string][]laid{}}
}

// breaks makes every call fail; nil mends it.
func (s *memShelf) breaks(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// change lets f change what lies under a key, without what has run out.
func (s *memShelf) change(ctx context.Context, key string, f func(stack []laid) []laid) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	var live []laid
	for _, l := range s.m[key] {
		if l.until.After(s.now()) {
			live = append(live, l)
		}
	}
	s.m[key] = f(live)
	return nil
}

func top(stack []laid) string {
	if len(stack) == 0 {
		return ""
	}
	return stack[len(stack)-1].value
}

func (s *memShelf) Get(ctx context.Context, key string) (v string, err error) {
	err = s.change(ctx, key, func(stack []laid) []laid { v = top(stack); return stack })
	return v, err
}

func (s *memShelf) Put(ctx context.Context, key, value string, keep time.Duration) error {
	return s.change(ctx, key, func([]laid) []laid {
		if value == "" {
			return nil
		}
		return []laid{{value, s.now().Add(keep)}}
	})
}

func (s *memShelf) Push(ctx context.Context, key, value string, keep time.Duration) error {
	return s.change(ctx, key, func(stack []laid) []laid { return append(stack, laid{value, s.now().Add(keep)}) })
}

func (s *memShelf) Pop(ctx context.Context, key string) (v string, err error) {
	err = s.change(ctx, key, func(stack []laid) []laid {
		v = top(stack)
		return stack[:max(len(stack)-1, 0)]
	})
	return v, err
}

func (s *memShelf) Swap(ctx context.Context, key, old, value string, keep time.Duration) (done bool, err error) {
	err = s.change(ctx, key, func(stack []laid) []laid {
		if top(stack) != old {
			return stack
		}
		done = true
		if value == "" {
			return nil
		}
		return []laid{{value, s.now().Add(keep)}}
	})
	return done, err
}

func (s *memShelf) Add(ctx context.Context, key string, n int64, keep time.Duration) (sum int64, err error) {
	err = s.change(ctx, key, func(stack []laid) []laid {
		sum = n
		if was, err := strconv.ParseInt(top(stack), 10, 64); err == nil {
			sum += was
		}
		return []laid{{strconv.FormatInt(sum, 10), s.now().Add(keep)}}
	})
	return sum, err
}
