package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Connections a process holds at most. Their sum times the number of replicas
// must stay below the server's max_connections (100 unless set).
const (
	postgresWriters = 16
	postgresReaders = 8
)

const txRetries = 5

func (db *DB) openPostgres(ctx context.Context) error {
	var err error
	if db.writer, err = postgresPool(ctx, db.url, postgresWriters, nil); err != nil {
		return err
	}
	// Reads go through a pool that cannot write: database/sql silently repeats a
	// statement outside of a transaction when its connection breaks, and a
	// repeated write may be done twice.
	readOnly := map[string]string{"default_transaction_read_only": "on"}
	if db.reader, err = postgresPool(ctx, db.url, postgresReaders, readOnly); err != nil {
		return errors.Join(err, db.writer.Close())
	}
	if err := errors.Join(db.writer.PingContext(ctx), db.reader.PingContext(ctx)); err != nil {
		return errors.Join(err, db.reader.Close(), db.writer.Close())
	}
	return nil
}

// postgresPool adds our settings to the address, where it does not set them itself.
func postgresPool(ctx context.Context, address string, size int, runtime map[string]string) (*sqlx.DB, error) {
	cfg, err := pq.NewConfig(address)
	if err != nil {
		// The parser's message may quote a part of the password.
		return nil, errors.New("the PostgreSQL address cannot be parsed; percent-encode special characters of user and password, or use the form host=… user=… password='…' dbname=…")
	}
	cfg.BinaryParameters = true // one round trip for a statement with arguments, not two
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	if cfg.FallbackApplicationName == "" {
		cfg.FallbackApplicationName = "paidan"
	}
	if cfg.Runtime == nil {
		cfg.Runtime = map[string]string{}
	}
	for key, value := range map[string]string{
		"timezone":                            "UTC",
		"statement_timeout":                   "15s",
		"lock_timeout":                        "5s",
		"idle_in_transaction_session_timeout": "60s",
	} {
		if _, set := cfg.Runtime[key]; !set {
			cfg.Runtime[key] = value
		}
	}
	for key, value := range runtime {
		cfg.Runtime[key] = value
	}
	c, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, err
	}
	pool := sqlx.NewDb(sql.OpenDB(traced(ctx, statements{c, &atomic.Bool{}})), "postgres")
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return pool, nil
}

func (db *DB) retryTx(ctx context.Context, fn func(tx *Tx) error) error {
	for try := 0; ; try++ {
		tx, err := db.onceTx(ctx, fn)
		if err == nil {
			tx.committed()
			return nil
		}
		if !IsBusy(err) || try == txRetries {
			return err
		}
		// 5 to 10 ms, then twice as long each time: who collided must not meet again.
		pause := time.NewTimer((5*time.Millisecond + rand.N(5*time.Millisecond)) << try)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

func (db *DB) onceTx(ctx context.Context, fn func(tx *Tx) error) (tx *Tx, err error) {
	select {
	case <-db.closed:
		return nil, ErrClosed
	default:
	}
	// Waiting for a connection and each statement obey ctx. The transaction as such
	// does not, so that a commit is never cut short by its caller, which would
	// leave its outcome unknown.
	beginCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	detach := context.AfterFunc(ctx, cancel)
	sqlTx, err := db.writer.BeginTxx(beginCtx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	if !detach() {
		_ = sqlTx.Rollback() // ctx has ended, and the transaction with it
		return nil, ctx.Err()
	}
	tx = &Tx{tx: sqlTx}
	completed := false
	defer func() {
		if !completed {
			_ = sqlTx.Rollback() // a panic goes on; the server rolls back a broken connection by itself
		}
	}()
	err = tx.run(fn, &completed)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = sqlTx.Rollback() // the first error tells more, and nothing was committed either way
		return nil, err
	}
	return tx, postgresCommit(sqlTx)
}

func postgresCommit(tx *sqlx.Tx) error {
	err := tx.Commit()
	if err == nil {
		return nil
	}
	// An answer of the server to COMMIT other than the end of the session means
	// that it rolled back. No answer means that nobody knows.
	var e *pq.Error
	if errors.As(err, &e) && e.Code.Class() != "57" && e.Code.Class() != "08" || errors.Is(err, pq.ErrInFailedTransaction) {
		return fmt.Errorf("commit: %w", err)
	}
	return fmt.Errorf("commit: %w: %w", ErrUnknown, err)
}
