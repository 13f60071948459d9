package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/paidan/paidan/bot"
)

// Platforms is what came of a mixed load on installs of all platforms at once.
type Platforms struct {
	Database string                  `json:"database"`
	Rate     float64                 `json:"events_per_s"` // reached, not wished
	Seconds  float64                 `json:"seconds"`
	Installs int                     `json:"installs"`
	Desks    int                     `json:"desks"`
	Opened   int                     `json:"opened"`
	Finished int                     `json:"finished"`
	All      PlatformLoad            `json:"all"`
	By       map[string]PlatformLoad `json:"by_platform"`
	Kinds    map[string]PlatformLoad `json:"by_kind"` // the same, by platform and the way it is connected
	IdleTwo  Memory                  `json:"idle_2_installs"`
	Idle     Memory                  `json:"idle"` // with all installs, before the load
	Memory   Memory                  `json:"memory"`
	CPU      float64                 `json:"cpu_ms_per_event"` // of the server, with all that an event has it do
	// Disk is what it takes to have four kilobytes written and synced on the disk
	// that holds the database, four times a second during the load: what no commit
	// can be faster than.
	Disk     Latency  `json:"disk_sync"`
	Faults   []string `json:"faults,omitempty"`
	Warnings []string `json:"warnings,omitempty"` // of the server's log, the first ones
}

// PlatformLoad is what some of the installs were put through.
type PlatformLoad struct {
	Events int `json:"events"`
	Failed int `json:"failed"` // not answered with success
	Again  int `json:"again"`  // deliveries besides the first, because that was not answered in time
	Unseen int `json:"unseen"` // events whose effect was not seen by the end
	// Answer is from delivered until answered, which is after the commit. What
	// people say over WeCom's long connection is acknowledged by nobody: there it
	// is the presses only, until the pressed card changes.
	Answer Latency `json:"answer"`
	// First are those of Answer that were somebody's first event: the program then
	// asks the platform who that is before it answers.
	First Latency `json:"answer_first"`
	// Seen is from delivered until the chat shows it: the card in the desk's group,
	// or where that cannot be changed what is posted in its place. A step that such
	// a group is not shown at all is not in it.
	Seen  Latency            `json:"seen"`
	Steps map[string]Latency `json:"seen_by_step"`
	Calls float64            `json:"calls_per_event"` // of the platform's API, by the program
}

// Twenty installs, at least two of each platform, and of each of its ways of
// being connected. Every emulator keeps to the limits of the platform:
//
//   - A group takes a post a second in Slack, five in Feishu, thirty a minute in
//     WeCom; the program keeps below that by itself (bot.Paced). A ticket makes up
//     to postsPerTicket in one group. So an install has as many desks, each with
//     its two groups, as keep a group at half of that pace: with the usual rate
//     one, and in WeCom fifteen.
//   - Slack lets an app change fifty messages a minute in a workspace, however many
//     groups there are, and a ticket's life is some nine changes. Its workspaces
//     therefore get slackMost events a second and no more, the others the rest.
//   - DingTalk takes 20 calls a second of each kind; its monthly quota is set so
//     high that it does not end the run.
const (
	installsOfEach = 5
	streamsOfFive  = 2 // Feishu: over the long connection; DingTalk: without a card template
	postsPerTicket = 3
	slackMost      = 0.4
	platformAgents = 8
	platformAskers = 16
)

// postPace is how many posts a second a platform's adapter lets into one group.
var postPace = map[string]float64{"slack": 1, "feishu": 4, "wecom": 0.27}

