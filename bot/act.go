package bot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// run does a command on a ticket and says what the actor cannot see by himself.
func (t *turn) run(ctx context.Context, id tickets.TicketID, c tickets.Command, act cards.Act) (Reply, error) {
	r := tickets.Request{Ticket: id, Command: c, Origin: t.origin()}
	if t.ev.Kind == Message {
		r.Message = string(t.ev.Message)
	}
	if act.Verb == "" {
		act = cards.Act{Verb: c.Verb(), Ticket: id}
	}
	res, err := t.do(ctx, r)
	if err != nil {
		return t.refused(ctx, err, act)
	}
	return t.told(ctx, c, res)
}

// told is what the actor hears after his command was done: nothing, where he
// sees the card change. The ticket's view takes several queries, and the
// commonest acts need none.
func (t *turn) told(ctx context.Context, c tickets.Command, res tickets.Result) (Reply, error) {
	var out Reply
	id := res.Ticket.ID
	switch c.(type) {
	case tickets.Reply:
		if len(res.Events) > 0 && t.b.svc.HoldReplies > 0 && (t.ev.Kind != Message || !t.inRequesterPlace(ctx, id)) {
			v, err := t.view(ctx, res.Ticket)
			if err != nil {
				return Reply{}, err
			}
			held := cards.ReplyHeld(res.Events[0].Seq, int(t.b.svc.HoldReplies/time.Second), v, t.lang())
			out.Hint = &held
		}
	case tickets.Reveal:
		if key, value, ok := res.Reveal(); ok {
			v, err := t.view(ctx, res.Ticket)
			if err != nil {
				return Reply{}, err
			}
			card := cards.Revealed(v, key, value, t.lang())
			out.Hint = &card
		}
	case tickets.Reopen, tickets.Say, tickets.Split:
		if res.Opened != nil {
			v, err := t.view(ctx, res.Opened)
			if err != nil {
				return Reply{}, err
			}
			out.Toast = cards.OpenedLine(v, t.lang())
		}
	}
	said := (t.ev.Kind == Message || t.ev.Kind == Slash) && t.ev.ToBot
	if out.Empty() && (said && !t.shows(ctx, id, c.Verb()) || t.pressedLine(ctx, id)) {
		v, err := t.view(ctx, res.Ticket)
		if err != nil {
			return Reply{}, err
		}
		card := t.shown(v)
		out.Hint = &card
	}
	return out, nil
}

// pressedLine reports whether what was pressed is a line about the ticket in a
// group whose cards change in the answer to a press only: then nobody sees there
// what came of it, for neither the line nor the card above it changes.
func (t *turn) pressedLine(ctx context.Context, id tickets.TicketID) bool {
	f, ok := t.adapter.(Fixer)
	if t.ev.Kind != Click || t.ev.Private || !ok || !f.Fixed(To(t.ev.Conv)) {
		return false
	}
	places, err := t.b.svc.LanesOf(ctx, id)
	t.unsure("where a ticket shows", err)
	if err != nil || slices.ContainsFunc(places, func(p tickets.Place) bool { return p.Ref == string(t.ev.Message) && p.Audience != tickets.ForAlert }) {
		return false
	}
	was, err := t.b.shelf("cards").Get(ctx, t.lane()+"|"+string(t.ev.Message))
	t.unsure("what a message showed", err)
	return err == nil && was == ""
}

// unsure tells of a look-up that failed where "no" does no harm: at worst the
// actor is shown in private what he could see anyway.
func (t *turn) unsure(what string, err error) {
	if err != nil {
		t.b.log.Warn("look-up failed, taken for no", "what", what, "install", t.install.String(), "err", err)
	}
}

// shows reports whether the ticket's card stands where the event happened, and
// will show there what a verb does to it.
func (t *turn) shows(ctx context.Context, id tickets.TicketID, v tickets.Verb) bool {
	edits := t.adapter.Caps().Edits
	if f, ok := t.adapter.(Fixer); ok && !t.ev.Private && f.Fixed(To(t.ev.Conv)) || !edits && !turns[v] {
		return false
	}
	lanes, err := t.b.svc.LanesOf(ctx, id)
	t.unsure("where a ticket shows", err)
	return err == nil && slices.ContainsFunc(lanes, func(p tickets.Place) bool {
		return p.Lane == t.lane() && (edits || p.Audience == tickets.ForTeam)
	})
}

