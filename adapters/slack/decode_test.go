package slack

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/paidan/paidan/adapters/adaptertest"
	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/bot"
)

// inbound are the recorded deliveries.
func inbound(t testing.TB) []adaptertest.Sample {
	t.Helper()
	files, err := filepath.Glob("testdata/inbound/*.txtar")
	if err != nil || len(files) < 40 {
		t.Fatal(len(files), err)
	}
	var out []adaptertest.Sample
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		d, err := bot.ReadDelivery(data)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out = append(out, adaptertest.Sample{Name: strings.TrimSuffix(filepath.Base(f), ".txtar"), Raw: d.Raw, At: d.At})
	}
	return out
}

// TestInbound reads every recorded delivery as the program would.
func TestInbound(t *testing.T) {
	for _, s := range inbound(t) {
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
					if m.Start < 0 || m.End > len(e.Text) || !strings.HasPrefix(e.Text[m.Start:m.End], "@") {
						t.Errorf("mention %+v does not lie in %q", m, e.Text)
					}
				}
			}
			got, err := bot.FormatInbound(in)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata/inbound", s.Name+".txtar")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(data)
			for i, f := range archive.Files {
				if f.Name != "events.json" {
					continue
				}
				if *update {
					archive.Files[i].Data = got
					if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
						t.Fatal(err)
					}
				} else if !bytes.Equal(f.Data, got) {
					t.Errorf("got  %s\nwant %s", got, f.Data)
				}
				return
			}
			t.Error("no events.json")
		})
	}
}

func decodeJSON(t testing.TB, a *Adapter, body string) (bot.Inbound, error) {
	t.Helper()
	return a.Decode(bot.Raw{Method: "POST", Header: http.Header{"Content-Type": {"application/json"}}}, []byte(body))
}

const plainMessage = `{"type":"event_callback","team_id":"T0TEST001","api_app_id":"A0TEST001","event_id":"Ev1","event_time":1700000000,"event":{"type":"message","channel":"C0CHAN001","channel_type":"channel","user":"U0USER001","ts":"1700000000.000100","text":"hi"}}`

