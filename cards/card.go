// Package cards says what a card means, never how a platform draws it. Text in
// a card is plain text: an adapter escapes all of it for its own target, so
// that nothing a person wrote can mention, link or format.
package cards

import "github.com/paidan/paidan/tickets"

// Lang is the language of a card.
type Lang string

// The languages Paidan speaks.
const (
	ZH Lang = "zh-CN"
	EN Lang = "en"
)

// Tone is the mood of a card; platforms turn it into a colour.
type Tone string

// The tones.
const (
	Plain  Tone = ""
	Open   Tone = "open"   // orange: somebody must take it
	Busy   Tone = "busy"   // blue: being worked on
	Paused Tone = "paused" // grey
	Alarm  Tone = "alarm"  // red: overdue, or an error
	Asking Tone = "asking" // purple: a decision is waited for
	Good   Tone = "good"   // green
	Gone   Tone = "gone"   // grey and small: closed
)

// Emoji is a coloured dot for targets without colours.
func (t Tone) Emoji() string {
	switch t {
	case Open:
		return "🟠"
	case Busy:
		return "🔵"
	case Paused:
		return "⚪"
	case Alarm:
		return "🔴"
	case Asking:
		return "🟣"
	case Good:
		return "🟢"
	case Gone:
		return "⚫"
	}
	return ""
}

// Card is one message that Paidan shows.
type Card struct {
	Lang    Lang
	Tone    Tone
	Title   string   // one line
	Badges  []string // short words beside the title: P1, 待接, 二线-网络
	Facts   []Fact
	Body    string // what people wrote; may be long and have several lines
	Rows    []Row  // of a list
	Actions []Action
	More    []Action // less used; a menu where the platform has one
	Form    *Form    // asks instead of tells; a card with a form has nothing else but Title and Body
	Note    string   // footer, small
	Alt     string   // the card in one line, for notifications; Fit fills it when empty
	Ping    []string // who shall be notified: user ids of the card's own platform, put in by the sender
	Ticket  tickets.TicketID
	Version int64 // of the ticket that is shown
	Shared  bool  `json:",omitempty"` // stands where several people write: a number is said to the bot by name; put in by the sender
}

// Fact is a labelled value.
type Fact struct {
	Label, Value string
	Wide         bool    // takes a line of its own
	Action       *Action // a small button beside it: [查看]
}

// Row is one line of a list, with what can be done about it.
type Row struct {
	Tone    Tone
	Text    string
	Detail  string
	Actions []Action
	Left    int // set: the row stands for that many rows which are not shown, and Text says so
}

// Style of a button.
type Style string

// The styles.
const (
	Default Style = ""
	Primary Style = "primary"
	Danger  Style = "danger"
)

// Action is something the reader may do. It only routes: who may do it is
// decided when it is done.
type Action struct {
	Act     Act
	Label   string
	Style   Style
	Confirm string   // asked before it is done; "" = not asked
	Options []Option // set: a menu; the choice comes back as the event's Value
	URL     string   // set: a link, and nothing comes back
	Token   string   // what the button carries; put in by the sender from Act
}

// Act is what a button stands for.
type Act struct {
	Verb    tickets.Verb
	Ticket  tickets.TicketID
	Version int64  // of the ticket when the button was drawn
	Arg     string // small and never personal: a priority, a field's key, a sequence number
	Form    bool   // pressing opens the form for this verb first
}

// Option is a choice of a menu.
type Option struct{ Label, Value string }

// Form asks for values.
type Form struct {
	Act    Act    // what submitting does
	Token  string // as in Action
	Submit string // label of the button
	Inputs []Input
}

// InputKind says how a value is asked for.
type InputKind string

// The kinds of inputs.
const (
	InputLine   InputKind = "line"
	InputText   InputKind = "text" // several lines
	InputChoice InputKind = "choice"
	InputPerson InputKind = "person" // the platform's own people picker; the value is a user id of the platform
	InputDate   InputKind = "date"   // 2006-01-02
	InputTime   InputKind = "time"   // 2006-01-02T15:04 in the reader's zone
	InputNumber InputKind = "number"
	InputCheck  InputKind = "check" // "true" or ""
	InputPhone  InputKind = "phone"
	InputEmail  InputKind = "email"
)

// Input is one question of a form.
type Input struct {
	Name     string // key of the value in the event
	Label    string
	Kind     InputKind
	Required bool
	Value    string // filled in beforehand
	Hint     string
	Options  []Option
	Max      int    // longest value in characters; 0: the platform's own limit
	Error    string // shown with the input when a value was refused
	Reload   bool   // choosing another value changes which inputs follow
}

// Caps are a platform's limits and abilities, as far as a card needs to know.
// 0 means no limit.
type Caps struct {
	Buttons      int // in a row of actions; more go to the menu
	MenuOptions  int
	Label        int // characters of a button's label
	Title        int
	Text         int // characters of one block of text
	Facts        int
	Rows         int
	Total        int // characters of a whole card
	Blocks       int // elements of a whole card, as the adapter counts them
	Menus        bool
	Forms        bool
	Threads      bool
	OnTop        bool // what is for a requester stands in the group itself, although there are threads
	Edits        bool // a posted card can be changed in place
	PrivateNotes bool // a note in a group that one person sees
	Numbered     bool // no buttons: each choice gets a number to answer with, see Numbered
}
