package tickets

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/paidan/paidan/internal/sqldb"
)

// Out is a row of the outbox, taken by the one sender that holds its lane.
type Out struct {
	ID       string   `db:"id"`
	Lane     string   `db:"lane"`
	Kind     OutKind  `db:"kind"`
	Ticket   TicketID `db:"ticket_id"`
	PlaceID  string   `db:"place_id"`
	Seq      int64    `db:"seq"`
	Person   PersonID `db:"person"`
	Created  Time     `db:"created"`
	Due      Time     `db:"due"`
	Attempts int      `db:"attempts"` // before this one; more than 0: it may have been sent already
	Error    string   `db:"error"`
	State    string   `db:"state"`
}

const outColumns = `id, lane, kind, ticket_id, place_id, seq, person, created, due, attempts, error, state`

// Sent is what came of sending a row.
type Sent struct {
	Ref   string // of the message, as the platform names it now
	Root  string // what replies to it carry as their thread
	Shown int64  // version of the ticket that it shows
	Hash  string // of the card
	Skip  bool   // nothing was sent: it was shown already, or nobody needs it any more
	Fresh bool   // Ref is a message that was posted now
	Final bool   // it says how the ticket ended
}

// Outbox is the senders' side of the store. A lane is worked by one holder at a
// time; within it rows go out in their order.
type Outbox struct {
	db   *sqldb.DB
	jobs Jobs
}

// NewOutbox returns the outbox in db.
func NewOutbox(db *sqldb.DB, jobs Jobs) *Outbox { return &Outbox{db: db, jobs: jobs} }

// maxBatch is how many rows a holder takes at once: they cost two transactions
// together instead of two each.
const maxBatch = 32

// Take gives holder the lane until now+lease and the rows that are due in it,
// oldest first. No rows and ok: there is nothing to send, and the lane is free
// again. Not ok: somebody else has it, or the platform wants it left alone
// until the returned time.
//
// Rows found in state "sending" were taken by a holder that died; nobody knows
// whether they went out, and their Attempts say so.
func (o *Outbox) Take(ctx context.Context, lane, holder string, now Time, lease time.Duration) (rows []Out, ok bool, blocked Time, err error) {
	err = o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		rows, ok, blocked, err = o.take(ctx, tx, lane, holder, now, lease)
		return err
	})
	return rows, ok, blocked, err
}

// DoneTake is Done, and Take of what is due in the lane then, in one step: what
// ends the work in a lane most often is one message and nothing after it.
func (o *Outbox) DoneTake(ctx context.Context, r Out, s Sent, holder string, now Time, lease time.Duration) (rows []Out, err error) {
	err = o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		if err := o.done(ctx, tx, r, s, now); err != nil {
			return err
		}
		rows, _, _, err = o.take(ctx, tx, r.Lane, holder, now, lease)
		return err
	})
	return rows, err
}

func (o *Outbox) take(ctx context.Context, tx *sqldb.Tx, lane, holder string, now Time, lease time.Duration) (rows []Out, ok bool, blocked Time, err error) {
	n, err := tx.Exec(ctx, `INSERT INTO lanes (lane, holder, until) VALUES (?, ?, ?)
		ON CONFLICT (lane) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE lanes.blocked <= ? AND (lanes.until <= ? OR lanes.holder = excluded.holder)`,
		lane, holder, now.Add(lease), now, now)
	if err != nil {
		return nil, false, 0, fmt.Errorf("take lane: %w", err)
	}
	if n == 0 {
		if err := tx.Get(ctx, &blocked, `SELECT blocked FROM lanes WHERE lane = ?`, lane); err != nil {
			return nil, false, 0, fmt.Errorf("read lane: %w", err)
		}
		return nil, false, blocked, nil
	}
	err = tx.Select(ctx, &rows, `SELECT `+outColumns+` FROM outbox
		WHERE lane = ? AND state IN ('pending', 'sending') AND due <= ? ORDER BY due, id LIMIT ?`, lane, now, maxBatch)
	if err != nil {
		return nil, false, 0, fmt.Errorf("read outbox: %w", err)
	}
	if len(rows) == 0 {
		_, err := tx.Exec(ctx, `UPDATE lanes SET holder = '', until = 0 WHERE lane = ? AND holder = ?`, lane, holder)
		return nil, true, 0, err
	}
	ids := make([]any, 0, len(rows)+1)
	marks := ""
	for _, r := range rows {
		marks += ", ?"
		ids = append(ids, r.ID)
	}
	_, err = tx.Exec(ctx, `UPDATE outbox SET state = 'sending', attempts = attempts + 1 WHERE id IN (`+marks[2:]+`)`, ids...)
	return rows, true, 0, err
}

