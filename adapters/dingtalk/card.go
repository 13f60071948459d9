package dingtalk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/paidan/paidan/cards"
)

// A card is a template, drawn by hand in DingTalk's card builder, and the
// values of its variables: see card-template.json and docs/platforms/dingtalk.md.
// All of them are shown by components for plain text, so nothing that people
// wrote can format, link or mention.

// maxValue is the most bytes that a variable may hold.
// https://open.dingtalk.com/document/development/create-and-deliver-cards
const maxValue = 1024

// variable is one of the template. What does not fit into it goes on in others
// that are named alike with a digit: body, body2, body3. A list is an array of
// objects, of which each variable holds whole ones.
type variable struct {
	name  string
	parts int
	list  bool
}

var variables = []variable{
	{"title", 1, false}, {"tone", 1, false}, {"badges", 1, false}, {"facts", 3, true}, {"body", 4, false}, {"rows", 6, true},
	{"actions", 3, true}, {"more", 4, true}, {"menus", 4, true}, {"note", 1, false}, {"version", 1, false},
}

// part is the name of the n-th variable of a kind, counted from 0.
func (v variable) part(n int) string {
	if n == 0 {
		return v.name
	}
	return v.name + strconv.Itoa(n+1)
}

type factItem struct {
	Label string `json:"k"`
	Value string `json:"v"`
}

type buttonItem struct {
	Label   string `json:"label"`
	Token   string `json:"token,omitempty"`
	Style   string `json:"style,omitempty"`
	Confirm string `json:"confirm,omitempty"`
	URL     string `json:"url,omitempty"`
}

type rowItem struct {
	Text    string       `json:"text"`
	Detail  string       `json:"detail,omitempty"`
	Actions []buttonItem `json:"actions"`
}

type optionItem struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

type menuItem struct {
	Label   string       `json:"label"`
	Token   string       `json:"token"`
	Options []optionItem `json:"options"`
}

// Limits of ours for cards that nobody cut to Caps: with them each element of a
// list fits into one variable.
const (
	maxTitle   = 120
	maxLabel   = 40
	maxConfirm = 60
	maxToken   = 250
	maxURL     = 500
	maxChoice  = 100
	maxRowActs = 3
)

// draw returns the values of all variables of the template, those that are
// empty as well: an update by key would leave the rest of a longer card standing.
func draw(c cards.Card) map[string]string {
	texts := map[string][]string{
		"title": {c.Title}, "tone": {tone(c.Tone)}, "badges": {strings.Join(c.Badges, " · ")}, "note": {c.Note},
		"version": {strconv.FormatInt(c.Version, 10)}, "body": paragraphs(body(c), 4),
	}
	if c.Title != "" {
		texts["title"] = []string{line(c.Title, maxTitle)}
	}
	lists := map[string][]json.RawMessage{}
	var more []buttonItem
	for _, f := range c.Facts {
		if f.Label == "" && f.Value == "" && f.Action == nil {
			continue
		}
		label, text := line(f.Label, maxLabel), strings.TrimSpace(clean(cutBytes(f.Value, 4*maxValue)))
		lists["facts"] = append(lists["facts"], fitting(maxValue-2, func(room int) any {
			return factItem{label, cutBytes(text, room)}
		}))
		if f.Action != nil { // a button beside it is nothing the template has
			a := *f.Action
			a.Label = f.Label + " " + a.Label
			more = append(more, buttons([]cards.Action{a})...)
		}
	}
	for _, r := range c.Rows {
		acts := buttons(r.Actions)
		acts = acts[:min(len(acts), maxRowActs)]
		for len(acts) > 0 && len(encode(acts)) > maxValue-200 {
			acts = acts[:len(acts)-1]
		}
		text := oneLine(cutBytes(strings.TrimSpace(r.Tone.Emoji()+" "+r.Text), 4*maxValue))
		detail := oneLine(cutBytes(r.Detail, 4*maxValue))
		lists["rows"] = append(lists["rows"], fitting(maxValue-2, func(room int) any {
			return rowItem{cutBytes(text, max(room*2/3, 60)), cutBytes(detail, room/3), acts}
		}))
	}
	var plain []cards.Action
	for _, a := range c.Actions {
		if a.Options != nil {
			lists["menus"] = append(lists["menus"], menus(a)...)
			continue
		}
		plain = append(plain, a)
	}
	lists["actions"] = elements(buttons(plain))
	for _, a := range c.More {
		if a.Options != nil {
			lists["menus"] = append(lists["menus"], menus(a)...)
			continue
		}
		more = append(more, buttons([]cards.Action{a})...)
	}
	lists["more"] = elements(more)

	out := make(map[string]string, 32)
	for _, v := range variables {
		values := texts[v.name]
		if v.list {
			values = pack(lists[v.name], v.parts)
		}
		for n := range v.parts {
			value := ""
			if n < len(values) {
				value = cutBytes(clean(values[n]), maxValue)
			}
			if v.list && value == "" {
				value = "[]"
			}
			out[v.part(n)] = value
		}
	}
	return out
}

