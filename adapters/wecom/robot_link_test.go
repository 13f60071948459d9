package wecom

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// until waits for something that happens elsewhere.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// linkBench is an emulator whose robot has a long connection.
type linkBench struct {
	*wecomtest.Server
	clock *testClock
	shelf *memShelf
	group string
}

func newLinkBench(t *testing.T) *linkBench {
	t.Helper()
	leakFree(t)
	b := &linkBench{clock: clockAt(time.Now())}
	b.Server = wecomtest.New(wecomtest.Options{Now: b.clock.now, RateLimits: true})
	t.Cleanup(b.Server.Close)
	b.shelf = newShelf(b.clock.now)
	for _, u := range []string{"zhangsan", "lisi"} {
		b.AddUser(wecomtest.User{ID: u})
	}
	b.group = b.AddGroup("值班", "zhangsan", "lisi")
	return b
}

// process is one of several that share a Shelf.
type process struct {
	a      *Adapter
	cancel context.CancelFunc
	done   chan error

	mu     sync.Mutex // guards what follows
	handle func(ctx context.Context, e bot.Event) (bot.Reply, error)
	got    []bot.Event
	wrote  []error
	alarms []bot.Alarm
}

// quickTempo is for tests that wait for what the tempo rules.
func quickTempo() tempo {
	p := usualTempo
	p.renew, p.grace = 20*time.Millisecond, 5*time.Second
	p.lease = 1000 * time.Hour // the clock of a test may run far ahead of the renewals
	p.pause = func(int) time.Duration { return time.Millisecond }
	p.again = func(int) time.Duration { return time.Millisecond }
	return p
}

