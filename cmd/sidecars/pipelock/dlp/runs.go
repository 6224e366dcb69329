package dlp

import (
	"bytes"
	"slices"
)

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
	if asciiRun(text) < 0 {
		return "" // there is no run of digits, either
	}
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
	values := s.values(run, depth, &base64Value)
	for offset := range 4 {
		s.decode64(values[offset:], depth)
		if id := s.inner(depth); id != "" {
			return id
		}
	}
	return ""
}

// base32Runs finds the runs of base32's digits, of one case, in a run of base64's.
func (s *scan) base32Runs(run []byte, depth int) string {
	for _, value := range []*[256]uint8{&base32Upper, &base32Lower} {
		for begin := 0; begin+base32Chars <= len(run); {
			end := begin + base32Chars
			for end > begin && isBase32(value, run[end-1]) {
				end--
			}
			if end > begin {
				begin = end // no run has this byte
				continue
			}
			for end = begin + base32Chars; end < len(run) && isBase32(value, run[end]); {
				end++
			}
			if id := s.base32Run(run[begin:end], depth, value); id != "" {
				return id
			}
			begin = end
		}
	}
	return ""
}

// isBase32 takes the line breaks in a run for digits.
func isBase32(value *[256]uint8, c byte) bool { return value[c] < 32 || base64Value[c] > 63 }

func (s *scan) base32Run(run []byte, depth int, value *[256]uint8) string {
	values := s.values(run, depth, value)
	for offset := range min(8, len(values)) {
		s.decode(values[offset:], depth, 5)
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
	values := s.values(run, depth, &hexValue)
	for offset := range min(2, len(values)) {
		s.decode(values[offset:], depth, 4)
		if id := s.inner(depth); id != "" {
			return id
		}
	}
	return ""
}

// values returns the values of the digits in a run.
func (s *scan) values(run []byte, depth int, value *[256]uint8) []byte {
	out := s.layers[depth].values[:0]
	for i, c := range run {
		v := value[c]
		if v > 63 || value == &hexValue && c == '0' && i+1 < len(run) && lower(run[i+1]) == 'x' {
			continue
		}
		out = append(out, v)
	}
	s.layers[depth].values = out
	return out
}

// decode decodes values of some bits each.
func (s *scan) decode(values []byte, depth, bits int) {
	out := s.layers[depth].decoded[:0]
	word, have := uint32(0), 0
	for _, v := range values {
		word = word<<bits | uint32(v)
		if have += bits; have >= 8 {
			have -= 8
			out = append(out, byte(word>>have&0xff))
		}
	}
	s.layers[depth].decoded = out
}

// decode64 is decode for 6 bits, which is the most there is to decode.
func (s *scan) decode64(values []byte, depth int) {
	size := len(values) / 4 * 3
	out := slices.Grow(s.layers[depth].decoded[:0], size+2)[:size]
	for i := 0; i+2 < len(out) && len(values) > 3; i += 3 {
		out[i] = values[0]<<2 | values[1]>>4
		out[i+1] = values[1]<<4 | values[2]>>2
		out[i+2] = values[2]<<6 | values[3]
		values = values[4:]
	}
	if len(values) > 1 {
		out = append(out, values[0]<<2|values[1]>>4)
	}
	if len(values) > 2 {
		out = append(out, values[1]<<4|values[2]>>2)
	}
	s.layers[depth].decoded = out
}

// inner looks at what the layer has decoded, and for more encodings where that is readable.
func (s *scan) inner(depth int) string {
	text := s.layers[depth].decoded
	if id := s.plain(text); id != "" {
		return id
	}
	if asciiRun(text) < 0 && !mayBeFolded(text) {
		return ""
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

// asciiRun is the offset of the first textBytes of data that are ASCII's, or -1. In other data, it looks at few bytes.
func asciiRun(data []byte) int {
	for begin := 0; begin+textBytes <= len(data); {
		end := begin + textBytes
		for end > begin && textKind[data[end-1]] == asciiText {
			end--
		}
		if end == begin {
			return begin
		}
		begin = end
	}
	return -1
}

// mayBeFolded reports whether data has a number of characters of full width, or unseen ones.
func mayBeFolded(data []byte) bool {
	const enough = 4 // in other data, two bytes are these now and then
	for _, begin := range [...]string{"\xef\xbc", "\xef\xbd", "\xe2\x80", "\xe2\x81"} {
		if bytes.Count(data, []byte(begin)) >= enough {
			return true
		}
	}
	return false
}

// Kinds of bytes in what was decoded.
const (
	notText   = iota
	asciiText // UTF-16's, too
	continued // within a character of UTF-8; what begins one is this plus the bytes that follow
)

var textKind = func() (kinds [256]uint8) {
	for c := range kinds {
		switch {
		case ' ' <= c && c < 0x7f, c == 0, c == '\n', c == '\r', c == '\t':
			kinds[c] = asciiText
		case 0x80 <= c && c < 0xc0:
			kinds[c] = continued
		case 0xc2 <= c && c < 0xe0:
			kinds[c] = continued + 1
		case 0xe0 <= c && c < 0xf0:
			kinds[c] = continued + 2
		case 0xf0 <= c && c < 0xf5:
			kinds[c] = continued + 3
		}
	}
	return kinds
}()

// readable is where the first text of textBytes in data, without control characters, begins and ends.
func readable(data []byte) (begin, end int) {
	following := 0 // bytes of a character that are to come
	for i, c := range data {
		kind := int(textKind[c])
		switch {
		case kind == asciiText && following == 0:
			continue
		case kind == continued && following > 0:
			following--
			continue
		case kind > continued && following == 0:
			following = kind - continued
			continue
		}
		if i-begin >= textBytes {
			return begin, i
		}
		begin, following = i, max(0, kind-continued)
		if kind == notText || kind == continued {
			begin++
		}
	}
	return begin, len(data)
}
