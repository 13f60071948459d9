package slack

import (
	"encoding/json"
	"net/http"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// Reply writes what Slack wants to hear at once. A slash command can be
// answered with a private note, a form with errors by input or with the next
// form. A click or a shortcut takes nothing but "received": what is for the
// actor then goes out by Respond, Whisper or OpenForm.
func (a *Adapter) Reply(w http.ResponseWriter, in bot.Inbound, out bot.Reply) {
	switch {
	case out.Echo != "":
		a.answer(w, map[string]string{"challenge": out.Echo})
	case in.Kind == "slash_command":
		if hint := private(out); hint != nil {
			a.answer(w, ephemeral(*hint))
			return
		}
		w.WriteHeader(http.StatusOK)
	case in.Kind == "view_submission":
		a.replySubmit(w, in, out)
	case in.Kind == "block_suggestion":
		a.answer(w, map[string]any{"options": []string{}})
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// private is what only the actor shall see of a reply.
func private(out bot.Reply) *cards.Card {
	if out.Hint != nil {
		return out.Hint
	}
	if out.Toast != "" {
		return &cards.Card{Body: out.Toast, Alt: out.Toast}
	}
	return nil
}

func (a *Adapter) replySubmit(w http.ResponseWriter, in bot.Inbound, out bot.Reply) {
	var ev bot.Event
	if len(in.Events) > 0 {
		ev = in.Events[0]
	}
	switch {
	case len(out.Errors) > 0:
		// Slack takes errors only at inputs that the form has: anything else
		// shows "trouble connecting" instead of the reason.
		errs, lost := map[string]string{}, ""
		for name, says := range out.Errors {
			if _, ok := ev.Values[name]; ok && says != "" {
				errs[name] = cut(clean(says), 2000)
			} else if says != "" && (lost == "" || says < lost) {
				lost = says
			}
		}
		if lost != "" && len(errs) == 0 {
			first := ""
			for name := range ev.Values {
				if first == "" || name < first {
					first = name
				}
			}
			if first == "" {
				a.answerView(w, cards.Card{Title: "Paidan", Body: lost}, ev)
				return
			}
			errs[first] = cut(clean(lost), 2000)
		}
		a.answer(w, map[string]any{"response_action": "errors", "errors": errs})
	case out.Form != nil:
		a.answerView(w, *out.Form, ev)
	default:
		if hint := private(out); hint != nil {
			c := *hint
			if c.Title == "" {
				c.Title = "Paidan"
			}
			a.answerView(w, c, ev)
			return
		}
		w.WriteHeader(http.StatusOK) // closes the form
	}
}

// answerView replaces the form that was sent by another view.
func (a *Adapter) answerView(w http.ResponseWriter, c cards.Card, ev bot.Event) {
	view, err := modal(c, origin{"", ev.Conv.ID, threadTS(ev.Thread)})
	if err != nil {
		a.log.Error("form not shown", "install", a.install.String(), "error", err)
		w.WriteHeader(http.StatusOK)
		return
	}
	a.answer(w, map[string]any{"response_action": "update", "view": view})
}

func (a *Adapter) answer(w http.ResponseWriter, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		a.log.Error("reply not written", "install", a.install.String(), "error", err)
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(b); err != nil {
		a.log.Warn("reply not written", "install", a.install.String(), "error", err)
	}
}
