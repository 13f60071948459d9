package feishutest

import (
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strconv"
	"strings"
	"time"
)

func ms(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// json is a message as the API tells it. It needs s.mu.
func (s *Server) messageJSON(m *Message) object {
	o := object{
		"message_id": m.ID, "msg_type": m.Type, "create_time": ms(m.Created), "update_time": ms(m.Edited), "deleted": m.Recalled,
		"updated": m.Edits > 0, "chat_id": m.Chat, "body": object{"content": m.Content},
		"sender": object{"id": s.opt.AppID, "id_type": "app_id", "sender_type": "app", "tenant_key": s.opt.Tenant},
	}
	if m.Sender != "" {
		o["sender"] = object{"id": m.Sender, "id_type": "open_id", "sender_type": "user", "tenant_key": s.tenant(m.Sender)}
	}
	for key, value := range map[string]string{"root_id": m.Root, "parent_id": m.Parent, "thread_id": m.Thread} {
		if value != "" {
			o[key] = value
		}
	}
	switch {
	case m.Recalled:
		o["body"] = object{"content": "This message was recalled"}
	case m.Type == "interactive": // the card itself is not told, only that it cannot be shown
		o["body"] = object{"content": `{"title":null,"elements":[[{"tag":"text","text":"请升级至最新版本客户端，以查看内容"}]]}`}
	}
	var all []object
	for _, x := range m.Mentions {
		all = append(all, object{"key": x.Key, "id": x.ID, "id_type": "open_id", "name": x.Name, "tenant_key": s.opt.Tenant})
	}
	if all != nil {
		o["mentions"] = all
	}
	return o
}

// tenant needs s.mu.
func (s *Server) tenant(user string) string {
	if u := s.users[user]; u != nil {
		return u.Tenant
	}
	return s.opt.Tenant
}

// content checks what is sent. It needs s.mu.
func (c *call) content(kind, text string) error {
	if text == "" {
		return missing("content")
	}
	var o map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &o) != nil || o == nil {
		if kind == "interactive" {
			return no(230099, "Failed to create card content, ext=ErrCode: 200621; ErrMsg: parse card json err, please check whether the card json is correct; ErrorValue: not an object, path: [];")
		}
		return invalid("content is not a string in json format")
	}
	one := func(key string) string {
		var s string
		if json.Unmarshal(o[key], &s) != nil {
			return ""
		}
		return s
	}
	most := maxCard
	if kind == "text" {
		most = maxText
	}
	if len(c.body) > most {
		return errTooLong
	}
	switch kind {
	case "text":
		if one("text") == "" {
			return invalid("text is empty")
		}
	case "post":
		return c.post(o)
	case "image", "file":
		key := one(kind + "_key")
		if f := c.s.files[key]; f == nil || f.Type != kind {
			return invalid("invalid " + kind + "_key")
		}
	case "interactive":
		return c.card([]byte(text))
	default:
		return invalid("invalid msg_type")
	}
	return nil
}

// post checks rich text: one content a language, of paragraphs of elements.
func (c *call) post(o map[string]json.RawMessage) error {
	if len(o) == 0 {
		return invalid("content of post is empty")
	}
	for lang, raw := range o {
		if !slices.Contains([]string{"zh_cn", "en_us", "ja_jp", "zh_hk", "zh_tw"}, lang) {
			return invalid("invalid language of post: " + lang)
		}
		var p struct {
			Title   string     `json:"title"`
			Content [][]object `json:"content"`
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			return invalid("invalid content of post")
		}
		for _, line := range p.Content {
			for _, e := range line {
				tag, _ := e["tag"].(string)
				if !slices.Contains([]string{"text", "a", "at", "img", "media", "emotion", "code_block", "hr", "md"}, tag) {
					return invalid("invalid tag of post: " + tag)
				}
				if key, _ := e["image_key"].(string); tag == "img" && c.s.files[key] == nil {
					return invalid("invalid image_key")
				}
			}
		}
	}
	return nil
}

// card checks a card, and the people it names. It needs s.mu.
func (c *call) card(card []byte) error {
	if says := CheckCard(card); len(says) > 0 {
		if strings.HasPrefix(says[0], "ErrCode: 230025;") {
			return errTooLong
		}
		return no(230099, "Failed to create card content, ext=%s", says[0])
	}
	p := Pings("interactive", string(card))
	for _, u := range p.Users {
		if !c.s.known(u) {
			return no(230099, "Failed to create card content, ext=ErrCode: 100290; ErrMsg: there is an invalid user resource (at/person) in your card; ErrorValue: %s; ", u)
		}
	}
	return nil
}

