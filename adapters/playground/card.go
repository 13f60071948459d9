package playground

import (
	"net/url"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// card is a card as the page gets it: what it means, in JSON. The page draws all
// of it as text nodes, so nothing in it can become markup.
type card struct {
	Lang    string   `json:"lang,omitempty"`
	Tone    string   `json:"tone,omitempty"`
	Title   string   `json:"title,omitempty"`
	Badges  []string `json:"badges,omitempty"`
	Facts   []fact   `json:"facts,omitempty"`
	Body    string   `json:"body,omitempty"`
	Rows    []row    `json:"rows,omitempty"`
	Actions []action `json:"actions,omitempty"`
	More    []action `json:"more,omitempty"`
	Form    *form    `json:"form,omitempty"`
	Note    string   `json:"note,omitempty"`
	Alt     string   `json:"alt,omitempty"`
	Ping    []string `json:"ping,omitempty"`
	Ticket  string   `json:"ticket,omitempty"`
	Version int64    `json:"version,omitempty"`
}

type fact struct {
	Label  string  `json:"label"`
	Value  string  `json:"value"`
	Wide   bool    `json:"wide,omitempty"`
	Action *action `json:"action,omitempty"`
}

type row struct {
	Tone    string   `json:"tone,omitempty"`
	Text    string   `json:"text"`
	Detail  string   `json:"detail,omitempty"`
	Actions []action `json:"actions,omitempty"`
}

type action struct {
	Verb    string   `json:"verb,omitempty"` // for tests and styles only; the token is what counts
	Label   string   `json:"label"`
	Style   string   `json:"style,omitempty"`
	Confirm string   `json:"confirm,omitempty"`
	Options []option `json:"options,omitempty"`
	URL     string   `json:"url,omitempty"`
	Token   string   `json:"token,omitempty"`
}

type option struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

type form struct {
	Verb   string  `json:"verb,omitempty"`
	Token  string  `json:"token"`
	Submit string  `json:"submit,omitempty"`
	Inputs []input `json:"inputs"`
}

type input struct {
	Name     string   `json:"name"`
	Label    string   `json:"label"`
	Kind     string   `json:"kind"`
	Required bool     `json:"required,omitempty"`
	Value    string   `json:"value,omitempty"`
	Hint     string   `json:"hint,omitempty"`
	Options  []option `json:"options,omitempty"`
	Max      int      `json:"max,omitempty"`
	Error    string   `json:"error,omitempty"`
	Reload   bool     `json:"reload,omitempty"`
}

// draw fits c first: the bot has done so already, but a page that a forgotten
// limit makes endless helps nobody.
func (a *Adapter) draw(c cards.Card) *card {
	c = cards.Fit(c, a.Caps())
	out := &card{
		Lang: string(c.Lang), Tone: string(c.Tone), Title: c.Title, Badges: c.Badges, Body: c.Body,
		Actions: drawActions(c.Actions), More: drawActions(c.More), Note: c.Note, Alt: c.Alt, Ping: c.Ping,
		Ticket: string(c.Ticket), Version: c.Version,
	}
	for _, f := range c.Facts {
		d := fact{Label: f.Label, Value: f.Value, Wide: f.Wide}
		if f.Action != nil {
			x := drawAction(*f.Action)
			d.Action = &x
		}
		out.Facts = append(out.Facts, d)
	}
	for _, r := range c.Rows {
		out.Rows = append(out.Rows, row{Tone: string(r.Tone), Text: r.Text, Detail: r.Detail, Actions: drawActions(r.Actions)})
	}
	if c.Form != nil {
		out.Form = drawForm(*c.Form)
	}
	return out
}

func drawForm(f cards.Form) *form {
	out := &form{Verb: string(f.Act.Verb), Token: f.Token, Submit: f.Submit, Inputs: []input{}}
	for _, i := range f.Inputs {
		out.Inputs = append(out.Inputs, input{
			Name: i.Name, Label: i.Label, Kind: string(i.Kind), Required: i.Required, Value: i.Value, Hint: i.Hint,
			Options: drawOptions(i.Options), Max: i.Max, Error: i.Error, Reload: i.Reload,
		})
	}
	return out
}

func drawActions(in []cards.Action) []action {
	var out []action
	for _, a := range in {
		out = append(out, drawAction(a))
	}
	return out
}

func drawAction(a cards.Action) action {
	return action{
		Verb: string(a.Act.Verb), Label: a.Label, Style: string(a.Style), Confirm: a.Confirm,
		Options: drawOptions(a.Options), URL: safeURL(a.URL), Token: a.Token,
	}
}

func drawOptions(in []cards.Option) []option {
	var out []option
	for _, o := range in {
		out = append(out, option(o))
	}
	return out
}

// safeURL lets only links through that lead to a web page.
func safeURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return ""
	}
	return s
}

// answer is what the bot says to an event, as the adapter's Reply writes it and
// the chat server reads it.
type answer struct {
	Echo   string            `json:"echo,omitempty"`
	Toast  string            `json:"toast,omitempty"`
	Card   *card             `json:"card,omitempty"`
	Form   *card             `json:"form,omitempty"`
	Hint   *card             `json:"hint,omitempty"`
	Errors map[string]string `json:"errors,omitempty"`
}

func (a *Adapter) drawReply(r bot.Reply) answer {
	out := answer{Echo: r.Echo, Toast: r.Toast, Errors: r.Errors}
	if r.Card != nil {
		out.Card = a.draw(*r.Card)
	}
	if r.Form != nil {
		out.Form = a.draw(*r.Form)
	}
	if r.Hint != nil {
		out.Hint = a.draw(*r.Hint)
	}
	return out
}
