package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ReadRecords returns what was declared last, of every bottle that has a record. A record knows no files'
// contents, and so no secrets.
func ReadRecords(s Settings) ([]Bottle, error) {
	paths, err := filepath.Glob(filepath.Join(s.StateDir, "bottles", "*", RecordFile))
	if err != nil {
		return nil, fmt.Errorf("state directory %s: %w", s.StateDir, err)
	}
	var bottles []Bottle
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("record of a declaration: %w", err)
		}
		var b Bottle
		if err := json.Unmarshal(data, &b); err != nil {
			return nil, fmt.Errorf("record of a declaration %s: %w", path, err)
		}
		bottles = append(bottles, b)
	}
	return bottles, nil
}

// SidecarImages are the references of the three sidecars' images.
func (s Settings) SidecarImages() []string {
	var refs []string
	for _, p := range []Part{Pipelock, CredProxy, Supervise} {
		ref, _ := s.image(p)
		refs = append(refs, ref)
	}
	return refs
}
