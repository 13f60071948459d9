package wecom

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/paidan/paidan/cards"
)

// maxMarkdown is how many bytes a robot's text may have, as a stream and at a
// response_url: https://developer.work.weixin.qq.com/document/path/101031
const maxMarkdown = 20_480

// markdown is a card as text for the robot's markdown: the lines of
// cards.Numbered, with numbers to answer instead of buttons. Nothing in it is
// markup: what would be is spelled with wide letters that look the same.
func markdown(c cards.Card) string {
	text, _ := cards.Numbered(c)
	var out []string
	for line := range strings.SplitSeq(strings.TrimRight(withoutFrame(c, text), "\n"), "\n") {
		mark := ""
		for _, m := range marks {
			if rest, ok := strings.CutPrefix(line, m[0]); ok {
				mark, line = m[1], rest
				break
			}
		}
		out = append(out, mark+inert(line))
	}
	text = strings.TrimSpace(strings.Join(out, "\n"))
	if text == "" {
		text = "…"
	}
	return fitBytes(text, maxMarkdown)
}

// marks are how cards.Numbered begins its lines, and what stands there instead.
var marks = [][2]string{{"  > ", "│ "}, {"  >", "│"}, {"  - ", "• "}, {"  ", ""}, {"> ", ""}}

// wide are letters that mean something in markdown or HTML, and ones that look
// like them and mean nothing.
var wide = strings.NewReplacer(
	"<", "＜", ">", "＞", "[", "［", "]", "］", "*", "＊", "`", "｀", "~~", "～～", "|", "｜", "\\", "＼", "![", "！［",
)

var (
	entity  = regexp.MustCompile(`&(#?\w+;)`)
	opening = regexp.MustCompile(`^(\s*)([#=+-]+)(\s|$)`)
)

// inert makes one line of text show as it stands.
func inert(s string) string {
	s = clean(s)
	s = wide.Replace(s)
	s = entity.ReplaceAllString(s, "＆$1")
	s = opening.ReplaceAllStringFunc(s, func(m string) string {
		return strings.Map(func(c rune) rune {
			if strings.ContainsRune("#=+-", c) {
				return c + 0xFEE0 // the wide form
			}
			return c
		}, m)
	})
	var b strings.Builder
	before := ' '
	for i, c := range s {
		after, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(c):])
		switch {
		case c == '@' && !word(before):
			c = '＠' // within a word it is an address
		case c == '_' && !(word(before) && word(after)):
			c = '＿' // within a word it is part of a name
		}
		b.WriteRune(c)
		before = c
	}
	return b.String()
}

func word(c rune) bool { return c < utf8.RuneSelf && (unicode.IsLetter(c) || unicode.IsDigit(c)) }
