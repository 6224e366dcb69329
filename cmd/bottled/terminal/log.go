package terminal

import (
	"encoding/json"
	"io"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/state/printable"
)

// LogWriter is where a logger writes: it prints log lines for people on a terminal, and as JSON otherwise.
func (c Console) LogWriter() io.Writer {
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

// readable escapes a field of a log line. A ConsoleWriter quotes texts other than the message, and escapes nothing else.
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

// jsonLog escapes what is not safe to show: logs are read with a pager, too.
type jsonLog struct{ w io.Writer }

func (l jsonLog) Write(line []byte) (int, error) {
	_, err := l.w.Write(printable.JSON(line))
	return len(line), err
}
