package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// Where a platform shows no forms, a form is asked in a private chat: what must
// be known one question after the other, the rest together at the end. Then it
// is submitted as the form would have been. What has been said so far lies on a
// shelf by the person's account; a state gives way to the next one only once, so
// several processes and a message that is delivered again do no harm.

const (
	dialogueFor = 15 * time.Minute // after the last answer
	lapsedFor   = 2 * time.Hour    // for which somebody who answers too late is told so
	cameKept    = 20               // messages that are remembered as answers
	peopleAsked = 9                // people offered by number
)

// dialogue is a form that somebody is being asked.
type dialogue struct {
	ID    string // of the event that began it
	Step  int    // rises with every answer
	Until time.Time
	Over  bool     `json:",omitempty"` // has ended; Came still tells what was an answer
	Came  []string `json:",omitempty"` // ids of the messages that were answers
	Lang  cards.Lang
	Title string
	Intro string `json:",omitempty"`
	Token string // of the form

	Inputs []cards.Input
	Values map[string]string // so far, by input
	Given  map[string]bool   // inputs that were answered
	Names  map[string]string `json:",omitempty"` // of people, by id
	Wrong  map[string]string `json:",omitempty"` // why an input's answer was refused
	Asked  string            `json:",omitempty"` // the input that was asked last; "" = all the rest
	Want   string            `json:",omitempty"` // an input that he wants to be asked
	Choose []cards.Option    `json:",omitempty"` // people offered by number
	For    string            `json:",omitempty"` // the input that Choose is for
	Ready  bool              `json:",omitempty"` // nothing more is to come
	Files  []File            `json:",omitempty"`

	// Where it began, which is where a form would have been submitted.
	Conv    ConvRef
	Private bool       `json:",omitempty"`
	Thread  MessageRef `json:",omitempty"`
}

// asks reports whether forms are asked in a chat here.
func (t *turn) asks() bool {
	_, opens := t.adapter.(FormOpener)
	return !opens && !t.adapter.Caps().Forms
}

// canAsk reports whether an answer to this event can bring a form, in one way or
// another.
func (t *turn) canAsk() bool {
	return t.ev.Trigger != "" || t.inline().Form || t.asks()
}

// ask begins a dialogue where a reply holds a form that cannot be shown.
func (t *turn) ask(ctx context.Context, r Reply) (Reply, error) {
	if r.Form == nil || t.inline().Form || !t.asks() {
		return r, nil
	}
	form := *r.Form
	r.Form, r.Errors = nil, nil
	token, err := t.b.seal.Token(form.Form.Act, t.install.String())
	if err != nil {
		return Reply{}, err
	}
	d := &dialogue{
		ID: t.once(), Until: t.b.now().Add(dialogueFor), Lang: form.Lang, Title: form.Title, Intro: form.Body, Token: token, Inputs: form.Form.Inputs,
		Values: map[string]string{}, Given: map[string]bool{}, Names: map[string]string{}, Wrong: map[string]string{},
		Conv: t.ev.Conv, Private: t.ev.Private, Thread: t.ev.Thread, Files: t.ev.Files,
	}
	for _, in := range d.Inputs {
		d.Values[in.Name] = in.Value
	}
	card, err := t.question(ctx, d)
	if err != nil {
		return Reply{}, err
	}
	began := false
	err = t.b.change(ctx, "dialogue", t.ev.User.String(), lapsedFor, func(old string) (string, error) {
		was, err := readDialogue(old)
		if err != nil {
			return "", err
		}
		if began = was == nil || was.ID != d.ID; !began {
			return old, nil // told twice of one thing
		}
		if was != nil {
			d.Came = was.Came
		}
		return d.doc()
	})
	if err != nil || !began {
		return Reply{}, err
	}
	if t.ev.Private {
		r.Hint = &card
		return r, nil
	}
	if in := t.inline(); in.Hint || in.Toast {
		r.Toast = cards.AskedInPrivate(t.lang())
	}
	t.b.after(ctx, "ask in private", func(ctx context.Context) error { return t.askInPrivate(ctx, d.ID, card) })
	return r, nil
}

