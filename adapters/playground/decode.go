package playground

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/paidan/paidan/bot"
)

// frame is one event on its way from the chat server to the bot.
type frame struct {
	ID       string            `json:"id"`
	Install  string            `json:"install"`
	Type     string            `json:"type"`
	At       int64             `json:"at"` // µs
	User     string            `json:"user"`
	Name     string            `json:"name"`
	Conv     string            `json:"conv"`
	Private  bool              `json:"private"`
	Message  int64             `json:"message,omitempty"`
	Thread   int64             `json:"thread,omitempty"`
	Text     string            `json:"text,omitempty"`
	ToBot    bool              `json:"to_bot,omitempty"`
	Mentions []mention         `json:"mentions,omitempty"`
	Files    []fileInfo        `json:"files,omitempty"`
	Token    string            `json:"token,omitempty"`
	Value    string            `json:"value,omitempty"`
	Values   map[string]string `json:"values,omitempty"`
	Emoji    string            `json:"emoji,omitempty"`
	Author   string            `json:"author,omitempty"` // of the message that is reacted to
	Locale   string            `json:"locale,omitempty"`
}

type mention struct {
	User  string `json:"user"`
	Name  string `json:"name"`
	Start int    `json:"start"`
	End   int    `json:"end"`
}

type fileInfo struct {
	ID   string `json:"id" db:"id"`
	Name string `json:"name" db:"name"`
	Type string `json:"type" db:"type"`
	Size int64  `json:"size" db:"size"`
}

var frameKeys = []string{"id", "install", "type", "at", "user", "name", "conv", "private", "message", "thread", "text",
	"to_bot", "mentions", "files", "token", "value", "values", "emoji", "author", "locale"}

var kinds = map[string]bot.Kind{
	"message": bot.Message, "edited": bot.Edited, "deleted": bot.Deleted, "slash": bot.Slash, "click": bot.Click,
	"submit": bot.Submit, "reload": bot.Reload, "shortcut": bot.Shortcut, "reacted": bot.Reacted,
	"unreacted": bot.Unreacted, "home": bot.HomeOpened,
}

// Decode reads one event. A type that it does not know is no event and no error.
func (a *Adapter) Decode(_ bot.Raw, plain []byte) (bot.Inbound, error) {
	var f frame
	if err := decodeStrict(plain, &f, frameKeys); err != nil {
		return bot.Inbound{}, fmt.Errorf("%w: %w", bot.ErrMalformed, err)
	}
	kind, ok := kinds[f.Type]
	if !ok {
		return bot.Inbound{Kind: "unknown"}, nil
	}
	if f.ID == "" || f.User == "" || f.Conv == "" || f.Install != a.cfg.Name || f.At <= 0 || f.Message < 0 || f.Thread < 0 {
		return bot.Inbound{}, fmt.Errorf("%w: a field is missing or of another install", bot.ErrMalformed)
	}
	ev := bot.Event{
		ID: f.ID, Kind: kind, At: time.UnixMicro(f.At).UTC(),
		User: a.user(f.User), UserName: f.Name, Conv: a.conv(f.Conv), Private: f.Private,
		Message: ref(f.Message), Thread: ref(f.Thread), Text: f.Text, ToBot: f.ToBot,
		Token: f.Token, Value: f.Value, Values: f.Values, Emoji: f.Emoji, Trigger: f.ID, Locale: f.Locale,
	}
	if f.Author != "" {
		ev.Author = a.user(f.Author)
	}
	for _, m := range f.Mentions {
		if m.Start < 0 || m.Start > m.End || m.End > len(f.Text) {
			return bot.Inbound{}, fmt.Errorf("%w: a mention lies outside of the text", bot.ErrMalformed)
		}
		ev.Mentions = append(ev.Mentions, bot.Mention{User: a.user(m.User), Name: m.Name, Start: m.Start, End: m.End})
	}
	for _, x := range f.Files {
		ev.Files = append(ev.Files, bot.File{ID: x.ID, Name: x.Name, Type: x.Type, Size: x.Size})
	}
	return bot.Inbound{Events: []bot.Event{ev}, Kind: f.Type}, nil
}

func (a *Adapter) user(id string) bot.UserRef { return bot.UserRef{Install: a.install, ID: id} }
func (a *Adapter) conv(id string) bot.ConvRef { return bot.ConvRef{Install: a.install, ID: id} }

// ref is a message's reference; 0 is no message.
func ref(id int64) bot.MessageRef {
	if id == 0 {
		return ""
	}
	return bot.MessageRef("m" + strconv.FormatInt(id, 10))
}

var refForm = regexp.MustCompile(`^m[1-9][0-9]{0,17}$`)

// parseRef reads what ref wrote; "" is 0.
func parseRef(r bot.MessageRef) (int64, error) {
	if r == "" {
		return 0, nil
	}
	if !refForm.MatchString(string(r)) {
		return 0, fmt.Errorf("%q is no reference of the playground: %w", r, bot.ErrRejected)
	}
	n, err := strconv.ParseInt(string(r[1:]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read reference: %w", bot.ErrRejected)
	}
	return n, nil
}

// maxDepth is how deep JSON may be nested.
const maxDepth = 32

// decodeStrict reads exactly one JSON object into v: every key at its top is one
// of keys, spelled so, and no object anywhere has a key twice. The standard
// decoder would accept other cases and let the last of two keys win, which lets
// two readers of the same bytes disagree. NUL is refused because PostgreSQL
// cannot store it.
func decodeStrict(data []byte, v any, keys []string) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := walk(d, 0, keys); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	d = json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func walk(d *json.Decoder, depth int, keys []string) error {
	if depth > maxDepth {
		return errors.New("nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return err
	}
	if s, ok := t.(string); ok && strings.ContainsRune(s, 0) {
		return errors.New("contains NUL")
	}
	open, ok := t.(json.Delim)
	if depth == 0 && open != '{' {
		return errors.New("not an object")
	}
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			k, err := d.Token()
			if err != nil {
				return err
			}
			key, _ := k.(string)
			if seen[key] || strings.ContainsRune(key, 0) || depth == 0 && !slices.Contains(keys, key) {
				return fmt.Errorf("key %.40q is unknown or there twice", key)
			}
			seen[key] = true
			if len(seen) > 64 {
				return errors.New("too many keys")
			}
		}
		if err := walk(d, depth+1, nil); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
