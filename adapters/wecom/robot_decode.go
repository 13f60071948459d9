package wecom

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/paidan/paidan/bot"
)

// robotFrame is what travels over the long connection.
type robotFrame struct {
	Cmd     string `json:"cmd"`
	Headers struct {
		ReqID string `json:"req_id"`
	} `json:"headers"`
	Body json.RawMessage `json:"body"`
	Code *int64          `json:"errcode"`
	Msg  string          `json:"errmsg"`
}

// robotSaid is a callback: https://developer.work.weixin.qq.com/document/path/100719
type robotSaid struct {
	MsgID    string `json:"msgid"`
	Created  int64  `json:"create_time"`
	ChatID   string `json:"chatid"`
	ChatType string `json:"chattype"`
	From     struct {
		UserID string `json:"userid"`
		CorpID string `json:"corpid"`
	} `json:"from"`
	ResponseURL string `json:"response_url"`
	robotPart
	Quote  *robotPart `json:"quote"`
	Stream struct {
		ID string `json:"id"`
	} `json:"stream"`
	Event robotEvent `json:"event"`
}

// robotPart is a message, one item of a mixed one, or a quoted one.
type robotPart struct {
	MsgType string     `json:"msgtype"`
	Text    robotText  `json:"text"`
	Voice   robotText  `json:"voice"` // as it was understood
	Image   robotMedia `json:"image"`
	File    robotMedia `json:"file"`
	Video   robotMedia `json:"video"`
	Mixed   struct {
		Items []robotPart `json:"msg_item"`
	} `json:"mixed"`
}

type robotText struct {
	Content string `json:"content"`
}

type robotMedia struct {
	URL string `json:"url"`
	Key string `json:"aeskey"` // of this file alone; over the long connection only
}

// robotEvent is an event: https://developer.work.weixin.qq.com/document/path/101027
// nests what was pressed; some clients of the platform show it flattened.
type robotEvent struct {
	Type string `json:"eventtype"`
	robotPress
	Card *robotPress `json:"template_card_event"`
}

type robotPress struct {
	Key      string       `json:"event_key"`
	Task     string       `json:"task_id"`
	Selected selectedJSON `json:"selected_items"`
}

type selectedJSON struct {
	Items []struct {
		Question string `json:"question_key"`
		Options  struct {
			IDs []string `json:"option_id"`
		} `json:"option_ids"`
	} `json:"selected_item"`
}

// receivedHeader tells when a frame came, in milliseconds since 1970: messages
// themselves tell no time. Only our own Stream sets it.
const receivedHeader = "X-Paidan-Received"

// receivedAt is when a request was sent, or a frame came.
func (s *shared) receivedAt(r bot.Raw) time.Time {
	if r.Socket {
		if ms, err := strconv.ParseInt(r.Header.Get(receivedHeader), 10, 64); err == nil {
			return time.UnixMilli(ms).UTC()
		}
	} else if sec, err := strconv.ParseInt(r.Query.Get("timestamp"), 10, 64); err == nil {
		return time.Unix(sec, 0).UTC()
	}
	return s.now().UTC()
}

// decode says what a callback or frame means.
func (r *robot) decode(raw bot.Raw, plain []byte) (bot.Inbound, error) {
	if raw.Method == http.MethodGet && !raw.Socket {
		if len(plain) == 0 {
			return bot.Inbound{}, malformed("echo")
		}
		return bot.Inbound{Echo: string(plain), Kind: robotVerify}, nil
	}
	body := plain
	if raw.Socket {
		var f robotFrame
		if err := json.Unmarshal(plain, &f); err != nil {
			return bot.Inbound{}, malformed("frame")
		}
		if f.Cmd != cmdMessage && f.Cmd != cmdEvent {
			return bot.Inbound{Kind: robotOther}, nil
		}
		body = f.Body
	}
	var m robotSaid
	if err := json.Unmarshal(body, &m); err != nil || m.MsgType == "" {
		return bot.Inbound{}, malformed("robot message")
	}
	switch m.MsgType {
	case "stream":
		return r.decodeRefresh(raw, m)
	case "event":
		return r.decodeEvent(raw, m)
	}
	return r.decodeMessage(raw, m)
}

