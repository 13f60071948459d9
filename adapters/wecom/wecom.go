// Package wecom connects Paidan to WeCom 企业微信. One install is one corp with
// up to three surfaces: the self-built app 自建应用 for cards to members and for
// the directory, the smart robot 智能机器人 for groups, and 微信客服 for customers.
//
// Platform facts are from https://developer.work.weixin.qq.com/document.
package wecom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/httpx"
)

// Platform is the name of this platform in installs and paths.
const Platform = "wecom"

// The surfaces of an install. They are the first part of every message
// reference ("robot/<chatid>/<task_id>"), of every event's id ("robot:…") and,
// but for the app's, of every Inbound.Kind ("robot_message"): so that answers,
// updates and files find their way back.
const (
	surfaceApp   = "app"
	surfaceText  = "msg" // the app's, for messages that are no cards
	surfaceRobot = "robot"
	surfaceKF    = "kf"
)

// surfaceHeader tells which surface a frame belongs to. Only our own Stream sets
// it: it is believed on frames of a connection that we opened, and nowhere else.
const surfaceHeader = "X-Paidan-Surface"

// shared is what the surfaces of an install have in common.
type shared struct {
	conf    Config
	install bot.Install
	api     *client // as the app; without one it can do keyless calls only
	http    *http.Client
	log     *slog.Logger
	now     func() time.Time
	shelf   bot.Shelf
	alarm   func(ctx context.Context, a bot.Alarm)
}

func (s *shared) user(id string) bot.UserRef { return bot.UserRef{Install: s.install, ID: id} }

func (s *shared) conv(id string) bot.ConvRef {
	if id == "" {
		return bot.ConvRef{}
	}
	return bot.ConvRef{Install: s.install, ID: id}
}

// Adapter is one install of WeCom.
type Adapter struct {
	*shared
	app   *app   // nil: not configured
	robot *robot // nil: not configured
	kf    *kf    // nil: there is no app that could call it
}

// What this adapter can do beyond the contract.
var (
	_ bot.Adapter      = (*Adapter)(nil)
	_ bot.Streamer     = (*Adapter)(nil)
	_ bot.Inliner      = (*Adapter)(nil)
	_ bot.AnswerPoster = (*Adapter)(nil)
	_ bot.Deleter      = (*Adapter)(nil)
	_ bot.UserFinder   = (*Adapter)(nil)
	_ bot.FileCarrier  = (*Adapter)(nil)
	_ bot.Checker      = (*Adapter)(nil)
	_ bot.Preparer     = (*Adapter)(nil)
	_ bot.Local        = (*Adapter)(nil)
)

// errNoShelf is returned where an install is made without a place to keep codes.
var errNoShelf = errors.New("a shelf is needed: codes that change cards must outlive a restart")

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
	if c.Robot.WSURL == "" {
		c.Robot.WSURL = DefaultWSURL
	}
	if deps.Shelf == nil {
		return nil, errNoShelf
	}
	base, err := url.Parse(strings.TrimSuffix(c.APIURL, "/"))
	if err != nil {
		return nil, errors.New("api_url: is no URL")
	}
	s := &shared{conf: c, install: bot.Install{Platform: Platform, Name: c.Name}, log: deps.Log, now: deps.Now, shelf: deps.Shelf, alarm: deps.Alarm}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.alarm == nil {
		s.alarm = func(context.Context, bot.Alarm) {}
	}
	if deps.HTTP == nil {
		o := httpx.Options{Timeout: 20 * time.Second, MaxBody: -1} // files have no cap here: the caller reads no more than it wants
		if loopback(base.Hostname()) {
			o.AllowHosts = []string{base.Host}
		}
		deps.HTTP = httpx.New(o)
	}
	own := *deps.HTTP
	// A token never follows a redirect, whatever the program's client does.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.http = &own
	s.api = newClient(s, base, c.Secret)
	a := &Adapter{shared: s}
	if c.HasApp() {
		if a.app, err = newApp(s); err != nil {
			return nil, err
		}
	}
	if c.HasRobot() {
		if a.robot, err = newRobot(c, s); err != nil {
			return nil, fmt.Errorf("robot: %w", err)
		}
	}
	if c.HasApp() {
		if a.kf, err = newKF(c, s); err != nil {
			return nil, fmt.Errorf("kf: %w", err)
		}
	}
	return a, nil
}