// Done records that a row was sent, in the place too when it was a card. The
// record is fenced: an older version never overwrites a newer one.
func (o *Outbox) Done(ctx context.Context, r Out, s Sent, now Time) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error { return o.done(ctx, tx, r, s, now) })
}

func (o *Outbox) done(ctx context.Context, tx *sqldb.Tx, r Out, s Sent, now Time) error {
	if r.Kind == OutCard {
		if !s.Skip || s.Shown > 0 {
			_, err := tx.Exec(ctx, `UPDATE places SET ref = CASE WHEN ? = '' THEN ref ELSE ? END, root = CASE WHEN root = '' OR gone THEN ? ELSE root END,
				shown = ?, hash = ?, gone = FALSE, final = ?, posted = CASE WHEN ? THEN ? ELSE posted END WHERE id = ? AND shown <= ?`,
				s.Ref, s.Ref, s.Root, s.Shown, s.Hash, s.Final, s.Fresh, now, r.PlaceID, s.Shown)
			if err != nil {
				return fmt.Errorf("record place: %w", err)
			}
		}
		_, err := tx.Exec(ctx, `DELETE FROM outbox WHERE id = ?`, r.ID)
		return err
	}
	if s.Ref != "" && r.Seq > 0 {
		if err := noteMessage(ctx, tx, r.Lane, s.Ref, r.Ticket, r.Seq, true, now); err != nil {
			return err
		}
	}
	if r.Kind == OutRelay && r.PlaceID != "" {
		// The place's card may speak of what has been said there now. Its lane is
		// being worked at this moment, so nobody has to be woken.
		_, err := tx.Exec(ctx, `INSERT INTO outbox (id, lane, kind, ticket_id, place_id, seq, due, created) VALUES (?, ?, 'card', ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			uuid.Must(uuid.NewV7()).String(), r.Lane, r.Ticket, r.PlaceID, r.Seq, now, now)
		if err != nil {
			return fmt.Errorf("insert refresh: %w", err)
		}
	}
	_, err := tx.Exec(ctx, `UPDATE outbox SET state = 'done', done = ?, ref = ?, error = '' WHERE id = ?`, now, s.Ref, r.ID)
	return err
}

// Answered records that the platform's own answer shows a place as s says, and
// has what has changed there since sent at once.
func (o *Outbox) Answered(ctx context.Context, p Place, s Sent, now Time) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		if err := o.done(ctx, tx, Out{Kind: OutCard, PlaceID: p.ID}, s, now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM outbox WHERE place_id = ? AND kind = 'card' AND state = 'pending' AND seq <= ?`, p.ID, s.Shown); err != nil {
			return fmt.Errorf("drop what was answered: %w", err)
		}
		n, err := tx.Exec(ctx, `UPDATE outbox SET due = ? WHERE place_id = ? AND kind = 'card' AND state = 'pending' AND due > ?`, now, p.ID, now)
		if err != nil || n == 0 {
			return err
		}
		return o.wake(ctx, tx, 0, p.Lane)
	})
}

