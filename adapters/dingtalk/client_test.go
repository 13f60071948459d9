package dingtalk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/dingtalk/dingtalktest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// TestLostAnswerShowsOneCard: a card's name makes a second attempt harmless,
// whatever became of the first.
func TestLostAnswerShowsOneCard(t *testing.T) {
	for _, kind := range []dingtalktest.FaultKind{dingtalktest.CutAfter, dingtalktest.HalfAnswer, dingtalktest.CutBefore, dingtalktest.ServerError, dingtalktest.Empty} {
		d := newDesk(t, dingtalktest.Options{}, nil)
		d.Fail(dingtalktest.Fault{Kind: kind, Method: "card/instances/createAndDeliver"})
		if _, err := d.a.Post(t.Context(), d.to(), "once", cards.Card{Title: "first"}); err == nil {
			t.Fatalf("%s: no error", kind)
		}
		ref, err := d.a.Post(t.Context(), d.to(), "once", cards.Card{Title: "second"})
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if n := len(d.Cards(d.help)); n != 1 {
			t.Errorf("%s: %d cards", kind, n)
		}
		if drawn, err := d.Draw(d.ann, track(t, ref)); err != nil || drawn.Title != "second" {
			t.Errorf("%s: shows %+v, %v", kind, drawn, err)
		}
		other, err := d.a.Post(t.Context(), bot.Private(d.a.user(d.ann)), "once", cards.Card{Title: "elsewhere"})
		if err != nil || other == ref {
			t.Errorf("%s: the same once elsewhere is the same card: %v", kind, err)
		}
	}
}

// TestUndeliveredCardIsDeliveredLater: DingTalk makes the card, answers 200, and
// says in a corner that it reached nobody.
func TestUndeliveredCardIsDeliveredLater(t *testing.T) {
	for name, to := range map[string]func(d *desk) bot.Dest{"group": (*desk).to, "person": func(d *desk) bot.Dest { return bot.Private(d.a.user(d.bob)) }} {
		d := newDesk(t, dingtalktest.Options{}, nil)
		for _, method := range []string{"card/instances/createAndDeliver", "card/instances/deliver"} {
			d.Fail(dingtalktest.Fault{Kind: dingtalktest.Undelivered, Method: method})
		}
		for range 2 {
			if _, err := d.another(t).Post(t.Context(), to(d), "once", cards.Card{Title: "x"}); err == nil {
				t.Fatal("what reached nobody counts as shown")
			}
		}
		ref, err := d.another(t).Post(t.Context(), to(d), "once", cards.Card{Title: "y", Ping: []string{d.bob}})
		if err != nil {
			t.Fatal(err)
		}
		if m, ok := d.Message(track(t, ref)); !ok || m.Card != track(t, ref) {
			t.Errorf("%s: %+v, %v", name, m, ok)
		}
		if _, err := d.a.Post(t.Context(), to(d), "once", cards.Card{Title: "z"}); err != nil || d.Calls("card/instances/deliver") != 2 {
			t.Errorf("%s: %v after %d deliveries", name, err, d.Calls("card/instances/deliver"))
		}
	}
}