// Install says which install this adapter serves.
func (a *Adapter) Install() bot.Install { return a.install }

// Caps are the widest limits of the surfaces; each of them cuts what it draws to
// its own.
func (a *Adapter) Caps() cards.Caps {
	return cards.Caps{
		Buttons:     maxButtons,
		MenuOptions: maxOptions,
		Label:       appLimits.option, // of a choice; buttons are cut to ten
		Title:       maxTitle,
		Text:        600, // a text message has 2048 bytes, three for a Chinese character
		Facts:       maxHorizontal,
		Rows:        10,
		Total:       1000,
		Menus:       true,
		Edits:       true,
	}
}

// Fixed implements bot.Fixer: cards in a group change in the answer to a press
// only, which no words can be.
func (a *Adapter) Fixed(to bot.Dest) bool { return to.User == "" }

// Numbers reports whether a card will be drawn as text with numbered choices
// (see cards.Numbered): its buttons do not fit a template card.
func (a *Adapter) Numbers(c cards.Card) bool { return numbered(c) }

// surfaceOf tells which surface a request came to.
func surfaceOf(r bot.Raw) string {
	if r.Socket {
		return r.Header.Get(surfaceHeader)
	}
	switch strings.Trim(r.Path, "/") {
	case "":
		return surfaceApp
	case surfaceRobot:
		return surfaceRobot
	case surfaceKF:
		return surfaceKF
	}
	return ""
}

// Verify implements bot.Adapter.
func (a *Adapter) Verify(r bot.Raw, now time.Time) ([]byte, error) {
	switch s := surfaceOf(r); {
	case s == surfaceApp && a.app != nil && !r.Socket:
		return a.app.verify(r, now)
	case s == surfaceRobot && a.robot != nil:
		return a.robot.verify(r, now)
	case s == surfaceKF && a.kf != nil:
		return a.kf.verify(r, now)
	}
	return nil, bot.ErrUnverified
}

// Decode implements bot.Adapter.
func (a *Adapter) Decode(r bot.Raw, plain []byte) (bot.Inbound, error) {
	switch s := surfaceOf(r); {
	case s == surfaceApp && a.app != nil && !r.Socket:
		return a.app.decode(r, plain, a.kf)
	case s == surfaceRobot && a.robot != nil:
		return a.robot.decode(r, plain)
	case s == surfaceKF && a.kf != nil:
		return a.kf.decode(r, plain)
	}
	return bot.Inbound{}, malformed("surface")
}

func malformed(why string) error { return fmt.Errorf("%s: %w", why, bot.ErrMalformed) }

