package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/route"
)

// TokenSlot names a token by where it comes from, so that reordering routes moves none. It is the name of the token's file in
// TokenDir, and in cred-proxy.
func TokenSlot(ref route.SecretRef) string {
	switch {
	case ref.Env != "":
		return "env-" + ref.Env
	case len(ref.Exec) > 0:
		return "exec-" + DigestJSON(ref.Exec)
	}
	return "file-" + DigestJSON(ref.File)
}

// ErrPending marks an input that is about to be there: nobody's help is needed.
var ErrPending = errors.New("not there yet")

// CommandPattern is a command that manifests may name: its words, one by one. A last word * stands for any further ones.
type CommandPattern []string

// ParseCommandPattern reads a pattern from a text whose words are separated by spaces.
func ParseCommandPattern(text string) (CommandPattern, error) {
	words := strings.Fields(text)
	switch i := slices.Index(words, "*"); {
	case len(words) == 0:
		return nil, errors.New("it is empty: write a program, like /usr/local/bin/github-token")
	case i == 0:
		return nil, fmt.Errorf("%q: name a program before *", text)
	case i > 0 && i < len(words)-1:
		return nil, fmt.Errorf("%q: * stands for all further words, and nothing may follow it", text)
	case strings.Contains(words[0], "/") && (!filepath.IsAbs(words[0]) || filepath.Clean(words[0]) != words[0]):
		return nil, fmt.Errorf("%q: write the absolute path of the program, or its name alone", text)
	}
	return words, nil
}

// Allows reports whether a command matches the pattern.
func (p CommandPattern) Allows(command []string) bool {
	if last := len(p) - 1; last > 0 && p[last] == "*" {
		return len(command) >= last && slices.Equal(p[:last], command[:last])
	}
	return slices.Equal(p, command)
}
