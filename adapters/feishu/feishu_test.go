package feishu

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/feishu/feishutest"
	"github.com/paidan/paidan/bot"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// testConfig is an install of the emulator's app, over both ways; nobody answers
// at its API.
func testConfig() Config {
	return Config{
		AppID: feishutest.AppID, AppSecret: feishutest.AppSecret, EncryptKey: feishutest.EncryptKey, VerificationToken: feishutest.VerificationToken,
		Mode: ModeStream, APIURL: "http://127.0.0.1:9",
	}
}

func testAdapter(t testing.TB, c Config) *Adapter {
	t.Helper()
	a, err := New(c, bot.Deps{Log: quiet(), Now: func() time.Time { return time.Unix(1700000002, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	tenant := feishutest.Tenant
	a.self.Store(&identity{bot: feishutest.Bot, name: feishutest.BotName})
	a.tenant.Store(&tenant)
	return a
}

// shelf is what the program keeps for an adapter, in memory.
type shelf struct {
	mu   sync.Mutex // guards rows
	rows map[string]string
	err  error
}

func newShelf() *shelf { return &shelf{rows: map[string]string{}} }

func (s *shelf) Get(_ context.Context, key string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows[key], s.err
}

func (s *shelf) Put(_ context.Context, key, value string, _ time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[key] = value
	return s.err
}

func (s *shelf) Push(ctx context.Context, key, value string, keep time.Duration) error {
	return s.Put(ctx, key, value, keep)
}

func (s *shelf) Pop(context.Context, string) (string, error) { return "", errors.New("not used") }

func (s *shelf) Swap(context.Context, string, string, string, time.Duration) (bool, error) {
	return false, errors.New("not used")
}

func (s *shelf) Add(context.Context, string, int64, time.Duration) (int64, error) {
	return 0, errors.New("not used")
}

// keep does what the program does with what a request brought.
func (s *shelf) keep(in bot.Inbound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range in.Keep {
		s.rows[k.Key] = k.Value
	}
}

// desk is an adapter beside an emulated Feishu with two people and a group.
type desk struct {
	*feishutest.Server
	a          *Adapter
	shelf      *shelf
	ann, bob   string
	help       string
	transports *http.Transport
}

func newDesk(t testing.TB, o feishutest.Options) *desk { return newDeskAs(t, o, "") }

// newDeskAs is newDesk under another name of the API's host: connections to it
// end at the emulator all the same.
func newDeskAs(t testing.TB, o feishutest.Options, apiURL string) *desk {
	t.Helper()
	d := &desk{Server: feishutest.New(o), shelf: newShelf(), transports: &http.Transport{MaxIdleConnsPerHost: 100}}
	t.Cleanup(d.close)
	c := testConfig()
	c.APIURL = d.APIURL()
	if apiURL != "" {
		c.APIURL = apiURL
		addr := strings.TrimPrefix(d.URL, "http://")
		d.transports.DialTLSContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, addr)
		}
	}
	var err error
	if d.a, err = New(c, bot.Deps{HTTP: &http.Client{Transport: d.transports, Timeout: 10 * time.Second}, Log: quiet(), Now: o.Now, Shelf: d.shelf}); err != nil {
		t.Fatal(err)
	}
	d.ann = d.AddUser(feishutest.User{Name: "Ann Li", Email: "ann@example.com", Mobile: "+8613800138000", Zone: "Asia/Shanghai"})
	d.bob = d.AddUser(feishutest.User{Name: "Bob", Email: "bob@example.com"})
	d.help = d.AddGroup("help", false, d.ann, d.bob)
	return d
}

func (d *desk) close() {
	d.transports.CloseIdleConnections()
	d.Server.Close()
}

func (d *desk) to() bot.Dest { return bot.To(d.a.conv(d.help)) }

// served lets the emulator deliver to a hook that does what the gateway does.
func (d *desk) served(t testing.TB, sink func(bot.Event) bot.Reply) *[]bot.Event {
	t.Helper()
	var got []bot.Event
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		raw := bot.Raw{Method: r.Method, Header: r.Header, Query: r.URL.Query(), Body: body}
		plain, err := d.a.Verify(raw, d.a.now())
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		d.a.Preload(r.Context(), plain)
		in, err := d.a.Decode(raw, plain)
		if err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		d.shelf.keep(in)
		var out bot.Reply
		for _, e := range in.Events {
			got = append(got, e)
			if sink != nil {
				out = sink(e)
			}
		}
		out.Echo = in.Echo
		d.a.Reply(w, in, out)
	}))
	t.Cleanup(hook.Close)
	d.Deliver(hook.URL)
	return &got
}

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
		if _, err := io.WriteString(w, "{}"); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(hook.Close)
	d.Deliver(hook.URL)
	return func() bot.Raw { return <-got }, hook.Close
}

