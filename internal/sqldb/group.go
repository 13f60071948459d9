package sqldb

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Group commit. SQLite has one writer, and a durable commit costs it an fsync,
// which takes longer than most acts. So acts that wait at the same moment run
// one after another in one transaction, each inside a savepoint of its own, and
// share one commit. Each caller is answered after that commit.
//
// One goroutine, write, gathers them. It never waits for more acts than are
// there: an act alone is committed alone, at once. The function of an act runs
// in its caller's goroutine, while the writer waits for it, so that a panic or
// a runtime.Goexit happens where it belongs.

// maxBatch bounds how many acts share a commit, and so how long the first of
// them waits for the last.
const maxBatch = 128

// act is one call of Tx on its way through the writer.
type act struct {
	state   atomic.Int32
	turn    chan *sqlx.Tx // the writer: your turn
	ran     chan error    // the caller: fn has ended like this
	outcome chan error    // the writer: committed, or not for this reason
}

// The states of an act.
const (
	actWaiting int32 = iota
	actBegun         // the writer took it: the caller must await its turn
	actLeft          // its caller gave up before: the writer passes over it
)

// errAbandoned ends an act whose function panicked or called runtime.Goexit.
var errAbandoned = errors.New("act was abandoned")

func (db *DB) groupTx(ctx context.Context, fn func(tx *Tx) error) error {
	a := &act{turn: make(chan *sqlx.Tx), ran: make(chan error), outcome: make(chan error, 1)}
	select {
	case db.acts <- a:
	case <-ctx.Done():
		return ctx.Err()
	case <-db.closed:
		return ErrClosed
	}
	leave := ctx.Done()
	var sqlTx *sqlx.Tx
	for sqlTx == nil {
		select {
		case sqlTx = <-a.turn:
		case err := <-a.outcome: // the transaction was lost before the act's turn
			return err
		case <-leave:
			if a.state.CompareAndSwap(actWaiting, actLeft) {
				return ctx.Err()
			}
			leave = nil // too late: the writer has begun it
		case <-db.stopped: // nobody is there any more to begin it
			return ErrClosed
		}
	}
	tx := &Tx{tx: sqlTx, sqlite: true}
	a.take(ctx, tx, fn)
	if err := <-a.outcome; err != nil {
		return err
	}
	tx.committed()
	return nil
}

// take runs fn and tells the writer how it ended, whatever way that was.
func (a *act) take(ctx context.Context, tx *Tx, fn func(tx *Tx) error) {
	err, completed := error(nil), false
	defer func() {
		if !completed {
			err = errAbandoned
		}
		a.ran <- err
		if !completed {
			<-a.outcome // the panic goes on once its work is undone
		}
	}()
	err = tx.run(fn, &completed)
	if err == nil {
		err = ctx.Err()
	}
}

// write is the writer: it gathers what waits and commits it, until Close.
func (db *DB) write() {
	defer close(db.stopped)
	for {
		select {
		case a := <-db.acts:
			db.commitBatch(db.gather(a))
		case <-db.closed:
			return
		}
	}
}

// gather returns first and the acts that wait beside it.
func (db *DB) gather(first *act) []*act {
	batch := []*act{first}
	for len(batch) < maxBatch {
		select {
		case a := <-db.acts:
			batch = append(batch, a)
		default:
			return batch
		}
	}
	return batch
}

// commitBatch runs the acts in one transaction and answers each of them. The
// connection is taken and given back for every batch: River's own statements
// queue for the same one.
func (db *DB) commitBatch(batch []*act) {
	ctx := context.Background()
	conn, err := db.writer.Connx(ctx)
	if err != nil {
		answer(batch, fmt.Errorf("begin transaction: %w", err))
		return
	}
	defer conn.Close() // gives it back to the pool; nothing depends on its result
	tx, err := conn.BeginTxx(ctx, nil)
	if err != nil {
		answer(batch, fmt.Errorf("begin transaction: %w", err))
		return
	}
	done, err := runBatch(ctx, tx, batch)
	switch {
	case err != nil:
		_ = tx.Rollback() // fails when SQLite has rolled back by itself, which comes to the same
	case len(done) == 0:
		err = tx.Rollback()
	default:
		err = commitSQLite(ctx, conn, tx)
	}
	answer(done, err)
}

// runBatch gives each act its turn and returns those that wait for the commit;
// the others are answered. An error means that the transaction is lost for all.
func runBatch(ctx context.Context, tx *sqlx.Tx, batch []*act) (done []*act, err error) {
	for i, a := range batch {
		if !a.state.CompareAndSwap(actWaiting, actBegun) {
			continue
		}
		refused, lost := runAct(ctx, tx, a)
		if lost != nil {
			lost = fmt.Errorf("transaction was lost: %w", errors.Join(refused, lost))
			return append(append(done, a), batch[i+1:]...), lost
		}
		if refused != nil {
			a.outcome <- refused
			continue
		}
		done = append(done, a)
	}
	return done, nil
}

// runAct runs one act inside a savepoint. When the act is refused, its own work
// is undone and its neighbours' is kept. SQLite may roll the whole transaction
// back on a full disk, an I/O error or too little memory; then the savepoint is
// gone, and the transaction is lost.
func runAct(ctx context.Context, tx *sqlx.Tx, a *act) (refused, lost error) {
	if _, lost = tx.ExecContext(ctx, `SAVEPOINT act`); lost != nil {
		return nil, lost
	}
	a.turn <- tx
	refused = <-a.ran
	if refused != nil {
		if _, lost = tx.ExecContext(ctx, `ROLLBACK TO act`); lost != nil {
			return refused, lost
		}
	}
	_, lost = tx.ExecContext(ctx, `RELEASE act`)
	return refused, lost
}

// answer tells all acts the same. Acts whose callers have left are not there to hear it.
func answer(acts []*act, err error) {
	for _, a := range acts {
		a.outcome <- err
	}
}

func commitSQLite(ctx context.Context, conn *sqlx.Conn, tx *sqlx.Tx) error {
	err := tx.Commit()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("commit: %w", err)
	if sqliteCode(err)&0xff == sqlite3.SQLITE_IOERR {
		// The commit may be in the log without being known to be on the disk.
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	// SQLite keeps the transaction open after most failed commits, and the
	// connection goes back to the pool. When none is open, this fails, rightly.
	var e *sqlite.Error
	if _, rollback := conn.ExecContext(ctx, `ROLLBACK`); rollback != nil && !errors.As(rollback, &e) {
		err = errors.Join(err, rollback)
	}
	return err
}
