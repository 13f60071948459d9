package slack

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"github.com/paidan/paidan/bot"
)

// maxAge is how far a request's time may lie from our clock, either way. A
// captured request is worthless after it; the window is never made wider.
const maxAge = 5 * time.Minute

// Slack's headers. https://docs.slack.dev/authentication/verifying-requests-from-slack
const (
	timestampHeader = "X-Slack-Request-Timestamp"
	signatureHeader = "X-Slack-Signature"
)

// Verify checks the signature over the raw bytes of the body. A frame from our
// own authenticated connection needs none. Cheap checks come first, and no
// error says which of them failed.
func (a *Adapter) Verify(r bot.Raw, now time.Time) ([]byte, error) {
	if r.Socket {
		if a.conf.AppToken == "" {
			return nil, bot.ErrUnverified
		}
		return r.Body, nil
	}
	if a.conf.SigningSecret == "" {
		return nil, bot.ErrUnverified
	}
	stamp, ok := single(r.Header, timestampHeader)
	if !ok || !digits(stamp, 10, 10) || stamp[0] == '0' {
		return nil, bot.ErrUnverified
	}
	got, ok := single(r.Header, signatureHeader)
	if !ok || len(got) != len("v0=")+2*sha256.Size || got[:3] != "v0=" || !lowerHex(got[3:]) {
		return nil, bot.ErrUnverified
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return nil, bot.ErrUnverified
	}
	// Slack's stamps are whole seconds: compare seconds, so that exactly five minutes still pass.
	if age := now.Unix() - seconds; age > int64(maxAge/time.Second) || age < -int64(maxAge/time.Second) {
		return nil, bot.ErrUnverified
	}
	mac := hmac.New(sha256.New, []byte(a.conf.SigningSecret))
	mac.Write([]byte("v0:" + stamp + ":"))
	mac.Write(r.Body)
	var want [sha256.Size]byte
	var sent [sha256.Size]byte
	if _, err := hex.Decode(sent[:], []byte(got[3:])); err != nil {
		return nil, bot.ErrUnverified
	}
	if !hmac.Equal(mac.Sum(want[:0]), sent[:]) {
		return nil, bot.ErrUnverified
	}
	return r.Body, nil
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
