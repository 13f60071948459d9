package feishutest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// client is a client of the long connection, as small as can be.
type client struct {
	t      testing.TB
	ws     *websocket.Conn
	mu     sync.Mutex // guards below
	got    []string
	frames int
	parts  map[string][]string
	code   []int // of the next replies; 200 when there is none left
	reply  string
	pong   chan Frame
}

func (w *world) endpoint(secret string) map[string]any {
	w.t.Helper()
	_, out := w.call("POST", "/callback/ws/endpoint", map[string]any{"AppID": AppID, "AppSecret": secret, "ClientAssertion": ""})
	return out
}

func (w *world) connect() *client {
	w.t.Helper()
	url, _ := w.endpoint(AppSecret)["data"].(map[string]any)["URL"].(string)
	n := w.Sockets()
	ws, resp, err := websocket.DefaultDialer.DialContext(w.t.Context(), url, nil)
	if err != nil {
		w.t.Fatalf("%v %v", err, resp)
	}
	c := &client{t: w.t, ws: ws, parts: map[string][]string{}, reply: "{}", pong: make(chan Frame, 1)}
	var done sync.WaitGroup
	done.Go(c.run)
	w.t.Cleanup(func() {
		if err := ws.Close(); err != nil {
			w.t.Log(err)
		}
		done.Wait()
	})
	if err := w.WaitSocket(w.t.Context(), n+1); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (c *client) run() {
	for {
		_, b, err := c.ws.ReadMessage()
		if err != nil {
			return
		}
		f, err := ParseFrame(b)
		if err != nil {
			c.pong <- Frame{LogNew: err.Error()}
			return
		}
		if f.Method == Control {
			c.pong <- f
			continue
		}
		c.mu.Lock()
		c.frames++
		id := f.Header("message_id")
		sum, err := strconv.Atoi(f.Header("sum"))
		if err != nil {
			c.t.Error(err)
		}
		c.parts[id] = append(c.parts[id], string(f.Payload))
		whole := len(c.parts[id]) == sum
		code := 200
		if whole {
			c.got = append(c.got, strings.Join(c.parts[id], ""))
			if len(c.code) > 0 {
				code, c.code = c.code[0], c.code[1:]
			}
		}
		reply := c.reply
		c.mu.Unlock()
		if !whole || code == 0 { // 0: say nothing
			continue
		}
		f.Headers = append(f.Headers, FrameHeader{"biz_rt", "1"})
		f.Payload, err = json.Marshal(map[string]any{"code": code, "headers": nil, "data": base64.StdEncoding.EncodeToString([]byte(reply))})
		if err == nil {
			err = c.ws.WriteMessage(websocket.BinaryMessage, f.Marshal())
		}
		if err != nil {
			return // the server has gone
		}
	}
}

func TestFrames(t *testing.T) {
	f := Frame{Seq: 1, Log: 300, Service: 33554678, Method: Data, Headers: []FrameHeader{{"type", "event"}, {"seq", "0"}}, Encoding: "json", PayloadType: "x", Payload: []byte("päy"), LogNew: "l"}
	got, err := ParseFrame(f.Marshal())
	if err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("%+v %v", got, err)
	}
	// Written by the platform's own client library, which writes empty fields too.
	full := Frame{Seq: 1, Log: 300, Service: -1, Method: Data, Headers: []FrameHeader{{"type", "event"}, {"seq", ""}}, Encoding: "json", PayloadType: "x", Payload: []byte("päy"), LogNew: "l"}
	const theirs = "080110ac0218ffffffffffffffffff0120012a0d0a047479706512056576656e742a070a03736571120032046a736f6e3a0178420470c3a4794a016c"
	if got := hex.EncodeToString(full.Marshal()); got != theirs {
		t.Errorf("got  %s\nwant %s", got, theirs)
	}
	ping, err := hex.DecodeString("0800100018f681801020002a0c0a0474797065120470696e6732003a004a00")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseFrame(ping); err != nil || got.Header("type") != "ping" || got.Service != 33554678 || got.Method != Control {
		t.Errorf("%+v %v", got, err)
	}
	minus, err := ParseFrame(Frame{Service: -1}.Marshal())
	if err != nil || minus.Service != -1 {
		t.Errorf("%+v %v", minus, err)
	}
	skipped := append(f.Marshal(), 0x58, 1, 0x65, 1, 2, 3, 4, 0x69, 1, 2, 3, 4, 5, 6, 7, 8, 0x72, 1, 'x')
	if got, err := ParseFrame(skipped); err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("unknown fields: %+v %v", got, err)
	}
	whole := f.Marshal()
	for n := range whole {
		if got, err := ParseFrame(whole[:n]); err == nil && got.Header("seq") == "0" && got.LogNew == "l" {
			t.Errorf("%d of %d bytes were enough", n, len(whole))
		}
	}
	for _, bad := range [][]byte{nil, {0x08}, {0x0a, 1, 'x'}, {0x00, 1}, {0x0b}, {0x2a, 0xff, 1}, bytes.Repeat([]byte{0xff}, 20), append(Frame{}.Marshal(), 0x2a, 2, 0x0a, 0)} {
		if got, err := ParseFrame(bad); err == nil {
			t.Errorf("%x: %+v", bad, got)
		}
	}
}

