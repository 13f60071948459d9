package bot

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// What people write. A message means something by where it stands: in a
// ticket's thread it belongs to that ticket, at the top of an intake group it is
// a request, and only what is said to the bot is searched for a verb elsewhere.

// talk is a message with what is known about its place.
type talk struct {
	ticket   tickets.TicketID // of the thread or the quote; "" = none
	audience tickets.Audience // whom the thread shows the ticket to; "" = not a card's thread
	group    tickets.Group
}

func (t *turn) place(ctx context.Context) (talk, error) {
	var k talk
	var err error
	if !t.ev.Private {
		if k.group, err = t.b.svc.GroupOf(ctx, t.lane()); err != nil {
			return k, err
		}
	}
	for _, root := range []MessageRef{t.ev.Thread, t.ev.Quote} {
		if root == "" || k.ticket != "" {
			continue
		}
		k.ticket, k.audience, err = t.b.svc.ByThread(ctx, t.lane(), string(root))
		if err != nil && tickets.CodeOf(err) != tickets.NotFound {
			return k, err
		}
	}
	if n := FindNumber(t.ev.QuoteText); k.ticket == "" && n != 0 {
		if err := t.who(ctx); err != nil {
			return k, err
		}
		tk, err := t.b.svc.Find(ctx, t.actor, n)
		if err == nil {
			k.ticket = tk.ID
		} else if tickets.CodeOf(err) == "" {
			return k, err
		}
	}
	if k.ticket != "" && k.audience == "" {
		if k.audience, err = t.audience(ctx, k.ticket); err != nil {
			return k, err
		}
	}
	if k.ticket == "" && t.ev.Thread != "" && k.group.Use != "" {
		return k, t.notYet(ctx)
	}
	return k, nil
}

// notYetFor is how long a card that was begun to be posted may turn out to be
// the one that somebody has answered already.
const notYetFor = 10 * time.Minute

// notYet is an error where a card may stand in the event's lane that we do not
// know by its name: people can see it before that is recorded, and a crash in
// between makes it many seconds. The platform is asked to send the event again,
// for an answer to a card must not be taken for talk that concerns nobody.
func (t *turn) notYet(ctx context.Context) error {
	unsure, err := t.b.svc.Posting(ctx, t.lane(), tickets.At(t.b.now().Add(-notYetFor)))
	if err == nil && unsure {
		return ErrNotYet
	}
	return err
}

// audience is whom what is said here about a ticket reaches: a thread below some
// message about it is for whoever reads its card in this place. Where both the
// team and the requester do, it is the team's.
func (t *turn) audience(ctx context.Context, id tickets.TicketID) (tickets.Audience, error) {
	places, err := t.b.svc.LanesOf(ctx, id)
	found := tickets.Audience("")
	for _, p := range places {
		switch {
		case p.Lane != t.lane():
		case p.Audience == tickets.ForTeam:
			return tickets.ForTeam, nil
		case p.Audience == tickets.ForRequester:
			found = tickets.ForRequester
		}
	}
	return found, err
}

func (t *turn) message(ctx context.Context) (Reply, error) {
	if r, done, err := t.replied(ctx); done || err != nil {
		return r, err
	}
	k, err := t.place(ctx)
	if err != nil {
		return Reply{}, err
	}
	if r, done, err := t.picked(ctx, k); done || err != nil {
		return r, err
	}
	if k.ticket != "" && !t.ev.ToBot || k.ticket != "" && t.ev.Private {
		return t.inThread(ctx, k)
	}
	if t.ev.ToBot {
		in := Parse(t.ev.Text, t.ev.Mentions, t.b.now(), t.b.zone)
		if in.Verb != VerbNone && in.Verb != VerbUnknown {
			return t.intent(ctx, in, k)
		}
		return t.talkToBot(ctx, in, k)
	}
	if k.group.Use == "intake" && t.ev.Thread == "" {
		return t.request(ctx, k)
	}
	return Reply{}, nil
}

