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

func TestNumbersAsPeopleSayThem(t *testing.T) {
	for _, c := range []struct {
		text string
		want choice
		no   bool
	}{
		{text: "1", want: choice{n: 1}},
		{text: " 2 ", want: choice{n: 2}},
		{text: "１", want: choice{n: 1}},
		{text: "3️⃣", want: choice{n: 3}},
		{text: "1。", want: choice{n: 1}},
		{text: "12", want: choice{n: 12}},
		{text: "回复1", want: choice{n: 1, named: true}},
		{text: "回复 2", want: choice{n: 2, named: true}},
		{text: "选 2", want: choice{n: 2, named: true}},
		{text: "reply 2", want: choice{n: 2, named: true}},
		{text: "#1024 1", want: choice{n: 1, number: 1024}},
		{text: "＃1024 回复1", want: choice{n: 1, number: 1024, named: true}},
		{text: "#1024：2", want: choice{n: 2, number: 1024}},
		{text: "回复 #1024 2", want: choice{n: 2, number: 1024, named: true}},
		{text: "1 #1024", want: choice{n: 1, number: 1024}},
		{text: "1 接单", want: choice{n: 1, label: "接单"}},
		{text: "0", no: true},
		{text: "#1024", no: true},
		{text: "#10241", no: true},
		{text: "123", no: true},
		{text: "1个", no: true},
		{text: "1.5小时", no: true},
		{text: "2h", no: true},
		{text: "回复", no: true},
		{text: "", no: true},
		{text: "三楼打印机 2", no: true},
	} {
		got, ok := readPick(c.text)
		if ok == c.no || ok && got != c.want {
			t.Errorf("%q: got %+v %v, want %+v", c.text, got, ok, c.want)
		}
	}
}

// opens has wang open a ticket in private.
func (x *words) opens(title string) {
	x.t.Helper()
	x.says("wang", "建单 "+title)
}

func (x *words) groupSays(who, group, text string) {
	x.t.Helper()
	x.hears(x.event(who, group, text))
	x.after(30 * time.Second)
}

func TestANumberPressesInPrivate(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.opens("VPN 断了")
		x.want(x.says("li", "待接"), "1 #1 接单")
		x.want(x.says("li", "1"), "[card #1] VPN 断了", "处理中", "1 解决")
		if x.owner(1) != "李四" {
			t.Fatalf("owner %q", x.owner(1))
		}
		// What came last has no numbers: 1 is no press any more.
		x.want(x.says("li", "1"), "处理说明？")
		x.want(x.says("li", "取消"), "已取消")
		before := x.ticket(1).Version
		if got := x.says("li", "1"); strings.Contains(got, "处理说明") || x.ticket(1).Version != before {
			t.Errorf("a number pressed what stands above the last answer: %s", got)
		}
		x.want(x.says("li", "查 #1"), "1 解决", "3 挂起")
		x.want(x.says("li", "3 挂起"), "挂起到：2 时") // a number with its label, and a form
		x.want(x.says("li", "好"), "已提交：#1 挂起")
		x.want(x.says("li", "查 #1"), "1 继续")
		x.want(x.says("li", "回复1"), "1 解决")
		if s := x.ticket(1).Status; s != tickets.Active {
			t.Errorf("status %s", s)
		}
		x.want(x.says("li", "查 #1"), "1 解决")
		x.want(x.says("li", "99"), "没有选项 99", "1 解决")
		x.says("li", "2 台电脑也坏了") // a number, but of computers
		if s := x.ticket(1).Status; s != tickets.Active {
			t.Errorf("status %s", s)
		}
	})
}

func TestAMenusChoicesHaveNumbersOfTheirOwn(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.opens("VPN 断了")
		m := x.group("team", "#1")
		n := slices.IndexFunc(cards.Choices(m.card), func(a cards.Action) bool { return a.Act.Verb == tickets.VerbPriority && a.Act.Arg == "P2" })
		if n < 0 {
			t.Fatalf("no priority in %s", m.text)
		}
		x.groupSays("li", "team", fmt.Sprintf("#1 %d", n+1))
		if p := x.ticket(1).Priority; p != 2 {
			t.Errorf("priority %d", p)
		}
	})
}

