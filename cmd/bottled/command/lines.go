package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/state/printable"
)

// LineOutput is the -o flag of commands that print one thing a line: table, in words, or json.
type LineOutput string

// AddFlag declares the flag.
func (o *LineOutput) AddFlag(f *pflag.FlagSet) {
	*o = "table"
	f.VarP(Choice((*string)(o), "table", "json"), "output", "o", "`format`: table or json")
}

// IsJSON reports whether programs read the lines.
func (o LineOutput) IsJSON() bool { return o == "json" }

// JSONLine prints a value on a line (NDJSON). What is not safe to show is escaped.
func JSONLine(c terminal.Console, v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	return c.Data(printable.JSON(text.Bytes()))
}

// Since is the --since flag: a duration before now, or a time. Without it, the zero time.
type Since struct{ time.Time }

// AddFlag declares the flag.
func (s *Since) AddFlag(f *pflag.FlagSet) {
	f.Var(s, "since", "only the last `duration` (10m), or since a time (RFC 3339)")
}

// Set implements pflag.Value.
func (s *Since) Set(text string) error {
	if d, err := time.ParseDuration(text); err == nil {
		s.Time = time.Now().Add(-d.Abs())
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("give a duration like 10m, or a time like %s", time.Now().Format(time.RFC3339))
	}
	s.Time = at
	return nil
}

// String implements pflag.Value.
func (s *Since) String() string {
	if s.IsZero() {
		return ""
	}
	return s.Format(time.RFC3339)
}

// Type implements pflag.Value.
func (*Since) Type() string { return "duration" }
