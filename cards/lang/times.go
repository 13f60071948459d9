package lang

import (
	"fmt"
	"strconv"
	"time"
)

// Span says how long something takes, with its two largest units: 2 天 5 时,
// 3 h 40 min. A negative span is said without its sign.
func Span(l string, d time.Duration) string {
	if d < 0 {
		d = -d
	}
	minutes := int64(d / time.Minute)
	days, hours, mins := minutes/(24*60), minutes/60%24, minutes%60
	n := func(i int64) string { return strconv.FormatInt(i, 10) }
	switch {
	case minutes == 0:
		return Text(l, "span.moment")
	case days > 0 && hours == 0:
		return Text(l, "span.days", "d", n(days))
	case days > 0:
		return Text(l, "span.days_hours", "d", n(days), "h", n(hours))
	case hours > 0 && mins == 0:
		return Text(l, "span.hours", "h", n(hours))
	case hours > 0:
		return Text(l, "span.hours_minutes", "h", n(hours), "m", fmt.Sprintf("%02d", mins))
	}
	return Text(l, "span.minutes", "m", n(mins))
}

// When says an instant as shortly as a reader at now needs it: 14:32 for today,
// else with the date, and with the year when that is another one. A nil zone
// means UTC.
func When(l string, t, now time.Time, zone *time.Location) string {
	return instant(l, t, now, zone, false)
}

// WhenDay is When with the weekday beside a date, for times somebody plans with.
func WhenDay(l string, t, now time.Time, zone *time.Location) string {
	return instant(l, t, now, zone, true)
}

func instant(l string, t, now time.Time, zone *time.Location, weekday bool) string {
	if zone == nil {
		zone = time.UTC
	}
	t, now = t.In(zone), now.In(zone)
	ty, tm, td := t.Date()
	ny, nm, nd := now.Date()
	clock := t.Format("15:04")
	if ty == ny && tm == nm && td == nd {
		return clock
	}
	key := "when.date"
	switch {
	case ty != ny:
		key = "when.year"
	case weekday:
		key = "when.weekday"
	}
	return Text(l, key, "year", strconv.Itoa(ty), "month", Month(l, tm), "day", strconv.Itoa(td),
		"weekday", Weekday(l, t.Weekday()), "clock", clock)
}

var (
	zhDays = [...]string{"周日", "周一", "周二", "周三", "周四", "周五", "周六"}
	enDays = [...]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
)

// Weekday is the short name of a day of the week.
func Weekday(l string, d time.Weekday) string {
	if d < 0 || d > 6 {
		return ""
	}
	if Match(l) == ZH {
		return zhDays[d]
	}
	return enDays[d]
}

// Month is the short name of a month: 11, Nov.
func Month(l string, m time.Month) string {
	if Match(l) == ZH {
		return strconv.Itoa(int(m))
	}
	name := m.String()
	if len(name) > 3 {
		name = name[:3]
	}
	return name
}
