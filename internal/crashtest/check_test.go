//go:build unix

package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/jobs"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
)

// sort is what kind of promise is broken.
type sort string

const (
	lost        sort = "acknowledged and missing"
	doubled     sort = "done more than once"
	twoOwners   sort = "two owners"
	chain       sort = "chain broken"
	torn        sort = "ticket is not what its events make"
	limbo       sort = "outbox row neither done nor live nor parked"
	stale       sort = "card is not what the database says"
	postedTwice sort = "shown more than once"
	unexpected  sort = "message that nobody accounts for"
	dead        sort = "dead letter"
	said        sort = "error in the log"
)

// finding is one broken promise.
type finding struct {
	sort sort
	what string
}

// report is what the checker went through and found.
type report struct {
	findings []finding
	tickets  int
	events   int
	acked    int // deliveries that were acknowledged, repeats included
	effects  int // texts that became exactly one event
	refused  int // texts that were refused, as is on record
	unacked  int // texts that the platform gave up
	cards    int // compared with what is shown
	posts    int // messages of ours that are shown
	parked   int // dead letters
}

func (r *report) add(s sort, format string, args ...any) {
	r.findings = append(r.findings, finding{s, fmt.Sprintf(format, args...)})
}

func (r *report) has(s sort) bool {
	return slices.ContainsFunc(r.findings, func(f finding) bool { return f.sort == s })
}

func (r *report) String() string {
	return fmt.Sprintf("%d tickets, %d events, %d acknowledged deliveries, %d texts became one event each, %d refused on record, %d given up by the platform; %d cards compared, %d posts, %d parked; %d findings",
		r.tickets, r.events, r.acked, r.effects, r.refused, r.unacked, r.cards, r.posts, r.parked, len(r.findings))
}

// fail fails the test for every finding but those of the allowed sorts.
func (r *report) fail(t *testing.T, allowed ...sort) {
	t.Helper()
	shown := 0
	for _, f := range r.findings {
		if slices.Contains(allowed, f.sort) {
			continue
		}
		if shown++; shown <= 20 {
			t.Errorf("%s: %s", f.sort, f.what)
		}
	}
	if shown > 20 {
		t.Errorf("and %d more", shown-20)
	}
}

// checker holds what it compares.
type checker struct {
	t    *testing.T
	ctx  context.Context
	h    *house
	db   *sqldb.DB
	svc  *tickets.Service
	out  *report
	once map[string]string // key → outcome
	sent map[string][]slacktest.Message
	as   map[string]string // message → what it was posted as, in full
}

// check compares the history, the database at url and the chats. Nothing may
// have the database open.
func (h *house) check(url string) *report {
	h.t.Helper()
	ctx := context.Background()
	db, err := sqldb.Open(ctx, url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			h.t.Error(err)
		}
	}()
	queue, err := jobs.New(db, clock.New(), nil, jobs.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	c := &checker{
		t: h.t, ctx: ctx, h: h, db: db, out: &report{}, once: map[string]string{}, sent: map[string][]slacktest.Message{}, as: map[string]string{},
		svc: tickets.NewService(db, queue, slog.New(slog.DiscardHandler)),
	}
	c.chains()
	histories := c.histories()
	c.texts(histories)
	c.clicks()
	c.outbox()
	c.chats(histories)
	for _, line := range h.log.said() {
		c.out.add(said, "%s", line)
	}
	return c.out
}

func (c *checker) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *checker) chains() {
	v, err := c.svc.VerifyAll(c.ctx)
	if err != nil {
		c.out.add(chain, "%v", err)
	}
	c.out.tickets, c.out.events = v.Tickets, v.Events
}

// kept is a ticket with its events.
type kept struct {
	t      *tickets.Ticket
	events []tickets.Event
}

