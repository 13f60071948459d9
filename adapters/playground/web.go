package playground

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/internal/sqldb"
)

//go:embed web
var assets embed.FS

// maxBody is the largest request besides files, in bytes.
const maxBody = 256 << 10

// patience is how long a page's request waits for the bot. What comes later
// still shows in the room, but opens no form.
const patience = 3 * time.Second

// Handler serves the page and what it calls, at the root or below /playground.
func (a *Adapter) Handler() http.Handler {
	mux := http.NewServeMux()
	for name, kind := range map[string]string{
		"index.html": "text/html; charset=utf-8",
		"app.js":     "text/javascript; charset=utf-8",
		"words.js":   "text/javascript; charset=utf-8",
		"style.css":  "text/css; charset=utf-8",
		"icon.svg":   "image/svg+xml",
	} {
		at := "GET /" + name
		if name == "index.html" {
			at = "GET /{$}"
		}
		mux.Handle(at, asset(name, kind))
	}
	mux.HandleFunc("GET /api/state", a.getState)
	mux.HandleFunc("GET /api/messages", a.getMessages)
	mux.HandleFunc("GET /api/events", a.getEvents)
	mux.HandleFunc("GET /api/files/{id}", a.download)
	mux.HandleFunc("POST /api/upload", a.upload)
	for name, do := range map[string]func(*Adapter, context.Context, *act) (result, error){
		"say": (*Adapter).say, "click": (*Adapter).press, "submit": (*Adapter).press, "reload": (*Adapter).press,
		"shortcut": (*Adapter).shortcut, "react": (*Adapter).react, "edit": (*Adapter).edit, "delete": (*Adapter).unsay,
		"home": (*Adapter).openHome, "read": (*Adapter).markRead, "advance": (*Adapter).advance,
	} {
		mux.HandleFunc("POST /api/"+name, a.doing(name, do))
	}
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !a.cfg.Public && !fromHere(r) {
			a.refuse(w, r, errNotHere)
			return
		}
		if p, ok := strings.CutPrefix(r.URL.Path, "/playground"); ok && (p == "" || p[0] == '/') {
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = p, ""
			if p == "" {
				http.Redirect(w, r, "/playground/", http.StatusMovedPermanently)
				return
			}
		}
		guarded.ServeHTTP(w, r)
	})
}

// fromHere reports whether a request was made on this machine, by a page of this
// machine. The host is checked besides the sender because a foreign page can
// have its own name lead here (DNS rebinding).
func fromHere(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() || !isLoopback(r.Host) {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && isLoopback(u.Host)
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func asset(name, kind string) http.Handler {
	data, err := assets.ReadFile("web/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, path.Base(name), time.Time{}, bytes.NewReader(data))
	})
}

// Errors that a page can make, besides errNoSuch.
var (
	errMalformed = errors.New("malformed")
	errTooLarge  = errors.New("too large")
	errNotHere   = errors.New("not from this machine")
	errNotYours  = errors.New("not yours")
	errEmpty     = errors.New("nothing said")
)

// refusals say what a page shows; the key is translated there.
var refusals = []struct {
	err    error
	status int
	key    string
	says   string
}{
	{errNoSuch, http.StatusNotFound, "gone", "That is not there any more, or not for you to see."},
	{bot.ErrRejected, http.StatusNotFound, "gone", "That is in another conversation."},
	{errMalformed, http.StatusBadRequest, "malformed", "The request makes no sense. Reload the page and try again."},
	{errTooLarge, http.StatusRequestEntityTooLarge, "too_large", "That is too large. Files may have 25 MB."},
	{errNotHere, http.StatusForbidden, "not_here", "The playground has no log-in and answers this machine only. Open it as http://localhost, or switch it on for everybody in the configuration."},
	{errNotYours, http.StatusForbidden, "not_yours", "Only what you wrote yourself can be changed or deleted."},
	{errEmpty, http.StatusBadRequest, "empty", "Write something first."},
}

// refuse answers with a sentence.
func (a *Adapter) refuse(w http.ResponseWriter, r *http.Request, err error) {
	type fault struct {
		Error string `json:"error"`
		Says  string `json:"says"`
	}
	for _, f := range refusals {
		if errors.Is(err, f.err) {
			a.writeJSON(w, f.status, fault{f.key, f.says})
			return
		}
	}
	if r.Context().Err() == nil {
		a.cfg.Log.Error("page was not served", "path", r.URL.Path, "err", err)
	}
	a.writeJSON(w, http.StatusInternalServerError, fault{"internal", "Something is wrong on our side. Try again in a moment."})
}

func (a *Adapter) writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		a.cfg.Log.Error("answer was not encoded", "err", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if _, err := w.Write(b); err != nil {
		a.cfg.Log.Debug("answer was not sent", "err", err)
	}
}

// act is what a page asks for. Which fields count depends on what it is.
type act struct {
	kind    string
	person  Person
	As      string            `json:"as"`
	Lang    string            `json:"lang"`
	Conv    string            `json:"conv"`
	Thread  int64             `json:"thread"`
	Message int64             `json:"message"`
	Text    string            `json:"text"`
	Files   []string          `json:"files"`
	Token   string            `json:"token"`
	Value   string            `json:"value"`
	Values  map[string]string `json:"values"`
	Emoji   string            `json:"emoji"`
	On      bool              `json:"on"`
	Upto    int64             `json:"upto"`
	Seconds int64             `json:"seconds"`
}

var actKeys = []string{"as", "lang", "conv", "thread", "message", "text", "files", "token", "value", "values", "emoji", "on", "upto", "seconds"}

// result is what a page gets back. Pending: the bot has not answered yet, and will.
type result struct {
	Message int64   `json:"message,omitempty"`
	Pending bool    `json:"pending,omitempty"`
	Reply   *answer `json:"reply,omitempty"`
	event   string  // whose answer the page waits for
}

// doing reads an act, does it, and waits for what the bot says to it.
func (a *Adapter) doing(kind string, do func(*Adapter, context.Context, *act) (result, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		in := act{kind: kind}
		if err := readAct(w, r, &in); err != nil {
			a.refuse(w, r, err)
			return
		}
		var ok bool
		if in.person, ok = a.person(in.As); !ok {
			a.refuse(w, r, errNoSuch)
			return
		}
		out, err := do(a, r.Context(), &in)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		a.writeJSON(w, http.StatusOK, out)
	}
}

func readAct(w http.ResponseWriter, r *http.Request, in *act) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return errMalformed
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return errTooLarge
	}
	if err != nil {
		return errMalformed
	}
	if err := decodeStrict(body, in, actKeys); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	if len(in.Lang) > 20 || len(in.Files) > 20 {
		return errMalformed
	}
	return nil
}

// await stores something with store and waits for the bot's answer to the event
// called id that it stored.
func (a *Adapter) await(ctx context.Context, id string, store func(tx *sqldb.Tx) error) (result, error) {
	ch := make(chan answer, 1)
	a.mu.Lock()
	a.waiting[id] = ch
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.waiting, id)
		a.mu.Unlock()
	}()
	if err := a.cfg.DB.Tx(ctx, store); err != nil {
		return result{}, err
	}
	a.changed()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case ans := <-ch:
		return result{Reply: &ans}, nil
	case <-timer.C:
	case <-ctx.Done():
	case <-a.stopped.Done():
	}
	return result{Pending: true}, nil
}
