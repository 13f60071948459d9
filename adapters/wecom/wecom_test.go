package wecom

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

var rewrite = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// following remembers which message took another's place, so that the suite can
// ask for it by its first name.
type following struct {
	*Adapter
	mu    *sync.Mutex // guards moved
	moved map[bot.MessageRef]bot.MessageRef
}

func (f following) Update(ctx context.Context, ref bot.MessageRef, c cards.Card) (bot.MessageRef, error) {
	now, err := f.Adapter.Update(ctx, ref, c)
	if err == nil && now != ref {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.moved[ref] = now
	}
	return now, err
}

// received are callbacks of every kind, as they come in.
func received(t testing.TB) []adaptertest.Sample {
	v := readVectors(t)
	c := mustCrypt(t, v.Config.Token, v.Config.EncodingAESKey, v.Config.CorpID)
	var out []adaptertest.Sample
	for _, x := range v.Inbound {
		if strings.Contains(x.Name, "kf_") {
			continue // customers are another surface's
		}
		out = append(out, adaptertest.Sample{Name: x.Name, Raw: bot.Raw{Method: http.MethodPost, Header: http.Header{"Content-Type": {"text/xml"}}, Query: x.query(), Body: []byte(x.Body)}, At: stampTime(t, x.Timestamp)})
	}
	more := map[string]string{
		"voice":           `<MsgType><![CDATA[voice]]></MsgType><MediaId><![CDATA[MEDIA2]]></MediaId><Format><![CDATA[amr]]></Format><Recognition><![CDATA[打印机坏了]]></Recognition><MsgId>7300000000000000011</MsgId>`,
		"video":           `<MsgType><![CDATA[video]]></MsgType><MediaId><![CDATA[MEDIA3]]></MediaId><ThumbMediaId><![CDATA[T]]></ThumbMediaId><MsgId>7300000000000000012</MsgId>`,
		"file":            `<MsgType><![CDATA[file]]></MsgType><MediaId><![CDATA[MEDIA4]]></MediaId><FileName><![CDATA[log.txt]]></FileName><FileSize>120</FileSize><MsgId>7300000000000000013</MsgId>`,
		"location":        `<MsgType><![CDATA[location]]></MsgType><Location_X>23.134</Location_X><Location_Y>113.358</Location_Y><Scale>20</Scale><Label><![CDATA[广州市]]></Label><MsgId>7300000000000000014</MsgId>`,
		"link":            `<MsgType><![CDATA[link]]></MsgType><Title><![CDATA[页面]]></Title><Description><![CDATA[说明]]></Description><Url><![CDATA[https://example.com/a?b=c]]></Url><MsgId>7300000000000000015</MsgId>`,
		"renamed":         `<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[change_contact]]></Event><ChangeType><![CDATA[update_user]]></ChangeType><UserID><![CDATA[zhangsan]]></UserID><Name><![CDATA[张三丰]]></Name>`,
		"split CDATA":     `<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[a ]]]]><![CDATA[> b]]></Content><MsgId>7300000000000000016</MsgId>`,
		"unknown event":   `<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[something_new]]></Event>`,
		"unknown message": `<MsgType><![CDATA[hologram]]></MsgType><MsgId>7300000000000000017</MsgId>`,
	}
	at := stampTime(t, "1700000020")
	for name, inner := range more {
		plain := "<xml><ToUserName><![CDATA[" + v.Config.CorpID + "]]></ToUserName><FromUserName><![CDATA[zhangsan]]></FromUserName><CreateTime>1700000020</CreateTime>" + inner + "<AgentID>1000002</AgentID></xml>"
		out = append(out, adaptertest.Sample{Name: name, Raw: post(c, plain, at, false), At: at})
	}
	out = append(out, adaptertest.Sample{Name: "json envelope", Raw: post(c, v.Inbound[0].Plaintext, at, true), At: at})
	return out
}

