package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/tickets"
)

// source is where a configuration comes from in a test.
type source struct {
	yaml  string
	env   map[string]string
	flags map[string]string
	files map[string]string
}

func (s source) load() (Config, error) {
	return Load(Flags{Values: s.flags}, func(k string) string { return s.env[k] }, func(name string) ([]byte, error) {
		if name == "paidan.yaml" && s.yaml != "" {
			return []byte(s.yaml), nil
		}
		if data, ok := s.files[name]; ok {
			return []byte(data), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	})
}

func lines(data []byte) map[string]string {
	m := map[string]string{}
	for l := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(strings.TrimRight(l, "\n"), "="); ok {
			m[k] = v
		}
	}
	return m
}

func readSource(t *testing.T, file string) (s source, want, never []string) {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.files = map[string]string{}
	for _, f := range a.Files {
		switch {
		case f.Name == "paidan.yaml":
			s.yaml = string(f.Data)
		case f.Name == "env":
			s.env = lines(f.Data)
		case f.Name == "flags":
			s.flags = lines(f.Data)
		case f.Name == "want":
			want = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		case f.Name == "never":
			never = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		case strings.HasPrefix(f.Name, "/"):
			s.files[f.Name] = string(f.Data)
		default:
			t.Fatalf("%s: what is %q?", file, f.Name)
		}
	}
	return s, want, never
}

// TA09, TM05, TM07: what is wrong is refused, all of it at once, and each line
// names the key, says what is wrong and what would be right.
func TestBadConfigurationsAreRefusedByKey(t *testing.T) {
	files, err := filepath.Glob("testdata/badconfig/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 60 {
		t.Fatalf("only %d bad configurations", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			s, want, never := readSource(t, file)
			_, err := s.load()
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("got %v, want faults:\n%s", err, strings.Join(want, "\n"))
			}
			if len(faults) != len(want) {
				t.Errorf("got %d faults, want %d:\n%v", len(faults), len(want), err)
			}
			got := strings.Split(err.Error(), "\n")
			for _, w := range want {
				if !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, w) }) {
					t.Errorf("got:\n%v\nwant a line with:\n%s", err, w)
				}
			}
			for _, n := range never {
				if strings.Contains(err.Error(), n) {
					t.Errorf("the error shows %q:\n%v", n, err)
				}
			}
			for _, f := range faults {
				if f.Key == "" || f.Says == "" {
					t.Errorf("a fault without a key or a reason: %+v", f)
				}
			}
		})
	}
}

