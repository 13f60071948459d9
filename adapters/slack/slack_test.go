package slack

import (
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
	"strings"
	"testing"
	"time"

	slackgo "github.com/slack-go/slack"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// testConfig is an install of the emulator's workspace; nobody answers at its API.
func testConfig() Config {
	return Config{BotToken: slacktest.BotToken, SigningSecret: slacktest.SigningSecret, AppToken: slacktest.AppToken, TeamID: slacktest.Team, AppID: slacktest.App, APIURL: "http://127.0.0.1:9/api/"}
}

func testAdapter(t testing.TB, c Config) *Adapter {
	t.Helper()
	a, err := New(c, bot.Deps{Log: quiet(), Now: func() time.Time { return time.Unix(1700000002, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	a.self.Store(&identity{team: slacktest.Team, botUser: slacktest.BotUser, app: c.AppID})
	return a
}

// desk is an adapter beside an emulated Slack with two people and a channel.
type desk struct {
	*slacktest.Server
	a          *Adapter
	ann, bob   string
	help       string
	transports *http.Transport
}

func newDesk(t testing.TB, o slacktest.Options) *desk {
	t.Helper()
	d := &desk{Server: slacktest.New(o), transports: &http.Transport{MaxIdleConnsPerHost: 100}}
	t.Cleanup(d.close)
	c := testConfig()
	c.APIURL = d.APIURL()
	var err error
	if d.a, err = New(c, bot.Deps{HTTP: &http.Client{Transport: d.transports, Timeout: 10 * time.Second}, Log: quiet(), Now: o.Now}); err != nil {
		t.Fatal(err)
	}
	d.ann = d.AddUser(slacktest.User{Name: "ann", RealName: "Ann Li", Email: "ann@example.com", Zone: "Asia/Shanghai", Locale: "zh-CN"})
	d.bob = d.AddUser(slacktest.User{Name: "bob", Email: "bob@example.com"})
	d.help = d.AddChannel("help", false, d.ann, d.bob)
	return d
}

func (d *desk) close() {
	d.transports.CloseIdleConnections()
	d.Server.Close()
}

func (d *desk) to() bot.Dest { return bot.To(d.a.conv(d.help)) }

// capture lets the emulator deliver to a hook that keeps what comes.
func capture(t testing.TB, d *desk) (next func() bot.Raw, stop func()) {
	t.Helper()
	got := make(chan bot.Raw, 16)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

func TestConformance(t *testing.T) {
	samples := inbound(t)
	config := func(change func(*Config)) func() error {
		return func() error {
			c := testConfig()
			c.AppToken = ""
			change(&c)
			_, err := New(c, bot.Deps{})
			return err
		}
	}
	// fail breaks the next call of the emulator that belongs to a bench.
	servers := map[*adaptertest.Bench]*desk{}
	fail := func(f slacktest.Fault) func(*adaptertest.Bench) {
		return func(b *adaptertest.Bench) { servers[b].Fail(f) }
	}
	refused := func(method, code string) func(*adaptertest.Bench) {
		return fail(slacktest.Fault{Kind: slacktest.Refused, Method: method, Code: code})
	}
	verdicts := []adaptertest.Verdict{
		{Name: "429 with a time", Break: fail(slacktest.Fault{Kind: slacktest.Limited, RetryAfter: "7"}), After: 7 * time.Second},
		{Name: "429 with an absurd time", Break: fail(slacktest.Fault{Kind: slacktest.Limited, RetryAfter: "99999999999999999999"}), After: time.Hour},
		{Name: "429 with a long time", Break: fail(slacktest.Fault{Kind: slacktest.Limited, RetryAfter: "86400"}), After: time.Hour},
		{Name: "429 with nonsense", Break: fail(slacktest.Fault{Kind: slacktest.Limited, RetryAfter: "soon"}), After: defaultRetry},
		{Name: "429 with a negative time", Break: fail(slacktest.Fault{Kind: slacktest.Limited, RetryAfter: "-5"}), After: defaultRetry},
		{Name: "429 without a time", Break: fail(slacktest.Fault{Kind: slacktest.Limited}), After: defaultRetry},
		{Name: "429 on update", Update: true, Break: fail(slacktest.Fault{Kind: slacktest.Limited, RetryAfter: "3"}), After: 3 * time.Second},
		{Name: "200 ratelimited", Break: fail(slacktest.Fault{Kind: slacktest.Limited200}), After: defaultRetry},
		{Name: "500", Break: fail(slacktest.Fault{Kind: slacktest.ServerError}), Want: bot.ErrUnknown},
		{Name: "503", Break: fail(slacktest.Fault{Kind: slacktest.ServerError, Status: 503}), Want: bot.ErrUnknown},
		{Name: "500 on update", Update: true, Break: fail(slacktest.Fault{Kind: slacktest.ServerError})},
		{Name: "empty object", Break: fail(slacktest.Fault{Kind: slacktest.Empty}), Want: bot.ErrUnknown},
		{Name: "empty object on update", Update: true, Break: fail(slacktest.Fault{Kind: slacktest.Empty}), Want: bot.ErrUnknown, Found: false},
		{Name: "cut before", Break: fail(slacktest.Fault{Kind: slacktest.CutBefore}), Want: bot.ErrUnknown},
		{Name: "cut after", Break: fail(slacktest.Fault{Kind: slacktest.CutAfter}), Want: bot.ErrUnknown, Found: true},
		{Name: "half an answer", Break: fail(slacktest.Fault{Kind: slacktest.HalfAnswer}), Want: bot.ErrUnknown, Found: true},
		{Name: "cut on update", Update: true, Break: fail(slacktest.Fault{Kind: slacktest.CutAfter})},
		{Name: "revoked", Break: func(b *adaptertest.Bench) { servers[b].Revoke("token_revoked") }, Want: bot.ErrUnauthorized},
		{Name: "archived", Break: func(b *adaptertest.Bench) {
			servers[b].ChangeChannel(b.To.Conv, func(c *slacktest.Channel) { c.Archived = true })
		}, Want: bot.ErrGone},
		{Name: "removed", Break: func(b *adaptertest.Bench) {
			servers[b].ChangeChannel(b.To.Conv, func(c *slacktest.Channel) { delete(c.Members, slacktest.BotUser) })
		}, Want: bot.ErrGone},
		{Name: "message deleted", Update: true, Break: func(b *adaptertest.Bench) {
			servers[b].Delete(servers[b].Cards(b.To.Conv)[0].Ref())
		}, Want: bot.ErrGone},
		{Name: "unknown error", Break: refused("", "flux_capacitor_empty")},
		{Name: "internal error", Break: refused("", "internal_error"), Want: bot.ErrUnknown},
	}
	for code, want := range codes {
		verdicts = append(verdicts, adaptertest.Verdict{Name: code, Break: refused("chat.postMessage", code), Want: want})
	}
	drawn := sampleCards()
	house, _ := houseCards(wordToken)
	maps.Copy(drawn, house)
	adaptertest.Run(t, adaptertest.Harness{
		New: func(t *testing.T) *adaptertest.Bench {
			now := time.Now()
			d := newDesk(t, slacktest.Options{Now: func() time.Time { return now }})
			next, stop := capture(t, d)
			d.a.self.Store(&identity{team: slacktest.Team, botUser: slacktest.BotUser, app: slacktest.App})
			b := &adaptertest.Bench{
				Adapter: d.a, To: d.to(),
				Press: func(ref bot.MessageRef, label string) (bot.Raw, time.Time, error) {
					if a := d.Click(d.ann, string(ref), label); !a.OK() {
						return bot.Raw{}, now, fmt.Errorf("click: %w", a.Err)
					}
					return next(), now, nil
				},
				Shown: func(ref bot.MessageRef) (string, bool) {
					m, ok := d.Message(string(ref))
					b, err := json.Marshal(map[string]any{"text": m.Text, "blocks": m.Blocks})
					return string(b), ok && err == nil
				},
				Posts: func() int { return len(d.Cards(d.help)) },
				Close: func() { d.close(); stop() },
			}
			servers[b] = d
			return b
		},
		Samples: samples,
		Handshake: func() adaptertest.Sample {
			for _, s := range samples {
				if s.Name == "url_verification" {
					return s
				}
			}
			return adaptertest.Sample{}
		}(),
		Echo:   "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
		Signed: []string{timestampHeader, signatureHeader},
		Window: maxAge,
		Sign: func(r bot.Raw, at time.Time) bot.Raw {
			for k, v := range slacktest.Sign(slacktest.SigningSecret, at, r.Header.Get("Content-Type"), r.Body) {
				r.Header[k] = v
			}
			return r
		},
		Other: func(t *testing.T) bot.Adapter {
			c := testConfig()
			c.Name, c.SigningSecret = "other", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
			return testAdapter(t, c)
		},
		BadConfigs: map[string]func() error{
			"no signing secret":            config(func(c *Config) { c.SigningSecret = "" }),
			"blank signing secret":         config(func(c *Config) { c.SigningSecret = "                " }),
			"short signing secret":         config(func(c *Config) { c.SigningSecret = "8f742231b10" }),
			"placeholder signing secret":   config(func(c *Config) { c.SigningSecret = "changemechangemechangeme" }),
			"repeated signing secret":      config(func(c *Config) { c.SigningSecret = strings.Repeat("0", 32) }),
			"example signing secret":       config(func(c *Config) { c.SigningSecret = "your-signing-secret-here" }),
			"a user id as signing secret":  config(func(c *Config) { c.SigningSecret = "U0BOT0001" }),
			"no bot token":                 config(func(c *Config) { c.BotToken = "" }),
			"a person's token":             config(func(c *Config) { c.BotToken = "xoxp-1111111111-2222222222-abcdefghijkl" }),
			"placeholder bot token":        config(func(c *Config) { c.BotToken = "xoxb-your-bot-token-goes-here" }),
			"bot token with a line's end":  config(func(c *Config) { c.BotToken = slacktest.BotToken + "\n" }),
			"app token of the wrong kind":  config(func(c *Config) { c.AppToken = slacktest.BotToken }),
			"app token that is too short":  config(func(c *Config) { c.AppToken = "xapp-1" }),
			"api_url without slash":        config(func(c *Config) { c.APIURL = "https://slack.com/api" }),
			"api_url over plain http":      config(func(c *Config) { c.APIURL = "http://slack.com/api/" }),
			"api_url with a user":          config(func(c *Config) { c.APIURL = "https://me@slack.com/api/" }),
			"api_url that only looks near": config(func(c *Config) { c.APIURL = "http://127.0.0.1.example.com/api/" }),
		},
		Verdicts: verdicts,
		Secrets:  []string{slacktest.BotToken, slacktest.AppToken, slacktest.SigningSecret},
		Cards:    drawn,
		Live:     live,
	})
}

// live finds what Slack would read as markup: in the fallback text and in every
// mrkdwn object, apart from bold labels and the mentions that Ping makes.
func live(shown string) []string {
	var v any
	if err := json.Unmarshal([]byte(shown), &v); err != nil {
		return []string{"not JSON"}
	}
	var out []string
	tag := regexp.MustCompile(`<[^>]*>`)
	own := regexp.MustCompile(`^(<@[UW][A-Z0-9]+>|<!subteam\^S[A-Z0-9]+>)( (<@[UW][A-Z0-9]+>|<!subteam\^S[A-Z0-9]+>))*$`)
	var walk func(x any)
	walk = func(x any) {
		switch x := x.(type) {
		case []any:
			for _, y := range x {
				walk(y)
			}
		case map[string]any:
			if x["type"] == "mrkdwn" {
				text, _ := x["text"].(string)
				inner := strings.TrimSuffix(strings.TrimPrefix(text, "*"), "*")
				if !own.MatchString(text) && (tag.MatchString(text) || strings.ContainsAny(inner, "*_~`\n") || x["verbatim"] != true) {
					out = append(out, text)
				}
			}
			if x["type"] == "plain_text" && x["emoji"] != false {
				out = append(out, fmt.Sprint("emoji are read in ", x["text"]))
			}
			for _, y := range x {
				walk(y)
			}
		}
	}
	walk(v)
	if m, ok := v.(map[string]any); ok {
		if text, _ := m["text"].(string); tag.MatchString(text) {
			out = append(out, text)
		}
	}
	return out
}

func TestLiveFindsWhatIsAlive(t *testing.T) {
	for _, s := range []string{`{"text":"<!here>"}`, `{"blocks":[{"type":"section","text":{"type":"mrkdwn","text":"<@U1> hi"}}]}`, `{"blocks":[{"text":{"type":"mrkdwn","text":"*a* *b*","verbatim":true}}]}`} {
		if len(live(s)) == 0 {
			t.Errorf("%s passes", s)
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	errs := Config{BotToken: "x", AppToken: "y", APIURL: "http://example.com", TeamID: "t", AppID: "a", Name: "A B"}.Validate()
	text := errors.Join(errs...).Error()
	for _, key := range []string{"bot_token", "app_token", "api_url", "team_id", "app_id", "name"} {
		if !strings.Contains(text, key+": ") {
			t.Errorf("%s is not named in:\n%s", key, text)
		}
	}
	if errs := testConfig().Validate(); len(errs) > 0 {
		t.Error(errs)
	}
	socketOnly := testConfig()
	socketOnly.SigningSecret = ""
	if errs := socketOnly.Validate(); len(errs) > 0 {
		t.Error(errs)
	}
}

func TestHTTPIsRefusedWithoutSigningSecret(t *testing.T) {
	c := testConfig()
	c.SigningSecret = ""
	a := testAdapter(t, c)
	body := []byte("{}")
	r := bot.Raw{Method: "POST", Header: slacktest.Sign("", time.Unix(1700000000, 0), slacktest.JSON, body), Body: body}
	if _, err := a.Verify(r, time.Unix(1700000000, 0)); !errors.Is(err, bot.ErrUnverified) {
		t.Errorf("err %v", err)
	}
	c = testConfig()
	c.AppToken = ""
	if _, err := testAdapter(t, c).Verify(bot.Raw{Socket: true, Body: body}, time.Time{}); !errors.Is(err, bot.ErrUnverified) {
		t.Errorf("a socket frame without Socket Mode: err %v", err)
	}
}

func TestManifestIsSlacks(t *testing.T) {
	var m slackgo.Manifest
	dec := yaml.NewDecoder(strings.NewReader(string(Manifest)))
	dec.KnownFields(true)
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	granted := map[string]bool{}
	for _, s := range m.OAuthConfig.Scopes.Bot {
		granted[s] = true
	}
	for _, n := range needed {
		if !granted[n.scope] {
			t.Errorf("Check wants %s, which the manifest does not ask for", n.scope)
		}
	}
	for _, s := range slacktest.Scopes {
		if !granted[s] {
			t.Errorf("the emulator grants %s, which the manifest does not ask for", s)
		}
	}
	for _, c := range m.Features.SlashCommands {
		if !strings.HasSuffix(c.Url, "/hooks/slack/default") {
			t.Errorf("%s goes to %s", c.Command, c.Url)
		}
	}
}

func TestRefs(t *testing.T) {
	channel, ts, err := parseRef(ref("C024BE91L", "1700000000.000100"))
	if err != nil || channel != "C024BE91L" || ts != "1700000000.000100" {
		t.Error(channel, ts, err)
	}
	for _, bad := range []bot.MessageRef{"", "/", "C1", "C1/", "/1.1", "X1/1.1", "C1/1", "C1/a.b", "C1/1.1/2", "c1/1.1", "C1/1.1 "} {
		if _, _, err := parseRef(bad); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%q: %v", bad, err)
		}
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

func TestRespondRefusesForeignHosts(t *testing.T) {
	real := testConfig()
	real.APIURL = ""
	a := testAdapter(t, real)
	for _, u := range []string{
		"", "hooks.slack.com", "http://hooks.slack.com/x", "https://hooks.slack.com.evil.example/x", "https://evil.example/hooks.slack.com", "https://hooks.slack.com@evil.example/",
		"https://hooks.slack.com:8443/x", "https://user@hooks.slack.com/x", "//hooks.slack.com/x", "https://slack.com/x", "https://evil.hooks.slack.com/x", "ftp://hooks.slack.com/x",
		"https://127.0.0.1/x", "http://127.0.0.1:9/x", "http://localhost/x", "http://169.254.169.254/latest", "https://[::1]/x", "https://hooks.slack.com\\@evil.example/", "https://hooks%2eslack.com/x",
		"https://hooks.slack.com%00.evil.example/", "file:///etc/passwd", "javascript:alert(1)", "https://hooks。slack。com/x", "https://hooks.slack.com:443@evil.example/", "https:hooks.slack.com/x",
		"https:///hooks.slack.com/x", "https://hооks.slack.com/x", "data:text/plain,x", "https://hooks.slack.com:/x:1", "gopher://hooks.slack.com/x",
	} {
		if parsed, err := url.Parse(u); err == nil && parsed.User == nil && a.responseHost(parsed) && u != "https://hooks.slack.com:/x:1" {
			t.Errorf("%q is allowed", u)
		}
		if u == "https://hooks.slack.com:/x:1" {
			continue // an empty port is the usual one
		}
		if err := a.Respond(t.Context(), u, cards.Card{Title: "x"}); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%q: %v", u, err)
		}
	}
	if ok, err := url.Parse("https://hooks.slack.com/actions/T1/2/3"); err != nil || !a.responseHost(ok) {
		t.Error("Slack's own address is refused")
	}
}
