package parse

import (
	"fmt"
	"unicode/utf8"
)

// Location is where a file of manifests is.
type Location struct {
	Path string // below the path that is searched, as it was given
	Abs  string // the same, absolute; symlinks are not resolved, so that it stays when git-sync swaps one
}

// Problem is about a file as a whole, or about a place in it that belongs to no document yet.
func (f Location) Problem(line, column int, reason, fix string) *Problem {
	return &Problem{File: f.Path, Line: line, Column: column, Field: WholeFile, Reason: reason, Fix: fix}
}

// CheckText finds the first thing that no text has: a byte that is not UTF-8, or a control character.
func CheckText(f Location, data []byte) *Problem {
	line, column := 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			return f.Problem(line, column, fmt.Sprintf("byte 0x%02x is not UTF-8", data[0]), "save the file in UTF-8")
		case r == '\n':
			line, column = line+1, 0
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return f.Problem(line, column, fmt.Sprintf("control character U+%04X", r), `remove it; inside double quotes it can be written as an escape like "\t"`)
		}
		data = data[size:]
		column++
	}
	return nil
}
