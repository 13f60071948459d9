package wecom

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/internal/httpx"
)

// appConfig is an install with the app alone, at an emulator.
func appConfig(apiURL string) Config {
	return Config{
		CorpID: wecomtest.Corp, AgentID: wecomtest.Agent, Secret: wecomtest.Secret,
		Token: wecomtest.Token, EncodingAESKey: wecomtest.AESKey, APIURL: apiURL,
	}
}

// inbox is where the emulator delivers to; it keeps what came.
type inbox struct {
	*httptest.Server
	mu   sync.Mutex // guards what follows
	got  []bot.Raw
	then func(bot.Raw) (int, string, []byte) // what is answered; nil = 200 and nothing
}

func newInbox(t *testing.T) *inbox {
	in := &inbox{}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		raw := bot.Raw{Method: r.Method, Header: r.Header, Query: r.URL.Query(), Body: body}
		in.mu.Lock()
		in.got = append(in.got, raw)
		then := in.then
		in.mu.Unlock()
		if then == nil {
			return
		}
		status, kind, answer := then(raw)
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		if _, err := w.Write(answer); err != nil {
			t.Errorf("answer: %v", err)
		}
	}))
	return in
}

func (in *inbox) last(t *testing.T) bot.Raw {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.got) == 0 {
		t.Fatal("nothing was delivered")
	}
	return in.got[len(in.got)-1]
}

// rig is an adapter beside an emulated WeCom.
type rig struct {
	*Adapter
	wc     *wecomtest.Server
	in     *inbox
	shelf  *memShelf
	client *http.Client
	user   string
	now    func() time.Time
}

func newRig(t *testing.T, o wecomtest.Options, change func(*Config)) *rig {
	t.Helper()
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &rig{wc: wecomtest.New(o), in: newInbox(t), shelf: newShelf(o.Now), now: o.Now}
	r.wc.Deliver(r.in.URL)
	r.user = r.wc.AddUser(wecomtest.User{ID: "zhangsan", Name: "张三"})
	c := appConfig(r.wc.APIURL())
	if change != nil {
		change(&c)
	}
	r.client = httpx.New(httpx.Options{Timeout: 5 * time.Second, MaxBody: -1, AllowPrivate: true})
	a, err := New(c, bot.Deps{HTTP: r.client, Now: o.Now, Shelf: r.shelf})
	if err != nil {
		t.Fatal(err)
	}
	r.Adapter = a
	t.Cleanup(r.close)
	return r
}

func (r *rig) close() {
	r.in.Close()
	r.wc.Close()
	r.client.CloseIdleConnections()
}

func (r *rig) to() bot.Dest { return bot.Private(r.Adapter.user(r.user)) }

// take verifies and decodes what was delivered last, and keeps what it brought.
func (r *rig) take(t *testing.T) bot.Inbound {
	t.Helper()
	raw := r.in.last(t)
	plain, err := r.Verify(raw, r.now())
	if err != nil {
		t.Fatal(err)
	}
	in, err := r.Decode(raw, plain)
	if err != nil {
		t.Fatalf("%v: %s", err, plain)
	}
	if err := r.shelf.keep(t.Context(), in.Keep); err != nil {
		t.Fatal(err)
	}
	return in
}

// lastOf is the part of a reference by which the emulator knows the message.
func lastOf(ref bot.MessageRef) string {
	return string(ref[strings.LastIndexByte(string(ref), '/')+1:])
}

// shown is what a message shows to its member.
func (r *rig) shown(ref bot.MessageRef) (string, bool) {
	m, ok := r.wc.Message(lastOf(ref))
	if !ok {
		return "", false
	}
	if card := m.CardFor(r.user); card != nil {
		return string(card), true
	}
	return m.Text, true
}

// vectors are callbacks and answers whose bytes were made by others.
type vectors struct {
	Official struct {
		Token, EncodingAESKey, ReceiveID string
		VerifyURL                        vector `json:"verify_url"`
		Message                          vector
	} `json:"official_sample"`
	Config struct {
		Token, EncodingAESKey, CorpID string
		AgentID                       int64
	}
	VerifyURL      vector `json:"verify_url"`
	Inbound        []vector
	Passive        []vector `json:"passive_reply"`
	RobotInbound   []vector `json:"aibot_inbound"`
	RobotReply     []vector `json:"aibot_reply"`
	RobotVerifyURL vector   `json:"aibot_verify_url"`
	Padding        []vector `json:"padding_edges"`
	Negative       []vector
}

type vector struct {
	Name, Plaintext, Timestamp, Nonce, Encrypt string
	EchoStr                                    string
	Signature                                  string `json:"msg_signature"`
	Random                                     string `json:"random16_ascii"`
	RandomOfficial                             string `json:"random_ascii"`
	ReceiveID                                  string
	Body                                       string `json:"http_body"`
	Query                                      string `json:"http_query"`
	Signed                                     string `json:"sorted_concat_sha1_input"`
	Pad                                        int
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func sampleCards() map[string]cards.Card {
	out := map[string]cards.Card{}
	for _, s := range cards.Samples() {
		out[s.Name] = s.Card
	}
	return out
}

func clone(r bot.Raw) bot.Raw {
	r.Header, r.Query, r.Body = r.Header.Clone(), maps.Clone(r.Query), append([]byte(nil), r.Body...)
	return r
}
