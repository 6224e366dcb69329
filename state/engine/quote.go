package engine

import (
	"context"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/state/printable"
)

const (
	quotedLines  = 5   // lines of a container's log in an error
	quotedOutput = 10  // lines of a build's output in an error
	quotedLength = 300 // characters of a line
)

// LogStreamer is what [QuoteLog] needs of an engine.
type LogStreamer interface {
	StreamLogs(ctx context.Context, id string, o LogOptions, handle func(LogLine) error) error
}

// QuoteLog returns the last lines of a container's log since a time, escaped, for the end of an error message.
func QuoteLog(ctx context.Context, e LogStreamer, id string, since time.Time) (string, error) {
	var lines []string
	err := e.StreamLogs(ctx, id, LogOptions{Since: since, Tail: quotedLines}, func(l LogLine) error {
		lines = append(lines, strings.TrimRight(string(l.Text), "\r\n"))
		return nil
	})
	if len(lines) == 0 {
		return "; its log is empty", err
	}
	return "; its last log lines:" + indentLines(lines), err
}

// QuoteOutput returns the last lines of a build's output, escaped, for the end of an error message; "" when there are none.
func QuoteOutput(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "; the build's last output:" + indentLines(lines[max(0, len(lines)-quotedOutput):])
}

func indentLines(lines []string) string {
	text := ""
	for _, l := range lines {
		text += "\n    " + escapeLine(l)
	}
	return text
}

// escapeLine returns a line that is safe on a terminal, cut to quotedLength.
func escapeLine(line string) string {
	runes := []rune(strings.ToValidUTF8(line, "\uFFFD"))
	if len(runes) > quotedLength {
		runes = append(runes[:quotedLength], '…')
	}
	return printable.Line(strings.ReplaceAll(string(runes), "\t", "    "))
}
