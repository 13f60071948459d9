package feishu

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// cardJSON writes a card. It is done by hand because a card has some sixty
// elements with up to thirty fields each, nearly all of them empty.
// https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/card-json-v2-structure
func cardJSON(alt string, h *header, body []*element) []byte {
	if len(body) == 0 {
		body = []*element{div(plain("…"))}
	}
	w := jsonWriter{b: make([]byte, 0, 4096)}
	// All see the same card, and it can be changed.
	w.raw(`{"schema":"2.0","config":{"update_multi":true`)
	if alt != "" {
		w.raw(`,"summary":{"content":`)
		w.quote(alt)
		w.raw(`}`)
	}
	w.raw(`}`)
	if h != nil {
		w.raw(`,"header":{"title":`)
		w.plain(h.title)
		w.text("subtitle", h.subtitle)
		w.list("text_tag_list", h.tags)
		w.str("template", h.template)
		w.raw(`}`)
	}
	w.raw(`,"body":{"elements":[`)
	for i, e := range body {
		if i > 0 {
			w.raw(`,`)
		}
		w.element(e)
	}
	w.raw(`]}}`)
	return w.b
}

// escaped is how many bytes a card takes in a request, where it is JSON within JSON.
func escaped(card []byte) int {
	return len(card) + bytes.Count(card, []byte{'"'}) + bytes.Count(card, []byte{'\\'}) + 3*bytes.Count(card, []byte("\u2028")) + 3*bytes.Count(card, []byte("\u2029"))
}

type jsonWriter struct{ b []byte }

func (w *jsonWriter) raw(s string) { w.b = append(w.b, s...) }

func (w *jsonWriter) key(key string) {
	w.b = append(w.b, ',', '"')
	w.b = append(w.b, key...)
	w.b = append(w.b, '"', ':')
}

func (w *jsonWriter) str(key, s string) {
	if s != "" {
		w.key(key)
		w.quote(s)
	}
}

func (w *jsonWriter) number(key string, n int) {
	if n != 0 {
		w.key(key)
		w.b = strconv.AppendInt(w.b, int64(n), 10)
	}
}

func (w *jsonWriter) flag(key string, yes bool) {
	if yes {
		w.key(key)
		w.raw("true")
	}
}

func (w *jsonWriter) text(key string, t *text) {
	if t != nil {
		w.key(key)
		w.plain(t)
	}
}

func (w *jsonWriter) list(key string, list []*element) {
	if len(list) == 0 {
		return
	}
	w.key(key)
	for i, e := range list {
		w.raw("[,"[min(i, 1) : min(i, 1)+1])
		w.element(e)
	}
	w.raw("]")
}

func (w *jsonWriter) plain(t *text) {
	w.raw(`{"tag":"plain_text","content":`)
	w.quote(t.content)
	if t.en != "" {
		w.raw(`,"i18n_content":{"zh_cn":`)
		w.quote(t.content)
		w.str("en_us", t.en)
		w.raw("}")
	}
	w.str("text_size", t.size)
	w.str("text_color", t.color)
	w.raw("}")
}

func (w *jsonWriter) element(e *element) {
	w.raw(`{"tag":`)
	w.quote(e.tag)
	w.str("name", e.name)
	w.str("content", e.content)
	w.text("text", e.text)
	w.str("color", e.color)
	w.str("type", e.kind)
	w.str("size", e.size)
	w.str("width", e.width)
	w.number("weight", e.weight)
	w.str("vertical_align", e.align)
	w.str("flex_mode", e.flex)
	w.str("horizontal_spacing", e.spacing)
	w.list("columns", e.columns)
	w.list("elements", e.elements)
	w.text("placeholder", e.placeholder)
	w.str("input_type", e.inputType)
	w.str("default_value", e.value)
	w.number("max_length", e.maxLength)
	w.number("rows", e.rows)
	w.flag("required", e.required)
	w.flag("checked", e.checked)
	if len(e.options) > 0 {
		w.key("options")
		for i, o := range e.options {
			w.raw("[,"[min(i, 1) : min(i, 1)+1])
			w.raw(`{"value":`)
			w.quote(o.value)
			w.text("text", o.text)
			w.raw("}")
		}
		w.raw("]")
	}
	w.str("initial_option", e.option)
	w.str("initial_date", e.date)
	w.str("initial_datetime", e.dateTime)
	w.str("form_action_type", e.action)
	w.behaviors(e)
	if e.confirm != nil {
		w.raw(`,"confirm":{"title":`)
		w.plain(e.confirm.title)
		w.text("text", e.confirm.text)
		w.raw("}")
	}
	w.raw("}")
}

func (w *jsonWriter) behaviors(e *element) {
	switch {
	case e.url != "":
		w.raw(`,"behaviors":[{"type":"open_url","default_url":`)
		w.quote(e.url)
		w.raw("}]")
	case len(e.back) > 0:
		keys := make([]string, 0, 4)
		for k := range e.back {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		w.raw(`,"behaviors":[{"type":"callback","value":`)
		for i, k := range keys {
			w.raw("{,"[min(i, 1) : min(i, 1)+1])
			w.quote(k)
			w.raw(":")
			w.quote(e.back[k])
		}
		w.raw("}}]")
	}
}

// quote writes a string of JSON.
func (w *jsonWriter) quote(s string) {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	const hex = "0123456789abcdef"
	w.b = append(w.b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		w.b = append(w.b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			w.b = append(w.b, '\\', c)
		case '\n':
			w.b = append(w.b, '\\', 'n')
		case '\t':
			w.b = append(w.b, '\\', 't')
		default:
			w.b = append(w.b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	w.b = append(append(w.b, s[from:]...), '"')
}
