package wecom

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/paidan/paidan/bot"
)

var _ bot.Shelf = (*memShelf)(nil)

// memShelf is a bot.Shelf in memory. Several adapters may share one, as several
// processes share a database.
type memShelf struct {
	now func() time.Time // nil = time.Now

	mu   sync.Mutex // guards what follows
	m    map[string][]laid
	fail func(op, key string) error // set: asked before every call
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

// broken makes calls fail as f says; nil mends the shelf.
func (s *memShelf) broken(f func(op, key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

// begin locks the shelf and drops what has run out under key.
func (s *memShelf) begin(ctx context.Context, op, key string) (stack []laid, now time.Time, err error) {
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, err
	}
	s.mu.Lock()
	if s.fail != nil {
		if err := s.fail(op, key); err != nil {
			s.mu.Unlock()
			return nil, time.Time{}, err
		}
	}
	now = s.now()
	for _, l := range s.m[key] {
		if l.until.After(now) {
			stack = append(stack, l)
		}
	}
	s.m[key] = stack
	return stack, now, nil
}

func (s *memShelf) Get(ctx context.Context, key string) (string, error) {
	stack, _, err := s.begin(ctx, "get", key)
	if err != nil {
		return "", err
	}
	defer s.mu.Unlock()
	if len(stack) == 0 {
		return "", nil
	}
	return stack[len(stack)-1].value, nil
}

func (s *memShelf) Put(ctx context.Context, key, value string, keep time.Duration) error {
	_, now, err := s.begin(ctx, "put", key)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	if value == "" {
		delete(s.m, key)
		return nil
	}
	s.m[key] = []laid{{value, now.Add(keep)}}
	return nil
}

func (s *memShelf) Push(ctx context.Context, key, value string, keep time.Duration) error {
	stack, now, err := s.begin(ctx, "push", key)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	for _, l := range stack {
		if l.value == value {
			return nil
		}
	}
	s.m[key] = append(stack, laid{value, now.Add(keep)})
	return nil
}

func (s *memShelf) Pop(ctx context.Context, key string) (string, error) {
	stack, _, err := s.begin(ctx, "pop", key)
	if err != nil {
		return "", err
	}
	defer s.mu.Unlock()
	if len(stack) == 0 {
		return "", nil
	}
	s.m[key] = stack[:len(stack)-1]
	return stack[len(stack)-1].value, nil
}

func (s *memShelf) Swap(ctx context.Context, key, old, value string, keep time.Duration) (bool, error) {
	stack, now, err := s.begin(ctx, "swap", key)
	if err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	is := ""
	if len(stack) > 0 {
		is = stack[len(stack)-1].value
	}
	if is != old || len(stack) > 1 {
		return false, nil
	}
	s.m[key] = []laid{{value, now.Add(keep)}}
	return true, nil
}

func (s *memShelf) Add(ctx context.Context, key string, n int64, keep time.Duration) (int64, error) {
	stack, now, err := s.begin(ctx, "add", key)
	if err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	sum := n
	if len(stack) > 0 {
		was, err := strconv.ParseInt(stack[len(stack)-1].value, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += was
	}
	s.m[key] = []laid{{strconv.FormatInt(sum, 10), now.Add(keep)}}
	return sum, nil
}

// keep lays what a request brought on the shelf, as the program does before it
// deals with the events.
func (s *memShelf) keep(ctx context.Context, kept []bot.Kept) error {
	for _, k := range kept {
		put := s.Put
		if k.Push {
			put = s.Push
		}
		if err := put(ctx, k.Key, k.Value, k.For); err != nil {
			return err
		}
	}
	return nil
}
