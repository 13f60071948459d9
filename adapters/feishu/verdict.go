package feishu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"

	"github.com/paidan/paidan/bot"
)

// unsentError is an error before any of the request had left: Feishu knows
// nothing of it. After any other one Feishu may have acted.
type unsentError struct{ err error }

func (e unsentError) Error() string { return e.err.Error() }
func (e unsentError) Unwrap() error { return e.err }

// doubtError is an error after which nobody can tell whether it was done.
type doubtError struct{ err error }

func (e doubtError) Error() string { return e.err.Error() }
func (e doubtError) Unwrap() error { return e.err }

// maxResponse is the most that is read of an answer of the API.
const maxResponse = 8 << 20

// doer is the HTTP client that the SDK is given. It knows what the SDK forgets:
// whether a request left before it failed. Its errors have no address, and
// nothing in them makes the SDK try a second time by itself.
type doer struct{ client *http.Client }

// Do sends a request.
func (d doer) Do(req *http.Request) (*http.Response, error) {
	var left atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { left.Store(true) }}
	resp, err := d.client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		if !left.Load() {
			return nil, unsentError{err}
		}
		return nil, err
	}
	resp.Body = capped{io.LimitReader(resp.Body, maxResponse), resp.Body}
	return resp, nil
}

type capped struct {
	io.Reader
	io.Closer
}

// silence is the SDK's logger: what it would say has whole requests in it.
type silence struct{}

// Debug implements larkcore.Logger.
func (silence) Debug(context.Context, ...interface{}) {}

// Info implements larkcore.Logger.
func (silence) Info(context.Context, ...interface{}) {}

// Warn implements larkcore.Logger.
func (silence) Warn(context.Context, ...interface{}) {}

// Error implements larkcore.Logger.
func (silence) Error(context.Context, ...interface{}) {}

// plainJSON writes JSON without the escapes that are meant for web pages: a
// request may have 30 KB, and they make six bytes of a "<".
type plainJSON struct{}

// Serialize implements larkcore.Serializable.
func (plainJSON) Serialize(v interface{}) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Deserialize implements larkcore.Serializable.
func (plainJSON) Deserialize(data []byte, v interface{}) error { return json.Unmarshal(data, v) }

const (
	defaultRetry = 10 * time.Second // Feishu named no time
	mostRetry    = time.Hour
	chatRetry    = time.Second // the limit of one chat counts seconds
)

// resetHeader says in how many seconds a limit of the whole app ends.
// https://open.feishu.cn/document/server-docs/api-call-guide/frequency-control
const resetHeader = "X-Ogw-Ratelimit-Reset"

// retryAfter reads whole seconds.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) && n == math.MaxInt64:
		return mostRetry
	case err != nil || n < 0:
		return defaultRetry
	case n == 0:
		return time.Second
	case n > int64(mostRetry/time.Second):
		return mostRetry
	}
	return time.Duration(n) * time.Second
}

// The codes that have a meaning of their own.
const (
	codeLimited   = 99991400 // too many calls of the app
	codeChatLimit = 230020   // too many messages in one chat, or changes of one message
	codeNoThread  = 230071   // this chat has no topics
	codeRecalled  = 230011
	codeDeleted   = 230110
)

// stale are the refusals of a token: it ran out, or was called back.
var stale = map[int]bool{99991661: true, 99991663: true, 99991664: true, 99991671: true}

// codes is what Feishu's refusals mean for us; what is not here is tried again.
// https://open.feishu.cn/document/server-docs/api-call-guide/generic-error-code
// and the tables of the single methods.
var codes = map[int]error{
	230002:       bot.ErrGone, // the bot is not in the chat
	codeRecalled: bot.ErrGone,
	230012:       bot.ErrGone, // not our message
	230013:       bot.ErrGone, // the person may not use the bot
	230017:       bot.ErrGone, // not allowed to this sender
	230018:       bot.ErrGone, // the group does not let the bot speak
	230019:       bot.ErrGone, // the topic is not there
	230026:       bot.ErrGone, // not ours to recall
	230031:       bot.ErrGone, // older than 14 days
	230050:       bot.ErrGone, // the message cannot be seen by the bot
	codeDeleted:  bot.ErrGone,
	231003:       bot.ErrGone, // the message is not there
	232006:       bot.ErrGone, // no such chat
	232009:       bot.ErrGone, // the chat is dissolved
	232010:       bot.ErrGone, // of another company
	232011:       bot.ErrGone, // the bot is not in the chat
	200310:       bot.ErrGone, // not our card
	234003:       bot.ErrGone, // the file is not in the message
	234004:       bot.ErrGone, // the app is not in the file's chat
	234009:       bot.ErrGone, // of another company
	41012:        bot.ErrGone, // no such user
	41050:        bot.ErrGone, // a user whom the app may not see
	40004:        bot.ErrGone, // a department or group whom the app may not see

	99991661: bot.ErrUnauthorized, 99991663: bot.ErrUnauthorized, 99991664: bot.ErrUnauthorized, 99991665: bot.ErrUnauthorized,
	99991671: bot.ErrUnauthorized, 99991672: bot.ErrUnauthorized, 99991662: bot.ErrUnauthorized, 99991673: bot.ErrUnauthorized,
	99991543: bot.ErrUnauthorized, 10003: bot.ErrUnauthorized, 10005: bot.ErrUnauthorized, 10012: bot.ErrUnauthorized,
	10013: bot.ErrUnauthorized, 10014: bot.ErrUnauthorized, 10015: bot.ErrUnauthorized,
	230006: bot.ErrUnauthorized, // the bot capability is off

	230099: bot.ErrRejected, // the card is wrong
	230025: bot.ErrRejected, // too long
	230001: bot.ErrRejected, // a parameter
	230022: bot.ErrRejected, // sensitive words
	230027: bot.ErrRejected, // not permitted in this place, whatever the app's scopes are
	230028: bot.ErrRejected, // held back by the company's data loss prevention
	230054: bot.ErrRejected, // not possible with this type of message
	230055: bot.ErrRejected, // the type of the file
	230072: bot.ErrRejected, // edited too often
	231001: bot.ErrRejected, // no such emoji
	234001: bot.ErrRejected, 234006: bot.ErrRejected, 234010: bot.ErrRejected, 234011: bot.ErrRejected, 234037: bot.ErrRejected,
	200621: bot.ErrRejected, 200861: bot.ErrRejected, 11310: bot.ErrRejected, 100290: bot.ErrRejected,
	300301: bot.ErrRejected, 300305: bot.ErrRejected, 300317: bot.ErrRejected, 200810: bot.ErrRejected,
	9499: bot.ErrRejected, 99992402: bot.ErrRejected,
}

