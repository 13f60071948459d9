package sqldb_test

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/paidan/paidan/internal/sqldb"
)

func TestTracedDatabaseTellsEveryStatement(t *testing.T) {
	urls := map[string]string{"sqlite": "sqlite://" + filepath.Join(t.TempDir(), "paidan.db"), "postgres": postgresURL(t)}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex // guards said
			var said []string
			ctx := sqldb.Traced(t.Context(), func(s sqldb.Statement) {
				mu.Lock()
				defer mu.Unlock()
				if strings.Contains(s.SQL, "traced_item") {
					said = append(said, strings.Fields(s.SQL)[0])
					if len(s.Args) == 1 && s.Args[0].Value != "x" {
						t.Errorf("argument %v, want x", s.Args[0].Value)
					}
				}
			})
			db, err := sqldb.Open(ctx, url)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}()
			change(t, db, `CREATE TABLE traced_item (id TEXT PRIMARY KEY)`)
			err = db.Tx(t.Context(), func(tx *sqldb.Tx) error {
				if _, err := tx.Exec(t.Context(), `INSERT INTO traced_item (id) VALUES (?)`, "x"); err != nil {
					return err
				}
				_, err := tx.Raw().ExecContext(t.Context(), `DELETE FROM traced_item`) // as a library would
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			var n int
			if err := db.Get(t.Context(), &n, `SELECT count(*) FROM traced_item WHERE id = ?`, "x"); err != nil || n != 0 {
				t.Fatal(n, err)
			}
			if want := []string{"CREATE", "INSERT", "DELETE", "SELECT"}; !slices.Equal(said, want) {
				t.Errorf("told of %v, want %v", said, want)
			}
		})
	}
}
