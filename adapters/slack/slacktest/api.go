package slacktest

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// call is one call of the Web API.
type call struct {
	s      *Server
	method string
	args   map[string]string // objects as JSON
}

type object = map[string]any

// refuse is an error in Slack's words.
type refuse struct {
	code     string
	messages []string
	more     object
}

func (r refuse) Error() string { return r.code }

func no(code string) error { return refuse{code: code} }

// method is one method of the Web API.
type method struct {
	scopes []string // any of them
	args   []string // required
	tier   int      // calls a minute: 1 → 1, 2 → 20, 3 → 50, 4 → 100; 0 = special
	app    bool     // wants the app token
	do     func(*call) (object, error)
}

var methods = map[string]method{
	"auth.test":                    {do: (*call).authTest},
	"apps.connections.open":        {do: (*call).connectionsOpen, app: true, tier: 1},
	"chat.postMessage":             {do: (*call).postMessage, scopes: []string{"chat:write"}, args: []string{"channel"}},
	"chat.update":                  {do: (*call).update, scopes: []string{"chat:write"}, args: []string{"channel", "ts"}, tier: 3},
	"chat.delete":                  {do: (*call).delete, scopes: []string{"chat:write"}, args: []string{"channel", "ts"}, tier: 3},
	"chat.postEphemeral":           {do: (*call).postEphemeral, scopes: []string{"chat:write"}, args: []string{"channel", "user"}, tier: 4},
	"chat.getPermalink":            {do: (*call).permalink, args: []string{"channel", "message_ts"}},
	"views.open":                   {do: (*call).viewsOpen, args: []string{"view"}, tier: 4},
	"views.push":                   {do: (*call).viewsPush, args: []string{"view"}, tier: 4},
	"views.update":                 {do: (*call).viewsUpdate, args: []string{"view"}, tier: 4},
	"views.publish":                {do: (*call).viewsPublish, args: []string{"user_id", "view"}, tier: 4},
	"conversations.open":           {do: (*call).convOpen, scopes: []string{"im:write", "mpim:write"}, tier: 3},
	"conversations.info":           {do: (*call).convInfo, scopes: []string{"channels:read", "groups:read", "im:read", "mpim:read"}, args: []string{"channel"}, tier: 3},
	"conversations.list":           {do: (*call).convList, scopes: []string{"channels:read", "groups:read"}, tier: 2},
	"conversations.members":        {do: (*call).convMembers, scopes: []string{"channels:read", "groups:read", "im:read"}, args: []string{"channel"}, tier: 4},
	"conversations.history":        {do: (*call).history, scopes: []string{"channels:history", "groups:history", "im:history"}, args: []string{"channel"}, tier: 3},
	"conversations.replies":        {do: (*call).replies, scopes: []string{"channels:history", "groups:history", "im:history"}, args: []string{"channel", "ts"}, tier: 3},
	"users.info":                   {do: (*call).userInfo, scopes: []string{"users:read"}, args: []string{"user"}, tier: 4},
	"users.lookupByEmail":          {do: (*call).userByEmail, scopes: []string{"users:read.email"}, args: []string{"email"}, tier: 3},
	"usergroups.list":              {do: (*call).groupList, scopes: []string{"usergroups:read"}, tier: 2},
	"usergroups.users.list":        {do: (*call).groupUsers, scopes: []string{"usergroups:read"}, args: []string{"usergroup"}, tier: 2},
	"files.getUploadURLExternal":   {do: (*call).uploadURL, scopes: []string{"files:write"}, args: []string{"filename", "length"}, tier: 4},
	"files.completeUploadExternal": {do: (*call).completeUpload, scopes: []string{"files:write"}, args: []string{"files"}, tier: 4},
	"files.info":                   {do: (*call).fileInfo, scopes: []string{"files:read"}, args: []string{"file"}, tier: 4},
	"team.info":                    {do: (*call).teamInfo, scopes: []string{"team:read"}, tier: 3},
}

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("method")
	args, token, err := arguments(r)
	s.mu.Lock()
	s.calls[name]++
	s.mu.Unlock()
	f := s.fault(name)
	if f != nil && !s.meet(w, r, f) {
		return
	}
	m, known := methods[name]
	var answer object
	switch {
	case err != nil:
		err = no("invalid_form_data")
	case !known:
		err = no("unknown_method")
	default:
		if err = s.admit(m, token, args); err == nil {
			if wait := s.limit(name, m, args); wait > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(wait))
				http.Error(w, `{"ok":false,"error":"ratelimited"}`, http.StatusTooManyRequests)
				return
			}
			answer, err = m.do(&call{s: s, method: name, args: args})
		}
	}
	if f != nil && f.Kind == CutAfter {
		hang(w)
		return
	}
	if err != nil {
		answer = object{"ok": false, "error": err.Error()}
		if r, ok := err.(refuse); ok {
			if len(r.messages) > 0 {
				answer["response_metadata"] = object{"messages": r.messages}
			}
			for k, v := range r.more {
				answer[k] = v
			}
		}
	} else {
		answer["ok"] = true
	}
	b, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, "emulator: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if !m.app {
		w.Header().Set("X-OAuth-Scopes", strings.Join(s.opt.Scopes, ","))
	}
	if f != nil && f.Kind == HalfAnswer {
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		b = b[:len(b)/2]
	}
	if _, err := w.Write(b); err != nil {
		return // the caller is gone
	}
}