// post is a callback as WeCom makes it.
func post(c *crypt, plain string, at time.Time, asJSON bool) bot.Raw {
	encrypted, signature := c.seal([]byte(plain), "1372623000", at)
	r := bot.Raw{Method: http.MethodPost, Header: http.Header{"Content-Type": {"text/xml"}}, Query: url.Values{"msg_signature": {signature}, "timestamp": {strconv.FormatInt(at.Unix(), 10)}, "nonce": {"1372623000"}}}
	r.Body = []byte("<xml><ToUserName><![CDATA[ww0123456789abcdef]]></ToUserName><Encrypt><![CDATA[" + encrypted + "]]></Encrypt><AgentID><![CDATA[1000002]]></AgentID></xml>")
	if asJSON {
		r.Body = []byte(`{"tousername":"ww0123456789abcdef","encrypt":"` + encrypted + `","agentid":"1000002"}`)
	}
	return r
}

// resign signs whatever stands in a body for a time.
func resign(c *crypt, r bot.Raw, at time.Time) bot.Raw {
	env, err := parseOuter(r.Body)
	if err != nil {
		env.encrypt = string(r.Body)
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	r.Query = url.Values{"msg_signature": {c.sign(stamp, "1372623000", env.encrypt)}, "timestamp": {stamp}, "nonce": {"1372623000"}}
	return r
}

func TestConformance(t *testing.T) {
	v := readVectors(t)
	c := mustCrypt(t, v.Config.Token, v.Config.EncodingAESKey, v.Config.CorpID)
	benches := map[*adaptertest.Bench]*rig{}
	fail := func(f wecomtest.Fault) func(*adaptertest.Bench) {
		return func(b *adaptertest.Bench) { benches[b].wc.Fail(f) }
	}
	refused := func(code int) func(*adaptertest.Bench) {
		return fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "message/send", Code: code})
	}
	recall := func(f wecomtest.Fault) func(*adaptertest.Bench) {
		f.Method = "message/recall"
		return fail(f)
	}
	verdicts := []adaptertest.Verdict{
		{Name: "45009", Break: fail(wecomtest.Fault{Kind: wecomtest.Limited}), After: time.Minute},
		{Name: "45009 on update", Update: true, Break: recall(wecomtest.Fault{Kind: wecomtest.Limited}), After: time.Minute},
		{Name: "45033", Break: refused(45033), After: 2 * time.Second},
		{Name: "busy", Break: fail(wecomtest.Fault{Kind: wecomtest.Busy}), After: 5 * time.Second},
		{Name: "429", Break: fail(wecomtest.Fault{Kind: wecomtest.ServerError, Status: 429}), After: defaultRetry},
		{Name: "500", Break: fail(wecomtest.Fault{Kind: wecomtest.ServerError}), Want: bot.ErrUnknown},
		{Name: "502", Break: fail(wecomtest.Fault{Kind: wecomtest.ServerError, Status: 502}), Want: bot.ErrUnknown},
		{Name: "500 on update", Update: true, Break: recall(wecomtest.Fault{Kind: wecomtest.ServerError})},
		{Name: "404", Break: fail(wecomtest.Fault{Kind: wecomtest.ServerError, Status: 404})},
		{Name: "empty object", Break: fail(wecomtest.Fault{Kind: wecomtest.Empty}), Want: bot.ErrUnknown},
		{Name: "no JSON", Break: fail(wecomtest.Fault{Kind: wecomtest.NotJSON}), Want: bot.ErrUnknown},
		{Name: "cut before", Break: fail(wecomtest.Fault{Kind: wecomtest.CutBefore}), Want: bot.ErrUnknown},
		{Name: "cut after", Break: fail(wecomtest.Fault{Kind: wecomtest.CutAfter}), Want: bot.ErrUnknown, Found: true},
		{Name: "half an answer", Break: fail(wecomtest.Fault{Kind: wecomtest.HalfAnswer}), Want: bot.ErrUnknown, Found: true},
		{Name: "member has left", Break: func(b *adaptertest.Bench) {
			benches[b].wc.ChangeUser("zhangsan", func(u *wecomtest.User) { u.Status = 5 })
		}, Want: bot.ErrGone},
		{Name: "member is out of range", Break: func(b *adaptertest.Bench) {
			benches[b].wc.ChangeUser("zhangsan", func(u *wecomtest.User) { u.Hidden = true })
		}, Want: bot.ErrGone},
	}
	for code, want := range map[int]error{
		40001: bot.ErrUnauthorized, 40013: bot.ErrUnauthorized, 40056: bot.ErrUnauthorized, 301002: bot.ErrUnauthorized, 60020: bot.ErrUnauthorized, 48002: bot.ErrUnauthorized,
		50003: bot.ErrUnauthorized, 43012: bot.ErrUnauthorized, 81013: bot.ErrGone, 60111: bot.ErrGone, 82001: bot.ErrGone, 60011: bot.ErrGone,
		45002: bot.ErrRejected, 40058: bot.ErrRejected, 40033: bot.ErrRejected, 44004: bot.ErrRejected, 42027: bot.ErrRejected, 42037: bot.ErrRejected, 42051: bot.ErrRejected,
		99999: nil, -7: nil,
	} {
		b := fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "message/send", Code: code, Times: -1})
		verdicts = append(verdicts, adaptertest.Verdict{Name: fmt.Sprint("errcode ", code), Break: b, Want: want})
	}
	adaptertest.Run(t, adaptertest.Harness{
		New: func(t *testing.T) *adaptertest.Bench {
			r := newRig(t, wecomtest.Options{}, nil)
			f := following{r.Adapter, &sync.Mutex{}, map[bot.MessageRef]bot.MessageRef{}}
			b := &adaptertest.Bench{Adapter: f, To: r.to()}
			b.Press = func(ref bot.MessageRef, label string) (bot.Raw, time.Time, error) {
				a := r.wc.Press(r.user, lastOf(ref), label)
				if a.Err != nil {
					return bot.Raw{}, time.Time{}, a.Err
				}
				return r.in.last(t), time.Now(), nil
			}
			b.Shown = func(ref bot.MessageRef) (string, bool) {
				for f.moved[ref] != "" {
					ref = f.moved[ref]
				}
				return r.shown(ref)
			}
			b.Posts = func() int { return len(r.wc.Messages(wecomtest.AppChat(r.user))) }
			b.Close = r.close
			benches[b] = r
			return b
		},
		Samples:   received(t),
		Handshake: adaptertest.Sample{Name: "verify url", Raw: handshake(v.VerifyURL), At: stampTime(t, v.VerifyURL.Timestamp)},
		Echo:      v.VerifyURL.Plaintext,
		Window:    maxAge,
		Sign:      func(r bot.Raw, at time.Time) bot.Raw { return resign(c, r, at) },
		Other: func(t *testing.T) bot.Adapter {
			other := appConfig("http://127.0.0.1:9")
			other.Name, other.Token, other.EncodingAESKey = "other", "AnotherToken02", "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA"
			a, err := New(other, bot.Deps{Shelf: newShelf(nil)})
			if err != nil {
				t.Fatal(err)
			}
			return a
		},
		BadConfigs: badConfigs(),
		Verdicts:   verdicts,
		Secrets:    []string{wecomtest.Secret, wecomtest.Token, wecomtest.AESKey, "access_token=", "corpsecret="},
		Cards:      fitted(t),
		Live: func(shown string) []string {
			if strings.HasPrefix(shown, "{") {
				return nil // nothing in a template card is read as markup
			}
			var live []string
			for _, l := range wecomtest.Live("text", shown) {
				if !strings.HasPrefix(l, "link https://evil.example") || anchor.MatchString(shown) {
					live = append(live, l) // an address that stands there as it is hides nothing
				}
			}
			return live
		},
	})
}

