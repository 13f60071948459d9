package dingtalk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// The calls are made here and not by DingTalk's SDK: that one speaks plain HTTP
// unless told otherwise, knows no context, and has nothing of the old API.

// callsASecond is how often one API is called at most; 20 are allowed.
const callsASecond = 18

// pace keeps the calls of each API below what is allowed.
type pace struct {
	second float64
	mu     *sync.Mutex // guards apis
	apis   map[string]*rate.Limiter
}

// wait waits for the turn of a call.
func (p *pace) wait(ctx context.Context, method string) error {
	p.mu.Lock()
	if p.apis == nil {
		p.apis = map[string]*rate.Limiter{}
	}
	l := p.apis[method]
	if l == nil {
		// Starting full, a second could see twice as many calls.
		l = rate.NewLimiter(rate.Limit(p.second*2/3), max(int(p.second/3), 1))
		p.apis[method] = l
	}
	p.mu.Unlock()
	if err := l.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return bot.RateLimited{After: time.Second, All: true} // the deadline comes first
	}
	return nil
}

// token is the app's access token, which both APIs take. turn is held by who
// asks for a new one; it holds at most one value.
type token struct {
	turn  chan struct{}
	mu    sync.Mutex // guards what follows
	value string
	until time.Time
}

func (t *token) get(now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.until) {
		return t.value
	}
	return ""
}

// evict forgets a token that DingTalk did not take, unless there is a newer one.
func (t *token) evict(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == value {
		t.value, t.until = "", time.Time{}
	}
}

// early is how long before its end a token is not used any more.
const early = 5 * time.Minute

