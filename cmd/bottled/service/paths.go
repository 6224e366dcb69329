package service

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/owndir"
)

func (s *Settings) stateDir() (string, error) {
	if s.StateDir != "" {
		return filepath.Abs(s.StateDir)
	}
	name := "bottled"
	if s.Owner != "default" {
		name += "-" + s.Owner
	}
	if os.Geteuid() == 0 {
		return filepath.Join("/var/lib", name), nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, name), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("state directory: %w; choose one with --state-dir", err)
	}
	return filepath.Join(home, ".local", "state", name), nil
}

// runDir is the directory of the tokens: on a tmpfs where the system has one for this user, so that they reach no disk.
func (s *Settings) runDir(stateDir string) (string, error) {
	if s.RunDir != "" {
		return filepath.Abs(s.RunDir)
	}
	base := "/run"
	if os.Geteuid() != 0 {
		base = os.Getenv("XDG_RUNTIME_DIR")
	}
	if info, err := os.Stat(base); base == "" || err != nil || !info.IsDir() { //nolint:gosec // the user's own environment
		return filepath.Join(stateDir, "run"), nil
	}
	// Two state directories of one owner must not share tokens.
	return filepath.Join(base, "bottled", state.Digest(stateDir)), nil
}

// socket is the path of the controller's socket.
func (s *Settings) socket() (string, error) {
	stateDir, err := s.stateDir()
	if err != nil {
		return "", err
	}
	runDir, err := s.runDir(stateDir)
	if err != nil {
		return "", err
	}
	if err := owndir.Check(runDir); err != nil { // somebody else could answer there
		return "", exit.Usage(fmt.Errorf("%w; or choose another directory with --run-dir", err))
	}
	return filepath.Join(runDir, "controller.sock"), nil
}
