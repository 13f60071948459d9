// Package dingtalktest is a DingTalk to try things on: servers on loopback that
// behave like api.dingtalk.com and oapi.dingtalk.com, push what people do over
// Stream connections or as signed requests, and refuse what DingTalk refuses.
// Tests use it, and so does the load test of the program itself; it needs no
// package testing.
//
// What it imitates is written at https://open.dingtalk.com/document/ and, for
// Stream mode, at
// https://opensource.dingtalk.com/developerpedia/docs/learn/stream/protocol.
// Where DingTalk's behaviour is not documented it is at least as strict.
package dingtalktest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Options of a server; the zero value is a company with an app that has all
// permissions, DingTalk's own deadlines, no rate limit and no quota.
type Options struct {
	Now          func() time.Time // nil = time.Now; governs tokens, tickets, sessions, signatures and limits
	ClientID     string
	ClientSecret string
	CorpID       string
	RobotCode    string // "" = ClientID, as with apps of one's own company
	RobotName    string // what people type after "@"
	TemplateID   string // of the one published card template
	// ValueBytes is how long a variable of a card may be; 0 = 1024, as
	// documented, < 0 = no limit.
	ValueBytes int
	// Private names the variables that the template lets differ from person to
	// person; nil = all.
	Private     []string
	EventToken  string   // signs events of HTTP mode
	AESKey      string   // encrypts them
	Permissions []string // nil = all that the adapter's guide asks for
	QPS         int      // calls a second and API; 0 = no limit; see StandardQPS
	Quota       int      // paid calls a month; 0 = no limit; see StandardQuota
	Pushes      int      // messages and events pushed a month; 0 = no limit; see StandardPushes
	Unpublished bool     // the app was never published: nobody's staff id is told
	// Deadline is for an answer; 0 = 3 s over Stream, 2.5 s to a hook.
	Deadline     time.Duration
	CardDeadline time.Duration // for the answer to a pressed button; 0 = 2 s
	// Wait is called before the n-th repetition of an event (about a minute
	// each). nil = no waiting.
	Wait func(n int)
	// After is time.After, for what happens later: the end of a connection that
	// was announced to be closed.
	After func(time.Duration) <-chan time.Time
}

// The defaults of Options.
const (
	ClientID     = "dingabcdef0123456789"
	ClientSecret = "c7Vx2mQpZ0yR8tLk4nWb6hJs1dFgA3eUoIiK5XvYq9MwNzBrTjHuPlSaCfDeGy_8"
	CorpID       = "dingcorp1"
	RobotName    = "工单"
	TemplateID   = "7c3a1e52-6f0b-4d1c-9a58-2f6f3f0d9b11.schema"
	EventToken   = "TicketBotToken01"
	AESKey       = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
)

// What the Standard edition allows, by
// https://open.dingtalk.com/document/development/dingtalk-application-development-platform-billing-model.
const (
	StandardQPS    = 20
	StandardQuota  = 5000
	StandardPushes = 3000
)

// Permissions are all that the adapter's guide asks for.
var Permissions = []string{
	"qyapi_robot_sendmsg", "Card.Instance.Write", "qyapi_get_member", "qyapi_get_member_by_mobile", "qyapi_base", "Premium.Ding.Write", "fieldMobile", "fieldEmail",
}

// User is an account.
type User struct {
	ID, Name, UnionID, Mobile, Email, Title string
	Admin                                   bool
	External                                bool // of another company: its staff id is not told
	Left                                    bool // the company
	Outside                                 bool // not in the app's visible range
	Throttled                               bool // gets no more messages of the robot today
}

// Group is an internal group, or the private chat of a person with the robot.
type Group struct {
	ID, Name  string
	User      string // of a private chat
	Members   map[string]bool
	Robot     bool // is in it
	Stopped   bool // the robot was switched off in it
	Disbanded bool

	messages []*Message
}

// Message is what a conversation shows.
type Message struct {
	ID, Conv string
	User     string // "" for the robot's own
	Kind     string // msgKey or msgtype as it was sent; "card"; of people: text, picture, richText, file …
	Title    string
	Text     string // source of a markdown text; what a person typed
	Buttons  []Link // of an action card: all a press does is open them
	Card     string // outTrackId of a card
	Only     []string
	At       []string // people who are notified by a mention
	AtAll    bool
	Files    []string
	Key      string // processQueryKey, or carrierId of a card
	Quotes   string // ref of the message it answers
	Webhook  bool   // came over a session's or a group's webhook
	Recalled bool
	Sent     time.Time
}

// Ref names a message.
func (m Message) Ref() string { return m.Conv + "/" + m.ID }

// Link is a button that opens an address.
type Link struct{ Title, URL string }

// File is a file that a person sends, or that the app uploaded.
type File struct {
	ID, Name string
	Kind     string // file, picture, audio, video
	Content  []byte
	Conv     string // where it was sent
	uploaded bool
}

// Ding is an urgent notice.
type Ding struct {
	ID, Content string
	Remind      int // 1 in the app, 2 by text message, 3 by telephone
	To          []string
}

