// Package sqldb opens the one database that Paidan keeps everything in, and
// hides what differs between its two kinds, SQLite and PostgreSQL: how to
// connect, how a write transaction runs, which errors mean what.
//
// One SQL text serves both. Placeholders are written as `?`; on PostgreSQL
// they are rebound, so a literal or comment must hold no question mark.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx"
)

// Querier reads: a *DB outside of transactions, a *Tx inside one.
type Querier interface {
	// Get scans the first row into dest. No row is an error for which NotFound is true.
	Get(ctx context.Context, dest any, query string, args ...any) error
	// Select scans all rows into dest, a pointer to a slice.
	Select(ctx context.Context, dest any, query string, args ...any) error
}

var (
	_ Querier = (*DB)(nil)
	_ Querier = (*Tx)(nil)
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	url    string // as given to Open; may hold a password
	sqlite bool
	writer *sqlx.DB // SQLite: exactly one connection
	reader *sqlx.DB // refuses to write on both databases
	lock   io.Closer

	acts      chan *act     // SQLite: acts that wait for the writer
	closed    chan struct{} // closed by Close
	stopped   chan struct{} // SQLite: the writer has ended
	closeOnce sync.Once
	closeErr  error
}

// ErrClosed is what Tx returns once the database is closed.
var ErrClosed = errors.New("database is closed")

// Open connects to the database that url names:
//
//	sqlite:///var/lib/paidan/paidan.db      a file, created with its folder when missing
//	postgres://user:password@host/name      or postgresql://…
//	host=/run/postgresql dbname=paidan      libpq's key=value form, starting with host=
//
// The path after sqlite:// is taken as it stands, without percent decoding.
// Open makes sure that the database answers; no error of it holds a password.
func Open(ctx context.Context, url string) (*DB, error) {
	db := &DB{url: url, closed: make(chan struct{})}
	var err error
	switch path, isSQLite := strings.CutPrefix(url, "sqlite://"); {
	case isSQLite:
		db.sqlite = true
		err = db.openSQLite(ctx, path)
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"), strings.HasPrefix(url, "host="):
		err = db.openPostgres(ctx)
	default:
		err = errors.New("want sqlite:///path/to/file.db or postgres://user:password@host/name")
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

// Close ends all connections. Acts that wait for the SQLite writer get ErrClosed,
// the ones it has begun are finished. Close may be called more than once.
func (db *DB) Close() error {
	db.closeOnce.Do(func() {
		close(db.closed)
		if db.stopped != nil {
			<-db.stopped
		}
		// The writer closes last: SQLite folds its log into the file then.
		db.closeErr = errors.Join(db.reader.Close(), db.writer.Close())
		if db.lock != nil {
			db.closeErr = errors.Join(db.closeErr, db.lock.Close())
		}
	})
	return db.closeErr
}

// SQLite reports whether this is SQLite; if not, it is PostgreSQL.
func (db *DB) SQLite() bool { return db.sqlite }

// URL is the address given to Open. It may hold a password: never log it.
func (db *DB) URL() string { return db.url }

// String is the address without any password.
func (db *DB) String() string { return Redact(db.url) }

// Writer is the pool that writes, for libraries that bring their own SQL. On
// SQLite it has one connection: who asks it for a second one inside of a
// transaction waits for ever.
func (db *DB) Writer() *sql.DB { return db.writer.DB }

// Get scans the first row of a query into dest, on a connection that cannot
// write. No row is an error for which NotFound is true. Do not call it inside
// Tx: it does not see that transaction's changes.
func (db *DB) Get(ctx context.Context, dest any, query string, args ...any) error {
	return db.reader.GetContext(ctx, dest, db.reader.Rebind(query), args...)
}

// Select scans all rows of a query into dest, a pointer to a slice, on a
// connection that cannot write.
func (db *DB) Select(ctx context.Context, dest any, query string, args ...any) error {
	return db.reader.SelectContext(ctx, dest, db.reader.Rebind(query), args...)
}

// Check asks the database whether it is well. SQLite reads its whole file for
// it, which takes seconds per gigabyte: it is meant for a doctor, not for a probe.
func (db *DB) Check(ctx context.Context) error {
	if !db.sqlite {
		var one int
		if err := db.Get(ctx, &one, `SELECT 1`); err != nil {
			return fmt.Errorf("check database: %w", err)
		}
		return nil
	}
	var findings []string
	if err := db.Select(ctx, &findings, `PRAGMA quick_check(10)`); err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	if len(findings) != 1 || findings[0] != "ok" {
		return fmt.Errorf("check database: the file is damaged: %s", strings.Join(findings, "; "))
	}
	return nil
}

// Redact returns a database address fit for a log: without its password.
func Redact(address string) string {
	if strings.HasPrefix(address, "sqlite://") {
		return address
	}
	if !strings.HasPrefix(address, "postgres://") && !strings.HasPrefix(address, "postgresql://") {
		return redactWords(address)
	}
	u, err := url.Parse(address)
	if err != nil {
		return "postgres://…" // not even its host can be told apart from its password
	}
	q := u.Query()
	for key := range q {
		if isSecret(key) {
			q.Set(key, "xxxxx")
		}
	}
	u.RawQuery = q.Encode()
	return u.Redacted()
}

func isSecret(key string) bool { return key == "password" || key == "sslpassword" || key == "sslkey" }

// redactWords keeps of a key=value address only what is known to be harmless.
// An unknown or misquoted word may be half a password.
func redactWords(address string) string {
	var out []string
	for word := range strings.FieldsSeq(address) {
		key, _, _ := strings.Cut(word, "=")
		switch key {
		case "host", "hostaddr", "port", "dbname", "user", "sslmode":
			out = append(out, word)
		}
	}
	return strings.Join(out, " ")
}
