//go:build unix

package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"go.uber.org/goleak"

	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/jobs"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets/ticketstest"
)

func TestMain(m *testing.M) {
	ticketstest.Main(m, func() error { return goleak.Find() })
}

// patience is how long a test waits for a signal before it fails.
const patience = 20 * time.Second

type echoArgs struct {
	Text string `json:"text"`
}

func (echoArgs) Kind() string { return "test.echo" }

// echo sends what it works to done.
type echo struct {
	river.WorkerDefaults[echoArgs]
	done chan string
}

func (w *echo) Work(ctx context.Context, job *river.Job[echoArgs]) error {
	select {
	case w.done <- job.Args.Text:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func start(t testing.TB, db *sqldb.DB, clk *clock.Clock) (*jobs.Client, *echo) {
	t.Helper()
	w := &echo{done: make(chan string, 1000)}
	c := newClient(t, db, clk, w, jobs.Options{Queues: map[string]int{river.QueueDefault: 20, "other": 2}})
	if err := c.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return c, w
}

func newClient(t testing.TB, db *sqldb.DB, clk *clock.Clock, w *echo, opts jobs.Options) *jobs.Client {
	t.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	c, err := jobs.New(db, clk, workers, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func insert(t testing.TB, db *sqldb.DB, c *jobs.Client, opts *river.InsertOpts, texts ...string) {
	t.Helper()
	ctx := context.Background()
	err := db.Tx(ctx, func(tx *sqldb.Tx) error {
		var many []river.InsertManyParams
		for _, text := range texts {
			many = append(many, river.InsertManyParams{Args: echoArgs{text}, InsertOpts: opts})
		}
		return c.InsertManyTx(ctx, tx, many)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func await(t testing.TB, w *echo, want string) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case got := <-w.done:
		if got != want {
			t.Fatalf("worked %q, want %q", got, want)
		}
	case <-late.C:
		t.Fatalf("%q was not worked within %v", want, patience)
	}
}

func count(t testing.TB, db *sqldb.DB) (n int) {
	t.Helper()
	if err := db.Get(context.Background(), &n, `SELECT count(*) FROM river_job`); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestJobIsWorkedSoonAfterItsCommit(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c, w := start(t, db, clock.New())
		soon(t, db, c, w)
	})
}

func TestJobOfAnotherProcessIsWorkedSoon(t *testing.T) {
	db := ticketstest.Open(t, ticketstest.Postgres(t))
	_, w := start(t, db, clock.New())
	soon(t, db, newClient(t, db, clock.New(), &echo{}, jobs.Options{}), w)
}

func soon(t *testing.T, db *sqldb.DB, c *jobs.Client, w *echo) {
	t.Helper()
	insert(t, db, c, nil, "warm up")
	await(t, w, "warm up")
	var took []time.Duration
	for i := range 100 {
		began := time.Now()
		insert(t, db, c, nil, fmt.Sprint(i))
		await(t, w, fmt.Sprint(i))
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("insert to work: median %v, 95 of 100 %v, worst %v", took[50], took[95], took[99])
	// Half of a poll's interval is what polling alone would give.
	if took[90] > 300*time.Millisecond {
		t.Errorf("90 of 100 = %v: workers are not woken", took[90])
	}
}

func TestJobOfARolledBackActIsNone(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		c := newClient(t, db, clock.New(), &echo{}, jobs.Options{})
		refusal := errors.New("refused")
		var group sync.WaitGroup
		for i := range 20 { // together, so that SQLite's share a transaction
			group.Go(func() {
				err := db.Tx(ctx, func(tx *sqldb.Tx) error {
					if err := c.InsertTx(ctx, tx, echoArgs{fmt.Sprint(i)}, nil); err != nil {
						return err
					}
					if i%2 == 0 {
						return refusal
					}
					return nil
				})
				if i%2 == 0 && !errors.Is(err, refusal) || i%2 == 1 && err != nil {
					t.Errorf("act %d = %v", i, err)
				}
			})
		}
		group.Wait()
		if got := count(t, db); got != 10 {
			t.Errorf("jobs = %d, want 10", got)
		}
	})
}

func TestManyJobsOfSeveralQueues(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c, w := start(t, db, clock.New())
		insert(t, db, c, nil) // none is fine
		var texts []string
		for i := range 100 {
			texts = append(texts, fmt.Sprintf("%03d", i))
		}
		insert(t, db, c, nil, texts...)
		insert(t, db, c, &river.InsertOpts{Queue: "other"}, "x", "y")
		var got []string
		for range 102 {
			select {
			case s := <-w.done:
				got = append(got, s)
			case <-time.After(patience):
				t.Fatalf("worked %d of 102", len(got))
			}
		}
		slices.Sort(got)
		if want := append(texts, "x", "y"); !slices.Equal(got, want) {
			t.Errorf("worked %q, want %q", got, want)
		}
	})
}

func TestUniqueJobIsInsertedOnce(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newClient(t, db, clock.New(), &echo{}, jobs.Options{})
		opts := &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}}
		for range 3 {
			insert(t, db, c, opts, "card 7")
		}
		insert(t, db, c, opts, "card 8")
		if got := count(t, db); got != 2 {
			t.Errorf("jobs = %d, want 2", got)
		}
	})
}

