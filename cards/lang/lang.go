// Package lang holds the words of Paidan in Chinese and English, and knows how
// each language says times and spans. A text may hold {placeholders}; what is
// put in for them is data and is never read as a text again.
package lang

import (
	"slices"
	"strconv"
	"strings"
)

// The languages that have a catalogue.
const (
	ZH = "zh-CN"
	EN = "en"
)

// Match returns the catalogue that serves a locale best: Chinese for every kind
// of Chinese and where nothing is known, English for all else.
func Match(locale string) string {
	if locale == "" || strings.HasPrefix(strings.ToLower(locale), "zh") {
		return ZH
	}
	return EN
}

func catalogue(l string) map[string]string {
	if l == ZH || Match(l) == ZH {
		return zh
	}
	return en
}

// Has reports whether both languages have a text for key.
func Has(key string) bool {
	_, a := zh[key]
	_, b := en[key]
	return a && b
}

// Keys returns the keys of a language's catalogue, sorted.
func Keys(l string) []string {
	c := catalogue(l)
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Text returns the text for key with its placeholders filled in from pairs:
// name, value, name, value. A placeholder without a value becomes empty. An
// unknown key is returned as it is, so that a gap shows and breaks nothing.
func Text(l, key string, pairs ...string) string {
	s, ok := catalogue(l)[key]
	if !ok {
		return key
	}
	return fill(s, pairs)
}

// Count is Text with {n}. Where a language tells one from many, the text for
// one is under key+".one".
func Count(l, key string, n int, pairs ...string) string {
	if n == 1 {
		if _, ok := catalogue(l)[key+".one"]; ok {
			key += ".one"
		}
	}
	return Text(l, key, append([]string{"n", strconv.Itoa(n)}, pairs...)...)
}

// fill puts values in, in one pass: a value that looks like a placeholder stays
// what it is.
func fill(s string, pairs []string) string {
	open := strings.IndexByte(s, '{')
	if open < 0 {
		return s
	}
	var b strings.Builder
	for open >= 0 {
		end := strings.IndexByte(s[open:], '}')
		if end < 0 {
			break
		}
		b.WriteString(s[:open])
		name := s[open+1 : open+end]
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				b.WriteString(pairs[i+1])
				break
			}
		}
		s = s[open+end+1:]
		open = strings.IndexByte(s, '{')
	}
	b.WriteString(s)
	return b.String()
}
