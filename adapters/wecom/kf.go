package wecom

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/silenceper/wechat/v2/work/kf/sendmsg"
	"github.com/silenceper/wechat/v2/work/kf/syncmsg"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// kf is 微信客服: customers of the corp who write from WeChat. WeCom only nudges
// us; what was said is fetched with a cursor, and can be fetched again for three
// days. https://developer.work.weixin.qq.com/document/path/94670
//
// The types of messages are those of silenceper/wechat. Its calls are not used:
// they know one address for the whole process and take no context, its callback
// reader never looks at the signature, and what sync_msg refuses comes back
// without its errcode.
type kf struct {
	*shared
	api   *client // with kf.secret where there is one, else the app's
	crypt *crypt  // of kf's own address; nil: events come to the app's
	tempo kfTempo
	poke  chan struct{} // says that nudged has something

	mu     sync.Mutex // guards nudged
	nudged map[string]string
}

func newKF(c Config, s *shared) (*kf, error) {
	k := &kf{shared: s, api: s.api, tempo: usualKFTempo, poke: make(chan struct{}, 1), nudged: map[string]string{}}
	if c.KF.Secret != "" {
		k.api = newClient(s, s.api.base, c.KF.Secret)
	}
	if c.KF.Token != "" {
		var err error
		if k.crypt, err = newCrypt(c.KF.Token, c.KF.EncodingAESKey, c.CorpID); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// The kinds of what comes in.
const (
	kfNudge   = "kf_event" // there is something to fetch
	kfVerify  = "kf_verify"
	kfMessage = "kf_message"
	kfMenu    = "kf_menu"
	kfEnter   = "kf_enter"
	kfFail    = "kf_send_fail"
	kfOther   = "kf_unknown"
)

// person is a customer at one account of ours.
type person struct{ account, customer string }

// userID is "kf:<open_kfid>:<external_userid>".
func (p person) userID() string { return customer + p.account + ":" + p.customer }

// ref names a message: "kf/<open_kfid>/<external_userid>/<msgid>".
func (p person) ref(id string) bot.MessageRef {
	return bot.MessageRef(surfaceKF + "/" + p.account + "/" + p.customer + "/" + id)
}

// parsePerson reads what userID wrote.
func parsePerson(id string) (person, error) {
	rest, ok := strings.CutPrefix(id, customer)
	account, who, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 || !kfID(account) || !kfID(who) {
		return person{}, fmt.Errorf("kf: no customer's id: %w", bot.ErrRejected)
	}
	return person{account, who}, nil
}

// kfID reports whether s can be the id of an account, a customer or a message.
func kfID(s string) bool {
	return len(s) > 0 && len(s) <= 128 && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_' || c == '-')
	})
}

func (k *kf) verify(r bot.Raw, now time.Time) ([]byte, error) {
	switch {
	case r.Socket:
		return r.Body, nil // we fetched it ourselves
	case k.crypt == nil:
		return nil, bot.ErrUnverified
	case r.Method == http.MethodGet:
		return k.crypt.echo(r.Query, now)
	}
	// Which agent it names depends on whose secret kf has: it is not looked at.
	env, err := parseOuter(r.Body)
	if err != nil || r.Method != http.MethodPost || len(r.Query) != 3 || env.to != k.conf.CorpID {
		return nil, bot.ErrUnverified
	}
	return k.crypt.open(r.Query, env.encrypt, now)
}

// decode reads what came to kf's own address, and messages that were fetched.
func (k *kf) decode(r bot.Raw, plain []byte) (bot.Inbound, error) {
	switch {
	case r.Socket:
		return k.message(r, plain)
	case r.Method == http.MethodGet:
		if len(plain) == 0 {
			return bot.Inbound{}, malformed("echo")
		}
		return bot.Inbound{Echo: string(plain), Kind: kfVerify}, nil
	}
	m, err := parseXML(plain)
	if err != nil || m.value("ToUserName") != k.conf.CorpID {
		return bot.Inbound{}, malformed("kf")
	}
	return k.event(m)
}

// event reads a nudge, which may come to the app's address too. It has been
// verified: whoever could nudge us unsigned could have us call WeCom without end.
func (k *kf) event(m *element) (bot.Inbound, error) {
	if m.value("Event") != "kf_msg_or_event" {
		return bot.Inbound{Kind: kfOther}, nil
	}
	account, token := m.value("OpenKfId"), m.value("Token")
	if !kfID(account) || len(token) > 128 {
		return bot.Inbound{}, malformed("kf event")
	}
	k.nudge(account, token)
	return bot.Inbound{Kind: kfNudge}, nil
}

