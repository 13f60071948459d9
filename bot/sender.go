package bot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// The sender makes the chats true to the database: see lane.go for who sends
// when. A card is rendered when it is sent, from the newest state.

const (
	sendTime = 10 * time.Second // for one request to a platform
	maxTries = 12               // of one row, before it is given up: a little over an hour
	inOrder  = 4                // tries for which the rest of the lane waits, to keep its order; then it goes past
	pauseFor = 5 * time.Minute  // for which an install that refuses us is left alone
)

// backoff is how long a lane rests after its n-th failure in a row.
func backoff(n int) time.Duration {
	return min(time.Second<<min(n, 10), 15*time.Minute)
}

// sendOne sends a row and records it. A positive wait means that the lane must
// rest before the row is tried again; an error is one of our own.
func (b *Bot) sendOne(ctx context.Context, r tickets.Out, record func(context.Context, tickets.Sent) error) (wait time.Duration, err error) {
	to, err := ParseLane(r.Lane)
	if err != nil {
		return 0, b.out.Dead(ctx, r, err.Error(), tickets.At(b.now()))
	}
	a := b.installs[to.Install]
	if a == nil {
		return 0, b.out.Dead(ctx, r, "install is not configured any more", tickets.At(b.now()))
	}
	now := b.now()
	if left := b.limits.blocked(to.Install, now); left > 0 {
		if err := b.out.Return(ctx, []tickets.Out{r}); err != nil {
			return 0, err
		}
		return left, nil
	}
	var sent tickets.Sent
	err = survive(func() error {
		job, err := b.prepare(ctx, a, to, r)
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		sent, err = job.send(ctx)
		return err
	})
	b.metrics.Verdict(to.Install.Platform, err)
	if err == nil {
		if err := record(ctx, sent); err != nil {
			return 0, err
		}
		if r.Kind == tickets.OutCard && !sent.Skip {
			b.metrics.Visible(b.now().Sub(r.Created.Go()))
		}
		return 0, nil
	}
	return b.failed(ctx, r, to, err)
}

// failed turns a verdict into what becomes of the row.
func (b *Bot) failed(ctx context.Context, r tickets.Out, to Dest, err error) (time.Duration, error) {
	now := b.now()
	log := b.log.With("install", to.Install.String(), "kind", string(r.Kind), "ticket", string(r.Ticket), "err", err)
	var limited RateLimited
	var another later
	switch {
	case errors.As(err, &another):
		return 0, b.out.Later(ctx, r, another.at)
	case errors.Is(err, ErrMustSpeak):
		log.Info("message waits until they write")
		return 0, b.out.Wait(ctx, r, err.Error(), tickets.At(now))
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case errors.As(err, &limited):
		if limited.All {
			b.limits.block(to.Install, now, now.Add(limited.After))
		}
		if err := b.out.Return(ctx, []tickets.Out{r}); err != nil { // waiting is no failure
			return 0, err
		}
		return max(limited.After, 100*time.Millisecond), nil
	case errors.Is(err, ErrUnauthorized):
		if b.limits.block(to.Install, now, now.Add(pauseFor)) {
			log.Error("install refuses our credentials; nothing is sent there until they are mended")
			b.after(ctx, "tell admins", func(ctx context.Context) error { return b.broken(ctx, to.Install) })
		}
		if err := b.out.Return(ctx, []tickets.Out{r}); err != nil {
			return 0, err
		}
		return pauseFor, nil
	case errors.Is(err, ErrGone):
		log.Warn("place is gone")
		if r.PlaceID != "" && r.Kind == tickets.OutCard {
			if err := b.out.Gone(ctx, r.PlaceID, false); err != nil {
				return 0, err
			}
			moved, err := b.out.Elsewhere(ctx, r.PlaceID, tickets.At(now))
			if err != nil {
				return 0, err
			}
			if moved {
				return 0, b.out.Done(ctx, r, tickets.Sent{Skip: true}, tickets.At(now))
			}
		}
		return 0, b.out.Dead(ctx, r, err.Error(), tickets.At(now))
	case errors.Is(err, ErrRejected), errors.Is(err, errPanicked), r.Attempts+1 >= maxTries:
		log.Error("message was given up")
		return 0, b.out.Dead(ctx, r, err.Error(), tickets.At(now))
	}
	log.Warn("message was not sent, trying again", "attempt", r.Attempts+1)
	if r.Attempts >= inOrder {
		return 0, b.out.Retry(ctx, r, tickets.At(now.Add(backoff(r.Attempts))), err.Error())
	}
	return backoff(r.Attempts), nil
}

