package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/bot-bottle/bottled/state/printable"
)

// console prints for people. Names and texts from files, the engine and containers may be hostile, so everything is escaped here,
// at the only way out: see printable.Safe. What programs read goes to data instead.
type console struct {
	w        io.Writer
	terminal bool // it is shown as it comes
	colours  bool
}

func newConsole(f *os.File) console {
	terminal := isTerminal(f)
	return console{f, terminal, terminal && os.Getenv("NO_COLOR") == ""} // https://no-color.org
}

// data passes on what programs read, unchanged.
func (c console) data(text []byte) error {
	_, err := c.w.Write(text)
	return err
}

// line prints one line, whatever the text has in it.
func (c console) line(format string, args ...any) error {
	_, err := io.WriteString(c.w, printable.Line(fmt.Sprintf(format, args...))+"\n")
	return err
}

// block prints a text that may have several lines.
func (c console) block(text string) error {
	_, err := io.WriteString(c.w, printable.Block(text)+"\n")
	return err
}

// manifest passes a manifest on, unchanged but on a terminal.
func (c console) manifest(text []byte) error {
	if c.terminal {
		return c.block(strings.TrimSuffix(string(text), "\n"))
	}
	return c.data(text)
}

// signColours are what a sign stands for.
var signColours = map[string]string{"+": "32", "~": "33", "-/+": "35", "-": "31", "!": "31"}

// paint escapes a line's text and colours it, on a terminal, as its sign asks for; with the sign "" not at all.
func (c console) paint(sign, text string) string {
	return c.colour(signColours[sign], printable.Line(text))
}

func (c console) colour(code, text string) string {
	if code == "" || !c.colours {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// logWriter has log lines printed for people on a terminal, and as JSON otherwise.
func (c console) logWriter() io.Writer {
	if !c.terminal {
		return jsonLog{c.w}
	}
	return zerolog.ConsoleWriter{Out: c.w, NoColor: !c.colours, TimeFormat: time.TimeOnly, FormatPrepare: func(fields map[string]any) error {
		for name, value := range fields {
			fields[name] = readable(name, value)
		}
		return nil
	}}
}

// readable is a field of a log line as a ConsoleWriter has to get it, which quotes texts but for the message, and nothing else.
func readable(name string, value any) any {
	text, isText := value.(string)
	if isText && (name == zerolog.MessageFieldName || !printable.IsSafe([]byte(strconv.Quote(text)))) {
		return printable.Line(text)
	}
	if data, err := json.Marshal(value); !isText && err == nil {
		return json.RawMessage(printable.JSON(data))
	}
	return value
}

// jsonLog escapes what a terminal would not show as it is: logs are read with a pager, too.
type jsonLog struct{ w io.Writer }

func (l jsonLog) Write(line []byte) (int, error) {
	_, err := l.w.Write(printable.JSON(line))
	return len(line), err
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
