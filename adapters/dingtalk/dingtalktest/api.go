package dingtalktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

type object = map[string]any

// refusal is an error in DingTalk's words: of the new API, and of the old one
// (a number, or "88." and a sub_code).
type refusal struct {
	status       int
	code, old    string
	message      string
	wanted       string // permission
	unauthorized bool
}

func (r refusal) Error() string { return r.code }

func fail(code, message string) refusal {
	return refusal{status: http.StatusBadRequest, code: code, old: code, message: message}
}

var (
	errBadToken   = refusal{status: 400, code: "InvalidAuthentication", old: "88.40014", message: "不合法的access_token"}
	errNoToken    = refusal{status: 400, code: "AuthenticationFailed.MissingParameter", old: "88.40000", message: "缺少参数：x-acs-dingtalk-access-token"}
	errTooFast    = refusal{status: 403, code: "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", old: "88.90018", message: "您的企业应用调用钉钉开放平台当前接口的所有请求都被暂时禁用了"}
	errAllTooFast = refusal{status: 403, code: "Forbidden.AccessDenied.QpsLimitForApi", old: "88.90002", message: "您的服务器调用钉钉开放平台当前接口的所有请求都被暂时禁用了"}
	errQuota      = refusal{status: 403, code: "Forbidden.AccessDenied.ApiCountLimitForOrg", old: "88.90020", message: "企业当月的API调用量已用完"}
	errParam      = fail("invalidParameter.param.invalid", "参数不合法")
)

// call is one call of either API.
type call struct {
	s     *Server
	body  []byte
	query map[string]string
	r     *http.Request
	fault *Fault
}

// read decodes the body into v, a struct whose fields are named as DingTalk
// names them, but for the case of the first letter or by their tags. A wrong
// type is refused; an unknown field is not, and a field in another spelling is
// an unknown one.
func (c *call) read(v any) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(c.body, &all); err != nil {
		return fail("invalidParameter.msgBody.invalid", "body必须是JSON: "+err.Error())
	}
	for key := range all {
		if !slices.Contains(names(reflect.TypeOf(v).Elem()), key) {
			delete(all, key)
		}
	}
	b, err := json.Marshal(all)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fail("invalidParameter.param.invalid", "参数不合法: "+err.Error())
	}
	return nil
}

func names(t reflect.Type) (out []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			out = append(out, names(f.Type)...)
		case name != "":
			out = append(out, name)
		default:
			out = append(out, strings.ToLower(f.Name[:1])+f.Name[1:])
		}
	}
	return out
}

// method is one API.
type method struct {
	name  string // as Calls names it
	needs string // permission
	open  bool   // wants no token
	free  bool   // does not count against the quota
	do    func(*call) (any, error)
}

// methods of api.dingtalk.com, below /v1.0/.
var methods = map[string]method{
	"POST oauth2/accessToken":              {name: "oauth2/accessToken", do: (*call).accessToken, open: true, free: true},
	"POST oauth2/{corpId}/token":           {name: "oauth2/token", do: (*call).corpToken, open: true, free: true},
	"POST gateway/connections/open":        {name: "gateway/connections/open", do: (*call).openConnection, open: true, free: true},
	"POST robot/oToMessages/batchSend":     {name: "robot/oToMessages/batchSend", do: (*call).batchSend, needs: "qyapi_robot_sendmsg"},
	"POST robot/groupMessages/send":        {name: "robot/groupMessages/send", do: (*call).groupSend, needs: "qyapi_robot_sendmsg"},
	"POST robot/otoMessages/batchRecall":   {name: "robot/otoMessages/batchRecall", do: (*call).batchRecall, needs: "qyapi_robot_sendmsg"},
	"POST robot/groupMessages/recall":      {name: "robot/groupMessages/recall", do: (*call).groupRecall, needs: "qyapi_robot_sendmsg"},
	"POST robot/messageFiles/download":     {name: "robot/messageFiles/download", do: (*call).download, needs: "qyapi_robot_sendmsg"},
	"POST robot/ding/send":                 {name: "robot/ding/send", do: (*call).ding, needs: "Premium.Ding.Write"},
	"POST card/instances":                  {name: "card/instances", do: (*call).cardCreate, needs: "Card.Instance.Write"},
	"PUT card/instances":                   {name: "card/instances/update", do: (*call).cardUpdate, needs: "Card.Instance.Write"},
	"POST card/instances/createAndDeliver": {name: "card/instances/createAndDeliver", do: (*call).cardCreateAndDeliver, needs: "Card.Instance.Write"},
	"POST card/instances/deliver":          {name: "card/instances/deliver", do: (*call).cardDeliver, needs: "Card.Instance.Write"},
	"POST card/callbacks/register":         {name: "card/callbacks/register", do: (*call).registerCallback, needs: "Card.Instance.Write"},
}

