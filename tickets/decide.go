package tickets

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The rules' own spans.
const (
	UrgeCooldown = 10 * time.Minute // between two urges of one ticket
	UndoWithin   = 10 * time.Minute // for one's own last act

	defaultReopen  = 7 * 24 * time.Hour
	defaultConfirm = 72 * time.Hour
	defaultArchive = 90 * 24 * time.Hour
)

// defaultTargets hold where a desk names none, by the wall clock.
var defaultTargets = []Target{
	{1, 15 * time.Minute, 4 * time.Hour},
	{2, 30 * time.Minute, 8 * time.Hour},
	{3, 2 * time.Hour, 24 * time.Hour},
	{4, 8 * time.Hour, 72 * time.Hour},
}

// ReopenWithin is how long after closing a ticket may be reopened.
func (d *Desk) ReopenWithin() time.Duration { return cmp.Or(d.Reopen, defaultReopen) }

// ConfirmWithin is how long a solved ticket waits for the requester.
func (d *Desk) ConfirmWithin() time.Duration { return cmp.Or(d.Confirm, defaultConfirm) }

// ArchiveAfter is how long a closed ticket stays in the lists.
func (d *Desk) ArchiveAfter() time.Duration { return cmp.Or(d.Archive, defaultArchive) }

// TargetFor returns the desk's target for a priority.
func (d *Desk) TargetFor(p Priority) Target {
	for _, ts := range [][]Target{d.Targets, defaultTargets} {
		for _, t := range ts {
			if t.Priority == p {
				return t
			}
		}
	}
	return Target{Priority: p}
}

// Scene is all that Decide knows besides the ticket and the command.
type Scene struct {
	Now   Time
	Actor Actor
	Desk  Desk
	Other *Ticket // the other ticket, where the command names one or t was merged into one
	To    *Actor  // whom the command is about, with his rights
	About *Event  // the event that the command is about; nil where there is none such
}

// Decision is what comes of a command. No events and no error means: it is so already.
type Decision struct {
	Events []Event // on the ticket itself
	Other  []Event // on Scene.Other
	Open   *Open   // a ticket that must come into being with it, linked back
}

// Decide says what a command does to a ticket. It is pure: the same ticket,
// command and scene always give the same decision, and nothing is touched.
// A refusal is an *Error. t is a blank ticket (only Desk set) for Open.
func Decide(t *Ticket, c Command, s Scene) (Decision, error) {
	if err := c.Validate(); err != nil {
		return Decision{}, err
	}
	if err := Authorize(s.Actor, c.Verb(), t); err != nil {
		return Decision{}, err
	}
	d := decider{t: t, s: s, verb: c.Verb()}
	switch c := c.(type) {
	case Open:
		return d.open(c)
	case Say:
		return d.say(c)
	case Claim:
		return d.claim()
	case Release:
		return d.release(c)
	case Assign:
		return d.assign(c)
	case ConsultOn:
		return d.consult(c)
	case Answer:
		return d.answer(c)
	case Reply:
		return d.reply(c)
	case Retract:
		return d.retract(c)
	case Note:
		return d.one(Noted, Facts{}, &Words{Text: c.Text, Files: c.Files})
	case SetPriority:
		return d.priority(c)
	case SetType:
		return d.setType(c)
	case SetField:
		return d.field(c)
	case Tag:
		return d.tag(c)
	case HoldUntil:
		return d.hold(c)
	case Resume:
		return d.resume(c)
	case Urge:
		return d.urge()
	case Escalate:
		return d.escalate(c)
	case Solve:
		return d.solve(c)
	case Confirm:
		return d.confirm()
	case Reject:
		return d.reject(c)
	case Close:
		return d.close(c)
	case Withdraw:
		return d.withdraw(c)
	case Reopen:
		return d.reopen(c.Reason, nil)
	case Merge:
		return d.merge()
	case Unmerge:
		return d.unmerge()
	case LinkTo:
		return d.link()
	case Split:
		return d.split(c)
	case Archive:
		return d.archive(c)
	case Undo:
		return d.undo()
	case Attach:
		return d.one(Attached, Facts{Seq: c.Seq}, &Words{Files: c.Files})
	case Amend:
		return d.amend(c)
	case Reveal:
		return d.reveal(c)
	case Breach:
		return d.breach(c)
	}
	panic("tickets: Decide does not know this command") // a programming error: a new command without its rule
}