func tone(t cards.Tone) string {
	switch t {
	case cards.Open, cards.Busy, cards.Paused, cards.Alarm, cards.Asking, cards.Good, cards.Gone:
		return string(t)
	}
	return ""
}

// body is what a card tells. A form has no place here: at least its questions do.
func body(c cards.Card) string {
	s := c.Body
	if c.Form != nil {
		for _, in := range c.Form.Inputs {
			s += "\n• " + oneLine(in.Label)
		}
	}
	return strings.TrimSpace(clean(s))
}

// paragraphs divides a text into at most most variables, at the ends of lines
// where that wastes no more than half of one.
func paragraphs(s string, most int) []string {
	var out []string
	for s != "" && len(out) < most {
		piece := s
		if len(s) > maxValue && len(out) < most-1 {
			piece = strings.TrimSuffix(cutBytes(s, maxValue), "…")
			if i := strings.LastIndexByte(piece, '\n'); i > len(piece)/2 {
				piece = piece[:i]
			}
			if piece == "" { // one character of a thousand marks
				piece = strings.ToValidUTF8(s[:maxValue], "")
			}
		}
		out = append(out, strings.TrimRight(piece, "\n"))
		s = strings.TrimLeft(s[len(piece):], "\n")
	}
	return out
}

// buttons leaves out what cannot be pressed.
func buttons(list []cards.Action) []buttonItem {
	out := make([]buttonItem, 0, len(list))
	for _, a := range list {
		b := buttonItem{Label: line(a.Label, maxLabel), Style: string(a.Style)}
		if a.Style != cards.Primary && a.Style != cards.Danger {
			b.Style = ""
		}
		switch {
		case a.URL != "":
			if b.URL = a.URL; !webAddress(b.URL) {
				continue
			}
		case a.Token == "" || len(a.Token) > maxToken:
			continue
		default:
			b.Token = a.Token
			if a.Confirm != "" {
				b.Confirm = line(a.Confirm, maxConfirm)
			}
		}
		out = append(out, b)
	}
	return out
}

func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= maxURL && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

func elements(list []buttonItem) []json.RawMessage {
	out := make([]json.RawMessage, 0, len(list))
	for _, b := range list {
		out = append(out, encode(b))
	}
	return out
}

// menus makes one menu of an action, or several alike where it has more choices
// than one variable can hold.
func menus(a cards.Action) []json.RawMessage {
	if a.Token == "" || len(a.Token) > maxToken {
		return nil
	}
	var out []json.RawMessage
	one := menuItem{Label: line(a.Label, maxLabel), Token: a.Token}
	var last json.RawMessage
	flush := func() {
		if last != nil {
			out = append(out, last)
			one = menuItem{Label: fmt.Sprintf("%s (%d)", line(a.Label, maxLabel), len(out)+1), Token: a.Token}
			last = nil
		}
	}
	for _, o := range a.Options {
		if o.Value == "" || len(o.Value) > maxChoice {
			continue
		}
		item := optionItem{line(o.Label, maxLabel), o.Value}
		next := one
		next.Options = append(next.Options[:len(next.Options):len(next.Options)], item)
		raw := encode(next)
		if len(raw) > maxValue-2 {
			flush()
			next = one
			next.Options = []optionItem{item}
			raw = encode(next)
		}
		one, last = next, raw
	}
	flush()
	return out
}

// encode never fails: the items are made of strings.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // six bytes for each <, of a thousand
	if err := e.Encode(v); err != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// fitting makes an element whose texts get as much room as leaves it within
// most bytes, whatever escaping does to them.
func fitting(most int, item func(room int) any) json.RawMessage {
	for room := most; ; room -= max(room/4, 1) {
		raw := encode(item(room))
		if len(raw) <= most || room <= 0 {
			return raw
		}
	}
}

// pack puts elements into as many arrays as there are variables; what is left
// over is left out.
func pack(list []json.RawMessage, parts int) []string {
	var out []string
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			out = append(out, "["+b.String()+"]")
			b.Reset()
		}
	}
	for _, e := range list {
		if len(e)+2 > maxValue {
			continue
		}
		if b.Len() > 0 && b.Len()+1+len(e)+2 > maxValue {
			if flush(); len(out) == parts {
				return out
			}
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.Write(e)
	}
	flush()
	return out[:min(len(out), parts)]
}

// summary is a card in one line: what a locked phone and the list of chats show.
func summary(c cards.Card) string {
	s := c.Alt
	if strings.TrimSpace(s) == "" {
		s = c.Title
	}
	if strings.TrimSpace(s) == "" {
		s = c.Body
	}
	return line(s, 100)
}
