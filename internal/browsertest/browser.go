// Package browsertest drives a real, headless Chromium in tests, over the
// DevTools protocol (https://chromedevtools.github.io/devtools-protocol/). It is
// a test helper: everything that goes wrong fails the test.
package browsertest

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Patience is how long a wait goes on before it fails the test.
const Patience = 20 * time.Second

// Browser is a running Chromium. It ends with the test.
type Browser struct {
	t    testing.TB
	conn *websocket.Conn

	mu      sync.Mutex // guards what follows, and writing to conn
	next    int
	waiting map[int]chan message
	pages   map[string]*Page // by session
	closed  error
}

type message struct {
	ID        int             `json:"id,omitempty"`
	Session   string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Exception *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// find looks for Chromium under the names that systems give it.
func find() (string, error) {
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Chromium is installed: apt-get install chromium fonts-noto-cjk (or say in CHROMIUM where it is)")
}

// Start runs Chromium. When none is installed, the test fails and says how to
// get it: a page that nobody looked at is not tested.
func Start(t testing.TB) *Browser {
	t.Helper()
	path, err := find()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "browsertest")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
		"--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--hide-scrollbars", "--mute-audio",
		"--lang=zh-CN", "--accept-lang=zh-CN,zh", "--user-data-dir="+dir, "--remote-debugging-port=0", "about:blank")
	cmd.Env = append(os.Environ(), "LANGUAGE=zh_CN")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	address := make(chan string, 1)
	read := make(chan struct{})
	var tail lines
	go func() {
		defer close(read)
		s := bufio.NewScanner(stderr)
		for s.Scan() {
			tail.add(s.Text())
			if at, ok := strings.CutPrefix(s.Text(), "DevTools listening on "); ok {
				address <- at
			}
		}
	}()
	t.Cleanup(func() {
		end(cmd)
		<-read
		_ = cmd.Wait() // it was killed
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("remove %s: %v", dir, err)
		}
	})
	var url string
	select {
	case url = <-address:
	case <-read:
		t.Fatalf("Chromium ended at once:\n%s", tail.text())
	case <-time.After(time.Minute):
		t.Fatalf("Chromium did not open its DevTools in a minute:\n%s", tail.text())
	}
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatalf("connect to Chromium: %v", err)
	}
	b := &Browser{t: t, conn: conn, waiting: map[int]chan message{}, pages: map[string]*Page{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.read()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return b
}

// lines keeps what a process said last.
type lines struct {
	mu   sync.Mutex
	last []string
}

func (l *lines) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, s)
	if len(l.last) > 20 {
		l.last = l.last[1:]
	}
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last, "\n")
}

func (b *Browser) read() {
	for {
		var m message
		if err := b.conn.ReadJSON(&m); err != nil {
			b.mu.Lock()
			b.closed = err
			for id, ch := range b.waiting {
				close(ch)
				delete(b.waiting, id)
			}
			b.mu.Unlock()
			return
		}
		b.mu.Lock()
		ch := b.waiting[m.ID]
		delete(b.waiting, m.ID)
		page := b.pages[m.Session]
		b.mu.Unlock()
		switch {
		case ch != nil:
			ch <- m
		case page != nil && m.Method != "":
			page.heard(m)
		}
	}
}

// call does one command of the protocol and reads its result into out.
func (b *Browser) call(session, method string, params, out any) error {
	raw, err := json.Marshal(params)
	if err != nil {
		return err
	}
	ch := make(chan message, 1)
	b.mu.Lock()
	if b.closed != nil {
		b.mu.Unlock()
		return b.closed
	}
	b.next++
	id := b.next
	b.waiting[id] = ch
	err = b.conn.WriteJSON(message{ID: id, Session: session, Method: method, Params: raw})
	b.mu.Unlock()
	if err != nil {
		return err
	}
	timer := time.NewTimer(Patience + 10*time.Second)
	defer timer.Stop()
	select {
	case m, ok := <-ch:
		if !ok {
			return fmt.Errorf("%s: Chromium is gone", method)
		}
		if m.Exception != nil {
			return fmt.Errorf("%s: %s", method, m.Exception.Message)
		}
		if out == nil {
			return nil
		}
		return json.Unmarshal(m.Result, out)
	case <-timer.C:
		return fmt.Errorf("%s: no answer", method)
	}
}

