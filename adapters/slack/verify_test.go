package slack

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/slack/slacktest"
	"github.com/paidan/paidan/bot"
)

// TestVectors are signatures that Slack's own library made and checked.
func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	type vector struct {
		Name      string `json:"name"`
		Secret    string `json:"signing_secret"`
		Timestamp string `json:"timestamp"`
		Type      string `json:"content_type"`
		Body      string `json:"body"`
		Signature string `json:"signature"`
		Now       int64  `json:"now"`
		Error     string `json:"bolt_error"`
	}
	var all struct{ Vectors, Negative []vector }
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	check := func(v vector, want bool) {
		c := testConfig()
		c.SigningSecret = v.Secret
		now := v.Now
		if now == 0 {
			n, err := strconv.ParseInt(v.Timestamp, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			now = n
		}
		r := bot.Raw{Method: "POST", Body: []byte(v.Body), Header: http.Header{timestampHeader: {v.Timestamp}, signatureHeader: {v.Signature}}}
		a := testAdapter(t, c)
		if _, err := a.Verify(r, time.Unix(now, 0)); (err == nil) != want {
			t.Errorf("%s: err %v, want accepted %v", v.Name, err, want)
		}
	}
	for _, v := range all.Vectors {
		// Slack's stamps have ten digits since 2001: the two of another clock have nine.
		check(v, len(v.Timestamp) == 10)
	}
	for _, v := range all.Negative {
		// Bolt takes requests from the future; we do not.
		check(v, v.Error == "" && !strings.HasPrefix(v.Name, "future"))
	}
	if len(all.Vectors) < 8 || len(all.Negative) < 5 {
		t.Errorf("only %d and %d vectors", len(all.Vectors), len(all.Negative))
	}
}

// TestThreat_TA05: late, early and oddly written times.
func TestThreat_TA05(t *testing.T) {
	a := testAdapter(t, testConfig())
	now := time.Unix(1700000000, 0)
	body := []byte(`{"type":"x"}`)
	for stamp, want := range map[string]bool{
		"1700000000": true, "1699999700": true, "1700000300": true, "1699999699": false, "1700000301": false, "0": false, "-1700000000": false,
		"9223372036854775808": false, "+1700000000": false, "+170000000": false, "01700000000": false, "0170000000": false, "1.7e9": false, "1e9": false, " 1700000000": false,
		"1700000000 ": false, "1700 00000": false, "１７００００００００": false, "1700000000.0": false, "0x6553f100": false, "1_700_000_000": false, "1700000000\x00": false, "": false, "17000000000": false,
	} {
		h := slacktest.Sign(slacktest.SigningSecret, now, slacktest.JSON, body)
		// Signed over exactly this stamp, so that only the stamp itself is judged.
		h[signatureHeader] = signStamp(stamp, body)
		h[timestampHeader] = []string{stamp}
		if _, err := a.Verify(bot.Raw{Method: "POST", Header: h, Body: body}, now); (err == nil) != want {
			t.Errorf("%q: err %v, want accepted %v", stamp, err, want)
		}
	}
}

func signStamp(stamp string, body []byte) []string {
	return []string{"v0=" + hmacOf(slacktest.SigningSecret, "v0:"+stamp+":"+string(body))}
}

func hmacOf(secret, message string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(message))
	return hex.EncodeToString(mac.Sum(nil))
}

// TestThreat_TA01: the forms of a signature.
func TestThreat_TA01(t *testing.T) {
	a := testAdapter(t, testConfig())
	now, body := time.Unix(1700000000, 0), []byte(`{"type":"x"}`)
	good := slacktest.Sign(slacktest.SigningSecret, now, slacktest.JSON, body)
	sig := good.Get(signatureHeader)
	for name, change := range map[string]func(http.Header){
		"absent":        func(h http.Header) { h.Del(signatureHeader) },
		"empty":         func(h http.Header) { h.Set(signatureHeader, "") },
		"short":         func(h http.Header) { h.Set(signatureHeader, sig[:20]) },
		"long":          func(h http.Header) { h.Set(signatureHeader, sig+"00") },
		"upper case":    func(h http.Header) { h.Set(signatureHeader, "v0="+strings.ToUpper(sig[3:])) },
		"wrong prefix":  func(h http.Header) { h.Set(signatureHeader, "v1="+sig[3:]) },
		"no prefix":     func(h http.Header) { h.Set(signatureHeader, sig[3:]) },
		"prefix only":   func(h http.Header) { h.Set(signatureHeader, "v0=") },
		"twice":         func(h http.Header) { h.Add(signatureHeader, sig) },
		"a wrong one":   func(h http.Header) { h[signatureHeader] = []string{"v0=" + strings.Repeat("0", 64), sig} },
		"other keys":    func(h http.Header) { h["x-slack-signature"] = []string{"v0=" + strings.Repeat("0", 64)} },
		"a list":        func(h http.Header) { h.Set(signatureHeader, sig+","+sig) },
		"stamps twice":  func(h http.Header) { h.Add(timestampHeader, "1700000000") },
		"no stamp":      func(h http.Header) { h.Del(timestampHeader) },
		"own old token": func(h http.Header) { h.Set(signatureHeader, "xyzz0WbapA4vBCDEFasx0q6G") },
	} {
		h := good.Clone()
		change(h)
		if _, err := a.Verify(bot.Raw{Method: "POST", Header: h, Body: body}, now); !errors.Is(err, bot.ErrUnverified) || err.Error() != bot.ErrUnverified.Error() {
			t.Errorf("%s: err %v", name, err)
		}
	}
	if _, err := a.Verify(bot.Raw{Method: "POST", Header: good, Body: body}, now); err != nil {
		t.Error(err)
	}
}

// FuzzVerify: whatever comes, only what is signed passes.
func FuzzVerify(f *testing.F) {
	now, body := time.Unix(1700000000, 0), []byte(`{"type":"x"}`)
	good := slacktest.Sign(slacktest.SigningSecret, now, slacktest.JSON, body)
	f.Add("1700000000", good.Get(signatureHeader), body)
	f.Add("1700000000", "v0=", []byte(nil))
	f.Add("", "", []byte("x"))
	a := testAdapter(f, testConfig())
	f.Fuzz(func(t *testing.T, stamp, sig string, body []byte) {
		_, err := a.Verify(bot.Raw{Method: "POST", Header: http.Header{timestampHeader: {stamp}, signatureHeader: {sig}}, Body: body}, now)
		want := digits(stamp, 10, 10) && sig == "v0="+hmacOf(slacktest.SigningSecret, "v0:"+stamp+":"+string(body))
		if err == nil && !want {
			t.Errorf("%q %q %q was accepted", stamp, sig, body)
		}
	})
}
