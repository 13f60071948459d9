package dingtalktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)} }

func TestTokensServeTwoHoursAndAreTheSame(t *testing.T) {
	c := newClock()
	d := newDesk(t, Options{Now: c.now})
	get := func() string {
		status, out := d.do("POST", d.APIURL()+"/v1.0/oauth2/accessToken", "", object{"appKey": ClientID, "appSecret": ClientSecret})
		if status != 200 || out["expireIn"] != 7200.0 {
			t.Fatal(status, out)
		}
		return fmt.Sprint(out["accessToken"])
	}
	first := get()
	if second := get(); second != first {
		t.Errorf("%s, then %s", first, second)
	}
	_, out := d.do("POST", d.APIURL()+"/v1.0/oauth2/"+CorpID+"/token", "", object{"client_id": ClientID, "client_secret": ClientSecret, "grant_type": "client_credentials"})
	if out["access_token"] != first || out["expires_in"] != 7200.0 {
		t.Error(out)
	}
	if _, out := d.do("GET", d.OAPIURL()+"/gettoken?appkey="+ClientID+"&appsecret="+ClientSecret, "", nil); out["access_token"] != first || out["errcode"] != 0.0 {
		t.Error(out)
	}
	d.token = first
	if status, out := d.call("POST", "robot/groupMessages/send", object{"robotCode": ClientID, "openConversationId": d.help, "msgKey": "sampleText", "msgParam": `{"content":"x"}`}); status != 200 {
		t.Error(status, out)
	}
	c.at = c.at.Add(2 * time.Hour)
	if status, out := d.call("PUT", "card/instances", object{}); status != 400 || out["code"] != "InvalidAuthentication" || out["message"] != "不合法的access_token" || out["requestid"] == "" {
		t.Error(status, out)
	}
	if get() == first {
		t.Error("an expired token was given out")
	}
}

func TestWhoIsNotKnownIsRefused(t *testing.T) {
	d := newDesk(t, Options{Permissions: []string{"qyapi_base"}})
	type want struct {
		status int
		code   any
		key    string
	}
	for _, c := range []struct {
		verb, url, token string
		body             object
		want             want
	}{
		{"POST", d.APIURL() + "/v1.0/oauth2/accessToken", "", object{"appKey": ClientID, "appSecret": "x"}, want{400, "invalidClientIdOrSecret", "code"}},
		{"POST", d.APIURL() + "/v1.0/oauth2/accessToken", "", object{"AppKey": ClientID, "AppSecret": ClientSecret}, want{400, "invalidClientIdOrSecret", "code"}},
		{"POST", d.APIURL() + "/v1.0/oauth2/other/token", "", object{"client_id": ClientID}, want{500, "unknownError", "code"}},
		{"POST", d.APIURL() + "/v1.0/robot/ding/send", "", object{}, want{400, "AuthenticationFailed.MissingParameter", "code"}},
		{"POST", d.APIURL() + "/v1.0/robot/ding/send?access_token=test", "", object{}, want{400, "AuthenticationFailed.MissingParameter", "code"}},
		{"POST", d.APIURL() + "/v1.0/robot/ding/send", "test", object{}, want{400, "InvalidAuthentication", "code"}},
		{"POST", d.APIURL() + "/v1.0/no/such", "test", object{}, want{404, "InvalidAction.NotFound", "code"}},
		{"POST", d.APIURL() + "/topapi/v2/user/get", "test", object{}, want{404, "InvalidAction.NotFound", "code"}},
		{"GET", d.OAPIURL() + "/gettoken?appkey=test&appsecret=test", "", nil, want{200, 40096.0, "errcode"}},
		{"GET", d.OAPIURL() + "/gettoken", "", nil, want{200, 40035.0, "errcode"}},
		{"POST", d.OAPIURL() + "/topapi/v2/user/get?access_token=test", "", object{"userid": "x"}, want{200, "40014", "sub_code"}},
		{"POST", d.OAPIURL() + "/topapi/v2/user/get", "test", object{"userid": "x"}, want{200, "40000", "sub_code"}},
		{"POST", d.OAPIURL() + "/topapi/v2/user/notexist?access_token=test", "", object{}, want{200, 22.0, "errcode"}},
		{"GET", d.OAPIURL() + "/robot/send?access_token=test", "", nil, want{200, 43002.0, "errcode"}},
		{"POST", d.APIURL() + "/v1.0/gateway/connections/open", "", object{"clientId": ClientID, "clientSecret": "x", "subscriptions": []object{{"type": "EVENT", "topic": "*"}}}, want{401, "authFailed", "code"}},
		{"POST", d.APIURL() + "/v1.0/gateway/connections/open", "", object{"clientId": ClientID, "clientSecret": ClientSecret}, want{400, "param.error", "code"}},
	} {
		status, out := d.do(c.verb, c.url, c.token, c.body)
		if status != c.want.status || out[c.want.key] != c.want.code {
			t.Errorf("%s %s: %d %v, want %v", c.verb, c.url, status, out, c.want)
		}
	}
	if status, out := d.call("POST", "robot/ding/send", object{}); status != 403 || out["code"] != "Forbidden.AccessDenied.AccessTokenPermissionDenied" || !strings.Contains(fmt.Sprint(out["accessdenieddetail"]), "Premium.Ding.Write") {
		t.Error(status, out)
	}
	if _, out := d.do("POST", d.OAPIURL()+"/topapi/v2/user/get?access_token="+d.token, "", object{"userid": d.ann}); out["errcode"] != 88.0 || out["sub_code"] != "60011" {
		t.Error(out)
	}
	d.Revoke(true)
	if status, out := d.call("POST", "robot/ding/send", object{}); status != 400 || out["code"] != "InvalidAuthentication" {
		t.Error(status, out)
	}
	if status, _ := d.do("POST", d.APIURL()+"/v1.0/oauth2/accessToken", "", object{"appKey": ClientID, "appSecret": ClientSecret}); status != 400 {
		t.Error("a revoked app got a token")
	}
}

