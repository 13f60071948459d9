package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/jobs"
	"github.com/paidan/paidan/internal/pgtest"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
)

// ClickRound is one round: the database alone, then the program, each on a fresh
// copy of the same data.
type ClickRound struct {
	Bare      float64 `json:"bare_tx_per_s"`
	Clicks    float64 `json:"clicks_per_s"`
	Ratio     float64 `json:"ratio"`
	Latency   Latency `json:"latency"`
	Refreshed int64   `json:"cards_refreshed_meanwhile"`
	Failed    int     `json:"failed"`
	ServerCPU float64 `json:"server_cpu_ms_per_click"` // what the cards shown meanwhile took is in it
	LoadCPU   float64 `json:"load_cpu_ms_per_click"`   // of those who click, and of the emulator
	Memory    Memory  `json:"memory"`
}

// Clicks is what came of the clicks on one database.
type Clicks struct {
	Database   string       `json:"database"`
	Clients    int          `json:"clients"`
	Tickets    int          `json:"tickets"`
	Bare       string       `json:"bare"`       // how the database alone was driven
	Statements int          `json:"statements"` // of one claim, with BEGIN and COMMIT
	Ratio      float64      `json:"median_ratio"`
	P99        float64      `json:"median_p99_ms"`
	Rounds     []ClickRound `json:"rounds"`
}

