package bot

import (
	"context"
	"time"
)

// NoShelf is a Shelf that keeps nothing, for who only looks: a check-up beside
// the running server, or a replay.
type NoShelf struct{}

var _ Shelf = NoShelf{}

// Get implements Shelf.
func (NoShelf) Get(context.Context, string) (string, error) { return "", nil }

// Put implements Shelf.
func (NoShelf) Put(context.Context, string, string, time.Duration) error { return nil }

// Push implements Shelf.
func (NoShelf) Push(context.Context, string, string, time.Duration) error { return nil }

// Pop implements Shelf.
func (NoShelf) Pop(context.Context, string) (string, error) { return "", nil }

// Swap implements Shelf: nothing is ever taken.
func (NoShelf) Swap(context.Context, string, string, string, time.Duration) (bool, error) {
	return false, nil
}

// Add implements Shelf.
func (NoShelf) Add(_ context.Context, _ string, n int64, _ time.Duration) (int64, error) {
	return n, nil
}
