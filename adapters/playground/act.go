package playground

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/paidan/paidan/internal/sqldb"
)

// What a person does in the room. Each stores what is seen of it and the event
// for the bot in one transaction.

// maxText is the longest message, in bytes.
const maxText = 16 << 10

// slashes are commands that go to the bot alone and are not posted.
var slashes = []string{"/工单", "/派单", "/gd", "/ticket", "/paidan"}

func (a *Adapter) say(ctx context.Context, in *act) (result, error) {
	in.Text = strings.TrimSpace(in.Text)
	if in.Text == "" && len(in.Files) == 0 {
		return result{}, errEmpty
	}
	if len(in.Text) > maxText {
		return result{}, errTooLarge
	}
	kind, command := "message", ""
	for _, s := range slashes {
		if rest, ok := strings.CutPrefix(in.Text, s); ok && (rest == "" || rest[0] == ' ') && len(in.Files) == 0 {
			kind, command = "slash", strings.TrimSpace(rest)
		}
	}
	f, err := a.frame(kind, in.person, in.Conv, in.Lang)
	if err != nil {
		return result{}, err
	}
	var id int64
	out, err := a.await(ctx, f.ID, func(tx *sqldb.Tx) error {
		if err := a.isMember(ctx, tx, in.Conv, in.person.ID); err != nil {
			return err
		}
		f.Thread, err = a.root(ctx, tx, in.Conv, ref(in.Thread))
		if err != nil {
			return err
		}
		if kind == "slash" {
			f.Text, f.ToBot = command, true
			_, _, f.Mentions = readMentions(command, a.people)
			return a.enqueue(ctx, tx, f)
		}
		id, _, err = a.insert(ctx, tx, message{Conv: in.Conv, Thread: f.Thread, Author: in.person.ID, Body: in.Text}, nil)
		if err != nil {
			return err
		}
		f.Message = id
		a.fillText(&f, in.Text)
		if f.Files, err = a.attach(ctx, tx, id, in); err != nil {
			return err
		}
		return a.enqueue(ctx, tx, f)
	})
	out.Message = id
	return out, err
}

func (a *Adapter) fillText(f *frame, text string) {
	f.Text, f.ToBot, f.Mentions = readMentions(text, a.people)
	f.ToBot = f.ToBot || f.Private
}

// attach hangs files on the message that they were uploaded for.
func (a *Adapter) attach(ctx context.Context, tx *sqldb.Tx, id int64, in *act) ([]fileInfo, error) {
	for i, file := range in.Files {
		n, err := tx.Exec(ctx, `UPDATE playground_files SET message = ?, place = ? WHERE install = ? AND id = ? AND conv = ? AND person = ? AND message = 0`,
			id, i, a.cfg.Name, file, in.Conv, in.person.ID)
		if err != nil {
			return nil, fmt.Errorf("attach file: %w", err)
		}
		if n == 0 {
			return nil, errNoSuch
		}
	}
	var files []fileInfo
	err := tx.Select(ctx, &files, `SELECT id, name, type, size FROM playground_files WHERE install = ? AND message = ? ORDER BY place`, a.cfg.Name, id)
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	return files, nil
}

// press is a button, a menu or a form: on a message, or (Message 0) on the
// person's own page.
func (a *Adapter) press(ctx context.Context, in *act) (result, error) {
	if len(in.Token) > 4096 || len(in.Values) > 64 {
		return result{}, errMalformed
	}
	f, err := a.frame(in.kind, in.person, PrivateChat(in.person.ID), in.Lang)
	if err != nil {
		return result{}, err
	}
	f.Token, f.Value, f.Values = in.Token, in.Value, in.Values
	return a.await(ctx, f.ID, func(tx *sqldb.Tx) error {
		switch {
		case in.Message != 0:
			m, err := a.messageFor(ctx, tx, in.Message, in.person.ID)
			if err != nil {
				return err
			}
			f.Message, f.Conv, f.Thread = m.ID, m.Conv, m.Thread
		case in.Conv != "": // a form that a message in there opened
			if err := a.isMember(ctx, tx, in.Conv, in.person.ID); err != nil {
				return err
			}
			f.Conv = in.Conv
			if f.Thread, err = a.root(ctx, tx, in.Conv, ref(in.Thread)); err != nil {
				return err
			}
		}
		f.Private = f.Conv == PrivateChat(in.person.ID)
		return a.enqueue(ctx, tx, f)
	})
}

// shortcut is the room's own entry "make a ticket of this message", or without a
// message "make a ticket".
func (a *Adapter) shortcut(ctx context.Context, in *act) (result, error) {
	f, err := a.frame("shortcut", in.person, in.Conv, in.Lang)
	if err != nil {
		return result{}, err
	}
	return a.await(ctx, f.ID, func(tx *sqldb.Tx) error {
		if in.Message == 0 {
			if err := a.isMember(ctx, tx, in.Conv, in.person.ID); err != nil {
				return err
			}
			return a.enqueue(ctx, tx, f)
		}
		m, err := a.messageFor(ctx, tx, in.Message, in.person.ID)
		if err != nil {
			return err
		}
		f.Message, f.Conv, f.Thread, f.Author = m.ID, m.Conv, m.Thread, m.Author
		f.Private = f.Conv == PrivateChat(in.person.ID)
		a.fillText(&f, m.Body)
		if err := tx.Select(ctx, &f.Files, `SELECT id, name, type, size FROM playground_files WHERE install = ? AND message = ? ORDER BY place`, a.cfg.Name, m.ID); err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		return a.enqueue(ctx, tx, f)
	})
}

