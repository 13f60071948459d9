package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// What only looks is answered to the asker alone, and never stored.

// listLimit is how many rows a list shows; the rest is counted.
const listLimit = 10

func (t *turn) list(ctx context.Context, kind tickets.Verb, words string) (Reply, error) {
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	var rows []tickets.Row
	var more int
	var err error
	switch kind {
	case tickets.VerbMine:
		rows, more, err = t.b.svc.Mine(ctx, t.actor, listLimit)
	case tickets.VerbQueue:
		rows, more, err = t.b.svc.Queue(ctx, t.actor, listLimit)
	case tickets.VerbOverdue:
		rows, more, err = t.b.svc.Overdue(ctx, t.actor, listLimit, t.b.now())
	case tickets.VerbSearch:
		rows, more, err = t.b.svc.Search(ctx, t.actor, words, listLimit)
	}
	if err != nil {
		return Reply{}, err
	}
	c := cards.List(kind, words, rows, more, tickets.At(t.b.now()), t.b.zone, t.lang())
	return Reply{Hint: &c}, nil
}

// look shows a ticket, or what happened to it, to somebody who may see it.
func (t *turn) look(ctx context.Context, verb tickets.Verb, id tickets.TicketID) (Reply, error) {
	v, refusal, err := t.seen(ctx, verb, id)
	if refusal != nil || err != nil {
		return Reply{Hint: refusal}, err
	}
	c := t.shown(v)
	if verb == tickets.VerbTimeline {
		entries, err := t.b.svc.Timeline(ctx, id, 30)
		if err != nil {
			return Reply{}, err
		}
		slices.Reverse(entries) // cards want the oldest first
		c = cards.Timeline(v, entries, t.lang())
	}
	return Reply{Hint: &c}, nil
}

// shown is a ticket for the actor's eyes: what the team says among itself is
// not for the requester.
func (t *turn) shown(v *tickets.View) cards.Card {
	if t.actor.Works(v.Ticket.Desk) || v.HelpedBy(t.actor) || t.actor.Is(tickets.Auditor, v.Ticket.Desk) {
		return cards.Found(v, t.lang())
	}
	return cards.Receipt(v, t.lang())
}

// lookClick is 查看 or 时间线 as a button; 查看全文 shows the whole text in parts.
func (t *turn) lookClick(ctx context.Context, act cards.Act) (Reply, error) {
	if act.Arg != cards.ArgWhole {
		return t.look(ctx, act.Verb, act.Ticket)
	}
	v, refusal, err := t.seen(ctx, act.Verb, act.Ticket)
	if refusal != nil || err != nil {
		return Reply{Hint: refusal}, err
	}
	size := t.adapter.Caps().Text
	if size == 0 {
		size = 3000
	}
	whole := cards.Whole
	if t.actor.Works(v.Ticket.Desk) {
		whole = cards.WholeForTeam
	}
	parts := whole(v, size, t.lang())
	if len(parts) == 0 {
		return Reply{}, nil
	}
	for _, c := range parts[1:] {
		t.b.after(ctx, "whole text", func(ctx context.Context) error {
			c, err := t.b.drawn(t.adapter, t.install, t.hintShared(), c)
			if err != nil {
				return err
			}
			return t.whisper(ctx, c)
		})
	}
	return Reply{Hint: &parts[0]}, nil
}

func (t *turn) seen(ctx context.Context, verb tickets.Verb, id tickets.TicketID) (*tickets.View, *cards.Card, error) {
	if err := t.who(ctx); err != nil {
		return nil, nil, err
	}
	tk, err := t.b.svc.Ticket(ctx, id)
	if err == nil {
		err = tickets.Authorize(t.actor, verb, tk)
	}
	if err != nil {
		r, err := t.refused(ctx, err, cards.Act{Verb: verb})
		return nil, r.Hint, err
	}
	v, err := t.view(ctx, tk)
	return v, nil, err
}

// home shows a person's own page.
func (t *turn) home(ctx context.Context) error {
	p, ok := t.adapter.(HomePublisher)
	if !ok {
		return nil
	}
	c, err := t.page(ctx)
	if err != nil {
		return err
	}
	c = cards.Fit(c, t.adapter.Caps())
	if err := t.b.seal.Seal(&c, t.install.String()); err != nil {
		return fmt.Errorf("seal home: %w", err)
	}
	return p.PublishHome(ctx, t.ev.User, c)
}

// page is what is of interest to the actor now.
func (t *turn) page(ctx context.Context) (cards.Card, error) {
	if err := t.who(ctx); err != nil {
		return cards.Card{}, err
	}
	mine, _, err := t.b.svc.Mine(ctx, t.actor, listLimit)
	if err != nil {
		return cards.Card{}, err
	}
	queue, _, err := t.b.svc.Queue(ctx, t.actor, listLimit)
	if err != nil {
		return cards.Card{}, err
	}
	return cards.Home(mine, queue, tickets.At(t.b.now()), t.b.zone, t.lang()), nil
}

// greet answers somebody who has come into his private chat with the bot: with
// what is of interest to who works, and with how to ask to everybody else.
func (t *turn) greet(ctx context.Context) (Reply, error) {
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	c := cards.Help(t.lang(), false)
	if t.actor.Anywhere() {
		var err error
		if c, err = t.page(ctx); err != nil {
			return Reply{}, err
		}
	}
	return Reply{Hint: &c}, nil
}

