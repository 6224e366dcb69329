package source

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/rules"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Snapshot is everything that a set of paths declared at one moment.
type Snapshot struct {
	Bottles []v1alpha1.Bottle // the valid ones, sorted by name
	// Policy says what may be approved without a person; nil when none is declared. Where the declared one is faulty, or there are
	// several, it approves nothing.
	Policy    *v1alpha1.ApprovalPolicy
	Problems  []parse.Problem // everything wrong in any file, sorted by file and line
	Warnings  []parse.Problem // what is risky in valid documents, sorted by file and line
	Files     int             // manifest files found
	Documents int             // documents found in them, valid or not; empty ones don't count
	// Unsettled are the files that may be half-written, sorted; a Reader sets them. Their problems are not in Problems, so
	// any bottle may hide behind them: while there is one, nothing is pruned.
	Unsettled []string
	// Unread are the directories and files that were not searched for manifests, since an agent can write there. A bottle that was
	// declared in one of them is not pruned.
	Unread []Unread
	// Foreign are the YAML and JSON files that declare nothing of bottled's, like a compose.yaml. They are not counted in Files.
	Foreign []string
	// Writable is what the bottles' agents can write, and what agents could write before.
	Writable safepath.Set

	files   []file            // what it was read from, as it was right after
	sources map[string]string // see Known; of the bottles that are not to be forgotten, though none of Bottles
}

// Directories are listed again after they were read; when they changed meanwhile, all is read anew, so
// that no snapshot is half of an old and half of a new version. A directory that never rests is taken
// as it is after so many attempts.
const maxAttempts = 4

// Load reads the manifests in the paths, which are directories (searched with everything below them) or
// single files. Whatever is wrong inside them is a Problem of the snapshot; the error is only for a path
// that is missing, can't be read or leads through a place that an agent can write, and names it. The paths may change while
// they are read.
func Load(paths ...string) (Snapshot, error) { return LoadKnowing(Known{}, paths...) }

// LoadKnowing is Load after something was loaded before: a place that an agent could write then is not read, and a new document
// does not make a known one invalid.
func LoadKnowing(known Known, paths ...string) (Snapshot, error) {
	return loadOver(known, nil, paths)
}

// Overlay is a content that a file could have.
type Overlay struct {
	Path    string // absolute, as in v1alpha1.Source
	Content []byte
}

// LoadWith is LoadKnowing as if the overlay's file had the overlay's content. A file that is not there, or is not read, stays so.
func LoadWith(known Known, overlay Overlay, paths ...string) (Snapshot, error) {
	return loadOver(known, &overlay, paths)
}

func loadOver(known Known, overlay *Overlay, paths []string) (Snapshot, error) {
	if len(paths) == 0 {
		return Snapshot{}, errors.New("no directory or file of manifests was given")
	}
	known.Writable = known.Writable.Refresh()
	for attempt := 1; ; attempt++ {
		before, snapshot, err := read(known, overlay, paths)
		if err != nil {
			return Snapshot{}, err
		}
		after := newWalk(snapshot.Writable)
		if err := after.run(paths); err != nil {
			return Snapshot{}, err
		}
		if attempt == maxAttempts || same(before, after.files) {
			snapshot.files, snapshot.Unread = after.files, after.unread
			return snapshot, nil
		}
		known.Writable = snapshot.Writable
	}
}

// InvalidSlugs are the bottles that have a faulty document and no valid one: what they should be can't be
// known, so whatever runs of them is best left alone.
func (s Snapshot) InvalidSlugs() map[string]bool {
	slugs := map[string]bool{}
	for _, p := range s.Problems {
		slugs[p.Slug] = true
	}
	delete(slugs, "")
	for _, b := range s.Bottles {
		delete(slugs, b.Metadata.Name)
	}
	return slugs
}

// UnknownDocuments are the problems behind which any bottle may hide: an unreadable file, a document
// without a readable name. While there is one, a bottle that is not in the snapshot may still be declared.
func (s Snapshot) UnknownDocuments() []parse.Problem {
	var unknown []parse.Problem
	for _, p := range s.Problems {
		if p.Slug == "" && !p.Policy {
			unknown = append(unknown, p)
		}
	}
	return unknown
}

