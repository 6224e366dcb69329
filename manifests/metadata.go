package manifests

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

func validateMetadata(d *document) {
	const field = "metadata.name"
	if name := d.bottle.Metadata.Name; d.given(field) && !isName(name) {
		d.report(field, nameFault(name), nameFix(name))
	}
	labels := d.bottle.Metadata.Labels
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		validateLabel(d, fieldOf("metadata.labels", key), key, labels[key])
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

func validateLabel(d *document, field, key, value string) {
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