// longest is more than any request may have.
const longest = 1 << 20

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, longest))
	if err != nil {
		return // the caller is gone
	}
	path := strings.TrimPrefix(r.URL.Path, "/v1.0/")
	c := &call{s: s, body: body, r: r, query: map[string]string{}}
	if parts := strings.Split(path, "/"); len(parts) == 3 && parts[0] == "oauth2" && parts[2] == "token" {
		c.query["corpId"], path = parts[1], "oauth2/{corpId}/token"
	}
	m, known := methods[r.Method+" "+path]
	name := m.name
	if !known {
		name = path
	}
	s.mu.Lock()
	s.calls[name]++
	s.mu.Unlock()
	refuse := func(err error) {
		var no refusal
		if !errors.As(err, &no) {
			no = refusal{status: 500, code: "unknownError", message: err.Error()}
		}
		o := object{"code": no.code, "requestid": strings.ToUpper(uuid()), "message": no.message}
		if no.wanted != "" {
			o["accessdenieddetail"] = object{"requiredScopes": []string{no.wanted}}
		}
		answer(w, no.status, o, nil)
	}
	c.fault = s.fault(name)
	if c.fault != nil && !s.meet(w, r, c.fault, refuse) {
		return
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var out any
	switch {
	case !known:
		err = refusal{status: http.StatusNotFound, code: "InvalidAction.NotFound", message: "Specified api is not found, please check your url and method."}
	case kind != "application/json":
		err = refusal{status: http.StatusUnsupportedMediaType, code: "UnsupportedMediaType", message: "Content-Type必须是application/json"}
	default:
		if err = s.admit(m, r.Header.Get("x-acs-dingtalk-access-token")); err == nil {
			out, err = m.do(c)
		}
	}
	switch {
	case c.fault != nil && c.fault.Kind == CutAfter:
		hang(w)
	case err != nil:
		refuse(err)
	default:
		if raw, ok := out.(xmlAnswer); ok {
			w.Header().Set("Content-Type", "application/xml;charset=utf-8")
			if _, err := io.WriteString(w, string(raw)); err != nil {
				return
			}
			return
		}
		answer(w, http.StatusOK, out, c.fault)
	}
}

// xmlAnswer is what a caller gets who does not accept JSON.
type xmlAnswer string

func answer(w http.ResponseWriter, status int, body any, f *Fault) {
	b, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "emulator: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	if f != nil && f.Kind == HalfAnswer {
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		b = b[:len(b)/2]
	}
	w.WriteHeader(status)
	if _, err := w.Write(b); err != nil {
		return // the caller is gone
	}
}

// admit checks token, permission, rate and quota of a call.
func (s *Server) admit(m method, token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now()
	if !m.open {
		switch {
		case token == "":
			return errNoToken
		case s.revoked || s.token == "" || token != s.token || !now.Before(s.tokenEnds):
			return errBadToken
		case m.needs != "" && !slices.Contains(s.opt.Permissions, m.needs):
			return refusal{status: 403, code: "Forbidden.AccessDenied.AccessTokenPermissionDenied", old: "88.60011", message: "应用尚未开通所需的权限：[" + m.needs + "]", wanted: m.needs}
		}
	}
	if s.opt.QPS > 0 {
		w := s.windows[m.name]
		if w == nil || now.Sub(w.start) >= time.Second {
			w = &window{start: now}
			s.windows[m.name] = w
		}
		if w.n++; w.n > s.opt.QPS {
			return errTooFast
		}
	}
	if !m.free {
		s.turnMonth()
		if s.opt.Quota > 0 && s.paid >= s.opt.Quota {
			return errQuota
		}
		s.paid++
	}
	return nil
}

// tokenLife is how long a token serves; asking again within it returns the same
// token (https://open.dingtalk.com/document/development/obtain-the-access-token-of-an-internal-app).
const tokenLife = 7200

