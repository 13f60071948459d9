package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Start is how a server comes up on a SQLite file, and what it takes when
// nothing is going on.
type Start struct {
	Tickets int      `json:"tickets"`
	MiB     float64  `json:"file_mib"`
	Ready   Latency  `json:"ready"` // from exec until /readyz says yes
	Idle    []Memory `json:"idle"`  // after a while without work
}

// Starts is what came of all starts.
type Starts struct {
	BinaryMiB float64 `json:"binary_mib"` // of the program that runs this
	Empty     Start   `json:"empty"`
	Full      Start   `json:"full"`
}

// defaultTickets is how many tickets make a large installation.
const defaultTickets = 1_000_000

// idleFor lets what runs at the start and every ten seconds happen once.
const idleFor = 12 * time.Second

func (b *bench) start(ctx context.Context) (_ any, err error) {
	var out Starts
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(self)
	if err != nil {
		return nil, err
	}
	out.BinaryMiB = float64(st.Size()) / (1 << 20)

	space, err := newWorkspace("default", 1, 4, 4)
	if err != nil {
		return nil, err
	}
	w, err := newWorld(space)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if out.Empty, err = b.starts(ctx, w, "empty", func(i int) (string, error) { return b.path(fmt.Sprintf("empty%d.db", i)), nil }); err != nil {
		return nil, err
	}
	n := b.tickets
	if n == 0 {
		n = defaultTickets
	}
	full := &sqliteStore{b: b, file: b.path("full.db")}
	b.say("making %d tickets", n)
	if _, err := b.prepare(ctx, w, full, n-1); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if out.Full, err = b.starts(ctx, w, "full", func(int) (string, error) { return full.file, nil }); err != nil {
		return nil, err
	}
	out.Full.Tickets = n
	b.say("ready after %.0f ms empty, %.0f ms with %d tickets, load %s", out.Empty.Ready.P50, out.Full.Ready.P50, n, loadAverage())
	return out, nil
}

func (b *bench) starts(ctx context.Context, w *world, name string, file func(i int) (string, error)) (s Start, err error) {
	var ready []time.Duration
	for i := range b.rounds {
		path, err := file(i)
		if err != nil {
			return s, err
		}
		child, err := b.serveChild(ctx, fmt.Sprintf("start-%s-%d", name, i), func(listen, ops, data string) ([]byte, error) {
			return w.config(listen, ops, data, "sqlite://"+path)
		})
		if err != nil {
			return s, err
		}
		ready = append(ready, child.ready)
		if i == 0 {
			m, err := b.idle(ctx, child)
			if err != nil {
				return s, errors.Join(err, child.kill())
			}
			s.Idle = append(s.Idle, m)
			st, err := os.Stat(path)
			if err != nil {
				return s, errors.Join(err, child.kill())
			}
			s.MiB = float64(st.Size()) / (1 << 20)
		}
		if err := child.stop(); err != nil {
			return s, err
		}
	}
	s.Ready = latency(ready)
	return s, nil
}

func (b *bench) idle(ctx context.Context, s *benchServer) (Memory, error) {
	wait := time.NewTimer(idleFor)
	defer wait.Stop()
	select {
	case <-wait.C:
		return s.memory()
	case <-ctx.Done():
		return Memory{}, ctx.Err()
	}
}
