package dlp

import (
	"bytes"
	"sync"
)

const (
	// undecidedBytes limits how much of a stream is held back for a secret that has begun and not ended. A longer secret is missed if it
	// does not arrive in one piece.
	undecidedBytes = 8 << 10

	// maxLayers is the number of nested encodings that are decoded.
	maxLayers = 16
	// workFactor limits the bytes that are scanned for each byte of a text, in all its layers. workBytes is the minimum for short texts.
	workFactor = 40
	workBytes  = 1 << 20
)

// TooEncoded is the ID for a text with more layers of encoding than are decoded.
const TooEncoded = "too-many-encodings"

// scan holds the state and buffers of one scan of a text.
type scan struct {
	*Detector
	apart   bool // separators of all kinds may stand in a secret
	letters int  // the form of the rules to use
	work    int  // bytes left to look at
	layers  [maxLayers]layer
	near    []*rule
	joined  joined
	// Offsets of the next separators of each kind in the text under way.
	nextBlank, nextMost, nextMark, splitStart int
	led                                       []byte
}

// layer has the buffers for a text that has come out of some encodings.
type layer struct {
	fold    fold
	quoted  fold
	values  []byte
	decoded []byte
}

var scans = sync.Pool{New: func() any { return &scan{} }}

func newScan(d *Detector) *scan {
	s := scans.Get().(*scan) //nolint:forcetypeassert // New makes nothing else
	s.Detector, s.apart, s.letters = d, false, prefixAnyCase
	return s
}

func (s *scan) free() { scans.Put(s) }

// find returns the ID of the rule that matches a secret in text, or "", and the offset from which a secret may be incomplete.
func (s *scan) find(text []byte) (id string, undecided int) {
	s.work = workFactor*len(text) + workBytes
	if id := s.look(text, 0); id != "" {
		return id, 0
	}
	undecided = min(openRun(text), openWord(text), openPEM(text))
	return "", max(undecided, len(text)-undecidedBytes)
}

// look finds a secret in text, plain and decoded.
func (s *scan) look(text []byte, depth int) string {
	if depth >= maxLayers {
		return TooEncoded
	}
	if id := s.plain(text); id != "" {
		return id
	}
	f := &s.layers[depth].fold
	if f.run(unseen, text); f.changed {
		if id := s.runs(text, depth); id != "" {
			return id
		}
		return s.look(f.out, depth+1)
	}
	if id := s.quotedPrintable(text, depth); id != "" {
		return id
	}
	for _, kind := range [...]*foldKind{percent, xml, backslashes} {
		if f.run(kind, text); f.changed {
			break
		}
	}
	if !f.changed || f.material {
		if id := s.runs(text, depth); id != "" {
			return id
		}
	}
	if f.changed {
		return s.look(f.out, depth+1)
	}
	return ""
}

// quotedReach is how far a secret may reach beyond what is quoted-printable of it.
const quotedReach = 1 << 10

// quotedPrintable looks at what is around the first and the last quoted character of text, when there is one.
func (s *scan) quotedPrintable(text []byte, depth int) string {
	first, last := bytes.IndexByte(text, '='), bytes.LastIndexByte(text, '=')
	if first < 0 {
		return ""
	}
	text = text[max(0, first-quotedReach):min(len(text), last+quotedReach)]
	f := &s.layers[depth].quoted
	if f.run(quoted, text); f.material {
		return s.look(f.out, depth+1)
	}
	return ""
}

// plain finds a secret that is not encoded, with or without separators.
func (s *scan) plain(text []byte) string {
	if s.work -= len(text); s.work < 0 {
		return TooEncoded
	}
	s.nextBlank, s.nextMost, s.nextMark, s.splitStart = -1, -1, -1, 0
	found := ""
	s.keywords.each(text, func(word, end int) bool {
		found = s.at(text, word, end)
		return found == ""
	})
	return found
}

// at finds the secret whose keyword ends at an offset of text.
func (s *scan) at(text []byte, word, end int) string {
	start := s.keywords.start(text, word, end)
	whole := end-start == len(s.keywords.words[word])
	near := s.near[:0]
	for _, r := range s.rules[word] {
		if !r.mayBegin(text, start, s.letters) {
			continue
		}
		if whole && r.matches(text, start, s.letters) {
			return r.id
		}
		near = append(near, r)
	}
	s.near = near
	if len(near) == 0 {
		return ""
	}
	return s.split(text, start, near)
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

// lineChars is how long a line of base64 is at least for the line before it to be kept, too. Programs break at 64
// or 76. With shorter lines, some of a secret goes out before its end comes and is refused.
const lineChars = 60

// openRun is where the lines of base64 begin that text ends within.
func openRun(text []byte) int {
	open := len(text)
	for i := len(text); len(text)-open < undecidedBytes; {
		end := i - lineBreak(text[:i])
		line := end
		for line > 0 && base64Value[text[line-1]] < 64 {
			line--
		}
		if end < i && end-line < lineChars || line == i {
			break
		}
		if line > 0 && text[line-1] == '\\' && text[line] == 'n' {
			line++ // the n is of a line break in JSON
		}
		open, i = line, line
	}
	return open
}

// lineBreak is the length of the line break that text ends with, as it is or as JSON writes it, or of its beginning;
// 0 for none.
func lineBreak(text []byte) int {
	for _, br := range []string{"\r\n", "\n", "\r", `\r\n`, `\n`, `\r\`, `\r`, `\`} {
		if bytes.HasSuffix(text, []byte(br)) {
			return len(br)
		}
	}
	return 0
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
	base32Upper = digits("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "")
	base32Lower = digits("abcdefghijklmnopqrstuvwxyz234567", "")
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
