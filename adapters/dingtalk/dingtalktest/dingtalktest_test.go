package dingtalktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a server with a group that ann and bob are in.
type desk struct {
	*Server
	t              testing.TB
	ann, bob, help string
	token          string
}

func newDesk(t testing.TB, o Options) *desk {
	s := New(o)
	t.Cleanup(s.Close)
	d := &desk{Server: s, t: t, ann: s.AddUser(User{Name: "安娜", Mobile: "13800000001"}), bob: s.AddUser(User{Name: "鲍勃"})}
	d.help = s.AddGroup("服务台", false, d.ann, d.bob)
	return d
}

// do makes a request and returns status and answer.
func (d *desk) do(verb, url, token string, body any) (int, map[string]any) {
	d.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(d.t.Context(), verb, url, bytes.NewReader(b))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if token != "" {
		req.Header.Set("x-acs-dingtalk-access-token", token)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		d.t.Fatalf("%s: %v", raw, err)
	}
	return resp.StatusCode, out
}

// call calls api.dingtalk.com with a token.
func (d *desk) call(verb, path string, body any) (int, map[string]any) {
	d.t.Helper()
	if d.token == "" {
		_, out := d.do("POST", d.APIURL()+"/v1.0/oauth2/accessToken", "", object{"appKey": d.opt.ClientID, "appSecret": d.opt.ClientSecret})
		d.token, _ = out["accessToken"].(string)
	}
	return d.do(verb, d.APIURL()+"/v1.0/"+path, d.token, body)
}

// post shows a card in the group, and returns what DingTalk said.
func (d *desk) post(id string, vars object) (int, map[string]any) {
	d.t.Helper()
	return d.call("POST", "card/instances/createAndDeliver", d.cardOf(id, vars))
}

func (d *desk) cardOf(id string, vars object) object {
	return object{
		"cardTemplateId": TemplateID, "outTrackId": id, "callbackType": "STREAM", "userIdType": 1, "cardData": object{"cardParamMap": vars},
		"openSpaceId": "dtv1.card//im_group." + d.help, "imGroupOpenSpaceModel": object{"supportForward": true}, "imGroupOpenDeliverModel": object{"robotCode": ClientID},
	}
}

const claim = `[{"label":"接单","token":"tok-1","style":"primary","confirm":"","url":""},{"label":"看板","token":"","style":"","confirm":"","url":"https://example.com"}]`

// app is a small Stream client: it answers frames as it is told.
type app struct {
	d      *desk
	ws     *websocket.Conn
	done   chan struct{}
	mu     sync.Mutex // guards what follows
	frames []frame
	answer func(f frame) (code int, data string, silent bool)
}

type frame struct {
	Type    string
	Headers map[string]any
	Data    string
}

func (f frame) topic() string { return fmt.Sprint(f.Headers["topic"]) }

func (d *desk) ticket() (endpoint, ticket string) {
	d.t.Helper()
	_, out := d.do("POST", d.APIURL()+"/v1.0/gateway/connections/open", "", object{
		"clientId": d.opt.ClientID, "clientSecret": d.opt.ClientSecret, "ua": "test",
		"subscriptions": []object{{"type": "EVENT", "topic": "*"}, {"type": "CALLBACK", "topic": MessageTopic}, {"type": "CALLBACK", "topic": CardTopic}},
	})
	endpoint, _ = out["endpoint"].(string)
	ticket, _ = out["ticket"].(string)
	return endpoint, ticket
}

func (d *desk) connect(answer func(f frame) (int, string, bool)) *app {
	d.t.Helper()
	endpoint, ticket := d.ticket()
	ws, resp, err := websocket.DefaultDialer.DialContext(d.t.Context(), endpoint+"?ticket="+ticket, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		d.t.Fatal(err)
	}
	a := &app{d: d, ws: ws, answer: answer, done: make(chan struct{})}
	go a.read()
	d.t.Cleanup(func() {
		if err := ws.Close(); err != nil {
			d.t.Log(err)
		}
		<-a.done
	})
	if err := d.WaitConnection(d.t.Context(), 1); err != nil {
		d.t.Fatal(err)
	}
	return a
}

