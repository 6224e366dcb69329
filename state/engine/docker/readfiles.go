package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/owndir"
)

// Files returns the delivered directories of this host: those below <state dir>/bottles and the run directory, and the queues without
// their files. Anything but regular files counts as absent.
func (e *Engine) Files(_ context.Context, slug string) (map[string]map[string]state.ObservedFile, error) {
	return readDirs(e.files.settings, slug)
}

func readDirs(s state.Settings, slug string) (map[string]map[string]state.ObservedFile, error) {
	dirs := map[string]map[string]state.ObservedFile{}
	for _, root := range []string{s.BottleDir(slug), filepath.Join(s.RunDir, slug)} {
		if err := readTree(dirs, root); err != nil {
			return nil, fmt.Errorf("read %s: %w", root, err)
		}
	}
	return dirs, readQueues(dirs, s, slug)
}

func readQueues(dirs map[string]map[string]state.ObservedFile, s state.Settings, slug string) error {
	entries, err := os.ReadDir(s.QueueDir(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the proposal queues: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && (slug == "" || slug == e.Name()) {
			dirs[s.QueueDir(e.Name())] = map[string]state.ObservedFile{}
		}
	}
	return nil
}

func readTree(dirs map[string]map[string]state.ObservedFile, root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // the root before the first bottle, or removed meanwhile
		case err != nil:
			return err
		case entry.IsDir():
			dirs[path] = map[string]state.ObservedFile{}
			return nil
		case !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), ".new-") || entry.Name() == state.RecordFile,
			entry.Name() == state.InterventionFile, entry.Name() == state.RunsFile:
			return nil
		}
		return readFile(dirs, path)
	})
}

func readFile(dirs map[string]map[string]state.ObservedFile, path string) error {
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
	dirs[filepath.Dir(path)][filepath.Base(path)] = state.ObservedFile{Content: state.NewContent(data), Mode: uint32(info.Mode().Perm()), Modified: info.ModTime()}
	return nil
}
