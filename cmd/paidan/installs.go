package main

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/paidan/paidan/adapters"
	"github.com/paidan/paidan/adapters/dingtalk"
	"github.com/paidan/paidan/adapters/feishu"
	"github.com/paidan/paidan/adapters/slack"
	"github.com/paidan/paidan/adapters/wecom"
	"github.com/paidan/paidan/bot"
)

// installs is the configuration of all platforms as their adapters read it.
func (c Config) installs() adapters.Installs {
	in := adapters.Installs{
		Slack: map[string]slack.Config{}, Feishu: map[string]feishu.Config{}, DingTalk: map[string]dingtalk.Config{}, WeCom: map[string]wecom.Config{},
	}
	for name, s := range c.Slack {
		in.Slack[name] = slack.Config{
			Name: name, BotToken: s.BotToken.Reveal(), SigningSecret: s.SigningSecret.Reveal(), AppToken: s.AppToken.Reveal(), APIURL: s.APIURL,
		}
	}
	for name, s := range c.Feishu {
		in.Feishu[name] = feishu.Config{
			Name: name, AppID: s.AppID, AppSecret: s.AppSecret.Reveal(), EncryptKey: s.EncryptKey.Reveal(),
			VerificationToken: s.VerificationToken.Reveal(), Mode: s.Mode, APIURL: s.APIURL,
		}
	}
	for name, s := range c.DingTalk {
		d := dingtalk.Config{
			Name: name, ClientID: s.ClientID, ClientSecret: s.ClientSecret.Reveal(), RobotCode: s.RobotCode, CardTemplateID: s.CardTemplateID,
			Mode: s.Mode, APIURL: s.APIURL, OAPIURL: s.OAPIURL, EventToken: s.EventToken.Reveal(), EventAESKey: s.EventAESKey.Reveal(),
			CardSecret: s.CardSecret.Reveal(), Quota: s.Quota,
		}
		if d.Mode == dingtalk.ModeHTTP && d.CardTemplateID != "" && c.PublicURL != "" {
			d.CardCallbackURL = strings.TrimSuffix(c.PublicURL, "/") + "/hooks/dingtalk/" + name + "/cards"
		}
		in.DingTalk[name] = d
	}
	for name, s := range c.WeCom {
		agent, err := strconv.ParseInt(s.AgentID, 10, 64)
		if err != nil {
			agent = -1 // refused by the adapter unless it is empty
			if s.AgentID == "" {
				agent = 0
			}
		}
		in.WeCom[name] = wecom.Config{
			Name: name, CorpID: s.CorpID, AgentID: agent, Secret: s.Secret.Reveal(), Token: s.Token.Reveal(), EncodingAESKey: s.EncodingAESKey.Reveal(), APIURL: s.APIURL,
			Robot: wecom.RobotConfig{ID: s.Robot.ID, Secret: s.Robot.Secret.Reveal(), Token: s.Robot.Token.Reveal(), EncodingAESKey: s.Robot.EncodingAESKey.Reveal(), WSURL: s.Robot.WSURL},
			KF:    wecom.KFConfig{Secret: s.KF.Secret.Reveal(), Token: s.KF.Token.Reveal(), EncodingAESKey: s.KF.EncodingAESKey.Reveal()},
		}
	}
	return in
}

// checkAdapters asks each adapter what it thinks of its part.
func (c Config) checkAdapters(f *Faults) {
	in := c.installs()
	checkEach(f, "feishu", in.Feishu, feishu.Config.Validate)
	checkEach(f, "dingtalk", in.DingTalk, dingtalk.Config.Validate)
	checkEach(f, "wecom", in.WeCom, wecom.Config.Validate)
}

func checkEach[C any](f *Faults, platform string, in map[string]C, validate func(C) []error) {
	for _, name := range slices.Sorted(maps.Keys(in)) {
		at := platform + "." + name
		if !nameRE.MatchString(name) {
			f.add(at, "is no name for an install; right would be lower-case letters, digits, - and _")
		}
		for _, err := range validate(in[name]) {
			key, says, ok := strings.Cut(err.Error(), ": ")
			if !ok {
				key, says = "", err.Error()
			}
			f.add(strings.TrimSuffix(at+"."+key, "."), "%s", says)
		}
	}
}

// names are the installs of a platform.
func (c Config) names(platform string) []string {
	switch platform {
	case "slack":
		return slices.Sorted(maps.Keys(c.Slack))
	case "feishu":
		return slices.Sorted(maps.Keys(c.Feishu))
	case "dingtalk":
		return slices.Sorted(maps.Keys(c.DingTalk))
	case "wecom":
		return slices.Sorted(maps.Keys(c.WeCom))
	}
	return nil
}

// localAPIs are platforms that the operator has put on this machine by name: an
// emulator, or a proxy. Nothing else on a private address is ever called.
func (c Config) localAPIs() []string {
	var all []string
	for _, s := range c.Slack {
		all = append(all, s.APIURL)
	}
	for _, s := range c.Feishu {
		all = append(all, s.APIURL)
	}
	for _, s := range c.DingTalk {
		all = append(all, s.APIURL, s.OAPIURL)
	}
	for _, s := range c.WeCom {
		all = append(all, s.APIURL, s.Robot.WSURL)
	}
	var out []string
	for _, raw := range all {
		if u, err := url.Parse(raw); err == nil && loopbackHost(u.Hostname()) && !slices.Contains(out, u.Host) {
			out = append(out, u.Host)
		}
	}
	return out
}

// streams reports whether an install receives over a connection of its own.
func (c Config) streams(i bot.Install) bool {
	switch i.Platform {
	case "slack":
		return c.Slack[i.Name].AppToken != ""
	case "feishu":
		return c.Feishu[i.Name].Mode == feishu.ModeStream
	case "dingtalk":
		return c.DingTalk[i.Name].Mode != dingtalk.ModeHTTP
	}
	return true // WeCom fetches customers' messages, besides the robot's connection; the playground is fed by itself
}
