package source

import (
	"bytes"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/rules"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// parsedFile is what was read of one file.
type parsedFile struct {
	file      file
	documents []*declaration
	problems  []parse.Problem // of the file as a whole
	below     string          // what a Markdown file with a bottle has below its front matter
	foreign   bool            // nothing in it is bottled's
}

// declaration is a document of a file, with what its agent can write.
type declaration struct {
	*parse.Document
	trace    []safepath.Location // of the file
	located  bool                // writable is known
	writable []safepath.Place
}

func (s *parsedFile) add(documents ...*parse.Document) {
	for _, d := range documents {
		rules.Check(d)
		s.documents = append(s.documents, &declaration{Document: d, trace: s.file.trace})
	}
}

// readLegacy reads a Markdown file. Most Markdown is no bottle, so only what looks like one can be wrong.
func readLegacy(f file) *parsedFile {
	s := &parsedFile{file: f}
	data, problem := readData(f)
	if problem != nil {
		s.problems = []parse.Problem{*problem}
		return s
	}
	text, end, complete := parse.FrontMatter(data)
	switch d, problem := parse.FrontMatterDocument(f.Location, text, complete); {
	case d != nil:
		s.add(d)
		_, s.below, _ = strings.Cut(string(data[end:]), "\n")
	case problem != nil:
		s.problems = []parse.Problem{*problem}
	case f.given:
		s.problems = []parse.Problem{*f.Problem(1, 1, "it is no bottle of claude-bottle", "begin it with a line of three dashes, env, cred_proxy, egress or supervise in YAML, and three dashes again")}
	default:
		s.foreign = true
	}
	return s
}

// readContent reads one file. names are the bottles that the file declared before; a document with such a name is never foreign.
func readContent(f file, names []string) *parsedFile {
	if v1alpha1.IsMarkdown(f.Path) {
		return readLegacy(f)
	}
	s := &parsedFile{file: f}
	data, problem := readFile(f)
	if problem != nil {
		s.foreign = isLargeForeign(f, data)
		if !s.foreign {
			s.problems = []parse.Problem{*problem}
		}
		return s
	}
	documents, problems := parse.Documents(f.Location, data)
	s.add(documents...)
	s.problems = problems
	if !f.given && len(problems) > 0 && !mentionsBottled(data) {
		s.problems[0].Fix += "; or list this file in " + ignoreName + " if it is no manifest"
	}
	s.dropForeign(names)
	return s
}

// mentionsBottled reports whether a text may declare a bottle.
func mentionsBottled(data []byte) bool { return bytes.Contains(data, []byte("bottled/")) }

// isLargeForeign reports whether a file is too large for a manifest and does not claim to be one, like a package manager's lock file.
func isLargeForeign(f file, data []byte) bool {
	return len(data) > parse.MaxFileSize && !f.given && !mentionsBottled(data)
}

// dropForeign drops documents that are not bottled's, such as Kubernetes objects or a package.json. It keeps them in a file given by its
// own path. Next to a bottle it keeps documents without apiVersion and kind, which are more likely a mistake.
func (s *parsedFile) dropForeign(names []string) {
	if s.file.given {
		return
	}
	ours := slices.ContainsFunc(s.documents, func(d *declaration) bool { return d.Foreign == parse.Ours })
	before := len(s.documents)
	s.documents = slices.DeleteFunc(s.documents, func(d *declaration) bool {
		return !slices.Contains(names, d.Slug) && (d.Foreign == parse.OtherKind || d.Foreign == parse.Unlabelled && !ours)
	})
	s.foreign = before > 0 && len(s.documents)+len(s.problems) == 0
}

// declaresAny reports whether a document of the file is valid.
func (s *parsedFile) declaresAny() bool {
	return slices.ContainsFunc(s.documents, func(d *declaration) bool { return d.Declares && d.IsValid() })
}

// plain returns the documents of declarations.
func plain(all []*declaration) []*parse.Document {
	documents := make([]*parse.Document, len(all))
	for i, d := range all {
		documents[i] = d.Document
	}
	return documents
}
