//go:build unix

package crashtest

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/slack/slacktest"
)

// house is a workspace with desks, a database, and the processes that serve it.
type house struct {
	t       *testing.T
	url     string // of the database
	config  string // file
	slack   *slacktest.Server
	door    *door
	weather *weather // between the program and the emulator
	history *history
	desks   []desk
	agents  []string // Slack's user ids; they work at every desk
	users   *register
	log     *errorLog
}

// desk is one desk's two channels.
type desk struct{ key, intake, triage string }

// register is everybody's accounts and private chats.
type register struct {
	mu  sync.Mutex // guards ids
	ids []string
}

func (r *register) add(id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
	return id
}

func (r *register) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.ids...)
}

const deskCount = 4

// newHouse builds a workspace around a migrated database. Nothing serves it yet.
func newHouse(t *testing.T, url string) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{t: t, url: url, config: filepath.Join(dir, "paidan.yaml"), log: &errorLog{}, users: &register{}}
	h.history = newHistory(t, filepath.Join(dir, "history.jsonl"))
	h.door = newDoor(t, h.history)
	secret := strings.ToLower(rand.Text() + rand.Text())[:32]
	h.slack = slacktest.New(slacktest.Options{
		SigningSecret: secret,
		Deadline:      5 * time.Second, // the machine may be busy with other tests
		// Slack's pauses are none, a minute and five minutes.
		Wait: func(n int) {
			h.door.awaitOpen(30 * time.Second)
			<-time.After([]time.Duration{0, 0, time.Second, 5 * time.Second}[n])
		},
	})
	t.Cleanup(h.slack.Close)
	h.slack.Deliver(h.door.url() + "/hooks/slack/default")
	h.weather = newWeather(t, h.slack.URL)
	for i := range 4 {
		h.agents = append(h.agents, h.users.add(h.slack.AddUser(slacktest.User{Name: fmt.Sprintf("agent%d", i), RealName: fmt.Sprintf("坐席%c", 'A'+i), Locale: "zh-CN"})))
	}
	var desks strings.Builder
	for i := range deskCount {
		d := desk{key: fmt.Sprintf("d%d", i)}
		d.intake = h.slack.AddChannel(d.key+"-intake", false)
		d.triage = h.slack.AddChannel(d.key+"-triage", false, h.agents...)
		h.desks = append(h.desks, d)
		fmt.Fprintf(&desks, "  - {key: %s, name: 服务台%d, intake: [slack/default/%s], triage: [slack/default/%s], agents: [slack/default/%s]}\n",
			d.key, i, d.intake, d.triage, strings.Join(h.agents, ", slack/default/"))
	}
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(url, "host=") {
		url = postgresURL(url)
	}
	conf := fmt.Sprintf("listen: 127.0.0.1:0\nops_listen: off\ndatabase_url: %q\ndata_dir: %q\nplayground: off\nlocale: zh-CN\ntimezone: Asia/Shanghai\nsecret_key: %s\n"+
		"slack:\n  default:\n    bot_token: %s\n    signing_secret: %s\n    api_url: %s/api/\ndesks:\n%s",
		url, filepath.Join(dir, "data"), base64.StdEncoding.EncodeToString(key[:]), slacktest.BotToken, secret, h.weather.url(), desks.String())
	if err := os.WriteFile(h.config, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// postgresURL says "host=/dir user=u dbname=d sslmode=x" as the configuration wants it.
func postgresURL(words string) string {
	kv := map[string]string{}
	for w := range strings.FieldsSeq(words) {
		k, v, _ := strings.Cut(w, "=")
		kv[k] = v // of two, the last counts
	}
	q := neturl.Values{"host": {kv["host"]}, "sslmode": {kv["sslmode"]}}
	return (&neturl.URL{Scheme: "postgres", User: neturl.User(kv["user"]), Path: "/" + kv["dbname"], RawQuery: q.Encode()}).String()
}

// process is one running paidan.
type process struct {
	h     *house
	cmd   *exec.Cmd
	url   string
	ended chan struct{} // closed when it has ended
	err   error         // how, once ended
	once  sync.Once
}

const startTime = 60 * time.Second

// start starts a process and returns when it takes requests.
func (h *house) start() *process {
	h.t.Helper()
	path, err := binary()
	if err != nil {
		h.t.Fatal(err)
	}
	p := &process{h: h, cmd: exec.Command(path, "serve", "--config", h.config), ended: make(chan struct{})}
	p.cmd.Env = []string{"HOME=" + h.t.TempDir(), "PATH=" + os.Getenv("PATH")}
	p.cmd.Dir = filepath.Dir(h.config)
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		var says io.ReadCloser
		if says, err = p.cmd.StderrPipe(); err == nil {
			if err = p.cmd.Start(); err == nil {
				p.watch(out, says)
			}
		}
	}
	if err != nil {
		h.t.Fatalf("start: %v", err)
	}
	return p
}

