package wecomtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// clock is one that a test moves.
type clock struct{ now atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.now.Store(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.now.Load()) }
func (c *clock) Advance(d time.Duration) { c.now.Add(int64(d)) }

func TestTokens(t *testing.T) {
	clk := newClock()
	b := newBench(t, Options{Now: clk.Now})
	ask := func(corp, secret string) map[string]any {
		b.token = ""
		return b.get("gettoken", url.Values{"corpid": {corp}, "corpsecret": {secret}})
	}
	first := ask(Corp, Secret)["access_token"].(string)
	if again := ask(Corp, Secret); again["access_token"] != first || again["expires_in"].(float64) != 7200 {
		t.Errorf("another token before the first ended: %v", again)
	}
	b.want("no secret", ask("", ""), 41004)
	if o := b.want("wrong corp", ask("ww1", Secret), 40013); !strings.Contains(o["errmsg"].(string), "more info at https://open.work.weixin.qq.com/devtool/query?e=40013") {
		t.Errorf("%v", o)
	}
	use := func(token string) map[string]any {
		b.token = token
		return b.get("getcallbackip", url.Values{})
	}
	b.want("token", use(first), 0)
	b.want("no token", use(""), 41001)
	b.want("made-up token", use("x"), 40014)
	b.Revoke()
	b.want("revoked", use(first), 40014)
	second := ask(Corp, Secret)["access_token"].(string)
	if second == first {
		t.Error("a revoked token was given out again")
	}
	clk.Advance(2 * time.Hour)
	if o := b.want("expired", use(second), 42001); len(o["ip_list"].([]any)) != 0 {
		t.Errorf("a failed list has no list: %v", o)
	}
	b.TrustIPs("203.0.113.7")
	third := ask(Corp, Secret)["access_token"].(string)
	if o := b.want("elsewhere", use(third), 60020); !strings.Contains(o["errmsg"].(string), "not allow to access from your ip, hint: [") || !strings.Contains(o["errmsg"].(string), "from ip: 127.0.0.1") {
		t.Errorf("%v", o)
	}
	b.TrustIPs()
	for range wrongSecrets {
		b.want("wrong secret", ask(Corp, "nope"), 40001)
	}
	b.want("banned, even when right", ask(Corp, Secret), 45009)
	clk.Advance(time.Hour)
	b.want("an hour later", ask(Corp, Secret), 0)
	if n := b.Calls("gettoken"); n != 6+wrongSecrets+3 {
		t.Errorf("%d calls", n)
	}
	resp, err := b.client.Get(b.URL + "/cgi-bin/nothing/here?access_token=" + third)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown path answers %d", resp.StatusCode)
	}
}

