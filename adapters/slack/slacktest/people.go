package slacktest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// What people do. Each act changes the workspace first, as in Slack, and then
// tells the app about it; the answers are returned.

// author needs s.mu.
func (s *Server) author(id string) object {
	u := s.users[id]
	if u == nil {
		return object{"id": id, "username": id, "name": id, "team_id": s.opt.Team}
	}
	return object{"id": u.ID, "username": u.Name, "name": u.Name, "team_id": u.Team}
}

func channelType(c *Channel) string {
	switch {
	case c.IM:
		return "im"
	case c.Private:
		return "group"
	}
	return "channel"
}

// Say writes a message: as typed, with mentions as <@U…>. ref names it. In a
// channel the bot hears only what is said where it is a member; a mention is
// told twice, as in Slack.
func (s *Server) Say(user, channel, thread, text string, files ...string) (ref string, answers []Answer) {
	s.mu.Lock()
	c := s.channels[channel]
	if c == nil {
		s.mu.Unlock()
		return "", []Answer{{Kind: "message", Err: fmt.Errorf("no channel %q", channel)}}
	}
	m := &Message{User: user, Text: text, Files: files}
	if _, ts, ok := strings.Cut(thread, "/"); ok {
		thread = ts
	}
	m.Thread = thread
	s.put(c, m)
	ev := object{"type": "message", "user": user, "text": text, "ts": m.TS, "event_ts": m.TS, "channel": c.ID, "channel_type": channelType(c), "client_msg_id": "c-" + m.TS, "team": s.opt.Team}
	if u := s.users[user]; u != nil && u.Team != s.opt.Team {
		ev["user_team"], ev["source_team"] = u.Team, u.Team
	}
	if thread != "" {
		ev["thread_ts"] = thread
	}
	if len(files) > 0 {
		ev["subtype"] = "file_share"
		var list []object
		for _, id := range files {
			if f := s.files[id]; f != nil {
				list = append(list, s.fileJSON(f, false))
			}
		}
		ev["files"] = list
	}
	hears := c.Members[s.opt.BotUser]
	mention := strings.Contains(text, "<@"+s.opt.BotUser+">") && !c.IM
	s.mu.Unlock()
	if mention {
		at := object{}
		for k, v := range ev {
			if k != "channel_type" && k != "subtype" {
				at[k] = v
			}
		}
		at["type"] = "app_mention"
		answers = append(answers, s.event("app_mention", at))
	}
	if hears {
		answers = append(answers, s.event("message", ev))
	}
	return m.Ref(), answers
}

// Mention says something to the bot.
func (s *Server) Mention(user, channel, thread, text string) (ref string, answers []Answer) {
	return s.Say(user, channel, thread, "<@"+s.opt.BotUser+"> "+text)
}

// Edit changes a message.
func (s *Server) Edit(ref, text string) []Answer {
	s.mu.Lock()
	c, m := s.find(ref)
	if m == nil {
		s.mu.Unlock()
		return []Answer{{Kind: "message", Err: fmt.Errorf("no message %q", ref)}}
	}
	was := m.json(s.opt.Bot, s.opt.BotUser, false)
	m.Text, m.Edits = text, m.Edits+1
	m.Edited = s.stamp(c)
	is := m.json(s.opt.Bot, s.opt.BotUser, false)
	ev := object{"type": "message", "subtype": "message_changed", "hidden": true, "channel": c.ID, "channel_type": channelType(c), "ts": m.Edited, "event_ts": m.Edited, "message": is, "previous_message": was}
	s.mu.Unlock()
	return []Answer{s.event("message", ev)}
}

// Delete takes a message away.
func (s *Server) Delete(ref string) []Answer {
	s.mu.Lock()
	c, m := s.find(ref)
	if m == nil {
		s.mu.Unlock()
		return []Answer{{Kind: "message", Err: fmt.Errorf("no message %q", ref)}}
	}
	m.Deleted = true
	at := s.stamp(c)
	ev := object{"type": "message", "subtype": "message_deleted", "hidden": true, "channel": c.ID, "channel_type": channelType(c), "ts": at, "event_ts": at, "deleted_ts": m.TS, "previous_message": m.json(s.opt.Bot, s.opt.BotUser, false)}
	s.mu.Unlock()
	return []Answer{s.event("message", ev)}
}

