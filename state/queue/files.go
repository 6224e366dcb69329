package queue

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

const (
	proposalSuffix = ".proposal.json"
	answerSuffix   = ".answer.json"
	tempPrefix     = ".tmp-"

	// maxEntries limits a listing, since the other side may write anything into the directory.
	maxEntries = 4096
)

// files is the directory of one queue. Everything goes through os.Root: the other side of the bind mount
// can plant symbolic links, and none leads out of the directory.
type files struct {
	root *os.Root
	dir  string // for messages
}

// encode returns a file's content. It fails for content that read would refuse.
func encode(content any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // an escape has six bytes
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(content); err != nil {
		return nil, err
	}
	if out.Len() > maxFileBytes {
		return nil, fmt.Errorf("%d bytes are more than the %d allowed", out.Len(), maxFileBytes)
	}
	return out.Bytes(), nil
}

// create writes a file that must not exist yet (fs.ErrExist). It appears complete or not at all, and it
// survives a crash once create has returned.
func (f *files) create(name string, data []byte) error {
	temp := tempPrefix + strings.ToLower(rand.Text())
	err := f.writeTemp(temp, data)
	if err == nil {
		err = f.root.Link(temp, name) // a rename would replace an existing file; a link fails
	}
	_ = f.root.Remove(temp) // sweep removes what a kill leaves
	if err != nil {
		return err
	}
	return f.syncDir()
}

func (f *files) writeTemp(name string, data []byte) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, f.chownToDirOwner(file), file.Sync(), file.Close())
}

// chownToDirOwner makes the directory's owner, the user that the sidecar runs as, the owner of a file that a root controller writes.
func (f *files) chownToDirOwner(file *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := f.root.Stat(".")
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}

func (f *files) syncDir() error {
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// read returns a regular file's content. Opening does not block on a planted named pipe.
func (f *files) read(name string) ([]byte, error) {
	info, err := f.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// The file may have been exchanged since Lstat looked.
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxFileBytes)
	}
	return data, nil
}

func (f *files) remove(name string) error {
	err := f.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// names lists the directory. It fails if there are more than maxEntries.
func (f *files) names() ([]string, error) {
	dir, err := f.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("more than %d files; empty the directory by hand", maxEntries)
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}

// sizes returns how many bytes each file has.
func (f *files) sizes() (map[string]int64, error) {
	names, err := f.names()
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64, len(names))
	for _, name := range names {
		sizes[name] = f.size(name)
	}
	return sizes, nil
}

// size returns the size of a regular file in bytes; 0 for any other file, which is never read, and for one that is gone.
func (f *files) size(name string) int64 {
	info, err := f.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}
