package slack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

func TestPostSaysWhatSlackMayDoWithIt(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	root, err := d.a.Post(t.Context(), d.to(), "one", cards.Card{Title: "root"})
	if err != nil {
		t.Fatal(err)
	}
	to := d.to()
	to.Thread = root
	reply, err := d.a.Post(t.Context(), to, "two", sampleCards()["ticket"])
	if err != nil {
		t.Fatal(err)
	}
	m, ok := d.Message(string(reply))
	if _, ts, err := parseRef(root); err != nil || !ok || m.Thread != ts {
		t.Errorf("message %+v, %v", m, err)
	}
	if !strings.Contains(string(m.Metadata), `"once":"two"`) || !strings.Contains(string(m.Metadata), `"paidan"`) {
		t.Errorf("metadata %s", m.Metadata)
	}
	found, err := d.a.Find(t.Context(), to, "two")
	if err != nil || found != reply {
		t.Errorf("Find = %q, %v; want %q", found, err, reply)
	}
	if found, err := d.a.Find(t.Context(), to, "three"); err != nil || found != "" {
		t.Errorf("Find of nothing = %q, %v", found, err)
	}
}

func TestFindLooksBackToTheFirstAttempt(t *testing.T) {
	now := time.Unix(1700000000, 0)
	d := newDesk(t, slacktest.Options{Now: func() time.Time { return now }})
	post := func(once string) (bot.MessageRef, error) {
		return d.a.Post(t.Context(), d.to(), once, cards.Card{Title: "x"})
	}
	find := func(once string) (bot.MessageRef, int) {
		t.Helper()
		before := d.Calls("conversations.history")
		ref, err := d.a.Find(t.Context(), d.to(), once)
		if err != nil {
			t.Fatal(err)
		}
		return ref, d.Calls("conversations.history") - before
	}
	for i := range 450 { // a busy day long ago
		if _, err := post(fmt.Sprint("old ", i)); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(48 * time.Hour)
	d.Fail(slacktest.Fault{Kind: slacktest.CutBefore, Method: "chat.postMessage"})
	if _, err := post("never sent"); !errors.Is(err, bot.ErrUnknown) {
		t.Fatal(err)
	}
	if ref, pages := find("never sent"); ref != "" || pages != 1 {
		t.Errorf("%q after %d pages, want nothing on one", ref, pages)
	}
	d.Fail(slacktest.Fault{Kind: slacktest.CutAfter, Method: "chat.postMessage"})
	if _, err := post("sent"); !errors.Is(err, bot.ErrUnknown) {
		t.Fatal(err)
	}
	for i := range 250 { // much is said before the next attempt
		if _, err := post(fmt.Sprint("new ", i)); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour)
	if ref, pages := find("sent"); ref == "" || pages != 2 {
		t.Errorf("%q after %d pages, want it on the second", ref, pages)
	}
	d.a.tried.forget(d.to().Lane() + " sent") // a restart
	if ref, _ := find("sent"); ref == "" {
		t.Error("not found after a restart")
	}
}

func TestFindEndsInAVeryBusyChannel(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	for i := range findPages*200 + 1 {
		if _, err := d.a.Post(t.Context(), d.to(), fmt.Sprint(i), cards.Card{Title: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if ref, err := d.a.Find(t.Context(), d.to(), "0"); err != nil || ref != "" || d.Calls("conversations.history") != findPages {
		t.Errorf("%q, %v after %d pages", ref, err, d.Calls("conversations.history"))
	}
}

func TestPrivateChatIsOpenedOnce(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	for range 3 {
		ref, err := d.a.Post(t.Context(), bot.Private(d.a.user(d.ann)), "x", cards.Card{Title: "hi"})
		if err != nil || !strings.HasPrefix(string(ref), d.DM(d.ann)+"/") {
			t.Fatal(ref, err)
		}
	}
	if n := d.Calls("conversations.open"); n != 1 {
		t.Errorf("opened %d times", n)
	}
	if _, err := d.a.Post(t.Context(), bot.Private(d.a.user("U0NOBODY1")), "x", cards.Card{Title: "hi"}); !errors.Is(err, bot.ErrGone) {
		t.Errorf("to nobody: %v", err)
	}
	if _, err := d.a.Post(t.Context(), bot.Dest{Conv: "nonsense"}, "x", cards.Card{}); !errors.Is(err, bot.ErrRejected) {
		t.Errorf("to nonsense: %v", err)
	}
}

func TestWhisperIsSeenByOneOnly(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	conv := d.a.conv(d.help)
	if err := d.a.Whisper(t.Context(), conv, d.a.user(d.ann), "", sampleCards()["hint"]); err != nil {
		t.Fatal(err)
	}
	if len(d.Notes(d.ann)) != 1 || len(d.Notes(d.bob)) != 0 || len(d.Cards(d.help)) != 0 {
		t.Error("wrong people see it")
	}
	away := d.AddUser(slacktest.User{Name: "eve"})
	if err := d.a.Whisper(t.Context(), conv, d.a.user(away), "", sampleCards()["hint"]); !errors.Is(err, bot.ErrGone) {
		t.Errorf("to somebody who is not there: %v", err)
	}
}

func TestDeleteTwice(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	ref, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.a.Delete(t.Context(), ref); err != nil {
			t.Error(err)
		}
	}
	if len(d.Cards(d.help)) != 0 {
		t.Error("still there")
	}
}

// decode reads what the emulator sent.
func decode(t *testing.T, d *desk, r bot.Raw) bot.Event {
	t.Helper()
	plain, err := d.a.Verify(r, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	in, err := d.a.Decode(r, plain)
	if err != nil || len(in.Events) != 1 {
		t.Fatalf("%+v, %v", in, err)
	}
	return in.Events[0]
}

func TestRespondServesFiveTimes(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	next, _ := capture(t, d)
	d.Slash(d.ann, d.help, "/ticket", "mine")
	e := decode(t, d, next())
	for i := range maxResponses {
		if err := d.a.Respond(t.Context(), e.Respond, sampleCards()["hint"]); err != nil {
			t.Fatal(i, err)
		}
	}
	err := d.a.Respond(t.Context(), e.Respond, sampleCards()["hint"])
	if !errors.Is(err, bot.ErrGone) || d.Calls("response_url") != maxResponses || strings.Contains(err.Error(), "/response/") {
		t.Errorf("err %v after %d calls", err, d.Calls("response_url"))
	}
	if n := len(d.Notes(d.ann)); n != maxResponses {
		t.Errorf("%d notes", n)
	}
}

func TestFormFromClickToSubmit(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	next, _ := capture(t, d)
	ref, err := d.a.Post(t.Context(), d.to(), "x", sampleCards()["ticket"])
	if err != nil {
		t.Fatal(err)
	}
	d.Click(d.ann, string(ref), "接单")
	click := decode(t, d, next())
	form := sampleForms()["new ticket"]
	if err := d.a.OpenForm(t.Context(), click.Trigger, form); err != nil {
		t.Fatal(err)
	}
	if err := d.a.OpenForm(t.Context(), click.Trigger, form); !errors.Is(err, bot.ErrGone) {
		t.Errorf("a trigger served twice: %v", err)
	}
	view := d.Views(d.ann)[0]
	d.Change(d.ann, view.ID, "kind", "打印机")
	reload := decode(t, d, next())
	if reload.Kind != bot.Reload || reload.Token != "AQ-form" || reload.Values["kind"] != "print" || reload.Conv.ID != d.help {
		t.Errorf("reload %+v", reload)
	}
	form.Form.Inputs = append(form.Form.Inputs, cards.Input{Name: "model", Label: "型号", Kind: cards.InputLine})
	if err := d.a.OpenForm(t.Context(), reload.Trigger, form); err != nil {
		t.Fatal(err)
	}
	if err := d.a.OpenForm(t.Context(), reload.Trigger, form); !errors.Is(err, bot.ErrGone) {
		t.Errorf("a form that has moved on was changed: %v", err)
	}
	d.Submit(d.ann, view.ID, map[string]string{"kind": "net", "title": "断了", "due": "2026-12-01T09:15", "model": "X1"})
	e := decode(t, d, next())
	want := map[string]string{"kind": "net", "title": "断了", "body": "", "who": "U0USER001", "day": "2026-11-21", "due": "2026-12-01T09:15", "count": "10", "tell": "true", "phone": "13812345678", "mail": "", "model": "X1"}
	if e.Kind != bot.Submit || e.Token != "AQ-form" || e.Conv.ID != d.help || fmt.Sprint(e.Values) != fmt.Sprint(want) {
		t.Errorf("submit %+v\nwant %v", e, want)
	}
}

// answering lets the emulator deliver to a hook that answers every event with a reply.
func answering(t *testing.T, d *desk, reply func(bot.Event) bot.Reply) {
	t.Helper()
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		raw := bot.Raw{Method: r.Method, Header: r.Header, Body: body}
		plain, err := d.a.Verify(raw, time.Now())
		if err != nil {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		in, err := d.a.Decode(raw, plain)
		if err != nil {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		out := bot.Reply{Echo: in.Echo}
		for _, e := range in.Events {
			out = reply(e)
		}
		d.a.Reply(w, in, out)
	}))
	t.Cleanup(hook.Close)
	d.Deliver(hook.URL)
}

func TestRepliesToForms(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	var out bot.Reply
	var last bot.Event
	answering(t, d, func(e bot.Event) bot.Reply { last = e; return out })
	open := func() string {
		t.Helper()
		out = bot.Reply{}
		if a := d.GlobalShortcut(d.ann, "ticket_new_global"); !a.OK() {
			t.Fatal(a.Err)
		}
		form := cards.Card{Title: "t", Form: &cards.Form{Token: "tok", Inputs: []cards.Input{{Name: "title", Label: "T", Required: true}}}}
		if err := d.a.OpenForm(t.Context(), last.Trigger, form); err != nil {
			t.Fatal(err)
		}
		return d.Views(d.ann)[0].ID
	}
	values := map[string]string{"title": "x"}
	view := open()
	out = bot.Reply{Errors: map[string]string{"title": "too short", "elsewhere": "lost"}}
	if a := d.Submit(d.ann, view, values); a.Err != nil || d.Views(d.ann)[0].Errors["title"] != "too short" {
		t.Errorf("errors: %v %s", a.Err, a.Body)
	}
	out = bot.Reply{Errors: map[string]string{"elsewhere": "no right"}}
	if a := d.Submit(d.ann, view, values); a.Err != nil || d.Views(d.ann)[0].Errors["title"] != "no right" {
		t.Errorf("an error of no input: %v %s", a.Err, a.Body)
	}
	out = bot.Reply{Form: &cards.Card{Title: "second", Form: &cards.Form{Token: "tok2", Inputs: []cards.Input{{Name: "more", Label: "M"}}}}}
	if a := d.Submit(d.ann, view, values); a.Err != nil || !strings.HasPrefix(d.Views(d.ann)[0].Metadata, "tok2") {
		t.Errorf("next form: %v %s", a.Err, a.Body)
	}
	out = bot.Reply{Toast: "已建单 #5"}
	if a := d.Submit(d.ann, view, nil); a.Err != nil || !strings.Contains(string(a.Body), "已建单 #5") {
		t.Errorf("toast: %v %s", a.Err, a.Body)
	}
	view = open()
	out = bot.Reply{}
	if a := d.Submit(d.ann, view, values); a.Err != nil || len(d.Views(d.ann)) != 0 {
		t.Errorf("the form stays open: %v %s", a.Err, a.Body)
	}
	hint := sampleCards()["hint"]
	out = bot.Reply{Hint: &hint}
	if a := d.Slash(d.ann, d.help, "/gd", "查 #1042"); !a.OK() || len(d.Notes(d.ann)) != 1 {
		t.Errorf("slash: %v %s", a.Err, a.Body)
	}
}

func TestHome(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	for range 2 {
		if err := d.a.PublishHome(t.Context(), d.a.user(d.ann), sampleCards()["queue"]); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.a.PublishHome(t.Context(), d.a.user(d.bob), cards.Card{}); err != nil {
		t.Errorf("an empty page: %v", err)
	}
	next, _ := capture(t, d)
	v, ok := d.Home(d.ann)
	if !ok {
		t.Fatal("nothing published")
	}
	d.ClickView(d.ann, v.ID, "接单")
	if e := decode(t, d, next()); e.Token != "AQ-c2" || !e.Private {
		t.Errorf("%+v", e)
	}
}

func TestPeople(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	if err := d.a.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	u, err := d.a.FindUser(t.Context(), d.a.user(d.ann))
	if err != nil || u.Name != "ann" || u.Email != "ann@example.com" || u.Zone != "Asia/Shanghai" || u.Locale != "zh-CN" || u.Guest || u.Bot {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := d.a.FindUser(t.Context(), d.a.user(d.ann)); err != nil || d.Calls("users.info") != 1 {
		t.Errorf("asked %d times, %v", d.Calls("users.info"), err)
	}
	for name, guest := range map[string]slacktest.User{"restricted": {Name: "r", Restricted: true, Email: "r@x"}, "stranger": {Name: "s", Stranger: true, Email: "s@x"}, "other company": {Name: "o", Team: "T0OTHER01", Email: "boss@example.com"}} {
		u, err := d.a.FindUser(t.Context(), d.a.user(d.AddUser(guest)))
		if err != nil || !u.Guest || u.Email != "" {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	if u, err := d.a.FindByEmail(t.Context(), "BOB@example.com"); err != nil || u.Ref.ID != d.bob {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := d.a.FindByEmail(t.Context(), "no@example.com"); !errors.Is(err, bot.ErrGone) {
		t.Error(err)
	}
	group := d.AddGroup("net", d.ann, d.bob)
	if got, err := d.a.GroupMembers(t.Context(), d.a.user(group)); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	d.FreePlan()
	if got, err := d.a.GroupMembers(t.Context(), d.a.user(group)); err != nil || len(got) != 0 {
		t.Errorf("on a free plan: %v, %v", got, err)
	}
	var crowd []string
	for i := range 450 {
		crowd = append(crowd, d.AddUser(slacktest.User{Name: fmt.Sprint("u", i)}))
	}
	big := d.AddChannel("big", false, crowd...)
	if got, err := d.a.Members(t.Context(), d.a.conv(big)); err != nil || len(got) != 451 {
		t.Errorf("%d members, %v", len(got), err)
	}
	for id, want := range map[string]string{d.help: "#help", d.DM(d.bob): "@bob"} {
		if name, err := d.a.ConvName(t.Context(), d.a.conv(id)); err != nil || name != want {
			t.Errorf("%q, %v; want %q", name, err, want)
		}
	}
}

func TestNameIsForgottenWhenItChanges(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	if _, err := d.a.FindUser(t.Context(), d.a.user(d.ann)); err != nil {
		t.Fatal(err)
	}
	next, _ := capture(t, d)
	d.Event("user_change", map[string]any{"user": map[string]any{"id": d.ann, "name": "ann"}, "event_ts": "1700000000.000100"})
	if e := decode(t, d, next()); e.Kind != bot.Renamed || e.User.ID != d.ann {
		t.Errorf("%+v", e)
	}
	if _, err := d.a.FindUser(t.Context(), d.a.user(d.ann)); err != nil || d.Calls("users.info") != 2 {
		t.Errorf("asked %d times, %v", d.Calls("users.info"), err)
	}
}

func TestFiles(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	content := bytes.Repeat([]byte("0123456789"), 30_000)
	ref, err := d.a.SendFile(t.Context(), d.to(), "x", "报告.csv", int64(len(content)), bytes.NewReader(content))
	if err != nil || ref == "" {
		t.Fatal(ref, err)
	}
	sent := d.Files(d.help)
	if len(sent) != 1 || sent[0].Name != "报告.csv" || !bytes.Equal(sent[0].Content, content) {
		t.Fatalf("%d files", len(sent))
	}
	next, _ := capture(t, d)
	for _, f := range []slacktest.File{{Name: "a.png", Type: "image/png", Content: []byte("png")}, {Name: "b.bin", Content: []byte("ext"), External: true}} {
		d.Say(d.ann, d.help, "", "look", d.AddFile(f))
		e := decode(t, d, next())
		if len(e.Files) != 1 {
			t.Fatalf("%+v", e)
		}
		r, err := d.a.Fetch(t.Context(), e.Files[0])
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, f.Content) {
			t.Errorf("%q, %v", got, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []bot.File{{ID: "F1", URL: "https://evil.example/x"}, {ID: "F1", URL: "http://files.slack.com/x"}, {ID: "F1", URL: "https://files.slack.com.evil.example/x"}, {ID: "F1", URL: "https://u@files.slack.com/x"}, {ID: "nonsense"}, {ID: "F1", URL: "file:///etc/passwd"}} {
		if _, err := d.a.Fetch(t.Context(), bad); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := d.a.SendFile(t.Context(), d.to(), "x", "", 1, strings.NewReader("x")); !errors.Is(err, bot.ErrRejected) {
		t.Error(err)
	}
}

// TestTokenFollowsNoRedirect: neither the API nor a file can send our token elsewhere.
func TestTokenFollowsNoRedirect(t *testing.T) {
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(thief.Close)
	front := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	t.Cleanup(front.Close)
	c := testConfig()
	c.APIURL = front.URL + "/api/"
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	a, err := New(c, bot.Deps{HTTP: &http.Client{Transport: tr}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Prepare(t.Context()); err == nil {
		t.Error("no error")
	}
	if _, err := a.Fetch(t.Context(), bot.File{ID: "F1", URL: front.URL + "/files/F1"}); !errors.Is(err, bot.ErrUnauthorized) {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	says := func(fs []bot.Finding) string { return fmt.Sprintf("%+v", fs) }
	good := newDesk(t, slacktest.Options{})
	for _, f := range good.a.Check(t.Context()) {
		if !f.OK {
			t.Errorf("%+v", f)
		}
	}
	poor := newDesk(t, slacktest.Options{Scopes: []string{"chat:write", "commands"}})
	fs := poor.a.Check(t.Context())
	if fs[1].OK || !fs[1].Warn || !strings.Contains(fs[1].Says, "users:read.email") {
		t.Error(says(fs))
	}
	gone := newDesk(t, slacktest.Options{})
	gone.Revoke("account_inactive")
	if fs := gone.a.Check(t.Context()); len(fs) != 1 || fs[0].OK || !strings.Contains(fs[0].Says, "install the app again") {
		t.Error(says(fs))
	}
	wrong := newDesk(t, slacktest.Options{Team: "T0OTHER01"})
	if err := wrong.a.Prepare(t.Context()); !errors.Is(err, bot.ErrUnauthorized) {
		t.Errorf("a token of another workspace: %v", err)
	}
	refused := newDesk(t, slacktest.Options{})
	refused.Fail(slacktest.Fault{Kind: slacktest.Refused, Method: "apps.connections.open", Code: "not_allowed_token_type"})
	if fs := refused.a.Check(t.Context()); fs[len(fs)-1].OK {
		t.Error(says(fs))
	}
}

func TestAnswerThatNeverComesIsUnknown(t *testing.T) {
	d := newDesk(t, slacktest.Options{})
	d.Fail(slacktest.Fault{Kind: slacktest.Slow, Delay: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := d.a.Post(ctx, d.to(), "x", cards.Card{Title: "x"}); !errors.Is(err, bot.ErrUnknown) {
		t.Errorf("err %v", err)
	}
}

// TestEmulatorLimits: the emulator slows down as Slack does.
func TestEmulatorLimits(t *testing.T) {
	now := time.Unix(1700000000, 0)
	d := newDesk(t, slacktest.Options{RateLimits: true, Now: func() time.Time { return now }})
	post := func() error {
		_, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "x"})
		return err
	}
	if err := post(); err != nil {
		t.Fatal(err)
	}
	var limited bot.RateLimited
	if err := post(); !errors.As(err, &limited) || limited.After != time.Second || limited.All {
		t.Errorf("second message in a second: %v", err)
	}
	now = now.Add(time.Second)
	if err := post(); err != nil {
		t.Error(err)
	}
	for i := range 60 {
		_, err := d.a.Update(t.Context(), bot.MessageRef(d.Cards(d.help)[0].Ref()), cards.Card{Title: "y"})
		if (err != nil) != (i >= 50) {
			t.Fatalf("update %d: %v", i, err)
		}
		if err != nil && (!errors.As(err, &limited) || !limited.All) {
			t.Errorf("update %d: %v", i, err)
		}
	}
}
