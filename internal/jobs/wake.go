package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"sync"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// sqliteDriver gives River on SQLite an in-process twin of LISTEN and NOTIFY:
// one process alone has the file open, so a Go channel does.
type sqliteDriver struct {
	*riversqlite.Driver

	mu        sync.Mutex // guards listeners
	listeners map[*sqliteListener]struct{}
}

var _ riverdriver.Driver[*sql.Tx] = (*sqliteDriver)(nil)

func (d *sqliteDriver) SupportsListener() bool { return true }

func (d *sqliteDriver) GetListener(*riverdriver.GetListenenerParams) riverdriver.Listener {
	return &sqliteListener{driver: d, messages: make(chan riverdriver.Notification, 256)}
}

// wake tells River's producers that jobs are in the queue. When a listener is
// that far behind, it has more than enough messages that say so already.
func (d *sqliteDriver) wake(queue string) {
	payload, err := json.Marshal(struct {
		Queue string `json:"queue"`
	}{queue})
	if err != nil {
		return // a struct of a string always marshals
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for l := range d.listeners {
		select {
		case l.messages <- riverdriver.Notification{Topic: "river_insert", Payload: string(payload)}:
		default:
		}
	}
}

type sqliteListener struct {
	driver   *sqliteDriver
	messages chan riverdriver.Notification
}

var _ riverdriver.Listener = (*sqliteListener)(nil)

// Connect makes the listener hear.
func (l *sqliteListener) Connect(context.Context) error {
	l.driver.mu.Lock()
	defer l.driver.mu.Unlock()
	if _, connected := l.driver.listeners[l]; connected {
		return errors.New("listener is connected already")
	}
	if l.driver.listeners == nil {
		l.driver.listeners = map[*sqliteListener]struct{}{}
	}
	l.driver.listeners[l] = struct{}{}
	return nil
}

// Close makes the listener deaf.
func (l *sqliteListener) Close(context.Context) error {
	l.driver.mu.Lock()
	defer l.driver.mu.Unlock()
	delete(l.driver.listeners, l)
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
	case n := <-l.messages:
		return &n, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
