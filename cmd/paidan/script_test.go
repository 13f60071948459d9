//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen { // transcripts wait for one another's programs more than they work
		if err := flag.Set("test.parallel", "6"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	ticketstest.Main(m)
}

var update = flag.Bool("update", false, "write what happens into the transcripts, to be read before it is kept")

// TestTranscripts tells the product's behaviour as scripts that read like a
// log of the chats. A line that begins with ">" is what somebody does; below it
// stands everything that anybody could then see change, and nothing else did:
//
//	> say 王芳 east: 打印机坏了
//	east + …        a message of the bot's, in the group
//	desk #1 +       the same in the thread of that ticket's card
//	east ~ …        one that was there has changed: its title and the new lines
//	east - …        one is gone
//	dm 李四 + …     in a private chat with the bot
//	→ 王芳 + …      only this person sees it: a private note
//	王芳 [form] …   a form opens, changes or closes
//
// The same transcript holds on both databases, and where its first line says
// "platform all" its acts are done on every platform. Where a platform's own
// idiom lets people see something else, testdata/script/<platform> holds the
// transcript as it reads there. Files of the archive are files that people send,
// and paidan.yaml, the configuration.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		steps := parseScript(t, file, string(archive.Comment))
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			if !*update { // which writes files that the others read
				t.Parallel()
			}
			for i, platform := range steps.platforms {
				t.Run(platform, func(t *testing.T) {
					if !*update {
						t.Parallel()
					}
					// Over whichever line events come, people see the same.
					own := filepath.Join("testdata/script", strings.TrimSuffix(platform, "-stream"), strings.TrimSuffix(filepath.Base(file), ".txtar")+".txt")
					want := steps.wanted(t, own, platform)
					ticketstest.EachURL(t, func(t *testing.T, dsn string) {
						renew := *update && strings.HasPrefix(dsn, "sqlite:")
						got := steps.play(t, platform, address(dsn), archive.Files, want, renew)
						switch {
						case !renew || t.Failed():
						case i == 0:
							steps.write(t, file, got, archive)
						default:
							steps.writeOther(t, own, got)
						}
						if renew { // the other database is held against it at once
							copy(want, got)
						}
					})
				})
			}
		})
	}
}

// address makes an address of a connection string of key=value pairs.
func address(dsn string) string {
	if strings.Contains(dsn, "://") {
		return dsn
	}
	u := url.URL{Scheme: "postgres", Path: "/"}
	q := url.Values{}
	for pair := range strings.FieldsSeq(dsn) {
		switch k, v, _ := strings.Cut(pair, "="); k {
		case "dbname":
			u.Path = "/" + v // of two, the last counts
		case "user":
			u.User = url.User(v)
		default:
			q.Set(k, v)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// script is a transcript as it stands in its file.
type script struct {
	platforms []string
	faults    bool // the log may tell of errors: the script makes them
	steps     []step
	tail      string // comment below the last step
}

// step is one act and what is seen of it.
type step struct {
	line   int
	before string // comments above, kept as they are
	act    string
	want   string
}

func parseScript(t *testing.T, file, text string) *script {
	s := &script{}
	var before, want strings.Builder
	var cur *step
	flush := func() {
		if cur != nil {
			cur.want = strings.Trim(want.String(), "\n")
			s.steps = append(s.steps, *cur)
		}
		cur = nil
		want.Reset()
	}
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "> "):
			flush()
			cur = &step{line: i + 1, before: before.String(), act: line[2:]}
			before.Reset()
		case len(words) == 2 && words[0] == "platform" && cur == nil:
			before.WriteString(line + "\n")
			if words[1] == "all" {
				s.platforms = append(s.platforms, everyPlatform...)
			} else {
				s.platforms = append(s.platforms, words[1])
			}
		case line == "faults expected" && cur == nil:
			before.WriteString(line + "\n")
			s.faults = true
		case strings.HasPrefix(line, "# "), strings.TrimSpace(line) == "" && cur != nil:
			flush()
			before.WriteString(line + "\n")
		case cur != nil:
			want.WriteString(line + "\n")
		case strings.TrimSpace(line) == "":
			before.WriteString(line + "\n")
		default:
			t.Fatalf("%s:%d: neither an act, a comment nor the outcome of an act: %q", file, i+1, line)
		}
	}
	flush()
	s.tail = before.String()
	if len(s.platforms) == 0 {
		t.Fatalf("%s: which platform?", file)
	}
	return s
}

