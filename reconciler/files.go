package reconciler

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bot-bottle/bottled/state"
)

// writeDir makes a directory hold exactly its files, each replaced atomically. The sidecars' user owns them,
// so that it can read them and nobody else but root can.
func writeDir(dir state.Dir, s state.Settings) error {
	_, record := dir.Files[state.RecordFile]
	mode := fs.FileMode(0o755) // the agent, whoever it runs as, reads its current configuration
	if dir.Spool || state.Within(dir.Path, s.RunDir) {
		mode = 0o700
	}
	if err := os.MkdirAll(dir.Path, mode); err != nil {
		return err
	}
	if record {
		mode = 0o700
	}
	if err := os.Chmod(dir.Path, mode); err != nil {
		return err
	}
	if !record {
		if err := giveTo(dir.Path, s.User); err != nil {
			return err
		}
	}
	for name, f := range dir.Files {
		own := func(path string) error { return giveTo(path, s.User) }
		if err := state.WriteFile(filepath.Join(dir.Path, name), f.Content.Reveal(), fs.FileMode(f.Mode), own); err != nil {
			return err
		}
	}
	if dir.Spool {
		return nil
	}
	return removeOthers(dir)
}

func removeOthers(dir state.Dir) error {
	entries, err := os.ReadDir(dir.Path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := dir.Files[e.Name()]; ok || e.IsDir() {
			continue
		}
		if err := os.Remove(filepath.Join(dir.Path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// giveTo changes the owner. An unprivileged bottled runs the sidecars as its own user, who owns the file already.
func giveTo(path, user string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, g, _ := strings.Cut(user, ":")
	uid, err := strconv.Atoi(u)
	if err != nil {
		return fmt.Errorf("user %q: %w", user, err)
	}
	gid, err := strconv.Atoi(g)
	if err != nil {
		return fmt.Errorf("user %q: %w", user, err)
	}
	return os.Lchown(path, uid, gid)
}

// removeFiles removes a bottle's configuration and tokens. Its queue, with proposals and answers, stays.
func removeFiles(slug string, s state.Settings) error {
	return errors.Join(os.RemoveAll(s.BottleDir(slug)), os.RemoveAll(filepath.Dir(s.TokenDir(slug))))
}
