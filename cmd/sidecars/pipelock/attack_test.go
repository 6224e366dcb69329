package pipelock

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// token is a GitHub token that nobody has. It is put together here, so that no scanner finds it in the source.
func token() string {
	return "gh" + "p_" + strings.Repeat("k3Vx9Qa7Zt2L", 3)
}

const foundToken = " contains secret: github-pat"

// withDLP is settings with the bottle's dlpAction.
func withDLP(action string, allow ...string) string {
	return settings(allow, "request_body_scanning: {enabled: true, action: "+action+", max_body_bytes: 1048576}\n")
}

// seen is an upstream that keeps all it gets, and answers each whole request.
type seen struct {
	base  string
	bytes sidecartest.Buffer
}

func startSeen(t *testing.T, host string) *seen {
	t.Helper()
	return startSeenAt(t, "127.0.0.1", host)
}

func startSeenAt(t *testing.T, address, host string) *seen {
	t.Helper()
	s := &seen{}
	port := tcpServerAt(t, address, func(conn *net.TCPConn) {
		br := bufio.NewReader(io.TeeReader(conn, &s.bytes))
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	s.base = "http://" + host + ":" + port
	return s
}

// attack sends a raw request and returns the status and text of the answer, then checks that the secret got
// nowhere: not to the upstream, not into the answer, not into the log, not to DNS.
func attack(t *testing.T, p *testProxy, s *seen, request string) string {
	t.Helper()
	conn := p.raw()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err == nil && resp.StatusCode == http.StatusContinue {
		resp, err = http.ReadResponse(br, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(body(t, resp)))
	p.logged(1)
	for what, text := range map[string]string{
		"answer": got + fmt.Sprint(resp.Header), "log": p.log.String(), "upstream": s.bytes.String(), "DNS": strings.Join(p.resolver.asked, " "),
	} {
		for _, secret := range []string{token(), strings.ToLower(token()), token()[8:30]} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s has the secret: %s", what, text)
			}
		}
	}
	return got
}

func TestAttackSecretLeaves(t *testing.T) {
	post := func(body string) string {
		return fmt.Sprintf("POST %%s/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	for name, c := range map[string]struct{ request, where string }{
		"in the path":               {"GET %s/" + token() + "/x HTTP/1.1\r\nHost: x\r\n\r\n", "URL"},
		"in the query":              {"GET %s/x?a=b&t=" + token() + "&c=d HTTP/1.1\r\nHost: x\r\n\r\n", "URL"},
		"percent-encoded":           {"GET %s/x?t=%%67%%68%%70%%5f" + token()[4:] + " HTTP/1.1\r\nHost: x\r\n\r\n", "URL"},
		"base64 in the query":       {"GET %s/x?t=" + b64("x"+token()) + " HTTP/1.1\r\nHost: x\r\n\r\n", "URL"},
		"as the method":             {token() + " %s/x HTTP/1.1\r\nHost: x\r\n\r\n", "URL"},
		"in a header":               {"GET %s/x HTTP/1.1\r\nHost: x\r\nX-Api-Key: " + token() + "\r\n\r\n", "header"},
		"in a header's name":        {"GET %s/x HTTP/1.1\r\nHost: x\r\nX-" + hex.EncodeToString([]byte(token())) + ": 1\r\n\r\n", "header"},
		"in a cookie":               {"GET %s/x HTTP/1.1\r\nHost: x\r\nCookie: a=b; c=" + token() + "; d=e\r\n\r\n", "header"},
		"as a bearer":               {"GET %s/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token() + "\r\n\r\n", "header"},
		"as a basic password":       {"GET %s/x HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + b64("u:"+token()) + "\r\n\r\n", "header"},
		"in the body":               {post(`{"t":"` + token() + `"}`), "body"},
		"at the end of the body":    {post(strings.Repeat("word ", 50_000) + token()), "body"},
		"in hex in the body":        {post(hex.EncodeToString([]byte(token()))), "body"},
		"in base64 in the body":     {post(b64(strings.Repeat("text ", 20) + token())), "body"},
		"in a form":                 {post("a=b&t=" + token() + "&c=d"), "body"},
		"in a chunked body":         {"POST %s/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n" + token() + "\r\n0\r\n\r\n", "body"},
		"in many chunks":            {"POST %s/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(token(), 1) + "0\r\n\r\n", "body"},
		"in a body of a GET":        {"GET %s/x HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n" + token(), "body"},
		"in a body expected later":  {strings.Replace(post(token()), "Host: x", "Host: x\r\nExpect: 100-continue", 1), "body"},
		"in a body with a rude end": {"POST %s/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + token() + "\n", "body"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSeen(t, "local.test")
			p := startProxy(t, withDLP("block", "local.test"), map[string][]string{"local.test": toLoopback})
			got := attack(t, p, s, fmt.Sprintf(c.request, s.base))
			if want := "403 blocked: request " + c.where + foundToken; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			p.wantLog(map[string]any{"action": "deny", "status": 403, "reason": "request " + c.where + foundToken})
		})
	}
}

func chunks(text string, size int) string {
	var b strings.Builder
	for ; len(text) > size; text = text[size:] {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", size, text[:size])
	}
	fmt.Fprintf(&b, "%x\r\n%s\r\n", len(text), text)
	return b.String()
}

// TestAttackSecretNotPassedOn: places from which nothing is passed on at all.
func TestAttackSecretNotPassedOn(t *testing.T) {
	for name, request := range map[string]string{
		"in a trailer":          "POST %s/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n1\r\nx\r\n0\r\nX-T: " + token() + "\r\n\r\n",
		"as a trailer's name":   "POST %s/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: " + token() + "\r\n\r\n0\r\n\r\n",
		"in a chunk extension":  "POST %s/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;x=" + token() + "\r\nx\r\n0\r\n\r\n",
		"in the Host header":    "GET %s/x HTTP/1.1\r\nHost: " + token() + "\r\n\r\n",
		"in a fragment":         "GET %s/x HTTP/1.1\r\nHost: x#" + token() + "\r\n\r\n",
		"in a hop-by-hop value": "GET %s/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + token(),
	} {
		t.Run(name, func(t *testing.T) {
			s := startSeen(t, "local.test")
			p := startProxy(t, withDLP("block", "local.test"), map[string][]string{"local.test": toLoopback})
			conn := p.raw()
			fmt.Fprintf(conn, request, s.base)
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn) // until the proxy has done with it
			if strings.Contains(s.bytes.String()+p.log.String(), token()) {
				t.Errorf("it was passed on or logged:\n%s", s.bytes.String())
			}
		})
	}
}

// TestAttackSecretInName: a question to DNS would carry the secret to the name's servers.
func TestAttackSecretInName(t *testing.T) {
	name := token() + ".wild.test"
	for _, request := range []string{
		"CONNECT " + name + ":443 HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://" + name + "/ HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		for _, action := range []string{"block", "warn"} {
			p := startProxy(t, withDLP(action, "*.wild.test"), nil)
			resp := p.ask(request)
			if action == "block" && (resp.StatusCode != http.StatusForbidden || p.resolver.questions(strings.ToLower(name)) > 0) {
				t.Errorf("%s: %s, DNS was asked %q", request, resp.Status, p.resolver.asked)
			}
			p.logged(1)
			if strings.Contains(strings.ToLower(p.log.String()), strings.ToLower(token())) {
				t.Errorf("%s: the log names it", action)
			}
		}
	}
}

// TestAttackSecretCutByTime: the beginning of a secret waits for its end.
func TestAttackSecretCutByTime(t *testing.T) {
	s := startSeen(t, "local.test")
	p := startProxy(t, withDLP("block", "local.test"), map[string][]string{"local.test": toLoopback})
	conn := p.raw()
	fmt.Fprintf(conn, "POST %s/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", s.base)
	io.WriteString(conn, chunks("hello "+token()[:30], 100))
	p.until("the upload to begin", func() bool { return strings.Contains(s.bytes.String(), "hello ") })
	if got := s.bytes.String(); strings.Contains(got, token()[:4]) {
		t.Errorf("the upstream has %q", got)
	}
	if resp := sidecartest.Ask(t, conn, chunks(token()[30:], 100)+"0\r\n\r\n"); resp.StatusCode != http.StatusForbidden {
		t.Error(resp.Status)
	}
	if strings.Contains(s.bytes.String(), token()[:4]) {
		t.Error("the upstream has some of it")
	}
}

func TestAttackSecretCompressed(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, `{"t":"`+token()+`"}`)
	z.Close()
	for encoding, want := range map[string]string{
		"gzip":                            "403 blocked: request body contains secret: github-pat",
		"GZIP":                            "403 blocked: request body contains secret: github-pat",
		"identity\r\nContent-Encoding: x": "415 blocked: request body has a Content-Encoding that cannot be undone (possible are gzip, deflate, br, zstd, and two of them)",
		"br":                              "403 blocked: request body is not what its Content-Encoding says",
		"x, gzip":                         "415 blocked: request body has a Content-Encoding that cannot be undone (possible are gzip, deflate, br, zstd, and two of them)",
		"deflate":                         "403 blocked: request body is not what its Content-Encoding says",
	} {
		s := startSeen(t, "local.test")
		p := startProxy(t, withDLP("block", "local.test"), map[string][]string{"local.test": toLoopback})
		got := attack(t, p, s, fmt.Sprintf("POST %s/ HTTP/1.1\r\nHost: x\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", s.base, encoding, zipped.Len(), zipped.Bytes()))
		if got != want {
			t.Errorf("%q: got %q, want %q", encoding, got, want)
		}
		if strings.Contains(s.bytes.String(), zipped.String()) {
			t.Errorf("%q: the upstream has the body", encoding)
		}
	}
}

// TestCompressedPasses: a compressed body without a secret arrives as it was sent.
func TestCompressedPasses(t *testing.T) {
	for encoding, sent := range map[string]string{
		"zstd":       "\x28\xb5\x2f\xfd\x04\x58\x29\x00\x00hello\xa3\x6d\x9f\x88",
		"br":         "\x0b\x02\x80hello\x03",
		"br, zstd":   "\x28\xb5\x2f\xfd\x20\x09\x49\x00\x00\x0b\x02\x80hello\x03",
		"identity":   "hello",
		"zstd, zstd": "", // no body at all
	} {
		s := startSeen(t, "local.test")
		p := startProxy(t, withDLP("block", "local.test"), map[string][]string{"local.test": toLoopback})
		resp := p.ask(fmt.Sprintf("POST %s/ HTTP/1.1\r\nHost: x\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", s.base, encoding, len(sent), sent))
		if got := body(t, resp); resp.StatusCode != http.StatusOK || !strings.HasSuffix(s.bytes.String(), "\r\n\r\n"+sent) || !strings.Contains(s.bytes.String(), "Content-Encoding: "+encoding+"\r\n") {
			t.Errorf("%q: %s %q, and the upstream got %q", encoding, resp.Status, got, s.bytes.String())
		}
		p.until("all memory to be free", func() bool {
			free := p.buffers.TryAcquire(buffersCost)
			if free {
				p.buffers.Release(buffersCost)
			}
			return free
		})
	}
}

// TestUnknownCoding: the answer says which codings are possible.
func TestUnknownCoding(t *testing.T) {
	p := startProxy(t, withDLP("block", "local.test"), map[string][]string{"local.test": toLoopback})
	resp := p.ask("POST http://local.test/ HTTP/1.1\r\nHost: x\r\nContent-Encoding: compress\r\nContent-Length: 1\r\n\r\nx")
	if resp.StatusCode != http.StatusUnsupportedMediaType || resp.Header.Get("Accept-Encoding") != "gzip, deflate, br, zstd" {
		t.Errorf("%s, %v", resp.Status, resp.Header)
	}
}

// TestNoMemoryForCoding: without memory to decompress, a body is refused rather than passed on.
func TestNoMemoryForCoding(t *testing.T) {
	t.Parallel() // it waits
	s := startSeen(t, "local.test")
	p := startProxy(t, withDLP("block", "local.test"), map[string][]string{"local.test": toLoopback})
	p.buffers, p.shareTime = semaphore.NewWeighted(plainCost+scanCost), 100*time.Millisecond
	resp := p.ask("POST " + s.base + "/ HTTP/1.1\r\nHost: x\r\nContent-Encoding: zstd\r\nContent-Length: 18\r\n\r\n\x28\xb5\x2f\xfd\x04\x58\x29\x00\x00hello\xa3\x6d\x9f\x88")
	if got := body(t, resp); resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(s.bytes.String(), "hello") {
		t.Errorf("%s %q, and the upstream got %q", resp.Status, got, s.bytes.String())
	}
}

func TestAttackOversizeBody(t *testing.T) {
	big := strings.Repeat("word ", 1<<20/5+2)
	for _, action := range []string{"block", "warn"} {
		for name, request := range map[string]string{
			"declared": fmt.Sprintf("POST %%s/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(big)),
			"chunked":  "POST %s/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(big, 1<<16),
		} {
			s := startSeen(t, "local.test")
			p := startProxy(t, withDLP(action, "local.test"), map[string][]string{"local.test": toLoopback})
			if got, want := attack(t, p, s, fmt.Sprintf(request, s.base)), "413 blocked: request body exceeds max_body_bytes (1048576)"; got != want {
				t.Errorf("%s, %s: got %q, want %q", action, name, got, want)
			}
		}
	}
}

// TestAttackRequestBehindRefusal: what follows a refused body on the connection is no request.
func TestAttackRequestBehindRefusal(t *testing.T) {
	t.Parallel() // it waits
	s := startSeen(t, "local.test")
	p := startProxy(t, withDLP("block", "local.test"), map[string][]string{"local.test": toLoopback})
	conn := p.raw()
	fmt.Fprintf(conn, "POST %s/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n%s\n", s.base, token())
	fmt.Fprintf(conn, "GET %s/smuggled HTTP/1.1\r\nHost: x\r\n\r\n", s.base)
	answer, _ := io.ReadAll(conn) // the connection may be cut
	if n := strings.Count(string(answer), "HTTP/1.1 "); n != 1 || !strings.HasPrefix(string(answer), "HTTP/1.1 403") {
		t.Errorf("%d answers: %q", n, answer)
	}
	if strings.Contains(s.bytes.String(), "/smuggled") {
		t.Error("the second request was passed on")
	}
}

// TestAttackSecretBehindAnswer: the upstream answers before the body has ended; the secret stays here, and the
// log has a refusal.
func TestAttackSecretBehindAnswer(t *testing.T) {
	base := upstreamFor(t, "local.test", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.WriteString(w, "early\n")
		w.(http.Flusher).Flush()
		if rest, err := io.ReadAll(r.Body); err == nil || strings.Contains(string(rest), "ghp_") {
			t.Errorf("the upstream has %q, %v", rest, err)
		}
	})
	p := startProxy(t, withDLP("block", "local.test"), map[string][]string{"local.test": toLoopback})
	conn := p.raw()
	fmt.Fprintf(conn, "POST %s/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s", base, chunks("one\n", 10))
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	io.WriteString(conn, chunks(token()+"\n", 100)+"0\r\n\r\n")
	if got, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the answer looks whole: %q", got)
	}
	p.wantLog(map[string]any{"action": "deny", "status": 200, "code": "dlp", "reason": "request body" + foundToken})
}

