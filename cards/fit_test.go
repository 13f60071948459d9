package cards_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/cards/cardstest"
	"github.com/paidan/paidan/tickets"
)

var platforms = map[string]cards.Caps{
	"roomy":     {Buttons: 5, MenuOptions: 100, Label: 75, Title: 150, Text: 3000, Facts: 30, Rows: 20, Total: 30000, Blocks: 50, Menus: true, Forms: true},
	"tight":     {Buttons: 3, MenuOptions: 10, Label: 10, Title: 26, Text: 112, Facts: 6, Rows: 5, Total: 500, Blocks: 16},
	"tiny":      {Buttons: 1, MenuOptions: 1, Label: 1, Title: 1, Text: 1, Facts: 1, Rows: 1, Total: 20, Blocks: 3},
	"unlimited": {Menus: true},
}

func TestHostileTextHoldsTheLimits(t *testing.T) {
	all := cardstest.HostileStrings()
	if testing.Short() {
		all = slices.DeleteFunc(all, func(s string) bool { return len(s) > 10_000 })
	}
	for i, s := range all {
		for j, c := range cardstest.Everywhere(s) {
			for name, caps := range platforms {
				// The largest texts take long; each meets every fourth card, and all of them meet all.
				if len(s) > 10_000 && (name != "roomy" || (i+j)%4 != 0) {
					continue
				}
				if (name == "tiny" || name == "unlimited") && (i+j)%4 != 0 {
					continue
				}
				got := cards.Fit(c, caps)
				for _, fault := range faults(got, caps) {
					t.Errorf("string %d (%.40q), card %.40q on %s: %s", i, s, c.Title, name, fault)
				}
				if name == "roomy" && len(s) < 1000 {
					cards.PlainText(got)
					cards.Numbered(got)
				}
			}
		}
		if t.Failed() {
			return // one string's faults are enough to read
		}
	}
}

// faults tells what is wrong with a card that has been fitted.
func faults(c cards.Card, caps cards.Caps) []string {
	var out []string
	within := func(what, s string, limit int) {
		if n := utf8.RuneCountInString(s); limit > 0 && n > limit {
			out = append(out, what+" has "+strconv.Itoa(n)+" characters, limit "+strconv.Itoa(limit))
		}
	}
	line := func(what, s string, limit int) {
		within(what, s, limit)
		for _, r := range s {
			if forbidden(r) {
				out = append(out, what+" holds "+strconv.QuoteRune(r))
				return
			}
		}
		if !utf8.ValidString(s) {
			out = append(out, what+" is no UTF-8")
		}
	}
	text := func(what, s string, limit int) {
		within(what, s, limit)
		line(what, strings.ReplaceAll(s, "\n", ""), 0)
	}
	actions := func(what string, list []cards.Action) {
		for _, a := range list {
			line(what, a.Label, caps.Label)
			line(what+" question", a.Confirm, 0)
			for _, o := range a.Options {
				line(what+" option", o.Label, caps.Label)
			}
			if caps.MenuOptions > 0 && len(a.Options) > caps.MenuOptions {
				out = append(out, what+" has too many options")
			}
		}
	}
	atMost := func(what string, n, limit int) {
		if limit > 0 && n > limit {
			out = append(out, strconv.Itoa(n)+" "+what+", limit "+strconv.Itoa(limit))
		}
	}
	line("title", c.Title, caps.Title)
	line("note", c.Note, caps.Text)
	line("alt", c.Alt, 150)
	text("body", c.Body, caps.Text)
	for _, b := range c.Badges {
		line("badge", b, 40)
	}
	for _, f := range c.Facts {
		line("label", f.Label, caps.Text)
		if f.Wide {
			text("wide fact", f.Value, caps.Text)
		} else {
			line("fact", f.Value, caps.Text)
		}
		if f.Action != nil {
			actions("fact's button", []cards.Action{*f.Action})
		}
	}
	for _, r := range c.Rows {
		line("row", r.Text, caps.Text)
		line("detail", r.Detail, caps.Text)
		actions("row's button", r.Actions)
	}
	actions("button", c.Actions)
	actions("menu", c.More)
	for _, a := range c.More {
		if len(a.Options) > 0 {
			out = append(out, "a menu inside the menu")
		}
	}
	atMost("buttons", len(c.Actions), caps.Buttons)
	atMost("menu entries", len(c.More), caps.MenuOptions)
	atMost("facts", len(c.Facts), caps.Facts)
	atMost("rows", len(c.Rows), caps.Rows)
	if c.Form == nil && caps.Total > 50 { // a form and the few things that always stay may be larger than a tiny card
		atMost("characters", cards.Size(c), caps.Total)
		atMost("blocks", cards.Blocks(c), caps.Blocks)
	}
	if c.Form != nil {
		line("submit", c.Form.Submit, caps.Label)
		for _, in := range c.Form.Inputs {
			line("input label", in.Label, caps.Text)
			line("hint", in.Hint, caps.Text)
			line("error", in.Error, caps.Text)
			if in.Kind == cards.InputText {
				text("input value", in.Value, in.Max)
			}
			if in.Kind == cards.InputLine {
				line("input value", in.Value, in.Max)
			}
			for _, o := range in.Options {
				line("input option", o.Label, caps.Label)
			}
			atMost("input options", len(in.Options), caps.MenuOptions)
		}
	}
	return out
}

