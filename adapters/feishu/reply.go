package feishu

import (
	"net/http"
	"slices"
	"strings"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// Reply writes what Feishu wants to hear at once. An event takes nothing but
// "received". A press can be answered with a line that vanishes by itself and
// with the card that was pressed; a form is replaced by what comes after it.
// https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/card-callback-communication
func (a *Adapter) Reply(w http.ResponseWriter, in bot.Inbound, out bot.Reply) {
	if out.Echo != "" {
		a.answer(w, map[string]any{"challenge": out.Echo})
		return
	}
	says := map[string]any{}
	if in.Kind == "card.action.trigger" && len(in.Events) > 0 {
		a.pressedReply(says, in.Events[len(in.Events)-1], out)
	}
	a.answer(w, says)
}

func toast(says map[string]any, kind, line string) {
	if line = cut(oneLine(clean(line)), 200); line != "" {
		says["toast"] = map[string]any{"type": kind, "content": line}
	}
}

func (a *Adapter) pressedReply(says map[string]any, e bot.Event, out bot.Reply) {
	t, err := parseTrigger(e.Trigger)
	if err != nil {
		a.log.Error("press without a place", "install", a.install.String(), "error", err)
		return
	}
	// A form in private about a group says so in its next version as well.
	group := ""
	if t.stands == inPrivate && t.kind == groupChat {
		group = t.chat
	}
	show := func(c cards.Card) {
		if t.stands == inPrivate {
			says["card"] = raw(a.drawPrivate(c, group))
			return
		}
		says["card"] = raw(draw(c, t.stands, ""))
	}
	if e.Kind == bot.Click {
		toast(says, "info", out.Toast)
		if out.Card != nil {
			show(*out.Card)
		}
		return
	}
	switch {
	case len(out.Errors) > 0:
		// Without the form in it the one that is open stays as it is filled in.
		var lines []string
		for _, line := range out.Errors {
			lines = append(lines, line)
		}
		slices.Sort(lines)
		toast(says, "error", strings.Join(slices.Compact(lines), " "))
		if out.Form != nil {
			show(*out.Form)
		}
	case out.Form != nil:
		toast(says, "info", out.Toast)
		show(*out.Form)
	case e.Kind == bot.Reload:
		toast(says, "info", out.Toast)
		if out.Hint != nil {
			show(*out.Hint)
		}
	case out.Hint != nil:
		toast(says, "info", out.Toast)
		show(*out.Hint)
	case out.Toast != "":
		toast(says, "success", out.Toast)
		show(cards.Card{Body: out.Toast, Alt: out.Toast})
	default:
		says["card"] = raw(done())
	}
}

func (a *Adapter) answer(w http.ResponseWriter, says map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(encode(says)); err != nil {
		a.log.Warn("reply not written", "install", a.install.String(), "error", err)
	}
}
