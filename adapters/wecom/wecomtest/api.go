package wecomtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// refuse is an error as the platform tells it.
type refuse struct {
	code int
	text string
	more object
}

// Error says it with its code.
func (r refuse) Error() string { return fmt.Sprintf("%d %s", r.code, r.text) }

// texts are the errmsgs; https://developer.work.weixin.qq.com/document/path/90313
var texts = map[int]string{
	-1: "system busy", 40001: "invalid credential", 40003: "invalid user", 40004: "invalid media type", 40007: "invalid media_id", 40008: "invalid message type",
	40013: "invalid corpid", 40014: "invalid access_token", 40029: "invalid code", 40031: "invalid userid list", 40033: "invalid charset", 40035: "invalid parameter",
	40056: "invalid agentid", 40058: "invalid Request Parameter", 41001: "access_token missing", 41004: "corpsecret missing",
	42001: "access_token expired", 42014: "invalid task_id", 42015: "app of the message does not match", 42016: "task_id not exist", 42022: "code has been used", 42052: "msgid expired",
	43012: "callback url of the app is required", 44001: "empty media data", 44004: "empty content", 45001: "media size out of limit", 45002: "content size out of limit",
	45008: "articles count out of limit", 45009: "api freq out of limit", 46003: "menu not exist", 46004: "user not exist", 47001: "data format error",
	48002: "api forbidden", 50001: "redirect_url is not registered", 60011: "no privilege to access/modify contact/party/agent", 60020: "not allow to access from your ip",
	60111: "userid not found", 60123: "invalid party id", 81013: "user & party & tag all invalid", 82001: "touser & toparty & totag all empty", 84061: "not external contact",
	86001: "invalid chatid", 86003: "chatid not exist", 86217: "invalid chat members", 93000: "invalid webhook url", 93004: "robot is off", 93006: "invalid chatid", 93008: "not in group",
	95000: "invalid open_kfid", 95001: "send msg count limit", 95002: "send msg time limit", 95004: "open_kfid not exist", 95007: "invalid msg token", 95008: "invalid menu",
	95013: "session ended", 95014: "not a servicer", 95016: "invalid service state transition", 95018: "session state invalid", 301002: "agentid does not match the secret",
	846605: "invalid req_id", 846608: "stream message update expired",
}

func no(code int) error { return refuse{code: code, text: texts[code]} }

func because(code int, format string, args ...any) error {
	return refuse{code: code, text: texts[code] + ": " + fmt.Sprintf(format, args...)}
}

// call is one request to the API.
type call struct {
	s     *Server
	r     *http.Request
	path  string
	query url.Values
	raw   []byte
	body  object
	app   int // whose token it is
}

// endpoint is one path below /cgi-bin/. A failed answer still has its lists, empty.
type endpoint struct {
	method string
	open   bool // needs no token
	lists  []string
	do     func(c *call) (object, error)
}

