package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bot-bottle/bottled/manifests/safepath"
)

// PlaceMemory remembers, across processes, what agents could write: a manifest that an agent left there must not become one when
// its bottle is gone. It is not safe for concurrent use.
type PlaceMemory struct {
	path  string
	saved safepath.Set
}

// OpenPlaceMemory reads what was remembered in the state directory; nothing, before the first bottle.
func OpenPlaceMemory(s Settings) (*PlaceMemory, error) {
	m := &PlaceMemory{path: filepath.Join(s.StateDir, "writable.json")}
	data, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what agents could write: %w", err)
	}
	var places []safepath.Place
	if err := json.Unmarshal(data, &places); err != nil {
		return nil, fmt.Errorf("read what agents could write: %s: %w", m.path, err)
	}
	m.saved = safepath.Recall(places)
	return m, nil
}

// Writable returns what was remembered, as far as it is still the same directories.
func (m *PlaceMemory) Writable() safepath.Set { return m.saved }

// Save remembers a snapshot's places.
func (m *PlaceMemory) Save(writable safepath.Set) error {
	if m.saved.Equal(writable) {
		return nil
	}
	data, err := json.MarshalIndent(writable.Places(), "", "  ")
	if err != nil {
		return fmt.Errorf("remember what agents can write: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return fmt.Errorf("remember what agents can write: %w", err)
	}
	if err := WriteFile(m.path, data, 0o600, func(string) error { return nil }); err != nil {
		return fmt.Errorf("remember what agents can write: %w", err)
	}
	m.saved = writable
	return nil
}
