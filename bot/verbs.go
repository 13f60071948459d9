package bot

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/paidan/paidan/cards"
	"github.com/paidan/paidan/tickets"
)

// Verbs that never reach the core: they are about the conversation with the bot.
const (
	VerbNone     tickets.Verb = ""                 // plain talk
	VerbUnknown  tickets.Verb = "unknown"          // meant for the bot, but no verb; Key is the nearest one, if any
	VerbPick     tickets.Verb = "pick"             // a bare "1": the numbered choice of a card shown as text; Number
	VerbSettings tickets.Verb = cards.VerbSettings // Key "intake" or "triage" and Value the desk, or neither
	VerbLevel    tickets.Verb = "level"            // how much is posted here; Value LevelQuiet, LevelStandard, LevelVerbose
	VerbLink     tickets.Verb = "link_account"
	VerbUnlink   tickets.Verb = "unlink_account"
	VerbOnCall   tickets.Verb = "oncall"
	VerbAdmin    tickets.Verb = "admin" // Value is the one-time code
)

// How much is posted in a conversation.
const (
	LevelQuiet    = "quiet"    // 静默: the card only
	LevelStandard = "standard" // 标准: and breaches and escalations
	LevelVerbose  = "detailed" // 详细: and assignments
)

// VerbHelp is one verb as a person learns it.
type VerbHelp struct {
	Verb      tickets.Verb
	ZH, EN    []string // words, the usual one first
	Emoji     string   // unicode; "" when it has none
	Example   string   // in Chinese
	ExampleEN string
	Who       Who
}

// Who may usually use a verb. The rights themselves are the core's.
type Who string

// Those who use verbs.
const (
	Everybody Who = "everybody"
	Agents    Who = "agents"
	Owner     Who = "owner"
	Requester Who = "requester"
	Expert    Who = "expert" // who has been consulted
	Admins    Who = "admins"
)

// Label is w in a language.
func (w Who) Label(l cards.Lang) string {
	if l == cards.EN {
		return string(w)
	}
	switch w {
	case Agents:
		return "处理人"
	case Owner:
		return "负责人"
	case Requester:
		return "提单人"
	case Expert:
		return "被协办人"
	case Admins:
		return "管理员"
	}
	return "所有人"
}

// strictness is how firmly a word must be marked off from what follows before
// it counts as a verb. Ordinary words need more than jargon does, because they
// also begin ordinary sentences: 关闭不了窗口 closes nothing.
type strictness int

const (
	// alone: nothing but a number, mentions and polite particles may follow,
	// unless a colon, a line break or a number sets the text off.
	alone strictness = iota
	// apart: text may follow after a space or punctuation.
	apart
	// glued: text may follow directly, unless it continues the word (see continues).
	glued
)

// shape says which arguments a verb takes.
type shape int

const (
	shapeBare     shape = iota // a number only
	shapeText                  // a number, then text
	shapePeople                // people or a team, then text
	shapeEscalate              // a team or people, then text
	shapeConsult               // people, text, and a duration at either end
	shapePriority
	shapeHold
	shapeNumbers // other tickets
	shapeTags
	shapeField
	shapeWord // one word: Value
	shapeReveal
	shapeShow   // a number, a list, or words to search for
	shapeSearch // words to search for
	shapeSettings
	shapeCode
	shapeLevel
	shapeOpenFor
	shapeHelp
)

type verbRow struct {
	VerbHelp
	shape  shape
	strict string // words of ZH and EN, separated by |, that are ordinary: alone
	glue   string // words that text may follow directly: glued
	form   bool   // without arguments it asks for them
	ask    bool   // a question may follow: it is what is said, not a doubt about the verb
	number bool   // a bare number directly after it is the ticket's
	polite bool   // 请, 帮我 before it is still meant for us, and not for a colleague
}

// w splits words.
func w(s string) []string { return strings.Split(s, "|") }

