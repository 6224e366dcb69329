package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// archive archives the log of dev and the log of heads.
func archive(t *testing.T, dir string) (archived []Archived) {
	t.Helper()
	log, done, err := Archive(dir, "dev", "anna")
	if err != nil {
		t.Error(err)
	}
	if !done {
		return nil
	}
	heads, done, err := ArchiveHeads(dir)
	if err != nil || !done {
		t.Errorf("heads: %t, %v", done, err)
	}
	return []Archived{log, heads}
}

// byHand returns how many notes say that a log was renamed by hand.
func byHand(v Verification) (n int) {
	for _, note := range v.Notes {
		if strings.Contains(note.What, "by hand") {
			n++
		}
	}
	return n
}

// people returns whom writeAll and writeUntilKilled named in the files, one for each record.
func people(t *testing.T, paths ...string) (who []string) {
	t.Helper()
	for _, path := range paths {
		for line := range strings.Lines(read(t, path)) {
			_, rest, _ := strings.Cut(line, `"who":"`)
			if name, _, ok := strings.Cut(rest, `"`); ok && strings.Contains(name, "-") {
				who = append(who, name)
			}
		}
	}
	slices.Sort(who)
	return who
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestArchive moves archives elsewhere, deletes the oldest, and finds what else is missing.
func TestArchive(t *testing.T) {
	dir, elsewhere := filepath.Join(t.TempDir(), "audit"), t.TempDir()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, dir, "other", 2)
	var files []string
	for i := range 3 {
		fill(t, dir, "dev", 3)
		archived := archive(t, dir)
		if got := archive(t, dir); got != nil {
			t.Errorf("archived again: %v", got)
		}
		want := fmt.Sprintf("dev.jsonl.%d", 3+4*i) // each begins with a record about the archiving
		if filepath.Base(archived[0].File) != want || archived[0].Records != uint64(3+4*i) {
			t.Errorf("%+v; want %s", archived, want)
		}
		for _, a := range archived {
			files = append(files, filepath.Join(elsewhere, filepath.Base(a.File)))
			if err := os.Rename(a.File, files[len(files)-1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Sign(dir, private); err != nil {
		t.Fatal(err)
	}
	options := VerifyOptions{Dir: dir, Archives: files, Key: public}
	v := verify(t, options)
	findsNothing(t, v)
	if len(v.Notes) > 0 || v.Signed.IsZero() {
		t.Errorf("%+v", v)
	}
	options.Archives = files[2:]
	finds(t, verify(t, options), "heads.")
	options.Since = time.Now().Add(time.Hour)
	v = verify(t, options)
	findsNothing(t, v)
	if len(v.Notes) != 2 {
		t.Errorf("notes without the oldest: %v", v.Notes)
	}
	// The log of heads that was begun last knows how far all logs go.
	if err := os.Remove(filepath.Join(dir, "other.jsonl")); err != nil {
		t.Fatal(err)
	}
	options.Since = time.Time{}
	options.Archives = files
	finds(t, verify(t, options), "other.jsonl: records 1 to 2 are in none")
}

// TestArchiveIsInTheWay and is not overwritten; what was written before there were hashes is proven from its archiving on.
func TestArchiveIsInTheWay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "dev.jsonl")
	if err := errors.Join(os.WriteFile(path, []byte("{\"bottle\":\"dev\",\"kind\":\"egress\"}\n"), 0o600), os.WriteFile(path+".1", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Archive(dir, "dev", ""); err == nil || !strings.Contains(err.Error(), "dev.jsonl.1 exists already: rename it") {
		t.Errorf("%v", err)
	}
	if err := os.Remove(path + ".1"); err != nil {
		t.Fatal(err)
	}
	archive(t, dir)
	findsNothing(t, verify(t, VerifyOptions{Dir: dir}))
	changed := strings.Replace(read(t, path+".1"), "egress", "Egress", 1)
	if err := os.WriteFile(path+".1", []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	finds(t, verify(t, VerifyOptions{Dir: dir}), "dev.jsonl.1:2: line changed")
}

// TestKilledWhileArchiving goes on after each step of archiving, in a process that knows nothing.
func TestKilledWhileArchiving(t *testing.T) {
	for _, killed := range []string{"dev.jsonl", HeadsFile} {
		dir := filepath.Join(t.TempDir(), "audit")
		fill(t, dir, "dev", 3)
		fill(t, dir, "other", 3)
		path := filepath.Join(dir, killed)
		archived := path + map[string]string{"dev.jsonl": ".3", HeadsFile: ".6"}[killed]
		if err := os.Rename(path, archived); err != nil { // the new file was not begun
			t.Fatal(err)
		}
		findsNothing(t, verify(t, VerifyOptions{Dir: dir}))
		fill(t, dir, "dev", 1)
		if v := verify(t, VerifyOptions{Dir: dir}); len(v.Findings)+len(v.Notes) > 0 {
			t.Errorf("%s: %v, %v", killed, v.Findings, v.Notes)
		}
		if err := os.Remove(filepath.Join(dir, "other.jsonl")); err != nil {
			t.Fatal(err)
		}
		finds(t, verify(t, VerifyOptions{Dir: dir, Since: time.Time{}}), "other.jsonl: records 1 to 3")
	}
}

// TestManyShareALog appends through several open files at once, and through new ones, while the logs are archived and verified.
func TestManyShareALog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	fill(t, dir, "dev", 1)
	var writers, others sync.WaitGroup
	done := make(chan struct{})
	repeat := func(what func()) {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					what()
				}
			}
		})
	}
	for i := range 4 {
		writers.Go(func() { writeAll(t, dir, i, 20) })
	}
	for range 2 {
		repeat(func() { archive(t, dir) })
	}
	repeat(func() {
		if v, err := Verify(VerifyOptions{Dir: dir}); err != nil || len(v.Findings) > 0 || byHand(v) > 0 {
			t.Errorf("meanwhile: %v, %v, %v", v.Findings, v.Notes, err)
		}
	})
	writers.Wait()
	close(done)
	others.Wait()
	v := verify(t, VerifyOptions{Dir: dir})
	findsNothing(t, v)
	if len(v.Notes) > 0 {
		t.Errorf("notes: %v", v.Notes)
	}
	if got := people(t, glob(t, filepath.Join(dir, "dev.jsonl*"))...); len(got) != 80 || len(slices.Compact(got)) != 80 {
		t.Errorf("%d records", len(got))
	}
}

