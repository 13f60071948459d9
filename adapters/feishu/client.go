package feishu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"
	"golang.org/x/time/rate"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// findAge is how long Feishu knows a uuid again: an hour, less what clocks and
// queues may differ. https://open.feishu.cn/document/server-docs/im-v1/message/create
const findAge = 55 * time.Minute

// attempt is a message as it was sent first.
type attempt struct{ kind, content string }

// onceOf is the uuid of a message: the same for every attempt at the same thing.
func onceOf(to bot.Dest, once string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s", to.Lane(), to.Thread, once))
	return hex.EncodeToString(sum[:16])
}

// Post shows a card. Feishu takes a message with the same uuid once within an
// hour, so a second attempt is harmless.
func (a *Adapter) Post(ctx context.Context, to bot.Dest, once string, c cards.Card) (bot.MessageRef, error) {
	at, err := a.spotOf(ctx, to)
	if err != nil {
		return "", err
	}
	return a.send(ctx, to, onceOf(to, once), attempt{"interactive", draw(c, at, "")})
}

// spotOf tells of which kind the chat of a destination is.
func (a *Adapter) spotOf(ctx context.Context, to bot.Dest) (spot, error) {
	if to.User != "" {
		if !isID(to.User, "ou_") {
			return "", fmt.Errorf("user %q: %w", to.User, bot.ErrRejected)
		}
		return inPrivate, nil
	}
	if !isID(to.Conv, "oc_") {
		return "", fmt.Errorf("conversation %q: %w", to.Conv, bot.ErrRejected)
	}
	if private, err := a.isPrivate(ctx, to.Conv); err != nil || private {
		return inPrivate, err
	}
	return inGroup, nil
}

// isPrivate reports whether a chat is known to be a private one.
func (a *Adapter) isPrivate(ctx context.Context, chat string) (bool, error) {
	if user, ok := a.private.get(chat); ok {
		return user != "", nil
	}
	user := ""
	if a.shelf != nil {
		var err error
		if user, err = a.shelf.Get(ctx, privateKey(chat)); err != nil {
			return false, fmt.Errorf("kind of chat: %w", err)
		}
	}
	a.private.put(chat, user)
	return user != "", nil
}

// send sends a message, and keeps it for Find until it has arrived.
func (a *Adapter) send(ctx context.Context, to bot.Dest, once string, m attempt) (bot.MessageRef, error) {
	m = a.tried.first(once, func() attempt { return m }) // a second attempt says the same as the first
	var out struct {
		Data struct {
			ID   string `json:"message_id"`
			Chat string `json:"chat_id"`
		} `json:"data"`
	}
	body := map[string]any{"msg_type": m.kind, "content": m.content, "uuid": once}
	root := ""
	var err error
	if to.Thread != "" {
		if root, _, err = parseRef(to.Thread); err != nil {
			return "", err
		}
		// In a group the answer opens a topic; private chats have none.
		known, _ := a.private.get(to.Conv)
		body["reply_in_thread"] = to.User == "" && known == ""
		req := larkcore.ApiReq{HttpMethod: http.MethodPost, ApiPath: "/open-apis/im/v1/messages/:message_id/reply", PathParams: larkcore.PathParams{"message_id": root}, Body: body}
		err = a.call(ctx, "message.reply", req, &out)
		if codeOf(err) == codeNoThread {
			body["reply_in_thread"] = false
			err = a.call(ctx, "message.reply", req, &out)
		}
	} else {
		kind, id := "chat_id", to.Conv
		if to.User != "" {
			kind, id = "open_id", to.User
		}
		body["receive_id"] = id
		err = a.call(ctx, "message.create", larkcore.ApiReq{HttpMethod: http.MethodPost, ApiPath: "/open-apis/im/v1/messages", QueryParams: larkcore.QueryParams{"receive_id_type": {kind}}, Body: body}, &out)
	}
	if err == nil && !isID(out.Data.ID, "om_") {
		err = doubtError{errors.New("message: empty answer")}
	}
	if err = sent(err); !errors.Is(err, bot.ErrUnknown) {
		a.tried.forget(once)
	}
	if err != nil {
		return "", err
	}
	p := place{chat: out.Data.Chat, private: to.User != "", root: root}
	if p.chat == "" {
		p.chat = to.Conv
	}
	if private, ok := a.private.get(p.chat); ok && private != "" {
		p.private = true
	}
	a.stands(ctx, out.Data.ID, p, to.User)
	return ref(p.private, out.Data.ID), nil
}

