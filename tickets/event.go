package tickets

import "encoding/json"

// Kind says what happened.
type Kind string

// The kinds of events.
const (
	Opened       Kind = "opened"
	SaidMore     Kind = "said"    // by the requester
	Thanked      Kind = "thanked" // by the requester, after solve: changes nothing
	ClaimedBy    Kind = "claimed"
	Released     Kind = "released"
	Assigned     Kind = "assigned"
	Consulted    Kind = "consulted"
	Answered     Kind = "answered"
	Replied      Kind = "replied"
	Retracted    Kind = "retracted"
	Noted        Kind = "noted"
	Prioritised  Kind = "prioritised"
	Typed        Kind = "typed"
	FieldSet     Kind = "field_set"
	Tagged       Kind = "tagged"
	HeldUntil    Kind = "held"
	Resumed      Kind = "resumed"
	Urged        Kind = "urged"
	Escalated    Kind = "escalated"
	SolvedBy     Kind = "solved"
	Confirmed    Kind = "confirmed"
	Rejected     Kind = "rejected"
	ClosedBy     Kind = "closed"
	Reopened     Kind = "reopened"
	MergedInto   Kind = "merged"
	MergedFrom   Kind = "merged_from" // on the ticket that takes the other in
	Unmerged     Kind = "unmerged"
	UnmergedFrom Kind = "unmerged_from"
	Linked       Kind = "linked"
	SplitOff     Kind = "split"
	ArchivedNow  Kind = "archived"
	Undone       Kind = "undone"
	Attached     Kind = "attached"
	Amended      Kind = "amended"
	Revealed     Kind = "revealed"
	Withdrawn    Kind = "withdrawn"
	Breached     Kind = "breached"
	Moved        Kind = "moved" // to another desk
)

// Event is one thing that happened to a ticket. Events are only ever added.
//
// Data holds nothing personal and is hashed. Text that people wrote, and values
// of personal fields, stand in Private; the hash covers only a salted digest of
// it, so that erasing Private and its salt leaves the chain valid.
type Event struct {
	Ticket  TicketID
	Seq     int64 // 1, 2, 3 … within the ticket
	Kind    Kind
	By      PersonID // "" for the system
	Via     string   // where it was done: opaque place, for the audit
	At      Time
	Data    json.RawMessage
	Private json.RawMessage // nil when there is none, or once erased
	Salt    string
	Digest  string // SHA-256 of salt and Private, hex; "" when there never was any
	Prev    string // hash of the event before; "" for the first
	Hash    string
	Once    string // once-key of the request that made it
}
