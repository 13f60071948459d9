package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/tickets"
)

// Config is everything an operator can set. Its zero value is not usable; Load
// fills in what is missing.
type Config struct {
	Listen      string `yaml:"listen"`       // host:port of callbacks, pages and the playground
	OpsListen   string `yaml:"ops_listen"`   // host:port of /metrics, /healthz, /readyz, /debug/*; "" = off
	PublicURL   string `yaml:"public_url"`   // what platforms and people reach us under, no path
	DatabaseURL Secret `yaml:"database_url"` // may hold a password; "" = SQLite in DataDir
	DataDir     string `yaml:"data_dir"`
	Playground  string `yaml:"playground"` // auto, on, off; see PlaygroundOn
	Locale      string `yaml:"locale"`
	Timezone    string `yaml:"timezone"`
	SecretKey   Secret `yaml:"secret_key"` // 32 bytes, base64; "" = kept in DataDir, see LoadSecretKey

	DatabaseURLFile string `yaml:"database_url_file"`
	SecretKeyFile   string `yaml:"secret_key_file"`

	Slack    map[string]SlackInstall    `yaml:"slack"`
	Feishu   map[string]FeishuInstall   `yaml:"feishu"`
	DingTalk map[string]DingTalkInstall `yaml:"dingtalk"`
	WeCom    map[string]WeComInstall    `yaml:"wecom"`

	Desks  []DeskConfig   `yaml:"desks"`
	People []PersonConfig `yaml:"people"`
	Admins []Ref          `yaml:"admins"` // accounts that may do everything on every desk

	origin map[string]string // key → where its value came from: "paidan.yaml line 3", "PAIDAN_LISTEN", "--listen"
}

// SlackInstall is one connection to Slack.
type SlackInstall struct {
	BotToken          Secret `yaml:"bot_token"`
	BotTokenFile      string `yaml:"bot_token_file"`
	SigningSecret     Secret `yaml:"signing_secret"` // required unless AppToken is set
	SigningSecretFile string `yaml:"signing_secret_file"`
	AppToken          Secret `yaml:"app_token"` // set = Socket Mode
	AppTokenFile      string `yaml:"app_token_file"`
	APIURL            string `yaml:"api_url"`
}

// FeishuInstall is one connection to Feishu or Lark.
type FeishuInstall struct {
	AppID                 string `yaml:"app_id"`
	AppSecret             Secret `yaml:"app_secret"`
	AppSecretFile         string `yaml:"app_secret_file"`
	EncryptKey            Secret `yaml:"encrypt_key"`
	EncryptKeyFile        string `yaml:"encrypt_key_file"`
	VerificationToken     Secret `yaml:"verification_token"`
	VerificationTokenFile string `yaml:"verification_token_file"`
	Mode                  string `yaml:"mode"`
	APIURL                string `yaml:"api_url"`
}

// DingTalkInstall is one connection to DingTalk; see FeishuInstall.
type DingTalkInstall struct {
	ClientID         string `yaml:"client_id"`
	ClientSecret     Secret `yaml:"client_secret"`
	ClientSecretFile string `yaml:"client_secret_file"`
	RobotCode        string `yaml:"robot_code"`
	CardTemplateID   string `yaml:"card_template_id"`
	Mode             string `yaml:"mode"`
	EventToken       Secret `yaml:"event_token"` // http mode, as are the next two
	EventTokenFile   string `yaml:"event_token_file"`
	EventAESKey      Secret `yaml:"event_aes_key"`
	EventAESKeyFile  string `yaml:"event_aes_key_file"`
	CardSecret       Secret `yaml:"card_secret"`
	CardSecretFile   string `yaml:"card_secret_file"`
	Quota            int64  `yaml:"quota"` // calls a month that the edition allows; 0 = 5000
	APIURL           string `yaml:"api_url"`
	OAPIURL          string `yaml:"oapi_url"`
}