func (b *bench) clicks(ctx context.Context) (any, error) {
	var all []Clicks
	for _, d := range b.databases {
		c, err := b.clicksOn(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func (b *bench) clicksOn(ctx context.Context, database string) (c Clicks, err error) {
	c = Clicks{Database: database, Clients: b.clients, Tickets: b.tickets, Bare: "pgbench --protocol=simple, same server"}
	if c.Tickets == 0 {
		c.Tickets = 8000
	}
	if c.Clients == 0 {
		c.Clients = 16
		if database == "sqlite" {
			c.Clients = 64
		}
	}
	c.Tickets -= c.Tickets % c.Clients
	if database == "sqlite" {
		c.Bare = "one loop of database/sql with prepared statements, same settings"
	}
	space, err := newWorkspace("default", 1, c.Clients, 4)
	if err != nil {
		return c, err
	}
	w, err := newWorld(space)
	if err != nil {
		return c, err
	}
	defer w.close()
	store, err := b.newStore(ctx, database)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, store.close()) }()

	button, err := b.prepare(ctx, w, store, c.Tickets)
	if err != nil {
		return c, fmt.Errorf("prepare: %w", err)
	}
	claim, err := b.record(ctx, w, store)
	if err != nil {
		return c, fmt.Errorf("record a claim: %w", err)
	}
	c.Statements = len(claim) + 2
	var ratios, p99 []float64
	for i := range b.rounds {
		r, err := b.clickRound(ctx, w, store, button, claim, c, i)
		if err != nil {
			return c, err
		}
		b.say("%s round %d: bare %.0f tx/s, %.0f clicks/s (%.0f %%), p99 %.1f ms, CPU ms a click: server %.2f, load %.2f; load %s", database, i+1, r.Bare, r.Clicks, 100*r.Ratio, r.Latency.P99, r.ServerCPU, r.LoadCPU, loadAverage())
		c.Rounds = append(c.Rounds, r)
		ratios, p99 = append(ratios, r.Ratio), append(p99, r.Latency.P99)
	}
	c.Ratio, c.P99 = median(ratios), median(p99)
	return c, nil
}

// store makes databases: fresh copies of one that was prepared.
type store interface {
	template() string                                      // address of the one that is prepared
	copy(ctx context.Context, name string) (string, error) // address of a copy of it
	// bare runs the recorded act for each ticket, as fast as the database alone
	// can, and returns how many a second were committed.
	bare(ctx context.Context, address string, act []sqldb.Statement, clients, tickets int) (float64, error)
	close() error
}

func (b *bench) newStore(ctx context.Context, database string) (store, error) {
	if database == "sqlite" {
		return &sqliteStore{b: b, file: b.path("template.db")}, nil
	}
	server, err := pgtest.Start(ctx, pgtest.Durable())
	if err != nil {
		return nil, err
	}
	dsn, err := server.DB(ctx, "")
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return &postgresStore{b: b, server: server, dsn: dsn}, nil
}

// prepare lets the real server open one ticket in the real way, shows it in the
// workspace, and then multiplies its rows.
func (b *bench) prepare(ctx context.Context, w *world, st store, n int) (button *slacktest.Clicks, err error) {
	space := w.spaces[0]
	desk := space.desks[0]
	arrived := make(chan slacktest.Arrival, 1024)
	space.slack.OnArrival(func(a slacktest.Arrival) { arrived <- a })
	s, err := b.serveChild(ctx, "prepare", func(listen, ops, data string) ([]byte, error) { return w.config(listen, ops, data, st.template()) })
	if err != nil {
		return nil, err
	}
	space.slack.Deliver(s.hook(space))
	_, answers := space.slack.Mention(space.requesters[0], desk.intake, "", "建单 财务共享盘打不开\n昨天还可以，今天提示没有权限。")
	for _, a := range answers {
		if !a.OK() {
			return nil, errors.Join(fmt.Errorf("open a ticket: status %d, %w\n%s", a.Status, a.Err, s.log), s.kill())
		}
	}
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	card := ""
	for seen := 0; seen < 2; {
		select {
		case a := <-arrived:
			if a.Channel == desk.triage {
				card = a.Channel + "/" + a.TS
			}
			seen++
		case <-late.C:
			return nil, errors.Join(fmt.Errorf("the ticket was not shown in both groups\n%s", s.log), s.kill())
		}
	}
	space.slack.OnArrival(func(slacktest.Arrival) {})
	for _, u := range space.agents { // each does something once, so that he is known
		for _, a := range space.slack.OpenHome(u) {
			if !a.OK() {
				return nil, errors.Join(fmt.Errorf("agent is not known: status %d", a.Status), s.kill())
			}
		}
	}
	if button, err = space.slack.Clicks(card, claimLabel); err != nil { // before the card changes
		return nil, errors.Join(err, s.kill())
	}
	if err := s.stop(); err != nil {
		return nil, err
	}
	return button, multiply(ctx, st.template(), n)
}

// ticketID is the id of the n-th copy of the first ticket, from 1. Their last
// twelve digits count, so that any client can name its own.
func ticketID(n int) string { return fmt.Sprintf("%s%d", ticketPrefix, firstID+n) }

const (
	ticketPrefix = "00000000-0000-7000-8000-"
	firstID      = 100_000_000_000
)

// multiply copies the one ticket that is there n times, with its events and places.
func multiply(ctx context.Context, address string, n int) (err error) {
	db, err := sqldb.Open(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.Tx(ctx, func(tx *sqldb.Tx) error {
		var id string
		if err := tx.Get(ctx, &id, `SELECT id FROM tickets`); err != nil {
			return fmt.Errorf("find the first ticket: %w", err)
		}
		const counter = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `
		fresh := `'` + ticketPrefix + `' || (` + strconv.Itoa(firstID) + ` + i)`
		for _, q := range []string{
			`INSERT INTO tickets (id, desk, status, priority, owner, requester, title, created, changed, due, version, head, doc) ` + counter +
				`SELECT ` + fresh + `, desk, status, priority, owner, requester, title, created, changed, due, version, head, replace(doc, '` + id + `', ` + fresh + `) FROM tickets, n WHERE id = '` + id + `' ORDER BY i`,
			`INSERT INTO events (ticket_id, seq, kind, actor, via, at, once, facts, words, salt, digest, prev, hash) ` + counter +
				`SELECT ` + fresh + `, seq, kind, actor, via, at, once, facts, words, salt, digest, prev, hash FROM events, n WHERE ticket_id = '` + id + `' ORDER BY i`,
			`INSERT INTO places (id, ticket_id, lane, thread, audience, ref, root, shown, hash, gone, created) ` + counter +
				`SELECT ` + fresh + ` || '.' || audience, ` + fresh + `, lane, thread, audience, ref, root, shown, hash, gone, created FROM places, n WHERE ticket_id = '` + id + `' ORDER BY i`,
		} {
			if _, err := tx.Exec(ctx, fmt.Sprintf(q, n)); err != nil {
				return fmt.Errorf("multiply: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = db.Writer().ExecContext(ctx, `ANALYZE`)
	return err
}

// The recorded claim is of this copy, and under this once-key.
const (
	recordedN    = 1
	recordedOnce = "bench-click"
)

// record does one claim by the program's own service and returns the statements
// of its transaction.
func (b *bench) record(ctx context.Context, w *world, st store) (act []sqldb.Statement, err error) {
	address, err := st.copy(ctx, "record")
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards act and on
	on := false
	traced := sqldb.Traced(ctx, func(s sqldb.Statement) {
		mu.Lock()
		defer mu.Unlock()
		if on && !strings.HasPrefix(s.SQL, "SAVEPOINT") && !strings.HasPrefix(s.SQL, "RELEASE") {
			act = append(act, s)
		}
	})
	db, err := sqldb.Open(traced, address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	log := slog.New(slog.DiscardHandler)
	// With the queues of a server, though none is started: who works no queue
	// tells others of each job, which a server does not.
	workers := river.NewWorkers()
	queue, err := jobs.New(db, clock.New(), workers, jobs.Options{Queues: bot.Queues, Logger: log})
	if err != nil {
		return nil, err
	}
	svc := tickets.NewService(db, queue, log)
	bot.New(bot.Config{Tickets: svc, Log: log, Now: time.Now}).AddWorkers(workers)
	space := w.spaces[0]
	for _, n := range []int{recordedN + 1, recordedN} { // the first one fills the caches
		mu.Lock()
		on = n == recordedN
		mu.Unlock()
		_, err := svc.Do(ctx, tickets.Request{
			Once: recordedOnce, Account: space.install() + "/" + space.agents[0], Ticket: tickets.TicketID(ticketID(n)), Command: tickets.Claim{},
			Via: space.install() + "/" + space.desks[0].triage, Now: time.Now(),
		})
		if err != nil {
			return nil, err
		}
		if _, err := db.Writer().ExecContext(ctx, `DELETE FROM once`); err != nil {
			return nil, err
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return act[:len(act)-1], nil // without our own DELETE
}

func (b *bench) clickRound(ctx context.Context, w *world, st store, button *slacktest.Clicks, claim []sqldb.Statement, c Clicks, round int) (r ClickRound, err error) {
	address, err := st.copy(ctx, fmt.Sprintf("bare%d", round))
	if err != nil {
		return r, err
	}
	if r.Bare, err = st.bare(ctx, address, claim, c.Clients, c.Tickets); err != nil {
		return r, fmt.Errorf("bare: %w", err)
	}
	if address, err = st.copy(ctx, fmt.Sprintf("ours%d", round)); err != nil {
		return r, err
	}
	s, err := b.serveChild(ctx, fmt.Sprintf("clicks%d", round), func(listen, ops, data string) ([]byte, error) { return w.config(listen, ops, data, address) })
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.kill()) }()
	requests, err := w.clickRequests(button, s.address, c)
	if err != nil {
		return r, err
	}
	var refreshed atomic.Int64
	w.spaces[0].slack.OnArrival(func(slacktest.Arrival) { refreshed.Add(1) })
	profiled := b.cpuProfile(ctx, s, fmt.Sprintf("clicks-%s-%d", c.Database, round), 3)

	cpu, ownCPU := s.cpu(), processCPU(os.Getpid())
	begin := time.Now()
	took := make([][]time.Duration, c.Clients)
	var failed atomic.Int64
	var g errgroup.Group
	for i := range c.Clients {
		g.Go(func() error {
			conn, err := net.Dial("tcp", s.address)
			if err != nil {
				return err
			}
			defer conn.Close()
			answers := bufio.NewReader(conn)
			for _, request := range requests[i] {
				sent := time.Now()
				if _, err := conn.Write(request); err != nil {
					return err
				}
				status, err := readAnswer(answers)
				if err != nil {
					return err
				}
				took[i] = append(took[i], time.Since(sent))
				if status != http.StatusOK {
					failed.Add(1)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return r, err
	}
	elapsed := time.Since(begin)
	r.ServerCPU = (s.cpu() - cpu).Seconds() * 1000 / float64(c.Tickets)
	r.LoadCPU = (processCPU(os.Getpid()) - ownCPU).Seconds() * 1000 / float64(c.Tickets)
	r.Refreshed, r.Failed = refreshed.Load(), int(failed.Load())
	if r.Memory, err = s.memory(); err != nil {
		return r, err
	}
	if err := profiled(); err != nil {
		return r, err
	}
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	r.Latency, r.Clicks = latency(all), float64(len(all)-r.Failed)/elapsed.Seconds()
	r.Ratio = r.Clicks / r.Bare
	return r, b.checkClaimed(ctx, st, s, address, c.Tickets, r.Failed)
}

// checkClaimed makes sure that what was answered was done: an answer is 200 as
// well when a click is refused.
func (b *bench) checkClaimed(ctx context.Context, st store, s *benchServer, address string, want, failed int) (err error) {
	if err := s.cmd.Process.Kill(); err != nil { // SQLite's file belongs to one process
		return err
	}
	s.ended <- <-s.ended
	db, err := sqldb.Open(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var claimed, events int
	if err := db.Get(ctx, &claimed, `SELECT count(*) FROM tickets WHERE owner <> ''`); err != nil {
		return err
	}
	if err := db.Get(ctx, &events, `SELECT count(*) FROM events WHERE kind = 'claimed'`); err != nil {
		return err
	}
	if claimed != want-failed || events != claimed {
		return fmt.Errorf("%d clicks were answered, %d tickets are claimed, with %d events\n%.2000s", want-failed, claimed, events, s.log)
	}
	return nil
}

// clickRequests are the bytes of each client's requests: whole, signed, and
// made beforehand, so that making them takes no time from the server.
func (w *world) clickRequests(button *slacktest.Clicks, host string, c Clicks) ([][][]byte, error) {
	space, seal := w.spaces[0], bot.NewSealer(w.key)
	now := time.Now()
	each := c.Tickets / c.Clients
	out := make([][][]byte, c.Clients)
	for i := range out {
		for k := range each {
			n := i*each + k + 1
			token, err := seal.Token(cards.Act{Verb: tickets.VerbClaim, Ticket: tickets.TicketID(ticketID(n)), Version: 1}, space.install())
			if err != nil {
				return nil, err
			}
			body := button.Body(space.agents[i], token, fmt.Sprintf("%d.%06d", now.Unix(), n))
			out[i] = append(out[i], rawRequest(host, "/hooks/"+space.install(), button.Sign(now, body), body))
		}
	}
	return out, nil
}

// claimLabel is the button's text in the emulated workspace's language.
const claimLabel = "接单"

func rawRequest(host, path string, header http.Header, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nUser-Agent: Slackbot 1.0 (+https://api.slack.com/robots)\r\n", path, host, len(body))
	for k, v := range header {
		fmt.Fprintf(&b, "%s: %s\r\n", k, v[0])
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

func readAnswer(r *bufio.Reader) (status int, err error) {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// postgresStore keeps its databases on a throwaway server.
type postgresStore struct {
	b      *bench
	server *pgtest.Server
	dsn    string
}

func (s *postgresStore) template() string { return postgresURL(s.dsn) }

func (s *postgresStore) copy(ctx context.Context, _ string) (string, error) {
	dsn, err := s.server.DB(ctx, pgtest.Name(s.dsn))
	return postgresURL(dsn), err
}

// postgresURL is an address of the form host=… dbname=… as configurations have it.
func postgresURL(dsn string) string {
	if strings.Contains(dsn, "://") {
		return dsn
	}
	u, q := url.URL{Scheme: "postgres", Path: "/" + pgtest.Name(dsn)}, url.Values{}
	for word := range strings.FieldsSeq(dsn) {
		if key, value, _ := strings.Cut(word, "="); key != "dbname" {
			q.Set(key, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func (s *postgresStore) close() error { return s.server.Stop() }

var pgbenchRate = regexp.MustCompile(`tps = ([0-9.]+) \(without initial connection time\)`)

func (s *postgresStore) bare(ctx context.Context, address string, act []sqldb.Statement, clients, n int) (float64, error) {
	script := "\\set benchn " + strconv.Itoa(firstID+1) + " + :client_id * " + strconv.Itoa(n/clients) + " + :benchi\n\\set benchi :benchi + 1\nBEGIN;\n"
	for _, st := range act {
		text, err := pgScript(st)
		if err != nil {
			return 0, err
		}
		script += text + ";\n"
	}
	script += "COMMIT;\n"
	file := s.b.path("claim.sql")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "pgbench", "--no-vacuum", "--protocol=simple", "--client="+strconv.Itoa(clients), "--jobs=2",
		"--transactions="+strconv.Itoa(n/clients), "--define=benchi=0", "--file="+file, address)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	m := pgbenchRate.FindSubmatch(out)
	if m == nil || !bytes.Contains(out, []byte(fmt.Sprintf("number of transactions actually processed: %d/%d", n, n))) {
		return 0, fmt.Errorf("pgbench said:\n%s", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

var placeholder = regexp.MustCompile(`\$[0-9]+`)

// pgScript is a statement with its arguments written into it, and the ticket's
// number and the once-key varied.
func pgScript(st sqldb.Statement) (string, error) {
	var bad error
	text := placeholder.ReplaceAllStringFunc(st.SQL, func(mark string) string {
		i, err := strconv.Atoi(mark[1:])
		if err != nil || i < 1 || i > len(st.Args) {
			bad = fmt.Errorf("statement has no argument %s", mark)
			return mark
		}
		lit, err := pgLiteral(st.Args[i-1].Value)
		if err != nil {
			bad = err
		}
		return lit
	})
	varied := ticketPrefix + ":benchn"
	text = strings.ReplaceAll(text, ticketID(recordedN), varied)
	return strings.ReplaceAll(text, `'`+recordedOnce+`'`, `'`+recordedOnce+`:benchn'`), bad
}

func pgLiteral(v driver.Value) (string, error) {
	switch v := v.(type) {
	case nil:
		return "NULL", nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case bool:
		return strconv.FormatBool(v), nil
	case string:
		return quoteSQL(v), nil
	case []byte:
		return `'\x` + hex.EncodeToString(v) + `'`, nil
	case time.Time:
		return quoteSQL(v.UTC().Format("2006-01-02 15:04:05.999999Z07:00")), nil
	}
	return "", fmt.Errorf("argument of type %T", v)
}

func quoteSQL(s string) string {
	if strings.Contains(s, `\`) {
		return `E'` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `'`, `''`) + `'`
	}
	return `'` + strings.ReplaceAll(s, `'`, `''`) + `'`
}

// sqliteStore keeps its databases as files.
type sqliteStore struct {
	b    *bench
	file string
}

func (s *sqliteStore) template() string { return "sqlite://" + s.file }

func (s *sqliteStore) copy(_ context.Context, name string) (string, error) {
	data, err := os.ReadFile(s.file) // its log was folded in when it was closed
	if err != nil {
		return "", err
	}
	to := s.b.path(name + ".db")
	return "sqlite://" + to, os.WriteFile(to, data, 0o600)
}

func (s *sqliteStore) close() error { return nil }

func (s *sqliteStore) bare(ctx context.Context, address string, act []sqldb.Statement, _, n int) (rate float64, err error) {
	file := strings.TrimPrefix(address, "sqlite://")
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_dqs=0")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var prepared []*sql.Stmt
	for _, st := range act {
		p, err := conn.PrepareContext(ctx, st.SQL)
		if err != nil {
			return 0, fmt.Errorf("prepare %.60q: %w", st.SQL, err)
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		prepared = append(prepared, p)
	}
	begin := time.Now()
	for k := range n {
		if err := bareAct(ctx, conn, prepared, act, k+1); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

func bareAct(ctx context.Context, conn *sql.Conn, prepared []*sql.Stmt, act []sqldb.Statement, n int) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	id, once := ticketID(n), recordedOnce+strconv.Itoa(n)
	for i, st := range act {
		args := make([]any, len(st.Args))
		for k, a := range st.Args {
			args[k] = a.Value
			if a.Name != "" {
				args[k] = sql.Named(a.Name, a.Value)
			}
			if text, ok := a.Value.(string); ok {
				text = strings.ReplaceAll(text, ticketID(recordedN), id)
				if text == recordedOnce {
					text = once
				}
				args[k] = text
			}
		}
		if err := bareStatement(ctx, tx, prepared[i], args); err != nil {
			return errors.Join(fmt.Errorf("%.60q: %w", st.SQL, err), tx.Rollback())
		}
	}
	return tx.Commit()
}

// bareStatement reads all rows, which a statement without rows has none of.
func bareStatement(ctx context.Context, tx *sql.Tx, st *sql.Stmt, args []any) error {
	rows, err := tx.StmtContext(ctx, st).QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	for rows.Next() { // scanned by nobody
	}
	return errors.Join(rows.Err(), rows.Close())
}
