package jobs

import (
	"database/sql"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/paidan/paidan/internal/sqldb"
)

// Driver is how River reaches the database: for clients, and for River's migrations.
func Driver(db *sqldb.DB) riverdriver.Driver[*sql.Tx] {
	if db.SQLite() {
		return &sqliteDriver{Driver: riversqlite.New(db.Writer())}
	}
	return &postgresDriver{Driver: riverdatabasesql.New(db.Writer()), url: db.URL()}
}
