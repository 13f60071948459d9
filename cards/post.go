package cards

import (
	"slices"
	"strconv"
	"strings"

	"github.com/paidan/paidan/tickets"
)

// NoticeArgs is what a notice says beyond the ticket itself. Names are ready to
// be read.
type NoticeArgs struct {
	By     string       // who did it; "" for the system
	Reason string       // of a transfer, release, escalation, rejection, reopening
	Text   string       // what was said, asked or answered
	Team   string       // where it was escalated to; "" = to the reader
	Due    tickets.Time // when a consult returns by itself; 0: never
}

// Notice tells one person what happened to a ticket, with what he may want to
// do about it. kind is the event that it tells of.
func Notice(kind tickets.Kind, v *tickets.View, e NoticeArgs, l Lang) Card {
	b := buttons{v, l}
	show := b.act(tickets.VerbShow, "do.show")
	c := Card{
		Lang: l, Tone: tone(v), Title: noticeTitle(kind, v, e, l), Badges: badges(v, l),
		Ticket: v.ID, Version: v.Version, Actions: []Action{show},
	}
	c.Facts = []Fact{{Label: tr(l, "in.title"), Value: v.Title, Wide: true}}
	add := func(label, value string, wide bool) {
		if value != "" {
			c.Facts = append(c.Facts, Fact{Label: tr(l, label), Value: value, Wide: wide})
		}
	}
	add("fact.why", snip(e.Reason, factShown, l), true)
	switch kind {
	case tickets.Assigned, tickets.Escalated:
		add("fact.from", from(v, l), false)
		if v.Responded == 0 {
			add("fact.respond", clock(v, v.RespondBy, l), false)
		}
		add("fact.solve", clock(v, v.SolveBy, l), false)
		c.Body = snip(described(v), bodyShown, l)
		switch {
		case v.Status == tickets.New:
			c.Actions = []Action{primary(b.act(tickets.VerbClaim, "do.claim")), show}
		case v.Status == tickets.Active && kind == tickets.Assigned:
			c.Actions = []Action{show, b.form(tickets.VerbRelease, "do.release")}
		}
	case tickets.Urged:
		if v.Urges > 0 {
			add("fact.urges", count(l, "notice.urges", v.Urges), false)
		}
		add("fact.solve", clock(v, v.SolveBy, l), false)
		c.Actions = working(b, show)
	case tickets.Consulted:
		add("fact.question", snip(e.Text, bodyShown, l), true)
		if e.Due != 0 {
			add("fact.answer_by", when(v, e.Due, l), false)
		}
		c.Body = snip(described(v), bodyShown, l)
		c.Actions = []Action{primary(b.form(tickets.VerbAnswer, "do.answer")), show}
	case tickets.Answered:
		add("fact.answer", snip(e.Text, bodyShown, l), true)
	case tickets.SaidMore, tickets.Rejected, tickets.Reopened, tickets.Replied:
		c.Body = snip(e.Text, bodyShown, l)
		if kind != tickets.Replied {
			c.Actions = working(b, show)
		}
	case tickets.Resumed, tickets.TargetMissed:
		if v.Responded == 0 {
			add("fact.respond", clock(v, v.RespondBy, l), false)
		}
		add("fact.solve", clock(v, v.SolveBy, l), false)
		c.Actions = working(b, show)
	}
	return c
}

// Line tells the group of a team in one line: the card itself stands there too.
func Line(kind tickets.Kind, v *tickets.View, e NoticeArgs, l Lang) Card {
	c := Notice(kind, v, e, l)
	c.Badges, c.Facts, c.Body = nil, nil, snip(e.Reason, factShown, l)
	b := buttons{v, l}
	c.Actions = []Action{b.act(tickets.VerbShow, "do.show")}
	if v.Status == tickets.New {
		c.Actions = append([]Action{primary(b.act(tickets.VerbClaim, "do.claim"))}, c.Actions...)
	}
	if kind == tickets.Assigned {
		by := e.By
		if by == "" {
			by = tr(l, "system")
		}
		c.Title = tr(l, "line.assigned", "number", strconv.FormatInt(v.Number, 10), "by", by, "owner", nameOf(v, v.Owner, l))
	}
	return c
}

