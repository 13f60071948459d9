package browsertest

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestThePageIsDrivenLikeByAPerson(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "script-src 'nonce-ok'; connect-src 'none'")
		if _, err := w.Write([]byte(`<!doctype html><title>t</title><link rel="icon" href="data:,">
<input id="in"><button id="b">press</button><p id="p"></p>
<script nonce="ok">
const p = document.getElementById('p'), i = document.getElementById('in');
document.getElementById('b').onclick = (ev) => { p.textContent = ev.isTrusted + ' ' + i.value; };
i.onkeydown = (ev) => { if (ev.key === 'Enter') setTimeout(() => { p.textContent = 'entered ' + ev.shiftKey; }, 100); };
</script>`)); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	p := Start(t).Open(srv.URL, 390, 844)
	p.Type("#in", "你好")
	p.Click("#b")
	p.WaitText("#p", "true 你好")
	p.Press("Shift+Enter")
	p.Type("#in", "x")
	p.Press("Shift+Enter")
	p.WaitText("#p", "entered true")
	var width int
	p.Eval("Promise.resolve(innerWidth)", &width)
	if width < 390 {
		t.Errorf("the window is %d wide", width)
	}
	data, err := os.ReadFile(p.Screenshot("one"))
	if err != nil || !strings.HasPrefix(string(data), "\x89PNG") {
		t.Errorf("no screenshot: %v", err)
	}
	p.NoFaults()
	p.Eval(`document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="alert(1)">'); console.error('oh')`, nil)
	p.Wait("a violation", "true")
	p.Reload()
	if f := p.Faults(); len(f) == 0 {
		t.Error("neither the console's error nor the violation was seen")
	}
}
