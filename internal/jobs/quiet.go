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
	cancelled := cancellation(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		cancelled = cancelled || cancellation(a.Value.String())
		return !cancelled
	})
	if cancelled {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// cancellation reports whether a text speaks of one, in Go's words or, when a
// statement was under way, in PostgreSQL's (query_canceled). A statement that
// took too long has the same code and other words, and is heard of.
func cancellation(text string) bool {
	return strings.Contains(text, context.Canceled.Error()) || strings.Contains(text, "canceling statement due to user request")
}

// WithAttrs is quiet too.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup is quiet too.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
