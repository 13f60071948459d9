package tickets

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/paidan/paidan/internal/sqldb"
)

// Profile is what a platform tells about an account.
type Profile struct {
	Account string // platform/install/id
	Name    string
	Email   string // only where the platform's directory vouches for it
	Phone   string // likewise; with the country's code, "+8613800000000"
	Locale  string
	Zone    string
	Guest   bool // external or restricted: may ask, may not work
	Others  bool // somebody else named him: he has not used the account just now
}

// seen is when the account was used, or 0 when it was not.
func (p Profile) seen(now Time) Time {
	if p.Others {
		return 0
	}
	return now
}

// EnsureAccount makes the account known and returns whose it is. A new account
// belongs to the person with the same e-mail address or phone number, if its
// platform vouches for it, else to a new person who is nothing but a requester.
func (s *Service) EnsureAccount(ctx context.Context, p Profile, now time.Time) (PersonID, error) {
	p.Name, p.Email = plain(strings.TrimSpace(p.Name)), strings.ToLower(plain(strings.TrimSpace(p.Email)))
	p.Phone = dialled(p.Phone)
	var id PersonID
	err := s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		var err error
		id, err = ensureAccount(ctx, tx, p, At(now))
		return err
	})
	return id, err
}

func ensureAccount(ctx context.Context, tx *sqldb.Tx, p Profile, now Time) (PersonID, error) {
	var have []PersonID
	if err := tx.Select(ctx, &have, `SELECT person FROM accounts WHERE ref = ?`, p.Account); err != nil {
		return "", fmt.Errorf("find account: %w", err)
	}
	if len(have) > 0 {
		return have[0], updateAccount(ctx, tx, have[0], p, now)
	}
	id, err := personFor(ctx, tx, p, now)
	if err != nil {
		return "", err
	}
	n, err := tx.Exec(ctx, `INSERT INTO accounts (ref, person, name, guest, seen, asked) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (ref) DO NOTHING`,
		p.Account, id, p.Name, p.Guest, p.seen(now), now)
	if err != nil {
		return "", fmt.Errorf("insert account: %w", err)
	}
	if n == 0 { // somebody else introduced it just now; the person made above stays unused
		err = tx.Get(ctx, &id, `SELECT person FROM accounts WHERE ref = ?`, p.Account)
	}
	return id, err
}

func personFor(ctx context.Context, tx *sqldb.Tx, p Profile, now Time) (PersonID, error) {
	if p.Guest {
		p.Email, p.Phone = "", "" // who an outsider is nobody vouches for; he must not come to be taken for a member
	}
	for _, by := range []struct{ column, value string }{{"email", p.Email}, {"phone", p.Phone}} {
		if by.value == "" {
			continue
		}
		var same []PersonID
		if err := tx.Select(ctx, &same, `SELECT id FROM people WHERE `+by.column+` = ? AND `+by.column+` <> '' AND merged = '' AND erased = 0`, by.value); err != nil {
			return "", fmt.Errorf("find person: %w", err)
		}
		if len(same) == 1 { // of two, nobody knows which one it is
			return same[0], nil
		}
	}
	id := PersonID(uuid.Must(uuid.NewV7()).String())
	_, err := tx.Exec(ctx, `INSERT INTO people (id, name, email, phone, locale, zone, created) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		id, p.Name, p.Email, p.Phone, p.Locale, p.Zone, now)
	if err != nil {
		return "", fmt.Errorf("insert person: %w", err)
	}
	return id, nil
}

// updateAccount takes over what the platform tells now. What it does not tell
// stays, and so does a name that the person has from elsewhere.
func updateAccount(ctx context.Context, tx *sqldb.Tx, id PersonID, p Profile, now Time) error {
	if p.Guest {
		p.Email, p.Phone = "", ""
	}
	_, err := tx.Exec(ctx, `UPDATE people SET name = CASE WHEN ? <> '' AND name IN ('', (SELECT a.name FROM accounts a WHERE a.ref = ?)) THEN ? ELSE name END,
		locale = CASE WHEN ? = '' THEN locale ELSE ? END, zone = CASE WHEN ? = '' THEN zone ELSE ? END,
		email = CASE WHEN email = '' THEN ? ELSE email END, phone = CASE WHEN phone = '' THEN ? ELSE phone END WHERE id = ?`,
		p.Name, p.Account, p.Name, p.Locale, p.Locale, p.Zone, p.Zone, p.Email, p.Phone, id)
	if err != nil {
		return fmt.Errorf("update person: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE accounts SET name = CASE WHEN ? = '' THEN name ELSE ? END, guest = ?, seen = CASE WHEN seen < ? THEN ? ELSE seen END, asked = ? WHERE ref = ?`,
		p.Name, p.Name, p.Guest, p.seen(now), p.seen(now), now, p.Account); err != nil {
		return fmt.Errorf("update account: %w", err)
	}
	return nil
}

