package dingtalk

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/bot"
)

// The topics of Stream's callbacks.
const (
	messageTopic = "/v1.0/im/bot/messages/get"
	cardTopic    = "/v1.0/card/instances/callback"
)

func malformed(why string) error { return fmt.Errorf("%s: %w", why, bot.ErrMalformed) }

// Decode says what a verified request or frame means.
func (a *Adapter) Decode(r bot.Raw, plain []byte) (bot.Inbound, error) {
	if r.Socket {
		return a.decodeFrame(string(plain))
	}
	from, ok := sourceOf(r)
	if !ok {
		return bot.Inbound{}, malformed("request")
	}
	doc, err := parseJSON(string(plain))
	if err != nil {
		return bot.Inbound{}, malformed("body")
	}
	switch from {
	case fromRobot:
		return a.decodeMessage(doc)
	case fromCard:
		return a.decodePress(doc, stampOf(r.Header, cardStamp))
	}
	kind := doc.at("EventType").str()
	if kind == "check_url" {
		// The answer is the same as to any event; it is a handshake because
		// nothing else may be done about it.
		return bot.Inbound{Kind: "check_url", Echo: "success"}, nil
	}
	// HTTP mode gives an event no id, so what it says is its id: its time is part of it.
	return a.decodeEvent(kind, "http:"+fingerprint(string(plain)), timeOf(doc, time.Time{}), doc)
}

func stampOf(h map[string][]string, name string) time.Time {
	if v := h[name]; len(v) == 1 {
		if ms, err := strconv.ParseInt(v[0], 10, 64); err == nil {
			return time.UnixMilli(ms).UTC()
		}
	}
	return time.Time{}
}

// decodeFrame reads a frame of Stream mode.
// https://opensource.dingtalk.com/developerpedia/docs/learn/stream/protocol
func (a *Adapter) decodeFrame(frame string) (bot.Inbound, error) {
	doc, err := parseJSON(frame)
	if err != nil {
		return bot.Inbound{}, malformed("frame")
	}
	head := doc.at("headers")
	data, err := parseJSON(doc.at("data").str())
	if err != nil || data.node().kind != jsonObject {
		return bot.Inbound{}, malformed("data")
	}
	at := milli(head.at("time").number()) // a string or a number: both are seen
	switch kind, topic := doc.at("type").str(), head.at("topic").str(); {
	case kind == "CALLBACK" && topic == messageTopic:
		return a.decodeMessage(data)
	case kind == "CALLBACK" && topic == cardTopic:
		return a.decodePress(data, at)
	case kind == "EVENT": // whatever the topic: "*", or "dingTalk" in some examples
		if born := head.at("eventBornTime").number(); born > 0 {
			at = milli(born)
		}
		id := head.at("eventId").str()
		if id == "" {
			id = fingerprint(doc.at("data").str())
		}
		return a.decodeEvent(head.at("eventType").str(), "event:"+id, at, data)
	}
	return bot.Inbound{Kind: "unknown"}, nil
}

// milli is a time in milliseconds; 0 is none.
func milli(ms int64) time.Time {
	if ms <= 0 || ms > 1<<46 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// fingerprint is a short name for a text.
func fingerprint(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)) + ":" + p))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// quotaCode says that a message was pushed without what it says, because the
// company's quota is used up.
// https://open.dingtalk.com/document/development/robot-message-type
const quotaCode = 20001

