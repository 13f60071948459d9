//go:build unix

package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/paidan/paidan/adapters/slack/slacktest"
)

// crowd is people at work in the chats: they ask, add, take, note, reply, hold,
// solve and confirm, as fast as they are answered.
type crowd struct {
	h       *house
	seed    uint64
	askers  int
	workers int
	acts    chan struct{} // what people may still do; see feed
	markers atomic.Int64
	seen    atomic.Int64 // clicks that were acknowledged
}

func (h *house) crowd(seed uint64, askers, workers int) *crowd {
	return &crowd{h: h, seed: seed, askers: askers, workers: workers, acts: make(chan struct{}, 1<<16)}
}

// feed lets people do n acts more: a platform that shows one post a second in a
// channel needs a minute for what they can do in a second.
func (c *crowd) feed(n int) {
	for range n {
		c.acts <- struct{}{}
	}
}

// enough ends the load when everything fed has been done.
func (c *crowd) enough() { close(c.acts) }

// run works until ctx ends or, after enough, all acts are done. What was begun
// is finished.
func (c *crowd) run(ctx context.Context) {
	var people sync.WaitGroup
	for i := range c.askers + c.workers {
		r := rand.New(rand.NewPCG(c.seed, uint64(i)))
		people.Go(func() {
			for {
				select {
				case _, more := <-c.acts:
					if !more {
						return
					}
				case <-ctx.Done():
					return
				}
				c.h.door.awaitOpen(30 * time.Second)
				if i < c.askers {
					c.ask(r)
				} else {
					c.work(r)
				}
			}
		})
	}
	people.Wait()
}

// say writes a message that no other one is like.
func (c *crowd) say(what, user, channel, thread, format string) string {
	marker := fmt.Sprintf("[m-%06d]", c.markers.Add(1))
	c.h.history.add(entry{Said: what, By: user, Marker: marker})
	ref, _ := c.h.slack.Say(user, channel, thread, fmt.Sprintf(format, marker))
	c.h.history.add(entry{Marker: marker, Ref: ref})
	return ref
}

// click presses a button, again when nothing came back: Slack does not repeat it.
func (c *crowd) click(user, ref, label string) bool {
	for range 3 {
		a := c.h.slack.Click(user, ref, label)
		if a.OK() {
			c.seen.Add(1)
			c.h.history.add(entry{Click: label, By: user, Ref: ref})
			return true
		}
		if a.Status == 0 && a.Err != nil && strings.Contains(a.Err.Error(), "nothing there is called") {
			return false // the card has changed meanwhile
		}
		c.h.door.awaitOpen(30 * time.Second)
	}
	return false
}

var troubles = []string{"打印机坏了 %s 在 3 楼", "VPN 连不上 %s，在家办公", "My laptop does not start %s since this morning", "申请显示器一台 %s", "ERP 报错 500 %s 急"}

// ask is somebody new who wants something, and perhaps adds to it.
func (c *crowd) ask(r *rand.Rand) {
	d := c.h.desks[r.IntN(len(c.h.desks))]
	user := c.h.users.add(c.h.slack.AddUser(slacktest.User{Name: fmt.Sprintf("user%d", c.markers.Load()), Locale: "zh-CN"}))
	ref := c.say("request", user, d.intake, "", troubles[r.IntN(len(troubles))])
	if r.Float64() < 0.2 {
		c.say("more", user, d.intake, "", "还有，工位是 A-%s")
	}
	if r.Float64() < 0.4 {
		c.say("more", user, d.intake, ref, "补充 昨天开始的 %s")
	}
}

// work is an agent, or now and then a requester, at a card.
func (c *crowd) work(r *rand.Rand) {
	d := c.h.desks[r.IntN(len(c.h.desks))]
	if r.Float64() < 0.25 {
		c.confirm(r, d)
		return
	}
	agent := c.h.agents[r.IntN(len(c.h.agents))]
	all := slices.DeleteFunc(c.h.slack.Cards(d.triage), func(m slacktest.Message) bool { return m.Thread != "" })
	if len(all) == 0 {
		c.ask(r)
		return
	}
	m := all[max(0, len(all)-1-r.IntN(min(len(all), 40)))] // mostly what is new
	if has(m, "接单") {
		var both sync.WaitGroup
		if r.Float64() < 0.3 { // two want it
			other := c.h.agents[r.IntN(len(c.h.agents))]
			both.Go(func() { c.click(other, m.Ref(), "接单") })
		}
		c.click(agent, m.Ref(), "接单")
		both.Wait()
	}
	switch n := r.IntN(10); {
	case n < 3:
		c.say("note", agent, d.triage, m.TS, "查过日志了 %s")
	case n < 5:
		c.say("reply", agent, d.triage, m.TS, "回复 已重置，请再试 %s")
	case n < 6:
		c.say("hold", agent, d.triage, m.TS, "挂起 2h 等备件 %s")
	case n < 7:
		c.say("release", agent, d.triage, m.TS, "退回 不归我们组 %s")
	default:
		c.say("solve", agent, d.triage, m.TS, "解决 换了硒鼓 %s")
	}
}

// confirm is a requester who is asked whether it is solved.
func (c *crowd) confirm(r *rand.Rand, d desk) {
	var roots = map[string]string{}
	var asked []slacktest.Message
	for _, m := range c.h.slack.Messages(d.intake) {
		switch {
		case m.User != "" && m.Thread == "":
			roots[m.TS] = m.User
		case m.User == "" && has(m, "已解决"):
			asked = append(asked, m)
		}
	}
	if len(asked) == 0 {
		return
	}
	m := asked[r.IntN(len(asked))]
	if user := roots[m.Thread]; user != "" {
		c.click(user, m.Ref(), "已解决")
	}
}

// has reports whether a message has a button or an entry of a menu of that name.
func has(m slacktest.Message, label string) bool {
	found := false
	walkText(m.Blocks, func(path, text string) { found = found || text == label && strings.Contains(path, "elements") })
	return found
}

// words is everything that a message shows.
func words(m slacktest.Message) string {
	var b strings.Builder
	b.WriteString(m.Text)
	walkText(m.Blocks, func(_, text string) { b.WriteString("\n" + text) })
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(b.String())
}

func walkText(blocks json.RawMessage, visit func(path, text string)) {
	var doc any
	if len(blocks) == 0 || json.Unmarshal(blocks, &doc) != nil {
		return
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(path, x)
			}
		case map[string]any:
			for k, x := range v {
				if s, ok := x.(string); ok && k == "text" {
					visit(path, s)
				} else {
					walk(path+"."+k, x)
				}
			}
		}
	}
	walk("", doc)
}