// verbTable is the whole language. Words stand in order of use; every other
// decision about them is in Parse.
var verbTable = []verbRow{
	{VerbHelp: VerbHelp{Verb: tickets.VerbOpen, ZH: w("建单|报修|提单|开单|建工单|新建工单|创建工单|提工单|新工单|我要报修"), EN: w("new|new ticket|create ticket|open ticket|ticket"), Emoji: "🎫", Example: "建单 三楼打印机坏了", ExampleEN: "new printer on floor 3 is broken", Who: Everybody},
		shape: shapeText, glue: "建单|报修|提单|建工单|新建工单|创建工单|提工单|我要报修", form: true, ask: true, polite: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbOpenFor, ZH: w("代"), EN: w("new for"), Example: "代 @张三 建单 无法登录", ExampleEN: "new for @zhang cannot log in", Who: Agents},
		shape: shapeOpenFor, ask: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbClaim, ZH: w("接单|认领|领取|我来|我接|我来接|我来处理|接"), EN: w("take|claim|mine now"), Emoji: "👀", Example: "接单 #1024", ExampleEN: "take #1024", Who: Agents},
		shape: shapeBare, strict: "领取|我来|我接|我来接|我来处理|接|take|claim|mine now", number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbRelease, ZH: w("退回|释放|放回|退单"), EN: w("release|unclaim|put back"), Example: "退回 不归我们组", ExampleEN: "release not our team", Who: Owner},
		shape: shapeText, strict: "释放|放回", number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbAssign, ZH: w("转派|转派给|转给|转单给|转单|转交|转交给|指派|指派给|分配|分配给|派给|派单给"), EN: w("assign|assign to|transfer|transfer to|reassign|reassign to"), Example: "转派 @李四 网络问题", ExampleEN: "assign @li network problem", Who: Agents},
		shape: shapePeople, form: true, number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbConsult, ZH: w("协办|求助|会诊|请教|协助"), EN: w("consult|ask expert"), Example: "协办 @王五 看下交换机日志 2h", ExampleEN: "consult @wang check the switch log 2h", Who: Owner},
		shape: shapeConsult, strict: "求助|请教|协助", form: true, ask: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbAnswer, ZH: w("回答|协办答复|协办回复"), EN: w("answer"), Example: "回答 #1024 端口已经放开", ExampleEN: "answer #1024 the port is open now", Who: Expert},
		shape: shapeText, form: true, ask: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbReply, ZH: w("回复|答复|回复客户|答复客户|发给客户"), EN: w("reply|reply to customer"), Emoji: "📣", Example: "回复 已为您重置密码", ExampleEN: "reply your password has been reset", Who: Agents},
		shape: shapeText, form: true, ask: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbRetract, ZH: w("撤回|撤回回复|撤回消息"), EN: w("retract|unsend"), Example: "撤回", ExampleEN: "retract", Who: Agents},
		shape: shapeBare, strict: "撤回|撤回回复|撤回消息|retract|unsend", number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbNote, ZH: w("备注|内部备注|内部|记录"), EN: w("note|internal"), Emoji: "🔒", Example: "备注 客户下午三点后才在", ExampleEN: "note customer is in after 3pm", Who: Agents},
		shape: shapeText, strict: "内部|记录|internal", glue: "备注|内部备注", form: true, ask: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbSay, ZH: w("补充|补充说明"), EN: w("add"), Example: "补充 #1024 昨晚升级后开始的", ExampleEN: "add: it began after last night's upgrade", Who: Requester},
		shape: shapeText, strict: "add", form: true, ask: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbPriority, ZH: w("优先级|加急|紧急|调整优先级|优先级改为|优先级改成"), EN: w("prio|priority|urgent"), Emoji: "🚨", Example: "优先级 P1", ExampleEN: "prio P1", Who: Agents},
		shape: shapePriority, strict: "紧急|urgent", form: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbType, ZH: w("类型|类型改为|类型改成|改类型"), EN: w("type"), Example: "类型 网络", ExampleEN: "type network", Who: Agents},
		shape: shapeWord, form: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbField, ZH: w("字段|改字段"), EN: w("field|set field"), Example: "字段 订单号=20261121", ExampleEN: "field order=20261121", Who: Agents},
		shape: shapeField, form: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbTag, ZH: w("标签|打标签|贴标签"), EN: w("tag|tags|label"), Example: "标签 +上海 -待查", ExampleEN: "tag +shanghai -check", Who: Agents},
		shape: shapeTags, form: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbHold, ZH: w("挂起|暂停|搁置|等客户|等待客户|等客户回复|等待客户回复|等客户确认|等待客户确认|稍后处理"), EN: w("hold|snooze|pause|wait for customer|waiting for customer"), Emoji: "⏸", Example: "挂起 2h 等配件 · 挂起 到周一 · 挂起 等客户", ExampleEN: "hold 2h spare part on its way · hold until monday · hold customer", Who: Owner},
		shape: shapeHold, strict: "暂停|稍后处理|pause", glue: "挂起|搁置", form: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbResume, ZH: w("继续|恢复|取消挂起|继续处理|解挂"), EN: w("resume|unhold|unsnooze"), Emoji: "▶️", Example: "继续", ExampleEN: "resume", Who: Owner},
		shape: shapeBare, strict: "继续|恢复|继续处理|resume", number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbUrge, ZH: w("催单|催办|催一下|催催|催一催|催"), EN: w("nudge|urge|chase"), Example: "催单", ExampleEN: "nudge", Who: Requester},
		shape: shapeBare, strict: "催一下|催催|催一催|催|chase|urge", number: true, polite: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbEscalate, ZH: w("升级|升级给|升级到|升级至|上报|上报给"), EN: w("escalate|escalate to"), Emoji: "🔺", Example: "升级 二线 需要查核心交换机", ExampleEN: "escalate tier2 core switch", Who: Agents},
		shape: shapeEscalate, form: true, number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbSolve, ZH: w("解决|已解决|搞定|已搞定|完成|已完成|处理完|处理完毕|已处理|修好|已修好|办结"), EN: w("solve|solved|resolve|resolved|done|fixed|finished"), Emoji: "✅", Example: "解决 重置了密码", ExampleEN: "solve reset the password", Who: Owner},
		shape: shapeText, strict: "修好|已修好|done|fixed|finished", form: true, number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbConfirm, ZH: w("确认|确认解决|确认已解决|验收|验收通过|可以结单"), EN: w("confirm|confirmed|confirm solved"), Example: "确认", ExampleEN: "confirm", Who: Requester},
		shape: shapeBare, strict: "确认|验收|确认解决|confirm|confirmed", number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbReject, ZH: w("未解决|没解决|没有解决|没好|没修好|还没好|还是不行|仍未解决|还没解决|验收不通过"), EN: w("not solved|not fixed|not resolved|still broken|unsolved"), Example: "未解决 还是打不开", ExampleEN: "not solved it still does not start", Who: Requester},
		shape: shapeText, number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbClose, ZH: w("结单|关单|关闭|关闭工单|结束工单|关掉"), EN: w("close|close ticket"), Example: "结单", ExampleEN: "close", Who: Agents},
		shape: shapeText, strict: "关闭|关掉", number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbReopen, ZH: w("重开|重新打开|重开工单|重启工单|重新开单"), EN: w("reopen|re-open"), Emoji: "🔁", Example: "重开 问题又出现了", ExampleEN: "reopen it is back", Who: Everybody},
		shape: shapeText, strict: "重新打开", number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbMerge, ZH: w("合并|合并到|合并至|合并入|合并进|并入|并到"), EN: w("merge|merge into|merge to|merge with"), Example: "合并到 #988", ExampleEN: "merge into #988", Who: Agents},
		shape: shapeNumbers, form: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbUnmerge, ZH: w("拆回|取消合并|撤销合并"), EN: w("unmerge"), Example: "拆回", ExampleEN: "unmerge", Who: Agents},
		shape: shapeBare, number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbLink, ZH: w("关联|关联到|关联工单|相关"), EN: w("link|link to|relate|relate to"), Example: "关联 #988", ExampleEN: "link #988", Who: Agents},
		shape: shapeNumbers, form: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbSplit, ZH: w("拆分|拆单|拆出"), EN: w("split"), Example: "拆分 换鼠标", ExampleEN: "split new mouse", Who: Agents},
		shape: shapeText, form: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbArchive, ZH: w("归档"), EN: w("archive"), Example: "归档 #988", ExampleEN: "archive #988", Who: Agents},
		shape: shapeBare, strict: "归档|archive", number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbUndo, ZH: w("撤销|撤消|撤销操作"), EN: w("undo"), Example: "撤销", ExampleEN: "undo", Who: Everybody},
		shape: shapeBare, strict: "撤销|撤消|undo", number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbWithdraw, ZH: w("非工单|不是工单|撤单|取消工单|不用处理了|作废"), EN: w("withdraw|not a ticket|cancel ticket"), Example: "非工单", ExampleEN: "not a ticket", Who: Everybody},
		shape: shapeText, strict: "作废|不用处理了|不是工单", number: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbReveal, ZH: w("查看电话|查看手机|查看手机号|查看邮箱|查看联系方式|显示电话|显示手机|显示手机号|显示邮箱|显示联系方式|查看字段|显示字段"), EN: w("reveal|show phone|show email|show mobile"), Example: "查看电话 回访客户", ExampleEN: "reveal phone call the customer back", Who: Agents},
		shape: shapeReveal, form: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbShow, ZH: w("查|查看|查单|查询|看|显示|工单详情|详情"), EN: w("show|view|find"), Example: "查 #1024", ExampleEN: "show #1024", Who: Everybody},
		shape: shapeShow, number: true, polite: true, ask: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbSearch, ZH: w("搜|搜索|查找|检索|找单"), EN: w("search|kb"), Example: "搜 打印机", ExampleEN: "search printer", Who: Everybody},
		shape: shapeSearch, polite: true, ask: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbTimeline, ZH: w("时间线|历史|历史记录|处理记录|进展记录"), EN: w("timeline|history|log"), Example: "时间线 #1024", ExampleEN: "timeline #1024", Who: Everybody},
		shape: shapeBare, strict: "时间线|历史|历史记录|处理记录|进展记录|timeline|history|log", number: true, polite: true, ask: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbMine, ZH: w("我的|我的工单|我的单|我的单子"), EN: w("mine|my tickets|my queue"), Example: "我的", ExampleEN: "mine", Who: Everybody},
		shape: shapeBare, strict: "我的|我的工单|我的单|我的单子|mine|my tickets|my queue", polite: true, ask: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbQueue, ZH: w("待接|待接单|待接工单|待处理|未接|队列|无人认领"), EN: w("open|queue|unclaimed|open tickets"), Example: "待接", ExampleEN: "queue", Who: Agents},
		shape: shapeBare, strict: "待接|待接单|待接工单|待处理|未接|队列|无人认领|open|queue|unclaimed|open tickets", polite: true, ask: true},
	{VerbHelp: VerbHelp{Verb: tickets.VerbOverdue, ZH: w("超时|超时工单|已超时|逾期|超期"), EN: w("overdue|breached"), Example: "超时", ExampleEN: "overdue", Who: Agents},
		shape: shapeBare, strict: "超时|超时工单|已超时|逾期|超期|overdue|breached", polite: true, ask: true},
	{VerbHelp: VerbHelp{Verb: VerbOnCall, ZH: w("谁值班|今天谁值班|值班|值班表|谁在值班"), EN: w("oncall|on call|who is on call|who's on call"), Example: "谁值班", ExampleEN: "oncall", Who: Everybody},
		shape: shapeBare, strict: "谁值班|今天谁值班|值班|值班表|谁在值班|oncall|on call|who is on call|who's on call", polite: true, ask: true},
	{VerbHelp: VerbHelp{Verb: VerbLevel, ZH: w("静默|标准|详细"), EN: w("quiet|standard|verbose"), Example: "静默", ExampleEN: "quiet", Who: Admins},
		shape: shapeLevel, strict: "静默|标准|详细|quiet|standard|verbose"},
	{VerbHelp: VerbHelp{Verb: VerbSettings, ZH: w("设置|配置"), EN: w("settings|setup|set"), Example: "设置 接入 it · 设置 处理 it", ExampleEN: "setup intake it · setup triage it", Who: Admins},
		shape: shapeSettings},
	{VerbHelp: VerbHelp{Verb: VerbLink, ZH: w("绑定|绑定账号|绑定帐号"), EN: w("bind|link account|link me"), Example: "绑定 482913", ExampleEN: "bind 482913", Who: Everybody},
		shape: shapeCode},
	{VerbHelp: VerbHelp{Verb: VerbUnlink, ZH: w("解绑|解除绑定|解绑账号"), EN: w("unbind|unlink account|unlink me"), Example: "解绑", ExampleEN: "unbind", Who: Everybody},
		shape: shapeBare, strict: "解绑|解除绑定|解绑账号|unbind|unlink account|unlink me", polite: true},
	{VerbHelp: VerbHelp{Verb: VerbAdmin, ZH: w("管理员"), EN: w("admin"), Example: "管理员 7F3K-9QXD-M2PA-C4TR", ExampleEN: "admin 7F3K-9QXD-M2PA-C4TR", Who: Everybody},
		shape: shapeCode},
	{VerbHelp: VerbHelp{Verb: tickets.VerbHelp, ZH: w("帮助|使用帮助|怎么用|使用说明|命令|菜单"), EN: w("help|?|commands|usage"), Example: "帮助", ExampleEN: "help", Who: Everybody},
		shape: shapeHelp, strict: "帮助|使用帮助|怎么用|使用说明|命令|菜单|help|?|commands|usage", polite: true, ask: true},
}

