package wecom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	wechatkf "github.com/silenceper/wechat/v2/work/kf"

	"github.com/paidan/paidan/bot"
)

// kfTempo is how patient the fetching is.
type kfTempo struct {
	look  time.Duration             // between two looks that nobody nudged us to
	lease time.Duration             // how long a process may be silent before another fetches in its place
	renew time.Duration             // between two renewals of the lease
	busy  time.Duration             // before looking again at what another process fetches
	again func(n int) time.Duration // before the n-th repetition of what failed
	stale time.Duration             // how old may be what is found when there is no cursor yet
	shut  time.Duration             // between two looks while 微信客服 is not open to the app
}

var usualKFTempo = kfTempo{look: 5 * time.Minute, lease: 15 * time.Second, renew: 5 * time.Second, busy: 2 * time.Second, again: backoff, stale: time.Hour, shut: time.Hour}

const (
	kfPage = 1000
	// cursorFor is how long a cursor is kept. WeCom forgets messages after three
	// days, but an old cursor still says that this is not the first time.
	cursorFor = 365 * 24 * time.Hour
	// kfTries is how often a message is handed on before it is given up.
	kfTries = 12
)

func cursorKey(account string) string { return "kf/cursor/" + account }
func sinceKey(account string) string  { return "kf/since/" + account }
func kfLease(account string) string   { return "kf/lease/" + account }

// stream fetches what customers say: when WeCom nudges us, at the start, and
// every few minutes in case a nudge was lost. It returns when ctx ends.
func (k *kf) stream(ctx context.Context, sink func(context.Context, http.ResponseWriter, bot.Raw) error) error {
	me := processID()
	var work sync.WaitGroup
	defer work.Wait()
	var mu sync.Mutex // guards running
	running := map[string]*puller{}
	pull := func(account, token string) {
		mu.Lock()
		defer mu.Unlock()
		p := running[account]
		if p == nil {
			p = &puller{k: k, account: account, me: me, sink: sink, more: make(chan struct{}, 1)}
			running[account] = p
			work.Go(func() { p.run(ctx) })
		}
		p.ask(token)
	}
	look := time.NewTimer(0)
	defer look.Stop()
	failed := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.poke:
			for account, token := range k.nudges() {
				pull(account, token)
			}
		case <-look.C:
			accounts, err := k.accounts(ctx)
			if errors.Is(err, bot.ErrUnauthorized) && !k.wanted() {
				// Most corps have no customers here: that is no fault, and nothing to
				// ask about every few minutes. A nudge says when it has changed.
				k.log.Info("customer service is not open to this app", "install", k.install.String())
				look.Reset(k.tempo.shut)
				continue
			}
			if err != nil && ctx.Err() == nil {
				k.log.Warn("kf accounts not listed", "install", k.install.String(), "error", err)
				failed++
				look.Reset(min(k.tempo.look, k.tempo.again(failed-1)))
				continue
			}
			failed = 0
			for _, account := range accounts {
				pull(account, "")
			}
			look.Reset(k.tempo.look + mrand.N(k.tempo.look/4+1))
		}
	}
}

// wanted reports whether the configuration speaks of 微信客服.
func (k *kf) wanted() bool { return k.conf.KF != KFConfig{} }

// accounts are the ids of the accounts that we may manage.
// https://developer.work.weixin.qq.com/document/path/94661
func (k *kf) accounts(ctx context.Context) ([]string, error) {
	const limit = 100
	var out []string
	for {
		var page struct {
			List []struct {
				ID string `json:"open_kfid"`
			} `json:"account_list"`
		}
		body := object{"offset": len(out), "limit": limit}
		if err := k.api.call(ctx, http.MethodPost, "/cgi-bin/kf/account/list", nil, body, &page); err != nil {
			return nil, err
		}
		for _, a := range page.List {
			if !kfID(a.ID) {
				return nil, errors.New("kf/account/list: no readable answer")
			}
			out = append(out, a.ID)
		}
		if len(page.List) < limit || len(out) >= maxAccounts {
			return out, nil
		}
	}
}

// maxAccounts is more than WeCom allows a corp.
const maxAccounts = 2000

// puller fetches one account, one page after another.
type puller struct {
	k       *kf
	account string
	me      string
	sink    func(context.Context, http.ResponseWriter, bot.Raw) error
	more    chan struct{}

	mu    sync.Mutex // guards token
	token string     // of the latest nudge

	empty int             // pages without messages, one after another
	tries map[string]int  // by msgid, of what the sink did not take yet
	taken map[string]bool // of the page in hand, what the sink took
}

// ask has the account fetched once more.
func (p *puller) ask(token string) {
	p.mu.Lock()
	if token != "" {
		p.token = token
	}
	p.mu.Unlock()
	select {
	case p.more <- struct{}{}:
	default: // it will be anyway
	}
}