// React puts an emoji on a message; Unreact takes it off.
func (s *Server) React(user, ref, emoji string) []Answer {
	return s.reaction("reaction_added", user, ref, emoji)
}

// Unreact takes an emoji off a message.
func (s *Server) Unreact(user, ref, emoji string) []Answer {
	return s.reaction("reaction_removed", user, ref, emoji)
}

func (s *Server) reaction(kind, user, ref, emoji string) []Answer {
	s.mu.Lock()
	c, m := s.find(ref)
	if m == nil {
		s.mu.Unlock()
		return []Answer{{Kind: kind, Err: fmt.Errorf("no message %q", ref)}}
	}
	of := m.User
	if of == "" {
		of = s.opt.BotUser
	}
	ev := object{"type": kind, "user": user, "reaction": emoji, "item": object{"type": "message", "channel": c.ID, "ts": m.TS}, "item_user": of, "event_ts": s.stamp(c)}
	s.mu.Unlock()
	return []Answer{s.event(kind, ev)}
}

// Join adds a user (or the bot) to a channel; Leave takes it out.
func (s *Server) Join(user, channel, inviter string) []Answer {
	return s.membership("member_joined_channel", user, channel, inviter)
}

// Leave takes a user (or the bot) out of a channel.
func (s *Server) Leave(user, channel string) []Answer {
	return s.membership("member_left_channel", user, channel, "")
}

func (s *Server) membership(kind, user, channel, inviter string) []Answer {
	s.mu.Lock()
	c := s.channels[channel]
	if c == nil {
		s.mu.Unlock()
		return []Answer{{Kind: kind, Err: fmt.Errorf("no channel %q", channel)}}
	}
	if kind == "member_joined_channel" {
		c.Members[user] = true
	} else {
		delete(c.Members, user)
	}
	ev := object{"type": kind, "user": user, "channel": channel, "channel_type": "C", "team": s.opt.Team, "event_ts": s.stamp(c)}
	if inviter != "" {
		ev["inviter"] = inviter
	}
	s.mu.Unlock()
	return []Answer{s.event(kind, ev)}
}

// OpenHome looks at the bot's page.
func (s *Server) OpenHome(user string) []Answer {
	s.mu.Lock()
	ev := object{"type": "app_home_opened", "user": user, "channel": s.dm(user), "tab": "home", "event_ts": s.stamp(s.channels[s.dm(user)])}
	if v := s.homes[user]; v != nil {
		ev["view"] = v.json()
	}
	s.mu.Unlock()
	return []Answer{s.event("app_home_opened", ev)}
}

// Event sends any event, for kinds that have no act of their own.
func (s *Server) Event(kind string, event map[string]any) []Answer {
	event["type"] = kind
	return []Answer{s.event(kind, event)}
}

// newTrigger needs s.mu.
func (s *Server) newTrigger(user string) string {
	s.counter++
	id := fmt.Sprintf("%d.%d.%08x", s.opt.Now().UnixMilli(), s.counter, s.counter*2654435761)
	s.triggers[id] = &trigger{user: user, until: s.opt.Now().Add(3 * time.Second)}
	return id
}

// newResponse needs s.mu.
func (s *Server) newResponse(channel, user, message string) string {
	id := s.id("R")
	s.responses[id] = &response{channel: channel, user: user, message: message, until: s.opt.Now().Add(30 * time.Minute)}
	return s.URL + "/response/" + id
}

