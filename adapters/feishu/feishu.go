// Package feishu connects Paidan to Feishu and Lark: events and card callbacks
// come in over HTTP or a long connection, cards go out as card JSON 2.0.
//
// Platform facts are from https://open.feishu.cn/document; Lark
// (https://open.larksuite.com/document) speaks the same on the wire.
package feishu

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"
	"golang.org/x/time/rate"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/httpx"
)

// Platform is the name of this platform in installs and paths.
const Platform = "feishu"

// The open platforms of Feishu and Lark.
const (
	DefaultAPIURL = "https://open.feishu.cn"
	LarkAPIURL    = "https://open.larksuite.com"
)

// How events come in.
const (
	ModeHTTP   = "http"   // the platform calls us
	ModeStream = "stream" // we hold a connection open
)

// Config is one install: one self-built app of one company.
type Config struct {
	Name              string            `yaml:"-"`                  // of the install; "" = "default"
	AppID             string            `yaml:"app_id"`             // cli_…
	AppSecret         string            `yaml:"app_secret"`         // gets us tokens
	EncryptKey        string            `yaml:"encrypt_key"`        // hides and signs what comes over HTTP
	VerificationToken string            `yaml:"verification_token"` // stands in everything that comes in
	Mode              string            `yaml:"mode"`               // ModeHTTP or ModeStream; "" = ModeHTTP
	APIURL            string            `yaml:"api_url"`            // "" = DefaultAPIURL
	Emoji             map[string]string `yaml:"emoji"`              // Feishu's name of a reaction → the name that Paidan knows
}

var (
	appForm    = regexp.MustCompile(`^cli_[0-9A-Za-z]{8,40}$`)
	secretForm = regexp.MustCompile(`^[!-~]{16,128}$`)
	nameForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
)

// placeholder reports whether a secret is one that was copied from an example.
// The words are long enough, or have a sign in them, never to occur in a real one.
func placeholder(s string) bool {
	l := strings.ToLower(s)
	for _, w := range []string{"changeme", "change-me", "change_me", "your-", "your_", "example", "placeholder", "xxxxxx", "…", "...", "<", ">"} {
		if strings.Contains(l, w) {
			return true
		}
	}
	return l != "" && strings.Trim(l, l[:1]) == "" // one character over and over
}

// Validate names every key that is wrong, and says what would be right. A
// missing secret is a fault: the adapter never skips verification.
func (c Config) Validate() []error {
	var errs []error
	bad := func(key, says string) { errs = append(errs, fmt.Errorf("%s: %s", key, says)) }
	secret := func(key, value, where string, needed bool) {
		switch {
		case value == "" && needed:
			bad(key, "is empty; "+where)
		case value == "":
		case placeholder(value):
			bad(key, "is a placeholder; "+where)
		case !secretForm.MatchString(value):
			bad(key, "must be 16 to 128 letters, digits and signs without spaces; "+where)
		}
	}
	if c.Name != "" && !nameForm.MatchString(c.Name) {
		bad("name", "must be small letters, digits, - and _")
	}
	switch {
	case c.AppID == "":
		bad("app_id", "is empty; copy it from 凭证与基础信息 (Credentials & Basic Info), it starts with cli_")
	case !appForm.MatchString(c.AppID), placeholder(strings.TrimPrefix(c.AppID, "cli_")):
		bad("app_id", "must look like cli_a1b2c3d4e5f60718")
	}
	secret("app_secret", c.AppSecret, "copy it from 凭证与基础信息 (Credentials & Basic Info)", true)
	hook := c.Mode != ModeStream
	if c.Mode != "" && c.Mode != ModeHTTP && c.Mode != ModeStream {
		bad("mode", "must be http or stream")
		hook = false
	}
	// Half of the two would let HTTP in with half of the checks.
	hook = hook || c.EncryptKey != ""
	secret("encrypt_key", c.EncryptKey, "set one under 事件与回调 → 加密策略 (Events & Callbacks → Encryption Strategy), or use mode: stream", hook)
	secret("verification_token", c.VerificationToken, "copy it from 事件与回调 → 加密策略 (Events & Callbacks → Encryption Strategy)", hook)
	if c.APIURL != "" {
		u, err := url.Parse(c.APIURL)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
			bad("api_url", "is no address of a server; "+DefaultAPIURL+" is Feishu, "+LarkAPIURL+" is Lark")
		case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
			bad("api_url", "must be https (http only on loopback)")
		}
	}
	return errs
}

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// identity is who the bot is.
type identity struct {
	bot  string // open_id
	name string
}

