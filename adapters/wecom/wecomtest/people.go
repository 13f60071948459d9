package wecomtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// What people do. Each act changes what the chats show first, as in WeCom, and
// then tells the app or the robot about it; the answers are returned.

// fromApp are the first elements of every message of the app's.
func (s *Server) fromApp(user, kind string) []field {
	return []field{{"ToUserName", s.opt.Corp}, {"FromUserName", user}, {"CreateTime", strconv.FormatInt(s.opt.Now().Unix(), 10)}, {"MsgType", kind}}
}

// tell sends a message of a person to the app.
func (s *Server) tellApp(user, kind string, m *Message, fields ...field) (string, Answer) {
	s.mu.Lock()
	s.counter++
	m.ID = strconv.FormatInt(7_300_000_000_000_000_000+s.counter, 10)
	m.Conv, m.From, m.Type = AppChat(user), user, kind
	s.put(m)
	s.signal()
	all := append(s.fromApp(user, kind), fields...)
	all = append(all, field{"MsgId", m.ID}, field{"AgentID", strconv.Itoa(s.opt.Agent)})
	s.mu.Unlock()
	a := s.deliver(event{surface: OnApp, kind: kind, plain: message(all), reply: func(a *Answer) { s.apply(a, "message", user, nil) }})
	return m.Ref(), a
}

// Say writes to the app. ref names the message.
func (s *Server) Say(user, words string) (ref string, a Answer) {
	return s.tellApp(user, "text", &Message{Text: words}, field{"Content", words})
}

// SendPicture sends a picture to the app.
func (s *Server) SendPicture(user, name string, content []byte) (ref string, a Answer) {
	s.mu.Lock()
	f := &File{ID: s.id("media"), Type: "image", Name: name, Content: content, Created: s.opt.Now()}
	s.files[f.ID] = f
	s.mu.Unlock()
	return s.tellApp(user, "image", &Message{Text: name, File: f.ID}, field{"PicUrl", s.URL + "/files/" + f.ID}, field{"MediaId", f.ID})
}

// AppEvent sends any event to the app, for kinds that have no act of their own.
// more are names of elements and their values, in turn.
func (s *Server) AppEvent(user, kind string, more ...string) Answer {
	return s.deliver(s.appEvent(user, kind, nil, pairs(more)))
}

func pairs(list []string) []field {
	var out []field
	for i := 0; i+1 < len(list); i += 2 {
		out = append(out, field{list[i], list[i+1]})
	}
	return out
}

func (s *Server) appEvent(user, kind string, pressed *Message, more []field) event {
	all := append(s.fromApp(user, "event"), field{"Event", kind})
	all = append(append(all, more...), field{"AgentID", strconv.Itoa(s.opt.Agent)})
	return event{surface: OnApp, kind: kind, plain: message(all), reply: func(a *Answer) { s.apply(a, kind, user, pressed) }}
}

// Enter opens the app.
func (s *Server) Enter(user string) Answer { return s.AppEvent(user, "enter_agent", "EventKey", "") }

// Subscribe is what the app hears when it becomes visible to a member.
func (s *Server) Subscribe(user string) Answer { return s.AppEvent(user, "subscribe") }

// MenuClick presses an entry of the app's menu: what is its name or its key.
func (s *Server) MenuClick(user, what string) Answer {
	s.mu.Lock()
	var menu object
	if s.menu != nil {
		if err := json.Unmarshal(s.menu, &menu); err != nil {
			s.mu.Unlock()
			return Answer{Kind: "click", Err: err}
		}
	}
	s.mu.Unlock()
	var seen []string
	for _, top := range items(menu, "button") {
		for _, b := range append(items(top, "sub_button"), top) {
			seen = append(seen, text(b, "name"))
			if text(b, "name") != what && text(b, "key") != what {
				continue
			}
			if text(b, "type") == "view" {
				return s.AppEvent(user, "view", "EventKey", text(b, "url"))
			}
			if text(b, "key") != "" {
				return s.AppEvent(user, text(b, "type"), "EventKey", text(b, "key"))
			}
		}
	}
	return Answer{Kind: "click", Err: fmt.Errorf("the menu has nothing called %q; it has %q", what, seen)}
}

