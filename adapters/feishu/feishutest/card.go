package feishutest

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// CheckCard says everything that Feishu would refuse in a card of schema 2.0,
// each as the sub-code and text that stand behind "ext=" of error 230099. No
// lines: it is accepted. Cards of schema 1.0 are not for this emulator.
// https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/card-json-v2-structure
func CheckCard(card []byte) []string {
	c := &checker{ids: map[string]bool{}, names: map[string]bool{}}
	if len(card) > maxCard {
		c.says = append(c.says, fmt.Sprintf("ErrCode: 230025; ErrMsg: the card has %d bytes, more than 30 KB; ", len(card)))
	}
	var root object
	if err := json.Unmarshal(card, &root); err != nil || root == nil {
		c.bad(nil, "not an object")
		return c.says
	}
	c.root(root)
	// What is named by a tag counts as an element, texts and choices included.
	if n := count(root); n > maxElements {
		c.fail(11310, "card element number over limit", fmt.Sprint(n))
	}
	return c.says
}

// maxElements is what was seen to be accepted; 200 are documented, and refused.
const maxElements = 180

func count(v any) int {
	n := 0
	switch x := v.(type) {
	case object:
		if _, ok := x["tag"].(string); ok {
			n++
		}
		for key, y := range x {
			if key != "value" && key != "chart_spec" { // the app's own data
				n += count(y)
			}
		}
	case []any:
		for _, y := range x {
			n += count(y)
		}
	}
	return n
}

type checker struct {
	says   []string
	ids    map[string]bool // element_id
	names  map[string]bool // of what asks something
	tables int
}

// where is what stands around an element.
type where struct {
	path   []string
	depth  int
	form   bool
	submit *bool // set when the form around has its button
}

func (w where) in(step string) where {
	w.path = append(slices.Clone(w.path), step)
	return w
}

func (c *checker) fail(code int, msg, value string) {
	c.says = append(c.says, fmt.Sprintf("ErrCode: %d; ErrMsg: %s; ErrorValue: %s; ", code, msg, value))
}

func (c *checker) bad(path []string, format string, args ...any) {
	c.fail(200621, "parse card json err, please check whether the card json is correct", fmt.Sprintf(format, args...)+", path: ["+strings.Join(path, " -> ")+"]")
}

func words(s string) map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		out[w] = true
	}
	return out
}

// kind is what is known about a tag.
type kind struct {
	keys  map[string]bool // besides those of every element
	asks  bool            // somebody can press it or fill it in
	holds bool            // has elements of its own
	free  bool            // keys are not checked
}

const (
	everywhere = "tag element_id margin"
	laying     = "padding direction vertical_spacing horizontal_spacing vertical_align horizontal_align"
	asking     = "name required disabled disabled_tips confirm behaviors width type hover_tips value"
)

func has(keys string) kind { return kind{keys: words(everywhere + " " + keys)} }
func asks(keys string) kind {
	return kind{keys: words(everywhere + " " + asking + " " + keys), asks: true}
}
func holds(keys string) kind {
	return kind{keys: words(everywhere + " " + laying + " " + keys), holds: true}
}

var kinds = map[string]kind{
	"markdown":            has("content i18n_content text_size text_align icon href"),
	"div":                 has("text fields icon width extra"),
	"plain_text":          has("content i18n_content text_size text_color text_align lines icon"),
	"lark_md":             has("content i18n_content text_size text_color text_align lines icon"),
	"hr":                  has(""),
	"img":                 has("img_key i18n_img_key alt title mode preview size corner_radius scale_type transparent custom_width compact_width"),
	"img_combination":     has("combination_mode combination_transparent corner_radius img_list"),
	"person":              has("user_id user_id_type style show_name show_avatar size"),
	"person_list":         has("persons lines drop_invalid_user_id show_name show_avatar size icon user_id_type"),
	"chart":               has("aspect_ratio height color_theme preview chart_spec"),
	"table":               has("page_size row_height row_max_height freeze_first_column header_style columns rows"),
	"audio":               {free: true},
	"standard_icon":       {free: true},
	"custom_icon":         {free: true},
	"text_tag":            {free: true},
	"local_datetime":      {free: true},
	"select_img":          {free: true, asks: true},
	"column_set":          holds("flex_mode background_style action columns"),
	"column":              holds("width weight background_style action elements"),
	"form":                holds("name elements confirm"),
	"collapsible_panel":   holds("expanded background_color border header elements"),
	"button":              asks("size text icon form_action_type url multi_url action_type complex_interaction"),
	"input":               asks("placeholder default_value max_length input_type show_icon rows auto_resize max_rows label label_position fallback"),
	"select_static":       asks("placeholder options initial_option initial_index"),
	"multi_select_static": asks("placeholder options initial_options selected_values"),
	"select_person":       asks("placeholder options initial_option"),
	"multi_select_person": asks("placeholder options selected_values initial_options"),
	"date_picker":         asks("placeholder initial_date"),
	"picker_time":         asks("placeholder initial_time"),
	"picker_datetime":     asks("placeholder initial_datetime"),
	"overflow":            asks("options text"),
	"checker":             asks("text checked overall_checkable button_area checked_style padding"),
	"interactive_container": {
		keys: words(everywhere + " " + laying + " width height background_style border has_border border_color corner_radius behaviors hover_tips disabled disabled_tips confirm elements"),
		asks: true, holds: true,
	},
}

