//go:build unix

package playground_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/browsertest"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// desk is a small bot with one ticket, enough to show all that the page can do.
type desk struct {
	mu      sync.Mutex
	title   string
	body    string
	version int64
	triage  bot.MessageRef
	own     bot.MessageRef
	late    chan struct{} // the word 慢 waits for it
}

func (d *desk) card(owner string) cards.Card {
	c := cards.Card{
		Tone: cards.Open, Title: "#1024 " + d.title, Badges: []string{"P1", "待接", "二线-网络"}, Ticket: "t-1024", Version: d.version,
		Facts: []cards.Fact{
			{Label: "来自", Value: "王芳(市场部 · VIP)"},
			{Label: "电话", Value: "138****5678", Action: &cards.Action{Act: cards.Act{Verb: tickets.VerbReveal}, Label: "查看", Token: "reveal"}},
			{Label: "处理人", Value: "—"}, {Label: "类型", Value: "账号/登录"},
			{Label: "首响", Value: "剩 12 分(14:32 前)"}, {Label: "解决", Value: "剩 3 时 40 分"},
			{Label: "标签", Value: "ERP 上海", Wide: true},
		},
		Body: d.body,
		Actions: []cards.Action{
			{Act: cards.Act{Verb: tickets.VerbClaim}, Label: "接单", Style: cards.Primary, Token: "claim"},
			{Act: cards.Act{Verb: tickets.VerbPriority}, Label: "优先级", Token: "prio", Options: []cards.Option{{Label: "P1 紧急", Value: "P1"}, {Label: "P2 高", Value: "P2"}}},
			{Act: cards.Act{Verb: tickets.VerbAssign, Form: true}, Label: "转派", Token: "form"},
		},
		More: []cards.Action{
			{Act: cards.Act{Verb: tickets.VerbHold}, Label: "挂起", Token: "hold", Options: []cards.Option{{Label: "2 小时", Value: "2h"}, {Label: "到周一", Value: "mon"}}},
			{Act: cards.Act{Verb: tickets.VerbWithdraw}, Label: "非工单", Style: cards.Danger, Confirm: "把它标为非工单？", Token: "withdraw"},
			{Label: "打开控制台", URL: "https://example.com/t/1024"},
		},
		Note: "14:20 王芳 建单 · 查看原消息", Alt: "#1024 " + d.title + " · 待接", Ping: []string{"lisi"},
	}
	if owner != "" {
		c.Tone, c.Badges, c.Facts[2].Value = cards.Busy, []string{"P1", "处理中"}, owner
		c.Actions[0] = cards.Action{Act: cards.Act{Verb: tickets.VerbSolve}, Label: "解决", Style: cards.Primary, Token: "form"}
		c.Alt = "#1024 " + d.title + " · " + owner + " 处理中"
	}
	return c
}

func form(kind, title string) *cards.Card {
	f := cards.Form{Act: cards.Act{Verb: tickets.VerbOpen}, Token: "open", Submit: "建单", Inputs: []cards.Input{
		{Name: "type", Label: "类型", Kind: cards.InputChoice, Required: true, Reload: true, Value: kind, Options: []cards.Option{{Label: "账号/登录", Value: "login"}, {Label: "打印机", Value: "printer"}}},
		{Name: "title", Label: "标题", Kind: cards.InputLine, Required: true, Value: title, Hint: "一句话说清楚", Max: 80},
		{Name: "text", Label: "描述", Kind: cards.InputText},
		{Name: "who", Label: "联系人", Kind: cards.InputPerson},
	}}
	if kind == "printer" {
		f.Inputs = append(f.Inputs,
			cards.Input{Name: "floor", Label: "楼层", Kind: cards.InputNumber}, cards.Input{Name: "day", Label: "日期", Kind: cards.InputDate},
			cards.Input{Name: "when", Label: "时间", Kind: cards.InputTime}, cards.Input{Name: "phone", Label: "电话", Kind: cards.InputPhone},
			cards.Input{Name: "mail", Label: "邮箱", Kind: cards.InputEmail}, cards.Input{Name: "tell", Label: "通知客户", Kind: cards.InputCheck, Value: "true"})
	}
	return &cards.Card{Title: "新建工单", Body: "填得越清楚，处理得越快。", Form: &f}
}

