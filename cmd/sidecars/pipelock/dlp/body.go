package dlp

import (
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Finding is the error for a body with a secret. It does not quote the secret.
type Finding struct{ Rule string }

func (f *Finding) Error() string { return Reason("request body", f.Rule) }

// Reason describes a match by the ID that Find returns, and where it was found.
func Reason(where, id string) string {
	switch id {
	case TooEncoded:
		return where + " is encoded in more layers than pipelock undoes"
	case DataInName:
		return where + " looks like data and not like a name"
	}
	return where + " contains secret: " + id
}

// Unreadable is the error for a body that can't be scanned.
type Unreadable struct{ reason string }

func (u *Unreadable) Error() string { return u.reason }

func tooLarge(what string, limit int64) *Unreadable {
	return &Unreadable{fmt.Sprintf("%s exceeds max_body_bytes (%d)", what, limit)}
}

// Body scans a body while it is read. It returns a byte once no rule can make it part of a secret, whatever follows. It holds back the last
// word until its end, at most 8 KiB, and of a compressed body what is not decoded yet.
type Body struct {
	wire  *wire
	steps stepper
	warn  func(error)
	ready []byte
	err   error
}

// stepper reads more and returns the bytes that are cleared. They are valid until the next step.
type stepper interface{ step() ([]byte, error) }

// Body returns a reader that scans a body with a Content-Encoding. limit is the maximum size in bytes, both as sent and decoded. If warn is
// set, it is called with what would end the body otherwise, except for its size as sent, and the rest passes.
func (d *Detector) Body(body io.ReadCloser, encoding string, limit int64, warn func(error)) *Body {
	w := &wire{ReadCloser: body, limit: limit, left: limit}
	b := &Body{wire: w, warn: warn}
	switch encoding = strings.ToLower(strings.TrimSpace(encoding)); encoding {
	case "", "identity":
		b.steps = &plainBody{wire: w, window: window{d: d}}
	case "gzip", "x-gzip", "deflate":
		b.steps = &compressedBody{wire: w, gzip: encoding != "deflate", sent: window{d: d}, decoded: window{d: d}}
	default:
		b.fail(&Unreadable{"request body has a Content-Encoding that cannot be looked into (gzip and deflate can)"})
	}
	return b
}

// Read implements io.Reader. Its error is a *Finding, an *Unreadable, or the body's own.
func (b *Body) Read(p []byte) (int, error) {
	for len(b.ready) == 0 && b.err == nil {
		var err error
		if b.ready, err = b.steps.step(); err != nil {
			b.fail(err)
		}
	}
	if len(b.ready) == 0 {
		return 0, b.err
	}
	n := copy(p, b.ready)
	b.ready = b.ready[n:]
	return n, nil
}

// Close implements io.Closer.
func (b *Body) Close() error { return b.wire.Close() }

// fail ends the body, or, with warn, the scan.
func (b *Body) fail(err error) {
	var found *Finding
	var unreadable *Unreadable
	broken := b.wire.err != nil && !errors.Is(b.wire.err, io.EOF)
	if b.warn == nil || broken || !errors.As(err, &found) && !errors.As(err, &unreadable) {
		b.err = err
		return
	}
	b.warn(err)
	b.steps = unseenBody{b.wire}
}

// plainBody is sent as it is.
type plainBody struct {
	wire   *wire
	window window
}

func (p *plainBody) step() ([]byte, error) {
	end := p.wire.fill()
	if err := p.window.write(p.wire.from(p.window.seen)); err != nil {
		return nil, err
	}
	if errors.Is(end, io.EOF) {
		p.window.end()
	}
	return p.wire.release(p.window.decided), end
}

// unseenBody is not scanned.
type unseenBody struct{ wire *wire }

func (u unseenBody) step() ([]byte, error) {
	var err error
	if u.wire.taken() == u.wire.released {
		err = u.wire.fill()
	}
	return u.wire.release(u.wire.taken()), err
}

// compressedBody is scanned both as sent and decoded: gzip's header can hold text, and blocks can be uncompressed.
type compressedBody struct {
	wire    *wire
	gzip    bool
	decoder io.Reader
	sent    window
	decoded window
	marks   []mark
	chunk   [flateWindow]byte
}

// mark maps an offset in the body as sent to the offset in the decoded body.
type mark struct{ sent, decoded int64 }

// flateWindow is how much a decompressor decodes at most before it returns data.
const flateWindow = 32 << 10

// step decodes some data. A decompressor reads more only when it has returned everything that it has decoded. So when it returns less than
// there is room for, it has decoded all that it has read, except for a few bits.
func (c *compressedBody) step() ([]byte, error) {
	n, end := c.decode()
	if end != nil && !errors.Is(end, io.EOF) {
		return nil, end
	}
	if err := c.sent.write(c.wire.from(c.sent.seen)); err != nil {
		return nil, err
	}
	if err := c.decoded.write(c.chunk[:n]); err != nil {
		return nil, err
	}
	if c.decoded.seen > c.wire.limit {
		return nil, tooLarge("decoded request body", c.wire.limit)
	}
	if end != nil {
		c.sent.end()
		c.decoded.end()
	}
	c.marks = append(c.marks, mark{c.wire.taken(), c.decoded.seen})
	return c.wire.release(c.clear()), end
}

// clear returns the offset up to which the body as sent is cleared in both forms.
func (c *compressedBody) clear() int64 {
	clear := c.wire.released
	for len(c.marks) > 0 && c.marks[0].decoded <= c.decoded.decided && c.marks[0].sent <= c.sent.decided {
		clear = c.marks[0].sent
		c.marks = c.marks[1:]
	}
	return clear
}

func (c *compressedBody) decode() (int, error) {
	if c.decoder == nil {
		if err := c.open(); err != nil {
			return 0, err
		}
	}
	n, err := c.decoder.Read(c.chunk[:])
	if !errors.Is(err, io.EOF) {
		return n, c.broken(err)
	}
	if _, err := c.wire.ReadByte(); !errors.Is(err, io.EOF) {
		return n, c.broken(errors.New("there is more behind its end")) // which was not decoded
	}
	return n, io.EOF
}

func (c *compressedBody) open() (err error) {
	if _, err := c.wire.peek(); err != nil {
		return err // an empty body ends here
	}
	if c.gzip {
		c.decoder, err = gzip.NewReader(c.wire)
	} else {
		c.decoder, err = zlib.NewReader(c.wire) // without zlib's header it isn't deflate (RFC 9110, 8.4.1.2)
	}
	return c.broken(err)
}

// broken distinguishes errors of the connection from those of the data.
func (c *compressedBody) broken(err error) error {
	switch {
	case err == nil:
		return nil
	case c.wire.err != nil && !errors.Is(c.wire.err, io.EOF):
		return c.wire.err
	}
	return &Unreadable{"request body is not what its Content-Encoding says"}
}
