package docker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	return errors.Join(wrap(streamLog(raw, handle), "read log"), raw.Close())
}

// streamLog calls handle for every line of a log with times. Without a terminal it is in frames, and the first byte is a stream's number;
// with one it is the first digit of a year. Nothing that the program prints comes before these.
func streamLog(raw io.Reader, handle func(engine.LogLine) error) error {
	log := bufio.NewReader(raw)
	first, err := log.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	case first[0] >= '0' && first[0] <= '9':
		return streamTerminal(log, handle)
	}
	stdout, stderr := &lineWriter{handle: handle}, &lineWriter{handle: handle}
	_, err = stdcopy.StdCopy(stdout, stderr, log)
	return errors.Join(err, stdout.flush(), stderr.flush())
}

// streamTerminal calls handle for every line of the log of a container with a terminal, which has no frames: each entry is its time and
// its text. The entries of a line of more than 16 KiB are not told apart, and their times stay in it.
func streamTerminal(raw io.Reader, handle func(engine.LogLine) error) error {
	lines := bufio.NewReaderSize(raw, maxStreamedLine)
	line := engine.LogLine{}
	for begins := true; ; {
		text, err := lines.ReadSlice('\n')
		if begins && len(text) > 0 {
			stamp, rest, _ := bytes.Cut(text, []byte(" "))
			at, invalid := time.Parse(time.RFC3339Nano, string(stamp))
			if invalid != nil {
				return fmt.Errorf("a log entry without its time: %w", invalid)
			}
			line.At, text = at, rest
		}
		begins = err == nil
		if end, is := bytes.CutSuffix(text, []byte("\r\n")); is {
			text = end[:len(end)+1]
			text[len(end)] = '\n'
		}
		if line.Text = translateInit(text); len(text) > 0 {
			if err := handle(line); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
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
