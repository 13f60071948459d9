package wecomtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Template cards: https://developer.work.weixin.qq.com/document/path/90236 for
// the app, https://developer.work.weixin.qq.com/document/path/101032 for the robot.

// The surfaces that show cards.
const (
	OnApp   = "app"
	OnRobot = "robot"
)

type object = map[string]any

// flaw is a reason to refuse a card, with its errcode.
type flaw struct {
	code int
	text string
}

// CheckCard says why a new card would be refused on a surface ("app" or
// "robot"); nothing means that it would be taken. What is too long but only cut
// by the client is not told here: see CutCard.
func CheckCard(surface string, card []byte) []string {
	var out []string
	for _, f := range inspect(surface, card, false) {
		out = append(out, fmt.Sprintf("%d %s", f.code, f.text))
	}
	return out
}

// checker gathers what is wrong with a card.
type checker struct {
	surface string
	flaws   []flaw
}

func (c *checker) bad(code int, format string, args ...any) {
	c.flaws = append(c.flaws, flaw{code, fmt.Sprintf(format, args...)})
}

// inspect goes through a card. What replaces a card needs no task_id and no
// button to submit with.
func inspect(surface string, raw []byte, replaces bool) []flaw {
	c := &checker{surface: surface}
	var card object
	if err := json.Unmarshal(raw, &card); err != nil || card == nil {
		return []flaw{{40058, "template_card is no object"}}
	}
	kind, _ := card["card_type"].(string)
	if !slices.Contains([]string{"text_notice", "news_notice", "button_interaction", "vote_interaction", "multiple_interaction"}, kind) {
		return []flaw{{42031, fmt.Sprintf("card_type %q is invalid", kind)}}
	}
	c.shapes(card)
	if len(c.flaws) > 0 {
		return c.flaws
	}
	c.head(kind, card)
	c.lists(card)
	c.controls(kind, card, replaces)
	task, given := card["task_id"]
	id, _ := task.(string)
	if given && !taskForm.MatchString(id) {
		c.bad(42014, "task_id is made of 1 to 128 digits, letters and _-@")
	}
	if !given && !replaces && callsBack(card) {
		c.bad(42014, "task_id is required")
	}
	return c.flaws
}

var taskForm = regexp.MustCompile(`^[0-9A-Za-z_\-@]{1,128}$`)

// callsBack reports whether pressing something on the card reaches the app.
func callsBack(card object) bool {
	kind, _ := card["card_type"].(string)
	return strings.HasSuffix(kind, "_interaction") || card["action_menu"] != nil
}

// shapes checks that objects are objects, lists lists and texts texts.
func (c *checker) shapes(card object) {
	for _, key := range []string{"source", "main_title", "emphasis_content", "quote_area", "card_action", "card_image", "image_text_area", "action_menu", "button_selection", "checkbox", "submit_button"} {
		if v, ok := card[key]; ok {
			if o, ok := v.(object); !ok {
				c.bad(40058, "%s is no object", key)
			} else {
				c.texts(key, o)
			}
		}
	}
	for _, key := range []string{"horizontal_content_list", "vertical_content_list", "jump_list", "button_list", "select_list"} {
		v, ok := card[key]
		if !ok {
			continue
		}
		list, ok := v.([]any)
		if !ok {
			c.bad(40058, "%s is no list", key)
		}
		for _, x := range list {
			if o, ok := x.(object); !ok {
				c.bad(40058, "%s holds something that is no object", key)
			} else {
				c.texts(key, o)
			}
		}
	}
	c.texts("template_card", card)
}

var textKeys = []string{"title", "desc", "text", "key", "url", "keyname", "value", "question_key", "id", "appid", "pagepath", "media_id", "userid", "quote_text", "sub_title_text", "task_id", "replace_text", "selected_id", "icon_url"}

