package dingtalk

import (
	"strings"
	"unicode/utf8"
)

// clean drops what no text needs and what can hide or turn other text around:
// NUL, controls, and the marks that change the direction of writing.
func clean(s string) string {
	bad := func(r rune) bool {
		return r < 0x20 && r != '\n' && r != '\t' || r == 0x7f || r == utf8.RuneError ||
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

func oneLine(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// cutBytes shortens s to at most most bytes and says so with an ellipsis. It
// cuts neither inside a rune nor inside an emoji that is joined of several.
func cutBytes(s string, most int) string {
	if len(s) <= most {
		return s
	}
	if most < len("…") {
		return ""
	}
	end, joined := 0, false
	for i, r := range s {
		if i > most-len("…") {
			break
		}
		if !joined && !combining(r) {
			end = i
		}
		joined = r == 0x200d
	}
	return strings.TrimRight(s[:end], " \n") + "…"
}

func combining(r rune) bool {
	return r == 0x200d || r >= 0x300 && r <= 0x36f || r >= 0xfe00 && r <= 0xfe0f || r >= 0x1f3fb && r <= 0x1f3ff || r >= 0x20d0 && r <= 0x20ff
}

// line is a text of one line with at most most characters, never empty.
func line(s string, most int) string {
	s = oneLine(s)
	if utf8.RuneCountInString(s) > most {
		n := 0
		for i := range s {
			if n++; n > most {
				s = cutBytes(s, i)
				break
			}
		}
	}
	if s == "" {
		return "—"
	}
	return s
}
