package dingtalktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// What people do. Each act changes the chats first, as in DingTalk, and then
// tells the app about it; the answers are returned.

// sessionLife is how long a message can be answered by its sessionWebhook.
const sessionLife = 90 * time.Minute

// mentions are the people whom a typed text mentions, in their order, and
// whether the robot is one of them. It needs s.mu.
func (s *Server) mentions(g *Group, text string) (users []string, robot bool) {
	if g.User != "" {
		return nil, false // with the robot alone there is nobody to mention
	}
	names := map[string]string{s.opt.RobotName: ""}
	for id := range g.Members {
		if u := s.users[id]; u != nil {
			names[u.Name] = id
		}
	}
	longest := slices.SortedFunc(maps.Keys(names), func(a, b string) int { return len(b) - len(a) })
	for i := range len(text) {
		if text[i] != '@' {
			continue
		}
		for _, n := range longest {
			if n != "" && strings.HasPrefix(text[i+1:], n) {
				if names[n] == "" {
					robot = robot || g.Robot
				} else {
					users = append(users, names[n])
				}
				break
			}
		}
	}
	return users, robot
}

// Say writes a message as it is typed, with mentions as "@name". quote is the
// ref of a message that it answers, or "". In a group the robot hears only what
// mentions it, and pictures only of the files; in private it hears all, every
// file by itself. ref names the last message that came of it.
func (s *Server) Say(user, conv, quote, text string, files ...string) (ref string, answers []Answer) {
	s.mu.Lock()
	said, bodies, err := s.said(user, conv, quote, text, files)
	s.mu.Unlock()
	if err != nil {
		return "", []Answer{{Kind: "message", Err: err}}
	}
	for _, b := range bodies {
		answers = append(answers, s.message(b))
	}
	return said, answers
}

// Mention says something to the robot in a group.
func (s *Server) Mention(user, conv, quote, text string, files ...string) (ref string, answers []Answer) {
	return s.Say(user, conv, quote, "@"+s.opt.RobotName+" "+text, files...)
}

// SayMany writes many messages at once without waiting for each other, and
// then waits for all answers.
func (s *Server) SayMany(user, conv string, texts []string) []Answer {
	var bodies [][]byte
	out := make([]Answer, len(texts))
	for i, text := range texts {
		s.mu.Lock()
		_, b, err := s.said(user, conv, "", text, nil)
		s.mu.Unlock()
		if err == nil && len(b) != 1 {
			err = errors.New("the robot does not hear it")
		}
		if err != nil {
			out[i] = Answer{Kind: "message", Err: err}
			b = [][]byte{nil}
		}
		bodies = append(bodies, b[0])
	}
	flights := make([]*flight, len(texts))
	for i, b := range bodies {
		if b != nil {
			flights[i], out[i] = s.launchMessage(b)
		}
	}
	return landed(flights, out)
}

// landed waits for what is in flight; the rest of out is kept.
func landed(flights []*flight, out []Answer) []Answer {
	for i, f := range flights {
		if f != nil {
			out[i] = f.wait()
			out[i].Attempts = 1
		}
	}
	return out
}

