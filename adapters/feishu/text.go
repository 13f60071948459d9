package feishu

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

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// length counts in UTF-16 units, the strictest of the ways to count.
func length(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x10000 {
			n++
		}
	}
	return n
}

// cut shortens s to at most limit units and says so with an ellipsis. It does
// not cut inside a rune, before a mark that belongs to the one before, or
// inside an emoji that is joined of several.
func cut(s string, limit int) string {
	if len(s) <= limit || length(s) <= limit {
		return s
	}
	n, end, joined := 0, 0, false
	for i, r := range s {
		if !joined && !combining(r) {
			end = i
		}
		joined = r == 0x200d
		if n += length(string(r)); n > limit-1 {
			break
		}
	}
	return strings.TrimRight(s[:end], " \n") + "…"
}

func combining(r rune) bool {
	return r == 0x200d || r >= 0x300 && r <= 0x36f || r >= 0xfe00 && r <= 0xfe0f || r >= 0x1f3fb && r <= 0x1f3ff || r >= 0x20d0 && r <= 0x20ff
}

// weight is how many bytes s takes in a request: a card is JSON within JSON, so
// that quotes, backslashes and line ends are escaped twice.
func weight(s string) int {
	n := len(s)
	for i := range len(s) {
		switch s[i] {
		case '"', '\\':
			n += 3
		case '\n', '\t':
			n += 2
		}
	}
	return n + 3*strings.Count(s, "\u2028") + 3*strings.Count(s, "\u2029")
}

// trim cuts s so that it weighs no more than limit.
func trim(s string, limit int) string {
	for w := weight(s); w > limit && s != "…" && s != ""; w = weight(s) {
		s = cut(s, max(1, min(length(s)-1, length(s)*limit/w)))
	}
	return s
}
