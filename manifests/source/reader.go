package source

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

const (
	// What is wrong in a file that changed less than this ago may be wrong because it is only half-written.
	settle = 500 * time.Millisecond
	// A bottle that was declared and is in no file now may be moving from one to another for this long.
	grace = 2 * time.Second
)

// Reader reads the manifests again and again, and bridges the moments in which files are half-written or missing. It is for one
// goroutine at a time.
type Reader struct {
	Paths []string         // as for Load
	Now   func() time.Time // nil: time.Now
	// Known is what earlier processes knew before the first Read, and what the last one said afterwards.
	Known Known

	bottles  []v1alpha1.Bottle        // of the last snapshot
	policy   *v1alpha1.ApprovalPolicy // of the last snapshot
	noPolicy time.Time                // when it was seen first that no file declares it; zero while one does
	missing  map[string]time.Time     // slugs of those bottles that no file declares, and when that was seen first
	faulty   map[string]time.Time     // files that had problems, and when it was seen first that they have none; zero while they have
}

// Read reads the manifests as Load does, with these differences:
//
// A file that has problems and changed less than 500 ms ago is not believed yet. Its problems are withheld, with those of other
// files about the same bottles; its bottles stay as they were in the last snapshot, and new ones wait.
//
// A bottle that was in the last snapshot and is in no file now stays as it was for 2 s.
//
// Snapshot.Unsettled names the files whose problems are withheld, and for 2 s those whose problems are gone: what they were
// about may be missing for a moment only.
//
// With again > 0, another Read after that time may have another result though nothing changes. An error is as of Load; what
// is known is kept for the next Read.
func (r *Reader) Read() (s Snapshot, again time.Duration, err error) {
	s, err = LoadKnowing(r.Known, r.Paths...)
	if err != nil {
		r.restart()
		return Snapshot{}, 0, err
	}
	n := reading{Snapshot: s, now: time.Now()}
	if r.Now != nil {
		n.now = r.Now()
	}
	r.awaitRepaired(&n)
	n.withhold()
	r.carryOver(&n)
	r.carryPolicyOver(&n)
	n.finish()
	r.bottles = slices.Clone(n.Bottles)
	r.Known = Known{Writable: n.Writable, Sources: n.sources}
	for _, b := range r.bottles {
		r.Known.Sources[b.Metadata.Name] = b.Source.Path
	}
	return n.Snapshot, n.again, nil
}

// restart gives everything that is missing its whole time again: while nothing can be read, it can't come back.
func (r *Reader) restart() {
	clear(r.missing)
	for path := range r.faulty {
		r.faulty[path] = time.Time{}
	}
}

// awaitRepaired keeps the files whose problems are gone among the unsettled ones for a while: with its content, a file
// that is being written loses the problems for which nothing was pruned.
func (r *Reader) awaitRepaired(n *reading) {
	now := map[string]time.Time{}
	for _, p := range n.Problems {
		now[p.File] = time.Time{}
	}
	for path, since := range r.faulty {
		if _, still := now[path]; still {
			continue
		}
		if since.IsZero() {
			since = n.now
		}
		if n.await(since.Add(grace)) {
			now[path] = since
			n.Unsettled = append(n.Unsettled, path)
		}
	}
	r.faulty = now
}

// carryOver adds the bottles of the last snapshot that are not to be let go yet.
func (r *Reader) carryOver(n *reading) {
	missing := map[string]time.Time{}
	invalid := n.InvalidSlugs()
	declared := map[string]bool{}
	for _, b := range n.Bottles {
		declared[b.Metadata.Name] = true
	}
	for _, b := range r.bottles {
		slug := b.Metadata.Name
		if declared[slug] || invalid[slug] {
			continue
		}
		since, known := r.missing[slug]
		if !known {
			since = n.now
		}
		if n.slugs[slug] || n.fresh[b.Source.Path] || n.await(since.Add(grace)) {
			missing[slug] = since
			n.Bottles = append(n.Bottles, b)
		}
	}
	r.missing = missing
}

// carryPolicyOver keeps the policy of the last snapshot for a while when no file declares one: without it, the rules of the bottles would
// approve all that they say. In a place that is not read any more, it approves nothing.
func (r *Reader) carryPolicyOver(n *reading) {
	switch {
	case n.Policy != nil || r.policy == nil:
		r.noPolicy = time.Time{}
	case n.isUnread(r.policy.Source.Path):
		n.Policy = v1alpha1.ApproveNothing()
		n.Policy.Source = r.policy.Source
	default:
		if r.noPolicy.IsZero() {
			r.noPolicy = n.now
		}
		if n.await(r.noPolicy.Add(grace)) {
			n.Policy = r.policy
		}
	}
	r.policy = n.Policy
}