func (b *bench) platforms(ctx context.Context) (any, error) {
	var all []Platforms
	for _, d := range b.databases {
		p, err := b.platformsOn(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		b.say("%s: %d installs, %.0f events/s, answered p50 %.0f ms, p95 %.0f ms, p99 %.0f ms; seen p99 %.0f ms; %d failed, %d unseen; memory %.0f MiB, disk p99 %.0f ms, load %s",
			d, p.Installs, p.Rate, p.All.Answer.P50, p.All.Answer.P95, p.All.Answer.P99, p.All.Seen.P99, p.All.Failed, p.All.Unseen, p.Memory.Peak, p.Disk.P99, loadAverage())
		all = append(all, p)
	}
	return all, nil
}

func (b *bench) platformsOn(ctx context.Context, database string) (p Platforms, err error) {
	key, err := randomKey()
	if err != nil {
		return p, err
	}
	if p.IdleTwo, err = b.idleTwo(ctx, database); err != nil {
		return p, fmt.Errorf("two installs: %w", err)
	}
	m := &mix{seal: bot.NewSealer(key), errands: map[int]*errand{}}
	for i := range installsOfEach {
		m.add(newSlackBench(), i, b.rate)
		m.add(newFeishuBench(i < streamsOfFive), i, b.rate)
		m.add(newDingtalkBench(i >= streamsOfFive), i, b.rate)
		m.add(newWecomBench(), i, b.rate)
	}
	defer m.close()
	st, err := b.newStore(ctx, database)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	s, err := b.serveChild(ctx, "platforms-"+database, func(listen, ops, data string) ([]byte, error) { return m.config(key, listen, ops, data, st.template()) })
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, s.kill(), b.keepLog("platforms-"+database, s)) }()
	if err := m.connect(ctx, "http://"+s.address); err != nil {
		return p, fmt.Errorf("%w\n%.3000s", err, s.log)
	}
	if p.Idle, err = b.idleFor(ctx, s); err != nil {
		return p, err
	}

	wait := b.cpuProfile(ctx, s, "platforms-"+database, b.seconds)
	cpu := s.cpu()
	disk := b.syncs(ctx)
	took, err := m.run(ctx, b.rate, time.Duration(b.seconds)*time.Second)
	if err != nil {
		_, diskErr := disk()
		return p, errors.Join(err, diskErr)
	}
	cpu = s.cpu() - cpu
	var diskErr error
	if p.Disk, diskErr = disk(); diskErr != nil {
		return p, fmt.Errorf("sync the disk: %w", diskErr)
	}
	m.figures(&p, took)
	p.CPU = float64(cpu.Milliseconds()) / float64(max(1, p.All.Events))
	p.Database = database
	if err := wait(); err != nil {
		return p, err
	}
	if p.Memory, err = s.memory(); err != nil {
		return p, err
	}
	p.Warnings = s.warnings(10)
	if p.Opened == 0 || p.All.Seen.N == 0 {
		return p, fmt.Errorf("nothing came of %d events: %v\n%.3000s", p.All.Events, p.Faults, s.log)
	}
	return p, nil
}

// syncs measures the disk until the returned function is called.
func (b *bench) syncs(ctx context.Context) (stop func() (Latency, error)) {
	ctx, cancel := context.WithCancel(ctx)
	var all []time.Duration
	done := make(chan error, 1)
	go func() { done <- syncEvery(ctx, b.path("sync"), 250*time.Millisecond, &all) }()
	return func() (Latency, error) {
		cancel()
		err := <-done
		return latency(all), err
	}
}

func syncEvery(ctx context.Context, file string, every time.Duration, all *[]time.Duration) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	page := make([]byte, 4096)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		begin := time.Now()
		if _, err := f.Write(page); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		*all = append(*all, time.Since(begin))
	}
}

// keepLog writes what the server said beside its profile.
func (b *bench) keepLog(name string, s *benchServer) error {
	if b.profile == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(b.profile, name+".log"), []byte(s.log.String()), 0o600)
}