// Reply implements bot.Adapter.
func (a *Adapter) Reply(w http.ResponseWriter, in bot.Inbound, out bot.Reply) {
	switch {
	case strings.HasPrefix(in.Kind, surfaceRobot+"_") && a.robot != nil:
		a.robot.reply(w, in, out)
	case strings.HasPrefix(in.Kind, surfaceKF+"_") && a.kf != nil:
		a.kf.reply(w, in, out)
	case a.app != nil:
		a.app.reply(w, in, out)
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// of is the surface that an event came from.
func of(e bot.Event) string {
	s, _, _ := strings.Cut(e.ID, ":")
	return s
}

// Inline implements bot.Inliner.
func (a *Adapter) Inline(e bot.Event) bot.Inline {
	switch s := of(e); {
	case s == surfaceRobot && a.robot != nil:
		return a.robot.inline(e)
	case s == surfaceKF && a.kf != nil:
		return a.kf.inline(e)
	case s == surfaceApp && a.app != nil:
		return a.app.inline(e)
	}
	return bot.Inline{}
}

// AnswerRef implements bot.AnswerPoster.
func (a *Adapter) AnswerRef(e bot.Event, once string) bot.MessageRef {
	if of(e) == surfaceRobot && a.robot != nil {
		return a.robot.answerRef(e, once)
	}
	return ""
}

// customer is the prefix of the ids of people who are no members: customers of
// 微信客服, "kf:<open_kfid>:<external_userid>".
const customer = "kf:"

// singleKey is where the Shelf keeps the surface that a member last wrote to.
func singleKey(userID string) string { return "single/" + userID }

// singleFor is how long that is remembered.
const singleFor = 90 * 24 * time.Hour

// spoke remembers that a member wrote to a surface in private.
func spoke(userID, surface string) bot.Kept {
	return bot.Kept{Key: singleKey(userID), Value: surface, For: singleFor}
}

// route tells which surface reaches a destination: groups are the robot's, kf
// ids are customers, and members are written to where they wrote last, else by
// the app.
func (a *Adapter) route(ctx context.Context, to bot.Dest) (string, error) {
	switch {
	case to.Conv != "" && a.robot != nil:
		return surfaceRobot, nil
	case strings.HasPrefix(to.User, customer) && a.kf != nil:
		return surfaceKF, nil
	case to.User == "" || strings.HasPrefix(to.User, customer):
		return "", fmt.Errorf("no surface for %s: %w", to.Lane(), bot.ErrRejected)
	case a.app == nil:
		return surfaceRobot, nil
	case a.robot == nil:
		return surfaceApp, nil
	}
	last, err := a.shelf.Get(ctx, singleKey(to.User))
	if err != nil {
		return "", fmt.Errorf("where they wrote last: %w", err)
	}
	if last == surfaceRobot && a.robot.here(to) {
		return surfaceRobot, nil
	}
	return surfaceApp, nil // which reaches him from every process
}

// Post implements bot.Adapter.
func (a *Adapter) Post(ctx context.Context, to bot.Dest, once string, c cards.Card) (bot.MessageRef, error) {
	s, err := a.route(ctx, to)
	if err != nil {
		return "", err
	}
	switch s {
	case surfaceRobot:
		return a.robot.post(ctx, to, once, c)
	case surfaceKF:
		return a.kf.post(ctx, to, once, c)
	}
	return a.app.post(ctx, to, once, c)
}

// at tells which surface made a reference.
func (a *Adapter) at(ref bot.MessageRef) (string, error) {
	s, _, _ := strings.Cut(string(ref), "/")
	switch {
	case (s == surfaceApp || s == surfaceText) && a.app != nil:
		return surfaceApp, nil
	case s == surfaceRobot && a.robot != nil, s == surfaceKF && a.kf != nil:
		return s, nil
	}
	return "", fmt.Errorf("message reference %q: %w", string(ref), bot.ErrRejected)
}

// Update implements bot.Adapter.
func (a *Adapter) Update(ctx context.Context, ref bot.MessageRef, c cards.Card) (bot.MessageRef, error) {
	s, err := a.at(ref)
	if err != nil {
		return ref, err
	}
	switch s {
	case surfaceRobot:
		return a.robot.update(ctx, ref, c)
	case surfaceKF:
		return a.kf.update(ctx, ref, c)
	}
	return a.app.update(ctx, ref, c)
}

// Delete implements bot.Deleter: the app can recall what is younger than a day.
func (a *Adapter) Delete(ctx context.Context, ref bot.MessageRef) error {
	s, err := a.at(ref)
	if err != nil {
		return err
	}
	if s != surfaceApp {
		return fmt.Errorf("%s cannot take messages back: %w", s, bot.ErrGone)
	}
	return a.app.remove(ctx, ref)
}

// Stream implements bot.Streamer: it serves the robot's long connection and
// whatever 微信客服 must fetch. Without either it waits for ctx.
func (a *Adapter) Stream(ctx context.Context, sink func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error) error {
	return both(ctx,
		func(ctx context.Context) error {
			if a.robot == nil {
				<-ctx.Done()
				return nil
			}
			return a.robot.stream(ctx, sink)
		},
		func(ctx context.Context) error {
			if a.kf == nil {
				<-ctx.Done()
				return nil
			}
			return a.kf.stream(ctx, sink)
		})
}

// both runs two loops until ctx ends; what ends one with an error ends the other.
func both(ctx context.Context, one, two func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	for _, run := range []func(context.Context) error{one, two} {
		go func() { ended <- run(ctx) }()
	}
	var errs []error
	for range 2 {
		if err := <-ended; err != nil {
			errs = append(errs, err)
			cancel()
		}
	}
	return errors.Join(errs...)
}

// Here implements bot.Local: what goes through the robot's long connection goes
// from the process that holds it.
func (a *Adapter) Here(to bot.Dest) bool {
	switch {
	case a.robot == nil, strings.HasPrefix(to.User, customer):
		return true
	case to.User != "" && a.app != nil:
		return true // the app reaches him from anywhere
	}
	return a.robot.here(to)
}

// Prepare implements bot.Preparer.
func (a *Adapter) Prepare(ctx context.Context) error {
	var errs []error
	if a.app != nil {
		errs = append(errs, a.app.prepare(ctx))
	}
	if a.robot != nil {
		errs = append(errs, a.robot.prepare(ctx))
	}
	if a.kf != nil {
		errs = append(errs, a.kf.prepare(ctx))
	}
	return errors.Join(errs...)
}

// Check implements bot.Checker.
func (a *Adapter) Check(ctx context.Context) []bot.Finding {
	var out []bot.Finding
	if a.app != nil {
		out = append(out, a.app.check(ctx)...)
	}
	if a.robot != nil {
		out = append(out, a.robot.check(ctx)...)
	}
	if a.kf != nil {
		out = append(out, a.kf.check(ctx)...)
	}
	return out
}

// FindUser implements bot.UserFinder.
func (a *Adapter) FindUser(ctx context.Context, u bot.UserRef) (bot.User, error) {
	switch {
	case strings.HasPrefix(u.ID, customer) && a.kf != nil:
		return a.kf.findUser(ctx, u)
	case a.app != nil:
		return a.app.findUser(ctx, u)
	}
	// A robot alone has no directory: what people are called there is their userid,
	// by which members of a corp know each other better than by no name at all.
	found := bot.User{Ref: u}
	if !strings.Contains(u.ID, ":") { // as the ids of people of other corps do
		found.Name = u.ID
	}
	return found, nil
}

// Fetch implements bot.FileCarrier. The first part of a file's id is the surface
// that it came from: "app/<media id>".
func (a *Adapter) Fetch(ctx context.Context, f bot.File) (io.ReadCloser, error) {
	s, _, _ := strings.Cut(f.ID, "/")
	switch {
	case s == surfaceApp && a.app != nil:
		return a.app.fetch(ctx, f)
	case s == surfaceRobot && a.robot != nil:
		return a.robot.fetch(ctx, f)
	case s == surfaceKF && a.kf != nil:
		return a.kf.fetch(ctx, f)
	}
	return nil, fmt.Errorf("file: %w", bot.ErrRejected)
}

// SendFile implements bot.FileCarrier.
func (a *Adapter) SendFile(ctx context.Context, to bot.Dest, once, name string, size int64, content io.Reader) (bot.MessageRef, error) {
	s, err := a.route(ctx, to)
	if err != nil {
		return "", err
	}
	switch s {
	case surfaceRobot:
		return a.robot.sendFile(ctx, to, once, name, size, content)
	case surfaceKF:
		return a.kf.sendFile(ctx, to, once, name, size, content)
	}
	return a.app.sendFile(ctx, to, once, name, size, content)
}
