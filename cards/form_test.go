package cards_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

func TestHoldChoice(t *testing.T) {
	zone := time.FixedZone("CST", 8*3600)
	at := func(day, hour, minute int) tickets.Time {
		return tickets.At(time.Date(2026, 11, day, hour, minute, 0, 0, zone))
	}
	friday := at(20, 14, 20)
	for _, tt := range []struct {
		choice, custom string
		now, until     tickets.Time
		customer, ok   bool
	}{
		{"30m", "", friday, at(20, 14, 50), false, true},
		{"2h", "", friday, at(20, 16, 20), false, true},
		{cards.UntilTomorrow, "", friday, at(21, 9, 0), false, true},
		{cards.UntilMonday, "", friday, at(23, 9, 0), false, true},
		{cards.UntilMonday, "", at(23, 8, 0), at(30, 9, 0), false, true}, // on a Monday: the next one
		{cards.UntilMonday, "", at(22, 23, 59), at(23, 9, 0), false, true},
		{cards.UntilCustomer, "", friday, 0, true, true},
		{cards.UntilOpen, "", friday, 0, false, true},
		{cards.UntilCustom, "2026-11-25T08:30", friday, at(25, 8, 30), false, true},
		{cards.UntilCustom, "", friday, 0, false, false},
		{cards.UntilCustom, "soon", friday, 0, false, false},
		{"-2h", "", friday, 0, false, false},
		{"", "", friday, 0, false, false},
		{"whenever", "", friday, 0, false, false},
	} {
		until, customer, ok := cards.HoldChoice(tt.choice, tt.custom, tt.now, zone)
		if ok != tt.ok || ok && (until != tt.until || customer != tt.customer) {
			t.Errorf("HoldChoice(%q, %q) = %s, %v, %v; want %s, %v, %v", tt.choice, tt.custom, until.Go(), customer, ok, tt.until.Go(), tt.customer, tt.ok)
		}
	}
}

func TestEveryChoiceOfTheHoldFormCanBeRead(t *testing.T) {
	for _, in := range cards.HoldForm(views(cards.ZH)["active"], cards.ZH).Form.Inputs {
		for _, o := range in.Options {
			if _, _, ok := cards.HoldChoice(o.Value, "2026-12-01T10:00", cards.SampleNow, nil); !ok {
				t.Errorf("%s (%s) is no choice", o.Value, o.Label)
			}
		}
	}
}

func TestSplitTags(t *testing.T) {
	got := cards.SplitTags(" ERP,上海、#VPN；ERP\u3000 \uff03急 ")
	if diff := cmp.Diff([]string{"ERP", "上海", "VPN", "急"}, got); diff != "" {
		t.Error(diff)
	}
	if got := cards.SplitTags(" , #"); got != nil {
		t.Errorf("%q, want none", got)
	}
}

func TestTheTypeDrivesTheOpenForm(t *testing.T) {
	desk := views(cards.EN)["new"].Desk
	names := func(c cards.Card) string {
		var out []string
		for _, in := range c.Form.Inputs {
			n := in.Name
			if in.Required {
				n += "*"
			}
			out = append(out, n)
		}
		return strings.Join(out, " ")
	}
	if got, want := names(cards.OpenForm(desk, "", tickets.Open{}, cards.EN)), "type* title* text priority*"; got != want {
		t.Errorf("no type yet: %q, want %q", got, want)
	}
	typed := cards.OpenForm(desk, "account", tickets.Open{Title: "T", Body: "B", Priority: 2, Fields: map[string]string{"order": "SO-1"}}, cards.EN)
	if got, want := names(typed), "type* title* text priority* field:phone* field:order field:level"; got != want {
		t.Errorf("account: %q, want %q", got, want)
	}
	values := map[string]string{}
	for _, in := range typed.Form.Inputs {
		values[in.Name] = in.Value
		if in.Reload != (in.Name == cards.InType) {
			t.Errorf("%s reloads: %v", in.Name, in.Reload)
		}
	}
	want := map[string]string{"type": "account", "title": "T", "text": "B", "priority": "P2", "field:phone": "", "field:order": "SO-1", "field:level": ""}
	if diff := cmp.Diff(want, values); diff != "" {
		t.Error(diff)
	}
	desk.Types = desk.Types[:1]
	if got, want := names(cards.OpenForm(desk, "", tickets.Open{}, cards.EN)), "title* text priority* field:phone* field:order field:level"; got != want {
		t.Errorf("the only type: %q, want %q", got, want)
	}
}

func TestSolvingAsksForWhatIsMissing(t *testing.T) {
	v := views(cards.EN)["active"]
	v.Fields = nil
	var asked []string
	for _, in := range cards.SolveForm(v, cards.EN).Form.Inputs {
		asked = append(asked, in.Name)
	}
	if got, want := strings.Join(asked, " "), "text cause field:phone notify"; got != want {
		t.Errorf("asks for %q, want %q", got, want)
	}
}

func TestAMaskIsNeverFilledIn(t *testing.T) {
	v := views(cards.EN)["active"]
	in := cards.FieldForm(v, "phone", cards.EN).Form.Inputs[0]
	if in.Value != "" || in.Hint == "" {
		t.Errorf("input %+v: submitting the mask would store it", in)
	}
	if in := cards.FieldForm(v, "level", cards.EN).Form.Inputs[0]; in.Value != "VIP" {
		t.Errorf("input %+v: want the value filled in", in)
	}
}

func TestFormForRefusesWhatTheTicketHasNot(t *testing.T) {
	v := views(cards.EN)["active"]
	for _, tt := range []struct {
		verb tickets.Verb
		arg  string
	}{{tickets.VerbField, "nowhere"}, {tickets.VerbReveal, ""}, {tickets.VerbClaim, ""}, {tickets.VerbShow, ""}, {"", ""}} {
		if c, ok := cards.FormFor(tt.verb, v, tt.arg, cards.EN); ok {
			t.Errorf("%s %q: got %q", tt.verb, tt.arg, c.Title)
		}
	}
}

func TestErrorsStandBesideTheirInputs(t *testing.T) {
	form := cards.OpenForm(views(cards.EN)["new"].Desk, "account", tickets.Open{}, cards.EN)
	got := cards.WithErrors(form, map[string]string{cards.InTitle: "no title", "gone": "lost", "also": "and this"})
	last := got.Form.Inputs[len(got.Form.Inputs)-1]
	if got.Form.Inputs[1].Error != "no title" || last.Error != "and this lost" {
		t.Errorf("inputs %+v", got.Form.Inputs)
	}
	for _, in := range form.Form.Inputs {
		if in.Error != "" {
			t.Errorf("the original form changed: %+v", in)
		}
	}
	filled := cards.WithValues(form, map[string]string{cards.InTitle: "T", "gone": "x"})
	if filled.Form.Inputs[1].Value != "T" || form.Form.Inputs[1].Value != "" {
		t.Error("values go into a copy of the form")
	}
}
