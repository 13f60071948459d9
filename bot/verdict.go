package bot

import (
	"errors"
	"fmt"
	"time"
)

// A send returns a verdict as its error: nil, one of the types below, or
// anything else, which means "try again later".

// RateLimited means: wait. All is the whole install, else only this destination.
type RateLimited struct {
	After time.Duration
	All   bool
}

func (e RateLimited) Error() string { return fmt.Sprintf("rate limited, again in %s", e.After) }

// The other verdicts, to be tested with errors.Is.
var (
	// ErrGone means: the message or the place is not there any more, or can no
	// longer be changed. What it showed is posted anew, or not shown there.
	ErrGone = errors.New("gone")
	// ErrUnauthorized means: our credentials are refused. The install is paused
	// and an admin is told.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrRejected means: this very request will never be accepted.
	ErrRejected = errors.New("rejected")
	// ErrFixed means: what stands there cannot be changed now, though a press on
	// it may bring the right to. A successor is posted once in a while.
	ErrFixed = errors.New("cannot be changed now")
	// ErrMustSpeak means: the platform lets us write there only after the person
	// has. The message waits until he does.
	ErrMustSpeak = errors.New("they must write first")
	// ErrUnknown means: it may have been done or not. See Finder.
	ErrUnknown = errors.New("outcome unknown")
)

// ErrNotYet is returned by Dispatch for what may be about a card that we do not
// know by its name yet: the platform shall send it again, a little later.
var ErrNotYet = errors.New("about a card that is just being posted")