var anchor = regexp.MustCompile(`(?i)<\s*a\b`)

func handshake(v vector) bot.Raw {
	q := v.query()
	q.Set("echostr", v.Encrypt)
	return bot.Raw{Method: http.MethodGet, Header: http.Header{}, Query: q}
}

// fitted are the program's cards as they leave it: cut to the adapter's limits,
// with a token on everything that can be pressed.
func fitted(t testing.TB) map[string]cards.Card {
	t.Helper()
	seal := bot.NewSealer([]byte("a key for tests of 32 bytes long!"))
	out := map[string]cards.Card{}
	for _, s := range cards.Samples() {
		c := cards.Fit(s.Card, (&Adapter{}).Caps())
		if err := seal.Seal(&c, "wecom/default"); err != nil {
			t.Fatal(err)
		}
		out[s.Name] = c
	}
	return out
}

func badConfigs() map[string]func() error {
	try := func(change func(*Config)) func() error {
		return func() error {
			c := appConfig("")
			change(&c)
			_, err := New(c, bot.Deps{Shelf: newShelf(nil)})
			return err
		}
	}
	out := map[string]func() error{}
	for name, change := range brokenConfigs() {
		out[name] = try(change.do)
	}
	return out
}

type brokenConfig struct {
	key string
	do  func(*Config)
}

