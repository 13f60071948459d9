package tickets

import (
	"errors"
	"strings"
	"time"
)

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
	VerbBreach   Verb = "breach"   // by a timer only
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

// Answer gives a consult back. Expert says whose, where the actor is not the
// expert: a lapsed consult, or one that the owner calls back.
type Answer struct {
	Text   string
	Expert PersonID // "": the actor
	Due    Time     // set by the timer: what the consult was due at
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
	Quiet       bool              // do not tell the requester
	Fields      map[string]string // required ones that were still open, filled in with it
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
type Attach struct {
	Seq   int64 // of the event that brought them
	Files []File
}

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

// The longest texts that a ticket keeps, in characters. Longer ones are refused
// and not cut: nothing that somebody wrote may get lost silently.
const (
	MaxTitle  = 300
	MaxBody   = 120_000
	MaxReason = 2_000
	MaxTag    = 40
	MaxTags   = 20
)

// Verb implements Command.
func (Say) Verb() Verb { return VerbSay }

// Verb implements Command.
func (Claim) Verb() Verb { return VerbClaim }

// Verb implements Command.
func (Release) Verb() Verb { return VerbRelease }

// Verb implements Command.
func (Assign) Verb() Verb { return VerbAssign }

// Verb implements Command.
func (ConsultOn) Verb() Verb { return VerbConsult }

// Verb implements Command.
func (Answer) Verb() Verb { return VerbAnswer }

// Verb implements Command.
func (Reply) Verb() Verb { return VerbReply }

// Verb implements Command.
func (Retract) Verb() Verb { return VerbRetract }

// Verb implements Command.
func (Note) Verb() Verb { return VerbNote }

// Verb implements Command.
func (SetPriority) Verb() Verb { return VerbPriority }

// Verb implements Command.
func (SetType) Verb() Verb { return VerbType }

// Verb implements Command.
func (SetField) Verb() Verb { return VerbField }

// Verb implements Command.
func (Tag) Verb() Verb { return VerbTag }

// Verb implements Command.
func (HoldUntil) Verb() Verb { return VerbHold }

// Verb implements Command.
func (Resume) Verb() Verb { return VerbResume }

// Verb implements Command.
func (Urge) Verb() Verb { return VerbUrge }

// Verb implements Command.
func (Escalate) Verb() Verb { return VerbEscalate }

// Verb implements Command.
func (Solve) Verb() Verb { return VerbSolve }

// Verb implements Command.
func (Confirm) Verb() Verb { return VerbConfirm }

// Verb implements Command.
func (Reject) Verb() Verb { return VerbReject }

// Verb implements Command.
func (Close) Verb() Verb { return VerbClose }

// Verb implements Command.
func (Reopen) Verb() Verb { return VerbReopen }

// Verb implements Command.
func (Merge) Verb() Verb { return VerbMerge }

// Verb implements Command.
func (Unmerge) Verb() Verb { return VerbUnmerge }

// Verb implements Command.
func (LinkTo) Verb() Verb { return VerbLink }

// Verb implements Command.
func (Split) Verb() Verb { return VerbSplit }

// Verb implements Command.
func (Archive) Verb() Verb { return VerbArchive }

// Verb implements Command.
func (Undo) Verb() Verb { return VerbUndo }

// Verb implements Command.
func (Attach) Verb() Verb { return VerbAttach }

// Verb implements Command.
func (Amend) Verb() Verb { return VerbAmend }

// Verb implements Command.
func (Reveal) Verb() Verb { return VerbReveal }

// Verb implements Command.
func (Withdraw) Verb() Verb { return VerbWithdraw }

// Verb implements Command.
func (Breach) Verb() Verb { return VerbBreach }

// Verb implements Command.
func (c Open) Verb() Verb {
	if c.For != "" {
		return VerbOpenFor
	}
	return VerbOpen
}

// Validate implements Command.
func (c Open) Validate() error {
	if strings.TrimSpace(c.Title) == "" && strings.TrimSpace(c.Body) == "" && len(c.Files) == 0 {
		return Refuse(EmptyText, "what", "title")
	}
	if c.Priority < 0 || c.Priority > 4 {
		return Refuse(BadValue, "field", "priority", "why", "range")
	}
	if len(c.Tags) > MaxTags {
		return Refuse(BadValue, "field", "tags", "why", "many")
	}
	return errors.Join(atMost("title", MaxTitle, c.Title), atMost("body", MaxBody, c.Body), tags(c.Tags))
}

func tags(list []string) error {
	for _, t := range list {
		if err := errors.Join(require("tag", t), atMost("tag", MaxTag, t)); err != nil {
			return err
		}
	}
	return nil
}

// Validate implements Command.
func (c Say) Validate() error {
	if len(c.Files) == 0 {
		if err := require("text", c.Text); err != nil {
			return err
		}
	}
	return atMost("text", MaxBody, c.Text)
}

// Validate implements Command.
func (c Reply) Validate() error { return Say(c).Validate() }

// Validate implements Command.
func (c Note) Validate() error { return Say(c).Validate() }

// Validate implements Command.
func (c Release) Validate() error {
	return errors.Join(require("reason", c.Reason), atMost("reason", MaxReason, c.Reason))
}

// Validate implements Command.
func (c Assign) Validate() error {
	if c.To == "" {
		return Refuse(NoSuchPerson)
	}
	return atMost("reason", MaxReason, c.Reason)
}

// Validate implements Command.
func (c ConsultOn) Validate() error {
	if c.Expert == "" {
		return Refuse(NoSuchPerson)
	}
	if c.Within < 0 {
		return Refuse(BadTime)
	}
	return errors.Join(require("question", c.Question), atMost("question", MaxReason, c.Question))
}

// Validate implements Command. An empty answer is one: "I cannot help".
func (c Answer) Validate() error { return atMost("text", MaxBody, c.Text) }

// Validate implements Command.
func (c SetPriority) Validate() error {
	if c.Priority < 1 || c.Priority > 4 {
		return Refuse(BadValue, "field", "priority", "why", "range")
	}
	return atMost("reason", MaxReason, c.Reason)
}

// Validate implements Command.
func (c Tag) Validate() error {
	if len(c.Add)+len(c.Remove) == 0 {
		return Refuse(EmptyText, "what", "tag")
	}
	return tags(c.Add)
}

// Validate implements Command.
func (c HoldUntil) Validate() error { return atMost("reason", MaxReason, c.Reason) }

// Validate implements Command.
func (c Escalate) Validate() error {
	if c.Team == "" && c.Person == "" {
		return Refuse(EmptyText, "what", "team")
	}
	return errors.Join(require("reason", c.Reason), atMost("reason", MaxReason, c.Reason))
}

// Validate implements Command.
func (c Solve) Validate() error {
	return errors.Join(require("solution", c.Text), atMost("solution", MaxBody, c.Text), atMost("cause", MaxReason, c.Cause))
}

// Validate implements Command.
func (c Reject) Validate() error { return atMost("reason", MaxBody, c.Reason) }

// Validate implements Command.
func (c Reopen) Validate() error {
	return errors.Join(require("reason", c.Reason), atMost("reason", MaxBody, c.Reason))
}

// Validate implements Command.
func (c Close) Validate() error { return atMost("reason", MaxReason, c.Reason) }

// Validate implements Command.
func (c Withdraw) Validate() error { return atMost("reason", MaxReason, c.Reason) }

// Validate implements Command.
func (c Merge) Validate() error { return other(c.Into) }

// Validate implements Command.
func (c LinkTo) Validate() error { return other(c.Other) }

func other(id TicketID) error {
	if id == "" {
		return Refuse(NotFound)
	}
	return nil
}

// Validate implements Command.
func (c Split) Validate() error { return Open{Title: c.Title, Body: c.Body}.Validate() }

// Validate implements Command.
func (c Reveal) Validate() error {
	return errors.Join(require("reason", c.Reason), atMost("reason", MaxReason, c.Reason))
}

// Validate implements Command.
func (Claim) Validate() error { return nil }

// Validate implements Command.
func (Retract) Validate() error { return nil }

// Validate implements Command.
func (SetType) Validate() error { return nil }

// Validate implements Command.
func (SetField) Validate() error { return nil }

// Validate implements Command.
func (Resume) Validate() error { return nil }

// Validate implements Command.
func (Urge) Validate() error { return nil }

// Validate implements Command.
func (Confirm) Validate() error { return nil }

// Validate implements Command.
func (Unmerge) Validate() error { return nil }

// Validate implements Command.
func (Archive) Validate() error { return nil }

// Validate implements Command.
func (Undo) Validate() error { return nil }

// Validate implements Command.
func (Attach) Validate() error { return nil }

// Validate implements Command.
func (Amend) Validate() error { return nil }

// Validate implements Command.
func (Breach) Validate() error { return nil }
