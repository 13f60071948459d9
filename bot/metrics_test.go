package bot

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	for _, m := range []*Metrics{nil, NewMetrics(reg)} { // nil must do nothing
		m.Inbound("fake", "message", ResultOK)
		m.Inbound("fake", "", ResultUnverified)
		m.Verdict("fake", nil)
		m.Visible(time.Second)
		m.OutboxAge(time.Minute)
		m.TimerLate(-time.Second)
		m.Posts(2)
		m.DeadLetters(3)
		m.HintFailed("fake")
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n != 9 {
		t.Errorf("%d series, %v", n, err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) != 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestVerdictsHaveNames(t *testing.T) {
	for want, err := range map[string]error{
		"ok": nil, "rate_limited": fmt.Errorf("post: %w", RateLimited{After: time.Second}), "gone": fmt.Errorf("update: %w", ErrGone),
		"unauthorized": ErrUnauthorized, "rejected": ErrRejected, "unknown": ErrUnknown, "retry": errors.New("connection reset"),
	} {
		if got := verdictName(err); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}
