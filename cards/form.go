package cards

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/tickets"
)

// Names of the inputs of forms, as they come back with a submitted form.
const (
	InText     = "text"     // what is said: a reply, a note, a question, an answer, a solution, a description
	InTitle    = "title"    // of a new ticket
	InType     = "type"     // key of a type
	InPriority = "priority" // P1 to P4
	InFor      = "for"      // user id of the person that a ticket is opened for
	InPerson   = "person"   // user id: new owner, expert, or whom to escalate to
	InReason   = "reason"   // why
	InCause    = "cause"    // of a solution: one of the desk's causes, or free text
	InNotify   = "notify"   // "true": tell the requester that it is solved
	InUntil    = "until"    // one of the Until values
	InTime     = "time"     // 2006-01-02T15:04, for UntilCustom
	InWithin   = "within"   // a Go duration ("2h"), or "" for no limit
	InTeam     = "team"     // one of the desk's teams
	InNumber   = "number"   // of another ticket, with or without #
	InAdd      = "add"      // tags to add: see SplitTags
	InRemove   = "remove"   // one tag to remove

	// InField is put before the key of a type's field: "field:phone".
	InField = "field:"
)

// Values of InUntil, beside durations ("30m", "2h").
const (
	UntilTomorrow = "tomorrow" // 9:00 of the next day
	UntilMonday   = "monday"   // 9:00 of the next Monday
	UntilCustomer = "customer" // until the requester answers: 等客户
	UntilOpen     = "open"     // until somebody resumes it
	UntilCustom   = "custom"   // what InTime says
)

const (
	titleMax = tickets.MaxTitle
	textMax  = 3000 // the smallest of the platforms' limits for a text input
	lineMax  = 500  // of a field or a reason, where a form has one
)

// HoldChoice reads a submitted hold form: until when, and whether it is the
// requester's turn. ok is false for what is no choice or no time.
func HoldChoice(choice, custom string, now tickets.Time, zone *time.Location) (until tickets.Time, customer, ok bool) {
	if zone == nil {
		zone = time.UTC
	}
	t := now.Go().In(zone)
	nine := func(days int) tickets.Time {
		return tickets.At(time.Date(t.Year(), t.Month(), t.Day()+days, 9, 0, 0, 0, zone))
	}
	switch choice {
	case UntilCustomer:
		return 0, true, true
	case UntilOpen:
		return 0, false, true
	case UntilTomorrow:
		return nine(1), false, true
	case UntilMonday:
		days := (int(time.Monday) - int(t.Weekday()) + 7) % 7
		if days == 0 {
			days = 7
		}
		return nine(days), false, true
	case UntilCustom:
		at, err := time.ParseInLocation("2006-01-02T15:04", strings.TrimSpace(custom), zone)
		return tickets.At(at), false, err == nil
	}
	d, err := time.ParseDuration(choice)
	return now.Add(d), false, err == nil && d > 0
}

// SplitTags reads a line of tags: divided by spaces or commas of any width, a
// leading # dropped, each once.
func SplitTags(s string) []string {
	var tags []string
	for _, t := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\n\r,;\uff0c\uff1b\u3001\u3000", r) }) {
		if t = strings.TrimLeft(t, "#\uff03"); t != "" && !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	return tags
}

// OpenForm asks for a new ticket of a type. With several types the choice of
// the type comes first and reloads the form.
func OpenForm(desk tickets.Desk, typ string, pre tickets.Open, l Lang) Card {
	c := ask(l, tr(l, "form.open"), "", Act{Verb: tickets.VerbOpen, Arg: string(desk.Key)}, "submit.open")
	if len(desk.Types) == 1 && typ == "" {
		typ = desk.Types[0].Key
	}
	if len(desk.Types) > 1 {
		in := typeInput(desk, typ, l)
		in.Reload = true
		c.Form.Inputs = append(c.Form.Inputs, in)
	}
	p := pre.Priority
	if p == 0 {
		p = 3
	}
	c.Form.Inputs = append(c.Form.Inputs,
		Input{Name: InTitle, Label: tr(l, "in.title"), Kind: InputLine, Required: true, Value: pre.Title, Hint: tr(l, "hint.title"), Max: titleMax},
		Input{Name: InText, Label: tr(l, "in.body"), Kind: InputText, Value: pre.Body, Hint: tr(l, "hint.body"), Max: textMax},
		priorityInput(p, l))
	if t, ok := desk.TypeOf(typ); ok {
		for _, f := range t.Fields {
			c.Form.Inputs = append(c.Form.Inputs, fieldInput(f, pre.Fields[f.Key], l))
		}
	}
	return c
}