// Arrival is one message or change as it became visible.
type Arrival struct {
	Method string // "robot/groupMessages/send", "card/instances/update", "card/callback" …
	Conv   string // of a card that changed: where it was delivered last
	Ref    string // of the message
	Card   string // outTrackId
	Text   string // of a card: all its variables, in the template's order
	At     time.Time
}

// Server is the emulated DingTalk.
type Server struct {
	opt      Options
	api      *httptest.Server
	oapi     *httptest.Server
	client   *http.Client
	upgrader websocket.Upgrader
	running  sync.WaitGroup

	mu        sync.Mutex // guards all below
	users     map[string]*User
	groups    map[string]*Group
	private   map[string]string // user → private chat
	cards     map[string]*card
	files     map[string]*File
	byRef     map[string]*Message
	byKey     map[string]*Message
	codes     map[string]*downloadable
	sessions  map[string]*session
	webhooks  map[string]*webhook
	routes    map[string]route
	tickets   map[string]*ticket
	links     []*link
	linkUp    chan struct{} // closed and made anew whenever a connection opens
	opened    int           // connections so far
	token     string
	tokenEnds time.Time
	revoked   bool
	dings     []Ding
	arrivals  []Arrival
	onArrival func(Arrival)
	calls     map[string]int
	windows   map[string]*window
	faults    []*Fault
	month     string
	paid      int
	pushed    int
	inPress   int // updates that came while a press of the same card was unanswered
	complains []string
	variant   Variant
	deaf      bool // pings are not answered
	counter   int64
	target    string
	drop      int
	double    int
	hold      int
	held      []func()
	closed    bool
}

type session struct {
	conv  string
	until time.Time
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
	set(&o.ClientID, ClientID)
	set(&o.ClientSecret, ClientSecret)
	set(&o.CorpID, CorpID)
	set(&o.RobotCode, o.ClientID)
	set(&o.RobotName, RobotName)
	set(&o.TemplateID, TemplateID)
	set(&o.EventToken, EventToken)
	set(&o.AESKey, AESKey)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.Wait == nil {
		o.Wait = func(int) {}
	}
	if o.Permissions == nil {
		o.Permissions = Permissions
	}
	if o.ValueBytes == 0 {
		o.ValueBytes = 1024
	}
	if o.CardDeadline == 0 {
		o.CardDeadline = 2 * time.Second
	}
	s := &Server{
		opt: o, users: map[string]*User{}, groups: map[string]*Group{}, private: map[string]string{}, cards: map[string]*card{},
		files: map[string]*File{}, byRef: map[string]*Message{}, byKey: map[string]*Message{}, codes: map[string]*downloadable{}, sessions: map[string]*session{}, webhooks: map[string]*webhook{},
		routes: map[string]route{}, tickets: map[string]*ticket{}, calls: map[string]int{}, windows: map[string]*window{}, linkUp: make(chan struct{}),
		upgrader: websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }},
	}
	s.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 256},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.serveAPI)
	mux.HandleFunc("GET /connect", s.serveConnect)
	mux.HandleFunc("GET /download/{code}", s.serveDownload)
	s.api = httptest.NewServer(mux)
	s.oapi = httptest.NewServer(http.HandlerFunc(s.serveOAPI))
	return s
}

// Close ends the servers and all their connections.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	links := slices.Clone(s.links)
	s.mu.Unlock()
	for _, l := range links {
		s.remove(l)
	}
	s.running.Wait()
	s.client.CloseIdleConnections()
	for _, srv := range []*httptest.Server{s.api, s.oapi} {
		srv.CloseClientConnections()
		srv.Close()
	}
}

// APIURL is what an adapter's api_url is set to.
func (s *Server) APIURL() string { return s.api.URL }

// OAPIURL is what an adapter's oapi_url is set to.
func (s *Server) OAPIURL() string { return s.oapi.URL }

// Deliver says where signed requests go: the address of the hook. "" = over
// Stream connections.
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
		u.ID = s.id("manager")
	}
	if u.UnionID == "" {
		u.UnionID = s.id("union")
	}
	s.users[u.ID] = &u
	return u.ID
}

// ChangeUser changes an account in place.
func (s *Server) ChangeUser(id string, change func(*User)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.users[id]; u != nil {
		change(u)
	}
}

// AddGroup makes a group with these members; the robot is in it unless away is
// true. The id is its openConversationId.
func (s *Server) AddGroup(name string, away bool, members ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &Group{ID: s.id("cid") + "==", Name: name, Members: map[string]bool{}, Robot: !away}
	for _, m := range members {
		g.Members[m] = true
	}
	s.groups[g.ID] = g
	return g.ID
}

// ChangeGroup changes a conversation in place: rename it, disband it, take the
// robot out. DingTalk tells the robot of none of that.
func (s *Server) ChangeGroup(id string, change func(*Group)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[id]; g != nil {
		change(g)
	}
}

// Private is the private chat of a person with the robot; it is made on demand.
func (s *Server) Private(user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.privateOf(user).ID
}

