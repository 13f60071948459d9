package wecom

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// answering puts what is delivered through the adapter as the gateway does.
func (r *rig) answering(t *testing.T, out func(bot.Inbound) bot.Reply) {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	r.in.then = func(raw bot.Raw) (int, string, []byte) {
		plain, err := r.Verify(raw, r.now())
		if err != nil {
			return http.StatusUnauthorized, "text/plain", nil
		}
		in, err := r.Decode(raw, plain)
		if err != nil {
			return http.StatusBadRequest, "text/plain", nil
		}
		if err := r.shelf.keep(context.Background(), in.Keep); err != nil {
			t.Error(err)
		}
		w := httptest.NewRecorder()
		reply := bot.Reply{Echo: in.Echo}
		if in.Echo == "" && out != nil {
			reply = out(in)
		}
		r.Reply(w, in, reply)
		return w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()
	}
}

func ticket(title string, actions ...string) cards.Card {
	c := cards.Card{Lang: cards.ZH, Tone: cards.Open, Title: title, Badges: []string{"P1", "待接"}, Facts: []cards.Fact{{Label: "处理人", Value: "—"}}}
	for _, a := range actions {
		c.Actions = append(c.Actions, cards.Action{Label: a, Token: "AQ-" + a})
	}
	return c
}

func TestAddressIsVerified(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	r.answering(t, nil)
	if a := r.wc.VerifyURL(); !a.OK() {
		t.Errorf("%+v", a)
	}
	for range 20 { // until there is a "+" in one of them
		r.wc.Vary(wecomtest.RawPlus)
		if a := r.wc.VerifyURL(); !a.OK() {
			t.Errorf("%+v", a)
		}
	}
	for _, v := range []wecomtest.Variant{wecomtest.BadSignature, wecomtest.WrongReceiver, wecomtest.WrongKey, wecomtest.Stale} {
		r.wc.Vary(v)
		if a := r.wc.VerifyURL(); a.Status != http.StatusUnauthorized {
			t.Errorf("%s: %+v", v, a)
		}
	}
}

func TestMessagesComeInWhateverWrapsThem(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	var got []string
	r.answering(t, func(in bot.Inbound) bot.Reply {
		got = append(got, in.Events[0].Text)
		return bot.Reply{}
	})
	if _, a := r.wc.Say(r.user, "打印机坏了"); !a.OK() || len(a.Body) > 0 {
		t.Errorf("%+v", a)
	}
	r.wc.Vary(wecomtest.Envelope)
	if _, a := r.wc.Say(r.user, "in JSON"); !a.OK() {
		t.Errorf("%+v", a)
	}
	for _, v := range []wecomtest.Variant{wecomtest.BadSignature, wecomtest.WrongReceiver, wecomtest.WrongKey, wecomtest.Stale} {
		r.wc.Vary(v)
		if _, a := r.wc.Say(r.user, string(v)); a.Status != http.StatusUnauthorized {
			t.Errorf("%s: %+v", v, a)
		}
	}
	if !slices.Equal(got, []string{"打印机坏了", "in JSON"}) {
		t.Errorf("%q", got)
	}
}

// TestPressIsAnsweredWithTheCard: the presser sees the card as it is now in the
// answer itself, which costs no code.
func TestPressIsAnsweredWithTheCard(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	ref, err := r.Post(t.Context(), r.to(), "1", ticket("#1 打印机", "接单"))
	if err != nil {
		t.Fatal(err)
	}
	now := ticket("#1 打印机 ]]> <x>", "解决", "转派")
	now.Badges = []string{"P1", "处理中"}
	r.answering(t, func(in bot.Inbound) bot.Reply {
		if !r.Inline(in.Events[0]).Card {
			t.Error("the answer cannot carry the card")
		}
		return bot.Reply{Card: &now}
	})
	a := r.wc.Press(r.user, lastOf(ref), "接单")
	if !a.OK() || len(a.Plain) == 0 {
		t.Fatalf("%+v", a)
	}
	shown, _ := r.shown(ref)
	if !strings.Contains(shown, "]]> <x>") && !strings.Contains(shown, `]]\u003e \u003cx\u003e`) || !strings.Contains(shown, "解决") || strings.Contains(shown, `"接单"`) {
		t.Errorf("shows %s", shown)
	}
	// Two codes are left: the post's and the press's.
	for i, want := range []error{nil, nil, bot.ErrFixed} {
		if _, err := r.Update(t.Context(), ref, ticket("#1 again")); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("update %d: %v, want %v", i+1, err, want)
		}
	}
}

