package bot

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/paidan/paidan/tickets"
)

// readCases returns the texts of testdata/requests/<name>.txtar by their file's name.
func readCases(t *testing.T, name string) map[string]string {
	t.Helper()
	data, err := os.ReadFile("testdata/requests/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{}
	for _, f := range txtar.Parse(data).Files {
		cases[f.Name] = strings.TrimSuffix(string(f.Data), "\n")
	}
	if len(cases) < 100 {
		t.Fatalf("%s has only %d cases", name, len(cases))
	}
	return cases
}

// What opens no ticket is no command either, but for good news: that may solve
// one. And what only sounds like chatter must not be dropped.
func TestChatterIsToldFromRequests(t *testing.T) {
	for name, text := range readCases(t, "chatter") {
		want := strings.HasPrefix(name, "chatter-")
		if got := tickets.Chatter(text); got != want {
			t.Errorf("%s: Chatter(%q) = %v, want %v", name, text, got, want)
		}
		in := Parse(text, nil, saturday, shanghai)
		if want && in.Verb != VerbNone && in.Verb != VerbPick && in.Verb != tickets.VerbSolve { // 1; 解决了，谢谢
			t.Errorf("%s: %q is %s", name, text, in.describe())
		}
	}
}

// Nobody who asks for help, in words of his own, does anything to a ticket.
func TestRequestsAreNoOrders(t *testing.T) {
	for name, text := range readCases(t, "requests") {
		if tickets.Chatter(text) {
			t.Errorf("%s: Chatter(%q)", name, text)
		}
		if in := Parse(text, nil, saturday, shanghai); in.Verb != VerbNone && in.Verb != tickets.VerbOpen {
			t.Errorf("%s: %q is %s", name, text, in.describe())
		}
	}
}
