package wecom

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"

	"github.com/paidan/paidan/bot"
)

const (
	menuPath       = "/cgi-bin/menu/get"
	departmentPath = "/cgi-bin/department/simplelist"
)

// fromIP is how WeCom tells which address a refused call came from.
var fromIP = regexp.MustCompile(`from ip: ?([0-9A-Fa-f.:]+)`)

// callerIP is the address of ours that WeCom saw, "" when it did not tell one.
func callerIP(err error) string {
	var e *apiError
	if !errors.As(err, &e) {
		return ""
	}
	m := fromIP.FindStringSubmatch(e.Msg)
	if m == nil {
		return ""
	}
	ip, err := netip.ParseAddr(m[1])
	if err != nil {
		return ""
	}
	return ip.String()
}

// advice says how to mend what an errcode tells; "" when it tells nothing that
// somebody could mend in the console.
func advice(err error) string {
	const console = "the admin console (work.weixin.qq.com), 应用管理 → the app: "
	switch code(err) {
	case 40001, 40091:
		return "secret is wrong; in " + console + "copy Secret"
	case 40013:
		return "corp_id is wrong; in the admin console, 我的企业 → 企业信息, copy 企业ID"
	case 40056, 301002:
		return "agent_id does not belong to this secret; in " + console + "copy AgentId and Secret of the same app"
	case 41004:
		return "secret is empty; in " + console + "copy Secret"
	case 43012:
		return "the app has no callback address, so it may send no cards; in " + console + "接收消息 → 设置API接收"
	case 45009:
		return "WeCom counts too many calls, or too many with a wrong secret, and lets this address wait for up to an hour"
	case 48002, 60011:
		return "the app may not do this; in " + console + "check 可见范围 and 企业微信授权"
	case 50003:
		return "the app is switched off; in " + console + "启用"
	case 60020:
		ip := callerIP(err)
		if ip == "" {
			ip = "the address that this server reaches the internet with"
		}
		return "WeCom does not trust our address; in " + console + "企业可信IP → 配置, enter " + ip + " and wait a minute"
	}
	return ""
}

// trouble makes a finding of an error.
func trouble(what string, err error) bot.Finding {
	says := err.Error()
	if a := advice(err); a != "" {
		says = a + " (" + says + ")"
	}
	return bot.Finding{What: what, Says: says}
}

// check looks at the app: credentials, trusted address, agent id, visible range,
// and says what it cannot see from here.
func (a *app) check(ctx context.Context) []bot.Finding {
	where := a.install.String() + " "
	if _, err := a.api.token(ctx); err != nil {
		return []bot.Finding{trouble(where+"credentials", err)}
	}
	out := []bot.Finding{{OK: true, What: where + "credentials", Says: "corp_id and secret are good"}}
	// The menu of the app answers to its own agent_id only, and changes nothing.
	err := a.api.call(ctx, "GET", menuPath, url.Values{"agentid": {strconv.FormatInt(a.conf.AgentID, 10)}}, nil, nil)
	switch code(err) {
	case 60020:
		return append(out, trouble(where+"trusted address", err))
	case 0, 46003:
		if err != nil && code(err) == 0 {
			return append(out, trouble(where+"app", err))
		}
		out = append(out, bot.Finding{OK: true, What: where + "app", Says: "agent_id " + strconv.FormatInt(a.conf.AgentID, 10) + ", and WeCom trusts our address"})
	default:
		out = append(out, trouble(where+"app", err))
	}
	return append(out, a.checkRange(ctx, where), a.checkCallback(where))
}

// checkRange looks whether the app sees anybody.
func (a *app) checkRange(ctx context.Context, where string) bot.Finding {
	var got struct {
		Departments []struct {
			ID int64 `json:"id"`
		} `json:"department_id"`
	}
	if err := a.api.call(ctx, "GET", departmentPath, nil, nil, &got); err != nil {
		f := trouble(where+"visible range", err)
		f.Warn = true
		return f
	}
	if len(got.Departments) == 0 {
		return bot.Finding{Warn: true, What: where + "visible range", Says: "the app sees no department; who is not chosen one by one cannot be written to: in the admin console, 应用管理 → the app, edit 可见范围"}
	}
	return bot.Finding{OK: true, What: where + "visible range", Says: strconv.Itoa(len(got.Departments)) + " departments; who is outside of 可见范围 cannot be written to"}
}

// checkCallback tells what only the console knows: it checks the address when
// it is saved there.
func (a *app) checkCallback(where string) bot.Finding {
	return bot.Finding{OK: true, What: where + "events", Says: "come to <public_url>/hooks/" + a.install.String() + "; the console checks that when 接收消息 → 设置API接收 is saved, with token and encoding_aes_key as they stand here"}
}
