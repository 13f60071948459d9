package bot

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// What people answer when a form is asked in a chat, read as the values that the
// form would have brought. Nothing here looks anything up: see dialogue.go for
// people.

// readValue reads an answer to an input. why says what is wrong with it, in the
// words of cards.BadAnswer; "" = nothing.
func readValue(in cards.Input, text string, now time.Time) (value, why string) {
	text = strings.TrimSpace(text)
	switch in.Kind {
	case cards.InputChoice:
		return readChoice(in, text)
	case cards.InputCheck:
		switch w := fold(text); {
		case yes.MatchString(w):
			return "true", ""
		case no.MatchString(w):
			return "", ""
		}
		return "", "check"
	case cards.InputDate:
		day, ok := readDay(text, now)
		if !ok {
			return "", "date"
		}
		return day.Format("2006-01-02"), ""
	case cards.InputTime:
		t, ok := readTime(text, now)
		if !ok {
			return "", "time"
		}
		return t.Format("2006-01-02T15:04"), ""
	case cards.InputNumber:
		return checked(tickets.FieldNumber, text, "number")
	case cards.InputPhone:
		return checked(tickets.FieldPhone, text, "phone")
	case cards.InputEmail:
		return checked(tickets.FieldEmail, text, "email")
	case cards.InputLine:
		text = strings.Join(strings.Fields(text), " ")
		if n := FindNumber(text); in.Name == cards.InNumber && n != 0 {
			text = strconv.FormatInt(n, 10) // 合并到 #988
		}
	}
	if in.Max > 0 && utf8.RuneCountInString(text) > in.Max {
		return "", "long"
	}
	return text, ""
}

// checked has the core look at a value of a kind that it knows.
func checked(kind tickets.FieldKind, text, why string) (string, string) {
	v, err := tickets.Field{Kind: kind}.Check(text)
	if err != nil || v == "" {
		return "", why
	}
	return v, ""
}

var (
	yes     = regexp.MustCompile(`^(?:是的?|要|对的?|好的?|需要|通知|yes|y|ok|yep|true|✅|👌)[ 。.!]*$`)
	no      = regexp.MustCompile(`^(?:否|不是?|不要|不用|不需要|不通知|不必|no|n|nope|false|❌)[ 。.!]*$`)
	nothing = regexp.MustCompile(`^(?:无|没有|不填|略|跳过|空|[-—]+|none|skip|no|n/a)[ 。.!]*$`)
	finish  = regexp.MustCompile(`^(?:(?:好|好的|好了|好啦|行|可以|可以了|提交|提交吧|确定|确认|就这样|就这些|没了|没有|没有了|无|不用|不用了|是|是的|对|谢谢|多谢|ok|okay|submit|send|done|yes|y|no|none|nothing|that's all|that is all|thanks|thank you|👌|✅)[ ,。.!~、吧了啊]*)+$`)
	cancels = regexp.MustCompile(`^(?:取消|退出|算了|放弃|不填了|不提了|取消吧|cancel|quit|exit|abort|never mind)[ 。.!~]*$`)
)

// readChoice reads an option by its number, its label or value, or by a part of
// the label that no other has.
func readChoice(in cards.Input, text string) (value, why string) {
	w := fold(text)
	if cards.Countable(in.Options) {
		w = strings.TrimRight(w, " .、。)")
		if n, err := strconv.Atoi(strings.TrimPrefix(w, "#")); err == nil && n >= 1 && n <= len(in.Options) {
			return in.Options[n-1].Value, ""
		}
	}
	for _, o := range in.Options {
		if w == fold(o.Label) || w == fold(o.Value) {
			return o.Value, ""
		}
	}
	var found []string
	for _, o := range in.Options {
		if label := fold(o.Label); w != "" && strings.Contains(label, w) {
			found = append(found, o.Value)
		}
	}
	if len(found) == 1 {
		return found[0], ""
	}
	switch in.Name { // what forms offer a few of, people may say as they like
	case cards.InUntil, cards.InWithin:
		if d, ok := readSpan(text); ok {
			return d.String(), ""
		}
	}
	return "", "choice"
}

