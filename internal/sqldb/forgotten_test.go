package sqldb_test

import (
	"testing"

	"github.com/paidan/paidan/internal/sqldb"
)

// A connection pooler hands out another of its connections for every
// transaction: statements that were prepared on the one are unknown to the next.
func TestActsGoOnWhereTheServerForgetsStatements(t *testing.T) {
	db := open(t, postgresURL(t))
	act := func(forget bool) error {
		return db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			var n int
			if err := tx.Get(t.Context(), &n, `SELECT cast(? as int) + 1`, 1); err != nil {
				return err
			}
			if n != 2 {
				t.Errorf("got %d", n)
			}
			if forget {
				_, err := tx.Exec(t.Context(), `DEALLOCATE ALL`)
				return err
			}
			return nil
		})
	}
	for i := range 20 { // every connection of the pool forgets, and is used again
		if err := act(i < 10); err != nil {
			t.Fatalf("act %d: %v", i, err)
		}
	}
}

// A migration that another process runs may change what a remembered statement
// returns.
func TestActsGoOnWhereAMigrationChangesATable(t *testing.T) {
	db := open(t, postgresURL(t))
	exec := func(query string, args ...any) {
		t.Helper()
		if err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), query, args...)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE cached_plan (a INT)`)
	exec(`INSERT INTO cached_plan (a) VALUES (?)`, 1)
	read := func() {
		t.Helper()
		err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			var n []int
			if err := tx.Select(t.Context(), &n, `SELECT a FROM cached_plan WHERE a = ?`, 1); err != nil {
				return err
			}
			if len(n) != 1 {
				t.Errorf("read %d rows", len(n))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	read()
	exec(`ALTER TABLE cached_plan ALTER COLUMN a TYPE BIGINT`)
	read()
}
