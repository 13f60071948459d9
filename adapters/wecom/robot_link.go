package wecom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/silenceper/wechat/v2/util"

	"github.com/paidan/paidan/bot"
	"github.com/paidan/paidan/cards"
)

// The long connection: https://developer.work.weixin.qq.com/document/path/101463
//
// gorilla/websocket spells its headers "Sec-WebSocket-Key", as the platform's
// gateway insists on.

const (
	maxRobotFrame = 4 << 20
	dialPatience  = 15 * time.Second
	writePatience = 5 * time.Second
)

var (
	errUnsent  = errors.New("not sent")                                   // the platform knows nothing of it
	errTaken   = errors.New("another connection of the robot was opened") // and ours was closed for it
	errSilent  = errors.New("two signs of life were not answered")        // the connection is dead, however open it looks
	errLost    = errors.New("another process has the lease of the robot") // or may have it soon
	errStopped = errors.New("stopped")                                    // by us
	errLate    = errors.New("too late: the platform takes no answer now") // to a press or a first visit
	errRefused = fmt.Errorf("bot id or secret: %w", bot.ErrUnauthorized)  // by subscribe
	errAckLost = fmt.Errorf("answer to a frame lost: %w", bot.ErrUnknown) // it may have been done
)

// link is one open connection.
type link struct {
	r       *robot
	ws      *websocket.Conn
	out     chan outgoing
	ended   chan struct{} // closed when the connection is over
	why     error         // set before ended is closed
	once    sync.Once
	loops   sync.WaitGroup
	counter atomic.Int64
	missed  atomic.Int32 // signs of life without an answer
	full    atomic.Bool  // nothing is read just now: too much is in hand

	mu      sync.Mutex // guards waiting
	waiting map[string]*pending
}

type outgoing struct {
	frame []byte
	sent  chan error
}

// pending is a frame whose answer is waited for. One req_id has one at a time:
// two answers to the same one could not be told apart.
type pending struct {
	ack  chan robotFrame
	done chan struct{} // closed when the next one may go
}

// dial opens a connection that nobody has subscribed on yet.
func (r *robot) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	var shaken []func() bool
	dialer := websocket.Dialer{HandshakeTimeout: dialPatience, Proxy: http.ProxyFromEnvironment}
	if t, ok := r.http.Transport.(*http.Transport); ok && t != nil {
		dialer.Proxy, dialer.TLSClientConfig = t.Proxy, t.TLSClientConfig
	}
	// gorilla/websocket looks at the context's deadline only: an end of ctx ends
	// the handshake by closing what it reads from.
	dialer.NetDialContext = func(dialing context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(dialing, network, address)
		if err == nil {
			release := context.AfterFunc(ctx, func() {
				if err := c.Close(); err != nil {
					r.log.Debug("robot's dial not cut", "error", err)
				}
			})
			shaken = append(shaken, release)
		}
		return c, err
	}
	ws, resp, err := dialer.DialContext(ctx, r.conf.Robot.WSURL, nil)
	for _, release := range shaken {
		if !release() && err == nil {
			return nil, errors.Join(fmt.Errorf("connect: %w", ctx.Err()), ws.Close())
		}
	}
	switch {
	case err == nil:
		ws.SetReadLimit(maxRobotFrame)
		return ws, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("connect: %w", ctx.Err())
	case resp != nil:
		return nil, fmt.Errorf("connect: status %d", resp.StatusCode)
	}
	return nil, errors.New("connect: not reached")
}

// connect opens a connection and subscribes: nothing may be sent before that.
func (r *robot) connect(ctx context.Context, take func(*link, robotFrame, []byte)) (*link, error) {
	ws, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	l := &link{r: r, ws: ws, out: make(chan outgoing), ended: make(chan struct{}), waiting: map[string]*pending{}}
	l.loops.Go(l.write)
	l.loops.Go(func() { l.read(take) })
	if _, err := l.call(ctx, cmdSubscribe, "", object{"bot_id": r.conf.Robot.ID, "secret": r.conf.Robot.Secret}); err != nil {
		l.end(errStopped)
		l.loops.Wait()
		var refused *apiError
		var limited bot.RateLimited
		if errors.As(err, &refused) && !errors.As(err, &limited) {
			return nil, fmt.Errorf("%s: errcode %d: %w", cmdSubscribe, refused.Code, errRefused)
		}
		return nil, err
	}
	l.loops.Go(l.live)
	return l, nil
}

