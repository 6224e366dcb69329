package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"
)

// HeadsFile is the name of the log of heads in the directory of audit logs. It has no suffix, so it is no bottle's.
const HeadsFile = "heads"

// Kinds of lines in the log of heads.
const (
	kindHead       = "head"
	kindCheckpoint = "checkpoint"
)

// headInterval is how long a sidecar's record may be in a bottle's log before the log of heads notes it. Decisions and changes are noted
// at once.
const headInterval = time.Minute

// Head is a line of the log of heads: a bottle's log had this many records, and the last one this hash.
type Head struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	Bottle  string    `json:"bottle"`
	Records uint64    `json:"records"`
	Head    string    `json:"head"`
}

// Checkpoint is a line of the log of heads that is signed: all lines before it are as the controller wrote them.
type Checkpoint struct {
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	// Lines is how many lines there are before it, Head the hash of the last of them.
	Lines     uint64 `json:"lines"`
	Head      string `json:"head"`
	Key       string `json:"key"`       // the Ed25519 public key, base64
	Signature string `json:"signature"` // of message, base64
}

// message is what is signed.
func (c Checkpoint) message() []byte {
	return fmt.Appendf(nil, "bottled audit checkpoint\n%s\n%d\n%s\n", c.Time.Format(time.RFC3339Nano), c.Lines, c.Head)
}

func openHeads(dir string) (*Log, error) {
	l := &Log{dir: dir, name: HeadsFile}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.open()
}

// noteHead notes in the log of heads how far the file goes, unless that was done less than the interval ago. The lock is held.
func (l *Log) noteHead(interval time.Duration) (err error) {
	if l.chain == nil || l.bottle == "" || l.chain.head.seq <= l.noted.seq || time.Since(l.headAt) < interval {
		return nil
	}
	heads, err := openHeads(l.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, heads.Close()) }()
	head := l.chain.head
	if err := heads.Append(newHead(l.bottle, head)); err != nil {
		return err
	}
	l.noted, l.headAt = head, time.Now()
	return nil
}

func newHead(bottle string, l link) Head {
	return Head{Time: time.Now().UTC(), Kind: kindHead, Bottle: bottle, Records: l.seq, Head: l.hash.String()}
}

// lastHeads returns the last record that the log of heads has of each bottle; if it is empty, its archives.
func lastHeads(dir string) (map[string]link, error) {
	last := map[string]link{}
	err := addLastHeads(last, filepath.Join(dir, HeadsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) || len(last) > 0 {
		return last, err
	}
	paths, err := archives(dir, HeadsFile)
	for _, path := range paths {
		if err := addLastHeads(last, path); err != nil {
			return nil, err
		}
	}
	return last, err
}

func addLastHeads(last map[string]link, path string) error {
	file, err := openOwn(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for lines := newLineReader(file); ; {
		line, err := lines.next()
		var h Head
		if json.Unmarshal(line, &h) == nil && h.Kind == kindHead && h.Records >= last[h.Bottle].seq {
			if hash, ok := parseDigest([]byte(h.Head)); ok {
				last[h.Bottle] = link{h.Records, hash}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
}

// Sign appends a signed checkpoint to the log of heads, unless its last line is one or it is empty.
func Sign(dir string, key ed25519.PrivateKey) (err error) {
	heads, err := openHeads(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, heads.Close()) }()
	heads.mu.Lock()
	defer heads.mu.Unlock()
	signed, err := heads.signed()
	if err != nil || signed {
		return heads.wrapWriteError(err)
	}
	if err := heads.sign(key); err != nil {
		return heads.wrapWriteError(err)
	}
	return heads.wrapWriteError(heads.file.Sync())
}

// signed reports whether the log's last line is a checkpoint, or there is none.
func (l *Log) signed() (bool, error) {
	info, err := l.file.Stat()
	if err != nil || info.Size() == 0 {
		return true, err
	}
	from := max(0, info.Size()-4<<10)
	end := make([]byte, info.Size()-from)
	if _, err := l.file.ReadAt(end, from); err != nil {
		return false, err
	}
	end = bytes.TrimSpace(end)
	var c Checkpoint
	return json.Unmarshal(end[bytes.LastIndexByte(end, '\n')+1:], &c) == nil && c.Kind == kindCheckpoint, nil
}

// sign appends a checkpoint for the lines before it, which no other process may add to meanwhile. The mutex is held.
func (l *Log) sign(key ed25519.PrivateKey) error {
	unlock, _, err := l.lockNamed()
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.readOn(); err != nil {
		return err
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return errors.New("sign: not an Ed25519 key")
	}
	c := Checkpoint{
		Time: time.Now().UTC(), Kind: kindCheckpoint, Lines: l.chain.head.seq, Head: l.chain.head.hash.String(),
		Key: base64.StdEncoding.EncodeToString(public),
	}
	c.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key, c.message()))
	record, err := marshal(c)
	if err != nil {
		return err
	}
	_, err = l.appendLines([][]byte{record})
	return err
}
