package credproxy

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReplacing(t *testing.T) {
	long := strings.Repeat("x", replaceChunk-3)
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"abc", "N"},
		{"ab", "ab"},
		{"ababcabcab", "abNNab"},
		{long + "abc" + long + "abc", long + "N" + long + "N"},
		{long + "ababc", long + "abN"},
		{"aabc", "aN"},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"as it comes": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with its end": iotest.DataErrReader,
		} {
			got, err := io.ReadAll(&replacing{from: wrap(strings.NewReader(c.text)), old: []byte("abc"), new: []byte("N")})
			if err != nil || string(got) != c.want {
				t.Errorf("%.20q %s: %.60q, %v; want %.60q", c.text, name, got, err, c.want)
			}
		}
	}
	broken := errors.New("broken")
	got, err := io.ReadAll(&replacing{from: io.MultiReader(strings.NewReader("1abc2ab"), iotest.ErrReader(broken)), old: []byte("abc"), new: []byte("N")})
	if !errors.Is(err, broken) || string(got) != "1N2ab" {
		t.Errorf("a broken text: %q, %v", got, err)
	}
}
