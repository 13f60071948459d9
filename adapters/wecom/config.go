package wecom

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Where WeCom is reached.
const (
	DefaultAPIURL = "https://qyapi.weixin.qq.com"
	DefaultWSURL  = "wss://openws.work.weixin.qq.com"
)

// Config is one install: one corp, with up to three surfaces. Each of them may
// be missing, but not both the app and the robot.
type Config struct {
	Name           string      `yaml:"-"`                // of the install; "" = "default"
	CorpID         string      `yaml:"corp_id"`          // 企业ID
	AgentID        int64       `yaml:"agent_id"`         // AgentId of the self-built app
	Secret         string      `yaml:"secret"`           // Secret of the self-built app
	Token          string      `yaml:"token"`            // 接收消息 → Token
	EncodingAESKey string      `yaml:"encoding_aes_key"` // 接收消息 → EncodingAESKey
	APIURL         string      `yaml:"api_url"`          // "" = DefaultAPIURL
	Robot          RobotConfig `yaml:"robot"`
	KF             KFConfig    `yaml:"kf"`
}

// RobotConfig is the smart robot 智能机器人: over a long connection when it has a
// secret, else over callbacks with a token and a key.
type RobotConfig struct {
	ID             string `yaml:"id"`     // BotID
	Secret         string `yaml:"secret"` // set = long connection
	Token          string `yaml:"token"`
	EncodingAESKey string `yaml:"encoding_aes_key"`
	WSURL          string `yaml:"ws_url"` // "" = DefaultWSURL
}

// KFConfig is 微信客服. It needs the app, which is the one that may call its
// interfaces, and needs nothing more: a secret of its own is for corps that still
// have one, a token of its own for callbacks to /hooks/wecom/<install>/kf.
type KFConfig struct {
	Secret         string `yaml:"secret"` // "" = the app's
	Token          string `yaml:"token"`  // "" = events come to the app's address
	EncodingAESKey string `yaml:"encoding_aes_key"`
}

// HasApp reports whether the self-built app is configured.
func (c Config) HasApp() bool {
	return c.AgentID != 0 || c.Secret != "" || c.Token != "" || c.EncodingAESKey != ""
}

// HasRobot reports whether the smart robot is configured.
func (c Config) HasRobot() bool {
	r := c.Robot
	return r.ID != "" || r.Secret != "" || r.Token != "" || r.EncodingAESKey != ""
}

var (
	nameForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	corpForm  = regexp.MustCompile(`^w[wx][0-9A-Za-z]{8,62}$`)
	tokenForm = regexp.MustCompile(`^[0-9A-Za-z]{3,32}$`)
	botForm   = regexp.MustCompile(`^[0-9A-Za-z_-]{3,128}$`)
)

// placeholder reports whether a secret is one that was copied from an example.
func placeholder(s string) bool {
	l := strings.ToLower(s)
	for _, w := range []string{"changeme", "change-me", "change_me", "your-", "your_", "example", "placeholder", "xxxxxx", "…", "...", "<", ">"} {
		if strings.Contains(l, w) {
			return true
		}
	}
	return len(l) > 0 && strings.TrimLeft(l, l[:1]) == "" // one character over and over
}

// minSecret is the shortest secret that is taken; WeCom's have 43 characters.
const minSecret = 16

