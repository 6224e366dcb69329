package printable

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// blank lists the characters that show nothing and are in no class of Unicode's that says so: MUSICAL SYMBOL NULL NOTEHEAD,
// BRAILLE PATTERN BLANK, KHITAN SMALL SCRIPT FILLER, EGYPTIAN HIEROGLYPH FULL BLANK and HALF BLANK.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x2800, Hi: 0x2800, Stride: 1}},
	R32: []unicode.Range32{
		{Lo: 0x13441, Hi: 0x13442, Stride: 1}, {Lo: 0x16fe4, Hi: 0x16fe4, Stride: 1}, {Lo: 0x1d159, Hi: 0x1d159, Stride: 1},
	},
}

// invisible lists the classes of characters that count as letters, marks or symbols and show nothing. Together with the format
// characters (Cf), which IsPrint leaves out, they contain all of Default_Ignorable_Code_Point.
var invisible = []*unicode.RangeTable{unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, blank}

// Safe reports whether a character shows as itself and as nothing else: a letter, mark, number, punctuation, symbol or the ASCII
// space. Not safe are control, format, private and unassigned characters, line separators, all other spaces, and what is invisible.
func Safe(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r <= '~'
	}
	return unicode.IsPrint(r) && !unicode.In(r, invisible...)
}

// Line escapes, as Go does in a string ("\x1b", "\n", "\u202e"), every character that is not Safe and every byte that is no UTF-8,
// so that a text is one line that reads as what it is. Escaping twice changes nothing more.
func Line(text string) string {
	var out strings.Builder
	for i, r := range text {
		size := utf8.RuneLen(r)
		if r == utf8.RuneError {
			_, size = utf8.DecodeRuneInString(text[i:])
		}
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, text[i])
		case Safe(r):
			out.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return out.String()
}

// Block is Line for a text of several lines. Every line but the first is indented, so that none can pass for a message of its own.
func Block(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = Line(strings.ReplaceAll(l, "\t", "    "))
		if i > 0 && !strings.HasPrefix(l, " ") {
			lines[i] = "  " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// Check fails for a text that a person is to judge and that has a character that is not Safe. Line breaks and tabs are allowed.
func Check(text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("it is not valid UTF-8")
	}
	for _, r := range strings.ReplaceAll(text, "\r\n", "\n") {
		if r != '\n' && r != '\t' && !Safe(r) {
			return fmt.Errorf("it has the control or invisible character %U; remove it, or write an ordinary one in its place", r)
		}
	}
	return nil
}

// JSON escapes, within the strings of a JSON text, every character that is not Safe. The text means the same as before.
func JSON(text []byte) []byte {
	return escapeStrings(text, func(r rune) string {
		if r > 0xffff {
			r -= 0x10000
			return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
		return fmt.Sprintf(`\u%04x`, r)
	})
}

// YAML is JSON for a reader of YAML, which takes no surrogates.
func YAML(text []byte) []byte {
	return escapeStrings(text, func(r rune) string { return fmt.Sprintf(`\U%08x`, r) })
}

// IsSafe reports whether a text of several lines has only Safe characters.
func IsSafe(text []byte) bool { return Check(string(text)) == nil }

// escapeStrings replaces characters outside of ASCII, and DEL. In JSON they occur in strings only.
func escapeStrings(text []byte, escape func(rune) string) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		if r < 0x7f || Safe(r) {
			out = utf8.AppendRune(out, r)
		} else {
			out = append(out, escape(r)...)
		}
	}
	return out
}