func TestTooManyCallsASecondAndAMonth(t *testing.T) {
	c := newClock()
	d := newDesk(t, Options{Now: c.now, QPS: 3, Quota: 5})
	send := func() string {
		_, out := d.call("POST", "robot/groupMessages/send", object{"robotCode": ClientID, "openConversationId": d.help, "msgKey": "sampleText", "msgParam": `{"content":"x"}`})
		return fmt.Sprint(out["code"])
	}
	for i, want := range []string{"<nil>", "<nil>", "<nil>", "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"} {
		if got := send(); got != want {
			t.Errorf("call %d: %s, want %s", i, got, want)
		}
	}
	c.at = c.at.Add(time.Second)
	for range 3 { // contacts cost nothing
		if _, out := d.do("POST", d.OAPIURL()+"/topapi/v2/user/get?access_token="+d.token, "", object{"userid": d.ann}); out["errcode"] != 0.0 {
			t.Error(out)
		}
	}
	if _, out := d.do("POST", d.OAPIURL()+"/topapi/v2/user/get?access_token="+d.token, "", object{"userid": d.ann}); out["sub_code"] != "90018" {
		t.Error(out)
	}
	for i, want := range []string{"<nil>", "<nil>", "Forbidden.AccessDenied.ApiCountLimitForOrg"} {
		if got := send(); got != want {
			t.Errorf("call %d of the month: %s, want %s", i, got, want)
		}
	}
	if calls, _ := d.Paid(); calls != 5 {
		t.Errorf("%d calls paid", calls)
	}
	c.at = time.Date(2026, 11, 30, 16, 0, 1, 0, time.UTC) // December in Beijing
	d.token = ""
	if got := send(); got != "<nil>" {
		t.Error("a new month: " + got)
	}
	if n := d.Calls("robot/groupMessages/send"); n != 8 {
		t.Errorf("%d calls", n)
	}
}

