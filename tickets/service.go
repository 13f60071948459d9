package tickets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/paidan/paidan/internal/sqldb"
)

// Jobs is where the service leaves what must follow: durable jobs, inserted in
// the transaction that makes them necessary.
type Jobs interface {
	InsertManyTx(ctx context.Context, tx *sqldb.Tx, jobs []river.InsertManyParams) error
}

// Service does commands: one transaction each, in which the actor's rights are
// read, the decision is made, and everything that follows from it is written.
type Service struct {
	db    *sqldb.DB
	jobs  Jobs
	log   *slog.Logger
	desks deskCache

	// HoldReplies is how long a public reply waits in the outbox for a 撤回.
	HoldReplies time.Duration
}

// DefaultHoldReplies is how long a public reply can be taken back.
const DefaultHoldReplies = 8 * time.Second

// NewService returns a service on db that leaves its jobs with jobs.
func NewService(db *sqldb.DB, jobs Jobs, log *slog.Logger) *Service {
	return &Service{db: db, jobs: jobs, log: log, HoldReplies: DefaultHoldReplies}
}

// ErrNoAccount is returned by Do for an account that nobody has introduced: see
// EnsureAccount.
var ErrNoAccount = errors.New("account is not known")

// ErrOnce is returned for a request without a once-key.
var ErrOnce = errors.New("request has no once-key")

// Origin is where a new ticket was asked for: its requester's card goes there.
type Origin struct {
	Lane   string
	Thread string // root of the thread that the request stands in or becomes; "" = none
	Theirs bool   // whom it is opened for wrote there himself: his card goes there too
}

// Request is one command by one actor.
type Request struct {
	Once    string   // the same for every delivery of the same thing; never ""
	Account string   // platform/install/id, from a verified envelope
	Person  PersonID // instead of Account, for acts inside the house
	System  bool     // instead of both: a timer
	Ticket  TicketID // "" for Open
	Command Command
	Via     string // lane where it was done
	Message string // the platform's name for the message that said it; "" for clicks
	Origin  Origin // of Open
	Burst   bool   // of Open: joins the author's ticket of the last two minutes in the same lane
	Answers Answers
	Now     time.Time
}

// Answers names what the platform's own answer to a request will show: the card
// there is not sent besides, unless that answer fails to arrive.
type Answers struct {
	Lane string // "" = the answer shows no card
	Ref  string // of the message that shows the ticket; "" = one that is still to be posted
}

// AnswerWithin is how long a card waits for the answer that is to show it.
const AnswerWithin = 4 * time.Second

// Result is what came of a request.
type Result struct {
	Ticket *Ticket // as it is now; nil when it was refused before one was loaded
	Events []Event // what happened; none when it was so already
	Actor  Actor
	Opened *Ticket // the ticket that came into being besides
	Repeat bool    // the once-key had been used: this is what it came to then
	Joined bool    // an Open became part of a ticket that was there
}

// BurstWithin is how long what one author writes at the top level joins his last ticket.
const BurstWithin = 2 * time.Minute

// errRaced means that somebody else changed the ticket in between.
var errRaced = errors.New("ticket has changed meanwhile")

// maxRaces bounds how often a request is decided anew. Each round somebody
// else's request has been done, so it is only reached under absurd load.
const maxRaces = 64

// Do does r once, however often it is asked. A refusal is an *Error, and is
// remembered as well: asking again gives the same refusal. Any other error
// means that nothing was done, or (wrapping sqldb.ErrUnknown) that it is not
// known; then asking again tells.
func (s *Service) Do(ctx context.Context, r Request) (Result, error) {
	if r.Once == "" {
		return Result{}, ErrOnce
	}
	id := TicketID(uuid.Must(uuid.NewV7()).String()) // of a ticket that may come into being; the same in every try
	for range maxRaces {
		w := &work{s: s, r: r, now: At(r.Now), fresh: id}
		err := s.db.Tx(ctx, func(tx *sqldb.Tx) error {
			*w = work{s: s, r: r, now: At(r.Now), fresh: id, tx: tx}
			return w.do(ctx)
		})
		switch {
		case errors.Is(err, errRaced):
			continue
		case err != nil:
			return Result{}, err
		case w.refusal != nil:
			return w.out, w.refusal
		}
		return w.out, nil
	}
	return Result{}, fmt.Errorf("ticket %s: %w", r.Ticket, errRaced)
}

