package feishu

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"

	"github.com/paidan/paidan/bot"
)

// FindUser tells who an account is. Answers are kept for ten minutes. Feishu
// tells no language, and e-mail and mobile only where the app has the permission.
// https://open.feishu.cn/document/server-docs/contact-v3/user/get
func (a *Adapter) FindUser(ctx context.Context, u bot.UserRef) (bot.User, error) {
	if !isID(u.ID, "ou_") {
		return bot.User{}, fmt.Errorf("user %q: %w", u.ID, bot.ErrRejected)
	}
	if known, ok := a.users.get(u.ID); ok {
		return known, nil
	}
	if u.ID == a.self.Load().bot {
		return bot.User{Ref: a.user(u.ID), Name: a.self.Load().name, Bot: true}, nil
	}
	var out struct {
		Data struct {
			User struct {
				OpenID     string `json:"open_id"`
				Name       string `json:"name"`
				Nickname   string `json:"nickname"`
				EnName     string `json:"en_name"`
				Email      string `json:"email"`
				Enterprise string `json:"enterprise_email"`
				Mobile     string `json:"mobile"`
				Zone       string `json:"time_zone"`
				Status     struct {
					Frozen   bool `json:"is_frozen"`
					Resigned bool `json:"is_resigned"`
					Exited   bool `json:"is_exited"`
				} `json:"status"`
			} `json:"user"`
		} `json:"data"`
	}
	err := a.read(ctx, "user.get", "/open-apis/contact/v3/users/:user_id", larkcore.PathParams{"user_id": u.ID}, larkcore.QueryParams{"user_id_type": {"open_id"}}, &out)
	if err != nil {
		return bot.User{}, err
	}
	got := out.Data.User
	if got.OpenID != "" && got.OpenID != u.ID {
		return bot.User{}, errors.New("user.get: somebody else was told")
	}
	found := bot.User{Ref: a.user(u.ID), Phone: phone(got.Mobile), Email: got.Email, Deleted: got.Status.Resigned || got.Status.Frozen || got.Status.Exited}
	if found.Email == "" {
		found.Email = got.Enterprise
	}
	for _, name := range []string{got.Name, got.Nickname, got.EnName} {
		if found.Name = oneLine(clean(name)); found.Name != "" {
			break
		}
	}
	if _, err := time.LoadLocation(got.Zone); err == nil && strings.Contains(got.Zone, "/") {
		found.Zone = got.Zone
	}
	a.users.put(u.ID, found)
	return found, nil
}

var (
	phoneForm   = regexp.MustCompile(`^\+\d{6,15}$`)
	chineseForm = regexp.MustCompile(`^1\d{10}$`)
)

// phone is a number with its country; one of China is told without.
func phone(s string) string {
	s = strings.NewReplacer(" ", "", "-", "").Replace(s)
	if chineseForm.MatchString(s) {
		s = "+86" + s
	}
	if !phoneForm.MatchString(s) {
		return ""
	}
	return s
}

const maxPages = 200 // of 100 people each, or fewer

// pages reads a list page by page.
func (a *Adapter) pages(ctx context.Context, name, path string, params larkcore.PathParams, query larkcore.QueryParams, visit func(item value)) error {
	for range maxPages {
		var doc document
		if err := a.read(ctx, name, path, params, query, &doc); err != nil {
			return err
		}
		for _, key := range []string{"items", "memberlist"} {
			for _, item := range doc.at("data", key).list() {
				visit(item)
			}
		}
		next := doc.at("data", "page_token").str()
		if !doc.at("data", "has_more").yes() || next == "" {
			return nil
		}
		query.Set("page_token", next)
	}
	return nil
}

// document is a whole answer, for those that are read by keys.
type document struct{ value }

// UnmarshalJSON implements json.Unmarshaler.
func (d *document) UnmarshalJSON(b []byte) (err error) {
	d.value, err = parseJSON(b)
	return err
}

