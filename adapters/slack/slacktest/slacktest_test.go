package slacktest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
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
	bodies []string
	retry  []string
	status []int // of the next answers; 200 when there is none left
	head   http.Header
}

func newHook(t testing.TB, s *Server) *hook {
	h := &hook{head: http.Header{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bodies = append(h.bodies, string(body))
		h.retry = append(h.retry, r.Header.Get("X-Slack-Retry-Num")+" "+r.Header.Get("X-Slack-Retry-Reason"))
		for k, v := range h.head {
			w.Header()[k] = v
		}
		if len(h.status) > 0 {
			w.WriteHeader(h.status[0])
			h.status = h.status[1:]
		}
	}))
	t.Cleanup(srv.Close)
	s.Deliver(srv.URL)
	return h
}

func server(t testing.TB, o Options) (s *Server, ann, help string) {
	s = New(o)
	t.Cleanup(s.Close)
	ann = s.AddUser(User{Name: "ann"})
	return s, ann, s.AddChannel("help", false, ann)
}

// api calls a method with the bot's token.
func api(t testing.TB, s *Server, method string, args url.Values) map[string]any {
	t.Helper()
	args.Set("token", BotToken)
	resp, err := s.client.PostForm(s.APIURL()+method, args)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestMentionComesTwice(t *testing.T) {
	s, ann, help := server(t, Options{})
	h := newHook(t, s)
	_, answers := s.Mention(ann, help, "", "hi")
	if len(answers) != 2 || answers[0].Kind != "app_mention" || answers[1].Kind != "message" || len(h.bodies) != 2 {
		t.Errorf("%+v", answers)
	}
	if _, answers := s.Say(ann, s.DM(ann), "", "<@"+BotUser+"> hi"); len(answers) != 1 {
		t.Errorf("in private: %+v", answers)
	}
	if _, answers := s.Say(ann, s.AddChannel("away", true, ann), "", "hi"); len(answers) != 0 {
		t.Errorf("where the bot is not: %+v", answers)
	}
}

func TestEventsAreRepeated(t *testing.T) {
	var waits []int
	s, ann, help := server(t, Options{Wait: func(n int) { waits = append(waits, n) }})
	h := newHook(t, s)
	h.status = []int{500, 503, 200}
	_, answers := s.Say(ann, help, "", "hi")
	if a := answers[0]; !a.OK() || a.Attempts != 3 || fmt.Sprint(h.retry) != "[  1 http_error 2 http_error]" || fmt.Sprint(waits) != "[1 2]" {
		t.Errorf("%+v %q %v", a, h.retry, waits)
	}
	h.status = []int{500, 500, 500, 500, 200}
	if _, answers := s.Say(ann, help, "", "hi"); answers[0].OK() || answers[0].Attempts != 4 {
		t.Errorf("%+v", answers)
	}
	h.status, h.head = []int{500}, http.Header{"X-Slack-No-Retry": {"1"}}
	if _, answers := s.Say(ann, help, "", "hi"); answers[0].Attempts != 1 {
		t.Errorf("%+v", answers)
	}
	h.head, h.status = http.Header{}, []int{500}
	if a := s.Slash(ann, help, "/ticket", ""); a.OK() || a.Attempts != 1 {
		t.Errorf("a command was repeated: %+v", a)
	}
}

func TestLostDoubledAndReorderedDeliveries(t *testing.T) {
	s, ann, help := server(t, Options{})
	h := newHook(t, s)
	s.Drop(1)
	if _, answers := s.Say(ann, help, "", "one"); answers[0].Attempts != 2 || len(h.bodies) != 1 || h.retry[0] != "1 connection_failed" {
		t.Errorf("%+v %q", answers, h.retry)
	}
	h.bodies = nil
	s.Double(1)
	s.Say(ann, help, "", "two")
	if len(h.bodies) != 2 || h.bodies[0] != h.bodies[1] {
		t.Errorf("%q", h.bodies)
	}
	h.bodies = nil
	s.Hold(3)
	for _, text := range []string{"a1", "a2", "a3"} {
		s.Say(ann, help, "", text)
	}
	order := strings.Join(h.bodies, "")
	if len(h.bodies) != 3 || !(strings.Index(order, "a3") < strings.Index(order, "a2") && strings.Index(order, "a2") < strings.Index(order, "a1")) {
		t.Errorf("%d bodies: %s", len(h.bodies), order)
	}
}

func TestTriggersServeOnceForThreeSeconds(t *testing.T) {
	now := time.Unix(1700000000, 0)
	s, ann, help := server(t, Options{Now: func() time.Time { return now }})
	h := newHook(t, s)
	trigger := func() string {
		s.Slash(ann, help, "/gd", "")
		form, err := url.ParseQuery(h.bodies[len(h.bodies)-1])
		if err != nil {
			t.Fatal(err)
		}
		return form.Get("trigger_id")
	}
	view := `{"type":"modal","title":{"type":"plain_text","text":"t"},"blocks":[]}`
	call := func(method, id string) any {
		out := api(t, s, method, url.Values{"trigger_id": {id}, "view": {view}})
		if out["ok"] == true {
			return "ok"
		}
		return out["error"]
	}
	first := trigger()
	for _, c := range []struct {
		got  any
		want string
	}{
		{call("views.open", first), "ok"}, {call("views.open", first), "exchanged_trigger_id"}, {call("views.open", "x"), "invalid_trigger_id"},
		{call("views.push", trigger()), "ok"}, {call("views.push", trigger()), "ok"}, {call("views.push", trigger()), "push_limit_reached"},
	} {
		if c.got != c.want {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
	late := trigger()
	now = now.Add(3*time.Second + 1)
	if got := call("views.open", late); got != "expired_trigger_id" {
		t.Error(got)
	}
}

func TestRefusals(t *testing.T) {
	s, ann, help := server(t, Options{Scopes: []string{"chat:write"}})
	newHook(t, s)
	blocks := func(n int) string {
		var b []string
		for range n {
			b = append(b, `{"type":"divider"}`)
		}
		return "[" + strings.Join(b, ",") + "]"
	}
	ref := help + "/" + fmt.Sprint(api(t, s, "chat.postMessage", url.Values{"channel": {help}, "text": {"x"}})["ts"])
	_, ts, _ := strings.Cut(ref, "/")
	theirs, _ := s.Say(ann, help, "", "mine")
	_, theirTS, _ := strings.Cut(theirs, "/")
	for _, c := range []struct {
		method string
		args   url.Values
		want   string
	}{
		{"chat.postMessage", url.Values{"text": {"x"}}, "invalid_arguments"},
		{"chat.postMessage", url.Values{"channel": {"C404"}, "text": {"x"}}, "channel_not_found"},
		{"chat.postMessage", url.Values{"channel": {help}}, "no_text"},
		{"chat.postMessage", url.Values{"channel": {help}, "text": {"x"}, "blocks": {blocks(51)}}, "invalid_blocks"},
		{"chat.postMessage", url.Values{"channel": {help}, "text": {"x"}, "blocks": {"{"}}, "invalid_blocks_format"},
		{"chat.postMessage", url.Values{"channel": {help}, "text": {"x"}, "thread_ts": {"1.1"}}, "thread_not_found"},
		{"chat.update", url.Values{"channel": {help}, "ts": {ts}, "text": {strings.Repeat("x", 4001)}}, "msg_too_long"},
		{"chat.update", url.Values{"channel": {help}, "ts": {theirTS}, "text": {"x"}}, "cant_update_message"},
		{"chat.update", url.Values{"channel": {help}, "ts": {"1.1"}, "text": {"x"}}, "message_not_found"},
		{"users.info", url.Values{"user": {ann}}, "missing_scope"},
		{"no.such", url.Values{}, "unknown_method"},
	} {
		if out := api(t, s, c.method, c.args); out["error"] != c.want {
			t.Errorf("%s %v: %v, want %s", c.method, c.args, out, c.want)
		}
	}
	out := api(t, s, "chat.postMessage", url.Values{"channel": {help}, "text": {"x"}, "blocks": {`[{"type":"header","text":{"type":"plain_text","text":"` + strings.Repeat("x", 151) + `"}}]`}})
	if s := fmt.Sprint(out["response_metadata"]); !strings.Contains(s, "must be less than 151 characters [json-pointer:/blocks/0/text/text]") {
		t.Error(s)
	}
}

func TestCheckBlocksRefusesWhatSlackRefuses(t *testing.T) {
	text := func(n int) string { return `{"type":"plain_text","text":"` + strings.Repeat("x", n) + `"}` }
	button := func(id string, n, value int) string {
		return `{"type":"button","action_id":"` + id + `","text":` + text(n) + `,"value":"` + strings.Repeat("v", value) + `"}`
	}
	for block, ok := range map[string]bool{
		`{"type":"section","text":` + text(3000) + `}`:                                                   true,
		`{"type":"section","text":` + text(3001) + `}`:                                                   false,
		`{"type":"section","text":` + text(0) + `}`:                                                      false,
		`{"type":"section"}`:                                                                             false,
		`{"type":"section","text":` + text(1) + `,"extra":1}`:                                            false,
		`{"type":"actions","elements":[]}`:                                                               false,
		`{"type":"actions","elements":[` + button("a", 75, 2000) + `]}`:                                  true,
		`{"type":"actions","elements":[` + button("a", 76, 1) + `]}`:                                     false,
		`{"type":"actions","elements":[` + button("a", 1, 2001) + `]}`:                                   false,
		`{"type":"actions","elements":[` + button("a", 1, 1) + `,` + button("a", 1, 1) + `]}`:            false,
		`{"type":"actions","elements":[` + button("", 1, 1) + `]}`:                                       false,
		`{"type":"actions","elements":[{"type":"static_select","action_id":"s","options":[]}]}`:          false,
		`{"type":"actions","elements":[{"type":"plain_text_input","action_id":"s"}]}`:                    false,
		`{"type":"input","label":` + text(1) + `,"element":{"type":"email_text_input","action_id":"s"}}`: false,
		`{"type":"novelty"}`: false,
	} {
		if says := CheckBlocks("message", []byte("["+block+"]")); (len(says) == 0) != ok {
			t.Errorf("%.120s: %q", block, says)
		}
	}
}

func TestClicksAreRealClicks(t *testing.T) {
	s, ann, help := server(t, Options{})
	h := newHook(t, s)
	blocks := `[{"type":"actions","elements":[{"type":"button","action_id":"b0","text":{"type":"plain_text","text":"Claim"},"value":"tok"}]}]`
	ref := help + "/" + fmt.Sprint(api(t, s, "chat.postMessage", url.Values{"channel": {help}, "text": {"x"}, "blocks": {blocks}})["ts"])
	if a := s.Click(ann, ref, "Nothing"); a.OK() || len(h.bodies) != 0 {
		t.Errorf("%+v", a)
	}
	if a := s.Click(ann, ref, "Claim"); !a.OK() {
		t.Errorf("%+v", a)
	}
	c, err := s.Clicks(ref, "Claim")
	if err != nil {
		t.Fatal(err)
	}
	body := c.Body("U7", "other&token", "1700000001.000001")
	form, err := url.ParseQuery(string(body))
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		User    struct{ ID string }
		Actions []struct{ Value, Action_ts string }
	}
	if err := json.Unmarshal([]byte(form.Get("payload")), &p); err != nil || p.User.ID != "U7" || p.Actions[0].Value != "other&token" || p.Actions[0].Action_ts != "1700000001.000001" {
		t.Errorf("%+v %v", p, err)
	}
	if len(c.Sign(time.Now(), body).Get("X-Slack-Signature")) != 67 {
		t.Error("not signed")
	}
}

func TestArrivalsAreMeasured(t *testing.T) {
	s, _, help := server(t, Options{})
	before := time.Now()
	ts := fmt.Sprint(api(t, s, "chat.postMessage", url.Values{"channel": {help}, "text": {"x"}})["ts"])
	api(t, s, "chat.update", url.Values{"channel": {help}, "ts": {ts}, "text": {"y"}})
	got := s.Arrivals()
	if len(got) != 2 || got[0].Method != "chat.postMessage" || got[1].Method != "chat.update" || got[1].Text != "y" || got[1].At.Before(before) {
		t.Errorf("%+v", got)
	}
	if m := s.Cards(help)[0]; m.Edits != 1 || m.Text != "y" {
		t.Errorf("%+v", m)
	}
}

func TestNobodyToDeliverTo(t *testing.T) {
	s, ann, help := server(t, Options{Deadline: 10 * time.Millisecond})
	if _, answers := s.Say(ann, help, "", "hi"); answers[0].OK() || answers[0].Err != errNoHook {
		t.Errorf("%+v", answers)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.WaitSocket(ctx, 1); err == nil {
		t.Error("a socket that is not there")
	}
}

// BenchmarkUpdate is how much the emulator itself costs a load test.
func BenchmarkUpdate(b *testing.B) {
	s, _, help := server(b, Options{})
	s.OnArrival(func(Arrival) {})
	ts := fmt.Sprint(api(b, s, "chat.postMessage", url.Values{"channel": {help}, "text": {"x"}})["ts"])
	blocks := `[{"type":"header","text":{"type":"plain_text","text":"t"}},{"type":"section","text":{"type":"plain_text","text":"body"}},{"type":"actions","elements":[{"type":"button","action_id":"b0","text":{"type":"plain_text","text":"Claim"},"value":"tok"}]}]`
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			api(b, s, "chat.update", url.Values{"channel": {help}, "ts": {ts}, "text": {"y"}, "blocks": {blocks}})
		}
	})
}
