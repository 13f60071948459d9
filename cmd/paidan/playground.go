package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/tickets"
)

// purposeKey derives a key that serves one purpose only.
func purposeKey(key []byte, purpose string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("v1:" + purpose + ":"))
	return h.Sum(nil)
}

// clockKey is where the playground's clock is kept.
const clockKey = "playground.clock_offset"

// keptClock is the playground's clock: how far it has been put forward outlives
// a restart, or tickets would lie in the future.
type keptClock struct {
	*clock.Clock
	svc *tickets.Service
	log *slog.Logger
}

// Advance puts the clock forward and keeps it so.
func (k *keptClock) Advance(d time.Duration) {
	k.Clock.Advance(d)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := k.svc.SetMeta(ctx, clockKey, strconv.FormatInt(int64(k.Offset()), 10)); err != nil {
		k.log.Error("clock was not kept", "err", err)
	}
}

func restoreClock(ctx context.Context, svc *tickets.Service, clk *clock.Clock) error {
	text, err := svc.Meta(ctx, clockKey)
	if err != nil || text == "" {
		return err
	}
	d, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("kept clock %q: %w", text, err)
	}
	clk.SetOffset(time.Duration(d))
	return nil
}

// seedKey says that the playground has been furnished.
const seedKey = "playground.seeded"

// seed furnishes a new playground with a handful of tickets, by the same
// commands that people give.
func seed(ctx context.Context, svc *tickets.Service, b *bot.Bot, clk *clock.Clock, conf Config) error {
	done, err := svc.Meta(ctx, seedKey)
	if err != nil || done != "" {
		return err
	}
	if err := b.SyncMembers(ctx); err != nil {
		return err
	}
	desks, err := svc.Desks(ctx)
	if err != nil || len(desks) == 0 || desks[0].Key != "it" {
		return err
	}
	const at = "playground/default/"
	// The customer asked in private: the group is left to the visitor's own
	// first try, with the guide on top.
	install := bot.Install{Platform: "playground", Name: "default"}
	asked := tickets.Origin{Lane: bot.Private(bot.UserRef{Install: install, ID: "wangfang"}).Lane()}
	now := clk.Now()
	for i, s := range seeds {
		var id tickets.TicketID
		for j, step := range s {
			if _, err := svc.EnsureAccount(ctx, tickets.Profile{Account: at + step.who, Name: step.name, Locale: conf.Locale}, now); err != nil {
				return err
			}
			res, err := svc.Do(ctx, tickets.Request{
				Once: fmt.Sprintf("seed|%d|%d", i, j), Account: at + step.who, Ticket: id, Command: step.do,
				Origin: asked, Now: now.Add(-step.ago),
			})
			if err != nil {
				return fmt.Errorf("ticket %d, step %d: %w", i+1, j+1, err)
			}
			id = res.Ticket.ID
		}
	}
	return svc.SetMeta(ctx, seedKey, "1")
}

// seedStep is one act in the life of a seeded ticket.
type seedStep struct {
	who, name string
	ago       time.Duration
	do        tickets.Command
}

var seeds = [][]seedStep{
	{
		{"wangfang", "王芳", 26 * time.Hour, tickets.Open{Desk: "it", Title: "企业邮箱收不到外部邮件", Body: "从昨天下午开始，客户发来的邮件都收不到，内部邮件正常。\n客户那边没有退信。", Type: "account", Fields: map[string]string{"system": "企业邮箱", "login": "wangfang"}}},
		{"lisi", "李四", 25 * time.Hour, tickets.Claim{}},
		{"lisi", "李四", 24 * time.Hour, tickets.Reply{Text: "反垃圾网关把对方域名拦住了，已经放行，请让客户再发一封试试。"}},
		{"lisi", "李四", 23 * time.Hour, tickets.Solve{Text: "反垃圾网关误拦对方域名，已加入白名单。", Cause: "配置错误"}},
		{"wangfang", "王芳", 22 * time.Hour, tickets.Confirm{}},
	},
	{
		{"wangfang", "王芳", 95 * time.Minute, tickets.Open{Desk: "it", Title: "三楼打印机又卡纸了", Body: "前台旁边那台，取出来又卡，今天第三次了。", Type: "hardware", Priority: 3, Fields: map[string]string{"device": "HP M479", "location": "三楼前台"}, Tags: []string{"打印机"}}},
		{"wangwu", "王五", 80 * time.Minute, tickets.Claim{}},
		{"wangwu", "王五", 70 * time.Minute, tickets.HoldUntil{Reason: "搓纸轮磨损，等配件明天到"}},
	},
	{
		{"wangfang", "王芳", 40 * time.Minute, tickets.Open{Desk: "it", Title: "客户要求退款，订单已发货", Body: "客户说尺码不对要退款，货还在路上，怎么处理？", Type: "refund", Priority: 2, Fields: map[string]string{"order": "SO-20261118-0427", "phone": "13800005678", "amount": "329"}}},
	},
	{
		{"wangfang", "王芳", 12 * time.Minute, tickets.Open{Desk: "it", Title: "VPN 一连就断", Body: "在家办公，提示 E07，重装客户端也不行。", Type: "account", Priority: 2, Fields: map[string]string{"system": "VPN", "login": "wangfang"}}},
		{"lisi", "李四", 10 * time.Minute, tickets.Claim{}},
	},
}
