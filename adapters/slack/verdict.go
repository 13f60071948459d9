package slack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/paidan/paidan/bot"
)

// unsentError is an error before any of the request had left: Slack knows
// nothing of it. After any other one Slack may have acted.
type unsentError struct{ err error }

func (e unsentError) Error() string { return e.err.Error() }
func (e unsentError) Unwrap() error { return e.err }

// doer is the HTTP client that slack-go is given. It knows what slack-go
// forgets: whether a request left before it failed, and what a 429 says when
// its header is missing or absurd. Addresses can be secrets, so its errors have none.
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
	if resp.StatusCode == http.StatusTooManyRequests {
		defer resp.Body.Close()
		// Read a little, so that the connection can serve again; what it says does not matter.
		_, _ = io.CopyN(io.Discard, resp.Body, 4096)
		return nil, bot.RateLimited{After: retryAfter(resp.Header.Get("Retry-After")), All: !strings.Contains(req.URL.Path, "chat.post")}
	}
	resp.Body = capped{io.LimitReader(resp.Body, maxResponse), resp.Body}
	return resp, nil
}

type capped struct {
	io.Reader
	io.Closer
}

const (
	defaultRetry = 30 * time.Second // Slack named no time
	mostRetry    = time.Hour
)

// retryAfter reads whole seconds.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) && !strings.HasPrefix(s, "-"):
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

// slackCode is the error that Slack named, "" for any other error.
func slackCode(err error) string {
	var r slackgo.SlackErrorResponse
	if errors.As(err, &r) {
		return r.Err
	}
	return ""
}

// codes is what Slack's errors mean for us; what is not here is tried again.
// https://docs.slack.dev/reference/methods lists them for each method.
var codes = map[string]error{
	"message_not_found": bot.ErrGone, "channel_not_found": bot.ErrGone, "is_archived": bot.ErrGone,
	"not_in_channel": bot.ErrGone, "cant_update_message": bot.ErrGone, "edit_window_closed": bot.ErrGone,
	"cant_delete_message": bot.ErrGone, "thread_not_found": bot.ErrGone, "user_not_found": bot.ErrGone,
	"users_not_found": bot.ErrGone, "user_not_visible": bot.ErrGone, "user_disabled": bot.ErrGone,
	"user_not_in_channel": bot.ErrGone, "cannot_reply_to_message": bot.ErrGone, "restricted_action": bot.ErrGone,
	"restricted_action_thread_locked": bot.ErrGone, "thread_locked": bot.ErrGone, "messages_tab_disabled": bot.ErrGone,
	"expired_trigger_id": bot.ErrGone, "exchanged_trigger_id": bot.ErrGone, "invalid_trigger_id": bot.ErrGone,
	"trigger_expired": bot.ErrGone, "trigger_exchanged": bot.ErrGone, "not_found": bot.ErrGone, "hash_conflict": bot.ErrGone,
	"not_enabled": bot.ErrGone, "file_not_found": bot.ErrGone, "file_deleted": bot.ErrGone, "no_such_subteam": bot.ErrGone,
	"channel_is_limited_access": bot.ErrGone, "method_not_supported_for_channel_type": bot.ErrGone, "message_deleted": bot.ErrGone,
	"cannot_dm_bot": bot.ErrGone, "is_inactive": bot.ErrGone, "posting_to_channel_denied": bot.ErrGone,

	"invalid_auth": bot.ErrUnauthorized, "account_inactive": bot.ErrUnauthorized, "token_revoked": bot.ErrUnauthorized,
	"token_expired": bot.ErrUnauthorized, "not_authed": bot.ErrUnauthorized, "missing_scope": bot.ErrUnauthorized,
	"no_permission": bot.ErrUnauthorized, "not_allowed_token_type": bot.ErrUnauthorized, "org_login_required": bot.ErrUnauthorized,
	"ekm_access_denied": bot.ErrUnauthorized, "access_denied": bot.ErrUnauthorized, "app_access_restricted": bot.ErrUnauthorized,
	"forbidden_team": bot.ErrUnauthorized, "team_access_not_granted": bot.ErrUnauthorized,

	"invalid_blocks": bot.ErrRejected, "invalid_blocks_format": bot.ErrRejected, "msg_too_long": bot.ErrRejected,
	"msg_blocks_too_long": bot.ErrRejected, "invalid_arguments": bot.ErrRejected, "invalid_arg_name": bot.ErrRejected,
	"invalid_array_arg": bot.ErrRejected, "invalid_charset": bot.ErrRejected, "invalid_form_data": bot.ErrRejected,
	"invalid_post_type": bot.ErrRejected, "missing_post_type": bot.ErrRejected, "missing_argument": bot.ErrRejected,
	"no_text": bot.ErrRejected, "too_many_attachments": bot.ErrRejected, "invalid_attachments": bot.ErrRejected,
	"invalid_metadata_format": bot.ErrRejected, "invalid_metadata_schema": bot.ErrRejected, "metadata_too_large": bot.ErrRejected,
	"view_too_large": bot.ErrRejected, "duplicate_external_id": bot.ErrRejected, "push_limit_reached": bot.ErrRejected,
	"block_mismatch": bot.ErrRejected, "markdown_text_conflict": bot.ErrRejected, "unknown_method": bot.ErrRejected,
	"method_deprecated": bot.ErrRejected, "deprecated_endpoint": bot.ErrRejected, "file_type_not_allowed": bot.ErrRejected,
	"file_uploads_disabled": bot.ErrRejected, "file_upload_size_restricted": bot.ErrRejected,
	"file_uploads_except_images_disabled": bot.ErrRejected, "json_not_object": bot.ErrRejected, "invalid_json": bot.ErrRejected,
	"invalid_ts_latest": bot.ErrRejected, "invalid_ts_oldest": bot.ErrRejected, "invalid_cursor": bot.ErrRejected, "invalid_users": bot.ErrRejected,
}