// privateOf needs s.mu.
func (s *Server) privateOf(user string) *Group {
	if id := s.private[user]; id != "" {
		return s.groups[id]
	}
	g := &Group{ID: s.id("cidP") + "==", User: user, Members: map[string]bool{user: true}, Robot: true}
	s.groups[g.ID], s.private[user] = g, g.ID
	return g
}

// AddFile makes a file that a person can send.
func (s *Server) AddFile(f File) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.ID == "" {
		f.ID = s.id("F")
	}
	if f.Kind == "" {
		f.Kind = "file"
	}
	s.files[f.ID] = &f
	return f.ID
}

// Revoke makes DingTalk refuse the app's credentials and all its tokens, as
// after a new secret was made; off takes that back.
func (s *Server) Revoke(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = on
	s.token = ""
}

// ExpireToken ends the access token before its time.
func (s *Server) ExpireToken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = ""
}

// SetQuota changes how many paid calls and pushes are allowed a month; 0 = no limit.
func (s *Server) SetQuota(calls, pushes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opt.Quota, s.opt.Pushes = calls, pushes
}

// Paid says how many calls and pushes of this month count against the quota.
func (s *Server) Paid() (calls, pushes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turnMonth()
	return s.paid, s.pushed
}

// turnMonth needs s.mu. DingTalk's months are Beijing's.
func (s *Server) turnMonth() {
	m := s.opt.Now().In(beijing).Format("2006-01")
	if m != s.month {
		s.month, s.paid, s.pushed = m, 0, 0
	}
}

var beijing = time.FixedZone("CST", 8*60*60)

// id needs s.mu.
func (s *Server) id(prefix string) string {
	s.counter++
	return fmt.Sprintf("%s%07d", prefix, s.counter)
}

// uuid is for what nobody may guess; DingTalk's are random too.
func uuid() string {
	a, b := rand.Uint64(), rand.Uint64()
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffff_ffff_ffff)
}

// put needs s.mu.
func (s *Server) put(g *Group, m *Message) {
	m.ID, m.Conv, m.Sent = s.id("msg")+"==", g.ID, s.opt.Now()
	g.messages = append(g.messages, m)
	s.byRef[m.Ref()] = m
	if m.Key != "" {
		s.byKey[m.Key] = m
	}
}

// find needs s.mu. What is a message's ref, its processQueryKey or carrierId,
// or a card's outTrackId.
func (s *Server) find(what string) (*Group, *Message) {
	m := s.byRef[what]
	if m == nil {
		m = s.byKey[what]
	}
	if c := s.cards[what]; m == nil && c != nil && len(c.shown) > 0 {
		m = c.shown[len(c.shown)-1]
	}
	if m == nil || m.Recalled {
		return nil, nil
	}
	return s.groups[m.Conv], m
}

// Message returns a message by its ref, its processQueryKey or carrierId, or
// its card's outTrackId.
func (s *Server) Message(what string) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, m := s.find(what); m != nil {
		return *m, true
	}
	return Message{}, false
}

// Messages returns what a conversation shows, oldest first, without what was recalled.
func (s *Server) Messages(conv string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	if g := s.groups[conv]; g != nil {
		for _, m := range g.messages {
			if !m.Recalled {
				out = append(out, *m)
			}
		}
	}
	return out
}

// Cards returns the messages of a conversation that show cards.
func (s *Server) Cards(conv string) []Message {
	return slices.DeleteFunc(s.Messages(conv), func(m Message) bool { return m.Card == "" })
}

// Files returns the files that were sent into a conversation, by people and by the robot.
func (s *Server) Files(conv string) []File {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []File
	for _, f := range s.files {
		if f.Conv == conv {
			out = append(out, *f)
		}
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Dings returns the urgent notices, oldest first.
func (s *Server) Dings() []Ding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dings)
}

// Calls says how often an API was called, refused calls included. It is named
// by its path without "/v1.0/"; PUT /v1.0/card/instances is "card/instances/update".
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// UpdatesInPress says how many updates of a card came while a press of the same
// card was not answered yet, which DingTalk asks not to do
// (https://open.dingtalk.com/document/development/event-callback-card).
func (s *Server) UpdatesInPress() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inPress
}

// Complaints are things that DingTalk puts up with and nobody should do: an
// acknowledgement that nobody waits for, or one that cannot be read.
func (s *Server) Complaints() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.complains)
}

func (s *Server) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complains = append(s.complains, fmt.Sprintf(format, args...))
}

// Arrivals returns every message and change in the order they became visible.
func (s *Server) Arrivals() []Arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrivals)
}

// OnArrival sets what is called for every message and change, instead of
// keeping it for Arrivals. It is called while the server waits: it must be
// quick, and call nothing of the server.
func (s *Server) OnArrival(f func(Arrival)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onArrival = f
}

// arrived needs s.mu.
func (s *Server) arrived(method string, m *Message, text string) {
	a := Arrival{Method: method, Conv: m.Conv, Ref: m.Ref(), Card: m.Card, Text: text, At: time.Now()}
	if s.onArrival != nil {
		s.onArrival(a)
		return
	}
	s.arrivals = append(s.arrivals, a)
}