func TestSendRefusals(t *testing.T) {
	b := newBench(t, Options{})
	b.AddApp(1000003, "another-secret")
	b.ChangeUser("wangwu", func(u *User) { u.Hidden = true })
	text := `"agentid":1000002,"msgtype":"text","text":{"content":"hi"}}`
	for _, c := range []struct {
		body string
		code int
	}{
		{`{"touser":"lisi",` + text, 0},
		{`{"touser":"lisi","agentid":"1000002","msgtype":"text","text":{"content":"hi \u003cb\u003e"}}`, 0},
		{`{"touser":"@all",` + text, 0},
		{`{"toparty":"1",` + text, 0},
		{`not json`, 47001},
		{`{"touser":"lisi","msgtype":"text","text":{"content":"hi"}}`, 40056},
		{`{"touser":"lisi","agentid":"x","msgtype":"text","text":{"content":"hi"}}`, 40056},
		{`{"touser":"lisi","agentid":7,"msgtype":"text","text":{"content":"hi"}}`, 40056},
		{`{"touser":"lisi","agentid":1000003,"msgtype":"text","text":{"content":"hi"}}`, 301002},
		{`{` + text, 82001},
		{`{"touser":"Nobody|wangwu",` + text, 81013},
		{`{"touser":"` + strings.Repeat("u|", 1001) + `",` + text, 40031},
		{`{"touser":"lisi","agentid":1000002,"msgtype":"text","text":{"content":""}}`, 44004},
		{`{"touser":"lisi","agentid":1000002,"msgtype":"poll","poll":{}}`, 40008},
		{`{"touser":"lisi","agentid":1000002,"msgtype":"markdown","markdown":{"content":"` + strings.Repeat("长", 683) + `"}}`, 45002},
		{`{"touser":"lisi","agentid":1000002,"msgtype":"news","news":{"articles":[` + list(9, `{"title":"a","url":"https://u"}`) + `]}}`, 45008},
		{`{"touser":"lisi","agentid":1000002,"msgtype":"file","file":{"media_id":"x"}}`, 40007},
		{`{"touser":"lisi","agentid":1000002,"msgtype":"template_card","template_card":{"card_type":"button_interaction","main_title":{"title":"x"},"task_id":"z"}}`, 40058},
		{`{"touser":"lisi","agentid":1000002,"msgtype":"textcard","textcard":{"title":"a","description":"b","url":"https://u"}}`, 0},
	} {
		b.want(fmt.Sprintf("%.120s", c.body), b.post("message/send", c.body), c.code)
	}
	o := b.want("partly", b.post("message/send", `{"touser":"lisi|Nobody|wangwu",`+text), 0)
	if o["invaliduser"] != "nobody|wangwu" {
		t.Errorf("%v", o)
	}
	long := strings.Repeat("长", 700)
	b.want("long text", b.post("message/send", `{"touser":"lisi","agentid":1000002,"msgtype":"text","text":{"content":"`+long+`"}}`), 0)
	all := b.Messages(AppChat("lisi"))
	if got := all[len(all)-1].Text; len(got) != 2046 || !strings.HasPrefix(long, got) {
		t.Errorf("a text of 2100 bytes is shown with %d", len(got))
	}
	b.send("lisi", "t1")
	b.want("task_id again", b.post("message/send", `{"touser":"lisi","agentid":1000002,"msgtype":"template_card","template_card":`+fmt.Sprintf(card, "t1")+`}`), 42014)
	off := newBench(t, Options{NoCallback: true})
	off.want("no callback", off.post("message/send", `{"touser":"lisi","agentid":1000002,"msgtype":"template_card","template_card":`+fmt.Sprintf(card, "t1")+`}`), 43012)
	off.want("a notice needs none", off.post("message/send", `{"touser":"lisi","agentid":1000002,"msgtype":"template_card","template_card":`+notice+`}`), 0)
}

func TestTheSameRequestIsSwallowed(t *testing.T) {
	clk := newClock()
	b := newBench(t, Options{Now: clk.Now})
	body := `{"touser":"lisi","agentid":1000002,"enable_duplicate_check":1,"msgtype":"template_card","template_card":` + fmt.Sprintf(card, "t1") + `}`
	first := b.want("first", b.post("message/send", body), 0)
	second := b.want("again", b.post("message/send", body), 0)
	if first["response_code"] == nil || second["msgid"] != nil || len(b.Cards(AppChat("lisi"))) != 1 {
		t.Errorf("%v, %v", first, second)
	}
	clk.Advance(30 * time.Minute)
	b.want("half an hour later, a task_id is still used up", b.post("message/send", body), 42014)
	b.want("too long a window", b.post("message/send", `{"touser":"lisi","agentid":1000002,"enable_duplicate_check":1,"duplicate_check_interval":14401,"msgtype":"text","text":{"content":"a"}}`), 40058)
}

func TestMoreThanThirtyAMinuteAreSwallowed(t *testing.T) {
	clk := newClock()
	b := newBench(t, Options{Now: clk.Now, RateLimits: true})
	for i := range 32 {
		b.want("send", b.post("message/send", fmt.Sprintf(`{"touser":"lisi","agentid":1000002,"msgtype":"text","text":{"content":"%d"}}`, i)), 0)
	}
	if n := len(b.Messages(AppChat("lisi"))); n != 30 || b.Dropped() != 2 {
		t.Errorf("%d messages are shown, %d were swallowed", n, b.Dropped())
	}
	clk.Advance(time.Minute)
	b.want("send", b.post("message/send", `{"touser":"lisi","agentid":1000002,"msgtype":"text","text":{"content":"later"}}`), 0)
	if n := len(b.Messages(AppChat("lisi"))); n != 31 {
		t.Errorf("%d messages are shown", n)
	}
}

