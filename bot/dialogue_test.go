//go:build unix

package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

func TestAFaultIsReportedInAFewWords(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.want(x.says("wang", "建单"), "类型？", "1 账号", "2 设备", "「取消」")
		x.want(x.says("wang", "账号"), "遇到了什么问题？")
		x.want(x.says("wang", "登录不了 ERP\n昨晚升级之后"),
			"类型：账号", "标题：登录不了 ERP", "1 描述：昨晚升级之后", "2 优先级：P3", "回复「编号 内容」补充，回复「好」提交。")
		x.want(x.says("wang", "2 P2\n好"), "[card #1] 登录不了 ERP", "已受理")
		tk := x.ticket(1)
		if tk.Title != "登录不了 ERP" || tk.Body != "昨晚升级之后" || tk.Priority != 2 || tk.Type != "account" {
			t.Errorf("got %+v", tk.Core)
		}
		x.want(x.group("team", "#1").text, "登录不了 ERP", "@我 #1 加数字：1 接单")
		// Where one message says it all, nothing more is asked.
		x.says("wang", "报修")
		x.says("wang", "1")
		x.want(x.says("wang", "邮箱满了\n收不到信\n优先级：P4"), "[card #2] 邮箱满了")
	})
}

func TestEveryKindOfInputIsAsked(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		for _, step := range []struct{ say, want string }{
			{"报修", "类型？"},
			{"5", "没有「5」这一项"},
			{"2", "遇到了什么问题"},
			{"电脑开不了机", "数量？"},
			{"两台", "「两台」不是数字"},
			{"2", "型号？\n  > 1 台式机"},
			{"本", "没有「本」这一项"}, // a part of two of them
			{"笔记本", "使用人？"},
			{"周八", "没有找到「周八」"},
			{"孙七", "不止一位，您指的是：\n  > 使用人？\n  > 1 孙七 (sun1)\n  > 2 孙七 (sun2)"},
			{"2", "购买日期？"},
			{"很久以前", "没看懂「很久以前」是哪一天"},
			{"前天", "电话？"},
			{"12", "看起来不是电话号码"},
			{"138-0013-8000", "邮箱？"},
			{"wang at corp", "看起来不是邮箱地址"},
			{"wang@corp.cn", "1 描述\n  > 2 优先级：P3"},
			{"3 三楼", "3 位置：三楼"},
			{"2", "优先级？\n  > 1 P1"},
			{"1", "2 优先级：P1"},
			{"按了电源没反应", "[card #1]"}, // nothing is left to be asked
		} {
			x.want(x.says("wang", step.say), step.want)
		}
		tk := x.ticket(1)
		want := map[string]string{
			"count": "2", "model": "笔记本", "who": "sun2", "day": "2026-02-28", "phone": "13800138000", "mail": "wang@corp.cn", "place": "三楼",
		}
		for k, v := range want {
			if tk.Fields[k] != v {
				t.Errorf("%s is %q, want %q", k, tk.Fields[k], v)
			}
		}
		if tk.Priority != 1 || tk.Body != "按了电源没反应" {
			t.Errorf("got %+v", tk.Core)
		}
	})
}

// presses has somebody press a button in private.
func (x *words) presses(who string, act cards.Act) {
	x.t.Helper()
	ev := x.event(who, "", "")
	ev.Kind = Click
	var err error
	if ev.Token, err = x.b.seal.Token(act, chat.String()); err != nil {
		x.t.Fatal(err)
	}
	x.hears(ev)
}

// made opens a ticket and has li take it.
func (x *words) made() {
	x.t.Helper()
	x.says("wang", "建单 打印机坏了")
	x.says("li", "接单 #1")
}

