package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
)

// Each record ends with a seal: its number in the bottle's log, and the SHA-256 of the previous record's hash and of all bytes after
// that record. So a line that a crash cut off is covered by the next record's hash, and so are lines from before there were seals.
//
//	{…,"seq":7,"hash":"B5mM…"}
//
// The first sealed line of a file that continues an archived one also has its last hash: {…,"seq":8,"prev":"B5mM…","hash":"…"}.
const (
	sealHash = `,"hash":"`
	sealPrev = `,"prev":"`
	sealSeq  = `,"seq":`
	sealEnd  = `"}`
)

// digest is a SHA-256; zero before the first record.
type digest [sha256.Size]byte

func (d digest) String() string { return base64.RawURLEncoding.EncodeToString(d[:]) }

// digestText is the length of a digest's text.
var digestText = base64.RawURLEncoding.EncodedLen(sha256.Size)

func parseDigest(text []byte) (d digest, ok bool) {
	n, err := base64.RawURLEncoding.Strict().Decode(d[:], text)
	return d, err == nil && n == len(d)
}

// link is a record's place in its chain.
type link struct {
	seq  uint64
	hash digest
}

// seal is the seal of a line.
type seal struct {
	link
	prev    digest // zero unless the line says it
	covered int    // bytes of the line that the hash covers
}

// parseSeal parses the seal of a line without its newline; false if it has none.
func parseSeal(line []byte) (s seal, ok bool) {
	rest, ok := bytes.CutSuffix(line, []byte(sealEnd))
	if !ok {
		return s, false
	}
	if rest, s.hash, ok = cutDigest(rest, sealHash); !ok {
		return s, false
	}
	s.covered = len(rest)
	if before, prev, ok := cutDigest(rest, sealPrev); ok {
		rest, s.prev = before, prev
	}
	at := bytes.LastIndex(rest, []byte(sealSeq))
	if at < 0 {
		return s, false
	}
	var err error
	s.seq, err = strconv.ParseUint(string(rest[at+len(sealSeq):]), 10, 64)
	return s, err == nil && s.seq > 0
}

// cutDigest cuts a digest, and the key before it, off the end of a text. The closing quote of a key in the middle is cut, too.
func cutDigest(text []byte, key string) (rest []byte, d digest, ok bool) {
	text = bytes.TrimSuffix(text, []byte(`"`))
	at := len(text) - digestText
	if at < len(key) || !bytes.HasSuffix(text[:at], []byte(key)) {
		return text, d, false
	}
	d, ok = parseDigest(text[at:])
	return text[:at-len(key)], d, ok
}

// chain is how far the chain of a file goes.
type chain struct {
	head   link      // of the last sealed line
	sealed bool      // whether the file has a sealed line
	tail   hash.Hash // of the head's hash and of everything after the head's line
	size   int64     // of the file
}

// newChain continues the chain after a link.
func newChain(after link) chain {
	c := chain{head: after, tail: sha256.New()}
	c.tail.Write(after.hash[:])
	return c
}

// cover adds bytes that have no seal.
func (c *chain) cover(data []byte) {
	c.tail.Write(data)
	c.size += int64(len(data))
}

// seal returns a record as a sealed line, for a file that got the lines sealed before.
func (c *chain) seal(record []byte) ([]byte, error) {
	body, ok := bytes.CutSuffix(record, []byte("}"))
	if !ok || len(body) < 2 {
		return nil, errors.New("an audit record is a JSON object with fields")
	}
	line := append(bytes.Clone(body), sealSeq...)
	line = strconv.AppendUint(line, c.head.seq+1, 10)
	if !c.sealed && c.head.seq > 0 {
		line = append(line, sealPrev+c.head.hash.String()+`"`...)
	}
	c.tail.Write(line)
	var sum digest
	c.tail.Sum(sum[:0])
	line = append(line, sealHash+sum.String()+sealEnd+"\n"...)
	size := c.size + int64(len(line))
	*c = newChain(link{c.head.seq + 1, sum})
	c.sealed, c.size = true, size
	return line, nil
}

// skipTo makes a sealed line that was read the head, without checking it.
func (c *chain) skipTo(s seal, line int) {
	size := c.size + int64(line)
	*c = newChain(s.link)
	c.sealed, c.size = true, size
}

// windows are how many of a file's last bytes are searched for its last seal, in turn, before the whole file is.
var windows = []int64{4 << 10, 64 << 10, 2 * maxRecord}

// readChain reads how far the chain of a file goes. A file without a seal begins its chain after the link.
func readChain(file io.ReaderAt, size int64, after link) (chain, error) {
	for _, window := range windows {
		from := max(0, size-window)
		c := newChain(after)
		c.size = from
		if err := c.read(io.NewSectionReader(file, from, size-from)); err != nil {
			return c, err
		}
		if c.sealed || from == 0 {
			return c, nil
		}
	}
	c := newChain(after)
	return c, c.read(io.NewSectionReader(file, 0, size))
}

// read reads on to the end of a file, without checking it.
func (c *chain) read(file io.Reader) error {
	lines := newLineReader(file)
	for {
		line, err := lines.next()
		if s, ok := parseSeal(bytes.TrimSuffix(line, []byte("\n"))); ok {
			c.skipTo(s, len(line))
		} else {
			c.cover(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// marshal returns a record as JSON.
func marshal(record any) ([]byte, error) {
	data, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("audit record: %w", err)
	}
	return data, nil
}
