package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/bot"
)

// Visible is what came of a mixed day's work.
type Visible struct {
	Database string             `json:"database"`
	Rate     float64            `json:"events_per_s"` // reached, not wished
	Seconds  float64            `json:"seconds"`
	Opened   int                `json:"opened"`
	Finished int                `json:"finished"`
	Unseen   int                `json:"unseen"`  // events whose effect was not seen by the end
	Failed   int                `json:"failed"`  // events that were not answered with success
	Answer   Latency            `json:"answer"`  // from sent until answered, which is after the commit
	Seen     Latency            `json:"seen"`    // from sent until the group's card shows it
	Steps    map[string]Latency `json:"by_step"` // the same, by what was done
	Memory   Memory             `json:"memory"`
	Warnings []string           `json:"warnings,omitempty"` // of the server's log, the first ones
}

// A platform lets an app post about once a second in a channel and some eight
// times a second in a workspace, and the program keeps to that. So the load is
// spread as it would be: over workspaces and groups.
const (
	visibleSpaces = 8
	visibleDesks  = 6
)

func (b *bench) visible(ctx context.Context) (any, error) {
	var all []Visible
	for _, d := range b.databases {
		v, err := b.visibleOn(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		b.say("%s: %.0f events/s, seen p50 %.0f ms, p95 %.0f ms, p99 %.0f ms, memory %.0f MiB, load %s", d, v.Rate, v.Seen.P50, v.Seen.P95, v.Seen.P99, v.Memory.Peak, loadAverage())
		all = append(all, v)
	}
	return all, nil
}

func (b *bench) visibleOn(ctx context.Context, database string) (v Visible, err error) {
	var spaces []*workspace
	for i := range visibleSpaces {
		w, err := newWorkspace(fmt.Sprintf("w%d", i), visibleDesks, 8, 16)
		if err != nil {
			return v, err
		}
		spaces = append(spaces, w)
	}
	w, err := newWorld(spaces...)
	if err != nil {
		return v, err
	}
	defer w.close()
	st, err := b.newStore(ctx, database)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	s, err := b.serveChild(ctx, "visible-"+database, func(listen, ops, data string) ([]byte, error) { return w.config(listen, ops, data, st.template()) })
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, s.kill()) }()

	d := &day{seal: bot.NewSealer(w.key), flows: map[int]*flow{}, steps: map[string][]time.Duration{}}
	for _, w := range spaces {
		w.slack.Deliver(s.hook(w))
		w.slack.OnArrival(d.arrived)
	}
	wait := b.cpuProfile(ctx, s, "visible-"+database, b.seconds)
	took, err := d.run(ctx, spaces, b.rate, time.Duration(b.seconds)*time.Second)
	if err != nil {
		return v, err
	}
	v = d.figures(took)
	v.Database = database
	if err := wait(); err != nil {
		return v, err
	}
	if v.Memory, err = s.memory(); err != nil {
		return v, err
	}
	v.Warnings = s.warnings(10)
	if v.Failed > 0 || v.Opened == 0 {
		return v, fmt.Errorf("%d of the events failed, %d tickets were opened: %v\n%.3000s", v.Failed, v.Opened, d.first, s.log)
	}
	return v, nil
}

// day is the work of a day: tickets on their way from being asked for to being
// confirmed, an event at a time each.
type day struct {
	sending sync.WaitGroup
	seal    *bot.Sealer

	mu     sync.Mutex // guards what follows
	flows  map[int]*flow
	ready  []*flow // whose last step has been seen
	next   int
	steps  map[string][]time.Duration
	answer []time.Duration
	sent   int
	failed int
	first  error // that an event failed with
	done   int
}

// flow is one ticket on its way.
type flow struct {
	n       int
	space   *workspace
	desk    benchDesk
	asker   string
	agent   string
	card    string // in the desk's group
	asked   string // the requester's message, root of his thread
	receipt string // in that thread
	step    int
	version int64 // that the card shows
	told    int64 // version that the receipt shows
	sent    time.Time
	waiting bool // for the group to see the step
}

// steps of a ticket, in their order. Each returns what the platform was answered.
var steps = []struct {
	name string
	do   func(f *flow) []slacktest.Answer
}{
	{"open", func(f *flow) []slacktest.Answer {
		asked, a := f.space.slack.Mention(f.asker, f.desk.intake, "", fmt.Sprintf("建单 打印机脱机 bench-%d\n三楼的打印机从今天早上起一直脱机，重启过。", f.n))
		f.asked = asked
		return a
	}},
	{"claim", func(f *flow) []slacktest.Answer {
		return []slacktest.Answer{f.space.slack.Click(f.agent, f.card, claimLabel)}
	}},
	{"say", func(f *flow) []slacktest.Answer {
		_, a := f.space.slack.Say(f.asker, f.desk.intake, f.asked, "补充一下：错误代码是 0x0000011b。")
		return a
	}},
	{"reply", func(f *flow) []slacktest.Answer {
		_, a := f.space.slack.Say(f.agent, f.desk.triage, f.card, "📣 正在处理，请先不要关机。")
		return a
	}},
	{"note", func(f *flow) []slacktest.Answer {
		_, a := f.space.slack.Say(f.agent, f.desk.triage, f.card, "打印服务器上周打过补丁，先回退看看。")
		return a
	}},
	{"priority", func(f *flow) []slacktest.Answer {
		_, a := f.space.slack.Say(f.agent, f.desk.triage, f.card, "优先级 P2")
		return a
	}},
	{"solve", func(f *flow) []slacktest.Answer {
		_, a := f.space.slack.Say(f.agent, f.desk.triage, f.card, "解决 已回退补丁并重新连接，测试页正常。")
		return a
	}},
	{"confirm", func(f *flow) []slacktest.Answer {
		return []slacktest.Answer{f.space.slack.Click(f.asker, f.receipt, "已解决")}
	}},
}

