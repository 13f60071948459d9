//go:build unix

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// TestACustomerInWeChat: a customer writes to 微信客服, where nobody may answer
// him more than five times before he writes again. The agent works in WeCom and
// is told when a reply waits; it goes out by itself when the customer writes.
func TestACustomerInWeChat(t *testing.T) {
	ticketstest.EachURL(t, func(t *testing.T, dsn string) {
		s := newStage(t, "wecom", address(dsn), nil)
		c := s.chats[0].(*wecomChat)
		account := c.srv.AddAccount("售后客服")
		customer := c.srv.AddCustomer(wecomtest.Customer{Name: "周女士"})
		chat := wecomtest.ServiceChat(account, customer)
		s.start()
		defer s.stop()
		until := func(what string, ok func() bool) {
			t.Helper()
			deadline := time.After(patience)
			again := time.NewTicker(5 * time.Millisecond)
			defer again.Stop()
			for !ok() {
				select {
				case <-again.C:
				case <-deadline:
					t.Fatalf("not within %s: %s\nshe reads %q\nlog:\n%s", patience, what, customerReads(c, chat), s.log.String())
				}
			}
			s.settle()
		}
		says := func(text string) {
			t.Helper()
			if _, a := c.srv.CustomerSays(customer, account, text); wecomAnswered(a) != nil {
				t.Fatal(wecomAnswered(a))
			}
		}
		tickets := func(where string) string { return s.sql("SELECT count(*) FROM tickets WHERE " + where) }

		says("洗衣机漏水，三天了")
		until("her words are a ticket", func() bool { return tickets("title LIKE '洗衣机漏水%'") == "1" })
		s.must("say 李四 dm: 接单 #1")
		before := len(customerReads(c, chat))
		for i := range 6 {
			s.must(fmt.Sprintf("say 李四 dm: 回复 #1 第 %d 句", i+1))
			s.must("advance 8s")
		}
		told := func(sentence string) bool {
			return strings.Contains(strings.Join(customerReads(c, chat), "\n"), sentence)
		}
		if len(customerReads(c, chat)) > 5 || !told("第 1 句") || told("第 6 句") {
			t.Errorf("%d messages after one of hers, %d of them before the replies: %q", len(customerReads(c, chat)), before, customerReads(c, chat))
		}
		if dm := strings.Join(customerReads(c, wecomtest.AppChat(c.users["lisi"])), "\n"); !strings.Contains(dm, "#1 的回复还没送到") {
			t.Errorf("the agent is not told that his reply waits: %s", dm)
		}

		says("还在吗？")
		until("what waited goes out", func() bool { s.advance(time.Minute); return told("第 6 句") })
		all := strings.Join(customerReads(c, chat), "\n")
		for i := range 6 {
			if n := strings.Count(all, fmt.Sprintf("第 %d 句", i+1)); n != 1 {
				t.Errorf("reply %d reached her %d times", i+1, n)
			}
		}
		if n := tickets("1 = 1"); n != "1" {
			t.Errorf("%s tickets, want one: what she goes on to say belongs to it", n)
		}

		s.must("say 李四 dm: 解决 #1 换了进水管")
		menu := ""
		until("she is asked", func() bool {
			for _, m := range c.srv.Messages(chat) {
				if m.From == "" && strings.Contains(m.Text, "已解决") {
					menu = m.Ref()
				}
			}
			return menu != ""
		})
		if err := wecomAnswered(c.srv.CustomerChooses(customer, account, menu, "已解决")); err != nil {
			t.Fatal(err)
		}
		until("it is closed", func() bool { return tickets("status = 'closed'") == "1" })
	})
}

// customerReads is what somebody was told in a chat.
func customerReads(c *wecomChat, conv string) []string {
	var out []string
	for _, m := range c.srv.Messages(conv) {
		if m.From == "" {
			out = append(out, m.Text+string(m.Card))
		}
	}
	return out
}
