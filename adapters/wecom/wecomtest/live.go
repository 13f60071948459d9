package wecomtest

import (
	"regexp"
	"strings"
)

var (
	markdownCode    = regexp.MustCompile("`[^`\n]+`")
	markdownLink    = regexp.MustCompile(`\[[^\]\n]*\]\(([^)\s]+)[^)\n]*\)`)
	markdownMention = regexp.MustCompile(`<@([^>\s]+)>`)
	markdownFont    = regexp.MustCompile(`<font\s+color=["']?(\w+)`)
	markdownBold    = regexp.MustCompile(`\*\*[^*\n]+\*\*`)
	markdownThink   = regexp.MustCompile(`</?think>`)
	markdownLine    = regexp.MustCompile(`(?m)^\s{0,3}(#{1,6}\s|>)`)
	textAnchor      = regexp.MustCompile(`(?i)<a\s[^>]*href=["']?([^"'>\s]+)`)
	bareURL         = regexp.MustCompile(`https?://[^\s<>"'()\[\]]+`)
)

// Live tells what a message would do besides showing its words: "mention @all",
// "mention zhangsan", "link https://…", "format bold". kind is the msgtype:
// "text", or "markdown" and "stream", whose marks are told at
// https://developer.work.weixin.qq.com/document/path/90236 and …/99110.
func Live(kind, content string) []string {
	var out []string
	links := func(re *regexp.Regexp) {
		for _, m := range re.FindAllStringSubmatch(content, -1) {
			out = append(out, "link "+m[len(m)-1])
		}
		content = re.ReplaceAllString(content, " ")
	}
	if kind == "text" {
		links(textAnchor)
		links(bareURL)
		return out
	}
	content = markdownCode.ReplaceAllString(content, " ") // shown as it stands
	links(markdownLink)
	for _, m := range markdownMention.FindAllStringSubmatch(content, -1) {
		name := m[1]
		if strings.EqualFold(strings.TrimPrefix(name, "@"), "all") {
			name = "@all"
		}
		out = append(out, "mention "+name)
	}
	for _, m := range markdownFont.FindAllStringSubmatch(content, -1) {
		out = append(out, "format colour "+m[1])
	}
	for _, f := range []struct {
		re   *regexp.Regexp
		name string
	}{{markdownBold, "bold"}, {markdownThink, "thinking"}, {markdownLine, "line"}} {
		if f.re.MatchString(content) {
			out = append(out, "format "+f.name)
		}
	}
	links(textAnchor)
	links(bareURL)
	return out
}

// Live tells what the message would do besides showing its words, with whom it
// mentions by its list.
func (m Message) Live() []string {
	var out []string
	for _, n := range m.Named {
		out = append(out, "mention "+n)
	}
	if m.Text != "" {
		out = append(out, Live(m.Type, m.Text)...)
	}
	return out
}
