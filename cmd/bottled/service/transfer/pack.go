package transfer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// Pack writes a file or directory below root, with everything in it, as an archive. What is neither a regular file, a directory nor a
// symbolic link is left out. Symbolic links are packed as such and never followed.
func Pack(archive io.Writer, root *os.Root, name string) ([]Skipped, error) {
	w := tar.NewWriter(archive)
	var skipped []Skipped
	err := fs.WalkDir(root.FS(), name, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.Type().IsRegular() && !entry.IsDir() && entry.Type() != fs.ModeSymlink {
			skipped = append(skipped, Skipped{at, "it is no regular file, directory or symbolic link"})
			return nil
		}
		return packEntry(w, root, at)
	})
	return skipped, errors.Join(err, w.Close())
}

func packEntry(w *tar.Writer, root *os.Root, at string) error {
	info, err := root.Lstat(at)
	if err != nil {
		return err
	}
	header := &tar.Header{Name: path.Clean(at), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()}
	switch {
	case info.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		return w.WriteHeader(header)
	case info.Mode().Type() == fs.ModeSymlink:
		header.Typeflag = tar.TypeSymlink
		if header.Linkname, err = root.Readlink(at); err != nil {
			return err
		}
		return w.WriteHeader(header)
	}
	return packFile(w, root, at, info, header)
}

func packFile(w *tar.Writer, root *os.Root, at string, listed fs.FileInfo, header *tar.Header) (err error) {
	f, err := root.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(info, listed) {
		return fmt.Errorf("%s was replaced while it was read", at)
	}
	header.Typeflag, header.Size = tar.TypeReg, info.Size()
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	if _, err := io.Copy(w, io.LimitReader(f, info.Size())); err != nil {
		return fmt.Errorf("read %s: %w", at, err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("%s became shorter while it was read: %w", at, err)
	}
	return nil
}
