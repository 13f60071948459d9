package feishutest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestTheSameUUIDIsSentOnce(t *testing.T) {
	w := newWorld(t, Options{})
	newHook(t, w.Server)
	send := func(uuid string) (string, float64) {
		_, out := w.call("POST", messages+"?receive_id_type=open_id", object{"receive_id": w.ann, "msg_type": "text", "content": `{"text":"x"}`, "uuid": uuid})
		data, _ := out["data"].(map[string]any)
		id, _ := data["message_id"].(string)
		code, _ := out["code"].(float64)
		return id, code
	}
	first, _ := send("u1")
	if again, _ := send("u1"); first == "" || again != first {
		t.Errorf("%q and %q", first, again)
	}
	if other, _ := send("u2"); other == first {
		t.Error("another uuid")
	}
	w.now = w.now.Add(time.Hour)
	if late, _ := send("u1"); late == first {
		t.Error("a uuid is kept for an hour")
	}
	if len(w.Messages(w.DM(w.ann))) != 3 {
		t.Errorf("%d messages", len(w.Messages(w.DM(w.ann))))
	}
	if _, code := send(strings.Repeat("x", 51)); code != 230001 {
		t.Error(code)
	}
	reply := func() any {
		_, out := w.call("POST", messages+"/"+first+"/reply", object{"msg_type": "text", "content": `{"text":"x"}`, "uuid": "r1"})
		return out["data"].(map[string]any)["message_id"]
	}
	if a, b := reply(), reply(); a != b {
		t.Errorf("%v and %v", a, b)
	}
	w.Fail(Fault{Kind: CutAfter, Method: "message.create"})
	body := []byte(`{"receive_id":"` + w.ann + `","msg_type":"text","content":"{\"text\":\"x\"}","uuid":"u9"}`)
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+messages+"?receive_id_type=open_id", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + w.token}}
	if resp, err := w.client.Do(req); err == nil {
		resp.Body.Close()
		t.Error("an answer after all")
	}
	before := len(w.Messages(w.DM(w.ann)))
	if send("u9"); len(w.Messages(w.DM(w.ann))) != before {
		t.Error("sent twice although the answer was lost only")
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, Options{})
	newHook(t, w.Server)
	away, gone := w.AddGroup("away", true, w.ann), w.AddGroup("gone", false, w.ann)
	w.ChangeChat(gone, func(c *Chat) { c.Dissolved = true })
	hidden := w.AddUser(User{Name: "Hidden", Hidden: true})
	id, _ := w.send("text", `{"text":"x"}`)
	theirs, _ := w.Say(w.ann, w.group, "", "mine")
	to := func(kind, id, msgType, content string) (string, string, any) {
		return "POST", messages + "?receive_id_type=" + kind, object{"receive_id": id, "msg_type": msgType, "content": content}
	}
	type want struct {
		method, path string
		body         any
		code         int
	}
	var all []want
	add := func(code int) func(method, path string, body any) {
		return func(method, path string, body any) { all = append(all, want{method, path, body, code}) }
	}
	add(99992402)(to("", w.group, "text", `{"text":"x"}`))
	add(99992402)(to("chat_id", "", "text", `{"text":"x"}`))
	add(99992402)(to("chat_id", w.group, "", `{"text":"x"}`))
	add(99992402)(to("chat_id", w.group, "text", ``))
	add(230001)(to("phone", w.group, "text", `{"text":"x"}`))
	add(230001)(to("chat_id", "oc_none", "text", `{"text":"x"}`))
	add(230001)(to("chat_id", w.group, "text", `x`))
	add(230001)(to("chat_id", w.group, "text", `{"text":""}`))
	add(230001)(to("chat_id", w.group, "carrier_pigeon", `{"text":"x"}`))
	add(230001)(to("chat_id", w.group, "post", `{"title":"x","content":[]}`))
	add(0)(to("chat_id", w.group, "post", `{"zh_cn":{"title":"x","content":[[{"tag":"text","text":"x"}]]}}`))
	add(230001)(to("chat_id", w.group, "post", `{"zh_cn":{"title":"x","content":[[{"tag":"blink","text":"x"}]]}}`))
	add(230025)(to("chat_id", w.group, "text", `{"text":"`+strings.Repeat("x", 151<<10)+`"}`))
	add(230025)(to("chat_id", w.group, "post", `{"zh_cn":{"title":"","content":[[{"tag":"text","text":"`+strings.Repeat("x", 30<<10)+`"}]]}}`))
	add(230002)(to("chat_id", away, "text", `{"text":"x"}`))
	add(232009)(to("chat_id", gone, "text", `{"text":"x"}`))
	add(230013)(to("open_id", hidden, "text", `{"text":"x"}`))
	add(0)(to("email", "ann@example.com", "text", `{"text":"x"}`))
	add(230099)(to("chat_id", w.group, "interactive", `{"schema":"2.0"}`))
	add(230099)(to("chat_id", w.group, "interactive", `x`))
	add(230001)("POST", messages+"/om_none/reply", object{"msg_type": "text", "content": `{"text":"x"}`})
	add(230027)("PUT", messages+"/"+theirs, object{"msg_type": "text", "content": `{"text":"x"}`})
	add(0)("PUT", messages+"/"+id, object{"msg_type": "text", "content": `{"text":"y"}`})
	add(230001)("PUT", messages+"/"+id, object{"msg_type": "image", "content": `{"image_key":"y"}`})
	add(230026)("DELETE", messages+"/"+theirs, nil)
	add(230012)("PATCH", messages+"/"+theirs+"/urgent_app?user_id_type=open_id", object{"user_id_list": []string{w.ann}})
	add(99992402)("PATCH", messages+"/"+id+"/urgent_app?user_id_type=open_id", object{"user_id_list": []string{}})
	add(231001)("POST", messages+"/"+theirs+"/reactions", object{"reaction_type": object{"emoji_type": "eyes"}})
	add(0)("POST", messages+"/"+theirs+"/reactions", object{"reaction_type": object{"emoji_type": "OK"}})
	add(231010)("DELETE", messages+"/"+theirs+"/reactions/none", nil)
	add(232006)("GET", "/open-apis/im/v1/chats/oc_none", nil)
	add(232011)("GET", "/open-apis/im/v1/chats/"+away+"/members", nil)
	add(99992402)("GET", "/open-apis/im/v1/chats/"+w.group+"/members?page_size=101", nil)
	add(41012)("GET", "/open-apis/contact/v3/users/ou_none?user_id_type=open_id", nil)
	add(41050)("GET", "/open-apis/contact/v3/users/"+hidden, nil)
	add(40002)("POST", "/open-apis/contact/v3/users/batch_get_id", object{"emails": make([]string, 51)})
	for _, c := range all {
		if got := w.code(c.method, c.path, c.body); got != c.code {
			t.Errorf("%s %s %.90v: %d, want %d", c.method, c.path, c.body, got, c.code)
		}
	}
	resp := w.raw("POST", messages+"?receive_id_type=chat_id", "text/plain", []byte(`{}`))
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("X-Tt-Logid") == "" {
		t.Errorf("%+v", resp)
	}
	poor := newWorld(t, Options{Scopes: []string{"im:message.urgent"}})
	status, out := poor.call("POST", messages+"?receive_id_type=chat_id", object{})
	if status != 400 || out["code"] != 99991672.0 || !strings.Contains(fmt.Sprint(out["msg"]), "im:message:send_as_bot") {
		t.Errorf("%d %v", status, out)
	}
}