// said needs s.mu. It puts the messages into the conversation and returns what
// the robot is told.
func (s *Server) said(user, conv, quote, text string, files []string) (ref string, bodies [][]byte, err error) {
	g, u := s.groups[conv], s.users[user]
	switch {
	case g == nil:
		return "", nil, fmt.Errorf("no conversation %q", conv)
	case u == nil || !g.Members[user]:
		return "", nil, fmt.Errorf("%q is not in %q", user, g.Name)
	case g.Disbanded:
		return "", nil, fmt.Errorf("group %q is disbanded", g.Name)
	}
	var quoted *Message
	if quote != "" {
		if _, quoted = s.find(quote); quoted == nil || quoted.Conv != conv {
			return "", nil, fmt.Errorf("no message %q there to answer", quote)
		}
	}
	at, robot := s.mentions(g, text)
	single := g.User != ""
	tell := func(m *Message, kind string, content object) error {
		ref = m.Ref()
		if !single && !robot {
			return nil
		}
		b, err := s.envelope(g, u, m, quoted, kind, content)
		bodies = append(bodies, b)
		return err
	}
	var pictures []object
	var rest []string
	for _, id := range files {
		f := s.files[id]
		if f == nil {
			return "", nil, fmt.Errorf("no file %q", id)
		}
		if f.Kind == "picture" && text != "" {
			pictures = append(pictures, object{"type": "picture", "downloadCode": s.code(id), "pictureDownloadCode": s.code(id)})
		} else {
			rest = append(rest, id)
		}
	}
	content := s.unmentioned(text, robot)
	m := &Message{User: user, Kind: "text", Text: text, At: at}
	if quoted != nil {
		m.Quotes = quoted.Ref()
	}
	if len(pictures) > 0 {
		m.Kind = "richText"
		s.put(g, m)
		for _, id := range files {
			if !slices.Contains(rest, id) {
				s.files[id].Conv = conv
				m.Files = append(m.Files, id)
			}
		}
		if err := tell(m, "richText", object{"content": object{"richText": append([]object{{"text": content}}, pictures...)}}); err != nil {
			return "", nil, err
		}
	} else if text != "" {
		s.put(g, m)
		if err := tell(m, "text", object{"text": object{"content": content}}); err != nil {
			return "", nil, err
		}
	}
	for _, id := range rest {
		f := s.files[id]
		m := &Message{User: user, Kind: f.Kind, Files: []string{id}}
		s.put(g, m)
		f.Conv = conv
		body := object{"downloadCode": s.code(id)}
		switch f.Kind {
		case "file":
			body["fileName"], body["spaceId"], body["fileId"] = f.Name, "space1", f.ID
		case "audio":
			body["duration"], body["recognition"] = 4000, string(f.Content)
		case "video":
			body["duration"], body["videoType"] = 4000, "mp4"
		}
		if !single { // a file cannot mention anybody
			ref = m.Ref()
		} else if err := tell(m, f.Kind, object{"content": body}); err != nil {
			return "", nil, err
		}
	}
	return ref, bodies, nil
}

// unmentioned is the text as the robot gets it: without its own name, but with
// the space that stood behind it.
func (s *Server) unmentioned(text string, robot bool) string {
	if robot {
		text = strings.Replace(text, "@"+s.opt.RobotName, "", 1)
	}
	return text
}

// code makes a download code of a file. It needs s.mu.
func (s *Server) code(file string) string {
	c := uuid() + "+/=="
	s.codes[c] = &downloadable{file: file, until: s.opt.Now().Add(24 * time.Hour)}
	return c
}

func dingID(id string) string { return "$:LWCP_v1:$" + id }

// envelope is the JSON of a message to the robot
// (https://open.dingtalk.com/document/dingstart/robot-receive-message). It needs s.mu.
func (s *Server) envelope(g *Group, u *User, m, quoted *Message, kind string, content object) ([]byte, error) {
	now := s.opt.Now()
	key := uuid()
	s.sessions[key] = &session{conv: g.ID, until: now.Add(sessionLife)}
	o := object{
		"conversationId": g.ID, "conversationType": "2", "conversationTitle": g.Name, "msgId": m.ID, "createAt": now.UnixMilli(),
		"senderPlatform": "Mac", "senderId": dingID(u.ID), "senderNick": u.Name, "senderStaffId": u.ID, "senderUnionId": u.UnionID, "senderCorpId": s.opt.CorpID,
		"isAdmin": u.Admin, "chatbotCorpId": s.opt.CorpID, "chatbotUserId": dingID("bot"), "robotCode": s.opt.RobotCode, "isInAtList": true,
		"sessionWebhook": s.oapi.URL + "/robot/sendBySession?session=" + key, "sessionWebhookExpiredTime": now.Add(sessionLife).UnixMilli(),
		"msgtype": kind,
	}
	at := []object{{"dingtalkId": dingID("bot")}}
	for _, id := range m.At {
		who := object{"dingtalkId": dingID(id)}
		if !s.opt.Unpublished && !s.users[id].External {
			who["staffId"], who["unionId"] = id, s.users[id].UnionID
		}
		at = append(at, who)
	}
	o["atUsers"] = at
	if g.User != "" {
		o["conversationType"] = "1"
		delete(o, "conversationTitle")
		delete(o, "isInAtList")
		delete(o, "atUsers")
	}
	if u.External {
		o["senderCorpId"] = "dingother"
	}
	if s.opt.Unpublished || u.External {
		o["senderStaffId"] = ""
		delete(o, "isAdmin")
	}
	s.turnMonth()
	if s.opt.Pushes > 0 && s.pushed >= s.opt.Pushes {
		o["errorCode"], o["errorMessage"] = "20001", "受调用量超量影响，当前我的消息服务已经暂停。请联系你所在的组织管理员并予以处理"
		return json.Marshal(o)
	}
	s.pushed++
	for k, v := range content {
		o[k] = v
	}
	if quoted != nil {
		s.quote(o, quoted)
	}
	return json.Marshal(o)
}

