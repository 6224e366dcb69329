package terminaltest

import (
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/state/printable"
)

// HostileTexts are names that an agent gives to files in a directory that is mounted into its bottle.
var HostileTexts = []string{
	"\x1b]0;title\a", "\x1b[2J\x1b[H", "a\rbottled: all valid", "a\nbottled: all valid", "\u202egnp.yaml",
	"\u009b2J", "\xff\x9b31m", "\u200b\u3164\ufe0f\U000e0041", "\x7f\b\b",
}

// AssertReadable fails for output that a terminal would not show as it is, or in which such a text passes for a message.
func AssertReadable(t *testing.T, what, output string) {
	t.Helper()
	if err := printable.Check(output); err != nil {
		t.Errorf("%s: %v in %q", what, err, output)
	}
	for line := range strings.SplitSeq(output, "\n") {
		if strings.HasPrefix(line, "bottled: all valid") {
			t.Errorf("%s: a file's name passes for a message: %q", what, output)
		}
	}
}
