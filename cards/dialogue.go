package cards

import (
	"strconv"
	"strings"
)

// A form that a platform cannot show is asked in a private chat: what must be
// known one question after the other, the rest in one message at the end.

// Question asks for one input of a form.
type Question struct {
	Title string // of the form
	Intro string // what the form says beforehand; "" after the first question
	Input Input  // its options get numbers, unless they are numbers themselves
	Wrong string // why the last answer was none
	Files int    // that came with the last message
	New   bool   // the form opens a ticket
}

// Ask is a question as a message.
func Ask(q Question, l Lang) Card {
	var b strings.Builder
	line := func(s string) {
		if s != "" {
			b.WriteString(s + "\n")
		}
	}
	line(q.Intro)
	if q.Files > 0 {
		line(count(l, "ask.files", q.Files))
	}
	line(q.Wrong)
	hint := oneLine(q.Input.Hint)
	switch {
	case q.New && q.Input.Name == InTitle:
		line(tr(l, "ask.title"))
	case hint != "" && hint != tr(l, "hint.person_field"):
		line(tr(l, "ask.hinted", "label", AskedAs(q.Input), "hint", hint))
	default:
		line(tr(l, "ask.plain", "label", AskedAs(q.Input)))
	}
	for i, o := range q.Input.Options {
		if Countable(q.Input.Options) {
			line(strconv.Itoa(i+1) + " " + oneLine(o.Label))
		} else {
			line("· " + oneLine(o.Label))
		}
	}
	line(howTo(q.Input, l))
	note := tr(l, "ask.cancel")
	if !q.Input.Required {
		note = sentences(l, tr(l, "ask.skip"), note)
	}
	return Card{Lang: l, Tone: Asking, Title: q.Title, Body: strings.TrimRight(b.String(), "\n"), Note: note}
}

// sentences puts two together.
func sentences(l Lang, a, b string) string {
	if l == ZH {
		return a + b
	}
	return a + " " + b
}

// AskedAs is what an input is called where it is asked: that it may be left out
// is said otherwise there.
func AskedAs(in Input) string {
	for _, tail := range []string{"（选填）", "(optional)"} {
		in.Label = strings.TrimSpace(strings.TrimSuffix(in.Label, tail))
	}
	return in.Label
}

// howTo says what an answer may look like where that is not plain.
func howTo(in Input, l Lang) string {
	switch {
	case in.Kind == InputPerson && len(in.Options) > 0:
		return tr(l, "ask.person_or")
	case len(in.Options) > 0 && !Countable(in.Options):
		return tr(l, "ask.choice_word")
	case len(in.Options) > 0:
		return tr(l, "ask.choice")
	}
	switch in.Kind {
	case InputPerson, InputDate, InputTime, InputCheck:
		return tr(l, "ask."+string(in.Kind))
	}
	return ""
}

// Countable reports whether options can be told apart by numbers: not where an
// option is called by a number itself.
func Countable(options []Option) bool {
	for _, o := range options {
		if _, err := strconv.Atoi(oneLine(o.Label)); err == nil {
			return false
		}
	}
	return true
}

// Item is an input that may be filled in, and what it says so far as people read it.
type Item struct {
	Input Input
	Shown string
}

// shownOptions is how many options are listed beside an item.
const shownOptions = 8

// AskRest is the last question of a form: what was said, what may still be said,
// by number, and how to go on.
func AskRest(q Question, said []Fact, items []Item, l Lang) Card {
	var b strings.Builder
	if q.Files > 0 {
		b.WriteString(count(l, "ask.files", q.Files) + "\n")
	}
	if q.Wrong != "" {
		b.WriteString(q.Wrong + "\n")
	}
	for _, f := range said {
		b.WriteString(tr(l, "ask.said", "label", f.Label, "value", cut(oneLine(f.Value), saidMax, "…")) + "\n")
	}
	one := len(items) == 1 && freeText(items[0].Input)
	if one {
		b.WriteString(tr(l, "ask.rest_text", "label", AskedAs(items[0].Input)))
	} else {
		b.WriteString(tr(l, "ask.rest"))
	}
	for i, it := range items {
		if one {
			break
		}
		text := AskedAs(it.Input)
		if it.Shown != "" {
			text = tr(l, "ask.said", "label", text, "value", cut(oneLine(it.Shown), saidMax, "…"))
		}
		switch names := optionNames(it.Input.Options); {
		case it.Input.Kind == InputCheck:
			text = tr(l, "ask.of", "text", text, "options", tr(l, "ask.yes")+"/"+tr(l, "ask.no"))
		case len(it.Input.Options) > 0 && len(it.Input.Options) <= shownOptions:
			text = tr(l, "ask.of", "text", text, "options", names)
		}
		b.WriteString("\n" + strconv.Itoa(i+1) + " " + text)
	}
	note := tr(l, "ask.finish")
	if one {
		note = tr(l, "ask.finish_text")
	}
	return Card{Lang: l, Tone: Asking, Title: q.Title, Body: b.String(), Note: sentences(l, note, tr(l, "ask.cancel"))}
}

const saidMax = 60

func freeText(in Input) bool { return in.Kind == InputText || in.Kind == InputLine }

// YesNo is a check as people read it.
func YesNo(yes bool, l Lang) string {
	if yes {
		return tr(l, "ask.yes")
	}
	return tr(l, "ask.no")
}

// BadAnswer says why an answer is none: why is the input's kind, or "long",
// "required", "nobody", "many" or "rest".
func BadAnswer(in Input, why, said string, l Lang) string {
	return tr(l, known("ask.bad.", why, "line"), "label", AskedAs(in), "said", cut(oneLine(said), saidMax, "…"), "n", strconv.Itoa(in.Max))
}

// Dropped says that a form that was being asked is given up.
func Dropped(title string, l Lang) Card { return Hint(tr(l, "ask.dropped", "what", title), l) }

// AskedInPrivate says in a group that the questions come in private.
func AskedInPrivate(l Lang) string { return tr(l, "ask.in_private") }

// SpeakFirst asks somebody in a group to write to us in private first, because
// the platform lets us not. It is longer than a title may be.
func SpeakFirst(l Lang) Card {
	text := tr(l, "ask.speak_first")
	return Card{Lang: l, Body: text, Alt: text}
}

// OpensFirst asks somebody, by name, to write to the bot in private once.
func OpensFirst(name string, l Lang) Card {
	text := tr(l, "ask.opens_first", "name", name)
	if name == "" {
		text = tr(l, "ask.opens_first_anon")
	}
	return Card{Lang: l, Body: text, Alt: text}
}

// Submitted says that a form that was asked has been submitted.
func Submitted(title string, l Lang) string { return tr(l, "ask.done", "what", title) }

// Lapsed says that a form was given up because nobody answered in time.
func Lapsed(title string, l Lang) Card { return Hint(tr(l, "ask.lapsed", "what", title), l) }
