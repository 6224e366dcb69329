package edit

import udiff "github.com/aymanbagabas/go-udiff"

// Diff returns the unified diff of a file's contents, with three lines of context; "" if they are equal. name stands for the file in both
// lines of the header. patch applies it: `patch FILE < DIFF`.
func Diff(name string, before, after []byte) string {
	return udiff.Unified(name, name, string(before), string(after))
}
