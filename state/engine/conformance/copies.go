package conformance

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"

	"github.com/bot-bottle/bottled/state/engine"
)

// copies: files that go to a container and come back.
func copies(r *run) {
	n := r.network("copies", 0)
	id := r.start(r.container("c", n.Name))
	tree := map[string]string{"tree/": "", "tree/a": "first", "tree/b/": "", "tree/b/c": "second"}
	r.must(r.Engine.CopyTo(r.Context(), id, "/copied", archiveOf(r, "tree/", "tree/a", "tree/b/", "tree/b/c")(tree)))
	r.copied(id, "/copied", map[string]string{"copied/": "", "copied/a": "first", "copied/b/": "", "copied/b/c": "second"})
	r.copied(id, "/copied/b/c", map[string]string{"c": "second"})
	// Into a directory that is there, under its own name; and over a file.
	r.must(r.Engine.CopyTo(r.Context(), id, "/copied/b", archiveOf(r, "new")(map[string]string{"new": "third"})))
	r.must(r.Engine.CopyTo(r.Context(), id, "/copied/a", archiveOf(r, "other")(map[string]string{"other": "fourth"})))
	r.copied(id, "/copied", map[string]string{"copied/": "", "copied/a": "fourth", "copied/b/": "", "copied/b/c": "second", "copied/b/new": "third"})
	for _, path := range []string{"/none", "/copied/none"} {
		_, err := r.Engine.CopyFrom(r.Context(), id, path)
		r.want(err, engine.ErrNotFound)
	}
	r.want(r.Engine.CopyTo(r.Context(), id, "/none/x", archiveOf(r, "x")(map[string]string{"x": ""})), engine.ErrNotFound)
}

// archiveOf makes an archive with entries in an order; those whose names end with a slash are directories.
func archiveOf(r *run, order ...string) func(map[string]string) io.Reader {
	return func(content map[string]string) io.Reader {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range order {
			header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content[name]))}
			if name[len(name)-1] == '/' {
				header.Typeflag, header.Mode = tar.TypeDir, 0o755
			}
			r.must(w.WriteHeader(header))
			_, err := io.WriteString(w, content[name])
			r.must(err)
		}
		r.must(w.Close())
		return &b
	}
}

// copied expects an archive of a container's path.
func (r *run) copied(id, path string, want map[string]string) {
	r.Helper()
	archive, err := r.Engine.CopyFrom(r.Context(), id, path)
	r.must(err)
	defer archive.Close()
	got := map[string]string{}
	for t := tar.NewReader(archive); ; {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		r.must(err)
		content, err := io.ReadAll(t)
		r.must(err)
		name := header.Name
		if header.Typeflag == tar.TypeDir && name[len(name)-1] != '/' {
			name += "/"
		}
		got[name] = string(content)
	}
	if !maps.Equal(got, want) {
		r.Errorf("%s holds %v, want %v", path, got, want)
	}
}
