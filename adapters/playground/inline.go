package playground

import "github.com/paidan/paidan/bot"

var _ bot.Inliner = (*Adapter)(nil)

// Inline implements bot.Inliner: the page shows whatever an answer says.
func (a *Adapter) Inline(bot.Event) bot.Inline { return bot.Inline{Hint: true, Form: true} }
