package bot

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/paidan/paidan/tickets"
)

var update = flag.Bool("update", false, "write testdata/commands.txt anew; read the difference before committing it")

var shanghai = time.FixedZone("CST", 8*3600)

// A Saturday afternoon.
var saturday = time.Date(2026, 11, 21, 15, 4, 5, 0, shanghai)

// said makes a message of a readable row: <@李四> is a mention, <@组:网络组> a
// user group, \n a line break.
func said(row string) (text string, mentions []Mention) {
	row = strings.ReplaceAll(row, `\n`, "\n")
	row = strings.ReplaceAll(row, `\t`, "\t")
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(row, "<@")
		b.WriteString(before)
		name, after, closed := strings.Cut(rest, ">")
		if !ok || !closed {
			return b.String(), mentions
		}
		name, group := strings.CutPrefix(name, "组:")
		start := b.Len()
		b.WriteString("@" + name)
		mentions = append(mentions, Mention{User: UserRef{Install{"test", "default"}, name}, Name: name, Start: start, End: b.Len(), Group: group})
		row = after
	}
}

func (in Intent) describe() string {
	var out []string
	add := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	if in.Verb == VerbNone {
		add("-")
	} else {
		add("%s", in.Verb)
	}
	if in.Number != 0 {
		add("#%d", in.Number)
	}
	for _, n := range in.Numbers {
		add("other=#%d", n)
	}
	for _, m := range in.People {
		kind := "@"
		if m.Group {
			kind = "@group:"
		}
		if m.End > 0 {
			add("%s%s[%s]", kind, m.Name, in.Text[m.Start:m.End])
		} else {
			add("%s%s", kind, m.Name)
		}
	}
	if in.Team != "" {
		add("team=%s", in.Team)
	}
	if in.Priority != 0 {
		add("%s", in.Priority)
	}
	if in.For != 0 {
		add("for=%s", in.For)
	}
	if !in.Until.IsZero() {
		add("until=%s", in.Until.Format("2006-01-02T15:04(Mon)"))
	}
	if in.Customer {
		add("customer")
	}
	if in.Key != "" {
		add("key=%s", in.Key)
	}
	if in.Value != "" {
		add("value=%s", in.Value)
	}
	for _, t := range in.Add {
		add("+%s", t)
	}
	for _, t := range in.Remove {
		add("-%s", t)
	}
	if in.Public {
		add("public")
	}
	if in.Form {
		add("form")
	}
	if in.Text != "" {
		add("%q", in.Text)
	}
	return strings.Join(out, " ")
}

