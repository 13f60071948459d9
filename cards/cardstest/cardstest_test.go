package cardstest

import "testing"

func TestTheCorpusIsLargeAndWellFormed(t *testing.T) {
	all, err := parse(corpus)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 500 {
		t.Errorf("%d strings, want at least 500", len(all))
	}
	seen := map[string]bool{}
	for _, s := range all {
		if seen[s] {
			t.Errorf("%.40q stands there twice", s)
		}
		seen[s] = true
	}
}

func TestAMalformedCorpusIsAnError(t *testing.T) {
	for _, text := range []string{"x", `"a"*`, `"a"*0`, `"a" b`, `"a`} {
		if got, err := parse(text); err == nil {
			t.Errorf("parse(%q) = %q, want an error", text, got)
		}
	}
}

func TestEveryKindOfCardIsThere(t *testing.T) {
	if n := len(Everywhere("x")); n < 60 {
		t.Errorf("%d cards, want at least 60", n)
	}
}
