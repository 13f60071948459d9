package feishu

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/adapters/feishu/feishutest"
	"github.com/paidan/paidan/bot"
)

// vectors are requests that Feishu's own libraries made and checked.
type vectors struct {
	Decrypt   []vector `json:"decrypt"`
	Encrypted []vector `json:"encrypted"`
	Plain     []vector `json:"plain"`
	Legacy    []vector `json:"legacy_card_sha1"`
}

type vector struct {
	Name      string `json:"name"`
	Key       string `json:"encrypt_key"`
	Encrypt   string `json:"encrypt"`
	Plaintext string `json:"plaintext"`
	Body      string `json:"body"`
	Timestamp string `json:"timestamp"`
	Nonce     string `json:"nonce"`
	SHA256    string `json:"signature_sha256"`
	SHA1      string `json:"signature_sha1"`
	Token     string `json:"verification_token"`
	Response  string `json:"challenge_response"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Decrypt) != 1 || len(v.Encrypted) != 3 || len(v.Plain) != 3 || len(v.Legacy) != 1 {
		t.Fatalf("%d, %d, %d and %d vectors", len(v.Decrypt), len(v.Encrypted), len(v.Plain), len(v.Legacy))
	}
	return v
}

// vectorAdapter is the app of the vectors. Its keys are shorter than what New takes.
func vectorAdapter(t testing.TB, key string) *Adapter {
	t.Helper()
	a := testAdapter(t, testConfig())
	var err error
	if a.block, err = blockOf(key); err != nil {
		t.Fatal(err)
	}
	a.conf.AppID, a.conf.EncryptKey, a.conf.VerificationToken = "cli_test0000000001", key, "v-token-0001"
	a.self.Store(&identity{bot: "ou_bot0000000000000000000000000000"})
	return a
}

func (v vector) raw() bot.Raw {
	return bot.Raw{Method: http.MethodPost, Body: []byte(v.Body), Header: http.Header{
		"Content-Type": {"application/json"}, timestampHeader: {v.Timestamp}, nonceHeader: {v.Nonce}, signatureHeader: {v.SHA256},
	}}
}

func (v vector) at(t testing.TB) time.Time {
	n, err := strconv.ParseInt(v.Timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(n, 0)
}

func TestVectorsDecrypt(t *testing.T) {
	for _, v := range readVectors(t).Decrypt {
		block, err := blockOf(v.Key)
		if err != nil {
			t.Fatal(err)
		}
		if plain, ok := decrypt(block, v.Encrypt); !ok || string(plain) != v.Plaintext {
			t.Errorf("%s: %q, %v; want %q", v.Name, plain, ok, v.Plaintext)
		}
	}
}

func TestVectorsEncrypted(t *testing.T) {
	for _, v := range readVectors(t).Encrypted {
		a := vectorAdapter(t, v.Key)
		plain, err := a.Verify(v.raw(), v.at(t))
		if err != nil || string(plain) != v.Plaintext {
			t.Errorf("%s: %q, %v", v.Name, plain, err)
			continue
		}
		in, err := a.Decode(v.raw(), plain)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		checkVector(t, a, v, in)
	}
}

// checkVector: what a vector means.
func checkVector(t *testing.T, a *Adapter, v vector, in bot.Inbound) {
	t.Helper()
	switch {
	case v.Response != "":
		w := &recorder{header: http.Header{}}
		a.Reply(w, in, bot.Reply{Echo: in.Echo})
		if got := w.body.String(); got != v.Response {
			t.Errorf("%s: answered %s, want %s", v.Name, got, v.Response)
		}
	case strings.HasPrefix(v.Name, "message"):
		if len(in.Events) != 1 || in.Events[0].ID != "om_5ce6d572455d361153b7cb51da133945" || in.Events[0].Thread != "om_root" || in.Events[0].Quote != "om_parent" ||
			in.Events[0].User.ID != "ou_84aad35d084aa403a838cf73ee18467" || in.Events[0].Text != `打印机坏了 "urgent"` || !in.Events[0].ToBot {
			t.Errorf("%s: %+v", v.Name, in.Events)
		}
	default:
		if in.Kind != "card.action.trigger" || len(in.Events) != 1 || in.Events[0].Kind != bot.Click || in.Events[0].Token != "1" || in.Events[0].ID != "f7984f25108f8137722bb63cee927e66" ||
			in.Events[0].Message != "om_5ce6d572455d361153b7cb51da133945" || in.Events[0].User.ID != "ou_84aad35d084aa403a838cf73ee18467" {
			t.Errorf("%s: %+v", v.Name, in)
		}
	}
}

// TestVectorsPlain: a body that is not encrypted is refused over HTTP, signed or
// not, and read where it comes over our own connection.
func TestVectorsPlain(t *testing.T) {
	for _, v := range readVectors(t).Plain {
		a := vectorAdapter(t, "a key that is set")
		at := time.Unix(1700000000, 0)
		bare := bot.Raw{Method: http.MethodPost, Body: []byte(v.Body), Header: http.Header{"Content-Type": {"application/json"}}}
		signed := bare
		signed.Header = feishutest.Sign("a key that is set", "1700000000", "nonce", signed.Body)
		for _, r := range []bot.Raw{bare, signed} {
			if _, err := a.Verify(r, at); !errors.Is(err, bot.ErrUnverified) {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
		r := bot.Raw{Socket: true, Body: []byte(v.Body)}
		plain, err := a.Verify(r, at)
		if v.Response != "" { // an address is not checked over a connection
			if !errors.Is(err, bot.ErrUnverified) {
				t.Errorf("%s: %v", v.Name, err)
			}
			plain, err = r.Body, nil
		}
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		in, err := a.Decode(r, plain)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		checkVector(t, a, v, in)
	}
}

// TestVectorsLegacy: the cards of old sign with SHA-1 and the token, which is no
// secret; they are not taken, whatever their signature says.
func TestVectorsLegacy(t *testing.T) {
	for _, v := range readVectors(t).Legacy {
		sum := sha1.Sum([]byte(v.Timestamp + v.Nonce + v.Token + v.Body))
		if hex.EncodeToString(sum[:]) != v.SHA1 {
			t.Errorf("%s: the vector itself is wrong", v.Name)
		}
		a := vectorAdapter(t, "a key that is set")
		v.SHA256 = v.SHA1
		if _, err := a.Verify(v.raw(), v.at(t)); !errors.Is(err, bot.ErrUnverified) {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
}

func messagePlain() string {
	return envelope("id", "im.message.receive_v1", message("om_1", `"chat_type":"p2p","message_type":"text","content":"{\"text\":\"hi\"}"`))
}

func TestTimestampsOfOddForms(t *testing.T) {
	a := testAdapter(t, testConfig())
	now := time.Unix(1700000000, 0)
	body := sealed(messagePlain()).Body
	for stamp, want := range map[string]bool{
		"1700000000": true, "1699971200": true, "1700028800": true, "1699971199": false, "1700028801": false, "0": false, "-1700000000": false,
		"9223372036854775808": false, "+1700000000": false, "+170000000": false, "01700000000": false, "0170000000": false, "1.7e9": false, "1e9": false, " 1700000000": false,
		"1700000000 ": false, "1700000000\n": false, "1700 00000": false, "１７００００００００": false, "1700000000.0": false, "": false, "17000000000": false, "1700000000000": false,
	} {
		h := feishutest.Sign(feishutest.EncryptKey, stamp, "nonce", body)
		if _, err := a.Verify(bot.Raw{Method: "POST", Header: h, Body: body}, now); (err == nil) != want {
			t.Errorf("%q: err %v, want accepted %v", stamp, err, want)
		}
	}
}

// TestNoCharacterMoves: the signed text has no separators, so a digit of the
// time could be passed off as part of the nonce, and the other way round.
func TestNoCharacterMoves(t *testing.T) {
	a := testAdapter(t, testConfig())
	now := time.Unix(1700000000, 0)
	r := sealed(messagePlain())
	body := r.Body
	h := feishutest.Sign(feishutest.EncryptKey, "1700000000", "1nonce", body)
	moved := h.Clone()
	moved.Set(timestampHeader, "17000000001")
	moved.Set(nonceHeader, "nonce")
	back := h.Clone()
	back.Set(timestampHeader, "170000000")
	back.Set(nonceHeader, "01nonce")
	empty := feishutest.Sign(feishutest.EncryptKey, "1700000000", "", body)
	into := feishutest.Sign(feishutest.EncryptKey, "1700000000", "nonce", body)
	into.Set(nonceHeader, "nonce"+feishutest.EncryptKey[:3])
	for name, h := range map[string]http.Header{"into the time": moved, "out of the time": back, "no nonce": empty, "the key's": into} {
		if _, err := a.Verify(bot.Raw{Method: "POST", Header: h, Body: body}, now); !errors.Is(err, bot.ErrUnverified) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.Verify(bot.Raw{Method: "POST", Header: h, Body: body}, now); err != nil {
		t.Error(err)
	}
}

// TestPressesAreHeldToFiveMinutes: and so is everything that an old request
// could turn back; messages may come late.
func TestPressesAreHeldToFiveMinutes(t *testing.T) {
	for _, rec := range recordings {
		late := lasting[rec.kind]
		a := testAdapter(t, testConfig())
		r := sealed(envelope("id", rec.kind, rec.event))
		at := time.Unix(inboundAt-1, 0)
		for _, c := range []struct {
			off  time.Duration
			want bool
		}{{maxAge, true}, {-maxAge, true}, {maxAge + time.Second, late}, {-maxAge - time.Second, late}, {7*time.Hour + 6*time.Minute, late}, {maxEventAge + time.Second, false}} {
			if _, err := a.Verify(r, at.Add(c.off)); (err == nil) != c.want {
				t.Errorf("%s %v off: err %v, want accepted %v", rec.name, c.off, err, c.want)
			}
		}
	}
}

// TestMeantForOthers: authentic, but for another app, another company, or with
// another token.
func TestMeantForOthers(t *testing.T) {
	good := messagePlain()
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatal(old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, c := range map[string]struct {
		plain        string
		http, socket bool
	}{
		"good":             {good, true, true},
		"another app":      {change(feishutest.AppID, "cli_ffffffffffffffff"), false, false},
		"no app":           {change(`"app_id":"`+feishutest.AppID+`",`, ""), false, false},
		"another token":    {change(feishutest.VerificationToken, "dmVyaWZ5IGZvciB0ZXN0cW"), false, false},
		"no token":         {change(`"token":"`+feishutest.VerificationToken+`",`, ""), false, true},
		"another company":  {change(`"tenant_key":"`+feishutest.Tenant+`"},"event"`, `"tenant_key":"736588c9260f175d"},"event"`), false, false},
		"no company":       {change(`,"tenant_key":"`+feishutest.Tenant+`"},"event"`, `},"event"`), false, false},
		"the first format": {`{"uuid":"1","token":"` + feishutest.VerificationToken + `","ts":"1.2","type":"event_callback","event":{"type":"message","app_id":"` + feishutest.AppID + `"}}`, false, false},
		"text":             {"hello world", false, false},
		"a wrong check":    {`{"challenge":"x","token":"nope","type":"url_verification"}`, false, false},
		"a check":          {`{"challenge":"x","token":"` + feishutest.VerificationToken + `","type":"url_verification"}`, true, false},
	} {
		a := testAdapter(t, testConfig())
		if _, err := a.Verify(sealed(c.plain), time.Unix(inboundAt, 0)); (err == nil) != c.http {
			t.Errorf("%s over HTTP: %v", name, err)
		}
		if _, err := a.Verify(bot.Raw{Socket: true, Body: []byte(c.plain)}, time.Unix(inboundAt, 0)); (err == nil) != c.socket {
			t.Errorf("%s over the connection: %v", name, err)
		}
	}
}

// TestCompanyIsLearned: the first authentic request tells the company, and what
// was learned outlives the process.
func TestCompanyIsLearned(t *testing.T) {
	a := testAdapter(t, testConfig())
	a.tenant.Store(nil)
	other := strings.ReplaceAll(messagePlain(), feishutest.Tenant, "736588c9260f175d")
	if _, err := a.Verify(sealed(messagePlain()), time.Unix(inboundAt, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(sealed(other), time.Unix(inboundAt, 0)); !errors.Is(err, bot.ErrUnverified) {
		t.Error(err)
	}
	b := testAdapter(t, testConfig())
	b.tenant.Store(nil)
	b.shelf = &shelf{rows: map[string]string{b.tenantKey(): "736588c9260f175d"}}
	if err := b.Prepare(t.Context()); err == nil { // nobody answers, but the shelf did
		t.Error("prepared without a server")
	}
	if _, err := b.Verify(sealed(messagePlain()), time.Unix(inboundAt, 0)); !errors.Is(err, bot.ErrUnverified) {
		t.Error(err)
	}
}

func TestOnlyTheConfiguredWay(t *testing.T) {
	c := testConfig()
	c.EncryptKey, c.VerificationToken = "", ""
	a := testAdapter(t, c)
	body := []byte(messagePlain())
	if _, err := a.Verify(bot.Raw{Method: "POST", Header: feishutest.Sign("", fmt.Sprint(inboundAt), "n", body), Body: body}, time.Unix(inboundAt, 0)); !errors.Is(err, bot.ErrUnverified) {
		t.Errorf("HTTP without a key: %v", err)
	}
	c = testConfig()
	c.Mode = ModeHTTP
	if _, err := testAdapter(t, c).Verify(bot.Raw{Socket: true, Body: body}, time.Unix(inboundAt, 0)); !errors.Is(err, bot.ErrUnverified) {
		t.Errorf("a frame without a connection: %v", err)
	}
}

// TestSDKDefectPaddingIsNotChecked: the SDK trims to the braces and takes any
// padding. Here it must be right to the last byte.
func TestSDKDefectPaddingIsNotChecked(t *testing.T) {
	block, err := blockOf("k")
	if err != nil {
		t.Fatal(err)
	}
	var iv [16]byte
	good := feishutest.Encrypt("k", iv, []byte(`{"a":"123456"}`)) // 14 bytes and 2 of padding
	if _, ok := decrypt(block, good); !ok {
		t.Fatal("refused")
	}
	for pad := range 256 {
		b := append([]byte(`{"a":"123456"}`), 7, byte(pad))
		enc, err := base64.StdEncoding.DecodeString(feishutest.Encrypt("k", iv, b))
		if err != nil {
			t.Fatal(err)
		}
		// The last block is whole padding: without it, ours is at the end.
		_, taken := decrypt(block, base64.StdEncoding.EncodeToString(enc[:len(enc)-16]))
		if want := pad == 1; taken != want {
			t.Errorf("padding 7, %d: taken %v", pad, taken)
		}
	}
	for _, s := range []string{"", "AAAA", "!", strings.Repeat("A", 64), "AAAAAAAAAAAAAAAAAAAAAA=="} {
		if plain, ok := decrypt(block, s); ok && len(plain) == 0 {
			t.Errorf("%q was taken", s)
		}
	}
}

func FuzzVerify(f *testing.F) {
	for _, v := range readVectors(f).Encrypted {
		f.Add(v.Timestamp, v.Nonce, v.SHA256, []byte(v.Body))
	}
	r := sealed(messagePlain())
	f.Add(r.Header.Get(timestampHeader), r.Header.Get(nonceHeader), r.Header.Get(signatureHeader), r.Body)
	f.Add("", "", "", []byte(`{"encrypt":""}`))
	a := testAdapter(f, testConfig())
	now := time.Unix(inboundAt, 0)
	f.Fuzz(func(t *testing.T, stamp, nonce, sig string, body []byte) {
		h := http.Header{timestampHeader: {stamp}, nonceHeader: {nonce}, signatureHeader: {sig}}
		plain, err := a.Verify(bot.Raw{Method: "POST", Header: h, Body: body}, now)
		want := feishutest.Sign(feishutest.EncryptKey, stamp, nonce, body).Get(signatureHeader)
		if err == nil && (sig != want || len(plain) == 0) {
			t.Errorf("%q %q %q %q was accepted", stamp, nonce, sig, body)
		}
		// As a frame, and signed by whoever has the key, it must be read without harm.
		if _, err := a.Verify(bot.Raw{Socket: true, Body: body}, now); err != nil && !errors.Is(err, bot.ErrUnverified) {
			t.Error(err)
		}
		good := feishutest.Sign(feishutest.EncryptKey, fmt.Sprint(inboundAt), "n", body)
		if _, err := a.Verify(bot.Raw{Method: "POST", Header: good, Body: body}, now); err != nil && !errors.Is(err, bot.ErrUnverified) {
			t.Error(err)
		}
	})
}
