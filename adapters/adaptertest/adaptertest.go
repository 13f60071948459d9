// Package adaptertest is what every chat platform's adapter must pass. It knows
// no platform: an adapter's test hands it a Harness, and Run checks what the
// rest of the program relies on. A check that a platform cannot be put through
// is left out by leaving its part of the Harness empty, which Run reports.
package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// Forgeries is how many forged requests are tried at least.
const Forgeries = 5000

// Harness is one platform, as Run needs it.
type Harness struct {
	// New makes an adapter beside a fresh emulator. It registers its own clean-up.
	New func(t *testing.T) *Bench
	// Samples are authentic requests, at least one of each kind that comes in.
	Samples []Sample
	// Handshake is the request by which the platform checks the address, and
	// what must be echoed. Empty on platforms without one.
	Handshake Sample
	Echo      string
	// Signed are the headers and query keys that a signature consists of or covers.
	Signed []string
	// Window is how far a request's time may lie from ours, either way.
	Window time.Duration
	// Sign makes a request authentic at a time, whatever its body is.
	Sign func(r bot.Raw, at time.Time) bot.Raw
	// Other is an adapter of another install, which other secrets belong to.
	Other func(t *testing.T) bot.Adapter
	// BadConfigs try to make an adapter with a secret that is empty, a
	// placeholder or too short; each must fail, and name the key.
	BadConfigs map[string]func() error
	// Verdicts are the platform's errors and what they must be taken for.
	Verdicts []Verdict
	// Secrets may appear in no error.
	Secrets []string
	// Cards are drawn and must be taken by the emulator, which knows the limits.
	Cards map[string]cards.Card
	// Live returns what in a shown message would mention, link or format,
	// other than the platform's own marks for ids in Ping.
	Live func(shown string) []string
	// Fixed says that a message cannot be changed once it stands: every Update
	// answers bot.ErrFixed and changes nothing.
	Fixed bool
}

// Sample is a request as it came in.
type Sample struct {
	Name string
	Raw  bot.Raw
	At   time.Time
	// BodyUnsigned says that the platform's signature does not cover the body of
	// this kind of request: then another body is not a forgery that can be seen.
	BodyUnsigned bool
}

// Bench is an adapter beside its emulator.
type Bench struct {
	Adapter bot.Adapter
	To      bot.Dest // a conversation where the bot may write
	// Press presses the button with this label on a message and returns the
	// request that the platform sends for it, and when. nil = there are no buttons.
	Press func(ref bot.MessageRef, label string) (bot.Raw, time.Time, error)
	// Shown returns what a message shows now, in the platform's own form.
	Shown func(ref bot.MessageRef) (string, bool)
	// Posts says how many messages of ours the conversation has.
	Posts func() int
	// Close ends the emulator and the adapter's connections.
	Close func()
}

// Verdict is one way in which a call can go wrong.
type Verdict struct {
	Name   string
	Break  func(b *Bench) // makes the emulator fail the next call
	Update bool           // try Update instead of Post
	Want   error          // one of bot's verdicts; nil = any other error, to be tried again
	After  time.Duration  // set: must be bot.RateLimited with this After
	Found  bool           // with ErrUnknown: it was done, and Find (where there is one) must find it
}

// Run checks an adapter.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if len(h.Samples) == 0 || h.New == nil {
		t.Fatal("a harness needs New and Samples")
	}
	t.Run("Authentic", h.authentic)
	t.Run("Forged", h.forged)
	t.Run("Clock", h.clock)
	t.Run("CrossInstall", h.crossInstall)
	t.Run("BadConfigs", h.badConfigs)
	t.Run("Handshake", h.handshake)
	t.Run("EventIDs", h.eventIDs)
	t.Run("BrokenBodies", h.brokenBodies)
	t.Run("RoundTrip", h.roundTrip)
	t.Run("Cards", h.allCards)
	t.Run("Hostile", h.hostile)
	t.Run("Verdicts", h.verdicts)
	t.Run("Cancelled", h.cancelled)
	t.Run("Concurrent", h.concurrent)
	t.Run("Leaks", h.leaks)
}