func TestPeopleWhoCannotBeReached(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	text := newDesk(t, dingtalktest.Options{}, markdownOnly)
	for _, one := range []*desk{d, text} {
		gone := one.AddUser(dingtalktest.User{Name: "离职", Left: true})
		slow := one.AddUser(dingtalktest.User{Name: "限流", Throttled: true})
		if _, err := one.a.Post(t.Context(), bot.Private(one.a.user(gone)), "1", cards.Card{Title: "x"}); !errors.Is(err, bot.ErrGone) {
			t.Errorf("left: %v", err)
		}
		var limited bot.RateLimited
		if _, err := one.a.Post(t.Context(), bot.Private(one.a.user(slow)), "2", cards.Card{Title: "x"}); !errors.As(err, &limited) || limited.All || limited.After <= 0 {
			t.Errorf("throttled: %v", err)
		}
		if _, err := one.a.Post(t.Context(), bot.Private(one.a.user("$:LWCP_v1:$x")), "3", cards.Card{Title: "x"}); !errors.Is(err, bot.ErrMustSpeak) {
			t.Errorf("outsider: %v", err)
		}
		for _, bad := range []bot.Dest{{}, {Conv: "C123"}, {User: "a b"}, {User: "@ALL"}, {Conv: "cid 1"}} {
			if _, err := one.a.Post(t.Context(), bad, "4", cards.Card{Title: "x"}); !errors.Is(err, bot.ErrRejected) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	}
}

func TestMentionsOfACard(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	ref, err := d.a.Post(t.Context(), d.to(), "once", cards.Card{Title: "x", Ping: []string{d.bob, d.bob, "@ALL", "all people", "", "<!here>", "$:LWCP_v1:$x"}})
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := d.Message(track(t, ref)); !ok || m.AtAll || len(m.At) != 1 || m.At[0] != d.bob {
		t.Errorf("%+v", m)
	}
}

// TestAnswersGoThroughTheSession: while a conversation can be answered, nothing
// is paid, and people can be mentioned.
func TestAnswersGoThroughTheSession(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, markdownOnly)
	streaming(t, d.a, shelving(t, d))
	d.open(t, 2)
	if _, a := d.Mention(d.ann, d.help, "", "hi"); !a[0].OK() {
		t.Fatalf("%+v", a)
	}
	c := cards.Card{Title: "已建单", Body: "@所有人 看 [这里](https://evil.example)", Ping: []string{d.bob}}
	ref, err := d.a.Post(t.Context(), d.to(), "1", c)
	if err != nil || !strings.HasPrefix(string(ref), "sent/") {
		t.Fatal(ref, err)
	}
	last := d.Messages(d.help)[len(d.Messages(d.help))-1]
	if !last.Webhook || last.AtAll || len(last.At) != 1 || last.At[0] != d.bob || !strings.Contains(last.Text, "@"+d.bob) || strings.Contains(last.Text, "@所有人") {
		t.Errorf("%+v", last)
	}
	if paid, _ := d.Paid(); paid != 0 {
		t.Errorf("%d calls paid", paid)
	}
	if _, err := d.a.Update(t.Context(), ref, c); !errors.Is(err, bot.ErrFixed) {
		t.Error(err)
	}
	if err := d.a.Delete(t.Context(), ref); !errors.Is(err, bot.ErrFixed) {
		t.Error(err)
	}
	// A private chat has a session of its own.
	if _, a := d.Say(d.ann, d.Private(d.ann), "", "hi"); !a[0].OK() {
		t.Fatalf("%+v", a)
	}
	if _, err := d.a.Post(t.Context(), bot.Private(d.a.user(d.ann)), "2", c); err != nil || d.Calls("robot/oToMessages/batchSend") > 0 {
		t.Error(err)
	}
	// Its time is over: the robot writes of its own accord.
	d.clock.advance(2 * time.Hour)
	if ref, err = d.a.Post(t.Context(), d.to(), "3", c); err != nil || !strings.HasPrefix(string(ref), "text/") || d.Calls("robot/groupMessages/send") != 1 {
		t.Error(ref, err)
	}
	if last := d.Messages(d.help)[len(d.Messages(d.help))-1]; last.Webhook || len(last.At) > 0 || strings.Contains(last.Text, "@") {
		t.Errorf("%+v", last)
	}
}

// shelving is a sink that keeps what Decode says is to be kept, as the program does.
func shelving(t *testing.T, d *desk) sink {
	return func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error {
		in, err := d.a.Decode(r, r.Body)
		if err != nil {
			t.Error(err)
		}
		for _, k := range in.Keep {
			if err := d.shelf.Put(ctx, k.Key, k.Value, k.For); err != nil {
				t.Error(err)
			}
		}
		d.a.Reply(w, in, bot.Reply{})
		return nil
	}
}

// TestRefusedSessionIsForgotten: it has ended early.
func TestRefusedSessionIsForgotten(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, markdownOnly)
	key := "session/" + d.help
	if err := d.shelf.Put(t.Context(), key, d.OAPIURL()+"/robot/sendBySession?session=unknown", time.Hour); err != nil {
		t.Fatal(err)
	}
	ref, err := d.a.Post(t.Context(), d.to(), "1", cards.Card{Title: "x"})
	if err != nil || !strings.HasPrefix(string(ref), "text/") {
		t.Fatal(ref, err)
	}
	if v, err := d.shelf.Get(t.Context(), key); err != nil || v != "" {
		t.Errorf("still there: %q, %v", v, err)
	}
	// A lost answer may have been done: it is not said a second time.
	if err := d.shelf.Put(t.Context(), key, d.OAPIURL()+"/robot/sendBySession?session=unknown", time.Hour); err != nil {
		t.Fatal(err)
	}
	d.Fail(dingtalktest.Fault{Kind: dingtalktest.CutAfter, Method: "robot/sendBySession"})
	if _, err := d.a.Post(t.Context(), d.to(), "2", cards.Card{Title: "x"}); !errors.Is(err, bot.ErrUnknown) {
		t.Error(err)
	}
	if strings.Contains(fmt.Sprint(err), "session=") {
		t.Error("the error tells the address")
	}
}

