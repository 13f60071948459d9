// Package slack connects Paidan to Slack: events, slash commands and clicks come
// in over HTTP or Socket Mode, cards go out as Block Kit messages.
//
// Platform facts are from https://docs.slack.dev; limits are those of
// https://docs.slack.dev/reference/block-kit.
package slack

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/httpx"
)

// Platform is the name of this platform in installs and paths.
const Platform = "slack"

// DefaultAPIURL is Slack's Web API.
const DefaultAPIURL = "https://slack.com/api/"

// Config is one install: one app in one workspace.
type Config struct {
	Name          string            `yaml:"-"`              // of the install; "" = "default"
	BotToken      string            `yaml:"bot_token"`      // xoxb-…
	SigningSecret string            `yaml:"signing_secret"` // proves that HTTP requests come from Slack
	AppToken      string            `yaml:"app_token"`      // xapp-…; set = Socket Mode
	APIURL        string            `yaml:"api_url"`        // "" = DefaultAPIURL
	TeamID        string            `yaml:"team_id"`        // T…; "" = learned from Slack at start
	AppID         string            `yaml:"app_id"`         // A…; "" = any app that knows the secret
	Emoji         map[string]string `yaml:"emoji"`          // the workspace's own emoji name → the name that Paidan knows
}

var (
	signingSecretForm = regexp.MustCompile(`^[0-9A-Za-z]{16,128}$`)
	teamForm          = regexp.MustCompile(`^[TE][A-Z0-9]{2,30}$`)
	appForm           = regexp.MustCompile(`^A[A-Z0-9]{2,30}$`)
	nameForm          = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
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
	rest := strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(l, "xoxb-"), "xapp-"), l[max(0, len(l)-1):])
	return len(l) > 0 && rest == "" // one character over and over
}

// Validate names every key that is wrong, and says what would be right. A
// missing secret is a fault: the adapter never skips verification.
func (c Config) Validate() []error {
	var errs []error
	bad := func(key, says string) { errs = append(errs, fmt.Errorf("%s: %s", key, says)) }
	token := func(key, value, prefix string) {
		switch {
		case value == "":
			bad(key, "is empty; it starts with "+prefix)
		case !strings.HasPrefix(value, prefix):
			bad(key, "must start with "+prefix)
		case len(value) < len(prefix)+16 || strings.ContainsAny(value, " \t\r\n"):
			bad(key, "is too short or has spaces; copy the whole token")
		case placeholder(value):
			bad(key, "is a placeholder; copy the token from the app's page")
		}
	}
	if c.Name != "" && !nameForm.MatchString(c.Name) {
		bad("name", "must be small letters, digits, - and _")
	}
	token("bot_token", c.BotToken, "xoxb-")
	if c.AppToken != "" {
		token("app_token", c.AppToken, "xapp-")
	}
	switch {
	case c.SigningSecret == "" && c.AppToken == "":
		bad("signing_secret", "is empty; copy it from Basic Information, or set app_token to use Socket Mode")
	case c.SigningSecret == "":
	case placeholder(c.SigningSecret):
		bad("signing_secret", "is a placeholder; copy it from Basic Information")
	case !signingSecretForm.MatchString(c.SigningSecret):
		bad("signing_secret", "must be 16 or more letters and digits; copy it from Basic Information")
	}
	if c.APIURL != "" {
		u, err := url.Parse(c.APIURL)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			bad("api_url", "is no URL; the default is "+DefaultAPIURL)
		case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
			bad("api_url", "must be https (http only on loopback)")
		case !strings.HasSuffix(u.Path, "/"):
			bad("api_url", `must end with "/"`)
		}
	}
	if c.TeamID != "" && !teamForm.MatchString(c.TeamID) {
		bad("team_id", "must look like T024BE7LD")
	}
	if c.AppID != "" && !appForm.MatchString(c.AppID) {
		bad("app_id", "must look like A024BE7LD")
	}
	return errs
}

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// identity is who the bot is in its workspace, as auth.test told.
type identity struct {
	team, botUser, botID, app string
}

// Adapter is one install of Slack.
type Adapter struct {
	conf    Config
	install bot.Install
	api     *slackgo.Client
	http    *http.Client // follows no redirect
	base    *url.URL
	log     *slog.Logger
	now     func() time.Time
	self    atomic.Pointer[identity]
	dms     cache[string] // user → private channel
	users   cache[bot.User]
	names   cache[string]    // channel → name
	uses    cache[int]       // response URL → times used
	tried   cache[time.Time] // lane and once → when it was first posted

	// Socket Mode's patience: how long a connection may be silent (Slack pings
	// at least twice in it), and how long to wait before the n-th try.
	silence time.Duration
	pause   func(n int) time.Duration
}

