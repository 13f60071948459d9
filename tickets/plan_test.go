package tickets_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// wholeTable is how a plan says that it reads all tickets.
var wholeTable = regexp.MustCompile(`(?i)seq scan on (tickets|search|events)|SCAN (tickets|events)( |$)`)

// TestListsUseIndexes has both databases plan the queries behind the lists, as
// they stand in the source, with enough tickets for it to matter.
func TestListsUseIndexes(t *testing.T) {
	if testing.Short() {
		t.Skip("loads 50,000 tickets")
	}
	whole, composed := statements(t, ".")
	var queries []string
	for _, s := range append(whole, composed...) {
		text := s.text
		if !strings.Contains(text, "FROM tickets WHERE") || !strings.Contains(text, "ORDER BY") ||
			strings.Contains(text, "CASE") || strings.Contains(text, "tsquery") || strings.Contains(text, "number > ?") { // see BenchmarkLists for these
			continue
		}
		text = strings.ReplaceAll(text, " IN  AND", " IN (?) AND")
		text = strings.ReplaceAll(text, "due <  ORDER", "due < 1700000000000000 ORDER")
		if !strings.Contains(text, "LIMIT") {
			text += " LIMIT 10"
		}
		queries = append(queries, text)
	}
	if len(queries) < 3 {
		t.Fatalf("found only %d queries", len(queries))
	}
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		h.bulk(50_000)
		for _, query := range queries {
			text := strings.ReplaceAll(query, "?", "'it'") // a desk or a person
			if plan := h.explain(text); wholeTable.MatchString(plan) {
				t.Errorf("reads all tickets:\n%s\n%s", text, plan)
			}
		}
	})
}

func (h *house) explain(query string) string {
	h.t.Helper()
	var lines []string
	if !h.db.SQLite() {
		if err := h.db.Select(h.t.Context(), &lines, `EXPLAIN `+query); err != nil {
			h.t.Fatalf("%v\n%s", err, query)
		}
		return strings.Join(lines, "\n")
	}
	var steps []struct {
		ID      int    `db:"id"`
		Parent  int    `db:"parent"`
		NotUsed int    `db:"notused"`
		Detail  string `db:"detail"`
	}
	if err := h.db.Select(h.t.Context(), &steps, `EXPLAIN QUERY PLAN `+query); err != nil {
		h.t.Fatalf("%v\n%s", err, query)
	}
	for _, s := range steps {
		lines = append(lines, s.Detail)
	}
	return strings.Join(lines, "\n")
}
