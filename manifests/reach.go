package manifests

import (
	"fmt"
	"path/filepath"
	"strings"
)

// A manifest that an agent can write is no manifest: the agent would decide about its own limits, or
// declare a bottle without any. So nothing that lies in a directory which an agent may write counts. A
// document there that says it is a bottle is a problem; anything else is what the agent works on.

// hostFile is a directory or file of the host that a bottle names: one that its agent may write, or one with a token.
type hostFile struct {
	path, real string // absolute; without symlinks
	by         *document
	field      string
}

// withoutWritable removes what agents can write from the files read, and reports the bottles in it, and those that are built
// from it.
func withoutWritable(sources []*source) []*source {
	var places []hostFile
	for _, s := range sources {
		for _, d := range s.documents {
			places = append(places, d.writables()...)
		}
	}
	var kept []*source
	for _, s := range sources {
		for _, d := range s.documents {
			d.refuseWritableContext(places)
		}
		if s.judge(places) {
			kept = append(kept, s)
		}
	}
	return kept
}

// writables are the sources of a bottle's mounts, as far as they can be made out.
func (d *document) writables() []hostFile {
	if d.bottle.Spec.Agent == nil {
		return nil
	}
	var places []hostFile
	for i, m := range d.bottle.Spec.Agent.Mounts {
		field := elementOf(agentField+".mounts", i)
		if m.ReadOnly || m.Source == "" || !d.given(field+".source") {
			continue
		}
		place := hostFile{path: d.absolute(m.Source), by: d, field: field}
		if checkSource(place.path) != nil {
			continue // no engine ever got this mount
		}
		place.real = realPath(place.path)
		places = append(places, place)
	}
	return places
}

// realPath is a path without symlinks; of one that is not there yet, in which nothing is, the path itself.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// where names the manifest of the bottle.
func (f hostFile) where() string {
	return fmt.Sprintf("%s:%d", f.by.file.path, f.by.bottle.Source.Line)
}

// judge tells whether a file stays in the snapshot: it does when no agent can write it, or when it holds
// bottles, which then have a problem.
func (s *source) judge(places []hostFile) bool {
	for _, place := range places {
		if !isWithin(s.file.abs, place.path) && !isWithin(s.file.real, place.real) {
			continue
		}
		s.documents = bottlesOf(s.documents)
		s.problems = nil
		for _, d := range s.documents {
			d.declares = false
			d.reportAt(positionOf(d.root), wholeDocument, fmt.Sprintf("the agent of the bottle at %s can write this file, by its %s",
				place.where(), place.field), "move this file out of that directory, mount another one, or mount it with readOnly: true")
		}
		return len(s.documents) > 0
	}
	return true
}

func bottlesOf(documents []*document) []*document {
	var bottles []*document
	for _, d := range documents {
		if d.declares {
			bottles = append(bottles, d)
		}
	}
	return bottles
}

func isWithin(path, directory string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(directory, string(filepath.Separator)))
	return ok && (rest == "" || rest[0] == filepath.Separator)
}
