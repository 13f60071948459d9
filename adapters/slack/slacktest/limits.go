package slacktest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// CheckBlocks says what Slack would refuse in the blocks of a message ("message"),
// a form ("modal") or a page ("home"), in the words of
// response_metadata.messages. No lines: they are accepted.
// https://docs.slack.dev/reference/block-kit
func CheckBlocks(surface string, blocks []byte) []string {
	var list []any
	if err := json.Unmarshal(blocks, &list); err != nil {
		return []string{"[ERROR] must provide an array [json-pointer:/blocks]"}
	}
	c := &checker{surface: surface, ids: map[string]bool{}}
	c.blocks(list)
	return c.says
}

type checker struct {
	surface string
	says    []string
	ids     map[string]bool
	focus   int
	total   int
}

func (c *checker) bad(at, format string, args ...any) {
	c.says = append(c.says, "[ERROR] "+fmt.Sprintf(format, args...)+" [json-pointer:"+at+"]")
}

// units counts as JavaScript does.
func units(s string) int {
	n := 0
	for _, r := range s {
		if n++; r > 0xffff {
			n++
		}
	}
	return n
}

func (c *checker) blocks(list []any) {
	most := 50
	if c.surface != "message" {
		most = 100
	}
	if len(list) > most {
		c.bad("/blocks", "no more than %d items allowed", most)
	}
	for i, item := range list {
		at := fmt.Sprintf("/blocks/%d", i)
		b, ok := item.(map[string]any)
		if !ok {
			c.bad(at, "must provide an object")
			continue
		}
		c.id(b, "block_id", at)
		if id, _ := b["block_id"].(string); id != "" {
			if c.ids[id] {
				c.bad(at+"/block_id", "block_id %q already exists", id)
			}
			c.ids[id] = true
		}
		c.block(b, at)
	}
	if c.surface == "message" && c.total > 13_200 {
		c.bad("/blocks", "msg_blocks_too_long")
	}
}

func (c *checker) keys(o map[string]any, at string, known ...string) {
	for k := range o {
		ok := k == "type" || k == "block_id" || k == "action_id"
		for _, n := range known {
			ok = ok || n == k
		}
		if !ok {
			c.bad(at, "invalid additional property: %s", k)
		}
	}
}

func (c *checker) block(b map[string]any, at string) {
	switch b["type"] {
	case "header":
		c.keys(b, at, "text")
		c.text(b["text"], at+"/text", 150, "plain_text")
	case "section":
		c.keys(b, at, "text", "fields", "accessory", "expand")
		fields, has := b["fields"].([]any)
		if b["text"] == nil && len(fields) == 0 {
			c.bad(at, "missing required field: text or fields")
		}
		if b["text"] != nil {
			c.text(b["text"], at+"/text", 3000, "plain_text", "mrkdwn")
		}
		if has && (len(fields) == 0 || len(fields) > 10) {
			c.bad(at+"/fields", "no fewer than 1 and no more than 10 items allowed")
		}
		for i, f := range fields {
			c.text(f, fmt.Sprintf("%s/fields/%d", at, i), 2000, "plain_text", "mrkdwn")
		}
		if b["accessory"] != nil {
			c.element(b["accessory"], at+"/accessory", map[string]bool{}, false)
		}
	case "context":
		c.keys(b, at, "elements")
		list := c.list(b["elements"], at+"/elements", 1, 10)
		for i, e := range list {
			p := fmt.Sprintf("%s/elements/%d", at, i)
			if m, ok := e.(map[string]any); ok && m["type"] == "image" {
				continue
			}
			c.text(e, p, 3000, "plain_text", "mrkdwn")
		}
	case "actions":
		c.keys(b, at, "elements")
		used := map[string]bool{}
		for i, e := range c.list(b["elements"], at+"/elements", 1, 25) {
			c.element(e, fmt.Sprintf("%s/elements/%d", at, i), used, false)
		}
	case "divider":
		c.keys(b, at)
	case "input":
		c.keys(b, at, "label", "element", "hint", "optional", "dispatch_action")
		c.text(b["label"], at+"/label", 2000, "plain_text")
		if b["hint"] != nil {
			c.text(b["hint"], at+"/hint", 2000, "plain_text")
		}
		c.element(b["element"], at+"/element", map[string]bool{}, true)
	case "image":
		if s, _ := b["image_url"].(string); !strings.HasPrefix(s, "http") || len(s) > 3000 {
			c.bad(at+"/image_url", "invalid url")
		}
		if s, _ := b["alt_text"].(string); s == "" || units(s) > 2000 {
			c.bad(at+"/alt_text", "missing or too long")
		}
	case "markdown":
		if s, _ := b["text"].(string); s == "" || units(s) > 12_000 || c.surface != "message" {
			c.bad(at+"/text", "must be less than 12001 characters")
		}
	case "rich_text":
	default:
		c.bad(at, "unsupported type: %v", b["type"])
	}
}