func TestOutsidersAreAnswered(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	streaming(t, d.a, shelving(t, d))
	d.open(t, 2)
	guest := d.AddUser(dingtalktest.User{Name: "外人", External: true})
	if _, a := d.Say(guest, d.Private(guest), "", "hi"); !a[0].OK() {
		t.Fatalf("%+v", a)
	}
	id := "$:LWCP_v1:$" + guest
	ref, err := d.a.Post(t.Context(), bot.Private(d.a.user(id)), "1", cards.Card{Title: "您好"})
	if err != nil || !strings.HasPrefix(string(ref), "sent/@") {
		t.Fatal(ref, err)
	}
	if u, err := d.a.FindUser(t.Context(), d.a.user(id)); err != nil || !u.Guest {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestDelete(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, markdownOnly)
	for _, to := range []bot.Dest{d.to(), bot.Private(d.a.user(d.ann))} {
		ref, err := d.a.Post(t.Context(), to, "1", cards.Card{Title: "x"})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // gone already counts as done
			if err := d.a.Delete(t.Context(), ref); err != nil {
				t.Error(err)
			}
		}
		if _, ok := d.Message(track(t, ref)); ok {
			t.Error("it is still there")
		}
	}
	if err := d.a.Delete(t.Context(), "said/cid1/msg1"); !errors.Is(err, bot.ErrFixed) {
		t.Error(err)
	}
}

