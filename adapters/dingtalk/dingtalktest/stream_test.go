package dingtalktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// dial tries a ticket and returns the status of the answer.
func (d *desk) dial(endpoint, ticket string) int {
	d.t.Helper()
	ws, resp, err := websocket.DefaultDialer.DialContext(d.t.Context(), endpoint+"?ticket="+ticket, nil)
	if resp == nil {
		d.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		d.t.Fatal(err)
	}
	if ws != nil {
		if err := ws.Close(); err != nil {
			d.t.Fatal(err)
		}
	}
	return resp.StatusCode
}

func TestTicketsServeOnceForNinetySeconds(t *testing.T) {
	c := newClock()
	d := newDesk(t, Options{Now: c.now})
	endpoint, first := d.ticket()
	_, second := d.ticket()
	for i, c := range []struct{ got, want int }{
		{d.dial(endpoint, first), 101}, {d.dial(endpoint, first), 401}, {d.dial(endpoint, "x"), 401}, {d.dial(endpoint, ""), 401},
	} {
		if c.got != c.want {
			t.Errorf("%d: %d, want %d", i, c.got, c.want)
		}
	}
	c.at = c.at.Add(91 * time.Second)
	if got := d.dial(endpoint, second); got != 401 {
		t.Errorf("after 91 s: %d", got)
	}
}

func TestWhoDoesNotAcceptJSONGetsXML(t *testing.T) {
	d := newDesk(t, Options{})
	body := `{"clientId":"` + ClientID + `","clientSecret":"` + ClientSecret + `","subscriptions":[{"type":"EVENT","topic":"*"}]}`
	resp, err := d.client.Post(d.APIURL()+"/v1.0/gateway/connections/open", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || !strings.HasPrefix(string(b), "<") {
		t.Errorf("%s %v", b, err)
	}
}

func TestAcknowledgementsAreChecked(t *testing.T) {
	d := newDesk(t, Options{Deadline: 100 * time.Millisecond, CardDeadline: 100 * time.Millisecond})
	a := d.connect(nil)
	d.post("t1", object{"title": "x", "actions": claim})
	for _, c := range []struct {
		name  string
		code  int
		data  string
		quiet bool
		do    func() Answer
		ok    bool
	}{
		{"press, taken", 200, `{"response":{}}`, false, func() Answer { return d.Press(d.ann, "t1", "接单") }, true},
		{"press, null", 200, `{"response":null}`, false, func() Answer { return d.Press(d.ann, "t1", "接单") }, true},
		{"press, no JSON", 200, ``, false, func() Answer { return d.Press(d.ann, "t1", "接单") }, false},
		{"press, too long", 200, `{"response":{"cardData":{"cardParamMap":{"note":"` + strings.Repeat("x", 1025) + `"}}}}`, false, func() Answer { return d.Press(d.ann, "t1", "接单") }, false},
		{"press, no string", 200, `{"response":{"cardData":{"cardParamMap":{"note":1}}}}`, false, func() Answer { return d.Press(d.ann, "t1", "接单") }, false},
		{"press, refused", 500, `{}`, false, func() Answer { return d.Press(d.ann, "t1", "接单") }, false},
		{"press, silence", 0, ``, true, func() Answer { return d.Press(d.ann, "t1", "接单") }, false},
		{"message, taken", 200, ``, false, func() Answer { _, a := d.Mention(d.ann, d.help, "", "x"); return a[0] }, true},
		{"message, no object", 200, `7`, false, func() Answer { _, a := d.Mention(d.ann, d.help, "", "x"); return a[0] }, false},
		{"message, unknown", 404, ``, false, func() Answer { _, a := d.Mention(d.ann, d.help, "", "x"); return a[0] }, false},
		{"ping, echoed otherwise", 200, `{"opaque":"x"}`, false, d.Ping, false},
		{"event, no status", 200, `{}`, false, func() Answer { return d.Event("user_add_org", object{}) }, false},
	} {
		a.reply(func(frame) (int, string, bool) { return c.code, c.data, c.quiet })
		if a := c.do(); a.OK() != c.ok {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
	a.reply(func(f frame) (int, string, bool) { return 200, f.Data, false })
	if a := d.Ping(); !a.OK() {
		t.Errorf("%+v", a)
	}
	if got := d.Complaints(); len(got) != 0 {
		t.Error(got)
	}
	if public, _, _ := d.Card("t1"); public["note"] != "" {
		t.Errorf("a refused answer was shown: %v", public)
	}
}

func TestForeignAndUnreadableAcknowledgementsAreComplainedOf(t *testing.T) {
	d := newDesk(t, Options{})
	a := d.connect(nil)
	for _, text := range []string{`{"code":200,"headers":{"messageId":"m404"},"data":""}`, `{"code":200,"headers":{"messageId":1}}`} {
		if err := a.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if a := d.Ping(); !a.OK() { // it comes after the others
		t.Errorf("%+v", a)
	}
	if got := d.Complaints(); len(got) != 2 {
		t.Error(got)
	}
}

func TestEventsAreRepeatedAndMessagesAreNot(t *testing.T) {
	var waits []int
	d := newDesk(t, Options{Wait: func(n int) { waits = append(waits, n) }})
	later := 2
	a := d.connect(func(f frame) (int, string, bool) {
		if f.Type != "EVENT" {
			return 500, "", false
		}
		if later--; later >= 0 {
			return 200, `{"status":"LATER","message":"x"}`, false
		}
		return 200, `{"status":"SUCCESS"}`, false
	})
	if got := d.Event("user_add_org", object{"userId": []string{d.ann}}); !got.OK() || got.Attempts != 3 || fmt.Sprint(waits) != "[1 2]" {
		t.Errorf("%+v %v", got, waits)
	}
	frames := a.seen()
	if len(frames) != 3 || frames[0].Headers["eventId"] != frames[2].Headers["eventId"] || frames[0].Headers["messageId"] == frames[2].Headers["messageId"] || frames[0].Headers["eventType"] != "user_add_org" {
		t.Errorf("%+v", frames)
	}
	if _, got := d.Mention(d.ann, d.help, "", "x"); got[0].OK() || got[0].Attempts != 1 || len(a.seen()) != 4 {
		t.Errorf("%+v", got)
	}
	d.Drop(2)
	if _, got := d.Mention(d.ann, d.help, "", "x"); got[0].Err != errDropped || len(a.seen()) != 4 {
		t.Errorf("%+v", got)
	}
	if got := d.Event("user_add_org", object{}); !got.OK() || got.Attempts != 2 {
		t.Errorf("%+v", got)
	}
}

func TestDoubledAndReorderedMessages(t *testing.T) {
	d := newDesk(t, Options{})
	a := d.connect(nil)
	d.Double(1)
	d.Mention(d.ann, d.help, "", "x")
	frames := a.seen()
	if len(frames) != 2 || frames[0].Data != frames[1].Data {
		t.Errorf("%+v", frames)
	}
	d.Hold(3)
	for _, text := range []string{"第1句", "第2句", "第3句"} {
		d.Mention(d.ann, d.help, "", text)
	}
	var order string
	for _, f := range a.seen()[2:] {
		for _, text := range []string{"第1句", "第2句", "第3句"} {
			if strings.Contains(f.Data, text) {
				order += text
			}
		}
	}
	if order != "第3句第2句第1句" {
		t.Error(order)
	}
}

func TestFramesGoToOneConnectionAtRandom(t *testing.T) {
	d := newDesk(t, Options{})
	one, two := d.connect(nil), d.connect(nil)
	if err := d.WaitConnection(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for range 64 {
		if _, got := d.Mention(d.ann, d.help, "", "x"); !got[0].OK() {
			t.Fatalf("%+v", got)
		}
	}
	n, m := len(one.seen()), len(two.seen())
	if n+m != 64 || n == 0 || m == 0 {
		t.Errorf("%d and %d", n, m)
	}
}

func TestAnnouncedEndOfAConnection(t *testing.T) {
	over := make(chan time.Time)
	var asked time.Duration
	d := newDesk(t, Options{After: func(after time.Duration) <-chan time.Time { asked = after; return over }})
	old := d.connect(nil)
	if err := d.Disconnect("connection is expired"); err != nil {
		t.Fatal(err)
	}
	if _, got := d.Mention(d.ann, d.help, "", "x"); got[0].Err != errNoConnection {
		t.Errorf("sent over a connection that is leaving: %+v", got)
	}
	d.connect(nil)
	if _, got := d.Mention(d.ann, d.help, "", "x"); !got[0].OK() {
		t.Errorf("%+v", got)
	}
	if d.Connections() != 2 || asked != 10*time.Second {
		t.Errorf("%d connections, %s", d.Connections(), asked)
	}
	close(over)
	<-old.done
	if frames := old.seen(); len(frames) != 1 || frames[0].topic() != "disconnect" {
		t.Errorf("%+v", frames)
	}
	if d.Opened() != 2 {
		t.Errorf("%d connections so far", d.Opened())
	}
	last := d.connect(nil)
	d.CutFirst(2)
	if d.Connections() != 1 {
		t.Errorf("%d connections are left", d.Connections())
	}
	d.Cut()
	<-last.done
	if d.Connections() != 0 || d.WaitOpened(t.Context(), 3) != nil {
		t.Error("connections are left")
	}
}

func TestVariantsOfFrames(t *testing.T) {
	d := newDesk(t, Options{})
	a := d.connect(nil)
	d.Vary(Variant{NumericTime: true, EventTopic: "dingTalk"})
	if got := d.Event("user_leave_org", object{}); !got.OK() {
		t.Errorf("%+v", got)
	}
	if f := a.seen()[0]; f.topic() != "dingTalk" {
		t.Errorf("%+v", f)
	} else if _, numeric := f.Headers["time"].(float64); !numeric {
		t.Errorf("%+v", f)
	}
	d.Vary(Variant{})
	d.Event("user_leave_org", object{})
	if _, text := a.seen()[1].Headers["time"].(string); !text {
		t.Errorf("%+v", a.seen()[1])
	}
}

func TestPingsAreSwallowed(t *testing.T) {
	d := newDesk(t, Options{})
	a := d.connect(nil)
	pongs := make(chan string, 3)
	a.ws.SetPongHandler(func(data string) error { pongs <- data; return nil })
	ping := func(data string) {
		if err := a.ws.WriteControl(websocket.PingMessage, []byte(data), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := d.Ping(); !got.OK() { // the connection has worked off the other by then
			t.Fatalf("%+v", got)
		}
	}
	d.SwallowPings()
	ping("one")
	d.Heal()
	ping("two")
	ping("three")
	if got := <-pongs; got != "two" {
		t.Errorf("pong %q", got)
	}
}

func TestABurstOfThreeThousandFrames(t *testing.T) {
	d := newDesk(t, Options{Deadline: 20 * time.Second})
	a := d.connect(nil)
	texts := make([]string, 3000)
	for i := range texts {
		texts[i] = fmt.Sprintf("@%s %d", RobotName, i)
	}
	ids := map[string]bool{}
	for i, got := range d.SayMany(d.ann, d.help, texts) {
		if !got.OK() {
			t.Fatalf("%d: %+v", i, got)
		}
	}
	for _, f := range a.seen() {
		var m struct{ MsgID string }
		if err := json.Unmarshal([]byte(f.Data), &m); err != nil {
			t.Fatal(err)
		}
		ids[m.MsgID] = true
	}
	if len(ids) != 3000 {
		t.Errorf("%d messages", len(ids))
	}
}

func TestQuotesAreTold(t *testing.T) {
	d := newDesk(t, Options{})
	a := d.connect(nil)
	d.post("t1", object{"title": "x"})
	card := d.Cards(d.help)[0]
	first, _ := d.Mention(d.bob, d.help, "", "坏了")
	d.Mention(d.ann, d.help, card.Ref(), "接单")
	d.Mention(d.ann, d.help, first, "哪里坏了")
	type told struct {
		OriginalMsgID, OriginalProcessQueryKey string
		Text                                   struct {
			IsReplyMsg bool
			RepliedMsg struct {
				MsgType, MsgID, SenderID string
				Content                  *struct{ Text string }
			}
		}
	}
	var got [2]told
	for i, f := range a.seen()[1:] {
		if err := json.Unmarshal([]byte(f.Data), &got[i]); err != nil {
			t.Fatal(err)
		}
	}
	if c := got[0]; c.OriginalProcessQueryKey != card.Key || !c.Text.IsReplyMsg || c.Text.RepliedMsg.MsgType != "interactiveCard" || c.Text.RepliedMsg.Content != nil {
		t.Errorf("%+v", c)
	}
	if m := got[1]; m.OriginalProcessQueryKey != "" || m.Text.RepliedMsg.Content == nil || !strings.Contains(m.Text.RepliedMsg.Content.Text, "坏了") || first != d.help+"/"+m.OriginalMsgID {
		t.Errorf("%+v", m)
	}
	if _, answers := d.Mention(d.ann, d.help, "nothing", "x"); answers[0].Err == nil {
		t.Error("answered what is not there")
	}
}

func TestWhatTheRobotIsNotTold(t *testing.T) {
	d := newDesk(t, Options{Unpublished: true, Pushes: 1})
	a := d.connect(nil)
	d.Mention(d.ann, d.help, "", "一")
	d.Mention(d.ann, d.help, "", "二")
	away := d.AddGroup("别处", true, d.ann)
	if _, answers := d.Mention(d.ann, away, "", "x"); len(answers) != 0 {
		t.Errorf("heard where the robot is not: %+v", answers)
	}
	var got [2]map[string]any
	for i, f := range a.seen() {
		if err := json.Unmarshal([]byte(f.Data), &got[i]); err != nil {
			t.Fatal(err)
		}
	}
	if got[0]["senderStaffId"] != "" || got[0]["text"] == nil {
		t.Errorf("unpublished: %v", got[0])
	}
	if got[1]["text"] != nil || got[1]["errorMessage"] == nil {
		t.Errorf("over quota: %v", got[1])
	}
	if _, pushes := d.Paid(); pushes != 1 {
		t.Errorf("%d pushes paid", pushes)
	}
}

func TestClicksAreRealPresses(t *testing.T) {
	d := newDesk(t, Options{})
	a := d.connect(nil)
	d.post("t1", object{"title": "x", "actions": claim})
	if got := d.Press(d.ann, "t1", "tok-1"); !got.OK() {
		t.Fatalf("%+v", got)
	}
	c, err := d.Clicks("t1", "接单")
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range c.Send([][]byte{c.Body(d.ann, "tok-1"), c.Body("u2", "tok_2")}) {
		if !got.OK() {
			t.Errorf("%d: %+v", i, got)
		}
	}
	frames := a.seen()
	if len(frames) != 3 || frames[0].Data != frames[1].Data {
		t.Errorf("%q\n%q", frames[0].Data, frames[1].Data)
	}
	if !strings.Contains(frames[2].Data, `"userId":"u2"`) || !strings.Contains(frames[2].Data, `tok_2`) {
		t.Error(frames[2].Data)
	}
	if len(c.Sign(time.Now()).Get("x-ddpaas-signature")) != 44 {
		t.Error("not signed")
	}
}

func TestMenusSendWhatWasChosen(t *testing.T) {
	d := newDesk(t, Options{})
	a := d.connect(nil)
	d.post("t1", object{"title": "x", "menus": `[{"label":"优先级","token":"tok-m","options":[{"label":"紧急","value":"P1"},{"label":"高","value":"P2"}]}]`, "rows2": `[{"text":"r","detail":"","actions":[{"label":"看","token":"tok-r"}]}]`})
	if got := d.Choose(d.ann, "t1", "优先级", "高"); !got.OK() {
		t.Errorf("%+v", got)
	}
	if got := d.Press(d.ann, "t1", "看"); !got.OK() {
		t.Errorf("%+v", got)
	}
	if got := d.Choose(d.ann, "t1", "优先级", "低"); got.Err == nil {
		t.Error("chose what is not there")
	}
	frames := a.seen()
	if len(frames) != 2 || !strings.Contains(frames[0].Data, `\"actionIds\":[\"choose\"],\"params\":{\"token\":\"tok-m\",\"value\":\"P2\"}`) || !strings.Contains(frames[1].Data, "tok-r") {
		t.Errorf("%+v", frames)
	}
}

func TestUpdatesInAPressAreCounted(t *testing.T) {
	d := newDesk(t, Options{})
	d.post("t1", object{"title": "x", "actions": claim})
	update := func() {
		if status, out := d.call("PUT", "card/instances", object{"outTrackId": "t1", "cardData": object{"cardParamMap": object{"title": "y"}}, "cardUpdateOptions": object{"updateCardDataByKey": true}}); status != 200 {
			t.Error(status, out)
		}
	}
	d.connect(func(frame) (int, string, bool) { update(); return 200, `{"response":{}}`, false })
	update()
	if n := d.UpdatesInPress(); n != 0 {
		t.Errorf("%d before", n)
	}
	if got := d.Press(d.ann, "t1", "接单"); !got.OK() {
		t.Errorf("%+v", got)
	}
	update()
	if n := d.UpdatesInPress(); n != 1 {
		t.Errorf("%d", n)
	}
}

func TestHookGetsSignedRequests(t *testing.T) {
	c := newClock()
	d := newDesk(t, Options{Now: c.now})
	h := d.hook()
	if _, got := d.Mention(d.ann, d.help, "", "x"); !got[0].OK() {
		t.Errorf("%+v", got)
	}
	if want := SignRobot(ClientSecret, c.at); h.headers[0].Get("sign") != want.Get("sign") || h.headers[0].Get("timestamp") != want.Get("timestamp") {
		t.Errorf("%v", h.headers[0])
	}
	h.status = []int{500}
	if _, got := d.Mention(d.ann, d.help, "", "x"); got[0].OK() || got[0].Attempts != 1 {
		t.Errorf("%+v", got)
	}
	good := d.RobotRequest([]byte("{}"), c.at)
	forged := good.Forged()
	if forged.Header.Get("sign") == good.Header.Get("sign") || good.Header.Get("sign") != SignRobot(ClientSecret, c.at).Get("sign") {
		t.Error("a forged request is signed")
	}
	if got := d.Post("message", forged); !got.OK() || h.headers[2].Get("sign") != forged.Header.Get("sign") {
		t.Errorf("%+v", got)
	}
}

func TestHookAnswersEventsEncrypted(t *testing.T) {
	d := newDesk(t, Options{})
	h := d.hook()
	reply := func(token, owner, text string) []byte {
		sealed, err := Encrypt(AESKey, owner, random16(), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(object{"msg_signature": Signature(token, "1", "n", sealed), "timeStamp": "1", "nonce": "n", "encrypt": sealed})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		reply []byte
		ok    bool
	}{
		{reply(EventToken, ClientID, "success"), true},
		{reply(EventToken, ClientID, "fail"), false},
		{reply(EventToken, "other", "success"), false},
		{reply("other", ClientID, "success"), false},
		{[]byte("success"), false},
	} {
		h.reply = c.reply
		if got := d.CheckURL(); got.OK() != c.ok {
			t.Errorf("%s: %+v", c.reply, got)
		}
	}
	h.reply = reply(EventToken, ClientID, "success")
	h.bodies = nil
	h.status = []int{500, 500, 200}
	if got := d.Event("bpms_task_change", object{"title": "张三 100%"}); !got.OK() || got.Attempts != 3 {
		t.Errorf("%+v", got)
	}
	var in struct{ Encrypt string }
	if err := json.Unmarshal([]byte(h.bodies[2]), &in); err != nil {
		t.Fatal(err)
	}
	if plain, owner, err := Decrypt(AESKey, in.Encrypt); err != nil || owner != ClientID || string(plain) != `{"EventType":"bpms_task_change","title":"张三 100%"}` {
		t.Errorf("%s %s %v", plain, owner, err)
	}
	r, err := d.EventRequest([]byte("{}"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if f := r.Forged(); f.Query.Get("msg_signature") == r.Query.Get("msg_signature") {
		t.Error("a forged event is signed")
	}
}

func TestCardsOfHTTPModeCallTheirRoute(t *testing.T) {
	d := newDesk(t, Options{})
	h := d.hook()
	h.reply = []byte(`{"cardData":{"cardParamMap":{"title":"在办"}},"cardUpdateOptions":{"updateCardDataByKey":true}}`)
	if status, out := d.call("POST", "card/callbacks/register", object{"callbackRouteKey": "r1", "callbackUrl": "http://127.0.0.1:1/", "apiSecret": "s1"}); status != 200 {
		t.Fatal(status, out)
	}
	if _, out := d.call("POST", "card/callbacks/register", object{"callbackRouteKey": "r1", "callbackUrl": "http://127.0.0.1:1/"}); out["code"] != "param.callbackRouteKeyExist" {
		t.Error(out)
	}
	o := d.cardOf("t1", object{"title": "待接", "actions": claim})
	o["callbackType"], o["callbackRouteKey"] = "HTTP", "r1"
	if status, out := d.call("POST", "card/instances/createAndDeliver", o); status != 200 {
		t.Fatal(status, out)
	}
	if got := d.Press(d.ann, "t1", "接单"); !got.OK() {
		t.Fatalf("%+v", got)
	}
	ms := h.headers[0].Get("x-ddpaas-signature-timestamp")
	if want := SignCard("s1", at(t, ms)).Get("x-ddpaas-signature"); h.headers[0].Get("x-ddpaas-signature") != want {
		t.Errorf("%v", h.headers[0])
	}
	if v, err := d.Draw(d.bob, "t1"); err != nil || v.Title != "在办" {
		t.Errorf("%+v %v", v, err)
	}
	h.status = []int{http.StatusForbidden}
	if got := d.Press(d.ann, "t1", "接单"); got.OK() {
		t.Errorf("%+v", got)
	}
}

func TestNobodyToDeliverTo(t *testing.T) {
	d := newDesk(t, Options{})
	if _, got := d.Mention(d.ann, d.help, "", "x"); got[0].Err != errNoConnection {
		t.Errorf("%+v", got)
	}
	if _, got := d.Say("nobody", d.help, "", "x"); got[0].Err == nil {
		t.Errorf("%+v", got)
	}
	if err := d.Disconnect("x"); err != errNoConnection {
		t.Error(err)
	}
}

// BenchmarkUpdate is how much the emulator itself costs a load test.
func BenchmarkUpdate(b *testing.B) {
	d := newDesk(b, Options{})
	d.OnArrival(func(Arrival) {})
	d.post("t1", object{"title": "x", "actions": claim})
	body := object{"outTrackId": "t1", "cardUpdateOptions": object{"updateCardDataByKey": true}, "cardData": object{"cardParamMap": object{"title": "t", "tone": "busy", "body": strings.Repeat("文", 300), "facts": `[{"k":"来自","v":"安娜"}]`, "actions": claim}}}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if status, out := d.call("PUT", "card/instances", body); status != 200 {
				b.Error(status, out)
			}
		}
	})
}
