package feishu

import (
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

// element is anything of a card that has a tag. What is empty is left out.
type element struct {
	tag         string
	name        string
	content     string // of markdown
	color       string
	text        *text
	kind        string // type
	size        string
	width       string
	weight      int
	align       string // vertical_align
	flex        string // flex_mode
	spacing     string // horizontal_spacing
	columns     []*element
	elements    []*element
	placeholder *text
	inputType   string
	value       string // default_value
	maxLength   int
	rows        int
	required    bool
	checked     bool
	options     []option
	option      string            // initial_option
	date        string            // initial_date
	dateTime    string            // initial_datetime
	action      string            // form_action_type
	back        map[string]string // what a press sends us
	url         string            // where a press leads
	confirm     *confirm
}

type text struct {
	content     string
	en          string // the same in English, where the client is
	size, color string
}

type option struct {
	text  *text
	value string
}

type confirm struct{ title, text *text }

type header struct {
	title, subtitle *text
	tags            []*element
	template        string
}

// count is how many elements e counts as.
func (e *element) count() int {
	n := 1 + len(e.options)*2 // each may have a text
	if e.text != nil {
		n++
	}
	if e.placeholder != nil {
		n++
	}
	if e.confirm != nil {
		n += 2
	}
	for _, list := range [...][]*element{e.columns, e.elements} {
		for _, x := range list {
			n += x.count()
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
	return &text{content: s}
}

func label(s string, limit int) *text { return plain(cut(oneLine(clean(s)), limit)) }

func div(t *text) *element { return &element{tag: "div", text: t} }

func small(t *text) *text {
	t.size, t.color = "notation", "grey"
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

	people []string // who can be picked in a form in private; nil = who is in the chat
}

// draw makes the JSON of a card; group and people are for forms in private. What is too long is cut, ever shorter, until
// the whole fits: text can grow fourfold on its way into a request.
func draw(c cards.Card, at spot, group string, people ...string) string {
	var out []byte
	for _, share := range []int{100, 70, 45, 25, 10, 4} {
		d := &drawing{lang: c.Lang, at: at, room: maxElements * max(share, 40) / 100, left: 22_000 * share / 100, group: group, people: people}
		out = d.card(c)
		if escaped(out) < maxBytes-400 { // the request around it
			break
		}
	}
	return string(out)
}

func (d *drawing) card(c cards.Card) []byte {
	alt, head := d.alt(c), d.header(c)
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
	body := append(d.body, feet...)
	if len(body) == 0 {
		head, body = d.line(c, head)
	}
	return cardJSON(alt, head, body)
}

// line draws a card that has nothing below its title, for a card must: what
// stands beside the title stands below it, and a title alone is a line of text.
func (d *drawing) line(c cards.Card, h *header) (*header, []*element) {
	if h == nil {
		return nil, nil
	}
	if badges := oneLine(clean(strings.Join(c.Badges, " · "))); badges != "" {
		h.tags, h.subtitle = nil, nil
		return h, []*element{div(plain(d.fit(badges, 200)))}
	}
	if e := c.Tone.Emoji(); e != "" {
		h.title.content = e + " " + h.title.content
	}
	return nil, []*element{div(h.title)}
}

// add puts an element below what is there, if there is room for it.
func (d *drawing) add(e *element) bool {
	n := e.count()
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
	h := &header{title: plain(d.fit(oneLine(c.Title), 200)), template: templates[c.Tone]}
	if h.template == "" {
		h.template = "default"
	}
	d.room -= 3
	var more []string
	for _, b := range c.Badges {
		b = oneLine(clean(b))
		switch {
		case b == "":
		case len(h.tags) < maxTags && length(b) <= maxTag && len(more) == 0:
			h.tags = append(h.tags, &element{tag: "text_tag", text: plain(d.fit(b, maxTag)), color: "neutral"})
			d.room -= 2
		default:
			more = append(more, b)
		}
	}
	if len(more) > 0 {
		h.subtitle = plain(d.fit(strings.Join(more, " · "), 200))
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
		d.add(&element{tag: "markdown", content: b.String()})
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
		ok := d.add(&element{tag: "column_set", flex: "none", spacing: "medium", columns: line})
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
		col.elements = append(col.elements, div(plain(d.fit(strings.TrimSpace(f.Value), 2000))))
		if !wide {
			if line = append(line, col); len(line) == 2 && !flush() {
				return
			}
			continue
		}
		if !flush() {
			return
		}
		set := &element{tag: "column_set", flex: "none", spacing: "medium", columns: []*element{col}}
		if f.Action != nil {
			if b := d.button(*f.Action, "small"); b != nil {
				side := column("auto", b)
				side.align = "center"
				set.columns = append(set.columns, side)
			}
		}
		if !d.add(set) {
			return
		}
	}
	flush()
}

func column(width string, elements ...*element) *element {
	c := &element{tag: "column", width: width, align: "top", elements: elements}
	if width == "weighted" {
		c.weight = 1
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
			col.elements = append(col.elements, div(small(plain(d.fit(oneLine(r.Detail), 500)))))
		}
		set := &element{tag: "column_set", flex: "none", spacing: "small", columns: []*element{col}}
		for _, a := range r.Actions {
			if b := d.control(a, "small"); b != nil && len(set.columns) < 4 {
				side := column("auto", b)
				side.align = "center"
				set.columns = append(set.columns, side)
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
		put(&element{tag: "select_static", placeholder: plain(word), options: options, back: d.back(moreToken)})
	}
	for len(line) > 0 {
		set := &element{tag: "column_set", flex: "flow", spacing: "small", columns: line}
		if d.add(set) {
			return
		}
		line = line[:len(line)-1] // the first ones matter most
	}
}

// back says what a press sends us.
func (d *drawing) back(token string) map[string]string { return map[string]string{string(d.at): token} }

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
	return &element{tag: "select_static", placeholder: label(d.fit(choose, maxLabel), maxLabel), options: options, back: d.back(a.Token), confirm: d.confirm(a)}
}

func (d *drawing) button(a cards.Action, size string) *element {
	b := &element{tag: "button", text: label(d.fit(a.Label, maxLabel), maxLabel), kind: "default", size: size, confirm: d.confirm(a)}
	switch {
	case len(a.Options) > 0, d.left < 500:
		return nil
	case a.URL != "":
		if !webAddress(a.URL) {
			return nil
		}
		b.url = a.URL
	case a.Token == "" || len(a.Token) > tokenLimit || a.Token == moreToken:
		return nil
	default:
		b.back = d.back(a.Token)
	}
	switch a.Style {
	case cards.Primary:
		b.kind = "primary"
	case cards.Danger:
		b.kind = "danger"
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
	return string(cardJSON("", nil, []*element{div(&text{content: "✓ 已提交", en: "✓ Sent"})}))
}
