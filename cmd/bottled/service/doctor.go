package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/cmd/bottled/service/doctor"
	"github.com/bot-bottle/bottled/state/owndir"
)

// Doctor checks the engine and this host.
func (s *Service) Doctor(ctx context.Context) (all []doctor.Check, err error) {
	settings, err := s.Settings.uncheckedStateSettings("")
	if err != nil {
		return nil, err
	}
	e, connectErr := s.connect(ctx, settings)
	if connectErr == nil {
		defer func() { err = errors.Join(err, e.Close()) }()
		if settings.Shared, err = e.SharedPaths(ctx); err != nil {
			return nil, err
		}
	}
	host := doctor.Host{
		Routes: hostRoutes, ReversePathFilter: ReversePathFilter, FirewallRules: firewallRules, Inotify: tryInotify,
		Sysctl: sysctl, FreeSpace: freeSpace, CheckDir: owndir.Check,
	}
	return doctor.Run(ctx, e, connectErr, host, settings), nil
}

// firewallRules reads the host's packet filter rules by the programs that exist, since the kernel has no other stable format of them.
func firewallRules(ctx context.Context) ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, doctor.ErrNotPermitted
	}
	var rules []string
	var failed []error
	for _, command := range [][]string{{"iptables-save"}, {"nft", "--stateless", "list", "ruleset"}} {
		text, err := exec.CommandContext(ctx, command[0], command[1:]...).Output() //nolint:gosec // constants
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", command[0], err))
			continue
		}
		for line := range bytes.Lines(text) {
			rules = append(rules, string(bytes.TrimSpace(line)))
		}
	}
	if len(failed) == 2 {
		return nil, fmt.Errorf("the host's firewall rules can't be read: %w", errors.Join(failed...))
	}
	return rules, nil
}

func tryInotify() error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	return errors.Join(watcher.Add("/"), watcher.Close())
}

func sysctl(path string) (int, error) {
	text, err := os.ReadFile(filepath.Join("/proc/sys", path))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// freeSpace is the room in bytes where a path is, or where it would be created.
func freeSpace(path string) (uint64, error) {
	var fs unix.Statfs_t
	err := unix.Statfs(path, &fs)
	for errors.Is(err, unix.ENOENT) && path != "/" {
		path = filepath.Dir(path)
		err = unix.Statfs(path, &fs)
	}
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return fs.Bavail * uint64(fs.Bsize), nil //nolint:gosec // a block size is positive
}
