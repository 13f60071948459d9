package jobs

import (
	"database/sql"

	"github.com/riverqueue/river/riverdriver"
)

// RiversOwn is the executor that plainInserts stands in front of.
func RiversOwn(c *Client, tx *sql.Tx) riverdriver.ExecutorTx {
	return c.driver.(*postgresDriver).Driver.UnwrapExecutor(tx)
}

// Ours is the executor that the client uses.
func Ours(c *Client, tx *sql.Tx) riverdriver.ExecutorTx { return c.driver.UnwrapExecutor(tx) }