// Slash types a slash command. What the app answers becomes a note or message.
func (s *Server) Slash(user, channel, command, text string) Answer {
	s.mu.Lock()
	c := s.channels[channel]
	if c == nil {
		s.mu.Unlock()
		return Answer{Kind: "slash", Err: fmt.Errorf("no channel %q", channel)}
	}
	form := url.Values{
		"token": {"verification"}, "team_id": {s.opt.Team}, "team_domain": {"emulated"}, "channel_id": {channel}, "channel_name": {c.Name},
		"user_id": {user}, "user_name": {s.author(user)["name"].(string)}, "command": {command}, "text": {text}, "api_app_id": {s.opt.App},
		"is_enterprise_install": {"false"}, "response_url": {s.newResponse(channel, user, "")}, "trigger_id": {s.newTrigger(user)},
	}
	socket := s.target == ""
	s.mu.Unlock()
	var a Answer
	if socket {
		flat := object{}
		for k := range form {
			flat[k] = form.Get(k)
		}
		body, err := json.Marshal(flat)
		if err != nil {
			return Answer{Kind: "slash", Err: err}
		}
		a = s.overSocket("slash", "slash_commands", body, 0, true)
	} else {
		a = s.Post("slash", Form, []byte(form.Encode()), nil)
	}
	a.Attempts = 1
	var reply struct {
		Type   string          `json:"response_type"`
		Text   string          `json:"text"`
		Blocks json.RawMessage `json:"blocks"`
	}
	if a.OK() && len(a.Body) > 0 && json.Unmarshal(a.Body, &reply) == nil && (reply.Text != "" || len(reply.Blocks) > 0) {
		s.mu.Lock()
		s.answer(c, user, reply.Type, reply.Text, reply.Blocks)
		s.mu.Unlock()
	}
	return a
}

// Shortcut calls a message shortcut.
func (s *Server) Shortcut(user, ref, callback string) Answer {
	s.mu.Lock()
	c, m := s.find(ref)
	if m == nil {
		s.mu.Unlock()
		return Answer{Kind: "message_action", Err: fmt.Errorf("no message %q", ref)}
	}
	p := s.payload("message_action", user)
	p["callback_id"], p["message_ts"], p["message"] = callback, m.TS, m.json(s.opt.Bot, s.opt.BotUser, false)
	p["channel"] = object{"id": c.ID, "name": c.Name}
	p["response_url"] = s.newResponse(c.ID, user, m.TS)
	p["action_ts"] = s.stamp(c)
	s.mu.Unlock()
	return s.interact(p)
}

// GlobalShortcut calls a shortcut from anywhere.
func (s *Server) GlobalShortcut(user, callback string) Answer {
	s.mu.Lock()
	p := s.payload("shortcut", user)
	p["callback_id"], p["action_ts"] = callback, fmt.Sprintf("%d.000000", s.opt.Now().Unix())
	s.mu.Unlock()
	return s.interact(p)
}

// payload is what all interactions share. It needs s.mu.
func (s *Server) payload(kind, user string) object {
	return object{
		"type": kind, "token": "verification", "api_app_id": s.opt.App, "user": s.author(user), "team": object{"id": s.opt.Team, "domain": "emulated"},
		"enterprise": nil, "is_enterprise_install": false, "trigger_id": s.newTrigger(user),
	}
}

// Click presses a button, or chooses from the menu "more", in a message: what
// is its label or its action_id. A card that does not have it is an error.
func (s *Server) Click(user, ref, what string) Answer { return s.press(user, ref, what, "") }

// Select chooses from a menu of a message: menu is its label or action_id,
// option is the label or value.
func (s *Server) Select(user, ref, menu, option string) Answer {
	return s.press(user, ref, menu, option)
}

func (s *Server) press(user, ref, what, option string) Answer {
	s.mu.Lock()
	p, err := s.pressPayload(user, ref, what, option)
	s.mu.Unlock()
	if err != nil {
		return Answer{Kind: "block_actions", Err: err}
	}
	return s.interact(p)
}

