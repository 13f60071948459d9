package tickets

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/internal/sqldb"
)

// Find returns the ticket with that number, if the actor may see it. Otherwise
// it refuses with NotFound, and with the number among those the actor may see
// that looks most like it.
func (s *Service) Find(ctx context.Context, a Actor, number int64) (*Ticket, error) {
	var id []TicketID
	if err := s.db.Select(ctx, &id, `SELECT id FROM tickets WHERE number = ?`, number); err != nil {
		return nil, fmt.Errorf("find ticket: %w", err)
	}
	if len(id) == 1 {
		t, _, err := loadTicket(ctx, s.db, id[0])
		if err != nil {
			return nil, err
		}
		if a.Sees(t) {
			return t, nil
		}
	}
	near, err := s.near(ctx, a, number)
	if err != nil {
		return nil, err
	}
	e := Refuse(NotFound, "number", strconv.FormatInt(number, 10))
	if near != 0 {
		e.Args["near"] = strconv.FormatInt(near, 10)
	}
	return nil, e
}

// Ticket returns the ticket as it is now; NotFound for nobody's eyes is not its
// business.
func (s *Service) Ticket(ctx context.Context, id TicketID) (*Ticket, error) {
	t, _, err := loadTicket(ctx, s.db, id)
	if sqldb.NotFound(err) {
		return nil, Refuse(NotFound)
	}
	return t, err
}

// near looks for a slip of the finger: a number that differs by one digit, or
// by two neighbours in the wrong order.
func (s *Service) near(ctx context.Context, a Actor, number int64) (int64, error) {
	digits := []byte(strconv.FormatInt(number, 10))
	var slips []any
	add := func(b []byte) {
		if n, err := strconv.ParseInt(string(b), 10, 64); err == nil && n > 0 && n != number && len(slips) < 400 {
			slips = append(slips, n)
		}
	}
	for i := range digits {
		if i+1 < len(digits) {
			b := slices.Clone(digits)
			b[i], b[i+1] = b[i+1], b[i]
			add(b)
		}
		for d := byte('0'); d <= '9'; d++ {
			b := slices.Clone(digits)
			b[i] = d
			add(b)
			add(slices.Insert(slices.Clone(digits), i, d))
		}
		add(slices.Delete(slices.Clone(digits), i, i+1))
	}
	if len(slips) == 0 {
		return 0, nil
	}
	where, args := visible(a)
	var found []int64
	err := s.db.Select(ctx, &found, `SELECT number FROM tickets WHERE number IN (?`+strings.Repeat(", ?", len(slips)-1)+`) AND `+where+
		` ORDER BY CASE WHEN status IN ('closed', 'archived') THEN 1 ELSE 0 END, number DESC LIMIT 1`, append(slips, args...)...)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0], nil
}

// visible is the condition under which the actor may see a row of tickets.
func visible(a Actor) (string, []any) {
	in, args := a.in()
	args = append(args, args...)
	where := `(requester IN ` + in + ` OR owner IN ` + in
	var desks []string
	for d := range a.Roles {
		if a.Works(d) || a.Is(Auditor, d) {
			desks = append(desks, string(d))
		}
	}
	slices.Sort(desks)
	if slices.Contains(desks, string(EveryDesk)) {
		return `(1 = 1)`, nil
	}
	if len(desks) > 0 {
		where += ` OR desk IN (` + strings.TrimSuffix(strings.Repeat("?, ", len(desks)), ", ") + `)`
		for _, d := range desks {
			args = append(args, d)
		}
	}
	return where + `)`, args
}

type listRow struct {
	ID        TicketID `db:"id"`
	Number    int64    `db:"number"`
	Desk      DeskKey  `db:"desk"`
	Title     string   `db:"title"`
	Status    Status   `db:"status"`
	Priority  Priority `db:"priority"`
	Owner     PersonID `db:"owner"`
	OwnerName string   `db:"owner_name"`
	Created   Time     `db:"created"`
	Due       Time     `db:"due"`
	Version   int64    `db:"version"`
}

func (s *Service) rows(ctx context.Context, limit int, from string, args ...any) ([]Row, int, error) {
	var raw []listRow
	if err := s.db.Select(ctx, &raw, from+` LIMIT ?`, append(args, limit+1)...); err != nil {
		return nil, 0, fmt.Errorf("list tickets: %w", err)
	}
	more := 0
	if len(raw) > limit {
		raw, more = raw[:limit], 1
	}
	out := make([]Row, 0, len(raw))
	for _, r := range raw {
		out = append(out, Row(r))
	}
	return out, more, nil
}

