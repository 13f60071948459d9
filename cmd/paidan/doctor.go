package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/paidan/paidan/adapters"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/httpx"
	"github.com/paidan/paidan/internal/jobs"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/migrations"
	"github.com/paidan/paidan/tickets"
)

// doctorFlags are what doctor is asked for besides a look at everything.
type doctorFlags struct {
	offline bool
	live    bool
	resend  string
	verify  bool
}

func (p *program) doctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check everything, and say how to mend it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.doctor(cmd.Context(), f) },
	}
	cmd.Flags().BoolVar(&f.offline, "offline", false, "ask no platform")
	cmd.Flags().BoolVar(&f.live, "live", false, "only ask the server that runs whether it can take work")
	cmd.Flags().BoolVar(&f.verify, "verify", false, "check the hash chains of all tickets and the hourly anchors")
	cmd.Flags().StringVar(&f.resend, "resend", "", "try a dead letter again, by its `id`, or all of them with \"all\"")
	return cmd
}

// doctor prints one line a finding. It errs when something would stop work.
func (p *program) doctor(ctx context.Context, f doctorFlags) error {
	conf, err := p.load()
	if err != nil {
		return err
	}
	d := &checkup{out: p.stdout, conf: conf}
	if f.live {
		d.live(ctx)
		return d.verdict()
	}
	for _, w := range conf.Warnings() {
		d.warn("configuration "+w.Key, w.String())
	}
	d.ok("configuration", "understood")
	if _, err := LoadSecretKey(conf); err != nil {
		d.bad("secret key", err.Error())
	} else {
		d.ok("secret key", "there, and readable by its owner only")
	}
	if err := d.database(ctx, f); err != nil {
		return err
	}
	if !f.offline {
		d.platforms(ctx)
	}
	return d.verdict()
}

// checkup collects findings.
type checkup struct {
	out  io.Writer
	conf Config
	sick bool
}

func (d *checkup) line(mark, what, says string) {
	fmt.Fprintf(d.out, "%-5s %s: %s\n", mark, what, says)
}
func (d *checkup) ok(what, says string)   { d.line("ok", what, says) }
func (d *checkup) warn(what, says string) { d.line("warn", what, says) }
func (d *checkup) bad(what, says string)  { d.sick = true; d.line("BAD", what, says) }

func (d *checkup) verdict() error {
	if d.sick {
		return errFound
	}
	return nil
}

// live asks the running server. A container's health check calls it.
func (d *checkup) live(ctx context.Context) {
	host, port, err := net.SplitHostPort(d.conf.Listen)
	if err != nil {
		d.bad("listen", err.Error())
		return
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	at := (&url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: "/readyz"}).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		d.bad("server", err.Error())
		return
	}
	res, err := httpx.New(httpx.Options{Timeout: 3 * time.Second, AllowPrivate: true}).Do(req)
	if err != nil {
		d.bad("server", "does not answer at "+at)
		return
	}
	body, err := httpx.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		d.bad("server", "cannot take work: "+strings.TrimSpace(string(body)))
		return
	}
	d.ok("server", "takes work")
}

func (d *checkup) database(ctx context.Context, f doctorFlags) error {
	db, err := openDatabase(ctx, d.conf)
	if errors.Is(err, sqldb.ErrLocked) {
		d.ok("database", "is in use by a server that runs here; stop it to look inside")
		if f.verify || f.resend != "" {
			d.bad("database", "--verify and --resend need the SQLite file for themselves; stop the server first")
		}
		d.live(ctx)
		return nil
	}
	if err != nil {
		d.bad("database", err.Error())
		return nil
	}
	defer func() {
		if err := db.Close(); err != nil {
			d.warn("database", err.Error())
		}
	}()
	have, want, err := migrations.Version(ctx, db)
	switch {
	case err != nil:
		d.bad("database", err.Error())
		return nil
	case have > want:
		d.bad("schema", fmt.Sprintf("is version %d, this program knows %d; use the newer program", have, want))
		return nil
	case have < want:
		d.warn("schema", fmt.Sprintf("is version %d; paidan migrate, or the next start, brings it to %d", have, want))
		return nil
	}
	d.ok("schema", fmt.Sprintf("version %d", have))
	if err := db.Check(ctx); err != nil {
		d.bad("database", err.Error())
	} else {
		d.ok("database", "sound")
	}
	return d.core(ctx, db, f)
}

