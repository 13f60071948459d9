package dingtalk

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// sampleCards cover every element that a card can have.
func sampleCards() map[string]cards.Card {
	return map[string]cards.Card{
		"ticket": {
			Lang: cards.ZH, Tone: cards.Open, Title: "#1024 无法登录 ERP", Badges: []string{"P1", "待接", "二线-网络"},
			Facts: []cards.Fact{
				{Label: "来自", Value: "王芳(市场部 · VIP)"}, {Label: "处理人", Value: "—"},
				{Label: "电话", Value: "138****5678", Action: &cards.Action{Label: "查看", Token: "AQ-reveal"}},
				{Label: "首响", Value: "剩 12 分 (14:32 前)"}, {Label: "相似", Value: "#988 已解决:清缓存", Wide: true},
			},
			Body: "昨晚升级后提示 E07,10 人受影响\n附 2 图",
			Actions: []cards.Action{
				{Label: "接单", Style: cards.Primary, Token: "AQ-claim"},
				{Label: "转派", Token: "AQ-assign", Options: []cards.Option{{Label: "李四", Value: "p1"}, {Label: "王五", Value: "p2"}}},
				{Label: "升级", Style: cards.Danger, Token: "AQ-escalate", Confirm: "升级到二线?"},
				{Label: "控制台", URL: "https://desk.example.com/t/1024_a"},
			},
			More: []cards.Action{{Label: "优先级", Token: "AQ-prio"}, {Label: "合并", Token: "AQ-merge"}, {Label: "非工单", Token: "AQ-spam"}},
			Note: "14:20 王芳 建单", Version: 7, Ticket: "t1024",
		},
		"queue": {
			Lang: cards.ZH, Title: "待接", Rows: []cards.Row{
				{Tone: cards.Alarm, Text: "#1024 ERP 登录失败", Detail: "超时 2时05分 · 李四", Actions: []cards.Action{{Label: "改派", Token: "AQ-r1"}, {Label: "催办", Token: "AQ-u1"}}},
				{Tone: cards.Open, Text: "#1031 退款未到账", Actions: []cards.Action{{Label: "接单", Token: "AQ-c2"}}},
				{Tone: cards.Paused, Text: "#0970 挂起到期"},
			},
			Actions: []cards.Action{{Label: "下一页", Token: "AQ-next"}}, Note: "3 张",
		},
		"hint":  {Body: "没有 #1042,你是否指 #1024?", Actions: []cards.Action{{Label: "是", Token: "y"}, {Label: "取消", Token: "n"}}},
		"error": {Tone: cards.Alarm, Title: "不行", Body: "已由 张三 接单"},
	}
}

// wordToken is a token for people to read in golden files.
func wordToken(a *cards.Act) string {
	return strings.Trim(fmt.Sprintf("%s.%s.%d.%s", a.Verb, cutBytes(string(a.Ticket), 12), a.Version, cutBytes(a.Arg, 20)), ".")
}

// houseCards are the cards that the program shows, as they leave it: cut to
// the limits, with a token on everything that can be pressed.
func houseCards(caps cards.Caps) map[string]cards.Card {
	out := map[string]cards.Card{}
	seal := func(list []cards.Action) []cards.Action {
		list = slices.Clone(list)
		for i := range list {
			if list[i].URL == "" {
				list[i].Token = wordToken(&list[i].Act)
			}
		}
		return list
	}
	for _, s := range cards.Samples() {
		c := cards.Fit(s.Card, caps)
		if c.Form != nil {
			continue // asked in a dialogue
		}
		c.Actions, c.More = seal(c.Actions), seal(c.More)
		c.Rows = slices.Clone(c.Rows)
		for i := range c.Rows {
			c.Rows[i].Actions = seal(c.Rows[i].Actions)
		}
		c.Facts = slices.Clone(c.Facts)
		for i, f := range c.Facts {
			if f.Action != nil {
				a := *f.Action
				a.Token = wordToken(&a.Act)
				c.Facts[i].Action = &a
			}
		}
		out[s.Name] = c
	}
	return out
}

func fileName(s string) string { return strings.ReplaceAll(s, " ", "-") }

