package bot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"github.com/paidan/paidan/tickets"
)

// A destination is a lane: one sender at a time works off what the outbox holds
// for it, in order. He holds a short lease on it, which is renewed while he is
// at work. A process that is killed leaves its leases to run out; every process
// looks every few seconds for lanes that have something due and nobody at work,
// so that no card waits for another process to be elected or restarted.

const (
	lease      = 15 * time.Second // of a lane, and so what a killed process locks it for
	renewEvery = 4 * time.Second
	tendEvery  = 5 * time.Second
	tendLeast  = 200 * time.Millisecond
	turnTime   = 20 * time.Second // after which a sender hands a busy lane over to a fresh job
	letGoTime  = 3 * time.Second  // for giving a lane back after an error
)

// deliverTime ends a job that delivers: a turn, and the row begun at its end.
const deliverTime = turnTime + 4*sendTime

// errLaneLost ends a sender whose lease somebody else may have by now.
var errLaneLost = errors.New("lane was lost")

// deliverer is the River worker of tickets.Deliver.
type deliverer struct {
	river.WorkerDefaults[tickets.Deliver]
	b *Bot
}

// Timeout is longer than that of other jobs: a lane may have much to send.
func (d *deliverer) Timeout(*river.Job[tickets.Deliver]) time.Duration { return deliverTime }

// Work works the lanes off, each on its own.
func (d *deliverer) Work(ctx context.Context, j *river.Job[tickets.Deliver]) error {
	var g errgroup.Group
	for _, lane := range j.Args.Lanes {
		if d.b.here(lane) && d.b.atWork.enter(lane) {
			g.Go(func() error { return d.b.drain(ctx, lane) })
		}
	}
	return g.Wait()
}

// here reports whether this process can send to a lane. Of what it cannot, the
// process that can learns by itself: see Tend.
func (b *Bot) here(lane string) bool {
	to, err := ParseLane(lane)
	if err != nil {
		return true // recorded as a dead letter by whoever sends
	}
	l, ok := b.installs[to.Install].(Local)
	return !ok || l.Here(to)
}

// atWork knows in which lanes this process has a sender. A job for one of them
// need not ask the database, where all such jobs would queue for the lane's row:
// the sender looks once more before he leaves.
type atWork struct {
	mu    sync.Mutex // guards lanes
	lanes map[string]bool
}

// enter reports whether a sender is wanted in a lane. If not, the one who is
// there will look again.
func (a *atWork) enter(lane string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, there := a.lanes[lane]; there {
		a.lanes[lane] = true
		return false
	}
	if a.lanes == nil {
		a.lanes = map[string]bool{}
	}
	a.lanes[lane] = false
	return true
}

// looks is said before the sender looks: what came until now he will see.
func (a *atWork) looks(lane string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, there := a.lanes[lane]; there {
		a.lanes[lane] = false
	}
}

// done ends the sender's work, unless something has come since he looked last.
func (a *atWork) done(lane string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lanes[lane] {
		return false
	}
	delete(a.lanes, lane)
	return true
}

// leave ends the sender's work whatever has come: a job of its own follows.
func (a *atWork) leave(lane string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.lanes, lane)
}

// drain sends what is due in a lane until nothing is, the platform wants it
// left alone, or somebody else is at it: whoever holds the lane sees what was
// committed before his last look, so nothing is left lying.
func (b *Bot) drain(ctx context.Context, lane string) error {
	end := time.Now().Add(turnTime)
	for {
		rests, err := b.drainOnce(ctx, lane, end)
		switch {
		case rests: // it has been left already
			return err
		case err != nil: // the job is tried again
			b.atWork.leave(lane)
			return err
		case b.atWork.done(lane):
			return nil
		}
	}
}

// drainOnce is drain until nothing is due. rests tells that the lane was given
// to a job of its own, now or later.
func (b *Bot) drainOnce(ctx context.Context, lane string, end time.Time) (rests bool, err error) {
	holder := b.holder + "/" + uuid.NewString()
	take := func() ([]tickets.Out, error) {
		b.atWork.looks(lane)
		rows, _, _, err := b.out.Take(ctx, lane, holder, tickets.At(b.now()), lease)
		return rows, err
	}
	rows, err := take()
	if err != nil || len(rows) == 0 {
		return false, err
	}
	ctx, done := b.keep(ctx, lane, holder)
	defer done()
	for {
		looked := false // the last row's record was a look at the lane as well
		var next []tickets.Out
		record := func(ctx context.Context, r tickets.Out, s tickets.Sent, last bool) error {
			if !last {
				return b.out.Done(ctx, r, s, tickets.At(b.now()))
			}
			b.atWork.looks(lane)
			var err error
			next, err = b.out.DoneTake(ctx, r, s, holder, tickets.At(b.now()), lease)
			looked = err == nil
			return err
		}
		left, wait, err := b.sendAll(ctx, rows, end, record)
		switch {
		case err != nil:
			err = errors.Join(err, b.letGo(ctx, lane, holder, left))
			if errors.Is(context.Cause(ctx), errLaneLost) {
				return false, nil // whoever has it now goes on
			}
			return false, err
		case wait > 0 || len(left) > 0:
			if err := b.out.Return(ctx, left); err != nil {
				return false, err
			}
			b.atWork.leave(lane)     // before the job that Block leaves, which shall find nobody here
			until := tickets.Time(0) // at once, by whoever comes
			if wait > 0 {
				until = tickets.At(b.now().Add(wait))
			}
			err := b.out.Block(ctx, lane, holder, until)
			b.tendIn(wait)
			return true, err
		}
		if rows = next; !looked {
			rows, err = take()
		}
		if err != nil || len(rows) == 0 {
			return false, err
		}
	}
}

