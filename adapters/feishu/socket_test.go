package feishu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/paidan/paidan/adapters/feishu/feishutest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

type sink = func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error

// streaming runs Stream with a sink until the test ends.
func streaming(t *testing.T, d *desk, s sink) (stop func() error) {
	t.Helper()
	d.a.pause = func(int) time.Duration { return time.Millisecond }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.a.Stream(ctx, s) }()
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
	if err := d.WaitSocket(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return stop
}

// handled is a sink that does what the gateway does.
func handled(d *desk, got chan<- bot.Event, reply func(bot.Event) bot.Reply) sink {
	return func(_ context.Context, w http.ResponseWriter, r bot.Raw) error {
		plain, err := d.a.Verify(r, time.Now())
		if err != nil {
			return err
		}
		in, err := d.a.Decode(r, plain)
		if err != nil {
			return err
		}
		var out bot.Reply
		for _, e := range in.Events {
			got <- e
			out = reply(e)
		}
		d.a.Reply(w, in, out)
		return nil
	}
}

func TestStream(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	got := make(chan bot.Event, 16)
	streaming(t, d, handled(d, got, func(e bot.Event) bot.Reply { return bot.Reply{Toast: "ok " + e.Token} }))
	id, answers := d.Mention(d.ann, d.help, "", "打印机坏了")
	if len(answers) != 1 || !answers[0].OK() || answers[0].Attempts != 1 {
		t.Fatalf("%+v", answers)
	}
	if e := <-got; e.Kind != bot.Message || e.ID != id || e.Text != "打印机坏了" || !e.ToBot {
		t.Errorf("%+v", e)
	}
	ref, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "x", Actions: []cards.Action{{Label: "接单", Token: "AQ"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a := d.Press(d.ann, string(ref), "接单"); !a.OK() {
		t.Fatal(a.Err)
	}
	if e := <-got; e.Kind != bot.Click || e.Token != "AQ" {
		t.Errorf("%+v", e)
	}
	if toasts := d.Toasts(d.ann); len(toasts) != 1 || toasts[0].Text != "ok AQ" {
		t.Errorf("%+v", toasts)
	}
	// An emoji on a message from before the start: the chat is asked for.
	d.a.places.forget(string(ref))
	d.shelf.mu.Lock()
	clear(d.shelf.rows)
	d.shelf.mu.Unlock()
	d.React(d.ann, string(ref), "DONE")
	if e := <-got; e.Kind != bot.Reacted || e.Conv.ID != d.help {
		t.Errorf("%+v", e)
	}
}

func TestSplitFrames(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	got := make(chan bot.Event, 16)
	streaming(t, d, handled(d, got, func(bot.Event) bot.Reply { return bot.Reply{} }))
	for _, n := range []int{2, 7, 100} {
		d.Split(n)
		text := strings.Repeat("很长", 500) + fmt.Sprint(n)
		if _, answers := d.Mention(d.ann, d.help, "", text); !answers[0].OK() || answers[0].Attempts != 1 {
			t.Errorf("in %d parts: %+v", n, answers)
		}
		if e := <-got; e.Text != text {
			t.Errorf("in %d parts: %q", n, e.Text)
		}
	}
}

// TestMerge: parts out of order, twice, too late, and too many.
func TestMerge(t *testing.T) {
	now := time.Unix(1700000000, 0)
	a := testAdapter(t, testConfig())
	a.now = func() time.Time { return now }
	s := &socket{a: a, parts: map[string]*split{}}
	part := func(id string, sum, seq int, payload string) frame {
		return frame{headers: []frameHeader{{"message_id", id}, {"sum", fmt.Sprint(sum)}, {"seq", fmt.Sprint(seq)}}, payload: []byte(payload)}
	}
	expect := func(f frame, want string) {
		t.Helper()
		if b, whole := s.merge(f); string(b) != want || whole != (want != "") {
			t.Errorf("%q, %v; want %q", b, whole, want)
		}
	}
	expect(part("a", 1, 0, "whole"), "whole")
	expect(frame{payload: []byte("no headers")}, "no headers")
	expect(part("b", 3, 2, "C"), "")
	expect(part("b", 3, 0, "A"), "")
	expect(part("b", 3, 0, "again"), "")
	expect(part("c", 2, 0, "x"), "")
	expect(part("b", 3, 1, "B"), "ABC")
	expect(part("c", 2, 2, "out of range"), "")
	expect(part("c", 2, -1, "out of range"), "")
	expect(part("c", 3, 1, "another sum"), "")
	now = now.Add(mergeTime + time.Second)
	expect(part("c", 2, 1, "too late"), "")
	expect(part("c", 2, 0, "but a new start: "), "but a new start: too late")
	expect(part("d", 2, 0, ""), "")
	expect(part("d", 2, 1, "empty part"), "empty part")
	expect(part("e", maxParts+1, 0, "x"), "")
	for i := range maxSplit + 5 {
		expect(part(fmt.Sprint("f", i), 2, 0, "x"), "")
	}
	if len(s.parts) != maxSplit {
		t.Errorf("%d are kept", len(s.parts))
	}
	now = now.Add(mergeTime + time.Second)
	expect(part("g", 2, 0, strings.Repeat("x", maxFrame)), "")
	expect(part("g", 2, 1, "x"), "")
	if len(s.parts) != 0 {
		t.Errorf("%d are kept", len(s.parts))
	}
}

// TestWhatFailsComesAgain: a frame is acknowledged only when it was dealt with.
func TestWhatFailsComesAgain(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	got := make(chan bot.Event, 16)
	var n atomic.Int32
	good := handled(d, got, func(bot.Event) bot.Reply { return bot.Reply{} })
	streaming(t, d, func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error {
		switch n.Add(1) {
		case 1:
			return errors.New("database is down")
		case 2:
			panic("oh")
		}
		return good(ctx, w, r)
	})
	if _, answers := d.Mention(d.ann, d.help, "", "x"); !answers[0].OK() || answers[0].Attempts != 3 {
		t.Errorf("%+v", answers)
	}
	if e := <-got; e.Text != "x" {
		t.Errorf("%+v", e)
	}
}

// TestCardFramesAreEvents: the SDK drops frames of the type card.
func TestCardFramesAreEvents(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	got := make(chan bot.Event, 16)
	streaming(t, d, handled(d, got, func(bot.Event) bot.Reply { return bot.Reply{} }))
	f := feishutest.Frame{Method: feishutest.Data, Headers: []feishutest.FrameHeader{{Key: "type", Value: "card"}, {Key: "message_id", Value: "m"}}, Payload: []byte(envelope("card-1", "card.action.trigger", press("ou_ann", `"tag":"button","value":{"t":"AQ"}`)))}
	if err := d.Frame(f.Marshal()); err != nil {
		t.Fatal(err)
	}
	if e := <-got; e.ID != "card-1" || e.Token != "AQ" {
		t.Errorf("%+v", e)
	}
	// What makes no sense ends nothing.
	for _, raw := range [][]byte{nil, []byte("\xff\xff"), feishutest.Frame{Method: feishutest.Data, Headers: []feishutest.FrameHeader{{Key: "type", Value: "odd"}}}.Marshal(), feishutest.Frame{Method: feishutest.Control, Headers: []feishutest.FrameHeader{{Key: "type", Value: "pong"}}, Payload: []byte("{")}.Marshal(),
		feishutest.Frame{Method: feishutest.Data, Headers: []feishutest.FrameHeader{{Key: "type", Value: "event"}}, Payload: []byte(`{"header":{"app_id":"cli_ffffffffffffffff"}}`)}.Marshal()} {
		if err := d.Frame(raw); err != nil {
			t.Fatal(err)
		}
	}
	if _, answers := d.Mention(d.ann, d.help, "", "still there"); !answers[0].OK() {
		t.Errorf("%+v", answers)
	}
	if e := <-got; e.Text != "still there" {
		t.Errorf("%+v", e)
	}
	if n := d.Calls("ws.handshake"); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestNoMoreThanAtOnce: a flood waits in the connection, not in memory.
func TestNoMoreThanAtOnce(t *testing.T) {
	d := newDesk(t, feishutest.Options{Deadline: time.Minute})
	release := make(chan struct{})
	full := make(chan struct{})
	var now, most atomic.Int32
	streaming(t, d, func(context.Context, http.ResponseWriter, bot.Raw) error {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == atOnce {
			close(full)
		}
		<-release
		return nil
	})
	var all sync.WaitGroup
	for i := range 3 * atOnce {
		all.Go(func() {
			if _, answers := d.Mention(d.ann, d.help, "", fmt.Sprint(i)); !answers[0].OK() {
				t.Errorf("%+v", answers)
			}
		})
	}
	<-full
	close(release)
	all.Wait()
	if n := most.Load(); n != atOnce {
		t.Errorf("%d at once, want %d", n, atOnce)
	}
}

func TestReconnects(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	got := make(chan bot.Event, 16)
	streaming(t, d, handled(d, got, func(bot.Event) bot.Reply { return bot.Reply{} }))
	speak := func(what string) {
		t.Helper()
		if _, answers := d.Mention(d.ann, d.help, "", what); !answers[0].OK() {
			t.Errorf("%s: %+v", what, answers)
		}
		if e := <-got; e.Text != what {
			t.Errorf("%+v", e)
		}
	}
	speak("first")
	if err := d.Disconnect(); err != nil {
		t.Fatal(err)
	}
	speak("after a farewell")
	d.CutSockets()
	speak("after a cut")
	// Busy servers are asked again, and so are those that answer nonsense.
	for _, f := range []feishutest.Fault{
		{Kind: feishutest.Refused, Method: "ws.endpoint", Code: endpointBusy, Status: 200}, {Kind: feishutest.Refused, Method: "ws.endpoint", Code: endpointInternal, Status: 200},
		{Kind: feishutest.ServerError, Method: "ws.endpoint"}, {Kind: feishutest.Empty, Method: "ws.endpoint"}, {Kind: feishutest.CutBefore, Method: "ws.endpoint"},
		{Kind: feishutest.Limited, Method: "ws.endpoint", RetryAfter: "0"},
		{Kind: feishutest.Refused, Method: "ws.handshake", Code: 1}, {Kind: feishutest.ServerError, Method: "ws.handshake", Status: 502},
	} {
		before := d.Calls("ws.endpoint")
		d.Fail(f)
		d.CutSockets()
		speak(fmt.Sprintf("after %s of %s", f.Kind, f.Method))
		if n := d.Calls("ws.endpoint") - before; n < 2 {
			t.Errorf("%s of %s: %d calls", f.Kind, f.Method, n)
		}
	}
}

// TestWhatNoReconnectingMends: Stream ends and says why.
func TestWhatNoReconnectingMends(t *testing.T) {
	run := func(d *desk) error {
		return d.a.Stream(t.Context(), func(context.Context, http.ResponseWriter, bot.Raw) error { return nil })
	}
	d := newDesk(t, feishutest.Options{})
	d.Suspend(10014)
	if err := run(d); !errors.Is(err, bot.ErrUnauthorized) {
		t.Error(err)
	}
	d = newDesk(t, feishutest.Options{})
	d.Fail(feishutest.Fault{Kind: feishutest.Refused, Method: "ws.endpoint", Code: 514, Status: 200})
	if err := run(d); !errors.Is(err, bot.ErrUnauthorized) || strings.Contains(err.Error(), feishutest.AppSecret) {
		t.Error(err)
	}
	d = newDesk(t, feishutest.Options{})
	d.Fail(feishutest.Fault{Kind: feishutest.Refused, Method: "ws.handshake", Code: handshakeTooMany})
	if err := run(d); !errors.Is(err, bot.ErrRejected) || !strings.Contains(err.Error(), "50 connections") {
		t.Error(err)
	}
	c := testConfig()
	c.Mode = ModeHTTP
	if err := testAdapter(t, c).Stream(t.Context(), nil); !errors.Is(err, bot.ErrUnauthorized) {
		t.Error(err)
	}
	d = newDesk(t, feishutest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.a.Stream(ctx, nil); err != nil {
		t.Error(err)
	}
}

// endpointServer is a server of long connections that says what a test wants.
func endpointServer(t *testing.T, config string, talk func(ws *websocket.Conn)) *Adapter {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.HandleFunc("POST /callback/ws/endpoint", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ AppID, AppSecret string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.AppID != feishutest.AppID || in.AppSecret != feishutest.AppSecret {
			t.Errorf("%+v, %v", in, err)
		}
		if _, err := fmt.Fprintf(w, `{"code":0,"data":{"URL":"ws%s/ws?service_id=7&ticket=t"%s}}`, strings.TrimPrefix(server.URL, "http"), config); err != nil {
			t.Error(err)
		}
	})
	var up websocket.Upgrader
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		talk(ws)
		if err := ws.Close(); err != nil {
			t.Log(err)
		}
	})
	c := testConfig()
	c.APIURL = server.URL
	client := server.Client()
	a, err := New(c, bot.Deps{HTTP: client, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	a.self.Store(&identity{bot: feishutest.Bot})
	a.pause = func(int) time.Duration { return time.Millisecond }
	return a
}

// TestSDKDefectPingsWithoutPause: without a PingInterval the SDK pings as fast
// as it can.
func TestSDKDefectPingsWithoutPause(t *testing.T) {
	for config, want := range map[string]time.Duration{
		``: defaultPing, `,"ClientConfig":{}`: defaultPing, `,"ClientConfig":{"PingInterval":0}`: defaultPing, `,"ClientConfig":{"PingInterval":-5}`: defaultPing,
		`,"ClientConfig":{"PingInterval":90}`: 90 * time.Second, `,"ClientConfig":{"PingInterval":999999999}`: mostPing,
	} {
		pinged := make(chan frame, 1000)
		a := endpointServer(t, config, func(ws *websocket.Conn) {
			for {
				_, b, err := ws.ReadMessage()
				if err != nil {
					return
				}
				f, err := parseFrame(b)
				if err != nil {
					t.Error(err)
				}
				pinged <- f
			}
		})
		s, err := a.connect(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if f := <-pinged; f.method != controlFrame || f.header("type") != "ping" || f.service != 7 {
			t.Errorf("%+v", f)
		}
		if got := time.Duration(s.every.Load()); got != want {
			t.Errorf("%s: every %v, want %v", config, got, want)
		}
		s.retire()
		if n := len(pinged); n > 0 {
			t.Errorf("%s: %d more pings", config, n)
		}
	}
}

// TestPongChangesTheInterval: new settings come with any pong.
func TestPongChangesTheInterval(t *testing.T) {
	pings := make(chan struct{}, 16)
	a := endpointServer(t, `,"ClientConfig":{"PingInterval":600}`, func(ws *websocket.Conn) {
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
			pings <- struct{}{}
			pong := frame{method: controlFrame, headers: []frameHeader{{"type", "pong"}}, payload: []byte(`{"PingInterval":1}`)}
			if err := ws.WriteMessage(websocket.BinaryMessage, pong.marshal()); err != nil {
				return
			}
		}
	})
	s, err := a.connect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.retire()
	<-pings
	<-pings // a second later instead of ten minutes
	if got := time.Duration(s.every.Load()); got != time.Second {
		t.Errorf("every %v", got)
	}
}

// TestSilenceEndsAConnection: one that answers nothing is dead, however open it looks.
func TestSilenceEndsAConnection(t *testing.T) {
	opened := make(chan struct{}, 16)
	quit := make(chan struct{})
	a := endpointServer(t, `,"ClientConfig":{"PingInterval":1}`, func(*websocket.Conn) {
		opened <- struct{}{}
		<-quit
	})
	s, err := a.connect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	<-opened
	s.every.Store(int64(-2400 * time.Millisecond)) // 200 ms of patience, for the test's sake
	s.alive()
	<-s.ended
	close(quit)
	s.retire()
}

func TestSocketHosts(t *testing.T) {
	for _, c := range []struct {
		api, address string
		want         bool
	}{
		{DefaultAPIURL, "wss://msg-frontier.feishu.cn/ws/v2?ticket=x", true},
		{LarkAPIURL, "wss://msg-frontier-sg.larksuite.com/ws/v2?ticket=x", true},
		{"https://open.feishu.example.com", "wss://frontier.feishu.example.com/ws", true},
		{DefaultAPIURL, "ws://msg-frontier.feishu.cn/ws", false},
		{DefaultAPIURL, "wss://evil.example/ws", false},
		{DefaultAPIURL, "wss://feishu.cn.evil.example/ws", false},
		{DefaultAPIURL, "wss://evilfeishu.cn/ws", false},
		{DefaultAPIURL, "wss://me@msg-frontier.feishu.cn/ws", false},
		{DefaultAPIURL, "ws://127.0.0.1:80/ws", false},
		{"http://127.0.0.1:80", "ws://127.0.0.1:80/ws", true},
		{"http://127.0.0.1:80", "ws://127.0.0.1:81/ws", false},
		{"http://localhost", "wss://anything", false},
	} {
		conf := testConfig()
		conf.APIURL = c.api
		u, err := url.Parse(c.address)
		if err != nil {
			t.Fatal(err)
		}
		if got := testAdapter(t, conf).socketHost(u); got != c.want {
			t.Errorf("%s at %s: %v", c.address, c.api, got)
		}
	}
}

func TestBackoffGrowsAndVaries(t *testing.T) {
	for n, most := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		for range 50 {
			if d := backoff(n); d < most/2 || d > most {
				t.Errorf("try %d waits %v", n, d)
			}
		}
	}
	if d := backoff(1000); d > 2*time.Minute || d < time.Minute {
		t.Errorf("at last %v", d)
	}
}
