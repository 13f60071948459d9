package feishu

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"

	"github.com/paidan/paidan/bot"
)

// tokens keeps the tenant_access_token. The SDK's own keeper does not serve: a
// token that Feishu calls back stays in it until its two hours are over, it is
// asked again with the same token, and all clients of a process share it.
// https://open.feishu.cn/document/server-docs/authentication-management/access-token/tenant_access_token_internal
type tokens struct {
	asking chan struct{} // one asks for a new token, the others wait
	mu     sync.Mutex    // guards what follows
	value  string
	until  time.Time
}

func newTokens() *tokens { return &tokens{asking: make(chan struct{}, 1)} }

// early is how long before its end a token is not used any more. Within the last
// 30 minutes Feishu hands out a new one beside it.
const early = 5 * time.Minute

func (t *tokens) get(now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !now.Before(t.until) {
		return ""
	}
	return t.value
}

// evict forgets a token that was refused, unless there is another one already.
func (t *tokens) evict(refused string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == refused {
		t.value, t.until = "", time.Time{}
	}
}

func (a *Adapter) accessToken(ctx context.Context) (string, error) {
	t := a.tokens
	if v := t.get(a.now()); v != "" {
		return v, nil
	}
	select {
	case t.asking <- struct{}{}:
		defer func() { <-t.asking }()
	case <-ctx.Done():
		return "", fmt.Errorf("tenant_access_token: %w", ctx.Err())
	}
	if v := t.get(a.now()); v != "" {
		return v, nil
	}
	var out struct {
		Token  string `json:"tenant_access_token"`
		Expire int64  `json:"expire"` // seconds
	}
	began := a.now()
	resp, err := larkcore.Request(ctx, &larkcore.ApiReq{
		HttpMethod: http.MethodPost, ApiPath: "/open-apis/auth/v3/tenant_access_token/internal",
		Body:                      map[string]string{"app_id": a.conf.AppID, "app_secret": a.conf.AppSecret},
		SupportedAccessTokenTypes: []larkcore.AccessTokenType{larkcore.AccessTokenTypeNone},
	}, a.sdk)
	if err := answered("tenant_access_token", resp, err, &out); err != nil {
		return "", undoubted(err)
	}
	if out.Token == "" {
		return "", fmt.Errorf("tenant_access_token: empty answer")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	life := time.Duration(min(max(out.Expire, 0), 24*3600)) * time.Second
	t.value, t.until = out.Token, began.Add(max(life-early, life/2))
	return t.value, nil
}

// undoubted is err for a call that changed nothing, however it ended.
func undoubted(err error) error {
	if d, ok := err.(doubtError); ok {
		return d.err
	}
	return err
}

// call calls a method of the API and reads its answer into out, which may be nil.
func (a *Adapter) call(ctx context.Context, name string, req larkcore.ApiReq, out any) error {
	req.SupportedAccessTokenTypes = []larkcore.AccessTokenType{larkcore.AccessTokenTypeTenant}
	for try := 0; ; try++ {
		token, err := a.accessToken(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		resp, err := larkcore.Request(ctx, &req, a.sdk, larkcore.WithTenantAccessToken(token))
		err = answered(name, resp, err, out)
		if !stale[codeOf(err)] || try > 0 {
			return err
		}
		a.tokens.evict(token)
	}
}

// read is call for what changes nothing.
func (a *Adapter) read(ctx context.Context, name, path string, params larkcore.PathParams, query larkcore.QueryParams, out any) error {
	return undoubted(a.call(ctx, name, larkcore.ApiReq{HttpMethod: http.MethodGet, ApiPath: path, PathParams: params, QueryParams: query}, out))
}

// whoami asks who the bot is.
func (a *Adapter) whoami(ctx context.Context) (identity, error) {
	var out struct {
		Bot struct {
			OpenID string `json:"open_id"`
			Name   string `json:"app_name"`
			Status int    `json:"activate_status"`
		} `json:"bot"`
	}
	if err := a.read(ctx, "bot.info", "/open-apis/bot/v3/info", nil, nil, &out); err != nil {
		return identity{}, err
	}
	if !isID(out.Bot.OpenID, "ou_") {
		return identity{}, fmt.Errorf("bot.info: the app has no bot: %w", bot.ErrUnauthorized)
	}
	self := identity{bot: out.Bot.OpenID, name: clean(out.Bot.Name)}
	a.self.Store(&self)
	return self, nil
}
