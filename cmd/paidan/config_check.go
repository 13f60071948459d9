package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the image has no zone files

	"golang.org/x/text/language"

	"github.com/paidan/paidan/tickets"
)

// Validate returns everything that is wrong with c at once, as Faults, or nil.
// It looks at nothing but c; what needs the network is for doctor.
func (c Config) Validate() error {
	var f Faults
	c.checkAddresses(&f)
	c.checkPublicURL(&f)
	c.checkDatabase(&f)
	if c.DataDir == "" {
		f.add("data_dir", "is empty; right would be a folder such as ./paidan-data")
	}
	if c.Playground != "auto" && c.Playground != "on" && c.Playground != "off" {
		f.add("playground", "is %q; right would be auto, on or off", c.Playground)
	}
	c.checkLocale(&f)
	if c.SecretKey != "" {
		if _, err := decodeKey(c.SecretKey.Reveal()); err != nil {
			f.add("secret_key", "%v", err)
		}
	}
	c.checkInstalls(&f)
	c.checkDesks(&f)
	c.checkPeople(&f)
	return f.err()
}

// Warnings returns what is allowed but worth a line in the log.
func (c Config) Warnings() []Fault {
	var f Faults
	if host, _, err := net.SplitHostPort(c.OpsListen); err == nil && !loopbackHost(host) {
		f.add("ops_listen", "is reachable from other machines and asks for no password; keep it behind a firewall or use 127.0.0.1")
	}
	if c.Playground == "on" && !loopbackHostPort(c.Listen) {
		f.add("playground", "is on and reachable from other machines: whoever opens it can act as anybody in it")
	}
	if !c.PlaygroundOn() && !c.hasPlatform() {
		f.add("playground", "is off and no chat platform is configured: nobody can reach a desk; right would be a section slack, or playground: on")
	}
	if c.PublicURL == "" && c.hasPlatform() {
		f.add("public_url", "is not set: cards carry no links back to this server")
	}
	return c.place(f)
}

func (c Config) checkAddresses(f *Faults) {
	okListen := checkHostPort(f, "listen", c.Listen, "127.0.0.1:8080")
	if c.OpsListen == "" {
		return
	}
	if !checkHostPort(f, "ops_listen", c.OpsListen, "127.0.0.1:9090") {
		return
	}
	host, port, _ := net.SplitHostPort(c.OpsListen)
	if ip, err := netip.ParseAddr(host); err == nil && !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsUnspecified() && !ip.IsLinkLocalUnicast() {
		f.add("ops_listen", "is on a public address, where anybody could read it; right would be 127.0.0.1:%s", port)
	}
	if _, p, _ := net.SplitHostPort(c.Listen); okListen && p == port && port != "0" {
		f.add("ops_listen", "has the same port as listen; right would be another one, such as 9090")
	}
}

func checkHostPort(f *Faults, key, addr, right string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		f.add(key, "%q is not host:port; right would be %s", addr, right)
		return false
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		f.add(key, "has port %q; right would be a number up to 65535, as in %s", port, right)
		return false
	}
	if strings.ContainsAny(host, "/ @") {
		f.add(key, "%q is not host:port; right would be %s", addr, right)
		return false
	}
	return true
}

func (c Config) checkPublicURL(f *Faults) {
	if c.PublicURL == "" {
		return
	}
	const right = "right would be https://desk.example.com"
	u, err := url.Parse(c.PublicURL)
	switch {
	case err != nil || u.Hostname() == "":
		f.add("public_url", "is no address; %s", right)
	case u.User != nil:
		f.add("public_url", "holds a user name or password; %s", right)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())):
		f.add("public_url", "does not begin with https://; %s", right)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		f.add("public_url", "has a path or more behind the host; %s", right)
	}
}

