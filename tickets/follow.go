package tickets

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/paidan/paidan/internal/sqldb"
)

// What follows from an event is written in its transaction: rows of the outbox
// that say which place needs a new card or who must be told what, and River
// jobs that wake the senders and the timers. A crash after the commit loses
// none of it.

// The queues of the jobs.
const (
	QueueSend  = "send"
	QueueTimer = "timer"
	QueueFiles = "files"
)

// Deliver wakes the senders of some lanes. It says nothing about what is to be
// sent: that stands in the outbox.
type Deliver struct {
	Lanes []string `json:"lanes"`
}

// Kind implements river.JobArgs.
func (Deliver) Kind() string { return "outbox.deliver" }

// Timer is a moment at which a ticket may have to change by itself. The state
// is looked at again when it comes; a timer whose reason is gone does nothing.
type Timer struct {
	Ticket TicketID `json:"ticket"`
	What   Verb     `json:"what"` // resume, close, archive, answer or breach
	Due    Time     `json:"due"`  // what it was set for; 0 is never
	Person PersonID `json:"person,omitempty"`
}

// Kind implements river.JobArgs.
func (Timer) Kind() string { return "ticket.timer" }

// Command is what the timer does when nothing has changed since it was set.
func (t Timer) Command() Command {
	switch t.What {
	case VerbResume:
		return Resume{Due: t.Due}
	case VerbClose:
		return Close{Lapsed: t.Due}
	case VerbArchive:
		return Archive{Closed: t.Due}
	case VerbAnswer:
		return Answer{Expert: t.Person, Due: t.Due}
	case VerbBreach:
		return Breach{Target: t.Due}
	}
	return nil
}

// Fetch copies the content of a ticket's files that still lie with a platform.
type Fetch struct {
	Ticket TicketID `json:"ticket"`
	Seq    int64    `json:"seq"` // of the event that brought them
	Via    string   `json:"via"` // lane they came from
}

// Kind implements river.JobArgs.
func (Fetch) Kind() string { return "file.fetch" }

// OutKind is what an outbox row wants.
type OutKind string

// The kinds of outbox rows.
const (
	OutCard   OutKind = "card"   // a place shall show the ticket as it is now
	OutRelay  OutKind = "relay"  // what somebody wrote, into the thread of a place
	OutNotice OutKind = "notice" // one person shall know of an event, in private
	OutLine   OutKind = "line"   // one line about an event in a group
	OutStuck  OutKind = "stuck"  // its author shall know that what he wrote waits for somebody to write first
)

// Audience is whom a place shows the ticket to.
type Audience string

// The audiences.
const (
	ForTeam      Audience = "team"
	ForRequester Audience = "requester"
	ForAlert     Audience = "alert" // the line that tells of a missed target, and later that it is over
	ForAsk       Audience = "ask"   // the question whether it is solved, and later the answer
)

// follow writes what must follow from events that made after of before.
func (w *work) follow(ctx context.Context, before, after *Ticket, events []Event) error {
	w.timers(before, after)
	for i := range events {
		if err := w.tell(ctx, after, &events[i]); err != nil {
			return err
		}
	}
	if w.r.Message != "" && w.r.Via != "" && !w.noted {
		w.noted = true // the first one written is the one that the message is about
		if err := noteMessage(ctx, w.tx, w.r.Via, w.r.Message, after.ID, after.Version, false, w.now); err != nil {
			return err
		}
	}
	return w.refresh(ctx, after)
}

// refresh asks for a new card at every place that shows t. Its id carries that
// of the place, so that one statement makes them all; a place that is waiting
// for a card already gets no second row.
//
// The row that waits is updated, not only left alone: that locks it until this
// act commits, so that no sender takes it now, shows the ticket as it was
// before, and leaves nobody to show this.
//
// The place that the platform's answer is going to show waits for that answer.
func (w *work) refresh(ctx context.Context, t *Ticket) error {
	id := uuid.Must(uuid.NewV7()).String()
	var rows []struct {
		ID   string `db:"id"`
		Lane string `db:"lane"`
		Due  Time   `db:"due"`
	}
	later := w.now.Add(AnswerWithin)
	err := w.tx.Select(ctx, &rows, `INSERT INTO outbox (id, lane, kind, ticket_id, place_id, seq, due, created)
		SELECT cast(? as text) || '.' || p.id, p.lane, 'card', p.ticket_id, p.id, cast(? as bigint),
			CASE WHEN p.lane = ? AND p.ref = ? THEN cast(? as bigint) ELSE cast(? as bigint) END, cast(? as bigint)
		FROM places p WHERE p.ticket_id = ? AND NOT p.gone
		ON CONFLICT (place_id) WHERE kind = 'card' AND state = 'pending' DO UPDATE SET seq = excluded.seq,
			due = CASE WHEN outbox.due > excluded.due THEN excluded.due ELSE outbox.due END RETURNING id, lane, due`,
		id, t.Version, w.r.Answers.Lane, w.r.Answers.Ref, later, w.now, w.now, t.ID)
	if err != nil {
		return fmt.Errorf("insert refresh: %w", err)
	}
	for _, r := range rows {
		if strings.HasPrefix(r.ID, id) || r.Due == w.now || r.Due == later { // the others have been told already
			w.wake(r.Due, r.Lane)
		}
	}
	return nil
}

