//go:build unix

package playground_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/playground"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets/ticketstest"
)

func TestOnlyThisMachinesOwnPagesAreServed(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		b, events := recorded()
		r := open(t, db, b)
		public, err := playground.New(playground.Config{DB: db, Clock: clock.New(), Secret: secret, Public: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(public.Close)
		say := `{"as":"wangfang","conv":"g-east","text":"x"}`
		for _, c := range []struct {
			name, method, path, host, from, origin, site, kind string
			want, public                                       int
		}{
			{"own page", "GET", "/playground/", "localhost:8080", "127.0.0.1:9", "", "", "", 200, 200},
			{"own page over IPv6", "GET", "/playground/", "[::1]:8080", "[::1]:9", "", "", "", 200, 200},
			{"rebound name", "GET", "/playground/api/state", "evil.example:8080", "127.0.0.1:9", "", "", "", 403, 200},
			{"name that begins well", "GET", "/playground/", "localhost.evil.example", "127.0.0.1:9", "", "", "", 403, 200},
			{"other machine", "GET", "/playground/", "localhost:8080", "192.0.2.7:9", "", "", "", 403, 200},
			{"foreign origin reads", "GET", "/playground/api/state", "localhost:8080", "127.0.0.1:9", "https://evil.example", "", "", 403, 200},
			{"foreign origin writes", "POST", "/playground/api/say", "localhost:8080", "127.0.0.1:9", "https://evil.example", "", "application/json", 403, 403},
			{"another local port writes", "POST", "/playground/api/say", "localhost:8080", "127.0.0.1:9", "http://localhost:3000", "", "application/json", 403, 403},
			{"cross-site form", "POST", "/playground/api/say", "localhost:8080", "127.0.0.1:9", "", "cross-site", "application/json", 403, 403},
			{"null origin", "POST", "/playground/api/say", "localhost:8080", "127.0.0.1:9", "null", "", "application/json", 403, 403},
			{"not JSON", "POST", "/playground/api/say", "localhost:8080", "127.0.0.1:9", "", "", "text/plain", 400, 400},
			{"wrong method", "GET", "/playground/api/say", "localhost:8080", "127.0.0.1:9", "", "", "", 405, 405},
			{"no such page", "GET", "/playground/room.go", "localhost:8080", "127.0.0.1:9", "", "", "", 404, 404},
		} {
			for which, h := range map[string]http.Handler{"local": r.Handler(), "public": public.Handler()} {
				want := c.want
				if which == "public" {
					want = c.public
				}
				req := httptest.NewRequest(c.method, "http://"+c.host+c.path, strings.NewReader(say))
				req.RemoteAddr = c.from
				for k, v := range map[string]string{"Origin": c.origin, "Sec-Fetch-Site": c.site, "Content-Type": c.kind} {
					if v != "" {
						req.Header.Set(k, v)
					}
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, req)
				if w.Code != want {
					t.Errorf("%s (%s): got %d, want %d: %s", c.name, which, w.Code, want, w.Body)
				}
				if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'self'") || strings.Contains(csp, "unsafe") {
					t.Errorf("%s: policy %q", c.name, csp)
				}
			}
		}
		select {
		case ev := <-events:
			t.Errorf("the bot heard of %+v", ev)
		default:
		}
	})
}

// live reads events of a page's live connection until want is among them, and
// returns the last id.
func (r *room) live(as, since, last, want string) (id string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.srv.URL+"/api/events?as="+as+"&since="+since, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	s := bufio.NewScanner(res.Body)
	var all strings.Builder
	for s.Scan() {
		if v, ok := strings.CutPrefix(s.Text(), "id: "); ok {
			id = v
		}
		all.WriteString(s.Text() + "\n")
		if strings.HasPrefix(s.Text(), "data: ") && strings.Contains(s.Text(), want) {
			if strings.Contains(all.String(), "seen before") && last != "" {
				r.t.Errorf("it tells again what was known:\n%s", &all)
			}
			return id
		}
	}
	r.t.Fatalf("%q did not come: %v\n%s", want, s.Err(), &all)
	return ""
}

func TestTheLiveConnectionGoesOnWhereItBroke(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := open(t, db, nil)
		ctx := t.Context()
		post := func(title string) bot.MessageRef {
			ref, err := r.Post(ctx, bot.To(conv("g-desk")), "", cards.Card{Title: title})
			if err != nil {
				t.Fatal(err)
			}
			return ref
		}
		ref := post("seen before")
		id := r.live("lisi", "0", "", "seen before")
		post("while away")
		id = r.live("lisi", "0", id, "while away")
		if _, err := r.Update(ctx, ref, cards.Card{Title: "changed"}); err != nil {
			t.Fatal(err)
		}
		id = r.live("lisi", "0", id, "changed")
		if err := r.PublishHome(ctx, user("lisi"), cards.Card{Title: "my page"}); err != nil {
			t.Fatal(err)
		}
		id = r.live("lisi", "0", id, "my page")
		if err := r.Whisper(ctx, conv("g-desk"), user("wangwu"), "", cards.Card{Title: "for him"}); err != nil {
			t.Fatal(err)
		}
		if err := r.Whisper(ctx, conv("g-desk"), user("lisi"), "", cards.Card{Title: "for me"}); err != nil {
			t.Fatal(err)
		}
		if err := r.Delete(ctx, ref); err != nil {
			t.Fatal(err)
		}
		r.live("lisi", "0", id, `"deleted":true`)
		r.live("wangfang", "0", "", "{")
		// The clock is told to all pages.
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.live("chenzong", "0", "", `"offset":3600000`)
		}()
		r.post("advance", map[string]any{"as": "lisi", "seconds": 3600})
		<-done
	})
}

