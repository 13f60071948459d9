package dingtalk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/paidan/paidan/bot"
)

// nobody is an id that no person and no card has: calls about it do nothing,
// but are refused when a permission is missing.
const nobody = "paidan-doctor-nobody"

// probe is a harmless call that shows whether a permission is there.
type probe struct {
	what, permission, name string // name as the console has it
	warn                   bool   // work goes on without it
	for_                   string
	ok                     []string // refusals that come after the permission was looked at
	try                    func(a *Adapter, ctx context.Context) error
}

var probes = []probe{
	{
		what: "robot", permission: "qyapi_robot_sendmsg", name: "企业内机器人发送消息权限", for_: "writing to groups and people",
		try: func(a *Adapter, ctx context.Context) error {
			_, err := a.call(ctx, http.MethodPost, "robot/oToMessages/batchSend", object{"robotCode": a.conf.RobotCode, "userIds": []string{nobody}, "msgKey": "sampleText", "msgParam": `{"content":"doctor"}`})
			return err
		},
	},
	{
		what: "cards", permission: "Card.Instance.Write", name: "互动卡片实例写权限", for_: "cards with buttons", ok: []string{"param."},
		try: func(a *Adapter, ctx context.Context) error {
			if a.numbered() {
				return nil
			}
			_, err := a.call(ctx, http.MethodPut, "card/instances", object{"outTrackId": nobody, "cardData": object{"cardParamMap": object{"title": ""}}, "cardUpdateOptions": byKey})
			return err
		},
	},
	{
		what: "people", permission: "qyapi_get_member", name: "成员信息读权限", for_: "names of people", ok: []string{"60121", "33012", "50002", "400002"},
		try: func(a *Adapter, ctx context.Context) error {
			_, err := a.callOld(ctx, "topapi/v2/user/get", object{"userid": nobody, "language": "zh_CN"})
			return err
		},
	},
	{
		what: "ding", permission: "Premium.Ding.Write", name: "发送 DING 消息权限", for_: "ringing for the most urgent tickets", warn: true, ok: []string{"miss.", "invalid", "ding."},
		try: func(a *Adapter, ctx context.Context) error {
			_, err := a.call(ctx, http.MethodPost, "robot/ding/send", object{"robotCode": a.conf.RobotCode, "remindType": 1, "receiverUserIdList": []string{nobody}, "content": "doctor"})
			return err
		},
	},
}

// Check looks at the credentials, the permissions, the robot, the template, the
// quota and how events reach us. It makes about five paid calls.
func (a *Adapter) Check(ctx context.Context) []bot.Finding {
	where := a.install.String() + " "
	if _, err := a.accessToken(ctx); err != nil {
		return []bot.Finding{{What: where + "credentials", Says: a.advice(err, "open-dev.dingtalk.com → the app → 凭证与基础信息: copy Client ID and Client Secret anew")}}
	}
	out := []bot.Finding{{OK: true, What: where + "credentials", Says: "DingTalk gives a token for " + a.conf.ClientID}}
	for _, p := range probes {
		err := p.try(a, ctx)
		code := codeOf(err)
		ok := err == nil
		for _, prefix := range p.ok {
			ok = ok || strings.HasPrefix(code, prefix)
		}
		f := bot.Finding{OK: ok, Warn: !ok && p.warn, What: where + p.what, Says: p.permission + " (" + p.for_ + ")"}
		switch {
		case ok:
		case code == noRobot:
			f.Says = "there is no robot of robot_code " + a.conf.RobotCode + "; open-dev.dingtalk.com → the app → 机器人: switch it on, copy RobotCode, and publish a version (版本管理与发布)"
		default:
			f.Says = a.advice(err, "open-dev.dingtalk.com → the app → 权限管理: apply for "+p.permission+" «"+p.name+"», for "+p.for_)
		}
		out = append(out, f)
	}
	return append(out, a.checkTemplate(ctx), a.checkQuota(ctx), a.checkEvents(ctx))
}

