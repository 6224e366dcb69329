package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// logFile is one of the files of a log.
type logFile struct {
	path  string
	file  *os.File
	size  int64
	name  string    // of the log it belongs to, by its first record; "" without one
	start seal      // of its first sealed line; zero without one
	at    time.Time // of that line
}

// begin returns the record that the file continues. One without sealed lines continues after.
func (f logFile) begin(after link) link {
	if f.start.seq == 0 {
		return after
	}
	return link{f.start.seq - 1, f.start.prev}
}

type logFiles []logFile

func (l logFiles) close() {
	for _, f := range l {
		_ = f.file.Close() // it was only read
	}
}

// openFiles opens a log and its archives, and returns them in their order. Others may archive it meanwhile.
func openFiles(dir, name string, more []string) (files logFiles, err error) {
	defer func() {
		if err != nil {
			files.close()
		}
	}()
	live, err := lockToRead(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	if live != nil {
		defer func() { _ = syscall.Flock(int(live.Fd()), syscall.LOCK_UN) }() // closing the file unlocks, too
	}
	paths, err := archives(dir, name)
	if err != nil {
		return nil, err
	}
	for _, path := range append(paths, more...) {
		file, err := openOwn(path)
		if err != nil {
			return files, err
		}
		if files, err = files.add(path, file); err != nil {
			return files, err
		}
	}
	slices.SortStableFunc(files, func(a, b logFile) int { return cmp.Compare(a.start.seq, b.start.seq) })
	if live != nil { // nothing follows it, and it may be empty
		files, err = files.add(filepath.Join(dir, name), live)
	}
	return files, err
}

func (l logFiles) add(path string, file *os.File) (logFiles, error) {
	f, err := lookInto(path, file)
	return append(l, f), err
}

// lockToRead opens a log and locks it, so that it is neither written to nor archived; nil if there is none.
func lockToRead(path string) (*os.File, error) {
	for {
		file, err := openOwn(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH); err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, errors.Join(err, file.Close()))
		}
		open, err := file.Stat()
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if named, err := os.Lstat(path); err == nil && os.SameFile(open, named) {
			return file, nil
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
}

// lookInto reads the begin of a file, and how long it is now.
func lookInto(path string, file *os.File) (logFile, error) {
	f := logFile{path: path, file: file}
	info, err := file.Stat()
	if err != nil {
		return f, err
	}
	f.size = info.Size()
	for lines := newLineReader(io.NewSectionReader(file, 0, f.size)); ; {
		line, err := lines.next()
		var r struct {
			Time         time.Time
			Bottle, Kind string
		}
		if json.Unmarshal(line, &r) == nil && f.name == "" {
			f.name = logName(r.Bottle, r.Kind)
		}
		if s, ok := parseSeal(bytes.TrimSuffix(line, []byte("\n"))); ok {
			f.start, f.at = s, r.Time
			return f, nil
		}
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return f, fmt.Errorf("read %s: %w", path, err)
		}
	}
}

// logName returns the name of the log that has a record; "" if none has.
func logName(bottle, kind string) string {
	switch {
	case kind == kindHead || kind == kindCheckpoint:
		return HeadsFile
	case bottle == "":
		return ""
	}
	return bottle + ".jsonl"
}

// sortArchives finds out to which logs the archives of the options belong.
func (v *verifier) sortArchives() error {
	for _, path := range v.Archives {
		file, err := openOwn(path)
		if err != nil {
			return err
		}
		f, err := lookInto(path, file)
		if err == nil && f.name == "" {
			err = fmt.Errorf("%s is no audit log of a bottle: is it compressed?", path)
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		v.archives[f.name] = append(v.archives[f.name], path)
	}
	return nil
}

// bottles returns the bottles that have a log, an archive, or heads.
func (v *verifier) bottles() ([]string, error) {
	entries, err := os.ReadDir(v.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read audit logs: %w", err)
	}
	all := map[string]bool{}
	for _, e := range entries {
		if bottle, _, isLog := strings.Cut(e.Name(), ".jsonl"); isLog && bottle != "" {
			all[bottle] = true
		}
	}
	for name := range v.archives {
		if bottle, isLog := strings.CutSuffix(name, ".jsonl"); isLog {
			all[bottle] = true
		}
	}
	for bottle := range v.heads {
		all[bottle] = true
	}
	return slices.Sorted(maps.Keys(all)), nil
}
