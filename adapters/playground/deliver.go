package playground

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/internal/sqldb"
)

// From the room to the bot.

// sink is what takes an event; see bot.Streamer.
type sink = func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error

// Pauses of the delivery. The poll is a safety net: whoever stores an event in
// this program also wakes the delivery.
const (
	pollEvery   = 2 * time.Second
	firstPause  = 200 * time.Millisecond
	longPause   = 30 * time.Second
	giveUp      = 2 * time.Hour // an event that has failed for so long is set aside
	maxRefusals = 5             // and so is one that was called unacceptable so often
	settleTime  = 5 * time.Second
)

// event is one that the bot has not taken yet.
type event struct {
	Seq     int64
	ID      string
	Lane    string
	Frame   string
	Created int64
}

// lane is a conversation: one event at a time, in order.
type lane struct {
	busy     bool
	failures int
	again    time.Time // not before
}

// Stream delivers what people do, in order within a conversation, until ctx
// ends. An event is delivered again until sink has taken it: with growing pauses
// after an error, and after a restart.
func (a *Adapter) Stream(ctx context.Context, sink func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error) error {
	if !a.running.CompareAndSwap(false, true) {
		return errors.New("the playground is streaming already")
	}
	defer a.running.Store(false)
	var (
		lanes    = map[string]*lane{}
		finished = make(chan struct {
			lane string
			err  error
		})
		inFlight sync.WaitGroup
		timer    = time.NewTimer(0)
	)
	defer timer.Stop()
	defer inFlight.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		wait := pollEvery
		heads, err := a.heads(ctx)
		if err != nil && ctx.Err() == nil {
			a.cfg.Log.Error("events were not listed", "err", err)
		}
		for _, e := range heads {
			l := lanes[e.Lane]
			if l == nil {
				l = &lane{}
				lanes[e.Lane] = l
			}
			if pause := time.Until(l.again); l.busy || pause > 0 {
				if !l.busy {
					wait = min(wait, pause)
				}
				continue
			}
			l.busy = true
			failures := l.failures
			inFlight.Go(func() {
				err := a.deliver(ctx, sink, e, failures)
				select {
				case finished <- struct {
					lane string
					err  error
				}{e.Lane, err}:
				case <-ctx.Done():
				}
			})
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		case <-timer.C:
		case f := <-finished:
			l := lanes[f.lane]
			l.busy = false
			if f.err == nil {
				delete(lanes, f.lane)
				break
			}
			l.again = time.Now().Add(min(longPause, firstPause<<min(l.failures, 10)))
			l.failures++
		}
	}
}

// heads are the first waiting events of all conversations.
func (a *Adapter) heads(ctx context.Context) ([]event, error) {
	var out []event
	err := a.cfg.DB.Select(ctx, &out, `SELECT seq, id, lane, frame, created FROM playground_events
		WHERE install = ? AND seq IN (SELECT min(seq) FROM playground_events WHERE install = ? AND parked = ? GROUP BY lane)`,
		a.cfg.Name, a.cfg.Name, false)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return out, nil
}

// deliver hands one event to the bot, and what the bot says to the room.
func (a *Adapter) deliver(ctx context.Context, sink sink, e event, failures int) error {
	body := []byte(e.Frame)
	w := &recorder{header: http.Header{}}
	raw := bot.Raw{Method: http.MethodPost, Header: Sign(a.cfg.Name, a.cfg.Secret, body, time.Now()), Body: body, Socket: true}
	err := guard(ctx, sink, w, raw)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.cfg.Log.Warn("event was not taken", "event", e.ID, "err", err)
		// A refusal may pass, too: when the machine's clock is put right.
		hopeless := errors.Is(err, bot.ErrFrame) && failures+1 >= maxRefusals
		if !hopeless && time.Since(time.UnixMicro(e.Created)) < giveUp {
			return err
		}
		a.cfg.Log.Error("event was set aside", "event", e.ID, "err", err)
		return a.park(ctx, e)
	}
	var ans answer
	if w.status < 400 && w.body.Len() > 0 {
		if err := json.Unmarshal(w.body.Bytes(), &ans); err != nil {
			a.cfg.Log.Error("answer was not understood", "event", e.ID, "err", err)
		}
	} else if w.status >= 400 {
		a.cfg.Log.Warn("event was refused", "event", e.ID, "status", w.status)
	}
	// The bot has done it: finish, even when we are told to stop meanwhile.
	settled, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if err := a.settle(settled, e, ans); err != nil {
		a.cfg.Log.Error("event was not settled", "event", e.ID, "err", err)
		return err
	}
	a.changed()
	a.mu.Lock()
	waiter := a.waiting[e.ID]
	a.mu.Unlock()
	if waiter != nil {
		waiter <- ans // has room for it
	}
	return nil
}

// guard keeps a panic in the bot from taking the program down.
func guard(ctx context.Context, sink sink, w http.ResponseWriter, r bot.Raw) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return sink(ctx, w, r)
}

// settle forgets the event and shows what the bot said to it, both or neither.
func (a *Adapter) settle(ctx context.Context, e event, ans answer) error {
	var f frame
	if err := json.Unmarshal([]byte(e.Frame), &f); err != nil {
		return fmt.Errorf("read stored event: %w", err)
	}
	return a.cfg.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		n, err := tx.Exec(ctx, `DELETE FROM playground_events WHERE install = ? AND seq = ?`, a.cfg.Name, e.Seq)
		if err != nil {
			return fmt.Errorf("forget event: %w", err)
		}
		if n == 0 {
			return nil // settled already
		}
		if ans.Card != nil && f.Message != 0 {
			if err := a.freshen(ctx, tx, f.Message, ans.Card); err != nil {
				return err
			}
		}
		if ans.Hint == nil {
			return nil
		}
		text, err := json.Marshal(ans.Hint)
		if err != nil {
			return fmt.Errorf("encode hint: %w", err)
		}
		_, _, err = a.insert(ctx, tx, message{Conv: f.Conv, Thread: f.Thread, OnlyFor: f.User, Card: string(text)}, nil)
		return err
	})
}

// freshen shows the card that came with an answer, unless a newer one stands there.
func (a *Adapter) freshen(ctx context.Context, tx *sqldb.Tx, id int64, c *card) error {
	m, err := a.message(ctx, tx, id)
	if errors.Is(err, errNoSuch) || err == nil && m.Author != "" {
		return nil
	}
	if err != nil {
		return err
	}
	var old card
	if err := json.Unmarshal([]byte(m.Card), &old); err != nil {
		return fmt.Errorf("read stored card: %w", err)
	}
	if old.Ticket == c.Ticket && old.Version > c.Version {
		return nil
	}
	return a.recard(ctx, tx, id, c)
}

func (a *Adapter) park(ctx context.Context, e event) error {
	return a.cfg.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE playground_events SET parked = ? WHERE install = ? AND seq = ?`, true, a.cfg.Name, e.Seq)
		return err
	})
}

// recorder keeps the bot's answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}
