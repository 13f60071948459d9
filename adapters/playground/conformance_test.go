//go:build unix

package playground_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/playground"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/migrations"
)

// stage is a room on a database of its own, whose bot only collects what comes.
type stage struct {
	*playground.Adapter
	db     *sqldb.DB
	clock  *clock.Clock
	frames chan bot.Raw
	close  func()
}

// newStage uses SQLite: the suite makes a fresh room a dozen times. What the
// room does on PostgreSQL is shown by the other tests.
func newStage(t *testing.T) *stage {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "room.db"))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{db: db, clock: clock.New(), frames: make(chan bot.Raw, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s.close = sync.OnceFunc(func() {
		cancel()
		if s.Adapter != nil {
			s.Close()
			if err := <-ended; err != nil {
				t.Errorf("Stream: %v", err)
			}
		}
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	t.Cleanup(s.close)
	if err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	s.Adapter = newAdapter(t, db, s.clock)
	go func() {
		ended <- s.Stream(ctx, func(_ context.Context, _ http.ResponseWriter, r bot.Raw) error {
			s.frames <- r
			return nil
		})
	}()
	return s
}

// do calls the page's API and returns the event that came of it.
func (s *stage) do(path string, body map[string]any) (bot.Raw, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return bot.Raw{}, err
	}
	if err := s.call("POST", "/api/"+path, string(b), nil); err != nil {
		return bot.Raw{}, err
	}
	select {
	case r := <-s.frames:
		r.Socket = false // the signature counts, however it came
		return r, nil
	case <-time.After(10 * time.Second):
		return bot.Raw{}, errors.New("no event came")
	}
}

func (s *stage) call(method, path, body string, out any) error {
	req := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	req.RemoteAddr = "127.0.0.1:1"
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		return fmt.Errorf("%s: %d %s", path, w.Code, w.Body)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(w.Body.Bytes(), out)
}

type rawMessage struct {
	ID   int64           `json:"id"`
	Card json.RawMessage `json:"card"`
}

func (s *stage) messages() ([]rawMessage, error) {
	var all []rawMessage
	before := int64(1) << 60
	for {
		var page struct {
			Messages []rawMessage
			More     bool
		}
		if err := s.call("GET", fmt.Sprintf("/api/messages?as=lisi&conv=g-desk&before=%d", before), "", &page); err != nil {
			return nil, err
		}
		all = append(all, page.Messages...)
		if !page.More {
			return all, nil
		}
		before = page.Messages[len(page.Messages)-1].ID
	}
}

func (s *stage) shown(ref bot.MessageRef) (string, bool) {
	var card string
	err := s.db.Get(context.Background(), &card, `SELECT card FROM playground_messages WHERE id = ? AND deleted = ?`, strings.TrimPrefix(string(ref), "m"), false)
	return card, err == nil
}

func (s *stage) press(ref bot.MessageRef, label string) (bot.Raw, time.Time, error) {
	text, _ := s.shown(ref)
	var c struct {
		Actions []struct{ Label, Token string }
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return bot.Raw{}, time.Time{}, err
	}
	for _, a := range c.Actions {
		if a.Label == label {
			var id int64
			if _, err := fmt.Sscanf(string(ref), "m%d", &id); err != nil {
				return bot.Raw{}, time.Time{}, err
			}
			r, err := s.do("click", map[string]any{"as": "lisi", "message": id, "token": a.Token})
			return r, s.clock.Now(), err
		}
	}
	return bot.Raw{}, time.Time{}, fmt.Errorf("there is no button %q", label)
}

// alive is what the page would not draw as mere text: it makes links of url, and
// of nothing else. The rest is text nodes (see TestNothingThatPeopleWriteBecomesMarkup);
// that a reader of the JSON meets no markup either is for safety.
func alive(shown string) []string {
	var out []string
	if strings.ContainsAny(shown, "<>") {
		out = append(out, shown)
	}
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				visit(x)
			}
		case map[string]any:
			for k, x := range v {
				if s, ok := x.(string); ok && k == "url" && !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://") {
					out = append(out, s)
				}
				visit(x)
			}
		}
	}
	var v any
	if err := json.Unmarshal([]byte(shown), &v); err != nil {
		return append(out, err.Error())
	}
	visit(v)
	return out
}