// askInPrivate sends a question to somebody who is in a group just now.
func (t *turn) askInPrivate(ctx context.Context, once string, c cards.Card) error {
	c, err := t.b.drawn(t.adapter, t.install, false, c)
	if err != nil {
		return err
	}
	to := Private(t.ev.User)
	ref, err := t.adapter.Post(ctx, to, "dialogue:"+once, c)
	if errors.Is(err, ErrMustSpeak) && !t.ev.Conv.IsZero() {
		line := cards.SpeakFirst(t.lang())
		line.Ping = []string{t.ev.User.ID}
		if line, err = t.b.drawn(t.adapter, t.install, true, line); err != nil {
			return err
		}
		_, err = t.adapter.Post(ctx, To(t.ev.Conv), "speak:"+once, line)
		return err
	}
	if err == nil {
		t.b.remember(ctx, t.adapter, to.Lane(), "", ref, c)
	}
	return err
}

func readDialogue(doc string) (*dialogue, error) {
	if doc == "" {
		return nil, nil
	}
	d := &dialogue{Values: map[string]string{}, Given: map[string]bool{}, Names: map[string]string{}, Wrong: map[string]string{}}
	if err := json.Unmarshal([]byte(doc), d); err != nil {
		return nil, fmt.Errorf("read dialogue: %w", err)
	}
	return d, nil
}

func (d *dialogue) doc() (string, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("keep dialogue: %w", err)
	}
	return string(b), nil
}

// end forgets what was said, but not that it was.
func (d *dialogue) end() { *d = dialogue{ID: d.ID, Step: d.Step, Over: true, Came: d.Came} }

// replied takes a private message as the answer to what its author was asked.
// false: he was asked nothing, or means something else.
func (t *turn) replied(ctx context.Context) (Reply, bool, error) {
	if !t.ev.Private || !t.asks() {
		return Reply{}, false, nil
	}
	shelf, name := t.b.shelf("dialogue"), t.ev.User.String()
	for range maxTurns {
		old, err := shelf.Get(ctx, name)
		if err != nil {
			return Reply{}, false, err
		}
		d, err := readDialogue(old)
		switch {
		case err != nil:
			return Reply{}, false, err
		case d == nil:
			return Reply{}, false, nil
		case slices.Contains(d.Came, t.ev.ID):
			return Reply{}, true, nil // delivered again
		case d.Over:
			return Reply{}, cancels.MatchString(fold(t.ev.Text)), nil // there is nothing more to be cancelled
		case t.orderAside():
			return Reply{}, false, nil
		}
		var r Reply
		mine := true
		if t.b.now().Before(d.Until) {
			r, err = t.goOnWith(ctx, d)
		} else {
			r, mine = t.tooLate(d)
		}
		if err != nil {
			return Reply{}, true, err
		}
		doc, err := d.doc()
		if err != nil {
			return Reply{}, true, err
		}
		if done, err := shelf.Swap(ctx, name, old, doc, lapsedFor); err != nil || done {
			return r, mine, err
		}
	}
	return Reply{}, true, fmt.Errorf("dialogue: %w", errBusy)
}

// reBareNumber is a ticket's number alone, which answers a question for one.
var reBareNumber = regexp.MustCompile(`^[ ]*#?[ ]?\d+[ ]*$`)

// orderAside reports whether a message is an order about a ticket that it names,
// and no answer.
func (t *turn) orderAside() bool {
	in := Parse(t.ev.Text, t.ev.Mentions, t.b.now(), t.b.zone)
	switch in.Verb {
	case VerbNone, VerbUnknown, VerbPick:
		return false
	}
	return in.Number != 0 && !reBareNumber.MatchString(fold(t.ev.Text))
}

// tooLate ends a dialogue whose time has run out. Who only said yes, no or a
// number is told so; all else is taken for what it says.
func (t *turn) tooLate(d *dialogue) (Reply, bool) {
	w := fold(t.ev.Text)
	_, number := readPick(w)
	said := number || cancels.MatchString(w) || finish.MatchString(w)
	c := cards.Lapsed(d.Title, d.Lang)
	d.end()
	if !said {
		return Reply{}, false
	}
	d.Came = append(d.Came, t.ev.ID)
	return Reply{Hint: &c}, true
}

