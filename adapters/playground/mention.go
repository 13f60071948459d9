package playground

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// botNames are what the bot answers to after an @.
var botNames = []string{"工单", "派单", "Paidan", "ticket"}

// BotName is what the bot is called in the room.
const BotName = "Paidan"

// readMentions finds the people whom text names and whether it names the bot.
// The bot's own mention is cut out; the places of the others are bytes of what
// remains. The longest name wins; an @ inside a word (an e-mail address) is none.
func readMentions(text string, people []Person) (plain string, toBot bool, found []mention) {
	type name struct{ text, user string }
	var names []name
	for _, b := range botNames {
		names = append(names, name{b, ""})
	}
	for _, p := range people {
		names = append(names, name{p.Name, p.ID}, name{p.NameEN, p.ID}, name{p.ID, p.ID})
	}
	sort.SliceStable(names, func(i, j int) bool { return len(names[i].text) > len(names[j].text) })

	var b strings.Builder
	rest := text
	before := ' ' // the character before rest
scan:
	for rest != "" {
		if rest[0] == '@' && !isWord(before) {
			for _, n := range names {
				end, ok := cutName(rest[1:], n.text)
				if !ok {
					continue
				}
				if n.user == "" {
					toBot = true
					rest = strings.TrimLeft(rest[1+end:], " \t\u00a0\u3000")
					if b.Len() == 0 {
						rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
					}
				} else {
					found = append(found, mention{User: n.user, Name: n.text, Start: b.Len(), End: b.Len() + 1 + end})
					b.WriteString(rest[:1+end])
					rest = rest[1+end:]
				}
				before = ' '
				continue scan
			}
		}
		r, size := utf8.DecodeRuneInString(rest)
		if b.Len() > 0 || !unicode.IsSpace(r) {
			b.WriteString(rest[:size])
		}
		before, rest = r, rest[size:]
	}
	return strings.TrimRightFunc(b.String(), unicode.IsSpace), toBot, found
}

// cutName reports whether s begins with name, in any case for Latin letters, and
// how many bytes it takes. A Latin name must end where the word ends.
func cutName(s, name string) (int, bool) {
	if len(s) < len(name) || !strings.EqualFold(s[:len(name)], name) {
		return 0, false
	}
	last, _ := utf8.DecodeLastRuneInString(name)
	next, _ := utf8.DecodeRuneInString(s[len(name):])
	if len(s) > len(name) && isWord(last) && isWord(next) {
		return 0, false
	}
	return len(name), true
}

func isWord(r rune) bool {
	return r == '_' || r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
}