// idleTwo is what a server takes that has two installs and nothing to do.
func (b *bench) idleTwo(ctx context.Context, database string) (mem Memory, err error) {
	var spaces []*workspace
	for i := range 2 {
		space, err := newWorkspace(fmt.Sprintf("i%d", i), 1, platformAgents, platformAskers)
		if err != nil {
			return mem, err
		}
		spaces = append(spaces, space)
	}
	w, err := newWorld(spaces...)
	if err != nil {
		return mem, err
	}
	defer w.close()
	st, err := b.newStore(ctx, database)
	if err != nil {
		return mem, err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	s, err := b.serveChild(ctx, "two-"+database, func(listen, ops, data string) ([]byte, error) { return w.config(listen, ops, data, st.template()) })
	if err != nil {
		return mem, err
	}
	defer func() { err = errors.Join(err, s.kill()) }()
	return b.idleFor(ctx, s)
}

// idleFor waits as idle does, but no longer than the load itself lasts.
func (b *bench) idleFor(ctx context.Context, s *benchServer) (Memory, error) {
	wait := time.NewTimer(min(idleFor, time.Duration(b.seconds)*time.Second))
	defer wait.Stop()
	select {
	case <-wait.C:
		return s.memory()
	case <-ctx.Done():
		return Memory{}, ctx.Err()
	}
}

// office is one install under load.
type office struct {
	benchChat
	name   string
	desks  []benchDesk
	agents []string
	askers []string
	fixed  bool    // cards in groups cannot be changed
	rate   float64 // events a second
	turn   float64 // when it is its turn next, in seconds of the load
	called int     // calls before the load
	made   int     // calls during the load

	// Guarded by mix.mu.
	opened  int
	waiting []*errand // those whose next step may be taken, at their time
	load    tally
	met     map[string]bool // people who have done something
}

func (o *office) install() string { return o.platform() + "/" + o.name }

// tally is what a PlatformLoad is made of.
type tally struct {
	events, failed, again int
	answer, first         []time.Duration
	steps                 map[string][]time.Duration
}

func (t *tally) answered(took time.Duration, first bool) {
	t.answer = append(t.answer, took)
	if first {
		t.first = append(t.first, took)
	}
}

// errand is one ticket on its way from being asked for to being confirmed.
type errand struct {
	n       int
	at      *office
	desk    benchDesk
	asker   string
	agent   string
	number  string // "#12"
	card    showing
	asks    showing // what the requester confirms on
	step    int
	version int64 // that the desk's card shows
	sent    time.Time
	due     time.Time // before which nobody takes the next step
	waiting bool      // for the chat to show the step
	told    bool      // the step was answered
	pressed string    // ref of the card that the step presses
	first   bool      // the step is the first thing that its actor does
}

// Where a step is seen to have come about.
const (
	onDesk  = iota // the card in the desk's group
	onAsked        // the card that was pressed
	nowhere
)

// errandStep is what is done with a ticket next.
type errandStep struct {
	name string
	do   func(*errand) reaction
}

var errandSteps = []errandStep{
	{"open", func(e *errand) reaction {
		return e.at.ask(e.asker, e.desk.intake, fmt.Sprintf("建单 打印机脱机 bench%d\n三楼的打印机从今天早上起一直脱机，重启过。", e.n))
	}},
	{"claim", func(e *errand) reaction { return e.at.press(e.agent, e.card, claimLabel) }},
	{"say", func(e *errand) reaction {
		if e.n%2 == 0 {
			return e.at.tell(e.agent, e.card, e.number, "回复", "正在处理，请先不要关机。")
		}
		return e.at.tell(e.agent, e.card, e.number, "备注", "打印服务器上周打过补丁，先回退看看。")
	}},
	{"solve", func(e *errand) reaction {
		return e.at.tell(e.agent, e.card, e.number, "解决", "已回退补丁并重新连接，测试页正常。")
	}},
	{"confirm", func(e *errand) reaction { return e.at.press(e.asker, e.asks, confirmLabel) }},
}

// confirmLabel is the requester's button when his ticket has been solved.
const confirmLabel = "已解决"

// place is where a step of an errand is seen. Where cards of a group cannot be
// changed the desk is posted one when the ticket has come to its end, and the
// answer to a press may still change what was pressed.
func (e *errand) place() int {
	name := errandSteps[e.step].name
	switch {
	case !e.at.fixed, name == "open", name == "solve":
		return onDesk
	case name == "claim" && !e.card.plain, name == "confirm" && !e.asks.plain:
		return onAsked
	}
	return nowhere
}

// People take a while between what they see and what they do. A number that
// comes within three seconds after its card means the card before, for nobody
// reads so fast: whoever has to choose by number waits longer.
const (
	reads = 500 * time.Millisecond
	types = 3 * time.Second
)

// mix is the load: its tickets, and what came of it.
type mix struct {
	seal    *bot.Sealer
	offices []*office
	sending sync.WaitGroup

	mu      sync.Mutex // guards what follows, and the offices' parts
	errands map[int]*errand
	next    int
	done    int
	faults  []string
}

// add makes people and groups for one more install.
func (m *mix) add(c benchChat, i, rate int) {
	o := &office{benchChat: c, name: fmt.Sprintf("i%d", i), load: tally{steps: map[string][]time.Duration{}}, met: map[string]bool{}}
	o.fixed = c.kind() == "wecom" || c.kind() == "dingtalk, numbers"
	o.rate = min(slackMost, float64(rate)/(4*installsOfEach))
	if c.platform() != "slack" {
		o.rate = (float64(rate)/installsOfEach - o.rate) / 3
	}
	for i := range platformAgents {
		o.agents = append(o.agents, c.user(fmt.Sprintf("agent%d", i)))
	}
	for i := range platformAskers {
		o.askers = append(o.askers, c.user(fmt.Sprintf("asker%d", i)))
	}
	desks := 1
	if pace := postPace[c.platform()]; pace > 0 {
		desks = max(1, int(math.Ceil(o.rate/float64(len(errandSteps))*postsPerTicket/(pace/2))))
	}
	for i := range desks {
		o.desks = append(o.desks, benchDesk{
			key:    fmt.Sprintf("%s-%s-%d", c.platform(), o.name, i),
			intake: c.group(fmt.Sprintf("help%d", i), append(slices.Clone(o.askers), o.agents...)...),
			triage: c.group(fmt.Sprintf("desk%d", i), o.agents...),
		})
	}
	o.turn = rand.Float64() / o.rate
	m.offices = append(m.offices, o)
}

func (m *mix) close() {
	for _, o := range m.offices {
		o.close()
	}
}

// config is the server's configuration, as an operator would write it.
func (m *mix) config(key []byte, listen, ops, data, database string) ([]byte, error) {
	conf := map[string]any{
		"listen": listen, "ops_listen": ops, "data_dir": data, "database_url": database, "playground": "off",
		"secret_key": base64.StdEncoding.EncodeToString(key),
	}
	var desks []map[string]any
	for _, o := range m.offices {
		part, ok := conf[o.platform()].(map[string]any)
		if !ok {
			part = map[string]any{}
			conf[o.platform()] = part
		}
		part[o.name] = o.config()
		refs := func(ids ...string) (out []string) {
			for _, id := range ids {
				out = append(out, o.install()+"/"+id)
			}
			return out
		}
		for _, d := range o.desks {
			desks = append(desks, map[string]any{
				"key": d.key, "name": "IT 服务台", "intake": refs(d.intake), "triage": refs(d.triage), "agents": refs(o.agents...),
				"targets": []map[string]any{{"priority": 3, "respond": "4h", "solve": "24h"}},
			})
		}
	}
	conf["desks"] = desks
	return yaml.Marshal(conf)
}

// connectWithin bounds how long installs may take to be connected.
const connectWithin = 30 * time.Second

func (m *mix) connect(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	for _, o := range m.offices {
		o.watch(func(s showing) { m.arrived(o, s) })
		if err := o.connect(ctx, address+"/hooks/"+o.install()); err != nil {
			return fmt.Errorf("connect %s: %w", o.install(), err)
		}
	}
	return nil
}

// seenWithin is how long is waited at the end for what has not been seen yet, or
// the slowest would not count.
const seenWithin = 10 * time.Second

func (m *mix) run(ctx context.Context, rate int, how time.Duration) (time.Duration, error) {
	for _, o := range m.offices {
		o.called = o.calls()
	}
	begin := time.Now()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	end := time.NewTimer(how)
	defer end.Stop()
	for running := true; running; {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
			m.one()
		case <-end.C:
			running = false
		}
	}
	took := time.Since(begin)
	m.sending.Wait()
	late := time.NewTimer(seenWithin)
	defer late.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		m.mu.Lock()
		open := 0
		for _, e := range m.errands {
			if e.unseen() {
				open++
			}
		}
		m.mu.Unlock()
		if open == 0 {
			return took, nil
		}
		select {
		case <-look.C:
		case <-late.C:
			return took, nil
		}
	}
}