func clone(r bot.Raw) bot.Raw {
	r.Header, r.Body = r.Header.Clone(), slices.Clone(r.Body)
	r.Query = maps.Clone(r.Query)
	return r
}

// signed are the samples that carry a signature.
func (h Harness) signed() []Sample {
	var out []Sample
	for _, s := range h.Samples {
		if !s.Raw.Socket {
			out = append(out, s)
		}
	}
	return out
}

func (h Harness) authentic(t *testing.T) {
	a := h.New(t).Adapter
	for _, s := range h.Samples {
		plain, err := a.Verify(s.Raw, s.At)
		if err != nil {
			t.Errorf("%s: Verify: %v", s.Name, err)
			continue
		}
		in, err := a.Decode(s.Raw, plain)
		if err != nil {
			t.Errorf("%s: Decode: %v", s.Name, err)
			continue
		}
		if in.Kind == "" {
			t.Errorf("%s: no kind", s.Name)
		}
		w := httptest.NewRecorder()
		a.Reply(w, in, bot.Reply{})
		if w.Code/100 != 2 {
			t.Errorf("%s: Reply answered %d, want 2xx", s.Name, w.Code)
		}
		for i, e := range in.Events {
			if e.ID == "" || e.Kind == "" || e.At.IsZero() {
				t.Errorf("%s: event %d lacks an id, a kind or a time: %+v", s.Name, i, e)
			}
		}
	}
}

// forged flips every bit of bodies and signed headers, and removes, doubles,
// shortens and respells the headers.
func (h Harness) forged(t *testing.T) {
	a := h.New(t).Adapter
	tried := 0
	try := func(what string, r bot.Raw, at time.Time) {
		tried++
		plain, err := a.Verify(r, at)
		if err == nil {
			t.Errorf("%s was accepted", what)
			return
		}
		if !errors.Is(err, bot.ErrUnverified) {
			t.Errorf("%s: error %v is not ErrUnverified", what, err)
		}
		if plain != nil {
			t.Errorf("%s: a body was returned with the error", what)
		}
		h.silent(t, what, err)
	}
	for _, s := range h.signed() {
		for _, name := range h.Signed {
			if values := s.Raw.Header[name]; len(values) == 1 {
				v := values[0]
				for i := range len(v) * 8 {
					r := clone(s.Raw)
					b := []byte(v)
					b[i/8] ^= 1 << (i % 8)
					r.Header[name] = []string{string(b)}
					try(fmt.Sprintf("%s with bit %d of %s flipped", s.Name, i, name), r, s.At)
				}
				for what, values := range map[string][]string{"no": nil, "an empty": {""}, "a doubled": {v, v}, "a shortened": {v[:len(v)-1]}, "a longer": {v + "0"}, "a spaced": {" " + v}, "an upper-case": {strings.ToUpper(v) + "G"}} {
					r := clone(s.Raw)
					r.Header[name] = values
					if values == nil {
						delete(r.Header, name)
					}
					try(s.Name+" with "+what+" "+name, r, s.At)
				}
			}
			if values := s.Raw.Query[name]; len(values) == 1 {
				v := values[0]
				with := func(values ...string) bot.Raw {
					r := clone(s.Raw)
					if r.Query[name] = values; values == nil {
						delete(r.Query, name)
					}
					return r
				}
				for i := range len(v) * 8 {
					b := []byte(v)
					b[i/8] ^= 1 << (i % 8)
					try(fmt.Sprintf("%s with bit %d of %s flipped", s.Name, i, name), with(string(b)), s.At)
				}
				for what, r := range map[string]bot.Raw{"no": with(), "an empty": with(""), "a doubled": with(v, v), "a shortened": with(v[:len(v)-1]), "a longer": with(v + "0"), "a spaced": with(" " + v)} {
					try(s.Name+" with "+what+" "+name, r, s.At)
				}
			}
		}
		if !s.BodyUnsigned {
			h.otherBodies(s, try)
		}
		for _, at := range []time.Duration{h.Window + time.Second, -h.Window - time.Second, 24 * time.Hour, -24 * time.Hour} {
			stale := h.Sign(clone(s.Raw), s.At)
			try(fmt.Sprintf("%s when our clock is %v off", s.Name, at), stale, s.At.Add(at))
		}
	}
	if tried < Forgeries {
		t.Errorf("only %d forgeries were tried, want %d: give more samples", tried, Forgeries)
	}
	t.Logf("%d forgeries, none accepted", tried)
}

