package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"sync/atomic"
)

// maxStatements bounds what a connection remembers. Our own statements are a
// few hundred constants; lists of varying length (IN (?, ?, …)) could be endless.
const maxStatements = 400

// statements is a connector whose connections remember the statements they have
// prepared, by text, so that the same text is not parsed and planned again: that
// was a quarter of the time of a group of small acts on SQLite, and a third of a
// click on PostgreSQL. Both databases prepare a statement anew when the schema
// has changed. database/sql's own Stmt cannot do this for a pool of one
// connection, which it would ask for a second one in the middle of a transaction.
type statements struct {
	driver.Connector
	off *atomic.Bool // set when the server turns out to forget statements
}

// Connect opens a connection that remembers.
func (s statements) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := c.(fullConn)
	if !ok {
		return nil, errors.Join(errors.New("database driver lacks a context-aware method"), c.Close())
	}
	return &statementConn{fullConn: full, off: s.off, idle: map[string]fullStmt{}}, nil
}

// forgotten reports whether the server does not know what we prepared: a
// connection pooler in between has given us another of its connections. Then
// nothing is remembered any more, and the act is done again.
func forgotten(err error) bool {
	code := postgresCode(err)
	return code == "26000" || code == "42P05" // no such prepared statement; it exists already
}

// fullConn is what the driver's connections are.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// fullStmt is what the driver's statements are.
type fullStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// statementConn is used by one goroutine at a time, as database/sql promises.
type statementConn struct {
	fullConn
	off  *atomic.Bool
	idle map[string]fullStmt // prepared, and not in use by open rows
}

// ExecContext runs a remembered statement. A text without arguments may hold
// several statements, as those of migrations do, and goes to the driver as it is.
func (c *statementConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 || c.off.Load() {
		return c.fullConn.ExecContext(ctx, query, args)
	}
	st, err := c.take(ctx, query)
	if err != nil {
		return nil, c.failed(err)
	}
	res, err := st.ExecContext(ctx, args)
	if err != nil {
		_ = st.Close() // the first error tells more
		return nil, c.failed(err)
	}
	return res, c.put(query, st)
}

// QueryContext queries by a remembered statement, which is in use until its
// rows are closed: the same text may be queried again meanwhile.
func (c *statementConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) == 0 || c.off.Load() {
		return c.fullConn.QueryContext(ctx, query, args)
	}
	st, err := c.take(ctx, query)
	if err != nil {
		return nil, c.failed(err)
	}
	rows, err := st.QueryContext(ctx, args)
	if err != nil {
		_ = st.Close() // the first error tells more
		return nil, c.failed(err)
	}
	return &statementRows{Rows: rows, conn: c, query: query, st: st}, nil
}

// failed stops remembering where the server forgets.
func (c *statementConn) failed(err error) error {
	if forgotten(err) {
		c.off.Store(true)
	}
	return err
}

func (c *statementConn) take(ctx context.Context, query string) (fullStmt, error) {
	if st, ok := c.idle[query]; ok {
		delete(c.idle, query)
		return st, nil
	}
	st, err := c.fullConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	full, ok := st.(fullStmt)
	if !ok {
		return nil, errors.Join(errors.New("database driver lacks a context-aware method"), st.Close())
	}
	return full, nil
}

// put keeps a statement that has worked for the next time.
func (c *statementConn) put(query string, st fullStmt) error {
	if _, twice := c.idle[query]; twice {
		return st.Close()
	}
	var err error
	if len(c.idle) >= maxStatements {
		for old, oldStmt := range c.idle { // any one
			delete(c.idle, old)
			err = oldStmt.Close()
			break
		}
	}
	c.idle[query] = st
	return err
}

// Close ends the statements and then the connection, in the order that SQLite wants.
func (c *statementConn) Close() error {
	var err error
	for _, st := range c.idle {
		err = errors.Join(err, st.Close())
	}
	c.idle = nil
	return errors.Join(err, c.fullConn.Close())
}

// statementRows gives its statement back when it is closed.
type statementRows struct {
	driver.Rows
	conn   *statementConn
	query  string
	st     fullStmt
	failed bool
}

// Next reads a row. A statement that failed is not kept.
func (r *statementRows) Next(dest []driver.Value) error {
	err := r.Rows.Next(dest)
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed = true
	}
	return err
}

// Close ends the rows.
func (r *statementRows) Close() error {
	err := r.Rows.Close()
	if r.st == nil {
		return err
	}
	st := r.st
	r.st = nil
	if err != nil || r.failed || r.conn.idle == nil {
		_ = st.Close() // the first error tells more
		return err
	}
	return r.conn.put(r.query, st)
}
