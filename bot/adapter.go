package bot

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/paidan/paidan/cards"
)

// Raw is a request as it came in, before anything in it is believed. Socket
// transports make one for every frame and pass it the same way.
type Raw struct {
	Method string
	Path   string // below /hooks/<platform>/<install>; "" for the hook itself
	Header http.Header
	Query  url.Values
	Body   []byte
	Socket bool // came over a connection that we opened and authenticated ourselves
}

// ErrUnverified is what Verify returns for anything that is not authentic. It
// says nothing more on purpose: the caller would repeat it to a stranger.
var ErrUnverified = errors.New("not authentic")

// ErrMalformed is what Decode returns for a request that is authentic but makes no sense.
var ErrMalformed = errors.New("malformed request")

// Adapter is one install of one chat platform. Verify, Decode and Reply do no
// I/O; Post and Update do, and return a verdict (see verdict.go) as their error.
type Adapter interface {
	// Caps are the limits that cards are cut to.
	Caps() cards.Caps
	// Verify returns the authentic plain body, or an error that wraps ErrUnverified.
	Verify(r Raw, now time.Time) (plain []byte, err error)
	// Decode says what a verified request means.
	Decode(r Raw, plain []byte) (Inbound, error)
	// Reply writes the answer that this platform wants to this request.
	Reply(w http.ResponseWriter, in Inbound, out Reply)
	// Post shows a card at a place where it is not shown yet. once is the same
	// for every attempt to show the same thing.
	Post(ctx context.Context, to Dest, once string, c cards.Card) (MessageRef, error)
	// Update changes a card that Post or Update showed. The returned reference
	// replaces ref.
	Update(ctx context.Context, ref MessageRef, c cards.Card) (MessageRef, error)
}

// Streamer receives events over a connection that it opens itself. Stream
// returns when ctx ends, or with an error that no reconnecting mends. sink
// handles one frame completely and writes the platform's answer to w; the frame
// may be acknowledged only when sink returned nil.
type Streamer interface {
	Stream(ctx context.Context, sink func(ctx context.Context, w http.ResponseWriter, r Raw) error) error
}

// FormOpener opens a form by a request of its own rather than in the reply.
type FormOpener interface {
	OpenForm(ctx context.Context, trigger string, form cards.Card) error
}

// Whisperer shows a card in a group to one person only. Platforms without it
// are written to in private instead.
type Whisperer interface {
	Whisper(ctx context.Context, conv ConvRef, to UserRef, thread MessageRef, c cards.Card) error
}

// Responder answers one event privately by what the event itself brought
// (Event.Respond): it works in places where the bot is no member.
type Responder interface {
	Respond(ctx context.Context, respond string, c cards.Card) error
}

// Deleter takes a message of our own away.
type Deleter interface {
	Delete(ctx context.Context, ref MessageRef) error
}

// Finder looks for a message that Post may have sent although its answer was
// lost: what was sent to to with the same once. "" means: certainly not there.
type Finder interface {
	Find(ctx context.Context, to Dest, once string) (MessageRef, error)
}

// HomePublisher shows a person's own page.
type HomePublisher interface {
	PublishHome(ctx context.Context, user UserRef, c cards.Card) error
}

// User is what a platform tells about an account.
type User struct {
	Ref     UserRef
	Name    string
	Email   string // only when the platform's directory vouches for it
	Locale  string
	Zone    string // IANA name
	Bot     bool
	Guest   bool // external or restricted: may ask, may not work
	Deleted bool
}

// UserFinder looks people up.
type UserFinder interface {
	FindUser(ctx context.Context, u UserRef) (User, error)
}

// GroupLister tells who belongs to a user group that was mentioned.
type GroupLister interface {
	GroupMembers(ctx context.Context, group UserRef) ([]UserRef, error)
}

// MemberLister tells who is in a conversation.
type MemberLister interface {
	Members(ctx context.Context, c ConvRef) ([]UserRef, error)
}

// ConvNamer tells what people call a conversation.
type ConvNamer interface {
	ConvName(ctx context.Context, c ConvRef) (string, error)
}

// FileCarrier copies files out of a platform and into it.
type FileCarrier interface {
	// Fetch opens a file's content. The caller closes it and reads no more than it wants.
	Fetch(ctx context.Context, f File) (io.ReadCloser, error)
	// SendFile puts a file into a conversation.
	SendFile(ctx context.Context, to Dest, once, name string, size int64, content io.Reader) (MessageRef, error)
}

// Reader reads what stands in a message, for platforms that do not tell it when
// somebody reacts to it. ErrGone means: there is no such message.
type Reader interface {
	ReadMessage(ctx context.Context, ref MessageRef) (Said, error)
}

// Said is what somebody wrote.
type Said struct {
	User  UserRef
	Text  string
	Files []File
}

// Finding is one line of a check-up.
type Finding struct {
	OK   bool
	Warn bool   // not OK, but work goes on
	What string // "slack/default token"
	Says string // what is the matter and how to mend it
}

// Checker looks after itself: credentials, scopes, reachability.
type Checker interface {
	Check(ctx context.Context) []Finding
}

// Inliner tells what the answer to an event of a kind can carry on this
// platform. What it cannot is sent by requests of its own: see Responder,
// Whisperer and FormOpener.
type Inliner interface {
	Inline(k Kind) (hint, form bool)
}

// Preparer asks its platform, once at start, what Verify and Decode need to
// know: who the bot is there. A failure that wraps ErrUnauthorized is final.
type Preparer interface {
	Prepare(ctx context.Context) error
}