// OpenForForm is OpenForm for an agent who opens a ticket for somebody else.
func OpenForForm(desk tickets.Desk, typ string, pre tickets.Open, l Lang) Card {
	c := OpenForm(desk, typ, pre, l)
	c.Title, c.Form.Act.Verb = tr(l, "form.open_for"), tickets.VerbOpenFor
	at := 0
	if len(desk.Types) > 1 {
		at = 1
	}
	c.Form.Inputs = slices.Insert(c.Form.Inputs, at, Input{Name: InFor, Label: tr(l, "in.for"), Kind: InputPerson, Required: true})
	return c
}

func ask(l Lang, title, body string, act Act, submit string, inputs ...Input) Card {
	return Card{
		Lang: l, Title: title, Body: body, Ticket: act.Ticket, Version: act.Version,
		Form: &Form{Act: act, Submit: tr(l, submit), Inputs: inputs},
	}
}

// of asks about one ticket; texts are looked up by keys.
func of(v *tickets.View, verb tickets.Verb, l Lang, title, body, submit string, inputs ...Input) Card {
	if body != "" {
		body = tr(l, body)
	}
	return ask(l, tr(l, title, "number", strconv.FormatInt(v.Number, 10)), body,
		Act{Verb: verb, Ticket: v.ID, Version: v.Version}, submit, inputs...)
}

func textInput(label string, required bool, l Lang) Input {
	return Input{Name: InText, Label: tr(l, label), Kind: InputText, Required: required, Max: textMax}
}

func reasonInput(required bool, l Lang) Input {
	label := "in.reason_optional"
	if required {
		label = "in.reason"
	}
	return Input{Name: InReason, Label: tr(l, label), Kind: InputText, Required: required, Max: lineMax}
}

func priorityInput(p tickets.Priority, l Lang) Input {
	in := Input{Name: InPriority, Label: tr(l, "in.priority"), Kind: InputChoice, Required: true, Value: p.String()}
	for q := tickets.Priority(1); q <= 4; q++ {
		in.Options = append(in.Options, Option{Label: priorityWord(q, l), Value: q.String()})
	}
	return in
}

func typeInput(desk tickets.Desk, typ string, l Lang) Input {
	in := Input{Name: InType, Label: tr(l, "in.type"), Kind: InputChoice, Required: true, Value: typ}
	for _, t := range desk.Types {
		in.Options = append(in.Options, Option{Label: t.Name, Value: t.Key})
	}
	return in
}

// fieldInput asks for a field of a type by its kind.
func fieldInput(f tickets.Field, value string, l Lang) Input {
	in := Input{Name: InField + f.Key, Label: f.Label, Kind: InputLine, Required: f.Required, Value: value, Hint: f.Hint, Max: lineMax}
	hint := ""
	switch f.Kind {
	case tickets.FieldNumber:
		in.Kind, in.Max = InputNumber, 40
	case tickets.FieldChoice, tickets.FieldCascade:
		in.Kind, in.Max = InputChoice, 0
		for _, o := range f.Options {
			in.Options = append(in.Options, Option{Label: o, Value: o})
		}
	case tickets.FieldPerson:
		in.Kind, in.Max, hint = InputPerson, 0, "hint.person_field"
	case tickets.FieldDate:
		in.Kind, in.Max = InputDate, 0
	case tickets.FieldPhone:
		in.Kind, in.Max, hint = InputPhone, 40, "hint.phone"
	case tickets.FieldEmail:
		in.Kind, in.Max, hint = InputEmail, 254, "hint.email"
	case tickets.FieldOrder:
		in.Max = 100
	case tickets.FieldDevice:
		in.Max, hint = 100, "hint.device"
	case tickets.FieldLocation:
		in.Max, hint = 200, "hint.location"
	}
	if in.Hint == "" && hint != "" {
		in.Hint = tr(l, hint)
	}
	return in
}