// goOnWith takes one answer and says what comes next. It may submit the form,
// which is done once for a step, however often it is tried.
func (t *turn) goOnWith(ctx context.Context, d *dialogue) (Reply, error) {
	d.Step++
	d.Until = t.b.now().Add(dialogueFor)
	d.Came = append(d.Came, t.ev.ID)
	d.Came = d.Came[max(0, len(d.Came)-cameKept):]
	d.Files = append(d.Files, t.ev.Files...)
	d.Intro = ""
	text := strings.TrimSpace(t.ev.Text)
	if cancels.MatchString(fold(text)) {
		c := cards.Dropped(d.Title, d.Lang)
		d.end()
		return Reply{Hint: &c}, nil
	}
	rest := ""
	switch {
	case text == "":
	case d.Asked == "":
		why, err := t.takeRest(ctx, d, text)
		if err != nil {
			return Reply{}, err
		}
		rest = why
	default:
		if err := t.takeAsked(ctx, d, text); err != nil {
			return Reply{}, err
		}
	}
	if r, done, err := t.submitted(ctx, d, rest == "" && text != ""); done || err != nil {
		return r, err
	}
	c, err := t.questionAfter(ctx, d, rest, len(t.ev.Files))
	return Reply{Hint: &c}, err
}

// submitted submits the form when nothing is left to be asked. What is refused
// is asked again.
func (t *turn) submitted(ctx context.Context, d *dialogue, heard bool) (Reply, bool, error) {
	if _, more := d.next(); more || !heard {
		return Reply{}, false, nil
	}
	act, err := t.b.seal.Open(d.Token, t.install.String())
	if err != nil {
		return Reply{}, true, fmt.Errorf("open a form: %w", err)
	}
	sub := t.instead(d)
	sub.ev.ID = "dialogue:" + d.ID + "." + strconv.Itoa(d.Step)
	sub.ev.Kind, sub.ev.Files = Submit, d.Files
	r, err := sub.submit(ctx)
	t.actor, t.known = sub.actor, sub.known
	if err != nil {
		return Reply{}, true, err
	}
	lost := ""
	for name, why := range r.Errors {
		if d.input(name) == nil {
			lost = why
			continue
		}
		d.Wrong[name] = why
		delete(d.Given, name)
	}
	if len(d.Wrong) > 0 {
		d.Ready = true
		return Reply{}, false, nil
	}
	r.Form, r.Errors = nil, nil
	if err := sub.attach(ctx, act); err != nil {
		return Reply{}, true, err
	}
	switch {
	case lost != "":
		c := cards.Hint(lost, d.Lang)
		r.Hint = &c
	case r.Hint == nil && act.Verb == tickets.VerbOpen && sub.origin().Lane == t.lane():
		r.Toast = "" // the receipt comes to this very chat
	case r.Empty():
		r.Toast = cards.Submitted(d.Title, d.Lang)
	}
	d.end()
	return r, true, nil
}

// attach keeps the files that came while a form was asked whose command takes none.
func (t *turn) attach(ctx context.Context, act cards.Act) error {
	switch act.Verb {
	case tickets.VerbOpen, tickets.VerbOpenFor, tickets.VerbReply, tickets.VerbNote, tickets.VerbSay:
		return nil // they have taken them
	}
	if len(t.ev.Files) == 0 || act.Ticket == "" {
		return nil
	}
	tk, err := t.b.svc.Ticket(ctx, act.Ticket)
	if err != nil {
		return err
	}
	var c tickets.Command = tickets.Say{Files: t.files()}
	if t.actor.Works(tk.Desk) {
		c = tickets.Note{Files: t.files()}
	}
	_, err = t.do(ctx, tickets.Request{Once: t.once() + ".files", Ticket: act.Ticket, Command: c, Origin: t.origin()})
	if tickets.CodeOf(err) != "" {
		t.b.log.Info("files of a form were not kept", "ticket", string(act.Ticket), "err", err)
		return nil // the ticket has come to its end by what was submitted
	}
	return err
}

// instead is a turn for what a form of the platform's would have sent.
func (t *turn) instead(d *dialogue) *turn {
	sub := *t
	sub.ev.Token, sub.ev.Values = d.Token, maps.Clone(d.Values)
	sub.ev.Conv, sub.ev.Private, sub.ev.Thread = d.Conv, d.Private, d.Thread
	sub.ev.Message, sub.ev.Quote, sub.ev.QuoteText, sub.ev.Text, sub.ev.Mentions = "", "", "", "", nil
	return &sub
}

// input is the input of that name; nil when the form has none.
func (d *dialogue) input(name string) *cards.Input {
	for i := range d.Inputs {
		if d.Inputs[i].Name == name {
			return &d.Inputs[i]
		}
	}
	return nil
}