func (d *desk) handle(ctx context.Context, r *room, ev bot.Event) (bot.Reply, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch ev.Kind {
	case bot.Message:
		if !ev.ToBot {
			return bot.Reply{}, nil
		}
		switch verb, rest, _ := strings.Cut(ev.Text, " "); verb {
		case "建单":
			return bot.Reply{}, d.open(ctx, r, ev, rest)
		case "慢":
			d.mu.Unlock()
			select {
			case <-d.late:
			case <-ctx.Done():
			}
			d.mu.Lock()
			return bot.Reply{Hint: &cards.Card{Title: "终于好了"}}, nil
		}
		return bot.Reply{Hint: &cards.Card{Tone: cards.Alarm, Title: "没有听懂「" + ev.Text + "」", Body: "试试「建单」「待接」「我的」。"}}, nil
	case bot.Shortcut:
		return bot.Reply{Form: form("login", ev.Text)}, nil
	case bot.Reload:
		return bot.Reply{Form: form(ev.Values["type"], ev.Values["title"])}, nil
	case bot.Submit:
		if ev.Values["title"] == "坏" {
			return bot.Reply{Errors: map[string]string{"title": "这个标题太短了"}}, nil
		}
		return bot.Reply{Toast: "已提交 " + ev.Values["title"] + " " + ev.Values["tell"]}, nil
	case bot.Click:
		switch ev.Token {
		case "claim":
			d.version++
			c := d.card(ev.UserName)
			if _, err := r.Update(ctx, d.own, cards.Card{Tone: cards.Busy, Title: "#1024 " + d.title, Badges: []string{"处理中"}, Body: ev.UserName + " 正在处理。", Ticket: "t-1024", Version: d.version}); err != nil {
				return bot.Reply{}, err
			}
			return bot.Reply{Toast: "已接单", Card: &c}, nil
		case "form":
			return bot.Reply{Form: form("login", "转派")}, nil
		}
		return bot.Reply{Toast: ev.Token + " " + ev.Value}, nil
	case bot.HomeOpened:
		return bot.Reply{}, r.PublishHome(ctx, ev.User, cards.Card{Title: ev.UserName + " 的工作台", Badges: []string{"3 张进行中"}, Rows: []cards.Row{
			{Tone: cards.Alarm, Text: "#1024 ERP 登录失败", Detail: "超时 2 时 05 分 · 李四 · VIP", Actions: []cards.Action{{Act: cards.Act{Verb: tickets.VerbAssign}, Label: "改派", Token: "home"}, {Label: "看", Token: "home"}}},
			{Tone: cards.Open, Text: "#1031 退款未到账", Detail: "预计 11:20 超时(历史中位 5 时)", Actions: []cards.Action{{Label: "催办", Token: "home"}}},
			{Tone: cards.Paused, Text: "#0996 无人认领 6 时", Actions: []cards.Action{{Label: "指派", Token: "home"}}},
		}, Note: "每天 09:00 更新"})
	}
	return bot.Reply{}, nil
}

func (d *desk) open(ctx context.Context, r *room, ev bot.Event, title string) (err error) {
	d.title, d.version = title, 1
	d.body = "昨晚升级后提示 E07,10 人受影响；附 2 图。"
	to := bot.To(ev.Conv)
	to.Thread = ev.Message
	if d.own, err = r.Post(ctx, to, ev.ID+"/own", cards.Card{Tone: cards.Open, Title: "#1024 " + title, Badges: []string{"待接"}, Body: "已建单，14:32 前首次响应。", Ticket: "t-1024", Version: 1,
		Actions: []cards.Action{{Act: cards.Act{Verb: tickets.VerbUrge}, Label: "催单", Token: "urge"}}}); err != nil {
		return err
	}
	d.triage, err = r.Post(ctx, bot.To(conv("g-desk")), ev.ID, d.card(""))
	return err
}

// testid finds an element by the attribute that is kept stable for tests.
func testid(id string, more ...string) string {
	return fmt.Sprintf(`[data-testid="%s"]%s`, id, strings.Join(more, ""))
}

func withPage(t *testing.T, width, height int, test func(t *testing.T, r *room, d *desk, p *browsertest.Page)) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if !db.SQLite() {
			t.Skip("the page is the same on both databases; what is below it is tested on both")
		}
		d := &desk{late: make(chan struct{})}
		r := open(t, db, d.handle)
		p := browsertest.Start(t).Open(r.srv.URL+"/playground/", width, height)
		p.Wait("the page is live", `document.body.dataset.live === '1'`)
		test(t, r, d, p)
		p.NoFaults()
	})
}

