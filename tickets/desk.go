package tickets

import "time"

// Desk is a team that takes tickets: its types, its people's rules, its targets.
// It is data: from the configuration file, or set in chat.
type Desk struct {
	Key      DeskKey       `json:"key" yaml:"key"`
	Name     string        `json:"name" yaml:"name"`
	Types    []Type        `json:"types,omitempty" yaml:"types"`
	Teams    []string      `json:"teams,omitempty" yaml:"teams"`   // where a ticket can be escalated: 二线, 网络组
	Causes   []string      `json:"causes,omitempty" yaml:"causes"` // choices of the solve form
	Targets  []Target      `json:"targets,omitempty" yaml:"targets"`
	Reopen   time.Duration `json:"reopen,omitempty" yaml:"reopen"`     // how long after closing a ticket may be reopened; default 7 days
	Confirm  time.Duration `json:"confirm,omitempty" yaml:"confirm"`   // solved becomes closed by itself after this; default 72 h
	Archive  time.Duration `json:"archive,omitempty" yaml:"archive"`   // closed becomes archived after this; default 90 days
	Mentions bool          `json:"mentions,omitempty" yaml:"mentions"` // true: only what is said to the bot opens a ticket in an intake group
}

// Target is how fast a ticket of a priority is to be answered and solved.
type Target struct {
	Priority Priority      `json:"priority" yaml:"priority"`
	Respond  time.Duration `json:"respond" yaml:"respond"`
	Solve    time.Duration `json:"solve" yaml:"solve"`
}

// Type is a kind of ticket with fields of its own.
type Type struct {
	Key    string  `json:"key" yaml:"key"`
	Name   string  `json:"name" yaml:"name"`
	Fields []Field `json:"fields,omitempty" yaml:"fields"`
}

// FieldKind says what a field holds, and so how it is asked for and checked.
type FieldKind string

// The kinds of fields. Phone and email are personal: every reader but
// Service.Reveal gets them masked.
const (
	FieldText     FieldKind = "text"
	FieldNumber   FieldKind = "number"
	FieldChoice   FieldKind = "choice"
	FieldCascade  FieldKind = "cascade" // a path through Options, "上海/浦东"
	FieldPerson   FieldKind = "person"
	FieldDate     FieldKind = "date" // 2006-01-02
	FieldLocation FieldKind = "location"
	FieldOrder    FieldKind = "order" // an order number
	FieldDevice   FieldKind = "device"
	FieldPhone    FieldKind = "phone"
	FieldEmail    FieldKind = "email"
)

// Personal reports whether values of this kind are masked for readers.
func (k FieldKind) Personal() bool { return k == FieldPhone || k == FieldEmail }

// Field is one question that a type asks.
type Field struct {
	Key      string    `json:"key" yaml:"key"`
	Label    string    `json:"label" yaml:"label"`
	Kind     FieldKind `json:"kind" yaml:"kind"`
	Required bool      `json:"required,omitempty" yaml:"required"`
	Options  []string  `json:"options,omitempty" yaml:"options"` // of choice; of cascade as "上海/浦东"
	Hint     string    `json:"hint,omitempty" yaml:"hint"`
}

// TypeOf returns the desk's type with that key.
func (d *Desk) TypeOf(key string) (Type, bool) {
	for _, t := range d.Types {
		if t.Key == key {
			return t, true
		}
	}
	return Type{}, false
}
