package cards

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/tickets"
)

// Sample is one card in one state and language, for goldens and the gallery.
type Sample struct {
	Name string // like ticket-new.zh; unique, and fit for a file name
	Card Card
}

// SampleNow is the moment at which all samples are made.
var SampleNow = tickets.At(time.Date(2026, 11, 20, 6, 20, 0, 0, time.UTC)) // 14:20 in Shanghai, a Friday

var sampleZone = time.FixedZone("CST", 8*3600)

// Samples returns every card in every state, in both languages. They are the
// same on every call.
func Samples() []Sample {
	var all []Sample
	for _, l := range []Lang{ZH, EN} {
		suffix := "." + string(l[:2])
		for _, s := range samplesIn(l) {
			all = append(all, Sample{s.Name + suffix, s.Card})
		}
	}
	return all
}

// SampleViews returns a ticket in each state that changes its card.
func SampleViews(l Lang) []SampleView { return sampleWords(l).views() }

// SampleView is a ticket in one state.
type SampleView struct {
	Name string
	View *tickets.View
}

func samplesIn(l Lang) []Sample {
	w := sampleWords(l)
	var out []Sample
	add := func(name string, c Card) { out = append(out, Sample{name, c}) }
	byName := map[string]*tickets.View{}
	for _, sv := range w.views() {
		byName[sv.Name] = sv.View
		add("ticket-"+sv.Name, Ticket(sv.View, l))
	}
	for _, name := range []string{"new", "active", "waiting", "held", "solved", "closed", "merged", "withdrawn", "archived"} {
		add("receipt-"+name, Receipt(byName[name], l))
	}
	active, fresh := byName["active"], byName["new"]
	add("found-active", Found(active, l))
	add("found-closed", Found(byName["closed"], l))
	for i, c := range WholeForTeam(byName["long"], 3000, l) {
		if i < 2 {
			add("whole-"+strconv.Itoa(i+1), c)
		}
	}
	add("timeline", Timeline(active, w.timeline(), l))
	add("timeline-empty", Timeline(active, nil, l))

	rows := w.rows()
	for _, kind := range []tickets.Verb{tickets.VerbMine, tickets.VerbQueue, tickets.VerbOverdue, tickets.VerbSearch} {
		add("list-"+string(kind), List(kind, "", rows, 12, SampleNow, sampleZone, l))
		add("list-"+string(kind)+"-empty", List(kind, "", nil, 0, SampleNow, sampleZone, l))
	}
	var many []tickets.Row
	for i := range 60 {
		r := rows[i%len(rows)]
		r.Number = int64(2000 + i)
		many = append(many, r)
	}
	add("list-60", List(tickets.VerbQueue, "", many, 0, SampleNow, sampleZone, l))
	add("home-agent", Home(rows[1:3], rows[:1], SampleNow, sampleZone, l))
	add("home-agent-empty", Home(nil, []tickets.Row{}, SampleNow, sampleZone, l))
	add("home-requester", Home(rows[:1], nil, SampleNow, sampleZone, l))
	add("home-requester-empty", Home(nil, nil, SampleNow, sampleZone, l))
	add("help", Help(l, false))
	add("help-agent", Help(l, true))

	add("form-open", OpenForm(active.Desk, "", tickets.Open{Title: active.Title, Body: active.Body}, l))
	add("form-open-typed", OpenForm(active.Desk, "account", tickets.Open{Title: active.Title, Priority: 2, Fields: map[string]string{"order": "SO-2026-118"}}, l))
	add("form-open-for", OpenForForm(active.Desk, "device", tickets.Open{}, l))
	add("form-open-errors", WithErrors(OpenForm(active.Desk, "account", tickets.Open{}, l), map[string]string{
		InTitle:           Sentence(string(tickets.EmptyText), map[string]string{"what": tr(l, "what.title")}, l),
		InField + "phone": tr(l, "why.phone"),
	}))
	for _, verb := range []tickets.Verb{
		tickets.VerbSolve, tickets.VerbAssign, tickets.VerbHold, tickets.VerbConsult, tickets.VerbAnswer, tickets.VerbEscalate,
		tickets.VerbReply, tickets.VerbNote, tickets.VerbSay, tickets.VerbReject, tickets.VerbReopen, tickets.VerbRelease,
		tickets.VerbMerge, tickets.VerbLink, tickets.VerbSplit, tickets.VerbType, tickets.VerbPriority, tickets.VerbTag,
		tickets.VerbWithdraw, tickets.VerbClose,
	} {
		c, _ := FormFor(verb, active, "", l)
		add("form-"+string(verb), c)
	}
	add("form-assign-new", AssignForm(fresh, l))
	add("form-hold-again", HoldForm(byName["held"], l))
	for _, key := range []string{"order", "phone"} {
		c, _ := FormFor(tickets.VerbField, active, key, l)
		add("form-field-"+key, c)
	}
	c, _ := FormFor(tickets.VerbReveal, active, "phone", l)
	add("form-reveal", c)

	for _, n := range []struct {
		name string
		kind tickets.Kind
		view *tickets.View
		args NoticeArgs
	}{
		{"assigned", tickets.Assigned, active, NoticeArgs{By: w.wang, Reason: w.reason}},
		{"assigned-system", tickets.Assigned, active, NoticeArgs{}},
		{"urged", tickets.Urged, byName["urged"], NoticeArgs{By: w.fang}},
		{"consulted", tickets.Consulted, active, NoticeArgs{By: w.li, Text: w.question, Due: SampleNow.Add(2 * time.Hour)}},
		{"answered", tickets.Answered, active, NoticeArgs{By: w.wang, Text: w.answer}},
		{"lapsed", tickets.Answered, active, NoticeArgs{}},
		{"escalated-team", tickets.Escalated, fresh, NoticeArgs{By: w.li, Team: w.team, Reason: w.reason}},
		{"escalated-me", tickets.Escalated, active, NoticeArgs{By: w.li, Reason: w.reason}},
		{"resumed", tickets.Resumed, active, NoticeArgs{}},
		{"said", tickets.SaidMore, active, NoticeArgs{By: w.fang, Text: w.more}},
		{"rejected", tickets.Rejected, active, NoticeArgs{By: w.fang, Reason: w.more}},
		{"reopened", tickets.Reopened, active, NoticeArgs{By: w.fang, Reason: w.more}},
		{"breached", tickets.TargetMissed, byName["overdue"], NoticeArgs{}},
		{"other", tickets.Moved, active, NoticeArgs{By: w.li}},
	} {
		add("notice-"+n.name, Notice(n.kind, n.view, n.args, l))
	}
	add("notice-requester-solved", RequesterNotice(tickets.SolvedBy, byName["solved"], w.li, l))
	add("notice-requester-replied", RequesterNotice(tickets.Replied, byName["waiting"], w.li, l))
	add("warning", SoonWarning(byName["soon"], l))
	add("breach-new", BreachLine(byName["overdue-new"], l))
	add("breach-active", BreachLine(byName["overdue"], l))
	add("breach-handled", BreachLine(byName["overdue-solved"], l))
	add("breach-held", BreachLine(byName["overdue-held"], l))
	add("relay", Relay(1024, w.li, w.team, w.reply, nil, l))
	add("relay-files", Relay(1024, w.fang, "", w.more, active.Files, l))
	add("reply-held", ReplyHeld(7, 8, active, l))
	add("revealed", Revealed(active, "phone", "13812345678", l))
	add("welcome", Welcome(l))
	add("linked", Linked(w.fang, l))
	add("link-offer", LinkOffer("Q7KD-2MHX", l))
	desks := []tickets.Desk{active.Desk}
	add("settings-unused", Settings(desks, tickets.Group{}, l))
	add("settings-triage", Settings(desks, tickets.Group{Desk: "it", Use: "triage", Level: "standard"}, l))
	add("settings-in-group", Settings(nil, tickets.Group{}, l))
	add("level", LevelSet("quiet", l))
	add("admin", AdminMade(l))
	add("hint", Hint(OpenedLine(fresh, l), l))
	add("refused-claimed", Refused(tickets.AlreadyClaimed, RefusalArgs{
		Args: map[string]string{"by": string(sampleLi)}, Name: active.Name, Act: Act{Verb: tickets.VerbClaim, Ticket: active.ID}}, l))
	add("refused-near", Refused(tickets.NotFound, RefusalArgs{
		Args: map[string]string{"number": "1042"}, Act: Act{Verb: tickets.VerbClaim},
		Near: []tickets.Link{{Ticket: active.ID, Number: 1024}, {Ticket: fresh.ID, Number: 1041}}}, l))
	add("refused-too-soon", Refused(tickets.TooSoon, RefusalArgs{
		Args: map[string]string{"until": strconv.FormatInt(int64(SampleNow.Add(6*time.Minute)), 10)}, Now: SampleNow, Zone: sampleZone}, l))
	add("refused-unknown", Refused("no_such_code", RefusalArgs{}, l))
	for i, s := range hostileSamples {
		v := SampleWith(s)
		add("hostile-"+strconv.Itoa(i+1), Ticket(v, l))
	}
	return out
}

