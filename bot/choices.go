package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// Where a platform has no buttons, or none that a card fits into, the choices of
// a card have numbers (cards.Numbered) and the reader answers with one. What the
// numbers of a card stand for is kept by the lane that it was shown in, so a
// number never presses what somebody else was shown. A press by number is a
// press: rights, staleness and forms are those of the button.

// Numberer is a platform that draws some cards, though not all, as text with
// numbers. Where all are, Caps.Numbered says so.
type Numberer interface {
	// Numbers reports whether c, as it is after cards.Fit, will be drawn as
	// cards.Numbered has it.
	Numbers(c cards.Card) bool
}

const (
	shownKept  = 30                 // cards of a lane whose numbers are known
	shownFor   = 7 * 24 * time.Hour // after the last one was shown
	whichAfter = 10 * time.Minute   // for which a card in a group makes a bare number doubtful
	pickedFor  = time.Hour          // for which a message that is delivered again presses the same
	unread     = 3 * time.Second    // what was shown less than that before somebody wrote, he has not read
	maxTurns   = 16                 // tries to change what others change too
)

// errBusy is returned when others kept changing what we wanted to change.
var errBusy = errors.New("changed by others all the time")

// shownCard is a card that a lane was shown.
type shownCard struct {
	Ref     MessageRef       `json:",omitempty"` // "" = not told
	Ticket  tickets.TicketID `json:",omitempty"`
	Title   string           `json:",omitempty"`
	At      time.Time        // when it was shown first
	Changed time.Time        `json:",omitzero"`  // when it was changed last
	Picks   []pick           `json:",omitempty"` // none: it has no numbers
	Was     []pick           `json:",omitempty"` // before Changed
	About   string           `json:",omitempty"` // the group that it is about, where it was shown in private instead
}

// pick is what a number stands for.
type pick struct {
	Token   string
	Label   string
	Confirm string `json:",omitempty"` // asked first
}

// numbering reports whether cards may have numbers on a platform.
func numbering(a Adapter) bool {
	_, some := a.(Numberer)
	return some || a.Caps().Numbered
}

// numbersOf is what the numbers of a card stand for that has been drawn for a platform.
func (b *Bot) numbersOf(a Adapter, i Install, c cards.Card) ([]pick, error) {
	if n, ok := a.(Numberer); !a.Caps().Numbered && (!ok || !n.Numbers(c)) {
		return nil, nil
	}
	var out []pick
	for _, choice := range cards.Choices(c) {
		token, err := b.seal.Token(choice.Act, i.String())
		if err != nil {
			return nil, err
		}
		out = append(out, pick{token, choice.Label, choice.Confirm})
	}
	return out, nil
}

// drawn cuts and seals a card for a platform. shared: several people write where
// it is shown.
func (b *Bot) drawn(a Adapter, i Install, shared bool, c cards.Card) (cards.Card, error) {
	c = cards.Fit(c, a.Caps())
	c.Shared = shared
	err := b.seal.Seal(&c, i.String())
	return c, err
}

// remember keeps what the numbers of a card stand for that a lane has been
// shown. was is the message that showed it before, "" for a new one. In a
// private chat a card without numbers is remembered too: what is said after it
// answers it, and no card before it. It is only logged when this fails: the card
// stands there, and can be pressed by its verbs.
func (b *Bot) remember(ctx context.Context, a Adapter, lane string, was, ref MessageRef, c cards.Card) {
	b.rememberAbout(ctx, a, lane, was, ref, c, "")
}

// rememberAbout is remember for a card about a group.
func (b *Bot) rememberAbout(ctx context.Context, a Adapter, lane string, was, ref MessageRef, c cards.Card, about string) {
	if !numbering(a) {
		return
	}
	if err := b.keepCard(ctx, a, lane, was, shownCard{Ref: ref, Ticket: c.Ticket, Title: c.Title, At: b.now(), About: about}, c); err != nil {
		b.log.Warn("numbers of a card were not kept", "lane", lane, "err", err)
	}
}

