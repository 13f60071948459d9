package dingtalk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/dingtalk/dingtalktest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// streaming runs Stream of an adapter with a sink until the test ends.
func streaming(t *testing.T, a *Adapter, take sink) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Stream(ctx, take) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-done })
		return err
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return stop
}

// open waits for n connections.
func (d *desk) open(t *testing.T, n int) {
	t.Helper()
	if err := d.WaitConnection(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// gone waits until no connection is left.
func (d *desk) gone(t *testing.T) {
	t.Helper()
	for d.Connections() > 0 {
		if t.Context().Err() != nil {
			t.Fatal("a connection is left")
		}
		runtime.Gosched()
	}
}

// handled is a sink that does what the gateway does.
func handled(a *Adapter, reply func(bot.Event) bot.Reply) sink {
	return func(_ context.Context, w http.ResponseWriter, r bot.Raw) error {
		plain, err := a.Verify(r, a.now())
		if err != nil {
			return fmt.Errorf("%w: %w", bot.ErrFrame, err)
		}
		in, err := a.Decode(r, plain)
		if err != nil {
			return fmt.Errorf("%w: %w", bot.ErrFrame, err)
		}
		var out bot.Reply
		for _, e := range in.Events {
			out = reply(e)
		}
		a.Reply(w, in, out)
		return nil
	}
}

func keep(got chan<- bot.Event) func(bot.Event) bot.Reply {
	return func(e bot.Event) bot.Reply { got <- e; return bot.Reply{} }
}

func TestStreamCarriesEverything(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	got := make(chan bot.Event, 10)
	claimed := cards.Card{Title: "Printer claimed", Tone: cards.Busy}
	streaming(t, d.a, handled(d.a, func(e bot.Event) bot.Reply {
		got <- e
		if e.Kind == bot.Click {
			return bot.Reply{Card: &claimed}
		}
		return bot.Reply{}
	}))
	d.open(t, 2)
	_, answers := d.Mention(d.ann, d.help, "", "建单 打印机坏了")
	if len(answers) != 1 || !answers[0].OK() {
		t.Errorf("%+v", answers)
	}
	if e := <-got; e.Kind != bot.Message || e.Text != "建单 打印机坏了" || e.User.ID != d.ann || e.Conv.ID != d.help {
		t.Errorf("%+v", e)
	}
	c := cards.Card{Title: "Printer", Actions: []cards.Action{{Label: "Claim", Token: "AQ-claim"}, {Label: "Assign", Token: "AQ-assign", Options: []cards.Option{{Label: "Bob", Value: "bob"}}}}, Body: strings.Repeat("long ", 900)}
	ref, err := d.a.Post(t.Context(), d.to(), "once", c)
	if err != nil {
		t.Fatal(err)
	}
	if a := d.Choose(d.bob, track(t, ref), "Assign", "Bob"); !a.OK() {
		t.Errorf("%+v", a)
	}
	if e := <-got; e.Kind != bot.Click || e.Token != "AQ-assign" || e.Value != "bob" || e.Message != ref || e.User.ID != d.bob || e.Conv.ID != d.help {
		t.Errorf("%+v", e)
	}
	// The answer has changed the card for everybody: no call was needed for it,
	// and nothing of the longer card is left.
	drawn, err := d.Draw(d.ann, track(t, ref))
	if err != nil || drawn.Title != "Printer claimed" || drawn.Tone != "busy" || strings.TrimSpace(drawn.Body) != "" || len(drawn.Actions) > 0 || d.Calls("card/instances/update") > 0 {
		t.Errorf("%+v, %v", drawn, err)
	}
	if a := d.Event("user_modify_org", map[string]any{"userId": []string{d.bob}}); !a.OK() || a.Attempts != 1 {
		t.Errorf("%+v", a)
	}
	if e := <-got; e.Kind != bot.Renamed || e.User.ID != d.bob {
		t.Errorf("%+v", e)
	}
	if a := d.Event("label_user_change", map[string]any{}); !a.OK() || a.Attempts != 1 {
		t.Errorf("an event that nobody needs: %+v", a)
	}
	if a := d.Ping(); !a.OK() {
		t.Errorf("%+v", a)
	}
	if c := d.Complaints(); len(c) > 0 {
		t.Errorf("%q", c)
	}
}

func TestPrivateCardIsPressedInPrivate(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	got := make(chan bot.Event, 10)
	streaming(t, d.a, handled(d.a, keep(got)))
	d.open(t, 2)
	ref, err := d.a.Post(t.Context(), bot.Private(d.a.user(d.ann)), "once", cards.Card{Title: "Solved?", Actions: []cards.Action{{Label: "Yes", Token: "AQ-yes"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a := d.Press(d.ann, track(t, ref), "Yes"); !a.OK() {
		t.Fatalf("%+v", a)
	}
	if e := <-got; !e.Private || e.Message != ref || bot.To(e.Conv).Lane() != bot.Private(e.User).Lane() {
		t.Errorf("%+v", e)
	}
	if _, answers := d.Say(d.ann, d.Private(d.ann), "", "帮助"); !answers[0].OK() {
		t.Errorf("%+v", answers)
	}
	if e := <-got; !e.Private || e.Text != "帮助" || e.Conv.ID != "@"+d.ann {
		t.Errorf("%+v", e)
	}
}

// TestSDKDefect_Burst: DingTalk's SDK loses acknowledgements when many frames
// come at once (concurrent writes), or drops frames beyond 100.
func TestSDKDefect_Burst(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{Deadline: 20 * time.Second}, nil)
	const n = 3000
	var count atomic.Int64
	streaming(t, d.a, handled(d.a, func(bot.Event) bot.Reply { count.Add(1); return bot.Reply{} }))
	d.open(t, 2)
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("@%s 建单 %d", dingtalktest.RobotName, i)
	}
	lost := 0
	for _, a := range d.SayMany(d.ann, d.help, texts) {
		if !a.OK() {
			lost++
		}
	}
	if lost > 0 || count.Load() != n {
		t.Errorf("%d of %d not acknowledged, %d dealt with", lost, n, count.Load())
	}
	if c := d.Complaints(); len(c) > 0 {
		t.Errorf("%q", c[:min(3, len(c))])
	}
}

// TestPressesDoNotWaitBehindABurst: a press has two seconds, messages have time.
func TestPressesDoNotWaitBehindABurst(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{Deadline: 20 * time.Second}, nil)
	d.a.lines = 1
	release := make(chan struct{})
	streaming(t, d.a, handled(d.a, func(e bot.Event) bot.Reply {
		if e.Kind == bot.Message {
			<-release
		}
		return bot.Reply{}
	}))
	d.open(t, 1)
	ref, err := d.a.Post(t.Context(), d.to(), "once", cards.Card{Title: "x", Actions: []cards.Action{{Label: "Claim", Token: "t"}}})
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, 200)
	for i := range texts {
		texts[i] = fmt.Sprintf("@%s %d", dingtalktest.RobotName, i)
	}
	answers := make(chan []dingtalktest.Answer)
	go func() { answers <- d.SayMany(d.ann, d.help, texts) }()
	if a := d.Press(d.ann, track(t, ref), "Claim"); !a.OK() {
		t.Errorf("%+v", a)
	}
	close(release)
	for _, a := range <-answers {
		if !a.OK() {
			t.Errorf("%+v", a)
		}
	}
}

// TestSDKDefect_MissedPong: with DingTalk's SDK the whole process ends. Here the
// connection is given up, and another one opened.
func TestSDKDefect_MissedPong(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	d.a.ping, d.a.silence = 5*time.Millisecond, 40*time.Millisecond
	got := make(chan bot.Event, 100)
	streaming(t, d.a, handled(d.a, keep(got)))
	d.open(t, 2)
	d.SwallowPings()
	for d.Calls("gateway/connections/open") < 6 {
		if t.Context().Err() != nil {
			t.Fatal("a dead connection was kept")
		}
	}
	d.Heal()
	for i := 0; ; i++ { // one of the dead may still be chosen
		d.open(t, 1)
		text := fmt.Sprint("建单 ", i)
		if _, answers := d.Mention(d.ann, d.help, "", text); answers[0].OK() {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("nothing comes through any more")
		}
	}
}

// TestSDKDefect_HeaderValues: a numeric time and another topic are taken.
func TestSDKDefect_HeaderValues(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	got := make(chan bot.Event, 10)
	streaming(t, d.a, handled(d.a, keep(got)))
	d.open(t, 2)
	d.Vary(dingtalktest.Variant{NumericTime: true, EventTopic: "dingTalk"})
	if _, answers := d.Mention(d.ann, d.help, "", "hi"); !answers[0].OK() {
		t.Errorf("%+v", answers)
	}
	if a := d.Event("user_modify_org", map[string]any{"userId": []string{d.ann}}); !a.OK() || a.Attempts != 1 {
		t.Errorf("%+v", a)
	}
}

// TestSDKDefect_NoReconnectAfterTheEnd: what is ended stays ended.
func TestSDKDefect_NoReconnectAfterTheEnd(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	stop := streaming(t, d.a, handled(d.a, keep(make(chan bot.Event, 1))))
	d.open(t, 2)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := d.Calls("gateway/connections/open"); n != 2 {
		t.Errorf("%d connections were opened", n)
	}
}

func TestTheNewConnectionIsOpenedBeforeTheOldEnds(t *testing.T) {
	over := make(chan time.Time)
	d := newDesk(t, dingtalktest.Options{After: func(time.Duration) <-chan time.Time { return over }}, nil)
	d.a.lines = 1
	entered, release := make(chan struct{}), make(chan struct{})
	streaming(t, d.a, handled(d.a, func(bot.Event) bot.Reply {
		entered <- struct{}{}
		<-release
		return bot.Reply{}
	}))
	d.open(t, 1)
	answer := make(chan []dingtalktest.Answer, 1)
	go func() { _, a := d.Mention(d.ann, d.help, "", "first"); answer <- a }()
	<-entered
	if err := d.Disconnect("connection is expired"); err != nil {
		t.Fatal(err)
	}
	d.open(t, 1) // the next one is up …
	if n := d.Connections(); n != 2 {
		t.Errorf("%d connections, want the old one as well", n)
	}
	close(release) // … and what is in hand is acknowledged over the old one
	if a := <-answer; !a[0].OK() {
		t.Errorf("%+v", a)
	}
	close(over)
	go func() { <-entered }()
	if _, a := d.Mention(d.ann, d.help, "", "second"); !a[0].OK() {
		t.Errorf("%+v", a)
	}
}

// TestWorkInHandIsFinishedAtTheEnd: a message is never sent again, so the end of
// the program waits for it.
func TestWorkInHandIsFinishedAtTheEnd(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	stop := streaming(t, d.a, func(ctx context.Context, _ http.ResponseWriter, _ bot.Raw) error {
		close(entered)
		<-release
		return ctx.Err()
	})
	d.open(t, 2)
	answer := make(chan []dingtalktest.Answer, 1)
	go func() { _, a := d.Mention(d.ann, d.help, "", "last words"); answer <- a }()
	<-entered
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	for d.Connections() > 1 { // the other connection has nothing in hand
		runtime.Gosched()
	}
	close(release)
	if a := <-answer; !a[0].OK() {
		t.Errorf("%+v", a)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestStreamOutlivesEveryEnd(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	got := make(chan bot.Event, 1000)
	streaming(t, d.a, handled(d.a, keep(got)))
	for i := range 30 {
		d.open(t, 1)
		switch i % 3 {
		case 0:
			d.Cut()
		case 1:
			if err := d.Disconnect("connection is expired"); err != nil {
				t.Log(err) // none is up at the moment
			}
		}
		for try := 0; ; try++ {
			d.open(t, 1)
			if a := d.Event("user_modify_org", map[string]any{"userId": []string{fmt.Sprint("u", i)}}); a.OK() {
				break
			} else if try > 50 {
				t.Fatalf("event %d: %+v", i, a)
			}
		}
	}
}

// TestTwoConnectionsAreKept: what is pushed while one of them breaks goes to the other.
func TestTwoConnectionsAreKept(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	streaming(t, d.a, handled(d.a, keep(make(chan bot.Event, 10))))
	d.open(t, 2)
	if n := d.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
	d.Cut()
	d.open(t, 2)
}

func TestSilentConnectionIsReplaced(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	d.a.ping, d.a.idle, d.a.drain = 5*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond
	streaming(t, d.a, handled(d.a, keep(make(chan bot.Event, 10))))
	for d.Calls("gateway/connections/open") < 6 {
		if t.Context().Err() != nil {
			t.Fatal("a connection that brings nothing was kept")
		}
	}
}

// TestConnectionThatIsPassedOverIsReplaced: of two, one gets all frames.
func TestConnectionThatIsPassedOverIsReplaced(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	d.a.ping, d.a.drain = 5*time.Millisecond, 10*time.Millisecond
	streaming(t, d.a, handled(d.a, keep(make(chan bot.Event, 10))))
	d.open(t, 2)
	if n := d.Calls("gateway/connections/open"); n != 2 {
		t.Fatalf("%d connections were opened", n)
	}
	// All to the newest. The other may count from a later frame than the first.
	for end := time.Now().Add(20 * time.Second); d.Calls("gateway/connections/open") < 3; {
		if time.Now().After(end) {
			t.Fatal("a connection that is passed over was kept")
		}
		if err := d.Frame(`{"type":"SYSTEM","headers":{"topic":"hum"}}`); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
}

func TestEventsAreAskedForAgain(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	var tries atomic.Int64
	streaming(t, d.a, func(context.Context, http.ResponseWriter, bot.Raw) error {
		switch tries.Add(1) {
		case 1:
			return errors.New("database is down")
		case 2:
			panic("oops")
		}
		return nil
	})
	d.open(t, 2)
	if a := d.Event("user_modify_org", map[string]any{"userId": []string{d.ann}}); !a.OK() || a.Attempts != 3 {
		t.Errorf("%+v", a)
	}
}

func TestRefusedFramesAreNotAskedForAgain(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	var tries atomic.Int64
	streaming(t, d.a, func(context.Context, http.ResponseWriter, bot.Raw) error {
		tries.Add(1)
		return bot.ErrFrame
	})
	d.open(t, 2)
	if a := d.Event("user_modify_org", map[string]any{"userId": []string{d.ann}}); !a.OK() || a.Attempts != 1 {
		t.Errorf("%+v", a)
	}
	if _, a := d.Mention(d.ann, d.help, "", "hi"); !a[0].OK() {
		t.Errorf("%+v", a)
	}
	if tries.Load() != 2 {
		t.Errorf("%d tries", tries.Load())
	}
}

// TestMessagesAreHandedOverAgain: DingTalk sends none twice.
func TestMessagesAreHandedOverAgain(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	var tries atomic.Int64
	var works atomic.Int64
	works.Store(4)
	streaming(t, d.a, func(context.Context, http.ResponseWriter, bot.Raw) error {
		if n := tries.Add(1); n < works.Load() {
			return fmt.Errorf("database is down: %w", bot.ErrBusy)
		}
		return nil
	})
	d.open(t, 2)
	if _, a := d.Mention(d.ann, d.help, "", "hi"); !a[0].OK() || tries.Load() != 4 {
		t.Errorf("%+v after %d tries", a, tries.Load())
	}
	tries.Store(0)
	works.Store(1000)
	if _, a := d.Mention(d.ann, d.help, "", "hi"); a[0].OK() || a[0].Status != 500 || tries.Load() != handTries {
		t.Errorf("%+v after %d tries", a, tries.Load())
	}
}

func TestSlowPressIsAnsweredInTime(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	d.a.answer = 20 * time.Millisecond
	release, written := make(chan struct{}), make(chan error, 1)
	streaming(t, d.a, func(_ context.Context, w http.ResponseWriter, _ bot.Raw) error {
		<-release
		_, err := w.Write([]byte(`{"cardData":{"cardParamMap":{"title":"too late"}}}`))
		written <- err
		return nil
	})
	d.open(t, 2)
	ref, err := d.a.Post(t.Context(), d.to(), "once", cards.Card{Title: "x", Actions: []cards.Action{{Label: "Claim", Token: "t"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a := d.Press(d.ann, track(t, ref), "Claim"); !a.OK() || string(a.Body) != `{"response":{}}` {
		t.Errorf("%+v %s", a, a.Body)
	}
	close(release)
	// Who made the answer hears that it went nowhere, and shows the card by an update.
	if err := <-written; !errors.Is(err, errLate) {
		t.Errorf("written: %v", err)
	}
	if drawn, err := d.Draw(d.ann, track(t, ref)); err != nil || drawn.Title != "x" {
		t.Errorf("%+v, %v", drawn, err)
	}
}

// TestNoUpdateDuringAPress: DingTalk asks not to change a card whose press is
// not answered yet.
func TestNoUpdateDuringAPress(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	c := cards.Card{Title: "x", Actions: []cards.Action{{Label: "Claim", Token: "t"}}}
	ref, err := d.a.Post(t.Context(), d.to(), "once", c)
	if err != nil {
		t.Fatal(err)
	}
	updated := make(chan error, 1)
	streaming(t, d.a, func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error {
		go func() {
			_, err := d.a.Update(context.WithoutCancel(ctx), ref, cards.Card{Title: "updated"})
			updated <- err
		}()
		return handled(d.a, func(bot.Event) bot.Reply { return bot.Reply{Card: &cards.Card{Title: "answered"}} })(ctx, w, r)
	})
	d.open(t, 2)
	for range 20 {
		if a := d.Press(d.ann, track(t, ref), "Claim"); a.OK() {
			if err := <-updated; err != nil {
				t.Fatal(err)
			}
			if _, err := d.a.Update(t.Context(), ref, c); err != nil { // the button is back
				t.Fatal(err)
			}
			continue
		}
		t.Fatal("not pressed")
	}
	if n := d.UpdatesInPress(); n > 0 {
		t.Errorf("%d updates while a press was not answered", n)
	}
}

func TestFailedPressIsSaid(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	streaming(t, d.a, func(context.Context, http.ResponseWriter, bot.Raw) error { return errors.New("database is down") })
	d.open(t, 2)
	ref, err := d.a.Post(t.Context(), d.to(), "once", cards.Card{Title: "x", Actions: []cards.Action{{Label: "Claim", Token: "t"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a := d.Press(d.ann, track(t, ref), "Claim"); a.OK() || a.Status != 500 {
		t.Errorf("%+v", a)
	}
}

func TestStrangeFrames(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	got := make(chan bot.Event, 10)
	streaming(t, d.a, handled(d.a, keep(got)))
	d.open(t, 2)
	for _, frame := range []string{
		"{", "[]", "null", `{"type":"mystery"}`, `{"type":"CALLBACK","headers":{"topic":"/v1.0/graph/api/invoke","messageId":"x1"},"data":"{}"}`, `{"type":"SYSTEM","headers":{"topic":"hum"}}`,
		`{"type":"CALLBACK","headers":{"topic":"/v1.0/card/instances/callback","messageId":"x2"},"data":"not JSON"}`, strings.Repeat(`{"a":`, 100), "\"\\ud800\"", `{"type":"EVENT"}`,
	} {
		if err := d.Frame(frame); err != nil {
			t.Fatal(err)
		}
	}
	if _, a := d.Mention(d.ann, d.help, "", "hi"); !a[0].OK() {
		t.Errorf("%+v", a)
	}
}

// TestTwoProcesses: each frame goes to one of them, and nothing is lost or done twice.
func TestTwoProcesses(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{Deadline: 20 * time.Second}, nil)
	var mu sync.Mutex
	seen, by := map[string]int{}, map[*Adapter]int{}
	for _, a := range []*Adapter{d.a, d.another(t)} {
		streaming(t, a, handled(a, func(e bot.Event) bot.Reply {
			mu.Lock()
			defer mu.Unlock()
			seen[e.ID]++
			by[a]++
			return bot.Reply{}
		}))
	}
	d.open(t, 4)
	texts := make([]string, 300)
	for i := range texts {
		texts[i] = fmt.Sprintf("@%s %d", dingtalktest.RobotName, i)
	}
	for _, a := range d.SayMany(d.ann, d.help, texts) {
		if !a.OK() {
			t.Fatalf("%+v", a)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != len(texts) || len(by) != 2 {
		t.Errorf("%d of %d messages, by %d processes", len(seen), len(texts), len(by))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

// TestGapIsTold: what was said while nobody listened is lost, and the admins
// hear of it, once, whichever process notices.
func TestGapIsTold(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	stop := streaming(t, d.a, handled(d.a, keep(make(chan bot.Event, 10))))
	d.open(t, 2)
	if a := d.Ping(); !a.OK() { // it listens
		t.Fatalf("%+v", a)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	d.gone(t)
	if len(d.alarms) > 0 {
		t.Fatalf("the first start is no gap: %+v", <-d.alarms)
	}
	down := d.clock.now().UTC()
	d.clock.advance(29 * time.Second)
	stop = streaming(t, d.another(t), handled(d.a, keep(make(chan bot.Event, 10))))
	d.open(t, 2)
	if a := d.Ping(); !a.OK() { // it listens
		t.Fatalf("%+v", a)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	d.gone(t)
	if len(d.alarms) > 0 {
		t.Fatalf("a restart is no gap: %+v", <-d.alarms)
	}
	down = down.Add(29 * time.Second)
	d.clock.advance(2 * time.Hour)
	for range 2 {
		streaming(t, d.another(t), handled(d.a, keep(make(chan bot.Event, 10))))
	}
	d.open(t, 4)
	al := <-d.alarms
	if al.What != cards.AlarmGap || al.Args["from"] != down.Format(time.RFC3339) || al.Args["to"] != down.Add(2*time.Hour).Format(time.RFC3339) || al.Once == "" {
		t.Errorf("%+v", al)
	}
	for len(d.alarms) > 0 { // two processes may notice at once; the program tells one of a name
		if more := <-d.alarms; more.Once != al.Once {
			t.Errorf("%+v", more)
		}
	}
}

// TestGapWhileRunning: the connections break for a while.
func TestGapWhileRunning(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	streaming(t, d.a, handled(d.a, keep(make(chan bot.Event, 10))))
	d.open(t, 2)
	d.Fail(dingtalktest.Fault{Kind: dingtalktest.ServerError, Method: "gateway/connections/open", Times: -1})
	d.Cut()
	before := d.Calls("gateway/connections/open")
	for d.Calls("gateway/connections/open") < before+3 {
		if t.Context().Err() != nil {
			t.Fatal("it gave up")
		}
	}
	d.clock.advance(10 * time.Minute)
	d.Heal()
	d.open(t, 2)
	if al := <-d.alarms; al.What != cards.AlarmGap {
		t.Errorf("%+v", al)
	}
}

func TestRefusalEndsTheStream(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	d.Revoke(true)
	if err := d.a.Stream(t.Context(), nil); !errors.Is(err, bot.ErrUnauthorized) {
		t.Error(err)
	}
	if strings.Contains(fmt.Sprint(d.a.Stream(t.Context(), nil)), dingtalktest.ClientSecret) {
		t.Error("the error tells the secret")
	}
	o := newDesk(t, dingtalktest.Options{}, overHTTP)
	if err := o.a.Stream(t.Context(), nil); !errors.Is(err, bot.ErrRejected) {
		t.Error("Stream in HTTP mode:", err)
	}
}

func TestShelfThatFailsStopsNoStream(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	d.a.beat = time.Millisecond
	d.shelf.breaks(errors.New("database is down"))
	streaming(t, d.a, handled(d.a, keep(make(chan bot.Event, 10))))
	d.open(t, 2)
	if _, a := d.Mention(d.ann, d.help, "", "hi"); !a[0].OK() {
		t.Errorf("%+v", a)
	}
	d.shelf.breaks(nil)
}

func TestBackoff(t *testing.T) {
	for n := range 20 {
		for range 100 {
			if d := backoff(n); d < 200*time.Millisecond || d > 30*time.Second {
				t.Fatalf("%d: %v", n, d)
			}
		}
	}
}

// TestTicket: it is escaped, whatever is in it, and leads to DingTalk only.
func TestTicket(t *testing.T) {
	var endpoint string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/json" {
			t.Errorf("Accept %q: DingTalk would answer in XML", r.Header.Get("Accept"))
		}
		if _, err := fmt.Fprintf(w, `{"endpoint":%q,"ticket":"a+b/c==&evil=1#x"}`, endpoint); err != nil {
			t.Error(err)
		}
	}))
	defer api.Close()
	c := testConfig()
	c.Mode, c.APIURL = ModeStream, api.URL
	a := testAdapter(t, c)
	defer a.http.CloseIdleConnections()
	own := "ws" + strings.TrimPrefix(api.URL, "http") + "/connect"
	for _, endpoint = range []string{own, own + "?region=1"} {
		u, err := a.ticket(t.Context())
		if err != nil || u.Query().Get("ticket") != "a+b/c==&evil=1#x" || u.Query().Get("evil") != "" || u.Fragment != "" || strings.Contains(endpoint, "region") != (u.Query().Get("region") == "1") {
			t.Errorf("%s became %v, %v", endpoint, u, err)
		}
	}
	for _, endpoint = range []string{"wss://evil.example/connect", "ws://wss-open-connection.dingtalk.com/connect", "", "http://127.0.0.1:1/connect", "wss://me@wss-open-connection.dingtalk.com/"} {
		if u, err := a.ticket(t.Context()); !errors.Is(err, bot.ErrRejected) || strings.Contains(fmt.Sprint(err), "a+b") {
			t.Errorf("%q became %v, %v", endpoint, u, err)
		}
	}
}
