package rules

import (
	"path/filepath"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Complete sets the defaults of a valid bottle and brings its values to one form. Paths are resolved against the directory of
// its manifest.
func Complete(b *v1alpha1.Bottle) {
	spec, dir := &b.Spec, filepath.Dir(b.Source.Path)
	for i := range spec.Egress.Allowlist {
		entry := &spec.Egress.Allowlist[i]
		entry.Host, entry.Until = scalar.CanonicalHost(entry.Host), entry.Until.UTC()
	}
	completeAuto(spec.Approvals)
	completeDLPExceptions(&spec.Egress)
	if proxy := spec.CredProxy; proxy != nil {
		proxy.CABundle = rootedAt(dir, proxy.CABundle)
		for i := range proxy.Routes {
			r := &proxy.Routes[i]
			r.SetDefaults()
			r.Token.File = rootedAt(dir, r.Token.File)
		}
	}
	if agent := spec.Agent; agent != nil {
		if agent.Build != nil {
			completeBuild(agent.Build, dir)
		}
		for i := range agent.EnvFile {
			agent.EnvFile[i] = rootedAt(dir, agent.EnvFile[i])
		}
		completeTmpfs(agent.Tmpfs)
		completeDevices(agent)
		for i := range agent.Mounts {
			agent.Mounts[i].Source = rootedAt(dir, agent.Mounts[i].Source)
		}
		completePorts(agent.Ports)
	}
	for _, s := range spec.Services {
		completeTmpfs(s.Tmpfs)
	}
	for _, e := range spec.Environments() {
		for name, v := range e.Env {
			v.File = rootedAt(dir, v.File)
			e.Env[name] = v
		}
	}
}

// absolutePath resolves a path against the directory of the manifest.
func absolutePath(d *parse.Document, path string) string {
	return rootedAt(filepath.Dir(d.File.Abs), path)
}

// rootedAt resolves a path against a directory; "" stays.
func rootedAt(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// completeBuild fills in defaults.
func completeBuild(b *v1alpha1.Build, dir string) {
	b.Context = rootedAt(dir, b.Context)
	if b.Dockerfile == "" {
		b.Dockerfile = defaultDockerfile
	}
	if b.Network == "" {
		b.Network = v1alpha1.BuildNetworkNone
	}
}