func (c *checker) texts(where string, o object) {
	for _, key := range textKeys {
		if v, ok := o[key]; ok {
			if _, ok := v.(string); !ok {
				c.bad(40058, "%s.%s is no text", where, key)
			}
		}
	}
}

func text(o any, key string) string {
	m, _ := o.(object)
	s, _ := m[key].(string)
	return s
}

func number(o any, key string) (n int, ok bool) {
	m, _ := o.(object)
	v, given := m[key]
	if !given {
		return 0, true
	}
	f, isNumber := v.(float64)
	return int(f), isNumber && f == float64(int(f))
}

func items(o any, key string) []object {
	m, _ := o.(object)
	list, _ := m[key].([]any)
	var out []object
	for _, x := range list {
		if e, ok := x.(object); ok {
			out = append(out, e)
		}
	}
	return out
}

// head checks what stands above the controls.
func (c *checker) head(kind string, card object) {
	title := text(card["main_title"], "title")
	switch {
	case kind == "text_notice" && title == "" && text(card, "sub_title_text") == "":
		c.bad(42033, "main_title.title or sub_title_text is required")
	case kind != "text_notice" && title == "":
		c.bad(42033, "main_title.title is required")
	}
	if n, ok := number(card["source"], "desc_color"); !ok || n < 0 || n > 3 {
		c.bad(40058, "source.desc_color is 0 to 3")
	}
	action, given := card["card_action"].(object)
	if strings.HasSuffix(kind, "_notice") {
		if n, _ := number(action, "type"); !given || n != 1 && n != 2 {
			c.bad(42045, "card_action with type 1 or 2 is required")
		}
	}
	if given {
		c.link("card_action", action, 42045, 0, 1, 2)
	}
	if quote, ok := card["quote_area"].(object); ok {
		c.link("quote_area", quote, 40058, 0, 1, 2)
	}
	if kind == "news_notice" && text(card["card_image"], "url") == "" && text(card["image_text_area"], "image_url") == "" {
		c.bad(42044, "card_image.url or image_text_area.image_url is required")
	}
	if image, ok := card["card_image"].(object); ok {
		if r, given := image["aspect_ratio"]; given {
			if f, ok := r.(float64); !ok || f < 1.3 || f >= 2.25 {
				c.bad(42044, "card_image.aspect_ratio is from 1.3 to below 2.25")
			}
		}
	}
	if area, ok := card["image_text_area"].(object); ok {
		c.link("image_text_area", area, 40058, 0, 1, 2)
	}
}

// link checks something that leads elsewhere: type 1 to a page, 2 to a mini program.
func (c *checker) link(where string, o object, code int, types ...int) {
	n, ok := number(o, "type")
	if !ok || !slices.Contains(types, n) {
		c.bad(code, "%s.type %v is invalid", where, o["type"])
		return
	}
	switch url := text(o, "url"); {
	case n == 1 && url == "":
		c.bad(42028, "%s.url is required for type 1", where)
	case n == 1 && !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://"):
		c.bad(45034, "%s.url needs http:// or https://", where)
	case n == 2 && where != "horizontal_content_list" && text(o, "appid") == "":
		c.bad(42030, "%s.appid is required for type 2", where)
	}
}

