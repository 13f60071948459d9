// Package tickets is the core of Paidan: what a ticket is, what may be done to
// it and by whom, and the one transaction in which it is done. It has never
// heard of chat: places where a ticket shows are opaque text to it.
package tickets

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// TicketID is a UUIDv7 in text form. People see Number instead.
type TicketID string

// PersonID names one human being, however many accounts that human has.
type PersonID string

// DeskKey names a desk, as in the configuration ("it", "after-sales").
type DeskKey string

// Time is microseconds since the Unix epoch, UTC; 0 means "none". It is what
// the database holds, so that both databases compare and sort it alike.
type Time int64

// At converts t; the zero time becomes 0.
func At(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMicro())
}

// Go converts to a time.Time in UTC; 0 becomes the zero time.
func (t Time) Go() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(t)).UTC()
}

// Add returns t moved by d.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Microseconds()) }

// Sub returns the span from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Microsecond }

// Status is where a ticket stands in its life.
type Status string

// The statuses, in the order of a ticket's life.
const (
	New      Status = "new"      // 待接: nobody owns it
	Active   Status = "active"   // 处理中: somebody owns it
	Waiting  Status = "waiting"  // 等客户: the requester's turn; clocks stand still
	Held     Status = "held"     // 挂起: until a time or for a reason; clocks stand still
	Solved   Status = "solved"   // 待确认: the owner says it is done, the requester has not said so yet
	Closed   Status = "closed"   // 已关闭
	Archived Status = "archived" // out of every list but search
)

// Open reports whether work may still be needed.
func (s Status) Open() bool { return s == New || s == Active || s == Waiting || s == Held }

// Paused reports whether the service clocks stand still.
func (s Status) Paused() bool { return s == Waiting || s == Held }

// Priority is 1 (most urgent) to 4; shown as P1 to P4.
type Priority int

func (p Priority) String() string { return fmt.Sprintf("P%d", int(p)) }

// Hold says why and until when a ticket is held.
type Hold struct {
	Until  Time   `json:"until,omitempty"` // 0: until somebody resumes it
	Reason string `json:"reason,omitempty"`
}

// Solution is what the owner says was done.
type Solution struct {
	Text  string   `json:"text,omitempty"`
	Cause string   `json:"cause,omitempty"` // one of the desk's causes, or free text
	By    PersonID `json:"by,omitempty"`
	At    Time     `json:"at,omitempty"`
}

// Consult is a question put to an expert who does not own the ticket.
type Consult struct {
	Person   PersonID `json:"person"`
	By       PersonID `json:"by"`
	Question string   `json:"question,omitempty"`
	Due      Time     `json:"due,omitempty"` // when the question returns by itself; 0: never
}

// LinkKind says how two tickets belong together.
type LinkKind string

// The kinds of links. Each is written on both tickets.
const (
	Related   LinkKind = "related"
	Successor LinkKind = "successor" // the other ticket follows this one
	Precursor LinkKind = "precursor" // the other ticket came before this one
	SplitTo   LinkKind = "split_to"
	SplitFrom LinkKind = "split_from"
	MergedTo  LinkKind = "merged_to"
	Merged    LinkKind = "merged" // the other ticket was merged into this one
)

// Link joins a ticket to another.
type Link struct {
	Kind   LinkKind `json:"kind"`
	Ticket TicketID `json:"ticket"`
	Number int64    `json:"number"`
}

// Said is the last thing that was said in public, for the requester's card.
type Said struct {
	Seq  int64    `json:"seq"`
	Text string   `json:"text"`
	By   PersonID `json:"by"`
	At   Time     `json:"at"`
}

// File is a file that came with a ticket. Content is kept once, by its hash.
type File struct {
	Name string `json:"name"`
	Type string `json:"type"` // media type as the platform told it; never trusted for serving
	Size int64  `json:"size"` // bytes
	Hash string `json:"hash"` // SHA-256, hex; "" while it is still being fetched
	Ref  string `json:"ref"`  // where the platform keeps it; opaque
}

