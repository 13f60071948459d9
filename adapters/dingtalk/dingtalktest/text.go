package dingtalktest

import (
	"regexp"
	"slices"
	"strings"
)

// Live is what in a message does something by itself when a client shows it.
type Live struct {
	At     []string // people who are notified
	All    bool     // everybody is
	Links  []string // addresses that a tap opens, of text and buttons
	Images []string // addresses that are loaded without a tap
	Format []string // what is drawn as a heading, a quote, bold, a list … instead of being read
}

var (
	imageForm  = regexp.MustCompile(`!\[[^\]]*\]\(([^)\s]*)[^)]*\)`)
	linkForm   = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]*)[^)]*\)`)
	urlForm    = regexp.MustCompile(`(?i)\b(?:https?|dingtalk|ftp)://[^\s<>)\]]+|\bwww\.[^\s<>)\]]+`)
	tagForm    = regexp.MustCompile(`</?[A-Za-z][^<>]*>`)
	atForm     = regexp.MustCompile(`(?i)<a\s+atId=["']?([^"'>\s]+)["']?\s*>`)
	strongForm = regexp.MustCompile(`\*\*[^*\n]+\*\*|__[^_\n]+__|~~[^~\n]+~~|\*[^*\s][^*\n]*\*`)
	codeForm   = regexp.MustCompile("`[^`\n]+`")
	lineForm   = regexp.MustCompile(`(?m)^ {0,3}(?:#{1,6} .*|>.*|[-*+] .*|\d{1,9}[.)] .*|-{3,}\s*$|={3,}\s*$|\*{3,}\s*$|\|.*\|)`)
	escaped    = regexp.MustCompile("\\\\([!-/:-@\\[-`{-~])")
)

// Markdown is what is alive in a markdown text
// (https://open.dingtalk.com/document/development/robot-message-type). A
// backslash takes a mark's meaning away.
func Markdown(text string) Live {
	text = escaped.ReplaceAllStringFunc(text, func(s string) string {
		if strings.ContainsAny(s[1:], ":/.") {
			return s[1:] // not marks: an address stays one
		}
		return "\u2060"
	})
	var l Live
	for _, m := range imageForm.FindAllStringSubmatch(text, -1) {
		l.Images = append(l.Images, m[1])
	}
	text = imageForm.ReplaceAllString(text, "")
	for _, m := range linkForm.FindAllStringSubmatch(text, -1) {
		l.Links = append(l.Links, m[1])
	}
	text = linkForm.ReplaceAllString(text, "")
	l.Links = append(l.Links, urlForm.FindAllString(text, -1)...)
	for _, form := range []*regexp.Regexp{tagForm, strongForm, codeForm, lineForm} {
		l.Format = append(l.Format, form.FindAllString(text, -1)...)
	}
	return l
}

// Plain is what is alive in a text without markdown: addresses become links.
func Plain(text string) Live { return Live{Links: urlForm.FindAllString(text, -1)} }

// markdownKinds are the kinds of messages whose text is markdown.
func markdown(kind string) bool {
	return kind == "markdown" || kind == "sampleMarkdown" || strings.HasPrefix(kind, "sampleActionCard") || kind == "actionCard"
}

// Live is what a message mentions, links, loads and formats.
func (m Message) Live() Live {
	l := Plain(m.Text)
	if markdown(m.Kind) {
		l = Markdown(m.Text)
	}
	for _, b := range m.Buttons {
		l.Links = append(l.Links, b.URL)
	}
	l.At, l.All = m.At, m.AtAll
	return l
}

// CardLive is what a card mentions and links, by its variables: they are drawn
// as plain text, but for the marks that mention people.
func (s *Server) CardLive(outTrackID string) Live {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cards[outTrackID]
	if c == nil {
		return Live{}
	}
	var l Live
	for _, m := range c.shown {
		l.All = l.All || m.AtAll
		l.At = append(l.At, m.At...)
	}
	for _, name := range []string{"title", "badges", "body", "note"} {
		for k, v := range c.public {
			if b, _ := base(k); b != name {
				continue
			}
			l.Links = append(l.Links, urlForm.FindAllString(v, -1)...)
			for _, m := range atForm.FindAllStringSubmatch(v, -1) {
				if slices.Contains(c.at, m[1]) {
					l.At = append(l.At, m[1])
				}
			}
		}
	}
	slices.Sort(l.At)
	l.At = slices.Compact(l.At)
	return l
}