// inThread is somebody writing into a ticket's thread without the bot's name: a
// verb where it clearly is one, else words for the team or for the requester.
func (t *turn) inThread(ctx context.Context, k talk) (Reply, error) {
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	tk, err := t.b.svc.Ticket(ctx, k.ticket)
	if err != nil {
		return t.refused(ctx, err, cards.Act{})
	}
	in := Parse(t.ev.Text, t.ev.Mentions, t.b.now(), t.b.zone)
	if t.ev.ToBot && in.Verb != VerbNone && in.Verb != VerbUnknown && in.Verb != VerbPick || t.orders(in, tk) {
		return t.intent(ctx, in, k)
	}
	return t.words(ctx, tk, k)
}

// orders reports whether what was said without the bot's name is meant for it
// all the same. Words that people also use among themselves are not, and nobody
// is refused in a talk for a word that only others could use as a verb.
func (t *turn) orders(in Intent, tk *tickets.Ticket) bool {
	switch in.Verb {
	case VerbNone, VerbUnknown, VerbPick, VerbSettings, VerbLevel, VerbLink, VerbUnlink, VerbAdmin, VerbOnCall, tickets.VerbHelp:
		return false
	case tickets.VerbSolve:
		return reSolve.MatchString(t.ev.Text) && t.may(in.Verb, tk)
	case tickets.VerbClose, tickets.VerbWithdraw, tickets.VerbArchive:
		return in.Text == "" && t.may(in.Verb, tk)
	}
	return t.may(in.Verb, tk)
}

// reSolve is how an owner says in his team's talk that it is solved; «完成 50%»
// and «done with the first part» are none.
var reSolve = regexp.MustCompile(`(?i)^\s*(?:已?解决|solved?\b|resolved?\b)`)

// may reports whether the actor is somebody who uses the verb at all: whoever
// works at the desk, and of its own verbs, the requester.
func (t *turn) may(v tickets.Verb, tk *tickets.Ticket) bool {
	switch {
	case t.actor.Works(tk.Desk):
		return true
	case v == tickets.VerbSolve:
		return t.actor.Me(tk.Requester) || t.actor.Me(tk.OpenedBy)
	}
	return tickets.Authorize(t.actor, v, tk) == nil
}

// words decides whom plain words in a thread are for. In the team's thread they
// are for the team unless they begin with 📣; in the requester's they are public
// because everybody there has read them.
func (t *turn) words(ctx context.Context, tk *tickets.Ticket, k talk) (Reply, error) {
	text, files := t.ev.Text, t.files()
	if strings.TrimSpace(text) == "" && len(files) == 0 {
		return Reply{}, nil
	}
	mine := t.actor.Me(tk.Requester) || t.actor.Me(tk.OpenedBy)
	var c tickets.Command
	switch {
	case mine && k.audience != tickets.ForTeam:
		c = tickets.Say{Text: text, Files: files}
	case (k.audience == tickets.ForRequester || k.audience == tickets.ForAsk) && t.actor.Works(tk.Desk):
		c = tickets.Reply{Text: text, Files: files}
	case t.actor.Works(tk.Desk) || tk.HelpedBy(t.actor):
		c = tickets.Note{Text: text, Files: files}
	default:
		return Reply{}, nil // a bystander in a thread: nobody asked us to keep that
	}
	return t.run(ctx, tk.ID, c, cards.Act{})
}

