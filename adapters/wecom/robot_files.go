package wecom

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/paidan/paidan/bot"
)

// What people send to the robot lies encrypted at an address that is good for
// five minutes: over callbacks with the robot's own key, over the long
// connection with a key for each file. That key travels in the file's id, sealed,
// so that it can be stored and shown without giving the file away.
// https://developer.work.weixin.qq.com/document/path/100719

// keySeal makes what hides the keys of files.
func keySeal(secret string) (cipher.AEAD, error) {
	key := sha256.Sum256([]byte("v1:wecom robot file:" + secret))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// fileNonce depends on everything that is sealed, so that it never serves for
// two different things and equal deliveries have equal ids.
func fileNonce(address string, key []byte, size int) []byte {
	h := hmac.New(sha256.New, append([]byte("v1:nonce:"), key...))
	h.Write([]byte(address))
	return h.Sum(nil)[:size]
}

// file is a file as its message tells it. One without an address is none.
func (r *robot) file(kind string, m robotMedia) []bot.File {
	u, err := url.Parse(m.URL)
	if m.URL == "" || err != nil || len(m.URL) > 4096 {
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(m.Key)
	if err != nil || len(key) != 0 && len(key) != 32 {
		// Fetch will say that it cannot be read; the message itself is none the worse.
		key = []byte("unreadable")
	}
	nonce := fileNonce(m.URL, key, r.seal.NonceSize())
	id := surfaceRobot + "/" + base64.RawURLEncoding.EncodeToString(r.seal.Seal(nonce, nonce, key, []byte(m.URL)))
	f := bot.File{ID: id, Name: kind, URL: m.URL}
	if name := path.Base(u.Path); path.Ext(name) != "" && len(name) <= 200 {
		f.Name = oneLine(name)
		f.Type, _, _ = strings.Cut(mime.TypeByExtension(path.Ext(name)), ";")
	}
	return []bot.File{f}
}

var errFile = fmt.Errorf("robot: file is not one of ours: %w", bot.ErrRejected)

// fileKey opens what file sealed.
func (r *robot) fileKey(f bot.File) (block cipher.Block, iv []byte, err error) {
	text, ok := strings.CutPrefix(f.ID, surfaceRobot+"/")
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	n := r.seal.NonceSize()
	if !ok || err != nil || len(sealed) < n {
		return nil, nil, errFile
	}
	key, err := r.seal.Open(nil, sealed[:n], sealed[n:], []byte(f.URL))
	switch {
	case err != nil:
		return nil, nil, errFile
	case len(key) == 0 && r.crypt != nil:
		return r.crypt.block, r.crypt.iv, nil
	case len(key) != 32:
		return nil, nil, fmt.Errorf("robot: file has no key that we understand: %w", bot.ErrRejected)
	}
	block, err = aes.NewCipher(key)
	if err != nil {
		return nil, nil, errFile
	}
	return block, key[:aes.BlockSize], nil
}

// fetch opens a file that somebody sent. The id is sealed together with the
// address, so nobody can have us call another one.
func (r *robot) fetch(ctx context.Context, f bot.File) (io.ReadCloser, error) {
	block, iv, err := r.fileKey(f)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return nil, errFile
	}
	resp, err := r.http.Do(req)
	if err != nil {
		// The address is a secret for as long as it is good.
		if ctx.Err() != nil {
			return nil, fmt.Errorf("robot: file: %w", ctx.Err())
		}
		return nil, errors.New("robot: file: no answer")
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return &decrypter{from: resp.Body, mode: cipher.NewCBCDecrypter(block, iv)}, nil
	case resp.StatusCode == http.StatusTooManyRequests:
		err = bot.RateLimited{After: retryAfter(resp.Header.Get("Retry-After"))}
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		err = bot.ErrGone // the five minutes are over
	default:
		err = errors.New("try again")
	}
	return nil, errors.Join(fmt.Errorf("robot: file: status %d: %w", resp.StatusCode, err), resp.Body.Close())
}

// decrypter reads AES-256-CBC and takes the padding off its end, holding no more
// of it than one buffer.
type decrypter struct {
	from  io.ReadCloser
	mode  cipher.BlockMode
	raw   []byte // read, not decrypted: less than a block
	ready []byte // decrypted, not handed out
	done  bool
	err   error
}

var errPadding = fmt.Errorf("robot: file is cut off or has another key: %w", bot.ErrRejected)

func (d *decrypter) Read(p []byte) (int, error) {
	// What may be padding is held back until the end is known.
	for len(d.ready) <= padBlock && !d.done && d.err == nil {
		d.more()
	}
	give := d.ready
	if !d.done {
		give = give[:max(0, len(give)-padBlock)]
	}
	if d.err != nil {
		return 0, d.err
	}
	if len(give) == 0 {
		return 0, io.EOF
	}
	n := copy(p, give)
	d.ready = d.ready[n:]
	return n, nil
}

// more reads and decrypts the next piece.
func (d *decrypter) more() {
	buf := make([]byte, 32<<10)
	n, err := d.from.Read(buf)
	d.raw = append(d.raw, buf[:n]...)
	whole := len(d.raw) / aes.BlockSize * aes.BlockSize
	d.mode.CryptBlocks(d.raw[:whole], d.raw[:whole])
	d.ready = append(d.ready, d.raw[:whole]...)
	d.raw = bytes.Clone(d.raw[whole:])
	switch {
	case err == io.EOF:
		rest, ok := unpad(d.ready)
		if d.done = true; !ok || len(d.raw) > 0 {
			d.err = errPadding
		}
		d.ready = rest
	case err != nil:
		d.err = errors.New("robot: file: broken off")
	}
}

func (d *decrypter) Close() error { return d.from.Close() }

// chunkSize is how large a piece may be.
// https://developer.work.weixin.qq.com/document/path/101463
const chunkSize = 512 << 10

// sendFile sends a file over the long connection, in pieces. An answer at a
// response_url cannot carry one.
func (r *robot) sendFile(ctx context.Context, to bot.Dest, _, name string, size int64, content io.Reader) (bot.MessageRef, error) {
	p, err := placeOf(to)
	if err != nil {
		return "", err
	}
	if !r.long() {
		return "", fmt.Errorf("robot: without a long connection no files can be sent: %w", bot.ErrRejected)
	}
	if size > mostFile {
		return "", fmt.Errorf("robot: file of %d bytes: %w", size, bot.ErrRejected)
	}
	// The sum over all of it goes first, so all of it must be here; one at a time.
	select {
	case r.upload <- struct{}{}:
		defer func() { <-r.upload }()
	case <-ctx.Done():
		return "", fmt.Errorf("robot: file: %w", ctx.Err())
	}
	b, err := io.ReadAll(io.LimitReader(content, mostFile+1))
	if err != nil {
		return "", fmt.Errorf("robot: file: %w", err)
	}
	if len(b) > mostFile || len(b) < leastFile {
		return "", fmt.Errorf("robot: file of %d bytes: %w", len(b), bot.ErrRejected)
	}
	kind := mediaKind(name, len(b))
	media, err := r.uploadMedia(ctx, kind, name, b)
	if err != nil {
		return "", err
	}
	sum := md5.Sum(b)
	return robotRef(p.chat, p.id, "f"+hex.EncodeToString(sum[:])), r.send(ctx, p, object{"msgtype": kind, kind: object{"media_id": media}})
}

// mediaKind is "image" for what chats show as a picture.
func mediaKind(name string, size int) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".png", ".jpg", ".jpeg":
		if size <= 2<<20 {
			return "image"
		}
	}
	return "file"
}