// TestGoldens draws every card of the program in both ways.
func TestGoldens(t *testing.T) {
	template, text := (&Adapter{conf: Config{CardTemplateID: "x"}}).Caps(), (&Adapter{}).Caps()
	all := houseCards(template)
	if len(all) < 20 {
		t.Fatalf("only %d cards", len(all))
	}
	maps.Copy(all, sampleCards())
	for name, c := range all {
		values := draw(c)
		whole := ""
		for k, v := range values {
			if len(v) > maxValue {
				t.Errorf("%s: %s has %d bytes", name, k, len(v))
			}
			whole += v
		}
		pressable := slices.Concat(c.Actions, c.More)
		for _, r := range c.Rows {
			pressable = append(pressable, r.Actions...)
		}
		for _, f := range c.Facts {
			if f.Action != nil {
				pressable = append(pressable, *f.Action)
			}
		}
		for _, a := range pressable {
			if a.URL == "" && !strings.Contains(whole, a.Token) {
				t.Errorf("%s: %q cannot be pressed", name, a.Label)
			}
		}
		for k, v := range values { // empty ones are the same everywhere
			if v == "" || v == "[]" {
				delete(values, k)
			}
		}
		b, err := json.MarshalIndent(values, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata/cards/template", fileName(name)+".json"), append(b, '\n'))
	}
	all = houseCards(text)
	maps.Copy(all, sampleCards())
	for name, c := range all {
		title, text := markdown(c)
		if live := liveInMarkdown(jsonOf(t, map[string]string{"title": title, "text": withoutOwnLinks(c, text)})); len(live) > 0 {
			t.Errorf("%s: alive: %q", name, live)
		}
		golden(t, filepath.Join("testdata/cards/markdown", fileName(name)+".md"), []byte(title+"\n\n"+text+"\n"))
	}
}

func withoutOwnLinks(c cards.Card, text string) string {
	for _, a := range slices.Concat(c.Actions, c.More) {
		if a.URL != "" {
			text = strings.ReplaceAll(text, a.URL, "")
		}
	}
	return text
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestExtremesFit: what nobody cut still fits, in both ways.
func TestExtremesFit(t *testing.T) {
	for name, c := range adaptertest.Extremes() {
		for k, v := range draw(c) {
			if len(v) > maxValue || !utf8.ValidString(v) {
				t.Errorf("%s: %s has %d bytes", name, k, len(v))
			}
			if strings.HasPrefix(v, "[") && !json.Valid([]byte(v)) && k != "title" && k != "body" {
				t.Errorf("%s: %s is broken: %s", name, k, v)
			}
		}
		title, text := markdown(c)
		raw := jsonOf(t, map[string]string{"title": title, "text": text})
		if title == "" || text == "" || len(raw) > 15000 || !utf8.ValidString(text) {
			t.Errorf("%s: %d bytes", name, len(raw))
		}
	}
}

// TestTokensFit: whatever a card of the program carries fits into the template.
func TestTokensFit(t *testing.T) {
	sealer := bot.NewSealer([]byte("0123456789abcdef0123456789abcdef"))
	caps := (&Adapter{conf: Config{CardTemplateID: "x"}}).Caps()
	for _, s := range cards.Samples() {
		c := cards.Fit(s.Card, caps)
		if err := sealer.Seal(&c, "dingtalk/default"); err != nil {
			t.Fatal(err)
		}
		whole := strings.Join(slices.Collect(maps.Values(draw(c))), "\n")
		check := func(a cards.Action) {
			if a.URL == "" && !strings.Contains(whole, a.Token) {
				t.Errorf("%s: %q was left out", s.Name, a.Label)
			}
			for _, o := range a.Options {
				if !strings.Contains(whole, `"value":"`+o.Value+`"`) {
					t.Errorf("%s: choice %q of %q was left out", s.Name, o.Label, a.Label)
				}
			}
		}
		for _, a := range slices.Concat(c.Actions, c.More) {
			check(a)
		}
		for _, r := range c.Rows {
			for _, a := range r.Actions {
				check(a)
			}
		}
	}
}

// TestEveryVariableIsAlwaysSent: an update by key leaves alone what it does not
// name, so a shorter card must say what is empty now.
func TestEveryVariableIsAlwaysSent(t *testing.T) {
	long := draw(cards.Card{Title: "x", Body: strings.Repeat("字", 2000), Rows: slices.Repeat([]cards.Row{{Text: strings.Repeat("行", 100)}}, 10)})
	short := draw(cards.Card{Title: "x"})
	if long["body3"] == "" || long["rows2"] == "[]" {
		t.Errorf("a long card does not go on: %v", long)
	}
	for k := range long {
		if v, ok := short[k]; !ok || v != "" && v != "[]" && k != "title" && k != "version" {
			t.Errorf("%s = %q, %v", k, v, ok)
		}
	}
	if len(long) != len(short) {
		t.Errorf("%d and %d variables", len(long), len(short))
	}
}

func TestLongMenusGoOnInAnother(t *testing.T) {
	var options []cards.Option
	for i := range 20 {
		options = append(options, cards.Option{Label: fmt.Sprintf("值班工程师 %d 二线网络", i), Value: fmt.Sprintf("person-%032d", i)})
	}
	v := draw(cards.Card{Title: "x", Actions: []cards.Action{{Label: "转派", Token: "AQ-assign", Options: options}}})
	seen := 0
	for _, name := range []string{"menus", "menus2", "menus3", "menus4"} {
		var list []menuItem
		if err := json.Unmarshal([]byte(v[name]), &list); err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if m.Token != "AQ-assign" || !strings.HasPrefix(m.Label, "转派") || len(m.Options) == 0 {
				t.Errorf("%+v", m)
			}
			seen += len(m.Options)
		}
	}
	if seen != 20 {
		t.Errorf("%d of 20 choices", seen)
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain 文字 #12": "plain 文字 #12", "[a](https://x.example)": "［a］(https：//x.example)", "@所有人 @13800000000": "＠所有人 ＠13800000000", "# h": "＃ h", "#12 a": "#12 a", "## ": "＃＃ ", "- a": "－ a", "1. a": "1． a",
		"1.5 h": "1.5 h", "a*b*_c_`d`~~e~~": "a＊b＊＿c＿｀d｀～～e～～", "<b>&lt;": "＜b＞＆lt;", "www.evil.example": "www．evil.example", "": "", "---": "－--", "| a |": "｜ a |", "dingtalk://x": "dingtalk：//x",
	} {
		if got := escape(in); got != want {
			t.Errorf("escape(%q) = %q, want %q", in, got, want)
		}
	}
	own := links{"https://desk.example.com/t/1_a": true}
	if got, want := own.escape("open: https://desk.example.com/t/1_a and https://desk.example.com/t/1_abc"), "open: https://desk.example.com/t/1_a and https：//desk.example.com/t/1＿abc"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestCutBytes(t *testing.T) {
	for _, c := range []struct {
		in   string
		most int
		want string
	}{{"short", 10, "short"}, {"123456", 5, "12…"}, {"工单工单", 9, "工单…"}, {"😀😀😀", 8, "😀…"}, {"", 3, ""}, {"abc👩‍👩‍👧", 14, "abc…"}, {"工单", 2, ""}} {
		if got := cutBytes(c.in, c.most); got != c.want || len(got) > c.most {
			t.Errorf("cutBytes(%q, %d) = %q, want %q", c.in, c.most, got, c.want)
		}
	}
}

func BenchmarkDraw(b *testing.B) {
	c := sampleCards()["ticket"]
	b.Run("template", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(draw(c)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("markdown", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			markdown(c)
		}
	})
}

// TestTemplateIsWhatIsDrawn: the file that administrators build from has the
// variables that are sent, and every component shows one that there is.
func TestTemplateIsWhatIsDrawn(t *testing.T) {
	var file struct {
		Limits    struct{ ValueBytes int }
		Sent      map[string]struct{ ActionIDs []string }
		Variables []struct {
			Name, Type, Scope string
			Mock              json.RawMessage
			Fields            []struct{ Name string }
		}
		Components []map[string]any
	}
	if err := json.Unmarshal(CardTemplate, &file); err != nil {
		t.Fatal(err)
	}
	sent := draw(sampleCards()["ticket"])
	named := map[string]bool{}
	for _, v := range file.Variables {
		named[v.Name] = true
		value, ok := sent[v.Name]
		if list := strings.HasPrefix(value, "["); !ok || v.Scope != "public" || list != (v.Type == "object array") {
			t.Errorf("%s: sent %v, %+v", v.Name, ok, v)
		}
		if v.Type != "object array" {
			continue
		}
		var mock []map[string]any
		if err := json.Unmarshal(v.Mock, &mock); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		var drawn []map[string]any
		if err := json.Unmarshal([]byte(value), &drawn); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		for _, e := range append(mock, drawn...) {
			for k := range e {
				if !slices.ContainsFunc(v.Fields, func(f struct{ Name string }) bool { return f.Name == k }) {
					t.Errorf("%s has no field %s", v.Name, k)
				}
			}
		}
	}
	for k := range sent {
		if !named[k] {
			t.Errorf("%s is sent and not in the template", k)
		}
	}
	raw := jsonOf(t, file.Components)
	for name := range named {
		if name != "tone" && name != "version" && !strings.Contains(raw, "${"+name+"}") && !strings.Contains(raw, `"list":"`+name+`"`) {
			t.Errorf("no component shows %s", name)
		}
	}
	if file.Limits.ValueBytes != maxValue || file.Sent["press"].ActionIDs[0] != pressAction || file.Sent["choose"].ActionIDs[0] != chooseAction {
		t.Errorf("%+v %+v", file.Limits, file.Sent)
	}
}
