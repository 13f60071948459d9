package wecomtest

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"context"

	"github.com/gorilla/websocket"
)

// The robot's long connection: https://developer.work.weixin.qq.com/document/path/101463

func encodeKey(key []byte) string { return base64.StdEncoding.EncodeToString(key) }

// link is one connection.
type link struct {
	ws    *websocket.Conn
	mu    sync.Mutex // guards writes and pongs
	pongs map[string]chan struct{}
	n     int
	done  chan struct{}
	once  sync.Once
}

func (l *link) close() {
	l.once.Do(func() { close(l.done) })
	if err := l.ws.Close(); err != nil {
		return // closed by the other side
	}
}

func (l *link) send(v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ws.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	return l.ws.WriteJSON(v)
}

func (l *link) raw(words string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ws.WriteMessage(websocket.TextMessage, []byte(words))
}

// frame is what goes over the connection, either way.
type frame struct {
	Cmd     string  `json:"cmd,omitempty"`
	Headers headers `json:"headers"`
	Body    any     `json:"body,omitempty"`
}

type headers struct {
	ReqID string `json:"req_id"`
}

func (s *Server) serveLink(w http.ResponseWriter, r *http.Request) {
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered already
	}
	l := &link{ws: ws, pongs: map[string]chan struct{}{}, done: make(chan struct{})}
	ws.SetReadLimit(4 << 20)
	ws.SetPongHandler(func(id string) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if wait := l.pongs[id]; wait != nil {
			delete(l.pongs, id)
			close(wait)
		}
		return nil
	})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		l.close()
		return
	}
	s.links = append(s.links, l)
	s.mu.Unlock()
	defer s.remove(l)
	for {
		_, b, err := ws.ReadMessage()
		if err != nil {
			return
		}
		var f struct {
			Cmd     string  `json:"cmd"`
			Headers headers `json:"headers"`
			Body    object  `json:"body"`
		}
		if err := json.Unmarshal(b, &f); err != nil {
			return // whoever speaks no JSON is cut off
		}
		if !s.command(l, f.Cmd, f.Headers.ReqID, f.Body) {
			return
		}
	}
}

// remove ends a connection.
func (s *Server) remove(l *link) {
	s.mu.Lock()
	s.links = slices.DeleteFunc(s.links, func(other *link) bool { return other == l })
	if s.link == l {
		s.link = nil
	}
	s.signal()
	s.mu.Unlock()
	l.close()
}

// command does what a frame asks and acknowledges it; false ends the connection.
func (s *Server) command(l *link, cmd, id string, body object) bool {
	s.mu.Lock()
	s.calls[cmd]++
	live := s.link == l
	s.mu.Unlock()
	f := s.fault(cmd)
	if f == nil {
		f = &Fault{}
	}
	ack := object{"headers": object{"req_id": id}}
	err := f.refusal()
	switch f.Kind {
	case CutBefore, ServerError:
		return false
	case Empty:
		return l.send(object{}) == nil
	case NotJSON:
		return l.raw("<html></html>") == nil
	}
	if err == nil {
		var answer object
		switch {
		case cmd == "aibot_subscribe":
			err = s.subscribe(l, body)
		case !live:
			err = refuse{code: 40001, text: "not subscribed"}
		default:
			answer, err = s.obey(cmd, id, body)
		}
		if answer != nil {
			ack["body"] = answer
		}
	}
	if err != nil {
		s.tell(ack, err, nil)
	} else {
		ack["errcode"], ack["errmsg"] = 0, "ok"
	}
	switch f.Kind {
	case CutAfter:
		return false
	case Silent:
		return true
	case HalfAnswer:
		return l.raw(`{"headers":{"req_id":"`+id) == nil
	case Warned:
		ack["errmsg"] = "ok. Warning: wrong json format. "
	case Slow:
		s.work.Go(func() {
			t := time.NewTimer(f.Delay)
			defer t.Stop()
			select {
			case <-t.C:
				if err := l.send(ack); err != nil {
					return // nobody waits for it any more
				}
			case <-l.done:
			case <-s.ctx.Done():
			}
		})
		return true
	}
	if l.send(ack) != nil {
		return false
	}
	return cmd != "aibot_subscribe" || err == nil
}

