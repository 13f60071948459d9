package wecom

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/silenceper/wechat/v2/cache"
	"github.com/silenceper/wechat/v2/work/config"
	wechatkf "github.com/silenceper/wechat/v2/work/kf"

	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// kfBench is an emulator with an account of customer service, and processes that
// share a Shelf.
type kfBench struct {
	*wecomtest.Server
	clock   *testClock
	shelf   *memShelf
	account string
	who     string // a customer
}

func newKFBench(t *testing.T) *kfBench {
	t.Helper()
	leakFree(t)
	b := &kfBench{clock: clockAt(time.Unix(1700000000, 0))}
	b.Server = wecomtest.New(wecomtest.Options{Now: b.clock.now, RateLimits: true})
	t.Cleanup(b.Server.Close)
	b.shelf = newShelf(b.clock.now)
	b.account = b.AddAccount("售后")
	b.who = b.AddCustomer(wecomtest.Customer{ID: "wmCustomer1", Name: "王芳"})
	return b
}

func quickKFTempo() kfTempo {
	p := usualKFTempo
	p.renew, p.busy = 20*time.Millisecond, 2*time.Millisecond
	p.again = func(int) time.Duration { return time.Millisecond }
	return p
}

// process makes an adapter whose callbacks arrive when deliver is true.
func (b *kfBench) process(t *testing.T, shelf bot.Shelf, deliver bool) *process {
	t.Helper()
	p := &process{done: make(chan error, 1)}
	client := &http.Transport{}
	var err error
	p.a, err = New(appConfig(b.APIURL()), bot.Deps{Log: quiet(), Now: b.clock.now, Shelf: shelf, HTTP: plainClient(client)})
	if err != nil {
		t.Fatal(err)
	}
	p.a.kf.tempo = quickKFTempo()
	gateway := &bot.Gateway{Installs: map[bot.Install]bot.Adapter{p.a.Install(): p.a}, Sink: p.sink, Now: b.clock.now, Log: quiet()}
	door := httptest.NewServer(gateway.Handler())
	t.Cleanup(func() { client.CloseIdleConnections(); door.Close() })
	if deliver {
		b.Deliver(door.URL + "/hooks/wecom/default")
	}
	return p
}

func (b *kfBench) user() string { return person{b.account, b.who}.userID() }

func (b *kfBench) to(p *process) bot.Dest { return bot.Private(p.a.shared.user(b.user())) }

func (b *kfBench) chat() string { return wecomtest.ServiceChat(b.account, b.who) }

// sent is what the customer was sent, oldest first.
func (b *kfBench) sent() []wecomtest.Message {
	var out []wecomtest.Message
	for _, m := range b.Messages(b.chat()) {
		if m.From == "" {
			out = append(out, m)
		}
	}
	return out
}

// settled waits until the cursor stands behind the n-th message.
func (b *kfBench) settled(t *testing.T, n int) {
	t.Helper()
	until(t, fmt.Sprint("the cursor stands behind message ", n), func() bool {
		at, err := b.shelf.Get(t.Context(), cursorKey(b.account))
		return err == nil && at == fmt.Sprintf("%s.%d", b.account, n)
	})
}

func kfCard() cards.Card {
	return cards.Card{Lang: cards.ZH, Title: "#7 已解决,是否好了?", Actions: []cards.Action{{Label: "已解决", Token: "TOKEN-yes-" + strings.Repeat("x", 120)}, {Label: "未解决", Token: "TOKEN-no"}}}
}