// advice says what is wrong and how to mend it.
func (a *Adapter) advice(err error, permission string) string {
	v := verdict("call", err)
	switch code := codeOf(err); {
	case code == "Forbidden.AccessDenied.IpNotInWhiteList" || code == "60020":
		return "this server's address is not allowed; open-dev.dingtalk.com → the app → 安全设置 → 服务器出口 IP: add the address under which this server reaches the internet, or clear the list"
	case code == codeQuota || code == "90020":
		return "the company's calls of this month are used up; open-dev.dingtalk.com → 资源管理, or raise the edition"
	case throttled(code):
		return "DingTalk takes no more calls just now; run it again in a minute"
	case errors.Is(v, bot.ErrUnauthorized):
		return "refused: " + v.Error() + "; " + permission
	}
	return "not answered: " + v.Error() + "; look whether this server reaches " + a.api.Host + " and " + a.oapi.Host
}

// checkTemplate makes a card that is delivered to nobody: the template must
// exist, be published, and know our variables.
func (a *Adapter) checkTemplate(ctx context.Context) bot.Finding {
	f := bot.Finding{What: a.install.String() + " template"}
	if a.numbered() {
		f.Warn, f.Says = true, "card_template_id is not set: cards are text with numbers to answer with, and cannot be changed once they stand; see docs/platforms/dingtalk.md on the template"
		return f
	}
	_, err := a.call(ctx, http.MethodPost, "card/instances", object{
		"cardTemplateId": a.conf.CardTemplateID, "outTrackId": nobody + "-" + fingerprint(a.conf.CardTemplateID, a.now().UTC().Format("2006-01-02")),
		"userIdType": 1, "callbackType": "STREAM", "cardData": object{"cardParamMap": map[string]string{"title": "doctor", "version": "0"}},
		"imGroupOpenSpaceModel": object{"supportForward": false},
	})
	switch code := codeOf(err); {
	case err == nil, code == "param.cardAlreadyExist":
		f.OK, f.Says = true, a.conf.CardTemplateID+" can be used"
	case strings.HasPrefix(code, "param."):
		f.Says = "card_template_id is refused (" + code + "); open-dev.dingtalk.com/fe/card: publish the template for this app and copy its id"
	default:
		f.Says = a.advice(err, "open-dev.dingtalk.com → the app → 权限管理: apply for Card.Instance.Write")
	}
	return f
}

func (a *Adapter) checkQuota(ctx context.Context) bot.Finding {
	used, limit := a.Used(ctx)
	f := bot.Finding{OK: true, What: a.install.String() + " quota", Says: fmt.Sprintf("%d of %d calls used by Paidan this month; all apps of the company share them", used, limit)}
	if used*5 >= limit*4 {
		f.OK, f.Warn = false, true
		f.Says += "; when they are used up nothing is sent until the next month: open-dev.dingtalk.com → 资源管理"
	}
	return f
}

func (a *Adapter) checkEvents(ctx context.Context) bot.Finding {
	f := bot.Finding{What: a.install.String() + " events"}
	if a.conf.Mode == ModeHTTP {
		hook := "<public_url>/hooks/" + a.install.String()
		f.OK, f.Says = true, "over HTTP; 机器人 → 消息接收地址 is "+hook
		if a.key != nil {
			f.Says += ", 事件订阅 → 请求网址 is " + hook + "/events"
		}
		if !a.numbered() {
			f.Says += ", and presses go to " + hook + "/cards under the route key " + a.routeKey()
		}
		return f
	}
	if _, err := a.ticket(ctx); err != nil {
		f.Says = "Stream: " + err.Error() + "; open-dev.dingtalk.com → the app → 机器人 → 消息接收模式: Stream, and publish a version. This server must reach " + a.api.Host + " and wss-open-connection.dingtalk.com on port 443"
		return f
	}
	f.OK, f.Says = true, "over Stream"
	return f
}
