package tickets_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/internal/pgtest"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/migrations"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// bulk fills the house with n tickets of many people.
func (h *house) bulk(n int) {
	h.t.Helper()
	b := tickets.Bulk{Tickets: n, Desk: "it", Now: h.now, Seed: 1, Agents: []tickets.PersonID{h.people[li], h.people[zhang]}, Requesters: []tickets.PersonID{h.people[wang]}}
	for i := range 40 {
		b.Agents = append(b.Agents, tickets.PersonID(fmt.Sprintf("agent-%d", i)))
	}
	for i := range 3000 {
		b.Requesters = append(b.Requesters, tickets.PersonID(fmt.Sprintf("requester-%d", i)))
	}
	if err := h.s.Load(h.t.Context(), b); err != nil {
		h.t.Fatal(err)
	}
	if err := h.db.Tx(h.t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(h.t.Context(), `ANALYZE`)
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
}

// lists are what people look up all the time.
func (h *house) lists() map[string]func(context.Context) error {
	agent, asker, boss := h.actor(li), h.actor(wang), h.actor(chen)
	search := func(a tickets.Actor, words string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, _, err := h.s.Search(ctx, a, words, 10)
			return err
		}
	}
	return map[string]func(context.Context) error{
		"mine/agent":           func(ctx context.Context) error { _, _, err := h.s.Mine(ctx, agent, 10); return err },
		"mine/requester":       func(ctx context.Context) error { _, _, err := h.s.Mine(ctx, asker, 10); return err },
		"queue":                func(ctx context.Context) error { _, _, err := h.s.Queue(ctx, agent, 10); return err },
		"overdue":              func(ctx context.Context) error { _, _, err := h.s.Overdue(ctx, agent, 10, h.now); return err },
		"search/common":        search(agent, "登录"),
		"search/one character": search(agent, "机"),
		"search/two words":     search(agent, "打印机 上海"),
		"search/rare":          search(agent, "E077 PC"),
		"search/none":          search(agent, "量子计算机"),
		"search/admin":         search(boss, "VPN 很慢"),
		"search/requester":     search(asker, "登录"),
		"find near":            func(ctx context.Context) error { _, err := h.s.Find(ctx, asker, 123); return ignoreRefusal(err) },
	}
}

func ignoreRefusal(err error) error {
	if tickets.CodeOf(err) != "" {
		return nil
	}
	return err
}

func TestBulkTicketsAreRealOnes(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.bulk(300)
		if v, err := h.s.VerifyAll(t.Context()); err != nil || v.Tickets != 300 {
			t.Errorf("verified %+v, %v", v, err)
		}
		equal(t, "next number", h.open("之后").Number, 301)
		rows, _, err := h.s.Search(t.Context(), h.actor(li), "登录失败", 5)
		if err != nil || len(rows) == 0 {
			t.Errorf("search = %v, %v", rows, err)
		}
		for name, list := range h.lists() {
			if err := list(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// BenchmarkLists reports the median and the 95th percentile of looking things up
// among PAIDAN_BENCH_TICKETS tickets (a million unless set).
func BenchmarkLists(b *testing.B) {
	n := 1_000_000
	if s := os.Getenv("PAIDAN_BENCH_TICKETS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	eachDurable(b, func(b *testing.B, db *sqldb.DB) {
		h := newHouse(b, db)
		begin := time.Now()
		h.bulk(n)
		b.Logf("loaded %d tickets in %v", n, time.Since(begin).Round(time.Second))
		lists := h.lists()
		for _, name := range slices.Sorted(maps.Keys(lists)) {
			b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
				took := make([]time.Duration, 0, b.N)
				for range b.N {
					begin := time.Now()
					if err := lists[name](b.Context()); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(begin))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			})
		}
	})
}

// eachDurable is ticketstest.Each for benchmarks: PostgreSQL keeps fsync on.
func eachDurable(b *testing.B, bench func(b *testing.B, db *sqldb.DB)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, ticketstest.Open(b, ticketstest.SQLite(b))) })
	b.Run("postgres", func(b *testing.B) {
		server, err := pgtest.Start(b.Context(), pgtest.Durable())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := server.Stop(); err != nil {
				b.Error(err)
			}
		})
		url, err := server.DB(b.Context(), "")
		if err != nil {
			b.Fatal(err)
		}
		db := ticketstest.Open(b, url)
		if err := migrations.Up(b.Context(), db); err != nil {
			b.Fatal(err)
		}
		bench(b, db)
	})
}
