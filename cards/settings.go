package cards

import "github.com/paidan/paidan/tickets"

// VerbSettings is what the buttons of a settings card stand for; Act.Arg is
// "intake:<desk>", "triage:<desk>" or "none:".
const VerbSettings tickets.Verb = "settings"

// SettingLanguage begins the Arg of a button that changes a group's language:
// "language:en".
const SettingLanguage = "language"

// Settings says what a group is used for, and offers the other uses. Without
// desks it says that settings are made in the group itself.
func Settings(desks []tickets.Desk, g tickets.Group, l Lang) Card {
	c := Card{Lang: l, Title: tr(l, "settings.title")}
	if len(desks) == 0 {
		c.Body = tr(l, "settings.in_group")
		return c
	}
	c.Body = tr(l, "settings.unused")
	for _, d := range desks {
		for _, use := range []string{"intake", "triage"} {
			if g.Desk == d.Key && g.Use == use {
				c.Tone, c.Body = Good, tr(l, "settings."+use, "desk", d.Name)
				c.Facts = []Fact{{Label: tr(l, "settings.level"), Value: tr(l, known("level.", g.Level, "standard"))}}
				continue
			}
			c.Actions = append(c.Actions, Action{
				Act: Act{Verb: VerbSettings, Arg: use + ":" + string(d.Key)}, Label: tr(l, "do.bind_"+use, "desk", d.Name),
			})
		}
	}
	if g.Desk != "" {
		other := EN
		if LangOf(g.Locale) == EN && g.Locale != "" || g.Locale == "" && l == EN {
			other = ZH
		}
		c.Actions = append(c.Actions, Action{Act: Act{Verb: VerbSettings, Arg: SettingLanguage + ":" + string(other)}, Label: tr(other, "do.language")})
		c.Actions = append(c.Actions, Action{Act: Act{Verb: VerbSettings, Arg: "none:"}, Label: tr(l, "do.unbind"), Style: Danger, Confirm: tr(l, "settings.unbind")})
	}
	desk := "" // a desk must be named where there are several
	if len(desks) > 1 {
		desk = " " + string(desks[0].Key)
	}
	c.Note = tr(l, "settings.note", "desk", desk)
	return c
}

// NobodyHears adds to a settings card that the desk has no group yet that sees
// its tickets.
func NobodyHears(c Card, l Lang) Card {
	c.Tone, c.Body = Alarm, joinBody(c.Body, tr(l, "settings.no_triage"))
	return c
}

// LevelSet says how much is posted in a group from now on.
func LevelSet(level string, l Lang) Card {
	return Hint(tr(l, "level.set", "level", tr(l, known("level.", level, "standard"))), l)
}

// AdminMade greets the first admin.
func AdminMade(l Lang) Card {
	return Card{Lang: l, Tone: Good, Title: tr(l, "admin.title"), Body: tr(l, "admin.body")}
}
