package tickets_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
)

const tamperings = 250 // on each database

// TestEveryTamperingIsFound (TK11): whoever can write the database changes the
// record in one of many ways. What leaves the chain itself whole is found by the
// anchors, also when those were rewritten, against their copies outside.
func TestEveryTamperingIsFound(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.fillRecord()
		kept, err := h.s.MakeAnchors(t.Context(), h.now.Add(2*time.Hour))
		if err != nil || len(kept) == 0 {
			t.Fatal(kept, err)
		}
		if v, err := h.s.VerifyAll(t.Context(), kept...); err != nil || v.Anchors != len(kept) || v.Events < 100 {
			t.Fatalf("untouched: %+v, %v", v, err)
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		ways := tamperWays()
		found := map[string]int{}
		for i := range tamperings {
			way := ways[i%len(ways)]
			undo := h.tamper(rnd, way.change)
			_, err := h.s.VerifyAll(t.Context(), kept...)
			if !errors.Is(err, tickets.ErrChain) {
				t.Errorf("%s (try %d) was not found: %v", way.name, i, err)
			}
			found[way.name]++
			undo()
		}
		if _, err := h.s.VerifyAll(t.Context(), kept...); err != nil {
			t.Fatalf("the test did not put everything back: %v", err)
		}
		t.Logf("found: %v", found)
	})
}

// fillRecord makes some tickets with a history over several hours.
func (h *house) fillRecord() {
	for i := range 12 {
		tk := h.open(fmt.Sprintf("第 %d 张", i))
		h.do(li, tk.ID, tickets.Claim{})
		h.do(li, tk.ID, tickets.Reply{Text: "看一下"})
		h.do(wang, tk.ID, tickets.Say{Text: "还是不行"})
		h.later(20 * time.Minute)
		h.do(li, tk.ID, tickets.SetPriority{Priority: 2})
		h.do(li, tk.ID, tickets.Note{Text: "换线"})
		h.do(li, tk.ID, tickets.Solve{Text: "好了"})
		h.do(wang, tk.ID, tickets.Confirm{})
		h.do(wang, tk.ID, tickets.Reopen{Reason: "又坏"})
		h.do(zhao, tk.ID, tickets.Assign{To: h.people[zhang]})
	}
}

// tamper copies the tables of the record, lets change do its work, and returns
// what puts them back.
func (h *house) tamper(rnd *rand.Rand, change func(h *house, rnd *rand.Rand)) (undo func()) {
	tables := []string{"events", "tickets", "anchors"}
	for _, table := range tables {
		h.exec(`DROP TABLE IF EXISTS was_` + table)
		h.exec(`CREATE TABLE was_` + table + ` AS SELECT * FROM ` + table)
	}
	change(h, rnd)
	return func() {
		for _, table := range tables {
			h.exec(`DELETE FROM ` + table)
			overriding := ""
			if table == "tickets" && !h.db.SQLite() {
				overriding = ` OVERRIDING SYSTEM VALUE`
			}
			h.exec(`INSERT INTO ` + table + overriding + ` SELECT * FROM was_` + table)
		}
	}
}

// some returns a random event.
func (h *house) some(rnd *rand.Rand, where string) (id string, seq int64) {
	var all []struct {
		ID  string `db:"ticket_id"`
		Seq int64  `db:"seq"`
	}
	if err := h.db.Select(context.Background(), &all, `SELECT ticket_id, seq FROM events WHERE `+where+` ORDER BY ticket_id, seq`); err != nil {
		h.t.Fatal(err)
	}
	e := all[rnd.IntN(len(all))]
	return e.ID, e.Seq
}

type tamperWay struct {
	name   string
	change func(h *house, rnd *rand.Rand)
}

