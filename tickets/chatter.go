package tickets

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Whether a message asks for anything decides whether it opens a ticket, breaks
// a hold, or reopens what was solved. «谢谢，好了» after a solution must do none
// of it; «谢谢，还是不行» must. So a message is chatter only when every word of it
// is: what is left over after greetings, thanks and consent is content.

// Chatter reports whether text is nothing but a greeting, thanks, consent, or
// the news that all is well, in Chinese or English, stickers and emoji included.
// Empty text is not chatter: something else came with it, or nothing at all.
func Chatter(text string) bool {
	kinds := chatter(text)
	return kinds != 0
}

// Thanks reports whether text is chatter that answers something: thanks, consent
// or good news, and not just a greeting.
func Thanks(text string) bool { return chatter(text)&consent != 0 }

// phraseKind is what a phrase does.
type phraseKind uint8

const (
	greeting phraseKind = 1 << iota
	consent
	filler // only beside one of the others
)

// longestChatter is in characters: whoever writes more has something to say.
const longestChatter = 80

// phrases by what they do. Latin ones may have several words.
var phrases = map[string]phraseKind{}

func init() {
	for kind, list := range map[phraseKind]string{
		greeting: `你好|您好|你们好|大家好|各位好|各位|哈喽|哈啰|嗨|嘿|喂|早|早啊|早安|早上好|上午好|中午好|下午好|晚上好|晚安|节日快乐|新年好|新年快乐|周末愉快|周末快乐|
			在吗|在么|在不|在不在|在嘛|有人吗|有人么|有人在吗|有人在么|忙吗|忙不忙|请问|请问一下|请教一下|请教|想问一下|问一下|咨询一下|咨询个问题|请教个问题|问个问题|打扰|打扰了|打扰一下|打扰下|打搅了|不好意思|不好意思打扰了|抱歉|抱歉打扰|老师好|领导好|再见|拜拜|回见|明天见|
			hi|hello|hey|hiya|helo|hallo|hi there|hello there|hey there|good morning|good afternoon|good evening|good day|good night|morning|gm|greetings|howdy|yo|
			anyone there|anybody there|anyone here|anybody here|anyone around|are you there|you there|are you around|how are you|how are you doing|how's it going|whats up|what's up|sup|excuse me|sorry to bother you|sorry to bother|bye|goodbye|bye bye|see you|see ya|cya|have a nice day|have a good day|have a good one|have a great day|have a nice weekend|have a good weekend|nihao|zaima|下班了|下班啦|
			在嗎|有人嗎|有人在嗎|請問|打擾了|早晨|こんにちは|おはようございます|안녕하세요`,
		consent: `谢谢|谢谢你|谢谢您|谢谢你们|谢谢大家|谢谢各位|多谢|感谢|感谢你|感谢您|非常感谢|十分感谢|万分感谢|万分感激|太感谢|感激不尽|感恩|谢|谢了|谢啦|谢过|蟹蟹|3q|3x|thx|
			辛苦|辛苦了|您辛苦了|你辛苦了|大家辛苦了|辛苦辛苦|麻烦|麻烦了|麻烦你|麻烦您|麻烦你了|麻烦您了|麻烦大家了|劳驾|有劳|有劳了|拜托|拜托了|费心|费心了|
			好|好的|好哒|好滴|好嘞|好咧|好勒|好吧|好呀|好啊|好了|好好|好好好|好好的|行|行的|行吧|可以|可以的|中|成|得|得嘞|得勒|妥|妥了|妥妥的|嗯|嗯嗯|嗯呐|恩|恩恩|哦|哦哦|噢|噢噢|喔|是|是的|是滴|对|对的|对对|没错|同意|赞同|ok|okay|okk|okok|okie|k|kk|okey|
			收到|已收到|收悉|已收悉|已阅|已读|知悉|已知悉|悉知|明白|明白了|懂|懂了|了解|了解了|已了解|清楚|清楚了|知道|知道了|晓得|晓得了|理解|没问题|没毛病|没事|没事了|没事儿|没关系|无妨|不客气|不用谢|不谢|客气|客气了|应该的|不用|不用了|不用麻烦了|不需要了|
			棒|真棒|太棒|太棒了|赞|点赞|给力|牛|厉害|真厉害|太好|太好了|真好|完美|优秀|不错|很好|非常好|很棒|靠谱|满意|很满意|非常满意|太强了|高效|神速|效率真高|速度真快|真快|好快|
			哈|哈哈|哈哈哈|呵呵|嘿嘿|嘻嘻|hh|haha|hahaha|hehe|lol|666|66|
			解决了|已解决|已经解决|已经解决了|问题解决了|问题已解决|问题已经解决|问题已经解决了|好使了|搞定|搞定了|可以了|已经可以了|现在可以了|好了已经|已经好了|现在好了|已好|都好了|正常了|已经正常|已经正常了|现在正常了|恢复了|已恢复|已经恢复|已经恢复了|恢复正常|恢复正常了|已恢复正常|能用了|可以用了|现在能用了|现在可以用了|好用了|能上了|能登录了|可以登录了|能打开了|没问题了|
			thanks|thank you|thank u|thankyou|thank you very much|thank you so much|many thanks|thanks a lot|thanks a bunch|thanks a ton|thanks so much|thanks very much|thx|thanx|tks|tnx|ty|tysm|tyvm|cheers|much appreciated|appreciated|appreciate it|i appreciate it|really appreciate it|much obliged|xiexie|感谢支持|感谢理解|谢谢支持|谢谢理解|
			謝謝|謝謝你|謝謝您|多謝|感謝|感謝您|非常感謝|謝了|唔該|唔該晒|麻煩|麻煩了|麻煩您了|沒問題|沒事|沒事了|瞭解|對|好唷|解決了|已解決|ありがとう|ありがとうございます|감사합니다|고마워요|
			ok thx|sure|sure thing|alright|all right|right|fine|good|great|cool|nice|perfect|awesome|excellent|wonderful|brilliant|amazing|lovely|super|sweet|yes|yep|yeah|yup|yea|aye|roger|roger that|copy|copy that|got it|gotcha|understood|noted|noted with thanks|i see|makes sense|will do|sounds good|sounds great|looks good|lgtm|all good|all set|no problem|no problems|no worries|np|nw|you're welcome|youre welcome|you are welcome|yw|welcome|my pleasure|never mind|nevermind|nvm|no need|well done|good job|great job|nice job|nice work|great work|good work|done deal|ack|acknowledged|confirmed|agreed|fair enough|
			it works|it works now|works now|works|works for me|working now|it's working now|it is working now|it's working|works fine|works great|works well|it's fixed|it is fixed|fixed now|problem solved|issue solved|issue resolved|resolved|solved|it's good now|good now|all good now|it's fine now|fine now|that worked|that did it|that fixed it|it worked`,
		filler: `了|啊|呀|哈|啦|哇|呢|哒|喽|咯|噻|嘞|呗|嘛|的|滴|吧|哟|哎|诶|唉|欸|那|就|先|都|真的|真是|太|很|非常|十分|超级|实在|那就|那好|那行|这边|我|我们|我这边|大家|各位|你|您|你们|亲|亲们|老师|师傅|同学|大佬|大神|小哥|小姐姐|美女|帅哥|哥|姐|兄弟|老板|领导|同事|客服|小二|多多|提前|再次|再|一下|下|请|先谢谢|
			for your help|for the help|for your time|for the quick help|for the quick reply|for your quick reply|for your support|for the support|for that|for the update|for letting me know|for everything|in advance|again|all|everyone|everybody|guys|team|folks|friend|mate|man|bro|dude|sir|madam|there|very much|so much|a lot|then|now|and|very|really|so|oh|ah|aha|hm|hmm|well|just|that's|thats|it's|its|is|that|i|please|pls|dear|buddy|yall|y'all|too|quick|fast|super quick|for you|to you|you|u|both`,
	} {
		for p := range strings.SplitSeq(list, "|") {
			if p = strings.TrimSpace(p); p != "" {
				phrases[p] |= kind
			}
		}
	}
	for p := range phrases {
		longestPhrase = max(longestPhrase, len([]rune(p)))
	}
}

