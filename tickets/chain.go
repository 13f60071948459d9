package tickets

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Every event carries the hash of the one before it in the same ticket, so that
// none can be changed, dropped or put in between unseen. There is no chain over
// all tickets, for every commit would have to wait for its head: an hourly
// anchor covers the heads instead (see anchor.go).

// ErrChain is returned where an event does not fit the chain.
var ErrChain = errors.New("event chain broken")

// stored is an event as it lies in the database: the hashed bytes are these and
// not a re-encoding, so that a later version of Facts changes no old hash.
type stored struct {
	Ticket TicketID `db:"ticket_id"`
	Seq    int64    `db:"seq"`
	Kind   Kind     `db:"kind"`
	By     PersonID `db:"actor"`
	Via    string   `db:"via"`
	At     Time     `db:"at"`
	Once   string   `db:"once"`
	Facts  string   `db:"facts"`
	Words  string   `db:"words"` // "" when there are none or once erased
	Salt   string   `db:"salt"`
	Digest string   `db:"digest"`
	Prev   string   `db:"prev"`
	Hash   string   `db:"hash"`
}

// seal encodes e and ties it to prev.
func seal(e *Event, prev string) (stored, error) {
	facts, err := json.Marshal(e.Facts)
	if err != nil {
		return stored{}, fmt.Errorf("encode facts: %w", err)
	}
	if err := reread(facts, &e.Facts); err != nil {
		return stored{}, fmt.Errorf("decode facts: %w", err)
	}
	s := stored{Ticket: e.Ticket, Seq: e.Seq, Kind: e.Kind, By: e.By, Via: e.Via, At: e.At, Once: e.Once, Facts: string(facts), Prev: prev}
	if e.Words != nil {
		words, err := json.Marshal(e.Words)
		if err != nil {
			return stored{}, fmt.Errorf("encode words: %w", err)
		}
		if err := reread(words, e.Words); err != nil {
			return stored{}, fmt.Errorf("decode words: %w", err)
		}
		var salt [16]byte
		_, _ = rand.Read(salt[:]) // never fails: it ends the process instead
		s.Words, s.Salt = string(words), hex.EncodeToString(salt[:])
		s.Digest = digest(s.Salt, s.Words)
	}
	s.Hash = s.sum()
	e.Seal = Seal{Salt: s.Salt, Digest: s.Digest, Prev: s.Prev, Hash: s.Hash}
	return s, nil
}

// reread makes what is in memory what was written: JSON writes \ufffd for bytes
// that are no text, and a ticket is what its events say.
func reread[T any](doc []byte, into *T) error {
	if !bytes.Contains(doc, []byte(`\ufffd`)) {
		return nil
	}
	var fresh T
	if err := json.Unmarshal(doc, &fresh); err != nil {
		return err
	}
	*into = fresh
	return nil
}

func digest(salt, words string) string {
	h := sha256.Sum256([]byte(salt + "\x00" + words))
	return hex.EncodeToString(h[:])
}

// sum hashes what must never change. Each part is preceded by its length, so
// that no two events hash alike by moving a character from one part to the next.
func (s *stored) sum() string {
	h := sha256.New()
	for _, part := range []string{
		"paidan-event-1", string(s.Ticket), strconv.FormatInt(s.Seq, 10), string(s.Kind), string(s.By), s.Via,
		strconv.FormatInt(int64(s.At), 10), s.Once, s.Facts, s.Digest, s.Prev,
	} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// verify checks s against the event before it.
func (s *stored) verify(seq int64, prev string) error {
	switch {
	case s.Seq != seq:
		return fmt.Errorf("ticket %s: event %d is missing: %w", s.Ticket, seq, ErrChain)
	case s.Prev != prev:
		return fmt.Errorf("ticket %s: event %d does not follow the one before it: %w", s.Ticket, s.Seq, ErrChain)
	case s.Hash != s.sum():
		return fmt.Errorf("ticket %s: event %d has been changed: %w", s.Ticket, s.Seq, ErrChain)
	case s.Words != "" && s.Digest != digest(s.Salt, s.Words):
		return fmt.Errorf("ticket %s: the words of event %d have been changed: %w", s.Ticket, s.Seq, ErrChain)
	}
	return nil
}

// event decodes s.
func (s *stored) event() (Event, error) {
	e := Event{
		Ticket: s.Ticket, Seq: s.Seq, Kind: s.Kind, By: s.By, Via: s.Via, At: s.At, Once: s.Once,
		Seal: Seal{Salt: s.Salt, Digest: s.Digest, Prev: s.Prev, Hash: s.Hash},
	}
	if err := json.Unmarshal([]byte(s.Facts), &e.Facts); err != nil {
		return e, fmt.Errorf("decode facts of event %d of %s: %w", s.Seq, s.Ticket, err)
	}
	if s.Words != "" {
		e.Words = &Words{}
		if err := json.Unmarshal([]byte(s.Words), e.Words); err != nil {
			return e, fmt.Errorf("decode words of event %d of %s: %w", s.Seq, s.Ticket, err)
		}
	}
	return e, nil
}
