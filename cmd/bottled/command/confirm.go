package command

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
)

// Confirm returns how to ask the user; nil where nobody is there to answer, as in a script.
func (f *Factory) Confirm() func(question string) error {
	if !terminal.IsTerminal(os.Stdin) || !f.Errs.IsTerminal() {
		return nil
	}
	return func(question string) error { return confirm(f.Service.Stdin, f.Errs, question) }
}

// confirm fails unless the answer is yes.
func confirm(in io.Reader, out terminal.Console, question string) error {
	if err := out.Line("%s Type yes, or give --yes next time:", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(io.LimitReader(in, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done: the answer was not yes")
}

// AskSecret returns how to have the user type a secret, which is not shown; nil where nobody is there to answer.
func (f *Factory) AskSecret() func(question string) (string, error) {
	if !terminal.IsTerminal(os.Stdin) || !f.Errs.IsTerminal() {
		return nil
	}
	return func(question string) (string, error) {
		if err := f.Errs.Line("%s", question); err != nil {
			return "", err
		}
		secret, err := terminal.ReadSecret()
		if err == nil && secret == "" {
			err = errors.New("nothing was done: no secret was typed")
		}
		return secret, err
	}
}
