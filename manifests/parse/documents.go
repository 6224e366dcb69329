package parse

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// MaxFileSize is the size in bytes above which a file of manifests is refused.
const MaxFileSize = 1 << 20

// A file with more documents than this is refused from there on.
const maxDocuments = 1000

// Documents splits a file into its documents. When the YAML itself is broken somewhere, the
// documents before that place still count, and the problem returned says where it is.
func Documents(f Location, data []byte) ([]*Document, []Problem) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var documents []*Document
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		switch {
		case errors.Is(err, io.EOF):
			return documents, nil
		case err != nil:
			return documents, []Problem{syntaxProblem(f, data, err)}
		case isEmpty(&root):
			continue
		case len(documents) == maxDocuments:
			return documents, []Problem{*f.Problem(root.Line, root.Column, fmt.Sprintf("it has more than %d documents", maxDocuments), "split it into several files")}
		}
		documents = append(documents, &Document{File: f, root: root.Content[0]})
	}
}

// isEmpty reports whether a document has nothing, or only comments.
func isEmpty(root *yaml.Node) bool {
	if len(root.Content) == 0 {
		return true
	}
	n := root.Content[0]
	return n.Kind == yaml.ScalarNode && n.Tag == nullTag && n.Value == ""
}