// hostileSamples are a few texts that every platform would trip over in a way
// of its own, so that its golden shows what becomes of them. The full corpus is
// in the package cardstest.
var hostileSamples = []string{
	"<!channel> <@U1> <http://evil.example|https://bank.example> *b* _i_ ~s~ `c` &amp; :fire:",
	"<at user_id=\"all\"></at> [link](javascript:alert(1)) @所有人 @13800000000 <font color=\"warning\">x</font> <@all>",
	"\u202egnp.exe\u202c \u200bzero\u200bwidth\x00\x1b[31mred\x1b[0m\r\nsecond line %s %d {{.}} ${x} {name}",
}

// SampleWith returns a ticket that has s in every text that people can write.
func SampleWith(s string) *tickets.View {
	v := sampleWords(EN).view()
	v.Title, v.Body, v.Origin = s, s+"\n"+s, s
	for id := range v.Names {
		v.Names[id] = s
	}
	v.Team, v.Reason = s, s
	v.Tags = []string{s, s}
	v.Hold = &tickets.Hold{Reason: s}
	v.Solution = &tickets.Solution{Text: s, Cause: s, By: sampleLi, At: SampleNow}
	v.Consults = []tickets.Consult{{Person: sampleWang, By: sampleLi, Question: s}}
	v.Said = &tickets.Said{Text: s, By: sampleLi, At: SampleNow}
	v.Files = []tickets.File{{Name: s, Type: s, Size: 1}}
	v.Desk.Name, v.Desk.Teams, v.Desk.Causes = s, []string{s}, []string{s}
	field := tickets.Field{Key: "hostile", Label: s, Kind: tickets.FieldChoice, Options: []string{s}, Hint: s}
	v.Desk.Types = []tickets.Type{{Key: "hostile", Name: s, Fields: []tickets.Field{field}}, {Key: "other", Name: s}}
	v.Type = "hostile"
	v.Fields = []tickets.FieldView{{Field: field, Value: s, Masked: true}}
	return v
}

