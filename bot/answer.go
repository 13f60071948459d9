package bot

import (
	"context"
	"slices"
	"time"

	"github.com/paidan/paidan/tickets"
)

// Some platforms show in their answer to a press what the pressed card has
// become: at once, and, where updates are counted or can be made in no other
// way, for nothing. The card of that place then waits for the answer. When it
// has gone out the place is recorded as shown; when it has not, or this process
// dies before, the sender shows it a few seconds later as ever.

// answers says which place the answer to this event is going to show.
func (t *turn) answers() tickets.Answers {
	if !t.inline().Card {
		return tickets.Answers{}
	}
	if _, ok := t.adapter.(AnswerPoster); ok && t.ev.Kind == Message {
		return tickets.Answers{Lane: t.lane()}
	}
	if t.ev.Kind != Click || t.ev.Message == "" {
		return tickets.Answers{}
	}
	return tickets.Answers{Lane: t.lane(), Ref: string(t.ev.Message)}
}

// answer puts the card that was pressed, as it is now, into the reply, or the
// first card of the ticket that a message opened.
func (t *turn) answer(ctx context.Context, r *Reply) error {
	if t.about == "" || !t.inline().Card || r.Card != nil {
		return nil
	}
	places, err := t.b.svc.LanesOf(ctx, t.about)
	if err != nil {
		return err
	}
	poster, ok := t.adapter.(AnswerPoster)
	fresh := ok && t.ev.Kind == Message
	was := ""
	if !fresh && t.ev.Kind == Click {
		if was, err = t.b.shelf("cards").Get(ctx, t.lane()+"|"+string(t.ev.Message)); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(places, func(p tickets.Place) bool {
		switch {
		case p.Lane != t.lane():
			return false
		case fresh:
			return p.Ref == ""
		}
		return t.ev.Kind == Click && t.ev.Message != "" && (p.Ref == string(t.ev.Message) || p.ID == was)
	})
	if i < 0 {
		return nil
	}
	to, err := ParseLane(places[i].Lane)
	if err != nil {
		return err
	}
	tk, err := t.b.svc.Ticket(ctx, t.about)
	if err != nil {
		return err
	}
	s := &sending{b: t.b, a: t.adapter, to: to, place: places[i], t: tk}
	if s.v, err = t.view(ctx, tk); err != nil {
		return err
	}
	c, done, err := s.draw(ctx)
	if err != nil {
		return err
	}
	if c, err = s.ready(c); err != nil {
		return err
	}
	r.Card = &c
	switch {
	case fresh:
		r.Once = s.once()
		done.Ref, done.Fresh = string(poster.AnswerRef(t.ev, r.Once)), true
		if done.Root == "" {
			done.Root = done.Ref
		}
	case s.place.Ref != string(t.ev.Message):
		return nil // an older message that it showed on: the place itself is shown by the sender
	}
	r.Written = func(err error) {
		if err != nil {
			return // the sender shows it
		}
		t.b.after(ctx, "record the answer", func(ctx context.Context) error {
			return t.b.out.Answered(ctx, s.place, done, tickets.At(t.b.now()))
		})
	}
	return nil
}

// replacedFor is how long a press on a message that has a successor is answered
// with the ticket's card. Platforms let nobody press on older ones.
const replacedFor = 30 * 24 * time.Hour

// replaced remembers what the message that a place showed until now was.
func (b *Bot) replaced(ctx context.Context, p tickets.Place) error {
	return b.shelf("cards").Put(ctx, p.Lane+"|"+p.Ref, p.ID, replacedFor)
}

// shelf keeps small things for a part of the bot.
func (b *Bot) shelf(part string) *tickets.Shelf { return b.svc.Shelf(part, b.now) }
