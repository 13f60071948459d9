package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// postEvent is the metadata that lets Find recognise our own messages.
const postEvent = "paidan"

// maxResponse is the most that is read of an answer of the Web API.
const maxResponse = 8 << 20

// Prepare asks Slack who the bot is. serve calls it once at start; without it
// envelopes of other workspaces cannot be told from ours.
func (a *Adapter) Prepare(ctx context.Context) error {
	_, err := a.whoami(ctx)
	return err
}

func (a *Adapter) whoami(ctx context.Context) (*slackgo.AuthTestResponse, error) {
	r, err := a.api.AuthTestContext(ctx)
	if err != nil {
		return nil, verdict("auth.test", err)
	}
	if r.TeamID == "" || r.UserID == "" {
		return nil, fmt.Errorf("auth.test: empty answer")
	}
	if a.conf.TeamID != "" && a.conf.TeamID != r.TeamID && a.conf.TeamID != r.EnterpriseID {
		return nil, fmt.Errorf("auth.test: the token belongs to workspace %s, team_id says %s: %w", r.TeamID, a.conf.TeamID, bot.ErrUnauthorized)
	}
	self := identity{team: r.TeamID, botUser: r.UserID, botID: r.BotID, app: a.conf.AppID}
	if a.conf.TeamID != "" {
		self.team = a.conf.TeamID
	}
	a.self.Store(&self)
	return r, nil
}

// channel is the conversation that a destination means; a private chat is opened once.
func (a *Adapter) channel(ctx context.Context, to bot.Dest) (string, error) {
	if to.User == "" {
		if !isID(to.Conv, "CGD") {
			return "", fmt.Errorf("conversation %q: %w", to.Conv, bot.ErrRejected)
		}
		return to.Conv, nil
	}
	if !isID(to.User, "UW") {
		return "", fmt.Errorf("user %q: %w", to.User, bot.ErrRejected)
	}
	if id, ok := a.dms.get(to.User); ok {
		return id, nil
	}
	c, _, _, err := a.api.OpenConversationContext(ctx, &slackgo.OpenConversationParameters{Users: []string{to.User}})
	if err != nil {
		return "", verdict("conversations.open", err)
	}
	if c == nil || !isID(c.ID, "CGD") {
		return "", errors.New("conversations.open: empty answer")
	}
	a.dms.put(to.User, c.ID)
	return c.ID, nil
}

// options are what every message of ours has: nothing in it unfolds or links by itself.
func options(text string, blocks []slackgo.Block, more ...slackgo.MsgOption) []slackgo.MsgOption {
	o := []slackgo.MsgOption{
		slackgo.MsgOptionText(text, false), slackgo.MsgOptionBlocks(blocks...),
		slackgo.MsgOptionDisableLinkUnfurl(), slackgo.MsgOptionDisableMediaUnfurl(),
		slackgo.MsgOptionParse(false), slackgo.MsgOptionLinkNames(false),
	}
	return append(o, more...)
}

// Post shows a card. Slack has no key that makes a second attempt harmless, so
// once goes into the message's metadata, where Find looks for it.
func (a *Adapter) Post(ctx context.Context, to bot.Dest, once string, c cards.Card) (bot.MessageRef, error) {
	channel, err := a.channel(ctx, to)
	if err != nil {
		return "", err
	}
	text, blocks := message(c)
	more := []slackgo.MsgOption{slackgo.MsgOptionMetadata(slackgo.SlackMetadata{EventType: postEvent, EventPayload: map[string]any{"once": once}})}
	if to.Thread != "" {
		_, ts, err := parseRef(to.Thread)
		if err != nil {
			return "", err
		}
		more = append(more, slackgo.MsgOptionTS(ts))
	}
	a.tried.update(to.Lane()+" "+once, func(first time.Time) time.Time {
		if first.IsZero() {
			return a.now()
		}
		return first
	})
	where, ts, err := a.api.PostMessageContext(ctx, channel, options(text, blocks, more...)...)
	if err != nil {
		return "", sendVerdict("chat.postMessage", err)
	}
	if ts == "" {
		return "", fmt.Errorf("chat.postMessage: empty answer: %w", bot.ErrUnknown)
	}
	if where == "" {
		where = channel
	}
	return ref(where, ts), nil
}

