package wecom

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// app is the self-built app 自建应用: a private chat with each member who is in
// its visible range, cards that can be changed, and the directory.
type app struct {
	*shared
	crypt *crypt
	users *people
}

func newApp(s *shared) (*app, error) {
	c, err := newCrypt(s.conf.Token, s.conf.EncodingAESKey, s.conf.CorpID)
	if err != nil {
		return nil, err
	}
	return &app{shared: s, crypt: c, users: &people{now: s.now, rows: map[string]seenPerson{}}}, nil
}

// The API's paths.
const (
	sendPath   = "/cgi-bin/message/send"
	updatePath = "/cgi-bin/message/update_template_card"
	recallPath = "/cgi-bin/message/recall"
	userPath   = "/cgi-bin/user/get"
)

// Pace implements bot.Paced. A member gets at most 30 messages of an app in a
// minute and 1000 in an hour; what is more WeCom drops and still answers "ok".
// The robot's conversations have the same limits. 13 at once and then one every
// 3.7 seconds stay below both. https://developer.work.weixin.qq.com/document/path/90312
func (a *Adapter) Pace() bot.Pace { return bot.Pace{Conv: 0.27, Burst: 13} }

var _ bot.Paced = (*Adapter)(nil)

// taskOf names a card for ever: the same for each attempt to show the same thing
// to the same member. WeCom takes no second card with it.
func taskOf(install bot.Install, user, once string) string {
	return "pd-" + digest(install.String(), user, once)
}

// appMessage is a message as message/send takes it.
// https://developer.work.weixin.qq.com/document/path/90236
type appMessage struct {
	ToUser    string        `json:"touser"`
	AgentID   int64         `json:"agentid"`
	MsgType   string        `json:"msgtype"`
	Text      *textPart     `json:"text,omitempty"`
	File      *filePart     `json:"file,omitempty"`
	Card      *templateCard `json:"template_card,omitempty"`
	Duplicate int           `json:"enable_duplicate_check"`
	Interval  int           `json:"duplicate_check_interval,omitempty"`
}

type textPart struct {
	Content string `json:"content"`
}

type filePart struct {
	MediaID string `json:"media_id"`
}

// accepted is the answer to message/send.
type accepted struct {
	InvalidUser  string `json:"invaliduser"`
	Unlicensed   string `json:"unlicenseduser"`
	MsgID        string `json:"msgid"`
	ResponseCode string `json:"response_code"`
}

func (a *app) post(ctx context.Context, to bot.Dest, once string, c cards.Card) (bot.MessageRef, error) {
	if !userForm.MatchString(to.User) {
		return "", fmt.Errorf("member %q: %w", to.User, bot.ErrRejected)
	}
	if !numbered(c) {
		if t := asTemplate(c, appLimits); t != nil {
			t.TaskID = taskOf(a.install, to.User, once)
			return a.postCard(ctx, to.User, t)
		}
	}
	return a.postText(ctx, to.User, once, asText(c))
}

// postCard shows a card. When WeCom knows its task_id already, an earlier attempt
// went through although we did not hear so: the card stands there once, with what
// was true then, and the next press or change brings it up to date.
func (a *app) postCard(ctx context.Context, user string, t *templateCard) (bot.MessageRef, error) {
	ref := appRef(user, t.TaskID)
	var got accepted
	err := a.api.send(ctx, sendPath, appMessage{ToUser: user, AgentID: a.conf.AgentID, MsgType: "template_card", Card: t, Duplicate: 1}, &got)
	if code(err) == usedTask {
		return ref, nil
	}
	if err != nil {
		return "", err
	}
	if err := got.verdict(); err != nil {
		return "", err
	}
	a.keepCode(ctx, t.TaskID, got.ResponseCode)
	return ref, nil
}

// verdict: when nobody got it WeCom says 81013, but it may also say so this way.
func (g accepted) verdict() error {
	if g.InvalidUser != "" || g.Unlicensed != "" {
		return fmt.Errorf("%s: the member cannot be reached: %w", sendPath, bot.ErrGone)
	}
	return nil
}

// aside makes a context for what must still be kept although the caller's time
// is over.
func aside(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
}

// keepCode keeps a card's code. The card stands there in any case: without its
// code it can be changed after the next press.
func (a *app) keepCode(ctx context.Context, task, code string) {
	if code == "" {
		return
	}
	ctx, cancel := aside(ctx)
	defer cancel()
	if err := a.shelf.Push(ctx, codeKey(task), code, codeFor); err != nil {
		a.log.Error("code of a card not kept: it can be changed after the next press only", "install", a.install.String(), "error", err)
	}
}

