package wecom

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// sealedVector is one vector: what the platform's own library made.
type sealedVector struct {
	Name      string `json:"name"`
	Plaintext string `json:"plaintext"`
	Random    string `json:"random16_ascii"`
	Timestamp string `json:"timestamp"`
	Nonce     string `json:"nonce"`
	Encrypt   string `json:"encrypt"`
	Signature string `json:"msg_signature"`
	Body      string `json:"http_body"`
}

func (v sealedVector) at(t testing.TB) time.Time {
	t.Helper()
	sec, err := strconv.ParseInt(v.Timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(sec, 0)
}

func (v sealedVector) raw() bot.Raw {
	return bot.Raw{
		Method: http.MethodPost, Path: surfaceRobot, Header: http.Header{}, Body: []byte(v.Body),
		Query: url.Values{"msg_signature": {v.Signature}, "timestamp": {v.Timestamp}, "nonce": {v.Nonce}},
	}
}

type robotVectorFile struct {
	Config struct {
		Token string `json:"token"`
		Key   string `json:"encodingAESKey"`
	} `json:"config"`
	Verify sealedVector   `json:"aibot_verify_url"`
	In     []sealedVector `json:"aibot_inbound"`
	Out    []sealedVector `json:"aibot_reply"`
	Corp   []sealedVector `json:"inbound"`
	Media  struct {
		Key    string `json:"aeskey_base64"`
		Plain  string `json:"plaintext_ascii"`
		Cipher []byte `json:"ciphertext_base64"`
	} `json:"aibot_media"`
	Frames struct {
		Server []json.RawMessage `json:"server_frames"`
		Client []json.RawMessage `json:"client_frames"`
	} `json:"aibot_ws"`
}

func robotVectors(t testing.TB) robotVectorFile {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v robotVectorFile
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// testClock is a clock that is moved by hand.
type testClock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func clockAt(at time.Time) *testClock { return &testClock{at: at} }

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// callbackRobot is an adapter whose robot takes callbacks, with the vectors' keys.
func callbackRobot(t testing.TB, now func() time.Time) *Adapter {
	t.Helper()
	v := robotVectors(t)
	a, err := New(Config{Robot: RobotConfig{Token: v.Config.Token, EncodingAESKey: v.Config.Key}}, bot.Deps{Log: quiet(), Now: now, Shelf: newShelf(now)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRobotOpensWhatThePlatformSealed(t *testing.T) {
	v := robotVectors(t)
	a := callbackRobot(t, nil)
	get := bot.Raw{Method: http.MethodGet, Path: surfaceRobot, Query: url.Values{"msg_signature": {v.Verify.Signature}, "timestamp": {v.Verify.Timestamp}, "nonce": {v.Verify.Nonce}, "echostr": {v.Verify.Encrypt}}}
	plain, err := a.Verify(get, v.Verify.at(t))
	if err != nil {
		t.Fatal(err)
	}
	in, err := a.Decode(get, plain)
	if err != nil || in.Echo != v.Verify.Plaintext {
		t.Fatalf("Decode = %+v, %v; want echo %q", in, err, v.Verify.Plaintext)
	}
	w := httptest.NewRecorder()
	a.Reply(w, in, bot.Reply{Echo: in.Echo})
	if w.Code != http.StatusOK || w.Body.String() != v.Verify.Plaintext {
		t.Errorf("answered %d %q, want exactly %q", w.Code, w.Body, v.Verify.Plaintext)
	}
	kinds := map[string]string{"aibot_text_group": robotMessage, "aibot_stream_refresh": robotStream, "aibot_template_card_event": robotClick, "aibot_feedback_event": robotFeedback}
	for _, m := range v.In {
		plain, err := a.Verify(m.raw(), m.at(t))
		if err != nil || string(plain) != m.Plaintext {
			t.Errorf("%s: Verify = %q, %v", m.Name, plain, err)
			continue
		}
		in, err := a.Decode(m.raw(), plain)
		if err != nil || in.Kind != kinds[m.Name] {
			t.Errorf("%s: Decode = %+v, %v; want kind %s", m.Name, in, err, kinds[m.Name])
		}
	}
	// What is rightly sealed with the same keys, but for a corp's app, is not for a robot.
	for _, m := range v.Corp {
		r := m.raw()
		r.Body = []byte(`{"encrypt":"` + m.Encrypt + `"}`)
		if _, err := a.Verify(r, m.at(t)); !errors.Is(err, bot.ErrUnverified) {
			t.Errorf("%s for the app was taken: %v", m.Name, err)
		}
	}
}

func TestRobotSealsAnswersAsThePlatformDoes(t *testing.T) {
	v := robotVectors(t)
	c := callbackRobot(t, nil).robot.crypt
	for _, m := range v.Out {
		encrypted, signature := c.sealWith([randomLen]byte([]byte(m.Random)), []byte(m.Plaintext), m.Nonce, m.at(t))
		if encrypted != m.Encrypt || signature != m.Signature {
			t.Errorf("%s: sealed %q, %q", m.Name, encrypted, signature)
		}
	}
	// The envelope around it has the platform's form too.
	a := callbackRobot(t, clockAt(v.Out[0].at(t)).now)
	b, err := a.robot.sealed(object{"a": "<&>"}, "abn0")
	if err != nil {
		t.Fatal(err)
	}
	var env struct {
		Encrypt, Msgsignature, Nonce string
		Timestamp                    int64
	}
	if err := json.Unmarshal(b, &env); err != nil || env.Nonce != "abn0" || env.Timestamp != v.Out[0].at(t).Unix() {
		t.Fatalf("envelope %s, %v", b, err)
	}
	plain, ok := a.robot.crypt.decrypt(env.Encrypt)
	if !ok || string(plain) != `{"a":"<&>"}` {
		t.Errorf("opened %q, want it without escapes", plain)
	}
}

func TestRobotDecodes(t *testing.T) {
	a := callbackRobot(t, nil)
	group := `"msgid":"M1","aibotid":"B","chatid":"wrGROUP1","chattype":"group","from":{"userid":"zhangsan"}`
	single := `"msgid":"M1","aibotid":"B","chattype":"single","from":{"userid":"zhangsan"}`
	press := `"card_type":"button_interaction","event_key":"TOKEN","task_id":"t-1"`
	for _, c := range []struct {
		name, body string
		kind       string
		want       bot.Event // only what is set is compared
		files      int
		none       bool
		bad        bool
	}{
		{name: "text in a group", body: group + `,"msgtype":"text","text":{"content":"@派单 打印机坏了"}`, kind: robotMessage, want: bot.Event{ID: "robot:M1", Kind: bot.Message, Text: "打印机坏了"}},
		{name: "another space", body: group + `,"msgtype":"text","text":{"content":"@派单\u2005接单 #3"}`, kind: robotMessage, want: bot.Event{Text: "接单 #3"}},
		{name: "others are named", body: group + `,"msgtype":"text","text":{"content":"@派单 转派 @李四 忙"}`, kind: robotMessage, want: bot.Event{Text: "转派 @李四 忙"}},
		{name: "nothing but the name", body: group + `,"msgtype":"text","text":{"content":"@派单"}`, kind: robotMessage, want: bot.Event{Kind: bot.Message}},
		{name: "text in private", body: single + `,"msgtype":"text","text":{"content":"@张三 坏了"}`, kind: robotMessage, want: bot.Event{Text: "@张三 坏了", Private: true}},
		{name: "voice", body: single + `,"msgtype":"voice","voice":{"content":"网断了"}`, kind: robotMessage, want: bot.Event{Text: "网断了", Private: true}},
		{name: "image", body: single + `,"msgtype":"image","image":{"url":"https://x.example/a/b.png?sign=1"}`, kind: robotMessage, files: 1, want: bot.Event{Private: true}},
		{name: "file", body: single + `,"msgtype":"file","file":{"url":"https://x.example/f"}`, kind: robotMessage, files: 1},
		{name: "video", body: single + `,"msgtype":"video","video":{"url":"https://x.example/f"}`, kind: robotMessage, files: 1},
		{name: "mixed", body: group + `,"msgtype":"mixed","mixed":{"msg_item":[{"msgtype":"text","text":{"content":"@派单 看图"}},{"msgtype":"image","image":{"url":"https://x.example/1"}},{"msgtype":"text","text":{"content":"第二行"}},{"msgtype":"image","image":{"url":"https://x.example/2"}}]}`, kind: robotMessage, files: 2, want: bot.Event{Text: "看图\n第二行"}},
		{name: "quote", body: group + `,"msgtype":"text","text":{"content":"@派单 好了"},"quote":{"msgtype":"text","text":{"content":"#1024 无法登录"}}`, kind: robotMessage, want: bot.Event{Text: "好了", QuoteText: "#1024 无法登录"}},
		{name: "quote of a mixed message", body: group + `,"msgtype":"text","text":{"content":"@派单 好了"},"quote":{"msgtype":"mixed","mixed":{"msg_item":[{"msgtype":"text","text":{"content":"#7"}},{"msgtype":"image","image":{"url":"https://x.example/1"}}]}}`, kind: robotMessage, want: bot.Event{QuoteText: "#7"}},
		{name: "unknown type", body: group + `,"msgtype":"hologram"`, kind: robotOther, none: true},
		{name: "first visit", body: single + `,"create_time":1700000000,"msgtype":"event","event":{"eventtype":"enter_chat"}`, kind: robotEnter, want: bot.Event{Kind: bot.HomeOpened, Private: true, At: time.Unix(1700000000, 0).UTC()}},
		{name: "press", body: group + `,"create_time":1700000000,"msgtype":"event","event":{"eventtype":"template_card_event","template_card_event":{` + press + `}}`, kind: robotClick, want: bot.Event{Kind: bot.Click, Token: "TOKEN", Message: "robot/g/wrGROUP1/t-1"}},
		{name: "press, flattened", body: group + `,"create_time":1700000000,"msgtype":"event","event":{"eventtype":"template_card_event",` + press + `}`, kind: robotClick, want: bot.Event{Kind: bot.Click, Token: "TOKEN", Message: "robot/g/wrGROUP1/t-1"}},
		{name: "press in private", body: single + `,"create_time":1700000000,"msgtype":"event","event":{"eventtype":"template_card_event","template_card_event":{` + press + `}}`, kind: robotClick, want: bot.Event{Message: "robot/s/zhangsan/t-1"}},
		{name: "choice", body: group + `,"msgtype":"event","event":{"eventtype":"template_card_event","template_card_event":{` + press + `,"selected_items":{"selected_item":[{"question_key":"TOKEN","option_ids":{"option_id":["P1"]}}]}}}`, kind: robotClick, want: bot.Event{Token: "TOKEN", Value: "P1"}},
		{name: "feedback", body: group + `,"msgtype":"event","event":{"eventtype":"feedback_event","feedback_event":{"id":"f","type":2}}`, kind: robotFeedback, none: true},
		{name: "unknown event", body: group + `,"msgtype":"event","event":{"eventtype":"dance"}`, kind: robotOther, none: true},
		{name: "no user", body: `"msgid":"M1","chattype":"single","msgtype":"text","text":{"content":"x"}`, bad: true},
		{name: "no id", body: `"chattype":"single","from":{"userid":"u"},"msgtype":"text","text":{"content":"x"}`, bad: true},
		{name: "no group", body: `"msgid":"M1","chattype":"group","from":{"userid":"u"},"msgtype":"text","text":{"content":"x"}`, bad: true},
		{name: "a user that looks like a customer", body: `"msgid":"M1","chattype":"single","from":{"userid":"kf:a:b"},"msgtype":"text","text":{"content":"x"}`, bad: true},
		{name: "a task that is none", body: group + `,"msgtype":"event","event":{"eventtype":"template_card_event","template_card_event":{"event_key":"k","task_id":"a/b"}}`, bad: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := bot.Raw{Method: http.MethodPost, Path: surfaceRobot, Query: url.Values{"timestamp": {"1700000005"}, "nonce": {"n1"}}}
			in, err := a.Decode(r, []byte("{"+c.body+"}"))
			if c.bad {
				if !errors.Is(err, bot.ErrMalformed) {
					t.Fatalf("Decode = %+v, %v; want ErrMalformed", in, err)
				}
				return
			}
			if err != nil || in.Kind != c.kind || len(in.Events) == 0 != c.none {
				t.Fatalf("Decode = %+v, %v; want kind %s", in, err, c.kind)
			}
			if c.none {
				return
			}
			e, want := in.Events[0], c.want
			if want.Kind != "" && e.Kind != want.Kind || want.ID != "" && e.ID != want.ID || want.Text != "" && e.Text != want.Text ||
				e.Token != want.Token && want.Token != "" || want.Value != "" && e.Value != want.Value || want.Message != "" && e.Message != want.Message ||
				e.QuoteText != want.QuoteText || !want.At.IsZero() && !e.At.Equal(want.At) || want.Private && !e.Private || len(e.Files) != c.files {
				t.Errorf("event %+v\nwant  %+v", e, want)
			}
			if e.At.IsZero() || e.Respond != "n1" || e.User.ID != "zhangsan" || e.Private == (e.Conv.ID == "wrGROUP1") {
				t.Errorf("event %+v lacks its time, its nonce, or its place", e)
			}
			if e.Kind == bot.Message && !e.ToBot {
				t.Error("what reaches the robot is said to it")
			}
		})
	}
}

func TestSomebodyOfAnotherCorpIsAGuestAndNobodyElse(t *testing.T) {
	now := time.Unix(1700000000, 0)
	v := robotVectors(t)
	a, err := New(Config{CorpID: "ww0123456789abcdef", Robot: RobotConfig{Token: v.Config.Token, EncodingAESKey: v.Config.Key}}, bot.Deps{Log: quiet(), Shelf: newShelf(nil), Now: clockAt(now).now})
	if err != nil {
		t.Fatal(err)
	}
	decode := func(corp string) bot.Event {
		in, err := a.Decode(bot.Raw{Method: http.MethodPost, Path: surfaceRobot}, []byte(`{"msgid":"M","chattype":"single","from":{"userid":"lisi","corpid":"`+corp+`"},"msgtype":"text","text":{"content":"x"}}`))
		if err != nil {
			t.Fatal(err)
		}
		return in.Events[0]
	}
	if e := decode("ww0123456789abcdef"); e.Guest || e.User.ID != "lisi" {
		t.Errorf("a member is %+v", e)
	}
	e := decode("ww9999999999999999")
	if !e.Guest || e.User.ID == "lisi" {
		t.Errorf("somebody of another corp passes for a member: %+v", e)
	}
	if _, err := a.robot.post(t.Context(), bot.Private(e.User), "o", cards.Card{Title: "x"}); !errors.Is(err, bot.ErrRejected) {
		t.Errorf("post to another corp: %v", err)
	}
}

func TestRobotRefusesForgeries(t *testing.T) {
	v := robotVectors(t)
	a := callbackRobot(t, nil)
	tried := 0
	try := func(what string, r bot.Raw, at time.Time) {
		tried++
		plain, err := a.Verify(r, at)
		if !errors.Is(err, bot.ErrUnverified) || plain != nil {
			t.Errorf("%s: Verify = %q, %v", what, plain, err)
		}
	}
	for _, m := range v.In {
		for name, values := range m.raw().Query {
			s := values[0]
			for i := range len(s) * 8 {
				r, b := m.raw(), []byte(s)
				b[i/8] ^= 1 << (i % 8)
				r.Query[name] = []string{string(b)}
				try(fmt.Sprintf("%s with bit %d of %s flipped", m.Name, i, name), r, m.at(t))
			}
			for _, values := range [][]string{nil, {""}, {s, s}, {s[:len(s)-1]}, {s + "0"}, {" " + s}, {strings.ToUpper(s) + "G"}} {
				r := m.raw()
				r.Query[name] = values
				try(fmt.Sprintf("%s with %s = %q", m.Name, name, values), r, m.at(t))
			}
		}
		for i := range len(m.Body) * 8 {
			r := m.raw()
			r.Body[i/8] ^= 1 << (i % 8)
			try(fmt.Sprintf("%s with bit %d of its body flipped", m.Name, i), r, m.at(t))
		}
		for _, body := range []string{"", m.Body + "\n", " " + m.Body, m.Body + m.Body, m.Body[:len(m.Body)/2], `{"encrypt":"` + m.Encrypt + `","encrypt":"` + m.Encrypt + `"}`, `{"Encrypt":"` + m.Encrypt + `"}`, `{"encrypt":["` + m.Encrypt + `"]}`, "<xml><Encrypt>" + m.Encrypt + "</Encrypt></xml>", m.Plaintext} {
			r := m.raw()
			r.Body = []byte(body)
			try(m.Name+" with another body", r, m.at(t))
		}
		for _, off := range []time.Duration{maxAge + time.Second, -maxAge - time.Second, 24 * time.Hour, -24 * time.Hour} {
			try(m.Name+" at another time", m.raw(), m.at(t).Add(off))
		}
		socket := m.raw()
		socket.Socket, socket.Header = true, http.Header{surfaceHeader: {surfaceRobot}}
		try(m.Name+" as a frame", socket, m.at(t))
	}
	if tried < adaptertest.Forgeries {
		t.Errorf("only %d forgeries were tried", tried)
	}
	t.Logf("%d forgeries, none accepted", tried)
	// The edges of the window are inside it.
	for _, off := range []time.Duration{maxAge, -maxAge} {
		if _, err := a.Verify(v.In[0].raw(), v.In[0].at(t).Add(off)); err != nil {
			t.Errorf("clock %v off: %v", off, err)
		}
	}
	other, err := New(Config{Robot: RobotConfig{Token: "AnotherToken99", EncodingAESKey: wecomtest.RobotAESKey}}, bot.Deps{Shelf: newShelf(nil)})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range v.In {
		if _, err := other.Verify(m.raw(), m.at(t)); !errors.Is(err, bot.ErrUnverified) {
			t.Errorf("%s was taken by another install: %v", m.Name, err)
		}
	}
}

// A frame is believed because we opened the connection. A robot without one, and
// requests over HTTP that pretend, are not.
func TestFramesAreBelievedOnlyOnALongConnection(t *testing.T) {
	long, err := New(Config{Robot: RobotConfig{ID: "aibAAA", Secret: wecomtest.RobotSecret}}, bot.Deps{Shelf: newShelf(nil)})
	if err != nil {
		t.Fatal(err)
	}
	v := robotVectors(t)
	for _, m := range v.In {
		r := m.raw()
		r.Header = http.Header{surfaceHeader: {surfaceRobot}}
		if _, err := long.Verify(r, m.at(t)); !errors.Is(err, bot.ErrUnverified) {
			t.Errorf("%s came over HTTP to a robot without callbacks: %v", m.Name, err)
		}
	}
	frame := bot.Raw{Socket: true, Header: http.Header{surfaceHeader: {surfaceRobot}, receivedHeader: {"1700000000123"}}, Body: v.Frames.Server[1]}
	plain, err := long.Verify(frame, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	in, err := long.Decode(frame, plain)
	if err != nil || len(in.Events) != 1 || in.Events[0].ID != "robot:M1" || in.Events[0].Text != "打印机坏了" || in.Events[0].At.UnixMilli() != 1700000000123 {
		t.Errorf("Decode = %+v, %v", in, err)
	}
	for _, m := range in.Keep {
		if strings.HasPrefix(m.Key, "respond/") {
			t.Error("over a connection no address is kept")
		}
	}
}

func TestRobotEventIDs(t *testing.T) {
	a, b := callbackRobot(t, nil), callbackRobot(t, nil)
	press := func(user, key, task string, at int) string {
		return fmt.Sprintf(`{"create_time":%d,"chatid":"wr1","chattype":"group","from":{"userid":%q},"msgtype":"event","event":{"eventtype":"template_card_event","template_card_event":{"event_key":%q,"task_id":%q}}}`, at, user, key, task)
	}
	id := func(a *Adapter, body string) string {
		in, err := a.Decode(bot.Raw{Method: http.MethodPost, Path: surfaceRobot, Query: url.Values{"timestamp": {"1700000000"}}}, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return in.Events[0].ID
	}
	seen := map[string]string{}
	for _, body := range []string{press("u1", "k", "t", 1), press("u2", "k", "t", 1), press("u1", "k2", "t", 1), press("u1", "k", "t2", 1), press("u1", "k", "t", 2), press("u", "1k", "t", 1)} {
		one := id(a, body)
		if one != id(b, body) {
			t.Errorf("ids differ between processes: %s", body)
		}
		if was := seen[one]; was != "" {
			t.Errorf("one id for two things:\n%s\n%s", was, body)
		}
		seen[one] = body
	}
}

func TestRobotNeverPanicsOnBrokenBodies(t *testing.T) {
	a := callbackRobot(t, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, m := range robotVectors(t).In {
		body := []byte(m.Plaintext)
		try := func(b []byte) {
			in, err := a.Decode(m.raw(), b)
			if err != nil && (!errors.Is(err, bot.ErrMalformed) || len(in.Events) > 0) {
				t.Errorf("Decode(%q) = %+v, %v", b, in, err)
			}
		}
		for k := range body {
			try(body[:k])
			flipped := slices.Clone(body)
			flipped[k] ^= byte(1 + rng.IntN(255))
			try(flipped)
			try(slices.Concat(body[:k], body[min(k+1+rng.IntN(8), len(body)):]))
		}
		try(slices.Concat(body, body))
		try(nil)
	}
}

func FuzzRobotDecode(f *testing.F) {
	v := robotVectors(f)
	for _, m := range v.In {
		f.Add([]byte(m.Plaintext), false)
	}
	for _, frame := range v.Frames.Server {
		f.Add([]byte(frame), true)
	}
	f.Add([]byte(`{"msgid":"M","chattype":"single","from":{"userid":"u","corpid":"c"},"msgtype":"mixed","mixed":{"msg_item":[{"msgtype":"image","image":{"url":"::","aeskey":"x"}}]},"quote":{"msgtype":"file"}}`), false)
	callbacks := callbackRobot(f, nil)
	long, err := New(Config{Robot: RobotConfig{ID: "aibAAA", Secret: wecomtest.RobotSecret}}, bot.Deps{Log: quiet(), Shelf: newShelf(nil)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, socket bool) {
		a := callbacks
		r := bot.Raw{Method: http.MethodPost, Path: surfaceRobot, Query: url.Values{"nonce": {"n"}}}
		if socket {
			a = long
			r = bot.Raw{Socket: true, Header: http.Header{surfaceHeader: {surfaceRobot}}}
		}
		in, err := a.Decode(r, body)
		if err != nil {
			if !errors.Is(err, bot.ErrMalformed) || len(in.Events) > 0 {
				t.Fatalf("Decode = %+v, %v", in, err)
			}
			return
		}
		for _, e := range in.Events {
			if e.ID == "" || e.Kind == "" || e.At.IsZero() || e.User.IsZero() || !strings.HasPrefix(e.ID, surfaceRobot+":") {
				t.Fatalf("event %+v", e)
			}
			if e.Message != "" {
				if _, _, _, err := parseRobotRef(e.Message); err != nil {
					t.Fatal(err)
				}
			}
		}
		a.Reply(httptest.NewRecorder(), in, bot.Reply{Echo: in.Echo, Hint: &cards.Card{Title: "x"}, Card: &cards.Card{Title: "y"}, Once: "o"})
	})
}

func TestTextForTheRobotIsInert(t *testing.T) {
	for _, s := range adaptertest.Attacks {
		c := cards.Card{Lang: cards.EN, Title: s, Badges: []string{s}, Body: s + "\n" + s, Note: s, Facts: []cards.Fact{{Label: s, Value: s}, {Label: s, Value: s, Wide: true}},
			Rows: []cards.Row{{Text: s, Detail: s, Actions: []cards.Action{{Label: s, Token: "r"}}}}, Actions: []cards.Action{{Label: s, Token: "a"}}}
		text := markdown(c)
		// An address that stands for itself may be followed; one behind other words may not.
		bare := strings.NewReplacer("https://", "https-", "http://", "http-").Replace(text)
		if live := wecomtest.Live("markdown", bare); len(live) > 0 {
			t.Errorf("%q is alive: %q in\n%s", s, live, text)
		}
		if strings.Contains(text, "@all") || strings.Contains(text, "@所有人") {
			t.Errorf("%q still names everybody:\n%s", s, text)
		}
	}
	for in, want := range map[string]string{
		"a@b.example 和 @李四": "a@b.example 和 ＠李四", "E_07 x_y_z": "E_07 x_y_z", "#1024 坏了": "#1024 坏了", "# 标题": "＃ 标题", "- 项": "－ 项", "-5 度": "-5 度", "5*3": "5＊3", "a &lt; b && c": "a ＆lt; b && c",
		"---": "－－－", "C:\\x": "C:＼x",
	} {
		if got := inert(in); got != want {
			t.Errorf("inert(%q) = %q, want %q", in, got, want)
		}
	}
	long := strings.Repeat("很长的话👩‍👩‍👧 ", 9000)
	if s := markdown(cards.Card{Title: "x", Body: long}); len(s) > maxMarkdown {
		t.Errorf("%d bytes, more than %d", len(s), maxMarkdown)
	}
	for name, c := range adaptertest.Extremes() {
		if s := markdown(c); s == "" || len(s) > maxMarkdown {
			t.Errorf("%s: %d bytes", name, len(s))
		}
	}
}

func TestQuotaHoldsBackBeforeThePlatformDrops(t *testing.T) {
	q := quota{sent: map[string][]time.Time{}}
	p, other := place{inGroup, "wr1"}, place{inGroup, "wr2"}
	now := time.Unix(1700000000, 0)
	for i := range perChatMinute {
		if wait := q.take(p, now.Add(time.Duration(i)*time.Second)); wait != 0 {
			t.Fatalf("message %d waits %v", i, wait)
		}
	}
	at := now.Add(perChatMinute * time.Second)
	if wait := q.take(p, at); wait != now.Add(time.Minute).Sub(at) {
		t.Errorf("message %d waits %v, want until the first is a minute old", perChatMinute, wait)
	}
	if q.take(other, at) != 0 {
		t.Error("one chat's messages hold up another's")
	}
	if q.take(p, now.Add(time.Minute)) != 0 {
		t.Error("after a minute there is room again")
	}
	// Within the hour: as many as are allowed, and not one more.
	q = quota{sent: map[string][]time.Time{}}
	n := 0
	for s := 0; s < 3600; s++ {
		if q.take(p, now.Add(time.Duration(s)*time.Second)) == 0 {
			n++
		}
	}
	if n != perChatHour {
		t.Errorf("%d messages in an hour, want %d", n, perChatHour)
	}
	q.back(p)
	if q.take(p, now.Add(3599*time.Second)) != 0 {
		t.Error("what was not sent still counts")
	}
}

func TestRobotFilesAreDecrypted(t *testing.T) {
	v := robotVectors(t)
	var served []byte
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		if _, err := w.Write(served); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	conf := Config{APIURL: srv.URL, Robot: RobotConfig{Token: v.Config.Token, EncodingAESKey: v.Config.Key}}
	callbacks, err := New(conf, bot.Deps{Log: quiet(), Shelf: newShelf(nil)})
	if err != nil {
		t.Fatal(err)
	}
	conf.Robot = RobotConfig{ID: "aibAAA", Secret: wecomtest.RobotSecret}
	long, err := New(conf, bot.Deps{Log: quiet(), Shelf: newShelf(nil)})
	if err != nil {
		t.Fatal(err)
	}
	address := srv.URL + "/files/x.png?sign=SIGNATURE"
	read := func(a *Adapter, f bot.File) (string, error) {
		r, err := a.Fetch(t.Context(), f)
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(r)
		return string(b), errors.Join(err, r.Close())
	}
	with := callbacks.robot.file("image", robotMedia{URL: address})[0]
	own := long.robot.file("image", robotMedia{URL: address, Key: v.Media.Key})[0]
	served = v.Media.Cipher
	for name, c := range map[string]struct {
		a *Adapter
		f bot.File
	}{"callbacks": {callbacks, with}, "long connection": {long, own}} {
		if got, err := read(c.a, c.f); err != nil || got != v.Media.Plain {
			t.Errorf("%s: read %q, %v; want %q", name, got, err, v.Media.Plain)
		}
	}
	if own.Name != "x.png" || own.Type != "image/png" || own.ID != long.robot.file("image", robotMedia{URL: address, Key: v.Media.Key})[0].ID {
		t.Errorf("file %+v", own)
	}
	if raw, _ := base64.StdEncoding.DecodeString(v.Media.Key); strings.Contains(own.ID, v.Media.Key) || strings.Contains(own.ID, base64.RawURLEncoding.EncodeToString(raw)) {
		t.Error("the id shows the key")
	}
	// Sizes around the block, and one of many buffers.
	for _, n := range []int{1, 15, 16, 31, 32, 33, 100_000} {
		plain := bytes.Repeat([]byte("0123456789abcdef!"), n/17+1)[:n]
		served = sealFile(t, v.Media.Key, plain)
		if got, err := read(long, own); err != nil || got != string(plain) {
			t.Errorf("%d bytes: read %d, %v", n, len(got), err)
		}
	}
	served = served[:len(served)-16]
	if _, err := read(long, own); !errors.Is(err, bot.ErrRejected) {
		t.Errorf("a file that was cut off: %v", err)
	}
	// Another address, another id, another install: not ours to open.
	for _, f := range []bot.File{{ID: own.ID, URL: srv.URL + "/other"}, {ID: own.ID + "A", URL: address}, {ID: "robot/", URL: address}, {ID: with.ID, URL: address}} {
		if _, err := long.Fetch(t.Context(), f); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	status = http.StatusNotFound
	_, err = read(long, own)
	if !errors.Is(err, bot.ErrGone) {
		t.Errorf("after five minutes: %v", err)
	}
	srv.Close()
	_, err2 := read(long, own)
	for _, err := range []error{err, err2} {
		if err == nil || strings.Contains(err.Error(), "SIGNATURE") {
			t.Errorf("error %v, want one without the address", err)
		}
	}
}

// robotBench is an adapter with callbacks beside the emulator, through the
// program's own door.
type robotBench struct {
	*wecomtest.Server
	a     *Adapter
	shelf *memShelf
	clock *testClock
	group string

	mu    sync.Mutex // guards what follows
	reply func(e bot.Event) bot.Reply
	got   []bot.Event
	wrote []error
}

func (b *robotBench) sink(ctx context.Context, _ bot.Install, in bot.Inbound) (bot.Reply, error) {
	if err := b.shelf.keep(ctx, in.Keep); err != nil {
		return bot.Reply{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, in.Events...)
	var out bot.Reply
	if b.reply != nil {
		out = b.reply(in.Events[0])
	}
	out.Written = func(err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.wrote = append(b.wrote, err)
	}
	return out, nil
}

func (b *robotBench) answer(f func(e bot.Event) bot.Reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reply = f
}

func (b *robotBench) events() []bot.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

func leakFree(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if err := goleak.Find(before); err != nil {
			t.Error(err)
		}
	})
}

func newCallbackBench(t *testing.T) *robotBench {
	t.Helper()
	leakFree(t)
	b := &robotBench{clock: clockAt(time.Unix(1700000000, 0))}
	b.Server = wecomtest.New(wecomtest.Options{Now: b.clock.now, RateLimits: true})
	t.Cleanup(b.Server.Close)
	b.shelf = newShelf(b.clock.now)
	client := &http.Transport{}
	var err error
	b.a, err = New(Config{APIURL: b.APIURL(), Robot: RobotConfig{Token: wecomtest.RobotToken, EncodingAESKey: wecomtest.RobotAESKey}},
		bot.Deps{Log: quiet(), Now: b.clock.now, Shelf: b.shelf, HTTP: plainClient(client)})
	if err != nil {
		t.Fatal(err)
	}
	gateway := &bot.Gateway{Installs: map[bot.Install]bot.Adapter{b.a.Install(): b.a}, Sink: b.sink, Now: b.clock.now, Log: quiet()}
	door := httptest.NewServer(gateway.Handler())
	t.Cleanup(func() { client.CloseIdleConnections(); door.Close() })
	b.DeliverRobot(door.URL + "/hooks/wecom/default/robot")
	b.AddUser(wecomtest.User{ID: "zhangsan"})
	b.AddUser(wecomtest.User{ID: "lisi"})
	b.group = b.AddGroup("值班", "zhangsan", "lisi")
	return b
}

// plainClient is a client that may reach loopback.
func plainClient(t *http.Transport) *http.Client {
	c := *http.DefaultClient
	c.Transport = t
	return &c
}

func ticketCard() cards.Card {
	return cards.Card{Lang: cards.ZH, Title: "#1024 打印机坏了", Badges: []string{"待接"}, Facts: []cards.Fact{{Label: "来自", Value: "张三"}}, Actions: []cards.Action{{Label: "接单", Token: "TOKEN-claim"}, {Label: "查看", Token: "TOKEN-show"}}}
}

func listCard() cards.Card {
	return cards.Card{Lang: cards.ZH, Title: "我的工单", Rows: []cards.Row{{Text: "#1 坏了", Actions: []cards.Action{{Label: "看", Token: "T1"}}}, {Text: "#2 丢了", Actions: []cards.Action{{Label: "看", Token: "T2"}}}}}
}

func TestCallbackAddressIsVerified(t *testing.T) {
	b := newCallbackBench(t)
	if a := b.VerifyRobotURL(); !a.OK() {
		t.Errorf("verification failed: %+v", a)
	}
	for _, v := range []wecomtest.Variant{wecomtest.BadSignature, wecomtest.WrongReceiver, wecomtest.WrongKey, wecomtest.Stale} {
		b.Vary(v)
		if a := b.VerifyRobotURL(); a.OK() {
			t.Errorf("%s was accepted", v)
		}
	}
}

func TestTheAnswerToAMessageIsTheCard(t *testing.T) {
	b := newCallbackBench(t)
	var ref bot.MessageRef
	b.answer(func(e bot.Event) bot.Reply {
		if in := b.a.Inline(e); !in.Card || in.Hint {
			t.Errorf("Inline = %+v in a group", in)
		}
		c := ticketCard()
		ref = b.a.AnswerRef(e, "card:1")
		return bot.Reply{Card: &c, Once: "card:1"}
	})
	if _, a := b.Mention("zhangsan", b.group, "打印机坏了"); !a.OK() {
		t.Fatalf("%+v", a)
	}
	shown := b.Cards(b.group)
	_, _, task, err := parseRobotRef(ref)
	if err != nil || len(shown) != 1 || shown[0].Task != task {
		t.Fatalf("shown %+v, want one card with task %q (%v)", shown, task, err)
	}
	// A press by another member changes it for everybody, within the answer.
	b.answer(func(e bot.Event) bot.Reply {
		if e.Kind != bot.Click || e.Token != "TOKEN-claim" || e.Message != ref || e.User.ID != "lisi" {
			t.Errorf("event %+v, want a press on %s", e, ref)
		}
		c := ticketCard()
		c.Title, c.Actions = "#1024 由 李四 接单", c.Actions[1:]
		return bot.Reply{Card: &c}
	})
	if a := b.Press("lisi", shown[0].Ref(), "接单"); !a.OK() {
		t.Fatalf("%+v", a)
	}
	now, _ := b.Message(shown[0].Ref())
	for _, u := range []string{"zhangsan", "lisi"} {
		if card := string(now.CardFor(u)); !strings.Contains(card, "由 李四 接单") || strings.Contains(card, `"接单"`) {
			t.Errorf("%s sees %s", u, card)
		}
	}
	// One that has nothing left to press stays a card.
	b.answer(func(bot.Event) bot.Reply {
		return bot.Reply{Card: &cards.Card{Lang: cards.ZH, Title: "#1024 完成", Badges: []string{"已关闭"}}}
	})
	if a := b.Press("zhangsan", shown[0].Ref(), "查看"); !a.OK() {
		t.Fatalf("%+v", a)
	}
	if now, _ = b.Message(shown[0].Ref()); !strings.Contains(string(now.Card), "#1024 完成") {
		t.Errorf("shows %s", now.Card)
	}
	if _, err := b.a.Update(t.Context(), ref, ticketCard()); !errors.Is(err, bot.ErrFixed) {
		t.Errorf("Update = %v, want ErrFixed", err)
	}
}

func TestCallbackAnswers(t *testing.T) {
	b := newCallbackBench(t)
	// A list is text, in a stream that is finished at once.
	b.answer(func(e bot.Event) bot.Reply { c := listCard(); return bot.Reply{Hint: &c} })
	_, a := b.Ask("zhangsan", "我的")
	if !a.OK() {
		t.Fatalf("%+v", a)
	}
	private := b.Messages(wecomtest.RobotChat("zhangsan"))
	last := private[len(private)-1]
	if last.Type != "stream" || !last.Done || !strings.Contains(last.Text, "1 #1 看") {
		t.Errorf("answered %+v", last)
	}
	if e := b.events()[0]; !b.a.Inline(e).Hint || !e.Private {
		t.Errorf("Inline of %+v in private", e)
	}
	// The platform missed the end, and asks.
	for _, id := range []string{"s1", "unknown"} {
		in, err := b.a.Decode(bot.Raw{Method: http.MethodPost, Path: surfaceRobot, Query: url.Values{"nonce": {"n9"}}}, []byte(`{"msgid":"R","from":{"userid":"zhangsan"},"msgtype":"stream","stream":{"id":"`+id+`"}}`))
		if err != nil || in.Kind != robotStream || in.Echo == "" {
			t.Fatalf("refresh: %+v, %v", in, err)
		}
	}
	// A welcome.
	b.answer(func(e bot.Event) bot.Reply {
		if e.Kind != bot.HomeOpened || !b.a.Inline(e).Hint {
			t.Errorf("event %+v", e)
		}
		return bot.Reply{Hint: &cards.Card{Lang: cards.ZH, Title: "你好", Body: "说「建单」", Actions: []cards.Action{{Label: "建单", Token: "T"}}}}
	})
	if a := b.EnterRobot("lisi"); !a.OK() || len(b.Cards(wecomtest.RobotChat("lisi"))) != 1 {
		t.Errorf("welcome: %+v", a)
	}
	b.answer(func(bot.Event) bot.Reply { return bot.Reply{Hint: &cards.Card{Title: "你好", Body: "没有按钮"}} })
	if a := b.EnterRobot("zhangsan"); !a.OK() || len(a.Plain) == 0 {
		t.Errorf("welcome in words: %+v", a)
	}
	// Feedback takes nothing at all.
	if a := b.Feedback("zhangsan", wecomtest.RobotChat("zhangsan"), "f1", 2, "x"); !a.OK() || len(a.Body) > 0 {
		t.Errorf("feedback: %+v", a)
	}
	// Nothing to say is an empty answer.
	b.answer(nil)
	if _, a := b.Mention("zhangsan", b.group, "嗯"); !a.OK() || len(a.Body) > 0 {
		t.Errorf("nothing to say: %+v", a)
	}
	for _, err := range b.wrote {
		if err != nil {
			t.Errorf("an answer was not written: %v", err)
		}
	}
}

func TestAMissedStreamIsToldAgain(t *testing.T) {
	b := newCallbackBench(t)
	body := b.a.robot.answered(listCard(), "task1")
	id := body["stream"].(object)["id"].(string)
	for ask, want := range map[string]string{id: markdown(listCard()), "never-said": ""} {
		in, err := b.a.robot.decodeRefresh(bot.Raw{Method: http.MethodPost, Query: url.Values{"nonce": {"n9"}}}, robotSaid{Stream: struct {
			ID string `json:"id"`
		}{ask}})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		b.a.Reply(w, in, bot.Reply{Echo: in.Echo})
		var env struct{ Encrypt, Nonce string }
		if err := json.Unmarshal(w.Body.Bytes(), &env); err != nil || env.Nonce != "n9" {
			t.Fatalf("answer %s, %v", w.Body, err)
		}
		plain, ok := b.a.robot.crypt.decrypt(env.Encrypt)
		var said struct {
			Stream struct {
				ID, Content string
				Finish      bool
			}
		}
		if err := json.Unmarshal(plain, &said); !ok || err != nil || said.Stream.ID != ask || !said.Stream.Finish || said.Stream.Content != want {
			t.Errorf("refresh of %s: %s", ask, plain)
		}
	}
}

func TestPostsGoToAddressesThatCallbacksLeft(t *testing.T) {
	b := newCallbackBench(t)
	group, private := bot.Dest{Install: b.a.install, Conv: b.group}, bot.Dest{Install: b.a.install, User: "zhangsan"}
	if _, err := b.a.Post(t.Context(), group, "o1", ticketCard()); !errors.Is(err, bot.ErrMustSpeak) {
		t.Fatalf("before anybody spoke: %v", err)
	}
	b.Mention("zhangsan", b.group, "打印机坏了")
	b.Ask("zhangsan", "你好")
	if _, err := b.a.Post(t.Context(), group, "o1", ticketCard()); err != nil {
		t.Fatal(err)
	}
	all := b.Messages(b.group)
	if last := all[len(all)-1]; last.Type != "markdown" || !strings.Contains(last.Text, "#1024 打印机坏了") || strings.Contains(last.Text, "接单") || last.Quoted == "" {
		t.Errorf("in a group: %+v", last)
	}
	b.Mention("zhangsan", b.group, "我的")
	if _, err := b.a.Post(t.Context(), group, "list", listCard()); err != nil {
		t.Fatal(err)
	}
	all = b.Messages(b.group)
	if last := all[len(all)-1]; !strings.Contains(last.Text, "1 #1 看") || !b.a.Numbers(listCard()) || b.a.Numbers(ticketCard()) {
		t.Errorf("a list: %+v, want numbers where Numbers says so and nowhere else", last)
	}
	ref, err := b.a.Post(t.Context(), private, "o2", ticketCard())
	if err != nil {
		t.Fatal(err)
	}
	_, _, task, _ := parseRobotRef(ref)
	if cards := b.Cards(wecomtest.RobotChat("zhangsan")); len(cards) != 1 || cards[0].Task != task {
		t.Errorf("in private: %+v", cards)
	}
	for _, to := range []bot.Dest{group, private} {
		if _, err := b.a.Post(t.Context(), to, "o3", ticketCard()); !errors.Is(err, bot.ErrMustSpeak) {
			t.Errorf("an address served twice: %v", err)
		}
	}
	// One that is an hour old is not tried.
	b.Mention("zhangsan", b.group, "还有吗")
	b.clock.advance(time.Hour + time.Second)
	calls := b.Calls("aibot/response")
	if _, err := b.a.Post(t.Context(), group, "o4", ticketCard()); !errors.Is(err, bot.ErrMustSpeak) || b.Calls("aibot/response") != calls {
		t.Errorf("an old address: %v", err)
	}
	// What was refused for its own sake leaves the next one to be tried.
	b.Mention("zhangsan", b.group, "一")
	b.Mention("zhangsan", b.group, "二")
	b.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "aibot/response", Code: 42022})
	if _, err := b.a.Post(t.Context(), group, "o5", ticketCard()); err != nil {
		t.Errorf("the second address was not tried: %v", err)
	}
	// Busy: nothing was done, the address stays.
	b.Mention("zhangsan", b.group, "三")
	b.Fail(wecomtest.Fault{Kind: wecomtest.Limited, Method: "aibot/response"})
	var limited bot.RateLimited
	if _, err := b.a.Post(t.Context(), group, "o6", ticketCard()); !errors.As(err, &limited) {
		t.Errorf("45009: %v", err)
	}
	if _, err := b.a.Post(t.Context(), group, "o6", ticketCard()); err != nil {
		t.Errorf("after 45009: %v", err)
	}
	// No answer: who knows.
	b.Mention("zhangsan", b.group, "四")
	b.Fail(wecomtest.Fault{Kind: wecomtest.CutAfter, Method: "aibot/response"})
	if _, err := b.a.Post(t.Context(), group, "o7", ticketCard()); !errors.Is(err, bot.ErrUnknown) || strings.Contains(err.Error(), "RC") {
		t.Errorf("an answer was lost: %v, want ErrUnknown and no response_code", err)
	}
	if _, err := b.a.SendFile(t.Context(), group, "f", "a.txt", 10, strings.NewReader("0123456789")); !errors.Is(err, bot.ErrRejected) {
		t.Errorf("a file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.a.Post(ctx, group, "o8", ticketCard()); err == nil || errors.Is(err, bot.ErrGone) || errors.Is(err, bot.ErrRejected) {
		t.Errorf("cancelled: %v", err)
	}
	if !b.a.robot.here(group) {
		t.Error("with callbacks every process can send")
	}
}

func TestAnAddressOfSomebodyElseIsNotKept(t *testing.T) {
	r := callbackRobot(t, nil).robot
	for _, s := range []string{"", "https://evil.example/cgi-bin/aibot/response?response_code=X", "https://qyapi.weixin.qq.com/other?response_code=X", "https://qyapi.weixin.qq.com/cgi-bin/aibot/response", "::"} {
		if k, ok := r.keepRespond(place{inGroup, "wr1"}, s, time.Now()); ok {
			t.Errorf("%q was kept as %+v", s, k)
		}
	}
}

func TestRobotCardsPassTheEmulator(t *testing.T) {
	b := newCallbackBench(t)
	samples := adaptertest.Extremes()
	for _, s := range cards.Samples() {
		samples["sample "+s.Name] = s.Card
	}
	for name, c := range samples {
		body := b.a.robot.content(cards.Fit(c, b.a.Caps()), "task1")
		if t1, ok := body["template_card"].(*templateCard); ok {
			raw, err := encode(t1)
			if err != nil {
				t.Fatal(err)
			}
			if bad := wecomtest.CheckCard(wecomtest.OnRobot, raw); len(bad) > 0 {
				t.Errorf("%s: %q in %s", name, bad, raw)
			}
		}
	}
}

// sealFile encrypts a file as the platform does.
func sealFile(t *testing.T, key string, plain []byte) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		t.Fatal(err)
	}
	pad := padBlock - len(plain)%padBlock
	out := append(slices.Clone(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, raw[:aes.BlockSize]).CryptBlocks(out, out)
	return out
}

func TestWhoIsKnownToARobotAloneIsCalledByHisUserid(t *testing.T) {
	a, err := New(Config{Robot: RobotConfig{ID: wecomtest.Robot, Secret: wecomtest.RobotSecret}}, bot.Deps{Log: quiet(), Shelf: newShelf(nil)})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"zhangsan": "zhangsan", "corp:ww9876543210fedcba:zhangsan": ""} {
		if u, err := a.FindUser(t.Context(), a.user(id)); err != nil || u.Name != want || u.Ref.ID != id {
			t.Errorf("%s is found as %+v, %v; want the name %q", id, u, err, want)
		}
	}
}

func TestAnAnswerOfOneLineHasNoMark(t *testing.T) {
	for _, c := range []struct {
		card cards.Card
		want string
	}{
		{cards.Card{Body: "已提交：#1 标记解决"}, "已提交：#1 标记解决"},
		{cards.Card{Body: "> 5 台"}, "＞ 5 台"},
	} {
		if got := markdown(c.card); got != c.want {
			t.Errorf("%q is shown as %q, want %q", c.card.Body, got, c.want)
		}
	}
}