func (b *Bot) keepCard(ctx context.Context, a Adapter, lane string, was MessageRef, s shownCard, c cards.Card) error {
	to, err := ParseLane(lane)
	if err != nil {
		return err
	}
	if s.Picks, err = b.numbersOf(a, to.Install, c); err != nil {
		return err
	}
	return b.change(ctx, "choices", lane, shownFor, func(old string) (string, error) {
		list, err := readShown(old)
		if err != nil {
			return "", err
		}
		i := -1
		if was != "" {
			i = slices.IndexFunc(list, func(s shownCard) bool { return s.Ref == was })
		}
		switch {
		case i >= 0:
			if slices.Equal(list[i].Picks, s.Picks) && list[i].Ref == s.Ref {
				return old, nil
			}
			list[i].Was, list[i].Changed = list[i].Picks, b.now()
			list[i].Picks, list[i].Ref = s.Picks, s.Ref
		case len(s.Picks) == 0 && (to.User == "" || len(list) == 0 || len(list[len(list)-1].Picks) == 0):
			return old, nil
		default:
			list = append(list, s)
		}
		for j := range list {
			if b.now().Sub(list[j].Changed) > time.Minute {
				list[j].Was = nil
			}
		}
		doc, err := json.Marshal(list[max(0, len(list)-shownKept):])
		return string(doc), err
	})
}

// change replaces what lies on a shelf by what f makes of it. f may be called
// several times; what it leaves as it is stays there as long as before.
func (b *Bot) change(ctx context.Context, part, name string, keep time.Duration, f func(old string) (string, error)) error {
	shelf := b.shelf(part)
	for range maxTurns {
		old, err := shelf.Get(ctx, name)
		if err != nil {
			return err
		}
		now, err := f(old)
		if err != nil || now == old {
			return err
		}
		if done, err := shelf.Swap(ctx, name, old, now, keep); err != nil || done {
			return err
		}
	}
	return fmt.Errorf("%s: %w", part, errBusy)
}

func readShown(doc string) ([]shownCard, error) {
	var list []shownCard
	if doc == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(doc), &list); err != nil {
		return nil, fmt.Errorf("read shown cards: %w", err)
	}
	return list, nil
}

// whisperLane is where what is whispered to somebody in a group is remembered:
// the others there do not see it.
func whisperLane(lane string, to UserRef) string { return lane + " to " + to.ID }

// hintLane is where the actor reads what is for him alone.
func (t *turn) hintLane() string {
	if _, ok := t.adapter.(Whisperer); !t.ev.Private && !t.ev.Conv.IsZero() && (ok || t.inline().Hint) {
		return whisperLane(t.lane(), t.ev.User)
	}
	return Private(t.ev.User).Lane()
}

// hintShared reports whether the actor reads what is for him alone in a group.
func (t *turn) hintShared() bool { return t.hintLane() != Private(t.ev.User).Lane() }

// keepShown remembers what the answer to the event shows.
func (t *turn) keepShown(ctx context.Context, r Reply) {
	if !numbering(t.adapter) {
		return
	}
	switch {
	case r.Card == nil:
	case r.Once != "":
		if p, ok := t.adapter.(AnswerPoster); ok {
			t.b.remember(ctx, t.adapter, t.lane(), "", p.AnswerRef(t.ev, r.Once), *r.Card)
		}
	default:
		t.b.remember(ctx, t.adapter, t.lane(), t.ev.Message, t.ev.Message, *r.Card)
	}
	switch {
	case r.Hint != nil:
		t.b.rememberAbout(ctx, t.adapter, t.hintLane(), "", "", *r.Hint, t.ofGroup())
	case r.Toast != "" && t.ev.Kind == Message && t.ev.Private:
		t.b.remember(ctx, t.adapter, t.hintLane(), "", "", cards.Card{})
	}
}

