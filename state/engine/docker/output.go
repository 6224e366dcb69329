package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/bot-bottle/bottled/state/engine"
)

// Output tells the lines of a container's log.
func (e *Engine) StreamLogs(ctx context.Context, id string, o engine.LogOptions, tell func(engine.LogLine) error) error {
	options := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: o.Follow, Since: formatTime(o.Since), Tail: "all"}
	if o.Tail >= 0 {
		options.Tail = fmt.Sprint(o.Tail)
	}
	raw, err := e.client.ContainerLogs(ctx, id, options)
	if err != nil {
		return wrap(err, "read log")
	}
	stdout, stderr := &lineWriter{tell: tell}, &lineWriter{tell: tell}
	_, err = stdcopy.StdCopy(stdout, stderr, raw)
	return errors.Join(wrap(err, "read log"), stdout.flush(), stderr.flush(), raw.Close())
}

// mostLine bounds what is kept of a line until its end.
const mostLine = 1 << 20 // bytes

// lineWriter puts lines together. The engine frames every piece of a line (16 KiB at most) with its own time, and StdCopy
// writes frame by frame.
type lineWriter struct {
	tell func(engine.LogLine) error
	at   time.Time
	text []byte
}

func (w *lineWriter) Write(frame []byte) (int, error) {
	stamp, text, _ := bytes.Cut(frame, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return 0, fmt.Errorf("a log entry without its time: %w", err)
	}
	if len(w.text) == 0 {
		w.at = at
	}
	w.text = append(w.text, text...)
	if bytes.HasSuffix(text, []byte("\n")) || len(w.text) >= mostLine {
		err = w.flush()
	}
	return len(frame), err
}

func (w *lineWriter) flush() error {
	if len(w.text) == 0 {
		return nil
	}
	line := engine.LogLine{At: w.at, Text: w.text}
	w.text = w.text[:0]
	return w.tell(line)
}
