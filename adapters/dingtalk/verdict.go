package dingtalk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/paidan/paidan/bot"
)

// apiError is DingTalk's own refusal. What counts is the code: the same one
// comes with several statuses, and the old API says 200 to everything.
// https://open.dingtalk.com/document/development/server-api-error-codes-1
type apiError struct {
	status int
	code   string // of the old API a number, or the sub_code of its 88
	says   string
}

func (e apiError) Error() string {
	s := e.code
	if e.says != "" {
		s += " (" + e.says + ")"
	}
	return s
}

// statusError is an answer that nobody at DingTalk's API wrote.
type statusError struct{ status int }

func (e statusError) Error() string {
	return fmt.Sprintf("status %d without a readable answer", e.status)
}

// unsentError is an error before any of the request had left: DingTalk knows
// nothing of it. After any other one it may have acted.
type unsentError struct{ err error }

func (e unsentError) Error() string { return e.err.Error() }
func (e unsentError) Unwrap() error { return e.err }

// do sends a request and returns the beginning of its answer. Addresses can be
// secrets, so its errors have none.
func (a *Adapter) do(req *http.Request) (status int, body []byte, err error) {
	var left atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { left.Store(true) }}
	resp, err := a.http.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		if !left.Load() {
			return 0, nil, unsentError{err}
		}
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, body, err
}

// maxAnswer is the most that is read of an answer of the API.
const maxAnswer = 1 << 20

// codes is what DingTalk's errors mean for us; what is not here is tried again.
// Those of the old API are numbers.
var codes = map[string]error{
	"InvalidAuthentication": bot.ErrUnauthorized, "AuthenticationFailed.MissingParameter": bot.ErrUnauthorized, "invalidClientIdOrSecret": bot.ErrUnauthorized,
	"apiPermissionDenied": bot.ErrUnauthorized, "authFailed": bot.ErrUnauthorized,
	"Forbidden.AccessDenied.AccessTokenPermissionDenied": bot.ErrUnauthorized, "Forbidden.AccessDenied.IpNotInWhiteList": bot.ErrUnauthorized,
	"40014": bot.ErrUnauthorized, "42001": bot.ErrUnauthorized, "40000": bot.ErrUnauthorized, "40001": bot.ErrUnauthorized, "40035": bot.ErrUnauthorized,
	"40096": bot.ErrUnauthorized, "60011": bot.ErrUnauthorized, "60020": bot.ErrUnauthorized,

	"param.cardNotExist": bot.ErrGone, "invalid.openConversationId": bot.ErrGone, "group.disbanded": bot.ErrGone, "bot.stopped": bot.ErrGone,
	"send.forbidden": bot.ErrGone, "session.expired": bot.ErrGone, "robot.not.in.group": bot.ErrGone, "invalid.processQueryKey": bot.ErrGone,
	"33012": bot.ErrGone, "60121": bot.ErrGone, "50002": bot.ErrGone, "300005": bot.ErrGone, "param.userIdNotExist": bot.ErrGone,
	"invalidParameter.robotCode.downloadCode": bot.ErrGone,

	"param.templateNotExist": bot.ErrUnauthorized, // the configuration is wrong, for everything
	"400002":                 bot.ErrRejected, "22": bot.ErrRejected, "43002": bot.ErrRejected, "310000": bot.ErrRejected, "miss.openConversationId": bot.ErrRejected,
	"400101": bot.ErrRejected, "400102": bot.ErrRejected, "400105": bot.ErrRejected, "400106": bot.ErrRejected, "430101": bot.ErrRejected, "430102": bot.ErrRejected,
	"430103": bot.ErrRejected, "430104": bot.ErrRejected, "InvalidAction.NotFound": bot.ErrRejected, "UnsupportedMediaType": bot.ErrRejected,
	"invalid.chatbotId": bot.ErrUnauthorized, "miss.staffId": bot.ErrRejected, "ding.receivercount.limit": bot.ErrRejected,
}

