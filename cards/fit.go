package cards

import (
	"slices"
	"strings"

	"github.com/paidan/paidan/tickets"
)

const (
	altMax    = 150
	noteMax   = 200
	factsKept = 6   // facts that outlive the tail of the body
	bodyKept  = 200 // characters of the body that outlive rows
)

// Fit cleans a card and cuts it to a platform's limits, once for all platforms.
//
//   - One-line texts lose line breaks, control and invisible characters; the
//     body and wide facts keep their lines.
//   - Menus inside the More menu become single choices of it, and so do menus
//     among the buttons where Caps.Menus is false: their Act.Arg is the choice.
//   - Buttons beyond Caps.Buttons move to More, primary ones last.
//   - Texts are cut at whole characters, with "…" and, for a ticket, a way to
//     the whole text (ArgWhole). Characters are counted as UTF-16 units.
//   - Rows beyond Caps.Rows give way to one row that tells how many there are.
//   - When the whole is too large (Caps.Total, Caps.Blocks), facts beyond the
//     first six go first, then the tail of the body, then rows, then all but the
//     first two facts, More, and the rest of the body.
//
// Title, primary actions and every input of a form always stay. Fit changes
// nothing in c's own slices, and fitting twice is the same as fitting once. It
// fills Alt when that is empty.
func Fit(c Card, caps Caps) Card {
	f := fitter{c: c.clone(), caps: caps}
	f.clean()
	f.fitTexts()
	f.fitActions()
	f.fitFacts()
	f.fitRows(caps.Rows)
	f.fitForm()
	f.fitWhole()
	if f.cutSome {
		f.offerWhole()
		f.fitWhole()
	}
	f.c.Badges, f.c.Facts, f.c.Rows = orNil(f.c.Badges), orNil(f.c.Facts), orNil(f.c.Rows)
	f.c.Actions, f.c.More = orNil(f.c.Actions), orNil(f.c.More)
	return f.c
}

// orNil makes no difference between what was empty and what was emptied.
func orNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

// fitter is one card on its way to fit.
type fitter struct {
	c       Card
	caps    Caps
	cutSome bool // something people wrote is not shown
}

// clone copies everything that Fit writes to.
func (c Card) clone() Card {
	c.Badges = slices.Clone(c.Badges)
	c.Facts = slices.Clone(c.Facts)
	for i, f := range c.Facts {
		if f.Action != nil {
			a := f.Action.clone()
			c.Facts[i].Action = &a
		}
	}
	c.Rows = slices.Clone(c.Rows)
	for i, r := range c.Rows {
		c.Rows[i].Actions = cloneActions(r.Actions)
	}
	c.Actions = cloneActions(c.Actions)
	c.More = cloneActions(c.More)
	if c.Form != nil {
		c.Form = c.Form.clone()
		for i, in := range c.Form.Inputs {
			c.Form.Inputs[i].Options = slices.Clone(in.Options)
		}
	}
	return c
}

func (a Action) clone() Action {
	a.Options = slices.Clone(a.Options)
	return a
}

func cloneActions(in []Action) []Action {
	out := slices.Clone(in)
	for i := range out {
		out[i] = out[i].clone()
	}
	return out
}

// eachAction calls do for every action of the card.
func (c *Card) eachAction(do func(*Action)) {
	for _, list := range [][]Action{c.Actions, c.More} {
		for i := range list {
			do(&list[i])
		}
	}
	for i := range c.Facts {
		if c.Facts[i].Action != nil {
			do(c.Facts[i].Action)
		}
	}
	for i := range c.Rows {
		for j := range c.Rows[i].Actions {
			do(&c.Rows[i].Actions[j])
		}
	}
}