// Update changes a card. It may be done twice, so an unclear outcome is
// simply tried again.
func (a *Adapter) Update(ctx context.Context, r bot.MessageRef, c cards.Card) (bot.MessageRef, error) {
	channel, ts, err := parseRef(r)
	if err != nil {
		return "", err
	}
	text, blocks := message(c)
	if blocks == nil {
		blocks = []slackgo.Block{}
	}
	_, now, _, err := a.api.UpdateMessageContext(ctx, channel, ts, options(text, blocks)...)
	if err != nil {
		return "", verdict("chat.update", err)
	}
	if now == "" {
		return "", fmt.Errorf("chat.update: empty answer: %w", bot.ErrUnknown)
	}
	return r, nil
}

// Whisper shows a card to one person in a conversation. It cannot be changed
// later, and is gone when the person reloads.
func (a *Adapter) Whisper(ctx context.Context, conv bot.ConvRef, to bot.UserRef, thread bot.MessageRef, c cards.Card) error {
	if !isID(conv.ID, "CGD") || !isID(to.ID, "UW") {
		return fmt.Errorf("whisper in %q to %q: %w", conv.ID, to.ID, bot.ErrRejected)
	}
	text, blocks := message(c)
	var more []slackgo.MsgOption
	if thread != "" {
		_, ts, err := parseRef(thread)
		if err != nil {
			return err
		}
		more = append(more, slackgo.MsgOptionTS(ts))
	}
	if _, err := a.api.PostEphemeralContext(ctx, conv.ID, to.ID, options(text, blocks, more...)...); err != nil {
		return sendVerdict("chat.postEphemeral", err)
	}
	return nil
}

// maxResponses is how often Slack takes an answer at one response URL, within 30 minutes.
const maxResponses = 5