func TestRobotMessagesAreRefusedWithDingTalksCodes(t *testing.T) {
	d := newDesk(t, Options{})
	away := d.AddGroup("别处", true, d.ann)
	gone := d.AddGroup("散了", false, d.ann)
	d.ChangeGroup(gone, func(g *Group) { g.Disbanded = true })
	muted := d.AddGroup("停用", false, d.ann)
	d.ChangeGroup(muted, func(g *Group) { g.Stopped = true })
	many := strings.Split(strings.Repeat("u ", 21), " ")[:21]
	good := func(change object) object {
		o := object{"robotCode": ClientID, "openConversationId": d.help, "userIds": []string{d.ann}, "msgKey": "sampleMarkdown", "msgParam": `{"title":"t","text":"x"}`}
		for k, v := range change {
			o[k] = v
		}
		return o
	}
	for _, c := range []struct {
		method string
		change object
		want   string
	}{
		{"groupMessages/send", nil, "<nil>"},
		{"groupMessages/send", object{"robotCode": ""}, "invalidParameter.robotCode.empty"},
		{"groupMessages/send", object{"robotCode": "other"}, "invalidParameter.robotCode.notExsit"},
		{"groupMessages/send", object{"msgKey": "sampleNothing"}, "invalidParameter.msgKey.invalid"},
		{"groupMessages/send", object{"msgParam": "x"}, "invalidParameter.msgParam.invalid"},
		{"groupMessages/send", object{"msgParam": object{"title": "t"}}, "invalidParameter.param.invalid"},
		{"groupMessages/send", object{"msgParam": `{"title":"t"}`}, "invalidParameter.param.invalid"},
		{"groupMessages/send", object{"msgParam": `{"title":"t","text":"` + strings.Repeat("好", 4990) + `"}`}, "<nil>"},
		{"groupMessages/send", object{"msgParam": `{"title":"t","text":"` + strings.Repeat("好", 5000) + `"}`}, "invalidParameter.msgParam.tooLong"},
		{"groupMessages/send", object{"openConversationId": ""}, "miss.openConversationId"},
		{"groupMessages/send", object{"openConversationId": "cid404"}, "invalid.openConversationId"},
		{"groupMessages/send", object{"openConversationId": away}, "invalidParameter.robotCode.notExsit"},
		{"groupMessages/send", object{"openConversationId": gone}, "group.disbanded"},
		{"groupMessages/send", object{"openConversationId": muted}, "bot.stopped"},
		{"oToMessages/batchSend", nil, "<nil>"},
		{"oToMessages/batchSend", object{"userIds": []string{}}, "invalidParameter.userIds.empty"},
		{"oToMessages/batchSend", object{"userIds": many}, "invalidParameter.userIds.overMax"},
		{"oToMessages/batchSend", object{"userIds": "x"}, "invalidParameter.param.invalid"},
	} {
		if _, out := d.call("POST", "robot/"+c.method, good(c.change)); fmt.Sprint(out["code"]) != c.want {
			t.Errorf("%s %.80v: %v, want %s", c.method, c.change, out, c.want)
		}
	}
	lost := d.AddUser(User{Name: "走了", Left: true})
	busy := d.AddUser(User{Name: "满了", Throttled: true})
	status, out := d.call("POST", "robot/oToMessages/batchSend", good(object{"userIds": []string{d.ann, "nobody", lost, busy}}))
	if status != 200 || fmt.Sprint(out["invalidStaffIdList"]) != fmt.Sprint([]string{"nobody", lost}) || fmt.Sprint(out["flowControlledStaffIdList"]) != fmt.Sprint([]string{busy}) {
		t.Error(status, out)
	}
	key := fmt.Sprint(out["processQueryKey"])
	if len(d.Messages(d.Private(d.ann))) != 2 || len(d.Messages(d.Private(lost)))+len(d.Messages(d.Private(busy))) != 0 {
		t.Error("delivered to the wrong people")
	}
	if _, out := d.call("POST", "robot/otoMessages/batchRecall", object{"robotCode": ClientID, "processQueryKeys": []string{key, "x"}}); fmt.Sprint(out["successResult"]) != "["+key+"]" || fmt.Sprint(out["failedResult"]) != "map[x:invalid.processQueryKey]" {
		t.Error(out)
	}
	if n := len(d.Messages(d.Private(d.ann))); n != 1 {
		t.Errorf("%d messages after a recall", n)
	}
	group, ok := d.Message(d.Messages(d.help)[0].Key)
	if !ok {
		t.Fatal("not found by its key")
	}
	if _, out := d.call("POST", "robot/groupMessages/recall", object{"robotCode": ClientID, "openConversationId": d.help, "processQueryKeys": []string{group.Key}}); fmt.Sprint(out["successResult"]) != "["+group.Key+"]" {
		t.Error(out)
	}
	if _, ok := d.Message(group.Ref()); ok {
		t.Error("a recalled message is shown")
	}
}

