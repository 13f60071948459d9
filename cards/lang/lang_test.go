package lang

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

func TestBothCataloguesSayTheSame(t *testing.T) {
	for _, key := range Keys(EN) {
		base, plural := strings.CutSuffix(key, ".one")
		want := zh[base]
		if want == "" {
			t.Errorf("%s is not in Chinese", key)
			continue
		}
		a, b := placeholder.FindAllString(want, -1), placeholder.FindAllString(en[key], -1)
		slices.Sort(a)
		slices.Sort(b)
		if plural { // "once" needs no number
			a = slices.DeleteFunc(a, func(s string) bool { return s == "{n}" })
			b = slices.DeleteFunc(b, func(s string) bool { return s == "{n}" })
		}
		if !slices.Equal(a, b) {
			t.Errorf("%s: placeholders %v in Chinese, %v in English", key, a, b)
		}
	}
	for _, key := range Keys(ZH) {
		if en[key] == "" {
			t.Errorf("%s is not in English", key)
		}
	}
}

func TestTextsAreClean(t *testing.T) {
	han := regexp.MustCompile(`\p{Han}`)
	for _, l := range []string{ZH, EN} {
		for _, key := range Keys(l) {
			s := Text(l, key)
			raw := catalogue(l)[key]
			if strings.TrimSpace(raw) != raw && key != "list.and" {
				t.Errorf("%s %s: space at an end of %q", l, key, raw)
			}
			if strings.Contains(raw, "%") || strings.ContainsAny(s, "{}") {
				t.Errorf("%s %s: %q", l, key, raw)
			}
			if l == EN && han.MatchString(raw) {
				t.Errorf("%s is Chinese: %q", key, raw)
			}
			if l == ZH && han.MatchString(raw) && regexp.MustCompile(`\p{Han}[,?!:;]`).MatchString(raw) {
				t.Errorf("%s has half-width punctuation: %q", key, raw)
			}
		}
	}
}

// A key that the code asks for and no catalogue has would be shown to people.
func TestEveryKeyInTheCodeExists(t *testing.T) {
	call := regexp.MustCompile(`(?:tr|count)\((?:c\.Lang|l|b\.l|f\.c\.Lang), "([^"]+)"`)
	inBuilders := regexp.MustCompile(`"((?:do|sure|fact|form|in|hint|submit|notice|breach|body|badge|refused|list|home)\.[a-z_]+)"`)
	files, err := filepath.Glob("../*.go")
	if err != nil || len(files) < 8 {
		t.Fatalf("files %v, %v", files, err)
	}
	found := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, re := range []*regexp.Regexp{call, inBuilders} {
			for _, m := range re.FindAllStringSubmatch(string(src), -1) {
				found++
				if !Has(m[1]) && !strings.HasSuffix(m[1], ".") && !strings.HasSuffix(m[1], "_") { // else the beginning of a key
					t.Errorf("%s asks for %q", filepath.Base(f), m[1])
				}
			}
		}
	}
	if found < 200 {
		t.Errorf("only %d keys found in the code: the patterns no longer match it", found)
	}
}

func TestWhatIsFilledInIsData(t *testing.T) {
	got := Text(EN, "notice.urged", "by", "{number} %s {by}", "number", "1")
	if want := "{number} %s {by} is nudging you about #1"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := fill("a {", []string{"", "x"}); got != "a {" {
		t.Errorf("%q", got)
	}
	if got := Text(ZH, "no.such.key"); got != "no.such.key" {
		t.Errorf("%q", got)
	}
}

func TestOneIsToldFromMany(t *testing.T) {
	for n, want := range map[int]string{0: "0 files", 1: "1 file", 2: "2 files"} {
		if got := Count(EN, "fact.files_n", n); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := Count(ZH, "fact.files_n", 1); got != "1 个" {
		t.Errorf("%q", got)
	}
}

func TestMatch(t *testing.T) {
	for locale, want := range map[string]string{"": ZH, "zh-CN": ZH, "zh_TW": ZH, "ZH": ZH, "en": EN, "en-US": EN, "de": EN, "ja-JP": EN} {
		if got := Match(locale); got != want {
			t.Errorf("Match(%q) = %q, want %q", locale, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for _, tt := range []struct {
		d      time.Duration
		zh, en string
	}{
		{0, "不到 1 分", "less than 1 min"},
		{59 * time.Second, "不到 1 分", "less than 1 min"},
		{time.Minute, "1 分", "1 min"},
		{12*time.Minute + 59*time.Second, "12 分", "12 min"},
		{time.Hour, "1 时", "1 h"},
		{2*time.Hour + 5*time.Minute, "2 时 05 分", "2 h 05 min"},
		{3*time.Hour + 40*time.Minute, "3 时 40 分", "3 h 40 min"},
		{24 * time.Hour, "1 天", "1 d"},
		{53*time.Hour + 59*time.Minute, "2 天 5 时", "2 d 5 h"},
		{-2 * time.Hour, "2 时", "2 h"},
	} {
		if got := Span(ZH, tt.d); got != tt.zh {
			t.Errorf("%s: %q, want %q", tt.d, got, tt.zh)
		}
		if got := Span(EN, tt.d); got != tt.en {
			t.Errorf("%s: %q, want %q", tt.d, got, tt.en)
		}
	}
}

func TestWhen(t *testing.T) {
	zone := time.FixedZone("CST", 8*3600)
	now := time.Date(2026, 11, 20, 6, 20, 0, 0, time.UTC)
	for _, tt := range []struct {
		t                    time.Time
		zh, en, zhDay, enDay string
	}{
		{now.Add(12 * time.Minute), "14:32", "14:32", "14:32", "14:32"},
		{now.Add(10 * time.Hour), "11月21日 00:20", "Nov 21 00:20", "11月21日（周六）00:20", "Sat, Nov 21 00:20"},
		{now.Add(-24 * time.Hour), "11月19日 14:20", "Nov 19 14:20", "11月19日（周四）14:20", "Thu, Nov 19 14:20"},
		{now.Add(60 * 24 * time.Hour), "2027年1月19日 14:20", "Jan 19 2027 14:20", "2027年1月19日 14:20", "Jan 19 2027 14:20"},
	} {
		for l, want := range map[string][2]string{ZH: {tt.zh, tt.zhDay}, EN: {tt.en, tt.enDay}} {
			if got := When(l, tt.t, now, zone); got != want[0] {
				t.Errorf("%s: %q, want %q", tt.t, got, want[0])
			}
			if got := WhenDay(l, tt.t, now, zone); got != want[1] {
				t.Errorf("%s: %q, want %q", tt.t, got, want[1])
			}
		}
	}
	if got := When(EN, now, now, nil); got != "06:20" {
		t.Errorf("no zone: %q, want UTC", got)
	}
}