// wanted is what is seen of each step on a platform.
func (s *script) wanted(t *testing.T, file, platform string) []string {
	own := s
	switch data, err := os.ReadFile(file); {
	case err == nil:
		own = parseScript(t, file, "platform "+platform+"\n"+string(data))
	case !errors.Is(err, fs.ErrNotExist):
		t.Fatal(err)
	}
	want := make([]string, len(s.steps))
	for i := range s.steps {
		switch {
		case i >= len(own.steps), own.steps[i].act != s.steps[i].act:
			if !*update {
				t.Fatalf("%s does not do what the script does at step %d; run with -update and read what changed", file, i+1)
			}
		default:
			want[i] = own.steps[i].want
		}
	}
	return want
}

// text is the transcript with what was seen of each step.
func (s *script) text(got []string, comments bool) string {
	var b strings.Builder
	for i, st := range s.steps {
		if comments {
			b.WriteString(st.before)
		}
		b.WriteString("> " + st.act + "\n")
		if got[i] != "" {
			b.WriteString(got[i] + "\n")
		}
	}
	if comments {
		b.WriteString(s.tail)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// writeOther keeps what a platform shows where that is not what the first shows.
func (s *script) writeOther(t *testing.T, file string, got []string) {
	same := true
	for i := range got {
		same = same && got[i] == s.steps[i].want
	}
	if same {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(s.text(got, false)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *script) write(t *testing.T, file string, got []string, archive *txtar.Archive) {
	for i := range got {
		s.steps[i].want = got[i]
	}
	archive.Comment = []byte(s.text(got, true))
	if len(archive.Files) > 0 {
		archive.Comment = append(archive.Comment, '\n')
	}
	if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
		t.Fatal(err)
	}
}

// play runs a script on one platform and one database, and returns what was
// seen of each step.
func (s *script) play(t *testing.T, platform, url string, files []txtar.File, want []string, renew bool) []string {
	st := newStage(t, platform, url, files)
	st.start()
	got := make([]string, len(s.steps))
	for i, step := range s.steps {
		got[i] = st.act(step.act)
		if !renew && got[i] != want[i] {
			t.Errorf("line %d: > %s\n-want +got:\n%s", step.line, step.act, cmp.Diff(strings.Split(want[i], "\n"), strings.Split(got[i], "\n")))
		}
	}
	st.stop()
	if !s.faults {
		for line := range strings.Lines(st.log.String()) {
			// Who leads is decided by the clock of the machine, which may be busy.
			if strings.Contains(line, "level=ERROR") && !strings.Contains(line, "leadership.Elector") {
				t.Errorf("logged: %s", line)
			}
		}
	}
	if t.Failed() {
		t.Logf("log:\n%s", st.log.String())
	}
	return got
}

// stage is the program running with chats around it.
type stage struct {
	t      *testing.T
	url    string
	conf   string // path of paidan.yaml
	dir    string
	files  map[string][]byte
	clock  *clock.Clock
	log    safeBuffer
	out    safeBuffer
	chats  []chat
	now    serving
	cancel context.CancelFunc
	ended  chan error
	seen   map[string]shown // by key, as they were after the last step
	fresh  map[string]bool  // what came up in the last step
	forms  map[string]string
	code   string // the last one that somebody was told
}

// safeBuffer is written by the program while a test reads it.
type safeBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// opening is a Monday morning in Shanghai.
var opening = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)

// cast are the people of every script, by the names they bear.
var cast = []struct{ id, name, locale string }{
	{"wangfang", "王芳", "zh-CN"}, {"lisi", "李四", "zh-CN"}, {"wangwu", "王五", "zh-CN"}, {"zhaomin", "赵敏", "zh-CN"}, {"chenzong", "陈总", "zh-CN"},
	{"ann", "Ann", "en-US"},
}

// everyPlatform is where a script plays that says "platform all".
var everyPlatform = []string{"playground", "slack", "feishu", "dingtalk", "dingtalk-text", "wecom"}

// newChat makes a platform; prefix is what its conversations begin with where
// there are several.
var newChat = map[string]func(s *stage, prefix string) chat{
	"playground": func(s *stage, prefix string) chat { return &playgroundChat{stage: s} },
	"slack":      func(s *stage, prefix string) chat { return newSlackChat(s, prefix) },
	"feishu":     func(s *stage, prefix string) chat { return newFeishuChat(s, prefix, false) },
	"dingtalk":   func(s *stage, prefix string) chat { return newDingtalkChat(s, prefix, true) },
	"wecom":      func(s *stage, prefix string) chat { return newWecomChat(s, prefix, true) },
	// WeCom with the smart robot alone: no app, so no directory and no names.
	"wecom-robot": func(s *stage, prefix string) chat { return newWecomChat(s, prefix, false) },
	// Feishu's events over its long connection instead of requests.
	"feishu-stream": func(s *stage, prefix string) chat { return newFeishuChat(s, prefix, true) },
	// DingTalk without a card template: everything is text with numbers.
	"dingtalk-text": func(s *stage, prefix string) chat { return newDingtalkChat(s, prefix, false) },
}

// rooms are the groups of every script, with who is in them.
var rooms = []struct {
	alias, name string
	members     []string
}{
	{"east", "华东售后群", []string{"wangfang", "lisi", "zhaomin", "ann"}},
	{"desk", "IT 服务台", []string{"lisi", "wangwu", "zhaomin"}},
	{"mgr", "管理层", []string{"zhaomin", "chenzong"}},
}

func newStage(t *testing.T, platform, url string, files []txtar.File) *stage {
	s := &stage{
		t: t, url: url, dir: t.TempDir(), clock: clock.Hold(opening), files: map[string][]byte{}, seen: map[string]shown{}, forms: map[string]string{},
	}
	conf := string(defaultYAML)
	for _, f := range files {
		s.files[f.Name] = f.Data
		if f.Name == "paidan.yaml" {
			conf = string(f.Data)
		}
	}
	switch platform {
	case "both":
		s.chats = []chat{newChat["playground"](s, ""), newChat["slack"](s, "s-")}
	case "four":
		for _, p := range []string{"slack", "feishu", "dingtalk", "wecom"} {
			s.chats = append(s.chats, newChat[p](s, p[:1]+"-"))
		}
	default:
		s.chats = []chat{newChat[platform](s, "")}
	}
	for _, c := range s.chats {
		conf = c.configure(conf)
	}
	s.conf = filepath.Join(s.dir, "paidan.yaml")
	if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	svc := tickets.NewService(db, nil, slog.New(slog.DiscardHandler))
	// Scripts begin with an empty room.
	if err := errors.Join(svc.SetMeta(t.Context(), seedKey, "1"), db.Close()); err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs the whole program, as "paidan serve" does, but for its clock.
func (s *stage) start() {
	s.t.Helper()
	env := map[string]string{
		"PAIDAN_DATABASE_URL": s.url, "PAIDAN_DATA_DIR": filepath.Join(s.dir, "data"), "PAIDAN_LISTEN": "127.0.0.1:0", "PAIDAN_OPS_LISTEN": "off",
	}
	up := make(chan serving, 1)
	p := &program{
		getenv: func(k string) string { return env[k] }, stdout: &s.out, stderr: &s.log, flags: Flags{File: s.conf},
		clock: s.clock, started: func(v serving) { up <- v },
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, make(chan error, 1)
	go func() { s.ended <- p.serve(ctx) }()
	select {
	case s.now = <-up:
	case err := <-s.ended:
		s.t.Fatalf("serve: %v\n%s", err, s.log.String())
	}
	for _, c := range s.chats {
		c.connect("http://" + s.now.at.String())
	}
	s.settle()
	s.look()
}

func (s *stage) stop() {
	s.t.Helper()
	for _, c := range s.chats {
		c.disconnect()
	}
	s.cancel()
	if err := <-s.ended; err != nil {
		s.t.Fatalf("stop: %v", err)
	}
}

// patience is how long anything may take. It is never waited for in vain.
const patience = 20 * time.Second

// settle waits until nothing is under way: no act is unanswered, no job runs or
// could run, and nothing lies in the outbox that may be sent now.
func (s *stage) settle() {
	s.t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(3 * time.Millisecond)
	defer again.Stop()
	for {
		s.now.bot.Wait()
		if s.idle() {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			s.t.Fatalf("still busy after %s at %s: %s\nlog:\n%s", patience, s.clock.Now().Format(time.RFC3339Nano), s.sql(`SELECT kind || ' ' || state || ' ' || queue || ' ' || CAST(scheduled_at AS text) || ' attempt ' || attempt FROM river_job WHERE state NOT IN ('completed', 'scheduled')`)+
				"\n"+s.sql(`SELECT lane || ' ' || kind || ' ' || state || ' ' || error FROM outbox WHERE state IN ('pending', 'sending')`), s.log.String())
		}
	}
}

func (s *stage) idle() bool {
	var busy int
	now := s.clock.Now()
	due := `to_char(scheduled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')`
	if s.now.db.SQLite() {
		due = `scheduled_at`
	}
	// River calls jobs available some seconds before they are due.
	//
	// Its rows in SQLite have a time stamp cut to what is needed: as text
	// they compare like the times.
	at := now.UTC().Format("2006-01-02 15:04:05.000000")
	query := `SELECT (SELECT count(*) FROM river_job WHERE state = 'running' OR state IN ('available', 'pending', 'scheduled', 'retryable') AND ` + due + ` <= ?)
		+ (SELECT count(*) FROM outbox o LEFT JOIN lanes l ON l.lane = o.lane WHERE o.state IN ('pending', 'sending') AND o.due <= ? AND COALESCE(l.blocked, 0) <= ?)
		+ (SELECT count(*) FROM playground_events WHERE NOT parked)`
	if err := s.now.db.Get(s.t.Context(), &busy, query, at, tickets.At(now), tickets.At(now)); err != nil {
		s.t.Fatal(err)
	}
	return busy == 0
}

// next is when the next job is due; zero when none is planned.
func (s *stage) next() time.Time {
	var at []string
	due := `to_char(min(scheduled_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')`
	if s.now.db.SQLite() {
		due = `CAST(min(scheduled_at) AS text)`
	}
	if err := s.now.db.Select(s.t.Context(), &at, `SELECT COALESCE(`+due+`, '') FROM river_job WHERE state IN ('available', 'scheduled', 'retryable')`); err != nil {
		s.t.Fatal(err)
	}
	if len(at) == 0 || at[0] == "" {
		return time.Time{}
	}
	text := strings.TrimSuffix(strings.TrimSuffix(strings.Replace(at[0], "T", " ", 1), "Z"), " +0000 UTC")
	t, err := time.Parse("2006-01-02 15:04:05.999999999", text)
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

// advance lets time pass: every job gets its turn at its own moment.
func (s *stage) advance(d time.Duration) {
	end := s.clock.Now().Add(d)
	for {
		at := s.next()
		if at.IsZero() || at.After(end) {
			break
		}
		if step := at.Sub(s.clock.Now()); step > 0 {
			s.clock.Advance(step)
		}
		s.settle()
		if !s.next().After(at) {
			s.clock.Advance(time.Millisecond) // jobs are kept in milliseconds on SQLite
			s.settle()
		}
	}
	if left := end.Sub(s.clock.Now()); left > 0 {
		s.clock.Advance(left)
	}
	s.settle()
}

func (s *stage) sql(query string) string {
	var rows []string
	if err := s.now.db.Select(s.t.Context(), &rows, query); err != nil {
		return err.Error()
	}
	return strings.Join(rows, "\n")
}

var actForm = regexp.MustCompile(`^(\S+)(?: (.*))?$`)

// act does one step and returns what could be seen of it.
func (s *stage) act(line string) string {
	s.t.Helper()
	m := actForm.FindStringSubmatch(line)
	verb, rest := m[1], m[2]
	said, err := s.do(verb, rest)
	if err != nil {
		return "! " + err.Error()
	}
	s.settle()
	changed := s.look()
	if said != "" && changed != "" {
		said += "\n"
	}
	return codeForm.ReplaceAllStringFunc(said+changed, func(found string) string {
		word, code, _ := strings.Cut(found, " ")
		s.code = code
		return word + " {code}"
	})
}

// codeForm finds codes, which are others every time: the next act may use the
// last one as {code}.
var codeForm = regexp.MustCompile(`(?:绑定|bind) [0-9]{6}`)

var adminCode = regexp.MustCompile(`管理员 (\S+)`)

func (s *stage) do(verb, rest string) (said string, err error) {
	switch verb {
	case "advance":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return "", err
		}
		s.advance(d)
		return "", nil
	case "restart":
		s.stop()
		s.start()
		return "", nil
	case "channel":
		return s.channel(rest), nil
	case "sql":
		return s.sql(rest), nil
	case "metric":
		return s.metric(rest)
	case "fault", "heal", "double", "drop", "hold", "revoke":
		return "", s.chats[len(s.chats)-1].fault(verb, strings.Fields(rest))
	}
	return s.doAs(verb, rest)
}

// target is what a person acts on.
type target struct {
	chat   chat
	who    string // id in the cast
	conv   string // alias; "dm" is his private chat
	number string // "#1"
	quoted string // a part of a message
}

// aim reads «李四 desk #1» or «李四 east "打印机"» off the front of an act, and
// returns what follows.
func (s *stage) aim(rest string) (target, string, error) {
	a := target{chat: s.chats[0]}
	name, rest, _ := strings.Cut(rest, " ")
	i := slices.IndexFunc(cast, func(p struct{ id, name, locale string }) bool { return p.name == name })
	if i < 0 {
		return a, "", fmt.Errorf("who is %s?", name)
	}
	a.who = cast[i].id
	conv, rest, _ := cutWord(rest)
	a.conv = conv
	for _, c := range s.chats {
		if p := c.prefix(); p != "" && strings.HasPrefix(conv, p) {
			a.chat, a.conv = c, strings.TrimPrefix(conv, p)
		}
	}
	if strings.HasPrefix(rest, `"`) {
		a.quoted, rest, _ = strings.Cut(rest[1:], `"`)
	} else if strings.HasPrefix(rest, "#") {
		a.number, rest, _ = cutWord(rest)
	}
	return a, strings.TrimSpace(rest), nil
}

// cutWord cuts at the first space or colon; the colon stays.
func cutWord(s string) (word, rest string, ok bool) {
	i := strings.IndexAny(s, " :")
	if i < 0 {
		return s, "", false
	}
	return s[:i], strings.TrimLeft(s[i:], " "), true
}

func (s *stage) doAs(verb, rest string) (string, error) {
	if verb == "submit" || verb == "change" || verb == "form" || verb == "home" {
		name, args, _ := strings.Cut(rest, " ")
		c := s.chats[0]
		for _, other := range s.chats {
			if n, ok := strings.CutPrefix(name, other.prefix()); ok && other.prefix() != "" {
				name, c = n, other
			}
		}
		a, _, err := s.aim(name)
		if err != nil {
			return "", err
		}
		switch verb {
		case "home":
			return "", c.home(a.who)
		case "form":
			f, _ := c.form(a.who)
			return strings.Join(f, "\n"), nil
		}
		values := map[string]string{}
		for pair := range strings.SplitSeq(args, "; ") {
			if k, v, ok := strings.Cut(pair, "="); ok {
				values[strings.TrimSpace(k)] = strings.ReplaceAll(v, `\n`, "\n")
			}
		}
		return "", c.fill(a.who, verb == "change", values)
	}
	a, rest, err := s.aim(rest)
	if err != nil {
		return "", err
	}
	text := strings.ReplaceAll(strings.TrimSpace(strings.TrimPrefix(rest, ":")), `\n`, "\n")
	if m := adminCode.FindAllStringSubmatch(s.out.String(), -1); m != nil && strings.Contains(text, "管理员") {
		s.code = m[len(m)-1][1]
	}
	text = strings.ReplaceAll(text, "{code}", s.code)
	if n, ok := strings.CutPrefix(text, "{long "); ok { // {long 120001}: that many characters
		var count int
		if _, err := fmt.Sscanf(n, "%d}", &count); err != nil {
			return "", err
		}
		text = strings.Repeat("长", count)
	}
	switch verb {
	case "say":
		return "", a.chat.say(a, text, nil)
	case "send":
		name, text, _ := strings.Cut(text, " ")
		return "", a.chat.say(a, text, []string{name})
	case "slash":
		return "", a.chat.slash(a, text)
	case "click":
		return "", a.chat.press(a, text, "")
	case "choose":
		menu, option, _ := strings.Cut(text, " ")
		return "", a.chat.press(a, menu, option)
	case "react", "unreact":
		return "", a.chat.react(a, text, verb == "react")
	case "edit":
		return "", a.chat.edit(a, text)
	case "delete":
		return "", a.chat.unsay(a)
	case "shortcut":
		return "", a.chat.shortcut(a)
	case "join", "leave":
		return "", a.chat.member(a, verb == "join")
	case "add-bot":
		return "", a.chat.addBot(a)
	}
	return "", fmt.Errorf("what is %q?", verb)
}

// shown is a message, or a form, as somebody sees it.
type shown struct {
	key    string // names it for ever
	place  string // "east", `east "打印机…"`, "dm 李四", "李四 ?"
	conv   string // alias
	only   string // id of the one who sees it; "" = everybody there
	bot    bool
	root   string // key of the root of its thread; "" = top level
	text   string // of a person's message
	lines  []string
	press  func(who, label, option string) error // nil: nothing to press
	labels []string
}

// look returns what has changed since the last look.
func (s *stage) look() string {
	s.t.Helper()
	var out []string
	now := map[string]shown{}
	s.fresh = map[string]bool{}
	for _, c := range s.chats {
		for _, m := range c.messages() {
			now[m.key] = m
			if !m.bot {
				continue
			}
			was, old := s.seen[m.key]
			switch {
			case !old:
				s.fresh[m.key] = true
				out = append(out, entry(m.place+" +", m.lines))
			case !slices.Equal(was.lines, m.lines):
				lines := []string{m.lines[0]}
				for _, l := range m.lines[1:] {
					if !slices.Contains(was.lines, l) {
						lines = append(lines, l)
					}
				}
				out = append(out, entry(m.place+" ~", lines))
			}
		}
		for _, m := range sorted(s.seen) {
			if _, still := now[m.key]; !still && m.bot && m.only == "" && strings.HasPrefix(m.key, c.name()) {
				out = append(out, entry(m.place+" -", m.lines[:1]))
			}
		}
		for _, p := range cast {
			lines, open := c.form(p.id)
			key := c.name() + "/" + p.id
			form := ""
			if open {
				form = strings.Join(lines, "\n")
			}
			if form == s.forms[key] {
				continue
			}
			if form == "" {
				out = append(out, c.prefix()+p.name+" [form] closed")
			} else {
				out = append(out, entry(c.prefix()+p.name+" [form]", lines))
			}
			s.forms[key] = form
		}
	}
	s.seen = now
	return strings.Join(out, "\n")
}

func sorted(seen map[string]shown) []shown {
	var out []shown
	for _, m := range seen {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b shown) int { return strings.Compare(a.key, b.key) })
	return out
}

func entry(head string, lines []string) string {
	return head + " " + strings.Join(lines, "\n    ")
}

// channel shows all that stands in a conversation, as everybody there sees it.
func (s *stage) channel(alias string) string {
	c := s.chats[0]
	for _, other := range s.chats {
		if p := other.prefix(); p != "" && strings.HasPrefix(alias, p) {
			c, alias = other, strings.TrimPrefix(alias, p)
		}
	}
	var out []string
	for _, m := range c.messages() {
		if m.conv != alias || m.only != "" {
			continue
		}
		out = append(out, strings.Join(m.lines, "\n    "))
	}
	return strings.Join(out, "\n")
}

// metric tells the sum and count of a histogram, or the value of what else it is.
func (s *stage) metric(name string) (string, error) {
	families, err := s.now.metrics.Gather()
	if err != nil {
		return "", err
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		var out []string
		for _, m := range f.GetMetric() {
			if h := m.GetHistogram(); h != nil {
				out = append(out, fmt.Sprintf("%g in %d", h.GetSampleSum(), h.GetSampleCount()))
			} else {
				out = append(out, fmt.Sprint(m.GetCounter().GetValue()+m.GetGauge().GetValue()))
			}
		}
		return strings.Join(out, "\n"), nil
	}
	return "none", nil
}

// chat is a platform with its people, as a script drives it.
type chat interface {
	name() string
	prefix() string // of its conversations in the script
	configure(conf string) string
	connect(url string)
	disconnect()
	messages() []shown // all there is, conversation by conversation, oldest first
	form(who string) (lines []string, open bool)
	say(a target, text string, files []string) error
	slash(a target, text string) error
	press(a target, label, option string) error
	fill(who string, change bool, values map[string]string) error
	react(a target, emoji string, on bool) error
	edit(a target, text string) error
	unsay(a target) error
	shortcut(a target) error
	member(a target, joins bool) error
	addBot(a target) error
	home(who string) error
	fault(kind string, args []string) error
}

// find is the newest message that a target means and that ok accepts.
func find(all []shown, a target, ok func(shown) bool) (shown, error) {
	for i := len(all) - 1; i >= 0; i-- {
		m := all[i]
		if m.conv != a.place() && (m.only == "" || m.conv != "") || m.only != "" && m.only != a.who || !a.means(m) || !ok(m) {
			continue
		}
		return m, nil
	}
	return shown{}, fmt.Errorf("nothing of that kind in %s", a.conv)
}

func (a target) place() string {
	if a.conv == "dm" || a.conv == "home" {
		return a.conv + " " + nameOf(a.who)
	}
	return a.conv
}

// means reports whether the target's number or words name m.
func (a target) means(m shown) bool {
	switch {
	case a.number != "":
		return m.bot && strings.Contains(strings.Join(m.lines, "\n")+"\n", a.number) && numbered(m, a.number)
	case a.quoted != "":
		return strings.Contains(m.text+strings.Join(m.lines, "\n"), a.quoted)
	}
	return true
}

// numbered reports whether a card is about a ticket: its number stands in the
// title or the foot.
func numbered(m shown, number string) bool {
	for _, l := range []string{m.lines[0], m.lines[len(m.lines)-1]} {
		for w := range strings.FieldsSeq(strings.Trim(l, "()")) {
			if w == number {
				return true
			}
		}
	}
	return false
}

// pressable is what a person presses: what he was just shown in private, else
// the newest message that has it, else an older private note.
func (s *stage) pressable(all []shown, a target, label string) (shown, error) {
	has := func(m shown) bool { return m.press != nil && slices.Contains(m.labels, label) }
	for _, ok := range []func(shown) bool{
		func(m shown) bool { return m.only != "" && s.fresh[m.key] },
		func(m shown) bool { return m.only == "" },
		func(m shown) bool { return true },
	} {
		if m, err := find(all, a, func(m shown) bool { return has(m) && ok(m) }); err == nil {
			return m, nil
		}
	}
	return shown{}, fmt.Errorf("nothing there is called %q", label)
}

// reachable is pressable where a private note is a message in the private chat:
// what the person was just told there, else what stands where he is, else what he
// was told in private before.
func (s *stage) reachable(all []shown, a target, label string) (shown, error) {
	private := a
	private.conv, private.number, private.quoted = "dm", "", ""
	told := func(fresh bool) (shown, error) {
		return find(all, private, func(m shown) bool {
			return m.press != nil && slices.Contains(m.labels, label) && (s.fresh[m.key] || !fresh)
		})
	}
	m, err := told(true)
	if err != nil {
		m, err = s.pressable(all, a, label)
	}
	if err == nil {
		return m, nil
	}
	if m, other := told(false); other == nil {
		return m, nil
	}
	return shown{}, err
}

// thread is the root of the thread that a target names; "" is the top level.
func thread(all []shown, a target) (string, error) {
	if a.number == "" && a.quoted == "" {
		return "", nil
	}
	m, err := find(all, a, func(m shown) bool { return m.only == "" })
	if err == nil && m.root != "" {
		return m.root, nil
	}
	return m.key, err
}

func nameOf(id string) string {
	for _, p := range cast {
		if p.id == id {
			return p.name
		}
	}
	return id
}

func idOf(name string) string {
	for _, p := range cast {
		if p.name == name {
			return p.id
		}
	}
	return name
}

// snippet names a thread by the ticket that its root shows.
func snippet(root shown) string {
	for w := range strings.FieldsSeq(root.lines[0]) {
		if strings.HasPrefix(w, "#") {
			return w
		}
	}
	return "thread"
}

// placed fills in where each message stands, once all are known.
func placed(all []shown, prefix string) []shown {
	byKey := map[string]shown{}
	for _, m := range all {
		byKey[m.key] = m
	}
	for i := range all {
		m := &all[i]
		m.place = prefix + m.conv
		if root, ok := byKey[m.root]; ok && root.bot {
			m.place += " " + snippet(root)
		}
		if m.only != "" {
			m.place = prefix + "→ " + nameOf(m.only)
		}
	}
	return all
}
