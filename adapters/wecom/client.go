package wecom

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
	"sync"
	"sync/atomic"
	"time"

	"github.com/silenceper/wechat/v2/credential"
	"github.com/silenceper/wechat/v2/util"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/internal/httpx"
)

// maxResponse is the most that is read of an answer of the API.
const maxResponse = 8 << 20

// client calls WeCom's API as one app. It stands on the helpers of
// silenceper/wechat that take a context and a whole address (GetTokenFromServerContext,
// HTTPGetContext, PostJSONContext). Everything above them there has no context,
// knows one address for the whole process, and keeps a token that WeCom has
// revoked; that part is here.
type client struct {
	base   *url.URL
	http   *http.Client
	corp   string
	secret string
	now    func() time.Time
	tokens tokens
}

func newClient(s *shared, base *url.URL, secret string) *client {
	route()
	return &client{base: base, http: s.http, corp: s.conf.CorpID, secret: secret, now: s.now}
}

// exchange is one request on its way through silenceper/wechat, which has one
// HTTP client for the whole process: the context carries whose request it is.
type exchange struct {
	client *http.Client
	host   string
	left   atomic.Bool // some of it was sent
	status int         // 0: there was no answer
	after  string      // Retry-After
}

type exchangeKey struct{}

// router is the transport under silenceper/wechat's one HTTP client. It sends
// every request with the client of the install that made it, to that install's
// address, and nothing that says no install.
type router struct{}

var (
	errNoInstall = errors.New("request of no install")
	errElsewhere = errors.New("request to another address than its install's")
)

// RoundTrip implements http.RoundTripper.
func (router) RoundTrip(r *http.Request) (*http.Response, error) {
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, errors.Join(errNoInstall, closeBody(r))
	}
	if r.URL.Host != x.host {
		return nil, errors.Join(errElsewhere, closeBody(r))
	}
	trace := &httptrace.ClientTrace{WroteHeaders: func() { x.left.Store(true) }}
	resp, err := x.client.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err != nil {
		return nil, err
	}
	x.status, x.after = resp.StatusCode, resp.Header.Get("Retry-After")
	resp.Body = httpBody{io.LimitReader(resp.Body, maxResponse), resp.Body}
	return resp, nil
}

type httpBody struct {
	io.Reader
	io.Closer
}

func closeBody(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	return r.Body.Close()
}

// route puts the router under silenceper/wechat, once for the process.
var route = sync.OnceFunc(func() {
	c := httpx.New(httpx.Options{})
	c.Transport = router{}
	c.Timeout = 0 // each install's own client has one
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	util.DefaultHTTPClient = c
})

// begin makes the context of one request.
func (c *client) begin(ctx context.Context) (context.Context, *exchange) {
	x := &exchange{client: c.http, host: c.base.Host}
	return context.WithValue(ctx, exchangeKey{}, x), x
}

func (c *client) address(path string, query url.Values) string {
	u := *c.base
	u.Path += path
	u.RawQuery = query.Encode()
	return u.String()
}

// call makes a request with the app's token and reads the answer into out (nil:
// only its errcode counts). A POST has body as JSON. Its error is a verdict.
// For a request that makes something new use send.
func (c *client) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	v, _ := c.try(ctx, method, path, query, body, out)
	return v
}

// send is call for a request that makes something new: when WeCom may have done
// it although we did not hear so, the error is bot.ErrUnknown.
func (c *client) send(ctx context.Context, path string, body, out any) error {
	v, doubt := c.try(ctx, http.MethodPost, path, nil, body, out)
	if v != nil && doubt {
		return fmt.Errorf("%w: %w", v, bot.ErrUnknown)
	}
	return v
}

// try asks for a new token when WeCom says that the one we have is stale: once.
func (c *client) try(ctx context.Context, method, path string, query url.Values, body, out any) (v error, doubt bool) {
	for again := range 2 {
		token, err := c.token(ctx)
		if err != nil {
			return err, false
		}
		q := url.Values{"access_token": {token}}
		for k, vs := range query {
			q[k] = vs
		}
		err, doubt = c.once(ctx, method, path, q, body, out)
		if err == nil {
			return nil, false
		}
		if !stale[code(err)] {
			return err, doubt
		}
		c.tokens.evict(token)
		if again == 1 {
			return err, doubt
		}
	}
	return nil, false
}

// stale are the errors that say: this token is not, or no longer, good.
var stale = map[int64]bool{40001: true, 40014: true, 41001: true, 42001: true}

