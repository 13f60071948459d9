package tickets

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/paidan/paidan/internal/sqldb"
)

// Bulk fills a database with many tickets for benchmarks and for trying out what
// a grown installation feels like. They come about by the same decisions, events
// and hashes as real ones, so that everything can be read, searched and verified,
// but nobody is told of them and no timer is set.
type Bulk struct {
	Tickets    int
	Desk       DeskKey
	Agents     []PersonID // who work at the desk
	Requesters []PersonID
	Now        time.Time // the newest ticket's; the oldest is two years older
	Seed       uint64    // the same seed makes the same tickets, but for their ids
}

// bulkBatch is how many tickets one transaction holds, bulkRows how many rows
// one statement.
const (
	bulkBatch = 5_000
	bulkRows  = 250
)

// Load makes the tickets. One in fifty is open.
func (s *Service) Load(ctx context.Context, b Bulk) error {
	rnd := rand.New(rand.NewPCG(b.Seed, b.Seed))
	var last int64
	if err := s.db.Get(ctx, &last, `SELECT COALESCE(max(number), 0) FROM tickets`); err != nil {
		return fmt.Errorf("find newest ticket: %w", err)
	}
	for done := 0; done < b.Tickets; done += bulkBatch {
		l := loader{b: b, rnd: rnd}
		for i := done; i < min(done+bulkBatch, b.Tickets); i++ {
			if err := l.add(last+int64(i)+1, i); err != nil {
				return err
			}
		}
		if err := s.db.Tx(ctx, func(tx *sqldb.Tx) error { return l.write(ctx, tx) }); err != nil {
			return fmt.Errorf("load tickets: %w", err)
		}
	}
	if s.db.SQLite() {
		return nil
	}
	return s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		var set int64
		return tx.Get(ctx, &set, `SELECT setval(pg_get_serial_sequence('tickets', 'number'), (SELECT max(number) FROM tickets))`)
	})
}

// loader gathers rows of tickets to be written at once.
type loader struct {
	b       Bulk
	rnd     *rand.Rand
	tickets []*Ticket
	texts   []string
	events  []stored
}

// add makes the i-th ticket: opened, and then as far on its way as chance has it.
func (l *loader) add(number int64, i int) error {
	at := At(l.b.Now.Add(-2 * 365 * 24 * time.Hour)).Add(time.Duration(i) * (2 * 365 * 24 * time.Hour) / time.Duration(l.b.Tickets))
	t := &Ticket{ID: TicketID(uuid.Must(uuid.NewV7()).String()), Desk: l.b.Desk, Number: number}
	desk := Desk{Key: l.b.Desk}
	asker := Actor{Person: pick(l.rnd, l.b.Requesters)}
	agent := Actor{Person: pick(l.rnd, l.b.Agents), Roles: map[DeskKey][]Role{l.b.Desk: {Agent}}}
	acts := []bulkAct{{asker, Open{Desk: l.b.Desk, Title: l.title(), Body: l.body(), Priority: Priority(1 + l.rnd.IntN(4))}}}
	switch fate := l.rnd.IntN(1000); {
	case fate < 4: // nobody has taken it
	case fate < 16:
		acts = append(acts, bulkAct{agent, Claim{}})
	case fate < 20:
		acts = append(acts, bulkAct{agent, Claim{}}, bulkAct{agent, HoldUntil{Customer: true, Reason: "等截图"}})
	default:
		acts = append(acts, bulkAct{agent, Claim{}}, bulkAct{agent, Solve{Text: pick(l.rnd, bulkSolutions)}}, bulkAct{asker, Confirm{}})
	}
	for n, act := range acts {
		d, err := Decide(t, act.command, Scene{Now: at.Add(time.Duration(n) * 20 * time.Minute), Actor: act.actor, Desk: desk})
		if err != nil {
			return fmt.Errorf("make ticket: %w", err)
		}
		e := d.Events[0]
		e.Ticket, e.Seq, e.Once = t.ID, int64(n)+1, "bulk"
		row, err := seal(&e, t.Head)
		if err != nil {
			return err
		}
		Apply(t, e)
		l.events = append(l.events, row)
	}
	l.tickets = append(l.tickets, t)
	text := t.Title + "\n" + t.Body
	if t.Solution != nil {
		text += "\n" + t.Solution.Text
	}
	l.texts = append(l.texts, text)
	return nil
}

