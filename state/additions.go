package state

import (
	"maps"
	"slices"
	"strings"
)

// Additions are settings that a new version of bottled gives to the containers that it creates. A container that an earlier version
// made is left without them, or with its own ones, until it is replaced for another reason: an update of bottled must not interrupt an
// agent's work.
type Additions struct {
	Init bool `json:",omitempty"` // an init as PID 1, which reaps orphans
	// QuickDNS has programs give up soon on names that don't resolve. Docker does not answer for them: they would wait for 20 s.
	QuickDNS bool `json:",omitempty"`
	// Launcher is a read-only mount of bottled's executable at contract.LauncherPath. It starts the programs that get a terminal, on engines
	// that can't give a terminal its size before its program runs (Docker before 23); others leave it out.
	Launcher bool `json:",omitempty"`
	// Env takes precedence over Container.Env, but not over the image: see NewEnv.
	Env  map[string]string `json:",omitempty"`
	Home []HomeFile        `json:",omitempty"` // written after Container.Home; all of them are Optional
}

// AddEnv adds variables to the Additions.
func (c *Container) AddEnv(env map[string]string) {
	if c.Additions.Env == nil && len(env) > 0 {
		c.Additions.Env = map[string]string{}
	}
	maps.Copy(c.Additions.Env, env)
}

// HomeFiles are the files of the container and its Additions.
func (c Container) HomeFiles() []HomeFile { return slices.Concat(c.Home, c.Additions.Home) }

// NewEnv returns the environment with which a container is created, and its labels: with LabelAdded if it has additions. image is the
// environment of its image. What that sets is left alone by additions, unless Env overrides it anyway: an image knows its programs.
func (c Container) NewEnv(image map[string]string) (env, labels map[string]string) {
	env, labels = map[string]string{}, map[string]string{}
	maps.Copy(env, c.Env)
	maps.Copy(labels, c.Labels)
	for name, value := range c.Additions.Env {
		_, declared := c.Env[name]
		if _, inImage := image[name]; declared || !inImage {
			env[name] = value
		}
	}
	base := map[string]string{}
	maps.Copy(base, image)
	maps.Copy(base, c.Env)
	added := map[string]string{}
	for name, value := range env {
		if before, ok := base[name]; !ok || before != value {
			added[name] = value
		}
	}
	if len(added) > 0 {
		labels[LabelAdded] = addedLabel(added)
	}
	return env, labels
}

// addedLabel is the digest of variables, and their names.
func addedLabel(added map[string]string) string {
	return DigestJSON(added) + ":" + strings.Join(slices.Sorted(maps.Keys(added)), ",")
}

// WithoutAdditions returns the environment of an existing container without what was added when it was created, by whichever
// version of bottled. declared is what it has by its declaration and its image.
func WithoutAdditions(env, labels, declared map[string]string) map[string]string {
	_, names, _ := strings.Cut(labels[LabelAdded], ":")
	added, without := map[string]string{}, maps.Clone(env)
	for name := range strings.SplitSeq(names, ",") {
		if value, ok := env[name]; ok {
			added[name] = value
		}
		delete(without, name)
		if value, ok := declared[name]; ok {
			without[name] = value
		}
	}
	if labels[LabelAdded] != addedLabel(added) {
		return env // somebody else changed them
	}
	return without
}
