package migrations

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/paidan/paidan/internal/pgtest"
	"github.com/paidan/paidan/internal/sqldb"
)

var server *pgtest.Server

func TestMain(m *testing.M) {
	s, err := pgtest.Start(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server = s
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// each runs the test on an empty database of each kind.
func each(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite://"+filepath.Join(t.TempDir(), "paidan.db")) })
	t.Run("postgres", func(t *testing.T) {
		dsn, err := server.DB(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		test(t, dsn)
	})
}

func open(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), url)
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

func TestUpFromEmptyAndAgain(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		db := open(t, url)
		have, want, err := Version(t.Context(), db)
		if err != nil || have != 0 || want < 1 {
			t.Fatalf("Version of an empty database = %d, %d, %v, want 0 and at least 1", have, want, err)
		}
		for range 2 {
			if err := Up(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			if have, _, err = Version(t.Context(), db); err != nil || have != want {
				t.Fatalf("Version = %d, %v, want %d", have, err, want)
			}
		}
		for _, table := range []string{"meta", "river_job", "river_leader"} {
			var n int
			if err := db.Get(t.Context(), &n, `SELECT count(*) FROM `+table); err != nil {
				t.Errorf("table %s: %v", table, err)
			}
		}
	})
}

// The indexes that jobs are fetched by stay; a new version of River that makes
// the dropped ones anew would be noticed here.
func TestJobsPayForNoIndexThatNobodyUses(t *testing.T) {
	dsn, err := server.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, dsn)
	if err := Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	if err := db.Select(t.Context(), &kinds, `SELECT DISTINCT a.amname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
		WHERE i.indrelid = 'river_job'::regclass`); err != nil || len(kinds) != 1 || kinds[0] != "btree" {
		t.Errorf("river_job has indexes of kinds %v, %v; want btree alone", kinds, err)
	}
}

func TestOfManyUpsOneWorks(t *testing.T) {
	// A second run of this one would fail: its table is there.
	fsys := fstest.MapFS{"0001_one.sql": {Data: []byte(`CREATE TABLE one (n INT); INSERT INTO one VALUES (1);`)}}
	each(t, func(t *testing.T, url string) {
		shared := open(t, url)
		var g errgroup.Group
		for range 6 {
			db := shared
			if !shared.SQLite() { // one process each
				db = open(t, url)
			}
			g.Go(func() error { return up(t.Context(), db, fsys) })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		var rows int
		if err := shared.Get(t.Context(), &rows, `SELECT count(*) FROM one`); err != nil || rows != 1 {
			t.Errorf("rows = %d, %v, want 1", rows, err)
		}
	})
}

func TestNewerSchemaIsRefused(t *testing.T) {
	older := fstest.MapFS{"0001_one.sql": {Data: []byte(`CREATE TABLE one (n INT);`)}}
	newer := fstest.MapFS{"0001_one.sql": older["0001_one.sql"], "0002_two.sql": {Data: []byte(`CREATE TABLE two (n INT);`)}}
	each(t, func(t *testing.T, url string) {
		db := open(t, url)
		if err := up(t.Context(), db, newer); err != nil {
			t.Fatal(err)
		}
		if err := up(t.Context(), db, older); !errors.Is(err, ErrNewerSchema) {
			t.Errorf("older Up = %v, want ErrNewerSchema", err)
		}
	})
}

func TestNewerJobTablesAreRefused(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		db := open(t, url)
		if err := Up(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO river_migration (line, version) VALUES ('main', 99)`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := Up(t.Context(), db); !errors.Is(err, ErrNewerSchema) {
			t.Errorf("Up = %v, want ErrNewerSchema", err)
		}
	})
}

func TestFailedChangeLeavesNothingAndNamesItsFile(t *testing.T) {
	fsys := fstest.MapFS{
		"0001_good.sql": {Data: []byte(`CREATE TABLE good (n INT);`)},
		"0002_bad.sql":  {Data: []byte("CREATE TABLE half (n INT);\nINSERT INTO half\nSELECT gone FROM good;")},
	}
	each(t, func(t *testing.T, url string) {
		db := open(t, url)
		err := up(t.Context(), db, fsys)
		want := "0002_bad.sql"
		if !db.SQLite() {
			want += ":3"
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "gone") {
			t.Fatalf("Up = %v, want an error about %s and gone", err, want)
		}
		if have, _, err := version(t.Context(), db, fsys); err != nil || have != 1 {
			t.Errorf("Version = %d, %v, want 1", have, err)
		}
		var n int
		if err := db.Get(t.Context(), &n, `SELECT count(*) FROM half`); err == nil {
			t.Error("table half is there, want it rolled back")
		}
		fsys := fstest.MapFS{"0001_good.sql": fsys["0001_good.sql"], "0002_bad.sql": {Data: []byte(`CREATE TABLE half (n INT);`)}}
		if err := up(t.Context(), db, fsys); err != nil {
			t.Errorf("Up after the mend = %v", err)
		}
	})
}

func TestTriggersAndFunctionsNeedNoMarks(t *testing.T) {
	text := `
CREATE TABLE a (n BIGINT);
CREATE TABLE log (n BIGINT);
{{if .SQLite}}
CREATE TRIGGER a_log AFTER INSERT ON a BEGIN
	INSERT INTO log VALUES (new.n);
	INSERT INTO log VALUES (new.n + 1);
END;
{{end}}{{if .Postgres}}
CREATE FUNCTION a_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log VALUES (new.n);
	INSERT INTO log VALUES (new.n + 1);
	RETURN new;
END;
$$;
CREATE TRIGGER a_log AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION a_log();
{{end}}
INSERT INTO a VALUES (5);`
	each(t, func(t *testing.T, url string) {
		db := open(t, url)
		if err := up(t.Context(), db, fstest.MapFS{"0001_a.sql": {Data: []byte(text)}}); err != nil {
			t.Fatal(err)
		}
		var sum int
		if err := db.Get(t.Context(), &sum, `SELECT sum(n) FROM log`); err != nil || sum != 11 {
			t.Errorf("sum = %d, %v, want 11", sum, err)
		}
	})
}

func TestNamesAreChecked(t *testing.T) {
	for name, fsys := range map[string]fstest.MapFS{
		"no number":   {"core.sql": {}},
		"same number": {"0001_a.sql": {}, "0001_b.sql": {}},
		"none":        {},
	} {
		if _, err := list(fsys); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
