package tickets

import "time"

// Verb names what somebody wants to do. It is the word in buttons' tokens, in
// the rights matrix and in the audit.
type Verb string

// The verbs that change a ticket.
const (
	VerbOpen     Verb = "open"
	VerbOpenFor  Verb = "open_for" // on behalf of another
	VerbSay      Verb = "say"      // the requester writes
	VerbClaim    Verb = "claim"
	VerbRelease  Verb = "release"
	VerbAssign   Verb = "assign" // and transfer
	VerbConsult  Verb = "consult"
	VerbAnswer   Verb = "answer" // a consulted expert gives the question back
	VerbReply    Verb = "reply"  // public
	VerbRetract  Verb = "retract"
	VerbNote     Verb = "note" // private
	VerbPriority Verb = "priority"
	VerbType     Verb = "type"
	VerbField    Verb = "field"
	VerbTag      Verb = "tag"
	VerbHold     Verb = "hold"
	VerbResume   Verb = "resume"
	VerbUrge     Verb = "urge"
	VerbEscalate Verb = "escalate"
	VerbSolve    Verb = "solve"
	VerbConfirm  Verb = "confirm"
	VerbReject   Verb = "reject" // the requester says: not solved
	VerbClose    Verb = "close"
	VerbReopen   Verb = "reopen"
	VerbMerge    Verb = "merge"
	VerbUnmerge  Verb = "unmerge"
	VerbLink     Verb = "link"
	VerbSplit    Verb = "split"
	VerbArchive  Verb = "archive"
	VerbUndo     Verb = "undo"
	VerbAttach   Verb = "attach"
	VerbAmend    Verb = "amend"    // what was said has been edited or deleted at its source
	VerbReveal   Verb = "reveal"   // a masked field, with a reason
	VerbWithdraw Verb = "withdraw" // the requester takes his ticket back; an agent says it is none
)

// The verbs that only look.
const (
	VerbShow     Verb = "show"
	VerbTimeline Verb = "timeline"
	VerbMine     Verb = "mine"
	VerbQueue    Verb = "queue"   // 待接
	VerbOverdue  Verb = "overdue" // 超时
	VerbSearch   Verb = "search"
	VerbHelp     Verb = "help"
)

// Command is something a person (or a timer) wants done to one ticket. Every
// command is a plain struct; Decide says what comes of it.
type Command interface {
	Verb() Verb
	// Validate refuses what cannot be right whatever the ticket's state is.
	Validate() error
}

// Open makes a ticket. For is set when an agent opens it for somebody else.
type Open struct {
	Desk     DeskKey
	Title    string // "": the first line of Body
	Body     string
	Type     string
	Priority Priority // 0: P3
	Fields   map[string]string
	Tags     []string
	Files    []File
	For      PersonID
	From     Link // set on the successor of a closed ticket and on the part that was split off
}

// Say is the requester writing into his ticket.
type Say struct {
	Text  string
	Files []File
}

// Claim takes an unowned ticket. Retaking what one owns already is no error.
type Claim struct{}

// Release gives a ticket back to the queue.
type Release struct{ Reason string }

// Assign gives the ticket to somebody; on an owned ticket that is a transfer.
type Assign struct {
	To     PersonID
	Reason string
}

// ConsultOn asks an expert without giving the ticket away.
type ConsultOn struct {
	Expert   PersonID
	Question string
	Within   time.Duration // 0: until answered
}

// Answer gives a consult back. By the system's hand (a lapsed consult) Expert says whose.
type Answer struct {
	Text   string
	Expert PersonID // "": the actor
}

// Reply is said to the requester.
type Reply struct {
	Text  string
	Files []File
}

// Retract takes back a reply that has not left the outbox yet.
type Retract struct{ Seq int64 }

// Note is said to the team only.
type Note struct {
	Text  string
	Files []File
}

// SetPriority sets P1 to P4.
type SetPriority struct {
	Priority Priority
	Reason   string
}

// SetType changes the type; fields that the new type does not have are dropped.
type SetType struct{ Type string }

// SetField sets one field; an empty value clears it.
type SetField struct{ Key, Value string }

// Tag adds and removes tags.
type Tag struct{ Add, Remove []string }

// HoldUntil pauses the ticket. Customer means 等客户 rather than 挂起.
type HoldUntil struct {
	Until    Time
	Reason   string
	Customer bool
}

// Resume ends a hold. Due is set by the timer: the hold it was made for.
type Resume struct{ Due Time }

// Urge is the requester asking for haste.
type Urge struct{}

// Escalate moves the ticket to a team or tier, or to a person.
type Escalate struct {
	Team   string
	Person PersonID
	Reason string
}

// Solve says what was done and asks the requester.
type Solve struct {
	Text, Cause string
	Quiet       bool // do not tell the requester
}

// Confirm is the requester saying that it is solved.
type Confirm struct{}

// Reject is the requester saying that it is not solved.
type Reject struct{ Reason string }

// Close ends a ticket. Lapsed is set by the timer: nobody answered after Solve.
type Close struct {
	Reason string
	Lapsed Time // the SolvedAt that the timer was made for
}

// Reopen brings a closed or solved ticket back.
type Reopen struct{ Reason string }

// Merge puts this ticket into another.
type Merge struct{ Into TicketID }

// Unmerge takes it out again.
type Unmerge struct{}

// LinkTo ties two tickets together.
type LinkTo struct{ Other TicketID }

// Split makes a new ticket of a part of this one.
type Split struct {
	Title, Body string
}

// Archive takes a closed ticket out of the lists. Closed is set by the timer.
type Archive struct{ Closed Time }

// Undo takes back the actor's own last act.
type Undo struct{}

// Attach adds files whose content has arrived.
type Attach struct{ Files []File }

// Amend follows an edit (or, with Deleted, a deletion) of something said.
type Amend struct {
	Seq     int64
	Text    string
	Deleted bool
}

// Reveal shows a masked field to the actor and records why.
type Reveal struct{ Field, Reason string }

// Withdraw ends a ticket without work: the requester changed his mind, or an
// agent says that it is none (非工单).
type Withdraw struct{ Reason string }

// Breach is the timer telling that a target has passed. It belongs to nobody.
type Breach struct{ Target Time }
