//go:build unix

// Package crashtest holds the promises that only the whole program can keep: the
// real binary is started as a child process against an emulated Slack, put under
// load, killed, stopped, multiplied and surrounded by faults; then one checker
// compares what was acknowledged with what is stored and with what the chats show.
//
//	go test ./internal/crashtest                     a few kills on each database
//	make crash                                       a hundred kills on each
package crashtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/paidan/paidan/tickets/ticketstest"
)

// envKills is how often the program is killed on each database.
const envKills = "PAIDAN_KILLS"

// envSeed repeats a run; without it every run is another one.
const envSeed = "PAIDAN_SEED"

func TestMain(m *testing.M) {
	ticketstest.Main(m, func() error { return os.RemoveAll(binaryDir) })
}

var binaryDir string // set by binary

// binary builds the program once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	sweep()
	dir, err := os.MkdirTemp("", "crashtest-")
	if err != nil {
		return "", err
	}
	binaryDir = dir
	path := filepath.Join(dir, "paidan")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/paidan/paidan/cmd/paidan").CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("build: %w\n%s", err, out), os.RemoveAll(dir))
	}
	return path, nil
})

// sweep removes what failed and killed runs left behind.
func sweep() {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), "crashtest-*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		if st, err := os.Stat(dir); err == nil && time.Since(st.ModTime()) > time.Hour {
			_ = os.RemoveAll(dir) // another user's: not ours to remove
		}
	}
}

func envNumber(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func seed(t *testing.T) uint64 {
	t.Helper()
	n := envNumber(t, envSeed, time.Now().UnixNano())
	t.Logf("%s=%d repeats this run's choices", envSeed, n)
	return uint64(n)
}