func TestConformance(t *testing.T)     { conform(t, "") }
func TestConformanceLark(t *testing.T) { conform(t, LarkAPIURL) }

func conform(t *testing.T, apiURL string) {
	samples := inbound(t)
	config := func(change func(*Config)) func() error {
		return func() error {
			c := testConfig()
			c.Mode = ModeHTTP
			change(&c)
			_, err := New(c, bot.Deps{})
			return err
		}
	}
	servers := map[*adaptertest.Bench]*desk{}
	fail := func(f feishutest.Fault) func(*adaptertest.Bench) {
		return func(b *adaptertest.Bench) { servers[b].Fail(f) }
	}
	refused := func(code int) func(*adaptertest.Bench) {
		return fail(feishutest.Fault{Kind: feishutest.Refused, Code: code})
	}
	chat := func(change func(*feishutest.Chat)) func(*adaptertest.Bench) {
		return func(b *adaptertest.Bench) { servers[b].ChangeChat(b.To.Conv, change) }
	}
	verdicts := []adaptertest.Verdict{
		{Name: "429 with a time", Break: fail(feishutest.Fault{Kind: feishutest.Limited, RetryAfter: "7"}), After: 7 * time.Second},
		{Name: "400 with a time", Break: fail(feishutest.Fault{Kind: feishutest.Limited, RetryAfter: "52", Status: 400}), After: 52 * time.Second},
		{Name: "429 with an absurd time", Break: fail(feishutest.Fault{Kind: feishutest.Limited, RetryAfter: "99999999999999999999"}), After: time.Hour},
		{Name: "429 with a long time", Break: fail(feishutest.Fault{Kind: feishutest.Limited, RetryAfter: "86400"}), After: time.Hour},
		{Name: "429 with nonsense", Break: fail(feishutest.Fault{Kind: feishutest.Limited, RetryAfter: "soon"}), After: defaultRetry},
		{Name: "429 with a negative time", Break: fail(feishutest.Fault{Kind: feishutest.Limited, RetryAfter: "-5"}), After: defaultRetry},
		{Name: "429 without a time", Break: fail(feishutest.Fault{Kind: feishutest.Limited}), After: defaultRetry},
		{Name: "429 at once", Break: fail(feishutest.Fault{Kind: feishutest.Limited, RetryAfter: "0"}), After: time.Second},
		{Name: "429 on update", Update: true, Break: fail(feishutest.Fault{Kind: feishutest.Limited, RetryAfter: "3"}), After: 3 * time.Second},
		{Name: "230020", Break: fail(feishutest.Fault{Kind: feishutest.LimitedChat}), After: time.Second},
		{Name: "230020 on update", Update: true, Break: fail(feishutest.Fault{Kind: feishutest.LimitedChat}), After: time.Second},
		{Name: "500", Break: fail(feishutest.Fault{Kind: feishutest.ServerError}), Want: bot.ErrUnknown, Found: true},
		{Name: "502", Break: fail(feishutest.Fault{Kind: feishutest.ServerError, Status: 502}), Want: bot.ErrUnknown, Found: true},
		{Name: "504", Break: fail(feishutest.Fault{Kind: feishutest.ServerError, Status: 504}), Want: bot.ErrUnknown, Found: true},
		{Name: "500 on update", Update: true, Break: fail(feishutest.Fault{Kind: feishutest.ServerError})},
		{Name: "empty object", Break: fail(feishutest.Fault{Kind: feishutest.Empty}), Want: bot.ErrUnknown, Found: true},
		{Name: "empty object on update", Update: true, Break: fail(feishutest.Fault{Kind: feishutest.Empty})},
		{Name: "no JSON", Break: fail(feishutest.Fault{Kind: feishutest.NotJSON}), Want: bot.ErrUnknown, Found: true},
		{Name: "cut before", Break: fail(feishutest.Fault{Kind: feishutest.CutBefore}), Want: bot.ErrUnknown, Found: true},
		{Name: "cut after", Break: fail(feishutest.Fault{Kind: feishutest.CutAfter}), Want: bot.ErrUnknown, Found: true},
		{Name: "half an answer", Break: fail(feishutest.Fault{Kind: feishutest.HalfAnswer}), Want: bot.ErrUnknown, Found: true},
		{Name: "cut on update", Update: true, Break: fail(feishutest.Fault{Kind: feishutest.CutAfter})},
		{Name: "404 of a proxy", Break: fail(feishutest.Fault{Kind: feishutest.ServerError, Status: 404})},
		{Name: "secret changed", Break: func(b *adaptertest.Bench) { servers[b].Suspend(10014) }, Want: bot.ErrUnauthorized},
		{Name: "not in the chat", Break: chat(func(c *feishutest.Chat) { delete(c.Members, feishutest.Bot) }), Want: bot.ErrGone},
		{Name: "not in the chat on update", Update: true, Break: chat(func(c *feishutest.Chat) { delete(c.Members, feishutest.Bot) }), Want: bot.ErrGone},
		{Name: "dissolved", Break: chat(func(c *feishutest.Chat) { c.Dissolved = true }), Want: bot.ErrGone},
		{Name: "muted", Break: chat(func(c *feishutest.Chat) { c.Muted = true }), Want: bot.ErrGone},
		{Name: "unknown code", Break: refused(4242424)},
		{Name: "unknown code of a broken server", Break: fail(feishutest.Fault{Kind: feishutest.Refused, Code: 2200, Status: 500}), Want: bot.ErrUnknown, Found: true},
	}
	for code, want := range codes {
		if stale[code] {
			continue // asked again with a new token: see TestRefusedTokenIsForgotten
		}
		verdicts = append(verdicts, adaptertest.Verdict{Name: fmt.Sprint(code), Break: refused(code), Want: want})
	}
	drawn := sampleCards()
	maps.Copy(drawn, houseCards(wordToken))
	adaptertest.Run(t, adaptertest.Harness{
		New: func(t *testing.T) *adaptertest.Bench {
			now := time.Now()
			d := newDeskAs(t, feishutest.Options{Now: func() time.Time { return now }}, apiURL)
			next, stop := capture(t, d)
			d.AddUser(feishutest.User{ID: "ou_user001", Name: "user"})
			d.a.self.Store(&identity{bot: feishutest.Bot})
			b := &adaptertest.Bench{
				Adapter: d.a, To: d.to(),
				Press: func(ref bot.MessageRef, label string) (bot.Raw, time.Time, error) {
					if a := d.Press(d.ann, string(ref), label); !a.OK() {
						return bot.Raw{}, now, fmt.Errorf("press: %w", a.Err)
					}
					return next(), now, nil
				},
				Shown: func(ref bot.MessageRef) (string, bool) {
					m, ok := d.Message(string(ref))
					return m.Content, ok
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
		Echo:   "ajls384kdjx98XX",
		Signed: []string{timestampHeader, nonceHeader, signatureHeader},
		// The first sample is a message: see maxEventAge. Presses have a window of
		// their own, see TestPressesAreHeldToFiveMinutes.
		Window: maxEventAge,
		Sign: func(r bot.Raw, at time.Time) bot.Raw {
			r.Header = feishutest.Sign(feishutest.EncryptKey, fmt.Sprint(at.Unix()), "nonce-0001", r.Body)
			return r
		},
		Other: func(t *testing.T) bot.Adapter {
			c := testConfig()
			c.Name, c.EncryptKey = "other", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
			return testAdapter(t, c)
		},
		BadConfigs: map[string]func() error{
			"no encrypt key":                config(func(c *Config) { c.EncryptKey = "" }),
			"blank encrypt key":             config(func(c *Config) { c.EncryptKey = "                " }),
			"short encrypt key":             config(func(c *Config) { c.EncryptKey = "test key" }),
			"placeholder encrypt key":       config(func(c *Config) { c.EncryptKey = "changemechangemechangeme" }),
			"repeated encrypt key":          config(func(c *Config) { c.EncryptKey = strings.Repeat("0", 32) }),
			"no verification token":         config(func(c *Config) { c.VerificationToken = "" }),
			"short verification token":      config(func(c *Config) { c.VerificationToken = "v-token-0001" }),
			"example verification token":    config(func(c *Config) { c.VerificationToken = "your-verification-token" }),
			"key without token over stream": config(func(c *Config) { c.Mode, c.VerificationToken = ModeStream, "" }),
			"token without key over http":   config(func(c *Config) { c.EncryptKey = "" }),
			"no app secret":                 config(func(c *Config) { c.AppSecret = "" }),
			"short app secret":              config(func(c *Config) { c.AppSecret = "abc" }),
			"app secret with a line's end":  config(func(c *Config) { c.AppSecret += "\n" }),
			"no app id":                     config(func(c *Config) { c.AppID = "" }),
			"an open_id as app id":          config(func(c *Config) { c.AppID = feishutest.Bot }),
			"placeholder app id":            config(func(c *Config) { c.AppID = "cli_xxxxxxxxxxxxxxxx" }),
			"unknown mode":                  config(func(c *Config) { c.Mode = "websocket" }),
			"api_url with a path":           config(func(c *Config) { c.APIURL = "https://open.feishu.cn/open-apis" }),
			"api_url over plain http":       config(func(c *Config) { c.APIURL = "http://open.feishu.cn" }),
			"api_url with a user":           config(func(c *Config) { c.APIURL = "https://me@open.feishu.cn" }),
			"api_url that only looks near":  config(func(c *Config) { c.APIURL = "http://127.0.0.1.example.com" }),
		},
		Verdicts: verdicts,
		Secrets:  []string{feishutest.AppSecret, feishutest.EncryptKey, feishutest.VerificationToken, "Bearer"},
		Cards:    drawn,
		Live:     live,
	})
}

// ownMarkdown is the only markdown that a card of ours has: ids of people.
var ownMarkdown = regexp.MustCompile(`^<at id=ou_\w+></at>( <at id=ou_\w+></at>)*$`)

// live finds what Feishu would read as markup, apart from the mentions that Ping makes.
func live(shown string) []string {
	var v any
	if err := json.Unmarshal([]byte(shown), &v); err != nil {
		return []string{"not JSON"}
	}
	var out []string
	var walk func(x any)
	walk = func(x any) {
		switch x := x.(type) {
		case []any:
			for _, y := range x {
				walk(y)
			}
		case map[string]any:
			content, _ := x["content"].(string)
			switch x["tag"] {
			case "markdown", "lark_md":
				if !ownMarkdown.MatchString(content) {
					out = append(out, content)
				}
			case "button", "column", "column_set", "div", "form", "plain_text", "select_static", "text_tag", "input", "select_person", "date_picker", "picker_datetime", "checker", nil:
			default:
				out = append(out, fmt.Sprint("element ", x["tag"]))
			}
			for _, y := range x {
				walk(y)
			}
		}
	}
	walk(v)
	if p := feishutest.Pings("interactive", shown); p.All || len(p.Links) > 0 {
		out = append(out, fmt.Sprint(p))
	}
	return out
}

func TestLiveFindsWhatIsAlive(t *testing.T) {
	for _, s := range []string{`{"tag":"markdown","content":"<at id=all></at>"}`, `{"tag":"lark_md","content":"[a](https://b)"}`, `{"tag":"markdown","content":"**x**"}`, `[{"tag":"img"}]`, `x`} {
		if len(live(s)) == 0 {
			t.Errorf("%s passes", s)
		}
	}
	if got := live(`{"tag":"markdown","content":"<at id=ou_1></at>"}`); len(got) > 0 {
		t.Error(got)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	errs := Config{AppID: "x", AppSecret: "y", EncryptKey: "z", VerificationToken: "w", APIURL: "http://example.com", Name: "A B"}.Validate()
	text := errors.Join(errs...).Error()
	for _, key := range []string{"app_id", "app_secret", "encrypt_key", "verification_token", "api_url", "name"} {
		if !strings.Contains(text, key+": ") {
			t.Errorf("%s is not named in:\n%s", key, text)
		}
	}
	if !strings.Contains(errors.Join(Config{Mode: "x"}.Validate()...).Error(), "mode: ") {
		t.Error("mode is not named")
	}
	if errs := testConfig().Validate(); len(errs) > 0 {
		t.Error(errs)
	}
	streamOnly := testConfig()
	streamOnly.EncryptKey, streamOnly.VerificationToken = "", ""
	if errs := streamOnly.Validate(); len(errs) > 0 {
		t.Error(errs)
	}
}

func TestRefs(t *testing.T) {
	for _, private := range []bool{true, false} {
		id, was, err := parseRef(ref(private, "om_5ce6d572455d361153b7cb51da133945"))
		if err != nil || id != "om_5ce6d572455d361153b7cb51da133945" || was != private {
			t.Error(id, was, err)
		}
	}
	for _, bad := range []bot.MessageRef{"", "om_", "@", "@om_", "oc_1", "om_1/2", "om_1 ", "om_é", "@@om_1", bot.MessageRef("om_" + strings.Repeat("1", 200))} {
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

// TestScopesAreWhatCheckWants: what is imported into the console is enough for
// all that Check calls vital.
func TestScopesAreWhatCheckWants(t *testing.T) {
	var list struct {
		Scopes struct{ Tenant, User []string }
	}
	if err := json.Unmarshal(Scopes, &list); err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, s := range list.Scopes.Tenant {
		if has[s] {
			t.Errorf("%s stands there twice", s)
		}
		has[s] = true
	}
	for _, n := range needed {
		found := false
		for name := range strings.SplitSeq(n.names, "|") {
			found = found || has[name]
		}
		if !found && n.names != "im:message.group_msg" { // that one has to be approved: the documentation tells
			t.Errorf("Check wants %s, which the file does not ask for", n.names)
		}
	}
}