// Members lists the people in a conversation. Bots are not told.
// https://open.feishu.cn/document/server-docs/group/chat-member/get
func (a *Adapter) Members(ctx context.Context, c bot.ConvRef) ([]bot.UserRef, error) {
	if !isID(c.ID, "oc_") {
		return nil, fmt.Errorf("conversation %q: %w", c.ID, bot.ErrRejected)
	}
	var out []bot.UserRef
	err := a.pages(ctx, "members.get", "/open-apis/im/v1/chats/:chat_id/members", larkcore.PathParams{"chat_id": c.ID},
		larkcore.QueryParams{"member_id_type": {"open_id"}, "page_size": {"100"}}, func(item value) {
			if id := item.at("member_id").str(); isID(id, "ou_") {
				out = append(out, a.user(id))
			}
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// GroupMembers lists a user group (用户组). Departments in it are not opened up.
// https://open.feishu.cn/document/server-docs/contact-v3/group-member/simplelist
func (a *Adapter) GroupMembers(ctx context.Context, group bot.UserRef) ([]bot.UserRef, error) {
	if !isID(group.ID, "g") {
		return nil, fmt.Errorf("user group %q: %w", group.ID, bot.ErrRejected)
	}
	var out []bot.UserRef
	err := a.pages(ctx, "group.members", "/open-apis/contact/v3/group/:group_id/member/simplelist", larkcore.PathParams{"group_id": group.ID},
		larkcore.QueryParams{"member_id_type": {"open_id"}, "member_type": {"user"}, "page_size": {"100"}}, func(item value) {
			if id := item.at("member_id").str(); isID(id, "ou_") {
				out = append(out, a.user(id))
			}
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// chatInfo asks what a chat is.
// https://open.feishu.cn/document/server-docs/group/chat/get-2
func (a *Adapter) chatInfo(ctx context.Context, chat string) (name string, private bool, err error) {
	var doc document
	if err := a.read(ctx, "chat.get", "/open-apis/im/v1/chats/:chat_id", larkcore.PathParams{"chat_id": chat}, larkcore.QueryParams{"user_id_type": {"open_id"}}, &doc); err != nil {
		return "", false, err
	}
	return oneLine(clean(doc.at("data", "name").str())), doc.at("data", "chat_mode").str() == "p2p", nil
}

// ConvName tells what people call a conversation. Answers are kept for ten minutes.
func (a *Adapter) ConvName(ctx context.Context, c bot.ConvRef) (string, error) {
	if !isID(c.ID, "oc_") {
		return "", fmt.Errorf("conversation %q: %w", c.ID, bot.ErrRejected)
	}
	if name, ok := a.names.get(c.ID); ok {
		return name, nil
	}
	name, private, err := a.chatInfo(ctx, c.ID)
	if err != nil {
		return "", err
	}
	if user, ok := a.private.get(c.ID); private && ok && user != "" {
		if u, err := a.FindUser(ctx, a.user(user)); err == nil {
			name = "@" + u.Name
		}
	}
	if name == "" {
		name = c.ID
	}
	a.names.put(c.ID, name)
	return name, nil
}

// messageInfo asks for one message.
// https://open.feishu.cn/document/server-docs/im-v1/message/get
func (a *Adapter) messageInfo(ctx context.Context, id string) (value, error) {
	var doc document
	err := a.read(ctx, "message.get", "/open-apis/im/v1/messages/:message_id", larkcore.PathParams{"message_id": id}, larkcore.QueryParams{"user_id_type": {"open_id"}}, &doc)
	if err != nil {
		return value{}, err
	}
	items := doc.at("data", "items").list()
	if len(items) == 0 {
		return value{}, fmt.Errorf("message.get: %w", bot.ErrGone)
	}
	return items[0], nil
}

// ReadMessage reads what stands in a message: Feishu tells of a reaction only
// which message it was put on.
func (a *Adapter) ReadMessage(ctx context.Context, r bot.MessageRef) (bot.Said, error) {
	id, _, err := parseRef(r)
	if err != nil {
		return bot.Said{}, err
	}
	m, err := a.messageInfo(ctx, id)
	if err != nil {
		return bot.Said{}, err
	}
	author := m.at("sender", "id").str()
	said, ok := a.said(id, m, a.self.Load().bot)
	if m.at("deleted").yes() || m.at("sender", "sender_type").str() != "user" || !isID(author, "ou_") || !ok {
		return bot.Said{}, fmt.Errorf("message.get: not a person's message: %w", bot.ErrGone)
	}
	return bot.Said{User: a.user(author), Text: said.text, Files: said.files}, nil
}

// preloadTime bounds what is looked up while Feishu waits for our answer.
const preloadTime = 1200 * time.Millisecond

// Preload finds out what Decode will need to know of a verified request and may
// not ask for itself: where the message stands that an event is about. It is
// called between Verify and Decode. What cannot be found out is left alone, and
// Decode then passes over the event.
func (a *Adapter) Preload(ctx context.Context, plain []byte) {
	doc, err := parseJSON(plain)
	if err != nil {
		return
	}
	id, kind := doc.at("event", "message_id").str(), doc.at("header", "event_type").str()
	reaction := strings.HasPrefix(kind, "im.message.reaction.")
	if kind != "im.message.recalled_v1" && !reaction || !isID(id, "om_") {
		return
	}
	if _, ok := a.places.get(id); ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, preloadTime)
	defer cancel()
	p, err := a.placeOf(ctx, id, !reaction || a.verbal(doc.at("event", "reaction_type", "emoji_type").str()))
	if err != nil {
		a.log.Info("place of a message not known", "install", a.install.String(), "error", err)
		return
	}
	if p.chat != "" {
		a.places.put(id, p)
	}
}

// verbal reports whether an emoji may be meant for us.
func (a *Adapter) verbal(emoji string) bool { return a.conf.Emoji[emoji] != "" || emojis[emoji] != "" }

// placeOf finds out where a message stands: what was written down, or, if it is
// worth a call, what Feishu says.
func (a *Adapter) placeOf(ctx context.Context, id string, ask bool) (place, error) {
	if a.shelf != nil {
		s, err := a.shelf.Get(ctx, placeKey(id))
		if err != nil {
			return place{}, err
		}
		if p, ok := parsePlace(s); ok {
			return p, nil
		}
	}
	if !ask {
		return place{}, nil
	}
	m, err := a.messageInfo(ctx, id)
	if err != nil {
		return place{}, err
	}
	p := place{chat: m.at("chat_id").str(), root: m.at("root_id").str()}
	if !isID(p.chat, "oc_") || p.root != "" && !isID(p.root, "om_") {
		return place{}, errors.New("message.get: no chat")
	}
	if author := m.at("sender", "id").str(); m.at("sender", "sender_type").str() == "user" && isID(author, "ou_") {
		p.author = author
	}
	if p.private, err = a.isPrivate(ctx, p.chat); err != nil || p.private {
		return p, err
	}
	_, p.private, err = a.chatInfo(ctx, p.chat)
	return p, err
}
