package bot

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// ErrForged is what Open returns for every token that was not sealed with this
// key for this install. It says nothing more on purpose.
var ErrForged = errors.New("forged token")

// MaxToken is the longest token in characters. Slack allows 255 for an
// action_id and 2000 for a value; the shortest field we ever have to fit in is
// longer than this.
const MaxToken = 200

const (
	tokenFormat  = 1  // first byte of what is sealed
	tokenMAC     = 16 // bytes of HMAC-SHA256 that are kept: 128 bits
	minSealerKey = 16 // bytes; a shorter key is a mistake in configuration

	tokenHasUUID = 1 << 0 // the ticket is 16 bytes instead of text
	tokenForm    = 1 << 1
)

// A token stands in JSON strings and URLs of four platforms, so it is
// base64url; Strict because two spellings of one token would be two keys for
// whoever remembers tokens.
var tokenText = base64.RawURLEncoding.Strict()

// Sealer turns what a button stands for into the text that the button carries,
// and back. A token holds no identity: who pressed comes from the platform's
// verified envelope, and whether he may is decided when it is done.
type Sealer struct{ key []byte } // nil: there was no usable secret; seals nothing, opens nothing

// NewSealer derives its own key from key, so that nothing which is signed for
// another purpose ever passes as a token. A key of less than 16 bytes makes a
// Sealer that refuses everything.
func NewSealer(key []byte) *Sealer {
	if len(key) < minSealerKey {
		return &Sealer{}
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte("v1:card:"))
	return &Sealer{key: h.Sum(nil)}
}

// Seal fills the Token of everything in c that can be pressed or submitted, for
// a card that goes to the install to ("slack/default"). Links get none. What c
// shares with other cards (its slices, its form) is copied first. It fails when
// an Act does not fit into MaxToken characters, which only an Arg can cause.
func (s *Sealer) Seal(c *cards.Card, to string) error {
	var err error
	if c.Actions, err = s.sealAll(c.Actions, to); err != nil {
		return err
	}
	if c.More, err = s.sealAll(c.More, to); err != nil {
		return err
	}
	c.Rows = slices.Clone(c.Rows)
	for i := range c.Rows {
		if c.Rows[i].Actions, err = s.sealAll(c.Rows[i].Actions, to); err != nil {
			return err
		}
	}
	c.Facts = slices.Clone(c.Facts)
	for i := range c.Facts {
		if c.Facts[i].Action == nil {
			continue
		}
		one, err := s.sealAll([]cards.Action{*c.Facts[i].Action}, to)
		if err != nil {
			return err
		}
		c.Facts[i].Action = &one[0]
	}
	if c.Form != nil {
		f := *c.Form
		if f.Token, err = s.Token(f.Act, to); err != nil {
			return err
		}
		c.Form = &f
	}
	return nil
}

func (s *Sealer) sealAll(in []cards.Action, to string) ([]cards.Action, error) {
	out := slices.Clone(in)
	for i := range out {
		out[i].Token = ""
		if out[i].URL != "" {
			continue
		}
		var err error
		if out[i].Token, err = s.Token(out[i].Act, to); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Token seals one act for an install.
func (s *Sealer) Token(a cards.Act, install string) (string, error) {
	if s.key == nil {
		return "", errors.New("seal token: the secret key is shorter than 16 bytes")
	}
	b := encodeAct(a)
	b = append(b, s.mac(b, install)...)
	if n := tokenText.EncodedLen(len(b)); n > MaxToken {
		return "", fmt.Errorf("seal token: %s with an argument of %d bytes makes %d characters, at most %d are allowed", a.Verb, len(a.Arg), n, MaxToken)
	}
	return tokenText.EncodeToString(b), nil
}

// Open returns the act that was sealed into token for install, or ErrForged.
func (s *Sealer) Open(token, install string) (cards.Act, error) {
	// The decoder skips line breaks wherever they stand, even when strict.
	if s.key == nil || len(token) > MaxToken || strings.ContainsAny(token, "\r\n") {
		return cards.Act{}, ErrForged
	}
	b, err := tokenText.DecodeString(token)
	if err != nil || len(b) <= tokenMAC {
		return cards.Act{}, ErrForged
	}
	body, mac := b[:len(b)-tokenMAC], b[len(b)-tokenMAC:]
	if !hmac.Equal(mac, s.mac(body, install)) {
		return cards.Act{}, ErrForged
	}
	a, ok := decodeAct(body)
	if !ok {
		return cards.Act{}, ErrForged // ours, but of a format that this build does not know
	}
	return a, nil
}

func (s *Sealer) mac(body []byte, install string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(binary.AppendUvarint(nil, uint64(len(install)))) // so that no byte can move between the two
	h.Write([]byte(install))
	h.Write(body)
	return h.Sum(nil)[:tokenMAC]
}

func encodeAct(a cards.Act) []byte {
	flags := byte(0)
	if a.Form {
		flags |= tokenForm
	}
	ticket := appendText(nil, string(a.Ticket))
	if u, err := uuid.Parse(string(a.Ticket)); err == nil && u.String() == string(a.Ticket) {
		flags |= tokenHasUUID
		ticket = u[:]
	}
	b := []byte{tokenFormat, flags}
	b = appendText(b, string(a.Verb))
	b = append(b, ticket...)
	b = binary.AppendVarint(b, a.Version)
	return appendText(b, a.Arg)
}

func decodeAct(b []byte) (a cards.Act, ok bool) {
	if len(b) < 2 || b[0] != tokenFormat {
		return a, false
	}
	flags := b[1]
	a.Form = flags&tokenForm != 0
	verb, b, ok := cutText(b[2:])
	if !ok {
		return cards.Act{}, false
	}
	a.Verb = tickets.Verb(verb)
	if flags&tokenHasUUID != 0 {
		if len(b) < 16 {
			return cards.Act{}, false
		}
		a.Ticket = tickets.TicketID(uuid.UUID(b[:16]).String())
		b = b[16:]
	} else {
		var id string
		if id, b, ok = cutText(b); !ok {
			return cards.Act{}, false
		}
		a.Ticket = tickets.TicketID(id)
	}
	v, n := binary.Varint(b)
	if n <= 0 {
		return cards.Act{}, false
	}
	a.Version = v
	arg, rest, ok := cutText(b[n:])
	if !ok || len(rest) != 0 {
		return cards.Act{}, false
	}
	a.Arg = arg
	return a, true
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func cutText(b []byte) (string, []byte, bool) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return "", nil, false
	}
	end := used + int(n)
	return string(b[used:end]), b[end:], true
}