// Used notes that a person uses an account, if another one of his was used
// later until now: what he is to be told in private comes to the last one.
func (s *Service) Used(ctx context.Context, account string, now time.Time) error {
	var other []string
	err := s.db.Select(ctx, &other, `SELECT b.ref FROM accounts a JOIN accounts b ON b.person = a.person AND b.ref <> a.ref AND b.seen >= a.seen WHERE a.ref = ? LIMIT 1`, account)
	if err != nil {
		return fmt.Errorf("find other accounts: %w", err)
	}
	if len(other) == 0 {
		return nil
	}
	return s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE accounts SET seen = ? WHERE ref = ? AND seen < ?`, At(now), account, At(now)); err != nil {
			return fmt.Errorf("note use: %w", err)
		}
		return nil
	})
}

// Account is an account as it is known.
type Account struct {
	Ref    string   `db:"ref"`
	Person PersonID `db:"person"`
	Name   string   `db:"name"`
	Seen   Time     `db:"seen"`
	Asked  Time     `db:"asked"`
}

// AccountOf returns what is known of an account; ErrNoAccount when nothing is.
func (s *Service) AccountOf(ctx context.Context, ref string) (Account, error) {
	var a []Account
	if err := s.db.Select(ctx, &a, `SELECT ref, person, name, seen, asked FROM accounts WHERE ref = ?`, ref); err != nil {
		return Account{}, fmt.Errorf("find account: %w", err)
	}
	if len(a) == 0 {
		return Account{}, ErrNoAccount
	}
	return a[0], nil
}

// AccountsOf returns a person's accounts, the one used last first.
func (s *Service) AccountsOf(ctx context.Context, p PersonID) ([]Account, error) {
	var a []Account
	if err := s.db.Select(ctx, &a, `SELECT ref, person, name, seen, asked FROM accounts WHERE person = ? ORDER BY seen DESC, ref`, p); err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return a, nil
}

// ActorOf reads an account's person and rights outside of any decision: for what
// is shown, never for what is done.
func (s *Service) ActorOf(ctx context.Context, account string) (Actor, error) {
	return loadAccount(ctx, s.db, account)
}

// Setup is the part of the installation that stands in the configuration.
type Setup struct {
	Desks  []DeskSetup
	People []PersonSetup
	Admins []string // accounts
}

// DeskSetup is a desk with its groups and people.
type DeskSetup struct {
	Desk
	Intake, Triage []string // lanes
	Agents, Leads  []string // accounts
	Auditors       []string
}

// PersonSetup is one person with several accounts.
type PersonSetup struct {
	Name, Email, Phone string
	Accounts           []string
}

// Configure makes the database agree with the configuration. What was set up in
// chat stays; what an earlier configuration said and this one does not, goes.
func (s *Service) Configure(ctx context.Context, c Setup, now time.Time) error {
	err := s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		for _, p := range c.People {
			if err := configurePerson(ctx, tx, p, At(now)); err != nil {
				return err
			}
		}
		for _, q := range []string{
			`DELETE FROM roles WHERE source = 'config'`,
			`UPDATE conversations SET desk = '', use = '' WHERE source = 'config'`, // how much is said there is set in chat
			`DELETE FROM desks`,
		} {
			if _, err := tx.Exec(ctx, q); err != nil {
				return fmt.Errorf("forget the earlier configuration: %w", err)
			}
		}
		for i, d := range c.Desks {
			if err := configureDesk(ctx, tx, d, i, At(now)); err != nil {
				return fmt.Errorf("desk %s: %w", d.Key, err)
			}
		}
		if err := grantAll(ctx, tx, c.Admins, EveryDesk, Admin, "config", At(now)); err != nil {
			return err
		}
		// Who was an agent for being in a group that is no triage group any more.
		_, err := tx.Exec(ctx, `DELETE FROM roles WHERE source NOT IN ('config', 'chat') AND NOT EXISTS (
			SELECT 1 FROM conversations c WHERE c.lane = roles.source AND c.desk = roles.desk AND c.use = 'triage')`)
		if err != nil {
			return fmt.Errorf("forget members: %w", err)
		}
		return nil
	})
	s.desks.mu.Lock()
	s.desks.desks = nil
	s.desks.mu.Unlock()
	return err
}

func configurePerson(ctx context.Context, tx *sqldb.Tx, p PersonSetup, now Time) error {
	var id PersonID
	for _, ref := range p.Accounts {
		if id == "" {
			got, err := ensureAccount(ctx, tx, Profile{Account: ref, Name: p.Name, Email: strings.ToLower(p.Email), Phone: dialled(p.Phone)}, now)
			if err != nil {
				return err
			}
			id = got
			continue
		}
		if err := tie(ctx, tx, ref, id, p.Name, now); err != nil {
			return err
		}
	}
	return nil
}

// tie makes the account id's. Whoever it belonged to turns out to be the same
// person, with all that he asked for and owns.
func tie(ctx context.Context, tx *sqldb.Tx, ref string, id PersonID, name string, now Time) error {
	var was []PersonID
	if err := tx.Select(ctx, &was, `SELECT person FROM accounts WHERE ref = ?`, ref); err != nil {
		return fmt.Errorf("find account: %w", err)
	}
	if len(was) > 0 && was[0] != id {
		return mergePeople(ctx, tx, was[0], id, "", now)
	}
	_, err := tx.Exec(ctx, `INSERT INTO accounts (ref, person, name) VALUES (?, ?, ?) ON CONFLICT (ref) DO NOTHING`, ref, id, name)
	if err != nil {
		return fmt.Errorf("tie account: %w", err)
	}
	return nil
}

func configureDesk(ctx context.Context, tx *sqldb.Tx, d DeskSetup, rank int, now Time) error {
	doc, err := json.Marshal(d.Desk)
	if err != nil {
		return fmt.Errorf("encode desk: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO desks (key, doc, rank) VALUES (?, ?, ?)`, d.Key, string(doc), rank); err != nil {
		return fmt.Errorf("insert desk: %w", err)
	}
	for use, lanes := range map[string][]string{"intake": d.Intake, "triage": d.Triage} {
		for _, l := range lanes {
			_, err := tx.Exec(ctx, `INSERT INTO conversations (lane, desk, use, source) VALUES (?, ?, ?, 'config')
				ON CONFLICT (lane) DO UPDATE SET desk = excluded.desk, use = excluded.use, source = excluded.source`, l, d.Key, use)
			if err != nil {
				return fmt.Errorf("insert group: %w", err)
			}
		}
	}
	for role, refs := range map[Role][]string{Agent: d.Agents, Lead: d.Leads, Auditor: d.Auditors} {
		if err := grantAll(ctx, tx, refs, d.Key, role, "config", now); err != nil {
			return err
		}
	}
	return nil
}