func (c *checker) list(v any, at string, least, most int) []any {
	list, _ := v.([]any)
	if len(list) < least {
		c.bad(at, "no fewer than %d items allowed", least)
	}
	if len(list) > most {
		c.bad(at, "no more than %d items allowed", most)
	}
	return list
}

func (c *checker) str(v any, at string, most int) string {
	s, ok := v.(string)
	if v != nil && !ok {
		c.bad(at, "must be a string")
	}
	if units(s) > most {
		c.bad(at, "must be less than %d characters", most+1)
	}
	c.total += units(s)
	return s
}

func (c *checker) id(o map[string]any, key, at string) {
	if s, _ := o[key].(string); units(s) > 255 {
		c.bad(at+"/"+key, "must be less than 256 characters")
	}
}

func (c *checker) text(v any, at string, most int, kinds ...string) {
	t, ok := v.(map[string]any)
	if !ok {
		c.bad(at, "missing required field: text")
		return
	}
	allowed := false
	for _, k := range kinds {
		allowed = allowed || t["type"] == k
	}
	if !allowed {
		c.bad(at+"/type", "unsupported type: %v", t["type"])
	}
	c.keys(t, at, "text", "emoji", "verbatim")
	if t["type"] == "mrkdwn" && t["emoji"] != nil || t["type"] == "plain_text" && t["verbatim"] != nil {
		c.bad(at, "invalid additional property")
	}
	if s := c.str(t["text"], at+"/text", most); s == "" {
		c.bad(at+"/text", "must be more than 0 characters")
	}
}

func (c *checker) confirm(v any, at string) {
	if v == nil {
		return
	}
	o, ok := v.(map[string]any)
	if !ok {
		c.bad(at, "must provide an object")
		return
	}
	c.keys(o, at, "title", "text", "confirm", "deny", "style")
	c.text(o["title"], at+"/title", 100, "plain_text")
	c.text(o["text"], at+"/text", 300, "plain_text", "mrkdwn")
	c.text(o["confirm"], at+"/confirm", 30, "plain_text")
	c.text(o["deny"], at+"/deny", 30, "plain_text")
}

func (c *checker) options(v any, at string, most int) []string {
	var values []string
	seen := map[string]bool{}
	for i, item := range c.list(v, at, 1, most) {
		p := fmt.Sprintf("%s/%d", at, i)
		o, ok := item.(map[string]any)
		if !ok {
			c.bad(p, "must provide an object")
			continue
		}
		c.keys(o, p, "text", "value", "description", "url")
		c.text(o["text"], p+"/text", 75, "plain_text", "mrkdwn")
		value := c.str(o["value"], p+"/value", 75)
		if value == "" {
			c.bad(p+"/value", "missing required field: value")
		}
		if seen[value] {
			c.bad(p+"/value", "option values must be unique")
		}
		seen[value] = true
		values = append(values, value)
	}
	return values
}

