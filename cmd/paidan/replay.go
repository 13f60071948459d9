package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/paidan/paidan/adapters"
	"github.com/paidan/paidan/bot"
)

// replay feeds recorded requests through Verify and Decode, by the clock of the
// recording, and prints the events.
func (p *program) replay(files []string) error {
	conf, err := p.load()
	if err != nil {
		return err
	}
	installs, err := adapters.Build(conf.installs(), func(bot.Install) bot.Deps { return bot.Deps{Log: slog.New(slog.DiscardHandler), Shelf: bot.NoShelf{}} })
	if err != nil {
		return err
	}
	var failed error
	for _, file := range files {
		if err := p.replayFile(installs, file); err != nil {
			fmt.Fprintf(p.stdout, "%s: %v\n", file, err)
			failed = errFound
		}
	}
	return failed
}

func (p *program) replayFile(installs map[bot.Install]bot.Adapter, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	d, err := bot.ReadDelivery(data)
	if err != nil {
		return err
	}
	a, ok := installs[d.Install]
	if !ok {
		return fmt.Errorf("install %s is not configured", d.Install)
	}
	plain, err := a.Verify(d.Raw, d.At)
	if err != nil {
		return errors.Join(err, fmt.Errorf("received %s", d.At))
	}
	in, err := a.Decode(d.Raw, plain)
	if err != nil {
		return err
	}
	text, err := bot.FormatInbound(in)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s:\n%s\n", file, text)
	return err
}
