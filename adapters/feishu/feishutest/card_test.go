package feishutest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func plain(n int) string {
	return `{"tag":"plain_text","content":"` + strings.Repeat("x", n) + `"}`
}

func option(value string) string { return `{"text":` + plain(1) + `,"value":"` + value + `"}` }

// nested is so many containers, one in the other.
func nested(n int) string {
	inner := `{"tag":"hr"}`
	for range n {
		inner = `{"tag":"collapsible_panel","header":{"title":` + plain(1) + `},"elements":[` + inner + `]}`
	}
	return inner
}

func TestCheckCardRefusesWhatFeishuRefuses(t *testing.T) {
	submit := `{"tag":"button","name":"ok","text":` + plain(1) + `,"form_action_type":"submit","behaviors":[{"type":"callback","value":{"t":"x"}}]}`
	form := func(elements string) string { return `{"tag":"form","name":"f","elements":[` + elements + `]}` }
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	// want is a part of the first thing that is said; "" = accepted.
	for _, c := range []struct{ element, want string }{
		{`{"tag":"markdown","content":"x"}`, ""},
		{`{"tag":"markdown"}`, "content is required"},
		{`{"tag":"markdown","content":"x","size":1}`, "unknown property, property: size, path: [body -> elements -> [0](tag: markdown)]"},
		{`{"tag":"note","elements":[]}`, "ErrCode: 200861; ErrMsg: cards of schema V2 no longer support this capability; ErrorValue: unsupported tag note"},
		{`{"tag":"action","actions":[]}`, "200861"},
		{`{"tag":"novelty"}`, "type of element is not supported tag: novelty"},
		{`{"content":"x"}`, "tag is required"},
		{`"x"`, "tag is required"},
		{`{"tag":"column","elements":[]}`, "not supported tag: column"},
		{`{"tag":"column_set","columns":[{"tag":"column","elements":[{"tag":"hr"}]}]}`, ""},
		{`{"tag":"column_set","columns":[{"tag":"div"}]}`, "columns must have tag column"},
		{`{"tag":"column_set","elements":[]}`, "unknown property"},
		{`{"tag":"div"}`, "text or fields is required"},
		{`{"tag":"div","text":{"tag":"markdown","content":"x"}}`, "type of text is not supported tag: markdown"},
		{`{"tag":"div","text":"x"}`, "text must be an object"},
		{`{"tag":"div","text":{"tag":"plain_text"}}`, "content is required"},
		{`{"tag":"div","text":{"tag":"plain_text","content":"x","extra":1}}`, "unknown property, property: extra"},
		{`{"tag":"hr","element_id":"a_1"}`, ""},
		{`{"tag":"hr","element_id":"1a"}`, "invalid element_id"},
		{`{"tag":"hr","element_id":"` + strings.Repeat("a", 21) + `"}`, "invalid element_id"},
		{`{"tag":"hr","element_id":"a"},{"tag":"hr","element_id":"a"}`, "duplicate element_id a"},
		{`{"tag":"button","text":` + plain(100) + `}`, ""},
		{`{"tag":"button","text":` + plain(101) + `}`, "content is longer than 100"},
		{`{"tag":"button","text":{"tag":"lark_md","content":"x"}}`, "not supported tag: lark_md"},
		{`{"tag":"button","type":"loud"}`, "type is not supported: loud"},
		{`{"tag":"button","behaviors":[{"type":"callback","value":1}]}`, "callback value"},
		{`{"tag":"button","behaviors":[{"type":"jump"}]}`, "unsupported behavior jump"},
		{`{"tag":"button","behaviors":[{"type":"open_url"}]}`, "default_url is required"},
		{`{"tag":"button","behaviors":{}}`, "behaviors must be an array"},
		{`{"tag":"button","confirm":{"title":` + plain(1) + `}}`, "text is required"},
		{`{"tag":"button","name":"a"},{"tag":"button","name":"a"}`, "duplicate name a"},
		{`{"tag":"button","form_action_type":"submit"}`, "for buttons in a form"},
		{`{"tag":"select_static","options":[` + option("a") + `,` + option("b") + `],"initial_option":"b"}`, ""},
		{`{"tag":"select_static","options":[` + option("a") + `],"initial_option":"b"}`, "none of the options: b"},
		{`{"tag":"select_static","options":[` + option("a") + `,` + option("a") + `]}`, "duplicate option value a"},
		{`{"tag":"select_static","options":[{"text":` + plain(1) + `,"value":1}]}`, "option value must be a string"},
		{`{"tag":"select_static"}`, "options is required"},
		{`{"tag":"date_picker","initial_date":"2026-11-21"}`, ""},
		{`{"tag":"date_picker","initial_date":"21.11.2026"}`, "initial_date is not like 2006-01-02"},
		{form(`{"tag":"input","name":"a","max_length":1000},` + submit), ""},
		{form(`{"tag":"input","name":"a","max_length":1001},` + submit), "max_length is not between 1 and 1000"},
		{form(`{"tag":"input","name":"a","max_length":2,"default_value":"abc"},` + submit), "default_value is longer than max_length"},
		{form(`{"tag":"input","name":"a","placeholder":` + plain(101) + `},` + submit), "content is longer than 100"},
		{form(`{"tag":"input","name":"a"}`), "form needs a submit button"},
		{form(`{"tag":"input"},` + submit), "name is required in a form (tag: input)"},
		{form(`{"tag":"input","name":"a"},{"tag":"input","name":"a"},` + submit), "duplicate name a"},
		{form(`{"tag":"column_set","columns":[{"tag":"column","elements":[` + submit + `]}]}`), ""},
		{form(submit + `,` + form(submit)), "not supported tag: form"},
		{form(submit + `,{"tag":"table","columns":[],"rows":[]}`), "not supported tag: table"},
		{`{"tag":"form","elements":[` + submit + `]}`, "name is required"},
		{form(submit) + `,` + `{"tag":"form","name":"g","elements":[` + submit + `]}`, "duplicate name ok"},
		{`{"tag":"column_set","columns":[{"tag":"column","elements":[` + form(submit) + `]}]}`, "not supported tag: form"},
		{many(5, `{"tag":"table","columns":[],"rows":[]}`), ""},
		{many(6, `{"tag":"table","columns":[],"rows":[]}`), "ErrCode: 11310; ErrMsg: card table number over limit; ErrorValue: table"},
		{`{"tag":"table","columns":[],"rows":[],"page_size":11}`, "page_size"},
		{nested(4), ""},
		{nested(5), "nesting over limit"},
		{many(179, `{"tag":"hr"}`), ""}, // and the title
		{many(180, `{"tag":"hr"}`), "ErrCode: 11310; ErrMsg: card element number over limit; ErrorValue: 181"},
		{many(90, `{"tag":"div","text":`+plain(1)+`}`), "card element number over limit"},
		{`{"tag":"markdown","content":"` + strings.Repeat("x", 30<<10) + `"}`, "ErrCode: 230025"},
	} {
		says := CheckCard([]byte(card(c.element)))
		if c.want == "" && len(says) > 0 || c.want != "" && (len(says) == 0 || !strings.Contains(says[0], c.want)) {
			t.Errorf("%.160s:\ngot %q, want %q", c.element, says, c.want)
		}
	}
	head := `{"tag":"plain_text","content":"T"}`
	tag := `{"tag":"text_tag","text":` + head + `,"color":"red"}`
	for _, c := range []struct{ root, want string }{
		{`{"schema":"2.0","header":{"title":` + head + `}}`, ""},
		{`{"schema":"2.0","header":{"title":` + head + `,"template":"red","text_tag_list":[` + many(3, tag) + `]},"body":{"elements":[]}}`, ""},
		{`{"schema":"2.0","header":{"title":` + head + `,"text_tag_list":[` + many(4, tag) + `]}}`, "text_tag_list has more than 3"},
		{`{"schema":"2.0","header":{"title":` + head + `,"template":"pink"}}`, "template is not supported: pink"},
		{`{"schema":"2.0","header":{}}`, "title is required"},
		{`{"schema":"2.0"}`, "body is required"},
		{`{"header":{"title":` + head + `},"elements":[]}`, "unknown property, property: elements"},
		{`{"schema":"1.0","body":{"elements":[]}}`, "unsupported schema 1.0"},
		{`{"schema":"2.0","config":{"update_multi":false},"body":{"elements":[]}}`, "update_multi must be true"},
		{`{"schema":"2.0","config":{"wide_screen_mode":true},"body":{"elements":[]}}`, "unknown property, property: wide_screen_mode, path: [config]"},
		{`{"schema":"2.0","body":{"elements":{}}}`, "elements must be an array"},
		{`[]`, "not an object"}, {`null`, "not an object"}, {``, "not an object"},
	} {
		says := CheckCard([]byte(c.root))
		if c.want == "" && len(says) > 0 || c.want != "" && (len(says) == 0 || !strings.Contains(says[0], c.want)) {
			t.Errorf("%s:\ngot %q, want %q", c.root, says, c.want)
		}
	}
}

