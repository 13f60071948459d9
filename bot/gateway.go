package bot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// What became of a request, as a label.
const (
	ResultOK         = "ok"
	ResultHandshake  = "handshake"
	ResultNothing    = "nothing" // authentic and of no interest
	ResultUnverified = "unverified"
	ResultMalformed  = "malformed"
	ResultTooLarge   = "too_large"
	ResultUnread     = "unread" // the body did not arrive in time
	ResultEncoded    = "encoded"
	ResultBusy       = "busy"
	ResultFailed     = "failed"
	ResultPanic      = "panic"
)

// Gateway is the door through which platforms come in, over HTTP and over
// sockets alike: nothing is parsed before it has been verified, and nothing is
// acknowledged before it has been dealt with. Fill the fields before the first
// call; they must not change afterwards.
type Gateway struct {
	// Installs are the adapters; whoever is not here gets 404 before any work.
	Installs map[Install]Adapter
	// Sink deals with what was decoded. An error makes the platform send again.
	Sink func(ctx context.Context, install Install, in Inbound) (Reply, error)

	Now     func() time.Time // the clock that signatures are checked against; nil: time.Now
	Log     *slog.Logger     // nil: slog.Default()
	Metrics *Metrics         // nil: not counted

	Budget   time.Duration // for Sink; 0: 2.5 s, since Slack and Feishu give up after 3
	ReadTime time.Duration // for the body; 0: 10 s
	MaxBody  int64         // bytes; 0: 1 MiB
	AtOnce   int           // requests and frames in work; 0: 64
	Wait     time.Duration // for a free place among them; 0: 500 ms

	once  sync.Once
	slots chan struct{}
}

const (
	maxHeaders   = 64       // fields; platforms send about twenty
	maxHeaderLen = 16 << 10 // bytes of all of them
	maxQueryLen  = 8 << 10  // bytes; WeCom's echo is the longest and stays below 1 KiB
)

// ErrFrame is what Frame returns for a frame that will never be accepted.
var ErrFrame = errors.New("frame refused")

// ErrBusy is what Frame returns when too much is in work already.
var ErrBusy = errors.New("too busy")

// Handler serves /hooks/<platform>/<install>[/<rest>] for GET and POST. The
// server in front of it bounds header reading and idle time.
func (g *Gateway) Handler() http.Handler {
	g.once.Do(g.prepare)
	mux := http.NewServeMux()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		mux.HandleFunc(method+" /hooks/{platform}/{install}", g.hook)
		mux.HandleFunc(method+" /hooks/{platform}/{install}/{rest}", g.hook)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would redirect an unclean path, serve HEAD as GET, and read %2F
		// as a slash within a name. No platform does any of that.
		switch {
		case r.Method == http.MethodHead:
			w.Header().Set("Allow", "GET, POST")
			refuse(w, http.StatusMethodNotAllowed)
		case r.Method == http.MethodConnect, r.URL.RawPath != "", !plainPath(r.URL.Path):
			refuse(w, http.StatusNotFound)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// plainPath reports whether every part of p is a plain name.
func plainPath(p string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(p, "/"), "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
		}) {
			return false
		}
	}
	return strings.HasPrefix(p, "/")
}

func (g *Gateway) prepare() {
	if g.Now == nil {
		g.Now = time.Now
	}
	if g.Log == nil {
		g.Log = slog.Default()
	}
	if g.Budget == 0 {
		g.Budget = 2500 * time.Millisecond
	}
	if g.ReadTime == 0 {
		g.ReadTime = 10 * time.Second
	}
	if g.MaxBody == 0 {
		g.MaxBody = 1 << 20
	}
	if g.AtOnce == 0 {
		g.AtOnce = 64
	}
	if g.Wait == 0 {
		g.Wait = 500 * time.Millisecond
	}
	g.slots = make(chan struct{}, g.AtOnce)
}

// refuse answers with a status and nothing that tells one cause from another.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, strings.ToLower(http.StatusText(status)), status)
}

func (g *Gateway) hook(w http.ResponseWriter, r *http.Request) {
	install := Install{r.PathValue("platform"), r.PathValue("install")}
	adapter, ok := g.Installs[install]
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	if status, result := g.bounds(r); status != 0 {
		g.Metrics.Inbound(install.Platform, "", result)
		w.Header().Set("Connection", "close") // the body is not worth reading
		refuse(w, status)
		return
	}
	body, status, result := g.body(w, r)
	if status != 0 {
		g.Metrics.Inbound(install.Platform, "", result)
		refuse(w, status)
		return
	}
	raw := Raw{Method: r.Method, Path: r.PathValue("rest"), Header: r.Header, Query: r.URL.Query(), Body: body}
	if err := g.serve(r.Context(), install, adapter, w, raw); err != nil {
		status := http.StatusInternalServerError
		switch {
		case errors.Is(err, ErrUnverified):
			status = http.StatusUnauthorized
		case errors.Is(err, ErrMalformed):
			status = http.StatusBadRequest
		case errors.Is(err, ErrBusy):
			w.Header().Set("Retry-After", "1")
			status = http.StatusServiceUnavailable
		case errors.Is(err, errSink):
			status = http.StatusServiceUnavailable
		}
		refuse(w, status)
	}
}

