package manifests

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// validate validates the values of a decoded document. Fields that are missing or have the wrong form have
// their problems already.
func (d *document) validate() {
	d.validateMetadata()
	d.validateEgress()
	if d.bottle.Spec.CredProxy != nil {
		d.validateCredProxy()
	}
	if d.bottle.Spec.Agent != nil {
		d.validateAgent()
	}
}

func (d *document) validateMetadata() {
	const field = "metadata.name"
	if name := d.bottle.Metadata.Name; d.given(field) && !isName(name) {
		d.report(field, nameFault(name), nameFix(name))
	}
	labels := d.bottle.Metadata.Labels
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		d.validateLabel(fieldOf("metadata.labels", key), key, labels[key])
	}
}

func nameFault(name string) string {
	if len(name) > 40 {
		return fmt.Sprintf("the name has %d characters, more than 40", len(name))
	}
	return "the name " + scalar.Quote(name) + " is not a DNS label"
}

func nameFix(name string) string {
	fix := "use lower-case letters, digits and inner dashes, at most 40 characters"
	candidate := strings.Trim(strings.NewReplacer("_", "-", ".", "-", " ", "-").Replace(strings.ToLower(name)), "-")
	if isName(candidate) && scalar.SecretKind(name) == "" {
		fix += ", like " + candidate
	}
	return fix
}

func (d *document) validateLabel(field, key, value string) {
	switch {
	case strings.HasPrefix(key, "bottled."):
		d.report(field, "keys that begin with bottled. are reserved for bottled's own labels", "choose another key")
	case !labelKeyPattern.Matches(key):
		d.report(field, "the label key is not valid", "use at most 63 letters, digits, dots, dashes and underscores, after an optional DNS name and a slash: example.com/team")
	}
	if d.given(field) && !labelValuePattern.Matches(value) {
		d.report(field, "the label value "+scalar.Quote(value)+" is not valid", "use at most 63 letters, digits, dots, dashes and underscores, with a letter or digit at both ends")
	}
}

// complete fills in defaults and brings values to one form. It is called for documents without problems.
func (d *document) complete() {
	spec := &d.bottle.Spec
	for i, host := range spec.Egress.Allowlist {
		spec.Egress.Allowlist[i] = scalar.CanonicalHost(host)
	}
	if proxy := spec.CredProxy; proxy != nil {
		proxy.CABundle = d.absolute(proxy.CABundle)
		for i := range proxy.Routes {
			r := &proxy.Routes[i]
			r.SetDefaults()
			r.Token.File = d.absolute(r.Token.File)
		}
	}
	if agent := spec.Agent; agent != nil {
		if agent.Build != nil {
			agent.Build.complete(d)
		}
		for i := range agent.Mounts {
			agent.Mounts[i].Source = d.absolute(agent.Mounts[i].Source)
		}
	}
}

// absolute resolves a path against the directory of the manifest.
func (d *document) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.file.abs), path)
}

// validatePath validates the path of a file of the host, and tells whether it is usable.
func (d *document) validatePath(field, path string) bool {
	if !d.given(field) {
		return false
	}
	if f := scalar.CheckFilePath(path); f != nil {
		d.report(field, f.Reason, f.Fix)
		return false
	}
	return true
}