func TestCardsAreRefusedWithDingTalksCodes(t *testing.T) {
	d := newDesk(t, Options{})
	if status, out := d.post("t1", object{"title": "一"}); status != 200 || !strings.Contains(fmt.Sprint(out), "success:true") {
		t.Fatal(status, out)
	}
	vars := func(v object) object { return object{"cardData": object{"cardParamMap": v}} }
	for i, c := range []struct {
		change object
		want   string
	}{
		{object{"outTrackId": "t1"}, "param.cardAlreadyExist"},
		{object{"outTrackId": ""}, "param.outTrackIdEmpty"},
		{object{"cardTemplateId": ""}, "param.cardTemplateIdEmpty"},
		{object{"cardTemplateId": "other.schema"}, "param.templateNotExist"},
		{object{"cardData": nil}, "param.cardPublicDataEmpty"},
		{object{"openSpaceId": ""}, "param.openSpaceIdEmpty"},
		{object{"openSpaceId": "IM_GROUP." + d.help}, "param.openSpaceIdInvalid"},
		{object{"openSpaceId": "dtv1.card//IM_WHERE.x"}, "param.openSpaceIdInvalid"},
		{object{"imGroupOpenDeliverModel": nil}, "param.openDeliverModelEmpty"},
		{object{"imGroupOpenSpaceModel": object{}}, "param.openSpaceModelInvalid"},
		{object{"imGroupOpenSpaceModel": object{"supportForward": true, "searchSupport": object{"searchDesc": strings.Repeat("好", 201)}}}, "param.openSpaceModelInvalid"},
		{object{"imGroupOpenSpaceModel": object{"supportForward": true, "lastMessageI18n": object{"zh_CN": "x"}}}, "param.openSpaceModelInvalid"},
		{object{"callbackType": "stream"}, "param.invalid"},
		{object{"callbackType": "HTTP"}, "param.invalid"},
		{object{"privateData": object{"nobody": object{"cardParamMap": object{"note": "x"}}}}, "param.userIdNotExist"},
		{vars(object{"title": strings.Repeat("x", 1024), "body": strings.Repeat("x", 1024), "body2": strings.Repeat("x", 1024)}), "<nil>"},
		{vars(object{"title": strings.Repeat("x", 1025)}), "param.invalid"},
		{vars(object{"version": 3}), "param.invalid"},
		{vars(object{"titel": "x"}), "param.invalid"},
		{vars(object{"body22": "x"}), "param.invalid"},
		{vars(object{"tone": "merry"}), "param.invalid"},
		{vars(object{"actions": `[{"label":"x"}]`}), "param.invalid"},
		{vars(object{"actions": `{`}), "param.invalid"},
		{vars(object{"menus": `[{"label":"x","token":"t","options":[]}]`}), "param.invalid"},
	} {
		o := d.cardOf(fmt.Sprint("c", i), object{"title": "x"})
		for k, v := range c.change {
			o[k] = v
		}
		if _, out := d.call("POST", "card/instances/createAndDeliver", o); fmt.Sprint(out["code"]) != c.want {
			t.Errorf("%.120v: %v, want %s", c.change, out, c.want)
		}
	}
	for _, c := range []struct {
		body object
		want string
	}{
		{object{"outTrackId": ""}, "param.outTrackIdEmpty"},
		{object{"outTrackId": "t404", "cardData": object{"cardParamMap": object{}}}, "param.cardNotExist"},
		{object{"outTrackId": "t1"}, "param.cardDataAndPrivateDataBothEmpty"},
		{object{"outTrackId": "t1", "cardData": object{"cardParamMap": object{"note": strings.Repeat("x", 1025)}}}, "param.invalid"},
		{object{"outTrackId": "t1", "cardData": object{"cardParamMap": object{"note": "x"}}, "userIdType": 2}, "param.invalid"},
	} {
		if _, out := d.call("PUT", "card/instances", c.body); out["code"] != c.want {
			t.Errorf("%.120v: %v, want %s", c.body, out, c.want)
		}
	}
	if public, updates, _ := d.Card("t1"); updates != 0 || public["title"] != "一" {
		t.Errorf("a refused change was made: %v", public)
	}
}

func TestChangesReplaceOrJoin(t *testing.T) {
	d := newDesk(t, Options{Private: []string{"note"}})
	d.post("t1", object{"title": "一", "body": "文", "note": "众"})
	byKey := object{"updateCardDataByKey": true, "updatePrivateDataByKey": true}
	data := func(v object) object { return object{"cardParamMap": v} }
	for _, c := range []struct {
		body      object
		ann, bob  string
		wantTitle string
	}{
		{object{"cardData": data(object{"title": "二"}), "cardUpdateOptions": byKey}, "二 文 众", "二 文 众", ""},
		{object{"privateData": object{d.ann: data(object{"note": "私"})}, "cardUpdateOptions": byKey}, "二 文 私", "二 文 众", ""},
		{object{"cardData": data(object{"note": "新"}), "cardUpdateOptions": byKey}, "二 文 私", "二 文 新", ""},
		{object{"cardData": data(object{"title": "三"})}, "三  私", "三  ", ""},
		{object{"privateData": object{d.ann: data(object{})}}, "三  ", "三  ", ""},
	} {
		c.body["outTrackId"] = "t1"
		if status, out := d.call("PUT", "card/instances", c.body); status != 200 || out["success"] != true {
			t.Fatal(status, out)
		}
		for user, want := range map[string]string{d.ann: c.ann, d.bob: c.bob} {
			if v, err := d.Draw(user, "t1"); err != nil || v.Title+" "+v.Body+" "+v.Note != want {
				t.Errorf("%v: %s sees %q %q %q, want %q (%v)", c.body, user, v.Title, v.Body, v.Note, want, err)
			}
		}
	}
	if _, out := d.call("PUT", "card/instances", object{"outTrackId": "t1", "privateData": object{d.ann: data(object{"title": "x"})}}); out["code"] != "param.invalid" {
		t.Errorf("a variable that is not private: %v", out)
	}
	if got := d.Arrivals(); len(got) != 6 || got[5].Method != "card/instances/update" || got[5].Card != "t1" || got[1].Text != "二\n文\n众\n" {
		t.Errorf("%+v", got)
	}
}

