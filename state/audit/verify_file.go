package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// fileCheck verifies the chain of one file.
type fileCheck struct {
	*verifier
	path     string
	records  places                                          // gets those records that are in it
	onRecord func(line []byte, number uint64, previous link) // called with each record whose hash is right

	head     link   // of the last sealed line
	first    uint64 // number of the first record
	number   uint64 // of the line
	chain    chain
	unsealed uint64 // number of the first line since the head that has no seal, and is no line that was cut off
	legacy   uint64 // lines before the first seal
}

// run verifies the file, which continues after a link.
func (f *fileCheck) run(file logFile, begin link) error {
	f.Files++
	f.head, f.chain = begin, newChain(begin)
	for lines := newLineReader(io.NewSectionReader(file.file, 0, file.size)); ; {
		line, err := lines.next()
		if len(line) > 0 {
			f.number++
			f.line(line)
		}
		if errors.Is(err, io.EOF) {
			f.end()
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", f.path, err)
		}
	}
}

func (f *fileCheck) line(line []byte) {
	body := bytes.TrimSuffix(line, []byte("\n"))
	s, sealed := parseSeal(body)
	if !sealed {
		f.chain.cover(line)
		if f.first == 0 {
			f.legacy++
		} else if f.unsealed == 0 && json.Valid(body) && !isBlank(body) {
			f.unsealed = f.number // one that a crash cut off is no JSON
		}
		return
	}
	f.Records++
	if f.unsealed > 0 {
		f.find(f.path, f.unsealed, "the line has no hash: it was inserted, or a version of bottled wrote it that had none")
	}
	before := f.head
	f.chain.tail.Write(body[:s.covered])
	var sum digest
	f.chain.tail.Sum(sum[:0])
	if sum == s.hash && s.seq == f.head.seq+1 {
		if at, wanted := f.records[s.seq]; wanted {
			f.records[s.seq] = append(at, place{f.path, f.number, s.hash})
		}
		if f.onRecord != nil {
			f.onRecord(body, f.number, before)
		}
	} else {
		f.broken(s)
	}
	if f.first == 0 {
		f.first = s.seq
	}
	f.head, f.unsealed = s.link, 0
	f.chain.skipTo(s, len(line))
}

// broken reports a line whose hash is wrong.
func (f *fileCheck) broken(s seal) {
	switch next := f.head.seq + 1; {
	case f.first == 0 && s.seq > 1 && s.prev == (digest{}):
		f.find(f.path, f.number, "lines are missing before record %d", s.seq)
	case f.first > 0 && s.seq == next+1:
		f.find(f.path, f.number, "record %d is missing before this line", next)
	case f.first > 0 && s.seq > next:
		f.find(f.path, f.number, "records %d to %d are missing before this line", next, s.seq-1)
	case f.first > 0 && s.seq < next:
		f.find(f.path, f.number, "record %d is in the wrong place, or a copy", s.seq)
	default:
		f.find(f.path, f.number, "line changed: its hash is wrong, so record %d or what is before it was changed", s.seq)
	}
}

// end judges what is before the first hash and after the last.
func (f *fileCheck) end() {
	switch {
	case f.unsealed > 0:
		f.find(f.path, f.unsealed, "the line has no hash: it was added, or a version of bottled wrote it that had none")
	case f.legacy > 0 && f.first == 0:
		f.note(f.path, 0, "not chained: it has no hashes, since an earlier version of bottled wrote it")
	case f.legacy > 0:
		f.note(f.path, 1, "not chained before line %d: an earlier version of bottled wrote these lines, and they are proven from then on", f.legacy+1)
	}
}

func decodeBase64(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }
