package credproxy

import (
	"bytes"
	"io"
)

// replacement is a text that takes another one's place.
type replacement struct{ old, new []byte }

// replacing reads from another reader, with every old text replaced by its new one. Of those that begin at one place, the first in the
// list counts. What was replaced is not looked at again.
type replacing struct {
	from io.Reader
	list []replacement

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
	longest := 1
	for _, text := range r.list {
		longest = max(longest, len(text.old))
	}
	safe := len(r.pending) // only before it an old text is known to begin, or not to
	if r.err == nil {
		safe = max(0, safe-longest+1)
	}
	var done []byte
	looked := 0
	for {
		at, text := r.first(r.pending[looked:], longest)
		if at < 0 || looked+at >= safe {
			break
		}
		done = append(append(done, r.pending[looked:looked+at]...), text.new...)
		looked += at + len(text.old)
	}
	if looked < safe {
		done, looked = append(done, r.pending[looked:safe]...), safe
	}
	r.ready, r.pending = done, bytes.Clone(r.pending[looked:])
}

// first finds the old text that begins first; -1 for none. No old text is longer than longest.
func (r *replacing) first(in []byte, longest int) (at int, found replacement) {
	at = -1
	for _, text := range r.list {
		if i := bytes.Index(in, text.old); i >= 0 && (at < 0 || i < at) {
			at, found = i, text
			in = in[:min(len(in), i+longest)] // another one must begin before it
		}
	}
	return at, found
}
