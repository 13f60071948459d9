package feishu

import (
	"sync"
	"time"
)

// cacheSize bounds every cache; a full one forgets something at random.
const cacheSize = 20_000

// cache remembers what Feishu told for a while. Losing an entry costs one more call.
type cache[V any] struct {
	now  func() time.Time
	ttl  time.Duration
	mu   *sync.Mutex // guards rows
	rows map[string]cached[V]
}

type cached[V any] struct {
	value V
	until time.Time
}

func newCache[V any](now func() time.Time, ttl time.Duration) cache[V] {
	return cache[V]{now: now, ttl: ttl, mu: &sync.Mutex{}, rows: map[string]cached[V]{}}
}

func (c cache[V]) get(key string) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	row, ok := c.rows[key]
	if !ok || !c.now().Before(row.until) {
		var none V
		return none, false
	}
	return row.value, true
}

func (c cache[V]) put(key string, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(key, value)
}

// first returns what is there, or puts what make makes.
func (c cache[V]) first(key string, make func() V) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if row, ok := c.rows[key]; ok && c.now().Before(row.until) {
		return row.value
	}
	value := make()
	c.set(key, value)
	return value
}

func (c cache[V]) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.rows, key)
}

// set needs c.mu.
func (c cache[V]) set(key string, value V) {
	if _, ok := c.rows[key]; !ok && len(c.rows) >= cacheSize {
		for other := range c.rows {
			delete(c.rows, other)
			break
		}
	}
	c.rows[key] = cached[V]{value, c.now().Add(c.ttl)}
}
