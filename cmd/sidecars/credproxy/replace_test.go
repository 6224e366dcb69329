package credproxy

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReplacing(t *testing.T) {
	list := func(pairs ...string) (list []replacement) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, replacement{[]byte(pairs[i]), []byte(pairs[i+1])})
		}
		return list
	}
	one, several := list("abc", "N"), list("(//", "A", "(/", "B", "x(/y/z", "C", "/q", "(/")
	long := strings.Repeat("x", replaceChunk-3)
	for _, c := range []struct {
		list       []replacement
		text, want string
	}{
		{one, "", ""},
		{one, "abc", "N"},
		{one, "ab", "ab"},
		{one, "ababcabcab", "abNNab"},
		{one, long + "abc" + long + "abc", long + "N" + long + "N"},
		{one, long + "ababc", long + "abN"},
		{one, "aabc", "aN"},
		{several, "(/", "B"},
		{several, "(//", "A"},
		{several, "(///(/(", "A/B("},
		{several, "x(/y/z x(/y/", "C xBy/"},
		{several, "/q/q", "(/(/"}, // what was put in is not looked at again
		{several, long + "(//" + long + "x(/y/z", long + "A" + long + "C"},
		{several, long + "x(/y(/", long + "xByB"},
		{nil, "abc", "abc"},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"as it comes": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with its end": iotest.DataErrReader,
		} {
			got, err := io.ReadAll(&replacing{from: wrap(strings.NewReader(c.text)), list: c.list})
			if err != nil || string(got) != c.want {
				t.Errorf("%.20q %s: %.60q, %v; want %.60q", c.text, name, got, err, c.want)
			}
		}
	}
	broken := errors.New("broken")
	got, err := io.ReadAll(&replacing{from: io.MultiReader(strings.NewReader("1abc2ab"), iotest.ErrReader(broken)), list: one})
	if !errors.Is(err, broken) || string(got) != "1N2ab" {
		t.Errorf("a broken text: %q, %v", got, err)
	}
}