// unseen needs mix.mu. A ticket that is solved is not through before the
// requester has been asked.
func (e *errand) unseen() bool {
	return e.waiting || e.step > 0 && errandSteps[e.step].name == "confirm" && e.asks.ref == ""
}

// one sends the next event, to the install whose turn it is: of the ticket that
// has waited longest for its next step, or a new one.
func (m *mix) one() {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := slices.MinFunc(m.offices, func(a, b *office) int {
		if a.turn < b.turn {
			return -1
		}
		return 1
	})
	o.turn += 1 / o.rate
	now := time.Now()
	var e *errand
	if i := slices.IndexFunc(o.waiting, func(e *errand) bool { return !e.due.After(now) }); i >= 0 {
		e = o.waiting[i]
		o.waiting = slices.Delete(o.waiting, i, i+1)
	} else {
		k := o.opened
		e = &errand{n: m.next, at: o, desk: o.desks[k%len(o.desks)], asker: o.askers[k%len(o.askers)], agent: o.agents[k%len(o.agents)]}
		o.opened++
		m.errands[m.next] = e
		m.next++
	}
	e.sent, e.waiting, e.told, e.pressed = now, e.place() != nowhere, false, ""
	step := errandSteps[e.step]
	actor := e.agent
	switch step.name {
	case "open":
		actor = e.asker
	case "claim":
		e.pressed = e.card.ref
	case "confirm":
		actor, e.pressed = e.asker, e.asks.ref
	}
	e.first, o.met[actor] = !o.met[actor], true
	o.load.events++
	copied := *e // what was shown may change meanwhile
	m.sending.Go(func() {
		r := step.do(&copied)
		m.mu.Lock()
		defer m.mu.Unlock()
		o.load.again += r.again
		if r.err != nil {
			o.load.failed++
			if len(m.faults) < 10 {
				m.faults = append(m.faults, fmt.Sprintf("%s %s bench%d: %v", o.install(), step.name, copied.n, r.err))
			}
			delete(m.errands, e.n)
			return
		}
		if r.took >= 0 {
			o.load.answered(r.took, copied.first)
		}
		e.told = true
		m.proceed(e)
	})
}

