package slack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// sampleCards cover every element that a card can have.
func sampleCards() map[string]cards.Card {
	return map[string]cards.Card{
		"ticket": {
			Lang: cards.ZH, Tone: cards.Open, Title: "#1024 无法登录 ERP", Badges: []string{"P1", "待接", "二线-网络"},
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
			More: []cards.Action{{Label: "优先级", Token: "AQ-prio"}, {Label: "合并", Token: "AQ-merge"}, {Label: "非工单", Token: "AQ-spam"}},
			Note: "14:20 王芳 建单", Ping: []string{"U0USER001", "S0GROUP01"}, Version: 1,
		},
		"english": {Lang: cards.EN, Tone: cards.Good, Title: "#7 VPN is down", Badges: []string{"P2", "solved"}, Body: "It works again. & <thanks>", Actions: []cards.Action{{Label: "Reopen", Token: "AQ-reopen", Confirm: "Open it again?", Style: cards.Danger}}, Note: "by ann"},
		"queue": {
			Lang: cards.ZH, Title: "待接", Rows: []cards.Row{
				{Tone: cards.Alarm, Text: "#1024 ERP 登录失败", Detail: "超时 2时05分 · 李四", Actions: []cards.Action{{Label: "改派", Token: "AQ-r1"}, {Label: "催办", Token: "AQ-u1"}}},
				{Tone: cards.Open, Text: "#1031 退款未到账", Actions: []cards.Action{{Label: "接单", Token: "AQ-c2"}}},
				{Tone: cards.Paused, Text: "#0970 挂起到期"},
			},
			Actions: []cards.Action{{Label: "下一页", Token: "AQ-next"}}, Note: "3 张",
		},
		"more menu": {Lang: cards.EN, Title: "Many", More: []cards.Action{{Label: "1", Token: "1"}, {Label: "2", Token: "2"}, {Label: "3", Token: "3"}, {Label: "4", Token: "4"}, {Label: "5", Token: "5"}, {Label: "6", Token: "6"}, {Label: "sure?", Token: "7", Confirm: "Really?"}, {Label: "link", URL: "https://example.com"}}},
		"hint":      {Body: "没有 #1042,你是否指 #1024?", Actions: []cards.Action{{Label: "是", Token: "y"}, {Label: "取消", Token: "n"}}},
		"error":     {Tone: cards.Alarm, Title: "不行", Body: "已由 张三 接单"},
		"closed":    {Tone: cards.Gone, Title: "#9 已关闭", Actions: []cards.Action{{Label: "重开", Token: "o"}}},
	}
}

// houseCards are the cards that the program shows, as they leave it: cut to
// Slack's limits, with a token on everything that can be pressed.
func houseCards(token func(a *cards.Act) string) (shown, forms map[string]cards.Card) {
	caps := (&Adapter{}).Caps()
	shown, forms = map[string]cards.Card{}, map[string]cards.Card{}
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
		if c.Form == nil {
			shown[s.Name] = c
			continue
		}
		form := *c.Form
		form.Token = token(&form.Act)
		c.Form = &form
		forms[s.Name] = c
	}
	return shown, forms
}

// wordToken is a token for people to read in golden files.
func wordToken(a *cards.Act) string {
	return strings.Trim(fmt.Sprintf("%s.%s.%d.%s", a.Verb, cut(string(a.Ticket), 12), a.Version, cut(a.Arg, 20)), ".")
}