// meet lets a call meet a fault, and reports whether it goes on.
func (s *Server) meet(w http.ResponseWriter, r *http.Request, f *Fault) bool {
	say := func(status int, body string) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if _, err := io.WriteString(w, body); err != nil {
			return false
		}
		return false
	}
	switch f.Kind {
	case Limited:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		return say(http.StatusTooManyRequests, `{"ok":false,"error":"ratelimited"}`)
	case Limited200:
		return say(http.StatusOK, `{"ok":false,"error":"ratelimited"}`)
	case ServerError:
		status := f.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		return say(status, "<html>server error</html>")
	case Empty:
		return say(http.StatusOK, "{}")
	case Refused:
		return say(http.StatusOK, `{"ok":false,"error":`+strconv.Quote(f.Code)+`}`)
	case CutBefore:
		hang(w)
		return false
	case Slow:
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		}
	}
	return true
}

// arguments reads a form or JSON, and the token from the body or the header.
func arguments(r *http.Request) (args map[string]string, token string, err error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		return nil, "", err
	}
	args = map[string]string{}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind == "application/json" {
		var o map[string]json.RawMessage
		if len(body) > 0 {
			if err := json.Unmarshal(body, &o); err != nil {
				return nil, "", err
			}
		}
		for k, raw := range o {
			var text string
			if json.Unmarshal(raw, &text) == nil {
				args[k] = text
			} else {
				args[k] = string(raw)
			}
		}
	} else {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, "", err
		}
		for k := range form {
			args[k] = form.Get(k)
		}
	}
	token = args["token"]
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		token = bearer
	}
	return args, token, nil
}

func (s *Server) admit(m method, token string, args map[string]string) error {
	s.mu.Lock()
	revoked := s.revoked
	s.mu.Unlock()
	want := s.opt.BotToken
	if m.app {
		want = s.opt.AppToken
	}
	switch {
	case token == "":
		return no("not_authed")
	case revoked != "":
		return no(revoked)
	case token != want:
		return no("invalid_auth")
	case len(m.scopes) > 0 && !slices.ContainsFunc(m.scopes, func(x string) bool { return slices.Contains(s.opt.Scopes, x) }):
		return refuse{code: "missing_scope", more: object{"needed": m.scopes[0], "provided": strings.Join(s.opt.Scopes, ",")}}
	}
	for _, a := range m.args {
		if args[a] == "" {
			return refuse{code: "invalid_arguments", messages: []string{"[ERROR] missing required field: " + a}}
		}
	}
	return nil
}

