package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/adapters/dingtalk/dingtalktest"
	"github.com/paidan/paidan/adapters/feishu/feishutest"
	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/adapters/wecom/wecomtest"
)

// benchChat is one install of one platform, with its emulator on the other side.
type benchChat interface {
	platform() string
	kind() string // the platform, and which of its ways
	// config is the install's part of the configuration.
	config() map[string]any
	user(name string) string
	group(name string, members ...string) string
	// connect tells the emulator where the program is, or waits for the program's
	// own connections.
	connect(ctx context.Context, hook string) error
	watch(func(showing))
	// ask mentions the robot in a group.
	ask(user, conv, text string) reaction
	// press chooses from a card by the label: its button, or the number that stands for it.
	press(user string, on showing, label string) reaction
	// tell says a verb about the ticket of a card: in its thread where there is one.
	tell(user string, on showing, number, verb, text string) reaction
	calls() int // of the program to the platform's API, so far
	close()
}

// showing is a message or a change as it became visible.
type showing struct {
	conv, ref string
	text      string // the card as it was sent, or the words
	plain     bool   // no buttons: choices have numbers
	at        time.Time
}

// reaction is what came of an event that was delivered.
type reaction struct {
	took  time.Duration // until it was answered; < 0 = the platform wants no answer
	again int           // deliveries besides the first
	err   error
}

// react makes a reaction of what emulators return.
func react(ok bool, status int, took time.Duration, attempts int, err error) reaction {
	if !ok && err == nil {
		err = fmt.Errorf("status %d", status)
	}
	return reaction{took: took, again: max(0, attempts-1), err: err}
}

// worst is the slowest of several reactions to one act, with all that went wrong.
func worst(all []reaction) (r reaction) {
	for _, one := range all {
		r.took, r.again, r.err = max(r.took, one.took), r.again+one.again, errors.Join(r.err, one.err)
	}
	return r
}

// hexes is a random id of n hexadecimal digits.
func hexes(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)[:n]
}

func sum(count func(string) int, names ...string) (n int) {
	for _, name := range names {
		n += count(name)
	}
	return n
}

type slackBench struct {
	srv    *slacktest.Server
	secret string
}

func newSlackBench() *slackBench {
	c := &slackBench{secret: hexes(32)}
	c.srv = slacktest.New(slacktest.Options{SigningSecret: c.secret, RateLimits: true})
	return c
}

func (c *slackBench) platform() string { return "slack" }
func (c *slackBench) kind() string     { return "slack" }
func (c *slackBench) close()           { c.srv.Close() }

func (c *slackBench) config() map[string]any {
	return map[string]any{"bot_token": slacktest.BotToken, "signing_secret": c.secret, "api_url": c.srv.APIURL()}
}

func (c *slackBench) user(name string) string {
	return c.srv.AddUser(slacktest.User{Name: name, Locale: "zh-CN"})
}

func (c *slackBench) group(name string, members ...string) string {
	return c.srv.AddChannel(name, false, members...)
}

func (c *slackBench) connect(_ context.Context, hook string) error {
	c.srv.Deliver(hook)
	return nil
}

func (c *slackBench) watch(f func(showing)) {
	c.srv.OnArrival(func(a slacktest.Arrival) {
		text := string(a.Blocks)
		if text == "" {
			text = a.Text
		}
		f(showing{conv: a.Channel, ref: a.Channel + "/" + a.TS, text: text, at: a.At})
	})
}

// timed measures from outside, since Slack's emulator does not say what one
// delivery took: of the two that a mention makes the sum.
func (c *slackBench) timed(act func() []slacktest.Answer) reaction {
	begin := time.Now()
	answers := act()
	took := time.Since(begin)
	var all []reaction
	for _, a := range answers {
		all = append(all, react(a.OK(), a.Status, took, a.Attempts, a.Err))
	}
	return worst(all)
}

func (c *slackBench) ask(user, conv, text string) reaction {
	return c.timed(func() []slacktest.Answer { _, a := c.srv.Mention(user, conv, "", text); return a })
}

func (c *slackBench) press(user string, on showing, label string) reaction {
	return c.timed(func() []slacktest.Answer { return []slacktest.Answer{c.srv.Click(user, on.ref, label)} })
}

func (c *slackBench) tell(user string, on showing, _, verb, text string) reaction {
	return c.timed(func() []slacktest.Answer {
		_, a := c.srv.Say(user, on.conv, on.ref, verb+" "+text)
		return a
	})
}

func (c *slackBench) calls() int {
	return sum(c.srv.Calls, "chat.postMessage", "chat.update", "chat.delete", "chat.postEphemeral", "chat.getPermalink", "conversations.open", "conversations.info",
		"conversations.list", "conversations.members", "conversations.history", "conversations.replies", "users.info", "usergroups.list", "usergroups.users.list", "response_url")
}

type feishuBench struct {
	srv    *feishutest.Server
	opt    feishutest.Options
	stream bool
}