func (d *checkup) core(ctx context.Context, db *sqldb.DB, f doctorFlags) error {
	clk := clock.New()
	queue, err := jobs.New(db, clk, nil, jobs.Options{})
	if err != nil {
		return err
	}
	svc, outbox := tickets.NewService(db, queue, slog.New(slog.DiscardHandler)), tickets.NewOutbox(db, queue)
	if f.verify {
		switch v, err := svc.VerifyAll(ctx); {
		case errors.Is(err, tickets.ErrChain):
			d.bad("audit", err.Error())
		case err != nil:
			return err
		default:
			d.ok("audit", fmt.Sprintf("%d tickets, %d events, %d anchors: every chain holds", v.Tickets, v.Events, v.Anchors))
		}
	}
	now := tickets.At(clk.Now())
	oldest, dead, err := outbox.Backlog(ctx, now)
	if err != nil {
		return err
	}
	if oldest > time.Minute {
		d.warn("outbox", fmt.Sprintf("the oldest message has waited for %s; is a server running?", oldest.Round(time.Second)))
	} else {
		d.ok("outbox", "nothing waits for long")
	}
	return d.deadLetters(ctx, outbox, dead, f.resend, now)
}

// deadLetters lists what was given up, and tries again what it is told to.
func (d *checkup) deadLetters(ctx context.Context, outbox *tickets.Outbox, count int, resend string, now tickets.Time) error {
	if count == 0 {
		d.ok("dead letters", "none")
		return nil
	}
	d.warn("dead letters", fmt.Sprintf("%d messages were given up; paidan doctor --resend ID tries one again", count))
	letters, err := outbox.DeadLetters(ctx, 50)
	if err != nil {
		return err
	}
	found := false
	for _, l := range letters {
		d.line("", l.ID, fmt.Sprintf("%s to %s, ticket %s, %d attempts: %s", l.Kind, l.Lane, l.Ticket, l.Attempts, l.Error))
		if resend == "all" || resend == l.ID {
			found = true
			if _, err := outbox.Resend(ctx, l.ID, now); err != nil {
				return err
			}
			d.ok(l.ID, "will be tried again")
		}
	}
	if resend != "" && !found {
		d.bad("dead letters", "there is none with the id "+resend+" among the newest 50")
	}
	return nil
}

func (d *checkup) platforms(ctx context.Context) {
	shelf, done := d.shelves(ctx)
	defer done()
	client := httpx.New(httpx.Options{Timeout: 10 * time.Second, AllowHosts: d.conf.localAPIs(), MaxBody: -1})
	installs, err := adapters.Build(d.conf.installs(), func(i bot.Install) bot.Deps {
		return bot.Deps{HTTP: client, Log: slog.New(slog.DiscardHandler), Now: time.Now, Shelf: shelf(i)}
	})
	if err != nil {
		d.bad("platforms", err.Error())
		return
	}
	order := slices.SortedFunc(maps.Keys(installs), func(a, b bot.Install) int { return strings.Compare(a.String(), b.String()) })
	for _, i := range order {
		c, ok := installs[i].(bot.Checker)
		if !ok {
			continue
		}
		for _, f := range c.Check(ctx) {
			if d.conf.PublicURL != "" {
				f.Says = strings.ReplaceAll(f.Says, "<public_url>", strings.TrimSuffix(d.conf.PublicURL, "/"))
			}
			switch {
			case f.OK:
				d.ok(f.What, f.Says)
			case f.Warn:
				d.warn(f.What, f.Says)
			default:
				d.bad(f.What, f.Says)
			}
		}
	}
}

// shelves are what installs have noted in the database, where that can be looked
// into: SQLite is not while a server has it.
func (d *checkup) shelves(ctx context.Context) (of func(bot.Install) bot.Shelf, done func()) {
	nothing := func(bot.Install) bot.Shelf { return bot.NoShelf{} }
	db, err := openDatabase(ctx, d.conf)
	if err != nil { // it has been told
		return nothing, func() {}
	}
	done = func() {
		if err := db.Close(); err != nil {
			d.warn("database", err.Error())
		}
	}
	if have, want, err := migrations.Version(ctx, db); err != nil || have != want {
		return nothing, done
	}
	return func(i bot.Install) bot.Shelf { return tickets.NewShelf(db, i.String(), time.Now) }, done
}
