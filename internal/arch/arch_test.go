// Package arch holds the rules of the house as tests: who may know whom, and
// what nobody does. Each rule says its reason when it is broken.
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/paidan/paidan/"

// file is one Go file of the tree.
type file struct {
	path string // from the root, with slashes
	dir  string
	test bool // _test.go, or in a package that exists for tests: slacktest, ticketstest
	ast  *ast.File
	fset *token.FileSet
}

func (f file) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.path, f.fset.Position(n.Pos()).Line)
}

const root = "../.."

// walk calls visit for each file of the tree that belongs to the project.
func walk(t *testing.T, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != root && (name == ".git" || name == "node_modules" || name == "dist" || name == "paidan-data") {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func goFiles(t *testing.T) []file {
	t.Helper()
	fset := token.NewFileSet()
	var files []file
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "testdata/") {
			return
		}
		f, err := parser.ParseFile(fset, filepath.Join(root, filepath.FromSlash(name)), nil, parser.ParseComments)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		dir := path.Dir(name)
		files = append(files, file{
			path: name, dir: dir, ast: f, fset: fset,
			test: strings.HasSuffix(name, "_test.go") || strings.HasSuffix(dir, "test"),
		})
	})
	if len(files) < 20 {
		t.Fatalf("found only %d Go files below %s", len(files), root)
	}
	return files
}

func within(dir, tree string) bool { return dir == tree || strings.HasPrefix(dir, tree+"/") }

func withinAny(dir string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return within(dir, tree) })
}

// knows is a rule about imports of the packages below dir: the first rule whose
// dir fits is the one that counts.
type knows struct {
	dir string
	may []string // folders of this module, with everything below them
	why string
}

var mayKnow = []knows{
	{"cmd", []string{"adapters", "bot", "cards", "console", "internal", "migrations", "tickets"}, ""},
	{"tickets/ticketstest", []string{"tickets", "migrations", "internal"}, "it opens databases for tests of the core, which has never heard of chat"},
	{"tickets", []string{"tickets", "internal/sqldb", "internal/jobs"}, "the core has never heard of chat: places are opaque text to it"},
	{"cards/lang", nil, "a catalogue knows nobody"},
	{"cards", []string{"cards", "tickets"}, "a card says what a view holds and knows no platform, database or sender"},
	{"bot", []string{"cards", "tickets", "internal/jobs", "internal/clock"}, "bot stands between chat and core: it knows no SQL and no platform"},
	{"console", []string{"console", "cards", "tickets"}, "web pages read tickets' queries and act by tickets.Do; they are no chat platform"},
	{"migrations", []string{"internal/sqldb", "internal/jobs"}, "a migration is text for a database; who uses the tables is none of its business"},
	{"adapters/adaptertest", []string{"bot", "cards", "internal"}, "the conformance suite speaks the neutral vocabulary, or it would favour a platform"},
	// The playground is a chat server as well as an adapter: it keeps its messages.
	{"adapters/playground", []string{"adapters/playground", "bot", "cards", "internal/httpx", "internal/sqldb", "internal/clock"}, "an adapter has never heard of tickets, nor of other adapters"},
	{"adapters/", []string{"bot", "cards", "internal/httpx"}, "an adapter has never heard of tickets, nor of other adapters"},
	{"adapters", []string{"adapters", "bot", "internal/httpx"}, "adapters.go is the table of platforms and nothing more"},
	{"internal/jobs", []string{"internal/sqldb", "internal/clock"}, "plumbing knows no business"},
	{"internal/sqldb", []string{"internal/clock"}, "plumbing knows no business"},
	{"internal", nil, "plumbing knows the standard library and its one library"},
}

func ruleFor(dir string) (knows, bool) {
	for _, k := range mayKnow {
		if prefix, below := strings.CutSuffix(k.dir, "/"); below && strings.HasPrefix(dir, prefix+"/") || within(dir, k.dir) {
			return k, true
		}
	}
	return knows{}, false
}

func imports(f file, visit func(spec *ast.ImportSpec, imported string)) {
	for _, s := range f.ast.Imports {
		if p, err := strconv.Unquote(s.Path.Value); err == nil {
			visit(s, p)
		}
	}
}

