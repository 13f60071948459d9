package wecomtest

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// agent reads agentid, a number or the digits of one.
func (c *call) agent() error {
	id := 0
	switch v := c.body["agentid"].(type) {
	case float64:
		id = int(v)
	case string:
		var err error
		if id, err = strconv.Atoi(v); err != nil {
			return no(40056)
		}
	default:
		return no(40056)
	}
	switch {
	case c.s.apps[id] == nil:
		return no(40056)
	case id != c.app:
		return no(301002)
	}
	return nil
}

// recipients are the members that a call is for, and whom it names in vain.
func (s *Server) recipients(users []string, parties []int, all bool) (to, invalid []string, badParties []string) {
	add := func(id string) {
		if !slices.Contains(to, id) {
			to = append(to, id)
		}
	}
	for _, id := range s.order {
		u := s.users[id]
		ok := !u.Hidden && (u.Status == 1 || u.Status == 4)
		if ok && (all || slices.ContainsFunc(parties, func(p int) bool { return slices.Contains(u.Departments, p) })) {
			add(id)
		}
	}
	for _, id := range users {
		if u := s.users[id]; u != nil && !u.Hidden && (u.Status == 1 || u.Status == 4) {
			add(id)
		} else {
			invalid = append(invalid, strings.ToLower(id))
		}
	}
	for _, p := range parties {
		if s.department(p) == nil {
			badParties = append(badParties, strconv.Itoa(p))
		}
	}
	return to, invalid, badParties
}

func split(list string) []string {
	return slices.DeleteFunc(strings.Split(list, "|"), func(s string) bool { return s == "" })
}

// sendMessage is https://developer.work.weixin.qq.com/document/path/90236
func sendMessage(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.agent(); err != nil {
		return nil, err
	}
	users, parties, tags := split(c.str("touser")), split(c.str("toparty")), split(c.str("totag"))
	all := c.str("touser") == "@all"
	switch {
	case len(users)+len(parties)+len(tags) == 0:
		return nil, no(82001)
	case len(users) > 1000 || len(parties) > 100 || len(tags) > 100:
		return nil, no(40031)
	}
	var numbers []int
	for _, p := range parties {
		n, err := strconv.Atoi(p)
		if err != nil {
			n = -1
		}
		numbers = append(numbers, n)
	}
	if all {
		users = nil
	}
	to, invalid, badParties := s.recipients(users, numbers, all)
	answer := object{"invaliduser": strings.Join(invalid, "|"), "invalidparty": strings.Join(badParties, "|"), "invalidtag": strings.Join(tags, "|"), "unlicenseduser": ""}
	if len(to) == 0 {
		return nil, refuse{code: 81013, text: texts[81013], more: answer}
	}
	m, err := s.compose(c.body, OnApp, []string{"text", "markdown", "textcard", "news", "image", "voice", "video", "file", "template_card"})
	if err != nil {
		return nil, err
	}
	key, err := s.again(c)
	if err != nil {
		return nil, err
	}
	if key != "" && s.opt.Now().Before(s.recent[key]) {
		return answer, nil // swallowed; that the first answer is repeated is not documented
	}
	if m.Task != "" {
		if s.tasks[taskKey(c.app, m.Task)] {
			return nil, because(42014, "task_id was used before")
		}
		s.tasks[taskKey(c.app, m.Task)] = true
	}
	m.ID, m.app = s.id("msg"), c.app
	var copies []*Message
	for _, user := range to {
		one := *m
		one.Conv = s.appChat(c.app, user)
		if s.tooMany("member "+one.Conv, 30, 1000) {
			s.dropped++
			continue
		}
		copies = append(copies, s.put(&one))
		s.arrived(c.path, &one, one.Card)
	}
	if key != "" {
		s.recent[key] = s.opt.Now().Add(c.interval())
	}
	answer["msgid"] = m.ID
	var card object
	if m.Card != nil && json.Unmarshal(m.Card, &card) == nil && callsBack(card) {
		answer["response_code"] = s.newCode(c.app, copies)
	}
	return answer, nil
}

func taskKey(app int, task string) string { return strconv.Itoa(app) + " " + task }

func (c *call) interval() time.Duration {
	if n := c.num("duplicate_check_interval"); n > 0 {
		return time.Duration(n) * time.Second
	}
	return 30 * time.Minute
}

// again names a request that is not to be done twice; "" for all others.
func (s *Server) again(c *call) (string, error) {
	if c.num("enable_duplicate_check") != 1 {
		return "", nil
	}
	if c.interval() > 4*time.Hour {
		return "", because(40058, "duplicate_check_interval is at most 14400")
	}
	b, err := json.Marshal(c.body)
	return strconv.Itoa(c.app) + string(b), err
}