// wake has the lanes' senders look at the outbox at a time.
func (w *work) wake(at Time, lanes ...string) {
	if w.lanes == nil {
		w.lanes = map[Time][]string{}
	}
	for _, l := range lanes {
		if !slices.Contains(w.lanes[at], l) {
			w.lanes[at] = append(w.lanes[at], l)
		}
	}
}

// insertJobs leaves the jobs of the whole act: one statement for all of them.
func (w *work) insertJobs(ctx context.Context) error {
	for at, lanes := range w.lanes {
		opts := &river.InsertOpts{Queue: QueueSend, MaxAttempts: 25}
		if at > w.now {
			opts.ScheduledAt = wakeAt(at)
		}
		slices.Sort(lanes)
		w.jobs = append(w.jobs, river.InsertManyParams{Args: Deliver{Lanes: lanes}, InsertOpts: opts})
	}
	if len(w.jobs) == 0 {
		return nil
	}
	if err := w.s.jobs.InsertManyTx(ctx, w.tx, w.jobs); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	return nil
}

// wakeAt is when a job must come to find what is due at a time: River keeps only
// milliseconds on SQLite, and whoever comes too early finds nothing.
func wakeAt(at Time) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return at.Go().Add(time.Millisecond - time.Microsecond).Truncate(time.Millisecond)
}