var endpoints = map[string]endpoint{
	"gettoken":                     {"GET", true, nil, getToken},
	"getcallbackip":                {"GET", false, []string{"ip_list"}, callbackIPs},
	"message/send":                 {"POST", false, nil, sendMessage},
	"message/update_template_card": {"POST", false, nil, updateCard},
	"message/recall":               {"POST", false, nil, recall},
	"appchat/create":               {"POST", false, nil, createAppChat},
	"appchat/update":               {"POST", false, nil, updateAppChat},
	"appchat/get":                  {"GET", false, nil, getAppChat},
	"appchat/send":                 {"POST", false, nil, sendAppChat},
	"webhook/send":                 {"POST", true, nil, sendWebhook},
	"webhook/upload_media":         {"POST", true, nil, uploadWebhook},
	"aibot/response":               {"POST", true, nil, robotResponse},
	"media/upload":                 {"POST", false, nil, uploadMedia},
	"user/get":                     {"GET", false, nil, getUser},
	"user/simplelist":              {"GET", false, []string{"userlist"}, listUsers(false)},
	"user/list":                    {"GET", false, []string{"userlist"}, listUsers(true)},
	"user/getuserid":               {"POST", false, nil, userByMobile},
	"user/get_userid_by_email":     {"POST", false, nil, userByEmail},
	"user/convert_to_openid":       {"POST", false, nil, toOpenID},
	"user/convert_to_userid":       {"POST", false, nil, toUserID},
	"department/simplelist":        {"GET", false, []string{"department_id"}, simpleDepartments},
	"department/get":               {"GET", false, nil, getDepartment},
	"department/list":              {"GET", false, []string{"department"}, listDepartments},
	"auth/getuserinfo":             {"GET", false, nil, userInfo},
	"auth/getuserdetail":           {"POST", false, nil, userDetail},
	"menu/create":                  {"POST", false, nil, createMenu},
	"menu/get":                     {"GET", false, nil, getMenu},
	"menu/delete":                  {"GET", false, nil, deleteMenu},
	"kf/sync_msg":                  {"POST", false, nil, syncMessages},
	"kf/send_msg":                  {"POST", false, nil, sendService},
	"kf/send_msg_on_event":         {"POST", false, nil, sendOnEvent},
	"kf/service_state/get":         {"POST", false, nil, serviceState},
	"kf/service_state/trans":       {"POST", false, nil, changeState},
	"kf/account/list":              {"POST", false, []string{"account_list"}, listAccounts},
	"kf/add_contact_way":           {"POST", false, nil, contactWay},
}

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/cgi-bin/")
	s.mu.Lock()
	s.calls[path]++
	s.mu.Unlock()
	e, known := endpoints[path]
	if !known && path != "media/get" {
		http.NotFound(w, r)
		return
	}
	f := s.fault(path)
	if f != nil && !meet(w, f) {
		return
	}
	if path == "media/get" {
		s.serveMedia(w, r, f)
		return
	}
	answer, err := s.run(e, path, r, f)
	if f != nil {
		switch f.Kind {
		case CutAfter, Silent:
			hang(w)
			return
		case Slow:
			t := time.NewTimer(f.Delay)
			defer t.Stop()
			select {
			case <-t.C:
			case <-r.Context().Done():
				return
			}
		}
	}
	if answer == nil {
		answer = object{}
	}
	if err == nil {
		answer["errcode"], answer["errmsg"] = 0, "ok"
		if f != nil && f.Kind == Warned {
			answer["errmsg"] = "ok. Warning: wrong json format. "
		}
	} else {
		s.tell(answer, err, e.lists)
	}
	b, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, "emulator: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	if f != nil && f.Kind == HalfAnswer {
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		b = b[:len(b)/2]
	}
	if _, err := w.Write(b); err != nil {
		return // the caller is gone
	}
}

// run checks the caller and does what is asked.
func (s *Server) run(e endpoint, path string, r *http.Request, f *Fault) (object, error) {
	if f != nil {
		if err := f.refusal(); err != nil {
			return nil, err
		}
	}
	c := &call{s: s, r: r, path: path, query: r.URL.Query()}
	if r.Method != e.method && !(e.method == http.MethodGet && r.Method == http.MethodPost) {
		return nil, refuse{code: 43001, text: "require " + e.method + " method"}
	}
	if !e.open {
		if err := s.admit(c); err != nil {
			return nil, err
		}
	}
	if e.method == http.MethodPost && !strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		var err error
		if c.raw, err = io.ReadAll(io.LimitReader(r.Body, 4<<20)); err != nil {
			return nil, no(47001)
		}
		if !utf8.Valid(c.raw) {
			return nil, no(40033)
		}
		if err := json.Unmarshal(c.raw, &c.body); err != nil {
			return nil, no(47001)
		}
	}
	return e.do(c)
}

