package dingtalk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// postText shows a card as markdown: as an answer in the conversation while
// that is allowed, which costs no call and can mention people, else by the robot.
func (a *Adapter) postText(ctx context.Context, place, once string, c cards.Card) (bot.MessageRef, error) {
	title, text := markdown(c)
	session, err := a.shelf.Get(ctx, "session/"+place)
	if err != nil {
		return "", err
	}
	if session != "" {
		switch err := a.bySession(ctx, session, title, text, place, pings(c)); {
		case err == nil:
			return ref(refSent, place, fingerprint(once)), nil
		case errors.Is(err, bot.ErrUnknown), ctx.Err() != nil:
			return "", err
		default:
			// It has run out, or DingTalk refuses it: the robot can still write.
			a.log.Info("session was refused", "install", a.install.String(), "error", err)
			if _, err := a.shelf.Swap(ctx, "session/"+place, session, "", 0); err != nil {
				return "", err
			}
		}
	}
	if outsider(strings.TrimPrefix(place, "@")) {
		return "", fmt.Errorf("somebody of another company can be answered only: %w", bot.ErrMustSpeak)
	}
	return a.byRobot(ctx, place, "sampleMarkdown", map[string]string{"title": title, "text": text})
}

// bySession answers in a conversation. The address is a secret and comes from
// outside: it is checked again, and appears in no error.
// https://open.dingtalk.com/document/dingstart/robot-reply-and-send-messages
func (a *Adapter) bySession(ctx context.Context, address, title, text, place string, at []string) error {
	const method = "sessionWebhook"
	u, err := url.Parse(address)
	if err != nil || !a.sessionHost(u) {
		return fmt.Errorf("%s: address is not DingTalk's: %w", method, bot.ErrRejected)
	}
	in := object{"msgtype": "markdown", "markdown": map[string]string{"title": title, "text": text}}
	if place[0] != '@' && len(at) > 0 {
		// Whom the text does not name is not notified.
		in["markdown"] = map[string]string{"title": title, "text": text + "\n\n@" + strings.Join(at, " @")}
		in["at"] = object{"atUserIds": at, "isAtAll": false}
	}
	if err := a.pace.wait(ctx, method); err != nil {
		return verdict(method, unsentError{err})
	}
	doc, err := a.post(ctx, http.MethodPost, u, nil, in)
	if err == nil {
		err = oldError(doc)
		if err == nil && !doc.at("errcode").exists() {
			err = statusError{http.StatusOK}
		}
	}
	return sendVerdict(method, err)
}

// byRobot sends a message of the robot's own accord.
// https://open.dingtalk.com/document/development/the-robot-sends-a-group-message
// https://open.dingtalk.com/document/development/chatbots-send-one-on-one-chat-messages-in-batches
func (a *Adapter) byRobot(ctx context.Context, place, msgKey string, params map[string]string) (bot.MessageRef, error) {
	param, err := json.Marshal(params)
	if err != nil {
		return "", fmt.Errorf("message: %w", err)
	}
	in := object{"robotCode": a.conf.RobotCode, "msgKey": msgKey, "msgParam": string(param)}
	method := "robot/groupMessages/send"
	user, private := strings.CutPrefix(place, "@")
	if private {
		method = "robot/oToMessages/batchSend"
		in["userIds"] = []string{user}
	} else {
		in["openConversationId"] = place
	}
	doc, err := a.call(ctx, http.MethodPost, method, in)
	if err != nil {
		if !private && codeOf(err) == noRobot {
			return "", fmt.Errorf("%s: the robot is not in the group: %w", method, bot.ErrGone)
		}
		if codeOf(err) == noRobot {
			return "", fmt.Errorf("%s: there is no robot of this robot_code: %w", method, bot.ErrUnauthorized)
		}
		return "", sendVerdict(method, err)
	}
	for id := range doc.at("invalidStaffIdList").each {
		if id.str() == user {
			return "", fmt.Errorf("%s: the person cannot be written to: %w", method, bot.ErrGone)
		}
	}
	for id := range doc.at("flowControlledStaffIdList").each {
		if id.str() == user {
			return "", fmt.Errorf("%s: %w", method, bot.RateLimited{After: limits["send.too.fast"].After})
		}
	}
	key := doc.at("processQueryKey").str()
	if !printable(key, 200) {
		return "", fmt.Errorf("%s: empty answer: %w", method, bot.ErrUnknown)
	}
	return ref(refText, place, key), nil
}