func brokenConfigs() map[string]brokenConfig {
	robot := RobotConfig{ID: "aib0001", Secret: strings.Repeat("aB3", 12)}
	return map[string]brokenConfig{
		"nothing":                {"secret", func(c *Config) { *c = Config{} }},
		"no secret":              {"secret", func(c *Config) { c.Secret = "" }},
		"placeholder secret":     {"secret", func(c *Config) { c.Secret = "your-secret-from-the-console" }},
		"one letter secret":      {"secret", func(c *Config) { c.Secret = strings.Repeat("x", 43) }},
		"short secret":           {"secret", func(c *Config) { c.Secret = "abc123" }},
		"spaced secret":          {"secret", func(c *Config) { c.Secret += " x" }},
		"no token":               {"token", func(c *Config) { c.Token = "" }},
		"placeholder token":      {"token", func(c *Config) { c.Token = "changeme" }},
		"long token":             {"token", func(c *Config) { c.Token = strings.Repeat("aB", 17) }},
		"no key":                 {"encoding_aes_key", func(c *Config) { c.EncodingAESKey = "" }},
		"short key":              {"encoding_aes_key", func(c *Config) { c.EncodingAESKey = c.EncodingAESKey[1:] }},
		"placeholder key":        {"encoding_aes_key", func(c *Config) { c.EncodingAESKey = strings.Repeat("a", 43) }},
		"no corp":                {"corp_id", func(c *Config) { c.CorpID = "" }},
		"odd corp":               {"corp_id", func(c *Config) { c.CorpID = "acme" }},
		"no agent":               {"agent_id", func(c *Config) { c.AgentID = 0 }},
		"negative agent":         {"agent_id", func(c *Config) { c.AgentID = -1 }},
		"http":                   {"api_url", func(c *Config) { c.APIURL = "http://qyapi.weixin.qq.com" }},
		"no url":                 {"api_url", func(c *Config) { c.APIURL = "qyapi" }},
		"url with a query":       {"api_url", func(c *Config) { c.APIURL = "https://qyapi.weixin.qq.com?x=1" }},
		"odd name":               {"name", func(c *Config) { c.Name = "Ä b" }},
		"robot without secret":   {"robot.secret", func(c *Config) { c.Robot = RobotConfig{ID: "aib0001"} }},
		"robot without id":       {"robot.id", func(c *Config) { c.Robot = robot; c.Robot.ID = "" }},
		"short robot secret":     {"robot.secret", func(c *Config) { c.Robot = robot; c.Robot.Secret = "abc" }},
		"robot with both":        {"robot.token", func(c *Config) { c.Robot = robot; c.Robot.Token = "RobotToken1" }},
		"half robot callback":    {"robot.encoding_aes_key", func(c *Config) { c.Robot = RobotConfig{Token: "RobotToken1"} }},
		"robot callback, no tok": {"robot.token", func(c *Config) { c.Robot = RobotConfig{EncodingAESKey: c.EncodingAESKey} }},
		"robot over ws":          {"robot.ws_url", func(c *Config) { c.Robot = robot; c.Robot.WSURL = "ws://openws.work.weixin.qq.com" }},
		"ws_url alone":           {"robot.id", func(c *Config) { c.Robot.WSURL = "wss://openws.work.weixin.qq.com" }},
		"short kf secret":        {"kf.secret", func(c *Config) { c.KF.Secret = "abc" }},
		"half kf callback":       {"kf.encoding_aes_key", func(c *Config) { c.KF.Token = "KfToken1" }},
		"kf without the app":     {"kf", func(c *Config) { *c = Config{Robot: robot, KF: KFConfig{Secret: robot.Secret}} }},
	}
}