func (p *process) watch(out, says io.Reader) {
	p.h.t.Helper()
	ready := make(chan string, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, url, ok := strings.Cut(lines.Text(), "ready: "); ok {
				ready <- strings.TrimSuffix(url, "/")
			}
		}
	})
	reading.Go(func() { p.h.log.read(says) })
	go func() {
		reading.Wait()
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	p.h.t.Cleanup(p.kill)
	late := time.NewTimer(startTime)
	defer late.Stop()
	select {
	case p.url = <-ready:
	case <-p.ended:
		p.h.t.Fatalf("the program ended while it started: %v\n%s", p.err, p.h.log.tail())
	case <-late.C:
		p.h.t.Fatalf("the program did not start in %s\n%s", startTime, p.h.log.tail())
	}
}

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() {
	p.once.Do(func() {
		p.h.door.shut(p.url)
		_ = p.cmd.Process.Kill() // it may have ended by itself
	})
	<-p.ended
}

// stop asks the process to end, and fails unless it does so well and in time.
func (p *process) stop() time.Duration {
	p.h.t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.h.t.Fatalf("SIGTERM: %v", err)
	}
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		p.h.t.Errorf("the program did not end within 20 s of SIGTERM\n%s", p.h.log.tail())
		p.kill()
	}
	p.h.door.shut(p.url)
	if p.err != nil {
		p.h.t.Errorf("the program ended after SIGTERM with %v\n%s", p.err, p.h.log.tail())
	}
	return time.Since(begin)
}

// open starts a process and lets deliveries come to it.
func (h *house) open() *process {
	h.t.Helper()
	p := h.start()
	h.door.open(p.url)
	return p
}

// errorLog keeps what the processes said at error level, and their last words.
type errorLog struct {
	mu     sync.Mutex // guards the rest
	errors []string
	last   []string
}

func (l *errorLog) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		l.mu.Lock()
		if strings.Contains(line, "level=ERROR") || strings.HasPrefix(line, "panic") || strings.HasPrefix(line, "fatal error") {
			l.errors = append(l.errors, line)
		}
		if l.last = append(l.last, line); len(l.last) > 200 {
			l.last = l.last[100:]
		}
		l.mu.Unlock()
	}
}

func (l *errorLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last[max(0, len(l.last)-60):], "\n")
}

func (l *errorLog) said() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.errors...)
}

// peek opens the database beside the running program, only to look.
func (h *house) peek() *sql.DB {
	h.t.Helper()
	driver, dsn := "postgres", h.url
	if path, ok := strings.CutPrefix(h.url, "sqlite://"); ok {
		driver, dsn = "sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = db.Close() }) // it may have been closed before
	return db
}

// quiesce waits until nothing is left to be sent, and returns how long that took.
// What waits in the outbox gets time of its own: a platform lets us post once a
// second into a channel.
func (h *house) quiesce(within time.Duration) time.Duration {
	h.t.Helper()
	db := h.peek()
	defer db.Close()
	begin := time.Now()
	left := 0
	if err := db.QueryRow(`SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending')`).Scan(&left); err == nil {
		within += time.Duration(left) * 500 * time.Millisecond
	}
	left = -1
	ok := await(within, func() bool {
		// A database that is busy is asked again.
		return db.QueryRowContext(context.Background(), `SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending')`).Scan(&left) == nil && left == 0
	})
	if !ok {
		h.t.Errorf("after %s there are still %d rows in the outbox: %s\n%s", within, left, h.stuck(db), h.log.tail())
	}
	return time.Since(begin)
}

// stuck tells what the outbox and the lanes look like.
func (h *house) stuck(db *sql.DB) string {
	rows, err := db.Query(`SELECT o.lane, o.kind, o.state, o.attempts, o.due, COALESCE(l.holder, ''), COALESCE(l.until, 0), COALESCE(l.blocked, 0)
		FROM outbox o LEFT JOIN lanes l ON l.lane = o.lane WHERE o.state IN ('pending', 'sending') LIMIT 20`)
	if err != nil {
		return err.Error()
	}
	defer rows.Close()
	var b strings.Builder
	now := time.Now().UnixMicro()
	for rows.Next() {
		var lane, kind, state, holder string
		var attempts int
		var due, until, blocked int64
		if err := rows.Scan(&lane, &kind, &state, &attempts, &due, &holder, &until, &blocked); err != nil {
			return err.Error()
		}
		fmt.Fprintf(&b, "\n%s %s %s attempts %d, due in %s; held by %q for %s, blocked for %s", lane, kind, state, attempts,
			ahead(due, now), holder, ahead(until, now), ahead(blocked, now))
	}
	return b.String()
}

func ahead(at, now int64) time.Duration { return time.Duration(at-now) * time.Microsecond }

// await looks every few milliseconds whether done, until it is or time is up.
func await(within time.Duration, done func() bool) bool {
	late := time.NewTimer(within)
	defer late.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-late.C:
			return false
		case <-tick.C:
		}
	}
	return true
}
