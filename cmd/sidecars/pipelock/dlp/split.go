package dlp

import "slices"

// Bytes that can be inserted between the characters of a secret to hide it.
const (
	inner = ".,;|+"       // between words of a text they have a space beside them
	marks = inner + " /:" // all that a secret has seldom, and a text or a URL has often
)

// skipping is a set of bytes to leave out: control characters and all beyond ASCII, which no secret has and
// which is most of what can't be seen, and some marks.
type skipping struct{ set [256]bool }

var (
	skipBlanks = newSkipping("")
	skipInner  = newSkipping(inner)
	skipMarks  = newSkipping(marks)
	skipOne    = func() (each [256]*skipping) {
		for _, c := range []byte(marks) {
			each[c] = newSkipping(string(c))
		}
		return each
	}()
)

func newSkipping(marks string) *skipping {
	s := &skipping{}
	for c := range s.set {
		s.set[c] = c < ' ' || c >= 0x7f
	}
	for _, c := range []byte(marks) {
		s.set[c] = true
	}
	return s
}

func separates(c byte) bool { return skipMarks.set[c] }

const (
	// splitBytes bounds how much of a text is put together for a secret without its separators,
	splitBytes = 640
	// splitReach how far its first and last character are apart.
	splitReach = 4 * splitBytes

	// splitDigits is how many digits a secret has at least that is put together from parts of different
	// lengths. Names with dots between them, and words on lines, have fewer.
	splitDigits = 3
	// splitParts is how many parts of one length need no digits.
	splitParts = 4
)

// joined is a text without the separators that it had.
type joined struct {
	text   []byte
	breaks []int // offsets in text at which there were some
	words  bool  // some were line breaks or marks, which stand between words, too
}

// join puts together up to limit bytes of what begins at start, without those to skip.
func (j *joined) join(text []byte, start, limit int, skip *skipping) {
	j.text, j.breaks, j.words = j.text[:0], j.breaks[:0], false
	for _, c := range text[start:min(len(text), start+splitReach)] {
		if !skip.set[c] {
			if j.text = append(j.text, c); len(j.text) >= limit {
				return
			}
			continue
		}
		j.words = j.words || ' ' <= c && c < 0x7f || c == '\n' || c == '\r' || c == '\t'
		if n := len(j.breaks); len(j.text) > 0 && (n == 0 || j.breaks[n-1] < len(j.text)) {
			j.breaks = append(j.breaks, len(j.text))
		}
	}
}

// even reports whether there are many breaks before end, at one distance.
func (j *joined) even(end int) bool {
	n := 0
	for ; n < len(j.breaks) && j.breaks[n] < end; n++ {
		if n > 1 && j.breaks[n]-j.breaks[n-1] != j.breaks[1]-j.breaks[0] {
			return false
		}
	}
	return n >= splitParts
}

// split finds the secret whose keyword begins at start of text and that has separators in it.
func (s *scan) split(text []byte, start int, rules []*rule) string {
	limit := 0
	for _, r := range rules {
		limit = max(limit, min(r.length, splitBytes))
	}
	most := skipInner
	if s.apart {
		most = skipMarks
	}
	if start < s.splitStart {
		s.nextBlank, s.nextMost, s.nextMark = -1, -1, -1
	}
	s.splitStart = start
	blank := next(&s.nextBlank, text, start, skipBlanks)
	inside := next(&s.nextMost, text, start, most)
	mark := next(&s.nextMark, text, start, skipMarks)
	for _, way := range [...]struct {
		skip *skipping
		at   int
	}{{skipBlanks, blank}, {most, inside}, {skipOne[text[min(mark, len(text)-1)]], mark}} {
		if way.skip == nil || way.at >= min(len(text), start+limit) {
			continue
		}
		s.joined.join(text, start, limit, way.skip)
		for _, r := range rules {
			if s.matchesSplit(r, text, start, way.skip) {
				return r.id
			}
		}
	}
	return ""
}

// next is the offset of the first byte to skip in text, from an offset on. known keeps it for the
// next call, for which from may grow.
func next(known *int, text []byte, from int, skip *skipping) int {
	for *known = max(*known, from); *known < len(text) && !skip.set[text[*known]]; {
		*known++
	}
	return *known
}

func (s *scan) matchesSplit(r *rule, text []byte, start int, skip *skipping) bool {
	j := &s.joined
	if len(j.breaks) == 0 {
		return false
	}
	window, keyword := j.text, 0
	if r.lead > 0 {
		window, keyword = s.withLead(r.lead, text, start, skip)
	}
	re := r.open[r.letters(text, start, s.letters)]()
	end := r.matchIn(re, window, keyword) - keyword
	switch {
	case end <= j.breaks[0]:
		return false // there is no separator in it
	case isHex(j.text[:end]):
		return false // which is looked at where that is decoded
	case !j.words || s.apart || j.even(end):
		return true
	}
	return (skip == skipBlanks || skip == skipInner) && digitsIn(j.text[:end]) >= splitDigits
}

// withLead is what join has put together behind up to lead bytes from before start, and how many there are.
func (s *scan) withLead(lead int, text []byte, start int, skip *skipping) (window []byte, keyword int) {
	s.led = s.led[:0]
	for i := start - 1; i >= max(0, start-splitReach) && len(s.led) < lead; i-- {
		if !skip.set[text[i]] {
			s.led = append(s.led, text[i])
		}
	}
	slices.Reverse(s.led)
	keyword = len(s.led)
	s.led = append(s.led, s.joined.text...)
	return s.led, keyword
}

func digitsIn(text []byte) int {
	n := 0
	for _, c := range text {
		if '0' <= c && c <= '9' {
			n++
		}
	}
	return n
}

func isHex(text []byte) bool {
	for _, c := range text {
		if hexValue[c] > 15 {
			return false
		}
	}
	return true
}
