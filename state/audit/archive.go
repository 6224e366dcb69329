package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/state/owndir"
)

// ActionArchive is the action of the [Change] with which a log begins after its archiving. Its object is the archive's name.
const ActionArchive = "archive"

// Archived is a log that was archived.
type Archived struct {
	Bottle  string `json:"bottle,omitempty"` // "" for the log of heads
	File    string `json:"file"`             // path of the archive
	Records uint64 `json:"records"`          // up to its end, also those in older archives
}

// Archive renames the log of a bottle, which must have one, to dev.jsonl.N, where N is the number of its last record, and begins a new one
// with a record that says who did so. Other processes may go on writing. False when there is nothing new since the last time.
func Archive(dir, bottle, who string) (archived Archived, done bool, err error) {
	log, err := Open(dir, bottle)
	if err != nil {
		return archived, false, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	path, records, err := log.archive(func(name string) any {
		return Change{Time: time.Now().UTC(), Bottle: bottle, Kind: KindChange, Action: ActionArchive, Object: name, Who: who}
	})
	if err != nil || path == "" {
		return archived, false, log.wrapArchiveError(err)
	}
	begin := Change{Time: time.Now().UTC(), Bottle: bottle, Kind: KindChange, Action: ActionArchive, Object: filepath.Base(path), Who: who}
	return Archived{Bottle: bottle, File: path, Records: records}, true, log.Append(begin)
}

// ArchiveHeads renames the log of heads as Archive does a bottle's, and begins a new one with the last head of each bottle.
func ArchiveHeads(dir string) (archived Archived, done bool, err error) {
	heads, err := openHeads(dir)
	if err != nil {
		return archived, false, err
	}
	defer func() { err = errors.Join(err, heads.Close()) }()
	path, records, err := heads.archive(nil)
	if err == nil && path != "" {
		err = heads.begin()
	}
	return Archived{File: path, Records: records}, path != "", heads.wrapArchiveError(err)
}

// begin creates a file that continues the archived one, and has a new log of heads say what it must.
func (l *Log) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	unlock, _, err := l.lockNamed()
	if err != nil {
		return err
	}
	defer unlock()
	return errors.Join(l.readOn(), l.file.Sync())
}

// repeatHeads begins a new log of heads with the last head of each bottle, so that its archives need not be read to know them. Whichever
// process comes first does so, since one that archives may be killed before it can.
func (l *Log) repeatHeads() error {
	last, err := lastHeads(l.dir)
	if err != nil {
		return err
	}
	var records [][]byte
	for _, bottle := range slices.Sorted(maps.Keys(last)) {
		record, err := marshal(newHead(bottle, last[bottle]))
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	_, err = l.appendLines(records)
	return err
}

func (l *Log) wrapArchiveError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("archive audit log %s: %w", l.Path(), err)
}

// archive renames the file, once it and the log of heads are on the disk, and returns its new path; "" when there is nothing to archive. A
// file without a sealed line gets the record that seal returns, so that what is in it is proven.
func (l *Log) archive(seal func(name string) any) (path string, records uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	unlock, _, err := l.lockNamed()
	if err != nil {
		return "", 0, err
	}
	defer unlock()
	if err := l.readOn(); err != nil {
		return "", 0, err
	}
	begun, err := l.justBegun()
	if err != nil || begun {
		return "", 0, err
	}
	if path, err = l.archivePath(seal); err != nil {
		return "", 0, err
	}
	if err := l.file.Sync(); err != nil {
		return "", 0, err
	}
	if err := l.noteHead(0); err != nil {
		return "", 0, err
	}
	if err := os.Rename(l.Path(), path); err != nil {
		return "", 0, err
	}
	records = l.chain.head.seq
	return path, records, owndir.SyncDir(l.dir)
}

// archivePath returns the path of the archive, which is free, after sealing the file if it was not. The lock is held.
func (l *Log) archivePath(seal func(name string) any) (string, error) {
	last := l.chain.head.seq
	if !l.chain.sealed && seal != nil {
		last++
	}
	path := fmt.Sprintf("%s.%d", l.Path(), last)
	switch _, err := os.Lstat(path); {
	case err == nil:
		return "", fmt.Errorf("%s exists already: rename it, for example to %s.old", path, path)
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if l.chain.head.seq == last {
		return path, nil
	}
	record, err := marshal(seal(filepath.Base(path)))
	if err != nil {
		return "", err
	}
	_, err = l.appendLines([][]byte{record})
	return path, err
}

// justBegun reports whether the file has nothing but the record with which a log begins after its archiving.
func (l *Log) justBegun() (bool, error) {
	if l.chain.size == 0 || l.chain.size > maxRecord {
		return l.chain.size == 0, nil
	}
	content := make([]byte, l.chain.size)
	if _, err := l.file.ReadAt(content, 0); err != nil {
		return false, err
	}
	var c Change
	return bytes.Count(content, []byte("\n")) == 1 && json.Unmarshal(content, &c) == nil && c.Action == ActionArchive, nil
}

// archives returns the paths of the archives beside a log: the files whose name begins with its name and a dot.
func archives(dir, name string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read audit logs: %w", err)
	}
	var paths []string
	for _, e := range entries {
		if rest, beside := strings.CutPrefix(e.Name(), name+"."); beside && !slices.Contains(compressed, filepath.Ext("."+rest)) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// compressed are the suffixes of archives that have to be uncompressed first.
var compressed = []string{".gz", ".bz2", ".xz", ".zst"}

// lastArchived returns the last record in the archives beside the log; zero when there are none.
func (l *Log) lastArchived() (last link, err error) {
	paths, err := archives(l.dir, l.name)
	if err != nil {
		return last, err
	}
	for _, path := range paths {
		file, err := openOwn(path)
		if err != nil {
			continue // no log could have written it: verifying says so
		}
		info, err := file.Stat()
		if err == nil {
			var c chain
			if c, err = readChain(file, info.Size(), link{}); c.head.seq > last.seq {
				last = c.head
			}
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return last, fmt.Errorf("read audit log %s: %w", path, err)
		}
	}
	return last, nil
}