// ticketColumns name the owner by a subquery: a join could change the order.
const ticketColumns = `tickets.number, tickets.id, tickets.desk, tickets.title, tickets.status, tickets.priority, tickets.owner, tickets.created, tickets.due, tickets.version,
	COALESCE((SELECT p.name FROM people p WHERE p.id = tickets.owner), '') AS owner_name`

// Mine lists the tickets that the actor owns, most urgent first; when he owns
// none and works nowhere, those he asked for. more is 1 when there are more than
// limit.
func (s *Service) Mine(ctx context.Context, a Actor, limit int) (rows []Row, more int, err error) {
	if a.Anywhere() {
		in, args := a.in()
		return s.rows(ctx, limit, `SELECT `+ticketColumns+` FROM tickets WHERE owner IN `+in+` AND status IN ('new', 'active', 'waiting', 'held', 'solved') ORDER BY priority, number`, args...)
	}
	return s.AskedBy(ctx, a, limit)
}

// in is a list of all the actor's names for IN, with its arguments.
func (a Actor) in() (string, []any) {
	args := []any{a.Person}
	for _, p := range a.Also {
		args = append(args, p)
	}
	return `(?` + strings.Repeat(`, ?`, len(a.Also)) + `)`, args
}

// Queue lists what nobody has taken at the desks where the actor works, most
// urgent first.
func (s *Service) Queue(ctx context.Context, a Actor, limit int) (rows []Row, more int, err error) {
	return s.atDesks(ctx, a, limit, `SELECT `+ticketColumns+` FROM tickets WHERE desk = ? AND status = 'new' ORDER BY priority, number`,
		func(x, y Row) int { return int(x.Priority-y.Priority)*2 + sign(x.Number-y.Number) })
}

// Overdue lists what has missed a target at the desks where the actor works,
// the longest overdue first.
func (s *Service) Overdue(ctx context.Context, a Actor, limit int, now time.Time) (rows []Row, more int, err error) {
	return s.atDesks(ctx, a, limit, `SELECT `+ticketColumns+` FROM tickets WHERE desk = ? AND due > 0 AND due < `+strconv.FormatInt(int64(At(now)), 10)+` ORDER BY due`,
		func(x, y Row) int { return sign(int64(x.Due - y.Due)) })
}

func sign(n int64) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// atDesks runs one indexed query a desk and merges: an IN over desks would make
// the database sort everything that is open.
func (s *Service) atDesks(ctx context.Context, a Actor, limit int, query string, less func(x, y Row) int) ([]Row, int, error) {
	desks, err := loadDesks(ctx, s.db)
	if err != nil {
		return nil, 0, err
	}
	var all []Row
	more := 0
	for _, d := range desks {
		if !a.Works(d.Key) && !a.Is(Auditor, d.Key) {
			continue
		}
		rows, m, err := s.rows(ctx, limit, query, d.Key)
		if err != nil {
			return nil, 0, err
		}
		all, more = append(all, rows...), more+m
	}
	slices.SortStableFunc(all, less)
	if len(all) > limit {
		all, more = all[:limit], 1
	}
	return all, more, nil
}

// ByThread returns the ticket whose thread the message root belongs to in a
// lane, and for whom it shows there. A refusal NotFound means: none.
func (s *Service) ByThread(ctx context.Context, lane, root string) (TicketID, Audience, error) {
	var p []struct {
		Ticket   TicketID `db:"ticket_id"`
		Audience Audience `db:"audience"`
		Created  Time     `db:"created"`
		ID       string   `db:"id"`
	}
	err := s.db.Select(ctx, &p, `SELECT ticket_id, audience, created, id FROM places WHERE lane = ? AND root = ? UNION
		SELECT ticket_id, audience, created, id FROM places WHERE lane = ? AND thread = ? AND thread <> '' ORDER BY created DESC, id DESC LIMIT 1`, lane, root, lane, root)
	if err != nil {
		return "", "", fmt.Errorf("find thread: %w", err)
	}
	if len(p) > 0 { // of several, the newest: a successor takes over its precursor's thread
		return p[0].Ticket, p[0].Audience, nil
	}
	m, err := s.ByMessage(ctx, lane, root)
	if err != nil {
		return "", "", err
	}
	return m.Ticket, "", nil
}

// MessageOf is what a message in chat became, or told of.
type MessageOf struct {
	Ticket TicketID `db:"ticket_id"`
	Seq    int64    `db:"seq"`
	Sent   bool     `db:"sent"` // by us
}

// ByMessage returns what a message in a lane is tied to. A refusal NotFound
// means: nothing.
func (s *Service) ByMessage(ctx context.Context, lane, ref string) (MessageOf, error) {
	var m []MessageOf
	err := s.db.Select(ctx, &m, `SELECT ticket_id, seq, sent FROM messages WHERE lane = ? AND ref = ? ORDER BY seq DESC LIMIT 1`, lane, ref)
	if err != nil {
		return MessageOf{}, fmt.Errorf("find message: %w", err)
	}
	if len(m) == 0 {
		return MessageOf{}, Refuse(NotFound)
	}
	return m[0], nil
}

// Posting reports whether the card of a ticket may stand in a lane without our
// knowing its message: it was taken to be posted, and what became of it has not
// been recorded. What was made before since is not counted.
func (s *Service) Posting(ctx context.Context, lane string, since Time) (bool, error) {
	n := 0
	err := s.db.Get(ctx, &n, `SELECT count(*) FROM outbox o JOIN places p ON p.id = o.place_id
		WHERE o.lane = ? AND o.state = 'sending' AND o.kind = 'card' AND o.created >= ? AND p.ref = ''`, lane, since)
	if err != nil {
		return false, fmt.Errorf("find cards under way: %w", err)
	}
	return n > 0, nil
}

// View makes a ticket ready for readers.
func (s *Service) View(ctx context.Context, t *Ticket, now time.Time, zone *time.Location) (*View, error) {
	desk, err := s.deskOf(ctx, s.db, t.Desk, At(now))
	if err != nil {
		return nil, err
	}
	v := &View{Ticket: *t, Desk: desk, Now: At(now), Zone: zone, Names: map[PersonID]string{}}
	if err := s.names(ctx, v); err != nil {
		return nil, err
	}
	typ, _ := desk.TypeOf(t.Type)
	for _, f := range typ.Fields {
		if val := t.Core.Fields[f.Key]; val != "" {
			shown, masked := f.Show(val)
			v.Fields = append(v.Fields, FieldView{Field: f, Value: shown, Masked: masked})
		}
	}
	var origin []string
	err = s.db.Select(ctx, &origin, `SELECT c.name FROM places p JOIN conversations c ON c.lane = p.lane WHERE p.ticket_id = ? AND p.audience = 'requester' ORDER BY p.created LIMIT 1`, t.ID)
	if err != nil {
		return nil, fmt.Errorf("find origin: %w", err)
	}
	if len(origin) > 0 {
		v.Origin = origin[0]
	}
	return v, nil
}

func (s *Service) names(ctx context.Context, v *View) error {
	ids := []PersonID{v.Requester, v.OpenedBy, v.Owner, v.Last.By}
	for _, c := range v.Consults {
		ids = append(ids, c.Person, c.By)
	}
	if v.Said != nil {
		ids = append(ids, v.Said.By)
	}
	if v.Solution != nil {
		ids = append(ids, v.Solution.By)
	}
	names, err := s.Names(ctx, ids...)
	if err != nil {
		return err
	}
	v.Names = names
	return nil
}

// Names returns the display names of people.
func (s *Service) Names(ctx context.Context, ids ...PersonID) (map[PersonID]string, error) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	ids = slices.DeleteFunc(ids, func(p PersonID) bool { return p == "" })
	out := map[PersonID]string{}
	if len(ids) == 0 {
		return out, nil
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	var rows []struct {
		ID   PersonID `db:"id"`
		Name string   `db:"name"`
	}
	err := s.db.Select(ctx, &rows, `SELECT id, name FROM people WHERE id IN (?`+strings.Repeat(", ?", len(ids)-1)+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("find names: %w", err)
	}
	for _, r := range rows {
		out[r.ID] = r.Name
	}
	return out, nil
}

