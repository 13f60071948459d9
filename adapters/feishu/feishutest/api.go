package feishutest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type object = map[string]any

// call is one call of the API.
type call struct {
	s    *Server
	r    *http.Request
	body []byte
	head http.Header // of the answer
}

// refuse is an error in Feishu's words.
type refuse struct {
	status int // 0 = 400
	code   int
	msg    string
}

func (r refuse) Error() string { return fmt.Sprintf("%d %s", r.code, r.msg) }

func no(code int, format string, args ...any) error {
	return refuse{code: code, msg: fmt.Sprintf(format, args...)}
}

// The refusals, as in the error tables of the single methods and in
// https://open.feishu.cn/document/server-docs/api-call-guide/generic-error-code
var (
	errOutOfChat   = no(230002, "Bot/User can NOT be out of the chat.")
	errRecalled    = no(230011, "The message was recalled.")
	errNotSender   = no(230012, "Bot is NOT the sender of the message.")
	errNoVisible   = no(230013, "Bot has NO availability to this user.")
	errMuted       = no(230018, "These operations are NOT allowed at current group settings.")
	errChatLimit   = no(230020, "This operation triggers the frequency limit.")
	errTooLong     = no(230025, "The length of the message content reaches its limit.")
	errNoRight     = no(230027, "Lack of necessary permissions.")
	errTooOld      = no(230031, "The message is too old to be updated: more than 14 days.")
	errGone        = no(230110, "Action unavailable as the message has been deleted.")
	errDissolved   = no(232009, "Your request specifies a chat which has already been dissolved.")
	errOperatorOut = no(232011, "Operator can NOT be out of the chat.")
	errNotOwnCard  = no(200310, "The card was not sent by this app.")
)

// window14 is how long a card can be changed and pressed, a message edited.
const window14 = 14 * 24 * time.Hour

// The sizes, in bytes of a request.
// https://open.feishu.cn/document/server-docs/im-v1/message/create
const (
	maxText = 150 << 10
	maxCard = 30 << 10
)

// route is one method of the API.
type route struct {
	pattern string
	name    string
	scopes  []string // any of them
	open    bool     // needs no token
	flat    bool     // the answer's data stands beside its code
	do      func(*call) (object, error)
}

var (
	sendScopes = []string{"im:message", "im:message:send_as_bot"}
	readScopes = []string{"im:message", "im:message:readonly"}
	chatScopes = []string{"im:chat", "im:chat:read", "im:chat:readonly"}
	userScopes = []string{"contact:user.base:readonly", "contact:contact:readonly_as_app"}
)

var routes = []route{
	{pattern: "POST /open-apis/auth/v3/tenant_access_token/internal", name: "token", open: true, flat: true, do: (*call).token},
	{pattern: "GET /open-apis/bot/v3/info", name: "bot.info", flat: true, do: (*call).botInfo},
	{pattern: "POST /open-apis/im/v1/messages", name: "message.create", scopes: sendScopes, do: (*call).create},
	{pattern: "GET /open-apis/im/v1/messages", name: "message.list", scopes: readScopes, do: (*call).list},
	{pattern: "GET /open-apis/im/v1/messages/{id}", name: "message.get", scopes: readScopes, do: (*call).get},
	{pattern: "POST /open-apis/im/v1/messages/{id}/reply", name: "message.reply", scopes: sendScopes, do: (*call).reply},
	{pattern: "PATCH /open-apis/im/v1/messages/{id}", name: "message.patch", scopes: append([]string{"im:message:update"}, sendScopes...), do: (*call).patch},
	{pattern: "PUT /open-apis/im/v1/messages/{id}", name: "message.update", scopes: append([]string{"im:message:update"}, sendScopes...), do: (*call).update},
	{pattern: "DELETE /open-apis/im/v1/messages/{id}", name: "message.delete", scopes: append([]string{"im:message:recall"}, sendScopes...), do: (*call).delete},
	{pattern: "PATCH /open-apis/im/v1/messages/{id}/urgent_app", name: "message.urgent_app", scopes: []string{"im:message.urgent"}, do: (*call).urgent},
	{pattern: "POST /open-apis/im/v1/messages/{id}/reactions", name: "reaction.create", scopes: []string{"im:message", "im:message.reactions:write_only"}, do: (*call).react},
	{pattern: "GET /open-apis/im/v1/messages/{id}/reactions", name: "reaction.list", scopes: []string{"im:message", "im:message:readonly", "im:message.reactions:read"}, do: (*call).reactions},
	{pattern: "DELETE /open-apis/im/v1/messages/{id}/reactions/{reaction}", name: "reaction.delete", scopes: []string{"im:message", "im:message.reactions:write_only"}, do: (*call).unreact},
	{pattern: "POST /open-apis/im/v1/images", name: "image.create", scopes: []string{"im:resource", "im:resource:upload"}, do: (*call).uploadImage},
	{pattern: "POST /open-apis/im/v1/files", name: "file.create", scopes: []string{"im:resource", "im:resource:upload"}, do: (*call).uploadFile},
	{pattern: "GET /open-apis/im/v1/messages/{id}/resources/{key}", name: "resource.get", scopes: readScopes, do: (*call).resource},
	{pattern: "GET /open-apis/im/v1/chats", name: "chat.list", scopes: chatScopes, do: (*call).chats},
	{pattern: "GET /open-apis/im/v1/chats/{id}", name: "chat.get", scopes: chatScopes, do: (*call).chat},
	{pattern: "GET /open-apis/im/v1/chats/{id}/members", name: "members.get", scopes: append([]string{"im:chat.members:read", "im:chat.group_info:readonly"}, chatScopes...), do: (*call).members},
	{pattern: "GET /open-apis/im/v1/chats/{id}/members/is_in_chat", name: "members.is_in_chat", scopes: append([]string{"im:chat.members:read"}, chatScopes...), do: (*call).isInChat},
	{pattern: "POST /open-apis/ephemeral/v1/send", name: "ephemeral.send", scopes: sendScopes, do: (*call).note},
	{pattern: "POST /open-apis/ephemeral/v1/delete", name: "ephemeral.delete", scopes: sendScopes, do: (*call).unnote},
	{pattern: "POST /open-apis/interactive/v1/card/update", name: "card.update", do: (*call).delayed},
	{pattern: "GET /open-apis/contact/v3/users/{id}", name: "user.get", scopes: userScopes, do: (*call).user},
	{pattern: "GET /open-apis/contact/v3/users/batch", name: "user.batch", scopes: userScopes, do: (*call).userBatch},
	{pattern: "POST /open-apis/contact/v3/users/batch_get_id", name: "user.batch_get_id", scopes: []string{"contact:user.id:readonly"}, do: (*call).userIDs},
}

