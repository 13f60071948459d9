package tickets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/paidan/paidan/internal/sqldb"
)

// MaxFile is the largest file that is copied, in bytes.
const MaxFile = 25 << 20

// PutBlob keeps a file's content, once however often it comes, and returns its
// SHA-256 in hex.
func (s *Service) PutBlob(ctx context.Context, content []byte, now time.Time) (string, error) {
	sum := sha256.Sum256(content)
	hash := hex.EncodeToString(sum[:])
	err := s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO blobs (hash, size, content, at) VALUES (?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING`, hash, len(content), content, At(now))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("keep file: %w", err)
	}
	return hash, nil
}

// Blob returns a file's content.
func (s *Service) Blob(ctx context.Context, hash string) ([]byte, error) {
	var content []byte
	if err := s.db.Get(ctx, &content, `SELECT content FROM blobs WHERE hash = ?`, hash); err != nil {
		return nil, fmt.Errorf("load file: %w", err)
	}
	return content, nil
}
