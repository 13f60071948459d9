package bot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/riverqueue/river"

	"github.com/paidan/paidan/tickets"
)

// Jobs that run by themselves. What is due stands in the database; River sees to
// it that one process of all does it.

// Queues are the queues that the bot's jobs run in, with how many run at once.
var Queues = map[string]int{tickets.QueueSend: 32, tickets.QueueTimer: 8, tickets.QueueFiles: 2, queueHouse: 2}

const queueHouse = "house"

// AddWorkers adds the bot's jobs to w.
func (b *Bot) AddWorkers(w *river.Workers) {
	river.AddWorker(w, &deliverer{b: b})
	river.AddWorker(w, river.WorkFunc(func(ctx context.Context, j *river.Job[tickets.Timer]) error {
		b.metrics.TimerLate(b.now().Sub(j.ScheduledAt))
		return b.timer(ctx, j.Args)
	}))
	river.AddWorker(w, river.WorkFunc(func(ctx context.Context, j *river.Job[tickets.Fetch]) error {
		return b.fetch(ctx, j.Args)
	}))
	river.AddWorker(w, river.WorkFunc(func(ctx context.Context, j *river.Job[house]) error {
		return b.housekeeping(ctx, j.Args.Task)
	}))
}

// house is work that comes round.
type house struct {
	Task string `json:"task"`
}

// Kind implements river.JobArgs.
func (house) Kind() string { return "house.keeping" }

// onceKept is how long once-keys and sent rows are kept. Platforms redeliver for
// some seven hours; a month leaves room for a restored queue.
const onceKept = 30 * 24 * time.Hour

// Periodic are the jobs that come round.
func Periodic() []*river.PeriodicJob {
	every := func(d time.Duration, task string) *river.PeriodicJob {
		return river.NewPeriodicJob(river.PeriodicInterval(d),
			func() (river.JobArgs, *river.InsertOpts) {
				return house{task}, &river.InsertOpts{Queue: queueHouse, MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByArgs: true, ByPeriod: d}}
			}, &river.PeriodicJobOpts{RunOnStart: true})
	}
	return []*river.PeriodicJob{
		every(10*time.Minute, "anchor"), every(time.Hour, "clean"), every(time.Hour, "members"),
	}
}

func (b *Bot) housekeeping(ctx context.Context, task string) error {
	now := b.now()
	switch task {
	case "anchor":
		made, err := b.svc.MakeAnchors(ctx, now)
		if len(made) > 0 { // in the log, so that it also stands outside of the database; it covers all before it
			last := made[len(made)-1]
			b.log.Info("anchored", "hours", len(made), "until", last.Hour.Go().Format(time.RFC3339), "hash", last.Hash)
		}
		return err
	case "clean":
		return b.out.Clean(ctx, tickets.At(now), onceKept)
	case "members":
		return b.SyncMembers(ctx)
	}
	return fmt.Errorf("no such task: %q", task)
}

// SyncMembers reads who is in the triage groups.
func (b *Bot) SyncMembers(ctx context.Context) error {
	groups, err := b.svc.TriageGroups(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range groups {
		to, err := ParseLane(g.Lane)
		if err != nil || to.Conv == "" || b.installs[to.Install] == nil {
			continue
		}
		if err := b.SyncGroup(ctx, ConvRef{to.Install, to.Conv}); err != nil {
			errs = append(errs, fmt.Errorf("members of %s: %w", g.Lane, err))
		}
	}
	return errors.Join(errs...)
}

// timer does what a moment was set for, if the ticket still is as it was then.
func (b *Bot) timer(ctx context.Context, a tickets.Timer) error {
	c := a.Command()
	if c == nil {
		return fmt.Errorf("no such timer: %q", a.What)
	}
	res, err := b.svc.Do(ctx, tickets.Request{
		Once: fmt.Sprintf("timer|%s|%s|%d|%s", a.Ticket, a.What, a.Due, a.Person), System: true,
		Ticket: a.Ticket, Command: c, Now: b.now(),
	})
	if tickets.CodeOf(err) != "" {
		return nil // the state has moved on; there is nothing to do any more
	}
	if err == nil {
		b.counted(ctx, res)
	}
	return err
}

// fileRef keeps how to fetch a file in the core's opaque reference.
func fileRef(f File) string {
	return url.Values{"id": {f.ID}, "url": {f.URL}}.Encode()
}

// fetch copies the files of one event out of their platform. What is too large
// or cannot be read stays where it is, and the ticket still names it.
func (b *Bot) fetch(ctx context.Context, a tickets.Fetch) error {
	via, err := ParseLane(a.Via)
	if err != nil {
		return river.JobCancel(err)
	}
	f, ok := b.installs[via.Install].(FileCarrier)
	if !ok {
		return nil
	}
	e, err := b.svc.Event(ctx, a.Ticket, a.Seq)
	if err != nil || e.Words == nil {
		return err
	}
	var got []tickets.File
	for _, file := range e.Words.Files {
		if file.Size > tickets.MaxFile || file.Hash != "" {
			continue
		}
		content, err := b.read(ctx, f, file)
		switch {
		case errors.Is(err, ErrGone), errors.Is(err, ErrRejected), errors.Is(err, errTooLarge):
			b.log.Warn("file was not copied", "ticket", string(a.Ticket), "err", err)
			continue
		case err != nil:
			return fmt.Errorf("fetch file: %w", err)
		}
		if file.Hash, err = b.svc.PutBlob(ctx, content, b.now()); err != nil {
			return err
		}
		file.Size = int64(len(content))
		got = append(got, file)
	}
	if len(got) == 0 {
		return nil
	}
	_, err = b.svc.Do(ctx, tickets.Request{
		Once: fmt.Sprintf("files|%s|%d", a.Ticket, a.Seq), System: true, Ticket: a.Ticket, Via: a.Via,
		Command: tickets.Attach{Seq: a.Seq, Files: got}, Now: b.now(), Message: "",
	})
	return err
}

var errTooLarge = errors.New("file is larger than what is copied")

func (b *Bot) read(ctx context.Context, f FileCarrier, file tickets.File) ([]byte, error) {
	ref, err := url.ParseQuery(file.Ref)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	r, err := f.Fetch(ctx, File{ID: ref.Get("id"), URL: ref.Get("url"), Name: file.Name, Type: file.Type, Size: file.Size})
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(r, tickets.MaxFile+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if len(content) > tickets.MaxFile {
		return nil, errTooLarge
	}
	return content, nil
}
