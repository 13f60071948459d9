package tickets_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// each runs a test in a house on either database.
func each(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) { test(t, newHouse(t, db)) })
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func TestNewTicketShowsToTeamAndRequester(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tk := h.open("ERP 登录失败")
		equal(t, "status", tk.Status, tickets.New)
		equal(t, "number", tk.Number, 1)
		equal(t, "cards in triage", kinds(h.deliver(triage)), "card")
		equal(t, "cards in intake", kinds(h.deliver(intake)), "card")
		equal(t, "places", h.count(`SELECT count(*) FROM places WHERE ref <> '' AND shown = 1`), 2)
		if n := h.count(`SELECT count(*) FROM river_job WHERE kind = 'ticket.timer'`); n != 2 {
			t.Errorf("timers of a new ticket = %d, want 2: first response and solution", n)
		}
		if n := h.count(`SELECT count(*) FROM river_job WHERE kind = 'outbox.deliver'`); n != 1 {
			t.Errorf("wake-ups = %d, want one for both lanes", n)
		}
		m, err := h.s.ByMessage(t.Context(), intake, "thread-1")
		if err != nil || m.Ticket != tk.ID || m.Seq != 1 {
			t.Errorf("the message is tied to %+v, %v", m, err)
		}
		id, audience, err := h.s.ByThread(t.Context(), intake, "thread-1")
		if err != nil || id != tk.ID || audience != tickets.ForRequester {
			t.Errorf("thread leads to %s %q, %v", id, audience, err)
		}
	})
}

func TestFiveClicksMakeOneCardAPlace(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tk := h.open("慢")
		h.do(li, tk.ID, tickets.Claim{})
		for p := range tickets.Priority(2) {
			h.do(li, tk.ID, tickets.SetPriority{Priority: p + 1})
		}
		h.do(li, tk.ID, tickets.Tag{Add: []string{"ERP"}})
		rows := h.take(triage)
		equal(t, "rows", kinds(rows), "card")
		equal(t, "version the row speaks of", rows[0].Seq, 5)
	})
}

func TestReplyIsHeldAndCanBeRetracted(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tk := h.open("邮箱")
		h.do(li, tk.ID, tickets.Claim{})
		h.deliver(intake)
		first := h.do(li, tk.ID, tickets.Reply{Text: "请重启"}).Events[0].Seq
		equal(t, "held reply", mustHeld(h, tk.ID), first)
		h.later(7 * time.Second)
		equal(t, "after 7 s", kinds(h.deliver(intake)), "card")
		h.do(zhang, tk.ID, tickets.Retract{Seq: first})
		equal(t, "responded", h.ticket(tk.ID).Responded, 0)
		h.later(time.Minute)
		equal(t, "after it was taken back", kinds(h.deliver(intake)), "card")

		second := h.do(li, tk.ID, tickets.Reply{Text: "好了吗"}).Events[0].Seq
		h.later(9 * time.Second)
		equal(t, "after 9 s", kinds(h.deliver(intake)), "card relay")
		h.refused(li, tk.ID, tickets.Retract{Seq: second}, tickets.TooLate)
		h.refused(li, tk.ID, tickets.Retract{Seq: 1}, tickets.TooLate)
		equal(t, "held reply", mustHeld(h, tk.ID), 0)
	})
}

