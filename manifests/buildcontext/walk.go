package buildcontext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// walk finds the entries of a context without reading a file. They are sorted by directory and name.
type walk struct {
	root    *os.Root
	source  Source
	ignore  *patternmatcher.PatternMatcher
	keep    map[string]bool // files that no pattern takes away, since the engine needs them to begin
	looked  int             // entries, ignored ones too
	bytes   int64
	entries []entry
	stamps  []stamp // of entries, in the same order
}

// list walks through the directory of a source.
func list(root *os.Root, s Source) (*walk, error) {
	w := &walk{root: root, source: s, keep: map[string]bool{s.Dockerfile: true}}
	if err := w.readIgnore(); err != nil {
		return nil, err
	}
	return w, w.directory(".", patternmatcher.MatchInfo{})
}

// readIgnore reads DOCKERFILE.dockerignore or, where there is none, .dockerignore.
func (w *walk) readIgnore() error {
	for _, name := range []string{w.source.Dockerfile + ".dockerignore", ".dockerignore"} {
		text, err := readSmall(w.root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		w.keep[name] = true
		if w.ignore, err = patternmatcher.New(patterns); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	return nil
}

// readSmall reads a regular file of at most maxDockerfile bytes, and waits for nothing.
func readSmall(root *os.Root, name string) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() > maxDockerfile:
		return nil, fmt.Errorf("it is larger than %d KiB", maxDockerfile>>10)
	}
	return io.ReadAll(io.LimitReader(f, maxDockerfile))
}

func (w *walk) directory(dir string, above patternmatcher.MatchInfo) error {
	entries, err := fs.ReadDir(w.root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.entry(path.Join(dir, e.Name()), e, above); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) entry(at string, e fs.DirEntry, above patternmatcher.MatchInfo) error {
	if w.looked++; w.looked > maxEntries {
		return fmt.Errorf("it has more than %d files and directories: leave out what the image does not need in .dockerignore", maxEntries)
	}
	ignored, match, err := w.ignored(at, above)
	if err != nil {
		return err
	}
	if !ignored {
		if err := w.add(at, e); err != nil {
			return err
		}
	}
	if !e.IsDir() || ignored && !w.mayHold(at) {
		return nil
	}
	return w.directory(at, match)
}

// ignored says whether the patterns take an entry away.
func (w *walk) ignored(at string, above patternmatcher.MatchInfo) (bool, patternmatcher.MatchInfo, error) {
	if w.ignore == nil {
		return false, above, nil
	}
	ignored, match, err := w.ignore.MatchesUsingParentResults(at, above)
	if err != nil {
		return false, match, fmt.Errorf(".dockerignore: %w", err)
	}
	return ignored && !w.keep[at], match, nil
}

// mayHold reports whether something below an ignored directory may still count: a pattern like !dir/file, or the
// Dockerfile.
func (w *walk) mayHold(dir string) bool {
	for name := range w.keep {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	if !w.ignore.Exclusions() {
		return false
	}
	for _, p := range w.ignore.Patterns() {
		literal, wild := beforeWild(p.String())
		if p.Exclusion() && (strings.HasPrefix(literal, dir+"/") || wild && strings.HasPrefix(dir+"/", literal)) {
			return true
		}
	}
	return false
}

// beforeWild is a pattern up to its first character that stands for others, and whether there is one.
func beforeWild(pattern string) (literal string, wild bool) {
	i := strings.IndexAny(pattern, `*?[\`)
	if i < 0 {
		return pattern, false
	}
	return pattern[:i], true
}

func (w *walk) add(at string, e fs.DirEntry) error {
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since its directory was read
	}
	if err != nil {
		return err
	}
	add := entry{path: at, mode: info.Mode()}
	switch info.Mode().Type() {
	case fs.ModeDir:
	case fs.ModeSymlink:
		if add.link, err = w.root.Readlink(at); err != nil {
			return err
		}
	case 0:
		add.size = info.Size()
		if w.bytes += add.size; w.bytes > maxBytes {
			return fmt.Errorf("its files have more than %d MiB: leave out what the image does not need in .dockerignore", maxBytes>>20)
		}
	default:
		return fmt.Errorf("%s is no file, directory or symbolic link: leave it out in .dockerignore", at)
	}
	w.entries, w.stamps = append(w.entries, add), append(w.stamps, stampOf(info))
	return nil
}

// same says whether nothing seems to have changed between two walks.
func (w *walk) same(other *walk) bool {
	samePath := func(a, b entry) bool { return a.path == b.path }
	return slices.Equal(w.stamps, other.stamps) && slices.EqualFunc(w.entries, other.entries, samePath)
}

// Directories are the directories of a context as it is now, its own first; that one alone where the context can't be read.
// Whoever watches them notices every change.
func Directories(s Source) []string {
	dirs := []string{s.Dir}
	root, err := openRoot(s.Dir)
	if err != nil {
		return dirs
	}
	defer root.Close()
	w, err := list(root, s)
	if err != nil {
		return dirs
	}
	for _, e := range w.entries {
		if e.mode.IsDir() {
			dirs = append(dirs, filepath.Join(s.Dir, e.path))
		}
	}
	return dirs
}
