package wecom

import (
	"bytes"
	"context"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// robot is the smart robot 智能机器人: the only surface that hears what is said in
// groups. It is reached in one of two ways.
//
// With a secret we open a long connection, and everything comes and goes over it
// (https://developer.work.weixin.qq.com/document/path/101463). Without one WeCom
// calls us (https://developer.work.weixin.qq.com/document/path/100719); then a
// message can be sent only as the answer to a callback, or, once and for an
// hour, to the address that the callback brought.
type robot struct {
	*shared
	crypt  *crypt // of the callbacks; nil with a long connection
	tempo  tempo
	held   atomic.Pointer[link] // the connection, while this process has one
	quota  quota
	shown  recentStreams
	upload chan struct{} // holds one token: files are put into memory one at a time
	seal   cipher.AEAD   // hides the keys of files
}

// tempo is how patient the long connection is.
type tempo struct {
	ping   time.Duration             // between two signs of life; two unanswered ones end the connection
	ack    time.Duration             // for the answer to a frame
	window time.Duration             // in which a press or a first visit can be answered
	lease  time.Duration             // how long a process may be silent before another takes its place
	renew  time.Duration             // between two renewals of the lease
	rest   time.Duration             // after somebody else took the connection
	grace  time.Duration             // for what is in hand when we stop
	pause  func(n int) time.Duration // before the n-th try to connect
	again  func(n int) time.Duration // before a frame is handed on for the n-th time
	room   int                       // frames that may wait before no more are read
}

var usualTempo = tempo{
	ping: 30 * time.Second, ack: 5 * time.Second, window: 5 * time.Second, lease: 15 * time.Second, renew: 5 * time.Second,
	rest: 5 * time.Minute, grace: 10 * time.Second, room: 10_000, pause: backoff, again: func(n int) time.Duration { return min(500*time.Millisecond<<min(n, 6), 20*time.Second) },
}

func newRobot(c Config, s *shared) (*robot, error) {
	r := &robot{shared: s, tempo: usualTempo, upload: make(chan struct{}, 1)}
	r.quota.sent = map[string][]time.Time{}
	var err error
	if c.Robot.Secret == "" {
		if r.crypt, err = newCrypt(c.Robot.Token, c.Robot.EncodingAESKey, ""); err != nil {
			return nil, err
		}
	}
	if r.seal, err = keySeal(c.Robot.Secret + c.Robot.EncodingAESKey); err != nil {
		return nil, err
	}
	return r, nil
}

// long reports whether the robot has a long connection.
func (r *robot) long() bool { return r.crypt == nil }

// The kinds of what comes in, and the kinds of chats.
const (
	robotMessage  = "robot_message"
	robotClick    = "robot_click"
	robotEnter    = "robot_enter"
	robotFeedback = "robot_feedback"
	robotStream   = "robot_stream"
	robotVerify   = "robot_verify"
	robotOther    = "robot_unknown"

	inGroup  = "g"
	inSingle = "s"
)

// robotRef names a message: "robot/g/<chatid>/<task_id>", or with "s" and the
// user's id for a single chat.
func robotRef(chat, id, task string) bot.MessageRef {
	return bot.MessageRef(surfaceRobot + "/" + chat + "/" + id + "/" + task)
}

// parseRobotRef reads what robotRef wrote.
func parseRobotRef(ref bot.MessageRef) (chat, id, task string, err error) {
	p := strings.Split(string(ref), "/")
	if len(p) != 4 || p[0] != surfaceRobot || p[1] != inGroup && p[1] != inSingle || !chatID(p[2]) || !taskIDForm.MatchString(p[3]) {
		return "", "", "", fmt.Errorf("message reference %q: %w", string(ref), bot.ErrRejected)
	}
	return p[1], p[2], p[3], nil
}

// chatID reports whether s can be the id of a chat or of a user.
func chatID(s string) bool {
	return len(s) > 0 && len(s) <= 128 && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == '/' || c == 0x7f })
}

