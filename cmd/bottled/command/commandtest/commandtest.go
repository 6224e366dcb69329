// Package commandtest runs commands in tests.
package commandtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
)

// Execute runs a command with arguments, which are separated by spaces.
func Execute(t *testing.T, cmd *cobra.Command, args string) error {
	t.Helper()
	cmd.SetArgs(strings.Fields(args))
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	return cmd.ExecuteContext(t.Context())
}

// InUTC has times printed in UTC until the test ends.
func InUTC(t *testing.T) {
	t.Helper()
	before := time.Local
	t.Cleanup(func() { time.Local = before })
	time.Local = time.UTC
}

// Session is a run of a command in a container: how it ends, and what the user is to see of it.
type Session struct {
	Code  int // the command's exit code
	Err   error
	Asked string // of the service
	Exit  int    // bottled's exit code
	Says  string // in the error
}

// RunSessions runs each session with its arguments, which are the key. asked records what the service is asked for.
func RunSessions(t *testing.T, sessions map[string]Session, command func(s Session, asked func(...any)) *cobra.Command) {
	t.Helper()
	for args, s := range sessions {
		asked := ""
		err := Execute(t, command(s, func(what ...any) { asked = fmt.Sprint(what...) }), args)
		if asked != s.Asked || exit.Code(err, true) != s.Exit || err != nil && !strings.Contains(exit.Message(err), s.Says) {
			t.Errorf("%s: asks for %q, code %d, %v; want %q, %d, %q", args, asked, exit.Code(err, true), err, s.Asked, s.Exit, s.Says)
		}
	}
}
