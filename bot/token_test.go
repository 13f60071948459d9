package bot

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

var testKey = []byte("0123456789abcdef0123456789abcdef")

func someActs() []cards.Act {
	acts := []cards.Act{
		{}, {Verb: "claim"}, {Verb: tickets.VerbClaim, Ticket: "0190f3c4-7a1e-7c3b-9d2e-0123456789ab", Version: 3},
		{Verb: tickets.VerbHold, Ticket: "0190F3C4-7A1E-7C3B-9D2E-0123456789AB", Version: -1, Arg: "2h", Form: true},
		{Verb: tickets.VerbReveal, Ticket: "short", Version: 1 << 62, Arg: "订单号"},
		{Verb: VerbPick, Arg: strings.Repeat("x", 80)},
	}
	for i := range 50 {
		acts = append(acts, cards.Act{Verb: tickets.VerbAssign, Ticket: tickets.TicketID(fmt.Sprintf("0190f3c4-7a1e-7c3b-9d2e-%012d", i)), Version: int64(i)})
	}
	return acts
}

func TestTokensOpenToWhatWasSealed(t *testing.T) {
	s := NewSealer(testKey)
	for _, a := range someActs() {
		token, err := s.Token(a, "slack/default")
		if err != nil {
			t.Fatalf("%+v: %v", a, err)
		}
		if len(token) > MaxToken || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%q is too long or no URL text", token)
		}
		if got, err := s.Open(token, "slack/default"); err != nil || got != a {
			t.Errorf("got %+v, %v, want %+v", got, err, a)
		}
	}
}

func TestTooMuchInATokenIsAnError(t *testing.T) {
	s := NewSealer(testKey)
	if _, err := s.Token(cards.Act{Verb: "claim", Arg: strings.Repeat("x", 200)}, "a/b"); err == nil {
		t.Error("200 bytes were sealed")
	}
	c := cards.Card{Rows: []cards.Row{{Actions: []cards.Action{{Act: cards.Act{Arg: strings.Repeat("x", 200)}}}}}}
	if err := s.Seal(&c, "a/b"); err == nil {
		t.Error("a card with it was sealed")
	}
}

// TC05: a token, or a part of one, is worth nothing in another's place.
func TestTokensCannotBeMixed(t *testing.T) {
	s := NewSealer(testKey)
	var bodies, macs [][]byte
	for _, a := range someActs()[6:] {
		token, err := s.Token(a, "slack/default")
		if err != nil {
			t.Fatal(err)
		}
		b, err := tokenText.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		bodies, macs = append(bodies, b[:len(b)-tokenMAC]), append(macs, b[len(b)-tokenMAC:])
	}
	for i, body := range bodies {
		for j, mac := range macs {
			_, err := s.Open(tokenText.EncodeToString(append(bytes.Clone(body), mac...)), "slack/default")
			if (i == j) != (err == nil) {
				t.Fatalf("body %d with MAC %d: %v", i, j, err)
			}
		}
	}
}

func TestTokensAreBoundToTheirInstallAndKey(t *testing.T) {
	s := NewSealer(testKey)
	token, err := s.Token(cards.Act{Verb: "claim", Ticket: "t", Version: 1}, "slack/default")
	if err != nil {
		t.Fatal(err)
	}
	for _, install := range []string{"", "slack/other", "feishu/default", "slack/defaul", "slack/default ", "Slack/default", "slack/default\x01"} {
		if a, err := s.Open(token, install); !errors.Is(err, ErrForged) || a != (cards.Act{}) {
			t.Errorf("opened for %q: %+v, %v", install, a, err)
		}
	}
	other := NewSealer([]byte("another key of thirty-two bytes!"))
	if _, err := other.Open(token, "slack/default"); !errors.Is(err, ErrForged) {
		t.Error("opened with another key")
	}
	// TA17: the key itself signs nothing that passes here.
	if raw := (&Sealer{key: testKey}); true {
		forged, err := raw.Token(cards.Act{Verb: "claim", Ticket: "t", Version: 1}, "slack/default")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(forged, "slack/default"); !errors.Is(err, ErrForged) {
			t.Error("a signature made without the purpose was accepted")
		}
	}
	for _, key := range [][]byte{nil, {}, []byte("short")} {
		weak := NewSealer(key)
		if _, err := weak.Token(cards.Act{}, "a/b"); err == nil {
			t.Errorf("key %q seals", key)
		}
		if _, err := weak.Open(token, "slack/default"); !errors.Is(err, ErrForged) {
			t.Errorf("key %q opens", key)
		}
	}
}