func TestCustomersAreHeardAndAnswered(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true).start(t)
	if _, a := b.CustomerSays(b.who, b.account, "打印机坏了"); !a.OK() {
		t.Fatalf("%+v", a)
	}
	until(t, "it is heard", func() bool { return len(p.events()) == 1 })
	e := p.events()[0]
	if e.Kind != bot.Message || e.Text != "打印机坏了" || !e.Guest || !e.Private || !e.ToBot || e.User.ID != b.user() || !e.At.Equal(b.clock.now()) || p.a.Inline(e) != (bot.Inline{}) {
		t.Errorf("event %+v", e)
	}
	ref, err := p.a.Post(t.Context(), b.to(p), "o1", kfCard())
	if err != nil {
		t.Fatal(err)
	}
	sent := b.sent()
	if len(sent) != 1 || sent[0].Type != "msgmenu" || !strings.HasPrefix(sent[0].Text, "#7 已解决,是否好了?") {
		t.Fatalf("sent %+v", sent)
	}
	if a := b.CustomerChooses(b.who, b.account, sent[0].Ref(), "已解决"); !a.OK() {
		t.Fatalf("%+v", a)
	}
	until(t, "the choice is heard", func() bool { return len(p.events()) == 2 })
	if e = p.events()[1]; e.Kind != bot.Click || e.Token != kfCard().Actions[0].Token || e.Message != ref || e.User.ID != b.user() {
		t.Errorf("event %+v, want a press of %s", e, ref)
	}
	if _, err := p.a.Update(t.Context(), ref, kfCard()); !errors.Is(err, bot.ErrFixed) {
		t.Errorf("Update = %v, want ErrFixed", err)
	}
	// A picture can be read.
	b.CustomerSends(b.who, b.account, wecomtest.File{Type: "image", Name: "a.jpg", Content: []byte("a picture of it")})
	until(t, "the picture is heard", func() bool { return len(p.events()) == 3 })
	r, err := p.a.Fetch(t.Context(), p.events()[2].Files[0])
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || string(got) != "a picture of it" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := p.a.SendFile(t.Context(), b.to(p), "f", "说明.txt", 10, strings.NewReader("0123456789")); err != nil || len(b.Files(b.chat())) != 1 {
		t.Errorf("file: %v, %d there", err, len(b.Files(b.chat())))
	}
	if f := p.a.kf.check(t.Context()); len(f) != 1 || !f[0].OK {
		t.Errorf("check: %+v", f)
	}
}

func TestACustomerIsGreetedOnce(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true).start(t)
	p.on(func(_ context.Context, e bot.Event) (bot.Reply, error) {
		if e.Kind != bot.HomeOpened || !p.a.Inline(e).Hint {
			t.Errorf("event %+v", e)
		}
		return bot.Reply{Hint: &cards.Card{Title: "您好,请描述问题"}}, nil
	})
	b.CustomerEnters(b.who, b.account, "site")
	until(t, "he is greeted", func() bool { return len(b.sent()) == 1 })
	if s := b.sent()[0]; s.Text != "您好,请描述问题" || b.Calls("kf/send_msg_on_event") != 1 || b.Calls("kf/send_msg") != 0 {
		t.Errorf("sent %+v", s)
	}
	until(t, "that is told", func() bool { return len(p.written()) == 1 })
	if err := p.written()[0]; err != nil {
		t.Error(err)
	}
	// One that comes too late is told as such, and the event does not come again.
	other := b.AddCustomer(wecomtest.Customer{ID: "wmLate"})
	b.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "kf/send_msg_on_event", Code: 40058})
	b.CustomerEnters(other, b.account, "site")
	until(t, "that is told", func() bool { return len(p.written()) == 2 })
	b.settled(t, 2)
	if !errors.Is(p.written()[1], bot.ErrRejected) || len(p.events()) != 2 {
		t.Errorf("written %v, %d events", p.written(), len(p.events()))
	}
}

