package v1alpha1

import "github.com/bot-bottle/bottled/manifests/buildcontext"

// Source is the build as its context is read.
func (b *Build) Source() buildcontext.Source {
	return buildcontext.Source{Dir: b.Context, Dockerfile: b.Dockerfile, Network: string(b.Network)}
}
