package tickets

import (
	"context"
	"fmt"

	"github.com/paidan/paidan/internal/sqldb"
)

// Meta returns a single fact about the installation; "" when it is not known.
func (s *Service) Meta(ctx context.Context, key string) (string, error) {
	var v []string
	if err := s.db.Select(ctx, &v, `SELECT value FROM meta WHERE key = ?`, key); err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	if len(v) == 0 {
		return "", nil
	}
	return v[0], nil
}

// SetMeta keeps a single fact about the installation.
func (s *Service) SetMeta(ctx context.Context, key, value string) error {
	return s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
		return err
	})
}
