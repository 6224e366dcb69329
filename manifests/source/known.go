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

// reportLost reports known bottles that no document mentions although their file still exists. A line above the front matter, a new
// pattern in an ignore file or half a manifest must not remove what runs. A bottle is forgotten, and may be pruned, only when its file
// is gone or declares other valid bottles.
func (s *Snapshot) reportLost(known Known, contents []*parsedFile, ignored []ignoredPath) {
	files := newFileIndex(contents)
	mentioned := s.mentioned()
	s.sources = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(known.Sources)) {
		path := known.Sources[name]
		f := files.find(path)
		switch {
		case mentioned[name]:
		case gone(path), f != nil && f.declaresAny():
			continue // and forgotten
		case f != nil && len(f.problems) == 0:
			s.lose(f.file.Location, name, "the file no longer declares it", "restore it, or remove the file to remove the bottle")
		case f == nil:
			if i := slices.IndexFunc(ignored, func(at ignoredPath) bool { return at.covers(path) }); i >= 0 {
				s.lose(ignored[i].Location, name, "a "+ignoreName+" now excludes it", "change its patterns, or remove the file to remove the bottle")
			}
		}
		s.sources[name] = path
	}
}

// fileIndex finds a parsed file by its path, or by another path to the same file: the directory may have been given through a link.
type fileIndex struct {
	byPath map[string]*parsedFile
	byID   map[safepath.ID]*parsedFile
}

func newFileIndex(contents []*parsedFile) fileIndex {
	index := fileIndex{map[string]*parsedFile{}, map[safepath.ID]*parsedFile{}}
	for _, f := range contents {
		index.byPath[f.file.Abs], index.byID[f.file.id] = f, f
	}
	return index
}

func (i fileIndex) find(path string) *parsedFile {
	if f := i.byPath[path]; f != nil {
		return f
	}
	found, err := resolve(path)
	if err != nil {
		return nil // nothing is known of it
	}
	return i.byID[found.id]
}

func (s *Snapshot) lose(at parse.Location, name, reason, fix string) {
	p := at.Problem(1, 1, fmt.Sprintf("bottle %q was declared here, but %s", name, reason), fix)
	p.Slug = name
	s.Problems = append(s.Problems, *p)
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
