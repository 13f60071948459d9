// Package jobs runs everything durable that is not done at once: card updates,
// timers, digests, webhooks. It is River (https://riverqueue.com) on either
// database, with what River leaves to its user: listeners, settings, our clock.
//
// A job is inserted in the transaction that makes it necessary and runs at
// least once after its commit: a worker must be fit to run twice. No order is
// kept between jobs.
package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"

	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/sqldb"
)

// How jobs run, unless a worker says otherwise about itself.
const (
	// Timeout ends the context of a job that works this long.
	Timeout = 30 * time.Second
	// rescueAfter gives a job whose process died to another one. River's own
	// default is an hour.
	rescueAfter = 2 * time.Minute
	// fetchCooldown is how soon a queue may look for jobs again, and so the most
	// that a job waits in a busy queue before River sees it.
	fetchCooldown = 20 * time.Millisecond
	// pollInterval finds jobs whose wake-up got lost, and scheduled ones.
	pollInterval = time.Second
	// keepCompleted is short, so that the table stays small and fast. What a job
	// did is told by the rows it changed.
	keepCompleted = 10 * time.Minute
	// stopGrace is how long jobs have to obey their ended context.
	stopGrace = 5 * time.Second
)

// Options of New.
type Options struct {
	// Queues are the queues to work and how many of each one's jobs may run at
	// the same time in this process. Without any, the client only inserts.
	Queues map[string]int
	// Periodic jobs run on schedules, in one process of all at a time.
	Periodic []*river.PeriodicJob
	// ErrorHandler, when set, hears of every failed and panicked job.
	ErrorHandler river.ErrorHandler
	// Logger gets River's warnings and errors; nil is slog.Default.
	Logger *slog.Logger
}

// Client inserts jobs and works them.
type Client struct {
	db     *sqldb.DB
	clock  *clock.Clock
	driver riverdriver.Driver[*sql.Tx]
	waker  *waker
	river  *river.Client[*sql.Tx]
	queues map[string]int // that this process works
	log    *slog.Logger

	cancel  context.CancelFunc // of watchClock
	running sync.WaitGroup
}

// New makes a client of a migrated database. Workers may be nil for one that
// only inserts; with workers, inserting a kind without a worker is an error.
// It starts nothing.
func New(db *sqldb.DB, clk *clock.Clock, workers *river.Workers, opts Options) (*Client, error) {
	log := opts.Logger
	if log == nil {
		log = slog.Default()
	}
	c := &Client{db: db, clock: clk, waker: &waker{}, queues: opts.Queues, log: log}
	c.driver = newDriver(db, c.waker)
	cfg := &river.Config{
		CompletedJobRetentionPeriod: keepCompleted,
		ErrorHandler:                opts.ErrorHandler,
		FetchCooldown:               fetchCooldown,
		FetchPollInterval:           pollInterval,
		JobTimeout:                  Timeout,
		Logger:                      slog.New(quiet{log.Handler()}),
		PeriodicJobs:                opts.Periodic,
		ReindexerIndexNames:         indexes(),
		// River compares the real time with when a job began by our clock: one
		// that is behind would have running jobs look abandoned.
		RescueStuckJobsAfter: rescueAfter + max(0, time.Since(clk.Precise())),
		Test:                 river.TestConfig{Time: riverTime{clk}},
		Workers:              workers,
	}
	if len(c.queues) > 0 {
		cfg.Queues = map[string]river.QueueConfig{}
		for name, max := range c.queues {
			cfg.Queues[name] = river.QueueConfig{MaxWorkers: max}
		}
	}
	var err error
	if c.river, err = river.NewClient(c.driver, cfg); err != nil {
		return nil, fmt.Errorf("make job client: %w", err)
	}
	return c, nil
}

// indexes are those of River's that we keep: migrations drop what we never search by.
func indexes() []string {
	return slices.DeleteFunc(river.ReindexerIndexNamesDefault(), func(name string) bool {
		return name == "river_job_args_index" || name == "river_job_metadata_index"
	})
}

// River is the client underneath, for listing, retrying and cancelling jobs.
// Insert by Client, not by it: it wakes nobody.
func (c *Client) River() *river.Client[*sql.Tx] { return c.river }

// Start starts working the queues until Stop; ctx ends only the starting.
func (c *Client) Start(ctx context.Context) error {
	if len(c.queues) == 0 {
		return errors.New("start jobs: this client has no queues, it only inserts")
	}
	ctx = context.WithoutCancel(ctx)
	if err := c.river.Start(ctx); err != nil {
		return fmt.Errorf("start jobs: %w", err)
	}
	ctx, c.cancel = context.WithCancel(ctx)
	c.running.Go(func() { c.watchClock(ctx) })
	return nil
}

// Stop takes no new jobs and waits for the ones at work until ctx ends. Those
// then have their contexts ended and a few seconds to obey; whatever is left
// runs again elsewhere, after its rescue. Stop returns an error when jobs were
// cut short.
func (c *Client) Stop(ctx context.Context) error {
	if c.cancel == nil {
		return nil
	}
	c.cancel()
	c.running.Wait()
	err := c.river.Stop(ctx)
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	return fmt.Errorf("stop jobs: %w", errors.Join(err, c.river.StopAndCancel(ctx)))
}

// InsertTx inserts a job that exists if and only if tx commits. A job that
// UniqueOpts hold back is no error.
func (c *Client) InsertTx(ctx context.Context, tx *sqldb.Tx, args river.JobArgs, opts *river.InsertOpts) error {
	return c.InsertManyTx(ctx, tx, []river.InsertManyParams{{Args: args, InsertOpts: opts}})
}

// InsertManyTx inserts any number of jobs by one statement. None is fine.
func (c *Client) InsertManyTx(ctx context.Context, tx *sqldb.Tx, jobs []river.InsertManyParams) error {
	if len(jobs) == 0 {
		return nil
	}
	if _, err := c.river.InsertManyFastTx(tx.Context(ctx), tx.Raw(), jobs); err != nil {
		return fmt.Errorf("insert %s jobs: %w", jobs[0].Args.Kind(), err)
	}
	return c.tell(ctx, tx, queuesOf(jobs))
}

// tell has the workers of the queues woken when tx commits: in memory when they
// are in this process, by NOTIFY when they can only be in another one. When
// both work the queue, the other one sees what is left at its next poll.
func (c *Client) tell(ctx context.Context, tx *sqldb.Tx, queues []string) error {
	if len(queues) == 0 {
		return nil
	}
	tx.OnCommit(func() { c.waker.wake(queues) })
	if tx.SQLite() {
		return nil
	}
	var payloads []string
	for _, queue := range distinct(queues) {
		if _, ours := c.queues[queue]; !ours {
			payloads = append(payloads, insertPayload(queue))
		}
	}
	if len(payloads) == 0 {
		return nil
	}
	params := &riverdriver.NotifyManyParams{Topic: insertTopic, Payload: payloads}
	if err := c.driver.UnwrapExecutor(tx.Raw()).NotifyMany(ctx, params); err != nil {
		return fmt.Errorf("notify of jobs: %w", err)
	}
	return nil
}

// queuesOf names the queues that have something to do at once.
func queuesOf(jobs []river.InsertManyParams) (queues []string) {
	for _, job := range jobs {
		var opts, own river.InsertOpts
		if job.InsertOpts != nil {
			opts = *job.InsertOpts
		}
		if a, ok := job.Args.(river.JobArgsWithInsertOpts); ok {
			own = a.InsertOpts()
		}
		if !opts.ScheduledAt.IsZero() || !own.ScheduledAt.IsZero() {
			continue
		}
		switch {
		case opts.Queue != "":
			queues = append(queues, opts.Queue)
		case own.Queue != "":
			queues = append(queues, own.Queue)
		default:
			queues = append(queues, river.QueueDefault)
		}
	}
	return queues
}

// riverTime is our clock as River reads it.
type riverTime struct{ clock *clock.Clock }

var _ rivertype.TimeGenerator = riverTime{}

// Now keeps the monotonic reading: River measures durations by it.
func (t riverTime) Now() time.Time { return t.clock.Precise() }

// NowOrNil is nil for the real time, and River then asks the database, whose
// clock all processes share.
func (t riverTime) NowOrNil() *time.Time {
	if t.clock.Real() {
		return nil
	}
	now := t.clock.Now()
	return &now
}
