package feishutest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hook keeps what the emulator delivers, and answers as it is told.
type hook struct {
	mu     sync.Mutex
	plain  []string // decrypted bodies
	heads  []http.Header
	status []int // of the next answers; 200 when there is none left
	reply  string
	on     func(event map[string]any) // called before the answer
}

func newHook(t testing.TB, s *Server) *hook {
	h := &hook{reply: "{}"}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		plain := body
		var sealed struct{ Encrypt string }
		if json.Unmarshal(body, &sealed) == nil && sealed.Encrypt != "" {
			if plain, err = Decrypt(s.opt.EncryptKey, sealed.Encrypt); err != nil {
				t.Error(err)
			}
			want := Sign(s.opt.EncryptKey, r.Header.Get("X-Lark-Request-Timestamp"), r.Header.Get("X-Lark-Request-Nonce"), body)
			if got := r.Header.Get("X-Lark-Signature"); got != want.Get("X-Lark-Signature") {
				t.Errorf("signature %q", got)
			}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.plain, h.heads = append(h.plain, string(plain)), append(h.heads, r.Header)
		var env struct{ Event map[string]any }
		if err := json.Unmarshal(plain, &env); err != nil {
			t.Error(err)
		}
		if h.on != nil {
			h.on(env.Event)
		}
		if len(h.status) > 0 {
			w.WriteHeader(h.status[0])
			h.status = h.status[1:]
		}
		if _, err := io.WriteString(w, h.reply); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	s.Deliver(srv.URL)
	return h
}

// last is the newest delivery.
func (h *hook) last(t testing.TB) (header, event map[string]any) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.plain) == 0 {
		t.Fatal("nothing was delivered")
	}
	var env struct{ Header, Event map[string]any }
	if err := json.Unmarshal([]byte(h.plain[len(h.plain)-1]), &env); err != nil {
		t.Fatal(err)
	}
	return env.Header, env.Event
}

// world is a server with a person, a group and a token.
type world struct {
	*Server
	t          testing.TB
	ann, group string
	token      string
	now        time.Time
}

func newWorld(t testing.TB, o Options) *world {
	w := &world{t: t, now: time.Unix(1700000000, 0)}
	if o.Now == nil {
		o.Now = func() time.Time { return w.now }
	}
	w.Server = New(o)
	t.Cleanup(w.Close)
	w.ann = w.AddUser(User{Name: "Ann", Email: "ann@example.com"})
	w.group = w.AddGroup("help", false, w.ann)
	w.login()
	return w
}

func (w *world) login() string {
	w.t.Helper()
	w.token = ""
	_, out := w.call("POST", "/open-apis/auth/v3/tenant_access_token/internal", map[string]any{"app_id": AppID, "app_secret": AppSecret})
	w.token, _ = out["tenant_access_token"].(string)
	if w.token == "" {
		w.t.Fatalf("no token: %v", out)
	}
	return w.token
}

func (w *world) call(method, path string, body any) (int, map[string]any) {
	w.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	resp := w.raw(method, path, "application/json; charset=utf-8", b)
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, out
}

func (w *world) raw(method, path, contentType string, body []byte) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.APIURL()+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if w.token != "" {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// code is what a call is answered with.
func (w *world) code(method, path string, body any) int {
	w.t.Helper()
	_, out := w.call(method, path, body)
	n, _ := out["code"].(float64)
	return int(n)
}

const messages = "/open-apis/im/v1/messages"

func card(elements string) string {
	return `{"schema":"2.0","config":{"update_multi":true},"header":{"title":{"tag":"plain_text","content":"T"}},"body":{"elements":[` + elements + `]}}`
}

func button(label, value string) string {
	return `{"tag":"button","text":{"tag":"plain_text","content":"` + label + `"},"behaviors":[{"type":"callback","value":{"t":"` + value + `"}}]}`
}

// send posts a message to a chat and returns its id, or the code of a refusal.
func (w *world) send(kind, content string) (string, int) {
	w.t.Helper()
	_, out := w.call("POST", messages+"?receive_id_type=chat_id", map[string]any{"receive_id": w.group, "msg_type": kind, "content": content})
	n, _ := out["code"].(float64)
	data, _ := out["data"].(map[string]any)
	id, _ := data["message_id"].(string)
	return id, int(n)
}

func (w *world) sendCard(elements string) string {
	w.t.Helper()
	id, code := w.send("interactive", card(elements))
	if code != 0 {
		w.t.Fatalf("card refused: %d %q", code, CheckCard([]byte(card(elements))))
	}
	return id
}

func TestVectorsOfOthers(t *testing.T) {
	type vector struct {
		Name, Encrypt, Plaintext, Body, Timestamp, Nonce string
		Key                                              string `json:"encrypt_key"`
		IV                                               string `json:"iv_hex"`
		Signature                                        string `json:"signature_sha256"`
	}
	var all struct{ Decrypt, Encrypted []vector }
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &all); err != nil || len(all.Decrypt) == 0 || len(all.Encrypted) != 3 {
		t.Fatalf("%v %+v", err, all)
	}
	for _, v := range append(all.Decrypt, all.Encrypted...) {
		var iv [16]byte
		if _, err := hex.Decode(iv[:], []byte(v.IV)); err != nil {
			t.Fatal(err)
		}
		sealed := Encrypt(v.Key, iv, []byte(v.Plaintext))
		if v.Encrypt != "" && sealed != v.Encrypt || v.Body != "" && `{"encrypt":"`+sealed+`"}` != v.Body {
			t.Errorf("%s: encrypted as %s", v.Name, sealed)
		}
		if plain, err := Decrypt(v.Key, sealed); err != nil || string(plain) != v.Plaintext {
			t.Errorf("%s: %q %v", v.Name, plain, err)
		}
		if v.Signature == "" {
			continue
		}
		if got := Sign(v.Key, v.Timestamp, v.Nonce, []byte(v.Body)).Get("X-Lark-Signature"); got != v.Signature {
			t.Errorf("%s: signed %s", v.Name, got)
		}
	}
}