// limit returns how many seconds a call has to wait, 0 = none.
func (s *Server) limit(name string, m method, args map[string]string) int {
	if !s.opt.RateLimits {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now()
	if name == "chat.postMessage" {
		if c := s.channels[args["channel"]]; c != nil {
			if now.Sub(c.posted) < time.Second {
				return 1
			}
			c.posted = now
		}
		return 0
	}
	most := map[int]int{1: 1, 2: 20, 3: 50, 4: 100}[m.tier]
	if most == 0 {
		return 0
	}
	w := s.windows[name]
	if w == nil || now.Sub(w.start) >= time.Minute {
		w = &window{start: now}
		s.windows[name] = w
	}
	if w.n++; w.n > most {
		return max(1, int(time.Minute-now.Sub(w.start))/int(time.Second))
	}
	return 0
}

func (c *call) authTest() (object, error) {
	o := c.s.opt
	return object{"url": "https://emulated.slack.com/", "team": "Emulated", "user": "paidan", "team_id": o.Team, "user_id": o.BotUser, "bot_id": o.Bot, "is_enterprise_install": false}, nil
}

func (c *call) connectionsOpen() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	ws := "ws" + strings.TrimPrefix(c.s.URL, "http")
	return object{"url": fmt.Sprintf("%s/link/?ticket=%s&app_id=%s", ws, c.s.id("t"), c.s.opt.App)}, nil
}

// content reads and checks text, blocks and metadata of a message.
func (c *call) content() (text string, blocks, metadata json.RawMessage, err error) {
	text = c.args["text"]
	if b := c.args["blocks"]; b != "" && b != "[]" && b != "null" {
		blocks = json.RawMessage(b)
		if !json.Valid(blocks) {
			return "", nil, nil, no("invalid_blocks_format")
		}
		if says := CheckBlocks("message", blocks); len(says) > 0 {
			code := "invalid_blocks"
			if len(says) == 1 && strings.Contains(says[0], "msg_blocks_too_long") {
				code = "msg_blocks_too_long"
			}
			return "", nil, nil, refuse{code: code, messages: says}
		}
	}
	if text == "" && blocks == nil {
		return "", nil, nil, no("no_text")
	}
	most := 40_000
	if c.method == "chat.update" {
		most = 4000
	}
	if units(text) > most {
		return "", nil, nil, no("msg_too_long")
	}
	if m := c.args["metadata"]; m != "" {
		var meta struct {
			Type    string         `json:"event_type"`
			Payload map[string]any `json:"event_payload"`
		}
		if err := json.Unmarshal([]byte(m), &meta); err != nil || meta.Type == "" || meta.Payload == nil {
			return "", nil, nil, no("invalid_metadata_format")
		}
		metadata = json.RawMessage(m)
	}
	return text, blocks, metadata, nil
}

// place is the channel that a message goes to. It needs s.mu.
func (c *call) place() (*Channel, error) {
	id := c.args["channel"]
	if strings.HasPrefix(id, "U") && c.s.users[id] != nil {
		id = c.s.dm(id)
	}
	ch := c.s.channels[id]
	switch {
	case ch == nil:
		return nil, no("channel_not_found")
	case ch.Archived:
		return nil, no("is_archived")
	case !ch.Members[c.s.opt.BotUser]:
		return nil, no("not_in_channel")
	}
	return ch, nil
}

func (c *call) postMessage() (object, error) {
	text, blocks, metadata, err := c.content()
	if err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, err := c.place()
	if err != nil {
		return nil, err
	}
	m := &Message{Text: text, Blocks: blocks, Metadata: metadata}
	if t := c.args["thread_ts"]; t != "" {
		root := ch.byTS[t]
		if root == nil {
			return nil, no("thread_not_found")
		}
		m.Thread = t
	}
	s.put(ch, m)
	s.arrived("chat.postMessage", m)
	return object{"channel": ch.ID, "ts": m.TS, "message": object{"type": "message", "text": text, "ts": m.TS, "bot_id": s.opt.Bot, "user": s.opt.BotUser}}, nil
}

// own finds one of the bot's messages. It needs s.mu.
func (c *call) own(ts, foreign string) (*Message, error) {
	ch := c.s.channels[c.args["channel"]]
	if ch == nil {
		return nil, no("channel_not_found")
	}
	m := ch.byTS[ts]
	switch {
	case m == nil || m.Deleted:
		return nil, no("message_not_found")
	case m.User != "":
		return nil, no(foreign)
	case ch.Archived:
		return nil, no("is_archived")
	}
	return m, nil
}

func (c *call) update() (object, error) {
	text, blocks, metadata, err := c.content()
	if err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := c.own(c.args["ts"], "cant_update_message")
	if err != nil {
		return nil, err
	}
	m.Text, m.Blocks = text, blocks
	if metadata != nil {
		m.Metadata = metadata
	}
	m.Edits++
	m.Edited = s.stamp(s.channels[m.Channel])
	s.arrived("chat.update", m)
	return object{"channel": m.Channel, "ts": m.TS, "text": text, "message": object{"type": "message", "text": text, "ts": m.TS}}, nil
}

