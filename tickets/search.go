package tickets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/paidan/paidan/internal/sqldb"
)

// Search is by the database's own full-text index over tokens that we cut (see
// bigram.go). Who may see a ticket is a token as well: so the index finds the few
// tickets that are both somebody's and about something, however many there are
// of either.

// indexed are the kinds of events that change what a ticket is found by.
var indexed = []Kind{Opened, SaidMore, Replied, Retracted, Amended, SolvedBy, Rejected, Reopened, Tagged, Undone}

// maxIndexed bounds how many of a ticket's newest events are read for its index.
const maxIndexed = 500

// index keeps the search tokens of everything public that was written.
func (w *work) index(ctx context.Context, t *Ticket, events []Event) error {
	if !slices.ContainsFunc(events, func(e Event) bool { return slices.Contains(indexed, e.Kind) }) {
		return nil
	}
	if t.Version > int64(len(events)) {
		var err error
		if events, err = loadEvents(ctx, w.tx, `SELECT `+eventColumns+` FROM events WHERE ticket_id = ? AND kind IN ('opened', 'said', 'replied', 'retracted', 'amended', 'solved', 'rejected', 'reopened') ORDER BY seq DESC LIMIT `+
			strconv.Itoa(maxIndexed), t.ID); err != nil {
			return err
		}
		slices.Reverse(events)
	}
	return writeIndex(ctx, w.tx, t, written(t, events))
}

// written is what a ticket is found by: its title, its tags, and what was said
// in public, as it reads after later edits.
func written(t *Ticket, events []Event) string {
	said := map[int64]string{}
	for _, e := range events {
		w := e.words()
		switch e.Kind {
		case Retracted:
			delete(said, e.Facts.Seq)
		case Amended:
			if _, ok := said[e.Facts.Seq]; ok {
				said[e.Facts.Seq] = w.Text
			}
		default:
			said[e.Seq] = strings.TrimSpace(w.Body + "\n" + w.Text + "\n" + w.Reason)
		}
	}
	parts := append([]string{t.Title}, t.Tags...)
	for _, e := range events {
		parts = append(parts, said[e.Seq])
	}
	return strings.Join(parts, "\n")
}

// writeIndex makes t found by text and by who may see it. Without text nobody
// finds it any more.
func writeIndex(ctx context.Context, tx *sqldb.Tx, t *Ticket, text string) error {
	var tokens []string
	if text != "" {
		tokens = append([]string{deskToken(t.Desk), personToken(t.Requester)}, indexTokens(text)...)
	}
	query := `INSERT INTO search (number, tokens) VALUES (?, cast(? as tsvector)) ON CONFLICT (number) DO UPDATE SET tokens = excluded.tokens`
	if tx.SQLite() {
		query = `INSERT OR REPLACE INTO search (rowid, tokens) VALUES (?, ?)`
	}
	if _, err := tx.Exec(ctx, query, t.Number, indexText(tx.SQLite(), tokens)); err != nil {
		return fmt.Errorf("index ticket: %w", err)
	}
	return nil
}

// indexText is tokens in the form in which the database indexes them as they
// are: PostgreSQL gets positions, so that its parser has no say in it.
func indexText(sqlite bool, tokens []string) string {
	if sqlite {
		return strings.Join(tokens, " ")
	}
	var b strings.Builder
	for i, tok := range tokens {
		fmt.Fprintf(&b, "'%s':%d ", tok, i+1) // letters and digits only: see runs
	}
	return b.String()
}

// deskToken and personToken stand for who may see a ticket. They are longer than
// any word (see maxWord), so that nobody can write one into a ticket.
func deskToken(d DeskKey) string    { return "d" + scopeHash(string(d)) }
func personToken(p PersonID) string { return "p" + scopeHash(string(p)) }

func scopeHash(s string) string {
	h := sha256.Sum256([]byte("paidan-scope-1:" + s))
	return hex.EncodeToString(h[:maxWord/2])
}

