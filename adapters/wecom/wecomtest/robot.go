package wecomtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The smart robot: https://developer.work.weixin.qq.com/document/path/101039

// request is a callback to the robot that may be answered for a while.
type request struct {
	id, kind, conv, user string
	at                   time.Time
	message              string   // Ref of what was said
	pressed              *Message // the card that was pressed
	spent                bool
}

// Said is what a person says to the robot.
type Said struct {
	Conv  string // a group, or RobotChat of the person; "" = the latter
	Text  string
	Quote string   // Ref, msgid or task_id of the message that is quoted
	Files []string // ids from AddFile
}

// AddFile makes a file that a person can send to the robot.
func (s *Server) AddFile(f File) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.ID = s.id("file")
	if f.Type == "" {
		f.Type = "file"
	}
	s.files[f.ID] = &f
	return f.ID
}

// Ask says something to the robot in private.
func (s *Server) Ask(user, words string) (ref string, a Answer) {
	return s.SayRobot(user, Said{Text: words})
}

// Mention says something to the robot in a group.
func (s *Server) Mention(user, group, words string) (ref string, a Answer) {
	return s.SayRobot(user, Said{Conv: group, Text: "@" + s.opt.RobotName + " " + words})
}

// SayRobot says something in a chat where the robot is. In a group it hears only
// what mentions it: the answer's Kind is "unheard" otherwise.
func (s *Server) SayRobot(user string, said Said) (ref string, a Answer) {
	if said.Conv == "" {
		said.Conv = RobotChat(user)
	}
	s.mu.Lock()
	g := s.groups[said.Conv]
	single := said.Conv == RobotChat(user)
	if !single && (g == nil || !slices.Contains(g.Members, user)) {
		s.mu.Unlock()
		return "", Answer{Kind: "text", Err: fmt.Errorf("%s is in no chat %q", user, said.Conv)}
	}
	m := s.put(&Message{ID: s.id("CAIQ"), Conv: said.Conv, From: user, Type: "text", Text: said.Text})
	if len(said.Files) > 0 {
		m.File = said.Files[0]
	}
	s.signal()
	if !single && (g.Gone || !strings.Contains(said.Text, "@"+s.opt.RobotName)) {
		s.mu.Unlock()
		return m.Ref(), Answer{Kind: "unheard", Status: 200}
	}
	if s.open[user] >= 3 {
		s.mu.Unlock()
		return m.Ref(), Answer{Kind: "text", Err: errors.New("three of this person's messages are still being answered")}
	}
	s.chat(said.Conv).talked = true
	body := s.robotBody(user, said.Conv, m.ID, m.Ref())
	err := s.content(body, said, single)
	if q := s.find(said.Quote); said.Quote != "" && q != nil && err == nil {
		m.Quoted = q.Ref()
		body["quote"] = quoted(q, user)
	}
	r := s.newRequest("message", user, said.Conv)
	r.message = m.Ref()
	s.mu.Unlock()
	if err != nil {
		return m.Ref(), Answer{Kind: "text", Err: err}
	}
	return m.Ref(), s.callRobot("aibot_msg_callback", body, r)
}

// newRequest needs s.mu.
func (s *Server) newRequest(kind, user, conv string) *request {
	r := &request{id: s.id("REQ"), kind: kind, user: user, conv: conv, at: s.opt.Now()}
	s.requests[r.id] = r
	return r
}

// robotBody is what all callbacks to the robot share. It needs s.mu.
func (s *Server) robotBody(user, conv, id, quote string) object {
	code := s.id("RC")
	s.responses[code] = &response{conv: conv, single: conv == RobotChat(user), quote: quote, until: s.opt.Now().Add(time.Hour)}
	body := object{"msgid": id, "aibotid": s.opt.Robot, "chattype": "single", "from": object{"userid": user}, "response_url": s.URL + "/cgi-bin/aibot/response?response_code=" + code}
	if conv != RobotChat(user) {
		body["chattype"], body["chatid"] = "group", conv
	}
	return body
}

