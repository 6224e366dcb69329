package source

import (
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

// readLegacy reads a Markdown file. It is nil when the file is no bottle: most Markdown is not, so only what looks like one
// can be wrong.
func readLegacy(f file) *parsedFile {
	s := &parsedFile{file: f}
	data, problem := readData(f)
	if problem != nil {
		s.problems = []parse.Problem{*problem}
		return s
	}
	text, complete := parse.FrontMatter(data)
	switch d, problem := parse.FrontMatterDocument(f.Location, text, complete); {
	case d != nil:
		s.add(d)
		_, s.below, _ = strings.Cut(string(data[len(text):]), "\n")
	case problem != nil:
		s.problems = []parse.Problem{*problem}
	case f.given:
		s.problems = []parse.Problem{*f.Problem(1, 1, "it is no bottle of claude-bottle", "begin it with a line of three dashes, env, cred_proxy, egress or supervise in YAML, and three dashes again")}
	default:
		return nil
	}
	return s
}

// readContent reads one file; nil when it is Markdown, and no bottle.
func readContent(f file) *parsedFile {
	if v1alpha1.IsMarkdown(f.Path) {
		return readLegacy(f)
	}
	s := &parsedFile{file: f}
	data, problem := readFile(f)
	if problem != nil {
		s.problems = []parse.Problem{*problem}
		return s
	}
	documents, problems := parse.Documents(f.Location, data)
	s.add(documents...)
	s.problems = problems
	return s
}

// plain returns the documents of declarations.
func plain(all []*declaration) []*parse.Document {
	documents := make([]*parse.Document, len(all))
	for i, d := range all {
		documents[i] = d.Document
	}
	return documents
}