func TestFiveMessagesInTwoDays(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true).start(t)
	post := func(i int) error {
		_, err := p.a.Post(t.Context(), b.to(p), fmt.Sprint("o", i), cards.Card{Title: fmt.Sprint("答复 ", i)})
		return err
	}
	if err := post(0); !errors.Is(err, bot.ErrMustSpeak) || b.Calls("kf/send_msg") != 0 {
		t.Errorf("before he wrote: %v", err)
	}
	speak := func() {
		t.Helper()
		n := len(p.events())
		b.CustomerSays(b.who, b.account, "在吗")
		until(t, "it is heard", func() bool { return len(p.events()) == n+1 })
	}
	speak()
	for i := 1; i <= maxToCustomer; i++ {
		if err := post(i); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if err := post(6); !errors.Is(err, bot.ErrMustSpeak) || b.Calls("kf/send_msg") != maxToCustomer {
		t.Errorf("the sixth: %v after %d calls", err, b.Calls("kf/send_msg"))
	}
	b.clock.advance(time.Minute)
	speak()
	if err := post(7); err != nil {
		t.Errorf("after he wrote again: %v", err)
	}
	// What was not sent is not counted.
	b.Fail(wecomtest.Fault{Kind: wecomtest.Limited, Method: "kf/send_msg", Times: 10})
	for range 10 {
		var limited bot.RateLimited
		if err := post(8); !errors.As(err, &limited) {
			t.Fatal(err)
		}
	}
	b.Heal()
	if err := post(8); err != nil {
		t.Errorf("after ten that were refused: %v", err)
	}
	b.clock.advance(openFor)
	if err := post(9); !errors.Is(err, bot.ErrMustSpeak) {
		t.Errorf("after two days: %v", err)
	}
	b.clock.advance(time.Minute)
	speak()
	// The platform's own count is the law.
	for code, want := range map[int]error{95001: bot.ErrMustSpeak, 95002: bot.ErrMustSpeak, 95018: bot.ErrMustSpeak, 95013: bot.ErrMustSpeak, 95000: bot.ErrGone, 95012: bot.ErrUnauthorized, 45002: bot.ErrRejected} {
		b.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "kf/send_msg", Code: code})
		b.clock.advance(time.Second)
		speak()
		if err := post(100 + code); !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", code, err, want)
		}
	}
	b.clock.advance(time.Second)
	speak()
	b.Fail(wecomtest.Fault{Kind: wecomtest.CutAfter, Method: "kf/send_msg"})
	if err := post(10); !errors.Is(err, bot.ErrUnknown) {
		t.Errorf("an answer was lost: %v", err)
	}
}

func TestAMessageThatDidNotArriveShutsTheWindow(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true)
	k := p.a.kf
	who := person{b.account, b.who}
	said := func(at int64) kfSaid {
		m := kfSaid{MsgType: "text"}
		m.MsgID, m.SendTime, m.Origin = fmt.Sprint("m", at), uint64(at), fromCustomer
		return m
	}
	fail := func(at int64, kind int) kfSaid {
		m := kfSaid{MsgType: "event"}
		m.SendTime, m.Event.Type, m.Event.FailType = uint64(at), "msg_send_fail", kind
		return m
	}
	now := b.clock.now().Unix()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func() bool {
		undo, err := k.allowed(t.Context(), who)
		if err == nil {
			undo()
		} else if !errors.Is(err, bot.ErrMustSpeak) {
			t.Fatal(err)
		}
		return err == nil
	}
	must(k.spoken(t.Context(), who, said(now-10)))
	if !open() {
		t.Error("he wrote just now")
	}
	must(k.failed(t.Context(), who, fail(now-9, 0)))
	if !open() {
		t.Error("a failure for no known reason shuts nothing")
	}
	must(k.failed(t.Context(), who, fail(now-8, 10)))
	if open() {
		t.Error("he refuses messages")
	}
	must(k.spoken(t.Context(), who, said(now-10))) // fetched again
	if open() {
		t.Error("an old message opened the window anew")
	}
	must(k.spoken(t.Context(), who, said(now-5)))
	must(k.failed(t.Context(), who, fail(now-7, 6))) // older than what he wrote last
	if !open() {
		t.Error("he has written since")
	}
	must(k.spoken(t.Context(), person{"wkOther", b.who}, said(now-int64(openFor/time.Second)-1)))
	if _, err := k.allowed(t.Context(), person{"wkOther", b.who}); !errors.Is(err, bot.ErrMustSpeak) {
		t.Errorf("what is two days old opened a window: %v", err)
	}
}

// seen counts how often the sink was given each id.
type seen struct {
	mu sync.Mutex // guards n
	n  map[string]int
}

func (s *seen) add(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == nil {
		s.n = map[string]int{}
	}
	s.n[id]++
	return s.n[id]
}