func grantAll(ctx context.Context, tx *sqldb.Tx, accounts []string, desk DeskKey, role Role, source string, now Time) error {
	for _, ref := range accounts {
		id, err := ensureAccount(ctx, tx, Profile{Account: ref}, now)
		if err != nil {
			return err
		}
		if err := grantRole(ctx, tx, id, desk, role, source); err != nil {
			return err
		}
	}
	return nil
}

func grantRole(ctx context.Context, tx *sqldb.Tx, p PersonID, desk DeskKey, role Role, source string) error {
	_, err := tx.Exec(ctx, `INSERT INTO roles (person, desk, role, source) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, p, desk, role, source)
	if err != nil {
		return fmt.Errorf("grant role: %w", err)
	}
	return nil
}

// SetMembers makes the accounts, and nobody else, agents of the desk whose
// triage group lane is. It does nothing where lane is no triage group.
func (s *Service) SetMembers(ctx context.Context, lane string, accounts []string, now time.Time) error {
	return s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		desk, err := triageDesk(ctx, tx, lane)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM roles WHERE source = ?`, lane); err != nil {
			return fmt.Errorf("forget members: %w", err)
		}
		if desk == "" {
			return nil
		}
		return grantAll(ctx, tx, accounts, desk, Agent, lane, At(now))
	})
}