// content needs s.mu.
func (s *Server) content(body object, said Said, single bool) error {
	var parts []object
	if said.Text != "" {
		parts = append(parts, object{"msgtype": "text", "text": object{"content": said.Text}})
	}
	for _, id := range said.Files {
		f := s.files[id]
		if f == nil {
			return fmt.Errorf("no file %q", id)
		}
		if !single && f.Type != "image" {
			return fmt.Errorf("in a group the robot is shown no %s", f.Type)
		}
		f.Created = s.opt.Now() // the address is good for five minutes from now
		media := object{"url": s.URL + "/files/" + id}
		if f.key == nil {
			key, err := s.RobotKeys().key()
			if err != nil {
				return err
			}
			f.key = key
		}
		if s.robotTarget == "" {
			media["aeskey"] = encodeKey(f.key)
		}
		parts = append(parts, object{"msgtype": f.Type, f.Type: media})
	}
	switch len(parts) {
	case 0:
		return errors.New("nothing is said")
	case 1:
		for k, v := range parts[0] {
			body[k] = v
		}
	default:
		body["msgtype"], body["mixed"] = "mixed", object{"msg_item": parts}
	}
	return nil
}

// quoted is a message inside another. What a quoted card shows to the robot is
// not documented: here it is the title, as text.
func quoted(m *Message, user string) object {
	words := m.Text
	var card object
	if raw := m.CardFor(user); raw != nil && json.Unmarshal(raw, &card) == nil {
		words = text(card["main_title"], "title")
	}
	return object{"msgtype": "text", "text": object{"content": words}}
}

// robotEvent is an event in a chat with the robot. It needs s.mu.
func (s *Server) robotEvent(user, conv, kind string, more object) object {
	body := s.robotBody(user, conv, s.id("CAIQ"), "")
	body["create_time"], body["msgtype"] = s.opt.Now().Unix(), "event"
	body["event"] = object{"eventtype": kind}
	if more != nil {
		body["event"].(object)[kind] = more
	}
	return body
}

// EnterRobot opens the private chat with the robot, for the first time of a day.
func (s *Server) EnterRobot(user string) Answer {
	s.mu.Lock()
	body := s.robotEvent(user, RobotChat(user), "enter_chat", nil)
	delete(body, "response_url")
	r := s.newRequest("enter_chat", user, RobotChat(user))
	s.mu.Unlock()
	return s.callRobot("aibot_event_callback", body, r)
}

// Feedback rates an answer of the robot: 1 accurate, 2 inaccurate, 3 neither any more.
func (s *Server) Feedback(user, conv, id string, kind int, words string) Answer {
	s.mu.Lock()
	body := s.robotEvent(user, conv, "feedback_event", object{"id": id, "type": kind, "content": words, "inaccurate_reason_list": []int{}})
	delete(body, "response_url")
	r := s.newRequest("feedback_event", user, conv)
	s.mu.Unlock()
	return s.callRobot("aibot_event_callback", body, r)
}

// robotPress is what the robot is told of a press, once and never again.
func (s *Server) robotPress(user string, m *Message, p press) (event, error) {
	s.mu.Lock()
	s.chat(m.Conv).talked = true
	body := s.robotEvent(user, m.Conv, "template_card_event", pressObject(m, p))
	r := s.newRequest("template_card_event", user, m.Conv)
	r.pressed = m
	s.mu.Unlock()
	return s.robotCall("aibot_event_callback", body, r, true)
}

func pressObject(m *Message, p press) object {
	out := object{"card_type": p.cardType, "event_key": p.key, "task_id": m.Task}
	if len(p.selected) > 0 {
		list := []object{}
		for _, sel := range p.selected {
			list = append(list, object{"question_key": sel.question, "option_ids": object{"option_id": sel.options}})
		}
		out["selected_items"] = object{"selected_item": list}
	}
	return out
}

// callRobot sends a callback to the robot, on whichever way it is reached.
func (s *Server) callRobot(cmd string, body object, r *request) Answer {
	e, err := s.robotCall(cmd, body, r, false)
	if err != nil {
		return Answer{Kind: r.kind, Err: err}
	}
	return s.deliver(e)
}

