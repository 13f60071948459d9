package cards

import "github.com/paidan/paidan/tickets"

// Help says by example what can be said. agent adds the words of those who work
// on tickets.
func Help(l Lang, agent bool) Card {
	c := Card{Lang: l, Title: tr(l, "help.title"), Body: tr(l, "help.requester"), Note: tr(l, "help.note")}
	c.Actions = []Action{primary(openButton(l)), {Act: Act{Verb: tickets.VerbMine}, Label: tr(l, "do.mine")}}
	if agent {
		c.Body = joinBody(c.Body, tr(l, "help.agent"))
		c.Actions = append(c.Actions,
			Action{Act: Act{Verb: tickets.VerbQueue}, Label: tr(l, "do.queue")},
			Action{Act: Act{Verb: tickets.VerbOverdue}, Label: tr(l, "do.overdue")})
	}
	return c
}
