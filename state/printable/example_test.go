package printable_test

import (
	"fmt"

	"github.com/bot-bottle/bottled/state/printable"
)

// A hostile line can't clear the screen, and can't look like another one.
func ExampleLine() {
	fmt.Println(printable.Line("ready\x1b[2J"))
	fmt.Println(printable.Line("allow \u202egro.live\u202c"))
	// Output:
	// ready\x1b[2J
	// allow \u202egro.live\u202c
}

// Every line but the first is indented, so that none can pass for a message of its own.
func ExampleBlock() {
	fmt.Println(printable.Block("the reason\nERR bottle=other failed"))
	// Output:
	// the reason
	//   ERR bottle=other failed
}

// Check explains why a text is refused that a person is to read.
func ExampleCheck() {
	fmt.Println(printable.Check("add example.com\u200b"))
	// Output: it has the control or invisible character U+200B; remove it, or write an ordinary one in its place
}
