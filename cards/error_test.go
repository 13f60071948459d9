package cards_test

import (
	"strings"
	"testing"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// codes is every refusal of the core with the arguments that come with it.
var codes = map[tickets.Code]map[string]string{
	tickets.AlreadyClaimed: {"by": "p1"},
	tickets.NotYours:       {"by": "p1"},
	tickets.NotAllowed:     {"verb": "solve"},
	tickets.WrongState:     {"status": "closed", "verb": "claim"},
	tickets.NotFound:       {"number": "1042"},
	tickets.TooSoon:        {"until": "1795156000000000"},
	tickets.TooLate:        {"verb": "undo"},
	tickets.EmptyText:      {"what": "reason"},
	tickets.TooLong:        {"what": "title", "max": "300"},
	tickets.NoSuchPerson:   nil,
	tickets.NoSuchType:     {"type": "T"},
	tickets.NoSuchField:    {"field": "F"},
	tickets.NoSuchTeam:     {"team": "T"},
	tickets.NoSuchDesk:     {"desk": "D"},
	tickets.BadValue:       {"field": "f", "label": "L", "why": "phone"},
	tickets.FieldRequired:  {"field": "f", "label": "L"},
	tickets.NothingToUndo:  nil,
	tickets.SelfMerge:      nil,
	tickets.NotAnAgent:     {"by": "p1"},
	tickets.BadTime:        nil,
	tickets.Stale:          nil,
}

func TestWhoGaveNoReasonToReopenIsAskedForOne(t *testing.T) {
	act := cards.Act{Verb: tickets.VerbReopen, Ticket: "t1"}
	c := cards.Refused(tickets.EmptyText, cards.RefusalArgs{Args: map[string]string{"what": "reason"}, Now: cards.SampleNow, Act: act}, cards.ZH)
	if len(c.Actions) != 1 || c.Actions[0].Act.Verb != tickets.VerbReopen || !c.Actions[0].Act.Form || c.Actions[0].Label != "重开" {
		t.Errorf("offers %+v", c.Actions)
	}
}

func TestEveryRefusalHasASentence(t *testing.T) {
	name := func(p tickets.PersonID) string { return map[tickets.PersonID]string{"p1": "Ann"}[p] }
	for _, l := range []cards.Lang{cards.ZH, cards.EN} {
		general := cards.Sentence("no such code", nil, l)
		for code, args := range codes {
			full := cards.Refused(code, cards.RefusalArgs{Args: args, Name: name, Now: cards.SampleNow}, l).Body
			bare := cards.Sentence(string(code), nil, l)
			for _, s := range []string{full, bare} {
				if s == general || s == "" {
					t.Errorf("%s %s: no sentence of its own", l, code)
				}
				if strings.ContainsAny(s, "{}") || strings.Contains(s, "p1") || strings.Contains(s, "refused.") {
					t.Errorf("%s %s: %q", l, code, s)
				}
			}
			if args["by"] != "" && !strings.Contains(full, "Ann") {
				t.Errorf("%s %s: %q names nobody", l, code, full)
			}
			if latin := strings.IndexFunc(bare, func(r rune) bool { return r >= 0x4e00 && r <= 0x9fff }) < 0; latin != (l == cards.EN) {
				t.Errorf("%s %s: %q is in the wrong language", l, code, bare)
			}
		}
	}
}

func TestARefusalsExampleIsWhatOneWasAboutToSay(t *testing.T) {
	for _, tt := range []struct {
		verb tickets.Verb
		zh   string
		en   string
	}{
		{tickets.VerbUrge, "「催单 #1024」", "“nudge #1024”"},
		{tickets.VerbClaim, "「接单 #1024」", "“take #1024”"},
		{"", "「查 #1024」", "“show #1024”"},
	} {
		for l, want := range map[cards.Lang]string{cards.ZH: tt.zh, cards.EN: tt.en} {
			got := cards.Refused(tickets.NoNumber, cards.RefusalArgs{Act: cards.Act{Verb: tt.verb}}, l).Body
			if !strings.Contains(got, want) {
				t.Errorf("%s %s: %q does not show %s", l, tt.verb, got, want)
			}
		}
	}
}

func TestRefusalsReadAsSaid(t *testing.T) {
	for _, tt := range []struct {
		code tickets.Code
		args map[string]string
		zh   string
		en   string
	}{
		{tickets.WrongState, map[string]string{"status": "closed", "verb": "claim"}, "工单现在是「已关闭」，不能接单。", `The ticket is "Closed" now, so you cannot claim it.`},
		{tickets.BadValue, map[string]string{"label": "电话", "why": "phone"}, "「电话」填得不对：看起来不是电话号码。", `"电话" is not right: this does not look like a phone number.`},
		{tickets.NotFound, nil, "没有找到这张工单，请核对工单号。", "There is no such ticket. Please check the number."},
		{tickets.AlreadyClaimed, map[string]string{"by": "nobody we know"}, "手慢了一步，已由 其他同事 接单。", "Just missed it: a colleague has already claimed this."},
		{tickets.TooLate, map[string]string{"verb": "retract"}, "来不及撤回了，客户已经看到这条回复。可以再发一条更正。", "Too late to take it back: the customer has seen this reply. You can send another one to correct it."},
		{tickets.TooLate, map[string]string{"verb": "undo"}, "已经过了可以撤销的时间。", "It is too late to undo that."},
		{tickets.EmptyText, map[string]string{"what": "something new"}, "请填写内容。", "Please fill in: text."},
		{tickets.TooSoon, map[string]string{"until": "garbage"}, "刚刚催过了，10 分 之后可以再催。团队的卡片上已经标出。", "You nudged just now; you can again after 10 min. The team sees it on its card."},
	} {
		for l, want := range map[cards.Lang]string{cards.ZH: tt.zh, cards.EN: tt.en} {
			if got := cards.Refused(tt.code, cards.RefusalArgs{Args: tt.args}, l).Body; got != want {
				t.Errorf("%s: %q, want %q", tt.code, got, want)
			}
		}
	}
}

func TestTheNearestNumberIsOffered(t *testing.T) {
	c := cards.Refused(tickets.NotFound, cards.RefusalArgs{
		Args: map[string]string{"number": "#1042"}, Act: cards.Act{Verb: tickets.VerbClaim, Ticket: "wrong", Version: 7},
		Near: []tickets.Link{{Ticket: "t1024", Number: 1024}},
	}, cards.ZH)
	if c.Body != "没有 #1042，您是否指 #1024？" {
		t.Errorf("body %q", c.Body)
	}
	if want := (cards.Act{Verb: tickets.VerbClaim, Ticket: "t1024"}); len(c.Actions) != 1 || c.Actions[0].Act != want {
		t.Errorf("actions %+v, want one of %+v", c.Actions, want)
	}
}
