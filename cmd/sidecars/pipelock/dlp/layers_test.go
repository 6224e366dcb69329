package dlp

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// layered are encodings that may be around each other in any order.
var layered = []struct {
	name   string
	encode func(string) string
}{
	{"percent", eachByte("%%%02x")},
	{"percent twice", eachByte("%%25%02X")},
	{"percent, some", func(s string) string { return percentEncode(s, func(i int) bool { return i%3 == 1 && s[i] < 0x80 }) }},
	{"base64", encodeString(base64.StdEncoding)},
	{"base64 for URLs", encodeString(base64.RawURLEncoding)},
	{"base64 in lines", func(s string) string { return chunked(encodeBase64([]byte(s)), 20, "\r\n  ") }},
	{"base32", func(s string) string { return base32.StdEncoding.EncodeToString([]byte(s)) }},
	{"base32 in lower case", func(s string) string { return strings.ToLower(base32.StdEncoding.EncodeToString([]byte(s))) }},
	{"hex", func(s string) string { return hex.EncodeToString([]byte(s)) }},
	{"hex with spaces", eachByte("%02X ")},
	{"hex in Go", eachByte("0x%02x, ")},
	{"hex escapes", eachByte(`\x%02x`)},
	{"octal escapes", eachByte(`\%03o`)},
	{"JSON escapes", eachRune(`\u%04x`)},
	{"XML entities", eachRune("&#%d;")},
	{"quoted-printable", eachByte("=%02X")},
	{"soft line breaks", func(s string) string { return chunked(s, 9, "=\n") }},
	{"UTF-16", func(s string) string {
		var b strings.Builder
		for _, u := range utf16.Encode([]rune(strings.ReplaceAll(s, "\u200b", ""))) { // of ASCII
			b.WriteByte(byte(u))
			b.WriteByte(byte(u >> 8))
		}
		return b.String()
	}},
	{"NUL", func(s string) string { return chunked(s, 4, "\x00") }},
	{"zero width", func(s string) string { return strings.Join(strings.Split(s, ""), "\u200b") }},
}

// maxPlanted is how many of them there may be: some take two of maxLayers.
const maxPlanted = 4

func encodeString(e *base64.Encoding) func(string) string {
	return func(s string) string { return e.EncodeToString([]byte(s)) }
}

func eachByte(format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, format, s[i])
		}
		return b.String()
	}
}

func eachRune(format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for _, r := range s {
			fmt.Fprintf(&b, format, r)
		}
		return b.String()
	}
}

// chunked breaks no character.
func chunked(s string, size int, sep string) string {
	var all []string
	for part := range slices.Chunk([]rune(s), size) {
		all = append(all, string(part))
	}
	return strings.Join(all, sep)
}

// TestAttackTwoEncodings: any encoding within any other.
func TestAttackTwoEncodings(t *testing.T) {
	d := detector(t)
	for _, inner := range layered {
		for _, outer := range layered {
			text := "text " + outer.encode("a "+inner.encode(token())+" z") + " more"
			if d.Find([]byte(text)) == "" {
				t.Errorf("%s in %s: not found in %.300q", inner.name, outer.name, text)
			}
		}
	}
}

// TestAttackDecodeBomb: what costs most to decode costs no more than a constant for each byte, and is refused when that
// isn't enough.
func TestAttackDecodeBomb(t *testing.T) {
	d := detector(t)
	deep := token()
	for range maxLayers + 2 {
		deep = encodeBase64([]byte(deep + " "))
	}
	for name, text := range map[string]string{
		"base64 in base64": deep, "backslashes": strings.Repeat(`\`, 1<<20), "percent": strings.Repeat("%25", 1<<20),
		"percent of percent": strings.Repeat("%2525%41", 1<<17), "equals": strings.Repeat("=3D", 1<<18), "AAAA": strings.Repeat("QUFB", 1<<18),
		"hex of digits": strings.Repeat("3330", 1<<18), "keywords": strings.Repeat("ghp_.", 1<<17), "entities": strings.Repeat("&#38;", 1<<17),
		"base32 of itself": strings.Repeat("IFAUCQKB", 1<<17), "keywords and blanks": strings.Repeat("sk\x00", 1<<17),
	} {
		s := newScan(d)
		id, _ := s.find([]byte(text))
		most := workFactor*len(text) + workBytes
		if looked := most - s.work; looked > most+len(text) {
			t.Errorf("%s: %d bytes were looked at for %d", name, looked, len(text))
		}
		if name == "base64 in base64" && id == "" {
			t.Errorf("%s: nothing found", name)
		}
		s.free()
	}
}

// FuzzLayers: a secret is found in any order of encodings, whatever is around it, and no text makes the detector panic
// or decode to more than the text is long.
func FuzzLayers(f *testing.F) {
	f.Add([]byte{0}, "", "")
	f.Add([]byte{3, 8, 14}, "{\"a\":\"", "\"}")
	f.Add([]byte{16, 19, 2, 9}, "%41\\x", "=3D&#1;")
	d, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, order []byte, before, after string) {
		text, names := token(), []string(nil)
		for _, n := range order[:min(len(order), maxPlanted)] {
			e := layered[int(n)%len(layered)]
			text = e.encode(text)
			names = append(names, e.name)
		}
		if len(text) > 1<<17 {
			t.Skip("too long")
		}
		text = before + " " + text + " " + after
		s := newScan(d)
		defer s.free()
		s.layers = [maxLayers]layer{}
		if id, _ := s.find([]byte(text)); id == "" {
			t.Errorf("not found in %q: %.200q", names, text)
		}
		for i := range s.layers {
			l := &s.layers[i]
			for _, size := range []int{len(l.fold.out), len(l.quoted.out), len(l.values), len(l.decoded)} {
				if size > len(text) {
					t.Errorf("layer %d has %d bytes of %d", i, size, len(text))
				}
			}
		}
	})
}
