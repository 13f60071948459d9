package wecom

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/bot"
)

func mustCrypt(t testing.TB, token, key, receive string) *crypt {
	t.Helper()
	c, err := newCrypt(token, key, receive)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func stampTime(t testing.TB, s string) time.Time {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(n, 0)
}

func (v vector) query() url.Values {
	return url.Values{"msg_signature": {v.Signature}, "timestamp": {v.Timestamp}, "nonce": {v.Nonce}}
}

// opensVector checks that a vector opens to its plain text, and that the same random
// bytes make the very same text again.
func opensVector(t *testing.T, c *crypt, v vector) {
	t.Helper()
	encrypted := v.Encrypt
	if encrypted == "" {
		encrypted = v.EchoStr
	}
	at := stampTime(t, v.Timestamp)
	got, err := c.open(v.query(), encrypted, at)
	if err != nil || string(got) != v.Plaintext {
		t.Errorf("%s: open = %q, %v; want %q", v.Name, got, err, v.Plaintext)
	}
	random := v.Random + v.RandomOfficial
	if random == "" {
		return
	}
	again, signature := c.sealWith([randomLen]byte([]byte(random)), []byte(v.Plaintext), v.Nonce, at)
	if again != encrypted || signature != v.Signature {
		t.Errorf("%s: sealing the plain text gives %s %s", v.Name, again, signature)
	}
}

func TestVectorsOpenAndSeal(t *testing.T) {
	v := readVectors(t)
	official := mustCrypt(t, v.Official.Token, v.Official.EncodingAESKey, v.Official.ReceiveID)
	opensVector(t, official, v.Official.VerifyURL)
	opensVector(t, official, v.Official.Message)
	app := mustCrypt(t, v.Config.Token, v.Config.EncodingAESKey, v.Config.CorpID)
	opensVector(t, app, v.VerifyURL)
	for _, list := range [][]vector{v.Inbound, v.Passive} {
		for _, x := range list {
			opensVector(t, app, x)
		}
	}
	robot := mustCrypt(t, v.Config.Token, v.Config.EncodingAESKey, "")
	for _, x := range append(slices.Concat(v.RobotInbound, v.RobotReply), v.RobotVerifyURL) {
		opensVector(t, robot, x)
	}
	edges := mustCrypt(t, v.Config.Token, v.Config.EncodingAESKey, "cid")
	for _, x := range v.Padding {
		opensVector(t, edges, x)
	}
	if len(v.Inbound) != 10 || len(v.Passive) != 3 || len(v.RobotInbound) != 4 || len(v.RobotReply) != 2 || len(v.Padding) != 7 || len(v.Negative) != 3 {
		t.Errorf("vectors are missing: %d inbound, %d passive, %d robot inbound, %d robot replies, %d padding, %d negative", len(v.Inbound), len(v.Passive), len(v.RobotInbound), len(v.RobotReply), len(v.Padding), len(v.Negative))
	}
}

func TestNegativeVectorsAreRefused(t *testing.T) {
	v := readVectors(t)
	c := mustCrypt(t, v.Config.Token, v.Config.EncodingAESKey, v.Config.CorpID)
	refused := func(name string, q url.Values, encrypted string) {
		t.Helper()
		if plain, err := c.open(q, encrypted, stampTime(t, "1700000000")); err != bot.ErrUnverified || plain != nil {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
	for _, x := range v.Negative[:2] {
		refused(x.Name, x.query(), x.Encrypt)
	}
	// The third: the parts are joined without separators, so moving characters
	// between them, or swapping them, leaves the signature as it is.
	x := v.Inbound[0]
	swapped := x.query()
	swapped["timestamp"], swapped["nonce"] = swapped["nonce"], swapped["timestamp"]
	if c.sign(swapped.Get("timestamp"), swapped.Get("nonce"), x.Encrypt) != x.Signature {
		t.Fatal("swapping changes the signature: the test proves nothing")
	}
	refused(v.Negative[2].Name, swapped, x.Encrypt)
}

// TestPartsOfTheSignatureCannotMove moves the border between nonce and time.
func TestPartsOfTheSignatureCannotMove(t *testing.T) {
	v := readVectors(t)
	c := mustCrypt(t, v.Config.Token, v.Config.EncodingAESKey, v.Config.CorpID)
	x := v.Inbound[0]
	at := stampTime(t, x.Timestamp)
	joined := x.Nonce + x.Timestamp // as it is sorted
	for i := range joined {
		if i == len(x.Nonce) {
			continue
		}
		q := x.query()
		q.Set("nonce", joined[:i])
		q.Set("timestamp", joined[i:])
		if _, err := c.open(q, x.Encrypt, at); err != bot.ErrUnverified {
			t.Errorf("border at %d: %v", i, err)
		}
	}
}

func TestQueriesMustBeExact(t *testing.T) {
	v := readVectors(t)
	c := mustCrypt(t, v.Config.Token, v.Config.EncodingAESKey, v.Config.CorpID)
	x := v.Inbound[0]
	at := stampTime(t, x.Timestamp)
	tried := 0
	try := func(name string, change func(url.Values)) {
		tried++
		q := x.query()
		change(q)
		if _, err := c.open(q, x.Encrypt, at); err != bot.ErrUnverified {
			t.Errorf("%s: %v", name, err)
		}
	}
	for key, value := range map[string]string{"msg_signature": x.Signature, "timestamp": x.Timestamp, "nonce": x.Nonce} {
		try("no "+key, func(q url.Values) { q.Del(key) })
		try("empty "+key, func(q url.Values) { q.Set(key, "") })
		try("doubled "+key, func(q url.Values) { q.Add(key, value) })
		try("longer "+key, func(q url.Values) { q.Set(key, value+"0") })
		try("spaced "+key, func(q url.Values) { q.Set(key, " "+value) })
		for i := range len(value) * 8 {
			b := []byte(value)
			b[i/8] ^= 1 << (i % 8)
			try("bit of "+key, func(q url.Values) { q.Set(key, string(b)) })
		}
	}
	try("upper case", func(q url.Values) { q.Set("msg_signature", strings.ToUpper(x.Signature)) })
	if tried < 400 {
		t.Errorf("only %d tried", tried)
	}
}

// sealed encrypts a frame as it stands, and signs it.
func sealed(c *crypt, data []byte) (string, url.Values) {
	out := make([]byte, len(data))
	cipher.NewCBCEncrypter(c.block, c.iv).CryptBlocks(out, data)
	encrypted := base64.StdEncoding.EncodeToString(out)
	return encrypted, url.Values{"msg_signature": {c.sign("1700000000", "n", encrypted)}, "timestamp": {"1700000000"}, "nonce": {"n"}}
}

func frame(size uint32, body string, pad int) []byte {
	b := append(bytes.Repeat([]byte("r"), randomLen), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[randomLen:], size)
	b = append(b, body...)
	for len(b)%aes.BlockSize != 0 || pad > 0 && len(b)%padBlock != 0 {
		b = append(b, byte(pad))
	}
	return b
}

// TestBadFramesAreRefused has rightly signed frames that are made wrongly, among
// them the two that made published libraries panic: a length that wraps in 32
// bits, and a padding longer than the message.
func TestBadFramesAreRefused(t *testing.T) {
	c := mustCrypt(t, "TicketBotToken01", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "ww0123456789abcdef")
	at := time.Unix(1700000000, 0)
	good := frame(5, "hello"+"ww0123456789abcdef", 32-(randomLen+4+5+18)%32)
	if encrypted, q := sealed(c, good); true {
		if plain, err := c.open(q, encrypted, at); err != nil || string(plain) != "hello" {
			t.Fatalf("a good frame: %q, %v", plain, err)
		}
	}
	broken := slices.Clone(good)
	broken[len(broken)-2]++
	for name, data := range map[string][]byte{
		"length wraps in 32 bits":        frame(1<<32-1, "hello"+"ww0123456789abcdef", 21),
		"length wraps to the frame":      frame(1<<32-20, "", 12),
		"length one too long":            frame(6, "hello"+"ww0123456789abcdef", 21),
		"length zero":                    frame(0, "hello"+"ww0123456789abcdef", 21),
		"padding of 0":                   frame(5, "hello"+"ww0123456789abcdef", 0),
		"padding of 33":                  frame(5, "hello"+"ww0123456789abcdef", 33),
		"padding of 255":                 frame(5, "hello"+"ww0123456789abcdef", 255),
		"padding beyond the message":     bytes.Repeat([]byte{32}, 16),
		"padding not all the same":       broken,
		"nothing but padding":            bytes.Repeat([]byte{32}, 32),
		"no receiver":                    frame(5, "hello", 7),
		"another receiver":               frame(5, "hello"+"ww0123456789abcdee", 21),
		"a longer receiver":              frame(5, "hello"+"ww0123456789abcdefg", 20),
		"a shorter frame than its head":  append(bytes.Repeat([]byte("r"), 15), 1),
		"receiver before the end cut":    frame(4, "hello"+"ww0123456789abcdef", 21),
		"a head without anything behind": frame(0, "", 12),
	} {
		encrypted, q := sealed(c, data)
		if plain, err := c.open(q, encrypted, at); err != bot.ErrUnverified || plain != nil {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
	encrypted, _ := sealed(c, good)
	for name, text := range map[string]string{
		"line break": encrypted[:8] + "\n" + encrypted[8:], "carriage return": encrypted + "\r", "no padding": strings.TrimRight(encrypted, "="),
		"url alphabet": strings.NewReplacer("+", "-", "/", "_").Replace(encrypted) + "-_-_", "half a block": encrypted[:len(encrypted)/2/4*4-4], "empty": "", "no base64": "????",
	} {
		q := url.Values{"msg_signature": {c.sign("1700000000", "n", text)}, "timestamp": {"1700000000"}, "nonce": {"n"}}
		if plain, err := c.open(q, text, at); err != bot.ErrUnverified {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
}

func TestKeysMustBeWhole(t *testing.T) {
	for name, k := range map[string][2]string{
		"no token": {"", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}, "no key": {"T", ""}, "short key": {"T", "abc"},
		"long key": {"T", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYA"}, "key with signs": {"T", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZW+"},
	} {
		c, err := newCrypt(k[0], k[1], "x")
		if c != nil || !errors.Is(err, errCrypt) || strings.Contains(err.Error(), "MDEy") {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	// Bits in the last character that belong to no byte: WeCom makes such keys.
	if _, err := newCrypt("T", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "x"); err != nil {
		t.Error(err)
	}
}

func TestRawPlusOfAnEchoIsMended(t *testing.T) {
	v := readVectors(t)
	c := mustCrypt(t, v.Config.Token, v.Config.EncodingAESKey, v.Config.CorpID)
	at := stampTime(t, v.VerifyURL.Timestamp)
	for i := range 200 {
		encrypted, signature := c.seal([]byte(strconv.Itoa(i)), "n", at)
		if !strings.Contains(encrypted, "+") {
			continue
		}
		q := url.Values{"msg_signature": {signature}, "timestamp": {v.VerifyURL.Timestamp}, "nonce": {"n"}, "echostr": {strings.ReplaceAll(encrypted, "+", " ")}}
		if plain, err := c.echo(q, at); err != nil || string(plain) != strconv.Itoa(i) {
			t.Errorf("%q, %v", plain, err)
		}
		return
	}
	t.Fatal("no + in 200 texts")
}

func FuzzCrypt(f *testing.F) {
	v := readVectors(f)
	c := mustCrypt(f, v.Config.Token, v.Config.EncodingAESKey, v.Config.CorpID)
	f.Add([]byte("hello"))
	f.Add(frame(1<<32-1, "hello"+"ww0123456789abcdef", 21))
	f.Add(bytes.Repeat([]byte{32}, 32))
	f.Add(append(bytes.Repeat([]byte("r"), 15), 200))
	f.Fuzz(func(t *testing.T, data []byte) {
		at := time.Unix(1700000000, 0)
		// What we seal opens again.
		encrypted, signature := c.seal(data, "n", at)
		plain, err := c.open(url.Values{"msg_signature": {signature}, "timestamp": {"1700000000"}, "nonce": {"n"}}, encrypted, at)
		if err != nil || !bytes.Equal(plain, data) {
			t.Errorf("%q came back as %q, %v", data, plain, err)
		}
		// A frame that is anything at all, rightly signed, opens or is refused.
		whole := data[:len(data)/aes.BlockSize*aes.BlockSize]
		if encrypted, q := sealed(c, whole); len(whole) > 0 {
			if plain, err := c.open(q, encrypted, at); err != nil && (err != bot.ErrUnverified || plain != nil) {
				t.Errorf("%q, %v", plain, err)
			}
		}
	})
}
