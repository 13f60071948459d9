package wecom

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/wecom/wecomtest"
	"github.com/paidan/paidan/bot"
)

// hostileXML is what no WeCom sends: what makes parsers read files, call servers,
// grow without end, or disagree about what a message says.
func hostileXML(elsewhere string) map[string]string {
	out := map[string]string{
		"empty":                  "",
		"no root":                "hello",
		"another root":           "<message></message>",
		"doctype":                `<!DOCTYPE xml><xml><Content>a</Content></xml>`,
		"doctype inside":         `<xml><!DOCTYPE x><Content>a</Content></xml>`,
		"entity from a file":     `<!DOCTYPE xml [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><Content>&e;</Content></xml>`,
		"entity inside":          `<xml><!ENTITY e "x"><Content>&e;</Content></xml>`,
		"entity over http":       `<!DOCTYPE xml [<!ENTITY e SYSTEM "` + elsewhere + `/e">]><xml><Content>&e;</Content></xml>`,
		"parameter entity":       `<!DOCTYPE xml [<!ENTITY % p SYSTEM "` + elsewhere + `/p"> %p;]><xml></xml>`,
		"external subset":        `<!DOCTYPE xml SYSTEM "` + elsewhere + `/dtd"><xml></xml>`,
		"public subset":          `<!DOCTYPE xml PUBLIC "-//x" "` + elsewhere + `/dtd"><xml></xml>`,
		"unknown entity":         `<xml><Content>&xxe;</Content></xml>`,
		"html entity":            `<xml><Content>&nbsp;</Content></xml>`,
		"declaration":            `<?xml version="1.0"?><xml><Content>a</Content></xml>`,
		"declaration inside":     `<xml><?xml version="1.0"?><Content>a</Content></xml>`,
		"encoding":               `<?xml version="1.0" encoding="UTF-16"?><xml></xml>`,
		"instruction":            `<xml><?php echo 1 ?><Content>a</Content></xml>`,
		"stylesheet":             `<?xml-stylesheet href="` + elsewhere + `/s"?><xml></xml>`,
		"xinclude":               `<xml xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd"/></xml>`,
		"xinclude, no namespace": `<xml><xi:include/></xml>`,
		"comment":                `<xml><Content>a<!-- b -->c</Content></xml>`,
		"comment splits a name":  `<xml><FromUserName>adm<!-- -->in</FromUserName></xml>`,
		"attribute":              `<xml><Content type="x">a</Content></xml>`,
		"attribute of the root":  `<xml a="b"></xml>`,
		"namespace":              `<xml><x:Content>a</x:Content></xml>`,
		"default namespace":      `<xml xmlns="urn:x"><Content>a</Content></xml>`,
		"twice":                  `<xml><Content>a</Content><Content>b</Content></xml>`,
		"twice, apart":           `<xml><FromUserName>a</FromUserName><Content>x</Content><FromUserName>b</FromUserName></xml>`,
		"twice, inside":          `<xml><A><B>1</B><B>2</B></A></xml>`,
		"second root":            `<xml><Content>a</Content></xml><xml><Content>b</Content></xml>`,
		"second, other root":     `<xml></xml><yml></yml></xml>`,
		"text before":            `x<xml></xml>`,
		"text behind":            `<xml></xml>x`,
		"space before":           ` <xml></xml>`,
		"space behind":           "<xml></xml>\n",
		"byte order mark":        "\ufeff<xml></xml>",
		"text beside elements":   `<xml>a<Content>b</Content></xml>`,
		"not closed":             `<xml><Content>a</xml>`,
		"closed crosswise":       `<xml><A><B></A></B></xml>`,
		"closed too often":       `<xml></Content></xml>`,
		"never closed":           `<xml><Content>`,
		"CDATA not closed":       `<xml><Content><![CDATA[a</Content></xml>`,
		"bad UTF-8":              "<xml><Content>\xff\xfe</Content></xml>",
		"control character":      "<xml><Content>a\x01</Content></xml>",
		"NUL":                    "<xml><Content>a\x00</Content></xml>",
		"deep":                   strings.Repeat("<xml>", 20_000) + strings.Repeat("</xml>", 20_000),
		"deeper than allowed":    "<xml>" + strings.Repeat("<a>", 8) + strings.Repeat("</a>", 8) + "</xml>",
		"wide":                   "<xml>" + strings.Repeat("<a></a>", 150_000) + "</xml>",
		"wide, of what repeats":  "<xml><OptionIds>" + strings.Repeat("<OptionId>1</OptionId>", 50_000) + "</OptionIds></xml>",
		"many pieces of CDATA":   "<xml><Content>" + strings.Repeat("<![CDATA[a]]>", 80_000) + "</Content></xml>",
		"long name":              "<xml><" + strings.Repeat("a", 1<<20),
		"case of the root":       `<XML><Content>a</Content></XML>`,
	}
	laughs := `<!DOCTYPE xml [<!ENTITY a "ha">`
	for c := 'b'; c < 'k'; c++ {
		laughs += `<!ENTITY ` + string(c) + ` "` + strings.Repeat("&"+string(c-1)+";", 10) + `">`
	}
	out["billion laughs"] = laughs + `]><xml><Content>&j;</Content></xml>`
	out["quadratic blow-up"] = `<!DOCTYPE xml [<!ENTITY a "` + strings.Repeat("a", 50_000) + `">]><xml><Content>` + strings.Repeat("&a;", 50_000) + `</Content></xml>`
	return out
}

