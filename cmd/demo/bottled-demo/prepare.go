package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/state/owndir"
)

// The files that prepare makes.
const (
	caFile    = "ca.pem"     // an authority's certificate; its key is never written
	certFile  = "server.pem" // the upstream's certificate
	keyFile   = "server.key" // and its key
	tokenFile = "token"      // what the upstream would want to see
)

const (
	validity = 30 * 24 * time.Hour
	// imageUser is the user (and group) of images made of one executable, see state/engine/selfimage.
	imageUser = 65532
)

func prepareCommand() *cobra.Command {
	var hosts []string
	cmd := &cobra.Command{
		Use:   "prepare DIR",
		Short: "Make an authority, a server's certificate and a token for the upstream",
		Long: `Make, anew, in DIR: ca.pem (the certificate of an authority whose key is thrown away), server.pem and server.key for the
hosts, valid for 30 days, and token (random). Key and token can be read by the owner only. When root makes them, the
key is given to user 65532, as which a container of this program's image runs.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return prepare(args[0], hosts) },
	}
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "`name` or address of the server; may be repeated")
	if err := cmd.MarkFlagRequired("host"); err != nil {
		panic(err) // the flag is defined a line above
	}
	return cmd
}

func prepare(dir string, hosts []string) error {
	made, err := newCertificates(hosts)
	if err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // holds no secret but in files that are closed themselves
		return err
	}
	files := []struct {
		name string
		data []byte
		mode fs.FileMode
	}{
		{caFile, made.ca, 0o644},
		{certFile, made.cert, 0o644},
		{keyFile, made.key, 0o600},
		{tokenFile, []byte("demo-" + rand.Text() + "\n"), 0o600},
	}
	for _, f := range files {
		if err := owndir.WriteFile(filepath.Join(dir, f.name), f.data, f.mode, nil); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 {
		return os.Chown(filepath.Join(dir, keyFile), imageUser, imageUser)
	}
	return nil
}

// certificates are PEM texts.
type certificates struct{ ca, cert, key []byte }

func newCertificates(hosts []string) (certificates, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificates{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificates{}, err
	}
	ca := template("bottled demo authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	server := template("bottled demo upstream")
	server.KeyUsage, server.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, h)
		}
	}
	caDER, caErr := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	serverDER, serverErr := x509.CreateCertificate(rand.Reader, server, ca, key.Public(), caKey)
	keyDER, keyErr := x509.MarshalPKCS8PrivateKey(key)
	return certificates{
		ca: block("CERTIFICATE", caDER), cert: block("CERTIFICATE", serverDER), key: block("PRIVATE KEY", keyDER),
	}, errors.Join(caErr, serverErr, keyErr)
}

// template has a serial number chosen by x509.CreateCertificate.
func template(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), // clocks differ
		NotAfter:  time.Now().Add(validity),
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
