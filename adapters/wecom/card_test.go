package wecom

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// drawn is how the app shows a card for the first time: the JSON of a template
// card, or text.
func drawn(t testing.TB, c cards.Card) (card []byte, text string) {
	t.Helper()
	if !numbered(c) {
		if tc := asTemplate(c, appLimits); tc != nil {
			tc.TaskID = "pd-1"
			b, err := encode(tc)
			if err != nil {
				t.Fatal(err)
			}
			return b, ""
		}
	}
	return nil, asText(c)
}

// TestGoldens keeps how every card of the program looks. The tokens are named
// after what they do, so that the files can be read.
func TestGoldens(t *testing.T) {
	for _, s := range cards.Samples() {
		c := named(cards.Fit(s.Card, (&Adapter{}).Caps()))
		card, text := drawn(t, c)
		file, got := filepath.Join("testdata", "cards", s.Name+".txt"), text+"\n"
		other := filepath.Join("testdata", "cards", s.Name+".json")
		if card != nil {
			file, other = other, file
			var v any
			if err := json.Unmarshal(card, &v); err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			e.SetIndent("", "  ")
			if err := e.Encode(v); err != nil {
				t.Fatal(err)
			}
			got = b.String()
		}
		if *rewrite {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(other); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
		if _, err := os.Stat(other); err == nil {
			t.Errorf("%s is left over", other)
		}
	}
}

// named gives everything that can be pressed a token that says what it does.
func named(c cards.Card) cards.Card {
	token := func(a *cards.Action) {
		if a.URL == "" {
			a.Token = "AQ-" + strings.NewReplacer(":", "-", "/", "-").Replace(string(a.Act.Verb)+"-"+a.Act.Arg+fmt.Sprint("-", a.Act.Form))
		}
	}
	c.Actions, c.More, c.Rows, c.Facts = slices.Clone(c.Actions), slices.Clone(c.More), slices.Clone(c.Rows), slices.Clone(c.Facts)
	for i := range c.Actions {
		token(&c.Actions[i])
	}
	for i := range c.More {
		token(&c.More[i])
	}
	for i := range c.Facts {
		if c.Facts[i].Action != nil {
			a := *c.Facts[i].Action
			token(&a)
			c.Facts[i].Action = &a
		}
	}
	for i := range c.Rows {
		c.Rows[i].Actions = slices.Clone(c.Rows[i].Actions)
		for j := range c.Rows[i].Actions {
			token(&c.Rows[i].Actions[j])
		}
	}
	return c
}

// everyCard are the program's cards and such as nobody cut to size.
func everyCard(t testing.TB) map[string]cards.Card {
	out := fitted(t)
	for name, c := range adaptertest.Extremes() {
		out["extreme: "+name] = c
	}
	for i, s := range adaptertest.Attacks {
		c := hostile(s)
		out[fmt.Sprint("hostile ", i)] = c
		c.Rows = nil
		out[fmt.Sprint("hostile card ", i)] = c
	}
	return out
}

func hostile(s string) cards.Card {
	return cards.Card{
		Lang: cards.EN, Title: s, Badges: []string{s, s}, Body: s + "\n" + s, Note: s, Alt: s,
		Facts: []cards.Fact{{Label: s, Value: s}, {Label: "F", Value: s, Wide: true}, {Label: s, Value: s, Action: &cards.Action{Label: s, Token: "t"}}},
		Rows:  []cards.Row{{Text: s, Detail: s, Actions: []cards.Action{{Label: s, Token: "r"}}}}, Actions: []cards.Action{{Label: s, Token: "a", Confirm: s}, {Label: s, Token: "m", Options: []cards.Option{{Label: s, Value: "v"}}}},
		More: []cards.Action{{Label: s, Token: "o"}}, Ping: []string{s},
	}
}

// TestCardsKeepEveryLimit draws every card in each of the ways in which one is
// drawn, for both surfaces.
func TestCardsKeepEveryLimit(t *testing.T) {
	check := func(name, surface string, tc *templateCard) {
		t.Helper()
		tc.TaskID = "pd-1"
		b, err := encode(tc)
		if err != nil {
			t.Fatal(err)
		}
		for _, why := range wecomtest.CheckCard(surface, b) {
			t.Errorf("%s on %s is refused: %s\n%s", name, surface, why, b)
		}
		for _, what := range wecomtest.CutCard(surface, b) {
			t.Errorf("%s on %s is cut: %s", name, surface, what)
		}
		if strings.Contains(string(b), `\u`) || !utf8.Valid(b) {
			t.Errorf("%s has escapes or is no UTF-8: %s", name, b)
		}
	}
	for name, c := range everyCard(t) {
		for surface, l := range map[string]limits{wecomtest.OnApp: appLimits, wecomtest.OnRobot: robotLimits} {
			if tc := asTemplate(c, l); tc != nil {
				check(name, surface, tc)
			}
			check(name+", dead", surface, asDead(c, l))
		}
		if text := asText(c); text == "" || len(text) > maxBytes || !utf8.ValidString(text) {
			t.Errorf("%s as text has %d bytes", name, len(text))
		}
	}
}

func TestHostileTextStaysText(t *testing.T) {
	for i, s := range adaptertest.Attacks {
		for _, c := range []cards.Card{hostile(s), {Title: s, Body: s, Note: s, Badges: []string{s}, Facts: []cards.Fact{{Label: s, Value: s}}, Rows: []cards.Row{{Text: s, Detail: s}}}} {
			text := asText(c)
			for _, l := range wecomtest.Live("text", text) {
				if !strings.HasPrefix(l, "link https://evil.example") || anchor.MatchString(text) {
					t.Errorf("%d: %q is alive in %q", i, l, text)
				}
			}
		}
		// In a passive answer the same text stands in XML.
		var answer struct {
			MainTitle struct{ Title string }
		}
		tc := redrawn(hostile(s + "]]>"))
		if err := xml.Unmarshal([]byte(tc.xml()), &answer); err != nil || answer.MainTitle.Title != tc.MainTitle.Title {
			t.Errorf("%d: the title %q became %q, %v", i, tc.MainTitle.Title, answer.MainTitle.Title, err)
		}
	}
	for _, s := range []string{`<a href="https://evil.example">bank</a>`, `<A HREF=x>`, "< a href=x>", "<\na href=x>", "<\ta href=x>", "</a>", "<!-- -->", "<?x", "x<"} {
		if got := plain(s); strings.ContainsRune(got, '<') {
			t.Errorf("%q became %q", s, got)
		}
	}
	for _, s := range []string{"a<5", "<3", "<-", "1 <= 2", "x<<=1"} {
		if got := plain(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func TestCutKeepsWhatBelongsTogether(t *testing.T) {
	family, flag := "👨‍👩‍👧‍👦", "🇨🇳"
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"工单派单", 4, "工单派单"}, {"工单派单派", 4, "工单派…"}, {"a" + family + "b", 4, "a…"}, {"ab" + family, 9, "ab" + family},
		{flag + flag + flag, 4, flag + "…"}, {"e\u0301e\u0301e\u0301", 4, "e\u0301…"}, {"👍🏽👍🏽👍🏽", 4, "👍🏽…"}, {"a b c", 3, "a…"}, {"xyz", 1, "…"},
	} {
		if got := cut(c.in, c.limit); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
	for n := 3; n < 60; n++ {
		s := strings.Repeat("工"+family+flag, 4)
		if got := cutBytes(s, n); len(got) > n || !utf8.ValidString(got) {
			t.Errorf("cutBytes to %d has %d: %q", n, len(got), got)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add("工单👨‍👩‍👧‍👦🇨🇳e\u0301", uint8(5))
	f.Fuzz(func(t *testing.T, s string, limit uint8) {
		n := int(limit) + 3
		s = clean(s)
		if got := cut(s, n); utf8.RuneCountInString(got) > n || !utf8.ValidString(got) {
			t.Errorf("cut(%q, %d) = %q", s, n, got)
		}
		if got := cutBytes(s, n); len(got) > n || !utf8.ValidString(got) {
			t.Errorf("cutBytes(%q, %d) = %q", s, n, got)
		}
		if strings.Contains(plain(s), "<a") {
			t.Errorf("plain(%q) = %q", s, plain(s))
		}
	})
}

// TestEveryPressComesBack presses what is drawn for a ticket, a menu and several
// menus, and wants the token and the choice that were put in.
func TestEveryPressComesBack(t *testing.T) {
	options := []cards.Option{{Label: "李四", Value: "p1"}, {Label: "王五", Value: "p2"}}
	act := func(label, token string) cards.Action { return cards.Action{Label: label, Token: token} }
	for _, c := range []struct {
		name          string
		card          cards.Card
		choose, press string // choose: an option first
		token, value  string
	}{
		{"button", cards.Card{Title: "t", Actions: []cards.Action{act("接单", "AQ-1")}}, "", "接单", "AQ-1", ""},
		{"menu", cards.Card{Title: "t", Actions: []cards.Action{{Label: "转派", Token: "AQ-m", Options: options}}}, "王五", "转派", "AQ-m", "p2"},
		{"menu, nothing chosen", cards.Card{Title: "t", Actions: []cards.Action{{Label: "转派", Token: "AQ-m", Options: options}}}, "", "转派", "AQ-m", "p1"},
		{"menu beside a button", cards.Card{Title: "t", Actions: []cards.Action{act("接单", "AQ-1"), {Label: "转派", Token: "AQ-m", Options: options}}}, "王五", "接单", "AQ-1", ""},
		{"second menu", cards.Card{Title: "t", Actions: []cards.Action{act("接单", "AQ-1"), {Label: "转派", Token: "AQ-m", Options: options}, {Label: "级", Token: "AQ-n", Options: options}}}, "", "级 王五", "AQ-n", "p2"},
		{"few more", cards.Card{Title: "t", Actions: []cards.Action{act("接单", "AQ-1")}, More: []cards.Action{act("升级", "AQ-2"), act("备注", "AQ-3")}}, "", "备注", "AQ-3", ""},
		{"many more", cards.Card{Title: "t", Actions: []cards.Action{act("接单", "AQ-1")}, More: []cards.Action{act("a", "AQ-a"), act("b", "AQ-b"), act("c", "AQ-c"), act("d", "AQ-d")}}, "d", "执行", "AQ-d", ""},
		{"only more", cards.Card{Title: "t", More: []cards.Action{act("a", "AQ-a"), act("b", "AQ-b"), act("c", "AQ-c"), act("d", "AQ-d")}}, "", "c", "AQ-c", ""},
		{"beside a fact", cards.Card{Title: "t", Actions: []cards.Action{act("接单", "AQ-1")}, Facts: []cards.Fact{{Label: "电话", Value: "138", Action: &cards.Action{Label: "查看", Token: "AQ-r"}}}}, "", "电话 查看", "AQ-r", ""},
		{"several menus", cards.Card{Title: "t", Actions: []cards.Action{{Label: "甲", Token: "AQ-a", Options: options}, {Label: "乙", Token: "AQ-b", Options: options}}}, "王五", "提交", "", "p2"},
	} {
		r := newRig(t, wecomtest.Options{}, nil)
		ref, err := r.Post(t.Context(), r.to(), "1", c.card)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.choose != "" {
			if err := r.wc.Choose(r.user, lastOf(ref), "", c.choose); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if a := r.wc.Press(r.user, lastOf(ref), c.press); !a.OK() {
			t.Errorf("%s: %+v", c.name, a)
			continue
		}
		in := r.take(t)
		if len(in.Events) != 1 || c.token != "" && in.Events[0].Token != c.token || in.Events[0].Value != c.value || in.Events[0].Message != ref {
			t.Errorf("%s: %+v", c.name, in.Events)
		}
	}
}

func TestNumbersSaysWhatBecomesText(t *testing.T) {
	a := &Adapter{}
	press := []cards.Action{{Label: "接单", Token: "AQ-1"}}
	for _, c := range []struct {
		name string
		card cards.Card
		want bool
	}{
		{"a ticket", cards.Card{Title: "t", Facts: []cards.Fact{{Label: "l", Value: "v"}}, Body: strings.Repeat("长", 500), Actions: press}, false},
		{"a list", cards.Card{Title: "t", Rows: []cards.Row{{Text: "#1", Actions: press}}}, true},
		{"a list with buttons below", cards.Card{Title: "t", Rows: []cards.Row{{Text: "#1"}}, Actions: press}, true},
		{"a list to read", cards.Card{Title: "t", Rows: []cards.Row{{Text: "#1"}}}, false},
		{"a hint", cards.Card{Body: "没有 #1042", Actions: press}, false},
		{"a long help", cards.Card{Body: strings.Repeat("长", 161), Actions: press}, true},
		{"a text", cards.Card{Body: strings.Repeat("长", 161)}, false},
		{"a link", cards.Card{Body: strings.Repeat("长", 161), Actions: []cards.Action{{Label: "l", URL: "https://e.com"}}}, false},
	} {
		if got := a.Numbers(c.card); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		if c.want {
			_, acts := cards.Numbered(c.card)
			if text := asText(c.card); len(acts) == 0 || !strings.Contains(text, "1 ") || strings.HasPrefix(text, "[") {
				t.Errorf("%s: %q", c.name, text)
			}
		}
	}
	for name, c := range fitted(t) {
		_, acts := cards.Numbered(c)
		if a.Numbers(c) && len(acts) == 0 {
			t.Errorf("%s is numbered without a number", name)
		}
	}
}

// TestLongListsKeepTheirRows: a text message has 2048 bytes, and a list of long
// titles is longer. The numbers stand for the same as before.
func TestLongListsKeepTheirRows(t *testing.T) {
	c := cards.Card{Lang: cards.ZH, Title: "待接工单 · 60"}
	for i := range 60 {
		open, take := cards.Act{Verb: tickets.VerbShow}, cards.Act{Verb: tickets.VerbClaim}
		c.Rows = append(c.Rows, cards.Row{Tone: cards.Alarm, Text: fmt.Sprint("#", 1000+i, " ", strings.Repeat("很长的标题", 16)), Detail: "P1 · 待接 · 李四 · 超时 2 时 05 分", Actions: []cards.Action{{Label: "接单", Act: take}, {Label: "查看", Act: open}}})
	}
	c = cards.Fit(c, (&Adapter{}).Caps())
	whole, acts := cards.Numbered(c)
	text := asText(c)
	for i := range c.Rows {
		if row, _, _ := strings.Cut(c.Rows[i].Text, " "); !strings.Contains(text, "- 🔴 "+row) && c.Rows[i].Left == 0 {
			t.Errorf("%s is not in %s", row, text)
		}
	}
	last := fmt.Sprint(len(acts), " #")
	if len(whole) <= maxBytes || len(text) > maxBytes || !strings.Contains(text, last) || !strings.Contains(text, "还有") {
		t.Errorf("%d bytes of %d: %s", len(text), len(whole), text)
	}
	for name, c := range fitted(t) {
		if whole, _ := cards.Numbered(c); numbered(c) && len(whole) > maxBytes {
			t.Errorf("%s has %d bytes", name, len(whole))
		}
	}
}

func BenchmarkDrawCard(b *testing.B) {
	c := fitted(b)["ticket-active.zh"]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(asTemplate(c, appLimits)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnswerPress(b *testing.B) {
	c := fitted(b)["ticket-active.zh"]
	b.ReportAllocs()
	for b.Loop() {
		if redrawn(c).xml() == "" {
			b.Fatal("nothing")
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	a, err := New(appConfig(""), bot.Deps{Shelf: newShelf(nil)})
	if err != nil {
		b.Fatal(err)
	}
	s := received(b)[5]
	b.ReportAllocs()
	for b.Loop() {
		plain, err := a.Verify(s.Raw, s.At)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := a.Decode(s.Raw, plain); err != nil {
			b.Fatal(err)
		}
	}
}
