package cards

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/paidan/paidan/tickets"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// wide is a platform with room for everything that a chat can show.
var wide = Caps{Buttons: 5, MenuOptions: 100, Label: 75, Title: 150, Text: 3000, Facts: 30, Rows: 20, Total: 30000, Blocks: 50, Menus: true, Forms: true}

// narrow is a platform with room for little.
var narrow = Caps{Buttons: 3, MenuOptions: 10, Label: 10, Title: 26, Text: 112, Facts: 6, Rows: 5, Total: 500, Blocks: 16, Menus: false}

func TestEveryCardReadsWellAsText(t *testing.T) {
	golden(t, "wide", func(c Card) string { return PlainText(Fit(c, wide)) })
	golden(t, "narrow", func(c Card) string {
		text, acts := Numbered(Fit(c, narrow))
		if got := strings.Count(text, "\n"); got == 0 {
			t.Errorf("%q has no line end (%d acts)", text, len(acts))
		}
		return text
	})
	golden(t, "shared", func(c Card) string {
		c.Shared = true
		text, _ := Numbered(Fit(c, narrow))
		lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
		return lines[0] + "\n" + lines[len(lines)-1] + "\n" // the rest is as in private
	})
}

// What Numbered numbers is what Choices gives, and each stands for one act alone.
func TestNumbersStandForChoices(t *testing.T) {
	menus := 0
	for _, s := range Samples() {
		text, acts := Numbered(s.Card)
		choices := Choices(s.Card)
		if len(acts) != len(choices) {
			t.Fatalf("%s: %d acts, %d choices", s.Name, len(acts), len(choices))
		}
		for i, a := range choices {
			if a.Act != acts[i] || a.URL != "" || len(a.Options) > 0 {
				t.Errorf("%s: %d is %+v, Numbered says %+v", s.Name, i+1, a, acts[i])
			}
			if !strings.Contains(text, strconv.Itoa(i+1)+" "+a.Label) {
				t.Errorf("%s: %d %s is not in\n%s", s.Name, i+1, a.Label, text)
			}
			if a.Act.Verb == tickets.VerbPriority && !a.Act.Form {
				menus++
				if !strings.HasPrefix(a.Act.Arg, "P") {
					t.Errorf("%s: the choice of a menu carries %q", s.Name, a.Act.Arg)
				}
			}
		}
	}
	if menus == 0 {
		t.Error("no sample has a menu")
	}
}

// golden compares the samples of each language, one file a language.
func golden(t *testing.T, name string, show func(Card) string) {
	t.Helper()
	got := map[string]*strings.Builder{}
	for _, s := range Samples() {
		sample, l, _ := strings.Cut(s.Name, ".")
		if got[l] == nil {
			got[l] = &strings.Builder{}
		}
		got[l].WriteString("== " + sample + "\n" + show(s.Card) + "\n")
	}
	for l, b := range got {
		path := filepath.Join("testdata", "plain", name+"."+l+".golden")
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (run with -update and read the diff) -want +got:\n%s", path, diff)
		}
	}
}
