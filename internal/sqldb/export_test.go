package sqldb

// Waiting is how many acts wait for the SQLite writer.
func Waiting(db *DB) int { return len(db.acts) }
