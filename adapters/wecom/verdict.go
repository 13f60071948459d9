package wecom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/silenceper/wechat/v2/util"

	"github.com/paidan/paidan/bot"
)

// perMinute is how long to wait after errcode 45009: WeCom counts calls by the minute.
const perMinute = time.Minute

// codes is what WeCom's errors mean for us; what is not here is tried again.
// https://developer.work.weixin.qq.com/document/path/90313
var codes = map[int64]error{
	// who or what is meant is not there, or not for us to see
	40003: bot.ErrGone, 40031: bot.ErrGone, 46004: bot.ErrGone, 50002: bot.ErrGone, 60011: bot.ErrGone, 60021: bot.ErrGone, 60111: bot.ErrGone, 81013: bot.ErrGone, 82001: bot.ErrGone,
	84061: bot.ErrGone, 93006: bot.ErrGone, 93008: bot.ErrGone, 95000: bot.ErrGone, 95004: bot.ErrGone, 40007: bot.ErrGone,

	// credentials, permissions, the list of trusted addresses
	40001: bot.ErrUnauthorized, 40013: bot.ErrUnauthorized, 40056: bot.ErrUnauthorized, 40091: bot.ErrUnauthorized, 41002: bot.ErrUnauthorized, 41004: bot.ErrUnauthorized, 45031: bot.ErrUnauthorized,
	48001: bot.ErrUnauthorized, 48002: bot.ErrUnauthorized, 48004: bot.ErrUnauthorized, 48006: bot.ErrUnauthorized, 48007: bot.ErrUnauthorized, 43012: bot.ErrUnauthorized, 50003: bot.ErrUnauthorized,
	60020: bot.ErrUnauthorized, 301002: bot.ErrUnauthorized, 95012: bot.ErrUnauthorized, 95017: bot.ErrUnauthorized, 93000: bot.ErrUnauthorized,

	// what was sent will never be taken
	40004: bot.ErrRejected, 40005: bot.ErrRejected, 40006: bot.ErrRejected, 40008: bot.ErrRejected, 40033: bot.ErrRejected, 40035: bot.ErrRejected, 40058: bot.ErrRejected, 40063: bot.ErrRejected,
	42014: bot.ErrRejected, 42017: bot.ErrRejected, 42018: bot.ErrRejected, 42019: bot.ErrRejected, 42020: bot.ErrRejected, 44001: bot.ErrRejected, 44004: bot.ErrRejected,
	45001: bot.ErrRejected, 45002: bot.ErrRejected, 45003: bot.ErrRejected, 45007: bot.ErrRejected, 45008: bot.ErrRejected, 95008: bot.ErrRejected, 95009: bot.ErrRejected,

	// the customer must write first
	95001: bot.ErrMustSpeak, 95002: bot.ErrMustSpeak,
}

// apiError is an errcode that WeCom answered with.
type apiError struct {
	Path    string
	Code    int64
	Msg     string // as WeCom told it; for Check, not for logs
	Verdict error
}

func (e *apiError) Error() string {
	s := fmt.Sprintf("%s: errcode %d", e.Path, e.Code)
	if e.Verdict != nil {
		s += ": " + e.Verdict.Error()
	}
	return s
}

func (e *apiError) Unwrap() error { return e.Verdict }

// code is WeCom's errcode, 0 for any other error.
func code(err error) int64 {
	var e *apiError
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

var errNoAnswer = errors.New("an answer without errcode")

// answered reports whether an answer is one of the API at all: each has an errcode.
func answered(answer []byte) bool {
	var has struct {
		Code *int64 `json:"errcode"`
	}
	return json.Unmarshal(answer, &has) == nil && has.Code != nil
}

// judge says what became of a request. Errors of the layers below may quote the
// address, and with it the token: only their kind is told.
func (c *client) judge(ctx context.Context, path string, x *exchange, answer []byte, err error, out any) (v error, doubt bool) {
	if err == nil {
		if err = util.DecodeWithCommonError(answer, path); err == nil && !answered(answer) {
			err = errNoAnswer
		}
	}
	var common *util.CommonError
	switch {
	case err == nil && out == nil:
		return nil, false
	case err == nil:
		if json.Unmarshal(answer, out) == nil {
			return nil, false
		}
		return fmt.Errorf("%s: no readable answer", path), true
	case errors.As(err, &common):
		return judgeCode(path, common), false
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", path, ctx.Err()), x.left.Load()
	case errors.Is(err, errElsewhere), errors.Is(err, errNoInstall):
		return fmt.Errorf("%s: %w", path, errElsewhere), false
	case x.status == http.StatusTooManyRequests:
		return fmt.Errorf("%s: %w", path, bot.RateLimited{After: retryAfter(x.after), All: true}), false
	case x.status != 0 && x.status != http.StatusOK:
		return fmt.Errorf("%s: status %d", path, x.status), x.status >= 500
	case x.status == http.StatusOK:
		return fmt.Errorf("%s: no readable answer", path), true
	case !x.left.Load():
		return fmt.Errorf("%s: no connection", path), false
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%s: timeout", path), true
	}
	return fmt.Errorf("%s: no answer", path), true
}

func judgeCode(path string, e *util.CommonError) error {
	out := &apiError{Path: path, Code: e.ErrCode, Msg: e.ErrMsg, Verdict: codes[e.ErrCode]}
	switch {
	case e.ErrCode >= 42023 && e.ErrCode <= 42051: // what can be wrong in a template card
		out.Verdict = bot.ErrRejected
	case e.ErrCode == 45009:
		out.Verdict = bot.RateLimited{After: perMinute, All: true}
	case e.ErrCode == 45033, e.ErrCode == 95003: // too many at once
		out.Verdict = bot.RateLimited{After: 2 * time.Second, All: true}
	case e.ErrCode == -1:
		out.Verdict = bot.RateLimited{After: 5 * time.Second}
	}
	return out
}