func (c Config) checkDatabase(f *Faults) {
	const key = "database_url"
	const right = "right would be sqlite:///var/lib/paidan/paidan.db or postgres://user@host/db?sslmode=verify-full"
	raw := c.DatabaseURL.Reveal()
	if raw == "" {
		return
	}
	u, err := url.Parse(raw)
	if err != nil {
		f.add(key, "is no address; %s", right) // err repeats the password
		return
	}
	switch u.Scheme {
	case "sqlite":
		if u.Host != "" || !filepath.IsAbs(u.Path) || u.Path == "/" {
			f.add(key, "names no absolute path; right would be sqlite:///var/lib/paidan/paidan.db, with three slashes")
		}
	case "postgres", "postgresql":
		checkPostgres(f, key, u)
	case "mysql", "mariadb", "sqlserver", "oracle", "mongodb":
		f.add(key, "names %s, which is not supported; %s", u.Scheme, right)
	default:
		f.add(key, "has no scheme that is known here; %s", right)
	}
}

// checkPostgres wants a verified server wherever the connection leaves the
// machine: a ticket database is personal data, and a driver that talks to an
// impostor can be crashed by it.
func checkPostgres(f *Faults, key string, u *url.URL) {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		f.add(key, "has a broken query part; right would be ?sslmode=verify-full")
		return
	}
	// The driver lets these override the host in front.
	hosts := append(strings.Split(u.Hostname(), ","), q["hostaddr"]...)
	if h := q.Get("host"); h != "" {
		hosts = append(strings.Split(h, ","), q["hostaddr"]...)
	}
	if strings.TrimLeft(u.Path, "/") == "" && q.Get("dbname") == "" {
		f.add(key, "names no database; right would be postgres://user@host/paidan")
	}
	if hosts[0] == "" {
		f.add(key, "names no host; right would be postgres://user@127.0.0.1/paidan, or ?host=/var/run/postgresql for a socket")
		return
	}
	remote := slices.ContainsFunc(hosts, func(h string) bool { return !strings.HasPrefix(h, "/") && !loopbackHost(h) })
	mode := q.Get("sslmode")
	known := []string{"", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
	switch {
	case len(q["sslmode"]) > 1:
		f.add(key, "has sslmode more than once; keep one")
	case !slices.Contains(known, mode):
		f.add(key, "has an unknown sslmode; right would be sslmode=verify-full")
	case remote && mode != "verify-full":
		f.add(key, "leaves this machine without checking the server; right would be sslmode=verify-full (with sslrootcert=/path/ca.pem where the CA is your own)")
	}
}

func (c Config) checkLocale(f *Faults) {
	tag, err := language.Parse(c.Locale)
	base, _ := tag.Base()
	if err != nil || base.String() != "zh" && base.String() != "en" {
		f.add("locale", "%q is not supported; right would be zh-CN or en", c.Locale)
	}
	if c.Timezone == "" || c.Timezone == "Local" {
		f.add("timezone", "%q depends on the machine; right would be an IANA name such as Asia/Shanghai", c.Timezone)
	} else if _, err := time.LoadLocation(c.Timezone); err != nil {
		f.add("timezone", "%q is not known; right would be an IANA name such as Asia/Shanghai", c.Timezone)
	}
}

func decodeKey(s string) ([]byte, error) {
	const right = "right would be 32 random bytes in base64: openssl rand -base64 32"
	key, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		key, err = base64.RawURLEncoding.DecodeString(s)
	}
	if err != nil {
		return nil, fmt.Errorf("is not base64; %s", right)
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("is %d bytes long; %s", len(key), right)
	}
	distinct := map[byte]bool{}
	for _, b := range key {
		distinct[b] = true
	}
	// 32 random bytes hold about 30 different ones; fewer than 16 never happens.
	if len(distinct) < 16 {
		return nil, fmt.Errorf("is not random; %s", right)
	}
	return key, nil
}

var nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

func (c Config) checkInstalls(f *Faults) {
	for _, name := range slices.Sorted(maps.Keys(c.Slack)) {
		key := "slack." + name
		if !nameRE.MatchString(name) {
			f.add(key, "is no name for an install; right would be lower-case letters, digits, - and _")
		}
		c.Slack[name].check(f, key)
	}
	c.checkAdapters(f)
}