// accessToken returns a token, asking for one when there is none. Asking again
// within its life returns the same one, so replicas do not disturb each other.
// https://open.dingtalk.com/document/development/obtain-the-access-token-of-an-internal-app
func (a *Adapter) accessToken(ctx context.Context) (string, error) {
	if v := a.token.get(a.now()); v != "" {
		return v, nil
	}
	select {
	case a.token.turn <- struct{}{}:
		defer func() { <-a.token.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if v := a.token.get(a.now()); v != "" { // somebody else has asked meanwhile
		return v, nil
	}
	const method = "oauth2/accessToken"
	doc, err := a.post(ctx, http.MethodPost, a.api.JoinPath("v1.0", method), nil, map[string]string{"appKey": a.conf.ClientID, "appSecret": a.conf.ClientSecret})
	if err == nil {
		err = newError(doc, 200)
	}
	if err != nil {
		return "", verdict(method, err)
	}
	value, life := doc.at("accessToken").str(), time.Duration(doc.at("expireIn").number())*time.Second
	if value == "" {
		return "", fmt.Errorf("%s: empty answer", method)
	}
	a.token.mu.Lock()
	defer a.token.mu.Unlock()
	a.token.value, a.token.until = value, a.now().Add(max(life-early, time.Minute))
	return value, nil
}

// post sends one request and reads the document that answers it. An error in
// the answer is for the caller to see: newError, oldError.
func (a *Adapter) post(ctx context.Context, verb string, u *url.URL, header http.Header, in any) (value, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return value{}, fmt.Errorf("%w: %w", err, bot.ErrRejected)
	}
	req, err := http.NewRequestWithContext(ctx, verb, u.String(), bytes.NewReader(body))
	if err != nil {
		return value{}, fmt.Errorf("address: %w", bot.ErrRejected)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	return a.read(req)
}

func (a *Adapter) read(req *http.Request) (value, error) {
	status, answer, err := a.do(req)
	if err != nil {
		return value{}, err
	}
	doc, err := parseJSON(string(answer))
	if err != nil || doc.node().kind != jsonObject {
		return value{}, statusError{status}
	}
	if doc.at("punish").str() != "" { // the firewall's answer, with status 200
		return value{}, apiError{status, codeBanned, ""}
	}
	if status/100 != 2 {
		if err := newError(doc, status); err != nil {
			return value{}, err
		}
		return value{}, statusError{status}
	}
	return doc, nil
}

// newError is the refusal in an answer of the new API, whatever its status.
func newError(doc value, status int) error {
	code := doc.at("code").word()
	if code == "" || code == "0" {
		return nil
	}
	return apiError{status, cutBytes(clean(code), 100), wanted(doc)}
}

// wanted names the permissions that a call lacks. DingTalk's own words are not
// repeated: they may quote what was sent.
func wanted(doc value) string {
	var out []string
	for s := range doc.at("accessdenieddetail", "requiredScopes").each {
		if plainWord(strings.ReplaceAll(s.str(), ".", "")) {
			out = append(out, s.str())
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "needs " + strings.Join(out, ", ")
}

// oldError is the refusal in an answer of the old API. Codes are numbers or
// strings of digits; that of a refused token is wrapped in an 88.
func oldError(doc value) error {
	code := doc.at("errcode").word()
	if code == "" || code == "0" {
		return nil
	}
	if sub := doc.at("sub_code").word(); code == "88" && sub != "" {
		code = sub
	}
	return apiError{200, cutBytes(clean(code), 40), ""}
}

// call calls the new API. Paid calls are counted. A token that is not taken any
// more is replaced once.
func (a *Adapter) call(ctx context.Context, verb, method string, in any) (value, error) {
	return a.withToken(ctx, method, true, func(tok string) (value, error) {
		doc, err := a.post(ctx, verb, a.api.JoinPath("v1.0", method), http.Header{"X-Acs-Dingtalk-Access-Token": {tok}}, in)
		if err == nil {
			err = newError(doc, 200)
		}
		return doc, err
	})
}

// callOld calls the old API, of which only calls that cost nothing are used.
// https://open.dingtalk.com/document/development/basic-interfaces-such-as-log-off-and-address-book
func (a *Adapter) callOld(ctx context.Context, method string, in any) (value, error) {
	return a.withToken(ctx, method, false, func(tok string) (value, error) {
		u := a.oapi.JoinPath(method)
		u.RawQuery = url.Values{"access_token": {tok}}.Encode()
		doc, err := a.post(ctx, http.MethodPost, u, nil, in)
		if err == nil {
			err = oldError(doc)
		}
		return doc, err
	})
}

func (a *Adapter) withToken(ctx context.Context, method string, paid bool, do func(tok string) (value, error)) (value, error) {
	for try := 0; ; try++ {
		if err := a.pace.wait(ctx, method); err != nil {
			return value{}, unsentError{err}
		}
		tok, err := a.accessToken(ctx)
		if err != nil {
			return value{}, unsentError{err}
		}
		doc, err := do(tok)
		code := codeOf(err)
		if expired(code) {
			a.token.evict(tok)
			if try == 0 {
				continue
			}
		}
		var unsent unsentError
		switch {
		case code == codeQuota || code == "90020":
			a.exhausted(ctx)
		case paid && !throttled(code) && !expired(code) && !errors.As(err, &unsent):
			a.counted(ctx)
		}
		return doc, err
	}
}

// Outgoing ids of cards: where they stand can be told from the id alone.
const (
	trackGroup = "paidan-g-"
	trackUser  = "paidan-u-"
)

// track is what a card is called. DingTalk takes each name once, so posting
// twice with the same once shows one card.
func (a *Adapter) track(place, once string) string {
	prefix := trackGroup
	if place[0] == '@' {
		prefix = trackUser
	}
	return prefix + fingerprint(a.install.Name, place, once)
}

// Post shows a card: as one of the template, or as markdown.
func (a *Adapter) Post(ctx context.Context, to bot.Dest, once string, c cards.Card) (bot.MessageRef, error) {
	place, err := placeOf(to)
	if err != nil {
		return "", err
	}
	var r bot.MessageRef
	if a.numbered() || outsider(strings.TrimPrefix(place, "@")) {
		r, err = a.postText(ctx, place, once, c)
	} else {
		r, err = a.postCard(ctx, place, once, c)
	}
	if err == nil {
		a.alts.put(string(r), summary(c))
	}
	return r, err
}

type object = map[string]any

// delivery is where and how a card is shown, which creating and delivering have in common.
func (a *Adapter) delivery(ctx context.Context, place string, c cards.Card) object {
	if user, private := strings.CutPrefix(place, "@"); private {
		return object{
			"openSpaceId":             "dtv1.card//IM_ROBOT." + user,
			"imRobotOpenDeliverModel": object{"spaceType": "IM_ROBOT", "robotCode": a.conf.RobotCode},
		}
	}
	deliver := object{"robotCode": a.conf.RobotCode}
	if at := a.named(ctx, pings(c)); len(at) > 0 {
		deliver["atUserIds"] = at
	}
	return object{"openSpaceId": "dtv1.card//IM_GROUP." + place, "imGroupOpenDeliverModel": deliver}
}

// maxPings is how many people one message mentions.
const maxPings = 20

// pings are the people to notify, of ids only: "@ALL" is none.
func pings(c cards.Card) []string {
	var out []string
	for _, id := range c.Ping {
		if isUser(id) && !outsider(id) && len(out) < maxPings && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// named finds out how people are called, since DingTalk wants that with a
// mention. Who cannot be found is mentioned by his id.
func (a *Adapter) named(ctx context.Context, ids []string) map[string]string {
	out := make(map[string]string, len(ids))
	for _, id := range ids {
		out[id] = id
		if u, err := a.FindUser(ctx, a.user(id)); err == nil && u.Name != "" {
			out[id] = u.Name
		}
	}
	return out
}

// postCard creates and delivers a card.
// https://open.dingtalk.com/document/development/create-and-deliver-cards
func (a *Adapter) postCard(ctx context.Context, place, once string, c cards.Card) (bot.MessageRef, error) {
	const method = "card/instances/createAndDeliver"
	track := a.track(place, once)
	r := ref(refCard, place, track)
	says := summary(c)
	space := object{
		"supportForward":  false, // a forwarded card would show a ticket to anybody
		"lastMessageI18n": map[string]string{"ZH_CN": says, "EN_US": says},
		"searchSupport":   object{"searchDesc": says},
		"notification":    object{"alertContent": says, "notificationOff": false},
	}
	in := a.delivery(ctx, place, c)
	in["cardTemplateId"], in["outTrackId"], in["userIdType"] = a.conf.CardTemplateID, track, 1
	in["cardData"] = object{"cardParamMap": draw(c)}
	in["callbackType"] = "STREAM"
	if a.conf.Mode == ModeHTTP {
		in["callbackType"], in["callbackRouteKey"] = "HTTP", a.routeKey()
	}
	if place[0] == '@' {
		in["imRobotOpenSpaceModel"] = space
	} else {
		in["imGroupOpenSpaceModel"] = space
		if at := pings(c); len(at) > 0 {
			in["cardAtUserIds"] = at
		}
	}
	doc, err := a.call(ctx, http.MethodPost, method, in)
	switch {
	case codeOf(err) == "param.cardAlreadyExist":
		return r, a.again(ctx, place, track, c)
	case err != nil:
		return "", verdict(method, err)
	}
	return r, a.delivered(ctx, method, place, track, doc.at("result", "deliverResults"))
}

// again deals with a card that exists: an earlier attempt has made it. When it
// is known that it reached nobody it is delivered now; and it shows what the
// card is now, which may be more than it was then.
func (a *Adapter) again(ctx context.Context, place, track string, c cards.Card) error {
	missed, err := a.shelf.Get(ctx, "undelivered/"+track)
	if err != nil {
		return err
	}
	if err := a.change(ctx, track, c); err != nil {
		return err
	}
	if missed == "" {
		return nil
	}
	const method = "card/instances/deliver"
	in := a.delivery(ctx, place, c)
	in["outTrackId"], in["userIdType"] = track, 1
	doc, err := a.call(ctx, http.MethodPost, method, in)
	if err != nil {
		return sendVerdict(method, err)
	}
	return a.delivered(ctx, method, place, track, doc.at("result"))
}

// unreachable are reasons for which a card was not delivered that waiting does
// not mend.
var unreachable = map[string]error{
	"user not found": bot.ErrGone, "robot not found": bot.ErrUnauthorized, "spaces of card is empty": bot.ErrRejected, noRobot: bot.ErrGone,
}

// delivered looks whether a card has reached its place: DingTalk answers 200
// when it has not.
func (a *Adapter) delivered(ctx context.Context, method, place, track string, results value) error {
	if results.node().count == 0 {
		return fmt.Errorf("%s: empty answer", method) // delivered or not: the next attempt finds out
	}
	reached, why := false, ""
	for one := range results.each {
		if one.at("success").yes() {
			reached = true
			if id := one.at("carrierId").str(); printable(id, 200) {
				a.carried.put(id, track)
			}
			continue
		}
		if why = cutBytes(oneLine(one.at("errorMsg").str()), 100); why == "" {
			why = "no reason given"
		}
	}
	key := "undelivered/" + track
	if reached {
		if method == "card/instances/deliver" {
			return a.shelf.Put(ctx, key, "", time.Minute)
		}
		return nil
	}
	// Remembered before the error is told: the next attempt finds the card there.
	if err := a.shelf.Put(ctx, key, "1", 7*24*time.Hour); err != nil {
		return err
	}
	switch v := unreachable[why]; {
	case v != nil:
		return fmt.Errorf("%s: not delivered: %s: %w", method, why, v)
	case why == "flow controlled":
		return fmt.Errorf("%s: not delivered: %w", method, bot.RateLimited{After: 10 * time.Second})
	case meaning(why) != nil:
		return fmt.Errorf("%s: not delivered: %s: %w", method, why, meaning(why))
	}
	return fmt.Errorf("%s: not delivered: %s", method, why)
}

// byKey makes an update leave alone what it does not name; DingTalk's own
// default is to throw it away.
var byKey = object{"updateCardDataByKey": true, "updatePrivateDataByKey": true}

// change shows a card anew where it stands. It may be done twice.
// https://open.dingtalk.com/document/development/interactive-card-update-interface
func (a *Adapter) change(ctx context.Context, track string, c cards.Card) error {
	const method = "card/instances"
	// While a press on it is not answered a card must not be changed.
	if err := a.presses.wait(ctx, track, 2*a.answer); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	doc, err := a.call(ctx, http.MethodPut, method, object{
		"outTrackId": track, "userIdType": 1, "cardData": object{"cardParamMap": draw(c)}, "cardUpdateOptions": byKey,
	})
	if err == nil && !doc.at("success").yes() {
		return fmt.Errorf("update of %s: empty answer", method)
	}
	return verdict("update of "+method, err)
}

// Update changes a card. A message of text cannot be changed.
func (a *Adapter) Update(ctx context.Context, r bot.MessageRef, c cards.Card) (bot.MessageRef, error) {
	kind, _, id, err := parseRef(r)
	if err != nil {
		return "", err
	}
	if kind != refCard {
		return "", fmt.Errorf("a message of text: %w", bot.ErrFixed)
	}
	if err := a.change(ctx, id, c); err != nil {
		return "", err
	}
	return r, nil
}

// presses are the cards that are being pressed just now: what they show is told
// in the answer, and DingTalk asks not to change them meanwhile.
// https://open.dingtalk.com/document/development/event-callback-card
type presses struct {
	mu   *sync.Mutex // guards open
	open map[string][]chan struct{}
}

// begin says that a card is pressed, until the returned function is called.
func (p *presses) begin(track string) (end func()) {
	done := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[track] = append(p.open[track], done)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		close(done)
		p.open[track] = slices.DeleteFunc(p.open[track], func(c chan struct{}) bool { return c == done })
		if len(p.open[track]) == 0 {
			delete(p.open, track)
		}
	}
}

// wait returns when the presses that are under way now have been answered, or
// after most.
func (p *presses) wait(ctx context.Context, track string, most time.Duration) error {
	p.mu.Lock()
	under := slices.Clone(p.open[track])
	p.mu.Unlock()
	if len(under) == 0 {
		return nil
	}
	t := time.NewTimer(most)
	defer t.Stop()
	for _, done := range under {
		select {
		case <-done:
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Delete takes a message of ours away; one that is gone already counts as done.
// Of a card only its name is known, and by that nothing can be recalled, unless
// this process delivered it itself.
// https://open.dingtalk.com/document/development/enterprise-chatbot-withdraws-internal-group-messages
func (a *Adapter) Delete(ctx context.Context, r bot.MessageRef) error {
	kind, place, id, err := parseRef(r)
	if err != nil {
		return err
	}
	if kind != refText {
		return fmt.Errorf("recall of a %s: %w", kind, bot.ErrFixed)
	}
	method := "robot/groupMessages/recall"
	in := object{"robotCode": a.conf.RobotCode, "processQueryKeys": []string{id}}
	if place[0] == '@' {
		method = "robot/otoMessages/batchRecall"
	} else {
		in["openConversationId"] = place
	}
	doc, err := a.call(ctx, http.MethodPost, method, in)
	if err != nil {
		return verdict(method, err)
	}
	switch why := doc.at("failedResult", id).str(); {
	case why == "" || meaning(why) == bot.ErrGone:
		return nil
	default:
		return fmt.Errorf("%s: %s", method, cutBytes(oneLine(why), 100))
	}
}

// FindUser looks somebody up. Answers are kept for ten minutes.
// https://open.dingtalk.com/document/development/query-user-details
func (a *Adapter) FindUser(ctx context.Context, u bot.UserRef) (bot.User, error) {
	if !isUser(u.ID) {
		return bot.User{}, fmt.Errorf("user %q: %w", u.ID, bot.ErrRejected)
	}
	if outsider(u.ID) {
		return bot.User{Ref: a.user(u.ID), Guest: true}, nil
	}
	if found, ok := a.users.get(u.ID); ok {
		return found, nil
	}
	const method = "topapi/v2/user/get"
	doc, err := a.callOld(ctx, method, object{"userid": u.ID, "language": "zh_CN"})
	if err != nil {
		return bot.User{}, verdict(method, err)
	}
	r := doc.at("result")
	if r.at("userid").str() == "" {
		return bot.User{}, fmt.Errorf("%s: empty answer", method)
	}
	found := bot.User{Ref: a.user(u.ID), Name: oneLine(r.at("name").str()), Email: r.at("org_email").str(), Phone: phone(r.at("state_code").word(), r.at("mobile").word())}
	if found.Email == "" {
		found.Email = r.at("email").str()
	}
	a.users.put(u.ID, found)
	return found, nil
}

// phone is a number with its country's code. DingTalk tells that apart; without
// it a number is China's when it looks like one.
func phone(country, number string) string {
	country, number = strings.TrimPrefix(country, "+"), strings.ReplaceAll(strings.ReplaceAll(number, "-", ""), " ", "")
	if c, rest, ok := strings.Cut(number, "+"); ok && c == "" {
		if digits(rest) {
			return number
		}
		return ""
	}
	if country == "" && len(number) == 11 && number[0] == '1' {
		country = "86"
	}
	if !digits(number) || !digits(country) {
		return ""
	}
	return "+" + country + number
}

// Urge rings for people inside DingTalk. Not every company may, and nothing
// depends on it: a missing permission is told in the log and by doctor.
// https://open.dingtalk.com/document/development/robot-sends-nail-message
func (a *Adapter) Urge(ctx context.Context, r bot.MessageRef, users []string) error {
	if _, _, _, err := parseRef(r); err != nil {
		return err
	}
	var to []string
	for _, u := range users {
		if isUser(u) && !outsider(u) && !slices.Contains(to, u) && len(to) < 200 {
			to = append(to, u)
		}
	}
	if len(to) == 0 {
		return nil
	}
	says, ok := a.alts.get(string(r))
	if !ok {
		says = "有工单需要马上处理 · A ticket needs you now"
	}
	const method = "robot/ding/send"
	_, err := a.call(ctx, http.MethodPost, method, object{"robotCode": a.conf.RobotCode, "remindType": 1, "receiverUserIdList": to, "content": says})
	if v := verdict(method, err); errors.Is(v, bot.ErrUnauthorized) {
		a.log.Warn("nobody was rung for: not permitted", "install", a.install.String(), "error", v)
		return nil
	}
	return sendVerdict(method, err)
}

// routeKey names where DingTalk sends presses of HTTP mode.
func (a *Adapter) routeKey() string { return "paidan-" + a.install.Name }

// registerCallback tells DingTalk where presses go in HTTP mode.
// https://open.dingtalk.com/document/development/register-card-callback-address
func (a *Adapter) registerCallback(ctx context.Context) error {
	if a.conf.Mode != ModeHTTP || a.numbered() || a.conf.CardCallbackURL == "" {
		return nil
	}
	const method = "card/callbacks/register"
	_, err := a.call(ctx, http.MethodPost, method, object{
		"callbackRouteKey": a.routeKey(), "callbackUrl": a.conf.CardCallbackURL, "apiSecret": a.conf.CardSecret, "forceUpdate": true,
	})
	return verdict(method, err)
}
