// Package slacktest is a Slack to try things on: a server on loopback that
// behaves like Slack's Web API, sends what people do as signed requests or over
// Socket Mode, and refuses what Slack refuses. Tests use it, and so does the
// load test of the program itself; it needs no package testing.
//
// What it imitates is written at https://docs.slack.dev; where Slack's
// behaviour is not documented (the text of an expired response address, the
// longest sum of all blocks) it is at least as strict.
package slacktest

import (
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

// Options of a server; the zero value is a workspace "T0TEST001" with all
// scopes, Slack's own deadlines, and no rate limits.
type Options struct {
	Now           func() time.Time // nil = time.Now; governs time stamps, triggers, rate limits and signatures
	SigningSecret string
	BotToken      string
	AppToken      string
	Team          string
	App           string
	BotUser       string
	Bot           string
	Scopes        []string      // nil = all that the manifest asks for
	RateLimits    bool          // enforce tiers and one message a second and channel
	Deadline      time.Duration // for an answer; 0 = 3 s
	// Wait is called before the n-th repetition of an event (1: at once, 2: a
	// minute, 3: five minutes). nil = no waiting.
	Wait func(n int)
	// PingEvery is how often a socket is pinged; 0 = 10 s.
	PingEvery time.Duration
}

// The defaults of Options.
const (
	SigningSecret = "8f742231b10e8888abcd99yyyzzz85a5"
	BotToken      = "xoxb-1111111111-2222222222-Qm9keSBvZiBUZXN0cw"
	AppToken      = "xapp-1-A0TEST001-3333333333-c29ja2V0IG1vZGUgb2Y"
	Team          = "T0TEST001"
	App           = "A0TEST001"
	BotUser       = "U0BOT0001"
	Bot           = "B0BOT0001"
)

// Scopes are all that Paidan's manifest asks for.
var Scopes = []string{
	"app_mentions:read", "chat:write", "commands", "im:write", "im:history", "im:read", "channels:read", "channels:history",
	"groups:read", "groups:history", "mpim:read", "mpim:history", "users:read", "users:read.email", "usergroups:read",
	"reactions:read", "files:read", "files:write",
}

// User is an account.
type User struct {
	ID, Name, RealName, Email, Zone, Locale, Team string
	Bot, Restricted, Stranger, Deleted            bool
}

// Channel is a conversation.
type Channel struct {
	ID, Name string
	IM       bool   // a private chat between the bot and User
	User     string // of a private chat
	Private  bool
	Archived bool
	Shared   bool // with another company
	Members  map[string]bool

	messages []*Message
	byTS     map[string]*Message
	last     int64 // microseconds of the newest time stamp
	posted   time.Time
}

// Message is what a channel shows.
type Message struct {
	Channel, TS, Thread string
	User                string // "" for the bot's own
	Text                string
	Blocks              json.RawMessage
	Metadata            json.RawMessage
	Files               []string
	Edits               int    // how often it was changed
	Edited              string // time stamp of the last change
	Deleted             bool
	Ephemeral           bool   // only To sees it
	To                  string // of an ephemeral one
}

// Ref names a message as the adapter does.
func (m Message) Ref() string { return m.Channel + "/" + m.TS }

// File is a file that lies with Slack.
type File struct {
	ID, Name, Type, Owner string
	Content               []byte
	Channel, TS           string // where it was shared
	External              bool   // of another company: told by id only
	uploaded              bool
}

// Group is a user group.
type Group struct {
	ID, Handle string
	Members    []string
}

// View is an open form, or a person's own page.
type View struct {
	ID, Hash, User, Type, CallbackID, Metadata, Root, Previous string
	Body                                                       map[string]any // as it was sent
	Errors                                                     map[string]string
	values                                                     map[string]map[string]any
}

// Arrival is one message or change as it became visible.
type Arrival struct {
	Method, Channel, TS, Text string
	Blocks                    json.RawMessage
	At                        time.Time // of the machine's clock, for measuring
}

// Server is the emulated Slack.
type Server struct {
	URL string // "http://127.0.0.1:1234"

	opt      Options
	http     *httptest.Server
	client   *http.Client
	upgrader websocket.Upgrader

	mu        sync.Mutex // guards all below
	users     map[string]*User
	channels  map[string]*Channel
	dms       map[string]string // user → private channel
	groups    map[string]*Group
	files     map[string]*File
	views     map[string]*View
	stacks    map[string][]string // user → ids of open views, lowest first
	homes     map[string]*View
	triggers  map[string]*trigger
	responses map[string]*response
	notes     []Message
	arrivals  []Arrival
	onArrival func(Arrival)
	calls     map[string]int
	windows   map[string]*window
	faults    []*Fault
	revoked   string
	free      bool // a plan without user groups
	counter   int64
	target    string
	drop      int
	double    int
	hold      int
	held      []func()
	sockets   []*link
	socketUp  chan struct{} // closed and made anew whenever a socket connects
	closed    bool
}

type trigger struct {
	user, view string
	until      time.Time
	used       bool
}

type response struct {
	channel, user, message string
	until                  time.Time
	uses                   int
}

type window struct {
	start time.Time
	n     int
}

// New starts a server. Close it.
func New(o Options) *Server {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&o.SigningSecret, SigningSecret)
	set(&o.BotToken, BotToken)
	set(&o.AppToken, AppToken)
	set(&o.Team, Team)
	set(&o.App, App)
	set(&o.BotUser, BotUser)
	set(&o.Bot, Bot)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Scopes == nil {
		o.Scopes = Scopes
	}
	if o.Deadline == 0 {
		o.Deadline = 3 * time.Second
	}
	if o.PingEvery == 0 {
		o.PingEvery = 10 * time.Second
	}
	if o.Wait == nil {
		o.Wait = func(int) {}
	}
	s := &Server{
		opt: o, users: map[string]*User{}, channels: map[string]*Channel{}, dms: map[string]string{}, groups: map[string]*Group{},
		files: map[string]*File{}, views: map[string]*View{}, stacks: map[string][]string{}, homes: map[string]*View{},
		triggers: map[string]*trigger{}, responses: map[string]*response{}, calls: map[string]int{}, windows: map[string]*window{},
		socketUp: make(chan struct{}),
		upgrader: websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }},
	}
	s.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 256},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error { return tooMany(via) },
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/{method}", s.serveAPI)
	mux.HandleFunc("POST /response/{id}", s.serveResponse)
	mux.HandleFunc("POST /upload/{id}", s.serveUpload)
	mux.HandleFunc("GET /files/{id}", s.serveFile)
	mux.HandleFunc("GET /link/", s.serveLink)
	s.http = httptest.NewServer(mux)
	s.URL = s.http.URL
	s.users[o.BotUser] = &User{ID: o.BotUser, Name: "paidan", RealName: "Paidan", Bot: true, Team: o.Team}
	return s
}