func (s SlackInstall) check(f *Faults, key string) {
	checkToken(f, key+".bot_token", s.BotToken, "xoxb-", "the Bot User OAuth Token (OAuth & Permissions)", true)
	checkToken(f, key+".app_token", s.AppToken, "xapp-", "an app-level token with connections:write (Basic Information)", false)
	switch secret := s.SigningSecret.Reveal(); {
	case secret == "" && s.AppToken == "":
		f.add(key+".signing_secret", "is empty, and without it nobody could tell Slack's requests from a stranger's; right would be the Signing Secret (Basic Information), or app_token for Socket Mode")
	case secret != "" && strings.HasPrefix(secret, "xox"):
		f.add(key+".signing_secret", "is a token; right would be the Signing Secret (Basic Information)")
	case secret != "":
		checkSecret(f, key+".signing_secret", secret, "the Signing Secret (Basic Information), 32 characters")
	}
	checkAPI(f, key+".api_url", s.APIURL, "https://slack.com/api/")
}

func checkToken(f *Faults, key string, token Secret, prefix, right string, required bool) {
	switch t := token.Reveal(); {
	case t == "" && required:
		f.add(key, "is empty; right would be %s, which begins with %s", right, prefix)
	case t == "":
	case !strings.HasPrefix(t, prefix):
		f.add(key, "does not begin with %s; right would be %s", prefix, right)
	default:
		checkSecret(f, key, t, right)
	}
}

// minSecret is shorter than any secret that a platform gives out.
const minSecret = 20

func checkSecret(f *Faults, key, secret, right string) {
	switch {
	case isExample(secret):
		f.add(key, "is a placeholder or a published example; right would be %s", right)
	case len(secret) < minSecret:
		f.add(key, "is too short (%d characters); right would be %s", len(secret), right)
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		f.add(key, "holds a space or a character that no secret has; right would be %s", right)
	}
}

// published secrets stand in platforms' own documentation.
var published = []string{
	"8f742231b10e8888abcd99yyyzzz85a5",                      // docs.slack.dev, verifying requests
	"xoxb-17653672481-19874698323-pdfzkvetue8sk7oochrzqqgy", // docs.slack.dev, oauth.v2.access
}

var exampleWords = []string{
	"…", "...", "changeme", "change-me", "change_me", "your-", "your_", "yourtoken", "placeholder",
	"example", "replace", "xxxx", "****", "<", ">", "dummy", "insert", "put-", "0123456789", "1234567890", "aaaaaa", "000000",
}

func isExample(secret string) bool {
	s := strings.ToLower(secret)
	if slices.Contains(published, s) {
		return true
	}
	if slices.ContainsFunc(exampleWords, func(w string) bool { return strings.Contains(s, w) }) {
		return true
	}
	return s == "secret" || s == "password" || s == "token" || s == "test"
}

func checkAPI(f *Faults, key, raw, right string) {
	if raw == "" {
		return
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		f.add(key, "is no plain address; right would be %s", right)
		return
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())) {
		f.add(key, "does not begin with https://; right would be %s", right)
	}
}

func (c Config) checkDesks(f *Faults) {
	desks := map[tickets.DeskKey]int{}
	groups := map[Ref]int{}
	for i, d := range c.Desks {
		at := fmt.Sprintf("desks[%d]", i)
		if !nameRE.MatchString(string(d.Key)) {
			f.add(at+".key", "%q is no key; right would be lower-case letters, digits, - and _, such as it or after-sales", d.Key)
		} else if first, taken := desks[d.Key]; taken {
			f.add(at+".key", "%q is the key of desks[%d] already; right would be another one", d.Key, first)
		} else {
			desks[d.Key] = i
		}
		if strings.TrimSpace(d.Name) == "" {
			f.add(at+".name", "is empty; right would be what people call the desk")
		}
		for _, l := range []struct {
			key  string
			refs []Ref
		}{{"intake", d.Intake}, {"triage", d.Triage}} {
			c.checkRefs(f, at+"."+l.key, l.refs, "a group")
			for j, r := range l.refs {
				if first, taken := groups[r]; taken && first != i {
					f.add(fmt.Sprintf("%s.%s[%d]", at, l.key, j), "%s belongs to desks[%d] already; a group can serve one desk only", r, first)
					continue
				}
				groups[r] = i
			}
		}
		c.checkRefs(f, at+".agents", d.Agents, "an account")
		c.checkRefs(f, at+".leads", d.Leads, "an account")
		checkDesk(f, at, d.Desk)
	}
	c.checkRefs(f, "admins", c.Admins, "an account")
}