func mustHeld(h *house, id tickets.TicketID) int64 {
	h.t.Helper()
	seq, err := h.s.HeldReply(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return seq
}

func TestLifeOfATicket(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tk := h.open("VPN 断线")
		status := func(want tickets.Status) {
			t.Helper()
			equal(t, "status", h.ticket(tk.ID).Status, want)
		}
		h.do(li, tk.ID, tickets.Claim{})
		if r := h.do(li, tk.ID, tickets.Claim{}); len(r.Events) != 0 {
			t.Error("claiming twice happened twice")
		}
		equal(t, "by", h.refused(zhang, tk.ID, tickets.Claim{}, tickets.AlreadyClaimed).Args["by"], string(h.people[li]))
		h.refused(sun, tk.ID, tickets.Say{Text: "我也是"}, tickets.NotFound)
		h.refused(zhou, tk.ID, tickets.Claim{}, tickets.NotFound)

		due := h.ticket(tk.ID).SolveBy
		h.do(li, tk.ID, tickets.HoldUntil{Until: tickets.At(h.now.Add(2 * time.Hour)), Reason: "等备件"})
		status(tickets.Held)
		h.later(90 * time.Minute)
		h.do(li, tk.ID, tickets.Resume{})
		equal(t, "solve by", h.ticket(tk.ID).SolveBy, due.Add(90*time.Minute))

		h.do(li, tk.ID, tickets.HoldUntil{Customer: true, Reason: "等截图"})
		h.do(wang, tk.ID, tickets.Say{Text: "好的，谢谢"})
		status(tickets.Waiting)
		h.later(10 * time.Minute)
		h.do(wang, tk.ID, tickets.Say{Text: "错误码 E07"})
		status(tickets.Active)
		equal(t, "solve by", h.ticket(tk.ID).SolveBy, due.Add(100*time.Minute))

		h.do(li, tk.ID, tickets.Solve{Text: "换了证书", Cause: "证书"})
		h.do(wang, tk.ID, tickets.Say{Text: "谢谢！"})
		status(tickets.Solved)
		h.do(wang, tk.ID, tickets.Say{Text: "还是不行"})
		status(tickets.Active)
		h.do(li, tk.ID, tickets.Solve{Text: "再换一次"})
		h.do(wang, tk.ID, tickets.Confirm{})
		status(tickets.Closed)
		h.do(wang, tk.ID, tickets.Reopen{Reason: "又断了"})
		status(tickets.Active)
		equal(t, "reopens", h.ticket(tk.ID).Reopens, 2)
		h.do(li, tk.ID, tickets.Solve{Text: "换了网卡"})
		h.do("", tk.ID, tickets.Close{Lapsed: h.ticket(tk.ID).SolvedAt})
		status(tickets.Closed)
		h.do("", tk.ID, tickets.Archive{Closed: h.ticket(tk.ID).ClosedAt})
		status(tickets.Archived)
		if _, err := h.s.VerifyAll(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestLateReopenOpensASuccessor(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tk := h.open("打印机")
		h.do(li, tk.ID, tickets.Claim{})
		h.do(li, tk.ID, tickets.Close{})
		h.later(8 * 24 * time.Hour)
		r := h.request(wang, tk.ID, tickets.Say{Text: "又卡纸了"})
		r.Via, r.Message = intake, "message-late"
		res, err := h.s.Do(t.Context(), r)
		if err != nil || res.Opened == nil {
			t.Fatalf("got %+v, %v, want a successor", res, describe(err))
		}
		next := h.ticket(res.Opened.ID)
		equal(t, "title", next.Title, "打印机")
		equal(t, "body", next.Body, "又卡纸了")
		equal(t, "requester", next.Requester, h.people[wang])
		equal(t, "link", next.Links[0], tickets.Link{Kind: tickets.Precursor, Ticket: tk.ID, Number: tk.Number})
		old := h.ticket(tk.ID)
		equal(t, "status of the old one", old.Status, tickets.Closed)
		equal(t, "its link", old.Links[0], tickets.Link{Kind: tickets.Successor, Ticket: next.ID, Number: next.Number})
		m, err := h.s.ByMessage(t.Context(), intake, "message-late")
		if err != nil || m.Ticket != next.ID {
			t.Errorf("the message is tied to %+v, %v, want the successor", m, err)
		}
		if id, _, err := h.s.ByThread(t.Context(), intake, "thread-1"); err != nil || id != next.ID {
			t.Errorf("the thread leads to %s, %v, want the successor", id, err)
		}
		again, err := h.s.Do(t.Context(), r)
		if err != nil || !again.Repeat || again.Opened == nil || again.Opened.ID != next.ID {
			t.Errorf("asked again: %+v, %v", again, err)
		}
	})
}

func TestMergeLinkSplit(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b, c := h.open("甲"), h.open("乙"), h.open("丙")
		h.refused(li, a.ID, tickets.Merge{Into: a.ID}, tickets.SelfMerge)
		h.refused(li, a.ID, tickets.Merge{Into: "nowhere"}, tickets.NotFound)
		h.do(li, a.ID, tickets.Merge{Into: b.ID})
		equal(t, "status", h.ticket(a.ID).Status, tickets.Closed)
		h.do(li, b.ID, tickets.Merge{Into: c.ID})
		h.do(wang, a.ID, tickets.Say{Text: "还有一件事"})
		es, err := h.s.History(t.Context(), c.ID)
		if err != nil || es[len(es)-1].Kind != tickets.SaidMore {
			t.Errorf("what was said on a merged ticket did not reach the last of the chain: %v", err)
		}
		h.do(li, b.ID, tickets.Unmerge{})
		h.do(li, a.ID, tickets.Unmerge{})
		for _, id := range []tickets.TicketID{a.ID, b.ID, c.ID} {
			got := h.ticket(id)
			equal(t, "status", got.Status, tickets.New)
			equal(t, "links", len(got.Links), 0)
		}
		h.do(li, a.ID, tickets.LinkTo{Other: b.ID})
		equal(t, "link on the other", h.ticket(b.ID).Links[0].Ticket, a.ID)
		part := h.do(li, a.ID, tickets.Split{Title: "另一件"}).Opened
		equal(t, "requester of the part", part.Requester, h.people[wang])
		equal(t, "link back", part.Links[0].Kind, tickets.SplitFrom)
	})
}