func TestVerbsWithoutTheirTextAskForIt(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.made()
		x.want(x.says("li", "回复 #1"), "#1", "内容？")
		x.want(x.says("li", "已经在换了"), "#1")
		if said := x.ticket(1).Said; said == nil || said.Text != "已经在换了" {
			t.Errorf("said %+v", said)
		}
		x.want(x.says("li", "挂起 #1"), "1 挂起到：2 时", "2 说明")
		x.want(x.says("li", "明天下午3点"), "1 挂起到：指定时间", "指定时间：2026-03-03 15:00")
		x.want(x.says("li", "2 等配件\n好"), "已提交：#1 挂起")
		if h := x.ticket(1).Hold; h == nil || h.Until.Go().UTC().Format(time.RFC3339) != "2026-03-03T07:00:00Z" || h.Reason != "等配件" {
			t.Errorf("held %+v", h)
		}
		x.says("li", "继续 #1")
		x.want(x.says("li", "挂起 #1"), "挂起到")
		x.want(x.says("li", "1 指定时间"), "指定时间？", "明天下午3点")
		x.want(x.says("li", "无"), "没看懂「无」是什么时间") // by now it is needed
		x.want(x.says("li", "3小时后"), "指定时间：2026-03-02")
		x.want(x.says("li", "取消"), "已取消：#1 挂起")
		if s := x.ticket(1).Status; s != tickets.Active {
			t.Errorf("a form that was given up made it %s", s)
		}
		x.want(x.says("li", "转派 #1"), "处理人？", "1 赵六")
		x.want(x.says("li", "1"), "原因？")
		x.want(x.says("li", "他熟"), "已提交：#1 转派")
		if x.ticket(1).Owner == "" || x.owner(1) != "赵六" {
			t.Errorf("owner %q", x.owner(1))
		}
		x.want(x.says("zhao", "解决 #1"), "处理说明？")
		x.want(x.says("zhao", "换了硒鼓"), "1 原因分类（配置/硬件）", "2 通知客户：是（是/否）")
		x.want(x.says("zhao", "硬件"), "1 原因分类：硬件") // by its name alone
		x.want(x.says("zhao", "2"), "通知客户？", "回复「是」或「否」。")
		x.want(x.says("zhao", "不用"), "已提交：#1 标记解决")
		if e := x.last(1); e.Kind != tickets.SolvedBy || !e.Facts.Quiet {
			t.Errorf("the requester is told although nobody wants that: %+v", e.Facts)
		}
		if s := x.ticket(1).Solution; s == nil || s.Cause != "硬件" || s.Text != "换了硒鼓" {
			t.Errorf("solved %+v", s)
		}
		x.want(x.says("wang", "重开 #1 又坏了"), "[card #1]")
		x.want(x.says("zhao", "优先级 #1"), "1 优先级：P3", "2 说明")
		x.want(x.says("zhao", "P1\n好"), "已提交")
		if p := x.ticket(1).Priority; p != 1 {
			t.Errorf("priority %d", p)
		}
		x.says("zhao", "解决 #1 换了主板")
		x.presses("wang", cards.Act{Verb: tickets.VerbReject, Ticket: x.ticket(1).ID, Form: true})
		x.want(x.news("wang"), "还有要补充的「说明」吗？")
		x.want(x.says("wang", "1 号楼的还是坏的"), "已提交")
		if e := x.last(1); e.Words == nil || e.Words.Reason != "1 号楼的还是坏的" {
			t.Errorf("her reason is %+v", e.Words)
		}
	})
}

// last is the last event of a ticket.
func (x *words) last(number int64) tickets.Event {
	x.t.Helper()
	events, err := x.b.svc.History(x.t.Context(), x.ticket(number).ID)
	if err != nil || len(events) == 0 {
		x.t.Fatal(err)
	}
	return events[len(events)-1]
}

func (x *words) owner(number int64) string {
	x.t.Helper()
	id := x.ticket(number).Owner
	names, err := x.b.svc.Names(x.t.Context(), id)
	if err != nil {
		x.t.Fatal(err)
	}
	return names[id]
}

