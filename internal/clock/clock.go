// Package clock is the one clock of the program: the real time in production,
// the real time and an offset in the playground, where people skip hours to see
// what a deadline does, and a time that stands still in tests.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time. It is safe for concurrent use.
type Clock struct {
	held  bool
	start time.Time // of a held clock

	mu      sync.Mutex // guards what follows
	offset  time.Duration
	changed chan struct{} // closed and replaced when the clock is moved
}

// New returns a clock that tells the real time.
func New() *Clock { return &Clock{changed: make(chan struct{})} }

// Hold returns a clock that stands at t and moves only when told to.
func Hold(t time.Time) *Clock {
	return &Clock{held: true, start: t.Round(0), changed: make(chan struct{})}
}

// Now is the time in UTC, cut to microseconds: what databases keep.
func (c *Clock) Now() time.Time { return c.Precise().UTC().Truncate(time.Microsecond) }

// Precise is Now as it was read: uncut, and unless the clock is held, fit for
// measuring durations by its monotonic reading.
func (c *Clock) Precise() time.Time {
	base := c.start
	if !c.held {
		base = time.Now()
	}
	return base.Add(c.Offset())
}

// Real reports whether this is the real time, neither held nor moved.
func (c *Clock) Real() bool { return !c.held && c.Offset() == 0 }

// Offset is how far the clock has been moved.
func (c *Clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

// Advance moves the clock forward by d.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.move(c.offset + d)
}

// SetOffset moves the clock to d away from where it would be unmoved, to set it
// as it was before a restart.
func (c *Clock) SetOffset(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.move(d)
}

// move does its work with mu held.
func (c *Clock) move(offset time.Duration) {
	if offset == c.offset {
		return
	}
	c.offset = offset
	close(c.changed)
	c.changed = make(chan struct{})
}

// Changed returns a channel that is closed when the clock is moved next. Get it
// before reading the time that you act upon, or a move in between is missed.
func (c *Clock) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}
