package feishu

import (
	"mime"
	"path"
	"strings"

	"github.com/paidan/paidan/bot"
)

// said is what a message says.
type said struct {
	text     string
	mentions []bot.Mention
	files    []bot.File
	toBot    bool // it mentioned the bot
}

// said reads the content of a message: JSON within JSON, of a form of its own
// for each type. ok is false for types that say nothing to us.
// https://open.feishu.cn/document/server-docs/im-v1/message-content-description/message_content
func (a *Adapter) said(message string, m value, self string) (out said, ok bool) {
	content := m.at("content").str()
	if content == "" {
		content = m.at("body", "content").str() // as the API tells it
	}
	doc, err := parseJSON([]byte(content))
	if err != nil {
		return said{}, false
	}
	kind := m.at("message_type").str()
	if kind == "" {
		kind = m.at("msg_type").str()
	}
	w := writer{a: a, message: message, self: self, names: map[string]mention{}}
	for _, x := range m.at("mentions").list() {
		id := x.at("id", "open_id").str()
		if id == "" {
			id = x.at("id").str()
		}
		w.names[x.at("key").str()] = mention{id: id, name: clean(x.at("name").str()), bot: x.at("mentioned_type").str() == "bot"}
	}
	switch kind {
	case "text":
		w.text(doc.at("text").str())
	case "post":
		w.post(doc)
	case "image":
		w.file("image", doc.at("image_key").str(), "image")
	case "file":
		w.file("file", doc.at("file_key").str(), doc.at("file_name").str())
	case "audio":
		w.file("file", doc.at("file_key").str(), "audio.opus")
	case "media":
		name := doc.at("file_name").str()
		if name == "" {
			name = "video.mp4"
		}
		w.file("file", doc.at("file_key").str(), name)
	default:
		return said{}, false
	}
	w.out.text = strings.TrimRight(w.b.String(), " \t\n\r")
	for i, m := range w.out.mentions { // a mention at the very end may have ended in a blank
		w.out.mentions[i].End = min(m.End, len(w.out.text))
	}
	return w.out, true
}

type mention struct {
	id, name string
	bot      bool
}

// writer puts the plain text of a message together.
type writer struct {
	a       *Adapter
	message string
	self    string // open_id of the bot; "" = not known yet
	names   map[string]mention
	b       strings.Builder
	out     said
}

// text writes what may hold keys of mentions: "@_user_1 hello".
func (w *writer) text(s string) {
	s = clean(s)
	for s != "" {
		i := strings.Index(s, "@_")
		if i < 0 {
			break
		}
		w.plain(s[:i])
		s = s[i:]
		n := len("@_")
		for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] >= '0' && s[n] <= '9' || s[n] == '_') {
			n++
		}
		// The longest key that is one: "@_user_1" may be followed by a digit.
		for n > 2 && s[:n] != "@_all" && w.names[s[:n]] == (mention{}) {
			n--
		}
		if n > 2 && w.key(s[:n]) {
			s = s[n:]
			continue
		}
		w.plain(s[:2])
		s = s[2:]
	}
	w.plain(s)
}

// plain writes text; what follows the bot's own mention loses its blanks.
func (w *writer) plain(s string) {
	if b := w.b.String(); b == "" || w.out.toBot && (strings.HasSuffix(b, " ") || strings.HasSuffix(b, "\n")) {
		s = strings.TrimLeft(s, " \t\u00a0")
		if b == "" {
			s = strings.TrimLeft(s, " \t\n\r")
		}
	}
	w.b.WriteString(s)
}

// key writes the mention that a key stands for.
func (w *writer) key(key string) bool {
	if key == "@_all" {
		w.plain("@所有人")
		return true
	}
	m, ok := w.names[key]
	if !ok {
		return false
	}
	if w.self != "" && m.id == w.self || w.self == "" && m.bot {
		w.out.toBot = true
		return true
	}
	shown := m.name
	if shown == "" {
		shown = m.id
	}
	start := w.b.Len()
	w.b.WriteString("@" + oneLine(shown))
	if isID(m.id, "ou_") && !m.bot {
		w.out.mentions = append(w.out.mentions, bot.Mention{User: w.a.user(m.id), Name: m.name, Start: start, End: w.b.Len()})
	}
	return true
}

// post writes rich text: a title, and paragraphs of elements.
func (w *writer) post(doc value) {
	if doc.at("content").v == nil { // with its language around it
		for _, lang := range []string{"zh_cn", "en_us", "ja_jp"} {
			if inner := doc.at(lang); inner.object() != nil {
				doc = inner
				break
			}
		}
	}
	if title := clean(doc.at("title").str()); title != "" {
		w.plain(title)
		w.b.WriteByte('\n')
	}
	for i, line := range doc.at("content").list() {
		if i > 0 {
			w.b.WriteByte('\n')
		}
		for _, e := range line.list() {
			w.element(e)
		}
	}
}

func (w *writer) element(e value) {
	switch e.at("tag").str() {
	case "text", "md", "code_block":
		w.text(e.at("text").str())
	case "a":
		label, href := clean(e.at("text").str()), clean(e.at("href").str())
		switch {
		case label == "" || label == href:
			w.plain(href)
		case href == "":
			w.plain(label)
		default: // both: what it says, and where it leads
			w.plain(label + " (" + href + ")")
		}
	case "at":
		key := e.at("user_id").str()
		if !w.key(key) {
			w.plain("@" + oneLine(clean(e.at("user_name").str())))
		}
	case "img":
		w.file("image", e.at("image_key").str(), "image")
	case "media":
		w.file("file", e.at("file_key").str(), "video.mp4")
	case "hr":
		w.b.WriteString("\n")
	}
}

// file adds a file that lies with Feishu. It can be fetched only together with
// the message it came in.
func (w *writer) file(kind, key, name string) {
	if !isFileKey(key) {
		return
	}
	name = oneLine(clean(name))
	f := bot.File{ID: key, Name: name, URL: w.message + "/" + kind + "/" + key}
	if kind != "image" {
		f.Type = mime.TypeByExtension(path.Ext(name))
	}
	w.out.files = append(w.out.files, f)
}

func isFileKey(s string) bool {
	return len(s) <= 256 && (isID(s, "img_") || isID(s, "file_"))
}