func TestWhoMayKnowWhom(t *testing.T) {
	for _, f := range goFiles(t) {
		rule, ok := ruleFor(f.dir)
		if !ok {
			t.Errorf("%s: nothing says whom %s may know; add it to mayKnow and to docs/architecture.md", f.path, f.dir)
			continue
		}
		if strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		imports(f, func(s *ast.ImportSpec, p string) {
			own, ok := strings.CutPrefix(p, module)
			if !ok || own == f.dir || withinAny(own, rule.may) {
				return
			}
			// An adapter's own folders: slack/slacktest and slack know each other.
			if parts := strings.Split(f.dir, "/"); len(parts) > 1 && parts[0] == "adapters" && within(own, "adapters/"+parts[1]) {
				return
			}
			t.Errorf("%s: %s may not know %s: %s", f.at(s), f.dir, own, rule.why)
		})
	}
}

// Tests may know more than what they test, but not turn the house upside down.
func TestTestsOfTheCoreKnowNoPlatform(t *testing.T) {
	for _, f := range goFiles(t) {
		if !withinAny(f.dir, []string{"tickets", "cards", "migrations", "internal/sqldb", "internal/jobs"}) {
			continue
		}
		imports(f, func(s *ast.ImportSpec, p string) {
			if own, ok := strings.CutPrefix(p, module); ok && withinAny(own, []string{"adapters", "bot", "console", "cmd"}) {
				t.Errorf("%s: %s may not know %s, not even in a test: the core works without chat", f.at(s), f.dir, own)
			}
		})
	}
}

// What is made for tests stays in tests; the load generator of cmd is the one
// other place that speaks to an emulator, and starts a database to throw away.
func TestFakesStayInTests(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		imports(f, func(s *ast.ImportSpec, p string) {
			own, ok := strings.CutPrefix(p, module)
			if !ok || !strings.HasSuffix(own, "test") || within(f.dir, own) {
				return
			}
			if f.dir == "cmd/paidan" && (strings.HasPrefix(own, "adapters/") || own == "internal/pgtest") {
				return
			}
			t.Errorf("%s: %s is for tests; %s is not one", f.at(s), own, f.path)
		})
		imports(f, func(s *ast.ImportSpec, p string) {
			if p == "testing" || p == "net/http/httptest" {
				if f.dir == "internal/pgtest" || f.dir == "cmd/paidan" {
					return
				}
				t.Errorf("%s: %s does not belong in the binary", f.at(s), p)
			}
		})
	}
}

// owners are libraries that belong to one part of the house.
var owners = []struct {
	lib string
	in  []string
	why string
}{
	{"github.com/slack-go/slack", []string{"adapters/slack", "internal/deps"}, "a platform's SDK stays in its folder"},
	{"github.com/spf13/cobra", []string{"cmd", "internal/deps"}, "the command line is cmd's"},
	{"github.com/jmoiron/sqlx", []string{"internal", "tickets", "migrations", "adapters/playground"}, "SQL sits beside its scan, in the core"},
	{"database/sql", []string{"internal", "tickets", "migrations", "adapters/playground", "cmd"}, "SQL sits beside its scan, in the core"},
	{"github.com/riverqueue/river", []string{"internal", "tickets", "migrations", "bot", "cmd"}, "jobs are inserted by the core and worked by bot"},
	{"github.com/pressly/goose/v3", []string{"migrations", "internal/deps"}, "migrations run in one place"},
	{"github.com/lib/pq", []string{"internal", "migrations"}, "all that differs between the databases is in sqldb; migrations read the server's errors"},
	{"modernc.org/sqlite", []string{"internal"}, "all that differs between the databases is in sqldb"},
	{"net/http", []string{"adapters", "bot", "cmd", "console", "internal"}, "the core and its cards know no HTTP"},
}

func TestLibrariesStayWithTheirOwners(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		imports(f, func(s *ast.ImportSpec, p string) {
			for _, o := range owners {
				exact := o.lib == "net/http" || o.lib == "database/sql"
				if (p == o.lib || !exact && strings.HasPrefix(p, o.lib+"/")) && !withinAny(f.dir, o.in) {
					t.Errorf("%s: %s in %s: %s", f.at(s), p, f.dir, o.why)
				}
			}
		})
	}
}

// A card is made from views. One that could call the service would be a sender.
func TestCardsUseViewsOnly(t *testing.T) {
	acting := []string{"Service", "NewService", "New", "Decide", "Apply", "Store"}
	for _, f := range goFiles(t) {
		if f.test || !within(f.dir, "cards") {
			continue
		}
		selectors(f, module+"tickets", func(s *ast.SelectorExpr) {
			if obj := s.Sel.Name; slices.Contains(acting, obj) && obj != "New" {
				t.Errorf("%s: cards uses tickets.%s: a card reads views and acts on nothing", f.at(s), obj)
			}
		})
	}
}

