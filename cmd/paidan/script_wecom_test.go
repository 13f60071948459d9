//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/cards"
)

// wecomChat is the emulated WeCom. The groups are those of the smart robot, which
// hears only what mentions it; a private chat is the one with the self-built app.
// There are no slash commands, so what would be one is said, and no forms: they
// are asked in the private chat. A thread is a message that is quoted; the app is
// told of no quotes, so there a person writes the ticket's number. Where there is
// the robot alone, private chats are with it.
type wecomChat struct {
	stage      *stage
	pre        string
	app        bool // there is a self-built app
	srv        *wecomtest.Server
	opt        wecomtest.Options
	users      map[string]string // id in the cast → userid
	convs      map[string]string // alias → chatid
	fields     map[string]string // "field:device" → what the form calls it
	subscribed int               // connections before the program started last
	frames     int               // callbacks over them
}

func newWecomChat(s *stage, prefix string, app bool) *wecomChat {
	// As the platform makes them; published ones are refused.
	opt := wecomtest.Options{
		Secret: rand.Text() + rand.Text()[:17], Token: rand.Text(), AESKey: (rand.Text() + rand.Text())[:43], RobotSecret: rand.Text() + rand.Text()[:17],
	}
	c := &wecomChat{stage: s, pre: prefix, app: app, opt: opt, srv: wecomtest.New(opt), users: map[string]string{}, convs: map[string]string{}, fields: map[string]string{}}
	s.t.Cleanup(c.srv.Close)
	for _, p := range cast {
		c.users[p.id] = c.srv.AddUser(wecomtest.User{ID: "u" + p.id, Name: p.name})
		if !app {
			c.srv.Talked(wecomtest.RobotChat(c.users[p.id])) // as in the groups below
		}
	}
	for _, r := range rooms {
		var members []string
		for _, m := range r.members {
			members = append(members, c.users[m])
		}
		c.convs[r.alias] = c.srv.AddGroup(r.name, members...)
		c.srv.Talked(c.convs[r.alias]) // long before: else the robot might not write there
	}
	c.convs["new"] = c.srv.AddGroup("新群", c.users["chenzong"], c.users["wangfang"])
	c.srv.ChangeGroup(c.convs["new"], func(g *wecomtest.Group) { g.Gone = true })
	return c
}

func (c *wecomChat) name() string   { return "wecom" }
func (c *wecomChat) prefix() string { return c.pre }

// configure puts the emulator's ids in the places of the playground's, or, where
// there are several platforms, in those of wecom/default/<the playground's id>.
func (c *wecomChat) configure(conf string) string {
	from := "wecom/default/"
	if c.pre == "" {
		from = "playground/default/"
		if !strings.Contains(conf, "playground:") {
			conf += "\nplayground: off\n"
		}
	}
	var pairs []string
	for id, user := range c.users {
		pairs = append(pairs, from+id, "wecom/default/"+user)
	}
	for alias, conv := range c.convs {
		pairs = append(pairs, from+"g-"+alias, "wecom/default/"+conv)
	}
	conf = strings.NewReplacer(pairs...).Replace(conf)
	c.fields = fieldNames(c.stage.t, conf)
	conf += fmt.Sprintf("\nwecom:\n  default:\n    api_url: %s\n    robot:\n      id: %s\n      secret: %s\n      ws_url: %s\n", c.srv.APIURL(), wecomtest.Robot, c.opt.RobotSecret, c.srv.WSURL())
	if c.app {
		conf += fmt.Sprintf("    corp_id: %s\n    agent_id: %d\n    secret: %s\n    token: %s\n    encoding_aes_key: %s\n", wecomtest.Corp, wecomtest.Agent, c.opt.Secret, c.opt.Token, c.opt.AESKey)
	}
	return conf
}

// fieldNames finds what the fields of the types are called: by the names that
// forms have for them.
func fieldNames(t *testing.T, conf string) map[string]string {
	var tree any
	if err := yaml.Unmarshal([]byte(conf), &tree); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			key, _ := v["key"].(string)
			if label, ok := v["label"].(string); ok && key != "" {
				names[cards.InField+key] = label
			}
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(tree)
	return names
}