// Choose chooses an option on a card before something is pressed, which reaches
// nobody yet. question is the title or key of the list; it may be "" when the
// card has only one. option is the text or id; of a list that allows several,
// choosing again adds.
func (s *Server) Choose(user, ref, question, option string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, card, err := s.seen(user, ref)
	if err != nil {
		return err
	}
	var known []string
	for _, q := range questions(card) {
		if question != "" && text(q.object, "question_key") != question && text(q.object, "title") != question {
			continue
		}
		if off, _ := q.object["disable"].(bool); off {
			return fmt.Errorf("the list %q is disabled", question)
		}
		for _, o := range items(q.object, "option_list") {
			known = append(known, text(o, "text"))
			if text(o, "id") != option && text(o, "text") != option {
				continue
			}
			if m.chosen == nil {
				m.chosen = map[string]map[string]choices{}
			}
			if m.chosen[user] == nil {
				m.chosen[user] = map[string]choices{}
			}
			key, id := text(q.object, "question_key"), text(o, "id")
			if mode, _ := number(q.object, "mode"); mode == 1 {
				m.chosen[user][key] = append(s.chosenOf(m, user, q), id)
			} else {
				m.chosen[user][key] = choices{id}
			}
			return nil
		}
	}
	return fmt.Errorf("message %s: nothing to choose is called %q %q; there is %q", ref, question, option, known)
}

// question is a list of a card that one chooses from.
type question struct {
	object
	vote bool // nothing is chosen until somebody does; else the first is
}

func questions(card object) []question {
	var out []question
	if q, ok := card["button_selection"].(object); ok {
		out = append(out, question{q, false})
	}
	if q, ok := card["checkbox"].(object); ok {
		out = append(out, question{q, true})
	}
	for _, q := range items(card, "select_list") {
		out = append(out, question{q, false})
	}
	return out
}

// chosenOf is what stands chosen in a list: by the person, else as the card came.
func (s *Server) chosenOf(m *Message, user string, q question) choices {
	if c, ok := m.chosen[user][text(q.object, "question_key")]; ok {
		return c
	}
	var out choices
	for i, o := range items(q.object, "option_list") {
		on, _ := o["is_checked"].(bool)
		switch {
		case q.vote && on:
			out = append(out, text(o, "id"))
		case !q.vote && (i == 0 || text(o, "id") == text(q.object, "selected_id")):
			out = choices{text(o, "id")}
		}
	}
	return out
}

// seen is a card as a person sees it. It needs s.mu.
func (s *Server) seen(user, ref string) (*Message, object, error) {
	m := s.find(ref)
	if m == nil {
		return nil, nil, fmt.Errorf("no message %q", ref)
	}
	if i := strings.IndexByte(m.Conv, ':'); i >= 0 && m.Conv[i+1:] != user { // a copy of somebody else's
		for _, other := range s.byID[m.ID] {
			if other.Conv == m.Conv[:i+1]+user {
				m = other
			}
		}
		if m.Conv[i+1:] != user {
			return nil, nil, fmt.Errorf("%s does not see message %q", user, ref)
		}
	}
	if g := s.groups[m.Conv]; g != nil && !slices.Contains(g.Members, user) {
		return nil, nil, fmt.Errorf("%s is not in the group of message %q", user, ref)
	}
	var card object
	if raw := m.CardFor(user); raw == nil {
		return nil, nil, fmt.Errorf("message %q is no card", ref)
	} else if err := json.Unmarshal(raw, &card); err != nil {
		return nil, nil, err
	}
	return m, card, nil
}

// press is what a person does to a card.
type press struct {
	kind     string // "template_card_event" or "template_card_menu_event"; "open" and "ask" tell nobody of a press
	key      string
	cardType string
	open     string // an address, or a question
	conv     string // where the question is asked
	selected []selected
}

type selected struct {
	question string
	options  []string
}