func TestTheWalkOnADesktop(t *testing.T) {
	withPage(t, 1280, 800, func(t *testing.T, r *room, d *desk, p *browsertest.Page) {
		p.Dark(false)
		p.WaitFor(testid("welcome"))
		p.Screenshot("desktop-1-first")

		// The customer asks.
		p.Click(testid("composer-input"))
		p.Type(testid("composer-input"), "@")
		p.WaitFor(testid("suggestion"))
		p.Screenshot("desktop-2-suggestions")
		p.Press("Enter")
		p.Wait("the name is taken over", `document.querySelector('[data-testid="composer-input"]').value === '@工单 '`)
		p.Type(testid("composer-input"), "@工单 建单 ERP 登录不了，请 @李四 看看")
		p.Press("Shift+Enter")
		p.Press("Enter")
		p.WaitFor(testid("thread-open"))
		p.WaitText("#stream .thread-link", "1 条回复")
		p.WaitFor(testid("person-lisi") + " .dot")
		p.Click("#stream .thread-link")
		p.WaitText(testid("thread")+" "+testid("card-body"), "14:32 前首次响应")
		p.Type(testid("thread-input"), "谢谢")
		p.Press("Enter")
		p.WaitText(testid("thread")+" "+testid("text"), "谢谢")
		p.Screenshot("desktop-3-thread")

		// An agent claims; the card changes in place.
		p.Click(testid("person-lisi"))
		p.Click(testid("conv-g-desk"))
		p.WaitText(testid("card-title"), "#1024 ERP 登录不了")
		p.WaitFor(testid("badge", ".ping"))
		p.Screenshot("desktop-4-card")
		p.Click(testid("more"))
		p.WaitText(testid("menu-item"), "到周一")
		p.Screenshot("desktop-5-menu")
		p.Click(testid("menu-item", `[data-label="挂起 到周一"]`))
		p.WaitText(testid("toast"), "hold")
		p.Click(testid("more"))
		p.Click(testid("menu-item", `[data-verb="withdraw"]`))
		p.WaitText(testid("confirm"), "把它标为非工单？")
		p.Screenshot("desktop-6-confirm")
		p.Press("Escape")
		p.WaitGone(testid("confirm"))
		p.Click(testid("action", `[data-verb="priority"]`))
		p.Click(testid("menu-item", `[data-label="P2 高"]`))
		p.WaitText(testid("toast"), "prio P2")
		p.Click(testid("action", `[data-verb="claim"]`))
		p.WaitText(testid("badge"), "处理中")
		p.WaitText(testid("toast"), "已接单")
		if n := p.Count(testid("card")); n != 1 {
			t.Errorf("there are %d cards", n)
		}
		if err := r.Whisper(t.Context(), conv("g-desk"), user("lisi"), "", cards.Card{Tone: cards.Alarm, Title: "首响还剩 5 分钟"}); err != nil {
			t.Fatal(err)
		}
		p.WaitFor(testid("private-note"))
		p.Hover(testid("message", `:has(.card[data-ticket="t-1024"])`))
		p.Click(testid("react-eyes"))
		p.WaitFor(testid("reaction", `[data-emoji="eyes"]`))
		p.Screenshot("desktop-7-claimed")

		// A form: its inputs depend on one another, errors stand where they belong.
		p.Click(testid("new-ticket"))
		p.WaitFor(testid("form"))
		p.Click(testid("form-submit"))
		p.WaitText(testid("error-title"), "这一项要填")
		p.Type(testid("input-title"), "坏")
		p.Choose(testid("input-type"), "printer")
		p.WaitFor(testid("input-floor"))
		p.Click(testid("form-submit"))
		p.WaitText(testid("error-title"), "这个标题太短了")
		p.Screenshot("desktop-8-form")
		p.Type(testid("input-title"), "打印机卡纸")
		p.Choose(testid("input-who"), "zhaomin")
		p.Click(testid("form-submit"))
		p.WaitGone(testid("form"))
		p.WaitText(testid("toast"), "已提交 打印机卡纸 true")

		// Home, clock, language, dark colours.
		p.Click(testid("nav-home"))
		p.WaitText(testid("home-card"), "李四 的工作台")
		p.Click(testid("row-action", `[data-label="催办"]`))
		p.WaitText(testid("toast"), "home")
		p.Screenshot("desktop-9-home")
		before := r.clock.Offset()
		p.Click(testid("advance-1d"))
		p.WaitText(".clock small", "快进了 1 天")
		if got := r.clock.Offset() - before; got.Hours() != 24 {
			t.Errorf("the clock moved by %s", got)
		}
		p.Dark(true)
		p.Click(testid("conv-g-desk"))
		p.Click(testid("lang-toggle"))
		p.WaitText(testid("room-title"), "IT service desk")
		p.Screenshot("desktop-10-dark-en")
		p.Reload()
		p.WaitText(testid("room-title"), "IT service desk")
		p.WaitFor(testid("card"))
	})
}