// freshToken needs s.mu.
func (s *Server) freshToken() string {
	now := s.opt.Now()
	if s.token == "" || !now.Before(s.tokenEnds) {
		s.token = strings.ReplaceAll(uuid(), "-", "")
	}
	s.tokenEnds = now.Add(tokenLife * time.Second)
	return s.token
}

func (c *call) known(id, secret string) bool {
	return !c.s.revoked && id == c.s.opt.ClientID && secret == c.s.opt.ClientSecret
}

func (c *call) accessToken() (any, error) {
	var in struct{ AppKey, AppSecret string }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if !c.known(in.AppKey, in.AppSecret) {
		return nil, fail("invalidClientIdOrSecret", "无效的clientId或者clientSecret")
	}
	return object{"accessToken": c.s.freshToken(), "expireIn": tokenLife}, nil
}

func (c *call) corpToken() (any, error) {
	var in struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
		Grant  string `json:"grant_type"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	switch {
	case c.query["corpId"] != c.s.opt.CorpID:
		return nil, refusal{status: 500, code: "unknownError", message: "未知错误"}
	case in.Grant != "client_credentials" || !c.known(in.ID, in.Secret):
		return nil, fail("invalidClientIdOrSecret", "无效的clientId或者clientSecret")
	}
	return object{"access_token": c.s.freshToken(), "expires_in": tokenLife}, nil
}

// template is a msgKey: the parameters that must be there.
var templates = map[string][]string{
	"sampleText": {"content"}, "sampleMarkdown": {"title", "text"}, "sampleImageMsg": {"photoURL"},
	"sampleLink": {"title", "text", "messageUrl"}, "sampleActionCard": {"title", "text", "singleTitle", "singleURL"},
	"sampleActionCard2": {"title", "text", "actionTitle1", "actionURL1", "actionTitle2", "actionURL2"},
	"sampleActionCard3": {"title", "text", "actionTitle1", "actionURL1", "actionTitle2", "actionURL2", "actionTitle3", "actionURL3"},
	"sampleActionCard4": {"title", "text", "actionTitle1", "actionURL1", "actionTitle2", "actionURL2", "actionTitle3", "actionURL3", "actionTitle4", "actionURL4"},
	"sampleActionCard5": {"title", "text", "actionTitle1", "actionURL1", "actionTitle2", "actionURL2", "actionTitle3", "actionURL3", "actionTitle4", "actionURL4", "actionTitle5", "actionURL5"},
	"sampleActionCard6": {"title", "text", "buttonTitle1", "buttonUrl1", "buttonTitle2", "buttonUrl2"},
	"sampleAudio":       {"mediaId", "duration"}, "sampleFile": {"mediaId", "fileName", "fileType"},
	"sampleVideo": {"duration", "videoMediaId", "videoType", "picMediaId"},
}

// longestParam is the limit of msgParam in bytes
// (https://open.dingtalk.com/document/development/the-robot-sends-a-group-message).
const longestParam = 15000

// robotMessage is what both ways to send have in common.
type robotMessage struct {
	RobotCode, MsgKey, MsgParam string
}

// check needs s.mu. It returns the message, which is not put anywhere yet.
func (in robotMessage) check(s *Server) (*Message, error) {
	switch {
	case in.RobotCode == "":
		return nil, fail("invalidParameter.robotCode.empty", "机器人robotCode为空")
	case in.RobotCode != s.opt.RobotCode:
		return nil, fail("invalidParameter.robotCode.notExsit", "机器人不存在")
	case in.MsgKey == "":
		return nil, fail("invalidParameter.msgKey.empty", "缺少msgKey")
	case len(in.MsgParam) > longestParam:
		return nil, fail("invalidParameter.msgParam.tooLong", "消息内容太长")
	}
	wanted, known := templates[in.MsgKey]
	if !known {
		return nil, fail("invalidParameter.msgKey.invalid", "msgKey无效")
	}
	var p map[string]string
	if err := json.Unmarshal([]byte(in.MsgParam), &p); err != nil {
		return nil, fail("invalidParameter.msgParam.invalid", "msgParam必须是json格式")
	}
	for _, k := range wanted {
		if p[k] == "" {
			return nil, fail("invalidParameter.param.invalid", "参数不合法: "+k)
		}
	}
	m := &Message{Kind: in.MsgKey, Title: p["title"], Text: p["text"] + p["content"]}
	for i := 1; p[fmt.Sprintf("actionTitle%d", i)] != ""; i++ {
		m.Buttons = append(m.Buttons, Link{p[fmt.Sprintf("actionTitle%d", i)], p[fmt.Sprintf("actionURL%d", i)]})
	}
	for i := 1; p[fmt.Sprintf("buttonTitle%d", i)] != ""; i++ {
		m.Buttons = append(m.Buttons, Link{p[fmt.Sprintf("buttonTitle%d", i)], p[fmt.Sprintf("buttonUrl%d", i)]})
	}
	switch {
	case p["singleURL"] != "":
		m.Buttons = []Link{{p["singleTitle"], p["singleURL"]}}
	case p["messageUrl"] != "":
		m.Buttons = []Link{{p["title"], p["messageUrl"]}}
	}
	if id := p["mediaId"]; id != "" {
		f := s.files[id]
		if f == nil || !f.uploaded {
			return nil, fail("invalidParameter.param.invalid", "参数不合法: mediaId")
		}
		if in.MsgKey == "sampleFile" && !slices.Contains(fileTypes, p["fileType"]) {
			return nil, fail("invalidParameter.param.invalid", "参数不合法: fileType")
		}
		if p["fileName"] != "" {
			f.Name = p["fileName"]
		}
		m.Files = []string{id}
	}
	return m, nil
}

// share says where the files of a message went. It needs s.mu.
func (s *Server) share(m *Message) {
	for _, id := range m.Files {
		s.files[id].Conv = m.Conv
	}
}

// fileTypes are what can be uploaded and sent as a file
// (https://open.dingtalk.com/document/development/upload-media-files).
var fileTypes = []string{"doc", "docx", "xls", "xlsx", "ppt", "pptx", "zip", "pdf", "rar"}

func (c *call) batchSend() (any, error) {
	var in struct {
		robotMessage
		UserIDs []string `json:"userIds"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(in.UserIDs) == 0:
		return nil, fail("invalidParameter.userIds.empty", "用户userId列表为空")
	case len(in.UserIDs) > 20:
		return nil, fail("invalidParameter.userIds.overMax", "用户userId列表超过最大限制")
	}
	m, err := in.check(s)
	if err != nil {
		return nil, err
	}
	m.Key = uuid()
	invalid, slow := []string{}, []string{}
	for _, id := range in.UserIDs {
		u := s.users[id]
		switch {
		case u == nil || u.Left || u.Outside || u.External:
			invalid = append(invalid, id)
		case u.Throttled:
			slow = append(slow, id)
		default:
			one := *m
			s.put(s.privateOf(id), &one)
			s.share(&one)
			s.arrived("robot/oToMessages/batchSend", &one, one.Title+"\n"+one.Text)
		}
	}
	return object{"processQueryKey": m.Key, "invalidStaffIdList": invalid, "flowControlledStaffIdList": slow}, nil
}

