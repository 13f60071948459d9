// Package wecomtest is a WeCom (企业微信) to try things on: a server on loopback
// with the APIs of a self-built app, of the smart robot (智能机器人) and of
// customer service (微信客服). It sends what people do as signed and encrypted
// callbacks, or over the robot's WebSocket, shows each person the cards as his
// client would, and refuses what WeCom refuses. Tests use it, and so does the
// load test of the program itself; it needs no package testing.
//
// What it imitates is written at https://developer.work.weixin.qq.com/document;
// where the behaviour is not documented it takes the stricter reading, and says so.
package wecomtest

import (
	"context"
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

// Options of a server; the zero value is a corp with one app that has a
// callback address, a robot, and no rate limits.
type Options struct {
	Now         func() time.Time // nil = time.Now; governs tokens, codes, windows and signatures
	Corp        string
	Agent       int // the app's id
	Secret      string
	Token       string // of the app's callback
	AESKey      string // EncodingAESKey of the app's callback
	Robot       string // the robot's id
	RobotName   string // as it is mentioned: "@" + RobotName
	RobotSecret string
	RobotToken  string
	RobotAESKey string
	// ServiceToken and ServiceAESKey are for DeliverService.
	ServiceToken, ServiceAESKey string
	NoCallback                  bool          // the app has no callback address: it may send no card that calls back
	Sensitive                   bool          // user/get tells e-mail address and mobile number, as it does to apps made before June 2022
	RateLimits                  bool          // 30 messages a minute and member, 30 a minute and 1000 an hour a robot's chat, 20 a minute a webhook
	TokenLife                   time.Duration // 0 = 2 h
	Deadline                    time.Duration // for the answer to a callback; 0 = 5 s
	Refresh                     time.Duration // between two polls of a stream that is not finished; 0 = 200 ms
	ExpiredCode                 int           // errcode for a response_code that is unknown or too old, which is not documented; 0 = 40058
	// Wait is called before the n-th repetition of a callback. nil = no waiting.
	Wait func(n int)
}

// The defaults of Options.
const (
	Corp        = "ww0123456789abcdef"
	Agent       = 1000002
	Secret      = "Zk3Qx0mT7vR1bN5cW9yLpA2dF6hJ8sGuEoIiKqXzVt4"
	Token       = "TicketBotToken01"
	AESKey      = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
	Robot       = "aibEmulated0000000001"
	RobotName   = "派单"
	RobotSecret = "Rb7Yw2Kq9Lx4Vn1Mc6Td3Hf8Pz5Sg0Ja"
	RobotToken  = "RobotBotToken02"
	RobotAESKey = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA"
)

// User is a member of the corp.
type User struct {
	ID, Name, Email, Mobile, Position string
	Departments                       []int // none = the root
	Leader                            bool
	Status                            int  // 1 active, 2 disabled, 4 not activated, 5 left; 0 = 1
	Hidden                            bool // outside the app's visible range
}

// Group is a group chat that the robot is in, or that the app made.
type Group struct {
	ID, Name string
	Members  []string
	Gone     bool // dissolved, or the robot was removed

	owner string
	app   int // that made it; 0 = people made it
}

// Message is what a chat shows.
type Message struct {
	ID     string // msgid
	Conv   string
	From   string // "" for the app's or robot's own
	Type   string // "text", "markdown", "template_card", "stream", "image" …
	Text   string
	Card   json.RawMessage // as everybody sees it who was shown no other
	Task   string          // task_id of a card
	File   string          // media id
	Quoted string          // Ref of the message that this one quotes
	Named  []string        // who is mentioned: userids, or "@all"
	Edits  int             // how often it was changed
	Done   bool            // a stream that is finished
	Gone   bool            // recalled

	app     int
	sent    time.Time
	own     map[string]json.RawMessage    // what one person alone sees
	chosen  map[string]map[string]choices // person → question → what he has chosen and not yet submitted
	stream  string
	started time.Time // of a stream
	menu    map[string]string
}

type choices []string

// Ref names a message of one chat.
func (m Message) Ref() string { return m.Conv + "/" + m.ID }

// CardFor is the card as this person sees it.
func (m Message) CardFor(user string) json.RawMessage {
	if own := m.own[user]; own != nil {
		return own
	}
	return m.Card
}

// File is a file that lies with WeCom.
type File struct {
	ID, Type, Name string
	Content        []byte
	Created        time.Time
	robot          bool // the robot uploaded it
	key            []byte
}

// Arrival is one message or change as it became visible.
type Arrival struct {
	Method, Conv, ID, Task, Text string
	Card                         json.RawMessage
	At                           time.Time // of the machine's clock, for measuring
}

type chat struct {
	messages []*Message
	talked   bool // somebody has talked to the robot there
	sent     []time.Time
}

type app struct {
	id     int
	secret string
}

type token struct {
	app     int
	until   time.Time
	revoked bool
}

// code allows one change of a card.
type code struct {
	app      int
	messages []*Message // all copies of the card
	until    time.Time
	used     bool
}

// response allows one message in a robot's chat.
type response struct {
	conv, quote string
	single      bool
	until       time.Time
	used        bool
}

// Server is the emulated WeCom.
type Server struct {
	URL string // "http://127.0.0.1:1234"

	opt      Options
	http     *httptest.Server
	client   *http.Client
	upgrader websocket.Upgrader
	ctx      context.Context
	stop     context.CancelFunc
	work     sync.WaitGroup // streams that are polled

	mu            sync.Mutex // guards all below
	apps          map[int]*app
	tokens        map[string]*token
	users         map[string]*User
	order         []string // ids of users as they were added
	departments   []*department
	groups        map[string]*Group
	hooks         map[string]*hook
	chats         map[string]*chat
	byID          map[string][]*Message
	byTask        map[string][]*Message
	tasks         map[string]bool // task ids that were used, by app
	codes         map[string]*code
	responses     map[string]*response
	files         map[string]*File
	recent        map[string]time.Time // requests that must not be repeated, until
	minute        map[string][]time.Time
	dropped       int
	menu          json.RawMessage
	logins        map[string]*login
	tickets       map[string]string
	visitor       string
	service       service
	requests      map[string]*request // req_id → what came with it
	uploads       map[string]*upload
	open          map[string]int // streams that are polled, by person
	wrong         []time.Time
	trusted       []string
	arrivals      []Arrival
	onArrival     func(Arrival)
	calls         map[string]int
	faults        []*Fault
	counter       int64
	target        string
	robotTarget   string
	serviceTarget string
	drop          int
	double        int
	hold          int
	held          []func()
	vary          []Variant
	link          *link
	links         []*link
	subscribed    int
	sent          int
	changed       chan struct{} // closed and made anew whenever anything changes
	closed        bool
}

// New starts a server. Close it.
func New(o Options) *Server {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&o.Corp, Corp)
	set(&o.Secret, Secret)
	set(&o.Token, Token)
	set(&o.AESKey, AESKey)
	set(&o.Robot, Robot)
	set(&o.RobotName, RobotName)
	set(&o.RobotSecret, RobotSecret)
	set(&o.RobotToken, RobotToken)
	set(&o.RobotAESKey, RobotAESKey)
	wait := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	wait(&o.TokenLife, 2*time.Hour)
	wait(&o.Deadline, 5*time.Second)
	wait(&o.Refresh, 200*time.Millisecond)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Agent == 0 {
		o.Agent = Agent
	}
	if o.ExpiredCode == 0 {
		o.ExpiredCode = 40058
	}
	if o.Wait == nil {
		o.Wait = func(int) {}
	}
	s := &Server{
		opt: o, apps: map[int]*app{o.Agent: {id: o.Agent, secret: o.Secret}}, tokens: map[string]*token{}, users: map[string]*User{},
		departments: []*department{{ID: 1, Name: "总部", Order: 1}},
		groups:      map[string]*Group{}, hooks: map[string]*hook{}, chats: map[string]*chat{}, byID: map[string][]*Message{},
		byTask: map[string][]*Message{}, tasks: map[string]bool{}, codes: map[string]*code{}, responses: map[string]*response{},
		files: map[string]*File{}, recent: map[string]time.Time{}, minute: map[string][]time.Time{}, logins: map[string]*login{},
		tickets: map[string]string{}, requests: map[string]*request{}, uploads: map[string]*upload{}, open: map[string]int{},
		calls: map[string]int{}, changed: make(chan struct{}), upgrader: websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }},
		service: newService(),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 256},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/cgi-bin/", s.serveAPI)
	mux.HandleFunc("GET /files/{id}", s.serveFile)
	mux.HandleFunc("GET /connect/oauth2/authorize", s.serveLogin)
	mux.HandleFunc("GET /wwlogin/sso/login", s.serveLogin)
	mux.HandleFunc("GET /{$}", s.serveLink)
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
	s.stop()
	for _, l := range links {
		l.close()
	}
	s.work.Wait()
	s.client.CloseIdleConnections()
	s.http.CloseClientConnections()
	s.http.Close()
}

