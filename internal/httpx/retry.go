package httpx

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter is the longest wait that is believed: more is a mistake or an
// attack, and a ticket desk that falls silent for a day helps nobody.
const maxRetryAfter = time.Hour

// RetryAfter reads how long an answer asks to wait, from seconds (RFC 9110
// 10.2.3; fractions are seen in the wild) or from a date. It is between 0 and
// one hour; false means: there is no readable Retry-After.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		if s != s { // NaN
			return 0, false
		}
		return time.Duration(min(max(s, 0), maxRetryAfter.Seconds()) * float64(time.Second)), true
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(now), 0), maxRetryAfter), true
	}
	return 0, false
}
