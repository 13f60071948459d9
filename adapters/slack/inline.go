package slack

import "github.com/paidan/paidan/bot"

var _ bot.Inliner = (*Adapter)(nil)

// Inline implements bot.Inliner. Slack shows what the answer to a slash command
// or to a submitted modal says; the answer to a click, or to a choice in an
// open modal, is read by nobody: those modals are opened and changed by OpenForm.
func (a *Adapter) Inline(k bot.Kind) (hint, form bool) {
	return k == bot.Slash || k == bot.Submit, k == bot.Submit
}
