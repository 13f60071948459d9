// Package dingtalk connects Paidan to DingTalk (钉钉): messages, presses and
// events come in over Stream connections or as signed requests, cards go out as
// interactive cards of a template, or as markdown with numbered choices.
//
// Platform facts are from https://open.dingtalk.com/document/ and, for Stream
// mode, from https://opensource.dingtalk.com/developerpedia/docs/learn/stream/protocol.
package dingtalk

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/httpx"
)

// Platform is the name of this platform in installs and paths.
const Platform = "dingtalk"

// The addresses of DingTalk's new and old API.
const (
	DefaultAPIURL  = "https://api.dingtalk.com"
	DefaultOAPIURL = "https://oapi.dingtalk.com"
)

// DefaultQuota is how many calls a month the Standard edition allows a company,
// all its apps together.
// https://open.dingtalk.com/document/development/dingtalk-application-development-platform-billing-model
const DefaultQuota = 5000

// The transports.
const (
	ModeStream = "stream"
	ModeHTTP   = "http"
)

// Config is one install: one app of one company, with its robot.
type Config struct {
	Name            string `yaml:"-"`                 // of the install; "" = "default"
	ClientID        string `yaml:"client_id"`         // Client ID (AppKey)
	ClientSecret    string `yaml:"client_secret"`     // Client Secret (AppSecret); proves robot messages of HTTP mode too
	RobotCode       string `yaml:"robot_code"`        // "" = ClientID, as with apps of one's own company
	CardTemplateID  string `yaml:"card_template_id"`  // of the published template; "" = markdown with numbered choices
	Mode            string `yaml:"mode"`              // ModeStream, ModeHTTP; "" = ModeStream
	APIURL          string `yaml:"api_url"`           // "" = DefaultAPIURL
	OAPIURL         string `yaml:"oapi_url"`          // "" = DefaultOAPIURL
	EventToken      string `yaml:"event_token"`       // HTTP mode: signs events; "" = no events
	EventAESKey     string `yaml:"event_aes_key"`     // HTTP mode: encrypts them; 43 characters
	CardSecret      string `yaml:"card_secret"`       // HTTP mode with a template: signs presses
	CardCallbackURL string `yaml:"card_callback_url"` // HTTP mode with a template: registered at start; "" = registered by hand
	Quota           int64  `yaml:"quota"`             // paid calls a month; 0 = DefaultQuota
}

var (
	nameForm     = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	clientForm   = regexp.MustCompile(`^(ding|suite)[0-9A-Za-z]{8,60}$`)
	secretForm   = regexp.MustCompile(`^[0-9A-Za-z_-]{32,128}$`)
	robotForm    = regexp.MustCompile(`^[0-9A-Za-z_-]{4,80}$`)
	templateForm = regexp.MustCompile(`^[0-9A-Za-z-]{8,80}(\.schema)?$`)
	tokenForm    = regexp.MustCompile(`^[0-9A-Za-z]{8,32}$`)
	aesForm      = regexp.MustCompile(`^[0-9A-Za-z+/]{43}$`)
	cardKeyForm  = regexp.MustCompile(`^[!-~]{16,128}$`)
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
	return len(l) > 0 && strings.Trim(l, l[:1]) == "" // one character over and over
}

