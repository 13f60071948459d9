package feishu

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/paidan/paidan/bot"
)

// The windows that a request's time must lie in, either way.
//
// Feishu sends an event again after 15 s, 5 min, 1 h and 6 h
// (https://open.feishu.cn/document/server-docs/event-subscription-guide/overview),
// and nothing is published on whether a repetition is signed anew or carries the
// time of the first attempt. With five minutes for everything, an outage of ours
// could lose what was said meanwhile. So what the program remembers by its id for
// far longer is taken for eight hours: whoever captured such a request and
// sends it again only repeats a name that has been used. Everything else is held
// to maxAge: presses, which Feishu never repeats, and news about members and
// profiles, which an old request could turn back.
const (
	maxAge      = 5 * time.Minute
	maxEventAge = 8 * time.Hour
)

// lasting are the kinds of events that are known again by their ids, however
// often and late they come.
var lasting = map[string]bool{
	"im.message.receive_v1": true, "im.message.recalled_v1": true, "im.message.reaction.created_v1": true,
	"im.message.reaction.deleted_v1": true, "application.bot.menu_v6": true,
}

// The headers of a request.
// https://open.feishu.cn/document/server-docs/event-subscription-guide/event-subscription-configure-/encrypt-key-encryption-configuration-case
const (
	timestampHeader = "X-Lark-Request-Timestamp"
	nonceHeader     = "X-Lark-Request-Nonce"
	signatureHeader = "X-Lark-Signature"
)

// The signed text is time, nonce, key and body without anything between them:
// only their exact forms keep a character from moving from one to the next.
var (
	timestampForm = regexp.MustCompile(`^[1-9]\d{9}$`)
	nonceForm     = regexp.MustCompile(`^[\w-]{1,64}$`)
)

// Verify checks the signature over the raw bytes, decrypts them, and sees that
// they are meant for this app. A frame from our own authenticated connection is
// neither signed nor encrypted. Cheap checks come first, and no error says which
// of them failed.
func (a *Adapter) Verify(r bot.Raw, now time.Time) ([]byte, error) {
	if r.Socket {
		if a.conf.Mode != ModeStream {
			return nil, bot.ErrUnverified
		}
		doc, err := parseJSON(r.Body)
		if err != nil || !a.ours(doc, true) {
			return nil, bot.ErrUnverified
		}
		return r.Body, nil
	}
	age, ok := a.signed(r, now)
	if !ok {
		return nil, bot.ErrUnverified
	}
	// Once there is a key nothing comes in plain: that would be the way around it.
	outer, err := parseJSON(r.Body)
	if err != nil || len(outer.object()) != 1 {
		return nil, bot.ErrUnverified
	}
	plain, ok := decrypt(a.block, outer.at("encrypt").str())
	if !ok {
		return nil, bot.ErrUnverified
	}
	doc, err := parseJSON(plain)
	if err != nil || !a.ours(doc, false) {
		return nil, bot.ErrUnverified
	}
	if age > maxAge && !lasting[doc.at("header", "event_type").str()] {
		return nil, bot.ErrUnverified
	}
	return plain, nil
}

// signed checks the headers and the signature, and tells how far the request's
// time is from ours.
func (a *Adapter) signed(r bot.Raw, now time.Time) (time.Duration, bool) {
	if a.block == nil || a.conf.EncryptKey == "" || a.conf.VerificationToken == "" {
		return 0, false
	}
	stamp, ok := single(r.Header, timestampHeader)
	if !ok || !timestampForm.MatchString(stamp) {
		return 0, false
	}
	nonce, ok := single(r.Header, nonceHeader)
	if !ok || !nonceForm.MatchString(nonce) {
		return 0, false
	}
	got, ok := single(r.Header, signatureHeader)
	if !ok || len(got) != 2*sha256.Size || !lowerHex(got) {
		return 0, false
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return 0, false
	}
	// The stamps are whole seconds: compare seconds, so that the edge itself passes.
	age := time.Duration(now.Unix()-seconds) * time.Second
	if age = max(age, -age); age > maxEventAge || age < 0 {
		return 0, false
	}
	h := sha256.New()
	for _, part := range []string{stamp, nonce, a.conf.EncryptKey} {
		h.Write([]byte(part))
	}
	h.Write(r.Body)
	var want [2 * sha256.Size]byte
	hex.Encode(want[:], h.Sum(nil))
	return age, subtle.ConstantTimeCompare(want[:], []byte(got)) == 1
}

// ours reports whether a body is meant for this app. Over the long connection,
// which is our own, Feishu may leave the token out.
func (a *Adapter) ours(doc value, socket bool) bool {
	if doc.at("type").str() == "url_verification" {
		return !socket && a.token(doc.at("token").str())
	}
	head := doc.at("header")
	if head.at("app_id").str() != a.conf.AppID {
		return false
	}
	if token := head.at("token").str(); !(socket && (token == "" || a.conf.VerificationToken == "")) && !a.token(token) {
		return false
	}
	tenant := head.at("tenant_key").str()
	if tenant == "" {
		return false
	}
	// A self-built app belongs to one company: the first one that shows itself
	// authentic is the one.
	if a.tenant.CompareAndSwap(nil, &tenant) {
		return true
	}
	return *a.tenant.Load() == tenant
}

func (a *Adapter) token(got string) bool {
	return a.conf.VerificationToken != "" && subtle.ConstantTimeCompare([]byte(got), []byte(a.conf.VerificationToken)) == 1
}

// decrypt undoes base64(IV ‖ AES-256-CBC(PKCS#7(plain))). The signature has been
// checked before, so that telling one failure from another teaches nobody.
func decrypt(block cipher.Block, text string) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 2*aes.BlockSize || len(b)%aes.BlockSize != 0 {
		return nil, false
	}
	iv, plain := b[:aes.BlockSize], b[aes.BlockSize:]
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, plain)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, false
	}
	for _, c := range plain[len(plain)-pad:] {
		if int(c) != pad {
			return nil, false
		}
	}
	return plain[:len(plain)-pad], true
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

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}