func frameOf(r *room, t *testing.T) bot.Raw {
	t.Helper()
	got := make(chan bot.Raw, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- r.Stream(ctx, func(_ context.Context, w http.ResponseWriter, raw bot.Raw) error {
			got <- raw
			return nil
		})
	}()
	r.post("say", map[string]any{"as": "wangfang", "conv": "g-east", "text": "@工单 @李四 你好"})
	raw := <-got
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return raw
}

func TestOnlyGenuineEventsAreBelieved(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := open(t, db, nil)
		raw := frameOf(r, t)
		now := time.Now()
		if _, err := r.Verify(raw, now); err != nil {
			t.Fatalf("a genuine event was refused: %v", err)
		}
		for name, spoil := range map[string]func(*bot.Raw){
			"no signature":   func(x *bot.Raw) { x.Header.Del("X-Playground-Signature") },
			"no time":        func(x *bot.Raw) { x.Header.Del("X-Playground-Timestamp") },
			"two signatures": func(x *bot.Raw) { x.Header.Add("X-Playground-Signature", "v1=00") },
			"upper case": func(x *bot.Raw) {
				h := x.Header
				h.Set("X-Playground-Signature", "v1="+strings.ToUpper(h.Get("X-Playground-Signature")[3:]))
			},
			"other body":        func(x *bot.Raw) { x.Body = append([]byte(" "), x.Body...) },
			"other time":        func(x *bot.Raw) { x.Header.Set("X-Playground-Timestamp", "1") },
			"time with a plus":  func(x *bot.Raw) { h := x.Header; h.Set("X-Playground-Timestamp", "+"+h.Get("X-Playground-Timestamp")) },
			"GET":               func(x *bot.Raw) { x.Method = "GET" },
			"another install's": func(x *bot.Raw) { x.Header = playground.Sign("other", secret, x.Body, now) },
			"another secret":    func(x *bot.Raw) { x.Header = playground.Sign("default", []byte("another secret"), x.Body, now) },
			"no secret":         func(x *bot.Raw) { x.Header = playground.Sign("default", nil, x.Body, now) },
		} {
			x := raw
			x.Header = raw.Header.Clone()
			spoil(&x)
			if _, err := r.Verify(x, now); !errors.Is(err, bot.ErrUnverified) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for at, ok := range map[time.Duration]bool{299 * time.Second: true, -299 * time.Second: true, 302 * time.Second: false, -302 * time.Second: false} {
			if _, err := r.Verify(raw, now.Add(at)); (err == nil) != ok {
				t.Errorf("%s later: %v", at, err)
			}
		}
		for _, s := range []string{"", "short"} {
			if _, err := playground.New(playground.Config{DB: db, Clock: clock.New(), Secret: []byte(s)}); err == nil || !strings.Contains(err.Error(), "secret") {
				t.Errorf("the secret %q was taken: %v", s, err)
			}
		}
	})
}

func TestDecodeIsStrict(t *testing.T) {
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := open(t, db, nil)
		good := string(frameOf(r, t).Body)
		in, err := r.Decode(bot.Raw{}, []byte(good))
		if err != nil || len(in.Events) != 1 || in.Kind != "message" {
			t.Fatalf("%+v %v", in, err)
		}
		for i := range good {
			if _, err := r.Decode(bot.Raw{}, []byte(good[:i])); !errors.Is(err, bot.ErrMalformed) {
				t.Fatalf("cut at %d: %v", i, err)
			}
		}
		swap := func(old, new string) string {
			if !strings.Contains(good, old) {
				t.Fatalf("%q is not in %s", old, good)
			}
			return strings.Replace(good, old, new, 1)
		}
		for name, bad := range map[string]string{
			"twice a key":     swap(`"user":`, `"user":"lisi","user":`),
			"other case":      swap(`"user":`, `"User":`),
			"folded letter":   swap(`"user":`, `"u\u017fer":`),
			"unknown key":     swap(`"user":`, `"x":1,"user":`),
			"something after": good + "{}",
			"NUL":             swap(`你好`, `\u0000`),
			"not UTF-8":       swap(`你好`, "\xff"),
			"deep":            swap(`"user":`, `"values":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`,"user":`),
			"an array":        "[" + good + "]",
			"no user":         swap(`"user":"wangfang"`, `"user":""`),
			"other install":   swap(`"install":"default"`, `"install":"other"`),
			"mention outside": swap(`"end":7`, `"end":7000`),
			"message":         swap(`"message":`, `"message":-`),
		} {
			if _, err := r.Decode(bot.Raw{}, []byte(bad)); !errors.Is(err, bot.ErrMalformed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		in, err = r.Decode(bot.Raw{}, []byte(swap(`"type":"message"`, `"type":"hologram"`)))
		if err != nil || len(in.Events) != 0 || in.Kind != "unknown" {
			t.Errorf("an unknown type: %+v %v", in, err)
		}
	})
}