func TestACrashBetweenSinkAndCursorLosesNothing(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true).start(t)
	for i := range 5 {
		b.CustomerSays(b.who, b.account, fmt.Sprint("前 ", i))
	}
	until(t, "the first are heard", func() bool { return len(p.events()) == 5 })
	b.settled(t, 5)
	// From here on the cursor cannot be moved: the process dies after the sink
	// took the page and before that is noted.
	b.shelf.broken(func(op, key string) error {
		if op == "swap" && strings.HasPrefix(key, "kf/cursor/") {
			return errLame
		}
		return nil
	})
	for i := range 20 {
		b.CustomerSays(b.who, b.account, fmt.Sprint("后 ", i))
	}
	until(t, "they are heard", func() bool { return len(p.events()) >= 25 })
	p.stop(t)
	b.shelf.broken(nil)
	q := b.process(t, b.shelf, true).start(t)
	until(t, "they are heard again", func() bool { return len(q.events()) >= 20 })
	b.CustomerSays(b.who, b.account, "最后")
	until(t, "the last is heard", func() bool { e := q.events(); return e[len(e)-1].Text == "最后" })
	ids := map[string]bool{}
	for _, e := range append(p.events(), q.events()...) {
		ids[e.ID] = true
	}
	if len(ids) != 26 {
		t.Errorf("%d different messages, want 26", len(ids))
	}
	// Within one process nothing the sink has taken comes twice, and the second
	// process begins where the cursor stands.
	for _, list := range [][]bot.Event{p.events(), q.events()} {
		var s seen
		for _, e := range list {
			if s.add(e.ID) > 1 {
				t.Errorf("%s came twice", e.ID)
			}
		}
	}
	if len(q.events()) != 21 {
		t.Errorf("the second process was given %d, want 21", len(q.events()))
	}
}

func TestAMessageThatTheSinkRefusesIsHandedOnAgainInOrder(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true)
	var fails atomic.Int64
	fails.Store(3)
	p.on(func(_ context.Context, e bot.Event) (bot.Reply, error) {
		if e.Text == "2" && fails.Add(-1) >= 0 {
			return bot.Reply{}, errLame
		}
		return bot.Reply{}, nil
	})
	p.start(t)
	for i := range 5 {
		b.CustomerSays(b.who, b.account, fmt.Sprint(i))
	}
	until(t, "all are heard", func() bool { return len(p.events()) == 5 })
	for i, e := range p.events() {
		if e.Text != fmt.Sprint(i) {
			t.Errorf("%d is %q", i, e.Text)
		}
	}
	// One that is refused for ever does not hold up those behind it for ever.
	p.on(func(_ context.Context, e bot.Event) (bot.Reply, error) {
		if e.Text == "poison" {
			return bot.Reply{}, errLame
		}
		return bot.Reply{}, nil
	})
	b.CustomerSays(b.who, b.account, "poison")
	b.CustomerSays(b.who, b.account, "next")
	until(t, "the next is heard", func() bool { return len(p.events()) == 6 })
	if p.events()[5].Text != "next" {
		t.Errorf("heard %q", p.events()[5].Text)
	}
}

func TestEmptyPagesAreNotTheEnd(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true).start(t)
	b.EmptyPages(7)
	b.CustomerSays(b.who, b.account, "在吗")
	until(t, "it is heard", func() bool { return len(p.events()) == 1 })
}

func TestWhatNobodyNudgedForIsFoundAtTheStart(t *testing.T) {
	b := newKFBench(t)
	b.Deliver("http://127.0.0.1:1") // nobody hears the nudges
	b.CustomerSays(b.who, b.account, "很久以前")
	b.clock.advance(2 * time.Hour)
	b.CustomerSays(b.who, b.account, "刚才")
	p := b.process(t, b.shelf, false).start(t)
	until(t, "it is heard", func() bool { return len(p.events()) == 1 })
	if p.events()[0].Text != "刚才" {
		t.Errorf("heard %q: what was said long before the first start is other people's", p.events()[0].Text)
	}
	b.settled(t, 2)
	p.stop(t)
	b.CustomerSays(b.who, b.account, "停机时")
	b.clock.advance(3 * time.Hour)
	q := b.process(t, b.shelf, false).start(t)
	until(t, "what was said while nothing ran is heard", func() bool { return len(q.events()) == 1 })
	if q.events()[0].Text != "停机时" {
		t.Errorf("heard %q", q.events()[0].Text)
	}
}