// stands remembers where a message of ours stands: reactions to it do not tell.
// It has been sent by now, so that a failure here costs no more than that.
func (a *Adapter) stands(ctx context.Context, message string, p place, user string) {
	if !isID(p.chat, "oc_") {
		return
	}
	a.places.put(message, p)
	keep := map[string]string{placeKey(message): p.String()}
	if user != "" {
		if known, ok := a.private.get(p.chat); !ok || known == "" {
			keep[privateKey(p.chat)] = user
		}
		a.private.put(p.chat, user)
	}
	if a.shelf == nil {
		return
	}
	for key, v := range keep {
		age := placeFor
		if key == privateKey(p.chat) {
			age = privateFor
		}
		if err := a.shelf.Put(context.WithoutCancel(ctx), key, v, age); err != nil {
			a.log.Warn("place of a message not kept", "install", a.install.String(), "error", err)
		}
	}
}

// Find makes sure of a message that Post may have sent: it is sent again as it
// was, and Feishu answers with the one that is there already. What was sent
// before this process started, or more than an hour ago, cannot be looked for: a
// card shown twice is better than one never shown, and Post uses the same uuid.
func (a *Adapter) Find(ctx context.Context, to bot.Dest, once string) (bot.MessageRef, error) {
	key := onceOf(to, once)
	m, ok := a.tried.get(key)
	if !ok {
		return "", nil
	}
	return a.send(ctx, to, key, m)
}

const (
	editsPerSecond = 5
	patience       = 500 * time.Millisecond // how long a change waits for its turn
)

// Update changes a card, which is possible for 14 days. It may be done twice, so
// an unclear outcome is simply tried again.
// https://open.feishu.cn/document/server-docs/im-v1/message-card/patch
func (a *Adapter) Update(ctx context.Context, r bot.MessageRef, c cards.Card) (bot.MessageRef, error) {
	id, private, err := parseRef(r)
	if err != nil {
		return "", err
	}
	at := inGroup
	if private {
		at = inPrivate
	}
	if err := a.turn(ctx, id); err != nil {
		return "", err
	}
	err = a.call(ctx, "message.patch", larkcore.ApiReq{
		HttpMethod: http.MethodPatch, ApiPath: "/open-apis/im/v1/messages/:message_id", PathParams: larkcore.PathParams{"message_id": id},
		Body: map[string]any{"content": draw(c, at, "")},
	}, nil)
	if err != nil {
		return "", undoubted(err)
	}
	return r, nil
}

// turn waits until a message may be changed again: five times a second.
func (a *Adapter) turn(ctx context.Context, message string) error {
	l := a.edits.first(message, func() *rate.Limiter { return rate.NewLimiter(editsPerSecond, editsPerSecond) })
	turn := l.Reserve()
	wait := turn.Delay()
	if wait > patience {
		turn.Cancel()
		return fmt.Errorf("message.patch: %w", bot.RateLimited{After: wait})
	}
	if !sleep(ctx, wait) {
		turn.Cancel()
		return fmt.Errorf("message.patch: %w", ctx.Err())
	}
	return nil
}

// sleep reports whether the whole time went by.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Delete takes a message away; one that is gone already counts as done.
func (a *Adapter) Delete(ctx context.Context, r bot.MessageRef) error {
	id, _, err := parseRef(r)
	if err != nil {
		return err
	}
	err = a.call(ctx, "message.delete", larkcore.ApiReq{HttpMethod: http.MethodDelete, ApiPath: "/open-apis/im/v1/messages/:message_id", PathParams: larkcore.PathParams{"message_id": id}}, nil)
	if code := codeOf(err); code == codeRecalled || code == codeDeleted {
		return nil
	}
	return undoubted(err)
}

// Whisper shows a card to one person: in an ordinary group as a note that only
// he sees, which is gone when he starts his client anew; elsewhere in private.
// https://open.feishu.cn/document/ukTMukTMukTM/uETOyYjLxkjM24SM5IjN
func (a *Adapter) Whisper(ctx context.Context, conv bot.ConvRef, to bot.UserRef, _ bot.MessageRef, c cards.Card) error {
	return a.aside(ctx, conv.ID, to.ID, c)
}

