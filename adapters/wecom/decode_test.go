package wecom

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/bot"
)

// decoded puts a plain message through Verify and Decode.
func decoded(t *testing.T, a *Adapter, plain string) (bot.Inbound, error) {
	t.Helper()
	at := time.Unix(1700000000, 0)
	raw := post(a.app.crypt, plain, at, false)
	got, err := a.Verify(raw, at)
	if err != nil {
		t.Fatal(err)
	}
	return a.Decode(raw, got)
}

func message(inner string) string {
	return "<xml><ToUserName><![CDATA[ww0123456789abcdef]]></ToUserName><FromUserName><![CDATA[lisi]]></FromUserName><CreateTime>1700000000</CreateTime>" + inner + "<AgentID>1000002</AgentID></xml>"
}

func TestDecode(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	lisi := bot.UserRef{Install: r.install, ID: "lisi"}
	base := bot.Event{At: time.Unix(1700000000, 0).UTC(), User: lisi, Private: true}
	said := func(id, text string, files ...bot.File) bot.Event {
		e := base
		e.Kind, e.ID, e.ToBot, e.Text, e.Files, e.Message = bot.Message, "app:msg:"+id, true, text, files, bot.MessageRef("msg/lisi/"+id)
		return e
	}
	click := func(token, value string, values map[string]string) bot.Event {
		e := base
		e.Kind, e.Token, e.Value, e.Values, e.Message = bot.Click, token, value, values, "app/lisi/pd-1"
		return e
	}
	slash := func(text string) bot.Event {
		e := base
		e.Kind, e.ToBot, e.Text = bot.Slash, true, text
		return e
	}
	home, renamed := base, base
	home.Kind = bot.HomeOpened
	renamed.Kind, renamed.User.ID, renamed.UserName = bot.Renamed, "wangwu", "王 五"
	moved := renamed
	moved.User.ID = "wangwu2"
	event := func(name, inner string) string {
		return `<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[` + name + `]]></Event>` + inner
	}
	press := func(key, selected string) string {
		if selected != "" {
			selected = "<SelectedItems>" + selected + "</SelectedItems>"
		}
		return event("template_card_event", `<EventKey><![CDATA[`+key+`]]></EventKey><TaskId><![CDATA[pd-1]]></TaskId><CardType><![CDATA[button_interaction]]></CardType><ResponseCode><![CDATA[RC1]]></ResponseCode>`+selected)
	}
	item := func(question, option string) string {
		return `<SelectedItem><QuestionKey><![CDATA[` + question + `]]></QuestionKey><OptionIds><OptionId><![CDATA[` + option + `]]></OptionId></OptionIds></SelectedItem>`
	}
	for _, c := range []struct {
		name, in, kind string
		want           []bot.Event
	}{
		{"text", `<MsgType>text</MsgType><Content><![CDATA[ 打印机坏了 <b>&
]]></Content><MsgId>71</MsgId>`, "text", []bot.Event{said("71", "打印机坏了 <b>&")}},
		{"text with tricks", "<MsgType>text</MsgType><Content><![CDATA[a\u202eb\u2066c\u200b]]></Content><MsgId>71</MsgId>", "text", []bot.Event{said("71", "abc\u200b")}},
		{"nothing said", `<MsgType>text</MsgType><Content> </Content><MsgId>71</MsgId>`, "text", nil},
		{"image", `<MsgType>image</MsgType><PicUrl>https://x/0</PicUrl><MediaId>MEDIA-1_x</MediaId><MsgId>72</MsgId>`, "image", []bot.Event{said("72", "", bot.File{ID: "app/MEDIA-1_x", Name: "image.jpg", Type: "image/jpeg"})}},
		{"voice with its words", `<MsgType>voice</MsgType><MediaId>M2</MediaId><Format>amr</Format><Recognition>打印机坏了</Recognition><MsgId>73</MsgId>`, "voice", []bot.Event{said("73", "打印机坏了", bot.File{ID: "app/M2", Name: "voice.amr", Type: "audio/amr"})}},
		{"voice", `<MsgType>voice</MsgType><MediaId>M2</MediaId><Format>../x</Format><MsgId>73</MsgId>`, "voice", []bot.Event{said("73", "", bot.File{ID: "app/M2", Name: "voice.amr", Type: "audio/amr"})}},
		{"video", `<MsgType>video</MsgType><MediaId>M3</MediaId><ThumbMediaId>T</ThumbMediaId><MsgId>74</MsgId>`, "video", []bot.Event{said("74", "", bot.File{ID: "app/M3", Name: "video.mp4", Type: "video/mp4"})}},
		{"file", `<MsgType>file</MsgType><MediaId>M4</MediaId><FileName>日志.txt</FileName><FileSize>120</FileSize><MsgId>75</MsgId>`, "file", []bot.Event{said("75", "", bot.File{ID: "app/M4", Name: "日志.txt", Type: "application/octet-stream", Size: 120})}},
		{"media id that is a path", `<MsgType>image</MsgType><MediaId>../../etc</MediaId><MsgId>72</MsgId>`, "image", nil},
		{"location", `<MsgType>location</MsgType><Location_X>23.1</Location_X><Location_Y>113.3</Location_Y><Scale>20</Scale><Label>广州市</Label><MsgId>76</MsgId>`, "location", []bot.Event{said("76", "广州市\n23.1, 113.3")}},
		{"link", `<MsgType>link</MsgType><Title>页面</Title><Description>说明</Description><Url>https://e.com/a?b=c</Url><MsgId>77</MsgId>`, "link", []bot.Event{said("77", "页面\n说明\nhttps://e.com/a?b=c")}},
		{"unknown message", `<MsgType>hologram</MsgType><MsgId>78</MsgId>`, "unknown", nil},
		{"enter", event("enter_agent", "<EventKey></EventKey>"), "enter_agent", []bot.Event{home}},
		{"menu: mine", event("click", "<EventKey>mine</EventKey>"), "click", []bot.Event{slash("我的")}},
		{"menu: queue", event("click", "<EventKey>queue</EventKey>"), "click", []bot.Event{slash("待接")}},
		{"menu: open", event("click", "<EventKey>open</EventKey>"), "click", []bot.Event{slash("建单")}},
		{"menu: anything", event("click", "<EventKey>查 #12</EventKey>"), "click", []bot.Event{slash("查 #12")}},
		{"menu: nothing", event("click", "<EventKey></EventKey>"), "click", nil},
		{"button", press("AQ-claim", ""), "template_card_event", []bot.Event{click("AQ-claim", "", nil)}},
		{"button beside a selector", press("AQ-claim", item("AQ-assign", "p1")), "template_card_event", []bot.Event{click("AQ-claim", "", map[string]string{"AQ-assign": "p1"})}},
		{"button of a selector", press("AQ-assign", item("AQ-assign", "p1")), "template_card_event", []bot.Event{click("AQ-assign", "p1", map[string]string{"AQ-assign": "p1"})}},
		{"lesser action", press("go", item("go", "AQ-note")), "template_card_event", []bot.Event{click("AQ-note", "", map[string]string{"go": "AQ-note"})}},
		{"lesser choice", press("go", item("go", "AQ-prio|P2")), "template_card_event", []bot.Event{click("AQ-prio", "P2", map[string]string{"go": "AQ-prio|P2"})}},
		{"lesser, nothing chosen", press("go", ""), "template_card_event", nil},
		{"replaced button", press("done", ""), "template_card_event", nil},
		{"several selectors, one changed", press("submit", item("AQ-a", "-")+item("AQ-b", "x")), "template_card_event", []bot.Event{click("AQ-b", "x", map[string]string{"AQ-a": "-", "AQ-b": "x"})}},
		{"several selectors, none changed", press("submit", item("AQ-a", "-")+item("AQ-b", "-")), "template_card_event", nil},
		{"corner menu", event("template_card_menu_event", `<EventKey>AQ-mute</EventKey><TaskId>pd-1</TaskId><CardType>text_notice</CardType><ResponseCode>RC2</ResponseCode>`), "template_card_menu_event", []bot.Event{click("AQ-mute", "", nil)}},
		{"subscribe", event("subscribe", ""), "subscribe", nil},
		{"renamed", event("change_contact", "<ChangeType>update_user</ChangeType><UserID>wangwu</UserID><Name> 王\n五 </Name>"), "change_contact", []bot.Event{renamed}},
		{"renamed with a new id", event("change_contact", "<ChangeType>update_user</ChangeType><UserID>wangwu</UserID><NewUserID>wangwu2</NewUserID><Name>王 五</Name>"), "change_contact", []bot.Event{moved}},
		{"a department", event("change_contact", "<ChangeType>update_party</ChangeType><Id>2</Id>"), "change_contact", nil},
		{"unknown event", event("moon_landing", ""), "unknown", nil},
	} {
		in, err := decoded(t, r.Adapter, message(c.in))
		if err != nil || in.Kind != c.kind {
			t.Errorf("%s: kind %q, %v; want %q", c.name, in.Kind, err, c.kind)
		}
		got := append([]bot.Event(nil), in.Events...)
		for i := range got {
			if got[i].ID == "" || !strings.HasPrefix(got[i].ID, "app:") {
				t.Errorf("%s: id %q", c.name, got[i].ID)
			}
			if got[i].Kind != bot.Message {
				got[i].ID = "" // a digest
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
		if pressed := strings.HasPrefix(c.kind, "template_card"); pressed != (len(in.Keep) == 1) || pressed && (in.Keep[0].Key != "code/pd-1" || !in.Keep[0].Push || in.Keep[0].For != 72*time.Hour || !strings.HasPrefix(in.Keep[0].Value, "RC")) {
			t.Errorf("%s: keeps %+v", c.name, in.Keep)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	text := `<MsgType>text</MsgType><Content>a</Content><MsgId>71</MsgId>`
	for name, x := range map[string]string{
		"another corp":         strings.Replace(message(text), "ww0123456789abcdef", "ww0123456789abcdee", 1),
		"another app":          strings.Replace(message(text), "1000002", "1000003", 1),
		"no user":              strings.Replace(message(text), "<![CDATA[lisi]]>", "", 1),
		"a user with a slash":  strings.Replace(message(text), "lisi", "li/si", 1),
		"a customer's id":      strings.Replace(message(text), "lisi", "kf:wk1:wm1", 1),
		"a long user":          strings.Replace(message(text), "lisi", strings.Repeat("l", 65), 1),
		"no time":              strings.Replace(message(text), "1700000000", "", 1),
		"a wrong time":         strings.Replace(message(text), "1700000000", "-1", 1),
		"a far time":           strings.Replace(message(text), "1700000000", "99999999999999", 1),
		"no id":                message(`<MsgType>text</MsgType><Content>a</Content>`),
		"an odd id":            message(`<MsgType>text</MsgType><Content>a</Content><MsgId>7/1</MsgId>`),
		"a long text":          message(`<MsgType>text</MsgType><Content>` + strings.Repeat("a", maxText+1) + `</Content><MsgId>71</MsgId>`),
		"a press on nothing":   message(`<MsgType>event</MsgType><Event>template_card_event</Event><EventKey>k</EventKey>`),
		"an odd task":          message(`<MsgType>event</MsgType><Event>template_card_event</Event><EventKey>k</EventKey><TaskId>a/b</TaskId>`),
		"a long code":          message(`<MsgType>event</MsgType><Event>template_card_event</Event><EventKey>k</EventKey><TaskId>a</TaskId><ResponseCode>` + strings.Repeat("a", 1025) + `</ResponseCode>`),
		"renamed, an odd user": message(`<MsgType>event</MsgType><Event>change_contact</Event><ChangeType>update_user</ChangeType><UserID>a/b</UserID>`),
	} {
		if in, err := decoded(t, r.Adapter, x); err == nil || len(in.Events)+len(in.Keep) > 0 {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
	}
}

// TestEventsInOneSecondAreToldApart: events have no id, and two presses within
// a second differ in nothing but their codes.
func TestEventsInOneSecondAreToldApart(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	seen := map[string]string{}
	for _, x := range []string{"k,t,c1", "k,t,c2", "k2,t,c1", "k,t2,c1", "k,tc,1"} {
		p := strings.Split(x, ",")
		in, err := decoded(t, r.Adapter, message(`<MsgType>event</MsgType><Event>template_card_event</Event><EventKey>`+p[0]+`</EventKey><TaskId>`+p[1]+`</TaskId><ResponseCode>`+p[2]+`</ResponseCode>`))
		if err != nil || len(in.Events) != 1 {
			t.Fatal(in, err)
		}
		if was := seen[in.Events[0].ID]; was != "" {
			t.Errorf("%s and %s have one id", was, x)
		}
		seen[in.Events[0].ID] = x
	}
}

func TestWhereAMemberWroteLastIsKeptBesideARobot(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, func(c *Config) { c.Robot = RobotConfig{ID: "aib0001", Secret: strings.Repeat("aB3", 12)} })
	in, err := decoded(t, r.Adapter, message(`<MsgType>text</MsgType><Content>a</Content><MsgId>71</MsgId>`))
	if err != nil || len(in.Keep) != 1 || in.Keep[0].Key != "single/lisi" || in.Keep[0].Value != "app" {
		t.Errorf("%+v, %v", in.Keep, err)
	}
}

func FuzzVerify(f *testing.F) {
	a, err := New(appConfig(""), bot.Deps{Shelf: newShelf(nil)})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range received(f) {
		f.Add(s.Raw.Body, s.Raw.Query.Get("msg_signature"), s.Raw.Query.Get("timestamp"), s.Raw.Query.Get("nonce"), true)
	}
	for _, x := range hostileXML("http://127.0.0.1:9") {
		if len(x) < 4096 {
			f.Add([]byte(x), "", "1700000000", "n", true)
		}
	}
	at := time.Unix(1700000000, 0)
	f.Fuzz(func(t *testing.T, body []byte, signature, stamp, nonce string, right bool) {
		r := bot.Raw{Method: http.MethodPost, Query: map[string][]string{"msg_signature": {signature}, "timestamp": {stamp}, "nonce": {nonce}}, Body: body}
		if plain, err := a.Verify(r, at); err != nil && (err != bot.ErrUnverified || plain != nil) {
			t.Errorf("%q, %v", plain, err)
		}
		if !right {
			return
		}
		// What is rightly signed gets further.
		r = resign(a.app.crypt, r, at)
		plain, err := a.Verify(r, at)
		if err != nil {
			return
		}
		if in, err := a.Decode(r, plain); err != nil && len(in.Events) > 0 {
			t.Errorf("events with %v", err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	a, err := New(appConfig(""), bot.Deps{Shelf: newShelf(nil)})
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range readVectors(f).Inbound {
		f.Add([]byte(v.Plaintext))
	}
	f.Add([]byte(message(`<MsgType>text</MsgType><Content>a ]]&gt; b</Content><MsgId>71</MsgId>`)))
	f.Fuzz(func(t *testing.T, plain []byte) {
		in, err := a.Decode(bot.Raw{Method: http.MethodPost}, plain)
		if err != nil && (len(in.Events) > 0 || len(in.Keep) > 0) {
			t.Errorf("%+v with %v", in, err)
		}
		for _, e := range in.Events {
			if e.ID == "" || e.Kind == "" || e.At.IsZero() || e.User.ID == "" || !userForm.MatchString(e.User.ID) {
				t.Errorf("%+v", e)
			}
			if e.Message != "" {
				if _, _, _, err := parseRef(e.Message); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
