package sqldb

import (
	"database/sql"
	"errors"
	"strings"

	"github.com/lib/pq"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrUnknown says that the connection broke while the commit was under way:
// the changes may be there or not. Ask the database by the change's own key
// before doing it again.
var ErrUnknown = errors.New("outcome of the commit is unknown")

// NotFound reports whether a Get found no row.
func NotFound(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// IsDuplicate reports whether err is a broken unique constraint or primary key.
func IsDuplicate(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return true
	}
	return postgresCode(err) == "23505"
}

// IsBusy reports whether err is about other transactions and not about this
// one (a deadlock, a lock that was not given in time, a serialization failure,
// a busy file, a statement that the server has forgotten): nothing was changed and the whole transaction may be run again.
func IsBusy(err error) bool {
	if errors.Is(err, ErrUnknown) {
		return false
	}
	switch sqliteCode(err) & 0xff { // the low byte is the primary code
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	switch postgresCode(err) {
	case "40001", // serialization_failure
		"40P01", // deadlock_detected
		"55P03": // lock_not_available, also by lock_timeout
		return true
	case "0A000": // feature_not_supported: here, a remembered statement whose columns a migration has changed
		return strings.Contains(err.Error(), "cached plan")
	}
	return forgotten(err)
}

func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

func postgresCode(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return ""
}