// Adapter is one install of Feishu or Lark.
type Adapter struct {
	conf    Config
	install bot.Install
	base    *url.URL
	http    *http.Client // follows no redirect
	sdk     *larkcore.Config
	log     *slog.Logger
	now     func() time.Time
	shelf   bot.Shelf // may be nil
	block   cipher.Block
	tokens  *tokens
	self    atomic.Pointer[identity]
	tenant  atomic.Pointer[string] // key of our company; nil = not learned yet
	noted   atomic.Bool            // tenant has been written down

	users   cache[bot.User]
	names   cache[string]        // chat → name
	places  cache[place]         // message → where it stands
	private cache[string]        // private chat → its person
	crowds  cache[[]string]      // group → who is in it
	tried   cache[attempt]       // uuid → what was sent first
	edits   cache[*rate.Limiter] // message → how often it may still be changed

	// pause is how long to wait before the n-th try to connect.
	pause func(n int) time.Duration
}

// What this adapter can do beyond the contract.
var (
	_ bot.Adapter      = (*Adapter)(nil)
	_ bot.Streamer     = (*Adapter)(nil)
	_ bot.FormOpener   = (*Adapter)(nil)
	_ bot.Whisperer    = (*Adapter)(nil)
	_ bot.Deleter      = (*Adapter)(nil)
	_ bot.Finder       = (*Adapter)(nil)
	_ bot.UserFinder   = (*Adapter)(nil)
	_ bot.GroupLister  = (*Adapter)(nil)
	_ bot.MemberLister = (*Adapter)(nil)
	_ bot.ConvNamer    = (*Adapter)(nil)
	_ bot.FileCarrier  = (*Adapter)(nil)
	_ bot.Reader       = (*Adapter)(nil)
	_ bot.Checker      = (*Adapter)(nil)
	_ bot.Inliner      = (*Adapter)(nil)
	_ bot.Urger        = (*Adapter)(nil)
	_ bot.Paced        = (*Adapter)(nil)
	_ bot.Preparer     = (*Adapter)(nil)
)

