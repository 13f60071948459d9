// Package feishutest is a Feishu to try things on: a server on loopback that
// behaves like the open platform of Feishu and Lark, sends what people do as
// encrypted and signed requests or over the long connection, and refuses what
// the platform refuses. Tests use it, and so does the load test of the program
// itself; it needs no package testing.
//
// What it imitates is written at https://open.feishu.cn/document; where that is
// silent (the HTTP status of some refusals, how many elements a card may have
// at the very most) it is at least as strict.
package feishutest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Options of a server; the zero value is an app with all permissions, Feishu's
// own deadlines, and no rate limits.
type Options struct {
	Now               func() time.Time // nil = time.Now; governs time stamps, tokens, limits and signatures
	AppID             string
	AppSecret         string
	EncryptKey        string
	VerificationToken string
	Tenant            string // key of the company that the app is installed in
	Bot               string // open_id of the bot
	BotName           string
	Plain             bool          // no encrypt key is set: requests are neither encrypted nor signed
	Scopes            []string      // nil = all that are asked for
	RateLimits        bool          // enforce 5 a second and chat, user and changed message, 50 a second and 1000 a minute and method
	Deadline          time.Duration // for an answer; 0 = 3 s
	// Wait is called before the n-th repetition of an event (1: 15 s, 2: five
	// minutes, 3: an hour, 4: six hours). nil = no waiting.
	Wait func(n int)
	// PingEvery is what a client of the long connection is told; whole seconds,
	// at least one, 0 = 120 s.
	PingEvery time.Duration
	// ReconnectEvery is how long a client is told to wait before it connects
	// again; whole seconds, 0 = 120 s. Negative: at once.
	ReconnectEvery time.Duration
}

// The defaults of Options.
const (
	AppID             = "cli_a1b2c3d4e5f60718"
	AppSecret         = "Zm9yIHRlc3RzIG9ubHkhIWZlaXNo"
	EncryptKey        = "ZW5jcnlwdCBmb3IgdGVzdHMgb25seQ"
	VerificationToken = "dmVyaWZ5IGZvciB0ZXN0cw"
	Tenant            = "2ca1d211f64f6438"
	Bot               = "ou_b0700000000000000000000000000001"
	BotName           = "派单"
)

// Scopes are the permissions that an app for Paidan has.
var Scopes = []string{
	"im:message", "im:message:send_as_bot", "im:message:readonly", "im:message:update", "im:message:recall",
	"im:message.p2p_msg:readonly", "im:message.group_at_msg:readonly", "im:message.group_msg", "im:message.reactions:read",
	"im:message.reactions:write_only", "im:message.urgent", "im:resource", "im:chat:read", "im:chat.members:read",
	"im:chat.members:bot_access", "im:chat.access_event.bot_p2p_chat:read", "contact:user.id:readonly", "contact:user.base:readonly",
	"contact:user.email:readonly", "contact:user.employee_id:readonly", "application:bot.menu:readonly",
}

// User is an account.
type User struct {
	ID                          string // open_id: "ou_…"
	UnionID, UserID             string
	Name, EnName, Email, Mobile string
	Zone                        string // of the clock: "Asia/Shanghai"
	Tenant                      string // of another company
	Hidden                      bool   // outside of the app's availability
	Resigned, Frozen            bool
	Offline                     bool // no client is open: private notes reach nobody
}

// Chat is a conversation.
type Chat struct {
	ID, Name  string
	P2P       bool   // a private chat between the bot and User
	User      string // of a private chat
	Topic     bool   // every message opens a topic (话题群)
	Muted     bool   // the bot may not speak
	Dissolved bool
	External  bool // with another company
	Members   map[string]bool

	messages []*Message
}

// Message is what a chat shows.
type Message struct {
	ID, Chat     string
	Root, Parent string // of a reply
	Thread       string // "omt_…": the topic it belongs to
	Sender       string // open_id; "" for the bot's own
	Type         string // text, post, image, file, interactive …
	Content      string // JSON, as in the API; of a card: the card
	Mentions     []Mention
	Created      time.Time
	Edits        int // how often it was changed
	Edited       time.Time
	Recalled     bool
	Note         bool // only To sees it
	To           string
	Urged        []string // who was buzzed
	Reactions    []Reaction

	only map[string]string // open_id → the card that only he sees, after a delayed update
}

// Text is what a message of text says; mentions are keys like "@_user_1".
func (m Message) Text() string {
	var c struct{ Text string }
	if m.Type != "text" || json.Unmarshal([]byte(m.Content), &c) != nil {
		return ""
	}
	return c.Text
}

// Card is the card of a message, nil when it is none.
func (m Message) Card() json.RawMessage {
	if m.Type != "interactive" {
		return nil
	}
	return json.RawMessage(m.Content)
}

// Mention is somebody that a person's message names.
type Mention struct{ Key, ID, Name string }