// Timeline lists what happened to a ticket, newest first, personal values masked.
func (s *Service) Timeline(ctx context.Context, id TicketID, limit int) ([]TimelineEntry, error) {
	events, err := loadEvents(ctx, s.db, `SELECT `+eventColumns+` FROM events WHERE ticket_id = ? ORDER BY seq DESC LIMIT ?`, id, limit)
	if err != nil {
		return nil, err
	}
	var ids []PersonID
	for _, e := range events {
		ids = append(ids, e.By, e.Facts.Owner, e.Facts.Person)
	}
	names, err := s.Names(ctx, ids...)
	if err != nil {
		return nil, err
	}
	out := make([]TimelineEntry, 0, len(events))
	for _, e := range events {
		w := e.words()
		detail := w.Text
		switch e.Kind {
		case Opened:
			detail = w.Title
		case FieldSet, Revealed:
			detail = e.Facts.Field // the value may be personal
			if w.Reason != "" {
				detail += ": " + w.Reason
			}
		case Assigned, Escalated, Consulted:
			detail = strings.TrimSpace("→ " + names[e.Facts.Owner] + names[e.Facts.Person] + e.Facts.Team + " " + w.Reason + w.Text)
		case Prioritised:
			detail = e.Facts.WasPriority.String() + " → " + e.Facts.Priority.String()
		case Tagged:
			detail = strings.Join(w.Add, " ")
		default:
			if w.Reason != "" {
				detail = w.Reason
			}
		}
		out = append(out, TimelineEntry{Seq: e.Seq, Kind: e.Kind, By: e.By, Name: names[e.By], At: e.At, Detail: detail})
	}
	return out, nil
}

// Reveal is the value of a masked field, for the actor whose Reveal has been
// done: call it with the result of Do.
func (r Result) Reveal() (Field string, value string, ok bool) {
	for _, e := range r.Events {
		if e.Kind == Revealed && !r.Repeat {
			return e.Facts.Field, r.Ticket.Core.Fields[e.Facts.Field], true
		}
	}
	return "", "", false
}

// Event returns one event of a ticket.
func (s *Service) Event(ctx context.Context, id TicketID, seq int64) (Event, error) {
	es, err := loadEvents(ctx, s.db, `SELECT `+eventColumns+` FROM events WHERE ticket_id = ? AND seq = ?`, id, seq)
	if err != nil {
		return Event{}, err
	}
	if len(es) == 0 {
		return Event{}, Refuse(NotFound)
	}
	return es[0], nil
}

// HeldReply returns the newest reply of a ticket that still waits in the outbox;
// 0 when there is none.
func (s *Service) HeldReply(ctx context.Context, id TicketID) (int64, error) {
	var seq []int64
	err := s.db.Select(ctx, &seq, `SELECT o.seq FROM outbox o JOIN events e ON e.ticket_id = o.ticket_id AND e.seq = o.seq
		WHERE o.ticket_id = ? AND o.kind = 'relay' AND o.state = 'pending' AND e.kind = 'replied' ORDER BY o.seq DESC LIMIT 1`, id)
	if err != nil || len(seq) == 0 {
		return 0, err
	}
	return seq[0], nil
}

// ByCard returns the ticket whose card a message is. A refusal NotFound means: it
// is none.
func (s *Service) ByCard(ctx context.Context, lane, ref string) (TicketID, error) {
	var id []TicketID
	if err := s.db.Select(ctx, &id, `SELECT ticket_id FROM places WHERE lane = ? AND ref = ? ORDER BY created DESC LIMIT 1`, lane, ref); err != nil {
		return "", fmt.Errorf("find card: %w", err)
	}
	if len(id) == 0 {
		return "", Refuse(NotFound)
	}
	return id[0], nil
}

// Retracted reports whether a reply was taken back.
func (s *Service) Retracted(ctx context.Context, id TicketID, seq int64) (bool, error) {
	events, err := loadEvents(ctx, s.db, `SELECT `+eventColumns+` FROM events WHERE ticket_id = ? AND seq > ? AND kind = 'retracted'`, id, seq)
	return slices.ContainsFunc(events, func(e Event) bool { return e.Facts.Seq == seq }), err
}

// PostsOf counts what was posted about a ticket in each lane: cards, lines and
// relayed words. Edits do not count.
func (s *Service) PostsOf(ctx context.Context, id TicketID) (map[string]int, error) {
	var rows []struct {
		Lane string `db:"lane"`
		N    int    `db:"n"`
	}
	err := s.db.Select(ctx, &rows, `SELECT lane, count(*) AS n FROM (
		SELECT lane, ref FROM places WHERE ticket_id = ? AND ref <> '' UNION SELECT lane, ref FROM messages WHERE ticket_id = ? AND sent) x GROUP BY lane`, id, id)
	if err != nil {
		return nil, fmt.Errorf("count posts: %w", err)
	}
	out := map[string]int{}
	for _, r := range rows {
		out[r.Lane] = r.N
	}
	return out, nil
}
