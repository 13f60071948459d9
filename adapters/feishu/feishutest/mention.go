package feishutest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// Pinged is what a message does besides being shown.
type Pinged struct {
	Users []string // ids and addresses of who is notified, as they stand there, each once
	All   bool     // everybody in the chat is
	Links []string // addresses that text can be clicked for; not those of buttons
}

var (
	atTag   = regexp.MustCompile(`(?i)<\s*at\b([^>]*)>`)
	atID    = regexp.MustCompile(`(?i)(?:user_id|open_id|ids|id|email|member_id)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))`)
	mdLink  = regexp.MustCompile(`\]\(\s*([^)\s]+)`)
	htmlRef = regexp.MustCompile(`(?i)<\s*a\b[^>]*?href\s*=\s*["']?([^"'>\s]+)`)
	linkTag = regexp.MustCompile(`(?i)<\s*link\b[^>]*?url\s*=\s*["']?([^"'>\s]+)`)
	person  = regexp.MustCompile(`(?i)<\s*person\b`)
)

// Pings reads a message as a client would: whom a text, a post or a card
// ("interactive") notifies, and which links are alive in what it says. Text of
// the tag plain_text does nothing. A tag counts however it is spelled, in code
// as well: the emulator would rather see one too many.
func Pings(msgType, content string) Pinged {
	var p Pinged
	var v object
	if json.Unmarshal([]byte(content), &v) != nil {
		return p
	}
	switch msgType {
	case "text":
		s, _ := v["text"].(string)
		p.markup(s)
	case "post":
		p.post(v)
	case "interactive":
		p.card(v)
	}
	slices.Sort(p.Users)
	p.Users = slices.Compact(p.Users)
	return p
}

func (p *Pinged) markup(s string) {
	for _, tag := range atTag.FindAllStringSubmatch(s, -1) {
		for _, m := range atID.FindAllStringSubmatch(tag[1], -1) {
			for id := range strings.SplitSeq(m[1]+m[2]+m[3], ",") {
				p.at(strings.TrimSpace(id))
			}
		}
	}
	for _, form := range []*regexp.Regexp{mdLink, htmlRef, linkTag} {
		for _, m := range form.FindAllStringSubmatch(s, -1) {
			p.Links = append(p.Links, m[1])
		}
	}
	if person.MatchString(s) {
		p.Links = append(p.Links, "person")
	}
}

func (p *Pinged) at(id string) {
	switch id {
	case "":
	case "all", "@_all":
		p.All = true
	default:
		p.Users = append(p.Users, id)
	}
}

func (p *Pinged) post(v any) {
	switch x := v.(type) {
	case object:
		switch x["tag"] {
		case "at":
			id, _ := x["user_id"].(string)
			p.at(id)
		case "md":
			s, _ := x["text"].(string)
			p.markup(s)
		case "a":
			s, _ := x["href"].(string)
			p.Links = append(p.Links, s)
		}
		for _, y := range x {
			p.post(y)
		}
	case []any:
		for _, y := range x {
			p.post(y)
		}
	}
}

func (p *Pinged) card(v any) {
	switch x := v.(type) {
	case object:
		if tag := x["tag"]; tag == "markdown" || tag == "lark_md" {
			s, _ := x["content"].(string)
			p.markup(s)
			if more, ok := x["i18n_content"].(object); ok {
				for _, y := range more {
					s, _ := y.(string)
					p.markup(s)
				}
			}
		}
		for key, y := range x {
			if key != "value" { // the app's own data
				p.card(y)
			}
		}
	case []any:
		for _, y := range x {
			p.card(y)
		}
	}
}

// Pings is whom this message notifies.
func (m Message) Pings() Pinged { return Pings(m.Type, m.Content) }

// Emojis are the names that a reaction can have.
// https://open.feishu.cn/document/server-docs/im-v1/message-reaction/emojis-introduce
var Emojis = strings.Fields(`OK THUMBSUP THANKS MUSCLE FINGERHEART APPLAUSE FISTBUMP JIAYI DONE SMILE BLUSH LAUGH SMIRK LOL
FACEPALM LOVE WINK PROUD WITTY SMART SCOWL THINKING SOB CRY ERROR NOSEPICK HAUGHTY SLAP SPITBLOOD TOASTED GLANCE DULL
INNOCENTSMILE JOYFUL WOW TRICK YEAH ENOUGH TEARS EMBARRASSED KISS SMOOCH DROOL OBSESSED MONEY TEASE SHOWOFF COMFORT CLAP
PRAISE STRIVE XBLUSH SILENT WAVE WHAT FROWN SHY DIZZY LOOKDOWN CHUCKLE WAIL CRAZY WHIMPER HUG BLUBBER WRONGED HUSKY SHHH
SMUG ANGRY HAMMER SHOCKED TERROR PETRIFIED SKULL SWEAT SPEECHLESS SLEEP DROWSY YAWN SICK PUKE BETRAYED HEADSET EatingFood
MeMeMe Sigh Typing Lemon Get LGTM OnIt OneSecond VRHeadset YouAreTheBest SALUTE SHAKE HIGHFIVE UPPERLEFT ThumbsDown SLIGHT
TONGUE EYESCLOSED RoarForYou CALF BEAR BULL RAINBOWPUKE ROSE HEART PARTY LIPS BEER CAKE GIFT CUCUMBER Drumstick Pepper
CANDIEDHAWS BubbleTea Coffee Yes No OKR CheckMark CrossMark MinusOne Hundred AWESOMEN Pin Alarm Loudspeaker Trophy Fire BOMB
Music XmasTree Snowman XmasHat FIREWORKS 2022 REDPACKET FORTUNE LUCK FIRECRACKER StickyRiceBalls HEARTBROKEN POOP
StatusFlashOfInspiration 18X CLEAVER Soccer Basketball GeneralDoNotDisturb Status_PrivateMessage GeneralInMeetingBusy
StatusReading StatusInFlight GeneralBusinessTrip GeneralWorkFromHome StatusEnjoyLife GeneralTravellingCar StatusBus GeneralSun
GeneralMoonRest MoonRabbit Mooncake JubilantRabbit TV Movie Pumpkin BeamingFace Delighted ColdSweat FullMoonFace Partying
GoGoGo ThanksFace SaluteFace Shrug ClownFace HappyDragon`)
