package tickets_test

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/paidan/paidan/tickets"
)

// castOf is who stands behind a column of testdata/rights.txt.
func castOf(t *testing.T, column string) (tickets.Actor, *tickets.Ticket) {
	t.Helper()
	at := func(desk tickets.DeskKey, roles ...tickets.Role) map[tickets.DeskKey][]tickets.Role {
		return map[tickets.DeskKey][]tickets.Role{desk: roles}
	}
	tk := &tickets.Ticket{ID: "t", Desk: "it", Requester: "requester", OpenedBy: "openedby"}
	tk.Status, tk.Owner = tickets.Active, "owner"
	tk.Consults = []tickets.Consult{{Person: "helper"}}
	a := tickets.Actor{Person: tickets.PersonID(column)}
	switch column {
	case "requester", "openedby", "stranger":
	case "owner", "agent":
		a.Roles = at("it", tickets.Agent)
	case "lead":
		a.Roles = at("it", tickets.Lead)
	case "admin":
		a.Roles = at(tickets.EveryDesk, tickets.Admin)
	case "auditor":
		a.Roles = at("it", tickets.Auditor)
	case "helper":
		a.Roles = at("hr", tickets.Agent)
	case "free":
		a.Roles = at("it", tickets.Agent)
		tk.Status, tk.Owner = tickets.New, ""
	case "former":
		tk.Owner = a.Person
	case "foreign":
		a.Roles = at("hr", tickets.Agent, tickets.Lead, tickets.Auditor)
	default:
		t.Fatalf("nobody is %q", column)
	}
	return a, tk
}

var cells = map[string]tickets.Code{
	"yes": "", "own": tickets.NotYours, "take": tickets.WrongState, "no": tickets.NotAllowed, "-": tickets.NotFound,
}

// TestRightsAreAsWritten (TC20): the code's rights against the table's, for every
// verb there is.
func TestRightsAreAsWritten(t *testing.T) {
	columns, table, lists := readRights(t)
	for _, v := range verbs(t) {
		row, ok := table[v]
		if !ok && !lists[v] {
			t.Errorf("verb %q has no row in testdata/rights.txt", v)
		}
		if ok == lists[v] && ok {
			t.Errorf("verb %q stands there twice", v)
		}
		for i, cell := range row {
			a, tk := castOf(t, columns[i])
			want, known := cells[cell]
			if !known {
				t.Fatalf("%s, %s: no such cell %q", v, columns[i], cell)
			}
			if got := tickets.CodeOf(tickets.Authorize(a, tickets.Verb(v), tk)); got != want {
				t.Errorf("%s by %s: got refusal %q, want %q", v, columns[i], got, want)
			}
		}
		delete(table, v)
	}
	for v := range table {
		t.Errorf("row %q is about no verb", v)
	}
}

func TestNobodyAndTheSystem(t *testing.T) {
	_, tk := castOf(t, "owner")
	for _, v := range verbs(t) {
		if code := tickets.CodeOf(tickets.Authorize(tickets.Actor{}, tickets.Verb(v), tk)); code != tickets.NotAllowed {
			t.Errorf("%s by nobody: %q", v, code)
		}
		if err := tickets.Authorize(tickets.Actor{System: true}, tickets.Verb(v), tk); err != nil {
			t.Errorf("%s by the system: %v", v, err)
		}
	}
}

func readRights(t *testing.T) (columns []string, table map[string][]string, lists map[string]bool) {
	t.Helper()
	f, err := os.Open("testdata/rights.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, lists = map[string][]string{}, map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0:
		case words[0] == "#" && len(words) > 2 && words[1] == "requester" && words[2] == "openedby":
			columns = words[1:]
		case words[0] == "#":
		case words[0] == "list":
			for _, v := range words[1:] {
				lists[v] = true
			}
		case len(words) != len(columns)+1:
			t.Fatalf("row %q has %d cells, want %d", words[0], len(words)-1, len(columns))
		default:
			table[words[0]] = words[1:]
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return columns, table, lists
}

// verbs are the values of all constants of type Verb, read from the source, so
// that a new one cannot be forgotten here.
func verbs(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "command.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Verb") {
			return true
		}
		s, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
		return false
	})
	if len(out) < 40 {
		t.Fatalf("found only %d verbs", len(out))
	}
	return out
}
