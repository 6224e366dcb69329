package credproxy

import (
	"bytes"
	"io"
)

// replacing reads from another reader, with every old text replaced by a new one.
type replacing struct {
	from     io.Reader
	old, new []byte

	pending []byte // read and not looked at to its end: an old text may begin there
	ready   []byte // to be given out
	err     error  // of from
}

// replaceChunk is how much is read at once, in bytes.
const replaceChunk = 16 << 10

// Read implements io.Reader.
func (r *replacing) Read(p []byte) (int, error) {
	for len(r.ready) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// fill reads once, and makes ready all in which no old text can begin that is not complete.
func (r *replacing) fill() {
	chunk := make([]byte, replaceChunk)
	n, err := r.from.Read(chunk)
	r.pending, r.err = append(r.pending, chunk[:n]...), err
	var done []byte
	for {
		before, after, found := bytes.Cut(r.pending, r.old)
		if !found {
			break
		}
		done, r.pending = append(append(done, before...), r.new...), after
	}
	safe := len(r.pending)
	if r.err == nil {
		safe = max(0, safe-len(r.old)+1)
	}
	done = append(done, r.pending[:safe]...)
	r.ready, r.pending = done, bytes.Clone(r.pending[safe:])
}