func TestTokensLiveTwoHoursAndOverlap(t *testing.T) {
	w := newWorld(t, Options{})
	first := w.token
	if w.now = w.now.Add(89 * time.Minute); w.login() != first {
		t.Error("another token with 31 minutes left")
	}
	w.now = w.now.Add(2 * time.Minute)
	second := w.login()
	if second == first {
		t.Error("the same token with 29 minutes left")
	}
	w.token = first
	if c := w.code("GET", "/open-apis/bot/v3/info", nil); c != 0 {
		t.Errorf("the first token is refused while it is valid: %d", c)
	}
	w.now = w.now.Add(29*time.Minute + time.Second)
	if status, out := w.call("GET", "/open-apis/bot/v3/info", nil); status != 400 || out["code"] != 99991663.0 {
		t.Errorf("%d %v", status, out)
	}
	w.token = second
	_, out := w.call("GET", "/open-apis/bot/v3/info", nil)
	if bot, _ := out["bot"].(map[string]any); bot["open_id"] != Bot || out["data"] != nil {
		t.Errorf("%v", out)
	}
	w.ExpireTokens()
	if c := w.code("GET", "/open-apis/bot/v3/info", nil); c != 99991663 {
		t.Error(c)
	}
	if w.token = ""; w.code("GET", "/open-apis/bot/v3/info", nil) != 99991661 {
		t.Error("no token is asked for")
	}
	w.Suspend(10014)
	if c := w.code("POST", "/open-apis/auth/v3/tenant_access_token/internal", map[string]any{"app_id": AppID, "app_secret": AppSecret}); c != 10014 {
		t.Error(c)
	}
	w.Suspend(0)
	if c := w.code("POST", "/open-apis/auth/v3/tenant_access_token/internal", map[string]any{"app_id": AppID, "app_secret": "x"}); c != 10014 {
		t.Error(c)
	}
	w.login()
}