func TestUrgentAndReactions(t *testing.T) {
	w := newWorld(t, Options{})
	newHook(t, w.Server)
	id, _ := w.send("text", `{"text":"x"}`)
	bob := w.AddUser(User{Name: "Bob"})
	_, out := w.call("PATCH", messages+"/"+id+"/urgent_app?user_id_type=open_id", object{"user_id_list": []string{w.ann, bob}})
	if fmt.Sprint(out["data"]) != "map[invalid_user_id_list:["+bob+"]]" {
		t.Errorf("%v", out)
	}
	react := func() any {
		_, out := w.call("POST", messages+"/"+id+"/reactions", object{"reaction_type": object{"emoji_type": "OK"}})
		return out["data"].(map[string]any)["reaction_id"]
	}
	if a, b := react(), react(); a != b {
		t.Errorf("the same reaction twice: %v %v", a, b)
	}
	w.React(w.ann, id, "OK")
	m, _ := w.Message(id)
	if len(m.Urged) != 1 || m.Urged[0] != w.ann || len(m.Reactions) != 2 {
		t.Errorf("%+v", m)
	}
	_, out = w.call("GET", messages+"/"+id+"/reactions?reaction_type=OK", nil)
	if items := out["data"].(map[string]any)["items"].([]any); len(items) != 2 {
		t.Errorf("%v", items)
	}
	if c := w.code("DELETE", messages+"/"+id+"/reactions/"+m.Reactions[1].ID, nil); c != 231007 {
		t.Errorf("took away what is hers: %d", c)
	}
	if c := w.code("DELETE", messages+"/"+id+"/reactions/"+m.Reactions[0].ID, nil); c != 0 {
		t.Error(c)
	}
}