type decider struct {
	t    *Ticket
	s    Scene
	verb Verb
}

// event makes one event by the scene's actor.
func (d decider) event(k Kind, f Facts, w *Words) Event {
	return Event{Ticket: d.t.ID, Kind: k, By: d.s.Actor.Person, At: d.s.Now, Facts: f, Words: w}
}

func (d decider) one(k Kind, f Facts, w *Words) (Decision, error) {
	return Decision{Events: []Event{d.event(k, f, w)}}, nil
}

func (d decider) wrongState() (Decision, error) {
	return Decision{}, Refuse(WrongState, "status", string(d.t.Status), "verb", string(d.verb))
}

// moved are the facts of a change of status that may stop or restart the clocks.
func (d decider) moved(to Status) Facts {
	f := Facts{Status: to, WasStatus: d.t.Status}
	if d.t.PausedAt != 0 && !to.Paused() && to.Open() {
		stood := max(0, d.s.Now.Sub(d.t.PausedAt)) // replicas' clocks differ a little
		f.SolveBy = later(d.t.SolveBy, stood)
		if d.t.Responded == 0 {
			f.RespondBy = later(d.t.RespondBy, stood)
		}
	}
	return f
}

func later(t Time, d time.Duration) Time {
	if t == 0 {
		return 0
	}
	return t.Add(d)
}

func (d decider) open(c Open) (Decision, error) {
	title, body := strings.TrimSpace(c.Title), c.Body
	if title == "" {
		title = firstLine(body, 60)
	}
	if title == "" {
		title = c.Files[0].Name
	}
	typ, fields, err := d.s.Desk.check(c.Type, c.Fields)
	if err != nil {
		return Decision{}, err
	}
	if c.For != "" && d.s.To == nil && !d.s.Actor.System {
		return Decision{}, Refuse(NoSuchPerson)
	}
	f := Facts{
		Number: d.t.Number, Desk: d.t.Desk, Requester: cmp.Or(c.For, d.s.Actor.Person),
		Status: New, Priority: cmp.Or(c.Priority, 3), Type: typ,
	}
	target := d.s.Desk.TargetFor(f.Priority)
	f.RespondBy, f.SolveBy = due(d.s.Now, target.Respond), due(d.s.Now, target.Solve)
	if c.From.Ticket != "" {
		f.Link = &c.From
	}
	return d.one(Opened, f, &Words{Title: title, Body: body, Fields: fields, Add: c.Tags, Files: c.Files})
}

func due(now Time, within time.Duration) Time {
	if within <= 0 {
		return 0
	}
	return now.Add(within)
}

// firstLine is the first line of s that says something, cut to n characters.
func firstLine(s string, n int) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			if r := []rune(line); len(r) > n {
				return strings.TrimSpace(string(r[:n-1])) + "…"
			}
			return line
		}
	}
	return ""
}

func (d decider) say(c Say) (Decision, error) {
	w := &Words{Text: c.Text, Files: c.Files}
	idle := len(c.Files) == 0 && Chatter(c.Text)
	switch d.t.Status {
	case New, Active:
		return d.one(SaidMore, Facts{}, w)
	case Held:
		return d.one(SaidMore, Facts{}, w) // a hold waits for something else than the requester
	case Waiting:
		if idle {
			return d.one(Thanked, Facts{}, w)
		}
		return d.one(SaidMore, d.moved(Active), w) // that is what was waited for
	}
	if idle {
		return d.one(Thanked, Facts{}, w)
	}
	if o := d.s.Other; d.mergedTo() != nil && o != nil && o.Status.Open() {
		more := d.event(SaidMore, Facts{}, w)
		more.Ticket = o.ID
		return Decision{Other: []Event{more}}, nil // the work goes on there
	}
	return d.reopen(c.Text, c.Files)
}

// mergedTo is the link to the ticket that this one was merged into, or nil.
func (d decider) mergedTo() *Link {
	if i := slices.IndexFunc(d.t.Links, func(l Link) bool { return l.Kind == MergedTo }); i >= 0 {
		return &d.t.Links[i]
	}
	return nil
}

func (d decider) claim() (Decision, error) {
	switch {
	case d.s.Actor.Me(d.t.Owner) && d.t.Status.Open():
		return Decision{}, nil
	case d.t.Owner != "" && d.t.Status.Open():
		return Decision{}, Refuse(AlreadyClaimed, "by", string(d.t.Owner))
	case d.t.Status != New:
		return d.wrongState()
	}
	f := d.moved(Active)
	f.Owner = d.s.Actor.Person
	return d.one(ClaimedBy, f, nil)
}

