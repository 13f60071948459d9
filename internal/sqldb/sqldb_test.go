package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/paidan/paidan/internal/pgtest"
	"github.com/paidan/paidan/internal/sqldb"
)

// The tests start their own server: ticketstest imports migrations, and
// migrations stand on this package.
var server = sync.OnceValues(func() (*pgtest.Server, error) { return pgtest.Start(context.Background()) })

func TestMain(m *testing.M) {
	code := m.Run()
	s, err := server()
	if err == nil {
		err = s.Stop()
	}
	if code == 0 {
		err = errors.Join(err, goleak.Find())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func postgresURL(t testing.TB) string {
	t.Helper()
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	dsn, err := s.DB(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

func open(t testing.TB, url string) *sqldb.DB {
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

func each(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	for name, url := range map[string]func() string{
		"sqlite":   func() string { return "sqlite://" + filepath.Join(t.TempDir(), "sub", "paidan.db") },
		"postgres": func() string { return postgresURL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, url())
			change(t, db, `CREATE TABLE item (id TEXT PRIMARY KEY, n BIGINT UNIQUE, note TEXT, raw `+blob(db)+`)`)
			test(t, db)
		})
	}
}

func blob(db *sqldb.DB) string {
	if db.SQLite() {
		return "BLOB"
	}
	return "BYTEA"
}

func change(t testing.TB, db *sqldb.DB, query string, args ...any) {
	t.Helper()
	err := db.Tx(context.Background(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(context.Background(), query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func insert(ctx context.Context, tx *sqldb.Tx, id string) error {
	_, err := tx.Exec(ctx, `INSERT INTO item (id) VALUES (?)`, id)
	return err
}

// ids are the committed rows, in order.
func ids(t testing.TB, db *sqldb.DB) []string {
	t.Helper()
	var got []string
	if err := db.Select(context.Background(), &got, `SELECT id FROM item ORDER BY id`); err != nil {
		t.Fatal(err)
	}
	return got
}

func wantIDs(t testing.TB, db *sqldb.DB, want ...string) {
	t.Helper()
	if got := ids(t, db); !slices.Equal(got, want) {
		t.Errorf("rows = %q, want %q", got, want)
	}
}

func TestValuesComeBackAsTheyWent(t *testing.T) {
	type item struct {
		ID   string
		N    sql.Null[int64]
		Note sql.Null[string]
		Raw  []byte
	}
	each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		want := []item{
			{ID: "a", N: sql.Null[int64]{V: -1 << 62, Valid: true}, Note: sql.Null[string]{V: "打印机 ' \\ \n {\"a\":1}", Valid: true}, Raw: []byte{0, 0xff, 'x'}},
			{ID: "b"},
		}
		err := db.Tx(ctx, func(tx *sqldb.Tx) error {
			for _, i := range want {
				n, err := tx.Exec(ctx, `INSERT INTO item (id, n, note, raw) VALUES (?, ?, ?, ?)`, i.ID, i.N, i.Note, i.Raw)
				if err != nil || n != 1 {
					return fmt.Errorf("rows %d: %w", n, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []item
		if err := db.Select(ctx, &got, `SELECT id, n, note, raw FROM item WHERE id = ? OR id = ? ORDER BY id`, "a", "b"); err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got[0].N != want[0].N || got[0].Note != want[0].Note || string(got[0].Raw) != string(want[0].Raw) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got[1].N.Valid || got[1].Note.Valid || got[1].Raw != nil {
			t.Errorf("nulls = %+v, want null", got[1])
		}
	})
}

func TestErrorsAreTold(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		change(t, db, `INSERT INTO item (id, n) VALUES ('a', 1)`)
		var id string
		if err := db.Get(ctx, &id, `SELECT id FROM item WHERE id = ?`, "z"); !sqldb.NotFound(err) {
			t.Errorf("Get of nothing = %v, want NotFound", err)
		}
		for _, again := range []string{`INSERT INTO item (id, n) VALUES ('a', 2)`, `INSERT INTO item (id, n) VALUES ('b', 1)`} {
			err := db.Tx(ctx, func(tx *sqldb.Tx) error {
				_, err := tx.Exec(ctx, again)
				return fmt.Errorf("wrapped: %w", err)
			})
			if !sqldb.IsDuplicate(err) || sqldb.IsBusy(err) || sqldb.NotFound(err) {
				t.Errorf("%s = %v, want IsDuplicate alone", again, err)
			}
		}
	})
}

func TestNotFoundLeavesTheTransactionUsable(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		err := db.Tx(ctx, func(tx *sqldb.Tx) error {
			var id string
			if err := tx.Get(ctx, &id, `SELECT id FROM item WHERE id = 'a'`+tx.ForUpdate()); !sqldb.NotFound(err) {
				return fmt.Errorf("want NotFound, got %w", err)
			}
			return insert(ctx, tx, "a")
		})
		if err != nil {
			t.Fatal(err)
		}
		wantIDs(t, db, "a")
	})
}

// On SQLite alone one could go on after a failed statement.
func TestFailedStatementFailsTheTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		err := db.Tx(ctx, func(tx *sqldb.Tx) error {
			if err := insert(ctx, tx, "a"); err != nil {
				return err
			}
			if err := insert(ctx, tx, "a"); !sqldb.IsDuplicate(err) {
				t.Errorf("second insert = %v, want IsDuplicate", err)
			}
			if err := insert(ctx, tx, "b"); err == nil {
				t.Error("a statement after the failed one ran")
			}
			return nil // the error is forgotten, and must not be
		})
		if !sqldb.IsDuplicate(err) {
			t.Errorf("Tx = %v, want the failed statement's error", err)
		}
		wantIDs(t, db)
	})
}

func TestReadersCannotWrite(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		var id string
		if err := db.Get(t.Context(), &id, `INSERT INTO item (id) VALUES ('a') RETURNING id`); err == nil {
			t.Error("Get wrote")
		}
		wantIDs(t, db)
	})
}

func TestErrorRollsBackAndOnCommitStaysSilent(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		refusal := errors.New("refused")
		called := 0
		err := db.Tx(ctx, func(tx *sqldb.Tx) error {
			tx.OnCommit(func() { called++ })
			return errors.Join(insert(ctx, tx, "a"), refusal)
		})
		if !errors.Is(err, refusal) {
			t.Errorf("Tx = %v, want the function's error", err)
		}
		if called != 0 {
			t.Error("OnCommit ran after a rollback")
		}
		wantIDs(t, db)
	})
}

