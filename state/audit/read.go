package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxRecord limits a line of a log that is read, in bytes. A person's decision, with its diff, is the longest.
const maxRecord = 1 << 20

// Reader reads a bottle's log from its first record on, also while others append to it or archive it. It changes nothing. It is not
// safe for concurrent use.
type Reader struct {
	path       string
	file       *os.File // nil while there is none
	lines      *bufio.Reader
	line       []byte // read so far
	raw        []byte // of the last record
	tooLong    bool   // more than maxRecord
	unreadable uint64
}

// OpenReader opens the log of a bottle in the directory of audit logs. A log that does not exist yet has no records.
func OpenReader(dir, bottle string) (*Reader, error) {
	path, err := logPath(dir, bottle)
	if err != nil {
		return nil, err
	}
	r := &Reader{path: path}
	return r, r.open()
}

// Bottles returns the names of the bottles that have a log in the directory of audit logs.
func Bottles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read audit logs: %w", err)
	}
	var bottles []string
	for _, e := range entries {
		if bottle, isLog := strings.CutSuffix(e.Name(), ".jsonl"); isLog && bottle != "" {
			bottles = append(bottles, bottle)
		}
	}
	return bottles, nil
}

// Exists reports whether the log had been written to when it was looked for last.
func (r *Reader) Exists() bool { return r.file != nil }

// Unreadable returns how many lines have been passed over because they are no records.
func (r *Reader) Unreadable() uint64 { return r.unreadable }

// Close closes the file.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// open opens the file.
func (r *Reader) open() error {
	file, err := openOwn(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.file, r.lines = file, bufio.NewReader(file)
	return nil
}

// openOwn opens a file to read it, which must be one that a log could have written.
func openOwn(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	if err := checkOwn(file, 0); err != nil {
		return nil, fmt.Errorf("read audit log: %w", errors.Join(err, file.Close()))
	}
	return file, nil
}

// Next returns the next record; false when there is none so far.
func (r *Reader) Next() (Record, bool, error) {
	for {
		line, err := r.nextLine()
		if line == nil || err != nil {
			return Record{}, false, err
		}
		var record Record
		if json.Unmarshal(line, &record) != nil || record.Kind == "" {
			r.unreadable++
			continue
		}
		r.raw = line
		return record, true, nil
	}
}

// Raw returns the line of the record that Next returned last, as it is in the log.
func (r *Reader) Raw() []byte { return r.raw }

// nextLine returns the next complete line; nil when there is none so far.
func (r *Reader) nextLine() ([]byte, error) {
	for {
		if r.file == nil {
			if err := r.open(); err != nil || r.file == nil {
				return nil, err
			}
		}
		// Looked at before the end is, so that nothing that was appended to an archived file is missed.
		archived := r.archived()
		part, err := r.lines.ReadSlice('\n')
		r.tooLong = r.tooLong || len(r.line)+len(part) > maxRecord
		if !r.tooLong {
			r.line = append(r.line, part...)
		}
		switch {
		case err == nil && r.tooLong:
			r.line, r.tooLong = nil, false
			r.unreadable++
		case err == nil:
			line := bytes.TrimSpace(r.line)
			if r.line = nil; len(line) > 0 {
				return line, nil
			}
		case errors.Is(err, bufio.ErrBufferFull):
		case !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("read audit log: %w", err)
		case !archived:
			return nil, nil
		default:
			if err := r.reopen(); err != nil {
				return nil, err
			}
		}
	}
}

// reopen goes on with the file that took the place of an archived one.
func (r *Reader) reopen() error {
	if len(r.line) > 0 || r.tooLong { // a crash cut the last line off
		r.line, r.tooLong = nil, false
		r.unreadable++
	}
	if err := r.file.Close(); err != nil {
		return err
	}
	r.file = nil
	return r.open()
}

// archived reports whether another file has the log's name. A name that nobody has yet leaves the open file in use.
func (r *Reader) archived() bool {
	open, err := r.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(r.path)
	return err == nil && !os.SameFile(open, named)
}

// ParseStatement parses a line of a sidecar's output; false when it is no statement about a decision.
func ParseStatement(line []byte) (Record, bool) {
	kind, number, run, s, ok := parse(line)
	return Record{Kind: kind, Position: Position{Run: run, Number: number}, Statement: &s}, ok && IsStatement(line)
}

// logPath returns the path of a bottle's log.
func logPath(dir, bottle string) (string, error) {
	if slices.Contains([]string{"", ".", ".."}, bottle) || strings.ContainsAny(bottle, "/\x00") {
		return "", fmt.Errorf("open audit log: %q is not a bottle name", bottle)
	}
	return filepath.Join(dir, bottle+".jsonl"), nil
}
