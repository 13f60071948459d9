package cards

import (
	"slices"
	"strconv"
	"strings"
)

// PlainText is a card as text: what stands in for it where cards cannot be
// shown, in notifications and in transcripts. The first line is the whole story
// and its form is stable:
//
//	[card #1024] 无法登录 ERP · P1 · 待接 · 接单, 指派, 非工单 · 更多: 升级, 备注
//
// Facts, body and rows follow, indented and marked, so that nothing people wrote
// can pass for a card or a fact.
func PlainText(c Card) string {
	var b strings.Builder
	head(&b, c)
	if names := actionNames(c.Actions); names != "" {
		b.WriteString(" · " + names)
	}
	if names := actionNames(c.More); names != "" {
		b.WriteString(" · " + tr(c.Lang, "more") + ": " + names)
	}
	b.WriteByte('\n')
	content(&b, c, true)
	return b.String()
}

// Numbered is a card for platforms without buttons: its text, and what each
// number stands for that the reader may answer with («1», «#1024 2»). acts[0]
// belongs to 1. In a group (Card.Shared) the text says that the bot must be
// addressed. See Choices for which number is what.
func Numbered(c Card) (string, []Act) {
	var b strings.Builder
	head(&b, c)
	b.WriteByte('\n')
	content(&b, c, false)
	c.eachLink(func(a Action) { b.WriteString("  " + oneLine(a.Label) + ": " + oneLine(a.URL) + "\n") })
	var acts []Act
	var choices []string
	for i, a := range Choices(c) {
		acts = append(acts, a.Act)
		choices = append(choices, strconv.Itoa(i+1)+" "+a.Label)
	}
	if len(choices) > 0 {
		b.WriteString(chooseLine(c, strings.Join(choices, " · ")) + "\n")
	}
	return b.String(), acts
}

// chooseLine tells how to answer with a number where the card stands.
func chooseLine(c Card, choices string) string {
	number, _, _ := strings.Cut(oneLine(c.Title), " ")
	switch {
	case !c.Shared:
		return tr(c.Lang, "numbered.choose", "choices", choices)
	case c.Ticket != "" && strings.HasPrefix(number, "#"):
		return tr(c.Lang, "numbered.choose_of", "number", strings.TrimLeft(number, "#"), "choices", choices)
	}
	return tr(c.Lang, "numbered.choose_here", "choices", choices)
}

// Choices are the actions of a card that its reader may answer with a number, in
// the order of Numbered, and with labels that stand by themselves. A menu is one
// choice for each of its options, whose Act.Arg is that option. Of the More menu
// only as much is numbered as nine numbers hold: the rest can be typed.
func Choices(c Card) []Action {
	var out []Action
	add := func(label string, list []Action) {
		for _, a := range flatten(list) {
			if a.URL == "" {
				a.Label = oneLine(label + a.Label)
				out = append(out, a)
			}
		}
	}
	add("", c.Actions)
	for _, f := range c.Facts {
		if f.Action != nil {
			add(f.Label+" ", []Action{*f.Action})
		}
	}
	for _, r := range c.Rows {
		number, _, _ := strings.Cut(oneLine(r.Text), " ")
		add(number+" ", r.Actions)
	}
	more := slices.DeleteFunc(flatten(c.More), func(a Action) bool { return a.URL != "" })
	add("", more[:min(len(more), max(0, maxNumbers-len(out)))])
	return out
}

// maxNumbers is how many numbers the More menu may fill up to.
const maxNumbers = 9

// eachLink calls do for every link of the card.
func (c *Card) eachLink(do func(Action)) {
	c.eachAction(func(a *Action) {
		if a.URL != "" {
			do(*a)
		}
	})
}

func head(b *strings.Builder, c Card) {
	title := oneLine(c.Title)
	kind := "card"
	if c.Form != nil {
		kind = "form"
	}
	if number, rest, ok := strings.Cut(title, " "); ok && c.Ticket != "" && strings.HasPrefix(number, "#") {
		kind, title = kind+" "+number, rest
	}
	b.WriteString("[" + kind + "]")
	for i, s := range nonEmpty(append([]string{title}, c.Badges...)) {
		if i > 0 {
			b.WriteString(" ·")
		}
		b.WriteString(" " + s)
	}
}

func content(b *strings.Builder, c Card, buttons bool) {
	names := func(list []Action) string {
		if !buttons || len(list) == 0 {
			return ""
		}
		return " [" + actionNames(list) + "]"
	}
	for _, f := range c.Facts {
		value := indented(f.Value)
		b.WriteString("  " + oneLine(f.Label) + ": " + value)
		if f.Action != nil {
			b.WriteString(names([]Action{*f.Action}))
		}
		b.WriteByte('\n')
	}
	for line := range strings.SplitSeq(block(c.Body), "\n") {
		if c.Body != "" {
			b.WriteString(strings.TrimRight("  > "+line, " ") + "\n")
		}
	}
	for _, r := range c.Rows {
		line := oneLine(r.Text)
		if d := oneLine(r.Detail); d != "" {
			line += " · " + d
		}
		if e := r.Tone.Emoji(); e != "" {
			line = e + " " + line
		}
		b.WriteString("  - " + line + names(r.Actions) + "\n")
	}
	if c.Form != nil {
		for _, in := range c.Form.Inputs {
			input(b, in, c.Lang)
		}
		b.WriteString("  [" + oneLine(c.Form.Submit) + "]\n")
	}
	if n := oneLine(c.Note); n != "" {
		b.WriteString("  (" + n + ")\n")
	}
}

func input(b *strings.Builder, in Input, l Lang) {
	b.WriteString("  ? " + oneLine(in.Label))
	if in.Required {
		b.WriteString(" *")
	}
	if len(in.Options) > 0 {
		b.WriteString(" {" + optionNames(in.Options) + "}")
	}
	if in.Value != "" {
		b.WriteString(" = " + indented(in.Value))
	}
	if h := oneLine(in.Hint); h != "" {
		b.WriteString(" (" + h + ")")
	}
	if e := oneLine(in.Error); e != "" {
		b.WriteString(" ! " + e)
	}
	b.WriteByte('\n')
}

func indented(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(block(s), "\n\n", "\n"), "\n", "\n    ")
}

func actionNames(list []Action) string {
	names := make([]string, 0, len(list))
	for _, a := range list {
		name := oneLine(a.Label)
		if len(a.Options) > 0 {
			name += "{" + optionNames(a.Options) + "}"
		}
		if name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

func optionNames(list []Option) string {
	names := make([]string, len(list))
	for i, o := range list {
		names[i] = oneLine(o.Label)
	}
	return strings.Join(names, "/")
}