// needed reports whether an input is asked by itself: it must be filled in, and
// nothing stands in it beforehand.
func (d *dialogue) needed(in cards.Input) bool {
	if in.Name == cards.InTime && d.input(cards.InUntil) != nil { // only for a time of one's own
		return d.Values[cards.InUntil] == cards.UntilCustom
	}
	return in.Required && in.Value == ""
}

// idle reports whether an input is not asked at all as the others are filled in.
func (d *dialogue) idle(in cards.Input) bool {
	return in.Name == cards.InTime && d.input(cards.InUntil) != nil && d.Values[cards.InUntil] != cards.UntilCustom
}

// rest are the inputs that may be filled in at the end.
func (d *dialogue) rest() []cards.Input {
	return slices.DeleteFunc(slices.Clone(d.Inputs), func(in cards.Input) bool { return d.needed(in) || d.idle(in) })
}

// next is what is asked now: an input, or with "" all the rest. false: nothing is.
func (d *dialogue) next() (string, bool) {
	for _, in := range d.Inputs {
		if d.Wrong[in.Name] != "" && !d.idle(in) {
			return in.Name, true
		}
	}
	for _, in := range d.Inputs {
		if d.needed(in) && d.Values[in.Name] == "" {
			return in.Name, true
		}
	}
	if d.input(d.Want) != nil {
		return d.Want, true
	}
	rest := d.rest()
	if len(rest) == 1 && !d.Given[rest[0].Name] && !d.Ready && !inWords(rest[0]) && (rest[0].Required || rest[0].Value == "") {
		return rest[0].Name, true
	}
	open := slices.ContainsFunc(rest, func(in cards.Input) bool { return !d.Given[in.Name] })
	return "", open && !d.Ready
}

// inWords reports whether an input takes whatever is said about a ticket.
func inWords(in cards.Input) bool {
	return (in.Kind == cards.InputText || in.Kind == cards.InputLine) && !strings.HasPrefix(in.Name, cards.InField)
}

// question is what is asked now, and remembers that it was.
func (t *turn) question(ctx context.Context, d *dialogue) (cards.Card, error) {
	return t.questionAfter(ctx, d, "", 0)
}

// questionAfter is question after an answer that brought files, or of which it
// was not clear what it is for: why.
func (t *turn) questionAfter(ctx context.Context, d *dialogue, why string, files int) (cards.Card, error) {
	act, err := t.b.seal.Open(d.Token, t.install.String())
	if err != nil {
		return cards.Card{}, fmt.Errorf("open a form: %w", err)
	}
	q := cards.Question{
		Title: d.Title, Intro: d.Intro, Files: files, Wrong: why,
		New: act.Verb == tickets.VerbOpen || act.Verb == tickets.VerbOpenFor,
	}
	d.Asked, _ = d.next()
	in := d.input(d.Asked)
	if in == nil {
		return t.questionRest(d, q), nil
	}
	q.Input = *in
	q.Input.Required = in.Required || d.needed(*in) || d.Wrong[in.Name] != ""
	if d.Wrong[in.Name] != "" {
		q.Wrong = d.Wrong[in.Name]
	}
	if in.Kind == cards.InputPerson {
		if d.For != in.Name {
			if d.Choose, err = t.offered(ctx, act, *in); err != nil {
				return cards.Card{}, err
			}
			d.For = in.Name
		}
		q.Input.Options = d.Choose
	}
	return cards.Ask(q, d.Lang), nil
}

func (t *turn) questionRest(d *dialogue, q cards.Question) cards.Card {
	var given []cards.Fact
	for _, in := range d.Inputs {
		if d.needed(in) && d.Values[in.Name] != "" {
			given = append(given, cards.Fact{Label: cards.AskedAs(in), Value: d.reads(in)})
		}
	}
	var items []cards.Item
	for _, in := range d.rest() {
		items = append(items, cards.Item{Input: in, Shown: d.reads(in)})
	}
	return cards.AskRest(q, given, items, d.Lang)
}