// isUnread reports whether a file is in a place that was not searched.
func (n *reading) isUnread(path string) bool {
	return path != "" && slices.ContainsFunc(n.Unread, func(u Unread) bool {
		return path == u.Abs || strings.HasPrefix(path, u.Abs+string(filepath.Separator))
	})
}

// reading is a snapshot while a Reader works on it.
type reading struct {
	Snapshot
	now   time.Time
	again time.Duration

	fresh map[string]bool // absolute paths of the files that are not believed
	slugs map[string]bool // the bottles that are declared in them
}

// await reports whether a moment is in the future, and schedules another read for it.
func (n *reading) await(t time.Time) bool {
	left := t.Sub(n.now)
	if left > 0 && (n.again == 0 || left < n.again) {
		n.again = left
	}
	return left > 0
}

// withhold takes out what fresh files say that have problems, and what other files say of the same bottles that is a
// problem: two files may declare one bottle while it moves from one to the other.
func (n *reading) withhold() {
	n.fresh, n.slugs = map[string]bool{}, map[string]bool{}
	fresh := n.freshFaulty()
	for path, abs := range fresh {
		n.fresh[abs] = true
		n.Unsettled = append(n.Unsettled, path)
	}
	for _, p := range n.Problems {
		if _, is := fresh[p.File]; is && p.Slug != "" {
			n.slugs[p.Slug] = true
		}
	}
	n.Problems = slices.DeleteFunc(n.Problems, func(p parse.Problem) bool {
		_, is := fresh[p.File]
		if n.slugs[p.Slug] {
			n.Unsettled = append(n.Unsettled, p.File)
		}
		return is || n.slugs[p.Slug]
	})
	n.Bottles = slices.DeleteFunc(n.Bottles, func(b v1alpha1.Bottle) bool {
		if n.fresh[b.Source.Path] {
			n.slugs[b.Metadata.Name] = true
		}
		return n.fresh[b.Source.Path]
	})
}

// freshFaulty finds the files that have problems and changed a moment ago: their paths as in the problems, and absolute.
func (n *reading) freshFaulty() map[string]string {
	faulty := map[string]bool{}
	for _, p := range n.Problems {
		faulty[p.File] = true
	}
	fresh := map[string]string{}
	for _, f := range n.files {
		if faulty[f.Path] && n.isFresh(f) {
			fresh[f.Path] = f.Abs
		}
	}
	return fresh
}

// isFresh reports whether a file changed a moment ago. A time far in the future says nothing; one in the near future is of a
// host whose clock is ahead.
func (n *reading) isFresh(f file) bool {
	var latest time.Time
	for _, t := range []time.Time{f.mod, f.changed} {
		if t.Sub(n.now) < settle && t.After(latest) {
			latest = t
		}
	}
	return n.await(latest.Add(settle))
}

func (n *reading) finish() {
	slices.SortFunc(n.Bottles, func(a, b v1alpha1.Bottle) int { return cmp.Compare(a.Metadata.Name, b.Metadata.Name) })
	slices.Sort(n.Unsettled)
	n.Unsettled = slices.Compact(n.Unsettled)
}

// References are the files outside the manifests that matter when a bottle is made of them: tokens, CA bundles, what the agent's
// environment is read from and, for all that is in them, the directories of build contexts as they are now. They are absolute, sorted
// and unique.
func (s Snapshot) References() []string {
	files := map[string]bool{}
	for _, b := range s.Bottles {
		for _, path := range referencesOf(b.Spec) {
			files[path] = true
		}
		if b.Spec.CredProxy == nil {
			continue
		}
		files[b.Spec.CredProxy.CABundle] = true
		for _, r := range b.Spec.CredProxy.Routes {
			files[r.Token.File] = true
		}
	}
	delete(files, "")
	return slices.Sorted(maps.Keys(files))
}

// referencesOf returns the files that a bottle's containers are made of, the build context of the agent's image among them.
func referencesOf(spec v1alpha1.Spec) []string {
	var files []string
	for _, e := range spec.Environments() {
		for _, v := range e.Env {
			files = append(files, v.File)
		}
	}
	if agent := spec.Agent; agent != nil {
		files = append(files, agent.EnvFile...)
		if agent.Build != nil {
			files = append(files, buildcontext.Directories(agent.Build.Source())...)
		}
	}
	return files
}
