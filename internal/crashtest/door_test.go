//go:build unix

package crashtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"
)

// history is the file of everything that was said and what was acknowledged. The
// checker believes this file and nothing that the program says of itself.
type history struct {
	path string
	mu   sync.Mutex // guards file
	file *os.File
}

// entry is a line of the history.
type entry struct {
	Said   string `json:"said,omitempty"`   // what the marker was written as: request, more, note …
	By     string `json:"by,omitempty"`     // who did
	Marker string `json:"marker,omitempty"` // that the text carries, unlike every other text
	Key    string `json:"key,omitempty"`    // of a delivery: the event's id, or a digest of the form
	Status int    `json:"status,omitempty"` // of a delivery; 0 = no answer
	Click  string `json:"click,omitempty"`  // label of a button whose press was acknowledged
	Ref    string `json:"ref,omitempty"`    // of the message said, or that holds the button
}

func newHistory(t *testing.T, path string) *history {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // all was written; only its descriptor is left
	return &history{path: path, file: f}
}

func (h *history) add(e entry) {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and numbers only
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.file.Write(append(b, '\n')); err != nil {
		panic(err) // a test without its history is worth nothing
	}
}

func (h *history) read(t *testing.T) []entry {
	t.Helper()
	data, err := os.ReadFile(h.path)
	if err != nil {
		t.Fatal(err)
	}
	var out []entry
	for line := range bytes.Lines(data) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

var markerRE = regexp.MustCompile(`\[m-\d{6}\]`)

// door stands between the platform and the processes, as a load balancer does:
// deliveries go to the open processes in turn, some of them to two at once.
type door struct {
	server  *httptest.Server
	client  *http.Client
	history *history

	mu      sync.Mutex // guards the rest
	open_   []string
	next    int
	changed chan struct{} // closed and made anew when a process comes
	twice   float64       // share of the deliveries that two processes get at once
	rand    *rand.Rand
	passed  func() // called for every delivery, when set
	counts  map[int]int
}

func newDoor(t *testing.T, h *history) *door {
	d := &door{
		history: h, changed: make(chan struct{}), rand: rand.New(rand.NewPCG(1, 2)), counts: map[int]int{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	d.server = httptest.NewServer(d)
	t.Cleanup(func() { d.client.CloseIdleConnections(); d.server.Close() })
	return d
}

func (d *door) url() string { return d.server.URL }

func (d *door) open(url string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open_ = append(d.open_, url)
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *door) shut(url string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open_ = slices.DeleteFunc(d.open_, func(u string) bool { return u == url })
}

// awaitOpen waits until a process is there.
func (d *door) awaitOpen(within time.Duration) {
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		d.mu.Lock()
		n, changed := len(d.open_), d.changed
		d.mu.Unlock()
		if n > 0 {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			return
		}
	}
}

// onPass sets what is called for every delivery that comes.
func (d *door) onPass(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.passed = f
}

// status says how many deliveries were answered with a status; 0 = not answered.
func (d *door) status(code int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts[code]
}

// pick chooses who gets a delivery.
func (d *door) pick() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed != nil {
		d.passed()
	}
	n := len(d.open_)
	if n == 0 {
		return nil
	}
	d.next++
	out := []string{d.open_[d.next%n]}
	if n > 1 && d.rand.Float64() < d.twice {
		out = append(out, d.open_[(d.next+1)%n])
	}
	return out
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the platform gave up
	}
	answers := make([]*answer, 0, 2)
	var sending sync.WaitGroup
	for _, url := range d.pick() {
		a := &answer{}
		answers = append(answers, a)
		sending.Go(func() { *a = d.forward(r, url, body) })
	}
	sending.Wait()
	e := entry{Key: keyOf(r, body), Marker: markerRE.FindString(string(body))}
	best := &answer{status: http.StatusBadGateway}
	for _, a := range answers {
		if a.status/100 == 2 || best.status == http.StatusBadGateway && a.status != 0 {
			best = a
		}
		e.Status = a.status
		d.history.add(e)
		d.mu.Lock()
		d.counts[a.status]++
		d.mu.Unlock()
	}
	for k, v := range best.header {
		w.Header()[k] = v
	}
	w.WriteHeader(best.status)
	if _, err := w.Write(best.body); err != nil {
		return // the platform gave up
	}
}

