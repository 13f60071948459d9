package feishu

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/feishu/feishutest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// sampleCards cover every element that a card can have.
func sampleCards() map[string]cards.Card {
	return map[string]cards.Card{
		"ticket": {
			Lang: cards.ZH, Tone: cards.Open, Title: "#1024 无法登录 ERP", Badges: []string{"P1", "待接", "二线-网络", "第四个"},
			Facts: []cards.Fact{
				{Label: "来自", Value: "王芳(市场部 · VIP)"}, {Label: "处理人", Value: "—"}, {Label: "类型", Value: "账号/登录"}, {Label: "标签", Value: "ERP 上海"},
				{Label: "电话", Value: "138****5678", Action: &cards.Action{Label: "查看", Token: "AQ-reveal"}},
				{Label: "首响", Value: "剩 12 分 (14:32 前)"}, {Label: "相似", Value: "#988 已解决:清缓存", Wide: true},
			},
			Body: "昨晚升级后提示 E07,10 人受影响\n附 2 图",
			Actions: []cards.Action{
				{Label: "接单", Style: cards.Primary, Token: "AQ-claim"},
				{Label: "转派", Token: "AQ-assign", Options: []cards.Option{{Label: "李四", Value: "p1"}, {Label: "王五", Value: "p2"}}},
				{Label: "升级", Style: cards.Danger, Token: "AQ-escalate", Confirm: "升级到二线?"},
				{Label: "控制台", URL: "https://desk.example.com/t/1024"},
			},
			More: []cards.Action{{Label: "优先级", Token: "AQ-prio"}, {Label: "合并", Token: "AQ-merge"}, {Label: "非工单", Token: "AQ-spam", Confirm: "真的?"}},
			Note: "14:20 王芳 建单", Ping: []string{"ou_user001"}, Version: 1,
		},
		"english": {Lang: cards.EN, Tone: cards.Good, Title: "#7 VPN is down", Badges: []string{"P2", "solved"}, Body: "It works again. & <thanks>", Actions: []cards.Action{{Label: "Reopen", Token: "AQ-reopen", Confirm: "Open it again?", Style: cards.Danger}}, Note: "by ann"},
		"queue": {
			Lang: cards.ZH, Title: "待接", Rows: []cards.Row{
				{Tone: cards.Alarm, Text: "#1024 ERP 登录失败", Detail: "超时 2时05分 · 李四", Actions: []cards.Action{{Label: "改派", Token: "AQ-r1"}, {Label: "催办", Token: "AQ-u1"}}},
				{Tone: cards.Open, Text: "#1031 退款未到账", Actions: []cards.Action{{Label: "接单", Token: "AQ-c2"}}},
				{Tone: cards.Paused, Text: "#0970 挂起到期"},
				{Text: "还有 9 张", Left: 9},
			},
			Actions: []cards.Action{{Label: "下一页", Token: "AQ-next"}}, Note: "3 张",
		},
		"hint":   {Body: "没有 #1042,你是否指 #1024?", Actions: []cards.Action{{Label: "是", Token: "y"}, {Label: "取消", Token: "n"}}},
		"error":  {Tone: cards.Alarm, Title: "不行", Body: "已由 张三 接单"},
		"closed": {Tone: cards.Gone, Title: "#9 已关闭", Actions: []cards.Action{{Label: "重开", Token: "o"}}},
	}
}

func sampleForms() map[string]cards.Card {
	return map[string]cards.Card{
		"form-new ticket": {Lang: cards.ZH, Title: "新建工单", Body: "带 * 的要填", Form: &cards.Form{Token: "AQ-form", Submit: "建单", Inputs: []cards.Input{
			{Name: "type", Label: "类型", Kind: cards.InputChoice, Required: true, Reload: true, Value: "net", Options: []cards.Option{{Label: "网络", Value: "net"}, {Label: "打印机", Value: "print"}}},
			{Name: "title", Label: "标题", Kind: cards.InputLine, Required: true, Value: "VPN", Max: 120, Hint: "一句话"},
			{Name: "text", Label: "描述", Kind: cards.InputText, Error: "太短", Max: 3000},
			{Name: "who", Label: "处理人", Kind: cards.InputPerson, Value: "ou_user001"},
			{Name: "prio", Label: "优先级", Kind: cards.InputChoice, Value: "P2", Options: []cards.Option{{Label: "P1", Value: "P1"}, {Label: "P2", Value: "P2"}}},
			{Name: "day", Label: "日期", Kind: cards.InputDate, Value: "2026-11-21"},
			{Name: "due", Label: "期限", Kind: cards.InputTime, Value: "2026-11-21T18:30", Required: true},
			{Name: "count", Label: "人数", Kind: cards.InputNumber, Value: "10"},
			{Name: "tell", Label: "通知客户", Kind: cards.InputCheck, Value: "true", Hint: "会发到群里"},
			{Name: "field:phone", Label: "电话", Kind: cards.InputPhone, Value: "13812345678"},
			{Name: "mail", Label: "邮箱", Kind: cards.InputEmail},
		}}},
		"form-english": {Lang: cards.EN, Title: "A form", Form: &cards.Form{Token: "t", Inputs: []cards.Input{{Name: "reason", Kind: cards.InputText, Required: true}, {Name: "none", Label: "None", Kind: cards.InputChoice}, {Name: "odd", Label: "Odd", Kind: "telepathy"}, {Name: "wrong", Label: "Wrong", Kind: cards.InputDate, Value: "tomorrow"}}}},
	}
}