var (
	configKeys = words("update_multi streaming_mode streaming_config summary locales width_mode enable_forward enable_forward_interaction use_custom_translation style")
	bodyKeys   = words(laying + " elements")
	headerKeys = words("title subtitle text_tag_list i18n_text_tag_list template icon ud_icon padding")
	templates  = words("blue wathet turquoise green yellow orange red carmine violet purple indigo grey default")
	tagColors  = words("neutral blue turquoise lime orange violet indigo wathet green yellow red purple carmine")
	buttons    = words("default primary danger text primary_text danger_text primary_filled danger_filled laser")
	widthModes = words("default compact fill")
	inputTypes = words("text multiline_text password")
)

func (c *checker) known(o object, keys map[string]bool, path []string) {
	for _, k := range slices.Sorted(maps.Keys(o)) {
		if !keys[k] {
			c.bad(path, "unknown property, property: %s", k)
		}
	}
}

// oneOf checks a word that may be left out.
func (c *checker) oneOf(o object, key string, all map[string]bool, path []string) {
	v, there := o[key]
	if s, ok := v.(string); there && (!ok || !all[s]) {
		c.bad(path, "%s is not supported: %v", key, v)
	}
}

func (c *checker) root(o object) {
	c.known(o, words("schema config card_link header body"), nil)
	if o["schema"] != "2.0" {
		c.bad([]string{"schema"}, "unsupported schema %v", o["schema"])
	}
	if v, there := o["config"]; there {
		conf, ok := v.(object)
		if !ok {
			c.bad([]string{"config"}, "config must be an object")
		}
		c.known(conf, configKeys, []string{"config"})
		c.oneOf(conf, "width_mode", widthModes, []string{"config"})
		if v, there := conf["update_multi"]; there && v != true {
			c.bad([]string{"config"}, "update_multi must be true for schema 2.0")
		}
	}
	head, hasHead := o["header"]
	if hasHead {
		c.header(head)
	}
	body, ok := o["body"].(object)
	if !ok {
		if _, there := o["body"]; there || !hasHead {
			c.bad(nil, "body is required")
		}
		return
	}
	c.known(body, bodyKeys, []string{"body"})
	if v, there := body["elements"]; there {
		c.elements(v, where{path: []string{"body", "elements"}, depth: 1})
	}
}

func (c *checker) header(v any) {
	path := []string{"header"}
	h, ok := v.(object)
	if !ok {
		c.bad(path, "header must be an object")
		return
	}
	c.known(h, headerKeys, path)
	c.text(h, "title", path, true, 0, "plain_text", "lark_md")
	c.text(h, "subtitle", path, false, 0, "plain_text", "lark_md")
	c.oneOf(h, "template", templates, path)
	tags, _ := h["text_tag_list"].([]any)
	if len(tags) > 3 {
		c.bad(path, "text_tag_list has more than 3")
	}
	for i, v := range tags {
		at := append(slices.Clone(path), fmt.Sprintf("text_tag_list[%d]", i))
		t, _ := v.(object)
		if t["tag"] != "text_tag" {
			c.bad(at, "type of element is not supported tag: %v", t["tag"])
			continue
		}
		c.known(t, words("tag element_id text color"), at)
		c.text(t, "text", at, true, 0, "plain_text")
		c.oneOf(t, "color", tagColors, at)
	}
}

// text checks the object that key holds: its tag, its content and how long that
// may be (0: as it likes).
func (c *checker) text(o object, key string, path []string, required bool, most int, tags ...string) {
	v, there := o[key]
	if !there {
		if required {
			c.bad(path, "%s is required", key)
		}
		return
	}
	path = append(slices.Clone(path), key)
	t, ok := v.(object)
	if !ok {
		c.bad(path, "text must be an object")
		return
	}
	tag, _ := t["tag"].(string)
	if !slices.Contains(tags, tag) {
		c.bad(path, "type of text is not supported tag: %s", tag)
		return
	}
	c.known(t, kinds[tag].keys, path)
	c.content(t, path)
	if s, _ := t["content"].(string); most > 0 && utf8.RuneCountInString(s) > most {
		c.bad(path, "content is longer than %d", most)
	}
}