// scopeOf are the tokens of which a ticket must have one for the actor to find
// it; nil for whoever sees everything. wide tells that whole desks are among them.
func scopeOf(a Actor) (tokens []string, wide bool) {
	for _, p := range append([]PersonID{a.Person}, a.Also...) {
		tokens = append(tokens, personToken(p))
	}
	for d := range a.Roles {
		if !a.Works(d) && !a.Is(Auditor, d) {
			continue
		}
		if d == EveryDesk {
			return nil, true
		}
		tokens, wide = append(tokens, deskToken(d)), true
	}
	slices.Sort(tokens)
	return tokens, wide
}

// Search lists the tickets that hold all the words, newest first, among those
// that the actor asked for or sees as one who works at their desk.
func (s *Service) Search(ctx context.Context, a Actor, words string, limit int) (rows []Row, more int, err error) {
	phrases := queryPhrases(words)
	if len(phrases) == 0 || a.Person == "" {
		return nil, 0, nil
	}
	scope, wide := scopeOf(a)
	if s.db.SQLite() {
		return s.rows(ctx, limit, `SELECT `+ticketColumns+` FROM search CROSS JOIN tickets ON tickets.number = search.rowid
			WHERE search MATCH ? ORDER BY search.rowid DESC`, ftsQuery(phrases, scope))
	}
	return s.searchPostgres(ctx, tsQuery(phrases, scope), wide, limit)
}

// searchWindow is how many of the newest tickets are looked at one by one before
// the index is asked. What is found often is found among them; for what is not,
// the index is fast, which for common words it is not: it gathers every ticket
// that has them before it sorts.
const searchWindow = 5_000

func (s *Service) searchPostgres(ctx context.Context, query string, wide bool, limit int) ([]Row, int, error) {
	var last []int64
	if err := s.db.Select(ctx, &last, `SELECT number FROM search ORDER BY number DESC LIMIT 1`); err != nil {
		return nil, 0, fmt.Errorf("search: %w", err)
	}
	if len(last) == 0 {
		return nil, 0, nil
	}
	const columns = `SELECT ` + ticketColumns + ` FROM tickets WHERE number IN `
	var newest []Row
	from := last[0] + 1
	if wide {
		from = last[0] - searchWindow
		var more int
		var err error
		// The function instead of its operator @@ keeps the planner off the index.
		newest, more, err = s.rows(ctx, limit, columns+`(SELECT number FROM search WHERE number > ? AND ts_match_vq(tokens, cast(? as tsquery)) ORDER BY number DESC LIMIT ?) ORDER BY number DESC`,
			from, query, limit+1)
		if err != nil || more > 0 || from <= 0 {
			return newest, more, err
		}
	}
	// Nor may it walk back through all tickets here: hence the sum in the order.
	older, more, err := s.rows(ctx, limit-len(newest), columns+`(SELECT number FROM search WHERE number <= ? AND tokens @@ cast(? as tsquery) ORDER BY number + 0 DESC LIMIT ?) ORDER BY number DESC`,
		min(from, last[0]), query, limit-len(newest)+1)
	return append(newest, older...), more, err
}

// ftsQuery is what FTS5 understands; every token is quoted.
func ftsQuery(phrases [][]string, scope []string) string {
	var parts []string
	for _, p := range phrases {
		parts = append(parts, `"`+strings.Join(p, `" + "`)+`"`)
	}
	if len(scope) > 0 {
		parts = append(parts, `("`+strings.Join(scope, `" OR "`)+`")`)
	}
	return strings.Join(parts, " AND ")
}

// tsQuery is the same for PostgreSQL.
func tsQuery(phrases [][]string, scope []string) string {
	var parts []string
	for _, p := range phrases {
		parts = append(parts, `('`+strings.Join(p, `' <-> '`)+`')`)
	}
	if len(scope) > 0 {
		parts = append(parts, `('`+strings.Join(scope, `' | '`)+`')`)
	}
	return strings.Join(parts, " & ")
}
