package tickets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/paidan/paidan/internal/sqldb"
)

// An anchor covers, for one hour, the newest event of every ticket that changed
// in it, and the anchor before. Whoever wants to rewrite a ticket's whole chain
// unseen has to rewrite every anchor since as well, and those go into the log,
// outside of the database.

// AnchorLag is how long after its end an hour is anchored: acts that began in it
// have committed by then.
const AnchorLag = 5 * time.Minute

// Anchor is one hour's seal.
type Anchor struct {
	Hour    Time   `db:"hour"` // its beginning
	Tickets int64  `db:"tickets"`
	Digest  string `db:"digest"`
	Prev    string `db:"prev"`
	Hash    string `db:"hash"`
}

// MakeAnchors seals the hours that have ended and are not sealed yet, oldest
// first, at most a day at a time, and returns them.
func (s *Service) MakeAnchors(ctx context.Context, now time.Time) ([]Anchor, error) {
	var made []Anchor
	for range 24 {
		a, ok, err := s.makeAnchor(ctx, now)
		if err != nil || !ok {
			return made, err
		}
		made = append(made, a)
	}
	return made, nil
}

func (s *Service) makeAnchor(ctx context.Context, now time.Time) (Anchor, bool, error) {
	var a Anchor
	ok := false
	err := s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		a, ok = Anchor{}, false
		var last []Anchor
		if err := tx.Select(ctx, &last, `SELECT hour, tickets, digest, prev, hash FROM anchors ORDER BY hour DESC LIMIT 1`); err != nil {
			return fmt.Errorf("read anchors: %w", err)
		}
		var first []Time
		after := Time(0)
		if len(last) > 0 {
			after = last[0].Hour.Add(time.Hour)
			a.Prev = last[0].Hash
		}
		if err := tx.Select(ctx, &first, `SELECT at FROM events WHERE at >= ? ORDER BY at LIMIT 1`, after); err != nil {
			return fmt.Errorf("find unsealed events: %w", err)
		}
		if len(first) == 0 {
			return nil
		}
		a.Hour = At(first[0].Go().Truncate(time.Hour))
		if At(now) < a.Hour.Add(time.Hour+AnchorLag) {
			return nil
		}
		var err error
		if a.Tickets, a.Digest, err = hourDigest(ctx, tx, a.Hour); err != nil {
			return err
		}
		a.Hash = a.sum()
		n, err := tx.Exec(ctx, `INSERT INTO anchors (hour, tickets, digest, prev, hash) VALUES (?, ?, ?, ?, ?) ON CONFLICT (hour) DO NOTHING`, a.Hour, a.Tickets, a.Digest, a.Prev, a.Hash)
		if err != nil {
			return fmt.Errorf("insert anchor: %w", err)
		}
		ok = n == 1
		return nil
	})
	return a, ok && err == nil, err
}

func (a *Anchor) sum() string {
	h := sha256.Sum256(fmt.Appendf(nil, "paidan-anchor-1|%d|%d|%s|%s", a.Hour, a.Tickets, a.Digest, a.Prev))
	return hex.EncodeToString(h[:])
}

