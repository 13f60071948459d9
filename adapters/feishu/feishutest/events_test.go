package feishutest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEventsAreRepeated(t *testing.T) {
	var waits []int
	w := newWorld(t, Options{Wait: func(n int) { waits = append(waits, n) }})
	h := newHook(t, w.Server)
	h.status = []int{500, 302, 201, 200} // only 200 is received
	_, answers := w.Say(w.ann, w.group, "", "hi")
	if a := answers[0]; !a.OK() || a.Attempts != 4 || fmt.Sprint(waits) != "[1 2 3]" {
		t.Errorf("%+v %v", a, waits)
	}
	if h.plain[0] != h.plain[3] || h.heads[0].Get("X-Lark-Signature") == h.heads[3].Get("X-Lark-Signature") {
		t.Error("a repetition is the same event, encrypted anew")
	}
	h.plain, h.status = nil, []int{500, 500, 500, 500, 500, 200}
	if _, answers := w.Say(w.ann, w.group, "", "hi"); answers[0].OK() || answers[0].Attempts != 5 || len(h.plain) != 5 {
		t.Errorf("%+v, %d deliveries", answers, len(h.plain))
	}
}

func TestLostDoubledAndReorderedDeliveries(t *testing.T) {
	w := newWorld(t, Options{})
	h := newHook(t, w.Server)
	w.Drop(1)
	if _, answers := w.Say(w.ann, w.group, "", "one"); !answers[0].OK() || answers[0].Attempts != 2 || len(h.plain) != 1 {
		t.Errorf("%+v", answers)
	}
	ids := func(s string) (event, message string) {
		var e struct {
			Header struct {
				ID string `json:"event_id"`
			}
			Event struct {
				Message struct {
					ID string `json:"message_id"`
				}
			}
		}
		if err := json.Unmarshal([]byte(s), &e); err != nil {
			t.Fatal(err)
		}
		return e.Header.ID, e.Event.Message.ID
	}
	h.plain = nil
	w.Double(2)
	id, _ := w.Say(w.ann, w.group, "", "two")
	e1, m1 := ids(h.plain[0])
	e2, m2 := ids(h.plain[1])
	if len(h.plain) != 2 || e1 == e2 || m1 != id || m2 != id {
		t.Errorf("%q", h.plain)
	}
	h.plain = nil
	if w.React(w.ann, id, "OK"); len(h.plain) != 2 || h.plain[0] != h.plain[1] {
		t.Errorf("what is no message comes again as it was: %q", h.plain)
	}
	h.plain = nil
	w.Hold(3)
	for _, text := range []string{"zz1", "zz2", "zz3"} {
		w.Say(w.ann, w.group, "", text)
	}
	order := strings.Join(h.plain, "")
	if len(h.plain) != 3 || !(strings.Index(order, "zz3") < strings.Index(order, "zz2") && strings.Index(order, "zz2") < strings.Index(order, "zz1")) {
		t.Errorf("%d: %s", len(h.plain), order)
	}
}

func TestWhoHearsWhat(t *testing.T) {
	var withoutGroup []string
	for _, s := range Scopes {
		if s != "im:message.group_msg" {
			withoutGroup = append(withoutGroup, s)
		}
	}
	w := newWorld(t, Options{Scopes: withoutGroup})
	h := newHook(t, w.Server)
	away := w.AddGroup("away", true, w.ann)
	for _, c := range []struct {
		chat, text string
		events     int
	}{
		{w.group, "hi", 0}, {w.group, At(Bot) + " hi", 1}, {w.group, At("all") + " hi", 0}, {w.group, At(w.ann) + " hi", 0},
		{w.DM(w.ann), "hi", 1}, {away, At(Bot) + " hi", 0},
	} {
		if _, answers := w.Say(w.ann, c.chat, "", c.text); len(answers) != c.events {
			t.Errorf("%s: %+v", c.text, answers)
		}
	}
	w.Mention(w.ann, w.group, "", At(w.ann)+` say "hi" `+At(Bot))
	_, ev := h.last(t)
	b, err := json.Marshal(ev["message"])
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Content  string
		Type     string `json:"chat_type"`
		Mentions []struct {
			Key, Name string
			ID        struct {
				Open string `json:"open_id"`
			}
			Kind string `json:"mentioned_type"`
		}
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if m.Content != `{"text":"@_user_1 @_user_2 say \"hi\" @_user_1"}` || m.Type != "group" || len(m.Mentions) != 2 ||
		m.Mentions[0].ID.Open != Bot || m.Mentions[0].Kind != "bot" || m.Mentions[1].ID.Open != w.ann || m.Mentions[1].Name != "Ann" {
		t.Errorf("%s", b)
	}
}

