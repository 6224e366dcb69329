package dlp

import (
	"bytes"
	"sync"
)

const (
	// undecidedBytes bounds what a stream may keep for the sake of a secret that has only begun. A secret
	// longer than this is missed when it doesn't arrive in one piece.
	undecidedBytes = 8 << 10

	// A run of base64 or hexadecimal digits has to be this long, 18 bytes, to be decoded. What is in use is
	// longer, and so are few words of a text.
	base64Chars = 24
	hexChars    = 36

	// lineChars is how long a line of base64 is at least for the next one to be read on. Programs break
	// at 64 or 76.
	lineChars = 60
)

// scan has the buffers for one look at a text.
type scan struct {
	*Detector
	unescaped []byte // percent-decoded
	run       []byte // values of 6 bits, of base64 under way
	decoded   []byte
}

var scans = sync.Pool{New: func() any { return &scan{} }}

func newScan(d *Detector) *scan {
	s := scans.Get().(*scan) //nolint:forcetypeassert // New makes nothing else
	s.Detector = d
	return s
}

func (s *scan) free() { scans.Put(s) }

// find returns the rule that knows a secret in text, or "", and the offset from which on more text could
// still make a secret.
func (s *scan) find(text []byte) (id string, undecided int) {
	if id = s.plain(text); id != "" {
		return id, 0
	}
	if id = s.percent(text); id != "" {
		return id, 0
	}
	id, open := s.encoded(text)
	undecided = min(open, openWord(text), openPEM(text))
	return id, max(undecided, len(text)-undecidedBytes)
}

// percent looks at text with its percent-encoding undone.
func (s *scan) percent(text []byte) string {
	first := bytes.IndexByte(text, '%')
	if first < 0 {
		return ""
	}
	// What is before may be the beginning of the secret, but no more than its beginning.
	first = max(0, first-undecidedBytes)
	s.unescaped = s.unescaped[:0]
	for i := first; i < len(text); i++ {
		c := text[i]
		if c == '%' && i+2 < len(text) && hexValue[text[i+1]] < 16 && hexValue[text[i+2]] < 16 {
			c = hexValue[text[i+1]]<<4 | hexValue[text[i+2]]
			i += 2
		}
		s.unescaped = append(s.unescaped, c)
	}
	if id := s.plain(s.unescaped); id != "" {
		return id
	}
	id, _ := s.encoded(s.unescaped) // a form's base64 has its last digits escaped
	return id
}

// encoded looks at what is base64, of either alphabet and broken into lines or not, or hexadecimal in text.
// open is where the run of digits that has no end yet begins.
func (s *scan) encoded(text []byte) (id string, open int) {
	s.run = s.run[:0]
	for i := 0; i < len(text); i++ {
		line := i
		for i < len(text) && base64Value[text[i]] < 64 {
			i++
		}
		if len(s.run) == 0 {
			open = line
		}
		s.collect(text[line:i])
		if n := lineBreak(text[i:]); n > 0 && i-line >= lineChars {
			i += n - 1
			continue
		}
		if id := s.endRun(); id != "" {
			return id, 0
		}
		if id := s.hex(text[line:i]); id != "" {
			return id, 0
		}
		if i < len(text) {
			open = len(text)
		}
	}
	return s.endRun(), open
}

// collect adds a line of base64 to the run, unless it is too short to be one.
func (s *scan) collect(line []byte) {
	if len(line) < base64Chars && len(s.run) == 0 {
		return
	}
	for _, c := range line {
		s.run = append(s.run, base64Value[c])
	}
}

// lineBreak is the length of the line break that text begins with, as it is or as JSON writes it, or of its
// beginning when there is no more text; 0 for none.
func lineBreak(text []byte) int {
	if len(text) == 0 || text[0] != '\n' && text[0] != '\r' && text[0] != '\\' {
		return 0
	}
	for _, br := range []string{"\n", "\r\n", `\n`, `\r\n`} {
		if n := min(len(text), len(br)); string(text[:n]) == br[:n] {
			return n
		}
	}
	return 0
}

// endRun decodes the run. Where its first group of four begins can't be known, so all four ways are tried.
func (s *scan) endRun() string {
	run := s.run
	s.run = s.run[:0]
	if len(run) < base64Chars {
		return ""
	}
	for range 4 {
		s.decoded = s.decoded[:0]
		for i := 0; i+3 < len(run); i += 4 {
			s.decoded = append(s.decoded, run[i]<<2|run[i+1]>>4, run[i+1]<<4|run[i+2]>>2, run[i+2]<<6|run[i+3])
		}
		if rest := run[len(run)&^3:]; len(rest) > 1 {
			s.decoded = append(s.decoded, rest[0]<<2|rest[1]>>4)
			if len(rest) > 2 {
				s.decoded = append(s.decoded, rest[1]<<4|rest[2]>>2)
			}
		}
		if id := s.plain(s.decoded); id != "" {
			return id
		}
		run = run[1:]
	}
	return ""
}

// hex looks at what is hexadecimal in a run of base64's digits.
func (s *scan) hex(digits []byte) string {
	if len(digits) < hexChars {
		return ""
	}
	start := 0
	for i := 0; i <= len(digits); i++ {
		if i < len(digits) && hexValue[digits[i]] < 16 {
			continue
		}
		if id := s.hexRun(digits[start:i]); id != "" {
			return id
		}
		start = i + 1
	}
	return ""
}

func (s *scan) hexRun(run []byte) string {
	if len(run) < hexChars {
		return ""
	}
	for range 2 {
		s.decoded = s.decoded[:0]
		for i := 0; i+1 < len(run); i += 2 {
			s.decoded = append(s.decoded, hexValue[run[i]]<<4|hexValue[run[i+1]])
		}
		if id := s.plain(s.decoded); id != "" {
			return id
		}
		run = run[1:]
	}
	return ""
}

// openWord is where the last word begins, when text ends within one. Of what a secret or its encoding is
// made, a private key apart, nothing breaks a word.
func openWord(text []byte) int {
	i := len(text)
	for i > 0 && !breaksWord[text[i-1]] {
		i--
	}
	return i
}

// openPEM is where a private key may have begun whose first digits are not all there yet.
func openPEM(text []byte) int {
	const enough = 512 // for rule private-key
	tail := max(0, len(text)-enough)
	if i := bytes.Index(bytes.ToLower(text[tail:]), []byte(pemBegin)); i >= 0 {
		return tail + i
	}
	return len(text)
}

var (
	base64Value = digits("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", "-_")
	hexValue    = digits("0123456789abcdef", "ABCDEF")
	breaksWord  = func() (breaks [256]bool) {
		for c := range breaks {
			breaks[c] = c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte("\"'`<>()[]{},;\\"), byte(c)) >= 0
		}
		return breaks
	}()
)

// digits maps the digits of a number system to their values, and all else to 255. more are other ways to
// write the last ones.
func digits(all, more string) (values [256]uint8) {
	for c := range values {
		values[c] = 255
	}
	for i := range uint8(len(all)) { //nolint:gosec // 64 at most
		values[all[i]] = i
		if rest := len(all) - len(more); int(i) >= rest {
			values[more[int(i)-rest]] = i
		}
	}
	return values
}