// pressPayload needs s.mu.
func (s *Server) pressPayload(user, ref, what, option string) (object, error) {
	c, m := s.find(ref)
	var blocks json.RawMessage
	var note *Message
	switch {
	case m != nil:
		blocks = m.Blocks
	default:
		for i := range s.notes {
			if n := &s.notes[i]; n.Ref() == ref && n.To == user {
				note, blocks, c = n, n.Blocks, s.channels[n.Channel]
			}
		}
		if note == nil {
			return nil, fmt.Errorf("no message %q", ref)
		}
	}
	act, err := choose(blocks, what, option)
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", ref, err)
	}
	act["action_ts"] = s.stamp(c)
	p := s.payload("block_actions", user)
	container := object{"type": "message", "channel_id": c.ID, "is_ephemeral": note != nil, "message_ts": ref[strings.IndexByte(ref, '/')+1:]}
	if m != nil {
		p["message"] = m.json(s.opt.Bot, s.opt.BotUser, false)
		if m.Thread != "" {
			container["thread_ts"] = m.Thread
		}
	}
	p["container"], p["channel"] = container, object{"id": c.ID, "name": c.Name}
	p["state"], p["actions"] = object{"values": object{}}, []object{act}
	p["response_url"] = s.newResponse(c.ID, user, ref)
	return p, nil
}

// ClickView presses a button of an open form or of the user's page.
func (s *Server) ClickView(user, view, what string) Answer {
	s.mu.Lock()
	v := s.views[view]
	if v == nil || v.User != user {
		s.mu.Unlock()
		return Answer{Kind: "block_actions", Err: fmt.Errorf("no view %q", view)}
	}
	blocks, err := json.Marshal(v.Body["blocks"])
	if err == nil {
		var act object
		if act, err = choose(blocks, what, ""); err == nil {
			p := s.viewPayload(user, v, nil)
			act["action_ts"] = fmt.Sprintf("%d.%06d", s.opt.Now().Unix(), s.counter)
			p["actions"] = []object{act}
			s.mu.Unlock()
			return s.interact(p)
		}
	}
	s.mu.Unlock()
	return Answer{Kind: "block_actions", Err: err}
}

// viewPayload needs s.mu.
func (s *Server) viewPayload(user string, v *View, values object) object {
	p := s.payload("block_actions", user)
	view := v.json()
	state := object{"values": []any{}} // Slack's way to say "none"
	if len(values) > 0 {
		state["values"] = values
	}
	view["state"] = state
	p["container"], p["view"] = object{"type": "view", "view_id": v.ID}, view
	return p
}

func textOf(v any) string {
	o, _ := v.(map[string]any)
	s, _ := o["text"].(string)
	return s
}

// choose finds a button, a menu or an entry of a menu in blocks, and makes the
// action that Slack sends for it.
func choose(blocks []byte, what, option string) (object, error) {
	var list []map[string]any
	if err := json.Unmarshal(blocks, &list); err != nil {
		return nil, fmt.Errorf("no blocks")
	}
	var seen []string
	for i, b := range list {
		elements, _ := b["elements"].([]any)
		if b["accessory"] != nil {
			elements = append(elements, b["accessory"])
		}
		for _, x := range elements {
			e, _ := x.(map[string]any)
			kind, _ := e["type"].(string)
			act := object{"type": kind, "action_id": e["action_id"], "block_id": blockID(b, i)}
			options, _ := e["options"].([]any)
			named := e["action_id"] == what || textOf(e["text"]) == what || textOf(e["placeholder"]) == what
			switch {
			case kind == "button" && named:
				act["text"] = e["text"]
				if e["value"] != nil {
					act["value"] = e["value"]
				}
				return act, nil
			case kind == "users_select" && named:
				act["selected_user"] = option
				return act, nil
			}
			for _, y := range options {
				o, _ := y.(map[string]any)
				if label := textOf(o["text"]); option == "" && label == what || named && option != "" && (label == option || o["value"] == option) {
					act["selected_option"] = object{"text": o["text"], "value": o["value"]}
					return act, nil
				}
			}
			seen = append(seen, textOf(e["text"])+textOf(e["placeholder"]))
		}
	}
	return nil, fmt.Errorf("nothing there is called %q %q; there is %q", what, option, seen)
}

func blockID(b map[string]any, i int) string {
	if id, _ := b["block_id"].(string); id != "" {
		return id
	}
	return "blk" + strconv.Itoa(i)
}

