package wecomtest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Clicks makes many presses of one button, without asking the server for each:
// for load tests.
type Clicks struct {
	keys    Keys
	surface string
	corp    string
	agent   int
	text    string // of the callback, with words to be replaced
}

// clickCode begins the response_code of every press that Clicks makes. Such a
// code is taken once, like any other, but no card belongs to it.
const clickCode = "rcClick"

// Clicks prepares presses of a button of a card that is shown.
func (s *Server) Clicks(user, ref, what string) (*Clicks, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, p, err := s.pressed(user, ref, what)
	if err != nil {
		return nil, err
	}
	p.key = "=KEY="
	masked := *m
	masked.Task = "=TASK="
	c := &Clicks{keys: s.AppKeys(), surface: OnApp, corp: s.opt.Corp, agent: s.opt.Agent}
	if strings.HasPrefix(m.Conv, "app") {
		all := []field{{"ToUserName", s.opt.Corp}, {"FromUserName", "=USER="}, {"CreateTime", "=TIME="}, {"MsgType", "event"}, {"Event", p.kind}}
		all = append(append(all, pressFields(&masked, p, clickCode+"=STAMP=")...), field{"AgentID", strconv.Itoa(s.opt.Agent)})
		c.text = string(message(all))
		return c, nil
	}
	c.keys, c.surface = s.RobotKeys(), OnRobot
	body := s.robotEvent("=USER=", m.Conv, "template_card_event", pressObject(&masked, p))
	body["msgid"], body["create_time"] = "CAIQ=STAMP=", "=TIME="
	b, err := json.Marshal(body)
	c.text = strings.Replace(string(b), `"=TIME="`, "=TIME=", 1)
	return c, err
}

// Press is one press: by a user, of a button with this key on the card with this
// task_id, at a moment. stamp is something that no other press has.
func (c *Clicks) Press(user, key, task, stamp string, at time.Time) (query url.Values, contentType string, body []byte, err error) {
	unix := strconv.FormatInt(at.Unix(), 10)
	plain := strings.NewReplacer("=USER=", user, "=KEY=", key, "=TASK=", task, "=STAMP=", stamp, "=TIME=", unix).Replace(c.text)
	encrypted, err := c.keys.Encrypt([]byte(plain))
	if err != nil {
		return nil, "", nil, err
	}
	query = url.Values{"msg_signature": {c.keys.Sign(unix, stamp, encrypted)}, "timestamp": {unix}, "nonce": {stamp}}
	if c.surface == OnRobot {
		body, err = json.Marshal(object{"encrypt": encrypted})
		return query, "application/json", body, err
	}
	body = fmt.Appendf(nil, "<xml><ToUserName><![CDATA[%s]]></ToUserName><Encrypt><![CDATA[%s]]></Encrypt><AgentID><![CDATA[%d]]></AgentID></xml>", c.corp, encrypted, c.agent)
	return query, "text/xml", body, nil
}
