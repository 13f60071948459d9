package wecom

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/paidan/paidan/bot"
)

// maxAge is how far a request's time may lie from our clock, either way. The
// signature joins its parts without separators, so the exact form of each part
// and this window are what ties them to their roles.
const maxAge = 5 * time.Minute

// The frame around an encrypted message: 16 random bytes, the length in four
// bytes, the message, the receiver's id, padding to whole blocks of 32.
// https://developer.work.weixin.qq.com/document/path/90968
const (
	randomLen = 16
	headLen   = randomLen + 4
	padBlock  = 32
)

var (
	stampForm  = regexp.MustCompile(`^\d{10}$`)
	nonceForm  = regexp.MustCompile(`^[\w-]{1,64}$`)
	aesKeyForm = regexp.MustCompile(`^[0-9A-Za-z]{43}$`)
)

// crypt opens and seals what one callback address exchanges with WeCom.
type crypt struct {
	token   string
	block   cipher.Block
	iv      []byte
	receive []byte // whom messages are for: the corp's id, empty for a smart robot
}

// errCrypt is what newCrypt returns; it quotes nothing of what it was given.
var errCrypt = errors.New("token is empty, or encoding_aes_key is not 43 letters and digits")

// newCrypt makes a crypt from a callback's token and key. receiveID is compared
// with the one inside every message, also when it is empty.
func newCrypt(token, aesKey, receiveID string) (*crypt, error) {
	if token == "" || !aesKeyForm.MatchString(aesKey) {
		return nil, errCrypt
	}
	// The last character may have bits that belong to no byte; WeCom makes such keys.
	key, err := base64.StdEncoding.DecodeString(aesKey + "=")
	if err != nil || len(key) != 32 {
		return nil, errCrypt
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errCrypt
	}
	return &crypt{token: token, block: block, iv: key[:aes.BlockSize], receive: []byte(receiveID)}, nil
}

// open returns the message in encrypted when the query of the request proves
// that WeCom made it, for us, now. Every failure is bot.ErrUnverified.
func (c *crypt) open(q url.Values, encrypted string, now time.Time) ([]byte, error) {
	if !c.authentic(q, encrypted, now) {
		return nil, bot.ErrUnverified
	}
	plain, ok := c.decrypt(encrypted)
	if !ok {
		return nil, bot.ErrUnverified
	}
	return plain, nil
}

// echo returns what a request that checks the address wants to hear.
// https://developer.work.weixin.qq.com/document/path/90930
func (c *crypt) echo(q url.Values, now time.Time) ([]byte, error) {
	echo, ok := only(q, "echostr")
	if !ok {
		return nil, bot.ErrUnverified
	}
	// Some gateways leave its "+" as it is, which then reads as a space; base64 has none.
	return c.open(q, strings.ReplaceAll(echo, " ", "+"), now)
}

// authentic checks form, time and signature, cheapest first.
func (c *crypt) authentic(q url.Values, encrypted string, now time.Time) bool {
	stamp, ok1 := only(q, "timestamp")
	nonce, ok2 := only(q, "nonce")
	sent, ok3 := only(q, "msg_signature")
	if !ok1 || !ok2 || !ok3 || encrypted == "" || !stampForm.MatchString(stamp) || !nonceForm.MatchString(nonce) || len(sent) != 2*sha1.Size {
		return false
	}
	at, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return false
	}
	if age := now.Unix() - at; age > int64(maxAge/time.Second) || age < -int64(maxAge/time.Second) {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(sent), []byte(c.sign(stamp, nonce, encrypted))) == 1
}

// only is the value of a key that came exactly once.
func only(q url.Values, key string) (string, bool) {
	v := q[key]
	if len(v) != 1 {
		return "", false
	}
	return v[0], true
}

// sign is SHA-1 over the four values in the order of their bytes.
func (c *crypt) sign(stamp, nonce, encrypted string) string {
	parts := []string{c.token, stamp, nonce, encrypted}
	slices.Sort(parts)
	h := sha1.New()
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (c *crypt) decrypt(encrypted string) ([]byte, bool) {
	// Strict, as far as the alphabet goes: DecodeString would skip line breaks,
	// and so take several texts for the same message.
	if len(encrypted)%4 != 0 || bytes.ContainsAny([]byte(encrypted), "\r\n") {
		return nil, false
	}
	data, err := base64.StdEncoding.DecodeString(encrypted)
	if err != nil || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, false
	}
	cipher.NewCBCDecrypter(c.block, c.iv).CryptBlocks(data, data)
	data, ok := unpad(data)
	if !ok || len(data) < headLen {
		return nil, false
	}
	// 64 bits: a length near 2^32 must not wrap into one that fits.
	end := int64(headLen) + int64(binary.BigEndian.Uint32(data[randomLen:headLen]))
	if end > int64(len(data)) || subtle.ConstantTimeCompare(data[end:], c.receive) != 1 {
		return nil, false
	}
	return data[headLen:end:end], true
}

// unpad takes the padding off: 1 to 32 bytes, each of which is their number.
func unpad(data []byte) ([]byte, bool) {
	if len(data) == 0 {
		return nil, false
	}
	n := int(data[len(data)-1])
	if n < 1 || n > padBlock || n > len(data) {
		return nil, false
	}
	tail := data[len(data)-n:]
	for _, b := range tail {
		if int(b) != n {
			return nil, false
		}
	}
	return data[:len(data)-n], true
}

// seal encrypts an answer and signs it.
func (c *crypt) seal(plain []byte, nonce string, at time.Time) (encrypted, signature string) {
	var random [randomLen]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the program before it would
	return c.sealWith(random, plain, nonce, at)
}

func (c *crypt) sealWith(random [randomLen]byte, plain []byte, nonce string, at time.Time) (encrypted, signature string) {
	size := headLen + len(plain) + len(c.receive)
	pad := padBlock - size%padBlock
	data := make([]byte, 0, size+pad)
	data = append(data, random[:]...)
	data = binary.BigEndian.AppendUint32(data, uint32(len(plain)))
	data = append(data, plain...)
	data = append(data, c.receive...)
	data = append(data, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(c.block, c.iv).CryptBlocks(data, data)
	encrypted = base64.StdEncoding.EncodeToString(data)
	return encrypted, c.sign(strconv.FormatInt(at.Unix(), 10), nonce, encrypted)
}
