package wecomtest

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Answer is what came back for one delivery.
type Answer struct {
	Kind     string // "text", "template_card_event" …
	Status   int    // 0 = no answer in time
	Body     []byte
	Plain    []byte // the reply, decrypted
	Attempts int
	Latency  time.Duration // of the last attempt
	Err      error
}

// OK reports whether WeCom would take the answer for "received", and could make
// sense of the reply in it.
func (a Answer) OK() bool { return a.Err == nil && a.Status == http.StatusOK }

// Variant is a way in which the next delivery differs from an ordinary one.
type Variant string

// The variants. The first four must be refused by whoever receives them.
const (
	BadSignature  Variant = "bad signature"
	WrongReceiver Variant = "wrong receiver" // another corp's id inside
	WrongKey      Variant = "wrong key"      // rightly signed, but encrypted with another key
	Stale         Variant = "stale"          // a day old
	RawPlus       Variant = "raw plus"       // "+" of the echostr not escaped, as some gateways leave it
	Envelope      Variant = "json envelope"  // the app's callback wrapped in JSON instead of XML
)

// Vary makes the next delivery, or check of an address, differ.
func (s *Server) Vary(v ...Variant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vary = v
}

var (
	errDropped = errors.New("lost on the way")
	errNoHook  = errors.New("neither a hook nor a connection to deliver to")
	errNoRead  = errors.New("not read")
)

// Request is a callback as it goes over the wire.
type Request struct {
	Query            url.Values
	Body             []byte
	Type             string // Content-Type
	nonce, encrypted string
}