func (s *Server) robotCall(cmd string, body object, r *request, once bool) (event, error) {
	plain, err := json.Marshal(body)
	kind, _ := body["msgtype"].(string)
	if r.kind != "message" {
		kind = r.kind
	}
	if err != nil {
		return event{}, err
	}
	return event{surface: OnRobot, kind: kind, plain: plain, once: once, req: r, cmd: cmd, reply: func(a *Answer) {
		var reply object
		if err := json.Unmarshal(a.Plain, &reply); err != nil {
			a.Err = fmt.Errorf("the reply is no JSON: %w", err)
			return
		}
		s.mu.Lock()
		m, err := s.robotReply(r, reply, "passive", true)
		poll := err == nil && m != nil && m.stream != "" && !m.Done
		if poll {
			s.open[r.user]++
		}
		s.mu.Unlock()
		if a.Err = err; poll {
			s.work.Go(func() { s.poll(r, m) })
		}
	}}, nil
}

// robotReply shows what the robot answers. It needs s.mu.
func (s *Server) robotReply(r *request, body object, method string, http bool) (*Message, error) {
	if r.spent && http {
		return nil, nil // the same callback came twice, and was answered twice
	}
	switch r.kind {
	case "template_card_event":
		r.spent = true
		return nil, s.repaintRobot(r, body, method)
	case "feedback_event":
		return nil, errors.New("feedback is answered with nothing")
	}
	kind, _ := body["msgtype"].(string)
	welcome := r.kind == "enter_chat"
	allowed := []string{"template_card"}
	switch {
	case welcome:
		allowed = append(allowed, "text")
	case !http:
		allowed = append(allowed, "markdown", "image", "voice", "video", "file")
	}
	var m *Message
	var err error
	switch {
	case !welcome && (kind == "stream" || kind == "stream_with_template_card" && http):
		m, err = s.streamed(r, body, http)
	default:
		m, err = s.compose(body, OnRobot, allowed)
	}
	if err != nil {
		return nil, err
	}
	if m.ID != "" { // a stream that goes on
		s.arrived(method, m, nil)
		return m, nil
	}
	if s.tooMany("chat "+r.conv, 30, 1000) {
		return nil, no(45009)
	}
	if err := s.newTask(m); err != nil {
		return nil, err
	}
	m.ID, m.Conv, m.Quoted = s.id("CAIQ"), r.conv, r.message
	r.spent = r.spent || http
	s.put(m)
	s.arrived(method, m, m.Card)
	if card, ok := body["template_card"].(object); ok && kind == "stream_with_template_card" {
		beside := &Message{Type: "template_card"}
		if err := s.card(beside, card, OnRobot, false); err != nil {
			return m, err
		}
		if err := s.newTask(beside); err != nil {
			return m, err
		}
		beside.ID, beside.Conv = s.id("CAIQ"), r.conv
		s.put(beside)
		s.arrived(method, beside, beside.Card)
	}
	return m, nil
}

// newTask refuses a task_id that the robot has used before.
func (s *Server) newTask(m *Message) error {
	if m.Task == "" {
		return nil
	}
	if s.tasks["robot "+m.Task] {
		return because(42014, "task_id was used before")
	}
	s.tasks["robot "+m.Task] = true
	return nil
}

// patience is how long one stream may grow.
const patience = 6 * time.Minute

// streamed reads a piece of a stream; a message that is there already grows.
func (s *Server) streamed(r *request, body object, http bool) (*Message, error) {
	part, ok := body["stream"].(object)
	id, words := text(part, "id"), text(part, "content")
	done, _ := part["finish"].(bool)
	images := items(part, "msg_item")
	switch {
	case !ok || id == "":
		return nil, because(40058, "stream.id")
	case len(words) > 20480:
		return nil, no(45002)
	case len(images) > 0 && !http:
		return nil, because(40058, "stream.msg_item goes with callbacks only")
	case len(images) > 10 || len(images) > 0 && !done:
		return nil, because(40058, "stream.msg_item has at most 10, in the last piece")
	case len(text(part["feedback"], "id")) > 256:
		return nil, because(40058, "stream.feedback.id has at most 256 bytes")
	}
	for _, m := range s.chat(r.conv).messages {
		if m.stream != id {
			continue
		}
		if m.Done || s.opt.Now().Sub(m.started) >= patience {
			return nil, no(846608)
		}
		m.Text, m.Done, m.Edits = words, done, m.Edits+1
		return m, nil
	}
	return &Message{Type: "stream", Text: words, stream: id, Done: done, started: s.opt.Now()}, nil
}

