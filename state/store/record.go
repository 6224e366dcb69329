package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/owndir"
)

// RecordFile is the file in a bottle's directory that tells `status` what was declared last.
const RecordFile = "declared.json"

// ReadRecords returns what was declared last, of every bottle that has a record. A record knows no files'
// contents, and so no secrets.
func ReadRecords(s state.Settings) ([]state.Bottle, error) {
	paths, err := filepath.Glob(filepath.Join(s.StateDir, "bottles", "*", RecordFile))
	if err != nil {
		return nil, fmt.Errorf("state directory %s: %w", s.StateDir, err)
	}
	var bottles []state.Bottle
	for _, path := range paths {
		b, found, err := readRecord(path)
		if err != nil {
			return nil, err
		}
		if found {
			bottles = append(bottles, b)
		}
	}
	return bottles, nil
}

// ReadRecord returns what was declared last of one bottle; false when there is no record of it.
func ReadRecord(s state.Settings, slug string) (state.Bottle, bool, error) {
	b, found, err := readRecord(filepath.Join(s.BottleDir(slug), RecordFile))
	return b, found && b.Slug == slug, err
}

// LastDeclared returns the manifest that a bottle was last made from; false when there is no record of it.
func LastDeclared(s state.Settings, slug string) (manifests.Bottle, bool, error) {
	b, found, err := readRecord(filepath.Join(s.BottleDir(slug), RecordFile))
	b.Declared.Source.Path = b.Manifest
	return b.Declared, found && b.Declared.Metadata.Name == slug, err
}

func readRecord(path string) (state.Bottle, bool, error) {
	data, err := owndir.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state.Bottle{}, false, nil
	}
	if err != nil {
		return state.Bottle{}, false, fmt.Errorf("record of a declaration: %w", err)
	}
	var b state.Bottle
	if err := json.Unmarshal(data, &b); err != nil {
		return state.Bottle{}, false, fmt.Errorf("record of a declaration %s: %w", path, err)
	}
	return b, true, nil
}