// place needs s.mu.
func (s *Server) place(conv string) (*Group, error) {
	g := s.groups[conv]
	switch {
	case conv == "":
		return nil, fail("miss.openConversationId", "缺少openConversationId")
	case g == nil || g.User != "":
		return nil, fail("invalid.openConversationId", "无效的openConversationId")
	case g.Disbanded:
		return nil, fail("group.disbanded", "群已经解散")
	case !g.Robot:
		return nil, fail("invalidParameter.robotCode.notExsit", "机器人不存在")
	case g.Stopped:
		return nil, fail("bot.stopped", "群机器人已经停用")
	}
	return g, nil
}

func (c *call) groupSend() (any, error) {
	var in struct {
		robotMessage
		OpenConversationID string `json:"openConversationId"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := in.check(s)
	if err != nil {
		return nil, err
	}
	g, err := s.place(in.OpenConversationID)
	if err != nil {
		return nil, err
	}
	m.Key = uuid()
	s.put(g, m)
	s.share(m)
	s.arrived("robot/groupMessages/send", m, m.Title+"\n"+m.Text)
	return object{"processQueryKey": m.Key}, nil
}

func (c *call) batchRecall() (any, error) { return c.recall(false) }

func (c *call) groupRecall() (any, error) { return c.recall(true) }

func (c *call) recall(group bool) (any, error) {
	var in struct {
		RobotCode          string
		OpenConversationID string `json:"openConversationId"`
		ProcessQueryKeys   []string
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case in.RobotCode != s.opt.RobotCode:
		return nil, fail("invalidParameter.robotCode", "机器人不存在")
	case len(in.ProcessQueryKeys) == 0:
		return nil, fail("invalidParameter.processQueryKey.missing", "缺少processQueryKey")
	case len(in.ProcessQueryKeys) > 20:
		return nil, fail("invalidParameter.processQueryKeys.overMax", "processQueryKeys超过数量上限20")
	}
	if group {
		if _, err := s.place(in.OpenConversationID); err != nil {
			return nil, err
		}
	}
	done, failed := []string{}, map[string]string{}
	for _, key := range in.ProcessQueryKeys {
		found := false
		for _, g := range s.groups {
			if group != (g.User == "") || group && g.ID != in.OpenConversationID {
				continue
			}
			for _, m := range g.messages {
				if m.Key == key && !m.Recalled {
					m.Recalled, found = true, true
				}
			}
		}
		if found {
			done = append(done, key)
		} else {
			failed[key] = "invalid.processQueryKey"
		}
	}
	return object{"successResult": done, "failedResult": failed}, nil
}

// downloadable is a file behind a download code, or behind the address that was made of it.
type downloadable struct {
	file  string
	until time.Time
}

func (c *call) download() (any, error) {
	var in struct{ DownloadCode, RobotCode string }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.codes[in.DownloadCode]
	switch {
	case in.RobotCode == "":
		return nil, fail("invalidParameter.robotCode.empty", "机器人robotCode为空")
	case in.DownloadCode == "":
		return nil, fail("invalidParameter.robotCode.empty", "机器人downloadCode为空")
	case in.RobotCode != s.opt.RobotCode:
		return nil, fail("invalidParameter.robotCode.auth", "此downloadCode和机器人robotCode不匹配，请使用接收此条消息机器人robotCode和对应的downloadCode")
	case d == nil || s.opt.Now().After(d.until):
		return nil, fail("invalidParameter.robotCode.downloadCode", "下载码有误或者已经过期")
	}
	address := strings.ReplaceAll(uuid(), "-", "")
	s.codes["url/"+address] = &downloadable{file: d.file, until: s.opt.Now().Add(10 * time.Minute)}
	return object{"downloadUrl": s.api.URL + "/download/" + address + "?Expires=" + strconv.FormatInt(s.opt.Now().Add(10*time.Minute).Unix(), 10)}, nil
}

// serveDownload is the storage that a download address leads to: not DingTalk's
// API, and none of its business what the app's token is.
func (s *Server) serveDownload(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("x-acs-dingtalk-access-token") != "" {
		s.complain("the access token was sent to the file storage")
		http.Error(w, "InvalidArgument", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	d := s.codes["url/"+r.PathValue("code")]
	var content []byte
	ok := d != nil && !s.opt.Now().After(d.until)
	if ok {
		content = s.files[d.file].Content
	}
	s.mu.Unlock()
	if !ok {
		http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if _, err := w.Write(content); err != nil {
		return // the caller is gone
	}
}

func (c *call) ding() (any, error) {
	var in struct {
		RobotCode, Content string
		RemindType         int
		ReceiverUserIDList []string `json:"receiverUserIdList"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	most := 200
	if in.RemindType != 1 {
		most = 20
	}
	switch {
	case in.RobotCode != s.opt.RobotCode:
		return nil, fail("invalid.chatbotId", "invalid.chatbotId")
	case len(in.ReceiverUserIDList) == 0:
		return nil, fail("miss.staffId", "miss.staffId")
	case in.RemindType < 1 || in.RemindType > 3 || in.Content == "":
		return nil, errParam
	case len(in.ReceiverUserIDList) > most:
		return nil, fail("ding.receivercount.limit", "ding receiver count limit")
	}
	d := Ding{ID: s.id("ding"), Content: in.Content, Remind: in.RemindType}
	failed := map[string][]string{}
	for _, id := range in.ReceiverUserIDList {
		if u := s.users[id]; u == nil || u.Left || u.Outside {
			failed["miss.staffId"] = append(failed["miss.staffId"], id)
			continue
		}
		d.To = append(d.To, id)
	}
	s.dings = append(s.dings, d)
	return object{"openDingId": d.ID, "failedList": failed}, nil
}