// task is the task_id of what is posted with once: the same for every attempt.
func (r *robot) task(once string) string {
	return "pd" + digest(r.install.String(), once)
}

// place is a chat as the robot's frames name it.
type place struct{ chat, id string }

func placeOf(to bot.Dest) (place, error) {
	p := place{inGroup, to.Conv}
	if to.Conv == "" {
		p = place{inSingle, to.User}
	}
	if !chatID(p.id) || strings.HasPrefix(p.id, otherCorp) {
		return place{}, fmt.Errorf("robot: %s cannot be written to: %w", to.Lane(), bot.ErrRejected)
	}
	return p, nil
}

func (p place) kind() int {
	if p.chat == inSingle {
		return 1
	}
	return 2
}

// key is where the Shelf keeps the addresses that a chat can still be answered at.
func (p place) key() string { return "respond/" + p.chat + "/" + p.id }

// verify takes frames of our own connection as they are, and opens what came to
// our address.
func (r *robot) verify(raw bot.Raw, now time.Time) ([]byte, error) {
	switch {
	case raw.Socket && r.long():
		return raw.Body, nil
	case raw.Socket || r.long():
		return nil, bot.ErrUnverified
	case raw.Method == http.MethodGet:
		return r.crypt.echo(raw.Query, now)
	}
	encrypted, ok := envelope(raw.Body)
	if !ok {
		return nil, bot.ErrUnverified
	}
	return r.crypt.open(raw.Query, encrypted, now)
}

// envelope reads {"encrypt":"…"}. The signature covers nothing but the value, so
// the rest is taken in one spelling only.
func envelope(body []byte) (string, bool) {
	if len(body) == 0 || body[0] != '{' || body[len(body)-1] != '}' {
		return "", false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", false
	}
	encrypted, seen := "", false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return "", false
		}
		if key != "encrypt" {
			var other json.RawMessage
			if d.Decode(&other) != nil {
				return "", false
			}
			continue
		}
		value, err := d.Token()
		text, isText := value.(string)
		if err != nil || !isText || seen {
			return "", false
		}
		encrypted, seen = text, true
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') || d.InputOffset() != int64(len(body)) {
		return "", false
	}
	return encrypted, seen
}

// The commands of the long connection.
const (
	cmdSubscribe = "aibot_subscribe"
	cmdPing      = "ping"
	cmdMessage   = "aibot_msg_callback"
	cmdEvent     = "aibot_event_callback"
	cmdWelcome   = "aibot_respond_welcome_msg"
	cmdRespond   = "aibot_respond_msg"
	cmdUpdate    = "aibot_respond_update_msg"
	cmdSend      = "aibot_send_msg"
	cmdInit      = "aibot_upload_media_init"
	cmdChunk     = "aibot_upload_media_chunk"
	cmdFinish    = "aibot_upload_media_finish"
)

// object is a JSON object that we send.
type object map[string]any

// content is what a card becomes: a template card, or text where there is
// nothing to press, or too much.
func (r *robot) content(c cards.Card, task string) object {
	if t := robotCard(c); t != nil {
		t.TaskID = task
		return object{"msgtype": "template_card", "template_card": t}
	}
	return object{"msgtype": "markdown", "markdown": object{"content": markdown(c)}}
}

// robotCard is the template card of a card, nil where it becomes text.
func robotCard(c cards.Card) *templateCard {
	if numbered(c) {
		return nil
	}
	return asTemplate(c, robotLimits)
}

// robotRedrawn is what a template card becomes: it stays one.
func robotRedrawn(c cards.Card, task string) *templateCard {
	t := asTemplate(c, robotLimits)
	if t == nil {
		t = asDead(c, robotLimits)
	}
	t.TaskID = task
	return t
}

