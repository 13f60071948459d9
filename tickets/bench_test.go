package tickets_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
)

// BenchmarkClaim compares a claim, with everything that follows from it, with a
// bare loop that sends statements of the same kind and number in a transaction
// of its own. PostgreSQL has fsync on, SQLite synchronous=FULL.
func BenchmarkClaim(b *testing.B) {
	eachDurable(b, func(b *testing.B, db *sqldb.DB) {
		h := newHouse(b, db)
		clients := 16
		if db.SQLite() {
			clients = 64
		}
		for name, claim := range map[string]func(context.Context, tickets.TicketID, int64) error{
			"service": func(ctx context.Context, id tickets.TicketID, n int64) error {
				_, err := h.s.Do(ctx, tickets.Request{Once: "claim-" + string(id), Account: li, Ticket: id, Command: tickets.Claim{}, Via: triage, Now: h.now})
				return err
			},
			"bare": func(ctx context.Context, id tickets.TicketID, n int64) error { return bareClaim(ctx, db, string(id)) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, clients), func(b *testing.B) {
				ids := make([]tickets.TicketID, b.N)
				for i := range ids {
					ids[i] = h.open("打印机卡纸").ID
				}
				b.ResetTimer()
				var next atomic.Int64
				var g errgroup.Group
				for range clients {
					g.Go(func() error {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							if err := claim(b.Context(), ids[i-1], i); err != nil {
								return err
							}
						}
						return nil
					})
				}
				if err := g.Wait(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "claims/s")
			})
		}
	})
}

// bareClaim is what a claim costs the database alone: no rules, no JSON.
func bareClaim(ctx context.Context, db *sqldb.DB, id string) error {
	tx, err := db.Writer().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	fresh := uuid.NewString()
	var s string
	var n int64
	for _, q := range []struct {
		text string
		args []any
		into []any
	}{
		{`INSERT INTO once (key, at, ticket) VALUES (?, 1, ?) ON CONFLICT (key) DO NOTHING`, []any{"bare-" + id, id}, nil},
		{`SELECT p.id FROM accounts a JOIN people p ON p.id = a.person LEFT JOIN roles r ON r.person = p.id WHERE a.ref = ?`, []any{li}, []any{&s}},
		{`SELECT doc, version FROM tickets WHERE id = ?`, []any{id}, []any{&s, &n}},
		{`UPDATE tickets SET status = 'active', version = version + 1 WHERE id = ? AND version = 1`, []any{id}, nil},
		{`INSERT INTO events (ticket_id, seq, kind, at, facts, hash) VALUES (?, 2, 'claimed', 1, '{"status":"active","was_status":"new"}', 'h')`, []any{id}, nil},
		{`INSERT INTO outbox (id, lane, kind, ticket_id, place_id, seq, due, created) SELECT cast(? as text) || p.id, p.lane, 'card', p.ticket_id, p.id, 2, 1, 1
			FROM places p WHERE p.ticket_id = ? ON CONFLICT DO NOTHING`, []any{fresh, id}, nil},
	} {
		text := q.text
		if !db.SQLite() {
			for i := 1; strings.Contains(text, "?"); i++ {
				text = strings.Replace(text, "?", fmt.Sprintf("$%d", i), 1)
			}
		}
		if q.into != nil {
			err = tx.QueryRowContext(ctx, text, q.args...).Scan(q.into...)
		} else {
			_, err = tx.ExecContext(ctx, text, q.args...)
		}
		if err != nil {
			_ = tx.Rollback()
			return err
		}
	}
	return tx.Commit()
}
