package bot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/paidan/paidan/cards"
)

// fakePlatform believes what says "signed" and does what its body tells it.
type fakePlatform struct {
	Adapter           // nil: Post and Update are never called here
	verified, decoded atomic.Int64
	now               atomic.Int64
}

func (*fakePlatform) Caps() cards.Caps { return cards.Caps{} }

func (f *fakePlatform) Verify(r Raw, now time.Time) ([]byte, error) {
	f.verified.Add(1)
	f.now.Store(now.Unix())
	if string(r.Body) == "panic verify" {
		panic("secret of the body")
	}
	if r.Header.Get("Signature") != "signed" {
		return nil, fmt.Errorf("the key ends in 1234: %w", ErrUnverified)
	}
	return r.Body, nil
}

func (f *fakePlatform) Decode(r Raw, plain []byte) (Inbound, error) {
	f.decoded.Add(1)
	switch body := string(plain); body {
	case "panic decode":
		panic(body)
	case "bad":
		return Inbound{}, fmt.Errorf("at byte 3: %w", ErrMalformed)
	case "odd":
		return Inbound{}, errors.New("something else")
	case "hello":
		return Inbound{Echo: "hello yourself", Kind: "handshake"}, nil
	case "boring":
		return Inbound{Kind: "boring"}, nil
	default:
		return Inbound{Kind: "message", Events: []Event{{ID: "e1", Kind: Message, Text: body, Message: MessageRef(r.Path)}}}, nil
	}
}

func (f *fakePlatform) Reply(w http.ResponseWriter, in Inbound, out Reply) {
	w.Header().Set("X-Fake", "yes")
	fmt.Fprint(w, out.Echo+out.Toast)
	if out.Toast == "panic reply" {
		panic("half written")
	}
}

type door struct {
	*Gateway
	platform *fakePlatform
	sunk     atomic.Int64
	log      bytes.Buffer
	registry *prometheus.Registry
	server   *httptest.Server
}

