package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// Config is what New needs.
type Config struct {
	Tickets *tickets.Service
	Outbox  *tickets.Outbox
	Sealer  *Sealer
	Now     func() time.Time
	Zone    *time.Location // for people whose platform tells none; nil is UTC
	Lang    cards.Lang     // likewise
	Emoji   map[string]string
	Log     *slog.Logger
	Metrics *Metrics
	Holder  string // names this process among those that share the database
}

// Bot does what people in chat ask for, on all installs.
type Bot struct {
	svc     *tickets.Service
	out     *tickets.Outbox
	seal    *Sealer
	now     func() time.Time
	zone    *time.Location
	lang    cards.Lang
	emoji   map[string]string
	log     *slog.Logger
	metrics *Metrics
	holder  string

	installs map[Install]Adapter // fixed after Add
	limits   limits
	aside    sync.WaitGroup // what goes on after the platform has been answered
	leaving  atomic.Bool    // see Leave
	soon     chan time.Time // see tendIn
	atWork   atWork
	named    recent // accounts whose name we have been told
}

// New returns a bot without installs.
func New(c Config) *Bot {
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Emoji == nil {
		c.Emoji = DefaultEmoji
	}
	return &Bot{
		svc: c.Tickets, out: c.Outbox, seal: c.Sealer, now: c.Now, zone: c.Zone, lang: c.Lang, emoji: c.Emoji,
		log: c.Log, metrics: c.Metrics, holder: c.Holder, installs: map[Install]Adapter{}, limits: newLimits(), soon: make(chan time.Time, 64),
	}
}

// Add introduces an install. Call it before anything is dispatched.
func (b *Bot) Add(i Install, a Adapter) { b.installs[i] = a }

// Wait returns when everything that was begun after an answer has ended.
func (b *Bot) Wait() { b.aside.Wait() }

// hintTime bounds what is done after the platform has been answered.
const hintTime = 15 * time.Second

// after does something that the platform's answer does not wait for. It is a
// nudge: a crash may lose it, and nobody's ticket with it.
func (b *Bot) after(ctx context.Context, what string, f func(ctx context.Context) error) {
	b.aside.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hintTime)
		defer cancel()
		if err := survive(func() error { return f(ctx) }); err != nil {
			b.metrics.HintFailed("any")
			b.log.Warn("hint was not shown", "what", what, "err", err)
		}
	})
}

// errPanicked marks an error that was a panic.
var errPanicked = errors.New("panic")

// survive turns a panic of f into an error: whatever goes wrong with one message
// must not take the others down with the process.
func survive(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", errPanicked, p, debug.Stack())
		}
	}()
	return f()
}

// Dispatch does what a verified request asks for. An error means that it is not
// done, and the platform shall send it again.
func (b *Bot) Dispatch(ctx context.Context, i Install, in Inbound) (Reply, error) {
	out := Reply{Echo: in.Echo}
	shelf := b.svc.Shelf(i.String(), b.now)
	for _, k := range in.Keep {
		put := shelf.Put
		if k.Push {
			put = shelf.Push
		}
		if err := put(ctx, k.Key, k.Value, k.For); err != nil {
			return Reply{}, err
		}
	}
	for _, ev := range in.Events {
		r, err := b.one(ctx, i, ev)
		if err != nil {
			return Reply{}, fmt.Errorf("%s: %w", ev.Kind, err)
		}
		if !r.Empty() {
			out = r
		}
	}
	return out, nil
}

