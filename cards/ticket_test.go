package cards_test

import (
	"strings"
	"testing"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

func views(l cards.Lang) map[string]*tickets.View {
	out := map[string]*tickets.View{}
	for _, s := range cards.SampleViews(l) {
		out[s.Name] = s.View
	}
	return out
}

func labels(list []cards.Action) string {
	var out []string
	for _, a := range list {
		out = append(out, a.Label)
	}
	return strings.Join(out, " ")
}

func TestEachStateHasItsButtons(t *testing.T) {
	const work = "优先级 时间线 标签 类型 合并 关联 改字段"
	for _, tt := range []struct {
		state   string
		tone    cards.Tone
		badges  string
		buttons string
		more    string
		first   string // label of the primary button
	}{
		{"new", cards.Open, "P1 待接 二线-网络", "接单 指派 非工单", "升级 回复客户 备注 " + work, "接单"},
		{"active", cards.Busy, "P1 处理中 二线-网络", "解决 转派 挂起 协办 升级", "撤销 回复客户 备注 退回 " + work, "解决"},
		{"transferred", cards.Busy, "P1 处理中 二线-网络", "解决 转派 挂起 协办 升级", "回复客户 备注 退回 " + work, "解决"},
		{"waiting", cards.Paused, "P1 等客户 二线-网络", "继续 改时间 解决", "转派 升级 回复客户 备注 " + work, "继续"},
		{"held", cards.Paused, "P1 挂起 二线-网络", "继续 改时间 解决", "转派 升级 回复客户 备注 " + work, "继续"},
		{"soon", cards.Alarm, "P1 待接 即将超时 二线-网络", "接单 指派 非工单", "升级 回复客户 备注 " + work, "接单"},
		{"soon-active", cards.Alarm, "P1 处理中 即将超时 二线-网络", "转派 解决 挂起 协办 升级", "回复客户 备注 退回 " + work, "解决"},
		{"overdue-new", cards.Alarm, "P1 待接 已超时 二线-网络", "接单 指派 非工单", "升级 回复客户 备注 " + work, "接单"},
		{"overdue", cards.Alarm, "P1 处理中 已超时 二线-网络", "转派 解决 挂起 协办 升级", "回复客户 备注 退回 " + work, "解决"},
		{"overdue-held", cards.Paused, "P1 挂起 二线-网络", "继续 改时间 解决", "转派 升级 回复客户 备注 " + work, "继续"},
		{"solved", cards.Good, "P1 待确认 二线-网络", "重开", "回复客户 备注 结单 关联 时间线", ""},
		{"closed", cards.Gone, "P1 已关闭 二线-网络", "重开 时间线", "", ""},
		{"merged", cards.Gone, "P1 已合并 二线-网络", "查看 #1031 取消合并", "时间线", ""},
		{"withdrawn", cards.Gone, "P1 已撤回 二线-网络", "重开 时间线", "", ""},
		{"archived", cards.Gone, "P1 已归档 二线-网络", "重开 时间线", "", ""},
	} {
		v := views(cards.ZH)[tt.state]
		c := cards.Ticket(v, cards.ZH)
		if c.Tone != tt.tone {
			t.Errorf("%s: tone %q, want %q", tt.state, c.Tone, tt.tone)
		}
		if got := strings.Join(c.Badges, " "); got != tt.badges {
			t.Errorf("%s: badges %q, want %q", tt.state, got, tt.badges)
		}
		if got := labels(c.Actions); got != tt.buttons {
			t.Errorf("%s: buttons %q, want %q", tt.state, got, tt.buttons)
		}
		if got := labels(c.More); got != tt.more {
			t.Errorf("%s: more %q, want %q", tt.state, got, tt.more)
		}
		first := ""
		for _, a := range c.Actions {
			if a.Style == cards.Primary {
				first += a.Label
			}
		}
		if first != tt.first {
			t.Errorf("%s: primary %q, want %q", tt.state, first, tt.first)
		}
		for _, a := range append(c.Actions, c.More...) {
			if a.Act.Ticket == v.ID && a.Act.Version != v.Version {
				t.Errorf("%s: %s is of version %d, want %d", tt.state, a.Label, a.Act.Version, v.Version)
			}
			if _, hasForm := cards.FormFor(a.Act.Verb, v, "phone", cards.ZH); a.Act.Form && !hasForm {
				t.Errorf("%s: %s opens a form that does not exist", tt.state, a.Label)
			}
		}
	}
}

func TestARequesterSeesHisButtonsOnly(t *testing.T) {
	for state, want := range map[string]string{
		"new": "补充 催单 撤回", "active": "补充 催单 撤回", "held": "补充 催单 撤回", "waiting": "回复 撤回",
		"solved": "已解决 未解决", "closed": "重开", "merged": "", "archived": "重开",
	} {
		c := cards.Receipt(views(cards.ZH)[state], cards.ZH)
		if got := labels(c.Actions); got != want {
			t.Errorf("%s: buttons %q, want %q", state, got, want)
		}
		if len(c.More) > 0 {
			t.Errorf("%s: has a menu", state)
		}
	}
}

// What the team keeps to itself must not reach the requester.
func TestAReceiptTellsNoSecrets(t *testing.T) {
	const secret = "INTERNAL"
	for name, v := range views(cards.EN) {
		v.Reason, v.Tags, v.Team = secret, []string{secret}, secret
		v.Consults = []tickets.Consult{{Person: v.Requester, Question: secret}}
		if v.Hold != nil {
			v.Hold.Reason = secret
		}
		if v.Solution != nil {
			v.Solution.Cause = secret
		}
		for i := range v.Fields {
			v.Fields[i].Value = secret
		}
		if text := cards.PlainText(cards.Receipt(v, cards.EN)); strings.Contains(text, secret) {
			t.Errorf("%s:\n%s", name, text)
		}
		for _, c := range cards.Whole(v, 0, cards.EN) {
			if text := cards.PlainText(c); strings.Contains(text, secret) {
				t.Errorf("%s, whole:\n%s", name, text)
			}
		}
	}
}

func TestWhatIsCutCanBeReadInFull(t *testing.T) {
	v := views(cards.EN)["long"]
	for _, c := range []cards.Card{cards.Ticket(v, cards.EN), cards.Receipt(v, cards.EN)} {
		last := cards.Action{}
		if n := len(c.More); n > 0 {
			last = c.More[n-1]
		}
		if last.Act.Verb != tickets.VerbShow || last.Act.Arg != cards.ArgWhole {
			t.Errorf("%q: more %q", c.Badges, labels(c.More))
		}
	}
	team := cards.WholeForTeam(v, 0, cards.EN)[0].Body
	if !strings.Contains(team, "Phone: 138****5678") || !strings.Contains(team, strings.TrimSpace(v.Said.Text)) {
		t.Errorf("for the team: %.300q", team)
	}
}

// Ids of people and what buttons carry are for machines.
func TestNoIdIsShown(t *testing.T) {
	for _, s := range cards.Samples() {
		text := cards.PlainText(s.Card)
		numbered, _ := cards.Numbered(s.Card)
		if strings.Contains(text+numbered+s.Card.Alt, "0199f3a0-") {
			t.Errorf("%s shows an id:\n%s", s.Name, text)
		}
	}
	v := views(cards.ZH)["active"]
	v.Names = nil
	if text := cards.PlainText(cards.Ticket(v, cards.ZH)); strings.Contains(text, "0199f3a0-") || !strings.Contains(text, "其他同事") {
		t.Errorf("a person without a name:\n%s", text)
	}
}

func TestSampleNamesAreUniqueAndInBothLanguages(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range cards.Samples() {
		if seen[s.Name] {
			t.Errorf("%s stands there twice", s.Name)
		}
		seen[s.Name] = true
		if s.Card.Title == "" {
			t.Errorf("%s has no title", s.Name)
		}
	}
	for name := range seen {
		base, l, _ := strings.Cut(name, ".")
		if other := map[string]string{"zh": "en", "en": "zh"}[l]; !seen[base+"."+other] {
			t.Errorf("%s has no twin", name)
		}
	}
}

func TestABreachLineSaysWhichTargetAndHowItEnded(t *testing.T) {
	for state, want := range map[string]string{
		"overdue-new":    "#1024 解决超时 · 无人接单 应在 12:15 前",
		"overdue":        "#1024 解决超时 · 李四 应在 12:15 前",
		"overdue-solved": "#1024 解决超时 · 李四 已处理，用时 6 时 58 分",
		"overdue-held":   "#1024 解决超时 · 李四 已挂起",
	} {
		c := cards.BreachLine(views(cards.ZH)[state], cards.ZH)
		if got := c.Title + " " + strings.Join(c.Badges, " "); got != want {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
	v := views(cards.ZH)["overdue-new"]
	v.SolveBy, v.Missed = v.Now.Add(1e10), []string{"respond"}
	if got := cards.BreachLine(v, cards.ZH).Title; got != "#1024 首响超时 · 无人接单" {
		t.Errorf("first response: %q", got)
	}
}

func TestNumberedGivesEachNumberItsAct(t *testing.T) {
	c := cards.Fit(cards.Ticket(views(cards.ZH)["new"], cards.ZH), cards.Caps{})
	text, acts := cards.Numbered(c)
	if len(acts) != 9 || acts[0].Verb != tickets.VerbClaim || acts[1].Verb != tickets.VerbAssign || acts[3].Verb != tickets.VerbReveal {
		t.Errorf("acts %+v", acts)
	}
	if !strings.Contains(text, "回复数字：1 接单 · 2 指派 · 3 非工单 · 4 电话 查看 · 5 升级") {
		t.Errorf("text:\n%s", text)
	}
	list := cards.List(tickets.VerbQueue, "", []tickets.Row{{ID: "t7", Number: 7, Title: "x", Status: tickets.New}}, 0, cards.SampleNow, nil, cards.ZH)
	text, acts = cards.Numbered(list)
	if len(acts) != 2 || acts[0].Ticket != "t7" || !strings.Contains(text, "回复数字：1 #7 接单 · 2 #7 查看") {
		t.Errorf("list %+v:\n%s", acts, text)
	}
}

func TestNothingWrittenPassesForACardInPlainText(t *testing.T) {
	c := cards.Card{Lang: cards.ZH, Title: "a\n[card #1] b", Body: "x\n[card #2] y\n来自: z", Note: "n\n[card #3]"}
	for i, line := range strings.Split(strings.TrimSpace(cards.PlainText(c)), "\n") {
		if i > 0 && strings.HasPrefix(line, "[") || strings.HasPrefix(line, "  来自") {
			t.Errorf("line %d: %q", i+1, line)
		}
	}
}