// decodeMessage reads what somebody said to the robot.
// https://open.dingtalk.com/document/development/robot-message-type
func (a *Adapter) decodeMessage(doc value) (bot.Inbound, error) {
	if doc.node().kind != jsonObject {
		return bot.Inbound{}, malformed("message")
	}
	if doc.at("errorMessage").exists() {
		if code := doc.at("code").number(); code == quotaCode || doc.at("errorCode").number() == quotaCode || doc.at("msgtype").str() == "" || !doc.at("text").exists() && !doc.at("content").exists() {
			a.exhausted(context.Background())
			return bot.Inbound{Kind: "quota"}, nil
		}
	}
	id, convID := doc.at("msgId").str(), doc.at("conversationId").str()
	if !printable(id, 200) || !isConv(convID) {
		return bot.Inbound{}, malformed("message without an id or a conversation")
	}
	e := bot.Event{ID: "msg:" + id, Kind: bot.Message, At: milli(doc.at("createAt").number()), UserName: clean(doc.at("senderNick").str()), ToBot: true}
	if e.At.IsZero() {
		e.At = a.now()
	}
	if e.User, e.Guest = a.sender(doc); e.User.IsZero() {
		return bot.Inbound{}, malformed("message of nobody")
	}
	place := convID
	switch doc.at("conversationType").word() {
	case "1":
		// A private chat is addressed by its person: the id that it has here
		// cannot be sent to.
		place, e.Private = "@"+e.User.ID, true
	case "2":
	default:
		return bot.Inbound{}, malformed("kind of conversation")
	}
	e.Conv, e.Message = a.conv(place), ref(refSaid, place, id)
	kind := a.content(&e, doc)
	a.quote(&e, doc, place)
	in := bot.Inbound{Kind: kind, Events: []bot.Event{e}}
	if k, ok := a.session(place, doc, e.At); ok {
		in.Keep = append(in.Keep, k)
	}
	// Nothing but a message tells what a group is called.
	if title := cutBytes(oneLine(doc.at("conversationTitle").str()), 200); title != "" && !e.Private {
		if was, ok := a.titles.get(place); !ok || was != title {
			a.titles.put(place, title)
			in.Keep = append(in.Keep, bot.Kept{Key: "title/" + place, Value: title, For: titleKept})
		}
	}
	return in, nil
}

// titleKept is how long a group's name is remembered.
const titleKept = 400 * 24 * time.Hour

// ConvName tells what people call a conversation: what its last message said,
// since no API tells it.
func (a *Adapter) ConvName(ctx context.Context, c bot.ConvRef) (string, error) {
	if user, private := strings.CutPrefix(c.ID, "@"); private {
		u, err := a.FindUser(ctx, a.user(user))
		if err != nil {
			return "", err
		}
		return "@" + u.Name, nil
	}
	if !isConv(c.ID) {
		return "", fmt.Errorf("conversation %q: %w", c.ID, bot.ErrRejected)
	}
	title, err := a.shelf.Get(ctx, "title/"+c.ID)
	if err != nil {
		return "", err
	}
	if title == "" {
		return "", fmt.Errorf("nobody has told the name of %s yet", c.ID)
	}
	return title, nil
}

// sender is who wrote. People of other companies have no staff id, nor has
// anybody before the app is published: they are known by the id that DingTalk
// gives them for this robot, and are guests.
func (a *Adapter) sender(doc value) (bot.UserRef, bool) {
	home, corp := doc.at("chatbotCorpId").str(), doc.at("senderCorpId").str()
	foreign := home != "" && corp != "" && home != corp
	if id := doc.at("senderStaffId").str(); isUser(id) {
		return a.user(id), foreign
	}
	if id := doc.at("senderId").str(); isUser(id) {
		return a.user(id), true
	}
	return bot.UserRef{}, true
}

// content fills in what was said, and names the kind of message.
func (a *Adapter) content(e *bot.Event, doc value) string {
	body := doc.at("content")
	if body.node().kind == jsonString { // some senders put it into a string
		if inner, err := parseJSON(body.str()); err == nil {
			body = inner
		}
	}
	file := func(kind, name string, v value) {
		code := v.at("downloadCode").str()
		if code == "" {
			code = v.at("pictureDownloadCode").str()
		}
		if code == "" || len(code) > 4096 {
			return
		}
		e.Files = append(e.Files, bot.File{ID: fingerprint(code), Name: name, Type: kind, URL: code})
	}
	kind := doc.at("msgtype").str()
	switch kind {
	case "text":
		e.Text = doc.at("text", "content").str()
	case "richText":
		var parts []string
		for part := range body.at("richText").each {
			if t := part.at("text").str(); t != "" {
				parts = append(parts, t)
			}
			if part.at("downloadCode").exists() || part.at("pictureDownloadCode").exists() {
				file("image", nameless, part)
			}
		}
		e.Text = strings.Join(parts, "")
	case "picture":
		file("image", nameless, body)
	case "audio":
		e.Text = body.at("recognition").str() // DingTalk wrote down what it heard
		file("audio", "audio.amr", body)
	case "video":
		file("video", videoName(body.at("videoType").str()), body)
	case "file":
		file("", clean(body.at("fileName").str()), body)
	default:
		kind = "unknown"
	}
	e.Text = strings.TrimSpace(strings.ReplaceAll(e.Text, "\u00a0", " "))
	a.mentions(e, doc)
	return "message_" + kind
}

