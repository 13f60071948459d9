package bot

import "sync"

// maxRecent bounds the memory of a set of recent things.
const maxRecent = 10_000

// recent remembers names of things that were so a moment ago, to spare a
// question to the database. Forgetting one costs that question, nothing else.
type recent struct {
	mu  sync.Mutex // guards all
	all map[string]struct{}
}

func (r *recent) has(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.all[name]
	return ok
}

func (r *recent) add(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil || len(r.all) >= maxRecent {
		r.all = map[string]struct{}{}
	}
	r.all[name] = struct{}{}
}