// known reports whether somebody is named by any of his ids or his address. It
// needs s.mu.
func (s *Server) known(id string) bool {
	if id == s.opt.Bot || s.users[id] != nil {
		return true
	}
	for _, u := range s.users {
		if id == u.UserID || id == u.UnionID || id == u.Email {
			return true
		}
	}
	return false
}

// person finds somebody by an id of this kind. It needs s.mu.
func (s *Server) person(kind, id string) *User {
	if kind == "open_id" || kind == "" {
		return s.users[id]
	}
	for _, u := range s.users {
		switch {
		case id == "":
		case kind == "user_id" && u.UserID == id, kind == "union_id" && u.UnionID == id, kind == "email" && u.Email == id:
			return u
		}
	}
	return nil
}

// speak reports whether the bot may write in a chat. It needs s.mu.
func (s *Server) speak(c *Chat) error {
	switch {
	case c.Dissolved:
		return errDissolved
	case !c.Members[s.opt.Bot]:
		return errOutOfChat
	case c.Muted:
		return errMuted
	}
	if c.P2P {
		if u := s.users[c.User]; u == nil || u.Hidden || u.Resigned {
			return errNoVisible
		}
	}
	return nil
}

// pace is the limit of 5 a second and chat or user. It needs s.mu.
func (s *Server) pace(c *Chat) error {
	if s.limit("chat "+c.ID, 5, time.Second) > 0 {
		return errChatLimit
	}
	return nil
}

// sentBefore returns what a uuid has made within the last hour. It needs s.mu.
func (c *call) sentBefore(uuid string) (*Message, error) {
	if len(uuid) > 50 {
		return nil, invalid("invalid uuid, its length is more than 50")
	}
	o, ok := c.s.sent[uuid]
	if uuid == "" || !ok || !c.s.opt.Now().Before(o.until) {
		return nil, nil
	}
	return c.s.messages[o.message], nil
}

// send puts a message of the bot's into a chat. It needs s.mu.
func (c *call) send(method string, chat *Chat, kind, content, uuid string, reply *Message, inThread bool) object {
	m := &Message{Type: kind, Content: content}
	c.s.put(chat, m, reply, inThread)
	if uuid != "" {
		c.s.sent[uuid] = once{message: m.ID, until: m.Created.Add(time.Hour)}
	}
	if kind == "image" || kind == "file" {
		var keys map[string]string
		if err := json.Unmarshal([]byte(content), &keys); err == nil {
			if f := c.s.files[keys[kind+"_key"]]; f != nil {
				f.Message, f.Chat = m.ID, chat.ID
			}
		}
	}
	c.s.arrived(method, m)
	return c.s.messageJSON(m)
}

