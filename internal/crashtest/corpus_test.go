//go:build unix

package crashtest

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// line is one recorded text, and what came of it.
type line struct {
	name, text string
	ref        string // of the message
	acked      bool
}

func recorded(t *testing.T, name string) []*line {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("..", "..", "bot", "testdata", "requests", name))
	if err != nil {
		t.Fatal(err)
	}
	var out []*line
	for _, f := range a.Files {
		out = append(out, &line{name: f.Name, text: strings.TrimSuffix(string(f.Data), "\n")})
	}
	return out
}

var (
	webRE  = regexp.MustCompile(`https?://[!-;=?-~]+`)
	mailRE = regexp.MustCompile(`[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+`)
	escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
)

// typed is a text as Slack sends it on when a person types it: three characters
// become entities, and what looks like an address becomes a link.
func typed(text string) string {
	text = escape.Replace(text)
	text = webRE.ReplaceAllStringFunc(text, func(s string) string { return "<" + s + ">" })
	parts := webRE.FindAllStringIndex(text, -1)
	if len(parts) > 0 {
		return text // an address within an address stays as it is
	}
	return mailRE.ReplaceAllStringFunc(text, func(s string) string { return "<mailto:" + s + "|" + s + ">" })
}

// Every recorded request comes in by the signed door and is one ticket with its
// text intact to the byte; what asks for nothing is none.
//
// Intact means: the description is what was typed, without the white space
// around it, which Slack does not keep either.
func TestEveryRecordedRequestBecomesOneTicket(t *testing.T) {
	t.Parallel()
	ticketstest.EachURL(t, func(t *testing.T, url string) {
		h := newHouse(t, url)
		p := h.open()
		requests, chatter := recorded(t, "requests.txtar"), recorded(t, "chatter.txtar")
		if len(requests) < 320 || len(chatter) < 100 {
			t.Fatalf("only %d requests and %d others", len(requests), len(chatter))
		}
		begin := time.Now()
		work := make(chan *line) // at the cards nobody looks here: in one channel they would take minutes
		var people sync.WaitGroup
		for range 16 {
			people.Go(func() {
				for l := range work {
					user := h.users.add(h.slack.AddUser(slacktest.User{Name: l.name, Locale: "zh-CN"}))
					ref, answers := h.slack.Say(user, h.desks[0].intake, "", typed(l.text))
					l.ref, l.acked = ref, len(answers) == 1 && answers[0].OK()
				}
			})
		}
		for _, l := range append(requests, chatter...) {
			work <- l
		}
		close(work)
		people.Wait()
		took := time.Since(begin)
		left := p.stop()

		db := ticketstest.Open(t, url)
		wrong := 0
		for _, l := range requests {
			wrong += l.check(t, db, true)
		}
		opened := 0
		for _, l := range chatter {
			asks := !tickets.Chatter(l.text)
			if asks {
				opened++
			}
			wrong += l.check(t, db, asks)
		}
		var all int
		if err := db.Get(context.Background(), &all, `SELECT count(*) FROM tickets`); err != nil {
			t.Fatal(err)
		}
		if want := len(requests) + opened; all != want {
			t.Errorf("%d tickets, want %d", all, want)
		}
		v, err := tickets.NewService(db, nil, slog.New(slog.DiscardHandler)).VerifyAll(context.Background())
		if err != nil || v.Tickets != all {
			t.Errorf("chains of %d tickets: %v", v.Tickets, err)
		}
		t.Logf("%d requests and %d others in %s; %d tickets, %d wrong; stopped in %s", len(requests), len(chatter), took.Round(time.Second/10), all, wrong, left.Round(time.Millisecond))
	})
}

// check returns 1 when what is stored of a text is not what it should be.
func (l *line) check(t *testing.T, db *sqldb.DB, want bool) int {
	t.Helper()
	ctx := context.Background()
	if !l.acked {
		t.Errorf("%s was not acknowledged", l.name)
		return 1
	}
	var found []string
	err := db.Select(ctx, &found, `SELECT t.doc FROM tickets t JOIN places p ON p.ticket_id = t.id WHERE p.thread = ? AND p.audience = 'requester'`, l.ref)
	if err != nil {
		t.Fatal(err)
	}
	if !want {
		if len(found) != 0 {
			t.Errorf("%s opened a ticket: %q", l.name, l.text)
			return 1
		}
		return 0
	}
	if len(found) != 1 {
		t.Errorf("%s became %d tickets: %q", l.name, len(found), l.text)
		return 1
	}
	tk := &tickets.Ticket{}
	if err := json.Unmarshal([]byte(found[0]), tk); err != nil {
		t.Fatal(err)
	}
	if got, want := tk.Body, strings.Trim(l.text, " \t\r\n"); got != want {
		t.Errorf("%s is not intact:\ngot  %q\nwant %q", l.name, got, want)
		return 1
	}
	var words string
	if err := db.Get(ctx, &words, `SELECT words FROM events WHERE ticket_id = ? AND seq = 1`, string(tk.ID)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(words, `"body"`) && tk.Body != tk.Title {
		t.Errorf("%s: the event that opened it does not hold its text: %s", l.name, words)
		return 1
	}
	return 0
}