func TestACodeChangesACardOnce(t *testing.T) {
	clk := newClock()
	b := newBench(t, Options{Now: clk.Now, TokenLife: 200 * time.Hour})
	b.AddApp(1000003, "another-secret")
	id, first := b.send("lisi|wangwu", "t1")
	update := func(code, rest string) map[string]any {
		return b.post("message/update_template_card", `{"agentid":1000002,"response_code":"`+code+`",`+rest+`}`)
	}
	const grey = `"button":{"replace_name":"已受理"}`
	const face = `"template_card":{"card_type":"text_notice","main_title":{"title":"done"},"card_action":{"type":1,"url":"https://t/1"}%s}`
	b.want("unknown code", update("x", `"atall":1,`+grey), 40058)
	b.want("nobody", update(first, grey), 82001)
	b.want("nothing", update(first, `"atall":1`), 40058)
	b.want("a broken card", update(first, `"atall":1,"template_card":{"card_type":"text_notice"}`), 42033)
	b.want("another task", update(first, `"atall":1,`+fmt.Sprintf(face, `,"task_id":"t2"`)), 42016)
	b.want("nobody who has it", update(first, `"userids":["nobody"],`+grey), 81013)
	o := b.want("update", update(first, `"userids":["lisi","Nobody"],`+grey), 0)
	if got := fmt.Sprint(o["invaliduser"]); got != "[nobody]" {
		t.Errorf("invaliduser is %s", got)
	}
	b.want("the same code", update(first, `"atall":1,`+grey), 42022)
	if a := b.Press("lisi", id, "接单"); a.Err == nil {
		t.Error("a grey button was pressed")
	}
	if a := b.Press("wangwu", id, "接单"); !a.OK() {
		t.Fatal(a.Err)
	}
	code := func() string {
		_, rest, _ := strings.Cut(b.last(), "<ResponseCode><![CDATA[")
		c, _, _ := strings.Cut(rest, "]]>")
		return c
	}
	fresh := code()
	mine := b.token
	b.token = b.get("gettoken", url.Values{"corpid": {Corp}, "corpsecret": {"another-secret"}})["access_token"].(string)
	b.want("another app", b.post("message/update_template_card", `{"agentid":1000003,"response_code":"`+fresh+`","atall":1,`+grey+`}`), 42015)
	b.token = mine
	b.want("the press brings a code", update(fresh, `"atall":1,`+fmt.Sprintf(face, "")), 0)
	for _, u := range []string{"lisi", "wangwu"} {
		if m, _ := b.Message(AppChat(u) + "/" + id); !strings.Contains(string(m.CardFor(u)), "done") {
			t.Errorf("%s sees %s", u, m.CardFor(u))
		}
	}
	id, first = b.send("lisi", "t3")
	clk.Advance(72 * time.Hour)
	b.want("after 72 hours", update(first, `"atall":1,`+grey), 40058)
	b.want("recall after 24 hours", b.post("message/recall", `{"msgid":"`+id+`"}`), 42052)
	id, _ = b.send("lisi", "t4")
	b.want("recall", b.post("message/recall", `{"msgid":"`+id+`"}`), 0)
	if _, ok := b.Message(id); ok {
		t.Error("a recalled message is shown")
	}
	b.want("recall of what is not there", b.post("message/recall", `{"msgid":"x"}`), 40058)
}

