package route

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParseCABundle returns the certificates of a PEM file. It is strict where CertPool.AppendCertsFromPEM skips what it can't read: a root
// that is silently left out shows only much later, as a TLS error.
func ParseCABundle(data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("not a PEM file of certificates")
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("block %d is a %s; only certificates belong here", len(all)+1, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(all)+1, err)
		}
		all = append(all, cert)
		if data = bytes.TrimSpace(rest); !bytes.Contains(data, []byte("-----BEGIN")) {
			return all, nil
		}
	}
}
