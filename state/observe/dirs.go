package observe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/owndir"
)

// readDirs reads every directory that bottled writes for the sidecars, of one bottle or, with slug "", of all: below
// <state dir>/bottles and below the run directory. Of the queues it only tells that they are there. Symbolic links and
// anything else that is no regular file count as absent.
func readDirs(s state.Settings, slug string) (map[string]map[string]ObservedFile, error) {
	dirs := map[string]map[string]ObservedFile{}
	for _, root := range []string{s.BottleDir(slug), filepath.Join(s.RunDir, slug)} {
		if err := readTree(dirs, root); err != nil {
			return nil, fmt.Errorf("read %s: %w", root, err)
		}
	}
	return dirs, readQueues(dirs, s, slug)
}

func readQueues(dirs map[string]map[string]ObservedFile, s state.Settings, slug string) error {
	entries, err := os.ReadDir(s.QueueDir(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the proposal queues: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && (slug == "" || slug == e.Name()) {
			dirs[s.QueueDir(e.Name())] = map[string]ObservedFile{}
		}
	}
	return nil
}

func readTree(dirs map[string]map[string]ObservedFile, root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // the root before the first bottle, or removed meanwhile
		case err != nil:
			return err
		case entry.IsDir():
			dirs[path] = map[string]ObservedFile{}
			return nil
		case !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), ".new-"):
			return nil
		}
		return readFile(dirs, path)
	})
}

func readFile(dirs map[string]map[string]ObservedFile, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := owndir.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dirs[filepath.Dir(path)][filepath.Base(path)] = ObservedFile{Content: state.NewContent(data), Mode: uint32(info.Mode().Perm())}
	return nil
}
