package rules

import (
	"slices"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// RefuseTokensInContexts reports builds with a token of any bottle among their files: it could get into an image. That goes for
// one that .dockerignore leaves out, too, since nobody thinks of tokens who edits that.
func RefuseTokensInContexts(documents []*parse.Document) {
	var tokens []tokenFile
	for _, d := range documents {
		if d.IsValid() {
			tokens = append(tokens, tokenFiles(d)...)
		}
	}
	for _, d := range documents {
		dir := contextOf(d)
		if dir == "" || len(tokens) == 0 {
			continue
		}
		trace, _, err := safepath.Trace(dir)
		if err != nil {
			continue // it is not built
		}
		context := trace[len(trace)-1]
		for _, t := range tokens {
			if slices.ContainsFunc(t.trace, func(l safepath.Location) bool { _, inside := l.Within(context); return inside }) {
				d.Report(v1alpha1.BuildField+".context", t.field+" of the bottle at "+t.where+" is a file in it, which could get into the image", "move the token or the context")
			}
		}
	}
}

// tokenFile is a file that a document names as a token.
type tokenFile struct {
	field, where string
	trace        []safepath.Location
}

func tokenFiles(d *parse.Document) []tokenFile {
	if d.Bottle.Spec.CredProxy == nil {
		return nil
	}
	var tokens []tokenFile
	for i, r := range d.Bottle.Spec.CredProxy.Routes {
		if r.Token.File == "" {
			continue
		}
		if trace, _, err := safepath.Trace(absolutePath(d, r.Token.File)); err == nil {
			tokens = append(tokens, tokenFile{parse.ElementOf(v1alpha1.RoutesField, i) + ".token", d.Where(), trace})
		}
	}
	return tokens
}