// Validate names every key that is wrong, and says what would be right. A
// missing secret is a fault: the adapter never skips verification.
func (c Config) Validate() []error {
	var errs []error
	bad := func(key, says string) { errs = append(errs, fmt.Errorf("%s: %s", key, says)) }
	secret := func(key, value string, form *regexp.Regexp, where, what string) {
		switch {
		case value == "":
			bad(key, "is empty; "+where)
		case placeholder(value):
			bad(key, "is a placeholder; "+where)
		case !form.MatchString(value):
			bad(key, "must be "+what+"; "+where)
		}
	}
	if c.Name != "" && !nameForm.MatchString(c.Name) {
		bad("name", "must be small letters, digits, - and _")
	}
	secret("client_id", c.ClientID, clientForm, "copy Client ID from the app's Credentials page (凭证与基础信息)", "ding and letters and digits")
	secret("client_secret", c.ClientSecret, secretForm, "copy Client Secret from the app's Credentials page (凭证与基础信息)", "32 or more letters, digits, - and _")
	if c.RobotCode != "" && (!robotForm.MatchString(c.RobotCode) || placeholder(c.RobotCode)) {
		bad("robot_code", "must be the RobotCode of the app's Robot page (机器人); leave it out for an app of your own company")
	}
	if c.CardTemplateID != "" && (!templateForm.MatchString(c.CardTemplateID) || placeholder(c.CardTemplateID)) {
		bad("card_template_id", "must look like 7c3a1e52-6f0b-4d1c-9a58-2f6f3f0d9b11.schema; copy it from the card platform (卡片平台), or leave it out")
	}
	if c.Mode != "" && c.Mode != ModeStream && c.Mode != ModeHTTP {
		bad("mode", "must be stream or http")
	}
	for key, value := range map[string]string{"api_url": c.APIURL, "oapi_url": c.OAPIURL, "card_callback_url": c.CardCallbackURL} {
		if value == "" {
			continue
		}
		u, err := url.Parse(value)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			bad(key, "is no URL")
		case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
			bad(key, "must be https (http only on loopback)")
		case key != "card_callback_url" && strings.Trim(u.Path, "/") != "":
			bad(key, "must have no path")
		}
	}
	if c.EventToken != "" || c.EventAESKey != "" {
		secret("event_token", c.EventToken, tokenForm, "copy 签名 token from Event subscription (事件订阅)", "8 to 32 letters and digits")
		secret("event_aes_key", c.EventAESKey, aesForm, "copy 加密 aes_key from Event subscription (事件订阅)", "43 letters and digits")
	}
	if c.CardSecret != "" || c.Mode == ModeHTTP && c.CardTemplateID != "" {
		secret("card_secret", c.CardSecret, cardKeyForm, "it is the apiSecret with which the card callback was registered", "16 or more characters without spaces")
	}
	if c.Quota < 0 {
		bad("quota", "must be 0 or more calls a month")
	}
	return errs
}

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// Adapter is one install of DingTalk.
type Adapter struct {
	conf    Config
	install bot.Install
	http    *http.Client // follows no redirect
	api     *url.URL
	oapi    *url.URL
	key     []byte // of events; nil = none configured
	log     *slog.Logger
	now     func() time.Time
	shelf   bot.Shelf
	alarm   func(ctx context.Context, a bot.Alarm)
	token   token
	pace    pace
	users   cache[bot.User]
	titles  cache[string] // conversation → its name, as last kept
	alts    cache[string] // message reference → the card in one line, for Urge
	carried cache[string] // carrierId → outTrackId, to know a card that somebody quotes
	presses presses
	unnoted calls
	warned  atomic.Pointer[string] // month of which the admins were told that the quota ends

	// Stream mode's patience.
	lines   int                       // connections that are kept open
	ping    time.Duration             // how often we ask whether one is alive
	silence time.Duration             // after which one that does not answer is given up
	idle    time.Duration             // after which one that answers but brings nothing is replaced
	drain   time.Duration             // how long a replaced one is still read
	beat    time.Duration             // how often it is written down that we are listening
	gap     time.Duration             // how long nobody may have listened before the admins are told
	answer  time.Duration             // how long a press may wait for its answer; DingTalk waits two seconds, ways included
	pause   func(n int) time.Duration // before the n-th try to open one, or to hand a message over
}