// otherBodies tries a sample with other bodies than the one that was signed.
func (h Harness) otherBodies(s Sample, try func(what string, r bot.Raw, at time.Time)) {
	step := max(1, len(s.Raw.Body)*8/400)
	for i := 0; i < len(s.Raw.Body)*8; i += step {
		r := clone(s.Raw)
		r.Body[i/8] ^= 1 << (i % 8)
		try(fmt.Sprintf("%s with bit %d of its body flipped", s.Name, i), r, s.At)
	}
	for _, change := range []func([]byte) []byte{
		func(b []byte) []byte { return b[:len(b)/2] },
		func(b []byte) []byte { return append(b, '\n') },
		func(b []byte) []byte { return append(b, ' ') },
		func(b []byte) []byte { return append([]byte(" "), b...) },
		func(b []byte) []byte { return append(b, strings.Repeat("x", 2<<20)...) },
		func([]byte) []byte { return nil },
	} {
		r := clone(s.Raw)
		if r.Body = change(r.Body); string(r.Body) != string(s.Raw.Body) {
			try(s.Name+" with another body", r, s.At)
		}
	}
}

// clock tries both edges of the window.
func (h Harness) clock(t *testing.T) {
	a := h.New(t).Adapter
	for _, s := range h.signed()[:1] {
		at := s.At.Truncate(time.Second)
		r := h.Sign(clone(s.Raw), at)
		for _, c := range []struct {
			off  time.Duration
			want bool
		}{{0, true}, {h.Window, true}, {-h.Window, true}, {h.Window + time.Second, false}, {-h.Window - time.Second, false}} {
			if _, err := a.Verify(r, at.Add(c.off)); (err == nil) != c.want {
				t.Errorf("clock %v off: err %v, want accepted %v", c.off, err, c.want)
			}
		}
	}
}

func (h Harness) crossInstall(t *testing.T) {
	if h.Other == nil {
		t.Skip("no other install")
	}
	other := h.Other(t)
	for _, s := range h.signed() {
		if _, err := other.Verify(s.Raw, s.At); !errors.Is(err, bot.ErrUnverified) {
			t.Errorf("%s was accepted by another install: %v", s.Name, err)
		}
	}
}

func (h Harness) badConfigs(t *testing.T) {
	if len(h.BadConfigs) == 0 {
		t.Fatal("no bad configurations given: every platform has a secret that can be missing")
	}
	for name, try := range h.BadConfigs {
		if err := try(); err == nil {
			t.Errorf("%s was accepted", name)
		} else {
			h.silent(t, name, err)
		}
	}
}

func (h Harness) handshake(t *testing.T) {
	if h.Echo == "" {
		t.Skip("no handshake")
	}
	a := h.New(t).Adapter
	plain, err := a.Verify(h.Handshake.Raw, h.Handshake.At)
	if err != nil {
		t.Fatal(err)
	}
	in, err := a.Decode(h.Handshake.Raw, plain)
	if err != nil || in.Echo == "" || len(in.Events) > 0 {
		t.Fatalf("Decode = %+v, %v; want an echo and no events", in, err)
	}
	w := httptest.NewRecorder()
	a.Reply(w, in, bot.Reply{Echo: in.Echo})
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), h.Echo) {
		t.Errorf("answered %d %q, want %q in it", w.Code, w.Body, h.Echo)
	}
}

