package bot

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// When people say how long or until when, they mix digits, Chinese numerals,
// words and both languages. Everything here works on folded text (see fold) and
// is anchored at its start, so that one look at a bounded window suffices.

const (
	num     = `(?:\d{1,6}(?:\.\d{1,2})?|半|[一二两三四五六七八九十百]{1,4}|an?\b)`
	durUnit = `(?:分钟|分|个小时|小时|个钟头|钟头|个钟|天|日|个星期|个礼拜|星期|礼拜|周|个月|minutes?\b|mins?\b|hours?\b|hrs?\b|days?\b|weeks?\b|wks?\b|months?\b|m\b|h\b|d\b|w\b)`
)

var (
	// 2h30m has no boundary between h and 3, hence the compact form of its own.
	reCompact = regexp.MustCompile(`^(?:(\d{1,4})w)?(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:$|[^a-z0-9])`)
	rePiece   = regexp.MustCompile(`^(?:and |又|零)?(` + num + `)[ ]?(个半(?:小时|钟头|月|星期)|` + durUnit + `)(半)?`)
	reHalfAn  = regexp.MustCompile(`^half an? (hour|day|minute)\b`)
	reAfter   = regexp.MustCompile(`^(?:之内|以内|内|之后|以后|后|左右)`)

	reDay      = regexp.MustCompile(`^(?:(今天|今日|今晚|today|tonight)|(明天|明日|明早|明晚|tomorrow|tmr)|(大后天)|(后天))`)
	reWeekday  = regexp.MustCompile(`^(下下|下个?|本|这个?)?(?:周|星期|礼拜)([一二三四五六日天])`)
	reEnglish  = regexp.MustCompile(`^(next |this |on )?(monday|mon|tuesday|tues|tue|wednesday|wed|thursday|thurs|thu|friday|fri|saturday|sat|sunday|sun)\b`)
	reNextWeek = regexp.MustCompile(`^(?:下个?(?:周|星期|礼拜)|next week\b)`)
	reMonthEnd = regexp.MustCompile(`^(?:(下个?)?月底|(?:the )?end of (?:the )?month\b|eom\b)`)
	reISODate  = regexp.MustCompile(`^(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})(?:日|号)?`)
	reMonthDay = regexp.MustCompile(`^(\d{1,2}|[一二三四五六七八九十]{1,2})月(\d{1,2}|[一二三四五六七八九十]{1,3})(?:日|号)`)
	reNumDate  = regexp.MustCompile(`^(\d{1,2})[-/](\d{1,2})(?:$|[^0-9a-z/-])`)
	reDayOf    = regexp.MustCompile(`^(\d{1,2}|[一二三四五六七八九十]{1,3})[号日]`)
	reNextMon  = regexp.MustCompile(`^下个?月(\d{1,2}|[一二三四五六七八九十]{1,3})(?:日|号)`)
	reEngMonth = regexp.MustCompile(`^(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? (\d{1,2})(?:st|nd|rd|th)?\b`)

	reClock  = regexp.MustCompile(`^(凌晨|早上|早晨|上午|中午|下午|傍晚|晚上|早|晚)?[ ]?(\d{1,2}):(\d{2})(?::\d{2})?[ ]?(am\b|pm\b)?`)
	rePoint  = regexp.MustCompile(`^(凌晨|早上|早晨|上午|中午|下午|傍晚|晚上|早|晚)?[ ]?(\d{1,2}|[一二两三四五六七八九十]{1,3})[点时](?:(半)|(一刻)|(三刻)|(?:([0-9]{1,2}|[一二三四五六七八九十]{1,3})分?)|整|钟)?`)
	reAmPm   = regexp.MustCompile(`^(\d{1,2})[ ]?(am|pm)\b`)
	reNoon   = regexp.MustCompile(`^(noon\b|midday\b|中午|正午|早上|上午|下午|傍晚|晚上|下班前?|上班|morning\b|afternoon\b|evening\b)`)
	reJoin   = regexp.MustCompile(`^(?:[ ,的]|at\b|t(?:\d))`)
	reUntil  = regexp.MustCompile(`^(?:直到|到|至|until\b|till\b|til\b|to\b)[ ]?`)
	reForDur = regexp.MustCompile(`^for `)
)

