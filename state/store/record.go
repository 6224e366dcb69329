package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/owndir"
)

// Record is the persisted declaration of a bottle. It contains no file content, and so no secret.
type Record struct {
	Bottle state.Bottle `json:"bottle"`
	// Generation grows by one with each change of the spec; SpecHash is the spec's digest (render.SpecHash).
	Generation int64  `json:"generation"`
	SpecHash   string `json:"specHash"`
}

// SaveRecord writes the record of a bottle, if it changed.
func SaveRecord(s state.Settings, b state.Bottle) error {
	data, err := json.MarshalIndent(Record{b, b.Generation, b.SpecHash}, "", "  ")
	if err != nil {
		return fmt.Errorf("record the declaration of bottle %s: %w", b.Slug, err)
	}
	path := recordPath(s, b.Slug)
	if old, err := owndir.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil // an old record that can't be read is replaced
	}
	if err := writeRecord(path, data); err != nil {
		return fmt.Errorf("record the declaration of bottle %s: %w", b.Slug, err)
	}
	return nil
}

func writeRecord(path string, data []byte) error {
	if err := owndir.Make(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// It may have been made for a sidecar's files, with another mode.
	if err := os.Chmod(filepath.Dir(path), 0o700); err != nil { //nolint:gosec // a directory
		return err
	}
	return owndir.WriteFile(path, data, 0o600, nil)
}

// ReadRecords returns the bottles as they are recorded, with their generations.
func ReadRecords(s state.Settings) ([]state.Bottle, error) {
	paths, err := filepath.Glob(recordPath(s, "*"))
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

// ReadRecord returns a bottle as it is recorded; false when there is no record of it.
func ReadRecord(s state.Settings, slug string) (state.Bottle, bool, error) {
	b, found, err := readRecord(recordPath(s, slug))
	return b, found && b.Slug == slug, err
}

func recordPath(s state.Settings, slug string) string {
	return filepath.Join(s.BottleDir(slug), state.RecordFile)
}

func readRecord(path string) (state.Bottle, bool, error) {
	data, err := owndir.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state.Bottle{}, false, nil
	}
	if err != nil {
		return state.Bottle{}, false, fmt.Errorf("record of a declaration: %w", err)
	}
	b, err := decodeRecord(data)
	if err != nil {
		return state.Bottle{}, false, fmt.Errorf("record of a declaration %s: %w", path, err)
	}
	b.Declared.Source.Path = b.Manifest
	return b, true, nil
}

// decodeRecord also reads the records of earlier versions: the bottle alone, in which Generation was the spec's digest.
func decodeRecord(data []byte) (state.Bottle, error) {
	var format struct {
		Bottle json.RawMessage `json:"bottle"`
	}
	if err := json.Unmarshal(data, &format); err != nil {
		return state.Bottle{}, err
	}
	if format.Bottle == nil {
		var b state.Bottle
		var old struct{ Generation string }
		err := errors.Join(json.Unmarshal(data, &b), json.Unmarshal(data, &old))
		b.Generation, b.SpecHash = 1, old.Generation
		return b, err
	}
	var r Record
	err := json.Unmarshal(data, &r)
	r.Bottle.Generation, r.Bottle.SpecHash = r.Generation, r.SpecHash
	return r.Bottle, err
}