// Seal makes the callback of a message without sending it: in XML for the app,
// in JSON for the robot.
func (s *Server) Seal(surface string, plain []byte, vary ...Variant) (Request, error) {
	keys := s.keys(surface)
	at := s.opt.Now()
	s.mu.Lock()
	s.counter++
	nonce := strconv.FormatInt(1_500_000_000+s.counter, 10)
	s.mu.Unlock()
	if slices.Contains(vary, Stale) {
		at = at.Add(-24 * time.Hour)
	}
	with := keys
	if slices.Contains(vary, WrongReceiver) {
		with.Receiver = "ww_other_corp"
	}
	if slices.Contains(vary, WrongKey) {
		with.AESKey = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"
	}
	encrypted, err := with.Encrypt(plain)
	if err != nil {
		return Request{}, err
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	signature := keys.Sign(stamp, nonce, encrypted)
	if slices.Contains(vary, BadSignature) {
		signature = strings.Repeat("0", 40)
	}
	r := Request{Query: url.Values{"msg_signature": {signature}, "timestamp": {stamp}, "nonce": {nonce}}, Type: "text/xml", nonce: nonce, encrypted: encrypted}
	switch {
	case surface == OnRobot:
		r.Type = "application/json"
		r.Body, err = json.Marshal(object{"encrypt": encrypted})
	case slices.Contains(vary, Envelope):
		r.Type = "application/json"
		r.Body, err = json.Marshal(object{"tousername": s.opt.Corp, "encrypt": encrypted, "agentid": strconv.Itoa(s.opt.Agent)})
	default:
		r.Body = fmt.Appendf(nil, "<xml><ToUserName><![CDATA[%s]]></ToUserName><Encrypt><![CDATA[%s]]></Encrypt><AgentID><![CDATA[%d]]></AgentID></xml>", s.opt.Corp, encrypted, s.opt.Agent)
	}
	return r, err
}

func (s *Server) varied() []Variant {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.vary
	s.vary = nil
	return v
}

// VerifyURL checks the app's callback address as the console does when it is
// saved: the answer must come within a second and be the plain text alone.
func (s *Server) VerifyURL() Answer { return s.verify(OnApp) }

// VerifyServiceURL does the same for the address of customer service.
func (s *Server) VerifyServiceURL() Answer { return s.verify(OnService) }

// VerifyRobotURL does the same for the robot's.
func (s *Server) VerifyRobotURL() Answer { return s.verify(OnRobot) }

func (s *Server) verify(surface string) Answer {
	s.mu.Lock()
	s.counter++
	echo := strconv.FormatInt(5_927_782_489_442_352_000+s.counter, 10)
	target := s.targetOf(surface)
	s.mu.Unlock()
	a := Answer{Kind: "verify", Attempts: 1}
	vary := s.varied()
	r, err := s.Seal(surface, []byte(echo), vary...)
	if err != nil {
		a.Err = err
		return a
	}
	r.Query.Set("echostr", r.encrypted)
	query := r.Query.Encode()
	if slices.Contains(vary, RawPlus) {
		query = strings.ReplaceAll(query, "%2B", "+")
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target+"?"+query, nil)
	if err != nil {
		a.Err = err
		return a
	}
	s.roundTrip(req, &a)
	if a.Err == nil && a.Status == http.StatusOK && string(a.Body) != echo {
		a.Err = fmt.Errorf("answered %q, want exactly %q", a.Body, echo)
	}
	return a
}

func (s *Server) roundTrip(req *http.Request, a *Answer) {
	start := time.Now()
	defer func() { a.Latency = time.Since(start) }()
	resp, err := s.client.Do(req)
	if err != nil {
		a.Err = err
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		a.Err = err
		return
	}
	a.Status, a.Body = resp.StatusCode, b
}

// Post sends a signed callback once. kind names it in the answer.
func (s *Server) Post(kind, target string, r Request) Answer {
	a := Answer{Kind: kind, Attempts: 1}
	ctx, cancel := context.WithTimeout(s.ctx, s.opt.Deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target+"?"+r.Query.Encode(), bytes.NewReader(r.Body))
	if err != nil {
		a.Err = err
		return a
	}
	req.Header.Set("Content-Type", r.Type)
	req.Header.Set("User-Agent", "Mozilla/4.0")
	s.roundTrip(req, &a)
	return a
}

// event is one callback to deliver.
type event struct {
	surface string
	kind    string
	plain   []byte
	once    bool          // never repeated
	req     *request      // of a callback to the robot
	cmd     string        // of the frame that carries it over the connection
	reply   func(*Answer) // applies what was answered
}

// tries is how often a callback is sent until it is answered with 200:
// https://developer.work.weixin.qq.com/document/path/90238
const tries = 3

// deliver sends a callback, again up to three times until it is received.
func (s *Server) deliver(e event) Answer {
	s.mu.Lock()
	twice := s.double > 0
	if twice {
		s.double--
	}
	if s.hold > 0 {
		s.hold--
		s.held = append(s.held, func() { s.repeat(e, nil, false) })
		var all []func()
		if s.hold == 0 {
			all, s.held = s.held, nil
		}
		s.mu.Unlock()
		slices.Reverse(all)
		for _, send := range all {
			send()
		}
		return Answer{Kind: e.kind, Status: http.StatusOK}
	}
	s.mu.Unlock()
	vary := s.varied()
	a := s.repeat(e, vary, true)
	if twice {
		a = s.repeat(e, vary, false)
	}
	return a
}

func (s *Server) repeat(e event, vary []Variant, mayDrop bool) Answer {
	a := Answer{Kind: e.kind}
	n := tries
	if e.once {
		n = 1
	}
	for i := range n {
		if i > 0 {
			s.opt.Wait(i)
		}
		s.mu.Lock()
		lost := mayDrop && i == 0 && s.drop > 0
		if lost {
			s.drop--
		}
		target := s.targetOf(e.surface)
		s.mu.Unlock()
		switch {
		case lost:
			a = Answer{Kind: e.kind, Err: errDropped}
		case target != "":
			a = s.once(e, target, vary)
		case e.surface == OnRobot:
			a = s.overLink(e)
			a.Attempts = i + 1
			return a // whoever reads the connection has it
		default:
			return Answer{Kind: e.kind, Err: errNoHook}
		}
		a.Attempts = i + 1
		if a.Status == http.StatusOK {
			return a
		}
	}
	return a
}

func (s *Server) once(e event, target string, vary []Variant) Answer {
	r, err := s.Seal(e.surface, e.plain, vary...)
	if err != nil {
		return Answer{Kind: e.kind, Err: err}
	}
	a := s.Post(e.kind, target, r)
	if a.Err != nil || a.Status != http.StatusOK || len(a.Body) == 0 {
		return a
	}
	if e.surface == OnRobot {
		a.Plain, a.Err = s.openRobotReply(a.Body, r.nonce)
	} else {
		a.Plain, a.Err = s.openReply(a.Body)
	}
	if a.Err == nil && e.reply != nil {
		e.reply(&a)
	}
	return a
}

// openReply opens a passive reply: https://developer.work.weixin.qq.com/document/path/90241
func (s *Server) openReply(body []byte) ([]byte, error) {
	var env struct {
		XMLName                                 xml.Name `xml:"xml"`
		Encrypt, MsgSignature, TimeStamp, Nonce string
	}
	if err := xml.Unmarshal(body, &env); err != nil {
		return nil, fmt.Errorf("the reply is no XML: %w", err)
	}
	keys := s.AppKeys()
	if env.MsgSignature != keys.Sign(env.TimeStamp, env.Nonce, env.Encrypt) {
		return nil, errors.New("the reply is not rightly signed")
	}
	return keys.Decrypt(env.Encrypt)
}

// openRobotReply opens a robot's reply: https://developer.work.weixin.qq.com/document/path/101033
func (s *Server) openRobotReply(body []byte, nonce string) ([]byte, error) {
	var env struct {
		Encrypt   string      `json:"encrypt"`
		Signature string      `json:"msgsignature"`
		Timestamp json.Number `json:"timestamp"`
		Nonce     string      `json:"nonce"`
	}
	if err := json.Unmarshal(body, &env); err != nil {
		return nil, fmt.Errorf("the reply is no JSON: %w", err)
	}
	if bytes.Contains(body, []byte(`"timestamp":"`)) {
		return nil, errors.New("the reply's timestamp is no number")
	}
	keys := s.RobotKeys()
	if env.Nonce != nonce || env.Signature != keys.Sign(env.Timestamp.String(), env.Nonce, env.Encrypt) {
		return nil, errors.New("the reply is not rightly signed")
	}
	return keys.Decrypt(env.Encrypt)
}

// field is one element of an XML message.
type field struct{ name, value string }

var plainNumber = map[string]bool{"CreateTime": true, "MsgId": true, "AgentID": true}

// message writes the XML of a message; a name with a ">" opens an element, one
// with "<" closes it.
func message(fields []field) []byte {
	var b bytes.Buffer
	b.WriteString("<xml>")
	for _, f := range fields {
		switch {
		case f.name[0] == '>':
			b.WriteString("<" + f.name[1:] + ">")
		case f.name[0] == '<':
			b.WriteString("</" + f.name[1:] + ">")
		case plainNumber[f.name]:
			b.WriteString("<" + f.name + ">" + f.value + "</" + f.name + ">")
		default:
			b.WriteString("<" + f.name + "><![CDATA[" + strings.ReplaceAll(f.value, "]]>", "]]]]><![CDATA[>") + "]]></" + f.name + ">")
		}
	}
	b.WriteString("</xml>")
	return b.Bytes()
}

// element is any XML.
type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

func (e element) child(name string) *element {
	for i := range e.Children {
		if e.Children[i].XMLName.Local == name {
			return &e.Children[i]
		}
	}
	return nil
}

func (e element) value(name string) string {
	if c := e.child(name); c != nil {
		return strings.TrimSpace(c.Text)
	}
	return ""
}

// lists are elements that are repeated instead of being put into a list.
var repeated = map[string]bool{
	"ButtonList": true, "HorizontalContentList": true, "VerticalContentList": true, "JumpList": true, "OptionList": true, "ActionList": true, "SelectList": true,
}

var numeric = map[string]bool{"Type": true, "Style": true, "Mode": true, "DescColor": true, "AspectRatio": true}

// card reads the card of a passive reply as the JSON that it stands for.
func (e element) card() any {
	if len(e.Children) == 0 {
		return strings.TrimSpace(e.Text)
	}
	out := object{}
	for _, c := range e.Children {
		name := snake(c.XMLName.Local)
		v := c.card()
		if s, isText := v.(string); isText {
			if f, err := strconv.ParseFloat(s, 64); err == nil && numeric[c.XMLName.Local] {
				v = f
			}
			if s == "true" || s == "false" {
				v = s == "true"
			}
		}
		if repeated[c.XMLName.Local] {
			list, _ := out[name].([]any)
			v = append(list, v)
		}
		out[name] = v
	}
	return out
}

// snake turns "ButtonList" into "button_list"; "CardType", "Pagepath" likewise.
func snake(s string) string {
	switch s {
	case "KeyName", "Keyname":
		return "keyname"
	case "AppId", "Appid":
		return "appid"
	case "PagePath", "Pagepath":
		return "pagepath"
	case "UserId", "Userid":
		return "userid"
	}
	var b strings.Builder
	for i, r := range s {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// talks are the events that may be answered with a message.
var talks = []string{"subscribe", "enter_agent", "LOCATION", "click", "view", "view_miniprogram", "scancode_waitmsg", "template_card_menu_event"}

// apply shows what a passive reply says: a message, or another face of the card
// that was pressed, which only the one who pressed it sees.
func (s *Server) apply(a *Answer, kind, user string, pressed *Message) {
	var reply element
	if err := xml.Unmarshal(a.Plain, &reply); err != nil || reply.XMLName.Local != "xml" {
		a.Err = fmt.Errorf("the reply is no XML message: %q", a.Plain)
		return
	}
	if reply.value("ToUserName") != user || reply.value("FromUserName") != s.opt.Corp {
		a.Err = fmt.Errorf("the reply goes from %q to %q", reply.value("FromUserName"), reply.value("ToUserName"))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	what := reply.value("MsgType")
	switch what {
	case "update_button", "update_template_card":
		a.Err = s.repaint(reply, what, user, pressed)
		return
	case "text":
		if reply.value("Content") == "" {
			a.Err = errors.New("the reply has no content")
			return
		}
	case "image", "voice", "video", "news":
	default:
		a.Err = fmt.Errorf("the reply has the MsgType %q", what)
		return
	}
	if isEvent := kind != "message"; isEvent && !slices.Contains(talks, kind) {
		a.Err = fmt.Errorf("%s cannot be answered with a message", kind)
		return
	}
	m := &Message{ID: s.id("msg"), Conv: AppChat(user), Type: what, Text: cut(reply.value("Content"), 2048), app: s.opt.Agent}
	if e := reply.child(strings.ToUpper(what[:1]) + what[1:]); e != nil {
		m.File = e.value("MediaId")
		if s.files[m.File] == nil {
			a.Err = no(40007)
			return
		}
	}
	s.put(m)
	s.arrived("passive", m, nil)
}

// repaint needs s.mu.
func (s *Server) repaint(reply element, what, user string, pressed *Message) error {
	if pressed == nil {
		return fmt.Errorf("%s answers something that is no press of a card", what)
	}
	body := object{}
	if what == "update_button" {
		button := reply.child("Button")
		if button == nil {
			return errors.New("update_button has no Button")
		}
		body["button"] = object{"replace_name": button.value("ReplaceName")}
	} else {
		card := reply.child("TemplateCard")
		if card == nil {
			return errors.New("update_template_card has no TemplateCard")
		}
		body["template_card"] = card.card()
	}
	change, err := s.replacement(body, []*Message{pressed})
	if err != nil {
		return err
	}
	card, err := change(pressed.CardFor(user))
	if err != nil {
		return err
	}
	s.show("passive", pressed, card, user)
	return nil
}
