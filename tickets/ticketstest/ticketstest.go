//go:build unix

// Package ticketstest runs a test on both kinds of database.
//
// A package whose tests use it starts with
//
//	func TestMain(m *testing.M) { ticketstest.Main(m) }
package ticketstest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/internal/pgtest"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/migrations"
)

// EnvSQLiteOnly, set to 1, leaves the PostgreSQL half of every test out. It is
// for a quick run on a machine without PostgreSQL; without it such a test fails.
const EnvSQLiteOnly = "PAIDAN_TEST_SQLITE_ONLY"

const startWithin = time.Minute

// Main runs the tests, ends the PostgreSQL server that they may have started,
// and exits. Checks run after a successful run and before the exit; their
// errors fail it: goleak.Find fits.
func Main(m *testing.M, checks ...func() error) {
	code := m.Run()
	err := stopServer()
	for _, check := range checks {
		if code == 0 {
			err = errors.Join(err, check())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Each runs test as two subtests, sqlite and postgres, on a migrated database of
// its own that is closed at the end.
func Each(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	EachURL(t, func(t *testing.T, url string) {
		test(t, Open(t, url))
	})
}

// EachURL is Each for a test that opens the database by itself, or has another
// process open it: it gets the address of a migrated database that nobody has open.
func EachURL(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) {
		if os.Getenv(EnvSQLiteOnly) == "1" {
			t.Skip(EnvSQLiteOnly + " is set")
		}
		test(t, Postgres(t))
	})
}

// Open opens a database until the end of the test.
func Open(t testing.TB, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// SQLite returns the address of a migrated SQLite file of this test.
func SQLite(t testing.TB) (url string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "paidan.db")
	template, err := sqliteTemplate()
	if err == nil {
		err = os.WriteFile(path, template, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return "sqlite://" + path
}

// Postgres returns the address of a migrated PostgreSQL database of this test.
// It is dropped at the end.
func Postgres(t testing.TB) (url string) {
	t.Helper()
	s, err := postgres()
	if err != nil {
		t.Fatalf("%v (or set %s=1 to test on SQLite alone)", err, EnvSQLiteOnly)
	}
	ctx := context.Background()
	if url, err = s.server.DB(ctx, s.template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.server.Drop(ctx, url); err != nil {
			t.Error(err)
		}
	})
	return url
}

// sqliteTemplate is the content of a migrated file, made once for a test binary.
var sqliteTemplate = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "ticketstest-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "paidan.db")
	if err := migrate("sqlite://" + path); err != nil {
		return nil, err
	}
	return os.ReadFile(path) // whole: closing it has folded the log in
})

// throwaway is the PostgreSQL server of this test binary.
type throwaway struct {
	server   *pgtest.Server
	template string
	dsn      string // of the template
}

var running struct {
	sync.Mutex // guards the rest; the first test that needs the server starts it
	*throwaway
	err error
}

func postgres() (*throwaway, error) {
	running.Lock()
	defer running.Unlock()
	if running.throwaway == nil && running.err == nil {
		running.throwaway, running.err = start()
	}
	return running.throwaway, running.err
}

func start() (*throwaway, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	server, err := pgtest.Start(ctx)
	if err != nil {
		return nil, err
	}
	dsn, err := server.DB(ctx, "")
	if err == nil {
		err = migrate(dsn)
	}
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return &throwaway{server, pgtest.Name(dsn), dsn}, nil
}

func migrate(url string) error {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, url)
	if err != nil {
		return err
	}
	return errors.Join(migrations.Up(ctx, db), db.Close())
}

func stopServer() error {
	running.Lock()
	defer running.Unlock()
	if running.throwaway == nil {
		return nil
	}
	ctx := context.Background()
	s := running.throwaway
	return errors.Join(s.server.Drop(ctx, s.dsn), s.server.Stop())
}