// one handles an event and brings what its platform cannot show in the answer
// on its way.
func (b *Bot) one(ctx context.Context, i Install, ev Event) (Reply, error) {
	t := &turn{b: b, ev: ev, install: i, adapter: b.installs[i]}
	if t.adapter == nil {
		return Reply{}, fmt.Errorf("install %s is not known", i)
	}
	if len(b.installs) > 1 && uses[ev.Kind] {
		if err := b.svc.Used(ctx, ev.User.String(), b.now()); err != nil {
			return Reply{}, err
		}
	}
	if ev.Kind == Message || ev.Kind == Click && ev.Private {
		// What waited for him comes before what he gets for this message.
		if _, err := b.out.Spoke(ctx, t.lane(), tickets.At(b.now())); err != nil {
			return Reply{}, err
		}
	}
	r, err := t.handle(ctx)
	if err == nil {
		r, err = t.ask(ctx, r)
	}
	if err != nil {
		return Reply{}, err
	}
	for _, c := range []*cards.Card{r.Card, r.Form, r.Hint} {
		if c == nil {
			continue
		}
		if *c, err = b.drawn(t.adapter, i, c == r.Card && !ev.Private || c == r.Hint && t.hintShared(), *c); err != nil {
			return Reply{}, fmt.Errorf("seal: %w", err)
		}
	}
	if err := t.answer(ctx, &r); err != nil {
		// The sender shows it: only the short way is lost.
		b.log.Warn("answer carries no card", "install", i.String(), "err", err)
	}
	if r, err = t.aside(ctx, r); err == nil {
		t.keepShown(ctx, r)
	}
	return r, err
}

// uses are the kinds of events by which a person uses his account.
var uses = map[Kind]bool{Message: true, Slash: true, Click: true, Submit: true, Shortcut: true, Reacted: true, HomeOpened: true}

// turn is one event being handled.
type turn struct {
	b       *Bot
	ev      Event
	install Install
	adapter Adapter
	actor   tickets.Actor
	known   bool             // actor has been read
	about   tickets.TicketID // that the event was about, once that is known
	group   string           // lane of the group that a number said in private is about
}

// aside sends what the answer cannot carry and takes it out of the reply.
func (t *turn) aside(ctx context.Context, r Reply) (Reply, error) {
	inline := t.inline()
	if opener, ok := t.adapter.(FormOpener); ok && r.Form != nil && !inline.Form {
		c := *r.Form
		r.Form = nil
		// Before the answer: the trigger is good for three seconds only.
		if err := opener.OpenForm(ctx, t.ev.Trigger, c); err != nil {
			t.b.metrics.HintFailed(t.install.Platform)
			t.b.log.Warn("form was not opened", "install", t.install.String(), "err", err)
		}
	}
	if inline.Toast && r.Hint != nil {
		if line, ok := oneLiner(r.Hint); ok {
			r.Hint, r.Toast = nil, line
		}
	}
	if inline.Hint || inline.Toast && r.Hint == nil {
		return r, nil
	}
	note := r.Hint
	if note == nil && r.Toast != "" {
		c := cards.Hint(r.Toast, t.lang())
		note = &c
	}
	if note != nil {
		c := *note
		r.Hint, r.Toast = nil, ""
		t.b.after(ctx, "hint", func(ctx context.Context) error {
			// A platform may tell of one thing twice: Slack does of every mention.
			first, err := t.b.svc.First(ctx, "hint|"+t.once(), t.b.now())
			if err != nil || !first {
				return err
			}
			return t.whisper(ctx, c)
		})
	}
	return r, nil
}

// maxToast is how many characters of a line that vanishes by itself can be read.
const maxToast = 60

// oneLiner is what a card says when that is one short sentence and nothing else.
func oneLiner(c *cards.Card) (string, bool) {
	text := c.Body
	if text == "" {
		text = c.Title
	} else if c.Title != "" {
		return "", false
	}
	bare := len(c.Actions)+len(c.More)+len(c.Rows)+len(c.Facts)+len(c.Badges) == 0 && c.Form == nil && c.Note == ""
	return text, bare && text != "" && !strings.Contains(text, "\n") && utf8.RuneCountInString(text) <= maxToast
}

// whisper shows a card to the actor alone, and remembers what its numbers mean.
func (t *turn) whisper(ctx context.Context, c cards.Card) error {
	ref, err := t.whispered(ctx, c)
	if err == nil {
		t.b.rememberAbout(ctx, t.adapter, t.hintLane(), "", ref, c, t.ofGroup())
	}
	return err
}