// WeComInstall is one connection to WeCom; see FeishuInstall.
type WeComInstall struct {
	CorpID             string     `yaml:"corp_id"`
	AgentID            string     `yaml:"agent_id"`
	Secret             Secret     `yaml:"secret"`
	SecretFile         string     `yaml:"secret_file"`
	Token              Secret     `yaml:"token"`
	TokenFile          string     `yaml:"token_file"`
	EncodingAESKey     Secret     `yaml:"encoding_aes_key"`
	EncodingAESKeyFile string     `yaml:"encoding_aes_key_file"`
	APIURL             string     `yaml:"api_url"`
	Robot              WeComRobot `yaml:"robot"`
	KF                 WeComKF    `yaml:"kf"`
}

// WeComKF is 微信客服 of a WeComInstall.
type WeComKF struct {
	Secret             Secret `yaml:"secret"` // empty = the app's
	SecretFile         string `yaml:"secret_file"`
	Token              Secret `yaml:"token"` // empty = events come to the app's address
	TokenFile          string `yaml:"token_file"`
	EncodingAESKey     Secret `yaml:"encoding_aes_key"`
	EncodingAESKeyFile string `yaml:"encoding_aes_key_file"`
}

// WeComRobot is the smart robot of a WeComInstall.
type WeComRobot struct {
	ID                 string `yaml:"id"`
	Secret             Secret `yaml:"secret"`
	SecretFile         string `yaml:"secret_file"`
	Token              Secret `yaml:"token"`
	TokenFile          string `yaml:"token_file"`
	EncodingAESKey     Secret `yaml:"encoding_aes_key"`
	EncodingAESKeyFile string `yaml:"encoding_aes_key_file"`
	WSURL              string `yaml:"ws_url"`
}

// DeskConfig is a desk and the places and people it is bound to.
type DeskConfig struct {
	tickets.Desk `yaml:",inline"`
	Intake       []Ref `yaml:"intake"` // groups where requests come up
	Triage       []Ref `yaml:"triage"` // groups where agents work
	Agents       []Ref `yaml:"agents"` // accounts
	Leads        []Ref `yaml:"leads"`  // accounts
}

// PersonConfig joins the accounts of one person.
type PersonConfig struct {
	Name     string `yaml:"name"`
	Email    string `yaml:"email"`
	Phone    string `yaml:"phone"` // with the country's code: "+86…"
	Accounts []Ref  `yaml:"accounts"`
}

// Ref names a group or an account as platform/install/id. Validate has checked
// every Ref of a Config that Load returned.
type Ref string

func (r Ref) split() (platform, install, id string, ok bool) {
	p := strings.SplitN(string(r), "/", 3)
	if len(p) != 3 || slices.Contains(p, "") || strings.ContainsAny(string(r), " \t\r\n") {
		return "", "", "", false
	}
	return p[0], p[1], p[2], true
}

// Conv returns the group that r names.
func (r Ref) Conv() bot.ConvRef {
	p, i, id, _ := r.split()
	return bot.ConvRef{Install: bot.Install{Platform: p, Name: i}, ID: id}
}

// User returns the account that r names.
func (r Ref) User() bot.UserRef {
	p, i, id, _ := r.split()
	return bot.UserRef{Install: bot.Install{Platform: p, Name: i}, ID: id}
}

// PlaygroundOn reports whether the playground runs. "auto" turns it on only
// where nobody else can reach it and no chat platform is there to be used
// instead: it lets everyone be everybody.
func (c Config) PlaygroundOn() bool {
	switch c.Playground {
	case "on":
		return true
	case "auto":
		return !c.hasPlatform() && loopbackHostPort(c.Listen)
	}
	return false
}

func (c Config) hasPlatform() bool {
	return len(c.Slack)+len(c.Feishu)+len(c.DingTalk)+len(c.WeCom) > 0
}