// lists checks the lists that every kind of card may have.
func (c *checker) lists(card object) {
	rows := items(card, "horizontal_content_list")
	if len(rows) > 6 {
		c.bad(42035, "horizontal_content_list has at most 6")
	}
	kinds := []int{0, 1, 2, 3}
	if c.surface == OnRobot {
		kinds = []int{0, 1, 3}
	}
	for _, row := range rows {
		if text(row, "keyname") == "" {
			c.bad(42027, "horizontal_content_list.keyname is required")
		}
		c.link("horizontal_content_list", row, 40058, kinds...)
		n, _ := number(row, "type")
		if n == 2 && text(row, "media_id") == "" {
			c.bad(42029, "horizontal_content_list.media_id is required for type 2")
		}
		if n == 3 && text(row, "userid") == "" {
			c.bad(42050, "horizontal_content_list.userid is required for type 3")
		}
	}
	lines := items(card, "vertical_content_list")
	if len(lines) > 4 {
		c.bad(42036, "vertical_content_list has at most 4")
	}
	for _, line := range lines {
		if text(line, "title") == "" {
			c.bad(42033, "vertical_content_list.title is required")
		}
	}
	jumps := items(card, "jump_list")
	if len(jumps) > 3 {
		c.bad(42042, "jump_list has at most 3")
	}
	kinds = []int{0, 1, 2}
	if c.surface == OnRobot {
		kinds = []int{0, 1, 2, 3}
	}
	for _, jump := range jumps {
		if text(jump, "title") == "" {
			c.bad(42033, "jump_list.title is required")
		}
		c.link("jump_list", jump, 40058, kinds...)
		if n, _ := number(jump, "type"); n == 3 && len(text(jump, "question")) > 200 {
			c.bad(40058, "jump_list.question has at most 200 bytes")
		}
	}
	menu, ok := card["action_menu"].(object)
	if !ok {
		return
	}
	actions := items(menu, "action_list")
	if len(actions) < 1 || len(actions) > 3 {
		c.bad(40058, "action_menu.action_list has 1 to 3")
	}
	keys := map[string]bool{}
	for _, a := range actions {
		key := text(a, "key")
		if key == "" || len(key) > 1024 {
			c.bad(42018, "action_list.key has 1 to 1024 bytes")
		}
		if keys[key] {
			c.bad(42051, "action_list.key %q is there twice", key)
		}
		keys[key] = true
		if text(a, "text") == "" {
			c.bad(42020, "action_list.text is required")
		}
	}
}

// controls checks what people press and choose from.
func (c *checker) controls(kind string, card object, replaces bool) {
	if kind != "button_interaction" && card["button_list"] != nil {
		c.bad(40058, "button_list is for button_interaction only")
	}
	switch kind {
	case "button_interaction":
		c.buttons(items(card, "button_list"))
		if selection, ok := card["button_selection"].(object); ok {
			c.question("button_selection", selection, 10)
		}
	case "vote_interaction":
		box, _ := card["checkbox"].(object)
		c.question("checkbox", box, 20)
		if n, ok := number(box, "mode"); !ok || n != 0 && n != 1 {
			c.bad(40058, "checkbox.mode is 0 or 1")
		}
	case "multiple_interaction":
		list := items(card, "select_list")
		if len(list) < 1 || len(list) > 3 {
			c.bad(42047, "select_list has 1 to 3")
		}
		seen := map[string]bool{}
		for _, s := range list {
			c.question("select_list", s, 10)
			if key := text(s, "question_key"); seen[key] {
				c.bad(42043, "select_list.question_key %q is there twice", key)
			} else {
				seen[key] = true
			}
		}
	}
	if (kind == "vote_interaction" || kind == "multiple_interaction") && !(replaces && card["submit_button"] == nil) {
		if key := text(card["submit_button"], "key"); key == "" || len(key) > 1024 {
			c.bad(42046, "submit_button.key has 1 to 1024 bytes")
		}
		if text(card["submit_button"], "text") == "" {
			c.bad(42049, "submit_button.text is required")
		}
	}
}

func (c *checker) buttons(list []object) {
	if len(list) < 1 || len(list) > 6 {
		c.bad(40058, "button_list has 1 to 6")
	}
	keys := map[string]bool{}
	for _, b := range list {
		if text(b, "text") == "" {
			c.bad(42038, "button_list.text is required")
		}
		if n, ok := number(b, "style"); !ok || n < 0 || n > 4 {
			c.bad(40058, "button_list.style is 1 to 4")
		}
		if n, _ := number(b, "type"); n != 0 {
			c.link("button_list", b, 40058, 1)
			continue
		}
		key := text(b, "key")
		if key == "" || len(key) > 1024 {
			c.bad(42039, "button_list.key has 1 to 1024 bytes")
		}
		if keys[key] {
			c.bad(42039, "button_list.key %q is there twice", key)
		}
		keys[key] = true
	}
}

