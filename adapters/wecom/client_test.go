package wecom

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/silenceper/wechat/v2/cache"
	"github.com/silenceper/wechat/v2/credential"
	"github.com/silenceper/wechat/v2/util"
	"github.com/silenceper/wechat/v2/work"
	workaddress "github.com/silenceper/wechat/v2/work/addresslist"
	"github.com/silenceper/wechat/v2/work/config"
	workcontext "github.com/silenceper/wechat/v2/work/context"
	workkf "github.com/silenceper/wechat/v2/work/kf"
	workmessage "github.com/silenceper/wechat/v2/work/message"
	workrobot "github.com/silenceper/wechat/v2/work/robot"

	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// held is a clock that stands still.
type held struct {
	mu sync.Mutex // guards at
	at time.Time
}

func (h *held) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *held) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

func newHeld() *held { return &held{at: time.Date(2026, 11, 20, 6, 20, 0, 0, time.UTC)} }

var note = cards.Card{Lang: cards.ZH, Title: "t", Body: "b", Actions: []cards.Action{{Label: "接单", Token: "AQ-claim"}}}

func TestTokenIsAskedForOnceAtATime(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if _, err := r.api.token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := r.wc.Calls("gettoken"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestTokenIsReplacedBeforeItEnds(t *testing.T) {
	clock := newHeld()
	r := newRig(t, wecomtest.Options{Now: clock.now}, nil)
	ask := func(after time.Duration, want int) {
		t.Helper()
		clock.advance(after)
		if _, err := r.api.token(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := r.wc.Calls("gettoken"); n != want {
			t.Errorf("asked %d times, want %d", n, want)
		}
	}
	ask(0, 1)
	ask(2*time.Hour-301*time.Second, 1)
	ask(time.Second, 2)
}

// TestOneWhoWaitsAsksHimselfWhenTheOtherGaveUp cancels the one who asks.
func TestOneWhoWaitsAsksHimselfWhenTheOtherGaveUp(t *testing.T) {
	var tk tokens
	asked, goOn := make(chan struct{}), make(chan struct{})
	var n atomic.Int32
	fetch := func(ctx context.Context) (string, time.Duration, error) {
		if n.Add(1) == 1 {
			close(asked)
			<-goOn
			return "", 0, ctx.Err()
		}
		return "good", time.Hour, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan string, 1)
	go func() {
		_, err := tk.get(ctx, time.Now, fetch)
		first <- err
	}()
	<-asked
	go func() {
		got, err := tk.get(t.Context(), time.Now, fetch)
		if err != nil {
			got = err.Error()
		}
		second <- got
	}()
	cancel()
	close(goOn)
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := <-second; got != "good" || n.Load() != 2 {
		t.Errorf("%q after %d questions", got, n.Load())
	}
	late, stop := context.WithCancel(t.Context())
	stop()
	tk = tokens{flight: make(chan struct{})}
	if _, err := tk.get(late, time.Now, fetch); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRevokedTokenIsReplacedOnce names what silenceper/wechat does not do: it
// keeps a token that WeCom has revoked until it would have ended.
func TestRevokedTokenIsReplacedOnce(t *testing.T) {
	for _, code := range []int{40014, 42001, 40001} {
		r := newRig(t, wecomtest.Options{}, nil)
		if _, err := r.Post(t.Context(), r.to(), "1", note); err != nil {
			t.Fatal(err)
		}
		r.wc.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "message/send", Code: code})
		if _, err := r.Post(t.Context(), r.to(), "2", note); err != nil {
			t.Errorf("%d: %v", code, err)
		}
		if n := r.wc.Calls("gettoken"); n != 2 {
			t.Errorf("%d: asked for %d tokens, want 2", code, n)
		}
		// For ever refused: once more, and then an error.
		r.wc.Fail(wecomtest.Fault{Kind: wecomtest.Refused, Method: "message/send", Code: code, Times: -1})
		before := r.wc.Calls("message/send")
		if _, err := r.Post(t.Context(), r.to(), "3", note); err == nil {
			t.Errorf("%d: no error", code)
		}
		if n := r.wc.Calls("message/send") - before; n != 2 {
			t.Errorf("%d: tried %d times, want 2", code, n)
		}
	}
	r := newRig(t, wecomtest.Options{}, nil)
	if _, err := r.Post(t.Context(), r.to(), "1", note); err != nil {
		t.Fatal(err)
	}
	r.wc.Revoke()
	if _, err := r.Post(t.Context(), r.to(), "2", note); err != nil {
		t.Errorf("revoked: %v", err)
	}
}

// TestWrongSecretIsNotTriedAgain: WeCom bans addresses that try on.
func TestWrongSecretIsNotTriedAgain(t *testing.T) {
	clock := newHeld()
	r := newRig(t, wecomtest.Options{Now: clock.now}, func(c *Config) { c.Secret = strings.Repeat("wR0ng", 8) })
	for range 20 {
		// The library tells the code in the text of its error only.
		if _, err := r.Post(t.Context(), r.to(), "1", note); !errors.Is(err, bot.ErrUnauthorized) || code(err) != 40001 || strings.Contains(err.Error(), "wR0ng") {
			t.Fatal(err)
		}
	}
	if n := r.wc.Calls("gettoken"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	clock.advance(grudge)
	if _, err := r.Post(t.Context(), r.to(), "1", note); !errors.Is(err, bot.ErrUnauthorized) {
		t.Error(err)
	}
	if n := r.wc.Calls("gettoken"); n != 2 {
		t.Errorf("asked %d times after a while", n)
	}
}

func TestTwoSecretsHaveTwoTokens(t *testing.T) {
	other := strings.Repeat("kF4x", 10)
	r := newRig(t, wecomtest.Options{}, func(c *Config) { c.KF.Secret = other })
	r.wc.AddApp(1000009, other)
	second := newClient(r.shared, r.api.base, other)
	one, err := r.api.token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	two, err := second.token(t.Context())
	if err != nil || one == two {
		t.Errorf("%v, the same token: %v", err, one == two)
	}
	second.tokens.evict(two)
	if again, err := r.api.token(t.Context()); err != nil || again != one || r.wc.Calls("gettoken") != 2 {
		t.Errorf("evicting one changed the other: %v", err)
	}
}

// TestInstallsDoNotMix names a defect of silenceper/wechat: its HTTP client and
// the place where it finds WeCom belong to the whole process. Two installs with
// the same corp and secret, at two addresses, post at the same time.
func TestInstallsDoNotMix(t *testing.T) {
	a, b := newRig(t, wecomtest.Options{}, nil), newRig(t, wecomtest.Options{}, nil)
	var all sync.WaitGroup
	for i := range 40 {
		r, title := a, "for a"
		if i%2 == 1 {
			r, title = b, "for b"
		}
		all.Go(func() {
			c := note
			c.Title = title
			if _, err := r.Post(t.Context(), r.to(), string(rune('a'+i)), c); err != nil {
				t.Error(err)
			}
			if _, err := r.FindUser(t.Context(), r.Adapter.user(r.user)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for title, r := range map[string]*rig{"for a": a, "for b": b} {
		got := r.wc.Cards(wecomtest.AppChat(r.user))
		if len(got) != 20 {
			t.Errorf("%s has %d cards", title, len(got))
		}
		for _, m := range got {
			if !strings.Contains(string(m.Card), title) {
				t.Errorf("%s shows %s", title, m.Card)
			}
		}
	}
}

// TestProcessWideHooksCannotTurnATokenAway sets silenceper/wechat's hook that
// rewrites every address, as another library in the process might.
func TestProcessWideHooksCannotTurnATokenAway(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	r := newRig(t, wecomtest.Options{}, nil)
	util.SetURIModifier(func(u string) string { return strings.Replace(u, r.wc.URL, thief.URL, 1) })
	defer util.SetURIModifier(nil)
	_, err := r.Post(t.Context(), r.to(), "1", note)
	if err == nil || stolen.Load() > 0 {
		t.Errorf("%v, %d requests went elsewhere", err, stolen.Load())
	}
	if _, err := util.HTTPGet(thief.URL); err == nil || stolen.Load() > 0 {
		t.Errorf("a request of no install went out: %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	}))
	defer front.Close()
	r := newRig(t, wecomtest.Options{}, func(c *Config) { c.APIURL = front.URL })
	if _, err := r.Post(t.Context(), r.to(), "1", note); err == nil || stolen.Load() > 0 {
		t.Errorf("%v, %d requests followed", err, stolen.Load())
	}
}

func TestErrorsTellNoSecret(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	token, err := r.api.token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []wecomtest.Fault{{Kind: wecomtest.ServerError}, {Kind: wecomtest.NotJSON}, {Kind: wecomtest.CutBefore}, {Kind: wecomtest.HalfAnswer}, {Kind: wecomtest.Refused, Code: 40058, Text: "bad access_token " + token}} {
		r.wc.Fail(f)
		_, err := r.Post(t.Context(), r.to(), "1", note)
		if err == nil || strings.Contains(err.Error(), token) || strings.Contains(err.Error(), r.wc.URL) || strings.Contains(err.Error(), "access_token") {
			t.Errorf("%s: %v", f.Kind, err)
		}
	}
	r.wc.Close()
	other := newClient(r.shared, r.api.base, wecomtest.Secret)
	if _, err := other.token(t.Context()); err == nil || strings.Contains(err.Error(), wecomtest.Secret) || strings.Contains(err.Error(), wecomtest.Corp) {
		t.Error(err)
	}
}

func TestWarningsBesideSuccessAreNoErrors(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	r.wc.Fail(wecomtest.Fault{Kind: wecomtest.Warned, Method: "message/send"})
	if _, err := r.Post(t.Context(), r.to(), "1", note); err != nil {
		t.Error(err)
	}
}

// What of silenceper/wechat is not used, and why. Each of these fails when a new
// version mends it: then the thin part beside it can go.

func sdkContext(r *rig) *workcontext.Context {
	mem := cache.NewMemory()
	return &workcontext.Context{
		Config:            &config.Config{CorpID: wecomtest.Corp, CorpSecret: wecomtest.Secret, AgentID: "1000002", Cache: mem},
		AccessTokenHandle: credential.NewWorkAccessToken(wecomtest.Corp, wecomtest.Secret, "1000002", "test_", mem),
	}
}

// loose lets silenceper/wechat reach an emulator as it would without us.
func loose(t *testing.T, target string) {
	route() // so that no adapter made later takes the hook back
	was := util.DefaultHTTPClient
	c := *was
	c.Transport = redirected{target}
	util.DefaultHTTPClient = &c
	t.Cleanup(func() { util.DefaultHTTPClient = was })
}

type redirected struct{ target string }

func (d redirected) RoundTrip(r *http.Request) (*http.Response, error) {
	u, err := url.Parse(d.target)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = u.Scheme, u.Host
	return http.DefaultTransport.RoundTrip(r)
}

func TestLibraryDefectTokenIsNeverEvicted(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	loose(t, r.wc.URL)
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	m := workmessage.NewClient(sdkContext(r))
	body := map[string]any{"touser": r.user, "msgtype": "text", "agentid": 1000002, "text": map[string]string{"content": "a"}}
	if _, err := m.Send("Text", body); err != nil {
		t.Fatal(err)
	}
	r.wc.Revoke()
	for range 3 {
		if _, err := m.Send("Text", body); err == nil {
			t.Error("the library now recovers from a revoked token: its Message can be used")
		}
	}
	if n := r.wc.Calls("gettoken"); n != 1 {
		t.Errorf("the library asked for %d tokens", n)
	}
}

func TestLibraryDefectAgentIDIsAText(t *testing.T) {
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if strings.HasSuffix(r.URL.Path, "/gettoken") {
			b = nil
		}
		body += string(b)
		if _, err := io.WriteString(w, `{"errcode":0,"errmsg":"ok","access_token":"T","expires_in":7200}`); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	r := newRig(t, wecomtest.Options{}, nil)
	loose(t, srv.URL)
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if _, err := workmessage.NewClient(sdkContext(r)).SendText(workmessage.SendTextRequest{SendRequestCommon: &workmessage.SendRequestCommon{ToUser: "a", MsgType: "text", AgentID: "1000002"}, Text: workmessage.TextField{Content: "<b>"}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(body, `"agentid":"1000002"`) || !strings.Contains(body, `\u003cb`) {
		t.Errorf("the library now sends %s: its Message can be used", body)
	}
}

func TestLibraryDefectErrcodeIsSwallowed(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.WriteString(w, `{"errcode":93000,"errmsg":"invalid webhook url"}`); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	r := newRig(t, wecomtest.Options{}, nil)
	loose(t, srv.URL)
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if _, err := workrobot.NewClient(sdkContext(r)).RobotBroadcast("key", map[string]any{"msgtype": "text"}); err != nil {
		t.Errorf("the library now reports errcode 93000: %v", err)
	}
}

func TestLibraryDefectEmptyReceiverIsRefused(t *testing.T) {
	v := readVectors(t).RobotVerifyURL
	if _, _, err := util.DecryptMsg("", v.Encrypt, readVectors(t).Config.EncodingAESKey); err == nil {
		t.Error("the library now opens messages of a robot")
	}
	c := mustCrypt(t, readVectors(t).Config.Token, readVectors(t).Config.EncodingAESKey, "")
	if plain, err := c.open(v.query(), v.Encrypt, stampTime(t, v.Timestamp)); err != nil || string(plain) != v.Plaintext {
		t.Errorf("%q, %v", plain, err)
	}
}

// TestLibraryDefectCallbacksAreNotChecked opens a callback without any signature.
func TestLibraryDefectCallbacksAreNotChecked(t *testing.T) {
	v := readVectors(t)
	k, err := workkf.NewClient(&config.Config{CorpID: v.Config.CorpID, CorpSecret: "s", Token: v.Config.Token, EncodingAESKey: v.Config.EncodingAESKey, Cache: cache.NewMemory()})
	if err != nil {
		t.Fatal(err)
	}
	x := v.Inbound[len(v.Inbound)-1]
	if m, err := k.GetCallbackMessage([]byte(x.Body)); err != nil || m.OpenKfID == "" {
		t.Errorf("the library now refuses what is not signed: %+v, %v", m, err)
	}
	r := newRig(t, wecomtest.Options{}, nil)
	unsigned := bot.Raw{Method: http.MethodPost, Header: http.Header{}, Query: url.Values{"msg_signature": {strings.Repeat("0", 40)}, "timestamp": {x.Timestamp}, "nonce": {x.Nonce}}, Body: []byte(x.Body)}
	if _, err := r.Verify(unsigned, stampTime(t, x.Timestamp)); err != bot.ErrUnverified {
		t.Error(err)
	}
}

// TestLibraryDefectNoContextNoUpdate: what sends messages there can neither be
// cancelled nor change a card, and nothing there answers callbacks of an app.
func TestLibraryDefectNoContextNoUpdate(t *testing.T) {
	ctx := reflect.TypeFor[context.Context]()
	for _, of := range []reflect.Type{reflect.TypeFor[*workmessage.Client](), reflect.TypeFor[*workaddress.Client](), reflect.TypeFor[*workkf.Client](), reflect.TypeFor[*work.Work]()} {
		for i := range of.NumMethod() {
			m := of.Method(i)
			if m.Type.NumIn() > 1 && m.Type.In(1) == ctx || strings.Contains(m.Name, "Update") && strings.Contains(m.Name, "Card") || strings.Contains(m.Name, "GetServer") {
				t.Errorf("the library now has %s.%s", of, m.Name)
			}
		}
	}
}