func (c *checker) element(v any, at string, used map[string]bool, input bool) {
	e, ok := v.(map[string]any)
	if !ok {
		c.bad(at, "must provide an object")
		return
	}
	c.id(e, "action_id", at)
	if id, has := e["action_id"].(string); has {
		if id == "" {
			c.bad(at+"/action_id", "must be more than 0 characters")
		}
		if used[id] {
			c.bad(at+"/action_id", "action_id %q already exists", id)
		}
		used[id] = true
	}
	c.confirm(e["confirm"], at+"/confirm")
	if e["placeholder"] != nil {
		c.text(e["placeholder"], at+"/placeholder", 150, "plain_text")
	}
	if on, _ := e["focus_on_load"].(bool); on {
		if c.focus++; c.focus > 1 {
			c.bad(at, "only one element can be focused on load")
		}
	}
	switch kind := e["type"]; kind {
	case "button":
		c.keys(e, at, "text", "value", "url", "style", "confirm", "accessibility_label")
		if input {
			c.bad(at, "unsupported type: button")
		}
		c.text(e["text"], at+"/text", 75, "plain_text")
		c.str(e["value"], at+"/value", 2000)
		if u := c.str(e["url"], at+"/url", 3000); u != "" && !strings.HasPrefix(u, "http") && !strings.HasPrefix(u, "mailto:") && !strings.HasPrefix(u, "slack:") {
			c.bad(at+"/url", "invalid url")
		}
		if st := e["style"]; st != nil && st != "primary" && st != "danger" {
			c.bad(at+"/style", "unsupported value")
		}
	case "overflow":
		c.keys(e, at, "options", "confirm")
		c.options(e["options"], at+"/options", 5)
	case "static_select":
		c.keys(e, at, "options", "option_groups", "initial_option", "placeholder", "confirm", "focus_on_load")
		values := c.options(e["options"], at+"/options", 100)
		if o, ok := e["initial_option"].(map[string]any); ok {
			found := false
			for _, value := range values {
				found = found || value == o["value"]
			}
			if !found {
				c.bad(at+"/initial_option", "must exactly match one of the options")
			}
		}
	case "users_select":
		c.keys(e, at, "initial_user", "placeholder", "confirm", "focus_on_load")
	case "checkboxes", "radio_buttons":
		c.keys(e, at, "options", "initial_options", "initial_option", "confirm", "focus_on_load")
		c.options(e["options"], at+"/options", 10)
	case "datepicker":
		c.keys(e, at, "initial_date", "placeholder", "confirm", "focus_on_load")
		if s, _ := e["initial_date"].(string); s != "" && len(s) != 10 {
			c.bad(at+"/initial_date", "invalid date")
		}
	case "timepicker":
		c.keys(e, at, "initial_time", "placeholder", "confirm", "focus_on_load", "timezone")
		if s, _ := e["initial_time"].(string); s != "" && len(s) != 5 {
			c.bad(at+"/initial_time", "invalid time")
		}
	case "plain_text_input":
		c.keys(e, at, "initial_value", "multiline", "min_length", "max_length", "placeholder", "dispatch_action_config", "focus_on_load")
		c.onlyInput(input, at, kind)
		most := 3000.0
		if m, ok := e["max_length"].(float64); ok {
			if most = m; m < 1 || m > 3000 {
				c.bad(at+"/max_length", "must be between 1 and 3000")
			}
		}
		c.str(e["initial_value"], at+"/initial_value", int(most))
	case "number_input":
		c.keys(e, at, "initial_value", "is_decimal_allowed", "min_value", "max_value", "placeholder", "dispatch_action_config", "focus_on_load")
		if e["is_decimal_allowed"] == nil {
			c.bad(at, "missing required field: is_decimal_allowed")
		}
		c.onlyInput(input, at, kind)
		c.onlyModal(at, kind)
	case "email_text_input", "url_text_input":
		c.keys(e, at, "initial_value", "placeholder", "dispatch_action_config", "focus_on_load")
		c.onlyInput(input, at, kind)
		c.onlyModal(at, kind)
	default:
		c.bad(at, "unsupported type: %v", kind)
	}
}

func (c *checker) onlyInput(input bool, at string, kind any) {
	if !input {
		c.bad(at, "unsupported type: %v", kind)
	}
}

func (c *checker) onlyModal(at string, kind any) {
	if c.surface == "message" {
		c.bad(at, "unsupported type: %v in a message", kind)
	}
}

// CheckView says what Slack would refuse in a view; see CheckBlocks.
func CheckView(view []byte) []string {
	if len(view) > 250_000 {
		return []string{"view_too_large"}
	}
	var v map[string]any
	if err := json.Unmarshal(view, &v); err != nil {
		return []string{"[ERROR] must provide an object [json-pointer:/view]"}
	}
	kind, _ := v["type"].(string)
	c := &checker{surface: kind, ids: map[string]bool{}}
	if kind != "modal" && kind != "home" {
		c.bad("/view/type", "unsupported type: %v", v["type"])
		return c.says
	}
	list, ok := v["blocks"].([]any)
	if !ok {
		c.bad("/view/blocks", "must provide an array")
	}
	if s, _ := v["private_metadata"].(string); units(s) > 3000 {
		c.bad("/view/private_metadata", "must be less than 3001 characters")
	}
	for _, id := range []string{"callback_id", "external_id"} {
		c.id(v, id, "/view")
	}
	if kind == "modal" {
		c.text(v["title"], "/view/title", 24, "plain_text")
		for _, key := range []string{"submit", "close"} {
			if v[key] != nil {
				c.text(v[key], "/view/"+key, 24, "plain_text")
			}
		}
		for _, b := range list {
			if m, ok := b.(map[string]any); ok && m["type"] == "input" && v["submit"] == nil {
				c.bad("/view", "missing required field: submit")
				break
			}
		}
	}
	c.total = 0
	c.blocks(list)
	return c.says
}
