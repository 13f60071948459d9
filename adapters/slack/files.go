package slack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	slackgo "github.com/slack-go/slack"

	"github.com/paidan/paidan/bot"
)

// Fetch opens a file that came with a message. Our token goes to Slack's own
// hosts only, and never along a redirect. The caller closes what it gets.
func (a *Adapter) Fetch(ctx context.Context, f bot.File) (io.ReadCloser, error) {
	if f.URL == "" { // a file of another company is told by its id only
		if !isID(f.ID, "F") {
			return nil, fmt.Errorf("file %q: %w", f.ID, bot.ErrRejected)
		}
		info, _, _, err := a.api.GetFileInfoContext(ctx, f.ID, 0, 0)
		if err != nil {
			return nil, verdict("files.info", err)
		}
		if f.URL = info.URLPrivateDownload; f.URL == "" {
			f.URL = info.URLPrivate
		}
	}
	u, err := url.Parse(f.URL)
	if err != nil || u.User != nil || !a.fileHost(u) {
		return nil, fmt.Errorf("file %s does not lie with Slack: %w", f.ID, bot.ErrRejected)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", f.ID, bot.ErrRejected)
	}
	req.Header.Set("Authorization", "Bearer "+a.conf.BotToken)
	// Not through the doer: a file may be longer than an answer of the API.
	resp, err := a.http.Do(req)
	if err != nil {
		var withAddress *url.Error
		if errors.As(err, &withAddress) {
			err = withAddress.Err
		}
		return nil, verdict("file", err)
	}
	switch {
	case resp.StatusCode == http.StatusOK && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") && !strings.HasPrefix(f.Type, "text/html"):
		err = fmt.Errorf("file %s: Slack shows its login page: %w", f.ID, bot.ErrUnauthorized)
	case resp.StatusCode == http.StatusOK:
		return resp.Body, nil
	case resp.StatusCode == http.StatusTooManyRequests:
		err = fmt.Errorf("file: %w", bot.RateLimited{After: retryAfter(resp.Header.Get("Retry-After")), All: true})
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		err = fmt.Errorf("file %s: %w", f.ID, bot.ErrGone)
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden || resp.StatusCode/100 == 3:
		err = fmt.Errorf("file %s: status %d: %w", f.ID, resp.StatusCode, bot.ErrUnauthorized)
	default:
		err = fmt.Errorf("file %s: status %d", f.ID, resp.StatusCode)
	}
	return nil, errors.Join(err, resp.Body.Close())
}

func (a *Adapter) fileHost(u *url.URL) bool {
	h := strings.ToLower(u.Hostname())
	if u.Scheme == "https" && u.Port() == "" && (h == "slack.com" || strings.HasSuffix(h, ".slack.com") || h == "slack-gov.com" || strings.HasSuffix(h, ".slack-gov.com")) {
		return true
	}
	return a.emulated(u)
}

// SendFile puts a file into a conversation in Slack's three steps. Slack makes
// the message a little later, so the reference may be "". It has no key that
// would make a second attempt harmless.
func (a *Adapter) SendFile(ctx context.Context, to bot.Dest, _, name string, size int64, content io.Reader) (bot.MessageRef, error) {
	if name = oneLine(clean(name)); name == "" || size <= 0 || size > 1<<30 {
		return "", fmt.Errorf("file without a name or a size: %w", bot.ErrRejected)
	}
	channel, err := a.channel(ctx, to)
	if err != nil {
		return "", err
	}
	thread := ""
	if to.Thread != "" {
		if _, thread, err = parseRef(to.Thread); err != nil {
			return "", err
		}
	}
	up, err := a.api.GetUploadURLExternalContext(ctx, slackgo.GetUploadURLExternalParameters{FileName: name, FileSize: int(size)})
	if err != nil {
		return "", verdict("files.getUploadURLExternal", err)
	}
	if up.UploadURL == "" || up.FileID == "" {
		return "", errors.New("files.getUploadURLExternal: empty answer")
	}
	// Nobody sees the file before the last step: until then trying again is harmless.
	if err := a.api.UploadToURL(ctx, slackgo.UploadToURLParameters{UploadURL: up.UploadURL, Reader: io.LimitReader(content, size), Filename: name}); err != nil {
		return "", verdict("file upload", err)
	}
	got, err := a.api.CompleteUploadExternalContext(ctx, slackgo.CompleteUploadExternalParameters{
		Files: []slackgo.FileSummary{{ID: up.FileID, Title: name}}, Channel: channel, ThreadTimestamp: thread,
	})
	if err != nil {
		return "", sendVerdict("files.completeUploadExternal", err)
	}
	if len(got.Files) == 0 {
		return "", fmt.Errorf("files.completeUploadExternal: empty answer: %w", bot.ErrUnknown)
	}
	return a.shared(ctx, up.FileID, channel), nil
}

// shared asks which message a file became. The file is sent by now, so a
// failure here costs the reference and nothing else.
func (a *Adapter) shared(ctx context.Context, file, channel string) bot.MessageRef {
	var info struct {
		File struct {
			Shares map[string]map[string][]struct {
				TS string `json:"ts"`
			} `json:"shares"`
		} `json:"file"`
	}
	if err := a.call(ctx, "files.info", url.Values{"file": {file}}, &info); err != nil {
		a.log.Debug("message of a sent file not known", "install", a.install.String(), "error", err)
		return ""
	}
	for _, shares := range info.File.Shares {
		if s := shares[channel]; len(s) > 0 && isTS(s[0].TS) {
			return ref(channel, s[0].TS)
		}
	}
	return ""
}