// decodeRefresh answers the question how a stream goes on: ours are finished
// from the start, so WeCom has missed that.
func (r *robot) decodeRefresh(raw bot.Raw, m robotSaid) (bot.Inbound, error) {
	if m.Stream.ID == "" || len(m.Stream.ID) > 256 {
		return bot.Inbound{}, malformed("stream")
	}
	if raw.Socket {
		return bot.Inbound{Kind: robotStream}, nil
	}
	answer, err := r.sealed(streamed(m.Stream.ID, r.shown.get(m.Stream.ID)), raw.Query.Get("nonce"))
	if err != nil {
		return bot.Inbound{}, fmt.Errorf("stream: %w", err)
	}
	return bot.Inbound{Echo: string(answer), Kind: robotStream}, nil
}

// otherCorp is the prefix of the ids of people of another corp. Their userids
// mean nothing here, and may be those of members.
const otherCorp = "corp:"

// event is what all callbacks tell: who, where, when.
func (r *robot) event(raw bot.Raw, m robotSaid) (bot.Event, error) {
	e := bot.Event{At: r.receivedAt(raw), User: r.user(m.From.UserID), Private: m.ChatType != "group"}
	if m.Created > 0 && m.Created < 1<<40 {
		e.At = time.Unix(m.Created, 0).UTC()
	}
	if !chatID(m.From.UserID) || strings.Contains(m.From.UserID, ":") {
		return e, malformed("user")
	}
	if corp := m.From.CorpID; corp != "" && r.conf.CorpID != "" && corp != r.conf.CorpID {
		if !chatID(corp) {
			return e, malformed("corp")
		}
		e.User.ID, e.Guest = otherCorp+corp+":"+m.From.UserID, true
	}
	if !e.Private {
		if !chatID(m.ChatID) {
			return e, malformed("chat")
		}
		e.Conv = r.conv(m.ChatID)
	}
	if !raw.Socket {
		e.Respond = raw.Query.Get("nonce")
	}
	return e, nil
}

// keep is what a callback leaves on the Shelf: where the chat can be answered
// later, and that a member was here last.
func (r *robot) keep(e bot.Event, m robotSaid) []bot.Kept {
	var out []bot.Kept
	if e.Private && !e.Guest {
		out = append(out, spoke(e.User.ID, surfaceRobot))
	}
	if p, err := placeOfEvent(e); err == nil && !r.long() {
		if k, ok := r.keepRespond(p, m.ResponseURL, e.At); ok {
			out = append(out, k)
		}
	}
	return out
}

func (r *robot) decodeMessage(raw bot.Raw, m robotSaid) (bot.Inbound, error) {
	e, err := r.event(raw, m)
	if err != nil {
		return bot.Inbound{}, err
	}
	if m.MsgID == "" || len(m.MsgID) > 256 {
		return bot.Inbound{}, malformed("msgid")
	}
	e.ID, e.Kind, e.ToBot = surfaceRobot+":"+m.MsgID, bot.Message, true
	p, err := placeOfEvent(e)
	if err != nil {
		p = place{inSingle, m.From.UserID}
	}
	// What people write has no name that we could use again; its id tells it from others.
	e.Message = robotRef(p.chat, p.id, "m"+digest(m.MsgID))
	e.Text, e.Files = r.words(m.robotPart)
	if !e.Private {
		e.Text = withoutBot(e.Text)
	}
	if m.Quote != nil {
		e.QuoteText, _ = r.words(*m.Quote)
	}
	if e.Text == "" && len(e.Files) == 0 && !known[m.MsgType] {
		return bot.Inbound{Kind: robotOther, Keep: r.keep(e, m)}, nil
	}
	return bot.Inbound{Events: []bot.Event{e}, Kind: robotMessage, Keep: r.keep(e, m)}, nil
}