func TestThePlaygroundIsAPlatformLikeTheOthers(t *testing.T) {
	source := newStage(t)
	if _, err := source.Post(t.Context(), bot.To(conv("g-desk")), "", cards.Card{Title: "x"}); err != nil {
		t.Fatal(err)
	}
	all, err := source.messages()
	if err != nil {
		t.Fatal(err)
	}
	card := all[0].ID
	mine := card + 1 // what is said next
	var samples []adaptertest.Sample
	for _, s := range []struct {
		path string
		body map[string]any
	}{
		{"say", map[string]any{"as": "lisi", "conv": "g-desk", "text": "@工单 建单 打印机，@王五 看看"}},
		{"say", map[string]any{"as": "lisi", "conv": "g-desk", "thread": card, "text": "🔒 备注"}},
		{"say", map[string]any{"as": "wangfang", "conv": "p-wangfang", "text": "我的"}},
		{"say", map[string]any{"as": "lisi", "conv": "g-desk", "text": "/gd 待接"}},
		{"edit", map[string]any{"as": "lisi", "message": mine, "text": "改了"}},
		{"react", map[string]any{"as": "lisi", "message": card, "emoji": "eyes", "on": true}},
		{"react", map[string]any{"as": "lisi", "message": card, "emoji": "eyes"}},
		{"click", map[string]any{"as": "lisi", "message": card, "token": "t", "value": "P1"}},
		{"submit", map[string]any{"as": "lisi", "message": card, "token": "t", "values": map[string]string{"title": "x"}}},
		{"reload", map[string]any{"as": "lisi", "message": card, "token": "t", "values": map[string]string{"type": "x"}}},
		{"shortcut", map[string]any{"as": "wangwu", "message": mine}},
		{"home", map[string]any{"as": "chenzong"}},
		{"delete", map[string]any{"as": "lisi", "message": mine}},
	} {
		raw, err := source.do(s.path, s.body)
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, adaptertest.Sample{Name: fmt.Sprint(s.path, len(samples)), Raw: raw, At: source.clock.Now()})
	}
	source.close()

	stages := map[*adaptertest.Bench]*stage{}
	all2 := map[string]cards.Card{}
	for _, s := range cards.Samples() {
		all2[s.Name] = s.Card
	}
	exec := func(b *adaptertest.Bench, query string) {
		if err := stages[b].db.Tx(context.Background(), func(tx *sqldb.Tx) error {
			_, err := tx.Exec(context.Background(), query)
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	adaptertest.Run(t, adaptertest.Harness{
		New: func(t *testing.T) *adaptertest.Bench {
			s := newStage(t)
			b := &adaptertest.Bench{
				Adapter: s.Adapter, To: bot.To(conv("g-desk")), Press: s.press, Shown: s.shown, Close: s.close,
				Posts: func() int {
					all, err := s.messages()
					if err != nil {
						t.Error(err)
					}
					return len(all)
				},
			}
			stages[b] = s
			return b
		},
		Samples: samples,
		Signed:  []string{"X-Playground-Timestamp", "X-Playground-Signature"},
		Window:  5 * time.Minute,
		Sign: func(r bot.Raw, at time.Time) bot.Raw {
			r.Header = playground.Sign("default", secret, r.Body, at)
			return r
		},
		Other: func(t *testing.T) bot.Adapter {
			a, err := playground.New(playground.Config{Name: "other", DB: newStage(t).db, Clock: clock.New(), Secret: secret})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(a.Close)
			return a
		},
		BadConfigs: map[string]func() error{
			"no secret": func() error {
				_, err := playground.New(playground.Config{DB: source.db, Clock: clock.New()})
				return err
			},
			"a short secret": func() error {
				_, err := playground.New(playground.Config{DB: source.db, Clock: clock.New(), Secret: secret[:15]})
				return err
			},
		},
		Verdicts: []adaptertest.Verdict{
			{Name: "message deleted", Update: true, Want: bot.ErrGone, Break: func(b *adaptertest.Bench) { exec(b, `DELETE FROM playground_messages`) }},
			{Name: "message of a person", Update: true, Want: bot.ErrRejected, Break: func(b *adaptertest.Bench) { exec(b, `UPDATE playground_messages SET author = 'lisi'`) }},
			{Name: "no conversation", Want: bot.ErrGone, Break: func(b *adaptertest.Bench) { exec(b, `DELETE FROM playground_convs`) }},
			{Name: "database away", Break: func(b *adaptertest.Bench) { stages[b].close() }},
		},
		Secrets: []string{string(secret)},
		Cards:   all2,
		Live:    alive,
	})
}
