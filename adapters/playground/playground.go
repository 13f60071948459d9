// Package playground is a chat room in the browser, served by Paidan itself: the
// platform that a newcomer has at once, without an account anywhere.
//
// It is a platform like the others. One half is a small chat server with tables
// of its own: a page, people to play, groups, messages, threads, reactions and
// files. The other half is the adapter, which sees the chat server from outside,
// as other adapters see theirs: signed events come in, cards go out. What a
// person does is stored first, together with the event that tells the bot of it;
// the event is delivered until the bot has taken it, also over a restart.
//
// There is no log-in: whoever reaches the page is whomever he chooses to be. The
// page is therefore served to this machine only, unless Config.Public is set. A
// playground belongs to one running program: two programs on one database would
// deliver every event twice (which the bot notices, and which costs order).
package playground

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/sqldb"
)

// Platform is the platform's name in references: "playground/default/g-east".
const Platform = "playground"

// MaxFile is the largest file that can be put into the room, in bytes.
const MaxFile = 25 << 20

// Clock is the time that the bot lives by. The page has buttons that push it on,
// so that deadlines can be watched without waiting for them.
type Clock interface {
	Now() time.Time
	Advance(time.Duration)
	Offset() time.Duration // from the real time
}

// Config says what a playground needs.
type Config struct {
	Name   string // of the install; "" is "default"
	DB     *sqldb.DB
	Clock  Clock
	Secret []byte // signs the events; at least 16 bytes, for this purpose only
	Log    *slog.Logger
	Lang   cards.Lang // of the people, and of the page when the browser does not say; "" is cards.ZH
	Zone   string     // IANA name of the people's time zone; "" is Asia/Shanghai
	// Public serves the page to other machines as well. Whoever reaches it may
	// then act as anybody in it.
	Public bool
}

// Adapter is one playground: the chat server and the adapter to it.
type Adapter struct {
	cfg     Config
	install bot.Install
	people  []Person // as at New; nobody joins later
	wake    chan struct{}
	stop    context.CancelFunc // ends live connections
	stopped context.Context
	running atomic.Bool // a Stream is

	mu      sync.Mutex
	feeds   map[chan struct{}]struct{}
	waiting map[string]chan answer // by event id: who waits for the bot's answer
}

var (
	_ bot.Adapter       = (*Adapter)(nil)
	_ bot.Streamer      = (*Adapter)(nil)
	_ bot.Whisperer     = (*Adapter)(nil)
	_ bot.Deleter       = (*Adapter)(nil)
	_ bot.Finder        = (*Adapter)(nil)
	_ bot.HomePublisher = (*Adapter)(nil)
	_ bot.UserFinder    = (*Adapter)(nil)
	_ bot.MemberLister  = (*Adapter)(nil)
	_ bot.ConvNamer     = (*Adapter)(nil)
	_ bot.FileCarrier   = (*Adapter)(nil)
	_ bot.Checker       = (*Adapter)(nil)
)

// Person is somebody whom the visitor can be.
type Person struct {
	ID     string `db:"id"`
	Name   string `db:"name"`
	NameEN string `db:"name_en"`
	Role   string `db:"role"`
	RoleEN string `db:"role_en"`
}

// Conversation is a group.
type Conversation struct {
	ID, Name, NameEN, About, AboutEN string
	Members                          []string
}

// Ids of the groups that a new playground has.
const (
	CustomerGroup = "g-east"     // where requests come up
	DeskGroup     = "g-desk"     // where agents work
	ManagersGroup = "g-managers" // that no desk uses yet
)

// DefaultPeople are the people of a new playground.
func DefaultPeople() []Person {
	return []Person{
		{"wangfang", "王芳", "Wang Fang", "客户 · 市场部", "Customer · Marketing"},
		{"lisi", "李四", "Li Si", "客服 · IT 服务台", "Agent · IT desk"},
		{"wangwu", "王五", "Wang Wu", "客服 · IT 服务台", "Agent · IT desk"},
		{"zhaomin", "赵敏", "Zhao Min", "组长 · IT 服务台", "Lead · IT desk"},
		{"chenzong", "陈总", "Director Chen", "主管 · 管理员", "Manager · admin"},
	}
}

