package slack

import "github.com/paidan/paidan/bot"

var _ bot.Inliner = (*Adapter)(nil)

// Inline implements bot.Inliner. Slack shows what the answer to a slash command
// or to a submitted modal says; the answer to a click, or to a choice in an
// open modal, is read by nobody: those modals are opened and changed by OpenForm.
func (a *Adapter) Inline(e bot.Event) bot.Inline {
	return bot.Inline{Hint: e.Kind == bot.Slash || e.Kind == bot.Submit, Form: e.Kind == bot.Submit}
}