// APIURL is what an adapter's api_url is set to.
func (s *Server) APIURL() string { return s.URL }

// WSURL is what an adapter's ws_url is set to.
func (s *Server) WSURL() string { return "ws" + strings.TrimPrefix(s.URL, "http") + "/" }

// AppKeys are the keys of the app's callbacks.
func (s *Server) AppKeys() Keys {
	return Keys{Token: s.opt.Token, AESKey: s.opt.AESKey, Receiver: s.opt.Corp}
}

// RobotKeys are the keys of the robot's callbacks.
func (s *Server) RobotKeys() Keys { return Keys{Token: s.opt.RobotToken, AESKey: s.opt.RobotAESKey} }

// Deliver says where the app's callbacks go.
func (s *Server) Deliver(target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = target
}

// DeliverRobot says where the robot's callbacks go. "" = over its WebSocket.
func (s *Server) DeliverRobot(target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.robotTarget = target
}

// DeliverService says where the events of customer service go when they have an
// address, Token and AESKey of their own. "" = to the app's.
func (s *Server) DeliverService(target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serviceTarget = target
}

// OnService names the callbacks of customer service where they have an address
// of their own.
const OnService = "service"

func (s *Server) keys(surface string) Keys {
	switch surface {
	case OnRobot:
		return s.RobotKeys()
	case OnService:
		return Keys{Token: s.opt.ServiceToken, AESKey: s.opt.ServiceAESKey, Receiver: s.opt.Corp}
	}
	return s.AppKeys()
}