// houseCards are the cards that the program shows, as they leave it: cut to
// Feishu's limits, with a token on everything that can be pressed.
func houseCards(token func(a *cards.Act) string) map[string]cards.Card {
	caps := (&Adapter{}).Caps()
	out := map[string]cards.Card{}
	seal := func(list []cards.Action) []cards.Action {
		list = slices.Clone(list)
		for i := range list {
			if list[i].URL == "" {
				list[i].Token = token(&list[i].Act)
			}
		}
		return list
	}
	for _, s := range cards.Samples() {
		c := cards.Fit(s.Card, caps)
		c.Actions, c.More = seal(c.Actions), seal(c.More)
		c.Rows = slices.Clone(c.Rows)
		for i := range c.Rows {
			c.Rows[i].Actions = seal(c.Rows[i].Actions)
		}
		c.Facts = slices.Clone(c.Facts)
		for i, f := range c.Facts {
			if f.Action != nil {
				a := *f.Action
				a.Token = token(&a.Act)
				c.Facts[i].Action = &a
			}
		}
		if c.Form != nil {
			form := *c.Form
			form.Token = token(&form.Act)
			c.Form = &form
		}
		out[s.Name] = c
	}
	return out
}

// wordToken is a token for people to read in golden files.
func wordToken(a *cards.Act) string {
	return strings.Trim(fmt.Sprintf("%s.%s.%d.%s", a.Verb, cut(string(a.Ticket), 12), a.Version, cut(a.Arg, 20)), ".")
}

func indent(t *testing.T, card string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(card), "", " "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

func fileName(s string) string { return strings.ReplaceAll(s, " ", "-") + ".json" }

func TestCards(t *testing.T) {
	all := sampleCards()
	maps.Copy(all, sampleForms())
	for name, c := range all {
		card := draw(c, inGroup, "")
		if says := feishutest.CheckCard([]byte(card)); len(says) > 0 {
			t.Errorf("%s: %q", name, says)
		}
		golden(t, filepath.Join("testdata/cards", fileName(name)), indent(t, card))
	}
	golden(t, "testdata/cards/note.json", indent(t, draw(all["hint"], asNote, "")))
	golden(t, "testdata/cards/form-private.json", indent(t, draw(all["form-new ticket"], inPrivate, "oc_group")))
	golden(t, "testdata/cards/done.json", indent(t, done()))
}

// TestHouseCards draws every card of the program: nothing that can be pressed
// and no input may be lost.
func TestHouseCards(t *testing.T) {
	all := houseCards(wordToken)
	if len(all) < 40 {
		t.Fatalf("only %d cards", len(all))
	}
	for name, c := range all {
		card := draw(c, inGroup, "")
		if says := feishutest.CheckCard([]byte(card)); len(says) > 0 {
			t.Errorf("%s: %q", name, says)
		}
		for _, list := range [][]cards.Action{c.Actions, c.More} {
			for _, a := range list {
				if a.URL == "" && !strings.Contains(card, quoted(a.Token)) {
					t.Errorf("%s: %q cannot be pressed", name, a.Label)
				}
			}
		}
		for _, r := range c.Rows {
			for _, a := range r.Actions {
				if a.URL == "" && !strings.Contains(card, quoted(a.Token)) {
					t.Errorf("%s: %q of a row cannot be pressed", name, a.Label)
				}
			}
		}
		if c.Form != nil {
			for _, in := range c.Form.Inputs {
				if !strings.Contains(card, quoted(in.Name)) {
					t.Errorf("%s: input %q is missing", name, in.Name)
				}
			}
		}
		golden(t, filepath.Join("testdata/cards/house", fileName(name)), indent(t, card))
	}
}

func quoted(s string) string { return string(encode(s)) }

// TestSealedCardsFit: real tokens are longer than words.
func TestSealedCardsFit(t *testing.T) {
	sealer := bot.NewSealer([]byte("0123456789abcdef0123456789abcdef"))
	caps := (&Adapter{}).Caps()
	most := 0
	for _, s := range cards.Samples() {
		c := cards.Fit(s.Card, caps)
		if err := sealer.Seal(&c, "feishu/default"); err != nil {
			t.Fatal(err)
		}
		card := draw(c, inGroup, "")
		most = max(most, escaped([]byte(card)))
		for _, r := range c.Rows {
			for _, a := range r.Actions {
				if !strings.Contains(card, a.Token) {
					t.Errorf("%s: %q cannot be pressed", s.Name, a.Label)
				}
			}
		}
	}
	t.Logf("the largest card takes %d bytes of a request", most)
}

// TestExtremesFit: what nobody cut still fits, wherever it stands.
func TestExtremesFit(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(adaptertest.Extremes())) {
		for _, at := range []spot{inGroup, inPrivate, asNote} {
			card := draw(adaptertest.Extremes()[name], at, "oc_group")
			if says := feishutest.CheckCard([]byte(card)); len(says) > 0 {
				t.Errorf("%s: %q", name, says[:min(3, len(says))])
			}
			if !utf8.ValidString(card) || escaped([]byte(card)) > maxBytes {
				t.Errorf("%s takes %d bytes", name, escaped([]byte(card)))
			}
			if n := strings.Count(card, `"tag":`); n > maxElements {
				t.Errorf("%s has %d elements", name, n)
			}
		}
	}
}

