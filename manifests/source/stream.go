package source

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"

	"github.com/bot-bottle/bottled/manifests/parse"
)

// maxStreamSize is the size in bytes above which a stream of manifests is refused: more than 10,000 manifests.
const maxStreamSize = 16 << 20

// LoadStream reads manifests from a stream of YAML or JSON documents instead of files. name stands for the stream in messages, and relative
// paths in the manifests are below dir. An error is one of reading; what is wrong in the manifests is a Problem of the snapshot.
func LoadStream(known Known, r io.Reader, name, dir string) (Snapshot, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxStreamSize+1))
	switch {
	case err != nil:
		return Snapshot{}, fmt.Errorf("read manifests from %s: %w", name, err)
	case len(data) > maxStreamSize:
		return Snapshot{}, fmt.Errorf("read manifests from %s: there are more than %d MiB", name, maxStreamSize>>20)
	}
	known.Writable = known.Writable.Refresh()
	s := &parsedFile{file: file{Location: parse.Location{Path: name, Abs: filepath.Join(dir, name)}, given: true}}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if problem := parse.CheckText(s.file.Location, data); problem != nil {
		s.problems = []parse.Problem{*problem}
	} else {
		documents, problems := parse.Documents(s.file.Location, data)
		s.add(documents...)
		s.problems = problems
	}
	return snapshotOf([]*parsedFile{s}, known, nil), nil
}
