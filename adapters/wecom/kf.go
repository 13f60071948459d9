package wecom

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// kf is 微信客服: customers of the corp who write from WeChat.
type kf struct {
	*shared
	api *client // with kf.secret where there is one, else the app's
}

func newKF(c Config, s *shared) (*kf, error) {
	k := &kf{shared: s, api: s.api}
	if c.KF.Secret != "" {
		k.api = newClient(s, s.api.base, c.KF.Secret)
	}
	return k, nil
}

func (k *kf) verify(bot.Raw, time.Time) ([]byte, error) { return nil, bot.ErrUnverified }

// decode reads what came to kf's own address.
func (k *kf) decode(bot.Raw, []byte) (bot.Inbound, error) { return bot.Inbound{}, malformed("kf") }

// event reads a kf_msg_or_event that came to the app's address, already scanned.
func (k *kf) event(callback) (bot.Inbound, error) { return bot.Inbound{Kind: "kf_event"}, nil }

func (k *kf) reply(w http.ResponseWriter, _ bot.Inbound, _ bot.Reply) { w.WriteHeader(http.StatusOK) }

func (k *kf) post(context.Context, bot.Dest, string, cards.Card) (bot.MessageRef, error) {
	return "", fmt.Errorf("kf: %w", bot.ErrRejected)
}

func (k *kf) update(_ context.Context, ref bot.MessageRef, _ cards.Card) (bot.MessageRef, error) {
	return ref, fmt.Errorf("kf: %w", bot.ErrFixed)
}

func (k *kf) inline(bot.Event) bot.Inline { return bot.Inline{} }

func (k *kf) stream(ctx context.Context, _ func(context.Context, http.ResponseWriter, bot.Raw) error) error {
	<-ctx.Done()
	return nil
}

func (k *kf) check(context.Context) []bot.Finding { return nil }

func (k *kf) prepare(context.Context) error { return nil }

func (k *kf) findUser(_ context.Context, u bot.UserRef) (bot.User, error) {
	return bot.User{Ref: u, Guest: true}, nil
}

func (k *kf) fetch(context.Context, bot.File) (io.ReadCloser, error) {
	return nil, fmt.Errorf("kf: %w", bot.ErrRejected)
}

func (k *kf) sendFile(context.Context, bot.Dest, string, string, int64, io.Reader) (bot.MessageRef, error) {
	return "", fmt.Errorf("kf: %w", bot.ErrRejected)
}
