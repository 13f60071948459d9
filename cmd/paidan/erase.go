package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/jobs"
	"github.com/paidan/paidan/migrations"
	"github.com/paidan/paidan/tickets"
)

// eraseCommand forgets a person: what the law calls deletion on request. It is a
// command of the machine and not of the chat, because it cannot be undone.
func (p *program) eraseCommand() *cobra.Command {
	sure := false
	cmd := &cobra.Command{
		Use: "erase ACCOUNT", Short: "Forget a person: name, accounts, and the words of his tickets", Args: cobra.ExactArgs(1),
		Long: "Forget the person whose account (platform/install/id) is given: the name, the addresses, the accounts,\n" +
			"and the words of everything that he wrote or that was written for him.\nWhat happened, and when, stays; the hash chains stay valid. It cannot be undone.",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if !sure {
				return fmt.Errorf("%w: this cannot be undone; add --yes when you are sure", errUsage)
			}
			ctx := cmd.Context()
			conf, err := p.load()
			if err != nil {
				return err
			}
			db, err := openDatabase(ctx, conf)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			if err := migrations.Up(ctx, db); err != nil {
				return fmt.Errorf("migrate: %w", err)
			}
			clk := clock.New()
			queue, err := jobs.New(db, clk, nil, jobs.Options{})
			if err != nil {
				return err
			}
			svc := tickets.NewService(db, queue, slog.New(slog.DiscardHandler))
			account, err := svc.AccountOf(ctx, args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if err := svc.Erase(ctx, account.Person, clk.Now()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, "erased")
			return err
		},
	}
	cmd.Flags().BoolVar(&sure, "yes", false, "erase without asking again")
	return cmd
}
