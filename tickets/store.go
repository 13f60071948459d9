package tickets

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/paidan/paidan/internal/sqldb"
)

const eventColumns = `ticket_id, seq, kind, actor, via, at, once, facts, words, salt, digest, prev, hash`

// loadTicket returns the ticket and its version. It does not lock it: the
// guarded UPDATE in save tells whether it was still so.
func loadTicket(ctx context.Context, q sqldb.Querier, id TicketID) (*Ticket, int64, error) {
	var row struct {
		Doc     string `db:"doc"`
		Version int64  `db:"version"`
	}
	if err := q.Get(ctx, &row, `SELECT doc, version FROM tickets WHERE id = ?`, id); err != nil {
		return nil, 0, fmt.Errorf("load ticket: %w", err)
	}
	t := &Ticket{}
	if err := json.Unmarshal([]byte(row.Doc), t); err != nil {
		return nil, 0, fmt.Errorf("decode ticket %s: %w", id, err)
	}
	return t, row.Version, nil
}

func loadEvents(ctx context.Context, q sqldb.Querier, query string, args ...any) ([]Event, error) {
	var rows []stored
	if err := q.Select(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("load events: %w", err)
	}
	out := make([]Event, 0, len(rows))
	for i := range rows {
		e, err := rows[i].event()
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// peopleAlso is people with the ids that were merged into them.
const peopleAlso = `SELECT q.id, q.name, q.locale, (SELECT string_agg(m.id, ',') FROM people m WHERE m.merged = q.id) AS also FROM people q`

// loadAccount reads who an account is and what he may do. It runs in the
// deciding transaction: rights that were taken away a moment ago do not count.
func loadAccount(ctx context.Context, q sqldb.Querier, ref string) (Actor, error) {
	return readActor(ctx, q, `SELECT p.id, p.name, p.locale, a.guest, p.also, COALESCE(r.desk, '') AS desk, COALESCE(r.role, '') AS role
		FROM accounts a JOIN (`+peopleAlso+`) p ON p.id = a.person LEFT JOIN roles r ON r.person = p.id WHERE a.ref = ?`, ref)
}

func loadActor(ctx context.Context, q sqldb.Querier, p PersonID) (Actor, error) {
	return readActor(ctx, q, `SELECT p.id, p.name, p.locale, p.also, COALESCE(r.desk, '') AS desk, COALESCE(r.role, '') AS role,
		EXISTS (SELECT 1 FROM accounts a WHERE a.person = p.id) AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.person = p.id AND NOT a.guest) AS guest
		FROM (`+peopleAlso+`) p LEFT JOIN roles r ON r.person = p.id WHERE p.id = ?`, p)
}

func readActor(ctx context.Context, q sqldb.Querier, query string, key any) (Actor, error) {
	var rows []struct {
		ID     PersonID `db:"id"`
		Name   string   `db:"name"`
		Locale string   `db:"locale"`
		Guest  bool     `db:"guest"`
		Also   *string  `db:"also"`
		Desk   DeskKey  `db:"desk"`
		Role   Role     `db:"role"`
	}
	if err := q.Select(ctx, &rows, query, key); err != nil {
		return Actor{}, fmt.Errorf("load actor: %w", err)
	}
	if len(rows) == 0 {
		return Actor{}, ErrNoAccount
	}
	a := Actor{Person: rows[0].ID, Name: rows[0].Name, Locale: rows[0].Locale, Roles: map[DeskKey][]Role{}}
	if also := rows[0].Also; also != nil {
		for id := range strings.SplitSeq(*also, ",") {
			a.Also = append(a.Also, PersonID(id))
		}
	}
	for _, r := range rows {
		if r.Role != "" && !r.Guest && !slices.Contains(a.Roles[r.Desk], r.Role) { // a guest may ask, not work
			a.Roles[r.Desk] = append(a.Roles[r.Desk], r.Role)
		}
	}
	return a, nil
}

// save applies events to t and writes them, t, and everything that follows.
// The UPDATE is the claim: it succeeds only while the ticket still has the
// version that was decided on, else errRaced.
func (w *work) save(ctx context.Context, t *Ticket, version int64, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	before := *t
	rows := make([]stored, 0, len(events))
	for i := range events {
		e := &events[i]
		e.Ticket, e.Seq, e.Via, e.Once = t.ID, version+int64(i)+1, w.r.Via, w.r.Once
		s, err := seal(e, t.Head)
		if err != nil {
			return err
		}
		Apply(t, *e)
		rows = append(rows, s)
	}
	doc, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode ticket %s: %w", t.ID, err)
	}
	n, err := w.tx.Exec(ctx, `UPDATE tickets SET status = ?, priority = ?, owner = ?, requester = ?, title = ?, changed = ?, due = ?, version = ?, head = ?, doc = ?
		WHERE id = ? AND version = ?`,
		t.Status, int(t.Priority), t.Owner, t.Requester, plain(t.Title), t.Changed, t.nextDue(), t.Version, t.Head, string(doc), t.ID, version)
	if err != nil {
		return fmt.Errorf("update ticket: %w", err)
	}
	if n != 1 {
		return errRaced
	}
	if err := insertEvents(ctx, w.tx, rows); err != nil {
		return err
	}
	if err := w.index(ctx, t, events); err != nil {
		return err
	}
	w.out.Events = append(w.out.Events, events...)
	return w.follow(ctx, &before, t, events)
}

func insertEvents(ctx context.Context, tx *sqldb.Tx, rows []stored) error {
	var sql strings.Builder
	sql.WriteString(`INSERT INTO events (` + eventColumns + `) VALUES `)
	args := make([]any, 0, 13*len(rows))
	for i, s := range rows {
		if i > 0 {
			sql.WriteString(", ")
		}
		sql.WriteString("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
		args = append(args, s.Ticket, s.Seq, s.Kind, s.By, s.Via, s.At, s.Once, s.Facts, s.Words, s.Salt, s.Digest, s.Prev, s.Hash)
	}
	if _, err := tx.Exec(ctx, sql.String(), args...); err != nil {
		return fmt.Errorf("insert events: %w", err)
	}
	return nil
}

// nextDue is the next target that has not been met; 0 when none runs.
func (t *Ticket) nextDue() Time {
	if !t.Status.Open() || t.Status.Paused() {
		return 0
	}
	if t.RespondBy != 0 && t.Responded == 0 && (t.SolveBy == 0 || t.RespondBy < t.SolveBy) {
		return t.RespondBy
	}
	return t.SolveBy
}

// plain is s as both databases can store it in a column of its own: PostgreSQL
// takes no NUL and no invalid UTF-8. Documents keep the original, escaped.
func plain(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// History returns all events of a ticket, oldest first, after checking their chain.
func (s *Service) History(ctx context.Context, id TicketID) ([]Event, error) {
	var rows []stored
	if err := s.db.Select(ctx, &rows, `SELECT `+eventColumns+` FROM events WHERE ticket_id = ? ORDER BY seq`, id); err != nil {
		return nil, fmt.Errorf("load events: %w", err)
	}
	out := make([]Event, 0, len(rows))
	prev := ""
	for i := range rows {
		if err := rows[i].verify(int64(i)+1, prev); err != nil {
			return nil, err
		}
		prev = rows[i].Hash
		e, err := rows[i].event()
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// Replay rebuilds a ticket from its events.
func Replay(events []Event) *Ticket {
	t := &Ticket{}
	for _, e := range events {
		Apply(t, e)
	}
	return t
}
