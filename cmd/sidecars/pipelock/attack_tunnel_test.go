package pipelock

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

func TestAttackTunnel(t *testing.T) {
	good := helloTo(t, "local.test")
	for name, c := range map[string]struct {
		sent   []byte
		reason string
	}{
		"domain fronting":             {helloTo(t, "evil.test"), "the TLS server name is not the host of CONNECT"},
		"domain fronting, in records": {inRecords(helloTo(t, "evil.test"), 10), "the TLS server name is not the host of CONNECT"},
		"a name below":                {helloTo(t, "x.local.test"), "the TLS server name is not the host of CONNECT"},
		"encrypted hello's front":     {encryptedHello(t, "front.test"), "the TLS server name is not the host of CONNECT"},
		"no server name":              {helloTo(t, ""), "the TLS ClientHello has no server name"},
		"SSH":                         {[]byte("SSH-2.0-OpenSSH_9.2\r\n"), noHello},
		"IMAP":                        {[]byte("a1 LOGIN x y\r\n"), noHello},
		"Redis":                       {[]byte("*1\r\n$4\r\nPING\r\n"), noHello},
		"a method without an end":     {bytes.Repeat([]byte("A"), 100), noHello},
		"a space":                     {[]byte(" GET / HTTP/1.1\r\n\r\n"), noHello},
		"half a hello":                {good[:len(good)/2], noHello},
	} {
		t.Run(name, func(t *testing.T) {
			got := &sidecartest.Buffer{}
			port := tcpServer(t, func(conn *net.TCPConn) { io.Copy(got, conn) })
			p := startProxy(t, settings([]string{"local.test:" + port}, ""), map[string][]string{"local.test": toLoopback})
			conn, br, resp := p.connect("local.test:" + port)
			if resp.StatusCode != http.StatusOK {
				t.Fatal(resp.Status)
			}
			conn.Write(c.sent)
			conn.(*net.TCPConn).CloseWrite()
			if answer, err := io.ReadAll(br); err != nil || !bytes.Equal(answer, accessDenied) {
				t.Errorf("answer %x, %v", answer, err)
			}
			p.wantLog(map[string]any{"action": "deny", "host": "local.test", "reason": c.reason})
			if got.String() != "" {
				t.Errorf("the upstream has %q", got.String())
			}
		})
	}
}

// encryptedHello is a ClientHello to front with an encrypted one to local.test in it (RFC 9849).
func encryptedHello(t *testing.T, front string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	config := append([]byte{1, 0, 0x20, 0, 32}, key.PublicKey().Bytes()...) // its number, X25519, the key
	config = append(config, 0, 4, 0, 1, 0, 1, 32, byte(len(front)))         // HKDF-SHA256 and AES-128-GCM, the longest name
	config = append(append(config, front...), 0, 0)                         // no extensions
	config = append([]byte{0xfe, 0x0d, 0, byte(len(config))}, config...)
	list := append([]byte{0, byte(len(config))}, config...)
	return clientHello(t, &tls.Config{ServerName: "local.test", InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: list})
}

// TestTunnelHelloInPieces: a ClientHello may come in as many records and segments as it likes.
func TestTunnelHelloInPieces(t *testing.T) {
	port := echo(t)
	p := startProxy(t, settings([]string{"local.test:" + port}, ""), map[string][]string{"local.test": toLoopback})
	conn, br, _ := p.connect("local.test:" + port)
	conn.(*net.TCPConn).SetNoDelay(true)
	for _, b := range inRecords(helloTo(t, "local.test"), 60) {
		conn.Write([]byte{b})
	}
	// The server takes the first record for all of the ClientHello; the others come back.
	if header, err := br.Peek(5); err != nil || header[0] != 22 {
		t.Errorf("%x, %v", header, err)
	}
}

// TestAttackResolvesInside: every way to write an address inside is refused, however it is mixed with
// public ones.
func TestAttackResolvesInside(t *testing.T) {
	for _, inside := range []string{
		"10.0.0.1", "172.17.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
		"::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "::10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
		"2002:0a00:0001::1", "2001:0:0a00:1::1", "fd00:ec2::254",
	} {
		for _, answer := range []string{inside, "93.184.216.34 " + inside, inside + " 2606:4700::1111"} {
			p := startProxy(t, strings.Replace(settings([]string{"evil.test"}, ""), "127.0.0.0/8", "198.51.100.0/24", 1), map[string][]string{"evil.test": {answer}})
			if _, _, resp := p.connect("evil.test:443"); resp.StatusCode != http.StatusForbidden {
				t.Errorf("CONNECT to %s: %s", answer, resp.Status)
			}
			if resp, err := p.client().Get("http://evil.test/"); err != nil || resp.StatusCode != http.StatusForbidden {
				t.Errorf("GET to %s: %v, %v", answer, resp, err)
			}
		}
	}
}