// turns are the verbs after which a new card stands even where none can be
// changed: see tickets.Outbox.Turned.
var turns = map[tickets.Verb]bool{
	tickets.VerbClaim: true, tickets.VerbAssign: true, tickets.VerbRelease: true, tickets.VerbEscalate: true, tickets.VerbHold: true,
	tickets.VerbReopen: true, tickets.VerbSolve: true, tickets.VerbClose: true,
}

func (t *turn) inRequesterPlace(ctx context.Context, id tickets.TicketID) bool {
	lanes, err := t.b.svc.LanesOf(ctx, id)
	t.unsure("where a ticket shows", err)
	return err == nil && slices.ContainsFunc(lanes, func(p tickets.Place) bool {
		return p.Lane == t.lane() && p.Audience == tickets.ForRequester
	})
}

// target finds the ticket that an intent is about: the number it names, the
// thread it stands in, or the only one it can be.
func (t *turn) target(ctx context.Context, in Intent, k talk) (tickets.TicketID, error) {
	if in.Number != 0 {
		tk, err := t.b.svc.Find(ctx, t.actor, in.Number)
		if err != nil {
			return "", err
		}
		return tk.ID, nil
	}
	if k.ticket != "" {
		return k.ticket, nil
	}
	rows, _, err := t.b.svc.AskedBy(ctx, t.actor, 2)
	if err != nil {
		return "", err
	}
	if byRequester[in.Verb] && len(rows) == 1 {
		return rows[0].ID, nil
	}
	return "", tickets.Refuse(tickets.NoNumber)
}

// byRequester are the verbs by which a requester means his own ticket when he
// names none and has only one.
var byRequester = map[tickets.Verb]bool{
	tickets.VerbUrge: true, tickets.VerbConfirm: true, tickets.VerbReject: true, tickets.VerbSay: true, tickets.VerbWithdraw: true,
	tickets.VerbSolve: true, tickets.VerbReopen: true,
}

// intent does what was said.
func (t *turn) intent(ctx context.Context, in Intent, k talk) (Reply, error) {
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	switch in.Verb {
	case VerbUnknown:
		if in.Key != "" {
			word, _, _ := strings.Cut(strings.TrimSpace(in.Text), " ")
			c := cards.Unknown(word, in.Key, in.Number, t.lang())
			return Reply{Hint: &c}, nil
		}
		c := cards.Help(t.lang(), t.actor.Anywhere())
		return Reply{Hint: &c}, nil
	case VerbNone, VerbPick, VerbOnCall, tickets.VerbHelp:
		c := cards.Help(t.lang(), t.actor.Anywhere())
		return Reply{Hint: &c}, nil
	case VerbLink:
		return t.linkAccount(ctx, in.Value)
	case VerbUnlink:
		return t.unlinkAccount(ctx)
	case VerbAdmin:
		return t.firstAdmin(ctx, in.Value)
	case VerbSettings:
		return t.settings(ctx, in, k)
	case VerbLevel:
		return t.level(ctx, in)
	case tickets.VerbMine, tickets.VerbQueue, tickets.VerbOverdue, tickets.VerbSearch:
		return t.list(ctx, in.Verb, in.Text)
	case tickets.VerbOpen:
		return t.intentOpen(ctx, in, k)
	case tickets.VerbOpenFor:
		return t.intentOpenFor(ctx, in, k)
	}
	id, err := t.target(ctx, in, k)
	if err != nil {
		return t.refused(ctx, err, cards.Act{Verb: in.Verb, Form: in.Form})
	}
	if in.Verb == tickets.VerbShow || in.Verb == tickets.VerbTimeline {
		return t.look(ctx, in.Verb, id)
	}
	tk, err := t.b.svc.Ticket(ctx, id)
	if err != nil {
		return t.refused(ctx, err, cards.Act{Verb: in.Verb})
	}
	asks := in.Form && !(in.Verb == tickets.VerbSolve && t.actor.Me(tk.Requester) && !t.actor.Works(tk.Desk)) // his «解决» says yes
	if asks && t.canAsk() {
		return t.form(ctx, cards.Act{Verb: in.Verb, Ticket: id, Arg: in.Key})
	}
	c, err := t.command(ctx, in, tk)
	if err != nil {
		return t.refused(ctx, err, cards.Act{Verb: in.Verb, Ticket: id})
	}
	return t.run(ctx, id, c, cards.Act{})
}

