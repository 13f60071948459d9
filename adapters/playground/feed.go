package playground

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// What a page reads: the state at first, then what changes.

// Limits of what is read at once.
const (
	pageSize = 60
	maxFeeds = 200 // live connections
	beat     = 15 * time.Second
	feedPoll = 2 * time.Second // finds what another program changed
)

type shownPerson struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	NameEN string `json:"name_en"`
	Role   string `json:"role"`
	RoleEN string `json:"role_en"`
}

type shownConv struct {
	ID      string        `json:"id"`
	Name    string        `json:"name"`
	NameEN  string        `json:"name_en" db:"name_en"`
	About   string        `json:"about"`
	AboutEN string        `json:"about_en" db:"about_en"`
	Private bool          `json:"private"`
	Members []string      `json:"members"`
	Last    *shownMessage `json:"last,omitempty"`
}

type clockState struct {
	Now    int64 `json:"now"`    // ms
	Offset int64 `json:"offset"` // ms from the real time
}

func (a *Adapter) clock() clockState {
	return clockState{a.cfg.Clock.Now().UnixMilli(), a.cfg.Clock.Offset().Milliseconds()}
}

type state struct {
	Install string                    `json:"install"`
	Me      string                    `json:"me"`
	Lang    string                    `json:"lang"`
	Zone    string                    `json:"zone"`
	Public  bool                      `json:"public"`
	Bot     string                    `json:"bot"`
	People  []shownPerson             `json:"people"`
	Convs   []shownConv               `json:"convs"`
	Unread  map[string]map[string]int `json:"unread"` // by person and conversation
	Home    json.RawMessage           `json:"home,omitempty"`
	Rev     int64                     `json:"rev"`
	Clock   clockState                `json:"clock"`
	MaxFile int64                     `json:"max_file"`
}

func (a *Adapter) getState(w http.ResponseWriter, r *http.Request) {
	p, ok := a.person(r.URL.Query().Get("as"))
	if !ok {
		p = a.people[0]
	}
	s, err := a.state(r.Context(), p)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	a.writeJSON(w, http.StatusOK, s)
}

func (a *Adapter) state(ctx context.Context, p Person) (state, error) {
	db := a.cfg.DB
	s := state{Install: a.install.String(), Me: p.ID, Lang: string(a.cfg.Lang), Zone: a.cfg.Zone, Public: a.cfg.Public,
		Bot: BotName, Clock: a.clock(), MaxFile: MaxFile}
	for _, p := range a.people {
		s.People = append(s.People, shownPerson(p))
	}
	var err error
	// The number comes first: what changes while the rest is read comes again by the feed.
	if s.Rev, err = a.rev(ctx); err != nil {
		return s, err
	}
	if err := db.Select(ctx, &s.Convs, `SELECT c.id, c.name, c.name_en, c.about, c.about_en, c.private FROM playground_convs c
		JOIN playground_members m ON m.install = c.install AND m.conv = c.id
		WHERE c.install = ? AND m.person = ? ORDER BY c.place`, a.cfg.Name, p.ID); err != nil {
		return s, fmt.Errorf("list conversations: %w", err)
	}
	for i := range s.Convs {
		c := &s.Convs[i]
		members, err := a.Members(ctx, a.conv(c.ID))
		if err != nil {
			return s, err
		}
		for _, m := range members {
			c.Members = append(c.Members, m.ID)
		}
		last, err := a.list(ctx, p, c.ID, `ORDER BY id DESC LIMIT 1`)
		if err != nil {
			return s, err
		}
		if len(last) == 1 {
			c.Last = &last[0]
		}
	}
	if s.Unread, err = a.unread(ctx); err != nil {
		return s, err
	}
	s.Home, _, err = a.home(ctx, p)
	return s, err
}

