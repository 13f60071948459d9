package tickets

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// LanesOf lists the places where a ticket shows.
func (s *Service) LanesOf(ctx context.Context, id TicketID) ([]Place, error) {
	var out []Place
	if err := s.db.Select(ctx, &out, `SELECT `+placeColumns+` FROM places WHERE ticket_id = ? AND NOT gone ORDER BY lane`, id); err != nil {
		return nil, fmt.Errorf("load places: %w", err)
	}
	return out, nil
}

// AskedBy lists the tickets that the actor asked for and that are not closed,
// newest first.
func (s *Service) AskedBy(ctx context.Context, a Actor, limit int) (rows []Row, more int, err error) {
	in, args := a.in()
	return s.rows(ctx, limit, `SELECT `+ticketColumns+` FROM tickets WHERE requester IN `+in+` AND status NOT IN ('closed', 'archived') ORDER BY number DESC`, args...)
}

// worker is somebody who works at a desk, with how many open tickets he owns.
type worker struct {
	ID   PersonID `db:"id"`
	Name string   `db:"name"`
	Open int      `db:"open"`
}

func (s *Service) workers(ctx context.Context, desk DeskKey) ([]worker, error) {
	var out []worker
	err := s.db.Select(ctx, &out, `SELECT p.id, p.name, (SELECT count(*) FROM tickets t WHERE t.owner = p.id AND t.status IN ('new', 'active', 'waiting', 'held', 'solved')) AS open
		FROM people p WHERE p.id IN (SELECT person FROM roles WHERE desk IN (?, '*') AND role IN ('agent', 'lead', 'admin')) ORDER BY p.name, p.id`, desk)
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	return out, nil
}

// AgentNamed is the one person working at the desk who bears that name, with or
// without an @. It refuses with NoSuchPerson when there is none or more than one.
func (s *Service) AgentNamed(ctx context.Context, desk DeskKey, name string) (PersonID, error) {
	all, err := s.workers(ctx, desk)
	if err != nil {
		return "", err
	}
	name = strings.TrimLeft(strings.TrimSpace(name), "@＠")
	all = slices.DeleteFunc(all, func(w worker) bool { return !strings.EqualFold(w.Name, name) })
	if len(all) != 1 {
		return "", Refuse(NoSuchPerson)
	}
	return all[0].ID, nil
}

// LeastBusy is the one of some people who works at the desk and owns the fewest
// open tickets; of equals, the first of people.
func (s *Service) LeastBusy(ctx context.Context, desk DeskKey, people []PersonID) (PersonID, error) {
	all, err := s.workers(ctx, desk)
	if err != nil {
		return "", err
	}
	best := worker{Open: -1}
	for _, p := range people {
		i := slices.IndexFunc(all, func(w worker) bool { return w.ID == p })
		if i >= 0 && (best.Open < 0 || all[i].Open < best.Open) {
			best = all[i]
		}
	}
	if best.ID == "" {
		return "", Refuse(NoSuchPerson)
	}
	return best.ID, nil
}