// Member follows one account joining or leaving a group.
func (s *Service) Member(ctx context.Context, lane, account string, in bool, now time.Time) error {
	return s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		desk, err := triageDesk(ctx, tx, lane)
		if err != nil || desk == "" {
			return err
		}
		if in {
			return grantAll(ctx, tx, []string{account}, desk, Agent, lane, At(now))
		}
		_, err = tx.Exec(ctx, `DELETE FROM roles WHERE source = ? AND person IN (SELECT person FROM accounts WHERE ref = ?)`, lane, account)
		if err != nil {
			return fmt.Errorf("forget member: %w", err)
		}
		return nil
	})
}

func triageDesk(ctx context.Context, q sqldb.Querier, lane string) (DeskKey, error) {
	var desk []DeskKey
	if err := q.Select(ctx, &desk, `SELECT desk FROM conversations WHERE lane = ? AND use = 'triage'`, lane); err != nil {
		return "", fmt.Errorf("find group: %w", err)
	}
	if len(desk) == 0 {
		return "", nil
	}
	return desk[0], nil
}

// BindGroup makes a group the intake or triage of a desk; an admin's act. An
// empty desk unbinds it.
func (s *Service) BindGroup(ctx context.Context, account string, g Group) error {
	return s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		a, err := loadAccount(ctx, tx, account)
		if err != nil {
			return err
		}
		if !a.Is(Admin, g.Desk) {
			return Refuse(NotAllowed, "verb", "settings")
		}
		if g.Desk != "" {
			if g.Use != "intake" && g.Use != "triage" {
				return Refuse(BadValue, "field", "use", "why", "choice")
			}
			var known []DeskKey
			if err := tx.Select(ctx, &known, `SELECT key FROM desks WHERE key = ?`, g.Desk); err != nil {
				return fmt.Errorf("find desk: %w", err)
			}
			if len(known) == 0 {
				return Refuse(NoSuchDesk, "desk", string(g.Desk))
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO conversations (lane, desk, use, name, locale, source) VALUES (?, ?, ?, ?, ?, 'chat')
			ON CONFLICT (lane) DO UPDATE SET desk = excluded.desk, use = excluded.use, name = excluded.name, source = 'chat', gone = FALSE`,
			g.Lane, g.Desk, g.Use, plain(g.Name), g.Locale)
		if err != nil {
			return fmt.Errorf("bind group: %w", err)
		}
		_, err = tx.Exec(ctx, `DELETE FROM roles WHERE source = ? AND (desk <> ? OR ? <> 'triage')`, g.Lane, g.Desk, g.Use)
		return err
	})
}

// SetLevel says how much is posted in a group; whoever works at its desk may.
func (s *Service) SetLevel(ctx context.Context, account, lane, level string) error {
	if !slices.Contains([]string{"quiet", "standard", "detailed"}, level) {
		return Refuse(BadValue, "field", "level", "why", "choice")
	}
	return s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		a, err := loadAccount(ctx, tx, account)
		if err != nil {
			return err
		}
		g, err := groupOf(ctx, tx, lane)
		if err != nil {
			return err
		}
		if g.Desk == "" || !a.Works(g.Desk) {
			return Refuse(NotAllowed, "verb", "level")
		}
		_, err = tx.Exec(ctx, `UPDATE conversations SET level = ? WHERE lane = ?`, level, lane)
		return err
	})
}

// SetLocale says in which language a group is written to; whoever works at its
// desk may.
func (s *Service) SetLocale(ctx context.Context, account, lane, locale string) error {
	return s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		a, err := loadAccount(ctx, tx, account)
		if err != nil {
			return err
		}
		g, err := groupOf(ctx, tx, lane)
		if err != nil {
			return err
		}
		if g.Desk == "" || !a.Works(g.Desk) {
			return Refuse(NotAllowed, "verb", "settings")
		}
		_, err = tx.Exec(ctx, `UPDATE conversations SET locale = ? WHERE lane = ?`, plain(locale), lane)
		return err
	})
}

// NoteGroup remembers what a group is called, or that the bot is no longer in it.
func (s *Service) NoteGroup(ctx context.Context, lane, name string, gone bool) error {
	return s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO conversations (lane, name, gone) VALUES (?, ?, ?)
			ON CONFLICT (lane) DO UPDATE SET name = CASE WHEN excluded.name = '' THEN conversations.name ELSE excluded.name END, gone = excluded.gone`,
			lane, plain(name), gone)
		return err
	})
}