// broken tells the admins that an install does not accept us any more.
func (b *Bot) broken(ctx context.Context, i Install) error {
	once := "broken:" + i.String() + ":" + b.now().Format(time.RFC3339)
	return b.tellAdmins(ctx, once, &i, func(l cards.Lang) cards.Card { return cards.Broken(i.String(), l) })
}

// Alarm tells the admins something about an install, in the background and once.
func (b *Bot) Alarm(ctx context.Context, i Install, a Alarm) {
	b.after(ctx, "alarm", func(ctx context.Context) error {
		once := "alarm|" + i.String() + "|" + a.Once
		first, err := b.svc.First(ctx, once, b.now())
		if err != nil || !first {
			return err
		}
		args := maps.Clone(a.Args)
		if args == nil {
			args = map[string]string{}
		}
		args["install"] = i.String()
		return b.tellAdmins(ctx, once, nil, func(l cards.Lang) cards.Card { return cards.AdminAlarm(a.What, args, l) })
	})
}

// tellAdmins shows every admin a card where he can be reached; without is an
// install over which nobody can.
func (b *Bot) tellAdmins(ctx context.Context, once string, without *Install, card func(cards.Lang) cards.Card) error {
	accounts, err := b.svc.AdminAccounts(ctx)
	if err != nil {
		return err
	}
	var errs []error
	told := map[tickets.PersonID]bool{}
	for _, acc := range accounts {
		u, err := parseUser(acc.Ref)
		a := b.installs[u.Install]
		if err != nil || a == nil || without != nil && u.Install == *without || told[acc.Person] {
			continue
		}
		who, err := b.svc.ActorOf(ctx, acc.Ref)
		if err != nil {
			return err
		}
		lang := b.lang
		if who.Locale != "" {
			lang = cards.LangOf(who.Locale)
		}
		c, err := b.drawn(a, u.Install, false, card(lang))
		if err != nil {
			return err
		}
		ref, err := a.Post(ctx, Private(u), once, c)
		if err == nil {
			b.remember(ctx, a, Private(u).Lane(), "", ref, c)
		}
		told[acc.Person] = err == nil
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// parseUser reads what UserRef.String wrote.
func parseUser(s string) (UserRef, error) {
	p := strings.SplitN(s, "/", 3)
	if len(p) != 3 {
		return UserRef{}, fmt.Errorf("%q: %w", s, ErrBadRef)
	}
	return UserRef{Install{p[0], p[1]}, p[2]}, nil
}

// sending is one row made ready.
type sending struct {
	b     *Bot
	a     Adapter
	r     tickets.Out
	to    Dest
	place tickets.Place
	t     *tickets.Ticket
	e     *tickets.Event
	v     *tickets.View
}

func (b *Bot) prepare(ctx context.Context, a Adapter, to Dest, r tickets.Out) (*sending, error) {
	s := &sending{b: b, a: a, r: r, to: to}
	var err error
	if s.place, s.t, s.e, err = b.out.Load(ctx, r); err != nil {
		return nil, err
	}
	s.v, err = b.svc.View(ctx, s.t, b.now(), b.zone)
	return s, err
}

func (s *sending) send(ctx context.Context) (tickets.Sent, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*sendTime)
	defer cancel()
	switch s.r.Kind {
	case tickets.OutCard:
		return s.card(ctx)
	case tickets.OutRelay:
		return s.relay(ctx)
	}
	if s.e == nil {
		return tickets.Sent{Skip: true}, nil
	}
	c, err := s.notice(ctx)
	if err != nil {
		return tickets.Sent{}, err
	}
	return s.post(ctx, s.to, c)
}

// lang is the language of a place: of its reader where there is one, else of
// the group.
func (s *sending) lang(ctx context.Context) cards.Lang {
	locale := ""
	if s.to.User != "" {
		if a, err := s.b.svc.ActorOf(ctx, UserRef{s.to.Install, s.to.User}.String()); err == nil {
			locale = a.Locale
		}
	} else if g, err := s.b.svc.GroupOf(ctx, s.to.Lane()); err == nil {
		locale = g.Locale
	}
	if locale == "" {
		return s.b.lang
	}
	return cards.LangOf(locale)
}

// draw is the card of the place as the ticket is now, and how it is recorded
// that the place shows it.
func (s *sending) draw(ctx context.Context) (c cards.Card, done tickets.Sent, err error) {
	c = cards.Ticket(s.v, s.lang(ctx))
	switch s.place.Audience {
	case tickets.ForRequester:
		if err := s.hideHeld(ctx); err != nil {
			return c, done, err
		}
		c = cards.Receipt(s.v, s.lang(ctx))
	case tickets.ForAsk:
		if c, err = s.ask(ctx); err != nil {
			return c, done, err
		}
	case tickets.ForAlert:
		c = cards.BreachLine(s.v, s.lang(ctx))
	}
	c.Version = s.t.Version
	return c, tickets.Sent{Ref: s.place.Ref, Root: s.place.Thread, Shown: s.t.Version, Hash: fingerprint(c), Final: !s.t.Status.Open()}, nil
}

// once names the message that shows the place for the first time.
func (s *sending) once() string { return "card:" + s.place.ID + ":" + s.place.Hash }

// successorAfter is how long a message that cannot be changed stands before
// another one follows it, unless the ticket has come to its end.
const successorAfter = 24 * time.Hour

// later is the error of a card that is shown only then.
type later struct{ at tickets.Time }

func (l later) Error() string { return "card cannot be changed, its successor is not due yet" }

// card shows the ticket at a place as it is now, in place where it stands already.
func (s *sending) card(ctx context.Context) (tickets.Sent, error) {
	c, done, err := s.draw(ctx)
	if err != nil {
		return done, err
	}
	// What is recorded is not believed where an earlier attempt may have changed the
	// message without its being recorded: the ticket may look as before by now.
	if s.place.Ref != "" && s.place.Hash == done.Hash && s.r.Attempts == 0 {
		return done, nil
	}
	ready, err := s.ready(c)
	if err != nil {
		return done, err
	}
	if s.place.Ref != "" {
		ref, err := s.a.Update(ctx, MessageRef(s.place.Ref), ready)
		switch {
		case errors.Is(err, ErrFixed) && s.place.Audience == tickets.ForAsk:
			done.Skip = true // a press on it is answered with how it stands
			return done, nil
		case errors.Is(err, ErrFixed):
			told, err := s.toldTheEnd(ctx, done.Final)
			if err != nil || told {
				done.Skip = true
				return done, err
			}
			next := s.place.Posted.Add(successorAfter)
			if next.Go().After(s.b.now()) && !done.Final {
				// Where nothing can ever be pressed, a card is all that tells of a turn.
				turned := false
				if !s.a.Caps().Edits && s.place.Audience == tickets.ForTeam {
					if turned, err = s.b.out.Turned(ctx, s.t.ID, s.place.Shown); err != nil {
						return done, err
					}
				}
				if !turned {
					return done, later{next}
				}
			}
			if ready, err = s.ready(cards.Compact(c)); err != nil {
				return done, err
			}
			if err := s.b.replaced(ctx, s.place); err != nil {
				return done, err
			}
		case !errors.Is(err, ErrGone):
			done.Ref = string(ref)
			if err == nil {
				s.b.remember(ctx, s.a, s.r.Lane, MessageRef(s.place.Ref), ref, ready)
			}
			return done, err
		}
		// Deleted, or not to be changed any more: it is shown anew, once.
		if err := s.b.out.Gone(ctx, s.place.ID, true); err != nil {
			return done, err
		}
		s.place.Ref, s.place.Hash = "", uuid.NewString()
	}
	to := s.to
	to.Thread = MessageRef(s.place.Thread)
	ref, err := s.postOnce(ctx, to, s.once(), ready)
	done.Ref, done.Fresh = string(ref), true
	if done.Root == "" {
		done.Root = string(ref)
	}
	if err == nil {
		s.urge(ctx, ref)
	}
	return done, err
}

// toldTheEnd reports whether those who read the place know already that the
// ticket has come to its end: a card there says so, or they were asked whether it
// has in a message of its own.
func (s *sending) toldTheEnd(ctx context.Context, ended bool) (bool, error) {
	if !ended || s.place.Final || s.place.Audience != tickets.ForRequester {
		return ended && s.place.Final, nil
	}
	places, err := s.b.svc.LanesOf(ctx, s.t.ID)
	return slices.ContainsFunc(places, func(p tickets.Place) bool { return p.Audience == tickets.ForAsk && p.Lane == s.place.Lane }), err
}

// urge rings, where the platform can, for whom a missed target of the most
// urgent kind concerns: its owner, or while it has none, the desk's leads.
func (s *sending) urge(ctx context.Context, ref MessageRef) {
	u, ok := s.a.(Urger)
	if !ok || s.place.Audience != tickets.ForAlert || s.t.Priority != 1 {
		return
	}
	who := []tickets.PersonID{s.t.Owner}
	if s.t.Owner == "" {
		var err error
		if who, err = s.b.svc.Leads(ctx, s.t.Desk); err != nil {
			s.b.log.Warn("nobody was rung for", "ticket", string(s.t.ID), "err", err)
			return
		}
	}
	var users []string
	for _, p := range who {
		ids, err := s.accounts(ctx, p)
		if err != nil {
			s.b.log.Warn("nobody was rung for", "ticket", string(s.t.ID), "err", err)
			return
		}
		users = append(users, ids...)
	}
	if len(users) == 0 {
		return
	}
	if err := u.Urge(ctx, ref, users); err != nil { // the line itself has been posted, and mentions them
		s.b.metrics.HintFailed(s.to.Install.Platform)
		s.b.log.Warn("platform did not ring", "install", s.to.Install.String(), "err", err)
	}
}

// ask is the question whether it is solved; once that is answered, only the answer.
func (s *sending) ask(ctx context.Context) (cards.Card, error) {
	if s.t.Status != tickets.Solved {
		if s.t.Status.Open() {
			return cards.NotSolved(s.v, s.lang(ctx)), nil
		}
		c := cards.Receipt(s.v, s.lang(ctx))
		c.Actions, c.More = nil, nil
		return c, nil
	}
	by := ""
	if s.t.Solution != nil {
		by = s.v.Name(s.t.Solution.By)
	}
	c := cards.RequesterNotice(tickets.SolvedBy, s.v, by, s.lang(ctx))
	var err error
	c.Ping, err = s.accounts(ctx, s.t.Requester)
	return c, err
}

// hideHeld keeps a reply that can still be taken back off the requester's card.
// When it is sent, the card is shown anew.
func (s *sending) hideHeld(ctx context.Context) error {
	if s.v.Said == nil {
		return nil
	}
	held, err := s.b.svc.HeldReply(ctx, s.t.ID)
	if held != 0 && held <= s.v.Said.Seq {
		s.v.Said = nil
	}
	return err
}

// ready cuts and seals a card for this destination.
func (s *sending) ready(c cards.Card) (cards.Card, error) {
	return s.b.drawn(s.a, s.to.Install, s.to.User == "", c)
}

// postOnce posts, unless an earlier attempt whose answer was lost did.
func (s *sending) postOnce(ctx context.Context, to Dest, once string, c cards.Card) (MessageRef, error) {
	if s.r.Attempts > 0 {
		if f, ok := s.a.(Finder); ok {
			ref, err := f.Find(ctx, to, once)
			if err != nil {
				return "", fmt.Errorf("look for a lost message: %w", err)
			}
			if ref != "" {
				if ref, err = s.a.Update(ctx, ref, c); err == nil {
					s.b.remember(ctx, s.a, s.r.Lane, "", ref, c)
				}
				return ref, err
			}
		}
	}
	if err := s.b.limits.wait(ctx, s.a, to); err != nil {
		return "", err
	}
	ref, err := s.a.Post(ctx, to, once, c)
	if err == nil {
		s.b.remember(ctx, s.a, s.r.Lane, "", ref, c)
	}
	return ref, err
}

func (s *sending) post(ctx context.Context, to Dest, c cards.Card) (tickets.Sent, error) {
	c, err := s.ready(c)
	if err != nil {
		return tickets.Sent{}, err
	}
	ref, err := s.postOnce(ctx, to, s.r.ID, c)
	return tickets.Sent{Ref: string(ref)}, err
}

// thread is where words about the ticket go at the row's place.
func (s *sending) thread() Dest {
	to := s.to
	if caps := s.a.Caps(); !caps.Threads || caps.OnTop && s.place.Audience != tickets.ForTeam {
		return to
	}
	to.Thread = MessageRef(s.place.Thread)
	if to.Thread == "" {
		to.Thread = MessageRef(s.place.Root)
	}
	return to
}

// relay says what somebody wrote in the thread of a place.
func (s *sending) relay(ctx context.Context) (tickets.Sent, error) {
	if s.e == nil {
		return tickets.Sent{Skip: true}, nil
	}
	switch s.e.Kind {
	case tickets.Amended:
		return s.relayEdit(ctx)
	case tickets.Attached:
		return s.relayFiles(ctx)
	}
	if textOf(s.e) == "" && (s.e.Words == nil || len(s.e.Words.Files) == 0) {
		return tickets.Sent{Skip: true}, nil // a question that came back without an answer
	}
	c, err := s.words(ctx, s.e, textOf(s.e))
	if err != nil {
		return tickets.Sent{}, err
	}
	if c.Ping, err = s.accounts(ctx, s.pinged()); err != nil {
		return tickets.Sent{}, err
	}
	return s.post(ctx, s.thread(), c)
}

// pinged is who is notified of words that are relayed: whom they are for, unless
// he wrote them himself or hears of them in private as well.
func (s *sending) pinged() tickets.PersonID {
	who := s.t.Owner
	if s.place.Audience == tickets.ForRequester {
		who = s.t.Requester
	}
	switch s.e.Kind {
	case tickets.Rejected, tickets.Reopened, tickets.Answered:
		return ""
	}
	if who == s.e.By {
		return ""
	}
	return who
}

func textOf(e *tickets.Event) string {
	if e.Words == nil {
		return ""
	}
	if e.Words.Text != "" {
		return e.Words.Text
	}
	return e.Words.Reason
}

func (s *sending) words(ctx context.Context, e *tickets.Event, text string) (cards.Card, error) {
	names, err := s.b.svc.Names(ctx, e.By)
	if err != nil {
		return cards.Card{}, err
	}
	var files []tickets.File
	if e.Words != nil {
		files = e.Words.Files
	}
	team := ""
	if e.Kind == tickets.Replied {
		team = s.v.Desk.Name
		if s.v.Team != "" {
			team = s.v.Team
		}
	}
	return cards.Relay(s.t.Number, names[e.By], team, text, files, s.lang(ctx)), nil
}

// relayEdit has what was relayed follow its source.
func (s *sending) relayEdit(ctx context.Context) (tickets.Sent, error) {
	refs, err := s.b.out.SentAs(ctx, s.r.Lane, s.r.Ticket, s.e.Facts.Seq)
	if err != nil || len(refs) == 0 {
		return tickets.Sent{Skip: true}, err
	}
	orig, err := s.b.svc.Event(ctx, s.r.Ticket, s.e.Facts.Seq)
	if err != nil {
		return tickets.Sent{}, err
	}
	for _, ref := range refs {
		if d, ok := s.a.(Deleter); ok && s.e.Facts.Gone {
			err := d.Delete(ctx, MessageRef(ref))
			if err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrFixed) {
				return tickets.Sent{}, err
			}
			if !errors.Is(err, ErrFixed) {
				continue
			}
		}
		c, err := s.words(ctx, &orig, textOf(s.e))
		if err != nil {
			return tickets.Sent{}, err
		}
		if c, err = s.ready(c); err != nil {
			return tickets.Sent{}, err
		}
		switch _, err := s.a.Update(ctx, MessageRef(ref), c); {
		case errors.Is(err, ErrFixed) && !s.e.Facts.Gone:
			return s.correct(ctx, &orig) // once, however many messages carried the words
		case err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrFixed):
			return tickets.Sent{}, err
		}
	}
	return tickets.Sent{}, nil
}