// working is what an owner does next, as far as the state allows it.
func working(b buttons, show Action) []Action {
	if b.v.Status != tickets.Active {
		return []Action{show}
	}
	return []Action{primary(b.form(tickets.VerbReply, "do.reply")), b.form(tickets.VerbSolve, "do.solve"), show}
}

func noticeTitle(kind tickets.Kind, v *tickets.View, e NoticeArgs, l Lang) string {
	key := known("notice.", string(kind), "other")
	switch {
	case kind == tickets.Assigned && e.By == "":
		key = "notice.assigned_sys"
	case kind == tickets.Answered && e.Text == "" && e.By == "":
		key = "notice.lapsed"
	case kind == tickets.Escalated && e.Team == "":
		key = "notice.escalated_me"
	case kind == tickets.ClaimedBy:
		key = "notice.taken"
	case kind == tickets.Withdrawn && v.Last.By != v.Requester:
		key = "notice.withdrawn_me"
	}
	by := e.By
	if by == "" {
		by = tr(l, "system")
	}
	return tr(l, key, "number", strconv.FormatInt(v.Number, 10), "by", by, "team", e.Team, "what", kindWord(kind, l))
}

// RequesterNotice tells the requester in private that his ticket was solved,
// closed or replied to: his receipt, titled with the news.
func RequesterNotice(kind tickets.Kind, v *tickets.View, by string, l Lang) Card {
	c := Receipt(v, l)
	c.Title = noticeTitle(kind, v, NoticeArgs{By: by}, l)
	if kind == tickets.SolvedBy || kind == tickets.ClosedBy {
		c.Badges = nil // the title says it
	}
	c.Facts = append([]Fact{{Label: tr(l, "in.title"), Value: v.Title, Wide: true}}, c.Facts...)
	return c
}

// BreachLine is the team's one public line about a missed target: «#1024 首响超时
// · 李四», later edited to «已处理,用时 2 时 05 分».
func BreachLine(v *tickets.View, l Lang) Card {
	who := tr(l, "breach.nobody")
	if v.Owner != "" {
		who = nameOf(v, v.Owner, l)
	}
	key, due, met := "breach.solve", v.SolveBy, v.SolvedAt
	if !slices.Contains(v.Missed, "solve") && !late(v, v.SolveBy, v.SolvedAt) {
		key, due, met = "breach.respond", v.RespondBy, v.Responded
	}
	c := Card{
		Lang: l, Tone: Alarm, Title: tr(l, key, "number", strconv.FormatInt(v.Number, 10), "owner", who),
		Ticket: v.ID, Version: v.Version,
	}
	b := buttons{v, l}
	show := b.act(tickets.VerbShow, "do.show")
	if v.Overdue(v.Now) {
		// An instant: nothing changes this line while nothing is done.
		c.Badges = []string{tr(l, "breach.due", "when", when(v, due, l))}
		if v.Status == tickets.New {
			c.Actions = []Action{primary(b.act(tickets.VerbClaim, "do.claim")), b.form(tickets.VerbAssign, "do.assign"), show}
		} else {
			c.Actions = []Action{b.form(tickets.VerbAssign, "do.transfer"), b.form(tickets.VerbEscalate, "do.escalate"), show}
		}
		return c
	}
	c.Actions = []Action{show}
	if v.Status.Paused() && met == 0 {
		c.Tone, c.Badges = Paused, []string{tr(l, "breach.paused")}
		return c
	}
	if met == 0 {
		met = v.ClosedAt
	}
	if met == 0 {
		met = v.Last.At
	}
	c.Tone, c.Badges = Good, []string{tr(l, "breach.done", "span", span(met.Sub(v.Created), l))}
	return c
}

// late reports whether a target was met late, or is late now.
func late(v *tickets.View, due, met tickets.Time) bool {
	if due == 0 {
		return false
	}
	if met == 0 {
		met = v.Now
	}
	return met > due
}