func (a *Adapter) rev(ctx context.Context) (n int64, err error) {
	if err := a.cfg.DB.Get(ctx, &n, `SELECT n FROM playground_counters WHERE install = ?`, a.cfg.Name); err != nil {
		return 0, fmt.Errorf("read number: %w", err)
	}
	return n, nil
}

// home is a person's own page and when it changed.
func (a *Adapter) home(ctx context.Context, p Person) (json.RawMessage, int64, error) {
	var h struct {
		Home string
		Rev  int64 `db:"home_rev"`
	}
	if err := a.cfg.DB.Get(ctx, &h, `SELECT home, home_rev FROM playground_people WHERE install = ? AND id = ?`, a.cfg.Name, p.ID); err != nil {
		return nil, 0, fmt.Errorf("load home: %w", err)
	}
	if h.Home == "" {
		return nil, 0, nil
	}
	return json.RawMessage(h.Home), h.Rev, nil
}

// unread counts what nobody has looked at yet, for all people: that is how the
// visitor sees whom to be next.
func (a *Adapter) unread(ctx context.Context) (map[string]map[string]int, error) {
	var rows []struct {
		Person, Conv string
		N            int
	}
	err := a.cfg.DB.Select(ctx, &rows, `SELECT m.person, m.conv, count(*) AS n FROM playground_members m
		JOIN playground_messages x ON x.install = m.install AND x.conv = m.conv AND x.id > m.read_upto
		WHERE m.install = ? AND x.deleted = ? AND x.author <> m.person AND (x.only_for = '' OR x.only_for = m.person)
		GROUP BY m.person, m.conv`, a.cfg.Name, false)
	if err != nil {
		return nil, fmt.Errorf("count unread: %w", err)
	}
	out := map[string]map[string]int{}
	for _, r := range rows {
		if out[r.Person] == nil {
			out[r.Person] = map[string]int{}
		}
		out[r.Person][r.Conv] = r.N
	}
	return out, nil
}

// list reads messages of a conversation that a person sees; the rest of the query is tail.
func (a *Adapter) list(ctx context.Context, p Person, conv, tail string, args ...any) ([]shownMessage, error) {
	if err := a.isMember(ctx, a.cfg.DB, conv, p.ID); err != nil {
		return nil, err
	}
	var rows []message
	err := a.cfg.DB.Select(ctx, &rows, `SELECT `+messageColumns+` FROM playground_messages
		WHERE install = ? AND conv = ? AND deleted = ? AND (only_for = '' OR only_for = ?) `+tail,
		append([]any{a.cfg.Name, conv, false, p.ID}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	return a.show(ctx, a.cfg.DB, rows)
}

// getMessages reads a conversation or a thread, newest first: what stands before
// the message "before".
func (a *Adapter) getMessages(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p, ok := a.person(q.Get("as"))
	if !ok {
		a.refuse(w, r, errNoSuch)
		return
	}
	before, err1 := number(q.Get("before"), 1<<62)
	thread, err2 := number(q.Get("thread"), 0)
	if err1 != nil || err2 != nil {
		a.refuse(w, r, errMalformed)
		return
	}
	// A thread is read from its root on.
	rows, err := a.list(r.Context(), p, q.Get("conv"), `AND id < ? AND (thread = ? OR id = ?) ORDER BY id DESC LIMIT ?`, before, thread, thread, pageSize+1)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	more := len(rows) > pageSize
	if more {
		rows = rows[:pageSize]
	}
	a.writeJSON(w, http.StatusOK, struct {
		Messages []shownMessage `json:"messages"`
		More     bool           `json:"more"`
	}{rows, more})
}

func number(s string, missing int64) (int64, error) {
	if s == "" {
		return missing, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, errMalformed
	}
	return n, nil
}

func (a *Adapter) subscribe() (chan struct{}, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.feeds) >= maxFeeds {
		return nil, false
	}
	f := make(chan struct{}, 1)
	a.feeds[f] = struct{}{}
	return f, true
}

func (a *Adapter) unsubscribe(f chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.feeds, f)
}