// end closes the connection; the first reason counts.
func (l *link) end(why error) {
	l.once.Do(func() {
		l.why = why
		close(l.ended)
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		if err := l.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second)); err != nil {
			l.r.log.Debug("robot's connection not closed politely", "error", err)
		}
		if err := l.ws.Close(); err != nil {
			l.r.log.Debug("robot's connection not closed", "error", err)
		}
	})
}

// write is the only one who writes frames.
func (l *link) write() {
	for {
		select {
		case <-l.ended:
			return
		case o := <-l.out:
			err := l.ws.SetWriteDeadline(time.Now().Add(writePatience))
			if err == nil {
				err = l.ws.WriteMessage(websocket.TextMessage, o.frame)
			}
			o.sent <- err
			if err != nil {
				l.end(errors.New("write: connection broken"))
				return
			}
		}
	}
}

// read hands callbacks on and answers to whoever waits for them.
func (l *link) read(take func(*link, robotFrame, []byte)) {
	for {
		_, b, err := l.ws.ReadMessage()
		if err != nil {
			l.end(errors.New("read: connection closed"))
			return
		}
		l.missed.Store(0)
		var f robotFrame
		if err := json.Unmarshal(b, &f); err != nil {
			l.r.log.Warn("robot's frame unreadable", "install", l.r.install.String(), "bytes", len(b))
			continue
		}
		switch f.Cmd {
		case "":
			l.acknowledged(f)
		case cmdEvent:
			var e struct {
				Event struct {
					Type string `json:"eventtype"`
				} `json:"event"`
			}
			if json.Unmarshal(f.Body, &e) == nil && e.Event.Type == "disconnected_event" {
				l.end(errTaken)
				return
			}
			take(l, f, b)
		case cmdMessage:
			take(l, f, b)
		default:
			l.r.log.Warn("robot's frame of unknown kind", "install", l.r.install.String(), "bytes", len(b))
		}
	}
}

func (l *link) acknowledged(f robotFrame) {
	l.mu.Lock()
	p := l.waiting[f.Headers.ReqID]
	l.mu.Unlock()
	if p == nil {
		return // a sign of life, or the answer to something given up
	}
	select {
	case p.ack <- f:
	default: // a second answer
	}
}

// live sends a sign of life every now and then.
func (l *link) live() {
	tick := time.NewTicker(l.r.tempo.ping)
	defer tick.Stop()
	for {
		select {
		case <-l.ended:
			return
		case <-tick.C:
		}
		if l.full.Load() {
			l.missed.Store(0) // it is we who do not listen
		}
		if l.missed.Add(1) > 2 {
			l.end(errSilent)
			return
		}
		if err := l.put(context.Background(), cmdPing, l.id(cmdPing), nil); err != nil {
			return // the connection has ended
		}
	}
}

func (l *link) id(cmd string) string {
	return cmd + "_" + strconv.FormatInt(l.counter.Add(1), 10) + "_" + processID()[:8]
}

// put writes a frame. The error wraps errUnsent unless ctx ended.
func (l *link) put(ctx context.Context, cmd, id string, body any) error {
	frame := object{"cmd": cmd, "headers": object{"req_id": id}}
	if body != nil {
		frame["body"] = body
	}
	b, err := encode(frame)
	if err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	o := outgoing{b, make(chan error, 1)}
	select {
	case l.out <- o:
	case <-l.ended:
		return fmt.Errorf("%s: %w: connection closed", cmd, errUnsent)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", cmd, ctx.Err())
	}
	// Half a frame is no frame: what failed here was not done.
	if err := <-o.sent; err != nil {
		return fmt.Errorf("%s: %w: connection broken", cmd, errUnsent)
	}
	return nil
}

// call sends a frame and waits for the answer to it. id is the req_id of what
// is answered; "" = a new one. When no answer comes the outcome is unknown.
func (l *link) call(ctx context.Context, cmd, id string, body any) (json.RawMessage, error) {
	if id == "" {
		id = l.id(cmd)
	}
	p, err := l.claim(ctx, cmd, id)
	if err != nil {
		return nil, err
	}
	defer l.free(id, p)
	if err := l.put(ctx, cmd, id, body); err != nil {
		return nil, err
	}
	late := time.NewTimer(l.r.tempo.ack)
	defer late.Stop()
	select {
	case f := <-p.ack:
		return f.Body, robotVerdict(cmd, f)
	case <-late.C:
		return nil, fmt.Errorf("%s: %w", cmd, errAckLost)
	case <-l.ended:
		select { // the answer may have come with the end
		case f := <-p.ack:
			return f.Body, robotVerdict(cmd, f)
		default:
		}
		return nil, fmt.Errorf("%s: %w", cmd, errAckLost)
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w: %w", cmd, ctx.Err(), errAckLost)
	}
}

