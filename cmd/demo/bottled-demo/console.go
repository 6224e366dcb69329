package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// exitCode ends the program with it, without a word.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func consoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "console",
		Short: "Say what somebody at a terminal does: what is typed, its size, signals",
		Long: `Say what somebody at a terminal does: what is typed, its size when it begins and when it changes, signals. It ends with
SIGTERM or SIGHUP, at the end of its input, and with N when "exit N" is typed; "stderr TEXT" is answered on stderr.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return console(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

func console(in io.Reader, out, errOut io.Writer) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	fmt.Fprintln(out, consoleSize())
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGWINCH {
				fmt.Fprintln(out, consoleSize())
				continue
			}
			fmt.Fprintln(out, "signal:", s)
			if s != syscall.SIGINT {
				n, _ := s.(syscall.Signal) // as all are on Linux
				return exitCode(128 + int(n))
			}
		case line, ok := <-lines:
			if !ok {
				fmt.Fprintln(out, "end of input")
				return nil
			}
			if err := answer(line, out, errOut); err != nil {
				return err
			}
		}
	}
}

func answer(line string, out, errOut io.Writer) error {
	if text, ok := strings.CutPrefix(line, "stderr "); ok {
		fmt.Fprintln(errOut, text)
		return nil
	}
	if number, ok := strings.CutPrefix(line, "exit "); ok {
		code, err := strconv.Atoi(number)
		if err != nil {
			return errors.New("exit: not a number")
		}
		return exitCode(code)
	}
	fmt.Fprintln(out, "typed:", line)
	return nil
}

func consoleSize() string {
	width, height, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return "no terminal"
	}
	return fmt.Sprintf("terminal: %d x %d", width, height)
}