// ofGroup is the group that what is answered in private is about.
func (t *turn) ofGroup() string {
	if t.ev.Private || t.ev.Conv.IsZero() {
		return t.group
	}
	return t.lane()
}

// choice is a number that somebody said.
type choice struct {
	n      int
	number int64  // of the ticket that he named; 0: none
	named  bool   // said with a word that only chooses: 回复1, pick 2
	label  string // what he wrote behind the number, folded
}

// rePick reads «1», «1️⃣», «1 接单», «回复1», «#1024 1», «1 #1024».
var rePick = regexp.MustCompile(`^(回复|选择|选|reply|pick|choose)?[ :]*(?:#[ ]?(\d{1,12})[ ,:、]+)?(回复|选择|选|reply|pick|choose)?[ :]*(\d{1,2})(?:\x{FE0F}?\x{20E3})?(?:[ ,.、:)]+(.{0,60}?))?[ .、。)!]*$`)

var rePickOf = regexp.MustCompile(`^#[ ]?(\d{1,12})$`)

// readPick reads a number that answers a card. A label behind it must be looked
// at by whoever knows the card.
func readPick(text string) (c choice, ok bool) {
	w := fold(text)
	m := rePick.FindStringSubmatch(w)
	if m == nil || reClockish.MatchString(w) {
		return c, false
	}
	c.n, _ = strconv.Atoi(m[4]) // two digits
	c.number, c.named, c.label = parseNumber(m[2]), m[1]+m[3] != "", m[5]
	if of := rePickOf.FindStringSubmatch(c.label); of != nil && c.number == 0 {
		c.number, c.label = parseNumber(of[1]), ""
	}
	return c, c.n > 0
}

// fold makes what somebody wrote one line in which one spelling of each word is
// enough.
func fold(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		return foldRune(r)
	}, s))
}

// in returns what the number stands for on a card, as somebody saw it who wrote at at.
func (c choice) in(s shownCard, at time.Time) (pick, bool) {
	picks := s.Picks
	if s.Was != nil && at.Before(s.Changed.Add(unread)) {
		picks = s.Was
	}
	if c.n > len(picks) || c.label != "" && fold(picks[c.n-1].Label) != c.label {
		return pick{}, false
	}
	return picks[c.n-1], true
}

// picked presses the choice whose number was said, if that is what the message
// means: false means that it is something else.
func (t *turn) picked(ctx context.Context, k talk) (Reply, bool, error) {
	if !numbering(t.adapter) || len(t.ev.Files) > 0 {
		return Reply{}, false, nil
	}
	c, ok := readPick(t.ev.Text)
	if !ok {
		return Reply{}, false, nil
	}
	// Delivered again, it means what it meant: the card may have changed by what it did.
	meant, err := t.b.shelf("choices").Get(ctx, "picked|"+t.once())
	if err != nil {
		return Reply{}, false, err
	}
	if meant != "" {
		r, err := t.pressToken(ctx, meant, "")
		return r, true, err
	}
	list, err := t.shownHere(ctx)
	if err != nil {
		return Reply{}, false, err
	}
	quoted := slices.IndexFunc(list, func(s shownCard) bool { return s.Ref != "" && s.Ref == t.ev.Quote })
	if !t.ev.Private && !t.ev.ToBot && quoted < 0 {
		return Reply{}, false, nil
	}
	if quoted >= 0 && c.number == 0 {
		return t.pickIn(ctx, c, list[quoted])
	}
	if c.number != 0 {
		return t.pickOf(ctx, c, list)
	}
	if t.ev.Quote != "" || t.ev.QuoteText != "" {
		i := newestOf(list, k.ticket)
		if k.ticket == "" || i < 0 {
			return Reply{}, false, nil
		}
		// Of a message that we do not know by its name: only what it offers by that number.
		p, ok := c.in(list[i], t.wrote())
		if !ok || !c.named && !strings.Contains(fold(t.ev.QuoteText), fold(strconv.Itoa(c.n)+" "+p.Label)) {
			return Reply{}, false, nil
		}
		return t.pickIn(ctx, c, list[i])
	}
	if i := newestOf(list, k.ticket); k.ticket != "" && !t.ev.Private {
		if i < 0 {
			return Reply{}, false, nil
		}
		return t.pickIn(ctx, c, list[i])
	}
	return t.pickNewest(ctx, c, list)
}