func TestRates(t *testing.T) {
	w := newWorld(t, Options{RateLimits: true})
	id := w.sendCard(`{"tag":"hr"}`)
	for range 4 {
		w.sendCard(`{"tag":"hr"}`)
	}
	if _, code := w.send("text", `{"text":"x"}`); code != 230020 {
		t.Errorf("the sixth in a second: %d", code)
	}
	if c := w.code("POST", messages+"?receive_id_type=open_id", object{"receive_id": w.ann, "msg_type": "text", "content": `{"text":"x"}`}); c != 0 {
		t.Errorf("another chat: %d", c)
	}
	for i := range 6 {
		want := 0
		if i == 5 {
			want = 230020
		}
		if c := w.code("PATCH", messages+"/"+id, object{"content": card("")}); c != want {
			t.Errorf("change %d: %d", i+1, c)
		}
	}
	w.now = w.now.Add(time.Second)
	if _, code := w.send("text", `{"text":"x"}`); code != 0 || w.code("PATCH", messages+"/"+id, object{"content": card("")}) != 0 {
		t.Errorf("a second later: %d", code)
	}
	for range 50 {
		if c := w.code("GET", "/open-apis/im/v1/chats/"+w.group, nil); c != 0 {
			t.Fatal(c)
		}
	}
	b, err := json.Marshal(nil)
	if err != nil {
		t.Fatal(err)
	}
	resp := w.raw("GET", "/open-apis/im/v1/chats/"+w.group, "application/json", b)
	defer resp.Body.Close()
	if resp.StatusCode != 429 || resp.Header.Get("X-Ogw-Ratelimit-Reset") != "1" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestFaults(t *testing.T) {
	w := newWorld(t, Options{})
	get := func() (int, http.Header, string) {
		resp := w.raw("GET", "/open-apis/bot/v3/info", "application/json", nil)
		defer resp.Body.Close()
		var b strings.Builder
		if err := resp.Write(&b); err != nil {
			return resp.StatusCode, resp.Header, err.Error()
		}
		return resp.StatusCode, resp.Header, b.String()
	}
	for _, c := range []struct {
		f      Fault
		status int
		part   string
	}{
		{Fault{Kind: Limited, RetryAfter: "52"}, 429, "99991400"}, {Fault{Kind: LimitedChat}, 400, "230020"}, {Fault{Kind: ServerError, Status: 502}, 502, "<html>"},
		{Fault{Kind: Empty}, 200, "{}"}, {Fault{Kind: NotJSON}, 200, "ok"}, {Fault{Kind: Refused, Code: 230022}, 400, "230022"}, {Fault{Kind: HalfAnswer}, 200, "EOF"},
		{Fault{Kind: Slow, Delay: time.Millisecond}, 200, Bot},
	} {
		c.f.Method = "bot.info"
		w.Fail(c.f)
		status, head, body := get()
		if status != c.status || !strings.Contains(body, c.part) {
			t.Errorf("%s: %d %s", c.f.Kind, status, body)
		}
		if c.f.RetryAfter != "" && head.Get("X-Ogw-Ratelimit-Reset") != c.f.RetryAfter {
			t.Errorf("%v", head)
		}
	}
	w.Fail(Fault{Kind: ServerError, Method: "message.create", Times: -1})
	if status, _, _ := get(); status != 200 {
		t.Error("a fault of another method")
	}
	w.Heal()
	if _, code := w.send("text", `{"text":"x"}`); code != 0 || w.Calls("message.create") != 1 || w.Calls("bot.info") != 9 {
		t.Errorf("%d, %d calls", code, w.Calls("bot.info"))
	}
}

func TestTheDirectory(t *testing.T) {
	w := newWorld(t, Options{})
	bob := w.AddUser(User{Name: "Bob", Email: "bob@example.com", Resigned: true})
	for range 3 {
		w.Join(w.AddUser(User{Name: "X"}), w.AddGroup("other", true), "")
	}
	_, out := w.call("POST", "/open-apis/contact/v3/users/batch_get_id?user_id_type=open_id", object{"emails": []string{"ANN@example.com", "bob@example.com", "no@example.com"}})
	list := out["data"].(map[string]any)["user_list"].([]any)
	if len(list) != 3 || list[0].(map[string]any)["user_id"] != w.ann || list[1].(map[string]any)["user_id"] != nil || list[2].(map[string]any)["user_id"] != nil {
		t.Errorf("%v", list)
	}
	_, out = w.call("GET", "/open-apis/contact/v3/users/batch?user_id_type=open_id&user_ids="+w.ann+"&user_ids="+bob, nil)
	if items := out["data"].(map[string]any)["items"].([]any); len(items) != 2 || fmt.Sprint(items[1].(map[string]any)["status"].(map[string]any)["is_resigned"]) != "true" {
		t.Errorf("%v", items)
	}
	big := w.AddGroup("big", false)
	for range 150 {
		w.ChangeChat(big, func(c *Chat) { c.Members[w.AddUserLocked()] = true })
	}
	seen, from := map[any]bool{}, ""
	for page := 0; ; page++ {
		_, out := w.call("GET", "/open-apis/im/v1/chats/"+big+"/members?member_id_type=open_id&page_size=100&page_token="+from, nil)
		data := out["data"].(map[string]any)
		for _, m := range data["items"].([]any) {
			seen[m.(map[string]any)["member_id"]] = true
		}
		if from, _ = data["page_token"].(string); data["has_more"] != true {
			if page != 1 || data["member_total"] != 150.0 {
				t.Errorf("page %d: %v", page, data)
			}
			break
		}
	}
	if len(seen) != 150 || seen[Bot] {
		t.Errorf("%d members", len(seen))
	}
	_, out = w.call("GET", "/open-apis/im/v1/chats", nil)
	if items := out["data"].(map[string]any)["items"].([]any); len(items) != 2 {
		t.Errorf("%v", items)
	}
}

// AddUserLocked makes an account while the server is locked.
func (w *world) AddUserLocked() string {
	u := &User{ID: w.id("ou_"), Tenant: w.opt.Tenant}
	w.users[u.ID] = u
	return u.ID
}

func TestArrivalsAreMeasured(t *testing.T) {
	w := newWorld(t, Options{})
	before := time.Now()
	id := w.sendCard(`{"tag":"hr"}`)
	w.code("PATCH", messages+"/"+id, object{"content": card(`{"tag":"markdown","content":"y"}`)})
	got := w.Arrivals()
	if len(got) != 2 || got[0].Method != "message.create" || got[1].Method != "message.patch" || !strings.Contains(got[1].Content, "y") || got[1].At.Before(before) || got[1].Chat != w.group || got[1].Message != id {
		t.Errorf("%+v", got)
	}
	w.OnArrival(func(a Arrival) { got = append(got, a) })
	if w.sendCard(`{"tag":"hr"}`); len(got) != 3 || len(w.Arrivals()) != 2 {
		t.Errorf("%d", len(got))
	}
	if c := w.Cards(w.group); len(c) != 2 || c[0].Edits != 1 {
		t.Errorf("%+v", c)
	}
}

// BenchmarkUpdate is how much the emulator itself costs a load test.
func BenchmarkUpdate(b *testing.B) {
	w := newWorld(b, Options{})
	w.OnArrival(func(Arrival) {})
	id := w.sendCard(button("接单", "tok"))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if c := w.code("PATCH", messages+"/"+id, object{"content": card(button("接单", "tok"))}); c != 0 {
				b.Error(c)
			}
		}
	})
}

// BenchmarkClicks is how much one body costs those who click.
func BenchmarkClicks(b *testing.B) {
	w := newWorld(b, Options{})
	c, err := w.Clicks(w.sendCard(button("接单", "tok")), "接单")
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		body := c.Body(w.ann, "token-of-a-ticket", fmt.Sprint(1700000000000000+i))
		c.Sign(w.now, body)
	}
}
