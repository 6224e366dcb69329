package sidecartest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// MiB is the unit in which memory is logged.
const MiB = 1 << 20

// PeakMemory returns the highest resident set size that a process has had, in bytes.
func PeakMemory(tb testing.TB, pid int) (bytes int64) {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatalf("the sidecar is gone: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &bytes); n == 1 {
			return bytes << 10
		}
	}
	tb.Fatal("the status has no VmHWM")
	return 0
}

// SettledMemory waits until the peak of a process's memory has not grown for a second, or the time is up, and returns it.
func SettledMemory(tb testing.TB, pid int, most time.Duration) (bytes int64) {
	tb.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	grown := time.Now()
	for end := grown.Add(most); time.Since(grown) < time.Second && time.Now().Before(end); <-tick.C {
		if now := PeakMemory(tb, pid); now > bytes {
			bytes, grown = now, time.Now()
		}
	}
	return bytes
}
