package credproxy

import (
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	model "github.com/bot-bottle/bottled/manifests/route"
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
	if caPEM == nil {
		return pool, nil
	}
	own, err := model.ParseCABundle(caPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", caFile, err)
	}
	for _, cert := range own {
		pool.AddCert(cert)
	}
	return pool, nil
}