// claim waits until nobody else waits for an answer to the same req_id.
func (l *link) claim(ctx context.Context, cmd, id string) (*pending, error) {
	for {
		l.mu.Lock()
		other := l.waiting[id]
		if other == nil {
			p := &pending{ack: make(chan robotFrame, 1), done: make(chan struct{})}
			l.waiting[id] = p
			l.mu.Unlock()
			return p, nil
		}
		l.mu.Unlock()
		select {
		case <-other.done:
		case <-l.ended:
			return nil, fmt.Errorf("%s: %w: connection closed", cmd, errUnsent)
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w", cmd, ctx.Err())
		}
	}
}

func (l *link) free(id string, p *pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, id)
	close(p.done)
}

// robotVerdict says what the answer to a frame means.
func robotVerdict(cmd string, f robotFrame) error {
	if f.Code == nil || *f.Code == 0 {
		return nil
	}
	err := judgeCode(cmd, &util.CommonError{ErrCode: *f.Code, ErrMsg: f.Msg})
	var e *apiError
	if errors.As(err, &e) {
		switch e.Code {
		case 93006: // nobody has talked to the robot there yet, or it was removed
			e.Verdict = bot.ErrMustSpeak
		case 846605, 846608: // the request that is answered is unknown or too old
			e.Verdict = bot.ErrGone
		}
		var limited bot.RateLimited
		if errors.As(e.Verdict, &limited) && cmd == cmdSend {
			limited.All = false // counted by conversation
			e.Verdict = limited
		}
	}
	return err
}

// maxRefused is how often a wrong secret is tried.
const maxRefused = 5

// stream holds the connection whenever no other process does, until ctx ends or
// WeCom has refused our secret often enough.
func (r *robot) stream(ctx context.Context, sink func(context.Context, http.ResponseWriter, bot.Raw) error) error {
	if !r.long() {
		<-ctx.Done()
		return nil
	}
	q := newIntake(r, sink)
	defer q.close()
	me := processID()
	failed, refused := 0, 0
	for {
		hold := r.await(ctx, me)
		if hold == nil {
			return nil
		}
		opened := time.Now()
		err := r.serve(ctx, hold, q)
		if errors.Is(err, errTaken) {
			r.taken(ctx, hold)
		}
		hold.release()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, bot.ErrUnauthorized):
			if refused++; refused >= maxRefused {
				return fmt.Errorf("robot: refused %d times: %w", refused, err)
			}
			failed++
		case !time.Now().Before(opened.Add(r.tempo.ping)): // it had been good for a while
			failed, refused = 0, 0
		default:
			failed++
		}
		wait := r.tempo.pause(max(0, failed-1))
		var limited bot.RateLimited
		if errors.As(err, &limited) {
			wait = max(wait, limited.After)
		}
		r.log.Warn("robot's connection ended", "install", r.install.String(), "error", err, "again", wait)
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// The names on the Shelf by which processes agree who has the connection.
const (
	robotLease = "robot/lease"
	robotRest  = "robot/rest"
)

// await waits for the lease; nil: ctx ended.
func (r *robot) await(ctx context.Context, me string) *lease {
	for {
		rest, err := r.shelf.Get(ctx, robotRest)
		if err == nil && rest == "" {
			var l *lease
			if l, err = r.acquire(ctx, robotLease, me, r.tempo.lease, r.tempo.renew); l != nil {
				return l
			}
		}
		if err != nil && ctx.Err() == nil {
			r.log.Warn("robot's lease not reached", "install", r.install.String(), "error", err)
		}
		if !sleep(ctx, r.tempo.renew/2+mrand.N(r.tempo.renew/2+1)) {
			return nil
		}
	}
}

