package dingtalktest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // what DingTalk signs events with
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

func mac(secret, message string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(message))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// SignRobot returns the headers that prove a robot message of HTTP mode to be DingTalk's.
func SignRobot(secret string, at time.Time) http.Header {
	stamp := strconv.FormatInt(at.UnixMilli(), 10)
	return http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Timestamp": {stamp}, "Sign": {mac(secret, stamp+"\n"+secret)}}
}

// SignCard returns the headers that prove a card's callback of HTTP mode to be DingTalk's.
func SignCard(secret string, at time.Time) http.Header {
	stamp := strconv.FormatInt(at.UnixMilli(), 10)
	return http.Header{"Content-Type": {"application/json; charset=utf-8"}, "X-Ddpaas-Signature-Timestamp": {stamp}, "X-Ddpaas-Signature": {mac(secret, stamp)}}
}

// SignWebhook returns what proves to DingTalk that a message to a group's
// webhook comes from who knows its secret.
func SignWebhook(secret string, at time.Time) url.Values {
	stamp := strconv.FormatInt(at.UnixMilli(), 10)
	return url.Values{"timestamp": {stamp}, "sign": {mac(secret, stamp+"\n"+secret)}}
}

// Signature of an encrypted event.
func Signature(token, timestamp, nonce, encrypted string) string {
	parts := []string{token, timestamp, nonce, encrypted}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])
}

func random16() (r [16]byte) {
	if _, err := rand.Read(r[:]); err != nil {
		panic(err) // crypto/rand never fails
	}
	return r
}

// block is what messages are padded to.
const block = 32

// Encrypt seals an event, or the answer to one: random, length, message and
// owner, padded to 32 bytes, AES-256-CBC.
func Encrypt(aesKey, owner string, random [16]byte, message []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(aesKey + "=")
	if err != nil {
		return "", err
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	plain := slices.Concat(random[:], binary.BigEndian.AppendUint32(nil, uint32(len(message))), message, []byte(owner))
	pad := block - len(plain)%block
	plain = append(plain, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(c, key[:aes.BlockSize]).CryptBlocks(plain, plain)
	return base64.StdEncoding.EncodeToString(plain), nil
}

// Decrypt opens what Encrypt sealed.
func Decrypt(aesKey, sealed string) (message []byte, owner string, err error) {
	key, err := base64.StdEncoding.DecodeString(aesKey + "=")
	if err != nil {
		return nil, "", err
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, "", err
	}
	plain, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, "", err
	}
	if len(plain) == 0 || len(plain)%aes.BlockSize != 0 {
		return nil, "", errors.New("not a whole number of blocks")
	}
	cipher.NewCBCDecrypter(c, key[:aes.BlockSize]).CryptBlocks(plain, plain)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > block || len(plain) < pad+20 {
		return nil, "", errors.New("wrong padding")
	}
	plain = plain[16 : len(plain)-pad]
	n := int(binary.BigEndian.Uint32(plain))
	if n < 0 || n > len(plain)-4 {
		return nil, "", errors.New("wrong length")
	}
	return plain[4 : 4+n], string(plain[4+n:]), nil
}