// TestCommandsReadAsInTheTable reads every row of testdata/commands.txt. The
// chapter "traps" may hold nothing but plain talk, whatever -update writes.
func TestCommandsReadAsInTheTable(t *testing.T) {
	const file = "testdata/commands.txt"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var fresh strings.Builder
	chapter, rows, traps := "", 0, 0
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			chapter = name
		}
		row, want, _ := strings.Cut(line, "  =>  ")
		if strings.HasPrefix(line, "##") || strings.TrimSpace(line) == "" {
			fresh.WriteString(line + "\n")
			continue
		}
		rows++
		text, mentions := said(row)
		in := Parse(text, mentions, saturday, shanghai)
		got := in.describe()
		fresh.WriteString(row + "  =>  " + got + "\n")
		if got != want && !*update {
			t.Errorf("%s:%d: %s\n got  %s\n want %s", file, i+1, row, got, want)
		}
		if strings.HasPrefix(chapter, "traps") {
			traps++
			if in.Verb != VerbNone || in.Text != strings.TrimSpace(text) {
				t.Errorf("%s:%d: %s was taken for %s", file, i+1, row, got)
			}
		}
	}
	if rows < 250 || traps < 60 {
		t.Errorf("%d rows and %d traps, want at least 250 and 60", rows, traps)
	}
	if *update {
		if err := os.WriteFile(file, []byte(fresh.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryExampleOfTheHelpIsItsVerb(t *testing.T) {
	for _, v := range Verbs() {
		for _, example := range append(strings.Split(v.Example, " · "), strings.Split(v.ExampleEN, " · ")...) {
			text, mentions := said(strings.NewReplacer("@张三", "<@张三>", "@李四", "<@李四>", "@王五", "<@王五>", "@zhang", "<@zhang>", "@li ", "<@li> ", "@wang", "<@wang>").Replace(example))
			if in := Parse(text, mentions, saturday, shanghai); in.Verb != v.Verb {
				t.Errorf("%q is %q, want %q", example, in.Verb, v.Verb)
			}
		}
	}
}

func TestEveryWordAloneIsItsVerb(t *testing.T) {
	needsMore := []tickets.Verb{tickets.VerbOpenFor, VerbAdmin}
	seen := map[string]tickets.Verb{}
	for _, v := range Verbs() {
		for _, word := range slices.Concat(v.ZH, v.EN) {
			if other, ok := seen[word]; ok {
				t.Errorf("%q is both %s and %s", word, other, v.Verb)
			}
			seen[word] = v.Verb
			if slices.Contains(needsMore, v.Verb) {
				continue
			}
			for _, text := range []string{word, strings.ToUpper(word), "  " + word + "。"} {
				if word == "?" && text != word {
					continue
				}
				if in := Parse(text, nil, saturday, shanghai); in.Verb != v.Verb {
					t.Errorf("%q is %q, want %q", text, in.Verb, v.Verb)
				}
			}
		}
		if v.Example == "" || v.ExampleEN == "" || v.Who == "" || v.Who.Label("zh-CN") == "" {
			t.Errorf("%s is not explained", v.Verb)
		}
	}
}

func TestASlashCommandOpensWhatItSays(t *testing.T) {
	for text, want := range map[string]string{
		"":              "open form",
		"打印机坏了":         `open "打印机坏了"`,
		"VPN is down":   `open "VPN is down"`,
		"mine":          "mine",
		"接单 #12":        "claim #12",
		"#12":           "show #12",
		"#12 还是不行啊朋友":   `- #12 "#12 还是不行啊朋友"`,
		"关闭不了窗口":        `open "关闭不了窗口"`,
		"new":           "open form",
		"help":          "help",
		" \u3000 \t\n ": "open form",
	} {
		if got := ParseSlash(text, nil, saturday, shanghai).describe(); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestFindNumber(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, "no number": 0, "# 主题": 0, "#1024 打印机": 1024, "🟠 #7 x #8": 7, "＃１０２４": 1024, "a#": 0, "#abc #12": 12, "#0": 0,
		"#99999999999999999999": 0, "C# 和 #3": 3,
	} {
		if got := FindNumber(text); got != want {
			t.Errorf("FindNumber(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestEmoji(t *testing.T) {
	for name, want := range map[string]tickets.Verb{
		"ticket": tickets.VerbOpen, ":eyes:": tickets.VerbClaim, "eyes::skin-tone-2": tickets.VerbClaim, "👀": tickets.VerbClaim,
		"white_check_mark": tickets.VerbSolve, "✅": tickets.VerbSolve, "✔️": tickets.VerbSolve, "rotating_light": tickets.VerbPriority,
		"double_vertical_bar": tickets.VerbHold, "pause_button": tickets.VerbHold, "⏸️": tickets.VerbHold, "⏸": tickets.VerbHold,
		"▶️": tickets.VerbResume, "arrow_forward": tickets.VerbResume, "repeat": tickets.VerbReopen, "🔁": tickets.VerbReopen,
		"🔺": tickets.VerbEscalate, "small_red_triangle": tickets.VerbEscalate, "🎫": tickets.VerbOpen, "Eyes": tickets.VerbClaim,
		"": VerbNone, "thumbsup": VerbNone, "::": VerbNone, "heart": VerbNone,
	} {
		if got := ParseEmoji(name, nil); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	own := map[string]string{"raised_hand": "claim"}
	if ParseEmoji("raised_hand", own) != tickets.VerbClaim || ParseEmoji("eyes", own) != VerbNone {
		t.Error("a table of one's own must replace the default")
	}
}

// BenchmarkParseLong shows that the time grows with the text and not with its
// square: ns/op of 128 KiB is about 16 times that of 8 KiB for every kind.
func BenchmarkParseLong(b *testing.B) {
	for name, unit := range map[string]string{
		"words": "挂起 等配件 到周一 ", "hashes": "#", "spaces": " ", "mentions": "@a ", "durations": "1h", "particles": "吧", "tags": "+a ", "invalid": "\xff",
	} {
		for _, size := range []int{1 << 13, 1 << 17} {
			text := "挂起 " + strings.Repeat(unit, size/len(unit))
			var mentions []Mention
			if unit == "@a " {
				for i := len("挂起 "); i+3 <= len(text); i += 3 {
					mentions = append(mentions, Mention{Name: "a", Start: i, End: i + 2})
				}
			}
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				for b.Loop() {
					Parse(text, mentions, saturday, shanghai)
				}
			})
		}
	}
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("testdata/commands.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		row, _, _ := strings.Cut(line, "  =>  ")
		text, mentions := said(row)
		start, end := 0, 0
		if len(mentions) > 0 {
			start, end = mentions[0].Start, mentions[0].End
		}
		f.Add(text, start, end)
	}
	f.Add("接单\xff #1", 1, 3)
	f.Fuzz(func(t *testing.T, text string, start, end int) {
		mentions := []Mention{{Name: "a", Start: start, End: end}, {Name: "b", Start: end, End: start}, {Name: "c", Start: end, End: end + 2}}
		for _, zone := range []*time.Location{nil, shanghai} {
			in := Parse(text, mentions, saturday, zone)
			if in.Verb == VerbNone && in.Text != strings.TrimFunc(text, unicode.IsSpace) {
				t.Fatalf("plain talk lost words: %q became %q", text, in.Text)
			}
			if !strings.Contains(text, in.Text) {
				t.Fatalf("text %q is no part of %q", in.Text, text)
			}
			if in.Verb != VerbPick && len(in.People) != len(mentions) {
				t.Fatalf("%d people of %d", len(in.People), len(mentions))
			}
			for _, m := range in.People {
				if m.Start < 0 || m.End < m.Start || m.End > len(in.Text) {
					t.Fatalf("mention at %d to %d of %d bytes", m.Start, m.End, len(in.Text))
				}
				if m.End > 0 && utf8.ValidString(text) && !utf8.ValidString(in.Text[m.Start:m.End]) {
					t.Fatalf("mention cuts a letter: %q", in.Text[m.Start:m.End])
				}
			}
			if in.Number < 0 || in.For < 0 || in.For > longest || in.Priority < 0 || in.Priority > 4 {
				t.Fatalf("out of range: %+v", in)
			}
			if again := Parse(text, mentions, saturday, zone); again.describe() != in.describe() {
				t.Fatalf("read twice, read differently: %s, %s", in.describe(), again.describe())
			}
		}
		ParseSlash(text, mentions, saturday, shanghai)
		FindNumber(text)
		ParseEmoji(text, nil)
	})
}

func BenchmarkParse(b *testing.B) {
	for _, text := range []string{"接单 #1024", "挂起 等配件 到下周三下午3点", "昨晚升级后提示 E07,10 人受影响,请尽快处理"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Parse(text, nil, saturday, shanghai)
			}
		})
	}
}
