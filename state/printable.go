package state

import (
	"strings"
	"unicode"
)

// Printable makes a text one line that can't steer a terminal: white space becomes a space, and control characters, those
// that turn the direction of writing, and bytes that are no characters become U+FFFD. Who wrote it may be hostile.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return unicode.ReplacementChar
	}, text)
}