// shownHere is what the actor was shown where he writes, oldest first.
func (t *turn) shownHere(ctx context.Context) ([]shownCard, error) {
	lanes := []string{t.lane()}
	if !t.ev.Private {
		lanes = append(lanes, whisperLane(t.lane(), t.ev.User))
	}
	var all []shownCard
	for _, lane := range lanes {
		doc, err := t.b.shelf("choices").Get(ctx, lane)
		if err != nil {
			return nil, err
		}
		list, err := readShown(doc)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	slices.SortStableFunc(all, func(a, b shownCard) int { return a.At.Compare(b.At) })
	return all, nil
}

// newestOf is the place of the newest card about a ticket that has numbers; -1
// when there is none.
func newestOf(list []shownCard, id tickets.TicketID) int {
	for i := len(list) - 1; i >= 0; i-- {
		if id != "" && list[i].Ticket == id && len(list[i].Picks) > 0 {
			return i
		}
	}
	return -1
}

// wrote is when the message was written.
func (t *turn) wrote() time.Time {
	if t.ev.At.IsZero() {
		return t.b.now()
	}
	return t.ev.At
}

// pickOf presses a choice of the ticket that was named with it: on the card that
// is quoted, else on the newest. Where none is known any more, it is shown anew.
func (t *turn) pickOf(ctx context.Context, c choice, list []shownCard) (Reply, bool, error) {
	if err := t.who(ctx); err != nil {
		return Reply{}, false, err
	}
	tk, err := t.b.svc.Find(ctx, t.actor, c.number)
	if err != nil {
		r, err := t.refused(ctx, err, cards.Act{Verb: tickets.VerbShow})
		return r, true, err
	}
	i := slices.IndexFunc(list, func(s shownCard) bool {
		return s.Ref != "" && s.Ref == t.ev.Quote && s.Ticket == tk.ID && len(s.Picks) > 0
	})
	if i < 0 {
		i = newestOf(list, tk.ID)
	}
	if i >= 0 {
		return t.pickIn(ctx, c, list[i])
	}
	r, err := t.look(ctx, tickets.VerbShow, tk.ID)
	return r, true, err
}

// pickNewest presses a choice of the card that was shown last. Where another may
// have been meant, the person is asked.
func (t *turn) pickNewest(ctx context.Context, c choice, list []shownCard) (Reply, bool, error) {
	at := t.wrote()
	if t.ev.Private && len(list) > 0 && len(list[len(list)-1].Picks) == 0 {
		return Reply{}, false, nil // it answers what has no numbers
	}
	list = slices.Clone(list)
	if !t.ev.Private { // in a group others speak between a card and its answer
		list = slices.DeleteFunc(list, func(s shownCard) bool { return len(s.Picks) == 0 })
	}
	if len(list) == 0 {
		return Reply{}, false, nil
	}
	newest := list[len(list)-1]
	var may []shownCard
	seen := map[tickets.TicketID]bool{}
	for _, s := range slices.Backward(list) {
		if t.ev.Private && (len(s.Picks) == 0 || !newest.At.Add(unread).After(at) && len(may) == 1) {
			break
		}
		if _, ok := c.in(s, at); ok && !seen[s.Ticket] && (len(may) == 0 || t.b.now().Sub(s.At) < whichAfter) {
			seen[s.Ticket] = true
			may = append(may, s)
		}
	}
	if len(may) < 2 {
		return t.pickIn(ctx, c, newest)
	}
	var which []cards.Action
	for _, s := range may {
		p, _ := c.in(s, at)
		act, err := t.b.seal.Open(p.Token, t.install.String())
		if err != nil {
			return Reply{}, true, fmt.Errorf("open a choice: %w", err)
		}
		name := s.Title
		if number, _, _ := strings.Cut(name, " "); strings.HasPrefix(number, "#") {
			name = number
		}
		which = append(which, cards.Action{Act: act, Label: name + " " + p.Label, Confirm: p.Confirm})
	}
	card := cards.Which(which, t.lang())
	return Reply{Hint: &card}, true, nil
}

// pickIn presses a choice of a card, or says what there is to choose.
func (t *turn) pickIn(ctx context.Context, c choice, s shownCard) (Reply, bool, error) {
	p, ok := c.in(s, t.wrote())
	if !ok && c.label != "" {
		return Reply{}, false, nil // «2 台电脑» is no answer
	}
	if !ok {
		var all []cards.Action
		for _, p := range s.Picks {
			act, err := t.b.seal.Open(p.Token, t.install.String())
			if err != nil {
				return Reply{}, true, fmt.Errorf("open a choice: %w", err)
			}
			all = append(all, cards.Action{Act: act, Label: p.Label, Confirm: p.Confirm})
		}
		card := cards.NoSuchChoice(c.n, s.Title, s.Ticket, all, t.lang())
		return Reply{Hint: &card}, true, nil
	}
	t.group = s.About
	if p.Confirm != "" {
		act, err := t.b.seal.Open(p.Token, t.install.String())
		if err != nil {
			return Reply{}, true, fmt.Errorf("open a choice: %w", err)
		}
		card := cards.Sure(p.Confirm, cards.Action{Act: act, Label: p.Label}, t.lang())
		return Reply{Hint: &card}, true, nil
	}
	mine, err := t.b.shelf("choices").Swap(ctx, "picked|"+t.once(), "", p.Token, pickedFor)
	if err != nil {
		return Reply{}, true, err
	}
	if !mine { // the same message, delivered twice at once: it means what was found first
		if p.Token, err = t.b.shelf("choices").Get(ctx, "picked|"+t.once()); err != nil {
			return Reply{}, true, err
		}
	}
	r, err := t.pressToken(ctx, p.Token, p.Label)
	return r, true, err
}

// pressToken is a press without a button. Who does not see a card change by it is
// shown what the ticket is now, with the numbers of what can be done next.
func (t *turn) pressToken(ctx context.Context, token, label string) (Reply, error) {
	sub := *t
	sub.ev.Kind, sub.ev.Token, sub.ev.Value = Click, token, ""
	sub.ev.Message, sub.ev.Quote, sub.ev.QuoteText, sub.ev.Text, sub.ev.Mentions = "", "", "", "", nil
	// Settings are a group's, though they were shown in private.
	if to, err := ParseLane(t.group); err == nil && t.ev.Private {
		if act, err := t.b.seal.Open(token, t.install.String()); err == nil && act.Verb == VerbSettings {
			sub.ev.Private, sub.ev.Conv = false, ConvRef{to.Install, to.Conv}
		}
	}
	r, err := sub.click(ctx)
	t.actor, t.known = sub.actor, sub.known
	if err != nil || !r.Empty() || label == "" {
		return r, err
	}
	act, err := t.b.seal.Open(token, t.install.String())
	if err != nil {
		return r, fmt.Errorf("open a choice: %w", err)
	}
	if act.Ticket == "" {
		r.Toast = cards.DoneLine(label, t.lang())
		return r, nil
	}
	if t.shows(ctx, act.Ticket, act.Verb) {
		return r, nil
	}
	tk, err := t.b.svc.Ticket(ctx, act.Ticket)
	if err != nil {
		return r, err
	}
	v, err := t.view(ctx, tk)
	if err != nil {
		return r, err
	}
	c := t.shown(v)
	r.Hint = &c
	return r, nil
}
