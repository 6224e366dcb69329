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
	// reportTail is the number of last lines of a sidecar's log that are searched for its report. If the report is further back, the
	// planner reloads the sidecar, which reports again.
	reportTail = 2000
	// maxLogLine limits the bytes of a log line that are parsed; the rest is skipped.
	maxLogLine = 1 << 16
)

// LastReport returns the last report in the log of a sidecar's current run.
func (e *Engine) LastReport(ctx context.Context, id string, endedAt time.Time) (engine.Report, error) {
	logs, err := e.openLog(ctx, id, endedAt, reportTail, false)
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