// refusalError is a no of Feishu's own, with its code.
type refusalError struct {
	method string
	code   int
	msg    string
	means  error // a verdict, or nil
}

func (e refusalError) Error() string {
	s := fmt.Sprintf("%s: code %d", e.method, e.code)
	if e.msg != "" {
		s += ": " + e.msg
	}
	if e.means != nil {
		s += ": " + e.means.Error()
	}
	return s
}

// Unwrap makes errors.Is see the verdict.
func (e refusalError) Unwrap() error { return e.means }

// codeOf is the code of a refusal; 0 for any other error.
func codeOf(err error) int {
	var r refusalError
	if errors.As(err, &r) {
		return r.code
	}
	return 0
}

// answered reads the answer to a call into out and says what went wrong. The
// words of a refusal are kept only where they tell how a request was built.
func answered(method string, resp *larkcore.ApiResp, err error, out any) error {
	if err != nil {
		return failed(method, err)
	}
	var head struct {
		Code *int   `json:"code"`
		Msg  string `json:"msg"`
	}
	readable := strings.Contains(resp.Header.Get("Content-Type"), "json") && json.Unmarshal(resp.RawBody, &head) == nil && head.Code != nil
	switch {
	case resp.StatusCode == http.StatusTooManyRequests, readable && *head.Code == codeLimited:
		return fmt.Errorf("%s: %w", method, bot.RateLimited{After: retryAfter(resp.Header.Get(resetHeader)), All: true})
	case readable && *head.Code == codeChatLimit:
		return fmt.Errorf("%s: %w", method, bot.RateLimited{After: chatRetry})
	case !readable && resp.StatusCode/100 == 3:
		return fmt.Errorf("%s: status %d: %w", method, resp.StatusCode, bot.ErrRejected)
	case !readable && resp.StatusCode/100 == 4:
		return fmt.Errorf("%s: status %d", method, resp.StatusCode)
	case !readable:
		return doubtError{fmt.Errorf("%s: status %d without a readable answer", method, resp.StatusCode)}
	case *head.Code != 0:
		r := refusalError{method: method, code: *head.Code, means: codes[*head.Code]}
		if r.means == bot.ErrRejected || r.means == bot.ErrUnauthorized {
			r.msg = cut(oneLine(clean(head.Msg)), 300)
		}
		if r.means == nil && resp.StatusCode >= 500 {
			return doubtError{r}
		}
		return r
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(resp.RawBody, out); err != nil {
		return doubtError{fmt.Errorf("%s: unreadable answer", method)}
	}
	return nil
}

// failed says why there is no answer. Errors may quote an address or an answer:
// only their kind is told.
func failed(method string, err error) error {
	var unsent unsentError
	sent := !errors.As(err, &unsent)
	says := "no readable answer"
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		err = context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		err = context.DeadlineExceeded
	case errors.As(err, &timeout) && timeout.Timeout():
		says, err = "timeout", nil
	case !sent:
		says, err = "no connection", nil
	default:
		err = nil
	}
	out := fmt.Errorf("%s: %s", method, says)
	if err != nil {
		out = fmt.Errorf("%s: %w", method, err)
	}
	if sent {
		return doubtError{out}
	}
	return out
}

// sent is the verdict on a call that makes something new: when Feishu may have
// done it although we did not hear so, the outcome is unknown.
func sent(err error) error {
	var doubt doubtError
	if errors.As(err, &doubt) {
		return fmt.Errorf("%w: %w", err, bot.ErrUnknown)
	}
	return err
}

// encode writes JSON without the escapes that are meant for web pages.
func encode(v any) []byte {
	b, err := plainJSON{}.Serialize(v)
	if err != nil { // what we encode is made of text
		panic(err)
	}
	return b
}
