package feishutest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

// Encrypt is how a request's body is hidden: base64 of the start vector and of
// AES-256-CBC with the SHA-256 of the key, padded as in PKCS#7.
// https://open.feishu.cn/document/server-docs/event-subscription-guide/event-subscription-configure-/encrypt-key-encryption-configuration-case
func Encrypt(key string, iv [16]byte, plain []byte) string {
	sum := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		panic(err) // 32 bytes always are a key
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	out := make([]byte, aes.BlockSize+len(plain)+pad)
	copy(out, iv[:])
	copy(out[aes.BlockSize:], plain)
	for i := len(out) - pad; i < len(out); i++ {
		out[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(block, iv[:]).CryptBlocks(out[aes.BlockSize:], out[aes.BlockSize:])
	return base64.StdEncoding.EncodeToString(out)
}

// Decrypt undoes Encrypt.
func Decrypt(key, text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	if len(b) < 2*aes.BlockSize || len(b)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("decrypt: %d bytes are no whole blocks", len(b))
	}
	sum := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		return nil, err
	}
	plain := b[aes.BlockSize:]
	cipher.NewCBCDecrypter(block, b[:aes.BlockSize]).CryptBlocks(plain, plain)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, fmt.Errorf("decrypt: padding %d", pad)
	}
	return plain[:len(plain)-pad], nil
}

// seal makes the body that is sent: encrypted when there is a key.
func seal(key string, plain []byte) []byte {
	if key == "" {
		return plain
	}
	var iv [16]byte
	if _, err := rand.Read(iv[:]); err != nil {
		panic(err) // never happens: see crypto/rand
	}
	return []byte(`{"encrypt":"` + Encrypt(key, iv, plain) + `"}`)
}

// Seal makes the body of a request: encrypted, unless the app has no key.
func (s *Server) Seal(plain []byte) []byte { return seal(s.opt.EncryptKey, plain) }

// Sign returns the headers that prove a body to be Feishu's: SHA-256 over
// timestamp (seconds), nonce, key and body, one after the other. Without a key
// there is no signature.
func Sign(key, timestamp, nonce string, body []byte) http.Header {
	h := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	h.Set("X-Lark-Request-Timestamp", timestamp)
	h.Set("X-Lark-Request-Nonce", nonce)
	if key != "" {
		sum := sha256.New()
		sum.Write([]byte(timestamp + nonce + key))
		sum.Write(body)
		h.Set("X-Lark-Signature", hex.EncodeToString(sum.Sum(nil)))
	}
	return h
}

// Sign returns the headers for a body that is sent now.
func (s *Server) Sign(body []byte) http.Header {
	return Sign(s.opt.EncryptKey, fmt.Sprint(s.opt.Now().Unix()), strings.ToLower(rand.Text()), body)
}