// proceed needs m.mu: an errand whose step was answered, and seen where it can
// be, goes on to the next. It is called once for each of both.
func (m *mix) proceed(e *errand) {
	if e.told && !e.waiting {
		e.told = false
		if e.step++; e.step == len(errandSteps) {
			delete(m.errands, e.n)
			m.done++
			return
		}
		m.ready(e)
	}
}

// ready needs m.mu: it puts an errand in line whose next step can be taken.
func (m *mix) ready(e *errand) {
	on := e.card
	if errandSteps[e.step].name == "confirm" {
		on = e.asks
	}
	if e.step == 0 || e.step == len(errandSteps) || on.ref == "" || slices.Contains(e.at.waiting, e) {
		return
	}
	pause := reads + rand.N(reads)
	if name := errandSteps[e.step].name; on.plain && (name == "claim" || name == "confirm") {
		pause += types
	}
	e.due = time.Now().Add(pause)
	e.at.waiting = append(e.at.waiting, e)
}

var (
	errandNumber = regexp.MustCompile(`bench(\d+)`)
	anyToken     = regexp.MustCompile(`[A-Za-z0-9_-]{40,}`)
)

// find needs m.mu: whose errand it is that is shown.
func (m *mix) find(o *office, s showing) *errand {
	if f := errandNumber.FindStringSubmatch(s.text); f != nil {
		n, err := strconv.Atoi(f[1])
		if e := m.errands[n]; err == nil && e != nil && e.at == o {
			return e
		}
	}
	return nil
}

