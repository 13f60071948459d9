package playground

import "github.com/paidan/paidan/bot"

var _ bot.Inliner = (*Adapter)(nil)

// Inline implements bot.Inliner: the page shows whatever an answer says.
func (a *Adapter) Inline(bot.Kind) (hint, form bool) { return true, true }