// pressed finds what is pressed. It needs s.mu.
func (s *Server) pressed(user, ref, what string) (*Message, press, error) {
	m, card, err := s.seen(user, ref)
	if err != nil {
		return nil, press{}, err
	}
	p := press{kind: "template_card_event", cardType: text(card, "card_type")}
	if text(card, "replace_text") == "" {
		for _, b := range items(card, "button_list") {
			if text(b, "text") != what && text(b, "key") != what {
				continue
			}
			if n, _ := number(b, "type"); n == 1 {
				return m, press{kind: "open", open: text(b, "url")}, nil
			}
			p.key = text(b, "key")
		}
		if submit, ok := card["submit_button"].(object); ok && p.key == "" && (text(submit, "text") == what || text(submit, "key") == what) {
			p.key = text(submit, "key")
		}
	}
	if p.key != "" {
		for _, q := range questions(card) {
			picked := s.chosenOf(m, user, q)
			if len(picked) == 0 && p.cardType == "vote_interaction" {
				return nil, press{}, fmt.Errorf("message %s: nothing is chosen in %q", ref, text(q.object, "question_key"))
			}
			p.selected = append(p.selected, selected{text(q.object, "question_key"), picked})
		}
		return m, p, nil
	}
	for _, a := range items(card["action_menu"], "action_list") {
		if text(a, "text") == what || text(a, "key") == what {
			p.kind, p.key = "template_card_menu_event", text(a, "key")
			return m, p, nil
		}
	}
	for _, j := range items(card, "jump_list") {
		if text(j, "title") != what {
			continue
		}
		if n, _ := number(j, "type"); n == 3 {
			return m, press{kind: "ask", open: text(j, "question"), conv: m.Conv}, nil
		}
		return m, press{kind: "open", open: text(j, "url")}, nil
	}
	return nil, press{}, fmt.Errorf("message %s: nothing there is called %q; there is %q", ref, what, ButtonLabels(m.CardFor(user)))
}

// Press presses a button of a card, or an entry of its menu: what is its label
// or its key. What was chosen before goes with it. A button that leads to a page
// tells nobody: the answer's Kind is "open" and its Body the address.
func (s *Server) Press(user, ref, what string) Answer {
	e, p, err := s.pressEvent(user, ref, what)
	switch {
	case err != nil:
		return Answer{Kind: "template_card_event", Err: err}
	case p.kind == "open":
		return Answer{Kind: p.kind, Status: http.StatusOK, Body: []byte(p.open)}
	case p.kind == "ask":
		_, a := s.SayRobot(user, Said{Conv: p.conv, Text: p.open})
		return a
	}
	return s.deliver(e)
}

// PressRequest is what Press would send, but not sent: the callback, or where the
// robot is reached over its connection the frame, as the Body.
func (s *Server) PressRequest(user, ref, what string) (Request, error) {
	e, p, err := s.pressEvent(user, ref, what)
	switch {
	case err != nil:
		return Request{}, err
	case p.kind == "open" || p.kind == "ask":
		return Request{}, fmt.Errorf("pressing %q tells nobody", what)
	}
	s.mu.Lock()
	target := s.robotTarget
	s.mu.Unlock()
	if e.surface == OnRobot && target == "" {
		b, err := json.Marshal(e.frame())
		return Request{Body: b}, err
	}
	return s.Seal(e.surface, e.plain)
}

// pressEvent is what a press tells, if it tells anything.
func (s *Server) pressEvent(user, ref, what string) (event, press, error) {
	s.mu.Lock()
	m, p, err := s.pressed(user, ref, what)
	if err != nil || p.kind == "open" || p.kind == "ask" {
		s.mu.Unlock()
		return event{}, p, err
	}
	if !strings.HasPrefix(m.Conv, "app") {
		s.mu.Unlock()
		e, err := s.robotPress(user, m, p)
		return e, p, err
	}
	code := s.newCode(m.app, s.byID[m.ID])
	s.mu.Unlock()
	return s.appEvent(user, p.kind, m, pressFields(m, p, code)), p, nil
}

func pressFields(m *Message, p press, code string) []field {
	fields := []field{{"EventKey", p.key}, {"TaskId", m.Task}, {"CardType", p.cardType}, {"ResponseCode", code}}
	if p.kind == "template_card_event" && len(p.selected) > 0 {
		fields = append(fields, field{">SelectedItems", ""})
		for _, sel := range p.selected {
			fields = append(fields, field{">SelectedItem", ""}, field{"QuestionKey", sel.question}, field{">OptionIds", ""})
			for _, o := range sel.options {
				fields = append(fields, field{"OptionId", o})
			}
			fields = append(fields, field{"<OptionIds", ""}, field{"<SelectedItem", ""})
		}
		fields = append(fields, field{"<SelectedItems", ""})
	}
	return fields
}
