package playground

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/bot"
)

// Headers of a signed event.
const (
	headerTime      = "X-Playground-Timestamp"
	headerSignature = "X-Playground-Signature"
)

// window is how far an event's time may be from ours.
const window = 5 * time.Minute

// Sign makes the headers that prove body to be an event of this install at t.
func Sign(install string, secret, body []byte, t time.Time) http.Header {
	ts := strconv.FormatInt(t.Unix(), 10)
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set(headerTime, ts)
	h.Set(headerSignature, "v1="+hex.EncodeToString(mac(install, secret, ts, body)))
	return h
}

// mac covers the raw bytes, the time, the install and what the secret is used for.
func mac(install string, secret []byte, ts string, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("v1:playground:event:" + install + ":" + ts + ":"))
	m.Write(body)
	return m.Sum(nil)
}

// Verify checks the signature over the raw bytes and the time. An event that
// waited is signed anew whenever it is delivered.
func (a *Adapter) Verify(r bot.Raw, now time.Time) ([]byte, error) {
	if r.Method != http.MethodPost || len(a.cfg.Secret) == 0 {
		return nil, bot.ErrUnverified
	}
	ts, sigs := r.Header[headerTime], r.Header[headerSignature]
	if len(ts) != 1 || len(sigs) != 1 || len(ts[0]) > 12 {
		return nil, bot.ErrUnverified
	}
	sec, err := strconv.ParseInt(ts[0], 10, 64)
	if err != nil || strconv.FormatInt(sec, 10) != ts[0] {
		return nil, bot.ErrUnverified
	}
	if age := now.Unix() - sec; age > int64(window/time.Second) || age < -int64(window/time.Second) {
		return nil, bot.ErrUnverified
	}
	digits, ok := strings.CutPrefix(sigs[0], "v1=")
	if !ok || digits != strings.ToLower(digits) {
		return nil, bot.ErrUnverified
	}
	got, err := hex.DecodeString(digits)
	if err != nil || !hmac.Equal(got, mac(a.cfg.Name, a.cfg.Secret, ts[0], r.Body)) {
		return nil, bot.ErrUnverified
	}
	return r.Body, nil
}