func (f *fitter) clean() {
	c := &f.c
	if c.Title != "" {
		c.Title = named(c.Title)
	}
	c.Note, c.Alt = oneLine(c.Note), oneLine(c.Alt)
	c.Body = block(c.Body)
	c.Badges = nonEmpty(c.Badges)
	for i := range c.Facts {
		fact := &c.Facts[i]
		fact.Label = oneLine(fact.Label)
		if fact.Wide {
			fact.Value = block(fact.Value)
		} else {
			fact.Value = oneLine(fact.Value)
		}
		if fact.Value == "" {
			fact.Value = nameless
		}
	}
	for i := range c.Rows {
		c.Rows[i].Text, c.Rows[i].Detail = named(c.Rows[i].Text), oneLine(c.Rows[i].Detail)
	}
	c.eachAction(func(a *Action) {
		a.Label, a.Confirm = named(a.Label), oneLine(a.Confirm)
		cleanOptions(a.Options)
	})
	if c.Form == nil {
		return
	}
	c.Form.Submit = named(c.Form.Submit)
	for i := range c.Form.Inputs {
		in := &c.Form.Inputs[i]
		in.Label, in.Hint, in.Error = named(in.Label), oneLine(in.Hint), oneLine(in.Error)
		switch in.Kind {
		case InputText:
			in.Value = block(in.Value)
		case InputLine, InputNumber, InputPhone, InputEmail:
			in.Value = oneLine(in.Value)
		}
		cleanOptions(in.Options)
	}
}

// nameless stands where a text is needed and nothing visible was written:
// platforms refuse a card with an empty label.
const nameless = "—"

func named(s string) string {
	if s = oneLine(s); s == "" {
		return nameless
	}
	return s
}

func cleanOptions(o []Option) {
	for i := range o {
		o[i].Label = named(o[i].Label)
	}
}

