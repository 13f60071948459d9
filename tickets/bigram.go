package tickets

import (
	"iter"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Cutting Chinese into overlapping pairs is what Lucene's CJKAnalyzer does: no
// dictionary, the same answer on both databases, and words of one character are
// found as well because single characters are indexed too.

// maxTokens bounds what one ticket adds to the index, maxWord how long a word
// that is not Chinese may be, in characters; what is longer is cut.
const (
	maxTokens = 8_000
	maxWord   = 40
)

// indexTokens cuts text for the index: the pairs of a run of Chinese in their
// order, then its single characters.
func indexTokens(s string) []string {
	var out []string
	for run := range runs(s) {
		out = append(out, pairs(run)...)
		if han(run) && len(run) > 1 {
			for _, r := range run {
				out = append(out, string(r))
			}
		}
		if len(out) > maxTokens {
			return out[:maxTokens]
		}
	}
	return out
}

// queryPhrases cuts what somebody searches for. The tokens of a phrase follow
// one another in a ticket that matches; the phrases may stand anywhere.
func queryPhrases(s string) [][]string {
	var out [][]string
	for run := range runs(s) {
		if out = append(out, pairs(run)); len(out) == 16 { // more words find nothing more
			break
		}
	}
	return out
}

func pairs(run []rune) []string {
	if !han(run) || len(run) == 1 {
		return []string{string(run)}
	}
	out := make([]string, 0, len(run)-1)
	for i := 0; i+1 < len(run); i++ {
		out = append(out, string(run[i:i+2]))
	}
	return out
}

func han(run []rune) bool { return unicode.Is(unicode.Han, run[0]) }

// runs yields the stretches of Chinese and the words of other scripts, in lower
// case and in compatibility form (full-width letters become plain ones).
func runs(s string) iter.Seq[[]rune] {
	return func(yield func([]rune) bool) {
		var run []rune
		for _, r := range strings.ToLower(norm.NFKC.String(s)) {
			letter := unicode.IsLetter(r) || unicode.IsDigit(r)
			if len(run) > 0 && (!letter || han(run) != unicode.Is(unicode.Han, r)) {
				if !yield(run) {
					return
				}
				run = nil
			}
			if letter && (len(run) < maxWord || han(run)) {
				run = append(run, r)
			}
		}
		if len(run) > 0 {
			yield(run)
		}
	}
}