// talkToBot is something said to the bot that is no verb.
func (t *turn) talkToBot(ctx context.Context, in Intent, k talk) (Reply, error) {
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	if k.ticket == "" && in.Verb == VerbNone && in.Number != 0 {
		if err := t.addressed(ctx, in.Number, &k); err != nil {
			return Reply{}, err
		}
	}
	if k.ticket != "" {
		tk, err := t.b.svc.Ticket(ctx, k.ticket)
		if err != nil {
			return t.refused(ctx, err, cards.Act{})
		}
		return t.words(ctx, tk, k)
	}
	asks := k.group.Use == "intake" || t.ev.Private && !t.actor.Anywhere()
	if in.Verb != VerbUnknown && thanks.MatchString(t.ev.Text) && len(t.ev.Files) == 0 {
		if t.ev.Private && asks && !tickets.Chatter(t.ev.Text) { // «好的，下午三点在家» says more than thanks
			r, _, err := t.goOn(ctx)
			return r, err
		}
		return Reply{}, nil // nothing to be said to that
	}
	nothing := strings.TrimSpace(t.ev.Text) == "" || tickets.Chatter(t.ev.Text)
	if in.Verb == VerbUnknown || !asks || nothing && len(t.ev.Files) == 0 {
		return t.intent(ctx, Intent{Verb: VerbUnknown, Key: in.Key, Number: in.Number, Text: t.ev.Text}, k)
	}
	if t.ev.Private {
		if r, done, err := t.goOn(ctx); done || err != nil {
			return r, err
		}
	}
	return t.request(ctx, k)
}

// addressed takes the ticket's number off the front of what was said: «#1024 好的»
// is said about that ticket, as if in its thread. What only looks like a number
// of a ticket that the actor may see stays.
func (t *turn) addressed(ctx context.Context, number int64, k *talk) error {
	tk, err := t.b.svc.Find(ctx, t.actor, number)
	if err != nil {
		if tickets.CodeOf(err) != "" {
			return nil
		}
		return err
	}
	if k.audience, err = t.audience(ctx, tk.ID); err != nil {
		return err
	}
	k.ticket, t.ev.Text = tk.ID, afterNumber(t.ev.Text)
	return nil
}

// thanks is what ends a talk.
var thanks = regexp.MustCompile(`(?i)^[\s!！.。~，,]*(谢谢|多谢|感谢|辛苦|好的|收到|明白|了解|ok\b|okay\b|thanks?\b|thank you|thx\b|got it)[^?？]{0,12}$`)

// goOnWithin is how long a private chat without threads is about the ticket that
// was asked for there last.
const goOnWithin = 24 * time.Hour

// goOn adds what a requester writes in private to the open ticket that he asked
// for there: where a chat has no threads that is what he means. He is told, for
// it may not be.
func (t *turn) goOn(ctx context.Context) (Reply, bool, error) {
	if caps := t.adapter.Caps(); caps.Threads && !caps.OnTop {
		return Reply{}, false, nil
	}
	rows, _, err := t.b.svc.AskedBy(ctx, t.actor, 5)
	if err != nil {
		return Reply{}, false, err
	}
	for _, row := range rows {
		age := t.b.now().Sub(row.Created.Go())
		if !row.Status.Open() || age > goOnWithin || age < tickets.BurstWithin || !t.inRequesterPlace(ctx, row.ID) {
			continue
		}
		tk, err := t.b.svc.Ticket(ctx, row.ID)
		if err != nil || !t.actor.Me(tk.OpenedBy) {
			return Reply{}, false, err // somebody else opened it for him
		}
		r, err := t.run(ctx, row.ID, tickets.Say{Text: t.ev.Text, Files: t.files()}, cards.Act{})
		if err == nil && r.Hint == nil && r.Toast == "" {
			v, err := t.view(ctx, tk)
			if err != nil {
				return r, true, err
			}
			r.Toast = cards.SaidLine(v, t.lang())
		}
		return r, true, err
	}
	return Reply{}, false, nil
}

