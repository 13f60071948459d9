package dingtalktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// The card template, as data: it is drawn by hand in DingTalk's card builder
// and cannot be sent along, so an app and its template agree on variables. A
// long variable goes on in one named alike with a digit: body, body2, body3.
var variables = map[string]string{
	"title": "text", "tone": "tone", "badges": "text", "facts": "facts", "body": "text", "rows": "rows",
	"actions": "actions", "more": "actions", "menus": "menus", "note": "text", "version": "text",
}

// order is that of the template, top to bottom.
var order = []string{"title", "tone", "badges", "facts", "body", "rows", "actions", "more", "menus", "note", "version"}

var tones = []string{"", "open", "busy", "paused", "alarm", "asking", "good", "gone"}

// base is the template's variable that a name stands for: "body2" → "body".
func base(name string) (string, bool) {
	if n := len(name); n > 1 && name[n-1] >= '1' && name[n-1] <= '9' {
		name = name[:n-1]
	}
	_, ok := variables[name]
	return name, ok
}

// Fact is a labelled value on a card.
type Fact struct {
	Label string `json:"k"`
	Value string `json:"v"`
}

// Button is a button on a card: it sends its token, or opens its URL.
type Button struct {
	Label   string `json:"label"`
	Token   string `json:"token"`
	Style   string `json:"style"`
	Confirm string `json:"confirm"`
	URL     string `json:"url"`
}

// Row is a line of a list with its buttons.
type Row struct {
	Text    string   `json:"text"`
	Detail  string   `json:"detail"`
	Actions []Button `json:"actions"`
}

// Menu is a choice on a card.
type Menu struct {
	Label   string   `json:"label"`
	Token   string   `json:"token"`
	Options []Option `json:"options"`
}

// Option is one choice of a menu.
type Option struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

// Drawing is a card as one person sees it.
type Drawing struct {
	Title, Tone, Badges, Body, Note, Version string

	Facts         []Fact
	Rows          []Row
	Actions, More []Button
	Menus         []Menu
}

// card is a card instance.
type card struct {
	id       string // outTrackId
	callback string // STREAM or HTTP
	route    string
	public   map[string]string
	private  map[string]map[string]string
	spaces   map[string]bool // kinds that the card was made for
	at       []string        // cardAtUserIds
	shown    []*Message
	updates  int
	pressed  int // presses under way
}

// Card returns the variables of a card that everybody sees, how often it was
// changed, and whether there is such a card.
func (s *Server) Card(outTrackID string) (public map[string]string, updates int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cards[outTrackID]
	if c == nil {
		return nil, 0, false
	}
	return maps.Clone(c.public), c.updates, true
}

// see needs s.mu. A person's own values win over everybody's.
func (c *card) see(user string) map[string]string {
	all := maps.Clone(c.public)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, c.private[user])
	return all
}

// Draw returns a card as a person sees it. what is a message's ref or an outTrackId.
func (s *Server) Draw(user, what string) (Drawing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, _, err := s.sees(user, what)
	if err != nil {
		return Drawing{}, err
	}
	return draw(c.see(user))
}

// sees finds a card that a person can see. It needs s.mu.
func (s *Server) sees(user, what string) (*card, *Message, error) {
	g, m := s.find(what)
	if c := s.cards[what]; c != nil { // of the places where it is, the one where the person is
		for _, one := range c.shown {
			if s.groups[one.Conv].Members[user] && !one.Recalled {
				g, m = s.groups[one.Conv], one
			}
		}
	}
	switch {
	case m == nil:
		return nil, nil, fmt.Errorf("no message %q", what)
	case m.Card == "":
		return nil, nil, fmt.Errorf("message %q shows no card", what)
	case !g.Members[user] || len(m.Only) > 0 && !slices.Contains(m.Only, user):
		return nil, nil, fmt.Errorf("%s does not see the card %q", user, m.Card)
	}
	return s.cards[m.Card], m, nil
}