func TestOnCommitSeesTheCommit(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		var order []string
		err := db.Tx(ctx, func(tx *sqldb.Tx) error {
			tx.OnCommit(func() { order = append(order, ids(t, db)...) })
			tx.OnCommit(func() { order = append(order, "second") })
			return insert(ctx, tx, "a")
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"a", "second"}; !slices.Equal(order, want) {
			t.Errorf("OnCommit saw %q, want %q", order, want)
		}
	})
}

func TestPanicRollsBackAndReachesTheCaller(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		func() {
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("recovered %v, want boom", got)
				}
			}()
			_ = db.Tx(ctx, func(tx *sqldb.Tx) error {
				if err := insert(ctx, tx, "a"); err != nil {
					t.Error(err)
				}
				panic("boom")
			})
		}()
		wantIDs(t, db)
		change(t, db, `INSERT INTO item (id) VALUES ('b')`)
		wantIDs(t, db, "b")
	})
}

func TestGoexitRollsBack(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		done := make(chan struct{})
		go func() { // as t.Fatal inside the function would do
			defer close(done)
			_ = db.Tx(ctx, func(tx *sqldb.Tx) error {
				if err := insert(ctx, tx, "a"); err != nil {
					t.Error(err)
				}
				runtime.Goexit()
				return nil
			})
		}()
		<-done
		change(t, db, `INSERT INTO item (id) VALUES ('b')`)
		wantIDs(t, db, "b")
	})
}