// Zone is the location of Timezone; UTC when that is unknown.
func (c Config) Zone() *time.Location {
	if l, err := time.LoadLocation(c.Timezone); err == nil {
		return l
	}
	return time.UTC
}

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Key  string // "slack.default.bot_token"
	From string // where the value came from; "" when it came from nowhere
	Says string // what is wrong, and what would be right
}

func (f Fault) String() string {
	if f.From == "" {
		return f.Key + ": " + f.Says
	}
	return f.Key + " (" + f.From + "): " + f.Says
}

// Faults is everything that is wrong with a configuration, as one error.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

func (f *Faults) add(key, format string, args ...any) {
	*f = append(*f, Fault{Key: key, Says: fmt.Sprintf(format, args...)})
}

func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Flags are the settings given on the command line.
type Flags struct {
	File   string            // --config; "" = paidan.yaml where it stands
	Values map[string]string // by key: "ops_listen"; only flags that were given
}

// flagKeys can be set on the command line. Secrets cannot: every user of a
// machine can read its processes' arguments.
var flagKeys = []struct{ key, usage string }{
	{"listen", "host:port for callbacks, pages and the playground"},
	{"ops_listen", `host:port for metrics and health; "" turns it off`},
	{"public_url", "what platforms and people reach this server under"},
	{"data_dir", "folder for the database, files and the secret key"},
	{"playground", "the chat page in the browser: auto, on or off"},
	{"locale", "language for people whose platform tells none"},
	{"timezone", "IANA name, such as Asia/Shanghai"},
}

// Bind gives cmd and its subcommands the flags; they are filled when cmd parses.
func (f *Flags) Bind(cmd *cobra.Command) {
	fs := cmd.PersistentFlags()
	fs.StringVar(&f.File, "config", "", "configuration `file` (default paidan.yaml, where it stands)")
	for _, k := range flagKeys {
		fs.Func(strings.ReplaceAll(k.key, "_", "-"), k.usage, func(v string) error {
			if f.Values == nil {
				f.Values = map[string]string{}
			}
			f.Values[k.key] = v
			return nil
		})
	}
}

//go:embed default.yaml
var defaultYAML []byte

const (
	defaultFile   = "paidan.yaml"
	maxConfigSize = 1 << 20
)

func defaults() Config {
	return Config{
		Listen:     "127.0.0.1:8080",
		OpsListen:  "127.0.0.1:9090",
		DataDir:    "./paidan-data",
		Playground: "auto",
		Locale:     "zh-CN",
		Timezone:   "Asia/Shanghai",
		origin:     map[string]string{},
	}
}

// Load puts the configuration together: flags, then environment, then YAML, then
// defaults. The error, if any, is a Faults with everything that is wrong.
func Load(args Flags, getenv func(string) string, readFile func(string) ([]byte, error)) (Config, error) {
	c := defaults()
	faults := c.readYAML(args.File, readFile)
	faults = append(faults, c.readEnv(getenv)...)
	faults = append(faults, c.readFlags(args)...)
	faults = append(faults, c.readSecretFiles(readFile)...)
	c.fillIn()
	var wrong Faults
	if err := c.Validate(); errors.As(err, &wrong) {
		wrong = slices.DeleteFunc(wrong, func(w Fault) bool { return slices.ContainsFunc(faults, w.follows) })
	}
	return c, c.place(append(faults, wrong...)).err()
}

// follows reports whether f only says that a value is missing or odd which g
// says could not be read.
func (f Fault) follows(g Fault) bool { return f.Key == g.Key || f.Key+"_file" == g.Key }

// place adds to each fault where the value came from.
func (c Config) place(faults Faults) Faults {
	for i := range faults {
		if faults[i].From == "" {
			faults[i].From = c.origin[faults[i].Key]
		}
	}
	return faults
}