// whispered shows a card to the actor alone, by the best way that the platform has.
func (t *turn) whispered(ctx context.Context, c cards.Card) (MessageRef, error) {
	if r, ok := t.adapter.(Responder); ok && t.ev.Respond != "" {
		err := r.Respond(ctx, t.ev.Respond, c)
		if err == nil {
			return "", nil
		}
		t.b.log.Info("answer address was refused, writing in private", "install", t.install.String(), "err", err)
	}
	if w, ok := t.adapter.(Whisperer); ok && !t.ev.Private && !t.ev.Conv.IsZero() {
		return "", w.Whisper(ctx, t.ev.Conv, t.ev.User, t.ev.Thread, c)
	}
	to := Private(t.ev.User)
	if t.ev.Private && !t.ev.Conv.IsZero() {
		to = To(t.ev.Conv)
	}
	ref, err := t.adapter.Post(ctx, to, "hint:"+t.ev.ID, c)
	if errors.Is(err, ErrMustSpeak) && !t.ev.Private && !t.ev.Conv.IsZero() {
		return "", t.opensFirst(ctx)
	}
	return ref, err
}

// opensFirst tells somebody in the group, once a day, that he must write to the
// bot in private before it can answer him there. What the answer was stays unsaid:
// it was for him alone.
func (t *turn) opensFirst(ctx context.Context) error {
	once := "opens|" + t.ev.User.String() + "|" + t.b.now().In(t.b.zone).Format(time.DateOnly)
	first, err := t.b.svc.First(ctx, once, t.b.now())
	if err != nil || !first {
		return err
	}
	name := t.actor.Name
	if name == "" {
		name = t.ev.UserName
	}
	line := cards.OpensFirst(name, t.lang())
	line.Ping = []string{t.ev.User.ID}
	if line, err = t.b.drawn(t.adapter, t.install, true, line); err != nil {
		return err
	}
	_, err = t.adapter.Post(ctx, To(t.ev.Conv), once, line)
	return err
}

// lane is where the event happened, as the core names it.
func (t *turn) lane() string {
	if t.ev.Conv.IsZero() {
		return Private(t.ev.User).Lane()
	}
	if t.ev.Private {
		return Private(t.ev.User).Lane()
	}
	return To(t.ev.Conv).Lane()
}

func (t *turn) once() string { return t.install.String() + "|" + t.ev.ID }

// lang is the actor's language.
func (t *turn) lang() cards.Lang {
	for _, l := range []string{t.ev.Locale, t.actor.Locale} { // what he reads just now comes first
		if l != "" {
			return cards.LangOf(l)
		}
	}
	return t.b.lang
}

// handle does one event. Refusals become sentences here; what is returned as an
// error was not done.
func (t *turn) handle(ctx context.Context) (Reply, error) {
	switch t.ev.Kind {
	case Message:
		return t.message(ctx)
	case Slash:
		return t.slash(ctx)
	case Click:
		return t.click(ctx)
	case Submit:
		return t.submit(ctx)
	case Reload:
		return t.reload(ctx)
	case Shortcut:
		return t.shortcut(ctx)
	case Reacted:
		return t.reacted(ctx)
	case Edited, Deleted:
		return t.amended(ctx)
	case Joined, Left:
		return Reply{}, t.b.svc.Member(ctx, t.lane(), t.ev.User.String(), t.ev.Kind == Joined, t.b.now())
	case BotAdded, BotRemoved:
		return t.botMoved(ctx)
	case HomeOpened:
		if _, page := t.adapter.(HomePublisher); !page && t.inline().Hint {
			return t.greet(ctx)
		}
		t.b.after(ctx, "home", func(ctx context.Context) error { return t.home(ctx) })
	case Renamed:
		return Reply{}, t.introduce(ctx)
	case Uninstalled:
		t.b.limits.pause(t.install, t.b.now())
		t.b.log.Error("install was removed by its workspace; nothing is sent there any more", "install", t.install.String())
	}
	return Reply{}, nil
}

// do runs a command as the event's actor, who is introduced first if need be:
// which of those who acted before need not be asked again.
func (t *turn) do(ctx context.Context, r tickets.Request) (tickets.Result, error) {
	r.Account, r.Via, r.Now = t.ev.User.String(), t.lane(), t.b.now()
	if r.Once == "" {
		r.Once = t.once()
	}
	if !t.b.named.has(r.Account) {
		if err := t.who(ctx); err != nil {
			return tickets.Result{}, err
		}
	}
	r.Answers = t.answers()
	res, err := t.b.svc.Do(ctx, r)
	if errors.Is(err, tickets.ErrNoAccount) { // erased since
		t.known = false
		if err := t.who(ctx); err != nil {
			return tickets.Result{}, err
		}
		res, err = t.b.svc.Do(ctx, r)
	}
	if res.Actor.Person != "" {
		t.actor, t.known = res.Actor, true
		if !nameless(res.Actor.Name, t.ev.User) {
			t.b.named.add(r.Account)
		}
	}
	if err == nil {
		t.b.counted(ctx, res)
	}
	if t.about == "" && res.Ticket != nil {
		t.about = res.Ticket.ID
	}
	return res, err
}

