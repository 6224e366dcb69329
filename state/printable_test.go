package state

import "testing"

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain ü 世":              "plain ü 世",
		"two\nlines\r\n\tindent": "two lines   indent",
		"\x1b]0;title\a\x1b[2J":  "�]0;title��[2J",
		"\u009b31m \u202eabc":    "�31m �abc",
		"\xff\xc3":               "��",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
