package audit

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// VerifyOptions say what to verify.
type VerifyOptions struct {
	Dir     string   // of the audit logs
	Bottles []string // all without any
	// Archives are files that logs were renamed to. Those in Dir whose name begins with the log's (dev.jsonl.42) need not be named.
	Archives []string
	// Since excuses missing records that were noted before it: their archives may be gone.
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
	v := &verifier{VerifyOptions: o, heads: map[string]*bottleHeads{}, archives: map[string][]string{}}
	if err := v.sortArchives(); err != nil {
		return v.Verification, err
	}
	if err := v.readHeads(); err != nil {
		return v.Verification, err
	}
	bottles, err := v.bottles()
	if err != nil {
		return v.Verification, err
	}
	for _, bottle := range bottles {
		if len(o.Bottles) > 0 && !slices.Contains(o.Bottles, bottle) {
			continue
		}
		if err := v.bottle(bottle); err != nil {
			return v.Verification, err
		}
	}
	return v.Verification, nil
}

type verifier struct {
	VerifyOptions
	Verification
	heads    map[string]*bottleHeads
	archives map[string][]string // those of the options, by the name of the log
}

// bottleHeads are what the log of heads has of a bottle.
type bottleHeads struct {
	noted []noted // by time
	last  uint64
}

// noted is a record that the log of heads has. One number may have two, after a log was renamed by hand.
type noted struct {
	link
	at time.Time
}

// notedAt returns when a record was noted, at the latest; zero if it was not.
func (h *bottleHeads) notedAt(record uint64) time.Time {
	for _, n := range h.noted {
		if n.seq >= record {
			return n.at
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
	files, err := openFiles(v.Dir, HeadsFile, v.archives[HeadsFile])
	if err != nil {
		return err
	}
	defer files.close()
	if len(files) == 0 {
		v.note(filepath.Join(v.Dir, HeadsFile), 0, "it does not exist, so nothing shows whether records are missing at the end of a log, or a whole log")
	}
	signed := false
	var head link
	for _, file := range files {
		v.continueHeads(file, head)
		f := &fileCheck{verifier: v, path: file.path, onRecord: func(line []byte, number uint64, before link) {
			switch kind, h, c := parseHeadsLine(line); kind {
			case kindHead:
				v.addHead(h)
			case kindCheckpoint:
				signed = v.checkpoint(file.path, number, c, before) || signed
			default:
				v.find(file.path, number, "it is neither a head nor a checkpoint")
			}
		}}
		if err := f.run(file, file.begin(head)); err != nil {
			return err
		}
		head = f.head
	}
	if v.Key != nil && !signed {
		v.find(filepath.Join(v.Dir, HeadsFile), 0, "no checkpoint is signed with the key. A controller that has it signs the first one within 5 minutes")
	}
	return nil
}

// continueHeads verifies that a file of the log of heads begins where the one before it ends.
func (v *verifier) continueHeads(file logFile, head link) {
	switch begin := file.begin(head); {
	case begin == head:
	case begin.seq <= head.seq:
		v.find(file.path, 1, "it does not continue the file before it, which goes to line %d", head.seq)
	case file.at.Before(v.Since):
		v.note(file.path, 1, "lines %d to %d are in none of the files, and older than --since", head.seq+1, begin.seq)
	default:
		v.find(file.path, 1, "lines %d to %d are missing. If they were archived, name their file with --archive", head.seq+1, begin.seq)
	}
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
		b = &bottleHeads{}
		v.heads[h.Bottle] = b
	}
	hash, _ := parseDigest([]byte(h.Head)) // one that can't be parsed equals no record's
	b.noted = append(b.noted, noted{link{h.Records, hash}, h.Time})
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