// answer is what a process said; status 0 is nothing.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// forward brings a delivery to a process, or to another one when that one is
// not there any more: nothing was sent then.
func (d *door) forward(r *http.Request, url string, body []byte) answer {
	for tries := 0; ; tries++ {
		req, err := http.NewRequestWithContext(r.Context(), r.Method, url+r.URL.Path, bytes.NewReader(body))
		if err != nil {
			return answer{}
		}
		req.Header = r.Header.Clone()
		resp, err := d.client.Do(req)
		var dial *net.OpError
		if err != nil && errors.As(err, &dial) && dial.Op == "dial" && tries < 3 {
			d.shut(url)
			if others := d.pick(); len(others) > 0 {
				url = others[0]
				continue
			}
		}
		if err != nil {
			return answer{}
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close() // read to its end or broken
		if err != nil {
			return answer{}
		}
		return answer{resp.StatusCode, resp.Header, b}
	}
}

// keyOf is the same for every attempt of one delivery.
func keyOf(r *http.Request, body []byte) string {
	if r.Header.Get("Content-Type") == "application/json" {
		var ev struct {
			ID string `json:"event_id"`
		}
		if json.Unmarshal(body, &ev) == nil && ev.ID != "" {
			return ev.ID
		}
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

// weather stands between the processes and the platform and can be bad.
type weather struct {
	server *httptest.Server
	client *http.Client
	target string

	mu   sync.Mutex // guards the rest
	plan func(method string) fault
	met  map[fault]int
}

// fault is what a call of the platform meets.
type fault string

const (
	fine        fault = ""
	limited     fault = "429 with Retry-After"
	limitedBare fault = "429 without Retry-After"
	broken      fault = "500"
	cutBefore   fault = "no connection"
	lostAnswer  fault = "done, answer lost"
	slow        fault = "slow"
	rejected    fault = "rejected"
)

func newWeather(t *testing.T, target string) *weather {
	w := &weather{target: target, met: map[fault]int{}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	w.server = httptest.NewServer(w)
	t.Cleanup(func() { w.client.CloseIdleConnections(); w.server.Close() })
	return w
}

func (w *weather) url() string { return w.server.URL }

func (w *weather) become(plan func(method string) fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plan = plan
}

func (w *weather) next(method string) fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := fine
	if w.plan != nil {
		f = w.plan(method)
	}
	w.met[f]++
	return f
}

func (w *weather) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller died
	}
	say := func(status int, text string) {
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(status)
		_, _ = io.WriteString(out, text) // a caller that died
	}
	f := w.next(r.URL.Path[len("/api/"):])
	switch f {
	case limited:
		out.Header().Set("Retry-After", "1")
		say(http.StatusTooManyRequests, `{"ok":false,"error":"ratelimited"}`)
		return
	case limitedBare:
		say(http.StatusTooManyRequests, `{"ok":false,"error":"ratelimited"}`)
		return
	case broken:
		say(http.StatusInternalServerError, "<html>server error</html>")
		return
	case rejected:
		say(http.StatusOK, `{"ok":false,"error":"invalid_blocks"}`)
		return
	case cutBefore:
		panic(http.ErrAbortHandler)
	case slow:
		late := time.NewTimer(300 * time.Millisecond)
		defer late.Stop()
		select {
		case <-late.C:
		case <-r.Context().Done():
		}
	}
	// The platform goes on with what it was asked, also when whoever asked is dead.
	req, err := http.NewRequest(r.Method, w.target+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header.Clone()
	resp, err := w.client.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || f == lostAnswer {
		panic(http.ErrAbortHandler)
	}
	for k, v := range resp.Header {
		out.Header()[k] = v
	}
	out.WriteHeader(resp.StatusCode)
	_, _ = out.Write(b) // a caller that died
}
