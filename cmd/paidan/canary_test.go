//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/dingtalk/dingtalktest"
	"github.com/paidan/paidan/adapters/feishu/feishutest"
	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// platformsOfFour are the platforms of the stage "four", by the letters that its
// conversations begin with.
var platformsOfFour = []struct{ name, prefix string }{{"slack", "s-"}, {"feishu", "f-"}, {"dingtalk", "d-"}, {"wecom", "w-"}}

// fourConf is one desk over four platforms. Whose accounts are one person's
// stands in people.
const fourConf = `playground: off
desks:
  - key: it
    name: IT 服务台
    intake: [slack/default/g-east, feishu/default/g-east, dingtalk/default/g-east, wecom/default/g-east]
    triage: [slack/default/g-desk, feishu/default/g-desk, dingtalk/default/g-desk, wecom/default/g-desk]
    agents: [slack/default/lisi, slack/default/wangwu]
    leads: [slack/default/zhaomin]
    teams: [二线-网络, 二线-应用]
    types:
      - {key: refund, name: 售后/退款, fields: [{key: phone, label: 联系电话, kind: phone}]}
people:
  - {name: 王芳, accounts: [slack/default/wangfang, feishu/default/wangfang, dingtalk/default/wangfang, wecom/default/wangfang]}
  - {name: 李四, accounts: [slack/default/lisi, feishu/default/lisi, dingtalk/default/lisi, wecom/default/lisi]}
  - {name: 王五, accounts: [slack/default/wangwu, feishu/default/wangwu, dingtalk/default/wangwu, wecom/default/wangwu]}
  - {name: 赵敏, accounts: [slack/default/zhaomin, feishu/default/zhaomin, dingtalk/default/zhaomin, wecom/default/zhaomin]}
`

// TestPrivateNotesNeverReachCustomers has a customer ask on each platform and an
// agent work on each, and puts another word into everything that is the team's
// alone. No emulator ever shows one of them where the customer reads: in his
// group, in his private chats, in their files. The team reads every one of them,
// and the customer every word of a reply: so whoever looks there would find them.
func TestPrivateNotesNeverReachCustomers(t *testing.T) {
	for i, asks := range platformsOfFour {
		for j, works := range platformsOfFour {
			t.Run(asks.name+"-"+works.name, func(t *testing.T) {
				t.Run("sqlite", func(t *testing.T) { notesStayInside(t, ticketstest.SQLite(t), asks.prefix, works.prefix) })
				if j == (i+1)%len(platformsOfFour) {
					t.Run("postgres", func(t *testing.T) {
						notesStayInside(t, address(ticketstest.Postgres(t)), asks.prefix, works.prefix)
					})
				}
			})
		}
	}
}

