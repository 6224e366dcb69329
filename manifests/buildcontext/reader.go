package buildcontext

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Reader reads contexts again and again, and only what changed since the last time. Its zero value is ready for use, by many
// goroutines.
type Reader struct {
	mu     sync.Mutex
	places map[place]*memory
}

// place identifies a context that a Reader remembers. Their directory is named as it was declared: what it leads to may be
// another one with every commit.
type place struct{ dir, dockerfile string }

// memory is what is known of one context.
type memory struct {
	mu    sync.Mutex
	known map[string]known // by path
	last  *Context
}

// known is the content of a file that looked so.
type known struct {
	stamp stamp
	sum   [sha256.Size]byte
	// settled is false for a file that changed right before it was read: another change may leave its times as they are.
	settled bool
}

// stamp is how a file looks from outside. The change time is the kernel's: nobody sets it.
type stamp struct {
	dev, ino     uint64
	mode         fs.FileMode
	size         int64
	mod, changed int64 // nanoseconds
}

const (
	// settleTime is longer than the steps of any clock that file systems go by.
	settleTime = 2 * time.Second
	// attempts is how often a context is read anew because it changed meanwhile: no image is half of an old version and half
	// of a new one.
	attempts = 4
)

// Read reads a context; realDir is the directory that s.Dir leads to. As long as nothing changed, it returns the same
// Context again.
func (r *Reader) Read(s Source, realDir string) (*Context, error) {
	m := r.memory(place{s.Dir, s.Dockerfile})
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Dir = realDir
	c, err := m.read(s)
	if err != nil {
		return nil, fmt.Errorf("build context %s: %w", realDir, err)
	}
	if m.last == nil || m.last.Source != c.Source || m.last.Digest != c.Digest {
		m.last = c
	}
	return m.last, nil
}

func (r *Reader) memory(p place) *memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.places == nil {
		r.places = map[place]*memory{}
	}
	if r.places[p] == nil {
		r.places[p] = &memory{}
	}
	return r.places[p]
}

func (m *memory) read(s Source) (*Context, error) {
	root, err := openRoot(s.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for range attempts {
		w, err := list(root, s)
		if err != nil {
			return nil, err
		}
		read, err := m.sums(w)
		if errors.Is(err, ErrChanged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		text, err := dockerfile(w)
		if err != nil {
			return nil, err
		}
		if read {
			if after, err := list(root, s); err != nil || !w.same(after) {
				continue
			}
		}
		return &Context{Source: s, Digest: digest(s, w.entries), Text: text, entries: w.entries}, nil
	}
	return nil, fmt.Errorf("%w, again and again: leave out what changes all the time in .dockerignore", ErrChanged)
}

// openRoot opens a directory, and blocks on nothing else: os.OpenRoot would wait for a FIFO's writer.
func openRoot(dir string) (*os.Root, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	return root, errors.Join(err, f.Close())
}

// sums fills in what the files hold, and says whether one had to be read for it.
func (m *memory) sums(w *walk) (read bool, err error) {
	now := map[string]known{}
	for i := range w.entries {
		e := &w.entries[i]
		if !e.mode.IsRegular() {
			continue
		}
		k, ok := m.known[e.path]
		if !ok || !k.settled || k.stamp != w.stamps[i] {
			read = true
			if k, err = sum(w.root, e.path, w.stamps[i]); err != nil {
				return read, err
			}
		}
		e.sum, now[e.path] = k.sum, k
	}
	m.known = now
	return read, nil
}

// sum reads a file that was seen to look so.
func sum(root *os.Root, path string, seen stamp) (known, error) {
	f, err := open(root, path)
	if err != nil {
		return known{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return known{}, err
	}
	if stampOf(info) != seen {
		return known{}, ErrChanged
	}
	began := time.Now()
	h := sha256.New()
	if n, err := io.Copy(h, io.LimitReader(f, seen.size+1)); err != nil {
		return known{}, err
	} else if n != seen.size {
		return known{}, ErrChanged
	}
	k := known{stamp: seen, settled: began.Sub(time.Unix(0, seen.changed)) > settleTime}
	h.Sum(k.sum[:0])
	return k, nil
}

// open opens a file that is in the context itself, and waits for nothing, whatever came into its place.
func open(root *os.Root, path string) (*os.File, error) {
	f, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return f, err
}

// dockerfile reads the Dockerfile, which must be what was summed up.
func dockerfile(w *walk) ([]byte, error) {
	i := slices.IndexFunc(w.entries, func(e entry) bool { return e.path == w.source.Dockerfile })
	switch {
	case i < 0:
		return nil, fmt.Errorf("there is no %s in it", w.source.Dockerfile)
	case !w.entries[i].mode.IsRegular():
		return nil, fmt.Errorf("%s in it is not a regular file", w.source.Dockerfile)
	case w.entries[i].size > maxDockerfile:
		return nil, fmt.Errorf("%s in it is larger than %d KiB", w.source.Dockerfile, maxDockerfile>>10)
	}
	f, err := open(w.root, w.source.Dockerfile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxDockerfile+1))
	if err == nil && sha256.Sum256(text) != w.entries[i].sum {
		err = ErrChanged
	}
	return text, err
}