// inputs goes through the input blocks of a view.
func inputs(v *View, yield func(id string, block, element map[string]any) error) error {
	list, _ := v.Body["blocks"].([]any)
	for i, x := range list {
		b, _ := x.(map[string]any)
		if b["type"] != "input" {
			continue
		}
		e, _ := b["element"].(map[string]any)
		if err := yield(blockID(b, i), b, e); err != nil {
			return err
		}
	}
	return nil
}

// state makes state.values of what is filled in; what is not in values keeps
// its initial value. A name with "T" in the value and a time picker beside it
// fills both.
func state(v *View, values map[string]string, strict bool) (object, error) {
	out := object{}
	err := inputs(v, func(id string, b, e map[string]any) error {
		kind, _ := e["type"].(string)
		text, given := values[id]
		if base, ok := strings.CutSuffix(id, "@time"); ok && kind == "timepicker" && !given {
			if _, clock, has := strings.Cut(values[base], "T"); has {
				text, given = clock, true
			}
		}
		if kind == "datepicker" {
			text, _, _ = strings.Cut(text, "T")
		}
		if !given {
			for _, key := range []string{"initial_value", "initial_date", "initial_time", "initial_user"} {
				if s, _ := e[key].(string); s != "" {
					text = s
				}
			}
			if o, _ := e["initial_option"].(map[string]any); o != nil {
				text, _ = o["value"].(string)
			}
			if list, _ := e["initial_options"].([]any); len(list) > 0 {
				text = "true"
			}
		}
		if optional, _ := b["optional"].(bool); strict && text == "" && !optional {
			return fmt.Errorf("input %q is required", id)
		}
		action, _ := e["action_id"].(string)
		val := object{"type": kind}
		set := func(key string) {
			val[key] = nil
			if text != "" {
				val[key] = text
			}
		}
		switch kind {
		case "static_select":
			val["selected_option"] = nil
			if text != "" {
				o, err := option(e, text)
				if err != nil {
					return fmt.Errorf("input %q: %w", id, err)
				}
				val["selected_option"] = o
			}
		case "users_select":
			set("selected_user")
		case "datepicker":
			set("selected_date")
		case "timepicker":
			set("selected_time")
		case "checkboxes":
			picked := []object{}
			if text != "" {
				o, err := option(e, text)
				if err != nil {
					return fmt.Errorf("input %q: %w", id, err)
				}
				picked = append(picked, o)
			}
			val["selected_options"] = picked
		default:
			if m, ok := e["max_length"].(float64); ok && units(text) > int(m) {
				return fmt.Errorf("input %q is longer than %v", id, m)
			}
			set("value")
		}
		out[id] = object{action: val}
		return nil
	})
	return out, err
}

func option(e map[string]any, value string) (object, error) {
	options, _ := e["options"].([]any)
	for _, y := range options {
		if o, _ := y.(map[string]any); o["value"] == value || textOf(o["text"]) == value {
			return object{"text": o["text"], "value": o["value"]}, nil
		}
	}
	return nil, fmt.Errorf("no option %q", value)
}

// Change makes a choice in an open form in an input that tells the app at once.
func (s *Server) Change(user, view, name, value string) Answer {
	s.mu.Lock()
	v := s.views[view]
	if v == nil || v.User != user {
		s.mu.Unlock()
		return Answer{Kind: "block_actions", Err: fmt.Errorf("no view %q", view)}
	}
	values, err := state(v, map[string]string{name: value}, false)
	var act object
	if err == nil {
		err = inputs(v, func(id string, b, e map[string]any) error {
			if id == name && b["dispatch_action"] == true {
				action, _ := e["action_id"].(string)
				act = object{"block_id": id, "action_id": action, "action_ts": fmt.Sprintf("%d.%06d", s.opt.Now().Unix(), s.counter)}
				for k, x := range values[id].(object)[action].(object) {
					act[k] = x
				}
			}
			return nil
		})
		if act == nil && err == nil {
			err = fmt.Errorf("input %q tells nobody", name)
		}
	}
	if err != nil {
		s.mu.Unlock()
		return Answer{Kind: "block_actions", Err: err}
	}
	p := s.viewPayload(user, v, values)
	p["actions"] = []object{act}
	s.mu.Unlock()
	return s.interact(p)
}