// alias is one word of the language.
type alias struct {
	word   string // folded
	han    bool   // no boundary needed at its end
	strict strictness
	row    *verbRow
}

// aliases by their first rune, longest first.
var aliases = indexAliases()

func indexAliases() map[rune][]alias {
	index := map[rune][]alias{}
	for i := range verbTable {
		row := &verbTable[i]
		strict, glue := w(row.strict), w(row.glue)
		for _, word := range slices.Concat(row.ZH, row.EN) {
			a := alias{word: word, strict: apart, row: row}
			if slices.Contains(strict, word) {
				a.strict = alone
			} else if slices.Contains(glue, word) {
				a.strict = glued
			}
			last, _ := utf8.DecodeLastRuneInString(word)
			a.han = last > 127
			first, _ := utf8.DecodeRuneInString(word)
			index[first] = append(index[first], a)
		}
	}
	for _, list := range index {
		slices.SortStableFunc(list, func(a, b alias) int { return len(b.word) - len(a.word) })
	}
	return index
}

// Verbs is the whole language for help cards, in the order of a ticket's life.
func Verbs() []VerbHelp {
	out := make([]VerbHelp, len(verbTable))
	for i, row := range verbTable {
		out[i] = row.VerbHelp
		out[i].ZH = slices.Clone(row.ZH)
		out[i].EN = slices.Clone(row.EN)
	}
	return out
}