// Reaction is an emoji on a message.
type Reaction struct {
	ID, Emoji string
	User      string // "" = the bot
}

// File is a file or picture that lies with Feishu.
type File struct {
	Key, Name, Type string // Type: "image" or "file"
	Content         []byte
	Message, Chat   string // where it was sent
}

// Toast is the short message that a press of a button brought up.
type Toast struct{ Type, Text string }

// Arrival is one message or change as it became visible.
type Arrival struct {
	Method, Chat, Message string
	Type, Content         string
	Note                  bool
	At                    time.Time // of the machine's clock, for measuring
}

// Server is the emulated Feishu.
type Server struct {
	URL string // "http://127.0.0.1:1234"

	opt      Options
	http     *httptest.Server
	client   *http.Client
	upgrader websocket.Upgrader

	mu         sync.Mutex // guards all below
	users      map[string]*User
	chats      map[string]*Chat
	dms        map[string]string // open_id → private chat
	messages   map[string]*Message
	files      map[string]*File
	toasts     map[string][]Toast
	tokens     []token
	cardTokens map[string]*cardToken
	sent       map[string]once // uuid → what it made
	windows    map[string]*window
	notes      []*Message
	arrivals   []Arrival
	onArrival  func(Arrival)
	calls      map[string]int
	faults     []*Fault
	suspended  int // code; 0 = the app works
	counter    int64
	target     string
	drop       int
	double     int
	hold       int
	held       []func()
	split      int
	links      []*link
	linkUp     chan struct{} // closed and made anew whenever a client connects
	pings      int
	closed     bool
}

type token struct {
	value string
	until time.Time
}

// cardToken lets a card be changed after somebody pressed something on it.
type cardToken struct {
	message, user string
	until         time.Time
	uses          int
	answered      bool
	early         bool   // used before the callback was answered
	was           string // the card before that
}

// once remembers what a uuid has made.
type once struct {
	message string
	until   time.Time
}

// window is when something was done lately.
type window struct{ at []time.Time }

// New starts a server. Close it.
func New(o Options) *Server {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&o.AppID, AppID)
	set(&o.AppSecret, AppSecret)
	set(&o.EncryptKey, EncryptKey)
	set(&o.VerificationToken, VerificationToken)
	set(&o.Tenant, Tenant)
	set(&o.Bot, Bot)
	set(&o.BotName, BotName)
	if o.Plain {
		o.EncryptKey = ""
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Scopes == nil {
		o.Scopes = Scopes
	}
	if o.Deadline == 0 {
		o.Deadline = 3 * time.Second
	}
	if o.Wait == nil {
		o.Wait = func(int) {}
	}
	if o.PingEvery == 0 {
		o.PingEvery = 120 * time.Second
	}
	if o.ReconnectEvery == 0 {
		o.ReconnectEvery = 120 * time.Second
	}
	o.PingEvery = max(time.Second, o.PingEvery) // a client that is told 0 pings without a pause
	o.ReconnectEvery = max(0, o.ReconnectEvery)
	s := &Server{
		opt: o, users: map[string]*User{}, chats: map[string]*Chat{}, dms: map[string]string{}, messages: map[string]*Message{},
		files: map[string]*File{}, toasts: map[string][]Toast{}, cardTokens: map[string]*cardToken{}, sent: map[string]once{},
		windows: map[string]*window{}, calls: map[string]int{}, linkUp: make(chan struct{}),
		upgrader: websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }},
	}
	s.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 256},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) { s.serveAPI(r, w, req) })
	}
	mux.HandleFunc("POST /callback/ws/endpoint", s.serveEndpoint)
	mux.HandleFunc("GET /ws/v2", s.serveLink)
	s.http = httptest.NewServer(mux)
	s.URL = s.http.URL
	return s
}

// Close ends the server and all its connections.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	links := slices.Clone(s.links)
	s.mu.Unlock()
	for _, l := range links {
		l.close()
	}
	s.client.CloseIdleConnections()
	s.http.CloseClientConnections()
	s.http.Close()
}

// APIURL is what an adapter's api_url is set to.
func (s *Server) APIURL() string { return s.URL }

// Deliver says where encrypted and signed requests go: the address of the hook.
// "" = over the long connection.
func (s *Server) Deliver(target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = target
}

// AddUser makes an account. Its open_id is returned; an empty one is made up.
func (s *Server) AddUser(u User) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := func(id *string, kind string) {
		if *id == "" {
			*id = s.id(kind)
		}
	}
	set(&u.ID, "ou_")
	set(&u.UnionID, "on_")
	if u.UserID == "" {
		u.UserID = s.id("")[:8]
	}
	if u.Tenant == "" {
		u.Tenant = s.opt.Tenant
	}
	s.users[u.ID] = &u
	return u.ID
}

// ChangeUser changes an account in place: let it resign, hide it.
func (s *Server) ChangeUser(id string, change func(*User)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.users[id]; u != nil {
		change(u)
	}
}

