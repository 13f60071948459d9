//go:build unix

package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/paidan/paidan/adapters/slack/slacktest"
)

// slackChat is the emulated Slack.
type slackChat struct {
	stage  *stage
	pre    string
	srv    *slacktest.Server
	secret string
	users  map[string]string // id in the cast → Slack's
	convs  map[string]string // alias → channel
}

func newSlackChat(s *stage, prefix string) *slackChat {
	secret := fmt.Sprintf("%x", rand.Text())[:32] // as Slack makes them; a published one is refused
	c := &slackChat{stage: s, pre: prefix, secret: secret, srv: slacktest.New(slacktest.Options{SigningSecret: secret}), users: map[string]string{}, convs: map[string]string{}}
	s.t.Cleanup(c.srv.Close)
	for _, p := range cast {
		c.users[p.id] = c.srv.AddUser(slacktest.User{Name: p.name, RealName: p.name, Locale: p.locale, Zone: "Asia/Shanghai"})
	}
	for _, r := range rooms {
		var members []string
		for _, m := range r.members {
			members = append(members, c.users[m])
		}
		c.convs[r.alias] = c.srv.AddChannel(r.name, false, members...)
	}
	c.convs["new"] = c.srv.AddChannel("新群", true, c.users["chenzong"], c.users["wangfang"])
	return c
}

func (c *slackChat) name() string   { return "slack" }
func (c *slackChat) prefix() string { return c.pre }

// configure puts the emulator's ids in the places of the playground's, or, where
// both are there, in those of slack/default/<the playground's id>.
func (c *slackChat) configure(conf string) string {
	from := "slack/default/"
	if c.pre == "" {
		from = "playground/default/"
		if !strings.Contains(conf, "playground:") {
			conf += "\nplayground: off\n"
		}
	}
	var pairs []string
	for id, user := range c.users {
		pairs = append(pairs, from+id, "slack/default/"+user)
	}
	for alias, ch := range c.convs {
		pairs = append(pairs, from+"g-"+alias, "slack/default/"+ch)
	}
	conf = strings.NewReplacer(pairs...).Replace(conf)
	return conf + fmt.Sprintf("\nslack:\n  default:\n    bot_token: %s\n    signing_secret: %s\n    api_url: %s\n", slacktest.BotToken, c.secret, c.srv.APIURL())
}

func (c *slackChat) connect(url string) { c.srv.Deliver(url + "/hooks/slack/default") }
func (c *slackChat) disconnect()        {}

func (c *slackChat) messages() []shown {
	var all []shown
	conv := func(alias, channel string) {
		for _, m := range c.srv.Messages(channel) {
			x := shown{key: "slack/" + m.Ref(), conv: alias, bot: m.User == "", text: m.Text}
			if m.Thread != "" && m.Thread != m.TS {
				x.root = "slack/" + channel + "/" + m.Thread
			}
			x.lines = []string{c.mentions(m.Text)}
			if x.bot {
				x.lines = c.read(m.Blocks, m.Text)
				for _, f := range c.srv.Files(channel) {
					if slices.Contains(m.Files, f.ID) {
						x.lines = []string{fmt.Sprintf("📎 %s (%d)", f.Name, len(f.Content))}
					}
				}
				x.labels = labels(m.Blocks)
			}
			if strings.HasPrefix(alias, "dm ") && strings.Contains(string(m.Metadata), `"hint:`) {
				x.only = idOf(strings.TrimPrefix(alias, "dm ")) // a private answer in a private chat
			}
			x.press = c.presser(m.Ref())
			all = append(all, x)
		}
	}
	for _, r := range rooms {
		conv(r.alias, c.convs[r.alias])
	}
	conv("new", c.convs["new"])
	for _, p := range cast {
		conv("dm "+p.name, c.srv.DM(c.users[p.id]))
	}
	for _, p := range cast {
		user := c.users[p.id]
		for _, n := range c.srv.Notes(user) {
			all = append(all, shown{
				key: "slack/note/" + n.Ref(), conv: c.alias(n.Channel), only: p.id, bot: true, lines: c.read(n.Blocks, n.Text), labels: labels(n.Blocks), press: c.presser(n.Ref()),
			})
		}
		if v, ok := c.top(p.id); ok && v.Body["submit"] == nil {
			blocks, _ := json.Marshal(v.Body["blocks"]) // it came as JSON
			all = append(all, shown{
				key: "slack/view/" + v.ID + v.Hash, only: p.id, bot: true, lines: c.read(blocks, ""), labels: labels(blocks), press: c.viewPresser(v.ID),
			})
		}
		if v, ok := c.srv.Home(user); ok {
			blocks, _ := json.Marshal(v.Body["blocks"])
			all = append(all, shown{
				key: "slack/home/" + p.id, conv: "home " + p.name, bot: true, lines: c.read(blocks, ""), labels: labels(blocks), press: c.viewPresser(v.ID),
			})
		}
	}
	return placed(all, c.pre)
}

