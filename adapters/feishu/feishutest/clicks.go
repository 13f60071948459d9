package feishutest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Clicks makes the bodies of many presses of one button cheaply, for load: with
// no lock, and with what is the same in all prepared once.
type Clicks struct {
	key   string
	block cipher.Block
	form  []string // JSON between what differs
	parts []string // what differs: USER, TOKEN, STAMP
}

// Clicks prepares presses of a button of a card that is shown. What differs
// between them is the longest text that the button carries.
func (s *Server) Clicks(id, what string) (*Clicks, error) {
	s.mu.Lock()
	m := s.messages[id]
	var user string
	if m != nil {
		for u := range s.chats[m.Chat].Members {
			if u != s.opt.Bot {
				user = u
			}
		}
	}
	token, ev, err := s.pressEvent(user, id, what, "")
	delete(s.cardTokens, token) // a made-up one stands in its place
	head := s.header(cardAction)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	act, _ := ev["action"].(object)
	if act["value"], err = swap(act["value"]); err != nil {
		return nil, err
	}
	head["event_id"], head["create_time"], ev["token"] = "e\x00STAMP", "\x00STAMP", "c-\x00STAMP"
	ev["operator"] = object{"open_id": "\x00USER", "union_id": "on_\x00USER", "user_id": "\x00USER", "tenant_key": s.opt.Tenant}
	b, err := json.Marshal(object{"schema": "2.0", "header": head, "event": ev})
	if err != nil {
		return nil, err
	}
	c := &Clicks{key: s.opt.EncryptKey}
	rest := string(b)
	for {
		before, after, ok := strings.Cut(rest, `\u0000`)
		c.form = append(c.form, before)
		if !ok {
			break
		}
		for _, name := range []string{"USER", "TOKEN", "STAMP"} {
			if tail, ok := strings.CutPrefix(after, name); ok {
				c.parts, rest = append(c.parts, name), tail
			}
		}
	}
	sum := sha256.Sum256([]byte(c.key))
	if c.block, err = aes.NewCipher(sum[:]); err != nil {
		return nil, err
	}
	return c, nil
}

// swap puts the token's place into the longest text that a button carries.
func swap(value any) (any, error) {
	o, ok := value.(object)
	longest := ""
	for k, v := range o {
		text, _ := v.(string)
		was, _ := o[longest].(string)
		if len(text) > len(was) || len(text) == len(was) && text != "" && k < longest {
			longest = k
		}
	}
	if !ok || longest == "" {
		return nil, fmt.Errorf("the button carries no text: %v", value)
	}
	out := maps.Clone(o)
	out[longest] = "\x00TOKEN"
	return out, nil
}

// Body is the body of one press: by a user, with a token, at a moment that no
// other press of this user has ("1700000000000100", microseconds). None of them
// may need escaping in JSON.
func (c *Clicks) Body(user, token, stamp string) []byte {
	var b strings.Builder
	for i, piece := range c.form {
		b.WriteString(piece)
		if i < len(c.parts) {
			switch c.parts[i] {
			case "USER":
				b.WriteString(user)
			case "TOKEN":
				b.WriteString(token)
			case "STAMP":
				b.WriteString(stamp)
			}
		}
	}
	if c.key == "" {
		return []byte(b.String())
	}
	const head, tail = `{"encrypt":"`, `"}`
	iv := sha256.Sum256([]byte(user + stamp)) // differs with each: cheap, and enough for load
	pad := aes.BlockSize - b.Len()%aes.BlockSize
	raw := make([]byte, aes.BlockSize+b.Len()+pad)
	copy(raw, iv[:aes.BlockSize])
	copy(raw[aes.BlockSize:], b.String())
	for i := len(raw) - pad; i < len(raw); i++ {
		raw[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(c.block, raw[:aes.BlockSize]).CryptBlocks(raw[aes.BlockSize:], raw[aes.BlockSize:])
	out := make([]byte, len(head)+base64.StdEncoding.EncodedLen(len(raw))+len(tail))
	copy(out, head)
	base64.StdEncoding.Encode(out[len(head):], raw)
	copy(out[len(out)-len(tail):], tail)
	return out
}

// Sign returns the headers for a body.
func (c *Clicks) Sign(at time.Time, body []byte) http.Header {
	stamp := strconv.FormatInt(at.UnixNano(), 36)
	return Sign(c.key, strconv.FormatInt(at.Unix(), 10), stamp, body)
}