func (b *linkBench) process(t *testing.T, shelf bot.Shelf, change func(*tempo, *Config)) *process {
	t.Helper()
	p := &process{done: make(chan error, 1)}
	speed := quickTempo()
	conf := Config{APIURL: b.APIURL(), Robot: RobotConfig{ID: wecomtest.Robot, Secret: wecomtest.RobotSecret, WSURL: b.WSURL()}}
	if change != nil {
		change(&speed, &conf)
	}
	client := &http.Transport{}
	t.Cleanup(client.CloseIdleConnections)
	var err error
	p.a, err = New(conf, bot.Deps{Log: quiet(), Now: b.clock.now, Shelf: shelf, HTTP: plainClient(client), Alarm: func(_ context.Context, a bot.Alarm) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.alarms = append(p.alarms, a)
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.a.robot.tempo = speed
	return p
}

// start runs the process as the program does, until the test ends or stop.
func (p *process) start(t *testing.T) *process {
	t.Helper()
	gateway := &bot.Gateway{Installs: map[bot.Install]bot.Adapter{p.a.Install(): p.a}, Sink: p.sink, Log: quiet(), Budget: time.Minute}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() {
		p.done <- p.a.Stream(ctx, func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error {
			return gateway.Frame(ctx, p.a.Install(), w, r)
		})
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	select {
	case err := <-p.done:
		p.done <- nil
		if err != nil {
			t.Errorf("Stream: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Stream does not end")
	}
}

func (p *process) holds() bool { return p.a.robot.held.Load() != nil }

func (p *process) up(t *testing.T) *process {
	t.Helper()
	p.start(t)
	until(t, "the connection is open", p.holds)
	return p
}

func (p *process) sink(ctx context.Context, _ bot.Install, in bot.Inbound) (bot.Reply, error) {
	p.mu.Lock()
	handle := p.handle
	p.mu.Unlock()
	var out bot.Reply
	if handle != nil {
		var err error
		if out, err = handle(ctx, in.Events[0]); err != nil {
			return bot.Reply{}, err
		}
	}
	out.Written = func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wrote = append(p.wrote, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, in.Events...)
	return out, nil
}

func (p *process) on(f func(ctx context.Context, e bot.Event) (bot.Reply, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handle = f
}

func (p *process) events() []bot.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

func (p *process) written() []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.wrote)
}

func (p *process) group(id string) bot.Dest { return bot.Dest{Install: p.a.install, Conv: id} }

func say(r bot.Reply) func(context.Context, bot.Event) (bot.Reply, error) {
	return func(context.Context, bot.Event) (bot.Reply, error) { return r, nil }
}

func TestLongConnectionCarriesEverything(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	if _, err := p.a.Post(t.Context(), p.group(b.group), "o0", ticketCard()); !errors.Is(err, bot.ErrMustSpeak) {
		t.Errorf("into a group where nobody has spoken: %v", err)
	}
	b.Mention("zhangsan", b.group, "打印机坏了")
	until(t, "the message is there", func() bool { return len(p.events()) == 1 })
	e := p.events()[0]
	if e.Text != "打印机坏了" || e.Conv.ID != b.group || e.Private || e.User.ID != "zhangsan" || p.a.Inline(e) != (bot.Inline{}) {
		t.Errorf("event %+v, inline %+v", e, p.a.Inline(e))
	}
	ref, err := p.a.Post(t.Context(), p.group(b.group), "o1", ticketCard())
	if err != nil {
		t.Fatal(err)
	}
	shown := b.Cards(b.group)
	if len(shown) != 1 {
		t.Fatalf("shown %+v", shown)
	}
	p.on(func(_ context.Context, e bot.Event) (bot.Reply, error) {
		if e.Kind != bot.Click || e.Message != ref || e.Token != "TOKEN-claim" || !p.a.Inline(e).Card {
			t.Errorf("event %+v", e)
		}
		c := ticketCard()
		c.Title = "#1024 由 李四 接单"
		return bot.Reply{Card: &c}, nil
	})
	b.Press("lisi", shown[0].Ref(), "接单")
	until(t, "the press is answered", func() bool { return len(p.written()) == 2 })
	if m, _ := b.Message(shown[0].Ref()); !strings.Contains(string(m.CardFor("zhangsan")), "由 李四 接单") || p.written()[1] != nil {
		t.Errorf("others see %s (%v)", m.CardFor("zhangsan"), p.written())
	}
	// In private the answer itself carries the hint.
	p.on(say(bot.Reply{Hint: &cards.Card{Title: "没有 #9"}}))
	b.Ask("lisi", "查 #9")
	until(t, "the hint is there", func() bool {
		all := b.Messages(wecomtest.RobotChat("lisi"))
		return len(all) == 2 && strings.Contains(all[1].Text, "没有 #9")
	})
	p.on(say(bot.Reply{Hint: &cards.Card{Title: "你好", Actions: []cards.Action{{Label: "建单", Token: "T"}}}}))
	b.EnterRobot("zhangsan")
	until(t, "the welcome is there", func() bool { return len(b.Cards(wecomtest.RobotChat("zhangsan"))) == 1 })
	if _, err := p.a.Update(t.Context(), ref, ticketCard()); !errors.Is(err, bot.ErrFixed) {
		t.Errorf("Update = %v, want ErrFixed", err)
	}
	if f := p.a.Check(t.Context()); len(f) != 1 || !f[0].OK || b.Subscriptions() != 1 {
		t.Errorf("check: %+v, %d subscriptions", f, b.Subscriptions())
	}
}

func TestCheckDoesNotTakeTheConnection(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	doctor := b.process(t, newShelf(nil), nil)
	if f := doctor.a.Check(t.Context()); len(f) != 1 || !f[0].OK {
		t.Errorf("check: %+v", f)
	}
	if !p.holds() || b.Subscriptions() != 1 {
		t.Error("the check ended the connection of the one at work")
	}
	if f := b.process(t, b.shelf, nil).a.Check(t.Context()); !f[0].OK || !strings.Contains(f[0].Says, "running process") {
		t.Errorf("check beside the database: %+v", f)
	}
	if err := b.shelf.Put(t.Context(), robotRest, "taken", time.Hour); err != nil {
		t.Fatal(err)
	}
	if f := p.a.Check(t.Context()); f[0].OK || !f[0].Warn {
		t.Errorf("check while another program has it: %+v", f)
	}
	b.Server.Close()
	if f := doctor.a.Check(t.Context()); f[0].OK {
		t.Errorf("nobody is there: %+v", f)
	}
}

func TestALatePressIsNotAnswered(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, func(s *tempo, _ *Config) { s.window = 30 * time.Millisecond }).up(t)
	b.Talked(b.group)
	if _, err := p.a.Post(t.Context(), p.group(b.group), "o1", ticketCard()); err != nil {
		t.Fatal(err)
	}
	p.on(func(ctx context.Context, _ bot.Event) (bot.Reply, error) {
		c := ticketCard()
		sleep(ctx, 40*time.Millisecond)
		return bot.Reply{Card: &c}, nil
	})
	b.Press("lisi", b.Cards(b.group)[0].Ref(), "接单")
	until(t, "the press is dealt with", func() bool { return len(p.written()) == 1 })
	if err := p.written()[0]; !errors.Is(err, errLate) || b.Calls(cmdUpdate) != 0 {
		t.Errorf("written %v after %d answers, want errLate and none", err, b.Calls(cmdUpdate))
	}
	if len(p.events()) != 1 {
		t.Errorf("%d events: a press that was dealt with came again", len(p.events()))
	}
}

func TestAnAnswerThatWasNotTakenIsTold(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	b.Talked(b.group)
	if _, err := p.a.Post(t.Context(), p.group(b.group), "o1", ticketCard()); err != nil {
		t.Fatal(err)
	}
	c := ticketCard()
	p.on(say(bot.Reply{Card: &c}))
	b.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: cmdUpdate, Code: 846605})
	b.Press("lisi", b.Cards(b.group)[0].Ref(), "接单")
	until(t, "the press is dealt with", func() bool { return len(p.written()) == 1 })
	if err := p.written()[0]; !errors.Is(err, bot.ErrGone) || len(p.events()) != 1 {
		t.Errorf("written %v, %d events; want ErrGone and one", err, len(p.events()))
	}
}

