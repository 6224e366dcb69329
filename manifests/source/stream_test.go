package source_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bot-bottle/bottled/manifests/source"
)

func TestLoadStream(t *testing.T) {
	const good = "apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: %}\nspec: {agent: {image: i, mounts: [{source: ./work, target: /work, readOnly: true}]}}\n"
	dir := t.TempDir()
	load := func(text string) source.Snapshot {
		t.Helper()
		s, err := source.LoadStream(source.Known{}, strings.NewReader(text), "stdin", dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := load(strings.Replace(good, "%", "b", 1) + "---\n" + strings.Replace(good, "%", "a", 1))
	if len(s.Problems) > 0 || len(s.Bottles) != 2 || s.Bottles[0].Metadata.Name != "a" || s.Bottles[1].Spec.Agent.Mounts[0].Source != filepath.Join(dir, "work") {
		t.Errorf("%+v %+v", s.Problems, s.Bottles)
	}
	for text, says := range map[string]string{
		strings.Replace(good, "%", "a", 1) + "---\n" + strings.Replace(good, "%", "a", 1): "stdin:",
		"nonsense: true\n": "stdin:1:1",
		"a: \x00\n":        "control character",
	} {
		if s := load(text); len(s.Problems) == 0 || !strings.Contains(s.Problems[0].Error(), says) {
			t.Errorf("%q: %+v", text, s.Problems)
		}
	}
	broken := errors.New("broken")
	if _, err := source.LoadStream(source.Known{}, iotest.ErrReader(broken), "stdin", dir); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if _, err := source.LoadStream(source.Known{}, strings.NewReader(strings.Repeat("#", 17<<20)), "stdin", dir); err == nil {
		t.Error("a stream without an end is taken")
	}
}