func TestPings(t *testing.T) {
	md := func(s string) string { return fmt.Sprintf(card(`{"tag":"markdown","content":%q}`), s) }
	for _, c := range []struct {
		kind, content string
		users         []string
		all           bool
		links         int
	}{
		{"text", `{"text":"<at user_id=\"ou_1\">Tom</at> hi <at user_id=\"ou_1\"></at>"}`, []string{"ou_1"}, false, 0},
		{"text", `{"text":"<at user_id=\"all\"></at>"}`, nil, true, 0},
		{"text", `{"text":"< AT user_id=all >"}`, nil, true, 0},
		{"text", `{"text":"@all &lt;at user_id=\"all\"&gt; ＜at user_id=\"all\"＞ [a] (b)"}`, nil, false, 0},
		{"text", `{"text":"[x](https://e.example)"}`, nil, false, 1},
		{"interactive", md("<at id=ou_1></at><at ids=ou_2,ou_3></at><at email=a@b.example></at>"), []string{"a@b.example", "ou_1", "ou_2", "ou_3"}, false, 0},
		{"interactive", md("<at id=all></at>"), nil, true, 0},
		{"interactive", md(`<at id='all'></at>`), nil, true, 0},
		{"interactive", md("[x](https://e.example) <a href='https://e.example'>x</a> <link url=\"https://e.example\">"), nil, false, 3},
		{"interactive", card(`{"tag":"div","text":{"tag":"plain_text","content":"<at id=all></at> [x](https://e.example)"}}`), nil, false, 0},
		{"interactive", card(`{"tag":"div","text":{"tag":"lark_md","content":"<at id=all></at>"}}`), nil, true, 0},
		{"interactive", card(`{"tag":"column_set","columns":[{"tag":"column","elements":[{"tag":"markdown","content":"<at id=ou_1></at>"}]}]}`), []string{"ou_1"}, false, 0},
		{"interactive", card(`{"tag":"button","behaviors":[{"type":"callback","value":{"t":{"tag":"markdown","content":"<at id=all></at>"}}}]}`), nil, false, 0},
		{"post", `{"zh_cn":{"title":"","content":[[{"tag":"at","user_id":"ou_1"},{"tag":"md","text":"<at user_id=\"all\"></at>"},{"tag":"a","href":"https://e.example"},{"tag":"text","text":"<at user_id=\"ou_9\">"}]]}}`, []string{"ou_1"}, true, 1},
		{"image", `{"image_key":"x"}`, nil, false, 0},
	} {
		p := Pings(c.kind, c.content)
		if !slices.Equal(p.Users, c.users) || p.All != c.all || len(p.Links) != c.links {
			t.Errorf("%s %s: %+v", c.kind, c.content, p)
		}
	}
}

func FuzzCheckCard(f *testing.F) {
	f.Add(card(form))
	f.Add(card(button("接单", "tok")))
	f.Add(`{"schema":"2.0","header":{"title":{},"text_tag_list":[1,{}]},"body":{"elements":[{"tag":"column_set","columns":[null,{"tag":"column","elements":[3]}]}]}}`)
	f.Fuzz(func(t *testing.T, content string) {
		says := CheckCard([]byte(content))
		for _, s := range says {
			if !strings.HasPrefix(s, "ErrCode: ") {
				t.Errorf("%q", s)
			}
		}
		Pings("interactive", content)
		for _, w := range widgets([]byte(content)) {
			if _, err := w.press("x", ""); err == nil {
				w.called("x")
			}
		}
	})
}