// longest is how long a span may be: five years is surely a slip of the finger.
const longest = 5 * 366 * 24 * time.Hour

// span reads a duration at the start of w and returns the bytes it takes, 0
// when there is none. A day is 24 hours and a month 30 days.
func span(w string) (time.Duration, int) {
	if m := reCompact.FindStringSubmatch(w); m != nil {
		var d time.Duration
		n := 0
		for i, unit := range []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute} {
			if m[i+1] != "" {
				v, _ := strconv.Atoi(m[i+1]) // the expression admits digits only, few of them
				d += time.Duration(v) * unit
				n += len(m[i+1]) + 1
			}
		}
		if n > 0 && d > 0 && d <= longest && !strings.HasPrefix(w[n:], "前") {
			return d, n + len(reAfter.FindString(w[n:]))
		}
	}
	if m := reHalfAn.FindStringSubmatch(w); m != nil {
		return unitOf(m[1]) / 2, len(m[0])
	}
	var d time.Duration
	n := 0
	for pieces := 0; pieces < 4; pieces++ {
		at := n
		if at > 0 && at < len(w) && w[at] == ' ' {
			at++
		}
		m := rePiece.FindStringSubmatch(w[at:])
		if m == nil {
			break
		}
		v, ok := number(m[1])
		if !ok {
			break
		}
		unit := m[2]
		if rest, half := strings.CutPrefix(unit, "个半"); half {
			v += 0.5
			unit = rest
		}
		if m[3] != "" {
			v += 0.5
		}
		d += time.Duration(v * float64(unitOf(unit)))
		n = at + len(m[0])
		if d > longest {
			return 0, 0
		}
	}
	if d <= 0 || strings.HasPrefix(w[n:], "前") || strings.HasPrefix(w[n:], "之前") || strings.HasPrefix(w[n:], " ago") {
		return 0, 0
	}
	return d, n + len(reAfter.FindString(w[n:]))
}

func unitOf(u string) time.Duration {
	u = strings.TrimPrefix(u, "个")
	switch {
	case strings.HasPrefix(u, "mo"), u == "月":
		return 30 * 24 * time.Hour
	case strings.HasPrefix(u, "m"), strings.HasPrefix(u, "分"):
		return time.Minute
	case strings.HasPrefix(u, "h"), strings.HasPrefix(u, "小时"), strings.HasPrefix(u, "钟"):
		return time.Hour
	case strings.HasPrefix(u, "d"), u == "天", u == "日":
		return 24 * time.Hour
	}
	return 7 * 24 * time.Hour
}

// number reads digits, 半, an, or a Chinese numeral below a thousand.
func number(s string) (float64, bool) {
	switch s {
	case "半":
		return 0.5, true
	case "a", "an":
		return 1, true
	}
	if s != "" && s[0] >= '0' && s[0] <= '9' {
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil
	}
	total, digit := 0, 0
	for _, r := range s {
		switch r {
		case '百':
			total += max(digit, 1) * 100
			digit = 0
		case '十':
			total += max(digit, 1) * 10
			digit = 0
		default:
			if digit != 0 {
				return 0, false // 三四天 is a guess, not a number
			}
			digit = strings.Index("一二三四五六七八九", string(r))/3 + 1
			if r == '两' {
				digit = 2
			}
		}
	}
	return float64(total + digit), total+digit > 0
}

func small(s string) int {
	f, ok := number(s)
	if !ok {
		return -1
	}
	return int(f)
}

var weekdays = map[string]time.Weekday{
	"一": time.Monday, "二": time.Tuesday, "三": time.Wednesday, "四": time.Thursday, "五": time.Friday, "六": time.Saturday, "日": time.Sunday, "天": time.Sunday,
	"mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday, "thu": time.Thursday, "fri": time.Friday, "sat": time.Saturday, "sun": time.Sunday,
}

