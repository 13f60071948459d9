package tickets

import (
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxValue is the longest value of a field, in characters.
const maxValue = 2_000

var (
	numberForm = regexp.MustCompile(`^-?\d{1,15}(\.\d{1,6})?$`)
	phoneForm  = regexp.MustCompile(`^\+?\d{5,15}$`)
	orderForm  = regexp.MustCompile(`^[\pL\pN][\pL\pN._/#-]{2,63}$`)
)

// Check returns the value in canonical form, or a refusal that says what is
// wrong with it. An empty value is fine here: see complete for what must be there.
func (f Field) Check(v string) (string, error) {
	v = strings.TrimSpace(norm.NFC.String(v))
	if v == "" {
		return "", nil
	}
	if len([]rune(v)) > maxValue {
		return "", f.bad("long")
	}
	switch f.Kind {
	case FieldNumber:
		v = strings.ReplaceAll(norm.NFKC.String(v), ",", "")
		v = strings.TrimLeft(v, "¥￥$ ")
		if !numberForm.MatchString(v) {
			return "", f.bad("number")
		}
	case FieldChoice:
		if !slices.Contains(f.Options, v) {
			return "", f.bad("choice")
		}
	case FieldCascade:
		if !slices.Contains(f.Options, v) {
			return "", f.bad("choice")
		}
	case FieldDate:
		t, err := time.Parse("2006-01-02", norm.NFKC.String(v))
		if err != nil || t.Year() < 1900 || t.Year() > 2200 {
			return "", f.bad("date")
		}
		v = t.Format("2006-01-02")
	case FieldPhone:
		v = strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) || strings.ContainsRune("-().", r) {
				return -1
			}
			return r
		}, norm.NFKC.String(v))
		if !phoneForm.MatchString(v) {
			return "", f.bad("phone")
		}
	case FieldEmail:
		a, err := mail.ParseAddress(v)
		if err != nil || a.Name != "" || a.Address != v {
			return "", f.bad("email")
		}
	case FieldOrder:
		v = norm.NFKC.String(v)
		if !orderForm.MatchString(v) {
			return "", f.bad("order")
		}
	case FieldText, FieldPerson, FieldLocation, FieldDevice:
	}
	return v, nil
}

func (f Field) bad(why string) error {
	return Refuse(BadValue, "field", f.Key, "label", f.Label, "why", why)
}

// Show is the value as others than the one who reveals it may see it.
func (f Field) Show(v string) (shown string, masked bool) {
	switch {
	case v == "":
		return "", false
	case f.Kind == FieldPhone:
		return MaskPhone(v), true
	case f.Kind == FieldEmail:
		return MaskEmail(v), true
	}
	return v, false
}

// MaskPhone keeps the first three and the last four digits of a long number:
// 138****5678. Of a short one it keeps only the last two.
func MaskPhone(v string) string {
	r := []rune(v)
	switch {
	case len(r) >= 11:
		return string(r[:len(r)-8]) + "****" + string(r[len(r)-4:])
	case len(r) > 2:
		return "****" + string(r[len(r)-2:])
	}
	return "****"
}

// MaskEmail keeps the first character and the domain: z****@example.com.
func MaskEmail(v string) string {
	name, domain, ok := strings.Cut(v, "@")
	r := []rune(name)
	if !ok || len(r) == 0 {
		return "****"
	}
	return string(r[:1]) + "****@" + domain
}

// check returns the type and its fields in canonical form. Fields that the type
// does not have are refused, not dropped.
func (d *Desk) check(typ string, in map[string]string) (string, map[string]string, error) {
	if typ == "" && len(in) == 0 {
		return "", nil, nil
	}
	t, ok := d.TypeOf(typ)
	if !ok && (typ != "" || len(in) > 0) {
		return "", nil, Refuse(NoSuchType, "type", typ)
	}
	out := map[string]string{}
	for _, f := range t.Fields {
		v, err := f.Check(in[f.Key])
		if err != nil {
			return "", nil, err
		}
		if v == "" && f.Required && in != nil {
			return "", nil, Refuse(FieldRequired, "field", f.Key, "label", f.Label)
		}
		if v != "" {
			out[f.Key] = v
		}
	}
	for k := range in {
		if _, ok := d.fieldOf(typ, k); !ok {
			return "", nil, Refuse(NoSuchField, "field", k)
		}
	}
	if len(out) == 0 {
		out = nil
	}
	return t.Key, out, nil
}

// fitting is what of an older ticket's type and fields the desk still knows. A
// ticket that follows another must not fail because the forms have changed since.
func (d *Desk) fitting(typ string, fields map[string]string) (string, map[string]string) {
	t, ok := d.TypeOf(typ)
	if !ok {
		return "", nil
	}
	out := map[string]string{}
	for _, f := range t.Fields {
		if v, err := f.Check(fields[f.Key]); err == nil && v != "" {
			out[f.Key] = v
		} else if f.Required {
			return t.Key, nil // asked for again when it is solved
		}
	}
	return t.Key, out
}

// complete refuses while a required field is empty. It is asked when a ticket
// is solved: a quick 建单 in chat may leave fields open, the record may not.
func (d *Desk) complete(c Core) error {
	typ, _ := d.TypeOf(c.Type)
	for _, f := range typ.Fields {
		if f.Required && c.Fields[f.Key] == "" {
			return Refuse(FieldRequired, "field", f.Key, "label", f.Label)
		}
	}
	return nil
}

func (d *Desk) fieldOf(typ, key string) (Field, bool) {
	t, _ := d.TypeOf(typ)
	i := slices.IndexFunc(t.Fields, func(f Field) bool { return f.Key == key })
	if i < 0 {
		return Field{}, false
	}
	return t.Fields[i], true
}
