package tickets

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/paidan/paidan/internal/sqldb"
)

// Erase forgets who a person was: the name, the addresses, the accounts, the
// words of everything that he wrote or that was written for him, and the files
// that came with it. What happened stays, and the chains stay valid.
func (s *Service) Erase(ctx context.Context, p PersonID, now time.Time) error {
	return s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		e := erasure{tx: tx}
		for _, step := range []func(context.Context) error{
			func(ctx context.Context) error { return e.findNames(ctx, p) },
			e.findTickets,
			func(ctx context.Context) error { return e.forgetPerson(ctx, At(now)) },
			e.forgetWords,
			e.rebuild,
			e.dropFiles,
		} {
			if err := step(ctx); err != nil {
				return fmt.Errorf("erase person: %w", err)
			}
		}
		return nil
	})
}

type erasure struct {
	tx      *sqldb.Tx
	in      string // list of the person's ids for IN
	ids     []any
	tickets []TicketID // that he asked for or did something to
	files   map[string]bool
}

// findNames gathers all the ids that the person was known by.
func (e *erasure) findNames(ctx context.Context, p PersonID) error {
	var ids []PersonID
	err := e.tx.Select(ctx, &ids, `SELECT q.id FROM people q JOIN people p ON p.id = ?
		WHERE q.id = p.id OR q.merged = p.id OR p.merged <> '' AND (q.id = p.merged OR q.merged = p.merged)`, p)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return Refuse(NoSuchPerson)
	}
	for _, id := range ids {
		e.ids = append(e.ids, id)
	}
	e.in = `(?` + strings.Repeat(`, ?`, len(ids)-1) + `)`
	return nil
}

func (e *erasure) findTickets(ctx context.Context) error {
	return e.tx.Select(ctx, &e.tickets, `SELECT id FROM tickets WHERE requester IN `+e.in+` UNION SELECT ticket_id FROM events WHERE actor IN `+e.in,
		append(append([]any{}, e.ids...), e.ids...)...)
}

func (e *erasure) forgetPerson(ctx context.Context, now Time) error {
	if _, err := e.tx.Exec(ctx, `UPDATE people SET name = '', email = '', phone = '', locale = '', zone = '', erased = ? WHERE id IN `+e.in, append([]any{now}, e.ids...)...); err != nil {
		return err
	}
	for _, q := range []string{
		`DELETE FROM codes WHERE ref IN (SELECT ref FROM accounts WHERE person IN ` + e.in + `)`, // what they hold may quote him
		`DELETE FROM accounts WHERE person IN ` + e.in,
		`DELETE FROM roles WHERE person IN ` + e.in,
		`DELETE FROM people_events WHERE person IN ` + e.in,
		`DELETE FROM people_events WHERE other IN ` + e.in,
	} {
		if _, err := e.tx.Exec(ctx, q, e.ids...); err != nil {
			return err
		}
	}
	return nil
}

// forgetWords empties his words and those on his tickets, and remembers which
// files went with them.
func (e *erasure) forgetWords(ctx context.Context) error {
	for _, which := range []string{`actor IN ` + e.in, `ticket_id IN (SELECT id FROM tickets WHERE requester IN ` + e.in + `)`} {
		var words []string
		if err := e.tx.Select(ctx, &words, `SELECT words FROM events WHERE `+which+` AND words <> ''`, e.ids...); err != nil {
			return err
		}
		for _, s := range words {
			var w Words
			if err := json.Unmarshal([]byte(s), &w); err != nil {
				return fmt.Errorf("decode words: %w", err)
			}
			e.remember(w.Files)
		}
		if _, err := e.tx.Exec(ctx, `UPDATE events SET words = '', salt = '' WHERE `+which, e.ids...); err != nil {
			return err
		}
	}
	return nil
}

func (e *erasure) remember(files []File) {
	for _, f := range files {
		if f.Hash != "" {
			if e.files == nil {
				e.files = map[string]bool{}
			}
			e.files[f.Hash] = true
		}
	}
}

// rebuild writes the tickets and what they are found by anew from what is left.
func (e *erasure) rebuild(ctx context.Context) error {
	for _, id := range e.tickets {
		events, err := loadEvents(ctx, e.tx, `SELECT `+eventColumns+` FROM events WHERE ticket_id = ? ORDER BY seq`, id)
		if err != nil {
			return err
		}
		t := Replay(events)
		doc, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("encode ticket %s: %w", id, err)
		}
		if _, err := e.tx.Exec(ctx, `UPDATE tickets SET title = ?, doc = ? WHERE id = ?`, plain(t.Title), string(doc), id); err != nil {
			return err
		}
		if err := writeIndex(ctx, e.tx, t, strings.TrimSpace(written(t, events))); err != nil {
			return err
		}
	}
	return nil
}

// dropFiles deletes the contents that no other ticket holds.
func (e *erasure) dropFiles(ctx context.Context) error {
	for hash := range e.files {
		var kept []TicketID
		if err := e.tx.Select(ctx, &kept, `SELECT id FROM tickets WHERE doc LIKE ? LIMIT 1`, `%"`+hash+`"%`); err != nil {
			return err
		}
		if len(kept) > 0 {
			continue
		}
		if _, err := e.tx.Exec(ctx, `DELETE FROM blobs WHERE hash = ?`, hash); err != nil {
			return err
		}
	}
	return nil
}