// verdict says what an error of a call that may be repeated means.
func verdict(method string, err error) error {
	if err == nil {
		return nil
	}
	var limited bot.RateLimited
	if errors.As(err, &limited) {
		return fmt.Errorf("%s: %w", method, limited)
	}
	var status slackgo.StatusCodeError
	var wrong slackgo.SlackErrorResponse
	switch {
	case errors.As(err, &wrong):
		if wrong.Err == "ratelimited" || wrong.Err == "rate_limited" || wrong.Err == "message_limit_exceeded" {
			return fmt.Errorf("%s: %w", method, bot.RateLimited{After: defaultRetry, All: !strings.HasPrefix(method, "chat.post")})
		}
		code := cutBytes(wrong.Err, 80)
		if wrong.Needed != "" {
			code += " (needs " + cutBytes(wrong.Needed, 200) + ")"
		}
		if len(wrong.ResponseMetadata.Messages) > 0 && codes[wrong.Err] == bot.ErrRejected {
			code += ": " + cutBytes(strings.Join(wrong.ResponseMetadata.Messages, "; "), 400)
		}
		if v := codes[wrong.Err]; v != nil {
			return fmt.Errorf("%s: %s: %w", method, code, v)
		}
		return fmt.Errorf("%s: %s", method, code)
	case errors.As(err, &status):
		return fmt.Errorf("%s: status %d", method, status.Code)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", method, err)
	}
	// Other errors may quote an address or an answer: only their kind is told.
	return fmt.Errorf("%s: %s", method, kindOf(err))
}

func kindOf(err error) string {
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

// sendVerdict is verdict for a call that makes something new: when Slack may
// have done it although we did not hear so, the outcome is unknown.
func sendVerdict(method string, err error) error {
	v := verdict(method, err)
	if v == nil {
		return nil
	}
	var limited bot.RateLimited
	var status slackgo.StatusCodeError
	var unsent unsentError
	code := slackCode(err)
	switch {
	case errors.As(v, &limited), errors.As(err, &unsent):
		return v
	case code != "" && !doubtful[code]:
		return v
	case errors.As(err, &status) && status.Code < 500:
		return v
	}
	return fmt.Errorf("%w: %w", v, bot.ErrUnknown)
}

// doubtful are errors of Slack's own after which a message may be there.
var doubtful = map[string]bool{"fatal_error": true, "internal_error": true, "service_unavailable": true, "request_timeout": true}
