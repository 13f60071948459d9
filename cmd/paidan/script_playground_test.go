//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/paidan/paidan/adapters/playground"
	"github.com/paidan/paidan/cards"
)

// playgroundChat is the chat page, driven by what its script calls.
type playgroundChat struct {
	stage *stage
	url   string

	mu     sync.Mutex // guards what follows
	toasts []shown
	forms  map[string]*pageForm // by person
}

// pageForm is a form that is open in somebody's page.
type pageForm struct {
	card   pageCard
	ctx    map[string]any // where it was opened
	errors map[string]string
}

type pageCard struct {
	Tone, Title, Body, Note string
	Badges, Ping            []string
	Facts                   []struct {
		Label, Value string
		Wide         bool
		Action       *pageAction
	}
	Rows []struct {
		Tone, Text, Detail string
		Actions            []pageAction
	}
	Actions, More []pageAction
	Form          *struct {
		Token, Submit string
		Inputs        []struct {
			Name, Label, Kind, Value, Hint, Error string
			Required                              bool
			Options                               []struct{ Label, Value string }
		}
	}
}

type pageAction struct {
	Label, Confirm, URL, Token string
	Options                    []struct{ Label, Value string }
}

func (c *playgroundChat) name() string   { return "playground" }
func (c *playgroundChat) prefix() string { return "" }
func (c *playgroundChat) configure(conf string) string {
	if !strings.Contains(conf, "playground:") {
		conf += "\nplayground: on\n"
	}
	return conf
}

func (c *playgroundChat) connect(url string) {
	c.url = url + "/playground/api/"
	if c.forms == nil {
		c.forms = map[string]*pageForm{}
	}
}

func (c *playgroundChat) disconnect() { http.DefaultClient.CloseIdleConnections() }

var pageConvs = map[string]string{playground.CustomerGroup: "east", playground.DeskGroup: "desk", playground.ManagersGroup: "mgr"}

func pageAlias(conv string) string {
	if who, ok := strings.CutPrefix(conv, "p-"); ok {
		return "dm " + nameOf(who)
	}
	return pageConvs[conv]
}

func (c *playgroundChat) messages() []shown {
	var rows []struct {
		ID      int64
		Conv    string
		Thread  int64
		Author  string
		OnlyFor string `db:"only_for"`
		Body    string
		Card    string
	}
	db, ctx := c.stage.now.db, c.stage.t.Context()
	if err := db.Select(ctx, &rows, `SELECT id, conv, thread, author, only_for, body, card FROM playground_messages WHERE NOT deleted ORDER BY id`); err != nil {
		c.stage.t.Fatal(err)
	}
	var files []struct {
		Message int64
		Name    string
		Size    int64
	}
	if err := db.Select(ctx, &files, `SELECT message, name, size FROM playground_files ORDER BY message, place`); err != nil {
		c.stage.t.Fatal(err)
	}
	var all []shown
	for _, r := range rows {
		m := shown{key: "playground/" + strconv.FormatInt(r.ID, 10), conv: pageAlias(r.Conv), only: r.OnlyFor, bot: r.Author == "", text: r.Body, lines: []string{r.Body}}
		if r.Thread != 0 && m.only == "" {
			m.root = "playground/" + strconv.FormatInt(r.Thread, 10)
		}
		if r.Card != "" {
			card := readPageCard(r.Card)
			m.lines, m.labels = card.lines(), card.labels()
			m.press = c.presser(card, map[string]any{"message": r.ID}, r.Conv, r.Thread)
		}
		for _, f := range files {
			if f.Message == r.ID && m.bot {
				m.lines = []string{fmt.Sprintf("📎 %s (%d)", f.Name, f.Size)}
			}
		}
		all = append(all, m)
	}
	c.mu.Lock()
	all = append(all, c.toasts...)
	c.mu.Unlock()
	var homes []struct{ ID, Home string }
	if err := db.Select(ctx, &homes, `SELECT id, home FROM playground_people WHERE home <> '' ORDER BY place`); err != nil {
		c.stage.t.Fatal(err)
	}
	for _, h := range homes {
		card := readPageCard(h.Home)
		all = append(all, shown{
			key: "playground/home/" + h.ID, conv: "home " + nameOf(h.ID), bot: true, lines: card.lines(), labels: card.labels(),
			press: c.presser(card, map[string]any{}, "p-"+h.ID, 0),
		})
	}
	order := func(m shown) int {
		i := slices.IndexFunc(rooms, func(r struct {
			alias, name string
			members     []string
		}) bool {
			return r.alias == m.conv
		})
		if m.only != "" {
			return 200
		}
		if i >= 0 {
			return i
		}
		for j, p := range cast {
			if strings.HasSuffix(m.conv, " "+p.name) {
				i = 100 + j
			}
		}
		return i
	}
	slices.SortStableFunc(all, func(a, b shown) int { return order(a) - order(b) })
	return placed(all, "")
}