func tooMany(via []*http.Request) error {
	if len(via) > 2 {
		return fmt.Errorf("more than 2 redirects")
	}
	return nil
}

// Close ends the server and all its connections.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	links := slices.Clone(s.sockets)
	s.mu.Unlock()
	for _, l := range links {
		l.close()
	}
	s.client.CloseIdleConnections()
	s.http.CloseClientConnections()
	s.http.Close()
}

// APIURL is what an adapter's api_url is set to.
func (s *Server) APIURL() string { return s.URL + "/api/" }

// Deliver says where signed requests go: the address of the hook. "" = over
// Socket Mode.
func (s *Server) Deliver(target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = target
}

// AddUser makes an account. Its ID is returned; an empty one is made up.
func (s *Server) AddUser(u User) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.ID == "" {
		u.ID = s.id("U")
	}
	if u.Team == "" {
		u.Team = s.opt.Team
	}
	if u.RealName == "" {
		u.RealName = u.Name
	}
	s.users[u.ID] = &u
	return u.ID
}

// AddChannel makes a conversation with these members; the bot is one of them
// unless away is true.
func (s *Server) AddChannel(name string, away bool, members ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Channel{ID: s.id("C"), Name: name, Members: map[string]bool{}, byTS: map[string]*Message{}}
	for _, m := range members {
		c.Members[m] = true
	}
	if !away {
		c.Members[s.opt.BotUser] = true
	}
	s.channels[c.ID] = c
	return c.ID
}