// counted feeds the metric of our own noise when a ticket has come to its end.
func (b *Bot) counted(ctx context.Context, res tickets.Result) {
	closes := func(e tickets.Event) bool { return e.Facts.Status == tickets.Closed }
	if b.metrics == nil || res.Repeat || !slices.ContainsFunc(res.Events, closes) {
		return
	}
	b.after(ctx, "count posts", func(ctx context.Context) error {
		posts, err := b.svc.PostsOf(ctx, res.Ticket.ID)
		for _, n := range posts {
			b.metrics.Posts(n)
		}
		return err
	})
}

// who reads the actor, for what is shown to him. Somebody who is not known yet,
// or whose name is not, is introduced first.
func (t *turn) who(ctx context.Context) error {
	if t.known {
		return nil
	}
	a, err := t.b.svc.ActorOf(ctx, t.ev.User.String())
	if errors.Is(err, tickets.ErrNoAccount) || err == nil && nameless(a.Name, t.ev.User) {
		if err := t.introduce(ctx); err != nil {
			return err
		}
		a, err = t.b.svc.ActorOf(ctx, t.ev.User.String())
	}
	if err != nil {
		return err
	}
	t.actor, t.known = a, true
	return nil
}

// introduceTime bounds how long the platform is asked who somebody is while it
// waits for our answer.
const introduceTime = 1200 * time.Millisecond

// introduce makes the event's actor known, with what his platform tells of him.
func (t *turn) introduce(ctx context.Context) error {
	_, err := t.b.ensure(ctx, t.adapter, User{Ref: t.ev.User, Name: t.ev.UserName, Guest: t.ev.Guest}, !uses[t.ev.Kind])
	return err
}

// ensure makes an account known by what was told of it with an event and by what
// its platform tells when asked. Who was called a guest by either is one. others:
// he was named by somebody else.
func (b *Bot) ensure(ctx context.Context, a Adapter, told User, others bool) (tickets.PersonID, error) {
	u := told.Ref
	p := tickets.Profile{Account: u.String(), Name: told.Name, Guest: told.Guest, Others: others}
	if f, ok := a.(UserFinder); ok {
		ctx, cancel := context.WithTimeout(ctx, introduceTime)
		defer cancel()
		info, err := f.FindUser(ctx, u)
		if err != nil {
			// Who cannot be looked up is still somebody: he is introduced again later.
			b.log.Warn("user was not found", "install", u.Install.String(), "err", err)
		} else {
			p.Email, p.Phone, p.Locale, p.Zone, p.Guest = info.Email, info.Phone, info.Locale, info.Zone, told.Guest || info.Guest
			if info.Name != "" {
				p.Name = info.Name
			}
		}
	}
	return b.svc.EnsureAccount(context.WithoutCancel(ctx), p, b.now())
}

// nameless reports whether nobody has told yet what u is called: he stands in
// the configuration by his id only, or his platform could not be asked.
func nameless(name string, u UserRef) bool { return name == "" || name == u.ID }

// person is whose account u is.
func (t *turn) person(ctx context.Context, u UserRef, name string) (tickets.PersonID, error) {
	a, err := t.b.svc.AccountOf(ctx, u.String())
	if err == nil && !nameless(a.Name, u) {
		return a.Person, nil
	}
	if err != nil && !errors.Is(err, tickets.ErrNoAccount) {
		return "", err
	}
	return t.b.ensure(ctx, t.adapter, User{Ref: u, Name: name}, true)
}

