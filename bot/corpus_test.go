package bot_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/paidan/paidan/tickets"
)

// corpus returns the texts of a file below testdata/requests by name, as they
// were typed.
func corpus(t *testing.T, name string) map[string]string {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", "requests", name))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, f := range a.Files {
		if _, twice := texts[f.Name]; twice {
			t.Fatalf("%s: %s stands there twice", name, f.Name)
		}
		texts[f.Name] = strings.TrimSuffix(string(f.Data), "\n")
	}
	return texts
}

func TestNoRequestIsTakenForChatter(t *testing.T) {
	texts := corpus(t, "requests.txtar")
	if len(texts) < 320 {
		t.Fatalf("only %d requests", len(texts))
	}
	for name, text := range texts {
		if tickets.Chatter(text) {
			t.Errorf("%s would be dropped: %q", name, text)
		}
	}
}

// A greeting that opens a ticket is a nuisance, a request that is dropped is a
// loss: the first may happen to one in ten, the second never.
func TestChatterIsToldFromWhatSoundsAlike(t *testing.T) {
	var chatter, near int
	var missed []string
	for name, text := range corpus(t, "chatter.txtar") {
		got := tickets.Chatter(text)
		switch {
		case strings.HasPrefix(name, "chatter-"):
			if chatter++; !got {
				missed = append(missed, text)
			}
		default:
			if near++; got {
				t.Errorf("%s would be dropped: %q", name, text)
			}
		}
	}
	if chatter < 80 || near < 60 {
		t.Errorf("only %d chatter, %d near misses", chatter, near)
	}
	if len(missed)*10 > chatter {
		t.Errorf("%d of %d would open a ticket: %q", len(missed), chatter, missed)
	}
}
