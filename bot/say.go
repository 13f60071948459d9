package bot

import (
	"context"
	"errors"
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
	k, err := t.place(ctx)
	if err != nil {
		return Reply{}, err
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
	if in.Verb != VerbNone && in.Verb != VerbUnknown && in.Verb != VerbPick {
		return t.intent(ctx, in, k)
	}
	return t.words(ctx, tk, k)
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
	if k.ticket != "" {
		tk, err := t.b.svc.Ticket(ctx, k.ticket)
		if err != nil {
			return t.refused(ctx, err, cards.Act{})
		}
		return t.words(ctx, tk, k)
	}
	asks := k.group.Use == "intake" || t.ev.Private && !t.actor.Anywhere()
	if in.Verb == VerbUnknown || !asks || tickets.Chatter(t.ev.Text) && len(t.ev.Files) == 0 {
		c := cards.Help(t.lang(), t.actor.Anywhere())
		return Reply{Hint: &c}, nil
	}
	if t.ev.Private {
		if r, done, err := t.goOn(ctx); done || err != nil {
			return r, err
		}
	}
	return t.request(ctx, k)
}

// goOn adds what a requester writes in private to the open ticket that he asked
// for there: in a chat without threads that is what he means.
func (t *turn) goOn(ctx context.Context) (Reply, bool, error) {
	rows, _, err := t.b.svc.Mine(ctx, t.actor, 1)
	if err != nil || len(rows) == 0 || t.b.now().Sub(rows[0].Created.Go()) > 24*time.Hour {
		return Reply{}, false, err
	}
	r, err := t.run(ctx, rows[0].ID, tickets.Say{Text: t.ev.Text, Files: t.files()}, cards.Act{})
	return r, true, err
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
	return err == nil && g.Use == "triage" && g.Desk == desk
}

// origin is where the requester's card goes: into the thread of what he wrote.
func (t *turn) origin() tickets.Origin {
	o := tickets.Origin{Lane: t.lane()}
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
	if tickets.CodeOf(err) == tickets.NotFound && t.ev.Thread != "" {
		id, _, err = t.b.svc.ByThread(ctx, t.lane(), string(t.ev.Thread))
	}
	if tickets.CodeOf(err) == tickets.NotFound {
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
	return t.openForm(ctx, k.group.Desk, "", tickets.Open{Body: t.ev.Text, Title: firstLine(t.ev.Text)}, false)
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
		c := cards.Welcome(t.lang())
		if err := t.b.seal.Seal(&c, t.install.String()); err != nil {
			return err
		}
		_, err := t.adapter.Post(ctx, To(conv), "welcome:"+t.ev.ID, cards.Fit(c, t.adapter.Caps()))
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
			if _, err := b.ensure(ctx, a, u, ""); err != nil {
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
