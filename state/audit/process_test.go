package audit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// writerDir is the environment variable that makes the test's binary a process that writes audit logs there until it is killed.
const writerDir = "TEST_AUDIT_WRITER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		fmt.Println(writeUntilKilled(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled appends records, and prints who is in each once it must survive.
func writeUntilKilled(dir string) error {
	log, err := Open(dir, "dev")
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		who := fmt.Sprintf("%d-%d", os.Getpid(), i)
		write := log.Write
		if i%3 == 0 {
			write = log.Append
		}
		if err := write(map[string]string{"who": who, "bottle": "dev", "text": strings.Repeat("x", 3000)}); err != nil {
			return err
		}
		fmt.Println(who)
	}
}

// TestKilledProcesses has two processes at a time write a log, kills each with SIGKILL at some moment, and archives meanwhile: no record
// that was confirmed is missing, none is there twice, and nothing looks changed.
func TestKilledProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	fill(t, dir, "dev", 1)
	var mu sync.Mutex
	var confirmed []string
	var processes sync.WaitGroup
	for p := range 2 {
		processes.Go(func() {
			for i := range 6 {
				who := runWriter(t, dir, time.Duration(40+17*i+29*p)*time.Millisecond)
				mu.Lock()
				confirmed = append(confirmed, who...)
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		processes.Wait()
		close(done)
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(20 * time.Millisecond):
			archive(t, dir)
		}
	}
	fill(t, dir, "dev", 1)
	v := verify(t, VerifyOptions{Dir: dir})
	findsNothing(t, v)
	if len(v.Notes) > 0 {
		t.Errorf("notes: %v", v.Notes)
	}
	got := people(t, glob(t, filepath.Join(dir, "dev.jsonl*"))...)
	if len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Error("a record is there twice")
	}
	if len(confirmed) < 12 {
		t.Errorf("only %d records were confirmed", len(confirmed))
	}
	for _, who := range confirmed {
		if _, found := slices.BinarySearch(got, who); !found {
			t.Errorf("the record of %s is missing", who)
		}
	}
}

// runWriter runs a process that writes, kills it so long after its first record, and returns what it confirmed.
func runWriter(t *testing.T, dir string, lifetime time.Duration) (confirmed []string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		if len(confirmed) == 0 {
			time.AfterFunc(lifetime, func() { _ = cmd.Process.Kill() }) // it may have failed by itself, which Wait shows
		}
		confirmed = append(confirmed, strings.TrimSpace(line))
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the writer: %v, %v", err, confirmed)
	}
	return confirmed
}