func TestFindUser(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	u, err := d.a.FindUser(t.Context(), d.a.user(d.ann))
	if err != nil || u.Name != "李安" || u.Phone != "+8613800000001" || u.Email != "ann@example.com" || u.Ref.ID != d.ann || u.Guest {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := d.a.FindUser(t.Context(), d.a.user(d.ann)); err != nil || d.Calls("topapi/v2/user/get") != 1 {
		t.Errorf("asked %d times, %v", d.Calls("topapi/v2/user/get"), err)
	}
	if _, err := d.a.FindUser(t.Context(), d.a.user("nobody")); !errors.Is(err, bot.ErrGone) {
		t.Error(err)
	}
	if _, err := d.a.FindUser(t.Context(), d.a.user("a b")); !errors.Is(err, bot.ErrRejected) {
		t.Error(err)
	}
	if paid, _ := d.Paid(); paid != 0 {
		t.Errorf("%d calls paid", paid)
	}
	for _, c := range [][3]string{{"86", "13800000001", "+8613800000001"}, {"", "13800000001", "+8613800000001"}, {"1", "415-555 0100", "+14155550100"}, {"", "+85261234567", "+85261234567"}, {"86", "138****0001", ""}, {"", "12345", ""}, {"", "", ""}} {
		if got := phone(c[0], c[1]); got != c[2] {
			t.Errorf("phone(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// TestTokenIsReplacedOnce: both APIs say in their own way that it is not taken.
func TestTokenIsReplacedOnce(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	if _, err := d.a.FindUser(t.Context(), d.a.user(d.ann)); err != nil {
		t.Fatal(err)
	}
	d.ExpireToken()
	if _, err := d.a.FindUser(t.Context(), d.a.user(d.bob)); err != nil {
		t.Error("old API:", err)
	}
	d.ExpireToken()
	if _, err := d.a.Post(t.Context(), d.to(), "1", cards.Card{Title: "x"}); err != nil {
		t.Error("new API:", err)
	}
	if n := d.Calls("oauth2/accessToken"); n != 3 {
		t.Errorf("%d tokens", n)
	}
	d.clock.advance(3 * time.Hour) // its time is over, and we know
	if _, err := d.a.Post(t.Context(), d.to(), "2", cards.Card{Title: "x"}); err != nil || d.Calls("oauth2/accessToken") != 4 {
		t.Error(err, d.Calls("oauth2/accessToken"))
	}
	d.Fail(dingtalktest.Fault{Kind: dingtalktest.Refused, Method: "card/instances/createAndDeliver", Code: "InvalidAuthentication", Times: -1})
	before := d.Calls("card/instances/createAndDeliver")
	if _, err := d.a.Post(t.Context(), d.to(), "3", cards.Card{Title: "x"}); !errors.Is(err, bot.ErrUnauthorized) || d.Calls("card/instances/createAndDeliver") != before+2 {
		t.Error(err, d.Calls("card/instances/createAndDeliver")-before)
	}
}

func TestQuotaIsCounted(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, func(c *Config) { c.Quota = 10 })
	post := func(n int) error {
		_, err := d.a.Post(t.Context(), d.to(), fmt.Sprint(n), cards.Card{Title: "x"})
		return err
	}
	for i := range 7 {
		if err := post(i); err != nil {
			t.Fatal(err)
		}
	}
	paid, _ := d.Paid()
	if used, limit := d.a.Used(t.Context()); used != int64(paid) || used != 7 || limit != 10 || len(d.alarms) > 0 {
		t.Errorf("%d of %d used, %d paid, %d alarms", used, limit, paid, len(d.alarms))
	}
	d.Fail(dingtalktest.Fault{Kind: dingtalktest.Limited}) // what is throttled is not paid
	if err := post(7); err == nil {
		t.Error("not throttled")
	}
	for i := range 2 {
		if err := post(8 + i); err != nil {
			t.Fatal(err)
		}
	}
	if al := <-d.alarms; al.What != cards.AlarmQuota || al.Args["used"] != "8" || al.Args["limit"] != "10" || !strings.Contains(al.Once, d.clock.now().Format("2006")) || len(d.alarms) > 0 {
		t.Errorf("%+v, and %d more", al, len(d.alarms))
	}
	// Nothing more is taken: everything waits, and the admins hear of it.
	d.SetQuota(1, 0)
	var limited bot.RateLimited
	if err := post(20); !errors.As(err, &limited) || !limited.All || limited.After != time.Hour {
		t.Error(err)
	}
	if al := <-d.alarms; al.What != cards.AlarmQuota || !strings.Contains(al.Once, "over") {
		t.Errorf("%+v", al)
	}
	// Another month begins at Beijing's midnight.
	d.clock.advance(32 * 24 * time.Hour)
	d.SetQuota(0, 0)
	if err := post(21); err != nil {
		t.Fatal(err)
	}
	if used, _ := d.a.Used(t.Context()); used != 1 {
		t.Errorf("%d used in a new month", used)
	}
	// A shelf that fails stops no message.
	d.shelf.breaks(errors.New("database is down"))
	if err := post(22); err != nil {
		t.Error(err)
	}
}

func TestUrge(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	ref, err := d.a.Post(t.Context(), d.to(), "1", cards.Card{Title: "#7 VPN", Alt: "#7 VPN 超时"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.a.Urge(t.Context(), ref, []string{d.bob, d.bob, "a b"}); err != nil {
		t.Fatal(err)
	}
	if dings := d.Dings(); len(dings) != 1 || dings[0].Remind != 1 || len(dings[0].To) != 1 || dings[0].To[0] != d.bob || dings[0].Content != "#7 VPN 超时" {
		t.Errorf("%+v", dings)
	}
	if err := d.another(t).Urge(t.Context(), ref, []string{d.ann}); err != nil || len(d.Dings()) != 2 { // in a process that did not post it
		t.Error(err)
	}
	if err := d.a.Urge(t.Context(), ref, nil); err != nil || len(d.Dings()) != 2 {
		t.Error(err)
	}
	poor := newDesk(t, dingtalktest.Options{Permissions: []string{"qyapi_robot_sendmsg", "Card.Instance.Write", "qyapi_get_member"}}, nil)
	if err := poor.a.Urge(t.Context(), ref, []string{poor.bob}); err != nil {
		t.Error("a missing permission is an error:", err)
	}
}

func TestFiles(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	got := make(chan bot.Event, 1)
	streaming(t, d.a, handled(d.a, keep(got)))
	d.open(t, 2)
	id := d.AddFile(dingtalktest.File{Name: "日志.zip", Content: []byte("some log")})
	if _, a := d.Say(d.ann, d.Private(d.ann), "", "", id); !a[0].OK() {
		t.Fatalf("%+v", a)
	}
	e := <-got
	if len(e.Files) != 1 || e.Files[0].Name != "日志.zip" {
		t.Fatalf("%+v", e)
	}
	r, err := d.a.Fetch(t.Context(), e.Files[0])
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || string(content) != "some log" {
		t.Errorf("%q, %v", content, err)
	}
	if c := d.Complaints(); len(c) > 0 { // the token goes to the API only
		t.Errorf("%q", c)
	}
	d.clock.advance(48 * time.Hour)
	if _, err := d.a.Fetch(t.Context(), e.Files[0]); !errors.Is(err, bot.ErrGone) {
		t.Error("a code that has run out:", err)
	}
	for name, want := range map[string]string{"report.xlsx": "report.xlsx", "tickets.csv": "tickets.csv.zip", "a/b.pdf": "a_b.pdf"} {
		ref, err := d.a.SendFile(t.Context(), d.to(), "once", name, 5, strings.NewReader("12345"))
		if err != nil || ref == "" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		files := d.Files(d.help)
		if last := files[len(files)-1]; last.Name != want || want == name && !bytes.Equal(last.Content, []byte("12345")) {
			t.Errorf("%s became %+v", name, last)
		}
	}
	if _, err := d.a.SendFile(t.Context(), bot.Private(d.a.user(d.ann)), "once", "x.pdf", 3, strings.NewReader("abc")); err != nil {
		t.Error(err)
	}
	for _, size := range []int64{0, -1, maxFile + 1} {
		if _, err := d.a.SendFile(t.Context(), d.to(), "once", "x.pdf", size, strings.NewReader("abc")); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, err := d.a.Fetch(t.Context(), bot.File{ID: "x"}); !errors.Is(err, bot.ErrRejected) {
		t.Error(err)
	}
}

// TestCountAgrees: we count what DingTalk counts.
func TestCountAgrees(t *testing.T) {
	for name, change := range map[string]func(*Config){"template": nil, "text": markdownOnly} {
		d := newDesk(t, dingtalktest.Options{}, change)
		ref, err := d.a.Post(t.Context(), d.to(), "1", cards.Card{Title: "x", Ping: []string{d.bob}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.a.Update(t.Context(), ref, cards.Card{Title: "y"}); err != nil && !errors.Is(err, bot.ErrFixed) {
			t.Error(err)
		}
		if err := d.a.Delete(t.Context(), ref); err != nil && !errors.Is(err, bot.ErrFixed) {
			t.Error(err)
		}
		if err := d.a.Urge(t.Context(), ref, []string{d.ann}); err != nil {
			t.Error(err)
		}
		if _, err := d.a.SendFile(t.Context(), d.to(), "2", "x.pdf", 3, strings.NewReader("abc")); err != nil {
			t.Error(err)
		}
		d.ExpireToken()
		d.a.Check(t.Context())
		d.ChangeGroup(d.help, func(g *dingtalktest.Group) { g.Disbanded = true })
		if _, err := d.a.Post(t.Context(), d.to(), "3", cards.Card{Title: "x"}); err == nil { // a refusal counts as well
			t.Error("posted nowhere")
		}
		paid, _ := d.Paid()
		if used, _ := d.a.Used(t.Context()); int64(paid) != used || used < 5 {
			t.Errorf("%s: %d counted, %d paid", name, used, paid)
		}
	}
}

func TestOverHTTP(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, overHTTP)
	got := make(chan bot.Event, 10)
	claimed := cards.Card{Title: "claimed"}
	hook := d.serve(t, func(e bot.Event) bot.Reply {
		got <- e
		return bot.Reply{Card: &claimed}
	})
	d.Deliver(hook)
	if a := d.CheckURL(); !a.OK() {
		t.Errorf("%+v", a)
	}
	if _, a := d.Mention(d.ann, d.help, "", "hi"); !a[0].OK() {
		t.Errorf("%+v", a)
	}
	if e := <-got; e.Text != "hi" {
		t.Errorf("%+v", e)
	}
	ref, err := d.a.Post(t.Context(), d.to(), "1", cards.Card{Title: "x", Actions: []cards.Action{{Label: "Claim", Token: "t"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a := d.Press(d.ann, track(t, ref), "Claim"); !a.OK() {
		t.Errorf("%+v", a)
	}
	if e := <-got; e.Kind != bot.Click || e.Message != ref {
		t.Errorf("%+v", e)
	}
	if drawn, err := d.Draw(d.ann, track(t, ref)); err != nil || drawn.Title != "claimed" {
		t.Errorf("%+v, %v", drawn, err)
	}
	if a := d.Event("user_modify_org", map[string]any{"UserId": []string{d.ann}, "TimeStamp": "1700000000000"}); !a.OK() {
		t.Errorf("%+v", a)
	}
	if e := <-got; e.Kind != bot.Renamed {
		t.Errorf("%+v", e)
	}
	if a := d.Event("label_user_change", map[string]any{}); !a.OK() { // of no interest, and answered all the same
		t.Errorf("%+v", a)
	}
	for _, r := range []dingtalktest.Request{d.RobotRequest([]byte(said(nil)), d.clock.now()), d.CardRequest("paidan-default", []byte(pressed(nil, pressAction, nil)), d.clock.now())} {
		if a := d.Server.Post("forged", r.Forged()); a.Status != http.StatusUnauthorized {
			t.Errorf("%+v", a)
		}
	}
}

func TestPrepareRegistersTheCallback(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, func(c *Config) { overHTTP(c); c.CardCallbackURL = "http://127.0.0.1:9/hooks/dingtalk/default/cards" })
	for range 2 {
		if err := d.a.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.Calls("card/callbacks/register"); n != 2 {
		t.Errorf("registered %d times", n)
	}
	stream := newDesk(t, dingtalktest.Options{}, nil)
	if err := stream.a.Prepare(t.Context()); err != nil || stream.Calls("card/callbacks/register") != 0 {
		t.Error(err)
	}
	stream.Revoke(true)
	if err := stream.another(t).Prepare(t.Context()); !errors.Is(err, bot.ErrUnauthorized) {
		t.Error(err)
	}
}

// TestCheck: each fault is named with the place where it is mended.
func TestCheck(t *testing.T) {
	find := func(t *testing.T, d *desk, what string) bot.Finding {
		t.Helper()
		for _, f := range d.a.Check(t.Context()) {
			if strings.HasSuffix(f.What, " "+what) {
				return f
			}
			if strings.Contains(f.Says, dingtalktest.ClientSecret) {
				t.Errorf("%s tells the secret", f.What)
			}
		}
		t.Fatalf("nothing is said about %s", what)
		return bot.Finding{}
	}
	without := func(p string) dingtalktest.Options {
		var o dingtalktest.Options
		for _, have := range dingtalktest.Permissions {
			if have != p {
				o.Permissions = append(o.Permissions, have)
			}
		}
		return o
	}
	good := newDesk(t, dingtalktest.Options{}, nil)
	findings := good.a.Check(t.Context())
	if len(findings) < 7 {
		t.Errorf("%d findings", len(findings))
	}
	for _, f := range findings {
		if !f.OK {
			t.Errorf("%s: %s", f.What, f.Says)
		}
	}
	if len(good.Messages(good.help)) > 0 || len(good.Messages(good.Private(good.ann))) > 0 {
		t.Error("the check-up wrote to somebody")
	}
	for what, c := range map[string]struct {
		o     dingtalktest.Options
		conf  func(*Config)
		after func(*desk)
		says  string
		warn  bool
	}{
		"credentials": {after: func(d *desk) { d.Revoke(true) }, says: "Client Secret"},
		"robot":       {o: without("qyapi_robot_sendmsg"), says: "权限管理: apply for qyapi_robot_sendmsg"},
		"cards":       {o: without("Card.Instance.Write"), says: "apply for Card.Instance.Write"},
		"people":      {o: without("qyapi_get_member"), says: "apply for qyapi_get_member"},
		"ding":        {o: without("Premium.Ding.Write"), says: "apply for Premium.Ding.Write", warn: true},
		"template":    {conf: func(c *Config) { c.CardTemplateID = "00000000-0000-0000-0000-000000000000.schema" }, says: "publish the template"},
		"quota":       {conf: func(c *Config) { c.Quota = 5 }, says: "资源管理", warn: true},
		"events": {after: func(d *desk) {
			d.Fail(dingtalktest.Fault{Kind: dingtalktest.Refused, Method: "gateway/connections/open", Code: "authFailed", Times: -1})
		}, says: "消息接收模式"},
	} {
		d := newDesk(t, c.o, c.conf)
		if c.after != nil {
			c.after(d)
		}
		if f := find(t, d, what); f.OK || f.Warn != c.warn || !strings.Contains(f.Says, c.says) {
			t.Errorf("%s: %+v, want %q in it", what, f, c.says)
		}
	}
	if f := find(t, newDesk(t, dingtalktest.Options{}, func(c *Config) { c.RobotCode = "dingother123" }), "robot"); f.OK || !strings.Contains(f.Says, "RobotCode") {
		t.Errorf("%+v", f)
	}
	ip := newDesk(t, dingtalktest.Options{}, nil)
	ip.Fail(dingtalktest.Fault{Kind: dingtalktest.Refused, Method: "robot/oToMessages/batchSend", Code: "Forbidden.AccessDenied.IpNotInWhiteList", Status: 403})
	if f := find(t, ip, "robot"); f.OK || !strings.Contains(f.Says, "服务器出口 IP") {
		t.Errorf("%+v", f)
	}
	if f := find(t, newDesk(t, dingtalktest.Options{}, markdownOnly), "template"); f.OK || !f.Warn {
		t.Errorf("%+v", f)
	}
	if f := find(t, newDesk(t, dingtalktest.Options{}, overHTTP), "events"); !f.OK || !strings.Contains(f.Says, "/hooks/dingtalk/default/events") {
		t.Errorf("%+v", f)
	}
}

// TestPaceKeepsBelowTheLimit: DingTalk allows 20 calls a second and API.
func TestPaceKeepsBelowTheLimit(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{QPS: dingtalktest.StandardQPS, Now: time.Now}, nil)
	d.a.pace.second = callsASecond
	done := make(chan error)
	const n = 30
	for i := range n {
		go func() {
			_, err := d.a.Post(t.Context(), d.to(), fmt.Sprint(i), cards.Card{Title: "x"})
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := d.Calls("oauth2/accessToken"); n != 1 {
		t.Errorf("%d tokens", n)
	}
	// Who cannot wait is told to come again.
	d.a.pace.apis["card/instances/createAndDeliver"].ReserveN(time.Now(), callsASecond/3)
	d.a.pace.apis["card/instances/createAndDeliver"].ReserveN(time.Now(), callsASecond/3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := d.a.Post(ctx, d.to(), "late", cards.Card{Title: "x"}); err == nil || errors.Is(err, bot.ErrUnknown) {
		t.Error(err)
	}
}

func TestInline(t *testing.T) {
	with, without := testAdapter(t, testConfig()), newDesk(t, dingtalktest.Options{}, markdownOnly).a
	if in := with.Inline(bot.Event{Kind: bot.Click}); !in.Card || in.Hint || in.Form || in.Toast {
		t.Errorf("%+v", in)
	}
	if with.Inline(bot.Event{Kind: bot.Message}).Card || without.Inline(bot.Event{Kind: bot.Click}).Card {
		t.Error("a card where none can be")
	}
	if c := with.Caps(); c.Numbered || !c.Edits || !c.Menus || c.Forms || c.Threads {
		t.Errorf("%+v", c)
	}
	if c := without.Caps(); !c.Numbered || c.Edits || c.Menus || c.Forms {
		t.Errorf("%+v", c)
	}
}

func TestConvName(t *testing.T) {
	d := newDesk(t, dingtalktest.Options{}, nil)
	if name, err := d.a.ConvName(t.Context(), d.a.conv(d.help)); err == nil {
		t.Errorf("%q, before anybody spoke", name)
	}
	streaming(t, d.a, shelving(t, d))
	d.open(t, 2)
	if _, a := d.Mention(d.ann, d.help, "", "hi"); !a[0].OK() {
		t.Fatalf("%+v", a)
	}
	if name, err := d.another(t).ConvName(t.Context(), d.a.conv(d.help)); err != nil || name != "服务台" {
		t.Errorf("%q, %v", name, err)
	}
	if name, err := d.a.ConvName(t.Context(), d.a.conv("@"+d.ann)); err != nil || name != "@李安" {
		t.Errorf("%q, %v", name, err)
	}
}
