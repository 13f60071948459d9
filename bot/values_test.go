package bot

import (
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/paidan/paidan/cards"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.FixedZone("CST", 8*3600))

func TestAnswersAreReadAsValues(t *testing.T) {
	model := cards.Input{Kind: cards.InputChoice, Options: []cards.Option{{Label: "P1 紧急", Value: "P1"}, {Label: "P2 高", Value: "P2"}, {Label: "Laptop", Value: "lap"}}}
	sizes := cards.Input{Kind: cards.InputChoice, Options: []cards.Option{{Label: "4", Value: "4"}, {Label: "2", Value: "2"}}}
	kind := func(k cards.InputKind) cards.Input { return cards.Input{Kind: k} }
	for _, c := range []struct {
		in        cards.Input
		text      string
		want, why string
	}{
		{model, "2", "P2", ""},
		{model, "２", "P2", ""},
		{model, "2.", "P2", ""},
		{model, "p1", "P1", ""},
		{model, "紧急", "P1", ""},
		{model, "LAPTOP", "lap", ""},
		{model, "P", "", "choice"},
		{model, "4", "", "choice"},
		{model, "", "", "choice"},
		{sizes, "2", "2", ""}, // the label, and not the second
		{sizes, "1", "", "choice"},
		{kind(cards.InputCheck), "是", "true", ""},
		{kind(cards.InputCheck), "yes", "true", ""},
		{kind(cards.InputCheck), "不用", "", ""},
		{kind(cards.InputCheck), "也许", "", "check"},
		{kind(cards.InputNumber), "1,200.5", "1200.5", ""},
		{kind(cards.InputNumber), "１２", "12", ""},
		{kind(cards.InputNumber), "十二", "", "number"},
		{kind(cards.InputPhone), "138 0013-8000", "13800138000", ""},
		{kind(cards.InputPhone), "打我电话", "", "phone"},
		{kind(cards.InputEmail), "a@b.cn", "a@b.cn", ""},
		{kind(cards.InputEmail), "a b", "", "email"},
		{kind(cards.InputDate), "明天", "2026-03-03", ""},
		{kind(cards.InputDate), "昨天", "2026-03-01", ""},
		{kind(cards.InputDate), "2026-01-05", "2026-01-05", ""},
		{kind(cards.InputDate), "3月5日下午", "2026-03-05", ""},
		{kind(cards.InputDate), "下周三吧", "2026-03-11", ""},
		{kind(cards.InputDate), "3点", "", "date"},
		{kind(cards.InputDate), "明天再说", "", "date"},
		{kind(cards.InputTime), "明天下午3点", "2026-03-03T15:00", ""},
		{kind(cards.InputTime), "到周五 10:00", "2026-03-06T10:00", ""},
		{kind(cards.InputTime), "两小时后", "2026-03-02T11:00", ""},
		{kind(cards.InputTime), "in 2h", "2026-03-02T11:00", ""},
		{kind(cards.InputTime), "2026-03-04T08:30", "2026-03-04T08:30", ""},
		{kind(cards.InputTime), "等一等", "", "time"},
		{cards.Input{Kind: cards.InputLine, Max: 5}, "  a\n b ", "a b", ""},
		{cards.Input{Kind: cards.InputLine, Max: 5}, "一二三四五六", "", "long"},
		{cards.Input{Kind: cards.InputLine, Name: cards.InNumber, Max: 20}, "合并到 #988", "988", ""},
		{cards.Input{Kind: cards.InputText, Max: 20}, " a\n\nb ", "a\n\nb", ""},
		{cards.Input{Kind: cards.InputChoice, Name: cards.InUntil, Options: []cards.Option{{Label: "2 时", Value: "2h"}}}, "3小时", "3h0m0s", ""},
	} {
		got, why := readValue(c.in, c.text, monday)
		if got != c.want || why != c.why {
			t.Errorf("%s %q: got %q %q, want %q %q", c.in.Kind, c.text, got, why, c.want, c.why)
		}
	}
}

func TestAnswersToTheRest(t *testing.T) {
	labels := []string{"描述", "优先级", "位置"}
	for _, c := range []struct {
		text string
		want []heard
		done bool
	}{
		{"好", nil, true},
		{"好的，谢谢！", nil, true},
		{"OK", nil, true},
		{"没有了", nil, true},
		{"2 P1", []heard{{1, "P1"}}, false},
		{"2.P1", []heard{{1, "P1"}}, false},
		{"２、P1\n好", []heard{{1, "P1"}}, true},
		{"2：P1\n3 三楼\n提交", []heard{{1, "P1"}, {2, "三楼"}}, true},
		{"优先级 P1", []heard{{1, "P1"}}, false},
		{"位置：3 楼", []heard{{2, "3 楼"}}, false},
		{"2", []heard{{1, ""}}, false},
		{"1 第一行\n第二行", []heard{{0, "第一行\n第二行"}}, false},
		{"3楼打印机也坏了", []heard{{-1, "3楼打印机也坏了"}}, false},
		{"2.5 小时", []heard{{-1, "2.5 小时"}}, false},
		{"9 什么", []heard{{-1, "9 什么"}}, false},
		{"从昨天开始", []heard{{-1, "从昨天开始"}}, false},
	} {
		got, done := readRest(labels, c.text)
		if !slices.Equal(got, c.want) || done != c.done {
			t.Errorf("%q: got %v %v, want %v %v", c.text, got, done, c.want, c.done)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"1", "2 P1\n好", "明天下午3点", "#1024 1", "回复1", "优先级：P1", "138 0013 8000", "到 下下周日 25:99", "3️⃣", "1 #99", "\x00\xff", "取消"} {
		f.Add(s)
	}
	labels := []string{"描述", "优先级", "位置"}
	kinds := []cards.InputKind{
		cards.InputLine, cards.InputText, cards.InputChoice, cards.InputDate, cards.InputTime, cards.InputNumber, cards.InputCheck, cards.InputPhone, cards.InputEmail,
	}
	options := []cards.Option{{Label: "P1 紧急", Value: "P1"}, {Label: "P2 高", Value: "P2"}, {Label: "", Value: ""}}
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range kinds {
			in := cards.Input{Name: "x", Kind: k, Max: 50}
			if k == cards.InputChoice {
				in.Options = options
			}
			v, why := readValue(in, s, monday)
			if why != "" && v != "" {
				t.Errorf("%s %q: value %q although %s", k, s, v, why)
			}
			if why != "" {
				continue
			}
			switch k {
			case cards.InputChoice:
				if !slices.ContainsFunc(options, func(o cards.Option) bool { return o.Value == v }) {
					t.Errorf("%q chose %q", s, v)
				}
			case cards.InputDate:
				if _, err := time.Parse("2006-01-02", v); err != nil {
					t.Errorf("%q is the day %q", s, v)
				}
			case cards.InputTime:
				if _, err := time.Parse("2006-01-02T15:04", v); err != nil {
					t.Errorf("%q is the time %q", s, v)
				}
			case cards.InputLine, cards.InputText:
				if utf8.RuneCountInString(v) > 50 {
					t.Errorf("%q is too long", v)
				}
			}
		}
		parts, _ := readRest(labels, s)
		for _, p := range parts {
			if p.at < -1 || p.at >= len(labels) {
				t.Errorf("%q: item %d", s, p.at)
			}
		}
		if c, ok := readPick(s); ok && (c.n < 1 || c.n > 99 || c.number < 0) {
			t.Errorf("%q picks %+v", s, c)
		}
	})
}
