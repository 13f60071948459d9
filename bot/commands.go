package bot

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/paidan/paidan/tickets"
)

// Intent is what somebody wants, read from his words alone. Nothing has been
// looked up: people are accounts, teams and types are as they were written.
type Intent struct {
	Verb    tickets.Verb
	Number  int64   // of the ticket; 0: the one of the thread or the quote
	Numbers []int64 // further ones: merged into, linked with

	// Text is the title, reason, question or note, exactly as written, without
	// space around it. It is a part of what was parsed; for VerbNone the whole.
	Text string

	// People are all mentions in order. Start and End are those within Text;
	// both are 0 for those that stood before it, as an argument of the verb:
	// the new owner, the expert, the requester.
	People []Mention

	Team       string           // a team, or a person whose name was typed rather than mentioned
	Priority   tickets.Priority // 0: none given
	For        time.Duration    // 挂起 2h, 协办 … 1h; at most five years
	Until      time.Time        // 挂起 到周一; in the given zone; may have passed when a full date was given
	Customer   bool             // 挂起 等客户
	Key, Value string           // 字段 订单号=123; see the Verb constants for other uses
	Add        []string         // tags
	Remove     []string
	Public     bool // is shown to the requester
	Form       bool // the verb came alone and wants its form
}

// Parse reads what was said to the bot. mentions are those in text, the bot's
// own excluded. now and zone give times their meaning; a nil zone is UTC.
//
// A verb stands at the start, or right after the ticket's number: [#号] <动词>
// [#号] [参数]. What it is followed by decides whether it is one, since most
// verbs also begin ordinary sentences:
//
//   - A colon, a line break, a number, a mention, or the end after it make it a verb.
//   - After space or punctuation jargon (接单, 转派) remains a verb, an ordinary
//     word (关闭, 我来) does not, unless only polite particles follow.
//   - Directly before further words only a few verbs count whose argument is
//     free text (建单, 挂起, 备注), unless what follows continues the word:
//     建单失败, 挂起的单子. What reaches the requester (回复) never does.
//   - A question is no order: 结单了吗.
//
// In doubt it is plain talk, which changes nothing: VerbNone with the whole
// Text, and Number when it began with one.
func Parse(text string, mentions []Mention, now time.Time, zone *time.Location) Intent {
	if zone == nil {
		zone = time.UTC
	}
	p := parser{s: text, now: now.In(zone), mentions: cleanMentions(text, mentions)}
	for _, m := range p.mentions {
		if m.End > 0 {
			p.placed = append(p.placed, m)
		}
	}
	return p.parse()
}

// afterNumber is what follows the ticket's number that a text begins with.
func afterNumber(text string) string {
	p := parser{s: text}
	p.skip(" ,.;!~、。\n")
	p.name()
	p.skip(" ,.:、。\n")
	p.ticket()
	p.skip(" ,:、。\n")
	return strings.TrimSpace(text[p.pos:])
}

// ParseSlash reads what was typed after a slash command whose name already says
// "make a ticket": without a verb of its own the text is the title, and nothing
// asks for the form.
func ParseSlash(text string, mentions []Mention, now time.Time, zone *time.Location) Intent {
	in := Parse(text, mentions, now, zone)
	if in.Verb == VerbNone && in.Number == 0 {
		in.Verb, in.Form = tickets.VerbOpen, in.Text == ""
	}
	return in
}

// FindNumber returns the first #number in text, as a quoted message carries it;
// 0 when there is none.
func FindNumber(text string) int64 {
	for i, r := range text {
		if r == '#' || r == '＃' {
			p := parser{s: text, pos: i}
			if n, ok := p.hash(); ok {
				return n
			}
		}
	}
	return 0
}

// cleanMentions sorts them and gives those whose place is impossible no place.
func cleanMentions(text string, in []Mention) []Mention {
	out := slices.Clone(in)
	slices.SortStableFunc(out, func(a, b Mention) int { return cmp.Compare(a.Start, b.Start) })
	last := 0
	for i := range out {
		m := &out[i]
		if m.Start < last || m.End <= m.Start || m.End > len(text) || !utf8.RuneStart(text[m.Start]) || m.End < len(text) && !utf8.RuneStart(text[m.End]) {
			m.Start, m.End = 0, 0
			continue
		}
		last = m.End
	}
	return out
}

type parser struct {
	s        string
	pos      int // next byte to read
	off      int // where rest began last: the place of the intent's Text
	now      time.Time
	mentions []Mention // all of them
	placed   []Mention // those whose place in s is known, in order
	number   int64     // that stood before the verb
}

// mark says how what was just read is set off from what follows.
type mark int

const (
	markNone   mark = iota // nothing between them
	markSpaced             // space or punctuation
	markFirm               // a colon, a line break, a number, a mention, the end
)