func TestDeliveryFailsInsideOfASuccess(t *testing.T) {
	d := newDesk(t, Options{})
	stranger := d.AddUser(User{Name: "外人", External: true})
	results := func(out map[string]any) []any {
		if r, ok := out["result"].(map[string]any); ok {
			list, _ := r["deliverResults"].([]any)
			return list
		}
		list, _ := out["result"].([]any)
		return list
	}
	o := d.cardOf("t1", object{"title": "x"})
	o["openSpaceId"] = "dtv1.card//IM_GROUP." + d.help + ";IM_GROUP.cid404;im_robot." + d.ann + ";IM_ROBOT." + stranger
	o["imRobotOpenSpaceModel"], o["imRobotOpenDeliverModel"] = object{"supportForward": true}, object{"spaceType": "IM_ROBOT"}
	status, out := d.call("POST", "card/instances/createAndDeliver", o)
	list := results(out)
	if status != 200 || out["success"] != true || len(list) != 4 {
		t.Fatal(status, out)
	}
	for i, want := range []bool{true, false, true, false} {
		r, _ := list[i].(map[string]any)
		if r["success"] != want || (r["carrierId"] != "") != want || (r["errorMsg"] == "") != want {
			t.Errorf("%d: %v", i, r)
		}
	}
	if len(d.Cards(d.help)) != 1 || len(d.Cards(d.Private(d.ann))) != 1 {
		t.Error("cards are not where they should be")
	}
	d.Fail(Fault{Kind: Undelivered})
	status, out = d.post("t2", object{"title": "x"})
	if r, _ := results(out)[0].(map[string]any); status != 200 || r["success"] != false || len(d.Cards(d.help)) != 1 {
		t.Error(status, out)
	}
	if _, out := d.post("t2", object{"title": "x"}); out["code"] != "param.cardAlreadyExist" {
		t.Errorf("made again: %v", out)
	}
	o = d.cardOf("t2", nil)
	status, out = d.call("POST", "card/instances/deliver", o)
	if r, _ := results(out)[0].(map[string]any); status != 200 || r["success"] != true || len(d.Cards(d.help)) != 2 {
		t.Error(status, out)
	}
	if status, out := d.call("POST", "card/instances", d.cardOf("t3", object{"title": "x"})); status != 200 || out["result"] != "t3" || len(d.Cards(d.help)) != 2 {
		t.Error(status, out)
	}
	only := d.cardOf("t4", object{"title": "x"})
	only["imGroupOpenDeliverModel"] = object{"robotCode": ClientID, "recipients": []string{d.bob}, "atUserIds": object{"@ALL": "@ALL", d.bob: "鲍勃"}}
	if status, out := d.call("POST", "card/instances/createAndDeliver", only); status != 200 {
		t.Error(status, out)
	}
	if _, err := d.Draw(d.ann, "t4"); err == nil {
		t.Error("ann sees a card for bob")
	}
	if l := d.CardLive("t4"); !l.All || fmt.Sprint(l.At) != fmt.Sprint([]string{d.bob}) {
		t.Errorf("%+v", l)
	}
}

func TestFaultsAreMet(t *testing.T) {
	d := newDesk(t, Options{})
	d.post("t1", object{"title": "零"})
	body := func(title string) object {
		return object{"outTrackId": "t1", "cardData": object{"cardParamMap": object{"title": title}}}
	}
	raw := func(title string) (status int, answer string, err error) {
		b, err := json.Marshal(body(title))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "PUT", d.APIURL()+"/v1.0/card/instances", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("x-acs-dingtalk-access-token", d.token)
		resp, err := d.client.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(got), err
	}
	for i, c := range []struct {
		fault  Fault
		status int
		answer string
		cut    bool
		done   bool
	}{
		{Fault{Kind: Limited}, 403, "QpsLimitForAppkeyAndApi", false, false},
		{Fault{Kind: AllLimited}, 403, "QpsLimitForApi", false, false},
		{Fault{Kind: Banned}, 200, `"status":1111`, false, false},
		{Fault{Kind: ServerError, Status: 502}, 502, "<html>", false, false},
		{Fault{Kind: Empty}, 200, "{}", false, false},
		{Fault{Kind: Refused, Code: "system.busy", Status: 500}, 500, `"code":"system.busy"`, false, false},
		{Fault{Kind: CutBefore}, 0, "", true, false},
		{Fault{Kind: CutAfter}, 0, "", true, true},
		{Fault{Kind: HalfAnswer}, 200, `{"res`, true, true},
		{Fault{Kind: Slow, Delay: time.Millisecond}, 200, `"success":true`, false, true},
	} {
		c.fault.Method = "card/instances/update"
		d.Fail(Fault{Kind: ServerError, Method: "robot/groupMessages/send"}) // meets another
		d.Fail(c.fault)
		title := fmt.Sprint(i)
		status, answer, err := raw(title)
		public, _, _ := d.Card("t1")
		if status != c.status || !strings.Contains(answer, c.answer) || (err != nil) != c.cut || (public["title"] == title) != c.done {
			t.Errorf("%s: %d %q %v, done %v", c.fault.Kind, status, answer, err, public["title"] == title)
		}
	}
	d.Heal()
	d.Fail(Fault{Kind: Refused, Code: "88.42001"})
	if _, out := d.do("POST", d.OAPIURL()+"/topapi/v2/user/get?access_token="+d.token, "", object{"userid": d.ann}); out["errcode"] != 88.0 || out["sub_code"] != "42001" {
		t.Error(out)
	}
}