func TestTheWalkOnAPhone(t *testing.T) {
	withPage(t, 390, 844, func(t *testing.T, r *room, d *desk, p *browsertest.Page) {
		p.Dark(false)
		p.WaitFor(testid("welcome"))
		p.Screenshot("phone-2-first")
		p.Click(testid("back"))
		p.WaitFor(testid("conv-g-east"))
		p.Screenshot("phone-1-list")
		p.Click(testid("conv-g-east"))
		p.WaitFor(testid("welcome"))
		p.Click(testid("chip"))
		p.Click(testid("chip", `:first-child`))
		p.Click(testid("composer-send"))
		p.WaitFor("#stream .thread-link")
		p.Click("#stream .thread-link")
		p.WaitText(testid("thread")+" "+testid("card-body"), "首次响应")
		p.Screenshot("phone-3-thread")
		p.Click(testid("thread-close"))
		p.WaitGone(testid("thread"))
		p.Click(testid("tools-menu"))
		p.WaitFor(testid("menu-item"))
		p.Screenshot("phone-4-tools")
		p.Press("Escape")
		p.WaitGone(testid("menu"))
		p.Click(testid("back"))
		p.Click(testid("person-lisi"))
		p.WaitText(testid("conv-g-desk"), "待接")
		p.Click(testid("conv-g-desk"))
		p.WaitText(testid("card-title"), "#1024")
		p.Screenshot("phone-5-card")
		p.Click(testid("action", `[data-verb="assign"]`))
		p.WaitFor(testid("form"))
		p.Screenshot("phone-6-form")
		p.Click(testid("form-cancel"))
		var wide bool
		p.Eval(`document.documentElement.scrollWidth > innerWidth || document.body.scrollWidth > innerWidth`, &wide)
		if wide {
			t.Error("the page is wider than the phone")
		}
		p.Click(testid("back"))
		p.Click(testid("nav-home"))
		p.WaitText(testid("home-card"), "工作台")
		p.Dark(true)
		p.Screenshot("phone-7-home-dark")
	})
}

func TestAConversationIsReadFromItsNewestMessage(t *testing.T) {
	withPage(t, 390, 844, func(t *testing.T, r *room, d *desk, p *browsertest.Page) {
		for n := range 40 {
			r.post("say", map[string]any{"as": "lisi", "conv": "g-desk", "text": fmt.Sprintf("第 %d 条", n)})
		}
		const atEnd = `(s => s.clientHeight > 0 && s.scrollHeight - s.scrollTop - s.clientHeight < 3)(document.querySelector('#scroll'))`
		shown := func(text string) string {
			return fmt.Sprintf(`[...document.querySelectorAll('#stream .text')].some(e => e.textContent === %q)`, text)
		}
		p.Click(testid("back"))
		p.Click(testid("person-lisi")) // draws the room while the list is shown
		p.WaitText(testid("conv-g-desk"), "第 39 条")
		p.Click(testid("conv-g-desk"))
		p.Wait("it opens at the newest", atEnd+` && `+shown("第 39 条"))
		p.Reload()
		p.Wait("it opens at the newest by its address, too", atEnd+` && `+shown("第 39 条"))
		var high int
		p.Eval(`document.querySelector('[data-testid="composer-input"]').clientHeight`, &high)
		if high < 30 {
			t.Errorf("the input is %d high", high)
		}
		r.post("say", map[string]any{"as": "wangwu", "conv": "g-desk", "text": "新的一条"})
		p.Wait("it stays at the newest", shown("新的一条")+` && `+atEnd)
		p.Size(390, 500)
		p.Wait("it stays there when a keyboard opens", `innerHeight === 500 && `+atEnd)
		p.Size(390, 844)
		p.Wait("the keyboard is gone", `innerHeight === 844 && `+atEnd)

		p.Eval(`document.querySelector('#scroll').scrollTo(0, 200)`, nil)
		p.Wait("who scrolled up is let be", `document.querySelector('#scroll').pinned === false`)
		r.post("say", map[string]any{"as": "wangwu", "conv": "g-desk", "text": "又一条"})
		p.Wait("the new one is there", shown("又一条"))
		var top int
		p.Eval(`document.querySelector('#scroll').scrollTop`, &top)
		if top != 200 {
			t.Errorf("the reader was moved to %d", top)
		}
	})
}

