package command

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
)

func TestConfirm(t *testing.T) {
	for answer, confirmed := range map[string]bool{"yes\n": true, "Y\n": true, "yes": true, "no\n": false, "\n": false, "": false, "yes please\n": false} {
		var out bytes.Buffer
		err := confirm(strings.NewReader(answer), terminal.OnWriter(&out, true, false), "Remove 1 bottle: \x1b[2Jdev?")
		if (err == nil) != confirmed || !strings.HasPrefix(out.String(), "Remove 1 bottle: ") || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%q: %v, after %q", answer, err, &out)
		}
	}
	broken := errors.New("broken")
	if err := confirm(iotest.ErrReader(broken), terminal.OnWriter(&bytes.Buffer{}, true, false), "?"); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
