package wecomtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	buttons  = `{"card_type":"button_interaction","main_title":{"title":"#42"},"task_id":"t-1","button_list":[{"text":"接单","key":"k"}]}`
	vote     = `{"card_type":"vote_interaction","main_title":{"title":"v"},"task_id":"t-1","checkbox":{"question_key":"q","mode":1,"option_list":[{"id":"5","text":"好"}]},"submit_button":{"text":"提交","key":"s"}}`
	multiple = `{"card_type":"multiple_interaction","main_title":{"title":"m"},"task_id":"t-1","select_list":[{"question_key":"q","option_list":[{"id":"a","text":"A"}]}],"submit_button":{"text":"提交","key":"s"}}`
	notice   = `{"card_type":"text_notice","main_title":{"title":"t"},"card_action":{"type":1,"url":"https://t/1"}}`
	news     = `{"card_type":"news_notice","main_title":{"title":"t"},"card_image":{"url":"https://i/1"},"card_action":{"type":2,"appid":"wx1"}}`
)

func list(n int, each string) string {
	var out []string
	for i := range n {
		out = append(out, strings.ReplaceAll(each, "#", fmt.Sprint(i)))
	}
	return strings.Join(out, ",")
}

func TestCardsAreRefusedForWhatTheyLack(t *testing.T) {
	for _, good := range []string{buttons, vote, multiple, notice, news} {
		for _, surface := range []string{OnApp, OnRobot} {
			if got := CheckCard(surface, []byte(good)); got != nil {
				t.Errorf("%s: %q", good, got)
			}
		}
	}
	with := func(card, key, value string) string {
		var o map[string]any
		var v any
		if json.Unmarshal([]byte(card), &o) != nil || json.Unmarshal([]byte(value), &v) != nil {
			t.Fatalf("%s %s", card, value)
		}
		if o[key] = v; v == nil {
			delete(o, key)
		}
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	long := strings.Repeat("k", 1025)
	for _, c := range []struct {
		card    string
		code    int
		surface string // "" = both
	}{
		{`[]`, 40058, ""},
		{with(buttons, "card_type", `"form"`), 42031, ""},
		{with(buttons, "main_title", `{}`), 42033, ""},
		{with(notice, "main_title", `{}`), 42033, ""},
		{with(notice, "card_action", `null`), 42045, ""},
		{with(notice, "card_action", `{"type":0}`), 42045, ""},
		{with(notice, "card_action", `{"type":1}`), 42028, ""},
		{with(notice, "card_action", `{"type":1,"url":"t.example/1"}`), 45034, ""},
		{with(notice, "card_action", `{"type":2}`), 42030, ""},
		{with(news, "card_image", `null`), 42044, ""},
		{with(news, "card_image", `{"url":"https://i","aspect_ratio":2.3}`), 42044, ""},
		{with(buttons, "task_id", `null`), 42014, ""},
		{with(buttons, "task_id", `"a b"`), 42014, ""},
		{with(buttons, "task_id", `"`+strings.Repeat("t", 129)+`"`), 42014, ""},
		{with(notice, "action_menu", `{"action_list":[{"text":"a","key":"k"}]}`), 42014, ""},
		{with(buttons, "action_menu", `{"action_list":[{"text":"a","key":"k"},{"text":"b","key":"k"}]}`), 42051, ""},
		{with(buttons, "action_menu", `{"action_list":[`+list(4, `{"text":"a","key":"k#"}`)+`]}`), 40058, ""},
		{with(buttons, "horizontal_content_list", `[`+list(7, `{"keyname":"a","value":"b"}`)+`]`), 42035, ""},
		{with(buttons, "horizontal_content_list", `[{"value":"b"}]`), 42027, ""},
		{with(buttons, "horizontal_content_list", `[{"type":1,"keyname":"a"}]`), 42028, ""},
		{with(buttons, "horizontal_content_list", `[{"type":2,"keyname":"a"}]`), 42029, OnApp},
		{with(buttons, "horizontal_content_list", `[{"type":2,"keyname":"a","media_id":"M"}]`), 40058, OnRobot},
		{with(buttons, "horizontal_content_list", `[{"type":3,"keyname":"a"}]`), 42050, ""},
		{with(news, "vertical_content_list", `[`+list(5, `{"title":"a"}`)+`]`), 42036, ""},
		{with(notice, "jump_list", `[`+list(4, `{"title":"a","type":0}`)+`]`), 42042, ""},
		{with(notice, "jump_list", `[{"type":3,"title":"a","question":"q"}]`), 40058, OnApp},
		{with(notice, "jump_list", `[{"type":3,"title":"a","question":"`+long+`"}]`), 40058, OnRobot},
		{with(buttons, "button_list", `[]`), 40058, ""},
		{with(buttons, "button_list", `[`+list(7, `{"text":"a","key":"k#"}`)+`]`), 40058, ""},
		{with(buttons, "button_list", `[{"key":"k"}]`), 42038, ""},
		{with(buttons, "button_list", `[{"text":"a"}]`), 42039, ""},
		{with(buttons, "button_list", `[{"text":"a","key":"`+long+`"}]`), 42039, ""},
		{with(buttons, "button_list", `[{"text":"a","key":"k"},{"text":"b","key":"k"}]`), 42039, ""},
		{with(buttons, "button_list", `[{"type":1,"text":"a"}]`), 42028, ""},
		{with(notice, "button_list", `[{"text":"a","key":"k"}]`), 40058, ""},
		{with(buttons, "button_selection", `{"option_list":[{"id":"1","text":"a"}]}`), 42043, ""},
		{with(buttons, "button_selection", `{"question_key":"q","option_list":[`+list(11, `{"id":"#","text":"a"}`)+`]}`), 42037, ""},
		{with(buttons, "button_selection", `{"question_key":"q","option_list":[{"text":"a"}]}`), 42040, ""},
		{with(buttons, "button_selection", `{"question_key":"q","option_list":[{"id":"1"}]}`), 42041, ""},
		{with(vote, "checkbox", `{"question_key":"q","mode":1,"option_list":[`+list(21, `{"id":"#","text":"a"}`)+`]}`), 42037, ""},
		{with(multiple, "select_list", `[`+list(4, `{"question_key":"#","option_list":[{"id":"1","text":"a"}]}`)+`]`), 42047, ""},
		{with(multiple, "select_list", `[`+list(2, `{"question_key":"q","option_list":[{"id":"1","text":"a"}]}`)+`]`), 42043, ""},
		{with(vote, "submit_button", `{"text":"a"}`), 42046, ""},
		{with(vote, "submit_button", `{"key":"a"}`), 42049, ""},
		{with(buttons, "sub_title_text", `7`), 40058, ""},
	} {
		for _, surface := range []string{OnApp, OnRobot} {
			if c.surface != "" && c.surface != surface {
				continue
			}
			if got := CheckCard(surface, []byte(c.card)); len(got) == 0 || !strings.HasPrefix(got[0], fmt.Sprint(c.code)) {
				t.Errorf("%s %.300s: %q, want %d", surface, c.card, got, c.code)
			}
		}
	}
	if got := inspect(OnApp, []byte(with(with(vote, "task_id", "null"), "submit_button", "null")), true); got != nil {
		t.Errorf("what replaces a card: %v", got)
	}
}

func TestLongTextIsCutNotRefused(t *testing.T) {
	c := []byte(`{"card_type":"button_interaction","main_title":{"title":"` + strings.Repeat("长", 30) + `"},"task_id":"t","button_list":[{"text":"十一个字的按钮名称太长","key":"k"}]}`)
	if got := CheckCard(OnRobot, c); got != nil {
		t.Errorf("%q", got)
	}
	want := []string{"main_title.title has 30 characters, 26 are shown", "button_list.text has 11 characters, 10 are shown"}
	if got := CutCard(OnRobot, c); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := CutCard(OnApp, c); !slices.Equal(got, want[1:]) {
		t.Errorf("%q, want %q", got, want[1:])
	}
}

func TestLiveTellsWhatAMessageDoes(t *testing.T) {
	for _, c := range []struct{ kind, text, want string }{
		{"text", "@all 打印机 <@all> **x**", ``},
		{"text", `see <a href="https://evil.example/x">here</a> or http://a.b/c。`, `link https://evil.example/x|link http://a.b/c。`},
		{"markdown", "hi <@zhangsan> and <@all>", `mention zhangsan|mention @all`},
		{"markdown", "[账单](https://evil.example/x)", `link https://evil.example/x`},
		{"stream", "**粗** <font color=\"warning\">红</font> <think>", `format colour warning|format bold|format thinking`},
		{"markdown", "> 引用\n# 大", `format line`},
		{"markdown", "`<@all> [a](https://b)`", ``},
		{"markdown", "一 \\# 普通 ticket #42", ``},
	} {
		if got := strings.Join(Live(c.kind, c.text), "|"); got != c.want {
			t.Errorf("Live(%s, %q) = %q, want %q", c.kind, c.text, got, c.want)
		}
	}
	m := Message{Type: "text", Text: "hi", Named: []string{"@all"}}
	if got := m.Live(); !slices.Equal(got, []string{"mention @all"}) {
		t.Errorf("%q", got)
	}
}
