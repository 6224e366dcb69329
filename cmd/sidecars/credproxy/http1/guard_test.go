package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

// FuzzGuard checks that net/http and the guard agree on where a message ends, or that the guard refuses it.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST / HTTP/1.0\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n", "\r\nGET / HTTP/1.1\r\n\r\n",
	} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		reader := bufio.NewReader(bytes.NewReader(data))
		req, err := http.ReadRequest(reader)
		if err != nil || len(req.TransferEncoding) > 0 {
			return // not served, or the last one of its connection
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		end := len(data) - reader.Buffered()
		if len(data) > 4096 {
			return // not all of it is in the buffer
		}
		c := &guardedConn{}
		for rest := data[:end]; len(rest) > 0 && !c.blind; {
			part := rest[:min(len(rest), max(int(piece), 1))]
			rest = rest[len(part):]
			for len(part) > 0 && !c.blind {
				part = c.inspect(part)
			}
		}
		if c.fault.Load() == nil && (c.blind && req.Proto != "HTTP/2.0" || c.head.begun || c.body > 0 || len(c.line) > 0) {
			t.Errorf("%q: net/http has the message end at %d, the guard not: %+v, %d, %q", data, end, c.head, c.body, c.line)
		}
	})
}
