package wecomtest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Callback crypto: https://developer.work.weixin.qq.com/document/path/90968

// Keys sign and encrypt callbacks of one receiver.
type Keys struct {
	Token    string
	AESKey   string // EncodingAESKey: 43 characters
	Receiver string // the corp's id; "" for a robot
}

// key is the AES key. The last of its 43 characters carries bits that are not
// used, which the platform does not mind.
func (k Keys) key() ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(k.AESKey + "=")
	if err != nil || len(b) != 32 {
		return nil, errors.New("the EncodingAESKey is not 43 characters of base64")
	}
	return b, nil
}

// Sign returns the msg_signature of four values.
func (k Keys) Sign(timestamp, nonce, encrypted string) string {
	parts := []string{k.Token, timestamp, nonce, encrypted}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])
}

// Encrypt makes the ciphertext of a message.
func (k Keys) Encrypt(plain []byte) (string, error) {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	return k.encrypt(random, plain)
}

func (k Keys) encrypt(random, plain []byte) (string, error) {
	key, err := k.key()
	if err != nil {
		return "", err
	}
	b := make([]byte, 0, 20+len(plain)+len(k.Receiver)+32)
	b = append(b, random...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(plain)))
	b = append(append(b, plain...), k.Receiver...)
	return base64.StdEncoding.EncodeToString(seal(key, b)), nil
}

var errCipher = errors.New("what came back cannot be decrypted")

// Decrypt opens a ciphertext and checks whom it is for.
func (k Keys) Decrypt(encrypted string) ([]byte, error) {
	key, err := k.key()
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(encrypted)
	if err != nil {
		return nil, errCipher
	}
	if b, err = open(key, b); err != nil || len(b) < 20 {
		return nil, errCipher
	}
	n := uint64(binary.BigEndian.Uint32(b[16:20]))
	if n > uint64(len(b)-20) {
		return nil, errCipher
	}
	if got := string(b[20+n:]); got != k.Receiver {
		return nil, fmt.Errorf("what came back is for %q, not for %q", got, k.Receiver)
	}
	return b[20 : 20+n], nil
}

// seal encrypts with AES-256-CBC, padded to 32 bytes; files are encrypted in
// the same way, without any frame.
func seal(key, b []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // a key of 32 bytes is never refused
	}
	pad := 32 - len(b)%32
	b = append(slices.Clone(b), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, key[:16]).CryptBlocks(b, b)
	return b
}

func open(key, b []byte) ([]byte, error) {
	if len(b) == 0 || len(b)%16 != 0 {
		return nil, errCipher
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(b))
	cipher.NewCBCDecrypter(block, key[:16]).CryptBlocks(out, b)
	pad := int(out[len(out)-1])
	if pad < 1 || pad > 32 || pad > len(out) || !bytes.Equal(out[len(out)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errCipher
	}
	return out[:len(out)-pad], nil
}
