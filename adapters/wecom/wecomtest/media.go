package wecomtest

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Files: https://developer.work.weixin.qq.com/document/path/90253

// most is how large a file of a type may be.
var most = map[string]int{"image": 10 << 20, "voice": 2 << 20, "video": 10 << 20, "file": 20 << 20}

func uploadMedia(c *call) (object, error) {
	f, err := c.uploaded()
	if err != nil {
		return nil, err
	}
	return c.s.keep(f), nil
}

func uploadWebhook(c *call) (object, error) {
	f, err := c.uploaded()
	if err != nil {
		return nil, err // an empty file is found before a wrong key
	}
	c.s.mu.Lock()
	known := c.s.hooks[c.query.Get("key")] != nil
	c.s.mu.Unlock()
	if !known {
		return nil, no(93000)
	}
	return c.s.keep(f), nil
}

func (s *Server) keep(f *File) object {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.ID, f.Created = s.id("media"), s.opt.Now()
	s.files[f.ID] = f
	return object{"type": f.Type, "media_id": f.ID, "created_at": strconv.FormatInt(f.Created.Unix(), 10)}
}

func (c *call) uploaded() (*File, error) {
	kind := c.query.Get("type")
	limit, known := most[kind]
	if !known {
		return nil, no(40004)
	}
	part, head, err := c.r.FormFile("media")
	if err != nil {
		return nil, no(44001)
	}
	b, err := io.ReadAll(io.LimitReader(part, int64(limit)+1))
	if closing := part.Close(); err != nil || closing != nil {
		return nil, no(44001)
	}
	switch {
	case len(b) <= 5:
		return nil, no(44001)
	case len(b) > limit:
		return nil, no(45001)
	}
	return &File{Type: kind, Name: head.Filename, Content: b}, nil
}

// embedded is an image inside a message.
func embedded(part object) (*File, error) {
	b, err := base64.StdEncoding.DecodeString(text(part, "base64"))
	sum := md5.Sum(b)
	switch {
	case err != nil || len(b) == 0:
		return nil, no(44001)
	case len(b) > 2<<20:
		return nil, no(45001)
	case hex.EncodeToString(sum[:]) != text(part, "md5"):
		return nil, because(40058, "md5")
	}
	return &File{Type: "image", Name: "image.png", Content: b}, nil
}

// serveMedia answers media/get with the file itself, or with an error.
func (s *Server) serveMedia(w http.ResponseWriter, r *http.Request, f *Fault) {
	var found *File
	_, err := s.run(endpoint{method: http.MethodGet, do: func(c *call) (object, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		found = s.files[c.query.Get("media_id")]
		if found == nil || found.robot || s.opt.Now().Sub(found.Created) >= 72*time.Hour {
			return nil, no(40007)
		}
		return nil, nil
	}}, "media/get", r, f)
	if err != nil {
		answer := object{}
		s.tell(answer, err, nil)
		writeJSON(w, answer)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+found.Name+`"`)
	if _, err := w.Write(found.Content); err != nil {
		return // the caller is gone
	}
}

// serveFile serves what people have sent to the robot, encrypted, for five
// minutes: https://developer.work.weixin.qq.com/document/path/100719
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	f := s.files[r.PathValue("id")]
	now := s.opt.Now()
	s.mu.Unlock()
	if f == nil || now.Sub(f.Created) >= 5*time.Minute {
		http.NotFound(w, r)
		return
	}
	b := f.Content
	if f.key != nil {
		b = seal(f.key, b)
	}
	if _, err := w.Write(b); err != nil {
		return // the caller is gone
	}
}
