package bot

import (
	"context"
	"errors"
	"io"
	"log/slog"
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
	Phone   string // likewise; digits with the country's code: "+8613800000000"
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

// Inliner tells what the answer to an event can carry on this platform. What it
// cannot is sent by requests of its own: see Responder, Whisperer and FormOpener.
type Inliner interface {
	Inline(e Event) Inline
}

// Inline is what an answer can carry.
type Inline struct {
	Hint  bool // Reply.Hint and Reply.Toast
	Toast bool // Reply.Toast alone
	Form  bool // Reply.Form
	Card  bool // Reply.Card: the card that was pressed, for all who see it; or, where AnswerPoster says so, the card that answers a message
}

// AnswerPoster shows a card by answering the message that asked for it, and
// knows beforehand how that card will be called. It is asked for events whose
// Inline.Card is true and which are no presses.
type AnswerPoster interface {
	// AnswerRef names the message that answering e with a Reply whose Once is
	// once makes.
	AnswerRef(e Event, once string) MessageRef
}

// Urger rings for people about a message of ours, beyond what a mention does.
type Urger interface {
	Urge(ctx context.Context, ref MessageRef, users []string) error
}

// Preloader looks up what Decode, which does no I/O, has to know for a verified
// request: which chat a reaction happened in, where the platform does not tell.
// What it does not find Decode goes without.
type Preloader interface {
	Preload(ctx context.Context, plain []byte)
}

// Fixer is a platform that cannot change cards in some places, Caps.Edits or no.
type Fixer interface {
	// Fixed reports whether cards in to change only when somebody presses on them.
	Fixed(to Dest) bool
}

// Local is a platform that some destinations can be reached on from one process
// only: the one that holds the connection. Others leave them alone.
type Local interface {
	// Here reports whether this process can send to to.
	Here(to Dest) bool
}

// Shelf keeps what an adapter must still know after a restart and in every
// process: one-shot codes, cursors, counters. Keys are the install's own. Under
// a key lies a stack of values, each with the time after which it is as if it
// were not there.
type Shelf interface {
	// Get returns the newest value; "" = there is none.
	Get(ctx context.Context, key string) (string, error)
	// Put replaces all that lies under key; an empty value clears it.
	Put(ctx context.Context, key, value string, keep time.Duration) error
	// Push lays a value on top.
	Push(ctx context.Context, key, value string, keep time.Duration) error
	// Pop takes the newest value away; of several who pop at once, each gets another.
	Pop(ctx context.Context, key string) (string, error)
	// Swap puts value where the newest is old ("": where there is none) and reports whether it did.
	Swap(ctx context.Context, key, old, value string, keep time.Duration) (bool, error)
	// Add adds n to a counter and returns what it is then.
	Add(ctx context.Context, key string, n int64, keep time.Duration) (int64, error)
}

// Kept is something for the Shelf that a request brought.
type Kept struct {
	Key, Value string
	For        time.Duration
	Push       bool // on top of what lies there, instead of in its place
}

// Alarm is something that the admins shall know.
type Alarm struct {
	Once string // the same alarm is told once; unique within the install
	What cards.AlarmKind
	Args map[string]string // what the sentence needs, by name; see cards.AdminAlarm
}

// Deps are what an adapter needs from the program.
type Deps struct {
	HTTP  *http.Client                       // outgoing; nil = one of httpx with a timeout of 20 s
	Log   *slog.Logger                       // nil = slog.Default()
	Now   func() time.Time                   // nil = time.Now
	Shelf Shelf                              // of this install; nil only where the platform's Config says it is not needed
	Alarm func(ctx context.Context, a Alarm) // tells the admins, in the background; nil = nobody is told
}

// Preparer asks its platform, once at start, what Verify and Decode need to
// know: who the bot is there. A failure that wraps ErrUnauthorized is final.
type Preparer interface {
	Prepare(ctx context.Context) error
}