// tell writes an error as the platform does.
func (s *Server) tell(answer object, err error, lists []string) {
	r, ok := err.(refuse)
	if !ok {
		r = refuse{code: -1, text: err.Error()}
	}
	s.mu.Lock()
	s.counter++
	hint := fmt.Sprintf("%d%09d", s.opt.Now().Unix(), s.counter)
	s.mu.Unlock()
	answer["errcode"] = r.code
	answer["errmsg"] = fmt.Sprintf("%s, hint: [%s], from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com/devtool/query?e=%d", r.text, hint, r.code)
	for k, v := range r.more {
		answer[k] = v
	}
	for _, l := range lists {
		answer[l] = []any{}
	}
}

// meet lets a request meet a fault that answers by itself.
func meet(w http.ResponseWriter, f *Fault) (goOn bool) {
	page := "<html><body><h1>Bad Gateway</h1></body></html>"
	status := http.StatusOK
	switch f.Kind {
	case CutBefore:
		hang(w)
		return false
	case ServerError:
		if status = f.Status; status == 0 {
			status = http.StatusInternalServerError
		}
	case NotJSON:
	case Empty:
		page = "{}"
	default:
		return true
	}
	w.WriteHeader(status)
	if _, err := io.WriteString(w, page); err != nil {
		return false // the caller is gone
	}
	return false
}

// admit checks the token, which counts in the query only, and the address.
func (s *Server) admit(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	value := c.query.Get("access_token")
	if value == "" {
		return no(41001)
	}
	t := s.tokens[value]
	switch {
	case t == nil || t.revoked:
		return no(40014)
	case !s.opt.Now().Before(t.until):
		return no(42001)
	}
	if host, _, err := net.SplitHostPort(c.r.RemoteAddr); err != nil || len(s.trusted) > 0 && !slices.Contains(s.trusted, host) {
		return no(60020)
	}
	c.app = t.app
	return nil
}

// wrongSecrets is how many wrong secrets within an hour ban an address for an
// hour. The number is not published.
const wrongSecrets = 10

func getToken(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now()
	s.wrong = slices.DeleteFunc(s.wrong, func(t time.Time) bool { return now.Sub(t) >= time.Hour })
	corp, secret := c.query.Get("corpid"), c.query.Get("corpsecret")
	switch {
	case len(s.wrong) >= wrongSecrets:
		return nil, no(45009)
	case secret == "":
		return nil, no(41004)
	case corp != s.opt.Corp:
		return nil, no(40013)
	}
	for _, a := range s.apps {
		if a.secret != secret {
			continue
		}
		for value, t := range s.tokens { // the same until it ends
			if t.app == a.id && !t.revoked && now.Before(t.until) {
				return object{"access_token": value, "expires_in": int(t.until.Sub(now) / time.Second)}, nil
			}
		}
		value := s.id("at") + strings.Repeat("x", 200)
		s.tokens[value] = &token{app: a.id, until: now.Add(s.opt.TokenLife)}
		return object{"access_token": value, "expires_in": int(s.opt.TokenLife / time.Second)}, nil
	}
	s.wrong = append(s.wrong, now)
	return nil, no(40001)
}

func callbackIPs(*call) (object, error) {
	return object{"ip_list": []string{"127.0.0.1", "1.2.3.*"}}, nil
}

// str and the like read a body.
func (c *call) str(key string) string {
	s, _ := c.body[key].(string)
	return s
}

func (c *call) num(key string) int {
	n, _ := number(c.body, key)
	return n
}

// strings reads a list of texts; ok is false when it is none.
func (c *call) strings(key string) (list []string, ok bool) {
	v, given := c.body[key]
	if !given {
		return nil, true
	}
	all, ok := v.([]any)
	for _, x := range all {
		s, isText := x.(string)
		if !isText {
			return nil, false
		}
		list = append(list, s)
	}
	return list, ok
}

// numbers reads a list of numbers.
func (c *call) numbers(key string) []int {
	list, _ := c.body[key].([]any)
	var out []int
	for _, x := range list {
		if f, ok := x.(float64); ok {
			out = append(out, int(f))
		}
	}
	return out
}