func TestEscalateConsultUndo(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tk := h.open("专线")
		h.do(li, tk.ID, tickets.Claim{})
		h.do(li, tk.ID, tickets.ConsultOn{Expert: h.people[zhou], Question: "工牌？", Within: time.Hour})
		h.do(zhou, tk.ID, tickets.Note{Text: "看一下"})
		due := h.ticket(tk.ID).Consults[0].Due
		if r := h.do("", tk.ID, tickets.Answer{Expert: h.people[zhou], Due: due + 1}); len(r.Events) != 0 {
			t.Error("a timer of an earlier consult ended this one")
		}
		h.do(zhou, tk.ID, tickets.Answer{Text: "有"})
		h.refused(zhou, tk.ID, tickets.Note{Text: "再看"}, tickets.NotFound)
		if r := h.do("", tk.ID, tickets.Answer{Expert: h.people[zhou], Due: due}); len(r.Events) != 0 {
			t.Error("an answered consult lapsed")
		}
		h.refused(li, tk.ID, tickets.Escalate{Team: "三线", Reason: "?"}, tickets.NoSuchTeam)
		h.do(li, tk.ID, tickets.Escalate{Team: "二线", Reason: "不会"})
		got := h.ticket(tk.ID)
		equal(t, "owner", got.Owner, "")
		equal(t, "status", got.Status, tickets.New)
		h.do(li, tk.ID, tickets.Undo{})
		equal(t, "owner", h.ticket(tk.ID).Owner, h.people[li])
		h.do(zhao, tk.ID, tickets.Assign{To: h.people[zhang], Reason: "你来"})
		h.refused(li, tk.ID, tickets.Undo{}, tickets.NothingToUndo)
		h.refused(zhao, tk.ID, tickets.Assign{To: h.people[zhou]}, tickets.NotAnAgent)
		equal(t, "notices to Zhang", kinds(h.deliver("chat/one/@zhang")), "notice")
		h.do(zhang, tk.ID, tickets.Release{Reason: "下班"})
		h.do(wang, tk.ID, tickets.Withdraw{})
		equal(t, "status", h.ticket(tk.ID).Status, tickets.Closed)
	})
}

func TestFieldsAreMaskedAndRevealed(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tk := h.open("账号")
		h.do(li, tk.ID, tickets.Claim{})
		h.do(li, tk.ID, tickets.SetType{Type: "account"})
		h.do(li, tk.ID, tickets.SetField{Key: "phone", Value: "138 1234 5678"})
		h.refused(li, tk.ID, tickets.Solve{Text: "好"}, tickets.FieldRequired)
		h.do(li, tk.ID, tickets.SetField{Key: "system", Value: "ERP"})
		v, err := h.s.View(t.Context(), h.ticket(tk.ID), h.now, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "fields shown", len(v.Fields), 2)
		equal(t, "phone", v.Fields[1].Value, "138****5678")
		equal(t, "name", v.Name(v.Requester), "王芳")
		r := h.request(li, tk.ID, tickets.Reveal{Field: "phone", Reason: "回电"})
		res, err := h.s.Do(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, value, ok := res.Reveal(); !ok || value != "13812345678" {
			t.Errorf("revealed %q, %v", value, ok)
		}
		if res, err = h.s.Do(t.Context(), r); err != nil {
			t.Fatal(err)
		} else if _, _, ok := res.Reveal(); ok {
			t.Error("a repeated request reveals again")
		}
		line, err := h.s.Timeline(t.Context(), tk.ID, 20)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range line {
			if strings.Contains(e.Detail, "5678") {
				t.Errorf("the timeline tells the number: %+v", e)
			}
		}
		equal(t, "newest entry", line[0].Detail, "phone: 回电")
	})
}

