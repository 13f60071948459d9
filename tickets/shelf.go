package tickets

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/paidan/paidan/internal/sqldb"
)

// Shelf keeps small things by name for one owner: an install's one-shot codes,
// cursors and counters. Under a name lies a stack of values, each of which is as
// if it were not there when its time has run out.
type Shelf struct {
	db    *sqldb.DB
	owner string
	now   func() time.Time
}

// NewShelf returns the shelf of an owner in db.
func NewShelf(db *sqldb.DB, owner string, now func() time.Time) *Shelf {
	return &Shelf{db: db, owner: owner, now: now}
}

// Shelf returns the shelf of an owner in the service's database.
func (s *Service) Shelf(owner string, now func() time.Time) *Shelf { return NewShelf(s.db, owner, now) }

type shelved struct {
	N     int64  `db:"n"`
	Value string `db:"value"`
}

// top is the newest value; ok is false when there is none.
func (s *Shelf) top(ctx context.Context, q interface {
	Select(ctx context.Context, dest any, query string, args ...any) error
}, name string, now Time,
) (v shelved, ok bool, err error) {
	var all []shelved
	err = q.Select(ctx, &all, `SELECT n, value FROM shelf WHERE owner = ? AND name = ? AND until > ? ORDER BY n DESC LIMIT 1`, s.owner, name, now)
	if err != nil || len(all) == 0 {
		return shelved{}, false, err
	}
	return all[0], true, nil
}

// Get returns the newest value; "" = there is none.
func (s *Shelf) Get(ctx context.Context, name string) (string, error) {
	v, _, err := s.top(ctx, s.db, name, At(s.now()))
	if err != nil {
		return "", fmt.Errorf("read shelf: %w", err)
	}
	return v.Value, nil
}

// Put replaces all that lies under name; an empty value clears it.
func (s *Shelf) Put(ctx context.Context, name, value string, keep time.Duration) error {
	until := At(s.now().Add(keep))
	return s.tx(ctx, func(tx *sqldb.Tx) error {
		if value == "" {
			_, err := tx.Exec(ctx, `DELETE FROM shelf WHERE owner = ? AND name = ?`, s.owner, name)
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM shelf WHERE owner = ? AND name = ? AND n <> 0`, s.owner, name); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO shelf (owner, name, n, value, until) VALUES (?, ?, 0, ?, ?)
			ON CONFLICT (owner, name, n) DO UPDATE SET value = excluded.value, until = excluded.until`, s.owner, name, value, until)
		return err
	})
}

// maxShelved bounds a stack: what lies deeper than this is dropped.
const maxShelved = 32

// Push lays a value on top. Pushing what is there already does nothing.
func (s *Shelf) Push(ctx context.Context, name, value string, keep time.Duration) error {
	now := At(s.now())
	return s.tx(ctx, func(tx *sqldb.Tx) error {
		// Another who pushes at the same moment may take the place on top: then one higher.
		for n, there := int64(0), int64(0); n == 0 && there == 0; {
			var err error
			n, err = tx.Exec(ctx, `INSERT INTO shelf (owner, name, n, value, until)
			SELECT cast(? as text), cast(? as text), CASE WHEN COALESCE(max(n), 0) >= ? THEN max(n) + 1 ELSE ? END, cast(? as text), cast(? as bigint)
			FROM shelf WHERE owner = ? AND name = ? HAVING COALESCE(sum(CASE WHEN value = ? THEN 1 ELSE 0 END), 0) = 0
			ON CONFLICT (owner, name, n) DO NOTHING`,
				s.owner, name, now, now, value, now.Add(keep), s.owner, name, value)
			if err == nil && n == 0 {
				err = tx.Get(ctx, &there, `SELECT count(*) FROM shelf WHERE owner = ? AND name = ? AND value = ?`, s.owner, name, value)
			}
			if err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `DELETE FROM shelf WHERE owner = ? AND name = ? AND n NOT IN
			(SELECT n FROM shelf WHERE owner = ? AND name = ? ORDER BY n DESC LIMIT ?)`, s.owner, name, s.owner, name, maxShelved)
		return err
	})
}

// Pop takes the newest value away; "" = there was none. Of several who pop at
// once, each gets another.
func (s *Shelf) Pop(ctx context.Context, name string) (string, error) {
	value := ""
	err := s.tx(ctx, func(tx *sqldb.Tx) error {
		value = ""
		for {
			v, ok, err := s.top(ctx, tx, name, At(s.now()))
			if err != nil || !ok {
				return err
			}
			// By its value too: meanwhile another may have taken it, and a third laid his own there.
			n, err := tx.Exec(ctx, `DELETE FROM shelf WHERE owner = ? AND name = ? AND n = ? AND value = ?`, s.owner, name, v.N, v.Value)
			if err != nil {
				return err
			}
			if n == 1 { // else somebody was faster
				value = v.Value
				return nil
			}
		}
	})
	return value, err
}

// Swap puts value where the newest is old ("": where there is none), and reports
// whether it did.
func (s *Shelf) Swap(ctx context.Context, name, old, value string, keep time.Duration) (bool, error) {
	done := false
	err := s.tx(ctx, func(tx *sqldb.Tx) error {
		done = false
		now := At(s.now())
		var n int64
		var err error
		if old == "" {
			n, err = tx.Exec(ctx, `INSERT INTO shelf (owner, name, n, value, until) VALUES (?, ?, 0, ?, ?)
				ON CONFLICT (owner, name, n) DO UPDATE SET value = excluded.value, until = excluded.until WHERE shelf.until <= ?`,
				s.owner, name, value, now.Add(keep), now)
		} else {
			n, err = tx.Exec(ctx, `UPDATE shelf SET value = ?, until = ? WHERE owner = ? AND name = ? AND n = 0 AND value = ? AND until > ?`,
				value, now.Add(keep), s.owner, name, old, now)
		}
		done = n == 1
		return err
	})
	return done && err == nil, err
}

// Add adds n to a counter and returns what it is then.
func (s *Shelf) Add(ctx context.Context, name string, n int64, keep time.Duration) (int64, error) {
	var sum int64
	err := s.tx(ctx, func(tx *sqldb.Tx) error {
		now := At(s.now())
		var v []string
		err := tx.Select(ctx, &v, `INSERT INTO shelf (owner, name, n, value, until) VALUES (?, ?, 0, ?, ?)
			ON CONFLICT (owner, name, n) DO UPDATE SET until = excluded.until,
			value = CASE WHEN shelf.until > ? THEN cast(cast(shelf.value as bigint) + ? as text) ELSE excluded.value END RETURNING value`,
			s.owner, name, strconv.FormatInt(n, 10), now.Add(keep), now, n)
		if err != nil {
			return err
		}
		sum, err = strconv.ParseInt(v[0], 10, 64)
		return err
	})
	return sum, err
}

func (s *Shelf) tx(ctx context.Context, f func(tx *sqldb.Tx) error) error {
	if err := s.db.Tx(ctx, f); err != nil {
		return fmt.Errorf("shelf: %w", err)
	}
	return nil
}