func (d decider) release(c Release) (Decision, error) {
	if d.t.Owner == "" || !d.t.Status.Open() {
		return d.wrongState()
	}
	f := d.moved(New)
	f.WasOwner = d.t.Owner
	return d.one(Released, f, &Words{Reason: c.Reason})
}

func (d decider) assign(c Assign) (Decision, error) {
	if !d.t.Status.Open() {
		return d.wrongState()
	}
	if d.s.To == nil || d.s.To.Person == "" {
		return Decision{}, Refuse(NoSuchPerson)
	}
	if !d.s.To.Works(d.t.Desk) {
		return Decision{}, Refuse(NotAnAgent, "by", string(c.To))
	}
	if d.t.Owner == c.To {
		return Decision{}, nil
	}
	f := d.moved(Active)
	f.Owner, f.WasOwner = c.To, d.t.Owner
	return d.one(Assigned, f, &Words{Reason: c.Reason})
}

func (d decider) consult(c ConsultOn) (Decision, error) {
	if !d.t.Status.Open() {
		return d.wrongState()
	}
	if d.s.To == nil || d.s.To.Person == "" {
		return Decision{}, Refuse(NoSuchPerson)
	}
	f := Facts{Person: c.Expert, Until: due(d.s.Now, c.Within)}
	return d.one(Consulted, f, &Words{Text: c.Question})
}

func (d decider) answer(c Answer) (Decision, error) {
	who := c.Expert
	if i := slices.IndexFunc(d.t.Consults, func(c Consult) bool { return d.s.Actor.Me(c.Person) }); who == "" && i >= 0 {
		who = d.t.Consults[i].Person
	}
	i := slices.IndexFunc(d.t.Consults, func(c Consult) bool { return c.Person == who })
	switch {
	case d.s.Actor.System && (i < 0 || d.t.Consults[i].Due != c.Due):
		return Decision{}, nil // answered, or asked anew, since the timer was set
	case i < 0:
		return d.wrongState()
	case !d.s.Actor.System && !d.s.Actor.Me(who) && d.s.Actor.standing(d.t)&inChief == 0:
		return Decision{}, Refuse(NotAllowed, "verb", string(d.verb)) // an expert answers for himself only
	}
	return d.one(Answered, Facts{Person: who, Lapsed: d.s.Actor.System}, &Words{Text: c.Text})
}

func (d decider) reply(c Reply) (Decision, error) {
	if d.t.Status == Archived {
		return d.wrongState()
	}
	return d.one(Replied, Facts{}, &Words{Text: c.Text, Files: c.Files})
}

// retract takes back a reply; whether it still can be is the outbox's to say.
func (d decider) retract(c Retract) (Decision, error) {
	if d.s.About == nil || d.s.About.Kind != Replied {
		return Decision{}, Refuse(TooLate, "verb", string(d.verb))
	}
	return d.one(Retracted, Facts{Seq: c.Seq}, nil)
}

// amend follows an edit of one's own words.
func (d decider) amend(c Amend) (Decision, error) {
	if d.s.About == nil || !d.s.Actor.System && !d.s.Actor.Me(d.s.About.By) {
		return Decision{}, Refuse(NotAllowed, "verb", string(d.verb))
	}
	return d.one(Amended, Facts{Seq: c.Seq, Gone: c.Deleted}, &Words{Text: c.Text})
}

func (d decider) priority(c SetPriority) (Decision, error) {
	if !d.t.Status.Open() {
		return d.wrongState()
	}
	if c.Priority == d.t.Priority {
		return Decision{}, nil
	}
	// The new target counts from the beginning, without the time that the clocks stood still.
	was, is := d.s.Desk.TargetFor(d.t.Priority), d.s.Desk.TargetFor(c.Priority)
	f := Facts{Priority: c.Priority, WasPriority: d.t.Priority}
	f.SolveBy = shifted(d.t.SolveBy, d.t.Created, was.Solve, is.Solve)
	if d.t.Responded == 0 {
		f.RespondBy = shifted(d.t.RespondBy, d.t.Created, was.Respond, is.Respond)
	}
	return d.one(Prioritised, f, &Words{Reason: c.Reason})
}