// DefaultConversations are the groups of a new playground. Everybody has a
// private chat with the bot besides.
func DefaultConversations() []Conversation {
	return []Conversation{
		{CustomerGroup, "华东售后群", "East region support", "客户在这里提问题，机器人在这里回答", "Customers ask here", []string{"wangfang", "lisi", "zhaomin"}},
		{DeskGroup, "IT 服务台", "IT service desk", "客服在这里接单、处理，卡片始终是最新的", "Agents work here; cards are always current", []string{"lisi", "wangwu", "zhaomin"}},
		{ManagersGroup, "管理层", "Management", "还没有接入服务台，管理员可以在这里设置", "No desk uses this group yet; an admin can change that here", []string{"zhaomin", "chenzong"}},
	}
}

// PrivateChat is the id of a person's private chat with the bot.
func PrivateChat(person string) string { return "p-" + person }

// New opens a playground and makes its people and groups where they are missing.
func New(cfg Config) (*Adapter, error) {
	if cfg.Name == "" {
		cfg.Name = "default"
	}
	if cfg.Lang == "" {
		cfg.Lang = cards.ZH
	}
	if cfg.Zone == "" {
		cfg.Zone = "Asia/Shanghai"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var faults []error
	if cfg.DB == nil {
		faults = append(faults, errors.New("no database"))
	}
	if cfg.Clock == nil {
		faults = append(faults, errors.New("no clock"))
	}
	if len(cfg.Secret) < 16 {
		faults = append(faults, errors.New("the secret must have at least 16 bytes"))
	}
	if _, err := time.LoadLocation(cfg.Zone); err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("open playground: %w", errors.Join(faults...))
	}
	cfg.Log = cfg.Log.With("platform", Platform, "install", cfg.Name)
	a := &Adapter{
		cfg:     cfg,
		install: bot.Install{Platform: Platform, Name: cfg.Name},
		wake:    make(chan struct{}, 1),
		feeds:   map[chan struct{}]struct{}{},
		waiting: map[string]chan answer{},
	}
	a.stopped, a.stop = context.WithCancel(context.Background())
	if err := a.furnish(context.Background()); err != nil {
		return nil, fmt.Errorf("furnish playground: %w", err)
	}
	return a, nil
}

// Close ends the pages' live connections, which would otherwise keep a server
// from shutting down. Register it with http.Server.RegisterOnShutdown. Pages
// reconnect to the next program by themselves.
func (a *Adapter) Close() { a.stop() }

// Install is what the playground is called in references.
func (a *Adapter) Install() bot.Install { return a.install }

// Caps are generous: the page is our own.
func (a *Adapter) Caps() cards.Caps {
	return cards.Caps{
		Buttons: 5, MenuOptions: 100, Label: 40, Title: 120, Text: 8000, Facts: 30, Rows: 50, Total: 40000, Blocks: 200,
		Menus: true, Forms: true, Threads: true, OnTop: true, Edits: true, PrivateNotes: true,
	}
}

// Check reports events that the bot has never taken.
func (a *Adapter) Check(ctx context.Context) []bot.Finding {
	what := a.install.String() + " events"
	var n int64
	if err := a.cfg.DB.Get(ctx, &n, `SELECT count(*) FROM playground_events WHERE install = ? AND parked = ?`, a.cfg.Name, true); err != nil {
		return []bot.Finding{{What: what, Says: "cannot be counted: " + err.Error()}}
	}
	if n > 0 {
		return []bot.Finding{{Warn: true, What: what, Says: fmt.Sprintf("%d could not be handled and were set aside; the log says why. Say or press it again.", n)}}
	}
	return []bot.Finding{{OK: true, What: what, Says: "all handled"}}
}
