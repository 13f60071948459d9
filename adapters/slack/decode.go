package slack

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/paidan/paidan/bot"
)

var challengeForm = regexp.MustCompile(`^[\w.-]{1,256}$`)

const maxFormFields = 64

func malformed(why string) error { return fmt.Errorf("%s: %w", why, bot.ErrMalformed) }

// Decode says what a verified request means. One address takes everything:
// events come as JSON, commands and clicks as a form, frames of Socket Mode as
// JSON with the payload inside.
func (a *Adapter) Decode(r bot.Raw, plain []byte) (bot.Inbound, error) {
	if r.Socket {
		return a.decodeFrame(string(plain))
	}
	if r.Method != http.MethodPost || len(r.Query) > 0 || r.Path != "" && r.Path != "/" {
		return bot.Inbound{}, malformed("not a POST to the hook itself")
	}
	switch contentType(r.Header) {
	case "application/json":
		doc, err := parseJSON(string(plain))
		if err != nil {
			return bot.Inbound{}, malformed("body")
		}
		return a.decodeEnvelope(doc)
	case "application/x-www-form-urlencoded":
		form, err := parseForm(string(plain))
		if err != nil {
			return bot.Inbound{}, err
		}
		return a.decodeForm(form, stampOf(r.Header))
	}
	return bot.Inbound{}, malformed("content type")
}

// contentType is the one media type of the body; "" when it is missing, doubled
// or in another character set.
func contentType(h http.Header) string {
	v, ok := single(h, "Content-Type")
	if !ok {
		return ""
	}
	if v == "application/json" || v == "application/x-www-form-urlencoded" {
		return v
	}
	kind, params, err := mime.ParseMediaType(v)
	if err != nil {
		return ""
	}
	for key, p := range params {
		if key != "charset" || !strings.EqualFold(p, "utf-8") {
			return ""
		}
	}
	return kind
}