func TestAPressShowsWhatIsAnswered(t *testing.T) {
	w := newWorld(t, Options{})
	h := newHook(t, w.Server)
	id := w.sendCard(button("接单", "tok"))
	if a := w.Press(w.ann, id, "没有"); a.Err == nil || len(h.plain) != 0 {
		t.Errorf("%+v", a)
	}
	h.reply = `{"toast":{"type":"success","content":"已接单"},"card":{"type":"raw","data":` + card(button("完成", "tok2")) + `}}`
	if a := w.Press(w.ann, id, "接单"); !a.OK() {
		t.Errorf("%+v", a)
	}
	head, ev := h.last(t)
	if head["event_type"] != "card.action.trigger" || head["token"] != VerificationToken || len(fmt.Sprint(head["create_time"])) != 16 {
		t.Errorf("%v", head)
	}
	if got := fmt.Sprint(ev["action"], ev["context"]); !strings.Contains(got, "map[t:tok]") || !strings.Contains(got, id) || !strings.Contains(got, w.group) {
		t.Error(got)
	}
	if m, _ := w.Message(id); !strings.Contains(m.Content, "完成") || m.Edits != 1 {
		t.Errorf("%+v", m)
	}
	if got := w.Toasts(w.ann); len(got) != 1 || got[0] != (Toast{"success", "已接单"}) {
		t.Errorf("%+v", got)
	}
	for reply, code := range map[string]int{
		`null`: 200672, ``: 200672, `[]`: 200672, `{"toast":{"type":"ok","content":"x"}}`: 200672, `{"toast":{"type":"info"}}`: 200672,
		`{"text":"x"}`: 200672, `{}{}`: 200672, `{"card":{"type":"raw","data":{}}}`: 200673, `{"card":{"type":"template","data":{}}}`: 200673,
		`{"toast":{"type":"info","content":"x"},"card":{"type":"raw","data":{}}}`: 200673,
	} {
		h.reply = reply
		if a := w.Press(w.ann, id, "完成"); a.OK() || a.Code != code || a.Attempts != 1 {
			t.Errorf("%s: %+v", reply, a)
		}
	}
	h.reply, h.status = `{}`, []int{500}
	if a := w.Press(w.ann, id, "完成"); a.Code != 200671 {
		t.Errorf("%+v", a)
	}
	if len(w.Toasts(w.ann)) != 1 {
		t.Error("a toast of an answer that was refused")
	}
	w.now = w.now.Add(window14 + time.Second)
	if a := w.Press(w.ann, id, "完成"); a.Err == nil || !strings.Contains(a.Err.Error(), "14 days") {
		t.Errorf("%+v", a)
	}
}

func TestAPressHasADeadline(t *testing.T) {
	w := newWorld(t, Options{Deadline: 20 * time.Millisecond})
	h := newHook(t, w.Server)
	id := w.sendCard(button("接单", "tok"))
	wait := make(chan struct{})
	h.on = func(map[string]any) { <-wait }
	a := w.Press(w.ann, id, "接单")
	close(wait)
	if a.OK() || a.Code != 200341 || a.Attempts != 1 {
		t.Errorf("%+v", a)
	}
	w.Deliver("http://127.0.0.1:1/nobody")
	if a := w.Press(w.ann, id, "接单"); a.Code != 200340 {
		t.Errorf("%+v", a)
	}
}

func TestPatch(t *testing.T) {
	w := newWorld(t, Options{})
	newHook(t, w.Server)
	id := w.sendCard(`{"tag":"markdown","content":"a"}`)
	patch := func(id, content string) int {
		return w.code("PATCH", messages+"/"+id, map[string]any{"content": content})
	}
	if c := patch(id, card(`{"tag":"markdown","content":"b"}`)); c != 0 {
		t.Error(c)
	}
	if m, _ := w.Message(id); m.Edits != 1 || !strings.Contains(m.Content, `"b"`) {
		t.Errorf("%+v", m)
	}
	text, _ := w.send("text", `{"text":"x"}`)
	hers, _ := w.Say(w.ann, w.group, "", "mine")
	for _, c := range []struct {
		id, content string
		want        int
	}{
		{"om_none", card(""), 230001}, {text, card(""), 230001}, {hers, card(""), 200310}, {id, `{"schema":"2.0"}`, 230099}, {id, "", 99992402},
		{id, `{"schema":"2.0","body":{}}`, 230099}, {id, card(`{"tag":"markdown","content":"` + strings.Repeat("x", 31<<10) + `"}`), 230025},
		{id, card(`{"tag":"markdown","content":"<at id=ou_nobody></at>"}`), 230099}, {id, card(`{"tag":"markdown","content":"<at id=` + w.ann + `></at>"}`), 0},
	} {
		if got := patch(c.id, c.content); got != c.want {
			t.Errorf("%s %.60s: %d, want %d", c.id, c.content, got, c.want)
		}
	}
	w.now = w.now.Add(window14 + time.Second)
	w.login()
	if c := patch(id, card("")); c != 230031 {
		t.Error(c)
	}
	w.now = w.now.Add(-time.Hour)
	if c := w.code("DELETE", messages+"/"+id, nil); c != 0 {
		t.Error(c)
	}
	if c := patch(id, card("")); c != 230011 {
		t.Error(c)
	}
}

// upload sends a file.
func (w *world) upload(path, field string, fields map[string]string, content []byte) map[string]any {
	w.t.Helper()
	var b bytes.Buffer
	f := multipart.NewWriter(&b)
	for k, v := range fields {
		if err := f.WriteField(k, v); err != nil {
			w.t.Fatal(err)
		}
	}
	part, err := f.CreateFormFile(field, "x")
	if err == nil {
		_, err = part.Write(content)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	resp := w.raw("POST", path, f.FormDataContentType(), b.Bytes())
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		w.t.Fatal(err)
	}
	return out
}
