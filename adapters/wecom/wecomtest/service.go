package wecomtest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Customer service (微信客服): https://developer.work.weixin.qq.com/document/path/94670

// Customer is somebody in WeChat.
type Customer struct{ ID, Name string }

// ServiceChat is the chat of a customer with an account of customer service.
func ServiceChat(account, customer string) string { return "kf:" + account + ":" + customer }

type service struct {
	accounts  map[string]*account
	order     []string
	customers map[string]*Customer
	sessions  map[string]*session // by chat
	nudges    map[string]time.Time
	welcomes  map[string]*welcome
	empty     int // pages that come empty though there is more
}

func newService() service {
	return service{accounts: map[string]*account{}, customers: map[string]*Customer{}, sessions: map[string]*session{}, nudges: map[string]time.Time{}, welcomes: map[string]*welcome{}}
}

type account struct {
	id, name string
	log      []entry
}

type entry struct {
	at   time.Time
	body object
}

// session counts what may be sent to a customer.
type session struct {
	state    int // 0 new, 1 the robot, 2 waiting, 3 a person, 4 ended
	servicer string
	spoke    time.Time
	sent     int
}

type welcome struct {
	conv  string
	until time.Time
	used  bool
}

// AddAccount makes an account of customer service and returns its open_kfid.
func (s *Server) AddAccount(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &account{id: s.id("wk"), name: name}
	s.service.accounts[a.id] = a
	s.service.order = append(s.service.order, a.id)
	return a.id
}

// AddCustomer makes somebody in WeChat and returns his external_userid.
func (s *Server) AddCustomer(c Customer) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ID == "" {
		c.ID = s.id("wm")
	}
	s.service.customers[c.ID] = &c
	return c.ID
}

// EmptyPages makes the next n answers of kf/sync_msg empty, with has_more 1.
func (s *Server) EmptyPages(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service.empty = n
}

// session needs s.mu.
func (s *Server) session(conv string) *session {
	x := s.service.sessions[conv]
	if x == nil {
		x = &session{}
		s.service.sessions[conv] = x
	}
	return x
}

// CustomerSays writes to an account of customer service.
func (s *Server) CustomerSays(customer, account, words string) (ref string, a Answer) {
	return s.customer(customer, account, &Message{Type: "text", Text: words}, object{"msgtype": "text", "text": object{"content": words}})
}

// CustomerSends sends a file: its Type is "image", "voice", "video" or "file".
func (s *Server) CustomerSends(customer, account string, f File) (ref string, a Answer) {
	s.mu.Lock()
	f.ID, f.Created = s.id("media"), s.opt.Now()
	s.files[f.ID] = &f
	s.mu.Unlock()
	return s.customer(customer, account, &Message{Type: f.Type, Text: f.Name, File: f.ID}, object{"msgtype": f.Type, f.Type: object{"media_id": f.ID}})
}

// CustomerChooses presses an entry of a menu that he was sent.
func (s *Server) CustomerChooses(customer, account, ref, label string) Answer {
	s.mu.Lock()
	m := s.find(ref)
	s.mu.Unlock()
	if m == nil || m.Conv != ServiceChat(account, customer) {
		return Answer{Kind: "kf_msg_or_event", Err: fmt.Errorf("no message %q", ref)}
	}
	id, ok := m.menu[label]
	if !ok {
		return Answer{Kind: "kf_msg_or_event", Err: fmt.Errorf("message %s has nothing called %q", ref, label)}
	}
	_, a := s.customer(customer, account, &Message{Type: "text", Text: label}, object{"msgtype": "text", "text": object{"content": label, "menu_id": id}})
	return a
}

func (s *Server) customer(customer, account string, m *Message, body object) (string, Answer) {
	s.mu.Lock()
	k := s.service.accounts[account]
	if k == nil || s.service.customers[customer] == nil {
		s.mu.Unlock()
		return "", Answer{Kind: "kf_msg_or_event", Err: fmt.Errorf("no account %q or no customer %q", account, customer)}
	}
	m.ID, m.Conv, m.From = s.id("kfmsg"), ServiceChat(account, customer), customer
	s.put(m)
	s.signal()
	x := s.session(m.Conv)
	x.spoke, x.sent = m.sent, 0
	if x.state == 4 {
		x.state = 0
	}
	body["msgid"], body["open_kfid"], body["external_userid"], body["send_time"], body["origin"] = m.ID, account, customer, m.sent.Unix(), 3
	k.log = append(k.log, entry{m.sent, body})
	s.mu.Unlock()
	return m.Ref(), s.nudge(account)
}

