package cards

import (
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/cards/lang"
	"github.com/paidan/paidan/tickets"
)

const (
	bodyShown   = 600 // characters of the description on a live card
	replyShown  = 300 // characters of the last public reply
	factShown   = 300 // characters of a fact that people wrote
	soonPercent = 20
)

// ArgWhole is Act.Arg of a show that asks for the whole text: see Whole.
const ArgWhole = "whole"

// Ticket is the live card that the team works with, in every state. It holds
// the buttons that make sense in that state and none that would be refused
// whoever pressed it.
func Ticket(v *tickets.View, l Lang) Card {
	c := teamCard(v, l)
	if finished(v.Status) {
		return c
	}
	c.Body = joinBody(snip(described(v), bodyShown, l), lastReply(v, l))
	if whole(v) {
		c.More = append(c.More, showWhole(v.ID, v.Version, l))
	}
	return c
}

// described is the description without the line that became the title: nobody
// wants to read it twice.
func described(v *tickets.View) string {
	body := strings.TrimSpace(v.Body)
	first, rest, _ := strings.Cut(body, "\n")
	if strings.TrimSpace(first) == strings.TrimSpace(v.Title) {
		return strings.TrimSpace(rest)
	}
	return body
}

// Found answers somebody of the team who looked a ticket up: the same card with
// the whole description, and not collapsed when the ticket is closed. It holds
// what the team keeps to itself; a requester who looks gets his Receipt.
func Found(v *tickets.View, l Lang) Card {
	c := teamCard(v, l)
	if finished(v.Status) {
		c.Facts = openFacts(v, l)
		c.Facts = append(c.Facts, solutionFacts(v, l)...)
	}
	c.Body = joinBody(described(v), lastReply(v, l))
	return c
}

func teamCard(v *tickets.View, l Lang) Card {
	c := Card{
		Lang: l, Tone: tone(v), Title: numbered(v), Badges: badges(v, l),
		Note: lastNote(v, l), Ticket: v.ID, Version: v.Version,
	}
	if finished(v.Status) {
		c.Facts = closedFacts(v, l)
	} else {
		c.Facts = openFacts(v, l)
		if v.Status == tickets.Solved {
			c.Facts = append(solutionFacts(v, l), c.Facts...)
		}
	}
	c.Actions, c.More = teamActions(v, l)
	return c
}

func finished(s tickets.Status) bool { return s == tickets.Closed || s == tickets.Archived }

func numbered(v *tickets.View) string { return hash(v.Number) + " " + v.Title }

func hash(n int64) string { return "#" + strconv.FormatInt(n, 10) }

// tone is the colour of the team's card. Red is for targets only.
func tone(v *tickets.View) Tone {
	if v.Overdue(v.Now) || soon(v) {
		return Alarm
	}
	return statusTone(v.Status)
}

func statusTone(s tickets.Status) Tone {
	switch s {
	case tickets.New:
		return Open
	case tickets.Active:
		return Busy
	case tickets.Waiting, tickets.Held:
		return Paused
	case tickets.Solved:
		return Good
	case tickets.Closed, tickets.Archived:
		return Gone
	}
	return Plain
}

// soon reports whether a target is near: a fifth of its span or less is left.
func soon(v *tickets.View) bool {
	if v.Status != tickets.New && v.Status != tickets.Active {
		return false
	}
	target := v.Desk.TargetFor(v.Priority)
	near := func(due tickets.Time, anew time.Duration) bool {
		span, left := due.Sub(v.Created), due.Sub(v.Now)
		if v.Reopens > 0 { // its targets began anew then
			span = min(span, anew)
		}
		return due != 0 && left >= 0 && left <= span*soonPercent/100
	}
	return near(v.SolveBy, target.Solve) || v.Responded == 0 && near(v.RespondBy, target.Respond)
}