// moment reads a point in time at the start of w and returns the bytes it
// takes, 0 when there is none. now is in the zone that the words are meant in.
//
// A day without a time is 9:00, today and the end of a month 18:00, an evening
// 20:00. A time without a day is the next one that lies ahead. A weekday is the
// next one after today; with 下 or "next" the one in the week after this, weeks
// beginning on Monday. A month and day without a year lie ahead. N点 without 上午
// or 下午 means the afternoon for 1 to 6, because nobody waits until four in the
// morning; 4:00 is taken as written. A full date in the past stays in the past,
// for the core to refuse.
func moment(w string, now time.Time) (time.Time, int) {
	day, n, hour, step := dayOf(w, now)
	if n == 0 {
		h, m, k := clock(w, 0)
		if k == 0 || !digitsOrPoint(w[:k]) {
			return time.Time{}, 0
		}
		t := at(now, h, m)
		if !t.After(now) {
			t = at(now.AddDate(0, 0, 1), h, m)
		}
		return t, k
	}
	rest := w[n:]
	skip := 0
	for len(rest) > 0 {
		j := reJoin.FindString(rest)
		if j == "" {
			break
		}
		if strings.HasPrefix(j, "t") {
			j = "t"
		}
		rest, skip = rest[len(j):], skip+len(j)
	}
	if h, m, k := clock(rest, hour); k > 0 {
		return ahead(at(day, h, m), now, step), n + skip + k
	}
	return ahead(at(day, hour, 0), now, step), n
}

// ahead moves t on by step months until it lies after now and on the same day
// of the month; with step 0 it leaves t alone.
func ahead(t, now time.Time, step int) time.Time {
	for i := step; step > 0 && i <= 4*12 && !t.After(now); i += step { // four years reach a 29 February
		if u := t.AddDate(0, i, 0); u.After(now) && u.Day() == t.Day() {
			return u
		}
	}
	return t
}

func at(day time.Time, hour, minute int) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day(), hour, minute, 0, 0, day.Location())
}

// dayOf reads a day. hour is its hour when no time follows; step is after how
// many months the words mean another day, 0 when they never do.
func dayOf(w string, now time.Time) (day time.Time, n, hour, step int) {
	date := func(y int, m time.Month, d int) (time.Time, bool) {
		t := time.Date(y, m, d, 0, 0, 0, 0, now.Location())
		return t, t.Month() == m && t.Day() == d
	}
	monday := now.AddDate(0, 0, -(int(now.Weekday())+6)%7)
	if m := reDay.FindStringSubmatch(w); m != nil {
		hour, add := 9, 0
		switch {
		case m[1] != "":
			hour = 18
		case m[2] != "":
			add = 1
		case m[3] != "":
			add = 3
		case m[4] != "":
			add = 2
		}
		n := len(m[0])
		if m[0] == "今晚" || m[0] == "明晚" || m[0] == "tonight" {
			hour = 20
		}
		return now.AddDate(0, 0, add), n, hour, 0
	}
	if m := reWeekday.FindStringSubmatch(w); m != nil {
		d := (int(weekdays[m[2]]) + 6) % 7
		switch {
		case m[1] == "":
			return now.AddDate(0, 0, (d-(int(now.Weekday())+6)%7+6)%7+1), len(m[0]), 9, 0
		case m[1] == "下下":
			d += 14
		case strings.HasPrefix(m[1], "下"):
			d += 7
		}
		return monday.AddDate(0, 0, d), len(m[0]), 9, 0
	}
	if m := reEnglish.FindStringSubmatch(w); m != nil {
		d := (int(weekdays[m[2][:3]]) + 6) % 7
		switch m[1] {
		case "next ":
			return monday.AddDate(0, 0, d+7), len(m[0]), 9, 0
		case "this ":
			return monday.AddDate(0, 0, d), len(m[0]), 9, 0
		}
		return now.AddDate(0, 0, (d-(int(now.Weekday())+6)%7+6)%7+1), len(m[0]), 9, 0
	}
	if m := reNextWeek.FindString(w); m != "" {
		return monday.AddDate(0, 0, 7), len(m), 9, 0
	}
	if m := reMonthEnd.FindStringSubmatch(w); m != nil {
		first := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, now.Location())
		months := 1
		if m[1] != "" || !at(first.AddDate(0, 1, -1), 18, 0).After(now) {
			months = 2
		}
		return first.AddDate(0, months, -1), len(m[0]), 18, 0
	}
	if m := reISODate.FindStringSubmatch(w); m != nil {
		y, _ := strconv.Atoi(m[1])
		if t, ok := date(y, time.Month(small(m[2])), small(m[3])); ok {
			return t, len(m[0]), 9, 0
		}
		return day, 0, 0, 0
	}
	for _, re := range []*regexp.Regexp{reMonthDay, reNumDate} {
		if m := re.FindStringSubmatch(w); m != nil {
			t, ok := date(now.Year(), time.Month(small(m[1])), small(m[2]))
			if !ok {
				return day, 0, 0, 0
			}
			n := len(m[0])
			if re == reNumDate {
				n = len(m[1]) + 1 + len(m[2])
			}
			return t, n, 9, 12
		}
	}
	if m := reEngMonth.FindStringSubmatch(w); m != nil {
		month := time.Month(strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", m[1])/3 + 1)
		if t, ok := date(now.Year(), month, small(m[2])); ok {
			return t, len(m[0]), 9, 12
		}
		return day, 0, 0, 0
	}
	if m := reNextMon.FindStringSubmatch(w); m != nil {
		first := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, now.Location())
		if t, ok := date(first.Year(), first.Month(), small(m[1])); ok {
			return t, len(m[0]), 9, 0
		}
		return day, 0, 0, 0
	}
	if m := reDayOf.FindStringSubmatch(w); m != nil {
		d := small(m[1])
		for months := range 3 { // of three months in a row one has 31 days
			first := time.Date(now.Year(), now.Month()+time.Month(months), 1, 0, 0, 0, 0, now.Location())
			if t, ok := date(first.Year(), first.Month(), d); ok {
				return t, len(m[0]), 9, 1
			}
		}
	}
	return day, 0, 0, 0
}