func TestConfigNamesEveryWrongKey(t *testing.T) {
	for name, b := range brokenConfigs() {
		c := appConfig("")
		b.do(&c)
		var said []string
		ok := false
		for _, err := range c.Validate() {
			said = append(said, err.Error())
			ok = ok || strings.HasPrefix(err.Error(), b.key+": ")
		}
		if !ok {
			t.Errorf("%s: nothing about %s in %q", name, b.key, said)
		}
	}
	good := map[string]Config{"app": appConfig(""), "app at a loopback": appConfig("http://127.0.0.1:1234")}
	both := appConfig("")
	both.Robot = RobotConfig{ID: "aib0001", Secret: strings.Repeat("aB3", 12)}
	good["app and robot"] = both
	good["robot alone"] = Config{Robot: both.Robot}
	good["robot with callbacks"] = Config{Robot: RobotConfig{Token: "RobotToken1", EncodingAESKey: both.EncodingAESKey}}
	both.KF = KFConfig{Secret: strings.Repeat("kF4", 12), Token: "KfToken1", EncodingAESKey: both.EncodingAESKey}
	good["all"] = both
	for name, c := range good {
		if errs := c.Validate(); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

func TestConfigReadsYAML(t *testing.T) {
	var c Config
	err := yaml.Unmarshal([]byte("corp_id: ww1\nagent_id: 1000002\nsecret: s\ntoken: t\nencoding_aes_key: k\napi_url: u\nrobot:\n  id: b\n  secret: rs\n  token: rt\n  encoding_aes_key: rk\n  ws_url: w\nkf:\n  secret: ks\n  token: kt\n  encoding_aes_key: kk\n"), &c)
	want := Config{CorpID: "ww1", AgentID: 1000002, Secret: "s", Token: "t", EncodingAESKey: "k", APIURL: "u", Robot: RobotConfig{"b", "rs", "rt", "rk", "w"}, KF: KFConfig{"ks", "kt", "kk"}}
	if err != nil || c != want {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestNewNeedsAShelf(t *testing.T) {
	if _, err := New(appConfig(""), bot.Deps{}); !errors.Is(err, errNoShelf) {
		t.Error(err)
	}
}

func TestSurfacesAreKeptApart(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	v := readVectors(t)
	at := stampTime(t, v.Inbound[0].Timestamp)
	raw := bot.Raw{Method: http.MethodPost, Header: http.Header{}, Query: v.Inbound[0].query(), Body: []byte(v.Inbound[0].Body)}
	if _, err := r.Verify(raw, at); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*bot.Raw){
		"robot's address":      func(r *bot.Raw) { r.Path = "robot" },
		"an unknown address":   func(r *bot.Raw) { r.Path = "other" },
		"a socket":             func(r *bot.Raw) { r.Socket = true },
		"a socket of the app":  func(r *bot.Raw) { r.Socket = true; r.Header.Set(surfaceHeader, "app") },
		"a header over HTTP":   func(r *bot.Raw) { r.Path = "robot"; r.Header.Set(surfaceHeader, "app") },
		"another method":       func(r *bot.Raw) { r.Method = http.MethodPut },
		"one more query value": func(r *bot.Raw) { r.Query.Set("x", "1") },
	} {
		other := clone(raw)
		change(&other)
		if _, err := r.Verify(other, at); err != bot.ErrUnverified {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The header that our own connection sets is not believed over HTTP.
	forged := clone(raw)
	forged.Header.Set(surfaceHeader, "robot")
	if _, err := r.Verify(forged, at); err != nil {
		t.Errorf("the app's own callback with a stray header: %v", err)
	}
}

func TestReplyEchoes(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	w := httptest.NewRecorder()
	r.Reply(w, bot.Inbound{Echo: "5927782489442352469", Kind: "verify"}, bot.Reply{Echo: "5927782489442352469"})
	if w.Body.String() != "5927782489442352469" || w.Code != 200 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