func TestANumberInAGroup(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.opens("VPN 断了")
		// Not said to the bot, a number is talk.
		ev := x.event("zhao", "team", "1")
		ev.ToBot = false
		x.hears(ev)
		if o := x.ticket(1).Owner; o != "" {
			t.Fatalf("somebody who spoke to others has claimed it: %s", o)
		}
		x.groupSays("li", "team", "1")
		if x.owner(1) != "李四" {
			t.Fatalf("owner %q", x.owner(1))
		}
		// The card has changed since: the same number stands for what it says now.
		x.want(x.group("team", "#1").text, "@我 #1 加数字：1 解决")
		x.groupSays("li", "team", "1")
		x.want(x.news("li"), "处理说明？")
	})
}

func TestWhoMeansOneOfSeveralCardsIsAsked(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.opens("VPN 断了")
		x.after(3 * time.Minute)
		x.opens("邮箱满了")
		x.groupSays("li", "team", "1")
		x.want(x.news("li"), "您指的是哪一个？", "1 #2 接单 · 2 #1 接单")
		if x.ticket(1).Owner != "" || x.ticket(2).Owner != "" {
			t.Fatal("one was pressed without being asked for")
		}
		x.want(x.says("li", "2"), "[card #1] VPN 断了", "李四")
		if x.owner(1) != "李四" || x.ticket(2).Owner != "" {
			t.Errorf("owners %q, %q", x.ticket(1).Owner, x.ticket(2).Owner)
		}
		// With the number it is clear.
		x.groupSays("zhao", "team", "#2 1")
		if x.owner(2) != "赵六" {
			t.Errorf("owner of the second %q", x.owner(2))
		}
		// A card that has stood for long is not meant.
		x.opens("第三个")
		x.after(whichAfter)
		x.opens("第四个")
		x.groupSays("zhao", "team", "1")
		if x.ticket(3).Owner != "" || x.owner(4) != "赵六" {
			t.Errorf("owners %q and %q", x.ticket(3).Owner, x.ticket(4).Owner)
		}
	})
}

func TestANumberThatQuotesACard(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.opens("VPN 断了")
		x.opens("邮箱满了")
		first := x.group("team", "#1")
		ev := x.event("li", "team", "1")
		ev.Quote, ev.ToBot = first.ref, false // quoting is addressing
		x.hears(ev)
		if x.ticket(1).Owner == "" || x.ticket(2).Owner != "" {
			t.Fatalf("owners %q, %q", x.ticket(1).Owner, x.ticket(2).Owner)
		}
		// A platform that tells only the text of what is quoted.
		ev = x.event("zhao", "team", "1")
		ev.QuoteText = x.group("team", "#2").text
		x.hears(ev)
		if x.owner(2) != "赵六" {
			t.Errorf("owner %q", x.owner(2))
		}
		// A quote of words about a ticket offers nothing by number.
		x.opens("键盘坏了")
		x.says("li", "接单 #3")
		before := x.ticket(3).Version
		ev = x.event("wang", "", "1")
		ev.QuoteText = "李四（IT）\n您在几楼？\n#3"
		x.hears(ev)
		if said := x.ticket(3); said.Version != before && said.Urges > 0 || said.Status == tickets.Closed {
			t.Errorf("an answer in words has pressed something: %+v", said.Core)
		}
	})
}

// TestWordsAfterATicketsNumberAreAboutIt: where nobody can quote, a number says
// what is meant.
func TestWordsAfterATicketsNumberAreAboutIt(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.made()
		x.hears(x.event("li", "team", "#1 看日志像是证书过期了"))
		if e := x.last(1); e.Kind != tickets.Noted || e.Words == nil || e.Words.Text != "看日志像是证书过期了" {
			t.Errorf("the team's words became %s %+v", e.Kind, e.Words)
		}
		x.hears(x.event("wang", "", "#1：我在三楼"))
		if e := x.last(1); e.Kind != tickets.SaidMore || e.Words == nil || e.Words.Text != "我在三楼" {
			t.Errorf("the requester's words became %s %+v", e.Kind, e.Words)
		}
		if n := x.count(); n != 1 {
			t.Errorf("%d tickets", n)
		}
		x.hears(x.event("wang", "", "#77 机房的灯不亮"))
		if n := x.count(); n != 2 {
			t.Errorf("%d tickets after words that begin with no ticket's number", n)
		}
	})
}