func (p *puller) run(ctx context.Context) {
	p.tries, p.taken = map[string]int{}, map[string]bool{}
	failed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.more:
		}
		err := p.fetch(ctx)
		if err == nil {
			failed = 0
			continue
		}
		if ctx.Err() != nil {
			return
		}
		wait := p.k.tempo.again(failed)
		failed++
		var limited bot.RateLimited
		switch {
		case errors.Is(err, errElsewhereFetched):
			// What we were nudged for may have come after its last page.
			wait, failed = p.k.tempo.busy, 0
		case errors.As(err, &limited):
			wait = max(wait, limited.After)
			fallthrough
		default:
			p.k.log.Warn("kf messages not fetched", "install", p.k.install.String(), "account", p.account, "error", err, "again", wait)
		}
		again := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-again.C:
		case <-p.more: // a nudge, and with it a token that lets us ask at once
			again.Stop()
		}
		p.ask("")
	}
}

var errElsewhereFetched = errors.New("another process fetches this account")

// fetch reads all that there is. Only one process does so at a time, so that
// what a customer says keeps its order.
func (p *puller) fetch(ctx context.Context) error {
	hold, err := p.k.acquire(ctx, kfLease(p.account), p.me, p.k.tempo.lease, p.k.tempo.renew)
	if err != nil {
		return fmt.Errorf("kf lease: %w", err)
	}
	if hold == nil {
		return errElsewhereFetched
	}
	defer hold.release()
	for {
		more, err := p.page(ctx, hold)
		if err != nil || !more {
			return err
		}
	}
}

// kfSynced is a page. Every message is kept as it came.
type kfSynced struct {
	Next string            `json:"next_cursor"`
	More int               `json:"has_more"`
	List []json.RawMessage `json:"msg_list"`
}

// page hands one page on and then moves the cursor, in this order: after a crash
// in between the page comes again, with the same ids.
func (p *puller) page(ctx context.Context, hold *lease) (more bool, err error) {
	cursor, err := p.k.shelf.Get(ctx, cursorKey(p.account))
	if err != nil {
		return false, fmt.Errorf("kf cursor: %w", err)
	}
	since, err := p.since(ctx, cursor == "")
	if err != nil {
		return false, fmt.Errorf("kf cursor: %w", err)
	}
	page, err := p.sync(ctx, cursor)
	if err != nil {
		return false, err
	}
	for _, raw := range page.List {
		select {
		case <-hold.lost:
			return false, errElsewhereFetched
		default:
		}
		if err := p.hand(ctx, raw, since); err != nil {
			return false, err
		}
	}
	if page.Next != "" && page.Next != cursor {
		ok, err := p.k.shelf.Swap(ctx, cursorKey(p.account), cursor, page.Next, cursorFor)
		if err != nil {
			return false, fmt.Errorf("kf cursor: %w", err)
		}
		if !ok {
			return false, errElsewhereFetched // it was moved meanwhile: where it stands now counts
		}
	}
	clear(p.taken)
	if len(page.List) > 0 || page.More != 1 {
		p.empty = 0
	} else if p.empty++; p.empty > maxEmpty {
		p.empty = 0
		return false, errEmpty
	}
	if len(page.List) > 0 && page.More == 1 && (page.Next == "" || page.Next == cursor) {
		return false, errEmpty
	}
	return page.More == 1, nil // an empty page does not mean the end
}

// sinceFor is longer than WeCom keeps messages.
const sinceFor = 7 * 24 * time.Hour

// since is from when on messages are ours, in seconds; 0 = all of them. It is
// set when an account is fetched for the first time: what WeCom still has from
// before is other people's, and a crowd of old requests would help nobody.
func (p *puller) since(ctx context.Context, first bool) (int64, error) {
	if first {
		at := strconv.FormatInt(p.k.now().Add(-p.k.tempo.stale).Unix(), 10)
		if _, err := p.k.shelf.Swap(ctx, sinceKey(p.account), "", at, sinceFor); err != nil {
			return 0, err
		}
	}
	kept, err := p.k.shelf.Get(ctx, sinceKey(p.account))
	if err != nil || kept == "" {
		return 0, err
	}
	return strconv.ParseInt(kept, 10, 64)
}

// maxEmpty is how many empty pages in a row are believed to lead on.
const maxEmpty = 50

var errEmpty = errors.New("kf/sync_msg: page after page leads nowhere")