// Notices are lines for people about what is risky in valid documents, and about what was not read.
func (s Snapshot) Notices() []string {
	var lines []string
	for _, w := range s.Warnings {
		lines = append(lines, w.Error())
	}
	for _, u := range s.Unread {
		lines = append(lines, fmt.Sprintf("%s: no manifest is read here: %s", u.Path, (&safepath.Error{Place: u.Place}).Error()))
	}
	if len(s.Foreign) > 0 {
		lines = append(lines, fmt.Sprintf("ignored because they are not bottled manifests: %s (list them in %s to silence this)", some(s.Foreign), ignoreName))
	}
	return lines
}

// some names the first few.
func some(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

// Only is the part of the snapshot that concerns one bottle.
func (s Snapshot) Only(slug string) Snapshot {
	only := Snapshot{Policy: s.Policy, Files: s.Files, Documents: s.Documents, Unread: s.Unread, Writable: s.Writable}
	for _, b := range s.Bottles {
		if b.Metadata.Name == slug {
			only.Bottles = append(only.Bottles, b)
		}
	}
	for _, p := range s.Problems {
		if p.Slug == slug {
			only.Problems = append(only.Problems, p)
		}
	}
	return only
}

// read makes a snapshot of the paths, and lists the files that it was made of.
func read(known Known, overlay *Overlay, paths []string) ([]file, Snapshot, error) {
	var contents []*parsedFile
	w := newWalk(known.Writable)
	protected, names := known.files(), known.byFile()
	w.onFile = func(f file) []safepath.Place {
		if overlay != nil && f.Abs == overlay.Path {
			f.instead = overlay
		}
		s := readContent(f, names[f.Abs])
		contents = append(contents, s)
		var places []safepath.Place
		for _, d := range s.documents {
			places = append(places, d.learn(protected)...)
		}
		return places
	}
	if err := w.run(paths); err != nil {
		return nil, Snapshot{}, err
	}
	return w.files, snapshotOf(contents, known, w.ignored), nil
}

// snapshotOf judges what was read.
func snapshotOf(contents []*parsedFile, known Known, ignored []ignoredPath) Snapshot {
	var snapshot Snapshot
	var documents []*declaration
	for _, s := range contents {
		switch {
		case s.foreign && !v1alpha1.IsMarkdown(s.file.Path):
			snapshot.Foreign = append(snapshot.Foreign, s.file.Path)
		case !s.foreign && s.file.unreachable.Reason == "":
			snapshot.Files++
		}
		documents = append(documents, s.documents...)
		snapshot.Problems = append(snapshot.Problems, s.problems...)
	}
	rules.RefuseDuplicates(plain(documents))
	rules.RefuseSeveralPolicies(plain(documents))
	snapshot.Writable = judge(documents, known)
	refuseWritablePolicies(documents, snapshot.Writable)
	rules.RefuseTokens(plain(documents))
	rules.RefusePortConflicts(plain(documents))
	snapshot.add(documents)
	snapshot.reportLost(known, contents, ignored)
	slices.Sort(snapshot.Foreign)
	parse.SortProblems(snapshot.Problems)
	parse.SortProblems(snapshot.Warnings)
	return snapshot
}

func (s *Snapshot) add(documents []*declaration) {
	s.Documents = len(documents)
	for _, d := range documents {
		switch problems := d.Problems(); {
		case len(problems) > 0:
			s.Problems = append(s.Problems, problems...)
			if d.Policy != nil {
				s.Policy = v1alpha1.ApproveNothing()
			}
		case d.Policy != nil:
			s.Policy = d.Policy
			s.Warnings = append(s.Warnings, d.Warnings...)
		default:
			s.Bottles = append(s.Bottles, d.Bottle)
			s.Warnings = append(s.Warnings, d.Warnings...)
		}
	}
	slices.SortFunc(s.Bottles, func(a, b v1alpha1.Bottle) int { return cmp.Compare(a.Metadata.Name, b.Metadata.Name) })
}
