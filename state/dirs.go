package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// readDirs reads every directory that bottled writes for the sidecars: below <state dir>/bottles and
// below the run directory. Symbolic links and anything else that is no regular file count as absent.
func readDirs(s Settings) (map[string]map[string]ObservedFile, error) {
	dirs := map[string]map[string]ObservedFile{}
	for _, root := range []string{filepath.Join(s.StateDir, "bottles"), filepath.Join(s.StateDir, "queue"), s.RunDir} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // the root before the first bottle, or removed meanwhile
			case err != nil:
				return err
			case entry.IsDir():
				dirs[path] = map[string]ObservedFile{}
				if root == filepath.Join(s.StateDir, "queue") && path != root {
					return fs.SkipDir // what is in a queue is not ours to compare
				}
				return nil
			case !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), ".new-"):
				return nil
			}
			return readFile(dirs, path)
		})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", root, err)
		}
	}
	return dirs, nil
}

func readFile(dirs map[string]map[string]ObservedFile, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dirs[filepath.Dir(path)][filepath.Base(path)] = ObservedFile{Content: NewContent(data), Mode: uint32(info.Mode().Perm())}
	return nil
}