// put adds one outbox row.
func (w *work) put(ctx context.Context, kind OutKind, lane string, t *Ticket, seq int64, place string, person PersonID, due Time) error {
	_, err := w.tx.Exec(ctx, `INSERT INTO outbox (id, lane, kind, ticket_id, place_id, seq, person, due, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		uuid.Must(uuid.NewV7()).String(), lane, kind, t.ID, place, seq, person, due, w.now)
	if err != nil {
		return fmt.Errorf("insert %s: %w", kind, err)
	}
	w.wake(due, lane)
	return nil
}

// tell decides who is told of an event, besides the cards that change. Nobody
// is told of his own act.
func (w *work) tell(ctx context.Context, t *Ticket, e *Event) error {
	if len(e.words().Files) > 0 && e.Kind != Attached && w.r.Via != "" {
		w.jobs = append(w.jobs, river.InsertManyParams{
			Args: Fetch{Ticket: t.ID, Seq: e.Seq, Via: w.r.Via}, InsertOpts: &river.InsertOpts{Queue: QueueFiles}})
	}
	switch e.Kind {
	case Replied:
		return w.relay(ctx, t, e, ForRequester, w.now.Add(w.s.HoldReplies))
	case SolvedBy:
		return w.ask(ctx, t, e)
	case Thanked:
		if t.Status.Open() { // «好的» may be what an agent waits to read
			return w.relay(ctx, t, e, ForTeam, w.now)
		}
	case SaidMore, Noted, Rejected, Reopened, Answered:
		if err := w.relay(ctx, t, e, ForTeam, w.now); err != nil {
			return err
		}
	case Amended:
		return w.relayAmended(ctx, t, e)
	case Attached:
		return w.relayFiles(ctx, t, e)
	case TargetMissed:
		return w.alert(ctx, t, e)
	}
	switch e.Kind {
	case Assigned:
		if err := w.line(ctx, t, e, "detailed"); err != nil {
			return err
		}
		return w.notify(ctx, t, e, t.Owner)
	case Escalated:
		if e.Facts.Owner != "" {
			return w.notify(ctx, t, e, t.Owner)
		}
		return w.line(ctx, t, e, "standard", "detailed")
	case Urged, Resumed:
		return w.notify(ctx, t, e, t.Owner)
	case Rejected, Reopened:
		return w.notify(ctx, t, e, t.Owner)
	case Consulted:
		return w.notify(ctx, t, e, e.Facts.Person)
	case Answered:
		return w.notify(ctx, t, e, t.Owner)
	}
	return nil
}

// relay carries what was written into the threads of the places of an audience,
// except where it was written.
func (w *work) relay(ctx context.Context, t *Ticket, e *Event, to Audience, due Time) error {
	places, err := loadPlaces(ctx, w.tx, t.ID, to)
	if err != nil {
		return err
	}
	for _, p := range places {
		if p.Lane == w.r.Via && (w.r.Message != "" || e.Kind == Attached) {
			continue // it was written there and everybody there has read it
		}
		if err := w.put(ctx, OutRelay, p.Lane, t, e.Seq, p.ID, "", due); err != nil {
			return err
		}
	}
	return nil
}

// relayAmended has what was relayed before follow an edit at its source.
func (w *work) relayAmended(ctx context.Context, t *Ticket, e *Event) error {
	var lanes []string
	err := w.tx.Select(ctx, &lanes, `SELECT DISTINCT lane FROM messages WHERE ticket_id = ? AND seq = ? AND sent`, t.ID, e.Facts.Seq)
	if err != nil {
		return fmt.Errorf("load relayed: %w", err)
	}
	for _, l := range lanes {
		if err := w.put(ctx, OutRelay, l, t, e.Seq, "", "", w.now); err != nil {
			return err
		}
	}
	return nil
}

// relayFiles carries files to those whom the words they came with were for.
func (w *work) relayFiles(ctx context.Context, t *Ticket, e *Event) error {
	var brought []struct {
		Kind Kind `db:"kind"`
		At   Time `db:"at"`
	}
	if err := w.tx.Select(ctx, &brought, `SELECT kind, at FROM events WHERE ticket_id = ? AND seq = ?`, t.ID, e.Facts.Seq); err != nil {
		return fmt.Errorf("find what brought the files: %w", err)
	}
	for _, b := range brought {
		if b.Kind == Replied { // they leave with the words, and not before those can be taken back no more
			return w.relay(ctx, t, e, ForRequester, max(w.now, b.At.Add(w.s.HoldReplies)))
		}
		return w.relay(ctx, t, e, ForTeam, w.now)
	}
	return nil
}

// notify tells one person in private, at the account he used last.
func (w *work) notify(ctx context.Context, t *Ticket, e *Event, p PersonID) error {
	if p == "" || w.out.Actor.Me(p) {
		return nil
	}
	lane, err := privateLane(ctx, w.tx, p)
	if err != nil || lane == "" {
		return err // somebody without an account sees it on the card
	}
	return w.put(ctx, OutNotice, lane, t, e.Seq, "", p, w.now)
}

// line posts one line into the desk's groups that want to hear that much.
func (w *work) line(ctx context.Context, t *Ticket, e *Event, levels ...string) error {
	groups, err := deskGroups(ctx, w.tx, t.Desk, "triage")
	if err != nil {
		return err
	}
	for _, g := range groups {
		if slices.Contains(levels, g.Level) {
			if err := w.put(ctx, OutLine, g.Lane, t, e.Seq, "", "", w.now); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask asks the requester whether it is solved, in a message that he is notified
// of. Asked again, it is a new message: the earlier one holds his answer.
func (w *work) ask(ctx context.Context, t *Ticket, e *Event) error {
	if e.Facts.Quiet {
		return nil
	}
	places, err := loadPlaces(ctx, w.tx, t.ID, ForRequester)
	if err != nil {
		return err
	}
	for _, p := range places {
		if err := renewPlace(ctx, w.tx, Place{Ticket: t.ID, Lane: p.Lane, Thread: p.Thread, Audience: ForAsk}, w.now); err != nil {
			return err
		}
	}
	return nil
}

// alert shows that a target was missed, in a message of its own that is changed
// when it is over. A quiet group learns it from the card alone.
func (w *work) alert(ctx context.Context, t *Ticket, e *Event) error {
	groups, err := deskGroups(ctx, w.tx, t.Desk, "triage")
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g.Level == "quiet" {
			continue
		}
		put := addPlace
		if e.Facts.Target == "solve" && t.Responded != 0 {
			put = renewPlace // the line about the first response says by now that it came
		}
		if err := put(ctx, w.tx, Place{Ticket: t.ID, Lane: g.Lane, Audience: ForAlert}, w.now); err != nil {
			return err
		}
	}
	return nil
}

// places says where a new ticket shows: in its desk's groups for the team, and
// where it was asked for, for its requester.
func (w *work) places(ctx context.Context, t *Ticket, requester PersonID, origin Origin, from *Ticket) error {
	groups, err := deskGroups(ctx, w.tx, t.Desk, "triage")
	if err != nil {
		return err
	}
	inTeam := false
	for _, g := range groups {
		inTeam = inTeam || g.Lane == origin.Lane
		if err := addPlace(ctx, w.tx, Place{Ticket: t.ID, Lane: g.Lane, Audience: ForTeam}, w.now); err != nil {
			return err
		}
	}
	switch {
	case from != nil: // beside the ticket that it came from
		places, err := loadPlaces(ctx, w.tx, from.ID, ForRequester)
		if err != nil {
			return err
		}
		for _, p := range places {
			if err := addPlace(ctx, w.tx, Place{Ticket: t.ID, Lane: p.Lane, Thread: p.Thread, Audience: ForRequester}, w.now); err != nil {
				return err
			}
		}
		return nil
	case inTeam || requester != w.out.Actor.Person && !origin.Theirs:
		// Asked for among the team, or for somebody else: he is told in private.
		lane, err := privateLane(ctx, w.tx, requester)
		if err != nil || lane == "" || requester == w.out.Actor.Person {
			return err
		}
		return addPlace(ctx, w.tx, Place{Ticket: t.ID, Lane: lane, Audience: ForRequester}, w.now)
	case origin.Lane != "":
		return addPlace(ctx, w.tx, Place{Ticket: t.ID, Lane: origin.Lane, Thread: origin.Thread, Audience: ForRequester}, w.now)
	}
	return nil
}

// timers sets those that the new state needs and the old one had not: they
// follow from the states alone, so that an undo sets them right as well.
func (w *work) timers(before, after *Ticket) {
	set := func(what Verb, at, due Time, p PersonID) {
		w.jobs = append(w.jobs, river.InsertManyParams{
			Args:       Timer{Ticket: after.ID, What: what, Due: due, Person: p},
			InsertOpts: &river.InsertOpts{Queue: QueueTimer, ScheduledAt: at.Go(), MaxAttempts: 25},
		})
	}
	if h := after.Hold; h != nil && h.Until != 0 && (before.Hold == nil || *before.Hold != *h) {
		set(VerbResume, h.Until, h.Until, "")
	}
	desk := w.s.cachedDesk(after.Desk)
	if after.Status == Solved && before.Status != Solved {
		set(VerbClose, after.SolvedAt.Add(desk.ConfirmWithin()), after.SolvedAt, "")
	}
	if after.Status == Closed && before.Status != Closed {
		set(VerbArchive, after.ClosedAt.Add(desk.ArchiveAfter()), after.ClosedAt, "")
	}
	for _, c := range after.Consults {
		if c.Due != 0 && !slices.Contains(before.Consults, c) {
			set(VerbAnswer, c.Due, c.Due, c.Person)
		}
	}
	running := after.Status.Open() && !after.Status.Paused()
	was := before.Status.Open() && !before.Status.Paused()
	const tick = time.Second // a target is missed when it has passed, not when it comes
	if due := after.RespondBy; running && due != 0 && after.Responded == 0 && (!was || due != before.RespondBy || before.Responded != 0) {
		set(VerbBreach, due.Add(tick), due, "")
	}
	if due := after.SolveBy; running && due != 0 && (!was || due != before.SolveBy) {
		set(VerbBreach, due.Add(tick), due, "")
	}
}

func noteMessage(ctx context.Context, tx *sqldb.Tx, lane, ref string, id TicketID, seq int64, sent bool, now Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO messages (lane, ref, ticket_id, seq, sent, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		lane, ref, id, seq, sent, now)
	if err != nil {
		return fmt.Errorf("note message: %w", err)
	}
	return nil
}

// Group is a conversation that a desk uses.
type Group struct {
	Lane   string  `db:"lane"`
	Desk   DeskKey `db:"desk"`
	Use    string  `db:"use"` // intake or triage
	Name   string  `db:"name"`
	Level  string  `db:"level"` // quiet, standard or detailed
	Locale string  `db:"locale"`
}

const groupColumns = `lane, desk, use, name, level, locale`

func deskGroups(ctx context.Context, q sqldb.Querier, desk DeskKey, use string) ([]Group, error) {
	var out []Group
	if err := q.Select(ctx, &out, `SELECT `+groupColumns+` FROM conversations WHERE desk = ? AND use = ? AND NOT gone ORDER BY lane`, desk, use); err != nil {
		return nil, fmt.Errorf("load groups: %w", err)
	}
	return out, nil
}

// Place is where a ticket shows.
type Place struct {
	ID       string   `db:"id"`
	Ticket   TicketID `db:"ticket_id"`
	Lane     string   `db:"lane"`
	Thread   string   `db:"thread"`
	Audience Audience `db:"audience"`
	Ref      string   `db:"ref"`
	Root     string   `db:"root"`
	Shown    int64    `db:"shown"`
	Hash     string   `db:"hash"`
	Posted   Time     `db:"posted"` // when what it shows was posted; 0 = before that was recorded
	Final    bool     `db:"final"`  // what it shows says how the ticket ended
}

// Private reports whether the place is one person's chat with the bot.
func (p Place) Private() bool {
	parts := strings.SplitN(p.Lane, "/", 3)
	return len(parts) == 3 && strings.HasPrefix(parts[2], "@")
}

const placeColumns = `id, ticket_id, lane, thread, audience, ref, root, shown, hash, posted, final`

func loadPlaces(ctx context.Context, q sqldb.Querier, id TicketID, to Audience) ([]Place, error) {
	var out []Place
	if err := q.Select(ctx, &out, `SELECT `+placeColumns+` FROM places WHERE ticket_id = ? AND audience = ? AND NOT gone ORDER BY lane`, id, to); err != nil {
		return nil, fmt.Errorf("load places: %w", err)
	}
	return out, nil
}

func addPlace(ctx context.Context, tx *sqldb.Tx, p Place, now Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO places (id, ticket_id, lane, thread, audience, created) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		uuid.Must(uuid.NewV7()).String(), p.Ticket, p.Lane, p.Thread, p.Audience, now)
	if err != nil {
		return fmt.Errorf("insert place: %w", err)
	}
	return nil
}

// renewPlace is addPlace for something that is said again: what was posted
// before stays as it is.
func renewPlace(ctx context.Context, tx *sqldb.Tx, p Place, now Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO places (id, ticket_id, lane, thread, audience, created) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (ticket_id, lane, thread, audience) DO UPDATE SET ref = '', root = '', shown = 0, hash = excluded.id, gone = FALSE`,
		uuid.Must(uuid.NewV7()).String(), p.Ticket, p.Lane, p.Thread, p.Audience, now)
	if err != nil {
		return fmt.Errorf("renew place: %w", err)
	}
	return nil
}

