package feishu

import (
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/paidan/paidan/bot"
)

const maxChallenge = 1024

func malformed(why string) error { return fmt.Errorf("%s: %w", why, bot.ErrMalformed) }

// Decode says what a verified request means.
// https://open.feishu.cn/document/server-docs/event-subscription-guide/overview
func (a *Adapter) Decode(r bot.Raw, plain []byte) (bot.Inbound, error) {
	if !r.Socket && (r.Method != http.MethodPost || len(r.Query) > 0 || r.Path != "" && r.Path != "/" || !isJSON(r.Header)) {
		return bot.Inbound{}, malformed("not a POST of JSON to the hook itself")
	}
	doc, err := parseJSON(plain)
	if err != nil {
		return bot.Inbound{}, malformed("body")
	}
	if doc.at("type").str() == "url_verification" {
		challenge := doc.at("challenge").str()
		if challenge == "" || len(challenge) > maxChallenge {
			return bot.Inbound{}, malformed("challenge")
		}
		return bot.Inbound{Echo: challenge, Kind: "url_verification"}, nil
	}
	head, ev := doc.at("header"), doc.at("event")
	id := head.at("event_id").str()
	if id == "" || len(id) > 128 || ev.object() == nil {
		return bot.Inbound{}, malformed("event without id")
	}
	kind := head.at("event_type").str()
	decode, ok := kinds[kind]
	if !ok {
		return bot.Inbound{Kind: "unknown"}, nil
	}
	in := bot.Inbound{Kind: kind}
	if err := decode(a, &in, bot.Event{ID: id, At: a.moment(head.at("create_time"))}, ev); err != nil {
		return bot.Inbound{}, err
	}
	if key := head.at("tenant_key").str(); key != "" && a.noted.CompareAndSwap(false, true) {
		in.Keep = append(in.Keep, bot.Kept{Key: a.tenantKey(), Value: key, For: 10 * 365 * 24 * time.Hour})
	}
	return in, nil
}

// kinds are the events that mean something. What is here without a decoder of
// its own is acknowledged like everything else.
var kinds = map[string]func(a *Adapter, in *bot.Inbound, e bot.Event, ev value) error{
	"im.message.receive_v1":                        (*Adapter).message,
	"im.message.recalled_v1":                       (*Adapter).recalled,
	"im.message.reaction.created_v1":               (*Adapter).reacted,
	"im.message.reaction.deleted_v1":               (*Adapter).unreacted,
	"im.message.message_read_v1":                   (*Adapter).nothing,
	"im.chat.member.bot.added_v1":                  (*Adapter).botAdded,
	"im.chat.member.bot.deleted_v1":                (*Adapter).botRemoved,
	"im.chat.disbanded_v1":                         (*Adapter).botRemoved,
	"im.chat.member.user.added_v1":                 (*Adapter).joined,
	"im.chat.member.user.deleted_v1":               (*Adapter).left,
	"im.chat.member.user.withdrawn_v1":             (*Adapter).left,
	"im.chat.updated_v1":                           (*Adapter).renamedChat,
	"im.chat.access_event.bot_p2p_chat_entered_v1": (*Adapter).entered,
	"application.bot.menu_v6":                      (*Adapter).menu,
	"contact.user.updated_v3":                      (*Adapter).renamed,
	"contact.user.deleted_v3":                      (*Adapter).resigned,
	"card.action.trigger":                          (*Adapter).pressed,
}

func isJSON(h http.Header) bool {
	v, ok := single(h, "Content-Type")
	if !ok {
		return false
	}
	kind, params, err := mime.ParseMediaType(v)
	if err != nil || kind != "application/json" {
		return false
	}
	charset, ok := params["charset"]
	return len(params) == 0 || len(params) == 1 && ok && strings.EqualFold(charset, "utf-8")
}

// moment reads a time as Feishu writes it: milliseconds in events, microseconds
// in card callbacks, seconds in some old ones.
func (a *Adapter) moment(v value) time.Time {
	n := v.number()
	switch {
	case n <= 0 || n > 1e17: // told by nobody: it has just come
		return a.now().UTC()
	case n > 1e14:
		return time.UnixMicro(n).UTC()
	case n > 1e11:
		return time.UnixMilli(n).UTC()
	}
	return time.Unix(n, 0).UTC()
}

