package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
)

// postgresDriver gives River's database/sql driver the LISTEN connection that it
// lacks, so that River hears of new jobs at once and need not poll for them.
type postgresDriver struct {
	*riverdatabasesql.Driver
	waker *waker
	url   string
}

var _ riverdriver.Driver[*sql.Tx] = (*postgresDriver)(nil)

// SupportsListener is true: River need not look for jobs in short intervals.
func (d *postgresDriver) SupportsListener() bool { return true }

// SupportsListenNotify is false: who is told of new jobs, and how, is Client's to say.
func (d *postgresDriver) SupportsListenNotify() bool { return false }

// GetListener returns a listener that hears other processes, and the waker.
func (d *postgresDriver) GetListener(p *riverdriver.GetListenenerParams) riverdriver.Listener {
	return &postgresListener{waker: d.waker, url: d.url, schema: p.Schema}
}

// SQLFragmentColumnContainsAll and SQLFragmentColumnContainsAny are what River's
// driver interface has gained since the driver's own version (v0.41), as its
// later versions write them.
func (d *postgresDriver) SQLFragmentColumnContainsAll(column, namedArg string, values []string) (string, any, error) {
	return column + " @> @" + namedArg, pq.Array(values), nil
}

// SQLFragmentColumnContainsAny: see SQLFragmentColumnContainsAll.
func (d *postgresDriver) SQLFragmentColumnContainsAny(column, namedArg string, values []string) (string, any, error) {
	return column + " && @" + namedArg, pq.Array(values), nil
}

// postgresListener is one LISTEN connection. River makes a new one after an error.
type postgresListener struct {
	waker  *waker
	url    string
	schema string
	prefix string // of every channel: the schema that River's triggers name

	mu   sync.Mutex // guards conn, which Close takes away while others wait on it
	conn *pq.Listener

	down  chan error // the connection was lost
	local chan riverdriver.Notification
}

var _ riverdriver.Listener = (*postgresListener)(nil)

var errNotConnected = errors.New("listener is not connected")

// Connect opens the connection and waits until it stands.
func (l *postgresListener) Connect(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		return errors.New("listener is connected already")
	}
	if err := l.findSchema(ctx); err != nil {
		return fmt.Errorf("connect listener: %w", err)
	}
	up, down := make(chan error, 1), make(chan error, 1)
	conn := pq.NewListener(l.url, 100*time.Millisecond, time.Minute, func(event pq.ListenerEventType, err error) {
		c := down
		switch event {
		case pq.ListenerEventConnected:
			c, err = up, nil
		case pq.ListenerEventConnectionAttemptFailed:
			c = up
		case pq.ListenerEventReconnected:
			return
		}
		select {
		case c <- err:
		default: // the first one is enough
		}
	})
	var err error
	select {
	case err = <-up:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("connect listener: %w", err), conn.Close())
	}
	l.conn, l.down, l.local = conn, down, l.waker.subscribe()
	return nil
}

// findSchema asks once which schema the tables are in, when River was not told.
func (l *postgresListener) findSchema(ctx context.Context) error {
	if l.schema == "" {
		db, err := sql.Open("postgres", l.url)
		if err != nil {
			return err
		}
		err = db.QueryRowContext(ctx, `SELECT current_schema()`).Scan(&l.schema)
		if err = errors.Join(err, db.Close()); err != nil {
			return err
		}
	}
	l.prefix = l.schema + "."
	return nil
}

func (l *postgresListener) get() (*pq.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil, errNotConnected
	}
	return l.conn, nil
}

// Close ends the connection.
func (l *postgresListener) Close(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil
	}
	l.waker.unsubscribe(l.local)
	err := l.conn.Close()
	l.conn = nil
	return err
}

// Listen starts hearing a topic. River may ask twice when a reconnect races a subscription.
func (l *postgresListener) Listen(_ context.Context, topic string) error {
	conn, err := l.get()
	if err != nil {
		return err
	}
	if err := conn.Listen(l.prefix + topic); !errors.Is(err, pq.ErrChannelAlreadyOpen) {
		return err
	}
	return nil
}

// Unlisten stops hearing a topic.
func (l *postgresListener) Unlisten(_ context.Context, topic string) error {
	conn, err := l.get()
	if err != nil {
		return err
	}
	if err := conn.Unlisten(l.prefix + topic); !errors.Is(err, pq.ErrChannelNotOpen) {
		return err
	}
	return nil
}

// Ping checks the connection.
func (l *postgresListener) Ping(context.Context) error {
	conn, err := l.get()
	if err != nil {
		return err
	}
	return conn.Ping()
}

// Schema is the schema that the tables are in.
func (l *postgresListener) Schema() string { return l.schema }

// SetAfterConnectExec is for River's own tests of its pgx listener.
func (l *postgresListener) SetAfterConnectExec(string) {}

// WaitForNotification returns the next message, or an error when the connection
// is lost: River then makes a new one, and looks for jobs it may have missed.
func (l *postgresListener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	conn, err := l.get()
	if err != nil {
		return nil, err
	}
	for {
		select {
		case n, open := <-conn.Notify:
			if !open {
				return nil, errNotConnected
			}
			if n == nil { // pq reconnected by itself; down tells it too
				continue
			}
			return &riverdriver.Notification{Topic: strings.TrimPrefix(n.Channel, l.prefix), Payload: n.Extra}, nil
		case n := <-l.local:
			return &n, nil
		case err := <-l.down:
			return nil, fmt.Errorf("listener connection was lost: %w", err)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