// forbidden is what no shown line may hold.
func forbidden(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f ||
		r == 0x200b || r == 0x200c || r == 0xfeff || r == 0x2028 || r == 0x2029 || r == 0x61c
}

func TestFittingTwiceIsFittingOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, caps := anyCard(t), anyCaps(t)
		before := encode(c)
		once := cards.Fit(c, caps)
		if after := encode(c); after != before {
			t.Fatalf("Fit wrote into its argument:\n%s", cmp.Diff(before, after))
		}
		if twice := cards.Fit(once, caps); encode(twice) != encode(once) {
			t.Fatalf("caps %+v -once +twice:\n%s", caps, cmp.Diff(encode(once), encode(twice)))
		}
		if again := cards.Fit(c, caps); encode(again) != encode(once) {
			t.Fatal("the same card fits in two ways")
		}
		if strings.TrimSpace(c.Title) != "" && once.Title == "" {
			t.Fatal("the title is gone")
		}
		if want, got := primaries(c.Actions), primaries(slices.Concat(once.Actions, once.More)); want > 0 && got == 0 {
			t.Fatal("every primary action is gone")
		}
		if f := faults(once, caps); len(f) > 0 && caps.Total == 0 && caps.Blocks == 0 {
			t.Fatalf("caps %+v: %v", caps, f)
		}
	})
}

func TestSamplesFitTwiceAsOnce(t *testing.T) {
	for _, s := range cards.Samples() {
		for name, caps := range platforms {
			once := cards.Fit(s.Card, caps)
			if diff := cmp.Diff(once, cards.Fit(once, caps)); diff != "" {
				t.Errorf("%s on %s -once +twice:\n%s", s.Name, name, diff)
			}
			if f := faults(once, caps); len(f) > 0 {
				t.Errorf("%s on %s: %v", s.Name, name, f)
			}
		}
	}
}

func primaries(list []cards.Action) int {
	n := 0
	for _, a := range list {
		if a.Style == cards.Primary {
			n++
		}
	}
	return n
}

func encode(c cards.Card) string {
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		panic(err)
	}
	return string(b)
}

func anyCaps(t *rapid.T) cards.Caps {
	n := func(name string, least, most int) int {
		v := rapid.IntRange(least, most).Draw(t, name)
		if v == least {
			return 0
		}
		return v
	}
	return cards.Caps{
		Buttons: n("buttons", 0, 6), MenuOptions: n("options", 0, 12), Label: n("label", 0, 20), Title: n("title", 0, 40),
		Text: n("text", 0, 120), Facts: n("facts", 0, 10), Rows: n("rows", 0, 8), Total: n("total", 29, 600), Blocks: n("blocks", 2, 30),
		Menus: rapid.Bool().Draw(t, "menus"),
	}
}

