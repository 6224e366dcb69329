package service

import (
	"bytes"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// TestMerge shows lines of several logs in the order of time.
func TestMerge(t *testing.T) {
	var out bytes.Buffer
	l := &logReader{last: map[string]time.Time{}, show: func(_ state.ComponentName, line engine.LogLine) error { _, err := out.Write(line.Text); return err }}
	var containers []engine.Summary
	var streams []chan engine.LogLine
	for i, times := range [][]int64{{1, 4, 5}, {}, {2, 3, 9}} {
		containers = append(containers, engine.Summary{ID: string(rune('a' + i))})
		stream := make(chan engine.LogLine)
		streams = append(streams, stream)
		go func() {
			defer close(stream)
			for _, at := range times {
				stream <- engine.LogLine{At: time.Unix(at, 0), Text: []byte{'0' + byte(at)}}
			}
		}()
	}
	if err := l.merge(containers, streams); err != nil || out.String() != "123459" {
		t.Errorf("%s, %v", out.String(), err)
	}
	if l.last["a"] != time.Unix(5, 0) || l.last["c"] != time.Unix(9, 0) {
		t.Errorf("last lines: %v", l.last)
	}
}
