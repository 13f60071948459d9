// Package adapters is the table of platforms: the one place outside of a
// platform's own folder that knows them all.
package adapters

import (
	"fmt"

	"github.com/paidan/paidan/adapters/dingtalk"
	"github.com/paidan/paidan/adapters/feishu"
	"github.com/paidan/paidan/adapters/playground"
	"github.com/paidan/paidan/adapters/slack"
	"github.com/paidan/paidan/adapters/wecom"
	"github.com/paidan/paidan/bot"
)

// Installs is what is configured, by platform and name of the install.
type Installs struct {
	Slack      map[string]slack.Config
	Feishu     map[string]feishu.Config
	DingTalk   map[string]dingtalk.Config
	WeCom      map[string]wecom.Config
	Playground map[string]playground.Config
}

// Build makes the adapters of all installs; deps tells what each of them gets
// from the program. It does no network I/O.
func Build(in Installs, deps func(bot.Install) bot.Deps) (map[bot.Install]bot.Adapter, error) {
	out := map[bot.Install]bot.Adapter{}
	need := func(platform, name string) bot.Deps { return deps(bot.Install{Platform: platform, Name: name}) }
	if err := add(out, "slack", in.Slack, func(name string, c slack.Config) (bot.Adapter, error) {
		c.Name = name
		return slack.New(c, need("slack", name))
	}); err != nil {
		return nil, err
	}
	if err := add(out, "feishu", in.Feishu, func(name string, c feishu.Config) (bot.Adapter, error) {
		c.Name = name
		return feishu.New(c, need("feishu", name))
	}); err != nil {
		return nil, err
	}
	if err := add(out, "dingtalk", in.DingTalk, func(name string, c dingtalk.Config) (bot.Adapter, error) {
		c.Name = name
		return dingtalk.New(c, need("dingtalk", name))
	}); err != nil {
		return nil, err
	}
	if err := add(out, "wecom", in.WeCom, func(name string, c wecom.Config) (bot.Adapter, error) {
		c.Name = name
		return wecom.New(c, need("wecom", name))
	}); err != nil {
		return nil, err
	}
	if err := add(out, "playground", in.Playground, func(name string, c playground.Config) (bot.Adapter, error) { c.Name = name; return playground.New(c) }); err != nil {
		return nil, err
	}
	return out, nil
}

func add[C any](out map[bot.Install]bot.Adapter, platform string, in map[string]C, make func(string, C) (bot.Adapter, error)) error {
	for name, c := range in {
		a, err := make(name, c)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", platform, name, err)
		}
		out[bot.Install{Platform: platform, Name: name}] = a
	}
	return nil
}
