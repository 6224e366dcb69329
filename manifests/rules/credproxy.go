package rules

import (
	"net/netip"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

func validateCredProxy(d *parse.Document, private []netip.Prefix) {
	proxy := d.Bottle.Spec.CredProxy
	validatePath(d, v1alpha1.CredProxyField+".caBundle", proxy.CABundle)
	if d.Given(v1alpha1.RoutesField) && len(proxy.Routes) == 0 {
		d.Report(v1alpha1.RoutesField, "the list is empty", "add a route, or remove spec.credProxy")
	}
	for _, p := range route.Check(proxy.Routes, credProxyFields{d}, v1alpha1.CredProxyField+".", private) {
		d.Report(p.Field, p.Reason, p.Fix)
	}
}

// credProxyFields are the fields below spec.credProxy.
type credProxyFields struct{ d *parse.Document }

// Has implements route.Fields.
func (f credProxyFields) Has(field string) bool {
	return f.d.Has(v1alpha1.CredProxyField + "." + field)
}

// Usable implements route.Fields.
func (f credProxyFields) Usable(field string) bool {
	return f.d.Given(v1alpha1.CredProxyField + "." + field)
}
