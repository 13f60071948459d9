package playground

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/sqldb"
)

// What the bot does in the room.

// Reply writes what the bot says to an event as JSON; the chat server shows it.
func (a *Adapter) Reply(w http.ResponseWriter, _ bot.Inbound, out bot.Reply) {
	w.Header().Set("Content-Type", "application/json")
	b, err := json.Marshal(a.drawReply(out))
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		a.cfg.Log.Error("reply was not encoded", "err", err)
		return
	}
	if _, err := w.Write(b); err != nil {
		a.cfg.Log.Warn("reply was not written", "err", err)
	}
}

// Post shows a card. A second call with the same once finds the first one's message.
func (a *Adapter) Post(ctx context.Context, to bot.Dest, once string, c cards.Card) (bot.MessageRef, error) {
	text, err := json.Marshal(a.draw(c))
	if err != nil {
		return "", fmt.Errorf("encode card: %w", err)
	}
	id, err := a.post(ctx, to, once, message{Card: string(text)}, nil)
	if err != nil {
		return "", fmt.Errorf("post: %w", err)
	}
	return ref(id), nil
}

// post stores a message of the bot, and then what belongs to it.
func (a *Adapter) post(ctx context.Context, to bot.Dest, once string, m message, then func(tx *sqldb.Tx, m message) error) (id int64, err error) {
	var key *string
	if once != "" {
		key = &once
	}
	err = a.cfg.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		m.Conv, m.Thread, err = a.place(ctx, tx, to)
		if err != nil {
			return err
		}
		var fresh bool
		id, fresh, err = a.insert(ctx, tx, m, key)
		if err != nil || !fresh || then == nil {
			return err
		}
		m.ID = id
		return then(tx, m)
	})
	if err != nil {
		return 0, verdict(err)
	}
	a.changed()
	return id, nil
}

// verdict says what the sender shall make of an error.
func verdict(err error) error {
	switch {
	case errors.Is(err, errNoSuch):
		return fmt.Errorf("%w: %w", bot.ErrGone, err)
	case errors.Is(err, sqldb.ErrUnknown):
		return fmt.Errorf("%w: %w", bot.ErrUnknown, err)
	}
	return err
}

// place finds the conversation and thread that to means.
func (a *Adapter) place(ctx context.Context, q sqldb.Querier, to bot.Dest) (conv string, thread int64, err error) {
	if to.Install != a.install {
		return "", 0, fmt.Errorf("%s is another install: %w", to.Install, bot.ErrRejected)
	}
	conv = to.Conv
	if to.User != "" {
		conv = PrivateChat(to.User)
	}
	var n int64
	if err := q.Get(ctx, &n, `SELECT count(*) FROM playground_convs WHERE install = ? AND id = ?`, a.cfg.Name, conv); err != nil {
		return "", 0, fmt.Errorf("look up conversation: %w", err)
	}
	if n == 0 {
		return "", 0, errNoSuch
	}
	thread, err = a.root(ctx, q, conv, to.Thread)
	return conv, thread, err
}

// root is the root of the thread that r belongs to or begins; 0 is the top level.
func (a *Adapter) root(ctx context.Context, q sqldb.Querier, conv string, r bot.MessageRef) (int64, error) {
	id, err := parseRef(r)
	if err != nil || id == 0 {
		return 0, err
	}
	m, err := a.message(ctx, q, id)
	if err != nil {
		return 0, err
	}
	if m.Conv != conv {
		return 0, fmt.Errorf("the thread is in another conversation: %w", bot.ErrRejected)
	}
	if m.Thread != 0 {
		return m.Thread, nil
	}
	return m.ID, nil
}

// ours finds a message of the bot.
func (a *Adapter) ours(ctx context.Context, tx *sqldb.Tx, r bot.MessageRef) (message, error) {
	id, err := parseRef(r)
	if err != nil {
		return message{}, err
	}
	m, err := a.message(ctx, tx, id)
	if err == nil && m.Author != "" {
		return m, fmt.Errorf("the message is not the bot's: %w", bot.ErrRejected)
	}
	return m, err
}

// Update changes a card in place; its reference stays the same.
func (a *Adapter) Update(ctx context.Context, r bot.MessageRef, c cards.Card) (bot.MessageRef, error) {
	err := a.cfg.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		m, err := a.ours(ctx, tx, r)
		if err != nil {
			return err
		}
		return a.recard(ctx, tx, m.ID, a.draw(c))
	})
	if err != nil {
		return "", fmt.Errorf("update: %w", verdict(err))
	}
	a.changed()
	return r, nil
}

// Delete takes a message of the bot away. One that is gone already is no error.
func (a *Adapter) Delete(ctx context.Context, r bot.MessageRef) error {
	err := a.cfg.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		m, err := a.ours(ctx, tx, r)
		if errors.Is(err, errNoSuch) {
			return nil
		}
		if err != nil {
			return err
		}
		return a.remove(ctx, tx, m)
	})
	if err != nil {
		return fmt.Errorf("delete: %w", verdict(err))
	}
	a.changed()
	return nil
}

// Find looks for what was posted with once.
func (a *Adapter) Find(ctx context.Context, to bot.Dest, once string) (bot.MessageRef, error) {
	var found bot.MessageRef
	// In a writing transaction: on PostgreSQL it waits at the counter for a post
	// that is still under way, which a mere read would not see.
	err := a.cfg.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		if _, err := a.next(ctx, tx); err != nil {
			return err
		}
		conv, _, err := a.place(ctx, tx, bot.Dest{Install: to.Install, Conv: to.Conv, User: to.User})
		if err != nil {
			return err
		}
		var id int64
		err = tx.Get(ctx, &id, `SELECT id FROM playground_messages WHERE install = ? AND conv = ? AND once = ? AND deleted = ?`, a.cfg.Name, conv, once, false)
		if sqldb.NotFound(err) {
			return nil
		}
		found = ref(id)
		return err
	})
	if errors.Is(err, errNoSuch) {
		return "", nil // no such place: certainly not there
	}
	if err != nil {
		return "", fmt.Errorf("find: %w", verdict(err))
	}
	return found, nil
}