func shifted(due, created Time, was, is time.Duration) Time {
	if is <= 0 {
		return 0
	}
	if due == 0 {
		return created.Add(is)
	}
	return due.Add(is - was)
}

func (d decider) setType(c SetType) (Decision, error) {
	if c.Type == d.t.Type {
		return Decision{}, nil
	}
	typ, ok := d.s.Desk.TypeOf(c.Type)
	if !ok {
		return Decision{}, Refuse(NoSuchType, "type", c.Type)
	}
	keep := map[string]string{}
	for _, f := range typ.Fields {
		if v, has := d.t.Fields[f.Key]; has {
			keep[f.Key] = v
		}
	}
	return d.one(Typed, Facts{Type: typ.Key, WasType: d.t.Type}, &Words{Fields: keep})
}

func (d decider) field(c SetField) (Decision, error) {
	f, ok := d.s.Desk.fieldOf(d.t.Type, c.Key)
	if !ok {
		return Decision{}, Refuse(NoSuchField, "field", c.Key)
	}
	v, err := f.Check(c.Value)
	if err != nil {
		return Decision{}, err
	}
	if v == d.t.Fields[f.Key] {
		return Decision{}, nil
	}
	return d.one(FieldSet, Facts{Field: f.Key}, &Words{Value: v, Was: d.t.Fields[f.Key]})
}

func (d decider) tag(c Tag) (Decision, error) {
	var add, remove []string
	for _, x := range c.Add {
		if x = strings.TrimSpace(x); !slices.Contains(d.t.Tags, x) && !slices.Contains(add, x) {
			add = append(add, x)
		}
	}
	for _, x := range c.Remove {
		if x = strings.TrimSpace(x); slices.Contains(d.t.Tags, x) {
			remove = append(remove, x)
		}
	}
	if len(add)+len(remove) == 0 {
		return Decision{}, nil
	}
	if len(d.t.Tags)+len(add)-len(remove) > MaxTags {
		return Decision{}, Refuse(BadValue, "field", "tags", "why", "many")
	}
	return d.one(Tagged, Facts{}, &Words{Add: add, Remove: remove})
}

func (d decider) hold(c HoldUntil) (Decision, error) {
	if d.t.Status != Active && !d.t.Status.Paused() {
		return d.wrongState()
	}
	if c.Until != 0 && c.Until <= d.s.Now {
		return Decision{}, Refuse(BadTime)
	}
	to := Held
	if c.Customer {
		to = Waiting
	}
	f := d.moved(to)
	f.Until = c.Until
	return d.one(HeldUntil, f, &Words{Reason: c.Reason})
}

func (d decider) resume(c Resume) (Decision, error) {
	if d.s.Actor.System && (d.t.Hold == nil || d.t.Hold.Until != c.Due) {
		return Decision{}, nil // the hold that the timer was made for is over
	}
	if !d.t.Status.Paused() {
		return d.wrongState()
	}
	f := d.moved(Active)
	f.Lapsed = d.s.Actor.System
	return d.one(Resumed, f, nil)
}

func (d decider) urge() (Decision, error) {
	if !d.t.Status.Open() {
		return d.wrongState()
	}
	if until := d.t.UrgedAt.Add(UrgeCooldown); d.t.UrgedAt != 0 && d.s.Now < until {
		return Decision{}, Refuse(TooSoon, "until", strconv.FormatInt(int64(until), 10))
	}
	return d.one(Urged, Facts{}, nil)
}

func (d decider) escalate(c Escalate) (Decision, error) {
	if !d.t.Status.Open() {
		return d.wrongState()
	}
	f := Facts{Team: cmp.Or(c.Team, d.t.Team), WasTeam: d.t.Team, WasOwner: d.t.Owner}
	if c.Person != "" {
		if d.s.To == nil || d.s.To.Person == "" {
			return Decision{}, Refuse(NoSuchPerson)
		}
		if !d.s.To.Works(d.t.Desk) {
			return Decision{}, Refuse(NotAnAgent, "by", string(c.Person))
		}
		m := d.moved(Active)
		f.Status, f.WasStatus, f.SolveBy, f.RespondBy = m.Status, m.WasStatus, m.SolveBy, m.RespondBy
		f.Owner = c.Person
		return d.one(Escalated, f, &Words{Reason: c.Reason})
	}
	if len(d.s.Desk.Teams) > 0 && !slices.Contains(d.s.Desk.Teams, c.Team) {
		return Decision{}, Refuse(NoSuchTeam, "team", c.Team)
	}
	m := d.moved(New) // the team's queue: whoever takes it there owns it
	f.Status, f.WasStatus, f.SolveBy, f.RespondBy = m.Status, m.WasStatus, m.SolveBy, m.RespondBy
	return d.one(Escalated, f, &Words{Reason: c.Reason})
}

