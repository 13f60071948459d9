package slack

import (
	"fmt"
	"net/url"
	"strings"

	slackgo "github.com/slack-go/slack"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// Limits of Block Kit. https://docs.slack.dev/reference/block-kit
// Cards come already cut to Caps; these hold even for a card that was not,
// because Slack refuses a whole message for one character too many.
const (
	maxBlocks      = 50
	maxViewBlocks  = 100
	maxText        = 3000
	maxHeader      = 150
	maxFields      = 10
	maxField       = 2000
	maxElements    = 25
	maxLabel       = 75
	maxValue       = 2000
	maxURL         = 3000
	maxOptions     = 100
	maxOptionValue = 75 // Slack's pages say 150, its types 75
	maxOverflow    = 5
	maxPlaceholder = 150
	maxInputLabel  = 2000
	maxViewTitle   = 24
	maxMetadata    = 3000
	maxID          = 255
	maxConfirm     = 300
	// maxTotal keeps below the undocumented 13,200 characters at which Slack
	// answers msg_blocks_too_long.
	maxTotal = 12_000
	maxAlt   = 600 // escaping makes it at most five times as long: below the 4,000 of chat.update
)

// What our action ids mean when they come back.
const (
	menuAction  = "m:"   // a menu: the token follows, the choice is its value
	moreAction  = "more" // the menu of lesser actions: the choice is the token
	inputAction = "v"    // an input of a form
	timeSuffix  = "@time"
)

var noEmoji = false

// plain makes text that Slack shows as it is. An empty text is refused, so it
// becomes a dash.
func plainObject(s string, limit int) *slackgo.TextBlockObject {
	s = cut(clean(s), limit)
	if strings.TrimSpace(s) == "" {
		s = "—"
	}
	return &slackgo.TextBlockObject{Type: slackgo.PlainTextType, Text: s, Emoji: &noEmoji}
}

// bold makes emphasis of our own; what could format is taken out of it.
func bold(s string) *slackgo.TextBlockObject {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune("*_~`\n", r) {
			return ' '
		}
		return r
	}, s)
	if s = strings.TrimSpace(cut(s, 300)); s == "" {
		return plainObject("", 1)
	}
	return &slackgo.TextBlockObject{Type: slackgo.MarkdownType, Text: "*" + escape(s) + "*", Verbatim: true}
}

// words are the few of our own that Slack's forms need.
func words(l cards.Lang) (submit, cancel, yes, more, choose string) {
	if l == cards.EN {
		return "Send", "Cancel", "Yes", "More", "Choose"
	}
	return "提交", "取消", "是", "更多", "请选择"
}

// drawing collects blocks within a budget of blocks and characters.
type drawing struct {
	lang   cards.Lang
	blocks []slackgo.Block
	most   int // blocks
	left   int // characters
	ids    int // of buttons so far
	used   map[string]bool
}

func draw(l cards.Lang, most int) *drawing {
	return &drawing{lang: l, most: most, left: maxTotal, used: map[string]bool{}}
}

func (d *drawing) full() bool { return len(d.blocks) >= d.most || d.left < 80 }

func (d *drawing) add(b slackgo.Block, cost int) {
	d.blocks = append(d.blocks, b)
	d.left -= cost
}

// room is how long a text may still be.
func (d *drawing) room(limit int) int { return max(1, min(limit, d.left-40)) }

// message draws a card for a conversation. text stands in for it in
// notifications and for screen readers.
func message(c cards.Card) (text string, blocks []slackgo.Block) {
	return alt(c), card(c, maxBlocks)
}

// alt is the card in one line. Slack reads markup in it.
func alt(c cards.Card) string {
	s := c.Alt
	if strings.TrimSpace(s) == "" {
		s = strings.TrimSpace(c.Tone.Emoji() + " " + c.Title)
	}
	if s == "" {
		s = c.Body
	}
	if s = strings.TrimSpace(strings.ReplaceAll(cut(s, maxAlt), "\n", " ")); s == "" {
		s = "…"
	}
	return escape(s)
}