// Whisper shows a card to one person only, in the stream of a group.
func (a *Adapter) Whisper(ctx context.Context, conv bot.ConvRef, to bot.UserRef, thread bot.MessageRef, c cards.Card) error {
	text, err := json.Marshal(a.draw(c))
	if err != nil {
		return fmt.Errorf("encode card: %w", err)
	}
	if to.Install != a.install {
		return fmt.Errorf("whisper: %s is another install: %w", to.Install, bot.ErrRejected)
	}
	err = a.cfg.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		id, root, err := a.place(ctx, tx, bot.Dest{Install: conv.Install, Conv: conv.ID, Thread: thread})
		if err != nil {
			return err
		}
		if err := a.isMember(ctx, tx, id, to.ID); err != nil {
			return err
		}
		_, _, err = a.insert(ctx, tx, message{Conv: id, Thread: root, OnlyFor: to.ID, Card: string(text)}, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("whisper: %w", verdict(err))
	}
	a.changed()
	return nil
}

// PublishHome shows a person's own page.
func (a *Adapter) PublishHome(ctx context.Context, user bot.UserRef, c cards.Card) error {
	text, err := json.Marshal(a.draw(c))
	if err != nil {
		return fmt.Errorf("encode card: %w", err)
	}
	if user.Install != a.install {
		return fmt.Errorf("publish home: %s is another install: %w", user.Install, bot.ErrRejected)
	}
	err = a.cfg.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		n, err := a.next(ctx, tx)
		if err != nil {
			return err
		}
		rows, err := tx.Exec(ctx, `UPDATE playground_people SET home = ?, home_rev = ? WHERE install = ? AND id = ?`, string(text), n, a.cfg.Name, user.ID)
		if err == nil && rows == 0 {
			return errNoSuch
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("publish home: %w", verdict(err))
	}
	a.changed()
	return nil
}

// FindUser tells who somebody is.
func (a *Adapter) FindUser(_ context.Context, u bot.UserRef) (bot.User, error) {
	p, ok := a.person(u.ID)
	if !ok || u.Install != a.install {
		return bot.User{}, fmt.Errorf("find user: %w", bot.ErrGone)
	}
	return bot.User{Ref: u, Name: a.nameOf(p), Locale: string(a.cfg.Lang), Zone: a.cfg.Zone}, nil
}

// Members tells who is in a conversation, besides the bot.
func (a *Adapter) Members(ctx context.Context, c bot.ConvRef) ([]bot.UserRef, error) {
	var ids []string
	err := a.cfg.DB.Select(ctx, &ids, `SELECT m.person FROM playground_members m JOIN playground_people p ON p.install = m.install AND p.id = m.person
		WHERE m.install = ? AND m.conv = ? ORDER BY p.place`, c.Install.Name, c.ID)
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	if len(ids) == 0 || c.Install != a.install {
		return nil, fmt.Errorf("list members: %w", bot.ErrGone)
	}
	out := make([]bot.UserRef, len(ids))
	for i, id := range ids {
		out[i] = a.user(id)
	}
	return out, nil
}

// ConvName tells what people call a conversation.
func (a *Adapter) ConvName(ctx context.Context, c bot.ConvRef) (string, error) {
	var n struct {
		Name   string
		NameEN string `db:"name_en"`
	}
	err := a.cfg.DB.Get(ctx, &n, `SELECT name, name_en FROM playground_convs WHERE install = ? AND id = ?`, c.Install.Name, c.ID)
	if sqldb.NotFound(err) || c.Install != a.install {
		return "", fmt.Errorf("name conversation: %w", bot.ErrGone)
	}
	if err != nil {
		return "", fmt.Errorf("name conversation: %w", err)
	}
	if strings.HasPrefix(string(a.cfg.Lang), "en") {
		return n.NameEN, nil
	}
	return n.Name, nil
}

// Fetch opens a file of the room.
func (a *Adapter) Fetch(ctx context.Context, f bot.File) (io.ReadCloser, error) {
	var content []byte
	err := a.cfg.DB.Get(ctx, &content, `SELECT content FROM playground_files WHERE install = ? AND id = ?`, a.cfg.Name, f.ID)
	if sqldb.NotFound(err) {
		return nil, fmt.Errorf("fetch file: %w", bot.ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch file: %w", err)
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

// SendFile puts a file into a conversation.
func (a *Adapter) SendFile(ctx context.Context, to bot.Dest, once, name string, size int64, content io.Reader) (bot.MessageRef, error) {
	if size > MaxFile {
		return "", fmt.Errorf("send file: larger than %d bytes: %w", MaxFile, bot.ErrRejected)
	}
	data, err := io.ReadAll(io.LimitReader(content, MaxFile+1))
	if err != nil {
		return "", fmt.Errorf("read file: %w", err)
	}
	if len(data) > MaxFile {
		return "", fmt.Errorf("send file: larger than %d bytes: %w", MaxFile, bot.ErrRejected)
	}
	id, err := a.post(ctx, to, once, message{}, func(tx *sqldb.Tx, m message) error {
		_, err := a.storeFile(ctx, tx, m.Conv, "", m.ID, name, data)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("send file: %w", err)
	}
	return ref(id), nil
}
