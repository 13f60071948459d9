package dingtalk

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/paidan/paidan/bot"
)

// Reply writes what DingTalk wants to hear at once. A press is answered with
// the card as it is now, for everybody who sees it. An event over HTTP is
// answered with the word success, sealed. Over Stream the answer becomes the
// data of the acknowledgement: see stream.go.
func (a *Adapter) Reply(w http.ResponseWriter, in bot.Inbound, out bot.Reply) {
	switch {
	case in.Kind == "card_press" || in.Kind == "card_unknown":
		answer := object{}
		if out.Card != nil {
			answer = object{"cardUpdateOptions": byKey, "cardData": object{"cardParamMap": draw(*out.Card)}}
		}
		a.write(w, answer)
	case in.Echo != "" || out.Echo != "" || isEvent(in.Kind):
		if a.conf.Mode != ModeHTTP || a.key == nil {
			w.WriteHeader(http.StatusOK)
			return
		}
		stamp := strconv.FormatInt(a.now().UnixMilli(), 10)
		random := random16()
		sealed, err := a.success(stamp, fingerprint(string(random[:]))[:12], random16())
		if err != nil {
			a.log.Error("answer to an event not sealed", "install", a.install.String(), "error", err)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		a.write(w, sealed)
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// isEvent reports whether a kind of Decode's is an event of the company.
func isEvent(kind string) bool {
	switch kind {
	case "check_url", "event_other", "user_modify_org", "user_add_org", "user_leave_org", "chat_disband", "chat_add_member", "chat_remove_member", "chat_quit", "bpms_instance_change", "bpms_task_change":
		return true
	}
	return false
}

func (a *Adapter) write(w http.ResponseWriter, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		a.log.Error("answer not made", "install", a.install.String(), "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(b); err != nil {
		a.log.Warn("answer not written", "install", a.install.String(), "error", err)
	}
}
