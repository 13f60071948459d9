package feishutest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// chatOf finds the chat of the path. It needs s.mu.
func (c *call) chatOf() (*Chat, error) {
	chat := c.s.chats[c.r.PathValue("id")]
	switch {
	case chat == nil:
		return nil, no(232006, "Your request specifies a chat_id which is invalid.")
	case !chat.Members[c.s.opt.Bot]:
		return nil, errOperatorOut
	}
	return chat, nil
}

func (s *Server) chatJSON(c *Chat) object {
	o := object{
		"chat_id": c.ID, "name": c.Name, "chat_mode": "group", "chat_type": "private", "group_message_type": "chat", "chat_status": "normal",
		"external": c.External, "tenant_key": s.opt.Tenant, "owner_id_type": "open_id", "owner_id": "",
	}
	users := 0
	for id := range c.Members {
		if id != s.opt.Bot {
			users++
		}
	}
	o["user_count"], o["bot_count"] = strconv.Itoa(users), strconv.Itoa(len(c.Members)-users)
	switch {
	case c.P2P:
		o["chat_mode"], o["name"] = "p2p", ""
		o["p2p_target_id"], o["p2p_target_type"] = c.User, "user"
	case c.Topic:
		o["chat_mode"] = "topic"
	}
	if c.Dissolved {
		o["chat_status"] = "dissolved"
	}
	return o
}

func (c *call) chat() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	chat, err := c.chatOf()
	if err != nil {
		return nil, err
	}
	return c.s.chatJSON(chat), nil
}

// chats tells the groups that the bot is in; private chats are not told.
func (c *call) chats() (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id, chat := range s.chats {
		if !chat.P2P && !chat.Dissolved && chat.Members[s.opt.Bot] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	items := []object{}
	for _, id := range ids {
		items = append(items, s.chatJSON(s.chats[id]))
	}
	q := c.r.URL.Query()
	return page(q.Get("page_size"), q.Get("page_token"), 20, 100, items)
}

// members tells the people in a chat; bots are not told.
func (c *call) members() (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	chat, err := c.chatOf()
	switch {
	case err != nil:
		return nil, err
	case chat.Dissolved:
		return nil, errDissolved
	}
	q := c.r.URL.Query()
	kind := q.Get("member_id_type")
	if kind == "" {
		kind = "open_id"
	}
	var ids []string
	for id := range chat.Members {
		if s.users[id] != nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	items := []object{}
	for _, id := range ids {
		u := s.users[id]
		shown := map[string]string{"open_id": u.ID, "union_id": u.UnionID, "user_id": u.UserID}[kind]
		if shown == "" {
			return nil, no(99992402, "field validation failed: member_id_type")
		}
		items = append(items, object{"member_id_type": kind, "member_id": shown, "name": u.Name, "tenant_key": u.Tenant})
	}
	o, err := page(q.Get("page_size"), q.Get("page_token"), 20, 100, items)
	if err == nil {
		o["member_total"] = len(items)
	}
	return o, err
}

func (c *call) isInChat() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	chat := c.s.chats[c.r.PathValue("id")]
	if chat == nil {
		return nil, no(232006, "Your request specifies a chat_id which is invalid.")
	}
	return object{"is_in_chat": chat.Members[c.s.opt.Bot]}, nil
}

// userJSON tells what the app's permissions let it see.
func (s *Server) userJSON(u *User) object {
	o := object{
		"open_id": u.ID, "union_id": u.UnionID, "name": u.Name, "en_name": u.EnName,
		"status": object{"is_activated": !u.Resigned, "is_frozen": u.Frozen, "is_resigned": u.Resigned, "is_exited": false, "is_unjoin": false},
	}
	if u.Zone != "" {
		o["time_zone"] = u.Zone
	}
	if s.scope("contact:user.employee_id:readonly") {
		o["user_id"] = u.UserID
	}
	if s.scope("contact:user.email:readonly") {
		o["email"] = u.Email
	}
	if s.scope("contact:user.phone:readonly") {
		o["mobile"] = u.Mobile
	}
	return o
}

var errNoUser = refuse{status: http.StatusForbidden, code: 41050, msg: "no user authority error"}

func (c *call) user() (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.person(c.r.URL.Query().Get("user_id_type"), c.r.PathValue("id"))
	switch {
	case u == nil:
		return nil, no(41012, "user id invalid error")
	case u.Hidden || u.Tenant != s.opt.Tenant:
		return nil, errNoUser
	}
	return object{"user": s.userJSON(u)}, nil
}

func (c *call) userBatch() (object, error) {
	q := c.r.URL.Query()
	ids := q["user_ids"]
	switch {
	case len(ids) == 0:
		return nil, missing("user_ids")
	case len(ids) > 50:
		return nil, no(99992402, "field validation failed: user_ids has more than 50")
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []object{}
	for _, id := range ids {
		if u := s.person(q.Get("user_id_type"), id); u != nil && !u.Hidden && u.Tenant == s.opt.Tenant {
			items = append(items, s.userJSON(u))
		}
	}
	return object{"items": items}, nil
}

// userIDs finds people by address or number; who is not found, or not visible
// to the app, has no user_id.
// https://open.feishu.cn/document/server-docs/contact-v3/user/batch_get_id
func (c *call) userIDs() (object, error) {
	var in struct {
		Emails   []string `json:"emails"`
		Mobiles  []string `json:"mobiles"`
		Resigned bool     `json:"include_resigned"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if len(in.Emails) > 50 || len(in.Mobiles) > 50 {
		return nil, no(40002, "more than 50 emails or mobiles")
	}
	kind := c.r.URL.Query().Get("user_id_type")
	if kind == "" {
		kind = "open_id"
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []object{}
	find := func(key, value string, is func(*User) bool) {
		o := object{key: value}
		for _, u := range s.users {
			if is(u) && !u.Hidden && u.Tenant == s.opt.Tenant && (in.Resigned || !u.Resigned) {
				o["user_id"] = map[string]string{"open_id": u.ID, "union_id": u.UnionID, "user_id": u.UserID}[kind]
				o["status"] = object{"is_activated": !u.Resigned, "is_frozen": u.Frozen, "is_resigned": u.Resigned}
			}
		}
		list = append(list, o)
	}
	for _, e := range in.Emails {
		find("email", e, func(u *User) bool { return u.Email != "" && strings.EqualFold(u.Email, e) })
	}
	for _, m := range in.Mobiles {
		find("mobile", m, func(u *User) bool {
			return u.Mobile != "" && strings.TrimPrefix(u.Mobile, "+86") == strings.TrimPrefix(m, "+86")
		})
	}
	return object{"user_list": list}, nil
}