// bounds refuses what can be refused by its head alone.
func (g *Gateway) bounds(r *http.Request) (int, string) {
	fields, size := 0, 0
	for name, values := range r.Header {
		for _, v := range values {
			fields++
			size += len(name) + len(v)
		}
	}
	encoding := strings.Join(r.Header.Values("Content-Encoding"), ",")
	switch {
	case fields > maxHeaders || size > maxHeaderLen:
		return http.StatusRequestHeaderFieldsTooLarge, ResultTooLarge
	case len(r.URL.RawQuery) > maxQueryLen:
		return http.StatusRequestURITooLong, ResultTooLarge
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return http.StatusUnsupportedMediaType, ResultEncoded
	case r.ContentLength > g.MaxBody:
		return http.StatusRequestEntityTooLarge, ResultTooLarge
	}
	return 0, ""
}

// body reads the body once, whole, in time and within its bounds.
func (g *Gateway) body(w http.ResponseWriter, r *http.Request) ([]byte, int, string) {
	// The deadline is the connection's, on the machine's own clock; a server
	// without one (a recorder in a test) has no connection to hold open either.
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(g.ReadTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, http.StatusInternalServerError, ResultUnread
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, g.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, http.StatusRequestEntityTooLarge, ResultTooLarge
	case err != nil:
		w.Header().Set("Connection", "close")
		return nil, http.StatusRequestTimeout, ResultUnread
	}
	if err := control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, http.StatusInternalServerError, ResultUnread
	}
	return body, 0, ""
}

// errSink marks that the work itself failed and shall be asked for again.
var errSink = errors.New("not dealt with")

// Frame passes what came over a socket through the same door. The frame may be
// acknowledged only when it returns nil; w then holds the platform's answer.
// Frames that will never be accepted return ErrFrame, with the reason wrapped.
func (g *Gateway) Frame(ctx context.Context, install Install, w http.ResponseWriter, r Raw) error {
	g.once.Do(g.prepare)
	adapter, ok := g.Installs[install]
	if !ok {
		return fmt.Errorf("%w: no install %s", ErrFrame, install)
	}
	if int64(len(r.Body)) > g.MaxBody {
		g.Metrics.Inbound(install.Platform, "", ResultTooLarge)
		return fmt.Errorf("%w: %d bytes", ErrFrame, len(r.Body))
	}
	err := g.serve(ctx, install, adapter, w, r)
	if errors.Is(err, ErrUnverified) || errors.Is(err, ErrMalformed) {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return err
}

// serve is the one path of everything that comes in. Unless the connection
// broke, nothing has been written to w when it returns an error.
func (g *Gateway) serve(ctx context.Context, install Install, adapter Adapter, w http.ResponseWriter, r Raw) (err error) {
	begin := time.Now()
	kind, result := "", ResultFailed
	defer func() {
		if cause := recover(); cause != nil {
			result = ResultPanic
			// The value may quote what was parsed, so only its type is told.
			g.Log.Error("panicked in a hook", "platform", install.Platform, "install", install.Name, "kind", kind, "cause", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
			err = errors.New("panic")
		}
		g.Metrics.Inbound(install.Platform, kind, result)
		g.Log.Debug("took a hook", "platform", install.Platform, "install", install.Name, "kind", kind, "result", result, "took", time.Since(begin))
	}()

	wait := time.NewTimer(g.Wait)
	defer wait.Stop()
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-wait.C:
		result = ResultBusy
		return ErrBusy
	case <-ctx.Done():
		result = ResultBusy
		return ErrBusy
	}

	plain, err := adapter.Verify(r, g.Now())
	if err != nil {
		// Whatever Verify says, a stranger learns one thing only.
		result = ResultUnverified
		return ErrUnverified
	}
	work, cancel := context.WithTimeout(ctx, g.Budget)
	defer cancel()
	if p, ok := adapter.(Preloader); ok {
		p.Preload(work, plain)
	}
	in, err := adapter.Decode(r, plain)
	if err != nil {
		result = ResultMalformed
		return ErrMalformed
	}
	kind = in.Kind
	switch {
	case in.Echo != "":
		if err := answer(adapter, w, in, Reply{Echo: in.Echo}); err != nil {
			return err
		}
		result = ResultHandshake
		return nil
	case len(in.Events) == 0:
		if err := answer(adapter, w, in, Reply{}); err != nil {
			return err
		}
		result = ResultNothing
		return nil
	}
	reply, err := g.Sink(work, install, in)
	if err != nil {
		level := slog.LevelError
		if errors.Is(err, ErrNotYet) {
			level = slog.LevelInfo
		}
		g.Log.Log(ctx, level, "could not deal with an event", "platform", install.Platform, "install", install.Name, "kind", kind, "event", in.Events[0].ID, "err", err)
		return errSink
	}
	err = answer(adapter, w, in, reply)
	if reply.Written != nil {
		reply.Written(err)
	}
	if err != nil {
		return err
	}
	result = ResultOK
	return nil
}

// answer lets the adapter write its answer, and sends it only when it is whole:
// half an answer could not be followed by an error.
func answer(adapter Adapter, w http.ResponseWriter, in Inbound, reply Reply) error {
	page := &page{header: http.Header{}}
	adapter.Reply(page, in, reply)
	for name, values := range page.header {
		w.Header()[name] = values
	}
	if page.status != 0 {
		w.WriteHeader(page.status)
	}
	if page.body.Len() == 0 {
		return nil
	}
	if _, err := w.Write(page.body.Bytes()); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// page is an answer that has not been sent yet.
type page struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (p *page) Header() http.Header { return p.header }

func (p *page) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
	}
}

func (p *page) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(b)
}