// Respond answers one event privately at the address that came with it. The
// address is a secret: it appears in no error.
func (a *Adapter) Respond(ctx context.Context, respond string, c cards.Card) error {
	u, err := url.Parse(respond)
	if err != nil || u.User != nil || !a.responseHost(u) {
		return fmt.Errorf("response address is not Slack's: %w", bot.ErrRejected)
	}
	if a.uses.update(respond, func(n int) int { return n + 1 }) > maxResponses {
		return fmt.Errorf("response address used up: %w", bot.ErrGone)
	}
	body, err := json.Marshal(ephemeral(c))
	if err != nil {
		return fmt.Errorf("respond: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, respond, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("response address: %w", bot.ErrRejected)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := (doer{a.http}).Do(req)
	if err != nil {
		return sendVerdict("response_url", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return fmt.Errorf("response_url: %w", bot.ErrUnknown)
	}
	switch {
	case resp.StatusCode >= 500:
		return fmt.Errorf("response_url: status %d: %w", resp.StatusCode, bot.ErrUnknown)
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone || bytes.Contains(answer, []byte("used_url")) || bytes.Contains(answer, []byte("expired_url")):
		return fmt.Errorf("response_url: %w", bot.ErrGone)
	case resp.StatusCode != http.StatusOK || bytes.Contains(answer, []byte(`"ok":false`)):
		return fmt.Errorf("response_url: status %d: %w", resp.StatusCode, bot.ErrRejected)
	}
	return nil
}

// responseHost allows Slack's own host for responses, and the emulator's while
// the API itself is on loopback.
func (a *Adapter) responseHost(u *url.URL) bool {
	if u.Scheme == "https" && u.Port() == "" {
		if h := strings.ToLower(u.Hostname()); h == "hooks.slack.com" || h == "hooks.slack-gov.com" {
			return true
		}
	}
	return a.emulated(u)
}

// emulated reports whether u lies on the same loopback server as the API.
func (a *Adapter) emulated(u *url.URL) bool {
	return loopback(a.base.Hostname()) && u.Scheme == a.base.Scheme && u.Host == a.base.Host
}

// note is a private answer as Slack wants it in a response.
type note struct {
	Type    string          `json:"response_type"`
	Replace bool            `json:"replace_original"`
	Text    string          `json:"text"`
	Blocks  []slackgo.Block `json:"blocks,omitempty"`
}

func ephemeral(c cards.Card) note {
	text, blocks := message(c)
	return note{Type: "ephemeral", Text: text, Blocks: blocks}
}

// Delete takes a message away; one that is gone already counts as done.
func (a *Adapter) Delete(ctx context.Context, r bot.MessageRef) error {
	channel, ts, err := parseRef(r)
	if err != nil {
		return err
	}
	_, _, err = a.api.DeleteMessageContext(ctx, channel, ts)
	if code := slackCode(err); code == "message_not_found" {
		return nil
	}
	if err != nil {
		return verdict("chat.delete", err)
	}
	return nil
}

const (
	findPages = 10 // of 200 messages each: how far back Find looks at most
	findAge   = 24 * time.Hour
	findSkew  = 5 * time.Minute // between our clock and Slack's
)

// Find looks for a message that Post may have sent: among what was said since
// the first attempt, or within a day where that is not known any more (after a
// restart). In a conversation that is too busy even for that it says "not
// there": a card shown twice is better than one never shown. slack-go refuses a
// whole page of history for one element it does not know, so the page is read here.
func (a *Adapter) Find(ctx context.Context, to bot.Dest, once string) (bot.MessageRef, error) {
	channel, err := a.channel(ctx, to)
	if err != nil {
		return "", err
	}
	since := a.now().Add(-findAge)
	if first, ok := a.tried.get(to.Lane() + " " + once); ok {
		since = first.Add(-findSkew)
	}
	form := url.Values{"channel": {channel}, "limit": {"200"}, "include_all_metadata": {"true"}, "oldest": {fmt.Sprintf("%d.000000", since.Unix())}}
	method := "conversations.history"
	if to.Thread != "" {
		_, ts, err := parseRef(to.Thread)
		if err != nil {
			return "", err
		}
		method = "conversations.replies"
		form.Set("ts", ts)
	}
	for range findPages {
		var page struct {
			Messages []struct {
				TS       string `json:"ts"`
				Metadata struct {
					Type    string                     `json:"event_type"`
					Payload map[string]json.RawMessage `json:"event_payload"`
				} `json:"metadata"`
			} `json:"messages"`
			HasMore bool `json:"has_more"`
			Next    struct {
				Cursor string `json:"next_cursor"`
			} `json:"response_metadata"`
		}
		if err := a.call(ctx, method, form, &page); err != nil {
			return "", err
		}
		for _, m := range page.Messages {
			var got string
			if m.Metadata.Type == postEvent && json.Unmarshal(m.Metadata.Payload["once"], &got) == nil && got == once && isTS(m.TS) {
				return ref(channel, m.TS), nil
			}
		}
		if page.Next.Cursor == "" {
			return "", nil
		}
		form.Set("cursor", page.Next.Cursor)
	}
	a.log.Warn("lost message not looked for any further", "install", a.install.String(), "messages", findPages*200)
	return "", nil
}

// ReadMessage reads what stands in a message: Slack tells of a reaction only
// which message it was put on.
func (a *Adapter) ReadMessage(ctx context.Context, r bot.MessageRef) (bot.Said, error) {
	channel, ts, err := parseRef(r)
	if err != nil {
		return bot.Said{}, err
	}
	// With the time stamp of any message, in a thread or not, the answer begins
	// with that message. https://docs.slack.dev/reference/methods/conversations.replies
	var page struct {
		Messages []json.RawMessage `json:"messages"`
	}
	if err := a.call(ctx, "conversations.replies", url.Values{"channel": {channel}, "ts": {ts}, "limit": {"1"}}, &page); err != nil {
		return bot.Said{}, err
	}
	if len(page.Messages) == 0 {
		return bot.Said{}, fmt.Errorf("conversations.replies: %w", bot.ErrGone)
	}
	m, err := parseJSON(string(page.Messages[0]))
	self := *a.self.Load()
	if err != nil || m.at("ts").str() != ts || mine(m, self) {
		return bot.Said{}, fmt.Errorf("conversations.replies: not a person's message: %w", bot.ErrGone)
	}
	return bot.Said{User: a.user(m.at("user").str()), Text: a.plain(m.at("text").str(), self.botUser).text, Files: files(m)}, nil
}

// call is one call of the Web API where slack-go does not serve.
func (a *Adapter) call(ctx context.Context, method string, form url.Values, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.conf.APIURL+method, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("%s: %w", method, bot.ErrRejected)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+a.conf.BotToken)
	resp, err := (doer{a.http}).Do(req)
	if err != nil {
		return verdict(method, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return verdict(method, slackgo.StatusCodeError{Code: resp.StatusCode, Status: resp.Status})
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: answer cut short", method)
	}
	var head slackgo.SlackResponse
	if err := json.Unmarshal(body, &head); err != nil {
		return fmt.Errorf("%s: unreadable answer", method)
	}
	if err := head.Err(); err != nil {
		return verdict(method, err)
	}
	if !head.Ok {
		return fmt.Errorf("%s: empty answer", method)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s: unreadable answer", method)
	}
	return nil
}

// OpenForm opens a form, or changes the one that is open when the trigger came
// with a Reload. A trigger lives for three seconds and serves once.
func (a *Adapter) OpenForm(ctx context.Context, trigger string, form cards.Card) error {
	from := parseOrigin(trigger)
	view, err := modal(form, from)
	if err != nil {
		return err
	}
	if open, ok := strings.CutPrefix(from.trigger, "view:"); ok {
		id, hash, _ := strings.Cut(open, ":")
		if _, err := a.api.UpdateViewContext(ctx, view, "", hash, id); err != nil {
			return verdict("views.update", err)
		}
		return nil
	}
	if _, err := a.api.OpenViewContext(ctx, from.trigger, view); err != nil {
		return verdict("views.open", err)
	}
	return nil
}

// PublishHome shows a person's own page.
func (a *Adapter) PublishHome(ctx context.Context, user bot.UserRef, c cards.Card) error {
	if !isID(user.ID, "UW") {
		return fmt.Errorf("user %q: %w", user.ID, bot.ErrRejected)
	}
	if _, err := a.api.PublishViewContext(ctx, slackgo.PublishViewContextRequest{UserID: user.ID, View: home(c)}); err != nil {
		return verdict("views.publish", err)
	}
	return nil
}

// FindUser tells who an account is. Answers are kept for ten minutes.
func (a *Adapter) FindUser(ctx context.Context, u bot.UserRef) (bot.User, error) {
	if !isID(u.ID, "UWB") {
		return bot.User{}, fmt.Errorf("user %q: %w", u.ID, bot.ErrRejected)
	}
	if known, ok := a.users.get(u.ID); ok {
		return known, nil
	}
	got, err := a.api.GetUserInfoContext(ctx, u.ID)
	if err != nil {
		return bot.User{}, verdict("users.info", err)
	}
	if got == nil || got.ID == "" {
		return bot.User{}, errors.New("users.info: empty answer")
	}
	found := a.person(*got)
	a.users.put(u.ID, found)
	return found, nil
}

// FindByEmail tells whose address this is. ErrGone means: nobody's.
func (a *Adapter) FindByEmail(ctx context.Context, email string) (bot.User, error) {
	got, err := a.api.GetUserByEmailContext(ctx, email)
	if err != nil {
		return bot.User{}, verdict("users.lookupByEmail", err)
	}
	if got == nil || got.ID == "" {
		return bot.User{}, errors.New("users.lookupByEmail: empty answer")
	}
	return a.person(*got), nil
}

func (a *Adapter) person(u slackgo.User) bot.User {
	self := a.self.Load()
	outsider := u.IsRestricted || u.IsUltraRestricted || u.IsStranger || self.team != "" && u.TeamID != "" && u.TeamID != self.team && u.Enterprise.EnterpriseID != self.team
	p := bot.User{Ref: a.user(u.ID), Locale: u.Locale, Zone: u.TZ, Bot: u.IsBot || u.ID == "USLACKBOT", Guest: outsider, Deleted: u.Deleted}
	for _, name := range []string{u.Profile.DisplayName, u.Profile.RealName, u.RealName, u.Name} {
		if p.Name = clean(name); p.Name != "" {
			break
		}
	}
	if !outsider && !p.Bot { // another company vouches for its people, not our directory
		p.Email = u.Profile.Email
	}
	return p
}

// GroupMembers lists a user group. Workspaces on a free plan have none: then
// nobody belongs to it.
func (a *Adapter) GroupMembers(ctx context.Context, group bot.UserRef) ([]bot.UserRef, error) {
	if !isID(group.ID, "S") {
		return nil, fmt.Errorf("user group %q: %w", group.ID, bot.ErrRejected)
	}
	ids, err := a.api.GetUserGroupMembersContext(ctx, group.ID)
	if slackCode(err) == "plan_upgrade_required" {
		a.log.Warn("user groups need a paid plan", "install", a.install.String())
		return nil, nil
	}
	if err != nil {
		return nil, verdict("usergroups.users.list", err)
	}
	return a.people(nil, ids), nil
}

func (a *Adapter) people(out []bot.UserRef, ids []string) []bot.UserRef {
	for _, id := range ids {
		if isID(id, "UW") {
			out = append(out, a.user(id))
		}
	}
	return out
}

// Members lists who is in a conversation.
func (a *Adapter) Members(ctx context.Context, c bot.ConvRef) ([]bot.UserRef, error) {
	if !isID(c.ID, "CGD") {
		return nil, fmt.Errorf("conversation %q: %w", c.ID, bot.ErrRejected)
	}
	var out []bot.UserRef
	cursor := ""
	for range 100 { // 20,000 people
		ids, next, err := a.api.GetUsersInConversationContext(ctx, &slackgo.GetUsersInConversationParameters{ChannelID: c.ID, Cursor: cursor, Limit: 200})
		if err != nil {
			return nil, verdict("conversations.members", err)
		}
		if out = a.people(out, ids); next == "" || next == cursor {
			return out, nil
		}
		cursor = next
	}
	return out, nil
}

// ConvName tells what people call a conversation. Answers are kept for ten minutes.
func (a *Adapter) ConvName(ctx context.Context, c bot.ConvRef) (string, error) {
	if !isID(c.ID, "CGD") {
		return "", fmt.Errorf("conversation %q: %w", c.ID, bot.ErrRejected)
	}
	if name, ok := a.names.get(c.ID); ok {
		return name, nil
	}
	// Read here: slack-go decodes far more of a channel than a name, and fails when any of it changed.
	var info struct {
		Channel struct {
			ID   string `json:"id"`
			Name string `json:"name"`
			IM   bool   `json:"is_im"`
			User string `json:"user"`
		} `json:"channel"`
	}
	if err := a.call(ctx, "conversations.info", url.Values{"channel": {c.ID}}, &info); err != nil {
		return "", err
	}
	name := "#" + clean(info.Channel.Name)
	if info.Channel.IM || info.Channel.Name == "" {
		name = "@" + info.Channel.User
		if u, err := a.FindUser(ctx, a.user(info.Channel.User)); err == nil && u.Name != "" {
			name = "@" + u.Name
		}
	}
	a.names.put(c.ID, name)
	return name, nil
}

// needed are the scopes without which something does not work.
var needed = []struct{ scope, for_ string }{
	{"chat:write", "posting cards"},
	{"app_mentions:read", "hearing its name"},
	{"commands", "slash commands and shortcuts"},
	{"im:write", "private notes"},
	{"im:history", "private chats with the bot"},
	{"channels:history", "replies in threads of public channels"},
	{"groups:history", "replies in threads of private channels"},
	{"channels:read", "names and members of public channels"},
	{"groups:read", "names and members of private channels"},
	{"users:read", "names of people"},
	{"users:read.email", "linking accounts by e-mail"},
	{"reactions:read", "emoji as commands"},
	{"files:read", "attachments"},
	{"files:write", "sending files"},
	{"usergroups:read", "user groups as teams"},
}

// Check looks at the tokens, the scopes, and whether events can reach us.
func (a *Adapter) Check(ctx context.Context) []bot.Finding {
	where := a.install.String() + " "
	r, err := a.whoami(ctx)
	if err != nil {
		says := "auth.test did not answer: " + err.Error()
		if errors.Is(err, bot.ErrUnauthorized) {
			says = "Slack refuses bot_token (" + err.Error() + "); install the app again and copy the new token"
		}
		return []bot.Finding{{What: where + "token", Says: says}}
	}
	out := []bot.Finding{{OK: true, What: where + "token", Says: "bot " + r.User + " in workspace " + r.Team}}
	scopes := strings.Split(strings.ReplaceAll(r.Header.Get("X-OAuth-Scopes"), " ", ""), ",")
	var missing []string
	for _, n := range needed {
		if !slices.Contains(scopes, n.scope) {
			missing = append(missing, n.scope+" ("+n.for_+")")
		}
	}
	switch {
	case r.Header.Get("X-OAuth-Scopes") == "":
		out = append(out, bot.Finding{Warn: true, What: where + "scopes", Says: "Slack told no scopes"})
	case len(missing) > 0:
		out = append(out, bot.Finding{Warn: slices.Contains(scopes, "chat:write"), What: where + "scopes", Says: "missing: " + strings.Join(missing, ", ") + "; add them under OAuth & Permissions and install the app again"})
	default:
		out = append(out, bot.Finding{OK: true, What: where + "scopes", Says: "all " + strconv.Itoa(len(needed)) + " granted"})
	}
	if a.conf.AppToken == "" {
		return append(out, bot.Finding{OK: true, What: where + "events", Says: "over HTTP; Slack must reach <public_url>/hooks/" + a.install.String() + " (Event Subscriptions shows Verified)"})
	}
	if _, _, err := a.api.StartSocketModeContext(ctx); err != nil {
		err = verdict("apps.connections.open", err)
		return append(out, bot.Finding{What: where + "events", Says: "Socket Mode: " + err.Error() + "; app_token needs the scope connections:write, and Socket Mode must be on"})
	}
	return append(out, bot.Finding{OK: true, What: where + "events", Says: "over Socket Mode"})
}