// CustomerEnters opens the chat with an account. Where it may be greeted, the
// event carries a code for that, good for 20 seconds.
func (s *Server) CustomerEnters(customer, account, scene string) Answer {
	s.mu.Lock()
	k := s.service.accounts[account]
	if k == nil {
		s.mu.Unlock()
		return Answer{Kind: "kf_msg_or_event", Err: fmt.Errorf("no account %q", account)}
	}
	now := s.opt.Now()
	ev := object{"event_type": "enter_session", "open_kfid": account, "external_userid": customer, "scene": scene, "scene_param": ""}
	conv := ServiceChat(account, customer)
	if x := s.session(conv); x.spoke.IsZero() || now.Sub(x.spoke) >= 48*time.Hour {
		code := s.id("wel")
		s.service.welcomes[code] = &welcome{conv: conv, until: now.Add(20 * time.Second)}
		ev["welcome_code"] = code
	}
	k.log = append(k.log, entry{now, object{"msgid": s.id("kfmsg"), "open_kfid": account, "send_time": now.Unix(), "origin": 4, "msgtype": "event", "event": ev}})
	s.mu.Unlock()
	return s.nudge(account)
}

// nudge tells the app that there is something to fetch.
func (s *Server) nudge(account string) Answer {
	s.mu.Lock()
	token := s.id("ENC")
	s.service.nudges[token] = s.opt.Now().Add(10 * time.Minute)
	fields := []field{{"ToUserName", s.opt.Corp}, {"CreateTime", strconv.FormatInt(s.opt.Now().Unix(), 10)}, {"MsgType", "event"}, {"Event", "kf_msg_or_event"}, {"Token", token}, {"OpenKfId", account}}
	surface := OnApp
	if s.serviceTarget != "" {
		surface = OnService
	}
	s.mu.Unlock()
	return s.deliver(event{surface: surface, kind: "kf_msg_or_event", plain: message(fields), reply: func(a *Answer) { s.apply(a, "kf_msg_or_event", "", nil) }})
}

// account needs s.mu.
func (c *call) account() (*account, error) {
	id := c.str("open_kfid")
	if id == "" {
		return nil, no(95000)
	}
	k := c.s.service.accounts[id]
	if k == nil {
		return nil, no(95004)
	}
	return k, nil
}

// syncMessages is https://developer.work.weixin.qq.com/document/path/94670
func syncMessages(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := c.account()
	if err != nil {
		return nil, err
	}
	now := s.opt.Now()
	if t := c.str("token"); t != "" {
		if until, ok := s.service.nudges[t]; !ok || !now.Before(until) {
			return nil, no(95007)
		}
	} else if s.tooMany("sync "+k.id, 5, 300) { // "strictly", the documentation says, and no number
		return nil, no(45009)
	}
	start := 0
	if cursor := c.str("cursor"); cursor != "" {
		n, ok := strings.CutPrefix(cursor, k.id+".")
		if start, err = strconv.Atoi(n); !ok || err != nil || start > len(k.log) {
			return nil, because(40058, "cursor")
		}
	}
	limit, ok := number(c.body, "limit")
	if !ok || limit < 0 || limit > 1000 {
		return nil, because(40058, "limit")
	}
	if limit == 0 {
		limit = 1000
	}
	list := []object{}
	at := start
	for ; at < len(k.log) && len(list) < limit && s.service.empty == 0; at++ {
		if now.Sub(k.log[at].at) < 72*time.Hour {
			list = append(list, k.log[at].body)
		}
	}
	more := 0
	if at < len(k.log) || s.service.empty > 0 {
		more = 1
	}
	if s.service.empty > 0 {
		s.service.empty--
	}
	return object{"next_cursor": fmt.Sprintf("%s.%d", k.id, at), "has_more": more, "msg_list": list}, nil
}

var serviceID = regexp.MustCompile(`^[0-9a-zA-Z_-]{0,32}$`)

// sendService is https://developer.work.weixin.qq.com/document/path/94677
func sendService(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := c.account()
	if err != nil {
		return nil, err
	}
	if s.service.customers[c.str("touser")] == nil {
		return nil, no(84061)
	}
	conv := ServiceChat(k.id, c.str("touser"))
	x := s.session(conv)
	m, err := s.serviceMessage(c, []string{"text", "image", "voice", "video", "file", "msgmenu"})
	if err != nil {
		return nil, err
	}
	switch {
	case x.state > 1:
		return nil, no(95018)
	case x.spoke.IsZero() || s.opt.Now().Sub(x.spoke) >= 48*time.Hour:
		return nil, no(95002)
	case x.sent >= 5:
		return nil, no(95001)
	}
	x.sent++
	m.Conv = conv
	s.put(m)
	s.arrived(c.path, m, nil)
	return object{"msgid": m.ID}, nil
}