// Core is the part of a ticket that commands change back and forth, and that an
// undo puts back as it was.
type Core struct {
	Status   Status            `json:"status"`
	Priority Priority          `json:"priority"`
	Owner    PersonID          `json:"owner,omitempty"`
	Team     string            `json:"team,omitempty"` // tier or team it was escalated to
	Type     string            `json:"type,omitempty"`
	Tags     []string          `json:"tags,omitempty"`
	Fields   map[string]string `json:"fields,omitempty"` // by field key, in canonical form
	Hold     *Hold             `json:"hold,omitempty"`
	Solution *Solution         `json:"solution,omitempty"`
	Consults []Consult         `json:"consults,omitempty"`
	Reason   string            `json:"reason,omitempty"` // of the last transfer, release or escalation: the next owner reads it

	RespondBy Time `json:"respond_by,omitempty"` // first response due; 0: none
	SolveBy   Time `json:"solve_by,omitempty"`   // resolution due; 0: none
	PausedAt  Time `json:"paused_at,omitempty"`  // clocks stand still since
	SolvedAt  Time `json:"solved_at,omitempty"`
	ClosedAt  Time `json:"closed_at,omitempty"`
}

func (c Core) clone() Core {
	c.Tags = slices.Clone(c.Tags)
	c.Fields = maps.Clone(c.Fields)
	c.Consults = slices.Clone(c.Consults)
	if c.Hold != nil {
		h := *c.Hold
		c.Hold = &h
	}
	if c.Solution != nil {
		s := *c.Solution
		c.Solution = &s
	}
	return c
}

// Undoable is the last act that its actor may take back.
type Undoable struct {
	By     PersonID `json:"by"`
	At     Time     `json:"at"`
	What   Verb     `json:"what"`
	Before Core     `json:"before"`
}

// Ticket is the whole state of one ticket. It is a pure function of its events:
// see Apply.
type Ticket struct {
	ID        TicketID `json:"id"`
	Number    int64    `json:"number"` // what people say: #1024
	Desk      DeskKey  `json:"desk"`
	Title     string   `json:"title"`
	Body      string   `json:"body,omitempty"`
	Requester PersonID `json:"requester"`
	OpenedBy  PersonID `json:"opened_by"`
	Core

	Files []File `json:"files,omitempty"`
	Links []Link `json:"links,omitempty"`
	Said  *Said  `json:"said,omitempty"` // last public reply of an agent

	Urges   int      `json:"urges,omitempty"`
	UrgedAt Time     `json:"urged_at,omitempty"`
	Reopens int      `json:"reopens,omitempty"`
	Missed  []string `json:"missed,omitempty"` // targets missed since it was opened or reopened: respond, solve

	Created   Time `json:"created"`
	Claimed   Time `json:"claimed,omitempty"`   // first time anybody claimed it
	Responded Time `json:"responded,omitempty"` // first public reply by an agent
	Changed   Time `json:"changed"`

	Undo    *Undoable `json:"undo,omitempty"`
	Last    LastAct   `json:"last"`    // for the card's footer
	Version int64     `json:"version"` // number of events so far
	Head    string    `json:"head"`    // hash of the newest event, hex
}

// LastAct is the newest event in short.
type LastAct struct {
	Kind Kind     `json:"kind"`
	By   PersonID `json:"by,omitempty"`
	At   Time     `json:"at"`
}

// Overdue reports whether a target has passed at now; a paused or finished
// ticket is never overdue.
func (t *Ticket) Overdue(now Time) bool {
	if !t.Status.Open() || t.Status.Paused() {
		return false
	}
	return t.SolveBy != 0 && now > t.SolveBy || t.RespondBy != 0 && t.Responded == 0 && now > t.RespondBy
}

// Helps reports whether p has been consulted on t and has not answered.
func (t *Ticket) Helps(p PersonID) bool {
	return slices.ContainsFunc(t.Consults, func(c Consult) bool { return c.Person == p })
}

// HelpedBy reports whether the actor, under any of his names, has been consulted.
func (t *Ticket) HelpedBy(a Actor) bool {
	return slices.ContainsFunc(t.Consults, func(c Consult) bool { return a.Me(c.Person) })
}
