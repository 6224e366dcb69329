package parse

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Foreign classifies a document that is not a bottle.
type Foreign int

// OtherKind is a document with another apiVersion and kind, like a Kubernetes object. Unlabelled is anything else, like a package.json;
// it may also be a bottle that lost its first lines.
const (
	Ours Foreign = iota
	OtherKind
	Unlabelled
)

// checkHeader reports what is wrong with apiVersion and kind, and whether the document means to be
// a bottle: at least one of the two says so.
func (d *Document) checkHeader() bool {
	version, kind := only(d.root, "apiVersion"), only(d.root, "kind")
	versionRight, kindRight := isExactly(version, v1alpha1.APIVersion), isExactly(kind, v1alpha1.Kind)
	if !versionRight && !kindRight {
		d.reportForeign(version, kind)
		d.Foreign = d.foreign(version, kind)
		return false
	}
	d.checkVersionAndKind(v1alpha1.Kind)
	return true
}

// checkVersionAndKind reports an apiVersion and a kind that are not those of the documents of a kind.
func (d *Document) checkVersionAndKind(want string) {
	version, kind := only(d.root, "apiVersion"), only(d.root, "kind")
	reason := fmt.Sprintf("no kind %s is known in version %s", headerText(kind), headerText(version))
	if isTextNode(version) && version.Value != v1alpha1.APIVersion {
		d.reportAt(positionOf(version), "apiVersion", reason, "write apiVersion: "+v1alpha1.APIVersion)
	}
	if isTextNode(kind) && kind.Value != want {
		d.reportAt(positionOf(kind), "kind", reason, "write kind: "+want)
	}
}

// meansPolicy reports whether a document is a policy, or one with a typing error. One of another vendor is none.
func (d *Document) meansPolicy() bool {
	version, kind := only(d.root, "apiVersion"), only(d.root, "kind")
	if !isTextNode(kind) || scalar.Closest(kind.Value, []string{v1alpha1.Kind, v1alpha1.PolicyKind}) != v1alpha1.PolicyKind {
		return false
	}
	return !isTextNode(version) || isAlmost(version.Value, v1alpha1.APIVersion)
}

// foreign classifies a document without a valid header: somebody else's, or a bottle with a typing error or a missing line.
func (d *Document) foreign(version, kind *yaml.Node) Foreign {
	labelled := isTextNode(version) && isTextNode(kind)
	switch {
	case isTextNode(version) && isAlmost(version.Value, v1alpha1.APIVersion), isTextNode(kind) && isAlmost(kind.Value, v1alpha1.Kind):
		return Ours
	case !labelled && only(d.root, "spec") != nil:
		return Ours
	case labelled:
		return OtherKind
	}
	return Unlabelled
}

// isAlmost compares what stands before the version.
func isAlmost(value, want string) bool {
	value, _, _ = strings.Cut(value, "/")
	want, _, _ = strings.Cut(want, "/")
	return scalar.Closest(value, []string{want}) != ""
}

func (d *Document) reportForeign(version, kind *yaml.Node) {
	fix := fmt.Sprintf("write apiVersion: %s and kind: %s, or move this document out of the directory", v1alpha1.APIVersion, v1alpha1.Kind)
	if version != nil && kind != nil {
		d.reportAt(positionOf(kind), "kind", fmt.Sprintf("no kind %s is known in version %s", headerText(kind), headerText(version)), fix)
		return
	}
	if version == nil {
		d.reportAt(positionOf(d.root), "apiVersion", "it is missing, or given twice", fix)
	} else {
		d.reportAt(positionOf(version), "apiVersion", "version "+headerText(version)+" is not known", fix)
	}
	if kind == nil {
		d.reportAt(positionOf(d.root), "kind", "it is missing, or given twice", fix)
	} else {
		d.reportAt(positionOf(kind), "kind", "kind "+headerText(kind)+" is not known", fix)
	}
}

func isTextNode(n *yaml.Node) bool { return n != nil && isText(n) }

func isExactly(n *yaml.Node, want string) bool { return isTextNode(n) && n.Value == want }

func headerText(n *yaml.Node) string {
	if n == nil {
		return `""`
	}
	if !isText(n) {
		return "(" + describe(n) + ")"
	}
	return scalar.Quote(n.Value)
}
