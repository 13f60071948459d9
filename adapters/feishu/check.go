package feishu

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/paidan/paidan/bot"
)

// need is a permission and what does not work without it. Any of names will do.
type need struct {
	names    string // separated by |
	purpose  string
	optional bool // work goes on without it
}

// needed are the permissions of the app.
var needed = []need{
	{"im:message:send_as_bot|im:message", "sending cards", false},
	{"im:message:update|im:message|im:message:send_as_bot", "changing cards", false},
	{"im:message.p2p_msg:readonly|im:message.p2p_msg", "private chats with the bot", false},
	{"im:message.group_at_msg:readonly|im:message.group_at_msg|im:message.group_msg", "hearing its name in groups", false},
	{"im:message.group_msg", "requests and replies in groups without @; has to be approved by your company", true},
	{"im:message:recall|im:message", "taking messages back", true},
	{"im:message:readonly|im:message", "attachments, and what an emoji was put on", true},
	{"im:message.reactions:read|im:message", "emoji as commands", true},
	{"im:message.urgent", "urgent notices for breaches of P1", true},
	{"im:resource|im:resource:upload", "sending files", true},
	{"im:chat:read|im:chat:readonly|im:chat", "names of groups", true},
	{"im:chat.members:read|im:chat.group_info:readonly|im:chat:readonly|im:chat", "members of triage groups as agents", true},
	{"im:chat.members:bot_access|im:chat:readonly|im:chat", "hearing that it was added to a group", true},
	{"contact:user.base:readonly|contact:contact:readonly_as_app", "names of people", true},
	{"contact:user.email:readonly", "knowing the same person on another platform by e-mail", true},
	{"contact:group:readonly", "user groups", true},
	{"application:bot.menu:readonly", "the bot's menu", true},
}

// Check looks at the credentials, the bot, the permissions, whom the app may
// see, and how events come in. What Feishu does not tell is said as what to look
// at in its console (https://open.feishu.cn/app).
func (a *Adapter) Check(ctx context.Context) []bot.Finding {
	where := a.install.String() + " "
	out := []bot.Finding{}
	add := func(what string, ok, warn bool, says string) {
		out = append(out, bot.Finding{OK: ok, Warn: warn, What: where + what, Says: says})
	}
	if _, err := a.accessToken(ctx); err != nil {
		says := "no token: " + err.Error()
		if errors.Is(err, bot.ErrUnauthorized) {
			says = "Feishu refuses app_id and app_secret (" + err.Error() + "); copy both from 凭证与基础信息 (Credentials & Basic Info); an app of Lark needs api_url: " + LarkAPIURL
		}
		add("credentials", false, false, says)
		return out
	}
	add("credentials", true, false, "accepted by "+a.base.Host)
	self, err := a.whoami(ctx)
	switch {
	case err != nil:
		add("bot", false, false, err.Error()+"; add the capability under 应用能力 → 机器人 (Features → Bot) and release a version under 版本管理与发布 (Version Management & Release)")
	default:
		add("bot", true, false, self.name)
	}
	out = append(out, a.checkScopes(ctx, where))
	out = append(out, a.checkRange(ctx, where))
	return append(out, a.checkEvents(ctx, where)...)
}

// checkScopes compares what was granted with what is needed.
// https://open.feishu.cn/document/server-docs/application-v6/scope/list
func (a *Adapter) checkScopes(ctx context.Context, where string) bot.Finding {
	f := bot.Finding{What: where + "permissions"}
	var doc document
	if err := a.read(ctx, "scopes", "/open-apis/application/v6/scopes", nil, nil, &doc); err != nil {
		f.Warn, f.Says = true, "Feishu did not tell what is granted ("+err.Error()+"); compare 权限管理 (Permissions & Scopes) with the list in the documentation"
		return f
	}
	const granted = 1
	has := map[string]bool{}
	for _, s := range doc.at("data", "scopes").list() {
		if s.at("grant_status").number() == granted {
			has[s.at("scope_name").str()] = true
		}
	}
	var missing []string
	vital := false
	for _, n := range needed {
		found := false
		for name := range strings.SplitSeq(n.names, "|") {
			found = found || has[name]
		}
		if !found {
			name, _, _ := strings.Cut(n.names, "|")
			missing, vital = append(missing, name+" ("+n.purpose+")"), vital || !n.optional
		}
	}
	if len(missing) == 0 {
		f.OK, f.Says = true, "all "+strconv.Itoa(len(needed))+" granted"
		return f
	}
	f.Warn, f.Says = !vital, "missing: "+strings.Join(missing, ", ")+"; add them under 权限管理 (Permissions & Scopes) and release a version: nothing takes effect before that"
	return f
}

// checkRange tells whom the app may see.
// https://open.feishu.cn/document/server-docs/contact-v3/scope/list
func (a *Adapter) checkRange(ctx context.Context, where string) bot.Finding {
	f := bot.Finding{What: where + "people"}
	const mend = "set 权限管理 → 通讯录权限范围 (Permissions & Scopes → Contacts Data Scope), and 版本管理与发布 → 可用范围 (Version Management & Release → Availability), to everybody who shall be served"
	var doc document
	if err := a.read(ctx, "contact.scopes", "/open-apis/contact/v3/scopes", nil, nil, &doc); err != nil {
		f.Warn, f.Says = true, "Feishu did not tell whom the app may see; where names are missing, "+mend
		return f
	}
	departments, users, groups := len(doc.at("data", "department_ids").list()), len(doc.at("data", "user_ids").list()), len(doc.at("data", "group_ids").list())
	if departments+users+groups == 0 {
		f.Warn, f.Says = true, "the app may see nobody: names and e-mail addresses stay unknown; "+mend
		return f
	}
	f.OK, f.Says = true, "the app sees "+strconv.Itoa(departments)+" departments, "+strconv.Itoa(users)+" people, "+strconv.Itoa(groups)+" user groups"
	return f
}

func (a *Adapter) checkEvents(ctx context.Context, where string) []bot.Finding {
	events, presses := bot.Finding{What: where + "events"}, bot.Finding{What: where + "card callbacks"}
	if a.conf.Mode == ModeHTTP {
		const save = "; Feishu says so when the address is saved, and Paidan must be running then"
		address := "<public_url>/hooks/" + a.install.String()
		events.OK, events.Says = true, "over HTTP; under 事件与回调 → 事件配置 (Events & Callbacks → Event Configuration) choose 将事件发送至开发者服务器 (Send events to developer's server) with "+address+save
		presses.OK, presses.Says = true, "over HTTP; 回调配置 (Callback Configuration) needs the same address once more, and the callback card.action.trigger (卡片回传交互)"+save
		return []bot.Finding{events, presses}
	}
	if _, _, err := a.endpoint(ctx); err != nil {
		events.Says = "long connection: " + err.Error() + "; only self-built apps have it, and app_id and app_secret must be this app's"
		return []bot.Finding{events}
	}
	events.OK, events.Says = true, "over the long connection; 事件与回调 → 事件配置 (Events & Callbacks → Event Configuration) must say 使用长连接接收事件 (Receive events through persistent connection), which can be saved only while Paidan is running"
	presses.OK, presses.Says = true, "over the long connection; 回调配置 (Callback Configuration) must say 使用长连接接收回调 (Receive callbacks through persistent connection), with the callback card.action.trigger (卡片回传交互)"
	return []bot.Finding{events, presses}
}
