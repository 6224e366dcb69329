package parse

import (
	"strings"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// spelled is a field as the file has it.
func (d *Document) spelled(field string) string {
	legacy := v1alpha1.LegacyField(field)
	if _, there := d.positions[legacy]; !there {
		return strings.TrimSuffix(legacy, "[0]") // a single text instead of a list
	}
	return legacy
}

// spell says a problem in the words of claude-bottle's files.
func (d *Document) spell(p *Problem) {
	p.Field = d.spelled(p.Field)
	p.Reason, p.Fix = legacyWords.Replace(p.Reason), legacyWords.Replace(p.Fix)
}

// legacyWords are what problems say of a manifest that is otherwise in such a file.
var legacyWords = strings.NewReplacer(
	"spec.credProxy", "cred_proxy",
	"variable or a file that a route names: token: {env: NAME} or {file: PATH}", "variable that a route names: token_ref: NAME",
	"the token is found with token", "the token is found with token_ref",
	"set insecureUpstream: true for this route", "replace this file by a manifest with insecureUpstream: true for this route",
	"list the ranges under privateCIDRs and the host names here", "list the host names; a manifest may list the ranges under privateCIDRs",
	" is an address outside of privateCIDRs", " is an address, not a host name",
	"add the address's range to spec.egress.privateCIDRs", "replace this file by a manifest with the address's range in spec.egress.privateCIDRs",
)
