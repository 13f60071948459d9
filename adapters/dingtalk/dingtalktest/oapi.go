package dingtalktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// oldMethods of oapi.dingtalk.com. They answer 200 whatever happens.
var oldMethods = map[string]method{
	"GET gettoken":                    {name: "gettoken", do: (*call).getToken, open: true, free: true},
	"POST topapi/v2/user/get":         {name: "topapi/v2/user/get", do: (*call).userGet, needs: "qyapi_get_member", free: true},
	"POST topapi/v2/user/getbymobile": {name: "topapi/v2/user/getbymobile", do: (*call).userByMobile, needs: "qyapi_get_member_by_mobile", free: true},
	"POST topapi/user/getbyunionid":   {name: "topapi/user/getbyunionid", do: (*call).userByUnion, needs: "qyapi_get_member", free: true},
	"POST media/upload":               {name: "media/upload", do: (*call).upload, needs: "qyapi_base"},
	"POST robot/sendBySession":        {name: "robot/sendBySession", do: (*call).sendBySession, open: true, free: true},
	"POST robot/send":                 {name: "robot/send", do: (*call).webhookSend, open: true, free: true},
}

// longestUpload is more than any file may have, with what is around it.
const longestUpload = 21 << 20

func (s *Server) serveOAPI(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, longestUpload))
	if err != nil {
		return // the caller is gone
	}
	p := strings.TrimPrefix(r.URL.Path, "/")
	m, known := oldMethods[r.Method+" "+p]
	c := &call{s: s, body: body, r: r, query: map[string]string{}}
	for k := range r.URL.Query() {
		c.query[k] = r.URL.Query().Get(k)
	}
	s.mu.Lock()
	s.calls[p]++
	s.mu.Unlock()
	refuse := func(err error) { answer(w, http.StatusOK, oldError(err), nil) }
	c.fault = s.fault(p)
	if c.fault != nil && !s.meet(w, r, c.fault, refuse) {
		return
	}
	token := c.query["access_token"]
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(body))
		if err == nil {
			flat := object{}
			for k := range form {
				flat[k] = form.Get(k)
			}
			if token == "" {
				token = form.Get("access_token")
			}
			c.body, err = json.Marshal(flat)
		}
		if err != nil {
			refuse(fail("400002", "无效的参数"))
			return
		}
	}
	var out any
	_, post := oldMethods["POST "+p]
	switch {
	case !known && post:
		err = fail("43002", "需要POST请求")
	case !known:
		name := "dingtalk.oapi." + strings.ReplaceAll(strings.TrimPrefix(p, "topapi/"), "/", ".")
		err = refusal{old: "22", message: "Invalid method[submsg=不合法ApiName，ApiName = " + name + "]"}
	default:
		if err = s.admit(m, token); errors.Is(err, errNoToken) {
			err = refusal{old: "88.40000", message: "access_token is blank"}
		}
		if err == nil {
			out, err = m.do(c)
		}
	}
	switch {
	case c.fault != nil && c.fault.Kind == CutAfter:
		hang(w)
	case err != nil:
		refuse(err)
	default:
		o := object{"errcode": 0, "errmsg": "ok"}
		if more, ok := out.(object); ok {
			for k, v := range more {
				o[k] = v
			}
		}
		if strings.HasPrefix(p, "topapi/") {
			o["request_id"] = uuid()[:13]
		}
		answer(w, http.StatusOK, o, c.fault)
	}
}

// oldError says a refusal as the old API does: a failed check of the token or
// the limits is wrapped, and its sub_code is a string.
func oldError(err error) object {
	var no refusal
	if !errors.As(err, &no) {
		no = refusal{old: "-1", message: "系统繁忙"}
	}
	code, sub, wrapped := strings.Cut(no.old, ".")
	n, bad := strconv.Atoi(code)
	if bad != nil {
		n, wrapped = -1, false // a code of the new API: the busy system
	}
	if !wrapped {
		return object{"errcode": n, "errmsg": no.message, "request_id": uuid()[:13]}
	}
	return object{"errcode": n, "sub_code": sub, "sub_msg": no.message, "errmsg": fmt.Sprintf("ding talk error[subcode=%s,submsg=%s]", sub, no.message), "request_id": uuid()[:13]}
}