// sendOnEvent is https://developer.work.weixin.qq.com/document/path/95122
func sendOnEvent(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.service.welcomes[c.str("code")]
	if w == nil || w.used || !s.opt.Now().Before(w.until) {
		return nil, because(40058, "code")
	}
	m, err := s.serviceMessage(c, []string{"text", "msgmenu"})
	if err != nil {
		return nil, err
	}
	w.used = true
	m.Conv = w.conv
	s.put(m)
	s.arrived(c.path, m, nil)
	return object{"msgid": m.ID}, nil
}

// serviceMessage needs s.mu.
func (s *Server) serviceMessage(c *call, allowed []string) (*Message, error) {
	id := c.str("msgid")
	if !serviceID.MatchString(id) {
		return nil, because(40058, "msgid")
	}
	if id == "" {
		id = s.id("kfmsg")
	}
	part, _ := c.body[c.str("msgtype")].(object)
	if c.str("msgtype") == "text" && len(text(part, "content")) > 2048 {
		return nil, no(45002)
	}
	if c.str("msgtype") != "msgmenu" {
		m, err := s.compose(c.body, OnApp, allowed)
		if err == nil {
			m.ID = id
		}
		return m, err
	}
	m := &Message{ID: id, Type: "msgmenu", menu: map[string]string{}}
	head, tail, list := text(part, "head_content"), text(part, "tail_content"), items(part, "list")
	if len(list) > 10 || len(head) > 1024 || len(tail) > 1024 || head == "" && tail == "" && len(list) == 0 {
		return nil, no(95008)
	}
	lines := []string{head}
	for _, o := range list {
		kind := text(o, "type")
		e, ok := o[kind].(object)
		switch {
		case !ok || kind != "click" && kind != "view" && kind != "miniprogram" && kind != "text":
			return nil, no(95008)
		case text(e, "content") == "" || len(text(e, "content")) > 128 && kind == "click" || len(text(e, "id")) > 64:
			return nil, no(95009)
		}
		if kind == "click" {
			m.menu[text(e, "content")] = text(e, "id")
		}
		lines = append(lines, text(e, "content"))
	}
	m.Text = strings.Trim(strings.Join(append(lines, tail), "\n"), "\n")
	return m, nil
}

func (c *call) chosenSession() (*session, error) {
	k, err := c.account()
	if err != nil {
		return nil, err
	}
	if c.s.service.customers[c.str("external_userid")] == nil {
		return nil, no(84061)
	}
	return c.s.session(ServiceChat(k.id, c.str("external_userid"))), nil
}

// serviceState is https://developer.work.weixin.qq.com/document/path/94669
func serviceState(c *call) (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	x, err := c.chosenSession()
	if err != nil {
		return nil, err
	}
	return object{"service_state": x.state, "servicer_userid": x.servicer}, nil
}

// transitions are the states that a session may go to.
var transitions = map[int][]int{0: {1, 2, 3}, 1: {2, 3, 4}, 2: {3, 4}, 3: {3, 4}}

func changeState(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := c.chosenSession()
	if err != nil {
		return nil, err
	}
	to, ok := number(c.body, "service_state")
	if !ok {
		return nil, because(40058, "service_state")
	}
	allowed := false
	for _, t := range transitions[x.state] {
		allowed = allowed || t == to
	}
	if !allowed {
		return nil, no(95016)
	}
	if to == 3 && s.users[c.str("servicer_userid")] == nil {
		return nil, no(95014)
	}
	x.state, x.servicer = to, c.str("servicer_userid")
	answer := object{}
	if to >= 2 {
		answer["msg_code"] = s.id("mc")
	}
	return answer, nil
}

func listAccounts(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []object{}
	for _, id := range s.service.order {
		list = append(list, object{"open_kfid": id, "name": s.service.accounts[id].name, "avatar": "", "manage_privilege": true})
	}
	return object{"account_list": list}, nil
}

func contactWay(c *call) (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	k, err := c.account()
	if err != nil {
		return nil, err
	}
	if !serviceID.MatchString(c.str("scene")) {
		return nil, because(40058, "scene")
	}
	return object{"url": "https://work.weixin.qq.com/kfid/" + k.id + "?enc_scene=" + c.str("scene")}, nil
}