// refused turns an error into a private sentence, and passes everything that is
// no refusal on.
func (t *turn) refused(ctx context.Context, err error, act cards.Act) (Reply, error) {
	var e *tickets.Error
	if !errors.As(err, &e) {
		return Reply{}, err
	}
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	args := cards.RefusalArgs{Args: e.Args, Now: tickets.At(t.b.now()), Zone: t.b.zone, Act: act}
	if by := tickets.PersonID(e.Args["by"]); by != "" {
		names, err := t.b.svc.Names(ctx, by)
		if err != nil {
			return Reply{}, err
		}
		args.Name = func(p tickets.PersonID) string { return names[p] }
	}
	if near := parseNumber(e.Args["near"]); near != 0 {
		if n, err := t.b.svc.Find(ctx, t.actor, near); err == nil {
			args.Near = []tickets.Link{{Ticket: n.ID, Number: n.Number}}
		}
	}
	c := cards.Refused(e.Code, args, t.lang())
	// To somebody unknown, what only the team sees does not exist.
	if e.Code == tickets.NotAllowed || e.Code == tickets.NotFound && agentsVerb(act.Verb) {
		offer, err := t.offerLink(ctx)
		if err != nil {
			return Reply{}, err
		}
		if offer != nil {
			offer.Body = c.Body + "\n" + offer.Body
			c = *offer
		}
	}
	return Reply{Hint: &c}, nil
}

// agentsVerb reports whether a verb is one of those who work on tickets.
func agentsVerb(v tickets.Verb) bool {
	return slices.ContainsFunc(verbTable, func(r verbRow) bool { return r.Verb == v && (r.Who == Agents || r.Who == Owner) })
}

// offerLink returns a card with a code for somebody who may be known by another
// account, and keeps what he asked for until he is.
func (t *turn) offerLink(ctx context.Context) (*cards.Card, error) {
	if len(t.b.installs) < 2 || t.actor.Anywhere() {
		return nil, nil
	}
	// The same event told again must not end the code that is being shown.
	if first, err := t.b.svc.First(ctx, "offer|"+t.once(), t.b.now()); err != nil || !first {
		return nil, err
	}
	ev := t.ev
	ev.Trigger, ev.Respond = "", ""
	act, err := json.Marshal(ev)
	if err != nil {
		return nil, fmt.Errorf("keep what was asked: %w", err)
	}
	code, err := t.b.svc.NewLinkCode(ctx, t.ev.User.String(), string(act), t.b.now())
	if err != nil {
		return nil, err
	}
	c := cards.LinkOffer(code, t.lang())
	return &c, nil
}

// linkAccount ties the account that asked for the code to the actor, and does
// what that account had asked for.
func (t *turn) linkAccount(ctx context.Context, code string) (Reply, error) {
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	tied, ok, err := t.b.svc.UseLinkCode(ctx, t.ev.User.String(), code, t.b.now())
	if err != nil {
		return Reply{}, err
	}
	if !ok {
		return t.refused(ctx, tickets.Refuse(tickets.BadValue, "field", "code", "why", "code"), cards.Act{})
	}
	t.known = false
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	c := cards.Linked(t.actor.Name, t.lang())
	var ev Event
	if tied.Act != "" && json.Unmarshal([]byte(tied.Act), &ev) == nil {
		ev.ID = "linked:" + ev.ID
		t.b.after(ctx, "replay after linking", func(ctx context.Context) error {
			r, err := t.b.one(ctx, ev.User.Install, ev)
			if err != nil || r.Hint == nil {
				return err
			}
			again := &turn{b: t.b, ev: ev, install: ev.User.Install, adapter: t.b.installs[ev.User.Install]}
			return again.whisper(ctx, *r.Hint)
		})
	}
	return Reply{Hint: &c}, nil
}

// unlinkAccount parts the accounts that were tied last.
func (t *turn) unlinkAccount(ctx context.Context) (Reply, error) {
	back, err := t.b.svc.Unlink(ctx, t.ev.User.String(), t.b.now())
	if err != nil {
		return Reply{}, err
	}
	t.known = false
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	var installs []string
	for _, ref := range back {
		if u, err := parseUser(ref); err == nil && !slices.Contains(installs, u.Install.String()) {
			installs = append(installs, u.Install.String())
		}
	}
	c := cards.Unlinked(installs, t.lang())
	return Reply{Hint: &c}, nil
}

// view makes a ticket ready to be shown to the actor.
func (t *turn) view(ctx context.Context, tk *tickets.Ticket) (*tickets.View, error) {
	return t.b.svc.View(ctx, tk, t.b.now(), t.b.zone)
}