// First reports whether key is used for the first time, for effects outside of
// any command that must not be had twice.
func (s *Service) First(ctx context.Context, key string, now time.Time) (bool, error) {
	var n int64
	err := s.db.Tx(ctx, func(tx *sqldb.Tx) (err error) {
		n, err = tx.Exec(ctx, `INSERT INTO once (key, at, ticket) VALUES (?, ?, '') ON CONFLICT (key) DO NOTHING`, key, At(now))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("insert once-key: %w", err)
	}
	return n == 1, nil
}

// work is one try of one request: everything in it belongs to one transaction.
type work struct {
	s       *Service
	tx      *sqldb.Tx
	r       Request
	now     Time
	fresh   TicketID
	out     Result
	refusal *Error
	jobs    []river.InsertManyParams
	lanes   map[Time][]string // that have something to send, by when
	noted   bool              // the request's message has been tied to a ticket
}

func (w *work) do(ctx context.Context) error {
	target := w.r.Ticket
	if target == "" {
		target = w.fresh
	}
	n, err := w.tx.Exec(ctx, `INSERT INTO once (key, at, ticket) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING`, w.r.Once, w.now, target)
	if err != nil {
		return fmt.Errorf("insert once-key: %w", err)
	}
	if n == 0 {
		return w.repeat(ctx)
	}
	if err := w.decideAndSave(ctx); err != nil {
		var refused *Error
		if !errors.As(err, &refused) {
			return err
		}
		return w.remember(ctx, refused)
	}
	return w.insertJobs(ctx)
}

// remember keeps a refusal under the once-key. Nothing else was written: every
// refusal comes before the first write.
func (w *work) remember(ctx context.Context, e *Error) error {
	w.refusal = e
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode refusal: %w", err)
	}
	if _, err := w.tx.Exec(ctx, `UPDATE once SET outcome = ? WHERE key = ?`, string(b), w.r.Once); err != nil {
		return fmt.Errorf("save refusal: %w", err)
	}
	return nil
}

// repeat answers as the first delivery was answered.
func (w *work) repeat(ctx context.Context) error {
	w.out.Repeat = true
	var was struct {
		Ticket  TicketID `db:"ticket"`
		Outcome string   `db:"outcome"`
	}
	if err := w.tx.Get(ctx, &was, `SELECT ticket, outcome FROM once WHERE key = ?`, w.r.Once); err != nil {
		return fmt.Errorf("load once-key: %w", err)
	}
	actor, err := w.actor(ctx)
	if err != nil && CodeOf(err) == "" {
		return err
	}
	w.out.Actor = actor
	if t, _, err := loadTicket(ctx, w.tx, was.Ticket); err == nil {
		w.out.Ticket = t
	} else if !sqldb.NotFound(err) {
		return err
	}
	if was.Outcome != "" {
		w.refusal = &Error{}
		if err := json.Unmarshal([]byte(was.Outcome), w.refusal); err != nil {
			return fmt.Errorf("decode refusal: %w", err)
		}
		return nil
	}
	if w.out.Events, err = loadEvents(ctx, w.tx, `SELECT `+eventColumns+` FROM events WHERE ticket_id = ? AND once = ? ORDER BY seq`, was.Ticket, w.r.Once); err != nil {
		return err
	}
	return w.repeatMore(ctx)
}

// repeatMore finds out from the events what else the first answer said.
func (w *work) repeatMore(ctx context.Context) error {
	if len(w.out.Events) == 0 {
		return nil
	}
	first := w.out.Events[0]
	_, opens := w.r.Command.(Open)
	w.out.Joined = opens && first.Kind != Opened
	if l := first.Facts.Link; l != nil && (l.Kind == Successor || l.Kind == SplitTo) {
		var err error
		w.out.Opened, _, err = loadTicket(ctx, w.tx, l.Ticket)
		return err
	}
	return nil
}

func (w *work) decideAndSave(ctx context.Context) error {
	actor, err := w.actor(ctx)
	if err != nil {
		return err
	}
	w.out.Actor = actor
	if open, ok := w.r.Command.(Open); ok {
		return w.open(ctx, open)
	}
	t, version, err := loadTicket(ctx, w.tx, w.r.Ticket)
	if sqldb.NotFound(err) {
		return Refuse(NotFound)
	}
	if err != nil {
		return err
	}
	scene, err := w.scene(ctx, t)
	if err != nil {
		return err
	}
	otherVersion := int64(0)
	if scene.Other != nil {
		otherVersion = scene.Other.Version
	}
	w.out.Ticket = t
	d, err := Decide(t, w.r.Command, scene)
	if err != nil {
		return err
	}
	if c, ok := w.r.Command.(Retract); ok && len(d.Events) > 0 {
		if err := w.cancelReply(ctx, t.ID, c.Seq); err != nil {
			return err
		}
	}
	if d.Open != nil {
		return w.openBeside(ctx, t, version, *d.Open)
	}
	if err := w.save(ctx, t, version, d.Events); err != nil {
		return err
	}
	if len(d.Other) > 0 {
		events := w.out.Events
		if err := w.save(ctx, scene.Other, otherVersion, d.Other); err != nil {
			return err
		}
		w.out.Events = events
	}
	return nil
}