func notesStayInside(t *testing.T, url, asks, works string) {
	s := newStage(t, "four", url, []txtar.File{{Name: "paidan.yaml", Data: []byte(fourConf)}})
	s.start()
	defer s.stop()
	w := &watch{stage: s, t: t, seen: map[string]map[string]bool{"customer": {}, "team": {}}}

	// Words of the team's alone, by what they were said in.
	secret := map[string]string{}
	word := func(what string) string {
		w := fmt.Sprintf("kanarie%02d%s", len(secret), strings.ToLower(strings.ReplaceAll(what, " ", "")))
		secret[what] = w
		return w
	}
	s.files["shot.png"] = []byte("\x89PNG\r\n\x1a\n" + word("file"))
	secret["masked field"] = "13800007391"
	desk := "李四 " + works + "desk #1: "

	w.act("say 王芳 " + asks + "east: @工单 建单 打印机坏了")
	w.act("say 李四 " + works + "desk #1: @工单 接单")
	w.act("say " + desk + "@工单 备注 " + word("note"))
	w.act("send 李四 " + works + "desk #1 shot.png @工单 备注 " + word("note with a file"))
	w.act("say " + desk + "@工单 标签 +" + word("tag"))
	w.act("say " + desk + "@工单 类型 售后/退款")
	w.act("say " + desk + "@工单 字段 联系电话=" + secret["masked field"])
	w.act("say " + desk + "@工单 查看电话 " + word("why it was revealed"))
	w.act("say 李四 " + works + "dm: 时间线 #1")
	w.act("say " + desk + "@工单 协办 @王五 " + word("question to a colleague") + " 1h")
	w.act("say 王五 " + works + "dm: 回答 #1 " + word("answer of a colleague"))
	w.act("say " + desk + "@工单 挂起 2h " + word("reason of a hold"))
	w.act("say 王芳 " + asks + "dm: 查 #1")
	w.act("say 李四 " + works + "dm: 继续 #1")
	if works == "s-" { // elsewhere nobody tells what was edited
		w.act("say 李四 " + works + "desk #1: " + word("words in the thread"))
		w.act("edit 李四 " + works + `desk "` + secret["words in the thread"] + `": ` + word("edited words"))
	}
	w.act("say " + desk + "@工单 优先级 P1 " + word("reason of a priority"))
	w.act("say 李四 " + works + "dm: 时间线 #1")
	w.act("say " + desk + "@工单 转派 @王五 " + word("reason of a transfer"))
	w.act("say 王五 " + works + "desk #1: @工单 升级 二线-网络 " + word("reason of an escalation"))
	w.act("say " + desk + "@工单 接单")
	w.act("say " + desk + "@工单 退回 " + word("reason of a release"))
	w.act("say " + desk + "@工单 接单")
	w.act("say 李四 " + works + "dm: 时间线 #1")
	open := []string{"offenesWort", "offeneLoesung"}
	w.act("say " + desk + "@工单 回复 " + open[0])
	w.act("advance 8s")
	w.act("say 王芳 " + asks + "dm: 催单 #1")
	w.act("say " + desk + "@工单 解决 " + open[1])
	w.act("say 王芳 " + asks + "dm: 查 #1")
	w.act("say 王芳 " + asks + "dm: 时间线 #1")
	w.act("say 王芳 " + asks + "dm: 搜 " + secret["note"])
	for _, p := range platformsOfFour { // her other accounts are hers as well
		w.act("say 王芳 " + p.prefix + "dm: 我的")
	}
	w.act("say 王芳 " + asks + "dm: 确认 #1")

	for _, o := range open {
		if !w.found("customer", o) {
			t.Errorf("the customer was not shown %q: a word that leaked would not be found either", o)
		}
	}
	for what, word := range secret {
		if !w.found("team", word) && what != "reason of a priority" { // which nobody is shown
			t.Errorf("the team was not shown the %s %q: it proves nothing that customers were not", what, word)
		}
		if place := w.where["customer"+word]; place != "" {
			t.Errorf("the %s %q was shown in %s", what, word, place)
		}
		if w.found("customer", word) && w.where["customer"+word] == "" {
			t.Errorf("the %s %q was shown to the customer", what, word)
		}
	}
}

// watch looks at everything that the emulators show after each act.
type watch struct {
	stage *stage
	t     *testing.T
	seen  map[string]map[string]bool // "customer" or "team" → what was shown, place and all
	where map[string]string          // "customer" + word → place
}

func (w *watch) act(line string) {
	w.t.Helper()
	w.stage.must(line)
	for _, c := range w.stage.chats {
		for _, r := range raw(c) {
			switch {
			case r.person == "王芳":
				if strings.Contains(line, "王芳") && strings.Contains(line, "搜") {
					r.text = strings.ReplaceAll(r.text, line[strings.LastIndex(line, " ")+1:], "") // what she searched for she knows
				}
				w.seen["customer"][r.place+"\x00"+r.text] = true
			case r.alias == "east", r.alias == "new":
				w.seen["customer"][r.place+"\x00"+r.text] = true
			default:
				w.seen["team"][r.place+"\x00"+r.text] = true
			}
		}
	}
}

// must does one step.
func (s *stage) must(line string) {
	s.t.Helper()
	verb, rest, _ := strings.Cut(line, " ")
	if _, err := s.do(verb, rest); err != nil {
		s.t.Fatalf("> %s\n! %v", line, err)
	}
	s.settle()
}

