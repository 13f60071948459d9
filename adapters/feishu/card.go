package feishu

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/paidan/paidan/cards"
)

// Limits of cards.
// https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/card-json-v2-structure
// Cards come already cut to Caps; these hold even for a card that was not,
// because Feishu refuses a whole message for one byte too many.
const (
	maxBytes    = 30_000 // of a request; 30 KB are allowed
	maxElements = 150    // everything with a tag; 200 are documented, fewer pass
	maxOptions  = 40     // of a menu: each counts as an element
	maxLabel    = 100
	maxText     = 6000
	maxTags     = 3 // beside the title
	maxTag      = 16
	maxInput    = 1000 // characters of an input
	maxURL      = 2000
	maxAlt      = 200
)

// element is anything of a card that has a tag.
type element struct {
	Tag         string     `json:"tag"`
	Name        string     `json:"name,omitempty"`
	Content     string     `json:"content,omitempty"`
	Color       string     `json:"color,omitempty"`
	Text        *text      `json:"text,omitempty"`
	Type        string     `json:"type,omitempty"`
	Size        string     `json:"size,omitempty"`
	Width       string     `json:"width,omitempty"`
	Weight      int        `json:"weight,omitempty"`
	VAlign      string     `json:"vertical_align,omitempty"`
	Flex        string     `json:"flex_mode,omitempty"`
	Spacing     string     `json:"horizontal_spacing,omitempty"`
	Columns     []*element `json:"columns,omitempty"`
	Elements    []*element `json:"elements,omitempty"`
	Placeholder *text      `json:"placeholder,omitempty"`
	InputType   string     `json:"input_type,omitempty"`
	Default     string     `json:"default_value,omitempty"`
	MaxLength   int        `json:"max_length,omitempty"`
	Rows        int        `json:"rows,omitempty"`
	Required    bool       `json:"required,omitempty"`
	Checked     bool       `json:"checked,omitempty"`
	Options     []option   `json:"options,omitempty"`
	Option      string     `json:"initial_option,omitempty"`
	Date        string     `json:"initial_date,omitempty"`
	DateTime    string     `json:"initial_datetime,omitempty"`
	Action      string     `json:"form_action_type,omitempty"`
	Behaviors   []behavior `json:"behaviors,omitempty"`
	Confirm     *confirm   `json:"confirm,omitempty"`
}

type text struct {
	Tag     string            `json:"tag"`
	Content string            `json:"content"`
	I18n    map[string]string `json:"i18n_content,omitempty"`
	Size    string            `json:"text_size,omitempty"`
	Color   string            `json:"text_color,omitempty"`
}

type option struct {
	Text  *text  `json:"text"`
	Value string `json:"value"`
}

type behavior struct {
	Type  string            `json:"type"`
	Value map[string]string `json:"value,omitempty"`
	URL   string            `json:"default_url,omitempty"`
}

type confirm struct {
	Title *text `json:"title"`
	Text  *text `json:"text"`
}

type header struct {
	Title    *text      `json:"title"`
	Subtitle *text      `json:"subtitle,omitempty"`
	Tags     []*element `json:"text_tag_list,omitempty"`
	Template string     `json:"template,omitempty"`
}

type root struct {
	Schema string  `json:"schema"`
	Config config  `json:"config"`
	Header *header `json:"header,omitempty"`
	Body   body    `json:"body"`
}

type config struct {
	Multi   bool     `json:"update_multi"` // all see the same, and it can be changed
	Summary *summary `json:"summary,omitempty"`
}

type summary struct {
	Content string `json:"content"`
}

type body struct {
	Elements []*element `json:"elements"`
}

// size is how many elements e counts as.
func (e *element) size() int {
	n := 1 + len(e.Options)*2
	if e.Text != nil {
		n++
	}
	if e.Placeholder != nil {
		n++
	}
	if e.Confirm != nil {
		n += 2
	}
	for _, list := range [][]*element{e.Columns, e.Elements} {
		for _, x := range list {
			n += x.size()
		}
	}
	return n
}

// plain makes text in which nothing mentions, links or formats. An empty text
// is refused, so it becomes a dash.
func plain(s string) *text {
	if strings.TrimSpace(s) == "" {
		s = "—"
	}
	return &text{Tag: "plain_text", Content: s}
}