// scene gathers what the decision needs besides the ticket.
func (w *work) scene(ctx context.Context, t *Ticket) (Scene, error) {
	sc := Scene{Now: w.now, Actor: w.out.Actor}
	var err error
	if _, opens := w.r.Command.(Open); opens {
		sc.Desk, err = w.s.desk(ctx, w.tx, t.Desk, w.now)
	} else {
		sc.Desk, err = w.s.deskOf(ctx, w.tx, t.Desk, w.now)
	}
	if err != nil {
		return sc, err
	}
	if seq := about(w.r.Command); seq != 0 {
		events, err := loadEvents(ctx, w.tx, `SELECT `+eventColumns+` FROM events WHERE ticket_id = ? AND seq = ?`, t.ID, seq)
		if err != nil {
			return sc, err
		}
		if len(events) == 1 {
			sc.About = &events[0]
		}
	}
	if p := recipient(w.r.Command); p != "" {
		to, err := loadActor(ctx, w.tx, p)
		switch {
		case err == nil:
			sc.To = &to
		case !errors.Is(err, ErrNoAccount):
			return sc, err
		}
	}
	sc.Other, err = w.counterpart(ctx, t)
	return sc, err
}

// counterpart loads the other ticket that the command is about, if there is one.
func (w *work) counterpart(ctx context.Context, t *Ticket) (*Ticket, error) {
	id := counterpart(w.r.Command, t)
	_, says := w.r.Command.(Say)
	for range maxMerges {
		if id == "" || id == t.ID {
			break
		}
		o, _, err := loadTicket(ctx, w.tx, id)
		if sqldb.NotFound(err) {
			return nil, nil
		}
		next := mergedInto(o)
		if err != nil || !says || next == "" {
			return o, err
		}
		id = next // merged on and on: what is said goes to where the work is
	}
	if id == t.ID {
		return t, nil
	}
	return nil, nil
}

// maxMerges is how far a chain of merges is followed.
const maxMerges = 16

func mergedInto(t *Ticket) TicketID {
	if t == nil {
		return ""
	}
	if i := slices.IndexFunc(t.Links, func(l Link) bool { return l.Kind == MergedTo }); i >= 0 {
		return t.Links[i].Ticket
	}
	return ""
}

// about is the event that a command is about; 0 for none.
func about(c Command) int64 {
	switch c := c.(type) {
	case Amend:
		return c.Seq
	case Retract:
		return c.Seq
	}
	return 0
}

func recipient(c Command) PersonID {
	switch c := c.(type) {
	case Assign:
		return c.To
	case ConsultOn:
		return c.Expert
	case Escalate:
		return c.Person
	case Open:
		return c.For
	}
	return ""
}

func counterpart(c Command, t *Ticket) TicketID {
	switch c := c.(type) {
	case Merge:
		return c.Into
	case LinkTo:
		return c.Other
	case Unmerge, Say:
		return mergedInto(t)
	}
	return ""
}

func (w *work) actor(ctx context.Context) (Actor, error) {
	switch {
	case w.r.System:
		return Actor{System: true}, nil
	case w.r.Person != "":
		return loadActor(ctx, w.tx, w.r.Person)
	}
	return loadAccount(ctx, w.tx, w.r.Account)
}

// open brings the ticket into being, or joins the burst it belongs to.
func (w *work) open(ctx context.Context, c Open) error {
	if w.r.Burst {
		joined, err := w.join(ctx, c)
		if joined || err != nil {
			return err
		}
	}
	t := &Ticket{ID: w.fresh, Desk: c.Desk}
	t.Requester = c.For // whoever opens it for himself has no standing yet
	scene, err := w.scene(ctx, t)
	if err != nil {
		return err
	}
	return w.create(ctx, t, c, scene, w.r.Origin, nil)
}

// create writes a new ticket: number first, since its event says it.
func (w *work) create(ctx context.Context, t *Ticket, c Open, scene Scene, origin Origin, from *Ticket) error {
	d, err := Decide(t, c, scene)
	if err != nil {
		return err
	}
	f := d.Events[0].Facts
	var number int64
	err = w.tx.Get(ctx, &number, `INSERT INTO tickets (id, desk, status, priority, requester, title, created, changed, version, head, doc)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, '', '') RETURNING number`,
		t.ID, t.Desk, f.Status, int(f.Priority), f.Requester, "", w.now, w.now)
	if err != nil {
		return fmt.Errorf("insert ticket: %w", err)
	}
	d.Events[0].Facts.Number = number
	t.Requester = ""
	if err := w.places(ctx, t, f.Requester, origin, from); err != nil {
		return err
	}
	if err := w.save(ctx, t, 0, d.Events); err != nil {
		return err
	}
	w.out.Ticket = t
	return nil
}

