package feishutest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// What people do. Each act changes the company first, as in Feishu, and then
// tells the app about it; the answers are returned.

// ids are the ids of a person as events tell them; user_id needs a permission of
// its own. It needs s.mu.
func (s *Server) ids(user string) object {
	o := object{"open_id": user, "union_id": "", "user_id": nil}
	if u := s.users[user]; u != nil {
		o["union_id"] = u.UnionID
		if s.scope("contact:user.employee_id:readonly") {
			o["user_id"] = u.UserID
		}
	}
	return o
}

func (s *Server) nameOf(user string) string {
	if user == s.opt.Bot {
		return s.opt.BotName
	}
	if u := s.users[user]; u != nil {
		return u.Name
	}
	return user
}

var typedAt = regexp.MustCompile(`<at user_id="([^"]+)">[^<]*</at>`)

// At is a mention as a person types it in the text of Say; "all" is everybody.
func At(user string) string { return `<at user_id="` + user + `"></at>` }

// keyed puts keys in the places of mentions. It needs s.mu.
func (s *Server) keyed(text string) (string, []Mention) {
	var all []Mention
	text = typedAt.ReplaceAllStringFunc(text, func(tag string) string {
		id := typedAt.FindStringSubmatch(tag)[1]
		if id == "all" {
			return "@_all"
		}
		for _, m := range all {
			if m.ID == id {
				return m.Key
			}
		}
		m := Mention{Key: fmt.Sprintf("@_user_%d", len(all)+1), ID: id, Name: s.nameOf(id)}
		all = append(all, m)
		return m.Key
	})
	return text, all
}

// Say writes a message: as typed, with mentions as At makes them. reply is the
// message it answers, or "". id names it. In a group the bot hears what mentions
// it, and everything where the app has the permission im:message.group_msg.
// Pictures go with the text; every other file is a message of its own after it.
func (s *Server) Say(user, chat, reply, text string, files ...string) (id string, answers []Answer) {
	return s.say(user, chat, reply, false, text, files)
}

// SayInTopic answers a message in its topic, which is opened when it has none.
func (s *Server) SayInTopic(user, reply, text string, files ...string) (id string, answers []Answer) {
	s.mu.Lock()
	chat := ""
	if m := s.messages[reply]; m != nil {
		chat = m.Chat
	}
	s.mu.Unlock()
	return s.say(user, chat, reply, true, text, files)
}

func (s *Server) say(user, chat, reply string, topic bool, text string, files []string) (id string, answers []Answer) {
	s.mu.Lock()
	c, to := s.chats[chat], s.messages[reply]
	if c == nil || reply != "" && (to == nil || to.Recalled || to.Chat != chat) {
		s.mu.Unlock()
		return "", []Answer{{Kind: messageEvent, Err: fmt.Errorf("no chat %q or no message %q there", chat, reply)}}
	}
	var events []object
	write := func(kind string, content any, mentions []Mention, keys ...string) string {
		b, err := json.Marshal(content)
		if err != nil {
			panic(err) // content is made of strings
		}
		m := &Message{Sender: user, Type: kind, Content: string(b), Mentions: mentions}
		s.put(c, m, to, topic || c.Topic && to != nil)
		for _, k := range keys {
			if f := s.files[k]; f != nil {
				f.Message, f.Chat = m.ID, c.ID
			}
		}
		if s.hears(c, m) {
			events = append(events, s.messageEvent(c, m))
		}
		if id == "" {
			id = m.ID
		}
		return m.ID
	}
	var pictures, others []string
	for _, k := range files {
		if f := s.files[k]; f != nil && f.Type == "image" {
			pictures = append(pictures, k)
		} else {
			others = append(others, k)
		}
	}
	plain, mentions := s.keyed(text)
	switch {
	case text == "" && len(pictures) == 1:
		write("image", object{"image_key": pictures[0]}, nil, pictures...)
	case len(pictures) > 0:
		write("post", postOf(plain, mentions, pictures), mentions, pictures...)
	case text != "":
		write("text", object{"text": plain}, mentions)
	}
	for _, k := range others {
		name := ""
		if f := s.files[k]; f != nil {
			name = f.Name
		}
		write("file", object{"file_key": k, "file_name": name}, nil, k)
	}
	s.mu.Unlock()
	for _, e := range events {
		answers = append(answers, s.event(messageEvent, e))
	}
	return id, answers
}

