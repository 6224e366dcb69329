package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fill appends n records to a bottle's log.
func fill(t *testing.T, dir, bottle string, n int) *Log {
	t.Helper()
	log, err := Open(dir, bottle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	for i := range n {
		if err := log.Append(map[string]string{"bottle": bottle, "kind": "decision", "who": fmt.Sprint("person ", i)}); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

func verify(t *testing.T, o VerifyOptions) Verification {
	t.Helper()
	v, err := Verify(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// finds fails unless there is just a finding with the text.
func finds(t *testing.T, v Verification, want string) {
	t.Helper()
	if len(v.Findings) == 0 || !strings.Contains(v.Findings[0].String(), want) {
		t.Errorf("found %v; want %q", v.Findings, want)
	}
}

func findsNothing(t *testing.T, v Verification) {
	t.Helper()
	if len(v.Findings) > 0 {
		t.Errorf("found %v", v.Findings)
	}
}

// TestAnyMutationIsFound changes each line of each file in each way, without a key, and leaves the other files as they are.
func TestAnyMutationIsFound(t *testing.T) {
	mutations := map[string]func(lines [][]byte, i int) [][]byte{
		"drop": func(l [][]byte, i int) [][]byte { return slices.Delete(l, i, i+1) },
		"edit": func(l [][]byte, i int) [][]byte { l[i] = bytes.Replace(l[i], []byte("e"), []byte("f"), 1); return l },
		"edit seal": func(l [][]byte, i int) [][]byte {
			l[i] = bytes.Replace(l[i], []byte(`"hash"`), []byte(`"hush"`), 1)
			return l
		},
		"renumber": func(l [][]byte, i int) [][]byte {
			l[i] = bytes.Replace(l[i], []byte(`"seq":`), []byte(`"seq":1`), 1)
			return l
		},
		"duplicate": func(l [][]byte, i int) [][]byte { return slices.Insert(l, i, l[i]) },
		"insert":    func(l [][]byte, i int) [][]byte { return slices.Insert(l, i, []byte("{\"kind\":\"decision\"}\n")) },
		"garbage":   func(l [][]byte, i int) [][]byte { return slices.Insert(l, i, []byte("garbage\n")) },
		"swap":      func(l [][]byte, i int) [][]byte { j := (i + 1) % len(l); l[i], l[j] = l[j], l[i]; return l },
		"truncate":  func(l [][]byte, i int) [][]byte { return l[:i] },
		"cut":       func(l [][]byte, i int) [][]byte { l[i] = l[i][:len(l[i])/2]; return l[:i+1] },
		"behead":    func(l [][]byte, i int) [][]byte { return l[i+1:] },
		"rewrite":   rewrite,
	}
	dir := filepath.Join(t.TempDir(), "audit")
	fill(t, dir, "one", 5)
	two := fill(t, dir, "two", 4)
	if err := os.Rename(two.Path(), two.Path()+".1"); err != nil {
		t.Fatal(err)
	}
	fill(t, dir, "two", 5)
	findsNothing(t, verify(t, VerifyOptions{Dir: dir}))
	for _, name := range []string{"one.jsonl", "two.jsonl", "two.jsonl.1", HeadsFile} {
		path := filepath.Join(dir, name)
		original := []byte(read(t, path))
		count := bytes.Count(original, []byte("\n"))
		for mutation, mutate := range mutations {
			for i := range count {
				if name == HeadsFile && onlySignatureShows(mutation, i == count-1) {
					continue
				}
				changed := bytes.Join(mutate(slices.Collect(bytes.Lines(bytes.Clone(original))), i), nil)
				if err := os.WriteFile(path, changed, 0o600); err != nil {
					t.Fatal(err)
				}
				if v := verify(t, VerifyOptions{Dir: dir}); len(v.Findings) == 0 {
					t.Errorf("%s of line %d of %s was not found", mutation, i+1, name)
				}
			}
		}
		if err := os.WriteFile(path, original, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	findsNothing(t, verify(t, VerifyOptions{Dir: dir}))
}

// onlySignatureShows reports whether a mutation of the log of heads leaves one that may have been written so.
func onlySignatureShows(mutation string, last bool) bool {
	switch mutation {
	case "truncate", "cut", "rewrite":
		return true
	case "drop", "behead":
		return last
	}
	return false
}

// rewrite changes a line and computes all hashes again, as somebody who knows how would.
func rewrite(lines [][]byte, i int) [][]byte {
	var c chain
	for j, line := range lines {
		body := bytes.TrimSuffix(line, []byte("\n"))
		s, _ := parseSeal(body)
		if j == 0 {
			c = newChain(link{s.seq - 1, s.prev})
		}
		if j < i {
			c.skipTo(s, len(line))
			continue
		}
		record := seals.ReplaceAll(body, nil)
		if j == i {
			record = bytes.Replace(record, []byte("e"), []byte("f"), 1)
		}
		lines[j], _ = c.seal(record)
	}
	return lines
}

func TestRemovedLogIsFound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	log := fill(t, dir, "dev", 3)
	if err := os.Remove(log.Path()); err != nil {
		t.Fatal(err)
	}
	finds(t, verify(t, VerifyOptions{Dir: dir}), "dev.jsonl: records 1 to 3 are in none of the files")
	findsNothing(t, verify(t, VerifyOptions{Dir: dir, Bottles: []string{"other"}}))
	fill(t, dir, "dev", 1)
	finds(t, verify(t, VerifyOptions{Dir: dir}), "dev.jsonl:1: records 1 to 3 are in none of the files")
	v := verify(t, VerifyOptions{Dir: dir, Since: time.Now().Add(time.Hour)})
	findsNothing(t, v)
	if len(v.Notes) != 1 {
		t.Errorf("notes: %v", v.Notes)
	}
}

// TestOlderCopyIsFound restores a bottle's log as it was before.
func TestOlderCopyIsFound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	log := fill(t, dir, "dev", 3)
	older := read(t, log.Path())
	fill(t, dir, "dev", 2)
	if err := os.WriteFile(log.Path(), []byte(older), 0o600); err != nil {
		t.Fatal(err)
	}
	finds(t, verify(t, VerifyOptions{Dir: dir}), "dev.jsonl: records 4 to 5 are in none of the files")
}

func TestArchivesContinue(t *testing.T) {
	dir, elsewhere := filepath.Join(t.TempDir(), "audit"), t.TempDir()
	var archives []string
	for i := range 4 {
		log := fill(t, dir, "dev", 3)
		archive := filepath.Join(elsewhere, fmt.Sprint(9-i))
		archives = append(archives, archive)
		if err := os.Rename(log.Path(), archive); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 { // otherwise by a process that never saw the archived file
			if err := log.Append(map[string]string{"bottle": "dev", "kind": "decision"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(t, dir, "dev", 1)
	v := verify(t, VerifyOptions{Dir: dir, Archives: archives})
	findsNothing(t, v)
	if v.Records != 2*(4*3+2+1) { // and a head for each
		t.Errorf("%d records", v.Records)
	}
	finds(t, verify(t, VerifyOptions{Dir: dir, Archives: archives[:3]}), "records 11 to 14 are in none")
	finds(t, verify(t, VerifyOptions{Dir: dir, Archives: archives[1:]}), "records 1 to 3 are in none")
}

// TestUpgrade continues a log from before there were hashes, and one whose last line was cut off.
func TestUpgrade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "dev.jsonl")
	old := strings.Repeat("{\"bottle\":\"dev\",\"kind\":\"egress\"}\n", 100000) + `{"bott`
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	v := verify(t, VerifyOptions{Dir: dir})
	findsNothing(t, v)
	if len(v.Notes) != 2 || !strings.Contains(v.Notes[1].What, "not chained") {
		t.Errorf("notes: %v", v.Notes)
	}
	fill(t, dir, "dev", 2)
	v = verify(t, VerifyOptions{Dir: dir})
	findsNothing(t, v)
	if len(v.Notes) != 1 || !strings.Contains(v.Notes[0].What, "not chained before line 100002") {
		t.Errorf("notes: %v", v.Notes)
	}
	changed := strings.Replace(read(t, path), "egress", "Egress", 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	finds(t, verify(t, VerifyOptions{Dir: dir}), "dev.jsonl:100002: line changed")
}

// TestCutOffAtAnyByte goes on after a crash at each byte of a record.
func TestCutOffAtAnyByte(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	log := fill(t, dir, "dev", 2)
	full := read(t, log.Path())
	first := strings.Index(full, "\n") + 1
	heads := filepath.Join(dir, HeadsFile)
	noted, _, _ := strings.Cut(read(t, heads), "\n")
	for cut := first; cut <= len(full); cut++ {
		for path, content := range map[string]string{log.Path(): full[:cut], heads: noted + "\n"} {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		findsNothing(t, verify(t, VerifyOptions{Dir: dir}))
		fill(t, dir, "dev", 1)
		if v := verify(t, VerifyOptions{Dir: dir}); len(v.Findings) > 0 {
			t.Fatalf("cut off at byte %d: %v\n%s", cut, v.Findings, read(t, log.Path()))
		}
	}
}

func TestCheckpoints(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, dir, "dev", 3)
	finds(t, verify(t, VerifyOptions{Dir: dir, Key: public}), "no checkpoint is signed with the key")
	for range 2 { // the second one finds nothing to sign
		if err := Sign(dir, private); err != nil {
			t.Fatal(err)
		}
	}
	heads := filepath.Join(dir, HeadsFile)
	if n := strings.Count(read(t, heads), kindCheckpoint); n != 1 {
		t.Errorf("%d checkpoints", n)
	}
	v := verify(t, VerifyOptions{Dir: dir, Key: public})
	findsNothing(t, v)
	if time.Since(v.Signed) > time.Minute {
		t.Errorf("signed %v", v.Signed)
	}
	finds(t, verify(t, VerifyOptions{Dir: dir, Key: other}), "not signed with the key")
	if v := verify(t, VerifyOptions{Dir: dir}); len(v.Findings) > 0 || !v.Signed.IsZero() {
		t.Errorf("without a key: %+v", v)
	}
	// Both files are rewritten as one who knows how would, but without the private key.
	lines := slices.Collect(bytes.Lines([]byte(read(t, heads))))
	forged := bytes.Join(rewrite(lines, 0), nil)
	if err := os.WriteFile(heads, forged, 0o600); err != nil {
		t.Fatal(err)
	}
	finds(t, verify(t, VerifyOptions{Dir: dir, Key: public}), "signed for other lines")
}

func TestKeyFiles(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	pkix, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, mode os.FileMode, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "KEY", Bytes: der}), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	private1, public1, open := write("private", 0o600, pkcs8), write("public", 0o644, pkix), write("open", 0o644, pkcs8)
	if key, err := ReadSigningKey(private1); err != nil || !key.Equal(private) {
		t.Errorf("%v, %v", key, err)
	}
	if key, err := ReadVerifyKey(public1); err != nil || !key.Equal(public) {
		t.Errorf("%v, %v", key, err)
	}
	for _, path := range []string{open, public1, filepath.Join(dir, "missing")} {
		if _, err := ReadSigningKey(path); err == nil {
			t.Errorf("%s was taken as a private key", path)
		}
	}
	if _, err := ReadVerifyKey(private1); err == nil {
		t.Error("a private key was taken as a public one")
	}
}