func (c *slackChat) alias(channel string) string {
	for a, id := range c.convs {
		if id == channel {
			return a
		}
	}
	for _, p := range cast {
		if c.srv.DM(c.users[p.id]) == channel {
			return "dm " + p.name
		}
	}
	return channel
}

func (c *slackChat) presser(ref string) func(who, label, option string) error {
	return func(who, label, option string) error {
		a := c.srv.Click(c.users[who], ref, label)
		if option != "" {
			a = c.srv.Select(c.users[who], ref, label, option)
		}
		return answered(a)
	}
}

func (c *slackChat) viewPresser(id string) func(who, label, option string) error {
	return func(who, label, _ string) error { return answered(c.srv.ClickView(c.users[who], id, label)) }
}

// answered fails when Slack was not told "received".
func answered(all ...slacktest.Answer) error {
	for _, a := range all {
		if a.Err != nil {
			return fmt.Errorf("%s: %w", a.Kind, a.Err)
		}
		if !a.OK() {
			return fmt.Errorf("%s: status %d", a.Kind, a.Status)
		}
	}
	return nil
}

type slackText struct {
	Type, Text string
}

type slackElement struct {
	Type        string
	ActionID    string `json:"action_id"`
	Text        json.RawMessage
	Placeholder *slackText
	Options     []struct {
		Text  slackText
		Value string
	}
}

func (e slackElement) words() string {
	if e.Placeholder != nil {
		return e.Placeholder.Text
	}
	var o slackText
	if json.Unmarshal(e.Text, &o) == nil && o.Text != "" {
		return o.Text
	}
	var s string
	if json.Unmarshal(e.Text, &s) == nil {
		return s
	}
	return ""
}

type slackBlock struct {
	Type      string
	BlockID   string `json:"block_id"`
	Text      *slackText
	Fields    []slackText
	Accessory *slackElement
	Elements  []slackElement
	Label     *slackText
	Hint      *slackText
	Optional  bool
	Element   map[string]any
}

// read says what blocks show, one line after the other.
func (c *slackChat) read(raw json.RawMessage, text string) []string {
	var blocks []slackBlock
	if json.Unmarshal(raw, &blocks) != nil || len(blocks) == 0 {
		return strings.Split(text, "\n")
	}
	var out []string
	for i, b := range blocks {
		switch b.Type {
		case "header":
			if b.Text.Text != "Paidan" { // a window has to be called something
				out = append(out, b.Text.Text)
			}
		case "context":
			var words []string
			for _, e := range b.Elements {
				words = append(words, e.words())
			}
			line := strings.Join(words, " ")
			if i > 1 {
				line = "(" + line + ")"
			}
			out = append(out, line)
		case "section":
			for j := 0; j+1 < len(b.Fields); j += 2 {
				out = append(out, strings.Trim(b.Fields[j].Text, "*")+"  "+strings.ReplaceAll(b.Fields[j+1].Text, "\n", " / "))
			}
			if b.Text == nil {
				continue
			}
			said := b.Text.Text
			if b.Text.Type == "mrkdwn" {
				said = c.mentions(said)
			}
			lines := nonEmptyLines(said)
			if b.Accessory != nil && len(lines) > 0 {
				lines[len(lines)-1] += " [" + b.Accessory.words() + "]"
			}
			out = append(out, lines...)
		case "actions":
			out = append(out, buttonLine(b.Elements))
		}
	}
	return out
}