// firstAdmin takes the one-time code; in private only, since whoever reads a
// group would have it too.
func (t *turn) firstAdmin(ctx context.Context, code string) (Reply, error) {
	if !t.ev.Private {
		return t.refused(ctx, tickets.Refuse(tickets.BadValue, "field", "code", "why", "private"), cards.Act{})
	}
	ok, err := t.b.svc.UseAdminCode(ctx, t.ev.User.String(), code, t.b.now())
	if err != nil {
		return Reply{}, err
	}
	if !ok {
		return t.refused(ctx, tickets.Refuse(tickets.BadValue, "field", "code", "why", "code"), cards.Act{})
	}
	t.b.log.Info("first admin was made", "install", t.install.String())
	c := cards.AdminMade(t.lang())
	return Reply{Hint: &c}, nil
}

// settings binds a group to a desk, or shows the choices.
func (t *turn) settings(ctx context.Context, in Intent, _ talk) (Reply, error) {
	if err := t.who(ctx); err != nil {
		return Reply{}, err
	}
	desks, err := t.b.svc.Desks(ctx)
	if err != nil {
		return Reply{}, err
	}
	if !t.actor.Is(tickets.Admin, tickets.EveryDesk) {
		return t.refused(ctx, tickets.Refuse(tickets.NotAllowed, "verb", string(VerbSettings)), cards.Act{})
	}
	if t.ev.Private {
		c := cards.Settings(nil, tickets.Group{}, t.lang())
		return Reply{Hint: &c}, nil
	}
	g, err := t.b.svc.GroupOf(ctx, t.lane())
	if err != nil {
		return Reply{}, err
	}
	if in.Key == "" {
		return t.settingsOf(desks, g), nil
	}
	if in.Key == cards.SettingLanguage {
		g.Locale = string(cards.LangOf(in.Value))
		if err := t.b.svc.SetLocale(ctx, t.ev.User.String(), t.lane(), g.Locale); err != nil {
			return t.refused(ctx, err, cards.Act{})
		}
		return t.settingsOf(desks, g), nil
	}
	g.Use, g.Desk = in.Key, t.deskNamed(desks, in.Value)
	if in.Key == "none" {
		g.Use, g.Desk = "", ""
	}
	if err := t.b.svc.BindGroup(ctx, t.ev.User.String(), g); err != nil {
		return t.refused(ctx, err, cards.Act{})
	}
	conv := t.ev.Conv
	t.b.after(ctx, "members", func(ctx context.Context) error { return t.b.SyncGroup(ctx, conv) })
	r := t.settingsOf(desks, g)
	if g.Use == "intake" {
		triage, err := t.b.svc.TriageGroups(ctx)
		if err != nil {
			return Reply{}, err
		}
		if !slices.ContainsFunc(triage, func(o tickets.Group) bool { return o.Desk == g.Desk }) {
			c := cards.NobodyHears(*r.Hint, t.lang())
			r.Hint = &c
		}
	}
	return r, nil
}

// settingsOf shows a group's settings. The buttons say which group they are
// about: where the platform shows nothing to one person in a group, they stand in
// his private chat.
func (t *turn) settingsOf(desks []tickets.Desk, g tickets.Group) Reply {
	c := cards.Settings(desks, g, t.lang())
	for i := range c.Actions {
		if a := &c.Actions[i].Act; a.Verb == VerbSettings && len(a.Arg)+len(t.ev.Conv.ID) < maxSettingsArg {
			a.Arg += ":" + t.ev.Conv.ID
		}
	}
	return Reply{Hint: &c}
}

// maxSettingsArg leaves a token room for the rest.
const maxSettingsArg = 100

// settingsPressed is a button of a group's settings.
func (t *turn) settingsPressed(ctx context.Context, arg string) (Reply, error) {
	use, rest, _ := strings.Cut(arg, ":")
	desk, conv, ok := strings.Cut(rest, ":")
	if ok && t.ev.Private {
		t.ev.Private, t.ev.Conv = false, ConvRef{t.install, conv}
	}
	return t.settings(ctx, Intent{Key: use, Value: desk}, talk{})
}

// deskNamed is the desk that people call name; the only one needs no name.
func (t *turn) deskNamed(desks []tickets.Desk, name string) tickets.DeskKey {
	i := slices.IndexFunc(desks, func(d tickets.Desk) bool {
		return strings.EqualFold(string(d.Key), name) || strings.EqualFold(d.Name, name)
	})
	switch {
	case i >= 0:
		return desks[i].Key
	case name == "" && len(desks) == 1:
		return desks[0].Key
	}
	return tickets.DeskKey(name)
}

func (t *turn) level(ctx context.Context, in Intent) (Reply, error) {
	if t.ev.Private {
		return t.refused(ctx, tickets.Refuse(tickets.NotAllowed, "verb", string(VerbLevel)), cards.Act{})
	}
	if err := t.b.svc.SetLevel(ctx, t.ev.User.String(), t.lane(), in.Value); err != nil {
		return t.refused(ctx, err, cards.Act{})
	}
	c := cards.LevelSet(in.Value, t.lang())
	return Reply{Hint: &c}, nil
}
