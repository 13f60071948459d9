package main

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// yamlWalk holds a YAML document against the Go type that it shall become. The
// decoder's own errors name Go types and may quote a secret; these name the key.
type yamlWalk struct {
	file   string
	origin map[string]string
	faults Faults
	nodes  int
}

// maxNodes bounds what aliases can unfold into.
const maxNodes = 100_000

func (w *yamlWalk) fault(n *yaml.Node, key, format string, args ...any) {
	w.faults = append(w.faults, Fault{Key: key, From: w.at(n), Says: fmt.Sprintf(format, args...)})
}

func (w *yamlWalk) at(n *yaml.Node) string { return fmt.Sprintf("%s line %d", w.file, n.Line) }

func (w *yamlWalk) walk(n *yaml.Node, t reflect.Type, path string) {
	if w.nodes++; w.nodes > maxNodes {
		if w.nodes == maxNodes+1 {
			w.fault(n, w.file, "unfolds into too many values; use fewer aliases")
		}
		return
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Tag == "!!null" {
		return
	}
	name := path
	if name == "" {
		name = w.file
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		if _, err := time.ParseDuration(n.Value); n.Kind != yaml.ScalarNode || err != nil {
			w.fault(n, name, "is no duration; right would be 30m, 4h or 168h")
		}
	case t.Kind() == reflect.Struct:
		w.section(n, t, path, name)
	case t.Kind() == reflect.Map:
		w.table(n, t, path, name)
	case t.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			w.fault(n, name, "should be a list: [a, b], or one line for each beginning with a dash")
			return
		}
		for i, e := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i)
			w.origin[at] = w.at(e)
			w.walk(e, t.Elem(), at)
		}
	case n.Kind != yaml.ScalarNode:
		w.fault(n, name, "should be one value, not a list or a section")
	case t.Kind() == reflect.Int:
		if _, err := strconv.Atoi(n.Value); err != nil {
			w.fault(n, name, "should be a whole number")
		}
	case t.Kind() == reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			w.fault(n, name, "should be true or false")
		}
	}
}

// pairs calls f for each key of a section, those merged in with << included.
func (w *yamlWalk) pairs(n *yaml.Node, name, want string, f func(k, v *yaml.Node)) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		w.fault(n, name, "should be %s", want)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Tag == "!!merge" {
			w.fault(k, name, "uses <<, which is not read here; write the keys out")
			continue
		}
		if seen[k.Value] {
			w.fault(k, join(name, k.Value), "stands here twice; keep one of the two")
			continue
		}
		seen[k.Value] = true
		f(k, v)
	}
}

func (w *yamlWalk) section(n *yaml.Node, t reflect.Type, path, name string) {
	known := keysOf(t)
	w.pairs(n, name, "a section: indented lines of key: value", func(k, v *yaml.Node) {
		ft, ok := known[k.Value]
		if !ok {
			w.fault(k, join(path, k.Value), "is no setting%s", suggest(k.Value, known))
			return
		}
		w.value(k, v, ft, path)
	})
}

func (w *yamlWalk) table(n *yaml.Node, t reflect.Type, path, name string) {
	w.pairs(n, name, "a section with a name for each install, such as default:", func(k, v *yaml.Node) {
		// slack: {bot_token: …} forgets the install's name; say so rather than
		// that a string is no section.
		if _, isKey := keysOf(t.Elem())[k.Value]; isKey && v.Kind == yaml.ScalarNode {
			w.fault(k, join(path, k.Value), "stands one level too high; right would be %s.default.%s", path, k.Value)
			return
		}
		w.value(k, v, t.Elem(), path)
	})
}

func (w *yamlWalk) value(k, v *yaml.Node, t reflect.Type, path string) {
	key := join(path, k.Value)
	if v.Tag != "!!null" {
		w.origin[key] = w.at(k)
	}
	w.walk(v, t, key)
}

func keysOf(t reflect.Type) map[string]reflect.Type {
	keys := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		switch tag := f.Tag.Get("yaml"); tag {
		case "", "-":
		case ",inline":
			for k, ft := range keysOf(f.Type) {
				keys[k] = ft
			}
		default:
			keys[tag] = f.Type
		}
	}
	return keys
}

// suggest names the known key that is nearest to a wrong one, or else all.
func suggest(wrong string, known map[string]reflect.Type) string {
	names := make([]string, 0, len(known))
	for k := range known {
		names = append(names, k)
	}
	slices.Sort(names)
	best, bestDist := "", max(2, len(wrong)/3)+1
	normal := strings.ToLower(strings.ReplaceAll(wrong, "-", "_"))
	for _, k := range names {
		if d := distance(normal, k); d < bestDist {
			best, bestDist = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	names = slices.DeleteFunc(names, func(k string) bool { return strings.HasSuffix(k, "_file") })
	return "; known here: " + strings.Join(names, ", ")
}

// distance is the number of bytes to insert, delete or change to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diag
			if a[i] != b[j] {
				next = 1 + min(diag, row[j], row[j+1])
			}
			diag, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