// interval is how long WeCom compares a message with those before it, in seconds.
// It swallows what is the same, so a message whose answer was lost can be sent
// again. But people ask the same twice and want two answers: the time is short,
// and as part of what is compared it differs from one message to the next.
func interval(key string) int {
	sum := sha256.Sum256([]byte(key))
	return 60 + int(sum[0])%60
}

func (a *app) postText(ctx context.Context, user, once, text string) (bot.MessageRef, error) {
	return a.deliver(ctx, appMessage{ToUser: user, MsgType: "text", Text: &textPart{text}}, once)
}

// deliver sends what is no card.
func (a *app) deliver(ctx context.Context, m appMessage, once string) (bot.MessageRef, error) {
	m.AgentID, m.Duplicate, m.Interval = a.conf.AgentID, 1, interval(taskOf(a.install, m.ToUser, once))
	var got accepted
	if err := a.api.send(ctx, sendPath, m, &got); err != nil {
		return "", err
	}
	if err := got.verdict(); err != nil {
		return "", err
	}
	if !sentForm.MatchString(got.MsgID) {
		return textRef(m.ToUser, noMessage), nil // a repetition that WeCom swallowed
	}
	return textRef(m.ToUser, got.MsgID), nil
}

// noMessage stands for a msgid that WeCom did not tell.
const noMessage = "-"

// change is update_template_card.
// https://developer.work.weixin.qq.com/document/path/94888
type change struct {
	UserIDs      []string      `json:"userids"`
	AgentID      int64         `json:"agentid"`
	ResponseCode string        `json:"response_code"`
	Card         *templateCard `json:"template_card"`
}

// spent are the errors that say: this code is used up, or too old.
var spent = map[int64]bool{42022: true, 60140: true, 40058: true, 42016: true}

// update changes a card, with the newest code that is left. A text has none: it
// is taken back and sent anew, as long as WeCom allows that.
func (a *app) update(ctx context.Context, ref bot.MessageRef, c cards.Card) (bot.MessageRef, error) {
	kind, user, id, err := parseRef(ref)
	if err != nil {
		return ref, err
	}
	if kind == surfaceText {
		return a.replace(ctx, ref, user, id, c)
	}
	t := redrawn(c)
	t.TaskID = id
	for {
		code, err := a.shelf.Pop(ctx, codeKey(id))
		if err != nil {
			return ref, fmt.Errorf("code of a card: %w", err)
		}
		if code == "" {
			return ref, fmt.Errorf("%s: no code is left: %w", updatePath, bot.ErrFixed)
		}
		err = a.redraw(ctx, user, code, t)
		switch {
		case err == nil:
			return ref, nil
		case spent[codeOf(err)]:
			continue
		case !errors.Is(err, bot.ErrGone):
			a.keepCode(ctx, id, code) // it may still be good, and if not the next attempt hears so
		}
		return ref, err
	}
}

func codeOf(err error) int64 { return code(err) }

func (a *app) redraw(ctx context.Context, user, code string, t *templateCard) error {
	var got struct {
		InvalidUser []string `json:"invaliduser"`
	}
	err := a.api.call(ctx, "POST", updatePath, nil, change{[]string{user}, a.conf.AgentID, code, t}, &got)
	if err == nil && len(got.InvalidUser) > 0 {
		return fmt.Errorf("%s: the member cannot be reached: %w", updatePath, bot.ErrGone)
	}
	return err
}

// recalledFor is longer than WeCom lets anything be taken back.
const recalledFor = 48 * time.Hour

func recalledKey(msgid string) string { return "recalled/" + msgid }

// replace takes a text back and sends what is to stand there now. Whoever still
// has the old reference is led to the new message.
func (a *app) replace(ctx context.Context, ref bot.MessageRef, user, msgid string, c cards.Card) (bot.MessageRef, error) {
	instead, err := a.shelf.Get(ctx, recalledKey(msgid))
	if err != nil {
		return ref, fmt.Errorf("what was taken back: %w", err)
	}
	switch instead {
	case "":
		switch err := a.recall(ctx, ref); {
		case errors.Is(err, bot.ErrGone): // it stays, and what follows it is posted once in a while
			return ref, fmt.Errorf("%s: too late: %w", recallPath, bot.ErrFixed)
		case err != nil:
			return ref, err
		}
		if err := a.shelf.Put(ctx, recalledKey(msgid), nothingYet, recalledFor); err != nil {
			return ref, fmt.Errorf("note what was taken back: %w", err)
		}
	case nothingYet: // an attempt before this one came so far
	default:
		return a.update(ctx, bot.MessageRef(instead), c)
	}
	now, err := a.post(ctx, bot.Dest{Install: a.install, User: user}, "instead of "+msgid, c)
	if err != nil {
		return ref, err
	}
	if err := a.shelf.Put(ctx, recalledKey(msgid), string(now), recalledFor); err != nil {
		a.log.Error("successor of a text not noted", "install", a.install.String(), "error", err)
	}
	return now, nil
}