// SolveForm asks what was done, and for required fields of the type that have
// no value yet: a ticket cannot be solved without them. They come back under
// InField and are set before the ticket is solved.
func SolveForm(v *tickets.View, l Lang) Card {
	what := textInput("in.solution", true, l)
	what.Hint = tr(l, "hint.solution")
	cause := Input{Name: InCause, Label: tr(l, "in.cause_text"), Kind: InputLine, Max: titleMax}
	if len(v.Desk.Causes) > 0 {
		cause = Input{Name: InCause, Label: tr(l, "in.cause"), Kind: InputChoice}
		for _, c := range v.Desk.Causes {
			cause.Options = append(cause.Options, Option{Label: c, Value: c})
		}
	}
	if s := v.Solution; s != nil { // solved before and brought back
		what.Value, cause.Value = s.Text, s.Cause
	}
	inputs := []Input{what, cause}
	if t, ok := v.Desk.TypeOf(v.Type); ok {
		for _, f := range t.Fields {
			if f.Required && !slices.ContainsFunc(v.Fields, func(have tickets.FieldView) bool { return have.Key == f.Key }) {
				inputs = append(inputs, fieldInput(f, "", l))
			}
		}
	}
	inputs = append(inputs, Input{Name: InNotify, Label: tr(l, "in.notify"), Kind: InputCheck, Value: "true"})
	return of(v, tickets.VerbSolve, l, "form.solve", "", "submit.solve", inputs...)
}

// AssignForm asks who shall own the ticket, and why when somebody owns it already.
func AssignForm(v *tickets.View, l Lang) Card {
	title := "form.assign"
	if v.Owner != "" {
		title = "form.transfer"
	}
	reason := reasonInput(v.Owner != "", l)
	reason.Hint = tr(l, "hint.reason_next")
	return of(v, tickets.VerbAssign, l, title, "", "submit.assign",
		Input{Name: InPerson, Label: tr(l, "in.person"), Kind: InputPerson, Required: true}, reason)
}

// HoldForm asks until when and why.
func HoldForm(v *tickets.View, l Lang) Card {
	title := "form.hold"
	reason := reasonInput(false, l)
	until := Input{Name: InUntil, Label: tr(l, "in.until"), Kind: InputChoice, Required: true, Value: "2h"}
	if v.Status.Paused() {
		title = "form.rehold"
		if v.Hold != nil {
			reason.Value = v.Hold.Reason
		}
	}
	for _, d := range []time.Duration{30 * time.Minute, 2 * time.Hour} {
		until.Options = append(until.Options, Option{Label: span(d, l), Value: shortDuration(d)})
	}
	for _, o := range []string{UntilTomorrow, UntilMonday, UntilCustomer, UntilOpen, UntilCustom} {
		until.Options = append(until.Options, Option{Label: tr(l, "until."+o), Value: o})
	}
	return of(v, tickets.VerbHold, l, title, "", "submit.hold", until,
		Input{Name: InTime, Label: tr(l, "in.time"), Kind: InputTime, Hint: tr(l, "hint.time")}, reason)
}

// shortDuration is what people type: 30m, 2h.
func shortDuration(d time.Duration) string {
	if d%time.Hour == 0 {
		return strconv.Itoa(int(d/time.Hour)) + "h"
	}
	return strconv.Itoa(int(d/time.Minute)) + "m"
}

// ConsultForm asks whom to ask, what, and how long to wait.
func ConsultForm(v *tickets.View, l Lang) Card {
	within := Input{Name: InWithin, Label: tr(l, "in.within"), Kind: InputChoice, Value: "2h"}
	for _, d := range []time.Duration{30 * time.Minute, 2 * time.Hour, 4 * time.Hour, 24 * time.Hour} {
		within.Options = append(within.Options, Option{Label: span(d, l), Value: shortDuration(d)})
	}
	within.Options = append(within.Options, Option{Label: tr(l, "within.none"), Value: WithinNone})
	return of(v, tickets.VerbConsult, l, "form.consult", "", "submit.consult",
		Input{Name: InPerson, Label: tr(l, "in.expert"), Kind: InputPerson, Required: true},
		textInput("in.question", true, l), within)
}

// WithinNone is the value of InWithin for a question without a limit; a menu
// cannot hold an empty value on every platform.
const WithinNone = "none"

// AnswerForm asks a consulted expert for his answer. Act.Arg is empty: the
// expert is whoever submits it.
func AnswerForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbAnswer, l, "form.answer", "", "submit.send", textInput("in.answer", true, l))
}

// EscalateForm asks for a team of the desk, or a person, and why.
func EscalateForm(v *tickets.View, l Lang) Card {
	var inputs []Input
	person := Input{Name: InPerson, Label: tr(l, "in.person"), Kind: InputPerson, Required: true}
	if len(v.Desk.Teams) > 0 {
		team := Input{Name: InTeam, Label: tr(l, "in.team"), Kind: InputChoice}
		for _, t := range v.Desk.Teams {
			team.Options = append(team.Options, Option{Label: t, Value: t})
		}
		person.Label, person.Required = tr(l, "in.leader"), false
		inputs = append(inputs, team)
	}
	reason := reasonInput(true, l)
	reason.Hint = tr(l, "hint.reason_next")
	return of(v, tickets.VerbEscalate, l, "form.escalate", "", "submit.escalate", append(inputs, person, reason)...)
}