func TestDirectory(t *testing.T) {
	b := newBench(t, Options{})
	b.AddDepartment(2, 1, "IT")
	b.AddDepartment(3, 2, "网络")
	b.AddUser(User{ID: "zhaomin", Name: "赵敏", Departments: []int{2}, Leader: true, Email: "zhao@example.com"})
	b.AddUser(User{ID: "secret", Hidden: true, Email: "s@example.com"})
	o := b.want("get", b.get("user/get", url.Values{"userid": {"lisi"}}), 0)
	if o["name"] != "李四" || o["status"].(float64) != 1 || o["email"] != nil || o["mobile"] != nil {
		t.Errorf("%v", o)
	}
	b.want("nobody", b.get("user/get", url.Values{"userid": {"x"}}), 60111)
	b.want("out of range", b.get("user/get", url.Values{"userid": {"secret"}}), 60011)
	b.want("by mail", b.post("user/get_userid_by_email", `{"email":"LI.SI@example.com","email_type":1}`), 0)
	b.want("by mail, hidden", b.post("user/get_userid_by_email", `{"email":"s@example.com"}`), 46004)
	if o := b.post("user/getuserid", `{"mobile":"13800000001"}`); o["userid"] != "lisi" {
		t.Errorf("%v", o)
	}
	b.want("by number", b.post("user/getuserid", `{"mobile":"1"}`), 46004)
	if o := b.get("user/simplelist", url.Values{"department_id": {"2"}}); len(o["userlist"].([]any)) != 1 {
		t.Errorf("%v", o)
	}
	if o := b.get("user/list", url.Values{"department_id": {"1"}}); len(o["userlist"].([]any)) != 2 {
		t.Errorf("not recursive: %v", o)
	}
	if o := b.want("no department", b.get("user/list", url.Values{"department_id": {"9"}}), 60123); len(o["userlist"].([]any)) != 0 {
		t.Errorf("%v", o)
	}
	if o := b.get("department/simplelist", url.Values{"id": {"2"}}); len(o["department_id"].([]any)) != 2 {
		t.Errorf("%v", o)
	}
	if o := b.get("department/list", url.Values{}); len(o["department"].([]any)) != 3 {
		t.Errorf("%v", o)
	}
	if o := b.get("department/get", url.Values{"id": {"3"}}); o["department"].(map[string]any)["name"] != "网络" {
		t.Errorf("%v", o)
	}
	open := b.post("user/convert_to_openid", `{"userid":"lisi"}`)["openid"].(string)
	if o := b.post("user/convert_to_userid", `{"openid":"`+open+`"}`); o["userid"] != "lisi" {
		t.Errorf("%v", o)
	}
	sensitive := newBench(t, Options{Sensitive: true})
	if o := sensitive.get("user/get", url.Values{"userid": {"lisi"}}); o["email"] != "li.si@example.com" {
		t.Errorf("%v", o)
	}
}

func TestLoginCodesServeOnce(t *testing.T) {
	clk := newClock()
	b := newBench(t, Options{Now: clk.Now})
	b.LogIn("lisi")
	resp, err := b.client.Get(b.URL + "/connect/oauth2/authorize?appid=" + Corp + "&redirect_uri=" + url.QueryEscape("https://desk.example/back?x=1") + "&response_type=code&scope=snsapi_privateinfo&agentid=1000002&state=s7")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil || to.Query().Get("state") != "s7" || to.Query().Get("x") != "1" {
		t.Fatalf("%v %v", to, err)
	}
	ask := func(code string) map[string]any {
		return b.get("auth/getuserinfo", url.Values{"code": {code}})
	}
	o := b.want("code", ask(to.Query().Get("code")), 0)
	if o["userid"] != "lisi" {
		t.Errorf("%v", o)
	}
	if d := b.post("auth/getuserdetail", `{"user_ticket":"`+o["user_ticket"].(string)+`"}`); d["email"] != "li.si@example.com" {
		t.Errorf("%v", d)
	}
	b.want("again", ask(to.Query().Get("code")), 40029)
	code := b.LoginCode("stranger", false)
	if o := ask(code); o["openid"] == nil || o["userid"] != nil {
		t.Errorf("%v", o)
	}
	code = b.LoginCode("lisi", false)
	clk.Advance(5 * time.Minute)
	b.want("too late", ask(code), 40029)
}

func TestGroupsOfTheApp(t *testing.T) {
	b := newBench(t, Options{})
	b.want("alone", b.post("appchat/create", `{"name":"a","userlist":["lisi"]}`), 86217)
	b.want("a bad id", b.post("appchat/create", `{"name":"a","userlist":["lisi","wangwu"],"chatid":"a-b"}`), 86001)
	id := b.want("create", b.post("appchat/create", `{"name":"a","userlist":["lisi","wangwu"]}`), 0)["chatid"].(string)
	b.want("send", b.post("appchat/send", `{"chatid":"`+id+`","msgtype":"text","text":{"content":"hi","mentioned_list":["@all"]}}`), 0)
	b.want("no cards", b.post("appchat/send", `{"chatid":"`+id+`","msgtype":"template_card","template_card":`+notice+`}`), 40008)
	b.want("nowhere", b.post("appchat/send", `{"chatid":"x","msgtype":"text","text":{"content":"hi"}}`), 86003)
	b.want("update", b.post("appchat/update", `{"chatid":"`+id+`","name":"b"}`), 0)
	b.want("too few", b.post("appchat/update", `{"chatid":"`+id+`","del_user_list":["lisi"]}`), 86217)
	if o := b.get("appchat/get", url.Values{"chatid": {id}}); o["chat_info"].(map[string]any)["name"] != "b" {
		t.Errorf("%v", o)
	}
	if m := b.Messages(id); len(m) != 1 || !slices.Equal(m[0].Live(), []string{"mention @all"}) {
		t.Errorf("%+v", m)
	}
}