// foreign reports whether somebody belongs to another company than ours.
func (a *Adapter) foreign(tenant value) bool {
	ours := a.tenant.Load()
	return ours != nil && tenant.str() != "" && tenant.str() != *ours
}

func (a *Adapter) nothing(*bot.Inbound, bot.Event, value) error { return nil }

// place is where a message stands. Events about a message often say no more
// than which one.
type place struct {
	chat    string
	private bool
	author  string // open_id; "" = the bot, or nobody knows
	root    string // message id of the thread's root
}

const (
	placeFor   = 14 * 24 * time.Hour // as long as a card can be changed
	privateFor = 400 * 24 * time.Hour
)

func placeKey(message string) string { return "at:" + message }
func privateKey(chat string) string  { return "p2p:" + chat }

func (p place) String() string {
	kind := ""
	if p.private {
		kind = "p2p"
	}
	return strings.Join([]string{p.chat, kind, p.author, p.root}, "|")
}

func parsePlace(s string) (place, bool) {
	f := strings.Split(s, "|")
	if len(f) != 4 || !isID(f[0], "oc_") {
		return place{}, false
	}
	return place{chat: f[0], private: f[1] == "p2p", author: f[2], root: f[3]}, true
}

// standing remembers where a message stands, here and for the other processes.
func (a *Adapter) standing(in *bot.Inbound, message string, p place) {
	a.places.put(message, p)
	in.Keep = append(in.Keep, bot.Kept{Key: placeKey(message), Value: p.String(), For: placeFor})
	if p.private {
		a.alone(in, p.chat, p.author)
	}
}

// alone remembers that a chat is the private one of a person.
func (a *Adapter) alone(in *bot.Inbound, chat, user string) {
	if _, ok := a.private.get(chat); !ok {
		in.Keep = append(in.Keep, bot.Kept{Key: privateKey(chat), Value: user, For: privateFor})
	}
	a.private.put(chat, user)
}

// at fills in where an event's message stands, if this process knows. Preload
// sees to it that it does, wherever that can be found out.
func (a *Adapter) at(e *bot.Event, message string) bool {
	p, ok := a.places.get(message)
	if ok {
		a.put(e, message, p)
	}
	return ok
}

func (a *Adapter) put(e *bot.Event, message string, p place) {
	e.Message, e.Conv, e.Private, e.Thread = ref(p.private, message), a.conv(p.chat), p.private, ref(p.private, p.root)
	if p.author != "" {
		e.Author = a.user(p.author)
	}
}

// message reads something written. An event_id stands for a delivery: the same
// message may come under two of them, so the message's own id is the event's.
// https://open.feishu.cn/document/server-docs/im-v1/message/events/receive
func (a *Adapter) message(in *bot.Inbound, e bot.Event, ev value) error {
	sender, m := ev.at("sender"), ev.at("message")
	id, chat, user := m.at("message_id").str(), m.at("chat_id").str(), sender.at("sender_id", "open_id").str()
	if !isID(id, "om_") || !isID(chat, "oc_") {
		return malformed("message")
	}
	self := a.self.Load()
	if kind := sender.at("sender_type").str(); kind != "user" || user == self.bot && user != "" {
		return nil // bots are never listened to: two of them would talk for ever
	}
	if !isID(user, "ou_") {
		return malformed("sender")
	}
	p := place{chat: chat, private: m.at("chat_type").str() == "p2p", author: user}
	for key, to := range map[string]*string{"root_id": &p.root, "parent_id": new(string)} {
		if *to = m.at(key).str(); *to != "" && !isID(*to, "om_") {
			return malformed("thread")
		}
	}
	a.standing(in, id, p)
	a.put(&e, id, p)
	e.Author = bot.UserRef{}
	e.Kind, e.ID, e.User, e.Guest = bot.Message, id, a.user(user), a.foreign(sender.at("tenant_key"))
	if at := m.at("create_time"); at.number() > 0 {
		e.At = a.moment(at)
	}
	if parent := m.at("parent_id").str(); parent != "" && parent != p.root {
		e.Quote = ref(p.private, parent)
	}
	said, ok := a.said(id, m, self.bot)
	if !ok {
		return nil // a sticker, a card, a place on the map: nothing that can be worked on
	}
	e.Text, e.Mentions, e.Files, e.ToBot = said.text, said.mentions, said.files, said.toBot || p.private
	in.Events = []bot.Event{e}
	return nil
}