// ReplyForm asks for a text that the requester will see.
func ReplyForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbReply, l, "form.reply", "form.reply_body", "submit.send", textInput("in.text", true, l))
}

// NoteForm asks for a text that only the team sees.
func NoteForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbNote, l, "form.note", "form.note_body", "submit.save", textInput("in.text", true, l))
}

// SayForm is the requester adding something.
func SayForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbSay, l, "form.say", "", "submit.send", textInput("in.text", true, l))
}

// RejectForm is the requester saying that it is not solved.
func RejectForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbReject, l, "form.reject", "", "submit.send", reasonInput(false, l))
}

// ReopenForm asks why a ticket comes back; reason is filled in beforehand.
func ReopenForm(v *tickets.View, reason string, l Lang) Card {
	in := reasonInput(true, l)
	in.Value = reason
	return of(v, tickets.VerbReopen, l, "form.reopen", "", "submit.reopen", in)
}

// ReleaseForm asks why a ticket is given back.
func ReleaseForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbRelease, l, "form.release", "form.release_body", "submit.release", reasonInput(true, l))
}

// MergeForm asks for the ticket that this one shall become part of.
func MergeForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbMerge, l, "form.merge", "form.merge_body", "submit.merge", numberInput(l))
}

// LinkForm asks for a related ticket.
func LinkForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbLink, l, "form.link", "", "submit.link", numberInput(l))
}

func numberInput(l Lang) Input {
	return Input{Name: InNumber, Label: tr(l, "in.number"), Kind: InputLine, Required: true, Hint: tr(l, "hint.number"), Max: 20}
}

// SplitForm asks for the title and text of the part that becomes a ticket of its own.
func SplitForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbSplit, l, "form.split", "", "submit.split",
		Input{Name: InTitle, Label: tr(l, "in.title"), Kind: InputLine, Required: true, Hint: tr(l, "hint.title"), Max: titleMax},
		textInput("in.body", false, l))
}

// RevealForm asks why a masked field is to be seen. Act.Arg is the field's key.
func RevealForm(v *tickets.View, key string, l Lang) Card {
	in := reasonInput(true, l)
	in.Hint = tr(l, "hint.reveal")
	c := of(v, tickets.VerbReveal, l, "form.reveal", "form.reveal_body", "submit.reveal", in)
	c.Title = tr(l, "form.reveal", "number", strconv.FormatInt(v.Number, 10), "label", fieldLabel(v, key))
	c.Form.Act.Arg = key
	return c
}

func fieldLabel(v *tickets.View, key string) string {
	if f, ok := fieldOf(v, key); ok {
		return f.Label
	}
	return ""
}

func fieldOf(v *tickets.View, key string) (tickets.Field, bool) {
	if t, ok := v.Desk.TypeOf(v.Type); ok {
		for _, f := range t.Fields {
			if f.Key == key {
				return f, true
			}
		}
	}
	for _, f := range v.Fields {
		if f.Key == key {
			return f.Field, true
		}
	}
	return tickets.Field{}, false
}

// TypeForm asks for another type.
func TypeForm(v *tickets.View, l Lang) Card {
	body := ""
	if v.Type != "" {
		body = "form.type_body"
	}
	return of(v, tickets.VerbType, l, "form.type", body, "submit.save", typeInput(v.Desk, v.Type, l))
}

// PriorityForm asks for another priority, where a menu cannot.
func PriorityForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbPriority, l, "form.priority", "", "submit.save", priorityInput(v.Priority, l), reasonInput(false, l))
}

// FieldForm asks for one field of the ticket's type. A masked value is not
// filled in: submitting the form unchanged would store the mask.
func FieldForm(v *tickets.View, key string, l Lang) Card {
	f, ok := fieldOf(v, key)
	if !ok {
		f = tickets.Field{Key: key, Label: key, Kind: tickets.FieldText}
	}
	in := fieldInput(f, "", l)
	in.Required = false // empty clears it; a required field is guarded by the rules
	for _, have := range v.Fields {
		switch {
		case have.Key != key:
		case have.Masked || f.Kind.Personal():
			in.Hint = tr(l, "hint.masked")
		case f.Kind == tickets.FieldPerson: // a name is shown; the picker wants an account
		default:
			in.Value = have.Value
		}
	}
	c := of(v, tickets.VerbField, l, "form.field", "", "submit.save", in)
	c.Title = tr(l, "form.field", "number", strconv.FormatInt(v.Number, 10), "label", f.Label)
	c.Form.Act.Arg = key
	return c
}