// reads is what an input says so far, as people read it.
func (d *dialogue) reads(in cards.Input) string {
	v := d.Values[in.Name]
	switch {
	case in.Kind == cards.InputCheck:
		return cards.YesNo(v == "true", d.Lang)
	case in.Kind == cards.InputPerson && d.Names[v] != "":
		return d.Names[v]
	case in.Kind == cards.InputTime:
		return strings.Replace(v, "T", " ", 1)
	}
	for _, o := range in.Options {
		if o.Value == v {
			return o.Label
		}
	}
	return v
}

// offered are the people who may be meant most often: those of the desk, where
// somebody is to work on a ticket.
func (t *turn) offered(ctx context.Context, act cards.Act, in cards.Input) ([]cards.Option, error) {
	if in.Name != cards.InPerson || act.Ticket == "" {
		return nil, nil
	}
	tk, err := t.b.svc.Ticket(ctx, act.Ticket)
	if err != nil {
		return nil, err
	}
	all, err := t.b.svc.Workers(ctx, tk.Desk, t.install.String(), peopleAsked+1)
	if err != nil {
		return nil, err
	}
	if t.learnNames(ctx, all) {
		if all, err = t.b.svc.Workers(ctx, tk.Desk, t.install.String(), peopleAsked+1); err != nil {
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(a tickets.Account) bool { return a.Person == tk.Owner })
	return t.options(all, false), nil
}

// learnNames asks the platform, all at once, what those are called who have not
// spoken yet, and reports whether there were any. Who cannot be looked up is not
// offered.
func (t *turn) learnNames(ctx context.Context, all []tickets.Account) bool {
	if _, ok := t.adapter.(UserFinder); !ok {
		return false
	}
	var asked sync.WaitGroup
	any := false
	for _, a := range all {
		u, err := parseUser(a.Ref)
		if err != nil || !nameless(a.Name, u) {
			continue
		}
		any = true
		asked.Go(func() {
			if _, err := t.b.ensure(ctx, t.adapter, User{Ref: u}, true); err != nil {
				t.b.log.Warn("user was not introduced", "install", t.install.String(), "err", err)
			}
		})
	}
	asked.Wait()
	return any
}

// options are people by number; told apart by their ids where their names do not.
func (t *turn) options(all []tickets.Account, ids bool) []cards.Option {
	var out []cards.Option
	for _, a := range all[:min(len(all), peopleAsked)] {
		u, err := parseUser(a.Ref)
		if err != nil || nameless(a.Name, u) {
			continue
		}
		o := cards.Option{Label: a.Name, Value: u.ID}
		if ids {
			o.Label += " (" + u.ID + ")"
		}
		out = append(out, o)
	}
	return out
}

// takeAsked reads the answer to the input that was asked. What stands below the
// first line of an answer of one line is for the others.
func (t *turn) takeAsked(ctx context.Context, d *dialogue, text string) error {
	in := d.input(d.Asked)
	if in == nil {
		return fmt.Errorf("dialogue asks for %q, which its form has not", d.Asked)
	}
	if w := fold(text); in.Kind != cards.InputCheck && !d.needed(*in) && d.Values[in.Name] != "" && finish.MatchString(w) && !nothing.MatchString(w) {
		d.Given[in.Name] = true // as it stands
		delete(d.Wrong, in.Name)
		if d.Want == in.Name {
			d.Want = ""
		}
		return nil
	}
	body := d.input(cards.InText)
	if in.Name == cards.InTitle && body != nil && !d.Given[cards.InText] && in.Max > 0 && utf8.RuneCountInString(text) > in.Max {
		text = firstLine(text) + "\n" + text // the whole is the description
	}
	if in.Kind == cards.InputLine && strings.Contains(text, "\n") {
		first, below, _ := strings.Cut(text, "\n")
		if kept, err := t.takeBelow(ctx, d, *in, strings.TrimSpace(below)); err != nil {
			return err
		} else if kept {
			text = first
		}
	}
	return t.take(ctx, d, *in, text)
}

// takeBelow reads further lines of an answer: «优先级：P1» for the input that is
// called so, and all else for the first that takes a text. false: there is none.
func (t *turn) takeBelow(ctx context.Context, d *dialogue, asked cards.Input, below string) (bool, error) {
	others := slices.DeleteFunc(slices.Clone(d.Inputs), func(in cards.Input) bool { return in.Name == asked.Name || d.Given[in.Name] || d.idle(in) })
	var free []string
	type found struct {
		in   cards.Input
		text string
	}
	var named []found
	for line := range strings.Lines(below) {
		line = strings.TrimSpace(line)
		i := slices.IndexFunc(others, func(in cards.Input) bool {
			rest, ok := strings.CutPrefix(line, cards.AskedAs(in))
			return ok && strings.HasPrefix(fold(rest), ":")
		})
		if i < 0 {
			free = append(free, line)
			continue
		}
		_, value, _ := strings.Cut(strings.ReplaceAll(line[len(cards.AskedAs(others[i])):], "：", ":"), ":")
		named = append(named, found{others[i], value})
	}
	text := slices.IndexFunc(others, func(in cards.Input) bool { return in.Kind == cards.InputText })
	if text < 0 && len(free) > 0 {
		return false, nil
	}
	for _, f := range named {
		if err := t.take(ctx, d, f.in, f.text); err != nil {
			return false, err
		}
	}
	if len(free) > 0 {
		return true, t.take(ctx, d, others[text], strings.Join(free, "\n"))
	}
	return true, nil
}

// takeRest reads an answer to all that may still be said. why: nothing in it
// could be made out.
func (t *turn) takeRest(ctx context.Context, d *dialogue, text string) (why string, err error) {
	items := d.rest()
	labels := make([]string, len(items))
	for i, in := range items {
		labels[i] = cards.AskedAs(in)
	}
	parts, done := readRest(labels, text)
	if len(items) == 1 && inWords(items[0]) { // «1 号楼» is what it says
		if done = finish.MatchString(fold(text)); !done {
			parts = []heard{{0, text}}
		}
	}
	for _, p := range parts {
		at := p.at
		if at < 0 {
			if at = d.free(items, p.text, t.b.now().In(t.b.zone)); at < 0 {
				return cards.BadAnswer(cards.Input{}, "rest", p.text, d.Lang), nil
			}
		}
		if p.text == "" { // «2»: what shall it be?
			d.Want = items[at].Name
			continue
		}
		if err := t.take(ctx, d, items[at], p.text); err != nil {
			return "", err
		}
	}
	d.Ready = done
	return "", nil
}

// free is the item that words without a number are for: one that has a choice of
// exactly that name or waits for such a time, else the first text that nobody has
// given yet; -1 when there is none.
func (d *dialogue) free(items []cards.Input, text string, now time.Time) int {
	for i, in := range items {
		exact := func(o cards.Option) bool {
			return fold(o.Label) == fold(text) || o.Value != "" && fold(o.Value) == fold(text)
		}
		if slices.ContainsFunc(in.Options, exact) {
			return i
		}
		if in.Name == cards.InUntil {
			if _, ok := readTime(text, now); ok {
				return i
			}
		}
	}
	for _, kind := range []cards.InputKind{cards.InputText, cards.InputLine} {
		i := slices.IndexFunc(items, func(in cards.Input) bool { return in.Kind == kind && !d.Given[in.Name] })
		if i >= 0 {
			return i
		}
	}
	return -1
}

// take reads an answer to an input, or remembers why it is none.
func (t *turn) take(ctx context.Context, d *dialogue, in cards.Input, text string) error {
	delete(d.Wrong, in.Name)
	if d.Want == in.Name {
		d.Want = ""
	}
	if !in.Required && !d.needed(in) && in.Kind != cards.InputCheck && nothing.MatchString(fold(text)) {
		d.Values[in.Name], d.Given[in.Name] = "", true
		return nil
	}
	var value, why string
	if in.Kind == cards.InputPerson {
		var err error
		if value, why, err = t.takePerson(ctx, d, in, text); err != nil {
			return err
		}
		if name, words, more := strings.Cut(text, " "); why == "person" && more { // 赵六 网络问题
			id, unknown, err := t.takePerson(ctx, d, in, name)
			if err != nil {
				return err
			}
			at := d.free(d.Inputs, words, t.b.now().In(t.b.zone))
			if unknown == "" && at >= 0 && inWords(d.Inputs[at]) {
				value, why = id, ""
				if err := t.take(ctx, d, d.Inputs[at], words); err != nil {
					return err
				}
			}
		}
	} else {
		value, why = readValue(in, text, t.b.now().In(t.b.zone))
	}
	if why != "" && in.Name == cards.InUntil && d.input(cards.InTime) != nil { // 挂起到 明天下午3点
		if at, ok := readTime(text, t.b.now().In(t.b.zone)); ok {
			d.Values[cards.InTime], d.Given[cards.InTime] = at.Format("2006-01-02T15:04"), true
			value, why = cards.UntilCustom, ""
		}
	}
	if why == "" && value == "" && in.Required && in.Kind != cards.InputCheck {
		why = "required"
	}
	if why != "" {
		d.Wrong[in.Name] = cards.BadAnswer(in, why, text, d.Lang)
		return nil
	}
	changed := d.Values[in.Name] != value
	d.Values[in.Name], d.Given[in.Name] = value, true
	if in.Reload && changed {
		return t.remade(ctx, d)
	}
	return nil
}

// takePerson finds out who is meant: a mention, a number of those who were
// offered, oneself, a name that somebody known bears, or an id that the platform
// knows.
func (t *turn) takePerson(ctx context.Context, d *dialogue, in cards.Input, text string) (id, why string, err error) {
	for _, m := range t.ev.Mentions {
		if !m.Group && !m.User.IsZero() {
			if d.Names[m.User.ID] = m.Name; m.Name == "" {
				delete(d.Names, m.User.ID)
			}
			return m.User.ID, "", nil
		}
	}
	if d.For == in.Name {
		n, err := strconv.Atoi(strings.TrimRight(fold(text), " .、。)"))
		for i, o := range d.Choose {
			if err == nil && n == i+1 || fold(o.Label) == fold(text) {
				d.Names[o.Value], _, _ = strings.Cut(o.Label, " (")
				return o.Value, "", nil
			}
		}
	}
	if err := t.who(ctx); err != nil {
		return "", "", err
	}
	if w := fold(text); w == "我" || w == "自己" || w == "我自己" || w == "me" || w == "myself" {
		d.Names[t.ev.User.ID] = t.actor.Name
		return t.ev.User.ID, "", nil
	}
	all, err := t.b.svc.Named(ctx, t.install.String(), text, peopleAsked)
	if err != nil {
		return "", "", err
	}
	switch len(all) {
	case 1:
		u, err := parseUser(all[0].Ref)
		d.Names[u.ID] = all[0].Name
		return u.ID, "", err
	case 0:
		id, err := t.byID(ctx, d, text)
		if id == "" && err == nil {
			why = "person"
		}
		return id, why, err
	}
	d.Choose, d.For = t.options(all, true), in.Name
	return "", "many", nil
}

// rePlatformID is what ids of people look like where people know them.
var rePlatformID = regexp.MustCompile(`^@?[A-Za-z0-9][A-Za-z0-9_.@-]{1,63}$`)

// byID asks the platform whether an id that was written names somebody.
func (t *turn) byID(ctx context.Context, d *dialogue, text string) (string, error) {
	f, ok := t.adapter.(UserFinder)
	if !ok || !rePlatformID.MatchString(text) {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, introduceTime)
	defer cancel()
	id := strings.TrimPrefix(text, "@")
	u, err := f.FindUser(ctx, UserRef{t.install, id})
	if err != nil || u.Deleted || u.Bot {
		if err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrRejected) {
			t.b.log.Info("nobody was found by id", "install", t.install.String(), "err", err)
		}
		return "", nil
	}
	if u.Name != "" {
		d.Names[id] = u.Name
	}
	return id, nil
}

// remade asks for what the form has now that an answer changed it. What was said
// for inputs that it still has is kept.
func (t *turn) remade(ctx context.Context, d *dialogue) error {
	sub := t.instead(d)
	sub.ev.Kind = Reload
	r, err := sub.reload(ctx)
	t.actor, t.known = sub.actor, sub.known
	if err != nil || r.Form == nil {
		return err
	}
	before := map[string]string{}
	for _, in := range d.Inputs {
		before[in.Name] = in.Value
	}
	values, given := map[string]string{}, map[string]bool{}
	d.Inputs = r.Form.Form.Inputs
	for i := range d.Inputs {
		in := &d.Inputs[i]
		values[in.Name] = in.Value
		if was, ok := before[in.Name]; ok {
			in.Value = was
			values[in.Name] = d.Values[in.Name]
			given[in.Name] = d.Given[in.Name]
		}
	}
	d.Values = values
	maps.DeleteFunc(given, func(_ string, yes bool) bool { return !yes })
	d.Given = given
	maps.DeleteFunc(d.Wrong, func(name, _ string) bool { return d.input(name) == nil })
	return nil
}
