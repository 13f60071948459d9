// Package bot stands between chat and core. It turns what people say and press
// into ticket commands and keeps every card true to the database. It knows no
// SQL and no platform.
package bot

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/paidan/paidan/cards"
)

// Install is one connection to one platform: "slack/default". A company may
// have several of the same platform.
type Install struct{ Platform, Name string }

func (i Install) String() string { return i.Platform + "/" + i.Name }

// UserRef is a person's account on a platform. Ids are only unique within an install.
type UserRef struct {
	Install Install
	ID      string
}

func (u UserRef) String() string { return u.Install.String() + "/" + u.ID }

// IsZero reports whether u names nobody.
func (u UserRef) IsZero() bool { return u.ID == "" }

// ConvRef is a group, a channel or a private chat.
type ConvRef struct {
	Install Install
	ID      string
}

func (c ConvRef) String() string { return c.Install.String() + "/" + c.ID }

// IsZero reports whether c names no conversation.
func (c ConvRef) IsZero() bool { return c.ID == "" }

// MessageRef names a message. Only the adapter that made it can read it, and it
// may hand out another one for the same message after every call.
type MessageRef string

// Dest is where a message goes: a conversation, or a person in private, and
// optionally a thread there.
type Dest struct {
	Install Install
	Conv    string     // set, or
	User    string     // set: a private chat with that user
	Thread  MessageRef // root message of the thread; "" = top level
}

// To returns the top level of a conversation.
func To(c ConvRef) Dest { return Dest{Install: c.Install, Conv: c.ID} }

// Private returns the private chat with a user.
func Private(u UserRef) Dest { return Dest{Install: u.Install, User: u.ID} }

// Lane is the part of a destination within which order is kept: the
// conversation, without the thread. "slack/default/C024BE91L", or for a private
// chat "slack/default/@U024BE7LH".
func (d Dest) Lane() string {
	if d.User != "" {
		return d.Install.String() + "/@" + d.User
	}
	return d.Install.String() + "/" + d.Conv
}

// ErrBadRef is returned for text that is no reference.
var ErrBadRef = errors.New("not of the form platform/install/id")

// ParseLane reads what Lane wrote; the thread is empty.
func ParseLane(s string) (Dest, error) {
	p := strings.SplitN(s, "/", 3)
	if len(p) != 3 || p[0] == "" || p[1] == "" || p[2] == "" || p[2] == "@" {
		return Dest{}, fmt.Errorf("%q: %w", s, ErrBadRef)
	}
	d := Dest{Install: Install{p[0], p[1]}}
	if u, ok := strings.CutPrefix(p[2], "@"); ok {
		d.User = u
	} else {
		d.Conv = p[2]
	}
	return d, nil
}

// Kind is what happened in chat.
type Kind string

// The kinds of events.
const (
	Message      Kind = "message"   // somebody wrote
	Edited       Kind = "edited"    // Message now reads Text
	Deleted      Kind = "deleted"   // Message is gone
	Slash        Kind = "slash"     // a command typed with a slash; Text is what follows it
	Click        Kind = "click"     // a button or menu; Token, and Value for a menu
	Submit       Kind = "submit"    // a form; Token and Values
	Reload       Kind = "reload"    // a choice in an open form that changes its inputs; Token, Values
	Shortcut     Kind = "shortcut"  // the platform's own entry "make a ticket"; Text and Message where it was called on one
	Reacted      Kind = "reacted"   // Emoji put on Message
	Unreacted    Kind = "unreacted" // Emoji taken off
	Joined       Kind = "joined"    // User is a member of Conv from now on
	Left         Kind = "left"
	BotAdded     Kind = "bot_added" // the bot is in Conv from now on
	BotRemoved   Kind = "bot_removed"
	HomeOpened   Kind = "home"          // the person looks at the bot's own page
	Renamed      Kind = "renamed"       // the user's profile changed
	GroupChanged Kind = "group_changed" // members of a user group changed
	Uninstalled  Kind = "uninstalled"
)

// Mention is somebody named in a text.
type Mention struct {
	User       UserRef
	Name       string // as the platform told it; may be empty
	Start, End int    // bytes of Text that it covers
	Group      bool   // a user group, not one person
}

// File is a file that came with a message and still lies with the platform.
type File struct {
	ID, Name, Type string
	Size           int64  // bytes; 0 = not told
	URL            string // as the platform gave it; only its adapter may fetch it
}

// Event is one thing that happened in chat, in neutral words. The actor is User
// and comes from the verified envelope only.
type Event struct {
	ID        string // the same for every delivery of the same thing; unique within the install
	Kind      Kind
	At        time.Time
	User      UserRef
	UserName  string // display name as told with the event; "" when not told
	Conv      ConvRef
	Private   bool       // Conv is a private chat with the bot
	Message   MessageRef // what was written, clicked on or reacted to
	Author    UserRef    // who wrote Message, where somebody reacts to it or calls a shortcut on it; zero when not told
	Thread    MessageRef // root of the thread it stands in; "" at top level
	Quote     MessageRef // what it quotes, on platforms without threads
	QuoteText string     // text of the quoted message where the platform tells it: a #number in it names the ticket
	Text      string     // plain: the platform's markup undone, the mention of the bot itself removed
	ToBot     bool       // said to the bot: it was mentioned, or the chat is private, or a slash command
	Mentions  []Mention
	Files     []File
	Token     string // what the button or form carried
	Value     string // choice of a menu
	Values    map[string]string
	Emoji     string // platform's name for it, without colons
	Trigger   string // lets the adapter open a form; short-lived
	Respond   string // lets the adapter answer privately; opaque
	Locale    string // of the user, where the platform tells; "zh-CN"
	Guest     bool   // the platform told that User is an outsider: a guest, or from another company
}

// Inbound is what a verified request means.
type Inbound struct {
	Echo   string  // a handshake to answer with; then there are no events
	Events []Event // none: nothing of interest, to be acknowledged all the same
	Keep   []Kept  // for the Shelf, before the events are dealt with
	Kind   string  // the platform's own name for what came, for logs and metrics; a small set, "unknown" otherwise
}

// Reply is what the platform shall be told in its own answer to the request.
type Reply struct {
	Echo   string
	Toast  string            // one line that only the actor sees
	Card   *cards.Card       // the card that was clicked, as it is now; or, with Once, a new one
	Once   string            // names Card for AnswerPoster.AnswerRef, when it is a new message
	Form   *cards.Card       // a card whose Form shall be opened; with Errors, the same form again, each Input with its Error
	Hint   *cards.Card       // a private answer
	Errors map[string]string // by input name: the form stays open with these
	// Written, when set, is called when the answer has gone out, or with the
	// error because of which it did not.
	Written func(error)
}

// Empty reports whether there is nothing to say beyond "received".
func (r Reply) Empty() bool {
	return r.Echo == "" && r.Toast == "" && r.Card == nil && r.Form == nil && r.Hint == nil && len(r.Errors) == 0
}