const (
	sampleFang tickets.PersonID = "0199f3a0-0000-7000-8000-00000000000a"
	sampleLi   tickets.PersonID = "0199f3a0-0000-7000-8000-00000000000b"
	sampleWang tickets.PersonID = "0199f3a0-0000-7000-8000-00000000000c"
)

// words are what the people of the samples say, in one language.
type words struct {
	fang, li, wang                        string
	origin, desk, team, second            string
	title, body, reply, more              string
	reason, question, answer              string
	solution, cause, other, hold, waiting string
	account, device, vip, phone, order    string
	region, regions, city, place, hint    string
	tags                                  []string
	printer, vpn                          string
}

func sampleWords(l Lang) words {
	if l == EN {
		return words{
			fang: "Wang Fang", li: "Li Si", wang: "Wang Wu", origin: "\"East China after-sales\"",
			desk: "IT desk", team: "Tier 2 network", second: "Field service",
			title: "Cannot log in to the ERP", body: "Since last night's update it says E07.\nTen people cannot work. Two screenshots attached.",
			reply: "We have found the cause and are putting the old version back. About 20 minutes.", more: "It still says E07 for me.",
			reason: "Looks like the network: the gateway drops the session.", question: "Did the gateway's session limit change yesterday?",
			answer: "Yes, it was lowered to 30 minutes. I have set it back.", solution: "Put the session limit of the gateway back to 8 hours.",
			cause: "Configuration", other: "Hardware", hold: "Waiting for the supplier", waiting: "Asked for a screenshot of the error",
			account: "Account and login", device: "Device", vip: "Customer level", phone: "Phone", order: "Order",
			region: "Region", regions: "Shanghai/Pudong", city: "Beijing/Haidian", place: "Place", hint: "Where the device stands",
			tags: []string{"ERP", "Shanghai"}, printer: "Printer on floor 3 is jammed", vpn: "VPN drops every ten minutes",
		}
	}
	return words{
		fang: "王芳", li: "李四", wang: "王五", origin: "企业微信「华东售后群」",
		desk: "IT 服务台", team: "二线-网络", second: "现场服务",
		title: "无法登录 ERP", body: "昨晚升级后提示 E07。\n10 人受影响，附 2 图。",
		reply: "原因找到了，正在回退版本，大约 20 分钟。", more: "我这边还是提示 E07。",
		reason: "像是网络问题：网关会断开会话。", question: "昨天网关的会话时长改过吗？",
		answer: "改过，调成了 30 分钟。已经改回来了。", solution: "把网关会话时长恢复为 8 小时。",
		cause: "配置变更", other: "硬件故障", hold: "等供应商回复", waiting: "请客户提供报错截图",
		account: "账号/登录", device: "设备", vip: "客户级别", phone: "电话", order: "订单号",
		region: "区域", regions: "上海/浦东", city: "北京/海淀", place: "地点", hint: "设备放在哪里",
		tags: []string{"ERP", "上海"}, printer: "3 楼打印机卡纸", vpn: "VPN 每十分钟断一次",
	}
}