// What this adapter can do beyond the contract.
var (
	_ bot.Adapter       = (*Adapter)(nil)
	_ bot.Streamer      = (*Adapter)(nil)
	_ bot.FormOpener    = (*Adapter)(nil)
	_ bot.Whisperer     = (*Adapter)(nil)
	_ bot.Responder     = (*Adapter)(nil)
	_ bot.Deleter       = (*Adapter)(nil)
	_ bot.Finder        = (*Adapter)(nil)
	_ bot.HomePublisher = (*Adapter)(nil)
	_ bot.UserFinder    = (*Adapter)(nil)
	_ bot.GroupLister   = (*Adapter)(nil)
	_ bot.MemberLister  = (*Adapter)(nil)
	_ bot.ConvNamer     = (*Adapter)(nil)
	_ bot.FileCarrier   = (*Adapter)(nil)
	_ bot.Checker       = (*Adapter)(nil)
	_ bot.Reader        = (*Adapter)(nil)
)

// New makes the adapter; it does no I/O. Call Prepare once at start.
func New(c Config, deps bot.Deps) (*Adapter, error) {
	if errs := c.Validate(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if c.Name == "" {
		c.Name = "default"
	}
	if c.APIURL == "" {
		c.APIURL = DefaultAPIURL
	}
	base, err := url.Parse(c.APIURL)
	if err != nil {
		return nil, errors.New("api_url: is no URL")
	}
	a := &Adapter{conf: c, install: bot.Install{Platform: Platform, Name: c.Name}, base: base, log: deps.Log, now: deps.Now}
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
	a.api = slackgo.New(c.BotToken,
		slackgo.OptionAPIURL(c.APIURL),
		slackgo.OptionAppLevelToken(c.AppToken),
		slackgo.OptionHTTPClient(doer{&client}),
	)
	a.silence, a.pause = 60*time.Second, backoff
	a.self.Store(&identity{team: c.TeamID, app: c.AppID})
	a.dms, a.users = newCache[string](a.now, 24*time.Hour), newCache[bot.User](a.now, 10*time.Minute)
	a.names, a.uses = newCache[string](a.now, 10*time.Minute), newCache[int](a.now, 30*time.Minute)
	a.tried = newCache[time.Time](a.now, findAge)
	return a, nil
}

// Install says which install this adapter serves.
func (a *Adapter) Install() bot.Install { return a.install }

// Caps are Slack's limits, with room for what the adapter itself adds.
func (a *Adapter) Caps() cards.Caps {
	return cards.Caps{
		Buttons:      5, // 25 are allowed in a row; five fit on a phone
		MenuOptions:  maxOptions,
		Label:        maxLabel,
		Title:        maxHeader - 4, // the dot of the tone
		Text:         maxText,
		Facts:        20,
		Rows:         20,
		Total:        11_000,
		Blocks:       maxBlocks - 2,
		Menus:        true,
		Forms:        true,
		Threads:      true,
		Edits:        true,
		PrivateNotes: true,
	}
}

// ref names a message: "C024BE91L/1700000000.000100".
func ref(channel, ts string) bot.MessageRef {
	if channel == "" || ts == "" {
		return ""
	}
	return bot.MessageRef(channel + "/" + ts)
}

// parseRef reads what ref wrote.
func parseRef(r bot.MessageRef) (channel, ts string, err error) {
	channel, ts, ok := strings.Cut(string(r), "/")
	if !ok || !isID(channel, "CGD") || !isTS(ts) {
		return "", "", fmt.Errorf("message reference %q: %w", string(r), bot.ErrRejected)
	}
	return channel, ts, nil
}

// isID reports whether s is one of Slack's ids with one of these first letters.
func isID(s, letters string) bool {
	if len(s) < 2 || len(s) > 32 || strings.IndexByte(letters, s[0]) < 0 {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
			return false
		}
	}
	return true
}

// isTS reports whether s is a message's time stamp, "1700000000.000100".
func isTS(s string) bool {
	sec, frac, ok := strings.Cut(s, ".")
	return ok && digits(sec, 1, 12) && digits(frac, 1, 9)
}

func digits(s string, least, most int) bool {
	if len(s) < least || len(s) > most {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