// What this adapter can do beyond the contract.
var (
	_ bot.Adapter     = (*Adapter)(nil)
	_ bot.Streamer    = (*Adapter)(nil)
	_ bot.Deleter     = (*Adapter)(nil)
	_ bot.UserFinder  = (*Adapter)(nil)
	_ bot.ConvNamer   = (*Adapter)(nil)
	_ bot.FileCarrier = (*Adapter)(nil)
	_ bot.Checker     = (*Adapter)(nil)
	_ bot.Preparer    = (*Adapter)(nil)
	_ bot.Inliner     = (*Adapter)(nil)
	_ bot.Urger       = (*Adapter)(nil)
	_ bot.Paced       = (*Adapter)(nil)
)

// New makes the adapter; it does no I/O. It needs a shelf: what it counts and
// where it may answer must outlive the process.
func New(c Config, deps bot.Deps) (*Adapter, error) {
	if errs := c.Validate(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if deps.Shelf == nil {
		return nil, errors.New("no shelf")
	}
	def := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	def(&c.Name, "default")
	def(&c.RobotCode, c.ClientID)
	def(&c.Mode, ModeStream)
	def(&c.APIURL, DefaultAPIURL)
	def(&c.OAPIURL, DefaultOAPIURL)
	if c.Quota == 0 {
		c.Quota = DefaultQuota
	}
	a := &Adapter{
		conf: c, install: bot.Install{Platform: Platform, Name: c.Name}, log: deps.Log, now: deps.Now, shelf: deps.Shelf, alarm: deps.Alarm,
		lines: 2, ping: 10 * time.Second, silence: 30 * time.Second, idle: 2 * time.Hour, drain: 15 * time.Second,
		beat: 10 * time.Second, gap: 30 * time.Second, answer: 1600 * time.Millisecond, pause: backoff,
	}
	var err error
	if a.api, err = url.Parse(c.APIURL); err != nil {
		return nil, errors.New("api_url: is no URL")
	}
	if a.oapi, err = url.Parse(c.OAPIURL); err != nil {
		return nil, errors.New("oapi_url: is no URL")
	}
	if c.EventAESKey != "" {
		if a.key, err = base64.StdEncoding.DecodeString(c.EventAESKey + "="); err != nil {
			return nil, errors.New("event_aes_key: is no key")
		}
	}
	if a.log == nil {
		a.log = slog.Default()
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.alarm == nil {
		a.alarm = func(context.Context, bot.Alarm) {}
	}
	if deps.HTTP == nil {
		o := httpx.Options{Timeout: 20 * time.Second, MaxBody: -1} // files have no cap here: the caller reads no more than it wants
		for _, u := range []*url.URL{a.api, a.oapi} {
			if loopback(u.Hostname()) {
				o.AllowHosts = append(o.AllowHosts, u.Host)
			}
		}
		deps.HTTP = httpx.New(o)
	}
	client := *deps.HTTP
	// A token never follows a redirect, whatever the program's client does.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a.http = &client
	a.token = token{turn: make(chan struct{}, 1)}
	a.pace = pace{mu: &sync.Mutex{}, second: callsASecond}
	a.presses = presses{mu: &sync.Mutex{}, open: map[string][]chan struct{}{}}
	a.users = newCache[bot.User](a.now, 10*time.Minute)
	a.titles = newCache[string](a.now, 24*time.Hour)
	a.alts = newCache[string](a.now, time.Hour)
	a.carried = newCache[string](a.now, 30*24*time.Hour)
	return a, nil
}

// Install says which install this adapter serves.
func (a *Adapter) Install() bot.Install { return a.install }

// numbered reports whether cards are markdown with numbered choices.
func (a *Adapter) numbered() bool { return a.conf.CardTemplateID == "" }

// Caps are the limits of the card template, or of markdown.
func (a *Adapter) Caps() cards.Caps {
	if a.numbered() {
		return cards.Caps{Buttons: 5, MenuOptions: 9, Label: 20, Title: 80, Text: 1500, Facts: 12, Rows: 15, Total: 3500, Numbered: true}
	}
	return cards.Caps{
		Buttons: 5, MenuOptions: 20, Label: 20, Title: 80, Text: 1000, Facts: 12, Rows: 10, Total: 3500,
		Menus: true, Edits: true,
	}
}

// Inline implements bot.Inliner. The answer to a press is the card that was
// pressed, for everybody who sees it; nothing in it is for the actor alone.
func (a *Adapter) Inline(e bot.Event) bot.Inline {
	return bot.Inline{Card: e.Kind == bot.Click && !a.numbered()}
}

// Pace implements bot.Paced. 20 calls a second and API are allowed; the adapter
// itself keeps below that, this keeps a crowd of senders from waiting there.
// https://open.dingtalk.com/document/development/how-to-process-api-throttling-on-the-dingtalk-server
func (a *Adapter) Pace() bot.Pace { return bot.Pace{Install: 15, Burst: 3} }

// Prepare asks for an access token, and in HTTP mode says where presses go. A
// refusal of the credentials is final.
func (a *Adapter) Prepare(ctx context.Context) error {
	if _, err := a.accessToken(ctx); err != nil {
		return err
	}
	return a.registerCallback(ctx)
}

// A message reference is "card/<place>/<outTrackId>" for a card, and
// "text/<place>/<processQueryKey>" for a text, where a place is a conversation
// or "@" and a user. A text that went out over a session's webhook has no key
// and is "sent/<place>/<our own hash>"; what people wrote is "said/<place>/<msgId>".
const (
	refCard = "card"
	refText = "text"
	refSent = "sent"
	refSaid = "said"
)

func ref(kind, place, id string) bot.MessageRef {
	if place == "" || id == "" {
		return ""
	}
	return bot.MessageRef(kind + "/" + strings.ReplaceAll(place, "/", "%2F") + "/" + id)
}

// parseRef reads what ref wrote.
func parseRef(r bot.MessageRef) (kind, place, id string, err error) {
	p := strings.SplitN(string(r), "/", 3)
	if len(p) != 3 || !isPlace(strings.ReplaceAll(p[1], "%2F", "/")) || !printable(p[2], 200) {
		return "", "", "", fmt.Errorf("message reference %q: %w", string(r), bot.ErrRejected)
	}
	switch p[0] {
	case refCard, refText, refSent, refSaid:
		return p[0], strings.ReplaceAll(p[1], "%2F", "/"), p[2], nil
	}
	return "", "", "", fmt.Errorf("message reference %q: %w", string(r), bot.ErrRejected)
}

func isPlace(s string) bool {
	user, private := strings.CutPrefix(s, "@")
	return private && isUser(user) || !private && isConv(s)
}

// isConv reports whether s may be an openConversationId: "cid" and base64.
func isConv(s string) bool { return strings.HasPrefix(s, "cid") && printable(s, 200) }

// isUser reports whether s may be a staff id, which a company's administrator
// can choose freely, or the id of an outsider.
func isUser(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '@' { // "@ALL" would be everybody
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') && strings.IndexByte("_.@$:+=/~-", c) < 0 {
			return false
		}
	}
	return true
}

// outsider reports whether a user is known by the id that DingTalk gives people
// without a staff id. Only a session's webhook reaches them.
func outsider(user string) bool { return strings.HasPrefix(user, "$:") }

// printable reports whether s is ASCII without spaces and of at most most bytes.
func printable(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// placeOf is where a destination is.
func placeOf(to bot.Dest) (string, error) {
	place := to.Conv
	if to.User != "" {
		place = "@" + to.User
	}
	if !isPlace(place) {
		return "", fmt.Errorf("destination %q: %w", place, bot.ErrRejected)
	}
	return place, nil
}

func (a *Adapter) user(id string) bot.UserRef { return bot.UserRef{Install: a.install, ID: id} }

func (a *Adapter) conv(id string) bot.ConvRef { return bot.ConvRef{Install: a.install, ID: id} }