var (
	neutral    = []string{"bot", "cards", "tickets", "console", "migrations"}
	platformRE = regexp.MustCompile(`(?i)slack|feishu|dingtalk|wecom|\blark`)
)

// A platform's name stands in its folder, in adapters.go and in configuration.
// Anywhere else it is the beginning of a special case: what is wanted is an
// ability of the adapter (bot.Whisperer, cards.Caps).
func TestNoPlatformIsNamedOutsideItsFolder(t *testing.T) {
	const why = "want a capability instead: bot/adapter.go, cards.Caps"
	for _, f := range goFiles(t) {
		if f.test || !withinAny(f.dir, neutral) {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if platformRE.MatchString(n.Name) {
					t.Errorf("%s: %s names a platform; %s", f.at(n), n.Name, why)
				}
			case *ast.BasicLit:
				if n.Kind == token.STRING && platformRE.MatchString(n.Value) {
					t.Errorf("%s: %s names a platform; %s", f.at(n), platformRE.FindString(n.Value), why)
				}
			}
			return true
		})
	}
	comment := regexp.MustCompile(`(?m)--.*$|\{\{/\*.*?\*/\}\}|(?s)<!--.*?-->`)
	walk(t, func(name string) {
		ext := path.Ext(name)
		if !withinAny(path.Dir(name), neutral) || strings.Contains(name, "testdata/") || ext != ".sql" && ext != ".html" && ext != ".tmpl" {
			return
		}
		text := comment.ReplaceAllString(read(t, name), "")
		if m := platformRE.FindString(text); m != "" {
			t.Errorf("%s: %s names a platform; %s", name, m, why)
		}
	})
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// selectors calls visit for each pkg.Name of an imported package, whatever the
// file calls that package.
func selectors(f file, pkg string, visit func(*ast.SelectorExpr)) {
	local := ""
	imports(f, func(s *ast.ImportSpec, p string) {
		if p != pkg {
			return
		}
		local = path.Base(p)
		if s.Name != nil {
			local = s.Name.Name
		}
	})
	if local == "" {
		return
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			// An identifier with an object is a variable of the same name.
			if x, ok := s.X.(*ast.Ident); ok && x.Name == local && x.Obj == nil {
				visit(s)
			}
		}
		return true
	})
}

// TF06: a client made elsewhere has no address guard, no cap and no deadline.
func TestEveryOutgoingClientComesFromHTTPX(t *testing.T) {
	forbidden := []string{"DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm", "Client", "Transport"}
	for _, f := range goFiles(t) {
		if f.test || f.dir == "internal/httpx" {
			continue
		}
		made := map[*ast.SelectorExpr]bool{}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if s, ok := n.Type.(*ast.SelectorExpr); ok {
					made[s] = true
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "new" && len(n.Args) == 1 {
					if s, ok := n.Args[0].(*ast.SelectorExpr); ok {
						made[s] = true
					}
				}
			}
			return true
		})
		selectors(f, "net/http", func(s *ast.SelectorExpr) {
			name := s.Sel.Name
			isType := name == "Client" || name == "Transport" // as the type of a parameter they are welcome
			if slices.Contains(forbidden, name) && (!isType || made[s]) {
				t.Errorf("%s: http.%s: outgoing requests go through httpx.New, which guards addresses, time and size", f.at(s), name)
			}
		})
	}
}

func TestTimeComesIntoTheCore(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || !within(f.dir, "tickets") {
			continue
		}
		selectors(f, "time", func(s *ast.SelectorExpr) {
			if s.Sel.Name == "Now" || s.Sel.Name == "Since" || s.Sel.Name == "Until" {
				t.Errorf("%s: time.%s: time is a parameter or the transaction's instant, one for all that happens together", f.at(s), s.Sel.Name)
			}
		})
	}
}

