package source

import (
	"fmt"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/rules"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Imported is what became of one claude-bottle file.
type Imported struct {
	// Manifest is the equivalent manifest, in YAML; nil when something is wrong in the file. What has no equivalent is named in
	// comments above it.
	Manifest []byte
	// Problems are what is wrong in the file, or has no equivalent.
	Problems []parse.Problem
}

// Import makes manifests of the claude-bottle files among the paths, which are as for Load. Agents get the image; without one,
// which is "", those with an environment have no equivalent, and the others are left out. The error is as of Load.
func Import(image string, paths ...string) ([]Imported, error) {
	w := newWalk(safepath.Set{})
	if err := w.run(paths); err != nil {
		return nil, err
	}
	var contents []*parsedFile
	var documents []*declaration
	for _, f := range w.files {
		if s := readImport(f); s != nil {
			contents = append(contents, s)
			documents = append(documents, s.documents...)
		}
	}
	rules.RefuseDuplicates(plain(documents))
	var all []Imported
	for _, s := range contents {
		one, err := s.convert(image)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// readImport reads a file; nil when there is nothing to import in it.
func readImport(f file) *parsedFile {
	switch {
	case v1alpha1.IsMarkdown(f.Path):
		if s := readLegacy(f); !s.foreign {
			return s
		}
		return nil
	case f.given:
		return &parsedFile{file: f, problems: []parse.Problem{*f.Problem(1, 1, "it is no bottle of claude-bottle: its name does not end in "+v1alpha1.Markdown, "import NAME"+v1alpha1.Markdown+"; the name is the bottle's")}}
	case f.unreachable.Reason != "":
		return &parsedFile{file: f, problems: []parse.Problem{*f.Problem(1, 1, f.unreachable.Reason, f.unreachable.Fix)}}
	}
	return nil
}

func (s *parsedFile) convert(image string) (Imported, error) {
	one := Imported{Problems: s.problems}
	for _, d := range s.documents { // there is at most one
		giveImage(d.Document, image)
		text := textBelow(d.Document, s.below)
		convertible := d.IsConvertible()
		one.Problems = append(one.Problems, d.Problems()...)
		if !convertible {
			continue
		}
		comments := []string{"From " + s.file.Path + "."}
		for _, p := range one.Problems {
			comments = append(comments, fmt.Sprintf("Not in this manifest: %s:%d: %s: %s", p.File, p.Line, p.Field, p.Reason))
		}
		manifest, err := parse.Encode(d.Bottle, append(comments, text...))
		if err != nil {
			return Imported{}, fmt.Errorf("import %s: %w", s.file.Path, err)
		}
		one.Manifest = manifest
	}
	return one, nil
}

// giveImage names the image of the agent, which a manifest must.
func giveImage(d *parse.Document, image string) {
	spec := &d.Bottle.Spec
	switch {
	case image != "":
		spec.Agent.Image = image
		return
	case len(spec.Agent.Env) > 0:
		d.Lose(d.Position(v1alpha1.EnvField), v1alpha1.EnvField, "it is the agent's, and this file names no image for that", "import with --agent-image IMAGE, or add spec.agent to the manifest by hand")
	}
	spec.Agent = nil
}

// textBelow is what the file says to people below its front matter, as lines of comments.
func textBelow(d *parse.Document, text string) []string {
	text = strings.TrimSpace(text)
	lose := func(reason string) []string {
		d.Lose(d.Position("metadata.name"), parse.WholeFile, "the text below the front matter "+reason+", and is left out", "copy by hand what should stay of it")
		return nil
	}
	switch kind := scalar.SecretKind(text); {
	case text == "":
		return nil
	case kind != "":
		return lose("holds " + kind)
	case len(text) > maxTextBelow:
		return lose(fmt.Sprintf("has more than %d KiB", maxTextBelow>>10))
	}
	return append([]string{""}, strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")...)
}

// maxTextBelow leaves enough of a manifest's size for the manifest.
const maxTextBelow = parse.MaxFileSize / 4
