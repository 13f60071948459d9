//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/dingtalk/dingtalktest"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/tickets"
)

// dingtalkChat is the emulated DingTalk. In its groups the robot hears only what
// mentions it, so whoever wants something of it there mentions it; the desk's own
// people do not when they talk to each other. There are no slash commands, so
// what would be one is said, and forms are asked in the private chat. A thread is
// a message that is quoted; where the robot is not told which one it was, people
// write the ticket's number.
type dingtalkChat struct {
	stage    *stage
	pre      string
	srv      *dingtalktest.Server
	secret   string
	template bool              // cards are drawn; else they are markdown with numbered choices
	users    map[string]string // id in the cast → DingTalk's
	convs    map[string]string // alias → conversation
	fields   map[string]string // "field:device" → what the form calls it
	opened   int               // connections before the program started last
}

func newDingtalkChat(s *stage, prefix string, template bool) *dingtalkChat {
	secret := strings.ToLower(rand.Text() + rand.Text())[:48]
	c := &dingtalkChat{
		stage: s, pre: prefix, secret: secret, template: template, users: map[string]string{}, convs: map[string]string{},
		srv: dingtalktest.New(dingtalktest.Options{ClientSecret: secret, Now: s.clock.Now}),
	}
	s.t.Cleanup(c.srv.Close)
	for _, p := range cast {
		c.users[p.id] = c.srv.AddUser(dingtalktest.User{Name: p.name})
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

func (c *dingtalkChat) name() string   { return "dingtalk" }
func (c *dingtalkChat) prefix() string { return c.pre }

// configure puts the emulator's ids in the places of the playground's, or, where
// there are several platforms, in those of dingtalk/default/<the playground's id>.
func (c *dingtalkChat) configure(conf string) string {
	from := "dingtalk/default/"
	if c.pre == "" {
		from = "playground/default/"
		if !strings.Contains(conf, "playground:") {
			conf += "\nplayground: off\n"
		}
	}
	var pairs []string
	for id, user := range c.users {
		pairs = append(pairs, from+id, "dingtalk/default/"+user)
	}
	for alias, conv := range c.convs {
		pairs = append(pairs, from+"g-"+alias, "dingtalk/default/"+conv)
	}
	conf = strings.NewReplacer(pairs...).Replace(conf)
	c.fields = fieldNames(c.stage.t, conf)
	conf += fmt.Sprintf("\ndingtalk:\n  default:\n    client_id: %s\n    client_secret: %s\n    api_url: %s\n    oapi_url: %s\n", dingtalktest.ClientID, c.secret, c.srv.APIURL(), c.srv.OAPIURL())
	if c.template {
		conf += "    card_template_id: " + dingtalktest.TemplateID + "\n"
	}
	return conf
}

// connect waits for the program's connection; those of a program that has ended
// are closed, for the emulator may not have noticed yet.
func (c *dingtalkChat) connect(string) {
	ctx, cancel := context.WithTimeout(c.stage.t.Context(), patience)
	defer cancel()
	if err := c.srv.WaitOpened(ctx, c.opened+1); err != nil {
		c.stage.t.Fatalf("no Stream connection: %v\nlog:\n%s", err, c.stage.log.String())
	}
	c.srv.CutFirst(c.opened)
}

func (c *dingtalkChat) disconnect() { c.opened = c.srv.Opened() }

func (c *dingtalkChat) messages() []shown {
	var all []shown
	conv := func(alias, id string) {
		for _, m := range c.srv.Messages(id) {
			if m.Card != "" && len(m.Only) > 0 {
				for _, user := range m.Only {
					all = append(all, c.show(alias, m, c.idOf(user)))
				}
				continue
			}
			all = append(all, c.show(alias, m, ""))
		}
	}
	for _, r := range rooms {
		conv(r.alias, c.convs[r.alias])
	}
	conv("new", c.convs["new"])
	for _, p := range cast {
		conv("dm "+p.name, c.srv.Private(c.users[p.id]))
	}
	return placed(all, c.pre)
}

func (c *dingtalkChat) idOf(user string) string {
	for id, u := range c.users {
		if u == user {
			return id
		}
	}
	return user
}

// show is a message as everybody in its conversation sees it, or as only one
// person does.
func (c *dingtalkChat) show(alias string, m dingtalktest.Message, only string) shown {
	x := shown{key: "dingtalk/" + m.Ref(), conv: alias, only: only, bot: m.User == "", text: m.Text, lines: []string{c.mentions(m.Text)}}
	if only != "" {
		x.key += "/" + only
	}
	switch {
	case !x.bot:
	case m.Card != "":
		viewer := only
		if viewer == "" {
			viewer = c.viewer(alias)
		}
		d, err := c.srv.Draw(c.users[viewer], m.Ref())
		if err != nil {
			x.lines = []string{err.Error()}
			return x
		}
		x.lines, x.labels = drawnLines(d, c.called(m.At)), drawnLabels(d)
		x.press = func(who, label, option string) error {
			a := c.srv.Press(c.users[who], m.Ref(), label)
			if option != "" {
				a = c.srv.Choose(c.users[who], m.Ref(), label, option)
			}
			return dingtalkAnswered(a)
		}
	case len(m.Files) > 0:
		for _, f := range c.srv.Files(m.Conv) {
			if slices.Contains(m.Files, f.ID) {
				x.lines = []string{fmt.Sprintf("📎 %s (%d)", f.Name, len(f.Content))}
			}
		}
	default:
		x.lines = nonEmptyLines(c.mentions(unmarked(headingMark.ReplaceAllString(m.Text, ""))))
		for i := range x.lines {
			x.lines[i] = strings.TrimRight(x.lines[i], " ")
		}
		for _, b := range m.Buttons {
			x.lines = append(x.lines, "["+b.Title+"]")
		}
		if len(x.lines) == 0 {
			x.lines = []string{m.Title}
		}
		x.labels = numberedLabels(x.lines)
		x.press = func(who, label, option string) error { return c.number(alias, m, x.lines, who, label, option) }
	}
	return x
}

// called are the names of people who are mentioned.
func (c *dingtalkChat) called(users []string) string {
	var names []string
	for _, u := range users {
		names = append(names, "@"+nameOf(c.idOf(u)))
	}
	return strings.Join(names, " ")
}

// viewer is somebody who sees what stands in a conversation.
func (c *dingtalkChat) viewer(alias string) string {
	if name, ok := strings.CutPrefix(alias, "dm "); ok {
		return idOf(name)
	}
	for _, r := range rooms {
		if r.alias == alias {
			return r.members[0]
		}
	}
	return "chenzong"
}

func dingtalkAnswered(all ...dingtalktest.Answer) error {
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

// drawnLines says what a card shows, one line after the other, its colour as a dot.
func drawnLines(d dingtalktest.Drawing, at string) []string {
	title := d.Title
	if dot := cards.Tone(d.Tone).Emoji(); dot != "" && !strings.HasPrefix(title, dot) {
		title = dot + " " + title
	}
	out := []string{title}
	add := func(s string) {
		if strings.TrimSpace(s) != "" {
			out = append(out, s)
		}
	}
	add(d.Badges)
	add(at)
	for _, f := range d.Facts {
		add(f.Label + "  " + strings.ReplaceAll(f.Value, "\n", " / "))
	}
	for _, l := range nonEmptyLines(d.Body) {
		add(l)
	}
	for _, r := range d.Rows {
		lines := append(nonEmptyLines(r.Text), nonEmptyLines(r.Detail)...)
		if len(lines) > 0 && len(r.Actions) > 0 {
			lines[len(lines)-1] += " " + drawnButtons(r.Actions)
		}
		out = append(out, lines...)
	}
	buttons := drawnButtons(d.Actions)
	for _, m := range d.Menus {
		buttons += " [" + m.Label + "▾]"
	}
	if len(d.More) > 0 {
		var more []string
		for _, b := range d.More {
			more = append(more, b.Label)
		}
		buttons += " ⋯ " + strings.Join(more, ", ")
	}
	add(strings.TrimPrefix(buttons, " "))
	if d.Note != "" {
		add("(" + strings.ReplaceAll(d.Note, "\n", " ") + ")")
	}
	return out
}

func drawnButtons(list []dingtalktest.Button) string {
	var words []string
	for _, b := range list {
		words = append(words, "["+b.Label+"]")
	}
	return strings.Join(words, " ")
}

func drawnLabels(d dingtalktest.Drawing) []string {
	var out []string
	for _, b := range slices.Concat(d.Actions, d.More) {
		out = append(out, b.Label)
	}
	for _, r := range d.Rows {
		for _, b := range r.Actions {
			out = append(out, b.Label)
		}
	}
	for _, m := range d.Menus {
		out = append(out, m.Label)
	}
	return out
}

// headingMark is what makes a line of markdown a heading.
var headingMark = regexp.MustCompile(`(?m)^#{1,6} `)

// unmarked takes the backslashes out of markdown, as a client does.
func unmarked(s string) string {
	return regexp.MustCompile(`\\([!-/:-@\[-\x60{-~])`).ReplaceAllString(s, "$1")
}

// numberForm finds the line that tells which number stands for what, and how it
// is to be said.
var numberForm = regexp.MustCompile(`(?:#(\d+) ?(?:加数字：|and a number: )|加数字：|回复数字：|a number: )(.+)$`)

// numberedChoices are the labels of numbered choices, in their order, and the ticket's
// number where it has to be said too.
func numberedChoices(lines []string) (choices []string, ticket string) {
	for _, l := range lines {
		m := numberForm.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		for i, part := range strings.Split(m[2], " · ") {
			if label, ok := strings.CutPrefix(strings.TrimSpace(part), fmt.Sprintf("%d ", i+1)); ok {
				choices = append(choices, label)
			}
		}
		return choices, m[1]
	}
	return nil, ""
}

// numberedLabels are what the choices are called: with and without the ticket
// of a list's row before them.
func numberedLabels(lines []string) []string {
	all, _ := numberedChoices(lines)
	for _, c := range slices.Clone(all) {
		if of, label, ok := strings.Cut(c, " "); ok {
			all = append(all, label)
			if !strings.HasPrefix(of, "#") {
				all = append(all, of)
			}
		}
	}
	return all
}

// reading is what a person needs to read what he answers.
const reading = 4 * time.Second

// number says the number of a choice: as the card asks for it, and quoting the
// card when it is not the newest there.
func (c *dingtalkChat) number(alias string, m dingtalktest.Message, lines []string, who, label, option string) error {
	choices, ticket := numberedChoices(lines)
	want := strings.TrimSpace(label + " " + option)
	i := slices.Index(choices, want)
	if i < 0 {
		i = slices.IndexFunc(choices, func(s string) bool { return strings.HasSuffix(s, " "+want) || option != "" && s == option })
	}
	if i < 0 {
		return fmt.Errorf("no number stands for %q; there is %q", want, choices)
	}
	text := fmt.Sprint(i + 1)
	if ticket != "" {
		text = "#" + ticket + " " + text
	}
	quote := ""
	all := slices.DeleteFunc(c.srv.Messages(m.Conv), func(o dingtalktest.Message) bool { return o.User != "" })
	switch {
	case len(all) == 0 || all[len(all)-1].ID == m.ID:
	case m.Key != "":
		quote = m.Ref()
	case strings.HasPrefix(snippet(shown{lines: lines}), "#"): // nobody could tell which message it answers
		text = snippet(shown{lines: lines}) + " " + want
	}
	if !strings.HasPrefix(alias, "dm ") {
		text = "@" + dingtalktest.RobotName + " " + text
	} else if c.stage.now.db != nil {
		c.stage.advance(reading)
	}
	_, answers := c.srv.Say(c.users[who], m.Conv, quote, text)
	if err := dingtalkAnswered(answers...); err != nil || c.stage.now.db == nil {
		return err
	}
	return c.confirm(who, want)
}

// confirm says that he is sure, where a person is asked whether he means it.
func (c *dingtalkChat) confirm(who, label string) error {
	c.stage.settle()
	private := c.srv.Private(c.users[who])
	all := c.srv.Messages(private)
	if len(all) == 0 || all[len(all)-1].User != "" {
		return nil
	}
	last := c.show("dm "+nameOf(who), all[len(all)-1], "")
	if choices, _ := numberedChoices(last.lines); !slices.Equal(choices, []string{label}) || !strings.Contains(last.lines[0], "确定") {
		return nil
	}
	c.stage.advance(reading)
	_, answers := c.srv.Say(c.users[who], private, "", "1")
	return dingtalkAnswered(answers...)
}

// TestNumbersOfChoicesAreRead holds the reader of numbered choices against how
// cards tell them.
func TestNumbersOfChoicesAreRead(t *testing.T) {
	claim := cards.Action{Act: cards.Act{Verb: tickets.VerbClaim}, Label: "接单"}
	other := cards.Action{Act: cards.Act{Verb: tickets.VerbAssign}, Label: "指派"}
	row := cards.Row{Text: "#7 蓝屏了", Actions: []cards.Action{claim}}
	for _, c := range []struct {
		card            cards.Card
		choices, ticket string
		labels          string
	}{
		{cards.Card{Lang: cards.ZH, Title: "#1 蓝屏了", Actions: []cards.Action{claim, other}}, "接单,指派", "", "接单,指派"},
		{cards.Card{Lang: cards.ZH, Title: "#1 蓝屏了", Ticket: "t1", Shared: true, Actions: []cards.Action{claim, other}}, "接单,指派", "1", "接单,指派"},
		{cards.Card{Lang: cards.EN, Title: "#1 Blue", Ticket: "t1", Shared: true, Actions: []cards.Action{claim}}, "接单", "1", "接单"},
		{cards.Card{Lang: cards.EN, Title: "#1 Blue", Actions: []cards.Action{claim}}, "接单", "", "接单"},
		{cards.Card{Lang: cards.ZH, Title: "待接", Shared: true, Rows: []cards.Row{row}}, "#7 接单", "", "#7 接单,接单"},
		{cards.Card{Lang: cards.ZH, Title: "没有"}, "", "", ""},
	} {
		text, _ := cards.Numbered(c.card)
		lines := nonEmptyLines(text)
		choices, ticket := numberedChoices(lines)
		if strings.Join(choices, ",") != c.choices || ticket != c.ticket || strings.Join(numberedLabels(lines), ",") != c.labels {
			t.Errorf("%q: %q of %q, called %q", text, choices, ticket, numberedLabels(lines))
		}
	}
}

// TestDingtalkChatSpeaks plays both ends: the program is a hook here that only listens.
func TestDingtalkChatSpeaks(t *testing.T) {
	s := &stage{t: t, clock: clock.Hold(opening), files: map[string][]byte{"a.png": []byte("png")}}
	c := newDingtalkChat(s, "", false)
	var mu sync.Mutex // guards heard
	var heard []string
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct {
			Text                    struct{ Content string }
			Msgtype, OriginalMsgID  string
			SenderNick              string
			OriginalProcessQueryKey string
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, m.SenderNick+":"+m.Text.Content+":"+m.Msgtype+fmt.Sprint(m.OriginalProcessQueryKey != ""))
	}))
	defer hook.Close()
	c.srv.Deliver(hook.URL)
	post := func(path string, header http.Header, body any) map[string]any {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), "POST", c.srv.APIURL()+path, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	token := post("/v1.0/oauth2/accessToken", http.Header{}, map[string]string{"appKey": dingtalktest.ClientID, "appSecret": c.secret})["accessToken"]
	for _, title := range []string{"#1 蓝屏了", "#2 黑屏了"} {
		text, _ := cards.Numbered(cards.Card{Lang: cards.ZH, Title: title, Ticket: "t", Shared: true, Note: title, Actions: []cards.Action{{Act: cards.Act{Verb: tickets.VerbClaim}, Label: "接单"}, {Act: cards.Act{Verb: tickets.VerbAssign}, Label: "指派"}}})
		param, err := json.Marshal(map[string]string{"title": title, "text": text})
		if err != nil {
			t.Fatal(err)
		}
		if out := post("/v1.0/robot/groupMessages/send", http.Header{"X-Acs-Dingtalk-Access-Token": {fmt.Sprint(token)}}, map[string]string{"robotCode": dingtalktest.ClientID, "openConversationId": c.convs["desk"], "msgKey": "sampleMarkdown", "msgParam": string(param)}); out["processQueryKey"] == nil {
			t.Fatal(out)
		}
	}
	at := func(who, conv, number string) target { return target{chat: c, who: who, conv: conv, number: number} }
	for i, err := range []error{
		c.say(at("wangfang", "east", ""), "打印机坏了", nil),
		c.say(at("wangfang", "dm", ""), "在吗", nil),
		c.say(at("wangfang", "east", ""), "", []string{"a.png"}),
		c.press(at("lisi", "desk", "#2"), "指派", ""),
		c.press(at("lisi", "desk", "#1"), "接单", ""),
		c.slash(at("wangfang", "east", ""), "我的"),
		c.say(at("wangwu", "desk", "#1"), "@派单 解决", nil),
	} {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	want := []string{"王芳: 打印机坏了:textfalse", "王芳:在吗:textfalse", "王芳::richTextfalse", "李四: #2 2:textfalse", "李四: #1 1:texttrue", "王芳: 我的:textfalse", "王五: 解决:texttrue"}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
	if err := c.press(at("lisi", "desk", "#1"), "退回", ""); err == nil { // so nothing is sent
		t.Error("pressed what is not there")
	}
	http.DefaultClient.CloseIdleConnections()
}

// mentions shows ids of people as their names.
func (c *dingtalkChat) mentions(s string) string {
	for id, user := range c.users {
		s = strings.ReplaceAll(s, "@"+user, "@"+nameOf(id))
	}
	return s
}

func (c *dingtalkChat) form(string) ([]string, bool) { return nil, false }

func (c *dingtalkChat) conv(a target) string {
	if a.conv == "dm" {
		return c.srv.Private(c.users[a.who])
	}
	return c.convs[a.conv]
}

// typed is text as a person types it: in a group it mentions the robot.
func (c *dingtalkChat) typed(a target, text string) string {
	me := "@" + dingtalktest.RobotName
	for _, b := range []string{"@派单", "@Paidan"} {
		text = strings.ReplaceAll(text, b, me)
	}
	colleagues := a.number == "" && a.quoted == "" && !slices.Contains([]string{"wangfang", "ann"}, a.who) // talk to each other
	if a.conv != "dm" && text != "" && !strings.Contains(text, me) && !colleagues {
		text = me + " " + text
	}
	return text
}

func (c *dingtalkChat) say(a target, text string, names []string) error {
	root, err := thread(c.messages(), a)
	if err != nil {
		return err
	}
	if m, ok := c.srv.Message(dingtalkRef(root)); ok && m.User == "" && m.Key == "" && a.number != "" {
		me := "@" + dingtalktest.RobotName
		root, text = "", me+" "+a.number+" "+strings.TrimSpace(strings.TrimPrefix(c.typed(a, text), me))
	}
	var files []string
	for _, n := range names {
		kind := "file"
		if slices.Contains([]string{".png", ".jpg", ".jpeg", ".gif"}, path.Ext(n)) {
			kind = "picture"
			if text == "" && a.conv != "dm" {
				text = "@" + dingtalktest.RobotName // or it is not heard
			}
		}
		files = append(files, c.srv.AddFile(dingtalktest.File{Name: n, Kind: kind, Content: c.stage.files[n]}))
	}
	_, answers := c.srv.Say(c.users[a.who], c.conv(a), dingtalkRef(root), c.typed(a, text), files...)
	return dingtalkAnswered(answers...)
}

// dingtalkRef is the emulator's name for a message that is shown.
func dingtalkRef(key string) string {
	ref := strings.TrimPrefix(key, "dingtalk/")
	if parts := strings.Split(ref, "/"); len(parts) == 3 {
		ref = parts[0] + "/" + parts[1] // shown to one person
	}
	return ref
}

// slash says what would be a command; one without words opens a form.
func (c *dingtalkChat) slash(a target, text string) error {
	if text == "" {
		text = "建单"
	}
	return c.say(a, "@"+dingtalktest.RobotName+" "+text, nil)
}

// press presses what the person sees; a button beside a fact is called by both.
// What has no number, he says.
func (c *dingtalkChat) press(a target, label, option string) error {
	all := c.messages()
	if a.quoted != "" {
		beside := a
		beside.quoted = ""
		if m, err := c.stage.reachable(all, beside, a.quoted+" "+label); err == nil {
			return m.press(a.who, a.quoted+" "+label, option)
		}
	}
	m, err := c.stage.reachable(all, a, label)
	switch {
	case err == nil:
		return m.press(a.who, label, option)
	case c.template || a.number == "":
		return err
	}
	return c.say(a, strings.TrimSpace(label+" "+option), nil)
}

// shortcut quotes a message with the word for it: there are no shortcuts.
func (c *dingtalkChat) shortcut(a target) error { return c.say(a, "建单", nil) }

func (c *dingtalkChat) unsay(a target) error {
	m, err := find(c.messages(), a, func(m shown) bool { return m.only == "" && !m.bot })
	if err != nil {
		return err
	}
	return c.srv.Recall(dingtalkRef(m.key))
}

func (c *dingtalkChat) member(a target, joins bool) error {
	if joins {
		return c.srv.Join(c.users[a.who], c.conv(a))
	}
	return c.srv.Leave(c.users[a.who], c.conv(a))
}

func (c *dingtalkChat) addBot(a target) error { return c.srv.Join("", c.conv(a)) }

// fill answers what the person is asked in private. With change it answers as
// far as it has values, and does not submit.
func (c *dingtalkChat) fill(who string, change bool, values map[string]string) error {
	user := c.users[who]
	private := c.srv.Private(user)
	last := func() string {
		all := slices.DeleteFunc(c.srv.Messages(private), func(m dingtalktest.Message) bool { return m.User != "" })
		if len(all) == 0 {
			return ""
		}
		return strings.Join(c.show("dm "+nameOf(who), all[len(all)-1], "").lines, "\n")
	}
	say := func(text string) error {
		_, answers := c.srv.Say(user, private, "", text)
		c.stage.settle()
		return dingtalkAnswered(answers...)
	}
	// Nobody is mentioned in a private chat: people are told by their names.
	account := func(name string) string { return name }
	return answerQuestions(values, c.fields, account, !change, last, say)
}

// What DingTalk does not have, or does not tell a robot.
func (c *dingtalkChat) react(target, string, bool) error { return fmt.Errorf("reactions are not told") }
func (c *dingtalkChat) edit(target, string) error        { return fmt.Errorf("messages cannot be edited") }
func (c *dingtalkChat) home(string) error                { return fmt.Errorf("there is no page of one's own") }

// fault KIND METHOD [TIMES] [CODE]: "fault refused card/instances/update 1 system.busy".
func (c *dingtalkChat) fault(verb string, args []string) error {
	n := 1
	switch verb {
	case "heal":
		c.srv.Heal()
		c.srv.Revoke(false)
		return nil
	case "revoke":
		c.srv.Revoke(true)
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
	if len(args) < 2 {
		return fmt.Errorf("which fault of which method?")
	}
	f := dingtalktest.Fault{Kind: dingtalktest.FaultKind(strings.ReplaceAll(args[0], "-", " ")), Method: args[1], Delay: time.Millisecond, Code: "system.busy"}
	if len(args) > 2 {
		if _, err := fmt.Sscan(args[2], &f.Times); err != nil {
			return err
		}
	}
	if len(args) > 3 {
		f.Code = args[3]
	}
	c.srv.Fail(f)
	return nil
}

var _ chat = (*dingtalkChat)(nil)
