//go:build unix

package crashtest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// A checker that finds nothing may be blind. After a good run one thing is
// spoiled at a time, and each must be found (G48).
func TestTheCheckerSeesWhatIsSpoiled(t *testing.T) {
	t.Parallel()
	url := ticketstest.SQLite(t)
	h := newHouse(t, url)
	p := h.open()
	load := h.crowd(7, 3, 3)
	load.feed(40)
	load.enough()
	load.run(context.Background())
	h.quiesce(time.Minute)
	p.stop()
	good := h.check(url)
	t.Log(good)
	good.fail(t)

	for _, s := range []struct {
		name string
		sql  []string
		want sort
	}{
		{"loss", []string{
			`DELETE FROM events WHERE ticket_id = (SELECT id FROM tickets ORDER BY number LIMIT 1)`,
			`DELETE FROM tickets WHERE number = (SELECT min(number) FROM tickets)`}, lost},
		{"duplicate", []string{
			`INSERT INTO events (ticket_id, seq, kind, actor, via, at, once, facts, words, salt, digest, prev, hash)
				SELECT t.id, t.version + 1, e.kind, e.actor, e.via, e.at, e.once, e.facts, e.words, e.salt, e.digest, t.head, e.hash
				FROM events e JOIN tickets t ON t.id = e.ticket_id WHERE e.seq = 1 AND e.words <> '' ORDER BY t.number LIMIT 1`}, doubled},
		{"double owner", []string{
			`INSERT INTO events (ticket_id, seq, kind, actor, via, at, once, facts, words, salt, digest, prev, hash)
				SELECT e.ticket_id, 1000000, 'claimed', 'somebody else', e.via, e.at, 'x', e.facts, '', '', '', e.hash, 'x'
				FROM events e WHERE e.kind = 'claimed' AND NOT EXISTS (SELECT 1 FROM events l WHERE l.ticket_id = e.ticket_id AND l.kind IN ('released', 'assigned')) LIMIT 1`}, twoOwners},
		{"a change without an event", []string{`UPDATE tickets SET doc = replace(doc, '"priority":3', '"priority":1')`}, torn},
		{"a changed event", []string{`UPDATE events SET facts = replace(facts, '"new"', '"active"') WHERE seq = 1`}, chain},
		{"a forgotten message", []string{`UPDATE outbox SET state = 'pending' WHERE state = 'done'`}, limbo},
		{"a dead letter", []string{`UPDATE outbox SET state = 'dead' WHERE state = 'done'`}, dead},
		{"a card that was not shown", []string{`UPDATE places SET shown = shown - 1 WHERE audience = 'team'`}, stale},
	} {
		t.Run(s.name, func(t *testing.T) {
			spoiled := copyOf(t, url)
			db := ticketstest.Open(t, spoiled)
			err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
				for _, q := range s.sql {
					n, err := tx.Exec(t.Context(), q)
					if err != nil {
						return err
					}
					if n == 0 {
						t.Errorf("nothing to spoil for %s", q)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			find(t, h.check(spoiled), s.want)
		})
	}

	card := h.slack.Cards(h.desks[0].triage)[0]
	t.Run("a stale card", func(t *testing.T) {
		old := map[string]string{"channel": card.Channel, "ts": card.TS, "text": "#1", "blocks": `[{"type":"section","text":{"type":"plain_text","text":"#1 as it was"}}]`}
		call(t, h, "chat.update", old)
		find(t, h.check(url), stale)
		old["text"], old["blocks"] = card.Text, string(card.Blocks)
		call(t, h, "chat.update", old)
		h.check(url).fail(t)
	})
	t.Run("a card shown twice", func(t *testing.T) {
		call(t, h, "chat.postMessage", map[string]string{"channel": card.Channel, "text": card.Text, "metadata": string(card.Metadata)})
		find(t, h.check(url), postedTwice)
	})
	t.Run("a message from nowhere", func(t *testing.T) {
		call(t, h, "chat.postMessage", map[string]string{"channel": card.Channel, "text": "hello"})
		find(t, h.check(url), unexpected)
	})
	t.Run("an error in the log", func(t *testing.T) {
		h.log.read(strings.NewReader("time=2026 level=ERROR msg=oops\n"))
		find(t, h.check(url), said)
	})
}

func find(t *testing.T, r *report, want sort) {
	t.Helper()
	if !r.has(want) {
		t.Errorf("the checker did not see it; it found %v", r.findings)
	}
}

// copyOf copies a SQLite file that nobody has open.
func copyOf(t *testing.T, url string) string {
	t.Helper()
	data, err := os.ReadFile(strings.TrimPrefix(url, "sqlite://"))
	path := filepath.Join(t.TempDir(), "copy.db")
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return "sqlite://" + path
}

// call does what only the bot can do.
func call(t *testing.T, h *house, method string, args map[string]string) {
	t.Helper()
	form := neturl.Values{"token": {slacktest.BotToken}}
	for k, v := range args {
		form.Set(k, v)
	}
	resp, err := http.PostForm(h.slack.APIURL()+method, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		OK bool `json:"ok"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || !answer.OK {
		t.Fatalf("%s: %s", method, body)
	}
}