// eventIDs: the same delivery has the same ids, different things have different ones.
func (h Harness) eventIDs(t *testing.T) {
	a, b := h.New(t).Adapter, h.New(t).Adapter
	what := map[string]string{}
	for _, s := range h.Samples {
		ids := func(a bot.Adapter) []string {
			var out []string
			in, err := a.Decode(s.Raw, h.plain(t, a, s))
			if err != nil {
				t.Fatalf("%s: %v", s.Name, err)
			}
			for _, e := range in.Events {
				out = append(out, e.ID)
			}
			return out
		}
		first, again, elsewhere := ids(a), ids(a), ids(b)
		if !slices.Equal(first, again) || !slices.Equal(first, elsewhere) {
			t.Errorf("%s: ids differ between deliveries: %q, %q, on another replica %q", s.Name, first, again, elsewhere)
		}
		in, err := a.Decode(s.Raw, h.plain(t, a, s))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range in.Events {
			// Two samples may show the same thing: then everything else agrees as well.
			is := fmt.Sprintf("%s %s %s %s %s %s %q", e.Kind, e.User, e.Conv, e.Message, e.Token, e.Value, e.Values)
			if was, ok := what[e.ID]; ok && was != is {
				t.Errorf("%s: id %q stands for two things:\n%s\n%s", s.Name, e.ID, was, is)
			}
			what[e.ID] = is
		}
	}
}

func (h Harness) plain(t *testing.T, a bot.Adapter, s Sample) []byte {
	t.Helper()
	plain, err := a.Verify(s.Raw, s.At)
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	return plain
}

// brokenBodies signs bodies that are cut or have flipped bytes: Decode must
// answer, with ErrMalformed if anything, and never panic.
func (h Harness) brokenBodies(t *testing.T) {
	a := h.New(t).Adapter
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range h.Samples {
		try := func(body []byte) {
			r := clone(s.Raw)
			r.Body = body
			if !r.Socket {
				r = h.Sign(r, s.At)
			}
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: panic %v on %q", s.Name, p, body)
				}
			}()
			plain, err := a.Verify(r, s.At)
			if err != nil {
				return
			}
			in, err := a.Decode(r, plain)
			if err != nil && !errors.Is(err, bot.ErrMalformed) {
				t.Errorf("%s: error %v is not ErrMalformed, on %q", s.Name, err, body)
			}
			if err != nil && len(in.Events) > 0 {
				t.Errorf("%s: events with an error, on %q", s.Name, body)
			}
		}
		step := max(1, len(s.Raw.Body)/150)
		for k := 0; k < len(s.Raw.Body); k += step {
			try(slices.Clone(s.Raw.Body[:k]))
			flipped := slices.Clone(s.Raw.Body)
			flipped[k] ^= byte(1 + rng.IntN(255))
			try(flipped)
			try(slices.Concat(s.Raw.Body[:k], s.Raw.Body[min(k+1+rng.IntN(8), len(s.Raw.Body)):]))
		}
		try(slices.Concat(s.Raw.Body, s.Raw.Body))
		try(nil)
	}
}

func button(label, token string) cards.Action { return cards.Action{Label: label, Token: token} }