// draw puts variables into the template.
func draw(v map[string]string) (Drawing, error) {
	var d Drawing
	var body []string
	for _, name := range slices.Sorted(maps.Keys(v)) {
		value := v[name]
		b, _ := base(name)
		var err error
		switch b {
		case "title":
			d.Title += value
		case "tone":
			d.Tone = value
		case "badges":
			d.Badges += value
		case "body":
			body = append(body, value)
		case "note":
			d.Note += value
		case "version":
			d.Version = value
		case "facts":
			err = more(&d.Facts, value)
		case "rows":
			err = more(&d.Rows, value)
		case "actions":
			err = more(&d.Actions, value)
		case "more":
			err = more(&d.More, value)
		case "menus":
			err = more(&d.Menus, value)
		}
		if err != nil {
			return d, fmt.Errorf("variable %s: %w", name, err)
		}
	}
	d.Body = strings.Join(body, "\n")
	return d, d.check()
}

func more[T any](list *[]T, value string) error {
	if value == "" {
		return nil
	}
	var l []T
	err := json.Unmarshal([]byte(value), &l)
	*list = append(*list, l...)
	return err
}

// check refuses what the template cannot draw.
func (d Drawing) check() error {
	if !slices.Contains(tones, d.Tone) {
		return fmt.Errorf("the template knows no tone %q", d.Tone)
	}
	all := slices.Concat(d.Actions, d.More)
	for _, r := range d.Rows {
		all = append(all, r.Actions...)
	}
	for _, b := range all {
		if b.Label == "" || (b.Token == "") == (b.URL == "") {
			return fmt.Errorf("a button has a label, and either a token or an address: %+v", b)
		}
	}
	for _, m := range d.Menus {
		if m.Label == "" || m.Token == "" || len(m.Options) == 0 {
			return fmt.Errorf("a menu has a label, a token and options: %+v", m)
		}
	}
	return nil
}

// cardData is a part of a card's data as it is sent. Values are strings,
// whatever they stand for.
type cardData struct {
	CardParamMap map[string]any `json:"cardParamMap"`
}

// cardOptions say how new data goes together with old.
type cardOptions struct {
	UpdateCardDataByKey    bool `json:"updateCardDataByKey"`
	UpdatePrivateDataByKey bool `json:"updatePrivateDataByKey"`
}

// values checks variables against the limits of
// https://open.dingtalk.com/document/development/create-and-deliver-cards and
// against the template.
func (s *Server) values(d *cardData, private bool) (map[string]string, error) {
	out := map[string]string{}
	if d == nil {
		return out, nil
	}
	for k, v := range d.CardParamMap {
		text, ok := v.(string)
		name, known := base(k)
		switch {
		case !ok:
			return nil, fail("param.invalid", "cardParamMap."+k+"不是字符串")
		case len(k) > 100:
			return nil, fail("param.invalid", "参数名超过100字节")
		case !known:
			return nil, fail("param.invalid", "模板没有变量"+k)
		case s.opt.ValueBytes > 0 && len(text) > s.opt.ValueBytes:
			return nil, fail("param.invalid", fmt.Sprintf("变量%s超过%d字节: %d", k, s.opt.ValueBytes, len(text)))
		case private && s.opt.Private != nil && !slices.Contains(s.opt.Private, name):
			return nil, fail("param.invalid", "变量"+k+"没有开启私有")
		}
		out[k] = text
	}
	return out, nil
}

// change is new data for a card, checked.
type change struct {
	public  map[string]string
	private map[string]map[string]string
	options cardOptions
}

// apply needs s.mu. Without the options, new data replaces all that was there.
func (c *card) apply(n change) error {
	public, private := c.public, maps.Clone(c.private)
	if n.public != nil {
		if n.options.UpdateCardDataByKey {
			public = maps.Clone(c.public)
			maps.Copy(public, n.public)
		} else {
			public = n.public
		}
	}
	if private == nil {
		private = map[string]map[string]string{}
	}
	for user, values := range n.private {
		if n.options.UpdatePrivateDataByKey && private[user] != nil {
			kept := maps.Clone(private[user])
			maps.Copy(kept, values)
			values = kept
		}
		private[user] = values
	}
	next := card{public: public, private: private}
	for _, user := range append(slices.Collect(maps.Keys(private)), "") {
		if _, err := draw(next.see(user)); err != nil {
			return err
		}
	}
	c.public, c.private = public, private
	c.updates++
	return nil
}