func (c *call) create() (object, error) {
	var in struct {
		To      string `json:"receive_id"`
		Type    string `json:"msg_type"`
		Content string `json:"content"`
		UUID    string `json:"uuid"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	kind := c.r.URL.Query().Get("receive_id_type")
	switch {
	case kind == "":
		return nil, missing("receive_id_type")
	case in.To == "":
		return nil, missing("receive_id")
	case in.Type == "":
		return nil, missing("msg_type")
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	var chat *Chat
	switch kind {
	case "chat_id":
		chat = s.chats[in.To]
	case "open_id", "user_id", "union_id", "email":
		if u := s.person(kind, in.To); u != nil {
			if u.Hidden || u.Resigned {
				return nil, errNoVisible
			}
			chat = s.chats[s.dm(u.ID)]
		}
	default:
		return nil, invalid("invalid receive_id_type")
	}
	if chat == nil {
		return nil, invalid("invalid receive_id")
	}
	if err := s.speak(chat); err != nil {
		return nil, err
	}
	if m, err := c.sentBefore(in.UUID); m != nil || err != nil {
		return s.again(m), err
	}
	if err := c.content(in.Type, in.Content); err != nil {
		return nil, err
	}
	if err := s.pace(chat); err != nil {
		return nil, err
	}
	return c.send("message.create", chat, in.Type, in.Content, in.UUID, nil, false), nil
}

// again is the answer to a repeated request. It needs s.mu.
func (s *Server) again(m *Message) object {
	if m == nil {
		return nil
	}
	return s.messageJSON(m)
}

// message finds the message of the path. It needs s.mu.
func (c *call) message() (*Message, *Chat, error) {
	m := c.s.messages[c.r.PathValue("id")]
	if m == nil {
		return nil, nil, invalid("invalid message_id")
	}
	chat := c.s.chats[m.Chat]
	switch {
	case m.Recalled:
		return nil, nil, errRecalled
	case chat.Dissolved:
		return nil, nil, errDissolved
	case !chat.Members[c.s.opt.Bot]:
		return nil, nil, errOutOfChat
	}
	return m, chat, nil
}

func (c *call) reply() (object, error) {
	var in struct {
		Type     string `json:"msg_type"`
		Content  string `json:"content"`
		InThread bool   `json:"reply_in_thread"`
		UUID     string `json:"uuid"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if in.Type == "" {
		return nil, missing("msg_type")
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	to, chat, err := c.message()
	if err != nil {
		return nil, err
	}
	if to.Note {
		return nil, invalid("invalid message_id")
	}
	if err := s.speak(chat); err != nil {
		return nil, err
	}
	if m, err := c.sentBefore(in.UUID); m != nil || err != nil {
		return s.again(m), err
	}
	if err := c.content(in.Type, in.Content); err != nil {
		return nil, err
	}
	if err := s.pace(chat); err != nil {
		return nil, err
	}
	return c.send("message.reply", chat, in.Type, in.Content, in.UUID, to, in.InThread), nil
}

// own finds one of the bot's messages that can still be changed. It needs s.mu.
func (c *call) own(foreign error) (*Message, error) {
	m, _, err := c.message()
	switch {
	case err != nil:
		return nil, err
	case m.Sender != "":
		return nil, foreign
	case m.Note:
		return nil, invalid("message of this kind can not be updated")
	case c.s.opt.Now().Sub(m.Created) > window14:
		return nil, errTooOld
	}
	return m, nil
}

// shared reports whether a card says that all see the same of it.
func shared(card string) bool {
	var x struct {
		Config struct {
			Multi bool `json:"update_multi"`
		} `json:"config"`
	}
	return json.Unmarshal([]byte(card), &x) == nil && x.Config.Multi
}

func (c *call) patch() (object, error) {
	var in struct {
		Content string `json:"content"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := c.own(errNotOwnCard)
	switch {
	case err != nil:
		return nil, err
	case m.Type != "interactive":
		return nil, invalid("This message is NOT a card")
	case s.limit("patch "+m.ID, 5, time.Second) > 0:
		return nil, errChatLimit
	}
	if err := c.content("interactive", in.Content); err != nil {
		return nil, err
	}
	if !shared(m.Content) || !shared(in.Content) {
		return nil, no(230099, "Failed to create card content, ext=ErrCode: 200621; ErrMsg: a card can be updated only when config.update_multi is true before and after; ErrorValue: update_multi, path: [config];")
	}
	s.show("message.patch", m, in.Content)
	return object{}, nil
}

// show changes what a message says. It needs s.mu.
func (s *Server) show(method string, m *Message, content string) {
	m.Content, m.only = content, nil
	m.Edits++
	m.Edited = s.opt.Now()
	s.arrived(method, m)
}

func (c *call) update() (object, error) {
	var in struct {
		Type    string `json:"msg_type"`
		Content string `json:"content"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := c.own(errNoRight)
	switch {
	case err != nil:
		return nil, err
	case in.Type != "text" && in.Type != "post", m.Type != "text" && m.Type != "post":
		return nil, invalid("only text and post can be edited")
	case m.Edits >= 20:
		return nil, no(230072, "The message has reached the number of times it can be edited.")
	}
	if err := c.content(in.Type, in.Content); err != nil {
		return nil, err
	}
	m.Type = in.Type
	s.show("message.update", m, in.Content)
	return s.messageJSON(m), nil
}

func (c *call) delete() (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m, _, err := c.message()
	switch {
	case err != nil:
		return nil, err
	case m.Note:
		return nil, invalid("invalid message_id")
	case m.Sender != "":
		return nil, no(230026, "No permission to recall this message.")
	}
	m.Recalled = true
	s.arrived("message.delete", m)
	return object{}, nil
}

func (c *call) get() (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messages[c.r.PathValue("id")]
	switch {
	case m == nil || m.Note:
		return nil, invalid("invalid message_id")
	case !s.chats[m.Chat].Members[s.opt.Bot]:
		return nil, errOutOfChat
	}
	return object{"items": []object{s.messageJSON(m)}}, nil
}

// list tells what was said in a chat or topic since and until a second.
func (c *call) list() (object, error) {
	q := c.r.URL.Query()
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Message
	var chat *Chat
	switch kind, id := q.Get("container_id_type"), q.Get("container_id"); kind {
	case "chat":
		if chat = s.chats[id]; chat != nil {
			all = chat.messages
		}
	case "thread":
		for _, x := range s.chats {
			for _, m := range x.messages {
				if m.Thread == id {
					chat, all = x, append(all, m)
				}
			}
		}
	default:
		return nil, invalid("invalid container_id_type")
	}
	switch {
	case chat == nil:
		return nil, invalid("invalid container_id")
	case !chat.Members[s.opt.Bot]:
		return nil, errOutOfChat
	case !chat.P2P && !s.scope("im:message.group_msg"):
		return nil, errNoRight
	}
	from, until := seconds(q.Get("start_time")), seconds(q.Get("end_time"))
	var items []object
	for _, m := range all {
		at := m.Created.Unix()
		if from > 0 && at < from || until > 0 && at > until || q.Get("container_id_type") == "chat" && m.Thread != "" && m.Root != "" {
			continue // of topics, a chat tells the roots
		}
		items = append(items, s.messageJSON(m))
	}
	if q.Get("sort_type") == "ByCreateTimeDesc" {
		slices.Reverse(items)
	}
	return page(q.Get("page_size"), q.Get("page_token"), 20, 50, items)
}

func seconds(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// page cuts a list at page_token and page_size.
func page(size, from string, usual, most int, items []object) (object, error) {
	n := usual
	if size != "" {
		var err error
		if n, err = strconv.Atoi(size); err != nil || n < 1 || n > most {
			return nil, no(99992402, "field validation failed: page_size")
		}
	}
	start := 0
	if from != "" {
		at, ok := strings.CutPrefix(from, "page-")
		var err error
		if start, err = strconv.Atoi(at); err != nil || !ok || start > len(items) {
			return nil, invalid("invalid page_token")
		}
	}
	end := min(len(items), start+n)
	o := object{"items": items[start:end:end], "has_more": end < len(items), "page_token": ""}
	if end < len(items) {
		o["page_token"] = "page-" + strconv.Itoa(end)
	}
	return o, nil
}

// urgent buzzes people about one of the bot's messages.
// https://open.feishu.cn/document/server-docs/im-v1/buzz-messages/urgent_app
func (c *call) urgent() (object, error) {
	var in struct {
		Users []string `json:"user_id_list"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m, chat, err := c.message()
	kind := c.r.URL.Query().Get("user_id_type")
	switch {
	case err != nil:
		return nil, err
	case m.Sender != "":
		return nil, errNotSender
	case m.Note:
		return nil, invalid("invalid message_id")
	case kind == "":
		return nil, missing("user_id_type")
	case len(in.Users) == 0:
		return nil, missing("user_id_list")
	case len(in.Users) > 200:
		return nil, no(99992402, "field validation failed: user_id_list has more than 200")
	case chat.Muted:
		return nil, errMuted
	}
	bad := []string{}
	for _, id := range in.Users {
		if u := s.person(kind, id); u != nil && chat.Members[u.ID] && !u.Resigned {
			m.Urged = append(m.Urged, u.ID)
		} else {
			bad = append(bad, id)
		}
	}
	return object{"invalid_user_id_list": bad}, nil
}

func (s *Server) reactionJSON(r Reaction) object {
	o := object{"reaction_id": r.ID, "reaction_type": object{"emoji_type": r.Emoji}, "operator": object{"operator_id": s.opt.AppID, "operator_type": "app"}, "action_time": ms(s.opt.Now())}
	if r.User != "" {
		o["operator"] = object{"operator_id": r.User, "operator_type": "user"}
	}
	return o
}

func (c *call) react() (object, error) {
	var in struct {
		Type struct {
			Emoji string `json:"emoji_type"`
		} `json:"reaction_type"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m, _, err := c.message()
	switch {
	case err != nil:
		return nil, err
	case m.Note:
		return nil, invalid("invalid message_id")
	case !slices.Contains(Emojis, in.Type.Emoji):
		return nil, no(231001, "reaction type is invalid.")
	}
	r := Reaction{ID: s.id("ZCaCIjUBVVWSrm5L-"), Emoji: in.Type.Emoji}
	if i := slices.IndexFunc(m.Reactions, func(x Reaction) bool { return x.User == "" && x.Emoji == r.Emoji }); i >= 0 {
		return s.reactionJSON(m.Reactions[i]), nil
	}
	m.Reactions = append(m.Reactions, r)
	s.arrived("reaction.create", m)
	return s.reactionJSON(r), nil
}

func (c *call) reactions() (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m, _, err := c.message()
	if err != nil {
		return nil, err
	}
	q := c.r.URL.Query()
	var items []object
	for _, r := range m.Reactions {
		if want := q.Get("reaction_type"); want == "" || want == r.Emoji {
			items = append(items, s.reactionJSON(r))
		}
	}
	return page(q.Get("page_size"), q.Get("page_token"), 20, 50, items)
}

func (c *call) unreact() (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m, _, err := c.message()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(m.Reactions, func(x Reaction) bool { return x.ID == c.r.PathValue("reaction") })
	switch {
	case i < 0:
		return nil, no(231010, "reaction_id is invalid.")
	case m.Reactions[i].User != "":
		return nil, no(231007, "Operator has NO permission to delete the reaction.")
	}
	r := m.Reactions[i]
	m.Reactions = slices.Delete(m.Reactions, i, i+1)
	s.arrived("reaction.delete", m)
	return s.reactionJSON(r), nil
}

// parts reads a form with a file.
func (c *call) parts(file string) (fields map[string]string, content []byte, err error) {
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil, nil, no(234001, "Invalid request param.")
	}
	fields = map[string]string{}
	r := multipart.NewReader(strings.NewReader(string(c.body)), params["boundary"])
	for {
		p, err := r.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, no(234001, "Invalid request param.")
		}
		b, err := io.ReadAll(p)
		if err != nil {
			return nil, nil, no(234001, "Invalid request param.")
		}
		if p.FormName() == file {
			fields[file], content = "given", b
		} else {
			fields[p.FormName()] = string(b)
		}
	}
	switch {
	case fields[file] == "":
		return nil, nil, no(234001, "Invalid request param.")
	case len(content) == 0:
		return nil, nil, no(234010, "File's size can't be 0.")
	}
	return fields, content, nil
}

func (c *call) uploadImage() (object, error) {
	f, content, err := c.parts("image")
	switch {
	case err != nil:
		return nil, err
	case f["image_type"] != "message" && f["image_type"] != "avatar":
		return nil, no(234001, "Invalid request param.")
	case len(content) > 10<<20:
		return nil, no(234006, "The file size exceed the max value.")
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return object{"image_key": c.s.addFile(&File{Type: "image", Content: content})}, nil
}

func (c *call) uploadFile() (object, error) {
	f, content, err := c.parts("file")
	switch {
	case err != nil:
		return nil, err
	case f["file_name"] == "" || !slices.Contains([]string{"opus", "mp4", "pdf", "doc", "xls", "ppt", "stream"}, f["file_type"]):
		return nil, no(234001, "Invalid request param.")
	case len(content) > 30<<20:
		return nil, no(234006, "The file size exceed the max value.")
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return object{"file_key": c.s.addFile(&File{Name: f["file_name"], Content: content})}, nil
}

// resource hands out a file of a message: only with the message it came in.
func (c *call) resource() (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m, _, err := c.message()
	if err != nil {
		return nil, err
	}
	f := s.files[c.r.PathValue("key")]
	switch kind := c.r.URL.Query().Get("type"); {
	case kind != "image" && kind != "file":
		return nil, no(234001, "Invalid request param.")
	case f == nil || f.Message != m.ID:
		return nil, no(234003, "File not in msg.")
	case f.Type != kind:
		return nil, no(234001, "Invalid request param.")
	case len(f.Content) > 100<<20:
		return nil, no(234037, "Downloaded file size exceeds limit.")
	}
	c.head.Set("Content-Type", "application/octet-stream")
	if f.Name != "" {
		c.head.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	}
	return object{"raw": f.Content}, nil
}

// note shows a card to one person of a group.
// https://open.feishu.cn/document/ukTMukTMukTM/uETOyYjLxkjM24SM5IjN
func (c *call) note() (object, error) {
	var in struct {
		Chat  string          `json:"chat_id"`
		Open  string          `json:"open_id"`
		User  string          `json:"user_id"`
		Email string          `json:"email"`
		Type  string          `json:"msg_type"`
		Card  json.RawMessage `json:"card"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	chat := s.chats[in.Chat]
	var u *User
	for kind, id := range map[string]string{"open_id": in.Open, "user_id": in.User, "email": in.Email} {
		if id != "" {
			u = s.person(kind, id)
		}
	}
	switch {
	case chat == nil:
		return nil, invalid("invalid chat_id")
	case u == nil:
		return nil, invalid("invalid open_id")
	case in.Type != "interactive":
		return nil, invalid("invalid msg_type")
	case chat.P2P || chat.Topic:
		return nil, no(230027, "This chat can NOT show a card to one person only.")
	case len(c.body) > maxCard:
		return nil, errTooLong
	}
	if err := s.speak(chat); err != nil {
		return nil, err
	}
	if !chat.Members[u.ID] {
		return nil, errOutOfChat
	}
	if err := c.card(in.Card); err != nil {
		return nil, err
	}
	if s.limit("note "+chat.ID, 40, time.Second) > 0 {
		return nil, errChatLimit
	}
	m := &Message{ID: s.id("om_"), Chat: chat.ID, Type: "interactive", Content: string(in.Card), Created: s.opt.Now(), Edited: s.opt.Now(), Note: true, To: u.ID}
	s.messages[m.ID] = m
	if !u.Offline { // it is shown in clients that are open, and kept nowhere
		s.notes = append(s.notes, m)
		s.arrived("ephemeral.send", m)
	}
	return object{"message_id": m.ID}, nil
}

func (c *call) unnote() (object, error) {
	var in struct {
		ID string `json:"message_id"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messages[in.ID]
	if m == nil || !m.Note || m.Recalled {
		return nil, invalid("invalid message_id")
	}
	m.Recalled = true
	s.arrived("ephemeral.delete", m)
	return object{}, nil
}

// delayed changes a card by the token of a press: within 30 minutes, twice at
// most, and after the press was answered: what comes before is undone.
// https://open.feishu.cn/document/ukTMukTMukTM/uMDO1YjLzgTN24yM4UjN
func (c *call) delayed() (object, error) {
	var in struct {
		Token string          `json:"token"`
		Card  json.RawMessage `json:"card"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.cardTokens[in.Token]
	switch {
	case t == nil:
		return nil, no(300090, "token is invalid")
	case !s.opt.Now().Before(t.until):
		return nil, no(300090, "token is expired")
	case t.uses >= 2:
		return nil, no(300090, "token is used up")
	}
	m := s.messages[t.message]
	if m == nil || m.Recalled {
		return nil, errRecalled
	}
	card, only, err := cutOpenIDs(in.Card)
	if err != nil {
		return nil, err
	}
	if len(c.body) > maxCard {
		return nil, errTooLong
	}
	if err := c.card(card); err != nil {
		return nil, err
	}
	t.uses++
	if !t.answered && !t.early {
		t.early, t.was = true, m.Content
	}
	if shared(m.Content) || m.Note {
		s.show("card.update", m, string(card))
		return object{}, nil
	}
	if len(only) == 0 {
		return nil, invalid("open_ids is required for a card that is not shared")
	}
	if m.only == nil {
		m.only = map[string]string{}
	}
	for _, id := range only {
		m.only[id] = string(card)
	}
	s.arrived("card.update", m)
	return object{}, nil
}

// cutOpenIDs takes open_ids out of the card of a delayed update.
func cutOpenIDs(raw json.RawMessage) (card []byte, ids []string, err error) {
	var o map[string]json.RawMessage
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		return nil, nil, no(99992402, "field validation failed: card is required")
	}
	if list, ok := o["open_ids"]; ok {
		if err := json.Unmarshal(list, &ids); err != nil {
			return nil, nil, no(99992402, "field validation failed: open_ids")
		}
		delete(o, "open_ids")
		card, err = json.Marshal(o)
		return card, ids, err
	}
	return raw, nil, nil
}