func stampOf(h http.Header) time.Time {
	s, ok := single(h, timestampHeader)
	if !ok {
		return time.Time{}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// parseForm reads a form from the verified bytes and from nowhere else. Every
// key may come once.
func parseForm(body string) (map[string]string, error) {
	form := make(map[string]string, 16)
	for body != "" {
		var pair string
		pair, body, _ = strings.Cut(body, "&")
		if pair == "" || strings.IndexByte(pair, ';') >= 0 || len(form) >= maxFormFields {
			return nil, malformed("form")
		}
		k, v, _ := strings.Cut(pair, "=")
		key, ok := unescapeForm(k)
		text, ok2 := unescapeForm(v)
		if _, twice := form[key]; !ok || !ok2 || twice || !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
			return nil, malformed("form")
		}
		form[key] = text
	}
	return form, nil
}

// unescapeForm is url.QueryUnescape in one pass: a click is 6 kB of escapes.
func unescapeForm(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			out = append(out, ' ')
		case '%':
			if i+2 >= len(s) || hexDigits[s[i+1]] < 0 || hexDigits[s[i+2]] < 0 {
				return "", false
			}
			out = append(out, byte(hexDigits[s[i+1]]<<4|hexDigits[s[i+2]]))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

// hexDigits is the value of each digit, -1 for what is none.
var hexDigits = func() (t [256]int16) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range "0123456789abcdef" {
		t[c] = int16(i)
	}
	for i, c := range "ABCDEF" {
		t[c] = int16(10 + i)
	}
	return t
}()

func (a *Adapter) decodeForm(form map[string]string, at time.Time) (bot.Inbound, error) {
	payload, interactive := form["payload"]
	_, command := form["command"]
	switch {
	case interactive && len(form) > 1:
		return bot.Inbound{}, malformed("a payload and something else")
	case interactive:
		doc, err := parseJSON(payload)
		if err != nil {
			return bot.Inbound{}, malformed("payload")
		}
		return a.decodeInteraction(doc)
	case command:
		if at.IsZero() {
			at = a.now().UTC()
		}
		return a.decodeSlash(func(key string) string { return form[key] }, at)
	case form["ssl_check"] == "1":
		return bot.Inbound{Kind: "ssl_check"}, nil
	}
	return bot.Inbound{}, malformed("neither command nor payload")
}

// decodeFrame reads an envelope of Socket Mode.
// https://docs.slack.dev/apis/events-api/using-socket-mode
func (a *Adapter) decodeFrame(frame string) (bot.Inbound, error) {
	doc, err := parseJSON(frame)
	if err != nil {
		return bot.Inbound{}, malformed("frame")
	}
	payload := doc.at("payload")
	switch doc.at("type").str() {
	case "events_api":
		return a.decodeEnvelope(payload)
	case "interactive":
		return a.decodeInteraction(payload)
	case "slash_commands":
		return a.decodeSlash(func(key string) string { return payload.at(key).str() }, a.now().UTC())
	}
	return bot.Inbound{Kind: "unknown"}, nil
}

// ours refuses what is meant for another app or another workspace. Slack lists
// the workspace that the app is installed in, so this also holds in channels
// shared with another company.
func (a *Adapter) ours(app, team, enterprise string) error {
	self := a.self.Load()
	if a.conf.AppID != "" && app != a.conf.AppID {
		return malformed("another app")
	}
	if self.team != "" && team != self.team && enterprise != self.team {
		return malformed("another workspace")
	}
	return nil
}

func (a *Adapter) user(id string) bot.UserRef { return bot.UserRef{Install: a.install, ID: id} }

func (a *Adapter) conv(id string) bot.ConvRef {
	if id == "" {
		return bot.ConvRef{}
	}
	return bot.ConvRef{Install: a.install, ID: id}
}

// decodeEnvelope reads what the Events API sends.
// https://docs.slack.dev/apis/events-api
func (a *Adapter) decodeEnvelope(doc value) (bot.Inbound, error) {
	switch doc.at("type").str() {
	case "url_verification":
		challenge := doc.at("challenge").str()
		if !challengeForm.MatchString(challenge) {
			return bot.Inbound{}, malformed("challenge")
		}
		return bot.Inbound{Echo: challenge, Kind: "url_verification"}, nil
	case "app_rate_limited":
		return bot.Inbound{Kind: "app_rate_limited"}, nil
	case "event_callback":
		return a.decodeEvent(doc)
	case "":
		return bot.Inbound{}, malformed("no type")
	}
	return bot.Inbound{Kind: "unknown"}, nil
}

func (a *Adapter) decodeEvent(doc value) (bot.Inbound, error) {
	if err := a.ours(doc.at("api_app_id").str(), doc.at("team_id").str(), doc.at("enterprise_id").str()); err != nil {
		return bot.Inbound{}, err
	}
	ev, id := doc.at("event"), doc.at("event_id").str()
	if id == "" || len(id) > 255 || ev.node().kind != jsonObject {
		return bot.Inbound{}, malformed("event without id")
	}
	self := *a.self.Load()
	for auth := range doc.at("authorizations").each {
		// The envelope names the bot it is for; that is truer than what we learned at start.
		if u := auth.at("user_id").str(); auth.at("is_bot").yes() && isID(u, "UW") {
			self.botUser = u
			break
		}
	}
	kind := ev.at("type").str()
	at := eventTime(ev.at("event_ts").str())
	if at.IsZero() && doc.at("event_time").number() > 0 {
		at = time.Unix(doc.at("event_time").number(), 0).UTC()
	}
	if at.IsZero() { // told by nobody: it has just come
		at = a.now().UTC()
	}
	e := bot.Event{ID: id, At: at, Guest: a.foreign(ev, self.team)}
	in := bot.Inbound{Kind: kind}
	var ok bool
	var err error
	switch kind {
	case "app_mention":
		ok, err = a.message(&e, ev, self, true)
	case "message":
		ok, err = a.messageEvent(&e, ev, self)
	case "reaction_added", "reaction_removed":
		ok, err = a.reaction(&e, ev, self)
	case "app_home_opened":
		e.Kind, e.User, e.Private = bot.HomeOpened, a.user(ev.at("user").str()), true
		e.Conv = a.conv(ev.at("channel").str())
		ok = ev.at("tab").str() == "home"
		if ok && !isID(e.User.ID, "UW") {
			err = malformed("user")
		}
	case "member_joined_channel", "member_left_channel":
		ok, err = a.member(&e, ev, self, kind == "member_joined_channel")
	case "channel_left", "group_left":
		e.Kind, e.Conv, ok = bot.BotRemoved, a.conv(ev.at("channel").str()), true
		if !isID(e.Conv.ID, "CG") {
			err = malformed("channel")
		}
	case "app_uninstalled":
		e.Kind, ok = bot.Uninstalled, true
	case "tokens_revoked":
		e.Kind = bot.Uninstalled
		for range ev.at("tokens", "bot").each {
			ok = true // people's own tokens are none of our business
		}
	case "user_change", "user_profile_changed":
		u := ev.at("user")
		e.Kind, e.User, e.UserName, e.Locale, ok = bot.Renamed, a.user(u.at("id").str()), userName(u), u.at("locale").str(), true
		if !isID(e.User.ID, "UW") {
			err = malformed("user")
		}
		a.users.forget(e.User.ID)
	case "subteam_updated", "subteam_members_changed":
		e.Kind, ok = bot.GroupChanged, true
		if e.Value = ev.at("subteam_id").str(); e.Value == "" {
			e.Value = ev.at("subteam", "id").str()
		}
		if !isID(e.Value, "S") {
			err = malformed("user group")
		}
	case "channel_rename", "channel_archive", "channel_unarchive", "group_rename":
		channel := ev.at("channel").str()
		if channel == "" {
			channel = ev.at("channel", "id").str()
		}
		a.names.forget(channel)
	case "file_shared", "link_shared", "team_join":
		// told with the message, or of no interest
	default:
		in.Kind = "unknown"
	}
	if err != nil {
		return bot.Inbound{}, err
	}
	if ok {
		in.Events = []bot.Event{e}
	}
	return in, nil
}

// foreign reports whether the actor is told to belong to another workspace
// than ours: somebody in a channel shared through Slack Connect.
func (a *Adapter) foreign(ev value, team string) bool {
	for _, key := range []string{"user_team", "source_team"} {
		if t := ev.at(key).str(); t != "" {
			return elsewhere(t, team)
		}
	}
	return false
}

// elsewhere reports whether team is another workspace than ours. An install for
// a whole organisation (E…) cannot tell: there FindUser knows.
func elsewhere(team, ours string) bool {
	return ours != "" && ours[0] != 'E' && team != "" && team != ours
}

func userName(u value) string {
	for _, v := range []value{u.at("profile", "display_name"), u.at("display_name"), u.at("profile", "real_name"), u.at("real_name"), u.at("name"), u.at("username")} {
		if s := clean(v.str()); s != "" {
			return s
		}
	}
	return ""
}

// eventTime reads "1700000000.000100".
func eventTime(ts string) time.Time {
	if !isTS(ts) {
		return time.Time{}
	}
	sec, frac, _ := strings.Cut(ts, ".")
	s, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return time.Time{}
	}
	micros, err := strconv.ParseInt((frac + "000000")[:6], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(s, micros*1000).UTC()
}

// mine reports whether a message was written by this or any other bot. Bots are
// never listened to: two of them would talk for ever.
func mine(m value, self identity) bool {
	u := m.at("user").str()
	return m.at("bot_id").str() != "" || m.at("subtype").str() == "bot_message" || u == "" || u == "USLACKBOT" || u == self.botUser
}

// messageEvent sorts the kinds of message events.
func (a *Adapter) messageEvent(e *bot.Event, ev value, self identity) (bool, error) {
	switch ev.at("subtype").str() {
	case "", "file_share", "thread_broadcast", "me_message":
		return a.message(e, ev, self, false)
	case "message_changed":
		return a.edit(e, ev, self)
	case "message_deleted":
		was := ev.at("previous_message")
		if mine(was, self) {
			return false, nil
		}
		return a.deletion(e, ev, was, ev.at("deleted_ts").str())
	}
	return false, nil // joins, topics, pins, bots
}

// message reads something written. A mention in a channel comes as app_mention
// and as message, with different event ids: channel and time make them one.
func (a *Adapter) message(e *bot.Event, ev value, self identity, mention bool) (bool, error) {
	if mine(ev, self) {
		return false, nil
	}
	if err := a.place(e, ev, ev.at("channel").str(), ev.at("ts").str()); err != nil {
		return false, err
	}
	e.Kind, e.ID, e.At = bot.Message, "msg:"+e.Conv.ID+":"+ev.at("ts").str(), eventTime(ev.at("ts").str())
	a.said(e, ev, self, mention)
	return true, nil
}

// place fills in who, where and which message.
func (a *Adapter) place(e *bot.Event, m value, channel, ts string) error {
	if !isID(channel, "CGD") || !isTS(ts) {
		return malformed("message")
	}
	e.Conv, e.Message = a.conv(channel), ref(channel, ts)
	e.Private = channel[0] == 'D'
	if root := m.at("thread_ts").str(); root != "" && root != ts {
		if !isTS(root) {
			return malformed("thread")
		}
		e.Thread = ref(channel, root)
	}
	if e.User.ID == "" {
		e.User = a.user(m.at("user").str())
	}
	if !isID(e.User.ID, "UW") {
		return malformed("user")
	}
	return nil
}

func (a *Adapter) said(e *bot.Event, m value, self identity, mention bool) {
	p := a.plain(m.at("text").str(), self.botUser)
	e.Text, e.Mentions = p.text, p.mentions
	e.ToBot = mention || p.toBot || e.Private
	e.UserName = userName(m.at("user_profile"))
	e.Files = files(m)
}

func files(m value) []bot.File {
	var out []bot.File
	for f := range m.at("files").each {
		id := f.at("id").str()
		if !isID(id, "F") || f.at("mode").str() == "tombstone" {
			continue
		}
		file := bot.File{ID: id, Name: clean(f.at("name").str()), Type: f.at("mimetype").str(), Size: max(0, f.at("size").number()), URL: f.at("url_private_download").str()}
		if file.URL == "" {
			file.URL = f.at("url_private").str() // none for files of other companies: Fetch asks for it
		}
		out = append(out, file)
	}
	return out
}

// edit reads message_changed. Slack also sends it when a link was unfolded or
// a reply was counted; then nobody edited anything.
func (a *Adapter) edit(e *bot.Event, ev value, self identity) (bool, error) {
	m, was := ev.at("message"), ev.at("previous_message")
	ts := m.at("ts").str()
	if m.at("subtype").str() == "tombstone" { // a message with replies was deleted: its place stays
		if mine(was, self) {
			return false, nil
		}
		return a.deletion(e, ev, was, ts)
	}
	edited := m.at("edited", "ts").str()
	if mine(m, self) || edited == "" || was.exists() && was.at("text").str() == m.at("text").str() {
		return false, nil
	}
	if !isTS(edited) {
		return false, malformed("edit")
	}
	if err := a.place(e, m, ev.at("channel").str(), ts); err != nil {
		return false, err
	}
	if by := m.at("edited", "user").str(); isID(by, "UW") {
		e.User = a.user(by) // the one who acted
	}
	e.Kind, e.ID, e.At = bot.Edited, "edit:"+e.Conv.ID+":"+ts+":"+edited, eventTime(edited)
	a.said(e, m, self, false)
	return true, nil
}

func (a *Adapter) deletion(e *bot.Event, ev, was value, ts string) (bool, error) {
	if err := a.place(e, was, ev.at("channel").str(), ts); err != nil {
		return false, err
	}
	e.Kind, e.ID = bot.Deleted, "del:"+e.Conv.ID+":"+ts
	return true, nil
}

func (a *Adapter) reaction(e *bot.Event, ev value, self identity) (bool, error) {
	item, user := ev.at("item"), ev.at("user").str()
	if item.at("type").str() != "message" || user == self.botUser || user == "" {
		return false, nil
	}
	e.User = a.user(user)
	if err := a.place(e, value{}, item.at("channel").str(), item.at("ts").str()); err != nil {
		return false, err
	}
	if by := ev.at("item_user").str(); isID(by, "UW") && by != self.botUser {
		e.Author = a.user(by)
	}
	e.Kind = bot.Reacted
	if ev.at("type").str() == "reaction_removed" {
		e.Kind = bot.Unreacted
	}
	e.Emoji, _, _ = strings.Cut(ev.at("reaction").str(), "::") // without the colour of skin
	if known := a.conf.Emoji[e.Emoji]; known != "" {
		e.Emoji = known
	}
	return e.Emoji != "", nil
}

func (a *Adapter) member(e *bot.Event, ev value, self identity, joined bool) (bool, error) {
	e.User, e.Conv = a.user(ev.at("user").str()), a.conv(ev.at("channel").str())
	if !isID(e.User.ID, "UW") || !isID(e.Conv.ID, "CGD") {
		return false, malformed("membership")
	}
	switch bots := e.User.ID == self.botUser; {
	case bots && joined:
		e.Kind = bot.BotAdded
		e.User = bot.UserRef{}
		if who := ev.at("inviter").str(); isID(who, "UW") {
			e.User = a.user(who)
		}
	case bots:
		e.Kind, e.User = bot.BotRemoved, bot.UserRef{}
	case joined:
		e.Kind = bot.Joined
	default:
		e.Kind = bot.Left
	}
	return true, nil
}

// decodeSlash reads a slash command.
// https://docs.slack.dev/interactivity/implementing-slash-commands
func (a *Adapter) decodeSlash(get func(string) string, at time.Time) (bot.Inbound, error) {
	if get("ssl_check") == "1" {
		return bot.Inbound{Kind: "ssl_check"}, nil
	}
	if err := a.ours(get("api_app_id"), get("team_id"), get("enterprise_id")); err != nil {
		return bot.Inbound{}, err
	}
	channel, user, trigger := get("channel_id"), get("user_id"), get("trigger_id")
	if !isID(channel, "CGD") || !isID(user, "UW") || !isTrigger(trigger) || !strings.HasPrefix(get("command"), "/") {
		return bot.Inbound{}, malformed("slash command")
	}
	p := a.plain(get("text"), a.self.Load().botUser)
	return bot.Inbound{Kind: "slash_command", Events: []bot.Event{{
		ID: "slash:" + trigger, Kind: bot.Slash, At: at, User: a.user(user), UserName: clean(get("user_name")),
		Conv: a.conv(channel), Private: channel[0] == 'D', Text: p.text, Mentions: p.mentions, ToBot: true,
		Trigger: origin{trigger, channel, ""}.String(), Respond: get("response_url"),
	}}}, nil
}

func isTrigger(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// origin is what opens a form, and where it was asked for: Slack forgets that
// when the form comes back, so it travels along.
type origin struct{ trigger, channel, thread string }

func (o origin) String() string {
	if o.channel == "" {
		return o.trigger
	}
	if o.thread == "" {
		return o.trigger + " " + o.channel
	}
	return o.trigger + " " + o.channel + " " + o.thread
}

func parseOrigin(s string) origin {
	var o origin
	var rest string
	o.trigger, rest, _ = strings.Cut(s, " ")
	o.channel, o.thread, _ = strings.Cut(rest, " ")
	return o
}

// decodeInteraction reads clicks, menus, forms and shortcuts.
// https://docs.slack.dev/reference/interaction-payloads
func (a *Adapter) decodeInteraction(doc value) (bot.Inbound, error) {
	kind := doc.at("type").str()
	switch kind {
	case "block_actions", "view_submission", "message_action", "shortcut":
	case "view_closed", "block_suggestion":
		return bot.Inbound{Kind: kind}, nil
	case "":
		return bot.Inbound{}, malformed("no type")
	default:
		return bot.Inbound{Kind: "unknown"}, nil
	}
	team, user := doc.at("team", "id").str(), doc.at("user", "id").str()
	if team == "" { // installed for a whole organisation
		team = doc.at("user", "team_id").str()
	}
	if err := a.ours(doc.at("api_app_id").str(), team, doc.at("enterprise", "id").str()); err != nil {
		return bot.Inbound{}, err
	}
	if !isID(user, "UW") {
		return bot.Inbound{}, malformed("user")
	}
	self := a.self.Load()
	home := doc.at("user", "team_id").str()
	e := bot.Event{User: a.user(user), UserName: userName(doc.at("user")), Respond: doc.at("response_url").str(), Guest: elsewhere(home, self.team)}
	in := bot.Inbound{Kind: kind}
	trigger := doc.at("trigger_id").str()
	if trigger != "" && !isTrigger(trigger) {
		return bot.Inbound{}, malformed("trigger")
	}
	switch kind {
	case "block_actions":
		events, err := a.clicks(e, doc, team, trigger)
		in.Events = events
		return in, err
	case "view_submission":
		view := doc.at("view")
		id := view.at("id").str()
		if !isID(id, "V") {
			return bot.Inbound{}, malformed("view")
		}
		e.Kind, e.At, e.Trigger = bot.Submit, a.now().UTC(), trigger
		a.viewOrigin(&e, view)
		// The hash of a view stays the same when its values are refused: a
		// corrected form is a new event only because its values differ.
		e.ID = "view:" + id + ":" + digest(view.at("hash").str(), view.at("state").raw())
		e.Values = values(view)
		e.Trigger = origin{trigger, e.Conv.ID, threadTS(e.Thread)}.String()
	case "message_action":
		m, channel := doc.at("message"), doc.at("channel", "id").str()
		ts := m.at("ts").str()
		if ts == "" {
			ts = doc.at("message_ts").str()
		}
		if err := a.place(&e, m, channel, ts); err != nil {
			return bot.Inbound{}, err
		}
		p := a.plain(m.at("text").str(), self.botUser)
		e.Kind, e.ID, e.Value = bot.Shortcut, "short:"+trigger, doc.at("callback_id").str()
		e.At = a.actionTime(doc.at("action_ts").str())
		e.Text, e.Mentions, e.Files, e.ToBot = p.text, p.mentions, files(m), true
		if by := m.at("user").str(); isID(by, "UW") && !mine(m, *self) {
			e.Author = a.user(by)
		}
		thread := threadTS(e.Thread)
		if thread == "" {
			thread = ts // what comes of it belongs under the message
		}
		e.Trigger = origin{trigger, channel, thread}.String()
	case "shortcut":
		e.Kind, e.ID, e.Value, e.ToBot = bot.Shortcut, "short:"+trigger, doc.at("callback_id").str(), true
		e.At, e.Trigger = a.actionTime(doc.at("action_ts").str()), trigger
	}
	if trigger == "" && e.Kind == bot.Shortcut {
		return bot.Inbound{}, malformed("trigger")
	}
	in.Events = []bot.Event{e}
	return in, nil
}

func threadTS(r bot.MessageRef) string {
	_, ts, _ := strings.Cut(string(r), "/")
	return ts
}

func (a *Adapter) actionTime(ts string) time.Time {
	if at := eventTime(ts); !at.IsZero() {
		return at
	}
	return a.now().UTC()
}

// digest makes one short name of several parts.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s;", len(p), p)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// clicks reads block_actions: one event for each action that carries a token.
func (a *Adapter) clicks(base bot.Event, doc value, team, trigger string) ([]bot.Event, error) {
	view, container := doc.at("view"), doc.at("container")
	where := ""
	thread := ""
	switch {
	case view.exists():
		if where = view.at("id").str(); !isID(where, "V") {
			return nil, malformed("view")
		}
		if view.at("type").str() == "home" {
			base.Private = true
		} else {
			a.viewOrigin(&base, view)
			thread = threadTS(base.Thread)
		}
	default:
		channel := container.at("channel_id").str()
		if channel == "" {
			channel = doc.at("channel", "id").str()
		}
		where = container.at("message_ts").str()
		if !isID(channel, "CGD") || !isTS(where) {
			return nil, malformed("container")
		}
		base.Conv, base.Private = a.conv(channel), channel[0] == 'D'
		root := container.at("thread_ts").str()
		if root == "" {
			root = doc.at("message", "thread_ts").str()
		}
		if root != "" && root != where {
			if !isTS(root) {
				return nil, malformed("thread")
			}
			base.Thread, thread = ref(channel, root), root
		}
		if !container.at("is_ephemeral").yes() { // a note that one person sees cannot be changed by its time
			base.Message = ref(channel, where)
		}
	}
	token := base.Token
	base.Token = ""
	var events []bot.Event
	for act := range doc.at("actions").each {
		e := base
		id, ts := act.at("action_id").str(), act.at("action_ts").str()
		e.At = a.actionTime(ts)
		e.ID = "act:" + digest(team, e.User.ID, where, act.at("block_id").str(), id, ts)
		e.Trigger = origin{trigger, e.Conv.ID, thread}.String()
		if view.at("type").str() == "modal" && id == inputAction {
			e.Kind, e.Token, e.Values = bot.Reload, token, values(view)
			e.Trigger = origin{"view:" + where + ":" + view.at("hash").str(), e.Conv.ID, thread}.String()
			events = append(events, e)
			continue
		}
		e.Kind = bot.Click
		switch act.at("type").str() {
		case "button":
			e.Token = act.at("value").str()
		case "overflow":
			e.Token = act.at("selected_option", "value").str()
		default:
			e.Value = picked(act)
			if e.Token = strings.TrimPrefix(id, menuAction); e.Token == id {
				e.Token = ""
			}
			if id == moreAction {
				e.Token, e.Value = e.Value, ""
			}
		}
		if e.Token != "" { // links carry nothing
			events = append(events, e)
		}
	}
	return events, nil
}

// viewOrigin reads what a form carries: its token and where it was asked for.
func (a *Adapter) viewOrigin(e *bot.Event, view value) {
	lines := strings.SplitN(view.at("private_metadata").str(), "\n", 3)
	e.Token = lines[0]
	if len(lines) > 1 && isID(lines[1], "CGD") {
		e.Conv, e.Private = a.conv(lines[1]), lines[1][0] == 'D'
		if len(lines) > 2 && isTS(lines[2]) {
			e.Thread = ref(lines[1], lines[2])
		}
	}
}

// values reads what was filled in, by input name. Every input of the form is
// there, empty ones too. state.values may be [] instead of {}.
func values(view value) map[string]string {
	out := map[string]string{}
	for b := range view.at("blocks").each {
		if name := b.at("block_id").str(); b.at("type").str() == "input" && !strings.HasSuffix(name, timeSuffix) {
			out[name] = ""
		}
	}
	if view.at("state", "values").node().kind != jsonObject {
		return out
	}
	clock := map[string]string{}
	for block := range view.at("state", "values").each {
		for input := range block.each {
			if name, ok := strings.CutSuffix(block.key(), timeSuffix); ok && input.at("type").str() == "timepicker" {
				clock[name] = input.at("selected_time").str()
				continue
			}
			out[block.key()] = picked(input)
		}
	}
	for name, t := range clock {
		if t != "" && out[name] != "" {
			out[name] += "T" + t
		}
	}
	return out
}

// picked is the value of an input or menu, whatever its kind.
func picked(input value) string {
	switch input.at("type").str() {
	case "static_select", "external_select", "radio_buttons":
		return input.at("selected_option", "value").str()
	case "users_select":
		return input.at("selected_user").str()
	case "conversations_select":
		return input.at("selected_conversation").str()
	case "channels_select":
		return input.at("selected_channel").str()
	case "datepicker":
		return input.at("selected_date").str()
	case "timepicker":
		return input.at("selected_time").str()
	case "checkboxes":
		for option := range input.at("selected_options").each {
			return option.at("value").str()
		}
		return ""
	}
	return input.at("value").str()
}
