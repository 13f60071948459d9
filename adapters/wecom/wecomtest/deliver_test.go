package wecomtest

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestCallbacksAreRepeated(t *testing.T) {
	var waits []int
	b := newBench(t, Options{Wait: func(n int) { waits = append(waits, n) }})
	b.status = []int{500, 302, 200}
	_, a := b.Say("lisi", "hi")
	if !a.OK() || a.Attempts != 3 || fmt.Sprint(waits) != "[1 2]" {
		t.Errorf("%+v %v", a, waits)
	}
	if b.got[0] != b.got[1] || b.got[1] != b.got[2] || !strings.Contains(b.got[0], "<MsgId>73") {
		t.Errorf("another message each time: %q", b.got)
	}
	b.status = []int{500, 500, 204, 200}
	if _, a := b.Say("lisi", "hi"); a.OK() || a.Attempts != 3 {
		t.Errorf("%+v", a)
	}
	b.status = nil
	id, _ := b.send("lisi", "t1")
	b.status = []int{500}
	if a := b.Press("lisi", id, "接单"); !a.OK() || a.Attempts != 2 {
		t.Errorf("a press of the app's card: %+v", a)
	}
	group := b.AddGroup("g", "lisi")
	b.reply(func(string) string {
		return `{"msgtype":"template_card","template_card":` + fmt.Sprintf(card, "r1") + `}`
	})
	if _, a := b.Mention("lisi", group, "x"); !a.OK() {
		t.Fatal(a.Err)
	}
	b.reply(nil)
	b.status = []int{500, 200}
	if a := b.Press("lisi", "r1", "接单"); a.OK() || a.Attempts != 1 {
		t.Errorf("a press of the robot's card was repeated: %+v", a)
	}
}

func TestNoAnswerInTime(t *testing.T) {
	block := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			return
		}
		select {
		case <-block:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(block)
	s := New(Options{Deadline: 20 * time.Millisecond})
	defer s.Close()
	s.AddUser(User{ID: "lisi"})
	s.Deliver(slow.URL)
	if _, a := s.Say("lisi", "hi"); a.OK() || a.Attempts != 3 || a.Status != 0 {
		t.Errorf("%+v", a)
	}
	if a := s.VerifyURL(); a.OK() || a.Latency < time.Second || a.Latency > 3*time.Second {
		t.Errorf("the address was waited for %v: %+v", a.Latency, a)
	}
}

func TestLostDoubledAndReorderedDeliveries(t *testing.T) {
	b := newBench(t, Options{})
	b.Drop(1)
	if _, a := b.Say("lisi", "one"); a.Attempts != 2 || len(b.got) != 1 {
		t.Errorf("%+v %q", a, b.got)
	}
	b.Double(1)
	if _, a := b.Say("lisi", "two"); !a.OK() || len(b.got) != 3 || b.got[1] != b.got[2] {
		t.Errorf("%+v %q", a, b.got)
	}
	b.Hold(2)
	b.Say("lisi", "three")
	if len(b.got) != 3 {
		t.Error("a held message was sent")
	}
	b.Say("lisi", "four")
	if len(b.got) != 5 || !strings.Contains(b.got[3], "four") || !strings.Contains(b.got[4], "three") {
		t.Errorf("%q", b.got)
	}
}

func TestAddressesAreVerified(t *testing.T) {
	b := newBench(t, Options{})
	for _, a := range []Answer{b.VerifyURL(), b.VerifyRobotURL()} {
		if !a.OK() {
			t.Errorf("%+v", a)
		}
	}
	quoted := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plain, err := b.AppKeys().Decrypt(r.URL.Query().Get("echostr"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "%s\n", plain)
	}))
	defer quoted.Close()
	b.Deliver(quoted.URL)
	if a := b.VerifyURL(); a.OK() {
		t.Errorf("an answer with a line break was taken: %+v", a)
	}
}

