package dingtalk

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The package has a JSON reader of its own for what comes in. encoding/json
// takes the last of two equal keys, matches keys whatever their case (even
// U+212A for k) and ignores what follows a document: each of these lets two
// readers of one body see different things. This one refuses equal keys and
// trailing text, and looks keys up by their exact spelling. Half of an emoji, as
// it is left where somebody's name was cut, becomes U+FFFD: a message that is
// refused for it would be lost, since DingTalk sends none twice.

const (
	maxDepth = 32
	maxNodes = 100_000
)

var errJSON = errors.New("not strict JSON")

type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

// node is one value of a document; children hang on a list through next.
type node struct {
	kind        jsonKind
	escaped     bool // text still has its backslashes
	key         string
	text        string // of a string without its quotes; the source of anything else
	first, next int32  // 0 = none: the root is never a child
	count       int32
}

type document struct {
	src   string
	pos   int
	nodes []node
}

// value is a place in a document. The zero value is "not there", and
// everything asked of it is empty.
type value struct {
	doc *document
	i   int32
}

// parseJSON reads exactly one document.
func parseJSON(src string) (value, error) {
	if !utf8.ValidString(src) || strings.IndexByte(src, 0) >= 0 {
		return value{}, errJSON
	}
	d := &document{src: src, nodes: make([]node, 0, len(src)/14+8)}
	if err := d.read(0); err != nil {
		return value{}, err
	}
	d.space()
	if d.pos != len(d.src) {
		return value{}, errJSON
	}
	return value{d, 0}, nil
}

