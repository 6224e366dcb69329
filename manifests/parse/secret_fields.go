package parse

import (
	"regexp"
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
		if reason, fix := placeholder(n.Value); reason != "" {
			d.mismatch(n, field, reason, fix)
			return
		}
		d.mismatch(n, field, "a secret must not be written into a manifest", scalar.SecretFix)
		return
	}
	d.mismatch(n, field, "a mapping is expected, found "+d.describe(n, field), "write {env: NAME}, {file: PATH} or {exec: [PROGRAM, ARGUMENT, …]}")
}

var (
	variable  = regexp.MustCompile(`^\$\{?[A-Za-z_][A-Za-z0-9_]*(:?-[^}]*)?\}?$`)
	template  = regexp.MustCompile(`^(\{\{.*\}\}|<.*>|%.*%)$`)
	secretURL = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:(//|[a-z]+/)`)
)

// placeholder says what to write for something that another tool would replace by a secret; "" for anything else. It may have a secret
// in it all the same (as a default), so it is not shown.
func placeholder(value string) (reason, fix string) {
	switch {
	case scalar.SecretKind(value) != "":
	case variable.MatchString(value):
		return "it is a placeholder, but bottled does not expand manifests", "name the variable instead: token: {env: NAME}"
	case template.MatchString(value):
		return "it is a placeholder, but bottled does not expand manifests", "write {env: NAME}, {file: PATH} or {exec: [PROGRAM, ARGUMENT, …]}"
	case secretURL.MatchString(value):
		return "it is a secret manager's reference, which bottled cannot resolve by itself",
			"have the manager's tool print the secret: token: {exec: [op, read, REFERENCE]}; or have it write the secret to a file: token: {file: PATH}"
	}
	return "", ""
}
