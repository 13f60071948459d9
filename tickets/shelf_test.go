package tickets_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

func TestShelf(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx, now := t.Context(), time.Unix(1_700_000_000, 0)
		s := tickets.NewShelf(db, "chat/one", func() time.Time { return now })
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		gets := func(f func(context.Context, string) (string, error), name, want string) {
			t.Helper()
			if got, err := f(ctx, name); err != nil || got != want {
				t.Errorf("%s: %q, %v; want %q", name, got, err, want)
			}
		}
		gets(s.Get, "a", "")
		gets(s.Pop, "a", "")
		must(s.Put(ctx, "a", "1", time.Hour))
		must(s.Put(ctx, "a", "2", time.Hour))
		gets(s.Get, "a", "2")
		must(s.Push(ctx, "a", "3", time.Minute))
		must(s.Push(ctx, "a", "3", time.Minute))
		gets(s.Get, "a", "3")
		gets(s.Pop, "a", "3")
		gets(s.Pop, "a", "2")
		gets(s.Pop, "a", "")
		must(s.Push(ctx, "b", "old", time.Hour))
		must(s.Push(ctx, "b", "new", time.Minute))
		now = now.Add(time.Minute)
		gets(s.Get, "b", "old")
		must(s.Put(ctx, "b", "", 0))
		gets(s.Get, "b", "")

		for _, c := range []struct {
			old, value string
			want       bool
		}{{"x", "1", false}, {"", "1", true}, {"", "2", false}, {"1", "2", true}, {"1", "3", false}} {
			if got, err := s.Swap(ctx, "lease", c.old, c.value, time.Minute); err != nil || got != c.want {
				t.Errorf("swap %q for %q: %v, %v", c.old, c.value, got, err)
			}
		}
		now = now.Add(time.Minute)
		if got, err := s.Swap(ctx, "lease", "", "4", time.Minute); err != nil || !got {
			t.Errorf("a lease that has run out cannot be taken: %v, %v", got, err)
		}

		for _, want := range []int64{5, 10} {
			if got, err := s.Add(ctx, "n", 5, time.Minute); err != nil || got != want {
				t.Errorf("counted %d, %v; want %d", got, err, want)
			}
		}
		now = now.Add(time.Minute)
		if got, err := s.Add(ctx, "n", 1, time.Minute); err != nil || got != 1 {
			t.Errorf("an old counter goes on: %d, %v", got, err)
		}
		other := tickets.NewShelf(db, "chat/two", func() time.Time { return now })
		gets(other.Get, "n", "")
		for i := range 100 {
			must(s.Push(ctx, "deep", fmt.Sprint(i), time.Hour))
		}
		n := 0
		for v := "?"; v != ""; n++ {
			var err error
			v, err = s.Pop(ctx, "deep")
			must(err)
		}
		if n != 32+1 {
			t.Errorf("%d values were kept, want the newest 32", n-1)
		}
	})
}

func TestShelfAmongMany(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		now := time.Unix(1_700_000_000, 0)
		s := tickets.NewShelf(db, "chat/one", func() time.Time { return now })
		var all sync.WaitGroup
		var mu sync.Mutex
		var popped []string
		won := 0
		for i := range 16 {
			all.Go(func() {
				if err := s.Push(t.Context(), "codes", fmt.Sprint(i), time.Hour); err != nil {
					t.Error(err)
				}
				if _, err := s.Add(t.Context(), "n", 1, time.Hour); err != nil {
					t.Error(err)
				}
				ok, err := s.Swap(t.Context(), "lease", "", fmt.Sprint(i), time.Hour)
				if err != nil {
					t.Error(err)
				}
				v, err := s.Pop(t.Context(), "codes")
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if ok {
					won++
				}
				if v != "" {
					popped = append(popped, v)
				}
			})
		}
		all.Wait()
		slices.Sort(popped)
		if got := len(slices.Compact(slices.Clone(popped))); got != len(popped) {
			t.Errorf("one value was popped twice: %q", popped)
		}
		for v := "?"; v != ""; {
			var err error
			if v, err = s.Pop(t.Context(), "codes"); err != nil {
				t.Fatal(err)
			}
			if v != "" {
				popped = append(popped, v)
			}
		}
		if len(popped) != 16 {
			t.Errorf("%d values came out, want 16", len(popped))
		}
		if n, err := s.Add(t.Context(), "n", 0, time.Hour); err != nil || n != 16 || won != 1 {
			t.Errorf("counted %d, %d won the lease, %v; want 16 and 1", n, won, err)
		}
	})
}