func (p *parser) parse() Intent {
	plain := Intent{Text: p.rest()}
	p.pos = 0
	if in, ok := p.pick(); ok {
		return p.finish(in)
	}
	p.skip(" ,.;!~、。\n")
	p.name()
	p.skip(" ,.:、。\n")
	slash := p.slash()
	if p.skip(" "); slash == slashOpens && p.atEnd() {
		return p.finish(Intent{Verb: tickets.VerbOpen, Form: true})
	}
	numbered := false
	if n, ok := p.ticket(); ok {
		plain.Number, p.number, numbered = n, n, true
		p.skip(" ,:、。\n")
		if p.atEnd() {
			return p.finish(Intent{Verb: tickets.VerbShow, Number: n})
		}
	}
	if in, ok := p.signed(); ok {
		return p.finish(in)
	}
	begin := p.pos
	if in, ok := p.verb(numbered, false); ok {
		return p.finish(in)
	}
	p.pos = begin
	if p.any("请帮我", "麻烦帮我", "麻烦", "帮我", "帮忙", "请", "please", "pls") > 0 {
		p.skip(" ,")
		if in, ok := p.verb(numbered, true); ok {
			return p.finish(in)
		}
	}
	p.pos = begin
	if slash == slashOpens && !numbered {
		return p.finish(Intent{Verb: tickets.VerbOpen, Text: p.rest()})
	}
	near, number := p.slip(numbered)
	if near == "" && slash == slashBare && p.ascii() {
		near = nearest(p.command())
		plain.Verb = VerbUnknown
	}
	if near != "" {
		plain.Verb, plain.Key, plain.Number = VerbUnknown, near, number
	}
	p.pos = 0
	p.rest() // the whole text again
	return p.finish(plain)
}

// finish gives the mentions their places within Text.
func (p *parser) finish(in Intent) Intent {
	for _, m := range p.mentions {
		m.Start -= p.off
		m.End -= p.off
		if in.Text == "" || m.Start < 0 || m.End > len(in.Text) || m.End <= m.Start {
			m.Start, m.End = 0, 0
		}
		in.People = append(in.People, m)
	}
	return in
}

// --- reading ---

// foldRune makes full-width forms narrow and letters small, so that one
// spelling of each word is enough.
func foldRune(r rune) rune {
	switch {
	case r >= 'A' && r <= 'Z':
		return r + 'a' - 'A'
	case r < 128:
		return r
	case r >= 0xFF01 && r <= 0xFF5E:
		return foldRune(r - 0xFEE0)
	case r == '，':
		return ','
	case r == '“' || r == '”':
		return '"'
	case r == '’' || r == '‘':
		return '\''
	case r != '\n' && unicode.IsSpace(r), r == 0x200B, r == 0xFEFF, r == 0x2060:
		return ' '
	}
	return r
}

func (p *parser) atEnd() bool { return p.pos >= len(p.s) }

// peek returns the folded rune at pos, and its bytes in the text. A tab and a
// carriage return count as space.
func (p *parser) peek() (rune, int) {
	if p.atEnd() {
		return 0, 0
	}
	r, n := utf8.DecodeRuneInString(p.s[p.pos:])
	if r == '\t' || r == '\r' {
		return ' ', n
	}
	return foldRune(r), n
}

// skip passes over runes of set and reports whether there were any.
func (p *parser) skip(set string) bool {
	begin := p.pos
	for {
		r, n := p.peek()
		if n == 0 || !strings.ContainsRune(set, r) || p.mentionAt() != nil {
			return p.pos > begin
		}
		p.pos += n
	}
}

// word passes over w, which is folded.
func (p *parser) word(w string) bool {
	begin := p.pos
	for _, want := range w {
		r, n := p.peek()
		if n == 0 || r != want {
			p.pos = begin
			return false
		}
		p.pos += n
	}
	return true
}

// any passes over the first of words that stands here, with a boundary after
// a Latin one, and returns its length.
func (p *parser) any(words ...string) int {
	begin := p.pos
	for _, w := range words {
		if p.word(w) {
			if w[len(w)-1] > 127 || p.boundary() {
				return p.pos - begin
			}
			p.pos = begin
		}
	}
	return 0
}

// boundary reports whether a Latin word may end here.
func (p *parser) boundary() bool {
	r, n := p.peek()
	return n == 0 || r > 127 || !isWordByte(r) && r != '\''
}

func isWordByte(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_'
}

// mentionAt returns the mention that begins at pos.
func (p *parser) mentionAt() *Mention {
	i, ok := slices.BinarySearchFunc(p.placed, p.pos, func(m Mention, at int) int { return cmp.Compare(m.Start, at) })
	if !ok {
		return nil
	}
	return &p.placed[i]
}

// look returns the folded text ahead, at most width runes of it, and for every
// byte of that where it stands in p.s.
func (p *parser) look(width int) (string, []int) {
	var b strings.Builder
	var where []int
	at := p.pos
	for i, r := range p.s[p.pos:] {
		at = p.pos + i
		if width--; width < 0 {
			break
		}
		if r == '\t' || r == '\r' || r == '\n' {
			r = ' '
		}
		n, _ := b.WriteRune(foldRune(r)) // a Builder never fails
		for range n {
			where = append(where, at)
		}
		at = len(p.s)
	}
	return b.String(), append(where, at)
}

// name passes over our own name where the platform left it in the text.
func (p *parser) name() {
	if p.mentionAt() != nil {
		return
	}
	p.any("@工单助手", "@工单", "@派单助手", "@派单", "@paidan")
}

type slashKind int

const (
	slashNone  slashKind = iota
	slashBare            // "/" and a word of its own: /claim
	slashOpens           // the command that makes a ticket, with or without a verb after it
)

