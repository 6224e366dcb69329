package observe

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/state/engine"
)

// reportTail is how many of a sidecar's last log lines are searched for its report. A sidecar whose report
// is further back is asked again (SIGHUP).
const reportTail = 2000

// event is a sidecar's log line about its configuration (see cmd/sidecars/sidecar).
type event struct {
	Event  string    `json:"event"`
	Cause  string    `json:"cause"`
	Config string    `json:"config"`
	Error  string    `json:"error"`
	Time   time.Time `json:"time"`
}

func parseEvent(line string) (event, bool) {
	if !strings.Contains(line, `"event":"config"`) {
		return event{}, false
	}
	var e event
	return e, json.Unmarshal([]byte(line), &e) == nil && e.Event == "config"
}

// LastReport reads from a sidecar's log which configuration it said last, since its last run ended, that it
// serves.
func LastReport(ctx context.Context, e engine.Engine, id string, endedAt time.Time) (Report, error) {
	logs, err := e.Logs(ctx, id, endedAt, reportTail, false)
	if err != nil {
		return Report{}, err
	}
	defer logs.Close()
	var last Report
	err = eachLine(logs, func(line string) bool {
		if ev, ok := parseEvent(line); ok {
			last = Report{Config: ev.Config, At: ev.Time}
		}
		return true
	})
	return last, err
}

// Await follows a sidecar's log from since on until it reports, with one of the causes, that it serves the
// configuration. It fails, with the log's last lines, when the sidecar refuses it or ends, and when ctx ends.
func Await(ctx context.Context, e engine.Engine, id string, since time.Time, config string, causes ...string) (Report, error) {
	logs, err := e.Logs(ctx, id, since, 0, true)
	if err != nil {
		return Report{}, err
	}
	defer logs.Close()
	var got *Report
	var refused string
	var last []string
	err = eachLine(logs, func(line string) bool {
		last = append(last[max(0, len(last)-engine.QuotedLines+1):], line)
		ev, ok := parseEvent(line)
		if !ok || !slices.Contains(causes, ev.Cause) || ev.Time.Before(since) {
			return true
		}
		if ev.Error != "" {
			refused = ev.Error
			return false
		}
		if ev.Config == config {
			got = &Report{Config: ev.Config, At: ev.Time}
		}
		return got == nil
	})
	switch {
	case got != nil:
		return *got, nil
	case refused != "":
		return Report{}, fmt.Errorf("it refuses its new configuration and keeps the old one: %s", refused)
	case ctx.Err() != nil:
		return Report{}, fmt.Errorf("it has not reported that it serves: %w%s", context.Cause(ctx), engine.QuoteLog(last))
	case err != nil:
		return Report{}, err
	}
	return Report{}, fmt.Errorf("%w%s", engine.ErrEnded, engine.QuoteLog(last))
}

// QuoteLog returns the last lines of a container's log since some time, for the end of an error message.
func QuoteLog(ctx context.Context, e engine.Engine, id string, since time.Time) (string, error) {
	logs, err := e.Logs(ctx, id, since, engine.QuotedLines, false)
	if err != nil {
		return "", err
	}
	defer logs.Close()
	var lines []string
	err = eachLine(logs, func(line string) bool {
		lines = append(lines, line)
		return true
	})
	return engine.QuoteLog(lines), err
}

// eachLine calls do for every line until it returns false.
func eachLine(r io.Reader, do func(string) bool) error {
	lines := bufio.NewReaderSize(r, engine.LineLength)
	for {
		part, err := lines.ReadSlice('\n')
		line := strings.TrimRight(string(part), "\r\n")
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if line != "" && !do(line) {
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
