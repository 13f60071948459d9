//go:build unix

// Package pgtest starts a throwaway PostgreSQL server for tests and benchmarks
// from programs that are already on the machine: no container engine, no
// download, nothing left behind.
package pgtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	_ "github.com/lib/pq" // the database/sql driver "postgres"
)

// EnvURL names the environment variable with the address of a server to use
// instead of starting one. Its user must be allowed to create databases.
const EnvURL = "PAIDAN_TEST_DATABASE_URL"

// ErrNotFound says that there is no PostgreSQL on this machine, and what to do.
var ErrNotFound = errors.New("no PostgreSQL server program found: install one (apt-get install postgresql, brew install postgresql), or set " + EnvURL + " to the address of a server")

const stopAfter = 5 * time.Second

// Server is a running PostgreSQL.
type Server struct {
	admin     string // address of the maintenance database
	dir       string // all its files; empty when the server is not ours
	process   *os.Process
	ended     chan error // the server's end, once
	databases atomic.Int64
}

// Option changes how Start starts the server.
type Option func(*options)

type options struct{ durable bool }

// Durable keeps fsync on, for benchmarks of what production would do. Without
// it the server is faster and loses its data when the machine stops.
func Durable() Option { return func(o *options) { o.durable = true } }

// Start returns a running server of the newest PostgreSQL on this machine; call
// Stop at the end. When the process dies without calling Stop, Linux ends the
// server with it. Started by root, the server runs as user postgres, because it
// refuses to be root.
func Start(ctx context.Context, opts ...Option) (*Server, error) {
	if address := os.Getenv(EnvURL); address != "" {
		return &Server{admin: address}, nil
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	bin, err := binDir()
	if err != nil {
		return nil, err
	}
	cred, err := account()
	if err != nil {
		return nil, err
	}
	sweep()
	s := &Server{}
	// Not t.TempDir: a socket's path holds at most 107 bytes, and the other
	// account must be able to reach it.
	if s.dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return nil, err
	}
	if cred != nil {
		err = os.Chown(s.dir, int(cred.Uid), int(cred.Gid))
	}
	if err == nil {
		err = s.initialise(ctx, bin, cred)
	}
	if err == nil {
		err = s.run(ctx, bin, cred, o)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start throwaway PostgreSQL: %w", err), s.Stop())
	}
	return s, nil
}

// binDir finds the folder with initdb and postgres. Versioned folders come
// before PATH, where Debian keeps only wrappers of the client programs.
func binDir() (string, error) {
	var dirs []string
	for _, glob := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin", "/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, err := filepath.Glob(glob)
		if err != nil {
			return "", err
		}
		slices.SortFunc(found, func(a, b string) int { return lastNumber(b) - lastNumber(a) })
		dirs = append(dirs, found...)
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(p))
		}
	}
	for _, dir := range dirs {
		if executable(dir, "initdb") && executable(dir, "postgres") {
			return dir, nil
		}
	}
	return "", ErrNotFound
}

// lastNumber of a path is its version: 16 in /usr/lib/postgresql/16/bin.
func lastNumber(path string) int {
	n := 0
	for _, digits := range strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ = strconv.Atoi(digits) // too many digits: some number, in an order that matters little
	}
	return n
}

func executable(dir, name string) bool {
	st, err := os.Stat(filepath.Join(dir, name))
	return err == nil && !st.IsDir() && st.Mode()&0o111 != 0
}

// account is whom the server runs as: nil for ourselves.
func account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// initialise makes the empty cluster. initdb takes one to three seconds, a copy
// of its result a tenth of that, so the result is kept in the user's cache.
func (s *Server) initialise(ctx context.Context, bin string, cred *syscall.Credential) error {
	cached := cachePath(bin)
	if cached != "" {
		if _, err := os.Stat(filepath.Join(cached, "PG_VERSION")); err == nil {
			return s.copyCluster(ctx, cached, cred)
		}
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", s.data(), "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &out, &out
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out.Bytes())
	}
	if cached != "" {
		keep(ctx, s.data(), cached)
	}
	return nil
}

func (s *Server) copyCluster(ctx context.Context, from string, cred *syscall.Credential) error {
	if out, err := exec.CommandContext(ctx, "cp", "-a", from, s.data()).CombinedOutput(); err != nil {
		return fmt.Errorf("copy cluster: %w: %s", err, out)
	}
	if cred == nil {
		return nil
	}
	owner := fmt.Sprintf("%d:%d", cred.Uid, cred.Gid)
	if out, err := exec.CommandContext(ctx, "chown", "-R", owner, s.data()).CombinedOutput(); err != nil {
		return fmt.Errorf("copy cluster: %w: %s", err, out)
	}
	return nil
}

