package dingtalk

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/dingtalk/dingtalktest"
	"github.com/paidan/paidan/bot"
)

// vectors are signatures, encrypted events and frames that other programs made:
// DingTalk's documentation, its SDKs, and Node's crypto.
type vectors struct {
	Robot struct {
		Timestamp, AppSecret, Sign string
		ToSign                     string `json:"string_to_sign"`
		Base64                     string `json:"sign_base64"`
		Headers                    map[string]string
	} `json:"robot_http_callback_sign"`
	Custom struct {
		Timestamp, Secret, URL string
		Base64                 string `json:"sign_base64"`
		Encoded                string `json:"sign_urlencoded"`
	} `json:"custom_robot_sign"`
	Card struct {
		Stamp     string `json:"x-ddpaas-signature-timestamp"`
		APISecret string `json:"apiSecret"`
		Message   string
		Signature string `json:"x-ddpaas-signature"`
	} `json:"card_http_callback_sign"`
	Official struct {
		Token     string
		AESKey    string `json:"aes_key"`
		Owner     string `json:"owner_key"`
		Signature string `json:"msg_signature"`
		Stamp     string `json:"timeStamp"`
		Nonce     string
		Encrypt   string
		Plaintext string
	} `json:"official_doc_sample"`
	Config struct {
		Token  string
		AESKey string `json:"aes_key"`
		Owner  string `json:"owner_key"`
	} `json:"event_config"`
	Inbound []struct {
		Name, Plaintext string
		Random          string `json:"random16_ascii"`
		Stamp           string `json:"timeStamp"`
		Nonce           string
		Theirs          string `json:"encrypt_dingtalk_encrypt"`
		Encrypt         string `json:"encrypt_wecom_crypto_utf8"`
		Signature       string `json:"msg_signature"`
		Query           string `json:"http_query"`
		Body            string `json:"http_body"`
	} `json:"event_inbound"`
	Success struct {
		Random    string `json:"random16_ascii"`
		Plaintext string
		Encrypt   string
		Stamp     string `json:"timeStamp"`
		Nonce     string
		Signature string            `json:"msg_signature"`
		Body      map[string]string `json:"http_body"`
	} `json:"event_success_response"`
	Stream struct {
		Open     map[string]any `json:"connections_open_request_example"`
		Response struct {
			Endpoint, Ticket string
		} `json:"connections_open_response"`
		Frames map[string]json.RawMessage
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func random(s string) (r [16]byte) {
	copy(r[:], s)
	return r
}

func TestVectorsOfSignatures(t *testing.T) {
	v := readVectors(t)
	if got := robotSignature(v.Robot.AppSecret, v.Robot.Timestamp); got != v.Robot.Base64 || got != v.Robot.Headers["sign"] || v.Robot.ToSign != v.Robot.Timestamp+"\n"+v.Robot.AppSecret {
		t.Errorf("robot: %s", got)
	}
	if got := cardSignature(v.Card.APISecret, v.Card.Stamp); got != v.Card.Signature || v.Card.Message != v.Card.Stamp {
		t.Errorf("card: %s", got)
	}
	// Groups' own webhooks are signed alike; Paidan does not send to them.
	if got := robotSignature(v.Custom.Secret, v.Custom.Timestamp); got != v.Custom.Base64 || url.QueryEscape(got) != v.Custom.Encoded || !strings.HasSuffix(v.Custom.URL, "&sign="+v.Custom.Encoded) {
		t.Errorf("custom robot: %s", got)
	}
	// The whole way, with a secret as DingTalk gives it.
	a := testAdapter(t, testConfig())
	for name, h := range map[string]http.Header{
		"robot": {robotStamp: {v.Robot.Timestamp}, robotSign: {robotSignature(dingtalktest.ClientSecret, v.Robot.Timestamp)}},
		"card":  {cardStamp: {v.Robot.Timestamp}, cardSign: {cardSignature(cardSecret, v.Robot.Timestamp)}},
	} {
		if _, err := a.Verify(bot.Raw{Method: "POST", Header: h, Body: []byte("{}")}, time.UnixMilli(1577262236757)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVectorsOfEvents(t *testing.T) {
	v := readVectors(t)
	o := v.Official
	if got := eventSignature(o.Token, o.Stamp, o.Nonce, o.Encrypt); got != o.Signature {
		t.Errorf("DingTalk's own sample: signature %s", got)
	}
	c := testConfig()
	c.EventAESKey, c.ClientID = o.AESKey, o.Owner
	if plain, err := open(testAdapter(t, c).key, o.Owner, o.Encrypt); err != nil || string(plain) != o.Plaintext {
		t.Errorf("DingTalk's own sample: %q, %v", plain, err)
	}
	c = testConfig()
	c.EventToken, c.EventAESKey, c.ClientID = v.Config.Token, v.Config.AESKey, v.Config.Owner
	a := testAdapter(t, c)
	if len(v.Inbound) < 3 {
		t.Fatalf("%d events", len(v.Inbound))
	}
	for _, e := range v.Inbound {
		q, err := url.ParseQuery(e.Query)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := a.Verify(bot.Raw{Method: "POST", Query: q, Body: []byte(e.Body)}, stamp)
		if err != nil || string(plain) != e.Plaintext {
			t.Errorf("%s: %q, %v", e.Name, plain, err)
		}
		sealed, err := seal(a.key, v.Config.Owner, random(e.Random), []byte(e.Plaintext))
		if err != nil || sealed != e.Encrypt || eventSignature(v.Config.Token, e.Stamp, e.Nonce, sealed) != e.Signature {
			t.Errorf("%s: sealed %s, %v", e.Name, sealed, err)
		}
		// DingTalk's npm package escapes what it encrypts as if it were an
		// address: what it makes is another text, and is not signed by this.
		if plain, err := open(a.key, v.Config.Owner, e.Theirs); err != nil || string(plain) == e.Plaintext {
			t.Errorf("%s by dingtalk-encrypt: %q, %v", e.Name, plain, err)
		}
		if eventSignature(v.Config.Token, e.Stamp, e.Nonce, e.Theirs) == e.Signature {
			t.Errorf("%s: two texts have one signature", e.Name)
		}
	}
	got, err := a.success(v.Success.Stamp, v.Success.Nonce, random(v.Success.Random))
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range v.Success.Body {
		if got[k] != want {
			t.Errorf("answer: %s = %s, want %s", k, got[k], want)
		}
	}
	if got["encrypt"] != v.Success.Encrypt || got["msg_signature"] != v.Success.Signature || len(got) != len(v.Success.Body) {
		t.Errorf("answer: %v", got)
	}
}

func TestVectorsOfFrames(t *testing.T) {
	v := readVectors(t)
	c := testConfig()
	c.Mode, c.RobotCode = ModeStream, "dingrobot1"
	a := testAdapter(t, c)
	decode := func(name string) bot.Inbound {
		t.Helper()
		in, err := a.Decode(bot.Raw{Socket: true}, v.Stream.Frames[name])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return in
	}
	in := decode("bot_text_group")
	if len(in.Events) != 1 {
		t.Fatalf("%+v", in)
	}
	e := in.Events[0]
	if e.ID != "msg:msgAAA==" || e.Text != "打印机坏了" || e.User.ID != "manager4220" || e.UserName != "小钉" || e.Conv.ID != "cidGROUP==" || e.Private || !e.ToBot || e.Guest || !e.At.Equal(stamp) || len(e.Mentions) > 0 {
		t.Errorf("%+v", e)
	}
	if len(in.Keep) != 1 || in.Keep[0].Key != "title/cidGROUP==" || in.Keep[0].Value != "测试群" {
		t.Errorf("want the group's name kept, and no address that is not DingTalk's: %+v", in.Keep)
	}
	// Its card is somebody else's: the button's name is none of ours.
	if in := decode("card_action"); len(in.Events) > 0 || in.Kind != "card_unknown" {
		t.Errorf("%+v", in)
	}
	if in := decode("event"); len(in.Events) > 0 || in.Kind != "user_add_org" {
		t.Errorf("%+v", in)
	}
	for _, name := range []string{"system_ping", "system_disconnect"} { // dealt with by the connection itself
		if in := decode(name); in.Kind != "unknown" || len(in.Events) > 0 {
			t.Errorf("%s: %+v", name, in)
		}
	}
	if len(v.Stream.Frames) != 5 {
		t.Errorf("%d frames", len(v.Stream.Frames))
	}
	// What we ask for a connection is what the example asks for.
	for _, key := range []string{"clientId", "clientSecret", "subscriptions", "ua"} {
		if _, ok := v.Stream.Open[key]; !ok {
			t.Errorf("the example has no %s", key)
		}
	}
	want := v.Stream.Open["subscriptions"].([]any)
	if len(want) != len(subscriptions) {
		t.Errorf("%d subscriptions, want %d", len(subscriptions), len(want))
	}
	for i, s := range want {
		if s := s.(map[string]any); s["type"] != subscriptions[i]["type"] || s["topic"] != subscriptions[i]["topic"] {
			t.Errorf("subscription %v, want %v", subscriptions[i], s)
		}
	}
}

// TestThreat_TA01: the forms of a signature, and requests that could be two things.
func TestThreat_TA01(t *testing.T) {
	a := testAdapter(t, testConfig())
	body := []byte(`{"msgId":"x"}`)
	good := dingtalktest.SignRobot(dingtalktest.ClientSecret, stamp)
	sig := good.Get(robotSign)
	for name, change := range map[string]func(*bot.Raw){
		"absent":        func(r *bot.Raw) { r.Header.Del(robotSign) },
		"empty":         func(r *bot.Raw) { r.Header.Set(robotSign, "") },
		"twice":         func(r *bot.Raw) { r.Header.Add(robotSign, sig) },
		"escaped":       func(r *bot.Raw) { r.Header.Set(robotSign, url.QueryEscape(sig)) },
		"without =":     func(r *bot.Raw) { r.Header.Set(robotSign, strings.TrimRight(sig, "=")) },
		"other key":     func(r *bot.Raw) { r.Header["sign"] = []string{sig} },
		"no stamp":      func(r *bot.Raw) { r.Header.Del(robotStamp) },
		"a GET":         func(r *bot.Raw) { r.Method = "GET" },
		"another path":  func(r *bot.Raw) { r.Path = "cards" },
		"unknown path":  func(r *bot.Raw) { r.Path = "x" },
		"event as well": func(r *bot.Raw) { r.Query = url.Values{"msg_signature": {"x"}} },
		"card as well":  func(r *bot.Raw) { r.Header.Set(cardSign, "x") },
		"card's secret": func(r *bot.Raw) { r.Header = dingtalktest.SignRobot(cardSecret, stamp) },
		"signed as card": func(r *bot.Raw) {
			r.Header.Set(robotSign, cardSignature(dingtalktest.ClientSecret, good.Get(robotStamp)))
		},
		"from a socket": func(r *bot.Raw) { r.Socket = true },
	} {
		r := bot.Raw{Method: "POST", Header: good.Clone(), Body: body}
		change(&r)
		if _, err := a.Verify(r, stamp); !errors.Is(err, bot.ErrUnverified) || err.Error() != bot.ErrUnverified.Error() {
			t.Errorf("%s: err %v", name, err)
		}
	}
	if _, err := a.Verify(bot.Raw{Method: "POST", Header: good, Body: body}, stamp); err != nil {
		t.Error(err)
	}
}

// TestThreat_TA05: late, early and oddly written times. Robot messages have an
// hour, as DingTalk's page says; presses and events five minutes.
func TestThreat_TA05(t *testing.T) {
	a := testAdapter(t, testConfig())
	for s, want := range map[string]bool{
		"1700000000000": true, "1699996400000": true, "1700003600000": true, "1699996399999": false, "1700003600001": false, "1700000000": false, "0": false, "": false,
		"-1700000000000": false, "+1700000000000": false, "01700000000000": false, "1.7e12": false, " 1700000000000": false, "1700000000000 ": false, "１７０００００００００００": false, "17000000000000": false,
	} {
		h := http.Header{robotStamp: {s}, robotSign: {robotSignature(dingtalktest.ClientSecret, s)}}
		if _, err := a.Verify(bot.Raw{Method: "POST", Header: h, Body: []byte("{}")}, stamp); (err == nil) != want {
			t.Errorf("%q: err %v, want accepted %v", s, err, want)
		}
	}
	for off, want := range map[time.Duration]bool{0: true, 5 * time.Minute: true, -5 * time.Minute: true, 5*time.Minute + time.Millisecond: false, -5*time.Minute - time.Millisecond: false} {
		if _, err := a.Verify(bot.Raw{Method: "POST", Header: dingtalktest.SignCard(cardSecret, stamp.Add(off)), Body: []byte("{}")}, stamp); (err == nil) != want {
			t.Errorf("press %v off: err %v, want accepted %v", off, err, want)
		}
	}
}

// TestNothingPassesWithoutItsSecret: what is not configured is refused, however it is signed.
func TestNothingPassesWithoutItsSecret(t *testing.T) {
	c := testConfig()
	c.CardSecret, c.CardTemplateID, c.EventToken, c.EventAESKey = "", "", "", ""
	a := testAdapter(t, c)
	if _, err := a.Verify(bot.Raw{Method: "POST", Header: dingtalktest.SignCard("", stamp), Body: []byte("{}")}, stamp); !errors.Is(err, bot.ErrUnverified) {
		t.Error("a press:", err)
	}
	v := readVectors(t)
	q, err := url.ParseQuery(v.Inbound[0].Query)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(bot.Raw{Method: "POST", Query: q, Body: []byte(v.Inbound[0].Body)}, stamp); !errors.Is(err, bot.ErrUnverified) {
		t.Error("an event:", err)
	}
	// In Stream mode nothing comes over HTTP, however well it is signed.
	c = testConfig()
	c.Mode = ModeStream
	if _, err := testAdapter(t, c).Verify(bot.Raw{Method: "POST", Header: dingtalktest.SignRobot(dingtalktest.ClientSecret, stamp), Body: []byte("{}")}, stamp); !errors.Is(err, bot.ErrUnverified) {
		t.Error("HTTP in Stream mode:", err)
	}
}

// TestSealedForSomebodyElse: what is encrypted with our key but not for us, or
// is not made as it should be.
func TestSealedForSomebodyElse(t *testing.T) {
	a := testAdapter(t, testConfig())
	raw := func(sealed string) bot.Raw {
		q := url.Values{"timestamp": {"1700000000000"}, "nonce": {"n1"}, "msg_signature": {eventSignature(a.conf.EventToken, "1700000000000", "n1", sealed)}}
		return bot.Raw{Method: "POST", Query: q, Body: []byte(`{"encrypt":"` + sealed + `"}`)}
	}
	for _, owner := range []string{"", "dingother0123456789", a.conf.ClientID + "x", a.conf.ClientID[1:]} {
		sealed, err := dingtalktest.Encrypt(dingtalktest.AESKey, owner, random("aaaabbbbccccdddd"), []byte(`{"EventType":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Verify(raw(sealed), stamp); !errors.Is(err, bot.ErrUnverified) {
			t.Errorf("%q: %v", owner, err)
		}
	}
	for n := range 200 { // signed noise of every length never panics
		b := make([]byte, n)
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Verify(raw(url.QueryEscape(string(b))), stamp); !errors.Is(err, bot.ErrUnverified) {
			t.Errorf("%d bytes of noise: %v", n, err)
		}
	}
}

// FuzzVerify: whatever comes, only what is signed passes.
func FuzzVerify(f *testing.F) {
	good := dingtalktest.SignRobot(dingtalktest.ClientSecret, stamp)
	card := dingtalktest.SignCard(cardSecret, stamp)
	v := readVectors(f)
	f.Add(good.Get(robotStamp), good.Get(robotSign), "", "", "", "", []byte(`{}`))
	f.Add("", "", good.Get(robotStamp), card.Get(cardSign), "", "", []byte(`{}`))
	for _, e := range v.Inbound {
		f.Add("", "", "", "", e.Stamp, e.Signature, []byte(e.Body))
	}
	a := testAdapter(f, testConfig())
	f.Fuzz(func(t *testing.T, robotAt, robotSig, cardAt, cardSig, eventAt, eventSig string, body []byte) {
		r := bot.Raw{Method: "POST", Header: http.Header{}, Query: url.Values{}, Body: body}
		set := func(m map[string][]string, k, v string) {
			if v != "" {
				m[k] = []string{v}
			}
		}
		set(r.Header, robotStamp, robotAt)
		set(r.Header, robotSign, robotSig)
		set(r.Header, cardStamp, cardAt)
		set(r.Header, cardSign, cardSig)
		set(r.Query, "timestamp", eventAt)
		set(r.Query, "msg_signature", eventSig)
		r.Query.Set("nonce", "nonce001")
		_, err := a.Verify(r, stamp)
		if err != nil {
			return
		}
		robot := robotSig != "" && robotSig == robotSignature(dingtalktest.ClientSecret, robotAt)
		press := cardSig != "" && cardSig == cardSignature(cardSecret, cardAt)
		event := false
		if doc, err := parseJSON(string(body)); err == nil {
			event = eventSig != "" && eventSig == eventSignature(dingtalktest.EventToken, eventAt, "nonce001", doc.at("encrypt").str())
		}
		if !robot && !press && !event {
			t.Errorf("%+v was accepted", r)
		}
	})
}
