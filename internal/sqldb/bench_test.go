package sqldb_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/paidan/paidan/internal/pgtest"
	"github.com/paidan/paidan/internal/sqldb"
)

const benchSchema = `
CREATE TABLE ticket (id BIGINT PRIMARY KEY, title TEXT NOT NULL, status TEXT NOT NULL, version BIGINT NOT NULL);
CREATE TABLE event (id BIGINT PRIMARY KEY, ticket BIGINT NOT NULL, body TEXT NOT NULL);
CREATE TABLE outbox (id BIGINT PRIMARY KEY, ticket BIGINT NOT NULL, place TEXT NOT NULL);
`

var benchInserts = []string{
	`INSERT INTO ticket (id, title, status, version) VALUES (?, 'VPN is down', 'open', 1)`,
	`INSERT INTO event (id, ticket, body) VALUES (?1, ?1, '{"kind":"opened"}')`,
	`INSERT INTO outbox (id, ticket, place) VALUES (?1, ?1, 'C123')`,
}

// BenchmarkTx compares, at equal durability, a bare loop of database/sql
// transactions with DB.Tx: each opens a ticket with an event and an outbox row.
func BenchmarkTx(b *testing.B) {
	sqliteURL := func(b *testing.B) string { return "sqlite://" + filepath.Join(b.TempDir(), "paidan.db") }
	server, err := pgtest.Start(b.Context(), pgtest.Durable())
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			b.Error(err)
		}
	}()
	serverURL := func(b *testing.B) string {
		dsn, err := server.DB(b.Context(), "")
		if err != nil {
			b.Fatal(err)
		}
		return dsn
	}
	for _, bench := range []struct {
		name    string
		url     func(*testing.B) string
		callers int
		open    func(ctx context.Context, db *sqldb.DB, id int64) error
	}{
		{"sqlite/bare/1", sqliteURL, 1, bareOpen},
		{"sqlite/bare/64", sqliteURL, 64, bareOpen},
		{"sqlite/Tx/1", sqliteURL, 1, txOpen},
		{"sqlite/Tx/64", sqliteURL, 64, txOpen},
		{"postgres/bare/1", serverURL, 1, bareOpen},
		{"postgres/bare/16", serverURL, 16, bareOpen},
		{"postgres/Tx/1", serverURL, 1, txOpen},
		{"postgres/Tx/16", serverURL, 16, txOpen},
	} {
		b.Run(bench.name, func(b *testing.B) {
			db := open(b, bench.url(b))
			change(b, db, benchSchema)
			var next atomic.Int64
			var g errgroup.Group
			b.ResetTimer()
			for range bench.callers {
				g.Go(func() error {
					for id := next.Add(1); id <= int64(b.N); id = next.Add(1) {
						if err := bench.open(b.Context(), db, id); err != nil {
							return err
						}
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
		})
	}
}

func txOpen(ctx context.Context, db *sqldb.DB, id int64) error {
	return db.Tx(ctx, func(tx *sqldb.Tx) error {
		for i, query := range benchInserts {
			args := []any{id, id}[:min(i+1, 2)]
			if _, err := tx.Exec(ctx, strings.ReplaceAll(query, "?1", "?"), args...); err != nil {
				return err
			}
		}
		return nil
	})
}

func bareOpen(ctx context.Context, db *sqldb.DB, id int64) error {
	tx, err := db.Writer().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := bareInserts(ctx, db, tx, id); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func bareInserts(ctx context.Context, db *sqldb.DB, tx *sql.Tx, id int64) error {
	for _, query := range benchInserts {
		if !db.SQLite() {
			query = strings.NewReplacer("?1", "$1", "?", "$1").Replace(query)
		}
		if _, err := tx.ExecContext(ctx, query, id); err != nil {
			return err
		}
	}
	return nil
}
