package docker

import (
	"errors"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/state/engine"
)

// TestExplainStart knows the errors as Docker 20.10 with runc 1.1 gives them.
func TestExplainStart(t *testing.T) {
	const runc = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
	for text, want := range map[string]struct {
		kind error
		says string
	}{
		runc + `exec: "nosuch": executable file not found in $PATH: unknown`:                                     {kind: engine.ErrNoCommand},
		runc + `exec: "/nosuch": stat /nosuch: no such file or directory: unknown`:                               {kind: engine.ErrNoCommand},
		runc + `exec: "/bin": permission denied: unknown`:                                                        {kind: engine.ErrNotExecutable},
		`exec: "docker-init": executable file not found in $PATH`:                                                {says: initAdvice},
		runc + `error mounting "/x/docker-init" to rootfs at "/sbin/docker-init": stat /x: no such file`:         {says: initAdvice},
		`could not select device driver "" with capabilities: [[gpu]]`:                                           {says: gpuAdvice},
		"unable to find user nosuch: no matching entries in passwd file":                                         {says: userAdvice},
		`error gathering device information while adding custom device "/dev/nosuch": no such file or directory`: {},
		"no space left on device": {},
	} {
		err := explainStart(errors.New(text))
		for _, kind := range []error{engine.ErrNoCommand, engine.ErrNotExecutable} {
			if errors.Is(err, kind) != errors.Is(want.kind, kind) {
				t.Errorf("%q is %q", text, err)
			}
		}
		if !strings.Contains(err.Error(), text) || !strings.HasSuffix(err.Error(), want.says) {
			t.Errorf("%q is explained by %q", text, err)
		}
	}
}
