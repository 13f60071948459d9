package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"github.com/paidan/paidan/adapters"
	"github.com/paidan/paidan/adapters/playground"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/httpx"
	"github.com/paidan/paidan/internal/jobs"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/migrations"
	"github.com/paidan/paidan/tickets"
)

// drainTime is how long work in hand gets after the signal to stop.
const drainTime = 20 * time.Second

// sendingTime is the part of it that messages under way to a platform get.
const sendingTime = 10 * time.Second

// serve runs everything until ctx ends. It is one straight function: whatever is
// started is followed by how it is stopped, and stopping runs backwards.
func (p *program) serve(ctx context.Context) (err error) {
	conf, err := p.load()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(p.stderr, nil))
	for _, w := range conf.Warnings() {
		log.Warn("configuration", "key", w.Key, "says", w.String())
	}
	var stops []func(context.Context) error
	onStop := func(f func(context.Context) error) { stops = append(stops, f) }
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		for i := len(stops) - 1; i >= 0; i-- {
			err = errors.Join(err, stops[i](stopping))
		}
	}()

	key, err := LoadSecretKey(conf)
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, conf)
	if err != nil {
		return err
	}
	onStop(func(context.Context) error { return db.Close() })
	if err := migrations.Up(ctx, db); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}

	clk := p.clock
	if clk == nil {
		clk = clock.New()
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := bot.NewMetrics(reg)
	workers := river.NewWorkers()
	queue, err := jobs.New(db, clk, workers, jobs.Options{Queues: bot.Queues, Periodic: bot.Periodic(), Logger: log})
	if err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	svc := tickets.NewService(db, queue, log)
	outbox := tickets.NewOutbox(db, queue)
	if err := svc.Configure(ctx, conf.Setup(), clk.Now()); err != nil {
		return fmt.Errorf("configure: %w", err)
	}

	in := conf.installs()
	if conf.PlaygroundOn() {
		if err := restoreClock(ctx, svc, clk); err != nil {
			return err
		}
		in.Playground = map[string]playground.Config{"default": {
			DB: db, Clock: &keptClock{Clock: clk, svc: svc, log: log}, Secret: purposeKey(key, "playground"), Log: log,
			Lang: cards.LangOf(conf.Locale), Zone: conf.Timezone, Public: conf.Playground == "on",
		}}
	}
	outgoing := httpx.New(httpx.Options{Timeout: 15 * time.Second, AllowHosts: conf.localAPIs(), MaxBody: -1})
	var b *bot.Bot // made below; nobody raises an alarm before that
	installs, err := adapters.Build(in, func(i bot.Install) bot.Deps {
		return bot.Deps{
			HTTP: outgoing, Log: log, Now: time.Now, Shelf: tickets.NewShelf(db, i.String(), clk.Now),
			Alarm: func(ctx context.Context, a bot.Alarm) { b.Alarm(ctx, i, a) },
		}
	})
	if err != nil {
		return err
	}

	holder := processName()
	b = bot.New(bot.Config{
		Tickets: svc, Outbox: outbox, Sealer: bot.NewSealer(key), Now: clk.Now, Zone: conf.Zone(), Lang: cards.LangOf(conf.Locale),
		Log: log, Metrics: metrics, Holder: holder,
	})
	for i, a := range installs {
		b.Add(i, a)
		if pr, ok := a.(bot.Preparer); ok {
			if err := prepare(ctx, pr); err != nil {
				if errors.Is(err, bot.ErrUnauthorized) {
					return fmt.Errorf("%s: %w", i, err)
				}
				log.Warn("platform was not reached, trying again when it is needed", "install", i.String(), "err", err)
			}
		}
	}
	b.AddWorkers(workers)
	if db.SQLite() {
		holder = "" // nobody else can have the file: all leases are of the dead
	}
	if err := outbox.Free(ctx, holder); err != nil {
		return fmt.Errorf("free lanes: %w", err)
	}
	if err := queue.Start(ctx); err != nil {
		return fmt.Errorf("start jobs: %w", err)
	}
	onStop(func(ctx context.Context) error {
		b.Leave()
		b.Wait()
		ctx, cancel := context.WithTimeout(ctx, sendingTime)
		defer cancel()
		if err := queue.Stop(ctx); err != nil { // what was cut short is done again, by whoever comes next
			log.Warn("jobs were cut short", "err", err)
		}
		return nil
	})

	if conf.PlaygroundOn() {
		if err := seed(ctx, svc, b, clk, conf); err != nil {
			return fmt.Errorf("seed the playground: %w", err)
		}
	}

	gateway := &bot.Gateway{Installs: installs, Sink: b.Dispatch, Now: time.Now, Log: log, Metrics: metrics, AtOnce: 256}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Tend(running) })
	streaming, stopStreams := context.WithCancel(running)
	for i, a := range installs {
		if s, ok := a.(bot.Streamer); ok && conf.streams(i) {
			group.Go(func() error {
				err := s.Stream(streaming, func(ctx context.Context, w http.ResponseWriter, r bot.Raw) error {
					return gateway.Frame(ctx, i, w, r)
				})
				if err != nil && streaming.Err() == nil {
					// One install that is refused must not take the others down.
					log.Error("connection ended for good; mend it and start again", "install", i.String(), "err", err)
				}
				return nil
			})
		}
	}
	onStop(func(context.Context) error { stopStreams(); return group.Wait() })

	mux := http.NewServeMux()
	mux.Handle("/hooks/", gateway.Handler())
	ready := readiness(db)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", ready)
	pg, ok := installs[bot.Install{Platform: "playground", Name: "default"}].(*playground.Adapter)
	if ok {
		mux.Handle("/playground/", pg.Handler())
		mux.Handle("GET /{$}", http.RedirectHandler("/playground/", http.StatusFound))
	}
	stop, addr, err := listen(group, conf.Listen, mux)
	if err != nil {
		return err
	}
	onStop(stop)
	if pg != nil { // before the server waits for its requests to end: live pages never do by themselves
		onStop(func(context.Context) error { pg.Close(); return nil })
	}
	if conf.OpsListen != "" {
		stop, _, err := listen(group, conf.OpsListen, opsPages(reg, ready))
		if err != nil {
			return fmt.Errorf("ops_listen: %w", err)
		}
		onStop(stop)
	}

	if err := p.greet(ctx, svc, conf, addr, clk); err != nil {
		return err
	}
	if p.started != nil {
		p.started(serving{at: addr, db: db, bot: b, metrics: reg})
	}
	<-running.Done()
	log.Info("stopping")
	return nil
}