func (c *call) delete() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	m, err := c.own(c.args["ts"], "cant_delete_message")
	if err != nil {
		return nil, err
	}
	m.Deleted = true
	return object{"channel": m.Channel, "ts": m.TS}, nil
}

func (c *call) postEphemeral() (object, error) {
	text, blocks, _, err := c.content()
	if err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, err := c.place()
	if err != nil {
		return nil, err
	}
	if !ch.Members[c.args["user"]] {
		return nil, no("user_not_in_channel")
	}
	m := Message{Channel: ch.ID, TS: s.stamp(ch), Thread: c.args["thread_ts"], Text: text, Blocks: blocks, Ephemeral: true, To: c.args["user"]}
	s.notes = append(s.notes, m)
	return object{"message_ts": m.TS}, nil
}

func (c *call) permalink() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if _, m := c.s.find(c.args["channel"] + "/" + c.args["message_ts"]); m == nil {
		return nil, no("message_not_found")
	}
	return object{"channel": c.args["channel"], "permalink": "https://emulated.slack.com/archives/" + c.args["channel"] + "/p" + strings.ReplaceAll(c.args["message_ts"], ".", "")}, nil
}

// view reads and checks the argument view.
func (c *call) view() (map[string]any, error) {
	raw := []byte(c.args["view"])
	if says := CheckView(raw); len(says) > 0 {
		if says[0] == "view_too_large" {
			return nil, no("view_too_large")
		}
		return nil, refuse{code: "invalid_arguments", messages: says}
	}
	var body map[string]any
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, no("invalid_arguments")
	}
	return body, nil
}

// pull uses a trigger up. It needs s.mu.
func (c *call) pull() (*trigger, error) {
	t := c.s.triggers[c.args["trigger_id"]]
	switch {
	case t == nil:
		return nil, no("invalid_trigger_id")
	case t.used:
		return nil, no("exchanged_trigger_id")
	case c.s.opt.Now().After(t.until):
		return nil, no("expired_trigger_id")
	}
	t.used = true
	return t, nil
}

// show puts a view in front of a user. It needs s.mu.
func (s *Server) show(user string, body map[string]any) *View {
	v := &View{ID: s.id("V"), User: user}
	v.Root = v.ID
	if below := s.stacks[user]; len(below) > 0 {
		v.Previous, v.Root = below[len(below)-1], s.views[below[0]].Root
	}
	s.fill(v, body)
	s.views[v.ID] = v
	s.stacks[user] = append(s.stacks[user], v.ID)
	return v
}

// fill needs s.mu.
func (s *Server) fill(v *View, body map[string]any) {
	v.Body, v.Errors = body, nil
	v.Hash = fmt.Sprintf("%d.%s", s.opt.Now().Unix(), s.id("h"))
	v.Type, _ = body["type"].(string)
	v.CallbackID, _ = body["callback_id"].(string)
	v.Metadata, _ = body["private_metadata"].(string)
}

func (v *View) json() object {
	o := object{"id": v.ID, "hash": v.Hash, "root_view_id": v.Root, "state": object{"values": object{}}}
	if v.Previous != "" {
		o["previous_view_id"] = v.Previous
	}
	for k, x := range v.Body {
		o[k] = x
	}
	return o
}

func (c *call) viewsOpen() (object, error) {
	body, err := c.view()
	if err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	t, err := c.pull()
	if err != nil {
		return nil, err
	}
	c.s.stacks[t.user] = nil
	return object{"view": c.s.show(t.user, body).json()}, nil
}

func (c *call) viewsPush() (object, error) {
	body, err := c.view()
	if err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	t, err := c.pull()
	if err != nil {
		return nil, err
	}
	if len(c.s.stacks[t.user]) >= 3 {
		return nil, no("push_limit_reached")
	}
	return object{"view": c.s.show(t.user, body).json()}, nil
}

