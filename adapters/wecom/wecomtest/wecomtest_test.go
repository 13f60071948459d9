package wecomtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type vector struct {
	Name      string `json:"name"`
	Plain     string `json:"plaintext"`
	Receiver  string `json:"receiveid"`
	Random    string `json:"random16_ascii"`
	Timestamp any    `json:"timestamp"`
	Nonce     string `json:"nonce"`
	Encrypt   string `json:"encrypt"`
	Signature string `json:"msg_signature"`
}

func (v vector) stamp() string {
	if f, ok := v.Timestamp.(float64); ok {
		return fmt.Sprint(int64(f))
	}
	return fmt.Sprint(v.Timestamp)
}

type vectors struct {
	Token   string   `json:"token"`
	AESKey  string   `json:"aes_key"`
	Cases   []vector `json:"cases"`
	Padding []vector `json:"padding"`
	Forged  []vector `json:"forged"`
	Media   struct{ Key, Plain, Cipher string }
	// Official is the sample of the documentation.
	Official struct {
		Token    string   `json:"token"`
		AESKey   string   `json:"aes_key"`
		Receiver string   `json:"receiveid"`
		Cases    []vector `json:"cases"`
	}
}

func readVectors(t testing.TB) vectors {
	b, err := os.ReadFile("testdata/crypto.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCryptoIsThePlatforms(t *testing.T) {
	v := readVectors(t)
	n := 0
	check := func(c vector, k Keys) {
		n++
		plain, err := k.Decrypt(c.Encrypt)
		if err != nil || string(plain) != c.Plain {
			t.Errorf("%s: decrypted %q, %v", c.Name, plain, err)
		}
		if got := k.Sign(c.stamp(), c.Nonce, c.Encrypt); got != c.Signature {
			t.Errorf("%s: signature %s, want %s", c.Name, got, c.Signature)
		}
		if c.Random != "" {
			if got, err := k.encrypt([]byte(c.Random), []byte(c.Plain)); err != nil || got != c.Encrypt {
				t.Errorf("%s: encrypted %s, want %s", c.Name, got, c.Encrypt)
			}
		}
	}
	for _, c := range slices.Concat(v.Cases, v.Padding) {
		check(c, Keys{Token: v.Token, AESKey: v.AESKey, Receiver: c.Receiver})
	}
	for _, c := range v.Official.Cases {
		k := Keys{Token: v.Official.Token, AESKey: v.Official.AESKey, Receiver: v.Official.Receiver}
		check(c, k)
	}
	if n != 30 {
		t.Errorf("%d vectors, want 30", n)
	}
	ours := Keys{Token: v.Token, AESKey: v.AESKey, Receiver: Corp}
	if _, err := ours.Decrypt(v.Forged[0].Encrypt); err == nil && v.Forged[0].Signature == ours.Sign(v.Forged[0].stamp(), v.Forged[0].Nonce, v.Forged[0].Encrypt) {
		t.Errorf("%s was accepted", v.Forged[0].Name)
	}
	if got := ours.Sign(v.Forged[1].stamp(), v.Forged[1].Nonce, v.Forged[1].Encrypt); got == v.Forged[1].Signature {
		t.Errorf("%s was accepted", v.Forged[1].Name)
	}
	key, err := base64.StdEncoding.DecodeString(v.Media.Key)
	if err != nil {
		t.Fatal(err)
	}
	if got := base64.StdEncoding.EncodeToString(seal(key, []byte(v.Media.Plain))); got != v.Media.Cipher {
		t.Errorf("media: %s, want %s", got, v.Media.Cipher)
	}
}

func TestDecryptRefusesBrokenCiphertexts(t *testing.T) {
	k := Keys{Token: Token, AESKey: AESKey, Receiver: Corp}
	key, err := k.key()
	if err != nil {
		t.Fatal(err)
	}
	tooLong := append([]byte("0123456789abcdef\xff\xff\xff\xff<xml/>"), Corp...)
	for name, b := range map[string][]byte{"length": tooLong, "short": []byte("0123"), "other corp": append([]byte("0123456789abcdef\x00\x00\x00\x01a"), "ww2"...)} {
		if _, err := k.Decrypt(base64.StdEncoding.EncodeToString(seal(key, b))); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for _, s := range []string{"", "!", "YWJj", base64.StdEncoding.EncodeToString(make([]byte, 32))} {
		if _, err := k.Decrypt(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

// bench is an app beside the emulator: it keeps what it is told and answers what it is told to.
type bench struct {
	*Server
	t     testing.TB
	token string

	mu      sync.Mutex // guards all below
	got     []string   // plain bodies
	status  []int      // of the next answers; 200 when there is none left
	answer  func(plain string) string
	refused int
	robot   bool
}

func newBench(t testing.TB, o Options) *bench {
	s := New(o)
	b := &bench{Server: s, t: t}
	srv := httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(srv.Close)
	t.Cleanup(s.Close)
	s.Deliver(srv.URL + "/app")
	s.DeliverRobot(srv.URL + "/robot")
	s.AddUser(User{ID: "lisi", Name: "李四", Email: "li.si@example.com", Mobile: "13800000001"})
	s.AddUser(User{ID: "wangwu", Name: "王五"})
	b.token = b.get("gettoken", url.Values{"corpid": {Corp}, "corpsecret": {Secret}})["access_token"].(string)
	return b
}

// serve verifies and decrypts as an app does, and answers.
func (b *bench) serve(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	keys := b.AppKeys()
	robot := r.URL.Path == "/robot"
	if robot {
		keys = b.RobotKeys()
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Error(err)
	}
	var env struct {
		Encrypt string `xml:"Encrypt" json:"encrypt"`
	}
	encrypted := q.Get("echostr")
	if r.Method == http.MethodPost {
		if bytes.HasPrefix(body, []byte("{")) {
			err = json.Unmarshal(body, &env)
		} else {
			err = xml.Unmarshal(body, &env)
		}
		encrypted = env.Encrypt
	}
	plain, decrypted := keys.Decrypt(encrypted)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil || decrypted != nil || keys.Sign(q.Get("timestamp"), q.Get("nonce"), encrypted) != q.Get("msg_signature") {
		b.refused++
		http.Error(w, "forged", http.StatusForbidden)
		return
	}
	if r.Method == http.MethodGet {
		fmt.Fprint(w, string(plain))
		return
	}
	b.got = append(b.got, string(plain))
	if len(b.status) > 0 {
		code := b.status[0]
		b.status = b.status[1:]
		w.WriteHeader(code)
		if code != 200 {
			return
		}
	}
	if b.answer == nil {
		return
	}
	reply := b.answer(string(plain))
	if reply == "" {
		return
	}
	sealed, err := keys.Encrypt([]byte(reply))
	if err != nil {
		b.t.Error(err)
	}
	if robot {
		writeJSON(w, object{"encrypt": sealed, "msgsignature": keys.Sign("1700000020", q.Get("nonce"), sealed), "timestamp": 1700000020, "nonce": q.Get("nonce")})
		return
	}
	fmt.Fprintf(w, "<xml><Encrypt><![CDATA[%s]]></Encrypt><MsgSignature><![CDATA[%s]]></MsgSignature><TimeStamp>1700000020</TimeStamp><Nonce><![CDATA[n]]></Nonce></xml>", sealed, keys.Sign("1700000020", "n", sealed))
}

func (b *bench) reply(f func(plain string) string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = f
}

func (b *bench) last() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.got) == 0 {
		return ""
	}
	return b.got[len(b.got)-1]
}

func (b *bench) do(req *http.Request) map[string]any {
	b.t.Helper()
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != 200 {
		b.t.Fatalf("%s: %d, %v", req.URL.Path, resp.StatusCode, err)
	}
	return out
}

func (b *bench) get(path string, q url.Values) map[string]any {
	b.t.Helper()
	if b.token != "" && q.Get("access_token") == "" {
		q.Set("access_token", b.token)
	}
	req, err := http.NewRequest(http.MethodGet, b.URL+"/cgi-bin/"+path+"?"+q.Encode(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

func (b *bench) post(path, body string) map[string]any {
	b.t.Helper()
	path, query, _ := strings.Cut(path, "?")
	req, err := http.NewRequest(http.MethodPost, b.URL+"/cgi-bin/"+path+"?access_token="+b.token+"&"+query, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req) // without a Content-Type
}

func errcode(o map[string]any) int { n, _ := o["errcode"].(float64); return int(n) }

func (b *bench) want(what string, o map[string]any, want int) map[string]any {
	b.t.Helper()
	if errcode(o) != want {
		b.t.Errorf("%s: %v, want errcode %d", what, o, want)
	}
	return o
}

const card = `{"card_type":"button_interaction","main_title":{"title":"#42"},"task_id":"%s","button_list":[{"text":"接单","key":"claim"},{"text":"转派","key":"move","style":2},{"type":1,"text":"打开","url":"https://t/42"}],"button_selection":{"question_key":"prio","title":"优先级","option_list":[{"id":"p1","text":"P1"},{"id":"p2","text":"P2"}],"selected_id":"p2"},"action_menu":{"desc":"更多","action_list":[{"text":"静默","key":"mute"}]}}`

func (b *bench) send(to, task string) (id, code string) {
	b.t.Helper()
	o := b.want("send", b.post("message/send", fmt.Sprintf(`{"touser":%q,"agentid":1000002,"msgtype":"template_card","template_card":`+card+`}`, to, task)), 0)
	return o["msgid"].(string), o["response_code"].(string)
}

func TestPressShowsTheReplyToThePresserOnly(t *testing.T) {
	b := newBench(t, Options{})
	id, _ := b.send("lisi|wangwu", "t1")
	b.reply(func(plain string) string {
		return `<xml><ToUserName><![CDATA[lisi]]></ToUserName><FromUserName><![CDATA[` + Corp + `]]></FromUserName><CreateTime>1</CreateTime><MsgType><![CDATA[update_template_card]]></MsgType><TemplateCard><CardType><![CDATA[button_interaction]]></CardType><MainTitle><Title><![CDATA[#42 & mine]]></Title></MainTitle><HorizontalContentList><KeyName>a</KeyName><Value>1</Value></HorizontalContentList><ButtonList><Text><![CDATA[解决]]></Text><Style>1</Style><Key><![CDATA[solve]]></Key></ButtonList></TemplateCard></xml>`
	})
	if err := b.Choose("lisi", id, "优先级", "P1"); err != nil {
		t.Fatal(err)
	}
	a := b.Press("lisi", id, "接单")
	if !a.OK() {
		t.Fatal(a.Err)
	}
	for _, part := range []string{"<Event><![CDATA[template_card_event]]></Event>", "<EventKey><![CDATA[claim]]></EventKey>", "<TaskId><![CDATA[t1]]></TaskId>", "<CardType><![CDATA[button_interaction]]></CardType>", "<SelectedItems><SelectedItem><QuestionKey><![CDATA[prio]]></QuestionKey><OptionIds><OptionId><![CDATA[p1]]></OptionId></OptionIds></SelectedItem></SelectedItems>"} {
		if !strings.Contains(b.last(), part) {
			t.Errorf("the press lacks %s:\n%s", part, b.last())
		}
	}
	lisi, _ := b.Message(AppChat("lisi") + "/" + id)
	wangwu, _ := b.Message(AppChat("wangwu") + "/" + id)
	if got := string(lisi.CardFor("lisi")); !strings.Contains(got, `"#42 \u0026 mine"`) || !strings.Contains(got, `"keyname":"a"`) || !strings.Contains(got, `"style":1`) {
		t.Errorf("the presser sees %s", got)
	}
	if got := string(wangwu.CardFor("wangwu")); strings.Contains(got, "mine") {
		t.Errorf("the other sees %s", got)
	}
	b.reply(nil)
	if a := b.Press("lisi", id, "解决"); !a.OK() || !strings.Contains(b.last(), "<EventKey><![CDATA[solve]]>") {
		t.Errorf("%+v %s", a, b.last())
	}
	if a := b.Press("lisi", id, "接单"); a.Err == nil {
		t.Error("a button that is gone was pressed")
	}
	if a := b.Press("wangwu", id, "静默"); !a.OK() || !strings.Contains(b.last(), "template_card_menu_event") || strings.Contains(b.last(), "SelectedItems") {
		t.Errorf("%+v %s", a, b.last())
	}
	if a := b.Press("wangwu", id, "打开"); a.Kind != "open" || string(a.Body) != "https://t/42" {
		t.Errorf("%+v", a)
	}
}

// robot is a client of the long connection.
type robot struct {
	t      testing.TB
	ws     *websocket.Conn
	frames chan map[string]any
	done   chan struct{}
}

func connect(t testing.TB, s *Server, secret string) *robot {
	t.Helper()
	ws, resp, err := websocket.DefaultDialer.Dial(s.WSURL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r := &robot{t: t, ws: ws, frames: make(chan map[string]any, 64), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for {
			var f map[string]any
			if err := ws.ReadJSON(&f); err != nil {
				return
			}
			r.frames <- f
		}
	}()
	t.Cleanup(func() {
		if err := ws.Close(); err != nil {
			t.Log(err)
		}
		<-r.done
	})
	r.send("aibot_subscribe", "sub", `{"bot_id":"`+Robot+`","secret":"`+secret+`"}`)
	return r
}

func (r *robot) send(cmd, id, body string) {
	r.t.Helper()
	if err := r.ws.WriteMessage(websocket.TextMessage, []byte(fmt.Sprintf(`{"cmd":%q,"headers":{"req_id":%q},"body":%s}`, cmd, id, body))); err != nil {
		r.t.Fatal(err)
	}
}

func (r *robot) next() map[string]any {
	r.t.Helper()
	select {
	case f := <-r.frames:
		return f
	case <-time.After(5 * time.Second):
		r.t.Fatal("no frame came")
	}
	return nil
}

// ask sends a command and returns its acknowledgement.
func (r *robot) ask(cmd, id, body string) map[string]any {
	r.t.Helper()
	r.send(cmd, id, body)
	return r.next()
}

func reqID(f map[string]any) string { return f["headers"].(map[string]any)["req_id"].(string) }

func TestRobotOverItsConnection(t *testing.T) {
	b := newBench(t, Options{})
	b.DeliverRobot("")
	group := b.AddGroup("IT", "lisi", "wangwu")
	r := connect(t, b.Server, RobotSecret)
	b.want("subscribe", r.next(), 0)
	b.want("ping", r.ask("ping", "p1", "null"), 0)
	push := func(conv, task string) map[string]any {
		return r.ask("aibot_send_msg", "s"+task, fmt.Sprintf(`{"chatid":%q,"msgtype":"template_card","template_card":`+card+`}`, conv, task))
	}
	b.want("before anybody talked", push(group, "r1"), 93006)
	b.want("unknown chat", push("wrNOBODY", "r1"), 93006)
	ref, a := b.Mention("lisi", group, "打印机坏了")
	if !a.OK() {
		t.Fatal(a.Err)
	}
	f := r.next()
	body := f["body"].(map[string]any)
	if f["cmd"] != "aibot_msg_callback" || body["chatid"] != group || body["chattype"] != "group" || body["text"].(map[string]any)["content"] != "@派单 打印机坏了" || body["msgid"] != strings.TrimPrefix(ref, group+"/") {
		t.Errorf("%v", f)
	}
	b.want("stream", r.ask("aibot_respond_msg", reqID(f), `{"msgtype":"stream","stream":{"id":"a","finish":false,"content":"…"}}`), 0)
	b.want("stream grows", r.ask("aibot_respond_msg", reqID(f), `{"msgtype":"stream","stream":{"id":"a","finish":true,"content":"好"}}`), 0)
	b.want("a finished stream", r.ask("aibot_respond_msg", reqID(f), `{"msgtype":"stream","stream":{"id":"a","finish":true,"content":"x"}}`), 846608)
	b.want("unknown req_id", r.ask("aibot_respond_msg", "nope", `{"msgtype":"markdown","markdown":{"content":"x"}}`), 846605)
	b.want("no text of its own accord", r.ask("aibot_send_msg", "x", `{"chatid":"`+group+`","msgtype":"text","text":{"content":"x"}}`), 40008)
	b.want("card", push(group, "r1"), 0)
	b.want("the same task again", push(group, "r1"), 42014)
	cards := b.Cards(group)
	if msgs := b.Messages(group); len(cards) != 1 || len(msgs) != 3 || msgs[1].Text != "好" || !msgs[1].Done {
		t.Fatalf("%+v", msgs)
	}
	if a := b.Press("wangwu", "r1", "转派"); !a.OK() {
		t.Fatal(a.Err)
	}
	f = r.next()
	ev := f["body"].(map[string]any)["event"].(map[string]any)["template_card_event"].(map[string]any)
	if ev["event_key"] != "move" || ev["task_id"] != "r1" || ev["card_type"] != "button_interaction" {
		t.Errorf("%v", f)
	}
	update := `{"response_type":"update_template_card","userids":["wangwu"],"template_card":{"card_type":"text_notice","main_title":{"title":"done"},"card_action":{"type":1,"url":"https://t/1"},"task_id":"%s"}}`
	b.want("another task", r.ask("aibot_respond_update_msg", reqID(f), fmt.Sprintf(update, "r2")), 42016)
	b.want("update", r.ask("aibot_respond_update_msg", reqID(f), fmt.Sprintf(update, "r1")), 0)
	b.want("update again", r.ask("aibot_respond_update_msg", reqID(f), fmt.Sprintf(update, "r1")), 846605)
	m, _ := b.Message("r1")
	if !strings.Contains(string(m.CardFor("wangwu")), "done") || strings.Contains(string(m.CardFor("lisi")), "done") {
		t.Errorf("wangwu sees %s, lisi sees %s", m.CardFor("wangwu"), m.CardFor("lisi"))
	}

	second := connect(t, b.Server, "wrong")
	b.want("a wrong secret", second.next(), 40001)
	third := connect(t, b.Server, RobotSecret)
	b.want("subscribe", third.next(), 0)
	gone := r.next()
	if gone["body"].(map[string]any)["event"].(map[string]any)["eventtype"] != "disconnected_event" {
		t.Errorf("%v", gone)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := b.Await(ctx, func() bool { return b.Links() == 1 }); err != nil {
		t.Errorf("%d connections are left", b.Links())
	}
}
