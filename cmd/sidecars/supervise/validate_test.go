package supervise

import (
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// TestDockerfilesThatAreHardToParse has files that make a parser work, nightly the largest.
func TestDockerfilesThatAreHardToParse(t *testing.T) {
	size := maxDockerfileBytes / 4
	if sidecartest.Nightly() {
		size = maxDockerfileBytes
	}
	fill := func(head, piece, tail string) string {
		return head + strings.Repeat(piece, (size-len(head)-len(tail))/len(piece)) + tail
	}
	c := current{dockerfile: "FROM a\n"}
	for name, text := range map[string]string{
		"here-document":  fill("FROM a\nRUN <<EOF\n", "a\n", "EOF\n"),
		"continuations":  fill("FROM a\nRUN a ", "\\\n", "a\n"),
		"comments":       fill("FROM a\nRUN a \\\n", "#\n", "a\n"),
		"here-documents": fill("FROM a\nRUN ", "<<A", "\nA\n"),
		"flags":          fill("FROM a\nRUN ", "--a ", "a\n"),
		"arguments":      fill("FROM a\nENV ", "a=a ", "\n"),
		"exec form":      fill("FROM a\nCMD ", "[", "\n"),
		"stages":         fill("", "FROM a\n", ""),
		"nested ONBUILD": fill("FROM a\n", "ONBUILD ", "RUN a\n"),
		"directives":     fill("", "# escape=\\\n", "FROM a\n"),
		"quotes":         fill("FROM a\nLABEL a=\"", "\\\"", "\"\n"),
	} {
		checked := make(chan error, 1)
		go func() { checked <- c.checkDockerfile(text, true) }()
		select {
		case err := <-checked:
			t.Logf("%s: %.100v", name, err)
		case <-time.After(patience):
			t.Fatalf("%s: it takes for ever", name)
		}
	}
}

func FuzzCheckDockerfile(f *testing.F) {
	for _, seed := range []string{"FROM a\nRUN <<EOF\nx\nEOF\n", "# syntax=x\nFROM a", "ARG A\nFROM $A AS b\nCOPY --from=b [\"a\",\"b\"]\n", "FROM a\nHEALTHCHECK CMD x"} {
		f.Add(seed)
	}
	c := current{dockerfile: "FROM a\n"}
	f.Fuzz(func(t *testing.T, text string) {
		if err := c.checkDockerfile(text, true); err == nil && !strings.Contains(strings.ToUpper(text), "FROM") {
			t.Errorf("accepted %q", text)
		}
	})
}

func FuzzCheckURL(f *testing.F) {
	f.Add("https://a.example/x")
	f.Add("http://[fd00::1]:80/")
	f.Add("https://a.example\\@b.example/")
	f.Fuzz(func(t *testing.T, text string) {
		if (current{}).checkURL(text) == nil && strings.ContainsAny(text, "\x00\x1b\r") {
			t.Errorf("accepted %q", text)
		}
	})
}