func TestGoodConfigurationsAreAccepted(t *testing.T) {
	files, err := filepath.Glob("testdata/goodconfig/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			s, _, _ := readSource(t, file)
			if _, err := s.load(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestWithNothingConfiguredThePlaygroundHasADesk(t *testing.T) {
	c, err := source{}.load()
	if err != nil {
		t.Fatal(err)
	}
	type main struct{ Listen, Ops, URL, Dir, Playground, Locale, Zone string }
	got := main{c.Listen, c.OpsListen, c.PublicURL, c.DataDir, c.Playground, c.Locale, c.Timezone}
	want := main{"127.0.0.1:8080", "127.0.0.1:9090", "", "./paidan-data", "auto", "zh-CN", "Asia/Shanghai"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !c.PlaygroundOn() || c.DatabaseURL != "" || c.SecretKey != "" {
		t.Errorf("playground %v, database %q, key %q", c.PlaygroundOn(), c.DatabaseURL.Reveal(), c.SecretKey.Reveal())
	}
	if len(c.Desks) != 1 {
		t.Fatalf("got %d desks, want the example", len(c.Desks))
	}
	d := c.Desks[0]
	refs := [][]Ref{d.Intake, d.Triage, d.Agents, d.Leads, c.Admins}
	wantRefs := [][]Ref{
		{"playground/default/g-east"}, {"playground/default/g-desk"},
		{"playground/default/lisi", "playground/default/wangwu"}, {"playground/default/zhaomin"}, {"playground/default/chenzong"},
	}
	if diff := cmp.Diff(wantRefs, refs); diff != "" {
		t.Error(diff)
	}
	if d.Key != "it" || d.Name != "IT 服务台" || len(d.Types) != 3 || d.Confirm != 72*time.Hour || d.Targets[0].Respond != 15*time.Minute {
		t.Errorf("got desk %+v", d.Desk)
	}
	if got, want := d.Intake[0].Conv(), (bot.ConvRef{Install: bot.Install{Platform: "playground", Name: "default"}, ID: "g-east"}); got != want {
		t.Errorf("Conv: got %+v, want %+v", got, want)
	}
	if got := d.Agents[0].User().String(); got != "playground/default/lisi" {
		t.Errorf("User: got %s", got)
	}
}

const (
	goodBot  = "xoxb-4815162342-1618033988-Qr7tVbn2KzLpWm9sXcJd"
	goodSign = "5b1f0c9de27a4486b3a1c07fe8d2946b"
	goodApp  = "xapp-1-A048ZKQ7-4815162342-9f3c5d7e1b2a"
)

var slackEnv = map[string]string{"PAIDAN_SLACK_BOT_TOKEN": goodBot, "PAIDAN_SLACK_SIGNING_SECRET": goodSign}

func TestWithSlackTheExampleDeskComesUnbound(t *testing.T) {
	c, err := source{env: slackEnv}.load()
	if err != nil {
		t.Fatal(err)
	}
	d := c.Desks[0]
	if c.PlaygroundOn() || len(d.Intake)+len(d.Triage)+len(d.Agents)+len(d.Leads)+len(c.Admins) != 0 || len(d.Types) != 3 {
		t.Errorf("got %+v, admins %v", d, c.Admins)
	}
}

func TestPlaygroundAutoNeverTurnsOnWhereOthersReachIt(t *testing.T) {
	for _, tt := range []struct {
		mode, listen string
		slack, want  bool
	}{
		{"auto", "127.0.0.1:8080", false, true},
		{"auto", "localhost:8080", false, true},
		{"auto", "[::1]:8080", false, true},
		{"auto", "0.0.0.0:8080", false, false},
		{"auto", ":8080", false, false},
		{"auto", "[::]:8080", false, false},
		{"auto", "192.168.1.7:8080", false, false},
		{"auto", "desk.internal:8080", false, false},
		{"auto", "127.0.0.1:8080", true, false},
		{"on", "0.0.0.0:8080", false, true},
		{"on", "127.0.0.1:8080", true, true},
		{"off", "127.0.0.1:8080", false, false},
	} {
		s := source{flags: map[string]string{"playground": tt.mode, "listen": tt.listen}}
		if tt.slack {
			s.env = slackEnv
		}
		c, err := s.load()
		if err != nil {
			t.Fatal(err)
		}
		if got := c.PlaygroundOn(); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}

func TestFlagsGoBeforeEnvironmentBeforeFileBeforeDefaults(t *testing.T) {
	for _, tt := range []struct {
		key, env, file, def string
		get                 func(Config) string
	}{
		{"listen", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:8080", func(c Config) string { return c.Listen }},
		{"ops_listen", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:9090", func(c Config) string { return c.OpsListen }},
		{"public_url", "https://two.example.com", "https://three.example.com", "", func(c Config) string { return c.PublicURL }},
		{"data_dir", "./two", "./three", "./paidan-data", func(c Config) string { return c.DataDir }},
		{"playground", "off", "on", "auto", func(c Config) string { return c.Playground }},
		{"locale", "en", "en-GB", "zh-CN", func(c Config) string { return c.Locale }},
		{"timezone", "Asia/Tokyo", "Europe/Berlin", "Asia/Shanghai", func(c Config) string { return c.Timezone }},
	} {
		flag := tt.file
		for _, step := range []struct {
			s    source
			want string
		}{
			{source{}, tt.def},
			{source{yaml: tt.key + ": " + tt.file}, tt.file},
			{source{yaml: tt.key + ": " + tt.file, env: map[string]string{"PAIDAN_" + strings.ToUpper(tt.key): tt.env}}, tt.env},
			{source{
				yaml:  tt.key + ": " + tt.def,
				env:   map[string]string{"PAIDAN_" + strings.ToUpper(tt.key): tt.env},
				flags: map[string]string{tt.key: flag},
			}, flag},
		} {
			c, err := step.s.load()
			if err != nil {
				t.Errorf("%s %+v: %v", tt.key, step.s, err)
			} else if got := tt.get(c); got != step.want {
				t.Errorf("%s %+v: got %q, want %q", tt.key, step.s, got, step.want)
			}
		}
	}
}

// A secret and its file are one setting: the layer that says either wins.
func TestASecretOfAHigherLayerEndsTheFileOfALowerOne(t *testing.T) {
	yamlFile := "slack: {default: {bot_token_file: /run/bot, signing_secret: " + goodSign + "}}"
	yamlPlain := "slack: {default: {bot_token: " + goodBot + "-yaml, signing_secret: " + goodSign + "}}"
	files := map[string]string{"/run/bot": goodBot + "-file\r\n", "/run/other": goodBot + "-other"}
	for _, tt := range []struct {
		name string
		s    source
		want string
	}{
		{"file in yaml", source{yaml: yamlFile, files: files}, goodBot + "-file"},
		{"env over file in yaml", source{yaml: yamlFile, files: files, env: map[string]string{"PAIDAN_SLACK_BOT_TOKEN": goodBot}}, goodBot},
		{"file in env over yaml", source{yaml: yamlPlain, files: files, env: map[string]string{"PAIDAN_SLACK_BOT_TOKEN_FILE": "/run/other"}}, goodBot + "-other"},
		{"file in env over file in yaml", source{yaml: yamlFile, files: files, env: map[string]string{"PAIDAN_SLACK_BOT_TOKEN_FILE": "/run/other"}}, goodBot + "-other"},
	} {
		c, err := tt.s.load()
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if got := c.Slack["default"].BotToken.Reveal(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestEveryKeyHasAnEnvironmentName(t *testing.T) {
	env := map[string]string{
		"PAIDAN_SLACK_APP_TOKEN":                goodApp,
		"PAIDAN_SLACK_API_URL":                  "http://127.0.0.1:7777/api",
		"PAIDAN_FEISHU_APP_ID":                  "a",
		"PAIDAN_FEISHU_MODE":                    "b",
		"PAIDAN_DINGTALK_ROBOT_CODE":            "c",
		"PAIDAN_DINGTALK_OAPI_URL":              "d",
		"PAIDAN_WECOM_AGENT_ID":                 "e",
		"PAIDAN_WECOM_SECRET":                   "f",
		"PAIDAN_WECOM_ROBOT_SECRET":             "g",
		"PAIDAN_WECOM_ROBOT_ENCODING_AES_KEY":   "h",
		"PAIDAN_DATABASE_URL":                   "sqlite:///var/lib/paidan.db",
		"PAIDAN_SECRET_KEY":                     "i",
		"PAIDAN_FEISHU_VERIFICATION_TOKEN_FILE": "/run/j",
	}
	c, _ := source{env: env, files: map[string]string{"/run/j": "j\n"}}.load()
	got := []string{
		c.Slack["default"].AppToken.Reveal(), c.Slack["default"].APIURL, c.Feishu["default"].AppID, c.Feishu["default"].Mode,
		c.DingTalk["default"].RobotCode, c.DingTalk["default"].OAPIURL, c.WeCom["default"].AgentID, c.WeCom["default"].Secret.Reveal(),
		c.WeCom["default"].Robot.Secret.Reveal(), c.WeCom["default"].Robot.EncodingAESKey.Reveal(),
		c.DatabaseURL.Reveal(), c.SecretKey.Reveal(), c.Feishu["default"].VerificationToken.Reveal(),
	}
	want := []string{
		goodApp, "http://127.0.0.1:7777/api/", "a", "b", "c", "d", "e", "f", "g", "h",
		"sqlite:///var/lib/paidan.db", "i", "j",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEveryFaultIsReportedAtOnce(t *testing.T) {
	_, err := source{yaml: `
lisen: 127.0.0.1:1
timezone: Mars/Olympus
locale: fr
playground: maybe
desks: [{key: "", name: ""}]
slack: {default: {}}
`}.load()
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	var keys []string
	for _, f := range faults {
		keys = append(keys, f.Key)
	}
	want := []string{
		"lisen", "playground", "locale", "timezone", "slack.default.bot_token", "slack.default.signing_secret",
		"desks[0].key", "desks[0].name",
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("%s\n%v", diff, err)
	}
	if want := "lisen (paidan.yaml line 2): is no setting; did you mean listen?"; faults[0].String() != want {
		t.Errorf("got %s, want %s", faults[0], want)
	}
}

// TE15: however a configuration is printed, no secret is in it.
func TestSecretsAreNeverPrinted(t *testing.T) {
	const canary = "canary"
	n := 0
	next := func() Secret { n++; return Secret(fmt.Sprintf("%s-%d", canary, n)) }
	c := Config{
		DatabaseURL: next(), SecretKey: next(),
		Slack:    map[string]SlackInstall{"default": {BotToken: next(), SigningSecret: next(), AppToken: next()}},
		Feishu:   map[string]FeishuInstall{"default": {AppSecret: next(), EncryptKey: next(), VerificationToken: next()}},
		DingTalk: map[string]DingTalkInstall{"default": {ClientSecret: next()}},
		WeCom: map[string]WeComInstall{"default": {
			Secret: next(), Token: next(), EncodingAESKey: next(),
			Robot: WeComRobot{Secret: next(), Token: next(), EncodingAESKey: next()},
		}},
	}
	prints := map[string]func() string{
		"json": func() string { b, err := json.Marshal(c); return string(b) + errText(err) },
		"yaml": func() string { b, err := yaml.Marshal(c); return string(b) + errText(err) },
		"slog text": func() string {
			var b bytes.Buffer
			slog.New(slog.NewTextHandler(&b, nil)).Info("read", "config", c, "key", c.SecretKey)
			return b.String()
		},
		"slog json": func() string {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).Info("read", "config", c, "key", c.SecretKey)
			return b.String()
		},
		"error": func() string { return fmt.Errorf("open %s: %w", c.DatabaseURL, c.Validate()).Error() },
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%T %v"} {
		prints[verb] = func() string { return fmt.Sprintf(verb, c) }
		prints[verb+" bare"] = func() string { return fmt.Sprintf(verb, c.SecretKey) }
		prints[verb+" pointer"] = func() string { return fmt.Sprintf(verb, &c) }
	}
	for _, name := range slices.Sorted(maps.Keys(prints)) {
		out := prints[name]()
		for _, s := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("% x", canary), strings.ToUpper(fmt.Sprintf("%x", canary)), fmt.Sprint([]byte(canary))} {
			if strings.Contains(out, strings.Trim(s, "[]")) {
				t.Errorf("%s shows a secret: %s", name, out)
			}
		}
	}
	if c.SecretKey.Reveal() != "canary-2" || Secret("").String() != "" {
		t.Error("Reveal or the empty secret is wrong")
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestTheSecretKeyIsMadeOnceAndKept(t *testing.T) {
	c := defaults()
	c.DataDir = filepath.Join(t.TempDir(), "data")
	var wg sync.WaitGroup
	keys := make([][]byte, 8)
	for i := range keys {
		wg.Go(func() {
			key, err := LoadSecretKey(c)
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	wg.Wait()
	for _, k := range keys {
		if len(k) != 32 || !bytes.Equal(k, keys[0]) {
			t.Fatalf("got %x and %x, want one key of 32 bytes", keys[0], k)
		}
	}
	for name, want := range map[string]fs.FileMode{".": 0o700, "secret.key": 0o600} {
		st, err := os.Stat(filepath.Join(c.DataDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Mode().Perm(); got != want {
			t.Errorf("%s: got mode %04o, want %04o", name, got, want)
		}
	}
	left, err := os.ReadDir(c.DataDir)
	if err != nil || len(left) != 1 {
		t.Errorf("got %v %v, want secret.key alone", left, err)
	}
}

func TestAConfiguredSecretKeyTouchesNoFile(t *testing.T) {
	key := []byte("0f3b7c2d9e8a4160b5c6d7e8f9a0b1c2")
	c := Config{SecretKey: Secret(base64.StdEncoding.EncodeToString(key)), DataDir: filepath.Join(t.TempDir(), "none")}
	got, err := LoadSecretKey(c)
	if err != nil || !bytes.Equal(got, key) {
		t.Errorf("got %q %v", got, err)
	}
	if _, err := os.Stat(c.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("data_dir: %v", err)
	}
}

func TestAKeyThatOthersCouldReadOrPlantIsRefused(t *testing.T) {
	good := base64.StdEncoding.EncodeToString([]byte("0f3b7c2d9e8a4160b5c6d7e8f9a0b1c2"))
	for name, tt := range map[string]struct {
		prepare func(dir string) error
		want    string
	}{
		"readable": {func(d string) error {
			p := filepath.Join(d, "secret.key")
			return errors.Join(os.WriteFile(p, []byte(good), 0o600), os.Chmod(p, 0o640))
		}, "chmod 600"},
		"link": {func(d string) error {
			return errors.Join(os.WriteFile(filepath.Join(d, "k"), []byte(good), 0o600), os.Symlink("k", filepath.Join(d, "secret.key")))
		}, "not a plain file"},
		"short":  {func(d string) error { return os.WriteFile(filepath.Join(d, "secret.key"), []byte("c2hvcnQ="), 0o600) }, "5 bytes"},
		"empty":  {func(d string) error { return os.WriteFile(filepath.Join(d, "secret.key"), nil, 0o600) }, "0 bytes"},
		"open":   {func(d string) error { return os.Chmod(d, 0o777) }, "chmod 700"},
		"a file": {func(d string) error { return errors.Join(os.Remove(d), os.WriteFile(d, nil, 0o600)) }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{DataDir: filepath.Join(t.TempDir(), "data")}
			if err := errors.Join(os.Mkdir(c.DataDir, 0o700), tt.prepare(c.DataDir)); err != nil {
				t.Fatal(err)
			}
			key, err := LoadSecretKey(c)
			if err == nil || !strings.Contains(err.Error(), tt.want) || key != nil {
				t.Errorf("got key of %d bytes, %v; want an error with %q", len(key), err, tt.want)
			}
			if strings.Contains(errText(err), good) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestWarningsNameWhatIsAllowedButRisky(t *testing.T) {
	for _, tt := range []struct {
		s    source
		want []string
	}{
		{source{}, nil},
		{source{yaml: "listen: 0.0.0.0:8080\nops_listen: 0.0.0.0:9090\nplayground: on\n"}, []string{"ops_listen", "playground"}},
		{source{yaml: "listen: 0.0.0.0:8080\n"}, []string{"playground"}},
		{source{env: slackEnv}, []string{"public_url"}},
		{source{env: slackEnv, yaml: "public_url: https://desk.acme.cn"}, nil},
	} {
		c, err := tt.s.load()
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, w := range c.Warnings() {
			keys = append(keys, w.Key)
		}
		if diff := cmp.Diff(tt.want, keys); diff != "" {
			t.Errorf("%+v: %s", tt.s, diff)
		}
	}
}

func TestOpsListenCanBeTurnedOff(t *testing.T) {
	for name, s := range map[string]source{
		"yaml": {yaml: `ops_listen: ""`},
		"env":  {env: map[string]string{"PAIDAN_OPS_LISTEN": "off"}},
		"flag": {flags: map[string]string{"ops_listen": ""}},
	} {
		if c, err := s.load(); err != nil || c.OpsListen != "" {
			t.Errorf("%s: got %q %v", name, c.OpsListen, err)
		}
	}
}

func TestADeskReadsItsRules(t *testing.T) {
	c, err := source{yaml: `
playground: on
desks:
  - key: after-sales
    name: 售后
    mentions: true
    intake: [playground/default/g-1]
    types:
      - {key: repair, name: 维修, fields: [{key: city, label: 城市, kind: cascade, required: true, options: [上海/浦东, 上海/徐汇]}]}
    targets: [{priority: 1, respond: 15m, solve: 4h}]
    reopen: 48h
`}.load()
	if err != nil {
		t.Fatal(err)
	}
	want := tickets.Desk{
		Key: "after-sales", Name: "售后", Mentions: true,
		Types: []tickets.Type{{Key: "repair", Name: "维修", Fields: []tickets.Field{
			{Key: "city", Label: "城市", Kind: tickets.FieldCascade, Required: true, Options: []string{"上海/浦东", "上海/徐汇"}},
		}}},
		Targets: []tickets.Target{{Priority: 1, Respond: 15 * time.Minute, Solve: 4 * time.Hour}},
		Reopen:  48 * time.Hour,
	}
	if diff := cmp.Diff(want, c.Desks[0].Desk); diff != "" {
		t.Error(diff)
	}
	if len(c.Admins) != 0 {
		t.Errorf("own desks got the example's admins: %v", c.Admins)
	}
}

func FuzzLoadNeverPanics(f *testing.F) {
	files, err := filepath.Glob("testdata/badconfig/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range a.Files {
			if part.Name == "paidan.yaml" {
				f.Add(string(part.Data))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := source{yaml: text}.load()
		if err == nil && c.Validate() != nil {
			t.Errorf("Load accepts what Validate refuses: %v", c.Validate())
		}
	})
}