func TestFilesGoBothWays(t *testing.T) {
	c := newClock()
	d := newDesk(t, Options{Now: c.now})
	a := d.connect(nil)
	log := d.AddFile(File{Name: "a.log", Content: []byte("log")})
	shot := d.AddFile(File{Name: "a.png", Kind: "picture", Content: []byte("png")})
	if _, answers := d.Mention(d.ann, d.help, "", "看", log); len(answers) != 1 {
		t.Errorf("a file was heard in a group: %+v", answers)
	}
	d.Mention(d.ann, d.help, "", "看图", shot)
	d.Say(d.ann, d.Private(d.ann), "", "", log)
	type heard struct {
		Msgtype string
		Content struct {
			DownloadCode, FileName string
			RichText               []struct{ Type, Text, DownloadCode string }
		}
	}
	var told []heard
	for _, f := range a.seen() {
		var h heard
		if err := json.Unmarshal([]byte(f.Data), &h); err != nil {
			t.Fatal(err)
		}
		told = append(told, h)
	}
	if len(told) != 3 || told[0].Msgtype != "text" || told[1].Msgtype != "richText" || told[2].Msgtype != "file" || told[2].Content.FileName != "a.log" {
		t.Fatalf("%+v", told)
	}
	if rt := told[1].Content.RichText; len(rt) != 2 || rt[0].Text != " 看图" || rt[1].Type != "picture" {
		t.Errorf("%+v", rt)
	}
	code := told[2].Content.DownloadCode
	_, out := d.call("POST", "robot/messageFiles/download", object{"downloadCode": code, "robotCode": ClientID})
	fetch := func(token string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprint(out["downloadUrl"]), nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("x-acs-dingtalk-access-token", token)
		}
		resp, err := d.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if status, got := fetch(""); status != 200 || got != "log" {
		t.Error(status, got)
	}
	if status, _ := fetch(d.token); status != 400 || len(d.Complaints()) != 1 {
		t.Error("the storage took the token")
	}
	c.at = c.at.Add(time.Hour)
	if status, _ := fetch(""); status != 403 {
		t.Error("an old address served")
	}
	for want, body := range map[string]object{
		"invalidParameter.robotCode.downloadCode": {"downloadCode": "x", "robotCode": ClientID},
		"invalidParameter.robotCode.auth":         {"downloadCode": code, "robotCode": "other"},
	} {
		if _, out := d.call("POST", "robot/messageFiles/download", body); out["code"] != want {
			t.Errorf("%v, want %s", out, want)
		}
	}
	id := d.upload(t, "file", "报表.xlsx", "x", 0)
	if _, out := d.call("POST", "robot/groupMessages/send", object{"robotCode": ClientID, "openConversationId": d.help, "msgKey": "sampleFile", "msgParam": `{"mediaId":"` + id + `","fileName":"报表.xlsx","fileType":"xlsx"}`}); out["processQueryKey"] == nil {
		t.Error(out)
	}
	if files := d.Files(d.help); len(files) != 2 || files[0].Name != "报表.xlsx" {
		t.Errorf("%+v", files)
	}
	d.upload(t, "file", "a.exe", "x", 40005)
	d.upload(t, "thing", "a.doc", "x", 40004)
	d.upload(t, "voice", "a.mp3", strings.Repeat("x", 2<<20+1), 40006)
}