func (c *checker) question(where string, o object, most int) {
	if key := text(o, "question_key"); key == "" || len(key) > 1024 {
		c.bad(42043, "%s.question_key has 1 to 1024 bytes", where)
	}
	options := items(o, "option_list")
	if len(options) < 1 || len(options) > most {
		c.bad(42037, "%s.option_list has 1 to %d", where, most)
	}
	seen := map[string]bool{}
	for _, x := range options {
		id := text(x, "id")
		if id == "" || len(id) > 128 || seen[id] {
			c.bad(42040, "%s.option_list.id has 1 to 128 bytes and is there once", where)
		}
		seen[id] = true
		if text(x, "text") == "" {
			c.bad(42041, "%s.option_list.text is required", where)
		}
	}
}

// lengths are how many characters a client shows: the documentation advises to
// keep to them ("建议"), and what is longer is cut off, not refused.
var lengths = []struct {
	path       string
	app, robot int // 0 = not told
}{
	{"source.desc", 20, 13},
	{"main_title.title", 36, 26},
	{"main_title.desc", 44, 30},
	{"sub_title_text", 160, 112},
	{"emphasis_content.title", 10, 10},
	{"emphasis_content.desc", 15, 15},
	{"horizontal_content_list.keyname", 5, 5},
	{"horizontal_content_list.value", 30, 26},
	{"vertical_content_list.title", 38, 26},
	{"vertical_content_list.desc", 160, 112},
	{"jump_list.title", 18, 13},
	{"button_list.text", 10, 10},
	{"button_selection.option_list.text", 16, 10},
	{"checkbox.option_list.text", 0, 11},
	{"submit_button.text", 10, 10},
}

// CutCard says what of a card a client would cut off: the field, how long it is
// and how much is shown.
func CutCard(surface string, card []byte) []string {
	var o object
	if err := json.Unmarshal(card, &o); err != nil {
		return nil
	}
	var out []string
	for _, l := range lengths {
		limit := l.app
		if surface == OnRobot {
			limit = l.robot
		}
		if limit == 0 {
			continue
		}
		for _, s := range reach(o, strings.Split(l.path, ".")) {
			if n := utf8.RuneCountInString(s); n > limit {
				out = append(out, fmt.Sprintf("%s has %d characters, %d are shown", l.path, n, limit))
			}
		}
	}
	return out
}

// reach collects the texts at a path, through lists.
func reach(v any, path []string) []string {
	switch v := v.(type) {
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, reach(x, path)...)
		}
		return out
	case object:
		if len(path) > 0 {
			return reach(v[path[0]], path[1:])
		}
	case string:
		if len(path) == 0 {
			return []string{v}
		}
	}
	return nil
}

// ButtonLabels are what a person can press on a card: the buttons, the button
// that submits, and the entries of the menu in the corner. Buttons that were
// pressed and replaced are not among them.
func ButtonLabels(card []byte) []string {
	var o object
	if err := json.Unmarshal(card, &o); err != nil {
		return nil
	}
	var out []string
	if text(o, "replace_text") == "" {
		for _, b := range items(o, "button_list") {
			out = append(out, text(b, "text"))
		}
		if s := text(o["submit_button"], "text"); s != "" {
			out = append(out, s)
		}
	}
	for _, a := range items(o["action_menu"], "action_list") {
		out = append(out, text(a, "text"))
	}
	return out
}

// greyed is a card whose buttons were replaced by one that does nothing.
func greyed(card json.RawMessage, words string) (json.RawMessage, error) {
	var o object
	if err := json.Unmarshal(card, &o); err != nil {
		return nil, err
	}
	o = maps.Clone(o)
	o["replace_text"] = words
	return json.Marshal(o)
}