// nothingYet stands for the successor of a text that has been taken back only.
const nothingYet = "-"

// remove takes a message back, or what was sent in its place.
func (a *app) remove(ctx context.Context, ref bot.MessageRef) error {
	for range 100 { // edits of one message
		kind, _, id, err := parseRef(ref)
		if err != nil {
			return err
		}
		if kind != surfaceText {
			break
		}
		instead, err := a.shelf.Get(ctx, recalledKey(id))
		if err != nil {
			return fmt.Errorf("what was taken back: %w", err)
		}
		if instead == nothingYet {
			return nil
		}
		if instead == "" {
			break
		}
		ref = bot.MessageRef(instead)
	}
	return a.recall(ctx, ref)
}

// recall takes a message back, which WeCom allows for a day, and not for cards
// of which we know the task_id only. Both are bot.ErrGone afterwards: they can
// no longer be changed.
// https://developer.work.weixin.qq.com/document/path/94867
func (a *app) recall(ctx context.Context, ref bot.MessageRef) error {
	kind, _, id, err := parseRef(ref)
	if err != nil {
		return err
	}
	if kind != surfaceText || id == noMessage {
		return fmt.Errorf("%s: this message cannot be taken back: %w", recallPath, bot.ErrGone)
	}
	err = a.api.call(ctx, "POST", recallPath, nil, map[string]string{"msgid": id}, nil)
	switch code(err) {
	case 42052, 40058: // older than a day, or not known any more
		return fmt.Errorf("%s: too late: %w", recallPath, bot.ErrGone)
	}
	return err
}

// member is what user/get tells, as far as it matters here.
// https://developer.work.weixin.qq.com/document/path/90196
type member struct {
	UserID  string      `json:"userid"`
	Name    string      `json:"name"`
	Email   string      `json:"email"`
	BizMail string      `json:"biz_mail"`
	Mobile  string      `json:"mobile"`
	Status  json.Number `json:"status"` // 1 active, 2 disabled, 4 not activated, 5 left
}

// findUser looks a member up. E-mail address and phone are told to few apps
// only: those made before June 2022.
func (a *app) findUser(ctx context.Context, u bot.UserRef) (bot.User, error) {
	if !userForm.MatchString(u.ID) {
		return bot.User{}, fmt.Errorf("member %q: %w", u.ID, bot.ErrRejected)
	}
	if had, ok := a.users.get(u.ID); ok {
		return had, nil
	}
	var p member
	if err := a.api.call(ctx, "GET", userPath, map[string][]string{"userid": {u.ID}}, nil, &p); err != nil {
		return bot.User{}, err
	}
	if p.UserID == "" {
		return bot.User{}, fmt.Errorf("%s: empty answer", userPath)
	}
	out := bot.User{Ref: u, Name: cut(oneLine(p.Name), 64), Email: p.BizMail, Phone: phone(p.Mobile), Deleted: p.Status == "2" || p.Status == "5"}
	if out.Email == "" {
		out.Email = p.Email
	}
	a.users.put(u.ID, out)
	return out, nil
}

// phone writes a number with its country's code: the directory leaves +86 out.
func phone(s string) string {
	digits := ""
	for i, r := range s {
		switch {
		case r >= '0' && r <= '9', r == '+' && i == 0:
			digits += string(r)
		case r != ' ' && r != '-':
			return ""
		}
	}
	switch {
	case len(digits) == 11 && digits[0] == '1':
		return "+86" + digits
	case len(digits) >= 8 && digits[0] == '+':
		return digits
	}
	return "" // of which country nobody knows
}

// people remembers members for ten minutes.
type people struct {
	now  func() time.Time
	mu   sync.Mutex // guards rows
	rows map[string]seenPerson
}

type seenPerson struct {
	user  bot.User
	until time.Time
}

const (
	knownFor   = 10 * time.Minute
	mostPeople = 10_000
)

func (p *people) get(id string) (bot.User, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.rows[id]
	return k.user, ok && p.now().Before(k.until)
}

func (p *people) put(id string, u bot.User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.rows) >= mostPeople {
		clear(p.rows)
	}
	p.rows[id] = seenPerson{u, p.now().Add(knownFor)}
}

func (p *people) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.rows, id)
}

// prepare asks for a token, so that wrong credentials are known at start.
func (a *app) prepare(ctx context.Context) error {
	if _, err := a.api.token(ctx); err != nil {
		return fmt.Errorf("app %s: %w", strconv.FormatInt(a.conf.AgentID, 10), err)
	}
	return nil
}
