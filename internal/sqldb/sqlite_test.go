package sqldb_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/paidan/paidan/internal/sqldb"
)

func openItems(t testing.TB) *sqldb.DB {
	t.Helper()
	db := open(t, "sqlite://"+filepath.Join(t.TempDir(), "paidan.db"))
	change(t, db, `CREATE TABLE item (id TEXT PRIMARY KEY, n BIGINT UNIQUE)`)
	return db
}

func TestSQLiteSettings(t *testing.T) {
	db := openItems(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		var got string
		if err := db.Writer().QueryRow(`PRAGMA ` + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", pragma, got, err, want)
		}
	}
	var id string
	if err := db.Get(t.Context(), &id, `SELECT "misspelt" FROM item`); err == nil {
		t.Error("a double-quoted string passed as a literal")
	}
}

func TestSQLiteFileIsPrivateWhateverItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new folder", "a b%20#c?d&e.db")
	db := open(t, "sqlite://"+path)
	change(t, db, `CREATE TABLE item (id TEXT)`)
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		st, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("mode of %q = %v, want 0600", suffix, st.Mode().Perm())
		}
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	const env = "PAIDAN_TEST_SECOND_PROCESS"
	if url := os.Getenv(env); url != "" { // we are the second process
		_, err := sqldb.Open(t.Context(), url)
		fmt.Printf("locked=%v err=%v\n", errors.Is(err, sqldb.ErrLocked), err)
		return
	}
	path := filepath.Join(t.TempDir(), "paidan.db")
	db := open(t, "sqlite://"+path)
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSecondProcessIsRefused$", "-test.v")
		cmd.Env = append(os.Environ(), env+"=sqlite://"+name)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "locked=true") || !strings.Contains(string(out), "another process") {
			t.Errorf("second process on %s: %v\n%s", name, err, out)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, "sqlite://"+path) // free again
}

// together holds the writer inside a first act until n further acts wait, so
// that those share one commit.
func together(t *testing.T, db *sqldb.DB, n int, act func(i int) error) []error {
	t.Helper()
	errs := make([]error, n)
	var g errgroup.Group
	err := db.Tx(t.Context(), func(*sqldb.Tx) error {
		for i := range n {
			g.Go(func() error {
				errs[i] = act(i)
				return nil
			})
		}
		return awaitWaiting(t.Context(), db, n)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return errs
}

func TestFailingActDoesNotHurtItsNeighbours(t *testing.T) {
	db := openItems(t)
	refusal := errors.New("refused")
	const n = 40
	errs := together(t, db, n, func(i int) error {
		return db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			if err := insert(t.Context(), tx, fmt.Sprintf("%02d", i)); err != nil {
				return err
			}
			switch i % 4 {
			case 1:
				return refusal
			case 2:
				return insert(t.Context(), tx, fmt.Sprintf("%02d", i)) // a duplicate
			}
			return nil
		})
	})
	var want []string
	for i, err := range errs {
		switch i % 4 {
		case 1:
			if !errors.Is(err, refusal) {
				t.Errorf("act %d = %v, want refused", i, err)
			}
		case 2:
			if !sqldb.IsDuplicate(err) {
				t.Errorf("act %d = %v, want a duplicate", i, err)
			}
		default:
			if err != nil {
				t.Errorf("act %d = %v", i, err)
			}
			want = append(want, fmt.Sprintf("%02d", i))
		}
	}
	if got := ids(t, db); !slices.Equal(got, want) {
		t.Errorf("rows = %q, want %q", got, want)
	}
}

func TestActsShareACommitAndAreAnsweredAfterIt(t *testing.T) {
	db := openItems(t)
	const n = 30
	seen := make([]int, n)
	before := commits(t, db)
	errs := together(t, db, n, func(i int) error {
		err := db.Tx(t.Context(), func(tx *sqldb.Tx) error { return insert(t.Context(), tx, fmt.Sprint(i)) })
		if err != nil {
			return err
		}
		// Whoever is answered sees the whole group: the common commit came first.
		return db.Get(t.Context(), &seen[i], `SELECT count(*) FROM item`)
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i, got := range seen {
		if got != n {
			t.Errorf("act %d saw %d rows when it was answered, want %d", i, got, n)
		}
	}
	if got := commits(t, db) - before; got != 1 {
		t.Errorf("commits = %d, want 1 for all acts together (the one that held the writer wrote nothing)", got)
	}
}

func TestFailedCommitFailsAllAndLeavesTheWriterUsable(t *testing.T) {
	db := openItems(t)
	change(t, db, `CREATE TABLE child (id TEXT REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)`)
	errs := together(t, db, 8, func(i int) error {
		return db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			if i == 5 { // fails at the commit, not before
				_, err := tx.Exec(t.Context(), `INSERT INTO child (id) VALUES ('nobody')`)
				return err
			}
			tx.OnCommit(func() { t.Error("OnCommit ran without a commit") })
			return insert(t.Context(), tx, fmt.Sprint(i))
		})
	})
	for i, err := range errs {
		if err == nil || errors.Is(err, sqldb.ErrUnknown) {
			t.Errorf("act %d = %v, want the failed commit", i, err)
		}
	}
	wantIDs(t, db)
	change(t, db, `INSERT INTO item (id) VALUES ('after')`)
	wantIDs(t, db, "after")
}