// SayPost writes a message of rich text: content is {"title":…,"content":[[…]]}
// as an event tells it, with mentions in its elements' user_id as keys.
func (s *Server) SayPost(user, chat, reply, content string, mentions ...Mention) (id string, answers []Answer) {
	s.mu.Lock()
	c, to := s.chats[chat], s.messages[reply]
	if c == nil || reply != "" && to == nil {
		s.mu.Unlock()
		return "", []Answer{{Kind: messageEvent, Err: fmt.Errorf("no chat %q or no message %q", chat, reply)}}
	}
	m := &Message{Sender: user, Type: "post", Content: content, Mentions: mentions}
	s.put(c, m, to, c.Topic && to != nil)
	ev, hears := s.messageEvent(c, m), s.hears(c, m)
	s.mu.Unlock()
	if hears {
		answers = append(answers, s.event(messageEvent, ev))
	}
	return m.ID, answers
}

// postOf is rich text with pictures below.
func postOf(text string, mentions []Mention, pictures []string) object {
	var lines [][]object
	for line := range strings.SplitSeq(text, "\n") {
		var parts []object
		for line != "" {
			at, m := len(line), Mention{}
			for _, x := range mentions {
				if i := strings.Index(line, x.Key); i >= 0 && i < at {
					at, m = i, x
				}
			}
			if at > 0 {
				parts = append(parts, object{"tag": "text", "text": line[:at], "style": []string{}})
			}
			if m.Key == "" {
				break
			}
			parts = append(parts, object{"tag": "at", "user_id": m.Key, "user_name": m.Name, "style": []string{}})
			line = line[at+len(m.Key):]
		}
		if parts != nil {
			lines = append(lines, parts)
		}
	}
	for _, k := range pictures {
		lines = append(lines, []object{{"tag": "img", "image_key": k, "width": 300, "height": 300}})
	}
	return object{"title": "", "content": lines}
}

// hears needs s.mu.
func (s *Server) hears(c *Chat, m *Message) bool {
	named := slices.ContainsFunc(m.Mentions, func(x Mention) bool { return x.ID == s.opt.Bot })
	switch {
	case !c.Members[s.opt.Bot] || c.Dissolved:
		return false
	case c.P2P:
		return s.scope("im:message.p2p_msg:readonly")
	}
	return s.scope("im:message.group_msg") || named && s.scope("im:message.group_at_msg:readonly")
}

// messageEvent needs s.mu.
func (s *Server) messageEvent(c *Chat, m *Message) object {
	kind := "group"
	if c.P2P {
		kind = "p2p"
	}
	o := object{
		"message_id": m.ID, "create_time": ms(m.Created), "update_time": ms(m.Edited), "chat_id": c.ID, "chat_type": kind,
		"message_type": m.Type, "content": m.Content,
	}
	for key, value := range map[string]string{"root_id": m.Root, "parent_id": m.Parent, "thread_id": m.Thread} {
		if value != "" {
			o[key] = value
		}
	}
	var all []object
	for _, x := range m.Mentions {
		who, id := "user", s.ids(x.ID)
		if x.ID == s.opt.Bot {
			who = "bot"
		}
		all = append(all, object{"key": x.Key, "id": id, "mentioned_type": who, "name": x.Name, "tenant_key": s.tenant(x.ID)})
	}
	if all != nil {
		o["mentions"] = all
	}
	return object{"sender": object{"sender_id": s.ids(m.Sender), "sender_type": "user", "tenant_key": s.tenant(m.Sender)}, "message": o}
}

// Mention says something to the bot.
func (s *Server) Mention(user, chat, reply, text string) (id string, answers []Answer) {
	return s.Say(user, chat, reply, At(s.opt.Bot)+" "+text)
}

// Edit changes a message; Feishu tells nobody.
func (s *Server) Edit(id, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messages[id]
	if m == nil || m.Recalled || m.Type != "text" {
		return fmt.Errorf("no message of text %q", id)
	}
	plain, mentions := s.keyed(text)
	b, err := json.Marshal(object{"text": plain})
	if err != nil {
		return err
	}
	m.Content, m.Mentions, m.Edited = string(b), mentions, s.opt.Now()
	m.Edits++
	return nil
}