func TestPeopleAreNamedAsPeopleDo(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.made()
		x.want(x.says("li", "转派 #1"), "1 赵六", "2 钱八") // who has never spoken is known by his name too
		x.want(x.says("li", "钱八"), "原因？")
		x.says("li", "取消")
		for i, say := range []string{"赵六", "@赵六", "1", "zhao"} {
			x.want(x.says("li", "转派 #1"), "处理人？")
			ev := x.event("li", "", say)
			if say == "@赵六" {
				ev.Mentions = []Mention{{User: UserRef{chat, "zhao"}, Name: "赵六", Start: 0, End: len(say)}}
			}
			x.hears(ev)
			got := x.news("li")
			if say == "zhao" {
				x.want(got, "没有找到「zhao」") // an id that the platform does not know
			} else if !strings.Contains(got, "原因？") {
				t.Errorf("%d %q: %s", i, say, got)
			}
			x.says("li", "取消")
		}
		x.want(x.says("li", "协办 #1"), "协办人？")
		x.want(x.says("li", "new.one"), "问题？") // known to the platform alone
		x.says("li", "取消")
		x.want(x.says("li", "协办 #1"), "协办人？")
		x.want(x.says("li", "我"), "问题？")
		x.want(x.says("li", "端口开了吗"), "1 多久内答复：2 时")
		x.want(x.says("li", "1 三小时"), "#1")
		// Name and reason in one message.
		x.want(x.says("li", "转派 #1"), "处理人？")
		x.want(x.says("li", "赵六 他更熟 ERP"), "已提交：#1 转派")
		if x.owner(1) != "赵六" {
			t.Errorf("owner %q", x.owner(1))
		}
	})
}

func TestWhatIsRefusedIsAskedAgain(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.made()
		x.want(x.says("li", "协办 #1"), "协办人？")
		x.says("li", "赵六")
		x.says("li", "看下")
		got := x.says("li", "好")
		if len(x.ticket(1).Consults) == 0 {
			t.Fatalf("nobody was consulted:\n%s", got)
		}
		// The core knows more than the form: a person who does not work there.
		x.want(x.says("li", "转派 #1"), "处理人？")
		x.says("li", "王芳")
		got = x.says("li", "随便")
		x.want(got, "处理人？", "1 赵六")
		if x.owner(1) != "李四" {
			t.Errorf("owner %s", x.owner(1))
		}
		// Put right, it is submitted without another question.
		x.want(x.says("li", "赵六"), "已提交：#1 转派")
		if x.owner(1) != "赵六" {
			t.Errorf("owner %s", x.owner(1))
		}
	})
}

func TestFilesSentInADialogueBelongToTheTicket(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.want(x.says("wang", "建单"), "类型")
		x.says("wang", "1")
		ev := x.event("wang", "", "")
		ev.Files = []File{{ID: "f1", Name: "screen.png", Size: 12}}
		x.hears(ev)
		x.want(x.news("wang"), "已收到 1 个附件。", "遇到了什么问题")
		x.says("wang", "登录不了")
		x.says("wang", "好")
		if f := x.ticket(1).Files; len(f) != 1 || f[0].Name != "screen.png" {
			t.Errorf("files %+v", f)
		}
		x.says("li", "接单 #1")
		x.says("li", "解决 #1")
		ev = x.event("li", "", "重置了密码")
		ev.Files = []File{{ID: "f2", Name: "log.txt", Size: 12}}
		x.hears(ev)
		x.says("li", "好")
		tk := x.ticket(1)
		events, err := x.b.svc.History(t.Context(), tk.ID)
		if err != nil {
			t.Fatal(err)
		}
		if tk.Status != tickets.Solved || !slices.ContainsFunc(events, func(e tickets.Event) bool {
			return e.Words != nil && slices.ContainsFunc(e.Words.Files, func(f tickets.File) bool { return f.Name == "log.txt" })
		}) {
			t.Errorf("%s, and the file of the solution is in none of %d events", tk.Status, len(events))
		}
	})
}

func TestOtherWordsThanAnswersDuringADialogue(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.made()
		x.says("wang", "建单 换鼠标")
		x.want(x.says("li", "回复 #1"), "内容？")
		x.want(x.says("li", "接单 #2"), "#2") // an order for another ticket is that order
		if x.owner(2) != "李四" {
			t.Errorf("owner of the other: %q", x.owner(2))
		}
		x.want(x.says("li", "合并到 #2 的那个再看"), "#1") // says something; the question still stood
		if said := x.ticket(1).Said; said == nil || said.Text != "合并到 #2 的那个再看" {
			t.Errorf("said %+v", said)
		}
		x.says("li", "建单 换键盘")
		x.presses("li", cards.Act{Verb: tickets.VerbMerge, Ticket: x.ticket(1).ID, Form: true})
		x.want(x.news("li"), "工单号？")
		x.want(x.says("li", "#2"), "已提交") // a number alone answers that
		if x.ticket(1).Status != tickets.Closed {
			t.Errorf("not merged: %s", x.ticket(1).Status)
		}
	})
}