// Turned reports whether, after a version of a ticket, somebody else came to be
// its owner or it stopped and went on: what nobody should have to learn late.
func (o *Outbox) Turned(ctx context.Context, id TicketID, after int64) (bool, error) {
	var n int64
	err := o.db.Get(ctx, &n, `SELECT count(*) FROM events WHERE ticket_id = ? AND seq > ? AND kind IN (?, ?, ?, ?, ?, ?)`,
		id, after, ClaimedBy, Assigned, Released, Escalated, HeldUntil, Reopened)
	if err != nil {
		return false, fmt.Errorf("look for a turn: %w", err)
	}
	return n > 0, nil
}

// Later shows a place again at a time, unless something changes there before.
func (o *Outbox) Later(ctx context.Context, r Out, due Time) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE outbox SET state = 'pending', due = ?, attempts = 0 WHERE id = ? AND NOT EXISTS
			(SELECT 1 FROM outbox o WHERE o.place_id = outbox.place_id AND o.kind = 'card' AND o.state = 'pending' AND o.id <> outbox.id)`, due, r.ID)
		if err != nil {
			return fmt.Errorf("leave for another day: %w", err)
		}
		if n == 0 { // something has changed already
			_, err := tx.Exec(ctx, `DELETE FROM outbox WHERE id = ?`, r.ID)
			return err
		}
		return o.wake(ctx, tx, due, r.Lane)
	})
}

// Wait leaves a row until somebody writes in its lane: see Spoke. Whoever wrote
// what it carries is told, once.
func (o *Outbox) Wait(ctx context.Context, r Out, why string, now Time) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		if r.Kind == OutCard { // the newest card is enough
			if _, err := tx.Exec(ctx, `DELETE FROM outbox WHERE place_id = ? AND kind = 'card' AND state = 'waiting'`, r.PlaceID); err != nil {
				return fmt.Errorf("drop older card: %w", err)
			}
		}
		n, err := tx.Exec(ctx, `UPDATE outbox SET state = 'waiting', error = ? WHERE id = ? AND state = 'sending'`, cutError(why), r.ID)
		if err != nil || n == 0 || r.Kind != OutRelay {
			return err
		}
		var by []PersonID
		if err := tx.Select(ctx, &by, `SELECT actor FROM events WHERE ticket_id = ? AND seq = ? AND kind = ?`, r.Ticket, r.Seq, Replied); err != nil {
			return fmt.Errorf("find who wrote it: %w", err)
		}
		for _, p := range by {
			lane, err := privateLane(ctx, tx, p)
			if err != nil || lane == "" || lane == r.Lane {
				return err
			}
			_, err = tx.Exec(ctx, `INSERT INTO outbox (id, lane, kind, ticket_id, seq, person, due, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				r.ID+".stuck", lane, OutStuck, r.Ticket, r.Seq, p, now, now)
			if err != nil {
				return fmt.Errorf("insert stuck: %w", err)
			}
			return o.wake(ctx, tx, 0, lane)
		}
		return nil
	})
}

// Spoke sends what has waited for somebody to write in a lane. It reports how much.
func (o *Outbox) Spoke(ctx context.Context, lane string, now Time) (int, error) {
	var waiting []string
	if err := o.db.Select(ctx, &waiting, `SELECT id FROM outbox WHERE lane = ? AND state = 'waiting' LIMIT 1`, lane); err != nil || len(waiting) == 0 {
		return 0, err
	}
	sent := 0
	err := o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		// Not pending: two refreshes of one place cannot stand side by side, these can.
		n, err := tx.Exec(ctx, `UPDATE outbox SET state = 'sending', due = ? WHERE lane = ? AND state = 'waiting'`, now, lane)
		if err != nil {
			return fmt.Errorf("send what waited: %w", err)
		}
		sent = int(n)
		return o.wake(ctx, tx, 0, lane)
	})
	return sent, err
}