func (c Config) checkRefs(f *Faults, key string, refs []Ref, what string) {
	for i, r := range refs {
		at := fmt.Sprintf("%s[%d]", key, i)
		if slices.Index(refs, r) < i {
			f.add(at, "%s stands in the list twice; keep one", r)
			continue
		}
		c.checkRef(f, at, r, what)
	}
}

func (c Config) checkRef(f *Faults, key string, r Ref, what string) {
	platform, install, id, ok := r.split()
	if !ok {
		f.add(key, "%q is not platform/install/id; right would be %s such as slack/default/C024BE91L", string(r), what)
		return
	}
	if strings.HasPrefix(id, "#") || strings.HasPrefix(id, "@") {
		f.add(key, "%s gives a name; right would be the id, which stays when the name changes", r)
		return
	}
	switch platform {
	case "slack", "feishu", "dingtalk", "wecom":
		if !slices.Contains(c.names(platform), install) {
			f.add(key, "%s names an install that is not configured; right would be %s", r, c.known(platform, c.names(platform)))
		}
	case "playground":
		if !c.PlaygroundOn() {
			f.add(key, "%s is in the playground, which is off; right would be playground: on, or a group or account of a platform that is configured", r)
		} else if install != "default" {
			f.add(key, "%s names an install that is not configured; right would be playground/default/…", r)
		}
	default:
		f.add(key, "%s names no platform; right would be slack/…, feishu/…, dingtalk/…, wecom/… or playground/…", r)
	}
}

func (c Config) known(platform string, names []string) string {
	if len(names) == 0 {
		return "a section " + platform + ".default with its tokens"
	}
	return "one of " + platform + "/" + strings.Join(names, ", "+platform+"/")
}

// checkDesk checks what a desk says about tickets, wherever it is bound.
func checkDesk(f *Faults, at string, d tickets.Desk) {
	types := map[string]bool{}
	for i, t := range d.Types {
		checkType(f, fmt.Sprintf("%s.types[%d]", at, i), t, types)
	}
	checkWords(f, at+".teams", d.Teams)
	checkWords(f, at+".causes", d.Causes)
	seen := map[tickets.Priority]bool{}
	for i, t := range d.Targets {
		key := fmt.Sprintf("%s.targets[%d]", at, i)
		switch {
		case t.Priority < 1 || t.Priority > 4:
			f.add(key+".priority", "is %d; right would be 1 (most urgent) to 4", int(t.Priority))
		case seen[t.Priority]:
			f.add(key+".priority", "%d has a target already; keep one", int(t.Priority))
		}
		seen[t.Priority] = true
		checkDuration(f, key+".respond", t.Respond)
		checkDuration(f, key+".solve", t.Solve)
		if t.Respond == 0 && t.Solve == 0 {
			f.add(key, "sets neither respond nor solve; right would be respond: 30m and solve: 8h")
		}
		if t.Solve > 0 && t.Respond > t.Solve {
			f.add(key+".solve", "%s is sooner than respond (%s); right would be the other way round", t.Solve, t.Respond)
		}
	}
	checkDuration(f, at+".reopen", d.Reopen)
	checkDuration(f, at+".confirm", d.Confirm)
	checkDuration(f, at+".archive", d.Archive)
}

func checkDuration(f *Faults, key string, d time.Duration) {
	switch {
	case d < 0:
		f.add(key, "is negative (%s); right would be a time such as 4h", d)
	case d > 0 && d < time.Second:
		f.add(key, "is shorter than a second (%s); right would be a time such as 4h", d)
	}
}

