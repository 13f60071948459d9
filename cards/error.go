package cards

import (
	"strconv"
	"time"

	"github.com/paidan/paidan/cards/lang"
	"github.com/paidan/paidan/tickets"
)

// Sentence says a refusal in words that tell what to do next. args are ready to
// be read: names, not ids; words, not codes; an instant, not a number. Arguments
// that are missing are worded around; an unknown code gets a general sentence.
func Sentence(code string, args map[string]string, l Lang) string {
	key := "refused." + code
	switch tickets.Code(code) {
	case tickets.NotFound:
		switch {
		case args["number"] == "":
			key += ".plain"
		case args["near"] != "":
			key += ".near"
		}
	case tickets.BadValue:
		if args["why"] == "" {
			key += ".plain"
		}
	case tickets.TooLate:
		if args["verb"] == VerbWord(tickets.VerbRetract, l) {
			key += ".sent"
		}
	}
	if !lang.Has(key) {
		key = "refused.unknown"
	}
	filled := func(name, fallback string) string {
		if args[name] != "" {
			return args[name]
		}
		return fallback
	}
	label := filled("label", filled("field", tr(l, "what.field")))
	pairs := []string{
		"by", filled("by", tr(l, "somebody")),
		"verb", filled("verb", tr(l, "verb.other")),
		"what", filled("what", tr(l, "what.other")),
		"field", filled("field", label), "label", label,
		"until", filled("until", span(10*time.Minute, l)),
		"say", filled("say", tr(l, "typed.show")),
	}
	for k, v := range args {
		switch k {
		case "by", "verb", "what", "field", "label", "until", "say":
		default:
			pairs = append(pairs, k, v)
		}
	}
	return tr(l, key, pairs...)
}

// RefusalArgs is what Refused needs to turn a refusal's arguments into words.
type RefusalArgs struct {
	Args map[string]string             // as in tickets.Error
	Name func(tickets.PersonID) string // display name of a person; may be nil
	Now  tickets.Time
	Zone *time.Location
	Act  Act            // what was refused; NotFound offers it on Near again
	Near []tickets.Link // tickets that may have been meant, the likeliest first
}

// Refused tells one person why something was not done, in private.
func Refused(code tickets.Code, a RefusalArgs, l Lang) Card {
	c := Card{Lang: l, Tone: Alarm, Title: tr(l, "refused.title"), Body: Sentence(string(code), a.words(l), l)}
	switch code {
	case tickets.NotFound:
		if len(a.Near) == 0 || a.Act.Verb == "" {
			break
		}
		for i, n := range a.Near[:min(len(a.Near), 3)] {
			act := a.Act
			act.Ticket, act.Version = n.Ticket, 0
			yes := Action{Act: act, Label: tr(l, "do.yes_near", "number", strconv.FormatInt(n.Number, 10))}
			if i == 0 {
				yes = primary(yes)
			}
			c.Actions = append(c.Actions, yes)
		}
	case tickets.Stale, tickets.AlreadyClaimed, tickets.WrongState, tickets.NotYours:
		if a.Act.Ticket == "" {
			break
		}
		if code == tickets.WrongState && a.Args["status"] == string(tickets.New) && ownersVerb[a.Act.Verb] {
			c.Actions = append(c.Actions, primary(Action{Act: Act{Verb: tickets.VerbClaim, Ticket: a.Act.Ticket}, Label: tr(l, "do.claim")}))
		}
		c.Actions = append(c.Actions, Action{Act: Act{Verb: tickets.VerbShow, Ticket: a.Act.Ticket}, Label: tr(l, "do.show")})
	case tickets.FieldRequired, tickets.EmptyText, tickets.NoSuchPerson, tickets.NotAnAgent, tickets.NoSuchTeam, tickets.NoSuchType, tickets.BadTime, tickets.BadValue:
		// What was said is not enough: the form asks for all of it.
		switch _, asks := formsByVerb[a.Act.Verb]; {
		case a.Act.Verb == tickets.VerbOpen:
			c.Actions = []Action{openButton(l)}
		case asks && a.Act.Ticket != "":
			c.Actions = []Action{{
				Act: Act{Verb: a.Act.Verb, Ticket: a.Act.Ticket, Arg: a.Act.Arg, Form: true}, Label: tr(l, known("do.", string(a.Act.Verb), "show")), Style: Primary,
			}}
		}
	}
	return c
}

// ownersVerb are those that whoever claims the ticket can use.
var ownersVerb = map[tickets.Verb]bool{
	tickets.VerbSolve: true, tickets.VerbHold: true, tickets.VerbRelease: true, tickets.VerbConsult: true,
}

// words turns ids, codes and numbers into what people read.
func (a RefusalArgs) words(l Lang) map[string]string {
	out := make(map[string]string, len(a.Args)+1)
	for k, v := range a.Args {
		switch k {
		case "by":
			if v = a.name(v); v == "" {
				continue
			}
		case "verb":
			v = VerbWord(tickets.Verb(v), l)
		case "status":
			v = statusWord(tickets.Status(v), l)
		case "field":
			if lang.Has("what." + v) {
				v = tr(l, "what."+v)
			}
		case "what":
			v = tr(l, known("what.", v, "other"))
		case "why":
			if lang.Has("why." + v) {
				v = tr(l, "why."+v)
			}
		case "until":
			micros, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				continue
			}
			v = lang.When(string(l), tickets.Time(micros).Go(), a.Now.Go(), a.Zone)
		case "number", "near":
			if len(v) > 0 && v[0] == '#' {
				v = v[1:]
			}
		}
		out[k] = v
	}
	// The example is what this person was about to say.
	out["say"] = tr(l, known("typed.", string(a.Act.Verb), "show"))
	if len(a.Near) > 0 {
		out["near"] = strconv.FormatInt(a.Near[0].Number, 10)
	}
	return out
}

func (a RefusalArgs) name(id string) string {
	if a.Name == nil {
		return ""
	}
	return a.Name(tickets.PersonID(id))
}

// Hint is one short private sentence.
func Hint(text string, l Lang) Card { return Card{Lang: l, Title: text} }