func TestADialogueEndsByItself(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.says("wang", "建单")
		x.says("wang", "1")
		x.after(dialogueFor - time.Minute)
		x.want(x.says("wang", "登录不了"), "回复「好」提交") // every answer gives it time
		x.after(dialogueFor)
		x.want(x.says("wang", "好"), "「建工单」没有提交")
		if got := x.says("wang", "取消"); got != "" || x.count() != 0 {
			t.Errorf("%d tickets of a form that nobody finished: %s", x.count(), got)
		}
		x.says("wang", "VPN 断了")
		if n := x.count(); n != 1 || x.ticket(1).Title != "VPN 断了" {
			t.Errorf("%d tickets after the dialogue has ended", n)
		}
		// What says something is taken for that, late or not.
		x.says("zhao", "建单")
		x.after(dialogueFor)
		x.want(x.says("zhao", "我的"), "我的工单")
	})
}

func TestAnAnswerThatIsDeliveredAgainIsNoAnswer(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		begin := x.event("wang", "", "建单")
		x.hears(begin)
		x.want(x.news("wang"), "类型")
		x.hears(begin)
		if again := x.news("wang"); again != "" {
			t.Errorf("asked twice: %s", again)
		}
		one := x.event("wang", "", "1")
		x.hears(one)
		x.want(x.news("wang"), "遇到了什么问题")
		x.hears(one) // must not become the title
		if again := x.news("wang"); again != "" {
			t.Errorf("answered twice: %s", again)
		}
		x.says("wang", "登录不了")
		last := x.event("wang", "", "好")
		x.hears(last)
		x.hears(last)
		x.hears(one)
		if n := x.count(); n != 1 || x.ticket(1).Title != "登录不了" {
			t.Errorf("%d tickets", n)
		}
	})
}

func TestAnAnswerDeliveredToTwoProcessesAtOnceIsOne(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.says("wang", "建单")
		x.says("wang", "1")
		for _, text := range []string{"登录不了", "好"} {
			ev := x.event("wang", "", text)
			var all sync.WaitGroup
			errs := make([]error, 6)
			for i := range errs {
				all.Go(func() { _, errs[i] = x.b.Dispatch(t.Context(), chat, Inbound{Events: []Event{ev}}) })
			}
			all.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			x.settle()
			if text == "登录不了" {
				if got := x.news("wang"); strings.Count(got, "回复「好」提交") != 1 {
					t.Errorf("asked more than once, or not:\n%s", got)
				}
			}
		}
		if n := x.count(); n != 1 || x.ticket(1).Title != "登录不了" {
			t.Errorf("%d tickets", n)
		}
	})
}

func TestAFormCalledInAGroupIsAskedInPrivate(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.made()
		x.hears(x.event("li", "team", "回复 #1"))
		x.want(x.news("li"), "内容？")
		x.hears(x.event("li", "team", "这句是说给群里的")) // what is said in the group is no answer
		x.news("li")
		x.want(x.says("li", "马上到"), "回复已记下")
		if said := x.ticket(1).Said; said == nil || said.Text != "马上到" {
			t.Errorf("said %+v", said)
		}
		// A group's form opens the ticket of that group.
		x.hears(x.event("zhao", "people", "建单"))
		x.want(x.news("zhao"), "遇到了什么问题")
		x.says("zhao", "工卡丢了")
		x.says("zhao", "好")
		if tk := x.ticket(2); tk.Desk != "hr" || tk.Title != "工卡丢了" {
			t.Errorf("opened %+v", tk.Core)
		}
		x.group("people", "#2")
	})
}

// TestAQuotedRequestIsNotAskedForAgain: who quotes somebody's words and says
// 建单 has said what it is about.
func TestAQuotedRequestIsNotAskedForAgain(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		ev := x.event("zhao", "people", "建单")
		ev.QuoteText = "会议室投影仪连不上"
		x.hears(ev)
		if tk := x.ticket(1); tk.Desk != "hr" || tk.Title != "会议室投影仪连不上" {
			t.Errorf("opened %+v", tk.Core)
		}
		if said := x.news("zhao"); strings.Contains(said, "？") {
			t.Errorf("asked %q", said)
		}
	})
}