func nonEmpty(in []string) []string {
	var out []string
	for _, s := range in {
		if s = oneLine(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// written cuts something people wrote and remembers that it did.
func (f *fitter) written(s string, n int, tail string) string {
	short := cut(s, n, tail)
	if short != s {
		f.cutSome = true
	}
	return short
}

func (f *fitter) fitTexts() {
	c, caps := &f.c, f.caps
	c.Title = f.written(c.Title, caps.Title, "…")
	for i := range c.Badges {
		c.Badges[i] = cut(c.Badges[i], badgeMax, "…")
	}
	c.Body = f.written(c.Body, caps.Text, tr(c.Lang, "body.more"))
	c.Note = cut(c.Note, smaller(noteMax, caps.Text), "…")
	for i := range c.Facts {
		c.Facts[i].Label = cut(c.Facts[i].Label, smaller(labelMax, caps.Text), "…")
		c.Facts[i].Value = f.written(c.Facts[i].Value, caps.Text, "…")
	}
	for i := range c.Rows {
		c.Rows[i].Text = cut(c.Rows[i].Text, smaller(rowMax, caps.Text), "…")
		c.Rows[i].Detail = cut(c.Rows[i].Detail, smaller(rowMax, caps.Text), "…")
	}
	if c.Alt == "" {
		c.Alt = alt(c)
	}
	c.Alt = cut(c.Alt, altMax, "…")
}

const (
	badgeMax = 40
	labelMax = 60
	rowMax   = 300
)

// smaller is the lesser of a limit of ours and one of the platform's, where 0 is none.
func smaller(ours, theirs int) int {
	if theirs > 0 && theirs < ours {
		return theirs
	}
	return ours
}

// alt is a card in one line: what a locked phone shows.
func alt(c *Card) string {
	parts := append([]string{c.Title}, c.Badges...)
	s := strings.Join(nonEmpty(parts), " · ")
	if len(c.Badges) == 0 && c.Form == nil {
		if first, _, _ := strings.Cut(c.Body, "\n"); first != "" {
			s = strings.Join(nonEmpty([]string{s, first}), " · ")
		}
	}
	return s
}

// fitActions divides the actions between buttons and the More menu.
func (f *fitter) fitActions() {
	c, caps := &f.c, f.caps
	if !caps.Menus {
		c.Actions = flatten(c.Actions)
	}
	c.More = flatten(c.More)
	if caps.Buttons > 0 && len(c.Actions) > caps.Buttons {
		keep := make([]bool, len(c.Actions))
		left := caps.Buttons
		for _, wanted := range []bool{true, false} {
			for i, a := range c.Actions {
				if left > 0 && !keep[i] && (a.Style == Primary) == wanted {
					keep[i] = true
					left--
				}
			}
		}
		var stay, away []Action
		for i, a := range c.Actions {
			if keep[i] {
				stay = append(stay, a)
			} else {
				away = append(away, a)
			}
		}
		c.Actions = stay
		c.More = append(flatten(away), c.More...)
	}
	if caps.MenuOptions > 0 {
		c.More = c.More[:min(len(c.More), caps.MenuOptions)]
	}
	c.eachAction(func(a *Action) {
		a.Label = cut(a.Label, caps.Label, "…")
		f.fitOptions(&a.Options)
	})
}

// flatten turns menus into one action a choice.
func flatten(in []Action) []Action {
	var out []Action
	for _, a := range in {
		if len(a.Options) == 0 {
			out = append(out, a)
			continue
		}
		for _, o := range a.Options {
			one := a
			one.Options = nil
			one.Act.Arg = o.Value
			one.Label = oneLine(a.Label + " " + o.Label)
			out = append(out, one)
		}
	}
	return out
}

func (f *fitter) fitOptions(o *[]Option) {
	if f.caps.MenuOptions > 0 && len(*o) > f.caps.MenuOptions {
		*o = (*o)[:f.caps.MenuOptions]
	}
	for i := range *o {
		(*o)[i].Label = cut((*o)[i].Label, f.caps.Label, "…")
	}
}

func (f *fitter) fitFacts() {
	if n := f.caps.Facts; n > 0 && len(f.c.Facts) > n {
		f.dropFacts(n)
	}
}

func (f *fitter) dropFacts(keep int) {
	f.c.Facts = f.c.Facts[:keep]
	f.cutSome = true
}

// fitRows keeps n rows, the last of which tells how many are missing.
func (f *fitter) fitRows(n int) {
	rows := f.c.Rows
	if n <= 0 || len(rows) <= n {
		return
	}
	left, tickets := 0, false
	for _, r := range rows[n-1:] {
		switch {
		case r.Left > 0:
			left += r.Left
		case len(r.Actions) > 0:
			left++
			tickets = true
		case r.Detail != "" || r.Tone != Plain: // else a heading
			left++
		}
	}
	if last := rows[len(rows)-1]; last.Left > 0 && last.Text == leftRow(last.Left, true, f.c.Lang).Text {
		tickets = true
	}
	rows = rows[:n-1]
	if left > 0 {
		r := leftRow(left, tickets, f.c.Lang)
		r.Text = cut(r.Text, smaller(rowMax, f.caps.Text), "…")
		rows = append(rows, r)
	}
	f.c.Rows = rows
}

func (f *fitter) fitForm() {
	if f.c.Form == nil {
		return
	}
	form := f.c.Form
	form.Submit = cut(form.Submit, f.caps.Label, "…")
	for i := range form.Inputs {
		in := &form.Inputs[i]
		in.Label = cut(in.Label, smaller(labelMax, f.caps.Text), "…")
		in.Hint = cut(in.Hint, smaller(noteMax, f.caps.Text), "…")
		in.Error = cut(in.Error, smaller(noteMax, f.caps.Text), "…")
		if in.Max > 0 && (in.Kind == InputText || in.Kind == InputLine) {
			in.Value = cut(in.Value, in.Max, "…")
		}
		f.fitInputOptions(in)
	}
}

// fitInputOptions keeps the chosen option among those that a menu has room for.
func (f *fitter) fitInputOptions(in *Input) {
	n := f.caps.MenuOptions
	if n > 0 && len(in.Options) > n {
		if i := slices.IndexFunc(in.Options, func(o Option) bool { return o.Value == in.Value }); i >= n {
			in.Options[n-1] = in.Options[i]
		}
	}
	f.fitOptions(&in.Options)
}

// offerWhole adds the way to everything that was cut.
func (f *fitter) offerWhole() {
	c := &f.c
	if c.Ticket == "" || c.Form != nil {
		return
	}
	a := showWhole(c.Ticket, c.Version, c.Lang)
	a.Label = cut(a.Label, f.caps.Label, "…")
	has := func(b Action) bool { return b.Act.Verb == tickets.VerbShow && b.Act.Arg == ArgWhole }
	if slices.ContainsFunc(c.Actions, has) || slices.ContainsFunc(c.More, has) {
		return
	}
	if n := f.caps.MenuOptions; n > 0 && len(c.More) >= n {
		c.More = c.More[:n-1]
	}
	c.More = append([]Action{a}, c.More...)
}

// fitWhole makes the whole card small enough.
func (f *fitter) fitWhole() {
	c := &f.c
	for f.tooLarge() && len(c.Facts) > factsKept {
		f.dropFacts(len(c.Facts) - 1)
	}
	f.trimBody(bodyKept)
	for f.tooLarge() && len(c.Rows) > 1 {
		f.fitRows(len(c.Rows) - 1)
	}
	for f.tooLarge() && len(c.Facts) > 2 {
		f.dropFacts(len(c.Facts) - 1)
	}
	for f.tooLarge() && len(c.More) > 0 {
		c.More = c.More[:len(c.More)-1]
	}
	f.trimBody(0)
	if f.tooLarge() {
		c.Note = ""
	}
	for f.tooLarge() && len(c.Rows) > 0 {
		c.Rows = c.Rows[:len(c.Rows)-1]
	}
	for f.tooLarge() && len(c.Facts) > 0 {
		f.dropFacts(len(c.Facts) - 1)
	}
	for f.tooLarge() && len(c.Badges) > 0 {
		c.Badges = c.Badges[:len(c.Badges)-1]
	}
	for f.tooLarge() {
		i := slices.IndexFunc(c.Actions, func(a Action) bool { return a.Style != Primary })
		if i < 0 {
			return
		}
		c.Actions = slices.Delete(c.Actions, i, i+1)
	}
}

// trimBody takes from the end of the body what is too much, but leaves floor
// characters of it; with floor 0 it may take all.
func (f *fitter) trimBody(floor int) {
	c := &f.c
	if c.Body == "" || !f.tooLarge() {
		return
	}
	if over := Size(*c) - f.caps.Total; f.caps.Total > 0 && over > 0 {
		n := width(c.Body) - over
		if n >= floor && n > 0 {
			c.Body = f.written(c.Body, n, tr(c.Lang, "body.more"))
		} else if floor > 0 {
			c.Body = f.written(c.Body, floor, tr(c.Lang, "body.more"))
		}
	}
	if floor == 0 && f.tooLarge() {
		c.Body = ""
		f.cutSome = true
	}
}

func (f *fitter) tooLarge() bool {
	return f.caps.Total > 0 && Size(f.c) > f.caps.Total || f.caps.Blocks > 0 && Blocks(f.c) > f.caps.Blocks
}

// Size is how many characters (UTF-16 units) a card shows, as Caps.Total counts
// them: everything but Alt, confirmations and what buttons carry.
func Size(c Card) int {
	n := width(c.Title) + width(c.Body) + width(c.Note)
	for _, b := range c.Badges {
		n += width(b)
	}
	for _, f := range c.Facts {
		n += width(f.Label) + width(f.Value)
		if f.Action != nil {
			n += width(f.Action.Label)
		}
	}
	actions := func(list []Action) {
		for _, a := range list {
			n += width(a.Label)
			for _, o := range a.Options {
				n += width(o.Label)
			}
		}
	}
	for _, r := range c.Rows {
		n += width(r.Text) + width(r.Detail)
		actions(r.Actions)
	}
	actions(c.Actions)
	actions(c.More)
	if c.Form != nil {
		n += width(c.Form.Submit)
		for _, in := range c.Form.Inputs {
			n += width(in.Label) + width(in.Value) + width(in.Hint) + width(in.Error)
			for _, o := range in.Options {
				n += width(o.Label)
			}
		}
	}
	return n
}

// Blocks is how many elements a card takes at most, as Caps.Blocks counts them:
// one each for title, badges, body, buttons, the More menu and footer, one a
// fact and input, and one a row, or two when it has several buttons. An adapter
// that packs tighter only gains room.
func Blocks(c Card) int {
	n := len(c.Facts)
	for _, has := range []bool{c.Title != "", len(c.Badges) > 0, c.Body != "", len(c.Actions) > 0, len(c.More) > 0, c.Note != ""} {
		if has {
			n++
		}
	}
	for _, r := range c.Rows {
		n++
		if len(r.Actions) > 1 {
			n++
		}
	}
	if c.Form != nil {
		n += len(c.Form.Inputs) + 1
	}
	return n
}