// inline is what the answer to this event can carry.
func (t *turn) inline() Inline {
	if in, ok := t.adapter.(Inliner); ok {
		return in.Inline(t.ev)
	}
	return Inline{}
}

func (t *turn) intentOpen(ctx context.Context, in Intent, k talk) (Reply, error) {
	form := in.Form && t.canAsk()
	if form && !t.asks() && len(t.ev.Files) == 0 {
		return t.openForm(ctx, k.group.Desk, "", tickets.Open{}, false)
	}
	if in.Text == "" && len(t.ev.Files) == 0 {
		said, err := t.quoted(ctx, k)
		if err != nil {
			return Reply{}, err
		}
		if r, done, err := t.openSaid(ctx, said, k); done || err != nil {
			return r, err
		}
		if form {
			return t.openForm(ctx, k.group.Desk, "", tickets.Open{}, false)
		}
		return t.refused(ctx, tickets.Refuse(tickets.EmptyText, "what", "title"), cards.Act{Verb: tickets.VerbOpen, Form: true})
	}
	desk, err := t.desk(ctx, k.group.Desk)
	if err != nil {
		return t.refused(ctx, err, cards.Act{})
	}
	title, body, _ := strings.Cut(in.Text, "\n")
	o := tickets.Open{Desk: desk.Key, Title: strings.TrimSpace(title), Body: strings.TrimSpace(body), Files: t.files(), Priority: in.Priority}
	if len([]rune(o.Title)) > 80 {
		o.Title, o.Body = firstLine(o.Title), in.Text
	}
	return t.open(ctx, o, false)
}

func (t *turn) intentOpenFor(ctx context.Context, in Intent, k talk) (Reply, error) {
	if len(in.People) == 0 || strings.TrimSpace(in.Text) == "" {
		return t.openForm(ctx, k.group.Desk, "", tickets.Open{Title: firstLine(in.Text)}, true)
	}
	p, err := t.person(ctx, in.People[0].User, in.People[0].Name)
	if err != nil {
		return Reply{}, err
	}
	desk, err := t.desk(ctx, k.group.Desk)
	if err != nil {
		return t.refused(ctx, err, cards.Act{})
	}
	return t.open(ctx, tickets.Open{Desk: desk.Key, Title: firstLine(in.Text), Body: in.Text, For: p, Files: t.files()}, false)
}

