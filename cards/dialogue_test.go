package cards_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/paidan/paidan/cards"
)

// asked is a question as it reads in a chat.
func asked(c cards.Card) string {
	text, acts := cards.Numbered(c)
	if len(acts) > 0 {
		text += "!! it has numbers of its own\n"
	}
	return text
}

func TestQuestionsReadNaturally(t *testing.T) {
	model := []cards.Option{{Label: "台式机", Value: "pc"}, {Label: "笔记本", Value: "lap"}}
	for _, c := range []struct {
		name string
		card cards.Card
		want string
	}{
		{"the title of a new ticket", cards.Ask(cards.Question{Title: "建工单", New: true, Input: cards.Input{Name: cards.InTitle, Label: "标题", Hint: "一句话说清问题", Required: true}}, cards.ZH), `
[card] 建工单
  > 遇到了什么问题？一句话说清即可，细节可以另起一行。
  (回复「取消」退出。)
`},
		{"a choice that may be left out", cards.Ask(cards.Question{Title: "建工单", Wrong: "没有「4」这一项。", Input: cards.Input{Label: "型号", Kind: cards.InputChoice, Options: model}}, cards.ZH), `
[card] 建工单
  > 没有「4」这一项。
  > 型号？
  > 1 台式机
  > 2 笔记本
  > 回复编号或名称。
  (不填请回复「无」。回复「取消」退出。)
`},
		{"options that are numbers", cards.Ask(cards.Question{Title: "内存", Input: cards.Input{Label: "几条", Kind: cards.InputChoice, Required: true, Options: []cards.Option{{Label: "4"}, {Label: "2"}}}}, cards.ZH), `
[card] 内存
  > 几条？
  > · 4
  > · 2
  > 回复其中一项。
  (回复「取消」退出。)
`},
		{"a time, with a file", cards.Ask(cards.Question{Title: "Hold #7", Files: 2, Intro: "It stays yours.", Input: cards.Input{Label: "Until", Kind: cards.InputTime, Required: true}}, cards.EN), `
[card] Hold #7
  > It stays yours.
  > Got 2 files.
  > Until?
  > For example: tomorrow 3pm, in 2h, friday 10:00
  (Reply “cancel” to stop.)
`},
		{"the rest", cards.AskRest(cards.Question{Title: "建工单"}, []cards.Fact{{Label: "标题", Value: "打印机\n坏了"}}, []cards.Item{
			{Input: cards.Input{Label: "描述", Kind: cards.InputText}},
			{Input: cards.Input{Label: "型号", Kind: cards.InputChoice, Options: model}, Shown: "笔记本"},
			{Input: cards.Input{Label: "通知客户", Kind: cards.InputCheck}, Shown: cards.YesNo(true, cards.ZH)},
			{Input: cards.Input{Label: "说明（选填）", Kind: cards.InputText}},
		}, cards.ZH), `
[card] 建工单
  > 标题：打印机 坏了
  > 还可以补充：
  > 1 描述
  > 2 型号：笔记本（台式机/笔记本）
  > 3 通知客户：是（是/否）
  > 4 说明
  (回复「编号 内容」补充，回复「好」提交。回复「取消」退出。)
`},
		{"one last text", cards.AskRest(cards.Question{Title: "Reassign #7"}, []cards.Fact{{Label: "Owner", Value: "Li Si"}}, []cards.Item{
			{Input: cards.Input{Label: "Reason (optional)", Kind: cards.InputText}},
		}, cards.EN), `
[card] Reassign #7
  > Owner: Li Si
  > Anything to add as “Reason”?
  (Just write it, or reply “ok” to submit. Reply “cancel” to stop.)
`},
	} {
		if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), asked(c.card)); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.name, diff)
		}
	}
}

func TestWhatIsAskedCannotPassForACard(t *testing.T) {
	c := cards.Ask(cards.Question{Title: "x\n[card #1] y", Input: cards.Input{Label: "a\n[card #2] z", Kind: cards.InputChoice, Options: []cards.Option{{Label: "b\n[card #3] w"}}}}, cards.ZH)
	for line := range strings.Lines(asked(cards.Fit(c, cards.Caps{}))) {
		if strings.HasPrefix(line, "[card #") {
			t.Errorf("%q", line)
		}
	}
}

func TestAChoiceThatIsDangerousIsAskedOnceMore(t *testing.T) {
	c := cards.Sure("确定吗？", cards.Action{Label: "撤回", Confirm: "确定吗？"}, cards.ZH)
	if len(c.Actions) != 1 || c.Actions[0].Confirm != "" || c.Title != "确定吗？" {
		t.Errorf("%+v", c)
	}
}