func TestRepliesAndTopics(t *testing.T) {
	w := newWorld(t, Options{})
	h := newHook(t, w.Server)
	root := w.sendCard(`{"tag":"hr"}`)
	first, _ := w.Say(w.ann, w.group, root, "one")
	w.Say(w.ann, w.group, first, "two")
	_, ev := h.last(t)
	m := ev["message"].(map[string]any)
	if m["root_id"] != root || m["parent_id"] != first || m["thread_id"] != nil {
		t.Errorf("%v", m)
	}
	w.SayInTopic(w.ann, root, "three")
	_, ev = h.last(t)
	m = ev["message"].(map[string]any)
	thread, _ := m["thread_id"].(string)
	if m["root_id"] != root || !strings.HasPrefix(thread, "omt_") {
		t.Errorf("%v", m)
	}
	_, out := w.call("POST", messages+"/"+root+"/reply", map[string]any{"msg_type": "text", "content": `{"text":"x"}`, "reply_in_thread": true})
	if data := out["data"].(map[string]any); data["thread_id"] != thread || data["root_id"] != root {
		t.Errorf("%v", out)
	}
	topics := w.AddGroup("topics", false, w.ann)
	w.ChangeChat(topics, func(c *Chat) { c.Topic = true })
	id, _ := w.Say(w.ann, topics, "", "new")
	w.Say(w.ann, topics, id, "more")
	_, ev = h.last(t)
	if a, _ := w.Message(id); a.Thread == "" || ev["message"].(map[string]any)["thread_id"] != a.Thread {
		t.Errorf("%+v %v", a, ev)
	}
	if _, out = w.call("GET", messages+"?container_id_type=thread&container_id="+thread, nil); len(out["data"].(map[string]any)["items"].([]any)) != 3 {
		t.Errorf("%v", out)
	}
}

func TestFilesGoWithTheirMessage(t *testing.T) {
	w := newWorld(t, Options{})
	h := newHook(t, w.Server)
	picture, text := w.AddFile(File{Type: "image", Content: []byte("png")}), w.AddFile(File{Name: "log.txt", Content: []byte("log")})
	id, answers := w.Say(w.ann, w.group, "", At(Bot)+" see\nthis", picture, text)
	if len(answers) != 2 || !strings.Contains(h.plain[0], `"message_type":"post"`) || !strings.Contains(h.plain[0], picture) || !strings.Contains(h.plain[1], `"message_type":"file"`) {
		t.Errorf("%+v %q", answers, h.plain)
	}
	get := func(message, key, kind string) (int, string) {
		resp := w.raw("GET", messages+"/"+message+"/resources/"+key+"?type="+kind, "application/json", nil)
		defer resp.Body.Close()
		var b strings.Builder
		if err := resp.Write(&b); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b.String()
	}
	if status, body := get(id, picture, "image"); status != 200 || !strings.HasSuffix(body, "png") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := get(id, text, "file"); status != 400 || !strings.Contains(body, "234003") {
		t.Errorf("a file of another message: %d %s", status, body)
	}
	for _, c := range []struct {
		path, field string
		fields      map[string]string
		content     int
		want        float64
	}{
		{"images", "image", map[string]string{"image_type": "message"}, 3, 0},
		{"images", "image", map[string]string{}, 3, 234001},
		{"images", "image", map[string]string{"image_type": "message"}, 0, 234010},
		{"images", "image", map[string]string{"image_type": "message"}, 10<<20 + 1, 234006},
		{"files", "file", map[string]string{"file_type": "stream", "file_name": "a.txt"}, 3, 0},
		{"files", "file", map[string]string{"file_type": "zip", "file_name": "a.txt"}, 3, 234001},
		{"files", "file", map[string]string{"file_type": "stream"}, 3, 234001},
	} {
		out := w.upload("/open-apis/im/v1/"+c.path, c.field, c.fields, make([]byte, c.content))
		if out["code"] != c.want {
			t.Errorf("%s %v: %v, want %v", c.path, c.fields, out, c.want)
		}
		if data, _ := out["data"].(map[string]any); c.want == 0 && c.path == "files" {
			if _, code := w.send("file", `{"file_key":"`+fmt.Sprint(data["file_key"])+`"}`); code != 0 || len(w.Files(w.group)) != 3 {
				t.Errorf("%d, %d files", code, len(w.Files(w.group)))
			}
		}
	}
	if _, code := w.send("image", `{"image_key":"img_none"}`); code != 230001 {
		t.Error(code)
	}
}