// slash passes over a slash command that was typed as text.
func (p *parser) slash() slashKind {
	switch {
	case p.any("/gd", "/ticket", "/工单", "/建单", "/报修") > 0:
		return slashOpens
	case p.word("/"):
		return slashBare
	}
	return slashNone
}

// ticket reads a ticket's number: #1024, 工单1024, ticket 1024, T-1024.
func (p *parser) ticket() (int64, bool) {
	begin := p.pos
	if n, ok := p.hash(); ok {
		return n, true
	}
	if p.any("工单号", "工单", "ticket") > 0 {
		p.skip(" :")
		if n, ok := p.hash(); ok {
			return n, true
		}
		if n, ok := p.digits(9); ok {
			return n, true
		}
	}
	p.pos = begin
	if p.word("t-") {
		if n, ok := p.digits(9); ok {
			return n, true
		}
	}
	p.pos = begin
	return 0, false
}

// hash reads #1024 and leaves pos alone when there is none.
func (p *parser) hash() (int64, bool) {
	begin := p.pos
	if p.word("#") {
		p.skip(" ")
		if n, ok := p.digits(12); ok {
			return n, true
		}
	}
	p.pos = begin
	return 0, false
}

// digits reads a positive number of at most limit digits that no letter follows.
func (p *parser) digits(limit int) (int64, bool) {
	begin := p.pos
	var v int64
	for k := 0; ; k++ {
		r, n := p.peek()
		if n == 0 || r < '0' || r > '9' {
			if k == 0 || v == 0 || !p.boundary() {
				p.pos = begin
				return 0, false
			}
			return v, true
		}
		if k == limit {
			p.pos = begin
			return 0, false
		}
		v = v*10 + int64(r-'0')
		p.pos += n
	}
}

// bare reads a number without a # that stands by itself: 接单 1024, but not 3个
// nor 10.5 nor 2026-01-01.
func (p *parser) bare() (int64, bool) {
	begin := p.pos
	n, ok := p.digits(7)
	if !ok {
		return 0, false
	}
	r, size := p.peek()
	if size == 0 || r == ' ' || r == '\n' || r == ',' || r == '。' || r == '!' || r == '、' {
		return n, true
	}
	p.pos = begin
	return 0, false
}

// pick reads a text that is nothing but one small number.
func (p *parser) pick() (Intent, bool) {
	q := *p
	q.skip(" \n")
	n, ok := q.digits(2)
	if r, size := q.peek(); ok && (r == 0xFE0F || r == 0x20E3) { // keycap
		for r == 0xFE0F || r == 0x20E3 {
			q.pos += size
			r, size = q.peek()
		}
	}
	q.skip(" .、。)\n")
	return Intent{Verb: VerbPick, Number: n}, ok && q.atEnd()
}

// signed reads what begins with 📣 or 🔒.
func (p *parser) signed() (Intent, bool) {
	in := Intent{Number: p.number}
	switch {
	case p.word("📣"):
		in.Verb, in.Public = tickets.VerbReply, true
	case p.word("🔒"):
		in.Verb = tickets.VerbNote
	default:
		return in, false
	}
	p.skip(string(rune(0xFE0F)) + " :\n")
	if p.hashInto(&in.Number) {
		p.skip(" :\n")
	}
	in.Text = p.rest()
	in.Form = in.Text == ""
	return in, true
}

// rest is all that is left, without space around it.
func (p *parser) rest() string {
	p.pos += len(p.s[p.pos:]) - len(strings.TrimLeftFunc(p.s[p.pos:], unicode.IsSpace))
	p.off = p.pos
	return strings.TrimSpace(p.s[p.pos:])
}

// --- verbs ---

// verb tries the words that begin here, the longest first.
func (p *parser) verb(numbered, polite bool) (Intent, bool) {
	if p.mentionAt() != nil {
		return Intent{}, false // said to somebody else
	}
	begin := p.pos
	first, n := p.peek()
	if n == 0 {
		return Intent{}, false
	}
	if in, ok := p.openFor(); ok && !polite {
		return in, true
	}
	for _, a := range aliases[first] {
		p.pos = begin
		if polite && !a.row.polite || !p.word(a.word) || !a.han && !p.boundary() {
			continue
		}
		if in, ok := p.accept(a, numbered); ok {
			return in, true
		}
	}
	p.pos = begin
	return Intent{}, false
}

// accept decides whether what follows the word lets it be a verb, and reads the
// arguments.
func (p *parser) accept(a alias, numbered bool) (Intent, bool) {
	row := a.row
	in := Intent{Verb: row.Verb, Number: p.number}
	if p.word("了") {
		if r, n := p.peek(); n > 0 && (unicode.IsLetter(r) || r == '?') {
			return in, false // 解决了一半, 结单了吗
		}
	}
	how := p.separate()
	if n, ok := p.ticketAfter(row, how); ok {
		in.Number, how = n, markFirm
		p.skip(" ,:、。\n")
	}
	if p.hints(row) {
		how = markFirm
	}
	if p.onlyParticles(row, how) {
		p.pos = len(p.s)
		how = markFirm
	}
	if how == markNone && !a.han {
		return in, false // a Latin word before a sign: hold-up, type/class
	}
	if !p.atEnd() {
		strict := a.strict
		if strict == alone && numbered {
			strict = apart
		}
		if how == markNone && strict != glued || how == markSpaced && strict == alone && row.shape != shapeHelp {
			return in, false
		}
		if how < markFirm && (p.continues(a, how) || !row.ask && p.asks()) {
			return in, false
		}
		if ahead, _ := p.look(8); !row.ask && doubting.MatchString(ahead) {
			return in, false // 接单 #1024？
		}
	}
	return p.arguments(a, in, how)
}