// Without a token WeCom lets nobody ask often. A nudge brings one, and is not
// kept waiting for what was refused without.
func TestANudgeDoesNotWaitForWhatWasRefusedBefore(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true)
	p.a.kf.tempo.again = func(int) time.Duration { return time.Hour }
	b.Fail(wecomtest.Fault{Kind: wecomtest.Limited, Method: "kf/sync_msg"})
	p.start(t)
	until(t, "the first look was refused", func() bool { return b.Calls("kf/sync_msg") == 1 })
	b.CustomerSays(b.who, b.account, "在吗")
	until(t, "it is heard", func() bool { return len(p.events()) == 1 })
}

func TestWhereCustomerServiceIsNotOpenNothingIsAskedAgain(t *testing.T) {
	b := newKFBench(t)
	b.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "kf/account/list", Code: 48002, Times: 2})
	p := b.process(t, b.shelf, true)
	p.a.kf.tempo.again = func(int) time.Duration { return time.Microsecond }
	if f := p.a.kf.check(t.Context()); !f[0].OK {
		t.Errorf("check: %+v", f)
	}
	p.start(t)
	until(t, "it has asked", func() bool { return b.Calls("kf/account/list") == 2 })
	b.CustomerSays(b.who, b.account, "现在开了") // a nudge says that it is open now
	until(t, "it is heard", func() bool { return len(p.events()) == 1 })
	if n := b.Calls("kf/account/list"); n != 2 {
		t.Errorf("asked %d times, want once by the check and once at the start", n)
	}
}

func TestTwoProcessesDoNotFetchTheSame(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true).start(t)
	q := b.process(t, b.shelf, false).start(t)
	const n = 40
	for i := range n {
		b.CustomerSays(b.who, b.account, fmt.Sprint(i))
		q.a.kf.nudge(b.account, "") // both are told
	}
	b.settled(t, n)
	p.stop(t)
	q.stop(t)
	var s seen
	for _, e := range append(p.events(), q.events()...) {
		if s.add(e.ID) > 1 {
			t.Errorf("%s came twice", e.ID)
		}
	}
}

func TestAnOldTokenIsDropped(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true)
	b.CustomerSays(b.who, b.account, "在吗")
	p.a.kf.nudge(b.account, "a token that WeCom does not know")
	p.start(t)
	until(t, "it is heard all the same", func() bool { return len(p.events()) == 1 })
}