// histories reads every ticket, compares it with what its events make, and walks
// through its owners.
func (c *checker) histories() map[tickets.TicketID]kept {
	var rows []struct {
		ID      tickets.TicketID `db:"id"`
		Version int64            `db:"version"`
		Status  tickets.Status   `db:"status"`
		Owner   tickets.PersonID `db:"owner"`
		Doc     string           `db:"doc"`
	}
	c.must(c.db.Select(c.ctx, &rows, `SELECT id, version, status, owner, doc FROM tickets ORDER BY number`))
	all := map[tickets.TicketID]kept{}
	for _, row := range rows {
		t := &tickets.Ticket{}
		c.must(json.Unmarshal([]byte(row.Doc), t))
		events := c.events(row.ID)
		again := tickets.Replay(events)
		if a, b := asJSON(again), asJSON(t); a != b {
			c.out.add(torn, "ticket %s: stored %s, its events make %s", row.ID, b, a)
		}
		if t.Status != row.Status || t.Owner != row.Owner || t.Version != row.Version {
			c.out.add(torn, "ticket %s: the columns say %s, %q, version %d; the document %s, %q, version %d", row.ID, row.Status, row.Owner, row.Version, t.Status, t.Owner, t.Version)
		}
		c.owners(row.ID, events)
		all[row.ID] = kept{t, events}
	}
	return all
}

// events reads a ticket's events as they lie there, whether their chain holds or not.
func (c *checker) events(id tickets.TicketID) []tickets.Event {
	var rows []struct {
		Seq                      int64
		Kind                     tickets.Kind
		Actor                    tickets.PersonID
		Via, Once, Facts, Words  string
		At                       tickets.Time
		Salt, Digest, Prev, Hash string
	}
	c.must(c.db.Select(c.ctx, &rows, `SELECT seq, kind, actor, via, at, once, facts, words, salt, digest, prev, hash FROM events WHERE ticket_id = ? ORDER BY seq`, id))
	var out []tickets.Event
	for _, r := range rows {
		e := tickets.Event{
			Ticket: id, Seq: r.Seq, Kind: r.Kind, By: r.Actor, Via: r.Via, At: r.At, Once: r.Once,
			Seal: tickets.Seal{Salt: r.Salt, Digest: r.Digest, Prev: r.Prev, Hash: r.Hash},
		}
		c.must(json.Unmarshal([]byte(r.Facts), &e.Facts))
		if r.Words != "" {
			e.Words = &tickets.Words{}
			c.must(json.Unmarshal([]byte(r.Words), e.Words))
		}
		out = append(out, e)
	}
	return out
}

