//go:build unix

package sqldb

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// lockFile takes the lock that lets one process at a time open a SQLite file.
// SQLite itself would let several in, but jobs are woken, and the clock of the
// playground is set, inside one process. The system frees the lock when the
// process ends in whatever way; the file stays.
func lockFile(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