// ChangeChannel changes a conversation in place: archive it, share it, remove the bot.
func (s *Server) ChangeChannel(id string, change func(*Channel)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[id]; c != nil {
		change(c)
	}
}

// AddGroup makes a user group.
func (s *Server) AddGroup(handle string, members ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &Group{ID: s.id("S"), Handle: handle, Members: members}
	s.groups[g.ID] = g
	return g.ID
}

// FreePlan takes user groups away, as on a plan without them.
func (s *Server) FreePlan() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = true
}

// AddFile makes a file that a message can carry.
func (s *Server) AddFile(f File) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.ID == "" {
		f.ID = s.id("F")
	}
	f.uploaded = true
	s.files[f.ID] = &f
	return f.ID
}

// Revoke makes every call fail with this error ("token_revoked", "invalid_auth"
// …) until it is called with "".
func (s *Server) Revoke(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = code
}

// id needs s.mu.
func (s *Server) id(letter string) string {
	s.counter++
	return fmt.Sprintf("%s0EM%06d", letter, s.counter)
}

// DM is the private chat between the bot and a user; it is made on demand.
func (s *Server) DM(user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dm(user)
}

func (s *Server) dm(user string) string {
	if id := s.dms[user]; id != "" {
		return id
	}
	c := &Channel{ID: s.id("D"), IM: true, User: user, Members: map[string]bool{user: true, s.opt.BotUser: true}, byTS: map[string]*Message{}}
	s.channels[c.ID], s.dms[user] = c, c.ID
	return c.ID
}

// stamp makes a time stamp that no other message of the channel has. It needs s.mu.
func (s *Server) stamp(c *Channel) string {
	at := max(s.opt.Now().UnixMicro(), c.last+1)
	c.last = at
	return fmt.Sprintf("%d.%06d", at/1_000_000, at%1_000_000)
}

// put needs s.mu.
func (s *Server) put(c *Channel, m *Message) {
	m.Channel, m.TS = c.ID, s.stamp(c)
	c.messages = append(c.messages, m)
	c.byTS[m.TS] = m
}

// find needs s.mu.
func (s *Server) find(ref string) (*Channel, *Message) {
	channel, ts, _ := strings.Cut(ref, "/")
	c := s.channels[channel]
	if c == nil {
		return nil, nil
	}
	m := c.byTS[ts]
	if m == nil || m.Deleted {
		return c, nil
	}
	return c, m
}

// Message returns what a message shows now.
func (s *Server) Message(ref string) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, m := s.find(ref); m != nil {
		return *m, true
	}
	for _, n := range s.notes {
		if n.Ref() == ref {
			return n, true
		}
	}
	return Message{}, false
}

// Messages returns what a channel shows, oldest first, without what was deleted.
func (s *Server) Messages(channel string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	if c := s.channels[channel]; c != nil {
		for _, m := range c.messages {
			if !m.Deleted {
				out = append(out, *m)
			}
		}
	}
	return out
}

// Cards returns the bot's own messages in a channel.
func (s *Server) Cards(channel string) []Message {
	return slices.DeleteFunc(s.Messages(channel), func(m Message) bool { return m.User != "" })
}

// Notes returns what only this user was shown, oldest first.
func (s *Server) Notes(user string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	for _, n := range s.notes {
		if n.To == user {
			out = append(out, n)
		}
	}
	return out
}

// Views returns the open forms of a user, the one in front last.
func (s *Server) Views(user string) []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []View
	for _, id := range s.stacks[user] {
		out = append(out, *s.views[id])
	}
	return out
}

// Home returns a user's page, if one was published.
func (s *Server) Home(user string) (View, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.homes[user]; v != nil {
		return *v, true
	}
	return View{}, false
}

// Files returns the files that were sent into a channel.
func (s *Server) Files(channel string) []File {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []File
	for _, f := range s.files {
		if f.Channel == channel && f.uploaded {
			out = append(out, *f)
		}
	}
	return out
}

// Calls says how often a method was called, refused calls included.
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
	a := Arrival{Method: method, Channel: m.Channel, TS: m.TS, Text: m.Text, Blocks: m.Blocks, At: time.Now()}
	if s.onArrival != nil {
		s.onArrival(a)
		return
	}
	s.arrivals = append(s.arrivals, a)
}