// owners walks through the events: between two that make somebody the owner by
// his own claim there must be one that ends his predecessor's ownership.
func (c *checker) owners(id tickets.TicketID, events []tickets.Event) {
	owner := tickets.PersonID("")
	for _, e := range events {
		switch e.Kind {
		case tickets.ClaimedBy:
			if owner != "" && owner != e.By {
				c.out.add(twoOwners, "ticket %s: event %d gives it to %s while it is %s's", id, e.Seq, e.By, owner)
			}
			if owner == e.By {
				c.out.add(doubled, "ticket %s: %s claims it in event %d and has it already", id, e.By, e.Seq)
			}
			owner = e.By
		case tickets.Opened, tickets.Released, tickets.Assigned, tickets.Escalated, tickets.Reopened, tickets.Undone:
			owner = e.Facts.Owner
		}
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// texts compares every text that was said with the events that hold it.
func (c *checker) texts(histories map[tickets.TicketID]kept) {
	events := map[string]int{} // marker → events that hold it
	where := map[string][]string{}
	for id, k := range histories {
		for _, e := range k.events {
			if e.Words == nil {
				continue
			}
			for _, m := range slices.Compact(slices.Sorted(slices.Values(markerRE.FindAllString(asJSON(e.Words), -1)))) {
				events[m]++
				where[m] = append(where[m], fmt.Sprintf("%s event %d (%s)", id, e.Seq, e.Kind))
			}
		}
	}
	var rows []struct{ Key, Outcome string }
	c.must(c.db.Select(c.ctx, &rows, `SELECT key, outcome FROM once`))
	for _, r := range rows {
		c.once[r.Key] = r.Outcome
	}
	spoken := map[string]entry{}
	acked := map[string]string{} // marker → event id
	onces := map[string]string{} // marker → once-key of the message that carried it
	var order []string
	for _, e := range c.h.history.read(c.t) {
		if e.Said != "" {
			spoken[e.Marker] = e
			order = append(order, e.Marker)
		}
		if e.Ref != "" && e.Marker != "" {
			onces[e.Marker] = "slack/default|msg:" + strings.Replace(e.Ref, "/", ":", 1)
		}
		if e.Status/100 == 2 {
			c.out.acked++
			if e.Marker != "" && strings.HasPrefix(e.Key, "Ev") {
				acked[e.Marker] = e.Key
			}
		}
	}
	for _, m := range order {
		s, key := spoken[m], acked[m]
		outcome, known := c.once[onces[m]]
		switch n := events[m]; {
		case n > 1:
			c.out.add(doubled, "%s by %s %s is in %d events: %s", s.Said, s.By, m, n, where[m])
		case n == 1:
			c.out.effects++
		case key == "":
			c.out.unacked++
		case known && outcome != "" && s.Said != "request":
			c.out.refused++
		default:
			c.out.add(lost, "%s by %s %s was acknowledged as %s and is in no event (once-key there: %v, %q)", s.Said, s.By, m, key, known, outcome)
		}
	}
}

// clicks looks for what an acknowledged click has done.
func (c *checker) clicks() {
	kind := map[string]tickets.Kind{"接单": tickets.ClaimedBy, "已解决": tickets.Confirmed}
	for _, e := range c.h.history.read(c.t) {
		want := kind[e.Click]
		if want == "" {
			continue
		}
		var n int
		c.must(c.db.Get(c.ctx, &n, `SELECT count(*) FROM events e JOIN places p ON p.ticket_id = e.ticket_id WHERE p.ref = ? AND (e.kind = ? OR e.kind = ?)`, e.Ref, want, tickets.ClosedBy))
		if n == 0 {
			c.out.add(lost, "a press of %s by %s on %s was acknowledged, and the ticket has no such event", e.Click, e.By, e.Ref)
		}
	}
}

// outRow is a row of the outbox.
type outRow struct {
	ID, Kind, State, Ref, Lane, Error string
	Place                             string `db:"place_id"`
	Ticket                            string `db:"ticket_id"`
}

func (c *checker) outRows() []outRow {
	var rows []outRow
	c.must(c.db.Select(c.ctx, &rows, `SELECT id, kind, state, ref, lane, error, place_id, ticket_id FROM outbox`))
	return rows
}

func (c *checker) outbox() {
	for _, r := range c.outRows() {
		switch r.State {
		case "done", "cancelled":
		case "dead":
			c.out.parked++
			c.out.add(dead, "%s %s for %s: %s", r.Kind, r.ID, r.Lane, r.Error)
		default:
			c.out.add(limbo, "%s %s for %s is %s", r.Kind, r.ID, r.Lane, r.State)
		}
	}
}

// chats compares every message of ours with what it is there for.
func (c *checker) chats(histories map[tickets.TicketID]kept) {
	c.collect()
	var places []struct {
		ID       string
		Lane     string
		Ref      string
		Audience tickets.Audience
		Shown    int64
		Ticket   tickets.TicketID `db:"ticket_id"`
	}
	c.must(c.db.Select(c.ctx, &places, `SELECT id, lane, ref, audience, shown, ticket_id FROM places WHERE NOT gone`))
	rows := c.outRows()
	parked := map[string]bool{}
	for _, r := range rows {
		if r.State == "dead" {
			parked[r.Place] = true
		}
	}
	accounted := map[string]bool{}
	for _, p := range places {
		k := "card:" + p.ID
		accounted[k] = true
		if parked[p.ID] {
			continue
		}
		c.out.cards++
		h := histories[p.Ticket]
		shown := c.sent[k]
		if p.Audience == tickets.ForAsk {
			shown = c.newestAsk(shown)
		}
		switch {
		case len(shown) == 0:
			c.out.add(stale, "place %s (%s in %s) of #%d shows nothing", p.ID, p.Audience, p.Lane, number(h))
		case len(shown) > 1:
			c.out.add(postedTwice, "place %s (%s in %s) of #%d shows %d messages: %s", p.ID, p.Audience, p.Lane, number(h), len(shown), refs(shown))
		case shown[0].Ref() != p.Ref:
			c.out.add(stale, "place %s of #%d is on record as %s and shows as %s", p.ID, number(h), p.Ref, shown[0].Ref())
		case h.t == nil:
			c.out.add(stale, "place %s is of ticket %s, which is not there", p.ID, p.Ticket)
		case p.Shown != h.t.Version:
			c.out.add(stale, "place %s (%s in %s) of #%d shows version %d of %d", p.ID, p.Audience, p.Lane, number(h), p.Shown, h.t.Version)
		default:
			c.card(p.Audience, p.Ref, h.t, shown[0])
		}
	}
	for _, r := range rows {
		if r.Kind == "card" || r.State != "done" {
			continue
		}
		accounted[r.ID] = true
		switch shown := c.sent[r.ID]; {
		case len(shown) > 1:
			c.out.add(postedTwice, "%s %s shows %d times: %s", r.Kind, r.ID, len(shown), refs(shown))
		case len(shown) == 0 && r.Ref != "":
			c.out.add(stale, "%s %s is on record as %s and not there", r.Kind, r.ID, r.Ref)
		}
	}
	for k, shown := range c.sent {
		c.out.posts += len(shown)
		if !accounted[k] && !strings.HasPrefix(k, "hint:") {
			c.out.add(unexpected, "%q: %s", k, refs(shown))
		}
	}
}

// newestAsk leaves of the questions whether it is solved the last one: each time
// that a ticket is solved it is asked anew, in a message of its own.
func (c *checker) newestAsk(all []slacktest.Message) []slacktest.Message {
	if len(all) == 0 {
		return nil
	}
	last := all[len(all)-1]
	return slices.DeleteFunc(slices.Clone(all), func(m slacktest.Message) bool { return c.as[m.Ref()] != c.as[last.Ref()] })
}

func number(k kept) int64 {
	if k.t == nil {
		return 0
	}
	return k.t.Number
}

func refs(ms []slacktest.Message) string {
	var out []string
	for _, m := range ms {
		out = append(out, m.Ref())
	}
	return strings.Join(out, " ")
}

// collect gathers our messages by what they were posted for.
func (c *checker) collect() {
	var channels []string
	for _, d := range c.h.desks {
		channels = append(channels, d.intake, d.triage)
	}
	for _, u := range c.h.users.all() {
		channels = append(channels, c.h.slack.DM(u))
	}
	for _, ch := range channels {
		for _, m := range c.h.slack.Cards(ch) {
			var meta struct {
				Payload struct {
					Once string `json:"once"`
				} `json:"event_payload"`
			}
			if len(m.Metadata) > 0 {
				c.must(json.Unmarshal(m.Metadata, &meta))
			}
			k := meta.Payload.Once
			c.as[m.Ref()] = k
			if rest, ok := strings.CutPrefix(k, "card:"); ok {
				place, _, _ := strings.Cut(rest, ":") // what follows tells one showing from the next
				k = "card:" + place
			}
			c.sent[k] = append(c.sent[k], m)
		}
	}
}

// card compares what is shown with what the ticket says now. Times on a card are
// left out: they are told relative to now.
func (c *checker) card(to tickets.Audience, ref string, t *tickets.Ticket, m slacktest.Message) {
	v, err := c.svc.View(c.ctx, t, time.Now(), shanghai)
	c.must(err)
	want := cards.Ticket(v, "zh")
	switch to {
	case tickets.ForRequester:
		want = cards.Receipt(v, "zh")
	case tickets.ForAsk:
		want = cards.Card{Title: fmt.Sprintf("#%d", t.Number)}
		if asks := has(m, "已解决"); asks != (t.Status == tickets.Solved) {
			c.out.add(stale, "%s asks whether #%d (%s) is solved: %v", ref, t.Number, t.Status, asks)
		}
	}
	title, _, _ := strings.Cut(want.Title, " ")
	expect := append([]string{title}, want.Badges...)
	for _, f := range want.Facts {
		if t.Owner != "" && f.Value == v.Name(t.Owner) {
			expect = append(expect, f.Value)
		}
	}
	text := words(m)
	for _, w := range expect {
		if !strings.Contains(text, w) {
			c.out.add(stale, "%s for the %s of #%d (%s, version %d) lacks %q: %q", ref, to, t.Number, t.Status, t.Version, w, text)
		}
	}
	if wanted, shown := labelsOf(want), has(m, "接单"); to == tickets.ForTeam && slices.Contains(wanted, "接单") != shown {
		c.out.add(stale, "%s of #%d (%s): its button 接单 is there: %v", ref, t.Number, t.Status, shown)
	}
}

func labelsOf(c cards.Card) []string {
	var out []string
	for _, a := range append(slices.Clone(c.Actions), c.More...) {
		out = append(out, a.Label)
	}
	return out
}

var shanghai = time.FixedZone("Asia/Shanghai", 8*3600)