// TestANumberWithAQuoteAndATicketIsOfTheQuotedCard: not of a newer one about the
// same ticket.
func TestANumberWithAQuoteAndATicketIsOfTheQuotedCard(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.opens("VPN 断了")
		card := x.group("team", "#1")
		c := cards.Card{Lang: cards.ZH, Title: "#1 首响超时", Ticket: x.ticket(1).ID, Actions: []cards.Action{{Act: cards.Act{Verb: tickets.VerbShow, Ticket: x.ticket(1).ID}, Label: "查看"}}}
		x.b.remember(t.Context(), x.chat, card.lane, "", "newer", c)
		ev := x.event("li", "team", "#1 1")
		ev.Quote = card.ref
		x.hears(ev)
		if x.owner(1) != "李四" {
			t.Errorf("owner %q", x.owner(1))
		}
	})
}

func TestANumberNeverPressesWhatOthersWereShown(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.opens("VPN 断了")
		x.want(x.says("li", "待接"), "1 #1 接单")
		x.says("zhao", "1") // was shown nothing
		if o := x.ticket(1).Owner; o != "" {
			t.Errorf("pressed what another was shown: %s", o)
		}
		x.groupSays("zhao", "people", "1") // another group than the card's
		if o := x.ticket(1).Owner; o != "" {
			t.Errorf("pressed what another group was shown: %s", o)
		}
		// By its number it can be found, but rights stay what they are.
		x.says("wang", "#1 1")
		if tk := x.ticket(1); tk.Owner != "" {
			t.Errorf("a requester has claimed: %s", tk.Owner)
		}
		// Nor does what lies on a shelf help when it was not sealed by us.
		shelf := x.b.shelf("choices")
		if err := shelf.Put(t.Context(), "chat/one/@zhao", `[{"Title":"x","At":"2026-03-02T01:00:00Z","Picks":[{"Token":"AAAA","Label":"接单"}]}]`, time.Hour); err != nil {
			t.Fatal(err)
		}
		x.want(x.says("zhao", "1"), "卡片")
	})
}

func TestANumberSaidInATalkPressesNothing(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.opens("打印机坏了")
		x.says("li", "接单 #1")
		x.news("wang")
		x.says("li", "回复 #1 您在几楼？")
		x.after(time.Minute)
		x.settle()
		x.want(x.news("wang"), "您在几楼？")
		x.after(time.Minute)
		before := x.ticket(1)
		x.says("wang", "2") // her floor; her receipt above has «2 催单»
		tk := x.ticket(1)
		if tk.Urges != before.Urges || tk.Status != tickets.Active {
			t.Errorf("an answer in a talk has pressed something: %+v", tk.Core)
		}
	})
}

func TestANumberIsReadAsItWasSeen(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.opens("VPN 断了")
		ev := x.event("zhao", "team", "1") // claims, as it reads to him
		x.hears(x.event("li", "team", "1"))
		x.news("zhao")
		x.hears(ev)
		x.want(x.news("zhao"), "已由 李四 接单")
		if s := x.ticket(1); s.Status != tickets.Active || x.owner(1) != "李四" {
			t.Errorf("%s, owner %q", s.Status, x.owner(1))
		}
	})
}

func TestANumberDeliveredAgainPressesTheSame(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.opens("VPN 断了")
		ev := x.event("li", "team", "1")
		var all sync.WaitGroup
		errs := make([]error, 5)
		for i := range errs {
			all.Go(func() { _, errs[i] = x.b.Dispatch(t.Context(), chat, Inbound{Events: []Event{ev}}) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		x.settle()
		x.after(time.Minute)
		version := x.ticket(1).Version
		x.news("li")
		x.hears(ev) // the card says «1 解决» by now
		if got := x.news("li"); strings.Contains(got, "处理说明") || x.ticket(1).Version != version {
			t.Errorf("delivered again it pressed what stands there now: %s", got)
		}
	})
}

func TestADangerousChoiceIsAskedOnceMore(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		code, err := x.b.svc.NewAdminCode(t.Context(), x.clock())
		if err != nil {
			t.Fatal(err)
		}
		x.says("li", "管理员 "+code)
		x.b.Add(chat, whispers{x.chat})
		x.groupSays("li", "all", "设置")
		m := x.group("all to li", "取消接入")
		n := slices.IndexFunc(cards.Choices(m.card), func(a cards.Action) bool { return a.Confirm != "" })
		if n < 0 {
			t.Fatal("nothing asks back")
		}
		x.groupSays("zhao", "all", fmt.Sprint(n+1)) // it was whispered to somebody else
		x.groupSays("li", "all", fmt.Sprint(n+1))
		if g, err := x.b.svc.GroupOf(t.Context(), "chat/one/all"); err != nil || g.Use != "intake" {
			t.Fatalf("%+v %v: done without being sure", g, err)
		}
		x.want(x.group("all to li", "确定吗").text, "1 取消接入")
		x.groupSays("li", "all", "1")
		if g, err := x.b.svc.GroupOf(t.Context(), "chat/one/all"); err != nil || g.Use != "" {
			t.Errorf("%+v %v", g, err)
		}
	})
}

