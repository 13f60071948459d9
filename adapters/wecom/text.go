package wecom

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/paidan/paidan/cards"
)

// clean drops what no text needs and what can hide or turn other text around:
// NUL, controls, and the marks that change the direction of writing. Nothing is
// left that JSON would have to escape with \u, which WeCom's pages advise
// against (errcode 40033).
func clean(s string) string {
	bad := func(r rune) bool {
		return r < 0x20 && r != '\n' && r != '\t' || r == 0x7f || r == utf8.RuneError || r == 0x2028 || r == 0x2029 ||
			r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	}
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return -1
		}
		return r
	}, s)
}

// oneLine is s, cleaned, without line breaks.
func oneLine(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// block is s, cleaned, without empty lines at its ends.
func block(s string) string {
	return strings.Trim(strings.ReplaceAll(clean(s), "\t", " "), " \n")
}

// cut shortens s to at most limit characters and says so with an ellipsis.
func cut(s string, limit int) string {
	return cutBy(s, limit, 1, func(rune) int { return 1 })
}

// cutBytes shortens s to at most limit bytes and says so with an ellipsis.
func cutBytes(s string, limit int) string {
	return cutBy(s, limit, len("…"), utf8.RuneLen)
}

// cutBy shortens s until its runes, as size counts them, and the ellipsis, which
// counts mark, are at most limit. It does not cut inside a rune, before a mark
// that belongs to the one before, or inside an emoji that is joined of several.
func cutBy(s string, limit, mark int, size func(rune) int) string {
	if len(s) <= limit {
		return s // no way of counting makes more of it
	}
	n, end := 0, 0
	var before rune
	flags := 0
	for i, r := range s {
		if r < 0x1f1e6 || r > 0x1f1ff {
			flags = 0
		} else {
			flags++
		}
		joined := i > 0 && (combining(r) || before == 0x200d || flags > 0 && flags%2 == 0)
		if !joined && n <= limit-mark {
			end = i
		}
		before = r
		if n += size(r); n > limit {
			return strings.TrimRight(s[:end], " \n") + "…"
		}
	}
	return s
}

// combining reports whether a rune belongs to the one before it.
func combining(r rune) bool {
	return r == 0x200d || r >= 0x300 && r <= 0x36f || r >= 0xfe00 && r <= 0xfe0f || r >= 0x1f3fb && r <= 0x1f3ff || r >= 0x20d0 && r <= 0x20ff || r >= 0xe0020 && r <= 0xe007f
}

// maxBytes is the longest text message; WeCom cuts the rest off, in the middle
// of a word.
const maxBytes = 2048

// plain makes what people wrote safe for a text message, where WeCom reads one
// kind of markup, <a href="…">: a "<" that could begin it becomes a wide one.
func plain(s string) string {
	s = clean(s)
	if strings.IndexByte(s, '<') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := range len(s) {
		if s[i] != '<' || i+1 < len(s) && !opens(s[i+1]) {
			b.WriteByte(s[i])
			continue
		}
		b.WriteString("＜")
	}
	return b.String()
}

// opens reports whether a tag may begin with c after its "<".
func opens(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("/!?@ \t\n", c) >= 0
}

// asText draws a card as a text message: what has nothing to press, or more than
// a template card holds. What is too long loses words from every row before it
// loses rows.
func asText(c cards.Card) string {
	s := written(c)
	if len(s) > maxBytes && len(c.Rows) > 0 {
		c.Rows = slices.Clone(c.Rows)
		for i := range c.Rows {
			c.Rows[i].Text, c.Rows[i].Detail = cut(oneLine(c.Rows[i].Text), shortRow), cut(oneLine(c.Rows[i].Detail), shortDetail)
		}
		s = written(c)
	}
	return fitBytes(s, maxBytes)
}

// How long a row is, in characters, where rows must be short.
const (
	shortRow    = 28
	shortDetail = 20
)

func written(c cards.Card) string {
	var s string
	if numbered(c) {
		s, _ = cards.Numbered(c)
		s = withoutFrame(c, s)
	} else {
		s = layout(c)
	}
	if s = plain(s); strings.TrimSpace(s) == "" {
		s = "…"
	}
	return s
}

// withoutFrame takes the "[card #1024]" off that marks cards in transcripts.
func withoutFrame(c cards.Card, s string) string {
	head, rest, ok := strings.Cut(s, "]")
	number, card := strings.CutPrefix(head, "[card")
	if !ok || !card {
		return s
	}
	return strings.TrimLeft(c.Tone.Emoji()+number+rest, " \n")
}

// layout draws a card that has nothing to press.
func layout(c cards.Card) string {
	var lines []string
	add := func(s string) {
		if strings.TrimSpace(s) != "" {
			lines = append(lines, s)
		}
	}
	add(strings.TrimSpace(c.Tone.Emoji() + " " + oneLine(c.Title)))
	add(oneLine(strings.Join(c.Badges, " · ")))
	for _, f := range c.Facts {
		add(oneLine(f.Label) + colon(c.Lang) + oneLine(f.Value))
	}
	add(block(c.Body))
	for _, r := range c.Rows {
		line := oneLine(r.Text)
		if d := oneLine(r.Detail); d != "" {
			line += " · " + d
		}
		if e := r.Tone.Emoji(); e != "" {
			line = e + " " + line
		} else if line != "" {
			line = "· " + line
		}
		add(line)
	}
	for _, list := range [][]cards.Action{c.Actions, c.More} {
		for _, a := range list {
			if a.URL != "" {
				add(oneLine(a.Label) + colon(c.Lang) + oneLine(a.URL))
			}
		}
	}
	if c.Form != nil {
		for _, in := range c.Form.Inputs {
			add("· " + oneLine(in.Label))
		}
	}
	add(oneLine(c.Note))
	return strings.Join(lines, "\n")
}

func colon(l cards.Lang) string {
	if l == cards.EN {
		return ": "
	}
	return "："
}

// fitBytes shortens a text from its end, but keeps the last line: there stand
// the choices.
func fitBytes(s string, limit int) string {
	s = strings.TrimRight(s, "\n ")
	if len(s) <= limit {
		return s
	}
	i := strings.LastIndexByte(s, '\n')
	if last := s[i+1:]; i > 0 && len(last) < limit/2 {
		return cutBytes(s[:i], limit-len(last)-1) + "\n" + last
	}
	return cutBytes(s, limit)
}