// sync asks for a page. The token lets us ask often; it is good for ten minutes.
func (p *puller) sync(ctx context.Context, cursor string) (kfSynced, error) {
	p.mu.Lock()
	token := p.token
	p.mu.Unlock()
	for {
		var page kfSynced
		body := wechatkf.SyncMsgOptions{Cursor: cursor, Token: token, Limit: kfPage, OpenKfID: p.account}
		err := p.k.api.call(ctx, http.MethodPost, "/cgi-bin/kf/sync_msg", nil, body, &page)
		if code(err) == 95007 && token != "" { // too old
			p.mu.Lock()
			if p.token == token {
				p.token = ""
			}
			p.mu.Unlock()
			token = ""
			continue
		}
		return page, err
	}
}

// hand gives one message to the sink. What it says about whom we may write to is
// noted before: the sink may answer at once.
func (p *puller) hand(ctx context.Context, raw []byte, since int64) error {
	var m kfSaid
	if err := json.Unmarshal(raw, &m); err != nil || m.MsgID == "" {
		p.k.log.Error("kf message unreadable", "install", p.k.install.String(), "account", p.account, "bytes", len(raw))
		return nil
	}
	if p.taken[m.MsgID] {
		return nil // the sink has it: another message of this page was not taken
	}
	if int64(m.SendTime) < since {
		return nil // said before we were here, and dealt with by people
	}
	err := p.give(ctx, m, raw)
	if err == nil || errors.Is(err, bot.ErrFrame) || errors.Is(err, bot.ErrMalformed) || errors.Is(err, bot.ErrUnverified) {
		if err != nil {
			p.k.log.Error("kf message refused", "install", p.k.install.String(), "account", p.account, "message", m.MsgID, "error", err)
		}
		delete(p.tries, m.MsgID)
		p.taken[m.MsgID] = true
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	if p.tries[m.MsgID]++; p.tries[m.MsgID] >= kfTries {
		// Those behind it must not wait for ever.
		p.k.log.Error("kf message given up; what it said is lost", "install", p.k.install.String(), "account", p.account, "message", m.MsgID, "error", err)
		delete(p.tries, m.MsgID)
		p.taken[m.MsgID] = true
		return nil
	}
	return fmt.Errorf("kf message %s: %w", m.MsgID, err)
}

func (p *puller) give(ctx context.Context, m kfSaid, raw []byte) error {
	k, who := p.k, m.who()
	h := http.Header{}
	h.Set(surfaceHeader, surfaceKF)
	if kfID(who.account) && kfID(who.customer) {
		switch {
		case m.MsgType == "event" && m.Event.Type == "msg_send_fail":
			if err := k.failed(ctx, who, m); err != nil {
				return err
			}
		case m.MsgType != "event" && m.Origin == fromCustomer:
			if err := k.spoken(ctx, who, m); err != nil {
				return err
			}
		}
	}
	if m.Text.MenuID != "" && len(m.Text.MenuID) <= 64 {
		kept, err := k.shelf.Get(ctx, menuKey(m.Text.MenuID))
		if err != nil {
			return err
		}
		var e kfEntry
		// The entry must be one of this customer's: ids are seen by whoever is sent them.
		if kept != "" && json.Unmarshal([]byte(kept), &e) == nil && strings.HasPrefix(e.Ref, string(who.ref(""))) {
			h.Set(menuTokenHeader, e.Token)
			h.Set(menuValueHeader, e.Value)
			h.Set(menuRefHeader, e.Ref)
		}
	}
	w := &kfAnswer{ctx: ctx, k: k, code: m.Event.WelcomeCode, id: m.MsgID, header: http.Header{}}
	err := p.safely(ctx, w, bot.Raw{Socket: true, Header: h, Body: raw})
	if err != nil && w.failed {
		return nil // it was dealt with; only the greeting did not go out, and its code serves once
	}
	return err
}

func (p *puller) safely(ctx context.Context, w http.ResponseWriter, r bot.Raw) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %T", cause) // its value may quote what was said
		}
	}()
	return p.sink(ctx, w, r)
}

// kfAnswer greets a customer with what is written to it.
// https://developer.work.weixin.qq.com/document/path/95122
type kfAnswer struct {
	ctx    context.Context
	k      *kf
	code   string
	id     string
	header http.Header
	status int
	failed bool
}

func (w *kfAnswer) Header() http.Header { return w.header }

func (w *kfAnswer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *kfAnswer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.status >= 300 || w.code == "" {
		return len(b), nil
	}
	var body object
	if err := json.Unmarshal(b, &body); err != nil {
		return 0, errors.New("kf: answer is no message")
	}
	body["code"], body["msgid"] = w.code, w.k.shortID("welcome", w.id)
	if err := w.k.api.send(w.ctx, "/cgi-bin/kf/send_msg_on_event", body, nil); err != nil {
		w.failed = true
		w.k.log.Warn("customer not greeted", "install", w.k.install.String(), "error", err)
		return 0, err
	}
	return len(b), nil
}