// text is all that a card carries, in the template's order.
func (c *card) text() string {
	var b strings.Builder
	for _, name := range order {
		for _, digit := range []string{"", "1", "2", "3", "4", "5", "6", "7", "8", "9"} {
			if v := c.public[name+digit]; v != "" {
				b.WriteString(v + "\n")
			}
		}
	}
	return b.String()
}

// cardCall is what creating, delivering and changing cards have in common.
type cardCall struct {
	CardTemplateID   string `json:"cardTemplateId"`
	OutTrackID       string `json:"outTrackId"`
	CallbackType     string
	CallbackRouteKey string
	UserIDType       int                  `json:"userIdType"`
	CardData         *cardData            `json:"cardData"`
	PrivateData      map[string]*cardData `json:"privateData"`
	CardUpdate       cardOptions          `json:"cardUpdateOptions"`
	CardAtUserIDs    []string             `json:"cardAtUserIds"`
	OpenSpaceID      string               `json:"openSpaceId"`

	GroupSpace   *spaceModel   `json:"imGroupOpenSpaceModel"`
	RobotSpace   *spaceModel   `json:"imRobotOpenSpaceModel"`
	GroupDeliver *deliverModel `json:"imGroupOpenDeliverModel"`
	RobotDeliver *deliverModel `json:"imRobotOpenDeliverModel"`
}

type spaceModel struct {
	SupportForward  *bool             `json:"supportForward"`
	LastMessageI18n map[string]string `json:"lastMessageI18n"`
	SearchSupport   *struct {
		SearchDesc string `json:"searchDesc"`
	} `json:"searchSupport"`
}

type deliverModel struct {
	SpaceType  string            `json:"spaceType"`
	RobotCode  string            `json:"robotCode"`
	AtUserIDs  map[string]string `json:"atUserIds"`
	Recipients []string          `json:"recipients"`
}

var languages = []string{"ZH_CN", "ZH_TW", "EN_US", "JA_JP", "VI_VN", "TH_TH"}

func (m *spaceModel) check() error {
	switch {
	case m == nil:
		return nil
	case m.SupportForward == nil:
		return fail("param.openSpaceModelInvalid", "supportForward必填")
	case m.SearchSupport != nil && len([]rune(m.SearchSupport.SearchDesc)) > 200:
		return fail("param.openSpaceModelInvalid", "searchDesc超过200字")
	}
	for l := range m.LastMessageI18n {
		if !slices.Contains(languages, l) {
			return fail("param.openSpaceModelInvalid", "lastMessageI18n: "+l)
		}
	}
	return nil
}

// changes checks the data of a call. It needs s.mu.
func (s *Server) changes(in *cardCall) (change, error) {
	n := change{options: in.CardUpdate}
	var err error
	if in.CardData != nil {
		if n.public, err = s.values(in.CardData, false); err != nil {
			return n, err
		}
	}
	if in.UserIDType != 0 && in.UserIDType != 1 {
		return n, fail("param.invalid", "userIdType") // 2, unionId, is not emulated
	}
	n.private = map[string]map[string]string{}
	for user, d := range in.PrivateData {
		if s.users[user] == nil {
			return n, fail("param.userIdNotExist", "param.userIdNotExist")
		}
		if n.private[user], err = s.values(d, true); err != nil {
			return n, err
		}
	}
	return n, nil
}

// newCard needs s.mu.
func (s *Server) newCard(in *cardCall) (*card, error) {
	switch {
	case in.OutTrackID == "":
		return nil, fail("param.outTrackIdEmpty", "param.outTrackIdEmpty")
	case in.CardTemplateID == "":
		return nil, fail("param.cardTemplateIdEmpty", "param.cardTemplateIdEmpty")
	case in.CardTemplateID != s.opt.TemplateID:
		return nil, fail("param.templateNotExist", "param.templateNotExist")
	case in.CardData == nil || in.CardData.CardParamMap == nil:
		return nil, fail("param.cardPublicDataEmpty", "param.cardPublicDataEmpty")
	case s.cards[in.OutTrackID] != nil:
		return nil, fail("param.cardAlreadyExist", "param.cardAlreadyExist")
	case !slices.Contains([]string{"", "STREAM", "HTTP"}, in.CallbackType):
		return nil, fail("param.invalid", "callbackType")
	case in.CallbackType == "HTTP" && in.CallbackRouteKey == "":
		return nil, fail("param.invalid", "callbackRouteKey")
	}
	if err := errors.Join(in.GroupSpace.check(), in.RobotSpace.check()); err != nil {
		return nil, err
	}
	n, err := s.changes(in)
	if err != nil {
		return nil, err
	}
	c := &card{id: in.OutTrackID, callback: in.CallbackType, route: in.CallbackRouteKey, at: in.CardAtUserIDs, spaces: map[string]bool{"IM_GROUP": in.GroupSpace != nil, "IM_ROBOT": in.RobotSpace != nil}}
	if err := c.apply(n); err != nil {
		return nil, fail("param.invalid", err.Error())
	}
	c.updates = 0
	return c, nil
}

