//go:build unix

package jobs_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"

	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/jobs"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// A new version of River may fill a column that we do not know: this says so.
func TestPlainInsertsWriteWhatRiverWrites(t *testing.T) {
	db := ticketstest.Open(t, ticketstest.Postgres(t))
	c := newClient(t, db, clock.New(), &echo{}, jobs.Options{})
	created := time.Date(2026, 3, 2, 9, 30, 0, 123456000, time.UTC)
	due := created.Add(72 * time.Hour)
	many := []*riverdriver.JobInsertFastParams{
		{Args: echoArgs{"a"}, EncodedArgs: []byte(`{"text":"a"}`), Kind: "test.echo", MaxAttempts: 25, Metadata: []byte(`{}`), Priority: 1, Queue: "default", State: rivertype.JobStateAvailable, CreatedAt: &created, ScheduledAt: &created},
		{Args: echoArgs{"b"}, EncodedArgs: []byte(`{"text":"财务's \"盘\" \\ \u0001"}`), Kind: "test.echo", MaxAttempts: 1, Metadata: []byte(`{"k":[1,2]}`), Priority: 4, Queue: "other", State: rivertype.JobStateScheduled, Tags: []string{"one", "two-2"}, CreatedAt: &created, ScheduledAt: &due},
		{Args: echoArgs{""}, Kind: "test.echo", MaxAttempts: 3, Priority: 2, Queue: "other", State: rivertype.JobStatePending, Tags: []string{}, CreatedAt: &created, ScheduledAt: &due},
	}
	rows := func(f func(tx *sqldb.Tx) riverdriver.ExecutorTx) (out []string) {
		t.Helper()
		err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			n, err := f(tx).JobInsertFastManyNoReturning(t.Context(), &riverdriver.JobInsertFastManyParams{Jobs: many})
			if err == nil && n != len(many) {
				t.Errorf("inserted %d, want %d", n, len(many))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Select(t.Context(), &out, `SELECT cast(to_jsonb(j) - 'id' as text) FROM river_job j ORDER BY id`); err != nil {
			t.Fatal(err)
		}
		change(t, db, `DELETE FROM river_job`)
		return out
	}
	want := rows(func(tx *sqldb.Tx) riverdriver.ExecutorTx { return jobs.RiversOwn(c, tx.Raw()) })
	got := rows(func(tx *sqldb.Tx) riverdriver.ExecutorTx { return jobs.Ours(c, tx.Raw()) })
	if diff := cmp.Diff(want, got); diff != "" || len(want) != len(many) {
		t.Errorf("rows of River (-) and ours (+):\n%s", diff)
	}
}

func TestUniqueJobsAreLeftToRiver(t *testing.T) {
	var mu sync.Mutex // guards said
	var said []string
	ctx := sqldb.Traced(t.Context(), func(s sqldb.Statement) {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(s.SQL, "INSERT INTO river_job") {
			said = append(said, s.SQL)
		}
	})
	db, err := sqldb.Open(ctx, ticketstest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	c := newClient(t, db, clock.New(), &echo{}, jobs.Options{})
	for range 2 {
		insert(t, db, c, &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}}, "once")
	}
	insert(t, db, c, nil, "often")
	insert(t, db, c, nil, "often")
	var n int
	if err := db.Get(context.Background(), &n, `SELECT count(*) FROM river_job`); err != nil || n != 3 {
		t.Errorf("%d jobs, %v; want the unique one once and the other twice", n, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(said) != 4 || !strings.Contains(said[0], "ON CONFLICT") || strings.Contains(said[2], "unnest") {
		t.Errorf("inserted by:\n%s", strings.Join(said, "\n"))
	}
}

func change(t *testing.T, db *sqldb.DB, query string) {
	t.Helper()
	err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(t.Context(), query)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
