package slack

import (
	"strings"
	"unicode/utf8"

	"github.com/paidan/paidan/bot"
)

// Slack's text: three characters are entities, and <…> is a mention, a channel
// or a link. https://docs.slack.dev/messaging/formatting-message-text

var (
	unescaper = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")
	escaper   = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
)

// plainText is a text with Slack's markup undone.
type plainText struct {
	text     string
	mentions []bot.Mention
	toBot    bool // it mentioned the bot
}

// plain undoes the markup of text. The bot's own mention is left out, with one
// space beside it.
func (a *Adapter) plain(text, botUser string) plainText {
	var out plainText
	var b strings.Builder
	rest := strings.TrimLeft(text, " \t\n\r")
	for rest != "" {
		i := strings.IndexByte(rest, '<')
		if i < 0 {
			break
		}
		n := strings.IndexByte(rest[i:], '>')
		if n < 0 {
			break
		}
		b.WriteString(unescaper.Replace(rest[:i]))
		inner := rest[i+1 : i+n]
		rest = rest[i+n+1:]
		what, label, _ := strings.Cut(inner, "|")
		label = unescaper.Replace(label)
		switch {
		case strings.HasPrefix(what, "@") && isID(what[1:], "UWB"):
			if botUser != "" && what[1:] == botUser {
				out.toBot = true
				if s := b.String(); s == "" || strings.HasSuffix(s, " ") || strings.HasSuffix(s, "\n") {
					rest = strings.TrimLeft(rest, " ")
				}
				continue
			}
			shown := label
			if shown == "" {
				shown = what[1:]
			}
			out.mention(&b, "@"+strings.TrimPrefix(shown, "@"), bot.Mention{User: a.user(what[1:]), Name: strings.TrimPrefix(label, "@")})
		case strings.HasPrefix(what, "!subteam^") && isID(what[len("!subteam^"):], "S"):
			id := what[len("!subteam^"):]
			shown := strings.TrimPrefix(label, "@")
			if shown == "" {
				shown = id
			}
			out.mention(&b, "@"+shown, bot.Mention{User: a.user(id), Name: strings.TrimPrefix(label, "@"), Group: true})
		case strings.HasPrefix(what, "#") && isID(what[1:], "CGD"):
			if label == "" {
				label = what[1:]
			}
			b.WriteString("#" + strings.TrimPrefix(label, "#"))
		case what == "!here" || what == "!channel" || what == "!everyone":
			b.WriteString("@" + what[1:])
		case strings.HasPrefix(what, "!"):
			// <!date^…|fallback> and whatever comes after it
			if label == "" {
				label = unescaper.Replace(what[1:])
			}
			b.WriteString(label)
		case link(what):
			b.WriteString(linkText(unescaper.Replace(what), label))
		default:
			b.WriteString(unescaper.Replace("<" + inner + ">"))
		}
	}
	b.WriteString(unescaper.Replace(rest))
	out.text = strings.TrimRight(b.String(), " \t\n\r")
	return out
}

func (p *plainText) mention(b *strings.Builder, shown string, m bot.Mention) {
	m.Start = b.Len()
	b.WriteString(shown)
	m.End = b.Len()
	p.mentions = append(p.mentions, m)
}

func link(s string) bool {
	for _, scheme := range []string{"https://", "http://", "mailto:", "tel:", "slack://", "ftp://"} {
		if strings.HasPrefix(s, scheme) {
			return true
		}
	}
	return false
}

// linkText keeps both a link's label and where it leads, unless one says the other.
func linkText(target, label string) string {
	switch {
	case label == "" || label == target:
		return target
	case strings.HasPrefix(target, "mailto:") || strings.HasPrefix(target, "tel:"):
		return label
	case strings.HasSuffix(strings.TrimSuffix(target, "/"), strings.TrimSuffix(label, "/")):
		return label // Slack's own link on "example.com"
	}
	return label + " (" + target + ")"
}

// escape makes text safe where Slack reads markup: nothing in it is a mention,
// a channel or a link any more.
func escape(s string) string { return escaper.Replace(clean(s)) }

// clean drops what no text needs and what can hide or turn other text around:
// NUL, controls, and the marks that change the direction of writing.
func clean(s string) string {
	bad := func(r rune) bool {
		return r < 0x20 && r != '\n' && r != '\t' || r == 0x7f || r == utf8.RuneError ||
			r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	}
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return -1
		}
		return r
	}, s)
}

// length counts as Slack's clients do, in UTF-16 units: the strictest of the ways to count.
func length(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x10000 {
			n++
		}
	}
	return n
}

// cut shortens s to at most limit units and says so with an ellipsis. It does
// not cut inside a rune, before a mark that belongs to the one before, or
// inside an emoji that is joined of several.
func cut(s string, limit int) string {
	if len(s) <= limit || length(s) <= limit {
		return s
	}
	n, end, joined := 0, 0, false
	for i, r := range s {
		if !joined && !combining(r) {
			end = i
		}
		joined = r == 0x200d
		if n += length(string(r)); n > limit-1 {
			break
		}
	}
	return strings.TrimRight(s[:end], " \n") + "…"
}

func combining(r rune) bool {
	return r == 0x200d || r >= 0x300 && r <= 0x36f || r >= 0xfe00 && r <= 0xfe0f || r >= 0x1f3fb && r <= 0x1f3ff || r >= 0x20d0 && r <= 0x20ff
}