func tamperWays() []tamperWay {
	var ways []tamperWay
	set := func(column, value, where string) {
		ways = append(ways, tamperWay{"set " + column + " = " + value, func(h *house, rnd *rand.Rand) {
			id, seq := h.some(rnd, where)
			h.exec(`UPDATE events SET `+column+` = `+value+` WHERE ticket_id = ? AND seq = ?`, id, seq)
		}})
	}
	for _, c := range []string{"kind", "actor", "via", "once", "facts", "digest", "prev", "hash"} {
		set(c, c+` || 'x'`, `1 = 1`)
		set(c, `''`, c+` <> ''`)
	}
	set("at", "at + 1", `1 = 1`)
	set("at", "at - 3600000000", `1 = 1`)
	set("seq", "seq + 1000", `1 = 1`)
	set("ticket_id", "ticket_id || 'x'", `1 = 1`)
	set("facts", `replace(facts, ':', ': ')`, `facts LIKE '%:%'`)
	set("words", `words || ' '`, `words <> ''`)
	set("words", `''`, `words <> ''`)
	set("words", `'{"text":"x"}'`, `words = ''`)
	set("salt", `salt || '0'`, `words <> ''`)
	set("salt", `'00'`, `words = ''`)
	return append(ways,
		tamperWay{"delete one", func(h *house, rnd *rand.Rand) {
			id, seq := h.some(rnd, `1 = 1`)
			h.exec(`DELETE FROM events WHERE ticket_id = ? AND seq = ?`, id, seq)
		}},
		tamperWay{"swap two", func(h *house, rnd *rand.Rand) {
			id, seq := h.some(rnd, `seq > 1`)
			h.exec(`UPDATE events SET seq = -1 WHERE ticket_id = ? AND seq = ?`, id, seq)
			h.exec(`UPDATE events SET seq = ? WHERE ticket_id = ? AND seq = ?`, seq, id, seq-1)
			h.exec(`UPDATE events SET seq = ? WHERE ticket_id = ? AND seq = -1`, seq-1, id)
		}},
		tamperWay{"insert one at the end", func(h *house, rnd *rand.Rand) {
			id, _ := h.some(rnd, `1 = 1`)
			h.exec(`INSERT INTO events (ticket_id, seq, kind, at, facts, hash) SELECT ticket_id, seq + 1, kind, at, facts, hash FROM events e
				WHERE ticket_id = ? AND seq = (SELECT max(seq) FROM events m WHERE m.ticket_id = e.ticket_id)`, id)
		}},
		tamperWay{"cut the tail", func(h *house, rnd *rand.Rand) {
			id, seq := h.some(rnd, `seq > 1`)
			h.exec(`DELETE FROM events WHERE ticket_id = ? AND seq >= ?`, id, seq)
		}},
		tamperWay{"cut the tail and its ticket's row", func(h *house, rnd *rand.Rand) {
			id, seq := h.some(rnd, `seq > 1`)
			h.exec(`DELETE FROM events WHERE ticket_id = ? AND seq >= ?`, id, seq)
			h.settle(id)
		}},
		tamperWay{"delete a ticket whole", func(h *house, rnd *rand.Rand) {
			id, _ := h.some(rnd, `1 = 1`)
			h.exec(`DELETE FROM events WHERE ticket_id = ?`, id)
			h.exec(`DELETE FROM tickets WHERE id = ?`, id)
		}},
		tamperWay{"delete a ticket's row", func(h *house, rnd *rand.Rand) {
			id, _ := h.some(rnd, `1 = 1`)
			h.exec(`DELETE FROM tickets WHERE id = ?`, id)
		}},
		tamperWay{"rewrite a chain", func(h *house, rnd *rand.Rand) {
			id, _ := h.some(rnd, `1 = 1`)
			h.rewrite(id)
		}},
		tamperWay{"rewrite a chain and all anchors", func(h *house, rnd *rand.Rand) {
			id, _ := h.some(rnd, `1 = 1`)
			h.rewrite(id)
			h.exec(`DELETE FROM anchors`)
			if _, err := h.s.MakeAnchors(context.Background(), h.now.Add(2*time.Hour)); err != nil {
				h.t.Fatal(err)
			}
		}},
		tamperWay{"delete the anchors", func(h *house, _ *rand.Rand) { h.exec(`DELETE FROM anchors`) }},
		tamperWay{"change an anchor", func(h *house, _ *rand.Rand) { h.exec(`UPDATE anchors SET digest = hash`) }},
	)
}

// settle makes the ticket's row agree with the newest event there is.
func (h *house) settle(id string) {
	h.exec(`UPDATE tickets SET version = (SELECT max(seq) FROM events WHERE ticket_id = id),
		head = (SELECT hash FROM events WHERE ticket_id = id ORDER BY seq DESC LIMIT 1) WHERE id = ?`, id)
}

// rewrite forges a whole chain by somebody who knows how it is made: another
// person did everything, all hashes fit.
func (h *house) rewrite(id string) {
	var rows []struct {
		Seq    int64  `db:"seq"`
		Kind   string `db:"kind"`
		Via    string `db:"via"`
		At     int64  `db:"at"`
		Once   string `db:"once"`
		Facts  string `db:"facts"`
		Digest string `db:"digest"`
	}
	err := h.db.Tx(context.Background(), func(tx *sqldb.Tx) error {
		ctx := context.Background()
		if err := tx.Select(ctx, &rows, `SELECT seq, kind, via, at, once, facts, digest FROM events WHERE ticket_id = ? ORDER BY seq`, id); err != nil {
			return err
		}
		prev := ""
		for _, e := range rows {
			hash := sha256.New()
			for _, part := range []string{"paidan-event-1", id, strconv.FormatInt(e.Seq, 10), e.Kind, "forger", e.Via, strconv.FormatInt(e.At, 10), e.Once, e.Facts, e.Digest, prev} {
				fmt.Fprintf(hash, "%d:%s", len(part), part)
			}
			sum := hex.EncodeToString(hash.Sum(nil))
			if _, err := tx.Exec(ctx, `UPDATE events SET actor = 'forger', prev = ?, hash = ? WHERE ticket_id = ? AND seq = ?`, prev, sum, id, e.Seq); err != nil {
				return err
			}
			prev = sum
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.settle(id)
	if _, err := h.s.History(context.Background(), tickets.TicketID(id)); err != nil {
		h.t.Fatalf("the forged chain is no good: %v", err)
	}
}
