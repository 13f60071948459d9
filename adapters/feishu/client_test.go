package feishu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"

	"github.com/paidan/paidan/adapters/feishu/feishutest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// clock is a time that a test moves.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Unix(1700000000, 0).UnixNano())
	return c
}

func (c *clock) now() time.Time      { return time.Unix(0, c.nanos.Load()) }
func (c *clock) add(d time.Duration) { c.nanos.Add(int64(d)) }

func TestPostIntoThreads(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	root, err := d.a.Post(t.Context(), d.to(), "one", cards.Card{Title: "root"})
	if err != nil {
		t.Fatal(err)
	}
	to := d.to()
	to.Thread = root
	reply, err := d.a.Post(t.Context(), to, "two", sampleCards()["hint"])
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := d.Message(string(reply)); !ok || m.Root != string(root) || m.Thread == "" {
		t.Errorf("%+v is in no topic of %s", m, root)
	}
	private := bot.Private(d.a.user(d.ann))
	first, err := d.a.Post(t.Context(), private, "one", cards.Card{Title: "hi", Actions: []cards.Action{{Label: "Yes", Token: "Y"}}})
	if err != nil || !strings.HasPrefix(string(first), "@om_") {
		t.Fatal(first, err)
	}
	private.Thread = first
	second, err := d.a.Post(t.Context(), private, "two", cards.Card{Title: "more"})
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := d.Message(strings.TrimPrefix(string(second), "@")); !ok || m.Root != string(first)[1:] || m.Thread != "" || m.Chat != d.DM(d.ann) {
		t.Errorf("%+v", m)
	}
	// The chat is known to be private from now on, whoever names it.
	third, err := d.a.Post(t.Context(), bot.To(d.a.conv(d.DM(d.ann))), "three", cards.Card{Title: "x", Actions: []cards.Action{{Label: "Yes", Token: "Y"}}})
	if err != nil || third[0] != '@' {
		t.Fatal(third, err)
	}
	if m, ok := d.Message(string(third)[1:]); !ok || !strings.Contains(m.Content, `"p":"Y"`) {
		t.Errorf("%s", m.Content)
	}
	if got := d.shelf.rows[privateKey(d.DM(d.ann))]; got != d.ann {
		t.Errorf("kept %q", got)
	}
	if got := d.shelf.rows[placeKey(string(reply))]; got != d.help+"|||"+string(root) {
		t.Errorf("kept %q", got)
	}
}

