package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
)

// Statement is one statement as it goes to the database.
type Statement struct {
	SQL  string // with the database's own placeholders
	Args []driver.NamedValue
}

type tracerKey struct{}

// Traced has every database that is opened with the returned context tell f of
// each statement before it runs, the ones of libraries that bring their own SQL
// included. It is for counting and repeating what an act does, in tests and
// benchmarks; without it nothing stands between us and the driver. f is called
// from many goroutines.
func Traced(ctx context.Context, f func(Statement)) context.Context {
	return context.WithValue(ctx, tracerKey{}, f)
}

// traced puts the context's tracer, if there is one, in front of a connector.
func traced(ctx context.Context, c driver.Connector) driver.Connector {
	if f, ok := ctx.Value(tracerKey{}).(func(Statement)); ok {
		return tracer{c, f}
	}
	return c
}

type tracer struct {
	driver.Connector
	tell func(Statement)
}

// Connect opens a connection that tells.
func (t tracer) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := t.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := c.(fullConn)
	if !ok {
		return nil, errors.Join(errors.New("database driver lacks a context-aware method"), c.Close())
	}
	told := tracedConn{full, t.tell}
	if checker, ok := c.(driver.NamedValueChecker); ok {
		return &tracedCheckingConn{told, checker}, nil
	}
	return &told, nil
}

type tracedConn struct {
	fullConn
	tell func(Statement)
}

// ExecContext tells of the statement and runs it.
func (c *tracedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.tell(Statement{query, args})
	return c.fullConn.ExecContext(ctx, query, args)
}

// QueryContext tells of the statement and runs it.
func (c *tracedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.tell(Statement{query, args})
	return c.fullConn.QueryContext(ctx, query, args)
}

// tracedCheckingConn is of a driver that converts arguments itself.
type tracedCheckingConn struct {
	tracedConn
	driver.NamedValueChecker
}