// Page is a tab.
type Page struct {
	t       testing.TB
	b       *Browser
	session string

	mu     sync.Mutex
	faults []string
}

type object = map[string]any

// Open opens a tab of its own cookies and storage, in a window of width×height
// CSS pixels, and goes to url. A width of at most 500 makes it a phone.
func (b *Browser) Open(url string, width, height int) *Page {
	b.t.Helper()
	var made struct {
		Context string `json:"browserContextId"`
		Target  string `json:"targetId"`
		Session string `json:"sessionId"`
	}
	must(b.t, b.call("", "Target.createBrowserContext", object{}, &made))
	must(b.t, b.call("", "Target.createTarget", object{"url": "about:blank", "browserContextId": made.Context}, &made))
	must(b.t, b.call("", "Target.attachToTarget", object{"targetId": made.Target, "flatten": true}, &made))
	p := &Page{t: b.t, b: b, session: made.Session}
	b.mu.Lock()
	b.pages[made.Session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.do(domain+".enable", object{}, nil)
	}
	p.do("Emulation.setFocusEmulationEnabled", object{"enabled": true}, nil)
	p.Size(width, height)
	p.Go(url)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *Page) do(method string, params, out any) {
	p.t.Helper()
	must(p.t, p.b.call(p.session, method, params, out))
}

// heard collects what a page complains about.
func (p *Page) heard(m message) {
	var fault string
	switch m.Method {
	case "Runtime.exceptionThrown":
		var e struct {
			Details struct {
				Text      string `json:"text"`
				Exception struct {
					Description string `json:"description"`
				} `json:"exception"`
			} `json:"exceptionDetails"`
		}
		if err := json.Unmarshal(m.Params, &e); err != nil {
			fault = "unreadable exception: " + err.Error()
			break
		}
		fault = "exception: " + e.Details.Text + " " + e.Details.Exception.Description
	case "Runtime.consoleAPICalled":
		var c struct {
			Type string            `json:"type"`
			Args []json.RawMessage `json:"args"`
		}
		if err := json.Unmarshal(m.Params, &c); err != nil || c.Type == "error" || c.Type == "assert" {
			fault = fmt.Sprintf("console: %s", m.Params)
		}
	case "Log.entryAdded": // refused requests, violations of the content security policy
		var l struct {
			Entry struct {
				Level, Source, Text, URL string
			} `json:"entry"`
		}
		if err := json.Unmarshal(m.Params, &l); err != nil || l.Entry.Level == "error" || l.Entry.Source == "security" {
			fault = fmt.Sprintf("log: %s %s", l.Entry.Text, l.Entry.URL)
		}
	case "Page.javascriptDialogOpening":
		fault = "the page opened a dialog of the browser"
	}
	if fault != "" {
		p.mu.Lock()
		p.faults = append(p.faults, fault)
		p.mu.Unlock()
	}
}

// Faults are the errors that the page has met so far: exceptions, console
// errors, requests that failed, violations of the content security policy. They
// are forgotten by the call.
func (p *Page) Faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.faults
	p.faults = nil
	return out
}

// NoFaults fails the test if there are Faults.
func (p *Page) NoFaults() {
	p.t.Helper()
	for _, f := range p.Faults() {
		p.t.Errorf("the page has met an error: %s", f)
	}
}

// Size sets the window.
func (p *Page) Size(width, height int) {
	p.t.Helper()
	phone := width <= 500
	p.do("Emulation.setDeviceMetricsOverride", object{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}, nil)
	p.do("Emulation.setTouchEmulationEnabled", object{"enabled": phone}, nil)
}