func TestWhoMustSpeakFirstIsToldSoInTheGroup(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.made()
		x.chat.fail = fmt.Errorf("closed: %w", ErrMustSpeak)
		x.hears(x.event("li", "team", "回复 #1"))
		m := x.group("team", "先私聊我")
		if len(m.card.Ping) != 1 || m.card.Ping[0] != "li" {
			t.Errorf("pings %v", m.card.Ping)
		}
	})
}

func TestADialogueIsItsOwnersAlone(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.says("wang", "建单")
		x.says("wang", "1")
		x.says("zhao", "我的")
		x.says("zhao", "登录不了")
		x.want(x.says("wang", "打印机坏了"), "标题：打印机坏了")
	})
}

// form is a chat with forms in its answers, as those have that need no dialogue.
type formy struct{ *wordy }

func (formy) Inline(Event) Inline { return Inline{Hint: true, Form: true} }

func TestPlatformsWithFormsAreNotAskedInWords(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.b.Add(chat, formy{x.chat})
		r, err := x.b.Dispatch(t.Context(), chat, Inbound{Events: []Event{x.event("wang", "", "建单")}})
		if err != nil || r.Form == nil || r.Form.Form.Token == "" || r.Hint != nil {
			t.Fatalf("%+v, %v", r, err)
		}
		// What is wrong with a submitted form comes with the form, filled in.
		ev := x.event("wang", "", "")
		ev.Kind, ev.Token = Submit, r.Form.Form.Token
		ev.Values = map[string]string{cards.InType: "device", cards.InTitle: "坏了", cards.InPriority: "P2", cards.InField + "count": "x", cards.InText: "还冒烟"}
		r, err = x.b.Dispatch(t.Context(), chat, Inbound{Events: []Event{ev}})
		if err != nil || r.Errors[cards.InField+"count"] == "" || r.Form == nil {
			t.Fatalf("%+v, %v", r, err)
		}
		got := map[string]cards.Input{}
		for _, in := range r.Form.Form.Inputs {
			got[in.Name] = in
		}
		if got[cards.InTitle].Value != "坏了" || got[cards.InText].Value != "还冒烟" || got[cards.InPriority].Value != "P2" ||
			got[cards.InField+"count"].Error != r.Errors[cards.InField+"count"] || r.Form.Form.Token == "" {
			t.Errorf("the form came back as %+v", got)
		}
	})
}

func TestRefusedFormsOfATicketComeBackFilledIn(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.made()
		x.b.Add(chat, formy{x.chat})
		r, err := x.b.Dispatch(t.Context(), chat, Inbound{Events: []Event{x.event("li", "", "转派 #1")}})
		if err != nil || r.Form == nil {
			t.Fatalf("%+v, %v", r, err)
		}
		ev := x.event("li", "", "")
		ev.Kind, ev.Token = Submit, r.Form.Form.Token
		ev.Values = map[string]string{cards.InPerson: "wang", cards.InReason: "他熟"}
		r, err = x.b.Dispatch(t.Context(), chat, Inbound{Events: []Event{ev}})
		if err != nil || r.Errors[cards.InPerson] == "" || r.Form == nil {
			t.Fatalf("%+v, %v", r, err)
		}
		if in := r.Form.Form.Inputs; in[0].Value != "wang" || in[0].Error == "" || in[1].Value != "他熟" || in[1].Error != "" {
			t.Errorf("the form came back as %+v", in)
		}
	})
}

// opener opens forms by a request of its own.
type opener struct{ *wordy }

func (opener) OpenForm(context.Context, string, cards.Card) error { return nil }

func TestWhoCanOpenFormsAsksNothing(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.b.Add(chat, opener{x.chat})
		x.made()
		x.hears(x.event("li", "", "转派 #1"))
		if got := x.news("li"); strings.Contains(got, "处理人？") {
			t.Errorf("asked in words: %s", got)
		}
	})
}