func TestScheduledJobIsDueByTheClock(t *testing.T) {
	clocks := map[string]func() *clock.Clock{
		"moved": clock.New,
		"held":  func() *clock.Clock { return clock.Hold(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)) },
	}
	for name, newClock := range clocks {
		t.Run(name, func(t *testing.T) {
			ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
				clk := newClock()
				c, w := start(t, db, clk)
				insert(t, db, c, &river.InsertOpts{ScheduledAt: clk.Now().Add(3 * time.Hour)}, "later")
				insert(t, db, c, nil, "now")
				await(t, w, "now")
				clk.Advance(3*time.Hour - time.Minute)
				insert(t, db, c, nil, "still now")
				await(t, w, "still now")
				clk.Advance(time.Minute)
				began := time.Now()
				await(t, w, "later")
				took := time.Since(began)
				t.Logf("advance to work: %v", took)
				if took > 2*time.Second { // River's own scheduler takes five
					t.Errorf("due job was worked after %v, want about a second at most", took)
				}
				insert(t, db, c, &river.InsertOpts{ScheduledAt: clk.Now().Add(48 * time.Hour)}, "much later")
				clk.Advance(48 * time.Hour)
				await(t, w, "much later")
			})
		})
	}
}

// A program that restarts has its clock's offset set before or after its jobs start.
func TestDueJobsAreFoundAtStart(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		clk := clock.Hold(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
		idle := newClient(t, db, clk, &echo{}, jobs.Options{})
		insert(t, db, idle, &river.InsertOpts{ScheduledAt: clk.Now().Add(time.Hour)}, "later")
		clk.Advance(time.Hour)
		_, w := start(t, db, clk)
		await(t, w, "later")
	})
}

func TestStopWaitsForTheJobAtWork(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := &echo{done: make(chan string)} // Work waits until the test listens
		c := newClient(t, db, clock.New(), w, jobs.Options{Queues: map[string]int{river.QueueDefault: 1}})
		starting, cancel := context.WithCancel(t.Context())
		if err := c.Start(starting); err != nil {
			t.Fatal(err)
		}
		cancel() // ends the starting, not the jobs
		insert(t, db, c, nil, "at work")
		awaitState(t, db, "running")
		stopped := make(chan error, 1)
		go func() { stopped <- c.Stop(context.Background()) }()
		await(t, w, "at work")
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		awaitState(t, db, "completed")
	})
}

func TestStopCutsAJobShortWhenItsTimeIsOver(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := &echo{done: make(chan string)} // nobody listens
		c := newClient(t, db, clock.New(), w, jobs.Options{Queues: map[string]int{river.QueueDefault: 1}})
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		insert(t, db, c, nil, "stuck")
		awaitState(t, db, "running")
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Stop(over); !errors.Is(err, context.Canceled) {
			t.Errorf("Stop = %v, want Canceled", err)
		}
	})
}

// awaitState asks until the one job is in the state.
func awaitState(t *testing.T, db *sqldb.DB, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		var got string
		err := db.Get(ctx, &got, `SELECT CAST(state AS TEXT) FROM river_job`)
		if err == nil && got == want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("state = %q, %v, want %q", got, err, want)
		}
	}
}

func TestInsertOnlyClientDoesNotStart(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c, err := jobs.New(db, clock.New(), nil, jobs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		insert(t, db, c, nil, "for somebody else")
		if got := count(t, db); got != 1 {
			t.Errorf("jobs = %d, want 1", got)
		}
		if err := c.Start(t.Context()); err == nil {
			t.Error("Start succeeded")
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestKindWithoutWorkerIsRefused(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c, err := jobs.New(db, clock.New(), river.NewWorkers(), jobs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Tx(t.Context(), func(tx *sqldb.Tx) error { return c.InsertTx(t.Context(), tx, echoArgs{"a"}, nil) })
		if err == nil || !strings.Contains(err.Error(), "test.echo") {
			t.Errorf("insert = %v, want an error that names test.echo", err)
		}
	})
}

// What River logs when all goes well, and when it stops, is nothing to read.
func TestQuietLog(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var out bytes.Buffer
		w := &echo{done: make(chan string, 1)}
		c := newClient(t, db, clock.New(), w, jobs.Options{
			Queues: map[string]int{river.QueueDefault: 1},
			Logger: slog.New(slog.NewTextHandler(&out, nil)),
		})
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		insert(t, db, c, nil, "a")
		await(t, w, "a")
		if err := c.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if out.Len() > 0 {
			t.Errorf("log:\n%s", &out)
		}
	})
}

// A lost LISTEN connection comes back, and jobs are heard again.
func TestListenerComesBack(t *testing.T) {
	db := ticketstest.Open(t, ticketstest.Postgres(t))
	_, w := start(t, db, clock.New())
	c := newClient(t, db, clock.New(), &echo{}, jobs.Options{}) // as another process would
	insert(t, db, c, nil, "before")
	await(t, w, "before")
	var ended int
	err := db.Get(t.Context(), &ended, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
	if err != nil || ended == 0 {
		t.Fatalf("ended %d connections, %v", ended, err)
	}
	for i := range 5 {
		insert(t, db, c, nil, fmt.Sprint(i))
		await(t, w, fmt.Sprint(i))
	}
}

func BenchmarkInsert(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": ticketstest.SQLite, "postgres": ticketstest.Postgres} {
		for _, n := range []int{0, 1, 3, 10} {
			b.Run(fmt.Sprintf("%s/jobs=%d", name, n), func(b *testing.B) {
				db := ticketstest.Open(b, url(b))
				c := newClient(b, db, clock.New(), &echo{}, jobs.Options{})
				ctx := context.Background()
				b.ResetTimer()
				for i := range b.N {
					err := db.Tx(ctx, func(tx *sqldb.Tx) error {
						if _, err := tx.Exec(ctx, `INSERT INTO meta (key, value) VALUES (?, 'x')`, fmt.Sprint(i)); err != nil {
							return err
						}
						var many []river.InsertManyParams
						for range n {
							many = append(many, river.InsertManyParams{Args: echoArgs{"text"}})
						}
						return c.InsertManyTx(ctx, tx, many)
					})
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