func (w *watch) found(who, word string) bool {
	if w.where == nil {
		w.where = map[string]string{}
	}
	for at := range w.seen[who] {
		if place, text, _ := strings.Cut(at, "\x00"); strings.Contains(text, word) {
			w.where[who+word] = place
			return true
		}
	}
	return false
}

// rawShown is something that an emulator shows, in the platform's own form:
// with what no client draws, too.
type rawShown struct {
	place  string // "slack east", for people
	alias  string // of a group
	person string // whose private chat, note, page or notice it is
	text   string
	alive  []string // what it would mention, link or load
}

// raw is everything that an emulator shows now, but for what people wrote.
func raw(c chat) []rawShown {
	switch c := c.(type) {
	case *slackChat:
		return c.raw()
	case *feishuChat:
		return c.raw()
	case *dingtalkChat:
		return c.raw()
	case *wecomChat:
		return c.raw()
	}
	return nil
}

// places calls f with every group and every private chat.
func places(convs map[string]string, private func(id string) []string, f func(alias, person, conv string)) {
	for _, alias := range slices.Sorted(maps.Keys(convs)) {
		f(alias, "", convs[alias])
	}
	for _, p := range cast {
		for _, conv := range private(p.id) {
			f("", p.name, conv)
		}
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b))
}

func (c *slackChat) raw() []rawShown {
	var out []rawShown
	put := func(alias, person, text string) {
		out = append(out, rawShown{place: "slack " + alias + person, alias: alias, person: person, text: text, alive: slackLive([]byte(text), c.users["chenzong"])})
	}
	places(c.convs, func(id string) []string { return []string{c.srv.DM(c.users[id])} }, func(alias, person, conv string) {
		for _, m := range c.srv.Messages(conv) {
			if m.User == "" {
				put(alias, person, asJSON(m))
			}
		}
		for _, f := range c.srv.Files(conv) {
			if f.Owner == "" || !slices.Contains(slices.Collect(maps.Values(c.users)), f.Owner) {
				put(alias, person, f.Name+" "+string(f.Content))
			}
		}
	})
	for _, p := range cast {
		for _, m := range c.srv.Notes(c.users[p.id]) {
			put("", p.name, asJSON(m))
		}
		for _, v := range c.srv.Views(c.users[p.id]) {
			put("", p.name, asJSON(v))
		}
		if v, ok := c.srv.Home(c.users[p.id]); ok {
			put("", p.name, asJSON(v))
		}
	}
	return out
}

