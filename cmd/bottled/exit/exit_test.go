package exit_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
)

func TestCode(t *testing.T) {
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		err         error
		runsCommand bool
		code        int
		message     string
	}{
		"failure":                       {failed, false, 1, "failed"},
		"failure of run":                {failed, true, 125, "failed"},
		"usage":                         {exit.Usage(failed), false, 3, "failed"},
		"usage of run":                  {exit.Usage(failed), true, 125, "failed"},
		"invalid, wrapped":              {fmt.Errorf("x: %w", exit.Invalid(failed)), false, 3, "x: failed"},
		"invalid, joined with failure":  {errors.Join(failed, exit.Invalid(failed)), false, 3, "failed\nfailed"},
		"differences":                   {exit.Differences(), false, 2, ""},
		"command not found":             {fmt.Errorf("x: %w", exit.CommandNotFound(failed)), true, 127, "x: failed"},
		"command not runnable":          {exit.CommandNotRunnable(failed), true, 126, "failed"},
		"given up":                      {exit.Signalled(syscall.SIGTERM, failed), true, 143, "failed"},
		"code of the command":           {exit.Status(7, nil), true, 7, ""},
		"code of the command, and hint": {exit.Status(127, failed), true, 127, "failed"},
	} {
		if code := exit.Code(c.err, c.runsCommand); code != c.code {
			t.Errorf("%s: exit code %d, want %d", name, code, c.code)
		}
		if message := exit.Message(c.err); message != c.message {
			t.Errorf("%s: message %q, want %q", name, message, c.message)
		}
	}
	if err := exit.Status(0, nil); err != nil || exit.Code(nil, true) != 0 {
		t.Errorf("success: %v", err)
	}
}
