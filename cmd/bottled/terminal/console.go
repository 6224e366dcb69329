package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/state/printable"
)

// Console prints for people: what is not safe to show is escaped (printable.Safe). What programs read goes to Data instead.
type Console struct {
	w        io.Writer
	terminal bool // shows what is written as it comes
	colours  bool
}

// NewConsole is a console on a file. It has colours on a terminal, unless NO_COLOR is set (https://no-color.org).
func NewConsole(f *os.File) Console {
	terminal := IsTerminal(f)
	return Console{f, terminal, terminal && os.Getenv("NO_COLOR") == ""}
}

// OnWriter is a console on any writer, for tests.
func OnWriter(w io.Writer, terminal, colours bool) Console { return Console{w, terminal, colours} }

// Writer is where the console prints to. What is written there must be escaped.
func (c Console) Writer() io.Writer { return c.w }

// IsTerminal says whether the console is a terminal.
func (c Console) IsTerminal() bool { return c.terminal }

// Data writes what programs read, unchanged.
func (c Console) Data(text []byte) error {
	_, err := c.w.Write(text)
	return err
}

// Line prints one line, whatever is in the text.
func (c Console) Line(format string, args ...any) error {
	_, err := io.WriteString(c.w, printable.Line(fmt.Sprintf(format, args...))+"\n")
	return err
}

// Block prints a text of one or more lines.
func (c Console) Block(text string) error {
	_, err := io.WriteString(c.w, printable.Block(text)+"\n")
	return err
}

// Manifest writes a manifest, escaped on a terminal only.
func (c Console) Manifest(text []byte) error {
	if c.terminal {
		return c.Block(strings.TrimSuffix(string(text), "\n"))
	}
	return c.Data(text)
}

// signColours are the colours of a plan's signs, and of what is not as it should be.
var signColours = map[string]string{"+": "32", "~": "33", "-/+": "35", "-": "31", "!": "31"}

// Paint escapes a line's text and colours it by a sign of signColours; with the sign "" not at all.
func (c Console) Paint(sign, text string) string {
	return c.Colour(signColours[sign], printable.Line(text))
}

// Print escapes a line, and colours it by its sign, or red when it is bad.
func (c Console) Print(l report.Line) string {
	if l.Bad {
		l.Sign = "!"
	}
	return c.Paint(l.Sign, l.Text)
}

// Lines prints lines.
func (c Console) Lines(all []report.Line) error {
	var text strings.Builder
	for _, l := range all {
		text.WriteString(c.Print(l) + "\n")
	}
	return c.Data([]byte(text.String()))
}

// Colour colours an escaped text, where the console has colours.
func (c Console) Colour(code, text string) string {
	if code == "" || !c.colours {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// IsTerminal says whether a file is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