// subscribe makes a connection the robot's only one: the one before is told and ended.
func (s *Server) subscribe(l *link, body object) error {
	s.mu.Lock()
	if text(body, "bot_id") != s.opt.Robot || text(body, "secret") != s.opt.RobotSecret {
		s.mu.Unlock()
		return no(40001)
	}
	old := s.link
	s.link = l
	s.subscribed++
	id := s.id("REQ")
	gone := frame{Cmd: "aibot_event_callback", Headers: headers{id}, Body: object{
		"msgid": s.id("CAIQ"), "create_time": s.opt.Now().Unix(), "aibotid": s.opt.Robot, "msgtype": "event", "event": object{"eventtype": "disconnected_event"},
	}}
	s.signal()
	s.mu.Unlock()
	if old != nil && old != l {
		if err := old.send(gone); err != nil {
			return nil // it was gone already
		}
		s.remove(old)
	}
	return nil
}

// replyable is how long a callback can be answered.
const replyable = 24 * time.Hour

// obey does what a subscribed robot asks.
func (s *Server) obey(cmd, id string, body object) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.requests[id]
	now := s.opt.Now()
	switch cmd {
	case "ping":
		return nil, nil
	case "aibot_respond_msg":
		if r == nil || r.kind == "feedback_event" || now.Sub(r.at) >= replyable {
			return nil, no(846605)
		}
		// What was said or pressed can be answered with a message.
		_, err := s.robotReply(&request{kind: "message", user: r.user, conv: r.conv, message: r.message, at: r.at}, body, cmd, false)
		return nil, err
	case "aibot_respond_welcome_msg":
		if r == nil || r.kind != "enter_chat" || r.spent || now.Sub(r.at) > instant {
			return nil, no(846605)
		}
		r.spent = true
		_, err := s.robotReply(r, body, cmd, false)
		return nil, err
	case "aibot_respond_update_msg":
		if r == nil || r.kind != "template_card_event" || r.spent || now.Sub(r.at) > instant {
			return nil, no(846605)
		}
		if err := s.repaintRobot(r, body, cmd); err != nil {
			return nil, err
		}
		r.spent = true
		return nil, nil
	case "aibot_send_msg":
		return nil, s.push(cmd, body)
	case "aibot_upload_media_init":
		return s.uploadInit(body)
	case "aibot_upload_media_chunk":
		return nil, s.uploadChunk(body)
	case "aibot_upload_media_finish":
		return s.uploadFinish(body)
	}
	return nil, because(40058, "cmd %q", cmd)
}

// push is a message of the robot's own accord. It needs s.mu.
func (s *Server) push(cmd string, body object) error {
	conv := text(body, "chatid")
	kind, ok := number(body, "chat_type")
	g := s.groups[conv]
	switch {
	case !ok || kind < 0 || kind > 2:
		return because(40058, "chat_type")
	case g != nil && kind != 1:
		if g.Gone {
			return no(93006)
		}
	case s.users[conv] != nil && kind != 2:
		conv = RobotChat(conv)
	default:
		return no(93006)
	}
	if !s.chat(conv).talked {
		return no(93006)
	}
	m, err := s.compose(body, OnRobot, []string{"markdown", "template_card", "image", "voice", "video", "file"})
	if err != nil {
		return err
	}
	if s.tooMany("chat "+conv, 30, 1000) {
		return no(45009)
	}
	if err := s.newTask(m); err != nil {
		return err
	}
	m.ID, m.Conv = s.id("CAIQ"), conv
	s.put(m)
	s.arrived(cmd, m, m.Card)
	return nil
}

// upload is a file that comes in pieces.
type upload struct {
	kind, name, sum string
	size            int
	chunks          [][]byte // by index; a client may count from 0 or from 1
	base            int
	until           time.Time
}

func (s *Server) uploadInit(body object) (object, error) {
	size, okSize := number(body, "total_size")
	n, okChunks := number(body, "total_chunks")
	limit, known := most[text(body, "type")]
	sum, err := hex.DecodeString(text(body, "md5"))
	switch {
	case !known:
		return nil, no(40004)
	case !okSize || !okChunks || n < 1 || n > 100 || size < 6 || text(body, "filename") == "":
		return nil, no(40058)
	case size > limit:
		return nil, no(45001)
	case err != nil || len(sum) != md5.Size:
		return nil, because(40058, "md5")
	}
	if s.tooMany("uploads", 30, 1000) {
		return nil, no(45009)
	}
	id := s.id("U")
	s.uploads[id] = &upload{kind: text(body, "type"), name: text(body, "filename"), sum: text(body, "md5"), size: size, chunks: make([][]byte, n+1), base: 1, until: s.opt.Now().Add(30 * time.Minute)}
	return object{"upload_id": id}, nil
}

