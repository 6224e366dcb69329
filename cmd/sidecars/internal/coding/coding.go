// Package coding undoes the content codings of HTTP (RFC 9110, section 8.4.1) in data from hostile clients: within bounds of memory that are
// known before it is taken, without reading further than the data that was decoded, and without losing what stands behind its end.
package coding

import (
	"errors"
	"fmt"
	"strings"
)

// Coding is a content coding.
type Coding int

// The codings that can be undone.
const (
	Gzip Coding = iota
	Deflate
	Brotli
	Zstd
)

var names = map[string]Coding{"gzip": Gzip, "x-gzip": Gzip, "deflate": Deflate, "br": Brotli, "zstd": Zstd}

// Known are the codings that can be undone, for the header Accept-Encoding.
const Known = "gzip, deflate, br, zstd"

// maxCodings is the number of codings of one body. More than one is rare, and each costs memory.
const maxCodings = 2

// ErrUnknown is the error for codings that can't be undone.
var ErrUnknown = errors.New("Content-Encoding that cannot be undone (possible are " + Known + ", and two of them)")

// Parse returns the codings of a Content-Encoding header, in the order in which they have to be undone.
func Parse(header string) ([]Coding, error) {
	var codings []Coding
	for name := range strings.SplitSeq(header, ",") {
		name = strings.ToLower(strings.Trim(name, " \t"))
		if name == "" || name == "identity" {
			continue
		}
		c, ok := names[name]
		if !ok || len(codings) == maxCodings {
			return nil, ErrUnknown
		}
		codings = append([]Coding{c}, codings...)
	}
	return codings, nil
}

// ErrWindow is the error for data that refers further back than is kept for it.
var ErrWindow = fmt.Errorf("compressed with a window of more than %d MiB", zstdWindow>>20)

// ErrMalformed is the error for data that is not what its coding says, or that goes on behind its end.
var ErrMalformed = errors.New("not what its Content-Encoding says")

// Unit returns the size of a buffer with which a Read returns everything that was decoded. For Brotli, only a Read that does not fill the
// buffer does.
func (c Coding) Unit() (size int, always bool) {
	switch c {
	case Zstd:
		return 128 << 10, true // a block
	case Gzip, Deflate:
		return 32 << 10, true // a window
	case Brotli:
	}
	return 32 << 10, false
}