// Dark chooses between the dark and the light colours.
func (p *Page) Dark(dark bool) {
	p.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	p.do("Emulation.setEmulatedMedia", object{"features": []object{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Offline cuts the page off, or connects it again.
func (p *Page) Offline(yes bool) {
	p.t.Helper()
	p.do("Network.emulateNetworkConditions", object{"offline": yes, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}, nil)
}

// Go navigates and waits until the new document is loaded.
func (p *Page) Go(url string) {
	p.t.Helper()
	var nav struct {
		Error string `json:"errorText"`
	}
	p.do("Page.navigate", object{"url": url}, &nav)
	if nav.Error != "" {
		p.t.Fatalf("go to %s: %s", url, nav.Error)
	}
	p.Wait("the page is loaded", `document.readyState === 'complete' && location.href !== 'about:blank'`)
}

// Reload loads the page again.
func (p *Page) Reload() {
	p.t.Helper()
	p.Eval(`window.beforeReload = true`, nil)
	p.do("Page.reload", object{}, nil)
	p.Wait("the page is loaded", `!window.beforeReload && document.readyState === 'complete'`)
}

// try evaluates an expression and awaits it when it is a promise.
func (p *Page) try(js string, out any) error {
	var r struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	if err := p.b.call(p.session, "Runtime.evaluate", object{"expression": js, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &r); err != nil {
		return err
	}
	if r.Exception != nil {
		return fmt.Errorf("%s %s", r.Exception.Text, r.Exception.Exception.Description)
	}
	if out == nil || len(r.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(r.Result.Value, out)
}

// Eval runs JavaScript in the page, awaits its value, and reads it into out.
func (p *Page) Eval(js string, out any) {
	p.t.Helper()
	if err := p.try(js, out); err != nil {
		p.t.Fatalf("evaluate %s: %v", js, err)
	}
}

// Wait waits until the JavaScript condition is true. what is said when it never is.
func (p *Page) Wait(what, condition string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	// The page looks by itself, at every change: there is no pause to choose. A
	// navigation ends the evaluation; then it begins again in the new document.
	js := fmt.Sprintf(`new Promise((done) => {
		const ok = () => { try { return Boolean(%s) } catch { return false } };
		const end = (v) => { clearInterval(i); clearTimeout(t); done(v) };
		const i = setInterval(() => { if (ok()) end(true) }, 20);
		const t = setTimeout(() => end(false), 2000);
		if (ok()) end(true);
	})`, condition)
	var err error
	for ctx.Err() == nil {
		var ok bool
		if err = p.try(js, &ok); err == nil && ok {
			return
		}
	}
	var body string
	_ = p.try(`document.body.innerText.slice(0, 3000)`, &body) // only to tell more
	p.t.Fatalf("waited %s in vain until %s (%s): %v\npage errors: %q\nthe page reads:\n%s", Patience, what, condition, err, p.Faults(), body)
}

// quote makes a JavaScript string.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(b)
}

const visible = `((s) => [...document.querySelectorAll(s)].filter((e) => e.getClientRects().length > 0))`

// WaitFor waits until an element that selector finds is to be seen.
func (p *Page) WaitFor(selector string) {
	p.t.Helper()
	p.Wait(selector+" shows", visible+"("+quote(selector)+").length > 0")
}

// WaitGone waits until no element that selector finds is to be seen.
func (p *Page) WaitGone(selector string) {
	p.t.Helper()
	p.Wait(selector+" is gone", visible+"("+quote(selector)+").length === 0")
}

// WaitText waits until a visible element that selector finds contains text.
func (p *Page) WaitText(selector, text string) {
	p.t.Helper()
	p.Wait(selector+" says "+text, visible+"("+quote(selector)+").some((e) => e.textContent.includes("+quote(text)+"))")
}

// Text is the text of the last element that selector finds.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	p.WaitFor(selector)
	var s string
	p.Eval(visible+"("+quote(selector)+").at(-1).innerText", &s)
	return s
}

// Count is how many visible elements selector finds.
func (p *Page) Count(selector string) int {
	p.t.Helper()
	var n int
	p.Eval(visible+"("+quote(selector)+").length", &n)
	return n
}

// Click clicks with the mouse on the last visible element that selector finds.
// It waits until the element is there, can be pressed, and stands still.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.WaitFor(selector)
	var at struct{ X, Y float64 }
	p.Eval(fmt.Sprintf(`(async () => {
		const find = () => %s(%s).filter((e) => !e.disabled).at(-1);
		let last = '';
		for (let i = 0; i < 300; i++) {
			const e = find();
			if (e) {
				e.scrollIntoView({ block: 'nearest', inline: 'nearest', behavior: 'instant' });
				const r = e.getBoundingClientRect(), now = [r.x, r.y, r.width, r.height].join();
				const x = r.x + r.width / 2, y = r.y + r.height / 2;
				const hit = document.elementFromPoint(x, y);
				if (now === last && hit && (e.contains(hit) || hit.contains(e))) return { X: x, Y: y };
				last = now;
			}
			await new Promise((done) => setTimeout(done, 16));
		}
		throw new Error('it cannot be pressed: it moves, is disabled, or something lies over it');
	})()`, visible, quote(selector)), &at)
	p.do("Input.dispatchMouseEvent", object{"type": "mouseMoved", "x": at.X, "y": at.Y}, nil)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.do("Input.dispatchMouseEvent", object{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
}

// Hover moves the mouse over the last visible element that selector finds.
func (p *Page) Hover(selector string) {
	p.t.Helper()
	p.WaitFor(selector)
	var at struct{ X, Y float64 }
	p.Eval(fmt.Sprintf(`(() => { const e = %s(%s).at(-1); e.scrollIntoView({ block: 'nearest', behavior: 'instant' }); const r = e.getBoundingClientRect(); return { X: r.x + r.width / 2, Y: r.y + Math.min(r.height / 2, 20) } })()`, visible, quote(selector)), &at)
	p.do("Input.dispatchMouseEvent", object{"type": "mouseMoved", "x": at.X, "y": at.Y}, nil)
}

// Type puts text in place of what the last visible element that selector finds holds.
func (p *Page) Type(selector, text string) {
	p.t.Helper()
	p.WaitFor(selector)
	p.Eval(fmt.Sprintf(`(() => { const e = %s(%s).at(-1); e.focus(); e.select && e.select() })()`, visible, quote(selector)), nil)
	if text == "" {
		p.Press("Backspace")
		return
	}
	p.do("Input.insertText", object{"text": text}, nil)
}

// Choose sets a select element, or a date or time input, to value.
func (p *Page) Choose(selector, value string) {
	p.t.Helper()
	p.WaitFor(selector)
	p.Eval(fmt.Sprintf(`(() => {
		const e = %s(%s).at(-1);
		e.value = %s;
		if (e.value !== %[3]s) throw new Error('there is no such choice');
		e.dispatchEvent(new Event('input', { bubbles: true }));
		e.dispatchEvent(new Event('change', { bubbles: true }));
	})()`, visible, quote(selector), quote(value)), nil)
}

var keys = map[string]object{
	"Enter":     {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
	"Escape":    {"key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 27},
	"Tab":       {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9},
	"Backspace": {"key": "Backspace", "code": "Backspace", "windowsVirtualKeyCode": 8},
	"ArrowDown": {"key": "ArrowDown", "code": "ArrowDown", "windowsVirtualKeyCode": 40},
	"ArrowUp":   {"key": "ArrowUp", "code": "ArrowUp", "windowsVirtualKeyCode": 38},
}

// Press presses a key: Enter, Escape, Tab, Backspace, ArrowDown or ArrowUp,
// "Shift+" before it if wanted.
func (p *Page) Press(key string) {
	p.t.Helper()
	name, shift := strings.CutPrefix(key, "Shift+")
	k, ok := keys[name]
	if !ok {
		p.t.Fatalf("no key is called %q", key)
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		ev := object{"type": kind}
		for field, v := range k {
			ev[field] = v
		}
		if shift {
			ev["modifiers"] = 8
		}
		if kind == "keyUp" {
			delete(ev, "text")
		}
		p.do("Input.dispatchKeyEvent", ev, nil)
	}
}

// Upload puts files into a file input.
func (p *Page) Upload(selector string, paths ...string) {
	p.t.Helper()
	var doc struct {
		Root struct {
			NodeID int `json:"nodeId"`
		} `json:"root"`
		NodeID int `json:"nodeId"`
	}
	p.do("DOM.getDocument", object{}, &doc)
	p.do("DOM.querySelector", object{"nodeId": doc.Root.NodeID, "selector": selector}, &doc)
	p.do("DOM.setFileInputFiles", object{"nodeId": doc.NodeID, "files": paths}, nil)
}

// Screenshot writes what the window shows to a PNG file and returns its path.
// The folder is that of the environment variable BROWSERTEST_SHOTS, else a
// temporary one.
func (p *Page) Screenshot(name string) string {
	p.t.Helper()
	dir := os.Getenv("BROWSERTEST_SHOTS")
	if dir == "" {
		dir = p.t.TempDir()
	}
	var shot struct {
		Data string `json:"data"`
	}
	p.do("Page.captureScreenshot", object{"format": "png"}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	must(p.t, err)
	path := filepath.Join(dir, name+".png")
	must(p.t, os.WriteFile(path, data, 0o600))
	return path
}