// AddGroup makes a group with these members; the bot is one of them unless away
// is true. Its chat_id is returned.
func (s *Server) AddGroup(name string, away bool, members ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Chat{ID: s.id("oc_"), Name: name, Members: map[string]bool{}}
	for _, m := range members {
		c.Members[m] = true
	}
	if !away {
		c.Members[s.opt.Bot] = true
	}
	s.chats[c.ID] = c
	return c.ID
}

// ChangeChat changes a conversation in place: make it one of topics, dissolve
// it, mute the bot.
func (s *Server) ChangeChat(id string, change func(*Chat)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.chats[id]; c != nil {
		change(c)
	}
}

// AddFile makes a file that a person's message can carry, and returns its key.
func (s *Server) AddFile(f File) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addFile(&f)
}

// addFile needs s.mu.
func (s *Server) addFile(f *File) string {
	if f.Type != "image" {
		f.Type = "file"
	}
	if f.Key == "" {
		f.Key = map[string]string{"image": "img_v3_", "file": "file_v3_"}[f.Type] + s.id("")
	}
	s.files[f.Key] = f
	return f.Key
}

// id makes an id that looks like Feishu's. It needs s.mu.
func (s *Server) id(kind string) string {
	s.counter++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", s.opt.AppID, s.counter))
	return kind + hex.EncodeToString(sum[:16])
}

// DM is the private chat between the bot and a user; it is made on demand.
func (s *Server) DM(user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dm(user)
}

// dm needs s.mu.
func (s *Server) dm(user string) string {
	if id := s.dms[user]; id != "" {
		return id
	}
	c := &Chat{ID: s.id("oc_"), P2P: true, User: user, Members: map[string]bool{user: true, s.opt.Bot: true}}
	s.chats[c.ID], s.dms[user] = c, c.ID
	return c.ID
}

// put adds a message to a chat. It needs s.mu.
func (s *Server) put(c *Chat, m *Message, reply *Message, inThread bool) {
	m.ID, m.Chat, m.Created = s.id("om_"), c.ID, s.opt.Now()
	m.Edited = m.Created
	switch {
	case reply != nil:
		m.Parent, m.Root, m.Thread = reply.ID, reply.ID, reply.Thread
		if reply.Root != "" {
			m.Root = reply.Root
		}
		if inThread && m.Thread == "" {
			m.Thread = s.id("omt_")
			reply.Thread = m.Thread
		}
	case c.Topic:
		m.Thread = s.id("omt_")
	}
	c.messages = append(c.messages, m)
	s.messages[m.ID] = m
}

// Message returns what a message shows now.
func (s *Server) Message(id string) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messages[id]
	if m == nil || m.Recalled {
		return Message{}, false
	}
	return m.copy(), true
}

// copy is independent of what happens to the message later.
func (m *Message) copy() Message {
	c := *m
	c.Urged, c.Reactions, c.Mentions = slices.Clone(m.Urged), slices.Clone(m.Reactions), slices.Clone(m.Mentions)
	c.only = nil
	return c
}

// Messages returns what a chat shows, oldest first, without what was recalled.
func (s *Server) Messages(chat string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	if c := s.chats[chat]; c != nil {
		for _, m := range c.messages {
			if !m.Recalled {
				out = append(out, m.copy())
			}
		}
	}
	return out
}

// Cards returns the bot's own messages in a chat.
func (s *Server) Cards(chat string) []Message {
	return slices.DeleteFunc(s.Messages(chat), func(m Message) bool { return m.Sender != "" })
}

// Notes returns what only this user was shown, oldest first.
func (s *Server) Notes(user string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	for _, n := range s.notes {
		if n.To == user && !n.Recalled {
			out = append(out, n.copy())
		}
	}
	return out
}

// Toasts returns what presses of buttons brought up for a user, oldest first.
func (s *Server) Toasts(user string) []Toast {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.toasts[user])
}

// Files returns the files and pictures that were sent into a chat, in the order
// of their keys.
func (s *Server) Files(chat string) []File {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []File
	for _, f := range s.files {
		if f.Chat == chat {
			out = append(out, *f)
		}
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// Calls says how often a method was called, refused calls included:
// "message.create", "message.patch" … as in the paths of the documentation.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Arrivals returns every message and change in the order they became visible.
func (s *Server) Arrivals() []Arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrivals)
}

// OnArrival sets what is called for every message and change, instead of
// keeping it for Arrivals. It is called while the server waits: it must be quick.
func (s *Server) OnArrival(f func(Arrival)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onArrival = f
}

// arrived needs s.mu.
func (s *Server) arrived(method string, m *Message) {
	a := Arrival{Method: method, Chat: m.Chat, Message: m.ID, Type: m.Type, Content: m.Content, Note: m.Note, At: time.Now()}
	if s.onArrival != nil {
		s.onArrival(a)
		return
	}
	s.arrivals = append(s.arrivals, a)
}