// nudge has an account fetched soon. token lets us fetch often, for ten minutes.
func (k *kf) nudge(account, token string) {
	k.mu.Lock()
	k.nudged[account] = token
	k.mu.Unlock()
	select {
	case k.poke <- struct{}{}:
	default: // somebody is told already
	}
}

// nudges takes what was nudged since the last time.
func (k *kf) nudges() map[string]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.nudged
	k.nudged = map[string]string{}
	return out
}

// Headers of a fetched message: only our own Stream sets them. The first two
// are what the Shelf knows about the menu entry that was pressed.
const (
	menuTokenHeader = "X-Paidan-Menu-Token"
	menuValueHeader = "X-Paidan-Menu-Value"
	menuRefHeader   = "X-Paidan-Menu-Ref"
)

// kfSaid is a message or an event as sync_msg tells it.
type kfSaid struct {
	syncmsg.BaseMessage
	MsgType string `json:"msgtype"`
	Text    struct {
		Content string `json:"content"`
		MenuID  string `json:"menu_id"`
	} `json:"text"`
	Image    kfMedia `json:"image"`
	Voice    kfMedia `json:"voice"`
	Video    kfMedia `json:"video"`
	File     kfMedia `json:"file"`
	Location struct {
		Name    string `json:"name"`
		Address string `json:"address"`
	} `json:"location"`
	Link struct {
		Title string `json:"title"`
		URL   string `json:"url"`
	} `json:"link"`
	Event struct {
		Type        string `json:"event_type"`
		OpenKFID    string `json:"open_kfid"`
		Customer    string `json:"external_userid"`
		WelcomeCode string `json:"welcome_code"`
		FailMsgID   string `json:"fail_msgid"`
		FailType    int    `json:"fail_type"`
	} `json:"event"`
}

type kfMedia struct {
	MediaID string `json:"media_id"`
}

// fromCustomer is the origin of what customers write; others are our own.
const fromCustomer = 3

func (m kfSaid) who() person {
	p := person{m.OpenKFID, m.ExternalUserID}
	if m.MsgType == "event" {
		if m.Event.OpenKFID != "" {
			p.account = m.Event.OpenKFID
		}
		if m.Event.Customer != "" {
			p.customer = m.Event.Customer
		}
	}
	return p
}

// message says what a fetched message means.
func (k *kf) message(r bot.Raw, plain []byte) (bot.Inbound, error) {
	var m kfSaid
	if err := json.Unmarshal(plain, &m); err != nil || !kfID(m.MsgID) || m.MsgType == "" {
		return bot.Inbound{}, malformed("kf message")
	}
	p := m.who()
	if !kfID(p.account) || !kfID(p.customer) || m.SendTime == 0 || m.SendTime > 1<<40 {
		if m.MsgType == "event" { // about an account, not about somebody
			return bot.Inbound{Kind: kfOther}, nil
		}
		return bot.Inbound{}, malformed("kf message")
	}
	e := bot.Event{
		ID: surfaceKF + ":" + m.MsgID, At: time.Unix(int64(m.SendTime), 0).UTC(), User: k.user(p.userID()), Guest: true, Private: true, ToBot: true,
		Kind: bot.Message, Message: p.ref(m.MsgID),
	}
	one := func(kind string) (bot.Inbound, error) { return bot.Inbound{Events: []bot.Event{e}, Kind: kind}, nil }
	if m.MsgType == "event" {
		switch m.Event.Type {
		case "enter_session":
			e.Kind, e.Message, e.ToBot = bot.HomeOpened, "", false
			e.Respond = m.Event.WelcomeCode
			return one(kfEnter)
		case "msg_send_fail":
			return bot.Inbound{Kind: kfFail}, nil // the stream has noted it
		}
		return bot.Inbound{Kind: kfOther}, nil
	}
	if m.Origin != fromCustomer {
		return bot.Inbound{Kind: kfOther}, nil
	}
	file := func(f kfMedia, name, kind string) {
		if mediaForm.MatchString(f.MediaID) {
			e.Files = []bot.File{{ID: surfaceKF + "/" + f.MediaID, Name: name, Type: kind}}
		}
	}
	switch m.MsgType {
	case "text":
		e.Text = tidy(m.Text.Content)
		if token := r.Header.Get(menuTokenHeader); m.Text.MenuID != "" && token != "" {
			e.Kind, e.ToBot, e.Token, e.Value = bot.Click, false, token, r.Header.Get(menuValueHeader)
			e.Message, e.Text = bot.MessageRef(r.Header.Get(menuRefHeader)), ""
			return one(kfMenu)
		}
	case "image":
		file(m.Image, "image.jpg", "image/jpeg")
	case "voice":
		file(m.Voice, "voice.amr", "audio/amr")
	case "video":
		file(m.Video, "video.mp4", "video/mp4")
	case "file":
		file(m.File, "file", "")
	case "location":
		e.Text = tidy(strings.TrimSpace(m.Location.Name + " " + m.Location.Address))
	case "link":
		e.Text = tidy(strings.TrimSpace(m.Link.Title + " " + m.Link.URL))
	default:
		return bot.Inbound{Kind: kfOther}, nil
	}
	return one(kfMessage)
}

