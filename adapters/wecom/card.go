package wecom

import (
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/paidan/paidan/cards"
)

// limits are how many characters a surface's client shows of each part of a
// template card; beyond them it cuts by itself, without a sign.
type limits struct {
	source, title, desc, text, value, option, jump int
}

// Of the app's cards, https://developer.work.weixin.qq.com/document/path/90236,
// and of the robot's, https://developer.work.weixin.qq.com/document/path/101032.
var (
	appLimits   = limits{source: 20, title: 36, desc: 44, text: 160, value: 30, option: 16, jump: 18}
	robotLimits = limits{source: 13, title: 26, desc: 30, text: 112, value: 26, option: 10, jump: 13}
)

// What both have in common.
const (
	maxButtons    = 6
	maxButtonText = 10
	maxCorner     = 3 // entries of the menu in the corner
	maxOptions    = 10
	maxOptionID   = 128 // bytes
	maxKey        = 1024
	maxSelects    = 3
	maxHorizontal = 6
	maxLabel      = 5 // of a line in horizontal_content_list
	maxJumps      = 3
	maxTitle      = 36
	maxURL        = 1024
)

// Keys that are no tokens. Tokens are longer than any of them.
const (
	goKey     = "go"     // the button beside the selector of lesser actions; the choice is the token
	submitKey = "submit" // the button below several selectors
	doneKey   = "done"   // a button that was replaced by words and cannot be pressed
	keepID    = "-"      // the choice that changes nothing
)

// templateCard is a template card as message/send takes it. The XML of a passive
// answer has the same fields: see xml.
type templateCard struct {
	CardType        string       `json:"card_type"`
	Source          *cardSource  `json:"source,omitempty"`
	ActionMenu      *actionMenu  `json:"action_menu,omitempty"`
	MainTitle       cardTitle    `json:"main_title"`
	QuoteArea       *quoteArea   `json:"quote_area,omitempty"`
	SubTitleText    string       `json:"sub_title_text,omitempty"`
	Horizontal      []horizontal `json:"horizontal_content_list,omitempty"`
	JumpList        []jump       `json:"jump_list,omitempty"`
	TaskID          string       `json:"task_id,omitempty"`
	ButtonSelection *selection   `json:"button_selection,omitempty"`
	ButtonList      []cardButton `json:"button_list,omitempty"`
	SelectList      []selection  `json:"select_list,omitempty"`
	SubmitButton    *submit      `json:"submit_button,omitempty"`
	ReplaceText     string       `json:"replace_text,omitempty"`
}

type cardSource struct {
	Desc      string `json:"desc"`
	DescColor int    `json:"desc_color"` // 0 grey, 1 black, 2 red, 3 green
}

type cardTitle struct {
	Title string `json:"title"`
	Desc  string `json:"desc,omitempty"`
}

type actionMenu struct {
	Desc       string        `json:"desc,omitempty"`
	ActionList []cornerEntry `json:"action_list"`
}

type cornerEntry struct {
	Text string `json:"text"`
	Key  string `json:"key"`
}

type quoteArea struct {
	Type      int    `json:"type"`
	QuoteText string `json:"quote_text"`
}

type horizontal struct {
	KeyName string `json:"keyname"`
	Value   string `json:"value"`
}