// Recall takes a person's message away.
func (s *Server) Recall(id string) []Answer {
	const kind = "im.message.recalled_v1"
	s.mu.Lock()
	m := s.messages[id]
	if m == nil || m.Recalled {
		s.mu.Unlock()
		return []Answer{{Kind: kind, Err: fmt.Errorf("no message %q", id)}}
	}
	m.Recalled = true
	hears := s.chats[m.Chat].Members[s.opt.Bot]
	ev := object{"message_id": m.ID, "chat_id": m.Chat, "recall_time": ms(s.opt.Now()), "recall_type": "message_owner"}
	s.mu.Unlock()
	if !hears {
		return nil
	}
	return []Answer{s.event(kind, ev)}
}

// React puts an emoji (one of Emojis) on a message; Unreact takes it off.
func (s *Server) React(user, id, emoji string) []Answer {
	return s.reaction("im.message.reaction.created_v1", user, id, emoji)
}

// Unreact takes an emoji off a message.
func (s *Server) Unreact(user, id, emoji string) []Answer {
	return s.reaction("im.message.reaction.deleted_v1", user, id, emoji)
}

func (s *Server) reaction(kind, user, id, emoji string) []Answer {
	s.mu.Lock()
	m := s.messages[id]
	fail := func(err error) []Answer {
		s.mu.Unlock()
		return []Answer{{Kind: kind, Err: err}}
	}
	if m == nil || m.Recalled {
		return fail(fmt.Errorf("no message %q", id))
	}
	if !slices.Contains(Emojis, emoji) {
		return fail(fmt.Errorf("no emoji %q", emoji))
	}
	i := slices.IndexFunc(m.Reactions, func(r Reaction) bool { return r.User == user && r.Emoji == emoji })
	switch adds := kind == "im.message.reaction.created_v1"; {
	case adds && i < 0:
		m.Reactions = append(m.Reactions, Reaction{ID: s.id("ZCaCIjUBVVWSrm5L-"), Emoji: emoji, User: user})
	case !adds && i >= 0:
		m.Reactions = slices.Delete(m.Reactions, i, i+1)
	default:
		return fail(fmt.Errorf("nothing changes: %s on %s", emoji, id))
	}
	hears := s.chats[m.Chat].Members[s.opt.Bot]
	ev := object{"message_id": m.ID, "reaction_type": object{"emoji_type": emoji}, "operator_type": "user", "user_id": s.ids(user), "action_time": ms(s.opt.Now())}
	s.mu.Unlock()
	if !hears {
		return nil
	}
	return []Answer{s.event(kind, ev)}
}

// Join adds a person to a group; Leave takes one out.
func (s *Server) Join(user, chat, inviter string) []Answer {
	return s.membership("im.chat.member.user.added_v1", user, chat, inviter)
}

// Leave takes a person out of a group.
func (s *Server) Leave(user, chat string) []Answer {
	return s.membership("im.chat.member.user.deleted_v1", user, chat, user)
}

// AddBot adds the bot to a group; RemoveBot takes it out.
func (s *Server) AddBot(chat, inviter string) []Answer {
	return s.membership("im.chat.member.bot.added_v1", s.opt.Bot, chat, inviter)
}

// RemoveBot takes the bot out of a group.
func (s *Server) RemoveBot(chat, by string) []Answer {
	return s.membership("im.chat.member.bot.deleted_v1", s.opt.Bot, chat, by)
}

func (s *Server) membership(kind, member, chat, by string) []Answer {
	s.mu.Lock()
	c := s.chats[chat]
	if c == nil {
		s.mu.Unlock()
		return []Answer{{Kind: kind, Err: fmt.Errorf("no chat %q", chat)}}
	}
	hears := c.Members[s.opt.Bot] || member == s.opt.Bot
	if strings.HasSuffix(kind, ".added_v1") {
		c.Members[member] = true
	} else {
		delete(c.Members, member)
	}
	ev := s.chatEvent(c, by)
	if member != s.opt.Bot {
		ev["users"] = []object{{"name": s.nameOf(member), "tenant_key": s.tenant(member), "user_id": s.ids(member)}}
	}
	s.mu.Unlock()
	if !hears {
		return nil
	}
	return []Answer{s.event(kind, ev)}
}

