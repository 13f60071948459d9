package wecom

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/silenceper/wechat/v2/work/kf/sendmsg"

	"github.com/paidan/paidan/bot"
)

// fetch opens a file that a customer sent; it lies with WeCom for three days.
func (k *kf) fetch(ctx context.Context, f bot.File) (io.ReadCloser, error) {
	id, ok := strings.CutPrefix(f.ID, surfaceKF+"/")
	if !ok || !mediaForm.MatchString(id) {
		return nil, fmt.Errorf("kf: file: %w", bot.ErrRejected)
	}
	return k.api.media(ctx, id)
}

// sendFile sends a customer a file. It counts as one of the five messages, so it
// is asked first whether there is room for it.
func (k *kf) sendFile(ctx context.Context, to bot.Dest, once, name string, size int64, content io.Reader) (bot.MessageRef, error) {
	p, err := parsePerson(to.User)
	if err != nil {
		return "", err
	}
	undo, err := k.allowed(ctx, p)
	if err != nil {
		return "", err
	}
	undo()
	media, err := k.api.upload(ctx, name, size, content)
	if err != nil {
		return "", err
	}
	id := k.shortID(once)
	m := sendmsg.File{Message: sendmsg.Message{ToUser: p.customer, OpenKFID: p.account, MsgID: id}, MsgType: "file"}
	m.File.MediaID = media
	return p.ref(id), k.send(ctx, p, m)
}