func checkWords(f *Faults, key string, words []string) {
	for i, w := range words {
		at := fmt.Sprintf("%s[%d]", key, i)
		if strings.TrimSpace(w) == "" {
			f.add(at, "is empty; take it out")
		} else if slices.Index(words, w) < i {
			f.add(at, "%q stands in the list twice; keep one", w)
		}
	}
}

var fieldKinds = []tickets.FieldKind{
	tickets.FieldText, tickets.FieldNumber, tickets.FieldChoice, tickets.FieldCascade, tickets.FieldPerson, tickets.FieldDate,
	tickets.FieldLocation, tickets.FieldOrder, tickets.FieldDevice, tickets.FieldPhone, tickets.FieldEmail,
}

func checkType(f *Faults, at string, t tickets.Type, seen map[string]bool) {
	checkKey(f, at+".key", t.Key, seen, "account")
	if strings.TrimSpace(t.Name) == "" {
		f.add(at+".name", "is empty; right would be what people call this kind of ticket")
	}
	fields := map[string]bool{}
	for i, fd := range t.Fields {
		key := fmt.Sprintf("%s.fields[%d]", at, i)
		checkKey(f, key+".key", fd.Key, fields, "device")
		if strings.TrimSpace(fd.Label) == "" {
			f.add(key+".label", "is empty; right would be what stands before the input")
		}
		chooses := fd.Kind == tickets.FieldChoice || fd.Kind == tickets.FieldCascade
		switch {
		case !slices.Contains(fieldKinds, fd.Kind):
			f.add(key+".kind", "%q is no kind of field; right would be one of %s", fd.Kind, joinKinds())
		case chooses && len(fd.Options) == 0:
			f.add(key+".options", "is empty, but a %s needs something to choose from; right would be a list", fd.Kind)
		case !chooses && len(fd.Options) > 0:
			f.add(key+".options", "means nothing for a %s; right would be kind: choice, or no options", fd.Kind)
		}
		checkWords(f, key+".options", fd.Options)
		for j, o := range fd.Options {
			if fd.Kind == tickets.FieldCascade && o != "" && slices.Contains(strings.Split(o, "/"), "") {
				f.add(fmt.Sprintf("%s.options[%d]", key, j), "%q has an empty step; right would be 上海/浦东", o)
			}
		}
	}
}

func checkKey(f *Faults, at, key string, seen map[string]bool, example string) {
	switch {
	case !nameRE.MatchString(key):
		f.add(at, "%q is no key; right would be lower-case letters, digits, - and _, such as %s", key, example)
	case seen[key]:
		f.add(at, "%q is taken already; right would be another one", key)
	}
	seen[key] = true
}

func joinKinds() string {
	s := make([]string, len(fieldKinds))
	for i, k := range fieldKinds {
		s[i] = string(k)
	}
	return strings.Join(s, ", ")
}

func (c Config) checkPeople(f *Faults) {
	owner := map[Ref]int{}
	for i, p := range c.People {
		at := fmt.Sprintf("people[%d]", i)
		if strings.TrimSpace(p.Name) == "" {
			f.add(at+".name", "is empty; right would be the person's name")
		}
		if p.Email != "" {
			if a, err := mail.ParseAddress(p.Email); err != nil || a.Address != p.Email {
				f.add(at+".email", "is no e-mail address; right would be li.si@example.com")
			}
		}
		if len(p.Accounts) == 0 {
			f.add(at+".accounts", "is empty; right would be the person's accounts, such as [slack/default/U024BE7LH]")
		}
		c.checkRefs(f, at+".accounts", p.Accounts, "an account")
		for j, r := range p.Accounts {
			if first, taken := owner[r]; taken && first != i {
				f.add(fmt.Sprintf("%s.accounts[%d]", at, j), "%s belongs to people[%d] already; an account is one person's", r, first)
				continue
			}
			owner[r] = i
		}
	}
}