// nameless is what pictures are called, of which DingTalk tells no name: without
// one they could not be passed on.
const nameless = "image.jpg"

func videoName(kind string) string {
	if !plainWord(kind) {
		return "video.mp4"
	}
	return "video." + kind
}

// mentions finds whom a message mentions. DingTalk tells their ids and leaves
// their names in the text, but not which name is whose: in a text with as many
// names as ids they come in the same order, else the mention covers nothing.
// The robot's own name is taken out of the text by DingTalk, and where it is
// left, here.
func (a *Adapter) mentions(e *bot.Event, doc value) {
	self := doc.at("chatbotUserId").str()
	var ids []string
	for u := range doc.at("atUsers").each {
		if id := u.at("staffId").str(); isUser(id) && (self == "" || u.at("dingtalkId").str() != self) {
			ids = append(ids, id)
		}
	}
	names := atNames(e.Text)
	for i, id := range ids {
		m := bot.Mention{User: a.user(id)}
		if len(names) == len(ids) {
			m.Start, m.End = names[i][0], names[i][1]
			m.Name = strings.TrimPrefix(e.Text[m.Start:m.End], "@")
		}
		e.Mentions = append(e.Mentions, m)
	}
}

// atNames are the places of a text that look like a mention: "@" at the
// beginning or after a space, and what follows it.
func atNames(text string) [][2]int {
	var out [][2]int
	for i := 0; i < len(text); i++ {
		if text[i] != '@' || i > 0 && !blankBefore(text[:i]) {
			continue
		}
		end := i + 1 + strings.IndexFunc(text[i+1:]+" ", isBlank)
		if end > i+1 {
			out = append(out, [2]int{i, end})
		}
		i = end - 1
	}
	return out
}

func blankBefore(s string) bool { return strings.TrimRightFunc(s, isBlank) != s }

func isBlank(r rune) bool {
	return r == ' ' || r == '\n' || r == '\t' || r == '\r' || r == '\u2005' || r == '\u00a0' || r == '\u3000'
}

// quote fills in what a message answers to. A text of ours is known by its key;
// a card by the id that it got where it was delivered, as long as this process
// remembers that; of anything else DingTalk tells the words.
func (a *Adapter) quote(e *bot.Event, doc value, place string) {
	replied := doc.at("text", "repliedMsg")
	if !replied.exists() {
		replied = doc.at("content", "repliedMsg")
	}
	key := doc.at("originalProcessQueryKey").str()
	switch {
	case printable(key, 200):
		if track, ok := a.carried.get(key); ok {
			e.Quote = ref(refCard, place, track)
		} else if replied.at("msgType").str() != "interactiveCard" {
			e.Quote = ref(refText, place, key)
		}
	case printable(replied.at("msgId").str(), 200):
		e.Quote = ref(refSaid, place, replied.at("msgId").str())
	case printable(doc.at("originalMsgId").str(), 200):
		e.Quote = ref(refSaid, place, doc.at("originalMsgId").str())
	}
	content := replied.at("content")
	if content.node().kind == jsonString {
		if inner, err := parseJSON(content.str()); err == nil && inner.node().kind == jsonObject {
			content = inner
		}
	}
	for _, from := range []value{content.at("text"), content.at("content"), content, content.at("title")} {
		if s := strings.TrimSpace(from.str()); s != "" {
			e.QuoteText = s
			return
		}
	}
	var parts []string
	for part := range content.at("richText").each {
		t := part.at("text").str()
		if t == "" {
			t = part.at("content").str()
		}
		parts = append(parts, t)
	}
	e.QuoteText = strings.TrimSpace(strings.Join(parts, ""))
}