// OpenForm shows a form to the person who pressed something: Feishu has no
// windows of its own for forms.
func (a *Adapter) OpenForm(ctx context.Context, asked string, form cards.Card) error {
	t, err := parseTrigger(asked)
	if err != nil {
		return err
	}
	if t.kind == privateChat {
		_, err := a.inPrivate(ctx, t.user, form, "")
		return err
	}
	return a.aside(ctx, t.chat, t.user, form)
}

// aside shows a card to one person of a group.
func (a *Adapter) aside(ctx context.Context, chat, user string, c cards.Card) error {
	if !isID(chat, "oc_") || !isID(user, "ou_") {
		return fmt.Errorf("note in %q to %q: %w", chat, user, bot.ErrRejected)
	}
	private, err := a.isPrivate(ctx, chat)
	if err != nil {
		return err
	}
	if private {
		_, err := a.inPrivate(ctx, user, c, "")
		return err
	}
	err = a.call(ctx, "ephemeral.send", larkcore.ApiReq{
		HttpMethod: http.MethodPost, ApiPath: "/open-apis/ephemeral/v1/send",
		Body: map[string]any{"chat_id": chat, "open_id": user, "msg_type": "interactive", "card": json.RawMessage(draw(c, asNote, ""))},
	}, nil)
	// In groups of topics there are no such notes, and whoever left the group
	// sees none: whatever Feishu's reason is, a private message is the way left.
	if code := codeOf(err); code != 0 && !stale[code] {
		if asksForPeople(c) {
			a.crowd(ctx, chat)
		}
		_, err = a.inPrivate(ctx, user, c, chat)
	}
	return sent(err)
}

func asksForPeople(c cards.Card) bool {
	return c.Form != nil && slices.ContainsFunc(c.Form.Inputs, func(in cards.Input) bool { return in.Kind == cards.InputPerson })
}

// crowd sees to it that it is known who can be picked in a form about a group.
func (a *Adapter) crowd(ctx context.Context, chat string) {
	if _, ok := a.crowds.get(chat); ok {
		return
	}
	members, err := a.Members(ctx, a.conv(chat))
	if err != nil {
		a.log.Warn("members for a form not known", "install", a.install.String(), "error", err)
		return
	}
	var ids []string
	for _, u := range members {
		ids = append(ids, u.ID)
	}
	a.crowds.put(chat, ids)
}

// drawPrivate draws a card for a private chat that may be about a group.
func (a *Adapter) drawPrivate(c cards.Card, group string) string {
	people, _ := a.crowds.get(group)
	return draw(c, inPrivate, group, people...)
}

// inPrivate sends a card as a private message; group is the one it is about.
func (a *Adapter) inPrivate(ctx context.Context, user string, c cards.Card, group string) (bot.MessageRef, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("uuid: %w", err)
	}
	return a.send(ctx, bot.Private(a.user(user)), id.String(), attempt{"interactive", a.drawPrivate(c, group)})
}

// maxUrged is how many people can be buzzed at once.
const maxUrged = 200

// Urge buzzes people about a message of ours (应用内加急): it is shown to them
// until they look. Whoever is not in the chat, or whose client refuses, is left
// out. https://open.feishu.cn/document/server-docs/im-v1/buzz-messages/urgent_app
func (a *Adapter) Urge(ctx context.Context, r bot.MessageRef, users []string) error {
	id, _, err := parseRef(r)
	if err != nil {
		return err
	}
	var list []string
	for _, u := range users {
		if isID(u, "ou_") && len(list) < maxUrged {
			list = append(list, u)
		}
	}
	if len(list) == 0 {
		return nil
	}
	var out struct {
		Data struct {
			Invalid []string `json:"invalid_user_id_list"`
		} `json:"data"`
	}
	err = a.call(ctx, "message.urgent_app", larkcore.ApiReq{
		HttpMethod: http.MethodPatch, ApiPath: "/open-apis/im/v1/messages/:message_id/urgent_app", PathParams: larkcore.PathParams{"message_id": id},
		QueryParams: larkcore.QueryParams{"user_id_type": {"open_id"}}, Body: map[string]any{"user_id_list": list},
	}, &out)
	if err != nil {
		return sent(err)
	}
	if n := len(out.Data.Invalid); n > 0 {
		a.log.Info("some could not be buzzed", "install", a.install.String(), "people", n)
	}
	return nil
}