// fillIn brings values into one form, and gives an unconfigured server the
// example desk. Its groups and people live in the playground, so without the
// playground it comes unbound.
func (c *Config) fillIn() {
	if c.OpsListen == "off" { // an empty environment variable is one that is not set
		c.OpsListen = ""
	}
	for name, s := range c.Slack {
		if s.APIURL == "" {
			s.APIURL = "https://slack.com/api/"
		}
		if !strings.HasSuffix(s.APIURL, "/") {
			s.APIURL += "/"
		}
		c.Slack[name] = s
	}
	if len(c.Desks) > 0 {
		return
	}
	var example Config
	if err := yaml.Unmarshal(defaultYAML, &example); err != nil {
		panic("default.yaml: " + err.Error()) // built in; a test reads it
	}
	c.Desks = example.Desks
	if !c.PlaygroundOn() {
		for i := range c.Desks {
			d := &c.Desks[i]
			d.Intake, d.Triage, d.Agents, d.Leads = nil, nil, nil, nil
		}
		return
	}
	if len(c.Admins) == 0 {
		c.Admins = example.Admins
	}
}

func (c *Config) readYAML(file string, readFile func(string) ([]byte, error)) Faults {
	name := file
	if name == "" {
		name = defaultFile
	}
	data, err := readFile(name)
	if file == "" && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return Faults{{Key: "--config", Says: fmt.Sprintf("%s cannot be read: %v", name, cause(err))}}
	}
	if len(data) > maxConfigSize {
		return Faults{{Key: name, Says: "is larger than 1 MiB; a configuration is a few kilobytes"}}
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return Faults{{Key: name, Says: "is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Faults{{Key: name, Says: "has more than one document; keep everything above the first --- in one"}}
	}
	w := yamlWalk{file: name, origin: c.origin}
	w.walk(doc.Content[0], reflect.TypeFor[Config](), "")
	if w.nodes > maxNodes {
		return w.faults
	}
	// What the walk found wrong is left out here, so that the rest is checked too.
	if err := doc.Decode(c); err != nil && len(w.faults) == 0 {
		return Faults{{Key: name, Says: strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	return w.faults
}

// cause drops the path that *fs.PathError repeats.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// readEnv reads PAIDAN_LISTEN and so on; a platform's keys go to its install "default".
func (c *Config) readEnv(getenv func(string) string) Faults {
	r := layer{origin: c.origin, get: func(key string) (string, string) {
		name := "PAIDAN_" + strings.ToUpper(strings.NewReplacer(".default.", "_", ".", "_").Replace(key))
		return getenv(name), name
	}}
	r.apply(reflect.ValueOf(c).Elem(), "")
	envInstall(&r, &c.Slack, "slack")
	envInstall(&r, &c.Feishu, "feishu")
	envInstall(&r, &c.DingTalk, "dingtalk")
	envInstall(&r, &c.WeCom, "wecom")
	return r.faults
}

func envInstall[T any](r *layer, installs *map[string]T, platform string) {
	in := (*installs)["default"]
	if !r.apply(reflect.ValueOf(&in).Elem(), platform+".default") {
		return
	}
	if *installs == nil {
		*installs = map[string]T{}
	}
	(*installs)["default"] = in
}

func (c *Config) readFlags(args Flags) Faults {
	var faults Faults
	for _, key := range slices.Sorted(maps.Keys(args.Values)) {
		f, ok := fieldByKey(reflect.ValueOf(c).Elem(), key)
		if !ok || f.Kind() != reflect.String {
			faults.add(key, "cannot be set on the command line")
			continue
		}
		f.SetString(args.Values[key])
		c.origin[key] = "--" + strings.ReplaceAll(key, "_", "-")
	}
	return faults
}

// layer sets scalar settings from one source, over whatever was there.
type layer struct {
	origin map[string]string
	get    func(key string) (value, name string)
	faults Faults
}

func (r *layer) apply(v reflect.Value, prefix string) (any bool) {
	t := v.Type()
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("yaml")
		if tag == "" {
			continue
		}
		key := join(prefix, tag)
		switch v.Field(i).Kind() {
		case reflect.Struct:
			any = r.apply(v.Field(i), key) || any
		case reflect.String:
			any = r.set(v, v.Field(i), tag, key) || any
		}
	}
	return any
}

// set gives a field its value from this layer. A secret and its file are one
// setting in two spellings: the one set here ends what a layer below said in the other.
func (r *layer) set(parent, field reflect.Value, tag, key string) bool {
	value, name := r.get(key)
	if value == "" {
		return false
	}
	if twin, isFile := strings.CutSuffix(tag, "_file"); isFile {
		if f, ok := fieldByKey(parent, twin); ok {
			plain := strings.TrimSuffix(key, "_file")
			if v, n := r.get(plain); v != "" {
				r.faults = append(r.faults, Fault{Key: plain, From: n, Says: "is set twice, as itself and as " + name + "; keep one of the two"})
				return true
			}
			f.SetString("")
		}
	} else if f, ok := fieldByKey(parent, tag+"_file"); ok {
		f.SetString("")
	}
	field.SetString(value)
	r.origin[key] = name
	return true
}

func fieldByKey(v reflect.Value, key string) (reflect.Value, bool) {
	t := v.Type()
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}

// readSecretFiles replaces each x_file by x with the file's content.
func (c *Config) readSecretFiles(readFile func(string) ([]byte, error)) Faults {
	s := secretFiles{readFile: readFile, origin: c.origin}
	s.resolve(reflect.ValueOf(c).Elem(), "")
	resolveInstalls(&s, c.Slack, "slack")
	resolveInstalls(&s, c.Feishu, "feishu")
	resolveInstalls(&s, c.DingTalk, "dingtalk")
	resolveInstalls(&s, c.WeCom, "wecom")
	return s.faults
}

func resolveInstalls[T any](s *secretFiles, installs map[string]T, platform string) {
	for _, name := range slices.Sorted(maps.Keys(installs)) {
		in := installs[name]
		s.resolve(reflect.ValueOf(&in).Elem(), platform+"."+name)
		installs[name] = in
	}
}

type secretFiles struct {
	readFile func(string) ([]byte, error)
	origin   map[string]string
	faults   Faults
}

func (s *secretFiles) resolve(v reflect.Value, prefix string) {
	t := v.Type()
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("yaml")
		f := v.Field(i)
		if f.Kind() == reflect.Struct && tag != "" {
			s.resolve(f, join(prefix, tag))
		}
		twin, isFile := strings.CutSuffix(tag, "_file")
		if !isFile || f.String() == "" {
			continue
		}
		key, plain := join(prefix, tag), join(prefix, twin)
		field, _ := fieldByKey(v, twin)
		if field.String() != "" {
			s.faults.add(plain, "is set twice, as itself and as %s; keep one of the two", tag)
			continue
		}
		data, err := s.readFile(f.String())
		if err != nil {
			s.faults.add(key, "%s cannot be read: %v", f.String(), cause(err))
			continue
		}
		value := strings.TrimRight(string(data), "\r\n")
		if value == "" {
			s.faults.add(key, "%s is empty; it should hold the secret and nothing else", f.String())
			continue
		}
		if len(value) > 4096 || strings.ContainsAny(value, "\r\n\x00") {
			s.faults.add(key, "%s holds more than one line; it should hold the secret and nothing else", f.String())
			continue
		}
		field.SetString(value)
		s.origin[plain] = f.String()
	}
}

// loopbackHostPort reports whether only this machine reaches addr. An empty
// host means every interface.
func loopbackHostPort(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && loopbackHost(host)
}

func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// EnsureDataDir makes the data folder, for its owner only, and refuses one that
// others could plant files in.
func EnsureDataDir(c Config) error {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	st, err := os.Stat(c.DataDir)
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	if st.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("data_dir: %s can be written by others (mode %04o); run: chmod 700 %s", c.DataDir, st.Mode().Perm(), c.DataDir)
	}
	return nil
}