func TestSearchFindsChinese(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		erp := h.open("ERP登录失败，提示E07")
		printer := h.open("三楼打印机卡纸")
		h.do(li, printer.ID, tickets.Claim{})
		h.do(wang, printer.ID, tickets.Say{Text: "型号是惠普M404"})
		h.do(li, printer.ID, tickets.Tag{Add: []string{"硬件"}})
		h.do(li, printer.ID, tickets.Note{Text: "秘密"})
		for _, c := range []struct {
			who, words string
			want       []int64
		}{
			{li, "登", []int64{erp.Number}}, {li, "登录", []int64{erp.Number}}, {li, "录失", []int64{erp.Number}},
			{li, "ERP登录", []int64{erp.Number}}, {li, "登录 erp", []int64{erp.Number}}, {li, "ｅｒｐ", []int64{erp.Number}},
			{li, "失败登录", nil}, {li, "失败 登录", []int64{erp.Number}}, {li, "印", []int64{printer.Number}},
			{li, "惠普", []int64{printer.Number}}, {li, "m404", []int64{printer.Number}}, {li, "硬件", []int64{printer.Number}},
			{li, "秘密", nil}, {li, "' OR 1 --", nil}, {li, `"`, nil}, {li, "！？", nil}, {li, "a & b | c : *", nil},
			{wang, "登录", []int64{erp.Number}}, {sun, "登录", nil}, {zhou, "登录", nil}, {chen, "登录", []int64{erp.Number}}, {wu, "登录", []int64{erp.Number}},
		} {
			rows, _, err := h.s.Search(t.Context(), h.actor(c.who), c.words, 10)
			var got []int64
			for _, r := range rows {
				got = append(got, r.Number)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s searches %q: got %v, %v, want %v", c.who, c.words, got, err, c.want)
			}
		}
	})
}

func TestLists(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for i := range 5 {
			h.open(fmt.Sprintf("第 %d 张", i+1))
		}
		byNumber := func(n int64) tickets.TicketID {
			tk, err := h.s.Find(t.Context(), h.actor(li), n)
			if err != nil {
				t.Fatal(err)
			}
			return tk.ID
		}
		h.do(li, byNumber(5), tickets.SetPriority{Priority: 1})
		h.do(li, byNumber(2), tickets.Claim{})
		h.do(li, byNumber(3), tickets.Claim{})
		h.do(li, byNumber(3), tickets.SetPriority{Priority: 2})
		list := func(what string, rows []tickets.Row, more int, err error, wantMore int, want ...int64) {
			t.Helper()
			var got []int64
			for _, r := range rows {
				got = append(got, r.Number)
			}
			if err != nil || !slices.Equal(got, want) || more != wantMore {
				t.Errorf("%s: got %v, more %d, %v, want %v, more %d", what, got, more, err, want, wantMore)
			}
		}
		rows, more, err := h.s.Queue(t.Context(), h.actor(li), 2)
		list("queue", rows, more, err, 1, 5, 1)
		rows, more, err = h.s.Mine(t.Context(), h.actor(li), 10)
		list("mine of an agent", rows, more, err, 0, 3, 2)
		equal(t, "owner's name", rows[0].OwnerName, "李四")
		rows, more, err = h.s.Mine(t.Context(), h.actor(wang), 10)
		list("mine of a requester", rows, more, err, 0, 5, 4, 3, 2, 1)
		h.later(3 * time.Hour)
		rows, more, err = h.s.Overdue(t.Context(), h.actor(zhao), 3, h.now)
		list("overdue", rows, more, err, 1, 5, 3, 1)
		rows, more, err = h.s.Queue(t.Context(), h.actor(sun), 2)
		list("queue of who works nowhere", rows, more, err, 0)

		_, err = h.s.Find(t.Context(), h.actor(li), 53)
		if e := err.(*tickets.Error); e.Code != tickets.NotFound || e.Args["near"] != "5" {
			t.Errorf("no such number: %v", describe(err))
		}
		_, err = h.s.Find(t.Context(), h.actor(sun), 5)
		if e := err.(*tickets.Error); e.Code != tickets.NotFound || e.Args["near"] != "" {
			t.Errorf("an outsider: %v", describe(err))
		}
	})
}

func TestRepeatedRequestIsDoneOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tk := h.open("甲")
		for _, r := range []tickets.Request{
			h.request(wang, "", tickets.Open{Desk: "it", Title: "乙"}),
			h.request(li, tk.ID, tickets.Claim{}),
			h.request(zhang, tk.ID, tickets.Solve{Text: "不是我的"}),
			h.request(wang, tk.ID, tickets.Urge{}),
		} {
			h.fiftyTimes(r)
		}
		equal(t, "tickets", h.count(`SELECT count(*) FROM tickets`), 2)
		equal(t, "events", h.count(`SELECT count(*) FROM events`), 4)
		equal(t, "urges", h.ticket(tk.ID).Urges, 1)
	})
}

