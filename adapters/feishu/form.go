package feishu

import (
	"strings"
	"time"

	"github.com/paidan/paidan/cards"
)

// A form is a container of a card: https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/card-json-v2-components/containers/form-container
// What stands in it tells nobody before it is sent. A choice that changes the
// rest of the form therefore stands above it, calls back by itself, and what was
// chosen travels with the button that sends the form.

const formName = "form"

// form draws the questions below what is there.
func (d *drawing) form(f cards.Form) {
	submit, _, choose := words(d.lang)
	if strings.TrimSpace(f.Submit) != "" {
		submit = f.Submit
	}
	carried := map[string]string{string(d.at): f.Token}
	if d.group != "" {
		carried[keyOrigin] = d.group
	}
	// The button is drawn first: a form without one is refused.
	send := &element{tag: "button", name: "submit", text: label(d.fit(submit, maxLabel), maxLabel), kind: "primary", action: "submit", back: carried}
	form := &element{tag: "form", name: formName}
	d.room -= form.count() + send.count()
	var names []string
	var chosen string
	taken := map[string]bool{formName: true, send.name: true}
	for _, in := range f.Inputs {
		if in.Name == "" || len(in.Name) > 100 || taken[in.Name] || strings.ContainsAny(in.Name, "\n= ") {
			continue
		}
		taken[in.Name] = true
		if in.Reload && chosen == "" {
			if menu := d.menu(in, choose); menu != nil {
				menu.back = map[string]string{string(d.at): f.Token, keyReload: in.Name}
				if d.group != "" {
					menu.back[keyOrigin] = d.group
				}
				above := &drawing{room: d.room}
				above.question(in, menu)
				d.body, d.room = append(d.body, above.body...), above.room
				chosen = in.Name + "=" + menu.option + "\n"
				continue
			}
		}
		field, kind := d.field(in, choose)
		inside := &drawing{room: d.room, left: d.left}
		if !inside.question(in, field) {
			break
		}
		d.room, d.left = inside.room, inside.left
		form.elements = append(form.elements, inside.body...)
		names = append(names, kind+" "+in.Name)
	}
	if chosen != "" {
		carried[keyChosen] = chosen
	}
	// Never empty: it is what tells a form from a button.
	carried[keyInputs] = strings.Join(names, "\n") + "\n"
	form.elements = append(form.elements, send)
	d.body = append(d.body, form)
}

// question puts an input with its label above it, and what is wrong with the
// value below; it reports whether there was room.
func (d *drawing) question(in cards.Input, field *element) bool {
	d.left = max(d.left, 400) // what is asked is said, however long the rest is
	title := in.Label
	if strings.TrimSpace(title) == "" {
		title = in.Name
	}
	if title = d.fit(oneLine(title), 120); in.Required {
		title += " *"
	}
	all := []*element{div(plain(title)), field}
	if field.tag == "checker" { // it has its words beside it
		all = all[1:]
	}
	if in.Error != "" {
		says := plain("⚠ " + d.fit(oneLine(in.Error), 300))
		says.size, says.color = "notation", "red"
		all = append(all, div(says))
	}
	if hint := oneLine(clean(in.Hint)); hint != "" && (field.placeholder == nil || field.placeholder.content != cut(hint, maxLabel)) {
		all = append(all, div(small(plain(d.fit(hint, 200)))))
	}
	n := 0
	for _, e := range all {
		n += e.count()
	}
	if n > d.room {
		return false
	}
	d.room -= n
	d.body = append(d.body, all...)
	return true
}

// menu is a choice; nil when there is nothing to choose from.
func (d *drawing) menu(in cards.Input, choose string) *element {
	options := d.options(in.Options)
	for len(options)*2+12 > d.room && len(options) > 0 {
		options = options[:len(options)-1]
	}
	if len(options) == 0 {
		return nil
	}
	menu := &element{tag: "select_static", name: in.Name, placeholder: plain(choose), options: options}
	for _, o := range options {
		if o.value == in.Value {
			menu.option = o.value
		}
	}
	return menu
}

// field draws an input, and says how its value will come back.
func (d *drawing) field(in cards.Input, choose string) (*element, string) {
	e := &element{name: in.Name, required: in.Required}
	switch in.Kind {
	case cards.InputChoice:
		if menu := d.menu(in, choose); menu != nil {
			menu.required = in.Required
			return menu, textInput
		}
	case cards.InputPerson:
		// In a private chat the picker would offer the two who are in it.
		e.tag, e.placeholder = "select_person", plain(choose)
		for _, id := range d.people {
			if len(e.options) < maxOptions {
				e.options = append(e.options, option{value: id})
			}
		}
		if isID(in.Value, "ou_") {
			e.option = in.Value
		}
		return e, textInput
	case cards.InputDate:
		e.tag, e.placeholder = "date_picker", plain(choose)
		if _, err := time.Parse(time.DateOnly, in.Value); err == nil {
			e.date = in.Value
		}
		return e, dateInput
	case cards.InputTime:
		e.tag, e.placeholder = "picker_datetime", plain(choose)
		if t, err := time.Parse("2006-01-02T15:04", in.Value); err == nil {
			e.dateTime = t.Format("2006-01-02 15:04")
		}
		return e, timeInput
	case cards.InputCheck:
		// A checker has its words beside it and cannot be required.
		e.tag, e.required, e.checked, e.text = "checker", false, in.Value == "true", label(d.fit(in.Label, maxLabel), maxLabel)
		return e, checkInput
	}
	e.tag, e.inputType, e.maxLength = "input", "text", maxInput
	if in.Max > 0 {
		e.maxLength = min(in.Max, maxInput)
	}
	if in.Kind == cards.InputText {
		e.inputType, e.rows = "multiline_text", 4
	}
	if hint := oneLine(clean(in.Hint)); hint != "" {
		e.placeholder = plain(cut(hint, maxLabel))
		d.left -= weight(e.placeholder.content)
	}
	if v := clean(in.Value); v != "" {
		if in.Kind != cards.InputText {
			v = oneLine(v)
		}
		e.value = trim(cut(v, e.maxLength), max(d.left, 100))
		d.left -= weight(e.value)
	}
	return e, textInput
}
