package cards

import (
	"slices"
	"strconv"
	"strings"

	"github.com/paidan/paidan/cards/lang"
	"github.com/paidan/paidan/tickets"
)

// Receipt is the requester's own small card. It says what he was promised and
// what was said to him, and nothing that the team keeps to itself: no notes, no
// reasons, no tags, no masked fields.
func Receipt(v *tickets.View, l Lang) Card {
	c := Card{
		Lang: l, Tone: receiptTone(v.Status), Title: numbered(v),
		Badges: []string{receiptStatus(v, l)}, Ticket: v.ID, Version: v.Version,
	}
	if v.Owner != "" && !finished(v.Status) {
		c.Facts = append(c.Facts, Fact{Label: tr(l, "fact.owner"), Value: nameOf(v, v.Owner, l)})
	}
	if p := promise(v, l); p != "" {
		c.Facts = append(c.Facts, Fact{Label: tr(l, "fact.promise"), Value: p})
	}
	if v.Urges > 0 && v.Status.Open() {
		c.Facts = append(c.Facts, Fact{Label: tr(l, "fact.urges"), Value: tr(l, "fact.urges_n", "n", strconv.Itoa(v.Urges))})
	}
	if s := v.Solution; s != nil && s.Text != "" && !v.Status.Open() {
		c.Facts = append(c.Facts, Fact{Label: tr(l, "fact.solution"), Value: snip(s.Text, factShown, l), Wide: true})
	} else {
		c.Body = lastReply(v, l)
	}
	c.Actions = receiptActions(v, l)
	if v.Said != nil && width(v.Said.Text) > replyShown || v.Solution != nil && width(v.Solution.Text) > factShown {
		c.More = []Action{showWhole(v.ID, v.Version, l)}
	}
	return c
}

// receiptTone differs from the team's: the requester's turn is a question to
// him, and red is our worry, not his.
func receiptTone(s tickets.Status) Tone {
	switch s {
	case tickets.New:
		return Open
	case tickets.Waiting:
		return Asking
	}
	return statusTone(s)
}

func receiptStatus(v *tickets.View, l Lang) string {
	switch {
	case merged(v) != nil:
		return tr(l, "receipt.merged", "number", strconv.FormatInt(merged(v).Number, 10))
	case withdrawn(v):
		return withdrawnWord(v, l)
	case v.Status == tickets.Held && v.Hold != nil && v.Hold.Until != 0:
		return tr(l, "receipt.held_until", "when", lang.WhenDay(string(l), v.Hold.Until.Go(), v.Now.Go(), v.Zone))
	case v.Status == tickets.Archived:
		return tr(l, "receipt.closed")
	}
	return tr(l, known("receipt.", string(v.Status), "active"))
}

// promise is an instant, not a countdown: this card stands untouched for hours,
// and a countdown would go stale on it. A broken promise is not repeated.
func promise(v *tickets.View, l Lang) string {
	if v.Status != tickets.New && v.Status != tickets.Active {
		return ""
	}
	switch {
	case v.Responded == 0 && v.RespondBy > v.Now:
		return tr(l, "fact.promise_rsp", "when", when(v, v.RespondBy, l))
	case v.SolveBy > v.Now:
		return tr(l, "fact.promise_sol", "when", when(v, v.SolveBy, l))
	}
	return ""
}

func receiptActions(v *tickets.View, l Lang) []Action {
	b := buttons{v, l}
	withdraw := b.sure(tickets.VerbWithdraw, "do.withdraw", "sure.withdraw")
	switch v.Status {
	case tickets.New, tickets.Active, tickets.Held:
		// The nudge stays during its cool-down: nothing would bring it back
		// onto the card when that ends.
		return []Action{b.form(tickets.VerbSay, "do.say"), b.act(tickets.VerbUrge, "do.urge"), withdraw}
	case tickets.Waiting:
		return []Action{primary(b.form(tickets.VerbSay, "do.say_answer")), withdraw}
	case tickets.Solved:
		return []Action{primary(b.act(tickets.VerbConfirm, "do.confirm")), b.form(tickets.VerbReject, "do.reject")}
	case tickets.Closed, tickets.Archived:
		if merged(v) == nil {
			return []Action{b.form(tickets.VerbReopen, "do.reopen")}
		}
	}
	return nil
}

