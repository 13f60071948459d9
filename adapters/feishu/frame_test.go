package feishu

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/paidan/paidan/adapters/feishu/feishutest"
)

func TestFrames(t *testing.T) {
	for _, f := range []frame{
		{},
		{service: 33554678, method: dataFrame, seq: 1 << 63, log: 7, headers: []frameHeader{{"type", "event"}, {"message_id", "m"}, {"", ""}}, payload: []byte(`{"a":1}`), encoding: "gzip", payloadType: "json", logNew: "l"},
		{service: -1, method: -2},
	} {
		got, err := parseFrame(f.marshal())
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%+v became %+v, %v", f, got, err)
		}
		other, err := feishutest.ParseFrame(f.marshal())
		if err != nil || other.Service != f.service || other.Seq != f.seq || string(other.Payload) != string(f.payload) || len(other.Headers) != len(f.headers) {
			t.Errorf("the emulator reads %+v, %v", other, err)
		}
	}
	theirs := feishutest.Frame{Seq: 1, Log: 2, Service: 3, Method: 1, Headers: []feishutest.FrameHeader{{Key: "type", Value: "event"}}, Payload: []byte("x"), LogNew: "n"}
	if f, err := parseFrame(theirs.Marshal()); err != nil || f.header("type") != "event" || string(f.payload) != "x" || f.header("none") != "" || f.service != 3 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestBrokenFrames(t *testing.T) {
	good := (&frame{method: 1, headers: []frameHeader{{"type", "event"}}, payload: []byte("payload")}).marshal()
	for n := range len(good) {
		f, err := parseFrame(good[:n])
		if err == nil && f.header("type") == "event" && string(f.payload) == "payload" {
			t.Errorf("%d of %d bytes were read as the whole", n, len(good))
		}
	}
	for name, b := range map[string]string{
		"nothing":           "",
		"field 0":           "\x00\x00",
		"a group":           "\x0b",
		"a long number":     "\x08" + strings.Repeat("\xff", 11),
		"text as a number":  "\x0a\x01x",
		"number as a text":  "\x40\x01",
		"longer than all":   "\x08\x00\x10\x00\x18\x00\x20\x00\x42\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"no method":         "\x08\x00\x10\x00\x18\x00",
		"a header of bits":  "\x08\x00\x10\x00\x18\x00\x20\x00\x2a\x02\x08\x01",
		"too many headers":  "\x08\x00\x10\x00\x18\x00\x20\x00" + strings.Repeat("\x2a\x00", 65),
		"fixed in ours":     "\x08\x00\x10\x00\x18\x00\x20\x00\x45\x00\x00\x00\x00",
		"a fixed cut short": "\x08\x00\x10\x00\x18\x00\x20\x00\x55\x00\x00",
	} {
		if f, err := parseFrame([]byte(b)); !errors.Is(err, errFrame) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	if _, err := parseFrame([]byte("\x08\x00\x10\x00\x18\x00\x20\x00\x55\x00\x00\x00\x00\x59\x00\x00\x00\x00\x00\x00\x00\x00\x60\x01\x6a\x01x")); err != nil {
		t.Errorf("fields of a later version: %v", err)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add((&frame{}).marshal())
	f.Add((&frame{seq: 1, service: 33554678, method: 1, headers: []frameHeader{{"type", "event"}, {"sum", "2"}}, payload: []byte("{}"), logNew: "x"}).marshal())
	f.Add([]byte("\x08\x00\x10\x00\x18\x00\x20\x00\x55\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseFrame(b)
		if err != nil {
			return
		}
		again, err := parseFrame(got.marshal())
		if len(got.payload) == 0 {
			got.payload = nil
		}
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%+v became %+v, %v", got, again, err)
		}
	})
}