func TestCardsOfALaneAreForgottenInTime(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		for i := range shownKept + 5 {
			c, err := x.b.drawn(x.chat, chat, true, cards.Card{Title: fmt.Sprint("#", i), Ticket: tickets.TicketID(fmt.Sprint("t", i)), Actions: []cards.Action{
				{Label: "看", Act: cards.Act{Verb: tickets.VerbShow, Ticket: tickets.TicketID(fmt.Sprint("t", i))}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			x.b.remember(t.Context(), x.chat, "chat/one/g", "", MessageRef(fmt.Sprint("r", i)), c)
		}
		list := func() []shownCard {
			doc, err := x.b.shelf("choices").Get(t.Context(), "chat/one/g")
			if err != nil {
				t.Fatal(err)
			}
			got, err := readShown(doc)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := list(); len(got) != shownKept || got[0].Ref != "r5" {
			t.Errorf("%d cards are kept, the oldest %+v", len(got), got[0])
		}
		x.after(shownFor)
		if got := list(); len(got) != 0 {
			t.Errorf("%d cards are kept after %s", len(got), shownFor)
		}
	})
}

func TestAGroupsSettingsCanBeAnsweredInPrivate(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		code, err := x.b.svc.NewAdminCode(t.Context(), x.clock())
		if err != nil {
			t.Fatal(err)
		}
		x.says("li", "管理员 "+code)
		x.groupSays("li", "new", "设置")
		x.want(x.news("li"), "1 设为受理群 · IT")
		x.says("li", "1")
		if g, err := x.b.svc.GroupOf(t.Context(), "chat/one/new"); err != nil || g.Use != "intake" || g.Desk != "it" {
			t.Fatalf("%+v %v", g, err)
		}
		x.groupSays("li", "new", "设置")
		text := x.news("li")
		before, _, _ := strings.Cut(text, " 取消接入")
		n := before[strings.LastIndex(before, " ")+1:]
		x.want(x.says("li", n), "确定吗", "1 取消接入")
		x.says("li", "1")
		if g, err := x.b.svc.GroupOf(t.Context(), "chat/one/new"); err != nil || g.Use != "" {
			t.Errorf("%+v %v", g, err)
		}
	})
}

// whispers is a wordy chat that shows cards in a group to one person alone.
type whispers struct{ *wordy }

func (w whispers) Whisper(ctx context.Context, conv ConvRef, to UserRef, _ MessageRef, c cards.Card) error {
	_, err := w.Post(ctx, To(ConvRef{conv.Install, conv.ID + " to " + to.ID}), "", c)
	return err
}

// some is a chat with buttons that draws what has too many of them as text.
type some struct{ *wordy }

func (s some) Caps() cards.Caps {
	c := s.wordy.Caps()
	c.Numbered = false
	return c
}
func (some) Numbers(c cards.Card) bool { return len(c.Actions)+len(c.More) > 3 }

func TestSomeCardsAreNumberedWhereNotAllAre(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.b.Add(chat, some{x.chat})
		x.opens("VPN 断了")
		x.groupSays("li", "team", "1") // the ticket's card has many
		if x.owner(1) != "李四" {
			t.Fatalf("owner %q", x.owner(1))
		}
		x.says("wang", "查 #1") // hers has three buttons, which she can press
		before := x.ticket(1)
		x.says("wang", "2")
		if x.ticket(1).Urges != before.Urges {
			t.Error("a number has pressed a button that had none")
		}
	})
}

func TestPlatformsWithButtonsKnowNoNumbers(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.chat.caps.Numbered = false
		x.opens("VPN 断了")
		x.groupSays("li", "team", "1")
		x.groupSays("li", "team", "#1 1")
		if o := x.ticket(1).Owner; o != "" {
			t.Errorf("claimed by %s", o)
		}
	})
}