// reply answers a check of the address, and a customer who has just come in:
// the frame that is written then is the body of kf/send_msg_on_event. Everything
// else is answered by messages of their own.
func (k *kf) reply(w http.ResponseWriter, in bot.Inbound, out bot.Reply) {
	var b []byte
	switch {
	case in.Kind == kfVerify:
		b = []byte(out.Echo)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	case in.Kind == kfEnter && (out.Hint != nil || out.Toast != ""):
		c := cards.Card{Body: out.Toast}
		if out.Hint != nil {
			c = *out.Hint
		}
		var err error
		if b, err = encode(object{"msgtype": "text", "text": object{"content": kfText(c)}}); err != nil {
			k.log.Error("reply not written", "install", k.install.String(), "error", err)
			b = nil
		}
	}
	w.WriteHeader(http.StatusOK)
	if len(b) == 0 {
		return
	}
	if _, err := w.Write(b); err != nil {
		k.log.Warn("reply not written", "install", k.install.String(), "error", err)
	}
}

// inline tells what answers can carry: a greeting, where WeCom allows one.
func (k *kf) inline(e bot.Event) bot.Inline {
	return bot.Inline{Hint: e.Kind == bot.HomeOpened && e.Respond != ""}
}

// What may be sent to a customer: https://developer.work.weixin.qq.com/document/path/94677
const (
	maxToCustomer = 5              // messages after each of his
	openFor       = 48 * time.Hour // after his last one
	maxEntries    = 10
	maxMenuHead   = 1024 // bytes
	maxMenuLabel  = 128
	menuFor       = 30 * 24 * time.Hour // how long an entry of a menu can be pressed
)

// The names on the Shelf under which that is counted.
func (p person) openKey() string { return "kf/open/" + p.account + "/" + p.customer }
func (p person) sentKey(opened string) string {
	return "kf/sent/" + p.account + "/" + p.customer + "/" + opened
}
func (p person) shutKey() string { return "kf/shut/" + p.account + "/" + p.customer }

// spoken notes that a customer has written: from then on we may write to him.
func (k *kf) spoken(ctx context.Context, p person, m kfSaid) error {
	at := time.Unix(int64(m.SendTime), 0)
	left := at.Add(openFor).Sub(k.now())
	if left <= 0 {
		return nil
	}
	old, err := k.shelf.Get(ctx, p.openKey())
	if err != nil {
		return err
	}
	was, _, _ := strings.Cut(old, ".")
	if n, err := strconv.ParseInt(was, 10, 64); err == nil && n >= at.Unix() {
		return nil // fetched again, or out of order
	}
	if err := k.shelf.Put(ctx, p.shutKey(), "", time.Second); err != nil {
		return err
	}
	return k.shelf.Put(ctx, p.openKey(), strconv.FormatInt(at.Unix(), 10)+"."+m.MsgID, left)
}

// failed notes that a message did not reach its customer, where that says that
// the next ones will not either.
// https://developer.work.weixin.qq.com/document/path/94670
func (k *kf) failed(ctx context.Context, p person, m kfSaid) error {
	k.log.Warn("message did not reach a customer", "install", k.install.String(), "reason", m.Event.FailType)
	switch m.Event.FailType {
	case 4, 5, 6, 10: // 48 hours over, session closed, more than five, refused by the customer
	default:
		return nil
	}
	old, err := k.shelf.Get(ctx, p.openKey())
	if err != nil {
		return err
	}
	was, _, _ := strings.Cut(old, ".")
	if n, err := strconv.ParseInt(was, 10, 64); err == nil && n > int64(m.SendTime) {
		return nil // he has written since
	}
	return k.shelf.Put(ctx, p.shutKey(), strconv.Itoa(m.Event.FailType), openFor)
}

