package queue

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Bounds of a queue's directory. supervise uses at most half of each, so a directory beyond them was filled by something else.
const (
	trimEntries = 1024
	trimBytes   = 2 * MaxBytes
	trimDepth   = 4
	// trimSteps limits the removals of one call; the next one continues.
	trimSteps = 1 << 16
)

// Trim keeps the directory of a queue within bounds, which a compromised supervise may exceed. Beyond the bounds it removes foreign files
// first, then the newest queue files. It returns the number of removed entries.
func Trim(dir string) (removed int, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, fmt.Errorf("trim queue: %w", err)
	}
	defer root.Close()
	t := trimmer{root: root, steps: trimSteps}
	if within, err := t.within(); within || err != nil {
		return 0, err
	}
	err = t.trim()
	if err != nil {
		err = fmt.Errorf("trim queue %s: %w", dir, err)
	}
	return t.removed, err
}

type trimmer struct {
	root    *os.Root
	steps   int // left
	removed int
}

// within reports whether the directory tree is within the bounds.
func (t *trimmer) within() (bool, error) {
	entries, bytes := 0, int64(0)
	for dirs := []string{"."}; len(dirs) > 0; dirs = dirs[1:] {
		if strings.Count(dirs[0], "/") >= trimDepth {
			return false, nil
		}
		found, err := t.list(dirs[0], trimEntries+1-entries)
		if err != nil {
			return false, err
		}
		for _, f := range found {
			entries++
			bytes += f.Size()
			if f.IsDir() {
				dirs = append(dirs, path.Join(dirs[0], f.Name()))
			}
		}
		if entries > trimEntries || bytes > trimBytes {
			return false, nil
		}
	}
	return true, nil
}

// list returns up to n entries of a directory; nil if that was removed meanwhile.
func (t *trimmer) list(dir string, n int) ([]fs.FileInfo, error) {
	info, err := t.root.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	file, err := t.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names, err := file.Readdirnames(n)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var found []fs.FileInfo
	for _, name := range names {
		if info, err := t.root.Lstat(path.Join(dir, name)); err == nil {
			found = append(found, info)
		}
	}
	return found, nil
}

// trim removes foreign entries, and then the newest queue files beyond half the bounds.
func (t *trimmer) trim() error {
	for t.steps > 0 {
		found, err := t.list(".", trimEntries+1)
		if err != nil {
			return err
		}
		foreign := slices.DeleteFunc(slices.Clone(found), isQueueFile)
		for _, f := range foreign {
			if err := t.remove(f); err != nil {
				return err
			}
		}
		if len(foreign) > 0 {
			continue
		}
		return t.removeNewest(found)
	}
	return nil
}

func isQueueFile(f fs.FileInfo) bool {
	id, isProposal := strings.CutSuffix(f.Name(), proposalSuffix)
	if !isProposal {
		id = strings.TrimSuffix(f.Name(), answerSuffix)
	}
	return f.Mode().IsRegular() && f.Size() <= maxFileBytes && (idPattern.MatchString(id) || strings.HasPrefix(f.Name(), tempPrefix))
}

// remove removes one entry. It moves the entries of a directory up instead of descending: a tree may be deeper than the limits on
// descriptors or path lengths.
func (t *trimmer) remove(f fs.FileInfo) error {
	for t.steps > 0 {
		t.steps--
		err := t.root.Remove(f.Name())
		if err == nil {
			t.removed++
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !f.IsDir() {
			return err
		}
		inside, listErr := t.list(f.Name(), trimEntries)
		if listErr != nil || len(inside) == 0 {
			return errors.Join(err, listErr)
		}
		for _, child := range inside {
			t.steps--
			if err := t.root.Rename(path.Join(f.Name(), child.Name()), "trim-"+strings.ToLower(rand.Text())); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeNewest removes the newest files beyond half the bounds. Identifiers sort by time.
func (t *trimmer) removeNewest(found []fs.FileInfo) error {
	slices.SortFunc(found, func(a, b fs.FileInfo) int { return cmp.Compare(a.Name(), b.Name()) })
	bytes := int64(0)
	for i, f := range found {
		if bytes += f.Size(); i < trimEntries/2 && bytes <= trimBytes/2 {
			continue
		}
		if err := t.remove(f); err != nil {
			return err
		}
	}
	if len(found) > trimEntries {
		return t.trim() // there may be more than were listed
	}
	return nil
}
