// Package migrations holds every change that the database schema ever had, and
// brings a database up to the newest.
//
// A change is one numbered file, 0007_what.sql, for both databases. It is a
// text/template: {{if .SQLite}}…{{else}}…{{end}} stands where they differ, and
// .Postgres is the opposite of .SQLite. The file runs in one transaction, as
// many statements as it needs. A file that was released never changes; there
// is no way down.
package migrations

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/paidan/paidan/internal/jobs"
	"github.com/paidan/paidan/internal/sqldb"
)

//go:embed *.sql
var files embed.FS

// ErrNewerSchema says that a newer Paidan has already migrated this database.
// An older one must not write to it.
var ErrNewerSchema = errors.New("the database was migrated by a newer version of Paidan: run that version, or restore a backup made before it")

// Up brings the schema to the newest version: River's tables for jobs, then
// ours. Any number of processes may call it at the same moment: one works, the
// others wait for it and find nothing to do.
func Up(ctx context.Context, db *sqldb.DB) error {
	return up(ctx, db, files)
}

// Version returns the version of the database (0 when it is empty) and the one
// this program wants. It changes nothing.
func Version(ctx context.Context, db *sqldb.DB) (have, want int64, err error) {
	return version(ctx, db, files)
}

// file is one change.
type file struct {
	version int64
	name    string
}

// list returns the changes in their order.
func list(fsys fs.FS) ([]file, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, err
	}
	var all []file
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil || v <= 0 {
			return nil, fmt.Errorf("migration %s: want a name like 0007_what.sql", name)
		}
		all = append(all, file{v, name})
	}
	slices.SortFunc(all, func(a, b file) int { return int(a.version - b.version) })
	for i := 1; i < len(all); i++ {
		if all[i-1].version == all[i].version {
			return nil, fmt.Errorf("migrations %s and %s have the same number", all[i-1].name, all[i].name)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no migrations")
	}
	return all, nil
}

func version(ctx context.Context, db *sqldb.DB, fsys fs.FS) (have, want int64, err error) {
	all, err := list(fsys)
	if err != nil {
		return 0, 0, err
	}
	want = all[len(all)-1].version
	have, err = newest(ctx, db, "goose_db_version", `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`)
	return have, want, err
}

// newest runs a query for the newest version, or returns 0 when its table is missing.
func newest(ctx context.Context, db *sqldb.DB, table, query string) (v int64, err error) {
	exists := `SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = ?`
	if db.SQLite() {
		exists = `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?`
	}
	var tables int
	if err := db.Get(ctx, &tables, exists, table); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	if tables == 0 {
		return 0, nil
	}
	if err := db.Get(ctx, &v, query); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return v, nil
}

func up(ctx context.Context, db *sqldb.DB, fsys fs.FS) (err error) {
	release, err := lock(ctx, db)
	if err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	defer func() { err = errors.Join(err, release()) }()

	have, want, err := version(ctx, db, fsys)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("%w (schema version %d, known up to %d)", ErrNewerSchema, have, want)
	}
	// River first: once our version is the wanted one, nothing is missing.
	if err := upRiver(ctx, db); err != nil {
		return err
	}
	return upOurs(ctx, db, fsys)
}

func upRiver(ctx context.Context, db *sqldb.DB) error {
	// River tells every step at level info; a failed one comes back as an error.
	quiet := slog.New(slog.DiscardHandler)
	m, err := rivermigrate.New(jobs.Driver(db), &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return fmt.Errorf("migrate job tables: %w", err)
	}
	have, err := newest(ctx, db, "river_migration", `SELECT coalesce(max(version), 0) FROM river_migration`)
	if err != nil {
		return err
	}
	all := m.AllVersions()
	if known := int64(all[len(all)-1].Version); have > known {
		return fmt.Errorf("%w (job tables version %d, known up to %d)", ErrNewerSchema, have, known)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate job tables: %w", err)
	}
	return nil
}

func upOurs(ctx context.Context, db *sqldb.DB, fsys fs.FS) error {
	all, err := list(fsys)
	if err != nil {
		return err
	}
	dialect := goose.DialectPostgres
	if db.SQLite() {
		dialect = goose.DialectSQLite3
	}
	var changes []*goose.Migration
	for _, f := range all {
		text, err := render(fsys, f.name, db.SQLite())
		if err != nil {
			return err
		}
		run := func(ctx context.Context, tx *sql.Tx) error { return apply(ctx, tx, f.name, text, db.SQLite()) }
		changes = append(changes, goose.NewGoMigration(f.version, &goose.GoFunc{RunTx: run}, nil))
	}
	p, err := goose.NewProvider(dialect, db.Writer(), nil,
		goose.WithGoMigrations(changes...), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// render returns the text of a file for one of the databases.
func render(fsys fs.FS, name string, sqlite bool) (string, error) {
	raw, err := fs.ReadFile(fsys, name)
	if err != nil {
		return "", err
	}
	t, err := template.New(name).Option("missingkey=error").Parse(string(raw))
	if err != nil {
		return "", fmt.Errorf("migration %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, struct{ SQLite, Postgres bool }{sqlite, !sqlite}); err != nil {
		return "", fmt.Errorf("migration %w", err)
	}
	return out.String(), nil
}

// apply runs a whole file in one call. Both drivers split statements as their
// database does, so that a trigger's body or a $$ quote needs no special mark.
func apply(ctx context.Context, tx *sql.Tx, name, text string, sqlite bool) error {
	if !sqlite {
		// A change of a big table takes longer than any request may.
		if _, err := tx.ExecContext(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, text)
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s%s: %w", name, line(text, err), err)
}

// line says where PostgreSQL stumbled: ":12". SQLite quotes the place instead.
func line(text string, err error) string {
	var e *pq.Error
	if !errors.As(err, &e) {
		return ""
	}
	at, convErr := strconv.Atoi(e.Position) // counts characters, from 1
	runes := []rune(text)
	if convErr != nil || at < 1 || at > len(runes) {
		return ""
	}
	return fmt.Sprintf(":%d", 1+strings.Count(string(runes[:at-1]), "\n"))
}

// lockKey names the migration lock among PostgreSQL's advisory locks: "paidan" in ASCII.
const lockKey = 0x70616964616e

// inProcess is the lock on SQLite, whose file only one process can open.
var inProcess = make(chan struct{}, 1)

// lock waits until nobody else migrates.
func lock(ctx context.Context, db *sqldb.DB) (release func() error, err error) {
	if db.SQLite() {
		select {
		case inProcess <- struct{}{}:
			return func() error { <-inProcess; return nil }, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	conn, err := db.Writer().Conn(ctx)
	if err != nil {
		return nil, err
	}
	// Asked again and again, because a statement that waits holds a snapshot,
	// and CREATE INDEX CONCURRENTLY waits for all snapshots.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var got bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, int64(lockKey)).Scan(&got); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		if got {
			return func() error { return unlock(context.WithoutCancel(ctx), conn) }, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), conn.Close())
		}
	}
}

func unlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, int64(lockKey))
	return errors.Join(err, conn.Close())
}