// uploading needs s.mu.
func (s *Server) uploading(body object) (*upload, error) {
	u := s.uploads[text(body, "upload_id")]
	if u == nil || !s.opt.Now().Before(u.until) {
		return nil, because(40058, "upload_id")
	}
	return u, nil
}

func (s *Server) uploadChunk(body object) error {
	u, err := s.uploading(body)
	if err != nil {
		return err
	}
	i, ok := number(body, "chunk_index")
	b, err := base64.StdEncoding.DecodeString(text(body, "base64_data"))
	switch {
	case !ok || i < 0 || i >= len(u.chunks):
		return because(40058, "chunk_index")
	case err != nil || len(b) == 0:
		return because(40058, "base64_data")
	case len(b) > 512<<10:
		return no(45001)
	}
	if i == 0 {
		u.base = 0
	}
	u.chunks[i] = b
	return nil
}

func (s *Server) uploadFinish(body object) (object, error) {
	u, err := s.uploading(body)
	if err != nil {
		return nil, err
	}
	var whole []byte
	for _, b := range u.chunks[u.base : u.base+len(u.chunks)-1] {
		if b == nil {
			return nil, because(40058, "a chunk is missing")
		}
		whole = append(whole, b...)
	}
	if sum := md5.Sum(whole); len(whole) != u.size || hex.EncodeToString(sum[:]) != u.sum {
		return nil, because(40058, "md5 or total_size does not match")
	}
	delete(s.uploads, text(body, "upload_id"))
	f := &File{ID: s.id("media"), Type: u.kind, Name: u.name, Content: whole, Created: s.opt.Now(), robot: true}
	s.files[f.ID] = f
	return object{"type": f.Type, "media_id": f.ID, "created_at": f.Created.Unix()}, nil
}

// Connected reports whether the robot has a connection.
func (s *Server) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link != nil
}

// AwaitRobot waits until the robot has a connection.
func (s *Server) AwaitRobot(ctx context.Context) error { return s.Await(ctx, s.Connected) }

// Subscriptions says how often the robot has subscribed.
func (s *Server) Subscriptions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subscribed
}

// Frames says how many callbacks were sent over connections of the robot's.
func (s *Server) Frames() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// Links says how many connections are open, subscribed or not.
func (s *Server) Links() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links)
}

// Frame sends any text over the robot's connection, well-formed or not.
func (s *Server) Frame(words string) error {
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l == nil {
		return errNoHook
	}
	return l.raw(words)
}

// Cut ends all connections without a word.
func (s *Server) Cut() {
	s.mu.Lock()
	links := slices.Clone(s.links)
	s.mu.Unlock()
	for _, l := range links {
		s.remove(l)
	}
}

// frame is what carries a callback over the connection.
func (e event) frame() frame {
	return frame{Cmd: e.cmd, Headers: headers{e.req.id}, Body: json.RawMessage(e.plain)}
}

// overLink sends a callback over the connection. Nobody acknowledges it there:
// it counts as delivered once the robot reads on, which a ping behind it tells.
// What the robot does with it may still be under way then.
func (s *Server) overLink(e event) Answer {
	a := Answer{Kind: e.kind}
	ctx, cancel := context.WithTimeout(s.ctx, s.opt.Deadline)
	defer cancel()
	if err := s.AwaitRobot(ctx); err != nil {
		a.Err = errNoHook
		return a
	}
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l == nil {
		a.Err = errNoRead
		return a
	}
	start := time.Now()
	if a.Err = l.send(e.frame()); a.Err != nil {
		return a
	}
	s.mu.Lock()
	s.sent++
	s.mu.Unlock()
	read := make(chan struct{})
	l.mu.Lock()
	l.n++
	id := e.req.id + string(rune('a'+l.n%26))
	l.pongs[id] = read
	err := l.ws.WriteControl(websocket.PingMessage, []byte(id), time.Now().Add(time.Second))
	l.mu.Unlock()
	if err != nil {
		a.Err = err
		return a
	}
	select {
	case <-read:
		a.Status = http.StatusOK
	case <-l.done:
		a.Err = errNoRead
	case <-ctx.Done():
		a.Err = errNoRead
	}
	a.Latency = time.Since(start)
	return a
}