// chatEvent is what all events about a group share. It needs s.mu.
func (s *Server) chatEvent(c *Chat, by string) object {
	return object{
		"chat_id": c.ID, "operator_id": s.ids(by), "external": c.External, "operator_tenant_key": s.tenant(by), "name": c.Name,
		"i18n_names": object{"zh_cn": c.Name, "en_us": "", "ja_jp": ""},
	}
}

// Dissolve ends a group.
func (s *Server) Dissolve(chat, by string) []Answer {
	const kind = "im.chat.disbanded_v1"
	s.mu.Lock()
	c := s.chats[chat]
	if c == nil {
		s.mu.Unlock()
		return []Answer{{Kind: kind, Err: fmt.Errorf("no chat %q", chat)}}
	}
	c.Dissolved = true
	ev, hears := s.chatEvent(c, by), c.Members[s.opt.Bot]
	s.mu.Unlock()
	if !hears {
		return nil
	}
	return []Answer{s.event(kind, ev)}
}

// Enter opens the private chat with the bot.
func (s *Server) Enter(user string) []Answer {
	s.mu.Lock()
	c := s.chats[s.dm(user)]
	ev := object{"chat_id": c.ID, "operator_id": s.ids(user)}
	if n := len(c.messages); n > 0 {
		ev["last_message_id"], ev["last_message_create_time"] = c.messages[n-1].ID, ms(c.messages[n-1].Created)
	}
	s.mu.Unlock()
	return []Answer{s.event("im.chat.access_event.bot_p2p_chat_entered_v1", ev)}
}

// Menu chooses an entry of the bot's menu in the private chat.
func (s *Server) Menu(user, key string) []Answer {
	s.mu.Lock()
	ev := object{"operator": object{"operator_name": s.nameOf(user), "operator_id": s.ids(user)}, "event_key": key, "timestamp": s.opt.Now().UnixMilli()}
	s.mu.Unlock()
	return []Answer{s.event("application.bot.menu_v6", ev)}
}

// Event sends any event, for kinds that have no act of their own.
func (s *Server) Event(kind string, event map[string]any) []Answer {
	return []Answer{s.event(kind, event)}
}

// widget is something in a card that can be pressed or filled in.
type widget struct {
	o    object
	tag  string
	form object // around it
}

// widgets are all of a card, in the order they are shown.
func widgets(card []byte) []widget {
	var root struct {
		Body struct {
			Elements []any `json:"elements"`
		} `json:"body"`
	}
	if json.Unmarshal(card, &root) != nil {
		return nil
	}
	var out []widget
	var walk func(v any, form object)
	walk = func(v any, form object) {
		switch x := v.(type) {
		case []any:
			for _, y := range x {
				walk(y, form)
			}
		case object:
			tag, _ := x["tag"].(string)
			if kinds[tag].asks {
				out = append(out, widget{x, tag, form})
			}
			if tag == "form" {
				form = x
			}
			for _, key := range []string{"extra", "columns", "elements"} {
				walk(x[key], form)
			}
		}
	}
	walk(root.Body.Elements, nil)
	return out
}

func contentOf(v any) string {
	o, _ := v.(object)
	s, _ := o["content"].(string)
	return s
}

// callback is what a press sends as action.value; ok is false when it opens a
// page instead.
func (w widget) callback() (value any, ok bool) {
	list, _ := w.o["behaviors"].([]any)
	link := false
	for _, x := range list {
		b, _ := x.(object)
		switch b["type"] {
		case "callback":
			return b["value"], true
		case "open_url":
			link = true
		}
	}
	if link {
		return nil, false
	}
	if v := w.o["value"]; v != nil {
		return v, true
	}
	return object{}, true
}

func (w widget) called(what string) bool {
	return contentOf(w.o["text"]) == what || contentOf(w.o["placeholder"]) == what || contentOf(w.o["label"]) == what || w.o["name"] == what || w.o["element_id"] == what
}

// seen is the card as this user sees it. It needs s.mu.
func (s *Server) seen(user, id string) (*Message, []byte, error) {
	m := s.messages[id]
	switch {
	case m == nil || m.Recalled || m.Type != "interactive" || m.Note && m.To != user:
		return nil, nil, fmt.Errorf("no card %q for %s", id, user)
	case !s.chats[m.Chat].Members[user]:
		return nil, nil, fmt.Errorf("%s is not in the chat of %q", user, id)
	case s.opt.Now().Sub(m.Created) > window14:
		return nil, nil, fmt.Errorf("card %q is more than 14 days old: nothing can be pressed", id)
	}
	if own := m.only[user]; own != "" {
		return m, []byte(own), nil
	}
	return m, []byte(m.Content), nil
}

