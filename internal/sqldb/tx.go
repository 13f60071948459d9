package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Tx is a write transaction under way. It belongs to the function that got it
// and ends with it.
//
// After a statement has failed, every later one of the same Tx fails too and
// the transaction cannot commit. PostgreSQL is so by nature; SQLite is made so
// that what works on one works on the other. No row is not a failure.
type Tx struct {
	tx       *sqlx.Tx
	sqlite   bool
	failed   error
	onCommit []func()
}

// Tx runs fn in a write transaction, commits it, and returns once the commit is
// durable. When fn returns an error or panics, nothing is changed; the panic
// goes on in the caller.
//
// fn must use only tx, never the DB it came from, and do no network or other
// slow work: on SQLite there is one writer, and all acts that wait at a moment
// are committed together (see group.go). fn must also be fit to run again from
// its start: on PostgreSQL a transaction that met a deadlock or the like (see
// IsBusy) is tried up to five more times.
//
// An error that wraps ErrUnknown means that nobody knows whether the commit
// took place.
func (db *DB) Tx(ctx context.Context, fn func(tx *Tx) error) error {
	if db.sqlite {
		return db.groupTx(ctx, fn)
	}
	return db.retryTx(ctx, fn)
}

// Get scans the first row of a query into dest. No row is an error for which
// NotFound is true.
func (tx *Tx) Get(ctx context.Context, dest any, query string, args ...any) error {
	ctx, err := tx.enter(ctx)
	if err != nil {
		return err
	}
	return tx.leave(tx.tx.GetContext(ctx, dest, tx.tx.Rebind(query), args...))
}

// Select scans all rows of a query into dest, a pointer to a slice.
func (tx *Tx) Select(ctx context.Context, dest any, query string, args ...any) error {
	ctx, err := tx.enter(ctx)
	if err != nil {
		return err
	}
	return tx.leave(tx.tx.SelectContext(ctx, dest, tx.tx.Rebind(query), args...))
}

// Exec runs a statement and returns how many rows it changed.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	ctx, err = tx.enter(ctx)
	if err != nil {
		return 0, err
	}
	res, err := tx.tx.ExecContext(ctx, tx.tx.Rebind(query), args...)
	if err != nil {
		return 0, tx.leave(err)
	}
	rows, err = res.RowsAffected()
	return rows, tx.leave(err)
}

// Raw is the transaction for libraries that bring their own SQL. It must be
// neither committed nor rolled back. On SQLite pass the library a context that
// is never cancelled (see Context): an interrupted statement undoes the acts of
// others too, and all of them fail.
func (tx *Tx) Raw() *sql.Tx { return tx.tx.Tx }

// Context returns ctx as it may be given to Raw's statements: on SQLite without
// its cancellation, on PostgreSQL as it is.
func (tx *Tx) Context(ctx context.Context) context.Context {
	if tx.sqlite {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// SQLite reports whether this is SQLite; if not, it is PostgreSQL.
func (tx *Tx) SQLite() bool { return tx.sqlite }

// ForUpdate ends a SELECT whose row is to be changed: " FOR UPDATE" on
// PostgreSQL, nothing on SQLite, whose one writer has the file to itself.
func (tx *Tx) ForUpdate() string {
	if tx.sqlite {
		return ""
	}
	return " FOR UPDATE"
}

// OnCommit has f called after the commit is durable and before DB.Tx returns,
// in the order of registration; never after a rollback or an unknown outcome.
// f is a nudge: a crash may come before it, so nothing that must happen belongs there.
func (tx *Tx) OnCommit(f func()) { tx.onCommit = append(tx.onCommit, f) }

func (tx *Tx) enter(ctx context.Context) (context.Context, error) {
	if tx.failed != nil {
		return nil, fmt.Errorf("transaction has failed before: %w", tx.failed)
	}
	if err := ctx.Err(); err != nil {
		return nil, tx.leave(err)
	}
	return tx.Context(ctx), nil
}

func (tx *Tx) leave(err error) error {
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		tx.failed = err
	}
	return err
}

// run calls fn and tells whether its work may be committed. completed stays
// false when fn left by a panic or by runtime.Goexit.
func (tx *Tx) run(fn func(*Tx) error, completed *bool) error {
	err := fn(tx)
	*completed = true
	if err == nil && tx.failed != nil {
		return fmt.Errorf("transaction has failed: %w", tx.failed)
	}
	return err
}

func (tx *Tx) committed() {
	for _, f := range tx.onCommit {
		f()
	}
}
