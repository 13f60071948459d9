package slack

import "github.com/paidan/paidan/bot"

var _ bot.Paced = (*Adapter)(nil)

// Pace implements bot.Paced: chat.postMessage is allowed once a second and
// channel, with short bursts, and some hundreds a minute and workspace
// (https://docs.slack.dev/apis/web-api/rate-limits). Edits have limits of their
// own, which Slack tells with 429.
func (a *Adapter) Pace() bot.Pace { return bot.Pace{Conv: 1, Install: 8, Burst: 10} }