// hints reports whether an argument stands here that only this verb takes, so
// that it needs no space before it: 转派@李四, 挂起2小时, 优先级P1, 升级二线.
func (p *parser) hints(row *verbRow) bool {
	q := *p
	switch row.shape {
	case shapePeople:
		return q.mentionAt() != nil || q.oneself() && q.atEnd()
	case shapeConsult:
		return q.mentionAt() != nil
	case shapeEscalate:
		return q.mentionAt() != nil || q.tier()
	case shapeHold:
		return q.when(&Intent{}) || q.customer()
	case shapePriority:
		_, n := q.level()
		return n > 0
	case shapeNumbers:
		_, ok := q.ticket()
		return ok
	case shapeSettings:
		return q.any("接入", "受理", "处理", "intake", "triage") > 0
	}
	return false
}

// separate passes over what sets the verb off.
func (p *parser) separate() mark {
	how := markNone
	for {
		r, n := p.peek()
		switch {
		case n == 0:
			return markFirm
		case p.mentionAt() != nil:
			return max(how, markNone)
		case r == ':' || r == '\n':
			how = markFirm
		case r == ' ' || r == ',' || r == '.' || r == '。' || r == '、' || r == ';' || r == '!' || r == '~' || r == '…' || r == '—' || r == '-' && how > markNone:
			how = max(how, markSpaced)
		default:
			return how
		}
		p.pos += n
	}
}

// ticketAfter reads the number that follows a verb. A bare one is taken only by
// verbs that want one, and by those that take text only if nothing else follows.
func (p *parser) ticketAfter(row *verbRow, how mark) (int64, bool) {
	if row.shape == shapeNumbers || row.shape == shapeSearch {
		return 0, false
	}
	if n, ok := p.ticket(); ok {
		return n, true
	}
	if !row.number {
		return 0, false
	}
	begin := p.pos
	n, ok := p.bare()
	if ok && row.shape == shapeText {
		p.skip(" ,。!\n")
		ok = p.atEnd()
	}
	if !ok {
		p.pos = begin
	}
	return n, ok
}

// onlyParticles reports whether the rest says nothing: 吧, 谢谢, please, 👌. For
// verbs whose text is somebody's own words that is so only directly after the
// verb: 回复 谢谢 says thanks. A question mark is no order, but asks for a list.
func (p *parser) onlyParticles(row *verbRow, how mark) bool {
	switch row.shape {
	case shapeBare, shapePeople, shapeConsult, shapeEscalate, shapeHold, shapePriority, shapeNumbers, shapeLevel, shapeHelp, shapeShow:
	case shapeText:
		if row.ask && how != markNone {
			return p.atEnd()
		}
	default:
		return p.atEnd()
	}
	q := *p
	for {
		r, n := q.peek()
		switch {
		case n == 0:
			return true
		case q.mentionAt() != nil, r == '?' && !row.ask, r == '#', r == '+':
			return false
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			q.pos += n
		case q.any("一下", "处理", "谢谢", "麻烦", "这个工单", "这张工单", "这个单", "这张单", "这个", "这单", "此单", "本单", "这张", "工单", "吧", "啦", "哈", "呀", "啊", "哦", "喽", "咯", "了", "请", "哒",
			"please", "pls", "plz", "thanks", "thx", "thank you", "this ticket", "the ticket", "this one", "it", "this", "now") > 0:
		default:
			return false
		}
	}
}

// What follows a word and shows that it was no verb. After a space the writer
// has set the word off himself and fewer continuations count.
var (
	continuesGlued = regexp.MustCompile(`^(?:[不没未的地得员人者中率量后前时过吗么呢是会能要有在和与或也就都才还被把给让从对上下完好到单]|一下|一直|失败|成功|问题|方案|办法|功能|流程|页面|界面|按钮|状态|系统|怎么|如何|为什么|为何|可以|应该|需要|之后|之前|以后|以前|期间|原因|记录|列表|电话|费用|规则|权限|时间|信息|内容|字段|模板|说明书|超时|报错|看不|数据|软件|程序|平台|网站|链接|地址|账号|入口|渠道|方式|服务|窗口)`)
	continuesApart = regexp.MustCompile(`^(?:不[了掉上开能会]|[的吗么呢]|了吗|了没|一下|失败|功能|流程|页面|界面|按钮|问题[的怎吗]|方案|系统|后|怎么|如何|为什么|是什么|在哪|有没有|能不能|可不可以)`)
	continuesLatin = regexp.MustCompile(`^(?:a|an|the|me|my|us|our|on|off|of|in|up|down|out|over|at|to|this|that|these|those|is|isn't|are|aren't|was|wasn't|were|does|doesn't|do|don't|did|didn't|can|can't|cannot|could|couldn't|will|won't|would|should|has|hasn't|have|had|and|or|but|if|when|whether|how|what|who|why|where|which|with|about|fails?|failed|buttons?|errors?|issues?|problems?|accounts?|pages?|menus?|notes?|forms?|dates?|versions?|(?:not|never) (?:working|able|possible|found|available|loading|opening|responding))(?:$|[^a-z0-9'])`)
	continuesIt    = regexp.MustCompile(`^it\b`)
	doubting       = regexp.MustCompile(`^(?:了?[吗么嘛没呢]|[?])[\s?!。~]*$`)
	asking         = regexp.MustCompile(`(?:[吗么嘛]|[?])[\s?!。~]*$|没有?[\s]*[?]`)
)

