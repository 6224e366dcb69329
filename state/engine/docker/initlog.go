package docker

import (
	"bytes"
	"io"
	"regexp"
)

// initReport matches the report of the engine's init, which is tini, about a command that it could not execute.
var initReport = regexp.MustCompile(`^\[FATAL tini \(\d+\)\] exec (.+) failed: (.+?)(\r?\n?)$`)

var initPrefix = []byte("[FATAL tini (")

// translateInit rewrites a report of the engine's init in the words that a shell would use. Other lines stay.
func translateInit(line []byte) []byte {
	if !bytes.HasPrefix(line, initPrefix) {
		return line
	}
	return initReport.ReplaceAll(line, []byte("exec $1: $2$3"))
}

// maxInitReport limits how much of the beginning of a session's output is held back to recognize the init's report, in bytes.
const maxInitReport = 4096

// initFilter is a writer that rewrites the init's report at the beginning of a session's output. The init writes nothing else, and
// nothing later.
type initFilter struct {
	w    io.Writer
	held []byte // the beginning of a report; nil once the first line is through
	done bool
}

func (f *initFilter) Write(b []byte) (int, error) {
	if f.done {
		return f.w.Write(b)
	}
	f.held = append(f.held, b...)
	end := bytes.IndexByte(f.held, '\n')
	begins := bytes.HasPrefix(f.held, initPrefix) || bytes.HasPrefix(initPrefix, f.held)
	if begins && end < 0 && len(f.held) < maxInitReport {
		return len(b), nil
	}
	return len(b), f.flush()
}

// flush writes what is held back.
func (f *initFilter) flush() error {
	f.done = true
	if len(f.held) == 0 {
		return nil
	}
	end := bytes.IndexByte(f.held, '\n') + 1
	text := append(translateInit(f.held[:end]), f.held[end:]...)
	f.held = nil
	_, err := f.w.Write(text)
	return err
}
