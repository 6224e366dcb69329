package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/owndir"
)

// WritableMemory persists the places that agents could write to, across processes: a manifest that an agent planted there must not be
// accepted after its bottle is gone. It is not safe for concurrent use.
type WritableMemory struct {
	path  string
	saved safepath.Set
	known source.Known
}

// OpenWritableMemory reads the state directory: the persisted places, and those in the records of bottles.
func OpenWritableMemory(s state.Settings) (*WritableMemory, error) {
	m := &WritableMemory{path: filepath.Join(s.StateDir, "writable.json")}
	if err := m.read(); err != nil {
		return nil, fmt.Errorf("read what agents could write: %w", err)
	}
	records, err := ReadRecords(s)
	if err != nil {
		return nil, err
	}
	m.known = source.Known{Writable: m.saved, Sources: map[string]string{}}
	for _, b := range records {
		m.known.Sources[b.Slug] = b.Manifest
		m.known.Writable = m.known.Writable.With(source.PlacesOf(b.Declared, b.Manifest)...)
	}
	return m, nil
}

func (m *WritableMemory) read() error {
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

// Known returns the places and manifests that earlier processes knew.
func (m *WritableMemory) Known() source.Known { return m.known }

// Save persists a snapshot's places, if they changed.
func (m *WritableMemory) Save(writable safepath.Set) error {
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
