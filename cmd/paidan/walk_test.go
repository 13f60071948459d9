//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/paidan/paidan/internal/browsertest"
)

// TestNewcomerWalksThroughADesk is the first quarter of an hour of somebody who
// has just started the program: a customer asks, an agent takes it, answers,
// solves, the customer confirms; the process is killed on the way and loses
// nothing. It is done in a real browser, with the real binary, as README says.
func TestNewcomerWalksThroughADesk(t *testing.T) {
	for _, screen := range []struct {
		name          string
		width, height int
	}{{"desktop", 1280, 860}, {"phone", 390, 844}} {
		t.Run(screen.name, func(t *testing.T) {
			s := startBinary(t, t.TempDir())
			page := browsertest.Start(t).Open(s.url, screen.width, screen.height)
			w := walk{t, page, screen.width < 700}

			w.be("wangfang", "g-east")
			w.say("@工单 建单 ERP 登录不了")
			receipt := w.card("ERP 登录不了", "")
			page.Screenshot("walk-1-asked-" + screen.name)

			w.be("lisi", "g-desk")
			team := w.card("ERP 登录不了", "open")
			page.Screenshot("walk-2-team-" + screen.name)
			page.Click(team + ` [data-testid=action][data-verb=claim]`)
			w.card("ERP 登录不了", "busy")
			page.Screenshot("walk-3-claimed-" + screen.name)
			if n := page.Count(`[data-testid=stream] [data-testid=card][data-ticket="` + w.ticket(team) + `"]`); n != 1 {
				t.Fatalf("%d cards of the ticket in the agents' group, want the one that changed in place", n)
			}

			w.be("wangfang", "g-east")
			page.WaitText(receipt, "李四")

			s.kill()
			s = restartBinary(t, s)
			page.Go(s.url)
			page.Wait("the page is live", `document.body.dataset.live === "1"`)
			w.be("lisi", "g-desk")
			team = w.card("ERP 登录不了", "busy")

			w.menu(team, "reply")
			page.WaitFor(`[data-testid=form]`)
			page.Type(`[data-testid=input-text]`, "已为您重置密码，请再试一次。")
			page.Screenshot("walk-4-form-" + screen.name)
			page.Click(`[data-testid=form-submit]`)
			page.WaitGone(`[data-testid=form]`)
			w.be("wangfang", "g-east")
			page.WaitText(`body`, "已为您重置密码")
			page.Screenshot("walk-5-replied-" + screen.name)

			w.be("lisi", "g-desk")
			team = w.card("ERP 登录不了", "busy")
			page.Click(team + ` [data-testid=action][data-verb=solve]`)
			page.WaitFor(`[data-testid=form]`)
			page.Type(`[data-testid=input-text]`, "重置域账号密码")
			page.Click(`[data-testid=form-submit]`)
			page.WaitGone(`[data-testid=form]`)
			w.card("ERP 登录不了", "good")

			w.be("wangfang", "g-east")
			receipt = w.card("ERP 登录不了", "good")
			page.Screenshot("walk-6-solved-" + screen.name)
			page.Click(receipt + ` [data-testid=action][data-verb=confirm]`)
			w.card("ERP 登录不了", "gone")
			w.be("lisi", "g-desk")
			w.card("ERP 登录不了", "gone")
			page.Screenshot("walk-7-closed-" + screen.name)
			for _, f := range page.Faults() {
				if !strings.Contains(f, "/api/events") { // the live connection was cut by the kill, as it should be
					t.Error(f)
				}
			}
		})
	}
}

// walk is a person at the page.
type walk struct {
	t     *testing.T
	page  *browsertest.Page
	phone bool
}

// be goes to a conversation as somebody.
func (w walk) be(who, conv string) {
	w.t.Helper()
	w.page.Eval(fmt.Sprintf(`location.hash = "#as=%s&conv=%s"`, who, conv), nil)
	w.page.Reload() // the address keeps the place
	w.page.Wait("to be "+who, fmt.Sprintf(`location.hash.includes("as=%s") && document.body.dataset.live === "1" && !!document.querySelector('[data-testid=composer-input]')`, who))
}

func (w walk) say(text string) {
	w.t.Helper()
	w.page.Type(`[data-testid=composer-input]`, text)
	w.page.Click(`[data-testid=composer-send]`)
}

// card waits for the newest card with a title and a tone, and returns how to find it.
func (w walk) card(title, tone string) string {
	w.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll('[data-testid=stream] [data-testid=card]')].filter(c =>
		(c.querySelector('[data-testid=card-title]')?.textContent || '').includes(%q) && (%q === '' || c.dataset.tone === %q) && c.dataset.ticket).at(-1)`, title, tone, tone)
	w.page.Wait("a card “"+title+"” "+tone, "!!"+find)
	var ticket string
	w.page.Eval(find+`.dataset.ticket`, &ticket)
	return `[data-testid=stream] [data-testid=card][data-ticket="` + ticket + `"]`
}

func (w walk) ticket(card string) string {
	_, rest, _ := strings.Cut(card, `data-ticket="`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// menu presses a button of the card, in its menu when it does not stand outside.
func (w walk) menu(card, verb string) {
	w.t.Helper()
	if w.page.Count(card+` [data-testid=action][data-verb=`+verb+`]`) > 0 {
		w.page.Click(card + ` [data-testid=action][data-verb=` + verb + `]`)
		return
	}
	w.page.Click(card + ` [data-testid=more]`)
	w.page.Click(`[data-testid=menu-item][data-verb=` + verb + `]`)
}

// server is the real binary, started as README says.
type server struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	url  string
	done chan error
}

func startBinary(t *testing.T, dir string) *server {
	t.Helper()
	return restartBinary(t, &server{t: t, dir: dir})
}

func restartBinary(t *testing.T, was *server) *server {
	t.Helper()
	s := &server{t: t, dir: was.dir, done: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	s.cmd = exec.CommandContext(ctx, binary(t), "--listen", "127.0.0.1:0", "--ops-listen", "off")
	s.cmd.Dir = s.dir
	s.cmd.Env = append(os.Environ(), "PAIDAN_DATABASE_URL=")
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log := &strings.Builder{}
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "ready: "); ok {
			s.url = url
			break
		}
	}
	if s.url == "" {
		t.Fatalf("the server told no address\n%s", log)
	}
	go func() {
		for lines.Scan() {
			continue // so that it can go on writing
		}
		s.done <- s.cmd.Wait()
	}()
	return s
}

// kill is kill -9.
func (s *server) kill() {
	if s.done == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.done
	s.done = nil
}

// binary builds the program once for all tests.
func binary(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "paidan-test", fmt.Sprintf("paidan-%d", os.Getpid()))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = os.Remove(path) })
	return path
}