// TestHostileXMLIsRefused gives it once from a stranger, as the envelope, and
// once from inside a message that is rightly encrypted and signed.
func TestHostileXMLIsRefused(t *testing.T) {
	called := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer elsewhere.Close()
	r := newRig(t, wecomtest.Options{}, nil)
	at := time.Unix(1700000000, 0)
	for name, x := range hostileXML(elsewhere.URL) {
		begin := time.Now()
		if e, err := parseXML([]byte(x)); err == nil {
			t.Errorf("%s was read as %+v", name, e)
		}
		if took := time.Since(begin); took > 250*time.Millisecond {
			t.Errorf("%s took %v", name, took)
		}
		raw := post(r.app.crypt, "<xml></xml>", at, false)
		raw.Body = []byte(x)
		if _, err := r.Verify(raw, at); err != bot.ErrUnverified {
			t.Errorf("%s as an envelope: %v", name, err)
		}
		raw = post(r.app.crypt, x, at, false)
		plain, err := r.Verify(raw, at)
		if err != nil {
			t.Errorf("%s inside: %v", name, err)
			continue
		}
		if in, err := r.Decode(raw, plain); err == nil || len(in.Events) > 0 {
			t.Errorf("%s inside was read as %+v, %v", name, in, err)
		}
	}
	if called {
		t.Error("a server was called")
	}
}

func TestEnvelopesMustBeExact(t *testing.T) {
	r := newRig(t, wecomtest.Options{}, nil)
	at := time.Unix(1700000000, 0)
	good := post(r.app.crypt, "<xml></xml>", at, false)
	asJSON := post(r.app.crypt, "<xml></xml>", at, true)
	if _, err := r.Verify(good, at); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Verify(asJSON, at); err != nil {
		t.Fatal(err)
	}
	swap := func(raw bot.Raw, was, is string) bot.Raw {
		out := clone(raw)
		out.Body = []byte(strings.Replace(string(raw.Body), was, is, 1))
		if string(out.Body) == string(raw.Body) {
			t.Fatalf("%q is not in the body", was)
		}
		return out
	}
	encrypted := `"encrypt":"`
	for name, raw := range map[string]bot.Raw{
		"another corp":          swap(good, "ww0123456789abcdef", "ww0123456789abcdee"),
		"another app":           swap(good, "1000002", "1000003"),
		"no corp":               swap(good, "<ToUserName><![CDATA[ww0123456789abcdef]]></ToUserName>", ""),
		"one element more":      swap(good, "<Encrypt>", "<Extra>1</Extra><Encrypt>"),
		"Encrypt twice":         swap(good, "<AgentID>", "<Encrypt>x</Encrypt><AgentID>"),
		"element in an element": swap(good, "<AgentID><![CDATA[1000002]]>", "<AgentID><x>1000002</x>"),
		"lower case":            swap(good, "<Encrypt>", "<encrypt>"),
		"json, another corp":    swap(asJSON, "ww0123456789abcdef", "ww0123456789abcdee"),
		"json, another app":     swap(asJSON, "1000002", "1000003"),
		"json, upper case":      swap(asJSON, encrypted, `"Encrypt":"`),
		"json, twice":           swap(asJSON, encrypted, `"encrypt":"x",`+encrypted),
		"json, twice, by case":  swap(asJSON, encrypted, `"ENCRYPT":"x",`+encrypted),
		"json, more":            swap(asJSON, encrypted, `"more":1,`+encrypted),
		"json, a number":        swap(asJSON, `"1000002"`, `1000002`),
		"json, null":            swap(asJSON, `"1000002"`, `null`),
		"json, a list":          swap(asJSON, `"1000002"`, `["1000002"]`),
		"json, behind":          swap(asJSON, `"agentid":"1000002"}`, `"agentid":"1000002"}{}`),
		"json, not closed":      swap(asJSON, `"agentid":"1000002"}`, `"agentid":"1000002"`),
	} {
		if _, err := r.Verify(raw, at); err != bot.ErrUnverified {
			t.Errorf("%s: %v", name, err)
		}
	}
}