func TestLongTextNeverPushesTheButtonsOut(t *testing.T) {
	for _, body := range []string{strings.Repeat("字\n", 60_000), strings.Repeat(`"\`, 60_000), strings.Repeat("👩‍👩‍👧", 9000)} {
		card := draw(cards.Card{Title: "x", Body: body, Actions: []cards.Action{{Label: "接单", Token: "AQ-claim"}}, Note: "foot"}, inGroup, "")
		for _, want := range []string{"AQ-claim", "foot"} {
			if !strings.Contains(card, want) {
				t.Errorf("%s is missing", want)
			}
		}
		if says := feishutest.CheckCard([]byte(card)); len(says) > 0 {
			t.Error(says)
		}
		if escaped([]byte(card)) < 3000 {
			t.Errorf("only %d bytes are left of the text", escaped([]byte(card)))
		}
	}
}

func TestFormsWithNamesThatCannotBe(t *testing.T) {
	card := draw(cards.Card{Title: "t", Form: &cards.Form{Token: "T", Inputs: []cards.Input{{Name: "a"}, {Name: "a"}, {}, {Name: "x\ny"}, {Name: "submit"}, {Name: strings.Repeat("n", 300)}}}}, inGroup, "")
	if says := feishutest.CheckCard([]byte(card)); len(says) > 0 {
		t.Error(says)
	}
	many := cards.Form{Token: "T"}
	for i := range 200 {
		many.Inputs = append(many.Inputs, cards.Input{Name: fmt.Sprint("i", i), Kind: cards.InputText, Hint: strings.Repeat("h", 200), Error: strings.Repeat("e", 900), Value: strings.Repeat("v", 5000)})
	}
	card = draw(cards.Card{Title: "t", Form: &many}, inGroup, "")
	if says := feishutest.CheckCard([]byte(card)); len(says) > 0 || escaped([]byte(card)) > maxBytes {
		t.Error(says, escaped([]byte(card)))
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"short", 10, "short"}, {"12345", 5, "12345"}, {"123456", 5, "1234…"}, {"工单工单", 3, "工单…"}, {"😀😀😀", 4, "😀…"}, {"", 3, ""},
		{"abc👩‍👩‍👧", 6, "abc…"}, {"e\u0301e\u0301e\u0301", 4, "e\u0301…"},
	} {
		if got := cut(c.in, c.limit); got != c.want || length(got) > c.limit {
			t.Errorf("cut(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}

// TestWeight: a text takes as many bytes of a request as it is thought to.
func TestWeight(t *testing.T) {
	for _, s := range []string{"", "plain", `"quotes" and \ `, "lines\nand\ttabs", "工单", "<b>&</b>", "\u2028\u2029", "👩‍👩‍👧"} {
		card := func(s string) []byte { return cardJSON("", nil, []*element{div(&text{content: s})}) }
		body := func(s string) int { return len(encode(string(card(s)))) }
		if got, want := weight(s), body(s)-body(""); got != want {
			t.Errorf("weight(%q) = %d, want %d", s, got, want)
		}
		if got, want := escaped(card(s)), body(s)-2; got != want {
			t.Errorf("escaped(%q) = %d, want %d", s, got, want)
		}
		var back any
		if err := json.Unmarshal(card(s), &back); err != nil || !strings.Contains(fmt.Sprint(back), s) {
			t.Errorf("%q: %v, %v", s, back, err)
		}
	}
}

func BenchmarkCard(b *testing.B) {
	c := sampleCards()["ticket"]
	b.ReportAllocs()
	for b.Loop() {
		draw(c, inGroup, "")
	}
}
