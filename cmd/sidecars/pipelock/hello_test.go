package pipelock

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"testing/iotest"
	"time"
)

// clientHello is what a TLS client sends first. An empty name is sent as none.
func clientHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		defer client.Close()
		_ = tls.Client(client, config).Handshake() // fails: nobody answers
	}()
	header := make([]byte, 5)
	if _, err := io.ReadFull(server, header); err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, int(header[3])<<8|int(header[4]))
	if _, err := io.ReadFull(server, rest); err != nil {
		t.Fatal(err)
	}
	server.Close()
	return append(header, rest...)
}

func helloTo(t testing.TB, name string) []byte {
	t.Helper()
	return clientHello(t, &tls.Config{ServerName: name, InsecureSkipVerify: true})
}

// inRecords cuts the one record of a message into several.
func inRecords(record []byte, size int) []byte {
	var out []byte
	for payload := record[5:]; len(payload) > 0; {
		n := min(size, len(payload))
		out = append(out, record[0], record[1], record[2], byte(n>>8), byte(n))
		out = append(out, payload[:n]...)
		payload = payload[n:]
	}
	return out
}

func TestParseHello(t *testing.T) {
	plain := helloTo(t, "Api.Example.com")
	old := clientHello(t, &tls.Config{ServerName: "api.example.com", InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10})
	for what, sent := range map[string][]byte{
		"one record":            plain,
		"records of 100 bytes":  inRecords(plain, 100),
		"records of one byte":   inRecords(plain, 1),
		"TLS 1.0":               old,
		"early data behind it":  append(bytes.Clone(plain), "\x17\x03\x03\x00\x05early"...),
		"alpn and a big ticket": clientHello(t, &tls.Config{ServerName: "api.example.com", InsecureSkipVerify: true, NextProtos: []string{string(bytes.Repeat([]byte("x"), 255)), "h2"}}),
	} {
		for how, r := range map[string]io.Reader{"at once": bytes.NewReader(sent), "byte by byte": iotest.OneByteReader(bytes.NewReader(sent))} {
			h, err := parseHello(r)
			if err != nil || h.name != "api.example.com" {
				t.Errorf("%s, %s: %q, %v", what, how, h.name, err)
				continue
			}
			rest, _ := io.ReadAll(r)
			if got := bytes.Join([][]byte{h.raw, rest}, nil); !bytes.Equal(got, sent) {
				t.Errorf("%s, %s: %d bytes of %d are passed on", what, how, len(got), len(sent))
			}
		}
	}
	if h, err := parseHello(bytes.NewReader(helloTo(t, ""))); err != nil || h.name != "" {
		t.Errorf("without a name: %q, %v", h.name, err)
	}
}

// serverNames replaces the names in a ClientHello by others of the same length in all.
func serverNames(t *testing.T, record []byte, from, to string) []byte {
	t.Helper()
	if len(from) != len(to) || bytes.Count(record, []byte(from)) != 1 {
		t.Fatalf("%q can't become %q", from, to)
	}
	return bytes.Replace(record, []byte(from), []byte(to), 1)
}

func TestParseHelloRefuses(t *testing.T) {
	plain := helloTo(t, "api.example.com")
	endless := inRecords(append(bytes.Clone(plain[:5]), bytes.Repeat([]byte{1, 0, 0xff, 0xff}, 32<<10)...), 1<<14)
	for what, sent := range map[string][]byte{
		"nothing":              nil,
		"SSH":                  []byte("SSH-2.0-OpenSSH_9.2\r\n"),
		"HTTP":                 []byte("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"),
		"SSLv2":                {0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10},
		"a cut off hello":      plain[:len(plain)-1],
		"an alert":             {21, 3, 1, 0, 2, 1, 0},
		"empty records":        bytes.Repeat([]byte{22, 3, 1, 0, 0}, 1000),
		"records without end":  endless,
		"a ServerHello":        append([]byte{22, 3, 1, 0, 4, 2, 0, 0, 0}, plain...),
		"a name with a dot":    serverNames(t, plain, "api.example.com", "api.example.co."),
		"a length beyond":      append([]byte{22, 3, 1, 0xff, 0xff}, plain[5:]...),
		"two names in one":     twoNames(t),
		"the extension twice":  twice(t),
		"application data":     []byte("\x17\x03\x03\x00\x05hello"),
		"handshake in the end": {22, 3, 1, 0, 1, 1},
	} {
		if h, err := parseHello(bytes.NewReader(sent)); err == nil {
			t.Errorf("%s: read as %q", what, h.name)
		}
	}
}