func card(c cards.Card, most int) []slackgo.Block {
	d := draw(c.Lang, most)
	// What can be pressed is drawn first, so that a long text never pushes it out.
	d.actions(c.Actions, c.More)
	feet := d.blocks
	d.blocks, d.most = nil, most-len(feet)
	if c.Note != "" {
		note := plainObject(c.Note, d.room(600))
		feet = append(feet, slackgo.NewContextBlock("", note))
		d.left -= length(note.Text)
		d.most--
	}
	if c.Title != "" {
		title := plainObject(strings.TrimSpace(c.Tone.Emoji()+" "+oneLine(c.Title)), maxHeader)
		d.add(slackgo.NewHeaderBlock(title), length(title.Text))
	}
	if line := strings.Join(c.Badges, " · "); strings.TrimSpace(line) != "" {
		badges := plainObject(oneLine(line), 500)
		d.add(slackgo.NewContextBlock("", badges), length(badges.Text))
	}
	if ping := mentions(c.Ping); ping != "" {
		d.add(slackgo.NewSectionBlock(&slackgo.TextBlockObject{Type: slackgo.MarkdownType, Text: ping, Verbatim: true}, nil, nil), len(ping))
	}
	d.facts(c.Facts)
	d.body(c.Body)
	d.rows(c.Rows)
	if c.Form != nil { // a form has no place in a message: at least say what it asks
		var ask []string
		for _, in := range c.Form.Inputs {
			ask = append(ask, "• "+in.Label)
		}
		d.body(strings.Join(ask, "\n"))
	}
	return append(d.blocks, feet...)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// mentions makes the line that notifies people, of ids only.
func mentions(ids []string) string {
	var b strings.Builder
	seen := map[string]bool{}
	for _, id := range ids {
		if len(seen) == 50 {
			break
		}
		if seen[id] || !isID(id, "UWS") {
			continue
		}
		seen[id] = true
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if id[0] == 'S' {
			b.WriteString("<!subteam^" + id + ">")
		} else {
			b.WriteString("<@" + id + ">")
		}
	}
	return b.String()
}

// facts stand in two columns, label and value: so a label can be bold while
// the value is text that nothing in it can format.
func (d *drawing) facts(facts []cards.Fact) {
	var fields []*slackgo.TextBlockObject
	cost := 0
	flush := func() {
		if len(fields) > 0 && !d.full() {
			d.add(slackgo.NewSectionBlock(nil, fields, nil), cost)
		}
		fields, cost = nil, 0
	}
	for _, f := range facts {
		if f.Label == "" && f.Value == "" && f.Action == nil {
			continue
		}
		if f.Wide || f.Action != nil || length(f.Value) > 300 {
			flush()
			if d.full() {
				return
			}
			line := plainObject(strings.TrimSpace(oneLine(f.Label)+"  "+f.Value), d.room(maxText))
			section := slackgo.NewSectionBlock(line, nil, nil)
			if f.Action != nil {
				if b := d.element(*f.Action); b != nil {
					section.Accessory = slackgo.NewAccessory(b)
				}
			}
			d.add(section, length(line.Text))
			continue
		}
		if d.left-cost < 700 {
			break
		}
		label, val := bold(f.Label), plainObject(f.Value, min(maxField, 300))
		fields = append(fields, label, val)
		if cost += length(label.Text) + length(val.Text); len(fields) == maxFields {
			flush()
		}
	}
	flush()
}

// body may be long: it takes as many sections as it needs, cut at lines where it can be.
func (d *drawing) body(s string) {
	s = strings.TrimSpace(clean(s))
	for s != "" && !d.full() {
		part := s
		if length(s) > maxText {
			part = strings.TrimSuffix(cut(s, maxText), "…")
			if i := strings.LastIndexByte(part, '\n'); i > len(part)/2 {
				part = part[:i]
			}
		}
		rest := strings.TrimSpace(s[min(len(part), len(s)):])
		last := rest != "" && (len(d.blocks)+1 >= d.most || d.left-length(part) < 120)
		if last {
			part += "…"
		}
		text := plainObject(part, d.room(maxText))
		d.add(slackgo.NewSectionBlock(text, nil, nil), length(text.Text))
		if last {
			return
		}
		s = rest
	}
}

// rows take one or two blocks each.
func (d *drawing) rows(rows []cards.Row) {
	for i, r := range rows {
		if d.full() || len(d.blocks)+1 >= d.most && i < len(rows)-1 {
			if len(d.blocks) < d.most {
				d.add(slackgo.NewContextBlock("", plainObject(fmt.Sprintf("… +%d", len(rows)-i), 20)), 20)
			}
			return
		}
		text := strings.TrimSpace(r.Tone.Emoji() + " " + oneLine(r.Text))
		if r.Detail != "" {
			text += "\n" + r.Detail
		}
		line := plainObject(text, d.room(min(maxText, 1000)))
		section := slackgo.NewSectionBlock(line, nil, nil)
		actions := r.Actions
		if len(actions) == 1 {
			if b := d.element(actions[0]); b != nil {
				section.Accessory = slackgo.NewAccessory(b)
			}
			actions = nil
		}
		d.add(section, length(line.Text))
		if len(actions) > 0 && !d.full() {
			d.actionBlock(actions, nil)
		}
	}
}

// actions draws the buttons and menus of a card, and the menu of lesser actions.
func (d *drawing) actions(actions, more []cards.Action) {
	for len(actions) > maxElements-1 {
		d.actionBlock(actions[:maxElements], nil)
		actions = actions[maxElements:]
		if len(d.blocks) >= 4 { // a hundred buttons are no card any more
			actions = nil
		}
	}
	d.actionBlock(actions, more)
}

func (d *drawing) actionBlock(actions, more []cards.Action) {
	var elements []slackgo.BlockElement
	put := func(e slackgo.BlockElement) {
		if e != nil && len(elements) < maxElements {
			elements = append(elements, e)
		}
	}
	for _, a := range actions {
		put(d.element(a))
	}
	// An entry of an overflow menu carries little and asks nothing: what does
	// not fit there stays a button.
	var options []*slackgo.OptionBlockObject
	for _, a := range more {
		if len(a.Options) > 0 || a.Confirm != "" || a.URL != "" || a.Token == "" || length(a.Token) > maxOptionValue || len(options) == maxOptions {
			put(d.element(a))
			continue
		}
		option := slackgo.NewOptionBlockObject(a.Token, plainObject(a.Label, maxLabel), nil)
		if d.used[a.Token] || d.left < 400 {
			continue
		}
		d.used[a.Token] = true
		d.left -= length(option.Text.Text) + len(a.Token)
		options = append(options, option)
	}
	_, _, _, moreWord, _ := words(d.lang)
	switch {
	case len(options) == 0:
	case len(options) <= maxOverflow:
		put(slackgo.NewOverflowBlockElement(moreAction, options...))
	default:
		put(slackgo.NewOptionsSelectBlockElement(slackgo.OptTypeStatic, plainObject(moreWord, maxPlaceholder), moreAction, options...))
	}
	if len(elements) > 0 && len(d.blocks) < d.most {
		d.blocks = append(d.blocks, slackgo.NewActionBlock("", elements...))
	}
}

// element draws a button or a menu; nil when it can only be refused.
func (d *drawing) element(a cards.Action) slackgo.BlockElement {
	_, _, _, _, choose := words(d.lang)
	if d.left < 300 {
		return nil
	}
	if len(a.Options) > 0 {
		id := menuAction + a.Token
		options := d.options(a.Options)
		if a.Token == "" || len(id) > maxID || d.used[id] || len(options) == 0 {
			return nil
		}
		d.used[id] = true
		label := a.Label
		if label == "" {
			label = choose
		}
		menu := slackgo.NewOptionsSelectBlockElement(slackgo.OptTypeStatic, plainObject(label, maxPlaceholder), id, options...)
		menu.Confirm = d.confirm(a)
		d.left -= length(menu.Placeholder.Text)
		return menu
	}
	if a.URL != "" && !webAddress(a.URL) || a.URL == "" && (a.Token == "" || length(a.Token) > maxValue) {
		return nil
	}
	b := &slackgo.ButtonBlockElement{Type: slackgo.METButton, Text: plainObject(oneLine(a.Label), maxLabel), ActionID: fmt.Sprintf("b%d", d.ids), Confirm: d.confirm(a)}
	d.ids++
	if a.URL != "" {
		b.URL = a.URL
	} else {
		b.Value = a.Token
	}
	switch a.Style {
	case cards.Primary:
		b.Style = slackgo.StylePrimary
	case cards.Danger:
		b.Style = slackgo.StyleDanger
	}
	d.left -= length(b.Text.Text) + length(b.Value) + length(b.URL)
	return b
}

func (d *drawing) confirm(a cards.Action) *slackgo.ConfirmationBlockObject {
	if a.Confirm == "" {
		return nil
	}
	_, cancel, yes, _, _ := words(d.lang)
	label := a.Label
	if strings.TrimSpace(label) == "" {
		label = yes
	}
	c := slackgo.NewConfirmationBlockObject(plainObject(oneLine(label), 100), plainObject(a.Confirm, maxConfirm), plainObject(oneLine(label), 30), plainObject(cancel, 30))
	if a.Style == cards.Danger {
		c.Style = slackgo.StyleDanger
	}
	d.left -= length(c.Title.Text) + length(c.Text.Text) + length(c.Confirm.Text) + length(cancel)
	return c
}

// options leaves out what cannot be told apart when it comes back.
func (d *drawing) options(in []cards.Option) []*slackgo.OptionBlockObject {
	var out []*slackgo.OptionBlockObject
	seen := map[string]bool{}
	for _, o := range in {
		if len(out) == maxOptions || d.left < 300 {
			break
		}
		if o.Value == "" || length(o.Value) > maxOptionValue || seen[o.Value] {
			continue
		}
		seen[o.Value] = true
		option := slackgo.NewOptionBlockObject(o.Value, plainObject(oneLine(o.Label), maxLabel), nil)
		d.left -= length(option.Text.Text) + length(o.Value)
		out = append(out, option)
	}
	return out
}

func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= maxURL && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// home draws a card as a person's own page.
func home(c cards.Card) slackgo.HomeTabViewRequest {
	c.Ping = nil
	blocks := card(c, maxViewBlocks)
	if blocks == nil {
		blocks = []slackgo.Block{} // null is refused
	}
	return slackgo.HomeTabViewRequest{Type: slackgo.VTHomeTab, Blocks: slackgo.Blocks{BlockSet: blocks}}
}

// modal draws a form. A card without one is shown as it is, with nothing to send.
func modal(c cards.Card, from origin) (slackgo.ModalViewRequest, error) {
	submit, cancel, _, _, _ := words(c.Lang)
	title := oneLine(c.Title)
	if title == "" {
		title = "Paidan"
	}
	v := slackgo.ModalViewRequest{Type: slackgo.VTModal, Title: plainObject(title, maxViewTitle), Close: plainObject(cancel, maxViewTitle)}
	if c.Form == nil {
		v.Blocks.BlockSet = card(c, maxViewBlocks)
		if v.Blocks.BlockSet == nil {
			v.Blocks.BlockSet = []slackgo.Block{}
		}
		return v, nil
	}
	v.PrivateMetadata = c.Form.Token
	if from.channel != "" {
		v.PrivateMetadata += "\n" + from.channel
		if from.thread != "" {
			v.PrivateMetadata += "\n" + from.thread
		}
	}
	if length(v.PrivateMetadata) > maxMetadata {
		return v, fmt.Errorf("the form's token is too long: %w", bot.ErrRejected)
	}
	if c.Form.Submit != "" {
		submit = c.Form.Submit
	}
	v.Submit = plainObject(oneLine(submit), maxViewTitle)
	d := draw(c.Lang, maxViewBlocks)
	d.left = 60_000 // a view may have 250 kB
	d.body(cut(c.Body, maxText))
	names := map[string]bool{}
	for _, in := range c.Form.Inputs {
		if in.Name == "" || len(in.Name)+len(timeSuffix) > maxID || names[in.Name] || len(d.blocks)+2 > d.most {
			return v, fmt.Errorf("input %q of a form: no name, one used twice, or too many: %w", in.Name, bot.ErrRejected)
		}
		names[in.Name] = true
		d.input(in)
	}
	if len(c.Form.Inputs) == 0 && len(d.blocks) == 0 {
		d.body(title)
	}
	v.Blocks.BlockSet = d.blocks
	return v, nil
}

// input draws one question; its block is named after it, so that an error
// finds its way back.
func (d *drawing) input(in cards.Input) {
	label := in.Label
	if strings.TrimSpace(label) == "" {
		label = in.Name
	}
	hint := in.Hint
	if in.Error != "" {
		hint = strings.TrimSpace("⚠ " + in.Error + "\n" + hint)
	}
	block := func(name string, e slackgo.BlockElement) *slackgo.InputBlock {
		b := &slackgo.InputBlock{Type: slackgo.MBTInput, BlockID: name, Label: plainObject(label, maxInputLabel), Element: e, Optional: !in.Required, DispatchAction: in.Reload}
		if hint != "" {
			b.Hint = plainObject(hint, maxInputLabel)
		}
		d.blocks = append(d.blocks, b)
		return b
	}
	if in.Kind == cards.InputTime {
		// Two pickers, because Slack's one picker for both gives an instant and
		// leaves the reader's zone to be guessed.
		day, clock, _ := strings.Cut(in.Value, "T")
		block(in.Name, &slackgo.DatePickerBlockElement{Type: slackgo.METDatepicker, ActionID: inputAction, InitialDate: matching(day, "0000-00-00")})
		hint = ""
		clock = cutBytes(clock, 5)
		block(in.Name+timeSuffix, &slackgo.TimePickerBlockElement{Type: slackgo.METTimepicker, ActionID: inputAction, InitialTime: matching(clock, "00:00")})
		return
	}
	block(in.Name, d.field(in))
}

func (d *drawing) field(in cards.Input) slackgo.BlockElement {
	_, _, yes, _, choose := words(d.lang)
	limit := 3000
	if in.Max > 0 {
		limit = min(in.Max, limit)
	}
	switch in.Kind {
	case cards.InputChoice:
		options := d.options(in.Options)
		if len(options) == 0 {
			break // a menu of nothing is refused: ask for text
		}
		menu := slackgo.NewOptionsSelectBlockElement(slackgo.OptTypeStatic, plainObject(choose, maxPlaceholder), inputAction, options...)
		for _, o := range options {
			if o.Value == in.Value {
				menu.InitialOption = o
			}
		}
		return menu
	case cards.InputPerson:
		menu := slackgo.NewOptionsSelectBlockElement(slackgo.OptTypeUser, plainObject(choose, maxPlaceholder), inputAction)
		if isID(in.Value, "UW") {
			menu.InitialUser = in.Value
		}
		return menu
	case cards.InputDate:
		return &slackgo.DatePickerBlockElement{Type: slackgo.METDatepicker, ActionID: inputAction, InitialDate: matching(in.Value, "0000-00-00")}
	case cards.InputNumber:
		return &slackgo.NumberInputBlockElement{Type: slackgo.METNumber, IsDecimalAllowed: true, ActionID: inputAction, InitialValue: number(in.Value)}
	case cards.InputEmail:
		return &slackgo.EmailTextInputBlockElement{Type: slackgo.METEmailTextInput, ActionID: inputAction, InitialValue: clean(in.Value)}
	case cards.InputCheck:
		option := slackgo.NewOptionBlockObject("true", plainObject(yes, maxLabel), nil)
		box := slackgo.NewCheckboxGroupsBlockElement(inputAction, option)
		if in.Value == "true" {
			box.InitialOptions = []*slackgo.OptionBlockObject{option}
		}
		return box
	}
	text := &slackgo.PlainTextInputBlockElement{Type: slackgo.METPlainTextInput, ActionID: inputAction, Multiline: in.Kind == cards.InputText, MaxLength: limit}
	if v := clean(in.Value); v != "" {
		text.InitialValue = cut(v, limit)
	}
	if in.Reload {
		text.DispatchActionConfig = &slackgo.DispatchActionConfig{TriggerActionsOn: []string{"on_enter_pressed"}}
	}
	return text
}

// matching returns s when it has the digits and signs of form, else "".
func matching(s, form string) string {
	if len(s) != len(form) {
		return ""
	}
	for i := range len(s) {
		if digit := s[i] >= '0' && s[i] <= '9'; digit != (form[i] == '0') || !digit && s[i] != form[i] {
			return ""
		}
	}
	return s
}

func cutBytes(s string, n int) string { return s[:min(len(s), n)] }

// number returns s when it is a number that Slack takes as the value of an input.
func number(s string) string {
	whole, frac, dot := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if !digits(whole, 1, 16) || dot && !digits(frac, 1, 16) {
		return ""
	}
	return s
}
