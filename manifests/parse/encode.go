package parse

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Encode writes a bottle as people would: in the order of the reference, in YAML that needs few quotes, below lines of comments.
func Encode(b v1alpha1.Bottle, comments []string) ([]byte, error) {
	root, err := NodeOf(b)
	if err != nil {
		return nil, err
	}
	unquote(root)
	var out bytes.Buffer
	for _, line := range comments {
		out.WriteString(comment(line))
	}
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

// NodeOf returns the node of what encoding/json makes of a value. Keys keep their order.
func NodeOf(v any) (*yaml.Node, error) {
	text, err := toJSON(v)
	if err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, err
	}
	return root.Content[0], nil
}

// DoubleQuoted returns a text in double quotes, as JSON and YAML have it.
func DoubleQuoted(text string) (string, error) {
	quoted, err := toJSON(text)
	return string(quoted), err
}

// toJSON is JSON that is YAML, too.
func toJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return jsonToYAML(bytes.TrimSuffix(out.Bytes(), []byte("\n"))), nil
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

// comment makes sure that nothing in the text ends the comment.
func comment(text string) string {
	printable := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
	return strings.TrimRight("# "+printable, " \t") + "\n"
}

// unquote takes JSON's quotes and braces off where YAML can do without, and empty mappings out.
func unquote(n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		n.Style = 0
		n.Content = withoutEmpty(n.Content)
	case yaml.SequenceNode:
		n.Style = 0
	case yaml.ScalarNode:
		if isPlainText(n) {
			n.Style = 0
		}
	default:
	}
	for i, child := range n.Content {
		unquote(child)
		if n.Kind == yaml.MappingNode && i%2 == 1 && isShort(n.Content[i-1].Value) {
			child.Style = yaml.FlowStyle
		}
	}
}

// isShort reports whether a field is written on one line.
func isShort(key string) bool { return key == "token" || key == "roles" }

func isPlainText(n *yaml.Node) bool { return n.Tag == strTag && IsPlainText(n.Value) }

// IsPlainText reports whether every reader of YAML takes a text for text without quotes, in any place.
func IsPlainText(text string) bool {
	plain := yaml.Node{Kind: yaml.ScalarNode, Value: text}
	return plainTextPattern.Matches(text) && plain.ShortTag() == strTag && !isOldBool(text)
}

// withoutEmpty leaves out of a mapping's keys and values what only stands there because Go's JSON leaves out no empty structs.
func withoutEmpty(content []*yaml.Node) []*yaml.Node {
	var kept []*yaml.Node
	for i := 0; i+1 < len(content); i += 2 {
		key, value := content[i], content[i+1]
		if value.Kind == yaml.MappingNode && len(value.Content) == 0 && key.Value != "spec" {
			continue
		}
		kept = append(kept, key, value)
	}
	return kept
}
