package bot

import (
	"testing"
	"time"

	"github.com/paidan/paidan/tickets"
)

// Platforms where a mention is mere words, and a quote tells what was quoted but
// not which message that was.

func TestABareMentionIsToldWhatToSay(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		for _, group := range []string{"all", "team"} {
			x.hears(x.event("zhao", group, ""))
			x.want(x.news("zhao"), "派单怎么用")
		}
		if n := x.count(); n != 0 {
			t.Errorf("%d tickets of nothing", n)
		}
	})
}

func TestATypedNameFindsWhoHasNeverSpoken(t *testing.T) {
	for _, verb := range []string{"转派 #1 @钱八 他熟", "升级 #1 @钱八 要换主板"} {
		eachTalk(t, func(t *testing.T, x *words) {
			x.b.desks(t, "二线")
			x.made()
			x.says("li", verb)
			if x.owner(1) != "钱八" {
				t.Errorf("%s: the owner is %q", verb, x.owner(1))
			}
			x.want(x.says("li", "升级 #1 @没有的人 看不懂"), "没有「没有的人」这个团队")
		})
	}
}

// desks gives the first desk teams.
func (b *Bot) desks(t *testing.T, teams ...string) {
	t.Helper()
	all, err := b.svc.Desks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all[0].Teams = teams
	setup := tickets.Setup{Desks: []tickets.DeskSetup{{
		Desk: all[0], Triage: []string{"chat/one/team"}, Intake: []string{"chat/one/all"}, Agents: []string{"chat/one/li", "chat/one/zhao", "chat/one/qian"},
	}}}
	if err := b.svc.Configure(t.Context(), setup, b.now()); err != nil {
		t.Fatal(err)
	}
}

// TestWordsUnderAQuoteAreForThoseWhoReadIt: what an agent says under the card in
// the requester's group is an answer that was given there; in the team's group
// even the requester's own words, where he is one of the team, stay inside.
func TestWordsUnderAQuoteAreForThoseWhoReadIt(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.hears(x.event("wang", "all", "建单 打印机坏了"))
		quoting := func(who, group, number, text string) tickets.Event {
			ev := x.event(who, group, text)
			ev.QuoteText = "🔵 " + number + " 打印机坏了"
			x.hears(ev)
			return x.last(int64(number[1] - '0'))
		}
		x.says("li", "接单 #1")
		if e := quoting("li", "all", "#1", "请问是哪一台？"); e.Kind != tickets.Replied {
			t.Errorf("an agent in the requester's group: %s", e.Kind)
		}
		if e := quoting("li", "team", "#1", "像是硒鼓"); e.Kind != tickets.Noted {
			t.Errorf("an agent in the team's group: %s", e.Kind)
		}
		x.hears(x.event("zhao", "all", "建单 键盘坏了"))
		if e := quoting("zhao", "team", "#2", "其实是我弄坏的"); e.Kind != tickets.Noted {
			t.Errorf("one of the team about what he asked for himself: %s", e.Kind)
		}
	})
}

// TestWhatFollowsThanksIsKept: «好的» alone ends a talk; what comes behind it may
// be what was asked for.
func TestWhatFollowsThanksIsKept(t *testing.T) {
	eachTalk(t, func(t *testing.T, x *words) {
		x.says("wang", "洗衣机漏水")
		x.after(3 * time.Minute)
		x.says("wang", "好的，下午三点在家")
		if e := x.last(1); e.Kind != tickets.SaidMore || e.Words == nil || e.Words.Text != "好的，下午三点在家" {
			t.Errorf("the last of the ticket is %s %+v", e.Kind, e.Words)
		}
		x.says("wang", "好的，谢谢")
		if e := x.last(1); e.Words == nil || e.Words.Text != "好的，下午三点在家" || x.count() != 1 {
			t.Errorf("thanks alone are kept: %s %+v", e.Kind, e.Words)
		}
	})
}