func TestAMenuOfSomebodyElseIsPlainText(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true).start(t)
	other := b.AddCustomer(wecomtest.Customer{ID: "wmOther"})
	entry, err := encode(kfEntry{Token: "TOKEN", Ref: string(person{b.account, other}.ref("m1"))})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.shelf.Put(t.Context(), menuKey("stolen"), string(entry), time.Hour); err != nil {
		t.Fatal(err)
	}
	puller := &puller{k: p.a.kf, account: b.account, sink: func(_ context.Context, _ http.ResponseWriter, r bot.Raw) error {
		if r.Header.Get(menuTokenHeader) != "" {
			t.Error("a menu of another customer was pressed")
		}
		return nil
	}}
	m := kfSaid{MsgType: "text"}
	m.MsgID, m.OpenKFID, m.ExternalUserID, m.SendTime, m.Origin, m.Text.MenuID = "m2", b.account, b.who, uint64(b.clock.now().Unix()), fromCustomer, "stolen"
	if err := puller.give(t.Context(), m, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	// So is one that has run out.
	in, err := p.a.kf.message(bot.Raw{Socket: true, Header: http.Header{}}, []byte(`{"msgid":"m3","open_kfid":"wk1","external_userid":"wm1","send_time":1700000000,"origin":3,"msgtype":"text","text":{"content":"已解决","menu_id":"gone"}}`))
	if err != nil || len(in.Events) != 1 || in.Events[0].Kind != bot.Message || in.Events[0].Text != "已解决" {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestNudgesMustBeSigned(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true)
	for _, v := range []wecomtest.Variant{wecomtest.BadSignature, wecomtest.WrongReceiver, wecomtest.WrongKey, wecomtest.Stale} {
		b.Vary(v)
		if _, a := b.CustomerSays(b.who, b.account, "x"); a.OK() {
			t.Errorf("%s was accepted", v)
		}
		if n := p.a.kf.nudges(); len(n) != 0 {
			t.Errorf("%s nudged us: %v", v, n)
		}
	}
	if _, a := b.CustomerSays(b.who, b.account, "x"); !a.OK() || len(p.a.kf.nudges()) != 1 {
		t.Errorf("a signed one did not: %+v", a)
	}
}

// Why the callbacks and calls of silenceper/wechat are not used. When one of
// these fails, the library has been mended and our own part can go.
func TestWhatTheLibraryForCustomerServiceGetsWrong(t *testing.T) {
	b := newKFBench(t)
	c, err := newCrypt(wecomtest.Token, wecomtest.AESKey, wecomtest.Corp)
	if err != nil {
		t.Fatal(err)
	}
	lib, err := wechatkf.NewClient(&config.Config{CorpID: wecomtest.Corp, CorpSecret: wecomtest.Secret, Token: wecomtest.Token, EncodingAESKey: wecomtest.AESKey, Cache: cache.NewMemory()})
	if err != nil {
		t.Fatal(err)
	}
	// GetCallbackMessage has no way to be told the signature: anything that is
	// encrypted with the key passes, replayed and unsigned.
	encrypted, _ := c.seal([]byte("<xml><ToUserName><![CDATA["+wecomtest.Corp+"]]></ToUserName><Event><![CDATA[kf_msg_or_event]]></Event><Token><![CDATA[T]]></Token><OpenKfId><![CDATA[wk1]]></OpenKfId></xml>"), "n", time.Unix(1, 0))
	body, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"xml"`
		Encrypt string
	}{Encrypt: encrypted})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := lib.GetCallbackMessage(body); err != nil || m.OpenKfID != "wk1" {
		t.Errorf("the library looks at more than the key now: %+v, %v", m, err)
	}
	p := b.process(t, b.shelf, false)
	raw := bot.Raw{Method: http.MethodPost, Query: url.Values{"timestamp": {"1"}, "nonce": {"n"}, "msg_signature": {strings.Repeat("0", 40)}}, Body: body}
	if _, err := p.a.Verify(raw, b.clock.now()); !errors.Is(err, bot.ErrUnverified) {
		t.Errorf("we take it too: %v", err)
	}
	// The person who talks to the customer is servicer_userid on the wire.
	var state wechatkf.ServiceStateGetSchema
	if err := json.Unmarshal([]byte(`{"service_state":3,"servicer_userid":"lisi"}`), &state); err != nil {
		t.Fatal(err)
	}
	if state.ServiceUserID != "" {
		t.Error("the library reads servicer_userid now")
	}
}

func TestMenusFitTheirLimits(t *testing.T) {
	b := newKFBench(t)
	p := b.process(t, b.shelf, true).start(t)
	long := strings.Repeat("很长的话", 900)
	var many []cards.Action
	for i := range 30 {
		many = append(many, cards.Action{Label: "同样的名字" + long, Token: fmt.Sprint("t", i)})
	}
	for name, c := range map[string]cards.Card{
		"long text": {Title: long, Body: long, Actions: many[:2]}, "many": {Title: "x", Actions: many}, "no text": {Actions: many[:1]}, "nothing": {},
		"menu": {Title: "评价", Actions: []cards.Action{{Label: "评价", Token: "rate", Options: []cards.Option{{Label: "好", Value: "5"}, {Label: "差", Value: "1"}}}}},
		"link": {Title: "x", Actions: []cards.Action{{Label: "打开", URL: "https://desk.example/1"}, {Label: "坏", URL: "javascript:alert(1)"}}},
		"list": listCard(),
	} {
		b.clock.advance(time.Second)
		n := len(p.events())
		b.CustomerSays(b.who, b.account, "再来")
		until(t, "it is heard", func() bool { return len(p.events()) == n+1 })
		if _, err := p.a.Post(t.Context(), b.to(p), "menu "+name, c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	sent := b.sent()
	for _, m := range sent {
		if strings.Contains(m.Text, "javascript") {
			t.Errorf("sent %q", m.Text)
		}
	}
}

func TestCustomersNames(t *testing.T) {
	leakFree(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := `{"errcode":0,"errmsg":"ok","access_token":"AT","expires_in":7200}`
		if strings.HasSuffix(r.URL.Path, "/kf/customer/batchget") {
			body, err := io.ReadAll(r.Body)
			if err != nil || !strings.Contains(string(body), `"external_userid_list":["wm1"]`) {
				t.Errorf("asked %s, %v", body, err)
			}
			answer = `{"errcode":0,"errmsg":"ok","customer_list":[{"external_userid":"wm1","nickname":"王芳\n@所有人"}],"invalid_external_userid":[]}`
		}
		if _, err := io.WriteString(w, answer); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	client := &http.Transport{}
	defer client.CloseIdleConnections()
	a, err := New(appConfig(srv.URL), bot.Deps{Log: quiet(), Shelf: newShelf(nil), HTTP: plainClient(client)})
	if err != nil {
		t.Fatal(err)
	}
	u, err := a.FindUser(t.Context(), a.user("kf:wk1:wm1"))
	if err != nil || u.Name != "王芳 @所有人" || !u.Guest || u.Ref.ID != "kf:wk1:wm1" {
		t.Errorf("FindUser = %+v, %v", u, err)
	}
	for _, id := range []string{"kf:", "kf:wk1", "kf:wk1:", "kf::wm1", "kf:wk1:wm1:x", "kf:wk/1:wm1"} {
		if _, err := a.FindUser(t.Context(), a.user(id)); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestKFDecodes(t *testing.T) {
	b := newKFBench(t)
	k := b.process(t, b.shelf, false).a.kf
	head := `"msgid":"m1","open_kfid":"wk1","external_userid":"wm1","send_time":1700000000,"origin":3`
	for _, c := range []struct {
		body, kind string
		events     int
		bad        bool
	}{
		{`{` + head + `,"msgtype":"text","text":{"content":"x"}}`, kfMessage, 1, false},
		{`{` + head + `,"msgtype":"voice","voice":{"media_id":"M"}}`, kfMessage, 1, false},
		{`{` + head + `,"msgtype":"location","location":{"name":"总部","address":"路 1 号"}}`, kfMessage, 1, false},
		{`{` + head + `,"msgtype":"hologram"}`, kfOther, 0, false},
		{`{"msgid":"m1","open_kfid":"wk1","external_userid":"wm1","send_time":1700000000,"origin":5,"servicer_userid":"lisi","msgtype":"text","text":{"content":"x"}}`, kfOther, 0, false},
		{`{"msgid":"m1","send_time":1700000000,"origin":4,"msgtype":"event","event":{"event_type":"enter_session","open_kfid":"wk1","external_userid":"wm1","welcome_code":"C"}}`, kfEnter, 1, false},
		{`{"msgid":"m1","send_time":1700000000,"origin":4,"msgtype":"event","event":{"event_type":"msg_send_fail","open_kfid":"wk1","external_userid":"wm1","fail_type":4}}`, kfFail, 0, false},
		{`{"msgid":"m1","send_time":1700000000,"origin":4,"msgtype":"event","event":{"event_type":"servicer_status_change","open_kfid":"wk1"}}`, kfOther, 0, false},
		{`{"msgid":"m1","open_kfid":"wk1","external_userid":"wm:1","send_time":1700000000,"origin":3,"msgtype":"text"}`, "", 0, true},
		{`{"open_kfid":"wk1"}`, "", 0, true}, {`[]`, "", 0, true}, {``, "", 0, true},
	} {
		in, err := k.decode(bot.Raw{Socket: true, Header: http.Header{}}, []byte(c.body))
		if c.bad != errors.Is(err, bot.ErrMalformed) || in.Kind != c.kind || len(in.Events) != c.events {
			t.Errorf("%s: %+v, %v", c.body, in, err)
		}
		if c.kind == kfMessage && !c.bad && (!in.Events[0].Guest || in.Events[0].User.ID != "kf:wk1:wm1") {
			t.Errorf("event %+v", in.Events[0])
		}
	}
}

func TestKFAtItsOwnAddress(t *testing.T) {
	leakFree(t)
	conf := appConfig("")
	conf.KF = KFConfig{Token: "OwnToken1", EncodingAESKey: wecomtest.RobotAESKey}
	a, err := New(conf, bot.Deps{Log: quiet(), Shelf: newShelf(nil)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1700000000, 0)
	request := func(c *crypt, message string) bot.Raw {
		encrypted, signature := c.seal([]byte(message), "n1", now)
		return bot.Raw{
			Method: http.MethodPost, Path: surfaceKF, Query: url.Values{"timestamp": {"1700000000"}, "nonce": {"n1"}, "msg_signature": {signature}},
			Body: []byte("<xml><ToUserName><![CDATA[" + wecomtest.Corp + "]]></ToUserName><Encrypt><![CDATA[" + encrypted + "]]></Encrypt><AgentID><![CDATA[]]></AgentID></xml>"),
		}
	}
	nudge := "<xml><ToUserName><![CDATA[" + wecomtest.Corp + "]]></ToUserName><CreateTime>1700000000</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[kf_msg_or_event]]></Event><Token><![CDATA[T1]]></Token><OpenKfId><![CDATA[wk1]]></OpenKfId></xml>"
	r := request(a.kf.crypt, nudge)
	plain, err := a.Verify(r, now)
	if err != nil {
		t.Fatal(err)
	}
	if in, err := a.Decode(r, plain); err != nil || in.Kind != kfNudge || a.kf.nudges()["wk1"] != "T1" {
		t.Errorf("Decode = %+v, %v", in, err)
	}
	// With the app's keys it is not kf's.
	if _, err := a.Verify(request(a.app.crypt, nudge), now); !errors.Is(err, bot.ErrUnverified) {
		t.Errorf("the app's keys: %v", err)
	}
	tried := 0
	for i := range len(r.Body) * 8 {
		forged := r
		forged.Body = []byte(string(r.Body))
		forged.Body[i/8] ^= 1 << (i % 8)
		if plain, err := a.Verify(forged, now); err == nil && !strings.Contains(string(plain), "T1") {
			t.Errorf("bit %d flipped was read as %q", i, plain)
		} else if err != nil {
			tried++
		}
	}
	t.Logf("%d forgeries refused", tried)
	echo, signature := a.kf.crypt.seal([]byte("5927"), "n1", now)
	get := bot.Raw{Method: http.MethodGet, Path: surfaceKF, Query: url.Values{"timestamp": {"1700000000"}, "nonce": {"n1"}, "msg_signature": {signature}, "echostr": {echo}}}
	plain, err = a.Verify(get, now)
	if err != nil {
		t.Fatal(err)
	}
	in, err := a.Decode(get, plain)
	w := httptest.NewRecorder()
	a.Reply(w, in, bot.Reply{Echo: in.Echo})
	if err != nil || w.Body.String() != "5927" {
		t.Errorf("echoed %q, %v", w.Body, err)
	}
}

func FuzzKFDecode(f *testing.F) {
	for _, s := range []string{
		`{"msgid":"m1","open_kfid":"wk1","external_userid":"wm1","send_time":1700000000,"origin":3,"msgtype":"text","text":{"content":"x","menu_id":"e"}}`,
		`{"msgid":"m1","send_time":1700000000,"origin":4,"msgtype":"event","event":{"event_type":"enter_session","open_kfid":"wk1","external_userid":"wm1","welcome_code":"C"}}`,
		`{"msgid":"m1","open_kfid":"wk1","external_userid":"wm1","send_time":1700000000,"origin":3,"msgtype":"file","file":{"media_id":"M"}}`,
	} {
		f.Add([]byte(s), "TOKEN")
	}
	a, err := New(appConfig(""), bot.Deps{Log: quiet(), Shelf: newShelf(nil)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, token string) {
		r := bot.Raw{Socket: true, Header: http.Header{surfaceHeader: {surfaceKF}, menuTokenHeader: {token}}, Body: body}
		in, err := a.Decode(r, body)
		if err != nil && (!errors.Is(err, bot.ErrMalformed) || len(in.Events) > 0) {
			t.Fatalf("Decode = %+v, %v", in, err)
		}
		for _, e := range in.Events {
			if _, err := parsePerson(e.User.ID); err != nil || !e.Guest || !strings.HasPrefix(e.ID, "kf:") || e.Kind == "" || e.At.IsZero() {
				t.Fatalf("event %+v, %v", e, err)
			}
		}
		a.Reply(httptest.NewRecorder(), in, bot.Reply{Hint: &cards.Card{Title: "x"}})
	})
}
