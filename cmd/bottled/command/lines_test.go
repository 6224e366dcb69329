package command_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
)

func TestSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for text, want := range map[string]time.Time{"10m": time.Now().Add(-10 * time.Minute), "-1h": time.Now().Add(-time.Hour), "2026-01-02T03:04:05Z": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} {
			var s command.Since
			flags := pflag.NewFlagSet("", pflag.ContinueOnError)
			s.AddFlag(flags)
			if err := flags.Parse([]string{"--since", text}); err != nil || !s.Equal(want) {
				t.Errorf("%s is %s, %v", text, &s, err)
			}
		}
		if err := new(command.Since).Set("yesterday"); err == nil {
			t.Error("yesterday is a time")
		}
	})
}

func TestLineOutput(t *testing.T) {
	for format, code := range map[string]int{"table": exit.Done, "json": exit.Done, "yaml": exit.BadInput, "": exit.BadInput} {
		var o command.LineOutput
		f := pflag.NewFlagSet("test", pflag.ContinueOnError)
		o.AddFlag(f)
		if err := f.Parse([]string{"--output=" + format}); exit.Code(err, false) != code {
			t.Errorf("%q: %v", format, err)
		}
	}
	var out bytes.Buffer
	if err := command.JSONLine(terminal.OnWriter(&out, false, false), []string{"<a>\n\u202e\x7f"}); err != nil || out.String() != `["<a>\n\u202e\u007f"]`+"\n" {
		t.Errorf("%q, %v", &out, err)
	}
}
