package wecom

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// Bounds of what comes in as XML. A vote with all its choices has 70 elements.
const (
	maxDepth    = 8
	maxElements = 256
	maxTokens   = 4096 // a text may come in pieces
)

// element is a part of an XML message: text, or further elements.
type element struct {
	name     string
	text     string
	children []*element
}

var errXML = errors.New("not the XML that WeCom sends")

// repeats are the names that may stand several times beside each other.
var repeats = map[string]bool{"SelectedItem": true, "OptionId": true, "item": true, "Item": true}

// parseXML reads a message. It knows elements and their text and refuses all
// else that XML has: directives, processing instructions, comments, attributes,
// name spaces, text beside elements, a second root, anything around the root,
// and the same element twice. Entities that are not XML's own five are unknown.
func parseXML(b []byte) (*element, error) {
	if !bytes.HasPrefix(b, []byte("<xml>")) || !bytes.HasSuffix(b, []byte("</xml>")) || !utf8.Valid(b) {
		return nil, errXML
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	var open []*element
	var root *element
	n := 0
	for range maxTokens {
		token, err := d.RawToken()
		if err == io.EOF && root != nil && len(open) == 0 {
			return root, nil
		}
		if err != nil {
			return nil, errXML
		}
		switch t := token.(type) {
		case xml.StartElement:
			n++
			if n > maxElements || len(open) == maxDepth || t.Name.Space != "" || len(t.Attr) > 0 || root != nil && len(open) == 0 {
				return nil, errXML
			}
			e := &element{name: t.Name.Local}
			if len(open) == 0 {
				root = e
			} else if !open[len(open)-1].adopt(e) {
				return nil, errXML
			}
			open = append(open, e)
		case xml.EndElement:
			if len(open) == 0 || t.Name.Space != "" || t.Name.Local != open[len(open)-1].name {
				return nil, errXML
			}
			e := open[len(open)-1]
			open = open[:len(open)-1]
			if len(e.children) > 0 {
				if strings.TrimSpace(e.text) != "" {
					return nil, errXML
				}
				e.text = ""
			}
		case xml.CharData:
			if len(open) == 0 {
				return nil, errXML
			}
			open[len(open)-1].text += string(t)
		default:
			return nil, errXML
		}
	}
	return nil, errXML
}

// adopt puts an element into another, unless it is there already.
func (e *element) adopt(child *element) bool {
	for _, c := range e.children {
		if c.name == child.name && !repeats[child.name] {
			return false
		}
	}
	e.children = append(e.children, child)
	return true
}

func (e *element) child(name string) *element {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// value is the text of a child; "" when there is none.
func (e *element) value(name string) string {
	if c := e.child(name); c != nil {
		return c.text
	}
	return ""
}

// outer is what stands around an encrypted message. Only encrypt is covered
// by the signature; the others must be what they are for us all the same.
type outer struct{ to, encrypt, agent string }

// parseOuter reads XML, or the JSON of the same, which the pages also show.
// https://developer.work.weixin.qq.com/document/path/90968
func parseOuter(b []byte) (outer, error) {
	var env outer
	if bytes.HasPrefix(b, []byte("{")) {
		return parseJSONEnvelope(b)
	}
	root, err := parseXML(b)
	if err != nil {
		return env, err
	}
	for _, c := range root.children {
		if len(c.children) > 0 {
			return env, errXML
		}
		switch c.name {
		case "ToUserName":
			env.to = c.text
		case "Encrypt":
			env.encrypt = c.text
		case "AgentID":
			env.agent = c.text
		default:
			return env, errXML
		}
	}
	return env, nil
}

var errJSON = errors.New("not the JSON that WeCom sends")

// parseJSONEnvelope takes one object with the three names, each at most once,
// spelled exactly so, and nothing around it.
func parseJSONEnvelope(b []byte) (outer, error) {
	var env outer
	if !bytes.HasSuffix(b, []byte("}")) || !utf8.Valid(b) {
		return env, errJSON
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return env, errJSON
	}
	fields := map[string]*string{"tousername": &env.to, "encrypt": &env.encrypt, "agentid": &env.agent}
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		field := fields[name]
		if err != nil || !ok || field == nil {
			return env, errJSON
		}
		delete(fields, name)
		value, err := d.Token()
		if err != nil {
			return env, errJSON
		}
		if *field, ok = value.(string); !ok {
			return env, errJSON
		}
	}
	if _, err := d.Token(); err != nil {
		return env, errJSON
	}
	if _, err := d.Token(); err != io.EOF {
		return env, errJSON
	}
	return env, nil
}
