package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// next returns the hosts of the records that can be read now.
func next(t *testing.T, r *Reader) (hosts []string) {
	t.Helper()
	for {
		record, ok, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return hosts
		}
		hosts = append(hosts, string(record.Host))
	}
}

// TestReader follows a log that is created, appended to and archived meanwhile: each record once.
func TestReader(t *testing.T) {
	b := newBottle(t)
	r, err := OpenReader(b.dir, "dev")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if got := next(t, r); got != nil || r.Exists() {
		t.Errorf("of a log that is not there: %q", got)
	}
	lines := denials(40)
	trail := b.open()
	path := trail.Path()
	var got []string
	for i := range lines {
		b.mustTake(trail, lines[:i+1])
		switch i % 10 {
		case 3:
			got = append(got, next(t, r)...)
		case 7:
			if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i)); err != nil {
				t.Fatal(err)
			}
			got = append(got, next(t, r)...) // no new file yet
		}
	}
	got = append(got, next(t, r)...)
	want := make([]string, len(lines))
	for i := range want {
		want[i] = fmt.Sprintf("host%d.example", i+1)
	}
	if !slices.Equal(got, want) || r.Unreadable() != 0 {
		t.Errorf("got %q, %d unreadable", got, r.Unreadable())
	}
	if bottles, err := Bottles(b.dir); err != nil || !slices.Equal(bottles, []string{"dev"}) {
		t.Errorf("bottles: %q, %v", bottles, err)
	}
}

// TestReaderPassesOver what is no record, and counts it.
func TestReaderPassesOver(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dev.jsonl")
	record := func(host string) string { return `{"kind":"egress","host":"` + host + "\"}\n" }
	text := record("first") + "\x1b[2J\n\n{}\n[]\n" + `{"kind":"egress","host":["x"]}` + "\n" +
		record(strings.Repeat("x", maxRecord)) + record(`\u001b[2J\u202e`) + `{"kind":"egress","ho`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(dir, "dev")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if got := next(t, r); !slices.Equal(got, []string{"first", `\x1b[2J\u202e`}) || r.Unreadable() != 5 {
		t.Errorf("%q, %d unreadable", got, r.Unreadable())
	}
	if err := errors.Join(os.Rename(path, path+".1"), os.WriteFile(path, []byte(record("second")), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := next(t, r); !slices.Equal(got, []string{"second"}) || r.Unreadable() != 6 {
		t.Errorf("behind a line that was cut off: %q, %d unreadable", got, r.Unreadable())
	}
}

// TestReaderRefuses what the log would not have written to.
func TestReaderRefuses(t *testing.T) {
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
	if err := errors.Join(
		os.WriteFile(target, []byte("x"), 0o600), os.Symlink(target, filepath.Join(dir, "link.jsonl")),
		os.WriteFile(filepath.Join(dir, "open.jsonl"), nil, 0o600), os.Chmod(filepath.Join(dir, "open.jsonl"), 0o666),
		os.Mkdir(filepath.Join(dir, "dir.jsonl"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	for _, bottle := range []string{"link", "open", "dir", "..", "a/b", ""} {
		if _, err := OpenReader(dir, bottle); err == nil {
			t.Errorf("%q was opened", bottle)
		}
	}
}

func TestParseStatement(t *testing.T) {
	record, ok := ParseStatement([]byte(denials(1)[0]))
	if !ok || record.Kind != KindEgress || record.Host != "host1.example" || record.Number != 1 {
		t.Errorf("%+v, %t", record, ok)
	}
	for _, line := range []string{"", "text", `{"event":"egress"}`, `{"event":"config","run":"r","number":1}`} {
		if _, ok := ParseStatement([]byte(line)); ok {
			t.Errorf("%q is a statement", line)
		}
	}
}