func TestActsOfPeople(t *testing.T) {
	w := newWorld(t, Options{})
	h := newHook(t, w.Server)
	bob := w.AddUser(User{Name: "Bob"})
	id, _ := w.Say(w.ann, w.group, "", "hi")
	new := w.AddGroup("new", true, w.ann)
	for _, c := range []struct {
		do   func() []Answer
		kind string
		has  []string
	}{
		{func() []Answer { return w.React(w.ann, id, "THUMBSUP") }, "im.message.reaction.created_v1", []string{id, `"emoji_type":"THUMBSUP"`, w.ann}},
		{func() []Answer { return w.Unreact(w.ann, id, "THUMBSUP") }, "im.message.reaction.deleted_v1", []string{id}},
		{func() []Answer { return w.Join(bob, w.group, w.ann) }, "im.chat.member.user.added_v1", []string{w.group, bob, `"name":"Bob"`, w.ann}},
		{func() []Answer { return w.Leave(bob, w.group) }, "im.chat.member.user.deleted_v1", []string{w.group, bob}},
		{func() []Answer { return w.AddBot(new, w.ann) }, "im.chat.member.bot.added_v1", []string{new, w.ann}},
		{func() []Answer { return w.RemoveBot(new, w.ann) }, "im.chat.member.bot.deleted_v1", []string{new}},
		{func() []Answer { return w.Recall(id) }, "im.message.recalled_v1", []string{id, w.group}},
		{func() []Answer { return w.Enter(w.ann) }, "im.chat.access_event.bot_p2p_chat_entered_v1", []string{w.DM(w.ann)}},
		{func() []Answer { return w.Menu(w.ann, "mine") }, "application.bot.menu_v6", []string{`"event_key":"mine"`, w.ann}},
		{func() []Answer { return w.Dissolve(w.group, w.ann) }, "im.chat.disbanded_v1", []string{w.group}},
		{func() []Answer { return w.Event("contact.user.updated_v3", object{"object": object{"name": "B"}}) }, "contact.user.updated_v3", []string{`"name":"B"`}},
	} {
		answers := c.do()
		if len(answers) != 1 || !answers[0].OK() || answers[0].Kind != c.kind {
			t.Fatalf("%s: %+v", c.kind, answers)
		}
		got := h.plain[len(h.plain)-1]
		for _, part := range append(c.has, `"event_type":"`+c.kind+`"`, `"tenant_key":"`+Tenant+`"`) {
			if !strings.Contains(got, part) {
				t.Errorf("%s: no %s in %s", c.kind, part, got)
			}
		}
	}
	if a := w.React(w.ann, id, "eyes"); a[0].Err == nil {
		t.Error("an emoji that is none")
	}
}