// arrived sees what becomes visible in an install's chats.
func (m *mix) arrived(o *office, s showing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.find(o, s)
	if e == nil {
		return
	}
	v := m.version(o, s.text)
	switch {
	case s.conv == e.desk.triage:
		if e.number == "" {
			e.number = ticketNumber.FindString(s.text)
		}
		if e.card.ref == "" || e.card.ref == s.ref || e.at.fixed {
			e.card = s
			newer := v == 0 || v > e.version
			e.version = max(e.version, v)
			if newer && e.waiting && (e.place() == onDesk || e.place() == onAsked && s.ref == e.pressed) {
				m.see(e, s.at)
			}
		}
	case strings.Contains(s.text, confirmLabel) && e.step > 0 && (e.step < len(errandSteps)-1 || e.asks.ref == "" || e.asks.ref == s.ref):
		first := e.asks.ref == ""
		e.asks = s
		if first && errandSteps[e.step].name == "confirm" && !e.waiting && !e.told {
			m.ready(e)
		}
	case e.waiting && e.place() == onAsked && s.ref == e.pressed:
		m.see(e, s.at)
	}
}

// see needs m.mu.
func (m *mix) see(e *errand, at time.Time) {
	name, took := errandSteps[e.step].name, at.Sub(e.sent)
	load := &e.at.load
	load.steps[name] = append(load.steps[name], took)
	if e.place() == onAsked && e.at.platform() == "wecom" {
		load.answered(took, e.first) // the change is the answer
	}
	e.waiting = false
	m.proceed(e)
}

// version is the ticket's version that a card shows, by what its buttons carry;
// 0 when it has none.
func (m *mix) version(o *office, text string) int64 {
	for _, token := range anyToken.FindAllString(text, -1) {
		if act, err := m.seal.Open(token, o.install()); err == nil && act.Version > 0 {
			return act.Version
		}
	}
	return 0
}

func (m *mix) figures(p *Platforms, took time.Duration) {
	for _, o := range m.offices { // not with m.mu: an emulator holds its own while it shows us something
		o.made = o.calls() - o.called
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p.Seconds, p.Installs, p.Opened, p.Finished, p.Faults = took.Seconds(), len(m.offices), m.next, m.done, m.faults
	p.By, p.Kinds = map[string]PlatformLoad{}, map[string]PlatformLoad{}
	by, kinds := map[string][]*office{}, map[string][]*office{}
	for _, o := range m.offices {
		p.Desks += len(o.desks)
		by[o.platform()] = append(by[o.platform()], o)
		kinds[o.kind()] = append(kinds[o.kind()], o)
	}
	p.All = m.load(m.offices)
	p.Rate = float64(p.All.Events) / took.Seconds()
	for name, list := range by {
		p.By[name] = m.load(list)
	}
	for name, list := range kinds {
		p.Kinds[name] = m.load(list)
	}
}

// load needs m.mu.
func (m *mix) load(list []*office) (l PlatformLoad) {
	var answer, first, seen []time.Duration
	steps := map[string][]time.Duration{}
	calls := 0
	for _, o := range list {
		t := o.load
		l.Events, l.Failed, l.Again = l.Events+t.events, l.Failed+t.failed, l.Again+t.again
		answer, first = append(answer, t.answer...), append(first, t.first...)
		for name, all := range t.steps {
			steps[name], seen = append(steps[name], all...), append(seen, all...)
		}
		calls += o.made
	}
	for _, e := range m.errands {
		if slices.Contains(list, e.at) && e.unseen() {
			l.Unseen++
		}
	}
	l.Answer, l.First, l.Seen, l.Steps = latency(answer), latency(first), latency(seen), map[string]Latency{}
	for _, name := range slices.Sorted(maps.Keys(steps)) {
		l.Steps[name] = latency(steps[name])
	}
	if l.Events > 0 {
		l.Calls = float64(calls) / float64(l.Events)
	}
	return l
}