func (c *call) viewsUpdate() (object, error) {
	body, err := c.view()
	if err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	v := c.s.views[c.args["view_id"]]
	if v == nil || !slices.Contains(c.s.stacks[v.User], v.ID) {
		return nil, no("not_found")
	}
	if h := c.args["hash"]; h != "" && h != v.Hash {
		return nil, no("hash_conflict")
	}
	c.s.fill(v, body)
	return object{"view": v.json()}, nil
}

func (c *call) viewsPublish() (object, error) {
	body, err := c.view()
	if err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	user := c.args["user_id"]
	if c.s.users[user] == nil {
		return nil, no("user_not_found")
	}
	v := c.s.homes[user]
	if v == nil {
		v = &View{ID: c.s.id("V"), User: user}
		v.Root = v.ID
		c.s.homes[user] = v
		c.s.views[v.ID] = v
	} else if h := c.args["hash"]; h != "" && h != v.Hash {
		return nil, no("hash_conflict")
	}
	c.s.fill(v, body)
	return object{"view": v.json()}, nil
}

func (c *call) convOpen() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	users := strings.Split(c.args["users"], ",")
	u := c.s.users[users[0]]
	switch {
	case c.args["users"] == "":
		return nil, no("users_list_not_supplied")
	case len(users) > 8:
		return nil, no("too_many_users")
	case len(users) > 1:
		return nil, no("method_not_supported_for_channel_type")
	case u == nil:
		return nil, no("user_not_found")
	case u.Deleted:
		return nil, no("user_disabled")
	}
	return object{"channel": object{"id": c.s.dm(u.ID)}}, nil
}

func (ch *Channel) json() object {
	o := object{"id": ch.ID, "name": ch.Name, "is_channel": !ch.IM && !ch.Private, "is_group": ch.Private, "is_im": ch.IM, "is_archived": ch.Archived, "is_ext_shared": ch.Shared, "num_members": len(ch.Members)}
	if ch.IM {
		o["user"] = ch.User
	}
	return o
}

func (c *call) convInfo() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if ch := c.s.channels[c.args["channel"]]; ch != nil {
		return object{"channel": ch.json()}, nil
	}
	return nil, no("channel_not_found")
}

func (c *call) convList() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	var ids []string
	for id, ch := range c.s.channels {
		if !ch.IM {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	list := []object{}
	for _, id := range ids {
		list = append(list, c.s.channels[id].json())
	}
	return object{"channels": list, "response_metadata": object{"next_cursor": ""}}, nil
}

// page cuts a list by cursor and limit.
func page[T any](args map[string]string, list []T) ([]T, string, error) {
	at, limit := 0, 100
	if s := args["limit"]; s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 1000 {
			return nil, "", no("invalid_limit")
		}
		limit = n
	}
	if s, ok := strings.CutPrefix(args["cursor"], "at:"); ok {
		n, err := strconv.Atoi(s)
		if err != nil || n > len(list) {
			return nil, "", no("invalid_cursor")
		}
		at = n
	} else if args["cursor"] != "" {
		return nil, "", no("invalid_cursor")
	}
	end := min(at+limit, len(list))
	next := ""
	if end < len(list) {
		next = fmt.Sprintf("at:%d", end)
	}
	return list[at:end], next, nil
}

func (c *call) convMembers() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	ch := c.s.channels[c.args["channel"]]
	if ch == nil {
		return nil, no("channel_not_found")
	}
	var ids []string
	for id := range ch.Members {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	part, next, err := page(c.args, ids)
	if err != nil {
		return nil, err
	}
	return object{"members": part, "response_metadata": object{"next_cursor": next}}, nil
}

// json is the message as history tells it.
func (m *Message) json(bot, botUser string, metadata bool) object {
	o := object{"type": "message", "ts": m.TS, "text": m.Text}
	if m.User == "" {
		o["user"], o["bot_id"] = botUser, bot
	} else {
		o["user"] = m.User
	}
	if m.Thread != "" {
		o["thread_ts"] = m.Thread
	}
	if m.Blocks != nil {
		o["blocks"] = m.Blocks
	}
	if metadata && m.Metadata != nil {
		o["metadata"] = m.Metadata
	}
	if m.Edited != "" {
		o["edited"] = object{"user": o["user"], "ts": m.Edited}
	}
	return o
}

