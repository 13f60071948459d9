package feishutest

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Frame is one message of the long connection: protobuf, written out by hand.
//
//	1 SeqID uint64, 2 LogID uint64, 3 service int32, 4 method int32 (0 control,
//	1 data), 5 headers {1 key, 2 value}, 6 payload_encoding, 7 payload_type,
//	8 payload, 9 LogIDNew
//
// https://github.com/larksuite/oapi-sdk-go/blob/v3_main/ws/pbbp2.pb.go
type Frame struct {
	Seq, Log    uint64
	Service     int32
	Method      int32
	Headers     []FrameHeader
	Encoding    string
	PayloadType string
	Payload     []byte
	LogNew      string
}

// FrameHeader is one header of a frame.
type FrameHeader struct{ Key, Value string }

// The methods of frames.
const (
	Control int32 = 0
	Data    int32 = 1
)

// Header returns the value of a header, "" when there is none.
func (f Frame) Header(key string) string {
	for _, h := range f.Headers {
		if h.Key == key {
			return h.Value
		}
	}
	return ""
}

// Marshal writes a frame; the four required fields are always there.
func (f Frame) Marshal() []byte {
	var b []byte
	number := func(field int, v uint64) {
		b = binary.AppendUvarint(b, uint64(field)<<3)
		b = binary.AppendUvarint(b, v)
	}
	number(1, f.Seq)
	number(2, f.Log)
	number(3, uint64(int64(f.Service)))
	number(4, uint64(int64(f.Method)))
	for _, h := range f.Headers {
		b = text(b, 5, string(text(text(nil, 1, h.Key), 2, h.Value)))
	}
	for field, s := range []string{f.Encoding, f.PayloadType, string(f.Payload), f.LogNew} {
		if s != "" {
			b = text(b, 6+field, s)
		}
	}
	return b
}

func text(b []byte, field int, s string) []byte {
	b = binary.AppendUvarint(b, uint64(field)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

var errFrame = errors.New("no frame")

// ParseFrame reads a frame. Fields that it does not know are skipped; without
// the four required ones it is an error.
func ParseFrame(b []byte) (Frame, error) {
	var f Frame
	seen := 0
	err := fields(b, func(field int, number bool, n uint64, s []byte) error {
		if field <= 9 && number != (field <= 4) {
			return fmt.Errorf("%w: field %d is of another type", errFrame, field)
		}
		switch field {
		case 1:
			f.Seq, seen = n, seen|1
		case 2:
			f.Log, seen = n, seen|2
		case 3:
			f.Service, seen = int32(n), seen|4
		case 4:
			f.Method, seen = int32(n), seen|8
		case 5:
			var h FrameHeader
			has := 0
			err := fields(s, func(field int, _ bool, _ uint64, s []byte) error {
				switch field {
				case 1:
					h.Key, has = string(s), has|1
				case 2:
					h.Value, has = string(s), has|2
				}
				return nil
			})
			if err != nil {
				return err
			}
			if has != 3 {
				return fmt.Errorf("%w: a header without key or value", errFrame)
			}
			f.Headers = append(f.Headers, h)
		case 6:
			f.Encoding = string(s)
		case 7:
			f.PayloadType = string(s)
		case 8:
			f.Payload = s
		case 9:
			f.LogNew = string(s)
		}
		return nil
	})
	if err == nil && seen != 15 {
		err = fmt.Errorf("%w: a required field is missing", errFrame)
	}
	return f, err
}

// fields goes through a message of protobuf.
func fields(b []byte, visit func(field int, number bool, n uint64, s []byte) error) error {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 || key>>3 == 0 {
			return fmt.Errorf("%w: bad key", errFrame)
		}
		b = b[n:]
		var v uint64
		var s []byte
		switch key & 7 {
		case 0:
			if v, n = binary.Uvarint(b); n <= 0 {
				return fmt.Errorf("%w: bad number", errFrame)
			}
			b = b[n:]
		case 1, 5:
			size := 8
			if key&7 == 5 {
				size = 4
			}
			if len(b) < size {
				return fmt.Errorf("%w: cut short", errFrame)
			}
			b = b[size:]
			continue
		case 2:
			if v, n = binary.Uvarint(b); n <= 0 || v > uint64(len(b)-n) {
				return fmt.Errorf("%w: cut short", errFrame)
			}
			s, b = b[n:n+int(v):n+int(v)], b[n+int(v):]
		default:
			return fmt.Errorf("%w: wire type %d", errFrame, key&7)
		}
		if err := visit(int(key>>3), s == nil, v, s); err != nil {
			return err
		}
	}
	return nil
}