// correct says anew what was edited, where what was said cannot be changed.
func (s *sending) correct(ctx context.Context, orig *tickets.Event) (tickets.Sent, error) {
	c, err := s.words(ctx, orig, textOf(s.e))
	if err != nil {
		return tickets.Sent{}, err
	}
	if s.place, err = s.placeHere(ctx); err != nil {
		return tickets.Sent{}, err
	}
	return s.post(ctx, s.thread(), cards.Corrected(c))
}

// placeHere is where the ticket shows in the row's lane, for rows that name no place.
func (s *sending) placeHere(ctx context.Context) (tickets.Place, error) {
	places, err := s.b.svc.LanesOf(ctx, s.t.ID)
	for _, p := range places {
		if p.Lane == s.r.Lane {
			return p, nil
		}
	}
	return s.place, err
}

// relayFiles puts the files of an event into the thread of a place.
func (s *sending) relayFiles(ctx context.Context) (tickets.Sent, error) {
	f, ok := s.a.(FileCarrier)
	if !ok || s.e.Words == nil {
		return tickets.Sent{Skip: true}, nil
	}
	if gone, err := s.b.svc.Retracted(ctx, s.r.Ticket, s.e.Facts.Seq); err != nil || gone {
		return tickets.Sent{Skip: true}, err
	}
	var last MessageRef
	for i, file := range s.e.Words.Files {
		content, err := s.b.svc.Blob(ctx, file.Hash)
		if err != nil {
			return tickets.Sent{}, err
		}
		last, err = f.SendFile(ctx, s.thread(), fmt.Sprintf("%s.%d", s.r.ID, i), file.Name, int64(len(content)), bytes.NewReader(content))
		if err != nil {
			return tickets.Sent{}, err
		}
	}
	s.b.remember(ctx, s.a, s.r.Lane, "", last, cards.Card{})
	return tickets.Sent{Ref: string(last)}, nil
}

