package jobs

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/riverqueue/river/riverdriver"

	"github.com/paidan/paidan/internal/sqldb"
)

// promoteAtOnce bounds how many jobs become due in one transaction.
const promoteAtOnce = 1000

// watchClock makes due at once what a move of the clock made due. River's own
// scheduler looks every five seconds of real time, and only in the process that
// leads: a leader that died under a held clock never stops leading.
func (c *Client) watchClock(ctx context.Context) {
	for {
		changed := c.clock.Changed()
		if !c.clock.Real() {
			if err := c.promote(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("jobs were not promoted after the clock was moved", slog.Any("err", err))
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (c *Client) promote(ctx context.Context) error {
	for {
		var due int
		err := c.db.Tx(ctx, func(tx *sqldb.Tx) (err error) {
			due, err = c.promoteTx(ctx, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("promote scheduled jobs: %w", err)
		}
		if due < promoteAtOnce {
			return nil
		}
	}
}

func (c *Client) promoteTx(ctx context.Context, tx *sqldb.Tx) (int, error) {
	ctx = tx.Context(ctx)
	now := c.clock.Now()
	exec := c.driver.UnwrapExecutor(tx.Raw())
	due, err := exec.JobSchedule(ctx, &riverdriver.JobScheduleParams{Max: promoteAtOnce, Now: &now})
	if err != nil || len(due) == 0 {
		return 0, err
	}
	var queues []string
	for _, d := range due {
		queues = append(queues, d.Job.Queue)
	}
	return len(due), c.tell(ctx, tx, queues)
}
