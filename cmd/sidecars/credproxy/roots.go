package credproxy

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// rootPool returns Mozilla's roots plus those of a PEM file (none when nil). The image has no system
// roots, and if it had some they would not be asked: which authorities are trusted must not depend on it.
func rootPool(caPEM []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, fmt.Errorf("mozilla's roots: %w", err)
		}
		if root.Constraint == nil {
			pool.AddCert(cert)
		} else {
			pool.AddCertWithConstraint(cert, root.Constraint)
		}
	}
	if err := addPEM(pool, caPEM); err != nil {
		return nil, fmt.Errorf("%s: %w", caFile, err)
	}
	return pool, nil
}

// addPEM is strict where CertPool.AppendCertsFromPEM skips what it can't read: a root that is silently
// left out shows only much later, as a TLS error.
func addPEM(pool *x509.CertPool, data []byte) error {
	if data == nil {
		return nil
	}
	for count := 1; ; count++ {
		block, rest := pem.Decode(data)
		if block == nil {
			return errors.New("not a PEM file of certificates")
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("block %d is a %s; only certificates belong here", count, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("certificate %d: %w", count, err)
		}
		pool.AddCert(cert)
		if data = bytes.TrimSpace(rest); len(data) == 0 || !bytes.Contains(data, []byte("-----BEGIN")) {
			return nil
		}
	}
}
