package manifests

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// Check tells what Load would find wrong with a document that declares b: nothing, or the same problems in
// the same words. It is for what reaches bottled by another way than a file, like an agent's proposal. The
// problems' lines and columns mean nothing.
func Check(b Bottle) ([]Problem, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("check bottle %s: %w", b.Metadata.Name, err)
	}
	documents, problems := parse(file{abs: b.Source.Path}, jsonToYAML(text))
	for _, d := range documents {
		problems = append(problems, d.result()...)
	}
	return problems, nil
}

// jsonToYAML escapes the characters that JSON allows in a text and YAML does not; but for these, JSON is YAML.
func jsonToYAML(text []byte) []byte {
	var out strings.Builder
	for _, r := range string(text) {
		if unicode.IsControl(r) || unicode.Is(unicode.Noncharacter_Code_Point, r) && r <= 0xffff || r == '\ufeff' {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return []byte(out.String())
}