func TestWebhooks(t *testing.T) {
	clk := newClock()
	b := newBench(t, Options{Now: clk.Now, RateLimits: true})
	group := b.AddGroup("g", "lisi")
	key := b.AddWebhook(group)
	send := func(key, body string) map[string]any { return b.post("webhook/send?key="+key, body) }
	b.want("bad key", send("x", `{"msgtype":"text","text":{"content":"hi"}}`), 93000)
	b.want("text", send(key, `{"msgtype":"text","text":{"content":"hi","mentioned_list":["lisi"]}}`), 0)
	b.want("long text", send(key, `{"msgtype":"text","text":{"content":"`+strings.Repeat("a", 2049)+`"}}`), 45002)
	b.want("long markdown", send(key, `{"msgtype":"markdown","markdown":{"content":"`+strings.Repeat("a", 4097)+`"}}`), 45002)
	b.want("a notice", send(key, `{"msgtype":"template_card","template_card":`+notice+`}`), 0)
	b.want("buttons", send(key, `{"msgtype":"template_card","template_card":`+buttons+`}`), 42031)
	b.want("an image", send(key, `{"msgtype":"image","image":{"base64":"YWJjZGVm","md5":"e80b5017098950fc58aad83c8c14978e"}}`), 0)
	b.want("a wrong sum", send(key, `{"msgtype":"image","image":{"base64":"YWJjZGVm","md5":"00"}}`), 40058)
	for range 17 {
		b.want("text", send(key, `{"msgtype":"markdown","markdown":{"content":"a"}}`), 0)
	}
	b.want("the 21st in a minute", send(key, `{"msgtype":"markdown","markdown":{"content":"a"}}`), 45009)
	b.ChangeGroup(group, func(g *Group) { g.Gone = true })
	b.want("no group any more", send(key, `{"msgtype":"markdown","markdown":{"content":"a"}}`), 93008)
}

// upload sends a file as a form.
func (b *bench) upload(path string, content []byte) map[string]any {
	b.t.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("media", "log.txt")
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := part.Write(content); err != nil {
		b.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.t.Fatal(err)
	}
	path, query, _ := strings.Cut(path, "?")
	req, err := http.NewRequest(http.MethodPost, b.URL+"/cgi-bin/"+path+"?access_token="+b.token+"&"+query, &form)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	return b.do(req)
}