type bulkAct struct {
	actor   Actor
	command Command
}

func (l *loader) write(ctx context.Context, tx *sqldb.Tx) error {
	tickets := rows{into: `INSERT INTO tickets (number, id, desk, status, priority, owner, requester, title, created, changed, due, version, head, doc)`, width: 14}
	events := rows{into: `INSERT INTO events (` + eventColumns + `)`, width: 13}
	search := rows{into: `INSERT INTO search (number, tokens)`, width: 2, marks: `(?, cast(? as tsvector))`}
	if tx.SQLite() {
		search.into, search.marks = `INSERT INTO search (rowid, tokens)`, ""
	} else {
		tickets.into += ` OVERRIDING SYSTEM VALUE`
	}
	for i, t := range l.tickets {
		doc, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("encode ticket: %w", err)
		}
		tickets.add(t.Number, t.ID, t.Desk, t.Status, int(t.Priority), t.Owner, t.Requester, t.Title, t.Created, t.Changed, t.nextDue(), t.Version, t.Head, string(doc))
		tokens := append([]string{deskToken(t.Desk), personToken(t.Requester)}, indexTokens(l.texts[i])...)
		search.add(t.Number, indexText(tx.SQLite(), tokens))
	}
	for _, s := range l.events {
		events.add(s.Ticket, s.Seq, s.Kind, s.By, s.Via, s.At, s.Once, s.Facts, s.Words, s.Salt, s.Digest, s.Prev, s.Hash)
	}
	for _, r := range []rows{tickets, events, search} {
		if err := r.insert(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// rows are inserted many by one statement.
type rows struct {
	into  string
	width int
	marks string // of one row; "": a mark a column
	args  []any
}

func (r *rows) add(values ...any) { r.args = append(r.args, values...) }

func (r *rows) insert(ctx context.Context, tx *sqldb.Tx) error {
	one := r.marks
	if one == "" {
		one = `(?` + strings.Repeat(`, ?`, r.width-1) + `)`
	}
	for args := r.args; len(args) > 0; {
		n := min(bulkRows, len(args)/r.width)
		query := r.into + ` VALUES ` + one + strings.Repeat(`, `+one, n-1)
		if _, err := tx.Exec(ctx, query, args[:n*r.width]...); err != nil {
			return err
		}
		args = args[n*r.width:]
	}
	return nil
}

func pick[T any](rnd *rand.Rand, from []T) T { return from[rnd.IntN(len(from))] }

func (l *loader) title() string {
	return pick(l.rnd, bulkPlaces) + pick(l.rnd, bulkThings) + pick(l.rnd, bulkTroubles)
}

func (l *loader) body() string {
	return fmt.Sprintf("%s%s%s，错误码 E%03d，资产编号 PC-%05d，影响 %d 人。", pick(l.rnd, bulkTimes), pick(l.rnd, bulkThings), pick(l.rnd, bulkTroubles),
		l.rnd.IntN(1000), l.rnd.IntN(100_000), 1+l.rnd.IntN(20))
}

var (
	bulkPlaces    = strings.Fields("三楼 二楼会议室 上海分公司 北京办公室 财务部 市场部 仓库 前台 华东区 研发中心 门店 车间 杭州 深圳 远程办公")
	bulkThings    = strings.Fields("ERP系统 打印机 VPN 邮箱 企业微信 投影仪 考勤机 显示器 笔记本电脑 报销系统 门禁卡 无线网络 共享盘 CRM 电话会议 账号 密码 扫描枪 OA流程 服务器")
	bulkTroubles  = strings.Fields("登录失败 打不开 很慢 卡纸 连接不上 无法登录 报错 需要开通权限 收不到邮件 闪退 黑屏 提示过期 数据不对 需要重置 无法打印 掉线 蓝屏 异常 没有声音 需要更换")
	bulkTimes     = strings.Fields("今天早上开始 昨晚升级后 刚才 上周五起 重启以后 换了电脑以后 出差期间 断电以后")
	bulkSolutions = strings.Fields("重置密码后恢复 更换网线 清理缓存 重装驱动 已开通权限 联系厂商更换配件 重启服务 升级到新版本 重新绑定设备 指导用户自行处理")
)