// continues reports whether the rest goes on with a sentence that the word only
// happened to begin.
func (p *parser) continues(a alias, how mark) bool {
	ahead, _ := p.look(24)
	verb := a.row.Verb
	switch {
	case a.row.shape == shapeField && how > markNone && strings.ContainsAny(ahead, "=:"):
		return false // 字段 系统=VPN
	case a.row.shape == shapeTags:
		return how == markNone // what a tag may be is looked at with the tags
	case how == markNone:
		return continuesGlued.MatchString(ahead)
	case !a.han && verb != tickets.VerbReject && verb != tickets.VerbReopen && continuesIt.MatchString(ahead):
		return true // but: reopen it is back
	case !a.han:
		return continuesLatin.MatchString(ahead)
	case a.row.ask && verb != tickets.VerbReply:
		return false // 建单 怎么重置密码: his own words, set off by himself, and nobody outside reads them
	}
	return continuesApart.MatchString(ahead)
}

// asks reports whether the rest ends as a question. Only its end is looked at.
func (p *parser) asks() bool {
	q := *p
	if far := len(p.s) - 64; far > q.pos {
		for q.pos = far; !utf8.RuneStart(q.s[q.pos]); q.pos++ {
		}
	}
	ahead, _ := q.look(64)
	return asking.MatchString(ahead)
}

// arguments reads what the verb takes. It returns false when that shows that it
// was no verb.
func (p *parser) arguments(a alias, in Intent, how mark) (Intent, bool) {
	row := a.row
	empty := p.atEnd()
	in.Form = row.form && empty
	switch row.shape {
	case shapeBare:
		in.Text = p.rest()
		if in.Text != "" && !takesRemark(row.Verb) {
			return in, false
		}
	case shapeText:
		if row.Verb == tickets.VerbReply {
			in.Public = true
		}
		if row.Verb == tickets.VerbOpen && !empty && p.any("for", "给") > 0 {
			p.skip(" ")
			if p.takePeople() > 0 {
				in.Verb = tickets.VerbOpenFor
				p.skip(" ,:、\n")
			}
		}
		in.Text = p.rest()
	case shapePeople, shapeConsult, shapeEscalate:
		return p.peopleArguments(row, in)
	case shapePriority:
		return p.priorityArguments(a, in)
	case shapeHold:
		in.Customer = strings.Contains(a.word, "客户") || strings.Contains(a.word, "customer")
		p.hold(&in)
		in.Form = in.For == 0 && in.Until.IsZero() && !in.Customer && in.Text == ""
	case shapeNumbers:
		return p.numberArguments(in)
	case shapeOpenFor:
		p.skip(" ")
		if p.takePeople() == 0 {
			if in.Team = p.typedName(); in.Team == "" || a.han {
				return in, false
			}
		}
		p.skip(" ,:、\n")
		in.Text = p.rest()
		in.Form = in.Text == ""
	case shapeTags:
		words := strings.FieldsFunc(p.rest(), func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(",，、", r) })
		if how < markFirm && len(words) > 2 && !strings.ContainsAny(words[0][:1], "+-#") && !strings.HasPrefix(words[0], "＋") && !strings.HasPrefix(words[0], "－") {
			return in, false // tag printer is broken
		}
		for _, f := range words {
			switch {
			case len(f) > 1 && f[0] == '-':
				in.Remove = append(in.Remove, f[1:])
			case strings.HasPrefix(f, "＋"), strings.HasPrefix(f, "+"), strings.HasPrefix(f, "#"):
				if f = strings.TrimLeft(f, "＋+#"); f != "" {
					in.Add = append(in.Add, f)
				}
			case strings.HasPrefix(f, "－"):
				if f = strings.TrimPrefix(f, "－"); f != "" {
					in.Remove = append(in.Remove, f)
				}
			default:
				in.Add = append(in.Add, f)
			}
		}
		in.Form = len(in.Add)+len(in.Remove) == 0
	case shapeField:
		line := p.rest()
		i := strings.IndexAny(line, "=＝:：")
		if i < 0 {
			i = strings.IndexFunc(line, unicode.IsSpace)
		}
		if i < 0 {
			in.Key, in.Form = line, true
			break
		}
		_, n := utf8.DecodeRuneInString(line[i:])
		in.Key, in.Value = strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+n:])
	case shapeWord:
		in.Value = p.rest()
		if how < markFirm && len(strings.Fields(in.Value)) > 1 {
			return in, false // type error in the app
		}
	case shapeReveal:
		return p.revealArguments(a, in)
	case shapeShow:
		return p.showArguments(a, in, how)
	case shapeSearch:
		in.Text = p.rest()
		in.Form = in.Text == ""
	case shapeSettings:
		return p.settingsArguments(in)
	case shapeCode:
		in.Value = p.rest()
		if in.Value == "" {
			return in, row.Verb == VerbLink
		}
		in.Value = strings.ToUpper(foldText(in.Value))
		return in, reCode[row.Verb].MatchString(in.Value)
	case shapeLevel:
		in.Value = levelNames[a.word]
		return in, empty
	case shapeHelp:
		if !empty {
			word := p.rest()
			q := parser{s: word}
			if strings.ContainsFunc(word, unicode.IsSpace) {
				return in, false
			}
			for _, a := range aliases[foldRune([]rune(word)[0])] {
				if q.pos = 0; q.word(a.word) && q.atEnd() {
					in.Key = string(a.row.Verb)
					return in, true
				}
			}
			return in, false
		}
	}
	return in, true
}