// clock reads a time of day. dayHour 20 tells that the day's word was an
// evening, so that 今晚8点 is 20:00.
func clock(w string, dayHour int) (hour, minute, n int) {
	part := func(p string) string {
		if p == "" && dayHour == 20 {
			return "晚"
		}
		return p
	}
	if m := reClock.FindStringSubmatch(w); m != nil {
		h, mi := small(m[2]), small(m[3])
		if m[4] == "" {
			h = shift(part(m[1]), h, false)
		} else {
			h = meridiem(h, m[4])
		}
		if h >= 0 && h < 24 && mi < 60 {
			return h, mi, len(m[0])
		}
		return 0, 0, 0
	}
	if m := reAmPm.FindStringSubmatch(w); m != nil {
		if h := meridiem(small(m[1]), m[2]); h >= 0 && h < 24 {
			return h, 0, len(m[0])
		}
		return 0, 0, 0
	}
	if m := rePoint.FindStringSubmatch(w); m != nil {
		h, mi := shift(part(m[1]), small(m[2]), true), 0
		switch {
		case m[3] != "":
			mi = 30
		case m[4] != "":
			mi = 15
		case m[5] != "":
			mi = 45
		case m[6] != "":
			mi = small(m[6])
		}
		if h >= 0 && h < 24 && mi >= 0 && mi < 60 {
			return h, mi, len(m[0])
		}
		return 0, 0, 0
	}
	if m := reNoon.FindString(w); m != "" {
		switch m {
		case "早上", "上午", "上班", "morning":
			return 9, 0, len(m)
		case "下午", "afternoon":
			return 14, 0, len(m)
		case "傍晚", "下班", "下班前":
			return 18, 0, len(m)
		case "晚上", "evening":
			return 20, 0, len(m)
		}
		return 12, 0, len(m)
	}
	return 0, 0, 0
}

// digitsOrPoint keeps a lone 中午 or "morning" from being a time without a day.
func digitsOrPoint(w string) bool { return strings.ContainsAny(w, "0123456789点时") }

func meridiem(h int, m string) int {
	if h < 1 || h > 12 {
		return -1
	}
	h %= 12
	if m == "pm" {
		h += 12
	}
	return h
}

func shift(part string, h int, guess bool) int {
	switch part {
	case "下午", "傍晚", "晚上", "晚":
		if h >= 1 && h < 12 {
			return h + 12
		}
	case "中午":
		if h >= 1 && h <= 3 {
			return h + 12
		}
	case "":
		if guess && h >= 1 && h <= 6 {
			return h + 12
		}
	}
	return h
}