// action is a press of something in a card. It needs s.mu.
func (s *Server) action(user string, m *Message, act object) (token string, event object) {
	token = s.id("c-")
	s.cardTokens[token] = &cardToken{message: m.ID, user: user, until: s.opt.Now().Add(30 * time.Minute)}
	o := s.ids(user)
	o["tenant_key"] = s.tenant(user)
	return token, object{
		"operator": o, "token": token, "action": act, "host": "im_message",
		"context": object{"open_message_id": m.ID, "open_chat_id": m.Chat},
	}
}

// Press presses a button of a card, or chooses an entry of its menu "…": what
// is the label, the name or the element_id. The answer is applied as a client
// would: a toast comes up, the card is replaced. A card that does not have it is
// an error, and so is a button that submits a form (see Submit).
func (s *Server) Press(user, id, what string) Answer { return s.choose(user, id, what, "") }

// Select chooses from a menu of a card: menu is its placeholder or name, option
// the label or value; of a menu of people, the open_id.
func (s *Server) Select(user, id, menu, option string) Answer {
	return s.choose(user, id, menu, option)
}

func (s *Server) choose(user, id, what, option string) Answer {
	s.mu.Lock()
	token, ev, err := s.pressEvent(user, id, what, option)
	s.mu.Unlock()
	if err != nil {
		return Answer{Kind: cardAction, Err: err}
	}
	return s.press(user, token, ev)
}

// pressEvent needs s.mu.
func (s *Server) pressEvent(user, id, what, option string) (token string, event object, err error) {
	m, card, err := s.seen(user, id)
	if err != nil {
		return "", nil, err
	}
	var there []string
	for _, w := range widgets(card) {
		act, err := w.press(what, option)
		if err != nil {
			return "", nil, fmt.Errorf("card %s: %w", id, err)
		}
		if act != nil {
			token, event = s.action(user, m, act)
			return token, event, nil
		}
		there = append(there, contentOf(w.o["text"])+contentOf(w.o["placeholder"]))
	}
	return "", nil, fmt.Errorf("card %s: nothing there is called %q %q; there is %q", id, what, option, there)
}

// press makes the action of a press; nil when something else is meant.
func (w widget) press(what, option string) (object, error) {
	act := object{"tag": w.tag}
	if name, ok := w.o["name"].(string); ok {
		act["name"] = name
	}
	picked, found := "", false
	options, _ := w.o["options"].([]any)
	for _, x := range options {
		o, _ := x.(object)
		v, _ := o["value"].(string)
		if label := contentOf(o["text"]); option == "" && label == what || option != "" && w.called(what) && (label == option || v == option) {
			picked, found = v, true
		}
	}
	switch w.tag {
	case "button", "interactive_container":
		if option != "" || !w.called(what) {
			return nil, nil
		}
		if w.form != nil {
			return nil, fmt.Errorf("%q is a button of a form", what)
		}
	case "select_static", "overflow":
		if !found {
			return nil, nil
		}
		act["option"] = picked
	case "multi_select_static":
		if !found {
			return nil, nil
		}
		act["options"] = []string{picked}
	case "select_person", "date_picker", "picker_time", "picker_datetime":
		if option == "" || !w.called(what) {
			return nil, nil
		}
		act["option"] = option
		if w.tag != "select_person" {
			act["timezone"] = "Asia/Shanghai"
		}
	case "checker":
		if !w.called(what) {
			return nil, nil
		}
		act["checked"] = w.o["checked"] != true
	default:
		return nil, nil
	}
	switch {
	case w.o["disabled"] == true:
		return nil, fmt.Errorf("%q is disabled", what)
	case w.form != nil:
		return nil, fmt.Errorf("%q belongs to a form and tells nobody", what)
	}
	value, ok := w.callback()
	if !ok {
		return nil, fmt.Errorf("%q opens a page", what)
	}
	act["value"] = value
	return act, nil
}