func badges(v *tickets.View, l Lang) []string {
	var b []string
	if v.Priority != 0 {
		b = append(b, v.Priority.String())
	}
	switch {
	case merged(v) != nil:
		b = append(b, tr(l, "badge.merged"))
	case withdrawn(v):
		b = append(b, withdrawnWord(v, l))
	default:
		b = append(b, statusWord(v.Status, l))
	}
	if v.Overdue(v.Now) {
		b = append(b, tr(l, "badge.overdue"))
	} else if soon(v) {
		b = append(b, tr(l, "badge.soon"))
	}
	if v.Team != "" {
		b = append(b, v.Team)
	}
	return b
}

// withdrawnWord tells a requester who changed his mind from an agent who said
// that it was no ticket.
func withdrawnWord(v *tickets.View, l Lang) string {
	if v.Last.By == v.Requester {
		return tr(l, "receipt.withdrawn")
	}
	return tr(l, "badge.withdrawn")
}

func withdrawn(v *tickets.View) bool {
	return finished(v.Status) && v.Last.Kind == tickets.Withdrawn
}

// merged returns the link to the ticket that this one was merged into, or nil.
func merged(v *tickets.View) *tickets.Link {
	for i := range v.Links {
		if v.Links[i].Kind == tickets.MergedTo {
			return &v.Links[i]
		}
	}
	return nil
}

// openFacts puts what a reader needs first in front: Fit drops from the end.
func openFacts(v *tickets.View, l Lang) []Fact {
	facts := []Fact{
		{Label: tr(l, "fact.from"), Value: from(v, l)},
		{Label: tr(l, "fact.owner"), Value: owner(v, l)},
	}
	add := func(label, value string, wide bool) {
		if value != "" {
			facts = append(facts, Fact{Label: tr(l, label), Value: value, Wide: wide})
		}
	}
	if v.Status.Open() && v.Responded == 0 {
		add("fact.respond", clock(v, v.RespondBy, l), false)
	}
	if v.Status.Open() {
		add("fact.solve", clock(v, v.SolveBy, l), false)
	}
	if v.Status.Paused() {
		label := "fact.hold"
		if v.Status == tickets.Waiting {
			label = "fact.waiting"
		}
		add(label, holdWords(v, l), true)
	}
	if v.Urges > 0 {
		add("fact.urges", tr(l, "fact.urges_n", "n", strconv.Itoa(v.Urges)), false)
	}
	if v.Status.Open() {
		add("fact.reason", snip(v.Reason, factShown, l), true)
		add("fact.consults", consults(v, l), true)
	}
	add("fact.type", v.TypeName(), false)
	add("fact.tags", strings.Join(v.Tags, " "), false)
	for _, f := range v.Fields {
		facts = append(facts, fieldFact(v, f, l))
	}
	if n := len(v.Files); n > 0 {
		add("fact.files", count(l, "fact.files_n", n), false)
	}
	add("fact.links", links(v, l), true)
	if v.Reopens > 0 {
		add("fact.reopens", count(l, "fact.reopens_n", v.Reopens), false)
	}
	return facts
}

func solutionFacts(v *tickets.View, l Lang) []Fact {
	var facts []Fact
	if s := v.Solution; s != nil {
		if s.Text != "" {
			facts = append(facts, Fact{Label: tr(l, "fact.solution"), Value: snip(s.Text, factShown, l), Wide: true})
		}
		if s.Cause != "" {
			facts = append(facts, Fact{Label: tr(l, "fact.cause"), Value: s.Cause})
		}
	}
	return facts
}

// closedFacts is all that a closed ticket still says: two short lines and how it ended.
func closedFacts(v *tickets.View, l Lang) []Fact {
	facts := []Fact{{Label: tr(l, "fact.from"), Value: from(v, l)}}
	if v.Owner != "" {
		facts = append(facts, Fact{Label: tr(l, "fact.owner"), Value: owner(v, l)})
	}
	if m := merged(v); m != nil {
		facts = append(facts, Fact{Label: tr(l, "fact.links"), Value: links(v, l), Wide: true})
	}
	return append(facts, solutionFacts(v, l)...)
}

