package playground

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/paidan/paidan/internal/sqldb"
)

// This file is the chat server's store. Whatever a page can see gets its number
// from one counter: a message's id is its number when it was written, rev its
// number when it last changed. A page that knows everything up to n asks for
// what has a higher rev, and misses nothing, because numbers commit in order.

// errNoSuch is: that message, person or conversation is not there (for the asker).
var errNoSuch = errors.New("not there")

// next takes a number. It is called before anything else is changed, so that
// transactions queue at the counter and not crosswise.
func (a *Adapter) next(ctx context.Context, tx *sqldb.Tx) (int64, error) {
	var n int64
	err := tx.Get(ctx, &n, `UPDATE playground_counters SET n = n + 1 WHERE install = ? RETURNING n`, a.cfg.Name)
	if err != nil {
		return 0, fmt.Errorf("take number: %w", err)
	}
	return n, nil
}

// furnish makes what is missing of the default people and groups, and reads the people.
func (a *Adapter) furnish(ctx context.Context) error {
	return a.cfg.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		in := a.cfg.Name
		if _, err := tx.Exec(ctx, `INSERT INTO playground_counters (install, n) VALUES (?, 0) ON CONFLICT (install) DO NOTHING`, in); err != nil {
			return fmt.Errorf("make counter: %w", err)
		}
		for i, p := range DefaultPeople() {
			if _, err := tx.Exec(ctx, `INSERT INTO playground_people (install, id, place, name, name_en, role, role_en)
				VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (install, id) DO NOTHING`, in, p.ID, i, p.Name, p.NameEN, p.Role, p.RoleEN); err != nil {
				return fmt.Errorf("make person: %w", err)
			}
			if err := a.furnishConv(ctx, tx, 1000+i, true, Conversation{
				ID: PrivateChat(p.ID), Name: BotName + " 派单", NameEN: BotName,
				About: "和机器人单独聊：只有你看得到", AboutEN: "Just you and the bot", Members: []string{p.ID},
			}); err != nil {
				return err
			}
		}
		for i, c := range DefaultConversations() {
			if err := a.furnishConv(ctx, tx, i, false, c); err != nil {
				return err
			}
		}
		a.people = nil
		return tx.Select(ctx, &a.people, `SELECT id, name, name_en, role, role_en FROM playground_people WHERE install = ? ORDER BY place`, in)
	})
}

func (a *Adapter) furnishConv(ctx context.Context, tx *sqldb.Tx, place int, private bool, c Conversation) error {
	n, err := tx.Exec(ctx, `INSERT INTO playground_convs (install, id, place, name, name_en, about, about_en, private)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (install, id) DO NOTHING`,
		a.cfg.Name, c.ID, place, c.Name, c.NameEN, c.About, c.AboutEN, private)
	if err != nil {
		return fmt.Errorf("make conversation: %w", err)
	}
	if n == 0 {
		return nil
	}
	for _, m := range c.Members {
		if _, err := tx.Exec(ctx, `INSERT INTO playground_members (install, conv, person) VALUES (?, ?, ?)`, a.cfg.Name, c.ID, m); err != nil {
			return fmt.Errorf("make member: %w", err)
		}
	}
	return nil
}

func (a *Adapter) person(id string) (Person, bool) {
	for _, p := range a.people {
		if p.ID == id {
			return p, true
		}
	}
	return Person{}, false
}

// nameOf is what the bot is told a person is called.
func (a *Adapter) nameOf(p Person) string {
	if strings.HasPrefix(string(a.cfg.Lang), "en") {
		return p.NameEN
	}
	return p.Name
}

func (a *Adapter) isMember(ctx context.Context, q sqldb.Querier, conv, person string) error {
	var n int64
	err := q.Get(ctx, &n, `SELECT count(*) FROM playground_members WHERE install = ? AND conv = ? AND person = ?`, a.cfg.Name, conv, person)
	if err != nil {
		return fmt.Errorf("look up member: %w", err)
	}
	if n == 0 {
		return errNoSuch
	}
	return nil
}

// message is a message as it is stored.
type message struct {
	ID      int64  `db:"id"`
	Rev     int64  `db:"rev"`
	Conv    string `db:"conv"`
	Thread  int64  `db:"thread"`
	Author  string `db:"author"`
	OnlyFor string `db:"only_for"`
	Body    string `db:"body"`
	Card    string `db:"card"`
	At      int64  `db:"at"`
	Edited  bool   `db:"edited"`
	Deleted bool   `db:"deleted"`
}