func label(s string, limit int) *text { return plain(cut(oneLine(clean(s)), limit)) }

func div(t *text) *element { return &element{Tag: "div", Text: t} }

func small(t *text) *text {
	t.Size, t.Color = "notation", "grey"
	return t
}

// templates are the colours of the title by the card's mood.
var templates = map[cards.Tone]string{
	cards.Open: "orange", cards.Busy: "blue", cards.Paused: "grey", cards.Alarm: "red", cards.Asking: "purple", cards.Good: "green", cards.Gone: "grey",
}

// words are the few of our own that a card needs.
func words(l cards.Lang) (submit, more, choose string) {
	if l == cards.EN {
		return "Send", "More", "Choose"
	}
	return "提交", "更多", "请选择"
}

// drawing collects elements within a budget of elements and bytes.
type drawing struct {
	lang  cards.Lang
	at    spot
	room  int // elements
	left  int // bytes of text
	body  []*element
	group string // the group that a form in private is about
}

// draw makes the JSON of a card. What is too long is cut, ever shorter, until
// the whole fits: text can grow fourfold on its way into a request.
func draw(c cards.Card, at spot, group string) string {
	var out []byte
	for _, share := range []int{100, 70, 45, 25, 10, 4} {
		d := &drawing{lang: c.Lang, at: at, room: maxElements * max(share, 40) / 100, left: 22_000 * share / 100, group: group}
		out = d.card(c)
		if weight(string(out)) < maxBytes-400 { // the request around it
			break
		}
	}
	return string(out)
}

func (d *drawing) card(c cards.Card) []byte {
	r := root{Schema: "2.0", Config: config{Multi: true}}
	if alt := d.alt(c); alt != "" {
		r.Config.Summary = &summary{alt}
	}
	r.Header = d.header(c)
	var feet []*element
	if c.Form == nil {
		// What can be pressed is drawn first, so that a long text never pushes it out.
		d.actions(c.Actions, c.More)
		if c.Note != "" {
			d.add(div(small(plain(d.fit(oneLine(c.Note), 600)))))
		}
		feet, d.body = d.body, nil
		d.ping(c.Ping)
		d.facts(c.Facts)
		d.text(c.Body, maxText)
		d.rows(c.Rows)
	} else {
		d.text(c.Body, maxText)
		d.form(*c.Form)
	}
	if r.Body.Elements = append(d.body, feet...); len(r.Body.Elements) == 0 {
		r.Body.Elements = []*element{div(plain("…"))}
	}
	return encode(r)
}

// encode writes JSON without the escapes that are meant for web pages.
func encode(v any) []byte {
	b, err := plainJSON{}.Serialize(v)
	if err != nil { // structs of text cannot fail
		panic(err)
	}
	return b
}

// add puts an element below what is there, if there is room for it.
func (d *drawing) add(e *element) bool {
	n := e.size()
	if n > d.room {
		return false
	}
	d.room -= n
	d.body = append(d.body, e)
	return true
}

// fit cleans a text and cuts it to a number of characters and to what is left.
func (d *drawing) fit(s string, limit int) string {
	s = trim(cut(clean(s), limit), max(d.left, 8))
	d.left -= weight(s)
	return s
}

// alt is the card in one line, for notifications.
func (d *drawing) alt(c cards.Card) string {
	for _, s := range []string{c.Alt, strings.TrimSpace(c.Tone.Emoji() + " " + c.Title), c.Body} {
		if s = oneLine(clean(s)); s != "" {
			return d.fit(s, maxAlt)
		}
	}
	return ""
}

func (d *drawing) header(c cards.Card) *header {
	if strings.TrimSpace(c.Title) == "" {
		return nil
	}
	h := &header{Title: plain(d.fit(oneLine(c.Title), 200)), Template: templates[c.Tone]}
	if h.Template == "" {
		h.Template = "default"
	}
	d.room -= 3
	var more []string
	for _, b := range c.Badges {
		b = oneLine(clean(b))
		switch {
		case b == "":
		case len(h.Tags) < maxTags && length(b) <= maxTag && len(more) == 0:
			h.Tags = append(h.Tags, &element{Tag: "text_tag", Text: plain(d.fit(b, maxTag)), Color: "neutral"})
			d.room -= 2
		default:
			more = append(more, b)
		}
	}
	if len(more) > 0 {
		h.Subtitle = plain(d.fit(strings.Join(more, " · "), 200))
	}
	return h
}