func newDoor(t *testing.T, change func(*Gateway)) *door {
	d := &door{platform: &fakePlatform{}, registry: prometheus.NewRegistry()}
	d.Gateway = &Gateway{
		Installs: map[Install]Adapter{{"fake", "default"}: d.platform},
		Now:      func() time.Time { return time.Unix(1700000000, 0) },
		Log:      slog.New(slog.NewTextHandler(&d.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics:  NewMetrics(d.registry),
	}
	d.Sink = func(ctx context.Context, _ Install, in Inbound) (Reply, error) {
		d.sunk.Add(1)
		switch in.Events[0].Text {
		case "fail":
			return Reply{}, errors.New("database down")
		case "panic sink":
			panic(in.Events[0].Text)
		case "panic reply":
			return Reply{Toast: "panic reply"}, nil
		case "wait":
			<-ctx.Done()
			return Reply{}, ctx.Err()
		}
		return Reply{Toast: "done " + string(in.Events[0].Message)}, nil
	}
	if change != nil {
		change(d.Gateway)
	}
	d.server = httptest.NewServer(d.Handler())
	t.Cleanup(d.server.Close)
	return d
}

func (d *door) post(t *testing.T, path, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, d.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer), resp.Header
}

func TestHookAnswers(t *testing.T) {
	for _, c := range []struct {
		path, body, signature string
		status                int
		answer                string
		decoded, sunk         int64
		kind, result          string
	}{
		{"/hooks/fake/default", "hi", "signed", 200, "done ", 1, 1, "message", ResultOK},
		{"/hooks/fake/default/robot", "hi", "signed", 200, "done robot", 1, 1, "message", ResultOK},
		{"/hooks/fake/default", "hello", "signed", 200, "hello yourself", 1, 0, "handshake", ResultHandshake},
		{"/hooks/fake/default", "boring", "signed", 200, "", 1, 0, "boring", ResultNothing},
		{"/hooks/fake/default", "hi", "", 401, "unauthorized\n", 0, 0, "unknown", ResultUnverified},
		{"/hooks/fake/default", "bad", "wrong", 401, "unauthorized\n", 0, 0, "unknown", ResultUnverified},
		{"/hooks/fake/default", "panic decode", "wrong", 401, "unauthorized\n", 0, 0, "unknown", ResultUnverified},
		{"/hooks/fake/default", "bad", "signed", 400, "bad request\n", 1, 0, "unknown", ResultMalformed},
		{"/hooks/fake/default", "odd", "signed", 400, "bad request\n", 1, 0, "unknown", ResultMalformed},
		{"/hooks/fake/default", "fail", "signed", 503, "service unavailable\n", 1, 1, "message", ResultFailed},
		{"/hooks/fake/default", "wait", "signed", 503, "service unavailable\n", 1, 1, "message", ResultFailed},
		{"/hooks/fake/default", "panic verify", "signed", 500, "internal server error\n", 0, 0, "unknown", ResultPanic},
		{"/hooks/fake/default", "panic decode", "signed", 500, "internal server error\n", 1, 0, "unknown", ResultPanic},
		{"/hooks/fake/default", "panic sink", "signed", 500, "internal server error\n", 1, 1, "message", ResultPanic},
		{"/hooks/fake/default", "panic reply", "signed", 500, "internal server error\n", 1, 1, "message", ResultPanic},
	} {
		t.Run(c.body+" "+c.signature, func(t *testing.T) {
			d := newDoor(t, func(g *Gateway) { g.Budget = 50 * time.Millisecond })
			status, answer, _ := d.post(t, c.path, c.body, "Signature", c.signature)
			if status != c.status || answer != c.answer {
				t.Errorf("got %d %q, want %d %q", status, answer, c.status, c.answer)
			}
			if d.platform.decoded.Load() != c.decoded || d.sunk.Load() != c.sunk {
				t.Errorf("decoded %d and dealt with %d, want %d and %d", d.platform.decoded.Load(), d.sunk.Load(), c.decoded, c.sunk)
			}
			if d.platform.now.Load() != 1700000000 {
				t.Error("verified with another clock")
			}
			if n := testutil.ToFloat64(d.Metrics.inbound.WithLabelValues("fake", c.kind, c.result)); n != 1 {
				t.Errorf("counted %v of %s %s", n, c.kind, c.result)
			}
			if status, _, _ := d.post(t, c.path, "hi", "Signature", "signed"); status != 200 {
				t.Errorf("afterwards the door answers %d", status)
			}
			d.server.Close()
			for _, secret := range []string{"secret of the body", "1234", "signed"} {
				if strings.Contains(d.log.String(), secret) {
					t.Errorf("the log tells %q: %s", secret, d.log.String())
				}
			}
		})
	}
}

func TestUnknownInstallDoesNoWork(t *testing.T) {
	d := newDoor(t, nil)
	for _, path := range []string{"/hooks/fake/other", "/hooks/other/default", "/hooks/default/fake", "/hooks/FAKE/default", "/hooks/fake/Default"} {
		if status, _, _ := d.post(t, path, strings.Repeat("x", 2<<20), "Signature", "signed"); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
	if d.platform.verified.Load() != 0 {
		t.Error("something was verified")
	}
}

// TA21: tricks with method and path find no door.
func TestOddMethodsAndPathsFindNoDoor(t *testing.T) {
	d := newDoor(t, nil)
	host := d.server.Listener.Addr().String()
	for _, line := range []string{
		"HEAD /hooks/fake/default", "PUT /hooks/fake/default", "DELETE /hooks/fake/default", "PATCH /hooks/fake/default", "OPTIONS /hooks/fake/default",
		"TRACE /hooks/fake/default", "post /hooks/fake/default", "POSTX /hooks/fake/default", "get /hooks/fake/default", "PROPFIND /hooks/fake/default",
		"POST /hooks/fake/default/", "POST //hooks/fake/default", "POST /hooks//fake/default", "POST /hooks/fake//default", "POST /hooks/fake/default//",
		"POST /hooks/fake/default//robot", "POST /hooks/./fake/default", "POST /hooks/fake/./default", "POST /hooks/x/../fake/default", "POST /x/../hooks/fake/default",
		"POST /hooks/fake/default/.", "POST /hooks/fake/default/..", "POST /hooks%2ffake/default", "POST /hooks%2Ffake%2Fdefault", "POST /hooks/fake%2fdefault",
		"POST /hooks/fake/default%2frobot", "POST /%68ooks/fake/default", "POST /hooks/%66ake/default", "POST /hooks/fake/defaul%74", "POST /hooks/fake/default%00",
		"POST /hooks/fake/default%20", "POST /hooks/fake/default%0a", "POST /hooks/fake/default;x=1", "POST /Hooks/fake/default", "POST /HOOKS/FAKE/DEFAULT",
		"POST /hooks/fake", "POST /hooks/", "POST /hooks", "POST /", "POST /hooks/fake/default/robot/more", `POST /hooks\fake\default`, "POST /hooks/fake/default/%2e%2e/default",
		"POST /hooks/fake/default%252f", "POST /hooks/fake/ｄefault", "OPTIONS *",
	} {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nSignature: signed\r\nX-HTTP-Method-Override: POST\r\nX-Original-URL: /hooks/fake/default\r\nX-Forwarded-Prefix: /hooks\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", line)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			conn.Close()
			continue
		}
		// 400 is net/http's own word for what is no request line at all; OPTIONS *
		// is answered by net/http with 200 and never reaches a handler.
		if s := resp.StatusCode; s != 404 && s != 405 && s != 400 && line != "OPTIONS *" {
			t.Errorf("%s: %d, want 404 or 405", line, s)
		}
		conn.Close()
	}
	if n := d.platform.verified.Load(); n != 0 {
		t.Errorf("%d of them reached the platform", n)
	}
}

func TestBodyIsBounded(t *testing.T) {
	d := newDoor(t, nil)
	if status, _, _ := d.post(t, "/hooks/fake/default", strings.Repeat("x", 1<<20), "Signature", "signed"); status != 200 {
		t.Errorf("1 MiB: %d", status)
	}
	verified := d.platform.verified.Load()
	if status, _, _ := d.post(t, "/hooks/fake/default", strings.Repeat("x", 1<<20+1), "Signature", "signed"); status != 413 {
		t.Errorf("told to be too large: %d", status)
	}
	// Without a length: two gigabytes are offered, hardly more than one megabyte is taken.
	var offered atomic.Int64
	req, err := http.NewRequest(http.MethodPost, d.server.URL+"/hooks/fake/default", io.LimitReader(countingReader{&offered}, 2<<30))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Signature", "signed")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil { // the client may see the closed connection before the answer
		if resp.StatusCode != 413 {
			t.Errorf("chunked: %d", resp.StatusCode)
		}
		resp.Body.Close()
	}
	if offered.Load() > 64<<20 {
		t.Errorf("%d bytes were taken", offered.Load())
	}
	if d.platform.verified.Load() != verified {
		t.Error("an oversize body was looked at")
	}
	if n := testutil.ToFloat64(d.Metrics.inbound.WithLabelValues("fake", "unknown", ResultTooLarge)); n != 2 {
		t.Errorf("counted %v", n)
	}
}

