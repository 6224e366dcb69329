package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/owndir"
)

func interventionPath(s state.Settings, slug string) string {
	return filepath.Join(s.BottleDir(slug), state.InterventionFile)
}

// ReadIntervention returns what an operator asks of a bottle; the zero value when nothing is on file. It is removed with the bottle.
func ReadIntervention(s state.Settings, slug string) (i state.Intervention, err error) {
	path := interventionPath(s, slug)
	data, err := owndir.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return i, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &i)
	}
	if err != nil {
		return i, fmt.Errorf("read whether bottle %s is suspended or cut off: %s: %w", slug, path, err)
	}
	return i, nil
}

// SaveIntervention writes what an operator asks of a bottle; the zero value removes the file.
func SaveIntervention(s state.Settings, slug string, i state.Intervention) error {
	if err := saveIntervention(interventionPath(s, slug), i); err != nil {
		return fmt.Errorf("save what is asked of bottle %s: %w", slug, err)
	}
	return nil
}

func saveIntervention(path string, i state.Intervention) error {
	if i.SuspendedSpec == "" && !i.Cut && len(i.Restart) == 0 {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	data, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return writeRecord(path, data)
}

// Interventions returns the names of the bottles of which an operator asks something.
func Interventions(s state.Settings) ([]string, error) {
	paths, err := filepath.Glob(interventionPath(s, "*"))
	if err != nil {
		return nil, fmt.Errorf("state directory %s: %w", s.StateDir, err)
	}
	var slugs []string
	for _, path := range paths {
		slugs = append(slugs, filepath.Base(filepath.Dir(path)))
	}
	return slugs, nil
}