func (d decider) solve(c Solve) (Decision, error) {
	if !d.t.Status.Open() || d.t.Status == New {
		return d.wrongState()
	}
	filled := d.t.Core.clone()
	var out []Event
	for _, key := range slices.Sorted(maps.Keys(c.Fields)) {
		if c.Fields[key] == "" {
			continue
		}
		set, err := d.field(SetField{Key: key, Value: c.Fields[key]})
		if err != nil {
			return Decision{}, err
		}
		for _, e := range set.Events {
			if filled.Fields == nil {
				filled.Fields = map[string]string{}
			}
			filled.Fields[key] = e.Words.Value
		}
		out = append(out, set.Events...)
	}
	if err := d.s.Desk.complete(filled); err != nil {
		return Decision{}, err
	}
	f := d.moved(Solved)
	f.Quiet = c.Quiet
	out = append(out, d.event(SolvedBy, f, &Words{Text: c.Text, Cause: c.Cause}))
	return Decision{Events: out}, nil
}

func (d decider) confirm() (Decision, error) {
	if d.t.Status == Closed {
		return Decision{}, nil
	}
	if d.t.Status != Solved {
		return d.wrongState()
	}
	return d.one(Confirmed, d.moved(Closed), nil)
}

func (d decider) reject(c Reject) (Decision, error) {
	if d.t.Status != Solved {
		return d.wrongState()
	}
	return d.one(Rejected, d.back(), &Words{Reason: c.Reason})
}

// back are the facts of a return to work: to its owner, or to the queue.
func (d decider) back() Facts {
	to := New
	if d.t.Owner != "" {
		to = Active
	}
	f := Facts{Status: to, WasStatus: d.t.Status}
	target := d.s.Desk.TargetFor(d.t.Priority)
	f.SolveBy = due(d.s.Now, target.Solve)
	if d.t.Responded == 0 {
		f.RespondBy = due(d.s.Now, target.Respond)
	}
	return f
}

func (d decider) close(c Close) (Decision, error) {
	if d.s.Actor.System {
		if d.t.Status != Solved || d.t.SolvedAt != c.Lapsed {
			return Decision{}, nil
		}
	}
	switch d.t.Status {
	case Closed, Archived:
		return Decision{}, nil
	case Solved, Active, Waiting, Held, New:
	}
	f := d.moved(Closed)
	f.Lapsed = d.s.Actor.System
	return d.one(ClosedBy, f, &Words{Reason: c.Reason})
}

func (d decider) withdraw(c Withdraw) (Decision, error) {
	if !d.t.Status.Open() {
		return d.wrongState()
	}
	return d.one(Withdrawn, d.moved(Closed), &Words{Reason: c.Reason})
}

// reopen brings a finished ticket back; too late, it opens a linked successor.
func (d decider) reopen(why string, files []File) (Decision, error) {
	if d.t.Status.Open() {
		return d.wrongState()
	}
	ended := cmp.Or(d.t.ClosedAt, d.t.SolvedAt)
	if d.t.Status != Archived && d.mergedTo() == nil && d.s.Now.Sub(ended) <= d.s.Desk.ReopenWithin() {
		return d.one(Reopened, d.back(), &Words{Reason: why, Files: files})
	}
	typ, fields := d.s.Desk.fitting(d.t.Type, d.t.Fields)
	return Decision{Open: &Open{
		Desk: d.t.Desk, Title: d.t.Title, Body: why, Type: typ, Priority: d.t.Priority, Files: files,
		Fields: fields, For: d.t.Requester,
		From: Link{Kind: Precursor, Ticket: d.t.ID, Number: d.t.Number},
	}}, nil
}