// answered is content as the answer to a message: text goes as a stream that is
// finished at once.
func (r *robot) answered(c cards.Card, task string) object {
	body := r.content(c, task)
	if body["msgtype"] == "template_card" {
		return body
	}
	id := "s" + task
	text := markdown(c)
	r.shown.add(id, text)
	return streamed(id, text)
}

func streamed(id, text string) object {
	return object{"msgtype": "stream", "stream": object{"id": id, "finish": true, "content": text}}
}

// reply answers what came in. Over the long connection the answer is a frame
// without its req_id, which whoever has the connection adds.
func (r *robot) reply(w http.ResponseWriter, in bot.Inbound, out bot.Reply) {
	switch in.Kind {
	case robotVerify:
		r.write(w, "text/plain; charset=utf-8", []byte(out.Echo))
		return
	case robotStream:
		r.write(w, "application/json", []byte(out.Echo))
		return
	}
	if len(in.Events) == 0 {
		w.WriteHeader(http.StatusOK)
		return
	}
	ev := in.Events[0]
	cmd, body := r.answer(in.Kind, ev, out)
	if cmd == "" {
		w.WriteHeader(http.StatusOK)
		return
	}
	if p, err := placeOfEvent(ev); err == nil {
		r.quota.note(p, r.now())
	}
	var b []byte
	var err error
	if r.long() {
		b, err = encode(object{"cmd": cmd, "body": body})
	} else {
		b, err = r.sealed(body, ev.Respond)
	}
	if err != nil {
		r.log.Error("reply not written", "install", r.install.String(), "error", err)
		w.WriteHeader(http.StatusOK)
		return
	}
	r.write(w, "application/json", b)
}

func (r *robot) write(w http.ResponseWriter, kind string, b []byte) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(b); err != nil {
		r.log.Warn("reply not written", "install", r.install.String(), "error", err)
	}
}

// answer is the command and the body that tell out; "" = nothing is told.
func (r *robot) answer(kind string, ev bot.Event, out bot.Reply) (cmd string, body object) {
	hint := out.Hint
	if hint == nil && out.Toast != "" {
		hint = &cards.Card{Body: out.Toast, Alt: out.Toast}
	}
	switch {
	case kind == robotClick && out.Card != nil:
		_, _, task, err := parseRobotRef(ev.Message)
		if err != nil {
			return "", nil
		}
		// Without userids the card changes for everybody who has it.
		return cmdUpdate, object{"response_type": "update_template_card", "template_card": robotRedrawn(*out.Card, task)}
	case kind == robotMessage && out.Card != nil && out.Once != "":
		return cmdRespond, r.answered(*out.Card, r.task(out.Once))
	case kind == robotMessage && hint != nil:
		return cmdRespond, r.answered(*hint, r.task("hint|"+ev.ID))
	case kind == robotEnter && hint != nil:
		if body := r.content(*hint, r.task("hint|"+ev.ID)); body["msgtype"] == "template_card" {
			return cmdWelcome, body
		}
		return cmdWelcome, object{"msgtype": "text", "text": object{"content": asText(*hint)}}
	}
	return "", nil
}

// sealed encrypts an answer; the nonce must be the request's own.
// https://developer.work.weixin.qq.com/document/path/101033
func (r *robot) sealed(body object, nonce string) ([]byte, error) {
	plain, err := encode(body)
	if err != nil {
		return nil, err
	}
	at := r.now()
	encrypted, signature := r.crypt.seal(plain, nonce, at)
	return encode(struct {
		Encrypt   string `json:"encrypt"`
		Signature string `json:"msgsignature"`
		Timestamp int64  `json:"timestamp"`
		Nonce     string `json:"nonce"`
	}{encrypted, signature, at.Unix(), nonce})
}

// inline tells what answers can carry. In a group an answer is seen by all, so
// nothing that is for one person goes into it.
func (r *robot) inline(e bot.Event) bot.Inline {
	switch e.Kind {
	case bot.Click:
		return bot.Inline{Card: true}
	case bot.Message:
		// Where there is no connection to post over, the answer must carry the card.
		return bot.Inline{Hint: e.Private, Card: !r.long()}
	case bot.HomeOpened:
		return bot.Inline{Hint: true}
	}
	return bot.Inline{}
}