// request opens a ticket of what somebody wrote at the top of an intake group or
// in private. Greetings and thanks open none, nor does what the desk's own
// people write there.
func (t *turn) request(ctx context.Context, k talk) (Reply, error) {
	if tickets.Chatter(t.ev.Text) && len(t.ev.Files) == 0 || strings.TrimSpace(t.ev.Text) == "" && len(t.ev.Files) == 0 {
		return Reply{}, nil
	}
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	desk, err := t.desk(ctx, k.group.Desk)
	if err != nil {
		return t.refused(ctx, err, cards.Act{})
	}
	if !t.ev.ToBot && (desk.Mentions || t.actor.Works(desk.Key)) {
		return Reply{}, nil
	}
	return t.open(ctx, tickets.Open{Desk: desk.Key, Body: t.ev.Text, Files: t.files()}, true)
}

// desk is the desk with that key, or the first one.
func (t *turn) desk(ctx context.Context, key tickets.DeskKey) (tickets.Desk, error) {
	desks, err := t.b.svc.Desks(ctx)
	if err != nil {
		return tickets.Desk{}, err
	}
	for _, d := range desks {
		if d.Key == key || key == "" {
			return d, nil
		}
	}
	return tickets.Desk{}, tickets.Refuse(tickets.NoSuchDesk, "desk", string(key))
}

// open makes the ticket and shows it where it was asked for.
func (t *turn) open(ctx context.Context, c tickets.Open, burst bool) (Reply, error) {
	res, err := t.do(ctx, tickets.Request{
		Command: c, Origin: t.origin(), Message: string(t.ev.Message),
		Burst: burst && !t.ev.Private || burst && t.ev.Thread == "",
	})
	if err != nil {
		return t.refused(ctx, err, cards.Act{Verb: c.Verb(), Arg: string(c.Desk)})
	}
	if res.Joined || t.origin().Lane != "" && c.For == "" && !t.inTeam(ctx, c.Desk) {
		return Reply{}, nil // the receipt tells him
	}
	v, err := t.view(ctx, res.Ticket)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Toast: cards.OpenedLine(v, t.lang())}, nil
}

func (t *turn) inTeam(ctx context.Context, desk tickets.DeskKey) bool {
	g, err := t.b.svc.GroupOf(ctx, t.lane())
	t.unsure("what a group is for", err)
	return err == nil && g.Use == "triage" && g.Desk == desk
}

// origin is where the requester's card goes: into the thread of what he wrote.
func (t *turn) origin() tickets.Origin {
	o := tickets.Origin{Lane: t.lane(), Theirs: t.ev.Kind == Reacted}
	if t.ev.Conv.IsZero() && !t.ev.Private && t.ev.Kind != Message {
		o.Lane = Private(t.ev.User).Lane() // from a form or a page of the bot's own
	}
	if caps := t.adapter.Caps(); !caps.Threads || caps.OnTop {
		return o
	}
	switch {
	case t.ev.Thread != "":
		o.Thread = string(t.ev.Thread)
	case t.ev.Kind == Message || t.ev.Kind == Reacted || t.ev.Kind == Shortcut:
		o.Thread = string(t.ev.Message)
	}
	return o
}

// files are the event's files as the core keeps them; their content follows.
func (t *turn) files() []tickets.File {
	var out []tickets.File
	for _, f := range t.ev.Files {
		out = append(out, tickets.File{Name: f.Name, Type: f.Type, Size: f.Size, Ref: fileRef(f)})
	}
	return out
}

// amended follows an edit or a deletion of something that became an event.
func (t *turn) amended(ctx context.Context) (Reply, error) {
	m, err := t.b.svc.ByMessage(ctx, t.lane(), string(t.ev.Message))
	if tickets.CodeOf(err) == tickets.NotFound || err == nil && m.Sent {
		return Reply{}, nil
	}
	if err != nil {
		return Reply{}, err
	}
	_, err = t.do(ctx, tickets.Request{Ticket: m.Ticket, Command: tickets.Amend{Seq: m.Seq, Text: t.ev.Text, Deleted: t.ev.Kind == Deleted}})
	if tickets.CodeOf(err) != "" {
		return Reply{}, nil // an edit is no request: there is nobody to tell that it was refused
	}
	return Reply{}, err
}

