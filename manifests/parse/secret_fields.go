package parse

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// isSecretField reports whether people put secrets into a field by mistake: its value is never shown.
func isSecretField(field string) bool {
	return strings.HasPrefix(field, v1alpha1.RoutesField) && (strings.HasSuffix(field, ".token") || strings.Contains(field, ".token.")) ||
		strings.HasPrefix(field, legacyRoutesField) && strings.HasSuffix(field, ".token_ref")
}

// refuseLiteral reports a token that is not a reference.
func (d *Document) refuseLiteral(n *yaml.Node, field string) {
	if n.Kind == yaml.ScalarNode {
		d.mismatch(n, field, "a secret must not be written into a manifest", scalar.SecretFix)
		return
	}
	d.mismatch(n, field, "a mapping is expected, found "+d.describe(n, field), "write {env: NAME} or {file: PATH}")
}