// SQLite rolls back by itself on some errors. No act of such a group may be
// told that it was committed, nor be committed in part.
func TestLostTransactionFailsAll(t *testing.T) {
	db := openItems(t)
	var turns atomic.Int32
	errs := together(t, db, 8, func(i int) error {
		return db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			if err := insert(t.Context(), tx, fmt.Sprint(i)); err != nil {
				return err
			}
			if turns.Add(1) == 4 { // not the first, not the last
				_, err := tx.Raw().ExecContext(t.Context(), `INSERT OR ROLLBACK INTO item (id) VALUES (?)`, fmt.Sprint(i))
				return err
			}
			return nil
		})
	})
	for i, err := range errs {
		if err == nil {
			t.Errorf("act %d was told it is committed", i)
		}
	}
	wantIDs(t, db)
	change(t, db, `INSERT INTO item (id) VALUES ('after')`)
	wantIDs(t, db, "after")
}

func TestCallerWhoLeftIsPassedOver(t *testing.T) {
	db := openItems(t)
	left, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	err := db.Tx(t.Context(), func(*sqldb.Tx) error {
		go func() {
			gone <- db.Tx(left, func(tx *sqldb.Tx) error {
				t.Error("the act of a caller who had left ran")
				return nil
			})
		}()
		if err := awaitWaiting(t.Context(), db, 1); err != nil {
			return err
		}
		leave()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("Tx of the one who left = %v, want Canceled", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	change(t, db, `INSERT INTO item (id) VALUES ('stayed')`)
	wantIDs(t, db, "stayed")
}

func TestCloseAnswersThoseWhoWait(t *testing.T) {
	db := openItems(t)
	waiting, closed := make(chan error, 1), make(chan error, 1)
	err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
		go func() {
			waiting <- db.Tx(t.Context(), func(tx *sqldb.Tx) error { return insert(t.Context(), tx, "late") })
		}()
		if err := awaitWaiting(t.Context(), db, 1); err != nil {
			return err
		}
		go func() { closed <- db.Close() }()
		return insert(t.Context(), tx, "begun")
	})
	if err != nil {
		t.Errorf("Tx that was begun = %v", err)
	}
	if err := <-waiting; err != nil && !errors.Is(err, sqldb.ErrClosed) {
		t.Errorf("Tx that waited = %v, want nil or ErrClosed", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// What River does on the same connection must get its turn between batches.
func TestWriterPoolGetsItsTurn(t *testing.T) {
	db := openItems(t)
	stop := make(chan struct{})
	var g errgroup.Group
	for i := range 8 {
		g.Go(func() error {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return nil
				default:
				}
				err := db.Tx(t.Context(), func(tx *sqldb.Tx) error { return insert(t.Context(), tx, fmt.Sprint(i, "-", n)) })
				if err != nil {
					return err
				}
			}
		})
	}
	for i := range 50 {
		if _, err := db.Writer().ExecContext(t.Context(), `INSERT INTO item (id) VALUES (?)`, fmt.Sprint("river", i)); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestRememberedStatements(t *testing.T) {
	db := openItems(t)
	ctx := t.Context()
	change(t, db, `INSERT INTO item (id, n) VALUES ('a', 1), ('b', 2)`)
	const query = `SELECT id FROM item WHERE n > ? ORDER BY id`
	err := db.Tx(ctx, func(tx *sqldb.Tx) error {
		rows, err := tx.Raw().QueryContext(ctx, query, 0)
		if err != nil {
			return err
		}
		defer rows.Close()
		var got []string
		for rows.Next() {
			var outer string
			if err := rows.Scan(&outer); err != nil {
				return err
			}
			var inner []string // by the same text, while the outer one is open
			if err := tx.Select(ctx, &inner, query, 1); err != nil {
				return err
			}
			got = append(append(got, outer), inner...)
		}
		if want := []string{"a", "b", "b", "b"}; !slices.Equal(got, want) {
			t.Errorf("rows = %q, want %q", got, want)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	const all = `SELECT * FROM item WHERE id = ?`
	var before struct {
		ID string
		N  int
	}
	if err := db.Get(ctx, &before, all, "a"); err != nil {
		t.Fatal(err)
	}
	change(t, db, `ALTER TABLE item ADD COLUMN note TEXT DEFAULT 'new'`)
	for range 20 { // some reader or other has seen the old table
		var after struct {
			ID, Note string
			N        int
		}
		if err := db.Get(ctx, &after, all, "a"); err != nil || after.Note != "new" {
			t.Fatalf("after the change: %+v, %v", after, err)
		}
	}
	for i := range 1000 { // more texts than a connection remembers
		var n int
		if err := db.Get(ctx, &n, fmt.Sprintf(`SELECT %d + ?`, i), 1); err != nil || n != i+1 {
			t.Fatalf("n = %d, %v, want %d", n, err, i+1)
		}
	}
}

func awaitWaiting(ctx context.Context, db *sqldb.DB, n int) error {
	for sqldb.Waiting(db) < n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		runtime.Gosched()
	}
	return nil
}

// commits counts the commits in SQLite's log. Each ends with a frame that names
// the size of the file after it (https://www.sqlite.org/fileformat2.html#walformat).
func commits(t *testing.T, db *sqldb.DB) (n int) {
	t.Helper()
	log, err := os.ReadFile(strings.TrimPrefix(db.URL(), "sqlite://") + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	const header, frameHeader = 32, 24
	page := int(binary.BigEndian.Uint32(log[8:]))
	for at := header; at+frameHeader+page <= len(log); at += frameHeader + page {
		if binary.BigEndian.Uint32(log[at+4:]) != 0 {
			n++
		}
	}
	return n
}