func (h *house) fiftyTimes(r tickets.Request) {
	h.t.Helper()
	var mu sync.Mutex // guards answers and firsts
	answers, firsts := map[string]int{}, 0
	var g errgroup.Group
	for range 50 {
		g.Go(func() error {
			res, err := h.s.Do(h.t.Context(), r)
			if err != nil && tickets.CodeOf(err) == "" {
				return err
			}
			answer := describe(err)
			for _, e := range res.Events {
				answer += fmt.Sprintf(" %s %d %s", e.Kind, e.Seq, e.Hash)
			}
			if err == nil {
				answer += string(res.Ticket.ID)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[answer]++
			if !res.Repeat {
				firsts++
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		h.t.Fatal(err)
	}
	if len(answers) != 1 || firsts != 1 {
		h.t.Errorf("%s: %d different answers, %d of them the first: %v", r.Command.Verb(), len(answers), firsts, answers)
	}
}

func TestTwoMessagesAtOnceAreOneTicket(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for round := range 20 {
			var g errgroup.Group
			var results [2]tickets.Result
			for i := range results {
				r := h.request(wang, "", tickets.Open{Desk: "it", Title: fmt.Sprintf("第 %d 句", i)})
				r.Via, r.Message, r.Burst = fmt.Sprintf("chat/one/room-%d", round), r.Once, true
				g.Go(func() (err error) {
					results[i], err = h.s.Do(t.Context(), r)
					return err
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(describe(err))
			}
			if results[0].Ticket.ID != results[1].Ticket.ID || results[0].Joined == results[1].Joined {
				t.Fatalf("round %d: two tickets of one burst", round)
			}
		}
		equal(t, "tickets", h.count(`SELECT count(*) FROM tickets`), 20)
	})
}

func TestBurstEndsAfterTwoMinutes(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		say := func(text string) tickets.Result {
			r := h.request(wang, "", tickets.Open{Desk: "it", Title: text})
			r.Via, r.Message, r.Burst = intake, r.Once, true
			res, err := h.s.Do(t.Context(), r)
			if err != nil {
				t.Fatal(describe(err))
			}
			again, err := h.s.Do(t.Context(), r)
			if err != nil || again.Joined != res.Joined || again.Ticket.ID != res.Ticket.ID {
				t.Fatalf("asked again: %+v, %v, first %+v", again, err, res)
			}
			return res
		}
		first := say("打不开").Ticket.ID
		h.later(119 * time.Second)
		if r := say("报错"); !r.Joined || r.Ticket.ID != first {
			t.Error("the second message did not join")
		}
		h.later(2 * time.Second)
		if r := say("别的事"); r.Joined || r.Ticket.ID == first {
			t.Error("the burst did not end")
		}
	})
}

func TestOneAdminOutOfFifty(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.exec(`DELETE FROM roles WHERE role = 'admin'`)
		code, err := h.s.NewAdminCode(t.Context(), h.now)
		if err != nil || code == "" {
			t.Fatal(code, err)
		}
		var g errgroup.Group
		won := make(chan string, 50)
		for i := range 50 {
			account := fmt.Sprintf("chat/one/claimant-%d", i)
			if _, err := h.s.EnsureAccount(t.Context(), tickets.Profile{Account: account}, h.now); err != nil {
				t.Fatal(err)
			}
			g.Go(func() error {
				ok, err := h.s.UseAdminCode(t.Context(), account, strings.ToLower(code), h.now)
				if ok {
					won <- account
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		close(won)
		equal(t, "winners", len(won), 1)
		if !h.actor(<-won).Is(tickets.Admin, "it") {
			t.Error("the winner is no admin")
		}
		code, err = h.s.NewAdminCode(t.Context(), h.now)
		if err != nil || code != "" {
			t.Errorf("with an admin there was another code %q, %v", code, err)
		}
	})
}

func TestLinkCodeTiesAccounts(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		const phone = "talk/two/wang"
		if _, err := h.s.EnsureAccount(t.Context(), tickets.Profile{Account: phone, Name: "小王"}, h.now); err != nil {
			t.Fatal(err)
		}
		tk := h.do(phone, "", tickets.Open{Desk: "it", Title: "手机上提的"}).Ticket
		h.refused(wang, tk.ID, tickets.Urge{}, tickets.NotFound)
		code, err := h.s.NewLinkCode(t.Context(), phone, "act", h.now)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := h.s.UseLinkCode(t.Context(), wang, code, h.now.Add(11*time.Minute)); ok || err != nil {
			t.Errorf("a code that ran out: %v, %v", ok, err)
		}
		tied, ok, err := h.s.UseLinkCode(t.Context(), wang, code, h.now)
		if err != nil || !ok || tied.Act != "act" || tied.Account != phone {
			t.Fatalf("got %+v, %v, %v", tied, ok, err)
		}
		if _, ok, err := h.s.UseLinkCode(t.Context(), sun, code, h.now); ok || err != nil {
			t.Errorf("a code was used twice: %v, %v", ok, err)
		}
		h.do(wang, tk.ID, tickets.Urge{})
		rows, _, err := h.s.Mine(t.Context(), h.actor(wang), 5)
		if err != nil || len(rows) != 1 {
			t.Errorf("mine = %v, %v", rows, err)
		}
		rows, _, err = h.s.Search(t.Context(), h.actor(wang), "手机", 5)
		if err != nil || len(rows) != 1 {
			t.Errorf("search = %v, %v", rows, err)
		}
	})
}

func TestGuestMayAskNotWork(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		if _, err := h.s.EnsureAccount(t.Context(), tickets.Profile{Account: "talk/two/x", Email: "Li@example.com", Guest: true}, h.now); err != nil {
			t.Fatal(err)
		}
		p, err := h.s.EnsureAccount(t.Context(), tickets.Profile{Account: li, Name: "李四四", Email: "li@example.com"}, h.now)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "person of Li", p, h.people[li])
		equal(t, "name", h.actor(li).Name, "李四四")
		other, err := h.s.EnsureAccount(t.Context(), tickets.Profile{Account: "talk/two/li", Email: "LI@example.com"}, h.now)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "person with the same address", other, p)
		if _, err := h.s.EnsureAccount(t.Context(), tickets.Profile{Account: "talk/two/li", Guest: true}, h.now); err != nil {
			t.Fatal(err)
		}
		if h.actor("talk/two/li").Works("it") {
			t.Error("a guest's account works")
		}
		if !h.actor(li).Works("it") {
			t.Error("the member's account of the same person does not work any more")
		}
	})
}

