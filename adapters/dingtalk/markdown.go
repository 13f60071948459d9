package dingtalk

import (
	"strings"
	"unicode/utf8"

	"github.com/paidan/paidan/cards"
)

// Without a template a card is markdown, and its choices have numbers. DingTalk
// knows headings, quotes, bold and italic text, links, pictures and lists, and
// documents no way to escape any of them; so what people wrote has full-width
// look-alikes in place of the signs that could mean something. Addresses in it
// open nothing: the only links are our own.
// https://open.dingtalk.com/document/development/robot-message-type

// maxMarkdown keeps a message's parameters below 15,000 bytes, quotes and
// escapes included.
// https://open.dingtalk.com/document/development/the-robot-sends-a-group-message
const maxMarkdown = 11_000

// markdown draws a card. title is what a notification shows.
func markdown(c cards.Card) (title, text string) {
	text, _ = cards.Numbered(c)
	own := links{}
	for _, list := range [][]cards.Action{c.Actions, c.More} {
		for _, a := range list {
			if a.URL != "" && webAddress(a.URL) {
				own[a.URL] = true
			}
		}
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	lines = lines[1:] // the heading is drawn here
	var b strings.Builder
	head := strings.TrimSpace(c.Tone.Emoji() + " " + escape(line(c.Title, maxTitle)))
	if c.Title == "" {
		head = c.Tone.Emoji()
	}
	if head != "" {
		b.WriteString("#### " + head + "\n\n")
	}
	if badges := oneLine(strings.Join(c.Badges, " · ")); badges != "" {
		b.WriteString(escape(cutBytes(badges, 600)) + newline)
	}
	last := "" // the choices come last and must not be cut off
	if n := len(lines); n > 0 && lines[n-1] != "" && lines[n-1][0] != ' ' {
		last, lines = own.escape(cutBytes(lines[n-1], 3000)), lines[:n-1]
	}
	for i, l := range lines {
		drawn := own.drawLine(l)
		if b.Len()+len(drawn)+len(last)+16 > maxMarkdown {
			b.WriteString("…" + newline)
			break
		}
		// A quote or a list begins and ends with an empty line, or takes in its neighbours.
		if i > 0 && kindOf(l) != kindOf(lines[i-1]) {
			b.WriteString("\n")
		}
		b.WriteString(drawn)
	}
	if last != "" {
		b.WriteString("\n" + last)
	}
	if text = strings.TrimRight(b.String(), " \n"); text == "" {
		text = "…"
	}
	return escape(summary(c)), text
}

// newline is what DingTalk takes for the end of a line within a paragraph.
const newline = "  \n"

// kindOf is how a line of cards.Numbered is drawn: ">" a quote, "-" a list.
func kindOf(l string) string {
	if s := strings.TrimPrefix(l, "  "); strings.HasPrefix(s, ">") || strings.HasPrefix(s, "- ") {
		return s[:1]
	}
	return ""
}

func (own links) drawLine(l string) string {
	s := strings.TrimSpace(l)
	switch kindOf(l) {
	case ">":
		if s = strings.TrimSpace(s[1:]); s == "" {
			return ">" + newline
		}
		return "> " + escape(cutBytes(s, 4000)) + newline
	case "-":
		return "- " + escape(cutBytes(strings.TrimSpace(s[1:]), 1200)) + "\n"
	}
	return own.escape(cutBytes(s, 4000)) + newline
}

// links are the addresses of a card's own buttons.
type links map[string]bool

// at is the address of ours at the start of s that ends there or before a space.
func (own links) at(s string) string {
	for u := range own {
		if rest, ok := strings.CutPrefix(s, u); ok && (rest == "" || rest[0] == ' ') {
			return u
		}
	}
	return ""
}

// escape takes the meaning out of a text of one line.
func escape(s string) string { return links(nil).escape(s) }

// escape is escape, but leaves our own addresses alone.
func (own links) escape(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := 0; i < len(s); {
		if u := own.at(s[i:]); u != "" {
			b.WriteString(u)
			i += len(u)
			continue
		}
		if rest := s[i:]; strings.HasPrefix(rest, "://") || len(rest) > 4 && strings.EqualFold(rest[:4], "www.") {
			n := strings.IndexAny(rest, ":.")
			b.WriteString(rest[:n] + map[byte]string{':': "：", '.': "．"}[rest[n]])
			i += n + 1
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if wide, ok := lookAlikes[r]; ok {
			b.WriteRune(wide)
		} else {
			b.WriteRune(r)
		}
	}
	return atStart(b.String())
}

// lookAlikes are the full-width forms of signs that mean something in markdown,
// in a mention or in HTML.
var lookAlikes = map[rune]rune{
	'*': '＊', '_': '＿', '`': '｀', '~': '～', '[': '［', ']': '］', '<': '＜', '>': '＞', '@': '＠', '\\': '＼', '&': '＆', '\n': ' ',
}

// atStart takes the meaning out of the signs that have one at the start of a
// line only: headings, lists, rules.
func atStart(s string) string {
	if s == "" {
		return s
	}
	switch c := s[0]; {
	case c == '#' && strings.TrimLeft(s, "#") != "" && !digits(strings.TrimLeft(s, "#")[:1]) || strings.TrimLeft(s, "#") == "":
		n := len(s) - len(strings.TrimLeft(s, "#"))
		return strings.Repeat("＃", n) + s[n:]
	case c == '-' || c == '+' || c == '=' || c == '|':
		wide := map[byte]string{'-': "－", '+': "＋", '=': "＝", '|': "｜"}[c]
		return wide + s[1:]
	case c >= '0' && c <= '9':
		if rest := strings.TrimLeft(s, "0123456789"); strings.HasPrefix(rest, ". ") || strings.HasPrefix(rest, ") ") {
			return s[:len(s)-len(rest)] + map[byte]string{'.': "．", ')': "）"}[rest[0]] + rest[1:]
		}
	}
	return s
}