// TestWarn: everything passes, and the log says what was found, without it.
func TestWarn(t *testing.T) {
	for where, request := range map[string]string{
		"URL":    "GET %s/?t=" + token() + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"header": "GET %s/ HTTP/1.1\r\nHost: x\r\nX-T: " + token() + "\r\n\r\n",
		"body":   "POST %s/ HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n" + token(),
	} {
		s := startSeen(t, "local.test")
		p := startProxy(t, withDLP("warn", "local.test"), map[string][]string{"local.test": toLoopback})
		if resp := p.ask(fmt.Sprintf(request, s.base)); resp.StatusCode != http.StatusOK || body(t, resp) != "ok" {
			t.Errorf("%s: %s", where, resp.Status)
		}
		if !strings.Contains(s.bytes.String(), token()) {
			t.Errorf("%s: the upstream did not get it: %s", where, s.bytes.String())
		}
		p.wantLog(map[string]any{"level": "warn", "action": "allow", "status": 200, "warning": "request " + where + foundToken})
		if strings.Contains(p.log.String(), token()) {
			t.Errorf("%s: the log has it", where)
		}
	}
}

// TestCredProxyTraffic: the agent's requests to cred-proxy are looked into, and its placeholder is no secret.
func TestCredProxyTraffic(t *testing.T) {
	s := startSeenAt(t, inOwnNetwork, "cred-proxy")
	p := startProxy(t, withDLP("block", "cred-proxy"), map[string][]string{"cred-proxy": {inOwnNetwork}})
	p.names = &fakeResolver{answers: map[string][]string{"cred-proxy": {"127.0.0.9"}}} // the client is another
	request := func(header, body string) string {
		return fmt.Sprintf("POST %s/anthropic/v1/messages HTTP/1.1\r\nHost: cred-proxy:9099\r\n%sContent-Length: %d\r\n\r\n%s", s.base, header, len(body), body)
	}
	const placeholder = "Authorization: Bearer bottled-placeholder\r\nX-Api-Key: bottled-placeholder\r\n"
	if got := attack(t, p, s, request(placeholder, `{"messages":[{"role":"user","content":"hello"}]}`)); got != "200 ok" {
		t.Errorf("an ordinary request: %s", got)
	}
	if got := attack(t, p, s, request(placeholder, `{"content":"`+token()+`"}`)); got != "403 blocked: request body"+foundToken {
		t.Errorf("a secret in the body: %s", got)
	}
	if got := attack(t, p, s, request("Authorization: Bearer "+token()+"\r\n", "{}")); got != "403 blocked: request header"+foundToken {
		t.Errorf("a secret in the header: %s", got)
	}
}

// TestInjectedCredential: what cred-proxy has put in for an upstream over plain HTTP passes; a body of the
// agent's does not.
func TestInjectedCredential(t *testing.T) {
	s := startSeen(t, "local.test")
	p := startProxy(t, withDLP("block", "local.test"), map[string][]string{"local.test": toLoopback})
	p.names = &fakeResolver{answers: map[string][]string{"cred-proxy": {"10.9.9.9 127.0.0.1"}}}
	for _, request := range []string{
		"GET " + s.base + "/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token() + "\r\n\r\n",
		"GET " + s.base + "/x?key=" + token() + " HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		if resp := p.ask(request); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", request, resp.Status)
		}
	}
	resp := p.ask(fmt.Sprintf("POST %s/x HTTP/1.1\r\nHost: x\r\nContent-Length: 41\r\n\r\n%s\n", s.base, token()))
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a body: %s", resp.Status)
	}
}

const noHello = "what the client sent through the tunnel is neither a TLS ClientHello nor an HTTP request"