// recalled reads that a message was taken back. Who did is told only as "its
// author" or "an admin": it counts as the author's doing, for a message that is
// gone says nothing any more, whoever took it.
func (a *Adapter) recalled(in *bot.Inbound, e bot.Event, ev value) error {
	id, chat := ev.at("message_id").str(), ev.at("chat_id").str()
	if !isID(id, "om_") || !isID(chat, "oc_") {
		return malformed("recall")
	}
	if !a.at(&e, id) || e.Author.IsZero() {
		return nil // never heard of, or our own
	}
	e.Kind, e.ID, e.User, e.Author = bot.Deleted, "del:"+id, e.Author, bot.UserRef{}
	if at := ev.at("recall_time"); at.number() > 0 {
		e.At = a.moment(at)
	}
	in.Events = []bot.Event{e}
	return nil
}

func (a *Adapter) reacted(in *bot.Inbound, e bot.Event, ev value) error {
	return a.reaction(in, bot.Reacted, e, ev)
}

func (a *Adapter) unreacted(in *bot.Inbound, e bot.Event, ev value) error {
	return a.reaction(in, bot.Unreacted, e, ev)
}

// reaction reads an emoji put on a message or taken off. The event names no
// chat: one on a message that nobody can place means nothing.
func (a *Adapter) reaction(in *bot.Inbound, kind bot.Kind, e bot.Event, ev value) error {
	id, user, emoji := ev.at("message_id").str(), ev.at("user_id", "open_id").str(), ev.at("reaction_type", "emoji_type").str()
	if !isID(id, "om_") {
		return malformed("reaction")
	}
	if ev.at("operator_type").str() != "user" || user == a.self.Load().bot {
		return nil
	}
	if !isID(user, "ou_") || emoji == "" || len(emoji) > 100 {
		return malformed("reaction")
	}
	if !a.at(&e, id) {
		return nil
	}
	e.Kind, e.User, e.Emoji = kind, a.user(user), a.emoji(emoji)
	if at := ev.at("action_time"); at.number() > 0 {
		e.At = a.moment(at)
	}
	in.Events = []bot.Event{e}
	return nil
}

// emojis are Feishu's names for what Paidan knows by other ones. There is no
// ticket among them: 图钉 (Pin) opens one.
// https://open.feishu.cn/document/server-docs/im-v1/message-reaction/emojis-introduce
var emojis = map[string]string{
	"DONE": "white_check_mark", "CheckMark": "white_check_mark", "OnIt": "eyes", "GLANCE": "eyes", "MeMeMe": "eyes",
	"Alarm": "rotating_light", "OneSecond": "double_vertical_bar", "GoGoGo": "arrow_forward", "UPPERLEFT": "small_red_triangle",
	"Loudspeaker": "mega", "THUMBSUP": "+1", "OK": "ok_hand", "JIAYI": "heavy_plus_sign", "ThumbsDown": "-1", "Pin": "ticket",
	"CrossMark": "x", "HEART": "heart", "CLAP": "clap", "THANKS": "pray", "LGTM": "lgtm",
}

func (a *Adapter) emoji(name string) string {
	if known := a.conf.Emoji[name]; known != "" {
		return known
	}
	if known := emojis[name]; known != "" {
		return known
	}
	return strings.ToLower(name)
}

// group reads the chat that a membership event is about.
func (a *Adapter) group(e *bot.Event, ev value) error {
	chat := ev.at("chat_id").str()
	if !isID(chat, "oc_") {
		return malformed("chat")
	}
	e.Conv = a.conv(chat)
	return nil
}

func (a *Adapter) botAdded(in *bot.Inbound, e bot.Event, ev value) error {
	if err := a.group(&e, ev); err != nil {
		return err
	}
	if by := ev.at("operator_id", "open_id").str(); isID(by, "ou_") {
		e.User, e.Guest = a.user(by), a.foreign(ev.at("operator_tenant_key"))
	}
	e.Kind = bot.BotAdded
	in.Events = []bot.Event{e}
	return nil
}

func (a *Adapter) botRemoved(in *bot.Inbound, e bot.Event, ev value) error {
	if err := a.group(&e, ev); err != nil {
		return err
	}
	a.names.forget(e.Conv.ID)
	e.Kind = bot.BotRemoved
	in.Events = []bot.Event{e}
	return nil
}