// notice is what one person, or a group in one line, is told of an event.
func (s *sending) notice(ctx context.Context) (cards.Card, error) {
	f := s.e.Facts
	names, err := s.b.svc.Names(ctx, s.e.By)
	if err != nil {
		return cards.Card{}, err
	}
	args := cards.NoticeArgs{By: names[s.e.By], Due: f.Until}
	if f.Owner == "" {
		args.Team = f.Team
	}
	if s.e.Words != nil {
		args.Reason, args.Text = s.e.Words.Reason, s.e.Words.Text
	}
	if s.r.Kind == tickets.OutStuck {
		return cards.Stuck(s.v, args.Text, s.lang(ctx)), nil
	}
	if s.r.Kind == tickets.OutLine {
		return cards.Line(s.e.Kind, s.v, args, s.lang(ctx)), nil
	}
	return cards.Notice(s.e.Kind, s.v, args, s.lang(ctx)), nil
}

// accounts are a person's ids on the row's install, so that he can be notified.
func (s *sending) accounts(ctx context.Context, p tickets.PersonID) ([]string, error) {
	if p == "" {
		return nil, nil
	}
	all, err := s.b.svc.AccountsOf(ctx, p)
	if err != nil {
		return nil, err
	}
	prefix := s.to.Install.String() + "/"
	for _, a := range all {
		if id, ok := strings.CutPrefix(a.Ref, prefix); ok {
			return []string{id}, nil // one is enough to reach him
		}
	}
	return nil, nil
}

// fingerprint tells whether two cards look alike: what buttons carry differs
// with every version, and does not show.
func fingerprint(c cards.Card) string {
	c.Version = 0
	plain := func(in []cards.Action) []cards.Action {
		out := slices.Clone(in)
		for i := range out {
			out[i].Act.Version = 0
		}
		return out
	}
	c.Actions, c.More = plain(c.Actions), plain(c.More)
	c.Rows = slices.Clone(c.Rows)
	for i := range c.Rows {
		c.Rows[i].Actions = plain(c.Rows[i].Actions)
	}
	c.Facts = slices.Clone(c.Facts)
	for i := range c.Facts {
		if a := c.Facts[i].Action; a != nil {
			c.Facts[i].Action = &plain([]cards.Action{*a})[0]
		}
	}
	b, err := json.Marshal(c)
	if err != nil { // nothing in a card can fail to be encoded
		panic(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