// command makes the core's command of an intent.
func (t *turn) command(ctx context.Context, in Intent, tk *tickets.Ticket) (tickets.Command, error) {
	now := tickets.At(t.b.now())
	switch in.Verb {
	case tickets.VerbClaim:
		return tickets.Claim{}, nil
	case tickets.VerbRelease:
		return tickets.Release{Reason: in.Text}, nil
	case tickets.VerbAssign:
		p, err := t.named(ctx, in, tk)
		return tickets.Assign{To: p, Reason: in.Text}, err
	case tickets.VerbConsult:
		p, err := t.named(ctx, in, tk)
		return tickets.ConsultOn{Expert: p, Question: in.Text, Within: in.For}, err
	case tickets.VerbAnswer:
		return tickets.Answer{Text: in.Text}, nil
	case tickets.VerbReply:
		return tickets.Reply{Text: in.Text, Files: t.files()}, nil
	case tickets.VerbRetract:
		if t.actor.Me(tk.Requester) && !t.actor.Works(tk.Desk) {
			return tickets.Withdraw{}, nil // 撤回 from a requester takes the ticket back
		}
		seq, err := t.b.svc.HeldReply(ctx, tk.ID)
		if err == nil && seq == 0 {
			err = tickets.Refuse(tickets.TooLate, "verb", string(tickets.VerbRetract))
		}
		return tickets.Retract{Seq: seq}, err
	case tickets.VerbNote:
		return tickets.Note{Text: in.Text, Files: t.files()}, nil
	case tickets.VerbSay:
		return tickets.Say{Text: in.Text, Files: t.files()}, nil
	case tickets.VerbPriority:
		return tickets.SetPriority{Priority: in.Priority, Reason: in.Text}, nil
	case tickets.VerbType:
		return tickets.SetType{Type: t.typeKey(ctx, tk, in.Value)}, nil
	case tickets.VerbField:
		return t.field(ctx, tk, in)
	case tickets.VerbTag:
		return tickets.Tag{Add: in.Add, Remove: in.Remove}, nil
	case tickets.VerbHold:
		until := tickets.At(in.Until)
		if in.For > 0 {
			until = now.Add(in.For)
		}
		return tickets.HoldUntil{Until: until, Reason: in.Text, Customer: in.Customer}, nil
	case tickets.VerbEscalate:
		if len(in.People) > 0 {
			p, err := t.named(ctx, in, tk)
			return tickets.Escalate{Person: p, Reason: in.Text}, err
		}
		return t.escalate(ctx, in, tk)
	case tickets.VerbSolve:
		return t.solve(in, tk), nil
	case tickets.VerbReject:
		return tickets.Reject{Reason: in.Text}, nil
	case tickets.VerbClose:
		return tickets.Close{Reason: in.Text}, nil
	case tickets.VerbReopen:
		return tickets.Reopen{Reason: in.Text}, nil
	case tickets.VerbMerge, tickets.VerbLink:
		return t.twoTickets(ctx, in)
	case tickets.VerbSplit:
		return tickets.Split{Title: firstLine(in.Text), Body: in.Text}, nil
	case tickets.VerbReveal:
		f, err := t.fieldNamed(ctx, tk, in.Key)
		return tickets.Reveal{Field: f, Reason: in.Text}, err
	case tickets.VerbWithdraw:
		return tickets.Withdraw{Reason: in.Text}, nil
	}
	if c, ok := bare[in.Verb]; ok {
		return c, nil
	}
	return nil, tickets.Refuse(tickets.NotAllowed, "verb", string(in.Verb))
}

// bare are the commands that take nothing.
var bare = map[tickets.Verb]tickets.Command{
	tickets.VerbClaim: tickets.Claim{}, tickets.VerbResume: tickets.Resume{}, tickets.VerbUrge: tickets.Urge{},
	tickets.VerbConfirm: tickets.Confirm{}, tickets.VerbUnmerge: tickets.Unmerge{}, tickets.VerbArchive: tickets.Archive{},
	tickets.VerbUndo: tickets.Undo{}, tickets.VerbWithdraw: tickets.Withdraw{}, tickets.VerbClose: tickets.Close{},
	tickets.VerbReject: tickets.Reject{},
}

// solve is the requester's «已解决» as well as the owner's: what it means depends
// on who says it.
func (t *turn) solve(in Intent, tk *tickets.Ticket) tickets.Command {
	if t.actor.Me(tk.Requester) && !t.actor.Works(tk.Desk) {
		return tickets.Confirm{}
	}
	text := in.Text
	if strings.TrimSpace(text) == "" {
		text = cards.SolvedWord(t.lang())
		if tk.Said != nil {
			text = tk.Said.Text
		}
	}
	return tickets.Solve{Text: text}
}

// named is the person whom an intent names: mentioned, or by the name that an
// agent of the desk bears.
func (t *turn) named(ctx context.Context, in Intent, tk *tickets.Ticket) (tickets.PersonID, error) {
	for _, m := range in.People {
		if !m.Group {
			return t.person(ctx, m.User, m.Name)
		}
		if g, ok := t.adapter.(GroupLister); ok {
			return t.leastBusy(ctx, g, m.User, tk)
		}
	}
	if in.Team == "" {
		return "", tickets.Refuse(tickets.NoSuchPerson)
	}
	return t.colleague(ctx, in.Team, tk)
}

// colleague is who works at a ticket's desk and bears a name. Where platforms
// tell mentions as mere words, one who has not spoken yet is known by his id
// alone: then the platform is asked what those are called.
func (t *turn) colleague(ctx context.Context, name string, tk *tickets.Ticket) (tickets.PersonID, error) {
	p, err := t.b.svc.AgentNamed(ctx, tk.Desk, name)
	if tickets.CodeOf(err) != tickets.NoSuchPerson {
		return p, err
	}
	all, failed := t.b.svc.Workers(ctx, tk.Desk, t.install.String(), peopleLookedUp)
	if failed != nil {
		return "", failed
	}
	if !t.learnNames(ctx, all) {
		return "", err
	}
	return t.b.svc.AgentNamed(ctx, tk.Desk, name)
}