type countingReader struct{ n *atomic.Int64 }

func (c countingReader) Read(p []byte) (int, error) {
	clear(p)
	c.n.Add(int64(len(p)))
	return len(p), nil
}

func TestSlowBodyIsGivenUp(t *testing.T) {
	d := newDoor(t, func(g *Gateway) { g.ReadTime = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", d.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /hooks/fake/default HTTP/1.1\r\nHost: x\r\nSignature: signed\r\nContent-Length: 10\r\n\r\nhi")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil) // and nothing more is sent
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 408 || d.platform.verified.Load() != 0 {
		t.Errorf("%d, verified %d", resp.StatusCode, d.platform.verified.Load())
	}
	if status, _, _ := d.post(t, "/hooks/fake/default", "hi", "Signature", "signed"); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}

func TestEncodedBodiesAndLongHeadsAreRefused(t *testing.T) {
	d := newDoor(t, nil)
	many := []string{"Signature", "signed"}
	for i := range 70 {
		many = append(many, fmt.Sprintf("X-Many-%d", i), "x")
	}
	for name, c := range map[string]struct {
		status int
		path   string
		header []string
	}{
		"gzip":         {415, "", []string{"Content-Encoding", "gzip"}},
		"GZIP":         {415, "", []string{"Content-Encoding", "GZIP"}},
		"zstd":         {415, "", []string{"Content-Encoding", "zstd"}},
		"stacked":      {415, "", []string{"Content-Encoding", "identity, gzip"}},
		"second":       {415, "", []string{"Content-Encoding", "identity", "Content-Encoding", "br"}},
		"identity":     {200, "", []string{"Content-Encoding", "identity", "Signature", "signed"}},
		"many headers": {431, "", many},
		"long header":  {431, "", []string{"X-Long", strings.Repeat("x", 17<<10)}},
		"long query":   {414, "?q=" + strings.Repeat("x", 9<<10), nil},
	} {
		if status, _, _ := d.post(t, "/hooks/fake/default"+c.path, "hi", c.header...); status != c.status {
			t.Errorf("%s: %d, want %d", name, status, c.status)
		}
	}
	if d.platform.verified.Load() != 1 {
		t.Errorf("%d were looked at", d.platform.verified.Load())
	}
}

