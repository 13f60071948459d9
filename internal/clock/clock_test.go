package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestHeldClockMovesOnlyWhenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Date(2026, 11, 21, 9, 0, 0, 1234, time.FixedZone("CST", 8*3600))
		c := Hold(start)
		time.Sleep(time.Hour) // the bubble's time, not ours
		if want := start.UTC().Truncate(time.Microsecond); c.Now() != want {
			t.Errorf("Now = %v, want %v", c.Now(), want)
		}
		c.Advance(3 * time.Hour)
		if want := start.Add(3 * time.Hour).UTC().Truncate(time.Microsecond); c.Now() != want {
			t.Errorf("Now = %v, want %v", c.Now(), want)
		}
		if c.Real() {
			t.Error("a held clock is not the real time")
		}
	})
}

func TestMovedClockGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, start := New(), time.Now()
		if !c.Real() {
			t.Error("a new clock is the real time")
		}
		c.Advance(time.Hour)
		c.Advance(time.Hour)
		time.Sleep(time.Minute) // the bubble's time, not ours
		if got, want := c.Precise().Sub(start), 2*time.Hour+time.Minute; got != want {
			t.Errorf("passed = %v, want %v", got, want)
		}
		if c.Offset() != 2*time.Hour || c.Real() {
			t.Errorf("Offset = %v, Real = %v, want 2h, false", c.Offset(), c.Real())
		}
		c.SetOffset(0)
		if !c.Real() {
			t.Error("a clock that was set back is the real time")
		}
	})
}

func TestChangedTellsEveryMoveAndNothingElse(t *testing.T) {
	c := New()
	first := c.Changed()
	c.SetOffset(0) // no move
	select {
	case <-first:
		t.Fatal("told of a move that was none")
	default:
	}
	c.Advance(time.Second)
	<-first
	second := c.Changed()
	c.SetOffset(0)
	<-second
}