// Submit fills the form of a card in and presses its button: its label, or ""
// for the first. What is not in values keeps what it shows; several choices are
// separated by commas, moments are like 2006-01-02T15:04.
func (s *Server) Submit(user, id, button string, values map[string]string) Answer {
	s.mu.Lock()
	token, ev, err := s.submitEvent(user, id, button, values)
	s.mu.Unlock()
	if err != nil {
		return Answer{Kind: cardAction, Err: err}
	}
	return s.press(user, token, ev)
}

// submitEvent needs s.mu.
func (s *Server) submitEvent(user, id, button string, values map[string]string) (token string, event object, err error) {
	m, card, err := s.seen(user, id)
	if err != nil {
		return "", nil, err
	}
	all := widgets(card)
	i := slices.IndexFunc(all, func(w widget) bool {
		return w.form != nil && w.tag == "button" && w.o["form_action_type"] == "submit" && (button == "" || w.called(button))
	})
	if i < 0 {
		return "", nil, fmt.Errorf("card %s has no form with a button %q", id, button)
	}
	sub := all[i]
	filled, known := object{}, map[string]bool{}
	for _, w := range all {
		name, _ := w.o["name"].(string)
		if w.form["name"] != sub.form["name"] || w.tag == "button" || name == "" {
			continue
		}
		known[name] = true
		text, given := values[name]
		v, err := w.fill(text, given)
		if err != nil {
			return "", nil, fmt.Errorf("card %s: input %q: %w", id, name, err)
		}
		if v != nil {
			filled[name] = v
		}
	}
	for name := range values {
		if !known[name] {
			return "", nil, fmt.Errorf("card %s: the form has no input %q", id, name)
		}
	}
	value, _ := sub.callback()
	token, event = s.action(user, m, object{"tag": "button", "name": sub.o["name"], "value": value, "form_value": filled, "timezone": "Asia/Shanghai"})
	return token, event, nil
}

// fill is the value of an input in form_value; nil = it is not sent.
func (w widget) fill(text string, given bool) (any, error) {
	if !given {
		for _, key := range []string{"default_value", "initial_option", "initial_date", "initial_time", "initial_datetime"} {
			if s, _ := w.o[key].(string); s != "" {
				text = s
			}
		}
		for _, key := range []string{"selected_values", "initial_options"} {
			list, _ := w.o[key].([]any)
			for _, x := range list {
				text = strings.Trim(text+","+fmt.Sprint(x), ",")
			}
		}
		if w.o["checked"] == true {
			text = "true"
		}
	}
	if text == "" {
		switch {
		case w.o["required"] == true:
			return nil, fmt.Errorf("it is required")
		case w.tag == "input":
			return "", nil
		case w.tag == "checker":
			return false, nil
		}
		return nil, nil
	}
	pick := func(text string) (string, error) {
		options, _ := w.o["options"].([]any)
		for _, x := range options {
			o, _ := x.(object)
			if v, _ := o["value"].(string); v == text || contentOf(o["text"]) == text {
				return v, nil
			}
		}
		return "", fmt.Errorf("no option %q", text)
	}
	moment := func(layouts ...string) (string, error) {
		for _, l := range layouts {
			if t, err := time.Parse(l, text); err == nil {
				return t.Format(layouts[0]) + " +0800", nil
			}
		}
		return "", fmt.Errorf("%q is no moment", text)
	}
	switch w.tag {
	case "input":
		most := 1000
		if n, ok := w.o["max_length"].(float64); ok {
			most = int(n)
		}
		if n := len([]rune(text)); n > most {
			return nil, fmt.Errorf("%d characters, %d are possible", n, most)
		}
		if w.o["input_type"] != "multiline_text" && strings.Contains(text, "\n") {
			return nil, fmt.Errorf("it takes one line")
		}
		return text, nil
	case "select_static":
		return pick(text)
	case "multi_select_static":
		out := []string{}
		for part := range strings.SplitSeq(text, ",") {
			v, err := pick(part)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case "select_person":
		return text, nil
	case "multi_select_person":
		return strings.Split(text, ","), nil
	case "date_picker":
		return moment(time.DateOnly)
	case "picker_time":
		return moment("15:04")
	case "picker_datetime":
		return moment("2006-01-02 15:04", "2006-01-02T15:04")
	case "checker":
		return text == "true", nil
	}
	return nil, fmt.Errorf("nothing can be filled into a %s", w.tag)
}