// answerRef names the card that answering e makes.
func (r *robot) answerRef(e bot.Event, once string) bot.MessageRef {
	p, err := placeOfEvent(e)
	if err != nil {
		return ""
	}
	return robotRef(p.chat, p.id, r.task(once))
}

func placeOfEvent(e bot.Event) (place, error) {
	return placeOf(bot.Dest{Install: e.Conv.Install, Conv: e.Conv.ID, User: e.User.ID})
}

// post shows a card. Over the long connection it is sent at any time, to chats
// where somebody has talked to the robot; otherwise it goes to an address that
// a callback from there has left behind.
func (r *robot) post(ctx context.Context, to bot.Dest, once string, c cards.Card) (bot.MessageRef, error) {
	p, err := placeOf(to)
	if err != nil {
		return "", err
	}
	task := r.task(once)
	ref := robotRef(p.chat, p.id, task)
	if !r.long() {
		return ref, r.respond(ctx, p, c, task)
	}
	return ref, r.sendOnce(ctx, p, r.content(c, task), task)
}

// doubtFor is how long it is remembered that a card may have been shown.
const doubtFor = 24 * time.Hour

// sendOnce sends what has a task_id. WeCom takes each of them once, so when an
// earlier attempt may have come through, its refusal says that it did.
func (r *robot) sendOnce(ctx context.Context, p place, body object, task string) error {
	key := "robot/doubt/" + task
	err := r.send(ctx, p, body)
	quiet, cancel := context.WithTimeout(context.WithoutCancel(ctx), shelfPatience)
	defer cancel()
	switch {
	case errors.Is(err, bot.ErrUnknown):
		if perr := r.shelf.Put(quiet, key, "sent", doubtFor); perr != nil {
			return errors.Join(err, perr)
		}
	case code(err) == usedTask:
		doubt, gerr := r.shelf.Get(quiet, key)
		if gerr != nil {
			return fmt.Errorf("%w: %w", gerr, bot.ErrUnknown)
		}
		if doubt != "" {
			return nil
		}
	}
	return err
}

// usedTask is the errcode of a task_id that is malformed, which ours are not, or
// was used before.
const usedTask = 42014

var errNoLink = errors.New("robot: this process has no connection")

// send says something over the long connection.
func (r *robot) send(ctx context.Context, p place, body object) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", cmdSend, err)
	}
	l := r.held.Load()
	if l == nil {
		return errNoLink
	}
	if wait := r.quota.take(p, r.now()); wait > 0 {
		return fmt.Errorf("%s: %w", cmdSend, bot.RateLimited{After: wait})
	}
	body["chatid"], body["chat_type"] = p.id, p.kind()
	if _, err := l.call(ctx, cmdSend, "", body); err != nil {
		if errors.Is(err, errUnsent) {
			r.quota.back(p)
		}
		return err
	}
	return nil
}

// respondPath is where callbacks may be answered later.
// https://developer.work.weixin.qq.com/document/path/101138
const respondPath = "/cgi-bin/aibot/response"

