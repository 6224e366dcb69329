package root

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
)

func newRoot() *cobra.Command {
	console := terminal.OnWriter(io.Discard, false, false)
	return New(&command.Factory{Streams: command.Streams{Out: console, Errs: console}, Service: &service.Service{}})
}

// each calls visit for every command that people see and that does something itself.
func each(cmd *cobra.Command, visit func(*cobra.Command)) {
	for _, sub := range cmd.Commands() {
		if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		if !sub.HasSubCommands() {
			visit(sub)
		}
		each(sub, visit)
	}
}

// TestExamples has an example in the help of every command, and each is a command line that bottled takes.
func TestExamples(t *testing.T) {
	each(newRoot(), func(cmd *cobra.Command) {
		if cmd.Example == "" && cmd.Name() != "version" && cmd.Name() != "schema" {
			t.Errorf("%s --help has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			if err := parse(line); err != nil {
				t.Errorf("%s --help: %s: %v", cmd.CommandPath(), strings.TrimSpace(line), err)
			}
		}
	})
	for _, wrong := range []string{"bottled status --no-such-flag", "bottled plan", "nothing", "bottled nonsense x"} {
		if parse(wrong) == nil {
			t.Errorf("%s: taken for right", wrong)
		}
	}
}

// parse has bottled take a command line apart. Of a pipeline, only bottled's part is.
func parse(line string) error {
	for part := range strings.SplitSeq(line, " | ") {
		part, _, _ = strings.Cut(part, " > ")
		words := strings.Fields(part)
		at := slices.Index(words, "bottled")
		if at < 0 {
			continue
		}
		root := newRoot()
		cmd, args, err := root.Find(words[at+1:])
		if err != nil {
			return err
		}
		return errors.Join(cmd.ParseFlags(args), cmd.ValidateArgs(cmd.Flags().Args()))
	}
	return errors.New("no bottled in it")
}

// TestCompletesBottles has every command that takes bottles complete their names.
func TestCompletesBottles(t *testing.T) {
	each(newRoot(), func(cmd *cobra.Command) {
		if strings.Contains(cmd.Use, "BOTTLE") && cmd.ValidArgsFunction == nil {
			t.Errorf("%s takes bottles and does not complete their names", cmd.CommandPath())
		}
	})
}

func TestUnknownCommand(t *testing.T) {
	for word, says := range map[string]string{
		"stauts": `unknown command "stauts"; did you mean bottled status?`,
		"lsx":    `unknown command "lsx"; did you mean bottled ls?`,
		"apply":  `unknown command "apply"; did you mean bottled reconcile?`,
		"xyzzy":  `unknown command "xyzzy"`,
	} {
		if err := command.UnknownCommand(newRoot(), []string{word}); err == nil || err.Error() != says {
			t.Errorf("%s: %v, want %s", word, err, says)
		}
	}
}

// TestHabits has each word that is suggested for another tool's be a command, and no word that is one.
func TestHabits(t *testing.T) {
	for word, meant := range command.Habits {
		if found, _, err := newRoot().Find(strings.Fields(meant)); err != nil || found.Name() == "bottled" {
			t.Errorf("%s: there is no command %s", word, meant)
		}
		if found, _, _ := newRoot().Find([]string{word}); found != nil && found.Name() != "bottled" {
			t.Errorf("%s is a command", word)
		}
	}
}
