package rules

import (
	"slices"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// RefuseTokens reports what would bring a token of any bottle to an agent: builds with one among their files, and variables that are
// read from where one is.
func RefuseTokens(documents []*parse.Document) {
	var tokens []tokenSource
	for _, d := range documents {
		if d.IsValid() {
			tokens = append(tokens, tokenSources(d)...)
		}
	}
	if len(tokens) == 0 {
		return
	}
	for _, d := range documents {
		refuseTokensInContext(d, tokens)
		if d.IsValid() {
			refuseTokensInEnv(d, tokens)
		}
	}
}

// refuseTokensInContext reports a build with a token among its files: it could get into an image. That goes for one that .dockerignore
// leaves out, too, since nobody thinks of tokens who edits that.
func refuseTokensInContext(d *parse.Document, tokens []tokenSource) {
	dir := contextOf(d)
	if dir == "" {
		return
	}
	trace, _, err := safepath.Trace(dir)
	if err != nil {
		return // it is not built
	}
	context := trace[len(trace)-1]
	for _, t := range tokens {
		if slices.ContainsFunc(t.trace, func(l safepath.Location) bool { _, inside := l.Within(context); return inside }) {
			d.Report(v1alpha1.BuildField+".context", t.field+" of the bottle at "+t.where+" is a file in it, which could get into the image", "move the token or the context")
		}
	}
}

// tokenSource is where a route finds its token: a variable or a file.
type tokenSource struct {
	field, where string
	env          string
	trace        []safepath.Location // of a file
}

func tokenSources(d *parse.Document) []tokenSource {
	if d.Bottle.Spec.CredProxy == nil {
		return nil
	}
	var tokens []tokenSource
	for i, r := range d.Bottle.Spec.CredProxy.Routes {
		t := tokenSource{field: parse.ElementOf(v1alpha1.RoutesField, i) + ".token", where: d.Where(), env: r.Token.Env}
		if r.Token.File != "" {
			trace, _, err := safepath.Trace(absolutePath(d, r.Token.File))
			if err != nil {
				continue
			}
			t.trace = trace
		}
		tokens = append(tokens, t)
	}
	return tokens
}
