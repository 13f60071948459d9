package wecom

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

var (
	echoForm   = regexp.MustCompile(`^[\x21-\x7e]{1,256}$`)
	userForm   = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_.@-]{0,63}$`)
	msgForm    = regexp.MustCompile(`^[0-9]{1,24}$`)
	sentForm   = regexp.MustCompile(`^[0-9A-Za-z_-]{1,128}$`) // a msgid that message/send told
	mediaForm  = regexp.MustCompile(`^[0-9A-Za-z_-]{1,256}$`)
	taskIDForm = regexp.MustCompile(`^[0-9A-Za-z_@-]{1,128}$`)
)

// The bounds of a text that comes in; WeCom's own is 2048 bytes.
const maxText = 16 << 10

// codeFor is how long a code that changes a card is good, from the send or the
// press that brought it. https://developer.work.weixin.qq.com/document/path/94888
const codeFor = 72 * time.Hour

// codeKey is where the Shelf keeps a card's unspent codes, the newest on top.
func codeKey(task string) string { return "code/" + task }

// appRef names a card of the app's: "app/lisi/pd3f…".
func appRef(user, task string) bot.MessageRef {
	return bot.MessageRef(surfaceApp + "/" + user + "/" + task)
}

// textRef names a message of the app's that is no card: "msg/lisi/<msgid>".
func textRef(user, msgid string) bot.MessageRef {
	return bot.MessageRef(surfaceText + "/" + user + "/" + msgid)
}

// parseRef reads what appRef or textRef wrote.
func parseRef(r bot.MessageRef) (kind, user, id string, err error) {
	p := strings.Split(string(r), "/")
	ok := len(p) == 3 && userForm.MatchString(p[1])
	if ok = ok && (p[0] == surfaceApp && taskIDForm.MatchString(p[2]) || p[0] == surfaceText && sentForm.MatchString(p[2])); !ok {
		return "", "", "", fmt.Errorf("message reference %q: %w", string(r), bot.ErrRejected)
	}
	return p[0], p[1], p[2], nil
}

// digest makes one short name of several parts.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s;", len(p), p)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// decode reads a message or an event of the app's.
// https://developer.work.weixin.qq.com/document/path/90239 and …/90240
func (a *app) decode(r bot.Raw, plain []byte, k *kf) (bot.Inbound, error) {
	if r.Method == http.MethodGet {
		if !echoForm.Match(plain) {
			return bot.Inbound{}, malformed("echo")
		}
		return bot.Inbound{Echo: string(plain), Kind: "verify"}, nil
	}
	m, err := parseXML(plain)
	if err != nil {
		return bot.Inbound{}, malformed("message")
	}
	if m.value("ToUserName") != a.conf.CorpID {
		return bot.Inbound{}, malformed("another corp")
	}
	if id := m.value("AgentID"); id != "" && id != "0" && id != strconv.FormatInt(a.conf.AgentID, 10) {
		return bot.Inbound{}, malformed("another app")
	}
	sec, err := strconv.ParseInt(m.value("CreateTime"), 10, 64)
	if err != nil || sec <= 0 || sec > 1<<33 {
		return bot.Inbound{}, malformed("time")
	}
	kind := m.value("MsgType")
	if kind == "event" && m.value("Event") == "kf_msg_or_event" {
		return k.event(m)
	}
	user := m.value("FromUserName")
	if !userForm.MatchString(user) {
		return bot.Inbound{}, malformed("user")
	}
	e := bot.Event{At: time.Unix(sec, 0).UTC(), User: a.user(user), Private: true}
	if kind == "event" {
		return a.event(e, m)
	}
	return a.message(e, m, kind)
}

// message reads what a member wrote. All of it is for the bot: the app has no
// groups.
func (a *app) message(e bot.Event, m *element, kind string) (bot.Inbound, error) {
	id := m.value("MsgId")
	if !msgForm.MatchString(id) {
		return bot.Inbound{}, malformed("message without id")
	}
	e.Kind, e.ID, e.ToBot = bot.Message, surfaceApp+":msg:"+id, true
	e.Message = textRef(e.User.ID, id)
	known := true
	switch kind {
	case "text":
		e.Text = m.value("Content")
	case "voice":
		e.Text = m.value("Recognition") // where the corp has speech recognition on
		e.Files = a.file(m, "voice."+extension(m.value("Format"), "amr"), "audio/amr")
	case "image":
		e.Files = a.file(m, "image.jpg", "image/jpeg")
	case "video", "shortvideo":
		e.Files = a.file(m, "video.mp4", "video/mp4")
	case "file":
		name := oneLine(m.value("FileName"))
		if name == "" {
			name = "file"
		}
		e.Files = a.file(m, cut(name, 200), "application/octet-stream")
		if n, err := strconv.ParseInt(m.value("FileSize"), 10, 64); err == nil && n > 0 && len(e.Files) > 0 {
			e.Files[0].Size = n
		}
	case "location":
		e.Text = joined("\n", m.value("Label"), joined(", ", m.value("Location_X"), m.value("Location_Y")))
	case "link":
		e.Text = joined("\n", m.value("Title"), m.value("Description"), m.value("Url"))
	default:
		kind, known = "unknown", false
	}
	if len(e.Text) > maxText {
		return bot.Inbound{}, malformed("text")
	}
	if e.Text = strings.TrimSpace(clean(e.Text)); !known || e.Text == "" && len(e.Files) == 0 {
		return bot.Inbound{Kind: kind}, nil
	}
	in := bot.Inbound{Kind: kind, Events: []bot.Event{e}}
	if a.conf.HasRobot() {
		in.Keep = []bot.Kept{spoke(e.User.ID, surfaceApp)}
	}
	return in, nil
}

func extension(s, normal string) string {
	if len(s) < 1 || len(s) > 5 || !mediaForm.MatchString(s) {
		return normal
	}
	return strings.ToLower(s)
}

func joined(with string, parts ...string) string {
	var some []string
	for _, p := range parts {
		if p = oneLine(p); p != "" {
			some = append(some, p)
		}
	}
	return strings.Join(some, with)
}

func (a *app) file(m *element, name, kind string) []bot.File {
	id := m.value("MediaId")
	if !mediaForm.MatchString(id) {
		return nil
	}
	return []bot.File{{ID: surfaceApp + "/" + id, Name: name, Type: kind}}
}

// event reads what happened otherwise. Events have no id: all that tells one
// from another makes one, with the second in which it happened.
func (a *app) event(e bot.Event, m *element) (bot.Inbound, error) {
	kind := m.value("Event")
	key, task, response := m.value("EventKey"), m.value("TaskId"), m.value("ResponseCode")
	e.ID = surfaceApp + ":ev:" + digest(e.User.ID, m.value("CreateTime"), kind, key, task, response, m.value("ChangeType"), m.value("UserID"))
	in := bot.Inbound{Kind: kind}
	switch kind {
	case "enter_agent":
		e.Kind = bot.HomeOpened
	case "click":
		if len(key) > 256 {
			return bot.Inbound{}, malformed("key")
		}
		e.Kind, e.ToBot, e.Text = bot.Slash, true, menuText(strings.TrimSpace(clean(key)))
		if e.Text == "" {
			return in, nil
		}
	case "template_card_event", "template_card_menu_event":
		return a.press(e, m, in)
	case "change_contact":
		return a.renamed(e, m, in)
	case "subscribe", "unsubscribe", "view", "LOCATION", "batch_job_result", "inactive_alert", "close_inactive_agent", "reopen_inactive_agent",
		"low_active_alert", "low_active", "active_restored", "share_agent_change", "open_approval_change", "sys_approval_change",
		"view_miniprogram", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select":
		return in, nil
	default:
		return bot.Inbound{Kind: "unknown"}, nil
	}
	in.Events = []bot.Event{e}
	return in, nil
}

// menuText is what an entry of the app's menu says: a key of ours, or a command
// that the corp put there itself.
func menuText(key string) string {
	switch key {
	case "mine":
		return "我的"
	case "queue":
		return "待接"
	case "open":
		return "建单"
	}
	return key
}

// press reads a press on a card. The code that it brings is kept: with it the
// card can be changed once more.
func (a *app) press(e bot.Event, m *element, in bot.Inbound) (bot.Inbound, error) {
	key, task, response := m.value("EventKey"), m.value("TaskId"), m.value("ResponseCode")
	if !taskIDForm.MatchString(task) || len(response) > 1024 || len(key) > maxKey {
		return bot.Inbound{}, malformed("press")
	}
	e.Message = appRef(e.User.ID, task)
	if response != "" {
		in.Keep = []bot.Kept{{Key: codeKey(task), Value: response, For: codeFor, Push: true}}
	}
	in.Events = presses(e, key, selected(m))
	return in, nil
}

// picked is what stands chosen in one selector.
type picked struct{ question, option string }

func selected(m *element) []picked {
	var out []picked
	items := m.child("SelectedItems")
	if items == nil {
		return nil
	}
	for _, item := range items.children {
		c := picked{question: item.value("QuestionKey")}
		if ids := item.child("OptionIds"); ids != nil && len(ids.children) > 0 {
			c.option = ids.children[0].text
		}
		out = append(out, c)
	}
	return out
}

// presses makes events of a press: what was pressed, and what stood chosen. A
// card of several selectors makes one for each that was changed.
func presses(e bot.Event, key string, chosen []picked) []bot.Event {
	e.Kind, e.Token = bot.Click, key
	if len(chosen) > 0 {
		e.Values = make(map[string]string, len(chosen))
		for _, c := range chosen {
			e.Values[c.question] = c.option
		}
	}
	switch key {
	case submitKey:
		var out []bot.Event
		for i, c := range chosen {
			if c.option == keepID || c.option == "" {
				continue
			}
			one := e
			one.ID, one.Token, one.Value = e.ID+":"+strconv.Itoa(i), c.question, c.option
			out = append(out, one)
		}
		return out
	case goKey:
		e.Token = e.Values[goKey]
	case doneKey, "":
		return nil
	}
	if token, value, ok := strings.Cut(e.Token, between); ok {
		e.Token, e.Value = token, value
	} else if v, ok := e.Values[e.Token]; ok {
		e.Value = v
	}
	if e.Token == "" {
		return nil
	}
	return []bot.Event{e}
}

// renamed reads that a member's entry in the directory changed.
func (a *app) renamed(e bot.Event, m *element, in bot.Inbound) (bot.Inbound, error) {
	id := m.value("UserID")
	switch m.value("ChangeType") {
	case "update_user":
	case "create_user", "delete_user":
		a.users.forget(id)
		return in, nil
	default: // departments and tags
		return in, nil
	}
	if !userForm.MatchString(id) {
		return bot.Inbound{}, malformed("user")
	}
	a.users.forget(id)
	if now := m.value("NewUserID"); userForm.MatchString(now) {
		id = now
	}
	e.Kind, e.User, e.UserName = bot.Renamed, a.user(id), cut(oneLine(m.value("Name")), 64)
	in.Events = []bot.Event{e}
	return in, nil
}

// inline: an answer to a press carries the card that was pressed. Nothing else
// is shown: what WeCom calls a text in an answer is a message like any other.
func (a *app) inline(e bot.Event) bot.Inline { return bot.Inline{Card: e.Kind == bot.Click} }

// reply writes what WeCom wants to hear at once: what it asked to be echoed, for
// a press the card as it is now, and nothing else.
// https://developer.work.weixin.qq.com/document/path/90241
func (a *app) reply(w http.ResponseWriter, in bot.Inbound, out bot.Reply) {
	if out.Echo != "" {
		a.write(w, "text/plain; charset=utf-8", out.Echo)
		return
	}
	if len(in.Events) == 0 || in.Events[0].Kind != bot.Click {
		w.WriteHeader(http.StatusOK)
		return
	}
	e := in.Events[0]
	var b strings.Builder
	at := a.now()
	b.WriteString("<xml>")
	writeText(&b, "ToUserName", e.User.ID)
	writeText(&b, "FromUserName", a.conf.CorpID)
	b.WriteString("<CreateTime>" + strconv.FormatInt(at.Unix(), 10) + "</CreateTime>")
	switch {
	case out.Card != nil:
		writeText(&b, "MsgType", "update_template_card")
		t := redrawn(*out.Card)
		b.WriteString(t.xml())
	case in.Kind == "template_card_event":
		// Without this the button could be pressed on and on. Where the card
		// changes after all, the sender changes it, and its buttons are back.
		writeText(&b, "MsgType", "update_button")
		b.WriteString("<Button>")
		writeText(&b, "ReplaceName", said(out))
		b.WriteString("</Button>")
	default: // an entry of the menu in the corner stays as it is
		w.WriteHeader(http.StatusOK)
		return
	}
	b.WriteString("</xml>")
	nonce := digest(e.ID)
	encrypted, signature := a.crypt.seal([]byte(b.String()), nonce, at)
	var env strings.Builder
	env.WriteString("<xml>")
	writeText(&env, "Encrypt", encrypted)
	writeText(&env, "MsgSignature", signature)
	env.WriteString("<TimeStamp>" + strconv.FormatInt(at.Unix(), 10) + "</TimeStamp>")
	writeText(&env, "Nonce", nonce)
	env.WriteString("</xml>")
	a.write(w, "application/xml; charset=utf-8", env.String())
}

// said is what stands on a button after it was pressed.
func said(out bot.Reply) string {
	if s := oneLine(out.Toast); s != "" {
		return cut(s, maxButtonText)
	}
	l := cards.ZH
	if out.Hint != nil {
		l = out.Hint.Lang
	}
	return wordsIn(l).done
}

// redrawn is a card that was a template card before, whatever it holds now.
func redrawn(c cards.Card) *templateCard {
	if t := asTemplate(c, appLimits); t != nil {
		return t
	}
	return asDead(c, appLimits)
}

func (a *app) write(w http.ResponseWriter, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write([]byte(body)); err != nil {
		a.log.Warn("reply not written", "install", a.install.String(), "error", err)
	}
}