func newFeishuBench(stream bool) *feishuBench {
	o := feishutest.Options{AppID: "cli_" + hexes(16), AppSecret: hexes(32), EncryptKey: hexes(32), VerificationToken: hexes(32), RateLimits: true}
	return &feishuBench{srv: feishutest.New(o), opt: o, stream: stream}
}

func (c *feishuBench) platform() string { return "feishu" }
func (c *feishuBench) close()           { c.srv.Close() }

func (c *feishuBench) kind() string {
	if c.stream {
		return "feishu, stream"
	}
	return "feishu, http"
}

func (c *feishuBench) config() map[string]any {
	m := map[string]any{"app_id": c.opt.AppID, "app_secret": c.opt.AppSecret, "api_url": c.srv.APIURL(), "mode": "stream"}
	if !c.stream {
		m["mode"], m["encrypt_key"], m["verification_token"] = "http", c.opt.EncryptKey, c.opt.VerificationToken
	}
	return m
}

func (c *feishuBench) user(name string) string {
	return c.srv.AddUser(feishutest.User{Name: name, Zone: "Asia/Shanghai"})
}

func (c *feishuBench) group(name string, members ...string) string {
	return c.srv.AddGroup(name, false, members...)
}

func (c *feishuBench) connect(ctx context.Context, hook string) error {
	if c.stream {
		return c.srv.WaitSocket(ctx, 1)
	}
	c.srv.Deliver(hook)
	return nil
}

func (c *feishuBench) watch(f func(showing)) {
	c.srv.OnArrival(func(a feishutest.Arrival) {
		if !a.Note {
			f(showing{conv: a.Chat, ref: a.Message, text: a.Content, at: a.At})
		}
	})
}

func feishuReaction(answers ...feishutest.Answer) reaction {
	var all []reaction
	for _, a := range answers {
		all = append(all, react(a.OK(), a.Status, a.Took, a.Attempts, a.Err))
	}
	return worst(all)
}

func (c *feishuBench) ask(user, conv, text string) reaction {
	_, a := c.srv.Mention(user, conv, "", text)
	return feishuReaction(a...)
}

func (c *feishuBench) press(user string, on showing, label string) reaction {
	return feishuReaction(c.srv.Press(user, on.ref, label))
}

func (c *feishuBench) tell(user string, on showing, _, verb, text string) reaction {
	_, a := c.srv.Say(user, on.conv, on.ref, verb+" "+text)
	return feishuReaction(a...)
}

func (c *feishuBench) calls() int {
	return sum(c.srv.Calls, "message.create", "message.list", "message.get", "message.reply", "message.patch", "message.update", "message.delete", "message.urgent_app",
		"reaction.create", "chat.get", "members.get", "members.is_in_chat", "ephemeral.send", "ephemeral.delete", "card.update", "user.get", "user.batch")
}

type dingtalkBench struct {
	srv   *dingtalktest.Server
	opt   dingtalktest.Options
	drawn bool // cards of a template; else markdown, with numbers
}

func newDingtalkBench(drawn bool) *dingtalkBench {
	o := dingtalktest.Options{ClientID: "ding" + hexes(16), ClientSecret: hexes(48), QPS: dingtalktest.StandardQPS}
	return &dingtalkBench{srv: dingtalktest.New(o), opt: o, drawn: drawn}
}

func (c *dingtalkBench) platform() string { return "dingtalk" }
func (c *dingtalkBench) close()           { c.srv.Close() }

func (c *dingtalkBench) kind() string {
	if c.drawn {
		return "dingtalk, cards"
	}
	return "dingtalk, numbers"
}

func (c *dingtalkBench) config() map[string]any {
	m := map[string]any{"client_id": c.opt.ClientID, "client_secret": c.opt.ClientSecret, "mode": "stream", "api_url": c.srv.APIURL(), "oapi_url": c.srv.OAPIURL(), "quota": 1_000_000}
	if c.drawn {
		m["card_template_id"] = dingtalktest.TemplateID
	}
	return m
}

func (c *dingtalkBench) user(name string) string {
	return c.srv.AddUser(dingtalktest.User{Name: name})
}

func (c *dingtalkBench) group(name string, members ...string) string {
	return c.srv.AddGroup(name, false, members...)
}

func (c *dingtalkBench) connect(ctx context.Context, _ string) error {
	return c.srv.WaitConnection(ctx, 1)
}

func (c *dingtalkBench) watch(f func(showing)) {
	c.srv.OnArrival(func(a dingtalktest.Arrival) {
		f(showing{conv: a.Conv, ref: a.Ref, text: a.Text, plain: a.Card == "", at: a.At})
	})
}

func dingtalkReaction(answers ...dingtalktest.Answer) reaction {
	var all []reaction
	for _, a := range answers {
		all = append(all, react(a.OK(), a.Status, a.Took, a.Attempts, a.Err))
	}
	return worst(all)
}

func (c *dingtalkBench) ask(user, conv, text string) reaction {
	_, a := c.srv.Mention(user, conv, "", text)
	return dingtalkReaction(a...)
}