func TestForgedDeliveriesAreForged(t *testing.T) {
	b := newBench(t, Options{})
	for i, v := range []Variant{BadSignature, WrongReceiver, WrongKey} {
		b.Vary(v)
		if _, a := b.Say("lisi", "hi"); a.OK() || b.refused != 3*(i+1) {
			t.Errorf("%s: %+v, refused %d times", v, a, b.refused)
		}
	}
	b.Vary(Envelope)
	if _, a := b.Say("lisi", "hi"); !a.OK() {
		t.Errorf("%+v", a)
	}
	r, err := b.Seal(OnApp, []byte("<xml/>"), Stale)
	if err != nil {
		t.Fatal(err)
	}
	var stamp int64
	if _, err := fmt.Sscan(r.Query.Get("timestamp"), &stamp); err != nil || time.Since(time.Unix(stamp, 0)) < 23*time.Hour {
		t.Errorf("a stale request is of %d", stamp)
	}
	// A "+" that is not escaped becomes a space for whoever decodes the query as a form.
	for range 50 {
		b.Vary(RawPlus)
		if a := b.VerifyURL(); !a.OK() {
			return
		}
	}
	t.Error("no echostr had a plus")
}

func TestServiceWithAnAddressOfItsOwn(t *testing.T) {
	b := newBench(t, Options{ServiceToken: "ServiceToken03", ServiceAESKey: RobotAESKey})
	keys := b.keys(OnService)
	heard := ""
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var env struct{ Encrypt string }
		if err := xml.NewDecoder(r.Body).Decode(&env); err != nil {
			t.Error(err)
		}
		plain, err := keys.Decrypt(env.Encrypt)
		if q := r.URL.Query(); err != nil || keys.Sign(q.Get("timestamp"), q.Get("nonce"), env.Encrypt) != q.Get("msg_signature") {
			http.Error(w, "forged", http.StatusForbidden)
			return
		}
		heard = string(plain)
	}))
	defer own.Close()
	b.DeliverService(own.URL)
	if _, a := b.CustomerSays(b.AddCustomer(Customer{}), b.AddAccount("售后"), "hi"); !a.OK() || !strings.Contains(heard, "kf_msg_or_event") || len(b.got) != 0 {
		t.Errorf("%+v %q", a, heard)
	}
}

func TestRequestsOfAPressAreNotSent(t *testing.T) {
	b := newBench(t, Options{})
	id, _ := b.send("lisi", "t1")
	r, err := b.PressRequest("lisi", id, "接单")
	if err != nil || len(b.got) != 0 {
		t.Fatal(err, b.got)
	}
	if a := b.Post("press", b.target, r); !a.OK() || !strings.Contains(b.last(), "<EventKey><![CDATA[claim]]>") {
		t.Errorf("%+v %s", a, b.last())
	}
	if _, err := b.PressRequest("lisi", id, "打开"); err == nil {
		t.Error("a link told somebody")
	}
	group := b.AddGroup("g", "lisi")
	b.reply(func(string) string { return `{"msgtype":"template_card","template_card":` + buttons + `}` })
	if _, a := b.Mention("lisi", group, "x"); !a.OK() {
		t.Fatal(a.Err)
	}
	b.DeliverRobot("")
	r, err = b.PressRequest("lisi", "t-1", "接单")
	var f map[string]any
	if err != nil || json.Unmarshal(r.Body, &f) != nil || f["cmd"] != "aibot_event_callback" {
		t.Errorf("%v %s", err, r.Body)
	}
}

func passive(user, rest string) string {
	return `<xml><ToUserName>` + user + `</ToUserName><FromUserName>` + Corp + `</FromUserName><CreateTime>1</CreateTime>` + rest + `</xml>`
}

func TestPassiveRepliesAreChecked(t *testing.T) {
	b := newBench(t, Options{})
	id, _ := b.send("lisi", "t1")
	const hello = `<MsgType>text</MsgType><Content>你好</Content>`
	const grey = `<MsgType>update_button</MsgType><Button><ReplaceName>已受理</ReplaceName></Button>`
	say := func() Answer { _, a := b.Say("lisi", "hi"); return a }
	press := func() Answer { return b.Press("lisi", id, "接单") }
	for _, c := range []struct {
		name, reply string
		act         func() Answer
		ok          bool
	}{
		{"text to a message", passive("lisi", hello), say, true},
		{"text to enter_agent", passive("lisi", hello), func() Answer { return b.Enter("lisi") }, true},
		{"text to a press", passive("lisi", hello), press, false},
		{"to another", passive("wangwu", hello), say, false},
		{"no content", passive("lisi", `<MsgType>text</MsgType>`), say, false},
		{"no type", passive("lisi", ``), say, false},
		{"no XML", `{}`, say, false},
		{"a card to a message", passive("lisi", grey), say, false},
		{"no card", passive("lisi", `<MsgType>update_template_card</MsgType>`), press, false},
		{"a broken card", passive("lisi", `<MsgType>update_template_card</MsgType><TemplateCard><CardType>button_interaction</CardType></TemplateCard>`), press, false},
		{"a grey button", passive("lisi", grey), press, true},
	} {
		b.reply(func(string) string { return c.reply })
		if a := c.act(); a.OK() != c.ok {
			t.Errorf("%s: %v", c.name, a.Err)
		}
	}
	var said int
	for _, m := range b.Messages(AppChat("lisi")) {
		if m.From == "" && m.Type == "text" {
			said++
		}
	}
	m, _ := b.Message(id)
	if said != 2 || !strings.Contains(string(m.CardFor("lisi")), "已受理") || strings.Contains(string(m.Card), "已受理") {
		t.Errorf("%d texts, %s", said, m.CardFor("lisi"))
	}
	b.reply(nil)
	unsigned := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<xml><Encrypt>YWJj</Encrypt><MsgSignature>00</MsgSignature><TimeStamp>1</TimeStamp><Nonce>n</Nonce></xml>")
	}))
	defer unsigned.Close()
	b.Deliver(unsigned.URL)
	if a := say(); a.OK() {
		t.Error("a reply with a wrong signature was taken")
	}
}

