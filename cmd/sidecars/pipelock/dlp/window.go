package dlp

import (
	"io"
	"time"
)

// chunkBytes is the size of the pieces that are scanned. Each upload in progress has a few buffers of this size.
const chunkBytes = 16 << 10

// contextBytes is how much of the data already sent is scanned again with what follows, so that at least the last part of a secret with line
// breaks or spaces is held back.
const contextBytes = 2 << 10

// window scans a stream piece by piece.
type window struct {
	d *Detector
	// text ends where the stream was seen up to. It begins with what is undecided, and what came before that.
	text          []byte
	before        int   // bytes before what is undecided
	decided, seen int64 // offsets in the stream
	debt          int   // bytes that were looked at more often than once
}

// write scans the next piece.
func (w *window) write(piece []byte) error {
	w.text = append(w.text, piece...)
	w.seen += int64(len(piece))
	s := newScan(w.d)
	defer s.free()
	id, undecided := s.find(w.text)
	if id != "" {
		return &Finding{id}
	}
	w.drop(max(undecided, w.before))
	w.pace(len(piece))
	return nil
}

const (
	// freeBytes is how much a stream has looked at again before it is slowed down,
	freeBytes = 256 << 10
	// againFactor how much for each byte of it.
	againFactor = 4
	paceTime    = time.Millisecond
)

// pace delays a stream of pieces so small that scanning them again costs too much. The next piece grows meanwhile.
func (w *window) pace(piece int) {
	w.debt = max(0, w.debt+len(w.text)-againFactor*piece)
	if w.debt > freeBytes {
		time.Sleep(paceTime)
	}
}

// end marks the end of the stream.
func (w *window) end() { w.drop(len(w.text)) }

// drop forgets the text before what is undecided, but for its context.
func (w *window) drop(undecided int) {
	w.decided += int64(undecided - w.before)
	forgotten := max(0, min(undecided-1, len(w.text)-contextBytes))
	w.before = undecided - forgotten
	w.text = append(w.text[:0], w.text[forgotten:]...)
}

// wire is a body as it is sent. It keeps what was read until that is released.
type wire struct {
	io.ReadCloser
	limit, left int64
	ahead       []byte // read from the body, and not by the reader of the wire
	kept        []byte
	loose       int   // bytes of kept that were released, to be dropped by the next step
	released    int64 // offset in the stream behind those
	buf         [chunkBytes]byte
	err         error // of the body, when ahead is used up
}

// peek returns what has come in and was not taken yet; it waits for something.
func (w *wire) peek() ([]byte, error) {
	for len(w.ahead) == 0 && w.err == nil {
		var n int
		n, w.err = w.ReadCloser.Read(w.buf[:])
		w.ahead = w.buf[:n]
		if w.left -= int64(n); w.left < 0 {
			w.ahead, w.err = nil, tooLarge("request body", w.limit)
		}
	}
	if len(w.ahead) == 0 {
		return nil, w.err
	}
	return w.ahead, nil
}

// take keeps n of what peek returned.
func (w *wire) take(n int) {
	if w.loose > 0 {
		w.kept = append(w.kept[:0], w.kept[w.loose:]...)
		w.loose = 0
	}
	w.kept = append(w.kept, w.ahead[:n]...)
	w.ahead = w.ahead[n:]
}

// taken is the offset up to which the stream was taken.
func (w *wire) taken() int64 { return w.released + int64(len(w.kept)-w.loose) }

// fill takes what comes.
func (w *wire) fill() error {
	ahead, err := w.peek()
	w.take(len(ahead))
	return err
}

// Read implements io.Reader for a decoder.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.kept)-w.loose > keptBytes {
		return 0, &Unreadable{reason: "request body has too much that decodes to nothing"}
	}
	ahead, err := w.peek()
	n := copy(p, ahead)
	w.take(n)
	return n, err
}

// from returns what was taken from an offset on, which was not released.
func (w *wire) from(offset int64) []byte { return w.kept[w.loose+int(offset-w.released):] }

// release returns what is kept up to an offset. It holds until more is taken.
func (w *wire) release(end int64) []byte {
	start := w.loose
	w.loose += int(end - w.released)
	w.released = end
	return w.kept[start:w.loose]
}