// session is the address at which a conversation can be answered for a while.
func (a *Adapter) session(place string, doc value, at time.Time) (bot.Kept, bool) {
	address := doc.at("sessionWebhook").str()
	until := milli(doc.at("sessionWebhookExpiredTime").number())
	u, err := url.Parse(address)
	if err != nil || !a.sessionHost(u) || until.IsZero() {
		return bot.Kept{}, false
	}
	// By DingTalk's own clock, and given up a little early.
	left := min(until.Sub(at), 24*time.Hour) - time.Minute
	if left <= 0 {
		return bot.Kept{}, false
	}
	return bot.Kept{Key: "session/" + place, Value: address, For: left}, true
}

// sessionHost allows DingTalk's own hosts, and the emulator's while the API
// itself is on loopback: the address comes from outside.
func (a *Adapter) sessionHost(u *url.URL) bool {
	if u == nil || u.User != nil || u.Fragment != "" || len(u.String()) > 2048 {
		return false
	}
	h := strings.ToLower(u.Hostname())
	if u.Scheme == "https" && u.Port() == "" && (h == "dingtalk.com" || strings.HasSuffix(h, ".dingtalk.com")) {
		return true
	}
	return a.emulated(u)
}

// emulated reports whether u lies on a loopback server that is configured as one of the APIs.
func (a *Adapter) emulated(u *url.URL) bool {
	for _, base := range []*url.URL{a.api, a.oapi} {
		if loopback(base.Hostname()) && u.Scheme == base.Scheme && u.Host == base.Host {
			return true
		}
	}
	return false
}

// What a template's buttons and menus send.
const (
	pressAction  = "press"
	chooseAction = "choose"
)

// decodePress reads a press on a card.
// https://open.dingtalk.com/document/development/event-callback-card
func (a *Adapter) decodePress(doc value, at time.Time) (bot.Inbound, error) {
	if doc.node().kind != jsonObject {
		return bot.Inbound{}, malformed("press")
	}
	if kind := doc.at("type").str(); kind != "" && kind != "actionCallback" {
		return bot.Inbound{Kind: "card_unknown"}, nil
	}
	track, user := doc.at("outTrackId").str(), doc.at("userId").str()
	if !printable(track, 200) || !isUser(user) {
		return bot.Inbound{}, malformed("press without a card or a person")
	}
	if doc.at("userIdType").exists() && doc.at("userIdType").number() != 1 {
		return bot.Inbound{}, malformed("press of somebody who is told by another kind of id")
	}
	content := doc.at("content")
	if content.node().kind == jsonString {
		inner, err := parseJSON(content.str())
		if err != nil {
			return bot.Inbound{}, malformed("press")
		}
		content = inner
	}
	private := content.at("cardPrivateData")
	params := private.at("params")
	var ids []string
	for id := range private.at("actionIds").each {
		ids = append(ids, id.str())
	}
	if at.IsZero() {
		at = a.now()
	}
	e := bot.Event{Kind: bot.Click, At: at, User: a.user(user), Token: params.at("token").str(), Value: params.at("value").word(), ToBot: true}
	if len(ids) != 1 {
		return bot.Inbound{Kind: "card_unknown"}, nil
	}
	// In a list the builder may fill in the id of an action and not its
	// parameters: then the token stands in the id.
	action, inID, ok := strings.Cut(ids[0], ":")
	if ok && e.Token == "" {
		e.Token = inID
	}
	if e.Token == "" || action != pressAction && action != chooseAction {
		return bot.Inbound{Kind: "card_unknown"}, nil
	}
	if action == pressAction {
		e.Value = ""
	}
	e.ID = pressID(track, user, ids[0], params.raw(), doc.at("extension").str(), at)
	if place := cardPlace(track, user, doc); place != "" {
		e.Message, e.Conv, e.Private = ref(refCard, place, track), a.conv(place), place[0] == '@'
	}
	return bot.Inbound{Kind: "card_press", Events: []bot.Event{e}}, nil
}

