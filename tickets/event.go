package tickets

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
	TargetMissed Kind = "breached"
	Moved        Kind = "moved" // to another desk
)

// Event is one thing that happened to a ticket. Events are only ever added.
//
// Facts hold nothing personal and are hashed. Text that people wrote, and values
// of fields, stand in Words; the hash covers only a salted digest of them, so
// that erasing the words and their salt leaves the chain valid.
type Event struct {
	Ticket TicketID
	Seq    int64 // 1, 2, 3 … within the ticket
	Kind   Kind
	By     PersonID // "" for the system
	Via    string   // where it was done: opaque place, for the audit
	At     Time
	Once   string // once-key of the request that made it
	Facts  Facts
	Words  *Words // nil when there were none, or once erased
	Seal
}

// Seal is what ties an event to the one before it. See chain.go.
type Seal struct {
	Salt   string // of the digest, hex; "" once erased
	Digest string // of salt and words, hex; "" when there never were any
	Prev   string // hash of the event before; "" for the first
	Hash   string
}

// Facts is what an event says without quoting anybody. Which members are set
// depends on the kind; Was… is the value before.
type Facts struct {
	Number    int64    `json:"number,omitempty"`
	Desk      DeskKey  `json:"desk,omitempty"`
	Requester PersonID `json:"requester,omitempty"`

	Status      Status   `json:"status,omitempty"`
	WasStatus   Status   `json:"was_status,omitempty"`
	Owner       PersonID `json:"owner,omitempty"`
	WasOwner    PersonID `json:"was_owner,omitempty"`
	Priority    Priority `json:"priority,omitempty"`
	WasPriority Priority `json:"was_priority,omitempty"`
	Team        string   `json:"team,omitempty"`
	WasTeam     string   `json:"was_team,omitempty"`
	Type        string   `json:"type,omitempty"`
	WasType     string   `json:"was_type,omitempty"`

	RespondBy Time `json:"respond_by,omitempty"`
	SolveBy   Time `json:"solve_by,omitempty"`
	Until     Time `json:"until,omitempty"` // of a hold or a consult

	Person PersonID `json:"person,omitempty"` // consulted, or whose question was answered
	Field  string   `json:"field,omitempty"`  // key
	Seq    int64    `json:"seq,omitempty"`    // of the event that this one is about
	Link   *Link    `json:"link,omitempty"`
	What   Verb     `json:"what,omitempty"`   // of an undo
	Quiet  bool     `json:"quiet,omitempty"`  // the requester is not told
	Lapsed bool     `json:"lapsed,omitempty"` // time did it, nobody pressed anything
	Gone   bool     `json:"gone,omitempty"`   // of an amendment: deleted at its source
	Target string   `json:"target,omitempty"` // of a breach: respond or solve
}

// Words is what people wrote.
type Words struct {
	Title  string            `json:"title,omitempty"`
	Body   string            `json:"body,omitempty"`
	Text   string            `json:"text,omitempty"`
	Reason string            `json:"reason,omitempty"`
	Cause  string            `json:"cause,omitempty"`
	Value  string            `json:"value,omitempty"`
	Was    string            `json:"was,omitempty"`
	Fields map[string]string `json:"fields,omitempty"`
	Add    []string          `json:"add,omitempty"`
	Remove []string          `json:"remove,omitempty"`
	Files  []File            `json:"files,omitempty"`
}

// words returns e's words, or empty ones where they have been erased.
func (e *Event) words() Words {
	if e.Words == nil {
		return Words{}
	}
	return *e.Words
}