// reacted is an emoji put on a message: a verb for the ticket that the message
// shows or belongs to, or, with 🎫, a ticket made of it.
func (t *turn) reacted(ctx context.Context) (Reply, error) {
	verb := ParseEmoji(t.ev.Emoji, t.b.emoji)
	if verb == VerbNone {
		return Reply{}, nil
	}
	id, _, err := t.b.svc.ByThread(ctx, t.lane(), string(t.ev.Message))
	if tickets.CodeOf(err) == tickets.NotFound { // a card within the thread of what was asked
		id, err = t.b.svc.ByCard(ctx, t.lane(), string(t.ev.Message))
	}
	if tickets.CodeOf(err) == tickets.NotFound && t.ev.Thread != "" {
		id, _, err = t.b.svc.ByThread(ctx, t.lane(), string(t.ev.Thread))
	}
	if tickets.CodeOf(err) == tickets.NotFound {
		if verb == tickets.VerbOpen {
			return t.openOf(ctx)
		}
		return Reply{}, t.notYet(ctx)
	}
	if err != nil {
		return Reply{}, err
	}
	in := Intent{Verb: verb}
	switch verb {
	case tickets.VerbPriority:
		in.Priority = 1
	case tickets.VerbOpen:
		return Reply{}, nil // it is one already
	case tickets.VerbHold:
		in.For = 2 * time.Hour
	}
	return t.intent(ctx, in, talk{ticket: id})
}

// openOf makes a ticket of the message that somebody put 🎫 on: for whoever
// wrote it. It is done where requests come up, and elsewhere for agents only:
// the same emoji means other things to other people.
func (t *turn) openOf(ctx context.Context) (Reply, error) {
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	k, err := t.place(ctx)
	if err != nil || k.group.Use != "intake" && !t.actor.Anywhere() {
		return Reply{}, err
	}
	said := Said{User: t.ev.Author, Text: t.ev.Text, Files: t.ev.Files}
	if r, ok := t.adapter.(Reader); ok {
		said, err = r.ReadMessage(ctx, t.ev.Message)
		if errors.Is(err, ErrGone) {
			return Reply{}, nil // a bot wrote it, or it has been deleted
		}
		if err != nil {
			return Reply{}, err
		}
	}
	if said.User.IsZero() {
		return Reply{}, nil
	}
	r, _, err := t.openSaid(ctx, said, k)
	return r, err
}

// quoted is the message that the event quotes or stands below, where it is not
// about a ticket already.
func (t *turn) quoted(ctx context.Context, k talk) (Said, error) {
	ref := t.ev.Quote
	if ref == "" {
		ref = t.ev.Thread
	}
	if k.ticket != "" || ref == "" && t.ev.QuoteText == "" {
		return Said{}, nil
	}
	if r, ok := t.adapter.(Reader); ok && ref != "" {
		said, err := r.ReadMessage(ctx, ref)
		if !errors.Is(err, ErrGone) { // a bot wrote it, or it has been deleted
			return said, err
		}
	}
	return Said{Text: t.ev.QuoteText}, nil
}

// openSaid opens a ticket of what somebody said, for whoever it was. done is
// false where nothing was.
func (t *turn) openSaid(ctx context.Context, said Said, k talk) (r Reply, done bool, err error) {
	if strings.TrimSpace(said.Text) == "" && len(said.Files) == 0 {
		return Reply{}, false, nil
	}
	desk, err := t.desk(ctx, k.group.Desk)
	if err != nil {
		r, err := t.refused(ctx, err, cards.Act{})
		return r, true, err
	}
	t.ev.Files = said.Files
	c := tickets.Open{Desk: desk.Key, Body: said.Text, Files: t.files()}
	if !said.User.IsZero() && said.User != t.ev.User {
		if c.For, err = t.person(ctx, said.User, ""); err != nil {
			return Reply{}, true, err
		}
	}
	r, err = t.open(ctx, c, false)
	return r, true, err
}

