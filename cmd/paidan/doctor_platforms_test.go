//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/paidan/paidan/tickets/ticketstest"
)

// doctorSays runs the check-up of a stage that has been left.
func doctorSays(t *testing.T, s *stage) (string, error) {
	t.Helper()
	env := map[string]string{"PAIDAN_DATABASE_URL": s.url, "PAIDAN_DATA_DIR": filepath.Join(s.dir, "data"), "PAIDAN_OPS_LISTEN": "off"}
	var out bytes.Buffer
	p := &program{getenv: func(k string) string { return env[k] }, stdout: &out, stderr: &out, flags: Flags{File: s.conf}}
	err := p.doctor(context.Background(), doctorFlags{})
	return out.String(), err
}

func TestDoctorLooksAtEveryPlatform(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/script/four.txtar")
	if err != nil {
		t.Fatal(err)
	}
	st := newStage(t, "four", ticketstest.SQLite(t), archive.Files)
	st.start()
	st.stop()
	says, err := doctorSays(t, st)
	if err != nil || strings.Contains(says, "BAD") {
		t.Errorf("%v\n%s", err, says)
	}
	for _, install := range []string{"slack/default", "feishu/default", "dingtalk/default", "wecom/default"} {
		if strings.Count(says, install+" ") < 2 {
			t.Errorf("next to nothing is said of %s:\n%s", install, says)
		}
	}

	conf, err := os.ReadFile(st.conf)
	if err != nil {
		t.Fatal(err)
	}
	var secrets []string
	wrong := credential.ReplaceAllStringFunc(string(conf), func(line string) string {
		m := credential.FindStringSubmatch(line)
		secrets = append(secrets, m[2], other(m[2]))
		return m[1] + other(m[2])
	})
	if err := os.WriteFile(st.conf, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	says, err = doctorSays(t, st)
	if !errors.Is(err, errFound) {
		t.Errorf("err %v with wrong secrets\n%s", err, says)
	}
	for _, install := range []string{"slack/default", "feishu/default", "dingtalk/default", "wecom/default"} {
		if !regexp.MustCompile(`(?m)^BAD +` + install).MatchString(says) {
			t.Errorf("nothing is wrong with %s, whose secret is:\n%s", install, says)
		}
	}
	for _, s := range secrets {
		if strings.Contains(says, s) {
			t.Errorf("a secret is told:\n%s", says)
		}
	}
	if len(secrets) < 8 {
		t.Errorf("%d secrets were found in the configuration", len(secrets))
	}
}

var credential = regexp.MustCompile(`(?m)^( +(?:bot_token|app_secret|client_secret|secret): )(\S+)$`)

// other is a secret like s, and another one.
func other(s string) string {
	if last := s[len(s)-1:]; last != "q" {
		return s[:len(s)-1] + "q"
	}
	return s[:len(s)-1] + "z"
}