// poll asks for the rest of a stream until it is finished.
func (s *Server) poll(r *request, m *Message) {
	defer func() {
		s.mu.Lock()
		s.open[r.user]--
		s.mu.Unlock()
	}()
	every := time.NewTicker(s.opt.Refresh)
	defer every.Stop()
	for range max(1, int(patience/s.opt.Refresh)) {
		select {
		case <-every.C:
		case <-s.ctx.Done():
			return
		}
		s.mu.Lock()
		body := s.robotBody(r.user, r.conv, s.id("CAIQ"), "")
		delete(body, "response_url")
		body["msgtype"], body["stream"] = "stream", object{"id": m.stream}
		over := m.Done || s.opt.Now().Sub(m.started) >= patience
		target := s.robotTarget
		s.mu.Unlock()
		if over || target == "" {
			return
		}
		plain, err := json.Marshal(body)
		if err != nil {
			return
		}
		a := s.once(event{surface: OnRobot, kind: "stream", plain: plain}, target, nil)
		var reply object
		if a.Err != nil || a.Plain == nil || json.Unmarshal(a.Plain, &reply) != nil {
			continue // asked again
		}
		s.mu.Lock()
		if grown, err := s.streamed(r, reply, true); err == nil && grown == m {
			s.arrived("passive", m, nil)
		}
		s.mu.Unlock()
	}
}

// instant is how long after a press a card may be changed:
// https://developer.work.weixin.qq.com/document/path/101031
const instant = 5 * time.Second

// repaintRobot changes the card that was pressed, for everybody or for the users
// that are named. It needs s.mu.
func (s *Server) repaintRobot(r *request, body object, method string) error {
	card, _ := body["template_card"].(object)
	if text(body, "response_type") != "update_template_card" || card == nil {
		return because(40058, "a press is answered with update_template_card")
	}
	if s.opt.Now().Sub(r.at) > instant {
		return because(846605, "more than 5 s after the press")
	}
	if text(card, "task_id") != r.pressed.Task {
		return no(42016)
	}
	var m Message
	if err := s.card(&m, card, OnRobot, true); err != nil {
		return err
	}
	var users []string
	if v, given := body["userids"]; given {
		list, ok := v.([]any)
		for _, x := range list {
			u, isText := x.(string)
			ok = ok && isText
			users = append(users, u)
		}
		if !ok {
			return because(40058, "userids")
		}
	}
	if s.tooMany("chat "+r.conv, 30, 1000) {
		return no(45009)
	}
	s.show(method, r.pressed, m.Card, users...)
	return nil
}

// robotResponse is https://developer.work.weixin.qq.com/document/path/101138
func robotResponse(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.responses[c.query.Get("response_code")]
	switch {
	case r == nil || !s.opt.Now().Before(r.until):
		return nil, because(40058, "response_code is invalid or expired")
	case r.used:
		return nil, no(42022)
	}
	allowed := []string{"markdown"}
	if r.single {
		allowed = append(allowed, "template_card")
	}
	m, err := s.compose(c.body, OnRobot, allowed)
	if err != nil {
		return nil, err
	}
	if s.tooMany("chat "+r.conv, 30, 1000) {
		return nil, no(45009)
	}
	if err := s.newTask(m); err != nil {
		return nil, err
	}
	r.used = true
	m.ID, m.Conv = s.id("CAIQ"), r.conv
	if !r.single {
		m.Quoted = r.quote
	}
	s.put(m)
	s.arrived(c.path, m, m.Card)
	return nil, nil
}
