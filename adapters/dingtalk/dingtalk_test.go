package dingtalk

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/dingtalk/dingtalktest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

const cardSecret = "k7Jp2Wm9Qx4Zt6Vb"

// stamp is when the recorded requests came.
var stamp = time.UnixMilli(1700000000000).UTC()

// testConfig is an install of the emulator's company, in HTTP mode and with a
// template; nobody answers at its APIs.
func testConfig() Config {
	return Config{
		ClientID: dingtalktest.ClientID, ClientSecret: dingtalktest.ClientSecret, CardTemplateID: dingtalktest.TemplateID, Mode: ModeHTTP,
		APIURL: "http://127.0.0.1:9", OAPIURL: "http://127.0.0.1:9", EventToken: dingtalktest.EventToken, EventAESKey: dingtalktest.AESKey, CardSecret: cardSecret,
	}
}

func testAdapter(t testing.TB, c Config) *Adapter {
	t.Helper()
	now := func() time.Time { return stamp }
	a, err := New(c, bot.Deps{Log: quiet(), Now: now, Shelf: newShelf(now)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// clock is a clock that is set by hand.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// desk is an adapter beside an emulated DingTalk with two people and a group.
type desk struct {
	*dingtalktest.Server
	a          *Adapter
	conf       Config
	shelf      *memShelf
	clock      *clock
	alarms     chan bot.Alarm
	ann, bob   string
	help       string
	transports *http.Transport
}

// newDesk makes a desk; change may change its configuration.
func newDesk(t testing.TB, o dingtalktest.Options, change func(*Config)) *desk {
	t.Helper()
	d := &desk{clock: &clock{at: time.Now().Truncate(time.Second)}, transports: &http.Transport{MaxIdleConnsPerHost: 100}, alarms: make(chan bot.Alarm, 100)}
	if o.Now == nil {
		o.Now = d.clock.now
	}
	d.Server = dingtalktest.New(o)
	t.Cleanup(d.close)
	d.shelf = newShelf(o.Now)
	c := testConfig()
	c.APIURL, c.OAPIURL, c.Mode = d.APIURL(), d.OAPIURL(), ModeStream
	if change != nil {
		change(&c)
	}
	d.conf = c
	d.a = d.another(t)
	d.ann = d.AddUser(dingtalktest.User{Name: "李安", Mobile: "13800000001", Email: "ann@example.com"})
	d.bob = d.AddUser(dingtalktest.User{Name: "王博", Email: "bob@example.com"})
	d.help = d.AddGroup("服务台", false, d.ann, d.bob)
	d.RegisterCallback("paidan-default", cardSecret)
	return d
}

// another is one more adapter of the same install, as another process has it.
func (d *desk) another(t testing.TB) *Adapter {
	t.Helper()
	a, err := New(d.conf, bot.Deps{
		HTTP: &http.Client{Transport: d.transports, Timeout: 10 * time.Second}, Log: quiet(), Now: d.clock.now, Shelf: d.shelf,
		Alarm: func(_ context.Context, a bot.Alarm) { d.alarms <- a },
	})
	if err != nil {
		t.Fatal(err)
	}
	a.pace.second = 100_000
	a.pause = func(int) time.Duration { return time.Millisecond }
	return a
}

func markdownOnly(c *Config) { c.CardTemplateID = "" }

func overHTTP(c *Config) { c.Mode = ModeHTTP }

func (d *desk) close() {
	d.transports.CloseIdleConnections()
	d.Server.Close()
}

func (d *desk) to() bot.Dest { return bot.To(d.a.conv(d.help)) }

// track is the card's own name in a reference.
func track(t testing.TB, r bot.MessageRef) string {
	t.Helper()
	_, _, id, err := parseRef(r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// capture lets the emulator deliver to a hook that keeps what comes.
func capture(t testing.TB, d *desk) (next func() bot.Raw, stop func()) {
	t.Helper()
	got := make(chan bot.Raw, 64)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- bot.Raw{Method: r.Method, Header: r.Header, Query: r.URL.Query(), Body: body}
	}))
	t.Cleanup(hook.Close)
	d.Deliver(hook.URL)
	return func() bot.Raw { return <-got }, hook.Close
}

// deskVerdicts is what both ways to show a card have in common.
func deskVerdicts(desks map[*adaptertest.Bench]*desk, send string) []adaptertest.Verdict {
	fail := func(f dingtalktest.Fault) func(*adaptertest.Bench) {
		return func(b *adaptertest.Bench) { desks[b].Fail(f) }
	}
	refused := func(code string) func(*adaptertest.Bench) {
		return fail(dingtalktest.Fault{Kind: dingtalktest.Refused, Method: send, Code: code, Times: -1})
	}
	out := []adaptertest.Verdict{
		{Name: "too fast", Break: fail(dingtalktest.Fault{Kind: dingtalktest.Limited}), After: time.Second},
		{Name: "everybody too fast", Break: fail(dingtalktest.Fault{Kind: dingtalktest.AllLimited}), After: 5 * time.Second},
		{Name: "banned", Break: fail(dingtalktest.Fault{Kind: dingtalktest.Banned}), After: 5 * time.Minute},
		{Name: "quota", Break: func(b *adaptertest.Bench) { desks[b].SetQuota(1, 0) }, After: time.Hour},
		{Name: "send.too.fast", Break: refused("send.too.fast"), After: 10 * time.Second},
		{Name: "revoked", Break: func(b *adaptertest.Bench) { desks[b].Revoke(true) }, Want: bot.ErrUnauthorized},
		{Name: "disbanded", Break: func(b *adaptertest.Bench) {
			desks[b].ChangeGroup(desks[b].help, func(g *dingtalktest.Group) { g.Disbanded = true })
		}, Want: bot.ErrGone},
		{Name: "removed", Break: func(b *adaptertest.Bench) {
			desks[b].ChangeGroup(desks[b].help, func(g *dingtalktest.Group) { g.Robot = false })
		}, Want: bot.ErrGone},
		{Name: "stopped", Break: func(b *adaptertest.Bench) {
			desks[b].ChangeGroup(desks[b].help, func(g *dingtalktest.Group) { g.Stopped = true })
		}, Want: bot.ErrGone},
		{Name: "unknown refusal", Break: refused("flux.capacitor.empty")},
		{Name: "busy", Break: refused("system.busy")},
	}
	for code, want := range codes {
		out = append(out, adaptertest.Verdict{Name: code, Break: refused(code), Want: want})
	}
	for _, code := range []string{"invalidParameter.msgParam.tooLong", "invalidParameter.userIds.overMax", "invalidParameter.msgKey.invalid", "param.cardPublicDataEmpty"} {
		out = append(out, adaptertest.Verdict{Name: code, Break: refused(code), Want: bot.ErrRejected})
	}
	return append(out, adaptertest.Verdict{Name: "a new kind of denial", Break: refused("Forbidden.AccessDenied.Eclipse"), Want: bot.ErrUnauthorized})
}

func badConfigs() map[string]func() error {
	config := func(change func(*Config)) func() error {
		return func() error {
			c := testConfig()
			change(&c)
			_, err := New(c, bot.Deps{Shelf: newShelf(nil)})
			return err
		}
	}
	return map[string]func() error{
		"no client id":              config(func(c *Config) { c.ClientID = "" }),
		"a client id of WeCom":      config(func(c *Config) { c.ClientID = "ww1234567890abcdef" }),
		"no client secret":          config(func(c *Config) { c.ClientSecret = "" }),
		"blank client secret":       config(func(c *Config) { c.ClientSecret = strings.Repeat(" ", 64) }),
		"short client secret":       config(func(c *Config) { c.ClientSecret = dingtalktest.ClientSecret[:20] }),
		"placeholder client secret": config(func(c *Config) { c.ClientSecret = "your-client-secret-goes-here-and-is-long" }),
		"repeated client secret":    config(func(c *Config) { c.ClientSecret = strings.Repeat("a", 64) }),
		"secret with a line's end":  config(func(c *Config) { c.ClientSecret = dingtalktest.ClientSecret + "\n" }),
		"robot code with spaces":    config(func(c *Config) { c.RobotCode = "ding robot" }),
		"placeholder template":      config(func(c *Config) { c.CardTemplateID = "<template id>.schema" }),
		"unknown mode":              config(func(c *Config) { c.Mode = "webhook" }),
		"no card secret":            config(func(c *Config) { c.CardSecret = "" }),
		"short card secret":         config(func(c *Config) { c.CardSecret = "secret" }),
		"placeholder card secret":   config(func(c *Config) { c.CardSecret = "example-card-secret" }),
		"token without key":         config(func(c *Config) { c.EventAESKey = "" }),
		"key without token":         config(func(c *Config) { c.EventToken = "" }),
		"short token":               config(func(c *Config) { c.EventToken = "123456" }),
		"short key":                 config(func(c *Config) { c.EventAESKey = dingtalktest.AESKey[:42] }),
		"repeated key":              config(func(c *Config) { c.EventAESKey = strings.Repeat("0", 43) }),
		"api_url over plain http":   config(func(c *Config) { c.APIURL = "http://api.dingtalk.com" }),
		"api_url with a path":       config(func(c *Config) { c.APIURL = "https://api.dingtalk.com/v1.0" }),
		"api_url with a user":       config(func(c *Config) { c.APIURL = "https://me@api.dingtalk.com" }),
		"oapi_url that looks near":  config(func(c *Config) { c.OAPIURL = "http://127.0.0.1.example.com" }),
		"callback over plain http":  config(func(c *Config) { c.CardCallbackURL = "http://desk.example.com/hooks" }),
		"quota below nothing":       config(func(c *Config) { c.Quota = -1 }),
		"no shelf": func() error {
			_, err := New(testConfig(), bot.Deps{})
			return err
		},
	}
}

// conformance is the harness for one way to show cards.
func conformance(t *testing.T, change func(*Config)) (adaptertest.Harness, map[*adaptertest.Bench]*desk) {
	desks := map[*adaptertest.Bench]*desk{}
	samples := inboundRequests(t)
	return adaptertest.Harness{
		New: func(t *testing.T) *adaptertest.Bench {
			d := newDesk(t, dingtalktest.Options{}, func(c *Config) { overHTTP(c); change(c) })
			next, stop := capture(t, d)
			b := &adaptertest.Bench{
				Adapter: d.a, To: d.to(),
				Posts: func() int {
					n := 0
					for _, m := range d.Messages(d.help) {
						if m.User == "" {
							n++
						}
					}
					return n
				},
				Close: func() { d.close(); stop() },
			}
			if d.conf.CardTemplateID != "" {
				b.Press = func(ref bot.MessageRef, label string) (bot.Raw, time.Time, error) {
					d.clock.advance(3 * time.Second)
					if a := d.Press(d.ann, track(t, ref), label); !a.OK() {
						return bot.Raw{}, d.clock.now(), fmt.Errorf("press: %w", a.Err)
					}
					return next(), d.clock.now(), nil
				}
			}
			b.Shown = func(ref bot.MessageRef) (string, bool) { return d.shown(t, ref) }
			desks[b] = d
			return b
		},
		Samples: samples,
		Handshake: func() adaptertest.Sample {
			for _, s := range samples {
				if s.Name == "check_url" {
					return s
				}
			}
			return adaptertest.Sample{}
		}(),
		Echo:   "msg_signature",
		Signed: []string{robotStamp, robotSign, cardStamp, cardSign, "msg_signature", "timestamp", "nonce"},
		Window: robotAge,
		Sign:   resign,
		Other: func(t *testing.T) bot.Adapter {
			c := testConfig()
			c.Name, c.ClientID, c.ClientSecret = "other", "dingzyxw9876543210", "Zx9"+dingtalktest.ClientSecret[3:]
			c.EventToken, c.CardSecret = "OtherBotToken0001", "m3Yt8Rw1Lp5Nc7Ks"
			return testAdapter(t, c)
		},
		BadConfigs: badConfigs(),
		Secrets:    []string{dingtalktest.ClientSecret, dingtalktest.EventToken, dingtalktest.AESKey, cardSecret},
	}, desks
}

// shown is what a message of the emulator shows, with who is notified by it.
func (d *desk) shown(t *testing.T, r bot.MessageRef) (string, bool) {
	kind, _, id, err := parseRef(r)
	if err != nil {
		t.Error(err)
		return "", false
	}
	m, ok := d.Message(id)
	all := map[string]any{"title": m.Title, "text": m.Text, "at": m.At, "all": m.AtAll}
	if kind == refCard {
		public, _, there := d.Card(id)
		if ok = there; ok {
			if _, err := d.Draw(d.ann, id); err != nil {
				t.Errorf("the template does not draw it: %v", err)
			}
		}
		all["card"] = public
	}
	b, err := json.Marshal(all)
	return string(b), ok && err == nil
}

func TestConformanceWithTemplate(t *testing.T) {
	h, desks := conformance(t, func(*Config) {})
	const send = "card/instances/createAndDeliver"
	h.Verdicts = deskVerdicts(desks, send)
	fail := func(f dingtalktest.Fault) func(*adaptertest.Bench) {
		return func(b *adaptertest.Bench) { desks[b].Fail(f) }
	}
	// A card may be made twice, so no outcome is unknown: it is tried again.
	for name, f := range map[string]dingtalktest.Fault{
		"server error": {Kind: dingtalktest.ServerError, Method: send}, "bad gateway": {Kind: dingtalktest.ServerError, Method: send, Status: 502}, "empty": {Kind: dingtalktest.Empty, Method: send},
		"cut before": {Kind: dingtalktest.CutBefore, Method: send}, "cut after": {Kind: dingtalktest.CutAfter, Method: send}, "half an answer": {Kind: dingtalktest.HalfAnswer, Method: send},
		"undelivered": {Kind: dingtalktest.Undelivered},
	} {
		h.Verdicts = append(h.Verdicts, adaptertest.Verdict{Name: name, Break: fail(f)})
	}
	const changed = "card/instances/update"
	h.Verdicts = append(h.Verdicts,
		adaptertest.Verdict{Name: "update refused", Update: true, Break: fail(dingtalktest.Fault{Kind: dingtalktest.Refused, Method: changed, Code: "param.cardNotExist"}), Want: bot.ErrGone},
		adaptertest.Verdict{Name: "update empty", Update: true, Break: fail(dingtalktest.Fault{Kind: dingtalktest.Empty, Method: changed})},
		adaptertest.Verdict{Name: "update cut", Update: true, Break: fail(dingtalktest.Fault{Kind: dingtalktest.CutAfter, Method: changed})},
	)
	h.Cards = drawnCards()
	h.Live = liveInCard
	adaptertest.Run(t, h)
}

func TestConformanceWithoutTemplate(t *testing.T) {
	h, desks := conformance(t, markdownOnly)
	const send = "robot/groupMessages/send"
	h.Verdicts = deskVerdicts(desks, send)
	fail := func(f dingtalktest.Fault) func(*adaptertest.Bench) {
		return func(b *adaptertest.Bench) { f.Method = send; desks[b].Fail(f) }
	}
	for name, f := range map[string]dingtalktest.Fault{
		"server error": {Kind: dingtalktest.ServerError}, "bad gateway": {Kind: dingtalktest.ServerError, Status: 502}, "empty": {Kind: dingtalktest.Empty},
		"cut before": {Kind: dingtalktest.CutBefore}, "cut after": {Kind: dingtalktest.CutAfter}, "half an answer": {Kind: dingtalktest.HalfAnswer},
	} {
		h.Verdicts = append(h.Verdicts, adaptertest.Verdict{Name: name, Break: fail(f), Want: bot.ErrUnknown})
	}
	h.Cards = drawnCards()
	h.Live = liveInMarkdown
	h.Fixed = true
	adaptertest.Run(t, h)
}

// liveInCard finds what in a card does something by itself: who is notified
// besides those of Ping, and a list that somebody's text has broken open.
func liveInCard(shown string) []string {
	var m struct {
		At   []string
		All  bool
		Card map[string]string
	}
	if err := json.Unmarshal([]byte(shown), &m); err != nil {
		return []string{"not JSON"}
	}
	out := slices.Clone(m.At)
	if m.All {
		out = append(out, "everybody")
	}
	for name, v := range m.Card {
		for _, of := range variables {
			if of.list && strings.HasPrefix(name, of.name) {
				var list []map[string]any
				if err := json.Unmarshal([]byte(v), &list); err != nil {
					out = append(out, name+": "+v)
				}
				for _, e := range list {
					for k := range e {
						if !slices.Contains([]string{"k", "v", "label", "token", "style", "confirm", "url", "text", "detail", "actions", "options"}, k) {
							out = append(out, name+"."+k)
						}
					}
				}
			}
		}
	}
	return out
}

var ownMark = regexp.MustCompile(`^(#### |> |>\s*$|- )`)

// liveInMarkdown finds what in a message a client would format, link or notify,
// apart from the heading, the quotes and the lists that are ours.
func liveInMarkdown(shown string) []string {
	var m struct {
		Title, Text string
		At          []string
		All         bool
	}
	if err := json.Unmarshal([]byte(shown), &m); err != nil {
		return []string{"not JSON"}
	}
	out := slices.Clone(m.At)
	if m.All || strings.Contains(m.Text, "@") {
		out = append(out, m.Text)
	}
	for l := range strings.SplitSeq(m.Title+"\n"+m.Text, "\n") {
		live := dingtalktest.Markdown(ownMark.ReplaceAllString(l, ""))
		out = slices.Concat(out, live.At, live.Links, live.Images, live.Format)
	}
	return out
}

func TestLiveFindsWhatIsAlive(t *testing.T) {
	for _, s := range []string{
		`{"text":"[a](https://evil.example)"}`, `{"text":"![a](https://evil.example)"}`, `{"text":"see https://evil.example"}`, `{"text":"**b**"}`, `{"text":"> # h"}`, `{"text":"@所有人"}`, `{"text":"<b>x</b>"}`, `{"text":"x","at":["u"]}`,
		`{"text":"x","all":true}`,
	} {
		if len(liveInMarkdown(s)) == 0 {
			t.Errorf("%s passes", s)
		}
	}
	for _, s := range []string{`{"at":["u"]}`, `{"all":true}`, `{"card":{"rows":"[{\"text\":\"\"}"}}`, `{"card":{"actions2":"[{\"type\":\"divider\"}]"}}`} {
		if len(liveInCard(s)) == 0 {
			t.Errorf("%s passes", s)
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	errs := Config{
		Name: "A B", ClientID: "x", ClientSecret: "y", RobotCode: " ", CardTemplateID: "?", Mode: "z", APIURL: "ftp://x", OAPIURL: ":", EventToken: "1", EventAESKey: "2",
		CardSecret: "3", CardCallbackURL: "http://example.com", Quota: -1,
	}.Validate()
	text := errors.Join(errs...).Error()
	for _, key := range []string{"name", "client_id", "client_secret", "robot_code", "card_template_id", "mode", "api_url", "oapi_url", "event_token", "event_aes_key", "card_secret", "card_callback_url", "quota"} {
		if !strings.Contains("\n"+text, "\n"+key+": ") {
			t.Errorf("%s is not named in:\n%s", key, text)
		}
	}
	if errs := testConfig().Validate(); len(errs) > 0 {
		t.Error(errs)
	}
	if errs := (Config{ClientID: dingtalktest.ClientID, ClientSecret: dingtalktest.ClientSecret}).Validate(); len(errs) > 0 {
		t.Error("the two that are needed do not suffice:", errs)
	}
}

func TestRefs(t *testing.T) {
	for _, place := range []string{"cidAb/c+d==", "@manager4220"} {
		r := ref(refCard, place, "paidan-g-x")
		if kind, p, id, err := parseRef(r); err != nil || kind != refCard || p != place || id != "paidan-g-x" {
			t.Error(r, kind, p, id, err)
		}
	}
	for _, bad := range []bot.MessageRef{"", "/", "card", "card/", "card/cid1", "card/cid1/", "card//x", "card/@/x", "poem/cid1/x", "card/group/x", "card/cid1/x y", "card/cid1/\x00"} {
		if _, _, _, err := parseRef(bad); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// A private chat is the same lane, whether it is called by its conversation or its person.
	a := testAdapter(t, testConfig())
	if one, two := bot.To(a.conv("@u1")).Lane(), bot.Private(a.user("u1")).Lane(); one != two {
		t.Errorf("%s and %s", one, two)
	}
}

// golden compares got with a file, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s differs; -update rewrites it\ngot  %s\nwant %s", path, got, want)
	}
}

func TestHosts(t *testing.T) {
	c := testConfig()
	c.APIURL, c.OAPIURL = "", ""
	a := testAdapter(t, c)
	parse := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			return nil
		}
		return u
	}
	for s, want := range map[string]bool{
		"https://oapi.dingtalk.com/robot/sendBySession?session=1": true, "https://api.dingtalk.com/x": true, "https://OAPI.DINGTALK.COM/x": true,
		"http://oapi.dingtalk.com/x": false, "https://oapi.dingtalk.com.evil.example/x": false, "https://evildingtalk.com/x": false, "https://oapi.dingtalk.com@evil.example/": false,
		"https://me@oapi.dingtalk.com/": false, "https://oapi.dingtalk.com:8443/x": false, "https://127.0.0.1/x": false, "http://127.0.0.1:9/x": false, "http://169.254.169.254/latest": false,
		"": false, "oapi.dingtalk.com": false, "//oapi.dingtalk.com/x": false, "file:///etc/passwd": false, "https://evil.example/oapi.dingtalk.com": false, "https://oapi.dingtalk.com\\@evil.example": false,
	} {
		if got := a.sessionHost(parse(s)); got != want {
			t.Errorf("%q: allowed %v", s, got)
		}
		if want {
			continue
		}
		if err := a.bySession(t.Context(), s, "t", "x", "cid1", nil); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%q: %v", s, err)
		}
	}
	for s, want := range map[string]bool{
		"wss://wss-open-connection.dingtalk.com:443/connect": true, "wss://wss-open-connection.dingtalk.com/connect": true, "ws://wss-open-connection.dingtalk.com/connect": false,
		"wss://dingtalk.com.evil.example/": false, "wss://evildingtalk.com/": false, "wss://127.0.0.1:9/": false, "https://wss-open-connection.dingtalk.com/": false, "wss://me@wss.dingtalk.com/": false, "wss://wss.dingtalk.com:8443/": false, "": false,
	} {
		if got := a.streamHost(parse(s)); got != want {
			t.Errorf("%q: allowed %v", s, got)
		}
	}
	for s, want := range map[string]bool{
		"https://down.dingtalk.com/x": true, "https://lippi.oss-cn-hangzhou.aliyuncs.com/x?Expires=1": true, "https://static.dingtalk.com/media/x": true,
		"http://down.dingtalk.com/x": false, "https://aliyuncs.com.evil.example/x": false, "https://127.0.0.1/x": false, "https://10.0.0.1/x": false,
	} {
		if got := a.fileHost(parse(s)); got != want {
			t.Errorf("%q: allowed %v", s, got)
		}
	}
}

// drawnCards are the cards of the program and some that have everything.
func drawnCards() map[string]cards.Card {
	out := map[string]cards.Card{}
	maps.Copy(out, sampleCards())
	maps.Copy(out, houseCards((&Adapter{conf: Config{CardTemplateID: "x"}}).Caps()))
	return out
}

// serve is a hook that does what the gateway does, and returns its address.
func (d *desk) serve(t testing.TB, reply func(bot.Event) bot.Reply) string {
	t.Helper()
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		raw := bot.Raw{Method: r.Method, Header: r.Header, Query: r.URL.Query(), Body: body}
		plain, err := d.a.Verify(raw, d.clock.now())
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		in, err := d.a.Decode(raw, plain)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		out := bot.Reply{Echo: in.Echo}
		for _, e := range in.Events {
			out = reply(e)
		}
		d.a.Reply(w, in, out)
	}))
	t.Cleanup(hook.Close)
	return hook.URL
}
