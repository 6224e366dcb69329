package parse

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// A bottle of claude-bottle is a Markdown file. What it declares stands in its front matter, YAML between two lines of three
// dashes; the file's name is the bottle's.

// FrontMatter cuts out the YAML at the beginning of a Markdown file, and returns where the rest begins. Empty lines and comments may
// stand above it; the text has as many empty lines there, so that lines count as in the file. Without dashes below it is all there is,
// and not complete.
func FrontMatter(data []byte) (text []byte, end int, complete bool) {
	begin := skipComments(data)
	end = begin
	text = bytes.Repeat([]byte("\n"), bytes.Count(data[:begin], []byte("\n")))
	for line := range bytes.Lines(data[begin:]) {
		dashes := string(bytes.TrimRight(line, " \t\r\n")) == "---"
		switch {
		case end == begin && !dashes:
			return nil, 0, false
		case end > begin && dashes:
			return text, end, true
		}
		end += len(line)
		text = append(text, line...)
	}
	return text, end, false
}

// skipComments returns where the first line begins that is neither empty nor an HTML comment, like a licence's.
func skipComments(data []byte) int {
	for at := 0; ; {
		rest := bytes.TrimLeft(data[at:], " \t\r\n")
		start := len(data) - len(rest)
		if comment := bytes.Index(rest, []byte("-->")); bytes.HasPrefix(rest, []byte("<!--")) && comment > 0 {
			at = start + comment + len("-->")
			continue
		}
		return at + bytes.LastIndexByte(data[at:start], '\n') + 1
	}
}

// FrontMatterDocument returns the document of a front matter. It returns neither a document nor a problem when nothing in the text speaks of a bottle.
func FrontMatterDocument(f Location, text []byte, complete bool) (*Document, *Problem) {
	root, err := oneDocument(text)
	switch unclear := !complete || err != nil; {
	case unclear && !legacyLine.Match(text):
		return nil, nil
	case !complete:
		return nil, f.aboutBottle(1, "the front matter does not end", "write a line of three dashes below it")
	case errors.Is(err, errSeveral):
		return nil, f.aboutBottle(1, err.Error(), "write one mapping between the two lines of dashes")
	case unclear:
		if problem := CheckText(f, text); problem != nil {
			problem.Slug = f.slug()
			return nil, problem
		}
		problem := syntaxProblem(f, text, err)
		problem.Slug = f.slug()
		return nil, &problem
	case isEmpty(root) || !isLegacyBottle(root.Content[0]):
		return nil, nil
	}
	return &Document{File: f, root: root.Content[0], legacy: true}, nil
}

func (f Location) aboutBottle(line int, reason, fix string) *Problem {
	problem := f.Problem(line, 1, reason, fix)
	problem.Slug = f.slug()
	return problem
}

var errSeveral = errors.New("the front matter has more than one document")

func oneDocument(text []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root, more yaml.Node
	if err := decoder.Decode(&root); err != nil {
		return nil, err
	}
	switch err := decoder.Decode(&more); {
	case errors.Is(err, io.EOF):
		return &root, nil
	case err != nil:
		return nil, err
	}
	return nil, errSeveral
}

// legacyLine is how a bottle shows in front matter that can't be read.
var legacyLine = regexp.MustCompile(`(?mi)^\{?["']?(env|cred_proxy|egress|supervise)["']?[ \t]*:`)

// isLegacyBottle distinguishes a bottle from other Markdown with front matter. Agents' files may have env, too; they name their bottle
// or skills.
func isLegacyBottle(root *yaml.Node) bool {
	if root.Kind != yaml.MappingNode {
		return false
	}
	keys := map[string]bool{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		keys[strings.ToLower(root.Content[i].Value)] = true
	}
	return keys["cred_proxy"] || keys["egress"] || keys["supervise"] || keys["env"] && !keys["bottle"] && !keys["skills"]
}

// bottleName is what a Markdown file declares by its name.
func (f Location) bottleName() string {
	return strings.TrimSuffix(filepath.Base(f.Path), filepath.Ext(f.Path))
}

// slug is that name if it can be a bottle's, like declaredName.
func (f Location) slug() string {
	if name := f.bottleName(); v1alpha1.IsName(name) {
		return name
	}
	return ""
}