// slackLive finds what Slack makes of a message or a view: marks in what is no
// plain text, and elements that mention, link or load.
func slackLive(doc []byte, user string) []string {
	var v any
	if json.Unmarshal(doc, &v) != nil {
		return nil
	}
	var out []string
	marks := func(text string) {
		for _, m := range []string{"<!", "<#", "<@" + user, "<mailto:", "<evil.example"} {
			if strings.Contains(text, m) {
				out = append(out, m+" in "+text)
			}
		}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			switch kind, _ := v["type"].(string); kind {
			case "mrkdwn":
				marks(fmt.Sprint(v["text"]))
			case "broadcast", "link", "image", "usergroup", "channel":
				out = append(out, kind)
			case "user":
				if v["user_id"] == user {
					out = append(out, kind)
				}
			}
			if text, ok := v["Text"].(string); ok { // of the message itself
				marks(text)
			}
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(v)
	return out
}

func (c *feishuChat) raw() []rawShown {
	var out []rawShown
	put := func(alias, person, text string, pinged feishutest.Pinged) {
		r := rawShown{place: "feishu " + alias + person, alias: alias, person: person, text: text}
		if pinged.All {
			r.alive = append(r.alive, "mention all")
		}
		if slices.Contains(pinged.Users, c.users["chenzong"]) {
			r.alive = append(r.alive, "mention")
		}
		r.alive = append(r.alive, pinged.Links...)
		out = append(out, r)
	}
	message := func(alias, person string, m feishutest.Message) {
		put(alias, person, asJSON(m)+m.Content, feishutest.Pings(m.Type, m.Content))
	}
	places(c.convs, func(id string) []string { return []string{c.srv.DM(c.users[id])} }, func(alias, person, conv string) {
		own := map[string]bool{}
		for _, m := range c.srv.Messages(conv) {
			if m.Sender == "" {
				own[m.ID] = true
				message(alias, person, m)
			}
		}
		for _, f := range c.srv.Files(conv) {
			if own[f.Message] {
				put(alias, person, f.Name+" "+string(f.Content), feishutest.Pinged{})
			}
		}
	})
	for _, p := range cast {
		for _, m := range c.srv.Notes(c.users[p.id]) {
			message("", p.name, m)
		}
		for _, n := range c.srv.Toasts(c.users[p.id]) {
			put("", p.name, n.Text, feishutest.Pinged{})
		}
	}
	return out
}

func (c *dingtalkChat) raw() []rawShown {
	var out []rawShown
	put := func(alias, person, text string, lives ...dingtalktest.Live) {
		r := rawShown{place: "dingtalk " + alias + person, alias: alias, person: person, text: text}
		for _, l := range lives {
			if l.All {
				r.alive = append(r.alive, "mention all")
			}
			if slices.Contains(l.At, c.users["chenzong"]) {
				r.alive = append(r.alive, "mention")
			}
			for _, link := range append(l.Links, l.Images...) {
				if strings.Contains(link, "evil.example") {
					r.alive = append(r.alive, link)
				}
			}
		}
		out = append(out, r)
	}
	places(c.convs, func(id string) []string { return []string{c.srv.Private(c.users[id])} }, func(alias, person, conv string) {
		own := map[string]bool{}
		for _, m := range c.srv.Messages(conv) {
			if m.User != "" {
				continue
			}
			for _, f := range m.Files {
				own[f] = true
			}
			text, lives := asJSON(m)+m.Text, []dingtalktest.Live{m.Live()}
			if m.Card != "" {
				shown, _, _ := c.srv.Card(m.Card)
				text += asJSON(shown)
				lives = append(lives, c.srv.CardLive(m.Card))
			}
			if len(m.Only) > 0 {
				for _, user := range m.Only {
					put("", nameOf(c.idOf(user)), text, lives...)
				}
				continue
			}
			put(alias, person, text, lives...)
		}
		for _, f := range c.srv.Files(conv) {
			if own[f.ID] {
				put(alias, person, f.Name+" "+string(f.Content))
			}
		}
	})
	for _, d := range c.srv.Dings() {
		for _, user := range d.To {
			put("", nameOf(c.idOf(user)), d.Content)
		}
	}
	return out
}

func (c *wecomChat) raw() []rawShown {
	var out []rawShown
	put := func(alias, person, text string, alive ...string) {
		out = append(out, rawShown{place: "wecom " + alias + person, alias: alias, person: person, text: text, alive: alive})
	}
	private := func(id string) []string {
		return []string{wecomtest.AppChat(c.users[id]), wecomtest.RobotChat(c.users[id])}
	}
	places(c.convs, private, func(alias, person, conv string) {
		own := map[string]bool{}
		for _, m := range c.srv.Messages(conv) {
			if m.From != "" {
				continue
			}
			own[m.File] = true
			var alive []string
			for _, l := range wecomtest.Live(m.Type, m.Text) {
				if l == "mention @all" || l == "mention "+c.users["chenzong"] || strings.Contains(l, "evil.example") {
					alive = append(alive, l)
				}
			}
			text := asJSON(m) + m.Text
			for _, user := range c.users {
				text += string(m.CardFor(user))
			}
			put(alias, person, text, alive...)
		}
		for _, f := range c.srv.Files(conv) {
			if own[f.ID] {
				put(alias, person, f.Name+" "+string(f.Content))
			}
		}
	})
	return out
}

// TestAttacksAreInertEverywhere: what customers and agents write is words on
// every platform: it mentions nobody, links nowhere and breaks no card, which
// the emulators refuse. An address that somebody wrote in full is one wherever it
// is read, so the addresses here are such as only marks make into links.
func TestAttacksAreInertEverywhere(t *testing.T) {
	for i, asks := range platformsOfFour {
		works := platformsOfFour[(i+1)%len(platformsOfFour)]
		t.Run(asks.name, func(t *testing.T) {
			s := newStage(t, "four", ticketstest.SQLite(t), []txtar.File{{Name: "paidan.yaml", Data: []byte(fourConf)}})
			var attacks []string
			for j, a := range adaptertest.Attacks {
				if j%len(platformsOfFour) == i {
					attacks = append(attacks, strings.ReplaceAll(a, "https://evil.example", "evil.example/x"))
				}
			}
			attacks = append(attacks, s.mentions()...)
			s.start()
			defer s.stop()
			for j, a := range attacks {
				a, n := strings.ReplaceAll(a, "\n", `\n`), fmt.Sprintf("#%d", j+1)
				s.must("say 王芳 " + asks.prefix + "east: @工单 建单 跑 " + a)
				s.must("say 李四 " + works.prefix + "dm: 接单 " + n)
				s.must("say 李四 " + works.prefix + "dm: 备注 " + n + " 跑 " + a)
				s.must("say 李四 " + works.prefix + "dm: 回复 " + n + " 跑 " + a)
				s.must("advance 8s")
				s.must("say 李四 " + works.prefix + "dm: 解决 " + n + " 跑 " + a)
			}
			if got := s.sql("SELECT count(*) || ' ' || min(status) FROM tickets"); got != fmt.Sprintf("%d solved", len(attacks)) {
				t.Errorf("%s tickets; want %d, all solved", got, len(attacks))
			}
			said := 0
			for _, c := range s.chats {
				for _, r := range raw(c) {
					said += strings.Count(r.text, "跑")
					if len(r.alive) > 0 {
						t.Errorf("in %s is alive: %q\n%s", r.place, r.alive, r.text)
					}
				}
			}
			if said < 4*len(attacks) {
				t.Errorf("the words were shown %d times: nothing is proved", said)
			}
			for line := range strings.Lines(s.log.String()) {
				if strings.Contains(line, "level=ERROR") && !strings.Contains(line, "leadership.Elector") {
					t.Errorf("logged: %s", line)
				}
			}
		})
	}
}

// mentions are words that would mention somebody on each platform: whom nothing
// ever mentions here.
func (s *stage) mentions() []string {
	var out []string
	for _, c := range s.chats {
		switch c := c.(type) {
		case *slackChat:
			out = append(out, "<@"+c.users["chenzong"]+">")
		case *feishuChat:
			out = append(out, `<at id=`+c.users["chenzong"]+`></at>`)
		case *dingtalkChat:
			out = append(out, `<a atId="`+c.users["chenzong"]+`">x</a> @`+c.users["chenzong"])
		case *wecomChat:
			out = append(out, "<@"+c.users["chenzong"]+">")
		}
	}
	return out
}

var triageForm = regexp.MustCompile(`triage: .*`)

// TestPeopleAreOneAcrossPlatforms: an agent by his Slack account is one on every
// platform where he is known to be the same: by his mail address, by his phone, by
// the configuration, or because he said a code from one account to another. What
// he was tied by is what he loses when it is undone.
func TestPeopleAreOneAcrossPlatforms(t *testing.T) {
	ticketstest.EachURL(t, func(t *testing.T, dsn string) {
		conf := strings.ReplaceAll(fourConf[:strings.Index(fourConf, "people:")], "slack/default/wangwu]", "feishu/default/wangwu]") +
			"people:\n  - {name: 赵敏, accounts: [slack/default/zhaomin, wecom/default/zhaomin]}\n"
		// Who is in a team's group works there; here only those named do.
		conf = triageForm.ReplaceAllString(conf, "triage: [wecom/default/g-new]")
		// What an administrator may allow beyond what is asked for.
		usual := feishutest.Scopes
		feishutest.Scopes = append(slices.Clone(usual), "contact:user.phone:readonly")
		t.Cleanup(func() { feishutest.Scopes = usual })
		s := newStage(t, "four", address(dsn), []txtar.File{{Name: "paidan.yaml", Data: []byte(conf)}})
		for _, c := range s.chats {
			switch c := c.(type) {
			case *slackChat:
				c.srv.AddUser(slacktest.User{ID: c.users["lisi"], Name: "李四", Email: "lisi@corp.example", Locale: "zh-CN", Zone: "Asia/Shanghai"})
			case *feishuChat:
				c.srv.ChangeUser(c.users["lisi"], func(u *feishutest.User) { u.Email = "LiSi@corp.example" })
				c.srv.ChangeUser(c.users["wangwu"], func(u *feishutest.User) { u.Mobile = "+8613800001111" })
			case *dingtalkChat:
				c.srv.ChangeUser(c.users["wangwu"], func(u *dingtalktest.User) { u.Mobile = "13800001111" })
			}
		}
		s.start()
		defer s.stop()
		n := 0
		// takes reports whether somebody may take a ticket with an account.
		takes := func(who, prefix string) bool {
			t.Helper()
			n++
			s.must(fmt.Sprintf("say 王芳 s-east: @工单 建单 第 %d 台打印机坏了", n))
			s.must(fmt.Sprintf("say %s %sdm: 接单 #%d", who, prefix, n))
			owner := s.sql(fmt.Sprintf("SELECT p.name FROM tickets t JOIN people p ON p.id = t.owner WHERE t.number = %d", n))
			if owner != "" && owner != who {
				t.Errorf("#%d is %s's", n, owner)
			}
			return owner == who
		}
		for _, c := range []struct {
			why, who string
			// uses are his accounts: the first makes known what its platform tells of him.
			uses []string
			may  map[string]bool
		}{
			{"by his mail address", "李四", []string{"s-", "f-", "d-", "w-"}, map[string]bool{"s-": true, "f-": true}},
			{"by his phone", "王五", []string{"f-", "d-", "s-", "w-"}, map[string]bool{"f-": true, "d-": true}},
			{"by the configuration", "赵敏", []string{"w-", "s-", "f-", "d-"}, map[string]bool{"s-": true, "w-": true}},
		} {
			for _, p := range c.uses {
				if got := takes(c.who, p); got != c.may[p] {
					t.Errorf("%s: %s may take a ticket from %s: %v, want %v", c.why, c.who, p, got, c.may[p])
				}
			}
		}

		// By a code, between any two platforms; and what was refused is done then.
		code := func(prefix string) string {
			t.Helper()
			all := ""
			for _, line := range strings.Split(s.look(), "\n") {
				if m := codeForm.FindString(line); m != "" {
					_, all, _ = strings.Cut(m, " ")
				}
			}
			if all == "" {
				t.Fatalf("no code was shown on %s", prefix)
			}
			return all
		}
		for _, tie := range []struct{ from, to string }{{"d-", "s-"}, {"w-", "f-"}} {
			s.look()
			if takes("李四", tie.from) {
				t.Fatalf("on %s he is known already", tie.from)
			}
			s.must("say 李四 " + tie.to + "dm: 绑定 " + code(tie.from))
			if owner := s.sql(fmt.Sprintf("SELECT p.name FROM tickets t JOIN people p ON p.id = t.owner WHERE t.number = %d", n)); owner != "李四" {
				t.Errorf("what he asked for on %s is not done once he is known: #%d is %q's", tie.from, n, owner)
			}
			if !takes("李四", tie.from) {
				t.Errorf("tied from %s, he may still take nothing there", tie.from)
			}
		}
		if got := s.sql("SELECT count(DISTINCT a.person) FROM accounts a JOIN people p ON p.id = a.person WHERE p.name = '李四' AND p.merged = ''"); got != "1" {
			t.Errorf("his accounts belong to %s people", got)
		}

		// Undone, the account that was tied last is somebody else again.
		s.must("say 李四 f-dm: 解绑")
		if takes("李四", "w-") || !takes("李四", "f-") || !takes("李四", "s-") || !takes("李四", "d-") {
			t.Error("解绑 takes the wrong rights away")
		}
		// A code that was used is worth nothing to a third.
		s.look()
		if takes("王芳", "w-") {
			t.Error("a customer takes tickets")
		}
		s.must("say 王芳 f-dm: 绑定 000000")
		if takes("王芳", "f-") || takes("王芳", "w-") {
			t.Error("a wrong code gives rights")
		}
	})
}
