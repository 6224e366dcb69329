package dlp

import (
	"errors"
	"fmt"
	"io"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/coding"
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
type Unreadable struct {
	reason   string
	TooLarge bool
}

func (u *Unreadable) Error() string { return u.reason }

func tooLarge(what string, limit int64) *Unreadable {
	return &Unreadable{reason: fmt.Sprintf("%s exceeds max_body_bytes (%d)", what, limit), TooLarge: true}
}

// Body scans a body while it is read. It returns a byte once no rule can make it part of a secret, whatever follows. It holds back the last
// word until its end, at most 8 KiB, and of a compressed body what is not decoded yet.
type Body struct {
	wire   *wire
	steps  stepper
	warn   func(error)
	memory memory
	ready  []byte
	err    error
}

// stepper reads more and returns the bytes that are cleared. They are valid until the next step.
type stepper interface{ step() ([]byte, error) }

// Reserve reserves memory. Its error ends the body.
type Reserve func(bytes int64) (release func(), err error)

// Body returns a reader that scans a body with a Content-Encoding. limit is the maximum size in bytes, both as sent and decoded. If warn is
// set, it is called with what would end the body otherwise, except for its size as sent, and the rest passes. reserve is asked for the
// memory that a Content-Encoding takes.
func (d *Detector) Body(body io.ReadCloser, encoding string, limit int64, warn func(error), reserve Reserve) *Body {
	w := &wire{ReadCloser: body, limit: limit, left: limit}
	b := &Body{wire: w, warn: warn, memory: memory{reserve: reserve}}
	switch codings, err := coding.Parse(encoding); {
	case err != nil:
		b.fail(&Unreadable{reason: "request body has a " + err.Error()})
	case len(codings) == 0:
		b.steps = &plainBody{wire: w, window: window{d: d}}
	default:
		b.steps = newCodedBody(d, w, codings, b.memory.take)
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
	if b.err != nil {
		b.steps = nil // the response may still take long
		b.memory.free()
	}
	if len(b.ready) == 0 {
		return 0, b.err
	}
	n := copy(p, b.ready)
	b.ready = b.ready[n:]
	return n, nil
}

// Close implements io.Closer.
func (b *Body) Close() error {
	b.memory.free()
	return b.wire.Close()
}

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