// targetOf needs s.mu.
func (s *Server) targetOf(surface string) string {
	return map[string]string{OnApp: s.target, OnRobot: s.robotTarget, OnService: s.serviceTarget}[surface]
}

// AddApp makes another app of the corp.
func (s *Server) AddApp(agent int, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps[agent] = &app{id: agent, secret: secret}
}

// AddUser makes a member. Its ID is returned; an empty one is made up.
func (s *Server) AddUser(u User) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.ID == "" {
		u.ID = s.id("user")
	}
	if u.Name == "" {
		u.Name = u.ID
	}
	if len(u.Departments) == 0 {
		u.Departments = []int{1}
	}
	if u.Status == 0 {
		u.Status = 1
	}
	if s.users[u.ID] == nil {
		s.order = append(s.order, u.ID)
	}
	s.users[u.ID] = &u
	return u.ID
}

// ChangeUser changes a member in place: disable him, hide him from the app.
func (s *Server) ChangeUser(id string, change func(*User)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.users[id]; u != nil {
		change(u)
	}
}

// AddGroup makes a group chat with the robot in it. The robot may not write
// there before somebody has talked to it: see Talked.
func (s *Server) AddGroup(name string, members ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &Group{ID: s.id("wr"), Name: name, Members: members}
	s.groups[g.ID] = g
	return g.ID
}

// ChangeGroup changes a group in place: remove the robot, add somebody.
func (s *Server) ChangeGroup(id string, change func(*Group)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[id]; g != nil {
		change(g)
	}
}

// Talked makes a chat one where somebody has talked to the robot before: a
// group, or a person with RobotChat.
func (s *Server) Talked(conv string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chat(conv).talked = true
}

// AppChat is the chat of a person with the app.
func AppChat(user string) string { return "app:" + user }

