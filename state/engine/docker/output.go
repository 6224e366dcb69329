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

// StreamLogs calls handle for every line of a container's log.
func (e *Engine) StreamLogs(ctx context.Context, id string, o engine.LogOptions, handle func(engine.LogLine) error) error {
	options := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: o.Follow, Since: formatTime(o.Since), Tail: "all"}
	if o.Tail >= 0 {
		options.Tail = fmt.Sprint(o.Tail)
	}
	raw, err := e.client.ContainerLogs(ctx, id, options)
	if err != nil {
		return wrap(err, "read log")
	}
	stdout, stderr := &lineWriter{handle: handle}, &lineWriter{handle: handle}
	_, err = stdcopy.StdCopy(stdout, stderr, raw)
	return errors.Join(wrap(err, "read log"), stdout.flush(), stderr.flush(), raw.Close())
}

// maxStreamedLine limits the memory for an unfinished line; a longer line is passed on in pieces.
const maxStreamedLine = 1 << 20 // bytes

// lineWriter reassembles lines. Docker splits a line into frames of up to 16 KiB, each with its own time; StdCopy writes one frame a
// call.
type lineWriter struct {
	handle func(engine.LogLine) error
	at     time.Time
	text   []byte
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
	if bytes.HasSuffix(text, []byte("\n")) || len(w.text) >= maxStreamedLine {
		err = w.flush()
	}
	return len(frame), err
}

func (w *lineWriter) flush() error {
	if len(w.text) == 0 {
		return nil
	}
	line := engine.LogLine{At: w.at, Text: translateInit(w.text)}
	w.text = w.text[:0]
	return w.handle(line)
}
