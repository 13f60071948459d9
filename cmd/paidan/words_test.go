package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// TestCardsTeachWordsThatAreUnderstood says to the bot what cards tell people to say.
func TestCardsTeachWordsThatAreUnderstood(t *testing.T) {
	quotes := map[cards.Lang][2]string{cards.ZH: {"「", "」"}, cards.EN: {"“", "”"}}
	for l, q := range quotes {
		for _, v := range bot.Verbs() {
			body := cards.Refused(tickets.NoNumber, cards.RefusalArgs{Act: cards.Act{Verb: v.Verb}}, l).Body
			_, rest, _ := strings.Cut(body, q[0])
			said, _, _ := strings.Cut(rest, q[1])
			in := bot.Parse(said, nil, time.Now(), time.UTC)
			if (in.Verb != v.Verb && in.Verb != tickets.VerbShow) || in.Number != 1024 {
				t.Errorf("%s %s: %q is understood as %+v", l, v.Verb, said, in)
			}
		}
	}
	desks := []tickets.Desk{{Key: "it", Name: "IT"}, {Key: "hr", Name: "HR"}}
	for _, l := range []cards.Lang{cards.ZH, cards.EN} {
		for _, some := range [][]tickets.Desk{desks[:1], desks} {
			note := cards.Settings(some, tickets.Group{}, l).Note
			said := strings.FieldsFunc(note, func(r rune) bool { return strings.ContainsRune("：；、,;“”", r) })
			var got []string
			for _, s := range said {
				switch in := bot.Parse(strings.TrimSpace(s), nil, time.Now(), time.UTC); in.Verb {
				case bot.VerbSettings:
					got = append(got, in.Key)
					if len(some) > 1 && in.Value != "it" {
						t.Errorf("%s: %q names the desk %q", l, s, in.Value)
					}
				case bot.VerbLevel:
					got = append(got, in.Value)
				}
			}
			if want := []string{"intake", "triage", bot.LevelQuiet, bot.LevelStandard, bot.LevelVerbose}; !slices.Equal(got, want) {
				t.Errorf("%s: %q teaches %v, want %v", l, note, got, want)
			}
		}
	}
}
