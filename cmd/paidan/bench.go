package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// bench measures the program as it would run: a server process of this very
// binary, asked over loopback HTTP with signed requests, showing its cards in an
// emulated workspace. Whatever can be compared is compared with what the
// database alone does in the same minute, because absolute figures move from
// machine to machine and from hour to hour.
type bench struct {
	p   *program
	dir string // holds everything that is made, and is removed at the end

	// Of the command line.
	databases []string
	clients   int
	tickets   int
	rounds    int
	seconds   int
	rate      int
	profile   string
}

// benches are what can be measured, in the order of "all".
var benches = []struct {
	name string
	run  func(*bench, context.Context) (any, error)
}{
	{"clicks", (*bench).clicks},
	{"visible", (*bench).visible},
	{"platforms", (*bench).platforms},
	{"start", (*bench).start},
	{"lists", (*bench).lists},
}

func (p *program) benchCommand() *cobra.Command {
	b := &bench{p: p}
	var database string
	cmd := &cobra.Command{
		Use:   "bench [clicks|visible|platforms|start|lists|all]",
		Short: "Drive load through the real HTTP door and print the figures as JSON",
		Long: `Drives load through the real HTTP door of a server process of this binary, with
emulated platforms on the other side, and prints the figures as JSON.

  clicks     a signed click on Claim, until it is committed and answered, beside
             what the database alone makes of the same statements
  visible    a mixed day of work, until each card is seen to change; memory
  platforms  twenty installs of all platforms in one server: answers, cards,
             outgoing calls, memory
  start      from the start of the process until it is ready; idle memory
  lists      lists and searches among many tickets

PostgreSQL is a throwaway server with fsync on, started from the programs on
this machine, or the one that PAIDAN_TEST_DATABASE_URL names.`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"clicks", "visible", "platforms", "start", "lists", "all"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch database {
			case "":
				b.databases = []string{"postgres", "sqlite"}
			case "postgres", "sqlite":
				b.databases = []string{database}
			default:
				return fmt.Errorf("%w: --database is %q; it can be sqlite or postgres", errUsage, database)
			}
			what := "all"
			if len(args) == 1 {
				what = args[0]
			}
			return b.run(cmd.Context(), what)
		},
	}
	f := cmd.Flags()
	f.StringVar(&database, "database", "", "sqlite or postgres (default both, one after the other)")
	f.IntVar(&b.clients, "clients", 0, "clicks: connections (default 16 on postgres, 64 on sqlite)")
	f.IntVar(&b.tickets, "tickets", 0, "clicks: tickets claimed in a round (default 8000); start, lists: tickets there are (default 1000000)")
	f.IntVar(&b.rounds, "rounds", 3, "clicks, start: how often; the median counts")
	f.IntVar(&b.seconds, "seconds", 30, "visible, platforms: how long; lists: for each list at most a tenth of it")
	f.IntVar(&b.rate, "rate", 50, "visible, platforms: events a second, in all")
	f.StringVar(&b.profile, "profile", "", "clicks, visible, platforms: `folder` for CPU profiles of the server (platforms: and its log)")
	return cmd
}

// Machine says where figures were measured, and what else was going on.
type Machine struct {
	At        time.Time `json:"at"`
	CPU       string    `json:"cpu"`
	Cores     int       `json:"cores"`
	Go        string    `json:"go"`
	OS        string    `json:"os"`
	LoadStart string    `json:"load_start"` // averages over 1, 5 and 15 minutes
	LoadEnd   string    `json:"load_end"`
}

func (b *bench) run(ctx context.Context, what string) (err error) {
	if b.clients < 0 || b.tickets < 0 || b.rounds < 1 || b.seconds < 1 || b.rate < 1 {
		return fmt.Errorf("%w: --rounds, --seconds and --rate are at least 1, nothing is negative", errUsage)
	}
	if b.dir, err = os.MkdirTemp("", "paidan-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	m := Machine{At: time.Now().UTC().Truncate(time.Second), CPU: cpuName(), Cores: runtime.NumCPU(), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, LoadStart: loadAverage()}
	out := map[string]any{}
	for _, one := range benches {
		if what != "all" && what != one.name {
			continue
		}
		fmt.Fprintf(b.p.stderr, "%s …\n", one.name)
		figures, err := one.run(b, ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		out[one.name] = figures
	}
	m.LoadEnd = loadAverage()
	out["machine"] = m
	enc := json.NewEncoder(b.p.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// say tells whoever waits how far it is.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.p.stderr, "  "+format+"\n", args...) }

func cpuName() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}

// Latency is how long something took, in milliseconds.
type Latency struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func latency(all []time.Duration) Latency {
	if len(all) == 0 {
		return Latency{}
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		i := min(int(q*float64(len(all))), len(all)-1)
		return float64(all[i].Microseconds()) / 1000
	}
	return Latency{N: len(all), P50: at(.5), P95: at(.95), P99: at(.99), Max: at(1)}
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	if len(all) == 0 {
		return 0
	}
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}

// path is a place in the folder that is removed at the end.
func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }
