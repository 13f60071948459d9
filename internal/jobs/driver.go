package jobs

import (
	"context"
	"database/sql"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/paidan/paidan/internal/sqldb"
)

// Driver is how River reaches the database: for clients, and for River's migrations.
func Driver(db *sqldb.DB) riverdriver.Driver[*sql.Tx] { return newDriver(db, &waker{}) }

func newDriver(db *sqldb.DB, w *waker) riverdriver.Driver[*sql.Tx] {
	if db.SQLite() {
		return &sqliteDriver{Driver: riversqlite.New(db.Writer()), waker: w}
	}
	return &postgresDriver{Driver: riverdatabasesql.New(db.Writer()), waker: w, url: db.URL()}
}

// sqliteDriver gives River on SQLite an in-process twin of LISTEN and NOTIFY.
type sqliteDriver struct {
	*riversqlite.Driver
	waker *waker
}

var _ riverdriver.Driver[*sql.Tx] = (*sqliteDriver)(nil)

// SupportsListener is true: River need not look for jobs in short intervals.
func (d *sqliteDriver) SupportsListener() bool { return true }

// SupportsListenNotify is false so that River does not write its messages into
// its table of them, where nobody would read them.
func (d *sqliteDriver) SupportsListenNotify() bool { return false }

// GetListener returns a listener that hears the waker.
func (d *sqliteDriver) GetListener(*riverdriver.GetListenenerParams) riverdriver.Listener {
	return &sqliteListener{waker: d.waker}
}

type sqliteListener struct {
	waker *waker
	local chan riverdriver.Notification
}

var _ riverdriver.Listener = (*sqliteListener)(nil)

// Connect makes the listener hear.
func (l *sqliteListener) Connect(context.Context) error {
	l.local = l.waker.subscribe()
	return nil
}

// Close makes the listener deaf.
func (l *sqliteListener) Close(context.Context) error {
	l.waker.unsubscribe(l.local)
	return nil
}

// Listen does nothing: there is one topic, and River drops what it did not ask for.
func (l *sqliteListener) Listen(context.Context, string) error { return nil }

// Unlisten does nothing: see Listen.
func (l *sqliteListener) Unlisten(context.Context, string) error { return nil }

// Ping does nothing: a channel is always there.
func (l *sqliteListener) Ping(context.Context) error { return nil }

// Schema is empty: SQLite has none.
func (l *sqliteListener) Schema() string { return "" }

// SetAfterConnectExec is for River's own tests.
func (l *sqliteListener) SetAfterConnectExec(string) {}

// WaitForNotification returns the next message.
func (l *sqliteListener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	select {
	case n := <-l.local:
		return &n, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