// recorder records that a row was sent; last: it is the last one of those taken.
type recorder func(ctx context.Context, r tickets.Out, s tickets.Sent, last bool) error

// sendAll sends rows until the turn ends. left are those that were not tried;
// a positive wait means that the lane must rest.
func (b *Bot) sendAll(ctx context.Context, rows []tickets.Out, end time.Time, record recorder) (left []tickets.Out, wait time.Duration, err error) {
	for i, r := range rows {
		if b.leaving.Load() || time.Now().After(end) {
			return rows[i:], 0, nil
		}
		wait, err := b.sendOne(ctx, r, func(ctx context.Context, s tickets.Sent) error { return record(ctx, r, s, i == len(rows)-1) })
		if err != nil || wait > 0 {
			return rows[i+1:], wait, err
		}
	}
	return nil, 0, nil
}

// letGo gives a lane back after an error of our own, also when ctx has ended:
// else nobody could send there until the lease runs out.
func (b *Bot) letGo(ctx context.Context, lane, holder string, left []tickets.Out) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), letGoTime)
	defer cancel()
	if err := b.out.Return(ctx, left); err != nil {
		return err
	}
	return b.out.Release(ctx, lane, holder)
}

// keep renews the lease on a lane until done is called. The returned context
// ends when the lease was lost or could not be renewed in time.
func (b *Bot) keep(ctx context.Context, lane, holder string) (held context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() {
		tick := time.NewTicker(renewEvery)
		defer tick.Stop()
		renewed := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			ours, err := b.out.Renew(ctx, lane, holder, tickets.At(b.now().Add(lease)))
			switch {
			case err == nil && ours:
				renewed = time.Now()
			case err == nil, time.Since(renewed) > lease-renewEvery:
				cancel(errLaneLost)
				return
			}
		}
	})
	return ctx, func() { cancel(nil); keeping.Wait() }
}

// Leave has every sender give its lane back after the row in hand: the process
// is about to stop, and another one, or its successor, goes on.
func (b *Bot) Leave() { b.leaving.Store(true) }

// Tend looks after the lanes until ctx ends: those that have something due for
// which nobody has come are woken, be it that a process died, a job got lost, a
// clock was put forward, or a rest is over. Every process does it; only one gets
// the lane. River's own schedule looks every five seconds only, and only in the
// process that is elected: too late for a lane that may post once a second.
func (b *Bot) Tend(ctx context.Context) error {
	next := time.NewTimer(0)
	defer next.Stop()
	var at time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case soon := <-b.soon:
			if soon.Before(at) {
				at = soon
				next.Reset(max(time.Until(at), tendLeast))
			}
			continue
		case <-next.C:
		}
		wait, err := b.tendOnce(ctx)
		if err != nil && ctx.Err() == nil {
			b.log.Warn("outbox was not looked after, trying again", "err", err)
		}
		wait = min(max(wait, tendLeast), tendEvery)
		at = time.Now().Add(wait)
		next.Reset(wait)
	}
}

// tendIn has Tend look after the lanes in a while. It is a nudge: when nobody
// takes it, Tend comes a little later by itself.
func (b *Bot) tendIn(wait time.Duration) {
	select {
	case b.soon <- time.Now().Add(wait):
	default:
	}
}

// tendOnce returns when something is due next.
func (b *Bot) tendOnce(ctx context.Context) (time.Duration, error) {
	now := tickets.At(b.now())
	if _, err := b.out.Sweep(ctx, now); err != nil {
		return tendEvery, fmt.Errorf("sweep: %w", err)
	}
	oldest, dead, err := b.out.Backlog(ctx, now)
	if err != nil {
		return tendEvery, err
	}
	b.metrics.OutboxAge(oldest)
	b.metrics.DeadLetters(dead)
	due, err := b.out.NextDue(ctx, now)
	if err != nil || due == 0 {
		return tendEvery, err
	}
	return due.Sub(now), nil
}
