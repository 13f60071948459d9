package dingtalk

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // DingTalk signs events with it
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/bot"
)

const (
	// robotAge is how far a robot message's time may lie from our clock, either
	// way. DingTalk's page names one hour, and does not promise that a stamp is
	// younger, so anything tighter could refuse its own requests. The signature
	// covers the time alone, not the body: who catches one can write messages in
	// anybody's name until it has run out. Stream mode has no such hole.
	// https://open.dingtalk.com/document/dingstart/robot-receive-message
	robotAge = time.Hour
	// signedAge is for events and presses, for which no page names a time: what
	// is usual elsewhere. They are signed when they are sent.
	signedAge = 5 * time.Minute
)

// The headers of HTTP mode, as net/http spells them.
const (
	robotStamp = "Timestamp"
	robotSign  = "Sign"
	cardStamp  = "X-Ddpaas-Signature-Timestamp"
	cardSign   = "X-Ddpaas-Signature"
)

// source is what a request of HTTP mode claims to be.
type source string

const (
	fromRobot source = "robot"
	fromEvent source = "event"
	fromCard  source = "card"
)

// sourceOf tells by its marks what a request is; each is then checked with a
// secret of its own. The path may be the hook itself, or say what it is for.
func sourceOf(r bot.Raw) (source, bool) {
	_, robot := r.Header[robotSign]
	_, card := r.Header[cardSign]
	_, event := r.Query["msg_signature"]
	switch {
	case event && !robot && !card && (r.Path == "" || r.Path == "events"):
		return fromEvent, true
	case card && !robot && !event && (r.Path == "" || r.Path == "cards"):
		return fromCard, true
	case robot && !card && !event && r.Path == "":
		return fromRobot, true
	}
	return "", false
}

// Verify checks a request of HTTP mode. A frame of our own authenticated
// connection needs no check. No error says what was wrong.
func (a *Adapter) Verify(r bot.Raw, now time.Time) ([]byte, error) {
	if r.Socket {
		if a.conf.Mode != ModeStream {
			return nil, bot.ErrUnverified
		}
		return r.Body, nil
	}
	from, ok := sourceOf(r)
	if !ok || a.conf.Mode != ModeHTTP || r.Method != http.MethodPost {
		return nil, bot.ErrUnverified
	}
	switch from {
	case fromEvent:
		return a.verifyEvent(r, now)
	case fromCard:
		if a.conf.CardSecret == "" || !signed(r.Header, cardStamp, cardSign, signedAge, now, func(stamp string) string { return cardSignature(a.conf.CardSecret, stamp) }) {
			return nil, bot.ErrUnverified
		}
	case fromRobot:
		if a.conf.ClientSecret == "" || !signed(r.Header, robotStamp, robotSign, robotAge, now, func(stamp string) string { return robotSignature(a.conf.ClientSecret, stamp) }) {
			return nil, bot.ErrUnverified
		}
	}
	return r.Body, nil
}

// robotSignature signs a robot message.
// https://open.dingtalk.com/document/dingstart/robot-receive-message
func robotSignature(secret, stamp string) string { return mac(secret, stamp+"\n"+secret) }

// cardSignature signs a press on a card.
// https://open.dingtalk.com/document/development/event-callback-card
func cardSignature(secret, stamp string) string { return mac(secret, stamp) }

func mac(secret, message string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(message))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// signed checks a time and its signature. Signatures are compared as text: of
// several spellings of the same bytes in base64 only one is DingTalk's.
func signed(h http.Header, stampName, signName string, age time.Duration, now time.Time, sign func(stamp string) string) bool {
	stamp, ok := single(h, stampName)
	if !ok || !fresh(stamp, age, now) {
		return false
	}
	got, ok := single(h, signName)
	return ok && hmac.Equal([]byte(got), []byte(sign(stamp)))
}

// fresh reports whether a stamp in milliseconds lies near our clock.
func fresh(stamp string, age time.Duration, now time.Time) bool {
	if len(stamp) != 13 || stamp[0] == '0' || !digits(stamp) {
		return false
	}
	ms, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return false
	}
	off := now.Sub(time.UnixMilli(ms))
	return off <= age && off >= -age
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// single returns the value of a header that was sent exactly once. Header maps
// made by net/http have canonical keys; any other spelling counts as well, so
// that nobody can hide a second value behind it.
func single(h http.Header, name string) (string, bool) {
	values := h[name]
	if len(values) != 1 {
		return "", false
	}
	for key, more := range h {
		if key != name && len(key) == len(name) && len(more) > 0 && http.CanonicalHeaderKey(key) == name {
			return "", false
		}
	}
	return values[0], true
}