// keep puts the cluster into the cache. Test binaries start side by side: a
// rename makes it appear as a whole, and the first one wins. A cache that
// cannot be written costs time and nothing else.
func keep(ctx context.Context, data, cached string) {
	if os.MkdirAll(filepath.Dir(cached), 0o755) != nil {
		return
	}
	half := fmt.Sprintf("%s.%d", cached, os.Getpid())
	if exec.CommandContext(ctx, "cp", "-a", data, half).Run() != nil || os.Rename(half, cached) != nil {
		_ = os.RemoveAll(half)
	}
}

// cachePath is where the cluster of these programs is kept; empty is nowhere.
func cachePath(bin string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	st, err := os.Stat(filepath.Join(bin, "postgres"))
	if err != nil {
		return ""
	}
	h := fnv.New64a()
	fmt.Fprint(h, bin, st.Size(), st.ModTime().UnixNano())
	return filepath.Join(dir, "paidan-pgtest", strconv.FormatUint(h.Sum64(), 16))
}

// sweep removes what killed test runs left behind long ago.
func sweep() {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), "pgtest-*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		if st, err := os.Stat(dir); err == nil && time.Since(st.ModTime()) > 6*time.Hour {
			_ = os.RemoveAll(dir) // another user's: not ours to remove
		}
	}
}

func (s *Server) run(ctx context.Context, bin string, cred *syscall.Credential, o options) error {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=300",
		"-c", "timezone=UTC", "-c", "shared_buffers=128MB", "-c", "max_wal_size=1GB"}
	if !o.durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "autovacuum=off")
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.Env = append(os.Environ(), "HOME="+s.dir)
	if s.ended, err = startBound(cmd, cred); err != nil {
		return err
	}
	s.process = cmd.Process
	s.admin = "host=" + s.dir + " user=postgres dbname=postgres sslmode=disable"
	if err := s.await(ctx); err != nil {
		text, readErr := os.ReadFile(log.Name())
		return errors.Join(fmt.Errorf("%w\n%s", err, text), readErr)
	}
	return nil
}

// await returns once the server answers.
func (s *Server) await(ctx context.Context) error {
	db, err := sql.Open("postgres", s.admin)
	if err != nil {
		return err
	}
	defer db.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if db.PingContext(ctx) == nil {
			return nil
		}
		select {
		case err := <-s.ended:
			s.process = nil
			return fmt.Errorf("server ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// DB creates a database, empty or a copy of the database template, and returns
// its address. Nobody may be connected to template meanwhile.
func (s *Server) DB(ctx context.Context, template string) (dsn string, err error) {
	// The time too: a server that is not ours may keep databases of an older process with our id.
	name := fmt.Sprintf("paidan_test_%d_%d_%d", time.Now().UnixMicro(), os.Getpid(), s.databases.Add(1))
	query := `CREATE DATABASE "` + name + `"`
	if template != "" {
		query += ` TEMPLATE "` + template + `"`
	}
	if err := s.exec(ctx, query); err != nil {
		return "", fmt.Errorf("create test database: %w", err)
	}
	return s.address(name)
}

// Drop removes the database at that address, together with its connections.
func (s *Server) Drop(ctx context.Context, dsn string) error {
	return s.exec(ctx, `DROP DATABASE IF EXISTS "`+Name(dsn)+`" WITH (FORCE)`)
}

// Name is the name of the database at an address that DB returned, as DB takes
// it for a template.
func Name(dsn string) string {
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		return strings.TrimPrefix(u.Path, "/")
	}
	_, name, _ := strings.Cut(dsn[strings.LastIndex(dsn, "dbname="):], "=")
	return name
}

func (s *Server) exec(ctx context.Context, query string) error {
	db, err := sql.Open("postgres", s.admin)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, query)
	return errors.Join(err, db.Close())
}

func (s *Server) address(name string) (string, error) {
	if !strings.Contains(s.admin, "://") {
		return s.admin + " dbname=" + name, nil // of two, the last counts
	}
	u, err := url.Parse(s.admin)
	if err != nil {
		return "", errors.New(EnvURL + " cannot be parsed")
	}
	u.Path = "/" + name
	return u.String(), nil
}

// Stop ends the server that Start started and removes its files. A server
// named by the environment goes on running.
func (s *Server) Stop() error {
	if s.process != nil {
		if err := s.process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		late := time.NewTimer(stopAfter)
		defer late.Stop()
		select {
		case <-s.ended:
		case <-late.C:
			if err := s.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return err
			}
			<-s.ended
		}
		s.process = nil
	}
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}
