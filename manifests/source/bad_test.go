package source

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/golden"
)

// problemLine is what every problem must look like: FILE:LINE:COL: FIELD: REASON; FIX.
var problemLine = regexp.MustCompile(`^[^:]+:[1-9]\d*:[1-9]\d*: \S.*?: \S.*?; \S.*[^ ]$`)

// TestBadInputs is the table of bad inputs: every file or directory in testdata/bad and its problems in
// NAME.golden.
func TestBadInputs(t *testing.T) {
	t.Chdir("../testdata/bad")
	inputs, err := filepath.Glob("*")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, input := range inputs {
		if filepath.Ext(input) == ".golden" {
			continue
		}
		count++
		t.Run(input, func(t *testing.T) { checkBad(t, input) })
	}
	if count < 85 {
		t.Errorf("there are %d bad inputs, want at least 85", count)
	}
}

func checkBad(t *testing.T, input string) {
	snapshot, err := Load(input)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, p := range snapshot.Problems {
		line := p.Error()
		if !problemLine.MatchString(line) || p.File == "" || p.Field == "" || p.Reason == "" || p.Fix == "" {
			t.Errorf("a part is missing: %q", line)
		}
		lines.WriteString(line + "\n")
	}
	if lines.Len() == 0 {
		t.Error("no problem was found")
	}
	golden.Check(t, strings.TrimSuffix(input, filepath.Ext(input))+".golden", lines.String())
}
