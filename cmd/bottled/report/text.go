package report

import (
	"fmt"
	"strings"
	"time"
)

// Line is one line of text for people. It is not escaped yet.
type Line struct {
	Text string
	Bad  bool   // is about something that is not as it should be
	Sign string // of a changed line in a diff: "+", "-" or, for where that is, "~"
	Wrap bool   // goes on in the next line of a narrow terminal, where others are cut
}

// Count is a number with its noun.
func Count[N int | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Flat joins the lines of a message.
func Flat(message string) string { return strings.Join(strings.Fields(message), " ") }

// OneLine is an error's text, its lines separated by semicolons.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// Because is a reason and, where there is one, its message.
func Because(reason, message string) string {
	if message == "" {
		return reason
	}
	return reason + ": " + Flat(message)
}

// Age is the time since then in its largest unit; "" where then is not known.
func Age(then, now time.Time) string {
	d := max(now.Sub(then), 0)
	switch {
	case then.IsZero():
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// imageName marks the images that bottled builds of itself.
func imageName(ref string) string {
	if strings.HasPrefix(ref, "bottled:") {
		return "builtin (" + ref + ")"
	}
	return ref
}
