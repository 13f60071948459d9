//go:build unix

package crashtest

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// People see a card before its name is recorded, and a crash in between leaves
// it unknown for a while. Who answers in its thread meanwhile is heard (F03).
func TestAnAnswerToACardThatIsNotRecordedYetIsHeard(t *testing.T) {
	t.Parallel()
	url := ticketstest.SQLite(t)
	h := newHouse(t, url)
	d := h.desks[0]
	load := h.crowd(1, 0, 0)
	p := h.open()

	// The platform shows the card and never says so.
	h.weather.become(func(method string) fault {
		if method == "chat.postMessage" {
			return lostAnswer
		}
		return fine
	})
	user := h.users.add(h.slack.AddUser(slacktest.User{Name: "wang", Locale: "zh-CN"}))
	load.say("request", user, d.intake, "", "打印机坏了 %s")
	var card slacktest.Message
	if !await(20*time.Second, func() bool {
		all := h.slack.Cards(d.triage)
		if len(all) > 0 {
			card = all[0]
		}
		return len(all) > 0
	}) {
		t.Fatalf("no card\n%s", h.log.tail())
	}
	h.weather.become(func(method string) fault {
		if strings.HasPrefix(method, "chat.") || strings.HasPrefix(method, "conversations.") {
			return broken
		}
		return fine
	})
	p.kill()
	p = h.open()

	var saying sync.WaitGroup
	saying.Go(func() { load.say("note", h.agents[0], d.triage, card.TS, "查过日志了 %s") })
	if !await(20*time.Second, func() bool { return h.door.status(http.StatusServiceUnavailable) > 0 }) {
		t.Error("what was said about an unknown card was acknowledged")
	}
	h.weather.become(nil)
	saying.Wait()
	h.quiesce(time.Minute)
	p.stop()
	rep := h.check(url)
	t.Log(rep)
	rep.fail(t)
	if rep.effects != 2 {
		t.Errorf("%d texts became events, want the request and the answer", rep.effects)
	}
}
