//go:build unix

package playground_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/paidan/paidan/adapters/playground"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets/ticketstest"
)

func TestMain(m *testing.M) { ticketstest.Main(m, func() error { return goleak.Find() }) }

var secret = []byte("a secret of the tests, long enough")

// room is a playground that runs: served over HTTP, with a bot behind it.
type room struct {
	*playground.Adapter
	t     testing.TB
	clock *clock.Clock
	srv   *httptest.Server
	stop  context.CancelFunc
	ended chan error
}

func newAdapter(t testing.TB, db *sqldb.DB, c *clock.Clock) *playground.Adapter {
	t.Helper()
	a, err := playground.New(playground.Config{DB: db, Clock: c, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sink is the bot's side of a room.
type sink func(ctx context.Context, r *room, ev bot.Event) (bot.Reply, error)

// open runs a room on db whose bot is b; nil: there is no bot.
func open(t testing.TB, db *sqldb.DB, b sink) *room {
	t.Helper()
	c := clock.New()
	r := &room{Adapter: newAdapter(t, db, c), t: t, clock: c}
	r.srv = httptest.NewServer(r.Handler())
	t.Cleanup(func() {
		r.Close()
		r.srv.Close()
	})
	if b != nil {
		r.run(b)
	}
	return r
}

// run connects a bot, as the gateway would: verify, decode, handle, reply.
func (r *room) run(b sink) {
	ctx, cancel := context.WithCancel(context.Background())
	r.ended = make(chan error, 1)
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-r.ended; err != nil {
			r.t.Errorf("Stream: %v", err)
		}
	})
	r.t.Cleanup(r.stop)
	go func() {
		r.ended <- r.Stream(ctx, func(ctx context.Context, w http.ResponseWriter, raw bot.Raw) error {
			plain, err := r.Verify(raw, time.Now())
			if err != nil {
				return err
			}
			in, err := r.Decode(raw, plain)
			if err != nil {
				return err
			}
			var out bot.Reply
			for _, ev := range in.Events {
				if out, err = b(ctx, r, ev); err != nil {
					return err
				}
			}
			r.Reply(w, in, out)
			return nil
		})
	}()
}

type reply struct {
	Toast  string            `json:"toast"`
	Errors map[string]string `json:"errors"`
	Form   *struct {
		Title string `json:"title"`
	} `json:"form"`
}

type result struct {
	Message int64  `json:"message"`
	Pending bool   `json:"pending"`
	Reply   *reply `json:"reply"`
	Error   string `json:"error"`
	status  int
}

// post calls the page's API.
func (r *room) post(path string, body map[string]any) result {
	r.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := http.Post(r.srv.URL+"/playground/api/"+path, "application/json", bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	return read[result](r.t, res, func(out *result, status int) { out.status = status })
}

func read[T any](t testing.TB, res *http.Response, more func(*T, int)) T {
	t.Helper()
	defer res.Body.Close()
	var out T
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	if more != nil {
		more(&out, res.StatusCode)
	}
	return out
}

type shown struct {
	ID      int64  `json:"id"`
	Author  string `json:"author"`
	Text    string `json:"text"`
	Thread  int64  `json:"thread"`
	Replies int    `json:"replies"`
	Mine    bool   `json:"only_for_me"`
	Card    *struct {
		Title   string `json:"title"`
		Version int64  `json:"version"`
	} `json:"card"`
	Files []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"files"`
	Reactions []struct {
		Emoji  string   `json:"emoji"`
		People []string `json:"people"`
	} `json:"reactions"`
}

// sees are the messages that a person sees in a conversation, newest first.
func (r *room) sees(as, conv string, thread int64) []shown {
	r.t.Helper()
	res, err := http.Get(fmt.Sprintf("%s/api/messages?as=%s&conv=%s&thread=%d", r.srv.URL, as, conv, thread))
	if err != nil {
		r.t.Fatal(err)
	}
	return read[struct{ Messages []shown }](r.t, res, nil).Messages
}

func (r *room) upload(as, conv, name string, data []byte) (id string, status int) {
	r.t.Helper()
	res, err := http.Post(r.srv.URL+"/api/upload?as="+as+"&conv="+conv+"&name="+name, "application/octet-stream", bytes.NewReader(data))
	if err != nil {
		r.t.Fatal(err)
	}
	out := read[struct{ ID string }](r.t, res, nil)
	return out.ID, res.StatusCode
}

// recorded is a bot that keeps every event and says nothing.
func recorded() (sink, <-chan bot.Event) {
	ch := make(chan bot.Event, 1000)
	return func(_ context.Context, _ *room, ev bot.Event) (bot.Reply, error) {
		ch <- ev
		return bot.Reply{}, nil
	}, ch
}

func next(t testing.TB, ch <-chan bot.Event) bot.Event {
	t.Helper()
	select {
	case ev := <-ch:
		return ev
	case <-time.After(10 * time.Second):
		t.Fatal("no event came")
		return bot.Event{}
	}
}

func TestWhatIsSaidReachesTheBot(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		b, events := recorded()
		r := open(t, db, b)
		out := r.post("say", map[string]any{"as": "wangfang", "conv": "g-east", "text": "@工单 建单 ERP 登录不了，请 @李四 看看 a@lisi.cn"})
		if out.status != http.StatusOK || out.Pending || out.Reply == nil {
			t.Fatalf("say: %+v", out)
		}
		ev := next(t, events)
		want := "建单 ERP 登录不了，请 @李四 看看 a@lisi.cn"
		if ev.Kind != bot.Message || ev.Text != want || !ev.ToBot || ev.Private || ev.User.String() != "playground/default/wangfang" || ev.UserName != "王芳" || ev.Conv.String() != "playground/default/g-east" || ev.Message == "" || ev.Locale != "zh-CN" {
			t.Errorf("got %+v", ev)
		}
		if len(ev.Mentions) != 1 || ev.Mentions[0].User.ID != "lisi" || ev.Text[ev.Mentions[0].Start:ev.Mentions[0].End] != "@李四" {
			t.Errorf("mentions: %+v", ev.Mentions)
		}
		root := out.Message
		r.post("say", map[string]any{"as": "lisi", "conv": "g-east", "thread": root, "text": "看到了"})
		reply := next(t, events)
		if reply.Thread != ev.Message || reply.ToBot || reply.Text != "看到了" {
			t.Errorf("reply: %+v", reply)
		}
		if m := r.sees("wangfang", "g-east", 0); len(m) != 1 || m[0].Replies != 1 {
			t.Errorf("the room shows %+v", m)
		}
		r.post("say", map[string]any{"as": "lisi", "conv": "p-lisi", "text": "待接"})
		if ev := next(t, events); !ev.Private || !ev.ToBot || ev.Text != "待接" {
			t.Errorf("private: %+v", ev)
		}
		r.post("say", map[string]any{"as": "lisi", "conv": "g-desk", "text": "/gd 打印机 卡纸"})
		if ev := next(t, events); ev.Kind != bot.Slash || ev.Text != "打印机 卡纸" || ev.Message != "" {
			t.Errorf("slash: %+v", ev)
		}
		if m := r.sees("lisi", "g-desk", 0); len(m) != 0 {
			t.Errorf("a command was posted: %+v", m)
		}
		r.post("edit", map[string]any{"as": "wangfang", "message": root, "text": "@Paidan 改了"})
		if ev := next(t, events); ev.Kind != bot.Edited || ev.Text != "改了" || !ev.ToBot {
			t.Errorf("edited: %+v", ev)
		}
		r.post("react", map[string]any{"as": "lisi", "message": root, "emoji": "eyes", "on": true})
		if ev := next(t, events); ev.Kind != bot.Reacted || ev.Emoji != "eyes" || ev.User.ID != "lisi" {
			t.Errorf("reacted: %+v", ev)
		}
		if m := r.sees("wangfang", "g-east", 0); len(m[0].Reactions) != 1 || m[0].Reactions[0].People[0] != "lisi" {
			t.Errorf("reactions: %+v", m)
		}
		r.post("react", map[string]any{"as": "lisi", "message": root, "emoji": "eyes"})
		if ev := next(t, events); ev.Kind != bot.Unreacted {
			t.Errorf("unreacted: %+v", ev)
		}
		r.post("shortcut", map[string]any{"as": "lisi", "message": root})
		if ev := next(t, events); ev.Kind != bot.Shortcut || ev.Text != "改了" || ev.Message == "" {
			t.Errorf("shortcut: %+v", ev)
		}
		r.post("home", map[string]any{"as": "lisi"})
		if ev := next(t, events); ev.Kind != bot.HomeOpened {
			t.Errorf("home: %+v", ev)
		}
		// The bot's clock is not the one that signatures are checked by.
		r.post("advance", map[string]any{"as": "lisi", "seconds": 86400})
		r.post("delete", map[string]any{"as": "wangfang", "message": root})
		if ev := next(t, events); ev.Kind != bot.Deleted || ev.Message == "" || time.Until(ev.At) < 23*time.Hour {
			t.Errorf("deleted: %+v", ev)
		}
		if m := r.sees("wangfang", "g-east", 0); len(m) != 0 {
			t.Errorf("it still shows: %+v", m)
		}
	})
}

func TestPagesRefuseWhatIsNotTheirs(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		b, events := recorded()
		r := open(t, db, b)
		id := r.post("say", map[string]any{"as": "lisi", "conv": "g-desk", "text": "internal"}).Message
		next(t, events)
		for _, c := range []struct {
			path   string
			body   map[string]any
			status int
		}{
			{"say", map[string]any{"as": "nobody", "conv": "g-east", "text": "x"}, 404},
			{"say", map[string]any{"as": "wangfang", "conv": "g-desk", "text": "x"}, 404},
			{"say", map[string]any{"as": "wangfang", "conv": "p-lisi", "text": "x"}, 404},
			{"say", map[string]any{"as": "wangfang", "conv": "g-east", "text": " \n"}, 400},
			{"say", map[string]any{"as": "wangfang", "conv": "g-east", "text": "a\x00b"}, 400},
			{"say", map[string]any{"as": "wangfang", "conv": "g-east", "text": strings.Repeat("x", 17<<10)}, 413},
			{"say", map[string]any{"as": "wangfang", "conv": "g-east", "text": strings.Repeat("x", 300<<10)}, 413},
			{"say", map[string]any{"as": "wangfang", "conv": "g-east", "text": "x", "thread": id}, 404}, // a thread of another conversation
			{"say", map[string]any{"as": "wangfang", "conv": "g-east", "text": "x", "files": []string{"none"}}, 404},
			{"say", map[string]any{"As": "wangfang", "conv": "g-east", "text": "x"}, 400},
			{"edit", map[string]any{"as": "wangwu", "message": id, "text": "x"}, 403},
			{"edit", map[string]any{"as": "wangfang", "message": id, "text": "x"}, 404},
			{"delete", map[string]any{"as": "wangwu", "message": id}, 403},
			{"react", map[string]any{"as": "wangfang", "message": id, "emoji": "eyes"}, 404},
			{"react", map[string]any{"as": "lisi", "message": id, "emoji": "<b>"}, 400},
			{"click", map[string]any{"as": "wangfang", "message": id, "token": "t"}, 404},
			{"shortcut", map[string]any{"as": "wangfang", "message": id}, 404},
			{"advance", map[string]any{"as": "lisi", "seconds": -1}, 400},
			{"advance", map[string]any{"as": "lisi", "seconds": 40 * 86400}, 400},
		} {
			if out := r.post(c.path, c.body); out.status != c.status || out.Error == "" {
				t.Errorf("%s %.80v: got %d %q, want %d", c.path, c.body, out.status, out.Error, c.status)
			}
		}
		if m := r.sees("lisi", "g-desk", 0); len(m) != 1 || m[0].Text != "internal" {
			t.Errorf("the room shows %+v", m)
		}
		select {
		case ev := <-events:
			t.Errorf("the bot heard of %+v", ev)
		default:
		}
	})
}

func TestEventsSurviveErrorsAndRestartsInOrder(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var mu sync.Mutex
		var ids []string
		failing := open(t, db, func(_ context.Context, _ *room, ev bot.Event) (bot.Reply, error) {
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, ev.ID)
			if len(ids) == 1 {
				panic("the bot falls over")
			}
			return bot.Reply{}, errors.New("database is away")
		})
		var posted sync.WaitGroup
		for _, text := range []string{"one", "two", "three"} {
			// The bot does not answer: the page must not wait for ever.
			posted.Add(1)
			before := len(failing.sees("lisi", "g-desk", 0))
			go func() {
				defer posted.Done()
				if out := failing.post("say", map[string]any{"as": "lisi", "conv": "g-desk", "text": text}); !out.Pending {
					t.Errorf("%s: %+v", text, out)
				}
			}()
			eventually(t, func() bool { return len(failing.sees("lisi", "g-desk", 0)) == before+1 })
		}
		posted.Wait()
		eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(ids) >= 3 })
		failing.stop()
		mu.Lock()
		first := ids[0]
		for _, id := range ids {
			if id != first {
				t.Errorf("%s overtook %s", id, first)
			}
		}
		mu.Unlock()

		// What was never acknowledged comes again after a restart.
		b, events := recorded()
		again := open(t, db, b)
		for i, want := range []string{"one", "two", "three"} {
			ev := next(t, events)
			if ev.Text != want || i == 0 && ev.ID != first {
				t.Errorf("got %s %q, want %q", ev.ID, ev.Text, want)
			}
		}
		again.stop()
		b, events = recorded()
		open(t, db, b).post("say", map[string]any{"as": "lisi", "conv": "g-desk", "text": "four"})
		if ev := next(t, events); ev.Text != "four" {
			t.Errorf("%q was delivered after it had been acknowledged", ev.Text)
		}
	})
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(15 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it never came about")
		}
	}
}

func TestTheBotsAnswerReachesThePage(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := open(t, db, func(_ context.Context, _ *room, ev bot.Event) (bot.Reply, error) {
			switch ev.Kind {
			case bot.Click:
				if ev.Token != "tok" || ev.Value != "P1" {
					return bot.Reply{}, fmt.Errorf("got %+v", ev)
				}
				return bot.Reply{Toast: "好", Card: &cards.Card{Title: "new", Ticket: "t", Version: 2}}, nil
			case bot.Submit:
				return bot.Reply{Errors: map[string]string{"title": ev.Values["title"] + "?"}}, nil
			case bot.Reload:
				return bot.Reply{Form: &cards.Card{Title: "again", Form: &cards.Form{}}}, nil
			}
			return bot.Reply{Hint: &cards.Card{Title: "for you"}}, nil
		})
		ref, err := r.Post(t.Context(), bot.To(conv("g-east")), "", cards.Card{Title: "old", Ticket: "t", Version: 1})
		if err != nil {
			t.Fatal(err)
		}
		id := r.sees("wangfang", "g-east", 0)[0].ID
		if out := r.post("click", map[string]any{"as": "wangfang", "message": id, "token": "tok", "value": "P1"}); out.Reply == nil || out.Reply.Toast != "好" {
			t.Errorf("click: %+v", out)
		}
		if m := r.sees("wangfang", "g-east", 0); m[0].Card.Title != "new" {
			t.Errorf("the card is %+v", m[0].Card)
		}
		// An answer that is older than what stands there does not undo it.
		if _, err := r.Update(t.Context(), ref, cards.Card{Title: "newer", Ticket: "t", Version: 3}); err != nil {
			t.Fatal(err)
		}
		r.post("click", map[string]any{"as": "wangfang", "message": id, "token": "tok", "value": "P1"})
		if m := r.sees("wangfang", "g-east", 0); m[0].Card.Title != "newer" {
			t.Errorf("the card is %+v", m[0].Card)
		}
		if out := r.post("submit", map[string]any{"as": "wangfang", "message": id, "token": "f", "values": map[string]string{"title": "x"}}); out.Reply.Errors["title"] != "x?" {
			t.Errorf("submit: %+v", out)
		}
		if out := r.post("reload", map[string]any{"as": "wangfang", "message": id, "token": "f"}); out.Reply.Form == nil || out.Reply.Form.Title != "again" {
			t.Errorf("reload: %+v", out)
		}
		r.post("say", map[string]any{"as": "wangfang", "conv": "g-east", "text": "@工单 我的"})
		mine, others := r.sees("wangfang", "g-east", 0), r.sees("lisi", "g-east", 0)
		if len(mine) != 3 || !mine[0].Mine || mine[0].Card.Title != "for you" || len(others) != 2 {
			t.Errorf("she sees %+v, others %+v", mine, others)
		}
		if out := r.post("delete", map[string]any{"as": "lisi", "message": mine[0].ID}); out.status != 404 {
			t.Errorf("another could put the note away: %+v", out)
		}
		r.post("delete", map[string]any{"as": "wangfang", "message": mine[0].ID})
		if mine := r.sees("wangfang", "g-east", 0); len(mine) != 2 {
			t.Errorf("the note is still there: %+v", mine)
		}
	})
}

func conv(id string) bot.ConvRef { return bot.ConvRef{Install: install, ID: id} }
func user(id string) bot.UserRef { return bot.UserRef{Install: install, ID: id} }

var install = bot.Install{Platform: "playground", Name: "default"}

func TestPostIsDoneOnce(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := open(t, db, nil)
		ctx, to := t.Context(), bot.To(conv("g-desk"))
		refs := make([]bot.MessageRef, 8)
		var wg sync.WaitGroup
		for i := range refs {
			wg.Go(func() {
				var err error
				if refs[i], err = r.Post(ctx, to, "o-1", cards.Card{Title: "one"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, x := range refs {
			if x != refs[0] || x == "" {
				t.Errorf("references differ: %q", refs)
			}
		}
		if m := r.sees("lisi", "g-desk", 0); len(m) != 1 {
			t.Fatalf("the room shows %+v", m)
		}
		if found, err := r.Find(ctx, to, "o-1"); found != refs[0] || err != nil {
			t.Errorf("Find: %q %v", found, err)
		}
		if found, err := r.Find(ctx, to, "o-2"); found != "" || err != nil {
			t.Errorf("Find of what is not there: %q %v", found, err)
		}
		if found, err := r.Find(ctx, bot.Private(user("lisi")), "o-1"); found != "" || err != nil {
			t.Errorf("Find elsewhere: %q %v", found, err)
		}
		// The same words elsewhere are another message; a thread belongs to its conversation.
		other, err := r.Post(ctx, bot.Private(user("lisi")), "o-1", cards.Card{Title: "one"})
		if err != nil || other == refs[0] {
			t.Errorf("Post in private: %q %v", other, err)
		}
		in := to
		in.Thread = refs[0]
		if x, err := r.Post(ctx, in, "o-3", cards.Card{Title: "two"}); err != nil || x == "" {
			t.Errorf("Post in a thread: %v", err)
		}
		if m := r.sees("lisi", "g-desk", 0); len(m) != 1 || m[0].Replies != 1 {
			t.Errorf("the room shows %+v", m)
		}
		if err := r.Delete(ctx, refs[0]); err != nil {
			t.Fatal(err)
		}
		if err := r.Delete(ctx, refs[0]); err != nil {
			t.Errorf("Delete twice: %v", err)
		}
		if _, err := r.Update(ctx, refs[0], cards.Card{}); !errors.Is(err, bot.ErrGone) {
			t.Errorf("Update of a deleted message: %v", err)
		}
		if found, _ := r.Find(ctx, to, "o-1"); found != "" {
			t.Errorf("a deleted message was found: %q", found)
		}
		if x, err := r.Post(ctx, to, "o-1", cards.Card{Title: "anew"}); err != nil || x == refs[0] {
			t.Errorf("Post anew: %q %v", x, err)
		}
	})
}

func TestTheBotIsToldWhatCannotBe(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := open(t, db, nil)
		ctx := t.Context()
		elsewhere := bot.Dest{Install: bot.Install{Platform: "playground", Name: "other"}, Conv: "g-desk"}
		for _, c := range []struct {
			to   bot.Dest
			want error
		}{
			{bot.To(conv("none")), bot.ErrGone}, {bot.Private(user("none")), bot.ErrGone}, {elsewhere, bot.ErrRejected},
			{bot.Dest{Install: install, Conv: "g-desk", Thread: "m99"}, bot.ErrGone},
			{bot.Dest{Install: install, Conv: "g-desk", Thread: "x"}, bot.ErrRejected},
		} {
			if _, err := r.Post(ctx, c.to, "", cards.Card{}); !errors.Is(err, c.want) {
				t.Errorf("Post to %+v: got %v, want %v", c.to, err, c.want)
			}
		}
		for _, ref := range []bot.MessageRef{"x", "m0", "m-1", "m01", "m99999999999999999999"} {
			if _, err := r.Update(ctx, ref, cards.Card{}); !errors.Is(err, bot.ErrRejected) {
				t.Errorf("Update %q: %v", ref, err)
			}
		}
		if err := r.Whisper(ctx, conv("g-desk"), user("wangfang"), "", cards.Card{}); !errors.Is(err, bot.ErrGone) {
			t.Errorf("Whisper to a stranger: %v", err)
		}
		if err := r.PublishHome(ctx, user("none"), cards.Card{}); !errors.Is(err, bot.ErrGone) {
			t.Errorf("PublishHome for nobody: %v", err)
		}
		if _, err := r.FindUser(ctx, user("none")); !errors.Is(err, bot.ErrGone) {
			t.Errorf("FindUser of nobody: %v", err)
		}
		u, err := r.FindUser(ctx, user("lisi"))
		if err != nil || u.Name != "李四" || u.Locale != "zh-CN" || u.Zone != "Asia/Shanghai" {
			t.Errorf("FindUser: %+v %v", u, err)
		}
		m, err := r.Members(ctx, conv("g-desk"))
		if err != nil || fmt.Sprint(m) != "[playground/default/lisi playground/default/wangwu playground/default/zhaomin]" {
			t.Errorf("Members: %v %v", m, err)
		}
		if n, err := r.ConvName(ctx, conv("g-east")); n != "华东售后群" || err != nil {
			t.Errorf("ConvName: %q %v", n, err)
		}
		// A person's own message is not the bot's to change.
		id := r.sees("lisi", "g-desk", 0)
		if len(id) != 0 {
			t.Fatalf("the room shows %+v", id)
		}
	})
}

func TestFilesAreNeverServedAsPages(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		b, events := recorded()
		r := open(t, db, b)
		png := "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
		for _, c := range []struct{ name, data, kind string }{
			{"a.png", png, "image/png"},
			{"evil.html", "<!doctype html><script>alert(1)</script>", "application/octet-stream"},
			{"evil.svg", `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`, "application/octet-stream"},
			{"evil.xml", `<?xml version="1.0"?><x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>`, "application/octet-stream"},
			{"evil.pdf", "%PDF-1.7 /JS (app.alert(1))", "application/octet-stream"},
			{"gif.html", "GIF89a/*<script>alert(1)</script>*/=1", "image/gif"},
			{"plain.png", "<html>", "application/octet-stream"},
			{"empty", "", "application/octet-stream"},
		} {
			id, status := r.upload("wangfang", "g-east", c.name, []byte(c.data))
			if status != http.StatusOK {
				t.Fatalf("%s: status %d", c.name, status)
			}
			// Before it is sent, it is its owner's.
			if res := r.get("/api/files/"+id+"?as=lisi", nil); res.StatusCode != http.StatusNotFound {
				t.Errorf("%s: another could see it unsent: %d", c.name, res.StatusCode)
			}
			if out := r.post("say", map[string]any{"as": "wangfang", "conv": "g-east", "files": []string{id}}); out.status != http.StatusOK {
				t.Fatalf("%s: %+v", c.name, out)
			}
			ev := next(t, events)
			if len(ev.Files) != 1 || ev.Files[0].Name != c.name || ev.Files[0].Size != int64(len(c.data)) {
				t.Fatalf("%s: event has %+v", c.name, ev.Files)
			}
			res := r.get("/api/files/"+id+"?as=lisi", nil)
			h := res.Header
			if res.StatusCode != http.StatusOK || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || h.Get("X-Content-Type-Options") != "nosniff" ||
				h.Get("Content-Type") != c.kind || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
				t.Errorf("%s: %d %v", c.name, res.StatusCode, h)
			}
			if res := r.get("/api/files/"+id+"?as=wangwu", nil); res.StatusCode != http.StatusNotFound {
				t.Errorf("%s: a stranger could see it: %d", c.name, res.StatusCode)
			}
			in, err := r.Fetch(t.Context(), ev.Files[0])
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(in)
			if err != nil || string(got) != c.data || in.Close() != nil {
				t.Errorf("%s: Fetch gave %q %v", c.name, got, err)
			}
		}
		ref, err := r.SendFile(t.Context(), bot.To(conv("g-desk")), "f-1", `..\..\/etc/pass`+"\u202e\nwd", 3, strings.NewReader("abc"))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := r.SendFile(t.Context(), bot.To(conv("g-desk")), "f-1", "x", 3, strings.NewReader("abc")); again != ref || err != nil {
			t.Errorf("SendFile twice: %q %v", again, err)
		}
		if m := r.sees("lisi", "g-desk", 0); len(m) != 1 || len(m[0].Files) != 1 || m[0].Files[0].Name != "passwd" {
			t.Errorf("the room shows %+v", m)
		}
		if _, err := r.SendFile(t.Context(), bot.To(conv("g-desk")), "", "x", playground.MaxFile+1, strings.NewReader("")); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("SendFile too large: %v", err)
		}
		if _, status := r.upload("wangfang", "g-east", "big", make([]byte, playground.MaxFile+1)); status != http.StatusRequestEntityTooLarge {
			t.Errorf("upload too large: %d", status)
		}
		if _, status := r.upload("wangfang", "g-desk", "x", []byte("x")); status != http.StatusNotFound {
			t.Errorf("upload elsewhere: %d", status)
		}
	})
}

func (r *room) get(path string, header http.Header) *http.Response {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.srv.URL+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if h := header.Get("Host"); h != "" {
		req.Host = h
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	res.Body.Close()
	return res
}

func TestAnEventThatIsNeverAcceptedIsSetAside(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		seen := make(chan string, 100)
		r := open(t, db, func(_ context.Context, _ *room, ev bot.Event) (bot.Reply, error) {
			seen <- ev.Text
			if ev.Text == "poison" {
				return bot.Reply{}, bot.ErrFrame
			}
			return bot.Reply{}, nil
		})
		if out := r.post("say", map[string]any{"as": "lisi", "conv": "g-desk", "text": "poison"}); !out.Pending {
			t.Errorf("got %+v", out)
		}
		r.post("say", map[string]any{"as": "lisi", "conv": "g-desk", "text": "after"})
		n := 0
		for text := range seen {
			if text == "after" {
				break
			}
			n++
		}
		if n != 5 {
			t.Errorf("it was tried %d times", n)
		}
		if f := r.Check(t.Context()); len(f) != 1 || f[0].OK || !f[0].Warn {
			t.Errorf("Check: %+v", f)
		}
	})
}