func TestNoTestSleeps(t *testing.T) {
	for _, f := range goFiles(t) {
		if !strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		// Inside a bubble of synctest a sleep takes no time and is exact.
		var bubbles []*ast.CallExpr
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if s, ok := c.Fun.(*ast.SelectorExpr); ok && lastName(s.X) == "synctest" && s.Sel.Name == "Test" {
					bubbles = append(bubbles, c)
				}
			}
			return true
		})
		selectors(f, "time", func(s *ast.SelectorExpr) {
			inside := slices.ContainsFunc(bubbles, func(c *ast.CallExpr) bool { return c.Pos() < s.Pos() && s.End() < c.End() })
			if s.Sel.Name == "Sleep" && !inside {
				t.Errorf("%s: time.Sleep: wait for a signal, use synctest, or advance a clock", f.at(s))
			}
		})
	}
}

var writeRE = regexp.MustCompile("(?i)^[`\"]\\s*(INSERT|UPDATE|DELETE|REPLACE)\\b")

// A driver may repeat what it thinks was not sent: outside a transaction a
// write can then happen twice without an error. The check knows receivers by
// name, so it can be fooled; it is there for the honest mistake.
func TestWritesHappenInTransactions(t *testing.T) {
	handles := regexp.MustCompile(`(?i)^(db|conn|pool|database|sqldb)$`)
	for _, f := range goFiles(t) {
		if f.test || within(f.dir, "internal/sqldb") || within(f.dir, "internal/pgtest") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !handles.MatchString(lastName(fun.X)) {
				return true
			}
			for _, a := range call.Args {
				if lit, ok := a.(*ast.BasicLit); ok && writeRE.MatchString(lit.Value) {
					t.Errorf("%s: %s.%s writes outside a transaction; use sqldb's Tx", f.at(call), lastName(fun.X), fun.Sel.Name)
				}
			}
			return true
		})
	}
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// Paths of the machine that something was written on mean nothing elsewhere.
func TestNoPathOfOneMachine(t *testing.T) {
	personal := regexp.MustCompile(`(^|[\s"'=(` + "`" + `])(/(` + `home|Users|work|farm|root` + `)/[\w.-]+|/tmp/bash_jobs)`)
	walk(t, func(name string) {
		if name == "go.sum" || strings.Contains(name, "testdata/fuzz/") {
			return
		}
		text := read(t, name)
		if strings.ContainsRune(text, 0) { // a binary that was built here
			return
		}
		for i, line := range strings.Split(text, "\n") {
			if m := personal.FindString(line); m != "" && !strings.Contains(m, "/home/nonroot") {
				t.Errorf("%s:%d: %s is a path of one machine", name, i+1, strings.TrimSpace(m))
			}
		}
	})
}

// wellKnown methods are explained by the interface that asks for them.
var wellKnown = []string{
	"String", "Error", "Unwrap", "Is", "As", "GoString", "Format", "LogValue", "Len", "Less", "Swap", "Push", "Pop",
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "MarshalYAML", "UnmarshalYAML",
	"Scan", "Value", "Read", "Write", "Close", "ServeHTTP", "RoundTrip", "Kind", "InsertOpts",
}

func TestEveryExportedNameIsExplained(t *testing.T) {
	files := goFiles(t)
	byInterface := slices.Clone(wellKnown)
	for _, f := range files {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if it, ok := n.(*ast.InterfaceType); ok {
				for _, m := range it.Methods.List {
					for _, name := range m.Names {
						byInterface = append(byInterface, name.Name)
					}
				}
			}
			return true
		})
	}
	packages := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		packages[f.dir] = packages[f.dir] || f.ast.Doc != nil
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				method := d.Recv != nil
				if !d.Name.IsExported() || d.Doc != nil || method && (!exportedReceiver(d) || slices.Contains(byInterface, d.Name.Name)) {
					continue
				}
				t.Errorf("%s: %s has no comment: say what it is for, its units and its errors", f.at(d), d.Name.Name)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					for _, name := range unexplained(d, s) {
						t.Errorf("%s: %s has no comment: say what it is", f.at(s), name)
					}
				}
			}
		}
	}
	for dir, explained := range packages {
		if !explained {
			t.Errorf("%s: no file says what the package is for", dir)
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	t := d.Recv.List[0].Type
	if s, ok := t.(*ast.StarExpr); ok {
		t = s.X
	}
	if i, ok := t.(*ast.IndexExpr); ok {
		t = i.X
	}
	id, ok := t.(*ast.Ident)
	return ok && id.IsExported()
}

func unexplained(d *ast.GenDecl, s ast.Spec) (names []string) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
			names = append(names, s.Name.Name)
		}
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
				names = append(names, n.Name)
			}
		}
	}
	return names
}
