package cards

import (
	"strconv"

	"github.com/paidan/paidan/tickets"
)

// Which asks which of several choices a number meant.
func Which(choices []Action, l Lang) Card {
	return Card{Lang: l, Tone: Asking, Title: tr(l, "which.title"), Actions: choices}
}

// NoSuchChoice says that a card has no such number, and what it has.
func NoSuchChoice(n int, title string, id tickets.TicketID, choices []Action, l Lang) Card {
	return Card{Lang: l, Title: title, Body: tr(l, "which.none", "number", strconv.Itoa(n)), Ticket: id, Actions: choices}
}

// Sure asks once more before something is done that is not undone easily.
func Sure(question string, a Action, l Lang) Card {
	a.Style, a.Confirm = Danger, ""
	return Card{Lang: l, Tone: Asking, Title: question, Actions: []Action{a}}
}

// DoneLine says in one line that what somebody chose has been done.
func DoneLine(what string, l Lang) string { return tr(l, "done.line", "what", what) }
