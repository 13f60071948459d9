package tickets_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/paidan/paidan/internal/clock"
	"github.com/paidan/paidan/internal/jobs"
	"github.com/paidan/paidan/internal/sqldb"
	"github.com/paidan/paidan/tickets"
	"github.com/paidan/paidan/tickets/ticketstest"
)

// racerEnv makes the test binary a racer: its value is the address of the
// database after a name for the process.
const racerEnv = "PAIDAN_TEST_RACER"

const (
	racedTickets = 200
	racers       = 32 // over all processes
)

// claimed is what one racer came to with one ticket.
type claimed struct {
	Ticket tickets.TicketID
	Racer  string
	Won    bool
	By     tickets.PersonID // who won, as a loser was told
	Err    string
}

// racer is the main function of a second process: it claims every ticket that
// it reads from its input, with half of the racers at once.
func racer(task string) int {
	half, url, _ := strings.Cut(task, " ")
	ctx := context.Background()
	db, err := sqldb.Open(ctx, url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer db.Close()
	var ids []tickets.TicketID
	if err := json.NewDecoder(os.Stdin).Decode(&ids); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := serviceOn(db)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil { // the starting shot
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(claimAll(ctx, s, ids, half)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serviceOn(db *sqldb.DB) (*tickets.Service, error) {
	client, err := jobs.New(db, clock.New(), nil, jobs.Options{})
	if err != nil {
		return nil, err
	}
	return tickets.NewService(db, client, slog.New(slog.DiscardHandler)), nil
}

// claimAll has half of the racers claim every ticket, each its own way through them.
func claimAll(ctx context.Context, s *tickets.Service, ids []tickets.TicketID, half string) []claimed {
	var mu sync.Mutex // guards out
	var out []claimed
	var g errgroup.Group
	for i := range racers / 2 {
		g.Go(func() error {
			name := fmt.Sprintf("chat/one/racer-%s-%d", half, i)
			for _, id := range ids {
				r, err := s.Do(ctx, tickets.Request{Once: name + string(id), Account: name, Ticket: id, Command: tickets.Claim{}, Via: triage, Now: start})
				c := claimed{Ticket: id, Racer: name, Won: err == nil && len(r.Events) == 1}
				if e, ok := err.(*tickets.Error); ok && e.Code == tickets.AlreadyClaimed {
					c.By = tickets.PersonID(e.Args["by"])
				} else if err != nil {
					c.Err = describe(err)
				}
				mu.Lock()
				out = append(out, c)
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // no racer returns an error: it is in what he came to
	return out
}

// TestOneClaimWins (TD01): 200 tickets, 32 racers in two processes. SQLite's file
// belongs to one process, and a second one is refused by its lock, so there the
// two are two services on the same database.
func TestOneClaimWins(t *testing.T) {
	ticketstest.EachURL(t, func(t *testing.T, url string) {
		db := ticketstest.Open(t, url)
		h := newHouse(t, db)
		ids := h.prepareRace()
		var results []claimed
		if db.SQLite() {
			results = raceHere(t, db, ids)
		} else {
			results = raceProcesses(t, url, ids)
		}
		h.checkRace(ids, results)
	})
}

func (h *house) prepareRace() []tickets.TicketID {
	c := setup()
	for _, half := range []string{"a", "b"} {
		for i := range racers / 2 {
			c.Desks[0].Agents = append(c.Desks[0].Agents, fmt.Sprintf("chat/one/racer-%s-%d", half, i))
		}
	}
	if err := h.s.Configure(h.t.Context(), c, h.now); err != nil {
		h.t.Fatal(err)
	}
	var ids []tickets.TicketID
	for i := range racedTickets {
		ids = append(ids, h.open(fmt.Sprintf("第 %d 张", i)).ID)
	}
	return ids
}

func raceHere(t *testing.T, db *sqldb.DB, ids []tickets.TicketID) []claimed {
	if _, err := sqldb.Open(t.Context(), db.URL()); err == nil {
		t.Fatal("a second owner of the file was let in")
	}
	var halves [2][]claimed
	var g errgroup.Group
	for i, half := range []string{"a", "b"} {
		s, err := serviceOn(db)
		if err != nil {
			t.Fatal(err)
		}
		g.Go(func() error {
			halves[i] = claimAll(t.Context(), s, ids, half)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return append(halves[0], halves[1]...)
}

func raceProcesses(t *testing.T, url string, ids []tickets.TicketID) []claimed {
	input, err := json.Marshal(ids)
	if err != nil {
		t.Fatal(err)
	}
	var results []claimed
	var mu sync.Mutex // guards results
	g, ctx := errgroup.WithContext(t.Context())
	ready, shot := make(chan struct{}, 2), make(chan struct{})
	for _, half := range []string{"a", "b"} {
		g.Go(func() error {
			got, err := childRacer(ctx, half+" "+url, input, ready, shot)
			mu.Lock()
			defer mu.Unlock()
			results = append(results, got...)
			return err
		})
	}
	g.Go(func() error {
		for range 2 {
			select {
			case <-ready:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		close(shot)
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return results
}

// childRacer runs one racing process and returns what its racers came to.
func childRacer(ctx context.Context, task string, ids []byte, ready chan<- struct{}, shot <-chan struct{}) ([]claimed, error) {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), racerEnv+"="+task)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var got []claimed
	err = func() error {
		if _, err := in.Write(ids); err != nil {
			return err
		}
		r := bufio.NewReader(out)
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
		ready <- struct{}{}
		select {
		case <-shot:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := fmt.Fprintln(in); err != nil {
			return err
		}
		return json.NewDecoder(r).Decode(&got)
	}()
	if wait := cmd.Wait(); wait != nil {
		return nil, fmt.Errorf("racer: %w: %s", wait, stderr.String())
	}
	return got, err
}

func (h *house) checkRace(ids []tickets.TicketID, results []claimed) {
	h.t.Helper()
	if len(results) != racedTickets*racers {
		h.t.Fatalf("got %d answers, want %d", len(results), racedTickets*racers)
	}
	winners := map[tickets.TicketID][]string{}
	for _, c := range results {
		if c.Err != "" {
			h.t.Errorf("%s: %s", c.Racer, c.Err)
		}
		if c.Won {
			winners[c.Ticket] = append(winners[c.Ticket], c.Racer)
		}
	}
	owner := map[tickets.TicketID]tickets.PersonID{}
	twice := 0
	for _, id := range ids {
		if len(winners[id]) != 1 {
			twice++
			continue
		}
		owner[id] = h.actor(winners[id][0]).Person
		if got := h.ticket(id).Owner; got != owner[id] {
			h.t.Errorf("ticket %s belongs to %s, want the winner %s", id, got, owner[id])
		}
	}
	if twice > 0 {
		h.t.Errorf("%d of %d tickets have not exactly one winner", twice, len(ids))
	}
	for _, c := range results {
		if !c.Won && c.By != owner[c.Ticket] {
			h.t.Errorf("loser %s of %s was told %q, want %q", c.Racer, c.Ticket, c.By, owner[c.Ticket])
		}
	}
	if n := h.count(`SELECT count(*) FROM events WHERE kind = 'claimed'`); n != len(ids) {
		h.t.Errorf("claims in the record = %d, want %d", n, len(ids))
	}
}