func anyCard(t *rapid.T) cards.Card {
	str := rapid.StringOfN(rapid.RuneFrom([]rune("ab中文 \n\t\u202e\u200b\u200d👨👩🏽🇨🇳\u0301{}<@>é\x00\r")), 0, 60, -1)
	action := rapid.Custom(func(t *rapid.T) cards.Action {
		a := cards.Action{
			Act:   cards.Act{Verb: tickets.VerbClaim, Ticket: "t", Version: 3, Arg: rapid.StringMatching("[a-z]{0,3}").Draw(t, "arg")},
			Label: str.Draw(t, "label"), Style: rapid.SampledFrom([]cards.Style{cards.Default, cards.Primary, cards.Danger}).Draw(t, "style"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "options") {
			a.Options = append(a.Options, cards.Option{Label: str.Draw(t, "option"), Value: "v"})
		}
		return a
	})
	actions := rapid.SliceOfN(action, 0, 8)
	fact := rapid.Custom(func(t *rapid.T) cards.Fact {
		return cards.Fact{Label: str.Draw(t, "label"), Value: str.Draw(t, "value"), Wide: rapid.Bool().Draw(t, "wide")}
	})
	row := rapid.Custom(func(t *rapid.T) cards.Row {
		return cards.Row{Text: str.Draw(t, "text"), Detail: str.Draw(t, "detail"), Actions: rapid.SliceOfN(action, 0, 3).Draw(t, "actions")}
	})
	return cards.Card{
		Lang: rapid.SampledFrom([]cards.Lang{cards.ZH, cards.EN}).Draw(t, "lang"), Title: str.Draw(t, "title"),
		Badges: rapid.SliceOfN(str, 0, 4).Draw(t, "badges"), Facts: rapid.SliceOfN(fact, 0, 12).Draw(t, "facts"),
		Body: rapid.StringOfN(rapid.RuneFrom([]rune("ab中 \n👨\u200d👩")), 0, 400, -1).Draw(t, "body"),
		Rows: rapid.SliceOfN(row, 0, 12).Draw(t, "rows"), Actions: actions.Draw(t, "actions"), More: actions.Draw(t, "more"),
		Note: str.Draw(t, "note"), Ticket: tickets.TicketID(rapid.SampledFrom([]string{"", "t"}).Draw(t, "ticket")), Version: 3,
	}
}

func TestFitKeepsWhatMattersMost(t *testing.T) {
	v := views(cards.ZH)["fields-25"]
	c := cards.Ticket(v, cards.ZH)
	got := cards.Fit(c, cards.Caps{Buttons: 2, MenuOptions: 8, Facts: 5, Total: 400, Menus: true})
	if got.Title != c.Title {
		t.Errorf("title %q, want %q", got.Title, c.Title)
	}
	if l := labels(got.Actions); l != "解决 转派" {
		t.Errorf("buttons %q", l)
	}
	if len(got.Facts) == 0 || got.Facts[0].Label != "来自" {
		t.Errorf("facts %+v: the first ones shall stay", got.Facts)
	}
	if len(got.More) != 8 || got.More[0].Act.Arg != cards.ArgWhole {
		t.Errorf("more %q: the way to the whole text comes first when something is cut", labels(got.More))
	}
}

func TestRowsThatAreNotShownAreCounted(t *testing.T) {
	var rows []tickets.Row
	for i := range 30 {
		rows = append(rows, tickets.Row{ID: tickets.TicketID("t" + strconv.Itoa(i)), Number: int64(i), Title: "x", Status: tickets.New})
	}
	for l, want := range map[cards.Lang]string{cards.ZH: "还有 37 张", cards.EN: "37 more tickets"} {
		c := cards.List(tickets.VerbQueue, "", rows, 16, cards.SampleNow, nil, l)
		got := cards.Fit(cards.Fit(c, cards.Caps{Rows: 20}), cards.Caps{Rows: 10})
		last := got.Rows[len(got.Rows)-1]
		if len(got.Rows) != 10 || last.Text != want || last.Left != 37 {
			t.Errorf("%d rows, last %+v; want 10 and %q", len(got.Rows), last, want)
		}
	}
}

func TestTextIsCutBetweenCharactersOnly(t *testing.T) {
	for _, tt := range []struct {
		text string
		n    int
		want string
	}{
		{"abcdef", 6, "abcdef"},
		{"abcdefg", 6, "abcde…"},
		{"中文字", 2, "中…"},
		{"👨‍👩‍👧‍👦家", 5, "…"}, // the family is eleven units wide
		{"a👍🏽b", 4, "a…"},
		{"é́x", 2, "…"},
		{"🇨🇳🇺🇸", 5, "🇨🇳…"},
		{"word another", 6, "word…"},
	} {
		got := cards.Fit(cards.Card{Title: tt.text}, cards.Caps{Title: tt.n}).Title
		if got != tt.want {
			t.Errorf("%q in %d: got %q, want %q", tt.text, tt.n, got, tt.want)
		}
	}
}

func TestWholeLosesNothing(t *testing.T) {
	v := views(cards.EN)["long"]
	v.Said, v.Solution, v.Fields = nil, nil, nil
	v.Title, v.Body = "T", strings.TrimSpace(strings.Repeat("line of text 👨‍👩‍👧\n", 500))
	var all strings.Builder
	pages := cards.Whole(v, 1000, cards.EN)
	for _, c := range pages {
		if n := utf8.RuneCountInString(c.Body); n > 1000 {
			t.Errorf("a page of %d characters", n)
		}
		all.WriteString(c.Body + "\n")
	}
	if got, want := strings.TrimSpace(all.String()), "T\n\n"+v.Body; strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("%d characters on %d pages, want %d", len(got), len(pages), len(want))
	}
}

func BenchmarkTicketFit(b *testing.B) {
	v := views(cards.ZH)["active"]
	caps := platforms["roomy"]
	b.ReportAllocs()
	for b.Loop() {
		cards.Fit(cards.Ticket(v, cards.ZH), caps)
	}
}