// openBeside makes the ticket that follows from a decision on t, and writes the
// link on t.
func (w *work) openBeside(ctx context.Context, t *Ticket, version int64, c Open) error {
	child := &Ticket{ID: w.fresh, Desk: t.Desk}
	scene, err := w.scene(ctx, child)
	if err != nil {
		return err
	}
	scene.Actor.System = true // the right was decided on t; the new ticket follows from that
	scene.To, scene.Other = nil, nil
	if err := w.create(ctx, child, c, scene, w.r.Origin, t); err != nil {
		return err
	}
	kind, what := Successor, Linked
	if c.From.Kind == SplitFrom {
		kind, what = SplitTo, SplitOff
	}
	link := Event{Ticket: t.ID, Kind: what, By: w.out.Actor.Person, At: w.now,
		Facts: Facts{Link: &Link{kind, child.ID, child.Number}}}
	w.out.Events = nil
	if err := w.save(ctx, t, version, []Event{link}); err != nil {
		return err
	}
	w.out.Ticket, w.out.Opened = t, child
	return nil
}

// join adds what was said to the ticket that its author opened in the same lane
// a moment ago. The burst's row is locked first, so that two messages sent at
// once cannot both open a ticket.
func (w *work) join(ctx context.Context, c Open) (bool, error) {
	key := w.r.Via + "|" + string(w.out.Actor.Person)
	if _, err := w.tx.Exec(ctx, `INSERT INTO bursts (key, until) VALUES (?, 0) ON CONFLICT (key) DO NOTHING`, key); err != nil {
		return false, fmt.Errorf("insert burst: %w", err)
	}
	var b struct {
		Ticket TicketID `db:"ticket"`
		Until  Time     `db:"until"`
	}
	if err := w.tx.Get(ctx, &b, `SELECT ticket, until FROM bursts WHERE key = ?`+w.tx.ForUpdate(), key); err != nil {
		return false, fmt.Errorf("load burst: %w", err)
	}
	if b.Ticket != "" && w.now < b.Until {
		t, version, err := loadTicket(ctx, w.tx, b.Ticket)
		if err != nil && !sqldb.NotFound(err) { // not there: opening it was refused
			return false, err
		}
		if err == nil && t.Status.Open() {
			w.r.Command = Say{Text: strings.TrimSpace(c.Title + "\n" + c.Body), Files: c.Files}
			scene, err := w.scene(ctx, t)
			if err != nil {
				return false, err
			}
			d, err := Decide(t, w.r.Command, scene)
			if err != nil {
				return false, err
			}
			if _, err := w.tx.Exec(ctx, `UPDATE once SET ticket = ? WHERE key = ?`, t.ID, w.r.Once); err != nil {
				return false, fmt.Errorf("move once-key: %w", err)
			}
			w.out.Ticket, w.out.Joined = t, true
			return true, w.save(ctx, t, version, d.Events)
		}
	}
	_, err := w.tx.Exec(ctx, `UPDATE bursts SET ticket = ?, until = ? WHERE key = ?`, w.fresh, w.now.Add(BurstWithin), key)
	if err != nil {
		return false, fmt.Errorf("start burst: %w", err)
	}
	return false, nil
}

// deskCache keeps desks for a moment: they change a few times a year, and every
// command needs one.
type deskCache struct {
	mu    sync.Mutex // guards what follows
	desks map[DeskKey]Desk
	read  Time
}

// deskFresh is how old a cached desk may be.
const deskFresh = 5 * time.Second

func (s *Service) desk(ctx context.Context, q sqldb.Querier, key DeskKey, now Time) (Desk, error) {
	s.desks.mu.Lock()
	defer s.desks.mu.Unlock()
	if d, ok := s.desks.desks[key]; ok && now.Sub(s.desks.read) < deskFresh {
		return d, nil
	}
	all, err := loadDesks(ctx, q)
	if err != nil {
		return Desk{}, err
	}
	s.desks.desks, s.desks.read = map[DeskKey]Desk{}, now
	for _, d := range all {
		s.desks.desks[d.Key] = d
	}
	d, ok := s.desks.desks[key]
	if !ok {
		return Desk{}, Refuse(NoSuchDesk, "desk", string(key))
	}
	return d, nil
}

// deskOf is the desk of a ticket that is there: one that was taken out of the
// configuration is still named, so that its tickets can be brought to an end.
func (s *Service) deskOf(ctx context.Context, q sqldb.Querier, key DeskKey, now Time) (Desk, error) {
	d, err := s.desk(ctx, q, key, now)
	if CodeOf(err) == NoSuchDesk {
		return Desk{Key: key, Name: string(key)}, nil
	}
	return d, err
}

// cachedDesk is the desk that this act has loaded already.
func (s *Service) cachedDesk(key DeskKey) *Desk {
	s.desks.mu.Lock()
	defer s.desks.mu.Unlock()
	d := s.desks.desks[key]
	return &d
}