// GroupOf returns what is known of a group; a group nobody set up is empty but
// for its lane.
func (s *Service) GroupOf(ctx context.Context, lane string) (Group, error) {
	return groupOf(ctx, s.db, lane)
}

func groupOf(ctx context.Context, q sqldb.Querier, lane string) (Group, error) {
	var g []Group
	if err := q.Select(ctx, &g, `SELECT `+groupColumns+` FROM conversations WHERE lane = ?`, lane); err != nil {
		return Group{}, fmt.Errorf("find group: %w", err)
	}
	if len(g) == 0 {
		return Group{Lane: lane, Level: "standard"}, nil
	}
	return g[0], nil
}

// TriageGroups lists the triage groups of all desks.
func (s *Service) TriageGroups(ctx context.Context) ([]Group, error) {
	var g []Group
	err := s.db.Select(ctx, &g, `SELECT `+groupColumns+` FROM conversations WHERE use = 'triage' AND NOT gone ORDER BY lane`)
	return g, err
}

// Desks lists the desks in the order of the configuration.
func (s *Service) Desks(ctx context.Context) ([]Desk, error) { return loadDesks(ctx, s.db) }

func loadDesks(ctx context.Context, q sqldb.Querier) ([]Desk, error) {
	var docs []string
	if err := q.Select(ctx, &docs, `SELECT doc FROM desks ORDER BY rank, key`); err != nil {
		return nil, fmt.Errorf("load desks: %w", err)
	}
	out := make([]Desk, len(docs))
	for i, doc := range docs {
		if err := json.Unmarshal([]byte(doc), &out[i]); err != nil {
			return nil, fmt.Errorf("decode desk: %w", err)
		}
	}
	return out, nil
}

// Codes: a link code ties a second account to a person, an admin code makes the
// first admin. Only their hashes are stored.
const (
	linkCodeFor  = 10 * time.Minute
	adminCodeFor = 15 * time.Minute
)

