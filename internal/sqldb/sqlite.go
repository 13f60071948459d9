package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
)

const sqliteReaders = 8

// ErrLocked says that another process has the SQLite file open.
var ErrLocked = errors.New("the SQLite file is in use by another process")

func (db *DB) openSQLite(ctx context.Context, path string) error {
	if path == "" {
		return errors.New("sqlite:// needs the path of a file")
	}
	path, err := createFile(path)
	if err != nil {
		return err
	}
	if db.lock, err = lockFile(path + ".lock"); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := db.openPools(ctx, path); err != nil {
		return errors.Join(err, db.lock.Close())
	}
	db.acts = make(chan *act, maxBatch)
	db.stopped = make(chan struct{})
	go db.write()
	return nil
}

func (db *DB) openPools(ctx context.Context, path string) error {
	// _dqs=0: a misspelt column in double quotes is an error, not a string.
	// FULL: an acknowledged commit survives the loss of power, not only of the process.
	// The writer comes first: it puts the file into WAL mode, which readers may not.
	var err error
	writer := "_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	if db.writer, err = sqlitePool(ctx, path, writer, 1); err != nil {
		return err
	}
	if db.reader, err = sqlitePool(ctx, path, "_pragma=query_only(1)", sqliteReaders); err != nil {
		return errors.Join(err, db.writer.Close())
	}
	return nil
}

func sqlitePool(ctx context.Context, path, settings string, size int) (*sqlx.DB, error) {
	path = filepath.ToSlash(path)
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: "/" + strings.TrimPrefix(path, "/")}).String()
	c, err := sqlite.NewConnector(name + "?_pragma=busy_timeout(5000)&" + settings + "&_dqs=0&_time_format=sqlite&_timezone=UTC")
	if err != nil {
		return nil, err
	}
	pool := sqlx.NewDb(sql.OpenDB(traced(ctx, statements{c, &atomic.Bool{}})), "sqlite")
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	// A query, because opening alone does not read the file.
	var tables int
	if err := pool.GetContext(ctx, &tables, `SELECT count(*) FROM sqlite_master`); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), pool.Close())
	}
	return pool, nil
}

// createFile makes sure that the file and its folder are there, readable by
// nobody else, and returns the real path: two names of one file must meet at
// the same lock.
func createFile(path string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	// SQLite gives its side files (-wal, -shm) the mode of the main file.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}