// New makes the adapter; it does no I/O. Call Prepare once at start.
func New(c Config, deps bot.Deps) (*Adapter, error) {
	if errs := c.Validate(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if c.Name == "" {
		c.Name = "default"
	}
	if c.Mode == "" {
		c.Mode = ModeHTTP
	}
	if c.APIURL == "" {
		c.APIURL = DefaultAPIURL
	}
	c.APIURL = strings.TrimRight(c.APIURL, "/") // the SDK would make "//open-apis" of it
	base, err := url.Parse(c.APIURL)
	if err != nil {
		return nil, errors.New("api_url: is no URL")
	}
	a := &Adapter{conf: c, install: bot.Install{Platform: Platform, Name: c.Name}, base: base, log: deps.Log, now: deps.Now, shelf: deps.Shelf}
	if a.log == nil {
		a.log = slog.Default()
	}
	if a.now == nil {
		a.now = time.Now
	}
	if deps.HTTP == nil {
		o := httpx.Options{Timeout: 20 * time.Second, MaxBody: -1} // files have no cap here: the caller reads no more than it wants
		if loopback(base.Hostname()) {
			o.AllowHosts = []string{base.Host}
		}
		deps.HTTP = httpx.New(o)
	}
	client := *deps.HTTP
	// A token never follows a redirect, whatever the program's client does.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a.http = &client
	a.sdk = &larkcore.Config{
		BaseUrl: c.APIURL, AppId: c.AppID, AppSecret: c.AppSecret, AppType: larkcore.AppTypeSelfBuilt,
		EnableTokenCache: false, // see tokens
		HttpClient:       doer{&client}, Logger: silence{}, Serializable: plainJSON{},
	}
	if c.EncryptKey != "" {
		if a.block, err = blockOf(c.EncryptKey); err != nil {
			return nil, errors.New("encrypt_key: cannot be used")
		}
	}
	a.tokens = newTokens()
	a.pause = backoff
	a.self.Store(&identity{})
	a.users, a.names = newCache[bot.User](a.now, 10*time.Minute), newCache[string](a.now, 10*time.Minute)
	a.places, a.private = newCache[place](a.now, 24*time.Hour), newCache[string](a.now, 365*24*time.Hour)
	a.crowds = newCache[[]string](a.now, time.Hour)
	a.tried, a.edits = newCache[attempt](a.now, findAge), newCache[*rate.Limiter](a.now, time.Minute)
	return a, nil
}

// blockOf is the cipher of an encrypt key: AES-256 with its SHA-256.
func blockOf(key string) (cipher.Block, error) {
	sum := sha256.Sum256([]byte(key))
	return aes.NewCipher(sum[:])
}

// Install says which install this adapter serves.
func (a *Adapter) Install() bot.Install { return a.install }

// Caps are Feishu's limits, with room for what the adapter itself adds. A whole
// request may have 30 KB, of which Chinese takes three bytes a character.
func (a *Adapter) Caps() cards.Caps {
	return cards.Caps{
		Buttons:      5,
		MenuOptions:  maxOptions,
		Label:        40, // 100 are allowed; more than 40 are no button any more
		Title:        120,
		Text:         3000,
		Facts:        12,
		Rows:         10,
		Total:        5000,
		Menus:        true,
		Forms:        true,
		Threads:      true,
		Edits:        true,
		PrivateNotes: true,
	}
}

// Pace implements bot.Paced: 5 messages a second into one chat, shared by all
// bots in it, and 1000 a minute altogether.
// https://open.feishu.cn/document/server-docs/im-v1/message/create
func (a *Adapter) Pace() bot.Pace { return bot.Pace{Conv: 4, Install: 16, Burst: 4} }

// Inline implements bot.Inliner: the answer to a press can carry a line and the
// card that was pressed; the answer to a form replaces the form by what comes next.
func (a *Adapter) Inline(e bot.Event) bot.Inline {
	switch e.Kind {
	case bot.Click:
		return bot.Inline{Toast: true, Card: true}
	case bot.Submit:
		return bot.Inline{Toast: true, Hint: true, Form: true}
	case bot.Reload:
		return bot.Inline{Form: true}
	}
	return bot.Inline{}
}

// ref names a message: "om_5ce6d572455d361153b7cb51da133945"; with "@" before it
// when it stands in a private chat, which nothing else about a press tells.
func ref(private bool, id string) bot.MessageRef {
	switch {
	case id == "":
		return ""
	case private:
		return bot.MessageRef("@" + id)
	}
	return bot.MessageRef(id)
}

// parseRef reads what ref wrote.
func parseRef(r bot.MessageRef) (id string, private bool, err error) {
	id, private = strings.CutPrefix(string(r), "@")
	if !isID(id, "om_") {
		return "", false, fmt.Errorf("message reference %q: %w", string(r), bot.ErrRejected)
	}
	return id, private, nil
}

// isID reports whether s is one of Feishu's ids of this kind: "ou_…", "oc_…", "om_…".
func isID(s, kind string) bool {
	if len(s) <= len(kind) || len(s) > 128 || s[:len(kind)] != kind {
		return false
	}
	for i := len(kind); i < len(s); i++ {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

func (a *Adapter) user(id string) bot.UserRef { return bot.UserRef{Install: a.install, ID: id} }

func (a *Adapter) conv(id string) bot.ConvRef {
	if id == "" {
		return bot.ConvRef{}
	}
	return bot.ConvRef{Install: a.install, ID: id}
}

// Prepare asks who the bot is, and which company it was found to belong to
// before. serve calls it once at start.
func (a *Adapter) Prepare(ctx context.Context) error {
	if a.shelf != nil {
		key, err := a.shelf.Get(ctx, a.tenantKey())
		if err != nil {
			return fmt.Errorf("company of the app: %w", err)
		}
		if key != "" {
			a.tenant.CompareAndSwap(nil, &key)
			a.noted.Store(true)
		}
	}
	_, err := a.whoami(ctx)
	return err
}

// tenantKey is where the company is kept: it belongs to the app, so that an
// install may be given another app.
func (a *Adapter) tenantKey() string { return "tenant:" + a.conf.AppID }