// privateLane is the chat with the bot at the account that p used last; "" when
// he has none.
func privateLane(ctx context.Context, q sqldb.Querier, p PersonID) (string, error) {
	var ref []string
	if err := q.Select(ctx, &ref, `SELECT ref FROM accounts WHERE person IN (?, (SELECT merged FROM people WHERE id = ?)) ORDER BY seen DESC, ref LIMIT 1`, p, p); err != nil {
		return "", fmt.Errorf("find account: %w", err)
	}
	if len(ref) == 0 {
		return "", nil
	}
	return laneOf(ref[0]), nil
}

// laneOf is the private chat of an account platform/install/id.
func laneOf(account string) string {
	p := strings.SplitN(account, "/", 3)
	if len(p) != 3 {
		return ""
	}
	return p[0] + "/" + p[1] + "/@" + p[2]
}

// cancelReply takes a reply back while it still waits.
func (w *work) cancelReply(ctx context.Context, id TicketID, seq int64) error {
	n, err := w.tx.Exec(ctx, `UPDATE outbox SET state = 'cancelled', done = ? WHERE ticket_id = ? AND seq = ? AND kind = 'relay' AND state = 'pending'
		AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.ticket_id = outbox.ticket_id AND o.seq = outbox.seq AND o.kind = 'relay' AND o.state <> 'pending')`, w.now, id, seq)
	if err != nil {
		return fmt.Errorf("cancel reply: %w", err)
	}
	if n == 0 {
		return Refuse(TooLate, "verb", string(VerbRetract))
	}
	return nil
}
