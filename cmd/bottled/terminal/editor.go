package terminal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// maxEdited is the most that is read of an edited file, in bytes: more than a manifest may have.
const maxEdited = 4 << 20

// Edit has the user's editor ($VISUAL, $EDITOR or vi) change a text, and returns what was saved. The file's name ends with the given one.
func Edit(ctx context.Context, name string, text []byte) (saved []byte, err error) {
	words := strings.Fields(cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"), "vi"))
	if len(words) == 0 {
		return nil, errors.New("$VISUAL and $EDITOR name no editor")
	}
	dir, err := os.MkdirTemp("", "bottled-edit-") // which nobody else can read
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], path)...) //nolint:gosec // the user's own editor
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT) // they are the editor's; afterwards they end this process
	defer signal.Reset(syscall.SIGINT, syscall.SIGQUIT)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("nothing was changed: the editor %s: %w; choose another one with EDITOR", words[0], err)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	saved, err = io.ReadAll(io.LimitReader(file, maxEdited+1))
	if len(saved) > maxEdited {
		err = fmt.Errorf("the edited file has more than %d bytes", maxEdited)
	}
	return saved, errors.Join(err, file.Close())
}

// ReadSecret reads a line from the terminal that is stdin, without showing it.
func ReadSecret() (string, error) {
	secret, err := term.ReadPassword(int(os.Stdin.Fd()))
	return string(secret), err
}