func mustSpeak(why string) error { return fmt.Errorf("kf: %s: %w", why, bot.ErrMustSpeak) }

// allowed counts one message to a customer. undo takes it off the count again.
func (k *kf) allowed(ctx context.Context, p person) (undo func(), err error) {
	opened, err := k.shelf.Get(ctx, p.openKey())
	if err != nil {
		return nil, fmt.Errorf("kf: %w", err)
	}
	if opened == "" {
		return nil, mustSpeak("nothing written for 48 hours")
	}
	shut, err := k.shelf.Get(ctx, p.shutKey())
	if err != nil {
		return nil, fmt.Errorf("kf: %w", err)
	}
	if shut != "" {
		return nil, mustSpeak("messages do not reach the customer")
	}
	add := func(ctx context.Context, n int64) (int64, error) {
		return k.shelf.Add(ctx, p.sentKey(opened), n, openFor)
	}
	n, err := add(ctx, 1)
	if err != nil {
		return nil, fmt.Errorf("kf: %w", err)
	}
	undo = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shelfPatience)
		defer cancel()
		if _, err := add(ctx, -1); err != nil {
			k.log.Warn("count of a customer's messages not mended", "install", k.install.String(), "error", err)
		}
	}
	if n > maxToCustomer {
		undo()
		return nil, mustSpeak("five messages since the last one")
	}
	return undo, nil
}

// shortID is an id of at most 32 letters that is the same for the same parts.
func (k *kf) shortID(parts ...string) string {
	sum := sha256.Sum256([]byte(k.install.String() + "|" + strings.Join(parts, "|")))
	return base64.RawURLEncoding.EncodeToString(sum[:21])
}

// post sends a card as text, or as a menu where there is something to choose.
func (k *kf) post(ctx context.Context, to bot.Dest, once string, c cards.Card) (bot.MessageRef, error) {
	p, err := parsePerson(to.User)
	if err != nil {
		return "", err
	}
	id := k.shortID(once)
	ref := p.ref(id)
	body, err := k.drawn(ctx, p, ref, id, c)
	if err != nil {
		return "", err
	}
	return ref, k.send(ctx, p, body)
}

// send sends one message, if the customer may be written to.
func (k *kf) send(ctx context.Context, p person, body any) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("kf: %w", err)
	}
	undo, err := k.allowed(ctx, p)
	if err != nil {
		return err
	}
	err = k.api.send(ctx, "/cgi-bin/kf/send_msg", body, nil)
	switch code(err) {
	case 0:
	case 95001, 95002: // more than five, or more than 48 hours
		return err
	case 95013, 95018: // the session has ended, or somebody else is talking to him
		undo()
		return fmt.Errorf("%w: %w", err, bot.ErrMustSpeak)
	}
	if err != nil && !errors.Is(err, bot.ErrUnknown) {
		undo()
	}
	return err
}

// kfText is a card as the text of a message.
func kfText(c cards.Card) string { return asText(c) }

// entry is something to choose.
type entry struct {
	label, token, value, url string
}

// entries are what a card offers: its buttons, and of its menus every choice.
func entries(c cards.Card) []entry {
	var out []entry
	add := func(before string, list ...cards.Action) {
		for _, a := range list {
			label := strings.TrimSpace(before + oneLine(a.Label))
			switch {
			case a.URL != "" && (strings.HasPrefix(a.URL, "https://") || strings.HasPrefix(a.URL, "http://")):
				out = append(out, entry{label: label, url: a.URL})
			case a.URL != "" || a.Token == "":
			case a.Options == nil:
				out = append(out, entry{label: label, token: a.Token})
			default:
				for _, o := range a.Options {
					if o.Value != "" {
						out = append(out, entry{label: strings.TrimSpace(label + " " + oneLine(o.Label)), token: a.Token, value: o.Value})
					}
				}
			}
		}
	}
	add("", c.Actions...)
	for _, f := range c.Facts {
		if f.Action != nil {
			add(oneLine(f.Label)+" ", *f.Action)
		}
	}
	for _, r := range c.Rows {
		number, _, _ := strings.Cut(oneLine(r.Text), " ")
		add(number+" ", r.Actions...)
	}
	add("", c.More...)
	for i := range out {
		if out[i].label == "" {
			out[i].label = "…"
		}
	}
	return out
}

// drawn is the body of a message. What its menu stands for goes on the Shelf: an
// entry's id has 64 bytes, and what a button carries is longer.
func (k *kf) drawn(ctx context.Context, p person, ref bot.MessageRef, id string, c cards.Card) (any, error) {
	head := sendmsg.Message{ToUser: p.customer, OpenKFID: p.account, MsgID: id}
	list := entries(c)
	if len(list) == 0 || numbered(c) && len(list) > maxEntries {
		m := sendmsg.Text{Message: head, MsgType: "text"}
		m.Text.Content = kfText(c)
		return m, nil
	}
	m := sendmsg.Menu{Message: head, MsgType: "msgmenu"}
	bare := c
	bare.Actions, bare.More = nil, nil
	m.MsgMenu.HeadContent = fitBytes(plain(layout(bare)), maxMenuHead)
	seen := map[string]int{}
	for _, e := range list[:min(len(list), maxEntries)] {
		label := cutBytes(plain(e.label), maxMenuLabel)
		// Two entries that read alike could not be told apart.
		if seen[label]++; seen[label] > 1 {
			label = cutBytes(label, maxMenuLabel-4) + " " + strconv.Itoa(seen[label])
		}
		if e.url != "" {
			v := sendmsg.MenuView{Type: "view"}
			v.View.URL, v.View.Content = e.url, label
			m.MsgMenu.List = append(m.MsgMenu.List, v)
			continue
		}
		entryID := k.shortID(id, e.token, e.value)
		kept, err := encode(kfEntry{e.token, e.value, string(ref)})
		if err != nil {
			return nil, fmt.Errorf("kf: %w", err)
		}
		if err := k.shelf.Put(ctx, menuKey(entryID), string(kept), menuFor); err != nil {
			return nil, fmt.Errorf("kf: %w", err)
		}
		v := sendmsg.MenuClick{Type: "click"}
		v.Click.ID, v.Click.Content = entryID, label
		m.MsgMenu.List = append(m.MsgMenu.List, v)
	}
	return m, nil
}

// kfEntry is what the Shelf knows about an entry.
type kfEntry struct {
	Token string `json:"t"`
	Value string `json:"v,omitempty"`
	Ref   string `json:"r"`
}

func menuKey(id string) string { return "kf/menu/" + id }

// update cannot be done: what a customer was sent stands as it is.
func (k *kf) update(_ context.Context, ref bot.MessageRef, _ cards.Card) (bot.MessageRef, error) {
	return ref, fmt.Errorf("kf: messages to customers cannot be changed: %w", bot.ErrFixed)
}

// check looks whether the interfaces of 微信客服 are open to us.
func (k *kf) check(ctx context.Context) []bot.Finding {
	f := bot.Finding{OK: true, What: k.install.String() + " kf"}
	list, err := k.accounts(ctx)
	switch {
	case errors.Is(err, bot.ErrUnauthorized) && !k.wanted():
		f.Says = "not used"
	case errors.Is(err, bot.ErrUnauthorized):
		f.OK, f.Says = false, "微信客服 is not open to this app ("+err.Error()+"): add the app under 微信客服 → API → 可调用接口的应用"
	case err != nil:
		f.OK, f.Says = false, err.Error()
	case len(list) == 0:
		f.OK, f.Warn, f.Says = false, true, "no account: make one under 微信客服, and let this app manage it"
	default:
		f.Says = strconv.Itoa(len(list)) + " accounts"
	}
	return []bot.Finding{f}
}

func (k *kf) prepare(context.Context) error { return nil }

// findUser asks for a customer's name.
// https://developer.work.weixin.qq.com/document/path/95159
func (k *kf) findUser(ctx context.Context, u bot.UserRef) (bot.User, error) {
	out := bot.User{Ref: u, Guest: true}
	p, err := parsePerson(u.ID)
	if err != nil {
		return out, err
	}
	var answer struct {
		List []struct {
			ID   string `json:"external_userid"`
			Name string `json:"nickname"`
		} `json:"customer_list"`
	}
	body := object{"external_userid_list": []string{p.customer}}
	if err := k.api.call(ctx, http.MethodPost, "/cgi-bin/kf/customer/batchget", nil, body, &answer); err != nil {
		return out, err
	}
	for _, c := range answer.List {
		if c.ID == p.customer {
			out.Name = cut(oneLine(c.Name), 100)
		}
	}
	return out, nil
}