func readPageCard(text string) pageCard {
	var c pageCard
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		c.Title = err.Error()
	}
	return c
}

// lines says what the page draws, in the order in which Slack's adapter does.
func (c pageCard) lines() []string {
	var out []string
	if c.Title != "" {
		out = append(out, strings.TrimSpace(cards.Tone(c.Tone).Emoji()+" "+c.Title))
	}
	if len(c.Badges) > 0 {
		out = append(out, strings.Join(c.Badges, " · "))
	}
	if len(c.Ping) > 0 {
		out = append(out, "@"+nameOf(c.Ping[0]))
	}
	for _, f := range c.Facts {
		value := f.Value
		if !f.Wide && f.Action == nil {
			value = strings.ReplaceAll(value, "\n", " / ")
		}
		lines := nonEmptyLines(f.Label + "  " + value)
		if f.Action != nil {
			lines[len(lines)-1] += " [" + f.Action.Label + "]"
		}
		out = append(out, lines...)
	}
	out = append(out, nonEmptyLines(c.Body)...)
	for _, r := range c.Rows {
		lines := nonEmptyLines(strings.TrimSpace(cards.Tone(r.Tone).Emoji()+" "+r.Text) + "\n" + r.Detail)
		if len(r.Actions) == 1 {
			lines[len(lines)-1] += " [" + r.Actions[0].Label + "]"
		}
		out = append(out, lines...)
		if len(r.Actions) > 1 {
			out = append(out, pageButtons(r.Actions, nil))
		}
	}
	if len(c.Actions)+len(c.More) > 0 {
		out = append(out, pageButtons(c.Actions, c.More))
	}
	if c.Note != "" {
		out = append(out, "("+c.Note+")")
	}
	return out
}

func pageButtons(actions, more []pageAction) string {
	var words, rest []string
	for _, a := range actions {
		words = append(words, a.word())
	}
	for _, a := range more {
		if len(a.Options) > 0 || a.Confirm != "" || a.URL != "" || len(a.Token) > 75 {
			words = append(words, a.word())
		} else {
			rest = append(rest, a.Label)
		}
	}
	line := strings.Join(words, " ")
	if len(rest) > 0 {
		line += " ⋯ " + strings.Join(rest, ", ")
	}
	return line
}

func (a pageAction) word() string {
	if len(a.Options) > 0 {
		return "[" + a.Label + "▾]"
	}
	return "[" + a.Label + "]"
}

func (c pageCard) actions() []pageAction {
	out := slices.Concat(c.Actions, c.More)
	for _, f := range c.Facts {
		if f.Action != nil {
			out = append(out, *f.Action)
		}
	}
	for _, r := range c.Rows {
		out = append(out, r.Actions...)
	}
	return out
}

func (c pageCard) labels() []string {
	var out []string
	for _, a := range c.actions() {
		out = append(out, a.Label)
	}
	return out
}

func (c *playgroundChat) presser(card pageCard, target map[string]any, conv string, thread int64) func(who, label, option string) error {
	return func(who, label, option string) error {
		for _, a := range card.actions() {
			if a.Label != label {
				continue
			}
			body := map[string]any{"as": who, "token": a.Token}
			for k, v := range target {
				body[k] = v
			}
			for _, o := range a.Options {
				if o.Label == option || o.Value == option {
					body["value"] = o.Value
				}
			}
			ctx := map[string]any{"conv": conv}
			if thread != 0 {
				ctx["thread"] = thread
			}
			return c.post("click", body, ctx)
		}
		return fmt.Errorf("nothing there is called %q", label)
	}
}