// writeAll appends records of n people, by turns through an open file and through a new one, and by turns as people's decisions are
// written and as sidecars' are.
func writeAll(t *testing.T, dir string, writer, n int) {
	open, err := Open(dir, "dev")
	if err != nil {
		t.Error(err)
		return
	}
	defer open.Close()
	for i := range n {
		log := open
		if i%3 == 1 {
			if log, err = Open(dir, "dev"); err != nil {
				t.Error(err)
				return
			}
		}
		write := log.Append
		if i%2 == 0 {
			write = log.Write
		}
		if err := write(map[string]string{"who": fmt.Sprintf("%d-%d", writer, i), "bottle": "dev"}); err != nil {
			t.Error(err)
		}
		if log != open {
			log.Close()
		}
	}
}

// TestRenamedByHand moves the log elsewhere again and again while several write: two files may continue the same record then, which is
// no finding as long as all records are there.
func TestRenamedByHand(t *testing.T) {
	dir, elsewhere := filepath.Join(t.TempDir(), "audit"), t.TempDir()
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() { writeAll(t, dir, i, 20) })
	}
	var archives []string
	for i := range 12 {
		time.Sleep(5 * time.Millisecond)
		archive := filepath.Join(elsewhere, fmt.Sprint(i))
		if err := os.Rename(filepath.Join(dir, "dev.jsonl"), archive); err == nil {
			archives = append(archives, archive)
		}
	}
	writers.Wait()
	fill(t, dir, "dev", 1)
	archives = slices.DeleteFunc(archives, func(path string) bool { return read(t, path) == "" })
	findsNothing(t, verify(t, VerifyOptions{Dir: dir, Archives: archives}))
	if got := people(t, append(archives, filepath.Join(dir, "dev.jsonl"))...); len(got) != 80 || len(slices.Compact(got)) != 80 {
		t.Errorf("%d records", len(got))
	}
	if len(archives) > 1 {
		if v := verify(t, VerifyOptions{Dir: dir, Archives: archives[1:]}); len(v.Findings) == 0 {
			t.Error("a missing archive was not found")
		}
	}
}

// TestForkByHand has a process that does not know the archive's last record be the first to write after a rename.
func TestForkByHand(t *testing.T) {
	dir, elsewhere := filepath.Join(t.TempDir(), "audit"), t.TempDir()
	open := fill(t, dir, "dev", 3)
	for range 2 { // not noted
		if err := open.Write(map[string]string{"bottle": "dev", "who": "bob"}); err != nil {
			t.Fatal(err)
		}
	}
	archive := filepath.Join(elsewhere, "archive")
	if err := os.Rename(open.Path(), archive); err != nil {
		t.Fatal(err)
	}
	fill(t, dir, "dev", 3)
	appendTo(t, open, "carol")
	options := VerifyOptions{Dir: dir, Archives: []string{archive}}
	v := verify(t, options)
	findsNothing(t, v)
	if byHand(v) != 1 || !strings.Contains(v.Notes[0].String(), "dev.jsonl:1: renamed by hand: it goes on after record 3, though the file before it goes to record 5") {
		t.Errorf("notes: %v", v.Notes)
	}
	for path, n := range map[string]int{archive: 5, open.Path(): 4} {
		original := read(t, path)
		for i := range n {
			lines := slices.Collect(strings.Lines(original))
			if err := os.WriteFile(path, []byte(strings.Join(slices.Delete(lines, i, i+1), "")), 0o600); err != nil {
				t.Fatal(err)
			}
			if v := verify(t, options); len(v.Findings) == 0 {
				t.Errorf("line %d of %s was removed, which was not found", i+1, path)
			}
		}
		if err := os.WriteFile(path, []byte(original), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	duplicate := filepath.Join(elsewhere, "copy")
	if err := os.WriteFile(duplicate, []byte(read(t, archive)), 0o600); err != nil {
		t.Fatal(err)
	}
	options.Archives = append(options.Archives, duplicate)
	finds(t, verify(t, options), "record 1 is also in")
}
