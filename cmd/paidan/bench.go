package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func (p *program) benchCommand() *cobra.Command {
	return &cobra.Command{Use: "bench", RunE: func(*cobra.Command, []string) error { return errors.New("bench is being written") }}
}