func TestChallengeAndForgedRequests(t *testing.T) {
	w := newWorld(t, Options{})
	h := newHook(t, w.Server)
	if a := w.Verify(); a.Err == nil {
		t.Errorf("any answer passes: %+v", a)
	}
	if !strings.Contains(h.plain[0], `"type":"url_verification"`) {
		t.Error(h.plain[0])
	}
	h.reply = `{"challenge":"ajls384kdjx98XX \"quoted\""}`
	if a := w.Verify(); !a.OK() {
		t.Errorf("%+v", a)
	}
	plain := w.Envelope("im.message.receive_v1", object{"x": "y"})
	body := w.Seal(plain)
	if string(body) == string(plain) {
		t.Error("not encrypted")
	}
	head := w.Sign(body)
	for range 2 { // a replay
		if a := w.Post("replay", body, head); !a.OK() {
			t.Errorf("%+v", a)
		}
	}
	open := newWorld(t, Options{Plain: true})
	oh := newHook(t, open.Server)
	open.Say(open.ann, open.group, "", "hi")
	if oh.heads[0].Get("X-Lark-Signature") != "" || !strings.Contains(oh.plain[0], "im.message.receive_v1") {
		t.Errorf("%v", oh.heads)
	}
}

const form = `{"tag":"form","name":"f","elements":[
	{"tag":"input","name":"title","required":true,"max_length":5,"label":{"tag":"plain_text","content":"标题"}},
	{"tag":"input","name":"body","input_type":"multiline_text"},
	{"tag":"select_static","name":"prio","options":[{"text":{"tag":"plain_text","content":"高"},"value":"1"},{"text":{"tag":"plain_text","content":"低"},"value":"2"}],"initial_option":"2"},
	{"tag":"multi_select_static","name":"tags","options":[{"text":{"tag":"plain_text","content":"甲"},"value":"a"},{"text":{"tag":"plain_text","content":"乙"},"value":"b"}]},
	{"tag":"select_person","name":"who"},{"tag":"date_picker","name":"day"},{"tag":"picker_datetime","name":"at"},{"tag":"checker","name":"check"},
	{"tag":"button","name":"ok","text":{"tag":"plain_text","content":"提交"},"form_action_type":"submit","behaviors":[{"type":"callback","value":{"t":"tok"}}]}]}`

func TestForms(t *testing.T) {
	w := newWorld(t, Options{})
	h := newHook(t, w.Server)
	id := w.sendCard(form)
	for _, c := range []struct {
		button string
		values map[string]string
		want   string
	}{
		{"", map[string]string{}, "required"}, {"", map[string]string{"title": "longer"}, "5 are possible"}, {"", map[string]string{"title": "a\nb"}, "one line"},
		{"", map[string]string{"title": "a", "prio": "9"}, `no option "9"`}, {"", map[string]string{"title": "a", "none": "x"}, `no input "none"`},
		{"取消", map[string]string{"title": "a"}, "no form with a button"}, {"", map[string]string{"title": "a", "day": "soon"}, "no moment"},
	} {
		if a := w.Submit(w.ann, id, c.button, c.values); a.Err == nil || !strings.Contains(a.Err.Error(), c.want) || len(h.plain) > 0 {
			t.Errorf("%v: %+v", c.values, a)
		}
	}
	if a := w.Press(w.ann, id, "提交"); a.Err == nil {
		t.Error("a form sent without filling it in")
	}
	if a := w.Select(w.ann, id, "prio", "高"); a.Err == nil {
		t.Error("a menu of a form tells nobody")
	}
	a := w.Submit(w.ann, id, "提交", map[string]string{"title": "坏了", "prio": "高", "tags": "甲,b", "who": w.ann, "day": "2026-11-21", "at": "2026-11-21T09:30", "check": "true"})
	if !a.OK() {
		t.Fatalf("%+v", a)
	}
	_, ev := h.last(t)
	b, err := json.Marshal(ev["action"])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"form_value":{"at":"2026-11-21 09:30 +0800","body":"","check":true,"day":"2026-11-21 +0800","prio":"1","tags":["a","b"],"title":"坏了","who":"` + w.ann + `"},"name":"ok","tag":"button","timezone":"Asia/Shanghai","value":{"t":"tok"}}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	if a := w.Submit(w.ann, id, "", map[string]string{"title": "a"}); !a.OK() {
		t.Errorf("%+v", a)
	}
	_, ev = h.last(t)
	if got := ev["action"].(map[string]any)["form_value"].(map[string]any); got["prio"] != "2" || got["tags"] != nil {
		t.Errorf("%v", got)
	}
}

func TestMenusAndWhoMayPress(t *testing.T) {
	w := newWorld(t, Options{})
	h := newHook(t, w.Server)
	bob := w.AddUser(User{Name: "Bob"})
	menu := `"placeholder":` + plain(1) + `,"behaviors":[{"type":"callback","value":{"t":"m"}}]`
	id := w.sendCard(`{"tag":"select_static",` + menu + `,"options":[{"text":{"tag":"plain_text","content":"P1"},"value":"1"}]},
		{"tag":"overflow","options":[{"text":{"tag":"plain_text","content":"关闭"},"value":"close"}]},
		{"tag":"select_person","name":"who","behaviors":[{"type":"callback","value":{"t":"p"}}]},
		{"tag":"button","disabled":true,"text":{"tag":"plain_text","content":"off"}},
		{"tag":"button","text":{"tag":"plain_text","content":"link"},"behaviors":[{"type":"open_url","default_url":"https://e.example"}]}`)
	for _, c := range []struct {
		a    Answer
		want string
	}{
		{w.Select(w.ann, id, "x", "P1"), `"option":"1"`}, {w.Press(w.ann, id, "关闭"), `"option":"close"`}, {w.Select(w.ann, id, "who", bob), bob},
	} {
		if !c.a.OK() {
			t.Errorf("%+v", c.a)
		}
		if !slices.ContainsFunc(h.plain, func(s string) bool { return strings.Contains(s, c.want) }) {
			t.Errorf("no %s in %q", c.want, h.plain)
		}
	}
	for _, a := range []Answer{w.Press(w.ann, id, "off"), w.Press(w.ann, id, "link"), w.Press(bob, id, "关闭"), w.Select(w.ann, id, "x", "P9"), w.Press(w.ann, "om_none", "x")} {
		if a.Err == nil {
			t.Errorf("%+v", a)
		}
	}
	if len(h.plain) != 3 {
		t.Errorf("%d deliveries", len(h.plain))
	}
}

func TestADelayedUpdateComesAfterTheAnswer(t *testing.T) {
	w := newWorld(t, Options{})
	h := newHook(t, w.Server)
	id := w.sendCard(button("接单", "tok"))
	update := func(token any, content string) int {
		return w.code("POST", "/open-apis/interactive/v1/card/update", object{"token": token, "card": json.RawMessage(card(`{"tag":"markdown","content":"` + content + `"}`))})
	}
	shows := func(s string) bool {
		m, _ := w.Message(id)
		return strings.Contains(m.Content, s)
	}
	h.on = func(ev map[string]any) {
		if c := update(ev["token"], "early"); c != 0 || !shows("early") {
			t.Error(c)
		}
	}
	if a := w.Press(w.ann, id, "接单"); !a.OK() || shows("early") {
		t.Errorf("%+v: what came too early stands", a)
	}
	h.on = nil
	_, ev := h.last(t)
	if c := update(ev["token"], "second"); c != 0 || !shows("second") {
		t.Error(c)
	}
	if c := update(ev["token"], "third"); c == 0 || shows("third") {
		t.Error("a token serves twice")
	}
	id = w.sendCard(button("接单", "tok"))
	w.Press(w.ann, id, "接单")
	_, ev = h.last(t)
	w.now = w.now.Add(30 * time.Minute)
	if c := update(ev["token"], "late"); c == 0 || update("c-none", "x") == 0 {
		t.Error("a token serves half an hour")
	}
}