// peopleLookedUp bounds how many the platform is asked about for one name.
const peopleLookedUp = 30

// escalate is to a team, or to a person whose name was typed.
func (t *turn) escalate(ctx context.Context, in Intent, tk *tickets.Ticket) (tickets.Command, error) {
	c := tickets.Escalate{Team: in.Team, Reason: in.Text}
	d, err := t.desk(ctx, tk.Desk)
	if err != nil || len(d.Teams) == 0 || in.Team == "" || slices.Contains(d.Teams, in.Team) {
		return c, err
	}
	switch p, err := t.colleague(ctx, in.Team, tk); tickets.CodeOf(err) {
	case "":
		return tickets.Escalate{Person: p, Reason: in.Text}, err
	case tickets.NoSuchPerson:
	default:
		return nil, err
	}
	return c, nil // which says what teams there are
}

// leastBusy is the member of a user group with the fewest open tickets.
func (t *turn) leastBusy(ctx context.Context, g GroupLister, group UserRef, tk *tickets.Ticket) (tickets.PersonID, error) {
	members, err := g.GroupMembers(ctx, group)
	if err != nil {
		return "", err
	}
	var people []tickets.PersonID
	for _, u := range members {
		p, err := t.person(ctx, u, "")
		if err != nil {
			return "", err
		}
		people = append(people, p)
	}
	return t.b.svc.LeastBusy(ctx, tk.Desk, people)
}

func (t *turn) typeKey(ctx context.Context, tk *tickets.Ticket, name string) string {
	d, err := t.desk(ctx, tk.Desk)
	if err == nil {
		for _, typ := range d.Types {
			if strings.EqualFold(typ.Name, name) || strings.EqualFold(typ.Key, name) {
				return typ.Key
			}
		}
	}
	return name
}

func (t *turn) field(ctx context.Context, tk *tickets.Ticket, in Intent) (tickets.Command, error) {
	key, err := t.fieldNamed(ctx, tk, in.Key)
	return tickets.SetField{Key: key, Value: in.Value}, err
}

// fieldNamed is the key of the field that people call name.
func (t *turn) fieldNamed(ctx context.Context, tk *tickets.Ticket, name string) (string, error) {
	d, err := t.desk(ctx, tk.Desk)
	if err != nil {
		return "", err
	}
	typ, _ := d.TypeOf(tk.Type)
	for _, f := range typ.Fields {
		if strings.EqualFold(f.Label, name) || strings.EqualFold(f.Key, name) {
			return f.Key, nil
		}
	}
	return "", tickets.Refuse(tickets.NoSuchField, "field", name)
}

func (t *turn) twoTickets(ctx context.Context, in Intent) (tickets.Command, error) {
	if len(in.Numbers) == 0 {
		return nil, tickets.Refuse(tickets.NoNumber)
	}
	o, err := t.b.svc.Find(ctx, t.actor, in.Numbers[0])
	if err != nil {
		return nil, err
	}
	if in.Verb == tickets.VerbMerge {
		return tickets.Merge{Into: o.ID}, nil
	}
	return tickets.LinkTo{Other: o.ID}, nil
}

// click is a button or a menu. What it carries only routes; who pressed comes
// from the envelope, and whether he may is decided when it is done.
func (t *turn) click(ctx context.Context) (Reply, error) {
	act, err := t.b.seal.Open(t.ev.Token, t.install.String())
	if err != nil {
		t.b.log.Warn("button was not ours", "install", t.install.String())
		return t.refused(ctx, tickets.Refuse(tickets.Stale), cards.Act{})
	}
	t.about = act.Ticket
	switch act.Verb {
	case tickets.VerbMine, tickets.VerbQueue, tickets.VerbOverdue:
		return t.list(ctx, act.Verb, "")
	case tickets.VerbHelp:
		return t.intent(ctx, Intent{Verb: tickets.VerbHelp}, talk{})
	case tickets.VerbOpen, tickets.VerbOpenFor:
		return t.openForm(ctx, tickets.DeskKey(act.Arg), "", tickets.Open{}, act.Verb == tickets.VerbOpenFor)
	case VerbSettings:
		return t.settingsPressed(ctx, act.Arg)
	case tickets.VerbShow, tickets.VerbTimeline:
		return t.lookClick(ctx, act)
	}
	if act.Form || needsForm(act) {
		if act.Arg == "" {
			act.Arg = t.ev.Value
		}
		return t.form(ctx, act)
	}
	c, err := t.pressed(act)
	if err != nil {
		return t.refused(ctx, err, act)
	}
	return t.run(ctx, act.Ticket, c, act)
}

