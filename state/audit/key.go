package audit

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxKey limits a key's file, in bytes.
const maxKey = 64 << 10

// ReadSigningKey reads an Ed25519 private key (PEM, PKCS #8), whose file only this user may read.
func ReadSigningKey(path string) (ed25519.PrivateKey, error) {
	file, err := openOwn(path)
	if err != nil {
		return nil, fmt.Errorf("audit key: %w", err)
	}
	defer file.Close()
	key, err := readPEM(file, x509.ParsePKCS8PrivateKey)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("audit key: %s is no Ed25519 private key: make one with openssl genpkey -algorithm ed25519 -out FILE", path)
	}
	return private, nil
}

// ReadVerifyKey reads an Ed25519 public key (PEM).
func ReadVerifyKey(path string) (ed25519.PublicKey, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("audit key: %w", err)
	}
	defer file.Close()
	key, err := readPEM(file, x509.ParsePKIXPublicKey)
	public, ok := key.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("audit key: %s is no Ed25519 public key: get it with openssl pkey -in FILE -pubout", path)
	}
	return public, nil
}

func readPEM(file io.Reader, parse func([]byte) (any, error)) (any, error) {
	data, err := io.ReadAll(io.LimitReader(file, maxKey))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return parse(block.Bytes)
}
