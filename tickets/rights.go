package tickets

import "slices"

// Role is what a person may be at a desk. Everybody is a requester.
type Role string

// The roles.
const (
	Requester Role = "requester"
	Agent     Role = "agent"
	Lead      Role = "lead"
	Admin     Role = "admin"   // of the whole installation; also sets desks up
	Auditor   Role = "auditor" // sees everything, changes nothing
)

// EveryDesk is the desk of roles that hold everywhere.
const EveryDesk DeskKey = "*"

// Actor is who does something, with the rights read in the deciding transaction.
type Actor struct {
	Person PersonID
	Also   []PersonID // names under which the same human was known before accounts were tied together
	Name   string
	Locale string
	Roles  map[DeskKey][]Role
	System bool // a timer or the importer; never set from anything that came in
}

// Is reports whether the actor has the role at the desk.
func (a Actor) Is(r Role, desk DeskKey) bool {
	if r == Requester {
		return a.Person != ""
	}
	for _, d := range []DeskKey{desk, EveryDesk} {
		for _, have := range a.Roles[d] {
			if have == r {
				return true
			}
		}
	}
	return false
}

// Me reports whether p is the actor.
func (a Actor) Me(p PersonID) bool {
	return p != "" && (p == a.Person || slices.Contains(a.Also, p))
}

// Works reports whether the actor works at the desk: agent, lead or admin.
func (a Actor) Works(desk DeskKey) bool {
	return a.Is(Agent, desk) || a.Is(Lead, desk) || a.Is(Admin, desk)
}

// Anywhere reports whether the actor works at any desk.
func (a Actor) Anywhere() bool {
	for d := range a.Roles {
		if a.Works(d) {
			return true
		}
	}
	return false
}

// Sees reports whether the actor may know that the ticket exists. Whoever may
// not is answered as if it did not.
func (a Actor) Sees(t *Ticket) bool {
	return a.System || a.Works(t.Desk) || a.Is(Auditor, t.Desk) ||
		a.Me(t.Requester) || a.Me(t.OpenedBy) || a.Me(t.Owner) || t.HelpedBy(a)
}

// grant is a set of those who may use a verb.
type grant uint8

const (
	theRequester grant = 1 << iota // of this ticket, or who opened it for him
	theOwner                       // of this ticket
	aHelper                        // consulted on this ticket
	anAgent                        // of this desk
	aLead                          // of this desk
	anAdmin
	anAuditor
	anybody
)

const (
	team    = anAgent | aLead | anAdmin
	inChief = theOwner | aLead | anAdmin
)

// Rights is who may do what: the whole of it, as data. A verb that is not here
// may be used by the system only.
var Rights = map[Verb]grant{
	VerbOpen:     anybody,
	VerbOpenFor:  team,
	VerbSay:      theRequester,
	VerbClaim:    team,
	VerbRelease:  inChief,
	VerbAssign:   team,
	VerbConsult:  inChief,
	VerbAnswer:   aHelper | inChief,
	VerbReply:    team,
	VerbRetract:  team,
	VerbNote:     team | aHelper,
	VerbPriority: team,
	VerbType:     team,
	VerbField:    team,
	VerbTag:      team,
	VerbHold:     inChief,
	VerbResume:   inChief,
	VerbUrge:     theRequester,
	VerbEscalate: team,
	VerbSolve:    inChief,
	VerbConfirm:  theRequester,
	VerbReject:   theRequester,
	VerbClose:    inChief | theRequester,
	VerbReopen:   theRequester | team,
	VerbMerge:    team,
	VerbUnmerge:  team,
	VerbLink:     team,
	VerbSplit:    team,
	VerbArchive:  aLead | anAdmin,
	VerbUndo:     team | theRequester,
	VerbAttach:   team | theRequester | aHelper,
	VerbAmend:    team | theRequester | aHelper,
	VerbReveal:   inChief | anAgent,
	VerbWithdraw: theRequester | team,
	VerbShow:     theRequester | theOwner | aHelper | team | anAuditor,
	VerbTimeline: theOwner | aHelper | team | anAuditor,
}

// Authorize returns nil when the actor may use the verb on the ticket, and a
// refusal otherwise: NotFound to those who may not even know of it.
func Authorize(a Actor, v Verb, t *Ticket) error {
	if a.System {
		return nil
	}
	if a.Person == "" {
		return Refuse(NotAllowed, "verb", string(v))
	}
	if Rights[v]&a.standing(t) != 0 {
		return nil
	}
	if v != VerbOpen && v != VerbOpenFor && !a.Sees(t) {
		return Refuse(NotFound)
	}
	if Rights[v]&theOwner != 0 && a.Works(t.Desk) {
		if t.Owner == "" {
			return Refuse(WrongState, "status", string(t.Status), "verb", string(v)) // it must be claimed first
		}
		return Refuse(NotYours, "by", string(t.Owner))
	}
	return Refuse(NotAllowed, "verb", string(v))
}

// standing is everything that the actor is to the ticket.
func (a Actor) standing(t *Ticket) grant {
	g := anybody
	if a.Me(t.Requester) || a.Me(t.OpenedBy) {
		g |= theRequester
	}
	if a.Me(t.Owner) && a.Works(t.Desk) { // whoever left the desk works on nothing there
		g |= theOwner
	}
	if t.HelpedBy(a) {
		g |= aHelper
	}
	if a.Is(Agent, t.Desk) {
		g |= anAgent
	}
	if a.Is(Lead, t.Desk) {
		g |= aLead
	}
	if a.Is(Admin, t.Desk) {
		g |= anAdmin
	}
	if a.Is(Auditor, t.Desk) {
		g |= anAuditor
	}
	return g
}