var emojiForm = regexp.MustCompile(`^[a-z0-9_+-]{1,40}$`)

func (a *Adapter) react(ctx context.Context, in *act) (result, error) {
	if !emojiForm.MatchString(in.Emoji) {
		return result{}, errMalformed
	}
	kind := "unreacted"
	if in.On {
		kind = "reacted"
	}
	f, err := a.frame(kind, in.person, in.Conv, in.Lang)
	if err != nil {
		return result{}, err
	}
	return a.await(ctx, f.ID, func(tx *sqldb.Tx) error {
		m, err := a.messageFor(ctx, tx, in.Message, in.person.ID)
		if err != nil {
			return err
		}
		if err := a.touch(ctx, tx, m.ID); err != nil {
			return err
		}
		q := `DELETE FROM playground_reactions WHERE install = ? AND message = ? AND emoji = ? AND person = ?`
		if in.On {
			q = `INSERT INTO playground_reactions (install, message, emoji, person) VALUES (?, ?, ?, ?) ON CONFLICT (install, message, emoji, person) DO NOTHING`
		}
		if _, err := tx.Exec(ctx, q, a.cfg.Name, m.ID, in.Emoji, in.person.ID); err != nil {
			return fmt.Errorf("react: %w", err)
		}
		f.Message, f.Conv, f.Thread, f.Emoji, f.Author = m.ID, m.Conv, m.Thread, in.Emoji, m.Author
		f.Private = f.Conv == PrivateChat(in.person.ID)
		a.fillText(&f, m.Body)
		return a.enqueue(ctx, tx, f)
	})
}

// mine finds a message that the actor wrote himself.
func (a *Adapter) mine(ctx context.Context, tx *sqldb.Tx, in *act) (message, error) {
	m, err := a.messageFor(ctx, tx, in.Message, in.person.ID)
	if err == nil && m.Author != in.person.ID {
		return m, errNotYours
	}
	return m, err
}

func (a *Adapter) edit(ctx context.Context, in *act) (result, error) {
	in.Text = strings.TrimSpace(in.Text)
	if in.Text == "" {
		return result{}, errEmpty
	}
	if len(in.Text) > maxText {
		return result{}, errTooLarge
	}
	f, err := a.frame("edited", in.person, in.Conv, in.Lang)
	if err != nil {
		return result{}, err
	}
	return a.await(ctx, f.ID, func(tx *sqldb.Tx) error {
		m, err := a.mine(ctx, tx, in)
		if err != nil {
			return err
		}
		n, err := a.next(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE playground_messages SET body = ?, edited = ?, rev = ? WHERE install = ? AND id = ?`,
			in.Text, true, n, a.cfg.Name, m.ID); err != nil {
			return fmt.Errorf("edit message: %w", err)
		}
		f.Message, f.Conv, f.Thread = m.ID, m.Conv, m.Thread
		f.Private = f.Conv == PrivateChat(in.person.ID)
		a.fillText(&f, in.Text)
		return a.enqueue(ctx, tx, f)
	})
}

// unsay deletes a message that the actor wrote, or puts away a note that only he sees.
func (a *Adapter) unsay(ctx context.Context, in *act) (result, error) {
	f, err := a.frame("deleted", in.person, in.Conv, in.Lang)
	if err != nil {
		return result{}, err
	}
	var note bool
	store := func(tx *sqldb.Tx) error {
		m, err := a.messageFor(ctx, tx, in.Message, in.person.ID)
		if err != nil {
			return err
		}
		if note = m.OnlyFor != ""; note {
			return a.remove(ctx, tx, m)
		}
		if m.Author != in.person.ID {
			return errNotYours
		}
		if err := a.remove(ctx, tx, m); err != nil {
			return err
		}
		f.Message, f.Conv, f.Thread = m.ID, m.Conv, m.Thread
		f.Private = f.Conv == PrivateChat(in.person.ID)
		return a.enqueue(ctx, tx, f)
	}
	if err := a.cfg.DB.Tx(ctx, store); err != nil {
		return result{}, err
	}
	a.changed()
	return result{}, nil
}

func (a *Adapter) openHome(ctx context.Context, in *act) (result, error) {
	f, err := a.frame("home", in.person, PrivateChat(in.person.ID), in.Lang)
	if err != nil {
		return result{}, err
	}
	return a.await(ctx, f.ID, func(tx *sqldb.Tx) error { return a.enqueue(ctx, tx, f) })
}

func (a *Adapter) markRead(ctx context.Context, in *act) (result, error) {
	err := a.cfg.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE playground_members SET read_upto = ? WHERE install = ? AND conv = ? AND person = ? AND read_upto < ?`,
			in.Upto, a.cfg.Name, in.Conv, in.person.ID, in.Upto)
		return err
	})
	if err != nil {
		return result{}, fmt.Errorf("mark as read: %w", err)
	}
	a.changed()
	return result{}, nil
}

// advance pushes the bot's clock on, by at most 31 days at once.
func (a *Adapter) advance(_ context.Context, in *act) (result, error) {
	d := time.Duration(in.Seconds) * time.Second
	if in.Seconds < 1 || in.Seconds > 31*24*3600 {
		return result{}, errMalformed
	}
	a.cfg.Clock.Advance(d)
	a.cfg.Log.Info("clock was pushed on", "by", d.String())
	a.changed()
	return result{}, nil
}