// taken is what follows when WeCom has closed our connection for another one. If
// that belongs to one of our own processes all is well; else somebody uses the
// robot's secret elsewhere, and fighting would close each other's connections
// for ever.
func (r *robot) taken(ctx context.Context, hold *lease) {
	ours, err := hold.mine()
	if err != nil {
		// We cannot tell, and without the Shelf we do not come back anyway.
		r.log.Warn("robot's lease not reached", "install", r.install.String(), "error", err)
	}
	if err != nil || !ours {
		return
	}
	quiet, cancel := context.WithTimeout(context.WithoutCancel(ctx), shelfPatience)
	defer cancel()
	if err := r.shelf.Put(quiet, robotRest, "taken", r.tempo.rest); err != nil {
		r.log.Warn("robot's rest not kept", "install", r.install.String(), "error", err)
		sleep(ctx, r.tempo.rest)
	}
	r.log.Error("robot's connection was taken by another program with the same secret; resting", "install", r.install.String(), "again", r.tempo.rest)
	r.alarm(context.WithoutCancel(ctx), bot.Alarm{
		Once: "robot taken " + r.now().UTC().Format(time.DateOnly), What: cards.AlarmTaken, Args: map[string]string{"install": r.install.String()},
	})
}

// serve has one connection from beginning to end, and returns why it ended.
func (r *robot) serve(ctx context.Context, hold *lease, q *intake) error {
	// Whoever comes after us must not lose his connection to one that we were
	// still opening.
	opening, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-hold.lost:
			cancel()
		case <-opening.Done():
		}
	}()
	l, err := r.connect(opening, q.take)
	cancel()
	<-stopped
	if err != nil {
		return err
	}
	r.held.Store(l)
	r.log.Info("robot's connection opened", "install", r.install.String())
	select {
	case <-l.ended:
	case <-hold.lost:
		l.end(errLost)
	case <-ctx.Done():
		// What was read is not sent again: it is dealt with and answered first.
		q.settle(r.tempo.grace, hold.lost, l.ended)
		l.end(errStopped)
	}
	r.held.CompareAndSwap(l, nil)
	l.loops.Wait()
	return l.why
}

// intake deals with what came over the connection: what one conversation says in
// its order, conversations beside each other, presses at once. It outlives the
// connection, since nothing that was read comes again.
type intake struct {
	r     *robot
	sink  func(context.Context, http.ResponseWriter, bot.Raw) error
	ctx   context.Context
	stop  context.CancelFunc
	slots chan struct{} // frames in the sink
	room  chan struct{} // frames that were read and are not done
	work  sync.WaitGroup

	mu    sync.Mutex // guards what follows
	lanes map[string][]job
	busy  int           // frames that are not done
	idle  chan struct{} // closed while busy is 0
}

// atOnce is how many frames are in the sink together.
const atOnce = 16

// job is one frame in hand.
type job struct {
	link  *link
	id    string // req_id
	cmd   string
	frame []byte
	at    time.Time // when it came, by our clock
	since time.Time // and by the machine's, for deadlines
}

func newIntake(r *robot, sink func(context.Context, http.ResponseWriter, bot.Raw) error) *intake {
	q := &intake{r: r, sink: sink, slots: make(chan struct{}, atOnce), room: make(chan struct{}, r.tempo.room), lanes: map[string][]job{}, idle: make(chan struct{})}
	q.ctx, q.stop = context.WithCancel(context.Background())
	close(q.idle)
	return q
}