func TestConfigureAgain(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		if err := h.s.SetLevel(t.Context(), li, triage, "quiet"); err != nil {
			t.Fatal(err)
		}
		if err := h.s.SetMembers(t.Context(), "chat/one/hr", []string{sun}, h.now); err != nil {
			t.Fatal(err)
		}
		if !h.actor(sun).Works("hr") {
			t.Error("a member of the triage group does not work")
		}
		c := setup()
		c.Desks = c.Desks[:1]
		c.Desks[0].Agents = c.Desks[0].Agents[:1]
		c.People = []tickets.PersonSetup{{Name: "李四", Accounts: []string{li, "talk/two/li", zhang}}}
		tk := h.open("甲")
		h.do(zhang, tk.ID, tickets.Claim{})
		if err := h.s.Configure(t.Context(), c, h.now); err != nil {
			t.Fatal(err)
		}
		g, err := h.s.GroupOf(t.Context(), triage)
		if err != nil || g.Level != "quiet" || g.Desk != "it" {
			t.Errorf("group = %+v, %v", g, err)
		}
		if h.actor(sun).Works("hr") || h.actor(zhou).Works("hr") {
			t.Error("whoever worked at a desk that is gone still does")
		}
		equal(t, "person of the tied account", h.actor("talk/two/li").Person, h.people[li])
		h.do(li, tk.ID, tickets.HoldUntil{})
	})
}

func TestBreachIsToldOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tk := h.open("慢")
		h.later(3 * time.Hour)
		due := h.ticket(tk.ID).RespondBy
		h.do("", tk.ID, tickets.Breach{Target: due})
		if r := h.do("", tk.ID, tickets.Breach{Target: due}); len(r.Events) != 0 {
			t.Error("the same breach was told twice")
		}
		if r := h.do("", tk.ID, tickets.Breach{Target: h.ticket(tk.ID).SolveBy}); len(r.Events) != 0 {
			t.Error("a breach was told before its time")
		}
		equal(t, "alerts", h.count(`SELECT count(*) FROM places WHERE audience = 'alert'`), 1)
		equal(t, "rows in triage", kinds(h.deliver(triage)), "card card")
	})
}

