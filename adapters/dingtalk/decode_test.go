package dingtalk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/dingtalk/dingtalktest"
	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// said is the JSON of a message to the robot, changed as change says; a nil
// value takes a key out.
func said(change map[string]any) string {
	o := map[string]any{
		"conversationId": "cidGROUP==", "conversationType": "2", "conversationTitle": "测试群", "msgId": "msgAAA==", "createAt": 1700000000000,
		"senderPlatform": "Mac", "senderId": "$:LWCP_v1:$sender", "senderNick": "小钉", "senderStaffId": "manager4220", "senderUnionId": "u1", "senderCorpId": "dingcorp1", "isAdmin": true,
		"chatbotCorpId": "dingcorp1", "chatbotUserId": "$:LWCP_v1:$bot", "robotCode": "dingrobot1", "isInAtList": true,
		"atUsers":        []any{map[string]any{"dingtalkId": "$:LWCP_v1:$bot", "staffId": "", "unionId": ""}},
		"sessionWebhook": "https://oapi.dingtalk.com/robot/sendBySession?session=S1", "sessionWebhookExpiredTime": 1700005400000,
		"msgtype": "text", "text": map[string]any{"content": " 打印机坏了"},
	}
	for k, v := range change {
		if o[k] = v; v == nil {
			delete(o, k)
		}
	}
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// pressed is the JSON of a press on a card.
func pressed(change map[string]any, action string, params map[string]any) string {
	content, err := json.Marshal(map[string]any{"cardPrivateData": map[string]any{"actionIds": []string{action}, "params": params}})
	if err != nil {
		panic(err)
	}
	o := map[string]any{
		"type": "actionCallback", "outTrackId": "paidan-g-abc", "corpId": "dingcorp1", "userId": "manager4220", "userIdType": 1, "spaceType": "IM", "spaceId": "cidGROUP==",
		"extension": "{}", "content": string(content),
	}
	for k, v := range change {
		if o[k] = v; v == nil {
			delete(o, k)
		}
	}
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// recorded are what comes in, by name: messages, presses and events of HTTP mode.
func recorded() (messages, presses, events map[string]string) {
	messages = map[string]string{
		"text_group":         said(nil),
		"text_private":       said(map[string]any{"conversationType": "1", "conversationId": "cidPRIVATE==", "conversationTitle": nil, "isInAtList": nil, "atUsers": nil, "msgId": "msgP==", "text": map[string]any{"content": "帮助"}}),
		"text_mentions":      said(map[string]any{"msgId": "msgM==", "text": map[string]any{"content": " 转派 @李四 太忙了"}, "atUsers": []any{map[string]any{"dingtalkId": "$:LWCP_v1:$bot", "staffId": ""}, map[string]any{"dingtalkId": "$:LWCP_v1:$li", "staffId": "lisi"}}}),
		"text_mentions_more": said(map[string]any{"msgId": "msgMM==", "text": map[string]any{"content": "看 a@b.example @李四 @路人"}, "atUsers": []any{map[string]any{"dingtalkId": "$:LWCP_v1:$li", "staffId": "lisi"}}}),
		"text_quote":         said(map[string]any{"msgId": "msgQ==", "originalMsgId": "msgO==", "originalProcessQueryKey": "pqk1", "text": map[string]any{"content": " 1", "isReplyMsg": true, "repliedMsg": map[string]any{"msgId": "msgO==", "msgType": "text", "createdAt": 1699999990000, "senderId": "$:LWCP_v1:$bot", "content": map[string]any{"text": "#1024 无法登录"}}}}),
		"text_quote_card":    said(map[string]any{"msgId": "msgQC==", "originalMsgId": "msgO2==", "originalProcessQueryKey": "carrier1", "text": map[string]any{"content": " 接单", "isReplyMsg": true, "repliedMsg": map[string]any{"msgId": "msgO2==", "msgType": "interactiveCard", "senderId": "$:LWCP_v1:$bot"}}}),
		"text_quote_person":  said(map[string]any{"msgId": "msgQP==", "originalMsgId": "msgO3==", "text": map[string]any{"content": " 建单", "isReplyMsg": true, "repliedMsg": map[string]any{"msgId": "msgO3==", "msgType": "richText", "senderId": "$:LWCP_v1:$w", "content": map[string]any{"richText": []any{map[string]any{"text": "电脑"}, map[string]any{"text": "坏了"}}}}}}),
		"text_outsider":      said(map[string]any{"msgId": "msgG==", "senderStaffId": "", "senderCorpId": "dingother", "isAdmin": nil, "senderUnionId": nil}),
		"text_unpublished":   said(map[string]any{"msgId": "msgU==", "senderStaffId": nil}),
		"rich_text":          said(map[string]any{"msgId": "msgR==", "msgtype": "richText", "text": nil, "content": map[string]any{"richText": []any{map[string]any{"text": "看图"}, map[string]any{"type": "picture", "downloadCode": "code1", "pictureDownloadCode": "pcode1"}, map[string]any{"text": "\n谢谢"}}}}),
		"picture":            said(map[string]any{"msgId": "msgPic==", "conversationType": "1", "msgtype": "picture", "text": nil, "content": map[string]any{"downloadCode": "code2"}}),
		"audio":              said(map[string]any{"msgId": "msgAu==", "conversationType": "1", "msgtype": "audio", "text": nil, "content": map[string]any{"duration": 4000, "downloadCode": "code3", "recognition": "打印机坏了"}}),
		"video":              said(map[string]any{"msgId": "msgV==", "conversationType": "1", "msgtype": "video", "text": nil, "content": map[string]any{"duration": 4000, "downloadCode": "code4", "videoType": "mp4"}}),
		"file":               said(map[string]any{"msgId": "msgF==", "conversationType": "1", "msgtype": "file", "text": nil, "content": map[string]any{"downloadCode": "code5", "fileName": "日志.zip", "spaceId": "1", "fileId": "2"}}),
		"new_kind":           said(map[string]any{"msgId": "msgN==", "msgtype": "hologram", "text": nil, "content": "{\"a\":1}"}),
		"quota":              said(map[string]any{"msgId": "msgX==", "text": nil, "errorCode": "20001", "errorMessage": "受调用量超量影响"}),
		"foreign_session":    said(map[string]any{"msgId": "msgS==", "sessionWebhook": "https://evil.example/robot/sendBySession?session=S1"}),
	}
	presses = map[string]string{
		"press":         pressed(nil, pressAction, map[string]any{"token": "AQ-claim"}),
		"press_private": pressed(map[string]any{"outTrackId": "paidan-u-abc", "spaceType": "IM_ROBOT", "spaceId": "cidPRIVATE=="}, pressAction, map[string]any{"token": "AQ-solve"}),
		"press_space":   pressed(map[string]any{"spaceType": "IM_GROUP", "spaceId": "dtv1.card//IM_GROUP.cidGROUP=="}, pressAction, map[string]any{"token": "AQ-hold"}),
		"choose":        pressed(nil, chooseAction, map[string]any{"token": "AQ-assign", "value": "p1"}),
		"choose_number": pressed(nil, chooseAction, map[string]any{"token": "AQ-prio", "value": 2}),
		"press_foreign": pressed(map[string]any{"outTrackId": "ticket-42-v1"}, "ack", map[string]any{"action": "ack"}),
		"press_in_id":   pressed(nil, pressAction+":AQ-row", map[string]any{}),
		"press_later":   pressed(map[string]any{"type": "dynamicCallback"}, pressAction, map[string]any{"token": "x"}),
	}
	events = map[string]string{
		"check_url":            `{"EventType":"check_url"}`,
		"user_modify_org":      `{"EventType":"user_modify_org","TimeStamp":"1700000000000","CorpId":"dingcorp1","UserId":["manager4220","lisi"]}`,
		"user_add_org":         `{"EventType":"user_add_org","TimeStamp":"1700000000000","CorpId":"dingcorp1","UserId":["lisi"]}`,
		"chat_add_member":      `{"EventType":"chat_add_member","TimeStamp":"1700000000000","OpenConversationId":"cidGROUP==","UserId":["lisi"]}`,
		"chat_quit":            `{"EventType":"chat_quit","TimeStamp":"1700000000000","OpenConversationId":"cidGROUP==","UserId":"lisi"}`,
		"chat_disband":         `{"EventType":"chat_disband","TimeStamp":"1700000000000","OpenConversationId":"cidGROUP==","Operator":"manager4220"}`,
		"bpms_instance_change": `{"EventType":"bpms_instance_change","processInstanceId":"ad253df6","corpId":"dingcorp1","createTime":1700000000000,"title":"张三的审批 100%","type":"finish","result":"agree","staffId":"er5875"}`,
		"label_user_change":    `{"EventType":"label_user_change","TimeStamp":"1700000000000"}`,
	}
	return messages, presses, events
}

// sealEvent makes a request of an event as DingTalk does.
func sealEvent(plain string, at time.Time) (bot.Raw, error) {
	sealed, err := dingtalktest.Encrypt(dingtalktest.AESKey, dingtalktest.ClientID, random("aaaabbbbccccdddd"), []byte(plain))
	if err != nil {
		return bot.Raw{}, err
	}
	ms := strconv.FormatInt(at.UnixMilli(), 10)
	return bot.Raw{
		Method: "POST", Path: "events", Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"encrypt":"` + sealed + `"}`),
		Query: url.Values{"timestamp": {ms}, "nonce": {"nonce001"}, "msg_signature": {dingtalktest.Signature(dingtalktest.EventToken, ms, "nonce001", sealed)}},
	}, nil
}

// inboundRequests are the recorded requests, signed.
func inboundRequests(t testing.TB) []adaptertest.Sample {
	t.Helper()
	messages, presses, events := recorded()
	var out []adaptertest.Sample
	for name, body := range messages {
		out = append(out, adaptertest.Sample{Name: name, At: stamp, BodyUnsigned: true, Raw: bot.Raw{Method: "POST", Header: dingtalktest.SignRobot(dingtalktest.ClientSecret, stamp), Body: []byte(body)}})
	}
	first := len(out)
	for name, body := range presses {
		out = append(out, adaptertest.Sample{Name: name, At: stamp, BodyUnsigned: true, Raw: bot.Raw{Method: "POST", Path: "cards", Header: dingtalktest.SignCard(cardSecret, stamp), Body: []byte(body)}})
	}
	for name, plain := range events {
		raw, err := sealEvent(plain, stamp)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, adaptertest.Sample{Name: name, At: stamp, Raw: raw})
	}
	if first < 10 || len(out) < 30 {
		t.Fatalf("%d and %d requests", first, len(out))
	}
	return out
}

// resign makes a request authentic at a time, whatever its body is.
func resign(r bot.Raw, at time.Time) bot.Raw {
	switch r.Path {
	case "cards":
		r.Header = dingtalktest.SignCard(cardSecret, at)
	case "events":
		ms := strconv.FormatInt(at.UnixMilli(), 10)
		r.Query["timestamp"] = []string{ms}
		if doc, err := parseJSON(string(r.Body)); err == nil {
			r.Query["msg_signature"] = []string{dingtalktest.Signature(dingtalktest.EventToken, ms, "nonce001", doc.at("encrypt").str())}
		}
	default:
		r.Header = dingtalktest.SignRobot(dingtalktest.ClientSecret, at)
	}
	return r
}

// TestInbound reads every recorded request as the program would, over HTTP and,
// with the same outcome, over Stream.
func TestInbound(t *testing.T) {
	stream := testConfig()
	stream.Mode = ModeStream
	for _, s := range inboundRequests(t) {
		t.Run(s.Name, func(t *testing.T) {
			a := testAdapter(t, testConfig())
			plain, err := a.Verify(s.Raw, s.At)
			if err != nil {
				t.Fatal(err)
			}
			in, err := a.Decode(s.Raw, plain)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range in.Events {
				for _, m := range e.Mentions {
					if m.Start < 0 || m.End > len(e.Text) || m.End > m.Start && !strings.HasPrefix(e.Text[m.Start:m.End], "@") {
						t.Errorf("mention %+v does not lie in %q", m, e.Text)
					}
				}
			}
			got, err := bot.FormatInbound(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range in.Keep {
				got = fmt.Appendf(got, "keep %s = %s for %s\n", k.Key, k.Value, k.For)
			}
			golden(t, filepath.Join("testdata/inbound", s.Name+".json"), got)
			if s.Raw.Path == "events" {
				return
			}
			topic := messageTopic
			if s.Raw.Path == "cards" {
				topic = cardTopic
			}
			over, err := testAdapter(t, stream).Decode(bot.Raw{Socket: true}, frameOf(t, "CALLBACK", topic, string(plain), nil))
			if err != nil {
				t.Fatal(err)
			}
			same, err := bot.FormatInbound(over)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(got), string(same)) {
				t.Errorf("over Stream %s", same)
			}
		})
	}
}

func frameOf(t testing.TB, kind, topic, data string, more map[string]any) []byte {
	t.Helper()
	head := map[string]any{"topic": topic, "messageId": "m1", "contentType": "application/json", "time": "1700000000000"}
	for k, v := range more {
		head[k] = v
	}
	b, err := json.Marshal(map[string]any{"specVersion": "1.0", "type": kind, "headers": head, "data": data})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSDKDefect_NumericTime and its neighbours: what DingTalk's SDK drops or refuses.
func TestSDKDefect_NumericTime(t *testing.T) {
	c := testConfig()
	c.Mode = ModeStream
	a := testAdapter(t, c)
	in, err := a.Decode(bot.Raw{Socket: true}, frameOf(t, "CALLBACK", cardTopic, pressed(nil, pressAction, map[string]any{"token": "t"}), map[string]any{"time": 1700000000000}))
	if err != nil || len(in.Events) != 1 || !in.Events[0].At.Equal(stamp) {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestSDKDefect_EventTopic(t *testing.T) {
	c := testConfig()
	c.Mode = ModeStream
	a := testAdapter(t, c)
	head := map[string]any{"eventId": "e1", "eventType": "user_modify_org", "eventBornTime": "1700000000000"}
	var ids []string
	for _, topic := range []string{"*", "dingTalk", ""} {
		in, err := a.Decode(bot.Raw{Socket: true}, frameOf(t, "EVENT", topic, `{"timeStamp":"1","userId":["u1"]}`, head))
		if err != nil || len(in.Events) != 1 || in.Events[0].Kind != bot.Renamed || in.Events[0].User.ID != "u1" || !in.Events[0].At.Equal(stamp) {
			t.Fatalf("%q: %+v, %v", topic, in, err)
		}
		ids = append(ids, in.Events[0].ID)
	}
	if ids[0] != ids[1] || ids[1] != ids[2] {
		t.Errorf("one event has several ids: %q", ids)
	}
}

// TestPressesAreToldApart: the same delivery is one event, a later press another.
func TestPressesAreToldApart(t *testing.T) {
	a := testAdapter(t, testConfig())
	id := func(change map[string]any, action, token string, at time.Time) string {
		t.Helper()
		r := bot.Raw{Method: "POST", Path: "cards", Header: dingtalktest.SignCard(cardSecret, at)}
		in, err := a.Decode(r, []byte(pressed(change, action, map[string]any{"token": token, "value": "v"})))
		if err != nil || len(in.Events) != 1 {
			t.Fatalf("%+v, %v", in, err)
		}
		return in.Events[0].ID
	}
	first := id(nil, pressAction, "AQ-1", stamp)
	if again := id(nil, pressAction, "AQ-1", stamp.Add(300*time.Millisecond)); again != first {
		t.Error("a delivery that came twice is two presses")
	}
	for name, other := range map[string]string{
		"later":          id(nil, pressAction, "AQ-1", stamp.Add(2*time.Second)),
		"another button": id(nil, pressAction, "AQ-2", stamp),
		"a menu":         id(nil, chooseAction, "AQ-1", stamp),
		"somebody else":  id(map[string]any{"userId": "lisi"}, pressAction, "AQ-1", stamp),
		"another card":   id(map[string]any{"outTrackId": "paidan-g-xyz"}, pressAction, "AQ-1", stamp),
	} {
		if other == first {
			t.Errorf("%s: the same id", name)
		}
	}
}

func TestQuotedCardIsFound(t *testing.T) {
	a := testAdapter(t, testConfig())
	messages, _, _ := recorded()
	doc := func(name string) bot.Event {
		in, err := a.Decode(bot.Raw{Method: "POST", Header: http.Header{robotSign: {"x"}}}, []byte(messages[name]))
		if err != nil || len(in.Events) != 1 {
			t.Fatalf("%+v, %v", in, err)
		}
		return in.Events[0]
	}
	if e := doc("text_quote_card"); e.Quote != "" {
		t.Errorf("quotes %q, which nobody can know", e.Quote)
	}
	a.carried.put("carrier1", "paidan-g-abc")
	if e := doc("text_quote_card"); e.Quote != "card/cidGROUP==/paidan-g-abc" {
		t.Errorf("quotes %q", e.Quote)
	}
}

// TestQuotaRaisesAnAlarm: a message without words tells that the quota is used up.
func TestQuotaRaisesAnAlarm(t *testing.T) {
	var got []bot.Alarm
	a := testAdapter(t, testConfig())
	a.alarm = func(_ context.Context, al bot.Alarm) { got = append(got, al) }
	messages, _, _ := recorded()
	for range 3 {
		in, err := a.Decode(bot.Raw{Method: "POST", Header: http.Header{robotSign: {"x"}}}, []byte(messages["quota"]))
		if err != nil || len(in.Events) > 0 || in.Kind != "quota" {
			t.Fatalf("%+v, %v", in, err)
		}
	}
	if len(got) != 1 || got[0].What != cards.AlarmQuota || got[0].Args["limit"] != "5000" || got[0].Args["used"] != "5000" || got[0].Once == "" {
		t.Errorf("%+v", got)
	}
}

func TestMalformed(t *testing.T) {
	a := testAdapter(t, testConfig())
	robot := bot.Raw{Method: "POST", Header: http.Header{robotSign: {"x"}}}
	card := bot.Raw{Method: "POST", Header: http.Header{cardSign: {"x"}}}
	for name, body := range map[string]string{
		"nothing": "", "no object": "[]", "two": said(nil) + said(nil), "duplicate key": strings.Replace(said(nil), `"msgId"`, `"msgId":"other","msgId"`, 1),
		"no id": said(map[string]any{"msgId": nil}), "no conversation": said(map[string]any{"conversationId": nil}), "odd conversation": said(map[string]any{"conversationId": "../x"}),
		"kind of conversation": said(map[string]any{"conversationType": "3"}), "nobody": said(map[string]any{"senderStaffId": nil, "senderId": nil}), "everybody": said(map[string]any{"senderStaffId": "@ALL", "senderId": nil}),
		"deep": strings.Repeat(`{"a":`, 100), "invalid text": "{\"msgId\":\"\xff\"}",
	} {
		if in, err := a.Decode(robot, []byte(body)); !errors.Is(err, bot.ErrMalformed) || len(in.Events) > 0 {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
	}
	for name, body := range map[string]string{
		"no card": pressed(map[string]any{"outTrackId": nil}, pressAction, nil), "nobody": pressed(map[string]any{"userId": nil}, pressAction, nil), "a union id": pressed(map[string]any{"userIdType": 2}, pressAction, nil),
		"broken content": pressed(map[string]any{"content": "{"}, pressAction, nil),
	} {
		if in, err := a.Decode(card, []byte(body)); !errors.Is(err, bot.ErrMalformed) || len(in.Events) > 0 {
			t.Errorf("press of %s: %+v, %v", name, in, err)
		}
	}
}

// TestHalfAnEmojiCostsNoMessage: names are cut anywhere by who sends them.
func TestHalfAnEmojiCostsNoMessage(t *testing.T) {
	a := testAdapter(t, testConfig())
	body := strings.Replace(said(nil), `"小钉"`, `"小\ud83d"`, 1)
	in, err := a.Decode(bot.Raw{Method: "POST", Header: http.Header{robotSign: {"x"}}}, []byte(body))
	if err != nil || len(in.Events) != 1 || in.Events[0].UserName != "小" {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestJSON(t *testing.T) {
	for _, bad := range []string{"", "{", `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":01}`, `{"a":1}x`, "{\"a\":\"\n\"}", `{'a':1}`, `{"a":"\x"}`, `{"a":"\ud83"}`, `[1,]`, "\x00", `{"a":nul}`} {
		if _, err := parseJSON(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
	v, err := parseJSON(`{"A":1,"a":{"b":["x\ud83d\ude00\u0000","2"],"n":null,"t":true,"big":99999999999999999999}}`)
	if err != nil {
		t.Fatal(err)
	}
	if v.at("A").number() != 1 || v.at("a", "n").exists() || !v.at("a", "t").yes() || v.at("a", "big").number() != 0 || v.at("a", "x", "y").exists() || v.at("A").word() != "1" {
		t.Error("wrong values")
	}
	var got []string
	for e := range v.at("a", "b").each {
		got = append(got, e.str())
	}
	if len(got) != 2 || got[0] != "x😀\ufffd" || got[1] != "2" {
		t.Errorf("%q", got)
	}
}

// FuzzDecode: nothing that is authentic makes Decode panic, and what it returns
// can be used.
func FuzzDecode(f *testing.F) {
	messages, presses, events := recorded()
	for kind, all := range []map[string]string{messages, presses, events} {
		for _, body := range all {
			f.Add(byte(kind), []byte(body))
			f.Add(byte(3+kind), []byte(body))
		}
	}
	http1, stream := testConfig(), testConfig()
	stream.Mode = ModeStream
	over, under := testAdapter(f, http1), testAdapter(f, stream)
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		var in bot.Inbound
		var err error
		switch kind % 7 {
		case 0:
			in, err = over.Decode(bot.Raw{Method: "POST", Header: http.Header{robotSign: {"x"}}}, body)
		case 1:
			in, err = over.Decode(bot.Raw{Method: "POST", Header: http.Header{cardSign: {"x"}}}, body)
		case 2:
			in, err = over.Decode(bot.Raw{Method: "POST", Query: url.Values{"msg_signature": {"x"}}}, body)
		case 6:
			in, err = under.Decode(bot.Raw{Socket: true}, body)
		default:
			topic, frame := messageTopic, "CALLBACK"
			if kind%7 == 4 {
				topic = cardTopic
			}
			if kind%7 == 5 {
				topic, frame = "*", "EVENT"
			}
			in, err = under.Decode(bot.Raw{Socket: true}, frameOf(t, frame, topic, string(body), map[string]any{"eventType": "user_modify_org"}))
		}
		if err != nil {
			if !errors.Is(err, bot.ErrMalformed) || len(in.Events) > 0 {
				t.Fatalf("%+v, %v", in, err)
			}
			return
		}
		if in.Kind == "" {
			t.Error("no kind")
		}
		for _, e := range in.Events {
			if e.ID == "" || e.Kind == "" || e.At.IsZero() || strings.HasPrefix(e.User.ID, "@") {
				t.Errorf("%+v", e)
			}
			for _, r := range []bot.MessageRef{e.Message, e.Quote} {
				if _, _, _, err := parseRef(r); r != "" && err != nil {
					t.Error(err)
				}
			}
		}
		for _, k := range in.Keep {
			if strings.HasPrefix(k.Key, "title/") {
				continue
			}
			u, err := url.Parse(k.Value)
			if err != nil || !over.sessionHost(u) || k.For <= 0 || k.For > 24*time.Hour {
				t.Errorf("%+v", k)
			}
		}
	})
}
