// Package cardstest holds texts that people should not be able to do harm with,
// and puts them into every card, so that every adapter can be tested with all
// of them.
package cardstest

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

//go:embed hostile.txt
var corpus string

var parsed = sync.OnceValues(func() ([]string, error) { return parse(corpus) })

// HostileStrings returns the corpus: mentions, links and markup of every
// platform, scripts, formulas, invisible characters, huge and broken texts. The
// slice is the caller's own. It panics when the embedded file is malformed,
// which a test of this package rules out.
func HostileStrings() []string {
	all, err := parsed()
	if err != nil {
		panic(err)
	}
	return slices.Clone(all)
}

// parse reads Go-quoted strings, one a line, optionally followed by *n.
func parse(text string) ([]string, error) {
	var out []string
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, fmt.Errorf("hostile.txt:%d: read string: %w", n, err)
		}
		s, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("hostile.txt:%d: unquote: %w", n, err)
		}
		if times, ok := strings.CutPrefix(line[len(quoted):], "*"); ok {
			count, err := strconv.Atoi(times)
			if err != nil || count < 1 {
				return nil, fmt.Errorf("hostile.txt:%d: count %q is no positive number", n, times)
			}
			s = strings.Repeat(s, count)
		} else if len(quoted) != len(line) {
			return nil, fmt.Errorf("hostile.txt:%d: unexpected %q after the string", n, line[len(quoted):])
		}
		out = append(out, s)
	}
	return out, nil
}

// Everywhere returns every kind of card with s in every text that comes from
// people or configuration: titles, bodies, names, tags, labels, values, options,
// hints, reasons, file names, desks, teams, types, causes, links of forms.
func Everywhere(s string) []cards.Card {
	v := cards.SampleWith(s)
	states := []tickets.Status{tickets.New, tickets.Active, tickets.Waiting, tickets.Held, tickets.Solved, tickets.Closed, tickets.Archived}
	var out []cards.Card
	for _, st := range states {
		w := *v
		w.Status = st
		if st != tickets.New {
			w.Owner = w.Solution.By
		}
		out = append(out, cards.Ticket(&w, cards.ZH), cards.Receipt(&w, cards.EN), cards.Found(&w, cards.EN))
		if st == tickets.Active {
			v = &w
		}
	}
	rows := []tickets.Row{
		{ID: "t1", Number: 1, Title: s, Status: tickets.New, Priority: 2, OwnerName: s, Due: v.Now},
		{ID: "t2", Number: 2, Title: s, Status: tickets.Active, Priority: 2, OwnerName: s, Due: v.Now.Add(1)},
	}
	entries := []tickets.TimelineEntry{{Seq: 1, Kind: tickets.Replied, By: "p", Name: s, At: v.Now, Detail: s}}
	pre := tickets.Open{Title: s, Body: s, Fields: map[string]string{"hostile": s}}
	args := cards.NoticeArgs{By: s, Reason: s, Text: s, Team: s, Due: v.Now}
	out = append(out,
		cards.List(tickets.VerbQueue, s, rows, 3, v.Now, v.Zone, cards.ZH),
		cards.Home(rows, rows, v.Now, v.Zone, cards.EN),
		cards.Timeline(v, entries, cards.ZH),
		cards.BreachLine(v, cards.ZH),
		cards.SoonWarning(v, cards.ZH),
		cards.RequesterNotice(tickets.Replied, v, s, cards.ZH),
		cards.Relay(v.Number, s, s, s, v.Files, cards.ZH),
		cards.ReplyHeld(1, 8, v, cards.ZH),
		cards.Revealed(v, "hostile", s, cards.EN),
		cards.Linked(s, cards.ZH),
		cards.LinkOffer(s, cards.EN),
		cards.Hint(s, cards.ZH),
		cards.OpenForm(v.Desk, "hostile", pre, cards.ZH),
		cards.OpenForForm(v.Desk, "hostile", pre, cards.EN),
		cards.WithErrors(cards.OpenForm(v.Desk, "hostile", pre, cards.ZH), map[string]string{cards.InTitle: s, "nowhere": s}),
		cards.Refused(tickets.AlreadyClaimed, cards.RefusalArgs{
			Args: map[string]string{"by": "p"}, Name: func(tickets.PersonID) string { return s }, Act: cards.Act{Verb: tickets.VerbClaim, Ticket: v.ID},
		}, cards.ZH),
		cards.Refused(tickets.BadValue, cards.RefusalArgs{Args: map[string]string{"field": s, "label": s, "why": s}}, cards.EN),
		cards.Refused(tickets.NoSuchTeam, cards.RefusalArgs{Args: map[string]string{"team": s}}, cards.EN),
		cards.Settings([]tickets.Desk{v.Desk}, tickets.Group{Desk: v.Desk.Key, Use: "intake"}, cards.ZH),
		raw(s),
	)
	for _, k := range []tickets.Kind{
		tickets.Assigned, tickets.Urged, tickets.Consulted, tickets.Answered, tickets.Escalated, tickets.Resumed,
		tickets.SaidMore, tickets.Rejected, tickets.Reopened, tickets.TargetMissed, tickets.Replied,
	} {
		out = append(out, cards.Notice(k, v, args, cards.ZH))
	}
	for _, verb := range []tickets.Verb{
		tickets.VerbSolve, tickets.VerbAssign, tickets.VerbHold, tickets.VerbConsult, tickets.VerbAnswer, tickets.VerbEscalate,
		tickets.VerbReply, tickets.VerbNote, tickets.VerbSay, tickets.VerbReject, tickets.VerbRelease, tickets.VerbMerge,
		tickets.VerbLink, tickets.VerbSplit, tickets.VerbReveal, tickets.VerbType, tickets.VerbField, tickets.VerbTag,
		tickets.VerbPriority, tickets.VerbWithdraw, tickets.VerbClose, tickets.VerbReopen,
	} {
		if c, ok := cards.FormFor(verb, v, "hostile", cards.ZH); ok {
			out = append(out, c)
		}
	}
	out = append(out, cards.Whole(v, 3000, cards.EN)[0], cards.WholeForTeam(v, 3000, cards.ZH)[0])
	return append(out, cards.ReopenForm(v, s, cards.EN))
}

// raw is a card no builder makes: s in every field there is.
func raw(s string) cards.Card {
	act := cards.Action{Act: cards.Act{Verb: tickets.VerbClaim, Ticket: "t1", Version: 1}, Label: s, Confirm: s}
	menu := act
	menu.Options = []cards.Option{{Label: s, Value: "a"}, {Label: s, Value: "b"}}
	return cards.Card{
		Lang: cards.ZH, Tone: cards.Alarm, Title: s, Badges: []string{s, s}, Body: s, Note: s, Alt: s, Ticket: "t1", Version: 1,
		Facts:   []cards.Fact{{Label: s, Value: s}, {Label: s, Value: s, Wide: true, Action: &act}},
		Rows:    []cards.Row{{Tone: cards.Open, Text: s, Detail: s, Actions: []cards.Action{act, act}}},
		Actions: []cards.Action{act, menu}, More: []cards.Action{act, menu},
	}
}