// NewAdminCode returns a code that makes whoever sends it to the bot in private
// the first admin, or "" when there is an admin already. An earlier code ends.
func (s *Service) NewAdminCode(ctx context.Context, now time.Time) (string, error) {
	raw := make([]byte, 10)
	_, _ = rand.Read(raw) // never fails: it ends the process instead
	text := base32.StdEncoding.EncodeToString(raw)[:16]
	code := text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
	err := s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		n, err := admins(ctx, tx)
		if err != nil {
			return err
		}
		if n > 0 {
			code = ""
			return nil
		}
		if _, err := tx.Exec(ctx, `DELETE FROM codes WHERE use = 'admin'`); err != nil {
			return fmt.Errorf("end earlier code: %w", err)
		}
		return insertCode(ctx, tx, code, "admin", "", "", At(now).Add(adminCodeFor))
	})
	return code, err
}

func admins(ctx context.Context, q sqldb.Querier) (int, error) {
	var n int
	err := q.Get(ctx, &n, `SELECT count(*) FROM roles WHERE role = 'admin' AND desk = '*'`)
	return n, err
}

// AdminAccounts are the accounts of everybody who administers the installation.
func (s *Service) AdminAccounts(ctx context.Context) ([]Account, error) {
	var a []Account
	err := s.db.Select(ctx, &a, `SELECT ref, person, name, seen, asked FROM accounts
		WHERE person IN (SELECT person FROM roles WHERE role = 'admin' AND desk = '*') ORDER BY person, seen DESC, ref`)
	if err != nil {
		return nil, fmt.Errorf("list admins: %w", err)
	}
	return a, nil
}

// Leads are the people who lead a desk.
func (s *Service) Leads(ctx context.Context, desk DeskKey) ([]PersonID, error) {
	var out []PersonID
	if err := s.db.Select(ctx, &out, `SELECT DISTINCT person FROM roles WHERE role = ? AND desk = ? ORDER BY person`, Lead, desk); err != nil {
		return nil, fmt.Errorf("list leads: %w", err)
	}
	return out, nil
}

// UseAdminCode makes the account's person an admin of everything, once, while
// there is none.
func (s *Service) UseAdminCode(ctx context.Context, account, code string, now time.Time) (bool, error) {
	done := false
	err := s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		done = false
		_, ok, err := takeCode(ctx, tx, strings.ToUpper(strings.TrimSpace(code)), "admin", At(now))
		if err != nil || !ok {
			return err
		}
		n, err := admins(ctx, tx)
		if err != nil || n > 0 {
			return err
		}
		a, err := loadAccount(ctx, tx, account)
		if err != nil {
			return err
		}
		done = true
		return grantRole(ctx, tx, a.Person, EveryDesk, Admin, "chat")
	})
	return done && err == nil, err
}