// quote adds the message that is answered. Of a card only its carrier is told,
// not what it shows. It needs s.mu.
func (s *Server) quote(o object, m *Message) {
	reply := object{"createdAt": m.Sent.UnixMilli(), "msgId": m.ID, "msgType": "text", "senderId": dingID(m.User), "content": object{"text": m.Text}}
	switch {
	case m.Card != "":
		reply["msgType"] = "interactiveCard"
		delete(reply, "content")
	case m.Kind != "text" && m.User == "":
		reply["msgType"] = "unknownMsgType"
		delete(reply, "content")
	case m.Kind != "text":
		reply["msgType"] = m.Kind
		delete(reply, "content")
	}
	if m.User == "" {
		reply["senderId"] = dingID("bot")
		if m.Key != "" {
			o["originalProcessQueryKey"] = m.Key
		}
	}
	o["originalMsgId"] = m.ID
	text, _ := o["text"].(object)
	if text == nil {
		return // pictures do not tell what they answer
	}
	text["isReplyMsg"], text["repliedMsg"] = true, reply
}

// Recall takes a person's message away. The robot is not told.
func (s *Server) Recall(ref string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, m := s.find(ref)
	if m == nil || m.User == "" {
		return fmt.Errorf("no message %q of a person", ref)
	}
	m.Recalled = true
	return nil
}

// Join puts a person, or with "" the robot, into a group; the robot is not told.
func (s *Server) Join(user, conv string) error { return s.member(user, conv, true) }

// Leave takes a person, or with "" the robot, out of a group.
func (s *Server) Leave(user, conv string) error { return s.member(user, conv, false) }

func (s *Server) member(user, conv string, in bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[conv]
	switch {
	case g == nil || g.User != "":
		return fmt.Errorf("no group %q", conv)
	case user == "":
		g.Robot = in
	case in:
		g.Members[user] = true
	default:
		delete(g.Members, user)
	}
	return nil
}

// Press presses a button of a card: what is its label or its token. A card that
// does not have it, or that the person does not see, is an error, and so is a
// button that opens an address. What the app answers changes the card.
func (s *Server) Press(user, ref, what string) Answer { return s.press(user, ref, what, "") }

// Choose chooses from a menu of a card: menu is its label or token, option the
// label or value.
func (s *Server) Choose(user, ref, menu, option string) Answer {
	return s.press(user, ref, menu, option)
}

func (s *Server) press(user, ref, what, option string) Answer {
	s.mu.Lock()
	c, m, err := s.sees(user, ref)
	var content object
	if err == nil {
		content, err = choose(c.see(user), what, option)
	}
	if err != nil {
		s.mu.Unlock()
		return Answer{Kind: "press", Err: err}
	}
	body, err := s.pressBody(c, m, user, content)
	c.pressed++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.pressed--
	}()
	if err != nil {
		return Answer{Kind: "press", Err: err}
	}
	return s.dispatch("press", 1, func() Answer {
		f, a := s.launchPress(c, body, func(reply []byte) error { return s.follow(c, user, reply) })
		if f != nil {
			a = f.wait()
		}
		return a
	})
}

// pressBody is the JSON of a card's callback
// (https://open.dingtalk.com/document/development/event-callback-card).
func (s *Server) pressBody(c *card, m *Message, user string, content object) ([]byte, error) {
	inner, err := json.Marshal(object{"cardPrivateData": content})
	if err != nil {
		return nil, err
	}
	return json.Marshal(object{
		"type": "actionCallback", "outTrackId": c.id, "corpId": s.opt.CorpID, "userId": user, "userIdType": 1, "spaceType": "IM", "spaceId": m.Conv,
		"extension": "{}", "content": string(inner),
	})
}

// launchPress returns a flight over Stream, or the hook's answer, as the card
// was made for. take gets the data that the answer carries.
func (s *Server) launchPress(c *card, body []byte, take func([]byte) error) (*flight, Answer) {
	if c.callback == "HTTP" {
		a := s.Post("press", s.CardRequest(c.route, body, s.opt.Now()))
		if a.OK() {
			a.Err = take(a.Body)
		}
		return nil, a
	}
	f, err := s.launch("press", "CALLBACK", CardTopic, nil, body, s.opt.CardDeadline, func(data []byte) error {
		var o struct {
			Response json.RawMessage `json:"response"`
		}
		if err := json.Unmarshal(data, &o); err != nil {
			return fmt.Errorf("answer to a press: %w", err)
		}
		return take(o.Response)
	})
	return f, Answer{Kind: "press", Err: err}
}