// view is a new ticket, twenty minutes old.
func (w words) view() *tickets.View {
	created := SampleNow.Add(-20 * time.Minute)
	phone := tickets.Field{Key: "phone", Label: w.phone, Kind: tickets.FieldPhone, Required: true}
	order := tickets.Field{Key: "order", Label: w.order, Kind: tickets.FieldOrder}
	level := tickets.Field{Key: "level", Label: w.vip, Kind: tickets.FieldChoice, Options: []string{"VIP", "A", "B"}}
	region := tickets.Field{Key: "region", Label: w.region, Kind: tickets.FieldCascade, Options: []string{w.regions, w.city}}
	place := tickets.Field{Key: "place", Label: w.place, Kind: tickets.FieldLocation, Hint: w.hint, Required: true}
	v := &tickets.View{
		Desk: tickets.Desk{
			Key: "it", Name: w.desk, Teams: []string{w.team, w.second}, Causes: []string{w.cause, w.other},
			Types: []tickets.Type{
				{Key: "account", Name: w.account, Fields: []tickets.Field{phone, order, level}},
				{Key: "device", Name: w.device, Fields: []tickets.Field{place, region, {Key: "bought", Label: "SN", Kind: tickets.FieldDevice}, {Key: "day", Label: "Day", Kind: tickets.FieldDate}, {Key: "mail", Label: "Mail", Kind: tickets.FieldEmail}, {Key: "keeper", Label: "Keeper", Kind: tickets.FieldPerson}, {Key: "price", Label: "Price", Kind: tickets.FieldNumber}}},
			},
		},
		Names:  map[tickets.PersonID]string{sampleFang: w.fang, sampleLi: w.li, sampleWang: w.wang},
		Origin: w.origin, Now: SampleNow, Zone: sampleZone,
		Fields: []tickets.FieldView{{Field: phone, Value: "138****5678", Masked: true}, {Field: level, Value: "VIP"}},
	}
	v.Ticket = tickets.Ticket{
		ID: "0199f3a0-0000-7000-8000-000000000001", Number: 1024, Desk: "it", Title: w.title, Body: w.body,
		Requester: sampleFang, OpenedBy: sampleFang, Created: created, Changed: created, Version: 1,
		Core: tickets.Core{
			Status: tickets.New, Priority: 1, Team: w.team, Type: "account", Tags: slices.Clone(w.tags),
			RespondBy: SampleNow.Add(12 * time.Minute), SolveBy: SampleNow.Add(3*time.Hour + 40*time.Minute),
		},
		Files: []tickets.File{{Name: "E07-1.png", Type: "image/png", Size: 48_213}, {Name: "E07-2.png", Type: "image/png", Size: 51_900}},
		Last:  tickets.LastAct{Kind: tickets.Opened, By: sampleFang, At: created},
	}
	return v
}