func TestTooManyAtOnceAreSentAway(t *testing.T) {
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	d := newDoor(t, func(g *Gateway) {
		g.AtOnce, g.Wait = 2, 10*time.Millisecond
		g.Sink = func(context.Context, Install, Inbound) (Reply, error) {
			entered <- struct{}{}
			<-leave
			return Reply{Toast: "late"}, nil
		}
	})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if status, _, _ := d.post(t, "/hooks/fake/default", "hi", "Signature", "signed"); status != 200 {
				t.Errorf("one inside: %d", status)
			}
		})
	}
	<-entered
	<-entered
	status, _, header := d.post(t, "/hooks/fake/default", "hi", "Signature", "signed")
	if status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("the third: %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	close(leave)
	wg.Wait()
}

func TestFramesComeThroughTheSameDoor(t *testing.T) {
	d := newDoor(t, nil)
	frame := func(name, body, signature string) (string, error) {
		w := httptest.NewRecorder()
		err := d.Frame(t.Context(), Install{"fake", name}, w, Raw{Header: http.Header{"Signature": {signature}}, Body: []byte(body), Socket: true})
		return w.Body.String(), err
	}
	if answer, err := frame("default", "hi", "signed"); err != nil || answer != "done " {
		t.Errorf("%q, %v", answer, err)
	}
	for name, c := range map[string]struct {
		install, body, signature string
		want                     error
	}{
		"unverified": {"default", "hi", "no", ErrUnverified},
		"malformed":  {"default", "bad", "signed", ErrMalformed},
		"unknown":    {"other", "hi", "signed", ErrFrame},
		"too large":  {"default", strings.Repeat("x", 1<<20+1), "signed", ErrFrame},
		"failed":     {"default", "fail", "signed", errSink},
	} {
		if answer, err := frame(c.install, c.body, c.signature); !errors.Is(err, c.want) || answer != "" {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
	}
	if answer, err := frame("default", "panic sink", "signed"); err == nil || answer != "" {
		t.Errorf("panic: %q, %v", answer, err)
	}
}