func (d *document) space() {
	for d.pos < len(d.src) {
		switch d.src[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

func (d *document) take(c byte) bool {
	if d.pos < len(d.src) && d.src[d.pos] == c {
		d.pos++
		return true
	}
	return false
}

// read appends the value that starts here, and everything in it.
func (d *document) read(depth int) error {
	d.space()
	if d.pos >= len(d.src) || len(d.nodes) >= maxNodes {
		return errJSON
	}
	start, me := d.pos, len(d.nodes)
	d.nodes = append(d.nodes, node{})
	var err error
	switch c := d.src[d.pos]; c {
	case '{', '[':
		if depth >= maxDepth {
			return errJSON
		}
		d.pos++
		err = d.children(me, depth, c == '{')
	case '"':
		var text string
		var escaped bool
		if text, escaped, err = d.quoted(); err == nil {
			d.nodes[me].kind, d.nodes[me].text, d.nodes[me].escaped = jsonString, text, escaped
		}
		return err
	case 't':
		d.nodes[me].kind, err = jsonBool, d.word("true")
	case 'f':
		d.nodes[me].kind, err = jsonBool, d.word("false")
	case 'n':
		err = d.word("null")
	default:
		d.nodes[me].kind, err = jsonNumber, d.number()
	}
	if err != nil {
		return err
	}
	d.nodes[me].text = d.src[start:d.pos]
	return nil
}

func (d *document) children(me, depth int, object bool) error {
	closing := byte(']')
	d.nodes[me].kind = jsonArray
	if object {
		closing = '}'
		d.nodes[me].kind = jsonObject
	}
	d.space()
	if d.take(closing) {
		return nil
	}
	last := -1
	for {
		key := ""
		if object {
			d.space()
			text, escaped, err := d.quoted()
			if err != nil {
				return err
			}
			if key = text; escaped {
				if key, err = unescapeJSON(text); err != nil {
					return err
				}
			}
			if d.space(); !d.take(':') {
				return errJSON
			}
		}
		child := len(d.nodes)
		if err := d.read(depth + 1); err != nil {
			return err
		}
		d.nodes[child].key = key
		if last < 0 {
			d.nodes[me].first = int32(child)
		} else {
			d.nodes[last].next = int32(child)
		}
		last = child
		d.nodes[me].count++
		d.space()
		if d.take(closing) {
			break
		}
		if !d.take(',') {
			return errJSON
		}
	}
	if object {
		return d.distinct(me)
	}
	return nil
}

// distinct refuses an object with equal keys. Keys that differ in case stand in
// some of DingTalk's own events (UserId and userId).
func (d *document) distinct(me int) error {
	if d.nodes[me].count > 32 {
		seen := make(map[string]bool, d.nodes[me].count)
		for i := d.nodes[me].first; i != 0; i = d.nodes[i].next {
			key := d.nodes[i].key
			if seen[key] {
				return errJSON
			}
			seen[key] = true
		}
		return nil
	}
	for i := d.nodes[me].first; i != 0; i = d.nodes[i].next {
		a := d.nodes[i].key
		for j := d.nodes[i].next; j != 0; j = d.nodes[j].next {
			if a == d.nodes[j].key {
				return errJSON
			}
		}
	}
	return nil
}

// quoted reads a string and leaves its escapes in place, checked.
func (d *document) quoted() (text string, escaped bool, err error) {
	if !d.take('"') {
		return "", false, errJSON
	}
	start := d.pos
	for d.pos < len(d.src) {
		switch c := d.src[d.pos]; {
		case c == '"':
			text = d.src[start:d.pos]
			d.pos++
			if escaped {
				_, err = unescapeJSON(text)
			}
			return text, escaped, err
		case c == '\\':
			escaped = true
			d.pos += 2
		case c < 0x20:
			return "", false, errJSON
		default:
			d.pos++
		}
	}
	return "", false, errJSON
}

func (d *document) word(w string) error {
	if !strings.HasPrefix(d.src[d.pos:], w) {
		return errJSON
	}
	d.pos += len(w)
	return nil
}

func (d *document) number() error {
	start := d.pos
	d.take('-')
	whole := d.pos
	d.digits()
	if d.pos == whole || d.pos-whole > 1 && d.src[whole] == '0' {
		return errJSON
	}
	if d.take('.') {
		if at := d.pos; d.digits() == at {
			return errJSON
		}
	}
	if d.take('e') || d.take('E') {
		if !d.take('+') {
			d.take('-')
		}
		if at := d.pos; d.digits() == at {
			return errJSON
		}
	}
	if d.pos-start > 64 {
		return errJSON
	}
	return nil
}

func (d *document) digits() int {
	for d.pos < len(d.src) && d.src[d.pos] >= '0' && d.src[d.pos] <= '9' {
		d.pos++
	}
	return d.pos
}

// unescapeJSON undoes backslashes. NUL and halves of surrogate pairs, which no
// database stores, become U+FFFD.
func unescapeJSON(s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:i])
		if i+1 >= len(s) {
			return "", errJSON
		}
		c := s[i+1]
		s = s[i+2:]
		switch c {
		case '"', '\\', '/':
			b.WriteByte(c)
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r, ok := hex4(s)
			if !ok {
				return "", errJSON
			}
			s = s[4:]
			switch {
			case r == 0:
				r = utf8.RuneError
			case utf16.IsSurrogate(r):
				high := r
				r = utf8.RuneError
				if rest, ok := strings.CutPrefix(s, `\u`); ok {
					if low, ok := hex4(rest); ok && utf16.DecodeRune(high, low) != utf8.RuneError {
						r, s = utf16.DecodeRune(high, low), s[6:]
					}
				}
			}
			b.WriteRune(r)
		default:
			return "", errJSON
		}
	}
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// absent stands for what is not there; nobody writes to it.
var absent node

func (v value) node() *node {
	if v.doc == nil {
		return &absent
	}
	return &v.doc.nodes[v.i]
}

// at goes down by keys; a key that is not there leads to the zero value.
func (v value) at(keys ...string) value {
	for _, key := range keys {
		if v.node().kind != jsonObject {
			return value{}
		}
		next := value{}
		for i := v.node().first; i != 0; i = v.doc.nodes[i].next {
			if v.doc.nodes[i].key == key {
				next = value{v.doc, i}
				break
			}
		}
		v = next
	}
	return v
}

// str is the text of a string, "" for anything else.
func (v value) str() string {
	n := v.node()
	if n.kind != jsonString {
		return ""
	}
	if !n.escaped {
		return n.text
	}
	s, err := unescapeJSON(n.text)
	if err != nil {
		return "" // cannot be: it was checked when it was read
	}
	return s
}

// word is the text of a string, or the source of a number.
func (v value) word() string {
	if v.node().kind == jsonNumber {
		return v.node().text
	}
	return v.str()
}

func (v value) yes() bool { n := v.node(); return n.kind == jsonBool && n.text == "true" }

func (v value) exists() bool { return v.doc != nil && v.node().kind != jsonNull }

func (v value) key() string { return v.node().key }

// raw is the source of the value.
func (v value) raw() string { return v.node().text }

// number is the value of a whole number, or of a string of digits as DingTalk
// likes to write them; 0 for anything else.
func (v value) number() int64 {
	text := v.node().text
	switch v.node().kind {
	case jsonNumber:
	case jsonString:
		text = v.str()
	default:
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// each goes through the members of an array or object.
func (v value) each(yield func(value) bool) {
	if k := v.node().kind; k != jsonArray && k != jsonObject {
		return
	}
	for i := v.node().first; i != 0; i = v.doc.nodes[i].next {
		if !yield(value{v.doc, i}) {
			return
		}
	}
}