// Submit fills a form in and sends it. The form closes, changes, or keeps open
// with errors, as the app answers.
func (s *Server) Submit(user, view string, values map[string]string) Answer {
	s.mu.Lock()
	v := s.views[view]
	if v == nil || v.User != user || len(s.stacks[user]) == 0 || s.stacks[user][len(s.stacks[user])-1] != view {
		s.mu.Unlock()
		return Answer{Kind: "view_submission", Err: fmt.Errorf("view %q is not open in front", view)}
	}
	filled, err := state(v, values, true)
	if err != nil {
		s.mu.Unlock()
		return Answer{Kind: "view_submission", Err: err}
	}
	p := s.viewPayload(user, v, filled)
	p["type"], p["response_urls"] = "view_submission", []any{}
	delete(p, "container")
	s.mu.Unlock()
	a := s.interact(p)
	if !a.OK() {
		return a
	}
	var reply struct {
		Action string            `json:"response_action"`
		Errors map[string]string `json:"errors"`
		View   json.RawMessage   `json:"view"`
	}
	if len(a.Body) > 0 && string(a.Body) != "{}" {
		if err := json.Unmarshal(a.Body, &reply); err != nil {
			a.Err = fmt.Errorf("trouble connecting: %w", err)
			return a
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.Err = s.follow(user, v, reply.Action, reply.Errors, reply.View)
	return a
}

// follow does what the answer to a form says. It needs s.mu.
func (s *Server) follow(user string, v *View, action string, errs map[string]string, raw json.RawMessage) error {
	open := func() (map[string]any, error) {
		if says := CheckView(raw); len(says) > 0 {
			return nil, fmt.Errorf("trouble connecting: %q", says)
		}
		var body map[string]any
		err := json.Unmarshal(raw, &body)
		return body, err
	}
	switch action {
	case "":
		s.stacks[user] = s.stacks[user][:len(s.stacks[user])-1]
	case "clear":
		s.stacks[user] = nil
	case "errors":
		known := map[string]bool{}
		if err := inputs(v, func(id string, _, _ map[string]any) error { known[id] = true; return nil }); err != nil {
			return err
		}
		for id := range errs {
			if !known[id] {
				return fmt.Errorf("trouble connecting: %q is no input", id)
			}
		}
		if len(errs) == 0 {
			return fmt.Errorf("trouble connecting: no errors")
		}
		v.Errors = errs
	case "update":
		body, err := open()
		if err != nil {
			return err
		}
		s.fill(v, body)
	case "push":
		body, err := open()
		if err != nil {
			return err
		}
		if len(s.stacks[user]) >= 3 {
			return fmt.Errorf("trouble connecting: push_limit_reached")
		}
		s.show(user, body)
	default:
		return fmt.Errorf("trouble connecting: response_action %q", action)
	}
	return nil
}

// Clicks makes the bodies of many clicks on one button cheaply, for load.
type Clicks struct{ secret, form string }

// Clicks prepares clicks on a button of a message that is shown.
func (s *Server) Clicks(ref, what string) (*Clicks, error) {
	s.mu.Lock()
	p, err := s.pressPayload("USER", ref, what, "")
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	act := p["actions"].([]object)[0]
	act["value"], act["action_ts"], p["trigger_id"] = "TOKEN", "STAMP", "STAMP"
	p["user"] = object{"id": "USER", "username": "USER", "name": "USER", "team_id": s.opt.Team}
	b, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return &Clicks{secret: s.opt.SigningSecret, form: "payload=" + url.QueryEscape(string(b))}, nil
}

// Body is the form of one click: by a user, with a token, at a moment that no
// other click of this user has ("1700000000.000100").
func (c *Clicks) Body(user, token, stamp string) []byte {
	return []byte(strings.NewReplacer("USER", user, "TOKEN", url.QueryEscape(token), "STAMP", stamp).Replace(c.form))
}

// Sign returns the headers for a body.
func (c *Clicks) Sign(at time.Time, body []byte) http.Header {
	return Sign(c.secret, at, Form, body)
}