// TestHouseCards draws every card of the program.
func TestHouseCards(t *testing.T) {
	shown, forms := houseCards(wordToken)
	if len(shown) < 20 || len(forms) < 3 {
		t.Fatalf("only %d cards and %d forms", len(shown), len(forms))
	}
	for name, c := range shown {
		text, blocks := message(c)
		b := indent(t, map[string]any{"text": text, "blocks": blocks})
		raw := indent(t, blocks)
		if says := slacktest.CheckBlocks("message", raw); len(says) > 0 {
			t.Errorf("%s: %q", name, says)
		}
		for _, list := range [][]cards.Action{c.Actions, c.More} {
			for _, a := range list {
				if a.URL == "" && !bytes.Contains(raw, []byte(a.Token)) {
					t.Errorf("%s: %q cannot be pressed", name, a.Label)
				}
			}
		}
		golden(t, filepath.Join("testdata/cards/house", fileName(name)), b)
	}
	for name, c := range forms {
		view, err := modal(c, origin{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b := indent(t, view)
		if says := slacktest.CheckView(b); len(says) > 0 {
			t.Errorf("%s: %q", name, says)
		}
		golden(t, filepath.Join("testdata/cards/house", "form-"+fileName(name)), b)
	}
}

// TestTokensFitTheMenu: an entry of a menu carries little. If tokens grow, the
// lesser actions of every card turn into a wall of buttons.
func TestTokensFitTheMenu(t *testing.T) {
	sealer := bot.NewSealer([]byte("0123456789abcdef0123456789abcdef"))
	for _, s := range cards.Samples() {
		c := s.Card
		if err := sealer.Seal(&c, "slack/default"); err != nil {
			t.Fatal(err)
		}
		for _, a := range c.More {
			if len(a.Token) > maxOptionValue {
				t.Errorf("%s: the token of %q has %d characters, %d fit", s.Name, a.Label, len(a.Token), maxOptionValue)
			}
		}
		for _, a := range c.Actions {
			if len(menuAction+a.Token) > maxID {
				t.Errorf("%s: the token of %q does not fit an action_id", s.Name, a.Label)
			}
		}
	}
}

func sampleForms() map[string]cards.Card {
	return map[string]cards.Card{
		"new ticket": {Lang: cards.ZH, Title: "新建工单", Body: "带 * 的要填", Form: &cards.Form{Token: "AQ-form", Submit: "建单", Inputs: []cards.Input{
			{Name: "kind", Label: "类型", Kind: cards.InputChoice, Required: true, Reload: true, Value: "net", Options: []cards.Option{{Label: "网络", Value: "net"}, {Label: "打印机", Value: "print"}}},
			{Name: "title", Label: "标题", Kind: cards.InputLine, Required: true, Value: "VPN", Max: 120, Hint: "一句话"},
			{Name: "body", Label: "描述", Kind: cards.InputText, Error: "太短"},
			{Name: "who", Label: "处理人", Kind: cards.InputPerson, Value: "U0USER001"},
			{Name: "day", Label: "日期", Kind: cards.InputDate, Value: "2026-11-21"},
			{Name: "due", Label: "期限", Kind: cards.InputTime, Value: "2026-11-21T18:30", Required: true},
			{Name: "count", Label: "人数", Kind: cards.InputNumber, Value: "10"},
			{Name: "tell", Label: "通知客户", Kind: cards.InputCheck, Value: "true"},
			{Name: "phone", Label: "电话", Kind: cards.InputPhone, Value: "13812345678"},
			{Name: "mail", Label: "邮箱", Kind: cards.InputEmail},
		}}},
		"english": {Lang: cards.EN, Title: "A title that is much longer than a modal allows", Form: &cards.Form{Token: "t", Inputs: []cards.Input{{Name: "reason", Kind: cards.InputText, Required: true}, {Name: "none", Label: "None", Kind: cards.InputChoice}, {Name: "odd", Label: "Odd", Kind: "telepathy"}, {Name: "wrong", Label: "Wrong", Kind: cards.InputDate, Value: "tomorrow"}, {Name: "nan", Label: "NaN", Kind: cards.InputNumber, Value: "ten"}}}},
		"words":   {Title: "看", Body: "只是文字", Actions: []cards.Action{{Label: "好", Token: "ok"}}},
	}
}

func indent(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func fileName(s string) string { return strings.ReplaceAll(s, " ", "-") + ".json" }

func TestCards(t *testing.T) {
	for name, c := range sampleCards() {
		text, blocks := message(c)
		raw, err := json.Marshal(blocks)
		if err != nil {
			t.Fatal(err)
		}
		if says := slacktest.CheckBlocks("message", raw); len(says) > 0 {
			t.Errorf("%s: %q", name, says)
		}
		golden(t, filepath.Join("testdata/cards", fileName(name)), indent(t, map[string]any{"text": text, "blocks": blocks}))
	}
	for name, c := range sampleForms() {
		view, err := modal(c, origin{"1.2", "C0CHAN001", "1700000000.000100"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b := indent(t, view)
		if says := slacktest.CheckView(b); len(says) > 0 {
			t.Errorf("%s: %q", name, says)
		}
		golden(t, filepath.Join("testdata/cards", "form-"+fileName(name)), b)
	}
	b := indent(t, home(sampleCards()["queue"]))
	if says := slacktest.CheckView(b); len(says) > 0 {
		t.Error(says)
	}
	golden(t, "testdata/cards/home.json", b)
}

// TestExtremesFit: what nobody cut still fits, as message, as page and as form.
func TestExtremesFit(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(adaptertest.Extremes())) {
		c := adaptertest.Extremes()[name]
		text, blocks := message(c)
		raw, err := json.Marshal(blocks)
		if err != nil {
			t.Fatal(err)
		}
		if blocks != nil {
			if says := slacktest.CheckBlocks("message", raw); len(says) > 0 {
				t.Errorf("%s: %q", name, says[:min(3, len(says))])
			}
		}
		if text == "" || length(text) > 4000 || !utf8.Valid(raw) {
			t.Errorf("%s: text of %d", name, length(text))
		}
		for _, view := range []any{home(c)} {
			if says := slacktest.CheckView(indent(t, view)); len(says) > 0 {
				t.Errorf("%s at home: %q", name, says[:min(3, len(says))])
			}
		}
	}
}

func TestLongTextNeverPushesTheButtonsOut(t *testing.T) {
	c := cards.Card{Title: "x", Body: strings.Repeat("字\n", 60_000), Actions: []cards.Action{{Label: "接单", Token: "AQ-claim"}}, Note: "foot"}
	raw, err := json.Marshal(card(c, maxBlocks))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"AQ-claim", "foot"} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestFormsThatCannotBeShown(t *testing.T) {
	for name, f := range map[string]cards.Form{
		"long token":     {Token: strings.Repeat("t", 3001)},
		"name twice":     {Inputs: []cards.Input{{Name: "a"}, {Name: "a"}}},
		"no name":        {Inputs: []cards.Input{{}}},
		"too many":       {Inputs: make([]cards.Input, 101)},
		"a name too far": {Inputs: []cards.Input{{Name: strings.Repeat("n", 256)}}},
	} {
		if _, err := modal(cards.Card{Title: "t", Form: &f}, origin{}); !errors.Is(err, bot.ErrRejected) {
			t.Errorf("%s: %v", name, err)
		}
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

func BenchmarkCard(b *testing.B) {
	c := sampleCards()["ticket"]
	b.ReportAllocs()
	for b.Loop() {
		_, blocks := message(c)
		if _, err := json.Marshal(blocks); err != nil {
			b.Fatal(err)
		}
	}
}
