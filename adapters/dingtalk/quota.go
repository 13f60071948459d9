package dingtalk

import (
	"context"
	"strconv"
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

// counted counts one paid call, and tells the admins once a month when most of
// them are used. A shelf that fails stops no message: the count is a little low.
func (a *Adapter) counted(ctx context.Context) {
	month := a.month()
	used, err := a.shelf.Add(context.WithoutCancel(ctx), "quota/"+month, 1, quotaKept)
	if err != nil {
		a.log.Warn("call was not counted", "install", a.install.String(), "error", err)
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
	return used, a.conf.Quota
}