func TestEventsOverTheLongConnection(t *testing.T) {
	w := newWorld(t, Options{})
	c := w.connect()
	if _, answers := w.Say(w.ann, w.group, "", "hi"); len(answers) != 1 || !answers[0].OK() || !strings.Contains(c.got[0], "im.message.receive_v1") {
		t.Errorf("%+v %q", answers, c.got)
	}
	c.code = []int{500, 500, 200}
	if _, answers := w.Say(w.ann, w.group, "", "again"); !answers[0].OK() || answers[0].Attempts != 3 || len(c.got) != 4 {
		t.Errorf("%+v %q", answers, c.got)
	}
	w.Split(3)
	if _, answers := w.Say(w.ann, w.group, "", "打印机坏了"); !answers[0].OK() || c.frames != 7 || !json.Valid([]byte(c.got[4])) {
		t.Errorf("%+v, %d frames", answers, c.frames)
	}
	w.Split(0)
	id := w.sendCard(button("接单", "tok"))
	c.reply = `{"toast":{"type":"info","content":"好"}}`
	if a := w.Press(w.ann, id, "接单"); !a.OK() || len(w.Toasts(w.ann)) != 1 {
		t.Errorf("%+v", a)
	}
	c.code = []int{500}
	if a := w.Press(w.ann, id, "接单"); a.Code != 200671 || a.Attempts != 1 {
		t.Errorf("%+v", a)
	}
	c.reply = `null`
	if a := w.Press(w.ann, id, "接单"); a.Code != 200672 {
		t.Errorf("%+v", a)
	}
}

func TestPingsAreAnsweredWithTheConfiguration(t *testing.T) {
	w := newWorld(t, Options{PingEvery: 7 * time.Second})
	c := w.connect()
	if err := c.ws.WriteMessage(websocket.BinaryMessage, Frame{Headers: []FrameHeader{{"type", "ping"}}}.Marshal()); err != nil {
		t.Fatal(err)
	}
	if f := <-c.pong; f.Header("type") != "pong" || !strings.Contains(string(f.Payload), `"PingInterval":7`) || w.Pings() != 1 {
		t.Errorf("%+v %s", f, f.Payload)
	}
}

func TestOneOfManyClientsGetsAnEvent(t *testing.T) {
	w := newWorld(t, Options{})
	a, b := w.connect(), w.connect()
	for range 40 {
		if _, answers := w.Say(w.ann, w.group, "", "hi"); !answers[0].OK() || answers[0].Attempts != 1 {
			t.Fatalf("%+v", answers)
		}
	}
	if len(a.got)+len(b.got) != 40 || len(a.got) == 0 || len(b.got) == 0 { // 1 in 2^39 that it is chance
		t.Errorf("%d and %d", len(a.got), len(b.got))
	}
	if err := w.Disconnect(); err != nil || w.Sockets() != 1 {
		t.Errorf("%v, %d left", err, w.Sockets())
	}
	if w.CutSockets(); w.Sockets() != 0 || w.Disconnect() == nil {
		t.Error(w.Sockets())
	}
}

func TestClientsThatAreRefused(t *testing.T) {
	w := newWorld(t, Options{Deadline: 30 * time.Millisecond})
	if out := w.endpoint("wrong"); out["code"] != 514.0 {
		t.Errorf("%v", out)
	}
	w.Fail(Fault{Kind: Refused, Method: "ws.endpoint", Code: 1, Status: 200})
	if out := w.endpoint(AppSecret); out["code"] != 1.0 {
		t.Errorf("%v", out)
	}
	dial := func(query string) *http.Response {
		ws, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(w.URL, "http")+"/ws/v2?"+query, nil)
		if err == nil {
			if err := ws.Close(); err != nil {
				t.Error(err)
			}
			t.Fatalf("%s: connected", query)
		}
		return resp
	}
	if resp := dial("device_id=1"); resp.Header.Get("Handshake-Status") != "403" {
		t.Errorf("%v", resp.Header)
	}
	w.Fail(Fault{Kind: Refused, Method: "ws.handshake", Code: 1000040350})
	if resp := dial("device_id=1&service_id=1&ticket=x"); resp.Header.Get("Handshake-Status") != "514" || resp.Header.Get("Handshake-Autherrcode") != "1000040350" {
		t.Errorf("%v", resp.Header)
	}
	var first *client
	for range 50 {
		first = w.connect()
	}
	if resp := dial("device_id=1&service_id=1&ticket=x"); resp.Header.Get("Handshake-Autherrcode") != "1000040350" {
		t.Errorf("%v", resp.Header)
	}
	w.CutSockets()
	first = w.connect()
	first.mu.Lock()
	first.code = []int{0, 0, 0, 0, 0}
	first.mu.Unlock()
	if _, answers := w.Say(w.ann, w.group, "", "hi"); answers[0].OK() || answers[0].Attempts != 5 {
		t.Errorf("silence is no answer: %+v", answers)
	}
	if err := w.Frame([]byte{0xff}); err != nil {
		t.Error(err)
	}
	if f := <-first.pong; !strings.Contains(f.LogNew, "no frame") {
		t.Errorf("%+v", f)
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(Frame{Seq: 1, Headers: []FrameHeader{{"type", "event"}}, Payload: []byte("x")}.Marshal())
	f.Add([]byte{0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := ParseFrame(b)
		if err != nil {
			return
		}
		again, err := ParseFrame(frame.Marshal())
		if err != nil || again.Header("type") != frame.Header("type") || !bytes.Equal(again.Payload, frame.Payload) || again.Service != frame.Service {
			t.Errorf("%x: %+v, then %+v %v", b, frame, again, err)
		}
	})
}