type space struct{ kind, id string }

// spacesOf reads dtv1.card//IM_GROUP.<conversation>;IM_ROBOT.<user>. Kinds are
// written in either case in DingTalk's own examples.
func spacesOf(openSpaceID string) ([]space, error) {
	if openSpaceID == "" {
		return nil, fail("param.openSpaceIdEmpty", "param.openSpaceIdEmpty")
	}
	rest, ok := strings.CutPrefix(openSpaceID, "dtv1.card//")
	if !ok {
		return nil, fail("param.openSpaceIdInvalid", "param.openSpaceIdInvalid")
	}
	var out []space
	for part := range strings.SplitSeq(rest, ";") {
		kind, id, ok := strings.Cut(strings.TrimPrefix(part, "dtv1.card//"), ".")
		kind = strings.ToUpper(kind)
		if !ok || id == "" || kind != "IM_GROUP" && kind != "IM_ROBOT" {
			return nil, fail("param.openSpaceIdInvalid", "param.openSpaceIdInvalid")
		}
		out = append(out, space{kind, id})
	}
	return out, nil
}

// deliver shows a card in each space, and tells how that went: a refusal is no
// error of the call. It needs s.mu.
func (c *call) deliver(in *cardCall, one *card, method string) ([]object, error) {
	spaces, err := spacesOf(in.OpenSpaceID)
	if err != nil {
		return nil, err
	}
	for _, sp := range spaces {
		if sp.kind == "IM_GROUP" && in.GroupDeliver == nil || sp.kind == "IM_ROBOT" && in.RobotDeliver == nil {
			return nil, fail("param.openDeliverModelEmpty", "param.openDeliverModelEmpty")
		}
		if sp.kind == "IM_ROBOT" && in.RobotDeliver.SpaceType != "IM_ROBOT" {
			return nil, fail("param.openDeliverModelError", "imRobotOpenDeliverModel.spaceType")
		}
	}
	var out []object
	for _, sp := range spaces {
		m, why := c.show(in, one, sp)
		r := object{"spaceType": sp.kind, "spaceId": sp.id, "success": why == "", "carrierId": "", "errorMsg": why}
		if m != nil {
			r["carrierId"] = m.Key
			c.s.arrived(method, m, one.text())
		}
		out = append(out, r)
	}
	return out, nil
}

// show needs s.mu.
func (c *call) show(in *cardCall, one *card, sp space) (m *Message, why string) {
	s := c.s
	if c.fault != nil && c.fault.Kind == Undelivered {
		return nil, "system.busy"
	}
	if !one.spaces[sp.kind] {
		return nil, "spaces of card is empty"
	}
	m = &Message{Kind: "card", Card: one.id, Key: uuid()}
	if sp.kind == "IM_ROBOT" {
		u := s.users[sp.id]
		switch {
		case u == nil || u.Left || u.Outside || u.External:
			return nil, "user not found"
		case u.Throttled:
			return nil, "flow controlled"
		case in.RobotDeliver.RobotCode != "" && in.RobotDeliver.RobotCode != s.opt.RobotCode:
			return nil, "robot not found"
		}
		s.put(s.privateOf(sp.id), m)
		one.shown = append(one.shown, m)
		return m, ""
	}
	if in.GroupDeliver.RobotCode != s.opt.RobotCode {
		return nil, "robot not found"
	}
	g, err := s.place(sp.id)
	if err != nil {
		return nil, err.Error()
	}
	for id := range in.GroupDeliver.AtUserIDs {
		switch {
		case id == "@ALL":
			m.AtAll = true
		case g.Members[id]:
			m.At = append(m.At, id)
		}
	}
	slices.Sort(m.At)
	m.Only = in.GroupDeliver.Recipients
	s.put(g, m)
	one.shown = append(one.shown, m)
	return m, ""
}