// grown is a ClientHello with more bytes in its extension for server names; all lengths are right.
func grown(t *testing.T, change func(extension []byte) []byte) []byte {
	t.Helper()
	const name = "api.example.com"
	record := helloTo(t, name)
	at := bytes.Index(record, []byte(name)) - 9 // type, length, length of the list, type of the name, length
	end := at + 9 + len(name)
	extension := change(bytes.Clone(record[at:end]))
	out := append(append(bytes.Clone(record[:at]), extension...), record[end:]...)
	by := len(extension) - (end - at)
	// The lengths of the record, the message and the extensions.
	session := 5 + 4 + 2 + 32
	suites := session + 1 + int(record[session])
	compressions := suites + 2 + (int(record[suites])<<8 | int(record[suites+1]))
	extensions := compressions + 1 + int(record[compressions])
	for _, at := range []int{3, 7, extensions} {
		n := int(out[at])<<8 | int(out[at+1]) + 0
		n += by
		out[at], out[at+1] = byte(n>>8), byte(n)
	}
	return out
}

func twoNames(t *testing.T) []byte {
	return grown(t, func(e []byte) []byte {
		second := append([]byte{0, 0, 9}, "evil.test"...)
		e[3] += byte(len(second))
		e[5] += byte(len(second))
		return append(e, second...)
	})
}

func twice(t *testing.T) []byte {
	return grown(t, func(e []byte) []byte { return append(bytes.Clone(e), e...) })
}

// TestGrown: the helper makes good ClientHellos, so that what is refused above is refused for what it has.
func TestGrown(t *testing.T) {
	same := grown(t, func(e []byte) []byte { return e })
	longer := grown(t, func(e []byte) []byte {
		e[3]++
		e[5]++
		e[8]++
		return append(e, 'x')
	})
	for name, sent := range map[string][]byte{"api.example.com": same, "api.example.comx": longer} {
		if h, err := parseHello(bytes.NewReader(sent)); err != nil || h.name != name {
			t.Errorf("%q, %v, want %q", h.name, err, name)
		}
	}
}

func TestHelloCheck(t *testing.T) {
	for _, c := range []struct {
		target, name string
		want         bool
	}{
		{"api.example.com", "api.example.com", true},
		{"API.example.com.", "api.example.com", true},
		{"api.example.com", "", false},
		{"api.example.com", "evil.test", false},
		{"api.example.com", "example.com", false},
		{"api.example.com", "x.api.example.com", false},
		{"192.0.2.7", "", true},
		{"192.0.2.7", "evil.test", false},
		{"[2001:db8::7]", "", true},
	} {
		if err := (hello{name: c.name}).check(mustTarget(t, c.target)); (err == nil) != c.want {
			t.Errorf("%s for %s: %v", c.name, c.target, err)
		}
	}
}

// FuzzHello: whatever comes is refused, or has a name and is passed on as it came.
func FuzzHello(f *testing.F) {
	plain := helloTo(f, "api.example.com")
	f.Add(plain)
	f.Add(inRecords(plain, 50))
	f.Add(helloTo(f, ""))
	f.Add([]byte("SSH-2.0-x\r\n"))
	f.Add([]byte{22, 3, 1, 0, 0})
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := bytes.NewReader(sent)
		h, err := parseHello(r)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(r)
		if !bytes.Equal(append(bytes.Clone(h.raw), rest...), sent) {
			t.Fatal("what is passed on is not what came")
		}
		if len(h.raw) > helloBytes || h.name != "" && !bytes.Contains(bytes.ToLower(unrecord(sent)), []byte(h.name)) {
			t.Fatalf("name %q from %d bytes", h.name, len(h.raw))
		}
		again, err := parseHello(bytes.NewReader(h.raw))
		if err != nil || again.name != h.name {
			t.Fatalf("%q, then %q, %v", h.name, again.name, err)
		}
	})
}

// unrecord joins the payloads of records.
func unrecord(sent []byte) []byte {
	var out []byte
	for len(sent) >= 5 {
		n := min(int(sent[3])<<8|int(sent[4]), len(sent)-5)
		out = append(out, sent[5:5+n]...)
		sent = sent[5+n:]
	}
	return out
}

// TestHelloTime: a client that never says hello is let go. Some bytes now and then make it no longer.
func TestHelloTime(t *testing.T) {
	port := echo(t)
	p := startProxy(t, settings([]string{"local.test:" + port}, ""), map[string][]string{"local.test": toLoopback})
	p.helloTime = 300 * time.Millisecond
	conn, br, _ := p.connect("local.test:" + port)
	drip := time.NewTicker(p.helloTime / 10)
	defer drip.Stop()
	start := time.Now()
	for range 3 {
		conn.Write([]byte{22})
		<-drip.C
	}
	alert := make([]byte, len(accessDenied))
	if _, err := io.ReadFull(br, alert); err != nil || !bytes.Equal(alert, accessDenied) || time.Since(start) < p.helloTime/2 {
		t.Errorf("%x, %v after %s", alert, err, time.Since(start))
	}
	p.wantLog(map[string]any{"action": "deny", "reason": noHello})
}
