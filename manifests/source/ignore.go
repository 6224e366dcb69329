package source

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
)

const (
	// ignoreName is a file with patterns of what to skip in its directory and below, in the syntax of .gitignore.
	ignoreName    = ".bottledignore"
	maxIgnoreSize = 64 << 10 // bytes
)

// ignoredPath is a file or directory that an ignore file excludes.
type ignoredPath struct{ parse.Location }

// covers reports whether a path is the excluded one, or below it.
func (i ignoredPath) covers(path string) bool {
	return path == i.Abs || strings.HasPrefix(path, i.Abs+string(filepath.Separator))
}

// readIgnore adds the patterns of a directory's ignore file, if there is one, to those of the directories above.
func (w *walk) readIgnore(dir *place, entries []fs.DirEntry) {
	found := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return e.Name() == ignoreName })
	if found < 0 {
		return
	}
	at := entryOf(*dir, ignoreName)
	if w.onLink != nil && entries[found].Type()&fs.ModeSymlink != 0 {
		w.onLink(at.real)
	}
	data, err := w.readIgnoreFile(*dir, entries[found])
	if err != nil {
		w.unreachable(at, "it can't be read: "+reasonOf(err).Error(), "replace it by a file with a pattern in each line, or remove it")
		return
	}
	dir.ignore = slices.Concat(dir.ignore, patterns(data, components(dir.path)))
}

func (w *walk) readIgnoreFile(dir place, entry fs.DirEntry) ([]byte, error) {
	at, err := child(dir, entry)
	if err != nil {
		return nil, err
	}
	if by, writable := w.writable.Writable(at.trace); writable {
		return nil, &safepath.Error{Path: at.path, Place: by}
	}
	o, err := safepath.Open(at.real)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	data, err := o.ReadUpTo(maxIgnoreSize + 1)
	if err == nil && len(data) > maxIgnoreSize {
		err = fmt.Errorf("it is larger than %d KiB", maxIgnoreSize>>10)
	}
	return data, err
}

func patterns(data []byte, domain []string) []gitignore.Pattern {
	var all []gitignore.Pattern
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			all = append(all, gitignore.ParsePattern(line, domain))
		}
	}
	return all
}

func isIgnored(ignore []gitignore.Pattern, path string, dir bool) bool {
	return len(ignore) > 0 && gitignore.NewMatcher(ignore).Match(components(path), dir)
}

func components(path string) []string {
	return strings.Split(strings.TrimSuffix(path, string(filepath.Separator)), string(filepath.Separator))
}
