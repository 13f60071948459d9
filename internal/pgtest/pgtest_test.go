package pgtest

import (
	"database/sql"
	"os"
	"testing"
)

func TestServerRunsCopiesATemplateAndLeavesNothing(t *testing.T) {
	ctx := t.Context()
	s, err := Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	template, err := s.DB(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	run(t, template, `CREATE TABLE a (n INT); INSERT INTO a VALUES (7)`)
	copied, err := s.DB(ctx, Name(template))
	if err != nil {
		t.Fatal(err)
	}
	run(t, copied, `UPDATE a SET n = n / (n - 6)`) // divides by zero unless n is 7
	if err := s.Drop(ctx, copied); err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(ctx, template); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if s.dir == "" {
		return // a server of the environment
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("files after Stop: %v, want none", err)
	}
}

func TestNameOfBothFormsOfAddress(t *testing.T) {
	for dsn, want := range map[string]string{
		"host=/tmp/x user=postgres dbname=postgres sslmode=disable dbname=t1": "t1",
		"postgres://u:p@h:5432/t2?sslmode=disable":                            "t2",
	} {
		if got := Name(dsn); got != want {
			t.Errorf("Name(%q) = %q, want %q", dsn, got, want)
		}
	}
}

func run(t *testing.T, dsn, query string) {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}