// intruder opens a connection with the same secret, as another program would.
func (b *linkBench) intruder(t *testing.T) *websocket.Conn {
	t.Helper()
	ws, resp, err := websocket.DefaultDialer.Dial(b.WSURL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		t.Cleanup(func() { _ = resp.Body.Close() })
	}
	t.Cleanup(func() { _ = ws.Close() })
	if err := ws.WriteJSON(object{"cmd": cmdSubscribe, "headers": object{"req_id": "x"}, "body": object{"bot_id": wecomtest.Robot, "secret": wecomtest.RobotSecret}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	return ws
}

func TestAConnectionThatWasTakenIsNotFoughtFor(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	other := b.process(t, b.shelf, nil).start(t)
	var looks atomic.Int64
	b.shelf.broken(func(op, key string) error {
		if op == "get" && key == robotRest {
			looks.Add(1)
		}
		return nil
	})
	b.intruder(t)
	until(t, "the connection is gone", func() bool { return !p.holds() })
	was := looks.Load()
	until(t, "both processes have looked again and again", func() bool { return looks.Load() > was+20 })
	if b.Subscriptions() != 2 || p.holds() || other.holds() {
		t.Errorf("%d subscriptions, want the first and the intruder's", b.Subscriptions())
	}
	if p.a.Here(p.group(b.group)) {
		t.Error("Here without a connection")
	}
	p.mu.Lock()
	alarms := slices.Clone(p.alarms)
	p.mu.Unlock()
	if len(alarms) != 1 || alarms[0].What != cards.AlarmTaken || alarms[0].Args["install"] != "wecom/default" || alarms[0].Once == "" {
		t.Errorf("alarms %+v", alarms)
	}
	b.clock.advance(usualTempo.rest + time.Second)
	until(t, "one of them has it again", func() bool { return p.holds() || other.holds() })
}

func TestTwoMissedPongsEndTheConnection(t *testing.T) {
	b := newLinkBench(t)
	b.Fail(wecomtest.Fault{Kind: wecomtest.Silent, Method: cmdPing, Times: -1})
	p := b.process(t, b.shelf, func(s *tempo, _ *Config) { s.ping = 10 * time.Millisecond }).up(t)
	until(t, "it has been opened again", func() bool { return b.Subscriptions() >= 2 })
	if b.Calls(cmdPing) < 2 {
		t.Errorf("ended after %d signs of life, want 2", b.Calls(cmdPing))
	}
	b.Heal()
	until(t, "it is open", p.holds)
	n, pings := b.Subscriptions(), b.Calls(cmdPing)
	until(t, "many signs of life were answered", func() bool { return b.Calls(cmdPing) > pings+20 })
	if got := b.Subscriptions(); got > n+1 {
		t.Errorf("%d more connections although every sign of life was answered", got-n)
	}
}

// lamed is a Shelf that one process can no longer reach.
type lamed struct {
	*memShelf
	lame atomic.Bool
}

var errLame = errors.New("database not reached")

func (s *lamed) Swap(ctx context.Context, key, old, value string, keep time.Duration) (bool, error) {
	if s.lame.Load() {
		return false, errLame
	}
	return s.memShelf.Swap(ctx, key, old, value, keep)
}

func TestOneOfTwoProcessesHasTheConnection(t *testing.T) {
	b := newLinkBench(t)
	p, q := b.process(t, b.shelf, nil).start(t), b.process(t, b.shelf, nil).start(t)
	until(t, "one has it", func() bool { return p.holds() || q.holds() })
	if q.holds() {
		p, q = q, p
	}
	b.Talked(b.group)
	to := p.group(b.group)
	if !p.a.Here(to) || q.a.Here(to) {
		t.Errorf("Here = %v, %v; want true where the connection is and false elsewhere", p.a.Here(to), q.a.Here(to))
	}
	if _, err := q.a.Post(t.Context(), to, "o", ticketCard()); err == nil || errors.Is(err, bot.ErrUnknown) || errors.Is(err, bot.ErrGone) || errors.Is(err, bot.ErrRejected) {
		t.Errorf("post without the connection: %v, want one that says: not sent, try again", err)
	}
	p.stop(t)
	until(t, "the other has it", q.holds)
	if _, err := q.a.Post(t.Context(), to, "o", ticketCard()); err != nil {
		t.Error(err)
	}
	if b.Subscriptions() != 2 || len(p.alarms)+len(q.alarms) > 0 {
		t.Errorf("%d subscriptions, alarms %v %v: they took it from each other", b.Subscriptions(), p.alarms, q.alarms)
	}
}

func TestWhoCannotRenewTheLeaseLeavesBeforeItEnds(t *testing.T) {
	b := newLinkBench(t)
	b.shelf.now = time.Now
	quick := func(s *tempo, _ *Config) { s.lease, s.renew = 3*time.Second, time.Second } // half a second between the one and the other
	mine := &lamed{memShelf: b.shelf}
	p := b.process(t, mine, quick).up(t)
	q := b.process(t, b.shelf, quick).start(t)
	mine.lame.Store(true)
	until(t, "the lame one has left", func() bool { return !p.holds() })
	if q.holds() {
		t.Error("the other came before the lame one had left")
	}
	until(t, "the other has it", q.holds)
	if len(p.alarms) > 0 {
		t.Errorf("alarms %+v", p.alarms)
	}
}

func TestALeaseThatTheShelfForgotIsTakenAgain(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	for range 3 {
		if err := b.shelf.Put(t.Context(), robotLease, "", 0); err != nil {
			t.Fatal(err)
		}
		until(t, "the lease is there again", func() bool {
			who, err := b.shelf.Get(t.Context(), robotLease)
			return err == nil && who != ""
		})
	}
	if !p.holds() || b.Subscriptions() != 1 {
		t.Errorf("holds %v after %d subscriptions; want the first connection still", p.holds(), b.Subscriptions())
	}
	// Once another process has it, it is lost all the same.
	if err := b.shelf.Put(t.Context(), robotLease, "another", time.Hour); err != nil {
		t.Fatal(err)
	}
	until(t, "the connection is given up", func() bool { return !p.holds() })
}

func TestAConnectionIsNotOpenedWithoutTheLease(t *testing.T) {
	b := newLinkBench(t)
	b.shelf.now = time.Now
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	mine := &lamed{memShelf: b.shelf}
	p := b.process(t, mine, func(s *tempo, c *Config) {
		s.lease, s.renew = time.Second, 100*time.Millisecond
		c.Robot.WSURL = "ws://" + silent.Addr().String()
	}).start(t)
	c, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	mine.lame.Store(true)
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || bytes.Contains(b, []byte(wecomtest.RobotSecret)) {
		t.Errorf("the dial went on after the lease was lost: %v", err)
	}
	p.stop(t)
}

func TestAProcessThatTookOverIsNoIntruder(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	// The database lost the lease, and another process of ours came.
	if err := b.shelf.Put(t.Context(), robotLease, "another", time.Hour); err != nil {
		t.Fatal(err)
	}
	b.intruder(t)
	until(t, "the connection is gone", func() bool { return !p.holds() })
	p.stop(t)
	if rest, err := b.shelf.Get(t.Context(), robotRest); err != nil || rest != "" || len(p.alarms) > 0 {
		t.Errorf("rest %q, %v, alarms %+v", rest, err, p.alarms)
	}
}

func TestNothingOfABurstIsLost(t *testing.T) {
	const n = 500
	b := newLinkBench(t)
	gate := make(chan struct{})
	p := b.process(t, b.shelf, nil)
	p.on(func(ctx context.Context, _ bot.Event) (bot.Reply, error) {
		select {
		case <-gate: // nothing is dealt with before all has been read
			return bot.Reply{}, nil
		case <-ctx.Done():
			return bot.Reply{}, ctx.Err()
		}
	})
	p.up(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	read := map[string]bool{} // ids of what the platform knows to be read
	const people = 10
	for u := range people {
		user := b.AddUser(wecomtest.User{ID: fmt.Sprintf("user%d", u)})
		all.Go(func() {
			for i := range n / people {
				if ref, a := b.Ask(user, fmt.Sprintf("消息 %d", i)); a.OK() {
					_, id, _ := strings.Cut(ref, "/")
					mu.Lock()
					read["robot:"+id] = true
					mu.Unlock()
				}
				if u == 0 && i == n/people/2 {
					b.Cut() // without a word, in the middle
				}
			}
		})
	}
	all.Wait()
	close(gate)
	if len(read) < n-2*people {
		t.Errorf("only %d of %d were read", len(read), n)
	}
	until(t, "all are dealt with", func() bool { return len(p.events()) >= len(read) })
	p.stop(t)
	last := map[string]int{}
	seen := map[string]bool{}
	for _, e := range p.events() {
		if seen[e.ID] {
			t.Errorf("%s came twice", e.ID)
		}
		seen[e.ID] = true
		var i int
		if _, err := fmt.Sscanf(e.Text, "消息 %d", &i); err != nil {
			t.Fatal(err)
		}
		if was, ok := last[e.User.ID]; ok && i <= was {
			t.Errorf("%s: %d after %d", e.User.ID, i, was)
		}
		last[e.User.ID] = i
	}
	for id := range read {
		if !seen[id] {
			t.Errorf("%s was read and is lost", id)
		}
	}
}

// When far too much is in hand no more is read, and that is not taken for a
// platform that has fallen silent.
func TestWhatIsTooMuchWaitsWithThePlatform(t *testing.T) {
	b := newLinkBench(t)
	gate := make(chan struct{})
	p := b.process(t, b.shelf, func(s *tempo, _ *Config) { s.room, s.ping = 2, 5*time.Millisecond })
	p.on(func(context.Context, bot.Event) (bot.Reply, error) { <-gate; return bot.Reply{}, nil })
	p.up(t)
	var all sync.WaitGroup
	for i := range 12 {
		user := b.AddUser(wecomtest.User{ID: fmt.Sprint("user", i)})
		all.Go(func() { b.Ask(user, "x") })
	}
	until(t, "nothing more is read", func() bool { return p.a.robot.held.Load().full.Load() })
	pings := b.Calls(cmdPing)
	until(t, "many signs of life have gone unheard", func() bool { return b.Calls(cmdPing) > pings+10 })
	close(gate)
	all.Wait()
	until(t, "all are dealt with", func() bool { return len(p.events()) == 12 })
	if b.Subscriptions() != 1 {
		t.Errorf("%d connections", b.Subscriptions())
	}
}

func TestEveryCardIsTakenAndNothingInItIsAlive(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	b.Talked(b.group)
	b.Talked(wecomtest.RobotChat("zhangsan"))
	all := adaptertest.Extremes()
	for _, s := range cards.Samples() {
		all["sample "+s.Name] = s.Card
	}
	for i, s := range adaptertest.Attacks {
		act := []cards.Action{{Label: s, Token: "a"}}
		all[fmt.Sprint("attack ", i)] = cards.Card{Lang: cards.EN, Title: s, Badges: []string{s}, Body: s + "\n" + s, Note: s, Alt: s, Facts: []cards.Fact{{Label: s, Value: s, Action: &act[0]}}, Actions: act, Ping: []string{s}}
		all[fmt.Sprint("attack in a list ", i)] = cards.Card{Lang: cards.EN, Title: s, Rows: []cards.Row{{Text: s, Detail: s, Actions: act}}}
	}
	for name, c := range all {
		for _, to := range []bot.Dest{p.group(b.group), {Install: p.a.install, User: "zhangsan"}} {
			b.clock.advance(3 * time.Second) // as fast as the platform takes them
			for _, card := range []cards.Card{c, cards.Fit(c, p.a.Caps())} {
				if _, err := p.a.Post(t.Context(), to, fmt.Sprint(name, to.Lane(), len(card.Body)), card); err != nil && !errors.Is(err, bot.ErrRejected) {
					t.Errorf("%s: %v", name, err)
				} else if err != nil && code(err) != usedTask {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	bare := strings.NewReplacer("https://", "https-", "http://", "http-")
	for _, chat := range []string{b.group, wecomtest.RobotChat("zhangsan")} {
		for _, m := range b.Messages(chat) {
			m.Text = bare.Replace(m.Text)
			if live := m.Live(); len(live) > 0 {
				t.Errorf("%q is alive in %s", live, m.Text)
			}
		}
	}
}

func TestManyPostAtOnce(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	const n = perChatMinute
	groups := []string{b.group, b.AddGroup("二线", "zhangsan"), b.AddGroup("三线", "lisi")}
	var all sync.WaitGroup
	refs := make(chan bot.MessageRef, n*len(groups))
	for _, g := range groups {
		b.Talked(g)
		for i := range n {
			all.Go(func() {
				ref, err := p.a.Post(t.Context(), p.group(g), fmt.Sprint(g, i), ticketCard())
				if err != nil {
					t.Error(err)
				}
				refs <- ref
			})
		}
	}
	all.Wait()
	close(refs)
	different := map[bot.MessageRef]bool{}
	for r := range refs {
		different[r] = true
	}
	if len(different) != n*len(groups) || len(b.Cards(groups[0])) != n {
		t.Errorf("%d references, %d cards in the first group", len(different), len(b.Cards(groups[0])))
	}
}

func TestLogsTellNoSecret(t *testing.T) {
	b := newLinkBench(t)
	var out syncBuffer
	p := b.process(t, b.shelf, func(s *tempo, _ *Config) { s.ack = 20 * time.Millisecond })
	p.a.robot.log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p.up(t)
	b.Talked(b.group)
	p.on(func(context.Context, bot.Event) (bot.Reply, error) { return bot.Reply{}, errLame })
	b.Ask("zhangsan", "我的密码是 hunter2")
	for _, k := range []wecomtest.FaultKind{wecomtest.Silent, wecomtest.CutAfter, wecomtest.Limited} {
		b.Fail(wecomtest.Fault{Kind: k, Method: cmdSend})
		until(t, "it is open", func() bool { return p.holds() && b.Connected() })
		if _, err := p.a.Post(t.Context(), p.group(b.group), fmt.Sprint("o", k), cards.Card{Title: "hunter2"}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", k, err)
		}
	}
	b.intruder(t)
	until(t, "it was taken", func() bool { return !p.holds() })
	p.stop(t)
	for _, s := range []string{wecomtest.RobotSecret, "hunter2"} {
		if strings.Contains(out.String(), s) {
			t.Errorf("%q is in the log:\n%s", s, out.String())
		}
	}
	if !strings.Contains(out.String(), "given up") || !strings.Contains(out.String(), "taken") {
		t.Errorf("the log does not say what happened:\n%s", out.String())
	}
}

// syncBuffer is a log that several write to.
type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestWhatASinkRefusesIsHandedOnAgain(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	b.Talked(b.group)
	var tries atomic.Int64
	p.on(func(context.Context, bot.Event) (bot.Reply, error) {
		if tries.Add(1) < 4 {
			return bot.Reply{}, errLame
		}
		return bot.Reply{Hint: &cards.Card{Title: "好"}}, nil
	})
	b.Ask("zhangsan", "一")
	until(t, "it was taken in the end", func() bool { return len(p.written()) == 1 })
	if tries.Load() != 4 || p.written()[0] != nil || b.Calls(cmdRespond) != 1 {
		t.Errorf("%d tries, %v written, %d answers", tries.Load(), p.written(), b.Calls(cmdRespond))
	}
	// A press whose sink fails is never answered.
	if _, err := p.a.Post(t.Context(), p.group(b.group), "o1", ticketCard()); err != nil {
		t.Fatal(err)
	}
	tries.Store(-1000)
	b.Press("lisi", b.Cards(b.group)[0].Ref(), "接单")
	until(t, "it was given up", func() bool { return tries.Load() == -1000+pressTries })
	// Nor is what follows held up by it.
	p.on(say(bot.Reply{Hint: &cards.Card{Title: "好"}}))
	b.Ask("lisi", "二")
	until(t, "the next is answered", func() bool { return len(p.written()) == 2 })
	if b.Calls(cmdUpdate) != 0 {
		t.Error("a press was answered although its sink had failed")
	}
	// A message is given up too, after a while.
	tries.Store(-1000)
	p.on(func(context.Context, bot.Event) (bot.Reply, error) { tries.Add(1); return bot.Reply{}, errLame })
	b.Ask("zhangsan", "三")
	until(t, "it was given up", func() bool { return tries.Load() == -1000+messageTries })
	// What can never be understood is tried once, and the connection stays.
	p.on(nil)
	before := len(p.events())
	for _, words := range []string{"{", `[]`, `{"cmd":"aibot_msg_callback","headers":{"req_id":"R"},"body":{"msgtype":"text"}}`, `{"cmd":"aibot_dance","headers":{}}`, `{"headers":{"req_id":"nobody"},"errcode":0}`} {
		if err := b.Frame(words); err != nil {
			t.Fatal(err)
		}
	}
	b.Ask("zhangsan", "四")
	until(t, "the next is there", func() bool { return len(p.events()) == before+1 })
	if b.Subscriptions() != 1 {
		t.Errorf("%d connections", b.Subscriptions())
	}
}

func TestASinkThatPanicsTakesNothingDown(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil)
	var tries atomic.Int64
	q := newIntake(p.a.robot, func(context.Context, http.ResponseWriter, bot.Raw) error {
		if tries.Add(1) == 1 {
			panic("oh")
		}
		return nil
	})
	q.take(nil, robotFrame{Cmd: cmdMessage}, []byte("{}"))
	q.close()
	if tries.Load() != 2 {
		t.Errorf("%d tries, want 2", tries.Load())
	}
}

func TestAWrongSecretIsNotTriedForEver(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, func(_ *tempo, c *Config) { c.Robot.Secret = "Wrong0Wrong1Wrong2Wrong3" })
	err := p.a.Stream(t.Context(), func(context.Context, http.ResponseWriter, bot.Raw) error { return nil })
	if !errors.Is(err, bot.ErrUnauthorized) || b.Calls(cmdSubscribe) != maxRefused {
		t.Errorf("Stream = %v after %d tries, want ErrUnauthorized after %d", err, b.Calls(cmdSubscribe), maxRefused)
	}
	if err != nil && strings.Contains(err.Error(), "Wrong0") {
		t.Errorf("the error tells the secret: %v", err)
	}
}

func TestABusyPlatformIsTriedAgain(t *testing.T) {
	b := newLinkBench(t)
	b.Fail(wecomtest.Fault{Kind: wecomtest.CutBefore, Method: cmdSubscribe, Times: 8})
	b.process(t, b.shelf, nil).up(t)
	if n := b.Calls(cmdSubscribe); n != 9 {
		t.Errorf("%d tries, want 9: a broken connection is no refusal", n)
	}
}

func TestALostAnswerToASend(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, func(s *tempo, _ *Config) { s.ack = 50 * time.Millisecond }).up(t)
	b.Talked(b.group)
	to := p.group(b.group)
	for i, kind := range []wecomtest.FaultKind{wecomtest.Silent, wecomtest.CutAfter, wecomtest.CutBefore} {
		once := fmt.Sprint("o", i)
		b.Fail(wecomtest.Fault{Kind: kind, Method: cmdSend})
		if _, err := p.a.Post(t.Context(), to, once, ticketCard()); !errors.Is(err, bot.ErrUnknown) {
			t.Errorf("%s: %v, want ErrUnknown", kind, err)
		}
		until(t, "the connection is open", func() bool { return p.holds() && b.Connected() })
		until(t, "it can be sent again", func() bool {
			_, err := p.a.Post(t.Context(), to, once, ticketCard())
			return err == nil
		})
		if n := len(b.Cards(b.group)); n != i+1 {
			t.Errorf("%s: %d cards, want %d: one for each", kind, n, i+1)
		}
	}
	// A used task_id without a doubt about it is a refusal like any other.
	if _, err := p.a.Post(t.Context(), to, "fresh", ticketCard()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.a.Post(t.Context(), to, "fresh", ticketCard()); !errors.Is(err, bot.ErrRejected) {
		t.Errorf("twice without a doubt: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.a.Post(ctx, to, "late", ticketCard()); !errors.Is(err, context.Canceled) || errors.Is(err, bot.ErrUnknown) {
		t.Errorf("cancelled before it was sent: %v", err)
	}
}

func TestVerdictsOfTheConnection(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	b.Talked(b.group)
	for code, want := range map[int]error{93006: bot.ErrMustSpeak, 40058: bot.ErrRejected, 42033: bot.ErrRejected, 45002: bot.ErrRejected, 40001: bot.ErrUnauthorized, 846605: bot.ErrGone, 55555: nil} {
		b.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: cmdSend, Code: code})
		_, err := p.a.Post(t.Context(), p.group(b.group), fmt.Sprint("c", code), ticketCard())
		if err == nil {
			t.Fatalf("%d: no error", code)
		}
		for _, v := range []error{bot.ErrMustSpeak, bot.ErrRejected, bot.ErrUnauthorized, bot.ErrGone, bot.ErrUnknown} {
			if errors.Is(err, v) != (v == want) {
				t.Errorf("%d: %v, want %v", code, err, want)
			}
		}
	}
	b.Fail(wecomtest.Fault{Kind: wecomtest.Limited, Method: cmdSend})
	var limited bot.RateLimited
	if _, err := p.a.Post(t.Context(), p.group(b.group), "limited", ticketCard()); !errors.As(err, &limited) || limited.All || limited.After <= 0 {
		t.Errorf("45009: %v, want this chat to wait", err)
	}
}

func TestPostsAreHeldBackBeforeThePlatformRefuses(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	b.Talked(b.group)
	held := 0
	for i := range 2 * perChatMinute {
		_, err := p.a.Post(t.Context(), p.group(b.group), fmt.Sprint("o", i), ticketCard())
		var limited bot.RateLimited
		switch {
		case errors.As(err, &limited):
			held++
			if limited.After <= 0 || limited.After > time.Minute {
				t.Errorf("wait %v", limited.After)
			}
		case err != nil:
			t.Fatal(err)
		}
	}
	if held != perChatMinute || b.Calls(cmdSend) != perChatMinute || b.Dropped() != 0 {
		t.Errorf("%d held back, %d sent, %d dropped", held, b.Calls(cmdSend), b.Dropped())
	}
	b.clock.advance(time.Minute)
	if _, err := p.a.Post(t.Context(), p.group(b.group), "later", ticketCard()); err != nil {
		t.Error(err)
	}
}

func TestFilesGoUpInPieces(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	b.Talked(b.group)
	content := bytes.Repeat([]byte("0123456789abcdef"), 80_000) // 1.28 MB
	ref, err := p.a.SendFile(t.Context(), p.group(b.group), "f", "日志.txt", int64(len(content)), bytes.NewReader(content))
	if err != nil || ref == "" {
		t.Fatal(err)
	}
	files := b.Files(b.group)
	if len(files) != 1 || !bytes.Equal(files[0].Content, content) || files[0].Name != "日志.txt" || b.Calls(cmdChunk) != 3 {
		t.Errorf("%d files in %d pieces", len(files), b.Calls(cmdChunk))
	}
	for name, n := range map[string]int{"tiny": 3, "huge": mostFile + 1} {
		if _, err := p.a.SendFile(t.Context(), p.group(b.group), "g", name, int64(n), bytes.NewReader(make([]byte, n))); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Nothing was shown when a piece is lost: it is no doubt, it is done again.
	b.Fail(wecomtest.Fault{Kind: wecomtest.CutBefore, Method: cmdChunk})
	if _, err := p.a.SendFile(t.Context(), p.group(b.group), "h", "a.txt", 10, strings.NewReader("0123456789")); err == nil || errors.Is(err, bot.ErrUnknown) {
		t.Errorf("a lost piece: %v", err)
	}
}

func TestAFileOfTheConnectionIsRead(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	id := b.AddFile(wecomtest.File{Type: "image", Name: "a.png", Content: []byte("a picture of a printer")})
	b.SayRobot("zhangsan", wecomtest.Said{Files: []string{id}})
	until(t, "the file is told", func() bool { return len(p.events()) == 1 })
	r, err := p.a.Fetch(t.Context(), p.events()[0].Files[0])
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	_, err = got.ReadFrom(r)
	if err = errors.Join(err, r.Close()); err != nil || got.String() != "a picture of a printer" {
		t.Errorf("read %q, %v", got.String(), err)
	}
}

func TestStoppingFinishesWhatIsInHand(t *testing.T) {
	b := newLinkBench(t)
	p := b.process(t, b.shelf, nil).up(t)
	entered, gate := make(chan struct{}), make(chan struct{})
	p.on(func(ctx context.Context, _ bot.Event) (bot.Reply, error) {
		close(entered)
		<-gate
		return bot.Reply{Hint: &cards.Card{Title: "好"}}, ctx.Err()
	})
	b.Ask("zhangsan", "一")
	<-entered
	p.cancel()
	close(gate)
	p.stop(t)
	if len(p.written()) != 1 || p.written()[0] != nil || b.Calls(cmdRespond) != 1 {
		t.Errorf("written %v, %d answers", p.written(), b.Calls(cmdRespond))
	}
	if who, err := b.shelf.Get(t.Context(), robotLease); who != "" || err != nil {
		t.Errorf("the lease is still %q, %v", who, err)
	}
}

// recorder is a platform that does nothing by itself.
type recorder struct {
	*httptest.Server
	conns chan *websocket.Conn
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{conns: make(chan *websocket.Conn, 4)}
	up := websocket.Upgrader{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ws, err := up.Upgrade(w, req, nil)
		if err != nil {
			t.Error(err)
			return
		}
		r.conns <- ws
	}))
	t.Cleanup(r.Close)
	return r
}

func readFrame(t *testing.T, ws *websocket.Conn) map[string]any {
	t.Helper()
	var f map[string]any
	if err := ws.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := ws.ReadJSON(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

func ackFrame(t *testing.T, ws *websocket.Conn, f map[string]any, code int) {
	t.Helper()
	if err := ws.WriteJSON(object{"headers": f["headers"], "errcode": code, "errmsg": "ok"}); err != nil {
		t.Fatal(err)
	}
}

func TestFramesAreThoseOfThePlatformsOwnClient(t *testing.T) {
	leakFree(t)
	rec := newRecorder(t)
	b := &linkBench{clock: clockAt(time.Now()), Server: wecomtest.New(wecomtest.Options{})}
	t.Cleanup(b.Server.Close)
	p := b.process(t, newShelf(nil), func(s *tempo, c *Config) {
		c.Robot.WSURL = "ws" + strings.TrimPrefix(rec.URL, "http")
		c.Robot.ID = "BOT"
		s.ping = 50 * time.Millisecond
	}).start(t)
	ws := <-rec.conns
	defer ws.Close()
	// Frames of the platform's client with the same cmd have the same keys.
	want := map[string]map[string]any{}
	for _, raw := range robotVectors(t).Frames.Client {
		var f map[string]any
		if err := json.Unmarshal(raw, &f); err != nil {
			t.Fatal(err)
		}
		want[f["cmd"].(string)] = f
	}
	same := func(f map[string]any) {
		t.Helper()
		cmd, _ := f["cmd"].(string)
		if got, want := fmt.Sprint(keysOf(f)), fmt.Sprint(keysOf(want[cmd])); got != want {
			t.Errorf("%s has %s, want %s", cmd, got, want)
		}
	}
	first := readFrame(t, ws)
	if first["cmd"] != cmdSubscribe || fmt.Sprint(first["body"]) != "map[bot_id:BOT secret:"+wecomtest.RobotSecret+"]" {
		t.Errorf("the first frame is %v", first)
	}
	same(first)
	ackFrame(t, ws, first, 0)
	ping := readFrame(t, ws)
	if ping["cmd"] != cmdPing {
		t.Errorf("then comes %v, want a sign of life", ping)
	}
	same(ping)
	until(t, "it is open", p.holds)
	// A frame that is answered carries the request's own id, and one of the same
	// id waits for it.
	l := p.a.robot.held.Load()
	results := make(chan error, 2)
	for range 2 {
		go func() { _, err := l.call(context.Background(), cmdRespond, "REQ1", streamed("s", "x")); results <- err }()
	}
	next := func() map[string]any {
		for {
			if f := readFrame(t, ws); f["cmd"] != cmdPing {
				return f
			} else {
				ackFrame(t, ws, f, 0)
			}
		}
	}
	one := next()
	same(map[string]any{"cmd": one["cmd"], "headers": one["headers"], "body": one["body"]})
	if one["headers"].(map[string]any)["req_id"] != "REQ1" {
		t.Errorf("headers %v", one["headers"])
	}
	for range 3 { // signs of life come, the second answer does not
		if f := readFrame(t, ws); f["cmd"] != cmdPing {
			t.Fatalf("%v before the first was acknowledged", f)
		} else {
			ackFrame(t, ws, f, 0)
		}
	}
	ackFrame(t, ws, one, 0)
	ackFrame(t, ws, next(), 0)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func keysOf(m map[string]any) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// The platform's gateway wants the RFC's spelling, which net/http would change.
func TestHandshakeHeadersAreSpelledAsInTheRFC(t *testing.T) {
	leakFree(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := &linkBench{clock: clockAt(time.Now()), Server: wecomtest.New(wecomtest.Options{})}
	t.Cleanup(b.Server.Close)
	p := b.process(t, newShelf(nil), func(_ *tempo, c *Config) { c.Robot.WSURL = "ws://" + l.Addr().String() })
	done := make(chan error, 1)
	go func() { _, err := p.a.robot.dial(context.Background()); done <- err }()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var head []string
	for s := bufio.NewScanner(c); s.Scan() && s.Text() != ""; {
		name, _, _ := strings.Cut(s.Text(), ":")
		head = append(head, name)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("a handshake without an answer was taken")
	}
	for _, want := range []string{"Sec-WebSocket-Key", "Sec-WebSocket-Version"} {
		if !slices.Contains(head, want) {
			t.Errorf("no %s among %q", want, head)
		}
	}
}
