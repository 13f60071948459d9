package tickets

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
)

// Apply makes e part of t. A ticket is its events applied in order, and nothing
// else: whatever Decide knew that matters later stands in the event.
func Apply(t *Ticket, e Event) {
	before, f, w := t.Core, e.Facts, e.words()
	t.Core = t.Core.clone() // slices and maps may be shared with a copy of t
	switch e.Kind {
	case Opened:
		t.ID, t.Number, t.Desk = e.Ticket, f.Number, f.Desk
		t.Title, t.Body, t.Files = w.Title, w.Body, w.Files
		t.Requester, t.OpenedBy, t.Created = f.Requester, cmp.Or(e.By, f.Requester), e.At
		t.Priority, t.Type, t.Tags, t.Fields = f.Priority, f.Type, w.Add, maps.Clone(w.Fields)
		t.RespondBy, t.SolveBy = f.RespondBy, f.SolveBy
	case Replied:
		t.Said = &Said{Seq: e.Seq, Text: w.Text, By: e.By, At: e.At}
		t.Responded = cmp.Or(t.Responded, e.At)
	case Retracted:
		if t.Said != nil && t.Said.Seq == f.Seq {
			if t.Responded == t.Said.At {
				t.Responded = 0
			}
			t.Said = nil
		}
	case Amended:
		if f.Seq == 1 && t.Body != "" {
			t.Body = w.Text
		}
		if t.Said != nil && t.Said.Seq == f.Seq {
			said := *t.Said
			said.Text = w.Text
			t.Said = &said
		}
	case ClaimedBy:
		t.Reason = ""
	case Released, Assigned, Escalated:
		t.Owner, t.Team, t.Reason = "", cmp.Or(f.Team, t.Team), w.Reason
	case Consulted:
		t.Consults = append(without(t.Consults, f.Person), Consult{Person: f.Person, By: e.By, Question: w.Text, Due: f.Until})
	case Answered:
		t.Consults = without(t.Consults, f.Person)
	case Prioritised:
		t.Priority, t.SolveBy = f.Priority, f.SolveBy
		if t.Responded == 0 {
			t.RespondBy = f.RespondBy
		}
	case Typed:
		t.Type, t.Fields = f.Type, maps.Clone(w.Fields)
	case FieldSet:
		if t.Fields == nil {
			t.Fields = map[string]string{}
		}
		t.Fields[f.Field] = w.Value
		if w.Value == "" {
			delete(t.Fields, f.Field)
		}
	case Tagged:
		t.Tags = slices.DeleteFunc(append(t.Tags, w.Add...), func(s string) bool { return slices.Contains(w.Remove, s) })
	case Urged:
		t.Urges, t.UrgedAt = t.Urges+1, e.At
	case SolvedBy:
		t.Solution = &Solution{Text: w.Text, Cause: w.Cause, By: e.By, At: e.At}
		t.SolvedAt, t.ClosedAt = e.At, 0
	case Rejected, Reopened:
		t.Reopens++
		t.Missed = nil
		t.SolvedAt, t.ClosedAt, t.Reason = 0, 0, w.Reason
		t.SolveBy, t.RespondBy = f.SolveBy, cmp.Or(f.RespondBy, t.RespondBy)
	case Unmerged:
		t.Missed = nil
		t.SolvedAt, t.ClosedAt = 0, 0
		t.SolveBy, t.RespondBy = f.SolveBy, cmp.Or(f.RespondBy, t.RespondBy)
	case TargetMissed:
		t.Missed = append(slices.Clone(t.Missed), f.Target)
	case Undone:
		if t.Undo != nil {
			t.Core = t.Undo.Before.clone()
		}
		if t.Reopens > 0 && (f.What == VerbReject || f.What == VerbReopen) {
			t.Reopens--
		}
	}
	switch {
	case f.Link == nil:
	case e.Kind == Unmerged, e.Kind == UnmergedFrom:
		t.Links = slices.DeleteFunc(slices.Clone(t.Links), func(l Link) bool { return l == *f.Link })
	default:
		t.addLink(*f.Link)
	}
	t.addFiles(w.Files)
	if e.Kind != Undone {
		t.move(e)
	}
	t.remember(e, before)
	t.Changed, t.Version, t.Head = e.At, e.Seq, e.Hash
	if !quiet[e.Kind] {
		t.Last = LastAct{Kind: e.Kind, By: e.By, At: e.At}
	}
}

// move applies what all changes of status have in common.
func (t *Ticket) move(e Event) {
	f := e.Facts
	if f.Status == "" {
		return
	}
	t.Status = f.Status
	t.Owner = cmp.Or(f.Owner, t.Owner)
	if t.Status == Active {
		t.Claimed = cmp.Or(t.Claimed, e.At)
	}
	if t.Status == Closed {
		t.ClosedAt = e.At
	}
	if t.Status.Paused() {
		t.PausedAt = cmp.Or(t.PausedAt, e.At)
		t.Hold = &Hold{Until: f.Until, Reason: e.words().Reason}
		return
	}
	if t.PausedAt != 0 && t.Status.Open() { // the clocks run again, later by as long as they stood
		t.SolveBy, t.RespondBy = cmp.Or(f.SolveBy, t.SolveBy), cmp.Or(f.RespondBy, t.RespondBy)
	}
	t.PausedAt, t.Hold = 0, nil
}

// undoable are the kinds that their actor may take back, with the verb that made them.
var undoable = map[Kind]Verb{
	ClaimedBy: VerbClaim, Released: VerbRelease, Assigned: VerbAssign, Consulted: VerbConsult,
	Prioritised: VerbPriority, Typed: VerbType, FieldSet: VerbField, Tagged: VerbTag,
	HeldUntil: VerbHold, Resumed: VerbResume, Escalated: VerbEscalate, SolvedBy: VerbSolve,
	Confirmed: VerbConfirm, Rejected: VerbReject, ClosedBy: VerbClose, Reopened: VerbReopen, Withdrawn: VerbWithdraw,
}

// quiet are the kinds that a card's footer does not speak of.
var quiet = map[Kind]bool{Revealed: true, Thanked: true, Retracted: true, Amended: true, Attached: true}

// remember keeps what an undo would put back. An act that cannot be undone but
// changes what an undo would touch ends the chance.
func (t *Ticket) remember(e Event, before Core) {
	verb, ok := undoable[e.Kind]
	switch {
	case ok && e.By != "":
		t.Undo = &Undoable{By: e.By, At: e.At, What: verb, Before: before}
	case !reflect.DeepEqual(before, t.Core):
		t.Undo = nil
	}
}

func without(cs []Consult, p PersonID) []Consult {
	return slices.DeleteFunc(cs, func(c Consult) bool { return c.Person == p })
}

func (t *Ticket) addLink(l Link) {
	if !slices.Contains(t.Links, l) {
		t.Links = append(slices.Clone(t.Links), l)
	}
}

func (t *Ticket) addFiles(fs []File) {
	if len(fs) == 0 {
		return
	}
	t.Files = slices.Clone(t.Files)
	for _, f := range fs {
		i := slices.IndexFunc(t.Files, func(have File) bool { return have.Ref == f.Ref })
		if i < 0 {
			t.Files = append(t.Files, f)
		} else {
			t.Files[i] = f // its content has arrived
		}
	}
}
