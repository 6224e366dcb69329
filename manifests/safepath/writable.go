package safepath

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
)

// Place is a directory or file that an agent can write, or could.
type Place struct {
	Path     string   `json:"path"` // without symbolic links
	Location Location `json:"-"`
	ID       ID       `json:"id"`     // zero where it does not exist yet
	Bottle   string   `json:"bottle"` // whose agent it is
	Field    string   `json:"field"`  // the field that mounts it, like spec.agent.mounts[0]
	Where    string   `json:"where"`  // the manifest that says so, for messages
	// Covered are the names of entries directly in the place that the same agent sees another mount on. It can neither rename nor
	// replace those: the kernel refuses that for a mount point (EBUSY).
	Covered []string `json:"-"`
	// Former marks a place that no agent can write any more. What lies there may still be an agent's: no manifest is read from it,
	// and no symbolic link in it is followed. The mark goes when the directory is replaced by another one.
	Former bool `json:"-"`
}

// NewPlace locates the source of a mount. The caller fills in whose it is.
func NewPlace(source string) (Place, error) {
	trace, real, err := Trace(source)
	if err != nil {
		return Place{}, err
	}
	p := Place{Path: real, Location: trace[len(trace)-1]}
	if o, err := Open(real); err == nil {
		defer o.Close()
		p.ID = o.ID
	}
	return p, nil
}

// Trace returns what Open records of a path, and the path without symbolic links. A path that does not exist yet counts as
// being where its nearest existing directory is.
func Trace(name string) (trace []Location, real string, err error) {
	rest := "."
	for at := path.Clean(name); ; at = path.Dir(at) {
		o, err := Open(at)
		switch {
		case err == nil:
			trace, real = o.Trace, path.Join(o.Real, rest)
			if rest != "." {
				trace = append(trace, o.Location().join(rest))
			}
			return trace, real, o.Close()
		case !errors.Is(err, fs.ErrNotExist) || at == "/":
			return nil, "", err
		}
		rest = path.Join(path.Base(at), rest)
	}
}

// Set is an immutable set of places that agents can write. The zero value is empty.
type Set struct {
	places []Place
	index  map[Location][]int // into places
}

// NewSet returns a set of the places.
func NewSet(places ...Place) Set { return Set{}.With(places...) }

// With returns the set with more places.
func (s Set) With(places ...Place) Set {
	all := slices.Clone(s.places)
	for _, p := range places {
		if !slices.ContainsFunc(all, p.same) {
			all = append(all, p)
		}
	}
	if len(all) == len(s.places) {
		return s
	}
	index := map[Location][]int{}
	for i, p := range all {
		index[p.Location] = append(index[p.Location], i)
	}
	return Set{places: all, index: index}
}

func (p Place) same(q Place) bool {
	return p.Location == q.Location && p.ID == q.ID && p.Bottle == q.Bottle && p.Field == q.Field && p.Where == q.Where &&
		p.Former == q.Former && slices.Equal(p.Covered, q.Covered)
}

// Places returns the elements of the set.
func (s Set) Places() []Place { return slices.Clone(s.places) }

// Equal reports whether both sets have the same places.
func (s Set) Equal(other Set) bool {
	return len(s.places) == len(other.places) && len(s.With(other.places...).places) == len(s.places)
}

// Refresh returns the set without the former places whose directory is another one now.
func (s Set) Refresh() Set {
	return NewSet(slices.DeleteFunc(s.Places(), func(p Place) bool {
		if !p.Former {
			return false
		}
		now, err := NewPlace(p.Path)
		return err != nil || now.ID != p.ID || now.Location != p.Location || p.ID == (ID{})
	})...)
}

// Recall returns the places that an earlier process knew, as former ones, as far as they are still the same directories.
func Recall(places []Place) Set {
	var found []Place
	for _, p := range places {
		if now, err := NewPlace(p.Path); err == nil {
			p.Location, p.Former = now.Location, true
			found = append(found, p)
		}
	}
	return NewSet(found...).Refresh()
}

// Crossing is a location of a path that an agent can write.
type Crossing struct {
	Place Place
	Rel   string // the location, from the place: "." for the place itself

	at Location
}

// Crossings returns every location of a trace that lies in a place, with that place. An agent can decide what a path with a
// crossing leads to.
func (s Set) Crossings(trace []Location) []Crossing {
	var found []Crossing
	for _, l := range trace {
		for at := l; ; at.Path = path.Dir(at.Path) {
			for _, i := range s.index[at] {
				rel, _ := l.Within(at)
				found = append(found, Crossing{s.places[i], rel, l})
			}
			if at.Path == "/" || len(s.index) == 0 {
				break
			}
		}
	}
	return found
}

// Writable returns the first place by which an agent could decide, or could have decided, where a trace leads or what is there.
func (s Set) Writable(trace []Location) (Place, bool) {
	if found := s.Crossings(trace); len(found) > 0 {
		return found[0].Place, true
	}
	return Place{}, false
}

// Usable reports whether no agent can write what a trace leads to. In a place that an agent could write only formerly, it is
// usable if no symbolic link there leads on. The place is the one that speaks against it.
func (s Set) Usable(trace []Location) (Place, bool) {
	return s.unless(trace, func(Crossing) bool { return false })
}

// Mountable is Usable for the source of a mount. A source may be a place itself, since agents may share a directory; and it may
// lie directly in a place where that place's agent sees a mount on it, which keeps it from being replaced.
func (s Set) Mountable(trace []Location) (Place, bool) {
	end := trace[len(trace)-1]
	return s.unless(trace, func(c Crossing) bool {
		return c.at == end && c.Rel == "." || c.Place.covers(end) && (c.at == end || c.Rel == ".")
	})
}

func (s Set) unless(trace []Location, allowed func(Crossing) bool) (Place, bool) {
	end := trace[len(trace)-1]
	for _, c := range s.Crossings(trace) {
		_, straight := end.Within(c.at)
		if allowed(c) || c.Place.Former && straight {
			continue
		}
		return c.Place, false
	}
	return Place{}, true
}

// covers reports whether the agent of the place sees a mount on the location, which is directly in the place.
func (p Place) covers(l Location) bool {
	rel, ok := l.Within(p.Location)
	return ok && filepath.Base(rel) == rel && slices.Contains(p.Covered, rel)
}

// Stat returns what a path leads to, without opening it for reading.
func Stat(name string) (fs.FileInfo, error) {
	o, err := Open(name)
	if err != nil {
		return nil, err
	}
	return o.Info, o.Close()
}

// Error says that an agent can write what a path leads to.
type Error struct {
	Path  string
	Place Place
}

func (e *Error) Error() string {
	can := "can"
	if e.Place.Former {
		can = "could"
	}
	return "the agent of bottle " + e.Place.Bottle + " " + can + " write it, through " + e.Place.Field + " (" + e.Place.Where + ")"
}

// Open opens a path that no agent must be able to write. It fails with *Error where one can.
func (s Set) Open(name string) (*Object, error) {
	o, err := Open(name)
	if err != nil {
		return nil, err
	}
	if place, usable := s.Usable(o.Trace); !usable {
		_ = o.Close() // nothing was written
		return nil, &Error{Path: name, Place: place}
	}
	return o, nil
}

// ReadFile reads a regular file of at most limit bytes that no agent can write.
func (s Set) ReadFile(name string, limit int64) ([]byte, error) {
	o, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	data, err := o.Read(limit)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}
