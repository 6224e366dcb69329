package source

import (
	"fmt"
	"maps"
	"slices"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
)

// Known is what earlier snapshots said.
type Known struct {
	// Writable are the places of the agents that were declared, also of bottles that are not declared any more.
	Writable safepath.Set
	// Sources are the files of the bottles that were valid, by name.
	Sources map[string]string
}

// files returns the traces of the manifests that were valid before.
func (k Known) files() [][]safepath.Location {
	var traces [][]safepath.Location
	for _, path := range k.Sources {
		if trace, _, err := safepath.Trace(path); err == nil {
			traces = append(traces, trace)
		}
	}
	return traces
}

// byFile returns the bottles that each file declared.
func (k Known) byFile() map[string][]string {
	names := map[string][]string{}
	for name, path := range k.Sources {
		names[path] = append(names[path], name)
	}
	return names
}

// reportLost reports the bottles whose file is still there and does not look like theirs any more: a line above the front matter, a
// new pattern in an ignore file or half a manifest must not remove what runs. What is gone, or declares other bottles that are valid,
// is meant so.
func (s *Snapshot) reportLost(known Known, contents []*parsedFile, ignored []ignoredPath) {
	lost := map[string][]string{} // names by file
	s.sources = s.remembered(known, contents)
	mentioned := s.mentioned()
	for _, name := range slices.Sorted(maps.Keys(s.sources)) {
		if path := s.sources[name]; !mentioned[name] {
			lost[path] = append(lost[path], name)
		}
	}
	for _, f := range contents {
		if len(f.problems) == 0 {
			s.lose(f.file.Location, lost[f.file.Abs], "this file does not declare it any more", "restore the file; to remove the bottle, remove the file")
		}
	}
	for path, names := range lost {
		for _, at := range ignored {
			if at.covers(path) {
				s.lose(at.Location, names, "a "+ignoreName+" leaves it out now", "change its patterns; to remove the bottle, remove the file")
			}
		}
	}
}

// remembered returns the known sources that are not to be forgotten: of the bottles that are mentioned, and those whose file is there
// and declares no other bottle.
func (s *Snapshot) remembered(known Known, contents []*parsedFile) map[string]string {
	replaced := map[string]bool{}
	for _, f := range contents {
		replaced[f.file.Abs] = f.declaresAny()
	}
	mentioned := s.mentioned()
	sources := map[string]string{}
	for name, path := range known.Sources {
		if mentioned[name] || !replaced[path] && !gone(path) {
			sources[name] = path
		}
	}
	return sources
}

func (s *Snapshot) lose(at parse.Location, names []string, reason, fix string) {
	for _, name := range names {
		p := at.Problem(1, 1, fmt.Sprintf("bottle %q was declared here, and %s", name, reason), fix)
		p.Slug = name
		s.Problems = append(s.Problems, *p)
	}
}

// mentioned returns the names of the bottles in valid documents and in others.
func (s *Snapshot) mentioned() map[string]bool {
	names := map[string]bool{}
	for _, b := range s.Bottles {
		names[b.Metadata.Name] = true
	}
	for _, p := range s.Problems {
		names[p.Slug] = true
	}
	return names
}