func TestNotes(t *testing.T) {
	w := newWorld(t, Options{})
	newHook(t, w.Server)
	bob, topics := w.AddUser(User{Name: "Bob"}), w.AddGroup("topics", false, w.ann)
	w.ChangeChat(topics, func(c *Chat) { c.Topic = true })
	send := func(chat, user, elements string) (string, int) {
		_, out := w.call("POST", "/open-apis/ephemeral/v1/send", object{"chat_id": chat, "open_id": user, "msg_type": "interactive", "card": json.RawMessage(card(elements))})
		data, _ := out["data"].(map[string]any)
		id, _ := data["message_id"].(string)
		n, _ := out["code"].(float64)
		return id, int(n)
	}
	id, code := send(w.group, w.ann, button("好", "tok"))
	if code != 0 || len(w.Notes(w.ann)) != 1 || len(w.Messages(w.group)) != 0 {
		t.Errorf("%d %+v", code, w.Notes(w.ann))
	}
	if a := w.Press(w.ann, id, "好"); !a.OK() {
		t.Errorf("%+v", a)
	}
	if a := w.Press(bob, id, "好"); a.Err == nil {
		t.Error("somebody else pressed it")
	}
	for _, c := range []struct {
		chat, user, elements string
		want                 int
	}{
		{w.group, bob, "", 230002}, {topics, w.ann, "", 230027}, {w.DM(w.ann), w.ann, "", 230027}, {w.group, w.ann, `{"tag":"note"}`, 230099}, {w.AddGroup("away", true, w.ann), w.ann, "", 230002},
	} {
		if _, code := send(c.chat, c.user, c.elements); code != c.want {
			t.Errorf("%+v: %d", c, code)
		}
	}
	if c := w.code("PATCH", messages+"/"+id, object{"content": card("")}); c != 230001 {
		t.Errorf("a note was changed: %d", c)
	}
	if c := w.code("POST", "/open-apis/ephemeral/v1/delete", object{"message_id": id}); c != 0 || len(w.Notes(w.ann)) != 0 {
		t.Error(c)
	}
	w.ChangeUser(w.ann, func(u *User) { u.Offline = true })
	if _, code := send(w.group, w.ann, ""); code != 0 || len(w.Notes(w.ann)) != 0 {
		t.Error("who has no client open sees nothing")
	}
}

func TestClicksAreRealClicks(t *testing.T) {
	w := newWorld(t, Options{})
	h := newHook(t, w.Server)
	id := w.sendCard(button("接单", "tok-of-the-card"))
	c, err := w.Clicks(id, "接单")
	if err != nil {
		t.Fatal(err)
	}
	body := c.Body("ou_7", "other.token", "1700000001000001")
	if a := w.Post(cardAction, body, c.Sign(w.now, body)); !a.OK() {
		t.Errorf("%+v", a)
	}
	head, ev := h.last(t) // the hook has checked the signature
	action := ev["action"].(map[string]any)
	if head["create_time"] != "1700000001000001" || head["event_id"] != "e1700000001000001" || ev["operator"].(map[string]any)["open_id"] != "ou_7" ||
		fmt.Sprint(action["value"]) != "map[t:other.token]" || ev["context"].(map[string]any)["open_message_id"] != id {
		t.Errorf("%v %v", head, ev)
	}
	if w.Press(w.ann, id, "接单"); len(h.plain) != 2 {
		t.Fatal("no press")
	}
	var real, made map[string]any
	if json.Unmarshal([]byte(h.plain[1]), &real) != nil || json.Unmarshal([]byte(h.plain[0]), &made) != nil || shape(real) != shape(made) {
		t.Errorf("a press looks otherwise:\n%s\n%s", shape(real), shape(made))
	}
	if _, err := w.Clicks(id, "没有"); err == nil {
		t.Error("a button that is not there")
	}
}

// shape is the keys of an object.
func shape(v any) string {
	o, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprintf("%T", v)
	}
	var out []string
	for k, x := range o {
		out = append(out, k+":"+shape(x))
	}
	slices.Sort(out)
	return "{" + strings.Join(out, " ") + "}"
}

func TestNobodyToDeliverTo(t *testing.T) {
	w := newWorld(t, Options{Deadline: 10 * time.Millisecond})
	if _, answers := w.Say(w.ann, w.group, "", "hi"); len(answers) != 1 || answers[0].Err != errNoHook {
		t.Errorf("%+v", answers)
	}
	if a := w.Post("x", nil, http.Header{}); a.Err != errNoHook {
		t.Errorf("%+v", a)
	}
}