func fieldFact(v *tickets.View, f tickets.FieldView, l Lang) Fact {
	fact := Fact{Label: f.Label, Value: snip(f.Value, factShown, l)}
	if f.Masked {
		fact.Action = &Action{
			Act:   Act{Verb: tickets.VerbReveal, Ticket: v.ID, Version: v.Version, Arg: f.Key, Form: true},
			Label: tr(l, "do.reveal"),
		}
	}
	return fact
}

func from(v *tickets.View, l Lang) string {
	name := nameOf(v, v.Requester, l)
	if v.OpenedBy != "" && v.OpenedBy != v.Requester {
		name = tr(l, "fact.for", "name", name, "by", nameOf(v, v.OpenedBy, l))
	}
	if v.Origin != "" {
		name += " · " + v.Origin
	}
	return name
}

func owner(v *tickets.View, l Lang) string {
	if v.Owner == "" {
		return tr(l, "fact.nobody")
	}
	return nameOf(v, v.Owner, l)
}

// nameOf never falls back to an id: ids are nobody's name.
func nameOf(v *tickets.View, p tickets.PersonID, l Lang) string {
	if p == "" {
		return tr(l, "system")
	}
	if n := oneLine(v.Name(p)); n != "" {
		return n
	}
	return tr(l, "somebody")
}

// clock says how a target stands. While clocks stand still, what is left is
// what was left when they stopped.
func clock(v *tickets.View, due tickets.Time, l Lang) string {
	if due == 0 {
		return ""
	}
	now, late, left := v.Now, "fact.late_at", "fact.left"
	if v.Status.Paused() {
		late, left = "fact.late_paused", "fact.paused"
		if v.PausedAt != 0 {
			now = v.PausedAt
		}
	}
	span := lang.Span(string(l), due.Sub(now))
	if now > due {
		return tr(l, late, "span", span, "when", when(v, due, l))
	}
	return tr(l, left, "span", span, "when", when(v, due, l))
}

func holdWords(v *tickets.View, l Lang) string {
	h := v.Hold
	if h == nil {
		h = &tickets.Hold{}
	}
	until := ""
	switch {
	case h.Until != 0:
		until = tr(l, "fact.hold_until", "when", lang.WhenDay(string(l), h.Until.Go(), v.Now.Go(), v.Zone))
	case v.Status == tickets.Held:
		until = tr(l, "fact.hold_open")
	}
	reason := snip(h.Reason, factShown, l)
	switch {
	case reason == "":
		return until
	case until == "":
		return reason
	}
	return tr(l, "fact.hold_reason", "until", until, "reason", reason)
}

func consults(v *tickets.View, l Lang) string {
	lines := make([]string, 0, len(v.Consults))
	for _, c := range v.Consults {
		name := nameOf(v, c.Person, l)
		question := oneLine(snip(c.Question, factShown, l))
		switch {
		case question == "":
			lines = append(lines, name)
		case c.Due != 0:
			lines = append(lines, tr(l, "fact.consult_due", "name", name, "question", question, "when", when(v, c.Due, l)))
		default:
			lines = append(lines, tr(l, "fact.consult", "name", name, "question", question))
		}
	}
	return strings.Join(lines, "\n")
}

func links(v *tickets.View, l Lang) string {
	words := make([]string, 0, len(v.Links))
	for _, k := range v.Links {
		words = append(words, tr(l, known("link.", string(k.Kind), string(tickets.Related)), "number", strconv.FormatInt(k.Number, 10)))
	}
	return strings.Join(words, tr(l, "list.and"))
}

func lastReply(v *tickets.View, l Lang) string {
	if v.Said == nil || v.Said.Text == "" {
		return ""
	}
	return tr(l, "body.reply", "name", nameOf(v, v.Said.By, l), "when", when(v, v.Said.At, l)) +
		"\n" + snip(v.Said.Text, replyShown, l)
}

func joinBody(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "\n\n")
}

// lastNote is the footer: «14:20 王芳 建单».
func lastNote(v *tickets.View, l Lang) string {
	if v.Last.Kind == "" {
		return ""
	}
	return tr(l, "note.last", "when", when(v, v.Last.At, l), "name", nameOf(v, v.Last.By, l), "what", doneWord(v.Last.Kind, v.Last.By, l))
}

