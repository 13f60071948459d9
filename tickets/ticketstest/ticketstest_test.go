//go:build unix

package ticketstest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets/ticketstest"
)

func TestMain(m *testing.M) {
	ticketstest.Main(m, func() error { return goleak.Find() })
}

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	for range 2 {
		ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
			err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Exec(t.Context(), `INSERT INTO meta (key, value) VALUES ('once', 'here')`)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestKindsAreBothThere(t *testing.T) {
	kinds := map[bool]int{}
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) { kinds[db.SQLite()]++ })
	if kinds[true] != 1 || kinds[false] != 1 {
		t.Errorf("runs on SQLite and PostgreSQL = %d and %d, want 1 and 1", kinds[true], kinds[false])
	}
}
