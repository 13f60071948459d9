package jobs

import (
	"slices"
	"sync"

	"github.com/riverqueue/river/riverdriver"
)

// insertTopic is what River's producers listen to for new jobs.
const insertTopic = "river_insert"

// insertPayload needs no escaping: River allows letters, digits, - and _ in a queue's name.
func insertPayload(queue string) string { return `{"queue":"` + queue + `"}` }

// waker tells the producers of this process that there are jobs, without the
// database. It is all that SQLite has, whose file one process alone has open.
// On PostgreSQL it spares a NOTIFY, which costs a round trip and makes commits
// wait for each other, and it hears every insert, where River drops a NOTIFY
// that follows another one too closely.
type waker struct {
	mu    sync.Mutex // guards hears
	hears map[chan riverdriver.Notification]struct{}
}

// subscribe returns where messages come in.
func (w *waker) subscribe() chan riverdriver.Notification {
	c := make(chan riverdriver.Notification, 256)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hears == nil {
		w.hears = map[chan riverdriver.Notification]struct{}{}
	}
	w.hears[c] = struct{}{}
	return c
}

func (w *waker) unsubscribe(c chan riverdriver.Notification) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.hears, c)
}

// wake says that the queues have something to do. Who is too far behind to hear
// it has enough messages that say the same.
func (w *waker) wake(queues []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, queue := range distinct(queues) {
		for c := range w.hears {
			select {
			case c <- riverdriver.Notification{Topic: insertTopic, Payload: insertPayload(queue)}:
			default:
			}
		}
	}
}

func distinct(queues []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(queues)))
}