func (a *app) read() {
	defer close(a.done)
	for {
		_, b, err := a.ws.ReadMessage()
		if err != nil {
			return
		}
		var f frame
		if err := json.Unmarshal(b, &f); err != nil {
			a.d.t.Error(err)
			return
		}
		a.mu.Lock()
		a.frames = append(a.frames, f)
		answer := a.answer
		a.mu.Unlock()
		code, data, silent := 200, "", false
		switch {
		case answer != nil:
			code, data, silent = answer(f)
		case f.Type == "EVENT":
			data = `{"status":"SUCCESS"}`
		case f.topic() == CardTopic:
			data = `{"response":{}}`
		case f.topic() == "ping":
			data = f.Data
		case f.topic() == MessageTopic:
			data = `{"response":null}`
		}
		if silent {
			continue
		}
		if err := a.ws.WriteJSON(object{"code": code, "headers": object{"messageId": f.Headers["messageId"], "contentType": "application/json"}, "message": "OK", "data": data}); err != nil {
			return
		}
	}
}

// reply changes how frames are answered.
func (a *app) reply(answer func(f frame) (code int, data string, silent bool)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func (a *app) seen() []frame {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]frame{}, a.frames...)
}

func TestPressedCardShowsTheAnswer(t *testing.T) {
	d := newDesk(t, Options{})
	d.connect(func(f frame) (int, string, bool) {
		if !strings.Contains(f.Data, `\"token\":\"tok-1\"`) || !strings.Contains(f.Data, `\"actionIds\":[\"press\"]`) {
			t.Errorf("pressed: %s", f.Data)
		}
		return 200, `{"response":{"cardUpdateOptions":{"updateCardDataByKey":true,"updatePrivateDataByKey":true},"cardData":{"cardParamMap":{"title":"在办"}},"userPrivateData":{"cardParamMap":{"note":"您接的"}}}}`, false
	})
	if status, out := d.post("t1", object{"title": "待接", "tone": "open", "actions": claim}); status != 200 {
		t.Fatal(status, out)
	}
	if a := d.Press(d.ann, "t1", "接单"); !a.OK() {
		t.Fatalf("%+v", a)
	}
	ann, err := d.Draw(d.ann, "t1")
	if err != nil || ann.Title != "在办" || ann.Note != "您接的" || ann.Tone != "open" || len(ann.Actions) != 2 {
		t.Errorf("%+v %v", ann, err)
	}
	if bob, err := d.Draw(d.bob, d.Cards(d.help)[0].Ref()); err != nil || bob.Title != "在办" || bob.Note != "" {
		t.Errorf("%+v %v", bob, err)
	}
	for _, what := range []string{"看板", "没有"} {
		if a := d.Press(d.ann, "t1", what); a.Err == nil {
			t.Errorf("%s could be pressed", what)
		}
	}
}

func TestInGroupsTheRobotHearsMentionsOnly(t *testing.T) {
	d := newDesk(t, Options{})
	a := d.connect(nil)
	if _, answers := d.Say(d.ann, d.help, "", "大家好"); len(answers) != 0 {
		t.Errorf("%+v", answers)
	}
	if _, answers := d.Mention(d.ann, d.help, "", "打印机坏了 @鲍勃"); len(answers) != 1 || !answers[0].OK() {
		t.Fatalf("%+v", answers)
	}
	var m struct {
		ConversationType, SenderStaffID, SessionWebhook string
		Text                                            struct{ Content string }
		AtUsers                                         []struct{ StaffID string }
	}
	if err := json.Unmarshal([]byte(a.seen()[0].Data), &m); err != nil {
		t.Fatal(err)
	}
	if m.Text.Content != " 打印机坏了 @鲍勃" || m.ConversationType != "2" || m.SenderStaffID != d.ann || len(m.AtUsers) != 2 || m.AtUsers[1].StaffID != d.bob {
		t.Errorf("%+v", m)
	}
	if status, out := d.do("POST", m.SessionWebhook, "", object{"msgtype": "text", "text": object{"content": "收到"}, "at": object{"atUserIds": []string{d.ann}}}); status != 200 || out["errcode"] != 0.0 {
		t.Error(status, out)
	}
	said := d.Messages(d.help)
	if last := said[len(said)-1]; last.Text != "收到" || len(last.At) != 1 {
		t.Errorf("%+v", last)
	}
}

// hook keeps what comes in over HTTP, and answers as it is told.
type hook struct {
	mu      sync.Mutex
	bodies  []string
	headers []http.Header
	status  []int
	reply   []byte
}

func (d *desk) hook() *hook {
	h := &hook{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			d.t.Error(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bodies, h.headers = append(h.bodies, string(body)), append(h.headers, r.Header)
		if len(h.status) > 0 {
			w.WriteHeader(h.status[0])
			h.status = h.status[1:]
		}
		if _, err := w.Write(h.reply); err != nil {
			d.t.Error(err)
		}
	}))
	d.t.Cleanup(srv.Close)
	d.Deliver(srv.URL)
	return h
}