func (c *call) cardCreate() (any, error) {
	var in cardCall
	if err := c.read(&in); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	one, err := c.s.newCard(&in)
	if err != nil {
		return nil, err
	}
	c.s.cards[one.id] = one
	return object{"success": true, "result": one.id}, nil
}

func (c *call) cardCreateAndDeliver() (any, error) {
	var in cardCall
	if err := c.read(&in); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	one, err := c.s.newCard(&in)
	if err != nil {
		return nil, err
	}
	results, err := c.deliver(&in, one, "card/instances/createAndDeliver")
	if err != nil {
		return nil, err
	}
	c.s.cards[one.id] = one // there is a card now, delivered or not
	return object{"success": true, "result": object{"outTrackId": one.id, "deliverResults": results}}, nil
}

func (c *call) cardDeliver() (any, error) {
	var in cardCall
	if err := c.read(&in); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	one := c.s.cards[in.OutTrackID]
	switch {
	case in.OutTrackID == "":
		return nil, fail("param.outTrackIdEmpty", "param.outTrackIdEmpty")
	case one == nil:
		return nil, fail("param.cardNotExist", "param.cardNotExist")
	}
	results, err := c.deliver(&in, one, "card/instances/deliver")
	if err != nil {
		return nil, err
	}
	return object{"success": true, "result": results}, nil
}

func (c *call) cardUpdate() (any, error) {
	var in cardCall
	if err := c.read(&in); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.cards[in.OutTrackID]
	switch {
	case in.OutTrackID == "":
		return nil, fail("param.outTrackIdEmpty", "param.outTrackIdEmpty")
	case one == nil:
		return nil, fail("param.cardNotExist", "param.cardNotExist")
	case in.CardData == nil && len(in.PrivateData) == 0:
		return nil, fail("param.cardDataAndPrivateDataBothEmpty", "param.cardDataAndPrivateDataBothEmpty")
	}
	n, err := s.changes(&in)
	if err != nil {
		return nil, err
	}
	if err := one.apply(n); err != nil {
		return nil, fail("param.invalid", err.Error())
	}
	if one.pressed > 0 {
		s.inPress++
	}
	s.changed(one, "card/instances/update")
	return object{"success": true, "result": true}, nil
}

// changed needs s.mu.
func (s *Server) changed(one *card, method string) {
	text := one.text()
	for _, m := range one.shown {
		s.arrived(method, m, text)
	}
}

// route is where the callbacks of cards in HTTP mode go.
type route struct{ url, secret string }

func (c *call) registerCallback() (any, error) {
	var in struct {
		CallbackRouteKey string
		CallbackURL      string `json:"callbackUrl"`
		APISecret        string `json:"apiSecret"`
		ForceUpdate      bool
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	_, there := c.s.routes[in.CallbackRouteKey]
	switch {
	case in.CallbackRouteKey == "":
		return nil, fail("param.callbackRouteKeyEmpty", "param.callbackRouteKeyEmpty")
	case in.CallbackURL == "":
		return nil, fail("param.callbackUrlEmpty", "param.callbackUrlEmpty")
	case there && !in.ForceUpdate:
		return nil, refusal{status: http.StatusInternalServerError, code: "param.callbackRouteKeyExist", message: "param.callbackRouteKeyExist"}
	}
	if in.APISecret == "" {
		in.APISecret = uuid()
	}
	c.s.routes[in.CallbackRouteKey] = route{in.CallbackURL, in.APISecret}
	return object{"success": true, "result": object{"callbackUrl": in.CallbackURL, "apiSecret": in.APISecret}}, nil
}

// RegisterCallback sets the secret of a callback route, as an administrator
// does beforehand. Its requests go to where Deliver points.
func (s *Server) RegisterCallback(key, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes[key] = route{secret: secret}
}
