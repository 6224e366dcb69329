package buildcontext

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
)

// Limits of a context. All of it is read when it changes, and all its names are checked again in every pass.
const (
	maxEntries    = 20_000 // files, directories and links
	maxBytes      = 512 << 20
	maxDockerfile = 1 << 20 // bytes
)

// Repository is the name of all images that are built from contexts; the tag is the context's digest.
const Repository = "bottled-agent"

// ErrChanged marks a context whose files are not any more as they were when it was read.
var ErrChanged = errors.New("the build context changed while it was read")

// Source says where a context is and how an image is built from it.
type Source struct {
	Dir        string // absolute
	Dockerfile string // path in Dir, with slashes
	Network    string // of RUN steps, as the engine names it
}

// Context is what a Source was at one moment. It does not change.
type Context struct {
	Source
	// Digest stands for everything that an engine gets to know: how it is to build, and the path, mode and content of each
	// file. It is the SHA-256 in hexadecimal.
	Digest string
	// Text is the Dockerfile.
	Text []byte

	entries []entry
}

// entry is a file, directory or symbolic link of a context.
type entry struct {
	path string // with slashes
	mode fs.FileMode
	size int64
	link string            // target of a symbolic link
	sum  [sha256.Size]byte // of a file's content
}

// Ref is the reference of the image that is built from the context: the same content always has the same one.
func (c *Context) Ref() string { return Repository + ":" + c.Digest[:32] }

// WithDockerfile returns the context as it would be with another Dockerfile. It has a digest and no content: it can't be sent.
func (c *Context) WithDockerfile(text []byte) *Context {
	other := &Context{Source: c.Source, Text: text, entries: slices.Clone(c.entries)}
	for i := range other.entries {
		if e := &other.entries[i]; e.path == c.Dockerfile {
			e.size, e.sum = int64(len(text)), sha256.Sum256(text)
		}
	}
	other.Digest = digest(other.Source, other.entries)
	return other
}

// digest covers the following, and nothing that differs between two hosts: no times, no owners.
func digest(s Source, entries []entry) string {
	h := sha256.New()
	fmt.Fprintf(h, "bottled build 1\n%s %s\n", strconv.Quote(s.Dockerfile), strconv.Quote(s.Network))
	for _, e := range entries {
		fmt.Fprintf(h, "%s %o %d %s %x\n", strconv.Quote(e.path), uint32(e.mode), e.size, strconv.Quote(e.link), e.sum)
	}
	return hex.EncodeToString(h.Sum(nil))
}