func needsForm(act cards.Act) bool {
	_, ok := bare[act.Verb]
	return !ok && act.Verb != tickets.VerbPriority && act.Verb != tickets.VerbRetract && act.Verb != tickets.VerbType
}

// pressed makes the command of a button that needs no form.
func (t *turn) pressed(act cards.Act) (tickets.Command, error) {
	choice := t.ev.Value
	if choice == "" {
		choice = act.Arg
	}
	switch act.Verb {
	case tickets.VerbPriority:
		return tickets.SetPriority{Priority: tickets.Priority(parseNumber(strings.TrimLeft(choice, "Pp")))}, nil
	case tickets.VerbType:
		return tickets.SetType{Type: choice}, nil
	case tickets.VerbRetract:
		return tickets.Retract{Seq: parseNumber(act.Arg)}, nil
	}
	if c, ok := bare[act.Verb]; ok {
		return c, nil
	}
	return nil, tickets.Refuse(tickets.Stale)
}

// form opens the form of a verb, for those only who could submit it.
func (t *turn) form(ctx context.Context, act cards.Act) (Reply, error) {
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	tk, err := t.b.svc.Ticket(ctx, act.Ticket)
	if err == nil {
		err = tickets.Authorize(t.actor, act.Verb, tk)
	}
	if err != nil {
		return t.refused(ctx, err, act)
	}
	v, err := t.view(ctx, tk)
	if err != nil {
		return Reply{}, err
	}
	c, ok := cards.FormFor(act.Verb, v, act.Arg, t.lang())
	if !ok {
		return t.refused(ctx, tickets.Refuse(tickets.Stale), act)
	}
	return Reply{Form: &c}, nil
}

// submit is a filled-in form.
func (t *turn) submit(ctx context.Context) (Reply, error) {
	act, err := t.b.seal.Open(t.ev.Token, t.install.String())
	if err != nil {
		t.b.log.Warn("form was not ours", "install", t.install.String())
		return t.refused(ctx, tickets.Refuse(tickets.Stale), cards.Act{})
	}
	if act.Verb == tickets.VerbOpen || act.Verb == tickets.VerbOpenFor {
		return t.submitOpen(ctx, act)
	}
	if err := t.who(ctx); err != nil { // another ticket must be one that he may see
		return Reply{}, err
	}
	c, err := t.filled(ctx, act)
	if err != nil {
		return t.badInput(ctx, err, act)
	}
	res, err := t.do(ctx, tickets.Request{Ticket: act.Ticket, Command: c, Origin: t.origin()})
	if err != nil {
		return t.badInput(ctx, err, act)
	}
	return t.told(ctx, c, res)
}

func (t *turn) submitOpen(ctx context.Context, act cards.Act) (Reply, error) {
	v := t.ev.Values
	o := tickets.Open{
		Desk: tickets.DeskKey(act.Arg), Title: v[cards.InTitle], Body: v[cards.InText], Type: v[cards.InType],
		Priority: tickets.Priority(parseNumber(strings.TrimLeft(v[cards.InPriority], "Pp"))), Fields: fieldValues(v), Files: t.files(),
	}
	if d, err := t.desk(ctx, o.Desk); err == nil && o.Type == "" && len(d.Types) == 1 {
		o.Type = d.Types[0].Key
	}
	if id := v[cards.InFor]; act.Verb == tickets.VerbOpenFor || id != "" {
		p, err := t.person(ctx, UserRef{t.install, id}, "")
		if err != nil {
			return Reply{}, err
		}
		o.For = p
	}
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	from := t.origin()
	from.Theirs = from.Thread != "" // it was opened on a message of his
	res, err := t.do(ctx, tickets.Request{Command: o, Origin: from, Message: string(t.ev.Message)})
	if err != nil {
		return t.badInput(ctx, err, act)
	}
	view, err := t.view(ctx, res.Ticket)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Toast: cards.OpenedLine(view, t.lang())}, nil
}

