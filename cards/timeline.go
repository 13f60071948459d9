package cards

import (
	"strconv"
	"strings"

	"github.com/paidan/paidan/tickets"
)

// Timeline shows what happened to a ticket, newest first: where a platform
// shows only some rows, those are the ones that matter.
func Timeline(v *tickets.View, entries []tickets.TimelineEntry, l Lang) Card {
	c := Card{
		Lang: l, Title: tr(l, "timeline.title", "number", strconv.FormatInt(v.Number, 10)),
		Ticket: v.ID, Version: v.Version,
	}
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		name := e.Name
		switch {
		case name == "" && e.By == "":
			name = tr(l, "system")
		case name == "":
			name = nameOf(v, e.By, l)
		}
		c.Rows = append(c.Rows, Row{
			Tone:   kindTone(e.Kind),
			Text:   tr(l, "note.last", "when", when(v, e.At, l), "name", name, "what", doneWord(e.Kind, e.By, l)),
			Detail: entryDetail(v, e),
		})
	}
	if len(c.Rows) == 0 {
		c.Body = tr(l, "timeline.empty")
	}
	return c
}

// entryDetail has fields by the names that people know.
func entryDetail(v *tickets.View, e tickets.TimelineEntry) string {
	if e.Kind != tickets.FieldSet && e.Kind != tickets.Revealed {
		return e.Detail
	}
	key, rest, reason := strings.Cut(e.Detail, ": ")
	label := fieldLabel(v, key)
	switch {
	case label == "":
		return e.Detail
	case reason:
		return label + ": " + rest
	}
	return label
}

func kindTone(k tickets.Kind) Tone {
	switch k {
	case tickets.Opened, tickets.Reopened, tickets.Released:
		return Open
	case tickets.ClaimedBy, tickets.Assigned, tickets.Resumed:
		return Busy
	case tickets.HeldUntil:
		return Paused
	case tickets.SolvedBy, tickets.Confirmed:
		return Good
	case tickets.TargetMissed, tickets.Rejected:
		return Alarm
	case tickets.ClosedBy, tickets.Withdrawn, tickets.MergedInto, tickets.ArchivedNow:
		return Gone
	}
	return Plain
}
