package playground

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/paidan/paidan/internal/sqldb"
)

// Files lie in the database: there are few, and a kill leaves no half of one.

// abandoned is how long an uploaded file may wait for its message.
const abandoned = 24 * time.Hour

// storeFile keeps a file. Its type is what its content shows, never what was claimed.
func (a *Adapter) storeFile(ctx context.Context, tx *sqldb.Tx, conv, person string, message int64, name string, data []byte) (fileInfo, error) {
	id, err := uuid.NewRandom() // not to be guessed
	if err != nil {
		return fileInfo{}, fmt.Errorf("make file id: %w", err)
	}
	n, err := a.next(ctx, tx)
	if err != nil {
		return fileInfo{}, err
	}
	f := fileInfo{ID: id.String(), Name: fileName(name), Type: sniff(data), Size: int64(len(data))}
	if data == nil {
		data = []byte{}
	}
	_, err = tx.Exec(ctx, `INSERT INTO playground_files (install, id, conv, person, message, place, name, type, size, at, content)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, a.cfg.Name, f.ID, conv, person, message, n, f.Name, f.Type, f.Size, time.Now().UnixMicro(), data)
	if err != nil {
		return fileInfo{}, fmt.Errorf("store file: %w", err)
	}
	return f, nil
}

// images are the types that the page shows as pictures.
var images = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// sniff is the type that data shows by its content. Anything that a browser
// might run, or that is not known, is bytes and nothing more.
func sniff(data []byte) string {
	t, _, err := mime.ParseMediaType(http.DetectContentType(data))
	if err != nil || !slices.Contains(append(images, "application/pdf", "application/zip", "text/plain"), t) {
		return "application/octet-stream"
	}
	return t
}

// fileName makes a name that is a name only: no path, no control characters, not too long.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf) {
			return -1
		}
		return r
	}, path.Base(strings.ReplaceAll(s, `\`, "/")))
	if r := []rune(s); len(r) > 120 {
		s = string(r[len(r)-120:]) // the end tells what it is
	}
	if s = strings.TrimSpace(s); s == "" || s == "." || s == ".." || s == "/" {
		return "file"
	}
	return s
}

// upload takes a file that a person is about to send.
func (a *Adapter) upload(w http.ResponseWriter, r *http.Request) {
	p, ok := a.person(r.URL.Query().Get("as"))
	conv := r.URL.Query().Get("conv")
	if !ok {
		a.refuse(w, r, errNoSuch)
		return
	}
	if err := a.isMember(r.Context(), a.cfg.DB, conv, p.ID); err != nil {
		a.refuse(w, r, err)
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxFile))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		a.refuse(w, r, errTooLarge)
		return
	}
	if err != nil {
		a.refuse(w, r, errMalformed)
		return
	}
	var f fileInfo
	err = a.cfg.DB.Tx(r.Context(), func(tx *sqldb.Tx) error {
		if _, err := tx.Exec(r.Context(), `DELETE FROM playground_files WHERE install = ? AND message = 0 AND at < ?`,
			a.cfg.Name, time.Now().Add(-abandoned).UnixMicro()); err != nil {
			return fmt.Errorf("drop abandoned files: %w", err)
		}
		f, err = a.storeFile(r.Context(), tx, conv, p.ID, 0, r.URL.Query().Get("name"), data)
		return err
	})
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	a.writeJSON(w, http.StatusOK, f)
}

// download gives a file to a member of its conversation: always as something to
// be saved, so that no browser shows it as a page of ours. Pictures still show
// where the page embeds them.
func (a *Adapter) download(w http.ResponseWriter, r *http.Request) {
	var f struct {
		Conv, Person, Name, Type string
		Message                  int64
		Content                  []byte
	}
	as := r.URL.Query().Get("as")
	err := a.cfg.DB.Get(r.Context(), &f, `SELECT conv, person, name, type, message, content FROM playground_files WHERE install = ? AND id = ?`,
		a.cfg.Name, r.PathValue("id"))
	if sqldb.NotFound(err) {
		err = errNoSuch
	}
	if err == nil && f.Message != 0 {
		_, err = a.messageFor(r.Context(), a.cfg.DB, f.Message, as)
	} else if err == nil && f.Person != as {
		err = errNoSuch
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	if slices.Contains(images, f.Type) && sniff(f.Content) == f.Type {
		h.Set("Content-Type", f.Type)
	}
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	h.Set("Content-Length", strconv.Itoa(len(f.Content)))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "private, max-age=3600")
	if _, err := w.Write(f.Content); err != nil {
		a.cfg.Log.Debug("file was not sent", "err", err)
	}
}