// NotSolved is what stays of the question whether it is solved when it was not.
// It says no more: what goes on from there stands on the requester's card.
func NotSolved(v *tickets.View, l Lang) Card {
	return Card{Lang: l, Title: numbered(v), Badges: []string{tr(l, "do.reject")}, Ticket: v.ID, Version: v.Version}
}

// SolvedWord is what a solution says when its owner only said that it is solved.
func SolvedWord(l Lang) string { return tr(l, "do.confirm") }

// SaidLine tells somebody in a private chat which ticket took his words.
func SaidLine(v *tickets.View, l Lang) string {
	return tr(l, "said.added", "number", strconv.FormatInt(v.Number, 10))
}

// Unknown says that a word is no verb and which one was meant; number may be 0.
func Unknown(word, near string, number int64, l Lang) Card {
	key := "unknown.near"
	if number == 0 {
		key += ".plain"
	}
	c := Hint(tr(l, key, "word", word, "near", near, "number", strconv.FormatInt(number, 10)), l)
	c.Actions = []Action{{Act: Act{Verb: tickets.VerbHelp}, Label: tr(l, "do.help")}}
	return c
}

// Broken tells an admin that a platform does not accept us any more.
func Broken(install string, l Lang) Card {
	return Card{Lang: l, Tone: Alarm, Title: tr(l, "broken.title", "install", install), Body: tr(l, "broken.body")}
}

// Stuck tells the author of a reply that the platform does not let us send it
// until the one whom it is for has written.
func Stuck(v *tickets.View, text string, l Lang) Card {
	return Card{
		Lang: l, Tone: Paused, Title: tr(l, "stuck.title", "number", strconv.FormatInt(v.Number, 10)), Body: text, Note: tr(l, "stuck.note"),
		Actions: []Action{buttons{v, l}.act(tickets.VerbShow, "do.show")}, Ticket: v.ID, Version: v.Version,
	}
}

// Compact is the small successor of a card that could not be changed any more.
func Compact(c Card) Card {
	c.Body, c.Rows = "", nil
	if c.Tone != Good && c.Tone != Gone { // at the end, what was done is what counts
		c.Facts = slices.DeleteFunc(slices.Clone(c.Facts), func(f Fact) bool { return f.Wide })
	}
	c.Note = strings.TrimSpace(c.Note + "\n" + tr(c.Lang, "successor.note"))
	return c
}

// AlarmKind is what an alarm to the admins is about.
type AlarmKind string

// The kinds of alarms.
const (
	AlarmQuota AlarmKind = "quota" // install, used, limit: most of what the platform lets us send in a month is sent
	AlarmGap   AlarmKind = "gap"   // install, from, to: nothing was received for a while, and what was said meanwhile is lost
	AlarmTaken AlarmKind = "taken" // install: somebody else has opened the connection that only one may hold
)

// AdminAlarm tells an admin what he alone can mend or must know. args are those
// that the kind names.
func AdminAlarm(k AlarmKind, args map[string]string, l Lang) Card {
	var pairs []string
	for k, v := range args {
		pairs = append(pairs, k, v)
	}
	return Card{Lang: l, Tone: Alarm, Title: tr(l, "alarm."+string(k)+".title", pairs...), Body: tr(l, "alarm."+string(k)+".body", pairs...)}
}

// OpenedLine is the one line in the requester's thread when his ticket was
// made: «已建单 #1024,14:32 前首次响应».
func OpenedLine(v *tickets.View, l Lang) string {
	n := strconv.FormatInt(v.Number, 10)
	if v.RespondBy == 0 {
		return tr(l, "opened.line", "number", n)
	}
	return tr(l, "opened.respond", "number", n, "when", when(v, v.RespondBy, l))
}