func (a *Adapter) renamedChat(_ *bot.Inbound, e bot.Event, ev value) error {
	if err := a.group(&e, ev); err != nil {
		return err
	}
	a.names.forget(e.Conv.ID)
	return nil
}

func (a *Adapter) joined(in *bot.Inbound, e bot.Event, ev value) error {
	return a.members(in, bot.Joined, e, ev)
}

func (a *Adapter) left(in *bot.Inbound, e bot.Event, ev value) error {
	return a.members(in, bot.Left, e, ev)
}

// members reads who came or went: several people in one event.
func (a *Adapter) members(in *bot.Inbound, kind bot.Kind, e bot.Event, ev value) error {
	if err := a.group(&e, ev); err != nil {
		return err
	}
	id := e.ID
	for _, u := range ev.at("users").list() {
		user := u.at("user_id", "open_id").str()
		if !isID(user, "ou_") {
			return malformed("member")
		}
		e.ID, e.Kind, e.User, e.UserName, e.Guest = id+":"+user, kind, a.user(user), clean(u.at("name").str()), a.foreign(u.at("tenant_key"))
		in.Events = append(in.Events, e)
	}
	return nil
}

func (a *Adapter) entered(in *bot.Inbound, e bot.Event, ev value) error {
	chat, user := ev.at("chat_id").str(), ev.at("operator_id", "open_id").str()
	if !isID(chat, "oc_") || !isID(user, "ou_") {
		return malformed("chat")
	}
	a.alone(in, chat, user)
	e.Kind, e.User, e.Conv, e.Private = bot.HomeOpened, a.user(user), a.conv(chat), true
	in.Events = []bot.Event{e}
	return nil
}

// menuWords are what the entries of the bot's menu say, by the key that they are
// given in the console. Any other key is taken for the words themselves.
var menuWords = map[string]string{"mine": "我的", "queue": "待接", "open": "建单", "overdue": "超时", "help": "帮助"}

// menu reads a choice from the bot's menu, which only its private chat has: the
// nearest thing to a slash command.
// https://open.feishu.cn/document/client-docs/bot-v3/bot-customized-menu
func (a *Adapter) menu(in *bot.Inbound, e bot.Event, ev value) error {
	user, key := ev.at("operator", "operator_id", "open_id").str(), strings.TrimSpace(clean(ev.at("event_key").str()))
	if !isID(user, "ou_") || key == "" {
		return malformed("menu")
	}
	e.Kind, e.User, e.UserName, e.Private, e.ToBot = bot.Slash, a.user(user), clean(ev.at("operator", "operator_name").str()), true, true
	if e.Text = menuWords[key]; e.Text == "" {
		e.Text = key
	}
	e.Trigger = trigger{user: user, kind: privateChat}.String()
	in.Events = []bot.Event{e}
	return nil
}

func (a *Adapter) renamed(in *bot.Inbound, e bot.Event, ev value) error {
	u := ev.at("object")
	id := u.at("open_id").str()
	if !isID(id, "ou_") {
		return malformed("user")
	}
	a.users.forget(id)
	e.Kind, e.User, e.UserName = bot.Renamed, a.user(id), clean(u.at("name").str())
	in.Events = []bot.Event{e}
	return nil
}

// resigned forgets what was known of somebody who left the company. He is not
// introduced anew: there is nobody left to ask about.
func (a *Adapter) resigned(_ *bot.Inbound, _ bot.Event, ev value) error {
	id := ev.at("object", "open_id").str()
	if !isID(id, "ou_") {
		return malformed("user")
	}
	a.users.forget(id)
	return nil
}

// trigger says where a form is wanted: Feishu has no short-lived code for it.
type trigger struct {
	chat, user string
	kind       string // groupChat or privateChat
	stands     spot   // of the card that was pressed
}

const (
	groupChat   = "group"
	privateChat = "p2p"
)

func (t trigger) String() string {
	return t.chat + "|" + t.user + "|" + t.kind + "|" + string(t.stands)
}