// Validate names every key that is wrong, and says what would be right. A
// missing secret is a fault: the adapter never skips verification.
func (c Config) Validate() []error {
	var errs []error
	bad := func(key, says string) { errs = append(errs, fmt.Errorf("%s: %s", key, says)) }
	secret := func(key, value, from string) {
		switch {
		case value == "":
			bad(key, "is empty; copy it from "+from)
		case placeholder(value):
			bad(key, "is a placeholder; copy it from "+from)
		case len(value) < minSecret || strings.ContainsAny(value, " \t\r\n&?#"):
			bad(key, "is too short or has spaces; copy the whole of it from "+from)
		}
	}
	callback := func(prefix, token, key, from string) {
		switch {
		case token == "":
			bad(prefix+"token", "is empty; copy it from "+from)
		case placeholder(token) || !tokenForm.MatchString(token):
			bad(prefix+"token", "must be 3 to 32 letters and digits; copy it from "+from)
		}
		switch {
		case key == "":
			bad(prefix+"encoding_aes_key", "is empty; copy it from "+from)
		case placeholder(key) || !aesKeyForm.MatchString(key):
			bad(prefix+"encoding_aes_key", "must be 43 letters and digits; copy it from "+from)
		}
	}
	if c.Name != "" && !nameForm.MatchString(c.Name) {
		bad("name", "must be small letters, digits, - and _")
	}
	if !c.HasApp() && !c.HasRobot() {
		bad("secret", "nothing is configured: set the self-built app (corp_id, agent_id, secret, token, encoding_aes_key) or robot (id, secret)")
		return errs
	}
	if c.CorpID == "" && c.HasApp() {
		bad("corp_id", "is empty; copy 企业ID from 我的企业 → 企业信息")
	} else if c.CorpID != "" && !corpForm.MatchString(c.CorpID) {
		bad("corp_id", "must look like ww0123456789abcdef; copy 企业ID from 我的企业 → 企业信息")
	}
	if c.HasApp() {
		if c.AgentID <= 0 {
			bad("agent_id", "must be the app's AgentId, a number like 1000002")
		}
		secret("secret", c.Secret, "the app's page, Secret")
		callback("", c.Token, c.EncodingAESKey, "the app's page, 接收消息 → API接收")
	}
	c.validateRobot(bad, secret, callback)
	if k := c.KF; k != (KFConfig{}) {
		if !c.HasApp() {
			bad("kf", "needs the self-built app: 微信客服 is called through it")
		}
		if k.Secret != "" {
			secret("kf.secret", k.Secret, "微信客服 → API, Secret")
		}
		if k.Token != "" || k.EncodingAESKey != "" {
			callback("kf.", k.Token, k.EncodingAESKey, "微信客服 → API, 回调配置")
		}
	}
	checkURL(bad, "api_url", c.APIURL, "https", "http", DefaultAPIURL)
	checkURL(bad, "robot.ws_url", c.Robot.WSURL, "wss", "ws", DefaultWSURL)
	return errs
}

func (c Config) validateRobot(bad func(key, says string), secret func(key, value, from string), callback func(prefix, token, key, from string)) {
	r := c.Robot
	if !c.HasRobot() {
		if r.WSURL != "" {
			bad("robot.id", "is empty although robot.ws_url is set; copy Bot ID from the robot's page")
		}
		return
	}
	switch {
	case r.Secret != "":
		if r.ID == "" {
			bad("robot.id", "is empty; copy Bot ID from the robot's page")
		}
		secret("robot.secret", r.Secret, "the robot's page, API模式 → 使用长连接")
		if r.Token != "" || r.EncodingAESKey != "" {
			bad("robot.token", "is set beside robot.secret; a robot has either a long connection (secret) or callbacks (token and encoding_aes_key)")
		}
	case r.Token == "" && r.EncodingAESKey == "":
		bad("robot.secret", "is empty; copy it from the robot's page, API模式 → 使用长连接, or set robot.token and robot.encoding_aes_key for callbacks")
	default:
		callback("robot.", r.Token, r.EncodingAESKey, "the robot's page, API模式 → 使用URL回调")
	}
	if r.ID != "" && (!botForm.MatchString(r.ID) || placeholder(r.ID)) {
		bad("robot.id", "must be the Bot ID from the robot's page")
	}
}

// checkURL takes the secure scheme anywhere, the other one on loopback only.
func checkURL(bad func(key, says string), key, value, secure, open, normal string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		bad(key, "is no URL; the default is "+normal)
	case u.Scheme != secure && !(u.Scheme == open && loopback(u.Hostname())):
		bad(key, "must be "+secure+" ("+open+" only on loopback)")
	}
}

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}