func (c *call) list(keep func(*Message) bool, newestFirst bool) (object, error) {
	ch := c.s.channels[c.args["channel"]]
	switch {
	case ch == nil:
		return nil, no("channel_not_found")
	case !ch.Members[c.s.opt.BotUser]:
		return nil, no("not_in_channel")
	}
	var list []*Message
	for _, m := range ch.messages {
		if !m.Deleted && keep(m) && older(c.args["oldest"], m.TS) {
			list = append(list, m)
		}
	}
	if newestFirst {
		slices.Reverse(list)
	}
	part, next, err := page(c.args, list)
	if err != nil {
		return nil, err
	}
	out := []object{}
	for _, m := range part {
		out = append(out, m.json(c.s.opt.Bot, c.s.opt.BotUser, c.args["include_all_metadata"] == "true"))
	}
	return object{"messages": out, "has_more": next != "", "response_metadata": object{"next_cursor": next}}, nil
}

// older reports whether oldest lies before ts; "" lies before all.
func older(oldest, ts string) bool {
	a, _, _ := strings.Cut(oldest, ".")
	b, _, _ := strings.Cut(ts, ".")
	return oldest == "" || len(a) < len(b) || len(a) == len(b) && oldest < ts
}

func (c *call) history() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.list(func(m *Message) bool { return m.Thread == "" || m.Thread == m.TS }, true)
}

func (c *call) replies() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	root := c.args["ts"]
	if ch := c.s.channels[c.args["channel"]]; ch != nil && ch.byTS[root] == nil {
		return nil, no("thread_not_found")
	}
	return c.list(func(m *Message) bool { return m.TS == root || m.Thread == root }, false)
}

func (u *User) json() object {
	return object{
		"id": u.ID, "team_id": u.Team, "name": u.Name, "real_name": u.RealName, "tz": u.Zone, "locale": u.Locale, "deleted": u.Deleted,
		"is_bot": u.Bot, "is_restricted": u.Restricted, "is_stranger": u.Stranger,
		"profile": object{"display_name": u.Name, "real_name": u.RealName, "email": u.Email},
	}
}

func (c *call) userInfo() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if u := c.s.users[c.args["user"]]; u != nil {
		return object{"user": u.json()}, nil
	}
	return nil, no("user_not_found")
}

func (c *call) userByEmail() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for _, u := range c.s.users {
		if u.Email != "" && strings.EqualFold(u.Email, c.args["email"]) && !u.Deleted {
			return object{"user": u.json()}, nil
		}
	}
	return nil, no("users_not_found")
}

func (c *call) groupList() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.free {
		return nil, no("plan_upgrade_required")
	}
	list := []object{}
	for _, g := range c.s.groups {
		list = append(list, object{"id": g.ID, "handle": g.Handle, "users": g.Members})
	}
	return object{"usergroups": list}, nil
}

func (c *call) groupUsers() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.free {
		return nil, no("plan_upgrade_required")
	}
	if g := c.s.groups[c.args["usergroup"]]; g != nil {
		return object{"users": g.Members}, nil
	}
	return nil, no("no_such_subteam")
}

func (c *call) teamInfo() (object, error) {
	return object{"team": object{"id": c.s.opt.Team, "name": "Emulated", "domain": "emulated"}}, nil
}