// pressWindow is how far apart two equal presses are certainly two.
const pressWindow = 2 * time.Second

// pressID names a press. DingTalk gives it no id, and sends none twice on
// purpose: over Stream a press that is not answered in time has failed. What
// can arrive twice is one and the same delivery, at the same time. So a press is
// who pressed what on which card in which two seconds; what the button carries
// tells the version of the ticket it was drawn for, so the second press on a
// card that has changed is another one whenever it comes. A double click of a
// shaking hand is one press.
func pressID(track, user, action, params, extension string, at time.Time) string {
	return "press:" + fingerprint(track, user, action, params, extension, strconv.FormatInt(at.UnixMilli()/int64(pressWindow/time.Millisecond), 10))
}

// cardPlace is where a card of ours stands. Its id says whether it was sent to
// a group or to one person; a person's card is pressed by nobody else.
func cardPlace(track, user string, doc value) string {
	switch {
	case strings.HasPrefix(track, trackUser):
		return "@" + user
	case strings.HasPrefix(track, trackGroup):
		id := doc.at("spaceId").str()
		if i := strings.Index(id, "IM_GROUP."); i >= 0 { // in one of DingTalk's examples
			id = id[i+len("IM_GROUP."):]
		}
		if isConv(id) {
			return id
		}
	}
	return ""
}

// timeOf is when an event happened, by its own body.
func timeOf(doc value, fallback time.Time) time.Time {
	for _, key := range []string{"TimeStamp", "timeStamp", "createTime", "CreateTime"} {
		if at := milli(doc.at(key).number()); at.Year() > 2000 {
			return at
		}
	}
	return fallback
}

// decodeEvent reads an event of the company. Those that nobody needs are
// acknowledged all the same, or DingTalk would send them again.
// https://open.dingtalk.com/document/development/configure-stream-push
func (a *Adapter) decodeEvent(kind, id string, at time.Time, doc value) (bot.Inbound, error) {
	if doc.node().kind != jsonObject {
		return bot.Inbound{}, malformed("event")
	}
	if at.IsZero() {
		at = a.now()
	}
	in := bot.Inbound{Kind: "event_other"}
	event := func(k bot.Kind, user, conv string) {
		e := bot.Event{ID: id + ":" + string(k) + ":" + user, Kind: k, At: at}
		if user != "" {
			e.User = a.user(user)
		}
		if conv != "" {
			e.Conv = a.conv(conv)
		}
		in.Events = append(in.Events, e)
	}
	switch kind {
	case "user_modify_org":
		in.Kind = kind
		for _, user := range usersOf(doc) {
			event(bot.Renamed, user, "")
		}
	case "chat_disband":
		// There the bot can be reached no more.
		in.Kind = kind
		if conv := convOf(doc); conv != "" {
			event(bot.BotRemoved, "", conv)
		}
	case "chat_add_member", "chat_remove_member", "chat_quit":
		in.Kind = kind
		k := bot.Joined
		if kind != "chat_add_member" {
			k = bot.Left
		}
		if conv := convOf(doc); conv != "" {
			for _, user := range usersOf(doc) {
				event(k, user, conv)
			}
		}
	case "user_add_org", "user_leave_org", "bpms_instance_change", "bpms_task_change":
		in.Kind = kind
	}
	return in, nil
}

// usersOf are the people of an event; both spellings are in use.
func usersOf(doc value) []string {
	var out []string
	for _, key := range []string{"userId", "UserId", "userid"} {
		list := doc.at(key)
		if id := list.str(); isUser(id) {
			out = append(out, id)
		}
		for id := range list.each {
			if s := id.str(); isUser(s) && len(out) < 1000 {
				out = append(out, s)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

func convOf(doc value) string {
	for _, key := range []string{"openConversationId", "OpenConversationId"} {
		if id := doc.at(key).str(); isConv(id) {
			return id
		}
	}
	return ""
}