var longestPhrase int

var (
	// Stickers arrive as their names. Only those that say nothing bad, and
	// nothing that could be a heading: [图片], [紧急] and [疑问] are content.
	sticker   = regexp.MustCompile(`\[(?:微笑|愉快|呲牙|偷笑|憨笑|害羞|调皮|得意|可爱|色|奸笑|坏笑|嘿哈|机智|捂脸|破涕为笑|笑脸|笑哭|大笑|旺柴|耶|哇|加油|加油加油|社会社会|好的|好|ok|收到|点赞|赞|强|比心|爱心|心|感谢|谢谢|抱拳|握手|合十|拥抱|鼓掌|胜利|玫瑰|鲜花|送花|庆祝|礼物|太阳|咖啡|啤酒|蛋糕|烟花|福|發|666|吃瓜|跳跳|转圈|让我看看|晕|汗|囧|尴尬|擦汗|天啊|再见|亲亲|敬礼|了解|棒|给力|你好|打招呼|thumbsup|smile|thanks|done|yes|lol|heart|clap|wave)\]`)
	shortcode = regexp.MustCompile(`:([a-z0-9_+'-]{1,40}):(?::?skin-tone-[2-6]:)?`)
	mention   = regexp.MustCompile(`[@][^\s@,.!?:;]{1,30}`)
	// Whoever is thanked by name: 谢谢李工, 张老师辛苦了. Only the usual surnames:
	// in 坏了哥 nobody is named. 谢 is left out, for it is thanks far more often.
	titled = regexp.MustCompile(`^[王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤]\p{Han}{0,2}(?:工|老师|师傅|经理|主任|总|哥|姐|先生|女士|同学)`)
	runOn  = regexp.MustCompile(`~+|～+`)
)