// respond sends a card to an address that a callback has left behind. Each
// serves once: one that is refused is thrown away, and the next is tried.
func (r *robot) respond(ctx context.Context, p place, c cards.Card, task string) error {
	if wait := r.quota.wait(p, r.now()); wait > 0 {
		return fmt.Errorf("aibot/response: %w", bot.RateLimited{After: wait})
	}
	body := r.content(c, task)
	if p.chat == inGroup { // where no card is taken
		body = object{"msgtype": "markdown", "markdown": object{"content": markdown(withoutButtons(c))}}
	}
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("aibot/response: %w", err)
		}
		kept, err := r.shelf.Pop(ctx, p.key())
		if err != nil {
			return fmt.Errorf("aibot/response: %w", err)
		}
		if kept == "" {
			return fmt.Errorf("aibot/response: nothing was said there lately: %w", bot.ErrMustSpeak)
		}
		until, secret, ok := parseRespond(kept)
		if !ok || !r.now().Before(until) {
			continue
		}
		err = r.api.keyless(ctx, respondPath, url.Values{"response_code": {secret}}, body, nil)
		if err == nil {
			r.quota.note(p, r.now())
			return nil
		}
		var limited bot.RateLimited
		switch {
		case errors.Is(err, bot.ErrUnknown):
			return err // it is used up, whatever came of it
		case errors.As(err, &limited), code(err) == 0:
			// Nothing was done: the address is as good as it was.
			back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if perr := r.shelf.Push(back, p.key(), kept, until.Sub(r.now())); perr != nil {
				err = errors.Join(err, perr)
			}
			return err
		case badContent(code(err)):
			return err
		}
	}
}

// badContent reports whether an errcode speaks of what was sent, not of where.
func badContent(code int64) bool {
	return code != usedCode && code >= 42014 && code <= 42051 || code == 45002 || code == 40033 || code == 40035 || code == 44004
}

// withoutButtons is a card without what would have been buttons. Those of a card
// that is always text stay: their numbers are known (see Adapter.Numbers).
func withoutButtons(c cards.Card) cards.Card {
	if numbered(c) {
		return c
	}
	links := func(list []cards.Action) []cards.Action {
		return slices.DeleteFunc(slices.Clone(list), func(a cards.Action) bool { return a.URL == "" })
	}
	c.Actions, c.More = links(c.Actions), links(c.More)
	c.Facts = slices.Clone(c.Facts)
	for i := range c.Facts {
		c.Facts[i].Action = nil
	}
	return c
}

// usedCode is the errcode of an address that has served already.
const usedCode = 42022

// respondFor is how long such an address is good.
const respondFor = time.Hour

// keepRespond is how the address that a callback brought is kept: its end and
// its code. An address of another host is not kept: it is not WeCom's.
func (r *robot) keepRespond(p place, address string, at time.Time) (bot.Kept, bool) {
	u, err := url.Parse(address)
	if err != nil || u.Host != r.api.base.Host && u.Host != "qyapi.weixin.qq.com" || u.Path != respondPath || u.Query().Get("response_code") == "" {
		return bot.Kept{}, false
	}
	value := strconv.FormatInt(at.Add(respondFor).Unix(), 10) + " " + u.Query().Get("response_code")
	return bot.Kept{Key: p.key(), Value: value, For: respondFor, Push: true}, true
}

func parseRespond(s string) (until time.Time, code string, ok bool) {
	stamp, code, ok := strings.Cut(s, " ")
	sec, err := strconv.ParseInt(stamp, 10, 64)
	return time.Unix(sec, 0), code, ok && err == nil && code != ""
}

// update cannot be done here: only the answer to a press changes a card.
func (r *robot) update(_ context.Context, ref bot.MessageRef, _ cards.Card) (bot.MessageRef, error) {
	if _, _, _, err := parseRobotRef(ref); err != nil {
		return ref, err
	}
	return ref, fmt.Errorf("robot: only the answer to a press changes a card: %w", bot.ErrFixed)
}

// here reports whether this process can send to a chat: with callbacks any
// process can, over the long connection the one that has it.
func (r *robot) here(bot.Dest) bool { return !r.long() || r.held.Load() != nil }

// prepare has nothing to learn: the robot's name and id are in no answer.
func (r *robot) prepare(context.Context) error { return nil }

