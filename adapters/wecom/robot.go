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

// robot is the smart robot 智能机器人.
type robot struct{ *shared }

func newRobot(_ Config, s *shared) (*robot, error) { return &robot{s}, nil }

func (r *robot) verify(bot.Raw, time.Time) ([]byte, error) { return nil, bot.ErrUnverified }

func (r *robot) decode(bot.Raw, []byte) (bot.Inbound, error) {
	return bot.Inbound{}, malformed("robot")
}

func (r *robot) reply(w http.ResponseWriter, _ bot.Inbound, _ bot.Reply) {
	w.WriteHeader(http.StatusOK)
}

func (r *robot) post(context.Context, bot.Dest, string, cards.Card) (bot.MessageRef, error) {
	return "", fmt.Errorf("robot: %w", bot.ErrRejected)
}

func (r *robot) update(_ context.Context, ref bot.MessageRef, _ cards.Card) (bot.MessageRef, error) {
	return ref, fmt.Errorf("robot: %w", bot.ErrFixed)
}

func (r *robot) inline(bot.Event) bot.Inline { return bot.Inline{} }

func (r *robot) answerRef(bot.Event, string) bot.MessageRef { return "" }

func (r *robot) stream(ctx context.Context, _ func(context.Context, http.ResponseWriter, bot.Raw) error) error {
	<-ctx.Done()
	return nil
}

func (r *robot) here(bot.Dest) bool { return true }

func (r *robot) check(context.Context) []bot.Finding { return nil }

func (r *robot) prepare(context.Context) error { return nil }

func (r *robot) fetch(context.Context, bot.File) (io.ReadCloser, error) {
	return nil, fmt.Errorf("robot: %w", bot.ErrRejected)
}

func (r *robot) sendFile(context.Context, bot.Dest, string, string, int64, io.Reader) (bot.MessageRef, error) {
	return "", fmt.Errorf("robot: %w", bot.ErrRejected)
}
