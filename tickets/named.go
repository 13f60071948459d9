package tickets

import (
	"context"
	"fmt"
	"strings"
)

// Named lists the accounts of an install ("platform/name") whose people bear that
// name, with or without an @: at most limit of them, each with the person's name.
func (s *Service) Named(ctx context.Context, install, name string, limit int) ([]Account, error) {
	var out []Account
	name = strings.TrimLeft(strings.TrimSpace(name), "@＠")
	err := s.db.Select(ctx, &out, `SELECT a.ref, a.person, p.name, a.seen, a.asked FROM accounts a JOIN people p ON p.id = a.person
		WHERE (p.name = ? OR lower(p.name) = ?) AND p.erased = 0 AND substr(a.ref, 1, ?) = ? ORDER BY a.ref LIMIT ?`,
		name, strings.ToLower(name), len([]rune(install))+1, install+"/", limit)
	if err != nil {
		return nil, fmt.Errorf("find by name: %w", err)
	}
	return out, nil
}

// Workers lists those who work at a desk by their account on an install, with
// their names as far as they are known: at most limit of them, who owns the
// fewest open tickets first.
func (s *Service) Workers(ctx context.Context, desk DeskKey, install string, limit int) ([]Account, error) {
	var out []Account
	err := s.db.Select(ctx, &out, `SELECT a.ref, a.person, p.name, a.seen, a.asked FROM accounts a JOIN people p ON p.id = a.person
		WHERE p.id IN (SELECT person FROM roles WHERE desk IN (?, '*') AND role IN ('agent', 'lead', 'admin'))
		AND p.erased = 0 AND substr(a.ref, 1, ?) = ?
		ORDER BY (SELECT count(*) FROM tickets t WHERE t.owner = p.id AND t.status IN ('new', 'active', 'waiting', 'held', 'solved')), p.name, a.ref LIMIT ?`,
		desk, len([]rune(install))+1, install+"/", limit)
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	return out, nil
}