// TestGroupsWithoutTopics: where no topic can be opened, it is a plain answer.
func TestGroupsWithoutTopics(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	root, err := d.a.Post(t.Context(), d.to(), "one", cards.Card{Title: "root"})
	if err != nil {
		t.Fatal(err)
	}
	to := d.to()
	to.Thread = root
	d.Fail(feishutest.Fault{Kind: feishutest.Refused, Method: "message.reply", Code: codeNoThread})
	reply, err := d.a.Post(t.Context(), to, "two", cards.Card{Title: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := d.Message(string(reply)); !ok || m.Root != string(root) || m.Thread != "" {
		t.Errorf("%+v", m)
	}
}

// TestPostTwiceIsOnce: the same once makes one message, in whatever process.
func TestPostTwiceIsOnce(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	c := testConfig()
	c.APIURL = d.APIURL()
	other, err := New(c, bot.Deps{HTTP: &http.Client{Transport: d.transports}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	first, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "x"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := other.Post(t.Context(), d.to(), "x", cards.Card{Title: "x"})
	if err != nil || first != second || len(d.Cards(d.help)) != 1 {
		t.Error(first, second, err)
	}
	third, err := d.a.Post(t.Context(), bot.Private(d.a.user(d.ann)), "x", cards.Card{Title: "x"})
	if err != nil || strings.TrimPrefix(string(third), "@") == string(first) {
		t.Errorf("elsewhere it is the same: %v %v", third, err)
	}
}

// TestFindMakesSure: what may have been sent is sent again as it was, and
// answered with what is there.
func TestFindMakesSure(t *testing.T) {
	for _, kind := range []feishutest.FaultKind{feishutest.CutBefore, feishutest.CutAfter, feishutest.HalfAnswer} {
		now := newClock()
		d := newDesk(t, feishutest.Options{Now: now.now})
		d.Fail(feishutest.Fault{Kind: kind, Method: "message.create"})
		if _, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "first"}); !errors.Is(err, bot.ErrUnknown) {
			t.Fatal(err)
		}
		if ref, err := d.a.Find(t.Context(), d.to(), "another"); err != nil || ref != "" {
			t.Errorf("found %q, %v", ref, err)
		}
		now.add(50 * time.Minute)
		ref, err := d.a.Find(t.Context(), d.to(), "x")
		if err != nil || ref == "" {
			t.Fatal(ref, err)
		}
		if m, ok := d.Message(string(ref)); !ok || !strings.Contains(m.Content, "first") || len(d.Cards(d.help)) != 1 {
			t.Errorf("%v: %d messages, %+v", kind, len(d.Cards(d.help)), m)
		}
		d.Fail(feishutest.Fault{Kind: kind, Method: "message.create"})
		if _, err := d.a.Post(t.Context(), d.to(), "late", cards.Card{Title: "late"}); !errors.Is(err, bot.ErrUnknown) {
			t.Fatal(err)
		}
		now.add(61 * time.Minute) // Feishu knows the uuid no more
		if ref, err := d.a.Find(t.Context(), d.to(), "late"); err != nil || ref != "" {
			t.Errorf("found %q, %v after an hour", ref, err)
		}
	}
}

func TestUpdateIsHeldToFiveASecond(t *testing.T) {
	d := newDesk(t, feishutest.Options{RateLimits: true})
	ref, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "0"})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	held := 0
	for i := range 8 {
		_, err := d.a.Update(t.Context(), ref, cards.Card{Title: fmt.Sprint(i)})
		var limited bot.RateLimited
		if errors.As(err, &limited) {
			held++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 500*time.Millisecond && held == 0 {
		t.Errorf("8 changes took %v", took)
	}
	// A crowd is told to come back instead of being kept waiting.
	var all sync.WaitGroup
	var mu sync.Mutex
	again := 0
	for range 40 {
		all.Go(func() {
			_, err := d.a.Update(t.Context(), ref, cards.Card{Title: "crowd"})
			var limited bot.RateLimited
			mu.Lock()
			defer mu.Unlock()
			if errors.As(err, &limited) && !limited.All && limited.After > 0 {
				again++
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if again < 20 {
		t.Errorf("only %d of 40 were told to wait", again)
	}
}

func TestUpdateEndsAfterFourteenDays(t *testing.T) {
	now := newClock()
	d := newDesk(t, feishutest.Options{Now: now.now})
	ref, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "0"})
	if err != nil {
		t.Fatal(err)
	}
	now.add(14*24*time.Hour - time.Minute)
	if _, err := d.a.Update(t.Context(), ref, cards.Card{Title: "1"}); err != nil {
		t.Error(err)
	}
	now.add(2 * time.Minute)
	if _, err := d.a.Update(t.Context(), ref, cards.Card{Title: "2"}); !errors.Is(err, bot.ErrGone) {
		t.Error(err)
	}
}

func TestDelete(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	ref, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "0"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is gone already
		if err := d.a.Delete(t.Context(), ref); err != nil {
			t.Error(err)
		}
	}
	if len(d.Cards(d.help)) != 0 {
		t.Error("it is still there")
	}
	if _, err := d.a.Update(t.Context(), ref, cards.Card{Title: "1"}); !errors.Is(err, bot.ErrGone) {
		t.Error(err)
	}
	id, _ := d.Say(d.ann, d.help, "", "mine")
	if err := d.a.Delete(t.Context(), bot.MessageRef(id)); !errors.Is(err, bot.ErrGone) {
		t.Errorf("somebody else's message: %v", err)
	}
}

// TestRefusedTokenIsForgotten: a token that is called back is asked for anew,
// once, and everything goes on.
func TestRefusedTokenIsForgotten(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	post := func(once string) error {
		_, err := d.a.Post(t.Context(), d.to(), once, cards.Card{Title: once})
		return err
	}
	if err := post("a"); err != nil {
		t.Fatal(err)
	}
	d.ExpireTokens()
	if err := post("b"); err != nil {
		t.Fatal(err)
	}
	if n := d.Calls("token"); n != 2 {
		t.Errorf("asked %d times for a token", n)
	}
	for code := range stale {
		d.Fail(feishutest.Fault{Kind: feishutest.Refused, Method: "message.create", Code: code})
		if err := post(fmt.Sprint(code)); err != nil {
			t.Errorf("%d: %v", code, err)
		}
		d.Fail(feishutest.Fault{Kind: feishutest.Refused, Method: "message.create", Code: code, Times: 2})
		if err := post(fmt.Sprint("again", code)); !errors.Is(err, bot.ErrUnauthorized) {
			t.Errorf("%d twice: %v", code, err)
		}
	}
	// Many at once ask for one token.
	d.ExpireTokens()
	before := d.Calls("token")
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			if err := post(fmt.Sprint("many", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := d.Calls("token") - before; n > 2 {
		t.Errorf("asked %d times for a token", n)
	}
}

// TestSDKDefectRefusedTokenStays: the SDK's own keeper of tokens asks again with
// the token that was refused, and keeps it. When this test fails the SDK has
// been mended, and tokens may go.
func TestSDKDefectRefusedTokenStays(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	config := &larkcore.Config{
		BaseUrl: d.APIURL(), AppId: feishutest.AppID, AppSecret: feishutest.AppSecret, AppType: larkcore.AppTypeSelfBuilt, EnableTokenCache: true,
		HttpClient: &http.Client{Transport: d.transports}, Logger: silence{}, Serializable: plainJSON{},
	}
	ask := func() string {
		resp, err := larkcore.Request(t.Context(), &larkcore.ApiReq{
			HttpMethod: http.MethodGet, ApiPath: "/open-apis/bot/v3/info", SupportedAccessTokenTypes: []larkcore.AccessTokenType{larkcore.AccessTokenTypeTenant},
		}, config)
		if err != nil {
			t.Fatal(err)
		}
		return string(resp.RawBody)
	}
	if got := ask(); !strings.Contains(got, feishutest.Bot) {
		t.Fatal(got)
	}
	d.ExpireTokens()
	before := d.Calls("token")
	for range 3 {
		if got := ask(); !strings.Contains(got, "99991663") {
			t.Errorf("it asked for another token: %s", got)
		}
	}
	if n := d.Calls("token") - before; n != 0 {
		t.Errorf("%d new tokens were asked for", n)
	}
}

func TestTokenEndsBeforeItsTime(t *testing.T) {
	now := newClock()
	d := newDesk(t, feishutest.Options{Now: now.now})
	for i, want := range []int{1, 1, 2} {
		if _, err := d.a.Post(t.Context(), d.to(), fmt.Sprint(i), cards.Card{Title: "x"}); err != nil {
			t.Fatal(err)
		}
		if n := d.Calls("token"); n != want {
			t.Errorf("after %d posts %d tokens, want %d", i+1, n, want)
		}
		now.add(58 * time.Minute)
	}
}

func TestWhisper(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	hint := sampleCards()["hint"]
	if err := d.a.Whisper(t.Context(), d.a.conv(d.help), d.a.user(d.ann), "", hint); err != nil {
		t.Fatal(err)
	}
	notes := d.Notes(d.ann)
	if len(notes) != 1 || !strings.Contains(notes[0].Content, `"e":"y"`) || len(d.Cards(d.help)) != 0 || len(d.Notes(d.bob)) != 0 {
		t.Errorf("%+v", notes)
	}
	// In a group of topics, and to whoever has left, it is a private message.
	d.ChangeChat(d.help, func(c *feishutest.Chat) { c.Topic = true })
	if err := d.a.Whisper(t.Context(), d.a.conv(d.help), d.a.user(d.ann), "", hint); err != nil {
		t.Fatal(err)
	}
	if private := d.Cards(d.DM(d.ann)); len(private) != 1 || !strings.Contains(private[0].Content, `"p":"y"`) {
		t.Errorf("%+v", private)
	}
	if err := d.a.Whisper(t.Context(), bot.ConvRef{}, d.a.user(d.ann), "", hint); !errors.Is(err, bot.ErrRejected) {
		t.Error(err)
	}
	d.Fail(feishutest.Fault{Kind: feishutest.CutAfter, Method: "ephemeral.send"})
	d.ChangeChat(d.help, func(c *feishutest.Chat) { c.Topic = false })
	if err := d.a.Whisper(t.Context(), d.a.conv(d.help), d.a.user(d.ann), "", hint); !errors.Is(err, bot.ErrUnknown) {
		t.Error(err)
	}
	d.Fail(feishutest.Fault{Kind: feishutest.Limited, Method: "ephemeral.send", RetryAfter: "4"})
	var limited bot.RateLimited
	if err := d.a.Whisper(t.Context(), d.a.conv(d.help), d.a.user(d.ann), "", hint); !errors.As(err, &limited) || len(d.Cards(d.DM(d.ann))) != 1 {
		t.Error(err)
	}
}

// TestFormInAGroup goes the whole way: press, form as a note, a choice that
// changes it, a refusal, and the end.
func TestFormInAGroup(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	if err := d.a.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	form := func(typ string) *cards.Card {
		c := sampleForms()["form-new ticket"]
		f := *c.Form
		f.Inputs = slices.Clone(f.Inputs)
		f.Inputs[0].Value = typ
		f.Inputs[3].Value = ""
		c.Form = &f
		return &c
	}
	refuse := true
	got := d.served(t, func(e bot.Event) bot.Reply {
		switch e.Kind {
		case bot.Click:
			if err := d.a.OpenForm(t.Context(), e.Trigger, *form("net")); err != nil {
				t.Error(err)
			}
			return bot.Reply{Toast: "see below"}
		case bot.Reload:
			return bot.Reply{Form: form(e.Values["type"])}
		case bot.Submit:
			if refuse {
				refuse = false
				f := form("print")
				f.Form.Inputs[1].Error = "太短了"
				return bot.Reply{Errors: map[string]string{"title": "太短了"}, Form: f}
			}
			return bot.Reply{Toast: "已建单 #7"}
		}
		return bot.Reply{}
	})
	ref, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "board", Actions: []cards.Action{{Label: "建单", Token: "AQ-new"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a := d.Press(d.ann, string(ref), "建单"); !a.OK() {
		t.Fatal(a.Err)
	}
	if toasts := d.Toasts(d.ann); len(toasts) != 1 || toasts[0].Text != "see below" {
		t.Errorf("%+v", toasts)
	}
	notes := d.Notes(d.ann)
	if len(notes) != 1 {
		t.Fatalf("%d notes", len(notes))
	}
	id := notes[0].ID
	if a := d.Select(d.ann, id, "type", "打印机"); !a.OK() {
		t.Fatal(a.Err)
	}
	values := map[string]string{"title": "打不出来", "text": "a\nb", "who": d.bob, "day": "2026-11-22", "due": "2026-11-22T09:00", "tell": "false"}
	if a := d.Submit(d.ann, id, "", values); !a.OK() {
		t.Fatal(a.Err)
	}
	if m, _ := d.Message(id); !strings.Contains(m.Content, "⚠ 太短了") || !strings.Contains(m.Content, `"text_color":"red"`) || !strings.Contains(m.Content, `"initial_option":"print"`) {
		t.Errorf("the error is not shown: %s", m.Content)
	}
	if a := d.Submit(d.ann, id, "建单", values); !a.OK() {
		t.Fatal(a.Err)
	}
	if m, _ := d.Message(id); !strings.Contains(m.Content, "已建单 #7") || strings.Contains(m.Content, `"form"`) {
		t.Errorf("the form stays: %s", m.Content)
	}
	events := *got
	last := events[len(events)-1]
	want := map[string]string{"type": "print", "title": "打不出来", "text": "a\nb", "who": d.bob, "prio": "P2", "day": "2026-11-22", "due": "2026-11-22T09:00", "count": "10", "tell": "", "field:phone": "13812345678", "mail": ""}
	if last.Kind != bot.Submit || last.Token != "AQ-form" || last.Conv.ID != d.help || last.Private || fmt.Sprint(last.Values) != fmt.Sprint(want) {
		t.Errorf("%+v\nwant %v", last, want)
	}
}

// TestFormInPrivate: in a group of topics the form comes as a private message,
// and is about the group all the same.
func TestFormInPrivate(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	d.ChangeChat(d.help, func(c *feishutest.Chat) { c.Topic = true })
	form := cards.Card{Lang: cards.ZH, Title: "f", Form: &cards.Form{Token: "AQ-f", Inputs: []cards.Input{
		{Name: "type", Kind: cards.InputChoice, Reload: true, Options: []cards.Option{{Label: "A", Value: "a"}}}, {Name: "text", Kind: cards.InputText}, {Name: "who", Kind: cards.InputPerson},
	}}}
	got := d.served(t, func(e bot.Event) bot.Reply {
		if e.Kind == bot.Reload {
			return bot.Reply{Form: &form}
		}
		return bot.Reply{}
	})
	if err := d.a.OpenForm(t.Context(), trigger{d.help, d.ann, groupChat, inGroup}.String(), form); err != nil {
		t.Fatal(err)
	}
	private := d.Cards(d.DM(d.ann))
	if len(private) != 1 {
		t.Fatalf("%d private messages", len(private))
	}
	if a := d.Select(d.ann, private[0].ID, "type", "A"); !a.OK() {
		t.Fatal(a.Err)
	}
	// The picker offers who is in the group, in the first version of the form and in the next.
	for _, m := range []feishutest.Message{private[0], d.Cards(d.DM(d.ann))[0]} {
		if !strings.Contains(m.Content, `{"value":"`+d.bob+`"}`) {
			t.Errorf("%s cannot be picked: %s", d.bob, m.Content)
		}
	}
	if a := d.Submit(d.ann, private[0].ID, "", map[string]string{"text": "x", "who": d.bob}); !a.OK() {
		t.Fatal(a.Err)
	}
	for _, e := range *got {
		if e.Conv.ID != d.help || e.Private || e.Message != "" {
			t.Errorf("%+v", e)
		}
	}
	if m, _ := d.Message(private[0].ID); m.Content != done() {
		t.Errorf("%s", m.Content)
	}
	// Asked for in private, it is about nothing else.
	if err := d.a.OpenForm(t.Context(), trigger{user: d.bob, kind: privateChat}.String(), form); err != nil {
		t.Fatal(err)
	}
	if a := d.Submit(d.bob, d.Cards(d.DM(d.bob))[0].ID, "", nil); !a.OK() {
		t.Fatal(a.Err)
	}
	if e := (*got)[len(*got)-1]; !e.Private || e.Conv.ID != d.DM(d.bob) {
		t.Errorf("%+v", e)
	}
}

// TestAnswersToPresses: what is shown at once.
func TestAnswersToPresses(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	var say bot.Reply
	d.served(t, func(bot.Event) bot.Reply { return say })
	card := cards.Card{Title: "#1", Actions: []cards.Action{{Label: "接单", Token: "AQ"}}}
	ref, err := d.a.Post(t.Context(), d.to(), "x", card)
	if err != nil {
		t.Fatal(err)
	}
	press := func(r bot.Reply) feishutest.Message {
		t.Helper()
		say = r
		if a := d.Press(d.ann, string(ref), "接单"); !a.OK() {
			t.Fatal(a.Err)
		}
		m, _ := d.Message(string(ref))
		return m
	}
	if m := press(bot.Reply{}); m.Edits != 0 || len(d.Toasts(d.ann)) != 0 {
		t.Errorf("%+v", m)
	}
	card.Title = "#1 已接"
	if m := press(bot.Reply{Card: &card, Toast: "<b>好</b>\n的"}); !strings.Contains(m.Content, "已接") || !strings.Contains(m.Content, `"t":"AQ"`) {
		t.Errorf("%+v", m)
	}
	if toasts := d.Toasts(d.ann); len(toasts) != 1 || toasts[0].Text != "<b>好</b> 的" {
		t.Errorf("%+v", toasts)
	}
	if a := d.Verify(); !a.OK() {
		t.Error(a.Err)
	}
}

func TestInline(t *testing.T) {
	a := testAdapter(t, testConfig())
	for kind, want := range map[bot.Kind]bot.Inline{
		bot.Click: {Toast: true, Card: true}, bot.Submit: {Hint: true, Toast: true, Form: true}, bot.Reload: {Form: true}, bot.Slash: {}, bot.Message: {}, bot.Reacted: {},
	} {
		if got := a.Inline(bot.Event{Kind: kind}); got != want {
			t.Errorf("%s: %+v, want %+v", kind, got, want)
		}
	}
}

func TestPeople(t *testing.T) {
	now := newClock()
	d := newDesk(t, feishutest.Options{Now: now.now, Scopes: append(slices.Clone(feishutest.Scopes), "contact:user.phone:readonly")})
	u, err := d.a.FindUser(t.Context(), d.a.user(d.ann))
	want := bot.User{Ref: d.a.user(d.ann), Name: "Ann Li", Email: "ann@example.com", Phone: "+8613800138000", Zone: "Asia/Shanghai"}
	if err != nil || u != want {
		t.Errorf("%+v, %v; want %+v", u, err, want)
	}
	d.ChangeUser(d.ann, func(u *feishutest.User) { u.Resigned = true })
	if u, err := d.a.FindUser(t.Context(), d.a.user(d.ann)); err != nil || u.Deleted {
		t.Errorf("not kept: %+v %v", u, err)
	}
	now.add(11 * time.Minute)
	if u, err := d.a.FindUser(t.Context(), d.a.user(d.ann)); err != nil || !u.Deleted {
		t.Errorf("%+v %v", u, err)
	}
	guest := d.AddUser(feishutest.User{Name: "Guest", Tenant: "736588c9260f175d"})
	if _, err := d.a.FindUser(t.Context(), d.a.user(guest)); !errors.Is(err, bot.ErrGone) {
		t.Errorf("of another company: %v", err)
	}
	if _, err := d.a.FindUser(t.Context(), d.a.user("ann")); !errors.Is(err, bot.ErrRejected) {
		t.Error(err)
	}
	if err := d.a.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u, err := d.a.FindUser(t.Context(), d.a.user(feishutest.Bot)); err != nil || !u.Bot || u.Name != feishutest.BotName {
		t.Errorf("%+v %v", u, err)
	}
	if name, err := d.a.ConvName(t.Context(), d.a.conv(d.help)); err != nil || name != "help" {
		t.Error(name, err)
	}
	var crowd []string
	for i := range 230 {
		crowd = append(crowd, d.AddUser(feishutest.User{Name: fmt.Sprint("u", i)}))
	}
	big := d.AddGroup("big", false, crowd...)
	members, err := d.a.Members(t.Context(), d.a.conv(big))
	if err != nil || len(members) != len(crowd) {
		t.Errorf("%d members, %v", len(members), err)
	}
	d.ChangeChat(big, func(c *feishutest.Chat) { delete(c.Members, feishutest.Bot) })
	if members, err := d.a.Members(t.Context(), d.a.conv(big)); !errors.Is(err, bot.ErrGone) || members != nil {
		t.Error(members, err)
	}
}

func TestPhones(t *testing.T) {
	for in, want := range map[string]string{"+8613800138000": "+8613800138000", "13800138000": "+8613800138000", "+1 415-555-2671": "+14155552671", "": "", "138****8000": "", "12345": ""} {
		if got := phone(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// TestUserGroups reads a user group page by page.
func TestUserGroups(t *testing.T) {
	mux := http.NewServeMux()
	write := func(w http.ResponseWriter, s string) {
		w.Header().Set("Content-Type", "application/json")
		if _, err := io.WriteString(w, s); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("POST /open-apis/auth/v3/tenant_access_token/internal", func(w http.ResponseWriter, _ *http.Request) {
		write(w, `{"code":0,"msg":"ok","tenant_access_token":"t-1","expire":7200}`)
	})
	mux.HandleFunc("GET /open-apis/contact/v3/group/{id}/member/simplelist", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case r.PathValue("id") != "g122817" || q.Get("member_id_type") != "open_id" || q.Get("member_type") != "user" || r.Header.Get("Authorization") != "Bearer t-1":
			t.Errorf("asked %s", r.URL)
		case q.Get("page_token") == "":
			write(w, `{"code":0,"data":{"memberlist":[{"member_id":"ou_1","member_type":"user","member_id_type":"open_id"}],"page_token":"p2","has_more":true}}`)
		default:
			write(w, `{"code":0,"data":{"memberlist":[{"member_id":"ou_2","member_type":"user","member_id_type":"open_id"},{"member_id":"od_9"}],"has_more":false}}`)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c := testConfig()
	c.APIURL = server.URL
	a, err := New(c, bot.Deps{HTTP: server.Client(), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.GroupMembers(t.Context(), a.user("g122817"))
	if err != nil || fmt.Sprint(got) != fmt.Sprint([]bot.UserRef{a.user("ou_1"), a.user("ou_2")}) {
		t.Error(got, err)
	}
	if _, err := a.GroupMembers(t.Context(), a.user("ou_1")); !errors.Is(err, bot.ErrRejected) {
		t.Error(err)
	}
}

func TestReadMessage(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	if err := d.a.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := d.AddFile(feishutest.File{Type: "image", Content: []byte("PNG")})
	id, _ := d.Say(d.ann, d.help, "", feishutest.At(feishutest.Bot)+" 打印机 "+feishutest.At(d.bob)+" 坏了", key)
	said, err := d.a.ReadMessage(t.Context(), bot.MessageRef(id))
	if err != nil || said.User.ID != d.ann || said.Text != "打印机 @Bob 坏了" || len(said.Files) != 1 {
		t.Errorf("%+v, %v", said, err)
	}
	card, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.a.ReadMessage(t.Context(), card); !errors.Is(err, bot.ErrGone) {
		t.Errorf("our own: %v", err)
	}
	d.Recall(id)
	if _, err := d.a.ReadMessage(t.Context(), bot.MessageRef(id)); !errors.Is(err, bot.ErrGone) {
		t.Errorf("recalled: %v", err)
	}
}

// TestReactionsFindTheirChat: on a card of ours, on a message that was heard, on
// one that was not, and after a restart.
func TestReactionsFindTheirChat(t *testing.T) {
	d := newDesk(t, feishutest.Options{Scopes: slices.DeleteFunc(slices.Clone(feishutest.Scopes), func(s string) bool { return s == "im:message.group_msg" })})
	got := d.served(t, nil)
	card, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "x"})
	if err != nil {
		t.Fatal(err)
	}
	unheard, _ := d.Say(d.ann, d.help, "", "nobody mentions the bot")
	reply, _ := d.SayInTopic(d.bob, string(card), feishutest.At(feishutest.Bot)+" 好")
	expect := func(id, emoji, root string, heard bool) {
		t.Helper()
		*got = nil
		if a := d.React(d.ann, id, emoji); !a[0].OK() {
			t.Fatal(a[0].Err)
		}
		if len(*got) == 0 && !heard {
			return
		}
		if len(*got) != 1 || (*got)[0].Conv.ID != d.help || (*got)[0].Message != bot.MessageRef(id) || string((*got)[0].Thread) != root {
			t.Errorf("%s: %+v", id, *got)
		}
	}
	for range 2 {
		expect(string(card), "DONE", "", true)
		expect(reply, "OnIt", string(card), true)
		expect(unheard, "Alarm", "", true)
		for _, id := range []string{string(card), reply, unheard} { // and now after a restart
			d.a.places.forget(id)
			for _, e := range []string{"DONE", "OnIt", "Alarm"} {
				d.Unreact(d.ann, id, e)
			}
			d.a.places.forget(id)
		}
	}
	// An emoji that means nothing is worth no call.
	before := d.Calls("message.get")
	other, _ := d.Say(d.bob, d.help, "", "x")
	expect(other, "BEER", "", false)
	if n := d.Calls("message.get") - before; n != 0 {
		t.Errorf("%d calls", n)
	}
	private, _ := d.Say(d.ann, d.DM(d.ann), "", "hi")
	d.a.places.forget(private)
	delete(d.shelf.rows, placeKey(private))
	d.a.private.forget(d.DM(d.ann))
	*got = nil
	d.React(d.ann, private, "DONE")
	if len(*got) != 1 || !(*got)[0].Private || (*got)[0].Message != bot.MessageRef("@"+private) {
		t.Errorf("%+v", *got)
	}
	*got = nil
	d.a.places.forget(private)
	d.Recall(private)
	if len(*got) != 1 || (*got)[0].Kind != bot.Deleted || (*got)[0].User.ID != d.ann || (*got)[0].Message != bot.MessageRef("@"+private) {
		t.Errorf("%+v", *got)
	}
}

func TestFiles(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	got := d.served(t, nil)
	content := bytes.Repeat([]byte("log line\n"), 200_000)
	key := d.AddFile(feishutest.File{Name: "a.json", Content: content})
	d.Say(d.ann, d.DM(d.ann), "", "", key)
	if len(*got) != 1 || len((*got)[0].Files) != 1 {
		t.Fatalf("%+v", *got)
	}
	f := (*got)[0].Files[0]
	d.ExpireTokens()
	r, err := d.a.Fetch(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(b, content) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	for _, bad := range []string{"", "om_1", "om_1/file/../x", "https://evil.example/x", "om_1/video/file_1", "x/file/file_1"} {
		if _, err := d.a.Fetch(t.Context(), bot.File{URL: bad}); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := d.a.Fetch(t.Context(), bot.File{URL: (*got)[0].Files[0].URL + "0"}); !errors.Is(err, bot.ErrGone) {
		t.Errorf("another file: %v", err)
	}
	png := append([]byte("\x89PNG\r\n\x1a\n"), content[:100]...)
	for name, want := range map[string]string{"a.png": "image", "b.txt": "file", "c.PDF": "file"} {
		body := content
		if want == "image" {
			body = png
		}
		ref, err := d.a.SendFile(t.Context(), d.to(), name, name, int64(len(body)), bytes.NewReader(body))
		if err != nil {
			t.Fatal(name, err)
		}
		if m, ok := d.Message(string(ref)); !ok || m.Type != want {
			t.Errorf("%s: %+v", name, m)
		}
	}
	// A picture that Feishu cannot read still goes as a file.
	d.Fail(feishutest.Fault{Kind: feishutest.Refused, Method: "image.create", Code: 234011})
	ref, err := d.a.SendFile(t.Context(), d.to(), "odd", "odd.png", int64(len(png)), bytes.NewReader(png))
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := d.Message(string(ref)); !ok || m.Type != "file" {
		t.Errorf("%+v", m)
	}
	// A lost answer does not show it twice.
	d.Fail(feishutest.Fault{Kind: feishutest.CutAfter, Method: "message.create"})
	before := len(d.Cards(d.help))
	for _, want := range []error{bot.ErrUnknown, nil} {
		if _, err := d.a.SendFile(t.Context(), d.to(), "once", "x.txt", 1, strings.NewReader("x")); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if n := len(d.Cards(d.help)) - before; n != 1 {
		t.Errorf("shown %d times", n)
	}
	for name, size := range map[string]int64{"": 1, "empty": 0, "large": maxFile + 1, "\n": 1} {
		if _, err := d.a.SendFile(t.Context(), d.to(), "bad", name, size, strings.NewReader("x")); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%q of %d: %v", name, size, err)
		}
	}
	d.Fail(feishutest.Fault{Kind: feishutest.CutBefore, Method: "file.create"})
	if _, err := d.a.SendFile(t.Context(), d.to(), "cut", "x.txt", 1, strings.NewReader("x")); err == nil || errors.Is(err, bot.ErrUnknown) {
		t.Errorf("nobody saw it: %v", err)
	}
}

func TestUrge(t *testing.T) {
	d := newDesk(t, feishutest.Options{})
	ref, err := d.a.Post(t.Context(), d.to(), "x", cards.Card{Title: "P1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.a.Urge(t.Context(), ref, []string{d.ann, "nobody", "ou_stranger"}); err != nil {
		t.Fatal(err)
	}
	if m, _ := d.Message(string(ref)); fmt.Sprint(m.Urged) != fmt.Sprint([]string{d.ann}) {
		t.Errorf("%v", m.Urged)
	}
	before := d.Calls("message.urgent_app")
	if err := d.a.Urge(t.Context(), ref, nil); err != nil || d.Calls("message.urgent_app") != before {
		t.Error(err)
	}
	d.ChangeChat(d.help, func(c *feishutest.Chat) { c.Muted = true })
	if err := d.a.Urge(t.Context(), ref, []string{d.ann}); !errors.Is(err, bot.ErrGone) {
		t.Error(err)
	}
}

// console answers what the emulator does not know: what Check asks the console's
// own API.
func console(t *testing.T, d *desk, scopes []string, people string) *Adapter {
	t.Helper()
	emulator := d.Server.URL
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var data any
		switch r.URL.Path {
		case "/open-apis/application/v6/scopes":
			var list []map[string]any
			for _, s := range scopes {
				list = append(list, map[string]any{"scope_name": s, "grant_status": 1})
			}
			data = map[string]any{"scopes": append(list, map[string]any{"scope_name": "im:message.urgent", "grant_status": 2})}
		case "/open-apis/contact/v3/scopes":
			data = json.RawMessage(people)
		default:
			req, err := http.NewRequestWithContext(r.Context(), r.Method, emulator+r.URL.RequestURI(), r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header = r.Header
			resp, err := d.transports.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
			w.WriteHeader(resp.StatusCode)
			_, err = io.Copy(w, resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil {
				t.Error(err)
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{"code": 0, "data": data}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	c := testConfig()
	c.APIURL = server.URL
	a, err := New(c, bot.Deps{HTTP: server.Client(), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func findings(ctx context.Context, a *Adapter) map[string]bot.Finding {
	out := map[string]bot.Finding{}
	for _, f := range a.Check(ctx) {
		out[strings.TrimPrefix(f.What, "feishu/default ")] = f
	}
	return out
}

func TestCheck(t *testing.T) {
	var list struct{ Scopes struct{ Tenant []string } }
	if err := json.Unmarshal(Scopes, &list); err != nil {
		t.Fatal(err)
	}
	all := append(slices.Clone(list.Scopes.Tenant), "im:message.group_msg")
	d := newDesk(t, feishutest.Options{})
	a := console(t, d, all, `{"department_ids":["0"],"user_ids":[],"group_ids":[]}`)
	got := findings(t.Context(), a)
	for _, what := range []string{"credentials", "bot", "permissions", "people"} {
		if f := got[what]; !f.OK {
			t.Errorf("%s: %+v", what, f)
		}
	}
	// The endpoint's address is the emulator's, and this app's API is elsewhere.
	if f := got["events"]; f.OK || !strings.Contains(f.Says, "not Feishu's") {
		t.Errorf("%+v", f)
	}
	a.conf.Mode = ModeHTTP
	got = findings(t.Context(), a)
	if f := got["card callbacks"]; !f.OK || !strings.Contains(f.Says, "/hooks/feishu/default") && !strings.Contains(f.Says, "card.action.trigger") {
		t.Errorf("%+v", f)
	}
	a = console(t, d, []string{"im:message"}, `{}`)
	got = findings(t.Context(), a)
	if f := got["permissions"]; f.OK || f.Warn || !strings.Contains(f.Says, "im:message.p2p_msg:readonly (private chats") || strings.Contains(f.Says, "im:message:recall") {
		t.Errorf("%+v", f)
	}
	if f := got["people"]; f.OK || !f.Warn {
		t.Errorf("%+v", f)
	}
	a = console(t, d, list.Scopes.Tenant, `{"user_ids":["ou_1"]}`)
	if f := findings(t.Context(), a)["permissions"]; f.OK || !f.Warn || !strings.Contains(f.Says, "im:message.group_msg") {
		t.Errorf("%+v", f)
	}
	// The emulator itself knows neither: then nothing is claimed.
	got = findings(t.Context(), d.a)
	if !got["events"].OK || !got["card callbacks"].OK || !got["permissions"].Warn || !got["people"].Warn {
		t.Errorf("%+v", got)
	}
	d.Suspend(10014)
	d.a.tokens.evict(d.a.tokens.get(d.a.now()))
	got = findings(t.Context(), d.a)
	if f := got["credentials"]; len(got) != 1 || f.OK || f.Warn || !strings.Contains(f.Says, "app_secret") || strings.Contains(f.Says, feishutest.AppSecret) {
		t.Errorf("%+v", got)
	}
}

// TestRedirectsAreNotFollowed: a token never goes to another host.
func TestRedirectsAreNotFollowed(t *testing.T) {
	evil := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was asked with %q", r.URL, r.Header.Get("Authorization"))
	}))
	t.Cleanup(evil.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, evil.URL, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	c := testConfig()
	c.APIURL = server.URL
	a, err := New(c, bot.Deps{HTTP: &http.Client{}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Prepare(t.Context()); !errors.Is(err, bot.ErrRejected) {
		t.Error(err)
	}
	a.tokens.value, a.tokens.until = "t-x", time.Now().Add(time.Hour)
	if _, err := a.Fetch(t.Context(), bot.File{URL: "om_1/file/file_1"}); err == nil {
		t.Error("fetched")
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestSDKDefectBodiesInErrors: the SDK quotes a whole answer in its error; none
// of ours does.
func TestSDKDefectBodiesInErrors(t *testing.T) {
	const secret = "13800138000"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if _, err := io.WriteString(w, secret); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	c := testConfig()
	c.APIURL = server.URL
	a, err := New(c, bot.Deps{HTTP: server.Client(), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Prepare(t.Context()); err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "127.0.0.1") {
		t.Error(err)
	}
}

// TestHostileTextInForms: what people wrote stays text in forms as well.
func TestHostileTextInForms(t *testing.T) {
	for _, s := range []string{`<at id=all></at>`, `[x](https://evil.example)`, `"},{"tag":"hr"},{"`, "**b**", `<a href="https://evil.example">x</a>`, "{{x}}", "\u202edrow"} {
		c := cards.Card{Title: s, Body: s, Form: &cards.Form{Token: "T", Submit: s, Inputs: []cards.Input{
			{Name: "a", Label: s, Hint: s, Value: s, Error: s}, {Name: "b", Label: s, Kind: cards.InputText, Value: s, Hint: s},
			{Name: "c", Label: s, Kind: cards.InputChoice, Options: []cards.Option{{Label: s, Value: s}}, Value: s}, {Name: "d", Label: s, Kind: cards.InputCheck, Hint: s},
			{Name: "e", Label: s, Kind: cards.InputChoice, Reload: true, Options: []cards.Option{{Label: s, Value: s}}, Value: s}, {Name: "f", Kind: cards.InputPerson, Value: s}, {Name: "g", Kind: cards.InputDate, Value: s},
		}}}
		card := draw(c, inPrivate, "oc_x")
		if says := feishutest.CheckCard([]byte(card)); len(says) > 0 {
			t.Errorf("%q: %q", s, says)
		}
		if alive := live(card); len(alive) > 0 {
			t.Errorf("%q is alive: %q", s, alive)
		}
	}
}