// tooMany counts one message, and reports whether it is one too many.
func (s *Server) tooMany(what string, minute, hour int) bool {
	if !s.opt.RateLimits {
		return false
	}
	now := s.opt.Now()
	old := slices.DeleteFunc(s.minute[what], func(t time.Time) bool { return now.Sub(t) >= time.Hour })
	inMinute := 0
	for _, t := range old {
		if now.Sub(t) < time.Minute {
			inMinute++
		}
	}
	s.minute[what] = old
	if inMinute >= minute || len(old) >= hour {
		return true
	}
	s.minute[what] = append(old, now)
	return false
}

// newCode makes a response_code for a card.
func (s *Server) newCode(app int, copies []*Message) string {
	id := s.id("rc")
	s.codes[id] = &code{app: app, messages: copies, until: s.opt.Now().Add(72 * time.Hour)}
	return id
}

// cut shortens a text to so many bytes, without half a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// compose reads what a request would show. It needs s.mu.
func (s *Server) compose(body object, surface string, allowed []string) (*Message, error) {
	kind, _ := body["msgtype"].(string)
	if !slices.Contains(allowed, kind) {
		return nil, no(40008)
	}
	part, ok := body[kind].(object)
	if !ok {
		return nil, because(40058, "%s is missing", kind)
	}
	m := &Message{Type: kind}
	robot := surface == OnRobot
	switch kind {
	case "text":
		if m.Text = text(part, "content"); m.Text == "" {
			return nil, no(44004)
		}
		if robot && len(m.Text) > 20480 {
			return nil, no(45002)
		}
		if !robot {
			m.Text = cut(m.Text, 2048) // without a word
		}
		list, _ := part["mentioned_list"].([]any)
		for _, x := range list {
			if id, ok := x.(string); ok {
				m.Named = append(m.Named, id)
			}
		}
	case "markdown", "markdown_v2":
		if m.Text = text(part, "content"); m.Text == "" {
			return nil, no(44004)
		}
		limit := 2048
		switch {
		case robot:
			limit = 20480
		case surface == onWebhook:
			limit = 4096
		}
		if len(m.Text) > limit {
			return nil, no(45002)
		}
	case "textcard":
		title, words, url := text(part, "title"), text(part, "description"), text(part, "url")
		if title == "" || words == "" || url == "" {
			return nil, because(40058, "textcard needs title, description and url")
		}
		if len(url) > 2048 {
			return nil, no(45002)
		}
		m.Text = cut(title, 128) + "\n" + cut(words, 512) + "\n" + url
	case "news":
		list := items(part, "articles")
		if len(list) < 1 || len(list) > 8 {
			return nil, no(45008)
		}
		for _, a := range list {
			if text(a, "title") == "" {
				return nil, because(40058, "articles.title is missing")
			}
			m.Text += text(a, "title") + "\n" + text(a, "description") + "\n" + text(a, "url") + "\n"
		}
	case "image", "voice", "video", "file":
		m.File = text(part, "media_id")
		f := s.files[m.File]
		if f == nil || f.robot != robot || s.opt.Now().Sub(f.Created) >= 72*time.Hour {
			return nil, no(40007)
		}
		if f.Type != kind {
			return nil, no(40004)
		}
		m.Text = f.Name
	case "template_card":
		if err := s.card(m, part, surface, false); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// card checks a card and puts it into a message.
func (s *Server) card(m *Message, card object, surface string, replaces bool) error {
	raw, err := json.Marshal(card)
	if err != nil {
		return err
	}
	where := surface
	if surface == onWebhook {
		where = OnApp
	}
	if flaws := inspect(where, raw, replaces); len(flaws) > 0 {
		return because(flaws[0].code, "%s", flaws[0].text)
	}
	if surface == OnApp && s.opt.NoCallback && callsBack(card) {
		return no(43012)
	}
	if surface == onWebhook && callsBack(card) {
		return because(42031, "a webhook shows notices only")
	}
	for _, row := range items(card, "horizontal_content_list") {
		if n, _ := number(row, "type"); n == 2 && s.files[text(row, "media_id")] == nil {
			return no(40007)
		}
	}
	if !replaces {
		m.Task = text(card, "task_id")
	}
	m.Card = raw
	return nil
}

const onWebhook = "webhook"

// updateCard is https://developer.work.weixin.qq.com/document/path/94888
func updateCard(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.agent(); err != nil {
		return nil, err
	}
	if _, isText := c.body["agentid"].(string); isText {
		return nil, no(40056)
	}
	users, ok := c.strings("userids")
	if !ok || len(users) > 1000 {
		return nil, because(40058, "userids is a list of at most 1000")
	}
	allowed := s.codes[c.str("response_code")]
	if id := c.str("response_code"); allowed == nil && strings.HasPrefix(id, clickCode) { // of a press that Clicks made
		allowed = &code{app: c.app, until: s.opt.Now().Add(72 * time.Hour)}
		s.codes[id] = allowed
	}
	switch {
	case allowed == nil || !s.opt.Now().Before(allowed.until):
		return nil, because(s.opt.ExpiredCode, "response_code is invalid or expired")
	case allowed.app != c.app:
		return nil, no(42015)
	case allowed.used:
		return nil, no(42022)
	}
	if len(users) == 0 && len(c.numbers("partyids")) == 0 && len(c.numbers("tagids")) == 0 && c.num("atall") != 1 {
		return nil, no(82001)
	}
	change, err := s.replacement(c.body, allowed.messages)
	if err != nil {
		return nil, err
	}
	to, _, _ := s.recipients(users, c.numbers("partyids"), c.num("atall") == 1)
	var got []*Message
	reached := map[string]bool{}
	for _, m := range allowed.messages {
		user := m.Conv[strings.IndexByte(m.Conv, ':')+1:]
		if slices.Contains(to, user) {
			reached[user] = true
			got = append(got, m)
		}
	}
	invalid := []string{}
	for _, u := range users {
		if !reached[u] {
			invalid = append(invalid, strings.ToLower(u))
		}
	}
	if len(got) == 0 && len(allowed.messages) > 0 {
		return nil, refuse{code: 81013, text: texts[81013], more: object{"invaliduser": invalid}}
	}
	allowed.used = true
	for _, m := range got {
		card, err := change(m.Card)
		if err != nil {
			return nil, err
		}
		s.show(c.path, m, card)
	}
	if len(allowed.messages) == 0 {
		s.arrived(c.path, &Message{ID: c.str("response_code")}, nil)
		invalid = []string{}
	}
	return object{"invaliduser": invalid}, nil
}

// replacement reads how a request changes a card.
func (s *Server) replacement(body object, of []*Message) (func(json.RawMessage) (json.RawMessage, error), error) {
	task := ""
	interactive := true
	for _, m := range of {
		task = m.Task
		var was object
		if err := json.Unmarshal(m.Card, &was); err != nil {
			return nil, err
		}
		interactive = strings.HasSuffix(text(was, "card_type"), "_interaction")
	}
	if card, ok := body["template_card"].(object); ok {
		var m Message
		if err := s.card(&m, card, OnApp, true); err != nil {
			return nil, err
		}
		if id, given := card["task_id"]; given && id != task && len(of) > 0 {
			return nil, because(42016, "a card keeps its task_id")
		}
		return func(json.RawMessage) (json.RawMessage, error) { return m.Card, nil }, nil
	}
	words := text(body["button"], "replace_name")
	if words == "" {
		return nil, because(40058, "button.replace_name or template_card is missing")
	}
	if !interactive {
		return nil, because(40058, "a notice has no button to replace")
	}
	return func(card json.RawMessage) (json.RawMessage, error) { return greyed(card, words) }, nil
}

// show changes a card for everybody who sees it, or for these users. It needs s.mu.
func (s *Server) show(method string, m *Message, card json.RawMessage, users ...string) {
	m.Edits++
	if len(users) == 0 {
		m.Card, m.own, m.chosen = card, nil, nil
	} else {
		m.own = maps.Clone(m.own)
		if m.own == nil {
			m.own = map[string]json.RawMessage{}
		}
		for _, u := range users {
			m.own[u] = card
			delete(m.chosen, u)
		}
	}
	s.arrived(method, m, card)
}

// recall is https://developer.work.weixin.qq.com/document/path/94867
func recall(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	copies := s.byID[c.str("msgid")]
	if len(copies) == 0 || copies[0].app != c.app || copies[0].From != "" {
		return nil, because(40058, "msgid")
	}
	if s.opt.Now().Sub(copies[0].sent) >= 24*time.Hour {
		return nil, no(42052)
	}
	for _, m := range copies {
		m.Gone = true
		s.arrived(c.path, m, nil)
	}
	return nil, nil
}

var chatForm = regexp.MustCompile(`^[0-9A-Za-z]{1,32}$`)

// createAppChat is https://developer.work.weixin.qq.com/document/path/90245
func createAppChat(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	users, ok := c.strings("userlist")
	if !ok || len(users) < 2 || len(users) > 2000 {
		return nil, because(86217, "userlist has 2 to 2000")
	}
	for _, u := range users {
		if s.users[u] == nil {
			return nil, because(86217, "%s", u)
		}
	}
	id := c.str("chatid")
	switch {
	case id == "":
		id = s.id("ac")
	case !chatForm.MatchString(id) || s.groups[id] != nil:
		return nil, no(86001)
	}
	if utf8.RuneCountInString(c.str("name")) > 50 {
		return nil, because(40058, "name has at most 50 characters")
	}
	owner := c.str("owner")
	if owner == "" {
		owner = users[0]
	}
	if !slices.Contains(users, owner) {
		return nil, because(86217, "the owner is no member")
	}
	s.groups[id] = &Group{ID: id, Name: c.str("name"), Members: users, owner: owner, app: c.app}
	return object{"chatid": id}, nil
}

// ownChat is a group that this app made.
func (c *call) ownChat(id string) (*Group, error) {
	g := c.s.groups[id]
	if g == nil || g.app == 0 || g.Gone {
		return nil, no(86003)
	}
	if g.app != c.app {
		return nil, no(86001)
	}
	return g, nil
}

// updateAppChat is https://developer.work.weixin.qq.com/document/path/90246
func updateAppChat(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := c.ownChat(c.str("chatid"))
	if err != nil {
		return nil, err
	}
	more, ok := c.strings("add_user_list")
	less, also := c.strings("del_user_list")
	if !ok || !also {
		return nil, no(40058)
	}
	for _, u := range more {
		if s.users[u] == nil {
			return nil, because(86217, "%s", u)
		}
	}
	left := slices.DeleteFunc(slices.Clone(g.Members), func(m string) bool { return slices.Contains(less, m) })
	for _, u := range more {
		if !slices.Contains(left, u) {
			left = append(left, u)
		}
	}
	if len(left) < 2 || len(left) > 2000 {
		return nil, no(86217)
	}
	g.Members = left
	if n := c.str("name"); n != "" {
		g.Name = n
	}
	if o := c.str("owner"); o != "" {
		g.owner = o
	}
	return nil, nil
}

func getAppChat(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := c.ownChat(c.query.Get("chatid"))
	if err != nil {
		return nil, err
	}
	return object{"chat_info": object{"chatid": g.ID, "name": g.Name, "owner": g.owner, "userlist": slices.Clone(g.Members)}}, nil
}

// sendAppChat is https://developer.work.weixin.qq.com/document/path/90248
func sendAppChat(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := c.ownChat(c.str("chatid"))
	if err != nil {
		return nil, err
	}
	m, err := s.compose(c.body, OnApp, []string{"text", "image", "voice", "video", "file", "textcard", "news", "markdown"})
	if err != nil {
		return nil, err
	}
	m.ID, m.Conv, m.app = s.id("msg"), g.ID, c.app
	s.put(m)
	s.arrived(c.path, m, nil)
	return object{"msgid": m.ID}, nil
}

type hook struct{ conv string }

// AddWebhook adds a message push (消息推送) to a group and returns its key.
func (s *Server) AddWebhook(group string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.id("key-")
	s.hooks[key] = &hook{conv: group}
	return key
}

// sendWebhook is https://developer.work.weixin.qq.com/document/path/99110
func sendWebhook(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hooks[c.query.Get("key")]
	if h == nil {
		return nil, no(93000)
	}
	if g := s.groups[h.conv]; g == nil || g.Gone {
		return nil, no(93008)
	}
	m, err := s.webhookMessage(c.body)
	if err != nil {
		return nil, err
	}
	if s.tooMany("webhook "+c.query.Get("key"), 20, 1<<30) {
		return nil, no(45009)
	}
	m.ID, m.Conv = s.id("msg"), h.conv
	s.put(m)
	s.arrived(c.path, m, m.Card)
	return nil, nil
}

func (s *Server) webhookMessage(body object) (*Message, error) {
	kind, _ := body["msgtype"].(string)
	part, _ := body[kind].(object)
	if kind == "text" && len(text(part, "content")) > 2048 {
		return nil, no(45002)
	}
	if kind == "image" {
		f, err := embedded(part)
		if err != nil {
			return nil, err
		}
		f.ID, f.Created = s.id("media"), s.opt.Now()
		s.files[f.ID] = f
		return &Message{Type: kind, File: f.ID}, nil
	}
	return s.compose(body, onWebhook, []string{"text", "markdown", "markdown_v2", "news", "file", "voice", "template_card"})
}