// ping makes the line that notifies people, of ids only.
func (d *drawing) ping(ids []string) {
	var b strings.Builder
	seen := map[string]bool{}
	for _, id := range ids {
		if len(seen) == 50 {
			break
		}
		if seen[id] || !isID(id, "ou_") {
			continue
		}
		seen[id] = true
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("<at id=" + id + "></at>")
	}
	if b.Len() > 0 {
		d.left -= b.Len()
		d.add(&element{Tag: "markdown", Content: b.String()})
	}
}

// facts stand in two columns, each with its label in grey above it.
func (d *drawing) facts(facts []cards.Fact) {
	var line []*element
	flush := func() bool {
		if len(line) == 0 {
			return true
		}
		if len(line) == 1 {
			line = append(line, column("weighted"))
		}
		ok := d.add(&element{Tag: "column_set", Flex: "none", Spacing: "medium", Columns: line})
		line = nil
		return ok
	}
	for _, f := range facts {
		if f.Label == "" && f.Value == "" && f.Action == nil {
			continue
		}
		if d.room < 20 || d.left < 200 {
			break
		}
		col := column("weighted", div(small(plain(d.fit(oneLine(f.Label), 60)))))
		wide := f.Wide || f.Action != nil || length(f.Value) > 60
		col.Elements = append(col.Elements, div(plain(d.fit(strings.TrimSpace(f.Value), 2000))))
		if !wide {
			if line = append(line, col); len(line) == 2 && !flush() {
				return
			}
			continue
		}
		if !flush() {
			return
		}
		set := &element{Tag: "column_set", Flex: "none", Spacing: "medium", Columns: []*element{col}}
		if f.Action != nil {
			if b := d.button(*f.Action, "small"); b != nil {
				side := column("auto", b)
				side.VAlign = "center"
				set.Columns = append(set.Columns, side)
			}
		}
		if !d.add(set) {
			return
		}
	}
	flush()
}

func column(width string, elements ...*element) *element {
	c := &element{Tag: "column", Width: width, VAlign: "top", Elements: elements}
	if width == "weighted" {
		c.Weight = 1
	}
	return c
}

// text is what people wrote: it may be long and have several lines.
func (d *drawing) text(s string, limit int) {
	if s = strings.TrimSpace(clean(s)); s != "" && d.left > 8 {
		d.add(div(plain(d.fit(s, limit))))
	}
}

// rows have their text on the left and what can be done on the right.
func (d *drawing) rows(rows []cards.Row) {
	for i, r := range rows {
		if d.room < 16 || d.left < 300 {
			d.add(div(small(plain(fmt.Sprintf("… +%d", len(rows)-i)))))
			return
		}
		col := column("weighted", div(plain(d.fit(strings.TrimSpace(r.Tone.Emoji()+" "+oneLine(r.Text)), 500))))
		if strings.TrimSpace(r.Detail) != "" {
			col.Elements = append(col.Elements, div(small(plain(d.fit(oneLine(r.Detail), 500)))))
		}
		set := &element{Tag: "column_set", Flex: "none", Spacing: "small", Columns: []*element{col}}
		for _, a := range r.Actions {
			if b := d.control(a, "small"); b != nil && len(set.Columns) < 4 {
				side := column("auto", b)
				side.VAlign = "center"
				set.Columns = append(set.Columns, side)
			}
		}
		if !d.add(set) {
			return
		}
	}
}

