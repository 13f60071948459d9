package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/jobs"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/migrations"
	"github.com/paidan/paidan/tickets"
)

// Lists is how long people wait for lists among many tickets.
type Lists struct {
	Database string             `json:"database"`
	Tickets  int                `json:"tickets"`
	Made     float64            `json:"made_in_s"`
	Worst    float64            `json:"worst_p95_ms"`
	By       map[string]Latency `json:"by_list"`
}

// Out of the texts below this many tickets are really opened; the rest are
// their copies, numbers, states and times varied.
const listSources = 400

var (
	listThings = strings.Fields("打印机 邮箱 VPN ERP 共享盘 投影仪 门禁 考勤 报销 显示器 键盘 无线网 电话 视频会议 合同 发票 工资条 账号 磁盘 备份")
	listFaults = strings.Fields("登录不了 连不上 脱机 没有权限 报错 很慢 密码过期 蓝屏 丢失 重复扣款 无法打印 卡住 断线 打不开 要开通 要迁移 要续期 要换新 收不到 发不出")
)

func (b *bench) lists(ctx context.Context) (any, error) {
	n := b.tickets
	if n == 0 {
		n = defaultTickets
	}
	var all []Lists
	for _, d := range b.databases {
		l, err := b.listsOn(ctx, d, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		b.say("%s: worst p95 %.1f ms among %d tickets, load %s", d, l.Worst, n, loadAverage())
		all = append(all, l)
	}
	return all, nil
}

func (b *bench) listsOn(ctx context.Context, database string, n int) (l Lists, err error) {
	l = Lists{Database: database, Tickets: n, By: map[string]Latency{}}
	st, err := b.newStore(ctx, database)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	begin := time.Now()
	a := &archive{tokens: map[int64]string{}}
	db, err := sqldb.Open(sqldb.Traced(ctx, a.told), st.template())
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	svc, err := a.fill(ctx, db, n)
	if err != nil {
		return l, fmt.Errorf("make tickets: %w", err)
	}
	l.Made = time.Since(begin).Seconds()
	agent, err := svc.ActorOf(ctx, listAgent(1))
	if err != nil {
		return l, err
	}
	asker, err := svc.ActorOf(ctx, listAsker(1))
	if err != nil {
		return l, err
	}
	const rows = 20
	list := func(f func() (int, error)) func() error {
		return func() error { _, err := f(); return err }
	}
	search := func(who tickets.Actor, words string) func() error {
		return list(func() (int, error) { r, _, err := svc.Search(ctx, who, words, rows); return len(r), err })
	}
	for name, f := range map[string]func() error{
		"queue":                list(func() (int, error) { r, _, err := svc.Queue(ctx, agent, rows); return len(r), err }),
		"mine":                 list(func() (int, error) { r, _, err := svc.Mine(ctx, agent, rows); return len(r), err }),
		"overdue":              list(func() (int, error) { r, _, err := svc.Overdue(ctx, agent, rows, time.Now()); return len(r), err }),
		"asked by me":          list(func() (int, error) { r, _, err := svc.Mine(ctx, asker, rows); return len(r), err }),
		"by number":            func() error { _, err := svc.Find(ctx, agent, 1+rand.Int64N(int64(n))); return ignoreRefusal(err) },
		"search, one word":     search(agent, "打印机"),
		"search, two words":    search(agent, "打印机 脱机"),
		"search, rare":         search(agent, "SN-000123"),
		"search, nothing":      search(agent, "量子纠缠仪"),
		"search, by asker":     search(asker, "打印机"),
		"search, asker, never": search(asker, "量子纠缠仪"),
	} {
		took, err := repeat(time.Duration(b.seconds)*time.Second/10, f)
		if err != nil {
			return l, fmt.Errorf("%s: %w", name, err)
		}
		l.By[name] = latency(took)
		l.Worst = max(l.Worst, l.By[name].P95)
	}
	return l, nil
}

func ignoreRefusal(err error) error {
	if tickets.CodeOf(err) != "" {
		return nil
	}
	return err
}

// repeat does f at most 300 times, after three that do not count, for as long
// as it may take.
func repeat(most time.Duration, f func() error) (took []time.Duration, err error) {
	for end := time.Now().Add(most); len(took) < 303 && (len(took) < 23 || time.Now().Before(end)); {
		begin := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	return took[3:], nil
}

func listAgent(i int) string { return fmt.Sprintf("bench/one/agent%d", i) }
func listAsker(i int) string { return fmt.Sprintf("bench/one/asker%d", i) }

// archive is a database full of tickets.
type archive struct {
	mu     sync.Mutex       // guards tokens
	tokens map[int64]string // what each really opened ticket is found by
}

// told keeps what the service writes into its search index: SQLite's is of a
// kind that cannot be read back.
func (a *archive) told(s sqldb.Statement) {
	if !strings.Contains(s.SQL, "INTO search") || len(s.Args) != 2 {
		return
	}
	number, ok1 := s.Args[0].Value.(int64)
	tokens, ok2 := s.Args[1].Value.(string)
	if !ok1 || !ok2 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens[number] = tokens
}

func (a *archive) fill(ctx context.Context, db *sqldb.DB, n int) (*tickets.Service, error) {
	if err := migrations.Up(ctx, db); err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	queue, err := jobs.New(db, clock.New(), nil, jobs.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	svc := tickets.NewService(db, queue, log)
	if err := a.open(ctx, svc); err != nil {
		return nil, err
	}
	return svc, a.copy(ctx, db, n)
}

// open has the sources opened by the service, at four desks by forty people.
func (a *archive) open(ctx context.Context, svc *tickets.Service) error {
	now := time.Now()
	var setup tickets.Setup
	for d := range 4 {
		desk := tickets.DeskSetup{Desk: tickets.Desk{Key: tickets.DeskKey(fmt.Sprintf("desk%d", d)), Name: "服务台"}, Triage: []string{fmt.Sprintf("bench/one/C%d", d)}}
		for i := range 10 {
			if i%4 == d || i%4 == (d+1)%4 { // everybody works at two desks
				desk.Agents = append(desk.Agents, listAgent(i))
			}
		}
		setup.Desks = append(setup.Desks, desk)
	}
	if err := svc.Configure(ctx, setup, now); err != nil {
		return err
	}
	for i := range 40 {
		if _, err := svc.EnsureAccount(ctx, tickets.Profile{Account: listAsker(i), Name: fmt.Sprintf("王%d", i)}, now); err != nil {
			return err
		}
	}
	for k := range listSources {
		thing, fault := listThings[k%len(listThings)], listFaults[k/len(listThings)%len(listFaults)]
		_, err := svc.Do(ctx, tickets.Request{
			Once: fmt.Sprintf("bench-%d", k), Account: listAsker(k * 7 % 40), Now: now, Via: "bench/one/help",
			Command: tickets.Open{Desk: tickets.DeskKey(fmt.Sprintf("desk%d", k%4)), Title: thing + fault, Body: fmt.Sprintf("从今天早上起%s%s，重启过也不行。资产编号 SN-%06d。", thing, fault, k)},
			Origin:  tickets.Origin{Lane: "bench/one/help", Thread: fmt.Sprint(k)},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copy multiplies the sources: of a hundred, one is new, three are being worked
// on, and the rest is history, spread over a year.
func (a *archive) copy(ctx context.Context, db *sqldb.DB, n int) error {
	var last int64
	if err := db.Get(ctx, &last, `SELECT max(number) FROM tickets`); err != nil {
		return err
	}
	err := db.Tx(ctx, func(tx *sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `CREATE TABLE bench_tokens (number BIGINT PRIMARY KEY, tokens TEXT NOT NULL)`); err != nil {
			return err
		}
		for number, tokens := range a.tokens {
			if _, err := tx.Exec(ctx, `INSERT INTO bench_tokens (number, tokens) VALUES (?, ?)`, number, tokens); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	const step = 50_000 // a statement may take a quarter of a minute
	index := `INSERT INTO search (number, tokens) SELECT t.number, cast(b.tokens as tsvector)`
	if db.SQLite() {
		index = `INSERT INTO search (rowid, tokens) SELECT t.number, b.tokens`
	}
	for from := 0; from < n-listSources; from += step {
		to := min(from+step, n-listSources)
		counter := fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, from+1, to)
		fresh := fmt.Sprintf(`'%s' || (%d + i)`, ticketPrefix, firstID)
		source := fmt.Sprintf(`%d + 1 + i %% %d`, last-listSources, listSources)
		age := fmt.Sprintf(`(cast(%d - i as bigint) * 31000000)`, n) // 31 s apart: a million make a year
		err := db.Tx(ctx, func(tx *sqldb.Tx) error {
			for _, q := range []string{
				`INSERT INTO tickets (id, desk, status, priority, owner, requester, title, created, changed, due, version, head, doc) ` + counter + `SELECT ` + fresh + `, desk,
					CASE WHEN i % 97 = 0 THEN 'new' WHEN i % 97 < 4 THEN 'active' ELSE 'archived' END, 1 + i % 4,
					CASE WHEN i % 97 BETWEEN 1 AND 3 THEN (SELECT person FROM accounts WHERE ref = 'bench/one/agent' || (i % 10)) ELSE '' END,
					requester, title, created - ` + age + `, changed - ` + age + `,
					CASE WHEN i % 97 < 4 THEN changed - ` + age + ` + 86400000000 ELSE 0 END, version, head, replace(doc, t.id, ` + fresh + `)
					FROM n JOIN tickets t ON t.number = ` + source + ` ORDER BY i`,
				`INSERT INTO events (ticket_id, seq, kind, actor, via, at, once, facts, words, salt, digest, prev, hash) ` + counter + `SELECT ` + fresh + `, seq, e.kind, e.actor, e.via, e.at - ` + age + `, e.once, e.facts, e.words, e.salt, e.digest, e.prev, e.hash
					FROM n JOIN tickets t ON t.number = ` + source + ` JOIN events e ON e.ticket_id = t.id ORDER BY i`,
				counterBefore(index, counter) + ` FROM n JOIN tickets t ON t.id = ` + fresh + ` JOIN bench_tokens b ON b.number = ` + source + ` ORDER BY i`,
			} {
				if _, err := tx.Exec(ctx, q); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	analyze := `ANALYZE`
	if !db.SQLite() {
		analyze = `VACUUM ANALYZE` // as the server does by itself after a while
	}
	if _, err := db.Writer().ExecContext(ctx, `DROP TABLE bench_tokens`); err != nil {
		return err
	}
	_, err = db.Writer().ExecContext(ctx, analyze)
	return err
}

// counterBefore puts the counter where both databases take it: after INSERT INTO.
func counterBefore(insert, counter string) string {
	return strings.Replace(insert, " SELECT ", " "+counter+"SELECT ", 1)
}