// SoonWarning tells the owner in private that a target is near.
func SoonWarning(v *tickets.View, l Lang) Card {
	due := v.SolveBy
	if v.Responded == 0 && v.RespondBy != 0 && (due == 0 || v.RespondBy < due) {
		due = v.RespondBy
	}
	c := Notice(tickets.TargetMissed, v, NoticeArgs{}, l)
	c.Title = tr(l, "warn.soon", "number", strconv.FormatInt(v.Number, 10), "span", span(max(due.Sub(v.Now), 0), l))
	return c
}

// Relay is something that one side said, shown to the other: the author's name
// as the title («李四(二线)»), and the ticket's number in the footer, where
// platforms without threads find it again when somebody quotes the message.
func Relay(number int64, author, team, text string, files []tickets.File, l Lang) Card {
	c := Card{Lang: l, Title: author, Body: text}
	if author == "" {
		c.Title = tr(l, "somebody")
	}
	if team != "" {
		c.Title = tr(l, "relay.author", "name", c.Title, "team", team)
	}
	for _, f := range files {
		c.Facts = append(c.Facts, Fact{Label: tr(l, "fact.files"), Value: f.Name, Wide: true})
	}
	if number != 0 {
		c.Note = hash(number)
	}
	return c
}

// Corrected marks words that replace what was said before, where that could not
// be changed.
func Corrected(c Card) Card {
	c.Badges = append(slices.Clone(c.Badges), tr(c.Lang, "relay.corrected"))
	return c
}

// ReplyHeld tells an agent that a reply waits in the outbox and can still be
// taken back. seq is the number of the reply's event.
func ReplyHeld(seq int64, seconds int, v *tickets.View, l Lang) Card {
	a := buttons{v, l}.act(tickets.VerbRetract, "do.retract")
	a.Act.Arg = strconv.FormatInt(seq, 10)
	a.Style = Danger
	return Card{
		Lang: l, Tone: Asking, Body: tr(l, "held.body"), Actions: []Action{a}, Ticket: v.ID, Version: v.Version,
		Title: tr(l, "held.title", "number", strconv.FormatInt(v.Number, 10), "seconds", strconv.Itoa(seconds)),
	}
}

// Revealed shows a masked field to the one person who asked for it.
func Revealed(v *tickets.View, key, value string, l Lang) Card {
	label := fieldLabel(v, key)
	return Card{
		Lang: l, Title: tr(l, "revealed.title", "number", strconv.FormatInt(v.Number, 10), "label", label),
		Facts: []Fact{{Label: label, Value: value, Wide: true}}, Note: tr(l, "revealed.note"), Ticket: v.ID, Version: v.Version,
	}
}

// Welcome is said once in a group that the bot was added to.
func Welcome(l Lang) Card {
	return Card{
		Lang: l, Title: tr(l, "welcome.title"), Body: tr(l, "welcome.body"),
		Actions: []Action{primary(openButton(l)), {Act: Act{Verb: tickets.VerbHelp}, Label: tr(l, "do.help")}},
	}
}

// Linked tells somebody that his account is known now.
func Linked(name string, l Lang) Card {
	c := Card{Lang: l, Tone: Good, Title: tr(l, "linked.title"), Body: tr(l, "linked.body_anon"), Note: tr(l, "linked.note")}
	if name != "" {
		c.Body = tr(l, "linked.body", "name", name)
	}
	return c
}

// Unlinked says which platforms' accounts are somebody of their own again; none:
// there was nothing to undo.
func Unlinked(installs []string, l Lang) Card {
	if len(installs) == 0 {
		return Hint(tr(l, "unlinked.none"), l)
	}
	return Card{Lang: l, Tone: Good, Title: tr(l, "unlinked.title"), Body: tr(l, "unlinked.body", "installs", strings.Join(installs, ", "))}
}

// LinkOffer asks somebody whom we do not know to link his account, by sending
// code from an account that we do know.
func LinkOffer(code string, l Lang) Card {
	return Card{Lang: l, Tone: Asking, Title: tr(l, "offer.title"), Body: tr(l, "offer.body", "code", code)}
}
