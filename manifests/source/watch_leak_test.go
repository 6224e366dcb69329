package source

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// instances is how many inotify instances the process has.
func instances(t *testing.T) int {
	t.Helper()
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	must(t, err)
	count := 0
	for _, e := range entries {
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil && strings.Contains(target, "inotify") {
			count++
		}
	}
	return count
}

// goroutines are the stacks of those goroutines in which one of the texts occurs.
func goroutines(texts ...string) string {
	buf := make([]byte, 1<<20)
	var found []string
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, text := range texts {
			if strings.Contains(stack, text) {
				found = append(found, stack)
				break
			}
		}
	}
	return strings.Join(found, "\n\n")
}