// fieldValues are the values of the type's own fields.
func fieldValues(values map[string]string) map[string]string {
	var out map[string]string
	for k, v := range values {
		if key, ok := strings.CutPrefix(k, cards.InField); ok {
			if out == nil {
				out = map[string]string{}
			}
			out[key] = v
		}
	}
	return out
}

// filled makes the command of a submitted form.
func (t *turn) filled(ctx context.Context, act cards.Act) (tickets.Command, error) {
	v := t.ev.Values
	text, reason := v[cards.InText], v[cards.InReason]
	person := func() (tickets.PersonID, error) {
		if v[cards.InPerson] == "" {
			return "", nil
		}
		return t.person(ctx, UserRef{t.install, v[cards.InPerson]}, "")
	}
	switch act.Verb {
	case tickets.VerbSolve:
		return tickets.Solve{Text: text, Cause: v[cards.InCause], Quiet: v[cards.InNotify] != "true", Fields: fieldValues(v)}, nil
	case tickets.VerbAssign:
		p, err := person()
		return tickets.Assign{To: p, Reason: reason}, err
	case tickets.VerbHold:
		until, customer, ok := cards.HoldChoice(v[cards.InUntil], v[cards.InTime], tickets.At(t.b.now()), t.b.zone)
		if !ok {
			return nil, tickets.Refuse(tickets.BadTime)
		}
		return tickets.HoldUntil{Until: until, Reason: reason, Customer: customer}, nil
	case tickets.VerbConsult:
		p, err := person()
		within := time.Duration(0) // no limit
		if limit := v[cards.InWithin]; err == nil && limit != "" && limit != cards.WithinNone {
			if within, err = time.ParseDuration(limit); err != nil {
				return nil, tickets.Refuse(tickets.BadTime)
			}
		}
		return tickets.ConsultOn{Expert: p, Question: text, Within: within}, err
	case tickets.VerbEscalate:
		p, err := person()
		return tickets.Escalate{Team: v[cards.InTeam], Person: p, Reason: reason}, err
	case tickets.VerbMerge, tickets.VerbLink:
		return t.twoTickets(ctx, Intent{Verb: act.Verb, Numbers: []int64{parseNumber(v[cards.InNumber])}})
	case tickets.VerbTag:
		var removed []string
		if tag := v[cards.InRemove]; tag != "" {
			removed = []string{tag} // whole: a tag may hold a space
		}
		return tickets.Tag{Add: cards.SplitTags(v[cards.InAdd]), Remove: removed}, nil
	case tickets.VerbField:
		return tickets.SetField{Key: act.Arg, Value: v[cards.InField+act.Arg]}, nil
	case tickets.VerbType:
		return tickets.SetType{Type: v[cards.InType]}, nil
	case tickets.VerbPriority:
		return tickets.SetPriority{Priority: tickets.Priority(parseNumber(strings.TrimLeft(v[cards.InPriority], "Pp"))), Reason: reason}, nil
	case tickets.VerbSplit:
		return tickets.Split{Title: v[cards.InTitle], Body: text}, nil
	case tickets.VerbReveal:
		return tickets.Reveal{Field: act.Arg, Reason: reason}, nil
	}
	if say, ok := saying[act.Verb]; ok {
		if text == "" {
			text = reason
		}
		return say(text, t.files()), nil
	}
	return nil, tickets.Refuse(tickets.Stale)
}

// saying are the commands that take one text, and files where they can.
var saying = map[tickets.Verb]func(string, []tickets.File) tickets.Command{
	tickets.VerbAnswer:   func(s string, _ []tickets.File) tickets.Command { return tickets.Answer{Text: s} },
	tickets.VerbReply:    func(s string, f []tickets.File) tickets.Command { return tickets.Reply{Text: s, Files: f} },
	tickets.VerbNote:     func(s string, f []tickets.File) tickets.Command { return tickets.Note{Text: s, Files: f} },
	tickets.VerbSay:      func(s string, f []tickets.File) tickets.Command { return tickets.Say{Text: s, Files: f} },
	tickets.VerbReject:   func(s string, _ []tickets.File) tickets.Command { return tickets.Reject{Reason: s} },
	tickets.VerbReopen:   func(s string, _ []tickets.File) tickets.Command { return tickets.Reopen{Reason: s} },
	tickets.VerbRelease:  func(s string, _ []tickets.File) tickets.Command { return tickets.Release{Reason: s} },
	tickets.VerbWithdraw: func(s string, _ []tickets.File) tickets.Command { return tickets.Withdraw{Reason: s} },
	tickets.VerbClose:    func(s string, _ []tickets.File) tickets.Command { return tickets.Close{Reason: s} },
}