// check looks whether the long connection is open somewhere, or could be opened.
// It does not subscribe: that would end the connection of whoever works just now.
func (r *robot) check(ctx context.Context) []bot.Finding {
	f := bot.Finding{OK: true, What: r.install.String() + " robot"}
	if !r.long() {
		f.Says = "takes callbacks at <public_url>/hooks/" + r.install.String() + "/robot; it can only answer there, and for an hour: set robot.secret to send at any time"
		return []bot.Finding{f}
	}
	rest, err := r.shelf.Get(ctx, robotRest)
	holder, err2 := r.shelf.Get(ctx, robotLease)
	switch {
	case errors.Join(err, err2) != nil:
		f.OK, f.Says = false, "who has the connection is not known: "+errors.Join(err, err2).Error()
	case rest != "":
		f.OK, f.Warn, f.Says = false, true, "another program has opened the connection with the same bot id and secret; stop it, or make a new secret on the robot's page"
	case r.held.Load() != nil, holder != "":
		f.Says = "a running process has the long connection"
	default:
		ws, err := r.dial(ctx)
		if err != nil {
			f.OK, f.Says = false, "long connection cannot be opened ("+err.Error()+"): allow outgoing connections to "+r.conf.Robot.WSURL
			break
		}
		f.Says = "long connection can be opened; bot id and secret are tried when the program serves"
		if err := ws.Close(); err != nil {
			r.log.Debug("probe not closed", "error", err)
		}
	}
	return []bot.Finding{f}
}

// What WeCom allows into one conversation, answers included; what is more is
// refused or dropped. https://developer.work.weixin.qq.com/document/path/101463
const (
	perChatMinute = 30
	perChatHour   = 1000
)

// quota counts what was said in each chat during the last hour.
type quota struct {
	mu   sync.Mutex // guards sent
	sent map[string][]time.Time
}

// maxQuotas bounds the chats that are counted.
const maxQuotas = 10_000

// trim forgets what is older than an hour. It needs q.mu.
func (q *quota) trim(p place, now time.Time) []time.Time {
	list := q.sent[p.key()]
	n := 0
	for n < len(list) && now.Sub(list[n]) >= time.Hour {
		n++
	}
	return list[n:]
}

func waitFor(list []time.Time, now time.Time) time.Duration {
	wait := time.Duration(0)
	if n := len(list) - perChatMinute; n >= 0 {
		wait = max(wait, list[n].Add(time.Minute).Sub(now))
	}
	if n := len(list) - perChatHour; n >= 0 {
		wait = max(wait, list[n].Add(time.Hour).Sub(now))
	}
	return wait
}

// wait is how long a chat must be left alone.
func (q *quota) wait(p place, now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return waitFor(q.trim(p, now), now)
}

// take counts one message, unless there must be a wait before it.
func (q *quota) take(p place, now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.trim(p, now)
	if wait := waitFor(list, now); wait > 0 {
		return wait
	}
	q.put(p, append(list, now))
	return 0
}

// note counts a message that was sent whatever the count is.
func (q *quota) note(p place, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.put(p, append(q.trim(p, now), now))
}

// back takes the last message off the count: it was not sent.
func (q *quota) back(p place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if list := q.sent[p.key()]; len(list) > 0 {
		q.put(p, list[:len(list)-1])
	}
}

// put needs q.mu.
func (q *quota) put(p place, list []time.Time) {
	if len(q.sent) >= maxQuotas && q.sent[p.key()] == nil {
		clear(q.sent)
	}
	q.sent[p.key()] = list
}

// recentStreams remembers what the latest streams said: WeCom asks again for
// the text of a stream whose end it has missed.
type recentStreams struct {
	mu    sync.Mutex // guards what follows
	order []string
	text  map[string]string
}

const maxStreams = 512

func (s *recentStreams) add(id, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == nil {
		s.text = map[string]string{}
	}
	if _, ok := s.text[id]; !ok {
		s.order = append(s.order, id)
	}
	s.text[id] = text
	if len(s.order) > maxStreams {
		delete(s.text, s.order[0])
		s.order = s.order[1:]
	}
}

func (s *recentStreams) get(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text[id]
}