// Retry leaves a row for later. Other rows of its lane do not wait for it.
func (o *Outbox) Retry(ctx context.Context, r Out, due Time, why string) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE outbox SET due = ?, error = ? WHERE id = ? AND state = 'sending'`, due, cutError(why), r.ID); err != nil {
			return fmt.Errorf("leave for later: %w", err)
		}
		return o.wake(ctx, tx, due, r.Lane)
	})
}

// Return gives rows back that were taken but not tried.
func (o *Outbox) Return(ctx context.Context, rows []Out) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		for _, r := range rows {
			if _, err := tx.Exec(ctx, `UPDATE outbox SET attempts = ? WHERE id = ?`, r.Attempts, r.ID); err != nil {
				return fmt.Errorf("return row: %w", err)
			}
		}
		return nil
	})
}

// Dead parks a row that will not be tried again by itself: see DeadLetters.
func (o *Outbox) Dead(ctx context.Context, r Out, why string, now Time) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE outbox SET state = 'dead', error = ?, done = ? WHERE id = ? AND state = 'sending'`, cutError(why), now, r.ID)
		return err
	})
}

// Gone forgets that a place shows anything; repost says whether to show it there anew.
func (o *Outbox) Gone(ctx context.Context, placeID string, repost bool) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		// Until it is posted anew, hash tells this showing from the one before.
		_, err := tx.Exec(ctx, `UPDATE places SET ref = '', root = '', shown = 0, hash = ?, gone = ? WHERE id = ?`, uuid.Must(uuid.NewV7()).String(), !repost, placeID)
		return err
	})
}

// Elsewhere shows the requester his card in private, where the place that it was
// meant for cannot be written to: a channel, say, that the bot is no member of.
// It reports whether he can be reached so.
func (o *Outbox) Elsewhere(ctx context.Context, placeID string, now Time) (bool, error) {
	moved := false
	err := o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		moved = false
		var p struct {
			Place
			Requester PersonID `db:"requester"`
		}
		err := tx.Get(ctx, &p, `SELECT p.id, p.ticket_id, p.lane, p.thread, p.audience, p.ref, p.root, p.shown, p.hash, t.requester
			FROM places p JOIN tickets t ON t.id = p.ticket_id WHERE p.id = ?`, placeID)
		if err != nil {
			return fmt.Errorf("load place: %w", err)
		}
		if p.Audience != ForRequester && p.Audience != ForAsk || p.Private() {
			return nil
		}
		lane, err := privateLane(ctx, tx, p.Requester)
		if err != nil || lane == "" {
			return err
		}
		if err := addPlace(ctx, tx, Place{Ticket: p.Ticket, Lane: lane, Audience: p.Audience}, now); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO outbox (id, lane, kind, ticket_id, place_id, due, created)
			SELECT cast(? as text), lane, 'card', ticket_id, id, cast(? as bigint), cast(? as bigint) FROM places WHERE ticket_id = ? AND lane = ? AND audience = ? ON CONFLICT DO NOTHING`,
			uuid.Must(uuid.NewV7()).String(), now, now, p.Ticket, lane, p.Audience)
		if err != nil {
			return fmt.Errorf("insert refresh: %w", err)
		}
		moved = true
		return o.wake(ctx, tx, now, lane)
	})
	return moved && err == nil, err
}

// Block leaves the lane alone until a time, and wakes it then.
func (o *Outbox) Block(ctx context.Context, lane, holder string, until Time) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE lanes SET blocked = ?, holder = '', until = 0 WHERE lane = ? AND holder = ?`, until, lane, holder); err != nil {
			return fmt.Errorf("block lane: %w", err)
		}
		return o.wake(ctx, tx, until, lane)
	})
}

