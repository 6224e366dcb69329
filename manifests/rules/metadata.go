package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

func validateMetadata(d *parse.Document) {
	const field = "metadata.name"
	if name := d.Bottle.Metadata.Name; d.Given(field) && !v1alpha1.IsName(name) {
		d.Report(field, nameFault(name), nameFix(name))
	}
	labels := d.Bottle.Metadata.Labels
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		validateLabel(d, scalar.FieldOf("metadata.labels", key), key, labels[key])
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
	if v1alpha1.IsName(candidate) && scalar.SecretKind(name) == "" {
		fix += ", like " + candidate
	}
	return fix
}

func validateLabel(d *parse.Document, field, key, value string) {
	switch {
	case strings.HasPrefix(key, "bottled."):
		d.Report(field, "keys that begin with bottled. are reserved for bottled's own labels", "choose another key")
	case !labelKeyPattern.Matches(key):
		d.Report(field, "the label key is not valid", "use at most 63 letters, digits, dots, dashes and underscores, after an optional DNS name and a slash: example.com/team")
	}
	if d.Given(field) && !labelValuePattern.Matches(value) {
		d.Report(field, "the label value "+scalar.Quote(value)+" is not valid", "use at most 63 letters, digits, dots, dashes and underscores, with a letter or digit at both ends")
	}
}
