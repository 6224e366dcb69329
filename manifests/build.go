package manifests

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/scalar"
)

const buildField = agentField + ".build"

// defaultDockerfile is the Dockerfile of a build that names none.
const defaultDockerfile = "Dockerfile"

var buildNetworks = []string{string(BuildNetworkNone), string(BuildNetworkDefault)}

// validateImage judges where the agent's image comes from.
func (d *document) validateImage(agent *Agent) {
	_, image := d.positions[agentField+".image"]
	_, build := d.positions[buildField]
	const fix = "write either image: NAME:TAG or build: {context: DIRECTORY}"
	switch {
	case d.given(agentField) && !image && !build:
		d.report(agentField, "it has no image", fix)
	case image && build:
		d.report(agentField, "image and build are both given", fix)
	}
	if f := checkImage(agent.Image); f != nil && d.given(agentField+".image") {
		d.report(agentField+".image", f.Reason, f.Fix)
	}
	if agent.Build != nil && d.given(buildField) {
		d.validateBuild(agent.Build)
	}
}

func (d *document) validateBuild(b *Build) {
	if d.validatePath(buildField+".context", b.Context) {
		if f := checkContext(d.absolute(b.Context)); f != nil {
			d.report(buildField+".context", f.Reason, f.Fix)
		}
	}
	if field := buildField + ".dockerfile"; d.given(field) {
		if f := checkDockerfile(b.Dockerfile); f != nil {
			d.report(field, f.Reason, f.Fix)
		}
	}
	if field := buildField + ".network"; d.given(field) && !slices.Contains(buildNetworks, string(b.Network)) {
		d.report(field, scalar.Quote(string(b.Network))+" is no network of a build", scalar.SuggestOneOf(string(b.Network), buildNetworks))
	}
}

// CheckBuildContext says why a directory of the host, by its real path, must not be a build context. What a manifest says was
// checked as text; the path may lead through symbolic links.
func CheckBuildContext(realPath string) error {
	if f := checkContext(realPath); f != nil {
		return errors.New(f.Reason + "; " + f.Fix)
	}
	return nil
}

func checkContext(dir string) *scalar.Fault {
	dir = filepath.ToSlash(filepath.Clean(dir))
	if slices.Contains(wholeSources, dir) || isBelow(dir, closedSources) {
		return scalar.NewFault("from "+scalar.Quote(dir)+" the host's own files could get into the image", "name a directory with nothing in it but what the image is made of")
	}
	return nil
}

func checkDockerfile(name string) *scalar.Fault {
	const fix = "write a path relative to the context, like Dockerfile or docker/agent.Dockerfile"
	switch clean := path.Clean(name); {
	case name == "":
		return scalar.NewFault("the path is empty", fix)
	case path.IsAbs(name):
		return scalar.NewFault("the path "+scalar.Quote(name)+" is not relative to the context", fix)
	case clean == ".." || strings.HasPrefix(clean, "../"):
		return scalar.NewFault(scalar.Quote(name)+" leads out of the context", "put the Dockerfile into the context")
	case clean != name || clean == ".":
		return scalar.NewFault("the path "+scalar.Quote(name)+" is not clean", fix)
	}
	return nil
}

// complete fills in defaults.
func (b *Build) complete(d *document) {
	b.Context = d.absolute(b.Context)
	if b.Dockerfile == "" {
		b.Dockerfile = defaultDockerfile
	}
	if b.Network == "" {
		b.Network = BuildNetworkNone
	}
}

// Source is the build as its context is read.
func (b *Build) Source() buildcontext.Source {
	return buildcontext.Source{Dir: b.Context, Dockerfile: b.Dockerfile, Network: string(b.Network)}
}

// context is the directory that the agent's image is built from, "" where there is none that anything is ever built from.
func (d *document) context() string {
	agent := d.bottle.Spec.Agent
	if agent == nil || agent.Build == nil || agent.Build.Context == "" || !d.given(buildField+".context") {
		return ""
	}
	dir := d.absolute(agent.Build.Context)
	if checkContext(dir) != nil {
		return ""
	}
	return dir
}

// refuseTokensInContexts reports builds with a token of any bottle among their files: it could get into an image. That goes for
// one that .dockerignore leaves out, too, since nobody thinks of tokens who edits that.
func refuseTokensInContexts(documents []*document) {
	var tokens []tokenFile
	for _, d := range documents {
		if len(d.problems) == 0 {
			tokens = append(tokens, d.tokenFiles()...)
		}
	}
	for _, d := range documents {
		dir := d.context()
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
				d.report(buildField+".context", t.field+" of the bottle at "+t.where+" is a file in it, which could get into the image", "move the token or the context")
			}
		}
	}
}

// tokenFile is a file that a document names as a token.
type tokenFile struct {
	field, where string
	trace        []safepath.Location
}

func (d *document) tokenFiles() []tokenFile {
	if d.bottle.Spec.CredProxy == nil {
		return nil
	}
	var tokens []tokenFile
	for i, r := range d.bottle.Spec.CredProxy.Routes {
		if r.Token.File == "" {
			continue
		}
		if trace, _, err := safepath.Trace(d.absolute(r.Token.File)); err == nil {
			tokens = append(tokens, tokenFile{elementOf(routesField, i) + ".token", fmt.Sprintf("%s:%d", d.file.path, d.bottle.Source.Line), trace})
		}
	}
	return tokens
}