// whole reports whether the card shows less than all of what was written.
func whole(v *tickets.View) bool {
	return width(v.Body) > bodyShown || v.Said != nil && width(v.Said.Text) > replyShown ||
		v.Solution != nil && width(v.Solution.Text) > factShown
}

func showWhole(id tickets.TicketID, version int64, l Lang) Action {
	return Action{Act: Act{Verb: tickets.VerbShow, Ticket: id, Version: version, Arg: ArgWhole}, Label: tr(l, "do.whole")}
}

// Whole is what a card may have had no room for and what the requester may read
// as well as the team: description, last reply and solution, in as many cards
// as it takes with at most size characters of text each (0: one card).
func Whole(v *tickets.View, size int, l Lang) []Card { return wholeText(v, "", size, l) }

// WholeForTeam is Whole with the fields of the type, masked as on the card.
func WholeForTeam(v *tickets.View, size int, l Lang) []Card {
	var fields []string
	for _, f := range v.Fields {
		fields = append(fields, oneLine(f.Label)+": "+oneLine(f.Value))
	}
	return wholeText(v, strings.Join(fields, "\n"), size, l)
}

func wholeText(v *tickets.View, fields string, size int, l Lang) []Card {
	text := joinBody(oneLine(v.Title), fields, described(v))
	if v.Said != nil && v.Said.Text != "" {
		text = joinBody(text, tr(l, "body.reply", "name", nameOf(v, v.Said.By, l), "when", when(v, v.Said.At, l))+"\n"+v.Said.Text)
	}
	if v.Solution != nil && v.Solution.Text != "" {
		text = joinBody(text, tr(l, "fact.solution")+"\n"+v.Solution.Text)
	}
	pieces := pages(block(text), size)
	out := make([]Card, len(pieces))
	for i, p := range pieces {
		out[i] = Card{Lang: l, Title: tr(l, "whole.title", "number", strconv.FormatInt(v.Number, 10)), Body: p, Ticket: v.ID, Version: v.Version}
		if len(pieces) > 1 {
			out[i].Title = tr(l, "whole.part", "number", strconv.FormatInt(v.Number, 10), "part", strconv.Itoa(i+1), "of", strconv.Itoa(len(pieces)))
		}
	}
	return out
}

// buttons makes the actions of one ticket.
type buttons struct {
	v *tickets.View
	l Lang
}

func (b buttons) act(verb tickets.Verb, label string) Action {
	return Action{Act: Act{Verb: verb, Ticket: b.v.ID, Version: b.v.Version}, Label: tr(b.l, label)}
}

func (b buttons) form(verb tickets.Verb, label string) Action {
	a := b.act(verb, label)
	a.Act.Form = true
	return a
}

func (b buttons) sure(verb tickets.Verb, label, question string) Action {
	a := b.act(verb, label)
	a.Confirm = tr(b.l, question)
	return a
}

func primary(a Action) Action { a.Style = Primary; return a }

// priority is a menu of the other priorities; the choice reads P1 to P4, as
// people type it.
func (b buttons) priority() Action {
	a := b.act(tickets.VerbPriority, "do.priority")
	for p := tickets.Priority(1); p <= 4; p++ {
		if p != b.v.Priority {
			a.Options = append(a.Options, Option{Label: priorityWord(p, b.l), Value: p.String()})
		}
	}
	return a
}

// fields is a menu of the type's fields; the choice is the key of the field
// whose form is to be opened.
func (b buttons) fields() (Action, bool) {
	t, ok := b.v.Desk.TypeOf(b.v.Type)
	if !ok || len(t.Fields) == 0 {
		return Action{}, false
	}
	a := b.form(tickets.VerbField, "do.field")
	for _, f := range t.Fields {
		a.Options = append(a.Options, Option{Label: f.Label, Value: f.Key})
	}
	return a, true
}