// reTail is what may follow a time and adds nothing.
var reTail = regexp.MustCompile(`^[ ]*(?:之前|以前|前|左右|开始|吧|可以|就行)*[ 。.!,]*$`)

// readSpan reads how long something takes: 2h, 两小时.
func readSpan(text string) (time.Duration, bool) {
	w := strings.TrimPrefix(strings.TrimPrefix(fold(text), "in "), "for ")
	d, n := span(w)
	return d, n > 0 && reTail.MatchString(w[n:])
}

// readTime reads a point in time, or a span from now.
func readTime(text string, now time.Time) (time.Time, bool) {
	w := fold(text)
	w = w[len(reUntil.FindString(w)):]
	if t, n := moment(w, now); n > 0 && reTail.MatchString(w[n:]) {
		return t, true
	}
	if d, ok := readSpan(text); ok {
		return now.Add(d), true
	}
	return time.Time{}, false
}

// past are days that lie behind us, which only a date may be.
var past = map[string]int{"昨天": -1, "昨日": -1, "yesterday": -1, "前天": -2, "大前天": -3}

// readDay reads a day; a time of that day behind it is passed over.
func readDay(text string, now time.Time) (time.Time, bool) {
	w := fold(text)
	if d, ok := past[w]; ok {
		return now.AddDate(0, 0, d), true
	}
	w = w[len(reUntil.FindString(w)):]
	if _, n, _, _ := dayOf(w, now); n == 0 {
		return time.Time{}, false
	}
	t, n := moment(w, now)
	return t, n > 0 && reTail.MatchString(w[n:])
}

// heard is one thing of an answer to all that may still be said: for which input,
// or -1 where that is not told.
type heard struct {
	at   int
	text string
}

var reItem = regexp.MustCompile(`^(?:#[ ]?)?(\d{1,2})[ ]*(?:[.、:：)）．][ ]*|[ ]+)(.*)$`)

// reClockish is a number that goes on: 2.5 小时, 3:00.
var reClockish = regexp.MustCompile(`^\d{1,2}[.:：]\d`)

// readRest takes an answer to a numbered list of inputs apart: «2 P1», «描述：…»,
// a line each. done: it says that nothing more follows. What belongs to no input
// by number or name belongs to the one before it, or to none.
func readRest(labels []string, text string) (parts []heard, done bool) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if n := len(lines); finish.MatchString(fold(lines[n-1])) {
		done, lines = true, lines[:n-1]
	}
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if at, rest, ok := readItem(labels, line); ok {
			parts = append(parts, heard{at, rest})
			continue
		}
		if n := len(parts); n > 0 {
			parts[n-1].text = strings.TrimSpace(parts[n-1].text + "\n" + line)
			continue
		}
		parts = append(parts, heard{-1, line})
	}
	return parts, done
}

// narrow makes full-width digits at the start of a line narrow.
func narrow(line string) string {
	for i, r := range line {
		if f := foldRune(r); f < '0' || f > '9' {
			return fold(line[:i]) + line[i:]
		}
	}
	return fold(line)
}

// readItem reads an input's number or name at the start of a line.
func readItem(labels []string, line string) (at int, rest string, ok bool) {
	line = narrow(line)
	if n, err := strconv.Atoi(line); err == nil && n >= 1 && n <= len(labels) {
		return n - 1, "", true
	}
	if m := reItem.FindStringSubmatch(line); m != nil && !reClockish.MatchString(line) {
		if n, _ := strconv.Atoi(m[1]); n >= 1 && n <= len(labels) { // two digits
			return n - 1, strings.TrimSpace(m[2]), true
		}
	}
	at = slices.IndexFunc(labels, func(label string) bool {
		after, found := strings.CutPrefix(line, label)
		if !found || label == "" {
			return false
		}
		trimmed := strings.TrimLeft(after, " ")
		trimmed = strings.TrimPrefix(strings.TrimPrefix(trimmed, ":"), "：")
		rest = strings.TrimSpace(trimmed)
		return after == "" || trimmed != after
	})
	return at, rest, at >= 0
}