func (c *call) uploadURL() (object, error) {
	n, err := strconv.Atoi(c.args["length"])
	if err != nil || n <= 0 {
		return nil, no("invalid_arguments")
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	f := &File{ID: c.s.id("F"), Name: c.args["filename"], Owner: c.s.opt.BotUser}
	c.s.files[f.ID] = f
	return object{"upload_url": c.s.URL + "/upload/" + f.ID, "file_id": f.ID}, nil
}

func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	f := s.files[r.PathValue("id")]
	s.mu.Unlock()
	if f == nil {
		http.NotFound(w, r)
		return
	}
	content, err := upload(r)
	if err != nil {
		http.Error(w, "bad upload", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	f.Content = content
	s.mu.Unlock()
	if _, err := fmt.Fprintf(w, "OK - %d", len(content)); err != nil {
		return // the caller is gone
	}
}

// upload reads the one part of a multipart body. What follows it is not looked
// at: slack-go ends its body twice.
func upload(r *http.Request) ([]byte, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	if kind != "multipart/form-data" {
		return io.ReadAll(r.Body)
	}
	part, err := multipart.NewReader(r.Body, params["boundary"]).NextPart()
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(part)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return content, err
}

func (c *call) completeUpload() (object, error) {
	var list []struct {
		ID    string `json:"id"`
		Title string `json:"title"`
	}
	if err := json.Unmarshal([]byte(c.args["files"]), &list); err != nil || len(list) == 0 {
		return nil, no("invalid_arguments")
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	var ch *Channel
	if id := c.args["channel_id"]; id != "" {
		if ch = c.s.channels[id]; ch == nil {
			return nil, no("invalid_channel")
		}
		if !ch.Members[c.s.opt.BotUser] {
			return nil, no("not_in_channel")
		}
	}
	out := []object{}
	for _, x := range list {
		f := c.s.files[x.ID]
		if f == nil || f.Content == nil {
			return nil, no("file_not_found")
		}
		f.uploaded = true
		if ch != nil {
			m := &Message{Text: c.args["initial_comment"], Files: []string{f.ID}, Thread: c.args["thread_ts"]}
			c.s.put(ch, m)
			f.Channel, f.TS = ch.ID, m.TS
		}
		out = append(out, object{"id": f.ID, "title": x.Title})
	}
	return object{"files": out}, nil
}

// json tells a file. It needs s.mu.
func (s *Server) fileJSON(f *File, full bool) object {
	if f.External && !full {
		return object{"id": f.ID, "file_access": "check_file_info"}
	}
	o := object{"id": f.ID, "name": f.Name, "mimetype": f.Type, "size": len(f.Content), "user": f.Owner, "url_private": s.URL + "/files/" + f.ID, "url_private_download": s.URL + "/files/" + f.ID}
	if f.TS != "" {
		o["shares"] = object{"public": object{f.Channel: []object{{"ts": f.TS}}}}
	}
	return o
}

func (c *call) fileInfo() (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if f := c.s.files[c.args["file"]]; f != nil && f.uploaded {
		return object{"file": c.s.fileJSON(f, true), "comments": []object{}, "paging": object{"count": 0, "total": 0, "page": 1, "pages": 0}}, nil
	}
	return nil, no("file_not_found")
}

func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	f := s.files[r.PathValue("id")]
	s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+s.opt.BotToken {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if _, err := io.WriteString(w, "<html>sign in</html>"); err != nil {
			return // the caller is gone
		}
		return
	}
	if f == nil {
		http.NotFound(w, r)
		return
	}
	if f.Type != "" {
		w.Header().Set("Content-Type", f.Type)
	}
	if _, err := w.Write(f.Content); err != nil {
		return // the caller is gone
	}
}

func (s *Server) serveResponse(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Type    string          `json:"response_type"`
		Text    string          `json:"text"`
		Blocks  json.RawMessage `json:"blocks"`
		Replace bool            `json:"replace_original"`
		Delete  bool            `json:"delete_original"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	}
	f := s.fault("response_url")
	if f != nil && !s.meet(w, r, f) {
		return
	}
	if len(body.Blocks) > 0 && string(body.Blocks) != "null" {
		if says := CheckBlocks("message", body.Blocks); len(says) > 0 {
			http.Error(w, `{"ok":false,"error":"invalid_blocks"}`, http.StatusOK)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls["response_url"]++
	to := s.responses[r.PathValue("id")]
	switch {
	case to == nil:
		http.Error(w, "not found", http.StatusNotFound)
		return
	case to.uses >= 5 || s.opt.Now().After(to.until):
		http.Error(w, `{"ok":false,"error":"used_url"}`, http.StatusNotFound)
		return
	}
	to.uses++
	if ch := s.channels[to.channel]; ch != nil {
		s.answer(ch, to.user, body.Type, body.Text, body.Blocks)
	}
	if _, err := io.WriteString(w, "ok"); err != nil {
		return // the caller is gone
	}
}

// answer shows a response to a command or a click. It needs s.mu.
func (s *Server) answer(ch *Channel, user, kind, text string, blocks json.RawMessage) {
	if kind == "in_channel" {
		s.put(ch, &Message{Text: text, Blocks: blocks})
		return
	}
	s.notes = append(s.notes, Message{Channel: ch.ID, TS: s.stamp(ch), Text: text, Blocks: blocks, Ephemeral: true, To: user})
}