const messageColumns = `id, rev, conv, thread, author, only_for, body, card, at, edited, deleted`

// message finds a message that is still there.
func (a *Adapter) message(ctx context.Context, q sqldb.Querier, id int64) (message, error) {
	var m message
	err := q.Get(ctx, &m, `SELECT `+messageColumns+` FROM playground_messages WHERE install = ? AND id = ? AND deleted = ?`, a.cfg.Name, id, false)
	if sqldb.NotFound(err) {
		return m, errNoSuch
	}
	if err != nil {
		return m, fmt.Errorf("load message: %w", err)
	}
	return m, nil
}

// messageFor finds a message that a person can see.
func (a *Adapter) messageFor(ctx context.Context, q sqldb.Querier, id int64, person string) (message, error) {
	m, err := a.message(ctx, q, id)
	if err != nil {
		return m, err
	}
	if m.OnlyFor != "" && m.OnlyFor != person {
		return m, errNoSuch
	}
	return m, a.isMember(ctx, q, m.Conv, person)
}

// insert stores m under a new number and touches the root of its thread, whose
// count of replies changes. once may be nil. When a message with the same once
// is there already, its id comes back and nothing is changed.
func (a *Adapter) insert(ctx context.Context, tx *sqldb.Tx, m message, once *string) (id int64, fresh bool, err error) {
	n, err := a.next(ctx, tx)
	if err != nil {
		return 0, false, err
	}
	m.At = a.cfg.Clock.Now().UnixMicro()
	rows, err := tx.Exec(ctx, `INSERT INTO playground_messages (install, id, rev, conv, thread, author, only_for, body, card, once, at, edited, deleted)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (install, conv, once) DO NOTHING`,
		a.cfg.Name, n, n, m.Conv, m.Thread, m.Author, m.OnlyFor, m.Body, m.Card, once, m.At, false, false)
	if err != nil {
		return 0, false, fmt.Errorf("store message: %w", err)
	}
	if rows == 0 {
		err := tx.Get(ctx, &id, `SELECT id FROM playground_messages WHERE install = ? AND conv = ? AND once = ?`, a.cfg.Name, m.Conv, once)
		if err != nil {
			return 0, false, fmt.Errorf("find message: %w", err)
		}
		return id, false, nil
	}
	if m.Thread != 0 {
		if err := a.touch(ctx, tx, m.Thread); err != nil {
			return 0, false, err
		}
	}
	return n, true, nil
}

// touch lets every page see a message anew.
func (a *Adapter) touch(ctx context.Context, tx *sqldb.Tx, id int64) error {
	n, err := a.next(ctx, tx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE playground_messages SET rev = ? WHERE install = ? AND id = ?`, n, a.cfg.Name, id); err != nil {
		return fmt.Errorf("touch message: %w", err)
	}
	return nil
}

// recard shows c where message id stands.
func (a *Adapter) recard(ctx context.Context, tx *sqldb.Tx, id int64, c *card) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode card: %w", err)
	}
	n, err := a.next(ctx, tx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE playground_messages SET card = ?, rev = ? WHERE install = ? AND id = ?`, string(text), n, a.cfg.Name, id); err != nil {
		return fmt.Errorf("change card: %w", err)
	}
	return nil
}