// hourDigest is over the newest event of each ticket within the hour. Events are
// never changed, so it can be computed again at any time.
func hourDigest(ctx context.Context, q sqldb.Querier, hour Time) (int64, string, error) {
	var heads []struct {
		Ticket TicketID `db:"ticket_id"`
		Seq    int64    `db:"seq"`
		Hash   string   `db:"hash"`
	}
	err := q.Select(ctx, &heads, `SELECT e.ticket_id, e.seq, e.hash FROM events e
		JOIN (SELECT ticket_id, max(seq) AS seq FROM events WHERE at >= ? AND at < ? GROUP BY ticket_id) m ON m.ticket_id = e.ticket_id AND m.seq = e.seq`,
		hour, hour.Add(time.Hour))
	if err != nil {
		return 0, "", fmt.Errorf("read heads: %w", err)
	}
	lines := make([]string, len(heads))
	for i, h := range heads {
		lines[i] = fmt.Sprintf("%s %d %s", h.Ticket, h.Seq, h.Hash)
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return int64(len(heads)), hex.EncodeToString(sum[:]), nil
}

// Verified is what VerifyAll went through.
type Verified struct {
	Tickets, Events, Anchors int
}

// VerifyAll checks every chain, every ticket's head, every anchor, and that the
// known ones, of which copies were kept elsewhere (in the log), are still there
// as they were made. The returned error wraps ErrChain and names the first place
// that does not fit.
func (s *Service) VerifyAll(ctx context.Context, known ...Anchor) (Verified, error) {
	var v Verified
	after := int64(0)
	for {
		var batch []head
		if err := s.db.Select(ctx, &batch, `SELECT number, id, version, head FROM tickets WHERE number > ? ORDER BY number LIMIT 500`, after); err != nil {
			return v, fmt.Errorf("read tickets: %w", err)
		}
		if len(batch) == 0 {
			break
		}
		for _, t := range batch {
			n, err := s.verifyTicket(ctx, t)
			if err != nil {
				return v, err
			}
			v.Tickets++
			v.Events += n
			after = t.Number
		}
	}
	if err := s.verifyWhole(ctx); err != nil {
		return v, err
	}
	return v, s.verifyAnchors(ctx, &v, known)
}

// head is what a ticket's row says of its newest event.
type head struct {
	Number  int64    `db:"number"`
	ID      TicketID `db:"id"`
	Version int64    `db:"version"`
	Head    string   `db:"head"`
}

// verifyTicket checks one chain and returns its length. Work goes on meanwhile:
// a row that was changed after it had been read is read again.
func (s *Service) verifyTicket(ctx context.Context, t head) (int, error) {
	for {
		events, err := s.History(ctx, t.ID)
		if err != nil {
			return 0, err
		}
		n := len(events)
		if n > 0 && int64(n) == t.Version && events[n-1].Hash == t.Head {
			return n, nil
		}
		was := t
		if err := s.db.Get(ctx, &t, `SELECT number, id, version, head FROM tickets WHERE id = ?`, t.ID); err != nil {
			return 0, fmt.Errorf("read ticket: %w", err)
		}
		if t == was {
			return 0, fmt.Errorf("ticket #%d: its newest event is not the one it was saved with: %w", t.Number, ErrChain)
		}
	}
}

// verifyWhole looks for events without a ticket, and for words that are missing
// although nobody they belonged to was erased.
func (s *Service) verifyWhole(ctx context.Context) error {
	for what, query := range map[string]string{
		"belongs to no ticket": `SELECT e.ticket_id, e.seq FROM events e WHERE NOT EXISTS (SELECT 1 FROM tickets t WHERE t.id = e.ticket_id) LIMIT 1`,
		"has lost its words": `SELECT e.ticket_id, e.seq FROM events e JOIN tickets t ON t.id = e.ticket_id WHERE e.words = '' AND (e.digest <> '' OR e.salt <> '')
			AND (e.salt <> '' OR NOT EXISTS (SELECT 1 FROM people p WHERE p.erased > 0 AND (p.id = e.actor OR p.id = t.requester))) LIMIT 1`,
	} {
		var lost []struct {
			Ticket TicketID `db:"ticket_id"`
			Seq    int64    `db:"seq"`
		}
		if err := s.db.Select(ctx, &lost, query); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if len(lost) > 0 {
			return fmt.Errorf("ticket %s: event %d %s: %w", lost[0].Ticket, lost[0].Seq, what, ErrChain)
		}
	}
	return nil
}

func (s *Service) verifyAnchors(ctx context.Context, v *Verified, known []Anchor) error {
	var anchors []Anchor
	if err := s.db.Select(ctx, &anchors, `SELECT hour, tickets, digest, prev, hash FROM anchors ORDER BY hour`); err != nil {
		return fmt.Errorf("read anchors: %w", err)
	}
	prev := ""
	for _, a := range anchors {
		n, digest, err := hourDigest(ctx, s.db, a.Hour)
		if err != nil {
			return err
		}
		if a.Prev != prev || a.Hash != a.sum() || n != a.Tickets || digest != a.Digest {
			return fmt.Errorf("anchor of %s does not fit its events: %w", a.Hour.Go().Format(time.RFC3339), ErrChain)
		}
		prev = a.Hash
		v.Anchors++
	}
	for _, k := range known {
		if !slices.Contains(anchors, k) {
			return fmt.Errorf("anchor of %s is not the one that was made: %w", k.Hour.Go().Format(time.RFC3339), ErrChain)
		}
	}
	return nil
}
