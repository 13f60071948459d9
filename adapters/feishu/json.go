package feishu

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What comes in is read strictly. encoding/json alone takes the last of two
// equal keys, matches keys whatever their case, repairs broken UTF-8 and ignores
// what follows a document: each of these lets two readers of one signed body see
// different things. Here all of it is refused, and keys are looked up by their
// exact spelling.

const (
	maxDepth = 32
	// foldDepth is how deep keys that differ only in case are refused: the
	// levels with a fixed vocabulary. Below lie maps with keys of people's own.
	foldDepth = 3
)

var errJSON = errors.New("not strict JSON")

// value is a place in a document. The zero value is "not there", and
// everything asked of it is empty.
type value struct{ v any }

// parseJSON reads exactly one document.
func parseJSON(b []byte) (value, error) {
	if !utf8.Valid(b) || !json.Valid(b) {
		return value{}, errJSON
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := read(d, 0)
	if err != nil {
		return value{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return value{}, errJSON
	}
	return value{v}, nil
}

func read(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil || depth > maxDepth {
		return nil, errJSON
	}
	switch t {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := read(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	case json.Delim('{'):
		object, seen := map[string]any{}, map[string]bool{}
		for d.More() {
			t, err := d.Token()
			key, ok := t.(string)
			if err != nil || !ok {
				return nil, errJSON
			}
			folded := key
			if depth < foldDepth { // upper first: it brings ſ and the Kelvin sign back to their plain letters
				folded = strings.ToLower(strings.ToUpper(key))
			}
			if seen[folded] {
				return nil, errJSON
			}
			seen[folded] = true
			if object[key], err = read(d, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return object, err
	}
	return t, nil
}

// at goes down by keys; a key that is not there leads to the zero value.
func (v value) at(keys ...string) value {
	for _, k := range keys {
		o, ok := v.v.(map[string]any)
		if !ok {
			return value{}
		}
		v = value{o[k]}
	}
	return v
}

// str is the text of a string, "" for anything else.
func (v value) str() string {
	s, ok := v.v.(string)
	if !ok {
		return ""
	}
	return s
}

// number is a whole number, written as one or as text: Feishu does both. 0 for
// anything else.
func (v value) number() int64 {
	s := v.str()
	if n, ok := v.v.(json.Number); ok {
		s = n.String()
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (v value) yes() bool { return v.v == true }

func (v value) object() map[string]any {
	o, ok := v.v.(map[string]any)
	if !ok {
		return nil
	}
	return o
}

// list is the members of an array.
func (v value) list() []value {
	l, ok := v.v.([]any)
	if !ok {
		return nil
	}
	out := make([]value, len(l))
	for i, x := range l {
		out[i] = value{x}
	}
	return out
}
