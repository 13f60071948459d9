package feishu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"

	"github.com/paidan/paidan/bot"
)

// The most that can be sent, in bytes.
// https://open.feishu.cn/document/server-docs/im-v1/file/create
const (
	maxImage = 10 << 20
	maxFile  = 30 << 20
)

// Fetch opens a file that came with a message; it can be had only together with
// that message. The caller closes what it gets.
// https://open.feishu.cn/document/server-docs/im-v1/message/get-2
func (a *Adapter) Fetch(ctx context.Context, f bot.File) (io.ReadCloser, error) {
	parts := strings.Split(f.URL, "/")
	if len(parts) != 3 || !isID(parts[0], "om_") || parts[1] != "image" && parts[1] != "file" || !isFileKey(parts[2]) {
		return nil, fmt.Errorf("file does not lie with Feishu: %w", bot.ErrRejected)
	}
	address := a.base.JoinPath("open-apis/im/v1/messages", parts[0], "resources", parts[2])
	address.RawQuery = url.Values{"type": {parts[1]}}.Encode()
	for try := 0; ; try++ {
		token, err := a.accessToken(ctx)
		if err != nil {
			return nil, err
		}
		body, err := a.fetch(ctx, address.String(), token)
		if !stale[codeOf(err)] || try > 0 {
			return body, undoubted(err)
		}
		a.tokens.evict(token)
	}
}

// fetch is not done by the SDK, which would keep a whole file in memory.
func (a *Adapter) fetch(ctx context.Context, address, token string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("resource.get: %w", bot.ErrRejected)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := a.http.Do(req)
	if err != nil {
		var withAddress *url.Error
		if errors.As(err, &withAddress) {
			err = withAddress.Err
		}
		return nil, failed("resource.get", err)
	}
	if resp.StatusCode == http.StatusOK && !strings.Contains(resp.Header.Get("Content-Type"), "json") {
		return resp.Body, nil
	}
	if resp.StatusCode == http.StatusOK && resp.Header.Get("Content-Disposition") != "" { // a file of JSON
		return resp.Body, nil
	}
	says, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	err = errors.Join(err, resp.Body.Close())
	if err != nil {
		return nil, failed("resource.get", err)
	}
	err = answered("resource.get", &larkcore.ApiResp{StatusCode: resp.StatusCode, Header: resp.Header, RawBody: says}, nil, nil)
	if err == nil {
		err = errors.New("resource.get: no file in the answer")
	}
	return nil, err
}

// SendFile puts a file into a conversation: as a picture where it is one that
// Feishu shows, else as a file. Files end at 30 MB.
func (a *Adapter) SendFile(ctx context.Context, to bot.Dest, once, name string, size int64, content io.Reader) (bot.MessageRef, error) {
	if name = oneLine(clean(name)); name == "" || size <= 0 || size > maxFile {
		return "", fmt.Errorf("file without a name, empty, or of more than 30 MB: %w", bot.ErrRejected)
	}
	if _, err := a.spotOf(ctx, to); err != nil {
		return "", err
	}
	key := onceOf(to, once)
	if m, ok := a.tried.get(key); ok { // it lies there already
		return a.send(ctx, to, key, m)
	}
	b, err := io.ReadAll(io.LimitReader(content, maxFile+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read file: %w", err)
	case len(b) == 0 || len(b) > maxFile:
		return "", fmt.Errorf("file empty, or of more than 30 MB: %w", bot.ErrRejected)
	}
	m, err := a.upload(ctx, name, b)
	if err != nil {
		return "", err
	}
	return a.send(ctx, to, key, m)
}

// upload brings a file to Feishu. Nobody sees it before it is sent: until then
// trying again is harmless.
func (a *Adapter) upload(ctx context.Context, name string, b []byte) (attempt, error) {
	var out struct {
		Data struct {
			Image string `json:"image_key"`
			File  string `json:"file_key"`
		} `json:"data"`
	}
	if len(b) <= maxImage && picture(b) {
		form := larkcore.NewFormdata().AddField("image_type", "message").AddFileWithName("image", name, bytes.NewReader(b))
		err := a.call(ctx, "image.create", larkcore.ApiReq{HttpMethod: http.MethodPost, ApiPath: "/open-apis/im/v1/images", Body: form}, &out)
		switch {
		case err == nil && out.Data.Image != "":
			return attempt{"image", string(encode(map[string]string{"image_key": out.Data.Image}))}, nil
		case !errors.Is(err, bot.ErrRejected): // else it is too wide, or broken: as a file it still is one
			return attempt{}, orEmpty("image.create", err)
		}
	}
	form := larkcore.NewFormdata().AddField("file_type", fileType(name)).AddField("file_name", name).AddFileWithName("file", name, bytes.NewReader(b))
	err := a.call(ctx, "file.create", larkcore.ApiReq{HttpMethod: http.MethodPost, ApiPath: "/open-apis/im/v1/files", Body: form}, &out)
	if err != nil || out.Data.File == "" {
		return attempt{}, orEmpty("file.create", err)
	}
	return attempt{"file", string(encode(map[string]string{"file_key": out.Data.File}))}, nil
}

func orEmpty(method string, err error) error {
	if err == nil {
		return fmt.Errorf("%s: empty answer", method)
	}
	return undoubted(err)
}

func picture(b []byte) bool {
	switch http.DetectContentType(b) {
	case "image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp":
		return true
	}
	return false
}

// fileType is one of the few that Feishu has icons for.
func fileType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".pdf":
		return "pdf"
	case ".doc", ".docx":
		return "doc"
	case ".xls", ".xlsx":
		return "xls"
	case ".ppt", ".pptx":
		return "ppt"
	}
	return "stream"
}
