package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LoadSecretKey returns the 32 bytes that sign buttons' tokens and sessions: the
// configured key, or the one in data_dir/secret.key, which is made when it is
// not there yet. A key file that others may read is refused.
func LoadSecretKey(c Config) ([]byte, error) {
	if c.SecretKey != "" {
		key, err := decodeKey(c.SecretKey.Reveal())
		if err != nil {
			return nil, fmt.Errorf("secret_key: %w", err)
		}
		return key, nil
	}
	if err := EnsureDataDir(c); err != nil {
		return nil, err
	}
	path := filepath.Join(c.DataDir, "secret.key")
	key, err := readKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := makeKeyFile(path); err != nil {
		return nil, fmt.Errorf("make secret key: %w", err)
	}
	return readKeyFile(path)
}

func readKeyFile(path string) ([]byte, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("secret key: %s is not a plain file", path)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("secret key: %s can be read by others (mode %04o); run: chmod 600 %s", path, st.Mode().Perm(), path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	key, err := decodeKey(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, fmt.Errorf("secret key: %s %w", path, err)
	}
	return key, nil
}

// makeKeyFile puts a new key in place whole or not at all. Of two processes
// that start together one wins and the other reads what the winner wrote.
func makeKeyFile(path string) (err error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".secret.key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	_, err = tmp.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
