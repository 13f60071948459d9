package cards

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// What people write is cleaned before it is shown: invisible characters can
// turn the order of letters around, hide in names, or break lines where a card
// promises one. What is stored stays as it was written.

const (
	marksKept   = 8    // combining marks on one letter; more is no script but an attack
	clusterKept = 32   // runes that are kept together when a text is cut
	lineKept    = 4096 // bytes of a text of one line, whatever a platform allows
	zwj         = '\u200d'
)

// oneLine cleans a text that has one line: no control characters, no breaks, no
// spaces in a row or at the ends.
func oneLine(s string) string {
	if plainLine(s) {
		return s
	}
	s = strings.Join(strings.FieldsFunc(clean(s, lineKept), blank), " ")
	if s == "…" {
		return "" // all that was left of blanks without end
	}
	return s
}

// blank also counts the wide and the braille spaces, with which names pretend
// to be empty.
func blank(r rune) bool { return unicode.IsSpace(r) || r == '\u2800' || r == '\u3164' || r == '\uffa0' }

// block cleans a text of several lines: \n ends lines, never more than one
// empty line in a row, none at the ends.
func block(s string) string {
	s = clean(s, 0)
	if !strings.Contains(s, "\n") && s == strings.TrimSpace(s) {
		return s
	}
	var b strings.Builder
	empty := 0
	for line := range strings.SplitSeq(s, "\n") {
		line = strings.TrimRightFunc(line, unicode.IsSpace)
		if line == "" {
			empty++
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
			if empty > 0 {
				b.WriteByte('\n')
			}
		}
		empty = 0
		b.WriteString(line)
	}
	return b.String()
}

// plainLine reports quickly that there is nothing to clean: ASCII and Han only.
func plainLine(s string) bool {
	space := true
	for _, r := range s {
		switch {
		case r == ' ':
			if space {
				return false
			}
			space = true
			continue
		case harmless(r):
		default:
			return false
		}
		space = false
	}
	return s == "" || !space && len(s) <= lineKept
}

// harmless is most of what is written: ASCII and Latin letters, Han, and their punctuation.
func harmless(r rune) bool {
	return r > ' ' && r < 0x7f || r >= 0x4e00 && r <= 0x9fff || r >= 0xff01 && r <= 0xff5e || r >= 0x3001 && r <= 0x3020 ||
		r >= 0xa1 && r <= 0x2af && r != 0xad || r >= 0x2010 && r <= 0x2027
}

// clean takes invisible and dangerous characters out and makes line ends \n. Of
// a text of more than most bytes it keeps the beginning (0: all).
func clean(s string, most int) string {
	if plainLine(s) {
		return s
	}
	var b strings.Builder
	if most > 0 {
		b.Grow(min(len(s), most))
	} else {
		b.Grow(len(s))
	}
	var prev rune // last rune written
	marks := 0
	for i, r := range s {
		next := i + utf8.RuneLen(r)
		if most > 0 && b.Len()+len("…")+utf8.UTFMax > most && next < len(s) {
			b.WriteString("…")
			break
		}
		switch {
		case r == ' ', harmless(r):
			b.WriteRune(r)
			prev, marks = r, 0
			continue
		case r == utf8.RuneError:
			// An invalid byte takes one; RuneLen would say three.
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				next = i + 1
			}
		case r == '\r':
			if next < len(s) && s[next] == '\n' {
				continue
			}
			r = '\n'
		case r == '\v', r == '\f', r == '\u0085', r == '\u2028', r == '\u2029':
			r = '\n'
		case r == '\t':
			r = ' '
		case r == '\n':
		case unicode.IsControl(r):
			continue
		case r == zwj:
			after, _ := utf8.DecodeRuneInString(s[next:])
			if !pictographic(prev) || !pictographic(after) {
				continue
			}
		case tagRune(r):
			if prev != '\U0001f3f4' && !tagRune(prev) {
				continue
			}
		case unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r), r == '\u034f', unicode.Is(unicode.Co, r), noncharacter(r):
			continue
		}
		if unicode.Is(unicode.M, r) {
			if marks++; marks > marksKept {
				continue
			}
		} else {
			marks = 0
		}
		b.WriteRune(r)
		prev = r
	}
	return b.String()
}

func tagRune(r rune) bool { return r >= 0xe0020 && r <= 0xe007f }

func noncharacter(r rune) bool { return r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef }

// pictographic is about what joins to families and professions: emoji, their
// variation selector and skin tones.
func pictographic(r rune) bool {
	return r >= 0x1f000 && r <= 0x1faff || r >= 0x2190 && r <= 0x2bff || r == 0xfe0f || r == 0xa9 || r == 0xae
}

// width counts UTF-16 code units: never less than characters, and what the
// platforms that count in JavaScript mean by characters.
func width(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// cluster returns the length in bytes of what a reader takes for one character
// at the start of s, and its width.
func cluster(s string) (size, w int) {
	var prev rune
	flags := 0
	for i, r := range s {
		if i > 0 && (size == 0 || !joins(prev, r, flags)) {
			return i, w
		}
		if size++; size > clusterKept {
			return i, w
		}
		if regional(r) {
			flags++
		}
		w++
		if r > 0xffff {
			w++
		}
		prev = r
	}
	return len(s), w
}

// joins reports whether r belongs to the character that prev is part of.
func joins(prev, r rune, flags int) bool {
	return unicode.Is(unicode.M, r) || r == zwj || prev == zwj || tagRune(r) ||
		r >= 0x1f3fb && r <= 0x1f3ff || // skin tones
		r >= 0x1160 && r <= 0x11ff || // vowels and finals of Korean syllables
		regional(r) && regional(prev) && flags%2 == 1
}

func regional(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }

// cut shortens s to at most n characters, ending in tail when something had to
// go; it never cuts through a character. n <= 0 means no limit.
func cut(s string, n int, tail string) string {
	if n <= 0 || len(s) <= n || width(s) <= n {
		return s
	}
	if width(tail) > n {
		tail = "…"
	}
	room := n - width(tail)
	at := 0
	for at < len(s) {
		size, w := cluster(s[at:])
		if w > room {
			break
		}
		room -= w
		at += size
	}
	return strings.TrimRightFunc(s[:at], unicode.IsSpace) + tail
}

// snip shortens what people wrote to n characters, with the words that point to the rest.
func snip(s string, n int, l Lang) string {
	s = strings.TrimSpace(s)
	if len(s) <= n {
		return s
	}
	if most := 64 * n; len(s) > most { // what lies behind cannot be shown any more
		s = strings.ToValidUTF8(s[:most], "")
	}
	return cut(block(s), n, tr(l, "body.more"))
}

// pages divides s into pieces of at most size characters, at line ends where
// that wastes no more than half of a piece.
func pages(s string, size int) []string {
	if size <= 0 || width(s) <= size {
		return []string{s}
	}
	var out []string
	for s != "" {
		at, w, line := 0, 0, 0
		for at < len(s) {
			n, cw := cluster(s[at:])
			if w+cw > size && at > 0 {
				break
			}
			w += cw
			at += n
			if s[at-1] == '\n' {
				line = at
			}
		}
		if at < len(s) && line > at/2 {
			at = line
		}
		if piece := strings.Trim(s[:at], "\n"); piece != "" {
			out = append(out, piece)
		}
		s = s[at:]
	}
	return out
}