func (w words) views() []SampleView {
	var out []SampleView
	add := func(name string, changes ...func(*tickets.View)) {
		v := w.view()
		for _, change := range changes {
			change(v)
		}
		out = append(out, SampleView{name, v})
	}
	last := func(v *tickets.View, k tickets.Kind, by tickets.PersonID, ago time.Duration) {
		v.Last = tickets.LastAct{Kind: k, By: by, At: v.Now.Add(-ago)}
		v.Version++
	}
	active := func(v *tickets.View) {
		v.Status, v.Owner = tickets.Active, sampleLi
		v.Claimed, v.Responded = v.Now.Add(-15*time.Minute), v.Now.Add(-10*time.Minute)
		v.Said = &tickets.Said{Text: w.reply, By: sampleLi, At: v.Responded}
		last(v, tickets.Replied, sampleLi, 10*time.Minute)
	}
	overdue := func(v *tickets.View) {
		v.Created = v.Now.Add(-7 * time.Hour)
		v.RespondBy, v.SolveBy = v.Now.Add(-6*time.Hour), v.Now.Add(-2*time.Hour-5*time.Minute)
		v.Missed = []string{"respond", "solve"}
		last(v, tickets.TargetMissed, "", 2*time.Hour)
	}
	solved := func(v *tickets.View) {
		v.Status, v.SolvedAt = tickets.Solved, v.Now.Add(-2*time.Minute)
		v.Solution = &tickets.Solution{Text: w.solution, Cause: w.cause, By: sampleLi, At: v.SolvedAt}
		last(v, tickets.SolvedBy, sampleLi, 2*time.Minute)
	}
	closed := func(v *tickets.View) {
		solved(v)
		v.Status, v.ClosedAt = tickets.Closed, v.Now.Add(-time.Minute)
		last(v, tickets.Confirmed, sampleFang, time.Minute)
	}
	held := func(v *tickets.View) {
		v.Status, v.PausedAt = tickets.Held, v.Now.Add(-5*time.Minute)
		v.Hold = &tickets.Hold{Until: tickets.At(time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)), Reason: w.hold}
		last(v, tickets.HeldUntil, sampleLi, 5*time.Minute)
	}
	add("new")
	add("new-for", func(v *tickets.View) { v.OpenedBy = sampleLi; v.Last.By = sampleLi })
	add("new-urged", func(v *tickets.View) { v.Urges = 2; last(v, tickets.Urged, sampleFang, time.Minute) })
	add("new-bare", func(v *tickets.View) {
		v.Body, v.Origin, v.Team, v.Type, v.Tags, v.Files, v.Fields = "", "", "", "", nil, nil, nil
		v.RespondBy, v.SolveBy, v.Priority = 0, 0, 3
		v.Desk = tickets.Desk{Key: "it"}
	})
	add("active", active, func(v *tickets.View) {
		v.Undo = &tickets.Undoable{By: sampleLi, At: v.Now.Add(-3 * time.Minute), What: tickets.VerbPriority}
	})
	add("urged", active, func(v *tickets.View) { v.Urges = 1; last(v, tickets.Urged, sampleFang, time.Minute) })
	add("transferred", active, func(v *tickets.View) {
		v.Owner, v.Reason = sampleWang, w.reason
		last(v, tickets.Assigned, sampleLi, time.Minute)
	})
	add("consulting", active, func(v *tickets.View) {
		v.Consults = []tickets.Consult{{Person: sampleWang, By: sampleLi, Question: w.question, Due: v.Now.Add(2 * time.Hour)}}
		last(v, tickets.Consulted, sampleLi, time.Minute)
	})
	add("waiting", active, func(v *tickets.View) {
		v.Status, v.PausedAt, v.Hold = tickets.Waiting, v.Now.Add(-5*time.Minute), &tickets.Hold{Reason: w.waiting}
		last(v, tickets.HeldUntil, sampleLi, 5*time.Minute)
	})
	add("held", active, held)
	add("held-open", active, held, func(v *tickets.View) { v.Hold = &tickets.Hold{Reason: w.hold} })
	add("soon", func(v *tickets.View) {
		v.Created = v.Now.Add(-50 * time.Minute)
		v.RespondBy = v.Now.Add(10 * time.Minute)
	})
	add("soon-active", active, func(v *tickets.View) {
		v.Created, v.SolveBy = v.Now.Add(-200*time.Minute), v.Now.Add(40*time.Minute)
	})
	add("overdue-new", overdue)
	add("overdue", active, overdue)
	add("overdue-held", active, overdue, held, func(v *tickets.View) { v.PausedAt = v.Now.Add(-time.Hour) })
	add("overdue-solved", active, overdue, solved)
	add("solved", active, solved)
	add("closed", active, closed)
	add("reopened", active, func(v *tickets.View) { v.Reopens = 1; last(v, tickets.Reopened, sampleFang, time.Minute) })
	add("merged", closed, func(v *tickets.View) {
		v.Solution = nil
		v.Links = []tickets.Link{{Kind: tickets.MergedTo, Ticket: "0199f3a0-0000-7000-8000-000000000002", Number: 1031}}
		last(v, tickets.MergedInto, sampleLi, time.Minute)
	})
	add("withdrawn", func(v *tickets.View) {
		v.Status, v.ClosedAt = tickets.Closed, v.Now
		last(v, tickets.Withdrawn, sampleFang, 0)
	})
	add("archived", active, closed, func(v *tickets.View) {
		v.Status = tickets.Archived
		v.ClosedAt = v.Now.Add(-400 * 24 * time.Hour)
		last(v, tickets.ArchivedNow, "", 300*24*time.Hour)
	})
	add("linked", active, func(v *tickets.View) {
		for i, k := range []tickets.LinkKind{tickets.Related, tickets.Successor, tickets.Precursor, tickets.SplitTo, tickets.SplitFrom, tickets.Merged} {
			v.Links = append(v.Links, tickets.Link{Kind: k, Ticket: tickets.TicketID("t" + strconv.Itoa(i)), Number: int64(900 + i)})
		}
		last(v, tickets.Linked, sampleLi, time.Minute)
	})
	add("long", active, func(v *tickets.View) {
		v.Title = strings.Repeat(w.title+" ", 30)
		v.Body = strings.Repeat(w.body+"\n\n", 400)
		v.Said.Text = strings.Repeat(w.reply, 100)
		v.Origin = strings.Repeat(w.origin, 20)
	})
	add("fields-25", active, func(v *tickets.View) {
		for i := range 25 {
			f := tickets.Field{Key: "f" + strconv.Itoa(i), Label: w.order + " " + strconv.Itoa(i+1), Kind: tickets.FieldText}
			v.Desk.Types[0].Fields = append(v.Desk.Types[0].Fields, f)
			v.Fields = append(v.Fields, tickets.FieldView{Field: f, Value: w.regions, Masked: i%5 == 0})
		}
	})
	return out
}

