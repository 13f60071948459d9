package tickets_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// Round trips are most of what an act costs on PostgreSQL. Whoever adds one to
// the hottest acts shall know it.
func TestHotActsTakeFewStatements(t *testing.T) {
	ticketstest.EachURL(t, func(t *testing.T, url string) {
		var mu sync.Mutex // guards said and on
		var said []string
		ctx := sqldb.Traced(t.Context(), func(s sqldb.Statement) {
			mu.Lock()
			defer mu.Unlock()
			if !strings.HasPrefix(s.SQL, "SAVEPOINT") && !strings.HasPrefix(s.SQL, "RELEASE") {
				said = append(said, s.SQL)
			}
		})
		db, err := sqldb.Open(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		h := newHouse(t, db)
		count := func(f func()) []string {
			mu.Lock()
			said = nil
			mu.Unlock()
			f()
			mu.Lock()
			defer mu.Unlock()
			return said
		}
		h.do(wang, "", tickets.Open{Desk: "it", Title: "first, fills the caches"})
		var id tickets.TicketID
		for _, act := range []struct {
			name string
			most int
			do   func()
		}{
			{"open", 14, func() { id = h.do(wang, "", tickets.Open{Desk: "it", Title: "printer"}).Ticket.ID }},
			{"claim", 8, func() { h.do(li, id, tickets.Claim{}) }},
			{"note", 10, func() { h.do(li, id, tickets.Note{Text: "looked into it"}) }},
		} {
			if got := count(act.do); len(got) > act.most {
				t.Errorf("%s takes %d statements, at most %d:\n%s", act.name, len(got), act.most, strings.Join(got, "\n"))
			}
		}
	})
}