// What an emoji or its short name says when it is bad news or a question.
const (
	badEmoji = "👎❌✖❎❓❔⁉🆘😡😠🤬🚨🔴⛔🚫💥🔥🐛"
	badNames = "|thumbsdown|-1|x|question|grey_question|interrobang|sos|rage|angry|face_with_symbols_on_mouth|rotating_light|red_circle|no_entry|no_entry_sign|boom|fire|bug|negative_squared_cross_mark|"
)

// chatter returns what the phrases of text do, or 0 when there is anything else.
func chatter(text string) phraseKind {
	if len(text) > 8*longestChatter {
		return 0
	}
	s := strings.ToLower(norm.NFKC.String(strings.ReplaceAll(text, "’", "'")))
	kinds := phraseKind(0)
	if one := strings.TrimSpace(s); one == "+1" || one == "1" { // in Chinese groups "1" says: received
		return consent
	}
	s = sticker.ReplaceAllStringFunc(s, func(string) string { kinds |= consent; return " " })
	bad := false
	s = shortcode.ReplaceAllStringFunc(s, func(m string) string {
		name := shortcode.FindStringSubmatch(m)[1]
		switch {
		case strings.Contains(badNames, "|"+name+"|"):
			bad = true
		case name == "wave":
			kinds |= greeting
		default:
			kinds |= consent
		}
		return " "
	})
	s = mention.ReplaceAllString(s, " ")
	s = runOn.ReplaceAllString(s, " ")
	var words []rune // letters and digits; one space where anything else stood
	asks, dots := false, false
	for _, r := range s {
		switch {
		case strings.ContainsRune(badEmoji, r):
			bad = true
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '\'':
			// Three of a kind and more are two: okkkkk, 哈哈哈哈.
			if n := len(words); n < 2 || r != words[n-1] || r != words[n-2] {
				words = append(words, r)
			}
			continue
		case r == '?':
			asks = true
		case r == '👋':
			kinds |= greeting
		case unicode.Is(unicode.So, r):
			kinds |= consent
		case r == '%' || r == '$' || r == '/' || r == '\\' || r == '=' || r == '<' || r == '>' || r == '#' || r == '*' || r == '|' || r == '[' || r == ']':
			return 0 // a path, a number, a table, a name of something
		}
		dots = dots || unicode.IsPunct(r)
		if n := len(words); n > 0 && words[n-1] != ' ' {
			words = append(words, ' ')
		}
	}
	if bad || len(words) > longestChatter {
		return 0
	}
	said, ok := segment(words)
	if !ok {
		return 0
	}
	if len(words) == 0 && kinds == 0 && dots && !asks {
		return greeting // "…" draws attention and says nothing
	}
	if kinds |= said; kinds&(greeting|consent) == 0 || asks && kinds&greeting == 0 {
		return 0 // 好的? asks back
	}
	return kinds &^ filler
}

// segment covers words with phrases, without a gap, and returns what they do.
// Of all ways to cover them the one with the fewest phrases counts: 你好 is one
// greeting, and not 你 with 好.
func segment(words []rune) (phraseKind, bool) {
	type cover struct {
		count int // of phrases, plus 1; 0: not reached
		kinds phraseKind
	}
	best := make([]cover, len(words)+1)
	best[0].count = 1
	step := func(from, to, cost int, kind phraseKind) {
		c := cover{best[from].count + cost, best[from].kinds | kind}
		if best[to].count == 0 || c.count < best[to].count {
			best[to] = c
		}
	}
	for i, r := range words {
		if best[i].count == 0 {
			continue
		}
		if r == ' ' {
			step(i, i+1, 0, 0)
			continue
		}
		if latin(r) && i > 0 && latin(words[i-1]) {
			continue // in the middle of a word
		}
		for n := 1; n <= longestPhrase && i+n <= len(words); n++ {
			end := i + n
			if latin(words[end-1]) && end < len(words) && latin(words[end]) {
				continue
			}
			piece := string(words[i:end])
			if kind, ok := phrases[piece]; ok {
				step(i, end, 1, kind)
			} else if m := titled.FindString(piece); m == piece && n <= 5 {
				step(i, end, 1, filler)
			}
		}
	}
	last := best[len(words)]
	return last.kinds, last.count > 0
}

func latin(r rune) bool { return r < 0x250 && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '\'') }
