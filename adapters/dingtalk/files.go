package dingtalk

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/paidan/paidan/bot"
)

// Fetch opens a file that came with a message: its code is exchanged for an
// address, which needs no token. The caller closes what it gets.
// https://open.dingtalk.com/document/development/download-the-file-content-of-the-robot-receiving-message
func (a *Adapter) Fetch(ctx context.Context, f bot.File) (io.ReadCloser, error) {
	const method = "robot/messageFiles/download"
	if f.URL == "" || len(f.URL) > 4096 {
		return nil, fmt.Errorf("file %q has no download code: %w", f.ID, bot.ErrRejected)
	}
	doc, err := a.call(ctx, http.MethodPost, method, object{"downloadCode": f.URL, "robotCode": a.conf.RobotCode})
	if err != nil {
		return nil, verdict(method, err)
	}
	u, err := url.Parse(doc.at("downloadUrl").str())
	if err != nil || !a.fileHost(u) {
		return nil, fmt.Errorf("file %s does not lie with DingTalk: %w", f.ID, bot.ErrRejected)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", f.ID, bot.ErrRejected)
	}
	// Not through do: a file may be longer than an answer of the API.
	resp, err := a.http.Do(req)
	if err != nil {
		var withAddress *url.Error
		if errors.As(err, &withAddress) {
			err = withAddress.Err
		}
		return nil, verdict("file", err)
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp.Body, nil
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone || resp.StatusCode == http.StatusForbidden:
		err = fmt.Errorf("file %s: status %d: %w", f.ID, resp.StatusCode, bot.ErrGone) // the address has run out
	default:
		err = fmt.Errorf("file %s: status %d", f.ID, resp.StatusCode)
	}
	return nil, errors.Join(err, resp.Body.Close())
}

// fileHost allows the storage that DingTalk uses, and the emulator's. Some of
// its addresses are plain http; what they lead to is asked for without any secret.
func (a *Adapter) fileHost(u *url.URL) bool {
	if u.User != nil {
		return false
	}
	h := strings.ToLower(u.Hostname())
	if u.Scheme == "https" && u.Port() == "" {
		for _, own := range []string{".dingtalk.com", ".aliyuncs.com", ".alicdn.com"} {
			if strings.HasSuffix(h, own) {
				return true
			}
		}
	}
	return a.emulated(u)
}

const (
	maxFile = 20 << 20 // bytes
	zipped  = ".zip"
)

// fileTypes can be sent as they are; anything else goes in a zip.
// https://open.dingtalk.com/document/development/upload-media-files
var fileTypes = []string{".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".zip", ".pdf", ".rar"}

// SendFile puts a file into a conversation: it is uploaded, and then sent by
// the robot. DingTalk has no key that would make a second attempt harmless.
func (a *Adapter) SendFile(ctx context.Context, to bot.Dest, _, name string, size int64, content io.Reader) (bot.MessageRef, error) {
	place, err := placeOf(to)
	if err != nil {
		return "", err
	}
	if name = strings.ReplaceAll(cutBytes(oneLine(name), 200), "/", "_"); name == "" || size <= 0 || size > maxFile {
		return "", fmt.Errorf("file without a name, empty or longer than 20 MB: %w", bot.ErrRejected)
	}
	data, err := io.ReadAll(io.LimitReader(content, size))
	if err != nil {
		return "", fmt.Errorf("read file: %w", err)
	}
	if !slices.Contains(fileTypes, strings.ToLower(path.Ext(name))) {
		if data, err = pack1(name, data); err != nil {
			return "", err
		}
		name += zipped
	}
	id, err := a.upload(ctx, name, data)
	if err != nil {
		return "", err
	}
	return a.byRobot(ctx, place, "sampleFile", map[string]string{"mediaId": id, "fileName": name, "fileType": strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))})
}

// pack1 puts one file into a zip.
func pack1(name string, data []byte) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("zip: %w", err)
	}
	return b.Bytes(), nil
}

// upload gives a file to DingTalk. Nobody sees it yet, so trying again is
// harmless. It is not among the calls that DingTalk says are free.
func (a *Adapter) upload(ctx context.Context, name string, data []byte) (string, error) {
	const method = "media/upload"
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	w, err := form.CreateFormFile("media", name)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", method, err)
	}
	doc, err := a.withToken(ctx, method, true, func(tok string) (value, error) {
		u := a.oapi.JoinPath(method)
		u.RawQuery = url.Values{"access_token": {tok}, "type": {"file"}}.Encode()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(b.Bytes()))
		if err != nil {
			return value{}, fmt.Errorf("address: %w", bot.ErrRejected)
		}
		req.Header.Set("Content-Type", form.FormDataContentType())
		doc, err := a.read(req)
		if err == nil {
			err = oldError(doc)
		}
		return doc, err
	})
	if err != nil {
		return "", verdict(method, err)
	}
	id := doc.at("media_id").str()
	if id == "" {
		return "", fmt.Errorf("%s: empty answer", method)
	}
	return id, nil
}
