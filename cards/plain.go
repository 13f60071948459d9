package cards

import (
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
// number stands for that the reader may answer with («回复 1 接单 2 转派»).
// acts[0] belongs to 1. Menus become one number a choice. Of the More menu only
// as much is numbered as nine numbers hold: the rest can be typed.
func Numbered(c Card) (string, []Act) {
	var b strings.Builder
	head(&b, c)
	b.WriteByte('\n')
	content(&b, c, false)
	var acts []Act
	var choices []string
	add := func(label string, list []Action) {
		for _, a := range flatten(list) {
			if a.URL != "" {
				b.WriteString("  " + oneLine(a.Label) + ": " + oneLine(a.URL) + "\n")
				continue
			}
			acts = append(acts, a.Act)
			choices = append(choices, strconv.Itoa(len(acts))+" "+oneLine(label+a.Label))
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
	more := flatten(c.More)
	add("", more[:min(len(more), max(0, 9-len(acts)))])
	if len(choices) > 0 {
		b.WriteString(tr(c.Lang, "numbered.choose", "choices", strings.Join(choices, " · ")) + "\n")
	}
	return b.String(), acts
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
