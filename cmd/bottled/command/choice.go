package command

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
)

// choice is the value of a flag that takes one of a few words. Shells complete them.
type choice struct {
	word  *string
	words []string
}

// Choice makes the value of a flag that takes one of a few words. What word holds is the default.
func Choice(word *string, words ...string) pflag.Value { return choice{word, words} }

func (c choice) String() string { return *c.word }

func (c choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return exit.Usage(errors.New("use " + OneOf(c.words)))
	}
	*c.word = word
	return nil
}

func (choice) Type() string { return "string" }

// OneOf lists words as an alternative.
func OneOf(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