func (d *desk) upload(t *testing.T, kind, name, content string, want int) string {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	part, err := form.CreateFormFile("media", name)
	if err == nil {
		_, err = io.WriteString(part, content)
	}
	if err = errors.Join(err, form.Close()); err != nil {
		t.Fatal(err)
	}
	resp, err := d.client.Post(d.OAPIURL()+"/media/upload?access_token="+d.token+"&type="+kind, form.FormDataContentType(), &b)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct {
		Errcode int
		MediaID string `json:"media_id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.Errcode != want {
		t.Errorf("%s %s: %+v %v", kind, name, out, err)
	}
	return out.MediaID
}

func TestPeopleAreLookedUp(t *testing.T) {
	d := newDesk(t, Options{})
	d.call("POST", "card/instances", object{}) // for the token
	out60 := d.AddUser(User{Name: "外", Outside: true})
	left := d.AddUser(User{Name: "离", Left: true, Mobile: "13900000000"})
	for _, c := range []struct {
		path string
		body object
		want any
	}{
		{"topapi/v2/user/get", object{"userid": d.ann, "language": "zh_CN"}, 0.0},
		{"topapi/v2/user/get", object{"userid": ""}, 400002.0},
		{"topapi/v2/user/get", object{"userid": 3}, 400002.0},
		{"topapi/v2/user/get", object{"userid": "a b"}, 33012.0},
		{"topapi/v2/user/get", object{"userid": "nobody"}, 60121.0},
		{"topapi/v2/user/get", object{"userid": left}, 60121.0},
		{"topapi/v2/user/get", object{"userid": out60}, 50002.0},
		{"topapi/v2/user/getbymobile", object{"mobile": "13800000001"}, 0.0},
		{"topapi/v2/user/getbymobile", object{"mobile": "x"}, 40104.0},
		{"topapi/v2/user/getbymobile", object{"mobile": "13900000000"}, 60121.0},
		{"topapi/user/getbyunionid", object{"unionid": "x"}, 60121.0},
	} {
		_, out := d.do("POST", d.OAPIURL()+"/"+c.path+"?access_token="+d.token, "", c.body)
		if out["errcode"] != c.want {
			t.Errorf("%s %v: %v", c.path, c.body, out)
		}
		if c.want == 0.0 && out["result"].(map[string]any)["userid"] != d.ann {
			t.Errorf("%s %v: %v", c.path, c.body, out)
		}
	}
	resp, err := d.client.PostForm(d.OAPIURL()+"/topapi/v2/user/get", url.Values{"access_token": {d.token}, "userid": {d.ann}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(b), `"errcode":0`) || !strings.Contains(string(b), "安娜") {
		t.Errorf("as a form: %s %v", b, err)
	}
}

func TestWebhooks(t *testing.T) {
	c := newClock()
	d := newDesk(t, Options{Now: c.now})
	signed, keyed := d.AddWebhook(d.help, "SECx", ""), d.AddWebhook(d.help, "", "工单")
	text := func(s string) object { return object{"msgtype": "text", "text": object{"content": s}} }
	send := func(token string, q url.Values, body object) any {
		_, out := d.do("POST", d.OAPIURL()+"/robot/send?access_token="+token+"&"+q.Encode(), "", body)
		return out["errcode"]
	}
	for i, c := range []struct {
		got  any
		want float64
	}{
		{send("x", nil, text("a")), 300005},
		{send(signed, nil, text("a")), 310000},
		{send(signed, SignWebhook("SECy", c.at), text("a")), 310000},
		{send(signed, SignWebhook("SECx", c.at.Add(-61*time.Minute)), text("a")), 310000},
		{send(signed, SignWebhook("SECx", c.at), text("a")), 0},
		{send(keyed, nil, text("a")), 310000},
		{send(keyed, nil, text("工单")), 0},
		{send(keyed, nil, object{"msgtype": "feedCard", "text": "工单"}), 40035},
		{send(keyed, nil, object{"msgtype": "feedCard", "feedCard": "工单"}), 400105},
		{send(keyed, nil, object{"msgtype": "markdown", "markdown": object{"text": "工单"}}), 40035},
	} {
		if c.got != c.want {
			t.Errorf("%d: %v, want %v", i, c.got, c.want)
		}
	}
	once := text("工单 once")
	once["msgUuid"] = "u1"
	before := len(d.Messages(d.help))
	send(keyed, nil, once)
	send(keyed, nil, once)
	if n := len(d.Messages(d.help)); n != before+1 {
		t.Errorf("%d messages more", n-before)
	}
	var last any
	for range 21 {
		last = send(keyed, nil, text("工单"))
	}
	if last != 410100.0 {
		t.Error(last)
	}
	c.at = c.at.Add(9 * time.Minute)
	if got := send(keyed, nil, text("工单")); got != 410100.0 {
		t.Errorf("after nine minutes: %v", got)
	}
	c.at = c.at.Add(2 * time.Minute)
	if got := send(keyed, nil, text("工单")); got != 0.0 {
		t.Errorf("after eleven minutes: %v", got)
	}
}

func TestSessionsEndAndMentionsNeedTheText(t *testing.T) {
	c := newClock()
	d := newDesk(t, Options{Now: c.now})
	a := d.connect(nil)
	d.Mention(d.ann, d.help, "", "hi")
	var m struct {
		SessionWebhook            string
		SessionWebhookExpiredTime int64
	}
	if err := json.Unmarshal([]byte(a.seen()[0].Data), &m); err != nil {
		t.Fatal(err)
	}
	send := func(body object) any {
		_, out := d.do("POST", m.SessionWebhook, "", body)
		return out["errcode"]
	}
	md := func(text string, at object) object {
		return object{"msgtype": "markdown", "markdown": object{"title": "t", "text": text}, "at": at}
	}
	for i, c := range []struct {
		body object
		want Live
	}{
		{md("@"+d.bob+" 看", object{"atUserIds": []string{d.bob}}), Live{At: []string{d.bob}}},
		{md("看", object{"atUserIds": []string{d.bob}}), Live{}},
		{md("@"+d.bob+" @all @所有人", nil), Live{}},
		{md("看", object{"isAtAll": true}), Live{All: true}},
		{md("@13800000001 看", object{"atMobiles": []string{"13800000001"}}), Live{At: []string{d.ann}}},
		{object{"msgtype": "text", "text": object{"content": "看"}, "at": object{"atUserIds": []string{d.bob, "nobody"}}}, Live{At: []string{d.bob}}},
		{object{"msgtype": "actionCard", "actionCard": object{"title": "t", "text": "x", "btnOrientation": "0", "btns": []object{{"title": "看", "actionURL": "https://a.example"}}}}, Live{Links: []string{"https://a.example"}}},
	} {
		if got := send(c.body); got != 0.0 {
			t.Errorf("%d: %v", i, got)
		}
		said := d.Messages(d.help)
		if l := said[len(said)-1].Live(); fmt.Sprintf("%v", l) != fmt.Sprintf("%v", c.want) {
			t.Errorf("%d: %+v, want %+v", i, l, c.want)
		}
	}
	c.at = time.UnixMilli(m.SessionWebhookExpiredTime + 1)
	if got := send(md("x", nil)); got != 300005.0 {
		t.Errorf("an old session: %v", got)
	}
}

func TestDings(t *testing.T) {
	d := newDesk(t, Options{})
	many := make([]string, 21)
	for i := range many {
		many[i] = d.ann
	}
	for _, c := range []struct {
		body object
		want string
	}{
		{object{"robotCode": ClientID, "remindType": 1, "receiverUserIdList": []string{d.ann, "nobody"}, "content": "快"}, "<nil>"},
		{object{"robotCode": ClientID, "remindType": 1, "receiverUserIdList": many, "content": "快"}, "<nil>"},
		{object{"robotCode": ClientID, "remindType": 3, "receiverUserIdList": many, "content": "快"}, "ding.receivercount.limit"},
		{object{"robotCode": ClientID, "remindType": 4, "receiverUserIdList": []string{d.ann}, "content": "快"}, "invalidParameter.param.invalid"},
		{object{"robotCode": ClientID, "remindType": 1, "content": "快"}, "miss.staffId"},
		{object{"robotCode": "x", "remindType": 1, "receiverUserIdList": []string{d.ann}, "content": "快"}, "invalid.chatbotId"},
	} {
		if _, out := d.call("POST", "robot/ding/send", c.body); fmt.Sprint(out["code"]) != c.want {
			t.Errorf("%v: %v", c.body, out)
		}
	}
	if got := d.Dings(); len(got) != 2 || len(got[0].To) != 1 || got[0].Content != "快" {
		t.Errorf("%+v", got)
	}
}

func TestMarkdownIsAlive(t *testing.T) {
	for text, want := range map[string]Live{
		"普通文字 1. 不是列表":                         {},
		"[看](https://a.example) ![](http://b)": {Links: []string{"https://a.example"}, Images: []string{"http://b"}},
		"见 https://a.example/x":                {Links: []string{"https://a.example/x"}},
		"# 大":                                  {Format: []string{"# 大"}},
		"x\n> 引":                               {Format: []string{"> 引"}},
		"**粗** 和 <font color=red>红</font>":     {Format: []string{"<font color=red>", "</font>", "**粗**"}},
		"1. 一":                                 {Format: []string{"1. 一"}},
		`\# 大 \*\*粗\*\* \[看\](x)`:              {},
		`\https://a.example`:                   {Links: []string{"https://a.example"}},
	} {
		if got := Markdown(text); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}
