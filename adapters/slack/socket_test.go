package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/bot"
)

// streaming runs Stream with a sink until the test ends.
func streaming(t *testing.T, d *desk, sink func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error) (stop func() error) {
	t.Helper()
	d.a.pause = func(int) time.Duration { return time.Millisecond }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.a.Stream(ctx, sink) }()
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
func handled(d *desk, got chan<- bot.Event, reply func(bot.Event) bot.Reply) func(context.Context, http.ResponseWriter, bot.Raw) error {
	return func(_ context.Context, w http.ResponseWriter, r bot.Raw) error {
		plain, err := d.a.Verify(r, time.Now())
		if err != nil {
			return err
		}
		in, err := d.a.Decode(r, plain)
		if err != nil { // the gateway's 400: dealt with, there is nothing to try again
			w.WriteHeader(http.StatusBadRequest)
			return nil
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

func TestSocketCarriesEverything(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	got := make(chan bot.Event, 10)
	hint := sampleCards()["hint"]
	streaming(t, d, handled(d, got, func(bot.Event) bot.Reply { return bot.Reply{Hint: &hint} }))
	ref, answers := d.Mention(d.ann, d.help, "", "建单 打印机坏了")
	for _, a := range answers {
		if !a.OK() || a.Attempts != 1 || len(a.Body) > 0 {
			t.Errorf("%+v", a)
		}
	}
	one, two := <-got, <-got
	if one.ID != two.ID || one.Text != "建单 打印机坏了" || !one.ToBot || string(one.Message) != ref {
		t.Errorf("%+v\n%+v", one, two)
	}
	if a := d.Slash(d.ann, d.help, "/ticket", "mine"); !a.OK() || len(d.Notes(d.ann)) != 1 {
		t.Errorf("%+v", a)
	}
	if e := <-got; e.Kind != bot.Slash || e.Text != "mine" {
		t.Errorf("%+v", e)
	}
	if a := d.GlobalShortcut(d.ann, "ticket_new_global"); !a.OK() {
		t.Errorf("%+v", a)
	}
	if e := <-got; e.Kind != bot.Shortcut {
		t.Errorf("%+v", e)
	}
}

func TestSocketAcknowledgesOnlyWhatWentWell(t *testing.T) {
	d := newDesk(t, slacktest.Options{Deadline: 200 * time.Millisecond})
	var mu sync.Mutex
	tries := 0
	streaming(t, d, func(context.Context, http.ResponseWriter, bot.Raw) error {
		mu.Lock()
		defer mu.Unlock()
		switch tries++; tries {
		case 1:
			return errors.New("database is down")
		case 2:
			panic("oops")
		}
		return nil
	})
	if a := d.React(d.ann, d.post(t), "eyes")[0]; !a.OK() || a.Attempts != 3 {
		t.Errorf("%+v", a)
	}
}

// post makes a message to do something with.
func (d *desk) post(t *testing.T) string {
	t.Helper()
	ref, err := d.a.Post(t.Context(), d.to(), "x", sampleCards()["hint"])
	if err != nil {
		t.Fatal(err)
	}
	return string(ref)
}

func TestSocketOutlivesEveryDisconnect(t *testing.T) {
	d := newDesk(t, slacktest.Options{PingEvery: 5 * time.Millisecond})
	got := make(chan bot.Event, 200)
	streaming(t, d, handled(d, got, func(bot.Event) bot.Reply { return bot.Reply{} }))
	ref := d.post(t)
	for i := range 30 {
		switch i % 3 {
		case 0:
			d.CutSockets()
		case 1:
			if err := d.Disconnect("warning"); err != nil {
				t.Log(err) // no connection is up at the moment
			}
		}
		emoji := fmt.Sprint("e", i)
		if a := d.React(d.ann, ref, emoji)[0]; !a.OK() {
			t.Fatalf("event %d: %+v", i, a)
		}
		for e := range got {
			if e.Emoji == emoji {
				break
			}
			t.Log("again:", e.Emoji)
		}
	}
}

func TestSocketConnectsTheNewBeforeClosingTheOld(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	entered, release := make(chan struct{}), make(chan struct{})
	streaming(t, d, func(context.Context, http.ResponseWriter, bot.Raw) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	ref := d.post(t)
	answer := make(chan slacktest.Answer, 1)
	go func() { answer <- d.React(d.ann, ref, "eyes")[0] }()
	<-entered
	if err := d.Disconnect("refresh_requested"); err != nil {
		t.Fatal(err)
	}
	if err := d.WaitSocket(t.Context(), 2); err != nil { // both are open now
		t.Fatal(err)
	}
	close(release)
	if a := <-answer; !a.OK() || a.Attempts != 1 {
		t.Errorf("what was in hand was not acknowledged on the old connection: %+v", a)
	}
}

func TestSocketUnknownFramesAreAcknowledged(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	got := make(chan bot.Event, 10)
	streaming(t, d, handled(d, got, func(bot.Event) bot.Reply { return bot.Reply{} }))
	if a := d.Event("huddle_levitated", map[string]any{"user": d.ann})[0]; !a.OK() || a.Attempts != 1 {
		t.Errorf("%+v", a)
	}
	for _, frame := range []string{"{", "[]", `{"type":"mystery"}`, `{"type":"mystery","envelope_id":"m-1"}`, `{"type":"events_api"}`, strings.Repeat(`{"a":`, 100), "\"\\ud800\""} {
		if err := d.Frame(frame); err != nil {
			t.Fatal(err)
		}
	}
	if a := d.React(d.ann, d.post(t), "eyes")[0]; !a.OK() {
		t.Errorf("%+v", a)
	}
}

func TestSocketAnswerThatIsTooLongIsLeftOut(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	streaming(t, d, func(_ context.Context, w http.ResponseWriter, _ bot.Raw) error {
		_, err := fmt.Fprintf(w, `{"text":%q}`, strings.Repeat("x", maxAck))
		return err
	})
	if a := d.Slash(d.ann, d.help, "/ticket", "x"); !a.OK() || len(a.Body) > 0 {
		t.Errorf("%+v", a)
	}
}

func TestSocketWithoutPingsIsReplaced(t *testing.T) {
	d := newDesk(t, slacktest.Options{PingEvery: time.Hour})
	d.a.silence = 20 * time.Millisecond
	got := make(chan bot.Event, 10)
	streaming(t, d, handled(d, got, func(bot.Event) bot.Reply { return bot.Reply{} }))
	for d.Calls("apps.connections.open") < 3 {
		if t.Context().Err() != nil {
			t.Fatal("a silent connection was kept")
		}
	}
}

func TestSocketRefusalEndsTheStream(t *testing.T) {
	for _, code := range []string{"invalid_auth", "not_authed", "account_inactive", "token_revoked"} {
		d := newDesk(t, slacktest.Options{})
		d.Fail(slacktest.Fault{Kind: slacktest.Refused, Method: "apps.connections.open", Code: code})
		err := d.a.Stream(t.Context(), nil)
		if !errors.Is(err, bot.ErrUnauthorized) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// TestThreat_TA19: a socket is opened to Slack's own hosts only.
func TestSocketHosts(t *testing.T) {
	c := testConfig()
	c.APIURL = ""
	a := testAdapter(t, c)
	for address, want := range map[string]bool{
		"wss://wss-primary.slack.com/link/?ticket=x": true, "wss://wss-backup.slack.com/link/": true, "ws://wss-primary.slack.com/link/": false, "wss://slack.com.evil.example/": false,
		"wss://evilslack.com/": false, "wss://127.0.0.1:9/link/": false, "https://wss-primary.slack.com/": false, "wss://me@wss-primary.slack.com/": false, "": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if a.socketHost(u) != want {
			t.Errorf("%s: allowed %v", address, !want)
		}
	}
}
