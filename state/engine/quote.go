package engine

import (
	"strings"

	"github.com/bot-bottle/bottled/state/printable"
)

const (
	QuotedLines  = 5  // of a container's last lines in an error
	quotedOutput = 10 // of a build's last lines
)

func QuoteLog(lines []string) string {
	if len(lines) == 0 {
		return "; its log is empty"
	}
	return "; its last log lines:" + quote(lines)
}

// QuoteOutput returns the last of the lines that a build has written, for the end of an error message; "" when there are none.
func QuoteOutput(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "; the build's last output:" + quote(lines[max(0, len(lines)-quotedOutput):])
}

func quote(lines []string) string {
	text := ""
	for _, l := range lines {
		text += "\n    " + quotable(l)
	}
	return text
}

// quotable is a line for a terminal, and not longer than is good for a message.
func quotable(line string) string {
	runes := []rune(strings.ToValidUTF8(line, "\uFFFD"))
	if len(runes) > quotedLength {
		runes = append(runes[:quotedLength], '…')
	}
	return printable.Line(strings.ReplaceAll(string(runes), "\t", "    "))
}

const (
	quotedLength = 300     // characters
	LineLength   = 1 << 16 // bytes; what is beyond is cut off
)
