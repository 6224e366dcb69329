package gitsource

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// manyFiles are files of a commit, with the number in each.
func manyFiles(n, number int) map[string]string {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("team-%d/bottle-%d.yaml", i%20, i)] = fmt.Sprintf("name: bottle-%d\nversion: %d\n", i, number)
	}
	return files
}

// TestKilled kills a process that pulls, at any moment: what Open finds afterwards is one of the commits, whole.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("GITSOURCE_TEST_PULL"); dir != "" {
		s := open(t, Options{URL: os.Getenv("GITSOURCE_TEST_URL"), Dir: dir})
		fmt.Println("pulling")
		pull(t, s, true)
		return
	}
	const rounds = 6
	r := newRepository(t)
	contents := map[string]map[string]string{}
	dir := t.TempDir()
	reached := map[string]bool{}
	for i := range rounds {
		files := manyFiles(150, i)
		if i%2 == 0 {
			files["team-0"] = "no directory"
			for name := range files {
				if strings.HasPrefix(name, "team-0/") {
					delete(files, name)
				}
			}
		}
		contents["main@sha1:"+r.commit(fmt.Sprint(i), files)] = files
		killPull(t, r.url, dir, time.Duration(120*i+rand.IntN(120))*time.Millisecond)
		if _, err := os.Stat(filepath.Join(dir, treeName)); err == nil && !isOneOf(read(t, filepath.Join(dir, treeName)), contents) {
			t.Error("the tree is half of one commit and half of another")
		}
		s := open(t, Options{URL: r.url, Dir: dir})
		if revision := s.Revision(); revision != "" {
			check(t, s, revision, contents[revision])
			reached[revision] = true
		}
	}
	t.Logf("of %d revisions %d were reached", rounds, len(reached))
	s := open(t, Options{URL: r.url, Dir: dir})
	if _, err := s.Pull(t.Context()); err != nil {
		t.Error(err)
	}
	check(t, s, "main@sha1:"+r.head(), manyFiles(150, rounds-1))
}

func isOneOf(files map[string]string, contents map[string]map[string]string) bool {
	for _, c := range contents {
		if maps.Equal(files, c) {
			return true
		}
	}
	return false
}

// killPull runs a pull in a process of its own, and kills that some time after it began.
func killPull(t *testing.T, url, dir string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "GITSOURCE_TEST_PULL="+dir, "GITSOURCE_TEST_URL="+url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	go io.Copy(os.Stderr, r)
	if line != "pulling\n" {
		t.Errorf("%q %v", line, err)
	}
	timer := time.AfterFunc(after, func() {
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
	})
	defer timer.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
}