type jump struct {
	Type  int    `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

type selection struct {
	QuestionKey string       `json:"question_key"`
	Title       string       `json:"title,omitempty"`
	OptionList  []cardOption `json:"option_list"`
	SelectedID  string       `json:"selected_id,omitempty"`
}

type cardOption struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

type cardButton struct {
	Text  string `json:"text"`
	Style int    `json:"style"`
	Key   string `json:"key"`
}

type submit struct {
	Text string `json:"text"`
	Key  string `json:"key"`
}

// words are the few of our own that template cards need.
type words struct{ more, do, submit, keep, done string }

func wordsIn(l cards.Lang) words {
	if l == cards.EN {
		return words{"More", "Go", "Send", "No change", "Done"}
	}
	return words{"更多", "执行", "提交", "不变", "已处理"}
}

// pressable reports whether a press on a can come back: it has a token, and is
// no link.
func pressable(a cards.Action) bool { return a.URL == "" && a.Token != "" && len(a.Token) <= maxKey }

// offered reports whether there is anything to press in a list of actions,
// sealed or not yet.
func offered(list []cards.Action) bool {
	return slices.ContainsFunc(list, func(a cards.Action) bool { return a.URL == "" })
}

// numbered reports whether a card becomes text with numbered choices: a list
// whose rows have actions of their own, or a long text that is no ticket.
func numbered(c cards.Card) bool {
	rows, facts := false, false
	for _, r := range c.Rows {
		rows = rows || offered(r.Actions)
	}
	for _, f := range c.Facts {
		facts = facts || f.Action != nil
	}
	some := offered(c.Actions) || offered(c.More) || facts
	switch {
	case c.Form != nil:
		return false
	case rows, some && len(c.Rows) > 0:
		return true
	}
	return some && len(c.Facts) == 0 && length(c.Body) > appLimits.text
}

func length(s string) int { return len([]rune(s)) }

// asTemplate draws a card as a template card, or returns nil when there is
// nothing to press: notices of WeCom need a page to lead to, which we have not.
func asTemplate(c cards.Card, l limits) *templateCard {
	t := face(c, l)
	if !t.controls(c, l) {
		return nil
	}
	return t
}

// asDead is a template card without anything to press, for a card that had
// something: its buttons give way to words.
func asDead(c cards.Card, l limits) *templateCard {
	t := face(c, l)
	t.CardType = "button_interaction"
	w := wordsIn(c.Lang)
	says := w.done
	if n := len(c.Badges); n > 0 && oneLine(c.Badges[n-1]) != "" {
		says = oneLine(c.Badges[n-1])
	}
	t.ReplaceText = cut(says, maxButtonText)
	t.ButtonList = []cardButton{{t.ReplaceText, 2, doneKey}}
	return t
}

// face draws what is read, above what is pressed.
func face(c cards.Card, l limits) *templateCard {
	t := &templateCard{}
	rest := t.head(c, l)
	var lines []string
	for _, f := range c.Facts {
		label, value := oneLine(f.Label), oneLine(f.Value)
		if value == "" {
			value = "—"
		}
		switch {
		case label == "":
			lines = append(lines, value)
		case length(label) <= maxLabel && length(value) <= l.value && len(t.Horizontal) < maxHorizontal:
			t.Horizontal = append(t.Horizontal, horizontal{label, value})
		default:
			lines = append(lines, label+colon(c.Lang)+value)
		}
	}
	for _, r := range c.Rows {
		lines = append(lines, strings.TrimSpace(r.Tone.Emoji()+" "+oneLine(r.Text)))
	}
	if body := block(c.Body); body != "" {
		if len(c.Facts) > 0 { // what people wrote about a ticket
			t.QuoteArea = &quoteArea{QuoteText: cut(body, l.text)}
		} else {
			lines = append(lines, body)
		}
	}
	if c.Form != nil {
		for _, in := range c.Form.Inputs {
			lines = append(lines, "· "+oneLine(in.Label))
		}
	}
	if rest != "" {
		lines = append(lines, rest)
	}
	t.SubTitleText = cut(strings.Join(lines, "\n"), l.text)
	return t
}

// head draws title, state and footer, and returns what of them had no room.
func (t *templateCard) head(c cards.Card, l limits) string {
	title := oneLine(c.Title)
	if title == "" {
		if title = oneLine(c.Alt); title == "" {
			title, _, _ = strings.Cut(block(c.Body), "\n")
		}
	}
	if t.MainTitle.Title = cut(title, l.title); t.MainTitle.Title == "" {
		t.MainTitle.Title = "—"
	}
	state := c.Tone.Emoji()
	var more []string
	for _, b := range c.Badges {
		b = oneLine(b)
		longer := strings.TrimSpace(state + " " + b)
		if state != c.Tone.Emoji() {
			longer = state + " · " + b
		}
		switch {
		case b == "":
		case len(more) == 0 && length(longer) <= l.source:
			state = longer
		default:
			more = append(more, b)
		}
	}
	if state != "" {
		t.Source = &cardSource{state, colour(c.Tone)}
	}
	note := oneLine(c.Note)
	for _, s := range []string{strings.Join(append(slices.Clone(more), note), " · "), strings.Join(more, " · ")} {
		if s = strings.Trim(s, " ·"); length(s) <= l.desc {
			t.MainTitle.Desc = s
			break
		}
	}
	switch {
	case t.MainTitle.Desc == "" && len(more) > 0:
		t.MainTitle.Desc = cut(strings.Join(more, " · "), l.desc)
		return note
	case note != "" && !strings.HasSuffix(t.MainTitle.Desc, note):
		return note
	}
	return ""
}

func colour(t cards.Tone) int {
	switch t {
	case cards.Alarm:
		return 2
	case cards.Good:
		return 3
	case cards.Paused, cards.Gone:
		return 0
	}
	return 1
}

// controls draws what is pressed, and reports whether there is anything.
//
// Buttons stay buttons. Of what is less used up to three entries go into the
// menu in the corner; more of them, or a menu, go into the selector, beside
// which a button carries the choice out. A card of several menus and nothing
// else becomes one with a selector each.
func (t *templateCard) controls(c cards.Card, l limits) bool {
	w := wordsIn(c.Lang)
	plain, menus := t.sort(c, l)
	if len(plain) == 0 && len(menus) > 1 {
		t.selects(menus[:min(len(menus), maxSelects)], l, w)
		return true
	}
	lesser := t.lesser(c)
	if len(menus) > 0 {
		t.menu(menus[0], l)
		for _, m := range menus[1:] {
			lesser = append(lesser, flat(m)...)
		}
	}
	room := maxButtons - len(t.ButtonList)
	if len(plain) > room {
		lesser = append(slices.Clone(plain[room:]), lesser...)
		plain = plain[:room]
	}
	used := map[string]bool{}
	for _, b := range t.ButtonList {
		used[b.Key] = true
	}
	var row []cardButton
	for _, a := range plain {
		if !used[a.Token] {
			used[a.Token] = true
			row = append(row, cardButton{label(a.Label), style(a.Style), a.Token})
		}
	}
	t.ButtonList = append(row, t.ButtonList...)
	t.others(lesser, l, w)
	if len(t.ButtonList) == 0 {
		return false
	}
	t.CardType = "button_interaction"
	return true
}

// sort takes links out of the actions and tells buttons from menus.
func (t *templateCard) sort(c cards.Card, l limits) (plain, menus []cards.Action) {
	for _, a := range c.Actions {
		switch {
		case a.URL != "":
			t.link(a, l)
		case !pressable(a):
		case len(a.Options) > 0:
			if len(options(a, l)) > 0 {
				menus = append(menus, a)
			}
		default:
			plain = append(plain, a)
		}
	}
	return plain, menus
}

// lesser gathers what is pressed seldom: buttons beside facts, and the More menu.
func (t *templateCard) lesser(c cards.Card) []cards.Action {
	var out []cards.Action
	for _, f := range c.Facts {
		if f.Action != nil && pressable(*f.Action) {
			a := *f.Action
			a.Label = oneLine(f.Label + " " + a.Label)
			out = append(out, flat(a)...)
		}
	}
	for _, a := range c.More {
		if pressable(a) {
			out = append(out, flat(a)...)
		}
	}
	return out
}

// others draws what has no button of its own.
func (t *templateCard) others(lesser []cards.Action, l limits, w words) {
	seen := map[string]bool{}
	lesser = slices.DeleteFunc(slices.Clone(lesser), func(a cards.Action) bool {
		twice := seen[a.Token] || len(a.Token) > maxOptionID
		seen[a.Token] = true
		return twice
	})
	switch {
	case len(lesser) == 0:
	case len(t.ButtonList) == 0 && len(lesser) <= maxButtons: // nothing else: they are the buttons
		for _, a := range lesser {
			t.ButtonList = append(t.ButtonList, cardButton{label(a.Label), style(a.Style), a.Token})
		}
	case len(lesser) > maxCorner && t.ButtonSelection == nil && len(t.ButtonList) < maxButtons:
		s := &selection{QuestionKey: goKey, Title: w.more}
		for _, a := range lesser[:min(len(lesser), maxOptions)] {
			s.OptionList = append(s.OptionList, cardOption{a.Token, shown(a.Label, l.option)})
		}
		t.ButtonSelection = s
		t.ButtonList = append(t.ButtonList, cardButton{w.do, 2, goKey})
	default:
		t.ActionMenu = &actionMenu{Desc: w.more}
		for _, a := range lesser[:min(len(lesser), maxCorner)] {
			t.ActionMenu.ActionList = append(t.ActionMenu.ActionList, cornerEntry{shown(a.Label, maxButtonText), a.Token})
		}
	}
}

// menu draws one menu: the selector and its button have the same key.
func (t *templateCard) menu(a cards.Action, l limits) {
	t.ButtonSelection = &selection{QuestionKey: a.Token, Title: shown(a.Label, maxButtonText), OptionList: options(a, l)}
	t.ButtonList = append(t.ButtonList, cardButton{label(a.Label), style(a.Style), a.Token})
}

// selects draws several menus. The first choice of each changes nothing: all of
// them come back together.
func (t *templateCard) selects(menus []cards.Action, l limits, w words) {
	t.CardType = "multiple_interaction"
	seen := map[string]bool{}
	for _, a := range menus {
		if seen[a.Token] {
			continue
		}
		seen[a.Token] = true
		list := append([]cardOption{{keepID, w.keep}}, options(a, l)...)
		t.SelectList = append(t.SelectList, selection{QuestionKey: a.Token, Title: shown(a.Label, maxButtonText), OptionList: list[:min(len(list), maxOptions)], SelectedID: keepID})
	}
	t.SubmitButton = &submit{w.submit, submitKey}
}

// options are a menu's choices, as far as they can be told apart.
func options(a cards.Action, l limits) []cardOption {
	var out []cardOption
	seen := map[string]bool{}
	for _, o := range a.Options {
		if o.Value == "" || len(o.Value) > maxOptionID || seen[o.Value] || len(out) == maxOptions {
			continue
		}
		seen[o.Value] = true
		out = append(out, cardOption{o.Value, shown(o.Label, l.option)})
	}
	return out
}

// between stands between token and value in a key that has both; neither has it.
const between = "|"

// flat makes one action a choice of a menu: its token carries the choice too.
func flat(a cards.Action) []cards.Action {
	if len(a.Options) == 0 {
		return []cards.Action{a}
	}
	var out []cards.Action
	for _, o := range a.Options {
		if o.Value == "" {
			continue
		}
		one := a
		one.Options, one.Label, one.Token = nil, oneLine(a.Label+" "+o.Label), a.Token+between+o.Value
		out = append(out, one)
	}
	return out
}

// link puts an address of ours under the card.
func (t *templateCard) link(a cards.Action, l limits) {
	u, err := url.Parse(a.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(a.URL) > maxURL || len(t.JumpList) == maxJumps {
		return
	}
	t.JumpList = append(t.JumpList, jump{1, shown(a.Label, l.jump), a.URL})
}

// shown is a text that must not be empty.
func shown(s string, limit int) string {
	if s = cut(oneLine(s), limit); s == "" {
		return "—"
	}
	return s
}

func label(s string) string { return shown(s, maxButtonText) }

func style(s cards.Style) int {
	switch s {
	case cards.Primary:
		return 1
	case cards.Danger:
		return 3
	}
	return 2
}

// encode is v as JSON without escapes that WeCom's pages advise against.
func encode(v any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// xml is the card as a passive answer has it: the same fields in CamelCase, a
// list as its element repeated.
// https://developer.work.weixin.qq.com/document/path/90241
func (t *templateCard) xml() string {
	var b strings.Builder
	writeXML(&b, "TemplateCard", reflect.ValueOf(t))
	return b.String()
}

func writeXML(b *strings.Builder, name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			writeXML(b, name, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			writeXML(b, name, v.Index(i))
		}
	case reflect.Struct:
		b.WriteString("<" + name + ">")
		for i := range v.NumField() {
			tag, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if option == "" || !v.Field(i).IsZero() {
				writeXML(b, camel(tag), v.Field(i))
			}
		}
		b.WriteString("</" + name + ">")
	case reflect.Int:
		b.WriteString("<" + name + ">" + strconv.FormatInt(v.Int(), 10) + "</" + name + ">")
	default:
		writeText(b, name, v.String())
	}
}

// writeText writes an element with text that no parser reads marks in.
func writeText(b *strings.Builder, name, text string) {
	b.WriteString("<" + name + "><![CDATA[")
	b.WriteString(strings.ReplaceAll(clean(text), "]]>", "]]]]><![CDATA[>"))
	b.WriteString("]]></" + name + ">")
}

// camel turns "button_list" into "ButtonList".
func camel(s string) string {
	if s == "keyname" {
		return "KeyName"
	}
	var b strings.Builder
	for part := range strings.SplitSeq(s, "_") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}