func TestTheGuideLeadsThroughTheFirstTicket(t *testing.T) {
	withPage(t, 1280, 860, func(t *testing.T, r *room, d *desk, p *browsertest.Page) {
		p.WaitFor(testid("welcome"))
		p.WaitGone(testid("guide"))
		p.Click(testid("welcome") + " .primary")
		p.Wait("the first words are filled in", `document.querySelector('[data-testid="composer-input"]').value.startsWith('@工单 建单')`)
		p.Click(testid("composer-send"))
		p.WaitText(testid("guide", `[data-step="2"]`), "换成李四")
		p.Click(testid("guide-do"))
		p.WaitText(testid("room-title"), "IT 服务台")
		p.WaitText(testid("guide", `[data-step="2"]`), "接单")
		p.WaitText(testid("card-title"), "#1024")
		p.Screenshot("guide-2")
		p.Reload()
		p.WaitFor(testid("guide", `[data-step="2"]`))
		p.Click(testid("guide-close"))
		p.WaitGone(testid("guide"))
		p.Reload()
		p.WaitText(testid("card-title"), "#1024")
		if n := p.Count(testid("guide")); n != 0 {
			t.Error("the guide came back after it was closed")
		}
	})
}

func TestNothingThatPeopleWriteBecomesMarkup(t *testing.T) {
	withPage(t, 1280, 800, func(t *testing.T, r *room, d *desk, p *browsertest.Page) {
		evil := `<img src=x onerror=alert(1)><script>alert(2)</script>"'><svg onload=alert(3)>`
		act := cards.Action{Act: cards.Act{Verb: tickets.Verb(evil)}, Label: evil, Confirm: evil, Token: "t"}
		link := cards.Action{Label: evil, URL: "javascript:alert(4)"}
		menu := cards.Action{Label: evil, Options: []cards.Option{{Label: evil, Value: evil}}, Token: "t"}
		c := cards.Card{Tone: cards.Tone(evil), Title: evil, Badges: []string{evil}, Facts: []cards.Fact{{Label: evil, Value: evil, Action: &act}}, Body: evil,
			Rows: []cards.Row{{Tone: cards.Tone(evil), Text: evil, Detail: evil, Actions: []cards.Action{act}}}, Actions: []cards.Action{act, link, menu}, More: []cards.Action{act, link, menu},
			Note: evil, Alt: evil, Ping: []string{evil}, Ticket: tickets.TicketID(evil)}
		if _, err := r.Post(t.Context(), bot.To(conv("g-east")), "", c); err != nil {
			t.Fatal(err)
		}
		if _, err := r.SendFile(t.Context(), bot.To(conv("g-east")), "", evil, 1, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		r.post("say", map[string]any{"as": "lisi", "conv": "g-east", "text": evil})
		p.WaitText(testid("text"), evil)
		p.WaitText(testid("card-title"), evil)
		p.Click(testid("more"))
		p.WaitText(testid("menu-item"), evil[:28]) // labels are cut
		p.Press("Escape")
		p.Click(testid("action", ":first-child"))
		p.WaitText(testid("confirm"), evil)
		p.Click(testid("confirm-cancel"))
		var n int
		p.Eval(`document.querySelectorAll('#app img:not(.logo), #app script, #app svg:not(.icon), [onerror], [onload], a[href^="javascript"]').length`, &n)
		if n != 0 {
			t.Errorf("%d elements were made of what people wrote", n)
		}
		p.Click(testid("nav-home"))
		p.WaitText(testid("home-card"), "工作台")
		if err := r.PublishHome(t.Context(), user("wangfang"), c); err != nil {
			t.Fatal(err)
		}
		p.WaitText(testid("home-card"), evil)
	})
}

func TestFilesAreSentFromThePage(t *testing.T) {
	withPage(t, 1280, 800, func(t *testing.T, r *room, d *desk, p *browsertest.Page) {
		// The smallest PNG there is: one grey point.
		png := "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\x00\x00\x00\nIDATx\x9cch\x00\x00\x00\x82\x00\x81w\xcdr\xb6\x00\x00\x00\x00IEND\xaeB`\x82"
		dir := t.TempDir()
		for name, data := range map[string]string{"图.png": png, "日志.txt": "E07 at line 3"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p.Upload(testid("file-input"), filepath.Join(dir, "图.png"), filepath.Join(dir, "日志.txt"))
		p.Wait("both are attached", `document.querySelectorAll('.chip-file').length === 2`)
		p.Type(testid("composer-input"), "看图")
		p.Press("Enter")
		p.WaitText(testid("file"), "日志.txt")
		p.Wait("the picture shows", `[...document.querySelectorAll('.picture img')].some((i) => i.complete && i.naturalWidth === 1)`)
	})
}

func TestThePageComesBackByItself(t *testing.T) {
	withPage(t, 1280, 800, func(t *testing.T, r *room, d *desk, p *browsertest.Page) {
		p.Offline(true)
		r.srv.CloseClientConnections()
		p.WaitFor(testid("offline"))
		if _, err := r.Post(t.Context(), bot.To(conv("g-east")), "", cards.Card{Title: "missed"}); err != nil {
			t.Fatal(err)
		}
		p.Type(testid("composer-input"), "说了没人听见")
		p.Press("Enter")
		p.WaitText(testid("toast"), "连不上 Paidan")
		p.Wait("the words are given back", `document.querySelector('[data-testid="composer-input"]').value === '说了没人听见'`)
		p.Offline(false)
		p.WaitGone(testid("offline"))
		p.WaitText(testid("card-title"), "missed")
		p.Faults() // requests failed, as they should
	})
}

func TestASlowBotIsToldOf(t *testing.T) {
	withPage(t, 1280, 800, func(t *testing.T, r *room, d *desk, p *browsertest.Page) {
		p.Type(testid("composer-input"), "@工单 慢")
		p.Press("Enter")
		p.WaitText(testid("toast"), "Paidan 正在处理")
		close(d.late)
		p.WaitText(testid("card-title"), "终于好了")
	})
}

func TestWhatIsWrittenCanBeChangedAndDeleted(t *testing.T) {
	withPage(t, 1280, 800, func(t *testing.T, r *room, d *desk, p *browsertest.Page) {
		p.Type(testid("composer-input"), "一")
		p.Press("Enter")
		p.WaitText(testid("text"), "一")
		p.Hover(testid("message"))
		p.Click(testid("tools-menu"))
		p.Click(testid("menu-item", `[data-label="编辑"]`))
		p.WaitFor(testid("edit-cancel"))
		p.Type(testid("composer-input"), "二")
		p.Press("Enter")
		p.WaitText(testid("text"), "二 (已编辑)")
		p.Hover(testid("message"))
		p.Click(testid("tools-menu"))
		p.Click(testid("menu-item", `[data-label="删除"]`))
		p.Click(testid("confirm-ok"))
		p.WaitFor(testid("welcome"))
	})
}

func TestEarlierMessagesAreFetched(t *testing.T) {
	withPage(t, 1280, 800, func(t *testing.T, r *room, d *desk, p *browsertest.Page) {
		for i := range 130 {
			if _, err := r.Post(t.Context(), bot.To(conv("g-east")), "", cards.Card{Title: fmt.Sprintf("card %03d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		p.WaitText(testid("card-title"), "card 129")
		p.Reload()
		p.WaitText(testid("card-title"), "card 129")
		for _, want := range []int{120, 130} {
			p.Eval(`document.querySelector('#scroll').scrollTop = 0`, nil)
			p.Click(testid("earlier"))
			p.Wait("more is there", fmt.Sprintf(`document.querySelectorAll('#stream [data-testid="card"]').length === %d`, want))
		}
		p.WaitGone(testid("earlier"))
		if first := p.Text("#stream > .msg:nth-child(2) h4"); first != "card 000" {
			t.Errorf("the first is %q", first)
		}
	})
}