// TagForm asks for tags to add and one to remove.
func TagForm(v *tickets.View, l Lang) Card {
	inputs := []Input{{Name: InAdd, Label: tr(l, "in.add"), Kind: InputLine, Required: len(v.Tags) == 0, Hint: tr(l, "hint.tags"), Max: titleMax}}
	if len(v.Tags) > 0 {
		remove := Input{Name: InRemove, Label: tr(l, "in.remove"), Kind: InputChoice}
		for _, t := range v.Tags {
			remove.Options = append(remove.Options, Option{Label: t, Value: t})
		}
		inputs = append(inputs, remove)
	}
	return of(v, tickets.VerbTag, l, "form.tag", "", "submit.save", inputs...)
}

// WithdrawForm asks why a ticket ends without work.
func WithdrawForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbWithdraw, l, "form.withdraw", "", "submit.withdraw", reasonInput(false, l))
}

// CloseForm asks why a ticket is closed.
func CloseForm(v *tickets.View, l Lang) Card {
	return of(v, tickets.VerbClose, l, "form.close", "", "submit.close", reasonInput(false, l))
}

// FormFor returns the form of a verb on a ticket; arg is Act.Arg, or the choice
// where the button was a menu. false: the verb needs no form, or asks for
// something that the ticket has not.
func FormFor(verb tickets.Verb, v *tickets.View, arg string, l Lang) (Card, bool) {
	switch verb {
	case tickets.VerbReveal, tickets.VerbField:
		if _, ok := fieldOf(v, arg); !ok {
			return Card{}, false
		}
		if verb == tickets.VerbField {
			return FieldForm(v, arg, l), true
		}
		return RevealForm(v, arg, l), true
	}
	make, ok := formsByVerb[verb]
	if !ok {
		return Card{}, false
	}
	return make(v, l), true
}

var formsByVerb = map[tickets.Verb]func(*tickets.View, Lang) Card{
	tickets.VerbSolve:    SolveForm,
	tickets.VerbAssign:   AssignForm,
	tickets.VerbHold:     HoldForm,
	tickets.VerbConsult:  ConsultForm,
	tickets.VerbAnswer:   AnswerForm,
	tickets.VerbEscalate: EscalateForm,
	tickets.VerbReply:    ReplyForm,
	tickets.VerbNote:     NoteForm,
	tickets.VerbSay:      SayForm,
	tickets.VerbReject:   RejectForm,
	tickets.VerbReopen:   func(v *tickets.View, l Lang) Card { return ReopenForm(v, "", l) },
	tickets.VerbRelease:  ReleaseForm,
	tickets.VerbMerge:    MergeForm,
	tickets.VerbLink:     LinkForm,
	tickets.VerbSplit:    SplitForm,
	tickets.VerbType:     TypeForm,
	tickets.VerbPriority: PriorityForm,
	tickets.VerbTag:      TagForm,
	tickets.VerbWithdraw: WithdrawForm,
	tickets.VerbClose:    CloseForm,
}

// WithErrors returns the form with what is wrong beside its inputs. Errors for
// names that the form does not ask for stand under its last input, so that none is lost.
func WithErrors(c Card, errs map[string]string) Card {
	if c.Form == nil || len(errs) == 0 {
		return c
	}
	c.Form = c.Form.clone()
	var rest []string
	for name, text := range errs {
		i := slices.IndexFunc(c.Form.Inputs, func(in Input) bool { return in.Name == name })
		if i < 0 {
			rest = append(rest, text)
			continue
		}
		c.Form.Inputs[i].Error = text
	}
	if len(rest) > 0 && len(c.Form.Inputs) > 0 {
		slices.Sort(rest)
		last := &c.Form.Inputs[len(c.Form.Inputs)-1]
		if last.Error != "" {
			rest = append([]string{last.Error}, rest...)
		}
		last.Error = strings.Join(rest, " ")
	}
	return c
}

// WithValues returns the form with values filled in, as when it is shown again
// after a choice changed its inputs.
func WithValues(c Card, values map[string]string) Card {
	if c.Form == nil || len(values) == 0 {
		return c
	}
	c.Form = c.Form.clone()
	for i := range c.Form.Inputs {
		if v, ok := values[c.Form.Inputs[i].Name]; ok {
			c.Form.Inputs[i].Value = v
		}
	}
	return c
}

func (f *Form) clone() *Form {
	g := *f
	g.Inputs = slices.Clone(f.Inputs)
	return &g
}