// remove takes a message away, with its text and files. A stump stays, so that
// pages hear of it; what the bot posted under the same once may be posted again.
func (a *Adapter) remove(ctx context.Context, tx *sqldb.Tx, m message) error {
	n, err := a.next(ctx, tx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE playground_messages SET deleted = ?, body = '', card = '', once = NULL, rev = ? WHERE install = ? AND id = ?`,
		true, n, a.cfg.Name, m.ID); err != nil {
		return fmt.Errorf("delete message: %w", err)
	}
	for _, q := range []string{
		`DELETE FROM playground_files WHERE install = ? AND message = ?`,
		`DELETE FROM playground_reactions WHERE install = ? AND message = ?`,
	} {
		if _, err := tx.Exec(ctx, q, a.cfg.Name, m.ID); err != nil {
			return fmt.Errorf("delete what belongs to a message: %w", err)
		}
	}
	if m.Thread != 0 {
		return a.touch(ctx, tx, m.Thread)
	}
	return nil
}

// enqueue stores an event for the bot, in the transaction of what it tells of.
func (a *Adapter) enqueue(ctx context.Context, tx *sqldb.Tx, f frame) error {
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	n, err := a.next(ctx, tx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO playground_events (install, seq, id, lane, frame, created, parked) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		a.cfg.Name, n, f.ID, f.Conv, string(text), time.Now().UnixMicro(), false); err != nil {
		return fmt.Errorf("store event: %w", err)
	}
	return nil
}

// frame begins an event by p in a conversation.
func (a *Adapter) frame(kind string, p Person, conv, locale string) (frame, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return frame{}, fmt.Errorf("make event id: %w", err)
	}
	if locale == "" {
		locale = string(a.cfg.Lang)
	}
	return frame{
		ID: id.String(), Install: a.cfg.Name, Type: kind, At: a.cfg.Clock.Now().UnixMicro(), User: p.ID, Name: a.nameOf(p),
		Conv: conv, Private: conv == PrivateChat(p.ID), Locale: locale,
	}, nil
}

// marks is n question marks for an IN list.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// shownMessage is a message as a page gets it.
type shownMessage struct {
	ID        int64           `json:"id"`
	Rev       int64           `json:"rev"`
	Conv      string          `json:"conv"`
	Thread    int64           `json:"thread,omitempty"`
	Author    string          `json:"author"` // "" is the bot
	OnlyForMe bool            `json:"only_for_me,omitempty"`
	Text      string          `json:"text,omitempty"`
	Card      json.RawMessage `json:"card,omitempty"`
	At        int64           `json:"at"` // ms
	Edited    bool            `json:"edited,omitempty"`
	Deleted   bool            `json:"deleted,omitempty"`
	Replies   int64           `json:"replies,omitempty"`
	Files     []fileInfo      `json:"files,omitempty"`
	Reactions []reaction      `json:"reactions,omitempty"`
}

type reaction struct {
	Emoji  string   `json:"emoji"`
	People []string `json:"people"`
}

// show adds to messages what hangs on them.
func (a *Adapter) show(ctx context.Context, q sqldb.Querier, rows []message) ([]shownMessage, error) {
	out := make([]shownMessage, 0, len(rows))
	if len(rows) == 0 {
		return out, nil
	}
	at := map[int64]int{}
	args := []any{a.cfg.Name}
	for i, m := range rows {
		at[m.ID] = i
		args = append(args, m.ID)
		s := shownMessage{ID: m.ID, Rev: m.Rev, Conv: m.Conv, Thread: m.Thread, Author: m.Author, OnlyForMe: m.OnlyFor != "",
			Text: m.Body, At: m.At / 1000, Edited: m.Edited, Deleted: m.Deleted}
		if m.Card != "" {
			s.Card = json.RawMessage(m.Card)
		}
		out = append(out, s)
	}
	in := `(` + marks(len(rows)) + `)`
	var replies []struct {
		Thread, N int64
	}
	if err := q.Select(ctx, &replies, `SELECT thread, count(*) AS n FROM playground_messages
		WHERE install = ? AND thread IN `+in+` AND deleted = ? AND only_for = '' GROUP BY thread`, append(append([]any{}, args...), false)...); err != nil {
		return nil, fmt.Errorf("count replies: %w", err)
	}
	for _, r := range replies {
		out[at[r.Thread]].Replies = r.N
	}
	var files []struct {
		Message int64
		fileInfo
	}
	if err := q.Select(ctx, &files, `SELECT message, id, name, type, size FROM playground_files
		WHERE install = ? AND message IN `+in+` ORDER BY message, place`, args...); err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	for _, f := range files {
		s := &out[at[f.Message]]
		s.Files = append(s.Files, f.fileInfo)
	}
	var reactions []struct {
		Message       int64
		Emoji, Person string
	}
	if err := q.Select(ctx, &reactions, `SELECT message, emoji, person FROM playground_reactions
		WHERE install = ? AND message IN `+in+` ORDER BY message, emoji, person`, args...); err != nil {
		return nil, fmt.Errorf("list reactions: %w", err)
	}
	for _, r := range reactions {
		s := &out[at[r.Message]]
		if n := len(s.Reactions); n > 0 && s.Reactions[n-1].Emoji == r.Emoji {
			s.Reactions[n-1].People = append(s.Reactions[n-1].People, r.Person)
		} else {
			s.Reactions = append(s.Reactions, reaction{r.Emoji, []string{r.Person}})
		}
	}
	return out, nil
}

// changed tells every page and this program's Stream that there is something new.
func (a *Adapter) changed() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for f := range a.feeds {
		select {
		case f <- struct{}{}:
		default:
		}
	}
}