func TestEndedContextIsRefusedAtEveryPoint(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		before, cancel := context.WithCancel(t.Context())
		cancel()
		if err := db.Tx(before, func(tx *sqldb.Tx) error { return insert(t.Context(), tx, "before") }); !errors.Is(err, context.Canceled) {
			t.Errorf("Tx before = %v, want Canceled", err)
		}
		inside, cancel := context.WithCancel(t.Context())
		err := db.Tx(inside, func(tx *sqldb.Tx) error {
			if err := insert(inside, tx, "inside"); err != nil {
				return err
			}
			cancel()
			return insert(inside, tx, "inside2")
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Tx inside = %v, want Canceled", err)
		}
		atEnd, cancel := context.WithCancel(t.Context())
		err = db.Tx(atEnd, func(tx *sqldb.Tx) error {
			defer cancel()
			return insert(atEnd, tx, "end")
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Tx at the end = %v, want Canceled", err)
		}
		wantIDs(t, db)
	})
}

func TestClosedDatabaseRefuses(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		err := db.Tx(t.Context(), func(*sqldb.Tx) error { return nil })
		if !errors.Is(err, sqldb.ErrClosed) {
			t.Errorf("Tx = %v, want ErrClosed", err)
		}
	})
}

func TestCounterUnderManyCallersLosesNothing(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		change(t, db, `INSERT INTO item (id, n) VALUES ('a', 0)`)
		var g errgroup.Group
		for range 16 {
			g.Go(func() error {
				for range 10 {
					err := db.Tx(ctx, func(tx *sqldb.Tx) error {
						var n int64
						if err := tx.Get(ctx, &n, `SELECT n FROM item WHERE id = 'a'`+tx.ForUpdate()); err != nil {
							return err
						}
						_, err := tx.Exec(ctx, `UPDATE item SET n = ? WHERE id = 'a'`, n+1)
						return err
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := db.Get(ctx, &n, `SELECT n FROM item`); err != nil || n != 160 {
			t.Errorf("n = %d, %v, want 160", n, err)
		}
	})
}

func TestCheckOfAHealthyDatabase(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAddressesNeverShowAPassword(t *testing.T) {
	for _, address := range []string{
		"postgres://ann:geheim@db.example.com:5432/paidan?sslmode=disable",
		"postgresql://db.example.com/paidan?user=ann&password=geheim",
		"postgres://ann:ge/heim@db.example.com/paidan", // forgot to encode the slash
		"postgres://ann:%zzgeheim@db.example.com/paidan",
		"postgres://ann:geheim@127.0.0.1:1/paidan?sslmode=disable&connect_timeout=1",
		"host=127.0.0.1 port=1 user=ann password=geheim dbname=paidan sslmode=disable",
		"host=127.0.0.1 port=1 user=ann password='ge heim' dbname=paidan sslmode=disable",
		"host=127.0.0.1 port=1 password = geheim dbname=paidan sslmode=disable",
		"host=127.0.0.1 password='geheim",
		"geheim",
	} {
		if got := sqldb.Redact(address); strings.Contains(got, "geheim") || strings.Contains(got, "heim") {
			t.Errorf("Redact(%q) = %q", address, got)
		}
		if strings.Contains(address, "example.com/paidan?user") || strings.Contains(address, "5432") {
			continue // would ask a name server
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		db, err := sqldb.Open(ctx, address)
		cancel()
		if err == nil {
			_ = db.Close()
			t.Errorf("Open(%q) succeeded", address)
			continue
		}
		if strings.Contains(err.Error(), "heim") {
			t.Errorf("Open(%q) = %v", address, err)
		}
	}
}

func TestPostgresByAddressForm(t *testing.T) {
	dsn := postgresURL(t)
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		t.Skip("the server of the environment has one form")
	}
	host := strings.TrimPrefix(strings.Fields(dsn)[0], "host=")
	db := open(t, "postgresql:///"+pgtest.Name(dsn)+"?host="+url.QueryEscape(host)+"&user=postgres&sslmode=disable&statement_timeout=3s")
	for setting, want := range map[string]string{"timezone": "UTC", "statement_timeout": "3s", "lock_timeout": "5s", "default_transaction_read_only": "on"} {
		var got string
		if err := db.Get(t.Context(), &got, `SELECT current_setting(?)`, setting); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", setting, got, err, want)
		}
	}
}