// badInput puts a refusal beside the input that it is about, where there is one.
func (t *turn) badInput(ctx context.Context, err error, act cards.Act) (Reply, error) {
	r, other := t.refused(ctx, err, act)
	if other != nil {
		return Reply{}, other
	}
	var e *tickets.Error
	if !errors.As(err, &e) || r.Hint == nil {
		return r, nil
	}
	in := t.inputOf(e)
	if in == "" {
		return r, nil
	}
	// As it was filled in, for platforms that show it anew.
	form, other := t.sameForm(ctx, act)
	if other != nil {
		return Reply{}, other
	}
	errs := map[string]string{in: r.Hint.Body}
	if form != nil {
		*form = cards.WithErrors(cards.WithValues(*form, t.ev.Values), errs)
	}
	return Reply{Errors: errs, Form: form}, nil
}

// sameForm is the form that was submitted, empty; nil where it cannot be had any more.
func (t *turn) sameForm(ctx context.Context, act cards.Act) (*cards.Card, error) {
	if act.Verb == tickets.VerbOpen || act.Verb == tickets.VerbOpenFor {
		r, err := t.openForm(ctx, tickets.DeskKey(act.Arg), t.ev.Values[cards.InType], tickets.Open{}, act.Verb == tickets.VerbOpenFor)
		return r.Form, err
	}
	r, err := t.form(ctx, act)
	return r.Form, err
}

// inputOf is the input of the submitted form that a refusal speaks of.
func (t *turn) inputOf(e *tickets.Error) string {
	has := func(name string) bool { _, ok := t.ev.Values[name]; return ok }
	if f := e.Args["field"]; f != "" && has(cards.InField+f) {
		return cards.InField + f
	}
	if name := inputOfWhat[e.Args["what"]]; has(name) {
		return name
	}
	for _, name := range inputsFor[e.Code] {
		if has(name) {
			return name
		}
	}
	return ""
}

// inputOfWhat are the inputs of what a refusal names.
var inputOfWhat = map[string]string{
	"team": cards.InTeam, "reason": cards.InReason, "title": cards.InTitle, "text": cards.InText, "solution": cards.InText, "question": cards.InText, "tag": cards.InAdd,
}

var inputsFor = map[tickets.Code][]string{
	tickets.EmptyText:    {cards.InText, cards.InReason, cards.InTitle, cards.InTeam, cards.InAdd},
	tickets.TooLong:      {cards.InText, cards.InReason, cards.InTitle, cards.InAdd},
	tickets.NoSuchPerson: {cards.InPerson, cards.InFor},
	tickets.NotAnAgent:   {cards.InPerson},
	tickets.NotFound:     {cards.InNumber},
	tickets.NoNumber:     {cards.InNumber},
	tickets.SelfMerge:    {cards.InNumber},
	tickets.BadTime:      {cards.InTime, cards.InUntil, cards.InWithin},
	tickets.NoSuchTeam:   {cards.InTeam},
	tickets.NoSuchType:   {cards.InType},
}

// reload is a choice that changes what the rest of the form asks.
func (t *turn) reload(ctx context.Context) (Reply, error) {
	act, err := t.b.seal.Open(t.ev.Token, t.install.String())
	if err != nil || act.Verb != tickets.VerbOpen && act.Verb != tickets.VerbOpenFor {
		return t.refused(ctx, tickets.Refuse(tickets.Stale), cards.Act{})
	}
	r, err := t.openForm(ctx, tickets.DeskKey(act.Arg), t.ev.Values[cards.InType], tickets.Open{}, act.Verb == tickets.VerbOpenFor)
	if err == nil && r.Form != nil {
		c := cards.WithValues(*r.Form, t.ev.Values)
		r.Form = &c
	}
	return r, err
}
