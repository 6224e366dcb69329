package audit

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxPiece limits how much of a line is held in memory, in bytes: a longer one, which no bottled writes, is read in pieces.
const maxPiece = 16 * maxRecord

// lineReader reads lines of any length.
type lineReader struct {
	in   *bufio.Reader
	line []byte
}

func newLineReader(in io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, 64<<10)}
}

// next returns the next line with its newline, until the next call. The last one may have none, and comes with io.EOF.
func (r *lineReader) next() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	r.line = append(r.line[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) && len(r.line) < maxPiece {
		line, err = r.in.ReadSlice('\n')
		r.line = append(r.line, line...)
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		err = nil
	}
	return r.line, err
}

// isBlank reports whether a line has nothing in it.
func isBlank(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 }
