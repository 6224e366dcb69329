package manifests

import (
	"net/netip"

	"github.com/bot-bottle/bottled/manifests/route"
)

func validateCredProxy(d *document, private []netip.Prefix) {
	proxy := d.bottle.Spec.CredProxy
	validatePath(d, credProxyField+".caBundle", proxy.CABundle)
	if d.given(routesField) && len(proxy.Routes) == 0 {
		d.report(routesField, "the list is empty", "add a route, or remove spec.credProxy")
	}
	for _, p := range route.Check(proxy.Routes, credProxyFields{d}, credProxyField+".", private) {
		d.report(p.Field, p.Reason, p.Fix)
	}
}

// credProxyFields are the fields below spec.credProxy.
type credProxyFields struct{ d *document }

// Has implements route.Fields.
func (f credProxyFields) Has(field string) bool {
	return f.d.has(credProxyField + "." + field)
}

// Usable implements route.Fields.
func (f credProxyFields) Usable(field string) bool { return f.d.given(credProxyField + "." + field) }
