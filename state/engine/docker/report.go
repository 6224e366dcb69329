package docker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/state/configreport"
	"github.com/bot-bottle/bottled/state/engine"
)

const (
	// reportTail is how many of the last lines of a sidecar's log are searched for its report. A sidecar whose report is
	// further back is asked again by a reload.
	reportTail = 2000
	// maxLogLine is how many bytes of a log line are read; what is beyond is cut off.
	maxLogLine = 1 << 16
)

// LastReport reads from a sidecar's log which configuration it reported last since its last run ended.
func (e *Engine) LastReport(ctx context.Context, id string, endedAt time.Time) (engine.Report, error) {
	logs, err := e.logs(ctx, id, endedAt, reportTail, false)
	if err != nil {
		return engine.Report{}, err
	}
	defer logs.Close()
	var last engine.Report
	err = eachLine(logs, func(line string) bool {
		if ev, ok := configreport.Parse(line); ok {
			last = engine.Report{Config: ev.Config, At: ev.Time}
		}
		return true
	})
	return last, err
}

// followReport reads a sidecar's log until the sidecar reports, with one of the causes and not before since, that it serves a
// configuration. It fails when the sidecar refuses the configuration, and with [engine.ErrEnded] when the log ends before.
func followReport(logs io.Reader, since time.Time, config string, causes ...string) (engine.Report, error) {
	var got *engine.Report
	var refused string
	err := eachLine(logs, func(line string) bool {
		ev, ok := configreport.Parse(line)
		if !ok || !slices.Contains(causes, ev.Cause) || ev.Time.Before(since) {
			return true
		}
		if ev.Error != "" {
			refused = ev.Error
			return false
		}
		if ev.Config == config {
			got = &engine.Report{Config: ev.Config, At: ev.Time}
		}
		return got == nil
	})
	switch {
	case got != nil:
		return *got, nil
	case refused != "":
		return engine.Report{}, fmt.Errorf("it refuses its new configuration and keeps the old one: %s", refused)
	case err != nil:
		return engine.Report{}, err
	}
	return engine.Report{}, engine.ErrEnded
}

// eachLine calls handle for every line until it returns false.
func eachLine(r io.Reader, handle func(string) bool) error {
	lines := bufio.NewReaderSize(r, maxLogLine)
	for {
		part, err := lines.ReadSlice('\n')
		line := strings.TrimRight(string(part), "\r\n")
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if line != "" && !handle(line) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
