package dlp

import (
	"errors"
	"io"
	"sync"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/coding"
)

const (
	// codedMemory is what a body with codings takes besides its decoders: what is kept, and the windows.
	codedMemory = 1 << 20
	// keptBytes limits what is kept of a body as sent. Decoders can be made to read on without returning anything, by empty blocks, skippable
	// frames and metadata.
	keptBytes = 512 << 10

	// A decoded body that is larger than bombBytes must not be more than bombRatio times as large as what was sent: scanning costs time.
	bombBytes = 32 << 20
	bombRatio = 100
)

// codedBody is scanned as sent, and again behind each coding that is undone: gzip's header can hold text, and blocks can be uncompressed.
type codedBody struct {
	wire    *wire
	sent    window
	stages  []*stage // the first one decodes what was sent, the last one returns the text
	size    int      // of chunk
	chunk   []byte   // nil before the first step
	reserve func(bytes int64) error
	err     error // why a stage has failed, which the decoders of others may hide
}

// stage undoes one coding, and scans the result.
type stage struct {
	body    *codedBody
	decoder *coding.Decoder
	decoded window
	flushes int // a Read with room for this many bytes returns everything that is decoded; 0: it does so if there is room left
	marks   []mark
	cleared int64 // offset before the coding up to which all is cleared behind it
}

// mark maps an offset before a coding to the offset behind it.
type mark struct{ before, behind int64 }

func newCodedBody(d *Detector, w *wire, codings []coding.Coding, reserve func(bytes int64) error) *codedBody {
	c := &codedBody{wire: w, sent: window{d: d}, reserve: reserve}
	below, size := io.Reader(w), chunkBytes
	for _, one := range codings {
		s := &stage{body: c, decoder: coding.New(one, below, size, reserve), decoded: window{d: d}}
		unit, always := one.Unit()
		if always {
			s.flushes = unit
		}
		c.stages = append(c.stages, s)
		below, size = s, unit
	}
	c.size = size
	return c
}

// step decodes some data.
func (c *codedBody) step() ([]byte, error) {
	if c.chunk == nil {
		if err := c.reserve(codedMemory); err != nil {
			return nil, err
		}
		c.chunk = make([]byte, c.size)
	}
	_, end := c.stages[len(c.stages)-1].Read(c.chunk)
	if end != nil && !errors.Is(end, io.EOF) {
		return nil, end
	}
	if err := c.sent.write(c.wire.from(c.sent.seen)); err != nil {
		return nil, err
	}
	if end != nil {
		c.sent.end()
	}
	return c.wire.release(max(c.wire.released, min(c.sent.decided, c.clear()))), end
}

// clear returns the offset up to which the body as sent is cleared in all its forms.
func (c *codedBody) clear() int64 {
	clear := c.stages[len(c.stages)-1].decoded.seen
	for i := len(c.stages) - 1; i >= 0; i-- {
		clear = c.stages[i].clear(clear)
	}
	return clear
}

// Read implements io.Reader for what decodes the result further.
func (s *stage) Read(p []byte) (int, error) {
	n, end := s.decoder.Read(p)
	if end != nil && !errors.Is(end, io.EOF) {
		return 0, s.fail(end)
	}
	if err := s.decoded.write(p[:n]); err != nil {
		return 0, s.fail(err)
	}
	if size, sent := s.decoded.seen, s.body.wire.taken(); size > s.body.wire.limit {
		return 0, s.fail(tooLarge("decoded request body", s.body.wire.limit))
	} else if size > bombBytes && size/bombRatio > sent {
		return 0, s.fail(&Unreadable{reason: "decoded request body is far larger than what was sent", TooLarge: true})
	}
	if end != nil {
		s.decoded.end()
	}
	if end != nil || n < len(p) || s.flushes > 0 && len(p) >= s.flushes {
		s.mark()
	}
	return n, end
}

// mark notes that everything which was consumed is decoded and returned, except for a few bits.
func (s *stage) mark() {
	m := mark{s.decoder.Consumed(), s.decoded.seen}
	if last := len(s.marks) - 1; last >= 0 && s.marks[last].behind == m.behind {
		s.marks = s.marks[:last]
	}
	s.marks = append(s.marks, m)
}

// clear returns the offset before the coding up to which all is cleared, if behind it all is up to an offset.
func (s *stage) clear(behind int64) int64 {
	behind = min(behind, s.decoded.decided)
	for len(s.marks) > 0 && s.marks[0].behind <= behind {
		s.cleared = s.marks[0].before
		s.marks = s.marks[1:]
	}
	return s.cleared
}

// fail records why the body ends: the first cause, in the words of this package.
func (s *stage) fail(err error) error {
	c := s.body
	switch broken := c.wire.err; {
	case c.err != nil:
	case broken != nil && !errors.Is(broken, io.EOF): // the connection
		c.err = broken
	case errors.Is(err, coding.ErrMalformed), errors.Is(err, coding.ErrWindow):
		c.err = &Unreadable{reason: "request body is " + err.Error()}
	default:
		c.err = err
	}
	return c.err
}

// memory is what a body has reserved.
type memory struct {
	reserve Reserve

	mu       sync.Mutex
	releases []func()
	freed    bool
}

func (m *memory) take(bytes int64) error {
	if m.reserve == nil {
		return nil
	}
	release, err := m.reserve(bytes)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.freed {
		release()
		return io.ErrClosedPipe
	}
	m.releases = append(m.releases, release)
	return nil
}

// free releases everything. The body may be read meanwhile, by another goroutine.
func (m *memory) free() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.freed = true
	for _, release := range m.releases {
		release()
	}
	m.releases = nil
}