func (w words) rows() []tickets.Row {
	id := func(n int64) tickets.TicketID {
		return tickets.TicketID("0199f3a0-0000-7000-8000-" + strconv.FormatInt(100_000_000_000+n, 10))
	}
	return []tickets.Row{
		{ID: id(1024), Number: 1024, Desk: "it", Title: w.title, Status: tickets.New, Priority: 1, Created: SampleNow.Add(-20 * time.Minute), Due: SampleNow.Add(12 * time.Minute), Version: 1},
		{ID: id(1019), Number: 1019, Desk: "it", Title: w.vpn, Status: tickets.Active, Priority: 2, Owner: sampleLi, OwnerName: w.li, Created: SampleNow.Add(-9 * time.Hour), Due: SampleNow.Add(-125 * time.Minute), Version: 4},
		{ID: id(1007), Number: 1007, Desk: "it", Title: w.printer, Status: tickets.Waiting, Priority: 3, Owner: sampleWang, OwnerName: w.wang, Created: SampleNow.Add(-26 * time.Hour), Version: 6},
		{ID: id(988), Number: 988, Desk: "it", Title: w.title, Status: tickets.Closed, Priority: 3, Owner: sampleLi, OwnerName: w.li, Created: SampleNow.Add(-70 * time.Hour), Version: 9},
	}
}

func (w words) timeline() []tickets.TimelineEntry {
	at := func(ago time.Duration) tickets.Time { return SampleNow.Add(-ago) }
	return []tickets.TimelineEntry{
		{Seq: 1, Kind: tickets.Opened, By: sampleFang, Name: w.fang, At: at(26 * time.Hour)},
		{Seq: 2, Kind: tickets.ClaimedBy, By: sampleLi, Name: w.li, At: at(50 * time.Minute)},
		{Seq: 3, Kind: tickets.Replied, By: sampleLi, Name: w.li, At: at(45 * time.Minute), Detail: w.reply},
		{Seq: 4, Kind: tickets.HeldUntil, By: sampleLi, Name: w.li, At: at(40 * time.Minute), Detail: w.hold},
		{Seq: 5, Kind: tickets.Resumed, At: at(10 * time.Minute)},
		{Seq: 6, Kind: tickets.Assigned, By: sampleLi, Name: w.li, At: at(5 * time.Minute), Detail: w.reason},
	}
}