// uploadMedia returns the media id of a file that now lies with WeCom.
func (r *robot) uploadMedia(ctx context.Context, kind, name string, b []byte) (string, error) {
	l := r.held.Load()
	if l == nil {
		return "", errNoLink
	}
	sum := md5.Sum(b)
	chunks := (len(b) + chunkSize - 1) / chunkSize
	var up struct {
		ID    string `json:"upload_id"`
		Media string `json:"media_id"`
	}
	ask := func(cmd string, body object) error {
		answer, err := l.call(ctx, cmd, "", body)
		if err != nil {
			// Nothing has been shown yet: the whole can be done again.
			if errors.Is(err, bot.ErrUnknown) {
				return fmt.Errorf("%s: no answer", cmd)
			}
			return err
		}
		if len(answer) > 0 && json.Unmarshal(answer, &up) != nil {
			return fmt.Errorf("%s: no readable answer", cmd)
		}
		return nil
	}
	err := ask(cmdInit, object{"type": kind, "filename": cutBytes(oneLine(name), 200), "total_size": len(b), "total_chunks": chunks, "md5": hex.EncodeToString(sum[:])})
	if err == nil && up.ID == "" {
		err = fmt.Errorf("%s: no readable answer", cmdInit)
	}
	for i := 0; i < chunks && err == nil; i++ {
		piece := b[i*chunkSize : min((i+1)*chunkSize, len(b))]
		err = ask(cmdChunk, object{"upload_id": up.ID, "chunk_index": i, "base64_data": base64.StdEncoding.EncodeToString(piece)})
	}
	if err == nil {
		err = ask(cmdFinish, object{"upload_id": up.ID})
	}
	if err == nil && up.Media == "" {
		err = fmt.Errorf("%s: no readable answer", cmdFinish)
	}
	return up.Media, err
}