// DefaultEmoji is what reactions mean when an installation says nothing else.
// Keys are names without colons, or the emoji themselves. Values are verbs;
// "priority" means P1, which is the only priority a reaction can ask for. Clone
// it before changing it.
var DefaultEmoji = emojiTable()

func emojiTable() map[string]string {
	table := map[string]string{}
	for verb, names := range map[tickets.Verb]string{
		tickets.VerbOpen:     "ticket|admission_tickets|🎫|🎟",
		tickets.VerbClaim:    "eyes|👀",
		tickets.VerbSolve:    "white_check_mark|heavy_check_mark|✅|✔",
		tickets.VerbPriority: "rotating_light|🚨",
		tickets.VerbHold:     "double_vertical_bar|pause_button|⏸",
		tickets.VerbResume:   "arrow_forward|play_button|▶",
		tickets.VerbReopen:   "repeat|arrows_counterclockwise|🔁|🔄",
		tickets.VerbEscalate: "small_red_triangle|🔺",
		tickets.VerbReply:    "mega|loudspeaker|📣",
		tickets.VerbNote:     "lock|🔒",
	} {
		for _, name := range w(names) {
			table[name] = string(verb)
		}
	}
	return table
}

// ParseEmoji returns the verb that a reaction stands for, or VerbNone. name is
// the platform's name for it, with or without colons, or the emoji itself; skin
// tones and variation selectors make no difference. A nil table is DefaultEmoji.
func ParseEmoji(name string, table map[string]string) tickets.Verb {
	if table == nil {
		table = DefaultEmoji
	}
	name = strings.ToLower(strings.Trim(strings.TrimSpace(name), ":"))
	if v, ok := table[name]; ok {
		return tickets.Verb(v)
	}
	name, _, _ = strings.Cut(name, "::") // Slack: "eyes::skin-tone-2"
	return tickets.Verb(table[strings.Map(func(r rune) rune {
		if r == 0xFE0E || r == 0xFE0F || r >= 0x1F3FB && r <= 0x1F3FF {
			return -1
		}
		return r
	}, name)])
}