// post calls the page's API as its script does, and keeps what it is told.
func (c *playgroundChat) post(what string, body, ctx map[string]any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	resp, err := http.Post(c.url+what, "application/json", bytes.NewReader(data))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var out struct {
		Pending     bool
		Error, Says string
		Reply       *struct {
			Toast  string
			Form   *pageCard
			Errors map[string]string
		}
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	switch {
	case out.Error != "":
		return errors.New(out.Says)
	case out.Pending:
		return errors.New("the bot does not answer")
	}
	who, _ := body["as"].(string)
	c.mu.Lock()
	defer c.mu.Unlock()
	if out.Reply == nil {
		return nil
	}
	switch r := out.Reply; {
	case r.Form != nil:
		c.forms[who] = &pageForm{card: *r.Form, ctx: ctx, errors: r.Errors}
	case len(r.Errors) > 0 && c.forms[who] != nil:
		c.forms[who].errors = r.Errors
	case what == "submit":
		delete(c.forms, who)
	}
	if out.Reply.Toast != "" {
		c.toasts = append(c.toasts, shown{key: fmt.Sprintf("playground/toast/%d", len(c.toasts)), only: who, bot: true, lines: []string{out.Reply.Toast}})
	}
	return nil
}

func (c *playgroundChat) form(who string) ([]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.forms[who]
	if f == nil {
		return nil, false
	}
	title := []rune(f.card.Title)
	if len(title) > 24 {
		title = append(title[:23], '…')
	}
	out := append([]string{string(title) + " → " + f.card.Form.Submit}, nonEmptyLines(f.card.Body)...)
	for _, i := range f.card.Form.Inputs {
		in := formInput{Name: i.Name, Label: i.Label, Value: i.Value, Hint: i.Hint, Error: f.errors[i.Name], Required: i.Required}
		for _, o := range i.Options {
			in.Options = append(in.Options, o.Label)
		}
		out = append(out, in.line())
	}
	return out, true
}

func (c *playgroundChat) conv(a target) string {
	if a.conv == "dm" {
		return playground.PrivateChat(a.who)
	}
	for id, alias := range pageConvs {
		if alias == a.conv {
			return id
		}
	}
	return a.conv
}

func pageID(key string) int64 {
	n, err := strconv.ParseInt(strings.TrimPrefix(key, "playground/"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (c *playgroundChat) at(a target) (map[string]any, error) {
	m, err := find(c.messages(), a, func(m shown) bool { return m.only == "" })
	return map[string]any{"as": a.who, "conv": c.conv(a), "message": pageID(m.key)}, err
}

func (c *playgroundChat) say(a target, text string, names []string) error {
	root, err := thread(c.messages(), a)
	if err != nil {
		return err
	}
	body := map[string]any{"as": a.who, "conv": c.conv(a), "text": text}
	if root != "" {
		body["thread"] = pageID(root)
	}
	var files []string
	for _, n := range names {
		at := c.url + "upload?" + url.Values{"as": {a.who}, "conv": {c.conv(a)}, "name": {n}}.Encode()
		resp, err := http.Post(at, "application/octet-stream", bytes.NewReader(c.stage.files[n]))
		if err != nil {
			return err
		}
		var f struct{ ID string }
		err = errors.Join(json.NewDecoder(resp.Body).Decode(&f), resp.Body.Close())
		if err != nil {
			return err
		}
		files = append(files, f.ID)
	}
	if files != nil {
		body["files"] = files
	}
	return c.post("say", body, body)
}

func (c *playgroundChat) slash(a target, text string) error {
	body := map[string]any{"as": a.who, "conv": c.conv(a), "text": strings.TrimSpace("/工单 " + text)}
	return c.post("say", body, map[string]any{"conv": c.conv(a)})
}

func (c *playgroundChat) press(a target, label, option string) error {
	m, err := c.stage.pressable(c.messages(), a, label)
	if err != nil {
		return err
	}
	return m.press(a.who, label, option)
}

func (c *playgroundChat) fill(who string, change bool, values map[string]string) error {
	c.mu.Lock()
	f := c.forms[who]
	c.mu.Unlock()
	if f == nil {
		return errors.New("no form is open")
	}
	all := map[string]string{}
	for _, in := range f.card.Form.Inputs {
		v, given := values[in.Name]
		if name, ok := strings.CutPrefix(v, "@"); ok {
			v = idOf(name)
		}
		if !given {
			v = in.Value
		}
		if in.Required && v == "" && !change {
			return fmt.Errorf("view_submission: input %q is required", in.Name)
		}
		all[in.Name] = v
	}
	body := map[string]any{"as": who, "token": f.card.Form.Token, "values": all}
	for k, v := range f.ctx {
		if k == "conv" || k == "thread" {
			body[k] = v
		}
	}
	what := "submit"
	if change {
		what = "reload"
	}
	return c.post(what, body, f.ctx)
}

func (c *playgroundChat) react(a target, emoji string, on bool) error {
	body, err := c.at(a)
	if err != nil {
		return err
	}
	body["emoji"], body["on"] = emoji, on
	return c.post("react", body, nil)
}

func (c *playgroundChat) edit(a target, text string) error {
	body, err := c.at(a)
	if err != nil {
		return err
	}
	body["text"] = text
	return c.post("edit", body, nil)
}

func (c *playgroundChat) unsay(a target) error {
	body, err := c.at(a)
	if err != nil {
		return err
	}
	return c.post("delete", body, nil)
}

func (c *playgroundChat) shortcut(a target) error {
	body := map[string]any{"as": a.who, "conv": c.conv(a)}
	if a.quoted != "" {
		var err error
		if body, err = c.at(a); err != nil {
			return err
		}
	}
	return c.post("shortcut", body, map[string]any{"conv": c.conv(a)})
}

func (c *playgroundChat) member(target, bool) error { return errors.New("nobody joins the playground") }
func (c *playgroundChat) addBot(target) error       { return errors.New("the bot is in every group") }
func (c *playgroundChat) home(who string) error {
	return c.post("home", map[string]any{"as": who}, nil)
}
func (c *playgroundChat) fault(string, []string) error {
	return errors.New("the playground has no faults")
}