// takesRemark reports whether words after a verb without arguments are a remark
// on what is done rather than a sign that nothing is meant to be done.
func takesRemark(v tickets.Verb) bool {
	return v == tickets.VerbClaim || v == tickets.VerbConfirm || v == tickets.VerbResume || v == tickets.VerbUrge || v == tickets.VerbUnmerge
}

var (
	levelNames = map[string]string{"静默": LevelQuiet, "标准": LevelStandard, "详细": LevelVerbose, "quiet": LevelQuiet, "standard": LevelStandard, "verbose": LevelVerbose}
	reCode     = map[tickets.Verb]*regexp.Regexp{
		VerbLink:  regexp.MustCompile(`^[A-Z]{0,4}-?[0-9][A-Z0-9-]{3,11}$`),
		VerbAdmin: regexp.MustCompile(`^[A-Z0-9]{4}(?:-[A-Z0-9]{4}){1,4}$`),
	}
)

func foldText(s string) string { return strings.Map(foldRune, s) }

// openFor reads 代 @张三 建单 …, 帮 @张三 报修 …
func (p *parser) openFor() (Intent, bool) {
	begin := p.pos
	in := Intent{Verb: tickets.VerbOpenFor}
	if p.any("代替", "代", "帮", "替", "为", "给") > 0 {
		p.skip(" ")
		people := p.takePeople()
		if people == 0 {
			in.Team = p.typedName()
		}
		p.skip(" ")
		if (people > 0 || in.Team != "") && p.any("建单", "报修", "提单", "开单", "建工单", "提工单", "新建工单") > 0 {
			p.skip(" ,:、。\n")
			in.Text = p.rest()
			in.Form = in.Text == ""
			return in, true
		}
	}
	p.pos = begin
	return Intent{}, false
}

// typedName reads a name of two to twelve letters that ends at a space. The
// space is asked for because names have no other end in Chinese.
func (p *parser) typedName() string {
	begin := p.pos
	p.word("@")
	from := p.pos
	for i := 0; i < 12; i++ {
		r, n := p.peek()
		if n > 0 && r == ' ' && i >= 2 {
			return p.s[from:p.pos]
		}
		if n == 0 || !unicode.IsLetter(r) {
			break
		}
		p.pos += n
	}
	p.pos = begin
	return ""
}

// takePeople passes over mentions and what joins them, and returns how many.
func (p *parser) takePeople() int {
	count := 0
	for {
		m := p.mentionAt()
		if m == nil {
			return count
		}
		p.pos = m.End
		count++
		before := p.pos
		p.skip(" ,、")
		if p.mentionAt() == nil && p.any("和", "与", "and", "&") > 0 {
			p.skip(" ")
		}
		if p.mentionAt() == nil {
			p.pos = before
			return count
		}
	}
}

func (p *parser) peopleArguments(row *verbRow, in Intent) (Intent, bool) {
	p.any("给", "to")
	p.skip(" ")
	people := p.takePeople()
	before := p.pos
	p.skip(" ,:、\n")
	if people > 0 && in.Number == 0 {
		if n, ok := p.hash(); ok {
			in.Number = n
			p.skip(" ,:、\n")
		}
	}
	if people == 0 && !p.atEnd() {
		if row.shape == shapePeople && p.oneself() {
			in.Verb, in.Form = tickets.VerbClaim, false
			p.skip(" ,:、\n")
			in.Text = p.rest()
			return in, true
		}
		p.pos = before
		p.skip(" \n")
		p.word("@")
		ahead, where := p.look(16)
		if n := len(reLatinTier.FindString(ahead)); n > 0 {
			in.Team = p.s[p.pos:where[n]]
			p.pos = where[n]
		} else {
			in.Team = p.token()
		}
		p.skip(" ,:、\n")
	}
	if row.shape == shapeConsult {
		if d, n := p.spanAhead(); n > 0 {
			in.For = d
			p.pos += n
			p.skip(" ,:、\n")
		}
	}
	in.Text = p.rest()
	if row.shape == shapeConsult && in.For == 0 {
		in.For, in.Text = p.spanBehind(in.Text)
	}
	in.Form = people == 0 && in.Team == ""
	return in, true
}

// oneself reads "me" where a person is asked for.
func (p *parser) oneself() bool {
	begin := p.pos
	if p.any("我自己", "自己", "我", "myself", "me") > 0 {
		if r, n := p.peek(); n == 0 || !unicode.IsLetter(r) {
			return true
		}
	}
	p.pos = begin
	return false
}

// token reads up to the next space or punctuation, at most 40 letters.
func (p *parser) token() string {
	from := p.pos
	for i := 0; i < 40; i++ {
		r, n := p.peek()
		if n == 0 || strings.ContainsRune(" ,:;、。!?\n@#", r) || p.mentionAt() != nil {
			break
		}
		p.pos += n
	}
	return p.s[from:p.pos]
}