// connect does what an administrator does, who saves the address, and waits for
// the robot's connection.
func (c *wecomChat) connect(url string) {
	if c.app {
		c.srv.Deliver(url + "/hooks/wecom/default")
		if err := wecomAnswered(c.srv.VerifyURL()); err != nil {
			c.stage.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(c.stage.t.Context(), patience)
	defer cancel()
	if err := c.srv.Await(ctx, func() bool { return c.srv.Subscriptions() > c.subscribed && c.srv.Connected() }); err != nil {
		c.stage.t.Fatalf("the robot does not connect: %v\nlog:\n%s", err, c.stage.log.String())
	}
}

func (c *wecomChat) disconnect() { c.subscribed, c.frames = c.srv.Subscriptions(), c.srv.Frames() }

// taken waits until the program is through with all that the robot was told: over
// its connection nobody acknowledges that. The program counts it.
func (c *wecomChat) taken(a wecomtest.Answer) error {
	if err := wecomAnswered(a); err != nil {
		return err
	}
	deadline := time.After(patience)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		n, err := c.counted()
		if err != nil {
			return err
		}
		if n >= c.srv.Frames()-c.frames {
			return nil
		}
		select {
		case <-again.C:
		case <-deadline:
			return fmt.Errorf("of %d callbacks only %d were dealt with", c.srv.Frames()-c.frames, n)
		}
	}
}

// counted is how many callbacks to the robot the program has dealt with.
func (c *wecomChat) counted() (int, error) {
	families, err := c.stage.now.metrics.Gather()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, f := range families {
		if f.GetName() != "paidan_inbound_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "kind" && strings.HasPrefix(l.GetValue(), "robot_") {
					n += int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return n, nil
}

func (c *wecomChat) messages() []shown {
	var all []shown
	conv := func(alias, id, viewer string) {
		for _, m := range c.srv.Messages(id) {
			all = append(all, c.show(alias, m, viewer))
		}
	}
	for _, r := range rooms {
		conv(r.alias, c.convs[r.alias], "")
	}
	conv("new", c.convs["new"], "")
	for _, p := range cast {
		conv("dm "+p.name, wecomtest.AppChat(c.users[p.id]), c.users[p.id])
		conv("dm "+p.name, wecomtest.RobotChat(c.users[p.id]), c.users[p.id])
	}
	return placed(all, c.pre)
}

// show is a message as a viewer sees it, or as all who were shown no other do.
func (c *wecomChat) show(alias string, m wecomtest.Message, viewer string) shown {
	x := shown{key: "wecom/" + m.Ref(), conv: alias, bot: m.From == "", text: m.Text, lines: []string{m.Text}}
	if !x.bot {
		return x
	}
	switch card := m.CardFor(viewer); {
	case card != nil:
		x.lines, x.labels = wecomCard(card)
		x.press = func(who, label, option string) error { return c.pressCard(c.users[who], m.Ref(), card, label, option) }
	case m.File != "":
		for _, f := range c.srv.Files(m.Conv) {
			if f.ID == m.File {
				x.lines = []string{fmt.Sprintf("📎 %s (%d)", f.Name, len(f.Content))}
			}
		}
	default:
		text := c.mentions(m.Text)
		if m.Type != "text" {
			text = unmarked(text)
		}
		if x.lines = nonEmptyLines(text); len(x.lines) == 0 {
			x.lines = []string{m.Type}
		}
		x.labels = numberedLabels(x.lines)
		x.press = func(who, label, option string) error { return c.number(alias, m, x.lines, who, label, option) }
	}
	return x
}

// mentions shows ids of people as their names.
func (c *wecomChat) mentions(s string) string {
	for id, user := range c.users {
		s = strings.ReplaceAll(s, "<@"+user+">", "@"+nameOf(id))
	}
	return s
}

type wecomList struct {
	Key     string `json:"question_key"`
	Title   string `json:"title"`
	Options []struct {
		ID   string `json:"id"`
		Text string `json:"text"`
	} `json:"option_list"`
}

type wecomTemplate struct {
	Source     struct{ Desc string }
	Title      struct{ Title, Desc string }      `json:"main_title"`
	Emphasis   struct{ Title, Desc string }      `json:"emphasis_content"`
	Text       string                            `json:"sub_title_text"`
	Horizontal []struct{ Keyname, Value string } `json:"horizontal_content_list"`
	Vertical   []struct{ Title, Desc string }    `json:"vertical_content_list"`
	Quote      struct {
		Title string
		Text  string `json:"quote_text"`
	} `json:"quote_area"`
	Jumps   []struct{ Title string } `json:"jump_list"`
	Buttons []struct {
		Text, Key string
		Type      int
	} `json:"button_list"`
	Selection *wecomList                  `json:"button_selection"`
	Box       *wecomList                  `json:"checkbox"`
	Lists     []wecomList                 `json:"select_list"`
	Submit    *struct{ Text, Key string } `json:"submit_button"`
	Replaced  string                      `json:"replace_text"`
	Menu      struct {
		List []struct{ Text, Key string } `json:"action_list"`
	} `json:"action_menu"`
}

func (t wecomTemplate) lists() []wecomList {
	var out []wecomList
	for _, l := range []*wecomList{t.Selection, t.Box} {
		if l != nil {
			out = append(out, *l)
		}
	}
	return append(out, t.Lists...)
}

// wecomCard says what a card shows, one line after the other, and what on it can
// be pressed or chosen.
func wecomCard(raw json.RawMessage) (lines, labels []string) {
	var t wecomTemplate
	if err := json.Unmarshal(raw, &t); err != nil {
		return []string{err.Error()}, nil
	}
	add := func(s string) {
		if strings.TrimSpace(s) != "" {
			lines = append(lines, strings.ReplaceAll(strings.TrimSpace(s), "\n", " / "))
		}
	}
	add(t.Title.Title)
	add(t.Title.Desc)
	add(t.Source.Desc)
	add(t.Emphasis.Title + " " + t.Emphasis.Desc)
	for _, l := range nonEmptyLines(t.Text) {
		add(l)
	}
	for _, h := range t.Horizontal {
		add(h.Keyname + "  " + h.Value)
	}
	for _, v := range t.Vertical {
		add(v.Title + "  " + v.Desc)
	}
	add(t.Quote.Title)
	for _, l := range nonEmptyLines(t.Quote.Text) {
		add("> " + l)
	}
	if len(lines) == 0 {
		lines = []string{"(empty)"}
	}
	var words []string
	press := func(s string) { words, labels = append(words, "["+s+"]"), append(labels, s) }
	if t.Replaced != "" {
		words = append(words, "("+t.Replaced+")")
	} else {
		for _, b := range t.Buttons {
			press(b.Text)
		}
	}
	for _, l := range t.lists() {
		var names []string
		for _, o := range l.Options {
			names = append(names, o.Text)
			labels = append(labels, o.Text)
		}
		labels = append(labels, l.Title)
		words = append(words, "["+l.Title+"▾ "+strings.Join(names, ", ")+"]")
	}
	if t.Submit != nil && t.Replaced == "" {
		press(t.Submit.Text)
	}
	for _, j := range t.Jumps {
		press(j.Title)
	}
	line := strings.Join(words, " ")
	for i, m := range t.Menu.List {
		labels = append(labels, m.Text)
		line += map[bool]string{true: " ⋯ ", false: ", "}[i == 0] + m.Text
	}
	add(line)
	return lines, labels
}

// pressCard presses a button, or chooses from a list and presses the button that
// goes with it: the one that submits, the one that is called as the list is, or
// the last one.
func (c *wecomChat) pressCard(user, ref string, raw json.RawMessage, label, option string) error {
	var t wecomTemplate
	if err := json.Unmarshal(raw, &t); err != nil {
		return err
	}
	list := label
	if option == "" {
		if slices.Contains(wecomtest.ButtonLabels(raw), label) {
			return c.taken(c.srv.Press(user, ref, label))
		}
		list, option = "", label
	}
	if err := c.srv.Choose(user, ref, list, option); err != nil {
		return err
	}
	if t.Submit != nil {
		return c.taken(c.srv.Press(user, ref, t.Submit.Key))
	}
	for _, b := range t.Buttons {
		if t.Selection != nil && b.Text == t.Selection.Title {
			return c.taken(c.srv.Press(user, ref, b.Key))
		}
	}
	for _, b := range slices.Backward(t.Buttons) {
		if b.Type == 0 {
			return c.taken(c.srv.Press(user, ref, b.Key))
		}
	}
	return fmt.Errorf("no button goes with the list %q", label)
}

// number says the number of a choice: as the text asks for it, and in a group
// quoting the text when it is not the newest there.
func (c *wecomChat) number(alias string, m wecomtest.Message, lines []string, who, label, option string) error {
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
	if strings.HasPrefix(m.Conv, "app:") {
		_, a := c.srv.Say(c.users[who], text)
		return wecomAnswered(a)
	}
	said := wecomtest.Said{Conv: m.Conv, Text: text}
	if !strings.HasPrefix(alias, "dm ") {
		said.Text = "@" + wecomtest.RobotName + " " + text
	}
	all := slices.DeleteFunc(c.srv.Messages(m.Conv), func(o wecomtest.Message) bool { return o.From != "" })
	if len(all) > 0 && all[len(all)-1].ID != m.ID {
		said.Quote = m.Ref()
	}
	_, a := c.srv.SayRobot(c.users[who], said)
	return c.taken(a)
}

// wecomAnswered fails when WeCom was not told "received", or could make nothing
// of the reply.
func wecomAnswered(a wecomtest.Answer) error {
	if a.Err != nil {
		return fmt.Errorf("%s: %w", a.Kind, a.Err)
	}
	if !a.OK() {
		return fmt.Errorf("%s: status %d", a.Kind, a.Status)
	}
	return nil
}

func (c *wecomChat) form(string) ([]string, bool) { return nil, false }

// typed is text as a person types it: in a group it mentions the robot.
func (c *wecomChat) typed(a target, text string) string {
	me := "@" + wecomtest.RobotName
	for _, b := range []string{"@工单", "@Paidan"} {
		text = strings.ReplaceAll(text, b, me)
	}
	if a.conv != "dm" && !strings.Contains(text, me) {
		text = strings.TrimSpace(me + " " + text)
	}
	for id, user := range c.users {
		if !c.app { // people are known by their ids alone
			text = strings.ReplaceAll(text, "@"+nameOf(id), "@"+user)
		}
	}
	return text
}

func (c *wecomChat) say(a target, text string, names []string) error {
	root, err := thread(c.messages(), a)
	if err != nil {
		return err
	}
	user := c.users[a.who]
	if a.conv != "dm" || !c.app {
		said := wecomtest.Said{Conv: c.convs[a.conv], Text: c.typed(a, text), Quote: strings.TrimPrefix(root, "wecom/")}
		if a.conv == "dm" {
			said.Conv = wecomtest.RobotChat(user)
		}
		for _, n := range names {
			said.Files = append(said.Files, c.srv.AddFile(wecomtest.File{Name: n, Type: wecomKind(n), Content: c.stage.files[n]}))
		}
		_, answer := c.srv.SayRobot(user, said)
		return c.taken(answer)
	}
	for _, n := range names {
		if wecomKind(n) != "image" {
			return fmt.Errorf("an app is sent pictures, and no %s", path.Ext(n))
		}
		if _, answer := c.srv.SendPicture(user, n, c.stage.files[n]); !answer.OK() {
			return wecomAnswered(answer)
		}
	}
	if text == "" {
		return nil
	}
	if a.number != "" && !strings.Contains(text, a.number) {
		text = a.number + " " + text
	}
	_, answer := c.srv.Say(user, c.typed(a, text))
	return wecomAnswered(answer)
}

func wecomKind(name string) string {
	if slices.Contains([]string{".png", ".jpg", ".jpeg"}, path.Ext(name)) {
		return "image"
	}
	return "file"
}

// slash says what would be a command; one without words opens a form.
func (c *wecomChat) slash(a target, text string) error {
	if text == "" {
		text = "建单"
	}
	return c.say(a, text, nil)
}

// press presses what the person was just told in private, for there is no other
// way to show him alone something in a group, else what stands where he is, else
// what he was told in private before.
func (c *wecomChat) press(a target, label, option string) error {
	m, err := c.stage.reachable(c.messages(), a, label)
	if err == nil {
		return m.press(a.who, label, option)
	}
	if a.number == "" {
		return err
	}
	if err := c.say(target{chat: c, who: a.who, conv: a.conv}, strings.TrimSpace(label+" "+a.number+" "+option), nil); err != nil {
		return err
	}
	c.stage.settle()
	// Where more is needed than the word, the button is shown him in private.
	m, err = find(c.messages(), target{who: a.who, conv: "dm"}, func(m shown) bool {
		_, old := c.stage.seen[m.key]
		return m.press != nil && slices.Contains(m.labels, label) && !old && strings.HasSuffix(m.lines[len(m.lines)-1], "["+label+"]")
	})
	if err != nil {
		return nil // the word was enough
	}
	return m.press(a.who, label, option)
}

// fill answers what the person is asked in private. With change it answers as
// far as it has values, and does not submit.
func (c *wecomChat) fill(who string, change bool, values map[string]string) error {
	user := c.users[who]
	last := func() string {
		conv := wecomtest.AppChat(user)
		if !c.app {
			conv = wecomtest.RobotChat(user)
		}
		all := slices.DeleteFunc(c.srv.Messages(conv), func(m wecomtest.Message) bool { return m.From != "" })
		if len(all) == 0 {
			return ""
		}
		m := all[len(all)-1]
		if card := m.CardFor(user); card != nil {
			lines, _ := wecomCard(card)
			return strings.Join(lines, "\n")
		}
		return strings.ReplaceAll(m.Text, "│ ", "") // as the robot marks what belongs together
	}
	say := func(text string) error {
		err := c.say(target{chat: c, who: who, conv: "dm"}, text, nil)
		c.stage.settle()
		return err
	}
	// Somebody whom the program does not know by name yet is told by his account.
	account := func(name string) string { return c.users[idOf(name)] }
	return answerQuestions(values, c.fields, account, !change, last, say)
}

// questionNames are what forms call their inputs: the question is known by it.
var questionNames = map[string][]string{
	cards.InTitle: {"标题", "Title", "遇到了什么问题", "What is wrong"}, cards.InText: {"内容", "描述", "处理说明", "问题", "回答", "Text", "Description", "What was done", "Question", "Answer"},
	cards.InType: {"类型", "Type"}, cards.InPriority: {"优先级", "Priority"}, cards.InFor: {"提出人", "Requester"}, cards.InCause: {"原因分类", "原因", "Cause"},
	cards.InNotify: {"通知客户", "Tell the customer"}, cards.InPerson: {"处理人", "协办人", "或直接交给", "Owner", "Expert", "Or directly to"},
	cards.InReason: {"原因", "说明", "Reason"}, cards.InUntil: {"挂起到", "Hold until"}, cards.InTime: {"指定时间", "Set time"},
	cards.InWithin: {"多久内答复", "Answer within"}, cards.InTeam: {"升级到", "Escalate to"}, cards.InNumber: {"工单号", "Ticket number"},
	cards.InAdd: {"添加标签", "Add tags"}, cards.InRemove: {"移除标签", "Remove tag"},
}

var (
	askedForm = regexp.MustCompile(`(?m)^\s*(?:> )?(.+?)[？?]`)
	itemForm  = regexp.MustCompile(`(?m)^\s*(?:> )?(\d{1,2}) (.+?)(?:[：:].*)?(?: ?[（(][^（(]*[）)])?\s*$`)
	onlyForm  = regexp.MustCompile(`还有要补充的「(.+)」吗|Anything to add as “(.+)”`)
	restForm  = regexp.MustCompile(`还可以补充：|You can still add:`)
)

// answerQuestions has a person fill in a form that is asked in a chat: last is
// what he was told last, say answers it. fields are what inputs are called that
// only the configuration knows, account tells a person's account by his name.
// Without submit he stops when his values are said.
func answerQuestions(values, fields map[string]string, account func(name string) string, submit bool, last func() string, say func(string) error) error {
	left := map[string]string{}
	for name, v := range values {
		if who, ok := strings.CutPrefix(v, "@"); ok {
			v = account(who)
		}
		if name == cards.InTime {
			v = strings.Replace(v, "T", " ", 1)
		}
		left[name] = v
	}
	// take finds the value of what a question calls label.
	take := func(label string) string {
		for name, v := range left {
			if known := append(slices.Clone(questionNames[name]), fields[name]); label != "" && slices.Contains(known, label) {
				delete(left, name)
				return v
			}
		}
		return ""
	}
	asked, said := "", false
	for asks(last()) && (submit || len(left) > 0) {
		q := last()
		if q == asked {
			return fmt.Errorf("the same is asked again: %q", q)
		}
		asked = q
		text := answerTo(q, submit, take)
		if text == "" && said {
			return nil // what was said is refused, and he has nothing better
		}
		if text == "" {
			return fmt.Errorf("nothing is said to %q", nonEmptyLines(q)[1:])
		}
		if err := say(text); err != nil {
			return err
		}
		said = true
	}
	if asked == "" {
		return fmt.Errorf("no form is open")
	}
	return nil // what is left was said before, to the same form
}

// answerTo is what a person says to a question.
func answerTo(q string, submit bool, take func(label string) string) string {
	if m := onlyForm.FindStringSubmatch(q); m != nil {
		if v := take(m[1] + m[2]); v != "" || !submit {
			return v
		}
		return "好"
	}
	if at := restForm.FindStringIndex(q); at != nil {
		var lines []string
		for _, m := range itemForm.FindAllStringSubmatch(q[at[1]:], -1) {
			if v := take(m[2]); v != "" {
				lines = append(lines, m[1]+" "+v)
			}
		}
		if submit {
			lines = append(lines, "好")
		}
		return strings.Join(lines, "\n")
	}
	for _, m := range askedForm.FindAllStringSubmatch(q, -1) {
		if v := take(m[1]); v != "" {
			return v
		}
	}
	return ""
}

// asks reports whether a message is a question of a form: it tells how to give it up.
func asks(q string) bool {
	return strings.Contains(q, "回复「取消」退出") || strings.Contains(q, "Reply “cancel” to stop")
}

// TestQuestionsAreAnswered holds the one who fills in forms against how they are asked.
func TestQuestionsAreAnswered(t *testing.T) {
	title := cards.Input{Name: cards.InTitle, Label: "标题", Kind: cards.InputLine, Required: true}
	person := cards.Input{Name: cards.InPerson, Label: "处理人", Kind: cards.InputPerson, Required: true}
	device := cards.Input{Name: "field:device", Label: "设备", Kind: cards.InputLine, Required: true, Hint: "资产编号或型号"}
	priority := cards.Input{Name: cards.InPriority, Label: "优先级", Kind: cards.InputChoice, Options: []cards.Option{{Label: "P1 紧急", Value: "P1"}, {Label: "P3 普通", Value: "P3"}}}
	body := cards.Input{Name: cards.InText, Label: "描述", Kind: cards.InputText}
	rest := func(list ...cards.Input) cards.Card {
		var all []cards.Item
		for _, in := range list {
			shown := ""
			if in.Name == cards.InPriority {
				shown = "P3 普通"
			}
			all = append(all, cards.Item{Input: in, Shown: shown})
		}
		return cards.AskRest(cards.Question{Title: "建工单"}, []cards.Fact{{Label: "标题", Value: "3 楼蓝屏？"}}, all, cards.ZH)
	}
	for _, c := range []struct {
		name   string
		values map[string]string
		submit bool
		asked  []cards.Card
		want   []string
		err    string
	}{
		{"all", map[string]string{cards.InTitle: "蓝屏", "field:device": "PC-7", cards.InPriority: "P1"}, true,
			[]cards.Card{cards.Ask(cards.Question{Title: "建工单", Input: title, New: true}, cards.ZH), cards.Ask(cards.Question{Title: "建工单", Input: device}, cards.ZH), rest(priority, body)},
			[]string{"蓝屏", "PC-7", "1 P1\n好"}, ""},
		{"somebody", map[string]string{cards.InPerson: "@王五"}, true, []cards.Card{cards.Ask(cards.Question{Input: person}, cards.ZH)}, []string{"u-王五"}, ""},
		{"nothing of the rest", map[string]string{cards.InTitle: "蓝屏"}, true, []cards.Card{cards.Ask(cards.Question{Input: title}, cards.EN), rest(priority, body)}, []string{"蓝屏", "好"}, ""},
		{"one text is left", map[string]string{cards.InText: "昨天起"}, true, []cards.Card{rest(body)}, []string{"昨天起"}, ""},
		{"a choice only", map[string]string{cards.InPriority: "P1"}, false, []cards.Card{rest(priority, body), rest(priority, body)}, []string{"1 P1"}, ""},
		{"no form", map[string]string{cards.InText: "x"}, true, nil, nil, "no form is open"},
		{"nothing to say", map[string]string{}, true, []cards.Card{cards.Ask(cards.Question{Input: title}, cards.ZH)}, nil, "nothing is said"},
		{"a form is gone on with", map[string]string{cards.InText: "x", cards.InTitle: "蓝屏"}, true, []cards.Card{rest(body)}, []string{"x"}, ""},
	} {
		var got []string
		last := func() string {
			if len(got) >= len(c.asked) {
				return "好了"
			}
			text, _ := cards.Numbered(c.asked[len(got)])
			return text
		}
		err := answerQuestions(c.values, map[string]string{"field:device": "设备"}, func(name string) string { return "u-" + name }, c.submit, last, func(s string) error { got = append(got, s); return nil })
		if !slices.Equal(got, c.want) || fmt.Sprint(err) != "<nil>" && c.err == "" || c.err != "" && !strings.Contains(fmt.Sprint(err), c.err) {
			t.Errorf("%s: said %q, %v; want %q, %q", c.name, got, err, c.want, c.err)
		}
	}
}

func (c *wecomChat) member(a target, joins bool) error {
	c.srv.ChangeGroup(c.convs[a.conv], func(g *wecomtest.Group) {
		g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(m string) bool { return m == c.users[a.who] })
		if joins {
			g.Members = append(g.Members, c.users[a.who])
		}
	})
	return nil // nobody tells the robot
}

// addBot puts the robot into a group; nobody tells it so.
func (c *wecomChat) addBot(a target) error {
	c.srv.ChangeGroup(c.convs[a.conv], func(g *wecomtest.Group) { g.Gone = false })
	return nil
}

func (c *wecomChat) home(who string) error {
	if !c.app {
		return c.taken(c.srv.EnterRobot(c.users[who]))
	}
	return wecomAnswered(c.srv.Enter(c.users[who]))
}

// What WeCom does not have, or tells neither an app nor a robot.
func (c *wecomChat) react(target, string, bool) error { return fmt.Errorf("reactions are not told") }
func (c *wecomChat) edit(target, string) error        { return fmt.Errorf("messages cannot be edited") }
func (c *wecomChat) unsay(target) error               { return fmt.Errorf("what is recalled is not told") }
func (c *wecomChat) shortcut(target) error            { return fmt.Errorf("there are no shortcuts") }

// fault KIND METHOD [TIMES] [CODE]: "fault refused message/send 1 60011".
func (c *wecomChat) fault(verb string, args []string) error {
	n := 1
	switch verb {
	case "heal":
		c.srv.Heal()
		return nil
	case "revoke":
		c.srv.Revoke()
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
	f := wecomtest.Fault{Kind: wecomtest.FaultKind(strings.ReplaceAll(args[0], "-", " ")), Method: args[1], Delay: time.Millisecond, Code: 45009}
	for i, to := range []*int{&f.Times, &f.Code} {
		if len(args) > i+2 {
			if _, err := fmt.Sscan(args[i+2], to); err != nil {
				return err
			}
		}
	}
	c.srv.Fail(f)
	return nil
}

var _ chat = (*wecomChat)(nil)
