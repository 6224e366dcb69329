package rules

import (
	"fmt"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
)

// RefuseDuplicates adds a problem to every document whose slug another one declares too: nothing says
// which of them is meant.
func RefuseDuplicates(documents []*parse.Document) {
	bySlug := map[string][]*parse.Document{}
	for _, d := range documents {
		if d.Slug != "" && d.Declares {
			bySlug[d.Slug] = append(bySlug[d.Slug], d)
		}
	}
	for slug, same := range bySlug {
		for i, d := range same {
			if len(same) > 1 {
				d.Report("metadata.name", fmt.Sprintf("bottle %q is declared in %s too", slug, otherPlaces(same, i)), "keep one of them, or rename the others")
			}
		}
	}
}

// otherPlaces names the first few of the documents but one.
func otherPlaces(same []*parse.Document, but int) string {
	const most = 3
	var places []string
	for i, d := range same[:min(len(same), most+1)] {
		if i != but && len(places) < most {
			places = append(places, fmt.Sprintf("%s:%d", d.File.Path, d.Position("metadata.name").Line))
		}
	}
	if more := len(same) - 1 - len(places); more > 0 {
		places = append(places, fmt.Sprintf("%d more places", more))
	}
	return strings.Join(places, ", ")
}