// tier reports whether a team stands here that needs no space before it.
func (p *parser) tier() bool {
	ahead, _ := p.look(16)
	return reTier.MatchString(ahead)
}

var (
	reTier      = regexp.MustCompile(`^(?:[一二三四1-4]线|l[1-4]\b|主管|经理|领导|老板|\p{Han}{1,6}(?:组|团队|部门|部)(?:$|[ ,:。、!]))`)
	reLatinTier = regexp.MustCompile(`^(?:tier|level|line) [1-4]\b`)
	reLevel     = regexp.MustCompile(`^(?:p([1-4])(?:$|[^a-z0-9])|([1-4])(?:$|[^0-9.a-z\p{Han}])|(最高|紧急|加急|urgent\b|critical\b|highest\b)|(高|high\b)|(中|普通|一般|正常|normal\b|medium\b)|(最低|低|low\b))`)
)

// level reads a priority.
func (p *parser) level() (tickets.Priority, int) {
	ahead, where := p.look(12)
	m := reLevel.FindStringSubmatch(ahead)
	if m == nil {
		return 0, 0
	}
	for i, group := range m[1:] {
		if group == "" {
			continue
		}
		start := strings.Index(m[0], group)
		n := where[start+len(group)] - p.pos
		if i < 2 {
			return tickets.Priority(group[0] - '0'), n
		}
		return tickets.Priority(i - 1), n
	}
	return 0, 0
}

func (p *parser) priorityArguments(a alias, in Intent) (Intent, bool) {
	if in.Number == 0 { // prio 1024 P1
		begin := p.pos
		if n, ok := p.bare(); ok {
			p.skip(" ")
			if _, k := p.level(); k > 0 {
				in.Number = n
			}
		}
		if in.Number == 0 {
			p.pos = begin
		}
	}
	p.any("改为", "改成", "设为", "调到", "调为", "为", "到", "to")
	p.skip(" ")
	prio, n := p.level()
	p.pos += n
	in.Priority = prio
	if prio == 0 && (a.word == "加急" || a.word == "紧急" || a.word == "urgent") {
		in.Priority = 1
	}
	p.skip(" ,:、。\n")
	in.Text = p.rest()
	if in.Priority == 0 && in.Text != "" {
		return in, false // 优先级 怎么改
	}
	in.Form = in.Priority == 0
	return in, true
}

func (p *parser) numberArguments(in Intent) (Intent, bool) {
	p.any("到", "至", "into", "to", "with")
	p.skip(" ")
	for len(p.s) > p.pos && len(in.Numbers) < 50 {
		n, ok := p.ticket()
		if !ok {
			n, ok = p.bare()
		}
		if !ok {
			break
		}
		in.Numbers = append(in.Numbers, n)
		p.skip(" ,、")
		p.any("到", "至", "入", "和", "与", "into", "to", "with", "and")
		p.skip(" ")
	}
	if len(in.Numbers) > 1 && in.Number == 0 && in.Verb == tickets.VerbMerge {
		in.Number, in.Numbers = in.Numbers[0], in.Numbers[1:] // merge #5 into #9
	}
	p.skip(" ,:、。\n")
	in.Text = p.rest()
	if len(in.Numbers) == 0 && in.Text != "" {
		return in, false // merge conflict, 关联 公司
	}
	return in, true
}

var revealKeys = []struct{ word, key string }{
	{"联系方式", "phone"}, {"手机号码", "phone"}, {"手机号", "phone"}, {"电话号码", "phone"}, {"手机", "phone"}, {"电话", "phone"}, {"邮箱", "email"}, {"邮件", "email"},
	{"phone", "phone"}, {"mobile", "phone"}, {"email", "email"}, {"mail", "email"},
}

// revealArguments reads which field is to be shown and why. Key is "phone",
// "email", or the field as it was written.
func (p *parser) revealArguments(a alias, in Intent) (Intent, bool) {
	for _, k := range revealKeys {
		if strings.Contains(a.word, k.word) {
			in.Key = k.key
			break
		}
	}
	if in.Key == "" {
		in.Key = p.token()
		for _, k := range revealKeys {
			if foldText(in.Key) == k.word {
				in.Key = k.key
			}
		}
		p.skip(" ,:、。\n")
	}
	if n, ok := p.hash(); ok && in.Number == 0 {
		in.Number = n
		p.skip(" ,:、。\n")
	}
	in.Text = p.rest()
	in.Form = in.Key == "" || in.Text == ""
	return in, true
}

// showArguments reads 查 #1024, 查 我的, 查 打印机.
func (p *parser) showArguments(a alias, in Intent, how mark) (Intent, bool) {
	if p.atEnd() {
		return in, true
	}
	if in.Number != 0 {
		return in, false // 看 #1024 那个问题: talk about it
	}
	begin := p.pos
	if list, ok := p.verb(false, true); ok && list.Number == 0 && list.Text == "" && list.Verb != tickets.VerbShow {
		return list, true
	}
	p.pos = begin
	if how == markNone || !slices.Contains([]string{"查", "查询", "查单", "find"}, a.word) {
		return in, false
	}
	in.Verb, in.Text = tickets.VerbSearch, p.rest()
	return in, true
}

