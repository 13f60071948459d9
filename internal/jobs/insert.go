package jobs

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/riverqueue/river/riverdriver"
)

// UnwrapExecutor is River's executor for a transaction of ours, with plainer inserts.
func (d *postgresDriver) UnwrapExecutor(tx *sql.Tx) riverdriver.ExecutorTx {
	return &plainInserts{ExecutorTx: d.Driver.UnwrapExecutor(tx), tx: tx}
}

// plainInserts writes jobs that need not be unique by a plain INSERT of values.
// River's own statement unnests twelve arrays and looks for conflicts, which
// costs about twice as much: it was a third of what a click costs the database.
// Everything that is decided about a job (its state, its defaults, whether it
// is allowed) has been decided by River before.
type plainInserts struct {
	riverdriver.ExecutorTx
	tx *sql.Tx
}

const (
	insertColumns = 10
	maxPlain      = 100 // jobs in one statement
)

// JobInsertFastManyNoReturning inserts the jobs and returns how many.
func (e *plainInserts) JobInsertFastManyNoReturning(ctx context.Context, p *riverdriver.JobInsertFastManyParams) (int, error) {
	if p.Schema != "" || len(p.Jobs) == 0 || len(p.Jobs) > maxPlain {
		return e.ExecutorTx.JobInsertFastManyNoReturning(ctx, p)
	}
	for _, j := range p.Jobs {
		if j.ID != nil || len(j.UniqueKey) > 0 || j.UniqueStates != 0 {
			return e.ExecutorTx.JobInsertFastManyNoReturning(ctx, p)
		}
	}
	now := time.Now().UTC()
	at := func(t *time.Time) time.Time {
		if t == nil {
			return now
		}
		return *t
	}
	var query strings.Builder
	query.WriteString(`INSERT INTO river_job (args, created_at, kind, max_attempts, metadata, priority, queue, scheduled_at, state, tags) VALUES `)
	args := make([]any, 0, insertColumns*len(p.Jobs))
	for i, j := range p.Jobs {
		if i > 0 {
			query.WriteString(", ")
		}
		mark := "("
		for k := range insertColumns {
			query.WriteString(mark + "$" + strconv.Itoa(len(args)+k+1))
			mark = ", "
		}
		query.WriteString(")")
		tags := j.Tags
		if tags == nil {
			tags = []string{}
		}
		// Text, not bytes: the driver sends bytes in binary, which jsonb reads otherwise.
		args = append(args, cmp.Or(string(j.EncodedArgs), "{}"), at(j.CreatedAt), j.Kind, j.MaxAttempts, cmp.Or(string(j.Metadata), "{}"),
			j.Priority, j.Queue, at(j.ScheduledAt), string(j.State), pq.Array(tags))
	}
	res, err := e.tx.ExecContext(ctx, query.String(), args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("count inserted jobs: %w", err)
	}
	return int(n), nil
}