// actions draws the buttons and menus of a card in lines that wrap, and a menu
// of the lesser ones.
func (d *drawing) actions(actions, more []cards.Action) {
	const most = 20 // buttons in all: more are no card any more
	var line []*element
	put := func(e *element) {
		if e != nil && len(line) < most {
			line = append(line, column("auto", e))
		}
	}
	for _, a := range actions {
		put(d.control(a, ""))
	}
	// An entry of a menu asks nothing and leads nowhere: what does not fit there
	// stays a button.
	var options []option
	seen := map[string]bool{}
	for _, a := range more {
		if len(a.Options) > 0 || a.Confirm != "" || a.URL != "" {
			put(d.control(a, ""))
			continue
		}
		if a.Token == "" || len(a.Token) > tokenLimit || seen[a.Token] || len(options) == maxOptions || d.left < 500 {
			continue
		}
		seen[a.Token] = true
		d.left -= weight(a.Token) + 60
		options = append(options, option{label(d.fit(a.Label, maxLabel), maxLabel), a.Token})
	}
	if len(options) > 0 {
		_, word, _ := words(d.lang)
		put(&element{Tag: "select_static", Placeholder: plain(word), Options: options, Behaviors: d.back(moreToken)})
	}
	for len(line) > 0 {
		set := &element{Tag: "column_set", Flex: "flow", Spacing: "small", Columns: line}
		if d.add(set) {
			return
		}
		line = line[:len(line)-1] // the first ones matter most
	}
}

// back says what a press sends us.
func (d *drawing) back(token string) []behavior {
	return []behavior{{Type: "callback", Value: map[string]string{string(d.at): token}}}
}

// control draws a button or a menu; nil when it can only be refused.
func (d *drawing) control(a cards.Action, size string) *element {
	if len(a.Options) == 0 {
		return d.button(a, size)
	}
	options := d.options(a.Options)
	if len(options) == 0 || a.Token == "" || len(a.Token) > tokenLimit || a.Token == moreToken {
		return nil
	}
	_, _, choose := words(d.lang)
	if strings.TrimSpace(a.Label) != "" {
		choose = a.Label
	}
	return &element{Tag: "select_static", Placeholder: label(d.fit(choose, maxLabel), maxLabel), Options: options, Behaviors: d.back(a.Token), Confirm: d.confirm(a)}
}

func (d *drawing) button(a cards.Action, size string) *element {
	b := &element{Tag: "button", Text: label(d.fit(a.Label, maxLabel), maxLabel), Type: "default", Size: size, Confirm: d.confirm(a)}
	switch {
	case len(a.Options) > 0, d.left < 500:
		return nil
	case a.URL != "":
		if !webAddress(a.URL) {
			return nil
		}
		b.Behaviors = []behavior{{Type: "open_url", URL: a.URL}}
	case a.Token == "" || len(a.Token) > tokenLimit || a.Token == moreToken:
		return nil
	default:
		b.Behaviors = d.back(a.Token)
	}
	switch a.Style {
	case cards.Primary:
		b.Type = "primary"
	case cards.Danger:
		b.Type = "danger"
	}
	d.left -= weight(a.Token) + weight(a.URL) + 100
	return b
}

func (d *drawing) confirm(a cards.Action) *confirm {
	if strings.TrimSpace(a.Confirm) == "" {
		return nil
	}
	d.left -= 60
	return &confirm{label(d.fit(a.Label, maxLabel), maxLabel), plain(d.fit(a.Confirm, 300))}
}

// options leaves out what cannot be told apart when it comes back.
func (d *drawing) options(in []cards.Option) []option {
	var out []option
	seen := map[string]bool{}
	for _, o := range in {
		if len(out) == maxOptions || d.left < 500 {
			break
		}
		if o.Value == "" || len(o.Value) > 500 || seen[o.Value] {
			continue
		}
		seen[o.Value] = true
		d.left -= weight(o.Value) + 60
		out = append(out, option{label(d.fit(o.Label, maxLabel), maxLabel), o.Value})
	}
	return out
}

func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= maxURL && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// raw is a card within an answer.
func raw(card string) map[string]any {
	return map[string]any{"type": "raw", "data": json.RawMessage(card)}
}

// done stands where a form was, once it has been sent and nothing more is to be said.
func done() string {
	return string(bytes.TrimSpace(encode(root{Schema: "2.0", Config: config{Multi: true}, Body: body{[]*element{
		div(&text{Tag: "plain_text", Content: "✓ 已提交", I18n: map[string]string{"zh_cn": "✓ 已提交", "en_us": "✓ Sent"}}),
	}}})))
}