func (d *day) run(ctx context.Context, spaces []*workspace, rate int, how time.Duration) (time.Duration, error) {
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
			d.one(spaces)
		case <-end.C:
			running = false
		}
	}
	took := time.Since(begin)
	d.sending.Wait()
	// What was sent last may take its time too, or the slowest would not count.
	late := time.NewTimer(5 * time.Second)
	defer late.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		d.mu.Lock()
		open := d.unseen()
		d.mu.Unlock()
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

// one sends the next event: of the ticket that has waited longest for its next
// step, or a new one.
func (d *day) one(spaces []*workspace) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var f *flow
	if len(d.ready) > len(spaces) { // else all tickets would march in step
		f, d.ready = d.ready[0], d.ready[1:]
	} else {
		w := spaces[d.next%len(spaces)]
		k := d.next / len(spaces)
		f = &flow{n: d.next, space: w, desk: w.desks[k%len(w.desks)], asker: w.requesters[k%len(w.requesters)], agent: w.agents[k%len(w.agents)]}
		d.flows[f.n] = f
		d.next++
	}
	step := steps[f.step]
	f.sent, f.waiting = time.Now(), true
	sent := f.sent
	d.sent++
	d.sending.Go(func() {
		answers := step.do(f)
		took := time.Since(sent)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.answer = append(d.answer, took)
		for _, a := range answers {
			if !a.OK() {
				d.failed++
				if d.first == nil {
					d.first = fmt.Errorf("%s: status %d: %w", step.name, a.Status, a.Err)
				}
				break
			}
		}
	})
}

var benchNumber = regexp.MustCompile(`bench-(\d+)`)

// arrived sees what becomes visible in the groups.
func (d *day) arrived(a slacktest.Arrival) {
	m := benchNumber.FindSubmatch(a.Blocks)
	if m == nil {
		m = benchNumber.FindSubmatch([]byte(a.Text))
	}
	if m == nil {
		return
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return // a number that we did not give
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ref := d.flows[n], a.Channel+"/"+a.TS
	switch {
	case f == nil:
		return
	case a.Channel == f.desk.intake && (f.receipt == "" || f.receipt == ref):
		f.receipt, f.told = ref, d.version(f, a.Blocks)
	case a.Channel == f.desk.triage && f.card == "":
		f.card = ref
		d.see(f, a)
	case ref == f.card:
		d.see(f, a)
	}
	confirms := f.step == len(steps)-1 // by a button of the receipt, which must have come to it
	if !f.waiting && f.step > 0 && f.step < len(steps) && f.receipt != "" && (!confirms || f.told >= f.version) && !slices.Contains(d.ready, f) {
		d.ready = append(d.ready, f)
	}
}

var buttonToken = regexp.MustCompile(`"value":\s*"([A-Za-z0-9_-]{40,})"`)

// version is the ticket's version that a card shows, by what its buttons carry;
// 0 when it has none.
func (d *day) version(f *flow, blocks []byte) int64 {
	for _, m := range buttonToken.FindAllSubmatch(blocks, -1) {
		if act, err := d.seal.Open(string(m[1]), f.space.install()); err == nil && act.Version > 0 {
			return act.Version
		}
	}
	return 0
}

// see needs d.mu. A card that is drawn anew for another reason than the step
// shows no newer version.
func (d *day) see(f *flow, a slacktest.Arrival) {
	v := d.version(f, a.Blocks)
	if !f.waiting || v != 0 && v <= f.version {
		return
	}
	f.version = v
	name := steps[f.step].name
	d.steps[name] = append(d.steps[name], a.At.Sub(f.sent))
	f.waiting = false
	if f.step++; f.step == len(steps) {
		delete(d.flows, f.n)
		d.done++
	}
}

// unseen needs d.mu.
func (d *day) unseen() (n int) {
	for _, f := range d.flows {
		if f.waiting {
			n++
		}
	}
	return n
}

func (d *day) figures(took time.Duration) Visible {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := Visible{Seconds: took.Seconds(), Rate: float64(d.sent) / took.Seconds(), Opened: d.next, Finished: d.done, Unseen: d.unseen(), Failed: d.failed, Answer: latency(d.answer), Steps: map[string]Latency{}}
	var all []time.Duration
	for _, name := range slices.Sorted(maps.Keys(d.steps)) {
		all = append(all, d.steps[name]...)
		v.Steps[name] = latency(d.steps[name])
	}
	v.Seen = latency(all)
	return v
}