// roundTrip posts a card, presses its button, and changes the card.
func (h Harness) roundTrip(t *testing.T) {
	b := h.New(t)
	const token = "AQ-token_0123456789.abcDEF"
	c := cards.Card{Lang: cards.EN, Title: "Printer", Actions: []cards.Action{button("Claim", token), button("Close", token+"2")}}
	ref, err := b.Adapter.Post(t.Context(), b.To, "once-1", c)
	if err != nil || ref == "" {
		t.Fatalf("Post = %q, %v", ref, err)
	}
	if b.Press != nil {
		h.press(t, b, ref, token)
	}
	c.Title, c.Actions = "Printer claimed", c.Actions[1:]
	now, err := b.Adapter.Update(t.Context(), ref, c)
	switch {
	case h.Fixed && !errors.Is(err, bot.ErrFixed):
		t.Errorf("Update = %q, %v; want %v", now, err, bot.ErrFixed)
	case h.Fixed:
		now = ref
	case err != nil || now == "":
		t.Fatalf("Update = %q, %v", now, err)
	}
	if shown, ok := b.Shown(now); !ok || strings.Contains(shown, "Printer claimed") == h.Fixed || !h.Fixed && strings.Contains(shown, "Claim\"") {
		t.Errorf("after the update the message shows %q", shown)
	}
	if n := b.Posts(); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// press presses a button twice.
func (h Harness) press(t *testing.T, b *Bench, ref bot.MessageRef, token string) {
	t.Helper()
	raw, at, err := b.Press(ref, "Claim")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := b.Adapter.Verify(raw, at)
	if err != nil {
		t.Fatal(err)
	}
	in, err := b.Adapter.Decode(raw, plain)
	if err != nil || len(in.Events) != 1 {
		t.Fatalf("Decode = %+v, %v; want one event", in, err)
	}
	e := in.Events[0]
	if e.Kind != bot.Click || e.Token != token {
		t.Errorf("event %s with token %q, want %s with %q", e.Kind, e.Token, bot.Click, token)
	}
	if e.Message != "" && e.Message != ref {
		t.Errorf("clicked on %q, want %q", e.Message, ref)
	}
	raw2, at2, err := b.Press(ref, "Claim")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := b.Adapter.Verify(raw2, at2); err != nil {
		t.Error(err)
	} else if in2, err := b.Adapter.Decode(raw2, plain); err != nil || len(in2.Events) != 1 || in2.Events[0].ID == e.ID {
		t.Errorf("a second press has the id of the first: %+v, %v", in2, err)
	}
}

// allCards draws every sample and some that nobody cut to size.
func (h Harness) allCards(t *testing.T) {
	b := h.New(t)
	samples := maps.Clone(h.Cards)
	if samples == nil {
		samples = map[string]cards.Card{}
	}
	maps.Copy(samples, Extremes())
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		ref, err := b.Adapter.Post(t.Context(), b.To, "card-"+name, samples[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := b.Adapter.Update(t.Context(), ref, samples[name]); err != nil && !(h.Fixed && errors.Is(err, bot.ErrFixed)) {
			t.Errorf("%s: update: %v", name, err)
		}
		fitted := cards.Card{}
		if fitted = samples[name]; fitted.Title != "" {
			if shown, ok := b.Shown(ref); !ok || shown == "" {
				t.Errorf("%s: nothing is shown", name)
			}
		}
	}
}

// Extremes are cards beyond every limit, which an adapter must still draw.
func Extremes() map[string]cards.Card {
	long := strings.Repeat("很长的 long text 👩‍👩‍👧 ", 4000)
	var many []cards.Action
	var rows []cards.Row
	var facts []cards.Fact
	var options []cards.Option
	for i := range 300 {
		many = append(many, cards.Action{Label: fmt.Sprintf("Button %d %s", i, long[:200]), Token: fmt.Sprintf("token-%d", i), Confirm: long[:900]})
		options = append(options, cards.Option{Label: long[:300], Value: fmt.Sprint("v", i)})
		rows = append(rows, cards.Row{Tone: cards.Alarm, Text: fmt.Sprint(i, long[:3000]), Detail: long, Actions: []cards.Action{button("Open", fmt.Sprint("o", i)), button("Take", fmt.Sprint("t", i))}})
		facts = append(facts, cards.Fact{Label: long[:90], Value: long[:900], Wide: i%7 == 0})
	}
	return map[string]cards.Card{
		"nothing at all": {},
		"only a title":   {Title: "x"},
		"long words":     {Title: long, Badges: []string{long, long}, Body: long, Note: long, Alt: long, Facts: []cards.Fact{{Label: long, Value: long}, {Label: long, Value: long, Wide: true}}},
		"many rows":      {Title: "rows", Rows: rows, Actions: []cards.Action{button("Next", "n")}},
		"many buttons":   {Title: "buttons", Actions: many, More: many},
		"many facts":     {Title: "facts", Facts: facts},
		"menus": {Title: "menus", Actions: []cards.Action{{Label: "Priority", Token: "p", Options: options}, {Label: "Empty", Token: "e", Options: []cards.Option{}},
			{Label: "Same", Token: "p", Options: options[:3]}, {Label: "", Token: "q", Options: []cards.Option{{Label: "", Value: "a"}, {Label: "b", Value: "a"}, {Label: "c"}}}}},
		"odd buttons": {Title: "odd", Actions: []cards.Action{{}, {Label: "no token"}, {Label: "link", URL: "https://example.com/?a=b"}, {Label: "bad", URL: "javascript:alert(1)"},
			{Label: "long", Token: strings.Repeat("t", 200)}, {Label: "styled", Token: "s", Style: "rainbow"}}, More: []cards.Action{{Label: "long", Token: strings.Repeat("m", 200)}, {Label: "more", Token: "m"}, {Label: "again", Token: "m"}}},
		"strange text": {Title: "a\u202eb\x00c\u2066", Body: "\xff\xfe \x00 \u200b", Note: "\n\n", Badges: []string{"", " "}, Facts: []cards.Fact{{}, {Label: "l"}, {Value: "v"}}},
		"unknown tone": {Tone: "plaid", Title: "t", Body: "b"},
		"pings":        {Title: "ping", Ping: []string{"U0USER001", "not an id", "<!here>", ""}},
		"a form":       {Title: "form", Form: &cards.Form{Token: "f", Inputs: []cards.Input{{Name: "a", Label: "A"}, {Name: "b", Kind: "telepathy"}}}},
	}
}

// Attacks are texts that must stay text.
var Attacks = []string{
	"<!channel> <!here> <!everyone>", "<@U0USER001>", "<!subteam^S0GROUP01>", "<https://evil.example|bank.example>", "&lt;!channel&gt;", "@channel @here @all",
	"*bold* _it_ ~no~ `code`", "```\nblock\n```", "> quote", "[link](https://evil.example)", "![img](https://evil.example/x.png)", "<at user_id=\"all\"></at>",
	"<at id=all></at>", "<script>alert(1)</script>", "<font color='red'>x</font>", "@所有人", "<a href='https://evil.example'>x</a>", "{{template}} ${env} %s%n", "</card>", "\"},{\"type\":\"divider\"},{\"",
	"# heading\n- list", "<!date^1^{date}|x>", "<#C0CHAN001>", "<mailto:a@b.c|x>", ":tada:",
}

// hostile puts attacks wherever a card has text.
func (h Harness) hostile(t *testing.T) {
	if h.Live == nil {
		t.Fatal("no Live given: every platform has some markup")
	}
	b := h.New(t)
	for i, s := range Attacks {
		c := cards.Card{
			Lang: cards.EN, Title: s, Badges: []string{s}, Body: s + "\n" + s, Note: s, Alt: s, Facts: []cards.Fact{{Label: s, Value: s}, {Label: s, Value: s, Wide: true}, {Label: s, Value: s, Action: &cards.Action{Label: s, Token: "t"}}},
			Rows: []cards.Row{{Text: s, Detail: s, Actions: []cards.Action{button(s, "r")}}}, Actions: []cards.Action{{Label: s, Token: "a", Confirm: s}, {Label: s, Token: "m", Options: []cards.Option{{Label: s, Value: "v"}}}},
			More: []cards.Action{button(s, "o")}, Ping: []string{s},
		}
		ref, err := b.Adapter.Post(t.Context(), b.To, fmt.Sprint("hostile-", i), c)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		shown, ok := b.Shown(ref)
		if !ok {
			t.Errorf("%q: not shown", s)
			continue
		}
		if live := h.Live(shown); len(live) > 0 {
			t.Errorf("%q is alive in the card: %q", s, live)
		}
	}
}

func (h Harness) verdicts(t *testing.T) {
	if len(h.Verdicts) == 0 {
		t.Fatal("no verdicts given")
	}
	c := cards.Card{Title: "verdict"}
	for _, v := range h.Verdicts {
		t.Run(v.Name, func(t *testing.T) {
			b := h.New(t)
			ref, err := b.Adapter.Post(t.Context(), b.To, "before", c)
			if err != nil {
				t.Fatal(err)
			}
			v.Break(b)
			if v.Update {
				_, err = b.Adapter.Update(t.Context(), ref, c)
			} else {
				_, err = b.Adapter.Post(t.Context(), b.To, "the one", c)
			}
			if err == nil {
				t.Fatal("no error")
			}
			h.silent(t, v.Name, err)
			var limited bot.RateLimited
			if errors.As(err, &limited) != (v.After > 0) || limited.After != v.After {
				t.Errorf("err %v, want RateLimited after %v", err, v.After)
			}
			for _, verdict := range []error{bot.ErrGone, bot.ErrUnauthorized, bot.ErrRejected, bot.ErrUnknown} {
				if errors.Is(err, verdict) != (v.Want == verdict) {
					t.Errorf("err %q, want verdict %v", err, v.Want)
				}
			}
			finder, ok := b.Adapter.(bot.Finder)
			if !ok || v.Want != bot.ErrUnknown {
				return
			}
			found, err := finder.Find(t.Context(), b.To, "the one")
			if err != nil || (found != "") != v.Found {
				t.Errorf("Find = %q, %v; want found %v", found, err, v.Found)
			}
		})
	}
}

func (h Harness) silent(t *testing.T, what string, err error) {
	t.Helper()
	for _, s := range h.Secrets {
		if s != "" && err != nil && strings.Contains(err.Error(), s) {
			t.Errorf("%s: the error tells a secret: %v", what, err)
		}
	}
}

func (h Harness) cancelled(t *testing.T) {
	b := h.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Adapter.Post(ctx, b.To, "late", cards.Card{Title: "late"})
	if err == nil {
		t.Error("Post with a cancelled context went through")
	}
	for _, wrong := range []error{bot.ErrGone, bot.ErrUnauthorized, bot.ErrRejected} {
		if errors.Is(err, wrong) {
			t.Errorf("a cancelled call became the verdict %v", wrong)
		}
	}
	h.silent(t, "cancelled", err)
	b.Close()
	_, err = b.Adapter.Post(t.Context(), b.To, "nobody", cards.Card{Title: "nobody listens"})
	if err == nil || errors.Is(err, bot.ErrUnknown) {
		t.Errorf("err %v where no server listens, want one that says: not sent", err)
	}
	h.silent(t, "no server", err)
}

func (h Harness) concurrent(t *testing.T) {
	b := h.New(t)
	const n = 64
	var mu sync.Mutex
	refs := map[bot.MessageRef]bool{}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			ref, err := b.Adapter.Post(t.Context(), b.To, fmt.Sprint("c", i), cards.Card{Title: fmt.Sprint("card ", i)})
			if err == nil && !h.Fixed {
				ref, err = b.Adapter.Update(t.Context(), ref, cards.Card{Title: fmt.Sprint("card ", i, " changed")})
			}
			if err != nil {
				t.Errorf("post %d: %v", i, err)
			}
			mu.Lock()
			defer mu.Unlock()
			refs[ref] = true
		})
	}
	all.Wait()
	if len(refs) != n || b.Posts() != n {
		t.Errorf("%d references and %d messages, want %d of each", len(refs), b.Posts(), n)
	}
}

func (h Harness) leaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	b := h.New(t)
	if _, err := b.Adapter.Post(t.Context(), b.To, "leak", cards.Card{Title: "leak"}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
