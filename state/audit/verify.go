package audit

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
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
	"time"
)

// VerifyOptions say what to verify.
type VerifyOptions struct {
	Dir     string   // of the audit logs
	Bottles []string // all without any
	// Archives are files that logs were renamed to. Those in Dir whose name begins with the log's (dev.jsonl.1) need not be named.
	Archives []string
	// Since excuses missing records that are older: their archives may be gone.
	Since time.Time
	// Key, if given, must have signed the checkpoints.
	Key ed25519.PublicKey
}

// Finding is something wrong in an audit log.
type Finding struct {
	File string `json:"file"`
	Line uint64 `json:"line,omitempty"` // from 1; 0: the file as a whole
	What string `json:"what"`
}

func (f Finding) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.What
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.What)
}

// Verification is what was verified.
type Verification struct {
	Files    int       `json:"files"`
	Records  uint64    `json:"records"` // with a seal
	Findings []Finding `json:"findings"`
	Notes    []Finding `json:"notes"` // what is not proven, and no sign of a change
	// Signed is when the last checkpoint was signed; zero without a key, or without a checkpoint of it.
	Signed time.Time `json:"signed,omitzero"`
}

// Verify checks that audit logs are as they were written, and complete. It reads them once, and changes nothing. The error says why it
// could not look.
func Verify(o VerifyOptions) (Verification, error) {
	v := &verifier{VerifyOptions: o, heads: map[string]*bottleHeads{}}
	if err := v.readHeads(); err != nil {
		return v.Verification, err
	}
	files, err := v.files()
	if err != nil {
		return v.Verification, err
	}
	bottles := slices.Sorted(maps.Keys(files))
	for bottle := range v.heads {
		if files[bottle] == nil {
			bottles = append(bottles, bottle)
		}
	}
	slices.Sort(bottles)
	for _, bottle := range bottles {
		if len(o.Bottles) > 0 && !slices.Contains(o.Bottles, bottle) {
			continue
		}
		if err := v.bottle(bottle, files[bottle]); err != nil {
			return v.Verification, err
		}
	}
	return v.Verification, nil
}

type verifier struct {
	VerifyOptions
	Verification
	heads map[string]*bottleHeads
}

// bottleHeads are what the log of heads has of a bottle.
type bottleHeads struct {
	byRecord map[uint64]digest
	noted    []noted // by time
	last     uint64
}

type noted struct {
	record uint64
	at     time.Time
}

// notedAt returns when a record was noted, at the latest; zero if it was not.
func (h *bottleHeads) notedAt(record uint64) time.Time {
	if h != nil {
		for _, n := range h.noted {
			if n.record >= record {
				return n.at
			}
		}
	}
	return time.Time{}
}

func (v *verifier) find(file string, line uint64, what string, args ...any) {
	v.Findings = append(v.Findings, Finding{file, line, fmt.Sprintf(what, args...)})
}

func (v *verifier) note(file string, line uint64, what string, args ...any) {
	v.Notes = append(v.Notes, Finding{file, line, fmt.Sprintf(what, args...)})
}

// readHeads verifies the log of heads and remembers what it has.
func (v *verifier) readHeads() error {
	path := filepath.Join(v.Dir, HeadsFile)
	signed := false
	f := &fileCheck{verifier: v, path: path, onRecord: func(line []byte, number uint64, before link) {
		switch kind, h, c := parseHeadsLine(line); kind {
		case kindHead:
			v.addHead(h)
		case kindCheckpoint:
			signed = v.checkpoint(path, number, c, before) || signed
		default:
			v.find(path, number, "it is neither a head nor a checkpoint")
		}
	}}
	err := f.run(link{})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
		v.note(path, 0, "it does not exist, so nothing shows whether records are missing at the end of a log, or a whole log")
	}
	if err == nil && f.first > 1 {
		v.find(path, 1, "lines 1 to %d are missing", f.first-1)
	}
	if v.Key != nil && !signed {
		v.find(path, 0, "no checkpoint is signed with the key")
	}
	return err
}

func parseHeadsLine(line []byte) (kind string, h Head, c Checkpoint) {
	if json.Unmarshal(line, &h) != nil || h.Kind == kindCheckpoint && json.Unmarshal(line, &c) != nil {
		return "", h, c
	}
	return h.Kind, h, c
}

func (v *verifier) addHead(h Head) {
	b := v.heads[h.Bottle]
	if b == nil {
		b = &bottleHeads{byRecord: map[uint64]digest{}}
		v.heads[h.Bottle] = b
	}
	hash, _ := parseDigest([]byte(h.Head)) // one that can't be parsed equals no record's
	b.byRecord[h.Records] = hash
	b.noted = append(b.noted, noted{h.Records, h.Time})
	b.last = max(b.last, h.Records)
}

