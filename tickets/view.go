package tickets

import "time"

// View is a ticket made ready for a reader: names resolved, personal fields
// masked. Cards are built from views and from nothing else.
type View struct {
	Ticket
	Desk   Desk
	Names  map[PersonID]string // display name of every person the ticket speaks of
	Origin string              // where it came from, as people call it; "" when unknown
	Fields []FieldView         // in the order of the type; only those with a value
	Now    Time                // when the view was made
	Zone   *time.Location      // for times on cards; never nil
}

// Name returns the display name of p, or "" for nobody.
func (v *View) Name(p PersonID) string { return v.Names[p] }

// TypeName is the type's name as people read it, or "" when there is none.
func (v *View) TypeName() string {
	t, ok := v.Desk.TypeOf(v.Type)
	if !ok {
		return v.Type
	}
	return t.Name
}

// FieldView is one field with its value as it may be shown.
type FieldView struct {
	Field
	Value  string // masked where the field is personal
	Masked bool   // a reveal would show more
}

// Row is a ticket in a list.
type Row struct {
	ID        TicketID
	Number    int64
	Desk      DeskKey
	Title     string
	Status    Status
	Priority  Priority
	Owner     PersonID
	OwnerName string
	Created   Time
	Due       Time // the next target that has not been met; 0: none
	Version   int64
}

// TimelineEntry is one event of a ticket in the words it was recorded in.
type TimelineEntry struct {
	Seq    int64
	Kind   Kind
	By     PersonID
	Name   string
	At     Time
	Detail string // the reason or text, masked; "" where there is none
}