// noRobot is what DingTalk says when the robot is not in a group, and also when
// its code is wrong (sic).
const noRobot = "invalidParameter.robotCode.notExsit"

// limits are refusals because of too many calls, and how long to wait.
// https://open.dingtalk.com/document/development/how-to-process-api-throttling-on-the-dingtalk-server
var limits = map[string]bot.RateLimited{
	"Forbidden.AccessDenied.QpsLimitForAppkeyAndApi": {After: time.Second, All: true}, "90018": {After: time.Second, All: true},
	"Forbidden.AccessDenied.QpsLimitForApi": {After: 5 * time.Second, All: true}, "90002": {After: 5 * time.Second, All: true},
	"send.too.fast": {After: 10 * time.Second}, "660026": {After: time.Minute}, "410100": {After: 10 * time.Minute},
	codeBanned: {After: 5 * time.Minute, All: true},
	codeQuota:  {After: time.Hour, All: true}, "90020": {After: time.Hour, All: true},
}

const (
	codeQuota  = "Forbidden.AccessDenied.ApiCountLimitForOrg"
	codeBanned = "1111" // of the firewall: this address called too often
)

// codeOf is the code that DingTalk named, "" for any other error.
func codeOf(err error) string {
	var e apiError
	if errors.As(err, &e) {
		return e.code
	}
	return ""
}

// throttled reports whether a call was refused before it was looked at.
func throttled(code string) bool { _, ok := limits[code]; return ok }

// expired reports whether the access token is not taken any more.
func expired(code string) bool {
	return code == "InvalidAuthentication" || code == "40014" || code == "42001"
}

// meaning is the verdict on a code; nil = try again.
func meaning(code string) error {
	if v := codes[code]; v != nil {
		return v
	}
	switch {
	case strings.HasPrefix(code, "Forbidden.AccessDenied."):
		return bot.ErrUnauthorized
	case strings.HasPrefix(code, "invalidParameter."), strings.HasPrefix(code, "param."):
		return bot.ErrRejected
	}
	return nil
}

// verdict says what an error of a call that may be repeated means.
func verdict(method string, err error) error {
	if err == nil {
		return nil
	}
	var wrong apiError
	var status statusError
	switch {
	case errors.As(err, &wrong):
		if l, ok := limits[wrong.code]; ok {
			return fmt.Errorf("%s: %s: %w", method, wrong.code, l)
		}
		if v := meaning(wrong.code); v != nil {
			return fmt.Errorf("%s: %w: %w", method, wrong, v)
		}
		return fmt.Errorf("%s: %w", method, wrong)
	case errors.As(err, &status):
		return fmt.Errorf("%s: %w", method, status)
	case isVerdict(err):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", method, err)
	}
	// Other errors may quote an address or an answer: only their kind is told.
	return fmt.Errorf("%s: %s", method, kindOfError(err))
}

// isVerdict reports whether an error says already what it means, with its call.
func isVerdict(err error) bool {
	var limited bot.RateLimited
	if errors.As(err, &limited) {
		return true
	}
	for _, v := range []error{bot.ErrGone, bot.ErrUnauthorized, bot.ErrRejected, bot.ErrFixed, bot.ErrUnknown} {
		if errors.Is(err, v) {
			return true
		}
	}
	return false
}

func kindOfError(err error) string {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	var unsent unsentError
	if errors.As(err, &unsent) {
		return "no connection"
	}
	return "no readable answer"
}

// sendVerdict is verdict for a call that makes something new each time: when
// DingTalk may have done it although we did not hear so, the outcome is unknown.
func sendVerdict(method string, err error) error {
	v := verdict(method, err)
	if v == nil || isVerdict(v) {
		return v
	}
	var unsent unsentError
	var wrong apiError
	var status statusError
	switch {
	case errors.As(err, &unsent):
		return v
	case errors.As(err, &wrong) && wrong.status < 500:
		return v
	case errors.As(err, &status) && status.status >= 300 && status.status < 500:
		return v
	}
	return fmt.Errorf("%w: %w", v, bot.ErrUnknown)
}