// verifyEvent checks and decrypts an event.
// https://open.dingtalk.com/document/development/develop-http-mode-push-server
func (a *Adapter) verifyEvent(r bot.Raw, now time.Time) ([]byte, error) {
	if a.key == nil || a.conf.EventToken == "" {
		return nil, bot.ErrUnverified
	}
	one := func(name string) string {
		if v := r.Query[name]; len(v) == 1 {
			return v[0]
		}
		return ""
	}
	got, stamp, nonce := one("msg_signature"), one("timestamp"), one("nonce")
	// What is signed is sorted and joined without signs between, so each part
	// must have a form of its own.
	if len(got) != 2*sha1.Size || !fresh(stamp, signedAge, now) || !plainWord(nonce) {
		return nil, bot.ErrUnverified
	}
	if len(r.Body) == 0 || r.Body[0] != '{' || r.Body[len(r.Body)-1] != '}' {
		return nil, bot.ErrUnverified
	}
	doc, err := parseJSON(string(r.Body))
	if err != nil || doc.node().count != 1 {
		return nil, bot.ErrUnverified
	}
	sealed := doc.at("encrypt").str()
	if sealed == "" || !hmac.Equal([]byte(got), []byte(eventSignature(a.conf.EventToken, stamp, nonce, sealed))) {
		return nil, bot.ErrUnverified
	}
	plain, err := open(a.key, a.conf.ClientID, sealed)
	if err != nil {
		return nil, bot.ErrUnverified
	}
	return plain, nil
}

func plainWord(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

func eventSignature(token, stamp, nonce, sealed string) string {
	parts := []string{token, stamp, nonce, sealed}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, ""))) //nolint:gosec // DingTalk signs with it
	return hex.EncodeToString(sum[:])
}

// padding is what messages are filled up to, in bytes.
const padding = 32

var errSealed = errors.New("not sealed for us")

// open decrypts an event: 16 random bytes, the message's length, the message,
// and for whom it is, which must be us.
func open(key []byte, owner, sealed string) ([]byte, error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, errSealed
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(sealed)
	if err != nil || len(plain) == 0 || len(plain)%aes.BlockSize != 0 {
		return nil, errSealed
	}
	cipher.NewCBCDecrypter(c, key[:aes.BlockSize]).CryptBlocks(plain, plain)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > padding || len(plain) < 20+pad {
		return nil, errSealed
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, errSealed
		}
	}
	plain = plain[16 : len(plain)-pad]
	n := binary.BigEndian.Uint32(plain)
	plain = plain[4:]
	if uint64(n) > uint64(len(plain)) || !hmac.Equal(plain[n:], []byte(owner)) {
		return nil, errSealed
	}
	return plain[:n:n], nil
}

// seal encrypts the answer to an event.
func seal(key []byte, owner string, random [16]byte, message []byte) (string, error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	plain := slices.Concat(random[:], binary.BigEndian.AppendUint32(nil, uint32(len(message))), message, []byte(owner)) //nolint:gosec // "success"
	pad := padding - len(plain)%padding
	plain = append(plain, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(c, key[:aes.BlockSize]).CryptBlocks(plain, plain)
	return base64.StdEncoding.EncodeToString(plain), nil
}

// success is what DingTalk wants to hear about an event: the word, encrypted
// and signed as the event was.
func (a *Adapter) success(stamp, nonce string, random [16]byte) (map[string]string, error) {
	sealed, err := seal(a.key, a.conf.ClientID, random, []byte("success"))
	if err != nil {
		return nil, err
	}
	return map[string]string{"msg_signature": eventSignature(a.conf.EventToken, stamp, nonce, sealed), "timeStamp": stamp, "nonce": nonce, "encrypt": sealed}, nil
}

func random16() (r [16]byte) {
	_, _ = rand.Read(r[:]) // never fails: see crypto/rand
	return r
}
