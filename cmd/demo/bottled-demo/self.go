package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func selfCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "self [DIRECTORY…]",
		Short: "Print the user, the working directory and the host name, and what can be written to directories",
		RunE: func(cmd *cobra.Command, dirs []string) error {
			return describeSelf(cmd.OutOrStdout(), dirs)
		},
	}
}

func describeSelf(out io.Writer, dirs []string) error {
	at, err := os.Getwd()
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "user %d:%d\nworkdir %s\nhostname %s\n", os.Getuid(), os.Getgid(), at, host); err != nil {
		return err
	}
	for _, dir := range dirs {
		text, err := describeDir(dir)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, text); err != nil {
			return err
		}
	}
	return nil
}

// describeDir tells the size and flags of a directory's file system, and whether a file can be made there.
func describeDir(dir string) (string, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "", fmt.Errorf("statfs %s: %w", dir, err)
	}
	text := fmt.Sprintf("%s %d", dir, fs.Blocks*uint64(fs.Bsize)) //nolint:gosec // a block size is positive
	for _, flag := range []struct {
		name string
		bit  int64
	}{{"nosuid", unix.ST_NOSUID}, {"nodev", unix.ST_NODEV}, {"noexec", unix.ST_NOEXEC}, {"ro", unix.ST_RDONLY}} {
		if fs.Flags&flag.bit != 0 {
			text += " " + flag.name
		}
	}
	file := filepath.Join(dir, "made-by-bottled-demo")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return text + " not writable", nil //nolint:nilerr // the error is the result
	}
	return text + " writable", os.Remove(file)
}
