package feishu

import (
	"encoding/binary"
	"errors"
	"slices"
)

// frame is the one message of the long connection, in the wire format of
// protocol buffers. It is written out by hand: the SDK's own package for it
// brings a hundred others along.
// https://github.com/larksuite/oapi-sdk-go/blob/v3_main/ws/pbbp2.pb.go
type frame struct {
	seq, log    uint64 // 1, 2
	service     int32  // 3
	method      int32  // 4
	headers     []frameHeader
	encoding    string // 6
	payloadType string // 7
	payload     []byte // 8
	logNew      string // 9
}

// frameHeader is field 5: 1 key, 2 value.
type frameHeader struct{ key, value string }

// The methods of frames.
const (
	controlFrame int32 = 0
	dataFrame    int32 = 1
)

func (f *frame) header(key string) string {
	for _, h := range f.headers {
		if h.key == key {
			return h.value
		}
	}
	return ""
}

// marshal writes a frame; the four required fields are always there.
func (f *frame) marshal() []byte {
	b := make([]byte, 0, 64+len(f.payload)+64*len(f.headers))
	for field, n := range []uint64{f.seq, f.log, uint64(int64(f.service)), uint64(int64(f.method))} {
		b = binary.AppendUvarint(b, uint64(field+1)<<3)
		b = binary.AppendUvarint(b, n)
	}
	for _, h := range f.headers {
		inner := appendText(appendText(nil, 1, h.key), 2, h.value)
		b = appendText(b, 5, string(inner))
	}
	for i, s := range []string{f.encoding, f.payloadType, string(f.payload), f.logNew} {
		if s != "" {
			b = appendText(b, 6+i, s)
		}
	}
	return b
}

func appendText(b []byte, field int, s string) []byte {
	b = binary.AppendUvarint(b, uint64(field)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

var errFrame = errors.New("no frame")

const maxFrameHeaders = 64

// parseFrame reads a frame. Fields that are not known are passed over.
func parseFrame(b []byte) (frame, error) {
	var f frame
	seen := 0
	err := eachField(b, func(field int, n uint64, text []byte, isText bool) error {
		if field <= 9 && isText != (field >= 5) {
			return errFrame
		}
		switch field {
		case 1:
			f.seq = n
		case 2:
			f.log = n
		case 3:
			f.service = int32(n)
		case 4:
			f.method = int32(n)
		case 5:
			h, err := parseHeader(text)
			if err != nil || len(f.headers) == maxFrameHeaders {
				return errFrame
			}
			f.headers = append(f.headers, h)
		case 6:
			f.encoding = string(text)
		case 7:
			f.payloadType = string(text)
		case 8:
			f.payload = slices.Clone(text)
		case 9:
			f.logNew = string(text)
		}
		if field <= 4 {
			seen |= 1 << field
		}
		return nil
	})
	if err == nil && seen != 0b11110 {
		err = errFrame
	}
	return f, err
}

func parseHeader(b []byte) (frameHeader, error) {
	var h frameHeader
	err := eachField(b, func(field int, _ uint64, text []byte, isText bool) error {
		switch {
		case field > 2:
		case !isText:
			return errFrame
		case field == 1:
			h.key = string(text)
		default:
			h.value = string(text)
		}
		return nil
	})
	return h, err
}

// eachField goes through the fields of a message.
func eachField(b []byte, visit func(field int, n uint64, text []byte, isText bool) error) error {
	for len(b) > 0 {
		key, used := binary.Uvarint(b)
		if used <= 0 || key>>3 == 0 || key>>3 > 1<<29 {
			return errFrame
		}
		b = b[used:]
		field := int(key >> 3)
		switch key & 7 {
		case 0:
			n, used := binary.Uvarint(b)
			if used <= 0 {
				return errFrame
			}
			b = b[used:]
			if err := visit(field, n, nil, false); err != nil {
				return err
			}
		case 2:
			n, used := binary.Uvarint(b)
			if used <= 0 || n > uint64(len(b)-used) {
				return errFrame
			}
			text := b[used : used+int(n)]
			b = b[used+int(n):]
			if err := visit(field, 0, text, true); err != nil {
				return err
			}
		case 1, 5:
			size := 8
			if key&7 == 5 {
				size = 4
			}
			if len(b) < size || field <= 9 {
				return errFrame
			}
			b = b[size:]
		default:
			return errFrame
		}
	}
	return nil
}