func TestMedia(t *testing.T) {
	clk := newClock()
	b := newBench(t, Options{Now: clk.Now, TokenLife: 100 * time.Hour})
	o := b.want("upload", b.upload("media/upload?type=file", []byte("some words")), 0)
	id := o["media_id"].(string)
	if _, isText := o["created_at"].(string); !isText {
		t.Errorf("%v", o)
	}
	b.want("empty", b.upload("media/upload?type=file", nil), 44001)
	b.want("five bytes", b.upload("media/upload?type=file", []byte("12345")), 44001)
	b.want("unknown type", b.upload("media/upload?type=x", []byte("some words")), 40004)
	b.want("too large", b.upload("media/upload?type=voice", make([]byte, 2<<20+1)), 45001)
	b.want("empty, before the key is looked at", b.upload("webhook/upload_media?type=file&key=x", nil), 44001)
	b.want("bad key", b.upload("webhook/upload_media?type=file&key=x", []byte("some words")), 93000)
	get := func() string {
		resp, err := b.client.Get(b.URL + "/cgi-bin/media/get?access_token=" + b.token + "&media_id=" + id)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if got := get(); got != "some words" {
		t.Errorf("%q", got)
	}
	b.want("send", b.post("message/send", `{"touser":"lisi","agentid":1000002,"msgtype":"file","file":{"media_id":"`+id+`"}}`), 0)
	if f := b.Files(AppChat("lisi")); len(f) != 1 || f[0].Name != "log.txt" || string(f[0].Content) != "some words" {
		t.Errorf("%+v", f)
	}
	b.want("as an image", b.post("message/send", `{"touser":"lisi","agentid":1000002,"msgtype":"image","image":{"media_id":"`+id+`"}}`), 40004)
	clk.Advance(72 * time.Hour)
	if got := get(); !strings.Contains(got, `"errcode":40007`) {
		t.Errorf("%q", got)
	}
}

func TestFaults(t *testing.T) {
	b := newBench(t, Options{})
	const body = `{"touser":"lisi","agentid":1000002,"msgtype":"text","text":{"content":"hi"}}`
	raw := func() (int, string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL+"/cgi-bin/message/send?access_token="+b.token, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.client.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(got), err
	}
	for _, c := range []struct {
		f      Fault
		status int // 0 = an error
		body   string
		done   int
	}{
		{Fault{Kind: Refused, Code: 60011}, 200, `"errcode":60011`, 0},
		{Fault{Kind: Busy}, 200, `"errcode":-1`, 0},
		{Fault{Kind: Limited}, 200, `"errcode":45009`, 0},
		{Fault{Kind: ServerError, Status: 502}, 502, `<html>`, 0},
		{Fault{Kind: NotJSON}, 200, `<html>`, 0},
		{Fault{Kind: Empty}, 200, `{}`, 0},
		{Fault{Kind: CutBefore}, 0, ``, 0},
		{Fault{Kind: CutAfter}, 0, ``, 1},
		{Fault{Kind: HalfAnswer}, 0, ``, 1},
		{Fault{Kind: Slow, Delay: time.Minute}, 0, ``, 1},
		{Fault{Kind: Warned}, 200, `Warning: wrong json format`, 1},
		{Fault{Kind: Busy, Method: "user/get"}, 200, `"errcode":0`, 1},
	} {
		before := len(b.Messages(AppChat("lisi")))
		b.Fail(c.f)
		status, got, err := raw()
		if c.status == 0 && err == nil || c.status != 0 && (err != nil || status != c.status || !strings.Contains(got, c.body)) {
			t.Errorf("%s: %d %q %v", c.f.Kind, status, got, err)
		}
		if n := len(b.Messages(AppChat("lisi"))) - before; n != c.done {
			t.Errorf("%s: %d messages more, want %d", c.f.Kind, n, c.done)
		}
		b.Heal()
	}
}

func TestMenu(t *testing.T) {
	b := newBench(t, Options{})
	b.want("none", b.get("menu/get", url.Values{"agentid": {"1000002"}}), 46003)
	b.want("four", b.post("menu/create?agentid=1000002", `{"button":[`+list(4, `{"name":"a","type":"click","key":"k"}`)+`]}`), 40058)
	b.want("no key", b.post("menu/create?agentid=1000002", `{"button":[{"name":"a","type":"click"}]}`), 40058)
	b.want("another app", b.post("menu/create?agentid=7", `{"button":[{"name":"a","type":"click","key":"k"}]}`), 40056)
	b.want("create", b.post("menu/create?agentid=1000002", `{"button":[{"name":"提单","type":"click","key":"new"},{"name":"更多","sub_button":[{"name":"帮助","type":"click","key":"help"},{"name":"网页","type":"view","url":"https://u"}]}]}`), 0)
	if o := b.want("get", b.get("menu/get", url.Values{"agentid": {"1000002"}}), 0); len(o["button"].([]any)) != 2 {
		t.Errorf("%v", o)
	}
	for what, want := range map[string]string{"帮助": "<Event><![CDATA[click]]></Event><EventKey><![CDATA[help]]>", "new": "<EventKey><![CDATA[new]]>", "网页": "<Event><![CDATA[view]]></Event><EventKey><![CDATA[https://u]]>"} {
		if a := b.MenuClick("lisi", what); !a.OK() || !strings.Contains(b.last(), want) {
			t.Errorf("%s: %+v %s", what, a, b.last())
		}
	}
	if a := b.MenuClick("lisi", "无"); a.Err == nil {
		t.Error("an entry that is not there was pressed")
	}
	b.want("delete", b.get("menu/delete", url.Values{"agentid": {"1000002"}}), 0)
}

func TestService(t *testing.T) {
	clk := newClock()
	b := newBench(t, Options{Now: clk.Now, TokenLife: 100 * time.Hour})
	account, customer := b.AddAccount("售后"), b.AddCustomer(Customer{Name: "赵先生"})
	conv := ServiceChat(account, customer)
	nudge := func() string {
		_, rest, _ := strings.Cut(b.last(), "<Token><![CDATA[")
		token, _, _ := strings.Cut(rest, "]]>")
		return token
	}
	pull := func(rest string) map[string]any {
		return b.post("kf/sync_msg", `{"open_kfid":"`+account+`"`+rest+`}`)
	}
	say := func() map[string]any {
		return b.post("kf/send_msg", `{"touser":"`+customer+`","open_kfid":"`+account+`","msgtype":"text","text":{"content":"好"}}`)
	}
	b.want("before the customer spoke", say(), 95002)
	if a := b.CustomerEnters(customer, account, "web"); !a.OK() {
		t.Fatal(a.Err)
	}
	o := b.want("pull", pull(`,"token":"`+nudge()+`"`), 0)
	ev := o["msg_list"].([]any)[0].(map[string]any)["event"].(map[string]any)
	greet := func() map[string]any {
		return b.post("kf/send_msg_on_event", `{"code":"`+ev["welcome_code"].(string)+`","msgtype":"msgmenu","msgmenu":{"head_content":"您好","list":[{"type":"click","click":{"id":"m1","content":"报修"}}],"tail_content":"请选"}}`)
	}
	b.want("greet", greet(), 0)
	b.want("greet twice", greet(), 40058)
	menu := b.Messages(conv)[0]
	if menu.Text != "您好\n报修\n请选" {
		t.Errorf("%q", menu.Text)
	}
	if a := b.CustomerChooses(customer, account, menu.Ref(), "报修"); !a.OK() {
		t.Fatal(a.Err)
	}
	b.EmptyPages(1)
	next := o["next_cursor"].(string)
	o = b.want("an empty page", pull(`,"cursor":"`+next+`"`), 0)
	if o["has_more"].(float64) != 1 || len(o["msg_list"].([]any)) != 0 {
		t.Errorf("%v", o)
	}
	if _, a := b.CustomerSays(customer, account, "打印机坏了"); !a.OK() {
		t.Fatal(a.Err)
	}
	o = b.want("a page", pull(`,"limit":1,"cursor":"`+o["next_cursor"].(string)+`"`), 0)
	first := o["msg_list"].([]any)[0].(map[string]any)
	if o["has_more"].(float64) != 1 || first["text"].(map[string]any)["menu_id"] != "m1" || first["origin"].(float64) != 3 {
		t.Errorf("%v", o)
	}
	o = b.want("the rest", pull(`,"cursor":"`+o["next_cursor"].(string)+`"`), 0)
	if o["has_more"].(float64) != 0 || o["msg_list"].([]any)[0].(map[string]any)["text"].(map[string]any)["content"] != "打印机坏了" {
		t.Errorf("%v", o)
	}
	b.want("a made-up token", pull(`,"token":"x"`), 95007)
	b.want("no account", b.post("kf/sync_msg", `{"open_kfid":"wk1"}`), 95004)
	for range 5 {
		b.want("answer", say(), 0)
	}
	b.want("the sixth", say(), 95001)
	if _, a := b.CustomerSays(customer, account, "还在吗"); !a.OK() {
		t.Fatal(a.Err)
	}
	old := nudge()
	b.want("answer", say(), 0)
	clk.Advance(48 * time.Hour)
	b.want("two days later", say(), 95002)
	b.want("an old token", pull(`,"token":"`+old+`"`), 95007)
	clk.Advance(24 * time.Hour)
	if o := pull(``); len(o["msg_list"].([]any)) != 0 {
		t.Errorf("after three days: %v", o)
	}
	state := func(n int, who string) map[string]any {
		return b.post("kf/service_state/trans", fmt.Sprintf(`{"open_kfid":%q,"external_userid":%q,"service_state":%d,"servicer_userid":%q}`, account, customer, n, who))
	}
	b.want("nobody's", state(3, "nobody"), 95014)
	b.want("from new to ended", state(4, ""), 95016)
	b.want("to a person", state(3, "lisi"), 0)
	if o := b.post("kf/service_state/get", `{"open_kfid":"`+account+`","external_userid":"`+customer+`"}`); o["service_state"].(float64) != 3 || o["servicer_userid"] != "lisi" {
		t.Errorf("%v", o)
	}
	b.want("while a person serves", say(), 95018)
	if o := b.post("kf/account/list", `{}`); len(o["account_list"].([]any)) != 1 {
		t.Errorf("%v", o)
	}
	if o := b.post("kf/add_contact_way", `{"open_kfid":"`+account+`","scene":"s1"}`); !strings.HasPrefix(o["url"].(string), "https://work.weixin.qq.com/kfid/"+account) {
		t.Errorf("%v", o)
	}
	b.want("a long id", b.post("kf/send_msg", `{"touser":"`+customer+`","open_kfid":"`+account+`","msgid":"`+strings.Repeat("a", 33)+`","msgtype":"text","text":{"content":"x"}}`), 40058)
	b.want("eleven entries", b.post("kf/send_msg", `{"touser":"`+customer+`","open_kfid":"`+account+`","msgtype":"msgmenu","msgmenu":{"list":[`+list(11, `{"type":"click","click":{"id":"#","content":"a"}}`)+`]}}`), 95008)
}

func TestClicksAreTakenLikePresses(t *testing.T) {
	b := newBench(t, Options{})
	id, _ := b.send("lisi", "t1")
	clicks, err := b.Clicks("lisi", id, "接单")
	if err != nil {
		t.Fatal(err)
	}
	query, kind, body, err := clicks.Press("wangwu", "key-7", "task-7", "stamp7", time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	a := b.Post("click", b.target, Request{Query: query, Body: body, Type: kind})
	if !a.OK() {
		t.Fatalf("%+v", a)
	}
	for _, part := range []string{"<FromUserName><![CDATA[wangwu]]>", "<CreateTime>1700000000<", "<EventKey><![CDATA[key-7]]>", "<TaskId><![CDATA[task-7]]>", "<ResponseCode><![CDATA[rcClickstamp7]]>"} {
		if !strings.Contains(b.last(), part) {
			t.Errorf("no %s in %s", part, b.last())
		}
	}
	spend := `{"agentid":1000002,"response_code":"rcClickstamp7","userids":["wangwu"],"button":{"replace_name":"x"}}`
	b.want("the code of a press", b.post("message/update_template_card", spend), 0)
	b.want("the same again", b.post("message/update_template_card", spend), 42022)

	group := b.AddGroup("g", "lisi")
	b.reply(func(string) string {
		return `{"msgtype":"template_card","template_card":` + fmt.Sprintf(card, "r1") + `}`
	})
	if _, a := b.Mention("lisi", group, "x"); !a.OK() {
		t.Fatal(a.Err)
	}
	b.reply(nil)
	if clicks, err = b.Clicks("lisi", "r1", "转派"); err != nil {
		t.Fatal(err)
	}
	query, kind, body, err = clicks.Press("wangwu", "key-8", "task-8", "stamp8", time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	if a := b.Post("click", b.robotTarget, Request{Query: query, Body: body, Type: kind}); !a.OK() {
		t.Fatalf("%+v", a)
	}
	var got struct {
		MsgID      string `json:"msgid"`
		CreateTime int64  `json:"create_time"`
		From       struct{ UserID string }
		Event      struct {
			Card struct {
				Key  string `json:"event_key"`
				Task string `json:"task_id"`
			} `json:"template_card_event"`
		}
	}
	if err := json.Unmarshal([]byte(b.last()), &got); err != nil || got.From.UserID != "wangwu" || got.Event.Card.Key != "key-8" || got.Event.Card.Task != "task-8" || got.CreateTime != 1_700_000_000 {
		t.Errorf("%v %s", err, b.last())
	}
}

func BenchmarkUpdate(b *testing.B) {
	x := newBench(b, Options{})
	x.OnArrival(func(Arrival) {})
	id, _ := x.send("lisi", "t1")
	codes := make([]string, b.N)
	x.mu.Lock()
	for i := range codes {
		codes[i] = x.newCode(Agent, x.byID[id])
	}
	x.mu.Unlock()
	for i := range b.N {
		x.want("update", x.post("message/update_template_card", `{"agentid":1000002,"userids":["lisi"],"response_code":"`+codes[i]+`","template_card":`+notice+`}`), 0)
	}
}

func BenchmarkClick(b *testing.B) {
	x := newBench(b, Options{})
	id, _ := x.send("lisi", "t1")
	clicks, err := x.Clicks("lisi", id, "接单")
	if err != nil {
		b.Fatal(err)
	}
	at := time.Now()
	for i := range b.N {
		if _, _, _, err := clicks.Press("lisi", "key", "task", fmt.Sprint(i), at); err != nil {
			b.Fatal(err)
		}
	}
}