func (s *Server) serveAPI(m route, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return // the caller is gone
	}
	s.mu.Lock()
	s.calls[m.name]++
	s.mu.Unlock()
	w.Header().Set("X-Tt-Logid", logid(s.opt.Now()))
	f := s.fault(m.name)
	if f != nil && !s.meet(w, r, f) {
		return
	}
	c := &call{s: s, r: r, body: body, head: http.Header{}}
	var data object
	if err = c.admit(m); err == nil {
		data, err = m.do(c)
	}
	if f != nil && f.Kind == CutAfter {
		hang(w)
		return
	}
	maps.Copy(w.Header(), c.head)
	if raw, ok := data["raw"].([]byte); ok && err == nil {
		answer(w, http.StatusOK, raw, f)
		return
	}
	status, o := http.StatusOK, object{"code": 0, "msg": "success"}
	switch e := err.(type) {
	case nil:
		if m.flat {
			o["msg"] = "ok"
			maps.Copy(o, data)
		} else {
			o["data"] = data
		}
	case refuse:
		if status = e.status; status == 0 {
			status = http.StatusBadRequest
		}
		o = object{"code": e.code, "msg": e.msg, "error": object{"log_id": w.Header().Get("X-Tt-Logid")}}
	default:
		status, o = http.StatusBadRequest, object{"code": 9499, "msg": "Bad Request: " + err.Error()}
	}
	b, err := json.Marshal(o)
	if err != nil {
		http.Error(w, "emulator: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	answer(w, status, b, f)
}

func answer(w http.ResponseWriter, status int, b []byte, f *Fault) {
	if f != nil && f.Kind == HalfAnswer {
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		b = b[:len(b)/2]
	}
	w.WriteHeader(status)
	if _, err := w.Write(b); err != nil {
		return // the caller is gone
	}
}

func logid(now time.Time) string {
	return now.UTC().Format("20060102150405") + "0EA4C0FFEE00EA4C0F"
}

// meet lets a call meet a fault, and reports whether it goes on.
func (s *Server) meet(w http.ResponseWriter, r *http.Request, f *Fault) bool {
	say := func(kind string, status int, body string) bool {
		w.Header().Set("Content-Type", kind)
		answer(w, status, []byte(body), nil)
		return false
	}
	const isJSON = "application/json; charset=utf-8"
	status := func(other int) int {
		if f.Status != 0 {
			return f.Status
		}
		return other
	}
	switch f.Kind {
	case Limited:
		w.Header().Set("X-Ogw-Ratelimit-Limit", "50")
		if f.RetryAfter != "" {
			w.Header().Set("X-Ogw-Ratelimit-Reset", f.RetryAfter)
		}
		return say(isJSON, status(http.StatusTooManyRequests), `{"code":99991400,"msg":"request trigger frequency limit"}`)
	case LimitedChat:
		return say(isJSON, http.StatusBadRequest, `{"code":230020,"msg":"This operation triggers the frequency limit."}`)
	case ServerError:
		return say("text/html", status(http.StatusInternalServerError), "<html>server error</html>")
	case Empty:
		return say(isJSON, http.StatusOK, "{}")
	case NotJSON:
		return say("text/plain", http.StatusOK, "ok")
	case Refused:
		return say(isJSON, status(http.StatusBadRequest), fmt.Sprintf(`{"code":%d,"msg":"refused"}`, f.Code))
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

// admit checks the token, the permission and the rate.
func (c *call) admit(m route) error {
	if m.open {
		return nil
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	given, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	now := s.opt.Now()
	switch {
	case !ok || given == "":
		return no(99991661, "Missing access token for authorization. Please make a request with token attached.")
	case !slices.ContainsFunc(s.tokens, func(t token) bool { return t.value == given && now.Before(t.until) }):
		return no(99991663, "Invalid access token for authorization. Please make a test attempt using a new access token from login or refresh.")
	case len(m.scopes) > 0 && !slices.ContainsFunc(m.scopes, s.scope):
		return no(99991672, "Access denied. One of the following scopes is required: [%s].", strings.Join(m.scopes, ", "))
	}
	wait := s.limit("api "+m.name, 50, time.Second)
	if wait == 0 {
		wait = s.limit("api/min "+m.name, 1000, time.Minute)
	}
	if wait > 0 {
		c.head.Set("X-Ogw-Ratelimit-Limit", "50")
		c.head.Set("X-Ogw-Ratelimit-Reset", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		return refuse{status: http.StatusTooManyRequests, code: 99991400, msg: "request trigger frequency limit"}
	}
	return nil
}

func (s *Server) scope(name string) bool { return slices.Contains(s.opt.Scopes, name) }

// limit counts one more of something, and returns how long it is too much; a
// refused one does not count. It needs s.mu.
func (s *Server) limit(key string, most int, span time.Duration) time.Duration {
	if !s.opt.RateLimits {
		return 0
	}
	w := s.windows[key]
	if w == nil {
		w = &window{}
		s.windows[key] = w
	}
	now := s.opt.Now()
	w.at = slices.DeleteFunc(w.at, func(t time.Time) bool { return now.Sub(t) >= span })
	if len(w.at) >= most {
		return span - now.Sub(w.at[0])
	}
	w.at = append(w.at, now)
	return 0
}

// read takes the body as JSON; what is no JSON is 9499, as with Feishu.
func (c *call) read(into any) error {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return no(9499, "Bad Request: Content-Type is not application/json")
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		return no(9499, "Bad Request: %v", err)
	}
	return nil
}

// missing is what a method says whose required parameter is not there.
func missing(field string) error {
	return no(99992402, "field validation failed: %s is required", field)
}

func invalid(what string) error {
	return no(230001, "Your request contains an invalid request parameter, ext=%s.", what)
}

func (c *call) token() (object, error) {
	var in struct {
		ID     string `json:"app_id"`
		Secret string `json:"app_secret"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	// The method answers errors with status 200.
	switch {
	case in.ID == "" || in.Secret == "":
		return nil, refuse{status: http.StatusOK, code: 10003, msg: "invalid param"}
	case s.suspended != 0:
		return nil, refuse{status: http.StatusOK, code: s.suspended, msg: "app is not available"}
	case in.ID != s.opt.AppID || in.Secret != s.opt.AppSecret:
		return nil, refuse{status: http.StatusOK, code: 10014, msg: "app secret invalid"}
	}
	now := s.opt.Now()
	s.tokens = slices.DeleteFunc(s.tokens, func(t token) bool { return !now.Before(t.until) })
	// The newest is given again while it has 30 minutes left; below that there
	// are two that are valid.
	if n := len(s.tokens); n == 0 || s.tokens[n-1].until.Sub(now) < 30*time.Minute {
		s.tokens = append(s.tokens, token{value: s.id("t-g1"), until: now.Add(2 * time.Hour)})
	}
	t := s.tokens[len(s.tokens)-1]
	return object{"tenant_access_token": t.value, "expire": int(t.until.Sub(now) / time.Second)}, nil
}

func (c *call) botInfo() (object, error) {
	o := c.s.opt
	return object{"bot": object{"activate_status": 2, "app_name": o.BotName, "avatar_url": "https://s1-imfile.feishucdn.com/bot.png", "ip_white_list": []string{}, "open_id": o.Bot}}, nil
}
