package cards

import (
	"strconv"
	"time"

	"github.com/paidan/paidan/cards/lang"
	"github.com/paidan/paidan/tickets"
)

func tr(l Lang, key string, pairs ...string) string { return lang.Text(string(l), key, pairs...) }

func count(l Lang, key string, n int, pairs ...string) string {
	return lang.Count(string(l), key, n, pairs...)
}

// known returns prefix+word when the catalogue has it, else prefix+fallback:
// for words that come from another package and may grow there.
func known(prefix, word, fallback string) string {
	if lang.Has(prefix + word) {
		return prefix + word
	}
	return prefix + fallback
}

func when(v *tickets.View, t tickets.Time, l Lang) string {
	return lang.When(string(l), t.Go(), v.Now.Go(), v.Zone)
}

func span(d time.Duration, l Lang) string { return lang.Span(string(l), d) }

func statusWord(s tickets.Status, l Lang) string {
	if !lang.Has("status." + string(s)) {
		return string(s)
	}
	return tr(l, "status."+string(s))
}

func priorityWord(p tickets.Priority, l Lang) string {
	key := "priority." + strconv.Itoa(int(p))
	if !lang.Has(key) {
		return p.String()
	}
	return tr(l, key)
}

func kindWord(k tickets.Kind, l Lang) string { return tr(l, known("kind.", string(k), "other")) }

// doneWord is kindWord for what by did; a consult that nobody answered comes
// back by itself.
func doneWord(k tickets.Kind, by tickets.PersonID, l Lang) string {
	if k == tickets.Answered && by == "" {
		return tr(l, "kind.lapsed")
	}
	return kindWord(k, l)
}

// VerbWord is a verb as it stands in a sentence: 接单, "claim it".
func VerbWord(v tickets.Verb, l Lang) string { return tr(l, known("verb.", string(v), "other")) }

// StatusWord is a status as people read it: 处理中, "In progress".
func StatusWord(s tickets.Status, l Lang) string { return statusWord(s, l) }

// KindWord says what happened, as after a name: 接单, "claimed it".
func KindWord(k tickets.Kind, l Lang) string { return kindWord(k, l) }

// LangOf returns the language for a reader's locale: see lang.Match.
func LangOf(locale string) Lang { return Lang(lang.Match(locale)) }