// serving is what a test of the whole program looks into while it runs.
type serving struct {
	at      net.Addr
	db      *sqldb.DB
	bot     *bot.Bot
	metrics prometheus.Gatherer
}

// greet prints the line that a newcomer needs, and the code of the first admin.
func (p *program) greet(ctx context.Context, svc *tickets.Service, conf Config, addr net.Addr, clk *clock.Clock) error {
	where := "http://" + addr.String()
	if _, port, err := net.SplitHostPort(addr.String()); err == nil && (loopbackHostPort(conf.Listen) || everywhere(addr)) {
		where = "http://localhost:" + port
	}
	if conf.PublicURL != "" {
		where = conf.PublicURL
	}
	line := "Paidan 派单 is ready: " + where
	if conf.PlaygroundOn() {
		line += "/playground/"
	}
	fmt.Fprintln(p.stdout, line)
	code, err := svc.NewAdminCode(ctx, clk.Now())
	if err != nil {
		return err
	}
	if code != "" {
		fmt.Fprintf(p.stdout, "No admin yet. Send this to the bot in a private chat within 15 minutes: 管理员 %s\n", code)
	}
	return nil
}

// everywhere reports whether the server listens on all addresses of the machine.
func everywhere(addr net.Addr) bool {
	a, ok := addr.(*net.TCPAddr)
	return ok && a.IP.IsUnspecified()
}

func (p *program) migrate(ctx context.Context) error {
	conf, err := p.load()
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, conf)
	if err != nil {
		return err
	}
	if err := migrations.Up(ctx, db); err != nil {
		return errors.Join(fmt.Errorf("migrate: %w", err), db.Close())
	}
	have, _, err := migrations.Version(ctx, db)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	fmt.Fprintf(p.stdout, "schema version %d\n", have)
	return db.Close()
}

// openDatabase opens what is configured; with nothing configured, a SQLite file
// in the data folder.
func openDatabase(ctx context.Context, conf Config) (*sqldb.DB, error) {
	address := conf.DatabaseURL.Reveal()
	if address == "" {
		if err := EnsureDataDir(conf); err != nil {
			return nil, err
		}
		dir, err := filepath.Abs(conf.DataDir)
		if err != nil {
			return nil, fmt.Errorf("data_dir: %w", err)
		}
		address = (&url.URL{Scheme: "sqlite", Path: filepath.Join(dir, "paidan.db")}).String()
	}
	db, err := sqldb.Open(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("database_url: %w", err)
	}
	return db, nil
}

// Setup is the core's part of the configuration.
func (c Config) Setup() tickets.Setup {
	lanes := func(refs []Ref) (out []string) {
		for _, r := range refs {
			out = append(out, bot.To(r.Conv()).Lane())
		}
		return out
	}
	accounts := func(refs []Ref) (out []string) {
		for _, r := range refs {
			out = append(out, r.User().String())
		}
		return out
	}
	s := tickets.Setup{Admins: accounts(c.Admins)}
	for _, d := range c.Desks {
		s.Desks = append(s.Desks, tickets.DeskSetup{
			Desk: d.Desk, Intake: lanes(d.Intake), Triage: lanes(d.Triage), Agents: accounts(d.Agents), Leads: accounts(d.Leads),
		})
	}
	for _, p := range c.People {
		s.People = append(s.People, tickets.PersonSetup{Name: p.Name, Email: p.Email, Phone: p.Phone, Accounts: accounts(p.Accounts)})
	}
	return s
}

func prepare(ctx context.Context, p bot.Preparer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return p.Prepare(ctx)
}

// processName tells this process from the others that share the database, and
// from the one that ran under the same number before.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	return fmt.Sprintf("%s:%d:%d", strings.ReplaceAll(host, "/", "-"), os.Getpid(), time.Now().UnixNano())
}

func alive(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// readiness answers whether work can be taken: the database is reached and its
// schema is ours.
func readiness(db *sqldb.DB) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		have, want, err := migrations.Version(ctx, db)
		switch {
		case err != nil:
			http.Error(w, "database is not reached", http.StatusServiceUnavailable)
		case have != want:
			http.Error(w, fmt.Sprintf("schema is %d, not %d", have, want), http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "ready")
		}
	}
}

func opsPages(reg *prometheus.Registry, ready http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", ready)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// listen serves h on addr and returns how to stop it.
func listen(group *errgroup.Group, addr string, h http.Handler) (stop func(context.Context) error, at net.Addr, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	group.Go(func() error {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", addr, err)
		}
		return nil
	})
	return s.Shutdown, l.Addr(), nil
}