func (c *dingtalkBench) press(user string, on showing, label string) reaction {
	if !on.plain {
		return dingtalkReaction(c.srv.Press(user, on.ref, label))
	}
	text, err := numberOf(on.text, label)
	if err != nil {
		return reaction{err: err}
	}
	_, a := c.srv.Mention(user, on.conv, on.ref, text)
	return dingtalkReaction(a...)
}

func (c *dingtalkBench) tell(user string, on showing, number, verb, text string) reaction {
	_, a := c.srv.Mention(user, on.conv, "", verb+" "+number+" "+text)
	return dingtalkReaction(a...)
}

func (c *dingtalkBench) calls() int {
	return sum(c.srv.Calls, "robot/oToMessages/batchSend", "robot/groupMessages/send", "robot/otoMessages/batchRecall", "robot/groupMessages/recall", "robot/ding/send",
		"card/instances", "card/instances/update", "card/instances/createAndDeliver", "card/instances/deliver", "topapi/v2/user/get", "robot/sendBySession")
}

var ticketNumber = regexp.MustCompile(`#\d+`)

// numberOf is what is said to choose from a card that has numbers: the ticket
// and the number of the label.
func numberOf(text, label string) (string, error) {
	for _, line := range strings.Split(text, "\n") {
		for i, part := range strings.Split(line, " · ") {
			if n := strconv.Itoa(i + 1); strings.HasSuffix(strings.TrimSpace(part), n+" "+label) {
				return ticketNumber.FindString(text) + " " + n, nil
			}
		}
	}
	return "", fmt.Errorf("no number stands for %s in %q", label, text)
}

type wecomBench struct {
	srv *wecomtest.Server
	opt wecomtest.Options
}

func newWecomBench() *wecomBench {
	o := wecomtest.Options{
		Corp: "ww" + hexes(16), Secret: hexes(43), Token: hexes(32), AESKey: hexes(43),
		Robot: "aib" + hexes(20), RobotSecret: hexes(43), RateLimits: true,
	}
	return &wecomBench{srv: wecomtest.New(o), opt: o}
}

func (c *wecomBench) platform() string { return "wecom" }
func (c *wecomBench) kind() string     { return "wecom" }
func (c *wecomBench) close()           { c.srv.Close() }

func (c *wecomBench) config() map[string]any {
	return map[string]any{
		"corp_id": c.opt.Corp, "agent_id": strconv.Itoa(wecomtest.Agent), "secret": c.opt.Secret, "token": c.opt.Token, "encoding_aes_key": c.opt.AESKey, "api_url": c.srv.APIURL(),
		"robot": map[string]any{"id": c.opt.Robot, "secret": c.opt.RobotSecret, "ws_url": c.srv.WSURL()},
	}
}

func (c *wecomBench) user(name string) string { return c.srv.AddUser(wecomtest.User{Name: name}) }

func (c *wecomBench) group(name string, members ...string) string {
	id := c.srv.AddGroup(name, members...)
	c.srv.Talked(id) // or the robot may not write there
	return id
}

func (c *wecomBench) connect(ctx context.Context, hook string) error {
	c.srv.Deliver(hook)
	if a := c.srv.VerifyURL(); !a.OK() {
		return fmt.Errorf("the callback's address was refused with status %d: %w", a.Status, a.Err)
	}
	return c.srv.AwaitRobot(ctx)
}

func (c *wecomBench) watch(f func(showing)) {
	c.srv.OnArrival(func(a wecomtest.Arrival) {
		s := showing{conv: a.Conv, ref: a.Conv + "/" + a.ID, text: string(a.Card), at: a.At}
		if len(a.Card) == 0 {
			s.text, s.plain = a.Text, true
		}
		f(s)
	})
}

// unanswered is the reaction to what goes over the robot's connection: no word is
// acknowledged there, so only what became of it tells.
func unanswered(a wecomtest.Answer) reaction {
	return react(a.OK(), a.Status, -1, a.Attempts, a.Err)
}

func (c *wecomBench) ask(user, conv, text string) reaction {
	_, a := c.srv.Mention(user, conv, text)
	return unanswered(a)
}

func (c *wecomBench) press(user string, on showing, label string) reaction {
	if !on.plain {
		return unanswered(c.srv.Press(user, on.ref, label))
	}
	text, err := numberOf(on.text, label)
	if err != nil {
		return reaction{err: err}
	}
	_, a := c.srv.Mention(user, on.conv, text)
	return unanswered(a)
}

func (c *wecomBench) tell(user string, on showing, number, verb, text string) reaction {
	_, a := c.srv.Mention(user, on.conv, strings.Join([]string{verb, number, text}, " "))
	return unanswered(a)
}

func (c *wecomBench) calls() int {
	return sum(c.srv.Calls, "message/send", "message/update_template_card", "message/recall", "user/get", "user/list", "user/simplelist", "aibot/response",
		"aibot_respond_msg", "aibot_respond_welcome_msg", "aibot_respond_update_msg", "aibot_send_msg")
}