// TestThreat_TB04 and its neighbours: JSON that two readers could read in two ways.
func TestStrictJSON(t *testing.T) {
	a := testAdapter(t, testConfig())
	if in, err := decodeJSON(t, a, plainMessage); err != nil || len(in.Events) != 1 {
		t.Fatal(in, err)
	}
	with := func(old, new string) string {
		if !strings.Contains(plainMessage, old) {
			t.Fatal(old)
		}
		return strings.Replace(plainMessage, old, new, 1)
	}
	bad := map[string]string{
		"duplicate key":               with(`"event_id":"Ev1"`, `"event_id":"Ev0","event_id":"Ev1"`),
		"duplicate key inside":        with(`"user":"U0USER001"`, `"user":"U0USER002","user":"U0USER001"`),
		"duplicate by escape":         with(`"user":"U0USER001"`, `"us\u0065r":"U0USER002","user":"U0USER001"`),
		"duplicate far below":         with(`"text":"hi"`, `"text":"hi","a":{"b":{"c":{"d":1,"d":2}}}`),
		"other case":                  with(`"event_id":"Ev1"`, `"EVENT_ID":"Ev0","event_id":"Ev1"`),
		"other case inside":           with(`"user":"U0USER001"`, `"User":"U0USER002","user":"U0USER001"`),
		"only the other case":         with(`"event_id"`, `"Event_Id"`),
		"long s":                      with(`"user":"U0USER001"`, "\"u\u017fer\":\"U0USER002\",\"user\":\"U0USER001\""),
		"kelvin sign":                 with(`"event_id":"Ev1"`, "\"to\u212aen\":\"x\",\"token\":\"y\",\"event_id\":\"Ev1\""),
		"trailing document":           plainMessage + "{}",
		"trailing text":               plainMessage + "x",
		"two documents":               plainMessage + "\n" + plainMessage,
		"byte order mark":             "\ufeff" + plainMessage,
		"invalid UTF-8":               with("hi", "\xff\xfe"),
		"overlong UTF-8":              with("hi", "\xc0\xaf"),
		"surrogate in UTF-8":          with("hi", "\xed\xa0\x80"),
		"NUL":                         with("hi", "\x00"),
		"NUL by escape":               with("hi", `\u0000`),
		"lone high surrogate":         with("hi", `\ud800`),
		"lone low surrogate":          with("hi", `\udc00`),
		"swapped surrogates":          with("hi", `\udc00\ud800`),
		"half an escape":              with("hi", `\u12`),
		"unknown escape":              with("hi", `\x41`),
		"raw newline":                 with("hi", "a\nb"),
		"33 levels":                   with(`"text":"hi"`, `"text":`+strings.Repeat("[", 31)+strings.Repeat("]", 31)),
		"a million levels":            strings.Repeat("[", 1_000_000),
		"a million objects":           strings.Repeat(`{"a":`, 1_000_000),
		"leading zero":                with("1700000000,", "01700000000,"),
		"plus sign":                   with("1700000000,", "+1700000000,"),
		"bare point":                  with("1700000000,", "1700000000.,"),
		"NaN":                         with("1700000000,", "NaN,"),
		"hex":                         with("1700000000,", "0x10,"),
		"endless number":              with("1700000000,", strings.Repeat("1", 100)+","),
		"trailing comma":              with(`"text":"hi"`, `"text":"hi",`),
		"comment":                     with(`"text":"hi"`, `"text":"hi"/* */`),
		"single quotes":               with(`"hi"`, `'hi'`),
		"no value":                    with(`"hi"`, ``),
		"cut":                         plainMessage[:len(plainMessage)-1],
		"empty":                       "",
		"only space":                  "   ",
		"a list":                      "[" + plainMessage + "]",
		"a string":                    `"event_callback"`,
		"null":                        "null",
		"event is a list":             with(`"event":{`, `"event":[],"x":{`),
		"channel is a number":         with(`"channel":"C0CHAN001"`, `"channel":7`),
		"channel with a slash":        with(`"C0CHAN001"`, `"C0/../1"`),
		"small channel":               with(`"C0CHAN001"`, `"c0chan001"`),
		"time is a number":            with(`"ts":"1700000000.000100"`, `"ts":1700000000.0001`),
		"time with a sign":            with(`"1700000000.000100"`, `"-1700000000.000100"`),
		"user of another kind":        with(`"U0USER001"`, `"C0USER001"`),
		"another workspace":           with("T0TEST001", "T0TEST002"),
		"another app":                 with("A0TEST001", "A0TEST002"),
		"no workspace":                with(`"team_id":"T0TEST001",`, ""),
		"thread that is no time":      with(`"text":"hi"`, `"text":"hi","thread_ts":"x"`),
		"challenge with markup":       `{"type":"url_verification","challenge":"<script>"}`,
		"challenge that is too long":  `{"type":"url_verification","challenge":"` + strings.Repeat("a", 257) + `"}`,
		"challenge that is no string": `{"type":"url_verification","challenge":7}`,
		"challenge of two lines":      `{"type":"url_verification","challenge":"a\nb"}`,
		"empty challenge":             `{"type":"url_verification","challenge":""}`,
	}
	for name, body := range bad {
		if in, err := decodeJSON(t, a, body); !errors.Is(err, bot.ErrMalformed) || len(in.Events) > 0 || in.Echo != "" {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
	}
	good := map[string]string{
		"own keys that differ in case": with(`"text":"hi"`, `"text":"hi","metadata":{"event_payload":{"a":{"Key":1,"key":2}}}`),
		"30 levels":                    with(`"text":"hi"`, `"text":"hi","x":`+strings.Repeat("[", 29)+strings.Repeat("]", 29)),
		"a pair of surrogates":         with("hi", `\ud83d\ude00`),
		"spaces":                       "\r\n\t " + plainMessage + " \n",
		"numbers of all kinds":         with(`"text":"hi"`, `"text":"hi","n":[0,-0,1.5,-1e10,2E+3,4e-5]`),
	}
	for name, body := range good {
		if in, err := decodeJSON(t, a, body); err != nil || len(in.Events) != 1 {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
	}
}

// TestThreat_TB08: a click can come in through the verified body only.
func TestFormSmuggling(t *testing.T) {
	a := testAdapter(t, testConfig())
	click := `{"type":"block_actions","api_app_id":"A0TEST001","team":{"id":"T0TEST001"},"user":{"id":"U0USER001"},"trigger_id":"1.1","container":{"type":"message","message_ts":"1.1","channel_id":"C1"},"actions":[{"type":"button","action_id":"b0","value":"tok","action_ts":"1.2"}]}`
	p := url.QueryEscape(click)
	const form, js = "application/x-www-form-urlencoded", "application/json"
	type request struct {
		kind, query, body string
	}
	try := func(r request) (bot.Inbound, error) {
		raw := bot.Raw{Method: "POST", Header: http.Header{"Content-Type": {r.kind}}, Body: []byte(r.body)}
		if r.kind == "" {
			raw.Header = http.Header{}
		}
		if r.query != "" {
			q, err := url.ParseQuery(r.query)
			if err != nil {
				t.Fatal(err)
			}
			raw.Query = q
		}
		return a.Decode(raw, raw.Body)
	}
	if in, err := try(request{form, "", "payload=" + p}); err != nil || len(in.Events) != 1 || in.Events[0].Token != "tok" {
		t.Fatal(in, err)
	}
	for name, r := range map[string]request{
		"payload in the query":       {form, "payload=" + p, ""},
		"and an empty one":           {form, "payload=" + p, "payload="},
		"query beside body":          {form, "x=1", "payload=" + p},
		"JSON and a query":           {js, "payload=" + p, plainMessage},
		"two payloads":               {form, "", "payload=" + p + "&payload=" + p},
		"two, one spelled otherwise": {form, "", "payload=" + p + "&p%61yload=" + p},
		"payload and command":        {form, "", "payload=" + p + "&command=%2Fticket"},
		"payload and token":          {form, "", "token=x&payload=" + p},
		"semicolons":                 {form, "", "a=1;payload=" + p},
		"semicolon after":            {form, "", "payload=" + p + ";a=1"},
		"other case":                 {form, "", "Payload=" + p},
		"brackets":                   {form, "", "payload[]=" + p},
		"space in the key":           {form, "", "+payload=" + p},
		"multipart":                  {"multipart/form-data; boundary=x", "", "--x\r\nContent-Disposition: form-data; name=\"payload\"\r\n\r\n" + click + "\r\n--x--"},
		"as JSON":                    {js, "", "payload=" + p},
		"JSON as form":               {form, "", plainMessage},
		"click as event":             {js, "", `{"payload":` + click + `}`},
		"JSON in text":               {"text/plain", "", plainMessage},
		"form in text":               {"text/plain", "", "payload=" + p},
		"no content type":            {"", "", "payload=" + p},
		"other charset":              {form + "; charset=utf-7", "", "payload=" + p},
		"odd parameter":              {js + "; profile=x", "", plainMessage},
		"broken content type":        {js + ";;", "", plainMessage},
		"list of types":              {js + ", " + form, "", plainMessage},
		"JSON with suffix":           {"application/problem+json", "", plainMessage},
		"bad escape":                 {form, "", "payload=%zz"},
		"NUL":                        {form, "", "payload=" + p + "%00"},
		"invalid UTF-8":              {form, "", "command=%2Fticket&text=%ff"},
		"payload that is a list":     {form, "", "payload=" + url.QueryEscape("["+click+"]")},
		"two documents":              {form, "", "payload=" + p + p},
		"too many fields":            {form, "", strings.Repeat("a=1&", 5) + manyFields() + "command=%2Fticket"},
		"nothing":                    {form, "", ""},
		"ampersands":                 {form, "", "&&payload=" + p},
		"ssl_check with the command": {form, "", "ssl_check=0&token=x"},
	} {
		if in, err := try(r); !errors.Is(err, bot.ErrMalformed) || len(in.Events) > 0 {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
	}
	for _, method := range []string{"GET", "PUT", "", "post"} {
		if _, err := a.Decode(bot.Raw{Method: method, Header: http.Header{"Content-Type": {form}}}, []byte("payload="+p)); !errors.Is(err, bot.ErrMalformed) {
			t.Errorf("method %q: %v", method, err)
		}
	}
	twice := bot.Raw{Method: "POST", Header: http.Header{"Content-Type": {form, js}}}
	if _, err := a.Decode(twice, []byte("payload="+p)); !errors.Is(err, bot.ErrMalformed) {
		t.Error("two content types:", err)
	}
	if in, err := try(request{"application/json; charset=UTF-8", "", plainMessage}); err != nil || len(in.Events) != 1 {
		t.Error("charset:", in, err)
	}
}

func TestUnescapeFormIsTheStandardOne(t *testing.T) {
	all := "%00%7f%ff%c3%a9%E2%82%AC"
	for i := range 256 {
		all += fmt.Sprintf("%%%02x%%%02X", i, i)
	}
	for _, s := range []string{"", "a", "a+b", "+", "%20", "%2", "%", "%%", "%zz", "%4", "%4g", "%g4", "a%", "a%41b+%2B", all} {
		want, err := url.QueryUnescape(s)
		if got, ok := unescapeForm(s); ok != (err == nil) || ok && got != want {
			t.Errorf("%q: got %q, %v; want %q, %v", s, got, ok, want, err)
		}
	}
}

func manyFields() string {
	var b strings.Builder
	for i := range 70 {
		fmt.Fprintf(&b, "f%d=1&", i)
	}
	return b.String()
}

func TestCorrectedFormIsANewEvent(t *testing.T) {
	a := testAdapter(t, testConfig())
	submit := func(value, trigger string) string {
		body := `{"type":"view_submission","api_app_id":"A0TEST001","team":{"id":"T0TEST001"},"user":{"id":"U0USER001"},"trigger_id":"` + trigger + `","view":{"id":"V1","type":"modal","hash":"1.h","private_metadata":"tok","blocks":[],"state":{"values":{"title":{"v":{"type":"plain_text_input","value":"` + value + `"}}}}}}`
		in, err := a.Decode(bot.Raw{Method: "POST", Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}, []byte("payload="+url.QueryEscape(body)))
		if err != nil || len(in.Events) != 1 {
			t.Fatal(in, err)
		}
		return in.Events[0].ID
	}
	if submit("x", "1.1") != submit("x", "1.2") {
		t.Error("pressing twice makes two events")
	}
	if submit("x", "1.1") == submit("y", "1.2") {
		t.Error("a corrected form counts as the first one")
	}
}

func TestPlainText(t *testing.T) {
	a := testAdapter(t, testConfig())
	for in, want := range map[string]string{
		"a &amp;lt; b":                      "a &lt; b",
		"&lt;@U0USER001&gt;":                "<@U0USER001>",
		"<@U0BOT0001>":                      "",
		"<@U0BOT0001>   x":                  "x",
		"x <@U0BOT0001>":                    "x",
		"x <@U0BOT0001> y":                  "x y",
		"<@U0BOT0001><@U0BOT0001> x":        "x",
		"<@U0USER001|ann>!":                 "@ann!",
		"<@U0USER001|>!":                    "@U0USER001!",
		"<@u0user001>":                      "<@u0user001>",
		"<https://a.b/?x=1&amp;y=2>":        "https://a.b/?x=1&y=2",
		"<https://a.b|bank.example>":        "bank.example (https://a.b)",
		"<https://a.b/|a.b>":                "a.b",
		"<tel:110|110>":                     "110",
		"<javascript:alert(1)|x>":           "<javascript:alert(1)|x>",
		"<!channel>":                        "@channel",
		"<!subteam^S0GROUP01>":              "@S0GROUP01",
		"<!unknown^x|shown>":                "shown",
		"<#C0CHAN001>":                      "#C0CHAN001",
		"a < b > c":                         "a < b > c",
		"<":                                 "<",
		"<@U0USER001":                       "<@U0USER001",
		"  spaced  \n":                      "spaced",
		"line\n<@U0BOT0001> next":           "line\nnext",
		"<<@U0USER001>>":                    "<<@U0USER001>>",
		"\u202ehidden &amp; kept as it was": "\u202ehidden & kept as it was",
	} {
		if got := a.plain(in, "U0BOT0001").text; got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzDecode: whatever an authentic body holds, Decode answers.
func FuzzDecode(f *testing.F) {
	for _, s := range inbound(f) {
		f.Add(s.Raw.Header.Get("Content-Type"), s.Raw.Body, s.Raw.Socket)
	}
	a := testAdapter(f, testConfig())
	f.Fuzz(func(t *testing.T, kind string, body []byte, socket bool) {
		r := bot.Raw{Method: "POST", Header: http.Header{"Content-Type": {kind}}, Body: body, Socket: socket}
		in, err := a.Decode(r, body)
		if err != nil {
			if !errors.Is(err, bot.ErrMalformed) || len(in.Events) > 0 {
				t.Errorf("%+v, %v", in, err)
			}
			return
		}
		for _, e := range in.Events {
			if e.ID == "" || e.Kind == "" || e.At.Before(time.Unix(0, 0)) {
				t.Errorf("%+v", e)
			}
			if strings.ContainsRune(e.Text, 0) {
				t.Errorf("NUL in %q", e.Text)
			}
			for _, m := range e.Mentions {
				if m.Start < 0 || m.Start >= m.End || m.End > len(e.Text) {
					t.Errorf("mention %+v outside %q", m, e.Text)
				}
			}
		}
	})
}

// BenchmarkClick is a button of 5 kB from the wire to the event.
func BenchmarkClick(b *testing.B) {
	d := newDesk(b, slacktest.Options{})
	ref, err := d.a.Post(b.Context(), d.to(), "x", sampleCards()["ticket"])
	if err != nil {
		b.Fatal(err)
	}
	clicks, err := d.Clicks(string(ref), "接单")
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	body := clicks.Body("U0USER001", "AQtokenAQtokenAQtokenAQtokenAQtokenAQtokenAQtokenAQtoken", "1700000001.000001")
	r := bot.Raw{Method: "POST", Header: clicks.Sign(now, body), Body: body}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		plain, err := d.a.Verify(r, now)
		if err != nil {
			b.Fatal(err)
		}
		if in, err := d.a.Decode(r, plain); err != nil || len(in.Events) != 1 {
			b.Fatal(in, err)
		}
	}
}
