//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/adapters/feishu/feishutest"
	"github.com/paidan/paidan/cards"
)

// feishuChat is the emulated Feishu.
type feishuChat struct {
	stage  *stage
	pre    string
	srv    *feishutest.Server
	key    string            // of encryption
	socket bool              // events come over a long connection
	users  map[string]string // id in the cast → open_id
	convs  map[string]string // alias → chat_id
}

func newFeishuChat(s *stage, prefix string, socket bool) *feishuChat {
	key := rand.Text()
	c := &feishuChat{
		stage: s, pre: prefix, key: key, socket: socket, users: map[string]string{}, convs: map[string]string{},
		srv: feishutest.New(feishutest.Options{EncryptKey: key, BotName: "工单"}),
	}
	s.t.Cleanup(c.srv.Close)
	for _, p := range cast {
		c.users[p.id] = c.srv.AddUser(feishutest.User{Name: p.name, Zone: "Asia/Shanghai"})
	}
	for _, r := range rooms {
		var members []string
		for _, m := range r.members {
			members = append(members, c.users[m])
		}
		c.convs[r.alias] = c.srv.AddGroup(r.name, false, members...)
	}
	c.convs["new"] = c.srv.AddGroup("新群", true, c.users["chenzong"], c.users["wangfang"])
	return c
}

func (c *feishuChat) name() string   { return "feishu" }
func (c *feishuChat) prefix() string { return c.pre }

// configure puts the emulator's ids in the places of the playground's, or, where
// several platforms are there, in those of feishu/default/<the playground's id>.
func (c *feishuChat) configure(conf string) string {
	from := "feishu/default/"
	if c.pre == "" {
		from = "playground/default/"
		if !strings.Contains(conf, "playground:") {
			conf += "\nplayground: off\n"
		}
	}
	var pairs []string
	for id, user := range c.users {
		pairs = append(pairs, from+id, "feishu/default/"+user)
	}
	for alias, chat := range c.convs {
		pairs = append(pairs, from+"g-"+alias, "feishu/default/"+chat)
	}
	conf = strings.NewReplacer(pairs...).Replace(conf)
	conf += fmt.Sprintf("\nfeishu:\n  default:\n    app_id: %s\n    app_secret: %s\n    api_url: %s\n", feishutest.AppID, feishutest.AppSecret, c.srv.APIURL())
	if c.socket {
		return conf + "    mode: stream\n"
	}
	return conf + fmt.Sprintf("    encrypt_key: %s\n    verification_token: %s\n", c.key, feishutest.VerificationToken)
}

// connect tells where events go, or waits for the program's connection.
func (c *feishuChat) connect(url string) {
	if !c.socket {
		c.srv.Deliver(url + "/hooks/feishu/default")
		return
	}
	ctx, cancel := context.WithTimeout(c.stage.t.Context(), patience)
	defer cancel()
	if err := c.srv.WaitSocket(ctx, 1); err != nil {
		c.stage.t.Fatalf("no long connection: %v\nlog:\n%s", err, c.stage.log.String())
	}
}

// disconnect cuts the connections of the program that ends: the next one's is
// waited for.
func (c *feishuChat) disconnect() { c.srv.CutSockets() }