func TestDamagedTokensAreForged(t *testing.T) {
	s := NewSealer(testKey)
	for _, a := range someActs()[:8] {
		token, err := s.Token(a, "a/b")
		if err != nil {
			t.Fatal(err)
		}
		b := []byte(token)
		for i := range b {
			for bit := range 8 {
				b[i] ^= 1 << bit
				if _, err := s.Open(string(b), "a/b"); !errors.Is(err, ErrForged) {
					t.Fatalf("bit %d of byte %d flipped and opened", bit, i)
				}
				b[i] ^= 1 << bit
			}
			if _, err := s.Open(token[:i], "a/b"); !errors.Is(err, ErrForged) {
				t.Fatalf("cut to %d and opened", i)
			}
			if _, err := s.Open(token[i+1:], "a/b"); !errors.Is(err, ErrForged) {
				t.Fatalf("began at %d and opened", i+1)
			}
			if _, err := s.Open(token[:i]+"\n"+token[i:], "a/b"); !errors.Is(err, ErrForged) {
				t.Fatalf("line break at %d and opened", i)
			}
		}
		for _, more := range []string{token + "A", token + "=", token + " ", " " + token, token + token} {
			if _, err := s.Open(more, "a/b"); !errors.Is(err, ErrForged) {
				t.Fatalf("opened %q", more)
			}
		}
	}
}

func TestSealFillsEveryToken(t *testing.T) {
	s := NewSealer(testKey)
	act := func(arg string) cards.Act {
		return cards.Act{Verb: "claim", Ticket: "0190f3c4-7a1e-7c3b-9d2e-0123456789ab", Version: 2, Arg: arg}
	}
	card := cards.Card{
		Actions: []cards.Action{{Act: act("1")}, {Label: "link", URL: "https://example.com", Token: "stale"}, {Act: act("2"), Options: []cards.Option{{Label: "a", Value: "a"}}}},
		More:    []cards.Action{{Act: act("3")}},
		Facts:   []cards.Fact{{Label: "x"}, {Label: "y", Action: &cards.Action{Act: act("4")}}},
		Rows:    []cards.Row{{Text: "r", Actions: []cards.Action{{Act: act("5")}}}, {Text: "s"}},
		Form:    &cards.Form{Act: act("6")},
	}
	sealed := card
	if err := s.Seal(&sealed, "a/b"); err != nil {
		t.Fatal(err)
	}
	for arg, token := range map[string]string{
		"1": sealed.Actions[0].Token, "2": sealed.Actions[2].Token, "3": sealed.More[0].Token, "4": sealed.Facts[1].Action.Token, "5": sealed.Rows[0].Actions[0].Token, "6": sealed.Form.Token,
	} {
		if got, err := s.Open(token, "a/b"); err != nil || got != act(arg) {
			t.Errorf("token %s opens to %+v, %v", arg, got, err)
		}
	}
	if sealed.Actions[1].Token != "" {
		t.Error("a link carries a token")
	}
	if card.Actions[0].Token+card.More[0].Token+card.Facts[1].Action.Token+card.Rows[0].Actions[0].Token+card.Form.Token != "" {
		t.Error("another card that shares its parts was changed")
	}
	twice := card
	if err := s.Seal(&twice, "a/b"); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sealed, twice); d != "" {
		t.Errorf("sealed twice, sealed differently, so the same card would be sent again: %s", d)
	}
}

func FuzzToken(f *testing.F) {
	s := NewSealer(testKey)
	for _, a := range someActs()[:8] {
		token, err := s.Token(a, "a/b")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(token, string(a.Verb), string(a.Ticket), a.Version, a.Arg, a.Form)
	}
	f.Fuzz(func(t *testing.T, token, verb, ticket string, version int64, arg string, form bool) {
		a := cards.Act{Verb: tickets.Verb(verb), Ticket: tickets.TicketID(ticket), Version: version, Arg: arg, Form: form}
		if got, err := s.Open(token, "a/b"); err == nil {
			// Only what was sealed opens, and sealing has one spelling.
			if again, err := s.Token(got, "a/b"); err != nil || again != token {
				t.Fatalf("%q opens but seals to %q, %v", token, again, err)
			}
		}
		if got, ok := decodeAct(encodeAct(a)); !ok || got != a {
			t.Fatalf("got %+v, want %+v", got, a)
		}
		decodeAct([]byte(token)) // must not panic
	})
}

func BenchmarkToken(b *testing.B) {
	s := NewSealer(testKey)
	act := someActs()[2]
	token, err := s.Token(act, "slack/default")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Token(act, "slack/default"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Open(token, "slack/default"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
