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

const (
	maxButtons    = 6
	maxOptions    = 10
	maxButtonText = 10
	maxTitle      = 36
	maxHorizontal = 6
)

type callback struct{}

func numbered(cards.Card) bool { return false }

type app struct {
	*shared
	crypt *crypt
}

func newApp(s *shared) (*app, error) {
	c, err := newCrypt(s.conf.Token, s.conf.EncodingAESKey, s.conf.CorpID)
	if err != nil {
		return nil, err
	}
	return &app{shared: s, crypt: c}, nil
}

func (a *app) verify(r bot.Raw, now time.Time) ([]byte, error) { return nil, bot.ErrUnverified }

func (a *app) decode(r bot.Raw, plain []byte, k *kf) (bot.Inbound, error) {
	return bot.Inbound{}, malformed("app")
}

func (a *app) reply(w http.ResponseWriter, in bot.Inbound, out bot.Reply) { w.WriteHeader(200) }

func (a *app) inline(e bot.Event) bot.Inline { return bot.Inline{} }

func (a *app) post(ctx context.Context, to bot.Dest, once string, c cards.Card) (bot.MessageRef, error) {
	return "", fmt.Errorf("app: %w", bot.ErrRejected)
}

func (a *app) update(ctx context.Context, ref bot.MessageRef, c cards.Card) (bot.MessageRef, error) {
	return ref, bot.ErrFixed
}
func (a *app) recall(ctx context.Context, ref bot.MessageRef) error { return bot.ErrFixed }
func (a *app) prepare(ctx context.Context) error                    { return nil }
func (a *app) check(ctx context.Context) []bot.Finding              { return nil }
func (a *app) findUser(ctx context.Context, u bot.UserRef) (bot.User, error) {
	return bot.User{Ref: u}, nil
}
func (a *app) fetch(ctx context.Context, f bot.File) (io.ReadCloser, error) { return nil, bot.ErrGone }
func (a *app) sendFile(ctx context.Context, to bot.Dest, once, name string, size int64, content io.Reader) (bot.MessageRef, error) {
	return "", bot.ErrRejected
}
