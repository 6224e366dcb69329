package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/owndir"
)

// PlaceMemory remembers, across processes, what agents could write: a manifest that an agent left there must not become one when
// its bottle is gone. It is not safe for concurrent use.
type PlaceMemory struct {
	path  string
	saved safepath.Set
	known manifests.Known
}

// OpenPlaceMemory reads what the state directory says: what was remembered, and what was declared of the bottles that exist.
func OpenPlaceMemory(s state.Settings) (*PlaceMemory, error) {
	m := &PlaceMemory{path: filepath.Join(s.StateDir, "writable.json")}
	if err := m.read(); err != nil {
		return nil, fmt.Errorf("read what agents could write: %w", err)
	}
	records, err := ReadRecords(s)
	if err != nil {
		return nil, err
	}
	m.known = manifests.Known{Writable: m.saved, Sources: map[string]string{}}
	for _, b := range records {
		m.known.Sources[b.Slug] = b.Manifest
		m.known.Writable = m.known.Writable.With(manifests.PlacesOf(b.Declared, b.Manifest)...)
	}
	return m, nil
}

func (m *PlaceMemory) read() error {
	data, err := owndir.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var places []safepath.Place
	if err := json.Unmarshal(data, &places); err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	m.saved = safepath.Recall(places)
	return nil
}

// Known returns what earlier processes knew.
func (m *PlaceMemory) Known() manifests.Known { return m.known }

// Save remembers a snapshot's places.
func (m *PlaceMemory) Save(writable safepath.Set) error {
	if m.saved.Equal(writable) {
		return nil
	}
	data, err := json.MarshalIndent(writable.Places(), "", "  ")
	if err != nil {
		return fmt.Errorf("remember what agents can write: %w", err)
	}
	if err := owndir.Make(filepath.Dir(m.path), 0o700); err != nil {
		return fmt.Errorf("remember what agents can write: %w", err)
	}
	if err := owndir.WriteFile(m.path, data, 0o600, nil); err != nil {
		return fmt.Errorf("remember what agents can write: %w", err)
	}
	m.saved = writable
	return nil
}