func TestOutboxIsFenced(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		now := func() tickets.Time { return tickets.At(h.now) }
		tk := h.open("甲")
		rows := h.take(triage)
		equal(t, "rows", len(rows), 1)
		if _, ok, _, err := h.out.Take(ctx, triage, "other", now(), time.Minute); ok || err != nil {
			t.Errorf("a second holder got the lane: %v, %v", ok, err)
		}
		h.do(li, tk.ID, tickets.Claim{}) // while the first card is under way
		if err := h.out.Done(ctx, rows[0], tickets.Sent{Ref: "m1", Root: "m1", Shown: 1}, now()); err != nil {
			t.Fatal(err)
		}
		h.later(2 * time.Minute) // the holder died
		rows, ok, _, err := h.out.Take(ctx, triage, "other", now(), time.Minute)
		if err != nil || !ok || len(rows) != 1 || rows[0].Seq != 2 {
			t.Fatalf("after the lease: %v, %v, %v", rows, ok, err)
		}
		if err := h.out.Done(ctx, rows[0], tickets.Sent{Ref: "m1", Shown: 2, Hash: "two"}, now()); err != nil {
			t.Fatal(err)
		}
		if err := h.out.Done(ctx, rows[0], tickets.Sent{Ref: "late", Shown: 1, Hash: "one"}, now()); err != nil { // the dead one wakes
			t.Fatal(err)
		}
		equal(t, "shown", h.count(`SELECT shown FROM places WHERE lane = ?`, triage), 2)
		equal(t, "rows left", h.count(`SELECT count(*) FROM outbox WHERE lane = ?`, triage), 0)

		h.do(li, tk.ID, tickets.Note{Text: "记录"})
		if err := h.out.Free(ctx, "other"); err != nil {
			t.Fatal(err)
		}
		rows = h.take(triage)
		equal(t, "rows", kinds(rows), "relay card")
		if err := h.out.Retry(ctx, rows[0], now().Add(time.Minute), "busy"); err != nil {
			t.Fatal(err)
		}
		if err := h.out.Block(ctx, triage, "sender", now().Add(30*time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, ok, until, err := h.out.Take(ctx, triage, "sender", now(), time.Minute); ok || err != nil || until != now().Add(30*time.Second) {
			t.Errorf("a blocked lane: %v, until %v, %v", ok, until, err)
		}
		h.sweeps(0)
		h.later(40 * time.Second)
		h.sweeps(1)
		rows = h.take(triage)
		equal(t, "rows after the block", kinds(rows), "card")
		equal(t, "attempts", rows[0].Attempts, 1)
		if err := h.out.Return(ctx, rows); err != nil {
			t.Fatal(err)
		}
		h.later(time.Minute)
		rows = h.take(triage)
		if len(rows) != 2 {
			t.Fatalf("rows = %v", rows)
		}
		for _, r := range rows {
			if err := h.out.Dead(ctx, r, "unauthorized", now()); err != nil {
				t.Fatal(err)
			}
		}
		_, dead, err := h.out.Backlog(ctx, now())
		if err != nil || dead != 2 {
			t.Errorf("dead = %d, %v", dead, err)
		}
		letters, err := h.out.DeadLetters(ctx, 10)
		if err != nil || len(letters) != 2 {
			t.Fatalf("dead letters = %v, %v", letters, err)
		}
		if ok, err := h.out.Resend(ctx, letters[0].ID, now()); !ok || err != nil {
			t.Errorf("resend: %v, %v", ok, err)
		}
		if ok, err := h.out.Resend(ctx, letters[0].ID, now()); ok || err != nil {
			t.Errorf("resend of what is not dead: %v, %v", ok, err)
		}
		equal(t, "rows after resend", len(h.take(triage)), 1)
		if err := h.out.Clean(ctx, now().Add(48*time.Hour), 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		equal(t, "once-keys", h.count(`SELECT count(*) FROM once`), 0)
	})
}

// sweeps looks how many lanes a sweep wakes, apart from the requester's.
func (h *house) sweeps(want int) {
	h.t.Helper()
	h.deliver(intake)
	n, err := h.out.Sweep(h.t.Context(), tickets.At(h.now))
	if err != nil || n != want {
		h.t.Errorf("lanes woken by a sweep = %d, %v, want %d", n, err, want)
	}
}

func TestOwnWordsOnlyAreAmended(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.request(wang, "", tickets.Open{Desk: "it", Title: "密码", Body: "密码是 hunter2"})
		res, err := h.s.Do(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		tk := res.Ticket
		h.refused(li, tk.ID, tickets.Amend{Seq: 1, Text: "改"}, tickets.NotAllowed)
		h.do(wang, tk.ID, tickets.Amend{Seq: 1, Deleted: true})
		equal(t, "body", h.ticket(tk.ID).Body, "")
		rows, _, err := h.s.Search(t.Context(), h.actor(li), "hunter2", 5)
		if err != nil || len(rows) != 0 {
			t.Errorf("a deleted message is still found: %v, %v", rows, err)
		}
	})
}