func nonEmptyLines(s string) []string {
	return slices.DeleteFunc(strings.Split(s, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
}

func (c *slackChat) mentions(s string) string {
	for id, user := range c.users {
		s = strings.ReplaceAll(s, "<@"+user+">", "@"+nameOf(id))
	}
	return strings.ReplaceAll(s, "<@"+slacktest.BotUser+">", "@工单")
}

func buttonLine(elements []slackElement) string {
	var words []string
	more := ""
	for _, e := range elements {
		switch {
		case e.ActionID == "more":
			var names []string
			for _, o := range e.Options {
				names = append(names, o.Text.Text)
			}
			more = " ⋯ " + strings.Join(names, ", ")
		case len(e.Options) > 0:
			words = append(words, "["+e.words()+"▾]")
		default:
			words = append(words, "["+e.words()+"]")
		}
	}
	return strings.Join(words, " ") + more
}

func labels(raw json.RawMessage) []string {
	var blocks []slackBlock
	if json.Unmarshal(raw, &blocks) != nil {
		return nil
	}
	var out []string
	add := func(e slackElement) {
		out = append(out, e.words())
		if e.ActionID == "more" {
			for _, o := range e.Options {
				out = append(out, o.Text.Text)
			}
		}
	}
	for _, b := range blocks {
		if b.Type != "actions" && b.Accessory == nil {
			continue
		}
		for _, e := range b.Elements {
			add(e)
		}
		if b.Accessory != nil {
			add(*b.Accessory)
		}
	}
	return out
}

func (c *slackChat) top(who string) (slacktest.View, bool) {
	views := c.srv.Views(c.users[who])
	if len(views) == 0 {
		return slacktest.View{}, false
	}
	return views[len(views)-1], true
}

func (c *slackChat) form(who string) ([]string, bool) {
	v, ok := c.top(who)
	if !ok || v.Body["submit"] == nil {
		return nil, false
	}
	raw, _ := json.Marshal(v.Body) // it came as JSON
	var body struct {
		Title, Submit slackText
		Blocks        []slackBlock
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return []string{err.Error()}, true
	}
	out := []string{body.Title.Text + " → " + body.Submit.Text}
	for _, b := range body.Blocks {
		if b.Type != "input" {
			if b.Text != nil {
				out = append(out, nonEmptyLines(b.Text.Text)...)
			}
			continue
		}
		if strings.HasSuffix(b.BlockID, "@time") {
			continue // the second half of an instant
		}
		in := formInput{Name: b.BlockID, Label: b.Label.Text, Required: !b.Optional, Error: v.Errors[b.BlockID]}
		for _, key := range []string{"initial_value", "initial_date", "initial_user"} {
			if s, _ := b.Element[key].(string); s != "" {
				in.Value = s
			}
		}
		if o, _ := b.Element["initial_option"].(map[string]any); o != nil {
			in.Value, _ = o["value"].(string)
		}
		if l, _ := b.Element["initial_options"].([]any); len(l) > 0 {
			in.Value = "true"
		}
		if options, _ := b.Element["options"].([]any); b.Element["type"] == "static_select" {
			for _, x := range options {
				o, _ := x.(map[string]any)
				label, _ := o["text"].(map[string]any)
				in.Options = append(in.Options, fmt.Sprint(label["text"]))
			}
		}
		if b.Hint != nil {
			in.Hint = b.Hint.Text
		}
		out = append(out, in.line())
	}
	return out, true
}

// formInput is a question of a form, as both platforms show it.
type formInput struct {
	Name, Label, Value, Hint, Error string
	Required                        bool
	Options                         []string
}

func (in formInput) line() string {
	s := in.Name + ": " + in.Label
	if in.Required {
		s += " *"
	}
	if len(in.Options) > 0 {
		s += " {" + strings.Join(in.Options, "/") + "}"
	}
	if in.Value != "" {
		s += " = " + strings.ReplaceAll(in.Value, "\n", " / ")
	}
	if in.Hint != "" {
		s += " (" + in.Hint + ")"
	}
	if in.Error != "" {
		s += " ! " + in.Error
	}
	return s
}

// typed is text as a person's client sends it: names become ids.
func (c *slackChat) typed(text string) string {
	for _, b := range []string{"@工单", "@派单", "@Paidan"} {
		text = strings.ReplaceAll(text, b, "<@"+slacktest.BotUser+">")
	}
	for _, p := range cast {
		text = strings.ReplaceAll(text, "@"+p.name, "<@"+c.users[p.id]+">")
	}
	return text
}

func (c *slackChat) channel(a target) string {
	if a.conv == "dm" {
		return c.srv.DM(c.users[a.who])
	}
	return c.convs[a.conv]
}

func (c *slackChat) ref(a target) (string, error) {
	m, err := find(c.messages(), a, func(m shown) bool { return m.only == "" })
	return strings.TrimPrefix(m.key, "slack/"), err
}

func (c *slackChat) say(a target, text string, names []string) error {
	root, err := thread(c.messages(), a)
	if err != nil {
		return err
	}
	var files []string
	for _, n := range names {
		files = append(files, c.srv.AddFile(slacktest.File{Name: n, Type: "text/plain", Owner: c.users[a.who], Content: c.stage.files[n]}))
	}
	_, answers := c.srv.Say(c.users[a.who], c.channel(a), strings.TrimPrefix(root, "slack/"), c.typed(text), files...)
	return answered(answers...)
}

func (c *slackChat) slash(a target, text string) error {
	return answered(c.srv.Slash(c.users[a.who], c.channel(a), "/ticket", c.typed(text)))
}

func (c *slackChat) press(a target, label, option string) error {
	m, err := c.stage.pressable(c.messages(), a, label)
	if err != nil {
		return err
	}
	return m.press(a.who, label, option)
}

func (c *slackChat) fill(who string, change bool, values map[string]string) error {
	v, ok := c.top(who)
	if !ok {
		return fmt.Errorf("no form is open")
	}
	for k, s := range values {
		if name, ok := strings.CutPrefix(s, "@"); ok {
			values[k] = c.users[idOf(name)]
		}
	}
	if !change {
		return answered(c.srv.Submit(c.users[who], v.ID, values))
	}
	for k, s := range values {
		if err := answered(c.srv.Change(c.users[who], v.ID, k, s)); err != nil {
			return err
		}
	}
	return nil
}

func (c *slackChat) react(a target, emoji string, on bool) error {
	ref, err := c.ref(a)
	if err != nil {
		return err
	}
	if on {
		return answered(c.srv.React(c.users[a.who], ref, emoji)...)
	}
	return answered(c.srv.Unreact(c.users[a.who], ref, emoji)...)
}

func (c *slackChat) edit(a target, text string) error {
	ref, err := c.ref(a)
	if err != nil {
		return err
	}
	return answered(c.srv.Edit(ref, c.typed(text))...)
}

func (c *slackChat) unsay(a target) error {
	ref, err := c.ref(a)
	if err != nil {
		return err
	}
	return answered(c.srv.Delete(ref)...)
}

func (c *slackChat) shortcut(a target) error {
	if a.quoted == "" {
		return answered(c.srv.GlobalShortcut(c.users[a.who], "open"))
	}
	ref, err := c.ref(a)
	if err != nil {
		return err
	}
	return answered(c.srv.Shortcut(c.users[a.who], ref, "open"))
}

func (c *slackChat) member(a target, joins bool) error {
	if joins {
		return answered(c.srv.Join(c.users[a.who], c.channel(a), "")...)
	}
	return answered(c.srv.Leave(c.users[a.who], c.channel(a))...)
}

func (c *slackChat) addBot(a target) error {
	return answered(c.srv.Join(slacktest.BotUser, c.channel(a), c.users[a.who])...)
}

func (c *slackChat) home(who string) error { return answered(c.srv.OpenHome(c.users[who])...) }

// fault KIND METHOD [TIMES] [RETRY-AFTER]: "fault 429 chat.update 1 2".
func (c *slackChat) fault(verb string, args []string) error {
	n := 1
	switch verb {
	case "heal":
		c.srv.Heal()
		c.srv.Revoke("")
		return nil
	case "revoke":
		c.srv.Revoke(args[0])
		return nil
	case "double", "drop", "hold":
		if len(args) > 0 {
			if _, err := fmt.Sscan(args[0], &n); err != nil {
				return err
			}
		}
		map[string]func(int){"double": c.srv.Double, "drop": c.srv.Drop, "hold": c.srv.Hold}[verb](n)
		return nil
	}
	f := slacktest.Fault{Kind: slacktest.FaultKind(strings.ReplaceAll(args[0], "-", " ")), Method: args[1], Delay: time.Millisecond, Code: "fatal_error"}
	if len(args) > 2 {
		if _, err := fmt.Sscan(args[2], &f.Times); err != nil {
			return err
		}
	}
	if len(args) > 3 {
		f.RetryAfter, f.Code = args[3], args[3]
	}
	c.srv.Fail(f)
	return nil
}