func (t *turn) slash(ctx context.Context) (Reply, error) {
	k, err := t.place(ctx)
	if err != nil {
		return Reply{}, err
	}
	in := ParseSlash(t.ev.Text, t.ev.Mentions, t.b.now(), t.b.zone)
	return t.intent(ctx, in, k)
}

// shortcut is the platform's own entry: a form with what it was called on.
func (t *turn) shortcut(ctx context.Context) (Reply, error) {
	k, err := t.place(ctx)
	if err != nil {
		return Reply{}, err
	}
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	another := !t.ev.Author.IsZero() && t.ev.Author != t.ev.User && t.actor.Anywhere()
	r, err := t.openForm(ctx, k.group.Desk, "", tickets.Open{Body: t.ev.Text, Title: firstLine(t.ev.Text)}, another)
	if another && err == nil && r.Form != nil {
		c := cards.WithValues(*r.Form, map[string]string{cards.InFor: t.ev.Author.ID})
		r.Form = &c
	}
	return r, err
}

func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			if r := []rune(line); len(r) > 60 {
				return string(r[:59]) + "…"
			}
			return line
		}
	}
	return ""
}

// openForm asks for a new ticket.
func (t *turn) openForm(ctx context.Context, key tickets.DeskKey, typ string, pre tickets.Open, forAnother bool) (Reply, error) {
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	desk, err := t.desk(ctx, key)
	if err != nil {
		return t.refused(ctx, err, cards.Act{})
	}
	c := cards.OpenForm(desk, typ, pre, t.lang())
	if forAnother {
		c = cards.OpenForForm(desk, typ, pre, t.lang())
	}
	return Reply{Form: &c}, nil
}

// botMoved is the bot itself coming into a group or leaving it.
func (t *turn) botMoved(ctx context.Context) (Reply, error) {
	gone := t.ev.Kind == BotRemoved
	if err := t.b.svc.NoteGroup(ctx, t.lane(), "", gone); err != nil || gone {
		return Reply{}, err
	}
	conv := t.ev.Conv
	t.b.after(ctx, "welcome", func(ctx context.Context) error {
		c, err := t.b.drawn(t.adapter, t.install, true, cards.Welcome(t.lang()))
		if err != nil {
			return err
		}
		ref, err := t.adapter.Post(ctx, To(conv), "welcome:"+t.ev.ID, c)
		if err == nil {
			t.b.remember(ctx, t.adapter, To(conv).Lane(), "", ref, c)
		}
		return errors.Join(err, t.b.SyncGroup(ctx, conv))
	})
	return Reply{}, nil
}

// SyncGroup asks the platform what a group is called and who is in it: the
// members of a triage group are its desk's agents.
func (b *Bot) SyncGroup(ctx context.Context, conv ConvRef) error {
	a := b.installs[conv.Install]
	var errs []error
	if n, ok := a.(ConvNamer); ok {
		name, err := n.ConvName(ctx, conv)
		if err == nil {
			err = b.svc.NoteGroup(ctx, To(conv).Lane(), name, false)
		}
		errs = append(errs, err)
	}
	g, err := b.svc.GroupOf(ctx, To(conv).Lane())
	m, ok := a.(MemberLister)
	if err != nil || !ok || g.Use != "triage" {
		return errors.Join(append(errs, err)...)
	}
	members, err := m.Members(ctx, conv)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	var refs []string
	for _, u := range members {
		if known, err := b.svc.AccountOf(ctx, u.String()); errors.Is(err, tickets.ErrNoAccount) || err == nil && nameless(known.Name, u) {
			if _, err := b.ensure(ctx, a, User{Ref: u}, true); err != nil {
				return err
			}
		}
		refs = append(refs, u.String())
	}
	return errors.Join(append(errs, b.svc.SetMembers(ctx, g.Lane, refs, b.now()))...)
}

func parseNumber(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimLeft(strings.TrimSpace(s), "#＃"), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