func (c *checker) content(o object, path []string) {
	if _, ok := o["content"].(string); !ok && o["i18n_content"] == nil {
		c.bad(path, "content is required")
	}
}

func (c *checker) elements(v any, w where) {
	list, ok := v.([]any)
	if !ok {
		c.bad(w.path, "elements must be an array")
		return
	}
	for i, x := range list {
		e, _ := x.(object)
		tag, _ := e["tag"].(string)
		c.element(e, tag, w.in(fmt.Sprintf("[%d](tag: %s)", i, tag)))
	}
}

var elementID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,19}$`)

func (c *checker) element(e object, tag string, w where) {
	k, supported := kinds[tag]
	switch {
	case tag == "":
		c.bad(w.path, "tag is required")
		return
	case tag == "action" || tag == "note":
		c.fail(200861, "cards of schema V2 no longer support this capability", fmt.Sprintf("unsupported tag %s; ErrPath: %s", tag, strings.Join(w.path, " -> ")))
		return
	case !supported || tag == "column" || tag == "text_tag":
		c.bad(w.path, "type of element is not supported tag: %s", tag)
		return
	}
	if !k.free {
		c.known(e, k.keys, w.path)
	}
	c.elementID(e, w.path)
	if w.depth > 5 {
		c.bad(w.path, "nesting over limit")
	}
	c.special(e, tag, w)
	if k.asks {
		c.asked(e, tag, w)
	}
	if k.holds && tag != "column_set" && tag != "form" {
		inner := w
		inner.depth++
		if v, there := e["elements"]; there {
			c.elements(v, inner)
		}
	}
}

func (c *checker) elementID(e object, path []string) {
	v, there := e["element_id"]
	if !there {
		return
	}
	id, _ := v.(string)
	if !elementID.MatchString(id) {
		c.bad(path, "invalid element_id %v", v)
	}
	if c.ids[id] {
		c.bad(path, "duplicate element_id %s", id)
	}
	c.ids[id] = true
}

// special checks what only one tag has.
func (c *checker) special(e object, tag string, w where) {
	plain := func(key string, required bool, most int) { c.text(e, key, w.path, required, most, "plain_text") }
	rootOnly := func() {
		if w.depth > 1 {
			c.bad(w.path, "type of element is not supported tag: %s; it stands at the root of the body only", tag)
		}
	}
	switch tag {
	case "markdown", "plain_text", "lark_md":
		c.content(e, w.path)
	case "div":
		fields, _ := e["fields"].([]any)
		if e["text"] == nil && len(fields) == 0 {
			c.bad(w.path, "text or fields is required")
		}
		c.text(e, "text", w.path, false, 0, "plain_text", "lark_md")
		for i, f := range fields {
			o, _ := f.(object)
			c.text(o, "text", w.in(fmt.Sprintf("fields[%d]", i)).path, true, 0, "plain_text", "lark_md")
		}
		if x, ok := e["extra"].(object); ok {
			inner := w.in("extra")
			inner.depth++
			t, _ := x["tag"].(string)
			c.element(x, t, inner)
		}
	case "img":
		if s, _ := e["img_key"].(string); s == "" {
			c.bad(w.path, "img_key is required")
		}
	case "column_set":
		c.columns(e, w)
	case "table":
		rootOnly()
		c.table(e, w.path)
	case "form":
		rootOnly()
		c.form(e, w)
	case "collapsible_panel":
		head, _ := e["header"].(object)
		c.text(head, "title", w.in("header").path, true, 0, "plain_text", "markdown")
	case "button":
		plain("text", false, 100)
		c.oneOf(e, "type", buttons, w.path)
	case "input":
		plain("placeholder", false, 100)
		plain("label", false, 0)
		c.oneOf(e, "input_type", inputTypes, w.path)
		most := 1000.0
		if v, there := e["max_length"]; there {
			n, ok := v.(float64)
			if !ok || n < 1 || n > 1000 {
				c.bad(w.path, "max_length is not between 1 and 1000: %v", v)
			}
			most = n
		}
		if s, _ := e["default_value"].(string); float64(utf8.RuneCountInString(s)) > most {
			c.bad(w.path, "default_value is longer than max_length")
		}
	case "select_static", "multi_select_static", "overflow":
		plain("placeholder", false, 100)
		c.options(e, tag, w)
	case "select_person", "multi_select_person":
		plain("placeholder", false, 100)
	case "date_picker":
		plain("placeholder", false, 100)
		c.moment(e, "initial_date", time.DateOnly, w.path)
	case "picker_time":
		plain("placeholder", false, 100)
		c.moment(e, "initial_time", "15:04", w.path)
	case "picker_datetime":
		plain("placeholder", false, 100)
		c.moment(e, "initial_datetime", "2006-01-02 15:04", w.path)
	case "checker":
		c.text(e, "text", w.path, false, 0, "plain_text", "lark_md")
	}
}

func (c *checker) moment(e object, key, layout string, path []string) {
	v, there := e[key]
	if !there {
		return
	}
	s, _ := v.(string)
	if _, err := time.Parse(layout, s); err != nil {
		c.bad(path, "%s is not like %s: %v", key, layout, v)
	}
}

func (c *checker) columns(e object, w where) {
	list, ok := e["columns"].([]any)
	if !ok {
		c.bad(w.path, "columns is required")
	}
	for i, x := range list {
		at := w.in(fmt.Sprintf("columns[%d]", i))
		col, _ := x.(object)
		if col["tag"] != "column" {
			c.bad(at.path, "columns must have tag column")
			continue
		}
		c.known(col, kinds["column"].keys, at.path)
		c.elementID(col, at.path)
		at.depth++
		if v, there := col["elements"]; there {
			c.elements(v, at)
		}
	}
}

func (c *checker) table(e object, path []string) {
	if c.tables++; c.tables > 5 {
		c.fail(11310, "card table number over limit", "table")
	}
	columns, ok := e["columns"].([]any)
	_, rows := e["rows"].([]any)
	if !ok || !rows {
		c.bad(path, "columns and rows are required")
	}
	if len(columns) > 50 {
		c.bad(path, "columns has more than 50")
	}
	if n, there := e["page_size"].(float64); there && (n < 1 || n > 10) {
		c.bad(path, "page_size is not between 1 and 10: %v", n)
	}
}

func (c *checker) form(e object, w where) {
	name, _ := e["name"].(string)
	if name == "" {
		c.bad(w.path, "name is required")
	} else if c.names[name] {
		c.bad(w.path, "duplicate name %s", name)
	}
	c.names[name] = true
	submit := false
	inner := w
	inner.depth++
	inner.form, inner.submit = true, &submit
	c.elements(e["elements"], inner)
	if !submit {
		c.bad(w.path, "form needs a submit button")
	}
}

func (c *checker) options(e object, tag string, w where) {
	list, ok := e["options"].([]any)
	if !ok {
		c.bad(w.path, "options is required")
	}
	values := map[string]bool{}
	for i, x := range list {
		at := w.in(fmt.Sprintf("options[%d]", i))
		o, _ := x.(object)
		v, isText := o["value"].(string)
		switch link := o["url"] != nil || o["multi_url"] != nil; {
		case !isText && !(tag == "overflow" && link):
			c.bad(at.path, "option value must be a string")
		case isText && values[v]:
			c.bad(at.path, "duplicate option value %s", v)
		}
		values[v] = isText
		c.text(o, "text", at.path, true, 100, "plain_text")
	}
	if v, there := e["initial_option"]; there && tag == "select_static" {
		if s, ok := v.(string); !ok || !values[s] {
			c.bad(w.path, "initial_option is none of the options: %v", v)
		}
	}
}

// asked checks what all have in common that can be pressed or filled in.
func (c *checker) asked(e object, tag string, w where) {
	submit := e["form_action_type"] == "submit" || e["action_type"] == "form_submit"
	if v, there := e["form_action_type"]; there && v != "submit" && v != "reset" {
		c.bad(w.path, "form_action_type is not supported: %v", v)
	}
	if e["form_action_type"] != nil && !w.form {
		c.bad(w.path, "form_action_type is for buttons in a form")
	}
	if w.form && submit && tag == "button" {
		*w.submit = true
	}
	name, _ := e["name"].(string)
	switch {
	case name == "" && w.form && tag != "interactive_container":
		c.bad(w.path, "name is required in a form (tag: %s)", tag)
	case name != "" && c.names[name]:
		c.bad(w.path, "duplicate name %s", name)
	}
	if name != "" {
		c.names[name] = true
	}
	if v, there := e["confirm"]; there {
		o, ok := v.(object)
		if !ok {
			c.bad(w.path, "confirm must be an object")
		}
		at := w.in("confirm").path
		c.known(o, words("title text"), at)
		c.text(o, "title", at, true, 0, "plain_text")
		c.text(o, "text", at, true, 0, "plain_text")
	}
	v, there := e["behaviors"]
	if !there {
		return
	}
	list, ok := v.([]any)
	if !ok {
		c.bad(w.path, "behaviors must be an array")
	}
	for _, x := range list {
		b, _ := x.(object)
		switch b["type"] {
		case "callback":
			switch b["value"].(type) {
			case object, string:
			default:
				c.bad(w.path, "callback value must be an object or a string")
			}
		case "open_url":
			if s, _ := b["default_url"].(string); s == "" && b["pc_url"] == nil {
				c.bad(w.path, "default_url is required")
			}
		case "form_action":
		default:
			c.bad(w.path, "unsupported behavior %v", b["type"])
		}
	}
}
