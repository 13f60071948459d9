package dingtalk

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// A company has a number of calls a month, for all its apps. Only our own are
// counted here; DingTalk's resource page shows them all.
// https://open.dingtalk.com/document/development/dingtalk-application-development-platform-billing-model

// beijing is where DingTalk's months begin.
var beijing = time.FixedZone("CST", 8*60*60)

const quotaKept = 70 * 24 * time.Hour

func (a *Adapter) month() string { return a.now().In(beijing).Format("2006-01") }

// Calls are noted together: each alone would cost a write to the database. What a
// process that is killed has not noted is lost, a handful at most.
const (
	noteCalls = 16 // or half a percent of the quota, if that is less
	noteEvery = 10 * time.Second
)

// calls are those that have been made and not noted yet.
type calls struct {
	mu    sync.Mutex // guards what follows
	month string
	n     int64
	since time.Time // when the first of them was made
}

// add counts a call, and returns those that are to be noted now: when there are
// most of them, or they have waited long enough.
func (c *calls) add(month string, now time.Time, most int64) (of string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n > 0 && c.month != month {
		of, n = c.month, c.n
		c.month, c.since, c.n = month, now, 1
		return of, n
	}
	if c.n == 0 {
		c.month, c.since = month, now
	}
	c.n++
	if c.n < most && now.Sub(c.since) < noteEvery {
		return "", 0
	}
	of, n = c.month, c.n
	c.n = 0
	return of, n
}

// in returns how many of a month are not noted yet.
func (c *calls) in(month string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.month != month {
		return 0
	}
	return c.n
}

// back takes calls back that could not be noted.
func (c *calls) back(month string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 || c.month == month {
		c.month = month
		c.n += n
	}
}

// counted counts one paid call, and tells the admins once a month when most of
// them are used. A shelf that fails stops no message: it is noted later.
func (a *Adapter) counted(ctx context.Context) {
	month, n := a.unnoted.add(a.month(), a.now(), min(noteCalls, a.conf.Quota/200))
	if n == 0 {
		return
	}
	used, err := a.shelf.Add(context.WithoutCancel(ctx), "quota/"+month, n, quotaKept)
	if err != nil {
		a.unnoted.back(month, n)
		a.log.Warn("calls were not noted, trying again", "install", a.install.String(), "error", err)
		return
	}
	if used*5 >= a.conf.Quota*4 {
		a.warn(ctx, month, used)
	}
}

// exhausted tells the admins that nothing more can be sent this month.
func (a *Adapter) exhausted(ctx context.Context) {
	used, limit := a.Used(ctx)
	a.warn(ctx, "over/"+a.month(), max(used, limit))
}

// warn tells the admins; each process does so once, and of all of them the
// first is heard.
func (a *Adapter) warn(ctx context.Context, what string, used int64) {
	if was := a.warned.Swap(&what); was != nil && *was == what {
		return
	}
	a.alarm(ctx, bot.Alarm{
		Once: "quota/" + what, What: cards.AlarmQuota,
		Args: map[string]string{"used": strconv.FormatInt(used, 10), "limit": strconv.FormatInt(a.conf.Quota, 10)},
	})
}

// Used is how many paid calls Paidan has made this month, of how many the
// company may make. What cannot be read counts as 0.
func (a *Adapter) Used(ctx context.Context) (used, limit int64) {
	text, err := a.shelf.Get(ctx, "quota/"+a.month())
	if err == nil && text != "" {
		used, err = strconv.ParseInt(text, 10, 64)
	}
	if err != nil {
		a.log.Warn("count of calls was not read", "install", a.install.String(), "error", err)
	}
	return used + a.unnoted.in(a.month()), a.conf.Quota
}
