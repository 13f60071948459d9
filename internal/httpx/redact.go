package httpx

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

const hidden = "[redacted]"

// Redact returns err with a text that shows no secret: none of those given, as
// they are or escaped, and of an address no more than scheme and host, for
// tokens stand in paths, queries and user names alike. errors.Is and errors.As
// still see what it wraps, so whoever unwraps it prints at his own risk.
func Redact(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	var ue *url.Error
	for e := err; errors.As(e, &ue); e = ue.Err {
		// http.Client writes the address as it is or quoted, depending on the error.
		if safe := RedactURL(ue.URL); ue.URL != "" {
			text = strings.ReplaceAll(text, ue.URL, safe)
			text = strings.ReplaceAll(text, strings.Trim(strconv.Quote(ue.URL), `"`), safe)
		}
	}
	text = redactURLs(text)
	for _, s := range secrets {
		if s == "" {
			continue
		}
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), strings.Trim(strconv.Quote(s), `"`)} {
			text = strings.ReplaceAll(text, form, hidden)
		}
	}
	return &redactedError{text: text, err: err}
}

type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }

// Unwrap returns the error with its secrets.
func (e *redactedError) Unwrap() error { return e.err }

// GoString keeps %#v from walking into the wrapped error.
func (e *redactedError) GoString() string { return strconv.Quote(e.text) }

// RedactURL returns scheme and host of an address, and a mark where there was more.
func RedactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return hidden
	}
	if u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == "" {
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + "://" + u.Host + "/" + hidden
}

// redactURLs does RedactURL for each address inside a text.
func redactURLs(text string) string {
	var b strings.Builder
	for {
		i := strings.Index(text, "://")
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		start := i
		for start > 0 && isSchemeByte(text[start-1]) {
			start--
		}
		end := i + 3
		for end < len(text) && !strings.ContainsRune(" \t\r\n\"'<>`", rune(text[end])) {
			end++
		}
		raw := text[start:end]
		tail := raw[len(strings.TrimRight(raw, ":,;.)")):]
		raw = strings.TrimSuffix(raw, tail)
		b.WriteString(text[:start])
		if strings.HasSuffix(raw, "/"+hidden) {
			b.WriteString(raw)
		} else {
			b.WriteString(RedactURL(raw))
		}
		b.WriteString(tail)
		text = text[end:]
	}
}

func isSchemeByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'
}
