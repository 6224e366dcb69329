package rules

import (
	"errors"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// defaultDockerfile is the Dockerfile of a build that names none.
const defaultDockerfile = "Dockerfile"

var buildNetworks = []string{string(v1alpha1.BuildNetworkNone), string(v1alpha1.BuildNetworkDefault)}

// validateImage judges where the agent's image comes from.
func validateImage(d *parse.Document, agent *v1alpha1.Agent) {
	image, build := d.Has(v1alpha1.AgentField+".image"), d.Has(v1alpha1.BuildField)
	const fix = "write either image: NAME:TAG or build: {context: DIRECTORY}"
	switch {
	case d.Given(v1alpha1.AgentField) && !image && !build:
		d.Report(v1alpha1.AgentField, "it has no image", fix)
	case image && build:
		d.Report(v1alpha1.AgentField, "image and build are both given", fix)
	}
	if f := checkImage(agent.Image); f != nil && d.Given(v1alpha1.AgentField+".image") {
		d.Report(v1alpha1.AgentField+".image", f.Reason, f.Fix)
	}
	if agent.Build != nil && d.Given(v1alpha1.BuildField) {
		validateBuild(d, agent.Build)
	}
}

func validateBuild(d *parse.Document, b *v1alpha1.Build) {
	if validatePath(d, v1alpha1.BuildField+".context", b.Context) {
		if f := checkContext(absolutePath(d, b.Context)); f != nil {
			d.Report(v1alpha1.BuildField+".context", f.Reason, f.Fix)
		}
	}
	if field := v1alpha1.BuildField + ".dockerfile"; d.Given(field) {
		if f := checkDockerfile(b.Dockerfile); f != nil {
			d.Report(field, f.Reason, f.Fix)
		}
	}
	if field := v1alpha1.BuildField + ".network"; d.Given(field) && !slices.Contains(buildNetworks, string(b.Network)) {
		d.Report(field, scalar.Quote(string(b.Network))+" is no network of a build", scalar.SuggestOneOf(string(b.Network), buildNetworks))
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

// contextOf is the directory that the agent's image is built from, "" where there is none that anything is ever built from.
func contextOf(d *parse.Document) string {
	agent := d.Bottle.Spec.Agent
	if agent == nil || agent.Build == nil || agent.Build.Context == "" || !d.Given(v1alpha1.BuildField+".context") {
		return ""
	}
	dir := absolutePath(d, agent.Build.Context)
	if checkContext(dir) != nil {
		return ""
	}
	return dir
}
