package coding

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

func TestParse(t *testing.T) {
	for header, want := range map[string]string{
		"": "[]", "identity": "[]", " , identity,": "[]", "gzip": "[0]", "x-gzip": "[0]", "DEFLATE": "[1]", "br": "[2]", "zstd": "[3]",
		"gzip, zstd": "[3 0]", "zstd\t,  br": "[2 3]", "gzip,identity,gzip": "[0 0]",
		"compress": "", "gzip;q=1": "", "gzip zstd": "", "gzip, br, zstd": "", "\"gzip\"": "", "*": "",
	} {
		codings, err := Parse(header)
		if got := fmt.Sprint(codings); want == "" && !errors.Is(err, ErrUnknown) || want != "" && (err != nil || got != want) {
			t.Errorf("%q: %v, %v, want %q", header, codings, err, want)
		}
	}
}

// TestBrotliWindow compares what the first byte says with the encoder that wrote it.
func TestBrotliWindow(t *testing.T) {
	for bits := 10; bits <= 24; bits++ {
		var out bytes.Buffer
		w := brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: 5, LGWin: bits})
		io.WriteString(w, "hello")
		w.Close()
		if size, ok := brotliWindow(out.Bytes()[0]); !ok || size != 1<<bits {
			t.Errorf("%d bits: %d, %t", bits, size, ok)
		}
	}
	if _, ok := brotliWindow(0x11); ok {
		t.Error("a large window is accepted")
	}
}

func encode(t testing.TB, c Coding, window int, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch c {
	case Gzip:
		w = gzip.NewWriter(&out)
	case Brotli:
		w = brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: 5, LGWin: window})
	case Zstd:
		z, err := zstd.NewWriter(&out, zstd.WithWindowSize(1<<window), zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w = z
	case Deflate:
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestMemory: decoders take no more memory than they have reserved, once their windows are full.
func TestMemory(t *testing.T) {
	text := []byte(strings.Repeat("Some words, of which each line has its own.\n", 1<<20/2))
	for _, c := range []struct {
		coding Coding
		window int
	}{{Gzip, 0}, {Brotli, 24}, {Brotli, 16}, {Zstd, 23}, {Zstd, 20}, {Zstd, 10}} {
		sent := encode(t, c.coding, c.window, text)
		before := heap()
		var reserved int64
		d := New(c.coding, bytes.NewReader(sent), 16<<10, func(n int64) error { reserved += n; return nil })
		if _, err := io.CopyN(io.Discard, d, 20<<20); err != nil {
			t.Fatal(err)
		}
		if taken := heap() - before; taken > reserved+16<<10 || reserved == 0 {
			t.Errorf("coding %d, window 1<<%d: took %d bytes, reserved %d", c.coding, c.window, taken, reserved)
		}
		runtime.KeepAlive(d)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestNoMemory: without memory, nothing is decoded.
func TestNoMemory(t *testing.T) {
	full := errors.New("full")
	for _, c := range []Coding{Gzip, Brotli, Zstd} {
		d := New(c, bytes.NewReader(encode(t, c, 20, []byte("hello"))), 16, func(int64) error { return full })
		if got, err := io.ReadAll(d); !errors.Is(err, full) || len(got) > 0 {
			t.Errorf("coding %d: %q, %v", c, got, err)
		}
	}
}

// panics is a decoder with a mistake.
type panics struct{}

func (panics) Read([]byte) (int, error) { panic("index out of range") }

func TestDecoderPanics(t *testing.T) {
	d := New(Brotli, strings.NewReader("x"), 16, nil)
	d.decoder = panics{}
	if n, err := d.Read(make([]byte, 1)); n != 0 || !errors.Is(err, ErrMalformed) {
		t.Errorf("%d, %v", n, err)
	}
}

// FuzzDecoder: whatever comes, a decoder ends with one of its errors, has consumed all when it succeeds, and never more than there was.
func FuzzDecoder(f *testing.F) {
	for _, c := range []Coding{Gzip, Brotli, Zstd} {
		f.Add(uint8(c), encode(f, c, 20, []byte(strings.Repeat("hello ", 100))))
	}
	f.Add(uint8(Deflate), []byte("\x78\x9c\x03\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, coding uint8, sent []byte) {
		var reserved int64
		d := New(Coding(coding%4), bytes.NewReader(sent), 16, func(n int64) error { reserved += n; return nil })
		_, err := io.Copy(io.Discard, io.LimitReader(d, 4<<20))
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrWindow) {
			t.Fatal(err)
		}
		if d.Consumed() > int64(len(sent)) || d.ended && d.Consumed() != int64(len(sent)) || reserved > 40<<20 {
			t.Fatalf("consumed %d of %d, ended: %t, reserved %d", d.Consumed(), len(sent), d.ended, reserved)
		}
	})
}