// teamActions is the table of buttons by state.
func teamActions(v *tickets.View, l Lang) (actions, more []Action) {
	b := buttons{v, l}
	urgent := v.Overdue(v.Now) || soon(v)
	switch v.Status {
	case tickets.New:
		actions = []Action{
			primary(b.act(tickets.VerbClaim, "do.claim")),
			b.form(tickets.VerbAssign, "do.assign"),
			b.sure(tickets.VerbWithdraw, "do.not_a_ticket", "sure.not_ticket"),
		}
		more = append([]Action{b.form(tickets.VerbEscalate, "do.escalate")}, b.usual()...)
	case tickets.Active:
		actions = []Action{
			primary(b.form(tickets.VerbSolve, "do.solve")),
			b.form(tickets.VerbAssign, "do.transfer"),
			b.form(tickets.VerbHold, "do.hold"),
			b.form(tickets.VerbConsult, "do.consult"),
			b.form(tickets.VerbEscalate, "do.escalate"),
		}
		if urgent { // somebody who has time for it comes first
			actions[0], actions[1] = actions[1], actions[0]
		}
		more = b.usual(b.form(tickets.VerbRelease, "do.release"))
	case tickets.Waiting, tickets.Held:
		actions = []Action{
			primary(b.act(tickets.VerbResume, "do.resume")),
			b.form(tickets.VerbHold, "do.rehold"),
			b.form(tickets.VerbSolve, "do.solve"),
		}
		more = append([]Action{b.form(tickets.VerbAssign, "do.transfer"), b.form(tickets.VerbEscalate, "do.escalate")}, b.usual()...)
	case tickets.Solved:
		actions = []Action{b.form(tickets.VerbReopen, "do.reopen")}
		more = []Action{
			b.form(tickets.VerbReply, "do.reply"),
			b.form(tickets.VerbNote, "do.note"),
			b.sure(tickets.VerbClose, "do.close", "sure.close"),
			b.form(tickets.VerbLink, "do.link"),
			b.act(tickets.VerbTimeline, "do.timeline"),
		}
	case tickets.Closed:
		if m := merged(v); m != nil {
			other := b.act(tickets.VerbShow, "do.show_other")
			other.Act.Ticket, other.Act.Version = m.Ticket, 0
			other.Label = tr(l, "do.show_other", "number", strconv.FormatInt(m.Number, 10))
			return []Action{other, b.sure(tickets.VerbUnmerge, "do.unmerge", "sure.unmerge")}, []Action{b.act(tickets.VerbTimeline, "do.timeline")}
		}
		return b.afterwards(), nil
	default:
		return b.afterwards(), nil
	}
	if u := v.Undo; u != nil && v.Now.Sub(u.At) < tickets.UndoWithin {
		more = append([]Action{b.act(tickets.VerbUndo, "do.undo")}, more...)
	}
	return actions, more
}

// usual is what can be done in every state in which work goes on, the most used
// first: where a menu is short, Fit drops from its end.
func (b buttons) usual(also ...Action) []Action {
	more := append([]Action{b.form(tickets.VerbReply, "do.reply"), b.form(tickets.VerbNote, "do.note")}, also...)
	more = append(more, b.priority(), b.act(tickets.VerbTimeline, "do.timeline"), b.form(tickets.VerbTag, "do.tag"))
	if len(b.v.Desk.Types) > 1 || len(b.v.Desk.Types) == 1 && b.v.Type != b.v.Desk.Types[0].Key {
		more = append(more, b.form(tickets.VerbType, "do.type"))
	}
	more = append(more, b.form(tickets.VerbMerge, "do.merge"), b.form(tickets.VerbLink, "do.link"))
	if f, ok := b.fields(); ok {
		more = append(more, f)
	}
	return more
}

// afterwards is what can be done with a finished ticket. Reopening is never too
// late: after the desk's time it makes a successor.
func (b buttons) afterwards() []Action {
	return []Action{b.form(tickets.VerbReopen, "do.reopen"), b.act(tickets.VerbTimeline, "do.timeline")}
}
