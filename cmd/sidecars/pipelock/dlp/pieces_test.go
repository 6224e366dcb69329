package dlp

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// TestAttackSplitOverReads: wherever the pieces of a body are cut, a secret in several lines or with spaces in it doesn't
// get out whole.
func TestAttackSplitOverReads(t *testing.T) {
	d := detector(t)
	for name, encode := range map[string]func(string) string{
		"spaced hex":            eachByte("%02x "),
		"hex in Go":             eachByte("0x%02x, "),
		"short lines of base64": func(s string) string { return chunked(encodeBase64([]byte(s)), 12, "\n") },
		"soft line breaks":      func(s string) string { return chunked(s, 9, "=\r\n") },
		"newlines":              func(s string) string { return chunked(s, 9, "\n") },
		"newlines in JSON":      func(s string) string { return chunked(s, 9, `\n`) },
		"spaces":                func(s string) string { return chunked(s, 1, " ") },
		"UTF-16":                layeredByName(t, "UTF-16"),
		"zero width":            layeredByName(t, "zero width"),
	} {
		whole := []byte("some words before it: " + encode(token()) + " and after")
		for cut := range len(whole) {
			if _, err := io.ReadAll(body(d, "", whole[:cut], whole[cut:])); err == nil {
				t.Errorf("%s cut at %d of %d passes", name, cut, len(whole))
			}
		}
		var pieces [][]byte
		for piece := range slices.Chunk(whole, 5) {
			pieces = append(pieces, piece)
		}
		if _, err := io.ReadAll(body(d, "", pieces...)); err == nil {
			t.Errorf("%s in pieces of 5 bytes passes", name)
		}
	}
}

func layeredByName(t *testing.T, name string) func(string) string {
	t.Helper()
	for _, l := range layered {
		if l.name == name {
			return l.encode
		}
	}
	t.Fatalf("no encoding %q", name)
	return nil
}

// TestAttackSmallPieces: a client that sends its body byte by byte is slowed down, so that more comes at once and isn't
// looked at over and over.
func TestAttackSmallPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		const size = 2000
		text := strings.Repeat("ab cd ", size/6)
		if _, err := io.ReadAll(detector(t).Body(io.NopCloser(iotest.OneByteReader(strings.NewReader(text))), "", limit, nil, nil)); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begin); waited < size/2*paceTime {
			t.Errorf("%d pieces were read in %s", size, waited)
		}
	})
}