func TestErasedPersonIsGone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		const secret = "绝密暗号"
		ctx := context.Background()
		r := h.request(wang, "", tickets.Open{Desk: "it", Title: secret, Body: secret, Files: []tickets.File{{Name: secret, Hash: "f00d", Ref: "r"}}})
		res, err := h.s.Do(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		h.exec(`INSERT INTO blobs (hash, size, content, at) VALUES ('f00d', 1, ?, 1)`, []byte(secret))
		mine, suns := res.Ticket, h.do(sun, "", tickets.Open{Desk: "it", Title: "别人的"}).Ticket
		h.do(li, mine.ID, tickets.Claim{})
		h.do(li, mine.ID, tickets.Reply{Text: secret})
		h.do(wang, mine.ID, tickets.Say{Text: secret})
		h.do(li, suns.ID, tickets.Claim{})
		h.do(li, suns.ID, tickets.ConsultOn{Expert: h.people[wang], Question: "?"})
		h.do(wang, suns.ID, tickets.Answer{Text: secret})
		if _, err := h.s.EnsureAccount(ctx, tickets.Profile{Account: wang, Name: secret, Email: "wang@example.com"}, h.now); err != nil {
			t.Fatal(err)
		}
		if err := h.s.Erase(ctx, h.people[wang], h.now); err != nil {
			t.Fatal(err)
		}
		for _, c := range [][2]string{
			{"tickets", "title"}, {"tickets", "doc"}, {"events", "words"}, {"people", "name"}, {"people", "email"}, {"accounts", "name"}, {"accounts", "ref"},
			{"once", "outcome"}, {"codes", "act"},
		} {
			n := h.count(`SELECT count(*) FROM ` + c[0] + ` WHERE ` + c[1] + ` LIKE '%` + secret + `%' OR ` + c[1] + ` LIKE '%/wang%' OR ` + c[1] + ` LIKE '%wang@%'`)
			equal(t, c[0]+"."+c[1]+" that still hold it", n, 0)
		}
		equal(t, "files", h.count(`SELECT count(*) FROM blobs`), 0)
		rows, _, err := h.s.Search(ctx, h.actor(li), secret, 5)
		if err != nil || len(rows) != 0 {
			t.Errorf("still found: %v, %v", rows, err)
		}
		equal(t, "Sun's title", h.ticket(suns.ID).Title, "别人的")
		if _, err := h.s.VerifyAll(ctx); err != nil {
			t.Error(err)
		}
		h.do(li, mine.ID, tickets.Solve{Text: "完"})
	})
}

func TestTyingAccountsCanBeUndone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		const phone, pad = "talk/two/li", "talk/three/li"
		for _, ref := range []string{phone, pad} {
			if _, err := h.s.EnsureAccount(t.Context(), tickets.Profile{Account: ref, Name: "小李"}, h.now); err != nil {
				t.Fatal(err)
			}
		}
		tie := func(from, to string) {
			t.Helper()
			code, err := h.s.NewLinkCode(t.Context(), from, "", h.now)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok, err := h.s.UseLinkCode(t.Context(), to, code, h.now); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
		works := func(ref string, want bool) {
			t.Helper()
			if got := h.actor(ref).Works("it"); got != want {
				t.Errorf("%s works: %v, want %v", ref, got, want)
			}
		}
		if back, err := h.s.Unlink(t.Context(), li, h.now); err != nil || len(back) != 0 {
			t.Errorf("unlinked %q, %v where nothing had been linked", back, err)
		}
		asked := h.do(pad, "", tickets.Open{Desk: "it", Title: "平板"}).Ticket
		tie(pad, phone)
		tie(phone, li)
		works(pad, true)
		works(phone, true)
		h.do(phone, asked.ID, tickets.Claim{})
		back, err := h.s.Unlink(t.Context(), li, h.now.Add(time.Hour))
		if err != nil || !slices.Equal(back, []string{pad, phone}) {
			t.Fatalf("unlinked %q, %v", back, err)
		}
		works(li, true)
		works(phone, false)
		works(pad, false)
		if !h.actor(phone).Me(asked.Requester) || h.actor(li).Me(asked.Requester) {
			t.Error("what one asked for before is the other's")
		}
		if back, err := h.s.Unlink(t.Context(), phone, h.now.Add(2*time.Hour)); err != nil || !slices.Equal(back, []string{pad}) {
			t.Errorf("unlinked %q, %v; want what was linked before", back, err)
		}
		var log []string
		if err := h.db.Select(t.Context(), &log, `SELECT kind || ' ' || actor FROM people_events ORDER BY at, id`); err != nil {
			t.Fatal(err)
		}
		equal(t, "what was noted", strings.Join(log, ", "), "merged "+phone+", merged "+li+", parted "+li+", parted "+phone)
	})
}

func TestAPhoneNumberTellsWhoSomebodyIs(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		person := func(p tickets.Profile) tickets.PersonID {
			t.Helper()
			id, err := h.s.EnsureAccount(t.Context(), p, h.now)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		zhou := person(tickets.Profile{Account: "talk/one/zhou", Name: "周", Phone: "+86 138-0000-0000"})
		for account, want := range map[string]bool{"+8613800000000": true, "13800000000": false, "+8613800000001": false, "+86138": false, "+86x13800000000": false} {
			if same := person(tickets.Profile{Account: "talk/two/" + account, Phone: account}) == zhou; same != want {
				t.Errorf("%s is his: %v, want %v", account, same, want)
			}
		}
		if person(tickets.Profile{Account: "talk/two/guest", Phone: "+8613800000000", Guest: true}) == zhou {
			t.Error("an outsider is taken for a member by the number that he tells")
		}
	})
}
