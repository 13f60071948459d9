package bot

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// Delivery is one recorded request of a platform: what came in, for which
// install, and when.
type Delivery struct {
	Install Install
	At      time.Time // our clock when it came
	Raw     Raw
}

// ErrBadDelivery is returned for a recording that cannot be read.
var ErrBadDelivery = errors.New("not a recorded delivery")

// ReadDelivery reads a recording: a txtar archive whose comment has a line
// "received: 2023-11-14T22:13:20Z" and whose file "request" is the request as
// it stood on the wire:
//
//	POST /hooks/slack/default
//	Content-Type: application/json
//
//	{"type":"url_verification","challenge":"abc"}
//
// A frame of a connection that we opened has SOCKET in place of the method. The
// one newline that ends the file is not part of the body.
func ReadDelivery(data []byte) (Delivery, error) {
	var d Delivery
	archive := txtar.Parse(data)
	for line := range strings.Lines(string(archive.Comment)) {
		if s, ok := strings.CutPrefix(line, "received:"); ok {
			at, err := time.Parse(time.RFC3339, strings.TrimSpace(s))
			if err != nil {
				return d, fmt.Errorf("received: %w", ErrBadDelivery)
			}
			d.At = at
		}
	}
	for _, f := range archive.Files {
		if f.Name == "request" {
			return d, d.read(bytes.TrimSuffix(f.Data, []byte("\n")))
		}
	}
	return d, fmt.Errorf("no file named request: %w", ErrBadDelivery)
}

func (d *Delivery) read(data []byte) error {
	lines := bufio.NewReader(bytes.NewReader(data))
	first, err := lines.ReadString('\n')
	if err != nil {
		return fmt.Errorf("first line: %w", ErrBadDelivery)
	}
	method, target, _ := strings.Cut(strings.TrimSpace(first), " ")
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return fmt.Errorf("address: %w", ErrBadDelivery)
	}
	parts := strings.SplitN(strings.TrimPrefix(u.Path, "/hooks/"), "/", 3)
	if len(parts) < 2 || !strings.HasPrefix(u.Path, "/hooks/") {
		return fmt.Errorf("address %q is not /hooks/<platform>/<install>: %w", u.Path, ErrBadDelivery)
	}
	d.Install = Install{Platform: parts[0], Name: parts[1]}
	if len(parts) == 3 {
		d.Raw.Path = parts[2]
	}
	d.Raw.Method, d.Raw.Query = method, u.Query()
	if method == "SOCKET" {
		d.Raw.Method, d.Raw.Socket = "", true
	}
	header, err := textproto.NewReader(lines).ReadMIMEHeader()
	if err != nil {
		return fmt.Errorf("headers: %w", ErrBadDelivery)
	}
	d.Raw.Header = http.Header(header)
	if d.Raw.Body, err = io.ReadAll(lines); err != nil {
		return fmt.Errorf("body: %w", ErrBadDelivery)
	}
	return nil
}

// FormatInbound writes what a request means as JSON for people: what is empty
// is left out, and accounts and places are short text.
func FormatInbound(in Inbound) ([]byte, error) {
	type mention struct {
		User  string `json:"user"`
		Name  string `json:"name,omitempty"`
		At    [2]int `json:"at"`
		Group bool   `json:"group,omitempty"`
	}
	type file struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name,omitempty"`
		Type string `json:"type,omitempty"`
		Size int64  `json:"size,omitempty"`
		URL  string `json:"url,omitempty"`
	}
	type event struct {
		ID        string            `json:"id"`
		Kind      Kind              `json:"kind"`
		At        time.Time         `json:"at,omitzero"`
		User      string            `json:"user,omitempty"`
		UserName  string            `json:"user_name,omitempty"`
		Guest     bool              `json:"guest,omitempty"`
		Conv      string            `json:"conv,omitempty"`
		Private   bool              `json:"private,omitempty"`
		Message   MessageRef        `json:"message,omitempty"`
		Thread    MessageRef        `json:"thread,omitempty"`
		Quote     MessageRef        `json:"quote,omitempty"`
		QuoteText string            `json:"quote_text,omitempty"`
		Text      string            `json:"text,omitempty"`
		ToBot     bool              `json:"to_bot,omitempty"`
		Mentions  []mention         `json:"mentions,omitempty"`
		Files     []file            `json:"files,omitempty"`
		Token     string            `json:"token,omitempty"`
		Value     string            `json:"value,omitempty"`
		Values    map[string]string `json:"values,omitempty"`
		Emoji     string            `json:"emoji,omitempty"`
		Trigger   string            `json:"trigger,omitempty"`
		Respond   string            `json:"respond,omitempty"`
		Locale    string            `json:"locale,omitempty"`
	}
	out := struct {
		Kind   string  `json:"kind"`
		Echo   string  `json:"echo,omitempty"`
		Events []event `json:"events,omitempty"`
	}{Kind: in.Kind, Echo: in.Echo}
	for _, e := range in.Events {
		x := event{
			ID: e.ID, Kind: e.Kind, At: e.At, UserName: e.UserName, Guest: e.Guest, Private: e.Private, Message: e.Message, Thread: e.Thread,
			Quote: e.Quote, QuoteText: e.QuoteText, Text: e.Text, ToBot: e.ToBot, Token: e.Token, Value: e.Value, Values: e.Values,
			Emoji: e.Emoji, Trigger: e.Trigger, Respond: e.Respond, Locale: e.Locale,
		}
		if !e.User.IsZero() {
			x.User = e.User.String()
		}
		if !e.Conv.IsZero() {
			x.Conv = e.Conv.String()
		}
		for _, m := range e.Mentions {
			x.Mentions = append(x.Mentions, mention{m.User.String(), m.Name, [2]int{m.Start, m.End}, m.Group})
		}
		for _, f := range e.Files {
			x.Files = append(x.Files, file(f))
		}
		out.Events = append(out.Events, x)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return nil, fmt.Errorf("format events: %w", err)
	}
	return b.Bytes(), nil
}
