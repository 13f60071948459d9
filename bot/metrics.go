package bot

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics answers the questions that operators ask: does anything come in, does
// it reach the chats, how late is it, and how much noise do we make. Labels are
// small sets: never an install, a person or a ticket. A nil *Metrics counts
// nothing, so that whoever uses it need not ask.
type Metrics struct {
	inbound   *prometheus.CounterVec
	verdicts  *prometheus.CounterVec
	visible   prometheus.Histogram
	outboxAge prometheus.Gauge
	timerLate prometheus.Histogram
	posts     prometheus.Histogram
	dead      prometheus.Gauge
	hints     *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them with reg. It panics when they
// are registered there already, which is a mistake in wiring.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		inbound: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "paidan_inbound_total",
			Help: "Requests and frames from platforms, by what they were and what became of them.",
		}, []string{"platform", "kind", "result"}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "paidan_verdicts_total",
			Help: "Sends to platforms by their outcome.",
		}, []string{"platform", "verdict"}),
		visible: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "paidan_commit_to_visible_seconds",
			Help:    "From the commit of a change to the platform's word that the card shows it.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2, 3, 5, 10, 30, 60, 300, 900},
		}),
		outboxAge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "paidan_outbox_age_seconds",
			Help: "Age of the oldest row that waits to be sent.",
		}),
		timerLate: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "paidan_timer_late_seconds",
			Help:    "How late timers fired.",
			Buckets: []float64{.1, .5, 1, 2, 5, 10, 30, 60, 300, 900, 3600},
		}),
		posts: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "paidan_posts_per_ticket",
			Help:    "Messages that a closed ticket has made in one conversation; edits do not count.",
			Buckets: []float64{0, 1, 2, 3, 4, 6, 8, 12, 20},
		}),
		dead: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "paidan_dead_letters",
			Help: "Rows that were given up and wait for a human.",
		}),
		hints: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "paidan_hint_failures_total",
			Help: "Private answers that reached nobody.",
		}, []string{"platform"}),
	}
	reg.MustRegister(m.inbound, m.verdicts, m.visible, m.outboxAge, m.timerLate, m.posts, m.dead, m.hints)
	return m
}

// Inbound counts a request or a frame. kind is Inbound.Kind, and "" before that
// is known; result is one of the Result constants.
func (m *Metrics) Inbound(platform, kind, result string) {
	if m == nil {
		return
	}
	if kind == "" {
		kind = "unknown"
	}
	m.inbound.WithLabelValues(platform, kind, result).Inc()
}

// Verdict counts a send by what it returned.
func (m *Metrics) Verdict(platform string, err error) {
	if m == nil {
		return
	}
	m.verdicts.WithLabelValues(platform, verdictName(err)).Inc()
}

func verdictName(err error) string {
	var limited RateLimited
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &limited):
		return "rate_limited"
	case errors.Is(err, ErrGone):
		return "gone"
	case errors.Is(err, ErrUnauthorized):
		return "unauthorized"
	case errors.Is(err, ErrRejected):
		return "rejected"
	case errors.Is(err, ErrUnknown):
		return "unknown"
	}
	return "retry"
}

// Visible observes how long a change took to be seen.
func (m *Metrics) Visible(since time.Duration) {
	if m != nil {
		m.visible.Observe(since.Seconds())
	}
}

// OutboxAge tells the age of the oldest row that waits; 0 when none does.
func (m *Metrics) OutboxAge(age time.Duration) {
	if m != nil {
		m.outboxAge.Set(age.Seconds())
	}
}

// TimerLate observes how late a timer fired. Early counts as on time: clocks of
// two machines differ.
func (m *Metrics) TimerLate(late time.Duration) {
	if m != nil {
		m.timerLate.Observe(max(late, 0).Seconds())
	}
}

// Posts observes how many messages a ticket made in one conversation by the
// time it closed.
func (m *Metrics) Posts(n int) {
	if m != nil {
		m.posts.Observe(float64(n))
	}
}

// DeadLetters tells how many rows were given up.
func (m *Metrics) DeadLetters(n int) {
	if m != nil {
		m.dead.Set(float64(n))
	}
}

// HintFailed counts a private answer that could not be delivered.
func (m *Metrics) HintFailed(platform string) {
	if m != nil {
		m.hints.WithLabelValues(platform).Inc()
	}
}
