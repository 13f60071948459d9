package tickets_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// statement is SQL found in the source.
type statement struct {
	where, text string
}

var startsSQL = regexp.MustCompile(`^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s`)

// beginning is a text that more is added to.
var beginning = regexp.MustCompile(`(?s)( IN|VALUES)\s*$|^INSERT INTO \w+ \([^)]*\)\s*$|%`)

// onlyOn are the statements written for one of the databases.
var onlyOn = map[string]string{
	"INSERT OR REPLACE INTO search": "sqlite", "search CROSS JOIN": "sqlite", "MATCH ?": "sqlite",
	"tsvector": "postgres", "tsquery": "postgres", "setval": "postgres", "pg_": "postgres", "SELECT number FROM search": "postgres",
}

// measuring are files whose statements work on tables that they make for themselves.
var measuring = regexp.MustCompile(`/bench_\w+\.go:`)

// TestEveryStatementRunsOnBoth has both databases plan every SQL text that stands
// whole in the source, and every one made of constants. A text that is put
// together from variables is left to the tests that run it.
func TestEveryStatementRunsOnBoth(t *testing.T) {
	all, composed := statements(t, "../tickets", "../bot", "../adapters/playground", "../cmd", "../console")
	if len(all) < 80 {
		t.Fatalf("found only %d statements", len(all))
	}
	for _, s := range composed {
		t.Logf("put together while running: %s: %s", s.where, s.text)
	}
	ticketstest.Each(t, func(t *testing.T, db *sqldb.DB) {
		for _, s := range all {
			if measuring.MatchString(s.where) {
				continue
			}
			if only := databaseOf(s.text); only != "" && (only == "sqlite") != db.SQLite() {
				continue
			}
			if err := plan(t, db, s.text); err != nil {
				t.Errorf("%s: %v\n%s", s.where, err, s.text)
			}
		}
	})
}

func databaseOf(text string) string {
	for part, db := range onlyOn {
		if strings.Contains(text, part) {
			return db
		}
	}
	return ""
}

// plan has the database prepare a statement, which needs no arguments.
func plan(t *testing.T, db *sqldb.DB, text string) error {
	n := 0
	if !db.SQLite() {
		text = regexp.MustCompile(`\?`).ReplaceAllStringFunc(text, func(string) string { n++; return fmt.Sprintf("$%d", n) })
	}
	stmt, err := db.Writer().PrepareContext(t.Context(), text)
	if err != nil {
		return err
	}
	return stmt.Close()
}

// statements reads the SQL of packages: string constants and literals, joined
// where they are added to one another.
func statements(t *testing.T, dirs ...string) (whole, composed []statement) {
	t.Helper()
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		fset := token.NewFileSet()
		var files []*ast.File
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(fset, path, nil, 0)
			files = append(files, f)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		constants := constantsOf(files)
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				e, ok := n.(ast.Expr)
				if !ok {
					return true
				}
				text, all := fold(e, constants)
				if !startsSQL.MatchString(text) {
					return true
				}
				if _, named := e.(*ast.Ident); named {
					return false // it stands where it is made
				}
				s := statement{where: fset.Position(e.Pos()).String(), text: text}
				if all && !beginning.MatchString(text) {
					whole = append(whole, s)
				} else {
					composed = append(composed, s)
				}
				return false
			})
		}
	}
	return whole, composed
}

// constantsOf are the values of the packages' string constants by name.
func constantsOf(files []*ast.File) map[string]string {
	out := map[string]string{}
	for range 3 { // some are made of others
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || len(spec.Values) != len(spec.Names) {
					return true
				}
				for i, name := range spec.Names {
					if text, all := fold(spec.Values[i], out); all && text != "" {
						out[name.Name] = text
					}
				}
				return true
			})
		}
	}
	return out
}

// fold is the text of an expression, and whether all of it is known.
func fold(e ast.Expr, constants map[string]string) (text string, all bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.Ident:
		s, ok := constants[e.Name]
		return s, ok
	case *ast.ParenExpr:
		return fold(e.X, constants)
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		left, a := fold(e.X, constants)
		right, b := fold(e.Y, constants)
		return left + right, a && b
	}
	return "", false
}