// RobotChat is the private chat of a person with the robot.
func RobotChat(user string) string { return "robot:" + user }

func (s *Server) appChat(agent int, user string) string {
	if agent == s.opt.Agent {
		return AppChat(user)
	}
	return fmt.Sprintf("app%d:%s", agent, user)
}

// id needs s.mu.
func (s *Server) id(letters string) string {
	s.counter++
	return fmt.Sprintf("%sEM%08d", letters, s.counter)
}

// chat needs s.mu.
func (s *Server) chat(conv string) *chat {
	c := s.chats[conv]
	if c == nil {
		c = &chat{}
		s.chats[conv] = c
	}
	return c
}

// put needs s.mu.
func (s *Server) put(m *Message) *Message {
	m.sent = s.opt.Now()
	c := s.chat(m.Conv)
	c.messages = append(c.messages, m)
	s.byID[m.ID] = append(s.byID[m.ID], m)
	if m.Task != "" {
		s.byTask[m.Task] = append(s.byTask[m.Task], m)
	}
	return m
}

// find needs s.mu.
func (s *Server) find(ref string) *Message {
	if conv, id, ok := strings.Cut(ref, "/"); ok {
		for _, m := range s.byID[id] {
			if m.Conv == conv && !m.Gone {
				return m
			}
		}
	}
	for _, all := range [][]*Message{s.byID[ref], s.byTask[ref]} {
		for _, m := range slices.Backward(all) {
			if !m.Gone {
				return m
			}
		}
	}
	return nil
}

// Message returns what a message shows now. It is named by its Ref, its msgid
// or the task_id of its card; of several copies the latter two mean the newest.
func (s *Server) Message(ref string) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.find(ref); m != nil {
		return m.copy(), true
	}
	return Message{}, false
}

// copy makes one that no later change of a card reaches.
func (m *Message) copy() Message {
	c := *m
	c.own = make(map[string]json.RawMessage, len(m.own))
	for k, v := range m.own {
		c.own[k] = v
	}
	c.chosen = nil
	return c
}

// Messages returns what a chat shows, oldest first, without what was recalled.
func (s *Server) Messages(conv string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	if c := s.chats[conv]; c != nil {
		for _, m := range c.messages {
			if !m.Gone {
				out = append(out, m.copy())
			}
		}
	}
	return out
}

// Cards returns the cards that a chat shows.
func (s *Server) Cards(conv string) []Message {
	return slices.DeleteFunc(s.Messages(conv), func(m Message) bool { return m.Card == nil })
}

// Chats are the names of all chats in which there is a message.
func (s *Server) Chats() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for conv, c := range s.chats {
		if len(c.messages) > 0 {
			out = append(out, conv)
		}
	}
	slices.Sort(out)
	return out
}

// Files returns the files that the app or robot has sent into a chat.
func (s *Server) Files(conv string) []File {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []File
	for _, m := range s.chat(conv).messages {
		if f := s.files[m.File]; f != nil && m.From == "" && !m.Gone {
			out = append(out, *f)
		}
	}
	return out
}

// Calls says how often a method was called, refused calls included: the path
// below /cgi-bin/ ("message/send") or the command over the robot's connection.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Dropped says how many messages were swallowed because a member got more than
// he may in a minute or an hour: WeCom answers as if all were well.
func (s *Server) Dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
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
func (s *Server) arrived(method string, m *Message, card json.RawMessage) {
	a := Arrival{Method: method, Conv: m.Conv, ID: m.ID, Task: m.Task, Text: m.Text, Card: card, At: time.Now()}
	if s.onArrival != nil {
		s.onArrival(a)
	} else {
		s.arrivals = append(s.arrivals, a)
	}
	s.signal()
}

// signal needs s.mu.
func (s *Server) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Await waits until ok holds. It is asked again after whatever becomes visible
// or connects.
func (s *Server) Await(ctx context.Context, ok func() bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TrustIPs sets the addresses that calls may come from (企业可信IP). None = any.
func (s *Server) TrustIPs(ips ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trusted = ips
}

// Revoke makes all tokens invalid that were given out so far.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens {
		t.revoked = true
	}
}