// TestPressWithoutACardIsShownAsDone: else the button could be pressed on and on.
func TestPressWithoutACardIsShownAsDone(t *testing.T) {
	for name, c := range map[string]struct {
		reply bot.Reply
		want  string
	}{
		"nothing to say": {bot.Reply{}, "已处理"},
		"a toast":        {bot.Reply{Toast: "已由 张三 接单了，真的"}, "已由 张三 接单了…"},
		"a hint":         {bot.Reply{Hint: &cards.Card{Lang: cards.EN, Body: "x"}}, "Done"},
	} {
		r := newRig(t, wecomtest.Options{}, nil)
		ref, err := r.Post(t.Context(), r.to(), "1", ticket("#1", "接单"))
		if err != nil {
			t.Fatal(err)
		}
		r.answering(t, func(bot.Inbound) bot.Reply { return c.reply })
		if a := r.wc.Press(r.user, lastOf(ref), "接单"); !a.OK() {
			t.Errorf("%s: %+v", name, a)
		}
		m, _ := r.wc.Message(lastOf(ref))
		if got := wecomtest.ButtonLabels(m.CardFor(r.user)); len(got) > 0 || !strings.Contains(string(m.CardFor(r.user)), `"replace_text":"`+c.want+`"`) {
			t.Errorf("%s: %s", name, m.CardFor(r.user))
		}
		// What the sender shows later can be pressed again.
		if _, err := r.Update(t.Context(), ref, ticket("#1", "解决")); err != nil {
			t.Error(err)
		}
		m, _ = r.wc.Message(lastOf(ref))
		if got := wecomtest.ButtonLabels(m.CardFor(r.user)); !slices.Equal(got, []string{"解决"}) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestCornerMenuStaysAsItIs(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	c := ticket("#1", "接单")
	c.More = []cards.Action{{Label: "备注", Token: "AQ-note"}}
	ref, err := r.Post(t.Context(), r.to(), "1", c)
	if err != nil {
		t.Fatal(err)
	}
	r.answering(t, nil)
	if a := r.wc.Press(r.user, lastOf(ref), "备注"); !a.OK() || len(a.Body) > 0 {
		t.Errorf("%+v", a)
	}
}

// TestAnswersAreSealed opens a passive answer as WeCom does.
func TestAnswersAreSealed(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	in := bot.Inbound{Kind: "template_card_event", Events: []bot.Event{{ID: "app:ev:x", Kind: bot.Click, User: r.Adapter.user("lisi")}}}
	w := httptest.NewRecorder()
	r.Reply(w, in, bot.Reply{})
	var env struct {
		XMLName                                 xml.Name `xml:"xml"`
		Encrypt, MsgSignature, TimeStamp, Nonce string
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &env); err != nil {
		t.Fatal(err)
	}
	plain, err := r.app.crypt.open(map[string][]string{"msg_signature": {env.MsgSignature}, "timestamp": {env.TimeStamp}, "nonce": {env.Nonce}}, env.Encrypt, r.now())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<ToUserName><![CDATA[lisi]]></ToUserName>", "<FromUserName><![CDATA[ww0123456789abcdef]]></FromUserName>", "<MsgType><![CDATA[update_button]]></MsgType>", "<Button><ReplaceName><![CDATA[已处理]]></ReplaceName></Button>"} {
		if !strings.Contains(string(plain), want) {
			t.Errorf("%s is not in %s", want, plain)
		}
	}
}

func TestCardIsChangedByTheNewestCodeThatWorks(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	ref, err := r.Post(t.Context(), r.to(), "1", ticket("#1", "接单"))
	if err != nil {
		t.Fatal(err)
	}
	// Codes that WeCom does not take: used, too old, of nobody.
	for _, code := range []string{"rc-nobody-1", "rc-nobody-2"} {
		if err := r.shelf.Push(t.Context(), codeKey(lastOf(ref)), code, codeFor); err != nil {
			t.Fatal(err)
		}
	}
	for _, code := range []int{42022, 60140} {
		r.wc.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "message/update_template_card", Code: code})
	}
	if _, err := r.Update(t.Context(), ref, ticket("#1 changed", "解决")); err != nil {
		t.Fatal(err)
	}
	if shown, _ := r.shown(ref); !strings.Contains(shown, "#1 changed") {
		t.Error(shown)
	}
	if _, err := r.Update(t.Context(), ref, ticket("#1 again")); !errors.Is(err, bot.ErrFixed) {
		t.Error(err)
	}
	r.answering(t, nil)
	if a := r.wc.Press(r.user, lastOf(ref), "解决"); !a.OK() {
		t.Fatalf("%+v", a)
	}
	if _, err := r.Update(t.Context(), ref, ticket("#1 after a press")); err != nil {
		t.Error(err)
	}
	m, _ := r.wc.Message(lastOf(ref))
	if shown := string(m.CardFor(r.user)); !strings.Contains(shown, "after a press") || len(wecomtest.ButtonLabels([]byte(shown))) > 0 {
		t.Errorf("a card without buttons can still be pressed: %s", shown)
	}
}

