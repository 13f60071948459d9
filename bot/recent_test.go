package bot

import (
	"strconv"
	"testing"
)

func TestRecentThingsAreRememberedWithinBounds(t *testing.T) {
	var r recent
	if r.has("a") {
		t.Error("remembers what it was never told")
	}
	r.add("a")
	if !r.has("a") || r.has("b") {
		t.Error("does not tell what it was told from what it was not")
	}
	for i := range 3 * maxRecent {
		r.add(strconv.Itoa(i))
		if len(r.all) > maxRecent {
			t.Fatalf("holds %d names, at most %d", len(r.all), maxRecent)
		}
	}
	if !r.has(strconv.Itoa(3*maxRecent - 1)) {
		t.Error("forgot what it was told last")
	}
}