// take puts a frame into the lane of its conversation. When far too many wait it
// blocks, and with it the connection.
func (q *intake) take(l *link, f robotFrame, frame []byte) {
	select {
	case q.room <- struct{}{}:
	default:
		q.r.log.Warn("too many of the robot's frames in hand; reading on when some are done", "install", q.r.install.String(), "frames", cap(q.room))
		l.full.Store(true)
		select {
		case q.room <- struct{}{}:
			l.full.Store(false)
		case <-q.ctx.Done():
			return
		}
	}
	j := job{link: l, id: f.Headers.ReqID, cmd: f.Cmd, frame: frame, at: q.r.now(), since: time.Now()}
	lane := f.Cmd + " " + j.id
	if f.Cmd == cmdMessage {
		var m robotSaid
		if json.Unmarshal(f.Body, &m) == nil {
			lane = m.ChatType + " " + m.ChatID
			if m.ChatID == "" {
				lane = "single " + m.From.UserID
			}
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy++; q.busy == 1 {
		q.idle = make(chan struct{})
	}
	waiting, running := q.lanes[lane]
	q.lanes[lane] = append(waiting, j)
	if !running {
		q.work.Go(func() { q.run(lane) })
	}
}

// run empties a lane.
func (q *intake) run(lane string) {
	for {
		q.mu.Lock()
		if len(q.lanes[lane]) == 0 {
			delete(q.lanes, lane)
			q.mu.Unlock()
			return
		}
		j := q.lanes[lane][0]
		q.lanes[lane] = q.lanes[lane][1:]
		q.mu.Unlock()
		q.handle(j)
		<-q.room
		q.mu.Lock()
		if q.busy--; q.busy == 0 {
			close(q.idle)
		}
		q.mu.Unlock()
	}
}

// settle waits until nothing is in hand, for a while at most.
func (q *intake) settle(patience time.Duration, or ...<-chan struct{}) {
	end := time.NewTimer(patience)
	defer end.Stop()
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	or = append(or, nil, nil)
	select {
	case <-idle:
	case <-end.C:
	case <-or[0]:
	case <-or[1]:
	}
}

// close waits for what is in hand, and then gives up what is not done.
func (q *intake) close() {
	q.settle(q.r.tempo.grace)
	q.stop()
	q.work.Wait()
}

// Tries of a frame whose sink failed. WeCom does not send it again.
const (
	messageTries = 8
	pressTries   = 4
)

// handle hands a frame to the sink until that has dealt with it.
func (q *intake) handle(j job) {
	tries := messageTries
	if j.cmd == cmdEvent {
		tries = pressTries
	}
	for n := 1; ; n++ {
		select {
		case q.slots <- struct{}{}:
		case <-q.ctx.Done():
			q.lost(j, n, q.ctx.Err())
			return
		}
		w := &robotAnswer{q: q, job: j, header: http.Header{}}
		err := q.safely(w, j)
		<-q.slots
		switch {
		case err == nil, w.tried: // tried: it was dealt with, only the answer did not go out
			return
		case errors.Is(err, bot.ErrFrame), errors.Is(err, bot.ErrMalformed), errors.Is(err, bot.ErrUnverified):
			q.r.log.Error("robot's frame refused", "install", q.r.install.String(), "error", err)
			return
		}
		wait := q.r.tempo.again(n)
		if n >= tries || j.cmd == cmdEvent && time.Since(j.since)+wait > q.r.tempo.window {
			q.lost(j, n, err)
			return
		}
		q.r.log.Warn("robot's frame not handled yet", "install", q.r.install.String(), "error", err, "again", wait)
		if !sleep(q.ctx, wait) {
			q.lost(j, n, err)
			return
		}
	}
}

func (q *intake) lost(j job, tries int, err error) {
	q.r.log.Error("robot's frame given up; what it said is lost", "install", q.r.install.String(), "kind", j.cmd, "tries", tries, "error", err)
}

func (q *intake) safely(w http.ResponseWriter, j job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %T", p) // its value may quote what was said
		}
	}()
	h := http.Header{}
	h.Set(surfaceHeader, surfaceRobot)
	h.Set(receivedHeader, strconv.FormatInt(j.at.UnixMilli(), 10))
	return q.sink(q.ctx, w, bot.Raw{Socket: true, Header: h, Body: j.frame})
}

// robotAnswer sends what is written to it as the answer to a frame, and tells
// whether that went out.
type robotAnswer struct {
	q      *intake
	job    job
	header http.Header
	status int
	tried  bool
}

func (w *robotAnswer) Header() http.Header { return w.header }

func (w *robotAnswer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *robotAnswer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.status >= 300 || len(b) == 0 {
		return len(b), nil // a refusal is not for people
	}
	w.tried = true
	if err := w.send(b); err != nil {
		w.q.r.log.Warn("robot's answer not sent", "install", w.q.r.install.String(), "error", err)
		return 0, err
	}
	return len(b), nil
}

func (w *robotAnswer) send(b []byte) error {
	var f robotFrame
	if err := json.Unmarshal(b, &f); err != nil || !strings.HasPrefix(f.Cmd, "aibot_respond") {
		return errors.New("robot: answer is no frame")
	}
	if w.job.id == "" {
		return fmt.Errorf("%s: the frame has no req_id to answer to", f.Cmd)
	}
	ctx := w.q.ctx
	l := w.job.link
	if f.Cmd != cmdRespond {
		left := w.q.r.tempo.window - time.Since(w.job.since)
		if left <= 0 {
			return fmt.Errorf("%s: %w", f.Cmd, errLate)
		}
	} else if now := w.q.r.held.Load(); now != nil {
		l = now // a message can be answered for a day, over whatever connection there is
	}
	_, err := l.call(ctx, f.Cmd, w.job.id, f.Body)
	return err
}
