package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/internal/httpx"
)

// workspace is an emulated workspace, with desks and people in it.
type workspace struct {
	slack      *slacktest.Server
	name       string // of the install
	secret     string
	desks      []benchDesk
	agents     []string
	requesters []string
}

// benchDesk is a desk with a group to ask in and a group to work in.
type benchDesk struct{ key, intake, triage string }

func newWorkspace(name string, desks, agents, requesters int) (*workspace, error) {
	secret, err := randomKey()
	if err != nil {
		return nil, err
	}
	// The emulator's own secret is published with it, and refused for that.
	w := &workspace{name: name, secret: hex.EncodeToString(secret[:16])}
	w.slack = slacktest.New(slacktest.Options{SigningSecret: w.secret})
	for i := range agents {
		w.agents = append(w.agents, w.slack.AddUser(slacktest.User{Name: fmt.Sprintf("agent%d", i), Locale: "zh-CN"}))
	}
	for i := range requesters {
		w.requesters = append(w.requesters, w.slack.AddUser(slacktest.User{Name: fmt.Sprintf("asker%d", i), Locale: "zh-CN"}))
	}
	for i := range desks {
		w.desks = append(w.desks, benchDesk{
			key:    fmt.Sprintf("%s-%d", name, i),
			intake: w.slack.AddChannel(fmt.Sprintf("help%d", i), false, append(w.requesters, w.agents...)...),
			triage: w.slack.AddChannel(fmt.Sprintf("desk%d", i), false, w.agents...),
		})
	}
	return w, nil
}

// install is the name by which configuration and buttons know the workspace.
func (w *workspace) install() string { return "slack/" + w.name }

// world is what one server serves.
type world struct {
	key    []byte // that seals its buttons
	spaces []*workspace
}

func newWorld(spaces ...*workspace) (*world, error) {
	key, err := randomKey()
	return &world{key, spaces}, err
}

func randomKey() ([]byte, error) {
	key := make([]byte, 32)
	_, err := rand.Read(key)
	return key, err
}

func (w *world) close() {
	for _, s := range w.spaces {
		s.slack.Close()
	}
}

// config is the server's configuration, as an operator would write it.
func (w *world) config(listen, ops, data, database string) ([]byte, error) {
	installs, desks := map[string]any{}, []map[string]any{}
	for _, s := range w.spaces {
		installs[s.name] = map[string]any{"bot_token": slacktest.BotToken, "signing_secret": s.secret, "api_url": s.slack.APIURL()}
		refs := func(ids ...string) (out []string) {
			for _, id := range ids {
				out = append(out, s.install()+"/"+id)
			}
			return out
		}
		for _, d := range s.desks {
			desks = append(desks, map[string]any{
				"key": d.key, "name": "IT 服务台", "intake": refs(d.intake), "triage": refs(d.triage), "agents": refs(s.agents...),
				"targets": []map[string]any{{"priority": 3, "respond": "4h", "solve": "24h"}},
			})
		}
	}
	return yaml.Marshal(map[string]any{
		"listen": listen, "ops_listen": ops, "data_dir": data, "database_url": database, "playground": "off",
		"secret_key": base64.StdEncoding.EncodeToString(w.key), "slack": installs, "desks": desks,
	})
}

// benchServer is a running Paidan in a process of its own.
type benchServer struct {
	cmd     *exec.Cmd
	ops     string
	address string
	ready   time.Duration // from exec to the first /readyz that says yes
	log     *serverLog
	ended   chan error
}

// readyWithin bounds how long a server may take to start.
const readyWithin = time.Minute

// serveChild starts a server process of this binary on a database and waits until it
// is ready. config is nil for a server with nothing configured but its addresses.
func (b *bench) serveChild(ctx context.Context, name string, config func(listen, ops, data string) ([]byte, error)) (*benchServer, error) {
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	ops, err := freeAddress()
	if err != nil {
		return nil, err
	}
	data := b.path(name)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	yaml, err := config(listen, ops, data)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(data, "paidan.yaml")
	if err := os.WriteFile(file, yaml, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &benchServer{ops: "http://" + ops, address: listen, log: &serverLog{}, ended: make(chan error, 1)}
	s.cmd = exec.Command(self, "serve", "--config", file)
	s.cmd.Env = append(benchEnv(), "TZ=UTC")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	if err := s.await(ctx, "http://"+listen+"/readyz"); err != nil {
		return nil, errors.Join(err, s.kill())
	}
	s.ready = time.Since(begin)
	return s, nil
}

// serverLog keeps what a server says; it is written by the process's end and read by us.
type serverLog struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *serverLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// warnings are the first lines of the log that warn of something, besides what
// the configuration of a benchmark rightly earns.
func (s *benchServer) warnings(most int) (out []string) {
	for line := range strings.Lines(s.log.String()) {
		if (strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR")) && !strings.Contains(line, "msg=configuration") && len(out) < most {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// hook is where a workspace delivers to.
func (s *benchServer) hook(w *workspace) string {
	return "http://" + s.address + "/hooks/" + w.install()
}

// benchEnv is our environment without settings of Paidan, which would reach
// into the measured server.
func benchEnv() (env []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PAIDAN_") {
			env = append(env, e)
		}
	}
	return env
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *benchServer) await(ctx context.Context, url string) error {
	late := time.NewTimer(readyWithin)
	defer late.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("server ended at its start: %w\n%s", err, s.log)
		case <-late.C:
			return fmt.Errorf("server was not ready within %s\n%s", readyWithin, s.log)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		resp, err := get(ctx, url)
		if err != nil {
			continue // not listening yet
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// stop ends the server as an operator does.
func (s *benchServer) stop() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	if err := <-s.ended; err != nil {
		return fmt.Errorf("server: %w\n%s", err, s.log)
	}
	return nil
}

// kill ends the server at once; what it has committed is kept.
func (s *benchServer) kill() error {
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.ended // "signal: killed", as wanted
	return nil
}

// Memory is what the server's process takes, in MiB.
type Memory struct {
	RSS  float64 `json:"rss_mib"`
	Peak float64 `json:"peak_rss_mib"`
}

func (s *benchServer) memory() (Memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return Memory{}, fmt.Errorf("memory is read from /proc, which only Linux has: %w", err)
	}
	var m Memory
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		switch {
		case err != nil:
		case key == "VmRSS":
			m.RSS = kib / 1024
		case key == "VmHWM":
			m.Peak = kib / 1024
		}
	}
	return m, nil
}

func (s *benchServer) cpu() time.Duration { return processCPU(s.cmd.Process.Pid) }

// processCPU is the processor time that a process has taken, in steps of 10 ms;
// 0 where there is no /proc.
func processCPU(pid int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// After the name, which may hold anything: state is the 3rd field, user and
	// system time the 14th and 15th.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// cpuProfile writes a profile of the next seconds into the folder of --profile.
// The returned function waits for its end.
func (b *bench) cpuProfile(ctx context.Context, s *benchServer, name string, seconds int) (wait func() error) {
	if b.profile == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			resp, err := get(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", s.ops, seconds))
			if err != nil {
				return fmt.Errorf("profile: %w", err)
			}
			defer resp.Body.Close()
			f, err := os.Create(filepath.Join(b.profile, name+".pprof"))
			if err != nil {
				return err
			}
			_, err = io.Copy(f, resp.Body)
			return errors.Join(err, f.Close())
		}()
	}()
	return func() error { return <-done }
}

// benchHTTP speaks to the server's own pages.
var benchHTTP = httpx.New(httpx.Options{Timeout: 10 * time.Minute, AllowPrivate: true, MaxBody: -1})

func get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return benchHTTP.Do(req)
}
