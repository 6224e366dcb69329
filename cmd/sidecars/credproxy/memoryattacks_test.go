package credproxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// all is as many clients as there may be connections.
const all = maxConnections

// everyDay names an attack over HTTP/1 and one over HTTP/2: all of them take a quarter of an hour, in the nightly tests.
var everyDay = []string{"large headers in whole requests", "HTTP/2 CONTINUATION floods"}

// memoryAttacks are what TestMemoryUnderAttack tries.
var memoryAttacks = map[string]func(p *process){
	"36 KB of header in one line": func(p *process) {
		p.attack(all, 5*time.Second, p.say(requestLine+"X: "+strings.Repeat("x", 36<<10)))
	},
	"36 KB of header in small fields": func(p *process) {
		p.attack(all, 5*time.Second, p.say(requestLine+smallLines(36<<10)))
	},
	"31 KB of header that never ends": func(p *process) {
		p.attack(all, 8*time.Second, p.say(requestLine+largeLines(31<<10)))
	},
	"4 KB of header that never ends": func(p *process) {
		p.attack(all, 8*time.Second, p.say(requestLine+"X: "+strings.Repeat("x", 4000)))
	},
	"4 KB of header in drops": func(p *process) {
		text := requestLine + "X: " + strings.Repeat("x", 4000)
		p.attack(all, 8*time.Second, func(conn net.Conn) error {
			for text := text; len(text) > 0; {
				n := min(len(text), 100)
				if _, err := io.WriteString(conn, text[:n]); err != nil {
					return err
				}
				text = text[n:]
				<-time.After(50 * time.Millisecond)
			}
			return p.listen(conn)
		})
	},
	"small fields in whole requests": func(p *process) {
		p.crowded = true
		p.attack(all, 8*time.Second, p.say(requestLine+smallLines(3900)+"\r\n"))
	},
	"as many fields as are allowed": func(p *process) {
		p.crowded = true
		p.attack(all, 8*time.Second, p.say(requestLine+strings.Join(strings.SplitAfter(smallLines(4000), "\n")[:maxFields-1], "")+"\r\n"))
	},
	"large headers in whole requests": func(p *process) {
		p.crowded = true
		p.attack(all, 8*time.Second, p.say(requestLine+largeLines(31<<10)+"\r\n"))
	},
	"idle connections": func(p *process) { p.attack(all, 5*time.Second, func(net.Conn) error { return nil }) },
	"streams": func(p *process) {
		p.crowded = true
		p.attack(all, 8*time.Second, p.say(requestLine+"\r\n"))
	},
	"streams from TLS, HTTP/1": func(p *process) {
		p.crowded = true
		p.attack(all, 12*time.Second, p.say("GET /one/wait HTTP/1.1\r\nHost: x\r\n\r\n"))
	},
	"streams from HTTP/2": func(p *process) {
		p.crowded = true
		p.attack(all, 8*time.Second, p.say("GET /two/wait HTTP/1.1\r\nHost: x\r\n\r\n"))
	},
	"pipelined requests, no answer read": func(p *process) {
		p.crowded = true
		p.attack(all, 8*time.Second, sends(bytes.Repeat([]byte("GET /plain/hello HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 2000)+"\r\n\r\n"), 5000)))
	},
	"downloads that nobody reads": func(p *process) {
		p.crowded = true
		p.attack(all, 8*time.Second, func(conn net.Conn) error {
			_, err := io.WriteString(conn, "GET /plain/flood HTTP/1.1\r\nHost: x\r\n\r\n")
			return err
		})
	},
	"downloads from HTTP/2 that nobody reads": func(p *process) {
		p.crowded = true
		p.attack(all, 12*time.Second, func(conn net.Conn) error {
			_, err := io.WriteString(conn, "GET /two/flood HTTP/1.1\r\nHost: x\r\n\r\n")
			return err
		})
	},
	"uploads that nobody reads": func(p *process) {
		p.crowded = true
		p.attack(all, 8*time.Second, uploads("/plain/wait"))
	},
	"large headers of responses": func(p *process) {
		p.crowded = true
		p.attack(all, 12*time.Second, p.say("GET /one/large HTTP/1.1\r\nHost: x\r\n\r\n"))
	},
	"large headers of responses over HTTP/2": func(p *process) {
		p.crowded = true
		p.attack(all, 12*time.Second, p.say("GET /two/large HTTP/1.1\r\nHost: x\r\n\r\n"))
	},
	"uploads over HTTP/2 that nobody reads": func(p *process) {
		p.crowded = true
		p.attack(all, 12*time.Second, uploads("/two/wait"))
	},
	"HTTP/2 with large headers":  func(p *process) { p.attack(all, 12*time.Second, streams(maxStreams, 14<<10, "/plain/wait", nil)) },
	"HTTP/2 with larger headers": func(p *process) { p.attack(all, 12*time.Second, streams(maxStreams, 60<<10, "/plain/wait", nil)) },
	"HTTP/2 with small fields":   func(p *process) { p.attack(all, 12*time.Second, smallFields()) },
	"HTTP/2 with many streams": func(p *process) {
		p.crowded = true
		p.attack(all, 12*time.Second, streams(250, 100, "/plain/wait", nil))
	},
	"HTTP/2 downloads nobody reads": func(p *process) {
		p.crowded = true
		p.attack(all, 12*time.Second, streams(maxStreams, 0, "/two/flood", nil))
	},
	"HTTP/2 header bombs":            func(p *process) { p.attack(all, 12*time.Second, bombs()) },
	"HTTP/2 CONTINUATION floods":     func(p *process) { p.attack(all, 12*time.Second, continuations) },
	"HTTP/2 frames of a MB, stalled": func(p *process) { p.attack(all, 12*time.Second, largeFrame()) },
	"HTTP/2 rapid resets":            func(p *process) { p.attack(256, 12*time.Second, reading(streams(1000, 14<<10, "/two/wait", reset))) },
	"HTTP/2 idle connections":        func(p *process) { p.attack(all, 8*time.Second, streams(0, 0, "", nil)) },
}

const requestLine = "GET /plain/wait HTTP/1.1\r\nHost: x\r\n"

// smallLines are fields of which each has another short name.
func smallLines(bytes int) string { return lines(bytes, "%x:b\r\n") }

func largeLines(bytes int) string { return lines(bytes, "Field-%d: "+strings.Repeat("v", 200)+"\r\n") }

func lines(bytes int, format string) string {
	var text strings.Builder
	for i := 0; text.Len() < bytes-256; i++ {
		fmt.Fprintf(&text, format, i)
	}
	return text.String()
}

// uploads sends a large body.
func uploads(path string) func(net.Conn) error {
	const size = 10_000_000
	return sends([]byte(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", path, size) + strings.Repeat("x", size)))
}

// conversation2 returns what an HTTP/2 client sends: the preface, and what write writes.
func conversation2(write func(*http2.Framer)) []byte {
	var sent bytes.Buffer
	sent.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&sent, nil)
	_ = framer.WriteSettings() // to memory, here and below
	write(framer)
	return sent.Bytes()
}

// headerBlock appends a request for a path, with that many bytes of further fields.
func headerBlock(encoder *hpack.Encoder, path string, extra int) {
	fields := []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: path}}
	for i := 0; extra > 0; i++ {
		fields = append(fields, hpack.HeaderField{Name: fmt.Sprintf("x-%d", i), Value: strings.Repeat("v", min(extra, 200))})
		extra -= 240
	}
	for _, field := range fields {
		field.Sensitive = true // not in the table
		_ = encoder.WriteField(field)
	}
}

// writeHeaders sends a block in as many frames as it takes.
func writeHeaders(framer *http2.Framer, id uint32, block []byte) {
	const most = 16 << 10
	first := block[:min(len(block), most)]
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: true, EndHeaders: len(block) <= most})
	for block = block[len(first):]; len(block) > 0; {
		piece := block[:min(len(block), most)]
		block = block[len(piece):]
		_ = framer.WriteContinuation(id, len(block) == 0, piece)
	}
}

// sends sends the same to every connection, and reads nothing.
func sends(text []byte) func(net.Conn) error {
	return func(conn net.Conn) error {
		_, err := conn.Write(text)
		return err
	}
}

// streams opens that many requests on a connection, with a header of that size.
func streams(count, header int, path string, then func(*http2.Framer, uint32)) func(net.Conn) error {
	return sends(conversation2(func(framer *http2.Framer) {
		for i := range count {
			var block bytes.Buffer
			headerBlock(hpack.NewEncoder(&block), path, header)
			writeHeaders(framer, uint32(2*i+1), block.Bytes())
			if then != nil {
				then(framer, uint32(2*i+1))
			}
		}
	}))
}

// bombs are blocks of a few KB that repeat a field of 4 KB from the table.
func bombs() func(net.Conn) error {
	return sends(conversation2(func(framer *http2.Framer) {
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for i := range 60 {
			block.Reset()
			headerBlock(encoder, "/plain/wait", 0)
			for range 8000 {
				_ = encoder.WriteField(hpack.HeaderField{Name: "bomb", Value: strings.Repeat("v", 3900)})
			}
			writeHeaders(framer, uint32(2*i+1), block.Bytes())
		}
	}))
}

// smallFields has as many small fields as a header may have, by net/http's count.
func smallFields() func(net.Conn) error {
	return sends(conversation2(func(framer *http2.Framer) {
		for i := range maxStreams {
			var block bytes.Buffer
			encoder := hpack.NewEncoder(&block)
			headerBlock(encoder, "/plain/wait", 0)
			for n := range maxHTTP2Header / 36 {
				_ = encoder.WriteField(hpack.HeaderField{Name: fmt.Sprintf("%03x", n), Value: "v", Sensitive: true})
			}
			writeHeaders(framer, uint32(2*i+1), block.Bytes())
		}
	}))
}

// continuations never end a block: many at once, and then one at a time.
func continuations(conn net.Conn) error {
	one := func(framer *http2.Framer, n int) {
		var block bytes.Buffer
		_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: fmt.Sprintf("x-%d", n), Value: "v", Sensitive: true})
		_ = framer.WriteContinuation(1, false, block.Bytes())
	}
	_, err := conn.Write(conversation2(func(framer *http2.Framer) {
		var block bytes.Buffer
		headerBlock(hpack.NewEncoder(&block), "/plain/wait", 0)
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes()})
		for n := range 350 {
			one(framer, n)
		}
	}))
	for n := 0; err == nil; n++ {
		var frame bytes.Buffer
		one(http2.NewFramer(&frame, nil), n)
		_, err = conn.Write(frame.Bytes())
		<-time.After(100 * time.Millisecond)
	}
	return err
}

// largeFrame announces a frame of nearly 1 MB and sends all but its end.
func largeFrame() func(net.Conn) error {
	const size = 1<<20 - 1
	frame := append([]byte{size >> 16, size >> 8 & 0xff, size & 0xff, 0, 0, 0, 0, 0, 1}, make([]byte, size-1)...)
	return sends(append(conversation2(func(*http2.Framer) {}), frame...))
}

func reset(framer *http2.Framer, id uint32) { _ = framer.WriteRSTStream(id, http2.ErrCodeCancel) }

// reading lets a client read while it sends.
func reading(attacker func(net.Conn) error) func(net.Conn) error {
	return func(conn net.Conn) error {
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		return attacker(conn)
	}
}