func (d decider) merge() (Decision, error) {
	o := d.s.Other
	switch {
	case o == nil || !d.s.Actor.Sees(o):
		return Decision{}, Refuse(NotFound)
	case o.ID == d.t.ID:
		return Decision{}, Refuse(SelfMerge)
	case !d.t.Status.Open():
		return d.wrongState()
	case !o.Status.Open():
		return Decision{}, Refuse(WrongState, "status", string(o.Status), "verb", string(d.verb))
	}
	if err := Authorize(d.s.Actor, VerbMerge, o); err != nil {
		return Decision{}, err
	}
	f := d.moved(Closed)
	f.Link = &Link{MergedTo, o.ID, o.Number}
	on := d.event(MergedFrom, Facts{Link: &Link{Merged, d.t.ID, d.t.Number}}, nil)
	on.Ticket = o.ID
	return Decision{Events: []Event{d.event(MergedInto, f, nil)}, Other: []Event{on}}, nil
}

func (d decider) unmerge() (Decision, error) {
	o := d.s.Other
	if d.mergedTo() == nil || o == nil {
		return d.wrongState()
	}
	f := d.back()
	f.Link = &Link{MergedTo, o.ID, o.Number}
	on := d.event(UnmergedFrom, Facts{Link: &Link{Merged, d.t.ID, d.t.Number}}, nil)
	on.Ticket = o.ID
	return Decision{Events: []Event{d.event(Unmerged, f, nil)}, Other: []Event{on}}, nil
}

func (d decider) link() (Decision, error) {
	o := d.s.Other
	switch {
	case o == nil || !d.s.Actor.Sees(o):
		return Decision{}, Refuse(NotFound)
	case o.ID == d.t.ID:
		return Decision{}, Refuse(SelfMerge)
	case slices.ContainsFunc(d.t.Links, func(l Link) bool { return l.Ticket == o.ID && l.Kind == Related }):
		return Decision{}, nil
	}
	if err := Authorize(d.s.Actor, VerbLink, o); err != nil {
		return Decision{}, err // it is written there too
	}
	on := d.event(Linked, Facts{Link: &Link{Related, d.t.ID, d.t.Number}}, nil)
	on.Ticket = o.ID
	return Decision{
		Events: []Event{d.event(Linked, Facts{Link: &Link{Related, o.ID, o.Number}}, nil)},
		Other:  []Event{on},
	}, nil
}

func (d decider) split(c Split) (Decision, error) {
	if d.t.Status == Archived {
		return d.wrongState()
	}
	return Decision{Open: &Open{
		Desk: d.t.Desk, Title: c.Title, Body: c.Body, Priority: d.t.Priority, For: d.t.Requester,
		From: Link{Kind: SplitFrom, Ticket: d.t.ID, Number: d.t.Number},
	}}, nil
}

func (d decider) archive(c Archive) (Decision, error) {
	if d.s.Actor.System && d.t.ClosedAt != c.Closed || d.t.Status == Archived {
		return Decision{}, nil
	}
	if d.t.Status != Closed {
		return d.wrongState()
	}
	return d.one(ArchivedNow, Facts{Status: Archived, WasStatus: d.t.Status}, nil)
}

func (d decider) undo() (Decision, error) {
	u := d.t.Undo
	switch {
	case u == nil || !d.s.Actor.Me(u.By):
		return Decision{}, Refuse(NothingToUndo)
	case d.s.Now.Sub(u.At) > UndoWithin:
		return Decision{}, Refuse(TooLate, "verb", string(VerbUndo))
	}
	return d.one(Undone, Facts{What: u.What, Status: u.Before.Status, WasStatus: d.t.Status, Owner: u.Before.Owner, WasOwner: d.t.Owner}, nil)
}

func (d decider) reveal(c Reveal) (Decision, error) {
	f, ok := d.s.Desk.fieldOf(d.t.Type, c.Field)
	if !ok || d.t.Fields[c.Field] == "" {
		return Decision{}, Refuse(NoSuchField, "field", c.Field)
	}
	return d.one(Revealed, Facts{Field: f.Key}, &Words{Reason: c.Reason})
}

func (d decider) breach(c Breach) (Decision, error) {
	told := func(target string) bool { return slices.Contains(d.t.Missed, target) }
	var target string
	switch {
	case d.s.Now <= c.Target || !d.t.Status.Open() || d.t.Status.Paused():
	case c.Target == d.t.RespondBy && d.t.Responded == 0 && !told("respond"):
		target = "respond"
	case c.Target == d.t.SolveBy && !told("solve"):
		target = "solve"
	}
	if target == "" {
		return Decision{}, nil // the target has been met or moved since, or everybody knows
	}
	return d.one(TargetMissed, Facts{Target: target, Until: c.Target}, nil)
}