func (c *call) getToken() (any, error) {
	id, secret := c.query["appkey"], c.query["appsecret"]
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	switch {
	case id == "":
		return nil, fail("40035", "缺少参数 corpid or appkey")
	case !c.known(id, secret):
		return nil, fail("40096", "不合法的appKey或appSecret")
	}
	return object{"access_token": c.s.freshToken(), "expires_in": tokenLife}, nil
}

func (c *call) userGet() (any, error) {
	var in struct {
		UserID   string `json:"userid"`
		Language string
	}
	if err := c.readOld(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[in.UserID]
	switch {
	case in.UserID == "" || in.Language != "" && in.Language != "zh_CN" && in.Language != "en_US":
		return nil, fail("400002", "无效的参数")
	case len(in.UserID) > 64 || strings.ContainsAny(in.UserID, " /\n"):
		return nil, fail("33012", "无效的USERID")
	case u == nil || u.Left || u.External:
		return nil, fail("60121", "找不到该用户")
	case u.Outside:
		return nil, fail("50002", "用户不在授权范围内")
	}
	o := object{"userid": u.ID, "unionid": u.UnionID, "name": u.Name, "title": u.Title, "active": true, "admin": u.Admin, "boss": false, "senior": false, "dept_id_list": []int{1}, "hide_mobile": false}
	if u.Mobile != "" && slices.Contains(s.opt.Permissions, "fieldMobile") {
		o["mobile"], o["state_code"] = u.Mobile, "86"
	}
	if u.Email != "" && slices.Contains(s.opt.Permissions, "fieldEmail") {
		o["email"] = u.Email
	}
	return object{"result": o}, nil
}

// readOld is read with the old API's error.
func (c *call) readOld(v any) error {
	if c.read(v) != nil {
		return fail("400002", "无效的参数")
	}
	return nil
}

var mobileForm = regexp.MustCompile(`^\+?[0-9-]{5,20}$`)

func (c *call) userByMobile() (any, error) {
	var in struct{ Mobile string }
	if err := c.readOld(&in); err != nil {
		return nil, err
	}
	if !mobileForm.MatchString(in.Mobile) {
		return nil, fail("40104", "企业中无效的手机号")
	}
	return c.who(func(u *User) bool { return u.Mobile == in.Mobile })
}

func (c *call) userByUnion() (any, error) {
	var in struct {
		UnionID string `json:"unionid"`
	}
	if err := c.readOld(&in); err != nil {
		return nil, err
	}
	return c.who(func(u *User) bool { return u.UnionID == in.UnionID })
}

func (c *call) who(is func(*User) bool) (any, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for _, u := range c.s.users {
		if is(u) && !u.Left && !u.Outside && !u.External {
			return object{"result": object{"userid": u.ID, "contact_type": 0}}, nil
		}
	}
	return nil, fail("60121", "找不到该用户")
}

// uploads are the kinds of files, with their extensions and longest sizes
// (https://open.dingtalk.com/document/development/upload-media-files).
var uploads = map[string]struct {
	ext  []string
	most int
}{
	"image": {[]string{"jpg", "jpeg", "gif", "png", "bmp"}, 20 << 20},
	"voice": {[]string{"amr", "mp3", "wav"}, 2 << 20},
	"video": {[]string{"mp4"}, 20 << 20},
	"file":  {fileTypes, 20 << 20},
}

func (c *call) upload() (any, error) {
	r := c.r.Clone(c.r.Context())
	r.Body = io.NopCloser(bytes.NewReader(c.body))
	if err := r.ParseMultipartForm(longestUpload); err != nil {
		return nil, fail("40035", "缺少参数 media")
	}
	kind := c.query["type"]
	if kind == "" {
		kind = r.FormValue("type")
	}
	file, head, err := r.FormFile("media")
	if err != nil {
		return nil, fail("40035", "缺少参数 media")
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, fail("-1", "系统繁忙")
	}
	allowed, known := uploads[kind]
	ext := strings.ToLower(strings.TrimPrefix(path.Ext(head.Filename), "."))
	switch {
	case !known:
		return nil, fail("40004", "不合法的媒体文件类型")
	case !slices.Contains(allowed.ext, ext):
		return nil, fail("40005", "不合法的文件类型")
	case len(content) == 0 || len(content) > allowed.most:
		return nil, fail("40006", "不合法的文件大小")
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.id("@lAz")
	s.files[id] = &File{ID: id, Name: head.Filename, Kind: kind, Content: content, uploaded: true}
	return object{"type": kind, "media_id": id, "created_at": s.opt.Now().UnixMilli()}, nil
}

// webhookMessage is what is sent to a session's or a group's webhook.
type webhookMessage struct {
	MsgType string `json:"msgtype"`
	MsgUUID string `json:"msgUuid"`
	Text    *struct {
		Content string `json:"content"`
	} `json:"text"`
	Markdown *struct {
		Title string `json:"title"`
		Text  string `json:"text"`
	} `json:"markdown"`
	ActionCard *struct {
		Title       string `json:"title"`
		Text        string `json:"text"`
		SingleTitle string `json:"singleTitle"`
		SingleURL   string `json:"singleURL"`
		Orientation string `json:"btnOrientation"`
		Buttons     []struct {
			Title string `json:"title"`
			URL   string `json:"actionURL"`
		} `json:"btns"`
	} `json:"actionCard"`
	Link *struct {
		Title string `json:"title"`
		Text  string `json:"text"`
		URL   string `json:"messageUrl"`
	} `json:"link"`
	At struct {
		UserIDs []string `json:"atUserIds"`
		Mobiles []string `json:"atMobiles"`
		All     bool     `json:"isAtAll"`
	} `json:"at"`
}

// message checks what is sent and makes a message of it. Who is mentioned must
// be in the group; in markdown the text must contain "@" and the id or number
// (https://open.dingtalk.com/document/dingstart/robot-reply-and-send-messages). It needs s.mu.
func (in webhookMessage) message(s *Server, g *Group) (*Message, error) {
	missing := func(what string) (*Message, error) { return nil, fail("40035", "缺少参数 "+what) }
	m := &Message{Kind: in.MsgType, Webhook: true}
	switch in.MsgType {
	case "text":
		if in.Text == nil || in.Text.Content == "" {
			return missing("text->content")
		}
		m.Text = in.Text.Content
	case "markdown":
		if in.Markdown == nil || in.Markdown.Title == "" || in.Markdown.Text == "" {
			return missing("markdown->title, markdown->text")
		}
		m.Title, m.Text = in.Markdown.Title, in.Markdown.Text
	case "actionCard":
		a := in.ActionCard
		if a == nil || a.Title == "" || a.Text == "" || (a.SingleTitle == "" || a.SingleURL == "") && len(a.Buttons) == 0 {
			return missing("actionCard")
		}
		m.Title, m.Text = a.Title, a.Text
		if a.SingleURL != "" {
			m.Buttons = []Link{{a.SingleTitle, a.SingleURL}}
		}
		for _, b := range a.Buttons {
			if b.Title == "" || b.URL == "" {
				return missing("actionCard->btns")
			}
			m.Buttons = append(m.Buttons, Link{b.Title, b.URL})
		}
		if o := a.Orientation; o != "" && o != "0" && o != "1" {
			return missing("actionCard->btnOrientation")
		}
	case "link":
		if in.Link == nil || in.Link.Title == "" || in.Link.Text == "" || in.Link.URL == "" {
			return missing("link")
		}
		m.Title, m.Text, m.Buttons = in.Link.Title, in.Link.Text, []Link{{in.Link.Title, in.Link.URL}}
	case "":
		return missing("msgtype")
	default:
		return nil, fail("400105", "不支持的消息类型")
	}
	if len(in.At.UserIDs)+len(in.At.Mobiles) > 50 {
		return nil, fail("400002", "一次最多@50人")
	}
	if g.User == "" && in.MsgType != "link" && in.MsgType != "actionCard" {
		m.AtAll = in.At.All
		for id := range g.Members {
			u := s.users[id]
			byID := slices.Contains(in.At.UserIDs, id) && (in.MsgType == "text" || strings.Contains(m.Text, "@"+id))
			byMobile := u != nil && u.Mobile != "" && slices.Contains(in.At.Mobiles, u.Mobile) && (in.MsgType == "text" || strings.Contains(m.Text, "@"+u.Mobile))
			if byID || byMobile {
				m.At = append(m.At, id)
			}
		}
		slices.Sort(m.At)
	}
	return m, nil
}

func (c *call) webhookBody() (in webhookMessage, err error) {
	kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if kind != "application/json" {
		return in, fail("43004", "无效的HTTP HEADER Content-Type")
	}
	if json.Unmarshal(c.body, &in) != nil {
		return in, fail("40035", "缺少参数 json")
	}
	return in, nil
}

func (c *call) sendBySession() (any, error) {
	in, err := c.webhookBody()
	if err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.sessions[c.query["session"]]
	if to == nil || s.opt.Now().After(to.until) {
		return nil, fail("300005", "token is not exist")
	}
	g := s.groups[to.conv]
	switch {
	case g.Disbanded:
		return nil, fail("400013", "群已被解散")
	case !g.Robot:
		return nil, fail("400106", "机器人不存在")
	case g.Stopped:
		return nil, fail("400102", "机器人已停用")
	}
	m, err := in.message(s, g)
	if err != nil {
		return nil, err
	}
	s.put(g, m)
	s.arrived("robot/sendBySession", m, m.Title+"\n"+m.Text)
	return nil, nil
}

// webhook is a custom robot of a group: it only sends.
type webhook struct {
	conv, secret, keyword string
	sent                  []time.Time
	mutedTill             time.Time
	seen                  map[string]bool // msgUuid
}

// AddWebhook makes a custom robot in a group, secured by a secret or a keyword
// ("" = not). The access token of its address is returned.
func (s *Server) AddWebhook(conv, secret, keyword string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := strings.ReplaceAll(uuid()+uuid(), "-", "")
	s.webhooks[token] = &webhook{conv: conv, secret: secret, keyword: keyword, seen: map[string]bool{}}
	return token
}

func (c *call) webhookSend() (any, error) {
	in, err := c.webhookBody()
	if err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.webhooks[c.query["access_token"]]
	if w == nil {
		return nil, fail("300005", "token is not exist")
	}
	now := s.opt.Now()
	if w.secret != "" {
		ms, err := strconv.ParseInt(c.query["timestamp"], 10, 64)
		if err != nil || now.Sub(time.UnixMilli(ms)).Abs() > time.Hour {
			return nil, fail("310000", "invalid timestamp")
		}
		if c.query["sign"] != SignWebhook(w.secret, time.UnixMilli(ms)).Get("sign") {
			return nil, fail("310000", "sign not match")
		}
	}
	if w.keyword != "" && !strings.Contains(string(c.body), w.keyword) {
		return nil, fail("310000", "keywords not in content")
	}
	// More than 20 a minute are refused for ten minutes.
	w.sent = slices.DeleteFunc(w.sent, func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	if now.Before(w.mutedTill) {
		return nil, fail("410100", "发送速度太快而限流")
	}
	if len(w.sent) >= 20 {
		w.mutedTill = now.Add(10 * time.Minute)
		return nil, fail("410100", "发送速度太快而限流")
	}
	g := s.groups[w.conv]
	if g.Disbanded {
		return nil, fail("400013", "群已被解散")
	}
	m, err := in.message(s, g)
	if err != nil {
		return nil, err
	}
	w.sent = append(w.sent, now)
	if in.MsgUUID != "" {
		if w.seen[in.MsgUUID] {
			return nil, nil
		}
		w.seen[in.MsgUUID] = true
	}
	s.put(g, m)
	s.arrived("robot/send", m, m.Title+"\n"+m.Text)
	return nil, nil
}