// Renew moves the end of the holder's lease. It reports whether he still has it.
func (o *Outbox) Renew(ctx context.Context, lane, holder string, until Time) (bool, error) {
	ours := false
	err := o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE lanes SET until = ? WHERE lane = ? AND holder = ?`, until, lane, holder)
		if err != nil {
			return fmt.Errorf("renew lease: %w", err)
		}
		ours = n == 1
		return nil
	})
	return ours, err
}

// Release ends the holder's lease.
func (o *Outbox) Release(ctx context.Context, lane, holder string) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE lanes SET holder = '', until = 0 WHERE lane = ? AND holder = ?`, lane, holder)
		return err
	})
}

// Free ends all leases whose holder begins with prefix: for a process that
// starts where one with the same name has died.
func (o *Outbox) Free(ctx context.Context, prefix string) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE lanes SET holder = '', until = 0 WHERE substr(holder, 1, ?) = ?`, len(prefix), prefix)
		return err
	})
}

// Sweep wakes the lanes that have something due for which nobody has come: a
// job that was lost with a process, or a clock that was put forward. It returns
// how many.
func (o *Outbox) Sweep(ctx context.Context, now Time) (int, error) {
	var lanes []string
	err := o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		lanes = nil
		err := tx.Select(ctx, &lanes, `SELECT DISTINCT o.lane FROM outbox o LEFT JOIN lanes l ON l.lane = o.lane
			WHERE o.state IN ('pending', 'sending') AND o.due <= ? AND COALESCE(l.until, 0) <= ? AND COALESCE(l.blocked, 0) <= ? ORDER BY o.lane LIMIT 1000`,
			now, now, now)
		if err != nil {
			return fmt.Errorf("find lanes: %w", err)
		}
		if len(lanes) == 0 {
			return nil
		}
		return o.wake(ctx, tx, 0, lanes...)
	})
	return len(lanes), err
}

// NextDue is the next moment after now at which something in the outbox comes
// due, or the rest or the lease of its lane ends; 0 when there is none.
func (o *Outbox) NextDue(ctx context.Context, now Time) (Time, error) {
	var next Time
	err := o.db.Get(ctx, &next, `SELECT COALESCE(min(at), 0) FROM (
		SELECT CASE WHEN o.due > COALESCE(l.blocked, 0) AND o.due > COALESCE(l.until, 0) THEN o.due
			WHEN COALESCE(l.blocked, 0) > COALESCE(l.until, 0) THEN l.blocked ELSE l.until END AS at
		FROM outbox o LEFT JOIN lanes l ON l.lane = o.lane WHERE o.state IN ('pending', 'sending')) AS dues WHERE at > ?`, now)
	if err != nil {
		return 0, fmt.Errorf("find what is due next: %w", err)
	}
	return next, nil
}

func (o *Outbox) wake(ctx context.Context, tx *sqldb.Tx, at Time, lanes ...string) error {
	params := make([]river.InsertManyParams, 0, len(lanes))
	for _, l := range lanes {
		params = append(params, river.InsertManyParams{
			Args:       Deliver{Lanes: []string{l}},
			InsertOpts: &river.InsertOpts{Queue: QueueSend, ScheduledAt: wakeAt(at), MaxAttempts: 25},
		})
	}
	return o.jobs.InsertManyTx(ctx, tx, params)
}

// DeadLetters lists what was given up, newest first.
func (o *Outbox) DeadLetters(ctx context.Context, limit int) ([]Out, error) {
	var out []Out
	err := o.db.Select(ctx, &out, `SELECT `+outColumns+` FROM outbox WHERE state = 'dead' ORDER BY id DESC LIMIT ?`, limit)
	return out, err
}

// Resend tries a dead letter again. It reports whether there was one.
func (o *Outbox) Resend(ctx context.Context, id string, now Time) (bool, error) {
	found := false
	err := o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		var r []Out
		if err := tx.Select(ctx, &r, `SELECT `+outColumns+` FROM outbox WHERE id = ? AND state = 'dead'`, id); err != nil {
			return fmt.Errorf("find dead letter: %w", err)
		}
		if found = len(r) == 1; !found {
			return nil
		}
		// It keeps the state of something that may have gone out once: two pending
		// refreshes of one place cannot stand side by side, these can.
		if _, err := tx.Exec(ctx, `UPDATE outbox SET state = 'sending', attempts = 1, due = ?, done = 0 WHERE id = ?`, now, id); err != nil {
			return fmt.Errorf("revive: %w", err)
		}
		return o.wake(ctx, tx, 0, r[0].Lane)
	})
	return found, err
}

// Backlog is the age of the oldest row that is due, and how many rows are dead.
func (o *Outbox) Backlog(ctx context.Context, now Time) (oldest time.Duration, dead int, err error) {
	var due []Time
	if err := o.db.Select(ctx, &due, `SELECT due FROM outbox WHERE state IN ('pending', 'sending') AND due <= ? ORDER BY due LIMIT 1`, now); err != nil {
		return 0, 0, fmt.Errorf("read backlog: %w", err)
	}
	if len(due) > 0 {
		oldest = now.Sub(due[0])
	}
	err = o.db.Get(ctx, &dead, `SELECT count(*) FROM outbox WHERE state = 'dead'`)
	return oldest, dead, err
}

// Load returns what a row needs to be rendered: the place it is for (when it has
// one), the ticket as it is now, and the event that it tells of.
func (o *Outbox) Load(ctx context.Context, r Out) (p Place, t *Ticket, e *Event, err error) {
	if r.PlaceID != "" {
		if err := o.db.Get(ctx, &p, `SELECT `+placeColumns+` FROM places WHERE id = ?`, r.PlaceID); err != nil {
			return p, nil, nil, fmt.Errorf("load place: %w", err)
		}
	}
	if t, _, err = loadTicket(ctx, o.db, r.Ticket); err != nil {
		return p, nil, nil, err
	}
	if r.Kind != OutCard && r.Seq > 0 {
		es, err := loadEvents(ctx, o.db, `SELECT `+eventColumns+` FROM events WHERE ticket_id = ? AND seq = ?`, r.Ticket, r.Seq)
		if err != nil {
			return p, nil, nil, err
		}
		if len(es) == 1 {
			e = &es[0]
		}
	}
	return p, t, e, nil
}

// SentAs returns the messages in a lane that told of an event.
func (o *Outbox) SentAs(ctx context.Context, lane string, id TicketID, seq int64) ([]string, error) {
	var refs []string
	err := o.db.Select(ctx, &refs, `SELECT ref FROM messages WHERE lane = ? AND ticket_id = ? AND seq = ? AND sent`, lane, id, seq)
	return refs, err
}

// Clean drops what is of no use any more: once-keys older than keep, sent rows,
// bursts and codes that ran out.
func (o *Outbox) Clean(ctx context.Context, now Time, keep time.Duration) error {
	return o.db.Tx(ctx, func(tx *sqldb.Tx) error {
		for _, q := range []struct {
			sql    string
			before Time
		}{
			{`DELETE FROM once WHERE at < ?`, now.Add(-keep)},
			{`DELETE FROM outbox WHERE done > 0 AND state IN ('done', 'cancelled') AND done < ?`, now.Add(-keep)},
			{`UPDATE outbox SET state = 'dead' WHERE state = 'waiting' AND created < ?`, now.Add(-keep)},
			{`DELETE FROM bursts WHERE until < ?`, now.Add(-time.Hour)},
			{`DELETE FROM codes WHERE until < ?`, now.Add(-time.Hour)},
			{`DELETE FROM shelf WHERE until < ?`, now.Add(-time.Hour)},
		} {
			if _, err := tx.Exec(ctx, q.sql, q.before); err != nil {
				return fmt.Errorf("clean: %w", err)
			}
		}
		return nil
	})
}

func cutError(s string) string {
	if r := []rune(plain(s)); len(r) > 500 {
		return string(r[:500])
	}
	return plain(s)
}