func (p *parser) settingsArguments(in Intent) (Intent, bool) {
	if p.atEnd() {
		return in, true
	}
	switch {
	case p.any("接入", "受理", "intake") > 0:
		in.Key = "intake"
	case p.any("处理", "triage") > 0:
		in.Key = "triage"
	default:
		return in, false
	}
	p.any("群", "channel")
	p.skip(" :")
	in.Value = p.rest()
	return in, !strings.ContainsFunc(in.Value, unicode.IsSpace)
}

// --- time ---

const timeWindow = 48 // runes; the longest way to say a time is shorter

func (p *parser) spanAhead() (time.Duration, int) {
	ahead, where := p.look(timeWindow)
	d, n := span(ahead)
	if n == 0 {
		return 0, 0
	}
	return d, where[n] - p.pos
}

// when reads one duration or point in time, with 到 or "until" before it.
func (p *parser) when(in *Intent) bool {
	ahead, where := p.look(timeWindow)
	skip := len(reUntil.FindString(ahead))
	if skip == 0 {
		skip = len(reForDur.FindString(ahead))
	}
	if t, n := moment(ahead[skip:], p.now); n > 0 {
		in.Until = t
		p.pos = where[skip+n]
		return true
	}
	if d, n := span(ahead[skip:]); n > 0 {
		in.For = d
		p.pos = where[skip+n]
		return true
	}
	return false
}

func (p *parser) customer() bool {
	return p.any("等客户回复", "等待客户回复", "等客户", "等待客户", "待客户", "waiting for customer", "wait for customer", "waiting on customer", "customer") > 0
}

// hold reads 挂起 in any order: how long, until when, 等客户, and why.
func (p *parser) hold(in *Intent) {
	for range 4 {
		switch {
		case in.Number == 0 && p.hashInto(&in.Number):
		case in.For == 0 && in.Until.IsZero() && p.when(in):
		case !in.Customer && p.customer():
			in.Customer = true
		default:
			p.skip(" ,:、。\n")
			in.Text = p.rest()
			if in.For == 0 && in.Until.IsZero() {
				p.holdBehind(in)
			}
			return
		}
		p.skip(" ,:、。\n")
	}
	in.Text = p.rest()
}

// hashInto reads #1024 into n.
func (p *parser) hashInto(n *int64) bool {
	v, ok := p.hash()
	if ok {
		*n = v
	}
	return ok
}

// holdBehind reads a time that closes the reason: 挂起 等配件 到周一.
func (p *parser) holdBehind(in *Intent) {
	for _, from := range lastWords(in.Text) {
		q := parser{s: in.Text, pos: from, now: p.now}
		if q.when(in) && q.atEnd() {
			in.Text = strings.TrimRightFunc(in.Text[:from], unicode.IsSpace)
			return
		}
		in.For, in.Until = 0, time.Time{}
	}
}

// spanBehind reads a duration that closes a text.
func (p *parser) spanBehind(text string) (time.Duration, string) {
	for _, from := range lastWords(text) {
		q := parser{s: text, pos: from}
		if d, n := q.spanAhead(); n > 0 && from+n == len(text) {
			return d, strings.TrimRightFunc(text[:from], unicode.IsSpace)
		}
	}
	return 0, text
}

// lastWords are the starts of up to the last five words of t, the farthest
// first, that stand within its last 64 bytes.
func lastWords(t string) []int {
	var at []int
	for i := len(t); i > 0 && i > len(t)-64 && len(at) < 5; {
		r, n := utf8.DecodeLastRuneInString(t[:i])
		if i -= n; unicode.IsSpace(r) || r == '，' || r == ',' {
			if i+n < len(t) {
				at = append(at, i+n)
			}
		}
	}
	slices.Reverse(at)
	return at
}

// --- slips ---

// ascii reports whether a Latin word stands here.
func (p *parser) ascii() bool {
	r, n := p.peek()
	return n > 0 && r >= 'a' && r <= 'z'
}

// command reads that word.
func (p *parser) command() string {
	from := p.pos
	for i := 0; i < 24; i++ {
		r, n := p.peek()
		if n == 0 || !isWordByte(r) {
			break
		}
		p.pos += n
	}
	return foldText(p.s[from:p.pos])
}

// slip finds "cliam #1024": one Latin word beside a number, one slip away from
// a verb. It returns the verb's word and the number.
func (p *parser) slip(numbered bool) (string, int64) {
	q := *p
	word := q.command()
	q.skip(" ")
	number, found := q.ticket()
	if !found {
		number, found = q.bare()
	}
	if !found {
		number = p.number
	}
	if !(numbered || found) || !q.atEnd() || len(word) < 4 {
		return "", p.number
	}
	return nearest(word), number
}

// nearest is the verb's word that is one insertion, deletion, exchange or swap
// of neighbours away from word; "" when there is none.
func nearest(word string) string {
	if len(word) < 3 || len(word) > 16 {
		return ""
	}
	for _, row := range verbTable {
		for _, en := range row.EN {
			if oneSlip(word, en) {
				return en
			}
		}
	}
	return ""
}

func oneSlip(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 || len(a) < 3 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch {
	case len(a) < len(b):
		return a[i:] == b[i+1:]
	case i == len(a):
		return true
	case i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]:
		return true
	}
	return a[i+1:] == b[i+1:]
}
