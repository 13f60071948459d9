package wecom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/paidan/paidan/bot"
)

// Files: https://developer.work.weixin.qq.com/document/path/90253. The helpers of
// silenceper/wechat for them read a whole file into memory and cannot be cancelled.
const (
	mediaPath  = "/cgi-bin/media/get"
	uploadPath = "/cgi-bin/media/upload"

	leastFile = 6        // bytes; WeCom takes none of 5 or less
	mostFile  = 20 << 20 // of the type "file"

	uploadedFor = 24 * time.Hour // WeCom keeps it for three days
)

// media opens a file by its media id. The caller closes it.
func (c *client) media(ctx context.Context, id string) (io.ReadCloser, error) {
	for again := range 2 {
		token, err := c.token(ctx)
		if err != nil {
			return nil, err
		}
		body, err := c.openMedia(ctx, token, id)
		if err == nil || !stale[code(err)] {
			return body, err
		}
		c.tokens.evict(token)
		if again == 1 {
			return nil, err
		}
	}
	return nil, errors.New("unreachable")
}

func (c *client) openMedia(ctx context.Context, token, id string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address(mediaPath, url.Values{"access_token": {token}, "media_id": {id}}), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", mediaPath, bot.ErrRejected)
	}
	resp, x, err := c.do(req)
	if err != nil {
		v, _ := c.judge(ctx, mediaPath, x, nil, err, nil)
		return nil, v
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if resp.StatusCode == http.StatusOK && kind != "application/json" && kind != "text/plain" || resp.Header.Get("Content-Disposition") != "" {
		return resp.Body, nil
	}
	// An error, told as JSON under status 200.
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New("status")
	}
	v, _ := c.judge(ctx, mediaPath, x, answer, err, nil)
	if v == nil {
		v = fmt.Errorf("%s: neither a file nor an error", mediaPath)
	}
	return nil, v
}

// do makes a request of our own, past silenceper/wechat.
func (c *client) do(req *http.Request) (*http.Response, *exchange, error) {
	x := &exchange{client: c.http, host: c.base.Host}
	trace := &httptrace.ClientTrace{WroteHeaders: func() { x.left.Store(true) }}
	resp, err := c.http.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		return nil, x, err
	}
	x.status, x.after = resp.StatusCode, resp.Header.Get("Retry-After")
	return resp, x, nil
}

// upload gives WeCom a file for three days and returns its media id. Nobody sees
// it before it is sent: trying again is harmless as long as content was not read.
func (c *client) upload(ctx context.Context, name string, size int64, content io.Reader) (string, error) {
	if name = oneLine(name); name == "" || size < leastFile || size > mostFile {
		return "", fmt.Errorf("%s: a file has a name and 6 bytes to 20 MB: %w", uploadPath, bot.ErrRejected)
	}
	token, err := c.token(ctx)
	if err != nil {
		return "", err
	}
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	h := textproto.MIMEHeader{}
	h.Set("Content-Disposition", multipart.FileContentDisposition("media", name))
	h.Set("Content-Type", "application/octet-stream")
	if _, err := form.CreatePart(h); err != nil {
		return "", fmt.Errorf("%s: %w", uploadPath, err)
	}
	tail := "\r\n--" + form.Boundary() + "--\r\n"
	read := &counted{r: io.LimitReader(content, size)}
	total := int64(head.Len()) + size + int64(len(tail))
	body := io.MultiReader(&head, read, strings.NewReader(tail))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address(uploadPath, url.Values{"access_token": {token}, "type": {"file"}}), io.NopCloser(body))
	if err != nil {
		return "", fmt.Errorf("%s: %w", uploadPath, bot.ErrRejected)
	}
	req.ContentLength = total
	req.Header.Set("Content-Type", form.FormDataContentType())
	resp, x, err := c.do(req)
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New("status")
		}
	}
	var got struct {
		MediaID string `json:"media_id"`
	}
	if v, _ := c.judge(ctx, uploadPath, x, answer, err, &got); v != nil {
		if stale[code(v)] {
			c.tokens.evict(token)
		}
		if read.n.Load() < size && ctx.Err() == nil && code(v) == 0 && x.status == 0 {
			return "", fmt.Errorf("%s: the file is shorter than it was said to be, or the connection ended", uploadPath)
		}
		return "", v
	}
	if !mediaForm.MatchString(got.MediaID) {
		return "", fmt.Errorf("%s: empty answer", uploadPath)
	}
	return got.MediaID, nil
}

type counted struct {
	r io.Reader
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// fetch opens a file that a member sent to the app.
func (a *app) fetch(ctx context.Context, f bot.File) (io.ReadCloser, error) {
	id, ok := strings.CutPrefix(f.ID, surfaceApp+"/")
	if !ok || !mediaForm.MatchString(id) {
		return nil, fmt.Errorf("file: %w", bot.ErrRejected)
	}
	return a.api.media(ctx, id)
}

// sendFile puts a file into the app's chat with a member.
func (a *app) sendFile(ctx context.Context, to bot.Dest, once, name string, size int64, content io.Reader) (bot.MessageRef, error) {
	if !userForm.MatchString(to.User) {
		return "", fmt.Errorf("member %q: %w", to.User, bot.ErrRejected)
	}
	// The same file id for each attempt, so that WeCom knows a repetition.
	key := "file/" + taskOf(a.install, to.User, once)
	id, err := a.shelf.Get(ctx, key)
	if err != nil {
		return "", fmt.Errorf("file uploaded before: %w", err)
	}
	if id == "" {
		if id, err = a.api.upload(ctx, name, size, content); err != nil {
			return "", err
		}
		if err := a.shelf.Put(ctx, key, id, uploadedFor); err != nil {
			return "", fmt.Errorf("note an uploaded file: %w", err)
		}
	}
	return a.deliver(ctx, appMessage{ToUser: to.User, MsgType: "file", File: &filePart{id}}, once)
}