// follow applies the answer to a press: cardData for everybody, userPrivateData
// for who pressed.
func (s *Server) follow(c *card, user string, reply []byte) error {
	if len(reply) == 0 || string(reply) == "null" {
		return nil
	}
	var in struct {
		Options *cardOptions `json:"cardUpdateOptions"`
		Public  *cardData    `json:"cardData"`
		Private *cardData    `json:"userPrivateData"`
	}
	if err := json.Unmarshal(reply, &in); err != nil {
		return fmt.Errorf("answer to a press: %w", err)
	}
	var n change
	if in.Options != nil {
		n.options = *in.Options
	}
	var err error
	if in.Public != nil && in.Public.CardParamMap != nil {
		if n.public, err = s.values(in.Public, false); err != nil {
			return answerError(err)
		}
	}
	if in.Private != nil && in.Private.CardParamMap != nil {
		own, err := s.values(in.Private, true)
		if err != nil {
			return answerError(err)
		}
		n.private = map[string]map[string]string{user: own}
	}
	if n.public == nil && n.private == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.apply(n); err != nil {
		return fmt.Errorf("answer to a press: %w", err)
	}
	s.changed(c, "card/callback")
	return nil
}

func answerError(err error) error {
	var no refusal
	if errors.As(err, &no) {
		return fmt.Errorf("answer to a press: %s: %s", no.code, no.message)
	}
	return err
}

// choose finds a button or a menu in a card, and returns what pressing it sends.
func choose(v map[string]string, what, option string) (object, error) {
	d, err := draw(v)
	if err != nil {
		return nil, err
	}
	var seen []string
	for _, m := range d.Menus {
		seen = append(seen, m.Label)
		for _, o := range m.Options {
			if (m.Label == what || m.Token == what) && option != "" && (o.Label == option || o.Value == option) {
				return object{"actionIds": []string{"choose"}, "params": object{"token": m.Token, "value": o.Value}}, nil
			}
		}
	}
	buttons := slices.Concat(d.Actions, d.More)
	for _, r := range d.Rows {
		buttons = append(buttons, r.Actions...)
	}
	for _, b := range buttons {
		seen = append(seen, b.Label)
		if option != "" || b.Label != what && (b.Token != what || what == "") {
			continue
		}
		if b.URL != "" {
			return nil, fmt.Errorf("%q opens %s and tells nobody", b.Label, b.URL)
		}
		return object{"actionIds": []string{"press"}, "params": object{"token": b.Token}}, nil
	}
	return nil, fmt.Errorf("nothing there is called %q %q; there is %q", what, option, seen)
}

// Clicks makes many presses of one button cheaply, for load.
type Clicks struct {
	s    *Server
	card *card
	body string
}

// The marks in a prepared body, which no id contains.
const (
	userMark  = "\x00U"
	tokenMark = "\x00T"
)

// Clicks prepares presses of a button of a card.
func (s *Server) Clicks(ref, what string) (*Clicks, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, m := s.find(ref)
	if m == nil || m.Card == "" {
		return nil, fmt.Errorf("no card %q", ref)
	}
	c := s.cards[m.Card]
	content, err := choose(c.public, what, "")
	if err != nil {
		return nil, err
	}
	content["params"] = object{"token": "TOKEN"}
	b, err := s.pressBody(c, m, "USER", content)
	if err != nil {
		return nil, err
	}
	return &Clicks{s: s, card: c, body: strings.NewReplacer(`"USER"`, `"`+userMark+`"`, `TOKEN`, tokenMark).Replace(string(b))}, nil
}

// Body is one press: by a user, with a token. Both must be free of what JSON escapes.
func (c *Clicks) Body(user, token string) []byte {
	return []byte(strings.NewReplacer(userMark, user, tokenMark, token).Replace(c.body))
}

// Sign returns the headers of one request of HTTP mode.
func (c *Clicks) Sign(at time.Time) http.Header {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return SignCard(c.s.routes[c.card.route].secret, at)
}

// Send sends presses over Stream, all at once, and then waits for all answers.
// They are checked but change nothing in the card.
func (c *Clicks) Send(bodies [][]byte) []Answer {
	out := make([]Answer, len(bodies))
	flights := make([]*flight, len(bodies))
	for i, b := range bodies {
		flights[i], out[i] = c.s.launchPress(c.card, b, func([]byte) error { return nil })
	}
	return landed(flights, out)
}
