package jobs

import (
	"context"
	"log/slog"
	"strings"
)

// quiet passes on what an operator should know of River: warnings and errors,
// but not that something was cancelled, which River says of every stop.
type quiet struct{ slog.Handler }

// Enabled reports whether a record of the level may pass.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

// Handle passes the record on unless it speaks of a cancellation.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	cancelled := strings.Contains(r.Message, context.Canceled.Error())
	r.Attrs(func(a slog.Attr) bool {
		cancelled = cancelled || strings.Contains(a.Value.String(), context.Canceled.Error())
		return !cancelled
	})
	if cancelled {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs is quiet too.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup is quiet too.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
