package cards

import (
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/cards/lang"
	"github.com/paidan/paidan/tickets"
)

// List shows tickets in a list: mine, the queue, overdue ones, what a search
// found. An empty title is the usual one for kind. more is how many there are
// beyond rows. In the team's lists, what nobody owns can be claimed at once; the
// others are also read by requesters, who may not.
func List(kind tickets.Verb, title string, rows []tickets.Row, more int, now tickets.Time, zone *time.Location, l Lang) Card {
	if title == "" {
		title = tr(l, known("list.", string(kind), "search"))
	}
	c := Card{Lang: l, Title: title}
	if len(rows) == 0 {
		c.Body = tr(l, known("list.", string(kind)+"_empty", "empty"))
		if kind == tickets.VerbMine {
			c.Actions = []Action{openButton(l)}
		}
		return c
	}
	c.Title = tr(l, "list.titled", "title", title, "n", strconv.Itoa(len(rows)+max(more, 0)))
	c.Rows = ticketRows(rows, kind == tickets.VerbQueue || kind == tickets.VerbOverdue, now, zone, l)
	if more > 0 {
		c.Rows = append(c.Rows, leftRow(more, true, l))
	}
	return c
}

// Home is a person's own page: what he works on or has asked for, and, for
// those who work here, what waits to be claimed. queue is nil for requesters.
func Home(mine, queue []tickets.Row, now tickets.Time, zone *time.Location, l Lang) Card {
	c := Card{Lang: l, Title: tr(l, "home.title")}
	section := func(key string, rows []tickets.Row, claim bool) {
		c.Rows = append(c.Rows, Row{Text: tr(l, key, "n", strconv.Itoa(len(rows)))})
		c.Rows = append(c.Rows, ticketRows(rows, claim, now, zone, l)...)
	}
	if len(mine) > 0 {
		section("home.mine", mine, false)
	}
	if len(queue) > 0 {
		section("home.queue", queue, true)
	}
	switch {
	case len(c.Rows) > 0:
	case queue != nil:
		c.Body = tr(l, "list.queue_empty")
	default:
		c.Body = tr(l, "home.hello")
	}
	look := func(verb tickets.Verb, label string) Action { return Action{Act: Act{Verb: verb}, Label: tr(l, label)} }
	c.Actions = []Action{primary(openButton(l)), look(tickets.VerbMine, "do.mine")}
	if queue != nil {
		c.Actions = append(c.Actions, look(tickets.VerbQueue, "do.queue"), look(tickets.VerbOverdue, "do.overdue"))
	}
	c.Actions = append(c.Actions, look(tickets.VerbHelp, "do.help"))
	return c
}

func openButton(l Lang) Action {
	return Action{Act: Act{Verb: tickets.VerbOpen, Form: true}, Label: tr(l, "do.open")}
}

func ticketRows(rows []tickets.Row, claim bool, now tickets.Time, zone *time.Location, l Lang) []Row {
	out := make([]Row, len(rows))
	for i, r := range rows {
		out[i] = ticketRow(r, claim, now, zone, l)
	}
	return out
}

func ticketRow(r tickets.Row, mayClaim bool, now tickets.Time, zone *time.Location, l Lang) Row {
	act := Act{Ticket: r.ID, Version: r.Version}
	row := Row{Tone: statusTone(r.Status), Text: hash(r.Number) + " " + r.Title}
	detail := make([]string, 0, 4)
	if r.Priority != 0 {
		detail = append(detail, r.Priority.String())
	}
	detail = append(detail, statusWord(r.Status, l))
	if r.OwnerName != "" {
		detail = append(detail, r.OwnerName)
	}
	if r.Due != 0 && (r.Status == tickets.New || r.Status == tickets.Active) {
		if now > r.Due {
			row.Tone = Alarm
			detail = append(detail, tr(l, "fact.late", "span", span(now.Sub(r.Due), l)))
		} else {
			detail = append(detail, tr(l, "fact.left", "span", span(r.Due.Sub(now), l),
				"when", lang.When(string(l), r.Due.Go(), now.Go(), zone)))
		}
	}
	row.Detail = strings.Join(detail, " · ")
	if r.Status == tickets.New && mayClaim {
		claim := act
		claim.Verb = tickets.VerbClaim
		row.Actions = append(row.Actions, Action{Act: claim, Label: tr(l, "do.claim")})
	}
	act.Verb = tickets.VerbShow
	row.Actions = append(row.Actions, Action{Act: act, Label: tr(l, "do.show")})
	return row
}

// leftRow stands for n rows that are not shown.
func leftRow(n int, ofTickets bool, l Lang) Row {
	key := "rows.more"
	if ofTickets {
		key = "list.more"
	}
	return Row{Text: count(l, key, n), Left: n}
}
