package buildcontext

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Tar writes the context as a tar archive: the entries in their order, with their modes, without times and owners. It fails with
// ErrChanged, before the archive's end, when what is read now is not what Digest stands for.
func (c *Context) Tar(w io.Writer) error {
	root, err := openRoot(c.Dir)
	if err != nil {
		return fmt.Errorf("build context: %w: %w", ErrChanged, err)
	}
	defer root.Close()
	archive := tar.NewWriter(w)
	for _, e := range c.entries {
		if err := e.write(archive, root); err != nil {
			return fmt.Errorf("build context %s: %s: %w", c.Dir, e.path, err)
		}
	}
	return archive.Close()
}

func (e entry) write(archive *tar.Writer, root *os.Root) error {
	if err := archive.WriteHeader(e.header()); err != nil || !e.mode.IsRegular() {
		return err
	}
	f, err := open(root, e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.CopyN(archive, io.TeeReader(f, h), e.size)
	if errors.Is(err, io.EOF) || err == nil && !bytes.Equal(h.Sum(nil), e.sum[:]) {
		return ErrChanged
	}
	return err
}

func (e entry) header() *tar.Header {
	h := &tar.Header{Name: e.path, Mode: int64(e.mode.Perm()), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	for bit, mode := range map[int64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if e.mode&mode != 0 {
			h.Mode |= bit
		}
	}
	switch e.mode.Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, e.path+"/"
	case fs.ModeSymlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
	default:
		h.Typeflag, h.Size = tar.TypeReg, e.size
	}
	return h
}