// checkpoint verifies a checkpoint, if there is a key, and reports whether it holds.
func (v *verifier) checkpoint(path string, line uint64, c Checkpoint, before link) bool {
	if v.Key == nil {
		return false
	}
	switch signature, err := decodeBase64(c.Signature); {
	case c.Lines != before.seq || c.Head != before.hash.String():
		v.find(path, line, "the checkpoint was signed for other lines than those before it")
	case err != nil || !ed25519.Verify(v.Key, c.message(), signature):
		v.find(path, line, "the checkpoint is not signed with the key")
	default:
		v.Signed = c.Time
		return true
	}
	return false
}

// logFile is one of the files of a bottle's log.
type logFile struct {
	path  string
	start seal // of its first sealed line; zero without one
}

// files returns the files of each bottle's log, in their order.
func (v *verifier) files() (map[string][]logFile, error) {
	entries, err := os.ReadDir(v.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read audit logs: %w", err)
	}
	all := map[string][]logFile{}
	add := func(bottle, path string) error {
		named, start, err := lookInto(path)
		if bottle == "" {
			bottle = named
		}
		if err == nil && bottle == "" {
			err = fmt.Errorf("%s is no audit log of a bottle: is it compressed?", path)
		}
		if err == nil {
			all[bottle] = append(all[bottle], logFile{path, start})
		}
		return err
	}
	for _, e := range entries {
		bottle, rest, isLog := strings.Cut(e.Name(), ".jsonl")
		if isLog && bottle != "" && !slices.Contains(compressed, filepath.Ext(rest)) {
			if err := add(bottle, filepath.Join(v.Dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	for _, path := range v.Archives {
		if err := add("", path); err != nil {
			return nil, err
		}
	}
	for bottle := range all {
		live := filepath.Join(v.Dir, bottle+".jsonl")
		slices.SortStableFunc(all[bottle], func(a, b logFile) int {
			if (a.path == live) != (b.path == live) { // nothing follows it, and it may be empty
				return map[bool]int{true: 1, false: -1}[a.path == live]
			}
			return cmp.Compare(a.start.seq, b.start.seq)
		})
	}
	return all, nil
}

// compressed are the suffixes of archives that have to be uncompressed first.
var compressed = []string{".gz", ".bz2", ".xz", ".zst"}

// lookInto returns the bottle of the first record of a file, and its first seal.
func lookInto(path string) (bottle string, start seal, err error) {
	file, err := openOwn(path)
	if err != nil {
		return "", start, err
	}
	defer file.Close()
	for lines := newLineReader(file); ; {
		line, err := lines.next()
		if bottle == "" {
			var r struct {
				Bottle string `json:"bottle"`
			}
			if json.Unmarshal(line, &r) == nil {
				bottle = r.Bottle
			}
		}
		if s, ok := parseSeal(bytes.TrimSuffix(line, []byte("\n"))); ok {
			return bottle, s, nil
		}
		if errors.Is(err, io.EOF) {
			return bottle, start, nil
		}
		if err != nil {
			return bottle, start, fmt.Errorf("read %s: %w", path, err)
		}
	}
}

// bottle verifies the files of a bottle's log.
func (v *verifier) bottle(bottle string, files []logFile) error {
	heads := v.heads[bottle]
	var head link
	for _, file := range files {
		f := &fileCheck{verifier: v, path: file.path, heads: heads}
		begin := head
		if file.start.seq > 0 {
			begin = link{file.start.seq - 1, file.start.prev}
			v.junction(file, head, begin, heads)
		}
		if err := f.run(begin); err != nil {
			return err
		}
		head = f.head
	}
	live := filepath.Join(v.Dir, bottle+".jsonl")
	switch {
	case heads == nil && head.seq > 0:
		v.note(live, 0, "the log of heads has nothing about it yet")
	case heads != nil && heads.last > head.seq:
		v.missing(live, 0, head.seq+1, heads.last, heads)
	}
	return nil
}

// junction verifies that a file begins where the one before it ends.
func (v *verifier) junction(file logFile, head, begin link, heads *bottleHeads) {
	switch {
	case begin == head:
	case begin.seq > head.seq:
		v.missing(file.path, 1, head.seq+1, begin.seq, heads)
	case begin.seq < head.seq:
		v.find(file.path, 1, "it begins with record %d, but the file before it goes to record %d", begin.seq+1, head.seq)
	default:
		v.find(file.path, 1, "it does not continue the file before it, whose record %d has another hash", head.seq)
	}
	if hash, known := begin.hash, heads != nil && begin.seq > 0 && !v.excused(begin.seq, heads); known {
		if want, noted := heads.byRecord[begin.seq]; noted && want != hash {
			v.find(file.path, 1, "it does not continue record %d that the log of heads has", begin.seq)
		}
	}
}

func (v *verifier) excused(record uint64, heads *bottleHeads) bool {
	at := heads.notedAt(record)
	return !v.Since.IsZero() && !at.IsZero() && at.Before(v.Since)
}

// missing reports records that are in none of the files, unless they are excused.
func (v *verifier) missing(path string, line, from, to uint64, heads *bottleHeads) {
	if v.excused(to, heads) {
		v.note(path, line, "records %d to %d are in none of the files, and older than --since", from, to)
		return
	}
	v.find(path, line, "records %d to %d are in none of the files. If they were archived, name their file with --archive", from, to)
}