// NewLinkCode returns a six-digit code that ties the account to the person who
// sends it from another account of his. act is kept and given back then.
func (s *Service) NewLinkCode(ctx context.Context, account, act string, now time.Time) (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return "", fmt.Errorf("make code: %w", err)
	}
	code := fmt.Sprintf("%06d", n.Int64())
	err = s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM codes WHERE use = 'link' AND ref = ?`, account); err != nil {
			return fmt.Errorf("end earlier code: %w", err)
		}
		return insertCode(ctx, tx, code, "link", account, act, At(now).Add(linkCodeFor))
	})
	if sqldb.IsDuplicate(err) { // one in a million times the number of open codes
		return s.NewLinkCode(ctx, account, act, now)
	}
	return code, err
}

// Tied is what came of a link code.
type Tied struct {
	Account string // that asked for the code
	Act     string // what it wanted to do
	From    PersonID
	Into    PersonID
}

// UseLinkCode ties the account that asked for the code to the person who sends
// it. The rights of both come together in the sender's person.
func (s *Service) UseLinkCode(ctx context.Context, sender, code string, now time.Time) (Tied, bool, error) {
	var l Tied
	ok := false
	err := s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		l, ok = Tied{}, false
		c, found, err := takeCode(ctx, tx, strings.TrimSpace(code), "link", At(now))
		if err != nil || !found {
			return err
		}
		into, err := loadAccount(ctx, tx, sender)
		if err != nil {
			return err
		}
		from, err := loadAccount(ctx, tx, c.Ref)
		if err != nil {
			return err
		}
		l, ok = Tied{Account: c.Ref, Act: c.Act, From: from.Person, Into: into.Person}, true
		if from.Person == into.Person {
			return nil
		}
		return mergePeople(ctx, tx, from.Person, into.Person, sender, At(now))
	})
	return l, ok && err == nil, err
}

// merged is what moved when two people were found to be one: enough to part
// them again.
type mergedFacts struct {
	Accounts []string   `json:"accounts,omitempty"` // that were other's
	Roles    []roleRow  `json:"roles,omitempty"`    // that were other's
	Gained   []roleRow  `json:"gained,omitempty"`   // that person has only since
	Earlier  []PersonID `json:"earlier,omitempty"`  // who had been merged into other before
}

type roleRow struct {
	Desk   DeskKey `db:"desk" json:"desk"`
	Role   Role    `db:"role" json:"role"`
	Source string  `db:"source" json:"source"`
}

func rolesOf(ctx context.Context, q sqldb.Querier, p PersonID) ([]roleRow, error) {
	var out []roleRow
	if err := q.Select(ctx, &out, `SELECT desk, role, source FROM roles WHERE person = ? ORDER BY desk, role, source`, p); err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	return out, nil
}

// mergePeople makes from's accounts and roles into's. Tickets and events keep
// the name they were written with; loadActor knows that both are the same.
func mergePeople(ctx context.Context, tx *sqldb.Tx, from, into PersonID, actor string, now Time) error {
	var facts mergedFacts
	if err := tx.Select(ctx, &facts.Accounts, `SELECT ref FROM accounts WHERE person = ? ORDER BY ref`, from); err != nil {
		return fmt.Errorf("merge people: %w", err)
	}
	if err := tx.Select(ctx, &facts.Earlier, `SELECT id FROM people WHERE merged = ? ORDER BY id`, from); err != nil {
		return fmt.Errorf("merge people: %w", err)
	}
	had, err := rolesOf(ctx, tx, into)
	if err != nil {
		return err
	}
	if facts.Roles, err = rolesOf(ctx, tx, from); err != nil {
		return err
	}
	for _, r := range facts.Roles {
		if !slices.Contains(had, r) {
			facts.Gained = append(facts.Gained, r)
		}
	}
	if err := notePeople(ctx, tx, "merged", actor, into, from, facts, now); err != nil {
		return err
	}
	for _, q := range []string{
		`UPDATE accounts SET person = ? WHERE person = ?`,
		`INSERT INTO roles (person, desk, role, source) SELECT cast(? as text), desk, role, source FROM roles WHERE person = ? ON CONFLICT DO NOTHING`,
		`UPDATE people SET merged = ? WHERE id = ?`,
		`UPDATE people SET merged = ? WHERE merged = ?`,
	} {
		if _, err := tx.Exec(ctx, q, into, from); err != nil {
			return fmt.Errorf("merge people: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM roles WHERE person = ?`, from); err != nil {
		return fmt.Errorf("merge people: %w", err)
	}
	return nil
}

func notePeople(ctx context.Context, tx *sqldb.Tx, kind, actor string, person, other PersonID, facts mergedFacts, now Time) error {
	text, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("note %s: %w", kind, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO people_events (id, at, kind, actor, person, other, facts) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		uuid.Must(uuid.NewV7()).String(), now, kind, actor, person, other, string(text))
	if err != nil {
		return fmt.Errorf("note %s: %w", kind, err)
	}
	return nil
}

// Unlink parts the person who acts from the one whom he was merged with last:
// accounts and rights go back to whom they came from. It returns the accounts
// that are another's again; none when there is nothing to part.
func (s *Service) Unlink(ctx context.Context, sender string, now time.Time) ([]string, error) {
	var back []string
	err := s.db.Tx(ctx, func(tx *sqldb.Tx) error {
		back = nil
		a, err := loadAccount(ctx, tx, sender)
		if err != nil {
			return err
		}
		var last []struct {
			ID    string   `db:"id"`
			Other PersonID `db:"other"`
			Facts string   `db:"facts"`
		}
		err = tx.Select(ctx, &last, `UPDATE people_events SET undone = ? WHERE undone = 0 AND id =
			(SELECT id FROM people_events WHERE person = ? AND kind = 'merged' AND actor <> '' AND undone = 0 ORDER BY at DESC, id DESC LIMIT 1)
			RETURNING id, other, facts`, At(now), a.Person)
		if err != nil || len(last) == 0 {
			return err
		}
		var facts mergedFacts
		if err := json.Unmarshal([]byte(last[0].Facts), &facts); err != nil {
			return fmt.Errorf("read what was merged: %w", err)
		}
		back = facts.Accounts
		return partPeople(ctx, tx, last[0].Other, a.Person, facts, sender, At(now))
	})
	if err != nil {
		return nil, fmt.Errorf("part people: %w", err)
	}
	return back, nil
}

func partPeople(ctx context.Context, tx *sqldb.Tx, other, from PersonID, facts mergedFacts, actor string, now Time) error {
	if err := notePeople(ctx, tx, "parted", actor, from, other, facts, now); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE people SET merged = '' WHERE id = ? AND merged = ?`, other, from); err != nil {
		return err
	}
	for _, p := range facts.Earlier {
		if _, err := tx.Exec(ctx, `UPDATE people SET merged = ? WHERE id = ? AND merged = ?`, other, p, from); err != nil {
			return err
		}
	}
	for _, ref := range facts.Accounts {
		if _, err := tx.Exec(ctx, `UPDATE accounts SET person = ? WHERE ref = ? AND person = ?`, other, ref, from); err != nil {
			return err
		}
	}
	for _, r := range facts.Gained {
		if _, err := tx.Exec(ctx, `DELETE FROM roles WHERE person = ? AND desk = ? AND role = ? AND source = ?`, from, r.Desk, r.Role, r.Source); err != nil {
			return err
		}
	}
	for _, r := range facts.Roles {
		if err := grantRole(ctx, tx, other, r.Desk, r.Role, r.Source); err != nil {
			return err
		}
	}
	return nil
}

// dialled is a phone number as it is dialled from abroad; "" for what is none.
// A number without a country's code is not used: it may be anybody's.
func dialled(s string) string {
	var b strings.Builder
	for i, r := range strings.TrimSpace(s) {
		switch {
		case r == '+' && i == 0, r >= '0' && r <= '9':
			b.WriteRune(r)
		case r == ' ', r == '-', r == '(', r == ')':
		default:
			return ""
		}
	}
	if n := b.Len(); !strings.HasPrefix(b.String(), "+") || n < 9 || n > 16 {
		return ""
	}
	return b.String()
}

func hashCode(code string) string {
	h := sha256.Sum256([]byte("paidan-code-1:" + code))
	return hex.EncodeToString(h[:])
}

func insertCode(ctx context.Context, tx *sqldb.Tx, code, use, ref, act string, until Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO codes (hash, use, ref, act, until) VALUES (?, ?, ?, ?, ?)`, hashCode(code), use, ref, act, until)
	if err != nil {
		return fmt.Errorf("insert code: %w", err)
	}
	return nil
}

type codeRow struct {
	Ref string `db:"ref"`
	Act string `db:"act"`
}

// takeCode uses a code up; the DELETE is what makes it work once.
func takeCode(ctx context.Context, tx *sqldb.Tx, code, use string, now Time) (codeRow, bool, error) {
	var c []codeRow
	err := tx.Select(ctx, &c, `DELETE FROM codes WHERE hash = ? AND use = ? AND until > ? RETURNING ref, act`, hashCode(code), use, now)
	if err != nil {
		return codeRow{}, false, fmt.Errorf("use code: %w", err)
	}
	if len(c) == 0 {
		return codeRow{}, false, nil
	}
	return c[0], true, nil
}
