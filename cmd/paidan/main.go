// Command paidan is the ticket desk that lives in chat: one binary that serves,
// migrates, checks itself, replays recorded requests and measures itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // zones for machines without them

	"github.com/spf13/cobra"

	"github.com/paidan/paidan/internal/clock"
)

// version is set when a release is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // the second signal ends the program at once
	}()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// program is what every command needs from outside.
type program struct {
	getenv         func(string) string
	stdout, stderr io.Writer
	flags          Flags

	clock   *clock.Clock  // nil: the real time
	started func(serving) // when set, hears that serve takes requests
}

// errUsage marks what the operator has to mend in flags or configuration: exit 2.
var errUsage = errors.New("usage")

// errFound means that doctor found something that would stop work: exit 1, and
// everything has been said already.
var errFound = errors.New("found")

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	p := &program{getenv: getenv, stdout: stdout, stderr: stderr}
	root := p.command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return 1
	}
	fmt.Fprintln(stderr, "paidan:", err)
	if _, ok := errors.AsType[Faults](err); ok || errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use: "paidan", Short: "The ticket desk that lives in chat", Long: "Paidan 派单: the ticket desk that lives in chat.\nWithout a command it serves.",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.serve(cmd.Context()) },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	p.flags.Bind(root)
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "Run everything that is configured", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return p.serve(cmd.Context()) }},
		&cobra.Command{Use: "migrate", Short: "Bring the database's schema up and stop", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return p.migrate(cmd.Context()) }},
		p.doctorCommand(),
		&cobra.Command{Use: "replay FILE.txtar…", Short: "Show what recorded requests mean", Args: cobra.MinimumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return p.replay(args) }},
		p.benchCommand(),
		p.eraseCommand(),
		&cobra.Command{Use: "version", Short: "Tell version, commit and Go", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return p.version() }},
	)
	return root
}

func (p *program) load() (Config, error) { return Load(p.flags, p.getenv, os.ReadFile) }

func (p *program) version() error {
	commit := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	_, err := fmt.Fprintf(p.stdout, "paidan %s commit %s %s\n", version, commit, runtime.Version())
	return err
}