func TestVoteAndSelectLists(t *testing.T) {
	b := newBench(t, Options{})
	o := b.want("vote", b.post("message/send", `{"touser":"lisi","agentid":1000002,"msgtype":"template_card","template_card":{"card_type":"vote_interaction","main_title":{"title":"v"},"task_id":"v","checkbox":{"question_key":"q","mode":1,"option_list":[{"id":"5","text":"好"},{"id":"1","text":"坏"}]},"submit_button":{"text":"提交","key":"s"}}}`), 0)
	if a := b.Press("lisi", "v", "提交"); a.Err == nil {
		t.Error("nothing was chosen, and it was submitted")
	}
	for _, option := range []string{"好", "1"} {
		if err := b.Choose("lisi", "v", "", option); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Choose("lisi", "v", "", "无"); err == nil {
		t.Error("an option that is not there was chosen")
	}
	if a := b.Press("lisi", "v", "提交"); !a.OK() || !strings.Contains(b.last(), "<OptionIds><OptionId><![CDATA[5]]></OptionId><OptionId><![CDATA[1]]></OptionId></OptionIds>") {
		t.Errorf("%+v %s", a, b.last())
	}
	if o["response_code"] == "" {
		t.Errorf("%v", o)
	}
	b.want("lists", b.post("message/send", `{"touser":"lisi","agentid":1000002,"msgtype":"template_card","template_card":{"card_type":"multiple_interaction","main_title":{"title":"m"},"task_id":"m","select_list":[{"question_key":"a","title":"甲","option_list":[{"id":"1","text":"一"},{"id":"2","text":"二"}]},{"question_key":"b","selected_id":"4","option_list":[{"id":"3","text":"三"},{"id":"4","text":"四"}]}],"submit_button":{"text":"提交","key":"s"}}}`), 0)
	if err := b.Choose("lisi", "m", "甲", "二"); err != nil {
		t.Fatal(err)
	}
	if a := b.Press("lisi", "m", "提交"); !a.OK() || !strings.Contains(b.last(), "[a]]></QuestionKey><OptionIds><OptionId><![CDATA[2]]>") || !strings.Contains(b.last(), "[b]]></QuestionKey><OptionIds><OptionId><![CDATA[4]]>") {
		t.Errorf("%+v %s", a, b.last())
	}
	if a := b.Press("wangwu", "m", "提交"); a.Err == nil {
		t.Error("somebody pressed what he does not see")
	}
}

func TestRobotOverCallbacks(t *testing.T) {
	clk := newClock()
	b := newBench(t, Options{Now: clk.Now, Refresh: time.Millisecond})
	group := b.AddGroup("g", "lisi", "wangwu")
	if _, a := b.SayRobot("lisi", Said{Conv: group, Text: "not for you"}); a.Kind != "unheard" || len(b.got) != 0 {
		t.Errorf("%+v", a)
	}
	if _, a := b.SayRobot("zhaomin", Said{Conv: group, Text: "@派单 x"}); a.Err == nil {
		t.Error("somebody spoke in a group that he is not in")
	}
	polls := 0
	b.reply(func(plain string) string {
		if strings.Contains(plain, `"msgtype":"stream"`) {
			polls++
			return fmt.Sprintf(`{"msgtype":"stream","stream":{"id":"a","finish":%v,"content":"%d"}}`, polls == 3, polls)
		}
		return `{"msgtype":"stream","stream":{"id":"a","finish":false,"content":"…"}}`
	})
	ref, a := b.Mention("lisi", group, "打印机坏了")
	if !a.OK() {
		t.Fatal(a.Err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := b.Await(ctx, func() bool { m := b.Messages(group); return m[len(m)-1].Done }); err != nil {
		t.Fatal(err)
	}
	m := b.Messages(group)
	if last := m[len(m)-1]; last.Text != "3" || last.Quoted != ref || last.Edits != 3 {
		t.Errorf("%+v", last)
	}
	for reply, ok := range map[string]bool{
		`{"msgtype":"text","text":{"content":"x"}}`:                                                            false, // only to welcome
		`{"msgtype":"markdown","markdown":{"content":"x"}}`:                                                    false,
		`{"msgtype":"stream","stream":{"id":"` + "b" + `","finish":true,"content":"x"}}`:                       true,
		`{"msgtype":"stream","stream":{"finish":true,"content":"x"}}`:                                          false,
		`{"msgtype":"template_card","template_card":` + buttons + `}`:                                          true,
		`{"msgtype":"template_card","template_card":{"card_type":"x"}}`:                                        false,
		`{"msgtype":"stream","stream":{"id":"c","finish":true,"content":"` + strings.Repeat("长", 6827) + `"}}`: false,
		`not json`: false,
	} {
		b.reply(func(string) string { return reply })
		if _, a := b.Mention("lisi", group, "x"); a.OK() != ok {
			t.Errorf("%.80s: %v", reply, a.Err)
		}
	}
	b.reply(nil)
	body := func() map[string]any {
		var o map[string]any
		if err := json.Unmarshal([]byte(b.last()), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	quote, a := b.SayRobot("wangwu", Said{Conv: group, Text: "@派单 这个", Quote: "t-1"})
	if o := body(); !a.OK() || o["quote"].(map[string]any)["text"].(map[string]any)["content"] != "#42" {
		t.Errorf("%v %v", a.Err, o)
	}
	_, later, _ := strings.Cut(body()["response_url"].(string), "response_code=")
	b.want("a card in a group", b.post("aibot/response?response_code="+later, `{"msgtype":"template_card","template_card":`+notice+`}`), 40008)
	b.want("later", b.post("aibot/response?response_code="+later, `{"msgtype":"markdown","markdown":{"content":"好了"}}`), 0)
	if m := b.Messages(group); m[len(m)-1].Quoted != quote {
		t.Errorf("%+v", m[len(m)-1])
	}
	b.want("twice", b.post("aibot/response?response_code="+later, `{"msgtype":"markdown","markdown":{"content":"好了"}}`), 42022)
	if _, a := b.Ask("lisi", "帮助"); !a.OK() || body()["chattype"] != "single" || body()["chatid"] != nil {
		t.Errorf("%v %v", a.Err, body())
	}
	_, single, _ := strings.Cut(body()["response_url"].(string), "response_code=")
	clk.Advance(time.Hour)
	b.want("an hour later", b.post("aibot/response?response_code="+single, `{"msgtype":"markdown","markdown":{"content":"x"}}`), 40058)
	if _, a := b.Ask("lisi", "帮助"); !a.OK() {
		t.Fatal(a.Err)
	}
	_, single, _ = strings.Cut(body()["response_url"].(string), "response_code=")
	b.want("a card in private", b.post("aibot/response?response_code="+single, `{"msgtype":"template_card","template_card":`+notice+`}`), 0)

	update := `{"response_type":"update_template_card","template_card":{"card_type":"text_notice","main_title":{"title":"done"},"card_action":{"type":1,"url":"https://t/1"},"task_id":"%s"}}`
	b.reply(func(string) string { return fmt.Sprintf(update, "other") })
	if a := b.Press("wangwu", "t-1", "接单"); a.OK() {
		t.Error("another card was changed than the one that was pressed")
	}
	b.reply(func(string) string { return fmt.Sprintf(update, "t-1") })
	if a := b.Press("wangwu", "t-1", "接单"); !a.OK() {
		t.Error(a.Err)
	}
	if m, _ := b.Message("t-1"); !strings.Contains(string(m.CardFor("lisi")), "done") {
		t.Errorf("without userids everybody sees it: %s", m.CardFor("lisi"))
	}
	if a := b.Feedback("lisi", group, "fb-1", 2, "不准"); a.OK() {
		t.Error("feedback was answered with a card, and taken")
	}
	b.reply(func(string) string { return `{"msgtype":"text","text":{"content":"欢迎"}}` })
	if a := b.EnterRobot("lisi"); !a.OK() {
		t.Error(a.Err)
	}
}

func TestFilesToTheRobotAreEncrypted(t *testing.T) {
	clk := newClock()
	b := newBench(t, Options{Now: clk.Now})
	id := b.AddFile(File{Name: "a.txt", Content: []byte("fake-png-bytes-0123456789")})
	if _, a := b.SayRobot("lisi", Said{Files: []string{id}}); !a.OK() {
		t.Fatal(a.Err)
	}
	var got struct {
		MsgType string
		File    struct{ URL string }
	}
	if err := json.Unmarshal([]byte(b.last()), &got); err != nil || got.MsgType != "file" {
		t.Fatalf("%v %s", err, b.last())
	}
	fetch := func() (int, []byte) {
		resp, err := b.client.Get(got.File.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, body
	}
	key, err := b.RobotKeys().key()
	if err != nil {
		t.Fatal(err)
	}
	_, body := fetch()
	if plain, err := open(key, body); err != nil || string(plain) != "fake-png-bytes-0123456789" {
		t.Errorf("%q %v", plain, err)
	}
	clk.Advance(5 * time.Minute)
	if status, _ := fetch(); status != http.StatusNotFound {
		t.Errorf("after five minutes: %d", status)
	}
	group := b.AddGroup("g", "lisi")
	if _, a := b.SayRobot("lisi", Said{Conv: group, Text: "@派单 看", Files: []string{id}}); a.Err == nil {
		t.Error("a group told the robot of a file")
	}
	image := b.AddFile(File{Name: "a.png", Type: "image", Content: []byte("png")})
	if _, a := b.SayRobot("lisi", Said{Conv: group, Text: "@派单 看", Files: []string{image}}); !a.OK() || !strings.Contains(b.last(), `"msgtype":"mixed"`) {
		t.Errorf("%+v %s", a, b.last())
	}
}

func TestWindowsAndQuotasOfTheConnection(t *testing.T) {
	clk := newClock()
	b := newBench(t, Options{Now: clk.Now, RateLimits: true})
	b.DeliverRobot("")
	r := connect(t, b.Server, RobotSecret)
	b.want("subscribe", r.next(), 0)
	if a := b.EnterRobot("lisi"); !a.OK() {
		t.Fatal(a.Err)
	}
	hello := reqID(r.next())
	b.want("welcome", r.ask("aibot_respond_welcome_msg", hello, `{"msgtype":"text","text":{"content":"欢迎"}}`), 0)
	b.want("welcome twice", r.ask("aibot_respond_welcome_msg", hello, `{"msgtype":"text","text":{"content":"欢迎"}}`), 846605)
	if a := b.EnterRobot("lisi"); !a.OK() {
		t.Fatal(a.Err)
	}
	hello = reqID(r.next())
	clk.Advance(6 * time.Second)
	b.want("welcome too late", r.ask("aibot_respond_welcome_msg", hello, `{"msgtype":"text","text":{"content":"欢迎"}}`), 846605)
	b.want("before he talked", r.ask("aibot_send_msg", "s", `{"chatid":"lisi","chat_type":1,"msgtype":"markdown","markdown":{"content":"x"}}`), 93006)
	if _, a := b.Ask("lisi", "hi"); !a.OK() {
		t.Fatal(a.Err)
	}
	said := reqID(r.next())
	b.want("push", r.ask("aibot_send_msg", "s", `{"chatid":"lisi","chat_type":1,"msgtype":"markdown","markdown":{"content":"x"}}`), 0)
	b.want("a person is no group", r.ask("aibot_send_msg", "s", `{"chatid":"lisi","chat_type":2,"msgtype":"markdown","markdown":{"content":"x"}}`), 93006)
	b.want("stream", r.ask("aibot_respond_msg", said, `{"msgtype":"stream","stream":{"id":"a","finish":false,"content":"x"}}`), 0)
	b.want("images", r.ask("aibot_respond_msg", said, `{"msgtype":"stream","stream":{"id":"a","finish":true,"content":"x","msg_item":[{"msgtype":"image"}]}}`), 40058)
	clk.Advance(6 * time.Minute)
	b.want("after six minutes", r.ask("aibot_respond_msg", said, `{"msgtype":"stream","stream":{"id":"a","finish":true,"content":"x"}}`), 846608)
	b.want("card", r.ask("aibot_respond_msg", said, `{"msgtype":"template_card","template_card":`+buttons+`}`), 0)
	if a := b.Press("lisi", "t-1", "接单"); !a.OK() {
		t.Fatal(a.Err)
	}
	click := reqID(r.next())
	clk.Advance(5*time.Second + time.Millisecond)
	b.want("more than 5 s after the press", r.ask("aibot_respond_update_msg", click, `{"response_type":"update_template_card","template_card":`+buttons+`}`), 846605)
	clk.Advance(24 * time.Hour)
	b.want("after a day", r.ask("aibot_respond_msg", said, `{"msgtype":"markdown","markdown":{"content":"x"}}`), 846605)
	for range 30 {
		b.want("push", r.ask("aibot_send_msg", "s", `{"chatid":"lisi","msgtype":"markdown","markdown":{"content":"x"}}`), 0)
	}
	b.want("the 31st in a minute", r.ask("aibot_send_msg", "s", `{"chatid":"lisi","msgtype":"markdown","markdown":{"content":"x"}}`), 45009)
	b.want("an unknown command", r.ask("aibot_dance", "s", `{}`), 40058)
	b.ChangeUser("lisi", func(u *User) { u.Name = "李四四" })
	group := b.AddGroup("g", "lisi")
	b.Talked(group)
	b.want("where somebody talked before", r.ask("aibot_send_msg", "s", `{"chatid":"`+group+`","msgtype":"markdown","markdown":{"content":"<@all> x"}}`), 0)
	if m := b.Messages(group); strings.Join(m[0].Live(), "|") != "mention @all" {
		t.Errorf("%q", m[0].Live())
	}
	b.ChangeGroup(group, func(g *Group) { g.Gone = true })
	b.want("the robot was removed", r.ask("aibot_send_msg", "s", `{"chatid":"`+group+`","msgtype":"markdown","markdown":{"content":"x"}}`), 93006)
}

func TestUploadsInPieces(t *testing.T) {
	b := newBench(t, Options{})
	b.DeliverRobot("")
	r := connect(t, b.Server, RobotSecret)
	b.want("subscribe", r.next(), 0)
	group := b.AddGroup("g", "lisi")
	b.Talked(group)
	content := []byte("a file in two pieces")
	sum := md5.Sum(content)
	for _, base := range []int{0, 1} {
		o := b.want("init", r.ask("aibot_upload_media_init", "u1", fmt.Sprintf(`{"type":"file","filename":"a.txt","total_size":%d,"total_chunks":2,"md5":%q}`, len(content), hex.EncodeToString(sum[:]))), 0)
		id := o["body"].(map[string]any)["upload_id"].(string)
		chunk := func(i int, b []byte) string {
			return fmt.Sprintf(`{"upload_id":%q,"chunk_index":%d,"base64_data":%q}`, id, i, base64.StdEncoding.EncodeToString(b))
		}
		b.want("second", r.ask("aibot_upload_media_chunk", "u2", chunk(base+1, content[10:])), 0)
		b.want("unfinished", r.ask("aibot_upload_media_finish", "u3", `{"upload_id":"`+id+`"}`), 40058)
		b.want("first", r.ask("aibot_upload_media_chunk", "u2", chunk(base, content[:10])), 0)
		b.want("out of range", r.ask("aibot_upload_media_chunk", "u2", chunk(3, content)), 40058)
		o = b.want("finish", r.ask("aibot_upload_media_finish", "u3", `{"upload_id":"`+id+`"}`), 0)
		media := o["body"].(map[string]any)["media_id"].(string)
		b.want("send", r.ask("aibot_send_msg", "s", `{"chatid":"`+group+`","msgtype":"file","file":{"media_id":"`+media+`"}}`), 0)
	}
	if f := b.Files(group); len(f) != 2 || string(f[0].Content) != string(content) {
		t.Errorf("%+v", f)
	}
	b.want("a wrong sum", r.ask("aibot_upload_media_init", "u1", `{"type":"file","filename":"a","total_size":10,"total_chunks":1,"md5":"x"}`), 40058)
	b.want("too many", r.ask("aibot_upload_media_init", "u1", fmt.Sprintf(`{"type":"file","filename":"a","total_size":10,"total_chunks":101,"md5":%q}`, hex.EncodeToString(sum[:]))), 40058)
}

func TestFaultsOfTheConnection(t *testing.T) {
	b := newBench(t, Options{Deadline: 200 * time.Millisecond})
	b.DeliverRobot("")
	if _, a := b.Ask("lisi", "hi"); a.Err == nil {
		t.Error("said to nobody")
	}
	r := connect(t, b.Server, RobotSecret)
	b.want("subscribe", r.next(), 0)
	b.Fail(Fault{Kind: Refused, Code: 846605, Method: "ping"})
	b.want("refused", r.ask("ping", "p", "null"), 846605)
	b.Fail(Fault{Kind: Silent, Method: "ping"})
	r.send("ping", "p1", "null")
	b.Fail(Fault{Kind: Slow, Method: "ping", Delay: 10 * time.Millisecond})
	r.send("ping", "p2", "null")
	r.send("ping", "p3", "null")
	if first, second := reqID(r.next()), reqID(r.next()); first != "p3" || second != "p2" {
		t.Errorf("%s, %s came", first, second)
	}
	if err := b.Frame("not json"); err != nil {
		t.Fatal(err)
	}
	<-r.done
	r = connect(t, b.Server, RobotSecret)
	b.want("subscribe", r.next(), 0)
	b.Cut()
	<-r.done
	if b.Connected() {
		t.Error("still connected")
	}
	r = connect(t, b.Server, RobotSecret)
	b.want("subscribe", r.next(), 0)
	b.Talked(RobotChat("lisi"))
	b.Fail(Fault{Kind: CutAfter, Method: "aibot_send_msg"})
	r.send("aibot_send_msg", "s", `{"chatid":"lisi","msgtype":"markdown","markdown":{"content":"x"}}`)
	<-r.done
	if n := len(b.Messages(RobotChat("lisi"))); n != 2 { // what was said to nobody is shown as well
		t.Errorf("%d messages", n)
	}
	ws, resp, err := websocket.DefaultDialer.Dial(b.WSURL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer ws.Close()
	if err := ws.WriteJSON(object{"cmd": "ping", "headers": object{"req_id": "p"}}); err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := ws.ReadJSON(&o); err != nil {
		t.Fatal(err)
	}
	b.want("before subscribing", o, 40001)
}

func TestAnAnswerMayBeAStreamWithACard(t *testing.T) {
	b := newBench(t, Options{})
	group := b.AddGroup("g", "lisi")
	asks := `{"card_type":"text_notice","main_title":{"title":"#7"},"task_id":"s-1","card_action":{"type":1,"url":"https://t/7"},"jump_list":[{"type":3,"title":"进度","question":"@派单 #7 进度"}]}`
	b.reply(func(string) string {
		return `{"msgtype":"stream_with_template_card","stream":{"id":"a","finish":true,"content":"已建单"},"template_card":` + asks + `}`
	})
	if _, a := b.Mention("lisi", group, "打印机坏了"); !a.OK() {
		t.Fatal(a.Err)
	}
	m := b.Messages(group)
	if len(m) != 3 || m[1].Text != "已建单" || !m[1].Done || m[2].Task != "s-1" {
		t.Fatalf("%+v", m)
	}
	b.reply(nil)
	if a := b.Press("lisi", "s-1", "进度"); !a.OK() || !strings.Contains(b.last(), `"content":"@派单 #7 进度"`) {
		t.Errorf("a question on a card was not asked: %+v %s", a, b.last())
	}
}

func TestThreeMessagesAreAnsweredAtATime(t *testing.T) {
	b := newBench(t, Options{Refresh: time.Hour}) // nobody polls before the test ends
	n := 0
	b.reply(func(string) string {
		n++
		return fmt.Sprintf(`{"msgtype":"stream","stream":{"id":"s%d","finish":false,"content":"…"}}`, n)
	})
	for range 3 {
		if _, a := b.Ask("lisi", "hi"); !a.OK() {
			t.Fatal(a.Err)
		}
	}
	if _, a := b.Ask("lisi", "hi"); a.Err == nil {
		t.Error("a fourth message was delivered")
	}
	if _, a := b.Ask("wangwu", "hi"); !a.OK() {
		t.Errorf("somebody else's: %v", a.Err)
	}
}