func (c *feishuChat) messages() []shown {
	var all []shown
	conv := func(alias, chat string) {
		files := c.srv.Files(chat)
		for _, m := range c.srv.Messages(chat) {
			card := readFeishuCard(m.Card())
			if card.asks() {
				continue // a form: see form
			}
			x := shown{key: "feishu/" + m.ID, conv: alias, bot: m.Sender == "", text: c.said(m)}
			if m.Root != "" {
				x.root = "feishu/" + m.Root
			}
			x.lines = strings.Split(x.text, "\n")
			if m.Type == "interactive" {
				x.lines, x.labels = c.read(card), card.labels()
				x.press = c.presser(m.ID)
			}
			for _, f := range files {
				if x.bot && f.Message == m.ID {
					x.lines = []string{fmt.Sprintf("📎 %s (%d)", f.Name, len(f.Content))}
				}
			}
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
		for _, n := range c.srv.Notes(c.users[p.id]) {
			card := readFeishuCard(n.Card())
			if !card.asks() {
				all = append(all, shown{
					key: "feishu/note/" + n.ID, conv: c.alias(n.Chat), only: p.id, bot: true, lines: c.read(card), labels: card.labels(), press: c.presser(n.ID),
				})
			}
		}
		for i, toast := range c.srv.Toasts(c.users[p.id]) {
			all = append(all, shown{key: fmt.Sprintf("feishu/toast/%s/%d", p.id, i), only: p.id, bot: true, lines: []string{toast.Text}})
		}
	}
	return placed(all, c.pre)
}

func (c *feishuChat) alias(chat string) string {
	for a, id := range c.convs {
		if id == chat {
			return a
		}
	}
	return chat
}

// said is what a message that is no card says.
func (c *feishuChat) said(m feishutest.Message) string {
	var content struct {
		Text    string
		Content [][]struct {
			Text   string
			UserID string `json:"user_id"`
		}
	}
	if m.Type == "interactive" || json.Unmarshal([]byte(m.Content), &content) != nil {
		return ""
	}
	text := content.Text
	for i, line := range content.Content {
		if i > 0 {
			text += "\n"
		}
		for _, part := range line {
			text += part.Text + part.UserID
		}
	}
	for _, x := range m.Mentions {
		text = strings.ReplaceAll(text, x.Key, "@"+x.Name)
	}
	return c.mentions(text)
}

var feishuAt = regexp.MustCompile(`<at (?:user_)?id="?([^">]+)"?>[^<]*</at>`)

func (c *feishuChat) mentions(s string) string {
	return feishuAt.ReplaceAllStringFunc(s, func(tag string) string {
		who := feishuAt.FindStringSubmatch(tag)[1]
		for id, user := range c.users {
			if user == who {
				return "@" + nameOf(id)
			}
		}
		return "@" + who
	})
}

func (c *feishuChat) presser(id string) func(who, label, option string) error {
	return func(who, label, option string) error {
		if option != "" {
			return feishuAnswered(c.srv.Select(c.users[who], id, label, option))
		}
		return feishuAnswered(c.srv.Press(c.users[who], id, label))
	}
}

// feishuAnswered fails when Feishu was not told "received".
func feishuAnswered(all ...feishutest.Answer) error {
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

// feishuElement is any part of a card.
type feishuElement struct {
	Tag             string
	Name            string
	Content         string
	TextSize        string `json:"text_size"`
	Text            *feishuElement
	Placeholder     *feishuElement
	Checked         bool
	FormAction      string `json:"form_action_type"`
	DefaultValue    string `json:"default_value"`
	InitialOption   string `json:"initial_option"`
	InitialDate     string `json:"initial_date"`
	InitialDatetime string `json:"initial_datetime"`
	Options         []struct {
		Text  feishuElement
		Value string
	}
	Behaviors []struct{ Value map[string]string }
	Columns   []feishuElement
	Elements  []feishuElement
}

type feishuCard struct {
	Header struct {
		Title, Subtitle feishuElement
		Template        string
		Tags            []feishuElement `json:"text_tag_list"`
	}
	Body struct{ Elements []feishuElement }
}

func readFeishuCard(raw json.RawMessage) feishuCard {
	var c feishuCard
	if len(raw) > 0 && json.Unmarshal(raw, &c) != nil {
		c.Header.Title.Content = string(raw)
	}
	return c
}

// each visits all parts of a card in the order they are shown.
func (c feishuCard) each(visit func(e feishuElement, form bool)) {
	var walk func(list []feishuElement, form bool)
	walk = func(list []feishuElement, form bool) {
		for _, e := range list {
			visit(e, form)
			walk(e.Columns, form)
			walk(e.Elements, form || e.Tag == "form")
		}
	}
	walk(c.Body.Elements, false)
}

// asks reports whether there is a form in a card.
func (c feishuCard) asks() (yes bool) {
	c.each(func(e feishuElement, _ bool) { yes = yes || e.Tag == "form" })
	return yes
}

func (e feishuElement) pressable() bool {
	return slices.Contains([]string{"button", "select_static", "overflow", "select_person"}, e.Tag)
}

// lesser reports whether a menu is the one of lesser actions: the choice itself
// says what is done.
func (e feishuElement) lesser() bool {
	if e.Tag == "overflow" {
		return true
	}
	for _, b := range e.Behaviors {
		for _, v := range b.Value {
			if v == "*" {
				return true
			}
		}
	}
	return false
}

func (e feishuElement) words() string {
	for _, t := range []*feishuElement{e.Text, e.Placeholder} {
		if t != nil && t.Content != "" {
			return t.Content
		}
	}
	return ""
}

func (c feishuCard) labels() []string {
	var out []string
	c.each(func(e feishuElement, form bool) {
		if !e.pressable() || form {
			return
		}
		out = append(out, e.words())
		if e.lesser() {
			for _, o := range e.Options {
				out = append(out, o.Text.Content)
			}
		}
	})
	return out
}

var (
	feishuTag   = regexp.MustCompile(`</?(?:font|text_tag|number_tag|u|b|i)\b[^>]*>`)
	feishuTones = map[string]cards.Tone{"orange": cards.Open, "blue": cards.Busy, "grey": cards.Paused, "red": cards.Alarm, "purple": cards.Asking, "violet": cards.Asking, "green": cards.Good}
)

// shows is the text of one element, as it is read on the screen.
func (c *feishuChat) shows(e feishuElement) string {
	if e.Text != nil && e.Tag == "div" {
		return c.shows(*e.Text)
	}
	s := e.Content
	if e.Tag == "markdown" || e.Tag == "lark_md" {
		s = feishuTag.ReplaceAllString(c.mentions(s), "")
		s = html.UnescapeString(strings.ReplaceAll(s, "**", ""))
	}
	return s
}

func (e feishuElement) small() bool {
	return e.TextSize == "notation" || e.Text != nil && e.Text.TextSize == "notation"
}

// title is the title with the dot that its colour stands for; what is paused and
// what is closed are both grey.
func (c feishuCard) title() string {
	if c.Header.Title.Content == "" {
		return ""
	}
	return strings.TrimSpace(feishuTones[c.Header.Template].Emoji() + " " + c.Header.Title.Content)
}

// read says what a card shows, one line after the other.
func (c *feishuChat) read(card feishuCard) []string {
	var out []string
	if title := card.title(); title != "" {
		out = append(out, title)
	}
	var badges []string
	for _, t := range card.Header.Tags {
		if t.Text != nil {
			badges = append(badges, t.Text.Content)
		}
	}
	if s := card.Header.Subtitle.Content; s != "" {
		badges = append(badges, s)
	}
	if len(badges) > 0 {
		out = append(out, strings.Join(badges, " · "))
	}
	for _, e := range card.Body.Elements {
		switch lines := nonEmptyLines(c.shows(e)); {
		case e.Tag == "column_set":
			out = append(out, c.columns(e)...)
		case e.pressable():
			out = append(out, feishuButtons([]feishuElement{e}))
		case e.small() && len(out) > 1:
			out = append(out, "("+strings.Join(lines, " ")+")")
		default:
			out = append(out, lines...)
		}
	}
	return out
}

// columns are facts (a small label above a value), a row of a list (a text above
// small details), or nothing but buttons.
func (c *feishuChat) columns(set feishuElement) (out []string) {
	var presses []feishuElement
	facts := 0
	for _, col := range set.Columns {
		if len(col.Elements) == 0 || !col.Elements[0].pressable() {
			facts++
		}
	}
	for _, col := range set.Columns {
		var texts []string
		for _, e := range col.Elements {
			if e.pressable() {
				presses = append(presses, e)
			} else {
				texts = append(texts, c.shows(e))
			}
		}
		switch {
		case len(texts) == 0:
		case len(texts) > 1 && col.Elements[0].small():
			value := texts[1]
			if facts > 1 {
				value = strings.ReplaceAll(value, "\n", " / ")
			}
			out = append(out, nonEmptyLines(texts[0]+"  "+value)...)
		default:
			out = append(out, nonEmptyLines(strings.Join(texts, "\n"))...)
		}
	}
	switch {
	case len(presses) == 0:
	case len(presses) == 1 && len(out) > 0:
		out[len(out)-1] += " " + feishuButtons(presses)
	default:
		out = append(out, feishuButtons(presses))
	}
	return out
}

func feishuButtons(list []feishuElement) string {
	var words []string
	more := ""
	for _, e := range list {
		switch {
		case e.lesser():
			var names []string
			for _, o := range e.Options {
				names = append(names, o.Text.Content)
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

// open is the newest card that asks somebody something, and which one it is.
func (c *feishuChat) open(who string) (id string, card feishuCard, ok bool) {
	var newest time.Time
	for _, m := range slices.Concat(c.srv.Messages(c.srv.DM(c.users[who])), c.srv.Notes(c.users[who])) {
		if x := readFeishuCard(m.Card()); x.asks() && !m.Created.Before(newest) {
			id, card, ok, newest = m.ID, x, true, m.Created
		}
	}
	return id, card, ok
}

// asked is the name of an input: its own, or what choosing in it changes.
func (e feishuElement) asked() string {
	for _, b := range e.Behaviors {
		if name := b.Value["r"]; name != "" {
			return name
		}
	}
	return e.Name
}

func (c *feishuChat) form(who string) ([]string, bool) {
	_, card, ok := c.open(who)
	if !ok {
		return nil, false
	}
	title := card.Header.Title.Content
	var out, said []string // what was said last may be the label of what follows
	var in *formInput
	flush := func() {
		if in != nil {
			out = append(out, in.line())
		}
		out, in, said = append(out, said...), nil, nil
	}
	card.each(func(e feishuElement, form bool) {
		line := c.shows(e)
		switch {
		case e.Tag == "button" && e.FormAction == "submit":
			title += " → " + e.words()
		case e.Tag == "button" || e.Tag == "form" || e.Tag == "column" || e.Tag == "column_set":
		case e.Tag == "div" && in != nil && e.small() && strings.HasPrefix(line, "⚠ "):
			in.Error = strings.TrimPrefix(line, "⚠ ")
		case e.Tag == "div" && in != nil && e.small():
			in.Hint = line
		case e.Tag == "div" || e.Tag == "markdown":
			flush()
			said = nonEmptyLines(line)
		case e.asked() != "":
			label := strings.Join(said, " ")
			said = nil
			flush()
			if e.Tag == "checker" {
				label = e.words()
			}
			in = &formInput{Name: e.asked(), Label: strings.TrimSuffix(label, " *"), Required: strings.HasSuffix(label, " *")}
			if e.Tag == "input" && e.Placeholder != nil {
				in.Hint = e.Placeholder.Content
			}
			in.Value = e.DefaultValue + e.InitialOption + e.InitialDate + strings.Replace(e.InitialDatetime, " ", "T", 1)
			if e.Checked {
				in.Value = "true"
			}
			for _, o := range e.Options {
				in.Options = append(in.Options, o.Text.Content)
			}
		}
	})
	flush()
	return append([]string{title}, out...), true
}

func (c *feishuChat) fill(who string, change bool, values map[string]string) error {
	id, card, ok := c.open(who)
	if !ok {
		return fmt.Errorf("no form is open")
	}
	for k, s := range values {
		if name, ok := strings.CutPrefix(s, "@"); ok {
			values[k] = c.users[idOf(name)]
		}
	}
	// What stands above the form is chosen first: the form then becomes another.
	var err error
	card.each(func(e feishuElement, form bool) {
		s, given := values[e.asked()]
		if form || !given || e.asked() == "" || err != nil {
			return
		}
		if e.InitialOption != s {
			err = feishuAnswered(c.srv.Select(c.users[who], id, e.Name, s))
		}
		delete(values, e.asked())
	})
	if err != nil || change {
		return err
	}
	return feishuAnswered(c.srv.Submit(c.users[who], id, "", values))
}

// typed is text as a person's client sends it: names become mentions.
func (c *feishuChat) typed(text string) string {
	for _, b := range []string{"@工单", "@派单", "@Paidan"} {
		text = strings.ReplaceAll(text, b, feishutest.At(feishutest.Bot))
	}
	for _, p := range cast {
		text = strings.ReplaceAll(text, "@"+p.name, feishutest.At(c.users[p.id]))
	}
	return text
}

func (c *feishuChat) chat(a target) string {
	if a.conv == "dm" {
		return c.srv.DM(c.users[a.who])
	}
	return c.convs[a.conv]
}

func (c *feishuChat) ref(a target) (string, error) {
	m, err := find(c.messages(), a, func(m shown) bool { return m.only == "" })
	return strings.TrimPrefix(m.key, "feishu/"), err
}

func (c *feishuChat) say(a target, text string, names []string) error {
	root, err := thread(c.messages(), a)
	if err != nil {
		return err
	}
	var files []string
	for _, n := range names {
		f := feishutest.File{Name: n, Content: c.stage.files[n]}
		if strings.HasSuffix(n, ".png") {
			f.Type = "image"
		}
		files = append(files, c.srv.AddFile(f))
	}
	_, answers := c.srv.Say(c.users[a.who], c.chat(a), strings.TrimPrefix(root, "feishu/"), c.typed(text), files...)
	return feishuAnswered(answers...)
}

// slash says it to the bot, for there are no slash commands. What a command
// without words does, an entry of the bot's menu does.
func (c *feishuChat) slash(a target, text string) error {
	if text == "" {
		return feishuAnswered(c.srv.Menu(c.users[a.who], "open")...)
	}
	_, answers := c.srv.Mention(c.users[a.who], c.chat(a), "", c.typed(text))
	return feishuAnswered(answers...)
}

func (c *feishuChat) press(a target, label, option string) error {
	m, err := c.stage.pressable(c.messages(), a, label)
	if err != nil {
		return err
	}
	return m.press(a.who, label, option)
}

// feishuEmoji are Feishu's names for the emoji of the scripts.
var feishuEmoji = map[string]string{
	"eyes": "OnIt", "white_check_mark": "DONE", "rotating_light": "Alarm", "double_vertical_bar": "OneSecond", "arrow_forward": "GoGoGo",
	"ticket": "Pin", "tada": "PARTY",
}

func (c *feishuChat) react(a target, emoji string, on bool) error {
	ref, err := c.ref(a)
	if err != nil {
		return err
	}
	if name := feishuEmoji[emoji]; name != "" {
		emoji = name
	}
	if on {
		return feishuAnswered(c.srv.React(c.users[a.who], ref, emoji)...)
	}
	return feishuAnswered(c.srv.Unreact(c.users[a.who], ref, emoji)...)
}

func (c *feishuChat) edit(a target, text string) error {
	ref, err := c.ref(a)
	if err != nil {
		return err
	}
	return c.srv.Edit(ref, c.typed(text))
}

func (c *feishuChat) unsay(a target) error {
	ref, err := c.ref(a)
	if err != nil {
		return err
	}
	return feishuAnswered(c.srv.Recall(ref)...)
}

// shortcut answers a message with the word for it: there are no shortcuts for
// messages. Without one it is an entry of the bot's menu.
func (c *feishuChat) shortcut(a target) error {
	if a.quoted == "" {
		return feishuAnswered(c.srv.Menu(c.users[a.who], "open")...)
	}
	ref, err := c.ref(a)
	if err != nil {
		return err
	}
	_, answers := c.srv.Mention(c.users[a.who], c.chat(a), ref, "建单")
	return feishuAnswered(answers...)
}

func (c *feishuChat) member(a target, joins bool) error {
	if joins {
		return feishuAnswered(c.srv.Join(c.users[a.who], c.chat(a), c.users[a.who])...)
	}
	return feishuAnswered(c.srv.Leave(c.users[a.who], c.chat(a))...)
}

func (c *feishuChat) addBot(a target) error {
	return feishuAnswered(c.srv.AddBot(c.chat(a), c.users[a.who])...)
}

// home opens the private chat: nobody has a page of his own.
func (c *feishuChat) home(who string) error { return feishuAnswered(c.srv.Enter(c.users[who])...) }

// fault KIND METHOD [TIMES] [RETRY-AFTER or CODE]: "fault 429 message.patch 1 2".
func (c *feishuChat) fault(verb string, args []string) error {
	n := 1
	number := func(i int, into *int) (err error) {
		if len(args) > i {
			*into, err = strconv.Atoi(args[i])
		}
		return err
	}
	switch verb {
	case "heal":
		c.srv.Heal()
		c.srv.Suspend(0)
		return nil
	case "revoke":
		n = 10014
		if err := number(0, &n); err != nil {
			return err
		}
		c.srv.Suspend(n)
		return nil
	case "double", "drop", "hold":
		if err := number(0, &n); err != nil {
			return err
		}
		map[string]func(int){"double": c.srv.Double, "drop": c.srv.Drop, "hold": c.srv.Hold}[verb](n)
		return nil
	}
	if len(args) < 2 {
		return fmt.Errorf("fault KIND METHOD [TIMES] [RETRY-AFTER or CODE]")
	}
	f := feishutest.Fault{Kind: feishutest.FaultKind(strings.ReplaceAll(args[0], "-", " ")), Method: args[1], Delay: time.Millisecond, Code: 230027}
	if err := number(2, &f.Times); err != nil {
		return err
	}
	if len(args) > 3 {
		f.RetryAfter = args[3]
		if err := number(3, &f.Code); err != nil {
			return err
		}
	}
	c.srv.Fail(f)
	return nil
}

var _ chat = (*feishuChat)(nil)
