package manifests

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/scalar"
)

const (
	proxyField  = "spec.credProxy."
	routesField = proxyField + "routes"
)

func (d *document) validateCredProxy() {
	proxy := d.bottle.Spec.CredProxy
	d.validatePath(proxyField+"caBundle", proxy.CABundle)
	if d.given(routesField) && len(proxy.Routes) == 0 {
		d.report(routesField, "the list is empty", "add a route, or remove spec.credProxy")
	}
	for _, p := range route.Check(proxy.Routes, proxyFields{d}, proxyField, d.private) {
		d.report(p.Field, p.Reason, p.Fix)
	}
}

// proxyFields are the fields below spec.credProxy.
type proxyFields struct{ d *document }

// Has implements route.Fields.
func (f proxyFields) Has(field string) bool {
	_, there := f.d.positions[proxyField+field]
	return there
}

// Usable implements route.Fields.
func (f proxyFields) Usable(field string) bool { return f.d.given(proxyField + field) }

// isSecretField tells the fields that people put secrets into by mistake: their values are never shown.
func isSecretField(field string) bool {
	return strings.HasPrefix(field, routesField) && (strings.HasSuffix(field, ".token") || strings.Contains(field, ".token.")) ||
		strings.HasPrefix(field, legacyRoutesField) && strings.HasSuffix(field, ".token_ref")
}

// refuseLiteral reports a token that is not a reference.
func (d *document) refuseLiteral(n *yaml.Node, field string) {
	if n.Kind == yaml.ScalarNode {
		d.mismatch(n, field, "a secret must not be written into a manifest", scalar.SecretFix)
		return
	}
	d.mismatch(n, field, "a mapping is expected, found "+d.describe(n, field), "write {env: NAME} or {file: PATH}")
}