// known are the types of messages that are understood.
var known = map[string]bool{"text": true, "mixed": true, "image": true, "voice": true, "file": true, "video": true}

// words are the text and the files of a message.
func (r *robot) words(m robotPart) (string, []bot.File) {
	switch m.MsgType {
	case "text":
		return tidy(m.Text.Content), nil
	case "voice":
		return tidy(m.Voice.Content), nil
	case "image":
		return "", r.file("image", m.Image)
	case "file":
		return "", r.file("file", m.File)
	case "video":
		return "", r.file("video", m.Video)
	case "mixed":
		var lines []string
		var files []bot.File
		for _, item := range m.Mixed.Items {
			if item.MsgType == "mixed" {
				continue // nothing nests
			}
			text, more := r.words(item)
			if text != "" {
				lines = append(lines, text)
			}
			files = append(files, more...)
		}
		return strings.Join(lines, "\n"), files
	}
	return "", nil
}

// tidy is text as people wrote it, without what cannot be stored or read.
func tidy(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\r\n", "\n"), "\uFFFD")
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			return -1
		}
		return c
	}, s))
}

// withoutBot takes the mention off the front that makes a group's message reach
// the robot. It ends at the first space: WeCom does not say which part of the
// text it is, nor what the robot is called.
func withoutBot(s string) string {
	rest, ok := strings.CutPrefix(s, "@")
	if !ok {
		return s
	}
	i := strings.IndexFunc(rest, unicode.IsSpace)
	if i < 0 {
		return ""
	}
	return strings.TrimSpace(rest[i:])
}

func (r *robot) decodeEvent(raw bot.Raw, m robotSaid) (bot.Inbound, error) {
	switch m.Event.Type {
	case "template_card_event", "template_card_menu_event":
		return r.decodePress(raw, m)
	case "enter_chat":
		e, err := r.event(raw, m)
		if err != nil {
			return bot.Inbound{}, err
		}
		e.ID, e.Kind, e.Private, e.Conv = r.eventID(m, "", ""), bot.HomeOpened, true, bot.ConvRef{}
		return bot.Inbound{Events: []bot.Event{e}, Kind: robotEnter, Keep: r.keep(e, m)}, nil
	case "feedback_event":
		return bot.Inbound{Kind: robotFeedback}, nil // must be answered with nothing
	}
	return bot.Inbound{Kind: robotOther}, nil
}

func (r *robot) decodePress(raw bot.Raw, m robotSaid) (bot.Inbound, error) {
	press := m.Event.robotPress
	if m.Event.Card != nil {
		press = *m.Event.Card
	}
	e, err := r.event(raw, m)
	if err != nil {
		return bot.Inbound{}, err
	}
	p, err := placeOfEvent(e)
	if err != nil {
		p = place{inSingle, m.From.UserID}
	}
	if press.Key == "" || len(press.Key) > 1024 || !utf8.ValidString(press.Key) || !taskIDForm.MatchString(press.Task) {
		return bot.Inbound{}, malformed("press")
	}
	e.ID, e.Message = r.eventID(m, press.Key, press.Task), robotRef(p.chat, p.id, press.Task)
	var chosen []picked
	for _, item := range press.Selected.Items {
		c := picked{question: item.Question}
		if len(item.Options.IDs) > 0 {
			c.option = item.Options.IDs[0]
		}
		chosen = append(chosen, c)
	}
	return bot.Inbound{Events: presses(e, press.Key, chosen), Kind: robotClick, Keep: r.keep(e, m)}, nil
}

// eventID names an event by its msgid, or where it has none by what it is.
func (r *robot) eventID(m robotSaid, key, task string) string {
	if m.MsgID != "" && len(m.MsgID) <= 256 {
		return surfaceRobot + ":" + m.MsgID
	}
	return surfaceRobot + ":" + digest(m.Event.Type, m.From.CorpID, m.From.UserID, strconv.FormatInt(m.Created, 10), m.ChatID, key, task)
}