func parseTrigger(s string) (trigger, error) {
	f := strings.Split(s, "|")
	if len(f) == 3 {
		f = append(f, "")
	}
	if len(f) != 4 || f[0] != "" && !isID(f[0], "oc_") || !isID(f[1], "ou_") || f[2] != groupChat && f[2] != privateChat || f[2] == groupChat && f[0] == "" {
		return trigger{}, fmt.Errorf("trigger of a form: %w", bot.ErrRejected)
	}
	return trigger{chat: f[0], user: f[1], kind: f[2], stands: spot(f[3])}, nil
}

// spot is where a card stands, and the key under which its buttons carry their
// tokens: a press tells the chat, but not of which kind it is.
type spot string

const (
	inGroup   spot = "t" // for all in a group
	inPrivate spot = "p" // in a private chat
	asNote    spot = "e" // in a group, for one person: it cannot be changed by its id
)

// The other keys of what buttons carry.
const (
	moreToken  = "*" // in place of the token: the choice of the menu is the token
	keyReload  = "r" // name of the input that changes a form
	keyInputs  = "n" // the inputs of a form, see inputsOf
	keyChosen  = "v" // what was chosen above the form
	keyOrigin  = "o" // the group that a form is about
	tokenLimit = 512
)

// pressed reads a press of a button, a choice from a menu, or a form.
// https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/card-callback-communication
func (a *Adapter) pressed(in *bot.Inbound, e bot.Event, ev value) error {
	user, chat, message := ev.at("operator", "open_id").str(), ev.at("context", "open_chat_id").str(), ev.at("context", "open_message_id").str()
	if !isID(user, "ou_") || !isID(chat, "oc_") || !isID(message, "om_") {
		return malformed("press")
	}
	act := ev.at("action")
	carried := act.at("value")
	var where spot
	for _, s := range []spot{inGroup, inPrivate, asNote} {
		if carried.at(string(s)).str() != "" {
			where = s
		}
	}
	if where == "" {
		return nil // not one of ours, or one that carries nothing
	}
	e.User, e.Guest = a.user(user), a.foreign(ev.at("operator", "tenant_key"))
	e.Conv, e.Private, e.Token = a.conv(chat), where == inPrivate, carried.at(string(where)).str()
	if e.Private {
		a.alone(in, chat, user)
	}
	switch {
	case carried.at(keyInputs).str() != "" || act.at("form_value").object() != nil:
		e.Kind, e.Values = bot.Submit, filled(carried, act.at("form_value"))
	case carried.at(keyReload).str() != "":
		e.Kind, e.Values = bot.Reload, map[string]string{carried.at(keyReload).str(): act.at("option").str()}
	default:
		e.Kind, e.Value = bot.Click, act.at("option").str()
		if e.Token == moreToken {
			e.Token, e.Value = e.Value, ""
		}
		if where != asNote {
			e.Message = ref(e.Private, message)
		}
	}
	if len(e.Token) > tokenLimit || e.Token == "" {
		return malformed("token")
	}
	if group := carried.at(keyOrigin).str(); isID(group, "oc_") { // asked for there, shown in private
		e.Conv, e.Private = a.conv(group), false
	}
	t := trigger{chat: e.Conv.ID, user: user, kind: groupChat, stands: where}
	if e.Private {
		t.kind = privateChat
	}
	e.Trigger = t.String()
	in.Events = []bot.Event{e}
	return nil
}

// filled reads the values of a form, by input name: every input is there, empty
// ones too.
func filled(carried, form value) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(carried.at(keyChosen).str()) {
		if name, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			out[name] = v
		}
	}
	for line := range strings.Lines(carried.at(keyInputs).str()) {
		kind, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok {
			continue
		}
		v := form.at(name)
		switch kind {
		case dateInput: // "2024-04-01 +0800"
			day, _, _ := strings.Cut(v.str(), " ")
			out[name] = day
		case timeInput: // "2024-04-01 18:30 +0800": as the reader's clock shows it
			day, rest, _ := strings.Cut(v.str(), " ")
			clock, _, _ := strings.Cut(rest, " ")
			if out[name] = day; clock != "" {
				out[name] = day + "T" + clock
			}
		case checkInput:
			if out[name] = ""; v.yes() {
				out[name] = "true"
			}
		default:
			out[name] = v.str()
		}
	}
	return out
}

// How inputs are written down with their form, so that their values are
// understood when they come back.
const (
	textInput  = "s"
	dateInput  = "d"
	timeInput  = "t"
	checkInput = "c"
)
