package docker

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/state/engine"
)

// TestStreamTerminal reads the log of a container with a terminal, whatever its program prints.
func TestStreamTerminal(t *testing.T) {
	const at = "2026-11-27T10:00:00.5Z "
	long := strings.Repeat("x", maxStreamedLine)
	for name, c := range map[string]struct {
		raw  string
		want []string
		says string
	}{
		"lines":              {raw: at + "one\r\n" + at + "two\n" + at + "\r\n", want: []string{"one\n", "two\n", "\n"}},
		"an unfinished line": {raw: at + "one\r\n" + at + "tw", want: []string{"one\n", "tw"}},
		"a long line":        {raw: at + long + "y\r\n" + at + "z\r\n", want: []string{long[len(at):], "x" + strings.Repeat("x", len(at)-1) + "y\n", "z\n"}},
		"the init's words":   {raw: at + "[FATAL tini (7)] exec /x failed: Permission denied\r\n", want: []string{"exec /x: Permission denied\n"}},
		"no time":            {raw: "1 one\r\n", says: "a log entry without its time"},
		"nothing":            {},
	} {
		var got []string
		err := streamLog(strings.NewReader(c.raw), func(l engine.LogLine) error {
			got = append(got, string(l.Text))
			if l.At.Hour() != 10 {
				return fmt.Errorf("its time is %s", l.At)
			}
			return nil
		})
		if fmt.Sprint(got) != fmt.Sprint(c.want) || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %.200q, %v, want %.200q, %q", name, got, err, c.want, c.says)
		}
	}
	enough := errors.New("enough")
	if err := streamLog(strings.NewReader(at+"one\n"+at+"two\n"), func(engine.LogLine) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the handler's error is %v", err)
	}
}

// TestInitFilter rewrites the init's report, however it comes, and nothing else of a session's output.
func TestInitFilter(t *testing.T) {
	const report = "[FATAL tini (7)] exec /x failed: Permission denied\r\n"
	for in, want := range map[string]string{
		report: "exec /x: Permission denied\r\n", report + "more": "exec /x: Permission denied\r\nmore",
		"text\n" + report: "text\n" + report, "[FATAL tini (": "[FATAL tini (", "[F": "[F", "": "", "text": "text", "[FATAL x\n": "[FATAL x\n",
		"[FATAL tini (" + strings.Repeat("x", 2*maxInitReport): "[FATAL tini (" + strings.Repeat("x", 2*maxInitReport),
	} {
		for _, size := range []int{1, 7, len(in)} {
			var out bytes.Buffer
			f := &initFilter{w: &out}
			for rest := in; rest != ""; rest = rest[min(size, len(rest)):] {
				if n, err := f.Write([]byte(rest[:min(size, len(rest))])); err != nil || n != min(size, len(rest)) {
					t.Errorf("%q: %d, %v", in, n, err)
				}
			}
			if err := f.flush(); err != nil || out.String() != want {
				t.Errorf("%.100q in pieces of %d: %.100q, %v, want %.100q", in, size, out.String(), err, want)
			}
		}
	}
}

func TestSearchPath(t *testing.T) {
	for _, c := range []struct {
		command, dir string
		env          []string
		want         string
	}{
		{"/bin/sh", "/work", nil, "[/bin/sh]"},
		{"./run", "/work", nil, "[/work/run]"},
		{"bin/run", "", nil, "[/bin/run]"},
		{"sh", "/work", []string{"PATH=/a:b::/c/"}, "[/a/sh /work/b/sh /work/sh /c/sh]"},
		{"sh", "", []string{"PATH="}, "[/sh]"},
		{"sh", "/", nil, "[/usr/local/sbin/sh /usr/local/bin/sh /usr/sbin/sh /usr/bin/sh /sbin/sh /bin/sh]"},
	} {
		if got := fmt.Sprint(searchPath(c.command, c.dir, c.env)); got != c.want {
			t.Errorf("%q in %q with %v: %s, want %s", c.command, c.dir, c.env, got, c.want)
		}
	}
}