// getEvents is the live connection of a page (server-sent events). An event's id
// is the number up to which the page knows everything; it comes back as
// Last-Event-ID when the connection broke.
func (a *Adapter) getEvents(w http.ResponseWriter, r *http.Request) {
	p, ok := a.person(r.URL.Query().Get("as"))
	since, err := number(r.URL.Query().Get("since"), 0)
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		since, err = number(id, 0)
	}
	if !ok || err != nil {
		a.refuse(w, r, errMalformed)
		return
	}
	nudge, ok := a.subscribe()
	if !ok {
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer a.unsubscribe(nudge)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	f := feed{a: a, w: w, rc: http.NewResponseController(w), p: p, since: since}
	poll := time.NewTicker(feedPoll)
	defer poll.Stop()
	for {
		if err := f.send(r.Context()); err != nil {
			if r.Context().Err() == nil {
				a.cfg.Log.Debug("live connection ended", "err", err)
			}
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-a.stopped.Done():
			return
		case <-nudge:
		case <-poll.C:
		}
	}
}

// feed is what one page has been told.
type feed struct {
	a      *Adapter
	w      http.ResponseWriter
	rc     *http.ResponseController
	p      Person
	since  int64
	home   int64
	unread map[string]map[string]int
	offset *int64
	last   time.Time // something was written
}

// send writes everything that is new.
func (f *feed) send(ctx context.Context) error {
	if c := f.a.clock(); f.offset == nil || *f.offset != c.Offset {
		if err := f.write("clock", c); err != nil {
			return err
		}
		f.offset = &c.Offset
	}
	now, err := f.a.rev(ctx)
	if err != nil {
		return err
	}
	if now > f.since {
		if err := f.sendMessages(ctx, now); err != nil {
			return err
		}
	}
	unread, err := f.a.unread(ctx)
	if err != nil {
		return err
	}
	if f.unread == nil || !maps.EqualFunc(unread, f.unread, maps.Equal[map[string]int, map[string]int]) {
		if err := f.write("unread", unread); err != nil {
			return err
		}
		f.unread = unread
	}
	if time.Since(f.last) > beat {
		return f.raw(": still here\n\n")
	}
	return nil
}

func (f *feed) sendMessages(ctx context.Context, now int64) error {
	home, rev, err := f.a.home(ctx, f.p)
	if err != nil {
		return err
	}
	if rev > max(f.home, f.since) {
		if err := f.write("home", home); err != nil {
			return err
		}
		f.home = rev
	}
	for {
		var rows []message
		err := f.a.cfg.DB.Select(ctx, &rows, `SELECT `+messageColumns+` FROM playground_messages
			WHERE install = ? AND rev > ? AND rev <= ? AND (only_for = '' OR only_for = ?)
			AND conv IN (SELECT conv FROM playground_members WHERE install = ? AND person = ?)
			ORDER BY rev LIMIT 100`, f.a.cfg.Name, f.since, now, f.p.ID, f.a.cfg.Name, f.p.ID)
		if err != nil {
			return fmt.Errorf("list changes: %w", err)
		}
		shown, err := f.a.show(ctx, f.a.cfg.DB, rows)
		if err != nil {
			return err
		}
		for _, m := range shown {
			f.since = m.Rev
			if err := f.write("message", m); err != nil {
				return err
			}
		}
		if len(rows) < 100 {
			f.since = now
			return nil
		}
	}
}

func (f *feed) write(kind string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode change: %w", err)
	}
	return f.raw(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", f.since, kind, b))
}

func (f *feed) raw(s string) error {
	f.last = time.Now()
	// Servers have a deadline for whole answers; this one has no end.
	if err := f.rc.SetWriteDeadline(f.last.Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := f.w.Write([]byte(s)); err != nil {
		return err
	}
	return f.rc.Flush()
}