// keyless makes a POST without a token: the address itself holds a code.
func (c *client) keyless(ctx context.Context, path string, query url.Values, body, out any) error {
	v, doubt := c.once(ctx, http.MethodPost, path, query, body, out)
	if v != nil && doubt {
		return fmt.Errorf("%w: %w", v, bot.ErrUnknown)
	}
	return v
}

// once makes one request. doubt: it may have been done although it failed.
func (c *client) once(ctx context.Context, method, path string, query url.Values, body, out any) (v error, doubt bool) {
	ctx, x := c.begin(ctx)
	var answer []byte
	var err error
	if method == http.MethodGet {
		answer, err = util.HTTPGetContext(ctx, c.address(path, query))
	} else {
		answer, err = util.PostJSONContext(ctx, c.address(path, query), body)
	}
	return c.judge(ctx, path, x, answer, err, out)
}

// token returns a token that is good for five more minutes.
func (c *client) token(ctx context.Context) (string, error) {
	if c.secret == "" {
		return "", fmt.Errorf("gettoken: no self-built app is configured: %w", bot.ErrRejected)
	}
	return c.tokens.get(ctx, c.now, c.fetchToken)
}

// fetchToken asks WeCom for a token.
// https://developer.work.weixin.qq.com/document/path/91039
func (c *client) fetchToken(ctx context.Context) (string, time.Duration, error) {
	const path = "/cgi-bin/gettoken"
	ctx, x := c.begin(ctx)
	res, err := credential.GetTokenFromServerContext(ctx, c.address(path, url.Values{"corpid": {c.corp}, "corpsecret": {c.secret}}))
	if res.ErrCode != 0 { // its own error has the code in its text only
		err = util.NewCommonError(path, res.ErrCode, res.ErrMsg)
	}
	if err != nil {
		v, _ := c.judge(ctx, path, x, nil, err, nil)
		return "", 0, v
	}
	if res.AccessToken == "" || res.ExpiresIn <= 0 {
		return "", 0, errors.New("gettoken: empty answer")
	}
	return res.AccessToken, time.Duration(res.ExpiresIn) * time.Second, nil
}

// early is how long before its end a token is replaced.
const early = 300 * time.Second

// grudge is how long a refused secret is not tried again: WeCom locks out the
// addresses that keep trying wrong ones, for an hour.
const grudge = 10 * time.Minute

// tokens keeps a token, and asks for a new one only once at a time.
type tokens struct {
	mu      sync.Mutex // guards what follows
	token   string
	until   time.Time
	refused error // why there is none
	retry   time.Time
	flight  chan struct{} // closed when the one who asks has come back
}

// get returns the token, or asks for it. Who waits for another's question asks
// himself when that one gave up.
func (t *tokens) get(ctx context.Context, now func() time.Time, fetch func(context.Context) (string, time.Duration, error)) (string, error) {
	for {
		t.mu.Lock()
		at := now()
		switch {
		case t.token != "" && at.Before(t.until):
			defer t.mu.Unlock()
			return t.token, nil
		case t.refused != nil && at.Before(t.retry):
			defer t.mu.Unlock()
			return "", t.refused
		case t.flight != nil:
			wait := t.flight
			t.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return "", fmt.Errorf("gettoken: %w", ctx.Err())
			}
		}
		done := make(chan struct{})
		t.flight = done
		t.mu.Unlock()
		return t.ask(ctx, done, now, fetch)
	}
}

func (t *tokens) ask(ctx context.Context, done chan struct{}, now func() time.Time, fetch func(context.Context) (string, time.Duration, error)) (string, error) {
	token, lasts, err := "", time.Duration(0), errors.New("gettoken: given up")
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.flight = nil
		switch {
		case err == nil:
			// A token that lasts less than ten minutes serves for half its time.
			t.token, t.until, t.refused = token, now().Add(max(lasts-early, lasts/2)), nil
		case errors.Is(err, bot.ErrUnauthorized):
			t.token, t.refused, t.retry = "", err, now().Add(grudge)
		}
		close(done)
	}()
	token, lasts, err = fetch(ctx)
	return token, err
}

// evict forgets a token that WeCom refused, unless it was replaced meanwhile.
func (t *tokens) evict(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token = ""
	}
}

const (
	defaultRetry = 30 * time.Second // nobody named a time
	mostRetry    = time.Hour
)

// retryAfter reads whole seconds.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	switch {
	case err != nil || n < 0:
		return defaultRetry
	case n == 0:
		return time.Second
	}
	return min(time.Duration(min(n, 86400))*time.Second, mostRetry)
}
