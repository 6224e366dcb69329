package dlp

import "strings"

// DataInName is the ID for a name that carries more data than host names do.
const DataInName = "data-in-name"

// Limits from the longest generated names of clouds: 32 hexadecimal digits and a number, or a UUID and 12 digits. Digits of a larger base
// carry more data each.
const (
	nameBytes    = 128 // in all
	opaqueBytes  = 48  // in parts that aren't words
	opaqueDigits = 28  // in one part that isn't hexadecimal
)

// FindName is Find for the labels of a host's name before the base of a wildcard. DNS queries carry them to the base's name servers,
// whatever the host is.
func (d *Detector) FindName(labels string) string {
	if id := d.findAny([][]byte{[]byte(labels), []byte(strings.ReplaceAll(labels, ".", ""))}); id != "" {
		return id
	}
	sum := 0
	for part := range strings.FieldsFuncSeq(labels, func(r rune) bool { return r == '.' || r == '-' || r == '_' }) {
		if !opaque(part) {
			continue
		}
		sum += len(part)
		if len(part) >= opaqueDigits && strings.Trim(part, "0123456789abcdef") != "" {
			return DataInName
		}
	}
	if sum > opaqueBytes || len(labels) > nameBytes {
		return DataInName
	}
	return ""
}

// opaque reports whether a part of a name, in lower case, does not consist of words: it mixes letters and digits, is a long number, or is
// unpronounceable.
func opaque(part string) bool {
	const (
		shortest   = 4
		spoken     = 6  // letters that can't be spoken, at least
		word       = 24 // letters in a word, at most
		number     = 10 // digits in a number that is no year or port
		consonants = 5  // in a row; few words have as many
	)
	digits, changes, vowels, row, longest := 0, 0, 0, 0, 0
	for i := range len(part) {
		c := part[i]
		digit := '0' <= c && c <= '9'
		if i > 0 && digit != ('0' <= part[i-1] && part[i-1] <= '9') {
			changes++
		}
		switch {
		case digit:
			digits++
			row = 0
		case strings.IndexByte("aeiouy", c) >= 0:
			vowels++
			row = 0
		default:
			row++
		}
		longest = max(longest, row)
	}
	switch {
	case len(part) < shortest:
		return false
	case digits == len(part):
		return digits >= number
	case digits == 0:
		return len(part) >= word || len(part) >= spoken && (longest >= consonants || vowels*5 < len(part))
	}
	return changes > 1 || longest >= consonants
}
