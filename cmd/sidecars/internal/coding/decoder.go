package coding

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// Memory of the decoders, in bytes (measured with hostile data, and rounded up), and limits on the windows that the data asks for.
const (
	flateMemory  = 128 << 10
	zstdMemory   = 1 << 20 // besides twice the window
	zstdWindow   = 8 << 20 // which no sender may exceed (RFC 9659)
	brotliMemory = 5 << 20 // besides one and a half windows; most of it are tables, of which the data says how many
)

// Decoder undoes a coding. It reads no further than it needs for what it returns, apart from what it buffers.
type Decoder struct {
	coding  Coding
	source  source
	buffer  int
	in      *bufio.Reader
	reserve func(bytes int64) error
	decoder io.Reader
	ended   bool
}

// New returns a decoder of what src has. It reads src in pieces of buffer bytes. At its first Read, reserve is asked for the memory that
// the decoder will take, apart from the buffer.
func New(c Coding, src io.Reader, buffer int, reserve func(bytes int64) error) *Decoder {
	return &Decoder{coding: c, source: source{Reader: src}, buffer: buffer, reserve: reserve}
}

// source remembers how far it was read, and why that failed.
type source struct {
	io.Reader
	read int64
	err  error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// Consumed returns how many bytes of the source are decoded, or needed for the next ones.
func (d *Decoder) Consumed() int64 {
	if d.in == nil {
		return 0
	}
	return d.source.read - int64(d.in.Buffered())
}

// Read implements io.Reader. An error is io.EOF, ErrWindow, ErrMalformed, or that of the source or of reserve. No data at all is decoded to
// none.
//
// A panic of a decoder is ErrMalformed: the data is hostile, and net/http reads bodies in goroutines in which a panic would end the program.
func (d *Decoder) Read(p []byte) (n int, err error) {
	if d.ended {
		return 0, io.EOF
	}
	defer func() {
		if recover() != nil {
			n, err = 0, ErrMalformed
		}
	}()
	if d.decoder == nil {
		if err := d.open(); err != nil {
			return 0, err
		}
	}
	n, err = d.decoder.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, d.malformed(err)
	}
	if _, err := d.in.ReadByte(); !errors.Is(err, io.EOF) {
		return n, d.malformed(cmp.Or(err, ErrMalformed)) // there is more behind its end, which was not decoded
	}
	d.ended = true
	return n, io.EOF
}

func (d *Decoder) open() error {
	if d.in == nil {
		d.in = bufio.NewReaderSize(&d.source, max(d.buffer, zstd.HeaderMaxSize))
	}
	if _, err := d.in.Peek(1); err != nil {
		return err
	}
	switch d.coding {
	case Gzip, Deflate:
		return d.openFlate()
	case Brotli:
		return d.openBrotli()
	case Zstd:
		return d.openZstd()
	}
	return ErrUnknown
}

// malformed distinguishes errors of the source from those of the data.
func (d *Decoder) malformed(err error) error {
	switch {
	case err == nil:
		return nil
	case d.source.err != nil:
		return d.source.err
	}
	return ErrMalformed
}

func (d *Decoder) openFlate() (err error) {
	if err := d.reserve(flateMemory); err != nil {
		return err
	}
	if d.coding == Gzip {
		d.decoder, err = gzip.NewReader(d.in)
	} else {
		d.decoder, err = zlib.NewReader(d.in) // without zlib's header it isn't deflate (RFC 9110, 8.4.1.2)
	}
	return d.malformed(err)
}

func (d *Decoder) openBrotli() error {
	first, err := d.in.Peek(1)
	if err != nil {
		return err
	}
	window, ok := brotliWindow(first[0])
	if !ok {
		return ErrMalformed
	}
	d.decoder = brotli.NewReader(d.in)
	return d.reserve(brotliMemory + window + window/2)
}

// brotliWindow returns the window that the first byte of the data asks for, at most 16 MiB (RFC 7932, section 9.1).
func brotliWindow(first byte) (size int64, ok bool) {
	middle, high := first>>1&7, first>>4&7
	switch {
	case first&1 == 0:
		return 1 << 16, true
	case middle != 0:
		return 1 << (17 + middle), true
	case high == 0:
		return 1 << 17, true
	case high == 1:
		return 0, false // the extension for large windows
	}
	return 1 << (8 + high), true
}

func (d *Decoder) openZstd() error {
	window, err := d.zstdWindow()
	if err != nil {
		return err
	}
	if window > zstdWindow {
		return ErrWindow
	}
	if err := d.reserve(zstdMemory + 2*int64(window)); err != nil {
		return err
	}
	// Later frames can't ask for more than the first one.
	d.decoder, err = zstd.NewReader(d.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	return d.malformed(err)
}

// zstdWindow returns the window that the first frame asks for.
func (d *Decoder) zstdWindow() (size uint64, err error) {
	for n := 1; ; n++ {
		data, readErr := d.in.Peek(n)
		var h zstd.Header
		err := h.Decode(data)
		switch {
		case err == nil && h.Skippable:
			return zstdWindow, nil // the next frame may need it
		case err == nil && h.SingleSegment:
			return max(h.FrameContentSize, zstd.MinWindowSize), nil
		case err == nil:
			return h.WindowSize, nil
		case !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(readErr, io.EOF):
			return 0, ErrMalformed
		case readErr != nil:
			return 0, readErr
		}
	}
}