func TestCodesEndAfterThreeDays(t *testing.T) {
	clock := newHeld()
	r := newRig(t, wecomtest.Options{Now: clock.now}, nil)
	ref, err := r.Post(t.Context(), r.to(), "1", ticket("#1", "接单"))
	if err != nil {
		t.Fatal(err)
	}
	clock.advance(72 * time.Hour)
	before := r.wc.Calls("message/update_template_card")
	if _, err := r.Update(t.Context(), ref, ticket("#1")); !errors.Is(err, bot.ErrFixed) || r.wc.Calls("message/update_template_card") != before {
		t.Error(err)
	}
}

// TestCodeIsNotLostByAnError: a code is taken from the shelf before it is used,
// so that no two use it; when WeCom did not use it up it goes back.
func TestCodeIsNotLostByAnError(t *testing.T) {
	for _, f := range []wecomtest.Fault{{Kind: wecomtest.Limited}, {Kind: wecomtest.Busy}, {Kind: wecomtest.ServerError}, {Kind: wecomtest.CutBefore}, {Kind: wecomtest.NotJSON}, {Kind: wecomtest.Refused, Code: 60020}} {
		r := newRig(t, wecomtest.Options{}, nil)
		ref, err := r.Post(t.Context(), r.to(), "1", ticket("#1", "接单"))
		if err != nil {
			t.Fatal(err)
		}
		f.Method = "message/update_template_card"
		r.wc.Fail(f)
		if _, err := r.Update(t.Context(), ref, ticket("#1 changed", "接单")); err == nil || errors.Is(err, bot.ErrFixed) {
			t.Errorf("%s: %v", f.Kind, err)
		}
		if _, err := r.Update(t.Context(), ref, ticket("#1 changed", "接单")); err != nil {
			t.Errorf("%s, again: %v", f.Kind, err)
		}
	}
	// Used up although the answer was lost: the card is as it was to be.
	r := newRig(t, wecomtest.Options{}, nil)
	ref, err := r.Post(t.Context(), r.to(), "1", ticket("#1", "接单"))
	if err != nil {
		t.Fatal(err)
	}
	r.wc.Fail(wecomtest.Fault{Kind: wecomtest.CutAfter, Method: "message/update_template_card"})
	if _, err := r.Update(t.Context(), ref, ticket("#1 changed", "接单")); err == nil {
		t.Error("no error")
	}
	if _, err := r.Update(t.Context(), ref, ticket("#1 changed", "接单")); !errors.Is(err, bot.ErrFixed) {
		t.Error(err)
	}
	// A caller who has gone does not take the code with him.
	r = newRig(t, wecomtest.Options{}, nil)
	if ref, err = r.Post(t.Context(), r.to(), "1", ticket("#1", "接单")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r.wc.Fail(wecomtest.Fault{Kind: wecomtest.Slow, Method: "message/update_template_card", Delay: time.Minute})
	if _, err := r.Update(ctx, ref, ticket("#1 changed", "接单")); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if got, err := r.shelf.Get(t.Context(), codeKey(lastOf(ref))); err != nil || got == "" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestMemberWhoLeftIsGone(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	ref, err := r.Post(t.Context(), r.to(), "1", ticket("#1", "接单"))
	if err != nil {
		t.Fatal(err)
	}
	r.wc.ChangeUser(r.user, func(u *wecomtest.User) { u.Status = 5 })
	if _, err := r.Update(t.Context(), ref, ticket("#1")); !errors.Is(err, bot.ErrGone) {
		t.Error(err)
	}
	if _, err := r.Post(t.Context(), r.to(), "2", ticket("#2", "接单")); !errors.Is(err, bot.ErrGone) {
		t.Error(err)
	}
}

// TestLostAnswerDoesNotDouble posts until it is known that it stands there once.
func TestLostAnswerDoesNotDouble(t *testing.T) {
	for name, c := range map[string]cards.Card{"card": ticket("#1", "接单"), "text": {Title: "t", Body: "nothing to press"}} {
		for _, kind := range []wecomtest.FaultKind{wecomtest.CutAfter, wecomtest.HalfAnswer, wecomtest.CutBefore, wecomtest.ServerError, wecomtest.NotJSON} {
			r := newRig(t, wecomtest.Options{}, nil)
			r.wc.Fail(wecomtest.Fault{Kind: kind, Method: "message/send"})
			if _, err := r.Post(t.Context(), r.to(), "1", c); !errors.Is(err, bot.ErrUnknown) {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
			ref, err := r.Post(t.Context(), r.to(), "1", c)
			if err != nil || ref == "" {
				t.Errorf("%s, %s, again: %q, %v", name, kind, ref, err)
			}
			if n := len(r.wc.Messages(wecomtest.AppChat(r.user))); n != 1 {
				t.Errorf("%s, %s: %d messages", name, kind, n)
			}
		}
	}
}

// TestLostAnswerOfAnOlderState: the card stands there once, as it was then, and
// can be changed as soon as somebody presses it.
func TestLostAnswerOfAnOlderState(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	r.wc.Fail(wecomtest.Fault{Kind: wecomtest.CutAfter, Method: "message/send"})
	if _, err := r.Post(t.Context(), r.to(), "1", ticket("#1", "接单")); !errors.Is(err, bot.ErrUnknown) {
		t.Fatal(err)
	}
	ref, err := r.Post(t.Context(), r.to(), "1", ticket("#1 newer", "接单"))
	if err != nil || len(r.wc.Messages(wecomtest.AppChat(r.user))) != 1 {
		t.Fatalf("%q, %v", ref, err)
	}
	r.answering(t, nil)
	if a := r.wc.Press(r.user, lastOf(ref), "接单"); !a.OK() {
		t.Fatalf("%+v", a)
	}
	if _, err := r.Update(t.Context(), ref, ticket("#1 newer", "接单")); err != nil {
		t.Error(err)
	}
}

// TestSameWordsTwiceAreTwoMessages: WeCom's check for repetitions would swallow
// the second.
func TestSameWordsTwiceAreTwoMessages(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	c := cards.Card{Title: "待接", Body: "没有待接的工单"}
	for _, once := range []string{"1", "2"} {
		if _, err := r.Post(t.Context(), r.to(), once, c); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.wc.Messages(wecomtest.AppChat(r.user))); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestTextIsTakenBackAndSentAnew(t *testing.T) {
	clock := newHeld()
	r := newRig(t, wecomtest.Options{Now: clock.now}, nil)
	texts := func() []string {
		var out []string
		for _, m := range r.wc.Messages(wecomtest.AppChat(r.user)) {
			out = append(out, m.Text)
		}
		return out
	}
	ref, err := r.Post(t.Context(), r.to(), "1", cards.Card{Title: "超时 5 分"})
	if err != nil {
		t.Fatal(err)
	}
	r.wc.Fail(wecomtest.Fault{Kind: wecomtest.Limited, Method: "message/send"})
	if _, err := r.Update(t.Context(), ref, cards.Card{Title: "已处理"}); err == nil {
		t.Error("no error")
	}
	now, err := r.Update(t.Context(), ref, cards.Card{Title: "已处理"})
	if err != nil || now == ref || !slices.Equal(texts(), []string{"已处理"}) {
		t.Errorf("%q, %v, %q", now, err, texts())
	}
	if n := r.wc.Calls("message/recall"); n != 1 { // the failed attempt's is enough
		t.Errorf("recalled %d times", n)
	}
	// Whoever kept the first reference changes, and takes back, what stands there now.
	if now, err = r.Update(t.Context(), ref, cards.Card{Title: "wieder anders"}); err != nil || !slices.Equal(texts(), []string{"wieder anders"}) {
		t.Errorf("%q, %v, %q", now, err, texts())
	}
	first, err := r.Post(t.Context(), r.to(), "x", cards.Card{Title: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Update(t.Context(), first, cards.Card{Title: "y"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), first); err != nil || !slices.Equal(texts(), []string{"wieder anders"}) {
		t.Errorf("%v, %q", err, texts())
	}
	// From a text to a card with buttons.
	if now, err = r.Update(t.Context(), now, ticket("#1", "接单")); err != nil || !strings.HasPrefix(string(now), "app/zhangsan/") {
		t.Errorf("%q, %v", now, err)
	}
	old, err := r.Post(t.Context(), r.to(), "2", cards.Card{Title: "alt"})
	if err != nil {
		t.Fatal(err)
	}
	clock.advance(24 * time.Hour)
	if got, err := r.Update(t.Context(), old, cards.Card{Title: "neu"}); !errors.Is(err, bot.ErrFixed) || got != old {
		t.Errorf("%q, %v", got, err)
	}
	if err := r.Delete(t.Context(), old); !errors.Is(err, bot.ErrGone) {
		t.Error(err)
	}
}

func TestDelete(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	ref, err := r.Post(t.Context(), r.to(), "1", cards.Card{Title: "weg"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), ref); err != nil || len(r.wc.Messages(wecomtest.AppChat(r.user))) != 0 {
		t.Error(err)
	}
	card, err := r.Post(t.Context(), r.to(), "2", ticket("#1", "接单"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), card); !errors.Is(err, bot.ErrGone) {
		t.Error(err)
	}
	for _, bad := range []bot.MessageRef{"", "x", "app/a", "app/a/b/c", "app//t", "app/a/t/", "msg/a b/1", "msg/a/1;2", "robot/x/y", "kf/x"} {
		if err := r.Delete(t.Context(), bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
		if _, err := r.Update(t.Context(), bad, note); err == nil {
			t.Errorf("%q was updated", bad)
		}
	}
}

// TestPaceStaysBelowWhatIsDropped sends as fast as Pace allows for three hours.
func TestPaceStaysBelowWhatIsDropped(t *testing.T) {
	p := (&Adapter{}).Pace()
	var sent []float64
	tokens, at := float64(p.Burst), 0.0
	for at < 3*3600 {
		if tokens < 1 {
			at += (1 - tokens) / float64(p.Conv)
			tokens = 1
		}
		tokens--
		sent = append(sent, at)
	}
	for i := range sent {
		minute, hour := 0, 0
		for _, s := range sent[i:] {
			if s < sent[i]+60 {
				minute++
			}
			if s >= sent[i]+3600 {
				break
			}
			hour++
		}
		if minute > 30 || hour > 1000 {
			t.Fatalf("%d in a minute, %d in an hour", minute, hour)
		}
	}
}

func TestFindUser(t *testing.T) {
	r := newRig(t, wecomtest.Options{Sensitive: true}, nil)
	r.wc.AddUser(wecomtest.User{ID: "lisi", Name: "李 四", Email: "li.si@example.com", Mobile: "13800000000"})
	r.wc.AddUser(wecomtest.User{ID: "off", Name: "停用", Status: 2})
	u, err := r.FindUser(t.Context(), r.Adapter.user("lisi"))
	if err != nil || u.Name != "李 四" || u.Email != "li.si@example.com" || u.Phone != "+8613800000000" || u.Deleted || u.Guest {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err = r.FindUser(t.Context(), r.Adapter.user("off")); err != nil || !u.Deleted {
		t.Errorf("%+v, %v", u, err)
	}
	before := r.wc.Calls("user/get")
	if _, err := r.FindUser(t.Context(), r.Adapter.user("lisi")); err != nil || r.wc.Calls("user/get") != before {
		t.Errorf("asked again: %v", err)
	}
	if _, err := r.FindUser(t.Context(), r.Adapter.user("nobody")); !errors.Is(err, bot.ErrGone) {
		t.Error(err)
	}
	if _, err := r.FindUser(t.Context(), r.Adapter.user("a/b")); !errors.Is(err, bot.ErrRejected) {
		t.Error(err)
	}
	// Apps made since June 2022 are told neither address nor number.
	r = newRig(t, wecomtest.Options{}, nil)
	r.wc.AddUser(wecomtest.User{ID: "lisi", Name: "李四", Email: "li.si@example.com", Mobile: "13800000000"})
	if u, err = r.FindUser(t.Context(), r.Adapter.user("lisi")); err != nil || u.Name != "李四" || u.Email+u.Phone != "" {
		t.Errorf("%+v, %v", u, err)
	}
	for in, want := range map[string]string{"13800000000": "+8613800000000", "+85212345678": "+85212345678", "138-0000-0000": "+8613800000000", "12345": "", "": "", "138****0000": "", "02012345678": ""} {
		if got := phone(in); got != want {
			t.Errorf("phone(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFiles(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	if _, a := r.wc.SendPicture(r.user, "photo.jpg", []byte("jpeg bytes of a photo")); !a.OK() {
		t.Fatalf("%+v", a)
	}
	in := r.take(t)
	if len(in.Events) != 1 || len(in.Events[0].Files) != 1 {
		t.Fatalf("%+v", in)
	}
	read := func(f bot.File) (string, error) {
		body, err := r.Fetch(t.Context(), f)
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(body)
		return string(b), errors.Join(err, body.Close())
	}
	f := in.Events[0].Files[0]
	if got, err := read(f); err != nil || got != "jpeg bytes of a photo" {
		t.Errorf("%q, %v", got, err)
	}
	r.wc.Revoke()
	if got, err := read(f); err != nil || got != "jpeg bytes of a photo" {
		t.Errorf("after the token was revoked: %q, %v", got, err)
	}
	if _, err := read(bot.File{ID: "app/nothing"}); !errors.Is(err, bot.ErrGone) {
		t.Error(err)
	}
	for _, id := range []string{"", "app/", "app/../x", "app/a?b", "elsewhere/a", f.ID + "&x=1"} {
		if _, err := read(bot.File{ID: id, URL: "http://127.0.0.1:9/"}); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%q: %v", id, err)
		}
	}

	content := bytes.Repeat([]byte("0123456789"), 1000)
	if _, err := r.SendFile(t.Context(), r.to(), "f1", "日志 \"1\".txt", int64(len(content)), bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	got := r.wc.Files(wecomtest.AppChat(r.user))
	if len(got) == 0 || !bytes.Equal(got[len(got)-1].Content, content) || got[len(got)-1].Name != "日志 \"1\".txt" {
		t.Errorf("%d files", len(got))
	}
	// A lost answer: neither uploaded nor shown twice.
	r.wc.Fail(wecomtest.Fault{Kind: wecomtest.CutAfter, Method: "message/send"})
	before, uploads := len(r.wc.Messages(wecomtest.AppChat(r.user))), r.wc.Calls("media/upload")
	if _, err := r.SendFile(t.Context(), r.to(), "again", "x", int64(len(content)), bytes.NewReader(content)); !errors.Is(err, bot.ErrUnknown) {
		t.Error(err)
	}
	if _, err := r.SendFile(t.Context(), r.to(), "again", "x", int64(len(content)), bytes.NewReader(content)); err != nil {
		t.Error(err)
	}
	if n, u := len(r.wc.Messages(wecomtest.AppChat(r.user)))-before, r.wc.Calls("media/upload")-uploads; n != 1 || u != 1 {
		t.Errorf("%d messages, %d uploads", n, u)
	}
	for name, size := range map[string]int64{"": 100, "short": 5, "long": mostFile + 1, "nothing": 0} {
		if _, err := r.SendFile(t.Context(), r.to(), "f2", name, size, bytes.NewReader(content)); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%q of %d bytes: %v", name, size, err)
		}
	}
	if _, err := r.SendFile(t.Context(), r.to(), "f3", "shorter than said", 20_000, bytes.NewReader(content)); err == nil || errors.Is(err, bot.ErrRejected) {
		t.Error(err)
	}
	if _, err := r.SendFile(t.Context(), bot.Dest{Install: r.install, User: "a/b"}, "f4", "x", 100, bytes.NewReader(content)); !errors.Is(err, bot.ErrRejected) {
		t.Error(err)
	}
}

func TestCheckSaysWhatToPress(t *testing.T) {
	find := func(all []bot.Finding, what string) bot.Finding {
		for _, f := range all {
			if strings.HasSuffix(f.What, what) {
				return f
			}
		}
		return bot.Finding{What: "none"}
	}
	r := newRig(t, wecomtest.Options{}, nil)
	for _, f := range r.app.check(t.Context()) {
		if !f.OK {
			t.Errorf("%+v", f)
		}
	}
	r.wc.TrustIPs("198.51.100.7")
	if f := find(r.app.check(t.Context()), "trusted address"); f.OK || !strings.Contains(f.Says, "企业可信IP") || !strings.Contains(f.Says, "127.0.0.1") {
		t.Errorf("%+v", f)
	}
	for code, want := range map[int]string{40013: "我的企业", 40001: "copy Secret", 45009: "an hour"} {
		r := newRig(t, wecomtest.Options{}, nil)
		r.wc.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "gettoken", Code: code, Times: -1})
		if f := find(r.app.check(t.Context()), "credentials"); f.OK || !strings.Contains(f.Says, want) || strings.Contains(f.Says, wecomtest.Secret) {
			t.Errorf("%d: %+v", code, f)
		}
	}
	for code, want := range map[int]string{301002: "AgentId", 40056: "AgentId", 50003: "启用", 48002: "可见范围"} {
		r := newRig(t, wecomtest.Options{}, nil)
		r.wc.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "menu/get", Code: code})
		if f := find(r.app.check(t.Context()), " app"); f.OK || !strings.Contains(f.Says, want) {
			t.Errorf("%d: %+v", code, f)
		}
	}
	r = newRig(t, wecomtest.Options{}, nil)
	r.wc.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "department/simplelist", Code: 60011})
	if f := find(r.app.check(t.Context()), "visible range"); f.OK || !f.Warn {
		t.Errorf("%+v", f)
	}
	if err := r.app.prepare(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWithoutACallbackAddressCardsAreRefusedForGood(t *testing.T) {
	r := newRig(t, wecomtest.Options{NoCallback: true}, nil)
	_, err := r.Post(t.Context(), r.to(), "1", ticket("#1", "接单"))
	if !errors.Is(err, bot.ErrUnauthorized) || !strings.Contains(advice(err), "设置API接收") {
		t.Errorf("%v: %s", err, advice(err))
	}
}

// TestBrokenShelf: what stands there stays there, and nothing is sent twice.
func TestBrokenShelf(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	broken := errors.New("shelf is broken")
	r.shelf.broken(func(op, key string) error { return broken })
	ref, err := r.Post(t.Context(), r.to(), "1", ticket("#1", "接单"))
	if err != nil || ref == "" {
		t.Errorf("a card whose code is not kept: %q, %v", ref, err)
	}
	content := bytes.NewReader(make([]byte, 100))
	if _, err := r.SendFile(t.Context(), r.to(), "2", "f", 100, content); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := r.Update(t.Context(), ref, ticket("#1", "接单")); !errors.Is(err, broken) || errors.Is(err, bot.ErrFixed) {
		t.Error(err)
	}
	if n := len(r.wc.Messages(wecomtest.AppChat(r.user))); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestMembersAreWrittenToWhereTheyWroteLast(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, func(c *Config) {
		c.Robot = RobotConfig{Token: "RobotToken1", EncodingAESKey: c.EncodingAESKey}
	})
	where := func(to bot.Dest) string {
		t.Helper()
		s, err := r.route(t.Context(), to)
		if err != nil {
			return err.Error()
		}
		return s
	}
	if got := where(r.to()); got != surfaceApp {
		t.Error(got)
	}
	if err := r.shelf.keep(t.Context(), []bot.Kept{spoke(r.user, surfaceRobot)}); err != nil {
		t.Fatal(err)
	}
	if got := where(r.to()); got != surfaceRobot {
		t.Error(got)
	}
	if err := r.shelf.keep(t.Context(), []bot.Kept{spoke(r.user, surfaceApp)}); err != nil {
		t.Fatal(err)
	}
	if got := where(r.to()); got != surfaceApp {
		t.Error(got)
	}
	if got := where(bot.Dest{Install: r.install, Conv: "wrGROUP"}); got != surfaceRobot {
		t.Error(got)
	}
	if got := where(bot.Dest{Install: r.install, User: "kf:wk1:wm1"}); got != surfaceKF {
		t.Error(got)
	}
	// The long connection is another process's: the app reaches him from here.
	far := newRig(t, wecomtest.Options{}, func(c *Config) {
		c.Robot = RobotConfig{ID: "aib0001", Secret: strings.Repeat("aB3", 12), WSURL: "ws://127.0.0.1:9"}
	})
	if err := far.shelf.keep(t.Context(), []bot.Kept{spoke(far.user, surfaceRobot)}); err != nil {
		t.Fatal(err)
	}
	if s, err := far.route(t.Context(), far.to()); s != surfaceApp || err != nil || !far.Here(far.to()) || far.Here(bot.Dest{Install: far.install, Conv: "wrGROUP"}) {
		t.Errorf("%s, %v", s, err)
	}
	alone := newRig(t, wecomtest.Options{}, nil)
	for _, to := range []bot.Dest{{Install: alone.install, Conv: "wrGROUP"}, {Install: alone.install}} {
		if _, err := alone.route(t.Context(), to); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%+v: %v", to, err)
		}
	}
}
