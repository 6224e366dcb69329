package dlp

import "unicode/utf8"

const (
	// A run of digits has to be this long, 18 bytes, to be decoded. What is in use is longer, and so are few
	// words of a text.
	base64Chars = 24
	base32Chars = 29
	hexChars    = 36

	// textBytes is how much readable text there has to be in what was decoded to look for more encodings in it.
	textBytes = 16
)

// runs looks at what is base64, of either alphabet, base32 or hexadecimal in text, broken into lines or not.
func (s *scan) runs(text []byte, depth int) string {
	if id := s.base64Runs(text, depth); id != "" {
		return id
	}
	return s.hexRuns(text, depth)
}

// base64Runs finds the runs of base64's digits, of which base32's are some.
func (s *scan) base64Runs(text []byte, depth int) string {
	begin, digits := 0, 0
	for i := 0; i < len(text); {
		line := i
		for i < len(text) && base64Value[text[i]] < 64 {
			i++
		}
		if digits == 0 {
			begin = line
		}
		digits += i - line
		end := i
		if i = nextLine(text, i); i > end && i < len(text) {
			continue
		}
		if digits >= base64Chars {
			if id := s.base64Run(text[begin:end], depth); id != "" {
				return id
			}
		}
		digits = 0
		if i == end {
			i++
		}
	}
	return ""
}

// nextLine is where the line begins that follows a line break at i, behind its indentation; i for none.
func nextLine(text []byte, i int) int {
	begin := i
	for i < len(text) && (text[i] == '\n' || text[i] == '\r') {
		i++
	}
	if i == begin {
		return i
	}
	for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
		i++
	}
	return i
}

// base64Run decodes a run. Where its first group of four begins can't be known, so all four ways are tried.
func (s *scan) base64Run(run []byte, depth int) string {
	if id := s.base32Runs(run, depth); id != "" {
		return id
	}
	for offset := range 4 {
		s.decode(run, depth, &base64Value, 6, offset)
		if id := s.inner(depth); id != "" {
			return id
		}
	}
	return ""
}

// base32Runs finds the runs of base32's digits, of one case, in a run of base64's.
func (s *scan) base32Runs(run []byte, depth int) string {
	for _, value := range []*[256]uint8{&base32Upper, &base32Lower} {
		begin, digits := 0, 0
		for i := 0; i <= len(run); i++ {
			if i < len(run) && value[run[i]] < 32 {
				digits++
				continue
			}
			if i < len(run) && base64Value[run[i]] > 63 {
				continue // between two lines
			}
			if digits >= base32Chars {
				if id := s.base32Run(run[begin:i], depth, value); id != "" {
					return id
				}
			}
			begin, digits = i+1, 0
		}
	}
	return ""
}

func (s *scan) base32Run(run []byte, depth int, value *[256]uint8) string {
	for offset := range 8 {
		s.decode(run, depth, value, 5, offset)
		if id := s.inner(depth); id != "" {
			return id
		}
	}
	return ""
}

// hexKind is what a byte is to a run of hexadecimal digits.
var hexKind = func() (kinds [256]uint8) {
	for c := range kinds {
		if hexValue[c] < 16 {
			kinds[c] = hexDigit
		}
	}
	for _, c := range []byte(" \t\r\n:,;-_.|/+'\"[]{}()xX\\") {
		kinds[c] = hexBetween
	}
	return kinds
}()

const (
	hexDigit = iota + 1
	hexBetween
	hexGap = 4 // of them between two digits
)

// hexRuns finds the runs of hexadecimal digits: one after the other, in lines, or with something between them, as
// 67 68, 67:68, 0x67, 0x68.
func (s *scan) hexRuns(text []byte, depth int) string {
	begin, digits, gap := 0, 0, 0
	for i, c := range text {
		switch kind := hexKind[c]; {
		case kind == hexDigit:
			if digits == 0 {
				begin = i
			}
			digits++
			gap = 0
			continue
		case kind == hexBetween && gap < hexGap:
			gap++
			continue
		}
		if digits >= hexChars {
			if id := s.hexRun(text[begin:i], depth); id != "" {
				return id
			}
		}
		digits = 0
	}
	if digits >= hexChars {
		return s.hexRun(text[begin:], depth)
	}
	return ""
}

func (s *scan) hexRun(run []byte, depth int) string {
	for offset := range 2 {
		s.decode(run, depth, &hexValue, 4, offset)
		if id := s.inner(depth); id != "" {
			return id
		}
	}
	return ""
}

// decode decodes a run of digits of some bits each, without the first ones, into the layer's buffer.
func (s *scan) decode(run []byte, depth int, value *[256]uint8, bits, offset int) {
	out := s.layers[depth].decoded[:0]
	word, have := uint32(0), 0
	for i, c := range run {
		v := value[c]
		if v > 63 || bits == 4 && c == '0' && i+1 < len(run) && lower(run[i+1]) == 'x' {
			continue
		}
		if offset > 0 {
			offset--
			continue
		}
		word = word<<bits | uint32(v)
		if have += bits; have >= 8 {
			have -= 8
			out = append(out, byte(word>>have))
		}
	}
	s.layers[depth].decoded = out
}

// inner looks at what the layer has decoded, and for more encodings where that is readable.
func (s *scan) inner(depth int) string {
	text := s.layers[depth].decoded
	if id := s.plain(text); id != "" {
		return id
	}
	for len(text) >= textBytes {
		begin, end := readable(text)
		if end-begin >= textBytes {
			if id := s.look(text[begin:end], depth+1); id != "" {
				return id
			}
		}
		text = text[end:]
	}
	return ""
}

// readable is where the first text of some length in data begins and ends: UTF-8 or UTF-16 without control characters.
func readable(data []byte) (begin, end int) {
	for i := 0; i < len(data); {
		n := 1
		switch c := data[i]; {
		case c >= utf8.RuneSelf:
			if r, size := utf8.DecodeRune(data[i:]); r != utf8.RuneError {
				n = size
				break
			}
			n = 0
		case c < ' ' && c != 0 && c != '\n' && c != '\r' && c != '\t', c == 0x7f:
			n = 0
		}
		if n > 0 {
			i += n
			continue
		}
		if i-begin >= textBytes {
			return begin, i
		}
		i++
		begin = i
	}
	return begin, len(data)
}
